import pytest
import structlog
from structlog.testing import capture_logs

from mpi.errors import SettingsError, StoreError
from mpi.feeds.hl7v2.handler import MAX_CONTROL_ID_LENGTH, Hl7Handler
from mpi.identity.domains import Domains
from mpi.index.events import MessageState
from mpi.index.parties import Directory, PatientIdentitySource
from tests.unit.feeds.hl7v2.fakes import KEY_A, NOW, SITE_A, Feed, Reply, adt, query

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


@pytest.mark.parametrize("other", ["a^b", "a~b", "a&b", "a^c", r"a\T\b"])
def test_the_control_id_is_the_whole_of_msh_10(feed, other):
    replies = [feed.send(adt(control_id=control_id)) for control_id in ("a", other, "a")]

    assert [reply.msa_1 for reply in replies] == ["AA", "AA", "AA"]
    assert [receipt.state for _, receipt in feed.registry.journal] == ["applied", "applied", "duplicate"]
    assert feed.registry.journal[1][0].control_id == other


def test_a_control_id_without_end_is_kept_short_and_still_its_own(feed):
    endless = "A" * 5_000
    for control_id in (endless, endless + "B", endless):
        feed.send(adt(control_id=control_id))

    assert [receipt.state for _, receipt in feed.registry.journal] == ["applied", "applied", "duplicate"]
    assert {len(envelope.control_id) for envelope, _ in feed.registry.journal} == {MAX_CONTROL_ID_LENGTH}


def test_a_null_control_id_is_none(feed):
    reply = feed.send(adt(control_id='""'))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "MSH^1^10", "101")
    assert feed.registry.journal[0][0].dedupe_key == ""


@pytest.mark.parametrize("event", ["A28", "Q23", ""])
@pytest.mark.parametrize("message_type", ["ACK", "ack", " ACK "])
def test_an_acknowledgement_is_never_answered(feed, message_type, event):
    with capture_logs() as logs:
        reply = feed.send(adt(event, "MSA|AE|ZQX", message_type=message_type))

    assert reply.raw == b""
    assert feed.registry.journal == []
    assert [(log["event"], log["source"]) for log in logs] == [("hl7v2.acknowledgement_ignored", "ris-a")]
    assert "ZQX" not in repr(logs)


def test_an_own_acknowledgement_sent_back_ends_there(feed):
    assert feed.send(feed.send(adt(event="A99")).raw).raw == b""


@pytest.mark.parametrize("name", ["unknown", "unproved"])
def test_a_source_of_the_name_of_no_source_stops_the_start(feed, name):
    source = PatientIdentitySource(name, (KEY_A,), "X", "Y")
    directory = Directory(own=SITE_A, domains=Domains([SITE_A]), sources=[source])

    with pytest.raises(SettingsError, match=name):
        Hl7Handler(feed.registry, directory, lambda: NOW)


@pytest.mark.parametrize("charset", ["", "KLINGON", "ISO IR87"])
def test_a_source_of_an_unknown_character_set_stops_the_start(feed, charset):
    source = PatientIdentitySource("pacs-x", (KEY_A,), "X", "Y", default_charset=charset)
    directory = Directory(own=SITE_A, domains=Domains([SITE_A]), sources=[source])

    with pytest.raises(SettingsError, match=r"sources\.pacs-x\.default_charset"):
        Hl7Handler(feed.registry, directory, lambda: NOW)


@pytest.mark.parametrize("charset", ["8859/15", "unicode utf-8", " utf8 ", "ASCII"])
def test_the_spelling_of_a_known_character_set_is_free(feed, charset):
    source = PatientIdentitySource("ris-x", (KEY_A,), "X", "Y", default_charset=charset)
    directory = Directory(own=SITE_A, domains=Domains([SITE_A]), sources=[source])
    reply = Reply(
        Hl7Handler(feed.registry, directory, lambda: NOW).handle(adt(application="X", facility="Y").encode())
    )

    assert reply.msa_1 == "AA"


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

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "MSH^1^3", "204")
    assert feed.state is MessageState.QUARANTINED
    assert feed.registry.journal[0][0].source == "unknown"


def test_the_reply_is_in_the_bytes_of_the_request(feed):
    sent = adt(charset="UNICODE UTF-8", control_id="É-1").encode()
    mangled = adt(charset="UNICODE UTF-8", control_id="X-1").encode().replace(b"X-1", b"\xc9-1")

    assert "MSA|AA|É-1".encode() in feed.send(sent).raw
    assert b"MSA|AE|\xc9-1" in feed.send(mangled).raw


@pytest.mark.parametrize("charset", ["8859/1", ""])
def test_undeclared_utf_8_is_stored_right_and_answered_in_its_own_bytes(feed, charset):
    pid = "PID|||A1001||ŒUVRARD^HÉLÈNE^^^^^L"
    reply = feed.send(adt("A28", pid, charset=charset, control_id="É-1").encode())
    record = feed.latest(KEY_A, "A1001")

    assert "MSA|AA|É-1".encode() in reply.raw
    assert (record.demographics.names[0].family, record.demographics.names[0].given) == ("ŒUVRARD", "HÉLÈNE")
    assert [warning for warning in record.warnings if warning.endswith(" is UTF-8")]


def test_a_query_in_undeclared_utf_8_is_answered_in_declared_utf_8(feed):
    reply = Reply(feed.handler.handle(query("É77^^^SITE-B", charset="8859/1").encode()), "utf-8")

    assert reply.first("MSH", 17) == "UNICODE UTF-8"
    assert reply.first("QPD", 3) == "É77^^^SITE-B"


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
