"""`mpi ...` as its user types it: status, words, and what is left in the store."""

import io
import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mpi import cli, review_commands
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
    assert "all three answers agree with the truth" in done.stdout
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


# ------------------------------------------------------------- mpi queue, mpi fact, mpi person

ELSE = "FAURE^CHLOE^CHLOE^^^^L"


@pytest.fixture
def typed(index, capsys, monkeypatch):
    """Types a command in this process; gives its status, standard output and standard error."""

    def run(*arguments):
        capsys.readouterr()
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        monkeypatch.setattr(sys, "argv", ["mpi", *map(str, arguments), "--config", str(index.config)])
        with pytest.raises(SystemExit) as done:
            cli.main()  # a command that is done exits too, with status 0
        printed = capsys.readouterr()
        return int(done.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture
def read(typed):
    """Types a command that has to succeed, and reads the JSON it prints."""

    def run(*arguments):
        status, printed, problem = typed(*arguments, "--json")
        assert status == 0, problem
        return json.loads(printed)

    return run


@pytest.fixture
def fed(typed, tmp_path):
    """Feeds messages."""

    def feed(*messages):
        status, _, problem = typed("ingest", written(tmp_path, "more.hl7", *messages))
        assert status == 0, problem

    return feed


def three_records(fed):
    fed(
        a28("A", "A1", "C1"),
        a28("B", "B1", "C2"),
        a28("C", "C1", "C3", name="BERGER^SOPHIE^SOPHIE^^^^L", born="19550603"),
    )


def by_two(index):
    whole = index.config.read_text(encoding="utf-8")
    rule = '[review]\ntwo_person = ["large_set"]\ntwo_person_set_size = 2\n'
    index.config.write_text(f"{whole}{rule}", encoding="utf-8")


def test_the_queue_is_listed_by_priority_claimed_and_given_back(typed, read, fed):
    fed(
        a28("A", "N1", "C1", name="CHANTEREAU^BEBE^^^^^L", born="20260301"),
        a28("B", "N2", "C2", born="20260301"),
        a28("C", "X1", "C3", name="BERGER^SOPHIE^SOPHIE^^^^L", born="19550603"),
        a28("C", "X1", "C4", name=ELSE, born="20110809", event="A31", at="20260303090000"),
    )

    first, second = read("queue", "list", "--order", "priority")
    claimed = read("queue", "claim", second["id"], "--reviewer", "anne")
    refused = typed("queue", "claim", second["id"], "--reviewer", "luc")
    listed = read("queue", "list")
    released = read("queue", "release", second["id"], "--reviewer", "anne")

    assert (first["kind"], second["kind"]) == ("overlay", "potential_link")
    assert read("queue", "list", "--order", "priority", "--after", first["id"]) == [second]
    assert claimed["claimed_by"] == "anne"
    assert {task["id"]: task["claimed_by"] for task in listed} == {first["id"]: "", second["id"]: "anne"}
    assert (refused[0], "somebody else" in refused[2]) == (1, True)
    assert released["claimed_by"] == ""


def test_an_overlay_is_shown_with_what_is_held_and_decided(typed, read, fed):
    fed(
        a28("A", "X1", "C1"),
        a28("A", "X1", "C2", name=ELSE, born="20110809", event="A31", at="20260303090000"),
    )

    shown = read("queue", "show", "1")
    table = typed("queue", "show", "1")[1]
    wrong = typed("queue", "decide", "1", "homonyms", "--reviewer", "anne")
    decided = read("queue", "decide", "1", "different", "--reviewer", "anne")

    assert (shown["left"]["birth_name"], shown["right"]["birth_name"]) == ("CHANTEREAU", "FAURE")
    assert [held["source"] for held in shown["held"]] == ["ris-a"]
    assert "held: statement" in table
    assert (wrong[0], "different, recycled, same" in wrong[2]) == (1, True)
    assert read("fact", "show", decided["fact"])["kind"] == "set_aside"


def test_facts_are_said_listed_and_withdrawn(typed, read, fed):
    three_records(fed)

    joined = read("fact", "relate", "same", "SITE-A", "A1", "SITE-C", "C1", "--reviewer", "anne")
    doubted = read("fact", "doubt", "SITE-C", "C1", "--reviewer", "anne", "--reason", "doublon")
    listed = read("fact", "list")
    first, later = joined["facts"][0]["id"], doubted["facts"][0]["id"]
    refused = typed("fact", "withdraw", first, "--reviewer", "luc")
    done = read("fact", "withdraw", first, "--reviewer", "luc", "--knowing", later)

    assert [(fact["id"], fact["kind"], fact["stands"]) for fact in listed] == [
        (first, "same", True),
        (later, "doubted", True),
    ]
    assert (refused[0], f"facts [{later}]" in refused[2]) == (1, True)
    assert (done["stands"], done["withdrawn_by"]) == (False, "user:luc")
    assert "SITE-C C1" in typed("fact", "list")[1]


def test_what_takes_two_people_waits_for_the_second(index, typed, read, fed):
    by_two(index)
    three_records(fed)

    said = typed("fact", "relate", "same", "SITE-A", "A1", "SITE-C", "C1", "--reviewer", "anne")
    [fact] = read("fact", "list")
    alone = typed("fact", "confirm", fact["id"], "--reviewer", "anne")
    confirmed = read("fact", "confirm", fact["id"], "--reviewer", "luc")
    asked = typed("fact", "withdraw", fact["id"], "--reviewer", "luc")
    done = read("queue", "undo", fact["id"], "--reviewer", "anne")

    assert "mpi fact confirm 1" in said[1]
    assert (fact["stands"], fact["waits_for"]) == (False, "confirmation")
    assert alone[0] == 1
    assert confirmed["facts"][0]["confirmed_by"] == "user:luc"
    assert "another person" in asked[1]
    assert done["withdrawn_by"] == "user:anne"


def test_a_person_is_found_shown_and_followed(typed, read, fed):
    three_records(fed)

    found = read("person", "find", "SITE-A", "A1")
    euid = found["euid"]
    shown = read("person", "show", euid)
    history = read("person", "history", euid)
    timeline = read("person", "timeline", euid)

    assert found["identifiers"] == [{"domain": "SITE-B", "id": "B1"}]
    assert [(member["id"], member["held"]) for member in shown["members"]] == [("A1", False), ("B1", False)]
    assert shown["golden"]["birth_name"]["value"] == "CHANTEREAU"
    assert {row["id"] for row in history["memberships"]} == {"A1", "B1"}
    assert {row["what"] for row in timeline["happenings"]} == {"stated", "joined"}
    for command in ("show", "history", "timeline"):
        assert "SITE-A" in typed("person", command, euid)[1]
    assert "CHANTEREAU" not in typed("person", "timeline", euid)[1]


def test_the_past_is_answered(typed, read, fed):
    three_records(fed)
    before = "2020-01-01T00:00:00Z"

    assert typed("person", "find", "SITE-A", "A1", "--as-of", before)[0] == 1
    assert read("queue", "list", "--as-of", before) == []
    for wrong in ("yesterday", "2026-03-02", "2026-03-02T08:00:00"):
        status, _, problem = typed("person", "find", "SITE-A", "A1", "--as-of", wrong)
        assert (status, "--as-of" in problem, wrong in problem.partition("such as")[0]) == (2, True, False)


def test_members_are_split_out_and_moved(typed, read, fed):
    three_records(fed)
    euid = read("person", "find", "SITE-A", "A1")["euid"]

    odd = typed("person", "split", euid, "SITE-B", "--reviewer", "anne")
    stranger = typed("person", "split", euid, "SITE-C", "C1", "--reviewer", "anne")
    moved = read("person", "split", euid, "SITE-B", "B1", "--to", "SITE-C", "C1", "--reviewer", "anne")

    assert (odd[0], stranger[0]) == (2, 1)
    assert sorted(fact["kind"] for fact in moved["facts"]) == ["different", "same"]
    assert read("person", "find", "SITE-C", "C1")["identifiers"] == [{"domain": "SITE-B", "id": "B1"}]


def test_a_statement_is_set_aside(read, fed):
    fed(a28("A", "A1", "C1"), a28("A", "A1", "C2", name="CHANTEREAU^LOUISE^LOUISE^^^^L", event="A31"))
    euid = read("person", "find", "SITE-A", "A1")["euid"]
    stated = [row for row in read("person", "timeline", euid)["happenings"] if row["what"] == "stated"]

    said = read("fact", "set-aside", stated[-1]["details"]["statement"], "--reviewer", "anne")

    assert [fact["kind"] for fact in said["facts"]] == ["set_aside"]


def test_an_erasure_is_meant_and_final(typed, read, fed):
    three_records(fed)
    erase = ("person", "erase", "SITE-A", "A1", "--reviewer", "anne", "--reason", "demande 12")

    unsure = typed(*erase)
    still = read("person", "find", "SITE-A", "A1")
    done = read(*erase, "--yes")

    assert unsure[0] == 1
    assert still["identifiers"]
    assert done["euid"]
    assert typed("person", "find", "SITE-A", "A1")[0] == 1
    assert typed(*erase, "--yes")[0] == 1


def test_what_a_consumer_was_told(typed, read, fed):
    three_records(fed)
    ask = ("person", "told", "portal", "SITE-A", "A1", "--on")

    told = read(*ask, "2200-01-01T00:00:00Z")

    assert told["identifiers"] == [{"domain": "SITE-B", "id": "B1"}]
    assert "SITE-B B1" in typed(*ask, "2200-01-01T00:00:00Z")[1]
    assert typed(*ask, "2020-01-01T00:00:00Z")[0] == 1
    assert typed("person", "told", "nobody", "SITE-A", "A1", "--on", "2200-01-01T00:00:00Z")[0] == 1


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("fact", "doubt", "NOWHERE", "ZQX", "--reviewer", "anne"), 2),
        (("fact", "doubt", "SITE-A", "ZQX", "--reviewer", "anne"), 1),
        (("fact", "relate", "perhaps", "SITE-A", "1", "SITE-B", "2", "--reviewer", "anne"), 2),
        (("fact", "relate", "same", "SITE-A", "ZQX", "SITE-A", "ZQX", "--reviewer", "anne"), 1),
        (("fact", "show", "99"), 1),
        (("fact", "confirm", "99", "--reviewer", "anne"), 1),
        (("fact", "withdraw", "99", "--reviewer", "anne"), 1),
        (("fact", "set-aside", "99", "--reviewer", "anne"), 1),
        (("queue", "claim", "99", "--reviewer", "anne"), 1),
        (("queue", "list", "--order", "priority", "--as-of", "2026-03-02T08:00:00Z"), 2),
        (("queue", "list", "--order", "priority", "--after", "99"), 1),
        (("person", "show", "ZQX"), 1),
        (("person", "timeline", "ZQX"), 1),
    ],
)
def test_what_cannot_be_done_is_said_without_what_was_typed(typed, arguments, status):
    done, printed, problem = typed(*arguments)

    assert done == status
    assert problem
    assert "ZQX" not in printed + problem
    assert "Traceback" not in problem


@pytest.mark.parametrize("group", ["queue_app", "fact_app", "person_app"])
def test_every_command_of_review_is_in_the_manual_and_has_help(group):
    manual = (Path(__file__).parents[2] / "docs" / "manual.md").read_text(encoding="utf-8")
    app = getattr(review_commands, group)

    for command in app.registered_commands:
        assert f"mpi {group.removesuffix('_app')} {command.name}" in manual
        assert command.callback.__doc__
