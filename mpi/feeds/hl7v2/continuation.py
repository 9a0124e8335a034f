"""
The pages of a query that are still to come: remembered for a while, for the one who asked, and by nothing but ids.

A pointer cannot be guessed, and is of no use to another client, under another tag or with another
question. What is remembered are enterprise identifiers: people are read again for each page.

Source: HL7 v2.5 section 5.6.3 (interactive continuation), 5.4.6 (cancel); IHE ITI-21.
"""

import hashlib
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from mpi.feeds.hl7v2.query_answer import Client

_TOKEN_BYTES = 16


class Hit(NamedTuple):
    """One who was found: `Person.id`, and the QRI segment that goes with them, which may be empty."""

    person: str
    qri: str


@dataclass(frozen=True, slots=True)
class Found:
    """
    Everybody a query found, in order.

    Args:
        client: who asked.
        tag: the query tag.
        question: digest of the QPD, its tag included.
        at: the instant as of which they are answered.
    """

    client: Client
    tag: str
    question: bytes
    at: datetime
    hits: tuple[Hit, ...]


class Continuations:
    """
    Queries of which pages are still to come. Safe to share between threads.

    Args:
        lasts_seconds: how long after the query its pages can be asked for.
        per_consumer: how many queries of one consumer are remembered; the oldest is forgotten first.
    """

    def __init__(self, *, lasts_seconds: float, per_consumer: int) -> None:
        self._lasts = timedelta(seconds=lasts_seconds)
        self._per_consumer = per_consumer
        self._kept: dict[str, dict[str, Found]] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._kept.values()))

    def keep(self, found: Found) -> str:
        """Remember a query; returns what `pointer` makes its pointers from."""
        token = secrets.token_hex(_TOKEN_BYTES)
        with self._lock:
            self._forget_old(found.at)
            of_consumer = self._kept.setdefault(found.client.consumer, {})
            while len(of_consumer) >= self._per_consumer:
                del of_consumer[next(iter(of_consumer))]
            of_consumer[token] = found
        return token

    def find(
        self, pointer: str, *, client: Client, question: bytes, at: datetime
    ) -> tuple[str, Found, int] | None:
        """The token, the query and how many of it were shown before; None when the pointer is not for this one."""
        token, _, shown = pointer.rpartition("-")
        with self._lock:
            self._forget_old(at)
            found = self._kept.get(client.consumer, {}).get(token)
        if found is None or (found.client, found.question) != (client, question):
            return None
        if not (shown.isascii() and shown.isdigit() and len(shown) < 10):
            return None
        return (token, found, int(shown)) if 0 < int(shown) < len(found.hits) else None

    def cancel(self, client: Client, tag: str) -> int:
        """Forget the queries of a client under a tag; how many there were."""
        with self._lock:
            of_consumer = self._kept.get(client.consumer, {})
            cancelled = [t for t, f in of_consumer.items() if (f.client, f.tag) == (client, tag)]
            for token in cancelled:
                del of_consumer[token]
        return len(cancelled)

    def _forget_old(self, at: datetime) -> None:
        for of_consumer in self._kept.values():
            old = [token for token, found in of_consumer.items() if at - found.at >= self._lasts]
            for token in old:
                del of_consumer[token]


def pointer(token: str, shown: int) -> str:
    """DSC-1 for the page after that many people."""
    return f"{token}-{shown}"


def digest(question: str) -> bytes:
    """What a question is recognised by."""
    return hashlib.sha256(question.encode("utf-8", errors="surrogatepass")).digest()
