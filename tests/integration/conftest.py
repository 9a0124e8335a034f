"""Stores for whole services: a service refuses a PostgreSQL that does not flush, so here it does."""

from collections.abc import Iterator

import pytest


@pytest.fixture
def durable_postgres_url(postgres_server, postgres_url) -> Iterator[str]:
    postgres_server.set_fsync("on")
    yield postgres_url
    postgres_server.set_fsync("off")


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request) -> str:
    """The address of an empty store that a service accepts: SQLite, then PostgreSQL."""
    return request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "durable_postgres_url")
