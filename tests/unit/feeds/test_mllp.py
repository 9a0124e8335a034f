import socket
import threading
import time

import pytest
import structlog
from structlog.testing import capture_logs

from mpi.errors import StoreError
from mpi.feeds.mllp import Frame, FrameReader, Limits, MllpClient, Resynchronised, Violation, wrap
from tests.unit.feeds.listening import listening, receive_frames, running

OUTSIDE = Violation("bytes outside any frame")
TOO_LONG = Violation("message too long")
NO_RETURN = Violation("frame end without carriage return")


@pytest.fixture(autouse=True)
def fresh_logger(monkeypatch):
    """One no earlier test has bound to another configuration: `capture_logs` would not see it."""
    monkeypatch.setattr("mpi.feeds.mllp._log", structlog.get_logger())


@pytest.mark.parametrize(
    ("received", "events"),
    [
        (b"", []),
        (b"\x0bA\x1c\r", [Frame(b"A")]),
        (b"\x0b\x1c\r", [Frame(b"")]),
        (b"\x0bA\x1c\r\x0bB\x1c\r\x0bC", [Frame(b"A"), Frame(b"B")]),
        (b"\r\n\x00\x0bA\x1c\r", [Frame(b"A")]),
        (b"x" * 16 + b"\x0bA\x1c\r" + b"x" * 16 + b"\x0bB\x1c\r", [Frame(b"A"), Frame(b"B")]),
        (b"x" * 17 + b"\x0bA\x1c\r", [OUTSIDE]),
        (b"\x0bA\x0bB\x1c\r", [Resynchronised(), Frame(b"B")]),
        (b"\x0bA\x1cB\x1c\r", [NO_RETURN]),
        (b"\x0bA\x1c\x0bB\x1c\r", [NO_RETURN]),
        (b"\x0bA\x1c\x1c\r", [NO_RETURN]),
        (b"\x0b" + b"A" * 32 + b"\x1c\r", [Frame(b"A" * 32)]),
        (b"\x0b" + b"A" * 33 + b"\x1c\r", [TOO_LONG]),
        (b"\x0b" + b"A" * 33 + b"\x0bB\x1c\r", [TOO_LONG]),
        (b"\x0bA\x1c\r\x1c\r\r\x0bB\x1c\r", [Frame(b"A"), Frame(b"B")]),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_events_do_not_depend_on_how_the_bytes_are_cut(received, events, size):
    reader = FrameReader(max_message_bytes=32)
    found = [event for at in range(0, len(received), size) for event in reader.feed(received[at : at + size])]

    assert found == events


def test_nothing_is_read_after_a_violation():
    reader = FrameReader()

    assert reader.feed(b"x" * 17) == [OUTSIDE]
    assert reader.feed(b"\x0bA\x1c\r") == []


def echo(message):
    return b"re:" + message


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def test_one_connection_carries_many_messages():
    with listening(echo) as port, MllpClient("127.0.0.1", port) as client:
        assert [client.send(b"%d" % n) for n in range(50)] == [b"re:%d" % n for n in range(50)]


def test_replies_keep_the_order_of_a_connection_and_connections_do_not_wait_for_each_other():
    slow = threading.Event()

    def handler(message):
        if message == b"slow":
            slow.wait(10)
        return message

    with listening(handler) as port, connect(port) as first, connect(port) as second:
        first.sendall(wrap(b"slow") + wrap(b"next"))
        second.sendall(wrap(b"other"))
        overtaking = receive_frames(second, 1)
        slow.set()

        assert overtaking == [b"other"]
        assert receive_frames(first, 2) == [b"slow", b"next"]


def test_one_message_of_a_connection_is_in_flight():
    running_now, seen = [], []

    def handler(message):
        running_now.append(message)
        seen.append(len(running_now))
        time.sleep(0.01)
        running_now.remove(message)
        return message

    with listening(handler) as port, connect(port) as peer:
        peer.sendall(b"".join(wrap(b"%d" % n) for n in range(10)))
        receive_frames(peer, 10)

    assert seen == [1] * 10


@pytest.mark.parametrize(
    ("error", "event"),
    [(StoreError("down"), "mllp.not_acknowledged"), (ValueError("ZQXFAM"), "mllp.handler_failed")],
)
def test_a_failing_handler_closes_the_connection_unanswered(error, event):
    def handler(message):
        raise error

    with capture_logs() as logs, listening(handler) as port, connect(port) as peer:
        peer.sendall(wrap(b"A") + wrap(b"B"))

        assert receive_frames(peer, 1) == []
    assert [log["event"] for log in logs] == [event]
    assert "ZQX" not in repr(logs)


def test_an_empty_reply_is_not_written():
    with listening(lambda message: b"" if message == b"A" else message) as port, connect(port) as peer:
        peer.sendall(wrap(b"A") + wrap(b"B") + wrap(b"A") + wrap(b"C"))

        assert receive_frames(peer, 2) == [b"B", b"C"]


def test_a_reply_is_one_write():
    with listening(lambda message: b"A" * 4000) as port, connect(port) as peer:
        peer.sendall(wrap(b"A"))

        assert peer.recv(65_536) == wrap(b"A" * 4000)


@pytest.mark.parametrize(
    ("limits", "sent", "reason"),
    [
        (Limits(max_message_bytes=10), b"\x0b" + b"A" * 11, "message too long"),
        (Limits(idle_timeout_seconds=0.1), b"", "idle"),
        (Limits(idle_timeout_seconds=0.1), b"\r\n", "idle"),
        (Limits(frame_timeout_seconds=0.1), b"\x0bA", "frame incomplete in time"),
        (Limits(frame_timeout_seconds=0.1), wrap(b"A") + b"\x0bA\x1c", "frame incomplete in time"),
        (Limits(), b"x" * 17, "bytes outside any frame"),
    ],
)
def test_what_exceeds_a_limit_closes_the_connection(limits, sent, reason):
    with capture_logs() as logs, listening(echo, limits) as port, connect(port) as peer:
        peer.sendall(sent)
        receive_frames(peer, 99)

    assert [log.get("reason") for log in logs] == [reason]


def test_a_trickle_does_not_extend_the_time_of_a_frame():
    limits = Limits(frame_timeout_seconds=0.3)
    with listening(echo, limits) as port, connect(port) as peer:
        peer.sendall(b"\x0b")
        peer.settimeout(0.05)
        started = time.monotonic()
        while time.monotonic() - started < 5:
            try:
                peer.sendall(b"A")
                if peer.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break

    assert time.monotonic() - started < 3


def test_a_connection_too_many_is_closed():
    with listening(echo, Limits(max_connections=1)) as port, MllpClient("127.0.0.1", port) as client:
        client.send(b"A")
        with connect(port) as second:
            assert second.recv(1) == b""
        assert client.send(b"B") == b"re:B"


def test_a_peer_that_leaves_before_its_reply_harms_nobody():
    with listening(echo) as port:
        for _ in range(3):
            with connect(port) as peer:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # reset on close
                peer.sendall(wrap(b"A"))
        with MllpClient("127.0.0.1", port) as client:
            assert client.send(b"A") == b"re:A"


def test_a_half_closed_peer_is_answered():
    with listening(echo) as port, connect(port) as peer:
        peer.sendall(wrap(b"A") + wrap(b"B"))
        peer.shutdown(socket.SHUT_WR)

        assert receive_frames(peer, 3) == [b"re:A", b"re:B"]


def test_stopping_answers_what_is_in_flight_and_accepts_nobody():
    entered, leave = threading.Event(), threading.Event()

    def handler(message):
        entered.set()
        leave.wait(10)
        return message

    with (
        running(handler) as listener,
        connect(listener.server.port) as busy,
        connect(listener.server.port) as idle,
    ):
        port = listener.server.port
        busy.sendall(wrap(b"A") + wrap(b"B"))
        assert entered.wait(10)
        threading.Timer(0.1, leave.set).start()
        listener.stop()

        assert receive_frames(busy, 2) == [b"A"]
        assert receive_frames(idle, 1) == []
        with pytest.raises(ConnectionError):
            connect(port)
    assert listener.server.connections == 0


def test_the_client_connects_again_after_the_listener_closed():
    with listening(echo, Limits(idle_timeout_seconds=0.1)) as port, MllpClient("127.0.0.1", port) as client:
        assert client.send(b"A") == b"re:A"
        time.sleep(0.3)
        with pytest.raises(ConnectionError):
            client.send(b"B")
        assert client.send(b"B") == b"re:B"


def test_the_client_reports_a_reply_that_is_not_mllp():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def respond():
            peer, _ = server.accept()
            with peer:
                peer.recv(100)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=respond)
        thread.start()
        with (
            MllpClient("127.0.0.1", server.getsockname()[1], timeout_seconds=5) as client,
            pytest.raises(ConnectionError),
        ):
            client.send(b"A")
        thread.join()
