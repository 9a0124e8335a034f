"""
Who is one person, as far as a caller may see.

Somebody who sees every domain is answered with the sets of the index. Somebody who does not is answered with
the sets that the domains it sees make by themselves: a record it may not see neither joins two that it sees,
nor keeps them apart, so that nothing in its answers depends on what it may not see.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from mpi.identity.model import RecordKey
from mpi.index.derivation import Component, Derivation
from mpi.index.epochs import ChangesPerson
from mpi.index.events import Fact
from mpi.index.graph import Edge
from mpi.index.intake import BLOCK_CAP, Intake
from mpi.index.past import facts_then, record_then
from mpi.index.ports import StoredRecord, UnitOfWork
from mpi.matching.blocking import blocking_keys
from mpi.matching.decision import Decision


@dataclass(frozen=True, slots=True)
class PersonSet:
    """
    The records of one person that somebody may see, protected ones included.

    Args:
        euid: of the whole set, for who sees every domain; else the native one of the oldest record in it.
    """

    euid: str
    record_ids: tuple[int, ...]


class Persons:
    """
    The sets of records that are one person, for callers with different sight.

    Args:
        domains: keys of every configured domain; who sees them all is answered with the sets as they are.
        intake: compares records as they were.
    """

    def __init__(self, domains: Collection[str], derivation: Derivation, intake: Intake) -> None:
        self._domains = frozenset(domains)
        self._derivation = derivation
        self._intake = intake

    def sees_all(self, visible: frozenset[str]) -> bool:
        """Whether nothing is hidden from who sees these domains."""
        return self._domains <= visible

    def of(
        self,
        uow: UnitOfWork,
        record_ids: Collection[int],
        *,
        visible: frozenset[str],
        as_of: datetime | None = None,
    ) -> dict[int, PersonSet]:
        """
        The set of each record, now or at an instant; none for one in a domain that is not visible.

        Of the past, sets of a part of the domains are those that the model of today makes of what was known.
        """
        if self.sees_all(visible):
            sets = uow.memberships.sets_of(record_ids, as_of=as_of)
            wanted = set(record_ids)
            return {
                record_id: PersonSet(euid, tuple(members))
                for euid, members in sets.items()
                for record_id in members
                if record_id in wanted
            }
        view = self._view(uow, record_ids, visible, as_of)
        derived = self._derivation.derive(view, {}).derived
        set_of = {
            record_id: PersonSet(derived.euid_of[record_id], tuple(sorted(members)))
            for members in derived.sets
            for record_id in members
        }
        return {record_id: set_of[record_id] for record_id in record_ids if record_id in set_of}

    def _view(
        self, uow: UnitOfWork, seeds: Collection[int], visible: frozenset[str], as_of: datetime | None
    ) -> Component:
        """What is reachable from some records by links and assertions through visible records alone."""
        sight = _Sight(uow, visible, as_of, self._intake)
        edges: dict[tuple[int, int], Edge] = {}
        facts: dict[int, Fact] = {}
        frontier = sight.load(seeds)
        inside: set[int] = set()
        while frontier:
            inside |= frontier
            reached: set[int] = set()
            for edge in sight.edges(frontier):
                edges[edge.left_id, edge.right_id] = edge
                if edge.score.decision is Decision.LINK:
                    reached |= {edge.left_id, edge.right_id}
            for fact in sight.facts(frontier):
                facts[fact.id] = fact
                if fact.is_positive:
                    reached |= sight.load_keys((fact.left, fact.right))
            frontier = reached - inside
        return Component(
            inside, {i: sight.records[i] for i in inside}, tuple(edges.values()), tuple(facts.values())
        )


class _Sight:
    """Records, edges and facts of the visible domains, now or at an instant."""

    def __init__(
        self, uow: UnitOfWork, visible: frozenset[str], as_of: datetime | None, intake: Intake
    ) -> None:
        self._uow = uow
        self._visible = visible
        self._as_of = as_of
        self._intake = intake
        self._changes_person: ChangesPerson = intake.changes_person
        self.records: dict[int, StoredRecord] = {}
        self._unseen: set[int] = set()

    def load(self, record_ids: Iterable[int]) -> set[int]:
        """Those of the records that are visible."""
        wanted = set(record_ids)
        unknown = wanted - self.records.keys() - self._unseen
        self._keep(unknown, self._uow.records.by_ids(unknown))
        return wanted & self.records.keys()

    def load_keys(self, keys: Iterable[RecordKey]) -> set[int]:
        """The records of those of the keys that are visible."""
        found = self._uow.records.by_keys({key for key in keys if key.domain in self._visible})
        ids = {record.id: record for record in found.values()}
        self._keep(ids.keys() - self.records.keys() - self._unseen, ids)
        return ids.keys() & self.records.keys()

    def _keep(self, asked: Collection[int], found: Mapping[int, StoredRecord]) -> None:
        for record_id in asked:
            record = found.get(record_id)
            if record is not None and record.key.domain in self._visible and self._existed(record):
                self.records[record_id] = self._then(record)
            else:
                self._unseen.add(record_id)

    def _existed(self, record: StoredRecord) -> bool:
        if self._as_of is None:
            return True
        history = self._uow.memberships.history(record.id)
        return bool(history) and min(item.valid_from for item in history) <= self._as_of

    def _then(self, record: StoredRecord) -> StoredRecord:
        if self._as_of is None:
            return record
        return record_then(self._uow, record, self._as_of, self._changes_person) or record

    def edges(self, record_ids: Collection[int]) -> list[Edge]:
        """The scored pairs with an end among the records and both ends visible."""
        if self._as_of is None:
            found = self._uow.edges.touching(record_ids)
            seen = self.load({end for edge in found for end in (edge.left_id, edge.right_id)})
            return [edge for edge in found if {edge.left_id, edge.right_id} <= seen]
        edges: list[Edge] = []
        for record_id in sorted(record_ids):
            record = self.records[record_id]
            if record.first_event_time is None:
                continue
            keys = blocking_keys(record.traits)
            pool = self._uow.records.candidates(
                keys, excluding=record_id, block_cap=BLOCK_CAP, past=True
            ).records
            others = [self.records[i] for i in sorted(self.load(one.id for one in pool))]
            alike = [one for one in others if set(blocking_keys(one.traits)) & set(keys)]
            edges += self._intake.edges_to(record, alike)
        return edges

    def facts(self, record_ids: Collection[int]) -> list[Fact]:
        """The assertions that stand, or stood, about some records and about visible ones only."""
        keys = [self.records[record_id].key for record_id in record_ids]
        found = facts_then(self._uow, keys, self._as_of)
        return [fact for fact in found if {fact.left.domain, fact.right.domain} <= self._visible]
