"""
Intake: one instruction from a message -> statements, facts and edges, then the derivation they call for.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise

from mpi.errors import LinkConflict
from mpi.identity.model import RecordKey, SourceRecord
from mpi.identity.traits import normalise
from mpi.index import golden
from mpi.index.derivation import Derivation, Effect
from mpi.index.euid import native_euid
from mpi.index.events import Fact, FactKind, IdentifiersMerged, IdentityStated, Instruction, Nothing
from mpi.index.graph import Edge
from mpi.index.ports import UnitOfWork
from mpi.matching.blocking import blocking_keys
from mpi.matching.decision import Decision
from mpi.matching.model import MatchModel
from mpi.matching.online import score

BLOCK_CAP = 2000
"""A blocking key shared by more records than this is not opened: the record's finer keys are."""


class Intake:
    """
    Applies instructions inside a unit of work.

    Args:
        euid_secret: native enterprise identifiers are derived with it.
    """

    def __init__(self, model: MatchModel, derivation: Derivation, euid_secret: bytes) -> None:
        self._model = model
        self._derivation = derivation
        self._euid_secret = euid_secret

    def apply(self, uow: UnitOfWork, instruction: Instruction, *, message_id: int, at: datetime) -> Effect:
        """Do what a message asks. Raises FeedError or RegistryError when it cannot be done."""
        match instruction:
            case IdentityStated(records=records):
                return self._state_identities(uow, records, message_id=message_id, at=at)
            case IdentifiersMerged():
                return self._merge(uow, instruction, message_id=message_id, at=at)
            case Nothing():
                return Effect((), (), linked=False, tasks_opened=0)

    def _state_identities(
        self, uow: UnitOfWork, statements: Sequence[SourceRecord], *, message_id: int, at: datetime
    ) -> Effect:
        seeds: set[int] = set()
        record_ids: list[int] = []
        oversized: set[int] = set()
        for statement in statements:
            record_id, touched, truncated = self._state_one(uow, statement, message_id=message_id, at=at)
            record_ids.append(record_id)
            seeds |= touched
            if truncated:
                oversized.add(record_id)
        for left, right in pairwise(statements):
            self._assert_once(
                uow,
                FactKind.SOURCE_LINKED,
                *sorted((left.key, right.key)),
                actor=f"source:{left.source}",
                event_time=left.event_time,
                message_id=message_id,
                at=at,
            )
        effect = self._derivation.recompute(uow, seeds, at=at, oversized=oversized)
        linked = any(
            len(uow.memberships.members(euid)) > 1 for euid in uow.memberships.current(record_ids).values()
        )
        return replace(effect, records=tuple(record_ids), linked=linked, oversized_blocks=len(oversized))

    def _state_one(
        self, uow: UnitOfWork, statement: SourceRecord, *, message_id: int, at: datetime
    ) -> tuple[int, set[int], bool]:
        """Add one statement; return its record, the records whose sets may change, and whether a block overflowed."""
        known = uow.records.by_key(statement.key)
        record_id = (
            known.id
            if known
            else uow.records.add(statement.key, native_euid(self._euid_secret, statement.key))
        )
        uow.records.add_statement(record_id, statement, message_id=message_id, recorded_at=at)
        if known is None or known.first_event_time is None:
            folded = golden.current([(0, statement)])
        else:
            folded = golden.current([(s.id, s.statement) for s in uow.records.statements(record_id)])
        traits = normalise(folded.demographics)
        same_traits = known is not None and known.first_event_time is not None and known.traits == traits
        keys = blocking_keys(traits)
        uow.records.save_current(
            record_id,
            first_event_time=folded.first_event_time,
            demographics=folded.demographics,
            traits=traits,
            blocking_keys=keys,
        )
        if same_traits and known is not None:
            return (
                record_id,
                ({record_id} if known.first_event_time != folded.first_event_time else set()),
                False,
            )
        before = {
            end
            for edge in uow.edges.touching([record_id])
            if edge.score.decision is Decision.LINK
            for end in (edge.left_id, edge.right_id)
        }
        found = uow.records.candidates(keys, excluding=record_id, block_cap=BLOCK_CAP)
        edges = [
            Edge(min(record_id, other.id), max(record_id, other.id), scored, self._model.version)
            for other in found.records
            if (scored := score(self._model, traits, other.traits)).decision is not Decision.NON_LINK
        ]
        uow.edges.replace(record_id, edges)
        return record_id, before | {record_id}, found.oversized_blocks > 0

    def _merge(self, uow: UnitOfWork, merged: IdentifiersMerged, *, message_id: int, at: datetime) -> Effect:
        survivor = RecordKey(merged.domain, merged.survivor.value)
        subsumed = RecordKey(merged.domain, merged.subsumed.value)
        if survivor == subsumed:
            raise LinkConflict("an identifier cannot be merged into itself")
        if survivor in self._subsumed_into(uow, subsumed):
            raise LinkConflict("the survivor was itself merged into the identifier to retire")
        records = uow.records.by_keys((survivor, subsumed))
        for key in (survivor, subsumed):
            if key not in records:
                uow.records.add(key, native_euid(self._euid_secret, key))
        records = uow.records.by_keys((survivor, subsumed))
        self._assert_once(
            uow,
            FactKind.MERGED,
            survivor,
            subsumed,
            actor=f"source:{merged.source}",
            event_time=merged.event_time,
            message_id=message_id,
            at=at,
        )
        ids = [records[survivor].id, records[subsumed].id]
        return replace(self._derivation.recompute(uow, ids, at=at), records=tuple(ids), linked=True)

    def _subsumed_into(self, uow: UnitOfWork, survivor: RecordKey) -> set[RecordKey]:
        """Every identifier merged, directly or through others, into this one."""
        found: set[RecordKey] = set()
        frontier = {survivor}
        while frontier:
            facts = [
                f for f in uow.facts.standing(frontier) if f.kind is FactKind.MERGED and f.left in frontier
            ]
            frontier = {fact.right for fact in facts} - found
            found |= frontier
        return found

    def _assert_once(
        self,
        uow: UnitOfWork,
        kind: FactKind,
        left: RecordKey,
        right: RecordKey,
        *,
        actor: str,
        event_time: datetime,
        message_id: int,
        at: datetime,
    ) -> None:
        standing = uow.facts.standing((left,))
        if not any(fact.kind is kind and (fact.left, fact.right) == (left, right) for fact in standing):
            uow.facts.add(Fact(0, kind, left, right, actor, event_time, at, message_id=message_id))
