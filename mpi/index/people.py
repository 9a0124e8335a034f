"""
People as one caller may see them: records that may be shown, what is known of them, and what survives of it.

Records are read together, however many people are wanted: what costs is the question, not the answer.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mpi.identity.domains import Domains
from mpi.identity.ins import NEVER_ANSWERED, IdentityAttribute
from mpi.identity.model import PatientIdentifier, RecordKey
from mpi.identity.traits import normalise
from mpi.index import golden
from mpi.index.answers import MemberView
from mpi.index.epochs import ChangesPerson, read_epochs
from mpi.index.events import IN_DOUBT, Fact
from mpi.index.graph import erased_keys, retired_keys
from mpi.index.past import facts_then, record_then
from mpi.index.persons import Persons, PersonSet
from mpi.index.ports import StoredRecord, StoredStatement, UnitOfWork
from mpi.index.search import Person

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Seen:
    """
    The records of one person that a caller may be shown; never none, and not all unstated.

    Args:
        doubted: keys of those that somebody reported to be wrong.
    """

    members: tuple[MemberView, ...]
    doubted: frozenset[RecordKey]

    @property
    def id(self) -> str:
        """Native enterprise identifier of the oldest member."""
        oldest = min(self.members, key=lambda one: (one.record.first_event_time or _NEVER, one.record.key))
        return oldest.record.native_euid

    @property
    def is_doubtful(self) -> bool:
        """Whether somebody reported the identity, or its site says that it is doubtful."""
        stated = (member.record.traits.attributes for member in self.members)
        return bool(self.doubted) or any(IdentityAttribute.DOUBTFUL in attributes for attributes in stated)


class People:
    """
    Reads people.

    Args:
        domains: the configured ones; a record of another is not shown.
        persons: knows which records are one person.
        changes_person: the overlay firewall's judgement, to know records as they were.
    """

    def __init__(self, domains: Domains, persons: Persons, changes_person: ChangesPerson) -> None:
        self._domains = domains
        self._persons = persons
        self._changes_person = changes_person

    def of(
        self,
        uow: UnitOfWork,
        record_ids: Collection[int],
        *,
        visible: frozenset[str],
        as_of: datetime | None = None,
    ) -> list[Seen]:
        """The people some records are of, each once; those of whom nothing may be shown are left out."""
        sets = {one.record_ids for one in self.sets(uow, record_ids, visible=visible, as_of=as_of)}
        records = uow.records.by_ids({record_id for one in sets for record_id in one})
        shown = {r.id: r for r in self._shown(uow, records.values(), visible=visible, as_of=as_of)}
        facts = facts_then(uow, [record.key for record in shown.values()], as_of)
        retired, gone = retired_keys(facts, shown.values()), erased_keys(facts)
        doubted = {fact.left for fact in facts if fact.kind in IN_DOUBT}
        people = []
        for one in sorted(sets):
            members = tuple(
                self._member(record, retired)
                for record in sorted((shown[i] for i in one if i in shown), key=lambda r: r.key)
                if record.key not in gone
            )
            if any(member.record.first_event_time is not None for member in members):
                keys = {member.record.key for member in members}
                people.append(Seen(members, frozenset(doubted & keys)))
        return people

    def sets(
        self,
        uow: UnitOfWork,
        record_ids: Collection[int],
        *,
        visible: frozenset[str],
        as_of: datetime | None = None,
    ) -> Iterable[PersonSet]:
        """Which records are one person each, for somebody who sees these domains."""
        return self._persons.of(uow, record_ids, visible=visible, as_of=as_of).values()

    def shown(self, uow: UnitOfWork, seen: Sequence[Seen], *, as_of: datetime | None = None) -> list[Person]:
        """People with what survives of what their records say."""
        accepted = self._accepted(uow, [m.record for one in seen for m in one.members], as_of)
        return [Person(one.id, one.members, _golden(one.members, accepted), one.is_doubtful) for one in seen]

    def may_show(self, record: StoredRecord, *, visible: frozenset[str]) -> bool:
        """Whether a record, as it is today, may be shown to who sees these domains."""
        return (
            record.key.domain in visible
            and self._domains.get(record.key.domain) is not None
            and not record.traits.attributes & NEVER_ANSWERED
        )

    def _shown(
        self,
        uow: UnitOfWork,
        records: Iterable[StoredRecord],
        *,
        visible: frozenset[str],
        as_of: datetime | None,
    ) -> Iterable[StoredRecord]:
        """Those that are not protected, nor were at that instant: as they are, or were."""
        for record in records:
            if not self.may_show(record, visible=visible):
                continue
            if as_of is None:
                yield record
                continue
            then = record_then(uow, record, as_of, self._changes_person)
            if then is not None and not then.traits.attributes & NEVER_ANSWERED:
                yield then

    def _member(self, record: StoredRecord, retired: Collection[RecordKey]) -> MemberView:
        authority = self._domains.by_key(record.key.domain).authority
        identifier = PatientIdentifier(record.key.value, authority, "PI")
        return MemberView(record, identifier, record.key in retired)

    def _accepted(
        self, uow: UnitOfWork, records: Collection[StoredRecord], as_of: datetime | None
    ) -> Mapping[RecordKey, list[StoredStatement]]:
        """The statements that each record is made of, now or at an instant."""
        firsts: dict[RecordKey, int] = {}
        epochs = known = uow.records.by_keys({record.key._replace(epoch=0) for record in records})
        while epochs:
            firsts |= {key: record.id for key, record in epochs.items() if key.epoch == 0}
            epochs = uow.records.by_keys({key._replace(epoch=key.epoch + 1) for key in epochs})
            known = known | epochs
        said = uow.records.statements_of(firsts.values())
        facts: dict[tuple[str, str], list[Fact]] = defaultdict(list)
        for fact in facts_then(uow, known, as_of):
            facts[fact.left[:2]].append(fact)
        accepted = {}
        for first, record_id in firsts.items():
            statements = [s for s in said.get(record_id, ()) if as_of is None or s.recorded_at <= as_of]
            for epoch in read_epochs(statements, facts[first[:2]], self._changes_person):
                accepted[first._replace(epoch=epoch.number)] = epoch.accepted
        return accepted


def _golden(
    members: Iterable[MemberView], accepted: Mapping[RecordKey, Sequence[StoredStatement]]
) -> dict[str, golden.GoldenField]:
    stated = []
    for member in members:
        if statements := accepted.get(member.record.key):
            current = golden.current([(item.id, item.statement) for item in statements])
            stated.append(golden.Member(member.record.key, current, normalise(current.demographics).status))
    return golden.golden_record(stated)
