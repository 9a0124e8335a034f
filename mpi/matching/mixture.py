"""
Who else could show this evidence: EM over pairs of one person, of strangers, and of each kind of relatives.

Two classes are too few. Twins share a family name, a birth date and a place; a father and his son one
name; they are to strangers what a rare name is to a common one. Left among strangers they are the
false links; left out of EM they end up in m. Here each kind has probabilities of its own:

- what relatives *share*, they share as one person's records do, errors included: its levels mix m and
  u in a proportion that EM finds (`shared`);
- what sets them apart has levels of its own (`free`): twins have two given names;
- the rest is as among strangers.

The candidate pairs are those that blocking lets through, not all. Strangers need no correction: their
number (every pair of records) and u are known, so what blocking lets through is known too. The others
are counted among candidates only, which is all that a decision about a candidate needs.

Source: Fellegi & Sunter (1969) for m and u; Larsen & Rubin (2001), JASA 96:32-41, for mixtures of more
than two classes fitted to comparison patterns.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mpi.errors import ModelError
from mpi.matching.comparisons import COMPARISONS, POSITION

Probabilities = npt.NDArray[np.float64]
Levels = npt.NDArray[np.int64]
"""Shape: (patterns, comparisons); 0 is missing."""
Start = Callable[[Probabilities, Probabilities], Probabilities]

HELD_BY = 20.0
"""Pairs that a starting value counts for: rare relatives must not invent what they are."""
_SELDOM = 1e-4


@dataclass(frozen=True, slots=True)
class Kind:
    """
    A kind of relatives.

    Args:
        same: traits they have in common, always: as m.
        shared: traits they often have in common, and how often to begin with.
        free: traits with levels of their own, and from what (m, u) to begin.
    """

    name: str
    same: frozenset[str] = frozenset()
    shared: Mapping[str, float] = field(default_factory=dict)
    free: Mapping[str, Start] = field(default_factory=dict)


def _numbers(trait: str, *names: str) -> list[int]:
    levels = [level.name for level in COMPARISONS[POSITION[trait]].levels]
    return [levels.index(name) for name in names]


def _but(trait: str, *agreements: str) -> Start:
    """As strangers, but hardly ever at these levels."""
    at = _numbers(trait, *agreements)

    def start(_m: Probabilities, u: Probabilities) -> Probabilities:
        levels = u.copy()
        levels[at] = 0.0
        levels *= (1 - _SELDOM * len(at)) / levels.sum()
        levels[at] = _SELDOM
        return levels

    return start


def _mostly(trait: str, shares: Mapping[str, float]) -> Start:
    """At these levels, and a little as one person."""
    at, values = _numbers(trait, *shares), list(shares.values())

    def start(m: Probabilities, _u: Probabilities) -> Probabilities:
        levels = 0.02 * m
        levels[at] += values
        out: Probabilities = levels / levels.sum()
        return out

    return start


_OTHER_NAME = _but("given_name", "list_exact", "exact_others_differ", "exact")
_ONE_NAME = _mostly("given_name", {"exact": 0.7, "exact_others_differ": 0.25})
_UNDER_ONE_ROOF = {"birth_place": 0.4, "residence": 0.5, "phone": 0.5, "email": 0.1, "mother_birth_name": 0.5}

KINDS = (
    Kind(
        "twins",
        same=frozenset({"family_name", "birth_date"}),
        shared=_UNDER_ONE_ROOF | {"birth_place": 0.95, "mother_birth_name": 0.95},
        free={
            "given_name": _OTHER_NAME,
            "sex": _mostly("sex", {"same": 0.66, "different": 0.34}),
            "birth_order": _mostly("birth_order", {"same": 0.05, "different": 0.95}),
        },
    ),
    Kind(
        "siblings",
        shared=_UNDER_ONE_ROOF | {"family_name": 0.9},
        free={
            "given_name": _OTHER_NAME,
            "sex": _mostly("sex", {"same": 0.5, "different": 0.5}),
        },
    ),
    Kind(
        "namesakes",
        shared=_UNDER_ONE_ROOF | {"family_name": 0.9},
        free={
            "given_name": _ONE_NAME,
            "sex": _mostly("sex", {"same": 0.98, "different": 0.02}),
        },
    ),
)
"""
Twins; siblings; and namesakes: a parent and a child, cousins, or homonyms, of one family and given name.

The last two are born on any day, as strangers are. Left to find out how often homonyms share a birthday,
EM takes people who moved and changed their telephone for homonyms, and doubts half of all links.
"""


@dataclass(frozen=True, slots=True)
class Fitted:
    """
    One kind of pairs as EM found it.

    Args:
        pairs: how many candidate pairs are of this kind, in expectation.
        levels: by comparison, P(level | this kind).
    """

    pairs: float
    levels: tuple[Probabilities, ...]


@dataclass(frozen=True, slots=True)
class Mixture:
    """
    The outcome.

    Args:
        matches: pairs of one person; its levels are m.
        relatives: by kind.
        posterior: by pattern, the probability of one person.
        steps: iterations; `converged` is False when there were not enough of them.
    """

    matches: Fitted
    relatives: Mapping[str, Fitted]
    posterior: Probabilities
    steps: int
    converged: bool


def fit_mixture(
    patterns: Levels,
    counts: Probabilities,
    *,
    stranger_pairs: float,
    m: Sequence[Probabilities],
    u: Sequence[Probabilities],
    kinds: Sequence[Kind] = KINDS,
    m_held_by: float = math.inf,
    max_steps: int = 500,
    tolerance: float = 1e-6,
) -> Mixture:
    """
    EM over the kinds of pairs, u held.

    Args:
        patterns: distinct comparison vectors of the candidate pairs, one row each.
        counts: candidate pairs that show each.
        stranger_pairs: pairs of records in all; candidates or not.
        m: where m begins.
        m_held_by: pairs that this beginning counts for; infinite keeps m as it is.
        tolerance: EM stops when no kind gains or loses a larger share of the candidates in one step.

    Raises:
        ModelError: no candidate pair.
    """
    if not len(patterns):
        raise ModelError("estimation: no candidate pair")
    total = counts.sum()
    traits = [comparison.trait for comparison in COMPARISONS]
    m_start = m = [levels.copy() for levels in m]
    proportion = {kind.name: [_proportion(kind, trait) for trait in traits] for kind in kinds}
    start = {
        kind.name: [
            kind.free[trait](m[at], u[at])
            if trait in kind.free
            else _mixed(proportion[kind.name][at], m[at], u[at])
            for at, trait in enumerate(traits)
        ]
        for kind in kinds
    }
    levels = {name: list(values) for name, values in start.items()}
    pairs = {kind.name: 0.02 * total for kind in kinds}
    matches = 0.8 * total
    strangers = math.log(max(stranger_pairs, 1.0)) + _log_likelihood(patterns, u)
    posterior, steps, converged = np.zeros(len(counts)), 0, False
    while steps < max_steps and not converged:
        steps += 1
        logs = [math.log(matches) + _log_likelihood(patterns, m)]
        logs += [math.log(pairs[kind.name]) + _log_likelihood(patterns, levels[kind.name]) for kind in kinds]
        odds = np.stack([*logs, strangers])
        odds = np.exp(odds - odds.max(axis=0))
        odds /= odds.sum(axis=0)
        posterior = odds[0]
        moved = abs(matches - (counts * posterior).sum())
        matches = max(float((counts * posterior).sum()), 1e-6)
        if math.isfinite(m_held_by):
            m = [
                _smoothed(_seen(patterns[:, at], counts * posterior, len(held)), held, m_held_by)
                for at, held in enumerate(m_start)
            ]
        for row, kind in enumerate(kinds, start=1):
            weights = counts * odds[row]
            moved = max(moved, abs(pairs[kind.name] - weights.sum() - 0.5))
            pairs[kind.name] = float(weights.sum()) + 0.5
            for at, trait in enumerate(traits):
                seen = _seen(patterns[:, at], weights, len(u[at]))
                if trait in kind.free:
                    levels[kind.name][at] = _smoothed(seen, start[kind.name][at], HELD_BY)
                elif trait in kind.shared:
                    share = _share(seen, proportion[kind.name][at], kind.shared[trait], m[at], u[at])
                    proportion[kind.name][at] = share
                    levels[kind.name][at] = _mixed(share, m[at], u[at])
                elif trait in kind.same:
                    levels[kind.name][at] = m[at]
        converged = bool(moved < tolerance * total)
    return Mixture(
        matches=Fitted(matches, tuple(m)),
        relatives={name: Fitted(pairs[name], tuple(values)) for name, values in levels.items()},
        posterior=posterior,
        steps=steps,
        converged=converged,
    )


def _proportion(kind: Kind, trait: str) -> float:
    return 1.0 if trait in kind.same else kind.shared.get(trait, 0.0)


def _mixed(share: float, m: Probabilities, u: Probabilities) -> Probabilities:
    mixed: Probabilities = share * m + (1 - share) * u
    return mixed


def _share(seen: Probabilities, share: float, start: float, m: Probabilities, u: Probabilities) -> float:
    """One EM step for how often a trait is shared."""
    shared = share * m / _mixed(share, m, u)
    return float(((seen * shared).sum() + HELD_BY * start) / (seen.sum() + HELD_BY))


def _seen(levels: Levels, weights: Probabilities, size: int) -> Probabilities:
    """Expected pairs at each level, missing left out."""
    return np.bincount(levels, weights=weights, minlength=size + 1)[1:].astype(np.float64)


def _smoothed(seen: Probabilities, start: Probabilities, held_by: float) -> Probabilities:
    held = seen + held_by * start
    out: Probabilities = held / held.sum()
    return out


def _log_likelihood(patterns: Levels, levels: Sequence[Probabilities]) -> Probabilities:
    """By pattern, the natural log of its probability; missing traits say nothing."""
    total = np.zeros(len(patterns))
    for at, probabilities in enumerate(levels):
        total += np.concatenate(([0.0], np.log(probabilities)))[patterns[:, at]]
    return total
