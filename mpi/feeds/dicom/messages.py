"""
A header as one message for the registry: its envelope, and how to read it.

However a header came, from a file, a C-STORE or an archive's answer, the same header is the same message.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NoReturn, Protocol

from mpi.errors import FeedError, UnreadableMessage, UnsupportedMessage
from mpi.feeds.dicom.header import (
    ACCESSION_NUMBER,
    FILE,
    MODALITIES_IN_STUDY,
    MODALITY,
    MODIFIED_ATTRIBUTES_SEQUENCE,
    ORIGINAL_ATTRIBUTES_SEQUENCE,
    PATIENT_ID,
    PATIENT_TAGS,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    SPECIFIC_CHARACTER_SET,
    STUDY_INSTANCE_UID,
    Header,
    HeaderText,
    canonical_bytes,
    header_from_json,
)
from mpi.feeds.dicom.patient import formerly_under, identity_from_header
from mpi.feeds.dicom.reading import ReadHeader, read_header_apart
from mpi.feeds.dicom.studies import study_of
from mpi.index.events import Envelope, IdentityStated, Instruction, Receipt
from mpi.index.events import Protocol as Arrival
from mpi.index.parties import Directory, PatientIdentitySource, sender_name

EVENT = "DICOM header"
MAX_UNREADABLE_BYTES = 64 * 1024
"""How much of an unreadable object is kept for whoever looks into it."""

_MAX_UID_LENGTH = 64
_PATIENT_ID = f"{PATIENT_ID:08X}"
_STUDY_TAGS = PATIENT_TAGS | {STUDY_INSTANCE_UID, ACCESSION_NUMBER, MODALITY, MODALITIES_IN_STUDY}
"""What the instances of one study repeat, once for each modality."""
REPEATED_TAGS = _STUDY_TAGS | {SPECIFIC_CHARACTER_SET, SOP_CLASS_UID, ORIGINAL_ATTRIBUTES_SEQUENCE}
"""The elements that decide, as they are encoded, whether an instance repeats another."""


class Receiver(Protocol):
    """The part of the registry this feed needs."""

    def receive(
        self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes], /
    ) -> Receipt:
        """Take one message in one transaction; whatever `read` raises is in the receipt."""


@dataclass(frozen=True, slots=True)
class HeaderMessage:
    """
    One header, ready for the registry.

    Args:
        read: what it states, for this index; raises what stops it.
        study: digest of its patient and study; empty when it names no study. The instances of a
            study repeat it.
    """

    envelope: Envelope
    read: Callable[[], Instruction]
    study: bytes = b""

    def hand_to(self, registry: Receiver) -> Receipt:
        """
        Let the registry take it, durably.

        Raises:
            StoreError: it is not durable, or nobody knows.
        """
        return registry.receive(self.envelope, self.read, _no_reply)


def message_of(header: Header, source: PatientIdentitySource | None, directory: Directory) -> HeaderMessage:
    """
    The message of a header that could be read.

    Raises:
        UnreadableMessage: it declares no possible character set.
    """
    text = HeaderText(header)
    elements = text.to_json()
    control_id = text.first(SOP_INSTANCE_UID) or text.first(STUDY_INSTANCE_UID)
    raw = canonical_bytes(elements)
    digest = hashlib.sha256(raw).hexdigest()
    # An archive may correct the patient of an instance and keep its UID (IHE PIR): that is another message.
    named = bool(control_id) and len(control_id) <= _MAX_UID_LENGTH
    control_id = f"{control_id}#{digest[:16]}" if named else ""
    return HeaderMessage(
        envelope=_envelope(source, raw, digest, control_id, frozenset(_patients(elements))),
        read=partial(_read_identity, header, source, directory),
        study=_study_digest(elements, source),
    )


def message_of_unreadable(
    start: bytes, error: FeedError, source: PatientIdentitySource | None
) -> HeaderMessage:
    """The message of what could not be read: its start is kept; of what is refused, the digest only."""
    start = start[:MAX_UNREADABLE_BYTES]
    digest = hashlib.sha256(start).hexdigest()
    kept = b"" if isinstance(error, UnsupportedMessage) else start
    return HeaderMessage(_envelope(source, kept, digest), partial(_raise, error))


def read_message(
    envelope: Envelope, directory: Directory, *, read_header: ReadHeader = read_header_apart
) -> Instruction:
    """
    Read a message of this feed again, as it was kept: what the registry's replay asks for.

    Args:
        read_header: how to read the bytes of what could not be read before; a child process unless given.

    Raises:
        FeedError, RegistryError, NotPermitted: as for the object; and for one that was refused
            unread, because nothing of it was kept.
    """
    source = directory.sender(envelope.source)
    if not envelope.raw.startswith(b"{"):
        return _read_identity(read_header(envelope.raw), source, directory)
    try:
        elements = json.loads(envelope.raw)
    except (ValueError, RecursionError):
        raise UnreadableMessage(FILE, "not a DICOM JSON object") from None
    return _read_identity(header_from_json(elements), source, directory)


def reason_of(error: Exception) -> tuple[str, str]:
    """Place and problem of what stopped a message."""
    return getattr(error, "place", type(error).__name__), getattr(error, "problem", str(error))


def _envelope(
    source: PatientIdentitySource | None,
    raw: bytes,
    digest: str,
    control_id: str = "",
    patients: frozenset[str] = frozenset(),
) -> Envelope:
    return Envelope(
        protocol=Arrival.DICOM,
        source=sender_name(source),
        application=source.aet if source else "",
        facility="",
        control_id=control_id,
        content_hash=digest,
        raw=raw,
        event=EVENT,
        patients=patients,
    )


def _patients(elements: Mapping[str, Any]) -> Iterator[str]:
    """Every Patient ID of a header in the DICOM JSON model: its own, other and former ones."""
    for tag, element in elements.items():
        for value in element.get("Value", ()):
            if isinstance(value, dict):
                yield from _patients(value) if element.get("vr") == "SQ" else ()
            elif tag == _PATIENT_ID and isinstance(value, str) and value:
                yield value


def _study_digest(elements: dict[str, Any], source: PatientIdentitySource | None) -> bytes:
    wanted = {f"{tag:08X}" for tag in _STUDY_TAGS}
    if not elements.get(f"{STUDY_INSTANCE_UID:08X}", {}).get("Value"):
        return b""
    stated = canonical_bytes({tag: elements[tag] for tag in elements if tag in wanted} | _formerly(elements))
    return hashlib.sha256((source.name if source else "").encode() + b"\0" + stated).digest()


def _formerly(elements: dict[str, Any]) -> dict[str, Any]:
    """What was stated before it was corrected, but not when each instance was."""
    items = elements.get(f"{ORIGINAL_ATTRIBUTES_SEQUENCE:08X}", {}).get("Value", [])
    modified = f"{MODIFIED_ATTRIBUTES_SEQUENCE:08X}"
    return {"formerly": [item[modified] for item in items if modified in item]} if items else {}


def _read_identity(header: Header, source: PatientIdentitySource | None, directory: Directory) -> Instruction:
    record = identity_from_header(header, source, directory)
    text = HeaderText(header)
    formerly = formerly_under(text, record, source, directory)
    study = study_of(text, record.key, record.source)
    noticed = tuple(one for one in text.warnings if one not in record.warnings)
    record = replace(record, warnings=(*record.warnings, *noticed))
    return IdentityStated((record,), studies=(study,) if study is not None else (), formerly=formerly)


def _raise(error: FeedError) -> NoReturn:
    raise error


def _no_reply(_receipt: Receipt) -> bytes:
    return b""
