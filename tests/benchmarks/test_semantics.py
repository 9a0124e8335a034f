"""
What one message, one verdict and one undoing cost as the index grows: 10,000 records, then a million.

The cost is that of the registry, from an instruction to what is durable; reading HL7 and the network are
measured by `test_throughput.py`. `MPI_BENCH_SEMANTICS` sets the sizes, the smallest first;
`MPI_BENCH_VERIFY=1` verifies the larger stores as well. Nothing here can fail on time.
"""

import os
import random
import sqlite3
import statistics
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from mpi import logs
from mpi.errors import LinkConflict, StaleReview, UnknownIdentifier
from mpi.identity.model import PatientIdentifier, SourceRecord
from mpi.index.events import IdentifiersMerged, IdentityStated, MessageState
from mpi.index.registry import Registry
from mpi.index.review import TaskKind, Verdict
from mpi.index.verification import verify
from mpi.matching import MatchModel
from mpi.store import open_store
from tests.benchmarks import filled_store
from tests.benchmarks.filled_store import AUTHORITIES, DOMAINS, authority_of, envelope_of, source_of
from tests.benchmarks.history import record

SIZES = [int(size) for size in os.environ.get("MPI_BENCH_SEMANTICS", "10000,1000000").split(",")]
VERIFY_ALL = os.environ.get("MPI_BENCH_VERIFY") == "1"
TIMES = 300
WARM_UP = 30
FLAT = 3.0
"""How much dearer the largest store may be than the smallest: the target, not a limit."""


@pytest.mark.benchmark
def test_semantics(tmp_path):
    logs.configure("ERROR")
    of_size = {}
    for size in SIZES:
        path = tmp_path / f"{size}.db"
        of_size[size] = measure_size(path, size)
        path.unlink()
    first, last = of_size[SIZES[0]], of_size[SIZES[-1]]
    ratios = {
        what: {cut: round(last[what][cut] / first[what][cut], 2) for cut in ("p50_ms", "p99_ms")}
        for what in first
    }
    beyond = sorted(what for what, ratio in ratios.items() if ratio["p50_ms"] > FLAT)
    record("semantics_ratio", {"sizes": [SIZES[0], SIZES[-1]], "ratios": ratios, "beyond": beyond})


def measure_size(path, size):
    url = f"sqlite:///{path}"
    ticks = [filled_store.START + timedelta(seconds=size + 3600)]

    def clock():
        ticks[0] += timedelta(milliseconds=1)
        return ticks[0]

    def registry_of(store):
        return Registry(store, filled_store.directory(), MatchModel.default(), clock)

    began = time.perf_counter()
    filled = filled_store.fill(url, path, size, registry_of)
    seconds = time.perf_counter() - began
    record(
        "semantics_load",
        {
            "store": "sqlite",
            **filled,
            "seconds": round(seconds, 1),
            "megabytes": path.stat().st_size >> 20,
        },
    )
    with open_store(url) as store:
        registry = registry_of(store)
        verifies = VERIFY_ALL or size == SIZES[0]
        if verifies:
            report_verification(store, registry, "as filled")
        bench = Bench(registry, store, clock, path, size)
        bench.run()
        record(
            "semantics", {"store": "sqlite", "records": size, **bench.figures(), "left_out": bench.left_out}
        )
        if verifies:
            report_verification(store, registry, "after the measures")
        return bench.figures()


def report_verification(store, registry, when):
    examples = {}
    began = time.perf_counter()
    found = verify(store, registry, on_difference=lambda one: examples.setdefault(one.check.value, one))
    seconds = time.perf_counter() - began
    figures = {name: getattr(found, name) for name in ("records", "edges", "messages", "tasks", "facts")}
    for one in examples.values():
        print(f"\n{one.check}: {one.subject}: {one.problem}")
    differences = {check.value: count for check, count in found.found.items()}
    record(
        "semantics_verify",
        {
            "store": "sqlite",
            "when": when,
            **figures,
            "tolerated": found.tolerated,
            "differences": differences,
            "seconds": round(seconds, 1),
            "per_second": round(found.records / seconds),
        },
    )


class Bench:
    """Uses the registry as sites, reviewers and consumers do, and times each use."""

    def __init__(self, registry, store, clock, path, size):
        self._registry, self._store, self._clock = registry, store, clock
        self._path = path
        self._size = size
        self._random = random.Random(5)
        self._taken = {}
        self._sent = size
        self.left_out = Counter()
        """Uses refused by a rule, by what refused them; they are not timed."""

    def figures(self):
        out = {}
        for what, taken in self._taken.items():
            cuts = statistics.quantiles(taken[min(WARM_UP, len(taken) // 10) :], n=100)
            out[what] = {"p50_ms": round(cuts[49], 2), "p99_ms": round(cuts[98], 2), "times": len(taken)}
        return out

    def run(self):
        for verdict in (Verdict.SAME, Verdict.DIFFERENT):
            self._answers(verdict)
        self._reads()
        self._messages()

    def _timed(self, what, action):
        began = time.perf_counter()
        result = action()
        self._taken.setdefault(what, []).append(1000 * (time.perf_counter() - began))
        return result

    def _messages(self):
        for number, before in enumerate(self._some_records()):
            key, stated = before.key, before.demographics
            moved = replace(
                stated,
                address=f"{number} Rue Neuve",
                postal_code=f"{10000 + number}",
                phones=(f"06{number:08d}",),
            )
            self._state("A08 that changes nothing", key, authority_of(key), stated)
            self._state("A08 that changes traits", key, authority_of(key), moved)
            elsewhere = self._random.choice([a for a in AUTHORITIES.values() if a.universal_id != key.domain])
            new = key._replace(domain=elsewhere.universal_id, value=f"NEW-{number}")
            self._state("A28 of a known person", new, elsewhere, stated)
            twice = key._replace(value=f"TWICE-{number}")
            self._state("", twice, authority_of(key), moved)
            self._merge(key, twice)

    def _some_records(self):
        ids = self._random.sample(range(1, self._size + 1), TIMES + WARM_UP)
        with self._store.read() as uow:
            found = uow.records.by_ids(ids)
        return [found[record_id] for record_id in ids]

    def _state(self, what, key, authority, stated):
        identifier = PatientIdentifier(key.value, authority, "PI")
        one = SourceRecord(identifier, key.domain, stated, self._clock(), source_of(key))
        self._send(what, key, IdentityStated((one,)), what[:3] or "A28")

    def _merge(self, survivor, subsumed):
        left, right = (PatientIdentifier(key.value, authority_of(key), "PI") for key in (survivor, subsumed))
        said = IdentifiersMerged(left, right, survivor.domain, self._clock(), source_of(survivor))
        self._send("A40", survivor, said, "A40")

    def _send(self, what, key, instruction, event):
        self._sent += 1
        envelope = envelope_of(key, self._sent, b"MSH" * 200, f"ADT^{event}")

        def receive():
            return self._registry.receive(
                envelope, lambda: instruction, lambda receipt: receipt.state.encode()
            )

        receipt = self._timed(what, receive) if what else receive()
        assert receipt.state is MessageState.APPLIED, receipt.error

    def _answers(self, verdict):
        """Read a question, answer it, and take the answer back."""
        for task_id in self._some_tasks():
            task = self._timed("review read", lambda: self._registry.review(task_id, actor="bench")).task  # noqa: B023
            try:
                began = time.perf_counter()
                decided = self._registry.decide(task_id, verdict, reviewer="anne", version=task.version)
                answered = time.perf_counter()
                self._registry.withdraw(decided.fact_id, actor="user:anne")
                ended = time.perf_counter()
            except (LinkConflict, StaleReview) as error:
                self.left_out[f"{verdict}: {type(error).__name__}"] += 1
                continue
            self._taken.setdefault(f"verdict: {verdict}", []).append(1000 * (answered - began))
            self._taken.setdefault(f"undo: {verdict}", []).append(1000 * (ended - answered))

    def _some_tasks(self):
        with sqlite3.connect(self._path) as driver:
            query = "SELECT id FROM task WHERE state = 'open' AND kind = ? ORDER BY id"
            ids = [row[0] for row in driver.execute(query, (TaskKind.POTENTIAL_LINK.value,))]
        driver.close()
        return self._random.sample(ids, min(TIMES + WARM_UP, len(ids)))

    def _reads(self):
        for before in self._some_records():

            def ask(key=before.key):
                try:
                    self._registry.cross_reference(key, targets=None, visible=DOMAINS, actor="bench")
                except UnknownIdentifier:
                    self.left_out["query: protected, and timed"] += 1

            self._timed("PIX query", ask)
            self._timed("50 most urgent tasks", lambda: self._registry.urgent_tasks(limit=50))
