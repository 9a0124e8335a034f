import pytest

from mpi.errors import StoreError
from tests.unit.feeds.hl7v2.fakes import Feed, adt, query

BHS = "BHS|^~\\&|RIS_A|SITE_A|MPI|FED|20260302||||B-77"
FHS = "FHS|^~\\&|RIS_A|SITE_A|MPI|FED|20260302||||F-78"


@pytest.fixture
def feed():
    return Feed()


def batch(*messages, header=BHS, trailer="BTS|9"):
    return "\r".join((header, *(message.rstrip("\r") for message in messages), trailer, ""))


def test_a_batch_is_answered_by_a_batch_of_acknowledgements(feed):
    reply = feed.send(batch(adt(control_id="1"), adt("A99", control_id="2"), adt(control_id="3")))

    assert [segment[1:3] for segment in reply.segments("MSA")] == [["AA", "1"], ["AR", "2"], ["AA", "3"]]
    assert [line[:3] for line in reply.lines][:2] == ["BHS", "MSH"]
    assert reply.first("BHS", 2) == "MPI"
    assert reply.segments("BHS")[0][11] == "B-77"
    assert reply.lines[-2] == "BTS|3"
    assert [envelope.control_id for envelope, _ in feed.registry.journal] == ["1", "2", "3"]


@pytest.mark.parametrize("header", [f"{FHS}\r{BHS}", FHS])
def test_a_file_of_a_batch_is_answered_by_one(feed, header):
    reply = feed.send(batch(adt(), header=header, trailer="BTS|1\rFTS|1"))

    assert [line[:3] for line in reply.lines if line] == ["FHS", "BHS", "MSH", "MSA", "BTS", "FTS"]
    assert reply.segments("FHS")[0][11] == "F-78"


def test_a_batch_sent_again_is_answered_alike_and_applied_once(feed):
    messages = batch(adt(control_id="1"), adt(control_id="2"))
    first, second = feed.send(messages), feed.send(messages)

    assert first.segments("MSA") == second.segments("MSA")
    assert [receipt.state for _, receipt in feed.registry.journal] == [
        "applied", "applied", "duplicate", "duplicate"
    ]  # fmt: skip


def test_a_batch_may_ask(feed):
    reply = feed.send(batch(adt(), query()))

    assert [line[:3] for line in reply.lines].count("QAK") == 1


@pytest.mark.parametrize("content", [BHS, f"{BHS}\rBTS|0\r", f"\r\n{FHS}\rFTS"])
def test_an_empty_batch_is_answered_by_an_empty_one(feed, content):
    reply = feed.send(content)

    assert "BTS|0" in reply.lines
    assert feed.registry.journal == []


def test_what_is_no_message_in_a_batch_is_kept_and_answered(feed):
    reply = feed.send(batch("nonsense", adt(control_id="1")))

    assert [segment[1] for segment in reply.segments("MSA")] == ["AR", "AA"]
    assert len(feed.registry.journal) == 2


@pytest.mark.parametrize("header", ["BHS", "BHSAAAA", "FHS||||"])
def test_a_batch_without_usable_delimiters_is_one_unreadable_message(feed, header):
    reply = feed.send(batch(adt(), header=header))

    assert reply.msa_1 == "AR"
    assert [receipt.state for _, receipt in feed.registry.journal] == ["quarantined"]


def test_a_batch_the_store_does_not_take_is_not_answered(feed):
    feed.registry.broken = True

    with pytest.raises(StoreError):
        feed.send(batch(adt()))


def test_a_header_in_the_middle_is_no_batch(feed):
    assert feed.send(adt() + BHS + "\r" + adt(control_id="2")).msa_1 == "AE"
