"""
Statements compiled once, and handed to the driver with the values converted as their types say.

To execute a statement of a few rows, SQLAlchemy works longer than the database does: it looks the compiled text
up by the statement's structure, and describes each result anew. One message runs some twenty statements, always
the same ones.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeEngine

Parameters = Mapping[str, Any]
Converter = Callable[[Any], Any]
_Outcome = TypeVar("_Outcome")


class Wire:
    """
    The driver's side of a connection of SQLAlchemy's, inside the transaction that was begun there.

    The driver's errors are raised as SQLAlchemy raises them, and a connection that died is given up as it does.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = connection.dialect
        self._cursor: DBAPICursor | None = None

    def run(
        self, text: str, bound: Any, read: Callable[[DBAPICursor], _Outcome], *, many: bool = False
    ) -> _Outcome:
        """Execute a statement, and read what is wanted of its outcome: all of it, for the next one ends it."""
        try:
            cursor = self._cursor
            if cursor is None:
                cursor = self._cursor = self._connection.connection.cursor()
            if many:
                cursor.executemany(text, bound)
            else:
                cursor.execute(text, bound)
            return read(cursor)
        except self._dialect.loaded_dbapi.Error as error:
            is_dead = self._is_dead(error)
            if is_dead:
                self._connection.invalidate()
            failure = DBAPIError(None, None, error, hide_parameters=True, connection_invalidated=is_dead)
        except BaseException as error:
            if not isinstance(error, Exception):  # interrupted: what the database answers next is not ours
                self._connection.invalidate()
            raise
        raise failure

    def close(self) -> None:
        """Let go of the last outcome, before the connection is given back."""
        if self._cursor is not None:
            with suppress(self._dialect.loaded_dbapi.Error):
                self._cursor.close()

    def _is_dead(self, error: Any) -> bool:
        return self._dialect.is_disconnect(error, self._connection.connection.driver_connection, self._cursor)


class Prepared:
    """
    One statement in the text of one database, run with parameters of the same names.

    Raises whatever a column type raises of a value it refuses, before anything is sent.
    """

    def __init__(self, compiled: SQLCompiler, dialect: Dialect, names: Iterable[str]) -> None:
        self._dialect = dialect
        self._text = str(compiled)
        self._returns = bool(compiled.implicit_returning)
        given = set(names)
        convert: dict[str, Converter] = {}
        for bind, key in compiled.bind_names.items():  # a name may be bound twice, once without a type
            if (how := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None:
                convert[key] = how
        self._converted = [(key, how) for key, how in convert.items() if key in given]
        constant = {key: bind.effective_value for key, bind in compiled.binds.items() if key not in given}
        self._constant = {
            key: convert[key](constant[key]) if key in convert else constant[key] for key in constant
        }
        self._order: Sequence[str] | None = compiled.positiontup
        columns = list(getattr(compiled.statement, "exported_columns", ()))
        self._types: list[TypeEngine[Any]] = [column.type.dialect_impl(dialect) for column in columns]
        row: Any = namedtuple("Row", [column.key for column in columns], rename=True)  # type: ignore[misc]
        self._make: Callable[[list[Any]], Any] = row._make
        self._readers: list[tuple[int, Converter]] | None = None

    def rows(self, wire: Wire, parameters: Parameters) -> list[Any]:
        """Every row of a query."""
        return wire.run(self._text, self._bound(parameters), self._read)

    def number(self, wire: Wire, parameters: Parameters) -> int:
        """Insert one row and return its number."""
        return int(wire.run(self._text, self._bound(parameters), _returned if self._returns else _last))

    def count(self, wire: Wire, parameters: Parameters | Sequence[Parameters]) -> int:
        """Run a write, with each of some sets of parameters, and return how many rows it met."""
        if isinstance(parameters, Mapping):
            return wire.run(self._text, self._bound(parameters), _count)
        return wire.run(self._text, [self._bound(each) for each in parameters], _count, many=True)

    def _bound(self, given: Parameters) -> Any:
        values = {**self._constant, **given}
        for key, convert in self._converted:
            values[key] = convert(values[key])
        return values if self._order is None else [values[key] for key in self._order]

    def _read(self, cursor: DBAPICursor) -> list[Any]:
        if self._readers is None:  # how a type is read may depend on what the driver calls it
            readers = [
                kind.result_processor(self._dialect, described[1])
                for kind, described in zip(self._types, cursor.description, strict=True)
            ]
            self._readers = [(place, reader) for place, reader in enumerate(readers) if reader is not None]
        rows = []
        for row in cursor.fetchall():
            values = list(row)
            for place, reader in self._readers:
                values[place] = reader(values[place])
            rows.append(self._make(values))
        return rows


def _returned(cursor: DBAPICursor) -> Any:
    return cursor.fetchall()[0][0]


def _last(cursor: DBAPICursor) -> Any:
    return cursor.lastrowid


def _count(cursor: DBAPICursor) -> int:
    return int(cursor.rowcount)


class PreparedStatements:
    """
    The statements of one engine that are run again and again.

    One that is built for its use is met once, and left to SQLAlchemy; so is one whose text depends on its values.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._met: WeakKeyDictionary[Executable, dict[Any, Prepared | None]] = WeakKeyDictionary()

    def find(self, statement: Executable, parameters: Parameters | Sequence[Parameters]) -> Prepared | None:
        """The statement as prepared for parameters of these names; None where SQLAlchemy has to execute it."""
        forms = self._met.get(statement)
        if forms is None:
            self._met[statement] = {}
            return None
        many = not isinstance(parameters, Mapping)
        names = tuple(parameters[0] if many else parameters)  # type: ignore[index]
        form = (many, names)
        try:
            return forms[form]
        except KeyError:
            found = forms[form] = self._prepare(statement, names, many=many)
            return found

    def _prepare(self, statement: Executable, names: Sequence[str], *, many: bool) -> Prepared | None:
        assert isinstance(statement, ClauseElement)
        compiled = statement.compile(dialect=self._dialect, column_keys=list(names), for_executemany=many)
        assert isinstance(compiled, SQLCompiler)
        depends = (
            compiled.post_compile_params or compiled.literal_execute_params or compiled.escaped_bind_names
        )
        if depends or compiled.insert_prefetch or compiled.update_prefetch:
            return None
        return Prepared(compiled, self._dialect, names)
