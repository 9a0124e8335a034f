"""Consumers of notifications in tests: honest ones, and one that lies, delays, swaps, halves and drops its answers."""

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from mpi.feeds.mllp import Frame, FrameReader, wrap

Answer = Callable[["Consumer", bytes], list[bytes] | None]
"""What is written to the connection for a message; None closes it."""


def control_id(message: bytes) -> str:
    return message.split(b"\r", 1)[0].split(b"|")[9].decode()


def identifiers(message: bytes) -> frozenset[tuple[str, str]]:
    """(namespace, value) of each repetition of PID-3."""
    pid = next(line for line in message.split(b"\r") if line.startswith(b"PID|")).decode()
    repetitions = [one.split("^") for one in pid.split("|")[3].split("~")]
    return frozenset((one[3].split("&")[0], one[0]) for one in repetitions)


def acknowledgement(message_id: str, code: str = "AA") -> bytes:
    return f"MSH|^~\\&|C|D|MPI|FED|20260302103000||ACK^A31^ACK|A1|P|2.5\rMSA|{code}|{message_id}\r".encode()


def honest(_consumer: "Consumer", message: bytes) -> list[bytes]:
    return [wrap(acknowledgement(control_id(message)))]


@dataclass
class Consumer:
    """
    A listener on a free port that keeps what it was sent.

    Args:
        acknowledged: control ids it confirmed, by an answer it wrote completely.
    """

    answer: Answer = honest
    received: list[bytes] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)
    port: int = 0
    _listening: socket.socket | None = None
    _open: set[socket.socket] = field(default_factory=set)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> "Consumer":
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", self.port))
        listening.listen()
        self.port = listening.getsockname()[1]
        self._listening = listening
        threading.Thread(target=self._accept, args=(listening,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self._listening is not None:
            with_shutdown(self._listening)
            self._listening = None
        for connection in list(self._open):
            with_shutdown(connection)

    def sets(self) -> list[frozenset[tuple[str, str]]]:
        """What it was told, in order, each notification once."""
        once = {control_id(message): identifiers(message) for message in self.received}
        return list(once.values())

    def wait_for(self, count: int, *, seconds: float = 20.0) -> None:
        """Until so many different notifications came."""
        deadline = time.monotonic() + seconds
        while len({control_id(message) for message in list(self.received)}) < count:
            assert time.monotonic() < deadline, f"{len(self.received)} came"
            time.sleep(0.01)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        frames = FrameReader()
        try:
            while received := connection.recv(65536):
                for event in frames.feed(received):
                    if isinstance(event, Frame):
                        self.received.append(event.message)
                        answers = self.answer(self, event.message)
                        if answers is None:
                            return
                        for part in answers:
                            connection.sendall(part)
        except OSError:
            pass
        finally:
            self._open.discard(connection)
            with_shutdown(connection)


def with_shutdown(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


@contextmanager
def consuming(answer: Answer = honest) -> Iterator[Consumer]:
    consumer = Consumer(answer).start()
    try:
        yield consumer
    finally:
        consumer.stop()


def liar(seed: int, *, delay_seconds: float) -> Answer:
    """
    Confirms some messages, and does everything else it can think of to others.

    What it confirms is in `Consumer.acknowledged`: nothing else may ever count as delivered.
    """
    rng = random.Random(seed)
    names = ["N-0000", "N-0000"]  # the one before, the last one

    def answer(consumer: Consumer, message: bytes) -> list[bytes] | None:
        name = control_id(message)
        if name != names[1]:
            names[:] = names[1], name
        before = names[0]
        good = wrap(acknowledgement(name))

        def confirmed(parts: list[bytes]) -> list[bytes]:
            consumer.acknowledged.add(name)
            return parts

        match rng.randrange(16):
            case 0:
                return None  # hangs up
            case 1:
                return []  # says nothing
            case 2:
                return [good[: len(good) // 2]]  # half of it, and nothing more
            case 3:
                return [wrap(acknowledgement(before))]  # the one before
            case 4:
                return [wrap(acknowledgement(name[:-1]))]
            case 5:
                return [wrap(acknowledgement("")), good[:3]]
            case 6:
                return [wrap(acknowledgement(name, "AR"))]
            case 7:
                return [
                    wrap(
                        b"MSH|^~\\&|C|D|MPI|FED|20260302103000||ADT^A31|1|P|2.5\rMSA|AA|"
                        + name.encode()
                        + b"\r"
                    )
                ]
            case 8:
                return [wrap(b"\x06"), b""]  # MLLP release 2
            case 9:
                return [b"HTTP/1.1 200 OK\r\n\r\n"]
            case 10:
                time.sleep(delay_seconds)  # too late, as a rule; yet true
                return confirmed([good])
            case 11:
                return confirmed([good, good])  # twice
            case 12:
                return confirmed([bytes((one,)) for one in good])
            case _:
                return confirmed([good])

    return answer
