"""
Messages a second end to end, and PIX queries a second, as the index grows; and where the time goes.

End to end is a frame over a real socket to the acknowledgement of what is durable. Run by
`make bench`; each run appends to docs/benchmarks/history.jsonl. Nothing here can fail on time.
"""

import cProfile
import itertools
import multiprocessing
import os
import pstats
import random
import statistics
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from mpi_synthetic import EventKind, generate, render

from mpi import logs
from mpi.demo import PORTAL, demo_settings
from mpi.feeds.mllp import MllpClient
from mpi.service import in_background
from tests.benchmarks.history import record

SIZES = (5_000, 100_000)
MESSAGES = 2_000
QUERIES = 2_000
CONNECTIONS = 4
PARTS = (
    ("commit", ("commit",)),
    ("database driver", ("sqlite3", "psycopg")),
    ("SQLAlchemy", ("sqlalchemy",)),
    ("JSON", ("json",)),
    ("reading HL7", ("mpi/feeds",)),
    ("normalising and matching", ("mpi/identity", "mpi/matching", "rapidfuzz", "jellyfish", "unidecode")),
    ("registry", ("mpi/index", "mpi/store")),
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/mpi.db"
    server = request.getfixturevalue("postgres_server")
    server.set_fsync("on")
    return request.getfixturevalue("postgres_url")


@pytest.mark.benchmark
def test_throughput(url, tmp_path):
    logs.configure("ERROR")
    people = SIZES[-1] * 4 // 5 + 2_000
    federation = generate(people, 4, 97)
    settings = demo_settings(federation, tmp_path, http_port=0, mllp_port=0)
    settings = settings.model_copy(update={"database": settings.database.model_copy(update={"url": url})})
    messages = (
        (event.record, render(event, federation.site(event.record.site)))
        for event in federation.events
        if event.kind is not EventKind.HEADER
    )
    oid = {authority.namespace: authority.universal_id for authority in federation.authorities}
    fed: list[tuple[str, str]] = []
    with in_background(settings) as service:

        def take(count):
            batch = list(itertools.islice(messages, count))
            assert batch, "the federation is too small for the sizes asked"
            fed.extend((oid[record.site], record.local_id) for record, _ in batch)
            return [message for _, message in batch]

        for size in SIZES:
            while (records := count_records(service)) < size:
                for message in take(min(size - records, 5_000)):
                    service.hl7.handle(message)
            fed_now = measure(service, take(MESSAGES))
            asked = random.Random(5).choices(fed, k=QUERIES)
            answered = measure(service, [query(*item) for item in asked])
            report(url, size, fed_now, answered, shares(service, take(500)))


def count_records(service):
    with service.store.read() as uow:
        return len(uow.records.all_ids())


def query(oid, value):
    head = (
        f"MSH|^~\\&|{PORTAL}|FEDERATION|MPI|FED|20260302102000||QBP^Q23^QBP_Q21|Q|P|2.5|||||FRA|UNICODE UTF-8"
    )
    return f"{head}\rQPD|IHE PIX Query|T|{value}^^^&{oid}&ISO\rRCP|I\r".encode()


def measure(service, messages):
    """
    Send over several connections at once, from another process, as sites do.

    Returns the rate a second, and p50 and p99 in ms of one round trip.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as elsewhere:
        elsewhere.submit(os.getpid).result()  # started before the clock is
        seconds, taken = elsewhere.submit(send_all, service.mllp_port, messages).result()
    percentiles = statistics.quantiles(taken, n=100)
    return {
        "per_second": round(len(messages) / seconds),
        "p50_ms": ms(percentiles[49]),
        "p99_ms": ms(percentiles[98]),
    }


def send_all(port, messages):
    """Seconds from the first message to the last reply, and of each round trip."""

    def lane(number):
        taken = []
        with MllpClient("127.0.0.1", port) as client:
            for message in messages[number::CONNECTIONS]:
                started = time.perf_counter()
                client.send(message)
                taken.append(time.perf_counter() - started)
        return taken

    started = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        taken = list(itertools.chain.from_iterable(pool.map(lane, range(CONNECTIONS))))
    return time.perf_counter() - started, taken


def ms(seconds):
    return round(seconds * 1000, 1)


def shares(service, messages):
    """Share of the time of one message in each part of the code, in percent of what the profiler saw."""
    profiler = cProfile.Profile()
    profiler.enable()
    for message in messages:
        service.hl7.handle(message)
    profiler.disable()
    spent: Counter[str] = Counter()
    for (path, _line, name), (_calls, _primitive, own, _cumulative, _callers) in pstats.Stats(
        profiler
    ).stats.items():
        where = f"{path} {name}".replace("\\", "/")
        spent[next((part for part, marks in PARTS if any(mark in where for mark in marks)), "other")] += own
    return {part: round(100 * seconds / spent.total()) for part, seconds in spent.most_common()}


def report(url, size, fed, asked, parts):
    record(
        "throughput",
        {
            "store": "PostgreSQL" if url.startswith("postgres") else "SQLite",
            "records": size,
            "connections": CONNECTIONS,
            "messages": fed,
            "pix_queries": asked,
            "percent_of_time": parts,
        },
    )
