"""
Derivation: what the facts and edges around a change now mean, stored where it differs.

Only the connected component that a change touches is derived again; the result is the one that
deriving everything from nothing would give.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mpi.identity.model import RecordKey, Urgency
from mpi.index import graph
from mpi.index.events import OF_ONE_RECORD, Fact, FactKind
from mpi.index.graph import Edge, LinkPolicy, Node, Partition, retired_keys
from mpi.index.notices import Change, Notices
from mpi.index.ports import StoredRecord, UnitOfWork
from mpi.index.questions import Situation, oversized_block_task, wanted_tasks
from mpi.index.review import (
    LIVE_STATES,
    WHOLE,
    Sight,
    Task,
    TaskKey,
    TaskState,
    Topic,
    WantedTask,
    priority,
    still_answered,
)
from mpi.matching.decision import Decision
from mpi.matching.model import MatchModel
from mpi.matching.online import score


@dataclass(frozen=True, slots=True)
class Effect:
    """
    What applying one instruction changed.

    Args:
        records: the source records it was about.
        moved: enterprise identifiers that gained or lost a record.
        linked: records looked at that now share an enterprise record with another.
        inside: every record whose set was derived again, and the facts it was derived from.
    """

    records: tuple[int, ...]
    moved: tuple[str, ...]
    linked: frozenset[int]
    tasks_opened: int
    inside: frozenset[int] = frozenset()
    facts: tuple[Fact, ...] = ()


NO_EFFECT = Effect((), (), frozenset(), 0)


@dataclass(frozen=True, slots=True)
class Component:
    """A connected part of the graph: the records inside, and every record its edges and facts name."""

    inside: set[int]
    records: dict[int, StoredRecord]
    edges: tuple[Edge, ...]
    facts: tuple[Fact, ...]

    @property
    def nodes(self) -> dict[int, Node]:
        """What the partition needs of each record."""
        return nodes_of(self.records.values(), self.facts)

    @property
    def may_be_asked_about(self) -> bool:
        """Whether some of its records could leave a question, whichever of them are seen."""
        return bool(self.edges or self.facts) or any(r.held_since is not None for r in self.records.values())

    def seen(self, domains: frozenset[str]) -> "Component":
        """What of it is in some domains, as if there was nothing else."""
        records = {i: record for i, record in self.records.items() if record.key.domain in domains}
        return Component(
            self.inside & records.keys(),
            records,
            tuple(edge for edge in self.edges if {edge.left_id, edge.right_id} <= records.keys()),
            tuple(fact for fact in self.facts if {fact.left.domain, fact.right.domain} <= domains),
        )


def nodes_of(records: Iterable[StoredRecord], facts: Iterable[Fact]) -> dict[int, Node]:
    """Records as the partition sees them, with what standing facts say of each."""
    facts = tuple(facts)
    records = tuple(records)
    retired = retired_keys(facts, records)
    doubted = {fact.left for fact in facts if fact.kind is FactKind.DOUBTED}
    return {
        record.id: Node(
            record.id,
            record.key,
            record.native_euid,
            record.first_event_time,
            record.traits.qualified_ins,
            record.key in retired,
            record.key in doubted,
            record.held_since,
            record.held_reason,
            record.urgency,
        )
        for record in records
    }


class Derivation:
    """
    Derives sets and tasks again, and stores what changed.

    Args:
        priority_of: how urgently the questions of a domain are shown, 0 to 9.
        notices: tells those whom it concerns when sets change.
    """

    def __init__(
        self,
        model: MatchModel,
        policy: LinkPolicy,
        notices: Notices,
        priority_of: Callable[[str], int] = lambda _domain: 0,
    ) -> None:
        self._model = model
        self._policy = policy
        self._notices = notices
        self._priority_of = priority_of

    def recompute(
        self,
        uow: UnitOfWork,
        seeds: Iterable[int],
        *,
        at: datetime,
        cause: str,
        compared: Mapping[int, bool] | None = None,
        loaded: Mapping[int, StoredRecord] | None = None,
        edges_of: Mapping[int, Sequence[Edge]] | None = None,
    ) -> Effect:
        """
        Derive again the sets and the tasks of the component the seeds touch, and store what changed.

        Args:
            cause: what makes it necessary, by this index's own names: `message/9`, `fact/3`.
            compared: records just compared with their candidates, and whether that left some out.
            loaded: records already read in this unit of work, as they stand.
            edges_of: every edge of some records, written in this unit of work.
        """
        view = self.component(uow, seeds, loaded=loaded, edges_of=edges_of)
        if not view.inside:
            return NO_EFFECT
        before = uow.memberships.current(view.records.keys())
        situation = self.derive(view, before)
        euid_of = situation.derived.euid_of
        moved: set[str] = set()
        for record_id in sorted(view.inside):
            euid = euid_of[record_id]
            if before.get(record_id) != euid:
                uow.memberships.move(record_id, euid, at=at, cause=cause, model_version=self._model.version)
                moved |= {euid, before.get(record_id, euid)}
        wanted = wanted_tasks(situation)
        compared = compared or {}
        for record_id in (one for one, left_some_out in compared.items() if left_some_out):
            task = oversized_block_task(record_id)
            wanted[task.key] = task
        tasks = uow.reviews.touching(view.inside)
        asked = [
            task
            for task in tasks
            if task.sight == WHOLE and (task.key.topic is not Topic.BLOCK or task.key.left_id in compared)
        ]
        opened = self._sync_tasks(uow, WHOLE, asked, wanted, situation.nodes, at=at)
        if tasks or view.may_be_asked_about:
            for sight in uow.sights.kept():
                self.ask_in(uow, sight, view, tasks, at=at)
        self._notices.queue(uow, self._change(view, situation, before), at=at)
        linked = frozenset(i for members in situation.derived.sets if len(members) > 1 for i in members)
        return Effect(
            tuple(sorted(view.inside)),
            tuple(sorted(moved)),
            linked,
            tasks_opened=opened,
            inside=frozenset(view.inside),
            facts=view.facts,
        )

    def derive(self, view: Component, euid_of: Mapping[int, str]) -> Situation:
        """
        The sets of a component, and what surrounds them. Nothing is stored.

        Args:
            euid_of: the enterprise record of each record outside the component.
        """
        nodes = view.nodes
        contradicts = self._contradicts(view)
        derived = graph.partition(
            [nodes[record_id] for record_id in sorted(view.inside)],
            view.edges,
            view.facts,
            policy=self._policy,
            contradicts=contradicts,
        )
        return Situation(
            nodes,
            {node.key: record_id for record_id, node in nodes.items()},
            derived,
            view.edges,
            graph.effective(view.facts),
            {**euid_of, **derived.euid_of},
            contradicts,
        )

    def component(
        self,
        uow: UnitOfWork,
        seeds: Iterable[int],
        *,
        loaded: Mapping[int, StoredRecord] | None = None,
        edges_of: Mapping[int, Sequence[Edge]] | None = None,
    ) -> Component:
        """
        The records reachable from the seeds by links and positive assertions, and what borders them.

        Edges that only ask for a review do not extend the component, but their far ends are
        loaded, because tasks name pairs of sets.
        """
        inside: set[int] = set()
        edges: dict[tuple[int, int], Edge] = {}
        facts: dict[int, Fact] = {}
        standing: dict[int, Fact] = {}
        asked: set[RecordKey] = set()
        records: dict[int, StoredRecord] = {}
        loaded, edges_of = loaded or {}, edges_of or {}

        def touching(record_ids: set[int]) -> Iterator[Edge]:
            for record_id in record_ids & edges_of.keys():
                yield from edges_of[record_id]
            if others := record_ids - edges_of.keys():
                yield from uow.edges.touching(others)

        def load(record_ids: set[int]) -> None:
            records.update({i: loaded[i] for i in record_ids & loaded.keys()})
            records.update(uow.records.by_ids(record_ids - records.keys()))

        def ask(record_ids: Iterable[int]) -> None:
            new = {records[i].key for i in record_ids} - asked
            asked.update(new)
            standing.update((fact.id, fact) for fact in uow.facts.standing(new))

        frontier = set(seeds)
        while frontier:
            inside |= frontier
            reached: set[int] = set()
            around = set(frontier)
            for edge in touching(frontier):
                edges[edge.left_id, edge.right_id] = edge
                around |= {edge.left_id, edge.right_id}
                if edge.score.decision is Decision.LINK:
                    reached |= {edge.left_id, edge.right_id}
            load(around - records.keys())
            ask(around)  # those that are reached, and those that are not, at once
            here = {records[i].key for i in frontier}
            ends: set[RecordKey] = set()
            for fact in standing.values():
                if fact.left in here or fact.right in here:
                    facts[fact.id] = fact
                    ends |= {fact.left, fact.right} if fact.is_positive else set()
            known = {record.key for record in records.values()}
            found = uow.records.by_keys(ends - known)
            records.update({record.id: record for record in found.values()})
            reached |= {record.id for record in records.values() if record.key in ends}
            frontier = reached - inside
        far = {key for fact in facts.values() for key in (fact.left, fact.right)} - {
            r.key for r in records.values()
        }
        records.update({record.id: record for record in uow.records.by_keys(far).values()})
        ask(records)
        outside = {record.key for record in records.values() if record.id not in inside}
        of_one = (fact for fact in standing.values() if fact.kind in OF_ONE_RECORD)
        facts.update((fact.id, fact) for fact in of_one if not outside.isdisjoint((fact.left, fact.right)))
        return Component(inside, records, tuple(edges.values()), tuple(facts.values()))

    def ask_in(
        self, uow: UnitOfWork, sight: Sight, view: Component, tasks: Iterable[Task], *, at: datetime
    ) -> None:
        """
        Bring the questions of a sight in line with a component, as if there was nothing but what it sees.

        Args:
            tasks: those that touch the component, of whichever sight.
        """
        if all(view.records[record_id].key.domain not in sight.domains for record_id in view.inside):
            return
        situation = self.situation_in(uow, sight.domains, view)
        asked = [task for task in tasks if task.sight == sight.id]
        self._sync_tasks(uow, sight.id, asked, wanted_tasks(situation), situation.nodes, at=at)

    def situation_in(self, uow: UnitOfWork, domains: frozenset[str], view: Component) -> Situation:
        """A component and what borders it, as the records of some domains make them alone."""
        seen = view.seen(domains)
        beside = seen.records.keys() - seen.inside
        euid_of: Mapping[int, str] = {}
        if beside:
            euid_of = self.derive(self.component(uow, beside).seen(domains), {}).derived.euid_of
        return self.derive(seen, euid_of)

    def _contradicts(self, view: Component) -> Callable[[int, int], bool]:
        """Whether two records speak against each other; most pairs that are asked about were just scored."""
        version, records = self._model.version, view.records
        known = {
            (edge.left_id, edge.right_id): edge.score.contradicts
            for edge in view.edges
            if edge.model_version == version
        }

        def ask(left: int, right: int) -> bool:
            pair = min(left, right), max(left, right)
            if pair not in known:
                known[pair] = score(self._model, records[left].traits, records[right].traits).contradicts
            return known[pair]

        return ask

    def _sync_tasks(
        self,
        uow: UnitOfWork,
        sight: int,
        tasks: Iterable[Task],
        wanted: Mapping[TaskKey, WantedTask],
        nodes: Mapping[int, Node],
        *,
        at: datetime,
    ) -> int:
        """Open what is newly asked, promote and close the rest, touch nothing else. Returns how many opened."""
        existing = {task.key: task for task in tasks}
        opened = 0
        for key, asked in sorted(wanted.items()):
            question = self._with_priority(asked, nodes)
            task = existing.get(key)
            if task is None:
                uow.reviews.open(question, at=at, sight=sight)
                opened += 1
                continue
            if still_answered(task, question):
                continue
            now = replace(
                task,
                kind=question.kind,
                reason=question.reason,
                weight_bits=question.weight_bits,
                fingerprint=question.fingerprint,
                priority=question.priority,
            )
            if task.state not in LIVE_STATES:
                now = replace(now, state=TaskState.OPEN, verdict=None, reviewer="", fact_id=None)
                opened += 1
            if now != task:
                uow.reviews.change(now, at=at)
        for key, task in existing.items():
            proposed = task.state is TaskState.PROPOSED
            if task.state in LIVE_STATES and key not in wanted and not proposed:
                done = replace(task, state=TaskState.OBSOLETE, verdict=None, reviewer="", fact_id=None)
                uow.reviews.change(done, at=at)
        return opened

    def _with_priority(self, asked: WantedTask, nodes: Mapping[int, Node]) -> WantedTask:
        ends = [nodes[i] for i in (asked.key.left_id, asked.key.right_id) if i in nodes]
        urgency = max((node.urgency for node in ends), default=Urgency.NONE)
        site = max((self._priority_of(node.key.domain) for node in ends), default=0)
        return replace(asked, priority=priority(asked.kind, urgency=urgency, site=site))

    def _change(self, view: Component, situation: Situation, before: Mapping[int, str]) -> Change:
        """What was derived, as those it concerns are told of it."""
        domains = {view.records[record_id].key.domain for record_id in view.inside}

        def sets_of(visible: frozenset[str]) -> Partition:
            return situation.derived if domains <= visible else self.derive(view.seen(visible), {}).derived

        return Change(
            {record_id: view.records[record_id] for record_id in view.inside},
            frozenset(record_id for record_id in view.inside if situation.nodes[record_id].retired),
            {record_id: euid for record_id, euid in before.items() if record_id in view.inside},
            situation.derived.euid_of,
            sets_of,
        )
