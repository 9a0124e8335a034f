"""What is in work is noted where the death of its process leaves it, and counted when the store is opened."""

import os
import threading
from contextlib import contextmanager

import pytest

from mpi.index.attempts import Attempting, digest_of
from mpi.index.events import Envelope, Protocol
from mpi.store.in_flight import InFlightFile, left_behind
from tests.fakes import MemoryStore

ONE, TWO = "11" * 32, "22" * 32


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "in-flight"


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    yield
    monkeypatch.setattr(os, "pwrite", lambda *_: 0)  # its file is closed: what follows is of the test only
    HELD.clear()


HELD = []
"""Notes of those that are dead: nothing ever takes them away."""


def abandon(notes, *digests):
    """Leave a process's notes as its death leaves them: open, and its lock gone."""
    for digest in digests:
        hold(notes, digest)
    os.close(notes._descriptor)


def hold(notes, digest):
    HELD.append(notes.noted(digest))
    HELD[-1].__enter__()


def test_what_a_process_had_in_work_when_it_died_is_found_once(folder):
    notes = InFlightFile(folder)
    with notes.noted(TWO):
        pass
    abandon(notes, ONE)

    assert list(left_behind(folder)) == [[ONE]]
    assert list(left_behind(folder)) == []


def test_a_process_that_lives_is_left_alone_and_one_that_ended_in_order_leaves_nothing(folder):
    notes = InFlightFile(folder)
    with notes.noted(ONE), notes.noted(TWO):
        assert list(left_behind(folder)) == []
    notes.close()

    assert list(folder.iterdir()) == []


def test_nothing_is_written_before_the_first_note(folder):
    InFlightFile(folder).close()

    assert not folder.exists()
    assert list(left_behind(folder)) == []


def test_notes_of_many_threads_do_not_take_each_others_place(folder):
    notes = InFlightFile(folder)
    digests = [f"{number:02x}" * 32 for number in range(1, 17)]
    meet = threading.Barrier(len(digests) + 1)

    def work(digest):
        for _ in range(20):
            with notes.noted(digest):
                pass
        hold(notes, digest)
        meet.wait(timeout=30)

    threads = [threading.Thread(target=work, args=(digest,)) for digest in digests]
    for thread in threads:
        thread.start()
    meet.wait(timeout=30)
    for thread in threads:
        thread.join()
    abandon(notes)

    assert [sorted(found) for found in left_behind(folder)] == [digests]


class Notes:
    """What would be left behind if the process died now."""

    def __init__(self):
        self.now = set()
        self.most = 0

    @contextmanager
    def noted(self, digest):
        self.now.add(digest)
        self.most = max(self.most, len(self.now))
        yield
        self.now.discard(digest)


def suspects(*digests, tries=1):
    store = MemoryStore()
    with store.write() as uow:
        for digest in digests:
            uow.attempts.give_up(digest, tries=tries, at=None)
        uow.commit()
    notes = Notes()
    return store, notes, Attempting(store, notes, most=3)


def test_suspects_are_tried_one_at_a_time_and_others_beside_them():
    _, notes, attempting = suspects(ONE, TWO)
    begun, done = [], threading.Event()

    def second():
        with attempting.attempt(TWO):
            begun.append(TWO)
            done.set()

    thread = threading.Thread(target=second)
    with attempting.attempt(ONE) as tries:
        thread.start()
        with attempting.attempt("33" * 32) as others:
            assert not done.wait(0.1)
            assert notes.now == {ONE, "33" * 32}
    thread.join(timeout=10)

    assert (tries, others, begun) == (1, 0, [TWO])


def test_one_that_was_given_up_is_not_noted():
    _, notes, attempting = suspects(ONE, tries=3)
    with attempting.attempt(ONE) as tries:
        assert (tries, notes.now) == (3, set())


def test_one_that_somebody_else_had_processed_is_no_suspect_any_more():
    store, _, attempting = suspects(ONE, tries=3)
    assert attempting.suspected(ONE)
    with store.write() as uow:
        uow.attempts.clear(ONE)
        uow.commit()

    with attempting.attempt(ONE) as tries:
        assert tries == 0
    assert not attempting.suspected(ONE)


def test_a_message_is_the_same_when_its_sender_and_its_content_are_whatever_it_is_called():
    def envelope(**changes):
        values = {"source": "ris-a", "control_id": "1", "content_hash": "h", **changes}
        return Envelope(Protocol.HL7V2, application="APP", facility="F", raw=b"", **values)

    others = [digest_of(envelope(**{name: "other"})) for name in ("source", "content_hash")]

    assert digest_of(envelope()) == digest_of(envelope(control_id="2")) == digest_of(envelope(control_id=""))
    assert len({*others, digest_of(envelope())}) == 3
