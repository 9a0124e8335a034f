"""The quota of a quarantine: a full one stops its source and nobody else, and nothing is dropped."""

from datetime import timedelta

import pytest

from mpi.errors import InvalidIdentity, SourceStopped
from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.index.events import Envelope, MessageState, Protocol
from mpi.index.parties import OnTransient
from mpi.index.quarantine import DAY, LOOK_AGAIN, QuarantineQuota
from mpi.index.reception import InboxLimits
from tests.fakes import MemoryStore
from tests.federation import ReadAs, World, merge, person
from tests.unit.feeds.hl7v2.fakes import Reply, adt, federation


def stopped_by(quota):
    world = World(MemoryStore(), inbox=InboxLimits(quota=quota))

    def send(number, *, source="ris-a"):
        def read():
            raise InvalidIdentity("PID-7", "not a date")

        envelope = Envelope(Protocol.HL7V2, source, "APP", "F", f"Q{number}", f"{number}", b"x" * 100)
        return world.registry.receive(envelope, read, lambda receipt: receipt.state.encode())

    return world, send


@pytest.mark.parametrize("quota", [QuarantineQuota(messages=3), QuarantineQuota(bytes=300)])
def test_a_full_quarantine_stops_its_source_and_keeps_what_is_in_it(quota):
    world, send = stopped_by(quota)
    for number in range(3):
        assert send(number).state is MessageState.QUARANTINED
    with pytest.raises(SourceStopped, match="ris-a"):
        send(3)
    with pytest.raises(SourceStopped):
        world.state("A", "1", person())  # a good one too: its order would be lost

    assert world.registry.full_quarantines() == {"ris-a"}
    assert len(world.registry.messages()) == 3
    assert send(4, source="ris-b").state is MessageState.QUARANTINED
    assert world.state("B", "1", person()).state is MessageState.APPLIED


def test_a_day_later_there_is_room_again():
    world, send = stopped_by(QuarantineQuota(messages=2))
    send(0), send(1)
    with pytest.raises(SourceStopped):
        send(2)
    world.clock.at += DAY + timedelta(seconds=1)

    assert send(2).state is MessageState.QUARANTINED


@pytest.mark.parametrize("settle", ["discard", "replay"])
def test_what_is_settled_makes_room(settle):
    world, send = stopped_by(QuarantineQuota(messages=1))
    send(0)
    with pytest.raises(SourceStopped):
        send(1)
    if settle == "discard":
        world.registry.discard(1, actor="user:anne", reason="of no use")
    else:
        world.registry.replay(1, ReadAs(merge("A", "1", "2")), actor="user:anne")
    world.clock.at += LOOK_AGAIN

    assert send(1).state is MessageState.QUARANTINED


def test_another_process_counts_what_is_there():
    world, send = stopped_by(QuarantineQuota(messages=1))
    send(0)
    other = World(world.store, inbox=InboxLimits(quota=QuarantineQuota(messages=1)))
    with pytest.raises(SourceStopped):
        other.state("A", "1", person())


@pytest.mark.parametrize("on_transient", OnTransient)
def test_a_stopped_source_is_told_or_its_connection_closed_as_it_wants(on_transient):
    parties = federation(on_transient=on_transient)
    world = World(MemoryStore(), parties=parties, inbox=InboxLimits(quota=QuarantineQuota(messages=1)))
    handler = Hl7Handler(world.registry, parties, world.clock)
    handler.handle(adt("A28", "PID|||A1||ROUX^ANNE||19841399|F", control_id="1").encode())
    message = adt("A28", "PID|||A1||ROUX^ANNE||1984|F", control_id="2").encode()

    if on_transient is OnTransient.CLOSE:
        with pytest.raises(SourceStopped):
            handler.handle(message)
    else:
        reply = Reply(handler.handle(message))
        assert (reply.msa_1, reply.err_3) == ("AR", "207")
        assert reply.first("ERR", 8).startswith("nothing more is taken")
    assert len(world.registry.messages()) == 1
