"""
The timeline of a person: what happened to the records it holds or ever held, by whom, and why.

Read from what is kept for ever: statements, facts, memberships, and the versions of tasks.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from mpi.identity.model import RecordKey
from mpi.index.epochs import ChangesPerson, read_epochs
from mpi.index.events import Fact
from mpi.index.ports import Membership, StoredRecord, UnitOfWork
from mpi.index.review import Task


class What(StrEnum):
    """The kinds of things that happen to a person in an index."""

    STATED = "stated"
    """A source stated an identity."""
    HELD = "held"
    """A statement that does not take effect: it looks like another person's, or somebody set it aside."""
    ASSERTED = "asserted"
    PROPOSED = "proposed"
    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"
    JOINED = "joined"
    """A record came into an enterprise record."""
    ASKED = "asked"
    """A review task, in one of its versions."""


@dataclass(frozen=True, slots=True)
class Happening:
    """
    One thing that happened.

    Args:
        subjects: the records it is about.
        actor: `source:…` or `user:…`; empty for what the engine derived.
        cause: what made it so, by this index's own names: `message/9`, `fact/3`, `relink/1`.
        details: by kind: the fact's kind and reason, the enterprise record joined and the match
            model, the task's state. Never traits.
    """

    at: datetime
    what: What
    subjects: tuple[RecordKey, ...]
    actor: str = ""
    cause: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


def read_timeline(
    uow: UnitOfWork,
    records: Mapping[int, StoredRecord],
    memberships: Iterable[tuple[RecordKey, Membership]],
    *,
    visible: frozenset[str],
    changes_person: ChangesPerson,
    sight: int,
) -> tuple[Happening, ...]:
    """
    Everything that happened to some records, oldest first.

    Args:
        records: by id; none that may not be seen.
        memberships: those the records had, of each in their order.
        visible: domain keys the caller may see; what is about other records as well is left out.
        sight: whose questions are told of.
    """
    found = [
        *_statements(uow, records, changes_person),
        *_facts(uow, records, visible),
        *_memberships(memberships),
        *_tasks(uow, records, visible, sight),
    ]
    order = list(What)
    return tuple(
        sorted(
            found,
            key=lambda item: (item.at, order.index(item.what), item.subjects, *_by_number(item.cause)),
        )
    )


def _by_number(cause: str) -> tuple[str, int]:
    """Causes in the order of their numbers, `task/9` before `task/10`."""
    name, _, number = cause.partition("/")
    return name, int(number or 0)


def _statements(
    uow: UnitOfWork, records: Mapping[int, StoredRecord], changes_person: ChangesPerson
) -> Iterator[Happening]:
    for domain, value in sorted({(r.key.domain, r.key.value) for r in records.values()}):
        epochs = uow.records.epochs(domain, value)
        shown = {record.key for record in records.values()}
        said = uow.records.statements(epochs[0].id)
        facts = uow.facts.standing([record.key for record in epochs])
        for epoch in read_epochs(said, facts, changes_person):
            key = RecordKey(domain, value, epoch.number)
            if key not in shown:
                continue
            held = {item.statement.id: item.reason for item in (*epoch.held, *epoch.corrected)}
            held |= {item.id: "set_aside" for item in epoch.set_aside}
            for item in epoch.all:
                statement = item.statement
                details: dict[str, Any] = {
                    "statement": item.id,
                    "event_time": statement.event_time.isoformat(),
                }
                if item.id in held:
                    details["reason"] = held[item.id]
                yield Happening(
                    item.recorded_at,
                    What.HELD if item.id in held else What.STATED,
                    (key,),
                    f"source:{statement.source}",
                    f"message/{item.message_id}",
                    details,
                )


def _facts(
    uow: UnitOfWork, records: Mapping[int, StoredRecord], visible: Collection[str]
) -> Iterator[Happening]:
    for fact in uow.facts.ever([record.key for record in records.values()]):
        if not {fact.left.domain, fact.right.domain} <= set(visible):
            continue
        yield _of_fact(
            fact, fact.recorded_at, What.PROPOSED if fact.second_needed else What.ASSERTED, fact.actor
        )
        if fact.confirmed_at is not None:
            yield _of_fact(fact, fact.confirmed_at, What.CONFIRMED, fact.confirmed_by)
        if fact.withdrawn_at is not None:
            yield _of_fact(fact, fact.withdrawn_at, What.WITHDRAWN, fact.withdrawn_by)


def _of_fact(fact: Fact, at: datetime, what: What, actor: str) -> Happening:
    subjects = tuple(dict.fromkeys((fact.left, fact.right)))
    cause = f"message/{fact.message_id}" if fact.message_id is not None else ""
    details = {"fact": fact.id, "kind": str(fact.kind), "reason": fact.reason}
    return Happening(at, what, subjects, actor, cause, details)


def _memberships(memberships: Iterable[tuple[RecordKey, Membership]]) -> Iterator[Happening]:
    left: dict[RecordKey, str] = {}
    for key, membership in memberships:
        details = {
            "euid": membership.euid,
            "left": left.get(key, ""),
            "model": membership.model_version,
        }
        yield Happening(membership.valid_from, What.JOINED, (key,), "", membership.cause, details)
        left[key] = membership.euid


def _tasks(
    uow: UnitOfWork, records: Mapping[int, StoredRecord], visible: Collection[str], sight: int
) -> Iterator[Happening]:
    tasks = {task.id: task for task in uow.reviews.touching(list(records)) if task.sight == sight}
    ends = uow.records.by_ids({i for task in tasks.values() for i in (task.key.left_id, task.key.right_id)})
    for version in uow.reviews.history(list(tasks)):
        subjects = [ends[i].key for i in dict.fromkeys((version.key.left_id, version.key.right_id))]
        if {key.domain for key in subjects} <= set(visible):
            yield _of_task(version, tuple(subjects))


def _of_task(version: Task, subjects: tuple[RecordKey, ...]) -> Happening:
    details = {
        "task": version.id,
        "version": version.version,
        "kind": str(version.kind),
        "state": str(version.state),
        "reason": version.reason,
        "verdict": str(version.verdict or ""),
    }
    actor = f"user:{version.reviewer}" if version.reviewer else ""
    return Happening(version.changed_at, What.ASKED, subjects, actor, f"task/{version.id}", details)
