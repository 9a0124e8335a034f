"""
Intake: one instruction from a message -> statements, facts and edges, then the derivation they call for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from mpi.errors import LinkConflict
from mpi.identity.model import RecordKey, SourceRecord
from mpi.identity.traits import normalise
from mpi.index import golden
from mpi.index.derivation import NO_EFFECT, Derivation, Effect
from mpi.index.euid import native_euid
from mpi.index.events import Fact, FactKind, IdentifiersMerged, IdentityStated, Instruction, Nothing
from mpi.index.graph import Edge
from mpi.index.ports import StoredRecord, UnitOfWork
from mpi.matching.blocking import blocking_keys
from mpi.matching.decision import Decision
from mpi.matching.model import MatchModel
from mpi.matching.online import ScoredPair, score

CLOCK_TOLERANCE = timedelta(days=1)
"""How far a sender's clock may run ahead of ours before its event times are not believed."""

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
                return NO_EFFECT

    def _state_identities(
        self, uow: UnitOfWork, statements: Sequence[SourceRecord], *, message_id: int, at: datetime
    ) -> Effect:
        stated = [self._state_one(uow, statement, message_id=message_id, at=at) for statement in statements]
        seeds = {record_id for one in stated for record_id in one.seeds}
        for (left, left_one), (right, right_one) in pairwise(zip(statements, stated, strict=True)):
            new = self._assert_once(
                uow,
                FactKind.SOURCE_LINKED,
                *sorted((left.key, right.key)),
                actor=f"source:{left.source}",
                event_time=left.event_time,
                message_id=message_id,
                at=at,
            )
            seeds |= {left_one.record_id, right_one.record_id} if new else set()
        # What one statement loaded, a later one of the same message may have changed since.
        loaded = stated[0].loaded if len(stated) == 1 else {}
        effect = self._derivation.recompute(
            uow, seeds, at=at, oversized=[one.record_id for one in stated if one.oversized], loaded=loaded
        )
        return replace(effect, records=tuple(one.record_id for one in stated))

    def _state_one(
        self, uow: UnitOfWork, statement: SourceRecord, *, message_id: int, at: datetime
    ) -> "_Stated":
        """Add one statement, fold it in, and compare the record again if its traits changed."""
        statement = _not_from_the_future(statement, at)
        known = uow.records.by_key(statement.key)
        euid = native_euid(self._euid_secret, statement.key)
        record_id = known.id if known else uow.records.add(statement.key, euid)
        uow.records.add_statement(record_id, statement, message_id=message_id, recorded_at=at)
        was_stated = known is not None and known.first_event_time is not None
        if was_stated:
            folded = golden.current([(s.id, s.statement) for s in uow.records.statements(record_id)])
        else:
            folded = golden.current([(0, statement)])
        traits = normalise(folded.demographics)
        keys = blocking_keys(traits)
        uow.records.save_current(
            record_id,
            first_event_time=folded.first_event_time,
            demographics=folded.demographics,
            traits=traits,
            blocking_keys=keys,
        )
        record = StoredRecord(
            record_id, statement.key, euid, folded.first_event_time, folded.demographics, traits
        )
        if known is not None and was_stated and known.traits == traits:
            older = known.first_event_time != folded.first_event_time
            return _Stated(record_id, frozenset({record_id} if older else ()), {record_id: record})
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
            if self._worth_keeping(scored := score(self._model, traits, other.traits))
        ]
        uow.edges.replace(record_id, edges)
        loaded = {record_id: record, **{other.id: other for other in found.records}}
        return _Stated(record_id, frozenset(before | {record_id}), loaded, found.oversized_blocks > 0)

    def _worth_keeping(self, scored: ScoredPair) -> bool:
        """A pair that links or asks for a review, or that shows a national number gone wrong."""
        if scored.decision is not Decision.NON_LINK or "shared_ins" in scored.guards:
            return True
        if "ins_conflict" not in scored.guards:
            return False
        numbers = sum(item.bits for item in scored.evidence if item.trait == "ins")
        return (
            scored.weight_bits - numbers >= self._model.thresholds.lower_bits
        )  # one person, but for the number

    def _merge(self, uow: UnitOfWork, merged: IdentifiersMerged, *, message_id: int, at: datetime) -> Effect:
        survivor = RecordKey(merged.domain, merged.survivor.value)
        subsumed = RecordKey(merged.domain, merged.subsumed.value)
        if survivor == subsumed:
            raise LinkConflict("an identifier cannot be merged into itself")
        if survivor in self._subsumed_into(uow, subsumed):
            raise LinkConflict("the survivor was itself merged into the identifier to retire")
        retired = [
            f for f in uow.facts.standing((subsumed,)) if f.kind is FactKind.MERGED and f.right == subsumed
        ]
        if any(fact.left != survivor for fact in retired):
            raise LinkConflict("the identifier to retire was already merged into another")
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
        return replace(self._derivation.recompute(uow, ids, at=at), records=tuple(ids))

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
    ) -> bool:
        """Add the fact unless it stands already; return whether it is new."""
        same = [f for f in uow.facts.ever((left,)) if f.kind is kind and (f.left, f.right) == (left, right)]
        if any(fact.withdrawn_at is None for fact in same):
            return False
        if same and kind is FactKind.MERGED:
            raise LinkConflict("a person withdrew this assertion; only a person may make it again")
        if same:
            return False
        uow.facts.add(Fact(0, kind, left, right, actor, event_time, at, message_id=message_id))
        return True


def _not_from_the_future(statement: SourceRecord, at: datetime) -> SourceRecord:
    """A statement dated after its reception would outweigh every later one: it counts from its reception."""
    if statement.event_time <= at + CLOCK_TOLERANCE:
        return statement
    return replace(statement, event_time=at, warnings=(*statement.warnings, "event time: in the future"))


@dataclass(frozen=True, slots=True)
class _Stated:
    """
    One statement taken in.

    Args:
        seeds: records whose sets may change.
        loaded: records read on the way, as they stand.
        oversized: a blocking key was too common to open.
    """

    record_id: int
    seeds: frozenset[int]
    loaded: Mapping[int, StoredRecord]
    oversized: bool = False
