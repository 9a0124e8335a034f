"""Enhanced acknowledgement (MSH-15, MSH-16), and what is answered when a message cannot be taken now."""

import pytest

from mpi.errors import StoreError
from mpi.feeds.mllp import BOUNDARY
from mpi.index.parties import Acknowledgement, OnTransient
from tests.unit.feeds.hl7v2.fakes import Feed, Reply, adt

BAD_DATE = "PID|||A1||ROUX^ANNE||ZQX"


@pytest.fixture
def feed():
    return Feed(acknowledgement=Acknowledgement.ENHANCED)


def asking(commit, application, *segments, event="A28", **header):
    """A message whose MSH-15 and MSH-16 are valued."""
    text = adt(event, *segments, **header)
    return text.replace("|||||FRA|", f"|||{commit}|{application}|FRA|", 1)


def codes(feed, message):
    raw = feed.send(message).raw
    return [Reply(one).msa_1 for one in raw.split(BOUNDARY)] if raw else []


@pytest.mark.parametrize(
    ("commit", "application", "good", "bad"),
    [
        ("", "", ["AA"], ["AE"]),
        ("AL", "AL", ["CA", "AA"], ["CA", "AE"]),
        ("AL", "NE", ["CA"], ["CA"]),
        ("NE", "AL", ["AA"], ["AE"]),
        ("NE", "NE", [], []),
        ("AL", "", ["CA"], ["CA"]),
        ("", "AL", ["AA"], ["AE"]),
        ("ER", "ER", [], ["AE"]),
        ("SU", "SU", ["CA", "AA"], ["CA"]),
        ("al", "XX", ["CA", "AA"], ["CA", "AE"]),
    ],
)
def test_the_acknowledgements_asked_for_are_sent(commit, application, good, bad):
    for segments, expected in (([], good), ([BAD_DATE], bad)):
        assert (
            codes(Feed(acknowledgement=Acknowledgement.ENHANCED), asking(commit, application, *segments))
            == expected
        )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"event": "A99"}, ["CR"]),
        ({"version": "2.9"}, ["CR"]),
        ({"charset": "KLINGON"}, ["CE"]),
        ({"event": "A40"}, ["CA", "AE"]),
    ],
)
def test_what_is_not_committed_gets_no_application_acknowledgement(feed, message, expected):
    assert codes(feed, asking("AL", "AL", **message)) == expected


def test_a_control_id_used_again_is_a_commit_error(feed):
    feed.send(asking("AL", "AL"))

    assert codes(feed, asking("AL", "AL", "PID|||A2||ROUX^ANNE")) == ["CE"]


def test_a_message_sent_again_gets_the_same_acknowledgements(feed):
    first, second = feed.send(asking("AL", "AL")), feed.send(asking("AL", "AL"))

    assert first.raw == second.raw != b""


def test_a_source_of_original_mode_gets_one_acknowledgement_whatever_it_asks():
    assert codes(Feed(), asking("AL", "NE")) == ["AA"]


def test_both_acknowledgements_name_the_message_and_only_one_tells_the_error(feed):
    commit, application = (Reply(one) for one in feed.send(asking("AL", "AL", BAD_DATE)).raw.split(BOUNDARY))

    assert (commit.first("MSA", 2), application.first("MSA", 2)) == ("F-0001", "F-0001")
    assert commit.first("MSH", 9) != application.first("MSH", 9)  # control ids of their own
    assert (commit.err_2, application.err_2) == (None, "PID^1^7")
    assert b"ZQX" not in commit.raw + application.raw


def test_in_a_batch_they_follow_each_other(feed):
    reply = feed.send("BHS|^~\\&\r" + asking("AL", "AL") + "BTS|1\r")

    assert [segment[1] for segment in reply.segments("MSA")] == ["CA", "AA"]
    assert b"\x0b" not in reply.raw


def test_what_the_store_does_not_take_is_not_answered():
    feed = Feed()
    feed.registry.broken = True

    with pytest.raises(StoreError):
        feed.send(adt())


@pytest.mark.parametrize(
    ("acknowledgement", "commit", "code"),
    [
        (Acknowledgement.ORIGINAL, "AL", "AR"),
        (Acknowledgement.ENHANCED, "AL", "CR"),
        (Acknowledgement.ENHANCED, "", "AR"),
    ],
)
def test_a_source_may_be_told_to_send_again(acknowledgement, commit, code):
    feed = Feed(on_transient=OnTransient.AR207, acknowledgement=acknowledgement)
    feed.registry.broken = True
    reply = feed.send(asking(commit, ""))

    assert (reply.msa_1, reply.first("MSA", 2), reply.err_3) == (code, "F-0001", "207")
    feed.registry.broken = False
    assert len(codes(feed, asking(commit, ""))) == 1


@pytest.mark.parametrize("message", [b"", b"nonsense", adt(application="STRANGER").encode()])
def test_only_a_known_source_is_told(message):
    assert Feed(on_transient=OnTransient.AR207).handler.refuse(message) == b""
