"""
The past: a source record as it was known at an instant.

Statements and facts are never changed, so what an identifier stood for is folded again from those
there were. Nothing of the past is stored but what made it.
"""

from datetime import datetime

from mpi.index.epochs import ChangesPerson, read_epochs
from mpi.index.intake import fold
from mpi.index.ports import StoredRecord, UnitOfWork


def epochs_then(
    uow: UnitOfWork, domain: str, value: str, instant: datetime, changes_person: ChangesPerson
) -> list[StoredRecord]:
    """The records an identifier named at an instant, by ascending epoch; those not stated yet are left out."""
    known = {record.key.epoch: record for record in uow.records.epochs(domain, value)}
    if not known:
        return []
    said = [s for s in uow.records.statements(known[0].id) if s.recorded_at <= instant]
    facts = [f for f in uow.facts.ever([r.key for r in known.values()]) if f.stood(instant)]
    then = [
        fold(known[epoch.number], epoch)
        for epoch in read_epochs(said, facts, changes_person)
        if epoch.number in known
    ]
    return [record for record in then if record.first_event_time is not None]


def record_then(
    uow: UnitOfWork, record: StoredRecord, instant: datetime, changes_person: ChangesPerson
) -> StoredRecord | None:
    """A record as it was at an instant; None when nobody had stated it."""
    key = record.key
    found = epochs_then(uow, key.domain, key.value, instant, changes_person)
    return next((then for then in found if then.key == key), None)
