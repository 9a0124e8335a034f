"""From a match weight to one of three decisions. A weight on a threshold belongs to the region above it."""

import math
from dataclasses import dataclass
from enum import StrEnum

from mpi.errors import ModelError


class Decision(StrEnum):
    """What to do with a pair, in rising order: `list(Decision).index` ranks them."""

    NON_LINK = "non_link"
    REVIEW = "review"
    LINK = "link"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """
    Where the regions meet, in bits of match weight (prior included).

    Args:
        lower_bits: from here a person looks at the pair.
        upper_bits: from here the pair is linked, unless a guard caps it.
        same_domain_bits: the stricter bound for two records of one domain; never below the
            upper one, which it is by default.
        contradiction_bits: at or below it, the pair is evidence of two people; by default no
            weight is.

    Raises:
        ModelError: a bound is not a number, or contradiction <= lower <= upper does not hold.
    """

    lower_bits: float
    upper_bits: float
    same_domain_bits: float = -math.inf
    contradiction_bits: float = -math.inf

    def __post_init__(self) -> None:
        if not (math.isfinite(self.lower_bits) and math.isfinite(self.upper_bits)):
            raise ModelError("thresholds: the lower and upper bounds are finite numbers")
        if math.isnan(self.same_domain_bits) or math.isnan(self.contradiction_bits):
            raise ModelError("thresholds: a bound is not a number")
        if not self.contradiction_bits <= self.lower_bits <= self.upper_bits:
            raise ModelError("thresholds: expected contradiction <= lower <= upper")
        object.__setattr__(self, "same_domain_bits", max(self.same_domain_bits, self.upper_bits))

    def decide(self, match_weight_bits: float) -> Decision:
        """
        Fellegi and Sunter's three-way rule.

        Raises:
            ModelError: the weight is not a number.
        """
        return self._decide(match_weight_bits, self.upper_bits)

    def decide_in_one_domain(self, match_weight_bits: float) -> Decision:
        """The same rule for two records of one domain, which link above the stricter bound only."""
        return self._decide(match_weight_bits, self.same_domain_bits)

    def _decide(self, match_weight_bits: float, upper_bits: float) -> Decision:
        if math.isnan(match_weight_bits):
            raise ModelError("match weight is not a number")  # NaN >= x is False: a silent non-link
        if match_weight_bits >= upper_bits:
            return Decision.LINK
        if match_weight_bits >= self.lower_bits:
            return Decision.REVIEW
        return Decision.NON_LINK
