"""
Clerical review: what a person is asked, what they may answer, and the life of the question.

Pure: the registry stores what these functions return.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mpi.errors import LinkConflict


class TaskKind(StrEnum):
    """Why a person is asked. The first two ask for a verdict on a pair; every kind names its pair."""

    POTENTIAL_LINK = "potential_link"
    """Two records that may be one person: between the two thresholds, or capped by a guard."""
    REFUSED_LINK = "refused_link"
    """Strong evidence that the partition refused; the reason says what contradicts it."""
    DUPLICATE_IN_DOMAIN = "duplicate_in_domain"
    """Two active records of one domain in one enterprise record: the site should merge them."""
    INS_COLLISION = "ins_collision"
    """One INS on two people, or two INS on what looks like one person."""
    CONFLICT = "conflict"
    """Two assertions contradict each other, or the records they hold together do."""
    OVERSIZED_BLOCK = "oversized_block"
    """A record whose candidates could not all be compared; left and right are the same record."""


class Verdict(StrEnum):
    """What a reviewer may answer."""

    SAME = "same"
    DIFFERENT = "different"
    UNDECIDED = "undecided"


class TaskState(StrEnum):
    """`open` and `waiting` are live; `decided` and `obsolete` may be reopened."""

    OPEN = "open"
    WAITING = "waiting"
    """Looked at without a decision, or confirmed and waiting for the owning site to act."""
    DECIDED = "decided"
    OBSOLETE = "obsolete"
    """The data changed and nothing is left to ask."""


LIVE_STATES = frozenset({TaskState.OPEN, TaskState.WAITING})

TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    TaskState.OPEN: frozenset({TaskState.WAITING, TaskState.DECIDED, TaskState.OBSOLETE}),
    TaskState.WAITING: frozenset({TaskState.OPEN, TaskState.DECIDED, TaskState.OBSOLETE}),
    TaskState.DECIDED: frozenset({TaskState.OPEN}),
    TaskState.OBSOLETE: frozenset({TaskState.OPEN}),
}


@dataclass(frozen=True, slots=True, order=True)
class TaskKey:
    """What a task is about. There is at most one task of a kind for a pair, for ever."""

    kind: TaskKind
    left_id: int
    right_id: int


@dataclass(frozen=True, slots=True)
class WantedTask:
    """A question the current facts ask, with the reason in words a machine keeps (`ins_conflict`, `twins`, …)."""

    key: TaskKey
    reason: str
    weight_bits: float | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """
    A stored review task.

    Args:
        version: grows with every change; a decision names the version it read.
        fact_id: the fact its verdict became, when decided.
    """

    id: int
    key: TaskKey
    state: TaskState
    reason: str
    weight_bits: float | None
    version: int
    opened_at: datetime
    changed_at: datetime
    verdict: Verdict | None = None
    reviewer: str = ""
    fact_id: int | None = None


def state_after(kind: TaskKind, verdict: Verdict) -> TaskState:
    """
    The state a verdict leads to.

    Some answers are not the end: a duplicate confirmed by a person waits for its site to merge
    it, and two records declared different wait for the source that merged them to correct it.
    The engine closes both when the data change.
    """
    waits_for_a_site = (kind, verdict) in {
        (TaskKind.DUPLICATE_IN_DOMAIN, Verdict.SAME),
        (TaskKind.CONFLICT, Verdict.DIFFERENT),
    }
    return TaskState.WAITING if verdict is Verdict.UNDECIDED or waits_for_a_site else TaskState.DECIDED


def check_transition(current: TaskState, target: TaskState) -> None:
    """
    Refuse a move the life cycle does not have.

    Raises:
        LinkConflict: the move is not in the transition table.
    """
    if target is not current and target not in TRANSITIONS[current]:
        raise LinkConflict(f"a task that is {current} cannot become {target}")
