"""
Relinking: the whole store under the active model, after it changed.

What is stored keeps the decisions of the model that made them until its identities change. Here every
pair is scored again, the statements of every identifier are judged again, and sets and questions are
derived from that. What people and sources asserted is read, never written.

A preview derives all of it without writing, from a view of the store whose folds and edges are those of
the active model. The run then writes what that view shows, a few records at a time and each time all of
their component: nobody is moved twice, and a message waits a fraction of a second. A run that was stopped
goes on where it was.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import combinations
from typing import Any, cast

from mpi.errors import LinkConflict
from mpi.identity.model import RecordKey
from mpi.index.audit import AuditEvent
from mpi.index.graph import Edge
from mpi.index.intake import BLOCK_CAP, Intake, keys_of
from mpi.index.ports import Candidates, Clock, Edges, Records, Store, StoredRecord, StoredRelink, UnitOfWork
from mpi.index.questions import wanted_tasks
from mpi.index.registry import Registry
from mpi.index.review import WHOLE
from mpi.index.verification import (
    NOT_ASKED,
    NOTHING_ASKS,
    RECORDS_PER_SNAPSHOT,
    Progress,
    folded_again,
    task_differences,
)
from mpi.matching.decision import Decision

RECORDS_PER_TRANSACTION = 50
"""With the rest of their components; a tenth of a second, for which messages wait."""
SURE = 0.99
"""A link at least this probable, once, is worth a look when it goes."""
LARGE_SET = 6
"""Records of one person beyond which a set that grew is worth a look."""
SURPRISES_SHOWN = 20


class SurpriseKind(StrEnum):
    """What somebody should look at before a run, gravest first."""

    DECIDED_SET = "decided_set"
    """A person decided about a record of a set that changes. The decision itself stands."""
    QUALIFIED_LINK_GAINED = "qualified_link_gained"
    """An identity with a qualified INS comes together with another record."""
    LARGE_SET = "large_set"
    """Records come together in a set of more than `LARGE_SET`."""
    SURE_LINK_LOST = "sure_link_lost"
    """Two records go apart whose link the former model held for at least `SURE`."""


@dataclass(frozen=True, slots=True)
class Surprise:
    """
    A change worth a look.

    Args:
        subjects: by this index's own names: `record/12`.
        probability: of the link that is lost, by the model that made it.
    """

    kind: SurpriseKind
    subjects: tuple[str, ...]
    probability: float | None = None


@dataclass(frozen=True, slots=True)
class ChangedLink:
    """Two records that come together in a set, or go apart. left_id < right_id."""

    left_id: int
    right_id: int
    gained: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """
    What a run would change. A link is a pair of records of one set.

    Args:
        links: before the run.
        people_joined, people_parted: enterprise records, after and before, with a link gained or lost.
        moved: records that change their enterprise identifier.
        refolded: records whose statements are judged otherwise.
        rescored: records with an edge that changes.
        partly_compared: records with a blocking key too common to open.
        tasks_opened, tasks_closed: an estimate, made while the sets around are still the former ones.
        surprises: the gravest; `surprising` counts them all.
    """

    records: int
    links: int
    gained: int
    lost: int
    people_joined: int
    people_parted: int
    moved: int
    refolded: int
    rescored: int
    partly_compared: int
    tasks_opened: int
    tasks_closed: int
    surprising: Mapping[SurpriseKind, int]
    surprises: tuple[Surprise, ...]

    @property
    def changed_share(self) -> float:
        """Links gained and lost, of all there are before or after."""
        return (self.gained + self.lost) / max(1, self.links + self.gained)


# ---------------------------------------------------------------- the store as the model makes it


class _RecordsAfresh:
    """Records, some of them folded otherwise than they are stored. Only what a derivation reads."""

    def __init__(self, records: Records, refolded: Mapping[int, StoredRecord]) -> None:
        self._records = records
        self._refolded = refolded
        self._holders: dict[int, set[int]] = defaultdict(set)
        for record in refolded.values():
            for key in keys_of(record):
                self._holders[key].add(record.id)

    def by_ids(self, record_ids: Collection[int]) -> dict[int, StoredRecord]:
        found = self._records.by_ids(record_ids)
        return {record_id: self._refolded.get(record_id, found[record_id]) for record_id in found}

    def by_keys(self, keys: Collection[RecordKey]) -> dict[RecordKey, StoredRecord]:
        found = self._records.by_keys(keys)
        return {key: self._refolded.get(record.id, record) for key, record in found.items()}

    def candidates(self, keys: Sequence[int], *, excluding: int | None, block_cap: int) -> Candidates:
        """A block at the limit counts as it is stored; the run may count a few records otherwise."""
        found = self._records.candidates(keys, excluding=excluding, block_cap=block_cap)
        records = {record.id: record for record in found.records if record.id not in self._refolded}
        held = {record_id for key in keys for record_id in self._holders.get(key, ())} - {excluding}
        records.update({record_id: self._refolded[record_id] for record_id in held})
        return Candidates(tuple(records[record_id] for record_id in sorted(records)), found.oversized_blocks)


class _EdgesAfresh:
    """The edges that the active model gives, weighed when they are asked for. Only what a derivation reads."""

    def __init__(self, stored: Edges, records: Records, intake: Intake) -> None:
        self._stored = stored
        self._records = records
        self._intake = intake
        self._of: dict[int, dict[int, Edge]] = {}
        """By record, then by the record at the other end."""
        self.partly_compared: set[int] = set()

    def touching(self, record_ids: Collection[int]) -> list[Edge]:
        new = set(record_ids) - self._of.keys()
        neighbours: dict[int, set[int]] = defaultdict(set)
        for edge in self._stored.touching(new):
            neighbours[edge.left_id].add(edge.right_id)
            neighbours[edge.right_id].add(edge.left_id)
        for record in self._records.by_ids(new).values():
            self._of[record.id] = self._weighed(record, neighbours[record.id])
        found = {edge for record_id in record_ids for edge in self.of(record_id)}
        return sorted(found, key=lambda edge: (edge.left_id, edge.right_id))

    def of(self, record_id: int) -> list[Edge]:
        """The edges of a record that was asked for."""
        return [edge for _, edge in sorted(self._of.get(record_id, {}).items())]

    def _weighed(self, record: StoredRecord, neighbours: Collection[int]) -> dict[int, Edge]:
        """
        Weigh a record against its candidates, and against those it has an edge with already.

        A pair was compared before its blocks grew too large to open: that is no reason to lose it.
        """
        keys = keys_of(record)
        found = self._records.candidates(keys, excluding=record.id, block_cap=BLOCK_CAP)
        if found.oversized_blocks:
            self.partly_compared.add(record.id)
        others = {other.id: other for other in found.records}
        for other in self._records.by_ids(set(neighbours) - others.keys()).values():
            if not set(keys).isdisjoint(keys_of(other)):
                others[other.id] = other
        known = {
            i: self._of[i][record.id] for i in others.keys() & self._of.keys() if record.id in self._of[i]
        }
        unknown = [other for i, other in others.items() if i not in self._of]
        weighed = self._intake.edges_to(record, unknown)
        return known | {edge.left_id + edge.right_id - record.id: edge for edge in weighed}


class _Afresh:
    """A unit of work whose folds and edges are those of the active model. It writes nothing."""

    def __init__(self, uow: UnitOfWork, intake: Intake, refolded: Mapping[int, StoredRecord]) -> None:
        records = cast(Records, _RecordsAfresh(uow.records, refolded)) if refolded else uow.records
        self.records = records
        self.edges = _EdgesAfresh(uow.edges, records, intake)
        self.facts = uow.facts

    def as_uow(self) -> UnitOfWork:
        """It as what a derivation reads from, which is no more than it has."""
        return cast(UnitOfWork, self)


# ------------------------------------------------------------------------------------- preview


def preview(
    store: Store,
    registry: Registry,
    *,
    on_link: Callable[[ChangedLink], object] = lambda _link: None,
    on_progress: Progress = lambda _what, _done, _total: None,
) -> Preview:
    """
    Derive what a run would change. Nothing is written.

    Args:
        on_link: called for each link gained or lost.

    Raises:
        StoreError: the store is down.
    """
    seen = _Seen()
    refolded = _refolded(store, registry.intake, on_progress)
    with store.read() as uow:
        ids = uow.records.all_ids()
    done = bytearray(ids[-1] + 1 if ids else 0)
    for start in range(0, len(ids), RECORDS_PER_SNAPSHOT):
        chunk = ids[start : start + RECORDS_PER_SNAPSHOT]
        with store.read() as uow:
            _look(uow, registry, refolded, [i for i in chunk if not done[i]], done, seen)
        on_progress("pairs", start + len(chunk), len(ids))
    surprises: list[Surprise] = []
    for euid, arriving in sorted(seen.touched().items()):
        with store.read() as uow:
            surprises += seen.compare(uow, euid, arriving, on_link)
    order = list(SurpriseKind)
    surprises.sort(key=lambda one: (order.index(one.kind), -(one.probability or 0), one.subjects))
    return Preview(
        records=len(ids),
        links=seen.links_after - seen.gained + seen.lost,
        gained=seen.gained,
        lost=seen.lost,
        people_joined=seen.people_joined,
        people_parted=seen.people_parted,
        moved=len(seen.moved),
        refolded=len(refolded),
        rescored=seen.rescored,
        partly_compared=seen.partly_compared,
        tasks_opened=seen.tasks_opened,
        tasks_closed=seen.tasks_closed,
        surprising=Counter(one.kind for one in surprises),
        surprises=tuple(surprises[:SURPRISES_SHOWN]),
    )


def _refolded(store: Store, intake: Intake, on_progress: Progress) -> dict[int, StoredRecord]:
    """Records whose statements the active model judges otherwise than they are stored, as they should be."""
    with store.read() as uow:
        ids = uow.records.all_ids()
    found: dict[int, StoredRecord] = {}
    for start in range(0, len(ids), RECORDS_PER_SNAPSHOT):
        chunk = ids[start : start + RECORDS_PER_SNAPSHOT]
        with store.read() as uow:
            found.update(_folds_that_differ(uow, intake, chunk))
        on_progress("statements", start + len(chunk), len(ids))
    return found


def _folds_that_differ(
    uow: UnitOfWork, intake: Intake, record_ids: Collection[int]
) -> Iterator[tuple[int, StoredRecord]]:
    for _, stored, folded in folded_again(uow, intake, uow.records.by_ids(record_ids).values()):
        if stored is not None and folded is not None and stored != folded:
            yield folded.id, folded


@dataclass(slots=True)
class _Seen:
    """
    What a preview has seen so far.

    Args:
        moved: by record, its enterprise identifier before and after, where they differ.
    """

    moved: dict[int, tuple[str, str]] = field(default_factory=dict)
    links_after: int = 0
    gained: int = 0
    lost: int = 0
    people_joined: int = 0
    people_parted: int = 0
    rescored: int = 0
    partly_compared: int = 0
    tasks_opened: int = 0
    tasks_closed: int = 0

    def touched(self) -> dict[str, list[int]]:
        """Enterprise identifiers that gain or lose a record, with the records they gain."""
        arriving: dict[str, list[int]] = {}
        for record_id, (before, after) in self.moved.items():
            arriving.setdefault(before, [])
            arriving.setdefault(after, []).append(record_id)
        return arriving

    def compare(
        self,
        uow: UnitOfWork,
        euid: str,
        arriving: Sequence[int],
        on_link: Callable[[ChangedLink], object],
    ) -> list[Surprise]:
        """The links that an enterprise record loses and gains, and what is surprising in that."""
        before = sorted(uow.memberships.members(euid))
        after = sorted([*(i for i in before if i not in self.moved), *arriving])
        lost = [
            (left, right)
            for left, right in combinations(before, 2)
            if self.moved.get(left, (euid, euid))[1] != self.moved.get(right, (euid, euid))[1]
        ]
        gained = [
            (left, right)
            for left, right in combinations(after, 2)
            if self.moved.get(left, (euid, euid))[0] != self.moved.get(right, (euid, euid))[0]
        ]
        for pairs, is_gain in ((lost, False), (gained, True)):
            for left, right in pairs:
                on_link(ChangedLink(left, right, is_gain))
        self.lost += len(lost)
        self.gained += len(gained)
        self.people_parted += bool(lost)
        self.people_joined += bool(gained)
        return list(_surprises(uow, before, after, lost, gained))


def _look(
    uow: UnitOfWork,
    registry: Registry,
    refolded: Mapping[int, StoredRecord],
    record_ids: Sequence[int],
    done: bytearray,
    seen: _Seen,
) -> None:
    """Derive the components of some records afresh, and note what is otherwise than it is stored."""
    afresh = _Afresh(uow, registry.intake, refolded)
    view = registry.derivation.component(afresh.as_uow(), record_ids)
    if not view.inside:
        return
    native = {record.id: record.native_euid for record in view.records.values()}
    before = native | uow.memberships.current(view.records.keys())
    situation = registry.derivation.derive(view, before)
    for record_id in view.inside:
        euid = situation.derived.euid_of[record_id]
        if euid != before[record_id]:
            seen.moved[record_id] = before[record_id], euid
    _mark(done, view.inside)
    seen.links_after += sum(len(members) * (len(members) - 1) // 2 for members in situation.derived.sets)
    seen.rescored += len(_rescored(uow, afresh, view.inside))
    seen.partly_compared += len(afresh.edges.partly_compared & view.inside)
    tasks = [task for task in uow.reviews.touching(view.inside) if task.sight == WHOLE]
    problems = [problem for _, problem in task_differences(wanted_tasks(situation), tasks)]
    seen.tasks_opened += problems.count(NOT_ASKED)
    seen.tasks_closed += problems.count(NOTHING_ASKS)


def _rescored(uow: UnitOfWork, afresh: _Afresh, record_ids: Collection[int]) -> dict[int, list[Edge]]:
    """The edges, afresh, of those of the records whose stored ones are others."""
    stored: dict[int, set[Edge]] = defaultdict(set)
    for edge in uow.edges.touching(record_ids):
        stored[edge.left_id].add(edge)
        stored[edge.right_id].add(edge)
    new = {record_id: afresh.edges.of(record_id) for record_id in sorted(record_ids)}
    return {record_id: edges for record_id, edges in new.items() if set(edges) != stored[record_id]}


def _surprises(
    uow: UnitOfWork,
    before: Collection[int],
    after: Collection[int],
    lost: Iterable[tuple[int, int]],
    gained: Sequence[tuple[int, int]],
) -> Iterator[Surprise]:
    records = uow.records.by_ids({*before, *after})
    human = [fact for fact in uow.facts.standing([r.key for r in records.values()]) if not fact.is_by_source]
    decided = {key for fact in human for key in (fact.left, fact.right)}
    if named := [record.id for record in records.values() if record.key in decided]:
        yield Surprise(SurpriseKind.DECIDED_SET, _names(named))
    if gained and len(after) > LARGE_SET:
        yield Surprise(SurpriseKind.LARGE_SET, _names(after))
    for pair in gained:
        if any(records[record_id].traits.qualified_ins for record_id in pair):
            yield Surprise(SurpriseKind.QUALIFIED_LINK_GAINED, _names(pair))
    probability = {
        (edge.left_id, edge.right_id): edge.score.probability
        for edge in uow.edges.touching(before)
        if edge.score.decision is Decision.LINK
    }
    for pair in lost:
        if probability.get(pair, 0.0) >= SURE:
            yield Surprise(SurpriseKind.SURE_LINK_LOST, _names(pair), probability[pair])


def _names(record_ids: Iterable[int]) -> tuple[str, ...]:
    return tuple(f"record/{record_id}" for record_id in sorted(record_ids))


# ------------------------------------------------------------------------------------- the run


def unfinished(store: Store, registry: Registry) -> StoredRelink | None:
    """The run to the active model that was stopped before its end."""
    with store.read() as uow:
        run = uow.relinks.unfinished()
    return run if run is not None and run.model_version == registry.model.version else None


def relink(
    store: Store,
    registry: Registry,
    clock: Clock,
    *,
    actor: str,
    on_progress: Progress = lambda _what, _done, _total: None,
) -> StoredRelink:
    """
    Make the store what the active model makes of it, or go on with a run that was stopped.

    Messages may arrive meanwhile, from processes that have the active model too. A run to another
    model that was stopped is ended: this one does its work.

    Args:
        actor: `user:…`, for the audit trail.
        on_progress: may raise, between two transactions, to stop the run.

    Raises:
        LinkConflict: another process is relinking.
        StoreError: the store is down; what was committed stays, and the run can go on.
    """
    run = _begin(store, registry, clock, actor)
    if run.position == 0:
        _refold(store, registry.intake, on_progress)
    done = bytearray()
    position, count = run.position, 0
    while ids := _ids_after(store, position):  # again: some came while the last of them were at work
        done.extend(bytes(max(0, ids[-1] + 1 - len(done))))
        done[: position + 1] = b"\x01" * (position + 1)
        total = count + len(ids)
        for start in range(0, len(ids), RECORDS_PER_TRANSACTION):
            chunk = ids[start : start + RECORDS_PER_TRANSACTION]
            with store.write() as uow:
                _refuse_other_run(uow, run.id, position)
                settled = _relink(uow, registry, chunk, done, at=clock(), cause=f"relink/{run.id}")
                uow.relinks.advance(run.id, position=chunk[-1])
                uow.commit()
            position = chunk[-1]
            _mark(done, settled)
            count += len(chunk)
            on_progress("records", count, total)
    return _end(store, run, clock, actor, {"records": count})


def _begin(store: Store, registry: Registry, clock: Clock, actor: str) -> StoredRelink:
    version = registry.model.version
    with store.write() as uow:
        run = uow.relinks.unfinished()
        if run is not None and run.model_version == version:
            return run
        now = clock()
        if run is not None:
            uow.relinks.finish(run.id, at=now)
            uow.audit.append(_event(actor, run.id, now, "ended", superseded_by=version))
        run = uow.relinks.begin(model_version=version, at=now, by=actor)
        uow.audit.append(_event(actor, run.id, now, "begun", model=version, digest=registry.model.digest))
        uow.commit()
    return run


def _refold(store: Store, intake: Intake, on_progress: Progress) -> None:
    """
    Judge the statements of every identifier again, and keep the records that become others.

    Ahead of all pairs, so that each of them is then weighed between records that stay as they are.
    """
    with store.read() as uow:
        ids = uow.records.all_ids()
    for start in range(0, len(ids), RECORDS_PER_SNAPSHOT):
        chunk = ids[start : start + RECORDS_PER_SNAPSHOT]
        with store.read() as uow:
            differing = [record_id for record_id, _ in _folds_that_differ(uow, intake, chunk)]
        if differing:
            with store.write() as uow:  # read again: a message may have come between
                for _, record in _folds_that_differ(uow, intake, chunk):
                    uow.records.save_current(record, blocking_keys=keys_of(record))
                uow.commit()
        on_progress("statements", start + len(chunk), len(ids))


def _ids_after(store: Store, position: int) -> list[int]:
    with store.read() as uow:
        ids = uow.records.all_ids()
    return ids[bisect_right(ids, position) :]


def _refuse_other_run(uow: UnitOfWork, relink_id: int, position: int) -> None:
    run = uow.relinks.unfinished()
    if run is None or (run.id, run.position) != (relink_id, position):
        raise LinkConflict("another process is relinking this store")


def _relink(
    uow: UnitOfWork,
    registry: Registry,
    record_ids: Sequence[int],
    done: bytearray,
    *,
    at: datetime,
    cause: str,
) -> set[int]:
    """
    Store the edges, sets and questions of the components of some records as the active model makes them.

    Of the records that leave their sets, those that are done are derived at once, the others in their turn.

    Returns:
        The records that are settled.
    """
    afresh = _Afresh(uow, registry.intake, {})
    todo = [record_id for record_id in record_ids if not done[record_id]]
    inside = registry.derivation.component(afresh.as_uow(), todo).inside
    former = {i for edge in uow.edges.touching(inside) for i in (edge.left_id, edge.right_id)}
    for record_id, edges in _rescored(uow, afresh, inside).items():
        uow.edges.replace(record_id, edges)
    seeds = inside | {record_id for record_id in former if record_id < len(done) and done[record_id]}
    # A block too large asks nothing anew: the pairs there were are kept, and the preview counts the records.
    compared = dict.fromkeys(inside - afresh.edges.partly_compared, False)
    registry.derivation.recompute(uow, seeds, at=at, cause=cause, compared=compared)
    return inside


def _mark(done: bytearray, record_ids: Iterable[int]) -> None:
    """Records that came since the marks were made are left out."""
    for record_id in record_ids:
        if record_id < len(done):
            done[record_id] = 1


def _end(
    store: Store, run: StoredRelink, clock: Clock, actor: str, details: Mapping[str, Any]
) -> StoredRelink:
    now = clock()
    with store.write() as uow:
        uow.relinks.finish(run.id, at=now)
        uow.audit.append(_event(actor, run.id, now, "ended", **details))
        uow.commit()
    return replace(run, finished_at=now)


def _event(actor: str, relink_id: int, at: datetime, phase: str, **details: Any) -> AuditEvent:
    return AuditEvent(actor, "U", "model.relinked", f"relink/{relink_id}", at, {"phase": phase, **details})
