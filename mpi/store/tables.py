"""
The tables. Every change here needs a migration; a test holds the two equal.

Facts are kept for ever (inbox, statement, fact, membership, task_version, audit). What can be
derived again is replaced in place (the fold on source_record, blocking_key, edge). A column that
was added to a table with rows has a default in the database: it is what those rows hold.
"""

from datetime import date, datetime
from typing import Any, ClassVar, cast

from sqlalchemy import Double, Index, MetaData, Table, Text, false, text, true
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from mpi.store.columns import AnyText, JsonText, Number, OrderedText, UtcDateTime

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
_ZERO = {"server_default": text("0")}
_NO = {"server_default": false()}
_EMPTY = {"server_default": ""}
_NOTHING_SEEN = {"server_default": "{}"}


class _Row(SQLModel, registry=registry(metadata=MetaData(naming_convention=_NAMES))):
    """Tables of the store share one metadata, apart from any other SQLModel in the process."""


class MetaRow(_Row, table=True):
    """What the installation knows about itself, such as the secret its identifiers are derived with."""

    __tablename__: ClassVar[str] = "meta"
    key: str = Field(primary_key=True)
    value: str


class InboxRow(_Row, table=True):
    """The journal: each message received, in its one terminal state."""

    __tablename__: ClassVar[str] = "inbox"
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    protocol: str
    source: str = Field(sa_type=AnyText)
    application: str = Field(sa_type=AnyText)
    facility: str = Field(sa_type=AnyText)
    control_id: str = Field(sa_type=AnyText)
    content_hash: str
    event: str = Field(sa_type=AnyText)
    dedupe_digest: str | None
    """SHA-256 of `Envelope.dedupe_key`: of one size, whatever the sender calls its messages."""
    original: bool
    state: str
    received_at: datetime = Field(sa_type=UtcDateTime)
    sequence: int | None = Field(sa_type=Number)
    replay_of: int | None = Field(foreign_key="inbox.id", sa_type=Number)
    place: str = Field(sa_type=AnyText)
    problem: str = Field(sa_type=AnyText)
    error: str = Field(sa_type=AnyText)
    warnings: list[str] = Field(sa_type=JsonText)
    raw: bytes
    reply: bytes
    repeats: int | None = Field(sa_type=Number)
    settled_at: datetime | None = Field(sa_type=UtcDateTime)
    settled_by: str = Field(sa_type=AnyText, sa_column_kwargs=_EMPTY)
    settled_reason: str = Field(sa_type=AnyText, sa_column_kwargs=_EMPTY)


class SourceRecordRow(_Row, table=True):
    """One person as one domain knows them: the fold of the statements."""

    __tablename__: ClassVar[str] = "source_record"
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    domain: str = Field(sa_type=AnyText)
    value: str = Field(sa_type=AnyText)
    epoch: int = Field(sa_column_kwargs=_ZERO)
    native_euid: str
    fold_token: int = Field(sa_type=Number)
    """Drawn at random for each fold: equal tokens mean equal rows, also across rolled-back writes."""
    first_event_time: datetime | None = Field(sa_type=UtcDateTime)
    traits: dict[str, Any] = Field(sa_type=JsonText)
    demographics: dict[str, Any] = Field(sa_type=JsonText)
    urgency: int = Field(sa_column_kwargs=_ZERO)
    held_since: datetime | None = Field(sa_type=UtcDateTime)
    held_reason: str = Field(sa_column_kwargs=_EMPTY)


class StatementRow(_Row, table=True):
    """One version of a source record, as stated; empty once erased."""

    __tablename__: ClassVar[str] = "statement"
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    record_id: int = Field(foreign_key="source_record.id", sa_type=Number, index=True)
    message_id: int = Field(foreign_key="inbox.id", sa_type=Number, index=True)
    event_time: datetime = Field(sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    stated: dict[str, Any] = Field(sa_type=JsonText)


class BlockingKeyRow(_Row, table=True):
    """Which records share a blocking key."""

    __tablename__: ClassVar[str] = "blocking_key"
    __table_args__ = {"sqlite_with_rowid": False}
    key: int = Field(primary_key=True, sa_type=Number, sa_column_kwargs={"autoincrement": False})
    record_id: int = Field(
        primary_key=True,
        foreign_key="source_record.id",
        sa_type=Number,
        index=True,
        sa_column_kwargs={"autoincrement": False},
    )


class PastKeyRow(_Row, table=True):
    """Which records once held a blocking key, and may hold it again."""

    __tablename__: ClassVar[str] = "past_key"
    __table_args__ = {"sqlite_with_rowid": False}
    key: int = Field(primary_key=True, sa_type=Number, sa_column_kwargs={"autoincrement": False})
    record_id: int = Field(
        primary_key=True,
        foreign_key="source_record.id",
        sa_type=Number,
        index=True,
        sa_column_kwargs={"autoincrement": False},
    )


class SearchNameRow(_Row, table=True):
    """One form of a family name that a record is, or was, found by."""

    __tablename__: ClassVar[str] = "search_name"
    __table_args__ = (Index("ix_search_name_name_birth", "name", "birth"), {"sqlite_with_rowid": False})
    birth: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    name: str = Field(primary_key=True, sa_type=OrderedText)
    record_id: int = Field(
        primary_key=True,
        foreign_key="source_record.id",
        sa_type=Number,
        index=True,
        sa_column_kwargs={"autoincrement": False},
    )
    domain: str = Field(sa_type=AnyText)
    given: str = Field(sa_type=Text)
    past: bool


class SearchKeyRow(_Row, table=True):
    """One key, of a phone, a mail address or a postal code, that a record is, or was, found by."""

    __tablename__: ClassVar[str] = "search_key"
    __table_args__ = {"sqlite_with_rowid": False}
    key: int = Field(primary_key=True, sa_type=Number, sa_column_kwargs={"autoincrement": False})
    record_id: int = Field(
        primary_key=True,
        foreign_key="source_record.id",
        sa_type=Number,
        index=True,
        sa_column_kwargs={"autoincrement": False},
    )
    domain: str = Field(sa_type=AnyText)
    past: bool


class EdgeRow(_Row, table=True):
    """A scored pair worth keeping."""

    __tablename__: ClassVar[str] = "edge"
    __table_args__ = {"sqlite_with_rowid": False}
    left_id: int = Field(
        primary_key=True,
        foreign_key="source_record.id",
        sa_type=Number,
        sa_column_kwargs={"autoincrement": False},
    )
    right_id: int = Field(
        primary_key=True,
        foreign_key="source_record.id",
        sa_type=Number,
        index=True,
        sa_column_kwargs={"autoincrement": False},
    )
    weight_bits: float = Field(sa_type=Double)
    probability: float = Field(sa_type=Double)
    decision: str
    evidence: list[Any] = Field(sa_type=JsonText)
    guards: list[str] = Field(sa_type=JsonText)
    contradicts: bool
    model_version: str


class FactRow(_Row, table=True):
    """An assertion by a person or a source about two record keys, which need not exist yet."""

    __tablename__: ClassVar[str] = "fact"
    __table_args__ = (
        Index("ix_fact_left", "left_domain", "left_value", "left_epoch"),
        Index("ix_fact_right", "right_domain", "right_value", "right_epoch"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    kind: str
    left_domain: str = Field(sa_type=AnyText)
    left_value: str = Field(sa_type=AnyText)
    left_epoch: int = Field(sa_column_kwargs=_ZERO)
    right_domain: str = Field(sa_type=AnyText)
    right_value: str = Field(sa_type=AnyText)
    right_epoch: int = Field(sa_column_kwargs=_ZERO)
    actor: str = Field(sa_type=AnyText)
    reason: str = Field(sa_type=AnyText)
    event_time: datetime = Field(sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    message_id: int | None = Field(foreign_key="inbox.id", sa_type=Number)
    statement_id: int | None = Field(foreign_key="statement.id", sa_type=Number)
    act_id: int | None = Field(foreign_key="fact.id", sa_type=Number, index=True)
    seen: dict[str, str] = Field(sa_type=JsonText, sa_column_kwargs=_NOTHING_SEEN)
    second_needed: bool = Field(sa_column_kwargs=_NO)
    confirmed_at: datetime | None = Field(sa_type=UtcDateTime)
    confirmed_by: str = Field(sa_type=AnyText, sa_column_kwargs=_EMPTY)
    withdrawal_asked_by: str = Field(sa_type=AnyText, sa_column_kwargs=_EMPTY)
    withdrawn_at: datetime | None = Field(sa_type=UtcDateTime)
    withdrawn_by: str = Field(sa_type=AnyText)


class MembershipRow(_Row, table=True):
    """A record belonged to an enterprise record from one instant to another."""

    __tablename__: ClassVar[str] = "membership"
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    record_id: int = Field(foreign_key="source_record.id", sa_type=Number, index=True)
    euid: str = Field(index=True)
    valid_from: datetime = Field(sa_type=UtcDateTime)
    valid_to: datetime | None = Field(sa_type=UtcDateTime)
    cause: str = Field(sa_column_kwargs=_EMPTY)
    model_version: str = Field(sa_column_kwargs=_EMPTY)


class TaskRow(_Row, table=True):
    """A review task as it is: one per sight, topic and pair, for ever."""

    __tablename__: ClassVar[str] = "task"
    __table_args__ = (
        Index("uq_task_sight_topic_left_id_right_id", "sight", "topic", "left_id", "right_id", unique=True),
        Index("ix_task_sight_state_id", "sight", "state", "id"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    topic: str = Field(sa_column_kwargs=_EMPTY)
    kind: str
    left_id: int = Field(foreign_key="source_record.id", sa_type=Number, index=True)
    right_id: int = Field(foreign_key="source_record.id", sa_type=Number, index=True)
    state: str
    reason: str
    weight_bits: float | None = Field(sa_type=Double)
    version: int
    opened_at: datetime = Field(sa_type=UtcDateTime)
    changed_at: datetime = Field(sa_type=UtcDateTime)
    verdict: str | None
    reviewer: str = Field(sa_type=AnyText)
    fact_id: int | None = Field(foreign_key="fact.id", sa_type=Number, index=True)
    fingerprint: dict[str, str] = Field(sa_type=JsonText, sa_column_kwargs=_NOTHING_SEEN)
    priority: int = Field(sa_column_kwargs=_ZERO)
    claimed_by: str = Field(sa_type=AnyText, sa_column_kwargs=_EMPTY)
    claimed_at: datetime | None = Field(sa_type=UtcDateTime)
    sight: int = Field(sa_type=Number, sa_column_kwargs=_ZERO)


class SightRow(_Row, table=True):
    """Domains whose staff have a queue of their own; `position` is empty once it is made."""

    __tablename__: ClassVar[str] = "sight"
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    domains: list[str] = Field(sa_type=JsonText, unique=True)
    is_kept: bool
    position: int | None = Field(sa_type=Number)


class TaskVersionRow(_Row, table=True):
    """A review task as it was at one version, the present one too: all of it that changes, but the claim."""

    __tablename__: ClassVar[str] = "task_version"
    __table_args__ = {"sqlite_with_rowid": False}
    task_id: int = Field(
        primary_key=True, foreign_key="task.id", sa_type=Number, sa_column_kwargs={"autoincrement": False}
    )
    version: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    kind: str
    state: str
    reason: str
    weight_bits: float | None = Field(sa_type=Double)
    fingerprint: dict[str, str] = Field(sa_type=JsonText)
    priority: int
    verdict: str | None
    reviewer: str = Field(sa_type=AnyText)
    fact_id: int | None = Field(foreign_key="fact.id", sa_type=Number)
    changed_at: datetime = Field(sa_type=UtcDateTime)


class AuditRow(_Row, table=True):
    """The audit chain. The sequence is given, not drawn: it has no gaps."""

    __tablename__: ClassVar[str] = "audit"
    sequence: int = Field(primary_key=True, sa_type=Number, sa_column_kwargs={"autoincrement": False})
    previous_hash: str
    hash: str
    at: datetime = Field(sa_type=UtcDateTime)
    actor: str = Field(sa_type=AnyText)
    action: str
    kind: str
    subject: str = Field(sa_type=AnyText)
    details: dict[str, Any] = Field(sa_type=JsonText)


class ToldRow(_Row, table=True):
    """An identifier in a set of several that an audience was last told of; those of one set share `set_id`."""

    __tablename__: ClassVar[str] = "told"
    __table_args__ = (Index("ix_told_audience_set_id", "audience", "set_id"), {"sqlite_with_rowid": False})
    audience: str = Field(primary_key=True)
    domain: str = Field(primary_key=True, sa_type=AnyText)
    value: str = Field(primary_key=True, sa_type=AnyText)
    set_id: int = Field(sa_type=Number)


class OutboxRow(_Row, table=True):
    """One thing one addressee has to be told, and what became of it."""

    __tablename__: ClassVar[str] = "outbox"
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    consumer: str = Field(sa_type=AnyText)
    kind: str
    payload: dict[str, Any] = Field(sa_type=JsonText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    channel: str = Field(sa_column_kwargs={"server_default": "mllp"})
    control_id: str = Field(sa_column_kwargs=_EMPTY)
    state: str = Field(sa_column_kwargs={"server_default": "withdrawn"})
    attempts: int = Field(sa_column_kwargs=_ZERO)
    next_attempt_at: datetime | None = Field(sa_type=UtcDateTime)
    delivered_at: datetime | None = Field(sa_type=UtcDateTime)
    error: str = Field(sa_column_kwargs=_EMPTY)


class PausedRow(_Row, table=True):
    """An addressee that is sent nothing for now."""

    __tablename__: ClassVar[str] = "paused"
    consumer: str = Field(primary_key=True, sa_type=AnyText)
    at: datetime = Field(sa_type=UtcDateTime)
    by: str = Field(sa_type=AnyText)


class SubscriptionRow(_Row, table=True):
    """A FHIR subscription."""

    __tablename__: ClassVar[str] = "subscription"
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    owner: str = Field(sa_type=AnyText, index=True)
    domains: list[str] = Field(sa_type=JsonText)
    criteria: str = Field(sa_type=AnyText)
    endpoint: str = Field(sa_type=AnyText)
    header: str = Field(sa_type=AnyText)
    payload: str = Field(sa_type=AnyText)
    status: str
    created_at: datetime = Field(sa_type=UtcDateTime)
    error: str


class KeptAnswerRow(_Row, table=True):
    """What a write over HTTP was answered, for a while: a repetition under the same key is not a second write."""

    __tablename__: ClassVar[str] = "kept_answer"
    caller: str = Field(primary_key=True, sa_type=AnyText)
    key: str = Field(primary_key=True, sa_type=AnyText)
    """SHA-256 of what the caller sent: it may be anything."""
    fingerprint: str = Field(sa_type=AnyText)
    claimed_at: datetime = Field(sa_type=UtcDateTime, index=True)
    status: int = Field(sa_type=Number)
    media_type: str = Field(sa_type=AnyText)
    body: bytes


class ApiKeyRow(_Row, table=True):
    """An API key, by the hash of its secret."""

    __tablename__: ClassVar[str] = "api_key"
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    name: str
    secret_hash: str = Field(unique=True)
    role: str
    domains: list[str] = Field(sa_type=JsonText)
    created_at: datetime = Field(sa_type=UtcDateTime)
    revoked_at: datetime | None = Field(sa_type=UtcDateTime)


class MatchModelRow(_Row, table=True):
    """A match model: version, digest and document never change; only which one is active does."""

    __tablename__: ClassVar[str] = "match_model"
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    version: str = Field(unique=True)
    digest: str
    document: dict[str, Any] = Field(sa_type=JsonText)
    added_at: datetime = Field(sa_type=UtcDateTime)
    active: bool
    activated_at: datetime | None = Field(sa_type=UtcDateTime)
    activated_by: str = Field(sa_type=AnyText)


class RelinkRow(_Row, table=True):
    """A run of the whole store through another match model, and how far it has come."""

    __tablename__: ClassVar[str] = "relink"
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    model_version: str
    started_at: datetime = Field(sa_type=UtcDateTime)
    started_by: str = Field(sa_type=AnyText)
    position: int = Field(sa_type=Number)
    finished_at: datetime | None = Field(sa_type=UtcDateTime)


class StudyRow(_Row, table=True):
    """A study as one source knows it, under one identifier."""

    __tablename__: ClassVar[str] = "study"
    __table_args__ = (Index("ix_study_domain_value", "domain", "value"), {"sqlite_with_rowid": False})
    uid: str = Field(primary_key=True, sa_type=AnyText)
    source: str = Field(primary_key=True, sa_type=AnyText)
    domain: str = Field(primary_key=True, sa_type=AnyText)
    value: str = Field(primary_key=True, sa_type=AnyText)
    message_id: int = Field(foreign_key="inbox.id", sa_type=Number, index=True)
    accession: str = Field(sa_type=AnyText)
    modalities: list[str] = Field(sa_type=JsonText)
    date: "date | None"
    institution: str = Field(sa_type=AnyText)
    is_manifest: bool


class HarvestProgressRow(_Row, table=True):
    """How far the harvest of one source has come."""

    __tablename__: ClassVar[str] = "harvest_progress"
    source: str = Field(primary_key=True, sa_type=AnyText)
    through: date | None
    skip: int = Field(sa_type=Number)
    updated_at: datetime = Field(sa_type=UtcDateTime)
    problem: str = Field(sa_type=AnyText, sa_column_kwargs=_EMPTY)
    running_since: datetime | None = Field(sa_type=UtcDateTime)
    failing_since: datetime | None = Field(sa_type=UtcDateTime)
    succeeded_at: datetime | None = Field(sa_type=UtcDateTime)
    next_at: datetime | None = Field(sa_type=UtcDateTime)


class FeedCountRow(_Row, table=True):
    """
    How many messages of a source are in a state, of those that came in an hour since 1970.

    Hour 0 counts them all, by where and why they were stopped; the others leave that empty.
    """

    __tablename__: ClassVar[str] = "feed_count"
    __table_args__ = (Index("ix_feed_count_hour", "hour"), {"sqlite_with_rowid": False})
    source: str = Field(primary_key=True, sa_type=AnyText)
    hour: int = Field(primary_key=True, sa_type=Number, sa_column_kwargs={"autoincrement": False})
    state: str = Field(primary_key=True)
    place: str = Field(primary_key=True, sa_type=AnyText)
    problem: str = Field(primary_key=True, sa_type=AnyText)
    count: int = Field(sa_type=Number)


class SourceSequenceRow(_Row, table=True):
    """The sequence number a source has to send next; empty when it may begin anywhere."""

    __tablename__: ClassVar[str] = "source_sequence"
    source: str = Field(primary_key=True, sa_type=AnyText)
    expected: int | None = Field(sa_type=Number)


class WaitingRow(_Row, table=True):
    """A patient whose later messages from a source wait for this message."""

    __tablename__: ClassVar[str] = "waiting"
    source: str = Field(primary_key=True, sa_type=AnyText)
    patient: str = Field(primary_key=True, sa_type=AnyText)
    message_id: int = Field(
        primary_key=True,
        foreign_key="inbox.id",
        sa_type=Number,
        index=True,
        sa_column_kwargs={"autoincrement": False},
    )


class AttemptRow(_Row, table=True):
    """A message during which the service ended, or whose handling was given up."""

    __tablename__: ClassVar[str] = "attempt"
    digest: str = Field(primary_key=True)
    tries: int = Field(sa_type=Number)
    last_at: datetime = Field(sa_type=UtcDateTime)


class ReportRow(_Row, table=True):
    """What somebody reported to be wrong; its words are empty once a record it is about is erased."""

    __tablename__: ClassVar[str] = "report"
    __table_args__ = (Index("ix_report_state_id", "state", "id"),)
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    kind: str
    actor: str = Field(sa_type=AnyText)
    role: str
    received_at: datetime = Field(sa_type=UtcDateTime)
    changed_at: datetime = Field(sa_type=UtcDateTime)
    comment: str = Field(sa_type=AnyText)
    trait: str
    study_uid: str = Field(sa_type=AnyText)
    state: str
    version: int
    fact_id: int | None = Field(foreign_key="fact.id", sa_type=Number)
    decided_by: str = Field(sa_type=AnyText)
    answer: str = Field(sa_type=AnyText)


class ReportAboutRow(_Row, table=True):
    """A record that a report is about."""

    __tablename__: ClassVar[str] = "report_about"
    __table_args__ = {"sqlite_with_rowid": False}
    report_id: int = Field(
        primary_key=True, foreign_key="report.id", sa_type=Number, sa_column_kwargs={"autoincrement": False}
    )
    record_id: int = Field(
        primary_key=True,
        foreign_key="source_record.id",
        sa_type=Number,
        index=True,
        sa_column_kwargs={"autoincrement": False},
    )


class CorrectionRow(_Row, table=True):
    """What a site was asked to change; its traits are empty once a record it is about is erased."""

    __tablename__: ClassVar[str] = "correction"
    __table_args__ = (
        Index("uq_correction_asked", "cause", "kind", "left_id", "right_id", unique=True),
        Index("ix_correction_root", "root"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    kind: str
    cause: str
    root: str
    """What it rests on, whichever its version."""
    left_id: int = Field(foreign_key="source_record.id", sa_type=Number, index=True)
    right_id: int = Field(foreign_key="source_record.id", sa_type=Number, index=True)
    asserted_by: str = Field(sa_type=AnyText)
    source: str = Field(sa_type=AnyText)
    expected: dict[str, str] = Field(sa_type=JsonText)
    before: dict[str, str] = Field(sa_type=JsonText)
    traits: list[str] = Field(sa_type=JsonText)
    study_uid: str = Field(sa_type=AnyText)
    requested_by: str = Field(sa_type=AnyText)
    requested_at: datetime = Field(sa_type=UtcDateTime)
    due_at: datetime = Field(sa_type=UtcDateTime)
    outbox_id: int | None = Field(foreign_key="outbox.id", sa_type=Number)
    settled: str
    """Empty while the site still has to act."""
    settled_at: datetime | None = Field(sa_type=UtcDateTime)
    settled_by: str
    withdrawn_at: datetime | None = Field(sa_type=UtcDateTime)
    withdrawn_by: str = Field(sa_type=AnyText)
    version: int


def _table(row: Any) -> Table:
    return cast(Table, row.__table__)


metadata: MetaData = _Row.metadata
META, INBOX, SOURCE_RECORD, STATEMENT = map(_table, (MetaRow, InboxRow, SourceRecordRow, StatementRow))
BLOCKING_KEY, PAST_KEY, EDGE = map(_table, (BlockingKeyRow, PastKeyRow, EdgeRow))
SEARCH_NAME, SEARCH_KEY = map(_table, (SearchNameRow, SearchKeyRow))
FACT, MEMBERSHIP, TASK, TASK_VERSION = map(_table, (FactRow, MembershipRow, TaskRow, TaskVersionRow))
AUDIT, OUTBOX, API_KEY = map(_table, (AuditRow, OutboxRow, ApiKeyRow))
KEPT_ANSWER = _table(KeptAnswerRow)
TOLD, PAUSED, SUBSCRIPTION = map(_table, (ToldRow, PausedRow, SubscriptionRow))
MATCH_MODEL, RELINK = map(_table, (MatchModelRow, RelinkRow))
STUDY, HARVEST_PROGRESS = map(_table, (StudyRow, HarvestProgressRow))
SOURCE_SEQUENCE = _table(SourceSequenceRow)
FEED_COUNT = _table(FeedCountRow)
REPORT, REPORT_ABOUT, CORRECTION = map(_table, (ReportRow, ReportAboutRow, CorrectionRow))
WAITING, ATTEMPT = map(_table, (WaitingRow, AttemptRow))
SIGHT = _table(SightRow)


def _partial(name: str, *columns: Any, where: Any, unique: bool = True) -> None:
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


_partial("uq_inbox_dedupe_digest", INBOX.c.dedupe_digest, where=INBOX.c.original.is_(true()))
_partial("uq_membership_current", MEMBERSHIP.c.record_id, where=MEMBERSHIP.c.valid_to.is_(None))
_partial("uq_match_model_active", MATCH_MODEL.c.active, where=MATCH_MODEL.c.active.is_(true()))
_partial(
    "ix_outbox_pending",
    OUTBOX.c.consumer,
    OUTBOX.c.channel,
    OUTBOX.c.id,
    where=text("state = 'pending'"),
    unique=False,
)
_partial("ix_outbox_dead", OUTBOX.c.consumer, OUTBOX.c.channel, where=text("state = 'dead'"), unique=False)
_partial("uq_api_key_name", API_KEY.c.name, where=API_KEY.c.revoked_at.is_(None))
Index(
    "uq_source_record_domain_value_epoch",
    SOURCE_RECORD.c.domain,
    SOURCE_RECORD.c.value,
    SOURCE_RECORD.c.epoch,
    unique=True,
    postgresql_ops={"value": "text_pattern_ops"},  # identifiers are also looked for by how they begin
)
Index("uq_source_record_native_euid", SOURCE_RECORD.c.native_euid, unique=True)
Index("ix_inbox_state_id", INBOX.c.state, INBOX.c.id)
Index("ix_inbox_source_state_id", INBOX.c.source, INBOX.c.state, INBOX.c.id)
Index("ix_task_sight_state_priority_id", TASK.c.sight, TASK.c.state, TASK.c.priority.desc(), TASK.c.id)
