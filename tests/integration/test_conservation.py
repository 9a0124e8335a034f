"""I24: each message is in one state and had its effect; every planted violation is named. While it is fed, too."""

import sqlite3
import threading
from contextlib import closing

import pytest

from mpi.errors import InvalidIdentity
from mpi.index.conservation import audit
from mpi.index.events import Envelope, IdentityStated, Protocol
from mpi.store import open_store
from tests.federation import ReadAs, World, person, statement


def stopped(world, number, *, sequence=None):
    def read():
        raise InvalidIdentity("PID-7", "not a date")

    envelope = Envelope(
        Protocol.HL7V2, "ris-a", "APP", "F", f"Q{number}", f"{number}", b"raw", sequence=sequence
    )
    return world.registry.receive(envelope, read, lambda receipt: b"MSH\rMSA|AE|Q\r").message_id


def numbered(world, number):
    envelope = Envelope(
        Protocol.HL7V2, "ris-c", "APP", "F", f"S{number}", f"{number}", b"raw", sequence=number
    )
    instruction = IdentityStated((statement("C", f"{number}", person(), source="ris-c"),))
    return world.registry.receive(
        envelope, lambda: instruction, lambda receipt: b"MSH\rMSA|AA|S\r"
    ).message_id


def fill(world):
    """A message in each state there is, and each way to get there. Returns numbers by name."""
    found = {"applied": world.state("A", "1", person(), control_id="one").message_id}
    found["duplicate"] = world.state("A", "1", person(), control_id="one").message_id
    found["merge"] = world.merge("A", "1", "2").message_id
    found["quarantined"] = stopped(world, 1)
    found["discarded"] = stopped(world, 2)
    world.registry.discard(found["discarded"], actor="user:anne", reason="of no use")
    found["repaired"] = stopped(world, 3)
    reader = ReadAs(IdentityStated((statement("A", "3", person(), source="ris-a"),)))
    found["replay"] = world.registry.replay(found["repaired"], reader, actor="user:anne").message_id
    intake, applies = world.registry.intake, world.registry.intake.apply

    def fail(*_args, **_more):
        raise ZeroDivisionError

    intake.apply = fail
    found["poison"] = world.state("B", "1", person()).message_id
    intake.apply = applies
    found["parked"] = world.state("B", "1", person()).message_id
    for number in (7, 8, 9):
        found[f"numbered {number}"] = numbered(world, number)
    return found


def violations_of(store):
    found = []
    result = audit(store, on_violation=found.append)
    assert result.violations == len(found)
    return result, {(one.subject, one.problem) for one in found}


def test_a_journal_with_every_state_in_it_is_accounted_for(store):
    world = World(store)
    fill(world)
    done = []
    result = audit(store, on_progress=lambda some, _total: done.append(some))

    assert result.is_clean, violations_of(store)
    assert result.messages == done[-1] == sum(sum(states.values()) for states in result.counts.values())
    assert result.messages == len(world.registry.messages(limit=1000)) == 12
    assert {state: count for states in result.counts.values() for state, count in states.items() if count}
    assert result.counts["ris-c"] == {"applied": 3}
    assert (result.statements, result.facts) == (5, 1)


PLANTED = {
    "a state there is not": (
        "applied",
        "UPDATE inbox SET state = 'lost' WHERE id = {}",
        "it is in no state there is",
    ),
    "an effect lost": (
        "applied",
        "DELETE FROM statement WHERE message_id = {}",
        "it was applied, made 1 statements, and 0 are there",
    ),
    "an effect too many": (
        "quarantined",
        "INSERT INTO statement SELECT id + 100, record_id, {}, event_time, recorded_at, stated FROM statement LIMIT 1",
        "it is quarantined, and 1 statements and 0 facts come from it",
    ),
    "an applied message called quarantined": (
        "applied",
        "UPDATE inbox SET state = 'quarantined', error = 'X' WHERE id = {}",
        "it is quarantined, and 1 statements and 0 facts come from it",
    ),
    "an error without a reason": (
        "quarantined",
        "UPDATE inbox SET error = '' WHERE id = {}",
        "it is quarantined, and its error says otherwise",
    ),
    "acknowledged, and not applied": (
        "quarantined",
        "UPDATE inbox SET reply = CAST(x'4d53480d4d53417c41417c510d' AS BLOB) WHERE id = {}",
        "it was acknowledged as applied, and is quarantined",
    ),
    "refused, and applied": (
        "numbered 7",
        "UPDATE inbox SET reply = CAST(x'4d53480d4d53417c41457c510d' AS BLOB) WHERE id = {}",
        "it was applied, and acknowledged as an error",
    ),
    "a duplicate of nothing": (
        "duplicate",
        "UPDATE inbox SET repeats = 999 WHERE id = {}",
        "it is a duplicate of no message that came before",
    ),
    "a duplicate of another": (
        "duplicate",
        "UPDATE inbox SET content_hash = 'other' WHERE id = {}",
        "it is a duplicate of message 1, which is another one",
    ),
    "an old duplicate of nothing": (
        "duplicate",
        "UPDATE inbox SET repeats = NULL, dedupe_digest = 'gone' WHERE id = {}",
        "it is a duplicate of no message that came before",
    ),
    "a replay of what was applied": (
        "replay",
        "UPDATE inbox SET state = 'applied', error = '' WHERE id = {} - 1",
        "it replays message 6, which is applied",
    ),
    "a replay that settled nothing": (
        "replay",
        "UPDATE inbox SET state = 'quarantined' WHERE id = {} - 1",
        "it took the place of message 6, which is still quarantined",
    ),
    "a replay of nothing": (
        "replay",
        "UPDATE inbox SET replay_of = 999 WHERE id = {}",
        "it replays message 999, which is not there",
    ),
    "a repair nobody made": (
        "quarantined",
        "UPDATE inbox SET state = 'repaired' WHERE id = {}",
        "it is repaired, and no message that was applied took its place",
    ),
    "a repair by a message that is not applied": (
        "quarantined",
        "UPDATE inbox SET state = 'repaired', settled_by = 'message/2' WHERE id = {}",
        "it is repaired, and no message that was applied took its place",
    ),
    "a discard by nobody": (
        "discarded",
        "UPDATE inbox SET settled_by = '' WHERE id = {}",
        "it is discarded, and nobody did",
    ),
    "parked for nothing": (
        "parked",
        "DELETE FROM waiting WHERE message_id = {}",
        "it is parked, and waits for nobody",
    ),
    "parked behind what is settled": (
        "parked",
        "DELETE FROM waiting WHERE message_id < {}",
        "it is parked, and whom it waited for is settled",
    ),
    "waited for, and settled": (
        "poison",
        "UPDATE inbox SET state = 'discarded', settled_at = received_at, settled_by = 'user:anne' WHERE id = {}",
        "others wait for it, and it is discarded",
    ),
    "a merge without its fact": (
        "merge",
        "DELETE FROM fact WHERE message_id = {}",
        "identity merged, and there is no fact of it",
    ),
    "a number that is missing": (
        "numbered 9",
        "DELETE FROM statement WHERE message_id = {0} - 1; DELETE FROM inbox WHERE id = {0} - 1",
        "it was taken in its turn, and its source's messages before it are missing 8",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_named(tmp_path, name):
    which, statement_, problem = PLANTED[name]
    url = f"sqlite:///{tmp_path}/mpi.db"
    with open_store(url) as store:
        number = fill(World(store))[which]
    with closing(sqlite3.connect(tmp_path / "mpi.db")) as raw:
        raw.executescript(statement_.format(number))
        raw.commit()
    with open_store(url) as store:
        _, found = violations_of(store)

    assert (f"message/{number}", problem) in found


def test_what_comes_from_no_message_and_a_counter_that_does_not_follow_are_named(tmp_path):
    url = f"sqlite:///{tmp_path}/mpi.db"
    with open_store(url) as store:
        number = fill(World(store))["applied"]
    with closing(sqlite3.connect(tmp_path / "mpi.db")) as raw:
        raw.execute("UPDATE statement SET message_id = 999 WHERE message_id = ?", (number,))
        raw.execute("UPDATE source_sequence SET expected = 12")
        raw.commit()
    with open_store(url) as store:
        _, found = violations_of(store)

    assert ("statement/1", "it comes from message 999, which is not there") in found
    assert ("source/ris-c", "the sequence number it has to send next does not follow its last") in found


def test_it_may_be_asked_at_any_instant(store):
    world = World(store)
    stop = threading.Event()

    def feed():
        number = 0
        while not stop.is_set():
            number += 1
            world.state("A", f"{number % 40}", person(), minute=number, control_id=f"{number % 90}")
            if number % 7 == 0:
                stopped(world, number)

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        results = [violations_of(store) for _ in range(12)]
    finally:
        stop.set()
        thread.join()

    assert all(found == set() for _, found in results)
    assert results[-1][0].messages >= results[0][0].messages
