"""
History -> a chart of time against records, both on logarithmic scales.

    python tests/benchmarks/charts.py

Reads docs/benchmarks/history.jsonl and writes docs/benchmarks/batch.svg: the last run of each engine
at each size, on the machine of the last run. An SVG without a library; its colours follow the reader's scheme.
"""

import json
import math
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[2]
HISTORY = ROOT / "docs" / "benchmarks" / "history.jsonl"
CHART = ROOT / "docs" / "benchmarks" / "batch.svg"
WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 64, 180, 40, 52
ENGINES = {"product": "mpi link", "splink": "Splink 5, tuned", "recordlinkage": "recordlinkage 0.16"}
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f } .quiet { fill: #57606a }
  .grid { stroke: #d0d7de; stroke-width: 1 } .line { fill: none; stroke-width: 2.5 }
  .product { stroke: #0550ae } .splink { stroke: #bc4c00; stroke-dasharray: 7 4 }
  .recordlinkage { stroke: #6639ba; stroke-dasharray: 2 4 } circle { fill: #ffffff; stroke-width: 2.5 }
  circle.splink, circle.recordlinkage { stroke-dasharray: none } .paper { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .grid { stroke: #3d444d } .paper, circle { fill: #0d1117 }
    .product { stroke: #79c0ff } .splink { stroke: #ffa657 } .recordlinkage { stroke: #d2a8ff }
  }
"""


def latest_points(history):
    """
    Engine -> [(records, seconds)], in order of size: each the last measured, all on one machine.

    Args:
        history: lines as `history.record` wrote them.
    """
    runs = [line for line in history if line["benchmark"] == "batch"]
    if not runs:
        return {}
    seconds = {
        (engine, line["records"]): figures["total_seconds"]
        for line in runs
        if line["machine"] == runs[-1]["machine"]
        for engine, figures in line["engines"].items()
        if engine in ENGINES and "total_seconds" in figures
    }
    return {
        engine: sorted((records, spent) for (name, records), spent in seconds.items() if name == engine)
        for engine in ENGINES
        if any(name == engine for name, _ in seconds)
    }


class Scale:
    """Logarithmic, from values to pixels."""

    def __init__(self, low, high, start, end):
        self.low, self.span = math.log10(low), math.log10(high) - math.log10(low)
        self.start, self.length = start, end - start

    def __call__(self, value):
        """Where a value stands."""
        return round(self.start + (math.log10(value) - self.low) / self.span * self.length, 1)


def decades(values):
    """The powers of ten that hold all of some values, two at least."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(low, max(high, low + 1) + 1)]


def short(number):
    """1,000,000 -> 1 M."""
    for bound, letter in ((1e6, " M"), (1e3, " k")):
        if number >= bound:
            return f"{number / bound:g}{letter}"
    return f"{number:g}"


def drawn(points, note):
    """
    The chart as SVG text.

    Args:
        points: as `latest_points` gives them, at least one.
        note: where and when, for the foot.
    """
    every = [point for line in points.values() for point in line]
    sizes, times = decades([at for at, _ in every]), decades([spent for _, spent in every])
    x = Scale(sizes[0], sizes[-1], LEFT, WIDTH - RIGHT)
    y = Scale(times[0], times[-1], HEIGHT - BOTTOM, TOP)
    title = "Batch linkage of raw records: seconds against records"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
        f'<text x="{LEFT}" y="22" font-weight="600">{escape(title)}</text>',
    ]
    for size in sizes:
        parts.append(f'<path class="grid" d="M{x(size)} {TOP}V{HEIGHT - BOTTOM}"/>')
        parts.append(
            f'<text class="quiet" x="{x(size)}" y="{HEIGHT - BOTTOM + 20}"'
            f' text-anchor="middle">{short(size)}</text>'
        )
    for spent in times:
        parts.append(f'<path class="grid" d="M{LEFT} {y(spent)}H{WIDTH - RIGHT}"/>')
        parts.append(
            f'<text class="quiet" x="{LEFT - 8}" y="{y(spent) + 4}" text-anchor="end">{short(spent)} s</text>'
        )
    parts += [part for engine, line in points.items() for part in _curve(engine, line, x, y)]
    parts += _labels(points, y)
    parts.append(f'<text class="quiet" x="{LEFT}" y="{HEIGHT - 10}">{escape(note)}</text></svg>\n')
    return "\n".join(parts)


def _curve(engine, line, x, y):
    path = "L".join(f"{x(records)} {y(spent)}" for records, spent in line)
    yield f'<path class="line {engine}" d="M{path}"/>'
    for records, spent in line:
        yield (
            f'<circle class="{engine}" cx="{x(records)}" cy="{y(spent)}" r="4">'
            f"<title>{ENGINES[engine]}: {records:,} records, {spent:g} s</title></circle>"
        )


def _labels(points, y):
    """At the end of each line, kept apart."""
    ends = sorted((y(line[-1][1]), engine) for engine, line in points.items())
    below = -math.inf
    for wanted, engine in ends:
        below = max(wanted + 4, below + 18)
        left = WIDTH - RIGHT + 12
        yield f'<path class="line {engine}" d="M{left} {below - 4}h22"/>'
        yield f'<text x="{left + 28}" y="{below}">{escape(ENGINES[engine])}</text>'


def main():
    """Draw the chart again from the history."""
    history = [json.loads(line) for line in HISTORY.read_text(encoding="utf-8").splitlines() if line]
    if points := latest_points(history):
        last = next(line for line in reversed(history) if line["benchmark"] == "batch")
        note = (
            f"{last['machine']}; commit {last['commit']}, {last['at'][:10]}; synthetic records, from raw CSV"
        )
        CHART.write_text(drawn(points, note), encoding="utf-8")


if __name__ == "__main__":
    main()
