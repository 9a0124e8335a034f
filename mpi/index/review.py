"""
Clerical review: what a person is asked, what they may answer, and the life of the question.

Pure: the registry stores what these functions return.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from mpi.errors import LinkConflict

CLAIM_LASTS = timedelta(minutes=30)
"""A claim nobody worked on for so long is released by itself."""
WHOLE = 0
"""The number of the sight that nothing is hidden from (`Task.sight`)."""


class Topic(StrEnum):
    """What a task asks about. There is at most one task of a topic for a pair and a sight, for ever."""

    LINK = "link"
    """Are these two records one person?"""
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    OVERLAY = "overlay"
    """Does the identifier still name the same person? Left and right are the same record."""
    BLOCK = "block"
    """Left and right are the same record."""
    QUALITY = "quality"
    REPORT = "report"
    """Left and right are the same record. Answered where the reports about it are."""


class TaskKind(StrEnum):
    """Why a person is asked. A question is promoted in place when the data make it graver."""

    POTENTIAL_LINK = "potential_link"
    """Two records that may be one person: between the two thresholds, or capped by a guard."""
    AMBIGUITY = "ambiguity"
    """A record that fits two sets about equally."""
    REFUSED_LINK = "refused_link"
    """Strong evidence that the partition refused; the reason says what contradicts it."""
    INS_COLLISION = "ins_collision"
    """One INS on two people, or two INS on what looks like one person."""
    DUPLICATE_IN_DOMAIN = "duplicate_in_domain"
    """Two active records of one domain in one enterprise record: the site should merge them."""
    CONFLICT = "conflict"
    """Two assertions contradict each other, or the records they hold together do."""
    OVERLAY = "overlay"
    """A new statement of a known identifier looks like another person's; it is held."""
    OVERSIZED_BLOCK = "oversized_block"
    """A record whose candidates could not all be compared."""
    QUALITY_ANOMALY = "quality_anomaly"
    """A source says something that hints at a wrong identity, such as visits moved between patients."""
    REPORTED_IDENTITY = "reported_identity"
    """Somebody reported that the identity is wrong; its doubt stands until a person answers the report."""


TOPIC: Mapping[TaskKind, Topic] = {
    TaskKind.POTENTIAL_LINK: Topic.LINK,
    TaskKind.AMBIGUITY: Topic.LINK,
    TaskKind.REFUSED_LINK: Topic.LINK,
    TaskKind.INS_COLLISION: Topic.LINK,
    TaskKind.DUPLICATE_IN_DOMAIN: Topic.DUPLICATE,
    TaskKind.CONFLICT: Topic.CONFLICT,
    TaskKind.OVERLAY: Topic.OVERLAY,
    TaskKind.OVERSIZED_BLOCK: Topic.BLOCK,
    TaskKind.QUALITY_ANOMALY: Topic.QUALITY,
    TaskKind.REPORTED_IDENTITY: Topic.REPORT,
}

GRAVITY: Mapping[TaskKind, int] = {
    TaskKind.OVERSIZED_BLOCK: 0,
    TaskKind.POTENTIAL_LINK: 1,
    TaskKind.DUPLICATE_IN_DOMAIN: 2,
    TaskKind.AMBIGUITY: 3,
    TaskKind.QUALITY_ANOMALY: 4,
    TaskKind.REFUSED_LINK: 5,
    TaskKind.CONFLICT: 6,
    TaskKind.INS_COLLISION: 7,
    TaskKind.OVERLAY: 8,
    TaskKind.REPORTED_IDENTITY: 9,
}
"""How bad it is when nobody looks: a missed link hides an exam, an overlay shows another person's."""


class Verdict(StrEnum):
    """What a reviewer may answer."""

    SAME = "same"
    DIFFERENT = "different"
    HOMONYMS = "homonyms"
    LEFT_WRONG = "left_wrong"
    """Two people, and the left record is the one that is wrong: it links to nothing until that is lifted."""
    RIGHT_WRONG = "right_wrong"
    RECYCLED = "recycled"
    """The site gave the identifier to another person: a new epoch begins."""
    DISMISSED = "dismissed"
    """Seen, and nothing to do while what was seen does not change."""
    UNDECIDED = "undecided"


_ABOUT_A_PAIR = frozenset(
    {
        Verdict.SAME,
        Verdict.DIFFERENT,
        Verdict.HOMONYMS,
        Verdict.LEFT_WRONG,
        Verdict.RIGHT_WRONG,
        Verdict.UNDECIDED,
    }
)
ANSWERS: Mapping[Topic, frozenset[Verdict]] = {
    Topic.LINK: _ABOUT_A_PAIR,
    Topic.DUPLICATE: _ABOUT_A_PAIR | {Verdict.DISMISSED},
    Topic.CONFLICT: _ABOUT_A_PAIR,
    Topic.OVERLAY: frozenset({Verdict.SAME, Verdict.DIFFERENT, Verdict.RECYCLED, Verdict.UNDECIDED}),
    Topic.BLOCK: frozenset({Verdict.DISMISSED, Verdict.UNDECIDED}),
    Topic.QUALITY: frozenset({Verdict.DISMISSED, Verdict.UNDECIDED}),
    Topic.REPORT: frozenset({Verdict.UNDECIDED}),
}
"""What may be answered to which question."""


class TaskState(StrEnum):
    """`open`, `waiting` and `proposed` are live; `decided` and `obsolete` may be reopened."""

    OPEN = "open"
    WAITING = "waiting"
    """Looked at without a decision, or confirmed and waiting for the owning site to act."""
    PROPOSED = "proposed"
    """One person decided, and the rule of two wants another."""
    DECIDED = "decided"
    OBSOLETE = "obsolete"
    """The data changed and nothing is left to ask."""


LIVE_STATES = frozenset({TaskState.OPEN, TaskState.WAITING, TaskState.PROPOSED})

TRANSITIONS: dict[TaskState, frozenset[TaskState]] = {
    TaskState.OPEN: frozenset({TaskState.WAITING, TaskState.PROPOSED, TaskState.DECIDED, TaskState.OBSOLETE}),
    TaskState.WAITING: frozenset({TaskState.OPEN, TaskState.PROPOSED, TaskState.DECIDED, TaskState.OBSOLETE}),
    TaskState.PROPOSED: frozenset({TaskState.OPEN, TaskState.WAITING, TaskState.DECIDED, TaskState.OBSOLETE}),
    TaskState.DECIDED: frozenset({TaskState.OPEN}),
    TaskState.OBSOLETE: frozenset({TaskState.OPEN}),
}


@dataclass(frozen=True, slots=True, order=True)
class TaskKey:
    """What a task is about."""

    topic: Topic
    left_id: int
    right_id: int


@dataclass(frozen=True, slots=True)
class WantedTask:
    """
    A question the current facts ask.

    Args:
        reason: in words a machine keeps (`ins_conflict`, `twins`, …).
        fingerprint: what a reviewer will compare (trait -> level): a dismissal holds while it is the same.
        priority: see `priority`.
    """

    key: TaskKey
    kind: TaskKind
    reason: str
    weight_bits: float | None = None
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Sight:
    """
    Some domains, as staff who see no others work on them: they have a queue of their own.

    Args:
        id: above `WHOLE`.
        domains: their keys.
        position: its queue is made of the records up to this one; None once it is of all of them.
    """

    id: int
    domains: frozenset[str]
    position: int | None = 0


@dataclass(frozen=True, slots=True)
class Task:
    """
    A stored review task.

    Args:
        sight: whose question it is: of those who see every domain, or of a `Sight`.
        version: grows with every change; a decision names the version it read.
        fact_id: the fact its verdict became, when decided or proposed.
        claimed_by: who works on it; empty when nobody does.
    """

    id: int
    key: TaskKey
    kind: TaskKind
    state: TaskState
    reason: str
    weight_bits: float | None
    version: int
    opened_at: datetime
    changed_at: datetime
    verdict: Verdict | None = None
    reviewer: str = ""
    fact_id: int | None = None
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    claimed_by: str = ""
    claimed_at: datetime | None = None
    sight: int = WHOLE

    def held_by(self, instant: datetime) -> str:
        """Who has claimed it at an instant; empty when nobody has, or has let it lie too long."""
        if self.claimed_at is None or instant - self.claimed_at >= CLAIM_LASTS:
            return ""
        return self.claimed_by


def asks_the_same(task: Task, asked: WantedTask) -> bool:
    """Whether a question is the one a task holds: its kind, its reason, and what is to be compared."""
    return (task.kind, task.reason, dict(task.fingerprint)) == (
        asked.kind,
        asked.reason,
        dict(asked.fingerprint),
    )


def still_answered(task: Task, asked: WantedTask) -> bool:
    """
    Whether the answer somebody gave stands for what is asked now.

    A statement that is held after an answer is another one than the answer was about.
    """
    is_closed = task.state is TaskState.DECIDED and task.key.topic is not Topic.OVERLAY
    return is_closed and asks_the_same(task, asked)


def priority(kind: TaskKind, *, urgency: int, site: int) -> int:
    """
    What to look at first: the patient who is here now, then the graver question, then the site.

    Args:
        urgency: the greater `Urgency` of the two records.
        site: 0 to 9, as the federation configured the domains.
    """
    return urgency * 100 + GRAVITY[kind] * 10 + site


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[str, ...]:
    """The traits that compare otherwise than they did."""
    return tuple(sorted(name for name in {**before, **after} if before.get(name) != after.get(name)))


def state_after(topic: Topic, verdict: Verdict) -> TaskState:
    """
    The state a verdict leads to.

    Some answers are not the end: a duplicate confirmed by a person waits for its site to merge
    it, and two records declared different wait for the source that merged them to correct it. The
    engine closes them when the data change.
    """
    waits_for_a_site = (topic, verdict) in {
        (Topic.DUPLICATE, Verdict.SAME),
        (Topic.CONFLICT, Verdict.DIFFERENT),
        (Topic.CONFLICT, Verdict.HOMONYMS),
        (Topic.CONFLICT, Verdict.LEFT_WRONG),
        (Topic.CONFLICT, Verdict.RIGHT_WRONG),
    }
    return TaskState.WAITING if verdict is Verdict.UNDECIDED or waits_for_a_site else TaskState.DECIDED


def check_answer(topic: Topic, verdict: Verdict) -> None:
    """
    Refuse an answer to another question.

    Raises:
        LinkConflict: the question cannot be answered so.
    """
    if verdict not in ANSWERS[topic]:
        allowed = ", ".join(sorted(ANSWERS[topic]))
        raise LinkConflict(f"a question about {topic} is answered by one of: {allowed}")


def check_transition(current: TaskState, target: TaskState) -> None:
    """
    Refuse a move the life cycle does not have.

    Raises:
        LinkConflict: the move is not in the transition table.
    """
    if target is not current and target not in TRANSITIONS[current]:
        raise LinkConflict(f"a task that is {current} cannot become {target}")


def life_cycle_diagram() -> str:
    """The transition table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {TaskState.OPEN}"]
    lines += [
        f"    {state} --> {target}"
        for state in TaskState
        for target in TaskState
        if target in TRANSITIONS[state]
    ]
    return "\n".join(lines) + "\n"
