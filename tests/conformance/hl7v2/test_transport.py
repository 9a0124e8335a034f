"""T01 to T05: what every HL7 v2 message gets, whatever it asks."""

import socket

import pytest

from mpi.feeds.mllp import Limits, MllpClient, wrap
from mpi.index.events import MessageState
from tests.unit.feeds.hl7v2.fakes import KEY_A, Feed, Reply, adt
from tests.unit.feeds.listening import listening, receive_frames


@pytest.fixture
def feed():
    return Feed()


def numbered(count):
    return [adt(control_id=f"T-{n}").encode() for n in range(count)]


def acknowledged(feed, chunks, count):
    with listening(feed.handler.handle) as port, socket.create_connection(("127.0.0.1", port), 10) as peer:
        for chunk in chunks:
            peer.sendall(chunk)
        return [Reply(reply).first("MSA", 2) for reply in receive_frames(peer, count)]


def test_t01_a_frame_in_one_byte_writes(feed):
    message = numbered(1)[0]

    assert acknowledged(feed, [bytes([byte]) for byte in wrap(message)], 1) == ["T-0"]


def test_t01_several_frames_in_one_write_are_answered_in_order(feed):
    stream = b"".join(map(wrap, numbered(5)))

    assert acknowledged(feed, [stream], 5) == [f"T-{n}" for n in range(5)]


def test_t01_noise_before_a_frame_is_skipped(feed):
    first, second = numbered(2)

    assert acknowledged(feed, [b"\x00\r\n" + wrap(first) + b"\r\n" + wrap(second)], 2) == ["T-0", "T-1"]


def test_t01_more_noise_than_a_line_end_closes_the_connection(feed):
    with listening(feed.handler.handle) as port, socket.create_connection(("127.0.0.1", port), 10) as peer:
        peer.sendall(b"GET / HTTP/1.1\r\n\r\n" + wrap(numbered(1)[0]))

        assert receive_frames(peer, 1) == []
    assert feed.registry.journal == []


def test_t02_a_connection_closed_inside_a_frame_changes_nothing(feed):
    with listening(feed.handler.handle) as port:
        with socket.create_connection(("127.0.0.1", port), 10) as peer:
            peer.sendall(wrap(numbered(1)[0])[:-2])
            peer.shutdown(socket.SHUT_WR)

            assert receive_frames(peer, 1) == []
        with MllpClient("127.0.0.1", port) as client:  # and the listener still listens
            client.send(adt(control_id="T-9").encode())
    assert [envelope.control_id for envelope, _ in feed.registry.journal] == ["T-9"]


def test_t02_a_frame_that_does_not_end_is_not_answered(feed):
    limits = Limits(frame_timeout_seconds=0.2)
    with (
        listening(feed.handler.handle, limits) as port,
        socket.create_connection(("127.0.0.1", port), 10) as peer,
    ):
        peer.sendall(wrap(numbered(1)[0])[:-2])

        assert receive_frames(peer, 1) == []
    assert feed.registry.journal == []


@pytest.mark.parametrize(
    ("header", "err_2", "err_3"),
    [
        pytest.param({"message_type": "XYZ", "event": "A01"}, "MSH^1^9^1^1", "200", id="T03 MSH-9.1"),
        pytest.param({"event": "A99"}, "MSH^1^9^1^2", "201", id="T03 MSH-9.2"),
        pytest.param({"processing_id": "X"}, "MSH^1^11", "202", id="T03 MSH-11"),
        pytest.param({"version": "2.9"}, "MSH^1^12", "203", id="T03 MSH-12"),
    ],
)
def test_t03_what_is_not_supported_is_rejected(feed, header, err_2, err_3):
    reply = feed.send(adt(**header))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AR", err_2, err_3)
    assert feed.state is MessageState.REFUSED


def test_t04_latin_1_without_msh_18_is_read_as_configured_and_flagged(feed):
    pid = "PID|||A1||É^ŒIL||1984|F"
    reply = feed.send(adt("A28", pid, application="GAM_A").encode("iso8859-15"))
    record = feed.latest(KEY_A, "A1")

    assert reply.msa_1 == "AA"
    assert record.demographics.names[0].given == "ŒIL"
    assert record.warnings[0].startswith("MSH^1^18")


def test_t04_declared_utf_8_that_is_not_is_refused(feed):
    pid = "PID|||A1||ÉMILE||1984|F"
    reply = feed.send(adt("A28", pid, charset="UNICODE UTF-8").encode("latin-1"))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "MSH^1^18", "102")
    assert feed.state is MessageState.QUARANTINED
    assert not feed.registry.records


@pytest.mark.parametrize("charset", ["8859/1", "8859/15", ""])
@pytest.mark.parametrize(("family", "given"), [("ŒUVRARD", "HÉLÈNE"), ("Prévôt", "Zoé")])
def test_t04_utf_8_declared_otherwise_is_read_as_utf_8_and_flagged(feed, charset, family, given):
    reply = feed.send(adt("A28", f"PID|||A1||{family}^{given}||1984|F", charset=charset).encode())
    record = feed.latest(KEY_A, "A1")

    assert reply.msa_1 == "AA"
    assert (record.demographics.names[0].family, record.demographics.names[0].given) == (family, given)
    assert record.warnings[0].startswith("MSH^1^18: ")


def test_t01_a_batch_is_one_frame_each_way(feed):
    batch = b"BHS|^~\\&|RIS_A|SITE_A|MPI|FED\r" + b"".join(numbered(3)) + b"BTS|3\r"
    with listening(feed.handler.handle) as port, MllpClient("127.0.0.1", port) as client:
        reply = Reply(client.send(batch))

    assert [segment[1:3] for segment in reply.segments("MSA")] == [["AA", f"T-{n}"] for n in range(3)]


def test_t04_windows_1252_bytes_declared_as_8859_1_are_read_as_meant_and_flagged(feed):
    reply = feed.send(adt("A28", "PID|||A1||ŒUVRARD^Zoé", charset="8859/1").encode("cp1252"))
    record = feed.latest(KEY_A, "A1")

    assert reply.msa_1 == "AA"
    assert record.demographics.names[0].family == "ŒUVRARD"
    assert record.warnings == ("MSH^1^18: bytes that 8859/1 does not use; read as Windows-1252",)


def test_t04_bytes_of_no_declared_character_set_are_kept_and_refused(feed):
    message = adt("A28", "PID|||A1||ZQX\x81", charset="8859/1").encode("latin-1")
    reply = feed.send(message)

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "MSH^1^18", "102")
    assert feed.state is MessageState.QUARANTINED
    assert feed.registry.journal[0][0].raw == message


def test_an_acknowledgement_is_not_answered_and_the_connection_goes_on(feed):
    stream = wrap(adt(message_type="ACK").encode()) + wrap(numbered(1)[0])

    assert acknowledged(feed, [stream], 1) == ["T-0"]
    assert len(feed.registry.journal) == 1


def test_t05_the_same_message_again_gets_the_same_acknowledgement(feed):
    first = feed.send(adt())
    second = feed.send(adt().replace("20260302101500+0100", "20260302101622+0100"))

    assert second.raw == first.raw
    assert feed.state is MessageState.DUPLICATE
    assert len(feed.registry.records) == 1


def test_t05_the_same_control_id_for_another_message_is_an_error(feed):
    feed.send(adt())
    reply = feed.send(adt("A28", "PID|||A2||ROUX^ANNE"))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "MSH^1^10", "205")
    assert feed.state is MessageState.QUARANTINED
    assert len(feed.registry.records) == 1
