"""The listener when there is too much: many frames, many peers, slow peers, and a handler that does not keep up."""

import asyncio
import contextlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import structlog
from structlog.testing import capture_logs

from mpi.feeds.mllp import BOUNDARY, Frame, FrameReader, Limits, MllpClient, serve, wrap
from tests.unit.feeds.hl7v2.fakes import adt
from tests.unit.feeds.listening import listening, receive_frames, running


@pytest.fixture(autouse=True)
def fresh_logger(monkeypatch):
    """One no earlier test has bound to another configuration: `capture_logs` would not see it."""
    monkeypatch.setattr("mpi.feeds.mllp._log", structlog.get_logger())


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def echo(message):
    return message


class Gate:
    """A handler that answers once it is opened, and remembers who is inside."""

    def __init__(self):
        self.open = threading.Event()
        self.entered = threading.Semaphore(0)
        self.seen = []

    def __call__(self, message):
        self.seen.append(message)
        self.entered.release()
        self.open.wait(20)
        return message


def test_a_message_may_be_cut_anywhere():
    message = adt(charset="UNICODE UTF-8").encode()
    stream = wrap(message) + wrap(b"next")

    for at in range(len(stream) + 1):
        reader = FrameReader()
        assert reader.feed(stream[:at]) + reader.feed(stream[at:]) == [Frame(message), Frame(b"next")]


def test_a_thousand_frames_in_one_write_are_answered_in_order():
    messages = [b"%d" % n for n in range(1000)]
    with listening(echo) as port, connect(port) as peer:
        sender = threading.Thread(target=peer.sendall, args=(b"".join(map(wrap, messages)),))
        sender.start()

        assert receive_frames(peer, 1000) == messages
        sender.join()


def test_sixty_four_peers_each_get_their_own_answers():
    def talk(peer):
        with MllpClient("127.0.0.1", port) as client:
            return all(client.send(b"%d-%d" % (peer, n)) == b"%d-%d" % (peer, n) for n in range(25))

    with listening(echo) as port, ThreadPoolExecutor(64) as pool:
        assert all(pool.map(talk, range(64)))


def test_a_reply_of_two_messages_is_two_frames():
    with listening(lambda message: message + BOUNDARY + b"again") as port, connect(port) as peer:
        peer.sendall(wrap(b"A") + wrap(b"B"))

        assert receive_frames(peer, 4) == [b"A", b"again", b"B", b"again"]


def test_only_so_many_messages_are_in_work_and_the_others_wait():
    gate = Gate()
    with listening(gate, Limits(max_messages_in_work=2)) as port, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(connect(port)) for _ in range(6)]
        for number, peer in enumerate(peers):
            peer.sendall(wrap(b"%d" % number))
        gate.entered.acquire()
        gate.entered.acquire()
        time.sleep(0.2)
        assert len(gate.seen) == 2
        gate.open.set()

        assert [receive_frames(peer, 1) for peer in peers] == [[b"%d" % number] for number in range(6)]


@pytest.mark.parametrize(("refusal", "answered"), [(b"", []), (b"AR207", [b"AR207"])])
def test_a_message_nobody_takes_in_time_is_refused(refusal, answered):
    gate = Gate()
    limits = Limits(max_messages_in_work=1, wait_timeout_seconds=0.2)
    with (
        capture_logs() as logs,
        listening(gate, limits, refuse=lambda _message: refusal) as port,
        connect(port) as first,
        connect(port) as second,
    ):
        first.sendall(wrap(b"first"))
        gate.entered.acquire()
        second.sendall(wrap(b"second"))
        assert receive_frames(second, 1) == answered
        gate.open.set()
        assert receive_frames(first, 1) == [b"first"]

    assert gate.seen == [b"first"]
    assert [log["reason"] for log in logs] == ([] if refusal else ["too much in work"])


def test_a_sender_that_is_not_served_is_not_read():
    gate = Gate()
    with listening(gate) as port, connect(port) as peer:
        peer.sendall(wrap(b"first"))
        gate.entered.acquire()
        peer.settimeout(0.5)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 256 * 1024 * 1024:
                sent += peer.send(wrap(b"A" * 65_536))
        gate.open.set()

    assert sent < 64 * 1024 * 1024  # what the kernel holds, and no more


def test_peers_that_do_not_end_their_frames_harm_nobody_and_are_closed():
    with listening(echo, Limits(frame_timeout_seconds=1.0)) as port, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(connect(port)) for _ in range(100)]
        for peer in slow:
            peer.sendall(b"\x0bM")
        with MllpClient("127.0.0.1", port) as client:
            assert all(client.send(b"A") == b"A" for _ in range(20))
        assert [peer.recv(1) for peer in slow] == [b""] * 100


def test_a_peer_that_takes_no_reply_is_closed():
    limits = Limits(frame_timeout_seconds=0.3)
    with (
        capture_logs() as logs,
        listening(lambda _: b"A" * 16_000_000, limits) as port,
        connect(port) as peer,
    ):
        peer.sendall(wrap(b"A"))
        deadline = time.monotonic() + 10
        while not logs and time.monotonic() < deadline:
            time.sleep(0.05)

    assert [log.get("reason") for log in logs] == ["reply not taken in time"]


def test_stopping_answers_what_waits_for_its_turn_too():
    gate = Gate()
    with running(gate, Limits(max_messages_in_work=1)) as listener, contextlib.ExitStack() as stack:
        peers = [stack.enter_context(connect(listener.server.port)) for _ in range(3)]
        for number, peer in enumerate(peers):
            peer.sendall(wrap(b"%d" % number))
        gate.entered.acquire()
        time.sleep(0.2)  # the others have been read, and wait
        threading.Timer(0.2, gate.open.set).start()
        listener.stop()

        assert [receive_frames(peer, 1) for peer in peers] == [[b"0"], [b"1"], [b"2"]]


def test_stopping_does_not_wait_longer_than_told():
    gate = Gate()
    with running(gate) as listener, connect(listener.server.port) as peer:
        peer.sendall(wrap(b"A"))
        gate.entered.acquire()
        started = time.monotonic()
        listener.stop(grace_seconds=0.2)

        assert time.monotonic() - started < 5
        assert receive_frames(peer, 1) == []
        gate.open.set()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", ""])
def test_an_address_that_is_taken_is_an_error(host):
    with listening(echo) as port, pytest.raises(OSError, match="in use"):
        asyncio.run(serve(echo, host, port))
