"""
Linking as the index leaves it, after the rules of sets, against the truth of synthetic federations.

The error rates are those the model was not trained on. Run by `make bench`; appends to the history.
"""

from collections import Counter, defaultdict
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from mpi_synthetic import EventKind, generate, render, write_header

from mpi import logs
from mpi.demo import demo_settings, measure
from mpi.feeds.dicom.ingest import ingest_dicom
from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.index.registry import Registry
from mpi.matching.evaluation import wilson
from mpi.matching.model import MatchModel
from tests.benchmarks.history import record
from tests.fakes import MemoryStore

PEOPLE = 4_000
SEEDS = (11, 12)


@pytest.mark.benchmark
def test_linking(tmp_path):
    logs.configure("ERROR")
    found = Counter()
    for seed in SEEDS:
        found.update(linked(generate(PEOPLE, 4, seed), tmp_path / str(seed)))
    precision, low, high = wilson(found["right"], found["linked"])
    record(
        "linking",
        {
            "people": PEOPLE * len(SEEDS),
            "records": found["records"],
            "links": found["linked"],
            "wrong_links": found["linked"] - found["right"],
            "precision": [round(precision, 5), round(low, 5), round(high, 5)],
            "recall": round(found["right"] / found["true"], 4),
            "recall_with_reviews": round((found["right"] + found["reviewed"]) / found["true"], 4),
            "tasks": found["tasks"],
        },
    )


def linked(federation, folder):
    """Feed everything a federation says, and count."""

    def now():
        return datetime.now(UTC)

    store = MemoryStore()
    settings = demo_settings(federation, folder, http_port=0, mllp_port=0)
    registry = Registry(store, settings.directory(), MatchModel.default(), now)
    handler = Hl7Handler(registry, registry.directory, now)
    headers = defaultdict(list)
    for event in federation.events:
        site = federation.site(event.record.site)
        if event.kind is EventKind.HEADER:
            into = folder / event.record.site
            into.mkdir(parents=True, exist_ok=True)
            headers[event.record.site].append(write_header(event, site, into))
        else:
            handler.handle(render(event, site))
    for name in sorted(headers):
        source = f"pacs-{name.removeprefix('SITE-').lower()}"
        ingest_dicom(registry, registry.directory, [folder / name], source, lambda *_: None)
    euid_of, measured = measure(SimpleNamespace(store=store), federation)
    return {
        "records": len(euid_of),
        "true": measured.true_pairs,
        "linked": measured.linked,
        "right": measured.linked_right,
        "reviewed": measured.reviewed_right,
        "tasks": len(registry.tasks(limit=1_000_000)),
    }
