"""
MLLP: frames on a TCP connection, on bytes and strictly; a server on asyncio, a client on a socket.

A frame is `0x0B` message `0x1C 0x0D`. What a peer gets wrong closes its connection, and is never
answered as if it had been a message. One message of a connection is in flight at a time, so
replies keep the order of the requests and a slow index slows its senders instead of filling memory.

Source: HL7 MLLP release 1; IHE ITI TF-2 appendix C (connections).
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import Enum, auto
from types import TracebackType
from typing import Final, Self

import structlog

from mpi.errors import StoreError

START: Final = 0x0B
END: Final = 0x1C
CARRIAGE_RETURN: Final = 0x0D
_READ_BYTES: Final = 65_536

Handler = Callable[[bytes], bytes]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What one listener bears.

    Args:
        max_junk_bytes: between two frames, before the peer is taken for something else than MLLP.
        frame_timeout_seconds: from the first byte of a frame to its last, and for a peer to take a reply.
    """

    max_message_bytes: int = 1_048_576
    frame_timeout_seconds: float = 30.0
    idle_timeout_seconds: float = 3600.0
    max_connections: int = 256
    max_junk_bytes: int = 16


@dataclass(frozen=True, slots=True)
class Frame:
    """One complete message, without its framing."""

    message: bytes


@dataclass(frozen=True, slots=True)
class Resynchronised:
    """A new frame began inside an open one, which is lost."""


@dataclass(frozen=True, slots=True)
class Violation:
    """The peer does not speak MLLP, or not within the limits; nothing after it can be trusted."""

    reason: str


Event = Frame | Resynchronised | Violation


class _State(Enum):
    BETWEEN = auto()
    INSIDE = auto()
    ENDING = auto()
    BROKEN = auto()


class FrameReader:
    """
    Bytes in, events out: the same events however the bytes are cut.

    After a violation the reader is broken and reads nothing more.
    """

    def __init__(self, *, max_message_bytes: int = 1_048_576, max_junk_bytes: int = 16) -> None:
        self._max_message_bytes = max_message_bytes
        self._max_junk_bytes = max_junk_bytes
        self._state = _State.BETWEEN
        self._body = bytearray()
        self._junk = 0

    @property
    def in_frame(self) -> bool:
        """Whether a frame has begun and not ended."""
        return self._state in (_State.INSIDE, _State.ENDING)

    def feed(self, received: bytes) -> list[Event]:
        """Take the next bytes and return what they complete."""
        events: list[Event] = []
        at = 0
        while at < len(received) and self._state is not _State.BROKEN:
            if self._state is _State.BETWEEN:
                at = self._skip_junk(received, at, events)
            elif self._state is _State.INSIDE:
                at = self._read_body(received, at, events)
            else:
                self._finish(received[at], events)
                at += 1
        return events

    def _skip_junk(self, received: bytes, at: int, events: list[Event]) -> int:
        start = received.find(START, at)
        end = len(received) if start < 0 else start
        self._junk += end - at
        if self._junk > self._max_junk_bytes:
            self._break("bytes outside any frame", events)
        elif start >= 0:
            self._begin()
        return end + 1

    def _read_body(self, received: bytes, at: int, events: list[Event]) -> int:
        end, restart = received.find(END, at), received.find(START, at)
        stop = min((index for index in (end, restart) if index >= 0), default=len(received))
        if len(self._body) + stop - at > self._max_message_bytes:
            self._break("message too long", events)
        elif stop == restart:
            events.append(Resynchronised())
            self._begin()
        else:
            self._body += received[at:stop]
            if stop == end:
                self._state = _State.ENDING
        return stop + 1

    def _finish(self, byte: int, events: list[Event]) -> None:
        if byte == CARRIAGE_RETURN:
            events.append(Frame(bytes(self._body)))
            self._body = bytearray()
            self._junk = 0
            self._state = _State.BETWEEN
        else:
            self._break("frame end without carriage return", events)

    def _begin(self) -> None:
        self._body = bytearray()
        self._state = _State.INSIDE

    def _break(self, reason: str, events: list[Event]) -> None:
        self._body = bytearray()
        self._state = _State.BROKEN
        events.append(Violation(reason))


def wrap(message: bytes) -> bytes:
    """Frame a message."""
    return b"\x0b%b\x1c\r" % message


class _Connection:
    """One peer: reads, hands each frame to the handler, writes its reply, in order."""

    def __init__(
        self, server: "MllpServer", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer
        self._frames = FrameReader(
            max_message_bytes=server.limits.max_message_bytes, max_junk_bytes=server.limits.max_junk_bytes
        )
        self.busy = False

    async def run(self) -> None:
        """Serve until the peer leaves, errs or is too slow, or the server stops."""
        loop = asyncio.get_running_loop()
        limits = self._server.limits
        deadline = loop.time() + limits.idle_timeout_seconds
        while not self._server.stopping:
            try:
                async with asyncio.timeout_at(deadline):
                    received = await self._reader.read(_READ_BYTES)
            except TimeoutError:
                self._closing("frame incomplete in time" if self._frames.in_frame else "idle")
                return
            if not received:
                if self._frames.in_frame:
                    self._closing("connection ended inside a frame")
                return
            was_in_frame = self._frames.in_frame
            events = self._frames.feed(received)
            for event in events:
                if not await self._take(event):
                    return
            if not self._frames.in_frame:
                deadline = loop.time() + limits.idle_timeout_seconds
            elif not was_in_frame or any(isinstance(event, Frame) for event in events):
                deadline = loop.time() + limits.frame_timeout_seconds

    async def _take(self, event: Event) -> bool:
        """Serve one event; False when the connection is over."""
        match event:
            case Violation(reason=reason):
                self._closing(reason)
                return False
            case Resynchronised():
                _log.warning("mllp.resynchronised", peer=self._peer)
                return True
            case Frame(message=message):
                self.busy = True
                try:
                    return await self._answer(message)
                finally:
                    self.busy = False

    async def _answer(self, message: bytes) -> bool:
        loop = asyncio.get_running_loop()
        try:
            reply = await loop.run_in_executor(self._server.executor, self._server.handler, message)
        except StoreError:
            _log.error("mllp.not_acknowledged", peer=self._peer)
            return False
        except Exception as error:  # noqa: BLE001 - the last resort: nothing of the message may reach the log
            _log.error("mllp.handler_failed", peer=self._peer, error=type(error).__name__)
            return False
        if not reply:
            return not self._server.stopping
        self._writer.write(wrap(reply))
        try:
            async with asyncio.timeout(self._server.limits.frame_timeout_seconds):
                await self._writer.drain()
        except TimeoutError:
            self._closing("reply not taken in time")
            return False
        return not self._server.stopping

    def _closing(self, reason: str) -> None:
        _log.warning("mllp.closed", peer=self._peer, reason=reason)

    @property
    def _peer(self) -> str:
        address = self._writer.get_extra_info("peername")
        return str(address[0]) if address else ""


class MllpServer:
    """A listener. Start one with `serve`."""

    def __init__(self, handler: Handler, limits: Limits, executor: Executor | None) -> None:
        self.handler = handler
        self.limits = limits
        self.executor = executor
        self.stopping = False
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}

    @property
    def port(self) -> int:
        """The port it listens on, also when a free one was asked for."""
        if self._server is None:
            raise RuntimeError("not started")
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many peers are connected."""
        return len(self._connections)

    async def start(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._connected, host, port, ssl=tls)

    async def stop(self, *, grace_seconds: float = 10.0) -> None:
        """Accept nobody any more, let messages in flight be answered, and close every connection."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        for task, connection in self._connections.items():
            if not connection.busy:
                task.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=grace_seconds)
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections))

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self.stopping or len(self._connections) >= self.limits.max_connections:
            _log.warning("mllp.refused", open=len(self._connections))
            await _close(writer)
            return
        connection = _Connection(self, reader, writer)
        self._connections[task] = connection
        try:
            await connection.run()
        except asyncio.CancelledError:
            pass  # the server stops
        except (ConnectionError, ssl.SSLError):
            _log.info("mllp.lost")
        finally:
            del self._connections[task]
            await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        async with asyncio.timeout(5):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        writer.transport.abort()


async def serve(
    handler: Handler,
    host: str,
    port: int,
    *,
    limits: Limits | None = None,
    executor: Executor | None = None,
    tls: ssl.SSLContext | None = None,
) -> MllpServer:
    """
    Listen for MLLP on host and port (0 takes a free one), and return the running server.

    Args:
        handler: message bytes to reply bytes, called in the executor's threads, one message of a
            connection at a time; an empty reply is not written. StoreError, or any other exception,
            closes the connection unanswered.
        executor: the event loop's own unless given.
    """
    server = MllpServer(handler, limits or Limits(), executor)
    await server.start(host, port, tls=tls)
    return server


class MllpClient:
    """
    A sender, for the demonstration, notifications and tests. Not for several threads.

    The connection opens with the first message, and again after a failure: an acceptor may close
    an idle one at any time.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeout_seconds: float = 30.0,
        tls: ssl.SSLContext | None = None,
        max_message_bytes: int = 16_777_216,
    ) -> None:
        self._address = (host, port)
        self._timeout_seconds = timeout_seconds
        self._tls = tls
        self._max_message_bytes = max_message_bytes
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, message: bytes) -> bytes:
        """
        Send one message and return its reply.

        Raises:
            OSError: no connection, no reply in time, or a reply that is not MLLP. Whether the
                message was taken is unknown; sending it again is safe, and the next call reconnects.
        """
        try:
            connection = self._connected()
            connection.sendall(wrap(message))
            return self._reply(connection)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if one is open."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        if self._socket is None:
            plain = socket.create_connection(self._address, timeout=self._timeout_seconds)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            host = self._address[0]
            self._socket = self._tls.wrap_socket(plain, server_hostname=host) if self._tls else plain
        return self._socket

    def _reply(self, connection: socket.socket) -> bytes:
        frames = FrameReader(max_message_bytes=self._max_message_bytes)
        while received := connection.recv(_READ_BYTES):
            for event in frames.feed(received):
                if isinstance(event, Frame):
                    return event.message
                raise ConnectionError("the reply is not an MLLP frame")
        raise ConnectionError("the connection ended without a reply")
