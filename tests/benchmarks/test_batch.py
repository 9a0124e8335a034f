"""
Batch linkage of one raw table, side by side: the product, Splink, recordlinkage, and an exact key.

Every engine is a process of its own and starts from the same CSV. The peers share one normalisation
task, which counts in their time; the product's time is of its whole process, theirs without
imports. Run by `make bench`; appends to the history and draws its chart.
MPI_BENCH_RECORDS says the sizes ("10000,100000,1000000" by default), MPI_BENCH_PEERS_UP_TO how many records
the peers are given (1000000 by default). Five million for the product alone, and how its time grew:

    MPI_BENCH_RECORDS=1000000,5000000 MPI_BENCH_PEERS_UP_TO=0 pytest -m benchmark -s tests/benchmarks/test_batch.py

On a machine that others use, compare cpu_seconds.
"""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from tests.benchmarks import charts
from tests.benchmarks.history import ROOT, record

SIZES = tuple(int(size) for size in os.environ.get("MPI_BENCH_RECORDS", "10000,100000,1000000").split(","))
PEERS_UP_TO = int(os.environ.get("MPI_BENCH_PEERS_UP_TO", "1000000"))
TIME_OUT_SECONDS = {"recordlinkage_peer": 600}
COLUMNS = ("engine", "seconds", "× ours", "MB", "× ours", "pairs", "best F1", "links F1", "growth")


@pytest.mark.benchmark
def test_batch(tmp_path):
    before = {}
    for records in SIZES:
        folder = tmp_path / str(records)
        run("table", records, folder)
        engines = measured(records, folder)
        growth = grown(before, records, engines)
        record("batch", {"records": records, "engines": engines, "growth": growth})
        print(table(engines, growth))
        before = {"records": records, "engines": engines}
        shutil.rmtree(folder)
        assert "unfinished" not in engines["product"]
    charts.main()


def measured(records, folder):
    """Engine -> its figures; an engine that did not finish says why."""
    raw, truth, normalised = (folder / name for name in ("records.csv", "truth.csv", "normalised.parquet"))
    engines = {"product": run("product_peer", raw, truth)}
    if records > PEERS_UP_TO:
        return engines
    task = run("normalised", raw, normalised)
    engines["splink"] = with_task(run("splink_peer", normalised, truth), task)
    engines["recordlinkage"] = with_task(run("recordlinkage_peer", normalised, truth), task)
    engines["exact key"] = with_task(run("exact_key_peer", raw, normalised, truth), task)
    return engines


def run(peer, *arguments):
    """One peer in a fresh process -> the figures it says, and its whole time."""
    command = [sys.executable, "-m", f"tests.benchmarks.peers.{peer}", *map(str, arguments)]
    started = time.perf_counter()
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIME_OUT_SECONDS.get(peer, 3_600),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return {"unfinished": f"not finished in {error.timeout:.0f} s"}
    if done.returncode:
        print(done.stderr[-2_000:])
        return {"unfinished": f"failed: exit status {done.returncode}"}
    figures = json.loads(done.stdout) if done.stdout else {}
    # What measuring accuracy takes is no part of linking: the phases are.
    figures["total_seconds"] = round(sum(figures.get("seconds", {}).values()), 2)
    figures["process_seconds"] = round(time.perf_counter() - started, 2)
    return figures


def with_task(figures, task):
    """A peer's figures with the normalisation it started from."""
    if "unfinished" in figures or "unfinished" in task:
        return figures if "unfinished" in figures else task
    return figures | {
        "seconds": task["seconds"] | figures["seconds"],
        "total_seconds": round(task["total_seconds"] + figures["total_seconds"], 2),
        "peak_mb": max(task["peak_mb"], figures["peak_mb"]),
    }


def grown(before, records, engines):
    """Engine -> how much faster than linearly its time grew since the size before; 1 is linear."""
    if not before:
        return {}
    times = records / before["records"]
    return {
        engine: round(figures["total_seconds"] / before["engines"][engine]["total_seconds"] / times, 2)
        for engine, figures in engines.items()
        if figures.get("total_seconds") and before["engines"].get(engine, {}).get("total_seconds")
    }


def table(engines, growth):
    """The figures of one size as text, one line an engine."""
    ours = engines["product"]
    rows = [COLUMNS]
    for engine, figures in engines.items():
        if "unfinished" in figures:
            rows.append((engine, figures["unfinished"], *("" for _ in COLUMNS[2:])))
            continue
        rows.append(
            (
                engine,
                f"{figures['total_seconds']:.1f}",
                ratio(figures, ours, "total_seconds"),
                f"{figures['peak_mb']:,}",
                ratio(figures, ours, "peak_mb"),
                f"{figures['pairs']:,}" if "pairs" in figures else "",
                f"{figures['best_f1']:.4f}" if "best_f1" in figures else "",
                f"{figures['sets']['f1']:.4f}" if "sets" in figures else "",
                f"{growth[engine]:.2f}" if engine in growth else "",
            )
        )
    widths = [max(len(row[at]) for row in rows) for at in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )


def ratio(figures, ours, key):
    """How many times what the product took."""
    return f"{figures[key] / ours[key]:.1f}" if ours.get(key) else ""
