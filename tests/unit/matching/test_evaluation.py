import math

import pytest

from mpi.matching.evaluation import PairMeasures, measure_pairs, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_against_published_values(successes, trials, low, high):
    """The last row is Newcombe's (1998) worked example, Statistics in Medicine 17:857-872."""
    interval = wilson(successes, trials)

    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)
    assert interval.value == successes / trials


def test_no_trial_says_nothing():
    interval = wilson(0, 0)

    assert math.isnan(interval.value)
    assert (interval.low, interval.high) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, trials)


def test_pairs_are_unordered_and_counted_once():
    measures = measure_pairs(found=[(1, 2), (2, 1), (3, 4)], true=[(2, 1), (5, 6)])

    assert PairMeasures(1, 1, 1) == measures
    assert (measures.precision.value, measures.recall.value, measures.f1) == (0.5, 0.5, 0.5)


def test_nothing_right_is_an_f1_of_zero():
    assert PairMeasures(0, 0, 0).f1 == 0.0
