"""
The quota of a quarantine: a source that sends what cannot be applied is stopped before it fills the disk.

Nothing is dropped: what is beyond the quota is not kept, not acknowledged, and for its sender to send
again. The quota is of the last 24 hours; what is repaired or discarded no longer counts.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mpi.errors import SourceStopped
from mpi.index.ports import Clock, Store

DAY = timedelta(days=1)
LOOK_AGAIN = timedelta(seconds=5)
"""How long a full quarantine is taken for full before it is counted again."""


@dataclass(frozen=True, slots=True)
class QuarantineQuota:
    """What one source may have quarantined in a day."""

    messages: int = 10_000
    bytes: int = 268_435_456


@dataclass(frozen=True, slots=True)
class _Room:
    """What may still be quarantined of a source; counted again when there is none, but not before an instant."""

    messages: int
    bytes: int
    not_before: datetime

    @property
    def is_none(self) -> bool:
        return self.messages <= 0 or self.bytes <= 0


class Quarantine:
    """How full the quarantine of each source is, counted when a source is first heard of, then kept in mind."""

    def __init__(self, store: Store, quota: QuarantineQuota, clock: Clock) -> None:
        self.quota = quota
        self._store = store
        self._clock = clock
        self._rooms: dict[str, _Room] = {}
        self._changing = threading.Lock()

    def check(self, source: str) -> None:
        """
        Refuse what comes from a source whose quarantine is full.

        Raises:
            SourceStopped: it is.
        """
        room = self._rooms.get(source)
        if room is None or (room.is_none and self._clock() >= room.not_before):
            room = self._count(source, self._clock())
        if room.is_none:
            raise SourceStopped(f"sources.{source}: its quarantine is full; nothing more of it is taken")

    def full(self, sources: Iterable[str]) -> frozenset[str]:
        """Those of the sources whose quarantine is full."""
        found = set()
        for source in sources:
            try:
                self.check(source)
            except SourceStopped:
                found.add(source)
        return frozenset(found)

    def took(self, source: str, size: int) -> None:
        """A message of a source was quarantined."""
        with self._changing:
            room = self._rooms.get(source)
            if room is not None:
                self._rooms[source] = _Room(room.messages - 1, room.bytes - size, room.not_before)

    def _count(self, source: str, at: datetime) -> _Room:
        with self._store.read() as uow:
            messages, size = uow.inbox.quarantined_since(source, at - DAY, most=self.quota.messages)
        room = _Room(self.quota.messages - messages, self.quota.bytes - size, at + LOOK_AGAIN)
        with self._changing:
            self._rooms[source] = room
        return room
