"""
The audit trail: every write of the registry leaves one event, in the same transaction, in a hash chain.

An event names identifiers of this index and places in messages, never a person's traits.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """
    What was done, by whom, to what.

    Args:
        actor: `source:…`, `user:…`, `key:…` or `system`.
        action: C, R, U, D or E, as ITI-20 codes them.
        kind: the business event, such as `identity.stated` or `review.decided`.
        subject: what it was done to, by this index's own names (`record/12`, `task/3`, `message/9`).
        details: small facts in JSON types; never traits.
    """

    actor: str
    action: str
    kind: str
    subject: str
    at: datetime
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChainedEvent:
    """An audit event in its place in the chain."""

    sequence: int
    previous_hash: str
    hash: str
    event: AuditEvent


def canonical(event: AuditEvent) -> bytes:
    """The bytes that are hashed: JSON with sorted keys, no spaces, ASCII escapes, times in UTC."""
    document = {
        "actor": event.actor,
        "action": event.action,
        "kind": event.kind,
        "subject": event.subject,
        "at": event.at.isoformat(),
        "details": event.details,
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")


def chain_hash(sequence: int, previous_hash: str, event: AuditEvent) -> str:
    """h(i) = SHA-256(0x00 | sequence | h(i-1) | canonical(event)), in hex."""
    digest = hashlib.sha256(b"\x00")
    digest.update(str(sequence).encode())
    digest.update(bytes.fromhex(previous_hash))
    digest.update(canonical(event))
    return digest.hexdigest()


def first_break(events: Iterable[ChainedEvent]) -> int | None:
    """
    The sequence number where a chain stops being true, or None when it holds.

    Finds any change, deletion, insertion or swap. A truncated tail is found only against a
    head kept elsewhere.
    """
    expected, previous = 1, GENESIS
    for item in events:
        intact = item.sequence == expected and item.previous_hash == previous
        if not intact or item.hash != chain_hash(item.sequence, previous, item.event):
            return expected
        expected, previous = expected + 1, item.hash
    return None
