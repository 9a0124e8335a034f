"""
Where facts are kept: SQLite for one machine, PostgreSQL for a federation, behind `index.ports.Store`.

SQL lives here and nowhere else.
"""

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from mpi.errors import SettingsError
from mpi.store.base import SqlStore


def open_store(url: str, *, migrate: bool = True, allow_unsafe: bool = False) -> SqlStore:
    """
    Open the store at an address: `sqlite:///file`, `sqlite://` (in memory) or `postgresql://…`.

    Args:
        migrate: bring the schema up to date first; else a schema of another version is refused.
        allow_unsafe: accept a PostgreSQL server that does not flush its commits. For tests only.

    Raises:
        StoreError: the store is away, is not durable, or is of another version.
        SettingsError: the address is of no kind this package knows.
    """
    try:
        address = make_url(url)
    except ArgumentError:
        raise SettingsError("database.url: not an address") from None
    match address.get_backend_name():
        case "sqlite":
            from mpi.store.sqlite import SqliteStore

            store: SqlStore = SqliteStore(address.set(drivername="sqlite+pysqlite"))
        case "postgresql":
            from mpi.store.postgres import PostgresStore

            store = PostgresStore(address.set(drivername="postgresql+psycopg"), allow_unsafe=allow_unsafe)
        case _:
            raise SettingsError("database.url: neither SQLite nor PostgreSQL")
    try:
        if migrate:
            store.migrate()
        store.load()
    except BaseException:
        store.close()
        raise
    return store


__all__ = ["SqlStore", "open_store"]
