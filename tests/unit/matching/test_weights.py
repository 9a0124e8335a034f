import math

import pytest

from mpi.errors import ModelError
from mpi.matching.weights import agreement_weight_bits, match_weight_bits, prior_bits, probability_from_bits


def test_each_bit_doubles_the_odds():
    assert agreement_weight_bits(0.8, 0.1) == pytest.approx(3.0)
    assert agreement_weight_bits(0.1, 0.8) == pytest.approx(-3.0)


@pytest.mark.parametrize(
    ("m", "u"), [(0, 0.5), (0.5, 0), (1.1, 0.5), (0.5, -0.1), (math.nan, 0.5), (0.5, math.nan)]
)
def test_what_is_not_a_probability_is_refused(m, u):
    with pytest.raises(ModelError):
        agreement_weight_bits(m, u)


@pytest.mark.parametrize("probability", [0, 1, -1, math.nan])
def test_a_prior_of_certainty_is_refused(probability):
    with pytest.raises(ModelError):
        prior_bits(probability)


def test_the_order_of_evidence_does_not_count():
    bits = [0.1, 1e9, -1e9, 0.2, 3.3]

    assert match_weight_bits(-15.0, bits) == match_weight_bits(-15.0, bits[::-1])


@pytest.mark.parametrize(
    ("bits", "probability"),
    [(0.0, 0.5), (1.0, 2 / 3), (-1.0, 1 / 3), (5000.0, 1.0), (-5000.0, 0.0), (math.inf, 1.0)],
)
def test_bits_to_probability(bits, probability):
    assert probability_from_bits(bits) == pytest.approx(probability)


def test_probability_undoes_the_prior():
    assert probability_from_bits(prior_bits(0.003)) == pytest.approx(0.003)


def test_no_probability_of_no_number():
    with pytest.raises(ModelError):
        probability_from_bits(math.nan)
