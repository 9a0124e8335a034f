import math

import pytest

from mpi.errors import ModelError
from mpi.matching.decision import Decision, Thresholds

BOUNDS = Thresholds(lower_bits=0.0, upper_bits=8.0, same_domain_bits=12.0, contradiction_bits=-6.0)


@pytest.mark.parametrize(
    ("weight", "decision", "in_one_domain"),
    [
        (-math.inf, Decision.NON_LINK, Decision.NON_LINK),
        (-0.001, Decision.NON_LINK, Decision.NON_LINK),
        (0.0, Decision.REVIEW, Decision.REVIEW),
        (7.999, Decision.REVIEW, Decision.REVIEW),
        (8.0, Decision.LINK, Decision.REVIEW),
        (12.0, Decision.LINK, Decision.LINK),
        (math.inf, Decision.LINK, Decision.LINK),
    ],
)
def test_a_weight_on_a_threshold_belongs_above(weight, decision, in_one_domain):
    assert (decision, in_one_domain) == (BOUNDS.decide(weight), BOUNDS.decide_in_one_domain(weight))


def test_a_weight_that_is_no_number_is_refused():
    with pytest.raises(ModelError, match="not a number"):
        BOUNDS.decide(math.nan)


def test_decisions_rise():
    assert list(Decision) == [Decision.NON_LINK, Decision.REVIEW, Decision.LINK]


def test_the_bound_within_a_domain_is_never_laxer():
    assert Thresholds(0.0, 8.0, same_domain_bits=2.0).same_domain_bits == 8.0


@pytest.mark.parametrize(
    "bounds",
    [
        {"lower_bits": 9.0, "upper_bits": 8.0},
        {"lower_bits": 0.0, "upper_bits": math.inf},
        {"lower_bits": math.nan, "upper_bits": 8.0},
        {"lower_bits": 0.0, "upper_bits": 8.0, "contradiction_bits": 1.0},
        {"lower_bits": 0.0, "upper_bits": 8.0, "same_domain_bits": math.nan},
    ],
)
def test_bounds_that_make_no_sense_are_refused(bounds):
    with pytest.raises(ModelError, match="thresholds"):
        Thresholds(**bounds)
