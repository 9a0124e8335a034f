"""
Where the parts meet: settings -> store -> registry. Used by the entry points, `cli` and `create_app`.
"""

from datetime import UTC, datetime

from mpi.index.decisions import TwoPersonRule
from mpi.index.graph import LinkPolicy
from mpi.index.models import active_model
from mpi.index.registry import Registry
from mpi.settings import Settings
from mpi.store import SqlStore, open_store


def now() -> datetime:
    """The present instant, aware, UTC."""
    return datetime.now(UTC)


def open_registry(settings: Settings) -> tuple[SqlStore, Registry]:
    """
    Open the configured store (migrating it if needed) and the registry over it, with the store's active model.

    Raises:
        StoreError: the store cannot be opened, or does not promise what durability needs.
        ModelError: the active model cannot be read; `mpi model activate` chooses another.
    """
    store = open_store(settings.database.url)
    policy = LinkPolicy(same_domain=settings.link.same_domain, max_set_size=settings.link.max_set_size)
    review = settings.review
    rule = TwoPersonRule(
        qualified="qualified" in review.two_person,
        verified_link="verified_link" in review.two_person,
        above_size=review.two_person_set_size if "large_set" in review.two_person else None,
    )
    try:
        return store, Registry(store, settings.directory(), active_model(store), now, policy, rule)
    except BaseException:
        store.close()
        raise
