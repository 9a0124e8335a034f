"""
Where the parts meet: settings -> store -> registry. Used by the entry points, `cli` and `create_app`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from mpi.index.decisions import TwoPersonRule
from mpi.index.following import Delays
from mpi.index.graph import LinkPolicy
from mpi.index.models import active_model
from mpi.index.quarantine import QuarantineQuota
from mpi.index.reception import InboxLimits
from mpi.index.registry import Registry
from mpi.settings import Settings
from mpi.store import SqlStore, open_store
from mpi.store.in_flight import InFlightFile, left_behind


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
        in_flight = _in_flight(settings, store)
        registry = Registry(
            store,
            settings.directory(),
            active_model(store),
            now,
            policy,
            rule,
            inbox=_limits(settings),
            in_flight=in_flight,
            delays=Delays(settings.reports.correction_days, settings.reports.urgent_correction_days),
        )
        return store, registry
    except BaseException:
        store.close()
        raise


def _limits(settings: Settings) -> InboxLimits:
    inbox = settings.inbox
    return InboxLimits(inbox.max_attempts, QuarantineQuota(inbox.quarantine_messages, inbox.quarantine_bytes))


def _in_flight(settings: Settings, store: SqlStore) -> InFlightFile:
    """
    Where this process notes what is in work; what processes that died had in work counts as tried once more.

    Raises:
        StoreError: that cannot be counted.
    """
    folder = settings.inbox.in_flight or _beside(settings.database.url)
    for digests in left_behind(folder):
        with store.write() as uow:
            uow.attempts.count(digests, at=now())
            uow.commit()
    notes = InFlightFile(folder)
    store.also_close(notes.close)
    return notes


def _beside(url: str) -> Path:
    """A folder beside the file of an SQLite store; one of this installation otherwise."""
    scheme, _, file = url.partition(":///")
    return (
        Path(f"{file}-in-flight")
        if scheme.startswith("sqlite") and file not in ("", ":memory:")
        else Path("var/in-flight")
    )


@contextmanager
def opened_registry(settings: Settings) -> Iterator[tuple[SqlStore, Registry]]:
    """The same, closed again at the end."""
    store, registry = open_registry(settings)
    try:
        yield store, registry
    finally:
        store.close()
