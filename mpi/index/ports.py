"""
What the registry needs from a store. Two stores and one in-memory fake implement it.

A unit of work is one transaction. Writers run one after another: that is what makes the result
of concurrent messages the result of the same messages in some order, whatever the database.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from mpi.identity.model import Demographics, RecordKey, SourceRecord, Urgency
from mpi.identity.traits import Traits
from mpi.index.audit import AuditEvent, ChainedEvent
from mpi.index.corrections import Correction, CorrectionKind
from mpi.index.events import Envelope, Fact, MessageState, Study
from mpi.index.graph import Edge
from mpi.index.reports import Report, ReportState
from mpi.index.review import WHOLE, Sight, Task, TaskState, WantedTask

Identifier = tuple[str, str]
"""The key of a domain and the identifier value there: what a record key is, whichever its epoch."""

Clock = Callable[[], datetime]
"""Returns the present instant, aware, UTC."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """
    A message of the journal. `raw` and `reply` are what was received and answered, byte for byte.

    Args:
        settled_at: when a parked message was released, or one that was stopped repaired or discarded.
        settled_by: `user:…`, `message/9` for the message that took its place or that it waited for.
        settled_reason: why, in the words of who did.
    """

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
    repeats: int | None = None
    settled_at: datetime | None = None
    settled_by: str = ""
    settled_reason: str = ""


@dataclass(frozen=True, slots=True)
class JournalLine:
    """
    A message of the journal without its bytes, to account for it.

    Args:
        name: digest of `Envelope.dedupe_key`; None when its sender gave it none.
        state: None when it is in no state there is.
        is_blank: its bytes were destroyed.
    """

    id: int
    protocol: str
    source: str
    name: str | None
    content_hash: str
    state: MessageState | None
    error: str
    sequence: int | None
    replay_of: int | None
    repeats: int | None
    settled_at: datetime | None
    settled_by: str
    reply: bytes
    is_blank: bool


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


class Sketch(NamedTuple):
    """
    One form of a family name of a record, with its birth date and given names: what searches read first.

    Args:
        name: in one word (see `spelling.forms`); empty when the record has none.
        birth: as a number (see `sketches.day_number`); 0 when unknown.
        given: the given names of each of its names, folded; cut when they are long.
    """

    name: str
    birth: int
    given: str


class Beside(NamedTuple):
    """What is stated of a record beside names and birth date that searches ask for, as it was stated."""

    address: str
    postal_code: str
    city: str
    country: str
    mother_birth_name: str


@dataclass(frozen=True, slots=True)
class Range:
    """A span of texts or numbers, both ends included."""

    first: Any
    last: Any


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


class Delivery(StrEnum):
    """What became of a thing somebody has to be told."""

    PENDING = "pending"
    DELIVERED = "delivered"
    """The addressee confirmed it."""
    DEAD = "dead"
    """Given up: refused for good, or tried for too long. It can be sent again."""
    WITHDRAWN = "withdrawn"
    """Not to be told any more: it names an identity protected or erased since, or newer content took its place."""


class Channel(StrEnum):
    """How an addressee is told."""

    MLLP = "mllp"
    WEBHOOK = "webhook"
    REST_HOOK = "rest-hook"
    """FHIR R4 subscriptions."""
    CORRECTION = "correction"
    """HL7 v2 to a source, about its own records."""


@dataclass(frozen=True, slots=True)
class Queue:
    """What one addressee has to be told over one channel, one row after the other."""

    consumer: str
    channel: Channel = Channel.MLLP


@dataclass(frozen=True, slots=True)
class HarvestCondition:
    """
    How the harvest of one source does.

    Args:
        problem: why the last attempt failed; empty while it goes well.
        running_since: None while it waits for its next turn.
        failing_since: the first failure since the last success.
        next_at: when it will be tried again.
    """

    problem: str = ""
    running_since: datetime | None = None
    failing_since: datetime | None = None
    succeeded_at: datetime | None = None
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """
    One thing one addressee has to be told.

    Args:
        consumer: the name of the addressee: a consumer, a source (corrections), `subscription/9`.
        payload: fixed with the change that is told of.
        control_id: names it to the addressee, the same however often it is sent (MSH-10).
        attempts: how often it was sent, and not confirmed.
        next_attempt_at: not before; None for at once.
        error: why the last attempt failed, without patient data.
    """

    id: int
    consumer: str
    kind: str
    payload: Mapping[str, Any]
    created_at: datetime
    channel: Channel = Channel.MLLP
    control_id: str = ""
    state: Delivery = Delivery.PENDING
    attempts: int = 0
    next_attempt_at: datetime | None = None
    delivered_at: datetime | None = None
    error: str = ""

    @property
    def queue(self) -> Queue:
        """Where it waits its turn."""
        return Queue(self.consumer, self.channel)


@dataclass(frozen=True, slots=True)
class Backlog:
    """How one queue does: rows that wait, those given up, and since when the oldest waits."""

    queue: Queue
    pending: int
    dead: int
    oldest: datetime | None


class SubscriptionStatus(StrEnum):
    """R4 Subscription.status."""

    REQUESTED = "requested"
    ACTIVE = "active"
    ERROR = "error"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Subscription:
    """
    Who asked over FHIR to be told of changes.

    Args:
        owner: name of the API key it was made with; it ends with that key.
        domains: keys of the domains the owner saw when it was made; nothing else is told of.
        criteria: as in R4: `Patient`, `Patient?_id=`, `Patient?identifier=system|value` (`mpi.index.subscriptions`).
        header: sent with each notification, `Name: value`; a secret.
        payload: media type of what is sent; empty for a notification without content.
        error: why it is in error, without patient data.
    """

    id: int
    owner: str
    domains: frozenset[str]
    criteria: str
    endpoint: str
    header: str
    payload: str
    status: SubscriptionStatus
    created_at: datetime
    error: str = ""


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
        repeats: int | None = None,
        original: bool = True,
    ) -> int:
        """
        Record one message in its terminal state, with its reply, and return its id.

        Args:
            repeats: of a duplicate, the message it is the same as.
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

    def settle(
        self, message_id: int, state: MessageState, *, at: datetime, by: str, reason: str = ""
    ) -> None:
        """A message that was stopped, or parked, needs nothing more: it was repaired, or discarded."""

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
        """A parked message had its turn: what became of it, and its reply from now on."""

    def page(
        self,
        *,
        state: MessageState | None = None,
        source: str | None = None,
        problem: str | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[StoredMessage]:
        """Messages by ascending id."""

    def counts(self) -> dict[str, dict[MessageState, int]]:
        """How many messages of each source are in each state."""

    def last_received(self) -> dict[str, tuple[datetime, MessageState]]:
        """When each source was last heard of, and what became of that message."""

    def stopped(self) -> dict[str, dict[tuple[MessageState, str, str], int]]:
        """How many messages of each source are quarantined or refused, by state, place and problem."""

    def by_hour(self, since: datetime) -> dict[str, dict[datetime, dict[MessageState, int]]]:
        """How many messages of each source that came in each hour since then are in each state."""

    def quarantined_since(self, source: str, since: datetime, *, most: int) -> tuple[int, int]:
        """Messages of a source quarantined since then, counted up to `most`, and their bytes."""

    def recent(self, limit: int) -> list[Arrival]:
        """The last messages, newest first."""

    def last_id(self) -> int:
        """The number of the newest message; 0 before the first."""

    def lines(self, *, after: int, limit: int) -> list[JournalLine]:
        """Messages by ascending id, to account for them."""

    def lines_of(self, message_ids: Collection[int]) -> dict[int, JournalLine]:
        """Those of the messages that are there."""

    def lines_in(self, state: MessageState) -> list[JournalLine]:
        """Every message in a state; few are."""

    def original_line(self, line: JournalLine) -> JournalLine | None:
        """The message that bears the name of this one."""

    def effects(self, first: int, last: int) -> dict[int, tuple[int, int]]:
        """How many statements and facts come from each of the messages of a range; those of none are absent."""

    def without_message(self, *, limit: int) -> list[tuple[str, int, int]]:
        """Statements and facts whose message is not in the journal: kind, number, message."""

    def blank(self, message_ids: Collection[int]) -> None:
        """
        Destroy the bytes of messages, of their repetitions and replays; that they were received stays known.

        Sent once more, such a message is a new one.
        """


class Waiting(Protocol):
    """Messages that could not be handled, and those of the same patients that wait for them."""

    def add(self, message_id: int, source: str, patients: Collection[str]) -> None:
        """Later messages of the source about any of these patients wait for this one."""

    def remove(self, message_id: int) -> None:
        """Nobody waits for it any more."""

    def ahead(self, source: str, patients: Collection[str]) -> int | None:
        """The last message that one about these patients has to wait for."""

    def next_free(self) -> int | None:
        """The first parked message that waits for none before it."""

    def all(self) -> list[tuple[int, str, str]]:
        """(message, source, patient), in that order."""


class Attempts(Protocol):
    """Messages during which the service ended, or whose handling was given up, by digest."""

    def tries(self, digest: str) -> int:
        """How often it was tried without an end; 0 for all others."""

    def count(self, digests: Collection[str], *, at: datetime) -> None:
        """Each of them was tried once more, and never came to an end."""

    def give_up(self, digest: str, *, tries: int, at: datetime) -> None:
        """It is not to be tried again by itself."""

    def clear(self, digest: str) -> None:
        """It came to an end, or may be tried anew."""

    def all(self) -> dict[str, int]:
        """Tries by digest."""


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

    def add_folded(self, record: StoredRecord, *, blocking_keys: Sequence[int]) -> int:
        """`add` and `save_current` in one: create a record with its first fold. The id it has is not looked at."""

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
        Replace the fold of a record's statements, its blocking keys, and what searches find it by.

        Keys it no longer holds are remembered, for questions about the past; of a record that is protected now,
        nothing that searches find it by.
        """

    def blocking_keys(self, record_ids: Collection[int]) -> dict[int, frozenset[int]]:
        """The keys each record holds; none for those without."""

    def sharing(self, keys: Collection[int], *, block_cap: int) -> dict[int, list[StoredRecord]]:
        """
        By key, the records that hold it, in ascending order: `candidates` for many identities at once.

        A key that nobody holds, or more than `block_cap` records, is absent.
        """

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


class Searches(Protocol):
    """
    What records are found by: written with them (`Records.save_current`), read here.

    Only records of the domains asked for count, towards `most` too. With `past`, what a record was once found by
    counts. More than `most` of them, and the answer is None: there is no telling how many there are.
    """

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
        """
        The records of the sketches with a name in one of the ranges and a birth date in one of the others.

        No range asks nothing. Every sketch in them counts towards `most`, also one whose record is not found.

        Args:
            by_birth: which of the two is expected to leave fewer: the store goes by that one.
            named: whether a name will do: asked of each in the ranges.
            given: whether given names will do.
        """

    def keyed(
        self,
        keys: Collection[int],
        *,
        domains: Collection[str],
        most: int,
        past: bool = False,
        among: Collection[int] | None = None,
    ) -> list[int] | None:
        """
        The records that hold one of the keys (see `sketches.keys_of`).

        Args:
            among: only these are looked at.
        """

    def numbered(self, prefixes: Collection[RecordKey], *, most: int) -> list[int] | None:
        """The records of a domain whose identifier begins with a text."""

    def within(self, domains: Collection[str], *, most: int) -> list[int] | None:
        """Every record of some domains."""

    def sketches(
        self, record_ids: Collection[int], *, domains: Collection[str], past: bool = False
    ) -> list[tuple[int, Sketch]]:
        """Every sketch of some records."""

    def keys(
        self, record_ids: Collection[int], *, domains: Collection[str], past: bool = False
    ) -> list[tuple[int, int]]:
        """Every key of some records."""

    def beside(self, record_ids: Collection[int]) -> Iterator[tuple[int, Beside]]:
        """What else is stated of some records, read at a fraction of what it costs to fold them."""


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

    def sets_of(self, record_ids: Collection[int], *, as_of: datetime | None = None) -> dict[str, list[int]]:
        """The enterprise records that some records are in, each with every record in it, in ascending order."""

    def ever_members(self, euid: str) -> list[int]:
        """Records that are, or once were, in an enterprise record."""

    def euid_of(self, record_id: int, *, as_of: datetime | None = None) -> str | None: ...

    def move(self, record_id: int, euid: str, *, at: datetime, cause: str, model_version: str) -> None:
        """End the current membership, if any, and begin this one."""

    def history(self, record_id: int) -> list[Membership]: ...


class Reviews(Protocol):
    """Review tasks: one row per sight, topic and pair, for ever, and every version it had."""

    def get(self, task_id: int) -> Task | None: ...

    def touching(self, record_ids: Collection[int]) -> list[Task]:
        """Tasks of any state and sight with an end among the records."""

    def open(self, wanted: WantedTask, *, at: datetime, sight: int = WHOLE) -> int:
        """Insert a new open task."""

    def change(self, task: Task, *, at: datetime) -> Task:
        """
        Replace a task by this value and raise its version. Key, sight, opening and claim stay what they were.

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
        sight: int | None = WHOLE,
    ) -> list[Task]:
        """Tasks of a sight, or of every one, by ascending id, as they are or as they were at an instant."""

    def urgent(
        self,
        *,
        states: Collection[TaskState],
        kind: str | None = None,
        after: Task | None = None,
        limit: int = 50,
        sight: int = WHOLE,
    ) -> list[Task]:
        """Tasks by descending priority, then ascending id; those that follow `after` in that order."""

    def history(self, task_ids: Collection[int]) -> list[Task]:
        """Every version of some tasks, by task and version."""

    def counts(self) -> dict[TaskState, int]:
        """How many tasks of those who see every domain are in each state."""


class Sights(Protocol):
    """The sights that have a queue of their own."""

    def kept(self) -> list[Sight]:
        """Those whose questions follow every change, in the order of their numbers."""

    def of(self, domains: Collection[str]) -> Sight | None:
        """The kept sight of exactly these domains."""

    def keep(self, domains: Collection[str]) -> Sight:
        """Keep a sight from now on, its queue yet to be made; one that was kept before bears its number again."""

    def advance(self, sight_id: int, position: int | None) -> None:
        """Note how far its queue is made (`Sight.position`)."""

    def drop(self, sight_id: int) -> None:
        """Keep it no longer. Its tasks stay what they are."""


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

    def forget(self, uid: str, source: str, record: RecordKey) -> None:
        """A study is not under an identifier any more, as one source knows it; nothing if it never was."""

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

    def condition(self, source: str) -> HarvestCondition | None:
        """How it does, or None when it was never tried."""

    def note(self, source: str, condition: HarvestCondition, *, at: datetime) -> None:
        """Keep how it does; the cursor stays where it is."""


class Sequences(Protocol):
    """The sequence number each source has to send next."""

    def expected(self, source: str) -> int | None:
        """The number; None when the source may begin anywhere."""

    def expect(self, source: str, number: int | None) -> None: ...


class Reports(Protocol):
    """What people reported to be wrong."""

    def add(self, report: Report) -> int:
        """Keep a new one about records that exist, whatever its id says, and return the id it has."""

    def get(self, report_id: int) -> Report | None: ...

    def change(self, report: Report) -> Report:
        """
        Replace state, answer, who decided and the fact, and raise the version. What was reported stays.

        Raises:
            LookupError: no such report.
        """

    def page(
        self,
        *,
        states: Collection[ReportState],
        actor: str | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[Report]:
        """Reports by ascending id; of one reporter when an actor is given."""

    def about(self, record_ids: Collection[int]) -> list[Report]:
        """Those about any of the records, by ascending id."""

    def blank(self, record_ids: Collection[int]) -> None:
        """Destroy what was written in the reports about some records; that they were made stays known."""


class Corrections(Protocol):
    """What sites were asked to change in their own records."""

    def add(self, correction: Correction) -> int:
        """Keep a new request, whatever its id says, and return the id it has."""

    def get(self, correction_id: int) -> Correction | None: ...

    def change(self, correction: Correction) -> Correction:
        """
        Replace what became of it, and raise the version. What is asked stays.

        Raises:
            LookupError: no such request.
        """

    def touching(self, record_ids: Collection[int]) -> list[Correction]:
        """Those that were not withdrawn, about any of the records, by ascending id."""

    def of_cause(self, cause: str) -> list[Correction]:
        """Those that rest on one thing: a decision `fact/3`, or every acceptance of a report, `report/2`."""

    def page(
        self,
        *,
        is_open: bool | None = None,
        kind: CorrectionKind | None = None,
        overdue_at: datetime | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[Correction]:
        """
        Requests by ascending id.

        Args:
            is_open: whether the site still has to act; None for all.
            overdue_at: those that are open and were due by that instant.
        """

    def blank(self, record_ids: Collection[int]) -> None:
        """Destroy the traits in the requests about some records; that they were made stays known."""


@dataclass(frozen=True, slots=True)
class Figures:
    """
    How identities do, in numbers. Nothing of a person is in it.

    Args:
        identities: by domain, how many active records have each status (`PROV`, `RECUP`, `VALI`, `QUAL`), and each
            attribute (`DOUT`, `FICT`, `HOMA`…).
        duplicates: by domain, records that share an enterprise record with another active one of their domain.
        held: by domain, records with a held statement.
        tasks: by kind, live tasks: how many, and when the oldest was opened.
        reports: by state.
        corrected: reports whose corrections are all done, and the mean seconds it took from the report.
        overdue: by source, requests that are open and past their time; and those that are open.
        ins_withdrawn: by domain, requests to withdraw an INS that are done.
    """

    identities: Mapping[str, Mapping[str, int]]
    duplicates: Mapping[str, int]
    held: Mapping[str, int]
    tasks: Mapping[str, tuple[int, datetime]]
    reports: Mapping[ReportState, int]
    corrected: tuple[int, float]
    overdue: Mapping[str, tuple[int, int]]
    ins_withdrawn: Mapping[str, int]


class Indicators(Protocol):
    """Counts over the whole store, made by the store."""

    def figures(self, domains: Collection[str], *, at: datetime, sight: int = WHOLE) -> Figures:
        """
        What is about the records of some domains, and about no record of another, at this instant.

        Args:
            sight: whose questions are counted, and whose duplicates.
        """


class AuditTrail(Protocol):
    """Append only."""

    def append(self, event: AuditEvent) -> None: ...

    def append_all(self, events: Sequence[AuditEvent]) -> None:
        """Append several, in their order."""

    def chain(self) -> Iterator[ChainedEvent]: ...

    def get(self, sequence: int) -> ChainedEvent | None: ...

    def newest(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[ChainedEvent]:
        """
        Events, the newest first.

        Args:
            since, until: the span they are of, `until` itself not in it.
            before: only those earlier in the chain than this one.
        """


class Outbox(Protocol):
    """What addressees have to be told, written with the change that makes it so."""

    def add(
        self,
        *,
        consumer: str,
        kind: str,
        payload: Mapping[str, Any],
        created_at: datetime,
        channel: Channel = Channel.MLLP,
    ) -> int:
        """Queue a row after all the others, under a control id of its own, and return its id."""

    def get(self, row_id: int) -> OutboxRow | None: ...

    def page(
        self,
        *,
        after: int = 0,
        limit: int = 50,
        consumer: str | None = None,
        state: Delivery | None = None,
    ) -> list[OutboxRow]:
        """Rows by ascending id."""

    def to(self, consumer: str, *, until: datetime) -> list[OutboxRow]:
        """What a consumer had been told by an instant."""

    def due(self, *, at: datetime) -> list[Queue]:
        """Queues that are not paused, and whose first pending row may be tried."""

    def head(self, queue: Queue, *, limit: int = 50) -> list[OutboxRow]:
        """The first pending rows of a queue."""

    def change(self, row: OutboxRow) -> None:
        """
        Replace what became of a row: state, attempts, instants and error.

        Raises:
            LookupError: no such row.
        """

    def last_told(self, audience: str, identifiers: Collection[Identifier]) -> list[frozenset[Identifier]]:
        """The sets of several identifiers that an audience was last told of, those that hold one of these."""

    def note_told(
        self,
        audience: str,
        *,
        instead: Collection[frozenset[Identifier]],
        sets: Collection[frozenset[Identifier]],
    ) -> None:
        """Remember sets of several that an audience is told of, and forget those they take the place of."""

    def backlogs(self) -> list[Backlog]:
        """The queues in which something waits, or was given up."""

    def pause(self, consumer: str, *, at: datetime, by: str) -> bool:
        """Send it nothing until it is resumed. Returns whether it was not paused already."""

    def resume(self, consumer: str) -> bool:
        """Send to it again. Returns whether it was paused."""

    def paused(self) -> dict[str, datetime]:
        """Who is paused, and since when."""


class Subscriptions(Protocol):
    """FHIR subscriptions."""

    def add(self, subscription: Subscription) -> int:
        """Keep a new one, whatever its id says, and return the id it has."""

    def get(self, subscription_id: int) -> Subscription | None: ...

    def all(self, *, owner: str | None = None) -> list[Subscription]:
        """By ascending id, those that ended too."""

    def active(self) -> list[Subscription]: ...

    def change(self, subscription_id: int, *, status: SubscriptionStatus, error: str = "") -> None:
        """
        Set its status.

        Raises:
            LookupError: no such subscription.
        """


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """
    What a caller was answered under an idempotency key.

    Args:
        fingerprint: of the request: the same key with another request is a mistake.
        status: 0 while the answer is not known, though what was asked is done.
    """

    fingerprint: str
    status: int = 0
    media_type: str = ""
    body: bytes = b""


class KeptAnswers(Protocol):
    """What writes over HTTP were answered, for a while, so that a repetition is not a second write."""

    def find(self, caller: str, key: str) -> KeptAnswer | None: ...

    def claim(self, caller: str, key: str, fingerprint: str, *, at: datetime) -> bool:
        """Take a key in the transaction of the write itself. False when it is taken."""

    def keep(self, caller: str, key: str, *, status: int, media_type: str, body: bytes) -> None:
        """Keep the answer under a key that was claimed; nothing otherwise."""

    def forget(self, *, before: datetime) -> None:
        """Drop what was claimed before an instant."""

    def blank(self) -> None:
        """Destroy every answer that is kept: one may name what is erased. The keys stay taken."""


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
    kept_answers: KeptAnswers
    models: Models
    relinks: Relinks
    studies: Studies
    harvests: Harvests
    sequences: Sequences
    reports: Reports
    corrections: Corrections
    indicators: Indicators
    waiting: Waiting
    attempts: Attempts
    subscriptions: Subscriptions
    searches: Searches
    sights: Sights

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

    def claim(self, name: str) -> AbstractContextManager[bool]:
        """Whether this holder, and no other of any process, works on something meanwhile; let go of when it dies."""

    def trace(self, event: AuditEvent) -> None:
        """
        Append one audit event to the chain, on its own: durable when this returns.

        Events of several threads may share one transaction, so that a read costs no commit of its own.

        Raises:
            StoreError: it is not durable, or nobody knows. Do not answer.
        """


__all__ = [
    "Arrival", "AuditTrail", "Backlog", "Candidates", "Channel", "Clock", "Corrections", "Delivery", "Edges",
    "Facts", "Figures", "HarvestCondition", "HarvestCursor", "Harvests", "Identifier", "Inbox", "Indicators",
    "KeptAnswer", "KeptAnswers", "Keys", "Membership", "Memberships", "Models", "Outbox", "OutboxRow", "Queue",
    "Range", "Records", "Relinks", "Reports", "Reviews", "Searches", "Sequences", "Sights", "Sketch", "Store",
    "StoredKey", "StoredMessage", "StoredModel", "StoredRecord", "StoredRelink", "StoredStatement", "Studies",
    "Subscription", "SubscriptionStatus", "Subscriptions", "UnitOfWork",
]  # fmt: skip
