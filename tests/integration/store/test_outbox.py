"""What addressees have to be told, and who asked over FHIR to be told, on every store."""

import threading
from dataclasses import replace

import pytest

from mpi.errors import StoreError
from mpi.index.ports import (
    Backlog,
    Channel,
    Delivery,
    Queue,
    Store,
    Subscription,
    SubscriptionStatus,
    UnitOfWork,
)
from tests.integration.store.examples import NOON, later

RIS, PACS = Queue("RIS"), Queue("PACS", Channel.WEBHOOK)


def queued(uow: UnitOfWork, *queues: Queue) -> list[int]:
    """A row for each, a minute after the other."""
    return [
        uow.outbox.add(
            consumer=queue.consumer,
            kind="pix_update",
            payload={"n": number, "é": [None]},
            created_at=later(number),
            channel=queue.channel,
        )
        for number, queue in enumerate(queues)
    ]


def test_the_outbox_is_read_in_order(store: Store) -> None:
    with store.write() as uow:
        ids = queued(uow, RIS, PACS, RIS, RIS)
        uow.commit()
    with store.read() as uow:
        rows = uow.outbox.page()

        assert [row.id for row in rows] == ids
        assert [row.payload for row in rows] == [{"n": number, "é": [None]} for number in range(4)]
        assert (rows[1].queue, rows[1].kind, rows[1].created_at) == (PACS, "pix_update", later(1))
        assert (rows[0].state, rows[0].attempts, rows[0].error) == (Delivery.PENDING, 0, "")
        assert uow.outbox.page(after=ids[1], limit=1) == [rows[2]]
        assert uow.outbox.page(consumer="PACS", state=Delivery.PENDING) == [rows[1]]
        assert uow.outbox.page(state=Delivery.DEAD) == []
        assert uow.outbox.get(ids[3]) == rows[3]
        assert uow.outbox.get(10**9) is None


def test_each_row_has_a_control_id_of_its_own_that_stays(store: Store) -> None:
    with store.write() as uow:
        ids = queued(uow, *[RIS] * 50)
        before = [row.control_id for row in uow.outbox.page()]
        row = uow.outbox.get(ids[0])
        assert row is not None
        uow.outbox.change(replace(row, attempts=3, next_attempt_at=later(9), control_id="ANOTHER"))
        after = [row.control_id for row in uow.outbox.page()]

    assert after == before
    assert len(set(before)) == 50
    assert all(1 <= len(control_id) <= 20 for control_id in before)


def test_what_a_consumer_had_been_told_by_an_instant(store: Store) -> None:
    with store.write() as uow:
        queued(uow, RIS, PACS, RIS, RIS)

        def told(consumer: str, minutes: float) -> list[int]:
            return [row.payload["n"] for row in uow.outbox.to(consumer, until=later(minutes))]

        assert told("RIS", 2) == [0, 2]
        assert told("RIS", 1.999) == [0]
        assert told("RIS", 99) == [0, 2, 3]
        assert told("PACS", 0) == []


def test_a_queue_is_due_when_its_first_pending_row_is(store: Store) -> None:
    with store.write() as uow:
        first, _, second = queued(uow, RIS, PACS, RIS)
        row = uow.outbox.get(first)
        assert row is not None
        assert uow.outbox.due(at=NOON) == [RIS, PACS]

        uow.outbox.change(replace(row, attempts=1, next_attempt_at=later(5), error="no connection"))
        assert uow.outbox.due(at=later(4.9)) == [PACS]
        assert uow.outbox.due(at=later(5)) == [RIS, PACS]
        assert [one.id for one in uow.outbox.head(RIS)] == [first, second]

        uow.outbox.change(replace(row, state=Delivery.DELIVERED, delivered_at=later(5)))
        assert [one.id for one in uow.outbox.head(RIS)] == [second]
        assert uow.outbox.due(at=NOON) == [PACS, RIS]
        found = uow.outbox.get(first)
        assert found is not None
        assert (found.state, found.delivered_at, found.next_attempt_at) == (
            Delivery.DELIVERED,
            later(5),
            None,
        )


def test_a_row_nobody_queued_cannot_change(store: Store) -> None:
    with store.write() as uow:
        (row_id,) = queued(uow, RIS)
        row = uow.outbox.get(row_id)
        assert row is not None
        with pytest.raises(LookupError):
            uow.outbox.change(replace(row, id=10**9))


def test_who_is_paused_is_not_due(store: Store) -> None:
    with store.write() as uow:
        queued(uow, RIS, PACS)

        assert uow.outbox.pause("RIS", at=NOON, by="user:anne")
        assert not uow.outbox.pause("RIS", at=later(1), by="user:boris")
        assert uow.outbox.due(at=NOON) == [PACS]
        assert uow.outbox.paused() == {"RIS": NOON}
        assert uow.outbox.resume("RIS")
        assert not uow.outbox.resume("RIS")
        assert uow.outbox.due(at=NOON) == [RIS, PACS]


def test_backlogs_count_what_waits_and_what_was_given_up(store: Store) -> None:
    with store.write() as uow:
        ids = queued(uow, RIS, RIS, PACS, RIS, RIS)
        for row_id, state in zip(ids, (Delivery.DEAD, Delivery.DELIVERED, Delivery.DEAD), strict=False):
            row = uow.outbox.get(row_id)
            assert row is not None
            uow.outbox.change(replace(row, state=state))

        assert uow.outbox.backlogs() == [Backlog(PACS, 0, 1, None), Backlog(RIS, 2, 1, later(3))]


A, B, C, D = (("1.2", "a"), ("1.2", "é"), ("1.3", "c"), ("1.3", "d"))


def test_an_audience_is_last_told_of_one_set_for_each_identifier(store: Store) -> None:
    with store.write() as uow:
        uow.outbox.note_told("x", instead=[], sets=[frozenset((A, B)), frozenset((C, D))])
        uow.outbox.note_told("y", instead=[], sets=[frozenset((B, C))])

        assert uow.outbox.last_told("x", [B]) == [frozenset((A, B))]
        assert uow.outbox.last_told("x", [D, B]) == [frozenset((A, B)), frozenset((C, D))]
        assert uow.outbox.last_told("y", [A, D]) == []
        assert uow.outbox.last_told("x", []) == []

        uow.outbox.note_told("x", instead=[frozenset((A, B)), frozenset((C, D))], sets=[frozenset((A, C, D))])
        assert uow.outbox.last_told("x", [A, B, C, D]) == [frozenset((A, C, D))]
        assert uow.outbox.last_told("x", [B]) == []
        assert uow.outbox.last_told("y", [B]) == [frozenset((B, C))]
        uow.commit()
    with store.read() as uow:
        assert uow.outbox.last_told("x", [A]) == [frozenset((A, C, D))]


def test_an_identifier_is_in_one_of_the_sets_an_audience_was_told_of(store: Store) -> None:
    with store.write() as uow:
        uow.outbox.note_told("x", instead=[], sets=[frozenset((A, B))])
        with pytest.raises(StoreError):
            uow.outbox.note_told("x", instead=[], sets=[frozenset((B, C))])


def test_a_subscription_is_kept_until_it_ends(store: Store) -> None:
    asked = Subscription(
        0,
        "portal",
        frozenset({"1.2", "1.3"}),
        "Patient?_id=é",
        "https://portal.test/hook",
        "Authorization: Bearer x",
        "",
        SubscriptionStatus.ACTIVE,
        NOON,
    )
    with store.write() as uow:
        first = uow.subscriptions.add(asked)
        second = uow.subscriptions.add(replace(asked, owner="other", status=SubscriptionStatus.REQUESTED))
        uow.commit()
    with store.write() as uow:
        assert uow.subscriptions.get(first) == replace(asked, id=first)
        assert uow.subscriptions.get(10**9) is None
        assert [one.id for one in uow.subscriptions.all()] == [first, second]
        assert [one.id for one in uow.subscriptions.all(owner="other")] == [second]
        assert [one.id for one in uow.subscriptions.active()] == [first]

        uow.subscriptions.change(first, status=SubscriptionStatus.ERROR, error="HTTP 410")
        uow.subscriptions.change(second, status=SubscriptionStatus.ACTIVE)
        assert [(one.status, one.error) for one in uow.subscriptions.all()] == [
            (SubscriptionStatus.ERROR, "HTTP 410"),
            (SubscriptionStatus.ACTIVE, ""),
        ]
        with pytest.raises(LookupError):
            uow.subscriptions.change(10**9, status=SubscriptionStatus.OFF)


def test_a_claim_is_one_holders_at_a_time(store: Store) -> None:
    seen = []

    def try_it(name: str) -> None:
        with store.claim(name) as mine:
            seen.append(mine)

    with store.claim("queue/1") as mine:
        assert mine
        for name in ("queue/1", "queue/2"):
            thread = threading.Thread(target=try_it, args=(name,))
            thread.start()
            thread.join()
    try_it("queue/1")

    assert seen == [False, True, True]
