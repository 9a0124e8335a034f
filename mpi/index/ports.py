"""
What the registry needs from a store. Two stores and one in-memory fake implement it.

A unit of work is one transaction. Writers run one after another: that is what makes the result
of concurrent messages the result of the same messages in some order, whatever the database.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mpi.identity.model import Demographics, RecordKey, SourceRecord
from mpi.identity.traits import Traits
from mpi.index.audit import AuditEvent, ChainedEvent
from mpi.index.events import Envelope, Fact, MessageState
from mpi.index.graph import Edge
from mpi.index.review import Task, TaskState, Verdict, WantedTask

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
class StoredRecord:
    """
    A source record as it stands: the fold of its statements.

    Args:
        native_euid: the enterprise identifier it would have alone; its for ever.
        first_event_time: when it was first true; None while nobody stated it (a merge may name
            an identifier before anything else does).
    """

    id: int
    key: RecordKey
    native_euid: str
    first_event_time: datetime | None
    demographics: Demographics
    traits: Traits


@dataclass(frozen=True, slots=True)
class StoredStatement:
    """One version of a source record, with its place in its source's own order."""

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
    """A record belonged to an enterprise record from one instant to another (None: still)."""

    record_id: int
    euid: str
    valid_from: datetime
    valid_to: datetime | None


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


class Records(Protocol):
    """Source records, their statements, identifiers and blocking keys."""

    def get(self, record_id: int) -> StoredRecord: ...

    def by_key(self, key: RecordKey) -> StoredRecord | None: ...

    def by_keys(self, keys: Collection[RecordKey]) -> dict[RecordKey, StoredRecord]: ...

    def by_ids(self, record_ids: Collection[int]) -> dict[int, StoredRecord]: ...

    def by_native_euid(self, euid: str) -> StoredRecord | None: ...

    def all_ids(self) -> list[int]: ...

    def add(self, key: RecordKey, native_euid: str) -> int:
        """Create a record nobody stated yet (no traits, no first event time)."""

    def add_statement(
        self, record_id: int, statement: SourceRecord, *, message_id: int, recorded_at: datetime
    ) -> int: ...

    def statements(self, record_id: int) -> list[StoredStatement]:
        """Every statement of a record, in the order they were recorded."""

    def save_current(
        self,
        record_id: int,
        *,
        first_event_time: datetime,
        demographics: Demographics,
        traits: Traits,
        blocking_keys: Sequence[int],
    ) -> None:
        """Replace the fold of the record's statements, and its blocking keys."""

    def candidates(self, keys: Sequence[int], *, excluding: int | None, block_cap: int) -> Candidates:
        """Records sharing any key; a key held by more than `block_cap` records is not opened but counted."""


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

    def standing(self, keys: Collection[RecordKey]) -> list[Fact]:
        """Facts not withdrawn with at least one end among the keys."""

    def ever(self, keys: Collection[RecordKey]) -> list[Fact]:
        """Every fact with at least one end among the keys, withdrawn ones too."""

    def page(self, *, after: int = 0, limit: int = 50) -> list[Fact]: ...


class Memberships(Protocol):
    """Which enterprise record each source record is in, and was in."""

    def current(self, record_ids: Collection[int]) -> dict[int, str]: ...

    def members(self, euid: str, *, as_of: datetime | None = None) -> list[int]: ...

    def euid_of(self, record_id: int, *, as_of: datetime | None = None) -> str | None: ...

    def move(self, record_id: int, euid: str, *, at: datetime) -> None:
        """End the current membership, if any, and begin this one."""

    def history(self, record_id: int) -> list[Membership]: ...


class Reviews(Protocol):
    """Review tasks: one row per kind and pair, for ever."""

    def get(self, task_id: int) -> Task | None: ...

    def touching(self, record_ids: Collection[int]) -> list[Task]:
        """Tasks of any state with an end among the records."""

    def open(self, wanted: WantedTask, *, at: datetime) -> int:
        """Insert a new open task."""

    def change(
        self,
        task_id: int,
        *,
        state: TaskState,
        at: datetime,
        reason: str | None = None,
        weight_bits: float | None = None,
        verdict: Verdict | None = None,
        reviewer: str = "",
        fact_id: int | None = None,
    ) -> None:
        """Move a task and raise its version; verdict, reviewer and fact are set as given (None clears)."""

    def by_fact(self, fact_id: int) -> list[Task]: ...

    def page(
        self, *, states: Collection[TaskState], kind: str | None = None, after: int = 0, limit: int = 50
    ) -> list[Task]: ...

    def counts(self) -> dict[TaskState, int]: ...


class AuditTrail(Protocol):
    """Append only."""

    def append(self, event: AuditEvent) -> None: ...

    def chain(self) -> Iterator[ChainedEvent]: ...


class Outbox(Protocol):
    """What consumers have to be told, written with the change that makes it so."""

    def add(self, *, consumer: str, kind: str, payload: Mapping[str, Any], created_at: datetime) -> None: ...

    def page(self, *, after: int = 0, limit: int = 50) -> list[OutboxRow]: ...


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
    "AuditTrail", "Candidates", "Clock", "Edges", "Facts", "Inbox", "Keys", "Membership", "Memberships",
    "Models", "Outbox", "OutboxRow", "Records", "Reviews", "Store", "StoredKey", "StoredMessage", "StoredModel",
    "StoredRecord", "StoredStatement", "UnitOfWork",
]  # fmt: skip
