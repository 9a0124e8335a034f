"""
Group commit: what several threads want durable at the same moment goes into one transaction.

A commit costs a flush of the disk whatever it holds, and an audited read has nothing else to write.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mpi.errors import StoreError
from mpi.index.audit import AuditEvent


@dataclass(slots=True, eq=False)
class _Waiting:
    """One event, and what became of it."""

    event: AuditEvent
    is_durable: bool = False
    was_tried: bool = False


class GroupCommit:
    """
    Writes events in the order they came, as many at a time as came during the last commit.

    Whoever finds nobody writing writes for all that wait; the others find their event written.

    Args:
        append: makes some events durable, all or none; raises when they are not, or nobody knows.
    """

    def __init__(self, append: Callable[[Sequence[AuditEvent]], None]) -> None:
        self._append = append
        self._queue = threading.Lock()
        self._writing = threading.Lock()
        self._waiting: list[_Waiting] = []

    def write(self, event: AuditEvent) -> None:
        """
        Return once the event is durable.

        Raises:
            StoreError: it is not, or nobody knows.
        """
        mine = _Waiting(event)
        with self._queue:
            self._waiting.append(mine)
        with self._writing:
            if not mine.was_tried:
                self._write_all()
        if not mine.is_durable:
            raise StoreError("the trace is not durable, or nobody knows")

    def _write_all(self) -> None:
        with self._queue:
            batch, self._waiting = self._waiting, []
        for one in batch:
            one.was_tried = True
        self._append([one.event for one in batch])
        for one in batch:
            one.is_durable = True
