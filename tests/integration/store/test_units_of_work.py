"""Transactions and turns, on every store."""

import threading
from collections.abc import Callable

import pytest

from mpi.errors import StoreError
from mpi.index.ports import Store, UnitOfWork
from tests.integration.store.examples import add_record, event, key


def test_what_is_not_committed_is_not_kept(store: Store) -> None:
    with store.write() as uow:
        add_record(uow, "A")
    with pytest.raises(ZeroDivisionError), store.write() as uow:  # noqa: PT012  undone whole
        add_record(uow, "A")
        raise ZeroDivisionError
    with store.read() as uow:
        assert uow.records.all_ids() == []


def test_a_writer_sees_its_own_writes(store: Store) -> None:
    with store.write() as uow:
        record_id = add_record(uow, "A", keys=(1,))

        assert uow.records.all_ids() == [record_id]
        assert len(uow.records.candidates([1], excluding=None, block_cap=9).records) == 1


def test_after_a_broken_constraint_nothing_can_be_committed(store: Store) -> None:
    with store.write() as uow:
        add_record(uow, "A")
        with pytest.raises(StoreError):
            uow.records.add(key("A"), "EUID-X")
        with pytest.raises(StoreError):
            uow.commit()
    with store.read() as uow:
        assert uow.records.all_ids() == []


def test_the_error_of_a_broken_constraint_does_not_tell_the_value(store: Store) -> None:
    with store.write() as uow:
        uow.records.add(key("ZQXID"), "EUID-X")
        with pytest.raises(StoreError) as caught:
            uow.records.add(key("ZQXID"), "EUID-Y")

    assert "ZQX" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_reader_cannot_write(store: Store) -> None:
    with store.read() as uow, pytest.raises(StoreError):
        uow.records.add(key("A"), "EUID-A")
    with store.read() as uow, pytest.raises(StoreError):
        uow.commit()
    with store.write() as uow:
        uow.records.add(key("A"), "EUID-A")
        uow.commit()


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda uow: uow.records.all_ids(), id="read"),
        pytest.param(lambda uow: uow.audit.append(event(1)), id="write"),
        pytest.param(lambda uow: uow.commit(), id="commit"),
    ],
)
def test_a_unit_of_work_is_over_when_committed(store: Store, use: Callable[[UnitOfWork], object]) -> None:
    with store.write() as uow:
        uow.commit()
        with pytest.raises(RuntimeError):
            use(uow)
    with pytest.raises(RuntimeError):
        use(uow)


@pytest.mark.parametrize("outer", ["read", "write"])
@pytest.mark.parametrize("inner", ["read", "write"])
def test_a_unit_of_work_inside_another_is_refused(store: Store, outer: str, inner: str) -> None:
    with getattr(store, outer)(), pytest.raises(RuntimeError), getattr(store, inner)():
        pass
    with getattr(store, inner)():
        pass


def test_writers_of_one_process_take_turns(store: Store) -> None:
    """Each reads the last number and writes the next: without turns, two would read the same."""
    with store.write() as uow:
        add_record(uow, "R0")
        uow.commit()
    errors: list[BaseException] = []

    def add_ten() -> None:
        try:
            for _ in range(10):
                with store.write() as uow:
                    count = len(uow.records.all_ids())
                    uow.records.add(key(f"R{count}"), f"E{count}")
                    uow.commit()
        except BaseException as error:  # noqa: BLE001  it is looked at in the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=add_ten) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with store.read() as uow:
        assert errors == []
        assert len(uow.records.all_ids()) == 41
