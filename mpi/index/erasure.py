"""
Erasure: what is known under an identifier is destroyed; that it existed, and its EUID, are not.

What stays is a tombstone: the record's key and native EUID, which no other person will ever bear,
its memberships, and the fact that it was erased, by whom and why.
"""

from datetime import datetime

from mpi.errors import UnknownIdentifier
from mpi.identity.model import RecordKey
from mpi.index.epochs import Epoch, read_epochs
from mpi.index.events import Fact, FactKind
from mpi.index.intake import Intake, fold, named_today
from mpi.index.ports import UnitOfWork


def erase(
    uow: UnitOfWork, intake: Intake, key: RecordKey, *, actor: str, reason: str, at: datetime
) -> tuple[int, str, tuple[int, ...]]:
    """
    Erase the record an identifier names today, its studies, what was reported and asked about it in words and
    traits, and the messages that stated it.

    Returns:
        The fact, the native EUID that is retired, and the records whose sets may change.

    Raises:
        UnknownIdentifier: it was never heard of, or is erased already.
    """
    epochs = uow.records.epochs(key.domain, key.value)
    record = uow.records.by_key(named_today(uow, key))
    if record is None:
        raise UnknownIdentifier("identifier")
    facts = uow.facts.standing([epoch.key for epoch in epochs])
    statements = uow.records.statements(epochs[0].id)
    judged = read_epochs(statements, facts, intake.changes_person)
    of_others = {item.id for epoch in judged if epoch.number != record.key.epoch for item in epoch.all}
    gone = [item for item in statements if item.id not in of_others]
    last = max((item.id for item in statements), default=None)
    fact = Fact(0, FactKind.ERASED, record.key, record.key, actor, at, at, reason, statement_id=last)
    fact_id = uow.facts.add(fact)
    neighbours = {i for edge in uow.edges.touching((record.id,)) for i in (edge.left_id, edge.right_id)}
    uow.records.save_current(fold(record, Epoch(record.key.epoch)), blocking_keys=())
    uow.records.erase(record.id)
    uow.edges.replace(record.id, ())
    uow.records.erase_statements([item.id for item in gone])
    uow.reports.blank((record.id,))
    uow.corrections.blank((record.id,))
    uow.studies.erase({item.message_id for item in gone})
    uow.inbox.blank({item.message_id for item in gone})
    uow.kept_answers.blank()
    return fact_id, record.native_euid, tuple({record.id} | neighbours)
