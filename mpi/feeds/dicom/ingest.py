"""
Feed DICOM files and folders to the registry: one message per file, every file accounted for.

What is kept of a file is its header elements as DICOM JSON, never a pixel. The instances of one
study repeat one patient: within a run the registry receives each study's patient once.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from mpi.errors import FeedError
from mpi.feeds.dicom.messages import (
    EVENT,
    MAX_UNREADABLE_BYTES,
    HeaderMessage,
    Receiver,
    message_of,
    message_of_unreadable,
    read_message,
    reason_of,
)
from mpi.feeds.dicom.reading import ReadHeader, read_header_apart
from mpi.feeds.dicom.tally import Exclusion, exclusions
from mpi.index.events import MessageState, Receipt
from mpi.index.parties import Directory, PatientIdentitySource

__all__ = [
    "EVENT", "MAX_UNREADABLE_BYTES",
    "IngestSummary", "OnResult", "Receiver", "ingest_dicom", "read_message", "walk_files",
]  # fmt: skip

OnResult = Callable[[Path, Receipt | None, Exception | None], None]


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """
    What became of the files of one run: `files` is the sum of the six states.

    Args:
        parked: that wait for an earlier message of their patient, which could not be handled.
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
    parked: int = 0
    repeated: int = 0
    linked: int = 0
    tasks: int = 0
    reasons: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def excluded(self) -> Mapping[Exclusion, int]:
        """How many files are of nobody, by why; they are among the refused."""
        return exclusions(self.reasons.items())


def ingest_dicom(
    registry: Receiver,
    directory: Directory,
    paths: Iterable[Path],
    source_name: str | None,
    on_result: OnResult,
    *,
    read_header: ReadHeader = read_header_apart,
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
        read_header: how files are read; in a child process unless given.

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
        message = _message(path, source, directory, read_header)
        if message.study in studies_seen:
            states["repeated"] += 1
            on_result(path, None, None)
            continue
        receipt = message.hand_to(registry)
        if message.study:
            studies_seen.add(message.study)
        states[_STATES[receipt.state]] += 1
        states["linked"] += receipt.linked
        states["tasks"] += receipt.tasks_opened
        if receipt.error is not None:
            reasons[reason_of(receipt.error)] += 1
        on_result(path, receipt, receipt.error)
    return IngestSummary(**states, reasons=dict(reasons))


_STATES = {
    MessageState.APPLIED: "applied",
    MessageState.DUPLICATE: "duplicate",
    MessageState.QUARANTINED: "quarantined",
    MessageState.REFUSED: "refused",
    MessageState.PARKED: "parked",
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
    path: Path,
    source: PatientIdentitySource | None,
    directory: Directory,
    read_header: ReadHeader,
) -> HeaderMessage:
    try:
        return message_of(read_header(path), source, directory)
    except FeedError as error:
        return message_of_unreadable(_start_of(path), error, source)


def _start_of(path: Path) -> bytes:
    with suppress(OSError):
        if path.is_file():
            with open(path, "rb") as file:
                return file.read(MAX_UNREADABLE_BYTES)
    return b""
