"""
A calibration of any rising shape: straight pieces from match weight to calibrated weight.

The value only, so that a model can carry it; `calibration` fits it.
"""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from mpi.errors import ModelError
from mpi.matching.weights import probability_from_bits

KIND = "isotonic"


@dataclass(frozen=True, slots=True)
class IsotonicCalibration:
    """
    Straight pieces between knots, level before the first and after the last.

    Beyond the knots nothing was judged, so no weight claims more certainty than the data showed.

    Args:
        knots: (match weight, calibrated weight), the first rising, the second never falling.

    Units: bits.

    Raises:
        ModelError: no knot, or knots out of order or not finite.
    """

    knots: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not self.knots:
            raise ModelError("calibration: knots: expected at least one")
        if not all(math.isfinite(number) for knot in self.knots for number in knot):
            raise ModelError("calibration: knots: expected finite numbers")
        pairs = zip(self.knots, self.knots[1:], strict=False)
        if not all(one[0] < other[0] and one[1] <= other[1] for one, other in pairs):
            raise ModelError("calibration: knots: expected rising weights")

    def calibrated_bits(self, weight_bits: float) -> float:
        """
        The calibrated weight of a match weight.

        Raises:
            ModelError: the weight is not a number.
        """
        if math.isnan(weight_bits):
            raise ModelError("match weight is not a number")
        after = bisect_right(self.knots, weight_bits, key=lambda knot: knot[0])
        if after == 0:
            return self.knots[0][1]
        if after == len(self.knots):
            return self.knots[-1][1]
        (x0, y0), (x1, y1) = self.knots[after - 1 : after + 1]
        return y0 + (y1 - y0) * ((weight_bits - x0) / (x1 - x0))

    def probability(self, weight_bits: float) -> float:
        """The probability that a pair of this match weight is one person."""
        return probability_from_bits(self.calibrated_bits(weight_bits))

    def to_json(self) -> dict[str, Any]:
        """The calibration in JSON types; `from_json` reads it back to an equal one."""
        return {"kind": KIND, "knots": [list(knot) for knot in self.knots]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """
        Read what `to_json` wrote.

        Raises:
            ModelError: another kind, or knots that are not what they must be.
        """
        if not isinstance(stored, Mapping) or stored.get("kind") != KIND:
            raise ModelError(f"calibration: kind: expected {KIND}")
        try:
            return cls(tuple((float(weight), float(bits)) for weight, bits in stored["knots"]))
        except (KeyError, TypeError, ValueError):
            raise ModelError("calibration: knots: expected pairs of numbers") from None
