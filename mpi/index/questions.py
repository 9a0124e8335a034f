"""
The questions that the sets of a component leave for a person, each typed, with its reason.

Pure: what is asked follows from the same facts and edges as the sets, whatever the order of messages.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mpi.identity.model import RecordKey
from mpi.index.events import NEGATIVE, Fact, FactKind
from mpi.index.graph import Edge, Node, Partition, seniority
from mpi.index.review import GRAVITY, TOPIC, TaskKey, TaskKind, WantedTask, changes
from mpi.matching.guards import ALERTING
from mpi.matching.model import Evidence

_STRICT = frozenset(
    {
        "family_name",
        "given_name",
        "birth_date",
        "sex",
        "birth_place",
        "ins",
        "national_id",
        "mother_birth_name",
    }
)
"""What a dismissal rests on: people move and change their telephone, and stay who they are."""

_SILENT = frozenset({"same_domain_forbid", "doubted"})
"""Refusals nobody needs to look at: the federation, or a person, has already answered."""


@dataclass(frozen=True, slots=True)
class Situation:
    """
    A component as derived, and what borders it.

    Args:
        nodes: the component's records and the ends of its edges and facts outside it.
        id_of: their ids by key.
        facts: those that stand and count.
        euid_of: the enterprise record of every node, inside and outside.
        contradicts: whether two records speak against each other.
    """

    nodes: Mapping[int, Node]
    id_of: Mapping[RecordKey, int]
    derived: Partition
    edges: Sequence[Edge]
    facts: Sequence[Fact]
    euid_of: Mapping[int, str]
    contradicts: Callable[[int, int], bool]

    def pair_of(self, fact: Fact) -> tuple[int, int] | None:
        """The two records a fact is about, smaller id first; None when one was never heard of."""
        ends = self.id_of.get(fact.left), self.id_of.get(fact.right)
        if ends[0] is None or ends[1] is None:
            return None
        return min(ends[0], ends[1]), max(ends[0], ends[1])


def wanted_tasks(situation: Situation) -> dict[TaskKey, WantedTask]:
    """
    Everything a person should be asked.

    Returns:
        One task for each pair of sets that may be one person (its gravest, then strongest edge), for each
        same-domain pair in a set, for each refused assertion, for each assertion of a source whose
        two records contradict each other, for each identifier with a held statement, for each
        hint of a wrong patient, and for each record that was reported. Nothing for sets somebody
        declared different, while what they looked at stays the same.
    """
    asked = (
        *_links(situation),
        *_duplicates(situation),
        *_contradictions(situation),
        *_overlays(situation),
        *_wrong_patients(situation),
        *_reports(situation),
    )
    return {task.key: task for task in asked}


def fingerprint(evidence: Iterable[Evidence]) -> dict[str, str]:
    """What a reviewer compares: the level of each identity trait. Address and telephone are left out."""
    return {item.trait: item.level for item in evidence if item.trait in _STRICT}


def oversized_block_task(record_id: int) -> WantedTask:
    """The question left when a record had more candidates than may be compared at once."""
    return _task(TaskKind.OVERSIZED_BLOCK, (record_id, record_id), "block_not_opened")


def _task(
    kind: TaskKind,
    pair: tuple[int, int],
    reason: str,
    weight_bits: float | None = None,
    seen: Mapping[str, str] | None = None,
) -> WantedTask:
    return WantedTask(TaskKey(TOPIC[kind], *pair), kind, reason, weight_bits, dict(seen or {}))


def _links(situation: Situation) -> Iterator[WantedTask]:
    nodes, euid_of = situation.nodes, situation.euid_of
    refused = {
        (min(r.left_id, r.right_id), max(r.left_id, r.right_id)): r.reason for r in situation.derived.refusals
    }
    edge_of = {(edge.left_id, edge.right_id): edge for edge in situation.edges}
    decided, reopened = _decided(situation, edge_of)
    gravest: dict[frozenset[str], WantedTask] = {}
    for edge in sorted(
        situation.edges,
        key=lambda e: (-e.score.weight_bits, *sorted((nodes[e.left_id].key, nodes[e.right_id].key))),
    ):
        sets = frozenset((euid_of[edge.left_id], euid_of[edge.right_id]))
        reason = refused.get((edge.left_id, edge.right_id))
        doubted = nodes[edge.left_id].doubted or nodes[edge.right_id].doubted
        if len(sets) < 2 or sets in decided or sets in reopened or doubted or reason in _SILENT:
            continue
        asked = _about_a_link(edge, reason)
        if sets not in gravest or GRAVITY[asked.kind] > GRAVITY[gravest[sets].kind]:
            gravest[sets] = asked
    yield from gravest.values()
    for edge, changed in reopened.values():
        reason = f"changed_since:{','.join(changed)}"
        yield _task(
            TaskKind.REFUSED_LINK,
            (edge.left_id, edge.right_id),
            reason,
            edge.score.weight_bits,
            fingerprint(edge.score.evidence),
        )


def _about_a_link(edge: Edge, reason: str | None) -> WantedTask:
    """
    The question one scored pair asks.

    Args:
        reason: why the partition refused to join it; None when it did not have to.
    """
    alerts = [guard for guard in edge.score.guards if guard in ALERTING]
    if alerts:
        kind, reason = TaskKind.INS_COLLISION, alerts[0]
    elif reason in (None, "same_domain_review"):
        kind = TaskKind.POTENTIAL_LINK
    else:
        kind = TaskKind.AMBIGUITY if reason == "ambiguous" else TaskKind.REFUSED_LINK
    reason = reason or (edge.score.guards[0] if edge.score.guards else "between_thresholds")
    seen = fingerprint(edge.score.evidence)
    return _task(kind, (edge.left_id, edge.right_id), reason, edge.score.weight_bits, seen)


def _decided(
    situation: Situation, edge_of: Mapping[tuple[int, int], Edge]
) -> tuple[set[frozenset[str]], dict[frozenset[str], tuple[Edge, tuple[str, ...]]]]:
    """
    Pairs of sets somebody declared different; and those of them whose records now compare otherwise,
    with something new that speaks for one person.
    """
    decided: set[frozenset[str]] = set()
    reopened: dict[frozenset[str], tuple[Edge, tuple[str, ...]]] = {}
    by_age = sorted(situation.facts, key=lambda fact: fact.id)
    last = {pair: f for f in by_age if f.kind in NEGATIVE and (pair := situation.pair_of(f))}
    for pair, fact in sorted(last.items(), key=lambda item: (item[1].left, item[1].right)):
        sets = frozenset(situation.euid_of[record_id] for record_id in pair)
        edge = edge_of.get(pair)
        changed = changes(fact.seen, fingerprint(edge.score.evidence)) if edge and fact.seen else ()
        if edge and any(item.trait in changed and item.bits > 0 for item in edge.score.evidence):
            reopened.setdefault(sets, (edge, changed))
        else:
            decided.add(sets)
    return decided, {sets: found for sets, found in reopened.items() if len(sets) == 2}


def _duplicates(situation: Situation) -> Iterator[WantedTask]:
    edge_of = {(edge.left_id, edge.right_id): edge for edge in situation.edges}
    for members in situation.derived.sets:
        by_domain: dict[str, list[Node]] = defaultdict(list)
        for record_id in members:
            if situation.nodes[record_id].is_active:
                by_domain[situation.nodes[record_id].key.domain].append(situation.nodes[record_id])
        for same in by_domain.values():
            first, *others = sorted(same, key=seniority)
            for other in others:
                left, right = sorted((first.record_id, other.record_id))
                edge = edge_of.get((left, right))
                seen = fingerprint(edge.score.evidence) if edge else {}
                yield _task(TaskKind.DUPLICATE_IN_DOMAIN, (left, right), "two_active_records", None, seen)


def _contradictions(situation: Situation) -> Iterator[WantedTask]:
    confirmed = {frozenset((f.left, f.right)) for f in situation.facts if f.kind is FactKind.SAME}
    for fact in situation.facts:
        pair = situation.pair_of(fact)
        by_source = fact.is_by_source and fact.is_positive
        if pair is None or not by_source or frozenset((fact.left, fact.right)) in confirmed:
            continue
        together = situation.euid_of[pair[0]] == situation.euid_of[pair[1]]
        if together and situation.contradicts(*pair):
            yield _task(TaskKind.CONFLICT, pair, f"records_contradict:{fact.kind}")
    for refusal in situation.derived.refusals:
        if refusal.by_fact:
            yield _task(TaskKind.CONFLICT, (refusal.left_id, refusal.right_id), refusal.reason)


def _overlays(situation: Situation) -> Iterator[WantedTask]:
    for members in situation.derived.sets:
        for record_id in members:
            node = situation.nodes[record_id]
            if node.held_since is not None:
                seen = {"held_since": node.held_since.isoformat()}
                yield _task(TaskKind.OVERLAY, (record_id, record_id), node.held_reason, None, seen)


def _wrong_patients(situation: Situation) -> Iterator[WantedTask]:
    moves = Counter(
        pair for f in situation.facts if f.kind is FactKind.MOVED and (pair := situation.pair_of(f))
    )
    for pair, count in moves.items():
        yield _task(TaskKind.QUALITY_ANOMALY, pair, "visits_moved", None, {"moves": str(count)})


def _reports(situation: Situation) -> Iterator[WantedTask]:
    reports = Counter(situation.id_of.get(f.left) for f in situation.facts if f.kind is FactKind.REPORTED)
    for members in situation.derived.sets:
        for record_id in members:
            if record_id in reports:
                seen = {"reports": str(reports[record_id])}
                yield _task(TaskKind.REPORTED_IDENTITY, (record_id, record_id), "reported", None, seen)
