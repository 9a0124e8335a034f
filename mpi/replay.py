"""
The journal worked off: messages that could not be applied, read again by the feed they came from.

What is processed again, repaired or discarded lets those that waited for it have their turn.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mpi.errors import LinkConflict, UnknownIdentifier
from mpi.feeds import tabular
from mpi.feeds.dicom.ingest import read_message
from mpi.feeds.fhir import messages as fhir
from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.index.events import Envelope, Instruction, MessageState, Protocol, Receipt
from mpi.index.registry import Registry
from mpi.wiring import now

_PAGE = 200


class KeptMessages:
    """`index.reception.Reader`: each message by the feed it came from, with today's configuration."""

    def __init__(self, registry: Registry) -> None:
        self._directory = registry.directory
        self.hl7 = Hl7Handler(registry, registry.directory, now)

    def read(self, envelope: Envelope) -> Instruction:
        """What it asks."""
        match envelope.protocol:
            case Protocol.HL7V2:
                return self.hl7.read_again(envelope)
            case Protocol.DICOM:
                return read_message(envelope, self._directory)
            case Protocol.FHIR:
                return fhir.read_message(envelope, self._directory)
            case Protocol.TABLE:
                return tabular.read_message(envelope, self._directory)

    def reply(self, envelope: Envelope, receipt: Receipt) -> bytes:
        """Its acknowledgement; other protocols than HL7 v2 answer anew each time."""
        return self.hl7.prepare(envelope.raw).reply(receipt) if envelope.protocol is Protocol.HL7V2 else b""


@dataclass(frozen=True, slots=True)
class Settled:
    """
    What became of a message that was worked off.

    Args:
        receipt: of the message that took its place; None when it was discarded.
        released: of those that waited for it, in their order.
    """

    receipt: Receipt | None
    released: tuple[Receipt, ...] = ()


def replay(registry: Registry, message_id: int, *, actor: str, reason: str = "") -> Settled:
    """
    Process a kept message again with today's configuration, as a new message of the journal.

    Raises:
        UnknownIdentifier: no such message.
        LinkConflict: it was applied, repaired or discarded.
    """
    reader = KeptMessages(registry)
    receipt = registry.replay(message_id, reader, actor=actor, reason=reason)
    return Settled(receipt, tuple(registry.release_parked(reader)))


def repair(registry: Registry, message_id: int, corrected: bytes, *, actor: str, reason: str) -> Settled:
    """
    Process a corrected message in the place of one that was stopped, which stays as it came.

    Args:
        corrected: a whole HL7 v2 message of the same sender, without framing.

    Raises:
        UnknownIdentifier: no such message.
        LinkConflict: it was applied, repaired or discarded, is not HL7 v2, or the correction is of another source.
    """
    reader = KeptMessages(registry)
    message = registry.message(message_id, actor=actor)
    if message.envelope.protocol is not Protocol.HL7V2:
        raise LinkConflict(
            "only HL7 v2 messages can be corrected; mend the configuration, or have it sent again"
        )
    envelope = reader.hl7.prepare(corrected).envelope
    receipt = registry.replay(message_id, reader, actor=actor, corrected=envelope, reason=reason)
    return Settled(receipt, tuple(registry.release_parked(reader)))


def discard(registry: Registry, message_id: int, *, actor: str, reason: str) -> Settled:
    """
    Decide that a stopped or parked message shall have no effect.

    Raises:
        UnknownIdentifier: no such message.
        LinkConflict: it was applied, repaired or discarded.
    """
    registry.discard(message_id, actor=actor, reason=reason)
    return Settled(None, tuple(registry.release_parked(KeptMessages(registry))))


def stopped(
    registry: Registry, *, source: str | None = None, problem: str | None = None, most: int | None = None
) -> list[int]:
    """The quarantined messages of a source, or that one problem stopped, oldest first."""
    found: list[int] = []
    after = 0
    while page := registry.messages(
        state=MessageState.QUARANTINED, source=source, problem=problem, after=after, limit=_PAGE
    ):
        found += [message.id for message in page]
        after = page[-1].id
        if most is not None and len(found) >= most:
            return found[:most]
    return found


def replay_all(
    registry: Registry,
    message_ids: Iterable[int],
    *,
    actor: str,
    reason: str = "",
    on_message: Callable[[], object] = lambda: None,
) -> dict[MessageState, int]:
    """How many of these messages are in which state, now that each was processed again."""
    reader = KeptMessages(registry)
    counts: dict[MessageState, int] = {}
    for message_id in message_ids:
        try:
            state = registry.replay(message_id, reader, actor=actor, reason=reason).state
            counts[state] = counts.get(state, 0) + 1
        except (LinkConflict, UnknownIdentifier):  # somebody else was faster
            pass
        on_message()
    registry.release_parked(reader)
    return counts
