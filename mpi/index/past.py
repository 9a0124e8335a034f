"""
The past: a source record as it was known at an instant.

Statements and facts are never changed, so what an identifier stood for is folded again from those
there were. Nothing of the past is stored but what made it.
"""

from collections.abc import Collection
from datetime import datetime

from mpi.index.epochs import ChangesPerson, read_epochs
from mpi.index.intake import fold
from mpi.index.ports import StoredRecord, UnitOfWork


def record_then(
    uow: UnitOfWork, record: StoredRecord, instant: datetime, changes_person: ChangesPerson
) -> StoredRecord | None:
    """A record as it was at an instant; None when nobody had stated it."""
    known = uow.records.epochs(record.key.domain, record.key.value)
    said = [s for s in uow.records.statements(known[0].id) if s.recorded_at <= instant]
    facts = [f for f in uow.facts.ever([one.key for one in known]) if f.stood(instant)]
    for epoch in read_epochs(said, facts, changes_person):
        if epoch.number == record.key.epoch and epoch.accepted:
            return fold(record, epoch)
    return None


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
