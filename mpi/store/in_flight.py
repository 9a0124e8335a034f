"""
`index.attempts.InFlight` in a file: what is in work, noted where the death of the process leaves it.

The file is written and not flushed: a power cut forgets it, and no message causes one. Each process
has a file of its own in a folder, and a lock on it that the system lets go of when the process dies.
"""

import os
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mpi.errors import StoreError

if sys.platform != "win32":
    import fcntl

_SUFFIX = ".in-flight"
_DIGEST_BYTES = 32
_NOTHING = bytes(_DIGEST_BYTES)


class InFlightFile:
    """The notes of one process: a slot of 32 bytes for each message in work. Made with the first note."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{uuid.uuid4().hex}{_SUFFIX}"
        self._descriptor: int | None = None
        self._free: list[int] = []
        self._slots = 0
        self._taking = threading.Lock()

    @contextmanager
    def noted(self, digest: str) -> Iterator[None]:
        """
        Note a message by its digest (hexadecimal) for as long as it is tried.

        Raises:
            StoreError: the folder cannot be written.
        """
        with self._taking:
            descriptor = self._descriptor = self._opened() if self._descriptor is None else self._descriptor
            if not self._free:
                self._free.append(self._slots)
                self._slots += 1
            slot = self._free.pop()
        at = slot * _DIGEST_BYTES
        os.pwrite(descriptor, bytes.fromhex(digest), at)
        try:
            yield
        finally:
            os.pwrite(descriptor, _NOTHING, at)
            with self._taking:
                self._free.append(slot)

    def close(self) -> None:
        """Take the notes away: the process ends in order."""
        if self._descriptor is not None:
            with suppress(OSError):
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = None

    def _opened(self) -> int:
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StoreError(f"what is in work cannot be noted: {error.strerror}") from None
        _try_lock(descriptor)
        return descriptor


def left_behind(folder: Path) -> Iterator[list[str]]:
    """
    What was in work in processes that died, one list for each; its file goes once the caller is done with it.
    """
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            if not _try_lock(descriptor) or not path.exists():
                continue
            yield _read(descriptor)
            path.unlink()
        finally:
            os.close(descriptor)


def _read(descriptor: int) -> list[str]:
    notes = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    slots = (notes[at : at + _DIGEST_BYTES] for at in range(0, len(notes), _DIGEST_BYTES))
    return [slot.hex() for slot in slots if slot != _NOTHING and len(slot) == _DIGEST_BYTES]


def _try_lock(descriptor: int) -> bool:
    if sys.platform == "win32":
        return False  # nobody can tell whether its process lives: nothing is counted
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
