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
    move,
    statement,
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
        message_id = add_message(uow)
        statement_id = uow.records.add_statement(
            add_record(uow, "A"), statement("A"), message_id=message_id, recorded_at=NOON
        )
        stated = replace(
            fact("A", "B", message_id=message_id),
            left=key("A", 2),
            right=key("B", 1),
            reason=EVERY_TEXT,
            actor=EVERY_TEXT,
            statement_id=statement_id,
            act_id=uow.facts.add(fact("A", "C")),
            seen={"family_name": "exact", "é": "missing"},
            second_needed=True,
            confirmed_at=later(2),
            confirmed_by=EVERY_TEXT,
            withdrawal_asked_by=EVERY_TEXT,
            withdrawn_at=later(3),
            withdrawn_by=EVERY_TEXT,
        )
        fact_id = uow.facts.add(stated)
        uow.commit()
    with store.read() as uow:
        assert uow.facts.get(fact_id) == replace(stated, id=fact_id)
        assert uow.facts.get(fact_id + 1) is None


@pytest.mark.parametrize("named", ["message_id", "statement_id", "act_id"])
def test_a_fact_names_only_what_is_there(store: Store, named: str) -> None:
    with store.write() as uow, pytest.raises(StoreError):
        uow.facts.add(replace(fact("A", "B"), **{named: 99}))


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


def test_facts_are_about_one_epoch_of_an_identifier(store: Store) -> None:
    with store.write() as uow:
        first = uow.facts.add(fact("A", "B"))
        second = uow.facts.add(replace(fact("A", "B"), left=key("A", 1), right=key("A", 1)))

        assert [item.id for item in uow.facts.standing([key("A")])] == [first]
        assert [item.id for item in uow.facts.standing([key("A", 1), key("B", 1)])] == [second]
        assert [item.id for item in uow.facts.ever([key("A", 1), key("B")])] == [first, second]


def test_a_fact_that_needs_a_second_person_stands_once_confirmed(store: Store) -> None:
    with store.write() as uow:
        fact_id = uow.facts.add(replace(fact("A", "B"), second_needed=True))
        proposed = uow.facts.standing([key("A")]), uow.facts.ever([key("A")])
        uow.facts.confirm(fact_id, at=later(3), by="user:é")
        confirmed = uow.facts.standing([key("A")])

        assert [len(found) for found in proposed] == [0, 1]
        assert [(item.id, item.confirmed_at, item.confirmed_by) for item in confirmed] == [
            (fact_id, later(3), "user:é")
        ]
        with pytest.raises(LookupError):
            uow.facts.confirm(fact_id, at=later(4), by="user:b")


def test_only_what_waits_for_a_second_person_is_confirmed(store: Store) -> None:
    with store.write() as uow:
        alone = uow.facts.add(fact("A", "B"))
        gone = uow.facts.add(replace(fact("A", "C"), second_needed=True))
        uow.facts.withdraw(gone, at=later(1), by="user:a")
        for wrong in (alone, gone, gone + 1):
            with pytest.raises(LookupError):
                uow.facts.confirm(wrong, at=later(2), by="user:b")


def test_a_fact_whose_withdrawal_is_asked_stands_until_it_is_withdrawn(store: Store) -> None:
    with store.write() as uow:
        fact_id = uow.facts.add(fact("A", "B"))
        uow.facts.ask_withdrawal(fact_id, by="user:é")

        assert [item.withdrawal_asked_by for item in uow.facts.standing([key("A")])] == ["user:é"]
        uow.facts.withdraw(fact_id, at=later(1), by="user:b")
        for wrong in (fact_id, fact_id + 1):
            with pytest.raises(LookupError):
                uow.facts.ask_withdrawal(wrong, by="user:c")


def test_an_act_is_found_by_its_first_fact(store: Store) -> None:
    with store.write() as uow:
        first, other = uow.facts.add(fact("A", "B")), uow.facts.add(fact("A", "C"))
        rest = [uow.facts.add(replace(fact("A", f"D{n}"), act_id=first)) for n in range(2)]
        uow.facts.withdraw(rest[0], at=later(1), by="user:a")

        def of_act(fact_id: int) -> list[int]:
            return [item.id for item in uow.facts.of_act(fact_id)]

        assert of_act(first) == [first, *rest]
        assert of_act(other) == [other]
        assert of_act(99) == []


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
        move(uow, a, "E1")
        move(uow, b, "E1", at=later(5))
        uow.memberships.move(a, "E2", at=later(10), cause="fact/3", model_version="test-2")
        uow.commit()
    with store.read() as uow:
        assert uow.memberships.current([a, b, 99]) == {a: "E2", b: "E1"}
        assert uow.memberships.current([]) == {}
        assert uow.memberships.members("E1") == [b]
        assert uow.memberships.members("E2") == [a]
        assert uow.memberships.euid_of(a) == "E2"
        assert uow.memberships.euid_of(99) is None
        assert uow.memberships.ever_members("E1") == [a, b]
        assert uow.memberships.ever_members("E3") == []
        assert uow.memberships.history(a) == [
            Membership(a, "E1", NOON, later(10), "message/1", "test-1"),
            Membership(a, "E2", later(10), None, "fact/3", "test-2"),
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
        move(uow, ids["A"], "E1")
        move(uow, ids["B"], "E1", at=later(5))
        move(uow, ids["A"], "E2", at=later(10))

        assert uow.memberships.members("E1", as_of=later(minutes)) == [
            ids[value] for value in expected_members
        ]
        assert uow.memberships.euid_of(ids["A"], as_of=later(minutes)) == expected_euid


def test_a_clock_that_goes_back_makes_no_overlap(store: Store) -> None:
    with store.write() as uow:
        a = add_record(uow, "A")
        for euid, minutes in (("E1", 0), ("E2", 10), ("E3", 4), ("E1", 10), ("E1", 10)):
            move(uow, a, euid, at=later(minutes))

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
