"""
How good: measures over pairs and over clusters, each with its interval.

Records are numbers from 0 and people are labels, so that a million records take seconds: pairs are
counted through the contingency table of found clusters and people, never enumerated. Proportions
have Wilson intervals. Other figures have bootstrap intervals that draw people, not pairs, because
the pairs of one person are right or wrong together; people whom a mistake joins are drawn together.

Source: Bagga & Baldwin (1998), B-cubed; Christen (2012), Data Matching, chapter 7; Efron &
Tibshirani (1993), An Introduction to the Bootstrap, chapter 13.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from mpi.matching.clusters import components

Pair = tuple[Hashable, Hashable]
Numbers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Statistic = Callable[[Floats], Floats]
"""From totals, shape (..., columns), to a figure, shape (...)."""
_T = TypeVar("_T", bound=Hashable)

RESAMPLES = 200
SEED = 20261
_DRAWN_TOGETHER = 4_000_000
"""Numbers held at once while resampling."""


class Interval(NamedTuple):
    """A figure and its 95 % confidence interval."""

    value: float
    low: float
    high: float


def wilson(successes: float, trials: float, z: float = 1.959964) -> Interval:
    """
    The Wilson score interval of a proportion; (nan, 0, 1) without trials.

    Unlike the normal interval it stays in [0, 1] and means something at 0 and at 1, which is
    where the precision of automatic links lives.

    Args:
        successes: a count, or an expected one.
        z: standard normal quantile; the default gives 95 %.

    Raises:
        ValueError: not 0 <= successes <= trials.

    Source: Wilson (1927), JASA 22(158):209-212.
    """
    if not 0 <= successes <= trials:
        raise ValueError("expected 0 <= successes <= trials")
    if trials == 0:
        return Interval(math.nan, 0.0, 1.0)
    share, z2 = successes / trials, z * z
    # Multiplied out by the trials, so that an expected count of almost nothing does not overflow.
    centre = successes + z2 / 2
    spread = z * math.sqrt(successes * (1 - share) + z2 / 4)
    # At 0 and 1 the bound is the proportion itself; rounding must not move it.
    low = 0.0 if successes == 0 else (centre - spread) / (trials + z2)
    high = 1.0 if successes == trials else (centre + spread) / (trials + z2)
    return Interval(share, low, high)


def bootstrap(
    rows: Floats,
    statistics: Sequence[Statistic],
    *,
    counts: Numbers | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> tuple[Interval, ...]:
    """
    Percentile intervals of figures that depend on column totals, units drawn with replacement.

    Units with equal rows are drawn together by one multinomial, which changes nothing but the time.
    An interval is stretched to hold the figure itself: one that is biased upwards when resampled,
    such as a calibration error near 0, could fall outside.

    Args:
        counts: how many units each row stands for; by default one.

    Shape: rows (units, columns).
    """
    distinct, weights = _distinct_rows(rows, counts)
    units = int(weights.sum())
    if not units:
        return tuple(Interval(math.nan, math.nan, math.nan) for _ in statistics)
    rng = np.random.default_rng(seed)
    step = max(1, _DRAWN_TOGETHER // len(distinct))
    totals = np.concatenate([
        rng.multinomial(units, weights / units, size=min(step, resamples - at)) @ distinct
        for at in range(0, resamples, step)
    ])  # fmt: skip
    whole = weights @ distinct
    return tuple(_percentiles(float(figure(whole)), figure(totals)) for figure in statistics)


def _distinct_rows(rows: Floats, counts: Numbers | None) -> tuple[Floats, Floats]:
    """The different rows and how many units each stands for."""
    codes = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:  # much faster than np.unique over rows
        codes = codes * (len(rows) + 1) + np.unique(column, return_inverse=True)[1]
        codes = np.unique(codes, return_inverse=True)[1].astype(np.int64)
    _, first = np.unique(codes, return_index=True)
    weights = np.bincount(codes, weights=counts, minlength=len(first))
    return rows[first], weights.astype(np.float64)


def _percentiles(value: float, figures: Floats) -> Interval:
    seen = figures[np.isfinite(figures)]
    if math.isnan(value) or not len(seen):
        return Interval(value, math.nan, math.nan)
    low, high = np.percentile(seen, (2.5, 97.5))
    return Interval(value, min(float(low), value), max(float(high), value))


def _ratio(above: int, below: int) -> Statistic:
    """One column total over another."""

    def ratio(totals: Floats) -> Floats:
        return _divided(totals[..., above], totals[..., below])

    return ratio


def _divided(above: Floats, below: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(above / below)


@dataclass(frozen=True, slots=True)
class PairMeasures:
    """
    Counts of pairs found against pairs that are.

    Args:
        true_positives: found, and one person.
        false_positives: found, and two people.
        false_negatives: one person, and not found.
    """

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> Interval:
        """Of the pairs found, those that are one person."""
        return wilson(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> Interval:
        """Of the pairs that are one person, those found."""
        return wilson(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 when nothing is right."""
        wrong = self.false_positives + self.false_negatives
        return 2 * self.true_positives / (2 * self.true_positives + wrong) if self.true_positives else 0.0


def ordered(left: _T, right: _T) -> tuple[_T, _T]:
    """One spelling per pair, whatever the order it came in; names are compared as text."""
    return (left, right) if str(left) <= str(right) else (right, left)


def measure_pairs(found: Iterable[Pair], true: Iterable[Pair]) -> PairMeasures:
    """Compare the pairs found with the true ones, for a few; order within a pair does not count."""
    found_set: AbstractSet[Pair] = {ordered(*pair) for pair in found}
    true_set: AbstractSet[Pair] = {ordered(*pair) for pair in true}
    hits = len(found_set & true_set)
    return PairMeasures(hits, len(found_set) - hits, len(true_set) - hits)


def numbered(labels: npt.ArrayLike) -> Numbers:
    """Any labels as numbers from 0, in the order of their values."""
    return np.unique(np.asarray(labels), return_inverse=True)[1].astype(np.int64)


def pairs_among(sizes: Any) -> Floats:
    """How many pairs a group of each size holds. Exact to 2^53."""
    sizes = np.asarray(sizes, dtype=np.float64)
    return np.asarray(sizes * (sizes - 1) / 2)


class PairFigures(NamedTuple):
    """Pairs found against pairs that are, and F1 with its interval."""

    pairs: PairMeasures
    f1: Interval


class ClusterFigures(NamedTuple):
    """
    Clusters found against people.

    Args:
        pairs: over every pair of records of one cluster.
        precision, recall, f1: B-cubed, the mean over records of what share of the record's cluster
            is its person, and of its person's records are in its cluster.
        exact: the share of people whose records are one cluster with nobody else's.
    """

    pairs: PairFigures
    precision: Interval
    recall: Interval
    f1: Interval
    exact: Interval


def _pair_f1(totals: Floats) -> Floats:
    return np.nan_to_num(_divided(2 * totals[..., 0], totals[..., 1] + totals[..., 2]))


def _bcubed_f1(totals: Floats) -> Floats:
    """Harmonic mean of the two means: the number of records cancels out."""
    return _divided(2 * totals[..., 3] * totals[..., 4], (totals[..., 3] + totals[..., 4]) * totals[..., 5])


@dataclass(frozen=True, slots=True)
class Contingency:
    """
    Found clusters against people: one cell per cluster and person that share a record.

    Built once, read for the whole and for each stratum.

    Shape: cell_of_record (records,); cluster, person, size (cells,); unit (cells,), what is drawn
    together: people whose records share a found cluster.
    """

    cell_of_record: Numbers
    cluster: Numbers
    person: Numbers
    size: Numbers
    unit: Numbers

    @classmethod
    def of(cls, found: npt.ArrayLike, people: npt.ArrayLike) -> Self:
        """
        Count the records of each found cluster and person.

        Args:
            found, people: by record, any labels of one type.

        Raises:
            ValueError: not the same number of records.
        """
        cluster_of, person_of = numbered(found), numbered(people)
        if len(cluster_of) != len(person_of):
            raise ValueError("expected one cluster and one person a record")
        n_people = int(person_of.max(initial=-1)) + 1
        n_clusters = int(cluster_of.max(initial=-1)) + 1
        keys, cell_of, size = np.unique(
            cluster_of * n_people + person_of, return_inverse=True, return_counts=True
        )
        cluster, person = keys // max(n_people, 1), keys % max(n_people, 1)
        joined = components(n_clusters + n_people, cluster, n_clusters + person)
        return cls(cell_of, cluster, person, size, numbered(joined[cluster]))

    def measures(self, within: Mask | None = None) -> ClusterFigures:
        """
        Measure the whole, or one stratum.

        A pair belongs to a stratum when either of its records does, a person when any record does.

        Args:
            within: by record, whether it is in the stratum.
        """
        inside = self._counted(within) if within is not None else self.size
        rows = self._tallies(self.size)
        if within is not None:
            rows = rows - self._tallies(self.size - inside)
        cluster_size = np.bincount(self.cluster, weights=self.size)[self.cluster]
        person_size = np.bincount(self.person, weights=self.size)[self.person]
        rows = np.column_stack([
            rows,
            self._by_unit(inside * self.size / cluster_size),
            self._by_unit(inside * self.size / person_size),
            self._by_unit(inside),
        ])  # fmt: skip
        rows = rows[rows.any(axis=1)]
        hits, found, true = (int(total) for total in rows[:, :3].sum(axis=0))
        f1, *bcubed = bootstrap(rows, (_pair_f1, _ratio(3, 5), _ratio(4, 5), _bcubed_f1))
        whole = (self.size == cluster_size) & (self.size == person_size) & (inside > 0)
        people = len(np.unique(self.person[inside > 0]))
        pairs = PairFigures(PairMeasures(hits, found - hits, true - hits), f1)
        return ClusterFigures(pairs, bcubed[0], bcubed[1], bcubed[2], wilson(int(whole.sum()), people))

    def _counted(self, within: Mask) -> Numbers:
        return np.bincount(self.cell_of_record[within], minlength=len(self.size)).astype(np.int64)

    def _by_unit(self, values: npt.NDArray[Any]) -> Floats:
        return np.bincount(self.unit, weights=values).astype(np.float64)

    def _tallies(self, size: Numbers) -> Floats:
        """By unit: pairs of one person in one cluster, of one cluster, of one person."""
        return np.column_stack([
            self._by_unit(pairs_among(size)),
            self._by_unit(self._pairs_by_group(self.cluster, size)),
            self._by_unit(self._pairs_by_group(self.person, size)),
        ])  # fmt: skip

    def _pairs_by_group(self, group: Numbers, size: Numbers) -> Floats:
        """The pairs of each cluster, or person, on the first of its cells: all of them lie in one unit."""
        groups, first = np.unique(group, return_index=True)
        on_cell = np.zeros(len(size))
        on_cell[first] = pairs_among(np.bincount(group, weights=size)[groups])
        return on_cell


def measure_clusters(found: npt.ArrayLike, people: npt.ArrayLike) -> ClusterFigures:
    """Compare found clusters with people, both as one label a record."""
    return Contingency.of(found, people).measures()


def measure_found(left: Numbers, right: Numbers, person: Numbers, within: Mask | None = None) -> PairFigures:
    """
    Compare found pairs with people.

    A pair belongs to a stratum when either of its records does.

    Args:
        left, right: the records of each pair found; every pair once, no record with itself.
        person: by record, who it is.
        within: by record, whether it is in the stratum; by default every record is.
    """
    size, people = len(person), numbered(person)
    outside = np.zeros(size, dtype=np.bool_) if within is None else ~within
    one, other = people[left], people[right]
    unit = numbered(components(int(people.max(initial=-1)) + 1, one, other))
    n_units = int(unit.max(initial=-1)) + 1
    kept = ~(outside[left] & outside[right])
    in_pairs = unit[one[kept]]
    of_person = pairs_among(np.bincount(people)) - pairs_among(
        np.bincount(people[outside], minlength=len(unit))
    )
    rows = np.column_stack([
        np.bincount(in_pairs, weights=(one == other)[kept], minlength=n_units),
        np.bincount(in_pairs, minlength=n_units).astype(np.float64),
        np.bincount(unit, weights=of_person, minlength=n_units),
    ])  # fmt: skip
    hits, found, true = (int(total) for total in rows.sum(axis=0))
    (f1,) = bootstrap(rows[rows.any(axis=1)], (_pair_f1,))
    return PairFigures(PairMeasures(hits, found - hits, true - hits), f1)


class BlockingLoss(NamedTuple):
    """
    What blocking costs and saves.

    Args:
        pairs_completeness: of the pairs that are one person, those compared.
        reduction_ratio: of all pairs of records, those not compared.

    Source: Elfeky, Verykios & Elmagarmid (2002), TAILOR.
    """

    pairs_completeness: Interval
    reduction_ratio: Interval


def measure_blocking(left: Numbers, right: Numbers, person: Numbers) -> BlockingLoss:
    """Compare candidate pairs with all pairs; arguments as `measure_found`."""
    everything = float(pairs_among(len(person)))
    true = float(pairs_among(np.bincount(numbered(person))).sum())
    hits = int((person[left] == person[right]).sum())
    return BlockingLoss(wilson(hits, true), wilson(everything - len(left), everything))


@dataclass(frozen=True, slots=True)
class ThresholdCurve:
    """
    Precision and recall at every threshold, from the highest weight down.

    Args:
        true_pairs: the pairs that are one person, found or not.
        average_precision: the area under the precision-recall steps. Its interval draws pairs one
            by one, so it is a little narrow.

    Shape: threshold_bits, hits, found (distinct weights,); hits and found count the pairs at or
    above the threshold.
    """

    threshold_bits: Floats
    hits: Numbers
    found: Numbers
    true_pairs: int
    average_precision: Interval

    def at(self, threshold_bits: float) -> PairMeasures:
        """The measures when pairs at or above a threshold are found."""
        row = int(np.searchsorted(-self.threshold_bits, -threshold_bits, side="right")) - 1
        hits, found = (int(self.hits[row]), int(self.found[row])) if row >= 0 else (0, 0)
        return PairMeasures(hits, found - hits, self.true_pairs - hits)

    @property
    def best_threshold_bits(self) -> float:
        """Where F1 is highest on these very pairs: a summary, never a threshold to adopt."""
        return float(self.threshold_bits[np.argmax(2 * self.hits / (self.found + self.true_pairs))])


_STEPS = 200


def threshold_curve(weight_bits: Floats, is_match: Mask, true_pairs: int) -> ThresholdCurve:
    """
    The curve of weighted pairs.

    Raises:
        ValueError: no pair, no true pair, or more matches than true pairs.
    """
    if not len(weight_bits) or not 0 < true_pairs >= int(is_match.sum()):
        raise ValueError("expected weighted pairs, and at least as many true pairs as matches")
    order = np.argsort(-weight_bits, kind="stable")
    weights = weight_bits[order]
    last = np.append(np.flatnonzero(np.diff(weights)), len(weights) - 1)
    hits, found = np.cumsum(is_match[order])[last].astype(np.int64), (last + 1).astype(np.int64)
    # The interval is taken on steps of about equal counts, coarse enough to resample at once.
    step = np.searchsorted(found, np.linspace(0, len(weights), _STEPS + 1)[1:], side="left")
    ends = np.unique(step)
    matched, pairs = np.diff(hits[ends], prepend=0), np.diff(found[ends], prepend=0)
    steps = len(ends)
    rows = np.eye(2 * steps + 1)
    counts = np.concatenate([matched, pairs - matched, [true_pairs - int(hits[-1])]])

    def area(totals: Floats) -> Floats:
        right, wrong = totals[..., :steps], totals[..., steps : 2 * steps]
        above = np.cumsum(right, axis=-1)
        precision = np.nan_to_num(_divided(above, above + np.cumsum(wrong, axis=-1)))
        return _divided((right * precision).sum(axis=-1), above[..., -1] + totals[..., -1])

    (coarse,) = bootstrap(rows, (area,), counts=counts.astype(np.int64))
    exact = float((np.diff(hits, prepend=0) * hits / found).sum() / true_pairs)
    shift = exact - coarse.value
    around = Interval(exact, max(coarse.low + shift, 0.0), min(coarse.high + shift, 1.0))
    return ThresholdCurve(weights[last], hits, found, true_pairs, around)
