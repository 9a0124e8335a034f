"""
Thresholds from an error budget: what a user can promise, solved on a weighted histogram of pairs.

The expected wrong links of a threshold are the sum of what the probabilities leave to doubt, so a
budget is kept in expectation, and as well as the probabilities are calibrated.

Source: Fellegi & Sunter (1969), JASA 64(328):1183-1210, thresholds from error rates; Belin & Rubin
(1995), JASA 90(430):694-707, calibrated false-match rates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from mpi.errors import ModelError
from mpi.matching.decision import Thresholds
from mpi.matching.evaluation import Interval, wilson
from mpi.matching.weights import probability_from_bits

Floats = npt.NDArray[np.float64]

_MARGIN = 100
"""The lightest pair that is linked may be so many times as doubtful as the budget's mean."""
_GRID = 1000
"""Bounds are whole thousandths of a bit, as the model file writes them."""


class WeighedPairs(NamedTuple):
    """
    Candidate pairs of one weight.

    Args:
        pairs: how many they are.
        capped: whether a guard keeps them from being linked: they are tasks instead.
        probability: that such a pair is one person, calibrated where a calibration is known.
    """

    weight_bits: float
    pairs: float
    capped: bool
    probability: float


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """
    What the thresholds must keep, in expectation.

    Args:
        wrong_links: share of automatic links that join two people.
        lost_matches: share of matches that fall below review.
        contradicting_matches: share of matches that count as evidence of two people.
        same_domain_factor: how much stricter two records of one domain are linked.
        tasks_a_day: how many pairs people can look at; no limit by default.
        records_a_day: how many new records come in, to which the tasks relate.

    Raises:
        ModelError: a share outside (0, 1], or a limit on tasks without the records that raise them.
    """

    wrong_links: float = 0.0002
    lost_matches: float = 0.002
    contradicting_matches: float = 0.0005
    same_domain_factor: float = 0.25
    tasks_a_day: float = math.inf
    records_a_day: float = 0.0

    def __post_init__(self) -> None:
        for name in ("wrong_links", "lost_matches", "contradicting_matches", "same_domain_factor"):
            if not 0 < getattr(self, name) <= 1:
                raise ModelError(f"budget: {name}: expected a share in (0, 1]")
        if not self.tasks_a_day >= 0:
            raise ModelError("budget: tasks_a_day: expected a number, 0 or more")
        if not 0 <= self.records_a_day < math.inf:
            raise ModelError("budget: records_a_day: expected a number, 0 or more")
        if math.isfinite(self.tasks_a_day) and not self.records_a_day:
            raise ModelError("budget: records_a_day: needed to keep tasks_a_day")

    @property
    def tasks_per_record(self) -> float:
        """How many tasks a new record may raise, on average."""
        return self.tasks_a_day / self.records_a_day if self.records_a_day else math.inf


class Unmet(NamedTuple):
    """
    A part of a budget that cannot be kept.

    Args:
        part: the field of `ErrorBudget`.
        nearest: the tightest value of that field that can be kept, the parts before it being kept
            as asked: wrong links first, then tasks, then lost matches. NaN when there is none.
    """

    part: str
    asked: float
    nearest: float

    def __str__(self) -> str:
        if math.isnan(self.nearest):
            return f"{self.part}: {self.asked:.6g} cannot be kept: no pair may be linked"
        return f"{self.part}: {self.asked:.6g} cannot be kept; the nearest that can is {self.nearest:.6g}"


class TradeOff(NamedTuple):
    """
    What one threshold would give.

    Args:
        wrong_links_per_100_000: expected among uncapped pairs at or above the threshold, were it
            the upper one. The interval is that of such a share among as many links; what the
            probabilities themselves are worth is the calibration's to say.
        tasks_per_1_000_records: pairs to review were it the lower threshold, the upper staying.
        matches_found: share of the expected matches at or above it, linked or reviewed.
    """

    threshold_bits: float
    wrong_links_per_100_000: Interval
    tasks_per_1_000_records: Interval
    matches_found: Interval


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Thresholds, what they cost beside others, and what of the budget they could not keep.

    Where a part is unmet the thresholds stay on the safe side: nothing is linked that would break
    `wrong_links`, and lost matches give way to tasks.
    """

    thresholds: Thresholds
    trade_off: tuple[TradeOff, ...]
    unmet: tuple[Unmet, ...]

    def to_json(self) -> dict[str, Any]:
        """The plan in JSON types; a figure without data is null."""
        return {
            "lower_bits": self.thresholds.lower_bits,
            "upper_bits": self.thresholds.upper_bits,
            "same_domain_bits": self.thresholds.same_domain_bits,
            "contradiction_bits": self.thresholds.contradiction_bits,
            "unmet": [
                {"part": u.part, "asked": u.asked, "nearest": _finite(u.nearest), "statement": str(u)}
                for u in self.unmet
            ],
            "trade_off": [
                {
                    name: [_finite(x) for x in value] if isinstance(value, Interval) else value
                    for name, value in row._asdict().items()
                }
                for row in self.trade_off
            ],
        }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None


@dataclass(frozen=True, slots=True)
class _Histogram:
    """Pairs by weight, heaviest first. Shape: (distinct weights,), bits rounded down to the grid."""

    bits: Floats
    free: Floats
    capped: Floats
    doubt: Floats
    """Expected wrong links among the free."""
    matches: Floats
    """Expected among free and capped."""

    @classmethod
    def of(cls, pairs: Sequence[WeighedPairs]) -> Self:
        if not pairs:
            raise ModelError("estimation: no candidate pair to choose thresholds from")
        weight, count, capped, probability = np.array(pairs, dtype=np.float64).T
        if not (np.isfinite(weight).all() and (count > 0).all()):
            raise ModelError("budget: expected finite weights and counts above 0")
        if not ((probability >= 0) & (probability <= 1)).all():
            raise ModelError("budget: expected probabilities in [0, 1]")
        # What the rounding puts on one bound stands or falls together.
        bits, at = np.unique(-_down(weight), return_inverse=True)
        free, held = count * (capped == 0), count * (capped != 0)
        columns = (free, held, free * (1 - probability), count * probability)
        summed = [np.bincount(at, values).astype(np.float64) for values in columns]
        return cls(-bits, summed[0], summed[1], summed[2], summed[3])

    @property
    def above(self) -> float:
        """A bound no pair of the histogram reaches."""
        return float(np.round(self.bits[0] + 2 / _GRID, 3))

    def upper_bits(self, wrong_links: float) -> float:
        """The lowest bound that keeps a share of wrong links; infinite when none does."""
        kept = (self.wrong_share() <= wrong_links) & (self._marginal() <= _MARGIN * wrong_links)
        # A bound holds only if every higher one does: probabilities that rise again below a
        # doubtful weight are noise, not a reason to link across it.
        good = np.logical_and.accumulate(kept) & (np.cumsum(self.free) > 0)
        return float(self.bits[good][-1]) if good.any() else math.inf

    def nearest_wrong_links(self) -> float:
        """The tightest share of wrong links that any bound keeps; NaN without a free pair."""
        free = np.cumsum(self.free) > 0
        least = np.maximum.accumulate(np.maximum(self.wrong_share(), self._marginal() / _MARGIN))[free]
        return float(least[0]) if len(least) else math.nan

    def wrong_share(self) -> Floats:
        linked = np.cumsum(self.free)
        return np.cumsum(self.doubt) / np.maximum(linked, np.finfo(np.float64).tiny)

    def _marginal(self) -> Floats:
        return self.doubt / np.maximum(self.free, np.finfo(np.float64).tiny)

    def lower_bits(self, lost_matches: float) -> float:
        """The highest bound below which at most a share of the expected matches lie."""
        lost = np.cumsum(self.matches[::-1]) - self.matches[::-1]
        kept = lost <= lost_matches * self.matches.sum()
        return float(self.bits[::-1][kept][-1])

    def lost_share(self, lower_bits: float) -> float:
        return float(self.matches[self.bits < lower_bits].sum() / (self.matches.sum() or 1.0))

    def reviews(self, upper_bits: float) -> Floats:
        """By bound, pairs to review when it is the lower threshold."""
        return np.cumsum(self.capped + np.where(self.bits < upper_bits, self.free, 0.0))


def _down(bits: Floats) -> Floats:
    """Rounded down for the file, so that the pair it came from stays above."""
    cell = np.floor(bits * _GRID)
    return np.asarray(np.where(cell / _GRID > bits, cell - 1, cell) / _GRID)


def solve(pairs: Sequence[WeighedPairs], budget: ErrorBudget, *, records: int) -> Plan:
    """
    The thresholds that keep an error budget, if the probabilities are right.

    - upper: the lowest weight such that, among uncapped pairs at or above it, the mean
      probability of being two people is within `wrong_links`, and that of the marginal pair
      within a hundred times that;
    - same domain: the same with a budget `same_domain_factor` times as large;
    - lower: the highest weight with at most `lost_matches` of the expected matches below it, or
      higher when `tasks_a_day` asks;
    - contradiction: the same with `contradicting_matches`; never above the lower bound.

    A new record is taken to meet an index as large as the population of the histogram, where each
    pair concerns two records: so it raises 2 * pairs / records tasks.

    Args:
        pairs: every candidate pair but those a guard forbids.
        records: how many records the candidate pairs were drawn from.

    Raises:
        ModelError: no pair, no record, or a number that is not what it must be.
    """
    if records < 1:
        raise ModelError("budget: expected at least one record")
    histogram = _Histogram.of(pairs)
    unmet = []
    stricter = budget.wrong_links * budget.same_domain_factor
    upper, same_domain = histogram.upper_bits(budget.wrong_links), histogram.upper_bits(stricter)
    nearest = histogram.nearest_wrong_links()
    if math.isinf(upper):
        unmet.append(Unmet("wrong_links", budget.wrong_links, nearest))
    elif math.isinf(same_domain):
        unmet.append(Unmet("same_domain_factor", budget.same_domain_factor, nearest / budget.wrong_links))
    upper, same_domain = min(upper, histogram.above), min(same_domain, histogram.above)
    lower = min(histogram.lower_bits(budget.lost_matches), upper)
    affordable, fewest = _affordable(histogram, upper, budget.tasks_per_record, records)
    if fewest > budget.tasks_per_record:
        unmet.append(Unmet("tasks_a_day", budget.tasks_a_day, fewest * budget.records_a_day))
    if affordable > lower:
        lower = affordable
        unmet.append(Unmet("lost_matches", budget.lost_matches, histogram.lost_share(lower)))
    thresholds = Thresholds(
        lower_bits=lower,
        upper_bits=upper,
        same_domain_bits=same_domain,
        contradiction_bits=min(histogram.lower_bits(budget.contradicting_matches), lower),
    )
    return Plan(thresholds, _trade_off(histogram, upper, records), tuple(unmet))


def _affordable(
    histogram: _Histogram, upper_bits: float, tasks_per_record: float, records: int
) -> tuple[float, float]:
    """The lowest lower threshold that keeps the tasks, and the fewest tasks a record there can be."""
    tasks = 2 * histogram.reviews(upper_bits) / records
    fewest = float(tasks[histogram.bits >= upper_bits].max(initial=0.0))
    kept = histogram.bits[(tasks <= tasks_per_record) & (histogram.bits < upper_bits)]
    return float(kept.min(initial=upper_bits)), fewest


def _trade_off(histogram: _Histogram, upper_bits: float, records: int) -> tuple[TradeOff, ...]:
    """One row a whole bit, from the lightest pair to the heaviest."""
    free, doubt = np.cumsum(histogram.free), np.cumsum(histogram.doubt)
    reviews, matches = histogram.reviews(upper_bits), np.cumsum(histogram.matches)
    rows = []
    for bits in range(math.floor(histogram.bits[-1]), math.floor(histogram.bits[0]) + 1):
        at = int((histogram.bits >= bits).sum()) - 1
        wrong = wilson(min(doubt[at], free[at]), free[at])
        rows.append(
            TradeOff(
                float(bits),
                Interval(*(100_000 * share for share in wrong)),
                Interval(*(2000 / records * count for count in _counted(float(reviews[at])))),
                wilson(min(matches[at], matches[-1]), matches[-1]),
            )
        )
    return tuple(rows)


def _counted(count: float, z: float = 1.959964) -> Interval:
    """A count and the score interval of the mean of its Poisson distribution."""
    centre, spread = count + z * z / 2, z * math.sqrt(count + z * z / 4)
    return Interval(count, max(centre - spread, 0.0), centre + spread)


def choose_thresholds(weighted: Sequence[tuple[float, float, bool]], budget: ErrorBudget) -> Thresholds:
    """
    The thresholds of `solve` where the weights are their own calibration and tasks have no limit.

    Args:
        weighted: (match weight in bits, number of pairs, whether a guard caps them).

    Raises:
        ModelError: no pair, a limit on tasks, or no weight keeps the budget.
    """
    if math.isfinite(budget.tasks_a_day):
        raise ModelError("budget: tasks_a_day: the number of records is not known here")
    pairs = [WeighedPairs(bits, count, cap, probability_from_bits(bits)) for bits, count, cap in weighted]
    plan = solve(pairs, budget, records=1)
    if plan.unmet:
        raise ModelError(f"estimation: no threshold keeps the budget: {plan.unmet[0]}")
    return plan.thresholds
