"""
Attempts: a message that ends the service is recognised when it comes again, without a second commit.

What is in work is noted outside the store, and the note is taken away when the attempt comes to an
end, whichever. A note that is left behind was made by a process that died: when the store is next
opened, the messages noted there count as tried once more. Such a suspect is tried alone, so that
those that were merely in work beside the one that ends the service are not taken for it.
"""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from mpi.index.events import Envelope
from mpi.index.ports import Store

MOST_ATTEMPTS = 5
"""How often a message is tried, unless the settings say otherwise."""


class InFlight(Protocol):
    """Notes of what is in work, which outlive the process."""

    def noted(self, digest: str) -> AbstractContextManager[None]:
        """For as long as the message is tried."""


class NotNoted:
    """No notes: a message that ends the service is not recognised. For tests, and stores in memory."""

    def noted(self, digest: str) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()


def digest_of(envelope: Envelope) -> str:
    """
    Which message an attempt is about: its sender's, and its content.

    Not its control id: what is sent again under another one ends the service all the same.
    """
    named = "\x1f".join((envelope.protocol, envelope.source, envelope.content_hash))
    return hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()


class Attempting:
    """
    Which messages may be tried, and how often they were.

    Args:
        most: tries after which a message is given up.
    """

    def __init__(self, store: Store, in_flight: InFlight, most: int = MOST_ATTEMPTS) -> None:
        self.most = most
        self._store = store
        self._in_flight = in_flight
        self._suspects: dict[str, int] | None = None
        self._alone = threading.Lock()

    @contextmanager
    def attempt(self, digest: str) -> Iterator[int]:
        """Try a message; given is how often it was tried without an end. One given up is not noted."""
        if digest not in self._known():
            with self._in_flight.noted(digest):
                yield 0
            return
        with self._alone:
            tries = self._tries(digest)
            with self._in_flight.noted(digest) if tries < self.most else nullcontext():
                yield tries

    def suspected(self, digest: str) -> bool:
        """Whether the store holds a count of this message, as far as this process knows."""
        return digest in self._known()

    def learn(self, digest: str, tries: int) -> None:
        """What was committed about a message."""
        if tries:
            self._known()[digest] = tries
        else:
            self._known().pop(digest, None)

    def _known(self) -> dict[str, int]:
        if self._suspects is None:
            with self._store.read() as uow:
                self._suspects = uow.attempts.all()
        return self._suspects

    def _tries(self, digest: str) -> int:
        """As the store has it now: somebody may have repaired the message meanwhile."""
        with self._store.read() as uow:
            tries = uow.attempts.tries(digest)
        self.learn(digest, tries)
        return tries
