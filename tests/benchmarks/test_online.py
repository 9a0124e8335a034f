"""
One record against many: normalise, find candidates, score; in memory, in SQLite and in PostgreSQL.

The store is filled behind the registry's back, by the tables a lookup reads, because feeding a million
messages takes an hour. `MPI_BENCH_ONLINE` sets the number of records (1,000,000 by default).
"""

import io
import json
import os
import random
import sqlite3
import statistics
import time
from collections import defaultdict

import pytest
from mpi_synthetic import JUDGING, tables

from mpi.errors import InvalidIdentity
from mpi.identity.columns import TraitColumns
from mpi.identity.tabular import TRAIT_NAMES, demographics_from_mapping
from mpi.identity.traits import normalise
from mpi.index.intake import BLOCK_CAP
from mpi.matching import MatchModel, score
from mpi.matching.blocking import blocking_keys
from mpi.store import open_store
from tests.benchmarks.history import record

RECORDS = int(os.environ.get("MPI_BENCH_ONLINE", "1000000"))
QUESTIONS = 3_000
WARM_UP = 500
RECORDS_PER_PERSON = 1.88
COLUMNS = "id, domain, value, native_euid, fold_token, first_event_time, traits, demographics"
RECORD = f"INSERT INTO source_record ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"


@pytest.fixture(scope="module")
def people():
    """Rows of a federation, their traits and their keys."""
    table, _ = tables(int(RECORDS / RECORDS_PER_PERSON), seed=31, profile=JUDGING, processes=2)
    table = table.slice(0, RECORDS)
    columns = TraitColumns.of_table(table, on_bad="missing")
    traits = [columns.row(at) for at in range(len(columns))]
    return table, traits, [blocking_keys(each) for each in traits]


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def lookup(request, people, tmp_path):
    """What finds the candidates of some keys: (keys, record to leave out) -> (traits, ...)."""
    _, traits, keys = people
    if request.param == "memory":
        blocks = defaultdict(list)
        for at, found in enumerate(keys):
            for key in found:
                blocks[key].append(at)

        def in_memory(asked, excluding):
            found = {at for key in asked if len(blocks[key]) <= BLOCK_CAP for at in blocks[key]}
            return [traits[at] for at in sorted(found - {excluding})]

        yield request.param, in_memory
        return
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/mpi.db"
    else:
        request.getfixturevalue("postgres_server").set_fsync("on")
        url = request.getfixturevalue("postgres_url")
    store = open_store(url)
    fill(store, request.param, traits, keys)

    def in_store(asked, excluding):
        with store.read() as uow:
            found = uow.records.candidates(asked, excluding=excluding + 1, block_cap=BLOCK_CAP)
        return [each.traits for each in found.records]

    yield request.param, in_store
    store.close()


def fill(store, kind, traits, keys):
    """Records and keys, in the form the store gives them; record n of the table has id n + 1."""
    tokens = random.Random(1)
    when = "2026-01-01T00:00:00.000000+00:00"
    if kind == "sqlite":
        when = "2026-01-01 00:00:00.000000"
    rows = (
        (
            at + 1,
            "D",
            str(at),
            f"e{at}",
            tokens.getrandbits(63),
            when,
            json.dumps(each.to_json(), default=str),
            "{}",
        )
        for at, each in enumerate(traits)
    )
    links = sorted((key, at + 1) for at, found in enumerate(keys) for key in found)
    connection = store._writer_engine.raw_connection()
    try:
        if kind == "sqlite":
            driver = connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            dropped = driver.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'blocking_key' AND sql <> ''"
            ).fetchall()
            for name, _ in dropped:
                driver.execute(f"DROP INDEX {name}")
            driver.execute("BEGIN")
            driver.executemany(RECORD, rows)
            driver.executemany("INSERT INTO blocking_key VALUES (?, ?)", links)
            for _, sql in dropped:
                driver.execute(sql)
            driver.commit()
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            driver.execute("ANALYZE")
            driver.commit()
        else:
            driver = connection.driver_connection
            with driver.cursor() as cursor:
                cursor.execute("SET statement_timeout = 0")
                cursor.execute(
                    "SET session_replication_role = replica"
                )  # twelve million foreign keys, all sound
                copy(cursor, f"COPY source_record ({COLUMNS}) FROM STDIN", rows)
                copy(cursor, "COPY blocking_key (key, record_id) FROM STDIN", links)
            driver.commit()
            driver.execute("RESET session_replication_role")
            driver.commit()
            driver.autocommit = True
            driver.execute("VACUUM ANALYZE source_record")
            driver.execute("VACUUM ANALYZE blocking_key")
            driver.autocommit = False
    finally:
        connection.close()


def copy(cursor, statement, rows):
    buffer = io.StringIO()
    with cursor.copy(statement) as sink:
        for row in rows:
            cells = (
                str(cell).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n") for cell in row
            )
            buffer.write("\t".join(cells) + "\n")
            if buffer.tell() > 1 << 20:
                sink.write(buffer.getvalue())
                buffer.seek(0)
                buffer.truncate()
        sink.write(buffer.getvalue())


@pytest.mark.benchmark
def test_one_record_against_many(people, lookup):
    table, _, _ = people
    kind, candidates = lookup
    model = MatchModel.default()
    chosen = random.Random(5).sample(range(len(table)), QUESTIONS + WARM_UP)
    names = [name for name in TRAIT_NAMES if name in table.column_names]
    rows = table.select(names).take(chosen).to_pylist()
    taken, found, phases = [], [], defaultdict(float)
    for at, (place, row) in enumerate(zip(chosen, rows, strict=True)):
        try:
            stated = demographics_from_mapping(row)
        except InvalidIdentity:
            continue
        began = time.perf_counter()
        traits = normalise(stated)
        keys = blocking_keys(traits)
        normalised = time.perf_counter()
        others = candidates(keys, place)
        fetched = time.perf_counter()
        for other in others:
            score(model, traits, other)
        ended = time.perf_counter()
        if at >= WARM_UP:
            taken.append(1000 * (ended - began))
            found.append(len(others))
            phases["normalise"] += normalised - began
            phases["candidates"] += fetched - normalised
            phases["score"] += ended - fetched
    cuts = statistics.quantiles(taken, n=100)
    total = sum(phases.values())
    record(
        "online",
        {
            "store": kind,
            "records": len(table),
            "p50_ms": round(cuts[49], 3),
            "p99_ms": round(cuts[98], 3),
            "candidates_mean": round(statistics.mean(found), 2),
            "candidates_p99": round(statistics.quantiles(found, n=100)[98]),
            "shares": {name: round(seconds / total, 2) for name, seconds in phases.items()},
        },
    )
