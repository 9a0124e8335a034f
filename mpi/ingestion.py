"""
Files into the registry, whatever they are: HL7 v2, DICOM, FHIR, tables, and folders of them.

The same handlers as the live feeds; only the transport differs.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from mpi.errors import UnreadableMessage
from mpi.feeds import tabular
from mpi.feeds.dicom.header import FILE
from mpi.feeds.dicom.ingest import ingest_dicom, walk_files
from mpi.feeds.fhir.messages import looks_like_fhir, messages_of_file
from mpi.feeds.hl7v2.batch import looks_like_hl7, split_messages
from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.index.events import Envelope, Instruction, MessageState, Receipt
from mpi.index.parties import Directory, PatientIdentitySource
from mpi.index.registry import Registry

_NOT_DICOM = "not a DICOM file"
_NEITHER = "neither HL7 v2 nor DICOM"


@dataclass(frozen=True, slots=True)
class Ingested:
    """
    What became of the files and of the messages in them.

    Args:
        files: how many files were opened; each is a DICOM file or holds messages: HL7, Patients, or rows.
        states: messages by the state they reached. Their sum is `messages`.
        repeated: DICOM files that repeat a patient and study already handed over in this run.
        reasons: how many messages each (file, place, problem) stopped. The place may be empty.
        warned: messages of which something was tolerated, whatever state they reached.
        warnings: in how many messages each thing was tolerated.
    """

    files: int = 0
    messages: int = 0
    states: Mapping[MessageState, int] = field(default_factory=dict)
    repeated: int = 0
    linked: int = 0
    tasks: int = 0
    reasons: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    warned: int = 0
    warnings: Mapping[str, int] = field(default_factory=dict)

    @property
    def is_failure(self) -> bool:
        """Whether messages came and none of them was taken, now or before."""
        taken = self.states.get(MessageState.APPLIED, 0) + self.states.get(MessageState.DUPLICATE, 0)
        return self.messages > 0 and taken + self.repeated == 0


def ingest(
    registry: Registry,
    hl7: Hl7Handler,
    paths: Iterable[Path],
    *,
    source_name: str | None = None,
    on_file: Callable[[Path], None] = lambda _path: None,
) -> Ingested:
    """
    Feed files and folders to the registry.

    Args:
        source_name: the configured source that tables and FHIR files come from, and DICOM headers when
            they do not say.
        on_file: told of each file once it is done, for a progress bar.

    Raises:
        StoreError: the store does not take writes any more.
    """
    states: Counter[MessageState] = Counter()
    reasons: Counter[tuple[str, str, str]] = Counter()
    warnings: Counter[str] = Counter()
    files = linked = tasks = repeated = warned = 0

    def count(path: Path, receipt: Receipt, reason: tuple[str, str] | None = None) -> None:
        nonlocal linked, tasks, warned
        states[receipt.state] += 1
        linked += receipt.linked
        tasks += receipt.tasks_opened
        warned += bool(receipt.warnings)
        warnings.update(set(receipt.warnings))
        if receipt.error is not None:
            place = getattr(receipt.error, "place", "")
            problem = getattr(receipt.error, "problem", str(receipt.error))
            reasons[(path.name, *(reason or (place, problem)))] += 1

    source = registry.directory.source(source_name) if source_name is not None else None
    headers: list[Path] = []
    for path in walk_files(paths):
        with path.open("rb") as stream:
            head = stream.read(64)
        if looks_like_hl7(head):
            for message in split_messages(path.read_bytes()):
                incoming = hl7.prepare(message)
                count(path, registry.receive(incoming.envelope, incoming.read, incoming.reply))
        elif tabular.looks_like_table(path, head):
            for row in _rows(path, source, registry.directory):
                receipt = row.hand_to(registry)
                count(path, receipt, tabular.field_of(receipt.error, row.number) if receipt.error else None)
        elif looks_like_fhir(head):
            written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            for resource in messages_of_file(path, source, registry.directory, received=written):
                count(path, resource.hand_to(registry))
        else:
            headers.append(path)
            continue
        files += 1
        on_file(path)

    def on_result(path: Path, receipt: Receipt | None, _error: Exception | None) -> None:
        nonlocal repeated
        if receipt is None:
            repeated += 1
        else:
            count(path, receipt)
        on_file(path)

    ingest_dicom(_AfterHl7(registry), registry.directory, headers, source_name, on_result)
    return Ingested(
        files=files + len(headers),
        messages=sum(states.values()),
        states=dict(states),
        repeated=repeated,
        linked=linked,
        tasks=tasks,
        reasons=dict(reasons),
        warned=warned,
        warnings=dict(warnings),
    )


def _rows(
    path: Path, source: PatientIdentitySource | None, directory: Directory
) -> Iterator[tabular.RowMessage]:
    """The rows of a table whose columns are named as the traits; of another, that it came and why it is none."""
    try:
        if source is None:
            raise tabular.no_source()
        table = tabular.open_table(path)
    except UnreadableMessage as error:
        yield tabular.message_of_unreadable(path, error, source)
        return
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    yield from tabular.RowReader(table, source, directory, event_time=written).messages()


class _AfterHl7:
    """Receives what the DICOM feed reads of files that are not HL7: what is no DICOM either is called so."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def receive(
        self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes], /
    ) -> Receipt:
        def read_or_say_neither() -> Instruction:
            try:
                return read()
            except UnreadableMessage as error:
                if (error.place, error.problem) != (FILE, _NOT_DICOM):
                    raise
                raise UnreadableMessage(FILE, _NEITHER) from None

        return self._registry.receive(envelope, read_or_say_neither, reply)
