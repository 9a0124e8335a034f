"""Frames between a process and the children that read headers for it: four bytes of length, then that many."""

import socket
import struct
import time

PATH, BYTES = b"P", b"B"
"""What a request begins with: the name of a file to open, or the object itself."""

MAX_FRAME_BYTES = 16 * 1024 * 1024

_LENGTH = struct.Struct("<I")


def send_frame(connection: socket.socket, payload: bytes) -> None:
    """Send one frame whole."""
    connection.sendall(_LENGTH.pack(len(payload)) + payload)


def receive_frame(connection: socket.socket, *, patience_seconds: float | None) -> bytes:
    """
    Wait for one frame, `patience_seconds` in all, or for ever.

    Raises:
        ConnectionError: the other end is gone, or sends no such frame.
        TimeoutError: patience is over.
    """
    deadline = None if patience_seconds is None else time.monotonic() + patience_seconds
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size, deadline))
    if length > MAX_FRAME_BYTES:
        raise ConnectionError("a frame larger than any answer")
    return _exactly(connection, length, deadline)


def _exactly(connection: socket.socket, count: int, deadline: float | None) -> bytes:
    received = bytearray()
    while len(received) < count:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer in time")
            connection.settimeout(left)
        found = connection.recv(min(count - len(received), 1 << 20))
        if not found:
            raise ConnectionError("the other end is gone")
        received += found
    return bytes(received)
