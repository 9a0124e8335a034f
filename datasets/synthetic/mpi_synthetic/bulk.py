"""
Large federations as tables only, drawn in parts by several processes.

Every part is the same whichever process draws it, so their number changes nothing but the time.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.csv as pa_csv

from mpi.identity.ins import INS_TEST_OID

from .federation import draw_part
from .plausibility import tally
from .population import Part, parts_of
from .profiles import JUDGING, Profile
from .sites import Site, default_sites
from .truth import TRUTH, truth_row
from .writing import COLUMNS, README, record_row, write_notes, write_rows

Progress = Callable[[int, int], None]


class _Drawn(NamedTuple):
    """A part as CSV without headers, and its tallies."""

    persons: int
    rows: int
    records: bytes
    truth: bytes
    tallies: Counter[str]


def tables(
    persons: int,
    sites: int = 4,
    seed: int = 20260101,
    profile: Profile = JUDGING,
    *,
    processes: int = 1,
    progress: Progress | None = None,
) -> tuple[pa.Table, pa.Table]:
    """
    Draw the records and the truth of `generate` with the same arguments, as tables.

    Args:
        processes: how many draw; more than one need the caller to be importable (`if __name__ == "__main__"`).
        progress: told (done, total), in people, after each part.

    Returns:
        Records and truth. Shape: one row per record, in one order; every column is text, empty when not stated.

    Raises:
        ValueError: no person or no site.
    """
    drawn = list(_draw(persons, sites, seed, profile, processes, progress))
    return (
        pa.concat_tables(_read(part.records, COLUMNS) for part in drawn),
        pa.concat_tables(_read(part.truth, TRUTH) for part in drawn),
    )


def write_tables(
    out_dir: Path,
    persons: int,
    sites: int = 4,
    seed: int = 20260101,
    profile: Profile = JUDGING,
    *,
    processes: int = 1,
    progress: Progress | None = None,
) -> tuple[int, Counter[str]]:
    """
    Write records.csv, truth.csv and the plausibility report; memory does not grow with the population.

    Returns:
        The number of records, and the tallies of `plausibility`.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    rows, tallies = 0, Counter[str]()
    with (out_dir / "records.csv").open("wb") as records, (out_dir / "truth.csv").open("wb") as truth:
        records.write(f"{','.join(COLUMNS)}\n".encode())
        truth.write(f"{','.join(TRUTH)}\n".encode())
        for part in _draw(persons, sites, seed, profile, processes, progress):
            records.write(part.records)
            truth.write(part.truth)
            rows += part.rows
            tallies.update(part.tallies)
    readme = README.format(people=persons, sites=sites, seed=seed, profile=profile.name, oid=INS_TEST_OID)
    write_notes(out_dir, readme, tallies)
    return rows, tallies


def _draw(
    persons: int, sites: int, seed: int, profile: Profile, processes: int, progress: Progress | None
) -> Iterator[_Drawn]:
    """Draw the parts, in order, by so many processes."""
    parts, places = parts_of(persons), default_sites(sites)
    work = partial(_draw_one, sites=places, seed=seed, profile=profile)
    if processes == 1 or len(parts) == 1:
        found: Iterator[_Drawn] = map(work, parts)
        yield from _told(found, persons, progress)
        return
    # Spawned, not forked: a benchmark has threads of its own.
    with get_context("spawn").Pool(min(processes, len(parts))) as pool:
        yield from _told(pool.imap(work, parts), persons, progress)


def _told(found: Iterator[_Drawn], persons: int, progress: Progress | None) -> Iterator[_Drawn]:
    done = 0
    for part in found:
        yield part
        done += part.persons
        if progress:
            progress(done, persons)


def _draw_one(part: Part, sites: tuple[Site, ...], seed: int, profile: Profile) -> _Drawn:
    people, records, events = draw_part(part, sites, seed, profile)
    by_id = {person.person_id: person for person in people}
    rows, truth = io.StringIO(), io.StringIO()
    write_rows(rows, map(record_row, records))
    write_rows(truth, (truth_row(record, by_id) for record in records))
    tallies = tally(people, records, events)
    return _Drawn(len(people), len(records), rows.getvalue().encode(), truth.getvalue().encode(), tallies)


def _read(text: bytes, columns: tuple[str, ...]) -> pa.Table:
    return pa_csv.read_csv(
        io.BytesIO(text),
        read_options=pa_csv.ReadOptions(column_names=list(columns)),
        convert_options=pa_csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.string())),
    )
