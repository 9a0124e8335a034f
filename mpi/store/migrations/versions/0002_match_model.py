"""
Match models: which ones this index knows, and the one that is active.

Revision: 0002, after 0001.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    """Create the table, empty: the packaged default model stays the active one."""
    op.create_table(
        "match_model",
        sa.Column("id", NUMBER, nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("added_at", INSTANT, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("activated_at", INSTANT, nullable=True),
        sa.Column("activated_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_match_model")),
        sa.UniqueConstraint("version", name=op.f("uq_match_model_version")),
    )
    active = sa.column("active", sa.Boolean()).is_(sa.true())
    op.create_index(
        "uq_match_model_active",
        "match_model",
        ["active"],
        unique=True,
        sqlite_where=active,
        postgresql_where=active,
    )


def downgrade() -> None:
    """Stored decisions name the models that made them."""
    raise RuntimeError("this revision cannot be undone: it would destroy the models that decisions name")
