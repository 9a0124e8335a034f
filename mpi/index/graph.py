"""
The link graph: facts and scored edges -> a partition of source records into enterprise records.

A pure function of its arguments. Nothing patches its result: to undo is to withdraw a fact and
derive again. Every tie breaks on a record's key or first event time, never on arrival, so any
interleaving of the same messages ends in the same sets.

Order of precedence: what people decided, what sources asserted, then weights, strongest first.
A union is refused when it would contradict what stands; a refusal says why and becomes a task.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from mpi.identity.model import RecordKey, Urgency
from mpi.index.events import CLOSING, NEGATIVE, POSITIVE, RETIRING, Fact, FactKind
from mpi.matching.clusters import AMBIGUITY_MARGIN_BITS, MAX_SET_SIZE
from mpi.matching.decision import Decision
from mpi.matching.online import ScoredPair

BRIDGE_MARGIN_BITS = 3.0
"""How much more than a link two sets of several records need to be joined by a single one."""
_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Edge:
    """A scored pair of source records, and the model that scored it. left_id < right_id."""

    left_id: int
    right_id: int
    score: ScoredPair
    model_version: str


class Dated(Protocol):
    """A source record, as far as its age goes."""

    @property
    def key(self) -> RecordKey:
        """Its identifier, with its epoch."""

    @property
    def first_event_time(self) -> datetime | None:
        """When it was first true; None while nobody stated it."""


def seniority(one: Dated) -> tuple[datetime, RecordKey]:
    """What sorts records by age, the oldest first, and those that nobody stated last."""
    return one.first_event_time or _NEVER, one.key


@dataclass(frozen=True, slots=True)
class Node:
    """
    What the partition needs to know of a source record.

    Args:
        first_event_time: None while no statement was received for it.
        retired: its identifier names it no longer (A40, A47, a later epoch): it stays in its set and is
            never answered.
        doubted: a person said it is the wrong one; weights join it to nothing.
        held_since: a statement of then looks like another person's: nothing first stated later is joined to it.
    """

    record_id: int
    key: RecordKey
    native_euid: str
    first_event_time: datetime | None
    qualified_ins: str = ""
    retired: bool = False
    doubted: bool = False
    held_since: datetime | None = None
    held_reason: str = ""
    urgency: Urgency = Urgency.NONE

    @property
    def is_active(self) -> bool:
        """Whether its identifier is stated and in use."""
        return self.first_event_time is not None and not self.retired


@dataclass(frozen=True, slots=True)
class LinkPolicy:
    """
    Rules about sets, which no single pair can see.

    Args:
        same_domain: `link` joins two active records of a domain above `same_domain_bits`; `review` and
            `forbid` never do, the first with a question to a person.
        max_set_size: records in one set before a further link needs a person. What people and
            sources hold together counts once.
        ambiguity_margin_bits: a record that fits two sets with less than this between them joins neither.
        bridge_bits: two sets of several records are not joined by a single link weaker than this.
    """

    same_domain: str = "link"
    same_domain_bits: float = 0.0
    max_set_size: int = MAX_SET_SIZE
    ambiguity_margin_bits: float = AMBIGUITY_MARGIN_BITS
    bridge_bits: float = float("-inf")


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
    rules = _Rules(by_id, edges, effective(facts), policy, contradicts)
    ambiguous: set[int] = set()
    while True:
        sets = _Sets(by_id)
        refusals = rules.apply_facts(sets)
        asserted = {record_id: sets.of(record_id) for record_id in by_id}
        refusals += rules.apply_links(sets, asserted, ambiguous)
        found = rules.ambiguous_records(sets, asserted, refusals)
        if not found - ambiguous:
            break
        ambiguous |= found
    final = sorted(sets.all(), key=lambda members: min(by_id[i].key for i in members))
    euid_of = {}
    for members in final:
        euid = min((by_id[i] for i in members), key=seniority).native_euid
        euid_of.update(dict.fromkeys(members, euid))
    return Partition(tuple(final), euid_of, tuple(refusals))


def effective(facts: Iterable[Fact]) -> list[Fact]:
    """
    The facts that count among those that stand: of what one source said of a link, the last word.

    A source links and unlinks (A24, A37); the later event holds, and at equal times the unlink. A
    merge or a change of identifier that comes later takes an unlink back as well. What was said of
    an erased record no longer says anything.
    """
    facts = tuple(facts)
    gone = erased_keys(facts)
    kept: list[Fact] = []
    last_word: dict[tuple[str, RecordKey, RecordKey], Fact] = {}
    for fact in facts:
        if fact.kind is not FactKind.ERASED and {fact.left, fact.right} & gone:
            continue
        if fact.kind not in _LINK_WORDS:
            kept.append(fact)
            if fact.kind not in RETIRING:
                continue
        left, right = sorted((fact.left, fact.right))
        before = last_word.get((fact.actor, left, right))
        if before is None or _rank(fact) > _rank(before):
            last_word[fact.actor, left, right] = fact
    return kept + [fact for fact in last_word.values() if fact.kind in _LINK_WORDS]


_LINK_WORDS = (FactKind.SOURCE_LINKED, FactKind.SOURCE_UNLINKED)


def _rank(fact: Fact) -> tuple[datetime, bool, int]:
    return fact.event_time, fact.kind is FactKind.SOURCE_UNLINKED, -fact.id


def _pairs(facts: Iterable[Fact], id_of: Mapping[RecordKey, int]) -> dict[int, set[int]]:
    """The records that facts relate, both ways."""
    related: dict[int, set[int]] = defaultdict(set)
    for fact in facts:
        if fact.left in id_of and fact.right in id_of:
            left, right = id_of[fact.left], id_of[fact.right]
            related[left].add(right)
            related[right].add(left)
    return related


def cannot_links(facts: Iterable[Fact], id_of: Mapping[RecordKey, int]) -> dict[int, set[int]]:
    """Records somebody declared different, both ways."""
    return _pairs((fact for fact in facts if fact.kind in NEGATIVE), id_of)


def hard_objection(
    left: frozenset[int], right: frozenset[int], by_id: Mapping[int, Node], apart: Mapping[int, set[int]]
) -> str | None:
    """What forbids a union even to a person: somebody said they differ, or two qualified INS."""
    if any(apart.get(record_id, set()) & right for record_id in left):
        return "cannot_link"
    if len({ins for i in left | right if (ins := by_id[i].qualified_ins)}) > 1:
        return "ins_conflict"
    return None


_FACT_ORDER = (FactKind.SAME, FactKind.MERGED, FactKind.RENAMED, FactKind.SOURCE_LINKED)
_TELLS_APART = frozenset(
    {
        "cannot_link",
        "ins_conflict",
        "source_unlinked",
        "contradiction",
        "same_domain",
        "same_domain_review",
        "same_domain_forbid",
    }
)
"""Refusals that say: two people. The others say only that a person should look first."""


class _Rules:
    """What joins and what forbids, in one component."""

    def __init__(
        self,
        by_id: Mapping[int, Node],
        edges: Sequence[Edge],
        facts: Sequence[Fact],
        policy: LinkPolicy,
        contradicts: Callable[[int, int], bool],
    ) -> None:
        self._by_id = by_id
        self._facts = facts
        self._policy = policy
        self._contradicts = contradicts
        self._id_of = {node.key: node.record_id for node in by_id.values()}
        self._apart = cannot_links(facts, self._id_of)
        self._unlinked = _pairs((f for f in facts if f.kind is FactKind.SOURCE_UNLINKED), self._id_of)
        self._weights = {(e.left_id, e.right_id): e.score.weight_bits for e in edges}
        self._links = sorted(
            (
                e
                for e in edges
                if e.score.decision is Decision.LINK and e.left_id in by_id and e.right_id in by_id
            ),
            key=lambda e: (-e.score.weight_bits, *sorted((by_id[e.left_id].key, by_id[e.right_id].key))),
        )
        self._linking = {(e.left_id, e.right_id) for e in self._links}

    def apply_facts(self, sets: _Sets) -> list[Refusal]:
        """Join what people, then sources, hold together."""
        refusals = []
        positive = [
            f for f in self._facts if f.kind in POSITIVE and f.left in self._id_of and f.right in self._id_of
        ]
        for fact in sorted(positive, key=lambda f: (_FACT_ORDER.index(f.kind), sorted((f.left, f.right)))):
            pair = sorted((self._id_of[fact.left], self._id_of[fact.right]))
            left, right = sets.of(pair[0]), sets.of(pair[1])
            if left == right:
                continue
            reason = hard_objection(left, right, self._by_id, self._apart)
            if reason is None and fact.is_by_source and pair[1] in self._unlinked.get(pair[0], ()):
                reason = "source_unlinked"
            if reason is None and fact.kind is FactKind.RENAMED and self._contradicts(*pair):
                reason = "contradiction"
            if reason is None:
                sets.union(left, right)
            else:
                refusals.append(Refusal(pair[0], pair[1], f"{reason}:{fact.kind}", None, by_fact=True))
        return refusals

    def apply_links(
        self, sets: _Sets, asserted: Mapping[int, frozenset[int]], ambiguous: Collection[int]
    ) -> list[Refusal]:
        """
        Join by weight, strongest first.

        Args:
            asserted: by record, what people and sources hold together; the size of a set counts it once.
        """
        refusals = []
        for edge in self._links:
            left, right = sets.of(edge.left_id), sets.of(edge.right_id)
            if left == right:
                continue
            reason = self._objection_to_link(edge.left_id, edge.right_id, ambiguous)
            reason = reason or self._objection_to_union(left, right, asserted)
            if reason is None:
                sets.union(left, right)
            else:
                refusals.append(Refusal(edge.left_id, edge.right_id, reason, edge.score.weight_bits))
        return refusals

    def _objection_to_link(self, left_id: int, right_id: int, ambiguous: Collection[int]) -> str | None:
        left, right = self._by_id[left_id], self._by_id[right_id]
        if left.doubted or right.doubted:
            return "doubted"
        if _joined_too_late(left, right) or _joined_too_late(right, left):
            return "overlay_suspected"
        if left_id in ambiguous or right_id in ambiguous:
            return "ambiguous"
        return None

    def _objection_to_union(
        self, left: frozenset[int], right: frozenset[int], asserted: Mapping[int, frozenset[int]]
    ) -> str | None:
        hard = hard_objection(left, right, self._by_id, self._apart)
        if hard is not None:
            return hard
        if len({asserted[record_id] for record_id in left | right}) > self._policy.max_set_size:
            return "set_too_large"
        across = [(min(a, b), max(a, b)) for a in left for b in right]
        if any(b in self._unlinked.get(a, ()) for a, b in across):
            return "source_unlinked"
        for a, b in across:
            same_domain = self._by_id[a].key.domain == self._by_id[b].key.domain
            if same_domain and not (self._by_id[a].retired or self._by_id[b].retired):
                if self._policy.same_domain != "link":
                    return f"same_domain_{self._policy.same_domain}"
                if self._weights.get((a, b), float("-inf")) < self._policy.same_domain_bits:
                    return "same_domain"
        if any(self._contradicts(a, b) for a, b in across):
            return "contradiction"
        if len(left) > 1 < len(right):
            bridges = [self._weights[pair] for pair in across if pair in self._linking]
            if len(bridges) == 1 and bridges[0] < self._policy.bridge_bits:
                return "weak_bridge"
        return None

    def ambiguous_records(
        self, sets: _Sets, asserted: Mapping[int, frozenset[int]], refusals: Sequence[Refusal]
    ) -> set[int]:
        """Records that joined one set by weight and were refused another one about as strong."""
        attached: dict[int, float] = {}
        for edge in self._links:
            if sets.of(edge.left_id) == sets.of(edge.right_id):
                for record_id in (edge.left_id, edge.right_id):
                    attached[record_id] = max(attached.get(record_id, float("-inf")), edge.score.weight_bits)
        found = set()
        for refusal in refusals:
            if refusal.by_fact or refusal.weight_bits is None or refusal.reason not in _TELLS_APART:
                continue
            for record_id, other in (
                (refusal.left_id, refusal.right_id),
                (refusal.right_id, refusal.left_id),
            ):
                held_by_fact = len(asserted[record_id]) > 1
                decided = other in self._apart.get(record_id, set())
                margin = attached.get(record_id, float("inf")) - refusal.weight_bits
                if not held_by_fact and not decided and margin < self._policy.ambiguity_margin_bits:
                    found.add(record_id)
        return found


def _joined_too_late(frozen: Node, other: Node) -> bool:
    """Whether the links of a record under suspicion were already made when the other one came up."""
    return frozen.held_since is not None and (other.first_event_time or _NEVER) >= frozen.held_since


def retired_keys(facts: Iterable[Fact], records: Iterable[Dated]) -> set[RecordKey]:
    """
    Records whose identifier names them no longer: merged away, renamed, of a former epoch, or of a later one that
    was taken back.
    """
    former = {fact.right for fact in facts if fact.kind in RETIRING | CLOSING}
    return former | {one.key for one in records if one.key.epoch and one.first_event_time is None}


def erased_keys(facts: Iterable[Fact]) -> set[RecordKey]:
    """Records of which nothing is known any more."""
    return {fact.left for fact in facts if fact.kind is FactKind.ERASED}


def chain(facts: Iterable[Fact], left: RecordKey, right: RecordKey) -> list[Fact] | None:
    """
    The fewest positive facts that hold two records together, in order; None when nothing does.

    It is what explains a contradiction: withdraw any one of them, and it is gone.
    """
    touching: dict[RecordKey, list[Fact]] = defaultdict(list)
    for fact in sorted((f for f in facts if f.is_positive), key=lambda f: f.id):
        touching[fact.left].append(fact)
        touching[fact.right].append(fact)
    reached: dict[RecordKey, list[Fact]] = {left: []}
    waiting = deque([left])
    while waiting:
        key = waiting.popleft()
        if key == right:
            return reached[key]
        for fact in touching[key]:
            other = fact.right if fact.left == key else fact.left
            if other not in reached:
                reached[other] = [*reached[key], fact]
                waiting.append(other)
    return None
