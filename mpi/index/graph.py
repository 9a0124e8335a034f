"""
The link graph: facts and scored edges -> a partition of source records into enterprise records.

A pure function of its arguments. Nothing patches its result: to undo is to withdraw a fact and
derive again. Every tie breaks on a record's key or first event time, never on arrival, so any
interleaving of the same messages ends in the same sets.

Order of precedence: what people decided, what sources asserted, then weights, strongest first.
A union is refused when it would contradict what stands; a refusal says why and becomes a task.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from mpi.identity.model import RecordKey
from mpi.index.events import Fact, FactKind
from mpi.index.review import TaskKey, TaskKind, WantedTask
from mpi.matching.clusters import AMBIGUITY_MARGIN_BITS, MAX_SET_SIZE
from mpi.matching.decision import Decision
from mpi.matching.guards import ALERTING
from mpi.matching.online import ScoredPair

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Edge:
    """A scored pair of source records, and the model that scored it. left_id < right_id."""

    left_id: int
    right_id: int
    score: ScoredPair
    model_version: str


@dataclass(frozen=True, slots=True)
class Node:
    """
    What the partition needs to know of a source record.

    Args:
        first_event_time: None while no statement was received for it.
        subsumed: its source retired it (A40): it stays in its set and is never answered.
    """

    record_id: int
    key: RecordKey
    native_euid: str
    first_event_time: datetime | None
    qualified_ins: str = ""
    subsumed: bool = False

    @property
    def seniority(self) -> tuple[datetime, RecordKey]:
        """Oldest first; a record nobody stated comes last."""
        return self.first_event_time or _NEVER, self.key


@dataclass(frozen=True, slots=True)
class LinkPolicy:
    """
    Rules about sets, which no single pair can see.

    Args:
        same_domain: `link` joins two active records of a domain above `same_domain_bits`; `review` and
            `forbid` never do, the first with a question to a person.
        max_set_size: records in one set before a further link needs a person.
        ambiguity_margin_bits: a record that fits two sets with less than this between them joins neither.
    """

    same_domain: str = "link"
    same_domain_bits: float = 0.0
    max_set_size: int = MAX_SET_SIZE
    ambiguity_margin_bits: float = AMBIGUITY_MARGIN_BITS


@dataclass(frozen=True, slots=True)
class Refusal:
    """A union that was asked for and not made."""

    left_id: int
    right_id: int
    reason: str
    weight_bits: float | None
    by_fact: bool = False


@dataclass(frozen=True, slots=True)
class Partition:
    """
    The sets, and what was refused on the way.

    Args:
        euid_of: the enterprise identifier of each record: the native one of its set's oldest member.
    """

    sets: tuple[frozenset[int], ...]
    euid_of: Mapping[int, str]
    refusals: tuple[Refusal, ...]


class _Sets:
    """Union-find that remembers its members; small sets, so plain dictionaries."""

    def __init__(self, ids: Iterable[int]) -> None:
        self._set_of = {record_id: frozenset((record_id,)) for record_id in ids}

    def of(self, record_id: int) -> frozenset[int]:
        return self._set_of[record_id]

    def union(self, left: frozenset[int], right: frozenset[int]) -> None:
        joined = left | right
        for record_id in joined:
            self._set_of[record_id] = joined

    def all(self) -> list[frozenset[int]]:
        return list({min(members): members for members in self._set_of.values()}.values())


def partition(
    nodes: Sequence[Node],
    edges: Sequence[Edge],
    facts: Sequence[Fact],
    *,
    policy: LinkPolicy,
    contradicts: Callable[[int, int], bool],
) -> Partition:
    """
    Derive the sets of records that are one person.

    Args:
        nodes: every record of the component; edges and facts that reach outside it are ignored.
        edges: scored pairs; only those decided LINK can join.
        facts: standing assertions.
        contradicts: whether two records speak against each other, whatever joins them; asked
            only across two sets about to be joined by weight.
    """
    by_id = {node.record_id: node for node in nodes}
    id_of = {node.key: node.record_id for node in nodes}
    apart = cannot_links(facts, id_of)
    links = sorted(
        (
            e
            for e in edges
            if e.score.decision is Decision.LINK and e.left_id in by_id and e.right_id in by_id
        ),
        key=lambda e: (-e.score.weight_bits, *sorted((by_id[e.left_id].key, by_id[e.right_id].key))),
    )
    weights = {(e.left_id, e.right_id): e.score.weight_bits for e in edges}
    ambiguous: set[int] = set()
    while True:
        sets = _Sets(by_id)
        refusals = _apply_facts(sets, facts, id_of, by_id, apart)
        asserted = {record_id: sets.of(record_id) for record_id in by_id}
        for edge in links:
            left, right = sets.of(edge.left_id), sets.of(edge.right_id)
            if left == right:
                continue
            if edge.left_id in ambiguous or edge.right_id in ambiguous:
                refusals.append(Refusal(edge.left_id, edge.right_id, "ambiguous", edge.score.weight_bits))
                continue
            reason = _objection(left, right, by_id, apart, weights, policy, contradicts)
            if reason is None:
                sets.union(left, right)
            else:
                refusals.append(Refusal(edge.left_id, edge.right_id, reason, edge.score.weight_bits))
        found = _ambiguous_records(sets, asserted, links, refusals, apart, policy)
        if not found - ambiguous:
            break
        ambiguous |= found
    final = sorted(sets.all(), key=lambda members: min(by_id[i].key for i in members))
    euid_of = {}
    for members in final:
        euid = min((by_id[i] for i in members), key=lambda node: node.seniority).native_euid
        euid_of.update(dict.fromkeys(members, euid))
    return Partition(tuple(final), euid_of, tuple(refusals))


def cannot_links(facts: Iterable[Fact], id_of: Mapping[RecordKey, int]) -> dict[int, set[int]]:
    """Records somebody declared different, both ways."""
    apart: dict[int, set[int]] = defaultdict(set)
    for fact in facts:
        if fact.kind is FactKind.DIFFERENT and fact.left in id_of and fact.right in id_of:
            left, right = id_of[fact.left], id_of[fact.right]
            apart[left].add(right)
            apart[right].add(left)
    return apart


_FACT_ORDER = (FactKind.SAME, FactKind.MERGED, FactKind.SOURCE_LINKED)


def _apply_facts(
    sets: _Sets,
    facts: Sequence[Fact],
    id_of: Mapping[RecordKey, int],
    by_id: Mapping[int, Node],
    apart: Mapping[int, set[int]],
) -> list[Refusal]:
    refusals = []
    positive = [fact for fact in facts if fact.is_positive and fact.left in id_of and fact.right in id_of]
    for fact in sorted(positive, key=lambda f: (_FACT_ORDER.index(f.kind), sorted((f.left, f.right)))):
        left, right = sets.of(id_of[fact.left]), sets.of(id_of[fact.right])
        if left == right:
            continue
        reason = hard_objection(left, right, by_id, apart)
        if reason is None:
            sets.union(left, right)
        else:
            pair = sorted((id_of[fact.left], id_of[fact.right]))
            refusals.append(Refusal(pair[0], pair[1], f"{reason}:{fact.kind}", None, by_fact=True))
    return refusals


def hard_objection(
    left: frozenset[int], right: frozenset[int], by_id: Mapping[int, Node], apart: Mapping[int, set[int]]
) -> str | None:
    """What forbids a union even to a person: somebody said they differ, or two qualified INS."""
    if any(apart.get(record_id, set()) & right for record_id in left):
        return "cannot_link"
    if len({ins for i in left | right if (ins := by_id[i].qualified_ins)}) > 1:
        return "ins_conflict"
    return None


def _objection(
    left: frozenset[int],
    right: frozenset[int],
    by_id: Mapping[int, Node],
    apart: Mapping[int, set[int]],
    weights: Mapping[tuple[int, int], float],
    policy: LinkPolicy,
    contradicts: Callable[[int, int], bool],
) -> str | None:
    hard = hard_objection(left, right, by_id, apart)
    if hard is not None:
        return hard
    if len(left) + len(right) > policy.max_set_size:
        return "set_too_large"
    across = [(min(a, b), max(a, b)) for a in left for b in right]
    for a, b in across:
        same_domain = by_id[a].key.domain == by_id[b].key.domain
        if same_domain and not (by_id[a].subsumed or by_id[b].subsumed):
            if policy.same_domain != "link":
                return f"same_domain_{policy.same_domain}"
            if weights.get((a, b), float("-inf")) < policy.same_domain_bits:
                return "same_domain"
    if any(contradicts(a, b) for a, b in across):
        return "contradiction"
    return None


def _ambiguous_records(
    sets: _Sets,
    asserted: Mapping[int, frozenset[int]],
    links: Sequence[Edge],
    refusals: Sequence[Refusal],
    apart: Mapping[int, set[int]],
    policy: LinkPolicy,
) -> set[int]:
    """Records that joined one set by weight and were refused another one about as strong."""
    attached: dict[int, float] = {}
    for edge in links:
        if sets.of(edge.left_id) == sets.of(edge.right_id):
            for record_id in (edge.left_id, edge.right_id):
                attached[record_id] = max(attached.get(record_id, float("-inf")), edge.score.weight_bits)
    found = set()
    for refusal in refusals:
        if refusal.by_fact or refusal.weight_bits is None or refusal.reason in ("set_too_large", "ambiguous"):
            continue
        for record_id, other in ((refusal.left_id, refusal.right_id), (refusal.right_id, refusal.left_id)):
            held_by_fact = len(asserted[record_id]) > 1
            decided = other in apart.get(record_id, set())
            margin = attached.get(record_id, float("inf")) - refusal.weight_bits
            if not held_by_fact and not decided and margin < policy.ambiguity_margin_bits:
                found.add(record_id)
    return found


def wanted_tasks(
    nodes: Mapping[int, Node],
    derived: Partition,
    edges: Sequence[Edge],
    facts: Sequence[Fact],
    euid_of: Mapping[int, str],
    contradicts: Callable[[int, int], bool],
) -> dict[TaskKey, WantedTask]:
    """
    The questions the sets of one component leave for a person.

    Args:
        nodes: the component's records and the ends of its edges outside it.
        euid_of: the enterprise record of every node, inside and outside.

    Returns:
        One task for each pair of sets (its strongest edge), for each same-domain pair in a set,
        for each refused assertion, and for each assertion of a source whose two records contradict
        each other. Nothing for sets somebody already declared different.
    """
    wanted: dict[TaskKey, WantedTask] = {}
    id_of = {node.key: record_id for record_id, node in nodes.items()}
    decided = {
        frozenset((euid_of[id_of[fact.left]], euid_of[id_of[fact.right]]))
        for fact in facts
        if fact.kind is FactKind.DIFFERENT and fact.left in id_of and fact.right in id_of
    }
    refused = {(min(r.left_id, r.right_id), max(r.left_id, r.right_id)): r.reason for r in derived.refusals}
    strongest: dict[frozenset[str], Edge] = {}
    for edge in sorted(
        edges,
        key=lambda e: (-e.score.weight_bits, *sorted((nodes[e.left_id].key, nodes[e.right_id].key))),
    ):
        pair = frozenset((euid_of[edge.left_id], euid_of[edge.right_id]))
        if len(pair) == 2 and pair not in decided:
            strongest.setdefault(pair, edge)
    for edge in strongest.values():
        reason = refused.get((edge.left_id, edge.right_id))
        if reason == "same_domain_forbid":
            continue
        kind = TaskKind.POTENTIAL_LINK if reason in (None, "same_domain_review") else TaskKind.REFUSED_LINK
        alerts = [guard for guard in edge.score.guards if guard in ALERTING]
        if alerts:
            kind, reason = TaskKind.INS_COLLISION, alerts[0]
        reason = reason or (edge.score.guards[0] if edge.score.guards else "between_thresholds")
        key = TaskKey(kind, edge.left_id, edge.right_id)
        wanted[key] = WantedTask(key, reason, edge.score.weight_bits)
    for members in derived.sets:
        by_domain: dict[str, list[Node]] = defaultdict(list)
        for record_id in members:
            if not nodes[record_id].subsumed and nodes[record_id].first_event_time is not None:
                by_domain[nodes[record_id].key.domain].append(nodes[record_id])
        for same in by_domain.values():
            first, *others = sorted(same, key=lambda node: node.seniority)
            for other in others:
                key = TaskKey(TaskKind.DUPLICATE_IN_DOMAIN, *sorted((first.record_id, other.record_id)))
                wanted[key] = WantedTask(key, "two_active_records")
    confirmed = {frozenset((fact.left, fact.right)) for fact in facts if fact.kind is FactKind.SAME}
    for fact in facts:
        known = fact.left in id_of and fact.right in id_of
        if known and fact.is_by_source and frozenset((fact.left, fact.right)) not in confirmed:
            left, right = sorted((id_of[fact.left], id_of[fact.right]))
            if euid_of[left] == euid_of[right] and contradicts(left, right):
                key = TaskKey(TaskKind.CONFLICT, left, right)
                wanted[key] = WantedTask(key, f"records_contradict:{fact.kind}")
    for refusal in derived.refusals:
        if refusal.by_fact:
            key = TaskKey(TaskKind.CONFLICT, refusal.left_id, refusal.right_id)
            wanted[key] = WantedTask(key, refusal.reason)
    return wanted


def oversized_block_task(record_id: int) -> WantedTask:
    """The question left when a record had more candidates than may be compared at once."""
    return WantedTask(TaskKey(TaskKind.OVERSIZED_BLOCK, record_id, record_id), "block_not_opened")
