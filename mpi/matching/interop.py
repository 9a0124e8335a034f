"""
The ladders, the blocking keys and the model inside recordlinkage, on pandas DataFrames.

For notebooks: the service never imports this module, which imports recordlinkage (seconds, with
scikit-learn). A frame has one row per record and columns named as the tabular traits; other
columns are left alone. Nothing is matched here that the engine would match otherwise: levels are
those of `comparisons.compare`, pairs those of `blocking_keys`, scores those of `online.score`.

Source: recordlinkage 0.16, `BaseCompareFeature` and `BaseIndexAlgorithm` as extension points.
"""

import json
import math
from collections.abc import Hashable, Iterable, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from recordlinkage import write_annotation_file
from recordlinkage.annotation import AnnotationResult
from recordlinkage.base import BaseCompareFeature, BaseIndexAlgorithm

from mpi.errors import InvalidIdentity
from mpi.identity.tabular import TRAIT_NAMES, demographics_from_mapping
from mpi.identity.traits import Traits, normalise
from mpi.matching.blocking import blocking_keys
from mpi.matching.comparisons import COMPARISONS, MISSING, POSITION
from mpi.matching.model import MatchModel
from mpi.matching.online import score

Codes = npt.NDArray[np.int64]


class Columns(NamedTuple):
    """The columns one ladder reads: any of its own must be there, those beside it refine the level."""

    own: tuple[str, ...]
    beside: tuple[str, ...] = ()


_FAMILY, _GIVEN = ("birth_name", "used_name"), ("given_names", "used_given_name")
COLUMNS: Mapping[str, Columns] = {
    "family_name": Columns(_FAMILY, (*_GIVEN, "sex")),
    "given_name": Columns(_GIVEN, _FAMILY),
    "birth_date": Columns(("birth_date",)),
    "sex": Columns(("sex",)),
    "birth_place": Columns(("birth_place",)),
    "residence": Columns(("address", "postal_code", "city")),
    "phone": Columns(("phone",)),
    "email": Columns(("email",)),
    "national_id": Columns(("national_id",)),
    "ins": Columns(("ins",), ("identity_status", "birth_date", "sex", "birth_place")),
    "mother_birth_name": Columns(("mother_birth_name",)),
    "birth_order": Columns(("birth_order",), ("multiple_birth",)),
}
"""By comparison of `comparisons.COMPARISONS`, the tabular traits its ladder looks at."""


def traits_of(frame: pd.DataFrame) -> list[Traits]:
    """
    Normalise each row; None, NaN, NaT, NA and blank texts are missing.

    Columns that are not tabular traits are left alone, so a misspelt one is too: compare
    `frame.columns` with `mpi.identity.tabular.TRAIT_NAMES`.

    Raises:
        InvalidIdentity: a wrong value, named by its column and row position (`frame.iloc`); no
            column is a trait, or two columns are the same one.

    Shape: one item per row of the frame, in its order.
    """
    codes, distinct = _distinct_traits(_trait_columns(frame), "row")
    return [distinct[code] for code in codes]


def _trait_columns(frame: pd.DataFrame) -> dict[str, "pd.Series[Any]"]:
    names = [name for name in TRAIT_NAMES if name in frame.columns]
    if not names:
        raise InvalidIdentity("columns", "none is a trait")
    for name in names:
        if isinstance(frame[name], pd.DataFrame):
            raise InvalidIdentity(name, "two columns of this name")
    return {name: frame[name] for name in names}


def _distinct_traits(columns: Mapping[str, "pd.Series[Any]"], place: str) -> tuple[Codes, list[Traits]]:
    """Rows -> positions in a list of distinct traits; each distinct row is normalised once."""
    cells = {name: _factorise(name, column, place) for name, column in columns.items()}
    rows = np.zeros(max((len(codes) for codes, _ in cells.values()), default=0), dtype=np.int64)
    for codes, values in cells.values():
        rows = pd.factorize(rows * (len(values) + 1) + codes + 1)[0].astype(np.int64)
    ids: dict[Traits, int] = {}
    id_of_row = []
    for first in np.flatnonzero(~pd.Series(rows).duplicated().to_numpy()):  # in the order of factorize
        mapping = {name: values[codes[first]] for name, (codes, values) in cells.items() if codes[first] >= 0}
        try:
            traits = normalise(demographics_from_mapping(mapping))
        except InvalidIdentity as error:
            raise InvalidIdentity(f"{error.place}, {place} {first}", error.problem) from None
        id_of_row.append(ids.setdefault(traits, len(ids)))
    return np.array(id_of_row, dtype=np.int64)[rows], list(ids)


def _factorise(name: str, column: "pd.Series[Any]", place: str) -> tuple[Codes, list[Any]]:
    """Codes, -1 for a missing value, and the distinct values as Python's own types."""
    try:
        codes, values = pd.factorize(column)
    except TypeError:  # a list or a dictionary in a cell
        at = next(at for at, value in enumerate(column) if not isinstance(value, Hashable))
        raise InvalidIdentity(f"{name}, {place} {at}", "expected a text") from None
    plain = [value.item() if isinstance(value, np.generic) else value for value in values.tolist()]
    return codes.astype(np.int64), plain


# --- comparing ----------------------------------------------------------------------------


class FrenchComparison(BaseCompareFeature):  # type: ignore[misc]  # recordlinkage has no types
    """
    One ladder as a feature of `recordlinkage.Compare`.

    Args:
        trait: a comparison of the engine: `family_name`, `given_name`, `birth_date`, ...
        labels_left: columns to read, by their tabular names; all that the ladder looks at by default.
        labels_right: the same on the right; those of the left by default.
        model: gives agreement weights in bits instead of level numbers: against strangers, whatever
            the name agreed on. Rarity and relatives are for `score_pairs`, which sees the whole pair.
        missing_value: where the trait is missing on either side. With a model, 0.0 makes the row
            sum, plus `model.prior_bits`, that of `model.against_strangers`.
        label: the column of the result; the trait by default.

    Raises:
        ValueError: an unknown trait, or a column its ladder does not look at.

    Shape: float64, one value per candidate pair: 1 is the best level, the last is disagreement.
    """

    name = "french_comparison"

    def __init__(
        self,
        trait: str,
        labels_left: str | Iterable[str] | None = None,
        labels_right: str | Iterable[str] | None = None,
        *,
        model: MatchModel | None = None,
        missing_value: float = math.nan,
        label: str | None = None,
    ) -> None:
        if trait not in COLUMNS:
            raise ValueError(f"unknown comparison (expected one of {', '.join(COLUMNS)})")
        left = _checked(trait, labels_left)
        super().__init__(
            left, left if labels_right is None else _checked(trait, labels_right), label=label or trait
        )
        self.trait = trait
        at = POSITION[trait]
        # Numbers rather than the model: a feature travels to worker processes, a model does not.
        if model is None:
            values = [float(number) for number in range(len(COMPARISONS[at].level_names))]
        else:
            values = [evidence.bits for evidence in model.evidence[at]]
        values[MISSING] = missing_value
        self.value_of_level = tuple(values)

    def _compute_vectorized(self, *columns: "pd.Series[Any]") -> npt.NDArray[np.float64]:
        split = len(self.labels_left)
        left, lefts = _distinct_traits(
            dict(zip(self.labels_left, columns[:split], strict=True)), "left record of pair"
        )
        right, rights = _distinct_traits(
            dict(zip(self.labels_right, columns[split:], strict=True)), "right record of pair"
        )
        codes, pairs = pd.factorize(left * max(len(rights), 1) + right)
        level = COMPARISONS[POSITION[self.trait]].level
        values = [
            self.value_of_level[level(lefts[at // len(rights)], rights[at % len(rights)])] for at in pairs
        ]
        return np.array(values, dtype=np.float64)[codes]


def _checked(trait: str, labels: str | Iterable[str] | None) -> list[str]:
    known = (*COLUMNS[trait].own, *COLUMNS[trait].beside)
    if labels is None:
        return list(known)
    chosen = [labels] if isinstance(labels, str) else list(labels)
    if not chosen or not set(chosen) <= set(known):
        raise ValueError(f"{trait}: expected columns among {', '.join(known)}")
    return chosen


FrenchName = partial(FrenchComparison, "family_name")
"""Birth and used names, across slots; in each other's place with the given name."""
FrenchGivenNames = partial(FrenchComparison, "given_name")
FrenchDate = partial(FrenchComparison, "birth_date")
FrenchPlace = partial(FrenchComparison, "birth_place")
"""Birth place, as an INSEE code or as text."""


def french_comparisons(
    left: pd.DataFrame,
    right: pd.DataFrame | None = None,
    *,
    model: MatchModel | None = None,
    missing_value: float = math.nan,
) -> list[FrenchComparison]:
    """
    Every comparison that the columns of the frames allow, in the engine's order.

    `recordlinkage.Compare(french_comparisons(left, right))` is the comparison vector.
    """
    right = left if right is None else right
    out = []
    for comparison in COMPARISONS:
        columns = COLUMNS[comparison.trait]
        sides = [
            [name for name in (*columns.own, *columns.beside) if name in side.columns]
            for side in (left, right)
        ]
        if all(set(columns.own) & set(names) for names in sides):
            out.append(FrenchComparison(comparison.trait, *sides, model=model, missing_value=missing_value))
    return out


# --- candidate pairs ----------------------------------------------------------------------


class FrenchBlocks(BaseIndexAlgorithm):  # type: ignore[misc]  # recordlinkage has no types
    """
    The candidate pairs of the engine: records that share a key of `blocking_keys`.

    Shape: each pair once, in the order of the frames; within one frame the later record first, as
    every algorithm of recordlinkage gives them.
    """

    name = "french_blocks"

    def _link_index(self, df_a: pd.DataFrame, df_b: pd.DataFrame) -> pd.MultiIndex:
        left, right = _sharing_a_key(_keys(df_a), _keys(df_b))
        return _pairs(df_a, df_b, left, right)

    def _dedup_index(self, df_a: pd.DataFrame) -> pd.MultiIndex:
        keys = _keys(df_a)
        left, right = _sharing_a_key(keys, keys)
        return _pairs(df_a, df_a, left[left > right], right[left > right])


def _keys(frame: pd.DataFrame) -> pd.DataFrame:
    """Shape: one row per record and key; columns `row`, the position of the record, and `key`."""
    codes, distinct = _distinct_traits(_trait_columns(frame), "row")
    keys_of = [np.array(blocking_keys(traits), dtype=np.int64) for traits in distinct]
    keys = [keys_of[code] for code in codes]
    return pd.DataFrame(
        {
            "row": np.repeat(np.arange(len(keys)), [len(found) for found in keys]),
            "key": np.concatenate([np.empty(0, dtype=np.int64), *keys]),
        }
    )


def _sharing_a_key(left: pd.DataFrame, right: pd.DataFrame) -> tuple[Codes, Codes]:
    met = left.merge(right, on="key")[["row_x", "row_y"]].drop_duplicates().sort_values(["row_x", "row_y"])
    return met["row_x"].to_numpy(dtype=np.int64), met["row_y"].to_numpy(dtype=np.int64)


def _pairs(left: pd.DataFrame, right: pd.DataFrame, at_left: Codes, at_right: Codes) -> pd.MultiIndex:
    # Codes as they are: `from_arrays` would look every label up again. The stubs know lists only.
    return pd.MultiIndex([left.index, right.index], [at_left, at_right], verify_integrity=False)  # type: ignore[list-item]


# --- scoring ------------------------------------------------------------------------------


def score_pairs(
    left: pd.DataFrame,
    right: pd.DataFrame | None,
    pairs: pd.MultiIndex,
    model: MatchModel,
    *,
    same_domain: bool = False,
) -> pd.DataFrame:
    """
    Weigh candidate pairs and decide, guards included, as `online.score` does.

    Args:
        right: None when the pairs are within `left`.
        same_domain: the records are of one domain, so the stricter threshold links them.

    Raises:
        KeyError: a pair names a record that is not in its frame.
        InvalidIdentity: a wrong value, named by its column and row position.

    Units: weight_bits, bits.
    Shape: index `pairs`; columns `weight_bits`, `probability`, `decision` (a `Decision`, which is text).
    """
    lefts = traits_of(left)
    rights = lefts if right is None else traits_of(right)
    at_left = _rows_of(left, pairs.get_level_values(0))
    at_right = _rows_of(left if right is None else right, pairs.get_level_values(1))
    scored = [
        score(model, lefts[a], rights[b], same_domain=same_domain)
        for a, b in zip(at_left, at_right, strict=True)
    ]
    return pd.DataFrame(
        {
            "weight_bits": np.array([pair.weight_bits for pair in scored], dtype=np.float64),
            "probability": np.array([pair.probability for pair in scored], dtype=np.float64),
            "decision": np.array([pair.decision for pair in scored], dtype=object),
        },
        index=pairs,
    )


def _rows_of(frame: pd.DataFrame, labels: "pd.Index[Any]") -> npt.NDArray[np.intp]:
    rows = frame.index.get_indexer(labels)
    if (rows < 0).any():
        raise KeyError("a record of the pairs is not in its frame")
    return rows


# --- labelling ----------------------------------------------------------------------------


def write_labels(
    path: str | Path, pairs: pd.MultiIndex, left: pd.DataFrame, right: pd.DataFrame | None = None
) -> None:
    """
    Write pairs for a person to judge in the RecordLinkage ANNOTATOR.

    `recordlinkage.write_annotation_file`, with the traits only: a true identity in another column
    would tell the annotator. A trait that one frame lacks is shown empty. The file holds the
    identities in clear.
    """
    sides = [left] if right is None else [left, right]
    names = [name for name in TRAIT_NAMES if any(name in side.columns for side in sides)]
    firsts, seconds = pairs.get_level_values(0), pairs.get_level_values(1)
    labels = [firsts.append(seconds)] if right is None else [firsts, seconds]
    shown = [
        side.loc[wanted.unique()].reindex(columns=names).map(_shown)
        for side, wanted in zip(sides, labels, strict=True)
    ]
    # recordlinkage looks a pair's records up by the numbers 0 and 1: with names on the levels,
    # pandas 2 warns (FutureWarning) and pandas 3 fails; two equal names fail already.
    write_annotation_file(str(path), pairs.set_names([None, None]), *shown)


def _shown(value: object) -> str | None:
    """A cell as JSON carries it; dates would not be."""
    if pd.isna(value):  # type: ignore[call-overload]  # any scalar; the stubs list some
        return None
    return value.isoformat()[:10] if isinstance(value, date) else str(value)


def read_labels(path: str | Path) -> "pd.Series[float]":
    """
    Read what the ANNOTATOR saved.

    Shape: index the pairs, in the order of the file; 1.0 one person, 0.0 two, NaN not judged.
    """
    # Not `read_annotation_file`, which opens the file in the encoding of the machine.
    annotation = AnnotationResult.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
    records = [pair["identifiers"] for pair in annotation.pairs]
    index = pd.MultiIndex.from_arrays([[ids[side]["record"] for ids in records] for side in ("a", "b")])
    return pd.Series(
        [pair.get("label") for pair in annotation.pairs], index=index, dtype=np.float64, name="label"
    )
