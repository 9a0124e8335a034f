"""
The match model: parameters per comparison level, prior, thresholds. Immutable, versioned, one JSON file.

Thresholds and m/u are not settings: they belong together, and every stored decision names the
version of the model that made it.

Two records that are not one person are strangers, or relatives: twins, siblings, a parent and a child
of one name. Each kind agrees on other traits, so each has its own probabilities; the match weight is
the log odds of one person against all of them together:

    weight = -log2( 2^-(weight against strangers) + sum of 2^-(weight against each kind of relatives) )

Without classes of relatives this is Fellegi and Sunter's sum.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from importlib import resources
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from mpi.errors import ModelError
from mpi.matching.comparisons import COMPARISONS, MISSING_NAME, ComparisonVector
from mpi.matching.decision import Thresholds
from mpi.matching.isotonic import KIND as ISOTONIC
from mpi.matching.isotonic import IsotonicCalibration
from mpi.matching.rarity import AGREED, Frequencies, Rarity
from mpi.matching.weights import agreement_weight_bits, match_weight_bits, probability_from_bits

FORMAT = 2
"""Version of the JSON form, not of any model."""

RELATIVES = "relatives"
"""The trait that the evidence names when relatives explain a pair as well as one person does."""

_SUM_TOLERANCE = 1e-3
"""The levels of one comparison share one probability; the file rounds to six digits."""


class Evidence(NamedTuple):
    """What one comparison says of a pair. Bits are signed; a missing trait weighs 0."""

    trait: str
    level: str
    bits: float
    share: float = 0.0
    """Share of people who bear the value agreed on; 0 when it is not known, or too rare to be counted."""


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

    def probability(self, weight_bits: float) -> float:
        """The probability that a pair of this match weight is one person."""
        return probability_from_bits(self.slope * weight_bits + self.offset_bits)

    def to_json(self) -> dict[str, Any]:
        """The calibration in JSON types."""
        return {"kind": "logistic", "slope": self.slope, "offset_bits": self.offset_bits}


def _calibration(stored: Mapping[str, Any] | None) -> "Calibration | IsotonicCalibration | None":
    if not stored:
        return None
    if stored.get("kind") == ISOTONIC:
        return IsotonicCalibration.from_json(stored)
    return Calibration(float(stored.get("slope", 1.0)), float(stored.get("offset_bits", 0.0)))


@dataclass(frozen=True, slots=True)
class Relatives:
    """
    One kind of relatives: two people whose records agree more than strangers' do.

    Args:
        prior_bits: log odds that two records drawn at random are such a pair.
        probabilities: P(level | such a pair, the trait being present on both sides), by trait, then
            by level name.
    """

    prior_bits: float
    probabilities: Mapping[str, Mapping[str, float]]


class Against(NamedTuple):
    """What relatives do to a weight: the weight against all of them, and the kind that explains the pair best."""

    bits: float
    kind: str


@dataclass(frozen=True, slots=True)
class MatchModel:
    """
    Everything a decision rests on.

    Args:
        version: the name stored beside each decision.
        prior_bits: log odds that two records drawn at random are one person.
        parameters: m and u by trait, then by level name; exactly the levels of the ladders.
        population: the number of records among which those two are drawn; see `for_population`.
        relatives: kinds of relatives by name; none is plain Fellegi and Sunter.
        frequencies: by trait, how common each value is; see `rarity`.
        metadata: where it comes from; never read by the matching.

    Raises:
        ModelError: the parameters do not fit the ladders, or a number is not what it must be.
    """

    version: str
    prior_bits: float
    parameters: Mapping[str, Mapping[str, LevelParameters]]
    thresholds: Thresholds
    population: int = 1_000_000
    relatives: Mapping[str, Relatives] = field(default_factory=dict)
    frequencies: Mapping[str, Frequencies] = field(default_factory=dict)
    calibration: Calibration | IsotonicCalibration | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    evidence: tuple[tuple[Evidence, ...], ...] = field(init=False, repr=False, compare=False)
    """By comparison then by level number: what that level says, `missing` first."""
    _against: tuple[tuple[str, float, tuple[tuple[float, ...], ...]], ...] = field(
        init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if not self.version:
            raise ModelError("the model has no version")
        if not math.isfinite(self.prior_bits):
            raise ModelError("prior_bits is not a finite number")
        if self.population < 2:
            raise ModelError("population: expected two records or more")
        if odd := sorted(set(self.frequencies) - set(AGREED)):
            raise ModelError(f"frequencies: {odd[0]}: no value of this trait is weighed")
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
        object.__setattr__(self, "frequencies", MappingProxyType(dict(self.frequencies)))
        object.__setattr__(self, "relatives", MappingProxyType(dict(self.relatives)))
        evidence = tuple(self._evidence_of(c.trait, c.level_names) for c in COMPARISONS)
        object.__setattr__(self, "evidence", evidence)
        against = tuple(self._against_kind(name, kind) for name, kind in self.relatives.items())
        object.__setattr__(self, "_against", against)

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

    def _against_kind(self, name: str, kind: Relatives) -> tuple[str, float, tuple[tuple[float, ...], ...]]:
        """The kind, the prior odds of one person against it, and log2(m / its probability) by level."""
        if not math.isfinite(kind.prior_bits):
            raise ModelError(f"relatives: {name}: prior_bits is not a finite number")
        table = []
        for comparison in COMPARISONS:
            levels, own = self.parameters[comparison.trait], kind.probabilities.get(comparison.trait, {})
            if set(own) != set(levels):
                raise ModelError(f"relatives: {name}: {comparison.trait}: not the levels of the ladder")
            if abs(math.fsum(own.values()) - 1) > _SUM_TOLERANCE:
                raise ModelError(f"relatives: {name}: {comparison.trait}: the levels do not sum to 1")
            try:
                bits = [
                    agreement_weight_bits(levels[level.name].m, own[level.name])
                    for level in comparison.levels
                ]
            except ModelError as error:
                raise ModelError(f"relatives: {name}: {comparison.trait}: expected (0, 1]") from error
            table.append((0.0, *bits))
        return name, self.prior_bits - kind.prior_bits, tuple(table)

    def evidence_of(
        self, vector: ComparisonVector, rarity: Mapping[str, Rarity] | None = None
    ) -> tuple[Evidence, ...]:
        """
        What a comparison vector says against strangers, in ladder order; missing traits left out.

        Args:
            rarity: by trait, what the value agreed on adds.
        """
        found = [says[level] for says, level in zip(self.evidence, vector, strict=True) if level]
        if not rarity:
            return tuple(found)
        return tuple(
            [
                Evidence(item.trait, item.level, item.bits + rare.bits, rare.share)
                if (rare := rarity.get(item.trait))
                else item
                for item in found
            ]
        )

    def against_strangers(self, vector: ComparisonVector) -> float:
        """The match weight if whoever is not one person were a stranger. Units: bits."""
        return match_weight_bits(self.prior_bits, [item.bits for item in self.evidence_of(vector)])

    def against_relatives(self, vector: ComparisonVector) -> Against:
        """The match weight if whoever is not one person were a relative; infinite when the model knows none."""
        weights = [
            (math.fsum((prior, *[bits[level] for bits, level in zip(table, vector, strict=True)])), name)
            for name, prior, table in self._against
        ]
        if not weights:
            return Against(math.inf, "")
        least, name = min(weights)
        total = math.fsum(math.exp2(least - weight) for weight, _ in weights)
        return Against(least - math.log2(total), name)

    def for_population(self, records: int) -> "MatchModel":
        """
        The same model where two records are drawn among so many.

        Who has a second record, or a twin, has it however many strangers there are: doubling the
        population halves the odds that two records are one person. Thresholds are bounds on those odds
        and stay.

        Raises:
            ModelError: fewer than two records.
        """
        if records < 2:
            raise ModelError("population: expected two records or more")
        shift = math.log2((self.population - 1) / (records - 1))
        return replace(
            self,
            population=records,
            prior_bits=self.prior_bits + shift,
            relatives={
                name: Relatives(kind.prior_bits + shift, kind.probabilities)
                for name, kind in self.relatives.items()
            },
        )

    def probability(self, weight_bits: float) -> float:
        """The probability, calibrated when the model carries a calibration, that a weight is one person."""
        if self.calibration is None:
            return probability_from_bits(weight_bits)
        return self.calibration.probability(weight_bits)

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
            "population": self.population,
            "prior_bits": self.prior_bits,
            "thresholds": {name: bound for name, bound in bounds.items() if math.isfinite(bound)},
            "parameters": {
                trait: {name: {"m": p.m, "u": p.u} for name, p in levels.items()}
                for trait, levels in self.parameters.items()
            },
            "relatives": {
                name: {
                    "prior_bits": kind.prior_bits,
                    "probabilities": {trait: dict(levels) for trait, levels in kind.probabilities.items()},
                }
                for name, kind in self.relatives.items()
            },
            "frequencies": {
                trait: {"expected": table.expected, "shares": dict(table.shares)}
                for trait, table in self.frequencies.items()
            },
            "metadata": dict(self.metadata),
        }
        if self.calibration is not None:
            out["calibration"] = self.calibration.to_json()
        return out

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """
        Read what `to_json` wrote.

        Raises:
            ModelError: another format, a missing or odd field, or parameters that do not fit the ladders.
        """
        if not isinstance(stored, Mapping) or stored.get("format") != FORMAT:
            raise ModelError(f"model: format: expected {FORMAT}; estimate the model again (mpi train)")
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
                population=int(stored["population"]),
                relatives={
                    str(name): Relatives(
                        float(kind["prior_bits"]),
                        {
                            str(trait): {str(level): float(p) for level, p in levels.items()}
                            for trait, levels in kind["probabilities"].items()
                        },
                    )
                    for name, kind in stored["relatives"].items()
                },
                frequencies={
                    str(trait): Frequencies(
                        float(table["expected"]),
                        {str(value): float(share) for value, share in table["shares"].items()},
                    )
                    for trait, table in stored["frequencies"].items()
                },
                thresholds=Thresholds(**{name: float(bound) for name, bound in stored["thresholds"].items()}),
                calibration=_calibration(stored.get("calibration")),
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
