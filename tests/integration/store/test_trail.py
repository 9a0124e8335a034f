"""The audit chain and the API keys, on every store."""

from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

import pytest

from mpi.errors import StoreError
from mpi.index.audit import first_break
from mpi.index.ports import Store, StoredKey
from tests.integration.store.examples import NOON, event, later


def test_the_chain_holds_across_units_of_work(store: Store) -> None:
    for start in (1, 4):
        with store.write() as uow:
            for number in range(start, start + 3):
                uow.audit.append(event(number))
            uow.commit()
    with store.read() as uow:
        chain = list(uow.audit.chain())

    assert [item.sequence for item in chain] == [1, 2, 3, 4, 5, 6]
    assert [item.event for item in chain] == [event(number) for number in range(1, 7)]
    assert first_break(chain) is None


def test_any_tampering_breaks_the_chain(store: Store) -> None:
    with store.write() as uow:
        for number in range(1, 5):
            uow.audit.append(event(number))
        chain = list(uow.audit.chain())

    forged = replace(chain[1], event=replace(chain[1].event, actor="user:other"))
    assert first_break([chain[0], forged, *chain[2:]]) == 2
    assert first_break([chain[0], *chain[2:]]) == 2
    assert first_break([chain[0], chain[2], chain[1], chain[3]]) == 2


def test_the_hash_does_not_depend_on_how_the_instant_was_written(store: Store) -> None:
    in_paris = replace(event(1), at=NOON.astimezone(timezone(timedelta(hours=1))))
    with store.write() as uow:
        uow.audit.append(in_paris)
        uow.commit()
    with store.read() as uow:
        assert first_break(uow.audit.chain()) is None


def test_a_long_chain_is_read_in_pages(store: Store) -> None:
    with store.write() as uow:
        for number in range(1, 1_003):
            uow.audit.append(event(number % 50))

        assert first_break(uow.audit.chain()) is None
        assert sum(1 for _ in uow.audit.chain()) == 1_002


def test_an_api_key_is_found_by_the_hash_of_its_secret(store: Store) -> None:
    with store.write() as uow:
        key_id = uow.keys.add(name="portal", secret_hash="h1", role="reader", domains=["1.2"], at=NOON)
        uow.commit()
    with store.read() as uow:
        expected = StoredKey(key_id, "portal", "reader", ("1.2",), NOON, None)

        assert uow.keys.find("h1") == expected
        assert uow.keys.find("h2") is None
        assert uow.keys.all() == [expected]


def test_a_revoked_key_stays_on_record_and_its_name_is_free(store: Store) -> None:
    with store.write() as uow:
        uow.keys.add(name="portal", secret_hash="h1", role="reader", domains=[], at=NOON)

        assert uow.keys.revoke("portal", at=later(1))
        assert not uow.keys.revoke("portal", at=later(2))
        assert not uow.keys.revoke("other", at=later(2))
        uow.keys.add(name="portal", secret_hash="h2", role="reader", domains=[], at=later(3))
        assert [(key.name, key.revoked_at) for key in uow.keys.all()] == [
            ("portal", later(1)),
            ("portal", None),
        ]
        found = uow.keys.find("h1")
        assert found is not None
        assert found.revoked_at == later(1)


@pytest.mark.parametrize(("name", "secret_hash"), [("portal", "h2"), ("other", "h1")])
def test_a_name_and_a_secret_belong_to_one_key(store: Store, name: str, secret_hash: str) -> None:
    with store.write() as uow:
        uow.keys.add(name="portal", secret_hash="h1", role="reader", domains=[], at=NOON)
        uow.commit()
    with store.write() as uow, pytest.raises(StoreError):
        uow.keys.add(name=name, secret_hash=secret_hash, role="reader", domains=[], at=NOON)


def test_the_newest_events_of_a_span(store: Store) -> None:
    with store.write() as uow:
        for number in range(1, 8):
            uow.audit.append(event(number))
        uow.commit()
    with store.read() as uow:

        def numbers(**wanted: Any) -> list[int]:
            return [item.sequence for item in uow.audit.newest(**wanted)]

        assert numbers() == [7, 6, 5, 4, 3, 2, 1]
        assert numbers(limit=2) == [7, 6]
        assert numbers(before=4, limit=2) == [3, 2]
        assert numbers(since=later(3), until=later(6)) == [5, 4, 3]
        assert numbers(since=later(3), until=later(6), before=5) == [4, 3]
        assert numbers(since=later(99)) == []
        assert uow.audit.get(3) == list(uow.audit.chain())[2]
        assert uow.audit.get(8) is None
