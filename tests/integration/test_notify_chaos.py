"""
A consumer that hangs up, halves, swaps, delays, repeats and invents its acknowledgements.

Nothing it did not confirm may count as delivered, nothing may be lost, and the order must hold. The same
test must catch a sender that does not compare acknowledgements, or it proves nothing.
"""

import random
from datetime import timedelta

import pytest

from mpi import delivery
from mpi.delivery import MllpSender
from mpi.feeds.hl7v2.notification import Parties, read_answer, update_notification
from mpi.feeds.mllp import MllpClient
from mpi.identity.model import AssigningAuthority, PatientIdentifier, RecordKey
from mpi.index.notices import members_of, queue_update
from mpi.index.ports import Channel, Delivery, Queue
from mpi.notify import relay as relay_module
from mpi.notify.relay import Relay
from mpi.notify.retries import RetryPolicy
from mpi.notify.sender import Addressee
from mpi.store import open_store
from mpi.wiring import now
from tests.integration.consumers import consuming, control_id, liar

QUEUE = Queue("portal", Channel.MLLP)
SITE_A = AssigningAuthority("SITE-A", "2.999.1.1", "ISO")
TIMEOUT_SECONDS = 0.03


def written(row):
    identifiers = [PatientIdentifier(key.value, SITE_A, "PI") for key in members_of(row.payload)]
    parties = Parties("MPI", "FED", "PORTAL", "FED")
    return update_notification(identifiers, parties=parties, control_id=row.control_id, at=row.created_at)


def told_in_chaos(url, sends, seed=7):
    """Every row as it ended, and the consumer it was sent to."""
    patient = RetryPolicy(0.001, 0.002, 10_000, timedelta(days=1), random.Random(seed).random)
    with consuming(liar(seed, delay_seconds=2 * TIMEOUT_SECONDS)) as consumer, open_store(url) as store:
        with store.write() as uow:
            for number in range(sends):
                queue_update(uow, QUEUE, [RecordKey("2.999.1.1", f"K{number}")], at=now())
            uow.commit()
        sender = MllpSender(MllpClient("127.0.0.1", consumer.port, timeout_seconds=TIMEOUT_SECONDS), written)
        relay = Relay(store, lambda _queue: Addressee(sender), now, patient)

        def pending():
            with store.read() as uow:
                return uow.outbox.backlogs()

        while pending():
            relay.drain(QUEUE)
        with store.read() as uow:
            return uow.outbox.page(limit=sends + 1), consumer


def check(rows, consumer, sends):
    assert len(rows) == sends
    false = [row.id for row in rows if row.control_id not in consumer.acknowledged]
    assert not false, f"{len(false)} were never confirmed"
    assert all(row.state is Delivery.DELIVERED for row in rows)
    arrived = list(dict.fromkeys(control_id(message) for message in consumer.received))
    assert arrived == [row.control_id for row in rows]


def test_what_is_delivered_was_confirmed_and_nothing_is_lost(sqlite_url):
    check(*told_in_chaos(sqlite_url, 500), 500)


@pytest.mark.long
def test_the_same_ten_thousand_times(sqlite_url):
    check(*told_in_chaos(sqlite_url, 10_000), 10_000)


def test_an_acknowledgement_that_is_not_compared_is_caught(sqlite_url, monkeypatch):
    """Planted: any acknowledgement counts, whichever message it names."""

    def careless(reply, control_id):
        msa = reply.split(b"MSA|")[1].split(b"|") if b"MSA|" in reply else []
        return read_answer(reply, msa[1].split(b"\r")[0].decode() if len(msa) > 1 else control_id)

    monkeypatch.setattr(delivery, "read_answer", careless)

    with pytest.raises(AssertionError, match="never confirmed"):
        check(*told_in_chaos(sqlite_url, 60), 60)


def test_a_row_marked_before_it_is_confirmed_is_caught(sqlite_url, monkeypatch):
    """Planted: what was sent counts as delivered."""
    send = MllpSender.send

    def hopeful(self, row):
        send(self, row)
        return relay_module.Outcome(relay_module.Verdict.DELIVERED)

    monkeypatch.setattr(MllpSender, "send", hopeful)

    with pytest.raises(AssertionError, match="never confirmed"):
        check(*told_in_chaos(sqlite_url, 60), 60)
