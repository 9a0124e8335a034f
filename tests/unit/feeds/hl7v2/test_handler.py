import pytest
import structlog
from structlog.testing import capture_logs

from mpi.errors import StoreError
from mpi.index.events import MessageState
from tests.unit.feeds.hl7v2.fakes import Feed, Reply, adt, query

CANARY = "PID|||ZQXID^^^SITE-A||ZQXFAM^ZQXGIV||ZQXDATE|F|||ZQXSTREET^^ZQXTOWN||ZQXPHONE"


@pytest.fixture(autouse=True)
def fresh_logger(monkeypatch):
    """One no earlier test has bound to another configuration: `capture_logs` would not see it."""
    monkeypatch.setattr("mpi.feeds.hl7v2.handler._log", structlog.get_logger())


@pytest.fixture
def feed():
    return Feed()


def test_the_envelope_says_how_to_recognise_the_message(feed):
    feed.send(adt("A31", control_id="C-9"))
    envelope = feed.registry.journal[0][0]

    assert (envelope.source, envelope.application, envelope.facility) == ("ris-a", "RIS_A", "SITE_A")
    assert (envelope.control_id, envelope.event) == ("C-9", "ADT^A31")
    assert envelope.raw == adt("A31", control_id="C-9").encode()


def test_the_content_hash_ignores_the_time_of_sending_only(feed):
    message = adt()
    for variant in (message, message.replace("20260302101500+0100", "20260302101700"), message + "PV1||N\r"):
        feed.send(variant)
    first, later, other = (envelope.content_hash for envelope, _ in feed.registry.journal)

    assert first == later
    assert first != other


@pytest.mark.parametrize(
    "frame", [b"", b"hello", b"\x00\xff", b"MSH", b"MSHHHHHH", b"MSH|^~\\", b"MSH|", b"EVN|A28\rMSH|^~\\&|"]
)
def test_what_is_no_message_is_quarantined_and_rejected(feed, frame):
    reply = feed.send(frame)
    envelope, receipt = feed.registry.journal[0]

    assert reply.msa_1 == "AR"
    assert receipt.state in (MessageState.QUARANTINED, MessageState.REFUSED)
    assert (envelope.source, envelope.dedupe_key, envelope.raw) == ("unknown", "", frame)


def test_a_sender_nobody_configured_is_answered_and_quarantined(feed):
    reply = feed.send(adt(application="NEW_RIS"))

    assert (reply.msa_1, reply.err_3, feed.state) == ("AE", "204", MessageState.QUARANTINED)
    assert feed.registry.journal[0][0].source == "unknown"


def test_the_reply_is_in_the_bytes_of_the_request(feed):
    sent = adt(charset="UNICODE UTF-8", control_id="É-1").encode()
    mangled = adt(charset="UNICODE UTF-8", control_id="X-1").encode().replace(b"X-1", b"\xc9-1")

    assert "MSA|AA|É-1".encode() in feed.send(sent).raw
    assert b"MSA|AE|\xc9-1" in feed.send(mangled).raw


def test_a_store_that_fails_is_not_answered(feed):
    feed.registry.broken = True

    for message in (adt(), query()):
        with pytest.raises(StoreError):
            feed.send(message)


def test_queries_are_not_journalled(feed):
    feed.send(query())

    assert feed.registry.journal == []


def test_a_query_that_cannot_be_decoded_gets_an_acknowledgement(feed):
    reply = Reply(feed.handler.handle(query(charset="UNICODE UTF-8").encode().replace(b"B77", b"\xe9")))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "MSH^1^18", "102")


@pytest.mark.parametrize(
    "pid",
    [
        CANARY,
        CANARY.replace("ZQXDATE", "1984").replace("|F|", "|ZQXSEX|"),
        CANARY.replace("SITE-A", "ZQXAUTH"),
        CANARY.replace("ZQXDATE", "1984"),
        CANARY + "\rZQX broken line",
    ],
)
def test_no_demographics_leave_by_the_back_door(feed, pid):
    with capture_logs() as logs:
        replies = [feed.send(adt("A28", pid)), feed.send(adt("A40", pid, "MRG|ZQXID", control_id="F-2"))]

    assert logs
    assert "ZQX" not in repr(logs) + repr([reply.text for reply in replies])
