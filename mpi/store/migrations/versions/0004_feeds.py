"""
What feeds leave beside identities: studies, how far each harvest has come, and sequence numbers.

Revision: 0004, after 0003.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Create the tables, empty: what was received before told of no study that was kept."""
    op.add_column("inbox", sa.Column("sequence", NUMBER, nullable=True))
    op.create_table(
        "study",
        sa.Column("uid", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("message_id", NUMBER, nullable=False),
        sa.Column("accession", sa.Text(), nullable=False),
        sa.Column("modalities", sa.Text(), nullable=False),
        sa.Column("date", sa.Date(), nullable=True),
        sa.Column("institution", sa.Text(), nullable=False),
        sa.Column("is_manifest", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["inbox.id"], name=op.f("fk_study_message_id")),
        sa.PrimaryKeyConstraint("uid", "source", "domain", "value", name=op.f("pk_study")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_study_domain_value", "study", ["domain", "value"], unique=False)
    op.create_index(op.f("ix_study_message_id"), "study", ["message_id"], unique=False)
    op.create_table(
        "harvest_progress",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("through", sa.Date(), nullable=True),
        sa.Column("skip", NUMBER, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_harvest_progress")),
    )
    op.create_table(
        "source_sequence",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("expected", NUMBER, nullable=True),
        sa.PrimaryKeyConstraint("source", name=op.f("pk_source_sequence")),
    )


def downgrade() -> None:
    """What was kept cannot be read from anywhere else once messages are blanked."""
    raise RuntimeError("this revision cannot be undone: it would destroy studies and cursors")
