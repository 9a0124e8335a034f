"""
Epochs of identifiers, urgency and held statements; acts, confirmations and what was seen; tasks by topic.

Revision: 0003, after 0002.

A task was one per kind and pair; it is one per topic and pair. Of those that become one, the live
one stays, else the one that changed last. The verdicts of the others are facts, and stay.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")

TOPICS = {
    "potential_link": "link",
    "refused_link": "link",
    "ins_collision": "link",
    "duplicate_in_domain": "duplicate",
    "conflict": "conflict",
    "oversized_block": "block",
}
LIVE = ("open", "waiting")
VERSIONED = (
    "version",
    "kind",
    "state",
    "reason",
    "weight_bits",
    "fingerprint",
    "priority",
    "verdict",
    "reviewer",
    "fact_id",
    "changed_at",
)


def upgrade() -> None:
    """Add what the rows that are there have a value for, then rename tasks and keep their versions."""
    _records_and_statements()
    _facts()
    _add("membership", "cause", sa.String(), default="")
    _add("membership", "model_version", sa.String(), default="")
    _tasks()
    op.create_table(
        "relink",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("started_by", sa.Text(), nullable=False),
        sa.Column("position", NUMBER, nullable=False),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relink")),
    )


def _records_and_statements() -> None:
    _add("source_record", "epoch", sa.Integer(), default=sa.text("0"))
    _add("source_record", "urgency", sa.Integer(), default=sa.text("0"))
    _add("source_record", "held_since", INSTANT)
    _add("source_record", "held_reason", sa.String(), default="")
    op.drop_index("uq_source_record_domain_value", "source_record")
    op.create_index(
        "uq_source_record_domain_value_epoch", "source_record", ["domain", "value", "epoch"], unique=True
    )
    op.create_index(op.f("ix_statement_message_id"), "statement", ["message_id"], unique=False)
    op.create_table(
        "past_key",
        sa.Column("key", NUMBER, autoincrement=False, nullable=False),
        sa.Column("record_id", NUMBER, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["record_id"], ["source_record.id"], name=op.f("fk_past_key_record_id")),
        sa.PrimaryKeyConstraint("key", "record_id", name=op.f("pk_past_key")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_past_key_record_id"), "past_key", ["record_id"], unique=False)


def _facts() -> None:
    _add("fact", "statement_id", NUMBER, references="statement")
    _add("fact", "act_id", NUMBER, references="fact")
    _add("fact", "seen", sa.Text(), default="{}")
    _add("fact", "second_needed", sa.Boolean(), default=sa.false())
    _add("fact", "confirmed_at", INSTANT)
    _add("fact", "confirmed_by", sa.Text(), default="")
    _add("fact", "withdrawal_asked_by", sa.Text(), default="")
    for side in ("left", "right"):
        _add("fact", f"{side}_epoch", sa.Integer(), default=sa.text("0"))
        op.drop_index(f"ix_fact_{side}", "fact")
        op.create_index(f"ix_fact_{side}", "fact", [f"{side}_domain", f"{side}_value", f"{side}_epoch"])
    op.create_index(op.f("ix_fact_act_id"), "fact", ["act_id"], unique=False)


def _tasks() -> None:
    _add("task", "topic", sa.String(), default="")
    _add("task", "fingerprint", sa.Text(), default="{}")
    _add("task", "priority", sa.Integer(), default=sa.text("0"))
    _add("task", "claimed_by", sa.Text(), default="")
    _add("task", "claimed_at", INSTANT)
    columns = ("id", "topic", "left_id", "right_id", *VERSIONED)
    task = sa.table("task", *map(sa.column, columns))
    op.execute(sa.update(task).values(topic=sa.case(TOPICS, value=task.c.kind)))
    ranked = sa.select(
        task.c.id,
        sa.func.row_number()
        .over(
            partition_by=(task.c.topic, task.c.left_id, task.c.right_id),
            order_by=(
                sa.case((task.c.state.in_(LIVE), 0), else_=1),
                task.c.changed_at.desc(),
                task.c.id.desc(),
            ),
        )
        .label("place"),
    ).subquery()
    op.execute(sa.delete(task).where(task.c.id.in_(sa.select(ranked.c.id).where(ranked.c.place > 1))))
    op.drop_index("uq_task_kind_left_id_right_id", "task")
    op.create_index("uq_task_topic_left_id_right_id", "task", ["topic", "left_id", "right_id"], unique=True)
    op.create_index("ix_task_state_priority_id", "task", ["state", sa.text("priority DESC"), "id"])
    op.create_table(
        "task_version",
        sa.Column("task_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("weight_bits", sa.Double(), nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=True),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("fact_id", NUMBER, nullable=True),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(["fact_id"], ["fact.id"], name=op.f("fk_task_version_fact_id")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_task_version_task_id")),
        sa.PrimaryKeyConstraint("task_id", "version", name=op.f("pk_task_version")),
        sqlite_with_rowid=False,
    )
    version = sa.table("task_version", *map(sa.column, ("task_id", *VERSIONED)))
    present = sa.select(task.c.id, *(task.c[name] for name in VERSIONED))
    op.execute(sa.insert(version).from_select(["task_id", *VERSIONED], present))


def _add(table: str, name: str, type_: Any, *, default: Any = None, references: str = "") -> None:
    """Add a column, with its foreign key: SQLite takes it only as part of the column, and unnamed."""
    keys = [sa.ForeignKey(f"{references}.id", name=op.f(f"fk_{table}_{name}"))] if references else []
    op.add_column(
        table,
        sa.Column(name, type_, *keys, nullable=default is None, server_default=default),
        inline_references=op.get_bind().dialect.name == "sqlite",
    )


def downgrade() -> None:
    """Tasks that became one cannot be told apart again, nor can two epochs be one record."""
    raise RuntimeError("this revision cannot be undone: it would destroy decisions and epochs")
