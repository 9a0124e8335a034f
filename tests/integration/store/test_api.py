"""What questions and repeated writes need of a store: sets and blocks at once, traces, kept answers."""

import threading
from datetime import timedelta

import pytest

from mpi.errors import StoreError
from mpi.index.audit import first_break
from mpi.index.ports import KeptAnswer, Store
from tests.integration.store.examples import NOON, add_record, event, later, move, save


def test_sets_are_read_at_once_now_and_as_they_were(store: Store) -> None:
    with store.write() as uow:
        a, b, c, d = (add_record(uow, value) for value in "ABCD")
        for record_id, euid in ((a, "E1"), (b, "E1"), (c, "E2"), (d, "E3")):
            move(uow, record_id, euid)
        move(uow, c, "E1", at=later(5))
        uow.commit()
    with store.read() as uow:
        assert uow.memberships.sets_of([c]) == {"E1": sorted([a, b, c])}
        assert uow.memberships.sets_of([a, d, b]) == {"E1": sorted([a, b, c]), "E3": [d]}
        assert uow.memberships.sets_of([c, a], as_of=later(2)) == {"E1": sorted([a, b]), "E2": [c]}
        assert uow.memberships.sets_of([c], as_of=later(-2)) == {}
        assert uow.memberships.sets_of([]) == uow.memberships.sets_of([99]) == {}
        many = [
            a,
            *range(10_000, 11_500),
            b,
            d,
        ]  # asked in several statements, and of one person in two of them
        assert uow.memberships.sets_of(many) == {"E1": sorted([a, b, c]), "E3": [d]}


def test_the_holders_of_many_keys_are_read_at_once(store: Store) -> None:
    held = {"A": [1, 2], "B": [2, 3], "C": [3], "D": [3]}
    with store.write() as uow:
        ids = {value: add_record(uow, value) for value in held}
        for value, keys in held.items():
            save(uow, ids[value], keys=tuple(keys))
        uow.commit()
    with store.read() as uow:
        found = uow.records.sharing([*range(1, 250)], block_cap=2)

        assert {key: [record.id for record in records] for key, records in found.items()} == {
            1: [ids["A"]],
            2: sorted([ids["A"], ids["B"]]),
        }
        for key in (1, 2):
            assert found[key] == list(uow.records.candidates([key], excluding=None, block_cap=2).records)
        assert uow.records.sharing([], block_cap=2) == {}


def test_a_trace_is_in_the_chain_when_it_returns(store: Store) -> None:
    store.trace(event(1))
    with store.read() as uow:
        assert [item.event for item in uow.audit.chain()] == [event(1)]


def test_a_trace_inside_a_unit_of_work_is_refused(store: Store) -> None:
    with store.read(), pytest.raises(RuntimeError):
        store.trace(event(1))


def test_traces_of_many_threads_are_all_there_once_in_one_chain(store: Store) -> None:
    def tell(first: int) -> None:
        for number in range(first, first + 10):
            store.trace(event(number))

    threads = [threading.Thread(target=tell, args=(10 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as uow:
        chain = list(uow.audit.chain())

    assert sorted(item.event.subject for item in chain) == sorted(event(n).subject for n in range(80))
    assert first_break(chain) is None


def test_an_answer_is_kept_under_the_key_its_write_took(store: Store) -> None:
    with store.write() as uow:
        assert uow.kept_answers.claim("portal", "k1", "f1", at=NOON)
        assert not uow.kept_answers.claim("portal", "k1", "f2", at=NOON)
        assert uow.kept_answers.claim("viewer", "k1", "f3", at=NOON)
        uow.commit()
    with store.write() as uow:
        uow.kept_answers.keep("portal", "k1", status=200, media_type="application/json", body=b"{\x00}")
        uow.kept_answers.keep("portal", "nobody's", status=200, media_type="", body=b"")
        uow.commit()
    with store.read() as uow:
        kept = KeptAnswer("f1", 200, "application/json", b"{\x00}")
        assert uow.kept_answers.find("portal", "k1") == kept
        assert uow.kept_answers.find("viewer", "k1") == KeptAnswer("f3")
        assert uow.kept_answers.find("portal", "nobody's") is None


def test_a_key_goes_with_the_write_that_was_not_made(store: Store) -> None:
    with store.write() as uow:
        uow.kept_answers.claim("portal", "k1", "f1", at=NOON)
    with store.read() as uow:
        assert uow.kept_answers.find("portal", "k1") is None


def test_old_keys_are_forgotten_and_blanked_answers_leave_theirs_taken(store: Store) -> None:
    with store.write() as uow:
        for number in (1, 2):
            uow.kept_answers.claim("portal", f"k{number}", "f", at=NOON + timedelta(hours=number))
            uow.kept_answers.keep("portal", f"k{number}", status=200, media_type="text/plain", body=b"x")
        uow.kept_answers.forget(before=NOON + timedelta(hours=2))
        uow.kept_answers.blank()

        assert uow.kept_answers.find("portal", "k1") is None
        assert uow.kept_answers.find("portal", "k2") == KeptAnswer("f")


def test_nothing_is_kept_in_a_reader(store: Store) -> None:
    with store.read() as uow, pytest.raises(StoreError):
        uow.kept_answers.claim("portal", "k", "f", at=NOON)
