"""PostgreSQL, the production store: writers one after another by an advisory lock, readers on snapshots."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Engine,
    bindparam,
    column,
    create_engine,
    event,
    func,
    literal,
    select,
    table,
)
from sqlalchemy.engine import URL
from sqlalchemy.pool import NullPool

from mpi.errors import SettingsError, StoreError
from mpi.store.base import WAIT_FOR_WRITER_SECONDS, SqlStore, connect
from mpi.store.session import guarded

_WRITERS_LOCK = int.from_bytes(b"mpi-writ")
"""Every writer of every process takes this advisory lock first, and holds it to the end of its transaction."""

_CLAIM = select(func.pg_try_advisory_lock(bindparam("key", type_=BigInteger)))
_BEGIN_IN_TURN = f"BEGIN; SELECT pg_advisory_xact_lock({_WRITERS_LOCK})"
_TAKE_SNAPSHOT = select(literal(1))
"""PostgreSQL takes a reader's snapshot with its first statement; a dead connection is found out by it, too."""

_SETTINGS = table("pg_settings", column("name"), column("setting"))
_DURABLE = {"on", "remote_write", "remote_apply"}
_STATEMENT_TIMEOUT_MS = 60_000
_READERS = 8


class PostgresStore(SqlStore):
    """
    A store in a PostgreSQL database.

    Args:
        allow_unsafe: accept a server that loses commits in a power cut. For tests only.

    Raises:
        StoreError: the server is away, or would acknowledge what is not durable.
        SettingsError: the driver is not installed.
    """

    def __init__(self, url: URL, *, allow_unsafe: bool = False) -> None:
        self._lock = threading.Lock()
        waits_ms = int(WAIT_FOR_WRITER_SECONDS * 1000)
        writer = _engine(
            url,
            {
                "lock_timeout": waits_ms,
                "statement_timeout": _STATEMENT_TIMEOUT_MS,
                # A writer that stopped between two statements must not stop all the others.
                "idle_in_transaction_session_timeout": _STATEMENT_TIMEOUT_MS,
            },
            pool_size=1,
        )
        reader = _engine(url, {"statement_timeout": _STATEMENT_TIMEOUT_MS}, pool_size=_READERS)

        @event.listens_for(writer, "connect")
        def _begin_expressly(dbapi_connection: Any, _record: object) -> None:
            dbapi_connection.autocommit = True  # the driver would begin in a journey to the server of its own

        @event.listens_for(writer, "begin")
        def _begin_in_turn(connection: Connection) -> None:
            # Two statements in one text are sent only when none has parameters.
            connection.exec_driver_sql(_BEGIN_IN_TURN, execution_options={"no_parameters": True})

        @event.listens_for(reader, "connect")
        def _only_read(dbapi_connection: Any, _record: object) -> None:
            from psycopg import IsolationLevel

            dbapi_connection.isolation_level = IsolationLevel.REPEATABLE_READ
            dbapi_connection.read_only = True

        self._claims_engine = _engine(url, {"statement_timeout": _STATEMENT_TIMEOUT_MS}, pool_size=0)
        super().__init__(writer=writer, reader=reader)
        try:
            _assert_fit(reader, allow_unsafe=allow_unsafe)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def _writers_turn(self) -> Iterator[None]:
        """Threads of this process wait here, without holding a connection."""
        if not self._lock.acquire(timeout=WAIT_FOR_WRITER_SECONDS):
            raise StoreError("the writer's turn did not come")
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def _readers_turn(self) -> Iterator[None]:
        yield

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """A lock of the session: it ends with the connection, whatever ends that."""
        key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
        connection = guarded(self._claims_engine.connect)
        try:
            yield bool(guarded(lambda: connection.execute(_CLAIM, {"key": key}).scalar()))
        finally:
            connection.close()  # without a pool, that ends the session

    def close(self) -> None:
        super().close()
        self._claims_engine.dispose()

    def _begin_write(self) -> Connection:
        return connect(self._writer_engine)

    def _begin_read(self) -> Connection:
        return connect(self._reader_engine, first=_TAKE_SNAPSHOT)


def _engine(url: URL, session_settings: dict[str, object], *, pool_size: int) -> Engine:
    """An engine; without a pool, each of its connections is a session of its own, and never in a transaction."""
    options = " ".join(
        f"-c {name}={value}" for name, value in {"timezone": "UTC", **session_settings}.items()
    )
    asked = url.query.get("options", "")
    pool: dict[str, Any] = {"pool_size": pool_size}
    if not pool_size:
        pool = {"poolclass": NullPool, "isolation_level": "AUTOCOMMIT"}
    try:
        return create_engine(
            url,
            connect_args={"options": f"{asked} {options}".strip(), "connect_timeout": 10},
            hide_parameters=True,
            **pool,
        )
    except ModuleNotFoundError:
        raise SettingsError(
            "database.url: PostgreSQL needs the `postgres` extra: pip install mpi[postgres]"
        ) from None


def _assert_fit(engine: Engine, *, allow_unsafe: bool) -> None:
    names = ("synchronous_commit", "fsync", "server_encoding")
    query = select(_SETTINGS.c.name, _SETTINGS.c.setting).where(_SETTINGS.c.name.in_(names))

    def asked() -> dict[str, str]:
        with engine.connect() as connection:
            return {row.name: row.setting for row in connection.execute(query)}

    settings = guarded(asked)
    if settings["server_encoding"] != "UTF8":
        raise StoreError("server_encoding is not UTF8: names would be refused")
    if allow_unsafe:
        return
    if settings["synchronous_commit"] not in _DURABLE:
        raise StoreError("synchronous_commit is not on: a commit would not survive a power cut")
    if settings["fsync"] != "on":
        raise StoreError("fsync is off: a commit would not survive a power cut")
