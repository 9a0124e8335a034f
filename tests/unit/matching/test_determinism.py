"""The same records give the same bytes, whatever the order of the rows and the number of threads."""

import random
import subprocess
import sys

import pytest
from mpi_synthetic import TUNING, tables
from pyarrow import csv

LINK = """
import sys
import pyarrow
from mpi.matching import batch, vectors

threads, *arguments = sys.argv[1:]
pyarrow.set_cpu_count(int(threads))
batch.RANDOM_PAIRS = 2_000  # of a large table a part is drawn, and many parts are compared at once
vectors.PAIRS_AT_ONCE = 500
sys.argv = ["mpi", "link", *arguments]
from mpi.cli import main

main()
"""


@pytest.fixture(scope="module")
def records():
    return tables(800, seed=3, profile=TUNING)[0]


def linked(records, order, folder, *, threads):
    """What `mpi link` writes of these rows, in a process of its own: each hashes names in its own way."""
    folder.mkdir()
    csv.write_csv(records.take(order), folder / "records.csv")
    files = [folder / name for name in ("links.csv", "pairs.csv")]
    arguments = [folder / "records.csv", "--out", files[0], "--pairs", files[1]]
    command = [sys.executable, "-c", LINK, str(threads), *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True)
    return [file.read_bytes() for file in files]


def test_neither_threads_nor_the_order_of_the_rows_change_a_byte(records, tmp_path):
    rows = list(range(len(records)))
    sex = records["sex"].to_pylist()

    one = linked(records, rows, tmp_path / "one", threads=1)

    for threads, women_first in ((2, True), (5, False)):  # values are numbered in the order they come
        shuffled = random.Random(threads).sample(rows, len(rows))
        ordered = sorted(shuffled, key=lambda at: sex[at] == "F", reverse=women_first)
        assert linked(records, ordered, tmp_path / f"{threads}", threads=threads) == one
