"""
Read headers in child processes: an object that kills its reader is one unreadable object.

Children are reused, because starting one costs a second and reading a header a few milliseconds.
One that dies, hangs or answers nonsense is ended and replaced when the next object comes.
"""

import atexit
import json
import os
import queue
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mpi.errors import FeedError, StoreError, UnreadableMessage, UnsupportedMessage
from mpi.feeds.dicom.frames import BYTES, PATH, receive_frame, send_frame
from mpi.feeds.dicom.header import FILE, Header, header_from_json

ReadHeader = Callable[[Path | bytes], Header]
"""How a feed gets at a header: `header.read_header` in this process, or `HeaderReaders.read` in another."""

READ_SECONDS = 5.0
"""How long one object may take, waiting included; its processor time is limited more tightly."""

START_SECONDS = 60.0
BUSY_SECONDS = 60.0

MAX_OBJECTS = 20_000
"""After so many objects a child is replaced, and its memory is clean again."""

_DYING_SECONDS = 0.05
DIED = "stopped its reader: too large, too deep or too slow to read"

_CHILD = "mpi.feeds.dicom.child"
_ERRORS: dict[str, type[FeedError]] = {
    error.__name__: error for error in (UnreadableMessage, UnsupportedMessage)
}
_Answer = dict[str, Any]


def read_header_apart(source: Path | bytes) -> Header:
    """Read a header in the child that the runs of this process share; see `HeaderReaders.read`."""
    return _shared_readers(os.getpid()).read(source)  # a forked process may not talk to its parent's child


@cache
def _shared_readers(_process_id: int) -> "HeaderReaders":
    readers = HeaderReaders()
    atexit.register(readers.close)
    return readers


class HeaderReaders:
    """
    A few child processes that read headers. For any number of threads.

    Args:
        processes: how many objects are read at once. Each child takes some 90 MiB once it is needed.
    """

    def __init__(self, processes: int = 1, *, read_seconds: float = READ_SECONDS) -> None:
        self._read_seconds = read_seconds
        self._idle: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(processes):
            self._idle.put(None)  # started when first needed
        self._processes = processes
        self.replaced = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, source: Path | bytes) -> Header:
        """
        The header of a DICOM file, or of the bytes of one, as `header.read_header` reads it.

        Raises:
            UnreadableMessage, UnsupportedMessage: as `read_header`; or the object ended its reader.
            StoreError: this machine cannot start a reader, or all are busy for too long: the object is
                not to blame, and nobody may acknowledge it.
        """
        request = BYTES + source if isinstance(source, bytes) else PATH + os.fsencode(source.absolute())
        try:
            child = self._idle.get(timeout=BUSY_SECONDS)
        except queue.Empty:
            raise StoreError("every header reader is busy") from None
        try:
            child, answer = self._ask(child, request)
        except BaseException:
            self._idle.put(None)
            raise
        self._idle.put(child)
        return _header(answer)

    def _ask(self, child: "_Child | None", request: bytes) -> "tuple[_Child, _Answer]":
        """Ask a child, or a new one. A child that somebody killed says nothing of the object: it is asked again."""
        for last in (False, True):
            if child is None or child.is_worn:
                if child is not None:
                    child.stop()
                child = _start()
            try:
                return child, child.ask(request, self._read_seconds)
            except (OSError, ValueError, RecursionError):
                self.replaced += 1
                was_killed = child.stop()
                if last or not was_killed:
                    raise UnreadableMessage(FILE, DIED) from None
                child = None
            except BaseException:
                child.stop()  # interrupted between question and answer: it may not answer the next question
                raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        """End every child; those at work first finish their object."""
        for _ in range(self._processes):
            with suppress(queue.Empty):
                child = self._idle.get(timeout=self._read_seconds)
                if child is not None:
                    child.stop()
        for _ in range(self._processes):
            self._idle.put(None)


def _start() -> "_Child":
    try:
        return _Child()
    except OSError:
        raise StoreError("a header reader cannot be started") from None


class _Child:
    """One child process, ready to read."""

    def __init__(self) -> None:
        self._asked = 0
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", _CHILD, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # a library's own words may quote the object
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                start_new_session=True,  # the terminal's interrupt is for the parent
            )
        try:
            receive_frame(self._connection, patience_seconds=START_SECONDS)
        except OSError:
            self.stop()
            raise

    @property
    def is_worn(self) -> bool:
        """Whether it read enough, and another should begin with clean memory."""
        return self._asked >= MAX_OBJECTS

    def ask(self, request: bytes, patience_seconds: float) -> _Answer:
        self._asked += 1
        self._connection.settimeout(patience_seconds)
        send_frame(self._connection, request)
        answer = json.loads(receive_frame(self._connection, patience_seconds=patience_seconds))
        if not isinstance(answer, dict):
            raise ValueError("not an answer")
        return answer

    def stop(self) -> bool:
        """End it, and return whether somebody had killed it before: the system when memory is short, or a person."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_DYING_SECONDS)
        was_killed = self._process.poll() == -signal.SIGKILL
        self._connection.close()
        self._process.kill()
        self._process.wait()
        return was_killed


def _header(answer: _Answer) -> Header:
    error = _ERRORS.get(str(answer.get("error", "")))
    if error is not None:
        raise error(str(answer.get("place", FILE)), str(answer.get("problem", "")))
    header = header_from_json(answer.get("elements"))
    header.reading_warnings = tuple(str(warning) for warning in answer.get("warnings", ()))
    return header
