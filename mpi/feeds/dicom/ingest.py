"""
Feed DICOM files and folders to the registry: one message per file, every file accounted for.

What is kept of a file is its header elements as DICOM JSON, never a pixel. The instances of one
study repeat one patient: within a run the registry receives each study's patient once.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol

from mpi.errors import FeedError, UnreadableMessage, UnsupportedMessage
from mpi.feeds.dicom.header import (
    FILE,
    PATIENT_TAGS,
    SOP_INSTANCE_UID,
    STUDY_INSTANCE_UID,
    Header,
    HeaderText,
    canonical_bytes,
    header_from_json,
    read_header,
)
from mpi.feeds.dicom.patient import identity_from_header
from mpi.index.events import Envelope, IdentityStated, Instruction, MessageState, Receipt
from mpi.index.events import Protocol as Arrival
from mpi.index.parties import Directory, PatientIdentitySource

EVENT = "DICOM header"
UNKNOWN_SOURCE = "unknown"
MAX_UNREADABLE_BYTES = 64 * 1024
"""How much of an unreadable file is kept for whoever looks into it."""

_MAX_UID_LENGTH = 64
_STUDY_TAGS = PATIENT_TAGS | {STUDY_INSTANCE_UID}

OnResult = Callable[[Path, Receipt | None, Exception | None], None]


class Receiver(Protocol):
    """The part of the registry this feed needs."""

    def receive(
        self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes], /
    ) -> Receipt:
        """Take one message in one transaction; whatever `read` raises is in the receipt."""


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """
    What became of the files of one run: `files` is the sum of the five states.

    Args:
        repeated: further instances of a study whose patient this run had already handed over.
        linked: messages whose record now shares an enterprise record with another one.
        tasks: review tasks opened.
        reasons: how many files each place and problem stopped.
    """

    files: int = 0
    applied: int = 0
    duplicate: int = 0
    quarantined: int = 0
    refused: int = 0
    repeated: int = 0
    linked: int = 0
    tasks: int = 0
    reasons: Mapping[tuple[str, str], int] = field(default_factory=dict)


def ingest_dicom(
    registry: Receiver,
    directory: Directory,
    paths: Iterable[Path],
    source_name: str | None,
    on_result: OnResult,
) -> IngestSummary:
    """
    Hand the patient identities of DICOM files to the registry.

    Files are read in the order of their names, folder by folder, whatever the file system answers.
    A broken file is accounted for and the rest goes on; only a store that fails stops the run,
    and what it had handed over is then a duplicate of itself.

    Args:
        paths: files, and folders with everything below them; links to folders are not followed.
        source_name: the patient identity source the files come from, or None when the headers say.
        on_result: called once per file with the receipt and the error in it; with neither for a
            repeated instance, which is not received.

    Raises:
        SettingsError: no source has that name.
        StoreError: the store did not take a message; the files before it are durable.
    """
    source = directory.source(source_name) if source_name else None
    states: Counter[str] = Counter()
    reasons: Counter[tuple[str, str]] = Counter()
    studies_seen: set[bytes] = set()
    for path in walk_files(paths):
        states["files"] += 1
        envelope, read, study = _message(path, source, directory)
        if study in studies_seen:
            states["repeated"] += 1
            on_result(path, None, None)
            continue
        receipt = registry.receive(envelope, read, _no_reply)
        if study:
            studies_seen.add(study)
        states[_STATES[receipt.state]] += 1
        states["linked"] += receipt.linked
        states["tasks"] += receipt.tasks_opened
        if receipt.error is not None:
            reasons[_reason(receipt.error)] += 1
        on_result(path, receipt, receipt.error)
    return IngestSummary(**states, reasons=dict(reasons))


def read_message(envelope: Envelope, directory: Directory) -> Instruction:
    """
    Read a message of this feed again, as it was kept: what the registry's replay asks for.

    Raises:
        FeedError, RegistryError, NotPermitted: as for the file; and for a file that was refused
            unread, because nothing of it was kept.
    """
    source = None if envelope.source == UNKNOWN_SOURCE else directory.source(envelope.source)
    if not envelope.raw.startswith(b"{"):
        return _read_identity(read_header(envelope.raw), source, directory)
    try:
        elements = json.loads(envelope.raw)
    except (ValueError, RecursionError):
        raise UnreadableMessage(FILE, "not a DICOM JSON object") from None
    return _read_identity(header_from_json(elements), source, directory)


_STATES = {
    MessageState.APPLIED: "applied",
    MessageState.DUPLICATE: "duplicate",
    MessageState.QUARANTINED: "quarantined",
    MessageState.REFUSED: "refused",
}


def walk_files(paths: Iterable[Path]) -> Iterator[Path]:
    """Every file of the paths, one folder in memory at a time; what is no folder is given as it is."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, folders, names in os.walk(path):
            folders.sort()
            yield from (Path(folder, name) for name in sorted(names))


def _message(
    path: Path, source: PatientIdentitySource | None, directory: Directory
) -> tuple[Envelope, Callable[[], Instruction], bytes]:
    """One file as a message; the digest of its study and patient is empty when it names no study."""
    try:
        header = read_header(path)
        text = HeaderText(header)
        elements = text.to_json()
        control_id = text.first(SOP_INSTANCE_UID)
    except FeedError as error:
        return _envelope(source, *_kept_of(path, error)), partial(_raise, error), b""
    read = partial(_read_identity, header, source, directory)
    raw = canonical_bytes(elements)
    digest = hashlib.sha256(raw).hexdigest()
    # An archive may correct the patient of an instance and keep its UID (IHE PIR): that is another message.
    named = bool(control_id) and len(control_id) <= _MAX_UID_LENGTH
    control_id = f"{control_id}#{digest[:16]}" if named else ""
    return _envelope(source, raw, digest, control_id), read, _study_digest(elements)


def _kept_of(path: Path, error: FeedError) -> tuple[bytes, str]:
    """The start of an unreadable file, and its digest; of a file that is refused, the digest only."""
    start = b""
    with suppress(OSError):
        if path.is_file():
            with open(path, "rb") as file:
                start = file.read(MAX_UNREADABLE_BYTES)
    digest = hashlib.sha256(start).hexdigest()
    return (b"" if isinstance(error, UnsupportedMessage) else start), digest


def _envelope(
    source: PatientIdentitySource | None, raw: bytes, digest: str, control_id: str = ""
) -> Envelope:
    return Envelope(
        protocol=Arrival.DICOM,
        source=source.name if source else UNKNOWN_SOURCE,
        application=source.aet if source else "",
        facility="",
        control_id=control_id,
        content_hash=digest,
        raw=raw,
        event=EVENT,
    )


def _study_digest(elements: dict[str, Any]) -> bytes:
    wanted = {f"{tag:08X}" for tag in _STUDY_TAGS}
    if not elements.get(f"{STUDY_INSTANCE_UID:08X}", {}).get("Value"):
        return b""
    return hashlib.sha256(canonical_bytes({tag: elements[tag] for tag in elements if tag in wanted})).digest()


def _read_identity(header: Header, source: PatientIdentitySource | None, directory: Directory) -> Instruction:
    return IdentityStated((identity_from_header(header, source, directory),))


def _raise(error: FeedError) -> NoReturn:
    raise error


def _no_reply(_receipt: Receipt) -> bytes:
    return b""


def _reason(error: Exception) -> tuple[str, str]:
    return getattr(error, "place", type(error).__name__), getattr(error, "problem", str(error))
