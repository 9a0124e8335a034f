"""
What the registry needs from a store. Two stores and one in-memory fake implement it.

A unit of work is one transaction. Writers run one after another: that is what makes the result
of concurrent messages the result of the same messages in some order, whatever the database.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Protocol

from mpi.identity.model import Demographics, RecordKey, SourceRecord, Urgency
from mpi.identity.traits import Traits
from mpi.index.audit import AuditEvent, ChainedEvent
from mpi.index.events import Envelope, Fact, MessageState, Study
from mpi.index.graph import Edge
from mpi.index.review import Task, TaskState, WantedTask

Clock = Callable[[], datetime]
"""Returns the present instant, aware, UTC."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message of the journal. `raw` and `reply` are what was received and answered, byte for byte."""

    id: int
    envelope: Envelope
    received_at: datetime
    state: MessageState
    place: str
    problem: str
    error: str
    reply: bytes
    warnings: tuple[str, ...] = ()
    replay_of: int | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """
    A message of the journal, without what it said.

    Args:
        event_time: the latest of what it states; None when it states nobody.
    """

    source: str
    received_at: datetime
    warnings: tuple[str, ...]
    event_time: datetime | None


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """
    A source record as it stands: the fold of its statements.

    Args:
        native_euid: the enterprise identifier it would have alone; its for ever.
        first_event_time: when it was first true; None while nobody stated it (a merge may name
            an identifier before anything else does).
        urgency: of its latest statement.
        held_since: the event time of the first statement the overlay firewall holds; None when none is held.
        held_reason: why it holds it.
    """

    id: int
    key: RecordKey
    native_euid: str
    first_event_time: datetime | None
    demographics: Demographics
    traits: Traits
    urgency: Urgency = Urgency.NONE
    held_since: datetime | None = None
    held_reason: str = ""


@dataclass(frozen=True, slots=True)
class StoredStatement:
    """
    One version of a source record, with its place in its source's own order.

    Args:
        record_id: the first epoch of the identifier, whichever epoch the statement turns out to be of.
    """

    id: int
    record_id: int
    statement: SourceRecord
    message_id: int
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Candidates:
    """Records that share a blocking key, and how many blocks were too large to open."""

    records: tuple[StoredRecord, ...]
    oversized_blocks: int


@dataclass(frozen=True, slots=True)
class Membership:
    """
    A record belonged to an enterprise record from one instant to another (None: still).

    Args:
        cause: what made it so, by this index's own names: `message/9`, `fact/3`, `relink/1`.
        model_version: the match model that was active.
    """

    record_id: int
    euid: str
    valid_from: datetime
    valid_to: datetime | None
    cause: str = ""
    model_version: str = ""


@dataclass(frozen=True, slots=True)
class StoredRelink:
    """
    One run of the whole store through another match model.

    Args:
        position: the last record that is done; a run that was stopped goes on after it.
    """

    id: int
    model_version: str
    started_at: datetime
    started_by: str
    position: int
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class HarvestCursor:
    """
    How far the harvest of one source has come.

    Args:
        through: every day up to this one was handed over; None when none was.
        skip: answers of the next day that were handed over before it was interrupted.
    """

    through: date | None = None
    skip: int = 0


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """One thing one consumer has to be told."""

    id: int
    consumer: str
    kind: str
    payload: Mapping[str, Any]
    created_at: datetime


class Inbox(Protocol):
    """The journal of received messages."""

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
        original: bool = True,
    ) -> int:
        """
        Record one message in its terminal state, with its reply, and return its id.

        Args:
            original: False for a duplicate or a reused control id, which must not take the
                sender's name for the message (`Envelope.dedupe_key` is unique among originals).
        """

    def original(self, dedupe_key: str) -> StoredMessage | None:
        """The first message received under that key."""

    def give_up_name(self, message_id: int) -> None:
        """The sender's name for the message is free again: it was never applied, and is sent anew."""

    def replays_of(self, message_id: int) -> list[StoredMessage]:
        """The messages that processed this one again."""

    def get(self, message_id: int) -> StoredMessage | None:
        """One message."""

    def page(
        self, *, state: MessageState | None = None, source: str | None = None, after: int = 0, limit: int = 50
    ) -> list[StoredMessage]:
        """Messages by ascending id."""

    def counts(self) -> dict[str, dict[MessageState, int]]:
        """How many messages of each source are in each state."""

    def last_received(self) -> dict[str, tuple[datetime, MessageState]]:
        """When each source was last heard of, and what became of that message."""

    def quarantined(self) -> dict[str, dict[tuple[str, str], int]]:
        """How many messages of each source are quarantined, by place and problem."""

    def recent(self, limit: int) -> list[Arrival]:
        """The last messages, newest first."""

    def blank(self, message_ids: Collection[int]) -> None:
        """
        Destroy the bytes of messages, of their repetitions and replays; that they were received stays known.

        Sent once more, such a message is a new one.
        """


class Records(Protocol):
    """Source records, their statements, identifiers and blocking keys."""

    def get(self, record_id: int) -> StoredRecord: ...

    def by_key(self, key: RecordKey) -> StoredRecord | None: ...

    def by_keys(self, keys: Collection[RecordKey]) -> dict[RecordKey, StoredRecord]: ...

    def by_ids(self, record_ids: Collection[int]) -> dict[int, StoredRecord]: ...

    def by_native_euid(self, euid: str) -> StoredRecord | None: ...

    def epochs(self, domain: str, value: str) -> list[StoredRecord]:
        """Every record an identifier named, by ascending epoch."""

    def all_ids(self) -> list[int]: ...

    def add(self, key: RecordKey, native_euid: str) -> int:
        """Create a record nobody stated yet (no traits, no first event time)."""

    def add_statement(
        self, record_id: int, statement: SourceRecord, *, message_id: int, recorded_at: datetime
    ) -> int: ...

    def statements(self, record_id: int) -> list[StoredStatement]:
        """Every statement of a record that was not erased, in the order they were recorded."""

    def statements_of(self, record_ids: Collection[int]) -> dict[int, list[StoredStatement]]:
        """The statements of many records, each in the order they were recorded; none for those without."""

    def statement(self, statement_id: int) -> StoredStatement | None: ...

    def stated_by(self, message_id: int) -> list[StoredStatement]:
        """The statements a message made."""

    def save_current(self, record: StoredRecord, *, blocking_keys: Sequence[int]) -> None:
        """
        Replace the fold of a record's statements, and its blocking keys.

        Keys it no longer holds are remembered, for questions about the past.
        """

    def blocking_keys(self, record_ids: Collection[int]) -> dict[int, frozenset[int]]:
        """The keys each record holds; none for those without."""

    def candidates(
        self, keys: Sequence[int], *, excluding: int | None, block_cap: int, past: bool = False
    ) -> Candidates:
        """
        Records sharing any key; a key held by more than `block_cap` records is not opened but counted.

        Args:
            past: records that once held a key count too.
        """

    def erase(self, record_id: int) -> None:
        """Destroy the fold and the keys, past ones too."""

    def erase_statements(self, statement_ids: Collection[int]) -> None:
        """Destroy what statements say; that they were made stays known."""


class Edges(Protocol):
    """Scored pairs worth keeping."""

    def replace(self, record_id: int, edges: Sequence[Edge]) -> None:
        """Drop every edge of the record and store these."""

    def touching(self, record_ids: Collection[int]) -> list[Edge]:
        """Edges with at least one end among the records."""


class Facts(Protocol):
    """Assertions by people and sources. Never deleted; withdrawn."""

    def add(self, fact: Fact) -> int: ...

    def get(self, fact_id: int) -> Fact | None: ...

    def withdraw(self, fact_id: int, *, at: datetime, by: str) -> None: ...

    def ask_withdrawal(self, fact_id: int, *, by: str) -> None:
        """One of two people wants it withdrawn."""

    def confirm(self, fact_id: int, *, at: datetime, by: str) -> None:
        """The second of two people agrees: it stands."""

    def standing(self, keys: Collection[RecordKey]) -> list[Fact]:
        """Facts that stand (`Fact.stands`) with at least one end among the keys."""

    def ever(self, keys: Collection[RecordKey]) -> list[Fact]:
        """Every fact with at least one end among the keys, proposed and withdrawn ones too."""

    def of_act(self, fact_id: int) -> list[Fact]:
        """The facts of the act that this fact is the first of, itself included."""

    def page(self, *, after: int = 0, limit: int = 50) -> list[Fact]: ...


class Memberships(Protocol):
    """Which enterprise record each source record is in, and was in."""

    def current(self, record_ids: Collection[int]) -> dict[int, str]: ...

    def members(self, euid: str, *, as_of: datetime | None = None) -> list[int]: ...

    def ever_members(self, euid: str) -> list[int]:
        """Records that are, or once were, in an enterprise record."""

    def euid_of(self, record_id: int, *, as_of: datetime | None = None) -> str | None: ...

    def move(self, record_id: int, euid: str, *, at: datetime, cause: str, model_version: str) -> None:
        """End the current membership, if any, and begin this one."""

    def history(self, record_id: int) -> list[Membership]: ...


class Reviews(Protocol):
    """Review tasks: one row per topic and pair, for ever, and every version it had."""

    def get(self, task_id: int) -> Task | None: ...

    def touching(self, record_ids: Collection[int]) -> list[Task]:
        """Tasks of any state with an end among the records."""

    def open(self, wanted: WantedTask, *, at: datetime) -> int:
        """Insert a new open task."""

    def change(self, task: Task, *, at: datetime) -> Task:
        """
        Replace a task by this value and raise its version. Key, opening and claim stay what they were.

        Raises:
            LookupError: no such task.
        """

    def claim(self, task_id: int, *, by: str, at: datetime | None) -> None:
        """Set who works on a task, or nobody (empty, None). Not a change: its version stays."""

    def by_fact(self, fact_id: int) -> list[Task]: ...

    def page(
        self,
        *,
        states: Collection[TaskState],
        kind: str | None = None,
        after: int = 0,
        limit: int = 50,
        as_of: datetime | None = None,
    ) -> list[Task]:
        """Tasks by ascending id, as they are or as they were at an instant."""

    def urgent(
        self,
        *,
        states: Collection[TaskState],
        kind: str | None = None,
        after: Task | None = None,
        limit: int = 50,
    ) -> list[Task]:
        """Tasks by descending priority, then ascending id; those that follow `after` in that order."""

    def history(self, task_ids: Collection[int]) -> list[Task]:
        """Every version of some tasks, by task and version."""

    def counts(self) -> dict[TaskState, int]: ...


class Relinks(Protocol):
    """Runs of `mpi relink`."""

    def begin(self, *, model_version: str, at: datetime, by: str) -> StoredRelink: ...

    def unfinished(self) -> StoredRelink | None:
        """The run that was not brought to its end; there is at most one."""

    def advance(self, relink_id: int, *, position: int) -> None: ...

    def finish(self, relink_id: int, *, at: datetime) -> None: ...

    def all(self) -> list[StoredRelink]:
        """In the order they began."""


class Studies(Protocol):
    """Studies as the context of identities."""

    def keep(self, study: Study) -> None:
        """Keep a study with the message that told of it, or what is new of it (`Study.with_more`)."""

    def of(self, keys: Collection[RecordKey]) -> list[Study]:
        """The studies found under some identifiers, whichever their epoch, in the order of their keys."""

    def of_uid(self, uid: str) -> list[Study]:
        """What is known of one study: several when it was found under several identifiers."""

    def erase(self, message_ids: Collection[int]) -> None:
        """Destroy the studies that these messages were the last to tell of."""


class Harvests(Protocol):
    """How far the harvest of each source has come."""

    def get(self, source: str) -> HarvestCursor | None:
        """The cursor of a source, or None when it was never harvested."""

    def put(self, source: str, cursor: HarvestCursor, *, at: datetime) -> None: ...


class Sequences(Protocol):
    """The sequence number each source has to send next."""

    def expected(self, source: str) -> int | None:
        """The number; None when the source may begin anywhere."""

    def expect(self, source: str, number: int | None) -> None: ...


class AuditTrail(Protocol):
    """Append only."""

    def append(self, event: AuditEvent) -> None: ...

    def chain(self) -> Iterator[ChainedEvent]: ...


class Outbox(Protocol):
    """What consumers have to be told, written with the change that makes it so."""

    def add(self, *, consumer: str, kind: str, payload: Mapping[str, Any], created_at: datetime) -> None: ...

    def page(self, *, after: int = 0, limit: int = 50) -> list[OutboxRow]: ...

    def to(self, consumer: str, *, until: datetime) -> list[OutboxRow]:
        """What a consumer had been told by an instant."""


class Keys(Protocol):
    """API keys, by the hash of their secret."""

    def add(self, *, name: str, secret_hash: str, role: str, domains: Sequence[str], at: datetime) -> int: ...

    def find(self, secret_hash: str) -> "StoredKey | None": ...

    def all(self) -> list["StoredKey"]: ...

    def revoke(self, name: str, *, at: datetime) -> bool: ...


@dataclass(frozen=True, slots=True)
class StoredKey:
    """An API key: never the secret, only what it may do."""

    id: int
    name: str
    role: str
    domains: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


class Models(Protocol):
    """Match models by version. Never changed once added; at most one is active, else the packaged default is."""

    def add(self, *, version: str, digest: str, document: Mapping[str, Any], at: datetime) -> None:
        """Keep a model, as `MatchModel.to_json` writes it. A version is taken once."""

    def get(self, version: str) -> "StoredModel | None": ...

    def active(self) -> "StoredModel | None": ...

    def all(self) -> list["StoredModel"]:
        """In the order they were added."""

    def activate(self, version: str | None, *, at: datetime, by: str) -> None:
        """Make this model, and no other, the active one; with None, no stored model is."""


@dataclass(frozen=True, slots=True)
class StoredModel:
    """
    A match model as it was added.

    Args:
        digest: `MatchModel.digest` of what was added.
        activated_at: when it last became the active one; None if it never did.
    """

    version: str
    digest: str
    document: Mapping[str, Any]
    added_at: datetime
    active: bool
    activated_at: datetime | None
    activated_by: str


class UnitOfWork(Protocol):
    """One transaction. Leaving it without `commit` rolls everything back."""

    inbox: Inbox
    records: Records
    edges: Edges
    facts: Facts
    memberships: Memberships
    reviews: Reviews
    audit: AuditTrail
    outbox: Outbox
    keys: Keys
    models: Models
    relinks: Relinks
    studies: Studies
    harvests: Harvests
    sequences: Sequences

    def commit(self) -> None:
        """
        Make everything durable.

        Raises:
            StoreError: it is not, or nobody knows.
        """


class Store(Protocol):
    """Opens units of work."""

    euid_secret: bytes
    """The installation's secret: native enterprise identifiers are derived with it."""

    def write(self) -> AbstractContextManager[UnitOfWork]:
        """The one writer, waiting its turn. Raises StoreError when the store is down."""

    def read(self) -> AbstractContextManager[UnitOfWork]:
        """A consistent reader. Nothing written in it is kept."""


__all__ = [
    "Arrival", "AuditTrail", "Candidates", "Clock", "Edges", "Facts", "HarvestCursor", "Harvests", "Inbox", "Keys",
    "Membership", "Memberships", "Models", "Outbox", "OutboxRow", "Records", "Relinks", "Reviews", "Sequences",
    "Store", "StoredKey", "StoredMessage", "StoredModel", "StoredRecord", "StoredRelink", "StoredStatement",
    "Studies", "UnitOfWork",
]  # fmt: skip
