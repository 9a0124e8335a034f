"""
kill -9 during a feed: nothing that was acknowledged is missing afterwards.

The same test must catch a service that acknowledges before it commits, or it proves nothing.
"""

import random
import threading
import time

from mpi.index.audit import first_break
from mpi.store import open_store
from tests.integration.running import Index, a28, field

CYCLES = 4
LANES = 4


def feed_until_killed(index, cycle, *, after_seconds):
    """Feed over several connections, kill the service, and return the control ids it acknowledged."""
    acknowledged, stop = set(), threading.Event()

    def lane(number):
        sent = 0
        try:
            with index.client() as client:
                while not stop.is_set():
                    sent += 1
                    control_id = f"{cycle}-{number}-{sent}"
                    message = a28(
                        "ABCD"[number],
                        f"K{cycle}-{sent}",
                        control_id,
                        name=f"MARTIN{chr(65 + sent % 26)}^ANNE^ANNE^^^^L",
                        born=f"19{40 + sent % 60}0{1 + sent % 9}1{sent % 9}",
                    )
                    if field(client.send(message), "MSA", 1) == "AA":
                        acknowledged.add(control_id)
        except (OSError, EOFError, ValueError):
            pass  # killed while we waited

    threads = [threading.Thread(target=lane, args=(number,)) for number in range(LANES)]
    for thread in threads:
        thread.start()
    time.sleep(after_seconds)
    index.kill()
    stop.set()
    for thread in threads:
        thread.join(timeout=30)
    return acknowledged


def lost_after_kills(url, tmp_path, program, cycles):
    """Control ids acknowledged in any cycle and absent from the journal at the end; and how many were acknowledged."""
    acknowledged = set()
    rng = random.Random(11)
    for cycle in range(cycles):
        index = Index.at(tmp_path, url, program=program).start()
        acknowledged |= feed_until_killed(index, cycle, after_seconds=0.6 + rng.random() * 0.5)
    with open_store(url) as store, store.read() as uow:
        kept, after = set(), 0
        while page := uow.inbox.page(after=after, limit=1000):
            kept |= {message.envelope.control_id for message in page}
            after = page[-1].id
        assert first_break(uow.audit.chain()) is None
    return acknowledged - kept, len(acknowledged)


def test_nothing_acknowledged_is_lost(url, tmp_path):
    lost, acknowledged = lost_after_kills(url, tmp_path, ("-m", "mpi", "serve"), CYCLES)

    assert acknowledged >= 20 * CYCLES
    assert not lost


def test_an_acknowledgement_before_the_commit_is_caught(sqlite_url, tmp_path):
    lost, acknowledged = lost_after_kills(
        sqlite_url, tmp_path, ("-m", "tests.integration.acknowledges_too_early"), CYCLES
    )

    assert acknowledged >= 20 * CYCLES
    assert lost
