"""
The raw table to link and its truth: so many records of a synthetic French federation.

    python -m tests.benchmarks.peers.table RECORDS FOLDER
"""

import argparse
import os
from pathlib import Path

from mpi_synthetic import JUDGING, write_tables

RECORDS_PER_PERSON = 1.6
"""Fewer than the generator gives, so that there are enough to cut from."""
SEED = 990017


def synthetic_table(records, folder):
    """
    Write records.csv and truth.csv of exactly so many records, unless they are there already.

    Returns their two paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / "records.csv", folder / "truth.csv"
    if not all(path.exists() for path in paths):
        people = int(records / RECORDS_PER_PERSON) + 100
        write_tables(folder, people, 4, SEED, JUDGING, processes=len(os.sched_getaffinity(0)))
        for path in paths:
            _cut(path, records)
    return paths


def _cut(path, records):
    """Keep the header and the first so many records, of which none holds a line break."""
    whole = path.with_suffix(".whole")
    path.rename(whole)
    with whole.open("rb") as source, path.open("wb") as target:
        lines = 0
        for line in source:
            if lines > records:
                break
            target.write(line)
            lines += 1
    whole.unlink()
    if lines <= records:
        path.unlink()
        raise RuntimeError(f"fewer than {records} records came: lower RECORDS_PER_PERSON")


def main():
    """Write one table, in a process that others may be started from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", type=int)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    synthetic_table(options.records, options.folder)


if __name__ == "__main__":
    main()
