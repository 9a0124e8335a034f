"""
One transaction on one connection: where driver errors become StoreError, and nowhere else.

A repository runs statements through `Session` and never sees the driver.
"""

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Connection, Executable, Insert, Row, Table, bindparam, insert
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from mpi.errors import StoreError
from mpi.store.prepared import Parameters, PreparedStatements, Wire

_ROWS_AT_A_TIME = 500
_FEW_VALUES = 50
"""The driver for PostgreSQL reads the text of a statement of more parameters each time."""

_Result = TypeVar("_Result")
AnyRow = Row[*tuple[Any, ...]]


def guarded(action: Callable[[], _Result]) -> _Result:
    """
    Run something that talks to the database.

    Raises:
        StoreError: the database refused, is away, or did not answer. The driver's own error is
            not chained: its text may hold what was being written.
    """
    try:
        return action()
    except (SQLAlchemyError, sqlite3.Error) as error:  # the latter where a connection is being made
        failure = _failure(error)
    raise failure


def _failure(error: Exception) -> Exception:
    cause = error.orig if isinstance(error, StatementError) else None
    if isinstance(cause, Exception) and not isinstance(error, DBAPIError):
        return cause  # a column type refused a value: the caller's mistake, not the database's
    told = cause or error
    code = getattr(told, "sqlite_errorname", None) or getattr(told, "sqlstate", None)
    return StoreError(f"the store failed: {code or type(told).__name__}")


@lru_cache
def _inserting_each(table: Table) -> Insert:
    return insert(table)


@lru_cache
def _inserting(table: Table, columns: Sequence[str], count: int) -> Insert:
    return insert(table).values(
        [
            {name: bindparam(f"{name}_{place}", type_=table.c[name].type) for name in columns}
            for place in range(count)
        ]
    )


class Unnamed:
    """
    Records this transaction created, and which tables cannot name them yet.

    A new record has no edge, key, membership, task or request until this same transaction writes one, so
    nobody needs to look for them: most first messages are of new records.
    """

    KINDS = ("edge", "key", "membership", "task", "correction")

    def __init__(self) -> None:
        self._by_kind: dict[str, set[int]] = {kind: set() for kind in self.KINDS}

    def created(self, record_id: int) -> None:
        """A record was inserted."""
        for known in self._by_kind.values():
            known.add(record_id)

    def named(self, kind: str, record_ids: Iterable[int]) -> None:
        """A row of that kind now names these records."""
        self._by_kind[kind].difference_update(record_ids)

    def others(self, kind: str, record_ids: Collection[int]) -> Collection[int]:
        """Those of the records that rows of that kind may name."""
        unnamed = self._by_kind[kind]
        return [record_id for record_id in record_ids if record_id not in unnamed] if unnamed else record_ids


class Session:
    """
    A transaction that has begun.

    After a statement failed, it can only be rolled back: PostgreSQL insists,
    and both databases must behave alike.
    """

    def __init__(self, connection: Connection, prepared: PreparedStatements, *, writes: bool) -> None:
        self._connection = connection
        self._prepared = prepared
        self._wire = Wire(connection)
        self._writes = writes
        self._over = False
        self._failed = False
        self.unnamed = Unnamed()

    def rows(self, statement: Executable, parameters: Parameters | None = None) -> Sequence[AnyRow]:
        """Every row of a query."""
        given = parameters or {}
        if (prepared := self._prepared.find(statement, given)) is not None:
            return self._run(lambda: prepared.rows(self._wire, given))
        return self._run(lambda: self._connection.execute(statement, given).all())

    def each(self, statement: Executable, parameters: Parameters | None = None) -> Iterator[AnyRow]:
        """
        The rows of a query, one after another: where thousands are only looked at.

        Held all at once, they would set off collections of everything in memory.
        """
        result = self._run(lambda: self._connection.execute(statement, parameters))
        try:
            while some := self._run(lambda: result.fetchmany(_ROWS_AT_A_TIME)):
                yield from some
        finally:
            result.close()

    def first(self, statement: Executable, parameters: Parameters | None = None) -> AnyRow | None:
        """The first row of a query, if there is one."""
        given = parameters or {}
        if (prepared := self._prepared.find(statement, given)) is not None:
            return next(iter(self._run(lambda: prepared.rows(self._wire, given))), None)
        return self._run(lambda: self._connection.execute(statement, given).first())

    def insert(self, statement: Insert, parameters: Parameters) -> int:
        """Insert one row and return its number."""
        if (prepared := self._prepared.find(statement, parameters)) is not None:
            return self._run(lambda: prepared.number(self._wire, parameters))
        key = self._run(lambda: self._connection.execute(statement, parameters).inserted_primary_key)
        return int(key[0])  # type: ignore[index]  # an insert of one row always has it

    def insert_all(self, table: Table, rows: Sequence[Parameters]) -> None:
        """Insert rows that name the same columns; a few of them by one statement."""
        columns = tuple(rows[0])
        if len(rows) * len(columns) > _FEW_VALUES:
            self.change(_inserting_each(table), rows)
            return
        values = {f"{name}_{place}": row[name] for place, row in enumerate(rows) for name in columns}
        self.change(_inserting(table, columns, len(rows)), values)

    def change(self, statement: Executable, parameters: Parameters | Sequence[Parameters]) -> int:
        """Run a write and return how many rows it met."""
        if (prepared := self._prepared.find(statement, parameters)) is not None:
            return self._run(lambda: prepared.count(self._wire, parameters))
        return self._run(lambda: self._connection.execute(statement, parameters).rowcount)

    def commit(self) -> None:
        """
        Make everything durable.

        Raises:
            StoreError: it is not, or nobody knows.
        """
        self._check_open()
        if not self._writes:
            raise StoreError("a reader keeps nothing")
        if self._failed:
            raise StoreError("a statement of this unit of work failed")
        try:
            guarded(self._connection.commit)
        finally:
            self._over = True

    def close(self) -> None:
        """End the transaction, undoing what was not committed, and give the connection back."""
        self._over = True
        self._wire.close()
        with suppress(SQLAlchemyError):  # nothing is kept either way, and the first error says more
            self._connection.close()

    def _run(self, action: Callable[[], _Result]) -> _Result:
        self._check_open()
        try:
            return guarded(action)
        except StoreError:
            self._failed = True
            raise

    def _check_open(self) -> None:
        if self._over:
            raise RuntimeError("this unit of work is over")
