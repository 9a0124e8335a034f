"""What search need."""

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """What is kept cannot be read from anywhere else."""
    raise RuntimeError("this revision cannot be undone: it would destroy what is kept")
