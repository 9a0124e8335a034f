"""
The product on the same table: `mpi link` in a fresh process, measured from outside.

    python -m tests.benchmarks.peers.product_peer RECORDS.csv TRUTH.csv

From raw rows to sets, normalisation and the start of the interpreter included.
"""

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.csv as pc

from tests.benchmarks.peers.measuring import (
    Phases,
    accuracy,
    peak_mb,
    person_codes,
    say,
    set_accuracy,
    true_pairs,
)

PAIRS = {"left_id": "string", "right_id": "string", "weight_bits": "float64", "decision": "string"}


def of_decisions(right, found, total):
    """Precision, recall and F1 of pairs that were decided so."""
    return {
        "precision": round(right / found, 5) if found else 1.0,
        "recall": round(right / total, 5),
        "f1": round(2 * right / (found + total), 5),
    }


def judged(pairs_path, links_path, truth_path):
    """What `--pairs` and `--out` are worth against the truth."""
    with open(links_path, encoding="utf-8", newline="") as file:
        links = [(row["record_id"], row["euid"]) for row in csv.DictReader(file)]
    position = {record: at for at, (record, _) in enumerate(links)}
    persons = person_codes(truth_path, position)
    numbers = {}
    labels = np.array([numbers.setdefault(euid, len(numbers)) for _, euid in links])
    table = pc.read_csv(
        pairs_path,
        convert_options=pc.ConvertOptions(include_columns=list(PAIRS), column_types=PAIRS),
    )
    left, right = (
        np.fromiter(
            (position[record] for record in table[side].to_pylist()), dtype=np.int64, count=len(table)
        )
        for side in ("left_id", "right_id")
    )
    same = persons[left] == persons[right]
    total = true_pairs(persons)
    decision = np.array(table["decision"].to_pylist(), dtype=object)
    linked, reviewed = decision == "link", decision != "non_link"
    return {
        "records": len(links),
        "kept": len(same),
        "true_pairs": total,
        **accuracy(table["weight_bits"].to_numpy(), same, total),
        "links": of_decisions(int(same[linked].sum()), int(linked.sum()), total),
        "links_and_reviews": of_decisions(int(same[reviewed].sum()), int(reviewed.sum()), total),
        "sets": set_accuracy(labels, persons),
    }


def main():
    """Link a table and say what it cost and what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records")
    parser.add_argument("truth")
    options = parser.parse_args()
    phases = Phases()
    with tempfile.TemporaryDirectory() as folder:
        out, pairs = Path(folder) / "links.csv", Path(folder) / "pairs.csv"
        command = [sys.executable, "-m", "mpi", "link", options.records, "--out", out, "--pairs", pairs]
        with phases("link"):
            subprocess.run(command, check=True, stdout=sys.stderr)
        memory = peak_mb(children_only=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        say(
            {
                "engine": "product",
                "seconds": phases.seconds,
                "peak_mb": memory,
                "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
                **judged(pairs, out, options.truth),
            }
        )


if __name__ == "__main__":
    main()
