"""
MLLP: frames on a TCP connection, on bytes and strictly; a server on asyncio, a client on a socket.

A frame is `0x0B` message `0x1C 0x0D`. What a peer gets wrong closes its connection, and is never
answered as if it had been a message. One message of a connection is in flight at a time, so
replies keep the order of the requests, and so many of all connections: the others are not read
meanwhile. A slow index slows its senders instead of filling memory, and in the end refuses them.

Source: HL7 MLLP release 1; IHE ITI TF-2 appendix C (connections); IHE ITI-19 (TLS).
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

import structlog

from mpi.errors import StoreError
from mpi.feeds.tls import certificate_of
from mpi.index.parties import ClientCertificate

START: Final = 0x0B
END: Final = 0x1C
CARRIAGE_RETURN: Final = 0x0D
BOUNDARY: Final = bytes((END, CARRIAGE_RETURN, START))
"""Between two messages of one reply, which become two frames."""
_READ_BYTES: Final = 65_536
_BACKLOG: Final = 128
_SHUTDOWN_SECONDS: Final = 2.0

Handler = Callable[[bytes], bytes]
"""A message to its reply; an empty one is not written."""
HandlerOf = Callable[[ClientCertificate | None], Handler | None]
"""A peer's certificate, None without TLS, to what serves its messages; None to refuse it."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What one listener bears.

    Args:
        max_junk_bytes: between two frames, before the peer is taken for something else than MLLP.
        frame_timeout_seconds: from the first byte of a frame to its last, and for a peer to take a reply.
        max_messages_in_work: handed to the handler at once. Beyond, connections are not read.
        wait_timeout_seconds: until a message that is not handed over is refused.
    """

    max_message_bytes: int = 1_048_576
    frame_timeout_seconds: float = 30.0
    idle_timeout_seconds: float = 3600.0
    max_connections: int = 256
    max_junk_bytes: int = 16
    max_messages_in_work: int = 64
    wait_timeout_seconds: float = 10.0
    handshake_timeout_seconds: float = 5.0


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
        self,
        server: "MllpServer",
        handler: Handler,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        peer: str,
    ) -> None:
        self._server = server
        self._handler = handler
        self._reader = reader
        self._writer = writer
        self._peer = peer
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
        try:
            reply = await self._reply(message)
        except StoreError:
            _log.error("mllp.not_acknowledged", peer=self._peer)
            return False
        except Exception as error:  # noqa: BLE001 - the last resort: nothing of the message may reach the log
            _log.error("mllp.handler_failed", peer=self._peer, error=type(error).__name__)
            return False
        if reply is None:
            self._closing("too much in work")
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

    async def _reply(self, message: bytes) -> bytes | None:
        """What the handler answers, or how it is refused when nobody takes it in time; None to close."""
        server = self._server
        try:
            async with asyncio.timeout(server.limits.wait_timeout_seconds):
                await server.room.acquire()
        except TimeoutError:
            return server.refuse(message) or None
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(server.executor, self._handler, message)
        finally:
            server.room.release()

    def _closing(self, reason: str) -> None:
        _log.warning("mllp.closed", peer=self._peer, reason=reason)


class MllpServer:
    """
    A listener. Start one with `serve`.

    It accepts by itself, rather than through `asyncio.start_server`, which hides why a handshake failed.
    """

    def __init__(
        self,
        handler_of: HandlerOf,
        limits: Limits,
        executor: Executor | None,
        tls: ssl.SSLContext | None,
        refuse: Handler,
    ) -> None:
        self.limits = limits
        self.executor = executor
        self.refuse = refuse
        self.stopping = False
        self.room = asyncio.Semaphore(limits.max_messages_in_work)
        self._handler_of = handler_of
        self._tls = tls
        self._listening: list[socket.socket] = []
        self._accepting: list[asyncio.Task[None]] = []
        self._connections: dict[asyncio.Task[None], _Connection | None] = {}

    @property
    def port(self) -> int:
        """The port it listens on, also when a free one was asked for."""
        if not self._listening:
            raise RuntimeError("not started")
        return int(self._listening[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many peers are connected."""
        return len(self._connections)

    async def start(self, host: str, port: int) -> None:
        """Listen."""
        self._listening = await _listen(host, port)
        self._accepting = [asyncio.create_task(self._accept(one)) for one in self._listening]

    async def stop(self, *, grace_seconds: float = 10.0) -> None:
        """Accept nobody any more, let messages in flight be answered, and close every connection."""
        self.stopping = True
        for accepting in self._accepting:
            accepting.cancel()
        if self._accepting:
            await asyncio.wait(self._accepting)
        for listening in self._listening:
            listening.close()
        for task, connection in self._connections.items():
            if connection is None or not connection.busy:
                task.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=grace_seconds)
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections))

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, address = await loop.sock_accept(listening)
            except OSError as error:  # too many open files, most likely: those who wait may have better luck
                _log.error("mllp.not_accepted", error=type(error).__name__)
                await asyncio.sleep(0.5)
                continue
            if self.stopping or len(self._connections) >= self.limits.max_connections:
                _log.warning("mllp.refused", open=len(self._connections))
                accepted.close()
                continue
            task = asyncio.create_task(self._serve(accepted, str(address[0])))
            self._connections[task] = None
            task.add_done_callback(partial(self._ended, accepted))

    def _ended(self, accepted: socket.socket, task: asyncio.Task[None]) -> None:
        del self._connections[task]
        accepted.close()  # again, unless the task ended before it began

    async def _serve(self, accepted: socket.socket, peer: str) -> None:
        opened = await self._open(accepted, peer)
        if opened is None:
            return
        reader, writer = opened
        try:
            handler = self._handler_of(certificate_of(writer.get_extra_info("ssl_object")))
            if handler is None:
                _log.warning("mllp.closed", peer=peer, reason="a certificate of no source or consumer")
                return
            connection = _Connection(self, handler, reader, writer, peer)
            task = asyncio.current_task()
            if task is not None:
                self._connections[task] = connection
            await connection.run()
        except asyncio.CancelledError:
            pass  # the server stops
        except OSError:
            _log.info("mllp.lost", peer=peer)
        finally:
            await _close(writer)

    async def _open(
        self, accepted: socket.socket, peer: str
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """Streams over an accepted connection, the handshake done; None when it failed."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        timed = {"ssl_handshake_timeout": self.limits.handshake_timeout_seconds} if self._tls else {}
        if self._tls:
            timed["ssl_shutdown_timeout"] = _SHUTDOWN_SECONDS
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol, accepted, ssl=self._tls, **timed
            )
        except OSError as error:
            _log.warning("mllp.closed", peer=peer, reason=f"no TLS: {_why_no_handshake(error)}")
            return None
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on every address of a host, all of them on the port the first one got."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    listening: list[socket.socket] = []
    problem: OSError | None = None
    for family, kind, protocol, _, address in dict.fromkeys(found):
        if listening:
            address = (address[0], listening[0].getsockname()[1], *address[2:])
        try:
            listening.append(_listening_on(family, kind, protocol, address))
        except OSError as error:
            problem = error
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):  # a machine without IPv6
                break
    if problem is not None and (not listening or problem.errno == errno.EADDRINUSE):
        for one in listening:
            one.close()
        raise problem
    return listening


def _listening_on(family: int, kind: int, protocol: int, address: Any) -> socket.socket:
    # The protocol is named: asyncio turns Nagle's algorithm off only on sockets that say they are TCP.
    one = socket.socket(family, kind, protocol)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
        one.listen(_BACKLOG)
    except OSError:
        one.close()
        raise
    return one


def _why_no_handshake(error: OSError) -> str:
    """OpenSSL's own words, which hold nothing a peer wrote."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    reason = getattr(error, "reason", None)
    return reason.replace("_", " ").lower() if reason else "handshake broken off or too slow"


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
    handler_of: HandlerOf | None = None,
    refuse: Handler = lambda _message: b"",
) -> MllpServer:
    """
    Listen for MLLP on host and port (0 takes a free one), and return the running server.

    Args:
        handler: message bytes to reply bytes, called in the executor's threads, one message of a
            connection at a time; an empty reply is not written. StoreError, or any other exception,
            closes the connection unanswered.
        executor: the event loop's own unless given.
        handler_of: makes the handler of one peer from its certificate; otherwise `handler` serves all.
        refuse: what is answered to a message nobody takes in time; empty closes the connection.

    Raises:
        OSError: the address cannot be listened on.
    """
    server = MllpServer(handler_of or (lambda _peer: handler), limits or Limits(), executor, tls, refuse)
    await server.start(host, port)
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

    def connect(self) -> bool:
        """
        Open the connection, unless one is open already. Returns whether one was.

        Raises:
            OSError: no connection. Nothing was sent.
        """
        was_open = self._socket is not None
        self._connected()
        return was_open

    def close(self) -> None:
        """Close the connection, if one is open; who waits for a reply on it waits no longer."""
        open_, self._socket = self._socket, None
        if open_ is not None:
            with contextlib.suppress(OSError):  # the peer was faster
                open_.shutdown(socket.SHUT_RDWR)
            open_.close()

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
