"""
Fit a model without labels: u from random pairs, m by EM on the histogram of comparison vectors.

- **u**: the levels of pairs drawn at random (seeded), all of which count as different people:
  among n people, one pair in n is not, which the smoothing dwarfs.
- **m**: one EM per session. A session compares the pairs that agree on something (the birth date
  and the given name, say), holds u as it is, leaves out the comparisons it was blocked on, and
  estimates the m of the others with its own share of matches. A comparison's m is the mean over
  the sessions that left it in, each weighing what it expects of matches. Pairs that a guard
  forbids are known to be two people: they are left out of every session.
- **smoothing**: half a pair per level, in m as in u. A level never seen therefore weighs
  something, and less the more pairs were looked at.
- **prior**: the matches expected among all candidate pairs, over all pairs of records, at the
  fixed point of (prior -> probabilities -> prior).
- **thresholds**: from the probabilities of the candidate pairs that no guard caps, see
  `choose_thresholds`.

Source: Fellegi & Sunter (1969), JASA 64(328):1183-1210; Winkler (1988), EM for Fellegi-Sunter;
sessions by blocking rule as in Splink's training.
"""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mpi.errors import ModelError
from mpi.identity.traits import Traits
from mpi.matching.blocking import blocking_keys
from mpi.matching.comparisons import COMPARISONS, POSITION, ComparisonVector, compare, first_given
from mpi.matching.decision import Thresholds
from mpi.matching.guards import FORBIDDING, guards_that_apply
from mpi.matching.model import LevelParameters, MatchModel
from mpi.matching.weights import prior_bits, probability_from_bits

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


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """
    What the thresholds must keep, in expectation.

    Args:
        wrong_links: share of automatic links that join two people.
        lost_matches: share of matches that fall below review.
        contradicting_matches: share of matches that count as evidence of two people.
        same_domain_factor: how much stricter two records of one domain are linked.
    """

    wrong_links: float = 0.0001
    lost_matches: float = 0.002
    contradicting_matches: float = 0.0005
    same_domain_factor: float = 0.1


def choose_thresholds(weighted: Sequence[tuple[float, float, bool]], budget: ErrorBudget) -> Thresholds:
    """
    The bounds that keep an error budget, if the probabilities are right.

    - upper: the lowest weight such that, among uncapped pairs at or above it, the mean
      probability of being two people is within `wrong_links`, and that of the marginal pair
      within a hundred times that;
    - same domain: the same with a budget `same_domain_factor` times as large;
    - lower: the highest weight with at most `lost_matches` of the expected matches below it;
    - contradiction: the same with `contradicting_matches`; never above the lower bound.

    Args:
        weighted: (match weight in bits, number of pairs, whether a guard caps them).

    Raises:
        ModelError: no pair, or no weight keeps the budget.
    """
    if not weighted:
        raise ModelError("estimation: no candidate pair to choose thresholds from")
    upper = _upper(weighted, budget.wrong_links)
    lower = min(_lower(weighted, budget.lost_matches), upper)
    return Thresholds(
        lower_bits=lower,
        upper_bits=upper,
        same_domain_bits=_upper(weighted, budget.wrong_links * budget.same_domain_factor),
        contradiction_bits=min(_lower(weighted, budget.contradicting_matches), lower),
    )


def _upper(weighted: Sequence[tuple[float, float, bool]], wrong_links: float) -> float:
    linked = wrong = 0.0
    bound = math.inf
    for weight, count, capped in sorted(weighted, reverse=True):
        if capped:
            continue
        linked += count
        doubt = 1 - probability_from_bits(weight)
        wrong += count * doubt
        if wrong > wrong_links * linked or doubt > 100 * wrong_links:
            break
        bound = weight
    if math.isinf(bound):
        raise ModelError("estimation: no threshold keeps the budget for wrong links")
    return _down(bound)


def _lower(weighted: Sequence[tuple[float, float, bool]], lost_matches: float) -> float:
    matches = math.fsum(count * probability_from_bits(weight) for weight, count, _ in weighted)
    lost, bound = 0.0, -math.inf
    for weight, count, _ in sorted(weighted):
        bound = weight
        lost += count * probability_from_bits(weight)
        if lost > lost_matches * matches:
            break
    return _down(bound)


def _down(bits: float) -> float:
    """Rounded down for the file, so that the pair it came from stays above."""
    return math.floor(bits * 1000) / 1000


def estimate(
    records: Sequence[Traits],
    *,
    version: str,
    seed: int = 1,
    random_pairs: int = 1_000_000,
    budget: ErrorBudget | None = None,
    sessions: Sequence[Session] = SESSIONS,
    metadata: Mapping[str, Any] | None = None,
) -> MatchModel:
    """
    Fit a model to a population, without labels.

    Deterministic: the same records in the same order and the same seed give the same model.

    Args:
        records: traits of every source record, several per person.
        random_pairs: more of them give rarer levels a surer u; 20 microseconds each.

    Raises:
        ModelError: fewer than two records, or nothing to learn from.
    """
    if len(records) < 2:
        raise ModelError("estimation: fewer than two records")
    budget = budget or ErrorBudget()
    u = u_probabilities(random_vectors(records, random_pairs, seed))
    fits = []
    for session in sessions:
        if histogram := session_vectors(records, session):
            fits.append((session, fit_m(histogram, u, fixed=session.fixed)))
    if not fits:
        raise ModelError("estimation: no session has a pair")
    parameters = _parameters(combine(fits), u)
    histogram, capped = _candidate_vectors(records)
    unscaled = MatchModel("unscaled", 0.0, parameters, Thresholds(0.0, 0.0))
    evidence = {
        vector: math.fsum(e.bits for e in unscaled.evidence_of(vector)) for vector in histogram | capped
    }
    prior, expected = _prior(evidence, histogram + capped, len(records))
    weighted = [
        (prior + evidence[vector], float(count), is_capped)
        for counts, is_capped in ((histogram, False), (capped, True))
        for vector, count in counts.items()
    ]
    told: dict[str, Any] = {
        "records": len(records),
        "random_pairs": random_pairs,
        "seed": seed,
        "candidate_pairs": histogram.total() + capped.total(),
        "expected_matches": round(expected, 1),
        "sessions": {s.name: {"share": round(f.share, 5), "steps": f.steps} for s, f in fits},
    }
    return MatchModel(
        version=version,
        prior_bits=round(prior, 3),
        parameters=parameters,
        thresholds=choose_thresholds(weighted, budget),
        metadata=told | dict(metadata or {}),
    )


def _parameters(
    m: Sequence[Probabilities], u: Sequence[Probabilities]
) -> dict[str, dict[str, LevelParameters]]:
    return {
        comparison.trait: {
            level.name: LevelParameters(
                float(f"{m[POSITION[comparison.trait]][at]:.6g}"),
                float(f"{u[POSITION[comparison.trait]][at]:.6g}"),
            )
            for at, level in enumerate(comparison.levels)
        }
        for comparison in COMPARISONS
    }


def _candidate_vectors(records: Sequence[Traits]) -> tuple[Histogram, Histogram]:
    """Vectors of the candidate pairs: those no guard touches, and those capped; forbidden ones left out."""
    free: Histogram = Counter()
    capped: Histogram = Counter()
    for left, right in candidate_pairs(records):
        vector = compare(records[left], records[right])
        guards = guards_that_apply(records[left], records[right], vector)
        if FORBIDDING.isdisjoint(guards):
            (capped if guards else free)[vector] += 1
    return free, capped


def _prior(
    evidence: Mapping[ComparisonVector, float], counts: Histogram, records: int
) -> tuple[float, float]:
    """The prior in bits at its fixed point, and the matches it expects."""
    everything = records * (records - 1) / 2
    bits = prior_bits(1 / records)
    expected = 0.0
    for _ in range(100):
        expected = math.fsum(
            count * probability_from_bits(bits + evidence[vector]) for vector, count in counts.items()
        )
        before, bits = bits, prior_bits(max(expected, SMOOTHING_PAIRS) / everything)
        if abs(bits - before) < 1e-6:
            break
    return bits, expected
