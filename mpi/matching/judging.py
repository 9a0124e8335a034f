"""
Judge files: pairs or links found, against the truth.

    found   left_id, right_id [, weight_bits, probability, decision]   or   record_id, domain, euid
    truth   record_id [, domain], person_id [, strata]                 or   left_id, right_id
    strata  record_id [, domain], and one column a stratum

CSV or Parquet. A record is named by its domain and identifier where both files state a domain, else
by its identifier alone.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mpi.errors import UnreadableMessage
from mpi.identity.tabular import TRAIT_NAMES, place_of
from mpi.matching.calibration import measure_reliability
from mpi.matching.clusters import components
from mpi.matching.decision import Decision
from mpi.matching.evaluation import (
    Contingency,
    Floats,
    Mask,
    Numbers,
    measure_blocking,
    measure_found,
    numbered,
    pairs_among,
    threshold_curve,
    wilson,
)
from mpi.matching.evaluation_report import EvaluationReport, Figures

Texts = npt.NDArray[np.object_]

_PAIR = ("left_id", "right_id")
_LINK = ("record_id", "euid")
_PERSON = ("record_id", "person_id")
_MAX_GROUPS = 20
_TRAITS_WITH_FEW_VALUES = frozenset({"sex", "multiple_birth", "identity_status"})
"""Any other trait, as a stratum, would print what a person is called or where they live."""

_OPTIMISTIC = (
    "the model was fitted on the very records it is judged on: these figures are optimistic. "
    "Judge it on records it has not seen."
)
_UNKNOWN_TRAINING = (
    "it is not known on which records the model was fitted; if it was on these, the figures are optimistic."
)


def evaluate_files(
    found: Path, truth: Path, strata: Path | None = None, *, training_digest: str | None = None
) -> EvaluationReport:
    """
    Measure pairs or links against the truth.

    Pairs of the truth are closed: two records that a third is the same person as are one person. A
    record of the truth that the links leave out is a cluster of its own.

    Args:
        training_digest: `data_digest` of the records the model was fitted on, when it is known.

    Raises:
        UnreadableMessage: a file that is missing, empty or in an unknown format, a missing column,
            a record stated twice, or a value that is not what it must be. The place is the file,
            the line and the column.
    """
    named = _table(found)
    true = _table(truth)
    people = _people(true, named)
    digests = {"found": _file_digest(found), "truth": _file_digest(truth)}
    digests["records"] = _digest_of(true)
    groups = _Groups({}, ())
    if strata is not None:
        digests["strata"] = _file_digest(strata)
        groups = _groups(_table(strata), people)
    elif true.has(_PERSON):
        groups = _groups(true, people)
    is_tuned = None if training_digest is None else training_digest in digests.values()
    judged = _judge_links(named, people, groups) if named.has(_LINK) else _judge_pairs(named, people, groups)
    notes = [_OPTIMISTIC] if is_tuned else [_UNKNOWN_TRAINING] if is_tuned is None else []
    if groups.unread:
        notes.append(
            f"columns that are no strata (a trait, or more than {_MAX_GROUPS} values): "
            + ", ".join(place_of(name) for name in groups.unread)
        )
    judged["set_aside"] = {"true pairs implied by others": people.implied} | judged["set_aside"]
    return EvaluationReport(
        digests=digests,
        tuned_on_these_records=is_tuned,
        records=len(people.person),
        people=int(people.person.max(initial=-1)) + 1,
        true_pairs=people.true_pairs,
        notes=tuple(notes),
        **judged,
    )


def data_digest(source: Path | pd.DataFrame) -> str:
    """
    SHA-256 (hex) of which records a table holds, to tell data used to tune from data used to judge.

    Over the sorted record identifiers alone: one population gives one digest as traits, as links or
    as truth, whatever the format, the order or the other columns. Two tables that merely share some
    records differ.

    Raises:
        UnreadableMessage: the table names no record.
    """
    return _digest_of(_table(source) if isinstance(source, Path) else _Table("table", source, "row", 1))


@dataclass(frozen=True, slots=True)
class _Table:
    """A file as text: its name, and how to name one of its rows."""

    name: str
    frame: pd.DataFrame
    unit: str
    first: int

    def has(self, columns: tuple[str, ...]) -> bool:
        return set(columns) <= set(self.frame.columns)

    def texts(self, column: str) -> Texts:
        """The trimmed values of a column, empty where missing."""
        values = self.frame[column]
        values = values.astype(object).where(values.notna(), "")
        texts = np.empty(len(values), dtype=object)
        texts[:] = [str(value).strip() for value in values]  # three times as fast as pandas' own strip
        return texts

    def required(self, column: str) -> Texts:
        values = self.texts(column)
        self.refuse(values == "", column, "missing")
        return values

    def numbers(self, column: str) -> Floats:
        values = pd.to_numeric(self.frame[column], errors="coerce")
        numbers = np.asarray(values, dtype=np.float64)
        self.refuse(~np.isfinite(numbers), column, "not a number")
        return numbers

    def refuse(self, wrong: npt.NDArray[Any], column: str, problem: str) -> None:
        """Name the first wrong row, if there is one."""
        rows = np.flatnonzero(wrong)
        if len(rows):
            place = f"{self.name}: {self.unit} {rows[0] + self.first}: {column}"
            raise UnreadableMessage(place, problem)


def _table(path: Path) -> _Table:
    name = path.name
    is_csv = name.lower().endswith((".csv", ".csv.gz"))
    if not is_csv and not name.lower().endswith(".parquet"):
        raise UnreadableMessage(name, "unknown format (expected .csv, .csv.gz or .parquet)")
    try:
        if is_csv:
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
        else:
            frame = pd.read_parquet(path)
    except FileNotFoundError:
        raise UnreadableMessage(name, "no such file") from None
    except pd.errors.EmptyDataError:
        raise UnreadableMessage(name, "empty") from None
    except UnicodeDecodeError:
        raise UnreadableMessage(name, "not UTF-8") from None
    except pd.errors.ParserError as error:
        line = re.search(r"line (\d+)", str(error))
        at = f"{name}: line {line[1]}" if line else name
        raise UnreadableMessage(at, "not a CSV row like the others") from None
    except (OSError, ValueError):
        raise UnreadableMessage(name, "cannot be read as a table") from None
    if frame.empty:
        raise UnreadableMessage(name, "no row")
    return _Table(name, frame, "line" if is_csv else "row", 2 if is_csv else 1)


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableMessage(path.name, error.strerror or "cannot be read") from None


def _digest_of(table: _Table) -> str:
    if table.has(("record_id",)):
        names = sorted(table.texts("record_id"))
    elif table.has(_PAIR):
        names = sorted({name for column in _PAIR for name in table.texts(column)})
    else:
        raise UnreadableMessage(table.name, "expected a column record_id")
    return hashlib.sha256("\x1e".join(names).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _People:
    """
    The records, and who they are.

    Args:
        is_whole: the truth lists every record, and not only those of true pairs.
        implied: true pairs that follow from others, and that the truth does not state.

    Shape: names, person (records,).
    """

    names: pd.Index
    person: Numbers
    by_domain: bool
    is_whole: bool
    implied: int = 0

    @property
    def true_pairs(self) -> int:
        return int(pairs_among(np.bincount(self.person)).sum())

    def find(self, names: Texts) -> Numbers:
        """The number of each record; -1 where it is unknown."""
        return self.names.get_indexer(pd.Index(names)).astype(np.int64)


def _people(truth: _Table, found: _Table) -> _People:
    if not found.has(_LINK) and not found.has(_PAIR):
        raise UnreadableMessage(found.name, "expected columns left_id, right_id, or record_id, domain, euid")
    if truth.has(_PERSON):
        by_domain = _states_domain(truth) and found.has(_LINK) and _states_domain(found)
        names = _names(truth, by_domain)
        people = numbered(truth.required("person_id").astype(str))
        return _People(pd.Index(names), people, by_domain, is_whole=True)
    if not truth.has(_PAIR):
        raise UnreadableMessage(truth.name, "expected columns record_id, person_id, or left_id, right_id")
    ends = [truth.required(column) for column in _PAIR]
    listed = [_names(found, False)] if found.has(_LINK) else [found.required(column) for column in _PAIR]
    codes, names = pd.factorize(np.concatenate([*ends, *listed]))
    left, right = codes[: len(ends[0])], codes[len(ends[0]) : 2 * len(ends[0])]
    truth.refuse(left == right, "right_id", "a record paired with itself")
    person = numbered(components(len(names), left.astype(np.int64), right.astype(np.int64)))
    stated = len(np.unique(_pair_keys(left, right, len(names))))
    closed = int(pairs_among(np.bincount(person)).sum())
    return _People(pd.Index(names), person, False, found.has(_LINK), closed - stated)


def _states_domain(table: _Table) -> bool:
    return "domain" in table.frame.columns and bool((table.texts("domain") != "").any())


def _names(table: _Table, by_domain: bool) -> Texts:
    """By row, the name of its record; each record once."""
    names = table.required("record_id")
    if by_domain:
        names = table.texts("domain") + "\x1f" + names
    problem = (
        "stated twice" if by_domain or not _states_domain(table) else "stated twice, domains not counting"
    )
    table.refuse(np.asarray(pd.Index(names).duplicated()), "record_id", problem)
    return names


def _pair_keys(left: npt.NDArray[Any], right: npt.NDArray[Any], records: int) -> Numbers:
    return np.asarray(np.minimum(left, right).astype(np.int64) * records + np.maximum(left, right))


@dataclass(frozen=True, slots=True)
class _Groups:
    """Strata: by column, by value, which records are in it."""

    masks: Mapping[tuple[str, str], Mask]
    unread: tuple[str, ...]

    def __iter__(self) -> Iterator[tuple[str, str, Mask]]:
        for (column, value), mask in self.masks.items():
            yield column, value, mask


def _groups(table: _Table, people: _People) -> _Groups:
    columns = [name for name in map(str, table.frame.columns) if name not in (*_PERSON, "domain")]
    if not table.has(("record_id",)):
        raise UnreadableMessage(table.name, "expected a column record_id")
    if people.by_domain and not _states_domain(table):
        raise UnreadableMessage(table.name, "expected a column domain, as in the other files")
    at = people.find(_names(table, people.by_domain))
    masks: dict[tuple[str, str], Mask] = {}
    unread = []
    for column in columns:
        values = table.texts(column)
        distinct = sorted(set(values) - {""})
        # As many groups as records would be identities, not strata.
        few = len(distinct) <= min(_MAX_GROUPS, max(2, len(values) // 2))
        is_trait = column in TRAIT_NAMES or column.endswith(("_id", "_date"))
        if not few or (is_trait and column not in _TRAITS_WITH_FEW_VALUES):
            unread.append(column)
            continue
        for value in distinct:
            mask = np.zeros(len(people.person), dtype=np.bool_)
            mask[at[(values == value) & (at >= 0)]] = True
            if mask.any():
                masks[column, str(value)] = mask
    return _Groups(masks, tuple(unread))


def _judge_links(table: _Table, people: _People, groups: _Groups) -> dict[str, Any]:
    at = people.find(_names(table, people.by_domain))
    known = at >= 0
    euid = numbered(table.required("euid").astype(str))
    # A record left out is its own cluster: numbers below 0 are nobody's euid.
    cluster = -1 - np.arange(len(people.person), dtype=np.int64)
    cluster[at[known]] = euid[known]
    contingency = Contingency.of(cluster, people.person)
    whole = contingency.measures()
    strata = []
    for column, value, mask in groups:
        measured = contingency.measures(mask)
        strata.append(Figures("clusters", column, value, int(mask.sum()), measured.pairs, measured))
    return {
        "set_aside": {
            "records of the links that the truth does not know, left out": int((~known).sum()),
            "records of the truth without a link, each a cluster of its own": int((cluster < 0).sum()),
        },
        "figures": (Figures("clusters", "", "", len(people.person), whole.pairs, whole),),
        "strata": tuple(strata),
        "blocking": None,
        "curve": None,
        "at_best": None,
        "reliability": None,
    }


def _judge_pairs(table: _Table, people: _People, groups: _Groups) -> dict[str, Any]:
    rules = _rules(table)
    weights = table.numbers("weight_bits") if table.has(("weight_bits",)) else None
    probability = table.numbers("probability") if table.has(("probability",)) else None
    if probability is not None:
        table.refuse((probability < 0) | (probability > 1), "probability", "outside [0, 1]")
    left, right = (people.find(table.required(column)) for column in _PAIR)
    known = (left >= 0) & (right >= 0)
    table.refuse(known & (left == right), "right_id", "a record paired with itself")
    rows = np.flatnonzero(known)
    rows = rows[np.unique(_pair_keys(left[rows], right[rows], len(people.person)), return_index=True)[1]]
    left, right, person = left[rows], right[rows], people.person
    is_match = np.asarray(person[left] == person[right])
    figures, strata = [], []
    for rule, chosen in rules.items():
        kept = chosen[rows]
        figures.append(Figures(rule, "", "", len(person), measure_found(left[kept], right[kept], person)))
        for column, value, mask in groups:
            measured = measure_found(left[kept], right[kept], person, mask)
            strata.append(Figures(rule, column, value, int(mask.sum()), measured))
    blocking = measure_blocking(left, right, person)
    if not people.is_whole:  # how many records there are is not known
        blocking = blocking._replace(reduction_ratio=wilson(0, 0))
    curve = at_best = None
    if weights is not None and len(rows) and people.true_pairs:
        curve = threshold_curve(weights[rows], is_match, people.true_pairs)
        kept = weights[rows] >= curve.best_threshold_bits
        at_best = measure_found(left[kept], right[kept], person)
    return {
        "set_aside": {
            "pairs that name a record the truth does not know, left out": int((~known).sum()),
            "pairs stated more than once, the first one counting": int(known.sum()) - len(rows),
        },
        "figures": tuple(figures),
        "strata": tuple(sorted(strata, key=lambda row: (row.stratum, row.value))),
        "blocking": blocking,
        "curve": curve,
        "at_best": at_best,
        "reliability": measure_reliability(probability[rows], is_match)
        if probability is not None and len(rows)
        else None,
    }


def _rules(table: _Table) -> dict[str, Mask]:
    """By rule, the rows it finds."""
    if not table.has(("decision",)):
        return {"pairs": np.ones(len(table.frame), dtype=np.bool_)}
    decisions = table.texts("decision")
    table.refuse(
        ~np.isin(decisions, [decision.value for decision in Decision]),
        "decision",
        "expected " + ", ".join(Decision),
    )
    linked = np.asarray(decisions == Decision.LINK.value, dtype=np.bool_)
    return {"links": linked, "links and reviews": linked | (decisions == Decision.REVIEW.value)}
