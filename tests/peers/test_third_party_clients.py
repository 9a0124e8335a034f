"""Clients that share no code with this project, against the real listener on a real socket."""

import json
import shutil
import subprocess
from pathlib import Path

import hl7
import pytest
from hl7.client import MLLPClient

from mpi.identity.model import NameUse, PersonName, RecordKey
from tests.unit.feeds.hl7v2.fakes import KEY_A, KEY_B, Feed, adt, query
from tests.unit.feeds.listening import listening

PEERS = Path(__file__).parent


@pytest.fixture
def feed():
    return Feed()


def replied(frame):
    """What python-hl7 makes of the bytes of a reply."""
    assert (frame[:1], frame[-2:]) == (b"\x0b", b"\x1c\r")
    return hl7.parse(frame[1:-2].decode())


def test_python_hl7_feeds_an_identity(feed):
    with listening(feed.handler.handle) as port, MLLPClient("127.0.0.1", port) as client:
        first = replied(client.send_message(adt(control_id="PY-1", charset="UNICODE UTF-8")))
        second = replied(client.send_message(hl7.parse(adt("A99", control_id="PY-2"))))

    assert (str(first["MSA.F1"]), str(first["MSA.F2"])) == ("AA", "PY-1")
    assert (str(second["MSA.F1"]), str(second["MSA.F2"])) == ("AR", "PY-2")
    assert str(second["ERR.F3.R1.C1"]) == "201"


def test_python_hl7_asks_for_cross_references(feed):
    feed.registry.linked = [{RecordKey(KEY_B, "B77"), RecordKey(KEY_A, "A1001")}]
    with listening(feed.handler.handle) as port, MLLPClient("127.0.0.1", port) as client:
        answer = replied(client.send_message(query("B77^^^SITE-B&2.999.1.2&ISO")))

    assert str(answer.segment("MSH")[9]) == "RSP^K23^RSP_K23"
    assert str(answer["QAK.F2"]) == "OK"
    assert str(answer.segment("PID")[3]) == "A1001^^^SITE-A&2.999.1.1&ISO^PI"


@pytest.mark.node
def test_simple_hl7_feeds_identities_on_one_connection(feed):
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    if not (PEERS / "node_modules" / "simple-hl7").is_dir():
        pytest.skip("tests/peers/node_modules is missing: run `npm ci` in tests/peers")
    with listening(feed.handler.handle) as port:
        done = subprocess.run(
            [node, "simple-hl7-client.js", "127.0.0.1", str(port)],
            cwd=PEERS,
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [["AA", "JS-1", ""], ["AA", "JS-1", ""], ["AR", "JS-2", "201"]]
    assert len(feed.registry.records) == 1
    assert feed.latest(KEY_A, "JS1").demographics.names == (
        PersonName("CHÂTEREAU", "LOÏC", use=NameUse.BIRTH),
    )
