"""
The versions of a person: how a caller would have been answered, each time the answer changed.

Derived, not stored: what was known at an instant is known for ever. A version is called after the instant it
began, so that its name stays what it is when an older one is no longer to be seen.

Source: FHIR R4 http.html#versioning.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mpi.index.intake import BLOCK_CAP
from mpi.index.past import instants_of
from mpi.index.ports import StoredRecord, UnitOfWork
from mpi.index.search import Person
from mpi.matching.blocking import blocking_keys

PersonAt = Callable[[UnitOfWork, str, datetime | None], Person | None]
"""The person an identifier named, or names now (None), as one caller sees it; None when it names nobody."""

MOST_NEAR = 100
"""
Of so many visible records that are like a person, who joined and left it is looked for; among more, only those
whom assertions or the versions themselves name.
"""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Version:
    """
    A person from one instant on.

    Args:
        person: its `id` is another one than was asked for once that one is retired.
    """

    since: datetime
    person: Person

    @property
    def name(self) -> str:
        """What it is called."""
        return str((self.since - _EPOCH) // _TICK)


def instant_of(name: str) -> datetime | None:
    """The instant a version is called after; None when no version is called so."""
    if not (name.isascii() and name.isdigit() and len(name) <= _MAX_DIGITS):
        return None
    try:
        return _EPOCH + int(name) * _TICK
    except OverflowError:
        return None


def versions_of(
    uow: UnitOfWork, asked: str, *, visible: frozenset[str], sees_all: bool, person_at: PersonAt
) -> Iterator[Version]:
    """
    The versions of a person, newest first; none when the identifier names nobody now.

    Args:
        visible: domain keys the caller may see; what happened in others made no version.
        sees_all: nothing is hidden from the caller.
    """
    current = person_at(uow, asked, None)
    if current is None:
        return
    version: Version | None = None
    compared: Person | None = None
    instants = (
        _instants(uow, asked, current, visible)
        if sees_all
        else _instants_seen(uow, asked, current, visible, person_at)
    )
    for instant in sorted(instants, reverse=True):
        then = person_at(uow, asked, instant)
        if version is not None and compared is not None and _same(asked, then, compared):
            version, compared = Version(instant, version.person), then
            continue
        if version is not None:
            yield version
        version = None
        if (
            then is not None
        ):  # the newest is shown as it is answered now, not as it is worked out for the past
            version, compared = Version(instant, current if compared is None else then), then
    if version is not None:
        yield version


def _same(asked: str, left: Person | None, right: Person) -> bool:
    """Whether an identifier is answered alike; of a retired one, who it became is all that is answered."""
    if left is None or left.id != right.id:
        return False
    return right.id != asked or _answered(left) == _answered(right)


def _answered(person: Person) -> tuple[Any, ...]:
    """What an answer shows of a person: that the same is said again later makes no version."""
    members = [
        (one.record.key, one.retired, one.record.traits.status, one.record.traits.attributes)
        for one in person.members
    ]
    return person.doubtful, members, {name: field.value for name, field in person.golden.items()}


def _instants(uow: UnitOfWork, asked: str, person: Person, visible: frozenset[str]) -> set[datetime]:
    """When something was said of the records that are, or ever were, one person with the asked one."""
    record_ids = {member.record.id for member in person.members}
    native = uow.records.by_native_euid(asked)
    for euid in {item.euid for item in uow.memberships.history(native.id)} if native is not None else ():
        record_ids |= set(uow.memberships.ever_members(euid))
    records = [record for record in uow.records.by_ids(record_ids).values() if record.key.domain in visible]
    return instants_of(uow, records, visible=visible)


def _instants_seen(
    uow: UnitOfWork, asked: str, person: Person, visible: frozenset[str], person_at: PersonAt
) -> set[datetime]:
    """
    As `_instants`, for who sees a part of the domains: who the person ever was is followed through that part alone.

    The sets of the index do not tell: which records were together in them follows from hidden ones too.
    """
    instants: set[datetime] = set()
    known: set[int] = set()
    found = {member.record.id: member.record for member in person.members}
    while found:
        known |= found.keys()
        around = [*found.values(), *_near(uow, list(found.values()), visible)]
        new = instants_of(uow, around, visible=visible) - instants
        instants |= new
        then = [one for at in sorted(new) if (one := person_at(uow, asked, at)) is not None]
        members = (member.record for one in then for member in one.members)
        found = {record.id: record for record in members if record.id not in known}
    return instants


def _near(
    uow: UnitOfWork, records: Sequence[StoredRecord], visible: frozenset[str]
) -> Iterator[StoredRecord]:
    """Visible records that may once have been one person with some: alike, or said to be."""
    keys = {key for record in records for key in blocking_keys(record.traits)}
    alike = uow.records.candidates(sorted(keys), excluding=None, block_cap=BLOCK_CAP, past=True).records
    seen = [record for record in alike if record.key.domain in visible]
    if len(seen) <= MOST_NEAR:
        yield from seen
    facts = uow.facts.ever([record.key for record in records])
    ends = {key for fact in facts for key in (fact.left, fact.right) if key.domain in visible}
    yield from uow.records.by_keys(ends).values()
