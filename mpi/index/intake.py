"""
Intake: one instruction from a message -> statements, facts and edges, then the derivation they call for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

from mpi.errors import LinkConflict
from mpi.identity.ins import NEVER_ANSWERED, IdentityAttribute
from mpi.identity.model import Demographics, RecordKey, SourceRecord, Urgency, Witness
from mpi.identity.traits import Traits, normalise
from mpi.index import golden, studies
from mpi.index.derivation import NO_EFFECT, Derivation, Effect
from mpi.index.epochs import Epoch, Held, present, read_epochs
from mpi.index.euid import native_euid
from mpi.index.events import (
    RETIRING,
    Fact,
    FactKind,
    IdentifiersLinked,
    IdentifiersMerged,
    IdentityStated,
    Instruction,
    Nothing,
    PatientMoved,
)
from mpi.index.graph import Edge
from mpi.index.ports import StoredRecord, StoredStatement, UnitOfWork
from mpi.matching.blocking import blocking_keys
from mpi.matching.continuity import changes_person
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
            case IdentityStated():
                return self._state_identities(uow, instruction, message_id=message_id, at=at)
            case IdentifiersMerged():
                return self._merge(uow, instruction, message_id=message_id, at=at)
            case IdentifiersLinked():
                return self._link(uow, instruction, message_id=message_id, at=at)
            case PatientMoved():
                return self._move(uow, instruction, message_id=message_id, at=at)
            case Nothing():
                return NO_EFFECT

    # ------------------------------------------------------------------------- identities

    def _state_identities(
        self, uow: UnitOfWork, stated: IdentityStated, *, message_id: int, at: datetime
    ) -> Effect:
        folds = [self._state_one(uow, one, message_id=message_id, at=at) for one in stated.records]
        seeds = {record_id for fold in folds for record_id in fold.seeds}
        elsewhere = (*stated.elsewhere, *studies.elsewhere(uow, stated.studies))
        keys = list(dict.fromkeys((*(one.key for one in stated.records), *elsewhere)))
        for left, right in pairwise([named_today(uow, key) for key in keys] if len(keys) > 1 else ()):
            new = self._assert_link(
                uow,
                FactKind.SOURCE_LINKED,
                left,
                right,
                source=stated.records[0].source,
                event_time=stated.records[0].event_time,
                message_id=message_id,
                at=at,
            )
            if new:
                seeds |= {record.id for record in uow.records.by_keys((left, right)).values()}
        for former in stated.formerly:
            seeds |= self._reconcile(uow, former, stated.records[0], message_id=message_id, at=at)
        # What one statement loaded, a later one of the same message may have changed since.
        only = folds[0] if len(folds) == 1 else None
        effect = self._derivation.recompute(
            uow,
            seeds,
            at=at,
            cause=f"message/{message_id}",
            compared={record_id: some for fold in folds for record_id, some in fold.compared.items()},
            loaded=only.loaded if only else {},
            edges_of=only.edges_of if only else {},
        )
        studies.keep(uow, stated.studies, formerly=stated.formerly, message_id=message_id)
        return replace(effect, records=tuple(fold.record_id for fold in folds))

    def _state_one(
        self, uow: UnitOfWork, statement: SourceRecord, *, message_id: int, at: datetime
    ) -> "Folded":
        """Add one statement, and fold the records of its identifier again."""
        statement = _not_from_the_future(statement, at)
        key = statement.key
        known = uow.records.epochs(key.domain, key.value)
        if not known:
            return self._first_heard_of(uow, key, statement, message_id=message_id, at=at)
        first = known[0]
        statement_id = uow.records.add_statement(first.id, statement, message_id=message_id, recorded_at=at)
        never_stated = len(known) == 1 and not first.first_event_time
        if never_stated and not uow.facts.standing((key,)):  # nothing to compare it with
            only = StoredStatement(statement_id, first.id, statement, message_id, at)
            return self._fold_epoch(uow, first, Epoch(0, [only]))
        return self.refold(uow, key)

    def _first_heard_of(
        self, uow: UnitOfWork, key: RecordKey, statement: SourceRecord, *, message_id: int, at: datetime
    ) -> "Folded":
        """
        A record that is created with what its first statement makes of it.

        The statement has no number before its record has one, and needs none to be folded: it is the only one.
        """
        only = StoredStatement(0, 0, statement, message_id, at)
        record = fold(self._blank(key), Epoch(0, [only]))
        keys = keys_of(record)
        record = replace(record, id=uow.records.add_folded(record, blocking_keys=keys))
        uow.records.add_statement(record.id, statement, message_id=message_id, recorded_at=at)
        return self.compare(uow, record, keys)

    def _new(self, uow: UnitOfWork, key: RecordKey) -> StoredRecord:
        """A record of which nothing is stated yet."""
        blank = self._blank(key)
        return replace(blank, id=uow.records.add(key, blank.native_euid))

    def _blank(self, key: RecordKey) -> StoredRecord:
        native = native_euid(self._euid_secret, key)
        return StoredRecord(0, key, native, None, Demographics(), Traits())

    def _reconcile(
        self, uow: UnitOfWork, former: RecordKey, stated: SourceRecord, *, message_id: int, at: datetime
    ) -> set[int]:
        """
        A study was under another identifier before its archive corrected it.

        That of one person is no matter, nor that of nobody known. Of somebody else, a wrong patient was chosen
        once: a person should look, as at visits that move. Asked once for two records and a source.

        Returns:
            The two records, when there is something to ask.
        """
        to, origin = named_today(uow, stated.key), named_today(uow, former)
        records = uow.records.by_keys((to, origin))
        if to == origin or not _is_stated(records.get(origin)):
            return set()
        if self.changes_person(records[origin].demographics, stated.demographics) is None:
            return set()
        actor = f"source:{stated.source}"
        pair = FactKind.MOVED, to, origin, actor
        if any((fact.kind, fact.left, fact.right, fact.actor) == pair for fact in uow.facts.ever((to,))):
            return set()
        uow.facts.add(Fact(0, *pair, stated.event_time, at, message_id=message_id))
        return {record.id for record in records.values()}

    def refold(self, uow: UnitOfWork, key: RecordKey) -> "Folded":
        """
        Judge the statements of an identifier again, and store the records they make.

        Args:
            key: of any epoch.
        """
        known = {record.key.epoch: record for record in uow.records.epochs(key.domain, key.value)}
        statements = uow.records.statements(known[0].id)
        facts = uow.facts.standing([record.key for record in known.values()])
        folded: Folded | None = None
        epochs = {epoch.number: epoch for epoch in read_epochs(statements, facts, self.changes_person)}
        for number in sorted(epochs.keys() | known.keys()):
            record = known.get(number)
            if record is None:
                record = self._new(uow, RecordKey(key.domain, key.value, number))
            one = self._fold_epoch(uow, record, epochs.get(number, Epoch(number)))
            folded = one if folded is None else folded.followed_by(one)
        assert folded is not None
        return folded

    def changes_person(self, before: Demographics, after: Demographics) -> str | None:
        """Why an identifier would name somebody else after a statement; None when it would not."""
        return changes_person(self._model, normalise(before), normalise(after))

    def _fold_epoch(self, uow: UnitOfWork, before: StoredRecord, epoch: Epoch) -> "Folded":
        """Store what the accepted statements make of a record, and compare it again if its traits changed."""
        record = fold(before, epoch)
        if record == before:
            return Folded(record.id, frozenset(), {record.id: record})
        keys = keys_of(record)
        uow.records.save_current(record, blocking_keys=keys)
        stated_alike = (record.first_event_time is None) == (before.first_event_time is None)
        if record.traits == before.traits and stated_alike:
            moves = replace(record, demographics=before.demographics) != before
            return Folded(record.id, frozenset({record.id} if moves else ()), {record.id: record})
        return self.compare(uow, record, keys)

    def compare(self, uow: UnitOfWork, record: StoredRecord, keys: Sequence[int]) -> "Folded":
        """Weigh a record against its candidates, and keep the edges worth keeping."""
        before = {
            end
            for edge in uow.edges.touching([record.id])
            if edge.score.decision is Decision.LINK
            for end in (edge.left_id, edge.right_id)
        }
        found = uow.records.candidates(keys, excluding=record.id, block_cap=BLOCK_CAP)
        edges = self.edges_to(record, found.records)
        uow.edges.replace(record.id, edges)
        loaded = {record.id: record, **{other.id: other for other in found.records}}
        compared = {record.id: found.oversized_blocks > 0}
        return Folded(record.id, frozenset(before | {record.id}), loaded, compared, {record.id: edges})

    def edges_to(self, record: StoredRecord, others: Sequence[StoredRecord]) -> list[Edge]:
        """The scored pairs of a record worth keeping."""
        return [
            Edge(min(record.id, other.id), max(record.id, other.id), scored, self._model.version)
            for other in others
            if self._worth_keeping(scored := score(self._model, record.traits, other.traits))
        ]

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

    # ------------------------------------------------------------------------ assertions

    def _merge(self, uow: UnitOfWork, merged: IdentifiersMerged, *, message_id: int, at: datetime) -> Effect:
        survivor = named_today(uow, RecordKey(merged.domain, merged.survivor.value))
        subsumed = named_today(uow, RecordKey(merged.domain, merged.subsumed.value))
        if survivor == subsumed:
            raise LinkConflict("an identifier cannot be merged into itself")
        kind = FactKind.RENAMED if merged.renamed else FactKind.MERGED
        records = uow.records.by_keys((survivor, subsumed))
        about = uow.facts.ever((survivor, subsumed))
        retired = [f for f in about if f.stands and f.kind in RETIRING and f.right == subsumed]
        if merged.renamed and not retired:
            back = self._renamed_back(uow, about, merged, survivor, subsumed)
            if back is not None:
                uow.facts.withdraw(back.id, at=at, by=f"source:{merged.source}")
                ids = [records[survivor].id, records[subsumed].id]
                return replace(self._recompute(uow, ids, message_id=message_id, at=at), records=tuple(ids))
            if self._is_fed(uow, survivor, by=merged.source):
                if not _is_stated(records.get(subsumed)):
                    return NO_EFFECT
                raise LinkConflict("the new identifier belongs to another patient")
            if any(f.stands and f.kind in RETIRING and f.right == survivor for f in about):
                raise LinkConflict("the new identifier was itself retired")
        if survivor in self._subsumed_into(uow, subsumed):
            raise LinkConflict("the survivor was itself merged into the identifier to retire")
        if any(fact.left != survivor for fact in retired):
            raise LinkConflict("the identifier to retire was already merged into another")
        again = [f for f in about if f.kind is kind and (f.left, f.right) == (survivor, subsumed)]
        if not retired and any(f.withdrawn_by.startswith("user:") for f in again):
            raise LinkConflict("a person withdrew this assertion; only a person may make it again")
        for key in (survivor, subsumed):
            if key not in records:
                self._new(uow, key)
        records = uow.records.by_keys((survivor, subsumed))
        if not retired:
            self._add(uow, kind, survivor, subsumed, merged, message_id=message_id, at=at)
        ids = [records[survivor].id, records[subsumed].id]
        return replace(self._recompute(uow, ids, message_id=message_id, at=at), records=tuple(ids))

    @staticmethod
    def _is_fed(uow: UnitOfWork, key: RecordKey, *, by: str) -> bool:
        """
        Whether a patient identity source stated a record itself.

        What another source of the domain said of it is no reason to refuse: it may only have been quicker
        to use the new identifier. Should the two be different people, they are kept apart, and a person is asked.
        """
        record = uow.records.by_key(key)
        if record is None or record.first_event_time is None:
            return False
        first = uow.records.epochs(key.domain, key.value)[0]
        return any(
            item.statement.witness is Witness.FEED and item.statement.source == by
            for item in uow.records.statements(first.id)
        )

    def _renamed_back(
        self,
        uow: UnitOfWork,
        about: Sequence[Fact],
        merged: IdentifiersMerged,
        survivor: RecordKey,
        subsumed: RecordKey,
    ) -> Fact | None:
        """The change of identifier that this one takes back, when its source stated nothing under the new one."""
        if self._is_fed(uow, subsumed, by=merged.source):
            return None
        pair = (subsumed, survivor)
        found = [f for f in about if f.stands and f.kind is FactKind.RENAMED and (f.left, f.right) == pair]
        return found[0] if found else None

    def _subsumed_into(self, uow: UnitOfWork, survivor: RecordKey) -> set[RecordKey]:
        """Every identifier merged, directly or through others, into this one."""
        found: set[RecordKey] = set()
        frontier = {survivor}
        while frontier:
            facts = [f for f in uow.facts.standing(frontier) if f.kind in RETIRING and f.left in frontier]
            frontier = {fact.right for fact in facts} - found
            found |= frontier
        return found

    def _link(self, uow: UnitOfWork, said: IdentifiersLinked, *, message_id: int, at: datetime) -> Effect:
        left, right = sorted((named_today(uow, said.left), named_today(uow, said.right)))
        if left == right:
            raise LinkConflict("an identifier cannot be linked to itself")
        kind = FactKind.SOURCE_LINKED if said.linked else FactKind.SOURCE_UNLINKED
        self._assert_link(
            uow,
            kind,
            left,
            right,
            source=said.source,
            event_time=said.event_time,
            message_id=message_id,
            at=at,
            expressly=True,
        )
        ids = tuple(record.id for record in uow.records.by_keys((left, right)).values())
        return replace(self._recompute(uow, ids, message_id=message_id, at=at), records=ids)

    def _assert_link(
        self,
        uow: UnitOfWork,
        kind: FactKind,
        left: RecordKey,
        right: RecordKey,
        *,
        source: str,
        event_time: datetime,
        message_id: int,
        at: datetime,
        expressly: bool = False,
    ) -> bool:
        """
        Remember what a source says of a link, unless it says nothing new. Returns whether it is new.

        A person who withdrew what it said has the last word.

        Args:
            expressly: in a message of its own, whose later date counts; otherwise in passing, with
                every statement.
        """
        left, right = sorted((left, right))
        actor = f"source:{source}"
        said = [
            f
            for f in uow.facts.ever((left,))
            if f.actor == actor
            and (f.left, f.right) == (left, right)
            and f.kind in (FactKind.SOURCE_LINKED, FactKind.SOURCE_UNLINKED)
        ]
        if any(f.kind is kind and f.withdrawn_at is not None for f in said):
            return False
        last = max((f for f in said if f.stands), key=lambda f: (f.event_time, f.id), default=None)
        if last is not None and last.kind is kind and not (expressly and event_time > last.event_time):
            return False
        uow.facts.add(Fact(0, kind, left, right, actor, event_time, at, message_id=message_id))
        return True

    def _move(self, uow: UnitOfWork, moved: PatientMoved, *, message_id: int, at: datetime) -> Effect:
        to, origin = named_today(uow, moved.to), named_today(uow, moved.origin)
        if to == origin:
            raise LinkConflict("visits cannot move from a patient to the same one")
        self._add(uow, FactKind.MOVED, to, origin, moved, message_id=message_id, at=at)
        ids = tuple(record.id for record in uow.records.by_keys((to, origin)).values())
        return replace(self._recompute(uow, ids, message_id=message_id, at=at), records=ids)

    def _add(
        self,
        uow: UnitOfWork,
        kind: FactKind,
        left: RecordKey,
        right: RecordKey,
        said: IdentifiersMerged | PatientMoved,
        *,
        message_id: int,
        at: datetime,
    ) -> None:
        actor = f"source:{said.source}"
        uow.facts.add(Fact(0, kind, left, right, actor, said.event_time, at, message_id=message_id))

    def _recompute(
        self, uow: UnitOfWork, record_ids: Sequence[int], *, message_id: int, at: datetime
    ) -> Effect:
        return self._derivation.recompute(uow, record_ids, at=at, cause=f"message/{message_id}")


def _is_stated(record: StoredRecord | None) -> bool:
    return record is not None and record.first_event_time is not None


def named_today(uow: UnitOfWork, key: RecordKey) -> RecordKey:
    """The record an identifier names today, which need not exist yet."""
    epochs = uow.records.epochs(key.domain, key.value)
    if len(epochs) <= 1 and all(map(_is_stated, epochs)):
        return key._replace(epoch=0)
    return present(key, uow.facts.standing([record.key for record in epochs]))


def record_today(uow: UnitOfWork, key: RecordKey) -> StoredRecord | None:
    """The record an identifier names today; None when it was never heard of."""
    epochs = uow.records.epochs(key.domain, key.value)
    if len(epochs) <= 1 and all(map(_is_stated, epochs)):
        return epochs[0] if epochs else None
    named = present(key, uow.facts.standing([record.key for record in epochs]))
    return next((record for record in epochs if record.key == named), None)


def keys_of(record: StoredRecord) -> tuple[int, ...]:
    """The blocking keys a record holds: none while nobody stated it."""
    return blocking_keys(record.traits) if record.first_event_time is not None else ()


def fold(record: StoredRecord, epoch: Epoch) -> StoredRecord:
    """A record as the accepted statements of an epoch make it."""
    first = epoch.first_held
    record = replace(
        record,
        held_since=first.statement.statement.event_time if first else None,
        held_reason=_why_held(first) if first else "",
    )
    if not epoch.accepted:
        return replace(
            record,
            first_event_time=None,
            demographics=Demographics(),
            traits=Traits(),
            urgency=Urgency.NONE,
        )
    folded = golden.current([(item.id, item.statement) for item in epoch.accepted])
    traits = normalise(folded.demographics)
    latest = max(epoch.accepted, key=lambda item: (item.statement.event_time, item.statement.source, item.id))
    return replace(
        record,
        first_event_time=folded.first_event_time,
        demographics=folded.demographics,
        traits=replace(traits, attributes=traits.attributes | _protected_by_held(epoch)),
        urgency=latest.statement.urgency,
    )


def _why_held(held: Held) -> str:
    """Why it looks like somebody else, and that an image says so where one does: images are often the ones wrong."""
    return f"{held.reason}:header" if held.statement.statement.witness is Witness.HEADER else held.reason


def _protected_by_held(epoch: Epoch) -> frozenset[IdentityAttribute]:
    """Protection takes effect at once, whoever the held statement turns out to be about."""
    stated = {code for held in epoch.held for code in held.statement.statement.demographics.identity_codes}
    return frozenset(attribute for attribute in NEVER_ANSWERED if attribute in stated)


def _not_from_the_future(statement: SourceRecord, at: datetime) -> SourceRecord:
    """A statement dated after its reception would outweigh every later one: it counts from its reception."""
    if statement.event_time <= at + CLOCK_TOLERANCE:
        return statement
    return replace(statement, event_time=at, warnings=(*statement.warnings, "event time: in the future"))


@dataclass(frozen=True, slots=True)
class Folded:
    """
    The records of one identifier, folded again.

    Args:
        record_id: the one it names now.
        seeds: records whose sets may change.
        loaded: records read on the way, as they stand.
        compared: records compared with their candidates, and whether a block was too common to open.
        edges_of: every edge of the records compared, as they stand.
    """

    record_id: int
    seeds: frozenset[int]
    loaded: Mapping[int, StoredRecord] = field(default_factory=dict)
    compared: Mapping[int, bool] = field(default_factory=dict)
    edges_of: Mapping[int, Sequence[Edge]] = field(default_factory=dict)

    def followed_by(self, later: "Folded") -> "Folded":
        """This and the next epoch of the same identifier."""
        stated = later.loaded[later.record_id].first_event_time is not None
        return Folded(
            later.record_id if stated else self.record_id,
            self.seeds | later.seeds,
            {},  # what the earlier one loaded, the later one may have changed since
            {**self.compared, **later.compared},
        )
