"""
A message that fails for no reason of its own: tried, isolated, and what waits for it.

On every store; the message that kills its process is tried in a service of its own, at the end.
"""

import pytest

from mpi.errors import EarlierMessageWaits, InvalidIdentity, LinkConflict, PoisonMessage, StoreError
from mpi.index.conservation import audit
from mpi.index.events import Envelope, IdentityStated, MessageState, Protocol
from mpi.index.verification import verify
from tests.federation import ReadAs, World, key, merge, person, statement

APPLIED, PARKED = MessageState.APPLIED, MessageState.PARKED


@pytest.fixture
def world(store):
    return World(store)


class Poison:
    """A defect of the index: it fails on one identifier, for as long as it is not mended."""

    def __init__(self, world, monkeypatch, value="1", error=ZeroDivisionError):
        self.key, self.error, self.tries = key("A", value), error, 0
        self.is_mended = False
        intake = world.registry.intake
        applies = intake.apply

        def apply(uow, instruction, **more):
            named = instruction.records[0].key if isinstance(instruction, IdentityStated) else None
            if named == self.key and not self.is_mended:
                self.tries += 1
                applies(uow, instruction, **more)  # half of it is written
                raise self.error("1984-02-29")
            return applies(uow, instruction, **more)

        monkeypatch.setattr(intake, "apply", apply)


@pytest.fixture
def poison(world, monkeypatch):
    return Poison(world, monkeypatch)


def states(world):
    return [message.state for message in world.registry.messages(limit=1000)]


def ids(world):
    """PostgreSQL leaves out the numbers of attempts that were undone."""
    return [message.id for message in world.registry.messages(limit=1000)]


def accounted_for(world):
    violations, differences = [], []
    audit(world.store, on_violation=violations.append)
    verify(world.store, world.registry, on_difference=differences.append)
    return not violations and not differences


def test_it_is_tried_five_times_then_isolated_and_leaves_nothing_half_done(world, poison):
    receipt = world.state("A", "1", person())

    assert poison.tries == 5
    assert receipt.state is MessageState.QUARANTINED
    assert isinstance(receipt.error, PoisonMessage)
    assert str(receipt.error) == "message: handling it failed 5 times (ZeroDivisionError)"
    assert receipt.reply == b"quarantined"
    assert world.euids() == {}
    assert accounted_for(world)


def test_one_that_fails_only_at_first_is_applied(world, poison):
    fails = poison.error

    class NotForLong(fails):
        def __init__(self, *args):
            poison.is_mended = poison.tries == 3

    poison.error = NotForLong

    assert world.state("A", "1", person()).state is APPLIED
    assert poison.tries == 3


def test_sent_again_it_is_not_tried_again_and_answered_the_same(world, poison):
    first = world.state("A", "1", person(), control_id="P")
    again = world.state("A", "1", person(), control_id="P")

    assert (again.state, again.reply) == (MessageState.DUPLICATE, first.reply)
    assert (type(again.error), str(again.error)) == (PoisonMessage, str(first.error))
    assert poison.tries == 5
    assert accounted_for(world)


def test_what_its_source_says_of_the_patient_waits_and_everything_else_goes_on(world, poison):
    world.state("A", "1", person())
    follower = world.state("A", "1", person(given="ANNE"), minute=1)
    merged = world.merge("A", "2", "1", minute=2)
    behind_the_merge = world.state("A", "2", person(), minute=3)
    others = [world.state("A", "3", person(), minute=1), world.state("B", "1", person(), minute=1)]

    assert [one.state for one in (follower, merged, behind_the_merge)] == [PARKED] * 3
    assert isinstance(follower.error, EarlierMessageWaits)
    assert follower.reply == b"parked"
    assert [one.state for one in others] == [APPLIED] * 2
    assert key("A", "2") not in world.euids()
    assert accounted_for(world)


def test_a_parked_message_sent_again_is_a_duplicate_and_its_name_is_taken(world, poison):
    world.state("A", "1", person())
    world.state("A", "1", person(given="ANNE"), control_id="F")
    again = world.state("A", "1", person(given="ANNE"), control_id="F")
    other = world.state("A", "9", person(), control_id="F", content="other")

    assert (again.state, again.reply) == (MessageState.DUPLICATE, b"parked")
    assert isinstance(again.error, EarlierMessageWaits)
    assert other.state is MessageState.QUARANTINED
    assert accounted_for(world)


def wait(world):
    """An isolated message and two that wait for it; returns the numbers of the first two."""
    world.state("A", "1", person(), control_id="P")
    world.state("A", "1", person(given="ANNE"), minute=1, control_id="F")
    world.merge("A", "2", "1", minute=2)
    return ids(world)[:2]


def test_processed_again_once_mended_it_lets_the_others_have_their_turn_in_order(world, poison):
    isolated, parked = wait(world)
    poison.is_mended = True
    reader = ReadAs(IdentityStated((statement("A", "1", person(), source="ris-a"),)))
    world.registry.replay(isolated, reader, actor="user:anne", reason="mended")
    order = []

    class InOrder(ReadAs):
        def read(self, envelope):
            order.append(envelope.control_id)
            if envelope.control_id == "F":
                return IdentityStated((statement("A", "1", person(given="ANNE"), minute=1, source="ris-a"),))
            return merge("A", "2", "1", minute=2)

    released = world.registry.release_parked(InOrder(merge("A", "2", "1")))

    assert order == ["F", "M3"]
    assert [one.state for one in released] == [APPLIED, APPLIED]
    assert states(world) == [MessageState.REPAIRED, APPLIED, APPLIED, APPLIED]
    record = world.record("A", "1")
    with world.store.read() as uow:
        stated = [one.message_id for one in uow.records.statements(record.id)]
    assert stated == [ids(world)[3], parked]
    settled = world.registry.message(isolated, actor="user:anne")
    assert (settled.settled_by, settled.settled_reason) == ("user:anne", "mended")
    again = world.state("A", "1", person(), control_id="P")
    assert (again.reply, again.error) == (b"applied", None)
    assert world.state("A", "1", person(given="ANNE"), minute=1, control_id="F").reply == b"applied"
    assert accounted_for(world)


def test_discarded_it_stays_visible_and_the_others_have_their_turn(world, poison):
    isolated, _ = wait(world)
    poison.is_mended = True
    world.registry.discard(isolated, actor="user:anne", reason="sent by mistake")
    released = world.registry.release_parked(
        ReadAs(IdentityStated((statement("A", "1", person(given="ANNE"), source="ris-a"),)))
    )
    kept = world.registry.message(isolated, actor="user:anne")

    assert [one.state for one in released] == [APPLIED, APPLIED]
    assert (kept.state, kept.settled_reason) == (MessageState.DISCARDED, "sent by mistake")
    again = world.state("A", "1", person(), control_id="P")
    assert (again.state, type(again.error)) == (MessageState.DUPLICATE, LinkConflict)
    with pytest.raises(LinkConflict):
        world.registry.discard(isolated, actor="user:anne", reason="again")
    assert accounted_for(world)


def test_a_parked_message_may_be_discarded_too(world, poison):
    _, parked = wait(world)
    world.registry.discard(parked, actor="user:anne", reason="wrong patient")

    assert states(world) == [MessageState.QUARANTINED, MessageState.DISCARDED, PARKED]
    assert world.registry.release_parked(ReadAs(merge("A", "2", "1"))) == []
    assert accounted_for(world)


def test_while_it_is_not_mended_processing_it_again_changes_nothing_for_those_that_wait(world, poison):
    isolated, _ = wait(world)
    reader = ReadAs(IdentityStated((statement("A", "1", person(), source="ris-a"),)))
    again = world.registry.replay(isolated, reader, actor="user:anne")

    assert again.state is MessageState.QUARANTINED
    assert world.registry.release_parked(reader) == []
    assert states(world)[:3] == [MessageState.QUARANTINED, PARKED, PARKED]
    poison.is_mended = True
    world.registry.replay(again.message_id, reader, actor="user:anne")
    world.registry.release_parked(reader)
    assert [states(world)[n] for n in (0, 3)] == [MessageState.REPAIRED] * 2
    assert accounted_for(world)


def test_a_released_message_that_fails_too_is_isolated_and_holds_the_rest_back(world, poison):
    isolated, _ = wait(world)
    world.registry.discard(isolated, actor="user:anne", reason="")
    released = world.registry.release_parked(
        ReadAs(IdentityStated((statement("A", "1", person(), source="ris-a"),)))
    )

    assert [one.state for one in released] == [MessageState.QUARANTINED]
    assert states(world) == [MessageState.DISCARDED, MessageState.QUARANTINED, PARKED]
    assert accounted_for(world)


@pytest.mark.parametrize("error", [StoreError, OSError])
def test_what_is_wrong_with_the_machine_is_not_held_against_the_message(world, monkeypatch, error):
    poison = Poison(world, monkeypatch, error=error)
    with pytest.raises(StoreError):
        world.state("A", "1", person())

    assert poison.tries == 1
    assert states(world) == []


def test_a_reader_that_fails_isolates_the_message_too_with_those_of_the_patients_it_names(world):
    def fail():
        raise RuntimeError

    envelope = Envelope(Protocol.HL7V2, "ris-a", "RIS-A", "F", "P", "P", b"raw", patients=frozenset({"1"}))
    receipt = world.registry.receive(envelope, fail, lambda receipt: receipt.state.encode())

    assert receipt.state is MessageState.QUARANTINED
    assert world.state("A", "1", person()).state is PARKED
    assert accounted_for(world)


def test_a_reply_that_cannot_be_written_does_not_keep_the_message_from_being_kept(world):
    def fail(_receipt):
        raise RuntimeError

    instruction = IdentityStated((statement("A", "1", person(), source="ris-a"),))
    envelope = Envelope(Protocol.HL7V2, "ris-a", "RIS-A", "F", "P", "P", b"raw")
    receipt = world.registry.receive(envelope, lambda: instruction, fail)

    assert (receipt.state, receipt.reply) == (MessageState.QUARANTINED, b"")
    assert accounted_for(world)


def test_one_sent_again_as_it_was_and_applied_is_repaired(world):
    def stop():
        raise InvalidIdentity("PID-7", "not a date")

    envelope = Envelope(Protocol.HL7V2, "ris-a", "RIS-A", "F", "Q", "Q", b"raw")
    world.registry.receive(envelope, stop, lambda receipt: receipt.state.encode())
    instruction = IdentityStated((statement("A", "1", person(), source="ris-a"),))
    world.registry.receive(envelope, lambda: instruction, lambda receipt: receipt.state.encode())

    assert states(world) == [MessageState.REPAIRED, APPLIED]
    first, second = ids(world)
    assert world.registry.message(first, actor="user:anne").settled_by == f"message/{second}"
    assert accounted_for(world)
