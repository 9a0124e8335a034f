"""
The past: a source record as it was known at an instant.

Statements and facts are never changed, so what an identifier stood for is folded again from those
there were. Nothing of the past is stored but what made it.
"""

from collections.abc import Collection
from datetime import datetime

from mpi.identity.model import RecordKey
from mpi.index.epochs import ChangesPerson, Epoch, read_epochs
from mpi.index.events import Fact
from mpi.index.intake import fold
from mpi.index.ports import StoredRecord, UnitOfWork


def facts_then(uow: UnitOfWork, keys: Collection[RecordKey], instant: datetime | None) -> list[Fact]:
    """The assertions about some records that stand, or stood at an instant."""
    if instant is None:
        return uow.facts.standing(keys)
    return [fact for fact in uow.facts.ever(keys) if fact.stood(instant)]


def epoch_of(
    uow: UnitOfWork, key: RecordKey, changes_person: ChangesPerson, instant: datetime | None = None
) -> Epoch:
    """The statements of a record as they are judged, or were at an instant; none when nobody had stated it."""
    known = uow.records.epochs(key.domain, key.value)
    if not known:
        return Epoch(key.epoch)
    said = [s for s in uow.records.statements(known[0].id) if instant is None or s.recorded_at <= instant]
    facts = facts_then(uow, [one.key for one in known], instant)
    judged = read_epochs(said, facts, changes_person)
    return next((epoch for epoch in judged if epoch.number == key.epoch), Epoch(key.epoch))


def record_then(
    uow: UnitOfWork, record: StoredRecord, instant: datetime, changes_person: ChangesPerson
) -> StoredRecord | None:
    """A record as it was at an instant; None when nobody had stated it."""
    epoch = epoch_of(uow, record.key, changes_person, instant)
    return fold(record, epoch) if epoch.accepted else None


def instants_of(
    uow: UnitOfWork, records: Collection[StoredRecord], *, visible: frozenset[str]
) -> set[datetime]:
    """When something was said of some records, by statements and by assertions that are visible."""
    found: set[datetime] = set()
    for domain, value in {record.key[:2] for record in records}:
        epochs = uow.records.epochs(domain, value)
        found |= {item.recorded_at for item in uow.records.statements(epochs[0].id)}
        for fact in uow.facts.ever([epoch.key for epoch in epochs]):
            if {fact.left.domain, fact.right.domain} <= visible:
                found |= {at for at in (fact.recorded_at, fact.confirmed_at, fact.withdrawn_at) if at}
    return found
