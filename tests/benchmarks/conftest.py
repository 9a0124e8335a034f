"""
One full store for every benchmark that asks: on SQLite, and the same copied to PostgreSQL.

`MPI_BENCH_RECORDS` sets how many records it holds (1,000,000 by default: some minutes and 3 GB).
"""

import multiprocessing
import os
import sqlite3
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime

import pytest

from mpi.index.registry import Registry
from mpi.matching import MatchModel
from tests.benchmarks import copied_store, filled_store
from tests.benchmarks.history import record
from tests.conftest import running_postgres

RECORDS = int(os.environ.get("MPI_BENCH_RECORDS", "1000000"))


def registry_of(store):
    """The registry that fills it, at an instant of its own."""
    return Registry(
        store, filled_store.directory(), MatchModel.default(), lambda: datetime(2026, 1, 1, tzinfo=UTC)
    )


@pytest.fixture(scope="session")
def filled(tmp_path_factory):
    """The file of a store on SQLite."""
    path = tmp_path_factory.mktemp("filled") / "mpi.db"
    began = time.perf_counter()
    # In a process of its own: what filling leaves in memory would slow down everything measured after it.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as elsewhere:
        sizes = elsewhere.submit(_fill, path).result()
    seconds = round(time.perf_counter() - began, 1)
    record("filled", {**sizes, **_rows(path), "seconds": seconds, "megabytes": path.stat().st_size >> 20})
    yield path
    path.unlink()


def _fill(path):
    return filled_store.fill(f"sqlite:///{path}", path, RECORDS, registry_of)


@pytest.fixture(scope="session")
def postgres_server():
    """A server with the settings that the manual advises: those of the tests would measure checkpoints."""
    with running_postgres(
        shared_buffers="1GB",
        effective_cache_size="4GB",
        max_wal_size="8GB",
        checkpoint_timeout="15min",
        random_page_cost=1.1,
    ) as server:
        yield server


@pytest.fixture(scope="session")
def filled_on_postgresql(filled, postgres_server):
    """The address of the same in PostgreSQL, which flushes."""
    postgres_server.set_fsync("on")
    url = postgres_server.create_database()
    copied_store.copy(f"sqlite:///{filled}", url)
    yield url
    postgres_server.set_fsync("off")


def _rows(path):
    driver = sqlite3.connect(path)
    counts = {
        table: driver.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("search_name", "search_key", "blocking_key")
    }
    driver.close()
    return counts
