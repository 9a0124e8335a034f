"""Source records, statements and candidates, on every store."""

from dataclasses import replace

import pytest

from mpi.errors import StoreError
from mpi.identity.model import Demographics, Urgency
from mpi.index.ports import Store, StoredStatement
from mpi.index.sketches import sketches_of
from tests.integration.store.examples import (
    DEMOGRAPHICS,
    EVERY_TEXT,
    NOON,
    add_message,
    add_record,
    blank_record,
    fact,
    key,
    later,
    save,
    statement,
)


def test_a_record_nobody_stated_has_no_traits_and_no_first_time(store: Store) -> None:
    with store.write() as uow:
        record_id = uow.records.add(key("A"), "EUID-A")

        assert uow.records.get(record_id) == blank_record(record_id, "A")


def test_a_record_added_with_its_fold_is_one_added_and_saved(store: Store) -> None:
    with store.write() as uow:
        saved = uow.records.get(add_record(uow, "A", keys=(3, 7)))
        record_id = uow.records.add_folded(
            replace(saved, id=0, key=key("B"), native_euid="EUID-B"), blocking_keys=(7, 3, 7)
        )
        uow.commit()
    with store.write() as uow:
        both = {saved.id, record_id}

        assert uow.records.get(record_id) == replace(saved, id=record_id, key=key("B"), native_euid="EUID-B")
        assert uow.records.blocking_keys(both) == dict.fromkeys(both, frozenset({3, 7}))
        assert sorted(uow.searches.sketches(both, domains=[saved.key.domain])) == [
            (one, sketch) for one in sorted(both) for sketch in sorted(sketches_of(saved))
        ]
        uow.records.save_current(uow.records.get(record_id), blocking_keys=(7,))
        assert uow.records.blocking_keys([record_id]) == {record_id: frozenset({7})}
    with store.write() as uow, pytest.raises(StoreError):
        uow.records.add_folded(replace(saved, native_euid="EUID-C"), blocking_keys=())


def test_saving_the_fold_replaces_it(store: Store) -> None:
    with store.write() as uow:
        record_id = add_record(uow, "A", family="DURAND")
        uow.commit()
    with store.write() as uow:
        before = uow.records.get(record_id)
        saved = save(uow, record_id, first_event_time=later(-5))
        uow.commit()
    with store.read() as uow:
        after = uow.records.get(record_id)

    assert before.demographics != after.demographics
    assert after == saved
    assert (after.urgency, after.held_since) == (Urgency.PRESENT, later(90))


def test_saving_a_fold_changes_neither_the_key_nor_the_native_identifier(store: Store) -> None:
    with store.write() as uow:
        record_id = add_record(uow, "A")
        before = uow.records.get(record_id)
        uow.records.save_current(
            replace(before, key=key("B"), native_euid="EUID-B", held_since=None), blocking_keys=()
        )

        assert uow.records.get(record_id) == replace(before, held_since=None)
        with pytest.raises(LookupError):
            uow.records.save_current(replace(before, id=99), blocking_keys=())


def test_a_fold_that_was_rolled_back_is_never_read_again(store: Store) -> None:
    with store.write() as uow:
        record_id = add_record(uow, "A", keys=(1,), family="DURAND")
        uow.commit()
    with store.write() as uow:
        save(uow, record_id, keys=(1, 2))
        inside = uow.records.candidates([2], excluding=None, block_cap=9).records
    with store.read() as uow:
        after = uow.records.get(record_id)
        found = uow.records.candidates([1], excluding=None, block_cap=9)
        nothing = uow.records.candidates([2], excluding=None, block_cap=9)

    assert [record.demographics for record in inside] == [DEMOGRAPHICS]
    assert found.records == (after,)
    assert after.demographics.names[0].family == "DURAND"
    assert nothing.records == ()


def test_every_way_to_a_record_leads_to_the_same(store: Store) -> None:
    with store.write() as uow:
        ids = [add_record(uow, value) for value in ("A", "B", EVERY_TEXT)]
        a, b, odd = (uow.records.get(record_id) for record_id in ids)

        assert uow.records.by_key(key("A")) == a
        assert uow.records.by_key(key(EVERY_TEXT)) == odd
        assert uow.records.by_native_euid("EUID-B") == b
        assert uow.records.by_keys([key(EVERY_TEXT), key("A"), key("missing")]) == {a.key: a, odd.key: odd}
        assert uow.records.by_ids({*ids, 99}) == {record.id: record for record in (a, b, odd)}
        assert list(uow.records.by_ids(ids[::-1])) == ids
        assert uow.records.all_ids() == ids


def test_an_identifier_may_name_several_people_one_after_another(store: Store) -> None:
    with store.write() as uow:
        second, first = add_record(uow, "A", epoch=1), add_record(uow, "A")
        add_record(uow, "B", epoch=2)
        add_record(uow, EVERY_TEXT, epoch=7)
        by_key = uow.records.by_keys([key("A"), key("A", 1), key("A", 2), key(EVERY_TEXT, 7)])

        assert [record.id for record in uow.records.epochs(*key("A")[:2])] == [first, second]
        assert [record.key.epoch for record in uow.records.epochs(*key(EVERY_TEXT)[:2])] == [7]
        assert uow.records.epochs("elsewhere", "A") == []
        assert list(by_key) == [key("A", 1), key("A"), key(EVERY_TEXT, 7)]
        assert [uow.records.by_key(key("A", epoch)) for epoch in range(3)] == [
            uow.records.get(first),
            uow.records.get(second),
            None,
        ]


def test_what_is_not_there_is_not_found(store: Store) -> None:
    with store.read() as uow:
        assert uow.records.by_key(key("A")) is None
        assert uow.records.by_native_euid("EUID-A") is None
        assert uow.records.by_keys([]) == {}
        assert uow.records.by_ids([]) == {}
        with pytest.raises(LookupError):
            uow.records.get(1)


def test_keys_are_compared_to_the_letter(store: Store) -> None:
    with store.write() as uow:
        for value in ("a", "A", "a ", "é", "e\u0301"):
            add_record(uow, value)

        assert len(uow.records.all_ids()) == 5


def test_a_key_and_a_native_identifier_belong_to_one_record(store: Store) -> None:
    with store.write() as uow:
        uow.records.add(key("A"), "EUID-A")
        uow.commit()
    with store.write() as uow, pytest.raises(StoreError):
        uow.records.add(key("A"), "EUID-B")
    with store.write() as uow, pytest.raises(StoreError):
        uow.records.add(key("B"), "EUID-A")
    with store.write() as uow, pytest.raises(StoreError):
        uow.records.add(key("A", 0), "EUID-C")


def test_more_records_than_a_statement_has_variables(store: Store) -> None:
    with store.write() as uow:
        known = [add_record(uow, f"R{n}") for n in range(20)]

        assert list(uow.records.by_ids(range(50_000))) == known
        assert len(uow.records.by_keys([key(f"R{n}") for n in range(20_000)])) == 20


def test_statements_come_back_in_the_order_they_were_recorded(store: Store) -> None:
    with store.write() as uow:
        message_id = add_message(uow)
        record_id, other = add_record(uow, "A"), add_record(uow, "B")
        versions = [
            statement("A", minutes=5),
            statement("A", minutes=-5, demographics=Demographics(sex=EVERY_TEXT)),
        ]
        ids = []
        for version in versions:
            ids.append(
                uow.records.add_statement(record_id, version, message_id=message_id, recorded_at=later(9))
            )
            uow.records.add_statement(other, statement("B"), message_id=message_id, recorded_at=NOON)
        found = uow.records.statements(record_id)

    assert found == [
        StoredStatement(statement_id, record_id, version, message_id, later(9))
        for statement_id, version in zip(ids, versions, strict=True)
    ]


def test_statements_are_found_by_record_by_number_and_by_message(store: Store) -> None:
    with store.write() as uow:
        messages = [add_message(uow) for _ in range(2)]
        a, b, silent = (add_record(uow, value) for value in "ABC")
        ids = [
            uow.records.add_statement(record_id, statement(value), message_id=message_id, recorded_at=NOON)
            for record_id, value, message_id in (
                (b, "B", messages[0]),
                (a, "A", messages[0]),
                (b, "B", messages[1]),
            )
        ]
        stored = [uow.records.statement(statement_id) for statement_id in ids]

        assert uow.records.statements_of([silent, b, a, 99]) == {a: [stored[1]], b: [stored[0], stored[2]]}
        assert uow.records.statements_of([]) == {}
        assert uow.records.stated_by(messages[0]) == stored[:2]
        assert uow.records.stated_by(99) == []
        assert uow.records.statement(99) is None


def test_an_erased_statement_says_nothing_more(store: Store) -> None:
    with store.write() as uow:
        message_id, record_id = add_message(uow), add_record(uow, "A")
        ids = [
            uow.records.add_statement(record_id, statement("A"), message_id=message_id, recorded_at=NOON)
            for _ in range(3)
        ]
        uow.records.erase_statements(ids[:2])
        uow.records.erase_statements([])
        about = uow.facts.add(replace(fact("A", "A"), statement_id=ids[0]))
        uow.commit()
    with store.read() as uow:
        kept = uow.records.statement(ids[2])

        assert kept is not None
        assert uow.records.statements(record_id) == [kept]
        assert uow.records.statements_of([record_id]) == {record_id: [kept]}
        assert uow.records.stated_by(message_id) == [kept]
        assert uow.records.statement(ids[0]) is None
        assert uow.facts.get(about) is not None
    with store.write() as uow:
        uow.records.erase_statements(ids)

        assert uow.records.statements_of([record_id]) == {}


def test_an_erased_record_is_a_key_and_nothing_else(store: Store) -> None:
    with store.write() as uow:
        erased, other = add_record(uow, "A", keys=(1, 2)), add_record(uow, "B", keys=(2, 3))
        save(uow, erased, keys=(2, 3))
        save(uow, other, keys=(3,))
        uow.commit()
    with store.read() as uow:
        uow.records.get(erased)
    with store.write() as uow:
        uow.records.erase(erased)
        with pytest.raises(LookupError):
            uow.records.erase(99)
        uow.commit()
    with store.read() as uow:
        found = uow.records.candidates((1, 2, 3), excluding=None, block_cap=9, past=True)

        assert uow.records.get(erased) == blank_record(erased, "A")
        assert uow.records.blocking_keys([erased, other]) == {other: frozenset({3})}
        assert [record.id for record in found.records] == [other]


def test_what_was_erased_and_rolled_back_is_still_there(store: Store) -> None:
    with store.write() as uow:
        message_id, record_id = add_message(uow), add_record(uow, "A", keys=(1, 2))
        saved = save(uow, record_id, keys=(2,))
        statement_id = uow.records.add_statement(
            record_id, statement("A"), message_id=message_id, recorded_at=NOON
        )
        uow.commit()
    with store.write() as uow:
        uow.records.erase(record_id)
        uow.records.erase_statements([statement_id])
        uow.inbox.blank([message_id])
    with store.read() as uow:
        message = uow.inbox.get(message_id)

        assert uow.records.get(record_id) == saved
        assert uow.records.candidates([1], excluding=None, block_cap=9, past=True).records == (saved,)
        assert len(uow.records.statements(record_id)) == 1
        assert message is not None
        assert message.envelope.raw


def test_a_statement_needs_its_record_and_its_message(store: Store) -> None:
    with store.write() as uow:
        message_id, record_id = add_message(uow), add_record(uow, "A")
        uow.commit()
    with store.write() as uow, pytest.raises(StoreError):
        uow.records.add_statement(99, statement("A"), message_id=message_id, recorded_at=NOON)
    with store.write() as uow, pytest.raises(StoreError):
        uow.records.add_statement(record_id, statement("A"), message_id=99, recorded_at=NOON)


def test_candidates_share_a_key(store: Store) -> None:
    with store.write() as uow:
        a = add_record(uow, "A", keys=(1, 2))
        b = add_record(uow, "B", keys=(2, -(2**63)))
        c = add_record(uow, "C", keys=(2**63 - 1,))
        add_record(uow, "D", keys=(4,))

        def candidates(*keys: int, excluding: int | None = None) -> list[int]:
            found = uow.records.candidates(keys, excluding=excluding, block_cap=10)
            assert found.oversized_blocks == 0
            return [record.id for record in found.records]

        assert candidates(1, 2, 2) == [a, b]
        assert candidates(1, 2, excluding=a) == [b]
        assert candidates(2**63 - 1, -(2**63)) == [b, c]
        assert candidates(77) == []
        assert candidates() == []


def test_candidates_are_whole_records(store: Store) -> None:
    with store.write() as uow:
        record_id = add_record(uow, "A", keys=(1,))
        found = uow.records.candidates([1], excluding=None, block_cap=10)

        assert found.records == (uow.records.get(record_id),)


def test_saving_again_replaces_the_blocking_keys(store: Store) -> None:
    with store.write() as uow:
        record_id = add_record(uow, "A", keys=(1, 2, 3))
        save(uow, record_id, keys=(3, 4, 4))
        found = {n: uow.records.candidates([n], excluding=None, block_cap=10).records for n in range(1, 5)}

    assert [n for n, records in found.items() if records] == [3, 4]


def test_the_blocking_keys_of_records(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A", keys=(1, -(2**63), 2**63 - 1)), add_record(uow, "B")
        uow.commit()
    with store.write() as uow:
        c = add_record(uow, "C", keys=(1, 1))

        assert uow.records.blocking_keys([c, b, a, 99]) == {
            a: frozenset({1, -(2**63), 2**63 - 1}),
            c: frozenset({1}),
        }
        assert uow.records.blocking_keys([]) == {}


def test_keys_once_held_are_asked_for_when_it_is_about_the_past(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A", keys=(1, 2, -(2**63))), add_record(uow, "B", keys=(2, 2**63 - 1))
        for keys in ((2,), (1,), (2, 3), (2,)):  # dropped, taken up again, and dropped again
            save(uow, a, keys=keys)
        save(uow, b)

        def candidates(*keys: int, past: bool, block_cap: int = 9) -> tuple[list[int], int]:
            found = uow.records.candidates(keys, excluding=None, block_cap=block_cap, past=past)
            return [record.id for record in found.records], found.oversized_blocks

        assert candidates(1, 3, 2**63 - 1, -(2**63), past=False) == ([], 0)
        assert candidates(1, 3, past=True) == ([a], 0)
        assert candidates(-(2**63), past=True) == ([a], 0)
        assert candidates(2**63 - 1, past=True) == ([b], 0)
        assert candidates(2, past=False) == ([a], 0)
        assert candidates(2, past=True) == ([a, b], 0)
        assert candidates(2, past=True, block_cap=2) == ([a, b], 0)
        assert candidates(1, 2, past=True, block_cap=1) == ([a], 1)


def test_a_block_above_the_cap_is_counted_and_not_opened(store: Store) -> None:
    with store.write() as uow:
        crowd = [add_record(uow, f"C{n}", keys=(1, 2) if n < 2 else (1,)) for n in range(4)]
        at_cap = uow.records.candidates([1, 2], excluding=crowd[0], block_cap=4)
        above = uow.records.candidates([1, 2], excluding=crowd[0], block_cap=3)

    assert [record.id for record in at_cap.records] == crowd[1:]
    assert at_cap.oversized_blocks == 0
    assert [record.id for record in above.records] == [crowd[1]]
    assert above.oversized_blocks == 1


def test_any_number_of_keys_can_be_asked(store: Store) -> None:
    with store.write() as uow:
        record_id = add_record(uow, "A", keys=tuple(range(700)))
        found = uow.records.candidates(range(650, 1_400), excluding=None, block_cap=1)

        past = uow.records.candidates(range(650, 1_400), excluding=None, block_cap=1, past=True)

    assert found.records == past.records
    assert [record.id for record in found.records] == [record_id]
