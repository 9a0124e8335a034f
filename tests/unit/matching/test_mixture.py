"""Kinds of pairs: what EM recovers when the truth is known, and what relatives do to a weight."""

import math

import numpy as np
import pytest

from mpi.errors import ModelError
from mpi.matching.comparisons import COMPARISONS, POSITION
from mpi.matching.mixture import KINDS, Kind, fit_mixture
from mpi.matching.patterns import patterns_of

NAMED = ("family_name", "given_name", "birth_date", "sex", "birth_place", "residence")
FEW = {"family_name": 2e-3, "given_name": 5e-3, "birth_date": 1e-4}
"""How often strangers agree best on a trait."""


def a_level(rng, size, best):
    rest = rng.dirichlet(np.ones(size - 1)) * (1 - best)
    return np.concatenate(([best], rest))


def a_world(matches, twins, seed):
    """Candidate pairs of a known mixture of matches and twins, and its truth."""
    rng = np.random.default_rng(seed)
    sizes = [len(comparison.levels) for comparison in COMPARISONS]
    m = [a_level(rng, size, 0.9) for size in sizes]
    u = [a_level(rng, size, FEW.get(c.trait, 0.02)) for c, size in zip(COMPARISONS, sizes, strict=True)]
    u[POSITION["sex"]] = np.array([0.5, 0.5])
    given = np.zeros(sizes[POSITION["given_name"]])
    given[-1], given[-2] = 0.97, 0.03
    of_twins = [levels.copy() for levels in u]
    for trait in ("family_name", "birth_date", "birth_place"):
        of_twins[POSITION[trait]] = m[POSITION[trait]]
    of_twins[POSITION["given_name"]] = given
    rows = []
    for truth, count in ((m, matches), (of_twins, twins)):
        block = np.zeros((count, len(COMPARISONS)), dtype=np.uint8)
        for at, comparison in enumerate(COMPARISONS):
            if comparison.trait in NAMED:
                block[:, at] = rng.choice(sizes[at], p=truth[at], size=count) + 1
                block[rng.random(count) < 0.1, at] = 0
        rows.append(block)
    return np.concatenate(rows), m, u


def test_em_recovers_matches_and_twins():
    """Tolerance: three standard errors of a share of .9 among 6,000 pairs, and of a count of 600."""
    levels, m, u = a_world(matches=6000, twins=600, seed=3)
    patterns = patterns_of(levels)

    fit = fit_mixture(
        patterns.vectors, patterns.counts, stranger_pairs=1e3, m=m, u=u, kinds=KINDS[:1], m_held_by=100
    )

    assert fit.converged
    assert fit.matches.pairs == pytest.approx(6000, abs=75)
    assert fit.relatives["twins"].pairs == pytest.approx(600, abs=75)
    for trait in NAMED:
        assert np.abs(fit.matches.levels[POSITION[trait]] - m[POSITION[trait]]).max() < 0.015, trait
    different = fit.relatives["twins"].levels[POSITION["given_name"]][-1]
    assert different == pytest.approx(0.97, abs=0.06)  # where it began counts for twenty pairs


def test_without_the_class_twins_are_taken_for_matches():
    """What the class is for: the same data, fitted with two classes only."""
    levels, m, u = a_world(matches=6000, twins=600, seed=3)
    patterns = patterns_of(levels)

    two = fit_mixture(
        patterns.vectors, patterns.counts, stranger_pairs=1e3, m=m, u=u, kinds=(), m_held_by=100
    )

    assert two.matches.pairs > 6400


def test_m_held_for_ever_does_not_move():
    levels, m, u = a_world(matches=500, twins=20, seed=4)
    patterns = patterns_of(levels)

    fit = fit_mixture(patterns.vectors, patterns.counts, stranger_pairs=1e6, m=m, u=u, m_held_by=math.inf)

    for before, after in zip(m, fit.matches.levels, strict=True):
        np.testing.assert_array_equal(before, after)


def test_every_level_of_every_kind_has_a_probability():
    levels, m, u = a_world(matches=300, twins=5, seed=5)
    patterns = patterns_of(levels)

    fit = fit_mixture(patterns.vectors, patterns.counts, stranger_pairs=1e6, m=m, u=u)

    for kind in fit.relatives.values():
        for probabilities in kind.levels:
            assert (probabilities > 0).all()
            assert probabilities.sum() == pytest.approx(1)


def test_no_candidate_is_said_so():
    with pytest.raises(ModelError, match="no candidate pair"):
        fit_mixture(
            np.zeros((0, len(COMPARISONS)), dtype=np.int64),
            np.zeros(0),
            stranger_pairs=1,
            m=[],
            u=[],
            kinds=(),
        )


def test_the_kinds_speak_of_traits_that_exist():
    traits = {comparison.trait for comparison in COMPARISONS}
    for kind in KINDS:
        assert isinstance(kind, Kind)
        assert {*kind.same, *kind.shared, *kind.free} <= traits


def test_patterns_are_counted_and_come_back():
    rng = np.random.default_rng(1)
    sizes = [len(comparison.level_names) for comparison in COMPARISONS]
    levels = np.stack([rng.integers(0, size, 500) for size in sizes], axis=1).astype(np.uint8)
    levels = np.concatenate([levels, levels[:100]])

    patterns = patterns_of(levels)

    np.testing.assert_array_equal(patterns.vectors[patterns.of_pair], levels)
    assert patterns.counts.sum() == len(levels)
    assert len(np.unique(patterns.vectors, axis=0)) == len(patterns.vectors)
