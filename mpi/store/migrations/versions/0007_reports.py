"""
What people report to be wrong, and what sites are asked to change.

Revision: 0007, after 0006.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Create the tables, empty."""
    op.create_table(
        "report",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("changed_at", INSTANT, nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("trait", sa.String(), nullable=False),
        sa.Column("study_uid", sa.Text(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fact_id", NUMBER, nullable=True),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["fact_id"], ["fact.id"], name=op.f("fk_report_fact_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_report")),
    )
    op.create_index("ix_report_state_id", "report", ["state", "id"], unique=False)
    op.create_table(
        "report_about",
        sa.Column("report_id", NUMBER, nullable=False),
        sa.Column("record_id", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["report_id"], ["report.id"], name=op.f("fk_report_about_report_id")),
        sa.ForeignKeyConstraint(["record_id"], ["source_record.id"], name=op.f("fk_report_about_record_id")),
        sa.PrimaryKeyConstraint("report_id", "record_id", name=op.f("pk_report_about")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_report_about_record_id"), "report_about", ["record_id"], unique=False)
    op.create_table(
        "correction",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("cause", sa.String(), nullable=False),
        sa.Column("root", sa.String(), nullable=False),
        sa.Column("left_id", NUMBER, nullable=False),
        sa.Column("right_id", NUMBER, nullable=False),
        sa.Column("asserted_by", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("expected", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("traits", sa.Text(), nullable=False),
        sa.Column("study_uid", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("outbox_id", NUMBER, nullable=True),
        sa.Column("settled", sa.String(), nullable=False),
        sa.Column("settled_at", INSTANT, nullable=True),
        sa.Column("settled_by", sa.String(), nullable=False),
        sa.Column("withdrawn_at", INSTANT, nullable=True),
        sa.Column("withdrawn_by", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["left_id"], ["source_record.id"], name=op.f("fk_correction_left_id")),
        sa.ForeignKeyConstraint(["right_id"], ["source_record.id"], name=op.f("fk_correction_right_id")),
        sa.ForeignKeyConstraint(["outbox_id"], ["outbox.id"], name=op.f("fk_correction_outbox_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_correction")),
    )
    op.create_index(
        "uq_correction_asked", "correction", ["cause", "kind", "left_id", "right_id"], unique=True
    )
    op.create_index("ix_correction_root", "correction", ["root"], unique=False)
    op.create_index(op.f("ix_correction_left_id"), "correction", ["left_id"], unique=False)
    op.create_index(op.f("ix_correction_right_id"), "correction", ["right_id"], unique=False)


def downgrade() -> None:
    """What was reported and asked cannot be read from anywhere else."""
    raise RuntimeError("this revision cannot be undone: it would destroy reports and requests to sites")
