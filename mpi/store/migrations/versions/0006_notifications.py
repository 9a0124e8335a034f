"""
What notifications need: what became of each row of the outbox, what was last told, who is paused, and FHIR
subscriptions.

Revision: 0006, after 0005.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Rows of before were never sent, and name no identifiers: they are withdrawn, not sent late."""
    op.add_column("outbox", sa.Column("channel", sa.String(), nullable=False, server_default="mllp"))
    op.add_column("outbox", sa.Column("control_id", sa.String(), nullable=False, server_default=""))
    op.add_column("outbox", sa.Column("state", sa.String(), nullable=False, server_default="withdrawn"))
    op.add_column("outbox", sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("outbox", sa.Column("next_attempt_at", INSTANT, nullable=True))
    op.add_column("outbox", sa.Column("delivered_at", INSTANT, nullable=True))
    op.add_column("outbox", sa.Column("error", sa.String(), nullable=False, server_default=""))
    for name, columns, state in (
        ("ix_outbox_pending", ["consumer", "channel", "id"], "pending"),
        ("ix_outbox_dead", ["consumer", "channel"], "dead"),
    ):
        where = sa.text(f"state = '{state}'")
        op.create_index(name, "outbox", columns, unique=False, sqlite_where=where, postgresql_where=where)
    op.create_table(
        "told",
        sa.Column("audience", sa.String(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("set_id", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("audience", "domain", "value", name=op.f("pk_told")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_told_audience_set_id", "told", ["audience", "set_id"], unique=False)
    op.create_table(
        "paused",
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("consumer", name=op.f("pk_paused")),
    )
    op.create_table(
        "subscription",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("domains", sa.Text(), nullable=False),
        sa.Column("criteria", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("header", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscription")),
    )
    op.create_index(op.f("ix_subscription_owner"), "subscription", ["owner"], unique=False)


def downgrade() -> None:
    """What was told, and what is still to be told, cannot be read from anywhere else."""
    raise RuntimeError("this revision cannot be undone: it would destroy notifications and subscriptions")
