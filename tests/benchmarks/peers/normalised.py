"""
The raw table -> a normalised one, in Parquet: the task every engine shares, timed by itself.

    python -m tests.benchmarks.peers.normalised RECORDS.csv NORMALISED.parquet

The product's own functions, one record after another, over all cores: names folded, placeholders
missing, phonetic codes, and the keys of the blocking passes. What a peer's levels need is a column,
so that no peer computes it once for each pair.
"""

import argparse
import csv
import os
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, islice

import pyarrow as pa
import pyarrow.parquet as pq

from mpi.identity.phonetics import soundex2
from mpi.identity.tabular import TRAIT_NAMES, demographics_from_mapping
from mpi.identity.traits import normalise, without_particles
from mpi.matching.blocking import key_of, passes
from mpi.matching.comparisons import first_given, name_code
from tests.benchmarks.peers.measuring import Phases, peak_mb, say

CHUNK = 20_000
NAME_PASSES = frozenset({"names_day", "names_year", "names_place", "names_home"})
TEXT, NUMBER, TEXTS, NUMBERS = pa.string(), pa.int32(), pa.list_(pa.string()), pa.list_(pa.int64())
SCHEMA = pa.schema(
    [
        ("record_id", TEXT),
        *((name, TEXT) for name in ("birth_name", "used_name", "birth_core", "used_core")),
        *((name, TEXT) for name in ("birth_code", "used_code")),
        *((name, TEXT) for name in ("given", "given_joined", "given_list", "given_code", "given_initials")),
        ("all_given", TEXTS),
        ("birth_date", TEXT),
        *((name, NUMBER) for name in ("birth_year", "birth_month", "birth_day")),
        ("birth_date_default", pa.bool_()),
        *((name, TEXT) for name in ("sex", "place_code", "place", "postal_code", "city", "phone", "email")),
        *((name, TEXT) for name in ("national_id", "ins", "mother")),
        ("whole_date", TEXT),
        *((name, NUMBERS) for name in ("family_keys", "given_keys", "name_keys", "all_keys")),
    ]
)


def columns_of(record_id, traits):
    """One identity as columns; None is missing."""
    date = traits.birth_date
    given = first_given(traits)
    keys = defaultdict(set)
    for parts in passes(traits):
        key = key_of(parts)
        keys["all"].add(key)
        if parts[0] in NAME_PASSES:
            keys["name"].add(key)
        elif parts[0] in ("date_family", "date_given"):  # the date is a column: the name alone is the key
            keys[parts[0]].add(key_of(parts[2:]))
        elif parts[0] == "phone":
            keys["date_given"].add(key_of(parts[2:]))
    several = len(traits.given_names) > 1
    return {
        "record_id": record_id,
        "birth_name": traits.birth_name or None,
        "used_name": traits.used_name or None,
        "birth_core": _core(traits.birth_name),
        "used_core": _core(traits.used_name),
        "birth_code": name_code(traits.birth_name) or None if traits.birth_name else None,
        "used_code": name_code(traits.used_name) or None if traits.used_name else None,
        "given": given or None,
        "given_joined": given.replace(" ", "") or None,
        "given_list": "|".join(traits.given_names) if several else None,
        "given_code": soundex2(given.replace(" ", "")) or None,
        "given_initials": "".join(word[0] for word in given.split()) or None,
        "all_given": [*dict.fromkeys(name for name in (*traits.given_names, traits.used_given_name) if name)],
        "birth_date": f"{date.year:04d}{date.month or 0:02d}{date.day or 0:02d}" if date else None,
        "birth_year": date.year if date else None,
        "birth_month": date.month if date else None,
        "birth_day": date.day if date else None,
        "birth_date_default": traits.birth_date_default,
        "sex": traits.sex or None,
        "place_code": traits.birth_place_code or None,
        "place": traits.birth_place or None,
        "postal_code": traits.postal_code or None,
        "city": traits.city or None,
        "phone": traits.phones[0] if traits.phones else None,
        "email": traits.emails[0] if traits.emails else None,
        "national_id": traits.national_id or None,
        "ins": traits.ins or None,
        "mother": traits.mother_birth_name or None,
        "whole_date": str(date) if date and date.day else None,
        "family_keys": sorted(keys["date_family"]),
        "given_keys": sorted(keys["date_given"]),
        "name_keys": sorted(keys["name"]),
        "all_keys": sorted(keys["all"]),
    }


def _core(name):
    """Words apart, between spaces, without particles: one name is part of another when this is."""
    return f" {without_particles(name)} " if name else None


def batch_of(rows):
    """Raw rows -> an Arrow batch."""
    found = [
        columns_of(
            row["record_id"],
            normalise(demographics_from_mapping({name: row[name] for name in TRAIT_NAMES if name in row})),
        )
        for row in rows
    ]
    return pa.RecordBatch.from_pylist(found, schema=SCHEMA)


def chunks(rows):
    """Lists of rows."""
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def main():
    """Normalise a table and say how long it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records")
    parser.add_argument("out")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    phases = Phases()
    count = 0
    with phases("normalise"), open(options.records, encoding="utf-8", newline="") as file:
        reading = chunks(csv.DictReader(file))
        with (
            ProcessPoolExecutor(options.processes) as pool,
            pq.ParquetWriter(options.out, SCHEMA) as writer,
        ):
            while ahead := list(islice(reading, 2 * options.processes)):  # so many in memory at once
                for batch in chain(pool.map(batch_of, ahead)):
                    writer.write_batch(batch)
                    count += batch.num_rows
    say({"records": count, "processes": options.processes, "seconds": phases.seconds, "peak_mb": peak_mb()})


if __name__ == "__main__":
    main()
