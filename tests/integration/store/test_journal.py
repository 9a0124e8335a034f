"""The journal, on every store."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mpi.errors import StoreError
from mpi.index.events import MessageState
from mpi.index.ports import Arrival, Store, StoredMessage
from tests.integration.store.examples import (
    EVERY_TEXT,
    NOON,
    add_message,
    add_record,
    envelope,
    later,
    statement,
)


def test_a_message_comes_back_byte_for_byte(store: Store) -> None:
    sent = replace(envelope(), application=EVERY_TEXT, control_id=EVERY_TEXT)
    with store.write() as uow:
        first = add_message(uow)
        message_id = uow.inbox.add(
            sent,
            received_at=NOON,
            state=MessageState.APPLIED,
            place="PID-5",
            problem="odd",
            error="InvalidIdentity",
            warnings=("PID-7: tolerated",),
            reply=b"MSA|AA\r\xe9\x00",
            replay_of=first,
        )
        uow.commit()
    with store.read() as uow:
        found = uow.inbox.get(message_id)

    assert found == StoredMessage(
        id=message_id,
        envelope=sent,
        received_at=NOON,
        state=MessageState.APPLIED,
        place="PID-5",
        problem="odd",
        error="InvalidIdentity",
        reply=b"MSA|AA\r\xe9\x00",
        warnings=("PID-7: tolerated",),
        replay_of=first,
    )


def test_only_one_message_can_be_the_original_of_its_name(store: Store) -> None:
    with store.write() as uow:
        first = uow.inbox.add(envelope("M1"), received_at=NOON, state=MessageState.APPLIED)
        again = uow.inbox.add(envelope("M1"), received_at=NOON, state=MessageState.DUPLICATE, original=False)
        uow.commit()
    with store.write() as uow, pytest.raises(StoreError):
        uow.inbox.add(envelope("M1"), received_at=NOON, state=MessageState.APPLIED)
    with store.read() as uow:
        original = uow.inbox.original(envelope("M1").dedupe_key)

    assert again != first
    assert original is not None
    assert original.id == first


def test_a_name_given_up_is_free_for_the_next_message(store: Store) -> None:
    with store.write() as uow:
        first = uow.inbox.add(envelope("M1"), received_at=NOON, state=MessageState.QUARANTINED)
        uow.inbox.give_up_name(first)
        second = uow.inbox.add(envelope("M1"), received_at=NOON, state=MessageState.APPLIED)
        uow.commit()
    with store.read() as uow:
        original, kept = uow.inbox.original(envelope("M1").dedupe_key), uow.inbox.get(first)

    assert original is not None
    assert kept is not None
    assert (original.id, kept.state) == (second, MessageState.QUARANTINED)


def test_replays_name_what_they_replay(store: Store) -> None:
    with store.write() as uow:
        first = add_message(uow, "M1")
        again = uow.inbox.add(
            envelope("M1"), received_at=NOON, state=MessageState.APPLIED, original=False, replay_of=first
        )

        assert [message.id for message in uow.inbox.replays_of(first)] == [again]
        assert uow.inbox.replays_of(again) == []


def test_the_name_of_a_message_holds_every_character_of_it(store: Store) -> None:
    with store.write() as uow:
        for control_id in ("M1", "m1", "M1 ", EVERY_TEXT, EVERY_TEXT.replace("\x00", ""), "M" * 10_000):
            add_message(uow, control_id)
        found = uow.inbox.original(envelope(EVERY_TEXT).dedupe_key)

    assert found is not None
    assert found.envelope.control_id == EVERY_TEXT


def test_messages_without_a_control_id_are_never_duplicates(store: Store) -> None:
    with store.write() as uow:
        add_message(uow)
        add_message(uow)

        assert uow.inbox.original("") is None
        assert uow.inbox.original(envelope("never").dedupe_key) is None


def test_pages_go_by_ascending_number_and_filter(store: Store) -> None:
    with store.write() as uow:
        ids = [
            uow.inbox.add(
                envelope(f"M{n}", source="PACS" if n % 2 else "SIH"),
                received_at=later(n),
                state=MessageState.REFUSED if n > 3 else MessageState.APPLIED,
            )
            for n in range(6)
        ]

        def page(**asked: object) -> list[int]:
            return [message.id for message in uow.inbox.page(**asked)]  # type: ignore[arg-type]

        assert page() == ids
        assert page(after=ids[1], limit=2) == ids[2:4]
        assert page(state=MessageState.REFUSED) == ids[4:]
        assert page(source="PACS") == ids[1::2]
        assert page(source="PACS", state=MessageState.REFUSED) == [ids[5]]
        assert page(after=ids[-1]) == []


def test_counts_are_by_source_and_state(store: Store) -> None:
    with store.write() as uow:
        for n in range(3):
            uow.inbox.add(envelope(f"M{n}"), received_at=NOON, state=MessageState.APPLIED)
        uow.inbox.add(envelope(source="PACS"), received_at=NOON, state=MessageState.QUARANTINED)
        counts = uow.inbox.counts()

    none = dict.fromkeys(MessageState, 0)
    assert counts == {
        "SIH": {**none, MessageState.APPLIED: 3},
        "PACS": {**none, MessageState.QUARANTINED: 1},
    }


def test_a_blanked_message_its_repetitions_and_replays_are_known_to_have_been_received(store: Store) -> None:
    with store.write() as uow:
        ids = [
            uow.inbox.add(envelope(f"M{n}"), received_at=NOON, state=MessageState.APPLIED, reply=b"MSA|AA")
            for n in range(2)
        ]
        uow.inbox.add(envelope("M0"), received_at=NOON, state=MessageState.DUPLICATE, original=False)
        uow.inbox.add(
            envelope("R1"), received_at=NOON, state=MessageState.APPLIED, replay_of=ids[1], original=False
        )
        uow.inbox.add(envelope("M9"), received_at=NOON, state=MessageState.APPLIED, reply=b"MSA|AA")
        before = uow.inbox.page()
        uow.inbox.blank(ids)
        uow.inbox.blank([])
        uow.commit()
    with store.read() as uow:
        after = uow.inbox.page()
        original = uow.inbox.original(envelope("M0").dedupe_key)

    assert after == [
        *(replace(m, envelope=replace(m.envelope, raw=b""), reply=b"") for m in before[:4]),
        before[4],
    ]
    assert original is None


def test_a_source_nobody_configured_may_claim_any_name(store: Store) -> None:
    claimed = "é" * 10_000
    with store.write() as uow:
        uow.inbox.add(envelope(source=claimed), received_at=NOON, state=MessageState.REFUSED)
        found = uow.inbox.page(source=claimed)

    assert [claimed.startswith(message.envelope.source) for message in found] == [True]


def test_each_source_was_last_heard_of_when_its_last_message_came(store: Store) -> None:
    with store.write() as uow:
        for minutes, source, state in [
            (0, "PACS", MessageState.APPLIED),
            (3, "SIH", MessageState.QUARANTINED),
            (1, "SIH", MessageState.DUPLICATE),
        ]:
            uow.inbox.add(envelope("", source=source), received_at=later(minutes), state=state)

        assert uow.inbox.last_received() == {
            "PACS": (NOON, MessageState.APPLIED),
            "SIH": (later(1), MessageState.DUPLICATE),
        }


def test_messages_that_were_stopped_are_counted_by_place_and_problem(store: Store) -> None:
    with store.write() as uow:
        for source, place, state in [
            ("SIH", "PID-7", MessageState.QUARANTINED),
            ("SIH", "PID-7", MessageState.QUARANTINED),
            ("SIH", EVERY_TEXT, MessageState.QUARANTINED),
            ("SIH", "MSH-9", MessageState.REFUSED),
            ("PACS", "PID-7", MessageState.QUARANTINED),
        ]:
            uow.inbox.add(
                envelope("", source=source), received_at=NOON, state=state, place=place, problem="odd"
            )

        stopped = MessageState.QUARANTINED
        assert uow.inbox.stopped() == {
            "SIH": {
                (stopped, "PID-7", "odd"): 2,
                (stopped, EVERY_TEXT, "odd"): 1,
                (MessageState.REFUSED, "MSH-9", "odd"): 1,
            },
            "PACS": {(stopped, "PID-7", "odd"): 1},
        }


def test_messages_are_counted_by_the_hour_they_came_in_and_what_they_are_now(store: Store) -> None:
    states = MessageState
    with store.write() as uow:
        added = [
            uow.inbox.add(envelope(""), received_at=later(minutes), state=state, place="PID-7")
            for minutes, state in [
                (-61, states.APPLIED),
                (0, states.QUARANTINED),
                (59, states.QUARANTINED),
                (60, states.PARKED),
                (61, states.APPLIED),
            ]
        ]
        uow.commit()
    with store.write() as uow:
        uow.inbox.settle(added[1], states.REPAIRED, at=later(200), by="user:ana")
        uow.inbox.release(added[3], states.APPLIED, at=later(200), by="message/2")

        by_hour = uow.inbox.by_hour(later(30))["SIH"]
        nobody = uow.inbox.by_hour(later(200))
        counts = {state: n for state, n in uow.inbox.counts()["SIH"].items() if n}
        stopped = uow.inbox.stopped()

    found = {hour: {state: n for state, n in some.items() if n} for hour, some in by_hour.items()}
    hour = NOON.replace(microsecond=0)
    assert found == {
        hour: {states.QUARANTINED: 1, states.REPAIRED: 1},
        hour + timedelta(hours=1): {states.APPLIED: 2},
    }
    assert nobody == {}
    assert counts == {states.APPLIED: 3, states.QUARANTINED: 1, states.REPAIRED: 1}
    assert stopped == {"SIH": {(states.QUARANTINED, "PID-7", ""): 1}}


def test_what_is_rolled_back_is_not_counted(store: Store) -> None:
    with store.write() as uow:
        uow.inbox.add(envelope(""), received_at=NOON, state=MessageState.APPLIED)

    with store.read() as uow:
        assert (uow.inbox.counts(), uow.inbox.by_hour(NOON)) == ({}, {})


def test_the_last_messages_tell_what_was_tolerated_and_when_their_latest_event_was(store: Store) -> None:
    with store.write() as uow:
        add_message(uow)
        record_id = add_record(uow, "A")
        told = uow.inbox.add(
            envelope("M2"), received_at=later(9), state=MessageState.APPLIED, warnings=("PID-5: odd",)
        )
        erased = add_message(uow)
        for minutes, by in ((2, told), (5, told), (7, erased)):
            last = uow.records.add_statement(
                record_id, statement("A", minutes=minutes), message_id=by, recorded_at=NOON
            )
        uow.records.erase_statements([last])

        assert uow.inbox.recent(2) == [
            Arrival("SIH", NOON, (), None),
            Arrival("SIH", later(9), ("PID-5: odd",), later(5)),
        ]
        assert len(uow.inbox.recent(9)) == 3


def test_the_number_a_source_gave_a_message_comes_back(store: Store) -> None:
    with store.write() as uow:
        numbered = uow.inbox.add(
            replace(envelope(), sequence=2_000_000_000), received_at=NOON, state=MessageState.APPLIED
        )
        found = uow.inbox.get(numbered)

    assert found is not None
    assert found.envelope.sequence == 2_000_000_000
