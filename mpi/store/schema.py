"""The schema's version: migrated by Alembic, checked on opening, never guessed."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, column, func, insert, inspect, select, table

from mpi.errors import StoreError
from mpi.store.session import guarded
from mpi.store.tables import META

if TYPE_CHECKING:
    from alembic.config import Config

REVISION = "0010"
"""The newest revision in `migrations/`: what this version of the code reads and writes."""

_VERSION = table("alembic_version", column("version_num"))
_EUID_SECRET = "euid_secret"
_EUID_SECRET_BYTES = 32


def current_revision(connection: Connection) -> str | None:
    """The revision the database is at; None when it is empty."""
    if not guarded(lambda: inspect(connection).has_table(_VERSION.name)):
        return None
    return guarded(lambda: connection.execute(select(_VERSION.c.version_num)).scalar())


def check_schema(connection: Connection) -> None:
    """
    Refuse a schema this version of the code does not know.

    Raises:
        StoreError: it is older, newer, or absent.
    """
    current = current_revision(connection)
    if current == REVISION:
        return
    if current is None or current in _known_revisions():
        raise StoreError(
            f"the schema is at {current or 'nothing'}, this version needs {REVISION}: run the migration"
        )
    raise StoreError(f"the schema is at {current}, newer than this version knows ({REVISION})")


def migrate(connection: Connection) -> None:
    """
    Bring the schema to `REVISION` within the caller's transaction, and draw the secret once.

    Raises:
        StoreError: the schema is newer than this version.
    """
    current = current_revision(connection)
    if current != REVISION:
        if current is not None and current not in _known_revisions():
            raise StoreError(f"the schema is at {current}, newer than this version knows ({REVISION})")
        from alembic import command

        config = alembic_config()
        config.attributes["connection"] = connection
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.set_config("statement_timeout", "0", True)))
        guarded(lambda: command.upgrade(config, REVISION))
    if current is None:
        secret = {"key": _EUID_SECRET, "value": secrets.token_bytes(_EUID_SECRET_BYTES).hex()}
        guarded(lambda: connection.execute(insert(META), secret))


def euid_secret(connection: Connection) -> bytes:
    """
    The installation's secret.

    Raises:
        StoreError: it is gone. A new one would give every person new identifiers.
    """
    query = select(META.c.value).where(META.c.key == _EUID_SECRET)
    stored = guarded(lambda: connection.execute(query).scalar())
    if stored is None:
        raise StoreError("the installation's secret is missing from the database")
    return bytes.fromhex(stored)


def alembic_config() -> "Config":
    """Alembic's configuration, without a file: the migrations live in the package."""
    from alembic.config import Config  # slow to import, and only needed when something is to be done

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config


def _known_revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
