"""
Questions of those who see some domains: each such sight has a queue of its own.

Revision: 0010, after 0009.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """The questions there are, are those of who sees every domain; no other sight is kept yet."""
    op.create_table(
        "sight",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("domains", sa.Text(), nullable=False),
        sa.Column("is_kept", sa.Boolean(), nullable=False),
        sa.Column("position", NUMBER, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sight")),
        sa.UniqueConstraint("domains", name=op.f("uq_sight_domains")),
    )
    op.add_column("task", sa.Column("sight", NUMBER, nullable=False, server_default=sa.text("0")))
    for name in ("uq_task_topic_left_id_right_id", "ix_task_state_id", "ix_task_state_priority_id"):
        op.drop_index(name, "task")
    op.create_index(
        "uq_task_sight_topic_left_id_right_id", "task", ["sight", "topic", "left_id", "right_id"], unique=True
    )
    op.create_index("ix_task_sight_state_id", "task", ["sight", "state", "id"])
    op.create_index(
        "ix_task_sight_state_priority_id", "task", ["sight", "state", sa.text("priority DESC"), "id"]
    )


def downgrade() -> None:
    """The questions of the sights cannot be told from the others any more."""
    raise RuntimeError("this revision cannot be undone: it would destroy what is kept")
