"""What `mpi evaluate` says, as values, as JSON and as text. Figures and names of groups, never a person's value."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mpi.matching.calibration import Reliability
from mpi.matching.evaluation import (
    BlockingLoss,
    ClusterFigures,
    Interval,
    PairFigures,
    PairMeasures,
    ThresholdCurve,
)

_CURVE_ROWS = 25


class Figures(NamedTuple):
    """
    What was found under one rule, among all records or those of one stratum.

    Args:
        found: `links`, `links and reviews`, `pairs` (all of a file without decisions), `clusters`.
        stratum, value: the column and the group; empty for all records.
        clusters: for links stated as clusters.
    """

    found: str
    stratum: str
    value: str
    records: int
    pairs: PairFigures
    clusters: ClusterFigures | None = None


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """
    Every figure of one evaluation, each with its 95 % interval.

    Args:
        digests: SHA-256 of each file read, by role, and `records`: that of `data_digest`.
        tuned_on_these_records: whether the model was fitted on the records it is judged on; None
            when it is not known on which it was.
        set_aside: how many of each kind of odd entry were left out, or read in a stated way.
        at_best: figures at the threshold with the best F1 on these very pairs.
        notes: what a reader must know of the figures, in plain words.
    """

    digests: Mapping[str, str]
    tuned_on_these_records: bool | None
    records: int
    people: int
    true_pairs: int
    set_aside: Mapping[str, int]
    figures: tuple[Figures, ...]
    strata: tuple[Figures, ...]
    blocking: BlockingLoss | None
    curve: ThresholdCurve | None
    at_best: PairFigures | None
    reliability: Reliability | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The report in JSON types; an interval is [value, low, high], a figure without data null."""
        out: dict[str, Any] = {
            "digests": dict(self.digests),
            "tuned_on_these_records": self.tuned_on_these_records,
            "records": self.records,
            "people": self.people,
            "true_pairs": self.true_pairs,
            "set_aside": dict(self.set_aside),
            "figures": [_figures_json(row) for row in self.figures],
            "strata": [_figures_json(row) for row in self.strata],
            "notes": list(self.notes),
        }
        if self.blocking:
            out["blocking"] = {name: list(value) for name, value in self.blocking._asdict().items()}
        if self.curve and self.at_best:
            out["curve"] = {
                "average_precision": list(self.curve.average_precision),
                "best_threshold_bits": self.curve.best_threshold_bits,
                "at_best": _pairs_json(self.at_best.pairs, self.at_best.f1),
                "thresholds": [
                    {"threshold_bits": bits, **_pairs_json(measures)}
                    for bits, measures in curve_rows(self.curve)
                ],
            }
        if self.reliability:
            out["reliability"] = self.reliability.to_json()
        finite: dict[str, Any] = _without_nan(out)
        return finite

    def to_text(self) -> str:
        """The report as aligned tables, the notes first."""
        parts = [
            "\n".join(f"NOTE: {note}" for note in self.notes),
            f"{self.records:,} records, {self.people:,} people, {self.true_pairs:,} true pairs. "
            "Figures with their 95 % interval.",
            "\n".join(f"{what}: {count:,}" for what, count in self.set_aside.items() if count),
            _table(
                ["pairs", "right", "wrong", "missed", "precision", "recall", "F1"],
                [[row.found, *_pair_cells(row.pairs.pairs, row.pairs.f1)] for row in self.figures],
            ),
            _clusters_text(self.figures),
            _blocking_text(self.blocking),
            _curve_text(self.curve, self.at_best),
            _reliability_text(self.reliability),
            _table(
                ["stratum", "found", "records", "precision", "recall", "F1"],
                [
                    [f"{row.stratum} = {row.value}", row.found, f"{row.records:,}",
                     *_pair_cells(row.pairs.pairs, row.pairs.f1)[3:]]
                    for row in self.strata
                ],
            ),
            "\n".join(f"sha256 {role}: {digest}" for role, digest in self.digests.items()),
        ]  # fmt: skip
        return "\n\n".join(part for part in parts if part) + "\n"


def curve_rows(curve: ThresholdCurve) -> list[tuple[float, PairMeasures]]:
    """The curve at whole bits, about twenty-five of them."""
    low, high = math.floor(curve.threshold_bits[-1]), math.floor(curve.threshold_bits[0])
    step = max(1, math.ceil((high - low) / _CURVE_ROWS))
    return [(float(bits), curve.at(bits)) for bits in range(low, high + 1, step)]


def _pairs_json(measures: PairMeasures, f1: Interval | None = None) -> dict[str, Any]:
    return {
        "true_positives": measures.true_positives,
        "false_positives": measures.false_positives,
        "false_negatives": measures.false_negatives,
        "precision": list(measures.precision),
        "recall": list(measures.recall),
        "f1": list(f1) if f1 else measures.f1,
    }


def _figures_json(row: Figures) -> dict[str, Any]:
    out: dict[str, Any] = {"found": row.found, "records": row.records}
    if row.stratum:
        out |= {"stratum": row.stratum, "value": row.value}
    out["pairs"] = _pairs_json(row.pairs.pairs, row.pairs.f1)
    if row.clusters:
        names = ("precision", "recall", "f1")
        out["b_cubed"] = {name: list(getattr(row.clusters, name)) for name in names}
        out["exact_clusters"] = list(row.clusters.exact)
    return out


def _without_nan(value: Any) -> Any:
    """The same, floats that JSON has no word for as null."""
    match value:
        case float() | np.floating():
            return float(value) if math.isfinite(value) else None
        case np.integer():
            return int(value)
        case dict():
            return {name: _without_nan(item) for name, item in value.items()}
        case list():
            return [_without_nan(item) for item in value]
        case _:
            return value


def _share(interval: Interval) -> str:
    if math.isnan(interval.value):
        return "-"
    value, low, high = interval
    return f"{value:.5f} [{low:.5f}, {high:.5f}]"


def _pair_cells(measures: PairMeasures, f1: Interval | None) -> list[str]:
    counts = (measures.true_positives, measures.false_positives, measures.false_negatives)
    return [
        *(f"{count:,}" for count in counts),
        _share(measures.precision),
        _share(measures.recall),
        _share(f1) if f1 else f"{measures.f1:.5f}",
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, the first to the left; nothing without rows."""
    if not rows:
        return ""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    )


def _clusters_text(figures: Sequence[Figures]) -> str:
    rows = [
        [name, _share(interval)]
        for row in figures
        if (found := row.clusters)
        for name, interval in (
            ("B-cubed precision", found.precision),
            ("B-cubed recall", found.recall),
            ("B-cubed F1", found.f1),
            ("people found exactly", found.exact),
        )
    ]
    return _table(["clusters", "share"], rows)


def _blocking_text(blocking: BlockingLoss | None) -> str:
    if blocking is None:
        return ""
    return _table(
        ["blocking, if the file names every candidate pair", "share"],
        [
            ["true pairs named (pairs completeness)", _share(blocking.pairs_completeness)],
            ["pairs of records not named (reduction ratio)", _share(blocking.reduction_ratio)],
        ],
    )


def _curve_text(curve: ThresholdCurve | None, at_best: PairFigures | None) -> str:
    if curve is None or at_best is None:
        return ""
    rows = [[f"{bits:g}", *_pair_cells(measures, None)] for bits, measures in curve_rows(curve)]
    best = [f"best {curve.best_threshold_bits:g}", *_pair_cells(at_best.pairs, at_best.f1)]
    head = ["weight from, bits", "right", "wrong", "missed", "precision", "recall", "F1"]
    area = f"area under precision and recall: {_share(curve.average_precision)}"
    caution = "the best threshold is the best on these very pairs: confirm it on others before adopting it"
    return "\n".join([_table(head, [*rows, best]), area, caution])


def _reliability_text(reliability: Reliability | None) -> str:
    if reliability is None:
        return ""
    rows = [
        [
            f"{row.low:.3f} to {row.high:.3f}",
            f"{row.pairs:,}",
            f"{row.mean_probability:.5f}",
            _share(row.observed),
        ]
        for row in reliability.bins
    ]
    return "\n".join(
        [
            _table(["probability stated", "pairs", "mean", "share of one person"], rows),
            f"calibration error (ECE), ten bins of equal width: {_share(reliability.error)}",
            f"calibration error (ECE), ten bins of equal counts: {_share(reliability.error_equal_counts)}",
            f"Brier score: {_share(reliability.brier)}",
        ]
    )
