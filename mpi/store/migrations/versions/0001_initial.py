"""
The tables of version 0.1.

Revision: 0001, the first.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Plain types, frozen here: what the code's own column types become later must not change history.
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def _where(condition: sa.ColumnElement[bool]) -> dict[str, Any]:
    return {"sqlite_where": condition, "postgresql_where": condition}


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "api_key",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("domains", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("revoked_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_api_key_secret_hash")),
    )
    op.create_index(
        "uq_api_key_name", "api_key", ["name"], unique=True, **_where(sa.column("revoked_at").is_(None))
    )
    op.create_table(
        "audit",
        sa.Column("sequence", NUMBER, autoincrement=False, nullable=False),
        sa.Column("previous_hash", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_audit")),
    )
    op.create_table(
        "inbox",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("protocol", sa.String(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("application", sa.Text(), nullable=False),
        sa.Column("facility", sa.Text(), nullable=False),
        sa.Column("control_id", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("dedupe_digest", sa.String(), nullable=True),
        sa.Column("original", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("replay_of", NUMBER, nullable=True),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("warnings", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("reply", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["replay_of"], ["inbox.id"], name=op.f("fk_inbox_replay_of")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbox")),
    )
    op.create_index("ix_inbox_source_state_id", "inbox", ["source", "state", "id"], unique=False)
    op.create_index("ix_inbox_state_id", "inbox", ["state", "id"], unique=False)
    op.create_index(
        "uq_inbox_dedupe_digest",
        "inbox",
        ["dedupe_digest"],
        unique=True,
        **_where(sa.column("original", sa.Boolean()).is_(sa.true())),
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_meta")),
    )
    op.create_table(
        "outbox",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_table(
        "source_record",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("native_euid", sa.String(), nullable=False),
        sa.Column("fold_token", NUMBER, nullable=False),
        sa.Column("first_event_time", INSTANT, nullable=True),
        sa.Column("traits", sa.Text(), nullable=False),
        sa.Column("demographics", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_record")),
    )
    op.create_index("uq_source_record_domain_value", "source_record", ["domain", "value"], unique=True)
    op.create_index("uq_source_record_native_euid", "source_record", ["native_euid"], unique=True)
    op.create_table(
        "blocking_key",
        sa.Column("key", NUMBER, autoincrement=False, nullable=False),
        sa.Column("record_id", NUMBER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["record_id"], ["source_record.id"], name=op.f("fk_blocking_key_record_id")),
        sa.PrimaryKeyConstraint("key", "record_id", name=op.f("pk_blocking_key")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_blocking_key_record_id"), "blocking_key", ["record_id"], unique=False)
    op.create_table(
        "edge",
        sa.Column("left_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("right_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("weight_bits", sa.Double(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("guards", sa.Text(), nullable=False),
        sa.Column("contradicts", sa.Boolean(), nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["left_id"], ["source_record.id"], name=op.f("fk_edge_left_id")),
        sa.ForeignKeyConstraint(["right_id"], ["source_record.id"], name=op.f("fk_edge_right_id")),
        sa.PrimaryKeyConstraint("left_id", "right_id", name=op.f("pk_edge")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_edge_right_id"), "edge", ["right_id"], unique=False)
    op.create_table(
        "fact",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("left_domain", sa.Text(), nullable=False),
        sa.Column("left_value", sa.Text(), nullable=False),
        sa.Column("right_domain", sa.Text(), nullable=False),
        sa.Column("right_value", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("event_time", INSTANT, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("message_id", NUMBER, nullable=True),
        sa.Column("withdrawn_at", INSTANT, nullable=True),
        sa.Column("withdrawn_by", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["inbox.id"], name=op.f("fk_fact_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fact")),
    )
    op.create_index("ix_fact_left", "fact", ["left_domain", "left_value"], unique=False)
    op.create_index("ix_fact_right", "fact", ["right_domain", "right_value"], unique=False)
    op.create_table(
        "membership",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("record_id", NUMBER, nullable=False),
        sa.Column("euid", sa.String(), nullable=False),
        sa.Column("valid_from", INSTANT, nullable=False),
        sa.Column("valid_to", INSTANT, nullable=True),
        sa.ForeignKeyConstraint(["record_id"], ["source_record.id"], name=op.f("fk_membership_record_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_membership")),
    )
    op.create_index(op.f("ix_membership_euid"), "membership", ["euid"], unique=False)
    op.create_index(op.f("ix_membership_record_id"), "membership", ["record_id"], unique=False)
    op.create_index(
        "uq_membership_current",
        "membership",
        ["record_id"],
        unique=True,
        **_where(sa.column("valid_to").is_(None)),
    )
    op.create_table(
        "statement",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("record_id", NUMBER, nullable=False),
        sa.Column("message_id", NUMBER, nullable=False),
        sa.Column("event_time", INSTANT, nullable=False),
        sa.Column("recorded_at", INSTANT, nullable=False),
        sa.Column("stated", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["inbox.id"], name=op.f("fk_statement_message_id")),
        sa.ForeignKeyConstraint(["record_id"], ["source_record.id"], name=op.f("fk_statement_record_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_statement")),
    )
    op.create_index(op.f("ix_statement_record_id"), "statement", ["record_id"], unique=False)
    op.create_table(
        "task",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("left_id", NUMBER, nullable=False),
        sa.Column("right_id", NUMBER, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("weight_bits", sa.Double(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("opened_at", INSTANT, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("fact_id", NUMBER, nullable=True),
        sa.ForeignKeyConstraint(["fact_id"], ["fact.id"], name=op.f("fk_task_fact_id")),
        sa.ForeignKeyConstraint(["left_id"], ["source_record.id"], name=op.f("fk_task_left_id")),
        sa.ForeignKeyConstraint(["right_id"], ["source_record.id"], name=op.f("fk_task_right_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
    )
    op.create_index(op.f("ix_task_fact_id"), "task", ["fact_id"], unique=False)
    op.create_index(op.f("ix_task_left_id"), "task", ["left_id"], unique=False)
    op.create_index(op.f("ix_task_right_id"), "task", ["right_id"], unique=False)
    op.create_index("ix_task_state_id", "task", ["state", "id"], unique=False)
    op.create_index("uq_task_kind_left_id_right_id", "task", ["kind", "left_id", "right_id"], unique=True)


def downgrade() -> None:
    """There is nothing before it."""
    raise RuntimeError("the first revision cannot be undone: it would destroy the index")
