"""Edges, facts and memberships, on every store."""

from dataclasses import replace

import pytest

from mpi.errors import StoreError
from mpi.identity.model import RecordKey
from mpi.index.events import FactKind
from mpi.index.ports import Membership, Store
from tests.integration.store.examples import (
    EVERY_TEXT,
    NOON,
    add_message,
    add_record,
    edge,
    fact,
    key,
    later,
)


def test_edges_come_back_to_the_last_bit(store: Store) -> None:
    with store.write() as uow:
        a, b, c = (add_record(uow, value) for value in "ABC")
        uow.edges.replace(b, [edge(b, c, bits=-1e-300), edge(a, b, bits=float("-inf"))])
        uow.commit()
    with store.read() as uow:
        assert uow.edges.touching([b]) == [edge(a, b, bits=float("-inf")), edge(b, c, bits=-1e-300)]
        assert uow.edges.touching([a, c]) == uow.edges.touching([b])
        assert uow.edges.touching([]) == []


def test_replacing_drops_every_edge_of_the_record_and_no_other(store: Store) -> None:
    with store.write() as uow:
        a, b, c = (add_record(uow, value) for value in "ABC")
        uow.edges.replace(a, [edge(a, b), edge(a, c)])
        uow.edges.replace(b, [edge(b, c)])
        uow.commit()
    with store.read() as uow:
        assert uow.edges.touching([a, b, c]) == [edge(a, c), edge(b, c)]


def test_an_edge_needs_its_records(store: Store) -> None:
    with store.write() as uow, pytest.raises(StoreError):
        uow.edges.replace(1, [edge(1, 2)])


def test_a_fact_comes_back_whole(store: Store) -> None:
    with store.write() as uow:
        stated = replace(fact("A", "B", message_id=add_message(uow)), reason=EVERY_TEXT, actor=EVERY_TEXT)
        fact_id = uow.facts.add(stated)

        assert uow.facts.get(fact_id) == replace(stated, id=fact_id)
        assert uow.facts.get(fact_id + 1) is None


def test_standing_facts_touch_a_key_and_are_not_withdrawn(store: Store) -> None:
    elsewhere = RecordKey("2.999", "A")
    with store.write() as uow:
        ab = uow.facts.add(fact("A", "B"))
        bc = uow.facts.add(fact("B", "C", kind=FactKind.MERGED))
        uow.facts.add(replace(fact("X", "Y"), left=elsewhere))
        gone = uow.facts.add(fact("A", "C", kind=FactKind.DIFFERENT))
        uow.facts.withdraw(gone, at=later(5), by="user:zoé")

        def standing(*keys: RecordKey) -> list[int]:
            return [item.id for item in uow.facts.standing(keys)]

        assert standing(key("A")) == [ab]
        assert standing(key("B")) == [ab, bc]
        assert standing(key("C"), key("A"), key("nobody")) == [ab, bc]
        assert standing() == []
        assert [item.id for item in uow.facts.ever([key("A")])] == [ab, gone]
        assert uow.facts.ever([]) == []
        withdrawn = uow.facts.get(gone)
        assert withdrawn is not None
        assert (withdrawn.withdrawn_at, withdrawn.withdrawn_by) == (later(5), "user:zoé")


def test_a_fact_is_withdrawn_once(store: Store) -> None:
    with store.write() as uow:
        fact_id = uow.facts.add(fact("A", "B"))
        uow.facts.withdraw(fact_id, at=later(5), by="user:a")
        for wrong in (fact_id, fact_id + 1):
            with pytest.raises(LookupError):
                uow.facts.withdraw(wrong, at=later(6), by="user:b")


def test_facts_are_paged(store: Store) -> None:
    with store.write() as uow:
        ids = [uow.facts.add(fact("A", f"B{n}")) for n in range(5)]

        assert [item.id for item in uow.facts.page(after=ids[0], limit=3)] == ids[1:4]
        assert [item.id for item in uow.facts.page()] == ids


def test_moving_ends_one_membership_and_begins_another(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        uow.memberships.move(a, "E1", at=NOON)
        uow.memberships.move(b, "E1", at=later(5))
        uow.memberships.move(a, "E2", at=later(10))
        uow.commit()
    with store.read() as uow:
        assert uow.memberships.current([a, b, 99]) == {a: "E2", b: "E1"}
        assert uow.memberships.current([]) == {}
        assert uow.memberships.members("E1") == [b]
        assert uow.memberships.members("E2") == [a]
        assert uow.memberships.euid_of(a) == "E2"
        assert uow.memberships.euid_of(99) is None
        assert uow.memberships.history(a) == [
            Membership(a, "E1", NOON, later(10)),
            Membership(a, "E2", later(10), None),
        ]


@pytest.mark.parametrize(
    ("minutes", "expected_members", "expected_euid"),
    [
        pytest.param(-0.001, [], None, id="before the first"),
        pytest.param(0, ["A"], "E1", id="the start belongs"),
        pytest.param(9.999, ["A", "B"], "E1", id="until"),
        pytest.param(10, ["B"], "E2", id="the end does not"),
        pytest.param(999, ["B"], "E2", id="still"),
    ],
)
def test_memberships_as_of_an_instant(
    store: Store, minutes: float, expected_members: list[str], expected_euid: str | None
) -> None:
    with store.write() as uow:
        ids = {value: add_record(uow, value) for value in "AB"}
        uow.memberships.move(ids["A"], "E1", at=NOON)
        uow.memberships.move(ids["B"], "E1", at=later(5))
        uow.memberships.move(ids["A"], "E2", at=later(10))

        assert uow.memberships.members("E1", as_of=later(minutes)) == [
            ids[value] for value in expected_members
        ]
        assert uow.memberships.euid_of(ids["A"], as_of=later(minutes)) == expected_euid


def test_a_clock_that_goes_back_makes_no_overlap(store: Store) -> None:
    with store.write() as uow:
        a = add_record(uow, "A")
        for euid, minutes in (("E1", 0), ("E2", 10), ("E3", 4), ("E1", 10), ("E1", 10)):
            uow.memberships.move(a, euid, at=later(minutes))

        history = uow.memberships.history(a)
        assert [(m.euid, m.valid_from, m.valid_to) for m in history] == [
            ("E1", NOON, later(10)),
            ("E2", later(10), later(10)),
            ("E3", later(10), later(10)),
            ("E1", later(10), later(10)),
            ("E1", later(10), None),
        ]
        assert uow.memberships.euid_of(a, as_of=later(4)) == "E1"
        assert uow.memberships.euid_of(a, as_of=later(10)) == "E1"
        assert uow.memberships.members("E1", as_of=later(10)) == [a]
        assert uow.memberships.members("E3", as_of=later(10)) == []
