"""
SQLite, the embedded store: one writer connection that alone checkpoints, readers apart.

SQLite before 3.51.3 can corrupt a WAL database when two connections write and checkpoint at
once (sqlite.org/wal.html#walresetbug). Here a lock file keeps writers of different processes
apart from begin to checkpoint, and readers never checkpoint.
"""

import os
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.pool import QueuePool, StaticPool

from mpi.errors import StoreError
from mpi.store.base import WAIT_FOR_WRITER_SECONDS, SqlStore, connect, log
from mpi.store.session import guarded

if sys.platform != "win32":
    import fcntl

_OLDEST = (3, 38, 0)
"""RETURNING and the JSON functions."""
_WAL_RESET_FIXED = (3, 51, 3)
_CHECKPOINT_PAGES = 1_000
_POLL_SECONDS = 0.002


class SqliteStore(SqlStore):
    """
    A store in one file, or in memory for tests.

    Raises:
        StoreError: the file cannot be opened, or does not take WAL with `synchronous=FULL`.
    """

    def __init__(self, url: URL) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise StoreError(f"SQLite {sqlite3.sqlite_version} is too old; 3.38 or newer is needed")
        self._lock = threading.Lock()
        self._between_processes: _LockFile | None = None
        self._at_work: _LockFile | None = None
        self._claimed: set[str] = set()
        self._claims = threading.Lock()
        if url.database in (None, "", ":memory:"):
            self._in_memory = True
            engine = _engine(url, "BEGIN", {"foreign_keys": "ON"}, in_memory=True)
            super().__init__(writer=engine, reader=engine)
            return
        self._in_memory = False
        self._prepare_file(Path(str(url.database)))
        common = {"foreign_keys": "ON", "busy_timeout": int(WAIT_FOR_WRITER_SECONDS * 1000), "mmap_size": 0}
        writer = _engine(
            url,
            "BEGIN IMMEDIATE",
            {
                **common,
                "journal_mode": "WAL",
                "synchronous": "FULL",
                "wal_autocheckpoint": _CHECKPOINT_PAGES,
                "secure_delete": "ON",  # what is erased is overwritten, not only forgotten
            },
        )
        reader = _engine(url, "BEGIN", {**common, "wal_autocheckpoint": 0, "query_only": "ON"})
        super().__init__(writer=writer, reader=reader)
        try:
            with self._writers_turn():
                _assert_durable(writer)
        except BaseException:
            self.close()
            raise
        if sqlite3.sqlite_version_info < _WAL_RESET_FIXED:
            log.warning(
                "store.sqlite_wal_reset_bug",
                extra={"sqlite_version": sqlite3.sqlite_version, "fixed_in": "3.51.3"},
            )

    def close(self) -> None:
        """Close every connection; the last one of all processes folds the write-ahead log into the file."""
        with self._writers_turn():
            super().close()
        if self._between_processes is not None:
            self._between_processes.close()
            self._between_processes = None
        if self._at_work is not None:
            self._at_work.close()
            self._at_work = None

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Of several processes, one has every claim: as long as it holds any."""
        with self._claims:
            taken = name not in self._claimed and (bool(self._claimed) or self._starts_work())
            if taken:
                self._claimed.add(name)
        try:
            yield taken
        finally:
            if taken:
                with self._claims:
                    self._claimed.discard(name)
                    if not self._claimed and self._at_work is not None:
                        self._at_work.release()

    def _starts_work(self) -> bool:
        return self._at_work is None or self._at_work.taken()

    def _prepare_file(self, path: Path) -> None:
        """Only the owner may read what is in here: patients' identities."""
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
            if sys.platform != "win32":
                self._between_processes = _LockFile(path.with_name(path.name + "-writer"))
                self._at_work = _LockFile(path.with_name(path.name + "-relay"))
        except OSError as error:
            raise StoreError(f"the database file cannot be opened: {error.strerror}") from None

    @contextmanager
    def _writers_turn(self) -> Iterator[None]:
        deadline = time.monotonic() + WAIT_FOR_WRITER_SECONDS
        if not self._lock.acquire(timeout=WAIT_FOR_WRITER_SECONDS):
            raise StoreError("the writer's turn did not come")
        try:
            with self._between_processes.held(deadline) if self._between_processes else nullcontext():
                yield
        finally:
            self._lock.release()

    @contextmanager
    def _readers_turn(self) -> Iterator[None]:
        """In memory there is one connection, and a reader waits for the writer too."""
        if not self._in_memory:
            yield
            return
        with self._writers_turn():
            yield

    def _begin_write(self) -> Connection:
        return self._begin(self._writer_engine, only_read=False)

    def _begin_read(self) -> Connection:
        return self._begin(self._reader_engine, only_read=True)

    def _begin(self, engine: Engine, *, only_read: bool) -> Connection:
        connection = connect(engine)
        if self._in_memory:  # elsewhere the connection itself was made for the one or the other
            connection.exec_driver_sql(f"PRAGMA query_only={int(only_read)}")
        return connection


class _LockFile:
    """One writer among processes. The system lets go of it when its holder dies."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)

    @contextmanager
    def held(self, deadline: float) -> Iterator[None]:
        while not self.taken():
            if time.monotonic() >= deadline:
                raise StoreError("the writer's turn did not come: another process is writing")
            time.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            self.release()

    def close(self) -> None:
        os.close(self._descriptor)

    def release(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def taken(self) -> bool:
        """Whether it is this process's now."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _engine(url: URL, begin: str, pragmas: dict[str, object], *, in_memory: bool = False) -> Engine:
    """
    An engine whose connections take these pragmas and begin transactions with this statement.

    The driver's own implicit transactions are switched off: it begins too late for a snapshot,
    and never IMMEDIATE.
    """
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False, "isolation_level": None},
        poolclass=StaticPool if in_memory else QueuePool,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def _set_pragmas(dbapi_connection: Any, _record: object) -> None:
        for name, value in pragmas.items():
            dbapi_connection.execute(f"PRAGMA {name}={value}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _assert_durable(engine: Engine) -> None:
    """
    Ask the file itself how it is written: a file system may refuse WAL without saying so.

    Raises:
        StoreError: not a write-ahead log, or a commit does not wait for the disk.
    """

    def asked() -> tuple[object, object]:
        with engine.connect() as connection:
            journal_mode, synchronous = (
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous")
            )
            return journal_mode, synchronous

    journal_mode, synchronous = guarded(asked)
    if journal_mode != "wal":
        raise StoreError(f"journal_mode is {journal_mode}, not wal: this file system cannot hold the store")
    if synchronous != 2:
        raise StoreError("synchronous is not FULL: a commit would not survive a power cut")
