"""
A store of any size as the registry would leave it, filled behind the registry's back: a million messages
take an hour, this takes minutes.

Each record comes from one message of its own. What is stored of it, its edges, its set and the questions
about it come from the functions the registry calls, so that `mpi verify` finds nothing to say. Two things
the registry would have left are absent: the sets a record was in before its last one, and the questions
that later messages closed.
"""

import gc
import hashlib
import json
import sqlite3
from collections import Counter, defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context

import numpy
from mpi_synthetic import JUDGING, tables
from sqlalchemy.dialects import sqlite

from mpi.errors import InvalidIdentity
from mpi.identity.domains import Domains
from mpi.identity.model import AssigningAuthority, Demographics, PatientIdentifier, RecordKey, SourceRecord
from mpi.identity.tabular import TRAIT_NAMES, demographics_from_mapping
from mpi.identity.traits import Traits
from mpi.index.audit import GENESIS, AuditEvent, chain_hash
from mpi.index.derivation import Component
from mpi.index.epochs import Epoch
from mpi.index.euid import native_euid
from mpi.index.events import Envelope, MessageState, Protocol
from mpi.index.intake import BLOCK_CAP, fold
from mpi.index.parties import Consumer, Directory, PatientIdentitySource
from mpi.index.ports import StoredRecord, StoredStatement
from mpi.index.questions import oversized_block_task, wanted_tasks
from mpi.index.review import TaskState
from mpi.matching.blocking import blocking_keys
from mpi.matching.decision import Decision
from mpi.store import open_store
from mpi.store.links import _edge_row
from mpi.store.records import statement_to_json
from mpi.store.searches import rows_of
from mpi.store.tables import (
    AUDIT,
    BLOCKING_KEY,
    EDGE,
    INBOX,
    MEMBERSHIP,
    OUTBOX,
    SEARCH_KEY,
    SEARCH_NAME,
    SOURCE_RECORD,
    STATEMENT,
    TASK,
    TASK_VERSION,
)

PROCESSES = 2
CHUNK = 2_000
RECORDS_PER_PERSON = 1.8
SITES = "ABCD"
START = datetime(2025, 1, 1, tzinfo=UTC)
AUTHORITIES = {
    f"SITE-{site}": AssigningAuthority(f"SITE-{site}", f"2.999.1.{place}", "ISO")
    for place, site in enumerate(SITES, 1)
}
DOMAINS = frozenset(authority.universal_id for authority in AUTHORITIES.values())
_DIALECT = sqlite.dialect()
_JSON = ("traits", "demographics", "stated")
"""Columns that the process which made them has already written as JSON."""

_shared = {}
"""What children forked from here read."""


def directory():
    """Four sites, and a portal that is told of every change of sets."""
    return Directory(
        own=AssigningAuthority("MPI", "2.999.1", "ISO"),
        domains=Domains(AUTHORITIES.values()),
        sources=[
            PatientIdentitySource(
                f"ris-{name.lower()}", (authority.universal_id,), application="RIS", facility=name
            )
            for name, authority in AUTHORITIES.items()
        ],
        consumers=[Consumer("portal", "PORTAL", "FED", DOMAINS, "127.0.0.1:1")],
        accept_test_ins=True,
    )


def source_of(key):
    """The patient identity source that feeds a record's domain."""
    name = next(name for name, authority in AUTHORITIES.items() if authority.universal_id == key.domain)
    return f"ris-{name.lower()}"


def authority_of(key):
    return next(one for one in AUTHORITIES.values() if one.universal_id == key.domain)


def envelope_of(key, number, raw, event="ADT^A28"):
    """The message that brings a record, as its sender names it."""
    source = source_of(key)
    content = hashlib.sha256(raw).hexdigest()
    return Envelope(Protocol.HL7V2, source, "RIS", source.upper(), f"M{number}", content, raw, event)


def fill(url, path, size, registry_of):
    """
    Fill an empty store.

    Args:
        registry_of: makes the registry of an open store.

    Returns:
        How many rows of what, and how many tasks of each kind.
    """
    with open_store(url) as store:
        registry = registry_of(store)
    table, _ = tables(int(size / RECORDS_PER_PERSON), seed=31, profile=JUDGING, processes=PROCESSES)
    _shared.update(table=table.slice(0, size), registry=registry, secret=store.euid_secret)
    gc.disable()  # nothing made here is garbage before the end
    try:
        driver = sqlite3.connect(path)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
            driver.execute(f"PRAGMA {pragma}")
        dropped = driver.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql <> ''"
        ).fetchall()
        for name, _ in dropped:
            driver.execute(f"DROP INDEX {name}")
        driver.commit()
        records, holders = _statements(driver)
        pairs, oversized = _pairs(holders, len(records))
        _insert(driver, BLOCKING_KEY, ("key", "record_id"), holders.tolist())
        del holders
        edges = _edges(records, pairs)
        euid_of, tasks = _questions(registry.derivation, records, edges, oversized)
        _insert_rows(driver, EDGE, (_edge_row(edge) for edge in edges))
        _insert_rows(driver, TASK, (_task_row(number, *one) for number, one in enumerate(tasks, 1)))
        driver.execute(
            f"INSERT INTO task_version SELECT {', '.join(_version_columns())} FROM task ORDER BY id"
        )
        model_version = registry.model.version
        _insert_rows(driver, MEMBERSHIP, (_membership_row(r, euid_of, model_version) for r in records))
        _insert_rows(driver, OUTBOX, (_outbox_row(r, euid_of) for r in records))
        _insert_rows(driver, AUDIT, _audit_rows(records, euid_of))
        for _, sql in dropped:
            driver.execute(sql)
        driver.execute("ANALYZE")
        driver.commit()
        driver.close()
    finally:
        gc.unfreeze()
        gc.enable()
        _shared.clear()
    kinds = Counter(str(asked.kind) for asked, _ in tasks)
    sizes = {"records": len(records), "sets": len(set(euid_of.values())), "edges": len(edges)}
    return {**sizes, "tasks": len(tasks), "task_kinds": dict(kinds)}


# ------------------------------------------------------------------------- statements and their folds


def _statements(driver):
    """Write what came in and what it makes. Returns the records, and (key, record id) sorted."""
    size = _shared["table"].num_rows
    records, keys, owners = [], [], []
    with get_context("fork").Pool(PROCESSES) as pool:
        for made in pool.imap(_read_rows, range(0, size, CHUNK)):
            _insert_rows(driver, SOURCE_RECORD, (each[1] for each in made))
            _insert_rows(driver, STATEMENT, (each[2] for each in made))
            _insert_rows(driver, INBOX, (each[3] for each in made))
            _insert_rows(driver, SEARCH_NAME, (row for each in made for row in each[4][0]))
            _insert_rows(driver, SEARCH_KEY, (row for each in made for row in each[4][1]))
            for record, *_, held in made:
                records.append(record)
                keys.append(numpy.array(held, dtype=numpy.int64))
                owners.append(numpy.full(len(held), record.id, dtype=numpy.int64))
    driver.commit()
    key, owner = numpy.concatenate(keys), numpy.concatenate(owners)
    order = numpy.lexsort((owner, key))
    return records, numpy.stack((key[order], owner[order]), axis=1)


def _read_rows(start):
    rows = _shared["table"].slice(start, CHUNK).to_pylist()
    return [_read_row(start + at + 1, row) for at, row in enumerate(rows)]


def _read_row(number, row):
    """A record without its demographics, the rows of it, its statement and its message, and its blocking keys."""
    authority = AUTHORITIES[row["domain"]]
    key = RecordKey(authority.universal_id, row["local_id"])
    when = START + timedelta(seconds=number)
    demographics = _demographics({name: row[name] for name in TRAIT_NAMES if name in row})
    statement = SourceRecord(
        PatientIdentifier(key.value, authority, "PI"), key.domain, demographics, when, source_of(key)
    )
    blank = StoredRecord(number, key, native_euid(_shared["secret"], key), None, Demographics(), Traits())
    record = fold(blank, Epoch(0, [StoredStatement(number, number, statement, number, when)]))
    stated = _json(statement_to_json(statement))
    raw = stated.encode()
    envelope = envelope_of(key, number, raw)
    return (
        replace(record, demographics=Demographics()),  # all that edges and sets need, and half the size
        {
            "id": number,
            **key._asdict(),
            "native_euid": record.native_euid,
            "fold_token": number,
            "first_event_time": record.first_event_time,
            "traits": _json(record.traits.to_json()),
            "demographics": _json(record.demographics.to_json()),
            "urgency": int(record.urgency),
        },
        {
            "id": number,
            "record_id": number,
            "message_id": number,
            "event_time": when,
            "recorded_at": when,
            "stated": stated,
        },
        {
            "id": number,
            "protocol": envelope.protocol.value,
            "source": envelope.source,
            "application": envelope.application,
            "facility": envelope.facility,
            "control_id": envelope.control_id,
            "content_hash": envelope.content_hash,
            "event": envelope.event,
            "dedupe_digest": hashlib.sha256(envelope.dedupe_key.encode()).hexdigest(),
            "original": True,
            "state": MessageState.APPLIED.value,
            "received_at": when,
            "replay_of": None,
            "place": "",
            "problem": "",
            "error": "",
            "warnings": [],
            "raw": raw,
            "reply": MessageState.APPLIED.encode(),
        },
        rows_of(record),
        blocking_keys(record.traits),
    )


def _demographics(row):
    """A row as stated, without the traits nobody could read."""
    while True:
        try:
            return demographics_from_mapping(row)
        except InvalidIdentity as error:
            del row[error.place]


# ------------------------------------------------------------------------------------------- edges


def _pairs(holders, records):
    """
    The pairs that intake compared when they came one after another.

    A block takes in its first `BLOCK_CAP` records; those that come later are not compared by it.

    Returns:
        By the smaller record, the greater ones; and the records that met a block too large to open.
    """
    key, owner = holders[:, 0], holders[:, 1]
    begins = numpy.flatnonzero(numpy.r_[True, key[1:] != key[:-1]])
    sizes = numpy.diff(numpy.r_[begins, len(key)])
    place = numpy.arange(len(key)) - numpy.repeat(begins, sizes)
    oversized = numpy.unique(owner[place >= BLOCK_CAP])
    key, owner = key[place < BLOCK_CAP], owner[place < BLOCK_CAP]
    found = [numpy.empty(0, dtype=numpy.int64)]
    at, step = numpy.arange(len(key)), 1
    while len(at):
        at = at[at + step < len(key)]
        at = at[key[at + step] == key[at]]
        found.append(numpy.unique(owner[at] * (records + 1) + owner[at + step]))
        step += 1
    pairs = numpy.unique(numpy.concatenate(found))
    others = defaultdict(list)
    for left, right in zip((pairs // (records + 1)).tolist(), (pairs % (records + 1)).tolist(), strict=True):
        others[left].append(right)
    return others, oversized.tolist()


def _edges(records, pairs):
    _shared.update(records=records, pairs=pairs)
    gc.freeze()
    with get_context("fork").Pool(PROCESSES) as pool:
        chunks = pool.imap(_score, _chunks(sorted(pairs)))
        return [edge for chunk in chunks for edge in chunk]


def _chunks(ids):
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))


def _score(lefts):
    records, pairs, intake = _shared["records"], _shared["pairs"], _shared["registry"].intake
    return [
        edge
        for left in lefts
        for edge in intake.edges_to(records[left - 1], [records[right - 1] for right in pairs[left]])
    ]


# ------------------------------------------------------------------------------- sets and questions


def _questions(derivation, records, edges, oversized):
    """The enterprise identifier of each record; every question, with the instant it could be asked."""
    touching, set_of = defaultdict(list), {}
    for edge in edges:
        for end in (edge.left_id, edge.right_id):
            touching[end].append(edge)
            set_of.setdefault(end, [end])
        left, right = set_of[edge.left_id], set_of[edge.right_id]
        if edge.score.decision is Decision.LINK and left is not right:
            left.extend(right)
            set_of.update(dict.fromkeys(right, left))
    euid_of = {record.id: record.native_euid for record in records}
    situations = []
    for inside in {id(members): members for members in set_of.values()}.values():
        around = {(edge.left_id, edge.right_id): edge for i in inside for edge in touching[i]}
        ends = {end for pair in around for end in pair}
        view = Component(set(inside), {i: records[i - 1] for i in ends}, tuple(around.values()), ())
        situations.append(derivation.derive(view, {}))
        euid_of.update(situations[-1].derived.euid_of)
    tasks = {}
    for situation in situations:  # once all sets are known, because questions name pairs of sets
        known = replace(situation, euid_of={i: euid_of[i] for i in situation.nodes})
        for key, asked in wanted_tasks(known).items():
            tasks[key] = derivation._with_priority(asked, known.nodes)
    for record_id in oversized:
        asked = oversized_block_task(record_id)
        tasks[asked.key] = derivation._with_priority(asked, {})
    dated = ((asked, max(key.left_id, key.right_id)) for key, asked in tasks.items())
    asked_at = sorted(dated, key=lambda one: (one[1], one[0].key))
    return euid_of, [(asked, START + timedelta(seconds=last)) for asked, last in asked_at]


def _task_row(number, asked, when):
    return {
        "id": number,
        "topic": asked.key.topic.value,
        "kind": asked.kind.value,
        "left_id": asked.key.left_id,
        "right_id": asked.key.right_id,
        "state": TaskState.OPEN.value,
        "reason": asked.reason,
        "weight_bits": asked.weight_bits,
        "version": 1,
        "opened_at": when,
        "changed_at": when,
        "verdict": None,
        "reviewer": "",
        "fact_id": None,
        "fingerprint": dict(asked.fingerprint),
        "priority": asked.priority,
    }


def _version_columns():
    return ["id" if column.name == "task_id" else column.name for column in TASK_VERSION.c]


def _membership_row(record, euid_of, model_version):
    return {
        "record_id": record.id,
        "euid": euid_of[record.id],
        "valid_from": record.first_event_time,
        "valid_to": None,
        "cause": f"message/{record.id}",
        "model_version": model_version,
    }


def _outbox_row(record, euid_of):
    payload = {"euids": [euid_of[record.id]]}
    return {
        "consumer": "portal",
        "kind": "pix_update",
        "payload": payload,
        "created_at": record.first_event_time,
    }


def _audit_rows(records, euid_of):
    previous = GENESIS
    for record in records:
        envelope = envelope_of(record.key, record.id, b"")
        details = {
            "event": envelope.event,
            "control_id": envelope.control_id,
            "records": [record.id],
            "moved": [euid_of[record.id]],
        }
        actor, subject = f"source:{envelope.source}", f"message/{record.id}"
        event = AuditEvent(actor, "U", "identity.stated", subject, record.first_event_time, details)
        hash_ = chain_hash(record.id, previous, event)
        yield {
            "sequence": record.id,
            "previous_hash": previous,
            "hash": hash_,
            "at": event.at,
            "actor": actor,
            "action": event.action,
            "kind": event.kind,
            "subject": subject,
            "details": details,
        }
        previous = hash_


# ----------------------------------------------------------------------------------------- inserting


def _json(document):
    return json.dumps(document, separators=(",", ":"))


def _insert(driver, table, names, rows):
    marks = ", ".join("?" * len(names))
    driver.executemany(f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})", rows)


def _insert_rows(driver, table, rows):
    """Rows by column name, all with the columns of the first, written as the store writes them."""
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    write = [
        None if name in _JSON else table.c[name].type.dialect_impl(_DIALECT).bind_processor(_DIALECT)
        for name in first
    ]

    def cells(row):
        return [each(cell) if each else cell for each, cell in zip(write, row.values(), strict=True)]

    _insert(driver, table, tuple(first), (cells(row) for part in ((first,), rows) for row in part))
