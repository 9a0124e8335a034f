"""
Column types and SQL constructs that read the same on both databases.

Values go in and come out in this project's own terms: aware UTC instants, any text a peer may
send, JSON documents.
"""

import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Self

from sqlalchemy import ARRAY, BigInteger, Boolean, ColumnElement, DateTime, Dialect, Integer, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine

from mpi.identity.model import RecordKey

_UNSTORABLE = re.compile("[\x00\x1a\ud800-\udfff]")
_LAST_CHARACTER = 0x10FFFF
"""Of Unicode: after every text that begins alike."""
_ESCAPED = re.compile("\x1a([0-9a-f]{4})")


def storable(text: str) -> str:
    """
    Escape what a database refuses in a text: NUL (PostgreSQL) and lone surrogates (both).

    A message that carries them must still be journalled, refused or not. Reversible: see `stated`.
    """
    return _UNSTORABLE.sub(lambda found: f"\x1a{ord(found[0]):04x}", text)


def stated(text: str) -> str:
    """Read back what `storable` wrote."""
    if "\x1a" not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


class AnyText(TypeDecorator[str]):
    """Text from outside: any string Python can hold, in and out unchanged."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value if value is None else storable(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return value if value is None else stated(value)


class OrderedText(TypeDecorator[str]):
    """A text that is looked for by how it begins: in the order of its code points, whatever the database's own."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return Text() if dialect.name == "sqlite" else Text(collation="C")


class JsonText(TypeDecorator[Any]):
    """
    A JSON document, as text: no query looks inside, and PostgreSQL's own JSON types refuse `\\u0000`.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        return json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


class UtcDateTime(TypeDecorator[datetime]):
    """
    An instant, aware and in UTC, to the microsecond.

    `timestamptz` on PostgreSQL; on SQLite a text of fixed width, so that order is time order.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs its time zone")
        value = value.astimezone(UTC)
        return value.isoformat(timespec="microseconds") if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        instant: datetime = datetime.fromisoformat(value) if dialect.name == "sqlite" else value
        return instant.astimezone(UTC)


class Number(TypeDecorator[int]):
    """A 64-bit integer; on SQLite `INTEGER`, so that a primary key is the row's own number."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else BigInteger())


class _Numbers(TypeDecorator[Iterable[int]]):
    """A parameter that holds any number of integers: one statement text whatever the count."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else ARRAY(BigInteger()))

    def process_bind_param(self, value: Iterable[int] | None, dialect: Dialect) -> Any:
        numbers = list(value or ())
        return json.dumps(numbers) if dialect.name == "sqlite" else numbers


class _Keys(TypeDecorator[Iterable[RecordKey]]):
    """A parameter that holds any number of record keys."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Iterable[RecordKey] | None, dialect: Dialect) -> str:
        return json.dumps([[storable(key.domain), storable(key.value), key.epoch] for key in value or ()])


class _Condition(FunctionElement[bool]):
    """A condition of our own making, which SQLite must not see as `… = 1`: that hides the index."""

    type = Boolean()
    inherit_cache = True

    def self_group(self, against: OperatorType | None = None) -> Self:
        return self


class Among(_Condition):
    """
    `column IN (every integer of the parameter)`.

    Not SQLAlchemy's expanding IN: that renders a new statement for each count, which is slow on
    the hot path and meets SQLite's limit on variables.
    """

    name = "among"
    inherit_cache = True

    def __init__(self, column: ColumnElement[int], parameter: str) -> None:
        super().__init__(column, bindparam(parameter, type_=_Numbers()))


# In what follows only column names and placeholders are put into SQL text.


@compiles(Among, "sqlite")
def _among_on_sqlite(element: Among, compiler: SQLCompiler, **options: Any) -> str:
    column, numbers = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({numbers}))"  # noqa: S608


@compiles(Among)
def _among_on_postgresql(element: Among, compiler: SQLCompiler, **options: Any) -> str:
    column, numbers = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} = ANY ({numbers})"


class Aside(FunctionElement[Any]):
    """
    A column by which SQLite is not to go: with no statistics it would take any index for as good as another.

    PostgreSQL looks at every column of the index it goes by before it fetches the row.
    """

    name = "aside"
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(Aside, "sqlite")
def _aside_on_sqlite(element: Aside, compiler: SQLCompiler, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"


@compiles(Aside)
def _aside_on_postgresql(element: Aside, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


class BeginsWith(_Condition):
    """The column begins with the text of the parameter; of an index, as far as it is in the order of code points."""

    name = "begins_with"
    inherit_cache = True

    def __init__(self, column: ColumnElement[str], parameter: str) -> None:
        text = bindparam(parameter, type_=AnyText())
        super().__init__(column, text, text)


@compiles(BeginsWith, "sqlite")
def _begins_with_on_sqlite(element: BeginsWith, compiler: SQLCompiler, **options: Any) -> str:
    column, first, same = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} >= {first} AND {column} < {same} || char({_LAST_CHARACTER}))"


@compiles(BeginsWith)
def _begins_with_on_postgresql(element: BeginsWith, compiler: SQLCompiler, **options: Any) -> str:
    column, first, same = (compiler.process(clause, **options) for clause in element.clauses)
    beyond = f"CAST({same} AS text) || chr({_LAST_CHARACTER})"
    return f"({column} ~>=~ CAST({first} AS text) AND {column} ~<~ ({beyond}))"


class AmongKeys(_Condition):
    """`(domain, value, epoch) IN (every record key of the parameter)`."""

    name = "among_keys"
    inherit_cache = True

    def __init__(
        self,
        domain: ColumnElement[str],
        value: ColumnElement[str],
        epoch: ColumnElement[int],
        parameter: str,
    ) -> None:
        super().__init__(domain, value, epoch, bindparam(parameter, type_=_Keys()))


@compiles(AmongKeys, "sqlite")
def _among_keys_on_sqlite(element: AmongKeys, compiler: SQLCompiler, **options: Any) -> str:
    domain, value, epoch, keys = (compiler.process(clause, **options) for clause in element.clauses)
    parts = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(3))
    listed = f"SELECT {parts} FROM json_each({keys})"  # noqa: S608
    return f"({domain}, {value}, {epoch}) IN ({listed})"


@compiles(AmongKeys)
def _among_keys_on_postgresql(element: AmongKeys, compiler: SQLCompiler, **options: Any) -> str:
    domain, value, epoch, keys = (compiler.process(clause, **options) for clause in element.clauses)
    parts = "key ->> 0, key ->> 1, CAST(key ->> 2 AS integer)"
    listed = f"SELECT {parts} FROM json_array_elements(CAST({keys} AS json)) AS key"  # noqa: S608
    return f"({domain}, {value}, {epoch}) IN ({listed})"
