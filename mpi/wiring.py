"""
Where the parts meet: settings -> store -> registry. Used by the entry points, `cli` and `create_app`.
"""

from datetime import UTC, datetime

from mpi.index.graph import LinkPolicy
from mpi.index.registry import Registry
from mpi.matching.model import MatchModel
from mpi.settings import Settings
from mpi.store import SqlStore, open_store


def now() -> datetime:
    """The present instant, aware, UTC."""
    return datetime.now(UTC)


def open_registry(settings: Settings) -> tuple[SqlStore, Registry]:
    """
    Open the configured store (migrating it if needed) and the registry over it.

    Raises:
        StoreError: the store cannot be opened, or does not promise what durability needs.
    """
    store = open_store(settings.database.url)
    policy = LinkPolicy(same_domain=settings.link.same_domain, max_set_size=settings.link.max_set_size)
    return store, Registry(store, settings.directory(), MatchModel.default(), now, policy)
