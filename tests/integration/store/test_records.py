"""Source records, statements and candidates, on every store."""

import pytest

from mpi.errors import StoreError
from mpi.identity.model import Demographics
from mpi.identity.traits import Traits, normalise
from mpi.index.ports import Store, StoredRecord, StoredStatement
from tests.integration.store.examples import (
    DEMOGRAPHICS,
    EVERY_TEXT,
    NOON,
    add_message,
    add_record,
    key,
    later,
    statement,
)


def test_a_record_nobody_stated_has_no_traits_and_no_first_time(store: Store) -> None:
    with store.write() as uow:
        record_id = uow.records.add(key("A"), "EUID-A")
        expected = StoredRecord(record_id, key("A"), "EUID-A", None, Demographics(), Traits())

        assert uow.records.get(record_id) == expected


def test_saving_the_fold_replaces_it(store: Store) -> None:
    with store.write() as uow:
        record_id = add_record(uow, "A", family="DURAND")
        uow.commit()
    with store.write() as uow:
        before = uow.records.get(record_id)
        uow.records.save_current(
            record_id,
            first_event_time=later(-5),
            demographics=DEMOGRAPHICS,
            traits=normalise(DEMOGRAPHICS),
            blocking_keys=(),
        )
        uow.commit()
    with store.read() as uow:
        after = uow.records.get(record_id)

    assert before.demographics != after.demographics
    assert after == StoredRecord(
        record_id, key("A"), "EUID-A", later(-5), DEMOGRAPHICS, normalise(DEMOGRAPHICS)
    )


def test_a_fold_that_was_rolled_back_is_never_read_again(store: Store) -> None:
    with store.write() as uow:
        record_id = add_record(uow, "A", keys=(1,), family="DURAND")
        uow.commit()
    with store.write() as uow:
        add_fold = uow.records.save_current
        add_fold(
            record_id, first_event_time=NOON, demographics=DEMOGRAPHICS, traits=Traits(), blocking_keys=(1, 2)
        )
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
        uow.records.save_current(
            record_id,
            first_event_time=NOON,
            demographics=DEMOGRAPHICS,
            traits=Traits(),
            blocking_keys=(3, 4, 4),
        )
        found = {n: uow.records.candidates([n], excluding=None, block_cap=10).records for n in range(1, 5)}

    assert [n for n, records in found.items() if records] == [3, 4]


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

    assert [record.id for record in found.records] == [record_id]
