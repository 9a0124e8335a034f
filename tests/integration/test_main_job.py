"""
The main job, end to end, in a service process: identities in, "who is this elsewhere?" out.

Every client here is somebody else's: python-hl7, simple-hl7, fhirpy, and pydicom's own files.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import hl7
import httpx2
import pydicom
import pytest
from fhirpy import SyncFHIRClient
from hl7.client import MLLPClient

from tests.integration.running import Index, a28, field, q23

PEERS = Path(__file__).parents[1] / "peers"
TWO_SITES = ("A", "A1001"), ("B", "B77")


@pytest.fixture
def index(url, tmp_path):
    running = Index.at(tmp_path, url).start()
    yield running
    if running.process.poll() is None:
        running.kill()


@pytest.fixture
def key(index):
    return index.mpi("key", "create", "portal", "--role", "portal").stdout.split()[-1]


@pytest.fixture
def http(index):
    with httpx2.Client(base_url=f"http://127.0.0.1:{index.http_port}") as client:
        yield client


@pytest.fixture
def portal(http, key):
    http.headers["Authorization"] = f"Bearer {key}"
    return http


def feed_two_sites(index):
    with index.client() as client:
        for number, (site, value) in enumerate(TWO_SITES):
            assert field(client.send(a28(site, value, f"F{number}")), "MSA", 1) == "AA"


def test_python_hl7_feeds_and_asks(index):
    with MLLPClient("127.0.0.1", index.mllp_port) as client:
        acks = [client.send_message(a28(site, value, f"P{n}")) for n, (site, value) in enumerate(TWO_SITES)]
        answer = client.send_message(q23("A", "A1001"))

    assert [str(hl7.parse(ack[1:-2].decode())["MSA.F1"]) for ack in acks] == ["AA", "AA"]
    parsed = hl7.parse(answer[1:-2].decode())
    assert str(parsed["QAK.F2"]) == "OK"
    assert str(parsed.segment("PID")[3]) == "B77^^^SITE-B&2.999.1.2&ISO^PI"


def test_the_mllp_send_command_gets_its_answer(index, tmp_path):
    feed_two_sites(index)
    query = tmp_path / "query.hl7"
    query.write_bytes(q23("B", "B77"))
    command = Path(sys.executable).with_name("mllp_send")

    said = subprocess.run(
        [command, "--loose", "--file", query, "--port", str(index.mllp_port), "127.0.0.1"],
        capture_output=True,
        check=True,
        timeout=60,
    ).stdout

    assert b"A1001^^^SITE-A&2.999.1.1&ISO^PI" in said


@pytest.mark.node
def test_simple_hl7_feeds_and_asks(index):
    node = shutil.which("node")
    if node is None or not (PEERS / "node_modules" / "simple-hl7").is_dir():
        pytest.skip("Node.js or tests/peers/node_modules is missing: run `make peers`")
    done = subprocess.run(
        [node, "simple-hl7-main-job.js", "127.0.0.1", str(index.mllp_port)],
        cwd=PEERS,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert json.loads(done.stdout) == ["AA", "AA", "AA", "OK", "JS-B"]


def test_fhirpy_gets_the_cross_references(index, key):
    feed_two_sites(index)
    client = SyncFHIRClient(f"http://127.0.0.1:{index.http_port}/fhir", authorization=f"Bearer {key}")

    answer = client.execute(
        "Patient/$ihe-pix", method="get", params={"sourceIdentifier": "urn:oid:2.999.1.1|A1001"}
    )

    found = [p["valueIdentifier"] for p in answer["parameter"] if p["name"] == "targetIdentifier"]
    assert [(item["system"], item["value"]) for item in found] == [("urn:oid:2.999.1.2", "B77")]


def test_rest_resolves_explains_and_remembers(index, portal):
    feed_two_sites(index)
    stranger = {"birth_name": "Chantereau", "given_names": "Louise Anne-Marie", "birth_date": "1984-02-29", "sex": "F",
                "birth_place": "87085"}  # fmt: skip

    held, virtual = portal.post(
        "/api/v1/resolve", json={"identities": [{"domain": "SITE-A", "id": "A1001"}, stranger]}
    ).json()["identities"]
    patient = portal.get(f"/api/v1/patients/{held['euid']}").json()
    why = portal.get(f"/api/v1/patients/{held['euid']}/explain").json()

    assert (held["status"], virtual["status"]) == ("linked", "linked")
    assert held["suid"] == virtual["suid"]
    assert {(m["domain"], m["id"]) for m in patient["members"]} == {
        ("SITE-A", "A1001"), ("SITE-B", "B77"),
    }  # fmt: skip
    assert "identique" in json.dumps(why, ensure_ascii=False)


def test_nothing_answers_without_a_key_but_health(http):
    assert http.get("/healthz").status_code == 200
    assert http.get("/readyz").status_code == 200
    for path in (
        "/",
        "/docs",
        "/openapi.json",
        "/metrics",
        "/api/v1/reviews",
        "/fhir/metadata",
        "/fhir/Patient/x",
    ):
        assert http.get(path).status_code == 401, path


def test_pydicom_s_own_files_are_all_accounted_for(sqlite_url, tmp_path):
    """Real input nobody here composed; the summary adds up to the files, and the rest goes on."""
    index = Index.at(tmp_path, sqlite_url)
    folder = Path(pydicom.__file__).parent / "data"
    files = [path for path in folder.rglob("*") if path.is_file()]

    done = index.mpi("ingest", str(folder), "--source", "pacs-a", "--json")
    summary = json.loads(done.stdout)

    assert summary["files"] == len(files) > 100
    accounted = ("accepted", "duplicate", "quarantined", "refused", "repeated")
    assert sum(summary[state] for state in accounted) == len(files)
    assert summary["accepted"] > 20
    assert (
        sum(reason["messages"] for reason in summary["reasons"])
        == summary["quarantined"] + summary["refused"]
    )
    counts = json.loads(index.mpi("inbox", "counts", "--json").stdout)
    assert sum(row["applied"] for row in counts) == summary["accepted"]


def test_a_header_without_issuer_is_quarantined_unless_its_source_is_named(sqlite_url, tmp_path):
    index = Index.at(tmp_path, sqlite_url)
    plain = Path(pydicom.__file__).parent / "data" / "test_files" / "CT_small.dcm"

    unnamed = json.loads(index.mpi("ingest", str(plain), "--json", check=False).stdout)
    named = json.loads(index.mpi("ingest", str(plain), "--source", "pacs-b", "--json").stdout)

    assert (unnamed["quarantined"], unnamed["reasons"][0]["place"]) == (1, "(0010,0021)")
    assert named["accepted"] == 1


def test_no_patient_data_in_logs_replies_to_errors_or_audit(index, portal):
    """[I45] Canary names, numbers and dates in good, bad and refused messages never come back out."""
    canary = "ZQXFAM^ZQXGIV^ZQXGIV^^^^L"
    with index.client() as client:
        replies = [
            client.send(a28("A", "ZQXID", "Z1", name=canary)),
            client.send(a28("A", "ZQXID2", "Z2", name=canary, born="ZQXDATE")),
            client.send(a28("A", "ZQXID3", "Z3", name=canary, event="A99")),
            client.send(a28("A", "ZQXID4", "Z4", name=canary).replace(b"RIS_A", b"RIS_Z")),
            client.send(b"MSH|ZQXFAM not a message"),
        ]
    unreadable = portal.post(
        "/api/v1/resolve", json={"identities": [{"birth_name": "ZQXFAM", "birth_date": "ZQXDATE"}]}
    )
    bad = [
        portal.post("/api/v1/resolve", content=b'{"identities": [{"birth_name": "ZQXFAM"'),
        portal.get("/api/v1/patients/ZQXID"),
        portal.get("/fhir/Patient/$ihe-pix", params={"sourceIdentifier": "ZQXFAM"}),
        portal.get("/ZQXFAM"),
    ]
    listed = index.mpi("inbox", "list").stdout
    index.terminate()

    assert [field(reply, "MSA", 1) for reply in replies] == ["AA", "AE", "AR", "AE", "AR"]
    assert b"ZQX" not in b"".join(replies)
    assert all(response.status_code >= 400 and "ZQX" not in response.text for response in bad)
    assert unreadable.json()["identities"][0]["status"] == "invalid"
    assert "ZQX" not in unreadable.text
    assert '"hl7v2.received"' in index.log
    assert "ZQX" not in index.log
    assert "ZQX" not in listed


def test_the_service_stops_cleanly(index):
    feed_two_sites(index)

    assert index.terminate() == 0
    assert '"service.stopped"' in index.log
    index.start()
    with index.client() as client:
        assert field(client.send(q23("A", "A1001")), "PID", 3) == "B77^^^SITE-B&2.999.1.2&ISO^PI"
