"""Estimation without labels: what it recovers when the truth is known, and what it refuses."""

import random
from collections import Counter

import numpy as np
import pytest

from mpi.errors import ModelError
from mpi.matching.budget import ErrorBudget, choose_thresholds
from mpi.matching.comparisons import COMPARISONS, POSITION
from mpi.matching.decision import Decision
from mpi.matching.estimation import candidate_pairs, fit_m, random_vectors, u_probabilities
from mpi.matching.online import score
from mpi.matching.training import estimate
from tests.unit.matching.people import person

TRAITS = ("family_name", "given_name", "birth_date", "sex", "birth_place", "residence")


def shares(rng, levels, best):
    """A distribution over levels: `best` on the first, the rest at random."""
    rest = rng.dirichlet(np.ones(levels - 1)) * (1 - best)
    return np.concatenate(([best], rest))


def simulated(pairs, share, seed):
    """Vectors of a known mixture, one trait in ten missing, and its m and u."""
    rng = np.random.default_rng(seed)
    m = [shares(rng, len(c.levels), 0.85) for c in COMPARISONS]
    u = [shares(rng, len(c.levels), 0.02) for c in COMPARISONS]
    u[POSITION["sex"]] = np.array([0.5, 0.5])
    histogram = Counter()
    for is_match in rng.random(pairs) < share:
        truth = m if is_match else u
        histogram[
            tuple(
                int(rng.choice(len(truth[at]), p=truth[at])) + 1
                if comparison.trait in TRAITS and rng.random() > 0.1
                else 0
                for at, comparison in enumerate(COMPARISONS)
            )
        ] += 1
    return histogram, m, u


def test_em_recovers_known_parameters():
    """Tolerance: 4,500 matches give a standard error of .0053 on m = .85 and .007 at worst: three of them."""
    histogram, m, u = simulated(pairs=15_000, share=0.3, seed=11)

    fit = fit_m(histogram, u)

    assert fit.share == pytest.approx(0.3, abs=3 * 0.0038)
    for trait in TRAITS:
        at = POSITION[trait]
        assert np.abs(fit.m[at] - m[at]).max() < 0.022, trait


def test_a_fixed_comparison_takes_no_part():
    histogram, _, u = simulated(pairs=2_000, share=0.5, seed=12)
    shuffled_u = list(u)
    shuffled_u[POSITION["birth_date"]] = u[POSITION["birth_date"]][::-1]

    fixed = frozenset({"birth_date"})
    assert fit_m(histogram, u, fixed=fixed).share == fit_m(histogram, shuffled_u, fixed=fixed).share


def test_a_session_without_pairs_is_refused():
    with pytest.raises(ModelError, match="without pairs"):
        fit_m(Counter(), [np.ones(len(c.levels)) for c in COMPARISONS])


def test_no_probability_is_zero_however_rare_the_level():
    histogram = random_vectors([person(), person("DUMAS", "PAUL", "19921130", "M")], pairs=50, seed=1)

    for u in u_probabilities(histogram):
        assert (u > 0).all()
        assert u.sum() == pytest.approx(1)


def test_thresholds_keep_the_budget():
    """By hand: at or above 20 bits, one pair in a million is wrong; 8 bits alone are wrong once in 257."""
    weighted = [
        (20.0, 1000.0, False),
        (8.0, 100.0, False),
        (30.0, 50.0, True),
        (-5.0, 200.0, False),
        (-30.0, 1e6, False),
    ]

    strict = choose_thresholds(
        weighted, ErrorBudget(wrong_links=1e-5, lost_matches=0.01, contradicting_matches=0.001)
    )
    lax = choose_thresholds(
        weighted, ErrorBudget(wrong_links=1e-3, lost_matches=0.01, contradicting_matches=0.001)
    )

    assert (strict.upper_bits, lax.upper_bits) == (20.0, 8.0)
    assert lax.lower_bits == 8.0  # the 200 pairs at -5 bits hold 6 matches of 1,155: within one per cent
    assert lax.contradiction_bits == -5.0
    assert lax.same_domain_bits == 20.0


def test_a_budget_that_cannot_be_kept_is_said_so():
    with pytest.raises(ModelError, match="no threshold"):
        choose_thresholds([(1.0, 10.0, False)], ErrorBudget(wrong_links=1e-6))
    with pytest.raises(ModelError, match="no candidate pair"):
        choose_thresholds([], ErrorBudget())


FAMILIES = [a + b for a in ("BER", "CHA", "DUM", "FAU", "GIR", "LAM", "MOR", "ROU", "VAS", "PEL") for b in
            ("AND", "EAU", "ICHON", "OLLET", "URIER", "ESNE", "IVAL", "ARD", "OUX", "TIN")]  # fmt: skip
GIVEN = ("ANNE", "PAUL", "LUCIE", "HUGO", "MANON", "ROBERT", "SIMONE", "KARIM", "INES", "OSCAR")


def population(people, seed):
    """Two records a person; now and then a slip in the family name or the day."""
    rng = random.Random(seed)
    records = []
    for _ in range(people):
        family, given, sex = rng.choice(FAMILIES), rng.choice(GIVEN), rng.choice("FM")
        year, month, day = rng.randint(1930, 2020), rng.randint(1, 12), rng.randint(1, 28)
        place = f"{rng.randint(10, 89)}{rng.randint(100, 130)}"
        for copy in range(2):
            typed = family[:2] + "X" + family[3:] if copy and rng.random() < 0.05 else family
            typed_day = day % 28 + 1 if copy and rng.random() < 0.03 else day
            records.append(
                person(typed, given, f"{year}{month:02d}{typed_day:02d}", sex, birth_place_code=place)
            )
    return records


def test_a_population_teaches_a_model_that_decides_it():
    records = population(400, seed=5)
    model = estimate(records, version="test", seed=3, random_pairs=20_000)

    decided = Counter()
    for left, right in candidate_pairs(records):
        decided[score(model, records[left], records[right]).decision, left // 2 == right // 2] += 1
    assert decided[Decision.LINK, False] == 0
    assert decided[Decision.LINK, True] >= 0.9 * 400
    assert decided[Decision.NON_LINK, True] <= 0.02 * 400


def test_the_same_records_and_seed_give_the_same_model():
    records = population(60, seed=6)

    first, again = (
        estimate(records, version="test", random_pairs=3_000, budget=ErrorBudget(same_domain_factor=0.5))
        for _ in range(2)
    )
    assert first.digest == again.digest


@pytest.mark.parametrize("records", [[], [person()]])
def test_nothing_to_learn_from(records):
    with pytest.raises(ModelError, match="fewer than two"):
        estimate(records, version="test")


def test_records_that_never_meet_teach_nothing():
    with pytest.raises(ModelError, match="no session"):
        estimate([person(), person("DUMAS", "PAUL", "19921130", "M")], version="test", random_pairs=10)
