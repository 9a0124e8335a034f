"""
The match model: parameters per comparison level, prior, thresholds. Immutable, versioned, one JSON file.

Thresholds and m/u are not settings: they belong together, and every stored decision names the
version of the model that made it.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from mpi.errors import ModelError
from mpi.matching.comparisons import COMPARISONS, MISSING_NAME, ComparisonVector
from mpi.matching.decision import Thresholds
from mpi.matching.weights import agreement_weight_bits, probability_from_bits

FORMAT = 1
"""Version of the JSON form, not of any model."""

_SUM_TOLERANCE = 1e-3
"""The levels of one comparison share one probability; the file rounds to six digits."""


class Evidence(NamedTuple):
    """What one comparison says of a pair. Bits are signed; a missing trait weighs 0."""

    trait: str
    level: str
    bits: float


class LevelParameters(NamedTuple):
    """P(level | same person) and P(level | different people), the trait being present on both sides."""

    m: float
    u: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """
    A straight line in log odds from match weight to calibrated weight, fitted on judged pairs.

    Units: bits. Monotone: the slope is positive.

    Source: Platt (1999), Probabilistic outputs for support vector machines.
    """

    slope: float = 1.0
    offset_bits: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.slope) and math.isfinite(self.offset_bits) and self.slope > 0):
            raise ModelError("calibration: expected a positive slope and a finite offset")


@dataclass(frozen=True, slots=True)
class MatchModel:
    """
    Everything a decision rests on.

    Args:
        version: the name stored beside each decision.
        prior_bits: log odds that two records drawn at random are one person.
        parameters: m and u by trait, then by level name; exactly the levels of the ladders.
        metadata: where it comes from; never read by the matching.

    Raises:
        ModelError: the parameters do not fit the ladders, or a number is not what it must be.
    """

    version: str
    prior_bits: float
    parameters: Mapping[str, Mapping[str, LevelParameters]]
    thresholds: Thresholds
    calibration: Calibration | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    evidence: tuple[tuple[Evidence, ...], ...] = field(init=False, repr=False, compare=False)
    """By comparison then by level number: what that level says, `missing` first."""

    def __post_init__(self) -> None:
        if not self.version:
            raise ModelError("the model has no version")
        if not math.isfinite(self.prior_bits):
            raise ModelError("prior_bits is not a finite number")
        if missing := [c.trait for c in COMPARISONS if c.trait not in self.parameters]:
            raise ModelError(f"parameters: no comparison {missing[0]}")
        if unknown := sorted(set(self.parameters) - {c.trait for c in COMPARISONS}):
            raise ModelError(f"parameters: unknown comparison {unknown[0]}")
        frozen = {
            trait: MappingProxyType({name: LevelParameters(*values) for name, values in levels.items()})
            for trait, levels in self.parameters.items()
        }
        object.__setattr__(self, "parameters", MappingProxyType(frozen))
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))
        evidence = tuple(self._evidence_of(c.trait, c.level_names) for c in COMPARISONS)
        object.__setattr__(self, "evidence", evidence)

    def _evidence_of(self, trait: str, names: tuple[str, ...]) -> tuple[Evidence, ...]:
        levels = self.parameters[trait]
        expected = names[1:]
        if set(levels) != set(expected):
            odd = sorted(set(levels) ^ set(expected))[0]
            raise ModelError(f"parameters: {trait}: level {odd}: in the model or the ladder, not in both")
        out = [Evidence(trait, MISSING_NAME, 0.0)]
        for name in expected:
            try:
                out.append(Evidence(trait, name, agreement_weight_bits(*levels[name])))
            except (ModelError, TypeError) as error:
                raise ModelError(f"parameters: {trait}: {name}: m, u: expected (0, 1]") from error
        for side in ("m", "u"):
            total = math.fsum(getattr(values, side) for values in levels.values())
            if abs(total - 1) > _SUM_TOLERANCE:
                raise ModelError(f"parameters: {trait}: the {side} of its levels do not sum to 1")
        return tuple(out)

    def evidence_of(self, vector: ComparisonVector) -> tuple[Evidence, ...]:
        """What a comparison vector says, in ladder order; missing traits left out."""
        return tuple([says[level] for says, level in zip(self.evidence, vector, strict=True) if level])

    def probability(self, weight_bits: float) -> float:
        """The probability, calibrated when the model carries a calibration, that a weight is one person."""
        if self.calibration is not None:
            weight_bits = self.calibration.slope * weight_bits + self.calibration.offset_bits
        return probability_from_bits(weight_bits)

    def to_json(self) -> dict[str, Any]:
        """The model in JSON types; `from_json` reads it back to an equal model."""
        bounds = {
            "lower_bits": self.thresholds.lower_bits,
            "upper_bits": self.thresholds.upper_bits,
            "same_domain_bits": self.thresholds.same_domain_bits,
            "contradiction_bits": self.thresholds.contradiction_bits,
        }
        out: dict[str, Any] = {
            "format": FORMAT,
            "version": self.version,
            "prior_bits": self.prior_bits,
            "thresholds": {name: bound for name, bound in bounds.items() if math.isfinite(bound)},
            "parameters": {
                trait: {name: {"m": p.m, "u": p.u} for name, p in levels.items()}
                for trait, levels in self.parameters.items()
            },
            "metadata": dict(self.metadata),
        }
        if self.calibration is not None:
            out["calibration"] = {
                "slope": self.calibration.slope,
                "offset_bits": self.calibration.offset_bits,
            }
        return out

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """
        Read what `to_json` wrote.

        Raises:
            ModelError: another format, a missing or odd field, or parameters that do not fit the ladders.
        """
        if not isinstance(stored, Mapping) or stored.get("format") != FORMAT:
            raise ModelError(f"model: format: expected {FORMAT}")
        try:
            return cls(
                version=str(stored["version"]),
                prior_bits=float(stored["prior_bits"]),
                parameters={
                    str(trait): {
                        str(name): LevelParameters(float(values["m"]), float(values["u"]))
                        for name, values in levels.items()
                    }
                    for trait, levels in stored["parameters"].items()
                },
                thresholds=Thresholds(**{name: float(bound) for name, bound in stored["thresholds"].items()}),
                calibration=Calibration(**stored["calibration"]) if stored.get("calibration") else None,
                metadata=stored.get("metadata", {}),
            )
        except KeyError as error:
            raise ModelError(f"model: {error.args[0]} is missing") from None
        except (TypeError, ValueError, AttributeError):
            raise ModelError("model: a field has the wrong type") from None

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the model, metadata included: two models of one digest decide alike."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return sha256(canonical.encode()).hexdigest()

    @classmethod
    def default(cls) -> "MatchModel":
        """
        The model shipped with the package, read once. Its card is beside it.

        Raises:
            ModelError: the file is not there, or not a model.
        """
        return _default_model()


@lru_cache(maxsize=1)
def _default_model() -> MatchModel:
    try:
        text = resources.files("mpi.matching").joinpath("models/default.json").read_text(encoding="utf-8")
        stored = json.loads(text)
    except (OSError, ValueError):
        raise ModelError("models/default.json: missing or not JSON") from None
    return MatchModel.from_json(stored)
