"""
`mpi link`, `mpi train`, `mpi evaluate`: from a table to files, without a store.

A table is CSV (UTF-8; comma, semicolon or tab) or Parquet. What is wrong with one is told by its file,
line and column, never by a value: headings are shown only where they are ours or were typed.
"""

import csv
import gzip
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal, NoReturn, Self, cast

import typer

from mpi.console import Json, answer, err, progress, refuse, say, show_table
from mpi.errors import InvalidIdentity, ModelError, UnreadableMessage
from mpi.identity.tabular import TRAIT_NAMES

if TYPE_CHECKING:  # seconds to import: a command that reads no table does not wait for them
    import pyarrow as pa

    from mpi.identity.columns import BadValues, TraitColumns
    from mpi.matching.batch import Linkage, Report
    from mpi.matching.budget import ErrorBudget, Plan
    from mpi.matching.candidates import Indices
    from mpi.matching.evaluation import Interval
    from mpi.matching.model import MatchModel

Pair = tuple[int, int]

COLUMNS = ("record_id", "domain", *TRAIT_NAMES)
"""What `--map` may give a column for."""
PAIR_COLUMNS = (
    "left_id", "right_id", "weight_bits", "probability", "decision", "left_domain", "right_domain",
)  # fmt: skip
TRAINED_ON_AT_MOST = 200_000
"""Records: `training.estimate` reads pairs one by one, some minutes for as many."""

_BITS_AROUND = 3
"""How far from the thresholds the trade-off is shown."""
_TABLES = (".csv", ".csv.gz", ".parquet")
_DELIMITERS = ",;\t"
_SNIFFED_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 24
"""A row of a CSV file is shorter, whatever is in it."""

Input = Annotated[
    Path, typer.Argument(metavar="INPUT", help="CSV (UTF-8; comma, semicolon or tab) or Parquet.")
]
Maps = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="TRAIT=COLUMN", help="The column a trait is in; repeatable."),
]
Id = Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="Identifiers; record_id by default.")]
Domain = Annotated[
    str | None,
    typer.Option(
        "--domain", metavar="COLUMN", help="Who gave the identifiers; by default domain, if it is there."
    ),
]


# --- reading a table ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class InputTable:
    """
    A table as it was read.

    Args:
        table: its columns under the names of `COLUMNS`; texts, unless Parquet says otherwise.
        columns: by name in the table, what the file calls the column.
        delimiter: empty for Parquet.
        order: by row of the table, its row in the file, when they differ.
    """

    path: Path
    table: "pa.Table"
    columns: Mapping[str, str]
    delimiter: str
    order: Sequence[int] | None = None

    def by_identifier(self) -> Self:
        """The same in order of identifiers, as the rows of a distributed engine are counted."""
        import pyarrow as pa
        from pyarrow import compute

        names = [name for name in ("record_id", "domain") if name in self.columns]
        keys = pa.table(
            {name: compute.utf8_trim_whitespace(self.table.column(name).cast(pa.string())) for name in names}
        )
        order = compute.sort_indices(keys, sort_keys=[(name, "ascending") for name in names])
        return replace(self, table=self.table.take(order), order=order.to_pylist())

    def line(self, row: int) -> int:
        """The line of a CSV file a row (from 0) begins at; the row of a Parquet file, from 1."""
        row = row if self.order is None else self.order[row]
        if not self.delimiter:
            return row + 1
        for at, (line, _cells) in enumerate(_records(self.path, self.delimiter)):
            if at == row + 1:
                return line
        return row + 2

    def place(self, row: int, name: str) -> str:
        """Where a value is, in words of the file."""
        column = self.columns.get(name, name)
        known_as = name if column == name else f"{column} ({name})"
        return f"{self.path}: {'line' if self.delimiter else 'row'} {self.line(row)}: {known_as}"

    def placed(self, error: InvalidIdentity) -> UnreadableMessage:
        """An error of the batch, which counts rows from 0, in words of the file."""
        found = re.fullmatch(r"(\w+), row (\d+)(.*)", error.place)
        if not found:
            return UnreadableMessage(f"{self.path}: {error.place}", error.problem)
        return UnreadableMessage(self.place(int(found[2]), found[1]) + found[3], error.problem)

    def bad(self, values: "Sequence[BadValues]") -> list[dict[str, Any]]:
        """What was taken for missing, by column."""
        return [
            {
                "column": self.columns[each.trait],
                "trait": each.trait,
                "values": each.rows,
                "first_line" if self.delimiter else "first_row": self.line(each.first_row),
                "problem": each.problem,
            }
            for each in values
        ]


def read_table(
    path: Path, maps: Sequence[str] = (), id_column: str | None = None, domain_column: str | None = None
) -> InputTable:
    """
    Read the columns of a table that are traits, those of CSV as text.

    Args:
        maps: `trait=column` each. The column is then that trait and no other, whatever its name.

    Raises:
        UnreadableMessage: a file that is missing, empty, neither CSV nor Parquet, not UTF-8, without
            a record, or with two columns of one name. The place is the file, and the line.
        typer.Exit: an unknown trait or column, or no column of identifiers.
    """
    asked = _asked(maps, id_column, domain_column)
    renamed = {text.partition("=")[2] for text in maps}
    with _reading(path) as file:
        head = file.read(_SNIFFED_BYTES)
    delimiter = ""
    if head.startswith(b"PAR1"):
        header = _parquet_header(path)
    elif path.name.lower().endswith(".parquet"):
        raise UnreadableMessage(str(path), "not a Parquet file")
    else:
        header, delimiter = _csv_header(path, head)
    columns = _columns(path, header, asked, renamed)
    wanted = list(dict.fromkeys(columns.values()))
    read = _read_csv(path, delimiter, header, wanted) if delimiter else _read_parquet(path, wanted)
    if not len(read):
        raise UnreadableMessage(str(path), "no record under the headings")
    import pyarrow as pa

    table = pa.table({name: read.column(column) for name, column in columns.items()})
    table = table.set_column(
        table.column_names.index("record_id"), "record_id", _whole(table.column("record_id"))
    )
    return InputTable(path, table, columns, delimiter)


def _asked(maps: Sequence[str], id_column: str | None, domain_column: str | None) -> dict[str, str]:
    """Trait -> column, as the options say."""
    asked: dict[str, str] = {}
    for text in maps:
        trait, _, column = text.partition("=")
        if not trait or not column:
            raise refuse("--map: expected trait=column")
        if trait not in COLUMNS:
            raise refuse(f"--map: {trait}: unknown trait (expected one of {', '.join(COLUMNS)})")
        if trait in asked:
            raise refuse(f"--map: {trait}: two columns for one trait")
        asked[trait] = column
    for option, trait, named in (("--id", "record_id", id_column), ("--domain", "domain", domain_column)):
        if named is not None:
            if trait in asked:
                raise refuse(f"{option}: {trait}: two columns for one trait")
            asked[trait] = named
    return asked


def _columns(
    path: Path, header: Sequence[str], asked: Mapping[str, str], renamed: set[str]
) -> dict[str, str]:
    """By trait, the column of the file it is in. Columns that are no trait are left alone."""
    own = {name: name for name in COLUMNS if name in header and name not in renamed}
    columns = {**own, **asked}
    for trait, column in columns.items():
        if column not in header:
            raise refuse(f"{path}: no column {column}, where {trait} was said to be")
        if header.count(column) > 1:
            raise UnreadableMessage(str(path), f"two columns named {column}")
    if "record_id" not in columns:
        raise refuse(f"{path}: no column record_id: name the column of identifiers with --id")
    if not set(columns) & set(TRAIT_NAMES):
        raise refuse(f"{path}: no column is a trait: name them with --map trait=column")
    return {name: columns[name] for name in COLUMNS if name in columns}


@contextmanager
def _reading(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed."""
    if path.is_dir():
        raise UnreadableMessage(str(path), "is a folder (expected a CSV or Parquet file)")
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            yield cast("IO[bytes]", file)
    except (OSError, EOFError) as error:
        said = getattr(error, "strerror", None) or "cannot be read"
        raise UnreadableMessage(str(path), said.lower()) from None


def _csv_header(path: Path, head: bytes) -> tuple[list[str], str]:
    """The headings, and the delimiter that gives the most of them."""
    if not head.strip():
        raise UnreadableMessage(str(path), "empty")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnreadableMessage(f"{path}: line 1", "not UTF-8")
    if b"\0" in head:
        raise UnreadableMessage(str(path), "neither CSV nor Parquet")
    first = re.split(rb"[\r\n]", head.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n"), maxsplit=1)[0]
    try:
        line = first.decode()
    except UnicodeDecodeError:
        raise UnreadableMessage(f"{path}: line 1", "not UTF-8") from None
    try:
        headers = [(next(csv.reader([line], delimiter=each), []), each) for each in _DELIMITERS]
    except csv.Error:
        raise UnreadableMessage(f"{path}: line 1", "not headings of a CSV file") from None
    return max(headers, key=lambda found: len(found[0]))


def _read_csv(path: Path, delimiter: str, header: Sequence[str], wanted: list[str]) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
        with _reading(path) as file:
            table = arrow_csv.read_csv(
                file,
                read_options=arrow_csv.ReadOptions(block_size=_BLOCK_BYTES),
                parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(
                    include_columns=list(dict.fromkeys([*wanted, header[-1]]))
                    if header.count(header[-1]) == 1
                    else wanted,
                    column_types={name: pa.string() for name in header},
                    null_values=[""],
                    strings_can_be_null=True,
                ),
            )
    except (pa.ArrowInvalid, pa.ArrowKeyError):  # what Arrow says quotes the row
        _refuse_csv(path, delimiter, len(header))
    last = table.column(table.num_columns - 1)
    if len(table) and "\n" in (last[-1].as_py() or ""):
        _refuse_csv(path, delimiter, len(header))
    return table


def _refuse_csv(path: Path, delimiter: str, width: int) -> NoReturn:
    """Name the first line that is wrong."""
    with _reading(path) as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode()
            except UnicodeDecodeError:
                raise UnreadableMessage(f"{path}: line {number}", "not UTF-8") from None
    for line_number, cells in _records(path, delimiter):
        if len(cells) != width:
            raise UnreadableMessage(f"{path}: line {line_number}", f"expected {width} columns")
        if "\n" in cells[-1]:
            raise UnreadableMessage(f"{path}: line {line_number}", "a quotation mark is not closed")
    raise UnreadableMessage(str(path), "cannot be read as CSV")


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The line each record begins at, the headings' too, and its cells; blank lines are left out."""
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with _reading(path) as file:
            texts = (line.decode("utf-8", errors="replace") for line in file)
            reader = csv.reader(texts, delimiter=delimiter)
            before = 0
            for cells in reader:
                if cells:
                    yield before + 1, cells
                before = reader.line_num
    finally:
        csv.field_size_limit(limit)


def _parquet_header(path: Path) -> list[str]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return list(parquet.read_schema(path).names)
    except (pa.ArrowException, OSError):
        raise UnreadableMessage(str(path), "cannot be read as Parquet") from None


def _read_parquet(path: Path, wanted: list[str]) -> "pa.Table":
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path).read().select(wanted)
    except (pa.ArrowException, OSError):
        raise UnreadableMessage(str(path), "cannot be read as Parquet") from None


def _whole(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Identifiers that pandas wrote as 1.0 because some were missing, as whole numbers again."""
    import pyarrow as pa

    if not pa.types.is_floating(column.type):
        return column
    numbers = pa.chunked_array([pa.Array.from_pandas(column.to_pandas())])
    try:
        return numbers.cast(pa.int64())
    except pa.ArrowInvalid:
        return column


# --- writing ------------------------------------------------------------------------------


def _writable(option: str, path: Path, *others: Path | None, names: tuple[str, ...] = _TABLES) -> None:
    """Refuse a file that cannot be written, or that another one would be lost to."""
    if not path.name.lower().endswith(names):
        raise refuse(f"{option}: {path}: expected a name that ends in {', '.join(names)}")
    if not path.parent.is_dir():
        raise refuse(f"{option}: {path.parent}: no such folder")
    if path.is_dir():
        raise refuse(f"{option}: {path}: is a folder")
    for other in others:
        if other is not None and path.resolve() == other.resolve():
            raise refuse(f"{option}: {path}: is another file of this command")


def _write(files: Mapping[Path, "Callable[[Path], object]"]) -> None:
    """Write files, all of them whole or none."""
    parts = {path: path.with_name(f".{path.name}.{os.getpid()}.part") for path in files}
    try:
        for path, write in files.items():
            write(parts[path])
        for path, part in parts.items():
            part.replace(path)
    except OSError as error:
        said = (error.strerror or "cannot be written").lower()
        err.print(f"mpi: {', '.join(map(str, files))}: {said}", markup=False, highlight=False)
        raise typer.Exit(1) from None
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _table_writer(table: "pa.Table", path: Path) -> "Callable[[Path], object]":
    """Writes the table in the format of its name."""
    from pyarrow import parquet

    if path.name.lower().endswith(".parquet"):
        return lambda part: parquet.write_table(table, part)
    return lambda part: _write_csv(table, part, compressed=path.name.lower().endswith(".gz"))


def _write_csv(table: "pa.Table", path: Path, *, compressed: bool) -> None:
    """Write CSV, quoted only where a value asks for it."""
    import pyarrow as pa
    from pyarrow import compute
    from pyarrow import csv as arrow_csv

    for at, name in enumerate(table.column_names):
        column = table.column(at)
        if pa.types.is_dictionary(column.type):
            column = column.cast(pa.string())
        if pa.types.is_string(column.type):  # an empty text would be quoted, a missing one is not
            column = compute.if_else(compute.equal(column, ""), pa.scalar(None, pa.string()), column)
        table = table.set_column(at, name, column)

    def write(quoting: str) -> None:
        options = arrow_csv.WriteOptions(include_header=False, quoting_style=quoting)
        with pa.output_stream(str(path), compression="gzip" if compressed else None) as stream:
            stream.write(f"{','.join(table.column_names)}\n".encode())
            arrow_csv.write_csv(table, stream, options)

    try:
        write("none")
    except pa.ArrowInvalid:  # some value holds a comma, a quotation mark or a line's end
        write("needed")


# --- mpi link -----------------------------------------------------------------------------


def link(
    path: Input,
    out: Annotated[Path, typer.Option("--out", help="Sets to write: record_id, domain, euid.")],
    pairs: Annotated[
        Path | None, typer.Option("--pairs", help="Pairs to write, with their weights and decisions.")
    ] = None,
    maps: Maps = None,
    id_column: Id = None,
    domain_column: Domain = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="FILE", help="A model to use as it is, instead of the default one."),
    ] = None,
    no_train: Annotated[
        bool, typer.Option("--no-train", help="Do not adapt the default model to the table.")
    ] = False,
    engine: Annotated[
        Literal["local", "spark"], typer.Option(help="Where to compute; spark wants mpi[spark].")
    ] = "local",
    at: Annotated[
        float | None,
        typer.Option("--at", metavar="P", help="Join records from this probability; 0.5 by default."),
    ] = None,
    certain: Annotated[
        bool, typer.Option("--certain", help="Join only what an index would link by itself.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse values that cannot be read, instead of counting them.")
    ] = False,
    json: Json = False,
) -> None:
    """Link the records of a table: who is whom, in files. No store is opened."""
    if certain and at is not None:
        raise refuse("--at: not together with --certain")
    if at is not None and not 0 < at <= 1:
        raise refuse("--at: expected a probability above 0, at most 1")
    _writable("--out", out, path, model)
    if pairs is not None:
        _writable("--pairs", pairs, path, model, out)
    used = None if model is None else _model(model)
    run = _engine(engine)
    with progress() as bar, _phases(bar) as tell:
        began = time.perf_counter()
        tell("read", 0, 1)
        read = read_table(path, maps or (), id_column, domain_column)
        if engine == "spark":
            read = read.by_identifier()
        tell("read", 1, 1)
        has_read = time.perf_counter()
        try:
            found = run(
                read.table,
                model=used,
                train=used is None and not no_train,
                on_bad="refuse" if strict else "missing",
                at=None if certain else 0.5 if at is None else at,
                clock=time.perf_counter,
                progress=tell,
            )
        except InvalidIdentity as error:
            raise read.placed(error) from None
        has_linked = time.perf_counter()
        tell("write", 0, 1)
        tables = {out: found.entities}
        if pairs is not None:
            tables[pairs] = found.pairs.select(list(PAIR_COLUMNS))
        _write({file: _table_writer(table, file) for file, table in tables.items()})
        tell("write", 1, 1)
    seconds = {
        "read": has_read - began,
        **found.report.seconds,
        "write": time.perf_counter() - has_linked,
    }
    document = _link_document(found, read, seconds)
    answer(json, document, lambda: _show_link(document, found.report, out))


def _engine(name: str) -> "Callable[..., Linkage]":
    try:
        if name == "spark":
            import_module("pyspark")
            spark = import_module("mpi.matching.spark")
            # No training there: the model is used as it is, and the report says so.
            return lambda table, *, train, **options: cast("Linkage", spark.link_table(table, **options))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyspark":
            raise
        raise refuse("--engine spark: pyspark is not installed: install mpi[spark]") from None
    from mpi.matching.batch import link as link_here

    return link_here


def _model(path: Path) -> "MatchModel":
    from mpi.matching.files import read_model

    try:
        return read_model(path)
    except ModelError as error:
        raise refuse(str(error)) from None


@contextmanager
def _phases(bar: Any) -> Iterator[Callable[[str, int, int], None]]:
    """Tells a progress bar of (phase, done, total), one line a phase."""
    tasks: dict[str, Any] = {}

    def tell(phase: str, done: int, total: int) -> None:
        if phase not in tasks:
            tasks[phase] = bar.add_task(phase, total=total)
        bar.update(tasks[phase], completed=done, total=total)

    yield tell


def _link_document(found: "Linkage", read: InputTable, seconds: Mapping[str, float]) -> dict[str, Any]:
    report = found.report
    return {
        "rows": report.rows,
        "entities": report.entities,
        "candidate_pairs": report.candidate_pairs,
        "decisions": dict(report.decisions),
        "refused_links": report.refused,
        "capped_blocks": [block._asdict() for block in report.capped],
        "passes_left_out": [each._asdict() for each in report.left_out],
        "bad_values": read.bad(report.bad),
        "training": report.training,
        "model": {"version": found.model.version, "digest": found.model.digest},
        "seconds": {phase: round(taken, 3) for phase, taken in seconds.items()},
    }


def _show_link(document: Mapping[str, Any], report: "Report", out: Path) -> None:
    say(f"{report.rows:,} records are {report.entities:,} people, in {out}")
    told = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in report.decisions.items())
    say(f"candidate pairs {report.candidate_pairs:,}: {told}")
    say(f"links not made because their sets contradict each other: {report.refused:,}")
    say(f"model {document['model']['version']}: {report.training}")
    for block in report.capped:
        say(
            f"blocks too large, {block.name}: {block.refined:,} opened by a second key, {block.skipped:,} of "
            f"{block.skipped_records:,} records left out"
        )
    for each in report.left_out:
        say(f"pass left out, too many pairs: {each.name}, {each.pairs:,}")
    _show_bad(document["bad_values"])
    say("seconds: " + ", ".join(f"{phase} {taken:.1f}" for phase, taken in document["seconds"].items()))


def _show_bad(columns: Sequence[Mapping[str, Any]]) -> None:
    for each in columns:
        unit = "line" if "first_line" in each else "row"
        say(
            f"{each['values']:,} values taken for missing in {each['column']}, from {unit} "
            f"{each[f'first_{unit}']}: {each['problem']}"
        )


# --- mpi train ----------------------------------------------------------------------------


def train(
    path: Input,
    out: Annotated[Path, typer.Option("--out", metavar="MODEL.json", help="The model file to write.")],
    labels: Annotated[
        Path | None,
        typer.Option(help="Judged pairs: CSV (left_id, right_id, label) or JSON of the ANNOTATOR."),
    ] = None,
    maps: Maps = None,
    id_column: Id = None,
    domain_column: Domain = None,
    seed: Annotated[int, typer.Option(help="Same table, same seed, same model.")] = 1,
    version: Annotated[
        str | None, typer.Option(metavar="NAME", help="What decisions will name; by default the file's name.")
    ] = None,
    wrong_links: Annotated[
        float | None,
        typer.Option(metavar="P", help="Share of automatic links that may join two people; 0.0001."),
    ] = None,
    tasks_a_day: Annotated[
        float | None, typer.Option(metavar="N", help="Pairs that people can look at in a day; no limit.")
    ] = None,
    records_a_day: Annotated[
        float | None, typer.Option(metavar="N", help="New records in a day, which raise those tasks.")
    ] = None,
    json: Json = False,
) -> None:
    """Estimate a match model from a table, without labels or with some, and write it."""
    budget = _budget(wrong_links, tasks_a_day, records_a_day)
    _writable("--out", out, path, labels, names=(".json",))
    version = out.stem if version is None else version
    if out.exists() and not _is_version(out, version):
        raise refuse(f"--out: {out}: another file is there; a model file is never overwritten")
    with progress() as bar, _phases(bar) as tell:
        tell("read", 0, 1)
        read = read_table(path, maps or (), id_column, domain_column)
        names = _Names(read)
        judged = {} if labels is None else _read_labels(labels, names)
        tell("read", 1, 1)
        model, plan, bad = _trained(read, judged, budget, version, seed, tell)
    from mpi.matching.files import write_model

    try:
        write_model(model, out)
    except ModelError as error:
        raise refuse(str(error)) from None
    document = {
        "version": model.version,
        "digest": model.digest,
        "metadata": dict(model.metadata),
        "bad_values": read.bad(bad),
        **plan.to_json(),
    }
    answer(json, document, lambda: _show_trained(model, plan, read.bad(bad), out))


def _budget(
    wrong_links: float | None, tasks_a_day: float | None, records_a_day: float | None
) -> "ErrorBudget":
    from mpi.matching.budget import ErrorBudget

    asked = {"wrong_links": wrong_links, "tasks_a_day": tasks_a_day, "records_a_day": records_a_day}
    try:
        return ErrorBudget(**{name: value for name, value in asked.items() if value is not None})
    except ModelError as error:
        raise refuse(str(error)) from None


def _is_version(path: Path, version: str) -> bool:
    """Whether a model of this version is there: perhaps the very one that will come out."""
    from mpi.matching.files import read_model

    try:
        return read_model(path).version == version
    except ModelError:
        return False


def _trained(
    read: InputTable,
    judged: Mapping[Pair, bool],
    budget: "ErrorBudget",
    version: str,
    seed: int,
    tell: Callable[[str, int, int], None],
) -> "tuple[MatchModel, Plan, Sequence[BadValues]]":
    import numpy as np

    from mpi.identity.columns import TraitColumns
    from mpi.matching.budget import ErrorBudget
    from mpi.matching.judging import data_digest
    from mpi.matching.training import estimate

    digest = data_digest(read.table.select(["record_id"]).to_pandas())
    try:
        tell("normalise", 0, 1)
        columns = TraitColumns.of_table(read.table, on_bad="missing")
        tell("normalise", 1, 1)
        chosen = np.arange(len(columns), dtype=np.int64)
        if len(columns) > TRAINED_ON_AT_MOST:
            tell("sample", 0, 1)
            chosen = _sample(columns, judged, seed, TRAINED_ON_AT_MOST)
            tell("sample", 1, 1)
        part = columns.take(chosen)
        at = {row: number for number, row in enumerate(chosen.tolist())}
        tell("estimate", 0, 1)
        # The bounds are chosen below, where what cannot be kept is told rather than refused.
        model = estimate(
            [part.row(row) for row in range(len(part))],
            version=version,
            seed=seed,
            budget=ErrorBudget(1.0, 1.0, 1.0, 1.0),
            labels={(at[a], at[b]): same for (a, b), same in judged.items()},
            metadata={"training_digest": digest, "records_of_the_table": len(columns)},
        )
        tell("estimate", 1, 1)
        tell("thresholds", 0, 1)
        plan = _plan(model, part, budget)
        tell("thresholds", 1, 1)
    except InvalidIdentity as error:
        raise read.placed(error) from None
    except ModelError as error:
        raise refuse(f"{read.path}: {error}") from None
    return replace(model, thresholds=plan.thresholds), plan, columns.bad


def _sample(columns: "TraitColumns", judged: Mapping[Pair, bool], seed: int, most: int) -> "Indices":
    """
    Rows of whole people drawn at random, those of judged pairs first, in the order of the table.

    A person here is every record that the packaged model links, or would have reviewed, directly or
    through others: rows drawn one by one would tear most pairs apart.
    """
    import numpy as np

    from mpi.matching.candidates import candidates
    from mpi.matching.clusters import components
    from mpi.matching.model import MatchModel
    from mpi.matching.vectors import levels_of
    from mpi.matching.weighing import weigh

    found = candidates(columns)
    model = MatchModel.default().for_population(len(columns))
    bits = weigh(model, columns, found.left, found.right, levels_of(columns, found.left, found.right)).bits
    likely = bits >= model.thresholds.lower_bits
    person = components(len(columns), found.left[likely], found.right[likely])
    first = np.unique(person[[row for pair in judged for row in pair]]) if judged else person[:0]
    others = np.setdiff1d(person, first)
    drawn = np.concatenate([first, np.random.default_rng(seed).permutation(others)])
    size = np.bincount(person, minlength=len(columns))
    kept = drawn[np.cumsum(size[drawn]) <= max(most, size[first].sum())]
    return np.flatnonzero(np.isin(person, kept)).astype(np.int64)


def _plan(model: "MatchModel", columns: "TraitColumns", budget: "ErrorBudget") -> "Plan":
    """The thresholds that keep the budget on the candidate pairs of these records."""
    import numpy as np

    from mpi.matching.budget import WeighedPairs, solve
    from mpi.matching.candidates import candidates
    from mpi.matching.guards import FORBIDDING
    from mpi.matching.vectors import levels_of
    from mpi.matching.weighing import guards_of, has_any, weigh

    found = candidates(columns)
    levels = levels_of(columns, found.left, found.right)
    weighed = weigh(model, columns, found.left, found.right, levels)
    guards = guards_of(columns, found.left, found.right, levels, weighed.patterns)
    allowed = ~has_any(guards, FORBIDDING)
    rounded, capped = np.round(weighed.bits[allowed], 2), guards[allowed] != 0
    pairs = [
        WeighedPairs(float(bits), float(count), is_capped, model.probability(float(bits)))
        for is_capped in (False, True)
        for bits, count in zip(*np.unique(rounded[capped == is_capped], return_counts=True), strict=True)
    ]
    return solve(pairs, budget, records=len(columns))


def _show_trained(model: "MatchModel", plan: "Plan", bad: Sequence[Mapping[str, Any]], out: Path) -> None:
    said = model.metadata
    say(f"{model.version}  {model.digest}  in {out}")
    say(f"trained on {said['records']:,} of {said['records_of_the_table']:,} records, seed {said['seed']}")
    if "labels" in said:
        say(f"labels: {said['labels']:,}")
    _show_bad(bad)
    say(f"converged: {'yes' if said['converged'] else 'NO'}, in {said['steps']} steps")
    say(f"another beginning ends within {said['identifiability_bits']} bits")
    say(f"hardly seen: {', '.join(said['hardly_seen']) or 'nothing'}")
    relatives = ", ".join(f"{kind} {count:,}" for kind, count in said["expected_relatives"].items())
    say(
        f"candidate pairs {said['candidate_pairs']:,}; expected: matches {said['expected_matches']:,}"
        + (f", {relatives}" if relatives else "")
    )
    rows = [
        {"threshold": name, "bits": f"{bits:.2f}", "probability": f"{model.probability(bits):.6f}"}
        for name, bits in (
            ("upper", plan.thresholds.upper_bits),
            ("same domain", plan.thresholds.same_domain_bits),
            ("lower", plan.thresholds.lower_bits),
            ("contradiction", plan.thresholds.contradiction_bits),
        )
    ]
    show_table(rows, right=("bits", "probability"))
    costs = [
        {
            "threshold, bits": f"{row.threshold_bits:g}",
            "wrong links of 100,000": _interval(row.wrong_links_per_100_000, 1),
            "tasks of 1,000 records": _interval(row.tasks_per_1_000_records, 1),
            "matches found": _interval(row.matches_found, 5),
        }
        for row in plan.trade_off
        if plan.thresholds.lower_bits - _BITS_AROUND
        <= row.threshold_bits
        <= plan.thresholds.same_domain_bits + _BITS_AROUND
    ]
    if costs:
        show_table(costs, right=tuple(costs[0]))
        say(f"{len(costs)} of {len(plan.trade_off)} bounds shown: --json prints them all")
    for unmet in plan.unmet:
        say(f"NOT MET: {unmet}")


def _interval(interval: "Interval", digits: int) -> str:
    value, low, high = (f"{max(number, 0.0):,.{digits}f}" for number in interval)
    return f"{value} [{low}, {high}]"


# --- labels -------------------------------------------------------------------------------


def _read_labels(path: Path, names: "_Names") -> dict[Pair, bool]:
    """
    Judged pairs, as positions of their records; pairs that were not judged are left out.

    Raises:
        UnreadableMessage: names the file, the line or the pair, and the column.
    """
    rows = _annotated(path) if path.name.lower().endswith(".json") else _labels_of_csv(path)
    judged: dict[Pair, bool] = {}
    for place, left, right, same in rows:
        a, b = names.row(f"{place}: left_id", *left), names.row(f"{place}: right_id", *right)
        if a == b:
            raise UnreadableMessage(f"{place}: right_id", "a record paired with itself")
        pair = (min(a, b), max(a, b))
        if judged.setdefault(pair, same) != same:
            raise UnreadableMessage(place, "a pair judged both ways")
    if not any(judged.values()):
        raise UnreadableMessage(str(path), "no pair is judged to be one person")
    return judged


_Label = tuple[str, tuple[str, str | None], tuple[str, str | None], bool]
"""Place, (identifier, domain) of the left and the right record, whether they are one person."""


class _Names:
    """
    Finds records by their identifiers, and their domains where that is not enough.

    Raises:
        UnreadableMessage: an identifier that is missing, or stated twice in its domain.
    """

    def __init__(self, read: InputTable) -> None:
        import pandas as pd
        import pyarrow as pa

        self.path = read.path
        names = ("record_id", "domain")
        given = [read.table.column(name).cast(pa.string()) for name in names if name in read.columns]
        texts = [column.to_pandas().fillna("").str.strip() for column in given]
        self.ids = pd.Index(texts[0])
        self.both = pd.MultiIndex.from_arrays([texts[0], texts[-1] if len(texts) > 1 else texts[0].str[:0]])
        for index, name in (
            (self.ids == "", "missing"),
            (self.both.duplicated(), "stated twice in one domain"),
        ):
            if index.any():
                raise UnreadableMessage(read.place(int(index.argmax()), "record_id"), name)
        rows = range(len(self.ids))
        self.row_of_both: dict[tuple[str, str], int] = dict(zip(self.both, rows, strict=True))
        self.row_of_id: dict[str, int] = dict(zip(self.ids, rows, strict=True))
        self.repeated = set(self.ids[self.ids.duplicated()])

    def row(self, place: str, record_id: str, domain: str | None) -> int:
        """
        The position of a record.

        Raises:
            UnreadableMessage: none, or more than one.
        """
        if domain is None and record_id in self.repeated:
            raise UnreadableMessage(
                place, f"stated in several domains of {self.path}: give left_domain, right_domain"
            )
        found = self.row_of_id.get(record_id) if domain is None else self.row_of_both.get((record_id, domain))
        if found is None:
            raise UnreadableMessage(place, f"no such record in {self.path}")
        return found


def _labels_of_csv(path: Path) -> Iterator[_Label]:
    with _reading(path) as file:
        head = file.read(_SNIFFED_BYTES)
    header, delimiter = _csv_header(path, head)
    wanted = ("left_id", "right_id", "label")
    for name in wanted:
        if header.count(name) != 1:
            raise UnreadableMessage(str(path), f"expected one column {name}")
    by_domain = {"left_domain", "right_domain"} <= set(header)
    records = _records(path, delimiter)
    next(records)
    for line, cells in records:
        place = f"{path}: line {line}"
        if len(cells) != len(header):
            raise UnreadableMessage(place, f"expected {len(header)} columns")
        of = dict(zip(header, map(str.strip, cells), strict=True))
        if of["label"] not in ("0", "1"):
            raise UnreadableMessage(f"{place}: label", "expected 1 (one person) or 0 (two)")
        left, right = (
            (of[f"{side}_id"], of[f"{side}_domain"] if by_domain else None) for side in ("left", "right")
        )
        yield place, left, right, of["label"] == "1"


def _annotated(path: Path) -> Iterator[_Label]:
    with _reading(path):  # says what is wrong with the file itself
        pass
    from mpi.matching.interop import read_labels

    try:
        labels = read_labels(path)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise UnreadableMessage(str(path), "not a file of the ANNOTATOR") from None
    pairs = zip(labels.index.tolist(), labels.tolist(), strict=True)
    for number, ((left, right), label) in enumerate(pairs, 1):
        if label in (0.0, 1.0):
            yield f"{path}: pair {number}", (str(left), None), (str(right), None), label == 1.0


# --- mpi evaluate -------------------------------------------------------------------------


def evaluate(
    found: Annotated[
        Path,
        typer.Argument(metavar="PAIRS_OR_LINKS", help="What `mpi link` wrote: --pairs or --out."),
    ],
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="record_id, person_id; or true pairs.")],
    strata: Annotated[
        Path | None, typer.Option(metavar="FILE", help="record_id, and a column a stratum.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The model, to tell whether it was fitted on these.")
    ] = None,
    diagram: Annotated[
        Path | None, typer.Option(metavar="FILE.svg", help="Reliability diagram to write.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure pairs or links against the truth: precision, recall, F1, with intervals. Nothing else is written."""
    from mpi.matching.calibration import reliability_diagram
    from mpi.matching.judging import evaluate_files

    if diagram is not None:
        _writable("--diagram", diagram, found, truth, strata, model, names=(".svg",))
    for path in filter(None, (found, truth, strata)):
        with _reading(path):
            pass
    digest = None if model is None else _model(model).metadata.get("training_digest")
    report = evaluate_files(found, truth, strata, training_digest=digest)
    if diagram is not None:
        if report.reliability is None:
            raise refuse(f"--diagram: {found}: no pair with a probability")
        svg = reliability_diagram(report.reliability)
        _write({diagram: lambda part: part.write_text(svg, encoding="utf-8")})
    answer(json, report.to_json(), lambda: say(report.to_text().removesuffix("\n")))
