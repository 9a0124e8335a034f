"""How good: precision and recall over pairs, with their intervals."""

import math
from collections.abc import Hashable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

Pair = tuple[Hashable, Hashable]
_T = TypeVar("_T", bound=Hashable)


class Interval(NamedTuple):
    """A proportion and its confidence interval."""

    value: float
    low: float
    high: float


def wilson(successes: int, trials: int, z: float = 1.959964) -> Interval:
    """
    The Wilson score interval of a proportion; (nan, 0, 1) without trials.

    Unlike the normal interval it stays in [0, 1] and means something at 0 and at 1, which is
    where the precision of automatic links lives.

    Args:
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
    centre = share + z2 / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials * trials))
    scale = 1 + z2 / trials
    # At 0 and 1 the bound is the proportion itself; rounding must not move it.
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == trials else (centre + spread) / scale
    return Interval(share, low, high)


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
    """Compare the pairs found with the true ones; order within a pair does not count."""
    found_set: AbstractSet[Pair] = {ordered(*pair) for pair in found}
    true_set: AbstractSet[Pair] = {ordered(*pair) for pair in true}
    hits = len(found_set & true_set)
    return PairMeasures(hits, len(found_set) - hits, len(true_set) - hits)
