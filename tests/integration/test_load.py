"""`mpi load` as its user types it, and tables through `mpi ingest`."""

import json

import pytest

from tests.integration.running import Index, a28
from tests.unit.feeds.fhir.resources import identifier, patient

TABLE = """IPP;NOM;given_names;birth_date;sex
A1;CHANTEREAU;LOUISE;1984-02-29;F
A2;ZQXFAM;LEA;nodate;F
A3;ROUX;ANNE;1970-05-06;F
"""
OPTIONS = ("--source", "ris-a", "--map", "birth_name=NOM", "--id", "IPP")


@pytest.fixture
def index(sqlite_url, tmp_path):
    return Index.at(tmp_path, sqlite_url)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "site-a.csv"
    path.write_text(TABLE, encoding="utf-8")
    return str(path)


def counts(done):
    return {name: json.loads(done.stdout)["load"][name] for name in ("accepted", "duplicate", "quarantined")}


def test_a_table_is_loaded_once_however_often_it_is_sent(index, table):
    first = index.mpi("load", table, *OPTIONS, "--json")
    again = index.mpi("load", table, *OPTIONS, "--json")

    assert counts(first) == {"accepted": 2, "duplicate": 0, "quarantined": 1}
    assert counts(again) == {"accepted": 0, "duplicate": 2, "quarantined": 1}
    (reason,) = json.loads(first.stdout)["load"]["reasons"]
    assert (reason["field"], reason["first"]) == ("birth_date", 3)
    assert "ZQX" not in first.stdout + first.stderr


def test_a_dry_run_reports_and_writes_nothing(index, table):
    done = index.mpi("load", table, *OPTIONS, "--dry-run")

    assert "3 rows, 1 of them cannot be taken" in done.stdout
    assert "birth_date: not a date" in done.stdout
    assert "ZQX" not in done.stdout
    assert not (index.config.parent / "mpi.db").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--source", "ris-z"), "ris-z"),
        (("--source", "ris-a"), "--id"),
        ((*OPTIONS, "--event-time", "MAJ"), "no column MAJ"),
        ((*OPTIONS, "--map", "surname=NOM"), "--map"),
    ],
)
def test_bad_usage_is_named(index, table, options, said):
    done = index.mpi("load", table, *options, check=False)

    assert done.returncode == 2
    assert said in done.stderr


def test_a_table_of_which_no_row_is_taken_has_failed(index, tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text("record_id,birth_date\nA1,nodate\n", encoding="utf-8")

    assert index.mpi("load", str(path), "--source", "ris-a", check=False).returncode == 1


def test_tables_and_patients_are_ingested_beside_messages(index, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "feed.hl7").write_bytes(a28("A", "A1", "C1"))
    (folder / "site.csv").write_text("record_id,birth_name\nA2,ROUX\nA3,\n", encoding="utf-8")
    patients = [patient(identifier("A4")), patient(identifier("A5"), gender="ZQX")]
    (folder / "site.ndjson").write_text("\n".join(map(json.dumps, patients)), encoding="utf-8")

    summary = json.loads(index.mpi("ingest", str(folder), "--source", "ris-a", "--json").stdout)

    assert (summary["files"], summary["accepted"], summary["quarantined"]) == (3, 3, 2)
    reasons = {(reason["file"], reason["place"]) for reason in summary["reasons"]}
    assert reasons == {("site.csv", "row"), ("site.ndjson", "line 2: Patient.gender")}


def test_a_table_of_no_source_is_told_once(index, tmp_path):
    path = tmp_path / "site.csv"
    path.write_text("record_id,birth_name\nA2,ROUX\nA3,PETIT\n", encoding="utf-8")

    done = index.mpi("ingest", str(path), check=False)
    (kept,) = json.loads(index.mpi("inbox", "list", "--json").stdout)
    replayed = index.mpi("inbox", "replay", str(kept["id"]), "--by", "anne", check=False)

    assert done.returncode == 1
    assert "(--source) (1)" in done.stdout
    assert kept["source"] == "unknown"
    assert "is quarantined" in replayed.stdout
