"""
Queues of questions for staff who see some domains: each is that of an index which holds nothing else.

What a record outside such a sight says neither asks a question inside it nor spares one. The queue of a sight is
made once, from the records there are, and follows every change from then on (`Derivation.recompute`). What is
answered in it becomes facts of the whole index, and every other queue follows them.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection

from mpi.errors import QueueBeingMade
from mpi.index.audit import AuditEvent
from mpi.index.derivation import Derivation
from mpi.index.ports import Clock, Store
from mpi.index.review import WHOLE, Sight

NOTHING = -1
"""The number of the sight of who sees no domain: nothing is ever asked in it."""
RECORDS_PER_STEP = 200
"""How many records are looked at in one transaction, so that messages do not wait long for their turn."""

Progress = Callable[[int, int], object]
"""Called with how many records are done, and of how many."""


class Sights:
    """
    The sights that have a queue of their own.

    Args:
        domains: keys of every configured domain; who sees them all has the queue of the whole index.
    """

    def __init__(self, store: Store, derivation: Derivation, domains: frozenset[str], clock: Clock) -> None:
        self._store = store
        self._derivation = derivation
        self._domains = domains
        self._clock = clock

    def of(self, visible: frozenset[str], *, on_progress: Progress = lambda _done, _total: None) -> int:
        """
        The number of the sight of who sees some domains, its queue made if it was not.

        A queue whose making was stopped is made from there.

        Raises:
            QueueBeingMade: somebody else is making it.
            StoreError: the store is down.
        """
        if self._domains <= visible:
            return WHOLE
        if not visible:
            return NOTHING
        with self._store.read() as uow:
            sight = uow.sights.of(visible)
        if sight is None or sight.position is not None:
            with self._store.claim("sights") as mine:
                if not mine:
                    raise QueueBeingMade("the questions of these domains are being gathered")
                sight = self._kept(visible)
                self._make(sight, on_progress)
        return sight.id

    def keep_only(self, wanted: Collection[frozenset[str]]) -> None:
        """Let go of the sights that nobody has any more: they need not follow every change."""
        with self._store.read() as uow:
            unused = [sight for sight in uow.sights.kept() if sight.domains not in wanted]
        if not unused:
            return
        with self._store.write() as uow:
            for sight in unused:
                uow.sights.drop(sight.id)
                uow.audit.append(self._event("sight.dropped", sight))
            uow.commit()

    def _kept(self, visible: frozenset[str]) -> Sight:
        with self._store.write() as uow:
            sight = uow.sights.of(visible)
            if sight is None:
                sight = uow.sights.keep(visible)
                uow.audit.append(self._event("sight.kept", sight))
                uow.commit()
        return sight

    def _make(self, sight: Sight, on_progress: Progress) -> None:
        """Ask about every record. What changes meanwhile is asked about by who changes it."""
        if sight.position is None:  # somebody else has just made it
            return
        with self._store.read() as uow:
            ids = uow.records.all_ids()
        done = bisect_right(ids, sight.position)
        while done < len(ids):
            chunk = ids[done : done + RECORDS_PER_STEP]
            with self._store.write() as uow:
                view = self._derivation.component(uow, chunk)
                tasks = uow.reviews.touching(view.inside)
                self._derivation.ask_in(uow, sight, view, tasks, at=self._clock())
                uow.sights.advance(sight.id, chunk[-1])
                uow.commit()
            done += len(chunk)
            on_progress(done, len(ids))
        with self._store.write() as uow:
            uow.sights.advance(sight.id, None)
            uow.audit.append(self._event("sight.made", sight))
            uow.commit()

    def _event(self, kind: str, sight: Sight) -> AuditEvent:
        details = {"domains": sorted(sight.domains)}
        return AuditEvent("system", "E", kind, f"sight/{sight.id}", self._clock(), details)
