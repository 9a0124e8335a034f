"""
Evidence in bits: m and u -> agreement weights -> match weight -> probability.

A weight of +1 bit doubles the odds that two records are one person; log2 keeps sums stable
where products of ratios would not be.

Source: Fellegi & Sunter (1969), JASA 64(328):1183-1210.
"""

import math
from collections.abc import Iterable

from mpi.errors import ModelError


def agreement_weight_bits(m: float, u: float) -> float:
    """
    Evidence that one comparison level adds to a pair, in bits.

    log2(m / u). A missing trait is not a level and adds exactly 0. A level never observed in
    training has no weight: smooth it when fitting, do not pass 0 here.

    Args:
        m: P(level | same person), in (0, 1].
        u: P(level | different people), in (0, 1].

    Raises:
        ModelError: m or u is outside (0, 1], or not a number.

    Source: Fellegi & Sunter (1969), JASA 64(328):1183-1210.
    """
    if not (0 < m <= 1 and 0 < u <= 1):
        raise ModelError("m and u are probabilities in (0, 1]")
    return math.log2(m / u)


def prior_bits(probability: float) -> float:
    """
    Log odds that two records drawn at random are one person, in bits.

    Raises:
        ModelError: not a probability strictly between 0 and 1.
    """
    if not 0 < probability < 1:
        raise ModelError("the prior is a probability strictly between 0 and 1")
    return math.log2(probability / (1 - probability))


def match_weight_bits(prior: float, agreement_weights: Iterable[float]) -> float:
    """
    The prior and the agreement weights, added exactly.

    `fsum` rounds once, so any order of the same weights gives the same bits.

    Units: bits.
    """
    return math.fsum((prior, *agreement_weights))


def weight_against_all(against_strangers: float, against_relatives: float) -> float:
    """
    The match weight when two kinds of non-match are possible: -log2(2^-s + 2^-r).

    Never above the smaller of the two: another explanation of the same evidence only takes weight
    away. Symmetric; `inf` says that a kind does not exist.

    Units: bits.
    """
    low, high = sorted((against_strangers, against_relatives))
    if math.isinf(high) or math.isinf(low):
        return low
    return low - math.log2(1 + math.exp2(low - high))


def probability_from_bits(weight_bits: float) -> float:
    """
    The probability that a match weight stands for: 1 / (1 + 2^-w).

    Raises:
        ModelError: the weight is not a number.
    """
    if math.isnan(weight_bits):
        raise ModelError("match weight is not a number")
    if weight_bits >= 0:
        return 1 / (1 + math.exp2(-weight_bits))
    odds = math.exp2(weight_bits)
    return odds / (1 + odds)
