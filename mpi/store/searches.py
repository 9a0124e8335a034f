"""What records are found by: sketches of their names and birth dates, and keys. Written with the records."""

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    and_,
    bindparam,
    delete,
    false,
    insert,
    or_,
    select,
    union_all,
    update,
)

from mpi.identity.model import RecordKey
from mpi.index.ports import Range, Sketch, StoredRecord
from mpi.index.sketches import is_findable, keys_of, sketches_of
from mpi.store.columns import Among, BeginsWith
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
_INSERT_NAME, _INSERT_KEY = insert(SEARCH_NAME), insert(SEARCH_KEY)
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
_NUMBERED = (
    select(_R.id).where(_R.domain == bindparam("domain"), BeginsWith(_R.value, "beginning")).limit(_ENOUGH)
)
_Item = TypeVar("_Item")


@lru_cache
def _sketched(driving: int, others: int, *, by_birth: bool, past: bool) -> Select[Any]:
    """The sketches in each of some ranges of the index that drives, and in any of some ranges of the other column."""
    lead, follow = (_N.birth, _N.name) if by_birth else (_N.name, _N.birth)
    # An expression is in no index: which one is used is decided here, not by statistics that may not be there.
    aside = follow.concat("") if by_birth else follow + 0
    common: list[ColumnElement[bool]] = [_N.domain.in_(_DOMAINS)]
    if not past:
        common.append(_N.past.is_(false()))
    if others:
        common.append(or_(*(_in_range(aside, "other", place) for place in range(others))))
    parts = [
        select(_N.record_id, _N.name, _N.birth, _N.given)
        .where(_in_range(lead, "lead", place), *common)
        .limit(_ENOUGH)
        .subquery()
        for place in range(driving)
    ]
    return union_all(*(select(part) for part in parts))  # type: ignore[return-value]


def _in_range(column: ColumnElement[Any], name: str, place: int) -> ColumnElement[bool]:
    return and_(column >= bindparam(f"{name}_first_{place}"), column <= bindparam(f"{name}_last_{place}"))


@lru_cache
def _keyed(*, past: bool) -> Select[Any]:
    query = (
        select(_K.record_id).distinct().where(Among(_K.key, "keys"), _K.domain.in_(_DOMAINS)).limit(_ENOUGH)
    )
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
    ) -> list[tuple[int, Sketch]] | None:
        leading, others = (births, names) if by_birth else (names, births)
        found: dict[tuple[int, Sketch], None] = {}
        for chunk in _chunks(list(leading), _RANGES_PER_STATEMENT):
            query = _sketched(len(chunk), len(others), by_birth=by_birth, past=past)
            asked = {**_ends("lead", chunk), **_ends("other", others), "domains": list(domains)}
            found.update(dict.fromkeys(self._sketches(query, {**asked, "enough": most + 1})))
            if len(found) > most:
                return None
        return list(found)

    def keyed(
        self, keys: Collection[int], *, domains: Collection[str], most: int, past: bool = False
    ) -> list[int] | None:
        asked = {"keys": keys, "domains": list(domains), "enough": most + 1}
        return _unless_more(most, {row[0] for row in self._session.rows(_keyed(past=past), asked)})

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
        session.change(_INSERT_NAME, new)
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
        session.change(_INSERT_KEY, new)
    for key, past in held.items():
        if past is (key in wanted):
            session.change(_CHANGE_KEY.values(past=not past), {"of_record": record.id, "of_key": key})


def _ends(name: str, ranges: Sequence[Range]) -> dict[str, Any]:
    return {
        f"{name}_{end}_{place}": getattr(item, end)
        for place, item in enumerate(ranges)
        for end in ("first", "last")
    }


def _unless_more(most: int, found: set[int]) -> list[int] | None:
    return sorted(found) if len(found) <= most else None


def _chunks(items: Sequence[_Item], size: int) -> Iterator[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
