"""
The "super identifier": people are told apart by one exact key, and nothing is weighed.

    python -m tests.benchmarks.peers.exact_key_peer RECORDS.csv NORMALISED.parquet TRUTH.csv

Birth name, first given name, birth date and sex, normalised; and the same as the sites typed them.
"""

import argparse
import csv

import numpy as np
import pyarrow.parquet as pq

from tests.benchmarks.peers.measuring import Phases, peak_mb, person_codes, say, set_accuracy

NORMALISED = ["birth_name", "given", "birth_date", "sex"]


def labels_of(keys):
    """A number for each distinct key; a key with a part missing is its record's own."""
    numbers = {}
    return np.array(
        [
            numbers.setdefault(key if all(key) else (at,), len(numbers))
            for at, key in enumerate(keys)
        ]
    )  # fmt: skip


def raw_keys(path):
    """The four traits as typed; of the given names, the first word."""
    with open(path, encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            given = row["given_names"].split(" ", 1)[0]
            yield row["birth_name"], given, row["birth_date"], row["sex"]


def main():
    """Link by either key and say what each finds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records")
    parser.add_argument("normalised")
    parser.add_argument("truth")
    options = parser.parse_args()
    phases = Phases()
    with phases("raw"):
        raw = labels_of(raw_keys(options.records))
    with phases("normalised"):
        table = pq.read_table(options.normalised, columns=["record_id", *NORMALISED])
        normalised = labels_of(zip(*(table[name].to_pylist() for name in NORMALISED), strict=True))
    memory = peak_mb()
    persons = person_codes(options.truth, table["record_id"].to_pylist())
    say(
        {
            "engine": "exact key",
            "records": len(persons),
            "seconds": phases.seconds,
            "peak_mb": memory,
            "sets": set_accuracy(normalised, persons),
            "raw": set_accuracy(raw, persons),
        }
    )


if __name__ == "__main__":
    main()
