"""
m and u without labels: u from random pairs, m by EM on the histogram of comparison vectors.

- **u**: the levels of pairs drawn at random (seeded), all of which count as different people:
  among n people, one pair in n is not, which the smoothing dwarfs.
- **m**: one EM per session. A session compares the pairs that agree on something (the birth date
  and the given name, say), holds u as it is, leaves out the comparisons it was blocked on, and
  estimates the m of the others with its own share of matches. A comparison's m is the mean over
  the sessions that left it in, each weighing what it expects of matches. Pairs that a guard
  forbids are known to be two people: they are left out of every session.
- **smoothing**: half a pair per level, in m as in u. A level never seen therefore weighs
  something, and less the more pairs were looked at.

Source: Fellegi & Sunter (1969), JASA 64(328):1183-1210; Winkler (1988), EM for Fellegi-Sunter;
sessions by blocking rule as in Splink's training.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mpi.errors import ModelError
from mpi.identity.traits import Traits
from mpi.matching.blocking import blocking_keys
from mpi.matching.comparisons import COMPARISONS, ComparisonVector, compare, first_given
from mpi.matching.guards import FORBIDDING, guards_that_apply

Histogram = Counter[ComparisonVector]
"""How many pairs show each comparison vector."""
Probabilities = npt.NDArray[np.float64]
Pair = tuple[int, int]

SMOOTHING_PAIRS = 0.5
MAX_BLOCK = 200
"""Larger blocks are left out of training; at work they are the registry's business."""


@dataclass(frozen=True, slots=True)
class Session:
    """
    Pairs that agree on something, and the comparisons that something is about.

    Args:
        key: what two records must share; None when the record has it not.
        fixed: comparisons this agreement settles, so whose m cannot be seen here.
    """

    name: str
    key: Callable[[Traits], tuple[str, ...] | None]
    fixed: frozenset[str]


def _date_and_given(traits: Traits) -> tuple[str, ...] | None:
    date, given = traits.birth_date, first_given(traits)
    return (str(date), given) if date is not None and date.day is not None and given else None


def _date_and_family(traits: Traits) -> tuple[str, ...] | None:
    date = traits.birth_date
    return (
        (str(date), traits.birth_name)
        if date is not None and date.day is not None and traits.birth_name
        else None
    )


def _both_names(traits: Traits) -> tuple[str, ...] | None:
    given = first_given(traits)
    return (traits.birth_name, given) if traits.birth_name and given else None


def _ins(traits: Traits) -> tuple[str, ...] | None:
    return (traits.ins,) if traits.ins else None


SESSIONS = (
    Session("date_and_given", _date_and_given, frozenset({"birth_date", "given_name"})),
    Session("date_and_family", _date_and_family, frozenset({"birth_date", "family_name"})),
    Session("both_names", _both_names, frozenset({"family_name", "given_name"})),
    Session("ins", _ins, frozenset({"ins"})),
)


def random_vectors(records: Sequence[Traits], pairs: int, seed: int) -> Histogram:
    """Vectors of pairs drawn at random, with replacement; a record never meets itself."""
    rng = random.Random(seed)
    size = len(records)
    histogram: Histogram = Counter()
    for _ in range(pairs):
        left = rng.randrange(size)
        right = (left + rng.randrange(1, size)) % size
        histogram[compare(records[left], records[right])] += 1
    return histogram


def u_probabilities(histogram: Histogram) -> tuple[Probabilities, ...]:
    """By comparison, P(level | different people) from vectors of random pairs, smoothed."""
    return _shares(_level_counts(histogram.items()))


def _level_counts(vectors: Iterable[tuple[ComparisonVector, float]]) -> list[Probabilities]:
    counts = [np.zeros(len(comparison.levels)) for comparison in COMPARISONS]
    for vector, count in vectors:
        for at, level in enumerate(vector):
            if level:
                counts[at][level - 1] += count
    return counts


def _shares(counts: Sequence[Probabilities]) -> tuple[Probabilities, ...]:
    smoothed = [count + SMOOTHING_PAIRS for count in counts]
    return tuple(count / count.sum() for count in smoothed)


@dataclass(frozen=True, slots=True)
class Fit:
    """
    The outcome of one EM.

    Args:
        expected: by comparison, matches expected at each level.
        share: share of the session's pairs that are one person.
        steps: iterations until the share moved by less than the tolerance.
    """

    m: tuple[Probabilities, ...]
    expected: tuple[Probabilities, ...]
    share: float
    steps: int


def fit_m(
    histogram: Histogram,
    u: Sequence[Probabilities],
    *,
    fixed: frozenset[str] = frozenset(),
    start: Sequence[Probabilities] | None = None,
    max_steps: int = 500,
    tolerance: float = 1e-7,
) -> Fit:
    """
    EM for m and the share of matches, u held.

    Args:
        fixed: comparisons that take no part: every pair agrees on them.
        start: first guess of m; by default, each level twice as likely as the one below it.

    Raises:
        ModelError: no pair to learn from.
    """
    if not histogram:
        raise ModelError("estimation: a session without pairs")
    vectors = np.array(list(histogram), dtype=np.int64)
    counts = np.array(list(histogram.values()), dtype=np.float64)
    free = [at for at, comparison in enumerate(COMPARISONS) if comparison.trait not in fixed]
    m = list(start) if start is not None else [_first_guess(len(c.levels)) for c in COMPARISONS]
    share, steps = 0.5, 0
    expected: list[Probabilities] = [np.zeros(len(comparison.levels)) for comparison in COMPARISONS]
    while steps < max_steps:
        steps += 1
        log_odds = np.full(len(counts), math.log(share / (1 - share)))
        for at in free:
            weights = np.concatenate(([0.0], np.log(m[at] / u[at])))
            log_odds += weights[vectors[:, at]]
        matches = counts / (1 + np.exp(-np.clip(log_odds, -500, 500)))
        for at in free:
            seen = np.bincount(vectors[:, at], weights=matches, minlength=len(m[at]) + 1)
            expected[at] = seen[1:].astype(np.float64)
            smoothed = expected[at] + SMOOTHING_PAIRS
            m[at] = smoothed / smoothed.sum()
        before, share = share, float(np.clip(matches.sum() / counts.sum(), 1e-9, 1 - 1e-9))
        if abs(share - before) < tolerance:
            break
    return Fit(tuple(m), tuple(expected), share, steps)


def _first_guess(levels: int) -> Probabilities:
    halves = 0.5 ** np.arange(1, levels + 1)
    guess: Probabilities = halves / halves.sum()
    return guess


def combine(fits: Iterable[tuple[Session, Fit]]) -> tuple[Probabilities, ...]:
    """By comparison, m over the sessions that could see it, each weighing its expected matches."""
    total = [np.zeros(len(comparison.levels)) for comparison in COMPARISONS]
    for session, fit in fits:
        for at, comparison in enumerate(COMPARISONS):
            if comparison.trait not in session.fixed:
                total[at] += fit.expected[at]
    return _shares(total)


def pairs_within(blocks: Iterable[Sequence[int]]) -> Iterator[Pair]:
    """Each pair of each block, the lower index first; blocks of one, or too large, give none."""
    for block in blocks:
        if 2 <= len(block) <= MAX_BLOCK:
            for at, left in enumerate(block):
                for right in block[at + 1 :]:
                    yield (left, right) if left < right else (right, left)


def candidate_pairs(records: Sequence[Traits]) -> set[Pair]:
    """Every pair of records that shares a blocking key, by index."""
    blocks: dict[int, list[int]] = defaultdict(list)
    for index, traits in enumerate(records):
        for key in blocking_keys(traits):
            blocks[key].append(index)
    return set(pairs_within(blocks.values()))


def session_vectors(records: Sequence[Traits], session: Session) -> Histogram:
    """Vectors of the pairs of a session, those that a guard forbids left out."""
    blocks: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, traits in enumerate(records):
        if key := session.key(traits):
            blocks[key].append(index)
    histogram: Histogram = Counter()
    for left, right in pairs_within(blocks.values()):
        vector = compare(records[left], records[right])
        if FORBIDDING.isdisjoint(guards_that_apply(records[left], records[right], vector)):
            histogram[vector] += 1
    return histogram
