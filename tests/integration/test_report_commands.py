"""`mpi report`, `mpi correction`, `mpi indicators`, as their users type them."""

import json

import pytest
from typer.testing import CliRunner

from mpi.cli import app
from tests.integration.running import Index, a28


@pytest.fixture
def mpi(sqlite_url, tmp_path):
    """Runs a command on a store that holds two records of one person at one site."""
    index = Index.at(tmp_path, sqlite_url)
    feed = tmp_path / "feed.hl7"
    feed.write_bytes(a28("A", "A1", "1", born="19840228") + a28("A", "A2", "2", born="19840228"))

    def run(*arguments):
        return CliRunner().invoke(app, [*arguments, "--config", str(index.config)])

    assert run("ingest", str(feed)).exit_code == 0
    return run


def said(result):
    assert result.exit_code == 0, result.output
    return result.stdout


def report(mpi, *more):
    arguments = (
        "report",
        "add",
        "wrong_trait",
        "SITE-A",
        "A1",
        "--trait",
        "birth_date",
        "--by",
        "luc",
        *more,
    )
    return json.loads(said(mpi(*arguments, "--json")))


def test_a_report_from_its_first_word_to_its_last(mpi):
    made = report(mpi, "--comment", "née un 29")
    assert (made["state"], made["doubtful"], made["reported_by"]) == ("received", True, "user:luc")
    assert "received" in said(mpi("report", "list"))
    assert "comment: née un 29" in said(mpi("report", "show", "1"))
    euid = json.loads(said(mpi("person", "find", "SITE-A", "A1", "--json")))["euid"]
    assert "doubtful" in said(mpi("person", "show", euid))

    accepted = mpi(
        "report", "accept", "1", "--reviewer", "zoe", "--expect", "birth_date=1984-02-29", "--json"
    )
    assert json.loads(said(accepted))["state"] == "correcting"
    assert "restate" in said(mpi("correction", "list"))
    assert "birth_date: 1984-02-28 -> 1984-02-29" in said(mpi("correction", "show", "1"))
    assert "« 1984-02-29 »" in said(mpi("correction", "sheet", "1"))
    assert "birth date : Recorded today" in said(mpi("correction", "sheet", "1", "--lang", "en"))
    assert "nothing is asked" in said(mpi("correction", "list", "--which", "overdue"))
    assert "requested" in said(mpi("correction", "resend", "1", "--reviewer", "zoe"))
    assert "withdrawn" in said(mpi("correction", "withdraw", "1", "--reviewer", "zoe"))
    assert "accepted" in said(mpi("report", "show", "1"))
    assert "closed" in said(mpi("report", "close", "1", "--reviewer", "zoe", "--answer", "vu"))
    assert "received" in said(mpi("report", "reopen", "1", "--reviewer", "zoe"))
    assert "rejected" in said(mpi("report", "reject", "1", "--reviewer", "zoe"))


def test_a_report_is_answered(mpi):
    report(mpi)

    shown = said(
        mpi("report", "answer", "1", "--reviewer", "zoe", "--answer", "c'est bien elle", "--version", "1")
    )

    assert "answered" in shown
    assert "answer: c'est bien elle" in shown
    assert "no reports" in said(mpi("report", "list", "--state", "received"))


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("report", "add", "other", "SITE-A", "--by", "luc"), 2, "a domain and an identifier"),
        (("report", "add", "other", "SITE-Z", "ZQX", "--by", "luc"), 2, "not a configured domain"),
        (("report", "list", "--state", "lost"), 2, "not one of all"),
        (("report", "accept", "1", "--reviewer", "zoe", "--expect", "shoe_size=ZQX"), 2, "TRAIT=VALUE"),
        (("report", "accept", "1", "--reviewer", "zoe", "--expect", "birth_date=ZQX"), 2, "not a date"),
    ],
)
def test_bad_usage_is_named_without_a_value(mpi, arguments, status, words):
    report(mpi)

    result = mpi(*arguments)

    assert (result.exit_code, words in result.stderr, "ZQX" in result.output) == (status, True, False)


def test_indicators_in_words_and_in_json(mpi):
    report(mpi)
    mpi("report", "accept", "1", "--reviewer", "zoe")

    document = json.loads(said(mpi("indicators", "--json")))

    [site] = [one for one in document["domains"] if one["domain"] == "SITE-A"]
    assert (site["identities"], site["duplicates"]) == (2, 1)
    assert document["corrections"] == [{"source": "ris-a", "open": 1, "overdue": 0}]
    assert document["reports"]["correcting"] == 1
    words = said(mpi("indicators"))
    assert "SITE-A" in words
    assert "correcting 1" in words
    assert "CHANTEREAU" not in words
