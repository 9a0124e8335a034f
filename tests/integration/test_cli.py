"""`mpi ...` as its user types it: status, words, and what is left in the store."""

import json
import socket
import subprocess
import sys

import pytest

from mpi.store import open_store
from tests.integration.running import Index, a28
from tests.unit.feeds.dicom.files import build_header, write_file

TWIN = "CHANTEREAU^LEA^LEA^^^^L"


@pytest.fixture
def index(sqlite_url, tmp_path):
    return Index.at(tmp_path, sqlite_url)


def written(folder, name, *messages):
    path = folder / name
    path.write_bytes(b"".join(messages))
    return str(path)


def mpi(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "mpi", *arguments], capture_output=True, text=True, check=False
    )


def uncertain_pair(index, tmp_path):
    """Two records that only a person can tell: a newborn under a stand-in name, and the child named later."""
    feed = written(
        tmp_path,
        "feed.hl7",
        a28("A", "N1", "C1", name="CHANTEREAU^BEBE^^^^^L", born="20260301"),
        a28("B", "N2", "C2", born="20260301"),
    )
    assert json.loads(index.mpi("ingest", feed, "--json").stdout)["sent_to_review"] == 1


def partition(index):
    with open_store(f"sqlite:///{index.config.parent}/mpi.db") as store, store.read() as uow:
        return uow.memberships.current(uow.records.all_ids())


def test_ingest_reports_every_message_and_goes_on(index, tmp_path):
    feed = written(
        tmp_path, "feed.hl7", a28("A", "1", "C1"), a28("B", "2", "C2"), a28("A", "3", "C3", born="nodate"),
        a28("A", "1", "C1"), a28("C", "4", "C4", event="A99"),
    )  # fmt: skip

    done = index.mpi("ingest", feed, "--json")

    summary = json.loads(done.stdout)
    states = {state: summary[state] for state in ("accepted", "duplicate", "quarantined", "refused")}
    assert states == {"accepted": 2, "duplicate": 1, "quarantined": 1, "refused": 1}
    assert summary["linked"] == 1
    assert {(r["place"], r["messages"]) for r in summary["reasons"]} == {("PID^1^7", 1), ("MSH^1^9^1^2", 1)}
    assert "nodate" not in done.stdout


def test_warnings_are_counted_listed_and_kept(index, tmp_path):
    tolerated = a28("A", "1", "C1", event="A08"), a28("A", "2", "C2", event="A08", born="19500101")
    feed = written(tmp_path, "feed.hl7", *tolerated, a28("B", "3", "C3"))

    summary = json.loads(index.mpi("ingest", feed, "--json").stdout)
    again = index.mpi("ingest", written(tmp_path, "more.hl7", a28("A", "3", "C4", event="A08")))
    listed = json.loads(index.mpi("inbox", "list", "--json").stdout)
    table = index.mpi("inbox", "list").stdout
    shown = index.mpi("inbox", "show", "1").stdout

    assert summary["with_warnings"] == 2
    assert [(w["messages"], w["warning"].partition(":")[0]) for w in summary["warnings"]] == [
        (2, "MSH^1^9^1^2")
    ]
    warning = summary["warnings"][0]["warning"]
    assert f"{warning} (1)\n" in again.stdout
    assert "with warnings" in again.stdout
    assert [m["warnings"] for m in listed] == [[warning], [warning], [], [warning]]
    assert "warnings" in table
    assert warning not in table
    assert warning in shown


def test_a_run_that_applies_nothing_has_failed(index, tmp_path):
    stopped = written(tmp_path, "stopped.hl7", a28("A", "1", "C1", born="nodate"))
    applied = written(tmp_path, "applied.hl7", a28("A", "1", "C2"))

    assert index.mpi("ingest", stopped, check=False).returncode == 1
    assert index.mpi("ingest", stopped, "--json", check=False).returncode == 1
    assert index.mpi("ingest", stopped, applied).returncode == 0
    assert index.mpi("ingest", applied).returncode == 0  # a duplicate
    assert index.mpi("ingest", written(tmp_path, "empty.hl7", b"FHS|^~\\&|X\rFTS|0\r")).returncode == 0


def test_a_reason_begins_with_the_place_or_the_problem(index, tmp_path):
    file = tmp_path / "unsourced.dcm"
    write_file(file, build_header(IssuerOfPatientID="SITE-B"))

    done = index.mpi("ingest", str(file), "--source", "pacs-a", check=False)

    (reason,) = [line for line in done.stdout.splitlines() if line.startswith("unsourced.dcm")]
    assert reason.startswith("unsourced.dcm: (0010,0021): ")


def test_a_file_of_neither_kind_is_called_so(index, tmp_path):
    feed = written(tmp_path, "notes.txt", b"shopping list\n")

    done = index.mpi("ingest", feed, check=False)
    (kept,) = json.loads(index.mpi("inbox", "list", "--json").stdout)

    assert "notes.txt: file: neither HL7 v2 nor DICOM (1)" in done.stdout
    assert done.returncode == 1
    assert kept["problem"] == "neither HL7 v2 nor DICOM"


def test_the_name_of_a_source_is_printed_and_not_read_as_markup(index, tmp_path):
    config = index.config.read_text(encoding="utf-8").replace('name = "ris-a"', 'name = "[/b]"')
    index.config.write_text(config, encoding="utf-8")
    index.mpi("ingest", written(tmp_path, "feed.hl7", a28("A", "1", "C1")))

    assert "[/b]" in index.mpi("inbox", "list").stdout


def test_commands_that_end_log_nothing_below_an_error(index):
    for arguments in (("key", "list"), ("inbox", "list"), ("audit", "verify")):
        assert index.mpi(*arguments).stderr == ""


def test_a_batch_with_headers_and_mllp_framing_is_read(index, tmp_path):
    body = a28("A", "1", "C1") + b"\x0b" + a28("B", "2", "C2") + b"\x1c\r"
    feed = written(
        tmp_path, "batch.hl7", b"FHS|^~\\&|X\nBHS|^~\\&|X\n", body.replace(b"\r", b"\n"), b"BTS|2\nFTS|1\n"
    )

    assert json.loads(index.mpi("ingest", feed, "--json").stdout)["accepted"] == 2


def test_a_verdict_survives_and_undo_restores_the_partition(index, tmp_path):
    uncertain_pair(index, tmp_path)
    (task,) = json.loads(index.mpi("queue", "list", "--json").stdout)
    shown = json.loads(index.mpi("queue", "show", str(task["id"]), "--json").stdout)
    before = partition(index)

    decided = json.loads(
        index.mpi("queue", "decide", str(task["id"]), "same", "--reviewer", "anne", "--json").stdout
    )
    joined = partition(index)
    update = written(
        tmp_path, "update.hl7", a28("B", "N2", "C9", born="20260301", event="A31", at="20260303090000")
    )
    index.mpi("ingest", update)
    after_update = partition(index)
    index.mpi("queue", "undo", str(decided["fact"]), "--reviewer", "anne")

    assert shown["left"]["birth_date"] == shown["right"]["birth_date"] == "2026-03-01"
    assert any("bits" in sentence for sentence in shown["evidence"])
    assert len(set(before.values())) == 2
    assert len(set(joined.values())) == len(set(after_update.values())) == 1
    assert partition(index) == before
    assert [t["state"] for t in json.loads(index.mpi("queue", "list", "--json").stdout)] == ["open"]
    assert index.mpi("audit", "verify").stdout == "the audit chain holds\n"


def test_a_decision_cannot_be_taken_twice(index, tmp_path):
    uncertain_pair(index, tmp_path)
    index.mpi("queue", "decide", "1", "different", "--reviewer", "anne")

    again = index.mpi("queue", "decide", "1", "same", "--reviewer", "luc", check=False)

    assert again.returncode == 1
    assert "decided" in again.stderr


def test_a_decision_on_a_version_that_has_passed_is_refused(index, tmp_path):
    uncertain_pair(index, tmp_path)
    shown = index.mpi("queue", "show", "1")
    version = json.loads(index.mpi("queue", "show", "1", "--json").stdout)["version"]
    index.mpi("queue", "decide", "1", "undecided", "--reviewer", "anne", "--version", str(version))

    stale = index.mpi(
        "queue", "decide", "1", "same", "--reviewer", "luc", "--version", str(version), check=False
    )
    fresh = index.mpi("queue", "decide", "1", "same", "--reviewer", "luc")

    assert f"version {version}" in shown.stdout
    assert stale.returncode == 1
    assert "version" in stale.stderr
    assert fresh.returncode == 0


@pytest.mark.parametrize("json_too", [False, True])
def test_a_protected_identity_is_not_shown_on_a_terminal(index, tmp_path, json_too):
    uncertain_pair(index, tmp_path)
    hide = a28(
        "A", "N1", "C8", name="ZQXFAM^ZQXGIVEN^^^^^L", born="20260301", event="A31", at="20260303090000"
    )
    index.mpi("ingest", written(tmp_path, "hide.hl7", hide.replace(b"|PROV", b"|PROV~CACH")))

    shown = index.mpi("queue", "show", "1", *(["--json"] if json_too else [])).stdout

    assert "ZQX" not in shown
    assert "bits" not in shown
    assert "CHANTEREAU" in shown
    if json_too:
        document = json.loads(shown)
        left, right = sorted((document["left"], document["right"]), key=lambda side: side["id"])
        assert left == {"domain": "SITE-A", "id": "N1", "protected": True}
        assert right["protected"] is False
        assert document["evidence"] == []
    else:
        assert "identité protégée / protected identity" in shown


def test_a_quarantined_message_is_replayed_once_the_configuration_is_mended(index, tmp_path):
    whole = index.config.read_text(encoding="utf-8")
    index.config.write_text(whole.replace('application = "RIS_C"', 'application = "RIS_X"'), encoding="utf-8")
    index.mpi("ingest", written(tmp_path, "feed.hl7", a28("C", "1", "C1")), check=False)
    index.config.write_text(whole, encoding="utf-8")
    (waiting,) = json.loads(index.mpi("inbox", "list", "--state", "quarantined", "--json").stdout)

    replayed = index.mpi("inbox", "replay", str(waiting["id"]), "--by", "anne")
    again = index.mpi("inbox", "replay", "2", "--by", "anne", check=False)

    assert "applied" in replayed.stdout
    assert again.returncode == 1
    shown = index.mpi("inbox", "show", str(waiting["id"])).stdout
    assert "ADT^A28" in shown


def test_keys_are_printed_once_listed_without_secret_and_revoked(index):
    secret = index.mpi("key", "create", "portal", "--role", "portal", "--domain", "SITE-A").stdout.split()[-1]
    listed = index.mpi("key", "list").stdout

    assert secret.startswith("mpi_")
    assert secret not in listed
    assert "portal" in listed
    assert secret.encode() not in (index.config.parent / "mpi.db").read_bytes()
    assert index.mpi("key", "revoke", "portal").stdout == "revoked\n"


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ('[database]\nurI = "sqlite:///x.db"', "database.urI"),
        ('[[sources]]\nname = "a"\nfeeds = ["NOWHERE"]', "sources.a.feeds"),
        ("[http]\nport = 80000", "http.port"),
        ("not toml at all", "mpi.toml"),
    ],
)
def test_a_wrong_configuration_is_named(tmp_path, toml, named):
    config = tmp_path / "mpi.toml"
    config.write_text(toml, encoding="utf-8")

    done = mpi("key", "list", "--config", str(config))

    assert done.returncode == 2
    assert named in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("ingest", "/nowhere/at/all"),
        ("key", "create", "x", "--role", "emperor"),
        ("key", "create", "x", "--role", "portal", "--domain", "NOWHERE"),
        ("queue", "list", "--state", "sleeping"),
        ("queue", "decide", "1", "perhaps", "--reviewer", "anne"),
        ("frobnicate",),
    ],
)
def test_bad_usage_is_two(index, arguments):
    config = () if arguments == ("frobnicate",) else ("--config", str(index.config))
    done = mpi(*arguments, *config)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_synthetic_federation_is_written(tmp_path):
    done = mpi("synth", "--persons", "20", "--out", str(tmp_path / "out"))

    assert done.returncode == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {
        "records.csv",
        "truth.csv",
        "messages",
        "dicom",
    }


def test_the_demonstration_ends_with_both_answers_right(tmp_path):
    done = mpi(
        "demo", "--no-serve", "--persons", "150", "--dir", str(tmp_path / "demo"), "--port", "0", "--mllp-port", "0",
        "--lang", "en",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "both answers agree with the truth" in done.stdout
    assert "precision of links" in done.stdout


def test_an_address_that_is_taken_is_named(index, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = index.config.read_text(encoding="utf-8").replace(
            "[mllp]\nport = 0", f"[mllp]\nport = {port}"
        )
        index.config.write_text(config, encoding="utf-8")
        done = index.mpi("serve", check=False)

    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr
