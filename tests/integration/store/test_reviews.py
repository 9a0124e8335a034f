"""Review tasks, on every store."""

import pytest

from mpi.errors import StoreError
from mpi.index.ports import Store
from mpi.index.review import LIVE_STATES, Task, TaskKey, TaskKind, TaskState, Verdict, WantedTask
from tests.integration.store.examples import NOON, add_record, fact, later


def wanted(kind: TaskKind, left_id: int, right_id: int, *, bits: float | None = None) -> WantedTask:
    return WantedTask(TaskKey(kind, left_id, right_id), "twins", bits)


def test_a_task_opens_at_version_one(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        task_id = uow.reviews.open(wanted(TaskKind.POTENTIAL_LINK, a, b, bits=3.25), at=NOON)
        uow.commit()
    with store.read() as uow:
        assert uow.reviews.get(task_id) == Task(
            id=task_id,
            key=TaskKey(TaskKind.POTENTIAL_LINK, a, b),
            state=TaskState.OPEN,
            reason="twins",
            weight_bits=3.25,
            version=1,
            opened_at=NOON,
            changed_at=NOON,
        )
        assert uow.reviews.get(task_id + 1) is None


def test_each_change_raises_the_version_and_states_the_verdict_anew(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        fact_id = uow.facts.add(fact("A", "B"))
        task_id = uow.reviews.open(wanted(TaskKind.POTENTIAL_LINK, a, b, bits=3.25), at=NOON)
        uow.reviews.change(
            task_id, state=TaskState.DECIDED, at=later(1), verdict=Verdict.SAME, reviewer="é", fact_id=fact_id
        )
        decided = uow.reviews.get(task_id)
        by_fact = uow.reviews.by_fact(fact_id)
        uow.reviews.change(
            task_id, state=TaskState.OPEN, at=later(2), reason="ins_conflict", weight_bits=-2.0
        )
        reopened = uow.reviews.get(task_id)

        assert decided is not None
        assert reopened is not None
        assert by_fact == [decided]
        assert uow.reviews.by_fact(fact_id) == []
        assert (decided.version, decided.verdict, decided.reviewer, decided.fact_id) == (
            2,
            Verdict.SAME,
            "é",
            fact_id,
        )
        assert (decided.reason, decided.weight_bits, decided.changed_at) == ("twins", 3.25, later(1))
        assert (reopened.version, reopened.verdict, reopened.reviewer, reopened.fact_id) == (
            3,
            None,
            "",
            None,
        )
        assert (reopened.reason, reopened.weight_bits, reopened.opened_at) == ("ins_conflict", -2.0, NOON)


def test_changing_a_task_that_is_not_there_is_a_defect(store: Store) -> None:
    with store.write() as uow, pytest.raises(LookupError):
        uow.reviews.change(7, state=TaskState.OPEN, at=NOON)


def test_there_is_one_task_of_a_kind_for_a_pair(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        uow.reviews.open(wanted(TaskKind.POTENTIAL_LINK, a, b), at=NOON)
        uow.reviews.open(wanted(TaskKind.CONFLICT, a, b), at=NOON)
        uow.commit()
    with store.write() as uow, pytest.raises(StoreError):
        uow.reviews.open(wanted(TaskKind.CONFLICT, a, b), at=NOON)


def test_tasks_touching_records_are_of_any_state(store: Store) -> None:
    with store.write() as uow:
        a, b, c, d = (add_record(uow, value) for value in "ABCD")
        ab = uow.reviews.open(wanted(TaskKind.POTENTIAL_LINK, a, b), at=NOON)
        bc = uow.reviews.open(wanted(TaskKind.POTENTIAL_LINK, b, c), at=NOON)
        cc = uow.reviews.open(wanted(TaskKind.OVERSIZED_BLOCK, c, c), at=NOON)
        uow.reviews.change(ab, state=TaskState.OBSOLETE, at=NOON)

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
        uow.reviews.change(tasks[0], state=TaskState.WAITING, at=NOON)
        uow.reviews.change(tasks[1], state=TaskState.DECIDED, at=NOON)

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
            TaskState.DECIDED: 1,
            TaskState.OBSOLETE: 0,
        }
