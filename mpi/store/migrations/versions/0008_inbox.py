"""
How messages that could not be applied are settled, who waits for them, and how often they were tried.

Revision: 0008, after 0007.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


REPAIR = """
WITH RECURSIVE family (id, root) AS (
    SELECT id, id FROM inbox WHERE id IN (SELECT replay_of FROM inbox) AND replay_of IS NULL
    UNION ALL
    SELECT again.id, family.root FROM inbox AS again JOIN family ON again.replay_of = family.id
), done (root, at) AS (
    SELECT family.root, min(inbox.received_at) FROM family JOIN inbox ON inbox.id = family.id
    WHERE inbox.state = 'applied' GROUP BY family.root
)
UPDATE inbox SET state = 'repaired', settled_by = 'replay', settled_at = (
    SELECT done.at FROM done JOIN family ON done.root = family.root WHERE family.id = inbox.id
)
WHERE state IN ('quarantined', 'refused')
AND id IN (SELECT family.id FROM family JOIN done ON done.root = family.root)
"""
"""A message, and the replays of it that failed, are repaired once one of its replays was applied."""


def upgrade() -> None:
    """Add the columns and create the tables, empty. What was replayed with success is repaired."""
    op.add_column("inbox", sa.Column("repeats", NUMBER, nullable=True))
    op.add_column("inbox", sa.Column("settled_at", INSTANT, nullable=True))
    op.add_column("inbox", sa.Column("settled_by", sa.Text(), server_default="", nullable=False))
    op.add_column("inbox", sa.Column("settled_reason", sa.Text(), server_default="", nullable=False))
    op.execute(REPAIR)
    op.create_table(
        "waiting",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("patient", sa.Text(), nullable=False),
        sa.Column("message_id", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["inbox.id"], name=op.f("fk_waiting_message_id")),
        sa.PrimaryKeyConstraint("source", "patient", "message_id", name=op.f("pk_waiting")),
    )
    op.create_index(op.f("ix_waiting_message_id"), "waiting", ["message_id"], unique=False)
    op.create_table(
        "attempt",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("tries", NUMBER, nullable=False),
        sa.Column("last_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_attempt")),
    )
    for name in ("running_since", "failing_since", "succeeded_at", "next_at"):
        op.add_column("harvest_progress", sa.Column(name, INSTANT, nullable=True))
    op.add_column("harvest_progress", sa.Column("problem", sa.Text(), server_default="", nullable=False))
    _count_feeds()


def _count_feeds() -> None:
    """Count what was received so far, by hour and in all."""
    op.create_table(
        "feed_count",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("hour", NUMBER, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("count", NUMBER, nullable=False),
        sa.PrimaryKeyConstraint("source", "hour", "state", "place", "problem", name=op.f("pk_feed_count")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_feed_count_hour", "feed_count", ["hour"], unique=False)
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    second = "strftime('%s', received_at)" if is_sqlite else "floor(extract(epoch FROM received_at))"
    hour = f"CAST({second} AS bigint) / 3600"
    op.execute(
        "INSERT INTO feed_count (source, hour, state, place, problem, count)"
        " SELECT source, 0, state, place, problem, count(*) FROM inbox"
        " GROUP BY source, state, place, problem"
    )
    op.execute(
        "INSERT INTO feed_count (source, hour, state, place, problem, count)"  # noqa: S608 - our own words
        f" SELECT source, {hour}, state, '', '', count(*) FROM inbox GROUP BY source, {hour}, state"
    )


def downgrade() -> None:
    """What is kept cannot be read from anywhere else."""
    raise RuntimeError("this revision cannot be undone: it would destroy what is kept")
