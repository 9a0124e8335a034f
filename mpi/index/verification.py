"""
Verification: what is stored is derived again from the facts, and every difference is named.

Read only. Some hundred records at a time, each time in a snapshot of its own, so that a store of any
size is verified in bounded memory while messages arrive. What is kept throughout is a few bytes for each
record and message.

The audit trail is read as a second account: what it says was stated or asserted has to be there. A tail
cut off both is found only against a head of the chain kept elsewhere.

Source: invariants I1, I2, I24, I32, I39, I41 and I48 of the reliability design.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from mpi.errors import ModelError
from mpi.identity.model import RecordKey, Urgency
from mpi.index.audit import AuditEvent, ChainedEvent, first_break
from mpi.index.counting import CountById
from mpi.index.derivation import Component
from mpi.index.epochs import Epoch, read_epochs
from mpi.index.euid import native_euid
from mpi.index.events import ABOUT_A_STATEMENT, IN_DOUBT, RETIRING, Envelope, Fact, FactKind, MessageState
from mpi.index.graph import Edge, Node
from mpi.index.intake import BLOCK_CAP, Intake, fold, keys_of
from mpi.index.models import active_model, model_of
from mpi.index.ports import Membership, Store, StoredMessage, StoredRecord, UnitOfWork
from mpi.index.questions import Situation, wanted_tasks
from mpi.index.registry import Registry
from mpi.index.review import (
    LIVE_STATES,
    TOPIC,
    WHOLE,
    Task,
    TaskKey,
    TaskState,
    Topic,
    Verdict,
    WantedTask,
    asks_the_same,
    priority,
    still_answered,
)
from mpi.index.sketches import is_findable, sketches_of
from mpi.index.sketches import keys_of as search_keys_of
from mpi.matching.online import ScoredPair

RECORDS_PER_SNAPSHOT = 200
"""A reader that stays open for hours keeps the database from tidying up behind its writers."""
_ROWS_PER_PAGE = 500
_SAME_BITS = 1e-9
"""Two machines may differ in the last bit of a logarithm."""
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What reading a row raises when it holds what this index never writes."""

Progress = Callable[[str, int, int], object]
"""Called with what is being read, how many are done, and of how many."""


class Check(StrEnum):
    """What is verified."""

    MODEL = "model"
    """A stored match model is the one that was added, and the active one is the one in use."""
    AUDIT = "audit"
    """The chain holds, and tells of every message and decision."""
    MESSAGE = "message"
    """Each message is in one terminal state, and what it refers to is there."""
    READABLE = "readable"
    """A row can be read."""
    IDENTIFIER = "identifier"
    """A native enterprise identifier is that of its record's key; epochs follow one another."""
    STATEMENT = "statement"
    """Statements are those that messages made."""
    FOLD = "fold"
    """A record is what its statements and the decisions about them make of it."""
    BLOCKING_KEY = "blocking_key"
    SEARCH = "search"
    """A record is found by its names, birth date, phones, mail addresses and postal code, and by nothing else."""
    EDGE = "edge"
    """Stored pairs are scored as the active model scores them; none worth keeping is absent."""
    OTHER_MODEL = "other_model"
    """A pair was scored by another model than the active one: `mpi relink` has not been run."""
    MEMBERSHIP = "membership"
    """A record is in one enterprise record at any time since it was first heard of."""
    SET = "set"
    """Sets are those that deriving everything from nothing would give."""
    TASK = "task"
    """Questions are those the facts ask; what was answered is kept."""
    FACT = "fact"


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One thing that is not as the facts make it.

    Args:
        subject: by this index's own names: `record/12`, `edge/1-2`, `task/3`, `message/9`.
        problem: what is wrong with it, in words; never traits.
    """

    check: Check
    subject: str
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """
    What was verified, and how many differences each check found.

    Args:
        tolerated: pairs stored, or not, because a blocking key they share is too common to open.
    """

    records: int
    edges: int
    messages: int
    tasks: int
    facts: int
    tolerated: int
    found: Mapping[Check, int]

    @property
    def is_clean(self) -> bool:
        """Whether everything is as the facts make it."""
        return not self.found


def verify(
    store: Store,
    registry: Registry,
    *,
    on_difference: Callable[[Difference], object] = lambda _difference: None,
    on_progress: Progress = lambda _what, _done, _total: None,
) -> Verification:
    """
    Derive everything again and compare. Nothing is written.

    Args:
        registry: over the same store; its model, policy and directory are what is verified against.
        on_difference: called for each difference, as it is found.

    Raises:
        StoreError: the store is down.
    """
    return _Verifier(store, registry, on_difference, on_progress).run()


# ------------------------------------------------------------------- derived again, for `relink` too


def folded_again(
    uow: UnitOfWork, intake: Intake, records: Iterable[StoredRecord]
) -> Iterator[tuple[RecordKey, StoredRecord | None, StoredRecord | None]]:
    """
    Judge and fold again the statements of every identifier whose first epoch is among the records.

    Yields:
        For each epoch of such an identifier: its key, the record as it is stored, and as it should be.
        None for the former when it is missing, for the latter when nothing says there is such an epoch.
    """
    known: dict[tuple[str, str], dict[int, StoredRecord]] = {}
    later = {record.key: record for record in records if record.key.epoch == 0}
    while later:
        for key, record in later.items():
            known.setdefault(key[:2], {})[key.epoch] = record
        later = uow.records.by_keys({key._replace(epoch=key.epoch + 1) for key in later})
    statements = uow.records.statements_of([epochs[0].id for epochs in known.values()])
    decided: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in uow.facts.standing([record.key for epochs in known.values() for record in epochs.values()]):
        if fact.kind in ABOUT_A_STATEMENT or fact.kind is FactKind.ERASED:
            decided[fact.left[:2]].append(fact)
    for identifier, stored in known.items():
        said, facts = statements.get(stored[0].id, []), decided.get(identifier, [])
        if len(said) == 1 and not facts:  # nothing to compare it with
            epochs = {0: Epoch(0, accepted=said)}
        else:
            epochs = {epoch.number: epoch for epoch in read_epochs(said, facts, intake.changes_person)}
        for number in sorted(stored.keys() | epochs.keys()):
            epoch, record_or_none = epochs.get(number, Epoch(number)), stored.get(number)
            key = RecordKey(*identifier, number)
            yield key, record_or_none, fold(record_or_none, epoch) if record_or_none is not None else None


def task_differences(
    wanted: Mapping[TaskKey, WantedTask], tasks: Iterable[Task]
) -> Iterator[tuple[TaskKey, str]]:
    """
    How the tasks of some records differ from the questions to ask about them.

    An answer holds while what was looked at stays the same; a statement still held is another one. A
    proposal waits for its second person whatever becomes of the question, and a block that was too large
    stays a question until the record is compared again.
    """
    stored = {task.key: task for task in tasks}
    for key, asked in wanted.items():
        task = stored.get(key)
        if task is None or task.state is TaskState.OBSOLETE:
            yield key, NOT_ASKED
            continue
        if task.state is TaskState.DECIDED:
            if not still_answered(task, asked):
                yield key, NOT_ASKED
        elif not asks_the_same(task, asked):
            yield key, "its kind, its reason or what it compares is another"
        elif not _alike(task.weight_bits, asked.weight_bits):
            yield key, "its weight is another"
        elif task.priority != asked.priority:
            yield key, "its priority is another"
    for key, task in stored.items():
        keep = key.topic is Topic.BLOCK or task.state is TaskState.PROPOSED
        if task.state in LIVE_STATES and key not in wanted and not keep:
            yield key, NOTHING_ASKS


NOT_ASKED = "the facts ask it, and it is not live"
NOTHING_ASKS = "it is live, and nothing asks it"


def _alike(left: float | None, right: float | None) -> bool:
    if left is None or right is None:
        return left is right
    return math.isclose(left, right, rel_tol=_SAME_BITS, abs_tol=_SAME_BITS)


# ------------------------------------------------------------------------------------ the verifier


_OF_ONE_MESSAGE = frozenset(
    {
        "identity.stated",
        "identity.linked",
        "identity.unlinked",
        "identity.visits_moved",
        "message.applied",
        "message.quarantined",
        "message.refused",
        "identity.merged",
    }
)
"""Kinds of audit events of which each message but a duplicate leaves exactly one."""


_COUNTED = ("records", "edges", "messages", "tasks", "facts", "tolerated")


def _ends_its_wait(event: AuditEvent) -> bool:
    """Whether an event is the only one of a message: it was discarded before it had its turn."""
    return event.kind == "message.discarded" and event.details.get("was") == MessageState.PARKED


def _is_same(left: Envelope, right: Envelope) -> bool:
    return (left.dedupe_key, left.content_hash) == (right.dedupe_key, right.content_hash)


def _ended(uow: UnitOfWork) -> int:
    """How many messages are in the journal that came to an end of their own: row by row, not as counted."""
    found = after = 0
    while page := uow.inbox.lines(after=after, limit=_ROWS_PER_PAGE):
        found += sum(line.state not in (MessageState.DUPLICATE, MessageState.PARKED) for line in page)
        after = page[-1].id
    return found


def repeated(uow: UnitOfWork, duplicate: StoredMessage) -> StoredMessage | None:
    """The message that a duplicate repeats. Those of earlier versions of this index only have its name."""
    if duplicate.repeats is not None:
        return uow.inbox.get(duplicate.repeats)
    return uow.inbox.original(duplicate.envelope.dedupe_key)


class _Verifier:
    """One verification."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        on_difference: Callable[[Difference], object],
        on_progress: Progress,
    ) -> None:
        self._store = store
        self._registry = registry
        self._on_difference = on_difference
        self._on_progress = on_progress
        self._found: Counter[Check] = Counter()
        self._read: Counter[str] = Counter()
        self._stated_by = CountById()
        """By message: how many identities it stated, as the audit trail tells."""
        self._statements_of = CountById()
        """By message: how many statements there are."""
        self._applied = CountById()
        self._facts_told: set[int] = set()
        self._withdrawals_told: set[int] = set()
        self._chunk_read: Counter[str] = Counter()
        """What one snapshot adds to the counts, once all of it could be read."""
        self._chunk_messages: list[int] = []

    def run(self) -> Verification:
        self._tell(self._models())
        with self._store.read() as uow:
            self._tell(self._trail(uow))
        self._messages()
        self._records()
        self._tell(self._statements_told())
        self._tasks()
        self._facts()
        return Verification(
            **{item: self._read[item] for item in _COUNTED},
            found=dict(self._found),
        )

    def _tell(self, differences: Iterable[Difference]) -> None:
        for difference in differences:
            self._found[difference.check] += 1
            self._on_difference(difference)

    # ------------------------------------------------------------------------------ models

    def _models(self) -> Iterator[Difference]:
        with self._store.read() as uow:
            stored = uow.models.all()
        for one in stored:
            try:
                model_of(one)
            except ModelError:
                yield Difference(Check.MODEL, f"model/{one.version}", "it is not what was added")
        try:
            if active_model(self._store).digest != self._registry.model.digest:
                subject = f"model/{self._registry.model.version}"
                yield Difference(Check.MODEL, subject, "it decides here, and is not the active one")
        except ModelError:
            pass  # named above

    # ------------------------------------------------------------------------- audit trail

    def _trail(self, uow: UnitOfWork) -> Iterator[Difference]:
        """The chain, and what it tells of messages and decisions, for the checks that follow."""
        of_messages = 0

        def noted(chain: Iterable[ChainedEvent]) -> Iterator[ChainedEvent]:
            nonlocal of_messages
            for item in chain:
                of_messages += item.event.kind in _OF_ONE_MESSAGE or _ends_its_wait(item.event)
                self._note(item.event)
                yield item

        try:
            chain = noted(uow.audit.chain())
            broken = first_break(chain)
            for _ in chain:  # it tells something beyond the break, too
                pass
            if broken is not None:
                yield Difference(Check.AUDIT, f"audit/{broken}", "the chain is broken here")
            received = _ended(uow)
        except _UNREADABLE:
            yield Difference(
                Check.READABLE, "audit", "the trail, or how many messages there are, cannot be read"
            )
            return
        if received != of_messages:
            problem = f"{received} messages came to an end of their own, and {of_messages} left their event"
            yield Difference(Check.AUDIT, "audit", problem)

    def _note(self, event: AuditEvent) -> None:
        """What an event says has to be there."""
        what, _, number = event.subject.partition("/")
        if event.kind == "identity.stated":
            self._stated_by.add(int(number), len(event.details.get("records", ())))
        elif what == "fact" and event.kind == "fact.withdrawn":
            self._withdrawals_told.add(int(number))
        told = [event.details.get("fact"), *event.details.get("facts", ())]
        self._facts_told.update(int(fact_id) for fact_id in told if fact_id is not None)

    def _statements_told(self) -> Iterator[Difference]:
        """The statements that messages made, by the audit trail, against those there are."""
        for message_id in range(1, len(self._stated_by)):
            told, found = self._stated_by[message_id], self._statements_of[message_id]
            if told == found:
                continue
            with self._store.read() as uow:
                message = uow.inbox.get(message_id)
            if message is not None and not message.envelope.raw and found < told:
                continue  # erased
            problem = f"the audit trail tells of {told} statements, {found} are stored"
            yield Difference(Check.STATEMENT, f"message/{message_id}", problem)

    # ---------------------------------------------------------------------------- messages

    def _messages(self) -> None:
        def look(uow: UnitOfWork, page: Sequence[StoredMessage]) -> Iterator[Difference]:
            for message in page:
                if message.state is MessageState.APPLIED:
                    self._applied.add(message.id)
                yield from self._message(uow, message)

        self._paged("messages", lambda uow: uow.inbox, lambda inbox, **which: inbox.page(**which), look)

    def _paged(
        self,
        what: str,
        rows_of: Callable[[UnitOfWork], Any],
        page_of: Callable[..., Sequence[Any]],
        look: Callable[[UnitOfWork, Sequence[Any]], Iterable[Difference]],
    ) -> None:
        """
        Read all rows of a kind, page by page, and name those that cannot be read.

        A row that is in no state there is may be left out of its page: so every id is asked for.
        """
        last, more = 0, True
        while more:
            with self._store.read() as uow:
                rows = rows_of(uow)
                page = _page(lambda limit: page_of(rows, after=last, limit=limit))  # noqa: B023
                ids = [row.id for row in page]
                end = max(ids, default=last + 1)
                gaps = sorted(set(range(last + 1, end + 1)) - set(ids))
                bad = [id_ for id_ in gaps if _is_unreadable(lambda: rows.get(id_))]  # noqa: B023
                self._tell(look(uow, page))
            name = what.removesuffix("s")
            self._tell(Difference(Check.READABLE, f"{name}/{id_}", "it cannot be read") for id_ in bad)
            last, more = end, bool(page or bad)
            self._read[what] += len(page) + len(bad)
            self._on_progress(what, self._read[what], self._read[what])

    @staticmethod
    def _message(uow: UnitOfWork, message: StoredMessage) -> Iterator[Difference]:
        subject = f"message/{message.id}"
        went_well = message.state in (MessageState.APPLIED, MessageState.DUPLICATE)
        if went_well == bool(message.error):
            yield Difference(Check.MESSAGE, subject, f"it is {message.state}, and its error says otherwise")
        if message.replay_of is not None:
            again = uow.inbox.get(message.replay_of)
            if again is None or again.id >= message.id:
                yield Difference(Check.MESSAGE, subject, "the message it replays is not there")
            elif again.state in (MessageState.APPLIED, MessageState.DUPLICATE):
                yield Difference(Check.MESSAGE, subject, f"it replays a message that is {again.state}")
        if message.state is MessageState.DUPLICATE and message.envelope.raw:  # what was erased has no name
            first = repeated(uow, message)
            if first is None or first.id >= message.id or first.state is MessageState.DUPLICATE:
                yield Difference(Check.MESSAGE, subject, "it is a duplicate of no message that came before")
            elif not _is_same(first.envelope, message.envelope):
                yield Difference(Check.MESSAGE, subject, "it is a duplicate of a message with other content")
            elif first.settled_at is None and first.reply != message.reply:
                yield Difference(Check.MESSAGE, subject, "it was answered otherwise than the first time")

    # ----------------------------------------------------------------------------- records

    def _records(self) -> None:
        with self._store.read() as uow:
            ids = uow.records.all_ids()
        done = bytearray(ids[-1] + 1 if ids else 0)
        for start in range(0, len(ids), RECORDS_PER_SNAPSHOT):
            chunk = ids[start : start + RECORDS_PER_SNAPSHOT]
            self._each(chunk, self._alone, "it cannot be read")
            self._each(chunk, self._compared, "what it is compared with cannot be read")
            todo = [record_id for record_id in chunk if not done[record_id]]
            self._each(todo, lambda some: self._together(some, done), "what it is related to cannot be read")
            self._read["records"] += len(chunk)
            self._on_progress("records", self._read["records"], len(ids))

    def _each(
        self, ids: Sequence[int], look: Callable[[Sequence[int]], list[Difference]], problem: str
    ) -> None:
        """Look at records at once, or at one after another when there is one that cannot be read."""
        try:
            self._tell(look(ids))
        except _UNREADABLE:
            if len(ids) == 1:
                self._tell([Difference(Check.READABLE, f"record/{ids[0]}", problem)])
                return
            for record_id in ids:
                self._each([record_id], look, problem)

    def _alone(self, ids: Sequence[int]) -> list[Difference]:
        """Records, their statements, keys and memberships. A list: nothing is told twice."""
        self._chunk_messages.clear()
        with self._store.read() as uow:
            records = uow.records.by_ids(ids)
            found = [
                *self._identifiers(uow, records),
                *self._folds(uow, records),
                *self._blocking_keys(uow, records),
                *self._found_by(uow, records),
                *self._edge_ends(uow, records),
                *self._memberships(uow, records),
            ]
        for message_id in self._chunk_messages:
            self._statements_of.add(message_id)
        return found

    def _compared(self, ids: Sequence[int]) -> list[Difference]:
        """The pairs that records are in, each with its smaller record."""
        self._chunk_read.clear()
        with self._store.read() as uow:
            records = uow.records.by_ids(ids)
            stored: dict[int, dict[int, Edge]] = defaultdict(dict)
            for edge in uow.edges.touching(ids):
                if edge.left_id < edge.right_id:
                    stored[edge.left_id][edge.right_id] = edge
            known = uow.records.by_ids({i for ends in stored.values() for i in ends})
            found = [
                difference
                for record in records.values()
                for difference in self._edges_of(uow, record, stored[record.id], known)
            ]
        self._read += self._chunk_read
        return found

    def _together(self, ids: Sequence[int], done: bytearray) -> list[Difference]:
        """The sets and questions of the components that records are in."""
        with self._store.read() as uow:
            view = self._registry.derivation.component(uow, uow.records.by_ids(ids))
            found = list(self._component(uow, view))
        for record_id in view.inside:
            if record_id < len(done):  # the others came since
                done[record_id] = 1
        return found

    def _identifiers(self, uow: UnitOfWork, records: Mapping[int, StoredRecord]) -> Iterator[Difference]:
        secret = self._store.euid_secret
        former = {r.key._replace(epoch=r.key.epoch - 1) for r in records.values() if r.key.epoch}
        known = uow.records.by_keys(former)
        for record in records.values():
            subject = f"record/{record.id}"
            if record.native_euid != native_euid(secret, record.key):
                yield Difference(Check.IDENTIFIER, subject, "its native enterprise identifier is not its own")
            if record.key.epoch and record.key._replace(epoch=record.key.epoch - 1) not in known:
                yield Difference(Check.IDENTIFIER, subject, "the epoch before it is missing")

    def _folds(self, uow: UnitOfWork, records: Mapping[int, StoredRecord]) -> Iterator[Difference]:
        for record_id, statements in uow.records.statements_of(list(records)).items():
            if records[record_id].key.epoch:
                problem = "statements name it, and not the first epoch of its identifier"
                yield Difference(Check.STATEMENT, f"record/{record_id}", problem)
            for item in statements:
                self._chunk_messages.append(item.message_id)
                if item.message_id < len(self._applied) and not self._applied[item.message_id]:
                    problem = "its message was not applied"
                    yield Difference(Check.STATEMENT, f"statement/{item.id}", problem)
        for key, stored, folded in folded_again(uow, self._registry.intake, records.values()):
            if stored is None or folded is None:
                first = uow.records.epochs(key.domain, key.value)[0]
                problem = f"epoch {key.epoch} of its identifier is missing"
                yield Difference(Check.FOLD, f"record/{first.id}", problem)
                continue
            wrong = [
                item.name.replace("_", " ")
                for item in fields(StoredRecord)
                if getattr(stored, item.name) != getattr(folded, item.name)
            ]
            if wrong:
                problem = f"its statements give another {', another '.join(wrong)}"
                yield Difference(Check.FOLD, f"record/{stored.id}", problem)

    @staticmethod
    def _blocking_keys(uow: UnitOfWork, records: Mapping[int, StoredRecord]) -> Iterator[Difference]:
        held = uow.records.blocking_keys(list(records))
        for record in records.values():
            stored, wanted = held.get(record.id, frozenset()), set(keys_of(record))
            if stored != wanted:
                problem = f"{len(wanted - stored)} blocking keys are missing, {len(stored - wanted)} too many"
                yield Difference(Check.BLOCKING_KEY, f"record/{record.id}", problem)

    @staticmethod
    def _found_by(uow: UnitOfWork, records: Mapping[int, StoredRecord]) -> Iterator[Difference]:
        """What records are found by; nothing of the past either, of those that may not be found."""
        of_kind: dict[tuple[str, bool], list[StoredRecord]] = defaultdict(list)
        for record in records.values():
            of_kind[record.key.domain, is_findable(record)].append(record)
        for (domain, findable), some in of_kind.items():
            which: Mapping[str, Any] = {"domains": [domain], "past": not findable}
            held: dict[int, set[object]] = defaultdict(set)
            ids = [record.id for record in some]
            for record_id, item in (*uow.searches.sketches(ids, **which), *uow.searches.keys(ids, **which)):
                held[record_id].add(item)
            for record in some:
                stored, wanted = held[record.id], sketches_of(record) | search_keys_of(record)
                if stored != wanted:
                    missing, many = len(wanted - stored), len(stored - wanted)
                    problem = f"{missing} of what it is found by are missing, {many} too many"
                    yield Difference(Check.SEARCH, f"record/{record.id}", problem)

    # ------------------------------------------------------------------------------- edges

    @staticmethod
    def _edge_ends(uow: UnitOfWork, records: Mapping[int, StoredRecord]) -> Iterator[Difference]:
        touching = uow.edges.touching(list(records))
        ends = {i for edge in touching for i in (edge.left_id, edge.right_id)} - records.keys()
        known = uow.records.by_ids(ends).keys() | records.keys()
        for edge in touching:
            if edge.left_id not in known or edge.right_id not in known or edge.left_id >= edge.right_id:
                yield Difference(Check.EDGE, _name(edge), "its ends are no two records in order")

    def _edges_of(
        self,
        uow: UnitOfWork,
        record: StoredRecord,
        stored: Mapping[int, Edge],
        known: Mapping[int, StoredRecord],
    ) -> Iterator[Difference]:
        self._chunk_read["edges"] += len(stored)
        keys = keys_of(record)
        found = uow.records.candidates(keys, excluding=record.id, block_cap=BLOCK_CAP)
        others = {other.id: other for other in found.records if other.id > record.id}
        absent = {i: known[i] for i in stored if i in known and i not in others}
        wanted = {
            edge.right_id: edge
            for edge in self._registry.intake.edges_to(record, [*others.values(), *absent.values()])
        }
        version = self._registry.model.version
        for other_id, edge in stored.items():
            if other_id not in known:
                continue  # named with the records
            derived = wanted.get(other_id)
            if edge.model_version != version:
                problem = f"scored by {edge.model_version}, {version} is active: relink has not been run"
                yield Difference(Check.OTHER_MODEL, _name(edge), problem)
            elif derived is None:
                yield Difference(Check.EDGE, _name(edge), "the pair is not worth keeping")
            elif wrong := _differences(edge.score, derived.score):
                problem = f"the model gives another {', another '.join(wrong)}"
                yield Difference(Check.EDGE, _name(edge), problem)
            elif other_id in absent:
                if set(keys).isdisjoint(keys_of(absent[other_id])):
                    yield Difference(Check.EDGE, _name(edge), "its records share no blocking key")
                else:
                    self._chunk_read["tolerated"] += 1
        for other_id in wanted.keys() & others.keys() - stored.keys():
            if _was_oversized(uow, (record.id, other_id)):
                self._chunk_read["tolerated"] += 1
            else:
                yield Difference(
                    Check.EDGE, _name(wanted[other_id]), "the pair is worth keeping, and not stored"
                )

    # ------------------------------------------------------------------- memberships and sets

    @staticmethod
    def _memberships(uow: UnitOfWork, records: Mapping[int, StoredRecord]) -> Iterator[Difference]:
        euids = {record.native_euid: True for record in records.values()}
        for record in records.values():
            subject, history = f"record/{record.id}", uow.memberships.history(record.id)
            for problem in _history_problems(history):
                yield Difference(Check.MEMBERSHIP, subject, problem)
            for euid in {item.euid for item in history}:
                if euid not in euids:
                    euids[euid] = uow.records.by_native_euid(euid) is not None
                if not euids[euid]:
                    problem = "it is, or was, in an enterprise record that is no record's own"
                    yield Difference(Check.MEMBERSHIP, subject, problem)

    def _component(self, uow: UnitOfWork, view: Component) -> Iterator[Difference]:
        """The sets and questions of every component that some records are in."""
        if not view.inside:
            return
        current = uow.memberships.current(view.records.keys())
        alone = {record.id: record.native_euid for record in view.records.values()}
        situation = self._registry.derivation.derive(view, {**alone, **current})
        for record_id in sorted(view.inside & current.keys()):
            if current[record_id] != situation.derived.euid_of[record_id]:
                problem = "the facts put it into another enterprise record"
                yield Difference(Check.SET, f"record/{record_id}", problem)
        tasks = uow.reviews.touching(view.inside)
        yield from self._asked(situation, [task for task in tasks if task.sight == WHOLE])
        for sight in uow.sights.kept():
            if sight.position is None:
                seen = self._registry.derivation.situation_in(uow, sight.domains, view)
                yield from self._asked(seen, [task for task in tasks if task.sight == sight.id])

    def _asked(self, situation: Situation, tasks: Sequence[Task]) -> Iterator[Difference]:
        """The questions about one component, of one sight."""
        asked = {
            key: self._with_priority(task, situation.nodes) for key, task in wanted_tasks(situation).items()
        }
        names = {task.key: f"task/{task.id}" for task in tasks}
        for key, problem in task_differences(asked, tasks):
            subject = names.get(key, f"task/{key.topic}-{key.left_id}-{key.right_id}")
            yield Difference(Check.TASK, subject, problem)

    def _with_priority(self, asked: WantedTask, nodes: Mapping[int, Node]) -> WantedTask:
        ends = [nodes[i] for i in (asked.key.left_id, asked.key.right_id) if i in nodes]
        urgency = max((node.urgency for node in ends), default=Urgency.NONE)
        site = max((self._registry.directory.priority_of(node.key.domain) for node in ends), default=0)
        return replace(asked, priority=priority(asked.kind, urgency=urgency, site=site))

    # ------------------------------------------------------------------------------- tasks

    def _tasks(self) -> None:
        """Each task by itself: its life cycle, its versions, and what it names."""
        states = list(TaskState)
        self._paged(
            "tasks",
            lambda uow: uow.reviews,
            lambda reviews, **which: reviews.page(states=states, sight=None, **which),
            self._task_page,
        )

    def _task_page(self, uow: UnitOfWork, page: Sequence[Task]) -> Iterator[Difference]:
        ends = {i for task in page for i in (task.key.left_id, task.key.right_id)}
        known = _unless_unreadable(lambda: uow.records.by_ids(ends).keys())
        versions: dict[int, list[Task]] = defaultdict(list)
        for version in uow.reviews.history([task.id for task in page]):
            versions[version.id].append(version)
        for task in page:
            subject = f"task/{task.id}"
            if known is not None and not {task.key.left_id, task.key.right_id} <= known:
                yield Difference(Check.TASK, subject, "a record it is about is not there")
            if TOPIC[task.kind] is not task.key.topic or task.key.left_id > task.key.right_id:
                yield Difference(
                    Check.TASK, subject, "its kind, its topic and its records do not go together"
                )
            if not _numbered(versions[task.id]) or not _is_last_version(task, versions[task.id]):
                yield Difference(Check.TASK, subject, "its versions do not lead to what it is")
            fact = uow.facts.get(task.fact_id) if task.fact_id is not None else None
            if (task.fact_id is None) != (fact is None):
                yield Difference(Check.TASK, subject, "the fact it was answered with is not there")
            elif not _answer_fits(task, fact):
                yield Difference(Check.TASK, subject, f"it is {task.state}, and its answer says otherwise")

    # ------------------------------------------------------------------------------- facts

    def _facts(self) -> None:
        def look(uow: UnitOfWork, page: Sequence[Fact]) -> Iterator[Difference]:
            for fact in page:
                self._facts_told.discard(fact.id)
                for problem in self._fact_problems(uow, fact):
                    yield Difference(Check.FACT, f"fact/{fact.id}", problem)

        self._paged("facts", lambda uow: uow.facts, lambda facts, **which: facts.page(**which), look)
        self._tell(
            Difference(Check.FACT, f"fact/{fact_id}", "the audit trail tells of it, and it is not there")
            for fact_id in sorted(self._facts_told)
        )

    def _fact_problems(self, uow: UnitOfWork, fact: Fact) -> Iterator[str]:
        if not _ends_fit(fact):
            yield "its records do not fit its kind"
        if fact.act_id is not None:
            first = uow.facts.get(fact.act_id)
            alike = first is not None and (first.actor, first.recorded_at) == (fact.actor, fact.recorded_at)
            if first is None or first.id >= fact.id or first.act_id is not None or not alike:
                yield "the act it belongs to does not begin with that fact"
        if (fact.withdrawn_at is None) == bool(fact.withdrawn_by):
            yield "who withdrew it and when do not go together"
        if (fact.confirmed_at is None) == bool(fact.confirmed_by) or (
            fact.confirmed_at is not None and not fact.second_needed
        ):
            yield "who confirmed it and when do not go together"
        if any(at is not None and at < fact.recorded_at for at in (fact.withdrawn_at, fact.confirmed_at)):
            yield "it was withdrawn or confirmed before it was recorded"
        if fact.id in self._withdrawals_told and fact.withdrawn_at is None:
            yield "the audit trail tells of its withdrawal, and it is not withdrawn"
        if fact.kind in ABOUT_A_STATEMENT or fact.statement_id is not None:
            yield from _statement_problems(uow, fact)
        if fact.is_by_source != (fact.message_id is not None):
            yield "a source's assertion comes from a message, and a person's does not"
        elif fact.message_id is not None and not self._was_applied(uow, fact.message_id):
            yield "its message was not applied"

    def _was_applied(self, uow: UnitOfWork, message_id: int) -> bool:
        if message_id < len(self._applied):
            return bool(self._applied[message_id])
        message = _unless_unreadable(lambda: uow.inbox.get(message_id))  # since the journal was read
        return message is not None and message.state is MessageState.APPLIED


# ------------------------------------------------------------------------------------- the parts


def _page(read: Callable[[int], Sequence[Any]]) -> Sequence[Any]:
    """The rows that follow, as many as can be read; none at the end, or ahead of one that cannot be read."""
    limit = _ROWS_PER_PAGE
    while limit:
        try:
            return read(limit)
        except _UNREADABLE:
            limit //= 2
    return ()


def _is_unreadable(read: Callable[[], object]) -> bool:
    try:
        read()
    except _UNREADABLE:
        return True
    return False


def _unless_unreadable(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except _UNREADABLE:
        return None


def _name(edge: Edge) -> str:
    return f"edge/{edge.left_id}-{edge.right_id}"


def _differences(stored: ScoredPair, derived: ScoredPair) -> list[str]:
    """The parts of two scores that differ, by name."""
    wrong = [
        name
        for name in ("decision", "guards", "contradicts")
        if getattr(stored, name) != getattr(derived, name)
    ]
    wrong += [
        name
        for name in ("weight_bits", "probability")
        if not _alike(getattr(stored, name), getattr(derived, name))
    ]
    levels = [[(item.trait, item.level) for item in one.evidence] for one in (stored, derived)]
    if levels[0] != levels[1] or not all(
        _alike(left.bits, right.bits) for left, right in zip(stored.evidence, derived.evidence, strict=True)
    ):
        wrong.append("evidence")
    return wrong


def _was_oversized(uow: UnitOfWork, record_ids: Collection[int]) -> bool:
    """Whether one of the records once had more candidates than may be compared."""
    return any(
        task.key.topic is Topic.BLOCK and task.key.left_id in record_ids
        for task in uow.reviews.touching(record_ids)
    )


def _history_problems(history: Sequence[Membership]) -> Iterator[str]:
    """What is wrong with the memberships of one record, in the order they began."""
    current = [item for item in history if item.valid_to is None]
    if len(current) != 1 or current[0] is not history[-1]:
        yield (
            f"it has {len(current)} current memberships, the last one not among them"
            if current
            else ("it has no current membership")
        )
        return
    begins: datetime | None = None
    for item in history:
        if item.valid_to is not None and item.valid_to < item.valid_from:
            yield "a membership ends before it begins"
        if begins is not None and item.valid_from != begins:
            yield "two memberships overlap" if item.valid_from < begins else "memberships leave a gap"
        begins = item.valid_to


def _numbered(versions: Sequence[Task]) -> bool:
    return [task.version for task in versions] == list(range(1, len(versions) + 1))


def _is_last_version(task: Task, versions: Sequence[Task]) -> bool:
    return bool(versions) and versions[-1] == replace(task, claimed_by="", claimed_at=None)


def _answer_fits(task: Task, fact: Fact | None) -> bool:
    """Whether the verdict and the fact of a task are such as its state has."""
    match task.state:
        case TaskState.OPEN | TaskState.OBSOLETE:
            return task.verdict is None and fact is None
        case TaskState.PROPOSED:
            return task.verdict is not None and fact is not None and fact.second_needed and not fact.stands
        case TaskState.DECIDED:
            dismissed = task.verdict is Verdict.DISMISSED
            return task.verdict is not None and dismissed == (fact is None)
        case TaskState.WAITING:
            return task.verdict is not None and (task.verdict is Verdict.UNDECIDED) == (fact is None)


def _ends_fit(fact: Fact) -> bool:
    if not (fact.left.domain and fact.left.value and fact.right.domain and fact.right.value):
        return False
    about_one = fact.kind in ABOUT_A_STATEMENT | IN_DOUBT or fact.kind is FactKind.ERASED
    if about_one:
        return fact.left == fact.right
    has_direction = fact.kind in RETIRING or fact.kind is FactKind.MOVED
    return fact.left != fact.right and (has_direction or fact.left < fact.right)


def _statement_problems(uow: UnitOfWork, fact: Fact) -> Iterator[str]:
    if fact.statement_id is None:
        yield "it names no statement"
        return
    if fact.kind is FactKind.ERASED:
        return  # it may name what was erased
    statement = _unless_unreadable(lambda: uow.records.statement(fact.statement_id or 0))
    if statement is None:
        if fact.stands and not _is_erased(uow, fact.left):
            yield "the statement it is about is not there"
    elif statement.statement.key[:2] != fact.left[:2]:
        yield "the statement it is about is another identifier's"


def _is_erased(uow: UnitOfWork, key: RecordKey) -> bool:
    """Whether an epoch of the identifier was erased, and statements with it."""
    epochs = [record.key for record in uow.records.epochs(key.domain, key.value)]
    return any(fact.kind is FactKind.ERASED for fact in uow.facts.standing(epochs))
