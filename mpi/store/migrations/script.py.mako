"""
${message}

Revision: ${up_revision}, after ${down_revision | comma,n}. Written ${create_date}.
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

import mpi.store.columns
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Go to this revision."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Go back to the revision before."""
    ${downgrades if downgrades else "pass"}
