"""
A model from records: sessions for a first m, then the mixture over all candidate pairs.

1. u from random pairs, m by EM in sessions (see `estimation`), or m from labelled pairs;
2. both, with the kinds of relatives, refined on the candidate pairs (see `mixture`): the sessions see
   only part of the pairs and cannot tell relatives apart, the candidates show all of them;
3. how common names are, counted over people: a record counts for one over the number of records its
   person is expected to have;
4. thresholds from the error budget (see `budget`), at the weights that result.

`refit`, the second step alone, adapts a model to other records: a batch does it in a second.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mpi.errors import ModelError
from mpi.identity.traits import Traits
from mpi.matching.budget import ErrorBudget, choose_thresholds
from mpi.matching.comparisons import COMPARISONS, POSITION, compare, first_given
from mpi.matching.decision import Thresholds
from mpi.matching.estimation import (
    SESSIONS,
    Pair,
    Probabilities,
    Session,
    candidate_pairs,
    combine,
    fit_m,
    random_vectors,
    session_vectors,
    u_probabilities,
)
from mpi.matching.guards import guards_that_apply
from mpi.matching.mixture import KINDS, Kind, Mixture, fit_mixture
from mpi.matching.model import LevelParameters, MatchModel, Relatives
from mpi.matching.online import score
from mpi.matching.patterns import Levels, Patterns, patterns_of
from mpi.matching.rarity import Frequencies, counted
from mpi.matching.weights import prior_bits

M_HELD_BY = 1000.0
"""Pairs that the sessions', or the former model's, m counts for when the mixture refines it."""
RARELY_SEEN = 5.0
"""Expected matches below which the m of a level rests on what it was held by."""
MOST_UNSEEN_BITS = 6.0
"""What such a level may weigh at most, for or against: that a thing was never seen proves little."""


class Refitted(NamedTuple):
    """
    A model fitted to candidate pairs, and what it thinks of them.

    Args:
        posterior: P(one person), before rarity. Shape: (pairs,).
        fit: the mixture, and `patterns` what it was fitted to.
    """

    model: MatchModel
    posterior: Probabilities
    fit: Mixture
    patterns: Patterns


def refit(
    model: MatchModel,
    levels: Levels,
    *,
    records: int,
    u: Sequence[Probabilities] | None = None,
    m_held_by: float = M_HELD_BY,
    kinds: Sequence[Kind] = KINDS,
    patterns: Patterns | None = None,
) -> Refitted:
    """
    Fit prior, m and relatives to candidate pairs, without labels; thresholds and frequencies stay.

    Args:
        levels: comparison vectors of every candidate pair.
        records: how many records they were drawn among.
        u: of these records, if it was measured; the model's otherwise.
        m_held_by: pairs that the model's m counts for; infinite keeps it.
        patterns: those of the levels, if they are known.

    Raises:
        ModelError: no candidate pair, or fewer than two records.
    """
    if records < 2:
        raise ModelError("estimation: fewer than two records")
    m, model_u = _probabilities(model, "m"), _probabilities(model, "u")
    strangers = u or model_u
    patterns = patterns_of(levels) if patterns is None else patterns
    everything = records * (records - 1) / 2
    fit = _fit(patterns.vectors, patterns.counts, everything, m, strangers, m_held_by, kinds)
    fitted = replace(
        model,
        population=records,
        prior_bits=_prior(fit.matches.pairs, everything),
        parameters=_parameters(_bounded(fit, strangers, patterns), strangers),
        relatives={
            name: Relatives(_prior(kind.pairs, everything), _named(kind.levels))
            for name, kind in fit.relatives.items()
        },
        calibration=None,
    )
    return Refitted(fitted, fit.posterior[patterns.of_pair], fit, patterns)


def _fit(
    vectors: npt.NDArray[np.int64],
    counts: Probabilities,
    everything: float,
    m: Sequence[Probabilities],
    u: Sequence[Probabilities],
    held_by: float,
    kinds: Sequence[Kind],
) -> Mixture:
    return fit_mixture(vectors, counts, stranger_pairs=everything, m=m, u=u, kinds=kinds, m_held_by=held_by)


def _bounded(fit: Mixture, u: Sequence[Probabilities], patterns: Patterns) -> list[Probabilities]:
    """m, its hardly seen levels held within `MOST_UNSEEN_BITS` of u."""
    out = []
    for at, m in enumerate(fit.matches.levels):
        bound = 2.0**MOST_UNSEEN_BITS
        held = np.where(_seen(fit, patterns, at) < RARELY_SEEN, np.clip(m, u[at] / bound, u[at] * bound), m)
        out.append(held / held.sum())
    return out


def _seen(fit: Mixture, patterns: Patterns, at: int) -> Probabilities:
    """Expected matches at each level of one comparison."""
    size = len(COMPARISONS[at].levels) + 1
    matches = patterns.counts * fit.posterior
    return np.bincount(patterns.vectors[:, at], weights=matches, minlength=size)[1:].astype(np.float64)


def _flat(m: Sequence[Probabilities]) -> list[Probabilities]:
    """Another place to begin: each level twice as likely as the one below it."""
    halves = [0.5 ** np.arange(1, len(levels) + 1) for levels in m]
    return [levels / levels.sum() for levels in halves]


def _diagnostics(
    start: MatchModel, fitted: Refitted, m_held_by: float, kinds: Sequence[Kind]
) -> dict[str, Any]:
    """
    Whether to believe a fit: did it converge, does another beginning end in the same place, what is hardly seen.

    `identifiability_bits` is the largest difference in log2 m, over levels seen often enough, between
    two fits that began elsewhere: a level that the data do not determine ends where it began.
    """
    fit, patterns, records = fitted.fit, fitted.patterns, fitted.model.population
    m, u = _probabilities(start, "m"), _probabilities(start, "u")
    everything = records * (records - 1) / 2
    other = _fit(patterns.vectors, patterns.counts, everything, _flat(m), u, m_held_by / 100, kinds)
    rare, apart = [], 0.0
    for at, comparison in enumerate(COMPARISONS):
        seen = _seen(fit, patterns, at)
        for number, level in enumerate(comparison.levels):
            if seen[number] < RARELY_SEEN:
                rare.append(f"{comparison.trait}: {level.name}")
            elif seen[number] >= 20 * RARELY_SEEN:
                ratio = fit.matches.levels[at][number] / other.matches.levels[at][number]
                apart = max(apart, abs(math.log2(ratio)))
    return {
        "candidate_pairs": int(patterns.counts.sum()),
        "expected_matches": round(fit.matches.pairs, 1),
        "expected_relatives": {name: round(kind.pairs, 1) for name, kind in fit.relatives.items()},
        "steps": fit.steps,
        "converged": fit.converged,
        "identifiability_bits": round(apart, 3),
        "hardly_seen": rare,
    }


def expected_people(records: int, pairs: npt.NDArray[np.int64], posterior: Probabilities) -> Probabilities:
    """
    What each record counts for when people are counted: one over the records its person is expected to have.

    Shape: pairs (n, 2); posterior (n,); the result (records,).
    """
    others = np.zeros(records)
    for side in (0, 1):
        others += np.bincount(pairs[:, side], weights=posterior, minlength=records)
    return 1 / (1 + others)


def names_counted(records: Sequence[Traits], people: Probabilities) -> dict[str, Frequencies]:
    """How common family and first given names are among the people of some records."""
    families: Counter[str] = Counter()
    givens: Counter[str] = Counter()
    for traits, weight in zip(records, people.tolist(), strict=True):
        families.update(dict.fromkeys(traits.family_names[:1], weight))
        if given := first_given(traits):
            givens[given] += weight
    found = {"family_name": families, "given_name": givens}
    return {trait: counted(names, names.total()) for trait, names in found.items() if names}


def with_budget(
    model: MatchModel,
    weights: Probabilities,
    capped: npt.NDArray[np.bool_],
    budget: ErrorBudget | None = None,
) -> MatchModel:
    """
    The model with thresholds that keep an error budget on these pairs.

    Args:
        weights: match weights of the candidate pairs under this model.
        capped: whether a guard keeps the pair from being linked.

    Raises:
        ModelError: no pair, or no threshold keeps the budget.
    """
    hundredths = np.rint(weights * 100).astype(np.int64)
    least = int(hundredths.min(initial=0))
    histogram = [
        ((least + at) / 100, float(counts[at]), is_capped)
        for is_capped in (False, True)
        for counts in (np.bincount(hundredths[capped == is_capped] - least),)
        for at in np.flatnonzero(counts).tolist()
    ]
    return replace(model, thresholds=choose_thresholds(histogram, budget or ErrorBudget()))


def estimate(
    records: Sequence[Traits],
    *,
    version: str,
    seed: int = 1,
    random_pairs: int = 1_000_000,
    budget: ErrorBudget | None = None,
    sessions: Sequence[Session] = SESSIONS,
    kinds: Sequence[Kind] = KINDS,
    frequencies: Mapping[str, Frequencies] | None = None,
    labels: Mapping[Pair, bool] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> MatchModel:
    """
    Fit a model to a population, without labels or with some.

    Deterministic: the same records in the same order and the same seed give the same model.

    Args:
        records: traits of every source record, several per person.
        random_pairs: more of them give rarer levels a surer u; 20 microseconds each.
        kinds: kinds of relatives to tell from strangers; none for plain Fellegi and Sunter.
        frequencies: how common names are, from a larger population; counted here by default.
        labels: pairs of indices a person judged: those that are one person give m outright.

    Raises:
        ModelError: fewer than two records, or nothing to learn from.
    """
    if len(records) < 2:
        raise ModelError("estimation: fewer than two records")
    u = u_probabilities(random_vectors(records, random_pairs, seed))
    m, how = _first_m(records, u, sessions, labels)
    base = MatchModel(version, prior_bits(1 / len(records)), _parameters(m, u), Thresholds(0.0, 0.0))
    pairs = sorted(candidate_pairs(records))
    vectors = [compare(records[left], records[right]) for left, right in pairs]
    held_by = math.inf if labels else M_HELD_BY
    levels = np.array(vectors, dtype=np.uint8).reshape(len(pairs), len(COMPARISONS))
    fitted = refit(base, levels, records=len(records), m_held_by=held_by, kinds=kinds)
    people = expected_people(len(records), np.array(pairs, dtype=np.int64), fitted.posterior)
    model = replace(
        fitted.model,
        frequencies=names_counted(records, people) if frequencies is None else frequencies,
        metadata={
            "records": len(records),
            "random_pairs": random_pairs,
            "seed": seed,
            **how,
            **_diagnostics(base, fitted, held_by, kinds),
            **(metadata or {}),
        },
    )
    weights = np.array([score(model, records[left], records[right]).weight_bits for left, right in pairs])
    capped = np.array(
        [
            bool(guards_that_apply(records[left], records[right], vector))
            for (left, right), vector in zip(pairs, vectors, strict=True)
        ]
    )
    return with_budget(model, weights, capped, budget)


def _first_m(
    records: Sequence[Traits],
    u: Sequence[Probabilities],
    sessions: Iterable[Session],
    labels: Mapping[Pair, bool] | None,
) -> tuple[tuple[Probabilities, ...], dict[str, Any]]:
    if labels:
        return _labelled_m(records, labels), {"labels": len(labels)}
    fits = [
        (session, fit_m(histogram, u, fixed=session.fixed))
        for session in sessions
        if (histogram := session_vectors(records, session))
    ]
    if not fits:
        raise ModelError("estimation: no session has a pair")
    told = {s.name: {"share": round(f.share, 5), "steps": f.steps} for s, f in fits}
    return combine(fits), {"sessions": told}


def _labelled_m(records: Sequence[Traits], labels: Mapping[Pair, bool]) -> tuple[Probabilities, ...]:
    """m counted over the pairs judged to be one person, smoothed as everywhere."""
    same = [pair for pair, is_match in labels.items() if is_match]
    if not same:
        raise ModelError("labels: no pair is one person")
    return u_probabilities(Counter(compare(records[left], records[right]) for left, right in same))


def _probabilities(model: MatchModel, side: str) -> list[Probabilities]:
    return [
        np.array([getattr(model.parameters[c.trait][level.name], side) for level in c.levels])
        for c in COMPARISONS
    ]


def _prior(pairs: float, everything: float) -> float:
    return round(prior_bits(min(pairs / everything, 0.5)), 4)


def _named(levels: Sequence[Probabilities]) -> dict[str, dict[str, float]]:
    return {
        comparison.trait: {
            level.name: float(f"{levels[POSITION[comparison.trait]][at]:.6g}")
            for at, level in enumerate(comparison.levels)
        }
        for comparison in COMPARISONS
    }


def _parameters(
    m: Sequence[Probabilities], u: Sequence[Probabilities]
) -> dict[str, dict[str, LevelParameters]]:
    m_named, u_named = _named(m), _named(u)
    return {
        trait: {level: LevelParameters(m_named[trait][level], u_named[trait][level]) for level in levels}
        for trait, levels in m_named.items()
    }
