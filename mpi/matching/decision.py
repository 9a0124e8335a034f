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
        same_domain_bits: the stricter bound for two records of one domain.
        contradiction_bits: at or below it, the pair is evidence of two people.

    Raises:
        ModelError: a bound is not a finite number, or they do not rise in the order
            contradiction, lower, upper, same domain.
    """

    lower_bits: float
    upper_bits: float
    same_domain_bits: float | None = None
    contradiction_bits: float | None = None

    def __post_init__(self) -> None:
        same_domain = self.upper_bits if self.same_domain_bits is None else self.same_domain_bits
        contradiction = self.lower_bits if self.contradiction_bits is None else self.contradiction_bits
        object.__setattr__(self, "same_domain_bits", same_domain)
        object.__setattr__(self, "contradiction_bits", contradiction)
        rising = (contradiction, self.lower_bits, self.upper_bits, same_domain)
        if not all(math.isfinite(bound) for bound in rising):
            raise ModelError("thresholds: a bound is not a finite number")
        if list(rising) != sorted(rising):
            raise ModelError("thresholds: expected contradiction <= lower <= upper <= same domain")

    def decide(self, match_weight_bits: float) -> Decision:
        """
        Fellegi and Sunter's three-way rule.

        Raises:
            ModelError: the weight is not a number.
        """
        return self._decide(match_weight_bits, self.upper_bits)

    def decide_in_one_domain(self, match_weight_bits: float) -> Decision:
        """The same rule for two records of one domain, which link above the stricter bound only."""
        assert self.same_domain_bits is not None
        return self._decide(match_weight_bits, self.same_domain_bits)

    def _decide(self, match_weight_bits: float, upper_bits: float) -> Decision:
        if math.isnan(match_weight_bits):
            raise ModelError("match weight is not a number")  # NaN >= x is False: a silent non-link
        if match_weight_bits >= upper_bits:
            return Decision.LINK
        if match_weight_bits >= self.lower_bits:
            return Decision.REVIEW
        return Decision.NON_LINK

    def contradicts(self, match_weight_bits: float) -> bool:
        """Whether a weight is evidence that the two records are two people."""
        assert self.contradiction_bits is not None
        return match_weight_bits <= self.contradiction_bits
