"""Migrations, and what is checked when a store is opened."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, delete, insert, inspect, make_url, update

from mpi.errors import StoreError
from mpi.store import open_store
from mpi.store.schema import (
    _VERSION,
    REVISION,
    alembic_config,
    current_revision,
    euid_secret,
    migrate,
)
from mpi.store.tables import META, metadata
from tests.conftest import PostgresServer

DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


def engine_of(url: str) -> Engine:
    address = make_url(url)
    return create_engine(
        address.set(drivername={"postgresql": "postgresql+psycopg"}.get(address.drivername, "sqlite"))
    )


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest) -> str:
    """A migrated database."""
    address: str = request.getfixturevalue(f"{request.param}_url")
    open_store(address, allow_unsafe=True).close()
    return address


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    engine = engine_of(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_the_migrations_make_the_tables_of_the_code(connection: Connection) -> None:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "target_metadata": metadata})

    assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("database", DATABASES)
def test_the_migrations_make_the_same_indexes_and_constraints(
    request: pytest.FixtureRequest, database: str
) -> None:
    """compare_metadata does not look at the conditions of partial indexes, nor at SQLite's own options."""
    url: str = request.getfixturevalue(f"{database}_url")
    open_store(url, allow_unsafe=True).close()
    if database == "sqlite":
        other = "sqlite://"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        other = server.create_database(template="template1")
    migrated, created = engine_of(url), engine_of(other)
    with migrated.connect() as left, created.connect() as right:
        metadata.create_all(right)

        assert _described(left) == _described(right)
    migrated.dispose()
    created.dispose()


def _described(connection: Connection) -> dict[str, Any]:
    inspector = inspect(connection)
    return {
        table.name: (
            [{**column, "type": str(column["type"])} for column in inspector.get_columns(table.name)],
            sorted(_index_described(index) for index in inspector.get_indexes(table.name)),
            inspector.get_pk_constraint(table.name),
            sorted(inspector.get_foreign_keys(table.name), key=lambda constraint: str(constraint["name"])),
            inspector.get_unique_constraints(table.name),
            inspector.get_table_options(table.name),
        )
        for table in metadata.sorted_tables
    }


def _index_described(index: Mapping[str, Any]) -> list[str]:
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return [str(item) for item in sorted({**index, "dialect_options": options}.items())]


def test_the_code_is_at_the_newest_revision() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [REVISION]


def test_the_first_version_of_the_schema_is_brought_up_to_date_with_what_is_in_it() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(insert(META), {"key": "euid_secret", "value": "00" * 32})
        migrate(connection)

        assert current_revision(connection) == REVISION
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert euid_secret(connection) == bytes(32)
    engine.dispose()


def test_a_schema_newer_than_the_code_is_refused(url: str, connection: Connection) -> None:
    connection.execute(update(_VERSION).values(version_num="9999"))
    connection.commit()
    for may_migrate in (True, False):
        with pytest.raises(StoreError, match="newer"):
            open_store(url, migrate=may_migrate, allow_unsafe=True)


def test_an_empty_database_is_refused_unless_it_may_be_migrated() -> None:
    with pytest.raises(StoreError, match="migration"):
        open_store("sqlite://", migrate=False)


def test_the_secret_is_drawn_once(url: str) -> None:
    with (
        open_store(url, allow_unsafe=True) as one,
        open_store(url, migrate=False, allow_unsafe=True) as other,
    ):
        assert one.euid_secret == other.euid_secret
        assert len(one.euid_secret) == 32
    with open_store("sqlite://") as one, open_store("sqlite://") as other:
        assert one.euid_secret != other.euid_secret


def test_a_lost_secret_is_not_replaced(url: str, connection: Connection) -> None:
    connection.execute(delete(META))
    connection.commit()
    with pytest.raises(StoreError, match="secret"):
        open_store(url, allow_unsafe=True)
