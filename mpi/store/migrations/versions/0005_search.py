"""
What records are found by when somebody is looked up: forms of their names with birth dates, and keys.

Revision: 0005, after 0004.

The records that are there are read one by one, and what they are found by is derived from them as it is
whenever one is written: some minutes for a million records.
"""

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from mpi.identity.model import Demographics, RecordKey
from mpi.identity.traits import Traits
from mpi.index.ports import StoredRecord
from mpi.index.sketches import keys_of, sketches_of

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text(collation="C").with_variant(sa.Text(), "sqlite")
RECORDS_AT_A_TIME = 1_000

RECORD = sa.table(
    "source_record", *map(sa.column, ("id", "domain", "first_event_time", "demographics", "traits"))
)
SEARCH_NAME = sa.table(
    "search_name", *map(sa.column, ("birth", "name", "record_id", "domain", "given", "past"))
)
SEARCH_KEY = sa.table("search_key", *map(sa.column, ("key", "record_id", "domain", "past")))


def upgrade() -> None:
    """Create the tables, fill them, then index them; and let identifiers be looked for by how they begin."""
    of_record = ["record_id"], ["source_record.id"]
    op.create_table(
        "search_name",
        sa.Column("birth", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("record_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("given", sa.Text(), nullable=False),
        sa.Column("past", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(*of_record, name=op.f("fk_search_name_record_id")),
        sa.PrimaryKeyConstraint("birth", "name", "record_id", name=op.f("pk_search_name")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "search_key",
        sa.Column("key", NUMBER, autoincrement=False, nullable=False),
        sa.Column("record_id", NUMBER, autoincrement=False, nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("past", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(*of_record, name=op.f("fk_search_key_record_id")),
        sa.PrimaryKeyConstraint("key", "record_id", name=op.f("pk_search_key")),
        sqlite_with_rowid=False,
    )
    for records in _records():
        _insert(SEARCH_NAME, [row for record in records for row in _names(record)])
        _insert(SEARCH_KEY, [row for record in records for row in _keys(record)])
    op.create_index("ix_search_name_name_birth", "search_name", ["name", "birth"], unique=False)
    op.create_index(op.f("ix_search_name_record_id"), "search_name", ["record_id"], unique=False)
    op.create_index(op.f("ix_search_key_record_id"), "search_key", ["record_id"], unique=False)
    op.drop_index("uq_source_record_domain_value_epoch", "source_record")
    op.create_index(
        "uq_source_record_domain_value_epoch",
        "source_record",
        ["domain", "value", "epoch"],
        unique=True,
        postgresql_ops={"value": "text_pattern_ops"},
    )


def _records() -> Iterator[list[StoredRecord]]:
    """Every record, as far as it says what it is found by."""
    connection, last = op.get_bind(), 0
    query = sa.select(RECORD).where(RECORD.c.id > sa.bindparam("last")).order_by(RECORD.c.id)
    while rows := connection.execute(query.limit(RECORDS_AT_A_TIME), {"last": last}).all():
        last = rows[-1].id
        yield [
            StoredRecord(
                row.id,
                RecordKey(row.domain, ""),
                "",
                row.first_event_time,
                Demographics.from_json(json.loads(row.demographics)),
                Traits.from_json(json.loads(row.traits)),
            )
            for row in rows
        ]


def _names(record: StoredRecord) -> Iterator[dict[str, Any]]:
    for sketch in sorted(sketches_of(record)):
        yield {
            "birth": sketch.birth,
            "name": sketch.name,
            "record_id": record.id,
            "domain": record.key.domain,
            "given": sketch.given,
            "past": False,
        }


def _keys(record: StoredRecord) -> Iterator[dict[str, Any]]:
    for key in sorted(keys_of(record)):
        yield {"key": key, "record_id": record.id, "domain": record.key.domain, "past": False}


def _insert(table: sa.TableClause, rows: list[dict[str, Any]]) -> None:
    if rows:
        op.get_bind().execute(sa.insert(table), rows)


def downgrade() -> None:
    """What records were once found by is nowhere else."""
    raise RuntimeError("this revision cannot be undone: it would destroy what records were once found by")
