"""
The tables. Every change here needs a migration; a test holds the two equal.

Facts are kept for ever (inbox, statement, fact, membership, task, audit). What can be derived
again is replaced in place (the fold on source_record, blocking_key, edge).
"""

from datetime import datetime
from typing import Any, ClassVar, cast

from sqlalchemy import Double, Index, MetaData, Table, true
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from mpi.store.columns import AnyText, JsonText, Number, UtcDateTime

_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


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
    replay_of: int | None = Field(foreign_key="inbox.id", sa_type=Number)
    place: str = Field(sa_type=AnyText)
    problem: str = Field(sa_type=AnyText)
    error: str = Field(sa_type=AnyText)
    warnings: list[str] = Field(sa_type=JsonText)
    raw: bytes
    reply: bytes


class SourceRecordRow(_Row, table=True):
    """One person as one domain knows them: the fold of the statements."""

    __tablename__: ClassVar[str] = "source_record"
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    domain: str = Field(sa_type=AnyText)
    value: str = Field(sa_type=AnyText)
    native_euid: str
    fold_token: int = Field(sa_type=Number)
    """Drawn at random for each fold: equal tokens mean equal rows, also across rolled-back writes."""
    first_event_time: datetime | None = Field(sa_type=UtcDateTime)
    traits: dict[str, Any] = Field(sa_type=JsonText)
    demographics: dict[str, Any] = Field(sa_type=JsonText)


class StatementRow(_Row, table=True):
    """One version of a source record, as stated."""

    __tablename__: ClassVar[str] = "statement"
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    record_id: int = Field(foreign_key="source_record.id", sa_type=Number, index=True)
    message_id: int = Field(foreign_key="inbox.id", sa_type=Number)
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
        Index("ix_fact_left", "left_domain", "left_value"),
        Index("ix_fact_right", "right_domain", "right_value"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    kind: str
    left_domain: str = Field(sa_type=AnyText)
    left_value: str = Field(sa_type=AnyText)
    right_domain: str = Field(sa_type=AnyText)
    right_value: str = Field(sa_type=AnyText)
    actor: str = Field(sa_type=AnyText)
    reason: str = Field(sa_type=AnyText)
    event_time: datetime = Field(sa_type=UtcDateTime)
    recorded_at: datetime = Field(sa_type=UtcDateTime)
    message_id: int | None = Field(foreign_key="inbox.id", sa_type=Number)
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


class TaskRow(_Row, table=True):
    """A review task: one per kind and pair, for ever."""

    __tablename__: ClassVar[str] = "task"
    __table_args__ = (
        Index("uq_task_kind_left_id_right_id", "kind", "left_id", "right_id", unique=True),
        Index("ix_task_state_id", "state", "id"),
    )
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
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


class OutboxRow(_Row, table=True):
    """One thing one consumer has to be told."""

    __tablename__: ClassVar[str] = "outbox"
    id: int | None = Field(default=None, primary_key=True, sa_type=Number)
    consumer: str = Field(sa_type=AnyText)
    kind: str
    payload: dict[str, Any] = Field(sa_type=JsonText)
    created_at: datetime = Field(sa_type=UtcDateTime)


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


def _table(row: Any) -> Table:
    return cast(Table, row.__table__)


metadata: MetaData = _Row.metadata
META, INBOX, SOURCE_RECORD, STATEMENT = map(_table, (MetaRow, InboxRow, SourceRecordRow, StatementRow))
BLOCKING_KEY, EDGE, FACT, MEMBERSHIP = map(_table, (BlockingKeyRow, EdgeRow, FactRow, MembershipRow))
TASK, AUDIT, OUTBOX, API_KEY = map(_table, (TaskRow, AuditRow, OutboxRow, ApiKeyRow))
MATCH_MODEL = _table(MatchModelRow)


def _partial(name: str, *columns: Any, where: Any, unique: bool = True) -> None:
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


_partial("uq_inbox_dedupe_digest", INBOX.c.dedupe_digest, where=INBOX.c.original.is_(true()))
_partial("uq_membership_current", MEMBERSHIP.c.record_id, where=MEMBERSHIP.c.valid_to.is_(None))
_partial("uq_match_model_active", MATCH_MODEL.c.active, where=MATCH_MODEL.c.active.is_(true()))
_partial("uq_api_key_name", API_KEY.c.name, where=API_KEY.c.revoked_at.is_(None))
Index("uq_source_record_domain_value", SOURCE_RECORD.c.domain, SOURCE_RECORD.c.value, unique=True)
Index("uq_source_record_native_euid", SOURCE_RECORD.c.native_euid, unique=True)
Index("ix_inbox_state_id", INBOX.c.state, INBOX.c.id)
Index("ix_inbox_source_state_id", INBOX.c.source, INBOX.c.state, INBOX.c.id)
