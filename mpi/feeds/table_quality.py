"""
What the rows of a table are worth, loaded or not: counts, and lines to look at; never a value.

Everything is counted by the code that will read, compare and link the rows.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mpi.errors import InvalidIdentity, MpiError
from mpi.feeds.tabular import COLUMNS, DOMAIN, RECORD_ID, Row, RowReader, TableFile, field_of
from mpi.identity.tabular import TRAIT_NAMES, text_of
from mpi.index.events import IdentityStated

COMPARED_UP_TO: Final = 200_000
"""Rows from which a table is not searched for duplicates before it is loaded: the index finds them."""
SHOWN_PAIRS: Final = 20
NOT_HANDLED: Final = "cannot be handled, and is isolated"
PROBABLE: Final = 0.5
"""Probability from which two rows are shown as one person's."""

_SAYS: Final[Mapping[str, tuple[str, ...]]] = {
    "birth_name": ("birth_name",),
    "used_name": ("used_name",),
    "given_names": ("given_names",),
    "used_given_name": ("used_given_name", "given_names"),
    "birth_date": ("birth_date",),
    "sex": ("sex",),
    "birth_place": ("birth_place_code", "birth_place"),
    "address": ("address",),
    "postal_code": ("postal_code",),
    "city": ("city",),
    "phone": ("phones",),
    "email": ("emails",),
    "national_id": ("national_id",),
    "mother_birth_name": ("mother_birth_name",),
}
"""By trait, what is compared of it: a value that says none of it is a placeholder."""
_INS: Final = "ins"
_CHUNK: Final = 50_000


@dataclass(frozen=True, slots=True)
class WrongValues:
    """Rows a problem stops: where in the row, what, how many, and the first of them."""

    place: str
    problem: str
    rows: int
    first: int


@dataclass(frozen=True, slots=True)
class ProbablePair:
    """Two rows that are probably one person's."""

    left: int
    right: int
    probability: float


@dataclass(frozen=True, slots=True)
class Quality:
    """
    What is in a table.

    Args:
        rows: without the headings and blank lines.
        missing: by trait with a column, rows that state nothing.
        placeholders: by trait, rows whose value stands for none (INCONNU, BEBE, 0102030405, sex U).
        default_dates: birth dates written for want of the true one.
        wrong: what keeps rows from being taken.
        doubtful_ins: by problem, rows whose INS is left out, or differs from the traits.
        repeated_ids: identifiers that several rows state; `repeated_rows` those rows, `identical_rows`
            those among them that repeat another one whole.
        pairs: probable duplicates among different identifiers, the likeliest of them in `shown`; None
            when they were not looked for.
    """

    rows: int
    missing: Mapping[str, int] = field(default_factory=dict)
    placeholders: Mapping[str, int] = field(default_factory=dict)
    default_dates: int = 0
    wrong: tuple[WrongValues, ...] = ()
    doubtful_ins: Mapping[str, int] = field(default_factory=dict)
    repeated_ids: int = 0
    repeated_rows: int = 0
    identical_rows: int = 0
    pairs: int | None = None
    shown: tuple[ProbablePair, ...] = ()

    @property
    def refused(self) -> int:
        """Rows that will be quarantined."""
        return sum(each.rows for each in self.wrong)


def assess(
    table: TableFile,
    reader: RowReader,
    *,
    without: Collection[int] = (),
    on_row: Callable[[int], None] = lambda _rows: None,
    compare_up_to: int = COMPARED_UP_TO,
) -> Quality:
    """
    Read every row once, and say what is in the table. Nothing is written.

    Args:
        without: numbers of rows that are known not to be read without harm: they are counted, and not read.
        on_row: told how many rows were read, now and then.
        compare_up_to: rows from which no duplicates are looked for.
    """
    seen = _Seen(table)
    for row in table.rows():
        if row.number in without:
            seen.leave_out(row)
        else:
            seen.add(row, reader)
        if seen.rows % 1000 == 0:
            on_row(seen.rows)
    on_row(seen.rows)
    return seen.quality(compare_up_to)


class _Seen:
    """What was counted so far, and the columns as texts."""

    def __init__(self, table: TableFile) -> None:
        self._traits = table.traits
        self.rows = 0
        self._lines: list[int] = []
        self._names = tuple(name for name in COLUMNS if name in table.columns)
        self._pending: dict[str, list[str | None]] = {name: [] for name in self._names}
        self._chunks: dict[str, list[Any]] = {name: [] for name in self._names}
        self._wrong: dict[tuple[str, str], list[int]] = {}
        self._ins: Counter[str] = Counter()
        self._by_id: dict[tuple[str, str], Counter[str]] = {}

    def add(self, row: Row, reader: RowReader) -> None:
        self.rows += 1
        self._lines.append(row.number)
        texts = {name: _text(name, value) for name, value in row.cells.items()}
        message = reader.message(row)
        try:
            instruction = message.read()
        except MpiError as error:
            counted = self._wrong.setdefault(field_of(error, row.number), [0, row.number])
            counted[0] += 1
            texts[_INS] = None
        else:
            assert isinstance(instruction, IdentityStated)
            record = instruction.records[0]
            texts[_INS] = record.demographics.ins or None
            self._ins.update(
                warning.partition(": ")[2] for warning in record.warnings if warning.startswith(f"{_INS}: ")
            )
        name = texts.get(RECORD_ID)
        if name:
            of_this = self._by_id.setdefault((texts.get(DOMAIN) or "", name), Counter())
            of_this[message.envelope.content_hash] += 1
        for column in self._names:
            self._pending[column].append(texts.get(column))
        if len(self._pending[RECORD_ID]) >= _CHUNK:
            self._flush()

    def leave_out(self, row: Row) -> None:
        self.rows += 1
        counted = self._wrong.setdefault(("row", NOT_HANDLED), [0, row.number])
        counted[0] += 1

    def _flush(self) -> None:
        import pyarrow as pa

        for name, texts in self._pending.items():
            self._chunks[name].append(pa.array(texts, pa.string()))
            self._pending[name] = []

    def quality(self, compare_up_to: int) -> Quality:
        import pyarrow as pa

        self._flush()
        columns = {name: pa.chunked_array(chunks, pa.string()) for name, chunks in self._chunks.items()}
        placeholders, default_dates = _placeholders(columns, self._traits)
        repeated = [counts for counts in self._by_id.values() if counts.total() > 1]
        pairs = _pairs(columns, self._lines) if 1 < self.rows < compare_up_to else None
        return Quality(
            rows=self.rows,
            missing={name: columns[name].null_count for name in self._traits if name != _INS},
            placeholders=placeholders,
            default_dates=default_dates,
            wrong=tuple(
                WrongValues(place, problem, rows, first)
                for (place, problem), (rows, first) in sorted(
                    self._wrong.items(), key=lambda each: (-each[1][0], each[0])
                )
            ),
            doubtful_ins=dict(self._ins.most_common()),
            repeated_ids=len(repeated),
            repeated_rows=sum(counts.total() for counts in repeated),
            identical_rows=sum(count - 1 for counts in repeated for count in counts.values()),
            pairs=None if pairs is None else len(pairs),
            shown=() if pairs is None else tuple(pairs[:SHOWN_PAIRS]),
        )


def _text(name: str, value: object) -> str | None:
    try:
        return text_of(name, value) or None
    except InvalidIdentity:
        return None


def _placeholders(columns: Mapping[str, Any], traits: tuple[str, ...]) -> tuple[dict[str, int], int]:
    """By trait, how many values say nothing; and how many dates are default ones."""
    import numpy as np
    import pyarrow as pa

    from mpi.identity.columns import TraitColumns

    found = {}
    default_dates = 0
    for name in traits:
        if name not in _SAYS:
            continue
        read = TraitColumns.of_table(pa.table({name: columns[name]}), on_bad="missing")
        says = np.zeros(len(read), dtype=np.bool_)
        for each in _SAYS[name]:
            column = read[each]
            says |= np.array([bool(value) for value in column.values])[column.codes]
        stated = len(read) - columns[name].null_count - sum(bad.rows for bad in read.bad)
        found[name] = int(stated - says.sum())
        if name == "birth_date":
            column = read["birth_date_default"]
            default_dates = int(np.array([bool(value) for value in column.values])[column.codes].sum())
    return {name: count for name, count in found.items() if count}, default_dates


def _pairs(columns: Mapping[str, Any], lines: list[int]) -> list[ProbablePair]:
    """Pairs of rows with different identifiers that are probably one person's, the likeliest first."""
    import pyarrow as pa

    from mpi.matching.batch import link

    ids = columns[RECORD_ID].to_pylist()
    domains = columns[DOMAIN].to_pylist() if DOMAIN in columns else [None] * len(ids)
    first: dict[tuple[str, str], int] = {}
    for at, name in enumerate(zip(domains, ids, strict=True)):
        if name[1] is not None:
            first.setdefault((name[0] or "", name[1]), at)
    if len(first) < 2:
        return []
    rows = pa.array(list(first.values()))
    traits = {name: columns[name].take(rows) for name in TRAIT_NAMES if name in columns}
    table = pa.table({RECORD_ID: columns[RECORD_ID].take(rows), **traits})
    if DOMAIN in columns:
        table = table.append_column(DOMAIN, columns[DOMAIN].take(rows))
    found = link(table, on_bad="missing").pairs.to_pylist()
    probable = []
    for pair in found:
        if pair["probability"] >= PROBABLE:
            rows_of = [first[pair[f"{side}_domain"] or "", pair[f"{side}_id"]] for side in ("left", "right")]
            left, right = sorted(lines[row] for row in rows_of)
            probable.append(ProbablePair(left, right, pair["probability"]))
    return sorted(probable, key=lambda pair: (-pair.probability, pair.left, pair.right))
