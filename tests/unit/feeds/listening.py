"""A listener on a free port, in a thread, and a bare peer for it."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

from mpi.feeds.mllp import Frame, FrameReader, Handler, Limits, MllpServer, serve


class Listener:
    """A running server and the loop it runs on."""

    def __init__(self, server: MllpServer, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self.loop = loop

    def stop(self, grace_seconds: float = 10.0) -> None:
        """Stop it and wait until it has."""
        stopping = self.server.stop(grace_seconds=grace_seconds)
        asyncio.run_coroutine_threadsafe(stopping, self.loop).result(timeout=30)


@contextlib.contextmanager
def running(handler: Handler, limits: Limits | None = None, **options: Any) -> Iterator[Listener]:
    """Serve a handler for the time of a test; the options are those of `serve`."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    starting = serve(handler, "127.0.0.1", 0, limits=limits, **options)
    listener = Listener(asyncio.run_coroutine_threadsafe(starting, loop).result(timeout=30), loop)
    try:
        yield listener
    finally:
        listener.stop()
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result(timeout=30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=30)
        loop.close()


@contextlib.contextmanager
def listening(handler: Handler, limits: Limits | None = None, **options: Any) -> Iterator[int]:
    """Serve a handler for the time of a test, on the port given."""
    with running(handler, limits, **options) as listener:
        yield listener.server.port


def receive_frames(peer: socket.socket, count: int) -> list[bytes]:
    """Read that many frames, or what comes before the end of the connection."""
    reader = FrameReader()
    messages: list[bytes] = []
    while len(messages) < count:
        try:
            received = peer.recv(65_536)
        except ConnectionError:
            break
        if not received:
            break
        messages += [event.message for event in reader.feed(received) if isinstance(event, Frame)]
    return messages
