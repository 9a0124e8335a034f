"""The relay over a store in memory: order, retries, giving up, pausing, and what is not to be told any more."""

import threading
from datetime import timedelta

import pytest

from mpi.errors import StoreError, UnknownIdentifier
from mpi.identity.model import RecordKey
from mpi.index.notices import CORRECTION, queue_update
from mpi.index.parties import Consumer
from mpi.index.ports import Channel, Delivery, Queue
from mpi.index.review import Verdict as Said
from mpi.notify import relay as relay_module
from mpi.notify.desk import NEWER, Desk
from mpi.notify.relay import NOT_TO_BE_SEEN, PROTECTED, Relay
from mpi.notify.retries import RetryPolicy
from mpi.notify.sender import DELIVERED, Addressee, Outcome, Verdict
from tests.fakes import MemoryStore
from tests.federation import Clock, World, authority, directory, key, person

EVERYWHERE = frozenset(authority(site).universal_id for site in "ABC")
PORTAL, OTHER = Queue("portal"), Queue("other")
AWAY = Outcome(Verdict.UNREACHABLE, "no connection")
NOT_NOW = Outcome(Verdict.LATER, "AR")
NEVER = Outcome(Verdict.REFUSED, "AE 204")
POLICY = RetryPolicy(10.0, 80.0, 4, timedelta(days=7), lambda: 1.0)


class Scripted:
    """A sender that answers as it is told to, then confirms everything."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.sent = []
        self.closed = 0

    def send(self, row):
        self.sent.append(row)
        return self.outcomes.pop(0) if self.outcomes else DELIVERED

    def close(self):
        self.closed += 1


class Still:
    """A clock that stands still until it is moved."""

    def __init__(self):
        self.at = Clock().at

    def __call__(self):
        return self.at

    def pass_seconds(self, seconds):
        self.at += timedelta(seconds=seconds)


class Scene:
    def __init__(self, *outcomes, policy=POLICY):
        consumers = [
            Consumer("portal", "PORTAL", "FED", EVERYWHERE, "127.0.0.1:1"),
            Consumer("other", "OTHER", "FED", EVERYWHERE, "127.0.0.1:2"),
        ]
        self.store = MemoryStore()
        self.world = World(self.store, parties=directory(consumers=consumers))
        self.clock = Still()
        self.sender = Scripted(*outcomes)
        self.addressees = {PORTAL: Addressee(self.sender, EVERYWHERE)}
        self.relay = Relay(self.store, self.addressees.get, self.clock, policy, poll_seconds=0.01)
        self.desk = Desk(self.store, self.world.parties, self.clock)

    def queue(self, count=1, queue=PORTAL):
        with self.store.write() as uow:
            ids = [
                queue_update(uow, queue, [RecordKey("2.999.1.1", f"K{n}")], at=self.clock())
                for n in range(count)
            ]
            uow.commit()
        return ids

    def drain(self, queue=PORTAL):
        self.relay.drain(queue)

    def row(self, row_id):
        return self.desk.row(row_id)

    def states(self):
        return [row.state for row in self.desk.rows(limit=100)]

    def audited(self):
        with self.store.read() as uow:
            return [item.event.kind for item in uow.audit.chain() if "notification" in item.event.kind]


class TestDelivery:
    def test_rows_are_sent_in_order_and_marked_with_their_trace(self):
        scene = Scene()
        ids = scene.queue(3)

        scene.drain()

        assert [row.id for row in scene.sender.sent] == ids
        assert scene.states() == [Delivery.DELIVERED] * 3
        assert scene.row(ids[0]).delivered_at == scene.clock.at
        assert scene.audited() == ["notification.delivered"] * 3
        assert scene.sender.closed == 1

    def test_a_row_that_is_delivered_is_not_sent_again(self):
        scene = Scene()
        scene.queue(2)
        scene.drain()
        scene.drain()

        assert len(scene.sender.sent) == 2

    def test_the_control_id_stays_over_all_attempts(self):
        scene = Scene(NOT_NOW, AWAY, NOT_NOW)
        scene.queue()
        for _ in range(4):
            scene.drain()
            scene.clock.pass_seconds(100)

        assert len(scene.sender.sent) == 4
        assert len({row.control_id for row in scene.sender.sent}) == 1

    def test_nobody_else_sends_a_queue_meanwhile(self):
        scene = Scene()
        scene.queue()
        with scene.store.claim("notify/mllp/portal") as mine:
            assert mine
            scene.drain()
        assert scene.sender.sent == []

    def test_who_is_not_configured_is_kept_for(self):
        scene = Scene()
        scene.queue(queue=OTHER)
        scene.drain(OTHER)

        assert scene.states() == [Delivery.PENDING]

    def test_a_row_that_somebody_withdrew_meanwhile_stays_withdrawn(self):
        scene = Scene()
        (row_id,) = scene.queue()
        send = scene.sender.send

        def send_and_decide(row):
            with scene.store.write() as uow:
                uow.outbox.change(relay_module.replace(row, state=Delivery.WITHDRAWN))
                uow.commit()
            return send(row)

        scene.sender.send = send_and_decide
        scene.drain()

        assert scene.row(row_id).state is Delivery.WITHDRAWN


class TestRetries:
    def test_a_row_that_fails_holds_back_those_behind_it(self):
        scene = Scene(NOT_NOW)
        first, second = scene.queue(2)
        scene.drain()
        scene.drain()

        assert [row.id for row in scene.sender.sent] == [first]
        assert scene.row(first).error == "AR"
        scene.clock.pass_seconds(10)
        scene.drain()
        assert [row.id for row in scene.sender.sent] == [first, first, second]
        assert scene.row(first).error == ""

    def test_the_wait_doubles_up_to_its_bound(self):
        scene = Scene(*[NOT_NOW] * 3, policy=RetryPolicy(10.0, 25.0, 99, timedelta(days=7), lambda: 1.0))
        (row_id,) = scene.queue()
        waits = []
        for _ in range(3):
            scene.drain()
            waits.append((scene.row(row_id).next_attempt_at - scene.clock.at).total_seconds())
            scene.clock.pass_seconds(waits[-1])

        assert waits == [10, 20, 25]

    def test_half_of_the_wait_is_left_to_chance(self):
        waits = [
            RetryPolicy(10.0, 80.0, 4, timedelta(days=7), lambda c=c: c).wait(2).total_seconds()
            for c in (0, 1)
        ]

        assert waits == [10, 20]

    def test_what_is_refused_for_good_is_given_up_and_the_others_go_on(self):
        """AE: it shall not be sent again unless it is corrected (TF-2 appendix C)."""
        scene = Scene(NEVER)
        first, second = scene.queue(2)
        scene.drain()

        assert scene.states() == [Delivery.DEAD, Delivery.DELIVERED]
        assert scene.row(first).error == "AE 204"
        assert [row.id for row in scene.sender.sent] == [first, second]
        assert "notification.dead" in scene.audited()

    def test_what_is_never_confirmed_is_given_up_after_its_attempts(self):
        scene = Scene(*[NOT_NOW] * 4)
        first, _ = scene.queue(2)
        for _ in range(4):
            scene.drain()
            scene.clock.pass_seconds(100)

        assert scene.row(first).attempts == 4
        assert scene.states() == [Delivery.DEAD, Delivery.DELIVERED]

    def test_who_is_away_for_a_day_is_told_everything_afterwards(self):
        """Attempts that reached nobody do not use up those of a row."""
        scene = Scene(*[AWAY] * 1_000)
        scene.queue(3)
        for _ in range(1_000):
            scene.drain()
            scene.clock.pass_seconds(90)
        scene.drain()

        assert scene.clock.at - Clock().at > timedelta(days=1)
        assert scene.states() == [Delivery.DELIVERED] * 3

    def test_what_could_not_be_delivered_for_too_long_is_given_up(self):
        scene = Scene(AWAY)
        scene.queue()
        scene.clock.pass_seconds(7 * 86_400)
        scene.drain()

        assert scene.states() == [Delivery.DEAD]


class TestNotAnyMore:
    def linked(self):
        scene = Scene()
        for site in "ABC":
            scene.world.state(site, "1", person())
        return scene

    def test_who_is_protected_since_is_not_named_any_more(self):
        scene = self.linked()
        scene.world.state("B", "1", person(identity_codes=("VALI", "CACH")), minute=5)
        scene.drain()

        rows = scene.desk.rows(consumer="portal")
        assert [row.state for row in rows] == [
            Delivery.WITHDRAWN, Delivery.WITHDRAWN, Delivery.DELIVERED,
        ]  # fmt: skip
        assert rows[0].error == PROTECTED
        assert [row.payload["members"] for row in scene.sender.sent] == [[[*key("A", "1")], [*key("C", "1")]]]

    def test_who_is_erased_since_is_not_named_any_more(self):
        scene = self.linked()
        scene.world.registry.erase(key("B", "1"), reviewer="anne", reason="request 12")
        scene.drain()

        assert not [row for row in scene.sender.sent if [*key("B", "1")] in row.payload["members"]]

    def test_a_domain_it_may_not_see_any_more_is_not_named(self):
        scene = self.linked()
        scene.addressees[PORTAL] = Addressee(scene.sender, EVERYWHERE - {authority("C").universal_id})
        scene.drain()

        assert [row.error for row in scene.desk.rows(consumer="portal")] == ["", NOT_TO_BE_SEEN]

    def test_nobody_wants_it_any_more(self):
        scene = Scene(Outcome(Verdict.UNWANTED, "the subscription ended"))
        scene.queue()
        scene.drain()

        assert scene.states() == [Delivery.WITHDRAWN]


class TestDesk:
    def test_who_is_paused_is_sent_nothing_until_it_is_resumed(self):
        scene = Scene()
        scene.queue(2)
        assert scene.desk.pause("portal", actor="user:anne")
        assert not scene.desk.pause("portal", actor="user:anne")
        scene.drain()
        assert scene.sender.sent == []
        assert set(scene.desk.overview().paused) == {"portal"}

        assert scene.desk.resume("portal", actor="user:anne")
        scene.drain()
        assert scene.states() == [Delivery.DELIVERED] * 2
        assert scene.audited()[:2] == ["notification.paused", "notification.resumed"]

    def test_who_is_paused_while_it_is_told_is_told_the_row_at_work_only(self):
        scene = Scene()
        scene.queue(2)
        send = scene.sender.send

        def send_and_pause(row):
            scene.desk.pause("portal", actor="user:anne")
            return send(row)

        scene.sender.send = send_and_pause
        scene.drain()

        assert scene.states() == [Delivery.DELIVERED, Delivery.PENDING]

    def test_who_is_resumed_is_told_at_once(self):
        scene = Scene(NOT_NOW)
        scene.queue()
        scene.drain()
        scene.desk.resume("portal", actor="user:anne")
        scene.drain()

        assert scene.states() == [Delivery.DELIVERED]

    def test_nobody_of_that_name_is_paused(self):
        with pytest.raises(UnknownIdentifier):
            Scene().desk.pause("nobody", actor="user:anne")
        with pytest.raises(UnknownIdentifier):
            Scene().desk.row(1)

    def test_what_was_given_up_is_sent_again_under_its_name(self):
        scene = Scene(NEVER)
        for site in "AB":
            scene.world.state(site, "1", person())
        scene.drain()
        (dead,) = scene.desk.rows(consumer="portal")

        (again,) = scene.desk.resend(dead.id, actor="user:anne")
        scene.drain()

        assert (again.id, again.control_id, again.attempts) == (dead.id, dead.control_id, 0)
        assert scene.row(dead.id).state is Delivery.DELIVERED
        assert "notification.resent" in scene.audited()

    def test_what_is_not_true_any_more_is_not_sent_again(self):
        """What is true now is queued instead: who was told something newer is not told something older."""
        scene = Scene(NEVER)
        for site in "AB":
            scene.world.state(site, "1", person())
        scene.drain()
        scene.world.registry.relate(Said.DIFFERENT, key("A", "1"), key("B", "1"), reviewer="anne")
        scene.drain()
        dead = scene.desk.rows(consumer="portal")[0]

        waiting = scene.desk.resend(dead.id, actor="user:anne")

        assert [row.payload["members"] for row in waiting] == [[[*key("A", "1")]], [[*key("B", "1")]]]
        assert scene.row(dead.id).state is Delivery.WITHDRAWN
        assert scene.row(dead.id).error == NEWER

    def test_other_things_than_sets_are_sent_again_as_they_are(self):
        scene = Scene(NEVER)
        queue = Queue("ris-a", Channel.CORRECTION)
        scene.addressees[queue] = Addressee(scene.sender)
        with scene.store.write() as uow:
            row_id = uow.outbox.add(
                consumer="ris-a",
                kind=CORRECTION,
                payload={"message_type": "ADT^A40^ADT_A39", "segments": []},
                created_at=scene.clock(),
                channel=Channel.CORRECTION,
            )
            uow.commit()
        scene.drain(queue)
        assert scene.row(row_id).state is Delivery.DEAD

        scene.desk.resend(row_id, actor="user:anne")
        scene.drain(queue)

        assert scene.row(row_id).state is Delivery.DELIVERED


class TestThreads:
    def wait(self, condition, seconds=10):
        for _ in range(int(seconds * 100)):
            if condition():
                return
            threading.Event().wait(0.01)
        raise AssertionError("it did not come")

    def test_one_who_does_not_answer_delays_nobody_else(self):
        scene = Scene()
        scene.queue()
        scene.queue(3, OTHER)
        silent = threading.Event()

        class Silent(Scripted):
            def send(self, row):
                silent.wait(20)
                return NOT_NOW

        quick = Scripted()
        scene.addressees |= {PORTAL: Addressee(Silent()), OTHER: Addressee(quick)}
        scene.relay.start()
        self.wait(lambda: len(quick.sent) == 3)
        silent.set()
        scene.relay.stop(patience_seconds=5)

        assert scene.states() == [Delivery.PENDING, *[Delivery.DELIVERED] * 3]

    def test_what_is_being_sent_is_answered_before_it_stops(self):
        scene = Scene()
        scene.queue(100)
        began = threading.Event()

        class Slow(Scripted):
            def send(self, row):
                began.set()
                threading.Event().wait(0.1)
                return super().send(row)

        slow = Slow()
        scene.addressees[PORTAL] = Addressee(slow)
        scene.relay.start()
        assert began.wait(10)
        scene.relay.stop(patience_seconds=5)

        sent = len(slow.sent)
        assert 1 <= sent < 100
        assert scene.states().count(Delivery.DELIVERED) == sent

    def test_a_store_that_is_down_for_a_while_loses_nothing(self, monkeypatch):
        scene = Scene()
        scene.queue(2)
        down = threading.Event()
        down.set()
        read = scene.store.read

        def sometimes():
            if down.is_set():
                raise StoreError("down")
            return read()

        monkeypatch.setattr(scene.store, "read", sometimes)
        scene.relay.start()
        threading.Event().wait(0.05)
        down.clear()
        self.wait(lambda: len(scene.sender.sent) == 2)
        scene.relay.stop()

        assert scene.states() == [Delivery.DELIVERED] * 2


def test_a_defect_is_tried_again_and_not_told(caplog):
    scene = Scene()
    (row_id,) = scene.queue()
    send = scene.sender.send

    def breaks(_row):
        raise ValueError("ZQX")

    scene.sender.send = breaks
    scene.drain()
    assert scene.row(row_id).error == "internal error (ValueError)"
    assert "ZQX" not in caplog.text

    scene.sender.send = send
    scene.clock.pass_seconds(10)
    scene.drain()
    assert scene.states() == [Delivery.DELIVERED]
