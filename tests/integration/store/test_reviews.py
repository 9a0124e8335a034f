"""Review tasks, on every store."""

from dataclasses import replace

import pytest

from mpi.errors import StoreError
from mpi.index.ports import Store, UnitOfWork
from mpi.index.review import (
    LIVE_STATES,
    TOPIC,
    WHOLE,
    Sight,
    Task,
    TaskKey,
    TaskKind,
    TaskState,
    Topic,
    Verdict,
    WantedTask,
)
from tests.integration.store.examples import EVERY_TEXT, NOON, add_record, fact, later


def wanted(kind: TaskKind, left_id: int, right_id: int, *, priority: int = 0) -> WantedTask:
    key = TaskKey(TOPIC[kind], left_id, right_id)
    return WantedTask(key, kind, "twins", 3.25, {"family_name": "exact", "é": "missing"}, priority)


def put(uow: UnitOfWork, task_id: int, state: TaskState, *, minutes: float = 0) -> Task:
    """Change nothing but the state."""
    task = uow.reviews.get(task_id)
    assert task is not None
    return uow.reviews.change(replace(task, state=state), at=later(minutes))


def test_a_task_opens_at_version_one(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        task_id = uow.reviews.open(wanted(TaskKind.POTENTIAL_LINK, a, b, priority=117), at=NOON)
        uow.commit()
    with store.read() as uow:
        assert uow.reviews.get(task_id) == Task(
            id=task_id,
            key=TaskKey(Topic.LINK, a, b),
            kind=TaskKind.POTENTIAL_LINK,
            state=TaskState.OPEN,
            reason="twins",
            weight_bits=3.25,
            version=1,
            opened_at=NOON,
            changed_at=NOON,
            fingerprint={"family_name": "exact", "é": "missing"},
            priority=117,
        )
        assert uow.reviews.get(task_id + 1) is None


def test_each_change_raises_the_version_and_every_version_is_kept(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        fact_id = uow.facts.add(fact("A", "B"))
        opened = uow.reviews.get(uow.reviews.open(wanted(TaskKind.POTENTIAL_LINK, a, b), at=NOON))
        assert opened is not None
        answered = replace(
            opened, state=TaskState.DECIDED, verdict=Verdict.SAME, reviewer=EVERY_TEXT, fact_id=fact_id
        )
        decided = uow.reviews.change(answered, at=later(1))
        by_fact = uow.reviews.by_fact(fact_id)
        asks_again = replace(
            opened,
            kind=TaskKind.INS_COLLISION,
            reason="ins_conflict",
            weight_bits=None,
            fingerprint={},
            priority=70,
        )
        reopened = uow.reviews.change(asks_again, at=later(2))
        uow.commit()
    with store.read() as uow:
        assert decided == replace(answered, version=2, changed_at=later(1))
        assert by_fact == [decided]
        assert uow.reviews.by_fact(fact_id) == []
        assert reopened == replace(asks_again, version=3, changed_at=later(2))
        assert uow.reviews.get(opened.id) == reopened
        assert uow.reviews.history([opened.id, 99]) == [opened, decided, reopened]
        assert uow.reviews.history([]) == []


def test_a_change_leaves_key_opening_and_claim_alone(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        task_id = uow.reviews.open(wanted(TaskKind.POTENTIAL_LINK, a, b), at=NOON)
        opened = uow.reviews.get(task_id)
        assert opened is not None
        uow.reviews.claim(task_id, by=EVERY_TEXT, at=later(1))
        changed = uow.reviews.change(
            replace(
                opened,
                key=TaskKey(Topic.CONFLICT, b, b),
                opened_at=later(9),
                version=40,
                claimed_by="thief",
                claimed_at=later(9),
            ),
            at=later(2),
        )

        assert changed == replace(
            opened, version=2, changed_at=later(2), claimed_by=EVERY_TEXT, claimed_at=later(1)
        )
        assert uow.reviews.get(task_id) == changed


def test_a_claim_is_no_change(store: Store) -> None:
    with store.write() as uow:
        a = add_record(uow, "A")
        task_id = uow.reviews.open(wanted(TaskKind.OVERLAY, a, a), at=NOON)
        opened = uow.reviews.get(task_id)
        assert opened is not None
        uow.reviews.claim(task_id, by="user:é", at=later(1))

        claimed = replace(opened, claimed_by="user:é", claimed_at=later(1))
        assert uow.reviews.touching([a]) == [claimed]
        assert uow.reviews.history([task_id]) == [opened]
        uow.reviews.claim(task_id, by="", at=None)
        assert uow.reviews.get(task_id) == opened
        with pytest.raises(LookupError):
            uow.reviews.claim(task_id + 1, by="user:é", at=NOON)


def test_changing_a_task_that_is_not_there_is_a_defect(store: Store) -> None:
    with store.write() as uow:
        a = add_record(uow, "A")
        task = uow.reviews.get(uow.reviews.open(wanted(TaskKind.OVERLAY, a, a), at=NOON))
        assert task is not None
        with pytest.raises(LookupError):
            uow.reviews.change(replace(task, id=7), at=NOON)


def test_what_is_rolled_back_leaves_no_version(store: Store) -> None:
    with store.write() as uow:
        a = add_record(uow, "A")
        task_id = uow.reviews.open(wanted(TaskKind.OVERLAY, a, a), at=NOON)
        uow.commit()
    with store.write() as uow:
        put(uow, task_id, TaskState.OBSOLETE)
    with store.read() as uow:
        assert [task.state for task in uow.reviews.history([task_id])] == [TaskState.OPEN]


def test_there_is_one_task_of_a_topic_for_a_pair(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        uow.reviews.open(wanted(TaskKind.POTENTIAL_LINK, a, b), at=NOON)
        uow.reviews.open(wanted(TaskKind.CONFLICT, a, b), at=NOON)
        uow.commit()
    with store.write() as uow, pytest.raises(StoreError):
        uow.reviews.open(wanted(TaskKind.INS_COLLISION, a, b), at=NOON)


def test_tasks_touching_records_are_of_any_state(store: Store) -> None:
    with store.write() as uow:
        a, b, c, d = (add_record(uow, value) for value in "ABCD")
        ab = uow.reviews.open(wanted(TaskKind.POTENTIAL_LINK, a, b), at=NOON)
        bc = uow.reviews.open(wanted(TaskKind.POTENTIAL_LINK, b, c), at=NOON)
        cc = uow.reviews.open(wanted(TaskKind.OVERSIZED_BLOCK, c, c), at=NOON)
        put(uow, ab, TaskState.OBSOLETE)

        def touching(*record_ids: int) -> list[int]:
            return [task.id for task in uow.reviews.touching(record_ids)]

        assert touching(a) == [ab]
        assert touching(b) == [ab, bc]
        assert touching(c, a) == [ab, bc, cc]
        assert touching(d) == []
        assert touching() == []


def test_pages_and_counts(store: Store) -> None:
    with store.write() as uow:
        ids = [add_record(uow, f"R{n}") for n in range(6)]
        kinds = (TaskKind.POTENTIAL_LINK, TaskKind.CONFLICT)
        tasks = [uow.reviews.open(wanted(kinds[n % 2], ids[0], ids[n]), at=NOON) for n in range(1, 6)]
        put(uow, tasks[0], TaskState.WAITING)
        put(uow, tasks[1], TaskState.DECIDED)

        def page(**asked: object) -> list[int]:
            return [task.id for task in uow.reviews.page(**asked)]  # type: ignore[arg-type]

        assert page(states=LIVE_STATES) == [tasks[0], *tasks[2:]]
        assert page(states=LIVE_STATES, kind="conflict") == [tasks[0], tasks[2], tasks[4]]
        assert page(states=LIVE_STATES, kind=TaskKind.CONFLICT, after=tasks[0], limit=1) == [tasks[2]]
        assert page(states={TaskState.DECIDED}) == [tasks[1]]
        assert page(states=()) == []
        assert uow.reviews.counts() == {
            TaskState.OPEN: 3,
            TaskState.WAITING: 1,
            TaskState.PROPOSED: 0,
            TaskState.DECIDED: 1,
            TaskState.OBSOLETE: 0,
        }


def test_pages_as_of_an_instant(store: Store) -> None:
    with store.write() as uow:
        ids = [add_record(uow, f"R{n}") for n in range(3)]
        one = uow.reviews.open(wanted(TaskKind.POTENTIAL_LINK, ids[0], ids[1]), at=NOON)
        two = uow.reviews.open(wanted(TaskKind.CONFLICT, ids[0], ids[2]), at=later(5))
        uow.reviews.claim(one, by="user:a", at=NOON)
        put(uow, one, TaskState.DECIDED, minutes=10)
        put(uow, one, TaskState.OPEN, minutes=20)
        put(uow, two, TaskState.OBSOLETE, minutes=15)

        def page(minutes: float, **asked: object) -> list[tuple[int, int]]:
            tasks = uow.reviews.page(as_of=later(minutes), **{"states": tuple(TaskState), **asked})  # type: ignore[arg-type]
            return [(task.id, task.version) for task in tasks]

        assert page(-0.001) == []
        assert page(0) == [(one, 1)]
        assert page(10) == [(one, 2), (two, 1)]
        assert page(99) == [(one, 3), (two, 2)]
        assert page(10, states=LIVE_STATES) == [(two, 1)]
        assert page(10, states=()) == []
        assert page(99, states=LIVE_STATES) == [(one, 3)]
        assert page(10, kind="conflict") == [(two, 1)]
        assert page(10, after=one) == [(two, 1)]
        assert page(10, limit=1) == [(one, 2)]
        assert [uow.reviews.history([one])[0]] == uow.reviews.page(states=LIVE_STATES, as_of=NOON)


def test_the_most_urgent_come_first_and_page_by_page(store: Store) -> None:
    with store.write() as uow:
        ids = [add_record(uow, f"R{n}") for n in range(9)]
        kinds = (TaskKind.POTENTIAL_LINK, TaskKind.CONFLICT)
        priorities = (0, 110, 60, 110, 210, -5, 60, 110)
        tasks = [
            uow.reviews.open(wanted(kinds[n % 2], ids[0], ids[n + 1], priority=priority), at=NOON)
            for n, priority in enumerate(priorities)
        ]
        put(uow, tasks[3], TaskState.PROPOSED)
        put(uow, tasks[6], TaskState.WAITING)
        put(uow, tasks[4], TaskState.DECIDED)
        expected = [tasks[n] for n in (1, 3, 7, 2, 6, 0, 5)]
        after: Task | None = None
        paged: list[int] = []
        while page := uow.reviews.urgent(states=LIVE_STATES, after=after, limit=2):
            paged += [task.id for task in page]
            after = page[-1]

        def urgent(**asked: object) -> list[int]:
            return [task.id for task in uow.reviews.urgent(**asked)]  # type: ignore[arg-type]

        assert urgent(states=LIVE_STATES) == paged == expected
        assert urgent(states=LIVE_STATES, kind="conflict") == [tasks[n] for n in (1, 3, 7, 5)]
        assert urgent(states=[TaskState.DECIDED, TaskState.DECIDED]) == [tasks[4]]
        assert urgent(states=()) == []
        decided = uow.reviews.get(tasks[4])
        assert urgent(states=LIVE_STATES, kind=TaskKind.CONFLICT, after=decided, limit=1) == [tasks[1]]
        assert uow.reviews.urgent(states=LIVE_STATES, limit=1) == uow.reviews.touching([ids[2]])


def test_each_sight_has_a_task_of_its_own_about_a_pair(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        asked = wanted(TaskKind.POTENTIAL_LINK, a, b, priority=3)
        of_all, of_one = (uow.reviews.open(asked, at=NOON, sight=sight) for sight in (WHOLE, 7))
        uow.commit()
    with store.read() as uow:
        assert [task.sight for task in uow.reviews.touching([a])] == [WHOLE, 7]
        assert [task.sight for task in uow.reviews.history([of_all, of_one])] == [WHOLE, 7]
        for sight, expected in ((WHOLE, [of_all]), (7, [of_one]), (8, [])):
            for page in (
                uow.reviews.page(states=LIVE_STATES, sight=sight),
                uow.reviews.page(states=LIVE_STATES, sight=sight, as_of=later(1)),
                uow.reviews.page(states=LIVE_STATES, sight=sight, kind=TaskKind.POTENTIAL_LINK),
                uow.reviews.urgent(states=LIVE_STATES, sight=sight),
            ):
                assert [task.id for task in page] == expected
        assert [task.id for task in uow.reviews.page(states=LIVE_STATES)] == [of_all]
        assert [task.id for task in uow.reviews.page(states=LIVE_STATES, sight=None)] == [of_all, of_one]
        assert uow.reviews.counts()[TaskState.OPEN] == 1


def test_a_change_keeps_whose_a_task_is(store: Store) -> None:
    with store.write() as uow:
        a = add_record(uow, "A")
        opened = uow.reviews.get(uow.reviews.open(wanted(TaskKind.OVERLAY, a, a), at=NOON, sight=7))
        assert opened is not None
        changed = uow.reviews.change(replace(opened, sight=WHOLE, reason="other"), at=later(1))

        assert changed == replace(opened, version=2, reason="other", changed_at=later(1))


def test_a_sight_is_kept_once_and_made_again_when_it_is_kept_again(store: Store) -> None:
    domains = frozenset({"2.999.2", "2.999.1"})
    with store.write() as uow:
        assert uow.sights.of(domains) is None
        sight = uow.sights.keep(domains)
        other = uow.sights.keep({"2.999.1"})
        uow.sights.advance(sight.id, 9)
        uow.commit()
    assert WHOLE < sight.id < other.id
    with store.write() as uow:
        assert uow.sights.of(["2.999.1", "2.999.2"]) == replace(sight, position=9)
        assert uow.sights.kept() == [replace(sight, position=9), other]
        uow.sights.advance(sight.id, None)
        uow.sights.drop(other.id)
        uow.commit()
    with store.write() as uow:
        assert uow.sights.kept() == [replace(sight, position=None)]
        assert uow.sights.of(other.domains) is None
        assert uow.sights.keep(other.domains) == Sight(other.id, other.domains, 0)
        assert uow.sights.kept() == [replace(sight, position=None), other]
        for change in (lambda: uow.sights.advance(99, 1), lambda: uow.sights.drop(99)):
            with pytest.raises(LookupError):
                change()
