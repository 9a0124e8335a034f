"""
Survivorship: statements -> one source record as it stands, and linked records -> the golden record.

Both are pure folds. They are recomputed, never patched, so a record that leaves a set takes its
values with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from mpi.identity.ins import IdentityStatus
from mpi.identity.model import Demographics, NameUse, PersonName, RecordKey, SourceRecord, Witness

_FIELDS = tuple(item.name for item in fields(Demographics) if item.name not in ("names", "deleted"))
_ADDRESS = ("address", "postal_code", "city", "country")
_ABSENT: tuple[object, ...] = (None, "", ())
_NAME_FIELDS = {
    NameUse.BIRTH: "birth_name",
    NameUse.USED: "used_name",
    NameUse.PSEUDONYM: "pseudonym",
    NameUse.UNSPECIFIED: "name",
}


_STRICT = frozenset(
    {
        *(_NAME_FIELDS[use] for use in (NameUse.BIRTH, NameUse.UNSPECIFIED)),
        *("birth_date", "birth_date_interpreted", "sex", "birth_place_code", "birth_place"),
        *("ins", "ins_oid", "identity_codes", "mother_birth_name", "birth_order", "multiple_birth"),
    }
)
"""Who somebody is, and what the identity is worth."""
_WEIGHT = {Witness.HEADER: 0, Witness.MOVEMENT: 1, Witness.FEED: 2}


@dataclass(frozen=True, slots=True)
class Current:
    """A source record as its statements leave it, and when each field became true."""

    demographics: Demographics
    first_event_time: datetime
    since: Mapping[str, datetime]


def current(statements: Sequence[tuple[int, SourceRecord]]) -> Current:
    """
    Fold the statements of one source record.

    The later event wins, field by field, and an older message arriving late becomes history. At
    equal times the source's name, then its own order, decide. A DICOM header never outweighs a
    patient identity source; a movement of an encounter does not either on strict traits, and
    counts as one on the others. An empty field says nothing; a deleted one empties.

    Three things move as a whole: the home address; the given names of a name; and the identity
    status with its INS, so that a status stated again without the INS withdraws it.

    Args:
        statements: (order of recording, statement); not empty.

    Source: EVN-6, EVN-2, MSH-7 as event time; invariants I25 and I49; EXI SI 08 for the INS; RNIV
    (strict traits).
    """
    values: dict[str, Any] = {}
    names: dict[NameUse, PersonName] = {}
    since: dict[str, datetime] = {}
    for strict in (True, False):
        for _, statement in sorted(statements, key=lambda item: _rank(*item, strict=strict)):
            _add(statement, values, names, since, strict=strict)
    folded = Demographics(names=tuple(names[use] for use in NameUse if use in names), **values)
    return Current(folded, min(statement.event_time for _, statement in statements), since)


def _rank(order: int, statement: SourceRecord, *, strict: bool) -> tuple[int, datetime, str, int]:
    """What a statement is outweighed by: a greater one."""
    weight = _WEIGHT[statement.witness]
    return (weight if strict else min(weight, 1)), statement.event_time, statement.source, order


def _add(
    statement: SourceRecord,
    values: dict[str, Any],
    names: dict[NameUse, PersonName],
    since: dict[str, datetime],
    *,
    strict: bool,
) -> None:
    """Lay the strict traits of one more statement, or the others, over what is known."""
    stated = statement.demographics
    for gone in (*stated.deleted, *_moved_along(stated)):
        if gone != "names" and (gone in _STRICT) is strict:
            values.pop(gone, None)
            since[gone] = statement.event_time
        for use, field_name in _NAME_FIELDS.items():
            if gone in (field_name, "names") and (field_name in _STRICT) is strict:
                names.pop(use, None)
                since[gone] = statement.event_time
    for name in stated.names:
        if (_NAME_FIELDS[name.use] in _STRICT) is strict:
            names[name.use] = _renamed(names.get(name.use), name)
            since[_NAME_FIELDS[name.use]] = statement.event_time
    for field_name in _FIELDS:
        value = getattr(stated, field_name)
        if value not in _ABSENT and (field_name in _STRICT) is strict:
            values[field_name] = value
            since[field_name] = statement.event_time


def _moved_along(stated: Demographics) -> tuple[str, ...]:
    """Fields that a statement empties because it states another part of the same whole."""
    gone: tuple[str, ...] = ()
    if any(getattr(stated, name) for name in _ADDRESS):
        gone += _ADDRESS
    if stated.identity_codes:
        gone += ("ins", "ins_oid")
    return gone


def _renamed(before: PersonName | None, name: PersonName) -> PersonName:
    """A name as a new statement leaves it: an empty component says nothing, given names come together."""
    if before is None:
        return name
    says_given = name.given or name.given_list
    return replace(
        name,
        family=name.family or before.family,
        given=name.given if says_given else before.given,
        given_list=name.given_list if says_given else before.given_list,
    )


@dataclass(frozen=True, slots=True)
class Member:
    """One record of a set, as the golden record sees it."""

    key: RecordKey
    current: Current
    status: IdentityStatus


@dataclass(frozen=True, slots=True)
class GoldenField:
    """A surviving value and the record it comes from."""

    value: Any
    source: RecordKey
    since: datetime


_STATUS_RANK = {
    IdentityStatus.QUALIFIED: 3,
    IdentityStatus.VALIDATED: 2,
    IdentityStatus.RETRIEVED: 1,
    IdentityStatus.PROVISIONAL: 0,
}


def golden_record(members: Sequence[Member]) -> dict[str, GoldenField]:
    """
    Choose each field among the members: best identity status, then latest event, then fixed key.

    Returns:
        Field name -> value with provenance; birth and used names apart. Identity codes are not
        a trait and do not survive; INS survives only from a qualified identity.
    """
    golden: dict[str, GoldenField] = {}
    ranked = sorted(members, key=lambda member: member.key)
    for field_name in (*_NAME_FIELDS.values(), *_FIELDS):
        if field_name in ("identity_codes", "birth_date_interpreted"):
            continue
        best: tuple[tuple[int, datetime], Member, Any] | None = None
        for member in ranked:
            value = _value(member.current.demographics, field_name)
            if value in _ABSENT or (
                field_name.startswith("ins") and member.status is not IdentityStatus.QUALIFIED
            ):
                continue
            rank = (_STATUS_RANK[member.status], member.current.since[field_name])
            if best is None or rank > best[0]:
                best = (rank, member, value)
        if best is not None:
            golden[field_name] = GoldenField(best[2], best[1].key, best[0][1])
    return golden


def _value(demographics: Demographics, field_name: str) -> Any:
    for use, name_field in _NAME_FIELDS.items():
        if name_field == field_name:
            return next((name for name in demographics.names if name.use is use), None)
    return getattr(demographics, field_name)
