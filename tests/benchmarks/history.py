"""One line a measurement, appended to docs/benchmarks/history.jsonl and printed."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]
HISTORY = ROOT / "docs" / "benchmarks" / "history.jsonl"


def record(benchmark, figures):
    """Append the figures with what is needed to compare them: commit, date, machine."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "benchmark": benchmark,
        "commit": commit,
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores",
        **figures,
    }
    HISTORY.parent.mkdir(parents=True, exist_ok=True)
    with HISTORY.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")
    print(f"\n{benchmark}: {figures}")
