"""What records are found by: sketches of their names and birth dates, and keys. Written with the records."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    Text,
    and_,
    bindparam,
    delete,
    false,
    literal_column,
    or_,
    select,
    type_coerce,
    union_all,
    update,
)

from mpi.identity.model import RecordKey
from mpi.index.ports import Beside, Range, Sketch, StoredRecord
from mpi.index.sketches import is_findable, keys_of, sketches_of
from mpi.store.columns import Among, Aside, BeginsWith
from mpi.store.session import AnyRow, Session
from mpi.store.tables import SEARCH_KEY, SEARCH_NAME, SOURCE_RECORD

_RANGES_PER_STATEMENT = 50
"""SQLite joins at most 500 queries in one."""

_N, _K, _R = SEARCH_NAME.c, SEARCH_KEY.c, SOURCE_RECORD.c
_DOMAINS: BindParameter[Any] = bindparam("domains", expanding=True)
_ENOUGH: BindParameter[Any] = bindparam("enough")
_OF_RECORD = (_N.name, _N.birth, _N.given, _N.past)
_NAMES_OF = select(*_OF_RECORD).where(_N.record_id == bindparam("record_id"))
_KEYS_OF = select(_K.key, _K.past).where(_K.record_id == bindparam("record_id"))
_CHANGE_NAME = update(SEARCH_NAME).where(
    _N.record_id == bindparam("of_record"), _N.birth == bindparam("of_birth"), _N.name == bindparam("of_name")
)
_CHANGE_KEY = update(SEARCH_KEY).where(_K.record_id == bindparam("of_record"), _K.key == bindparam("of_key"))
_FORGET = (
    delete(SEARCH_NAME).where(_N.record_id == bindparam("record_id")),
    delete(SEARCH_KEY).where(_K.record_id == bindparam("record_id")),
)
_WITHIN = select(_R.id).where(_R.domain.in_(_DOMAINS)).limit(_ENOUGH)
_SKETCHES = select(_N.record_id, _N.name, _N.birth, _N.given).where(
    Among(_N.record_id, "ids"), _N.domain.in_(_DOMAINS)
)
_KEYS = select(_K.record_id, _K.key).where(Among(_K.record_id, "ids"), _K.domain.in_(_DOMAINS))
_STATED = select(_R.id, type_coerce(_R.demographics, Text)).where(Among(_R.id, "ids"))
_NO_NAME: ColumnElement[str] = literal_column("''").label("name")
_NO_GIVEN: ColumnElement[str] = literal_column("''").label("given")
_NUMBERED = (
    select(_R.id).where(_R.domain == bindparam("domain"), BeginsWith(_R.value, "beginning")).limit(_ENOUGH)
)
_Item = TypeVar("_Item")


@lru_cache
def _sketched(
    driving: int, others: int, *, by_birth: bool, past: bool, named: bool, given: bool
) -> Select[Any]:
    """
    The sketches in each of some ranges of the index that drives, and in any of some ranges of the other column.

    Args:
        named, given: which texts are looked at; thousands that nobody looks at are not fetched.
    """
    lead, follow = (_N.birth, _N.name) if by_birth else (_N.name, _N.birth)
    common: list[ColumnElement[bool]] = [_N.domain.in_(_DOMAINS)]
    if not past:
        common.append(_N.past.is_(false()))
    if others:
        common.append(or_(*(_in_range(Aside(follow), "other", place) for place in range(others))))
    parts = [
        select(_N.record_id, _N.name if named else _NO_NAME, _N.given if given else _NO_GIVEN)
        .where(_in_range(lead, "lead", place), *common)
        .limit(_ENOUGH)
        .subquery()
        for place in range(driving)
    ]
    return union_all(*(select(part) for part in parts))  # type: ignore[return-value]


def _in_range(column: ColumnElement[Any], name: str, place: int) -> ColumnElement[bool]:
    return and_(column >= bindparam(f"{name}_first_{place}"), column <= bindparam(f"{name}_last_{place}"))


@lru_cache
def _keyed(*, past: bool, among: bool) -> Select[Any]:
    query = (
        select(_K.record_id).distinct().where(Among(_K.key, "keys"), _K.domain.in_(_DOMAINS)).limit(_ENOUGH)
    )
    if among:
        query = query.where(Among(_K.record_id, "ids"))
    return query if past else query.where(_K.past.is_(false()))


class SqlSearches:
    """`ports.Searches` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def sketched(
        self,
        names: Sequence[Range],
        births: Sequence[Range],
        *,
        by_birth: bool,
        domains: Collection[str],
        most: int,
        past: bool = False,
        named: Callable[[str], bool] | None = None,
        given: Callable[[str], bool] | None = None,
    ) -> list[int] | None:
        leading, others = (births, names) if by_birth else (names, births)
        found: set[int] = set()
        looked_at = 0
        for chunk in _chunks(_apart(leading), _RANGES_PER_STATEMENT):
            query = _sketched(
                len(chunk),
                len(others),
                by_birth=by_birth,
                past=past,
                named=named is not None,
                given=given is not None,
            )
            asked = {**_ends("lead", chunk), **_ends("other", others), "domains": list(domains)}
            for record_id, name, called in self._session.each(query, {**asked, "enough": most + 1}):
                looked_at += 1
                if (named is None or named(name)) and (given is None or given(called)):
                    found.add(record_id)
            if looked_at > most:
                return None
        return sorted(found)

    def keyed(
        self,
        keys: Collection[int],
        *,
        domains: Collection[str],
        most: int,
        past: bool = False,
        among: Collection[int] | None = None,
    ) -> list[int] | None:
        asked = {"keys": keys, "domains": list(domains), "enough": most + 1}
        if among is not None:
            asked["ids"] = among
        query = _keyed(past=past, among=among is not None)
        return _unless_more(most, {row[0] for row in self._session.each(query, asked)})

    def numbered(self, prefixes: Collection[RecordKey], *, most: int) -> list[int] | None:
        found: set[int] = set()
        for prefix in prefixes:
            asked = {"domain": prefix.domain, "beginning": prefix.value, "enough": most + 1}
            found |= {row[0] for row in self._session.rows(_NUMBERED, asked)}
        return _unless_more(most, found)

    def within(self, domains: Collection[str], *, most: int) -> list[int] | None:
        asked = {"domains": list(domains), "enough": most + 1}
        return _unless_more(most, {row[0] for row in self._session.rows(_WITHIN, asked)})

    def sketches(
        self, record_ids: Collection[int], *, domains: Collection[str], past: bool = False
    ) -> list[tuple[int, Sketch]]:
        query = _SKETCHES if past else _SKETCHES.where(_N.past.is_(false()))
        return self._sketches(query, {"ids": record_ids, "domains": list(domains)})

    def keys(
        self, record_ids: Collection[int], *, domains: Collection[str], past: bool = False
    ) -> list[tuple[int, int]]:
        query = _KEYS if past else _KEYS.where(_K.past.is_(false()))
        asked = {"ids": record_ids, "domains": list(domains)}
        return [(row[0], row[1]) for row in self._session.rows(query, asked)]

    def beside(self, record_ids: Collection[int]) -> Iterator[tuple[int, Beside]]:
        for record_id, text in self._session.each(_STATED, {"ids": record_ids}):
            stated = json.loads(text)
            yield record_id, Beside._make(stated.get(field, "") for field in Beside._fields)

    def _sketches(self, query: Any, asked: dict[str, Any]) -> list[tuple[int, Sketch]]:
        return [(row[0], Sketch._make(row[1:])) for row in self._session.rows(query, asked)]


def keep(session: Session, record: StoredRecord, *, is_new: bool) -> None:
    """
    Write what a record is found by, and remember as past what it no longer is.

    Args:
        is_new: nothing was ever kept of it.
    """
    if not is_findable(record):
        if not is_new:
            forget(session, record.id)
        return
    _keep_names(session, record, [] if is_new else session.rows(_NAMES_OF, {"record_id": record.id}))
    _keep_keys(session, record, [] if is_new else session.rows(_KEYS_OF, {"record_id": record.id}))


def forget(session: Session, record_id: int) -> None:
    """Keep nothing that a record is, or was, found by."""
    for statement in _FORGET:
        session.change(statement, {"record_id": record_id})


def rows_of(record: StoredRecord) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of the two tables that a record of which nothing was kept has."""
    base = {"record_id": record.id, "domain": record.key.domain, "past": False}
    names = [
        {**base, "name": sketch.name, "birth": sketch.birth, "given": sketch.given}
        for sketch in sorted(sketches_of(record))
    ]
    return names, [{**base, "key": key} for key in sorted(keys_of(record))]


def _keep_names(session: Session, record: StoredRecord, rows: Sequence[AnyRow]) -> None:
    held = {(row.name, row.birth): (row.given, row.past) for row in rows}
    wanted = {(row["name"], row["birth"]): row for row in rows_of(record)[0]}
    if new := [row for name, row in wanted.items() if name not in held]:
        session.insert_all(SEARCH_NAME, new)
    changed = [
        (name, {"given": row["given"], "past": False})
        for name, row in wanted.items()
        if name in held and held[name] != (row["given"], False)
    ]
    changed += [
        (name, {"given": given, "past": True})
        for name, (given, past) in held.items()
        if name not in wanted and not past
    ]
    for (name, birth), values in changed:
        session.change(
            _CHANGE_NAME.values(**values), {"of_record": record.id, "of_birth": birth, "of_name": name}
        )


def _keep_keys(session: Session, record: StoredRecord, rows: Sequence[AnyRow]) -> None:
    held = {row.key: row.past for row in rows}
    wanted = {row["key"]: row for row in rows_of(record)[1]}
    if new := [row for key, row in wanted.items() if key not in held]:
        session.insert_all(SEARCH_KEY, new)
    for key, past in held.items():
        if past is (key in wanted):
            session.change(_CHANGE_KEY.values(past=not past), {"of_record": record.id, "of_key": key})


def _ends(name: str, ranges: Sequence[Range]) -> dict[str, Any]:
    return {
        f"{name}_{end}_{place}": getattr(item, end)
        for place, item in enumerate(ranges)
        for end in ("first", "last")
    }


def _apart(ranges: Sequence[Range]) -> list[Range]:
    """The same spans, none of which meets another: no row is in two."""
    apart: list[Range] = []
    for item in sorted(ranges, key=lambda one: one.first):
        if apart and item.first <= apart[-1].last:
            apart[-1] = Range(apart[-1].first, max(apart[-1].last, item.last))
        elif item.first <= item.last:
            apart.append(item)
    return apart


def _unless_more(most: int, found: set[int]) -> list[int] | None:
    return sorted(found) if len(found) <= most else None


def _chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
