"""
A table of one site, a row a patient: every row is one message for the registry.

A row keeps one name over every run: the digest of the file's name, its identifier and its content.
So the same file again changes nothing, and a load that was stopped goes on where it was. A row that
cannot be used is quarantined under its line and trait; the others go on. CSV is read row by row,
whatever its size, so that one broken line costs one row.
"""

import csv
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, NoReturn, Protocol, cast

from mpi.errors import FeedError, InvalidIdentity, MpiError, UnknownAuthority, UnreadableMessage
from mpi.feeds.hl7v2.problems import AFTER_THE_EVENT, REQUIRED, SenderNotPermitted
from mpi.feeds.hl7v2.times import PARIS, parse_instant
from mpi.feeds.national import StatedIns, admit_ins, own_ins_oid
from mpi.identity.domains import INS_TYPE, Domain
from mpi.identity.model import AssigningAuthority, Demographics, PatientIdentifier, SourceRecord
from mpi.identity.tabular import TRAIT_NAMES, demographics_from_mapping, text_of
from mpi.index.events import Envelope, IdentityStated, Instruction, Receipt
from mpi.index.events import Protocol as Arrival
from mpi.index.parties import Directory, PatientIdentitySource, sender_name

EVENT: Final = "table row"
RECORD_ID: Final = "record_id"
DOMAIN: Final = "domain"
EVENT_TIME: Final = "event_time"
COLUMNS: Final = (RECORD_ID, DOMAIN, *TRAIT_NAMES)
"""What a column may be said to hold."""
SUFFIXES: Final = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")

_DELIMITERS: Final = ",;\t"
_SNIFFED_BYTES: Final = 1 << 16
_PARQUET: Final = b"PAR1"
_NO_SOURCE: Final = "a table needs the source it comes from (--source)"
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_MAX_KEPT_CHARACTERS: Final = 64 * 1024


class Receiver(Protocol):
    """The part of the registry this feed needs."""

    def receive(
        self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes], /
    ) -> Receipt:
        """Take one message in one transaction; whatever `read` raises is in the receipt."""


@dataclass(frozen=True, slots=True)
class Row:
    """
    One row as it stands in the file.

    Args:
        number: its line in a CSV file, its row from 1 in a Parquet file.
        cells: by name in `COLUMNS` (and `event_time`), what is stated.
        problem: why it cannot be read at all; `cells` is then empty.
        kept: of a row that cannot be read, what is kept of it.
    """

    number: int
    cells: Mapping[str, object]
    problem: str = ""
    kept: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TableFile:
    """
    A table whose headings were read: what is in which column.

    Args:
        columns: by name in `COLUMNS` (and `event_time`), the heading.
        headings: every one, in the order of the file.
        delimiter: empty for Parquet.
    """

    path: Path
    columns: Mapping[str, str]
    headings: tuple[str, ...]
    delimiter: str
    encoding: str = "utf-8"

    @property
    def unit(self) -> str:
        """What rows are counted in."""
        return "line" if self.delimiter else "row"

    @property
    def traits(self) -> tuple[str, ...]:
        """The traits it has a column for."""
        return tuple(name for name in TRAIT_NAMES if name in self.columns)

    def rows(self) -> Iterator[Row]:
        """Every row, broken ones too; blank lines are none."""
        return self._csv_rows() if self.delimiter else self._parquet_rows()

    def _csv_rows(self) -> Iterator[Row]:
        at = {name: self.headings.index(heading) for name, heading in self.columns.items()}
        with _reading(self.path) as file:
            encoding = "utf-8-sig" if self.encoding == "utf-8" else self.encoding
            lines = (line.decode(encoding, errors="surrogateescape") for line in file)
            reader = csv.reader(lines, delimiter=self.delimiter)
            is_heading = True
            while True:
                number = reader.line_num + 1
                try:
                    cells = next(reader, None)
                except csv.Error:
                    yield Row(number, {}, "cannot be read as CSV")
                    continue
                if cells is None:
                    return
                if is_heading and cells:
                    is_heading = False
                elif cells:
                    yield self._csv_row(number, cells, at)

    def _csv_row(self, number: int, cells: list[str], at: Mapping[str, int]) -> Row:
        if len(cells) == len(self.headings):
            return Row(number, {name: cells[index] for name, index in at.items()})
        problem = f"expected {len(self.headings)} columns"
        if any("\n" in cell for cell in cells):
            problem += "; perhaps a quotation mark is not closed"
        return Row(number, {}, problem, tuple(cells))

    def _parquet_rows(self) -> Iterator[Row]:
        import pyarrow as pa
        from pyarrow import parquet

        number = 0
        try:
            file = parquet.ParquetFile(self.path)
            for batch in file.iter_batches(columns=list(dict.fromkeys(self.columns.values()))):
                for row in batch.to_pylist():
                    number += 1
                    yield Row(number, {name: row[heading] for name, heading in self.columns.items()})
        except (pa.ArrowException, OSError):
            raise UnreadableMessage(self.path.name, f"cannot be read after row {number}") from None


def open_table(
    path: Path,
    *,
    maps: Sequence[str] = (),
    id_column: str | None = None,
    domain_column: str | None = None,
    event_time_column: str | None = None,
    encoding: str = "utf-8",
) -> TableFile:
    """
    Read the headings of a table, CSV (comma, semicolon or tab; also gzipped) or Parquet.

    Columns that are no trait are left alone.

    Args:
        maps: `trait=column` each. The column is then that trait and no other, whatever its name.
        id_column: the column of identifiers; `record_id` by default.
        domain_column: the column of namespaces or OIDs; by default `domain`, if it is there.
        event_time_column: since when each row is true.

    Raises:
        UnreadableMessage: no such file, not a table, an unknown trait or column, two columns for one
            trait, or no column of identifiers. The place is the option or the file.
    """
    with _reading(path) as file:
        head = file.read(_SNIFFED_BYTES)
    if head.startswith(_PARQUET):
        headings, delimiter = _parquet_headings(path), ""
    elif path.name.lower().endswith(".parquet"):
        raise UnreadableMessage(path.name, "not a Parquet file")
    else:
        headings, delimiter = _csv_headings(path, head, encoding)
    asked = _asked(maps, id_column, domain_column, event_time_column)
    renamed = {text.partition("=")[2] for text in maps}
    own = {name: name for name in COLUMNS if name in headings and name not in renamed}
    columns = {**own, **asked}
    for name, heading in columns.items():
        if heading not in headings:
            raise UnreadableMessage(path.name, f"no column {heading}, where {name} was said to be")
        if headings.count(heading) > 1:
            raise UnreadableMessage(path.name, f"two columns named {heading}")
    if RECORD_ID not in columns:
        raise UnreadableMessage(path.name, "no column record_id: name the column of identifiers with --id")
    if not set(columns) & set(TRAIT_NAMES):
        raise UnreadableMessage(path.name, "no column is a trait: name them with --map trait=column")
    ordered = {name: columns[name] for name in (*COLUMNS, EVENT_TIME) if name in columns}
    return TableFile(path, ordered, tuple(headings), delimiter, encoding)


def looks_like_table(path: Path, head: bytes) -> bool:
    """Whether a file is a table, by its name or by its first bytes."""
    return path.name.lower().endswith(SUFFIXES) or head.startswith(_PARQUET)


def _asked(
    maps: Sequence[str], id_column: str | None, domain_column: str | None, event_time_column: str | None
) -> dict[str, str]:
    asked: dict[str, str] = {}
    for text in maps:
        trait, _, column = text.partition("=")
        if not trait or not column:
            raise UnreadableMessage("--map", "expected trait=column")
        if trait not in COLUMNS:
            raise UnreadableMessage("--map", f"unknown trait (expected one of {', '.join(COLUMNS)})")
        if trait in asked:
            raise UnreadableMessage("--map", f"{trait}: two columns for one trait")
        asked[trait] = column
    for option, name, named in (
        ("--id", RECORD_ID, id_column),
        ("--domain", DOMAIN, domain_column),
        ("--event-time", EVENT_TIME, event_time_column),
    ):
        if named is not None:
            if name in asked:
                raise UnreadableMessage(option, f"{name}: two columns for one trait")
            asked[name] = named
    return asked


@contextmanager
def _reading(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed."""
    if path.is_dir():
        raise UnreadableMessage(path.name, "is a folder (expected a CSV or Parquet file)")
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            yield cast("IO[bytes]", file)
    except (OSError, EOFError) as error:
        said = getattr(error, "strerror", None) or "cannot be read"
        raise UnreadableMessage(path.name, said.lower()) from None


def _csv_headings(path: Path, head: bytes, encoding: str) -> tuple[list[str], str]:
    """The headings, and the delimiter that gives the most of them."""
    if not head.strip():
        raise UnreadableMessage(path.name, "empty")
    if b"\0" in head:
        raise UnreadableMessage(path.name, "neither CSV nor Parquet")
    first = re.split(rb"[\r\n]", head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n"), maxsplit=1)[0]
    try:
        line = first.decode(encoding)
        read = [(next(csv.reader([line], delimiter=each), []), each) for each in _DELIMITERS]
    except LookupError:
        raise UnreadableMessage("--encoding", "unknown") from None
    except UnicodeDecodeError:
        raise UnreadableMessage(f"{path.name}: line 1", "not in the character set (--encoding)") from None
    except csv.Error:
        raise UnreadableMessage(f"{path.name}: line 1", "not headings of a CSV file") from None
    return max(read, key=lambda found: len(found[0]))


def _parquet_headings(path: Path) -> list[str]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return list(parquet.read_schema(path).names)
    except (pa.ArrowException, OSError):
        raise UnreadableMessage(path.name, "cannot be read as Parquet") from None


# ------------------------------------------------------------------- a row as a message


@dataclass(frozen=True, slots=True)
class RowMessage:
    """
    One row, ready for the registry.

    Args:
        read: what it states; raises what stops it.
    """

    number: int
    envelope: Envelope
    read: Callable[[], Instruction]

    def hand_to(self, registry: Receiver) -> Receipt:
        """Let the registry take it, durably."""
        return registry.receive(self.envelope, self.read, _no_reply)


class RowReader:
    """
    Makes messages of the rows of one table.

    Args:
        source: the site's, or None when nobody said: then no row is taken.
        event_time: since when rows without a column for it are true.
        is_named: the event time was asked for, and is part of what a row says.
    """

    def __init__(
        self,
        table: TableFile,
        source: PatientIdentitySource | None,
        directory: Directory,
        *,
        event_time: datetime,
        is_named: bool = False,
    ) -> None:
        self._table = table
        self._source = source
        self._directory = directory
        self._event_time = event_time.astimezone(UTC).isoformat()
        self._is_named = is_named

    def messages(self) -> Iterator[RowMessage]:
        """One for each row, in the order of the file."""
        for row in self._table.rows():
            yield self.message(row)

    def message(self, row: Row) -> RowMessage:
        """The message a row is."""
        stated = {name: plain for name, value in row.cells.items() if (plain := _plain(value)) is not None}
        document: dict[str, Any] = {
            "file": self._table.path.name,
            "unit": self._table.unit,
            "number": row.number,
            EVENT_TIME: self._event_time,
            "row": stated,
        }
        said: list[object] = [stated]
        if row.problem:
            kept = "\x1f".join(row.kept)[:_MAX_KEPT_CHARACTERS]
            document |= {"problem": row.problem, "cells": kept}
            said += [row.problem, kept]
        if self._is_named:
            said.append(self._event_time)
        content = json.dumps(said, sort_keys=True).encode()
        raw = json.dumps(document).encode()
        name = "\0".join(
            (self._table.path.name, str(stated.get(RECORD_ID, "")), hashlib.sha256(content).hexdigest())
        )
        envelope = Envelope(
            protocol=Arrival.TABLE,
            source=sender_name(self._source),
            application="",
            facility="",
            control_id=hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest(),
            content_hash=hashlib.sha256(content).hexdigest(),
            raw=raw,
            event=EVENT,
            patients=_patients(stated),
        )
        return RowMessage(row.number, envelope, partial(read_row, raw, self._source, self._directory))


def _patients(stated: Mapping[str, object]) -> frozenset[str]:
    """The identifier a row names, as far as it is one."""
    with suppress(InvalidIdentity):
        return frozenset(filter(None, [text_of(RECORD_ID, stated.get(RECORD_ID))]))
    return frozenset()


def message_of_unreadable(path: Path, error: FeedError, source: PatientIdentitySource | None) -> RowMessage:
    """The message of a file that is not read as a table: only that it came, and why."""
    raw = json.dumps({"file": path.name, "problem": error.problem}).encode()
    envelope = Envelope(
        protocol=Arrival.TABLE,
        source=sender_name(source),
        application="",
        facility="",
        control_id="",
        content_hash=hashlib.sha256(raw).hexdigest(),
        raw=raw,
        event=EVENT,
    )
    return RowMessage(0, envelope, partial(_raise, error))


def no_source() -> FeedError:
    """What is wrong with a table nobody said the source of."""
    return UnreadableMessage("source", _NO_SOURCE)


def read_message(envelope: Envelope, directory: Directory) -> Instruction:
    """
    Read a kept row again: what the registry's replay asks for.

    Raises:
        FeedError, RegistryError, NotPermitted: as the first time.
    """
    return read_row(envelope.raw, directory.sender(envelope.source), directory)


def read_row(raw: bytes, source: PatientIdentitySource | None, directory: Directory) -> IdentityStated:
    """
    Read what a row states, from what is kept of it.

    Raises:
        InvalidIdentity: no identifier, or a wrong value; the place is the line and the trait.
        UnreadableMessage: the row could not be read.
        UnknownAuthority, SenderNotPermitted: its domain is unknown, or not the source's.
    """
    document = json.loads(raw)
    line = f"{document.get('unit', 'file')} {document.get('number', document['file'])}"
    if source is None:
        raise SenderNotPermitted("source", _NO_SOURCE)
    if "problem" in document:
        raise UnreadableMessage(line, document["problem"])
    try:
        return _read_row(document["row"], document[EVENT_TIME], source, directory)
    except InvalidIdentity as error:
        raise InvalidIdentity(f"{line}: {error.place}", error.problem) from None
    except UnknownAuthority as error:
        raise UnknownAuthority(f"{line}: {error.place}", error.problem) from None
    except SenderNotPermitted as error:
        raise SenderNotPermitted(f"{line}: {error.place}", error.problem) from None


def field_of(error: MpiError | Exception, number: int) -> tuple[str, str]:
    """Where in a row an error is, and what it is, whichever line the row stands in."""
    place = getattr(error, "place", "")
    for unit in ("line", "row"):
        place = place.removeprefix(f"{unit} {number}").removeprefix(": ")
    return place, getattr(error, "problem", str(error))


def parse_event_time(text: str) -> datetime:
    """
    Read an instant: ISO 8601, or as in HL7; without an offset it is the hospital's clock.

    Raises:
        ValueError: neither.
    """
    compact = text.strip()
    try:
        if re.match(r"\d{4}-\d{2}-\d{2}", compact):
            found = datetime.fromisoformat(compact)
            return (found if found.tzinfo is not None else found.replace(tzinfo=PARIS)).astimezone(UTC)
        return parse_instant(compact)
    except (ValueError, OverflowError):
        raise ValueError("not an instant") from None


def _read_row(
    row: Mapping[str, object], default_time: str, source: PatientIdentitySource, directory: Directory
) -> IdentityStated:
    for name, value in row.items():
        if isinstance(value, str) and _SURROGATE.search(value):
            raise InvalidIdentity(name, "not in the character set")
    value = text_of(RECORD_ID, row.get(RECORD_ID))
    if not value:
        raise InvalidIdentity(RECORD_ID, REQUIRED)
    domain = _domain(text_of(DOMAIN, row.get(DOMAIN)), source, directory)
    event_time = _event_time(text_of(EVENT_TIME, row.get(EVENT_TIME)) or default_time)
    demographics, others, warnings = _demographics(row, directory)
    born = demographics.birth_date
    if born is not None and datetime(born.year, born.month or 1, born.day or 1, tzinfo=PARIS) > event_time:
        raise InvalidIdentity("birth_date", AFTER_THE_EVENT)
    record = SourceRecord(
        identifier=PatientIdentifier(value, domain.authority, "PI"),
        domain=domain.key,
        demographics=demographics,
        event_time=event_time,
        source=source.name,
        others=others,
        warnings=warnings,
    )
    return IdentityStated((record,))


def _domain(named: str, source: PatientIdentitySource, directory: Directory) -> Domain:
    if not named:
        return directory.domains.by_key(source.feeds[0])
    found = directory.domains.by_namespace(named) or directory.domains.get(named.removeprefix("urn:oid:"))
    if found is None:
        raise UnknownAuthority(DOMAIN)
    if not directory.fed_by(source, found):
        raise SenderNotPermitted(DOMAIN, "this source may not state identities for that domain")
    return found


def _event_time(text: str) -> datetime:
    try:
        return parse_event_time(text)
    except ValueError:
        raise InvalidIdentity(EVENT_TIME, "not an instant") from None


def _demographics(
    row: Mapping[str, object], directory: Directory
) -> tuple[Demographics, tuple[PatientIdentifier, ...], tuple[str, ...]]:
    """The traits, the INS among them only where a PID could bear it."""
    traits = {name: row[name] for name in TRAIT_NAMES if name in row and name != "ins"}
    stated = demographics_from_mapping(traits)
    if stated == Demographics():
        raise InvalidIdentity("row", "states nothing of the person")
    warnings = [] if stated.names else ["birth_name: missing, as are the other names"]
    matricule = "".join(text_of("ins", row.get("ins")).split()).upper()
    if not matricule:
        return stated, (), tuple(warnings)
    oid = own_ins_oid(accept_test_ins=directory.accept_test_ins)
    identifier = PatientIdentifier(matricule, AssigningAuthority("", oid, "ISO"), INS_TYPE)
    values = {name: getattr(stated, name) for name in ("names", "birth_date", "sex", "birth_place_code")}
    admitted = admit_ins(
        [StatedIns(identifier, "ins")],
        {**values, "identity_codes": stated.identity_codes},
        accept_test_ins=directory.accept_test_ins,
        birth_place="birth_place",
        warn=lambda place, problem: warnings.append(f"{place}: {problem}"),
    )
    fields = {name: getattr(stated, name) for name in Demographics.__dataclass_fields__}
    demographics = Demographics(**{**fields, "ins": admitted.ins, "ins_oid": admitted.oid})
    return demographics, admitted.kept, tuple(warnings)


def _plain(value: object) -> object:
    """A cell in JSON types, None when it is empty; of what no trait is, a list, which no reader takes."""
    if value is None or (isinstance(value, float) and value != value):
        return None
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, date):
        return value.isoformat()
    return [type(value).__name__]


def _no_reply(_receipt: Receipt) -> bytes:
    return b""


def _raise(error: MpiError) -> NoReturn:
    raise error
