"""
Probabilities that keep their word: fits on judged pairs, and how far off they are.

Fit on one set of judged pairs and measure on another: a fit is always at its best on its own data.

Source: Platt (1999), Probabilistic outputs for support vector machines; Zadrozny & Elkan (2002),
isotonic calibration; Naeini, Cooper & Hauskrecht (2015), the expected calibration error.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from mpi.errors import ModelError
from mpi.matching.evaluation import Floats, Interval, Mask, Numbers, bootstrap, numbered, wilson
from mpi.matching.isotonic import IsotonicCalibration
from mpi.matching.model import Calibration

Counts = npt.NDArray[np.int64] | npt.NDArray[np.float64]

_NEWTON_STEPS = 100
_SAME_PROBABILITY = 1000
"""Probabilities that agree to a thousandth are resampled together; their mean stays exact."""


class _Judged(NamedTuple):
    """Judged pairs by weight, lightest first. Shape: (distinct weights,)."""

    weight_bits: Floats
    matches: Floats
    pairs: Floats


def _by_weight(weight_bits: Floats, is_match: Mask, counts: Counts | None) -> _Judged:
    counted = np.ones(len(weight_bits)) if counts is None else np.asarray(counts, dtype=np.float64)
    if not len(weight_bits) == len(is_match) == len(counted):
        raise ModelError("calibration: expected one verdict and one count a weight")
    if not (np.isfinite(weight_bits).all() and (counted > 0).all()):
        raise ModelError("calibration: expected finite weights and counts above 0")
    bits, at = np.unique(weight_bits, return_inverse=True)
    matches, pairs = (np.bincount(at, values).astype(np.float64) for values in (counted * is_match, counted))
    judged = _Judged(bits, matches, pairs)
    if not 0 < judged.matches.sum() < judged.pairs.sum():
        raise ModelError("calibration: expected judged pairs of one person and of two")
    return judged


def fit_logistic(weight_bits: Floats, is_match: Mask, counts: Counts | None = None) -> Calibration:
    """
    The straight line in log odds, by maximum likelihood.

    The verdicts are drawn in by one pair on each side, as Platt does, so that weights that separate
    the two perfectly still give a finite line.

    Args:
        counts: how many pairs each weight and verdict stands for; by default one.

    Raises:
        ModelError: no pair of one person, or of two, or the heavier pairs are the wrong ones.
    """
    bits, matches, pairs = _by_weight(weight_bits, is_match, counts)
    same, different = matches.sum(), (pairs - matches).sum()
    expected = matches * (same + 1) / (same + 2) + (pairs - matches) / (different + 2)
    centre, scale = float(np.average(bits, weights=pairs)), float(bits.std()) or 1.0
    line = np.column_stack([(bits - centre) / scale, np.ones(len(bits))])
    parameters = np.zeros(2)
    loss = _log_loss(line @ parameters, expected, pairs)
    for _ in range(_NEWTON_STEPS):
        probability = 1 / (1 + np.exp(-np.clip(line @ parameters, -700, 700)))
        gradient = line.T @ (pairs * probability - expected)
        spread = pairs * probability * (1 - probability)
        step = np.linalg.lstsq((line * spread[:, None]).T @ line, gradient, rcond=None)[0]
        while (after := _log_loss(line @ (parameters - step), expected, pairs)) > loss:
            step = step / 2  # a full Newton step may overshoot where the curve is flat
            if np.abs(step).max() < 1e-12:
                break
        parameters, before, loss = parameters - step, loss, min(after, loss)
        if before - loss <= 1e-12 * abs(before):
            break
    slope, middle = (float(number) for number in parameters / math.log(2))
    slope /= scale
    return Calibration(slope=slope, offset_bits=middle - slope * centre)


def _log_loss(log_odds: Floats, expected: Floats, pairs: Floats) -> float:
    return float((pairs * np.logaddexp(0, log_odds) - expected * log_odds).sum())


def fit_isotonic(weight_bits: Floats, is_match: Mask, counts: Counts | None = None) -> IsotonicCalibration:
    """
    The rising steps nearest to the verdicts, by pool adjacent violators, joined by straight pieces.

    Each step claims (matches + 1/2) / (pairs + 1), so that a hundred pairs without a mistake promise
    a half in a hundred, not none; steps that this turns round are pooled again.

    Args:
        counts: how many pairs each weight and verdict stands for; by default one.

    Raises:
        ModelError: no pair of one person, or of two.

    Source: Ayer et al. (1955), Ann. Math. Statist. 26(4):641-647; Jeffreys' prior for the half.
    """
    judged = _by_weight(weight_bits, is_match, counts)
    steps = [_Step(bits, bits, matches, pairs) for bits, matches, pairs in zip(*judged, strict=True)]
    steps = _pooled(_pooled(steps, prior=0.0), prior=0.5)
    knots: list[tuple[float, float]] = []
    for step in steps:
        share = step.share(0.5)
        calibrated = math.log2(share / (1 - share))
        knots += [(float(end), calibrated) for end in sorted({step.low, step.high})]
    return IsotonicCalibration(tuple(knots))


class _Step(NamedTuple):
    low: float
    high: float
    matches: float
    pairs: float

    def share(self, prior: float) -> float:
        return (self.matches + prior) / (self.pairs + 2 * prior)


def _pooled(steps: list[_Step], prior: float) -> list[_Step]:
    rising: list[_Step] = []
    for step in steps:
        while rising and rising[-1].share(prior) >= step.share(prior):
            below = rising.pop()
            step = _Step(below.low, step.high, below.matches + step.matches, below.pairs + step.pairs)
        rising.append(step)
    return rising


class ReliabilityBin(NamedTuple):
    """
    Pairs of about one probability, and what became of them.

    Args:
        low, high: the least and the greatest probability among them.
        observed: the share that is one person.
    """

    low: float
    high: float
    pairs: int
    mean_probability: float
    observed: Interval


@dataclass(frozen=True, slots=True)
class Reliability:
    """
    How well probabilities keep their word.

    Intervals of the errors draw pairs one by one, so they are a little narrow: the pairs of one
    person resemble one another.

    Args:
        error: expected calibration error over bins of equal width; the mean over pairs of the
            distance, in their bin, between the mean probability and the observed share.
        error_equal_counts: the same over bins of about equal counts.
        brier: mean squared distance between probability and truth.
        bins: of equal width, those that hold a pair.
    """

    error: Interval
    error_equal_counts: Interval
    brier: Interval
    bins: tuple[ReliabilityBin, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures in JSON types, an interval as [value, low, high]."""
        return {
            "ece": list(self.error),
            "ece_equal_counts": list(self.error_equal_counts),
            "brier": list(self.brier),
            "bins": [row._asdict() | {"observed": list(row.observed)} for row in self.bins],
        }


def measure_reliability(
    probability: Floats, is_match: Mask, counts: Numbers | None = None, *, bins: int = 10
) -> Reliability:
    """
    Compare probabilities with verdicts.

    Args:
        counts: how many pairs each entry stands for; by default one.

    Raises:
        ModelError: no pair, or a probability outside [0, 1].
    """
    counted = np.ones(len(probability), dtype=np.int64) if counts is None else counts
    if not len(probability) or not ((probability >= 0) & (probability <= 1)).all():
        raise ModelError("calibration: expected probabilities in [0, 1]")
    same = is_match.astype(np.int64)
    width = np.minimum((probability * bins).astype(np.int64), bins - 1)
    at = numbered(probability)
    of_tie = np.bincount(at, counted)
    middle = np.cumsum(of_tie) - of_tie / 2
    # Equal probabilities share a bin, so bins may differ in size, or stay empty.
    rank = np.minimum((middle / of_tie.sum() * bins).astype(np.int64), bins - 1)[at]
    error, brier = _errors(probability, same, counted, width, bins)
    return Reliability(
        error=error,
        error_equal_counts=_errors(probability, same, counted, rank, bins)[0],
        brier=brier,
        bins=tuple(_bin(probability, same, counted, width == b) for b in np.unique(width)),
    )


def _bin(probability: Floats, same: Numbers, counted: Numbers, inside: Mask) -> ReliabilityBin:
    p, n = probability[inside], counted[inside]
    matches, pairs = int((n * same[inside]).sum()), int(n.sum())
    return ReliabilityBin(
        float(p.min()), float(p.max()), pairs, float((p * n).sum() / pairs), wilson(matches, pairs)
    )


def _errors(
    probability: Floats, same: Numbers, counted: Numbers, of_bin: Numbers, bins: int
) -> tuple[Interval, Interval]:
    """The calibration error over the bins, and the Brier score."""
    fine = np.round(probability * _SAME_PROBABILITY).astype(np.int64)
    _, first, at = np.unique(
        (of_bin * (_SAME_PROBABILITY + 1) + fine) * 2 + same, return_index=True, return_inverse=True
    )
    pairs = np.bincount(at, counted)
    missed = np.bincount(at, counted * (probability - same)) / pairs
    squared = np.bincount(at, counted * (probability - same) ** 2) / pairs
    rows = np.zeros((len(first), bins + 2))
    rows[np.arange(len(first)), of_bin[first]] = missed
    rows[:, bins], rows[:, bins + 1] = squared, 1.0

    def error(totals: Floats) -> Floats:
        return np.asarray(np.abs(totals[..., :bins]).sum(axis=-1) / totals[..., bins + 1])

    def brier(totals: Floats) -> Floats:
        return np.asarray(totals[..., bins] / totals[..., bins + 1])

    found = bootstrap(rows, (error, brier), counts=pairs.astype(np.int64))
    return found[0], found[1]


_WORDS = {
    "fr": (
        "Diagramme de fiabilité",
        "Probabilité annoncée",
        "Part réelle d’une même personne",
        "paires",
        "erreur de calibration (ECE)",
    ),
    "en": (
        "Reliability diagram",
        "Stated probability",
        "Observed share of one person",
        "pairs",
        "calibration error (ECE)",
    ),
}
_STYLE = (
    ".r{--ink:#1c2733;--soft:#5b6b7b;--mark:#1f5fae;--paper:#fff}"
    "@media(prefers-color-scheme:dark){.r{--ink:#e8edf2;--soft:#9fb0c0;--mark:#7ab4ff;--paper:#12181f}}"
    ".r rect{fill:var(--paper)}.r text{fill:var(--ink)}.r .g{stroke:var(--soft);fill:none}"
    ".r .m{stroke:var(--mark);fill:var(--mark);stroke-width:2}"
)
_LEFT, _TOP, _SIDE = 70, 40, 320


def reliability_diagram(found: Reliability, *, language: Literal["fr", "en"] = "fr") -> str:
    """
    The reliability diagram as SVG: one point a bin with the interval of its share, on the diagonal
    when the probabilities keep their word. Readable on light and dark paper; titles name the figures.
    """
    title, across, upwards, unit, error = _WORDS[language]
    decimal = "," if language == "fr" else "."

    def number(value: float) -> str:
        return f"{value:.3f}".replace(".", decimal)

    def x(share: float) -> str:
        return f"{_LEFT + _SIDE * share:.1f}"

    def y(share: float) -> str:
        return f"{_TOP + _SIDE * (1 - share):.1f}"

    told = f"{error} {number(found.error.value)} [{number(found.error.low)} ; {number(found.error.high)}]"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="r" viewBox="0 0 420 430" role="img" '
        f'aria-label="{title}, {told}" font-family="system-ui, sans-serif" font-size="12">',
        f"<style>{_STYLE}</style>",
        '<rect width="420" height="430"/>',
        f'<text x="{x(0.5)}" y="16" text-anchor="middle" font-size="14">{title}</text>',
        f'<text x="{x(0.5)}" y="32" text-anchor="middle">{told}</text>',
        f'<path class="g" d="M{x(0)} {y(1)}V{y(0)}H{x(1)}"/>',
        f'<path class="g" stroke-dasharray="4 4" d="M{x(0)} {y(0)}L{x(1)} {y(1)}"/>',
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        text = f"{tick:g}".replace(".", decimal)
        parts.append(f'<text x="{x(tick)}" y="{_TOP + _SIDE + 18}" text-anchor="middle">{text}</text>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y(tick)}" text-anchor="end" dy="4">{text}</text>')
    parts.append(f'<text x="{x(0.5)}" y="{_TOP + _SIDE + 42}" text-anchor="middle">{across}</text>')
    parts.append(
        f'<text transform="translate(18 {y(0.5)}) rotate(-90)" text-anchor="middle">{upwards}</text>'
    )
    for row in found.bins:
        said = f"{number(row.mean_probability)} → {number(row.observed.value)} ; {row.pairs} {unit}"
        parts.append(
            f'<g class="m"><title>{said}</title>'
            f'<path d="M{x(row.mean_probability)} {y(row.observed.low)}V{y(row.observed.high)}"/>'
            f'<circle cx="{x(row.mean_probability)}" cy="{y(row.observed.value)}" r="4"/></g>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"
