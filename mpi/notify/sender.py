"""What sends one row to its addressee, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mpi.index.ports import OutboxRow, Queue


class Verdict(StrEnum):
    """What came of sending a row."""

    DELIVERED = "delivered"
    """The addressee confirmed this very row."""
    UNREACHABLE = "unreachable"
    """Nothing was sent: it says nothing about the row."""
    LATER = "later"
    """It was sent, and not confirmed, or refused for now."""
    REFUSED = "refused"
    """It will be refused however often it is sent."""
    UNWANTED = "unwanted"
    """Nobody is to be told any more."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What came of sending a row.

    Args:
        problem: why it was not delivered, in our own words: nothing the addressee wrote, nothing of a patient.
    """

    verdict: Verdict
    problem: str = ""


DELIVERED = Outcome(Verdict.DELIVERED)


class Sender(Protocol):
    """Sends rows to one addressee, one after the other. Not for several threads."""

    def send(self, row: OutboxRow) -> Outcome:
        """Send a row, and wait for the answer, in bounded time."""

    def close(self) -> None:
        """Close the connection, if one is kept open; `send` opens another."""


@dataclass(frozen=True, slots=True)
class Addressee:
    """
    Who is told.

    Args:
        domains: keys of the domains whose identifiers it may be told of; None for whatever it was queued.
    """

    sender: Sender
    domains: frozenset[str] | None = None


AddresseeOf = Callable[[Queue], Addressee | None]
"""Whom the rows of a queue are for; None when nobody of that name is configured."""
