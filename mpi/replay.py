"""
Replay: a quarantined or refused message, read again by the feed it came from.
"""

from mpi.feeds import tabular
from mpi.feeds.dicom.ingest import read_message
from mpi.feeds.fhir import messages as fhir
from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.index.events import Envelope, Instruction, Protocol, Receipt
from mpi.index.registry import Registry
from mpi.wiring import now


def replay(registry: Registry, message_id: int, *, actor: str) -> Receipt:
    """
    Process a kept message again with today's configuration, as a new message of the journal.

    Raises:
        UnknownIdentifier: no such message.
        LinkConflict: it was applied already.
    """
    handler = Hl7Handler(registry, registry.directory, now)

    def read(envelope: Envelope) -> Instruction:
        match envelope.protocol:
            case Protocol.HL7V2:
                return handler.read_again(envelope)
            case Protocol.DICOM:
                return read_message(envelope, registry.directory)
            case Protocol.FHIR:
                return fhir.read_message(envelope, registry.directory)
            case Protocol.TABLE:
                return tabular.read_message(envelope, registry.directory)

    return registry.replay(message_id, read, lambda _receipt: b"", actor=actor)
