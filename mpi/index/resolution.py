"""
Virtual reconciliation: identities no feed ever stated, grouped with one another and with the index.

Pure, and the same partition as for records that are stored: a set of the index is held together
as it is, two sets of the index are never joined by a guest, and a guest that fits two sets about
equally joins neither.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import pairwise

from mpi.identity.model import Demographics, PatientIdentifier, RecordKey
from mpi.identity.traits import Traits
from mpi.index import graph
from mpi.index.events import Fact, FactKind
from mpi.index.graph import Edge, LinkPolicy, Node
from mpi.matching.decision import Decision
from mpi.matching.online import ScoredPair

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


UNDECIDED = 0.5
"""A pair that a guard, not its weight, keeps from being linked has no calibrated probability: at most this."""


class ResolutionStatus(StrEnum):
    """What is known of an identity that was asked about."""

    LINKED = "linked"
    PROBABLE = "probable"
    """Resembles one person of the index, and a reviewer would be asked."""
    AMBIGUOUS = "ambiguous"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity to resolve: its identifier if it has one in a known domain, and what is known of the person."""

    key: RecordKey | None
    demographics: Demographics


@dataclass(frozen=True, slots=True)
class Resolution:
    """
    The answer for one identity.

    Args:
        suid: stable for the consumer that asks, meaningless to any other.
        probability: of the link to its group; 1 for an identity the index already holds, at most
            one half for a probable one, 0 without a group.
        members: visible identifiers of its enterprise record.
        companions: positions, in the request, of the other identities of the same person.
        doubtful: a visible record of the person is: nothing of it is certain.
    """

    suid: str
    euid: str | None
    status: ResolutionStatus
    probability: float
    members: tuple[PatientIdentifier, ...]
    companions: tuple[int, ...]
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Guest:
    """An identity the index does not hold; its node id is negative."""

    node_id: int
    anchor: str
    traits: Traits


@dataclass(frozen=True, slots=True)
class Host:
    """A record of the index that a guest resembles, or that shares a set with one."""

    node_id: int
    key: RecordKey
    euid: str
    traits: Traits


@dataclass(frozen=True, slots=True)
class GuestGroup:
    """Where one guest ended: an enterprise record or none, the other guests with it, and how sure."""

    euid: str | None
    guests: frozenset[int]
    status: ResolutionStatus
    probability: float


def group_guests(
    guests: Sequence[Guest],
    hosts: Sequence[Host],
    scores: Mapping[tuple[int, int], ScoredPair],
    *,
    policy: LinkPolicy,
    contradicts: Callable[[int, int], bool],
) -> dict[int, GuestGroup]:
    """
    Place each guest.

    Args:
        scores: by (smaller node id, larger node id), every pair at or above the lower threshold
            in which at least one is a guest.
    """
    placed: dict[int, GuestGroup] = {}
    for some_guests, some_hosts, some_scores in _connected(guests, hosts, scores):
        placed |= _group_connected(
            some_guests, some_hosts, some_scores, policy=policy, contradicts=contradicts
        )
    return placed


def _connected(
    guests: Sequence[Guest], hosts: Sequence[Host], scores: Mapping[tuple[int, int], ScoredPair]
) -> Iterator[tuple[list[Guest], list[Host], dict[tuple[int, int], ScoredPair]]]:
    """The parts that no pair and no set joins: what becomes of one says nothing of another."""
    part_of: dict[int | str, list[int | str]] = {}

    def join(left: int | str, right: int | str) -> None:
        one, other = part_of.setdefault(left, [left]), part_of.setdefault(right, [right])
        if one is other:
            return
        if len(one) < len(other):
            one, other = other, one
        one += other
        part_of.update(dict.fromkeys(other, one))

    for guest in guests:
        join(guest.node_id, guest.node_id)
    for host in hosts:
        join(host.node_id, host.euid)
    for left, right in scores:
        join(left, right)
    parts: dict[int, tuple[list[Guest], list[Host], dict[tuple[int, int], ScoredPair]]] = {
        id(part): ([], [], {}) for part in part_of.values()
    }
    for guest in guests:
        parts[id(part_of[guest.node_id])][0].append(guest)
    for host in hosts:
        parts[id(part_of[host.node_id])][1].append(host)
    for pair, scored in scores.items():
        parts[id(part_of[pair[0]])][2][pair] = scored
    yield from (part for part in parts.values() if part[0])


def _group_connected(
    guests: Sequence[Guest],
    hosts: Sequence[Host],
    scores: Mapping[tuple[int, int], ScoredPair],
    *,
    policy: LinkPolicy,
    contradicts: Callable[[int, int], bool],
) -> dict[int, GuestGroup]:
    guest_ids = {guest.node_id for guest in guests}
    nodes = [Node(g.node_id, RecordKey("guest", g.anchor), "", None, g.traits.qualified_ins) for g in guests]
    nodes += [Node(h.node_id, h.key, h.euid, _EPOCH, h.traits.qualified_ins) for h in hosts]
    edges = [Edge(left, right, score, "") for (left, right), score in scores.items()]
    derived = graph.partition(
        nodes, edges, _hold_sets_as_they_are(hosts), policy=policy, contradicts=contradicts
    )
    euid_of = {host.node_id: host.euid for host in hosts}
    doubted: dict[int, set[str | int]] = defaultdict(set)
    chances: dict[int, list[float]] = defaultdict(list)
    set_of = {node_id: members for members in derived.sets for node_id in members}
    for (left, right), score in scores.items():
        together = set_of[left] == set_of[right]
        for node_id, other in ((left, right), (right, left)):
            if node_id not in guest_ids:
                continue
            if together and score.decision is Decision.LINK:
                chances[node_id].append(score.probability)
            elif not together:
                doubted[node_id].add(euid_of.get(other, min(set_of[other])))
                if len(set_of[node_id]) == 1:
                    chances[node_id].append(score.probability)
    ambiguous = {r.left_id for r in derived.refusals} | {r.right_id for r in derived.refusals}
    placed = {}
    for guest in guests:
        members = set_of[guest.node_id]
        euids = {euid_of[i] for i in members if i in euid_of}
        fellows = frozenset(members & guest_ids)
        if len(members) > 1:
            status = ResolutionStatus.LINKED
        elif guest.node_id in ambiguous or len(doubted[guest.node_id]) > 1:
            status = ResolutionStatus.AMBIGUOUS
        elif doubted[guest.node_id]:
            status = ResolutionStatus.PROBABLE
        else:
            status = ResolutionStatus.UNKNOWN
        probability = max(chances[guest.node_id], default=0.0)
        if status is ResolutionStatus.PROBABLE:
            probability = min(probability, UNDECIDED)
        elif status is not ResolutionStatus.LINKED:
            probability = 0.0
        placed[guest.node_id] = GuestGroup(next(iter(euids), None), fellows, status, probability)
    return placed


def _hold_sets_as_they_are(hosts: Sequence[Host]) -> list[Fact]:
    by_euid: dict[str, list[RecordKey]] = defaultdict(list)
    for host in hosts:
        by_euid[host.euid].append(host.key)
    sets = [sorted(keys) for _, keys in sorted(by_euid.items())]
    facts = [_fact(FactKind.SAME, left, right) for keys in sets for left, right in pairwise(keys)]
    heads = [keys[0] for keys in sets]
    facts += [
        _fact(FactKind.DIFFERENT, left, right) for i, left in enumerate(heads) for right in heads[i + 1 :]
    ]
    return facts


def _fact(kind: FactKind, left: RecordKey, right: RecordKey) -> Fact:
    return Fact(0, kind, left, right, "index", _EPOCH, _EPOCH)
