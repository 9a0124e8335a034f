"""Fakes that pass the same contract tests as the real thing."""

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from mpi.errors import StoreError
from mpi.identity.ins import IdentityAttribute, IdentityStatus
from mpi.identity.model import Demographics, RecordKey, SourceRecord
from mpi.identity.traits import Traits
from mpi.index.audit import GENESIS, AuditEvent, ChainedEvent, chain_hash
from mpi.index.corrections import Correction, CorrectionKind
from mpi.index.events import CLOSING, RETIRING, STOPPED, Envelope, Fact, MessageState, Study
from mpi.index.graph import Edge
from mpi.index.ports import (
    Arrival,
    Backlog,
    Beside,
    Candidates,
    Channel,
    Delivery,
    Figures,
    HarvestCondition,
    HarvestCursor,
    Identifier,
    JournalLine,
    KeptAnswer,
    Membership,
    OutboxRow,
    Queue,
    Range,
    Sketch,
    StoredKey,
    StoredMessage,
    StoredModel,
    StoredRecord,
    StoredRelink,
    StoredStatement,
    Subscription,
    SubscriptionStatus,
)
from mpi.index.reports import Followed, Report, ReportState
from mpi.index.review import LIVE_STATES, WHOLE, Sight, Task, TaskKey, TaskState, Topic, WantedTask
from mpi.index.sketches import is_findable, keys_of, sketches_of

Undo = Callable[[], object]


class MemoryStore:
    """
    `ports.Store` in dictionaries, for tests that need speed more than durability.

    What is stored are frozen values; each change leaves in the unit of work how to undo it.
    """

    def __init__(self, *, euid_secret: bytes = b"\x01" * 32) -> None:
        self.euid_secret = euid_secret
        self._turn = threading.Lock()
        self._in_this_thread = threading.local()
        self.messages: dict[int, StoredMessage] = {}
        self.originals: dict[str, int] = {}
        self.records: dict[int, StoredRecord] = {}
        self.record_ids: dict[RecordKey, int] = {}
        self.epochs_of: dict[tuple[str, str], list[int]] = {}
        self.native_euids: dict[str, int] = {}
        self.statements: dict[int, StoredStatement | None] = {}  # None: erased
        self.statements_of: dict[int, list[int]] = {}
        self.keys_of: dict[int, frozenset[int]] = {}
        self.holders: dict[int, set[int]] = {}
        self.past_holders: dict[int, set[int]] = {}
        self.sketches: dict[
            int, dict[tuple[str, int], tuple[str, bool]]
        ] = {}  # given names; whether of the past
        self.search_keys: dict[int, dict[int, bool]] = {}  # whether of the past
        self.edges: dict[tuple[int, int], Edge] = {}
        self.neighbours: dict[int, set[tuple[int, int]]] = {}
        self.facts: dict[int, Fact] = {}
        self.facts_about: dict[RecordKey, list[int]] = {}
        self.memberships: dict[int, list[Membership]] = {}
        self.members: dict[str, set[int]] = {}
        self.tasks: dict[int, Task] = {}
        self.task_versions: dict[int, list[Task]] = {}
        self.task_ids: dict[tuple[int, TaskKey], int] = {}
        self.sights: dict[int, tuple[Sight, bool]] = {}
        self.tasks_about: dict[int, list[int]] = {}
        self.audit: list[ChainedEvent] = []
        self.outbox: dict[int, OutboxRow] = {}
        self.paused: dict[str, datetime] = {}
        self.subscriptions: dict[int, Subscription] = {}
        self.told: dict[tuple[str, Identifier], frozenset[Identifier]] = {}
        self._claims: dict[str, threading.Lock] = {}
        self.api_keys: dict[int, tuple[str, StoredKey]] = {}
        self.kept_answers: dict[tuple[str, str], tuple[datetime, KeptAnswer]] = {}
        self.models: dict[str, StoredModel] = {}
        self.relinks: dict[int, StoredRelink] = {}
        self.studies: dict[tuple[str, str, RecordKey], Study] = {}
        self.cursors: dict[str, HarvestCursor] = {}
        self.conditions: dict[str, HarvestCondition] = {}
        self.expected: dict[str, int | None] = {}
        self.reports: dict[int, Report] = {}
        self.corrections: dict[int, Correction] = {}
        self.waiting: dict[tuple[int, str, str], None] = {}
        self.attempts: dict[str, int] = {}

    @contextmanager
    def write(self) -> Iterator["MemoryUnitOfWork"]:
        with self._unit_of_work(writes=True) as uow:
            yield uow

    @contextmanager
    def read(self) -> Iterator["MemoryUnitOfWork"]:
        with self._unit_of_work(writes=False) as uow:
            yield uow

    def trace(self, event: AuditEvent) -> None:
        with self.write() as uow:
            uow.audit.append(event)
            uow.commit()

    @contextmanager
    def _unit_of_work(self, *, writes: bool) -> Iterator["MemoryUnitOfWork"]:
        if getattr(self._in_this_thread, "busy", False):
            raise RuntimeError("this thread already has a unit of work open")
        self._in_this_thread.busy = True
        try:
            with self._turn:
                uow = MemoryUnitOfWork(self, writes=writes)
                try:
                    yield uow
                finally:
                    uow.close()
        finally:
            self._in_this_thread.busy = False

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        lock = self._claims.setdefault(name, threading.Lock())
        taken = lock.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                lock.release()


class MemoryUnitOfWork:
    """`ports.UnitOfWork` over a MemoryStore."""

    def __init__(self, store: MemoryStore, *, writes: bool) -> None:
        self._store = store
        self._writes = writes
        self._over = False
        self._failed = False
        self._undo: list[Undo] = []
        self.inbox = MemoryInbox(self)
        self.records = MemoryRecords(self)
        self.edges = MemoryEdges(self)
        self.facts = MemoryFacts(self)
        self.memberships = MemoryMemberships(self)
        self.reviews = MemoryReviews(self)
        self.sights = MemorySights(self)
        self.audit = MemoryAuditTrail(self)
        self.outbox = MemoryOutbox(self)
        self.keys = MemoryKeys(self)
        self.kept_answers = MemoryKeptAnswers(self)
        self.models = MemoryModels(self)
        self.relinks = MemoryRelinks(self)
        self.studies = MemoryStudies(self)
        self.harvests = MemoryHarvests(self)
        self.sequences = MemorySequences(self)
        self.reports = MemoryReports(self)
        self.corrections = MemoryCorrections(self)
        self.indicators = MemoryIndicators(self)
        self.searches = MemorySearches(self)
        self.waiting = MemoryWaiting(self)
        self.attempts = MemoryAttempts(self)
        self.subscriptions = MemorySubscriptions(self)

    @property
    def data(self) -> MemoryStore:
        """The store, to read from."""
        if self._over:
            raise RuntimeError("this unit of work is over")
        return self._store

    def commit(self) -> None:
        _ = self.data
        if not self._writes:
            raise StoreError("a reader keeps nothing")
        if self._failed:
            raise StoreError("a statement of this unit of work failed")
        self._undo.clear()
        self._over = True

    def close(self) -> None:
        self._undo_to(0)
        self._over = True

    def require(self, condition: bool, problem: str) -> None:
        """Fail as a database does when a constraint is broken."""
        if not condition:
            self._failed = True
            raise StoreError(problem)

    def writing(self) -> MemoryStore:
        """The store, to write to."""
        self.require(self._writes, "a reader keeps nothing")
        return self.data

    def put(self, target: dict[Any, Any], key: Any, value: Any) -> None:
        """Set one entry of a dictionary, undoably."""
        if key in target:
            before = target[key]
            self._undo.append(lambda: target.__setitem__(key, before))
        else:
            self._undo.append(lambda: target.pop(key))
        target[key] = value

    def drop(self, target: dict[Any, Any], key: Any) -> None:
        """Delete one entry of a dictionary, undoably."""
        before = target.pop(key)
        self._undo.append(lambda: target.__setitem__(key, before))

    def push(self, target: list[Any], value: Any) -> None:
        """Append to a list, undoably."""
        target.append(value)
        self._undo.append(target.pop)

    def include(self, target: set[Any], value: Any) -> None:
        """Add to a set, undoably."""
        if value not in target:
            target.add(value)
            self._undo.append(lambda: target.discard(value))

    def exclude(self, target: set[Any], value: Any) -> None:
        """Take out of a set, undoably."""
        if value in target:
            target.discard(value)
            self._undo.append(lambda: target.add(value))

    def _undo_to(self, mark: int) -> None:
        while len(self._undo) > mark:
            self._undo.pop()()


class _Repository:
    def __init__(self, uow: MemoryUnitOfWork) -> None:
        self._uow = uow


def _name(dedupe_key: str) -> str | None:
    return sha256(dedupe_key.encode("utf-8", "surrogatepass")).hexdigest() if dedupe_key else None


def _line(message: StoredMessage) -> JournalLine:
    envelope = message.envelope
    return JournalLine(
        id=message.id,
        protocol=envelope.protocol,
        source=envelope.source,
        name=_name(envelope.dedupe_key),
        content_hash=envelope.content_hash,
        state=message.state,
        error=message.error,
        sequence=envelope.sequence,
        replay_of=message.replay_of,
        repeats=message.repeats,
        settled_at=message.settled_at,
        settled_by=message.settled_by,
        reply=message.reply,
        is_blank=not envelope.raw,
    )


class MemoryInbox(_Repository):
    """`ports.Inbox`."""

    def add(
        self,
        envelope: Envelope,
        *,
        received_at: datetime,
        state: MessageState,
        place: str = "",
        problem: str = "",
        error: str = "",
        warnings: Sequence[str] = (),
        reply: bytes = b"",
        replay_of: int | None = None,
        repeats: int | None = None,
        original: bool = True,
    ) -> int:
        data = self._uow.writing()
        message_id = len(data.messages) + 1
        if original and envelope.dedupe_key:
            self._uow.require(envelope.dedupe_key not in data.originals, "another message has this name")
            self._uow.put(data.originals, envelope.dedupe_key, message_id)
        message = StoredMessage(
            id=message_id,
            envelope=replace(envelope, source=envelope.source[:200]),
            received_at=received_at,
            state=state,
            place=place,
            problem=problem,
            error=error,
            reply=reply,
            warnings=tuple(warnings),
            replay_of=replay_of,
            repeats=repeats,
        )
        self._uow.put(data.messages, message_id, message)
        return message_id

    def give_up_name(self, message_id: int) -> None:
        data = self._uow.writing()
        name = data.messages[message_id].envelope.dedupe_key
        if data.originals.get(name) == message_id:
            self._uow.drop(data.originals, name)

    def replays_of(self, message_id: int) -> list[StoredMessage]:
        return [message for message in self._uow.data.messages.values() if message.replay_of == message_id]

    def original(self, dedupe_key: str) -> StoredMessage | None:
        data = self._uow.data
        return data.messages.get(data.originals.get(dedupe_key, 0))

    def get(self, message_id: int) -> StoredMessage | None:
        return self._uow.data.messages.get(message_id)

    def settle(
        self, message_id: int, state: MessageState, *, at: datetime, by: str, reason: str = ""
    ) -> None:
        self._change(message_id, state=state, settled_at=at, settled_by=by, settled_reason=reason)

    def release(
        self,
        message_id: int,
        state: MessageState,
        *,
        at: datetime,
        by: str,
        place: str = "",
        problem: str = "",
        error: str = "",
        warnings: Sequence[str] = (),
        reply: bytes = b"",
    ) -> None:
        self._change(
            message_id,
            state=state,
            settled_at=at,
            settled_by=by,
            place=place,
            problem=problem,
            error=error,
            warnings=tuple(warnings),
            reply=reply,
        )

    def _change(self, message_id: int, **values: Any) -> None:
        data = self._uow.writing()
        if message_id not in data.messages:
            raise LookupError("no such message")
        self._uow.put(data.messages, message_id, replace(data.messages[message_id], **values))

    def quarantined_since(self, source: str, since: datetime, *, most: int) -> tuple[int, int]:
        latest = [
            message
            for message in reversed(self._uow.data.messages.values())
            if message.envelope.source == source[:200] and message.state is MessageState.QUARANTINED
        ][:most]
        found = [len(message.envelope.raw) for message in latest if message.received_at >= since]
        return len(found), sum(found)

    def page(
        self,
        *,
        state: MessageState | None = None,
        source: str | None = None,
        problem: str | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[StoredMessage]:
        return [
            message
            for message in self._uow.data.messages.values()
            if message.id > after
            and (problem is None or message.problem == problem)
            and (state is None or message.state is state)
            and (source is None or message.envelope.source == source[:200])
        ][:limit]

    def counts(self) -> dict[str, dict[MessageState, int]]:
        counts: dict[str, dict[MessageState, int]] = {}
        for message in self._uow.data.messages.values():
            counts.setdefault(message.envelope.source, dict.fromkeys(MessageState, 0))[message.state] += 1
        return counts

    def last_received(self) -> dict[str, tuple[datetime, MessageState]]:
        return {m.envelope.source: (m.received_at, m.state) for m in self._uow.data.messages.values()}

    def stopped(self) -> dict[str, dict[tuple[MessageState, str, str], int]]:
        found: dict[str, dict[tuple[MessageState, str, str], int]] = {}
        for message in self._uow.data.messages.values():
            if message.state in STOPPED:
                reasons = found.setdefault(message.envelope.source, {})
                reason = message.state, message.place, message.problem
                reasons[reason] = reasons.get(reason, 0) + 1
        return found

    def by_hour(self, since: datetime) -> dict[str, dict[datetime, dict[MessageState, int]]]:
        found: dict[str, dict[datetime, dict[MessageState, int]]] = {}
        for message in self._uow.data.messages.values():
            hour = message.received_at.replace(minute=0, second=0, microsecond=0)
            if hour + timedelta(hours=1) > since:
                states = found.setdefault(message.envelope.source, {}).setdefault(hour, {})
                states[message.state] = states.get(message.state, 0) + 1
        return found

    def recent(self, limit: int) -> list[Arrival]:
        newest = list(reversed(self._uow.data.messages.values()))[:limit]
        stated = {m.id: self._uow.records.stated_by(m.id) for m in newest}
        return [
            Arrival(
                m.envelope.source,
                m.received_at,
                m.warnings,
                max((told.statement.event_time for told in stated[m.id]), default=None),
            )
            for m in newest
        ]

    def last_id(self) -> int:
        return max(self._uow.data.messages, default=0)

    def lines(self, *, after: int, limit: int) -> list[JournalLine]:
        return [_line(message) for message in self.page(after=after, limit=limit)]

    def lines_of(self, message_ids: Collection[int]) -> dict[int, JournalLine]:
        messages = self._uow.data.messages
        return {one: _line(messages[one]) for one in message_ids if one in messages}

    def lines_in(self, state: MessageState) -> list[JournalLine]:
        return [_line(message) for message in self._uow.data.messages.values() if message.state is state]

    def original_line(self, line: JournalLine) -> JournalLine | None:
        data = self._uow.data
        named = {_name(name): message_id for name, message_id in data.originals.items()}
        first = data.messages.get(named.get(line.name, 0))
        return _line(first) if first else None

    def effects(self, first: int, last: int) -> dict[int, tuple[int, int]]:
        data = self._uow.data
        statements = Counter(one.message_id for one in data.statements.values() if one is not None)
        facts = Counter(fact.message_id for fact in data.facts.values())
        found = {one: (statements[one], facts[one]) for one in range(first, last + 1)}
        return {one: counts for one, counts in found.items() if any(counts)}

    def without_message(self, *, limit: int) -> list[tuple[str, int, int]]:
        data = self._uow.data
        told = [("statement", n, one.message_id) for n, one in data.statements.items() if one is not None]
        told += [("fact", n, one.message_id) for n, one in data.facts.items() if one.message_id is not None]
        return [row for row in told if row[2] not in data.messages][: 2 * limit]

    def blank(self, message_ids: Collection[int]) -> None:
        data = self._uow.writing()
        gone = [data.messages[message_id] for message_id in data.messages.keys() & set(message_ids)]
        names = {(m.envelope.dedupe_key, m.envelope.content_hash) for m in gone if m.envelope.dedupe_key}
        for message_id, message in list(data.messages.items()):
            name = (message.envelope.dedupe_key, message.envelope.content_hash)
            if message_id not in message_ids and message.replay_of not in message_ids and name not in names:
                continue
            self.give_up_name(message_id)
            blanked = replace(message, envelope=replace(message.envelope, raw=b""), reply=b"")
            self._uow.put(data.messages, message_id, blanked)


class MemoryRecords(_Repository):
    """`ports.Records`."""

    def get(self, record_id: int) -> StoredRecord:
        try:
            return self._uow.data.records[record_id]
        except KeyError:
            raise LookupError("no such record") from None

    def by_key(self, key: RecordKey) -> StoredRecord | None:
        data = self._uow.data
        return data.records.get(data.record_ids.get(key, 0))

    def by_keys(self, keys: Collection[RecordKey]) -> dict[RecordKey, StoredRecord]:
        found = [record for key in set(keys) if (record := self.by_key(key))]
        return {record.key: record for record in sorted(found, key=lambda record: record.id)}

    def by_ids(self, record_ids: Collection[int]) -> dict[int, StoredRecord]:
        records = self._uow.data.records
        return {
            record_id: records[record_id] for record_id in sorted(set(record_ids)) if record_id in records
        }

    def by_native_euid(self, euid: str) -> StoredRecord | None:
        data = self._uow.data
        return data.records.get(data.native_euids.get(euid, 0))

    def epochs(self, domain: str, value: str) -> list[StoredRecord]:
        data = self._uow.data
        found = [data.records[record_id] for record_id in data.epochs_of.get((domain, value), ())]
        return sorted(found, key=lambda record: record.key.epoch)

    def all_ids(self) -> list[int]:
        return list(self._uow.data.records)

    def add(self, key: RecordKey, native_euid: str) -> int:
        data = self._uow.writing()
        self._uow.require(key not in data.record_ids, "the record exists")
        self._uow.require(native_euid not in data.native_euids, "another record has this identifier")
        record_id = len(data.records) + 1
        record = StoredRecord(record_id, key, native_euid, None, Demographics(), Traits())
        self._uow.put(data.records, record_id, record)
        self._uow.put(data.record_ids, key, record_id)
        self._uow.push(data.epochs_of.setdefault((key.domain, key.value), []), record_id)
        self._uow.put(data.native_euids, native_euid, record_id)
        return record_id

    def add_folded(self, record: StoredRecord, *, blocking_keys: Sequence[int]) -> int:
        record_id = self.add(record.key, record.native_euid)
        self.save_current(replace(record, id=record_id), blocking_keys=blocking_keys)
        return record_id

    def add_statement(
        self, record_id: int, statement: SourceRecord, *, message_id: int, recorded_at: datetime
    ) -> int:
        data = self._uow.writing()
        self._uow.require(record_id in data.records, "no such record")
        self._uow.require(message_id in data.messages, "no such message")
        statement_id = len(data.statements) + 1
        stored = StoredStatement(statement_id, record_id, statement, message_id, recorded_at)
        self._uow.put(data.statements, statement_id, stored)
        self._uow.push(data.statements_of.setdefault(record_id, []), statement_id)
        return statement_id

    def statements(self, record_id: int) -> list[StoredStatement]:
        data = self._uow.data
        made = [data.statements[statement_id] for statement_id in data.statements_of.get(record_id, ())]
        return [statement for statement in made if statement is not None]

    def statements_of(self, record_ids: Collection[int]) -> dict[int, list[StoredStatement]]:
        return {
            record_id: told for record_id in sorted(set(record_ids)) if (told := self.statements(record_id))
        }

    def statement(self, statement_id: int) -> StoredStatement | None:
        return self._uow.data.statements.get(statement_id)

    def stated_by(self, message_id: int) -> list[StoredStatement]:
        return [s for s in self._uow.data.statements.values() if s is not None and s.message_id == message_id]

    def save_current(self, record: StoredRecord, *, blocking_keys: Sequence[int]) -> None:
        data = self._uow.writing()
        before = self.get(record.id)
        saved = replace(record, key=before.key, native_euid=before.native_euid)
        self._uow.put(data.records, record.id, saved)
        wanted, held = frozenset(blocking_keys), data.keys_of.get(record.id, frozenset())
        self._uow.put(data.keys_of, record.id, wanted)
        for key in held - wanted:
            self._uow.exclude(data.holders[key], record.id)
            self._uow.include(data.past_holders.setdefault(key, set()), record.id)
        for key in wanted - held:
            self._uow.include(data.holders.setdefault(key, set()), record.id)
        findable = is_findable(saved)
        names = data.sketches.get(record.id, {}) if findable else {}
        past = {name: (given, True) for name, (given, _) in names.items()}
        present = {(one.name, one.birth): (one.given, False) for one in sketches_of(saved)}
        self._uow.put(data.sketches, record.id, past | present)
        keys = data.search_keys.get(record.id, {}) if findable else {}
        held_now = dict.fromkeys(keys_of(saved), False)
        self._uow.put(data.search_keys, record.id, dict.fromkeys(keys, True) | held_now)

    def blocking_keys(self, record_ids: Collection[int]) -> dict[int, frozenset[int]]:
        keys_of = self._uow.data.keys_of
        return {record_id: keys for record_id in sorted(set(record_ids)) if (keys := keys_of.get(record_id))}

    def candidates(
        self, keys: Sequence[int], *, excluding: int | None, block_cap: int, past: bool = False
    ) -> Candidates:
        data = self._uow.data
        tables = (data.holders, data.past_holders) if past else (data.holders,)
        blocks = [set().union(*(table.get(key, ()) for table in tables)) for key in set(keys)]
        ids = set().union(*(block for block in blocks if len(block) <= block_cap)) - {excluding}
        oversized = sum(len(block) > block_cap for block in blocks)
        return Candidates(tuple(data.records[record_id] for record_id in sorted(ids)), oversized)

    def sharing(self, keys: Collection[int], *, block_cap: int) -> dict[int, list[StoredRecord]]:
        data = self._uow.data
        blocks = {key: data.holders.get(key, ()) for key in set(keys)}
        return {
            key: [data.records[record_id] for record_id in sorted(block)]
            for key, block in blocks.items()
            if 0 < len(block) <= block_cap
        }

    def erase(self, record_id: int) -> None:
        data = self._uow.writing()
        before = self.get(record_id)
        nothing = StoredRecord(record_id, before.key, before.native_euid, None, Demographics(), Traits())
        self.save_current(nothing, blocking_keys=())
        for holders in data.past_holders.values():
            self._uow.exclude(holders, record_id)

    def erase_statements(self, statement_ids: Collection[int]) -> None:
        data = self._uow.writing()
        for statement_id in data.statements.keys() & set(statement_ids):
            self._uow.put(data.statements, statement_id, None)


class MemorySearches(_Repository):
    """`ports.Searches`."""

    def sketched(
        self,
        names: Sequence[Range],
        births: Sequence[Range],
        *,
        by_birth: bool,
        domains: Collection[str],
        most: int,
        past: bool = False,
        named: Callable[[str], bool] | None = None,
        given: Callable[[str], bool] | None = None,
    ) -> list[int] | None:
        found = [
            (record_id, sketch)
            for record_id, sketch in self.sketches(self._uow.data.sketches, domains=domains, past=past)
            if _in_any(sketch.name, names) and _in_any(sketch.birth, births)
        ]
        if len(found) > most:
            return None
        return sorted(
            {
                record_id
                for record_id, sketch in found
                if (named is None or named(sketch.name)) and (given is None or given(sketch.given))
            }
        )

    def keyed(
        self,
        keys: Collection[int],
        *,
        domains: Collection[str],
        most: int,
        past: bool = False,
        among: Collection[int] | None = None,
    ) -> list[int] | None:
        found = [
            record_id
            for record_id, held in self._uow.data.search_keys.items()
            if self._domain(record_id) in domains
            and (among is None or record_id in among)
            and any(key in keys for key, was in held.items() if past or not was)
        ]
        return found if len(found) <= most else None

    def numbered(self, prefixes: Collection[RecordKey], *, most: int) -> list[int] | None:
        found = [
            record.id
            for record in self._uow.data.records.values()
            if any(record.key.domain == p.domain and record.key.value.startswith(p.value) for p in prefixes)
        ]
        return found if len(found) <= most else None

    def within(self, domains: Collection[str], *, most: int) -> list[int] | None:
        found = [record.id for record in self._uow.data.records.values() if record.key.domain in domains]
        return found if len(found) <= most else None

    def sketches(
        self, record_ids: Collection[int], *, domains: Collection[str], past: bool = False
    ) -> list[tuple[int, Sketch]]:
        return [
            (record_id, Sketch(name, birth, given))
            for record_id in sorted(set(record_ids))
            if self._domain(record_id) in domains
            for (name, birth), (given, was) in self._uow.data.sketches.get(record_id, {}).items()
            if past or not was
        ]

    def keys(
        self, record_ids: Collection[int], *, domains: Collection[str], past: bool = False
    ) -> list[tuple[int, int]]:
        return [
            (record_id, key)
            for record_id in sorted(set(record_ids))
            if self._domain(record_id) in domains
            for key, was in self._uow.data.search_keys.get(record_id, {}).items()
            if past or not was
        ]

    def beside(self, record_ids: Collection[int]) -> Iterator[tuple[int, Beside]]:
        records = self._uow.data.records
        for record_id in sorted(records.keys() & set(record_ids)):
            yield record_id, Beside(*(getattr(records[record_id].demographics, f) for f in Beside._fields))

    def _domain(self, record_id: int) -> str:
        record = self._uow.data.records.get(record_id)
        return record.key.domain if record is not None else ""


def _in_any(value: Any, ranges: Sequence[Range]) -> bool:
    return not ranges or any(one.first <= value <= one.last for one in ranges)


class MemoryEdges(_Repository):
    """`ports.Edges`."""

    def replace(self, record_id: int, edges: Sequence[Edge]) -> None:
        data = self._uow.writing()
        for pair in list(data.neighbours.get(record_id, ())):
            self._uow.drop(data.edges, pair)
            for end in pair:
                self._uow.exclude(data.neighbours[end], pair)
        for edge in edges:
            pair = (edge.left_id, edge.right_id)
            self._uow.require(pair not in data.edges, "the edge exists")
            self._uow.require(set(pair) <= data.records.keys(), "no such record")
            self._uow.put(data.edges, pair, edge)
            for end in pair:
                self._uow.include(data.neighbours.setdefault(end, set()), pair)

    def touching(self, record_ids: Collection[int]) -> list[Edge]:
        data = self._uow.data
        pairs = {pair for record_id in record_ids for pair in data.neighbours.get(record_id, ())}
        return [data.edges[pair] for pair in sorted(pairs)]


class MemoryFacts(_Repository):
    """`ports.Facts`."""

    def add(self, fact: Fact) -> int:
        data = self._uow.writing()
        for named, known in (
            (fact.message_id, data.messages),
            (fact.statement_id, data.statements),
            (fact.act_id, data.facts),
        ):
            self._uow.require(named is None or named in known, "it names what is not there")
        fact_id = len(data.facts) + 1
        self._uow.put(data.facts, fact_id, replace(fact, id=fact_id))
        for key in {fact.left, fact.right}:
            self._uow.push(data.facts_about.setdefault(key, []), fact_id)
        return fact_id

    def get(self, fact_id: int) -> Fact | None:
        return self._uow.data.facts.get(fact_id)

    def withdraw(self, fact_id: int, *, at: datetime, by: str) -> None:
        self._change(fact_id, withdrawn_at=at, withdrawn_by=by)

    def ask_withdrawal(self, fact_id: int, *, by: str) -> None:
        self._change(fact_id, withdrawal_asked_by=by)

    def confirm(self, fact_id: int, *, at: datetime, by: str) -> None:
        fact = self._uow.data.facts.get(fact_id)
        if fact is not None and (fact.stands or not fact.second_needed):
            raise LookupError("no such fact, or it is beyond that")
        self._change(fact_id, confirmed_at=at, confirmed_by=by)

    def _change(self, fact_id: int, **changed: Any) -> None:
        data = self._uow.writing()
        fact = data.facts.get(fact_id)
        if fact is None or fact.withdrawn_at is not None:
            raise LookupError("no such fact, or it is beyond that")
        self._uow.put(data.facts, fact_id, replace(fact, **changed))

    def standing(self, keys: Collection[RecordKey]) -> list[Fact]:
        return [fact for fact in self.ever(keys) if fact.stands]

    def ever(self, keys: Collection[RecordKey]) -> list[Fact]:
        data = self._uow.data
        return [data.facts[i] for i in sorted({i for key in keys for i in data.facts_about.get(key, ())})]

    def of_act(self, fact_id: int) -> list[Fact]:
        return [fact for fact in self._uow.data.facts.values() if fact_id in (fact.id, fact.act_id)]

    def page(self, *, after: int = 0, limit: int = 50) -> list[Fact]:
        return [fact for fact in self._uow.data.facts.values() if fact.id > after][:limit]


class MemoryMemberships(_Repository):
    """`ports.Memberships`."""

    def current(self, record_ids: Collection[int]) -> dict[int, str]:
        return {record_id: euid for record_id in sorted(set(record_ids)) if (euid := self.euid_of(record_id))}

    def members(self, euid: str, *, as_of: datetime | None = None) -> list[int]:
        ever = self._uow.data.members.get(euid, ())
        return sorted(record_id for record_id in ever if self.euid_of(record_id, as_of=as_of) == euid)

    def sets_of(self, record_ids: Collection[int], *, as_of: datetime | None = None) -> dict[str, list[int]]:
        euids = {self.euid_of(record_id, as_of=as_of) for record_id in record_ids} - {None}
        return {euid: self.members(euid, as_of=as_of) for euid in sorted(filter(None, euids))}

    def ever_members(self, euid: str) -> list[int]:
        return sorted(self._uow.data.members.get(euid, ()))

    def euid_of(self, record_id: int, *, as_of: datetime | None = None) -> str | None:
        for membership in reversed(self._uow.data.memberships.get(record_id, ())):
            if as_of is None:
                return membership.euid
            if membership.valid_from <= as_of and (
                membership.valid_to is None or as_of < membership.valid_to
            ):
                return membership.euid
        return None

    def move(self, record_id: int, euid: str, *, at: datetime, cause: str, model_version: str) -> None:
        data = self._uow.writing()
        self._uow.require(record_id in data.records, "no such record")
        before = data.memberships.get(record_id, [])
        ended: list[Membership] = []
        if before:
            at = max(at, before[-1].valid_from)
            ended = [*before[:-1], replace(before[-1], valid_to=at)]
        begun = Membership(record_id, euid, at, None, cause, model_version)
        self._uow.put(data.memberships, record_id, [*ended, begun])
        self._uow.include(data.members.setdefault(euid, set()), record_id)

    def history(self, record_id: int) -> list[Membership]:
        return list(self._uow.data.memberships.get(record_id, ()))


class MemoryReviews(_Repository):
    """`ports.Reviews`."""

    def get(self, task_id: int) -> Task | None:
        return self._uow.data.tasks.get(task_id)

    def touching(self, record_ids: Collection[int]) -> list[Task]:
        data = self._uow.data
        ids = {task_id for record_id in record_ids for task_id in data.tasks_about.get(record_id, ())}
        return [data.tasks[task_id] for task_id in sorted(ids)]

    def open(self, wanted: WantedTask, *, at: datetime, sight: int = WHOLE) -> int:
        data = self._uow.writing()
        self._uow.require((sight, wanted.key) not in data.task_ids, "the task exists")
        self._uow.require({wanted.key.left_id, wanted.key.right_id} <= data.records.keys(), "no such record")
        task_id = len(data.tasks) + 1
        task = Task(
            id=task_id,
            key=wanted.key,
            kind=wanted.kind,
            state=TaskState.OPEN,
            reason=wanted.reason,
            weight_bits=wanted.weight_bits,
            version=1,
            opened_at=at,
            changed_at=at,
            fingerprint=dict(wanted.fingerprint),
            priority=wanted.priority,
            sight=sight,
        )
        self._keep(task)
        self._uow.put(data.task_ids, (sight, wanted.key), task_id)
        for end in {wanted.key.left_id, wanted.key.right_id}:
            self._uow.push(data.tasks_about.setdefault(end, []), task_id)
        return task_id

    def change(self, task: Task, *, at: datetime) -> Task:
        data = self._uow.writing()
        before = data.tasks.get(task.id)
        if before is None:
            raise LookupError("no such task")
        self._uow.require(task.fact_id is None or task.fact_id in data.facts, "no such fact")
        changed = replace(
            task,
            key=before.key,
            opened_at=before.opened_at,
            version=before.version + 1,
            changed_at=at,
            fingerprint=dict(task.fingerprint),
            claimed_by=before.claimed_by,
            claimed_at=before.claimed_at,
            sight=before.sight,
        )
        self._keep(changed)
        return changed

    def _keep(self, task: Task) -> None:
        data = self._uow.writing()
        self._uow.put(data.tasks, task.id, task)
        version = replace(task, claimed_by="", claimed_at=None)
        self._uow.push(data.task_versions.setdefault(task.id, []), version)

    def claim(self, task_id: int, *, by: str, at: datetime | None) -> None:
        data = self._uow.writing()
        task = data.tasks.get(task_id)
        if task is None:
            raise LookupError("no such task")
        self._uow.put(data.tasks, task_id, replace(task, claimed_by=by, claimed_at=at))

    def by_fact(self, fact_id: int) -> list[Task]:
        return [task for task in self._uow.data.tasks.values() if task.fact_id == fact_id]

    def page(
        self,
        *,
        states: Collection[TaskState],
        kind: str | None = None,
        after: int = 0,
        limit: int = 50,
        as_of: datetime | None = None,
        sight: int | None = WHOLE,
    ) -> list[Task]:
        data = self._uow.data
        tasks = list(data.tasks.values())
        if as_of is not None:
            then = [
                [v for v in versions if v.changed_at <= as_of] for versions in data.task_versions.values()
            ]
            tasks = [versions[-1] for versions in then if versions]
        asked = _asked(tasks, states, kind, sight)
        return [task for task in asked if task.id > after][:limit]

    def urgent(
        self,
        *,
        states: Collection[TaskState],
        kind: str | None = None,
        after: Task | None = None,
        limit: int = 50,
        sight: int = WHOLE,
    ) -> list[Task]:
        queue = sorted(_asked(self._uow.data.tasks.values(), states, kind, sight), key=_place)
        return [task for task in queue if after is None or _place(task) > _place(after)][:limit]

    def history(self, task_ids: Collection[int]) -> list[Task]:
        versions = self._uow.data.task_versions
        return [task for task_id in sorted(set(task_ids)) for task in versions.get(task_id, ())]

    def counts(self) -> dict[TaskState, int]:
        counts = dict.fromkeys(TaskState, 0)
        for task in self._uow.data.tasks.values():
            counts[task.state] += task.sight == WHOLE
        return counts


def _asked(
    tasks: Iterable[Task], states: Collection[TaskState], kind: str | None, sight: int | None
) -> list[Task]:
    return [
        task
        for task in tasks
        if task.state in states
        and (kind is None or task.kind == kind)
        and (sight is None or task.sight == sight)
    ]


def _place(task: Task) -> tuple[int, int]:
    return -task.priority, task.id


class MemorySights(_Repository):
    """`ports.Sights`."""

    def kept(self) -> list[Sight]:
        return [sight for sight, is_kept in self._uow.data.sights.values() if is_kept]

    def of(self, domains: Collection[str]) -> Sight | None:
        return next((sight for sight in self.kept() if sight.domains == frozenset(domains)), None)

    def keep(self, domains: Collection[str]) -> Sight:
        data = self._uow.writing()
        known = (one for one, _ in data.sights.values() if one.domains == frozenset(domains))
        number = next((one.id for one in known), len(data.sights) + 1)
        sight = Sight(number, frozenset(domains))
        self._uow.put(data.sights, number, (sight, True))
        return sight

    def advance(self, sight_id: int, position: int | None) -> None:
        sight, is_kept = self._of(sight_id)
        self._uow.put(self._uow.data.sights, sight_id, (replace(sight, position=position), is_kept))

    def drop(self, sight_id: int) -> None:
        self._uow.put(self._uow.data.sights, sight_id, (self._of(sight_id)[0], False))

    def _of(self, sight_id: int) -> tuple[Sight, bool]:
        data = self._uow.writing()
        if sight_id not in data.sights:
            raise LookupError("no such sight")
        return data.sights[sight_id]


class MemoryAuditTrail(_Repository):
    """`ports.AuditTrail`."""

    def append(self, event: AuditEvent) -> None:
        data = self._uow.writing()
        event = replace(event, at=event.at.astimezone(UTC), details=deepcopy(event.details))
        sequence = len(data.audit) + 1
        previous_hash = data.audit[-1].hash if data.audit else GENESIS
        chained = ChainedEvent(sequence, previous_hash, chain_hash(sequence, previous_hash, event), event)
        self._uow.push(data.audit, chained)

    def append_all(self, events: Sequence[AuditEvent]) -> None:
        for event in events:
            self.append(event)

    def chain(self) -> Iterator[ChainedEvent]:
        yield from self._uow.data.audit

    def get(self, sequence: int) -> ChainedEvent | None:
        return next((item for item in self._uow.data.audit if item.sequence == sequence), None)

    def newest(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[ChainedEvent]:
        found = [
            item
            for item in reversed(self._uow.data.audit)
            if (since is None or item.event.at >= since)
            and (until is None or item.event.at < until)
            and (before is None or item.sequence < before)
        ]
        return found[:limit]


class MemoryOutbox(_Repository):
    """`ports.Outbox`."""

    def add(
        self,
        *,
        consumer: str,
        kind: str,
        payload: Mapping[str, Any],
        created_at: datetime,
        channel: Channel = Channel.MLLP,
    ) -> int:
        data = self._uow.writing()
        row_id = len(data.outbox) + 1
        control_id = f"N{row_id:019d}"
        row = OutboxRow(row_id, consumer, kind, deepcopy(dict(payload)), created_at, channel, control_id)
        self._uow.put(data.outbox, row_id, row)
        return row_id

    def get(self, row_id: int) -> OutboxRow | None:
        return self._uow.data.outbox.get(row_id)

    def page(
        self,
        *,
        after: int = 0,
        limit: int = 50,
        consumer: str | None = None,
        state: Delivery | None = None,
    ) -> list[OutboxRow]:
        return [
            row
            for row in self._uow.data.outbox.values()
            if row.id > after
            and (consumer is None or row.consumer == consumer)
            and (state is None or row.state is state)
        ][:limit]

    def to(self, consumer: str, *, until: datetime) -> list[OutboxRow]:
        rows = self._uow.data.outbox.values()
        return [row for row in rows if row.consumer == consumer and row.created_at <= until]

    def _pending(self) -> dict[Queue, list[OutboxRow]]:
        queues: dict[Queue, list[OutboxRow]] = {}
        for row in self._uow.data.outbox.values():
            if row.state is Delivery.PENDING:
                queues.setdefault(row.queue, []).append(row)
        return queues

    def due(self, *, at: datetime) -> list[Queue]:
        return [
            queue
            for queue, (first, *_) in self._pending().items()
            if queue.consumer not in self._uow.data.paused
            and (first.next_attempt_at is None or first.next_attempt_at <= at)
        ]

    def head(self, queue: Queue, *, limit: int = 50) -> list[OutboxRow]:
        return self._pending().get(queue, [])[:limit]

    def change(self, row: OutboxRow) -> None:
        data = self._uow.writing()
        before = data.outbox.get(row.id)
        if before is None:
            raise LookupError("no such row")
        changed = replace(
            before,
            state=row.state,
            attempts=row.attempts,
            next_attempt_at=row.next_attempt_at,
            delivered_at=row.delivered_at,
            error=row.error,
        )
        self._uow.put(data.outbox, row.id, changed)

    def last_told(self, audience: str, identifiers: Collection[Identifier]) -> list[frozenset[Identifier]]:
        told = self._uow.data.told
        return sorted({told[audience, one] for one in identifiers if (audience, one) in told}, key=min)

    def note_told(
        self,
        audience: str,
        *,
        instead: Collection[frozenset[Identifier]],
        sets: Collection[frozenset[Identifier]],
    ) -> None:
        data = self._uow.writing()
        for one in {one for members in instead for one in members}:
            self._uow.drop(data.told, (audience, one))
        for members in sets:
            for one in members:
                self._uow.require((audience, one) not in data.told, "it was told of in another set")
                self._uow.put(data.told, (audience, one), members)

    def backlogs(self) -> list[Backlog]:
        pending = self._pending()
        dead: dict[Queue, int] = {}
        for row in self._uow.data.outbox.values():
            if row.state is Delivery.DEAD:
                dead[row.queue] = dead.get(row.queue, 0) + 1
        return [
            Backlog(queue, len(rows), dead.get(queue, 0), min((r.created_at for r in rows), default=None))
            for queue in sorted(
                pending.keys() | dead.keys(), key=lambda queue: (queue.consumer, queue.channel)
            )
            for rows in (pending.get(queue, []),)
        ]

    def pause(self, consumer: str, *, at: datetime, by: str) -> bool:
        data = self._uow.writing()
        if consumer in data.paused:
            return False
        self._uow.put(data.paused, consumer, at)
        return True

    def resume(self, consumer: str) -> bool:
        data = self._uow.writing()
        if consumer not in data.paused:
            return False
        self._uow.drop(data.paused, consumer)
        return True

    def paused(self) -> dict[str, datetime]:
        return dict(sorted(self._uow.data.paused.items()))


class MemorySubscriptions(_Repository):
    """`ports.Subscriptions`."""

    def add(self, subscription: Subscription) -> int:
        data = self._uow.writing()
        subscription_id = len(data.subscriptions) + 1
        self._uow.put(data.subscriptions, subscription_id, replace(subscription, id=subscription_id))
        return subscription_id

    def get(self, subscription_id: int) -> Subscription | None:
        return self._uow.data.subscriptions.get(subscription_id)

    def all(self, *, owner: str | None = None) -> list[Subscription]:
        return [one for one in self._uow.data.subscriptions.values() if owner in (None, one.owner)]

    def active(self) -> list[Subscription]:
        return [one for one in self.all() if one.status is SubscriptionStatus.ACTIVE]

    def change(self, subscription_id: int, *, status: SubscriptionStatus, error: str = "") -> None:
        data = self._uow.writing()
        before = data.subscriptions.get(subscription_id)
        if before is None:
            raise LookupError("no such subscription")
        self._uow.put(data.subscriptions, subscription_id, replace(before, status=status, error=error))


class MemoryKeys(_Repository):
    """`ports.Keys`."""

    def add(self, *, name: str, secret_hash: str, role: str, domains: Sequence[str], at: datetime) -> int:
        data = self._uow.writing()
        for hash_, key in data.api_keys.values():
            self._uow.require(hash_ != secret_hash, "another key has this secret")
            self._uow.require(key.name != name or key.revoked_at is not None, "another key has this name")
        key_id = len(data.api_keys) + 1
        key = StoredKey(key_id, name, role, tuple(domains), at, None)
        self._uow.put(data.api_keys, key_id, (secret_hash, key))
        return key_id

    def find(self, secret_hash: str) -> StoredKey | None:
        return next((key for hash_, key in self._uow.data.api_keys.values() if hash_ == secret_hash), None)

    def all(self) -> list[StoredKey]:
        return [key for _, key in self._uow.data.api_keys.values()]

    def revoke(self, name: str, *, at: datetime) -> bool:
        data = self._uow.writing()
        for key_id, (hash_, key) in data.api_keys.items():
            if key.name == name and key.revoked_at is None:
                self._uow.put(data.api_keys, key_id, (hash_, replace(key, revoked_at=at)))
                return True
        return False


class MemoryKeptAnswers(_Repository):
    """`ports.KeptAnswers`."""

    def find(self, caller: str, key: str) -> KeptAnswer | None:
        found = self._uow.data.kept_answers.get((caller, key))
        return found[1] if found is not None else None

    def claim(self, caller: str, key: str, fingerprint: str, *, at: datetime) -> bool:
        data = self._uow.writing()
        if (caller, key) in data.kept_answers:
            return False
        self._uow.put(data.kept_answers, (caller, key), (at, KeptAnswer(fingerprint)))
        return True

    def keep(self, caller: str, key: str, *, status: int, media_type: str, body: bytes) -> None:
        data = self._uow.writing()
        if (caller, key) in data.kept_answers:
            at, claimed = data.kept_answers[caller, key]
            kept = replace(claimed, status=status, media_type=media_type, body=body)
            self._uow.put(data.kept_answers, (caller, key), (at, kept))

    def forget(self, *, before: datetime) -> None:
        data = self._uow.writing()
        for name in [name for name, (at, _) in data.kept_answers.items() if at < before]:
            self._uow.drop(data.kept_answers, name)

    def blank(self) -> None:
        data = self._uow.writing()
        for name, (at, kept) in list(data.kept_answers.items()):
            self._uow.put(data.kept_answers, name, (at, KeptAnswer(kept.fingerprint)))


class MemoryModels(_Repository):
    """`ports.Models`."""

    def add(self, *, version: str, digest: str, document: Mapping[str, Any], at: datetime) -> None:
        data = self._uow.writing()
        self._uow.require(version not in data.models, "another model has this version")
        stored = StoredModel(version, digest, deepcopy(dict(document)), at, False, None, "")
        self._uow.put(data.models, version, stored)

    def get(self, version: str) -> StoredModel | None:
        return self._uow.data.models.get(version)

    def active(self) -> StoredModel | None:
        return next((model for model in self.all() if model.active), None)

    def all(self) -> list[StoredModel]:
        return list(self._uow.data.models.values())

    def activate(self, version: str | None, *, at: datetime, by: str) -> None:
        data = self._uow.writing()
        for model in self.all():
            if model.active:
                self._uow.put(data.models, model.version, replace(model, active=False))
        if version is None:
            return
        if version not in data.models:
            raise LookupError("no such model")
        chosen = replace(data.models[version], active=True, activated_at=at, activated_by=by)
        self._uow.put(data.models, version, chosen)


class MemoryRelinks(_Repository):
    """`ports.Relinks`."""

    def begin(self, *, model_version: str, at: datetime, by: str) -> StoredRelink:
        data = self._uow.writing()
        if self.unfinished() is not None:
            raise RuntimeError("a relink is not finished")
        begun = StoredRelink(len(data.relinks) + 1, model_version, at, by, 0, None)
        self._uow.put(data.relinks, begun.id, begun)
        return begun

    def unfinished(self) -> StoredRelink | None:
        return next((relink for relink in self.all() if relink.finished_at is None), None)

    def advance(self, relink_id: int, *, position: int) -> None:
        self._change(relink_id, position=position)

    def finish(self, relink_id: int, *, at: datetime) -> None:
        self._change(relink_id, finished_at=at)

    def _change(self, relink_id: int, **changed: Any) -> None:
        data = self._uow.writing()
        relink = data.relinks.get(relink_id)
        if relink is None or relink.finished_at is not None:
            raise LookupError("no such relink is unfinished")
        self._uow.put(data.relinks, relink_id, replace(relink, **changed))

    def all(self) -> list[StoredRelink]:
        return list(self._uow.data.relinks.values())


class MemoryStudies(_Repository):
    """`ports.Studies`."""

    def keep(self, study: Study) -> None:
        data = self._uow.writing()
        self._uow.require(study.message_id in data.messages, "no such message")
        known = data.studies.get(study.key)
        self._uow.put(data.studies, study.key, known.with_more(study) if known else study)

    def of(self, keys: Collection[RecordKey]) -> list[Study]:
        wanted = {key._replace(epoch=0) for key in keys}
        return self._found(lambda study: study.record in wanted)

    def forget(self, uid: str, source: str, record: RecordKey) -> None:
        data = self._uow.writing()
        if (uid, source, record) in data.studies:
            self._uow.drop(data.studies, (uid, source, record))

    def of_uid(self, uid: str) -> list[Study]:
        return self._found(lambda study: study.uid == uid)

    def _found(self, is_wanted: Callable[[Study], bool]) -> list[Study]:
        return sorted(filter(is_wanted, self._uow.data.studies.values()), key=lambda study: study.key)

    def erase(self, message_ids: Collection[int]) -> None:
        data = self._uow.writing()
        for key, study in list(data.studies.items()):
            if study.message_id in message_ids:
                self._uow.drop(data.studies, key)


class MemoryHarvests(_Repository):
    """`ports.Harvests`."""

    def get(self, source: str) -> HarvestCursor | None:
        return self._uow.data.cursors.get(source)

    def put(self, source: str, cursor: HarvestCursor, *, at: datetime) -> None:
        self._uow.put(self._uow.writing().cursors, source, cursor)

    def condition(self, source: str) -> HarvestCondition | None:
        data = self._uow.data
        return data.conditions.get(source, HarvestCondition() if source in data.cursors else None)

    def note(self, source: str, condition: HarvestCondition, *, at: datetime) -> None:
        data = self._uow.writing()
        self._uow.put(data.conditions, source, condition)
        if source not in data.cursors:
            self._uow.put(data.cursors, source, HarvestCursor())


class MemorySequences(_Repository):
    """`ports.Sequences`."""

    def expected(self, source: str) -> int | None:
        return self._uow.data.expected.get(source)

    def expect(self, source: str, number: int | None) -> None:
        self._uow.put(self._uow.writing().expected, source, number)


class MemoryWaiting(_Repository):
    """`ports.Waiting`."""

    def add(self, message_id: int, source: str, patients: Collection[str]) -> None:
        data = self._uow.writing()
        self._uow.require(message_id in data.messages or not patients, "no such message")
        for patient in sorted(set(patients)):
            self._uow.put(data.waiting, (message_id, source, patient), None)

    def remove(self, message_id: int) -> None:
        data = self._uow.writing()
        for row in [row for row in data.waiting if row[0] == message_id]:
            self._uow.drop(data.waiting, row)

    def ahead(self, source: str, patients: Collection[str]) -> int | None:
        rows = self._uow.data.waiting
        return max((row[0] for row in rows if row[1] == source and row[2] in patients), default=None)

    def next_free(self) -> int | None:
        data = self._uow.data
        free = {
            message_id
            for message_id, _, _ in data.waiting
            if data.messages[message_id].state is MessageState.PARKED
        } - {
            mine
            for mine, source, patient in data.waiting
            for other, *where in data.waiting
            if where == [source, patient] and other < mine
        }
        return min(free, default=None)

    def all(self) -> list[tuple[int, str, str]]:
        return sorted(self._uow.data.waiting)


class MemoryAttempts(_Repository):
    """`ports.Attempts`."""

    def tries(self, digest: str) -> int:
        return self._uow.data.attempts.get(digest, 0)

    def count(self, digests: Collection[str], *, at: datetime) -> None:
        for digest in set(digests):
            self.give_up(digest, tries=self.tries(digest) + 1, at=at)

    def give_up(self, digest: str, *, tries: int, at: datetime) -> None:
        self._uow.put(self._uow.writing().attempts, digest, tries)

    def clear(self, digest: str) -> None:
        data = self._uow.writing()
        if digest in data.attempts:
            self._uow.drop(data.attempts, digest)

    def all(self) -> dict[str, int]:
        return dict(self._uow.data.attempts)


class MemoryReports(_Repository):
    """`ports.Reports`."""

    def add(self, report: Report) -> int:
        data = self._uow.writing()
        self._uow.require(report.fact_id is None or report.fact_id in data.facts, "no such fact")
        report_id = len(data.reports) + 1
        known = tuple(sorted(key for key in report.about if key in data.record_ids))
        self._uow.put(data.reports, report_id, replace(report, id=report_id, about=known))
        return report_id

    def get(self, report_id: int) -> Report | None:
        return self._uow.data.reports.get(report_id)

    def change(self, report: Report) -> Report:
        data = self._uow.writing()
        before = data.reports.get(report.id)
        if before is None:
            raise LookupError("no such report")
        changed = replace(
            before,
            version=before.version + 1,
            changed_at=report.changed_at,
            state=report.state,
            fact_id=report.fact_id,
            decided_by=report.decided_by,
            answer=report.answer,
        )
        self._uow.put(data.reports, report.id, changed)
        return changed

    def page(
        self,
        *,
        states: Collection[ReportState],
        actor: str | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[Report]:
        return [
            report
            for report in self._uow.data.reports.values()
            if report.id > after and report.state in states and actor in (None, report.actor)
        ][:limit]

    def about(self, record_ids: Collection[int]) -> list[Report]:
        keys = {record.key for record in self._uow.records.by_ids(record_ids).values()}
        return [report for report in self._uow.data.reports.values() if keys & set(report.about)]

    def blank(self, record_ids: Collection[int]) -> None:
        data = self._uow.writing()
        for report in self.about(record_ids):
            self._uow.put(data.reports, report.id, replace(report, comment="", answer=""))


class MemoryCorrections(_Repository):
    """`ports.Corrections`."""

    def add(self, correction: Correction) -> int:
        data = self._uow.writing()
        self._uow.require({correction.left_id, correction.right_id} <= data.records.keys(), "no such record")
        taken = any(_asked_as(one) == _asked_as(correction) for one in data.corrections.values())
        self._uow.require(not taken, "it was asked already")
        correction_id = len(data.corrections) + 1
        self._uow.put(data.corrections, correction_id, replace(correction, id=correction_id))
        return correction_id

    def get(self, correction_id: int) -> Correction | None:
        return self._uow.data.corrections.get(correction_id)

    def change(self, correction: Correction) -> Correction:
        data = self._uow.writing()
        before = data.corrections.get(correction.id)
        if before is None:
            raise LookupError("no such request")
        changed = replace(
            before,
            version=before.version + 1,
            due_at=correction.due_at,
            outbox_id=correction.outbox_id,
            settled=correction.settled,
            settled_at=correction.settled_at,
            settled_by=correction.settled_by,
            withdrawn_at=correction.withdrawn_at,
            withdrawn_by=correction.withdrawn_by,
        )
        self._uow.put(data.corrections, correction.id, changed)
        return changed

    def touching(self, record_ids: Collection[int]) -> list[Correction]:
        return [
            one
            for one in self._uow.data.corrections.values()
            if one.withdrawn_at is None and {one.left_id, one.right_id} & set(record_ids)
        ]

    def of_cause(self, cause: str) -> list[Correction]:
        return [
            one for one in self._uow.data.corrections.values() if one.wanted.cause.partition(".")[0] == cause
        ]

    def page(
        self,
        *,
        is_open: bool | None = None,
        kind: CorrectionKind | None = None,
        overdue_at: datetime | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[Correction]:
        return [
            one
            for one in self._uow.data.corrections.values()
            if one.id > after
            and is_open in (None, one.is_open)
            and kind in (None, one.kind)
            and (overdue_at is None or (one.is_open and one.due_at <= overdue_at))
        ][:limit]

    def blank(self, record_ids: Collection[int]) -> None:
        data = self._uow.writing()
        for one in list(data.corrections.values()):
            if {one.left_id, one.right_id} & set(record_ids):
                blanked = replace(one, wanted=replace(one.wanted, expected={}, before={}))
                self._uow.put(data.corrections, one.id, blanked)


def _asked_as(correction: Correction) -> tuple[str, CorrectionKind, int, int]:
    return correction.wanted.cause, correction.kind, correction.left_id, correction.right_id


class MemoryIndicators(_Repository):
    """`ports.Indicators`."""

    def figures(self, domains: Collection[str], *, at: datetime, sight: int = WHOLE) -> Figures:
        data = self._uow.data
        seen = {i: record for i, record in data.records.items() if record.key.domain in domains}
        retired = {f.right for f in data.facts.values() if f.kind in RETIRING | CLOSING and f.stands}
        active = {
            i: record
            for i, record in seen.items()
            if record.first_event_time is not None and record.key not in retired
        }
        codes = [*IdentityStatus, *IdentityAttribute]
        identities: dict[str, dict[str, int]] = {}
        together: dict[tuple[str, str], int] = {}
        for record_id, record in active.items():
            counts = identities.setdefault(record.key.domain, dict.fromkeys(map(str, codes), 0))
            for code in (record.traits.status, *record.traits.attributes):
                counts[code] += 1
            pair = record.key.domain, self._uow.memberships.euid_of(record_id) or ""
            together[pair] = together.get(pair, 0) + 1
        tasks: dict[str, tuple[int, datetime]] = {}
        duplicates: Counter[str] = Counter()
        for task in data.tasks.values():
            ends = {task.key.left_id, task.key.right_id}
            if task.sight == sight and task.state in LIVE_STATES and ends <= seen.keys():
                if sight != WHOLE and task.key.topic is Topic.DUPLICATE:
                    duplicates[seen[task.key.left_id].key.domain] += 1
                count, oldest = tasks.get(task.kind.value, (0, task.opened_at))
                tasks[task.kind.value] = count + 1, min(oldest, task.opened_at)
        reports = [r for r in data.reports.values() if {key.domain for key in r.about} <= set(domains)]
        took = []
        for report in reports:
            done = [
                one.settled_at
                for one in self._uow.corrections.of_cause(f"report/{report.id}")
                if one.settled is Followed.DONE and one.withdrawn_at is None and one.settled_at is not None
            ]
            if done and report.state in (ReportState.CORRECTED, ReportState.CLOSED):
                took.append((max(done) - report.received_at).total_seconds())
        overdue: dict[str, tuple[int, int]] = {}
        for one in data.corrections.values():
            if one.is_open and {one.left_id, one.right_id} <= seen.keys():
                late, asked = overdue.get(one.source, (0, 0))
                overdue[one.source] = late + (one.due_at <= at), asked + 1
        withdrawn: list[str] = []
        for statement in data.statements.values():
            if statement is None or statement.record_id not in seen:
                continue
            message = data.messages[statement.message_id]
            if message.envelope.event == "ADT^A47" and message.state is MessageState.APPLIED:
                withdrawn.append(statement.statement.domain)
        return Figures(
            identities={
                domain: {code: count for code, count in counts.items() if count}
                for domain, counts in identities.items()
            },
            duplicates=(
                _counted(domain for (domain, _), count in together.items() for _ in range(count - 1))
                if sight == WHOLE
                else dict(duplicates)
            ),
            held=_counted(r.key.domain for r in seen.values() if r.held_since is not None),
            tasks=tasks,
            reports=_counted(report.state for report in reports),
            corrected=(len(took), sum(took) / len(took) if took else 0.0),
            overdue=overdue,
            ins_withdrawn=_counted(withdrawn),
        )


def _counted(items: Iterable[Any]) -> dict[Any, int]:
    counts: dict[Any, int] = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return counts
