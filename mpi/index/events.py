"""
Facts and messages: what reaches the registry, and what is kept of it.

A message becomes an envelope (its bytes and how to recognise it again) and an instruction
(what it asks). What stays true afterwards is a fact; everything else is derived from facts.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mpi.identity.model import PatientIdentifier, RecordKey, SourceRecord


class Protocol(StrEnum):
    """How a message arrived."""

    HL7V2 = "hl7v2"
    DICOM = "dicom"


@dataclass(frozen=True, slots=True)
class Envelope:
    """
    A received message before anyone reads it.

    Args:
        source: the configured patient identity source, or the name claimed when none matches.
        application: MSH-3, or the calling AE title; with facility and control_id, the key by
            which a resent message is recognised. Empty control_id: never a duplicate.
        content_hash: SHA-256 (hex) of what must be equal for two messages to be the same one.
        event: message type and trigger, such as `ADT^A28`, for the journal.
    """

    protocol: Protocol
    source: str
    application: str
    facility: str
    control_id: str
    content_hash: str
    raw: bytes
    event: str = ""

    @property
    def dedupe_key(self) -> str:
        """The sender's own name for the message; empty when it gave none."""
        if not self.control_id:
            return ""
        return "\x1f".join((self.protocol, self.source, self.application, self.facility, self.control_id))


@dataclass(frozen=True, slots=True)
class IdentityStated:
    """A source says who a person is. Several records: one person, several domains the source feeds."""

    records: tuple[SourceRecord, ...]


@dataclass(frozen=True, slots=True)
class IdentifiersMerged:
    """A source retires one of its own identifiers in favour of another (A40)."""

    survivor: PatientIdentifier
    subsumed: PatientIdentifier
    domain: str
    event_time: datetime
    source: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nothing:
    """A message that is read and asks for nothing: it is kept, and changes no identity."""


Instruction = IdentityStated | IdentifiersMerged | Nothing


class MessageState(StrEnum):
    """The one terminal state each received message reaches (conservation law I24)."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    What became of a received message.

    Args:
        error: the MpiError that stopped it; None when applied or duplicate.
        reply: the bytes to send back; for a duplicate, exactly those of the first time.
        linked: the message's records now share an enterprise record with another record.
        tasks_opened: review tasks this message opened.
    """

    state: MessageState
    message_id: int
    error: Exception | None = None
    reply: bytes = b""
    linked: bool = False
    tasks_opened: int = 0
    warnings: tuple[str, ...] = ()


class FactKind(StrEnum):
    """Assertions that stand until withdrawn. People outrank sources, sources outrank weights."""

    SAME = "same"
    """A person decided: must-link."""
    DIFFERENT = "different"
    """A person decided: cannot-link."""
    MERGED = "merged"
    """A source retired the right identifier in favour of the left one (A40)."""
    SOURCE_LINKED = "source_linked"
    """A source stated several identifiers of one person in one message."""


@dataclass(frozen=True, slots=True)
class Fact:
    """
    One assertion about two source records, which need not exist yet.

    Args:
        id: 0 until stored.
        left: for `MERGED`, the survivor. Otherwise the smaller key, so that a pair has one name.
        actor: `user:…` or `source:…`.
        event_time: when it became true, by the one who asserted it; ties break on fixed keys.
    """

    id: int
    kind: FactKind
    left: RecordKey
    right: RecordKey
    actor: str
    event_time: datetime
    recorded_at: datetime
    reason: str = ""
    message_id: int | None = None
    withdrawn_at: datetime | None = None
    withdrawn_by: str = ""

    @property
    def is_positive(self) -> bool:
        """Whether it holds two records together."""
        return self.kind is not FactKind.DIFFERENT

    @property
    def is_by_source(self) -> bool:
        """Whether a source asserted it, rather than a person."""
        return self.kind in (FactKind.MERGED, FactKind.SOURCE_LINKED)
