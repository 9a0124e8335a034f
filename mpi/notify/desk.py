"""
What people do about notifications: look at what became of them, send one again, pause an addressee.

Who looks without seeing patients gets counts, numbers and states; what is told of is for those who may see it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from mpi.errors import LinkConflict, UnknownIdentifier
from mpi.identity.model import RecordKey
from mpi.index.audit import AuditEvent
from mpi.index.intake import named_today
from mpi.index.notices import PIX_UPDATE, members_of, queue_update, sets_told
from mpi.index.parties import Directory
from mpi.index.ports import Backlog, Clock, Delivery, Identifier, OutboxRow, Store, UnitOfWork

NEWER = "newer content took its place"


@dataclass(frozen=True, slots=True)
class Overview:
    """
    How every queue does.

    Args:
        paused: who is paused, and since when.
    """

    backlogs: tuple[Backlog, ...]
    paused: Mapping[str, datetime]


class Desk:
    """The use-cases of who looks after notifications."""

    def __init__(self, store: Store, directory: Directory, clock: Clock) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock

    def overview(self) -> Overview:
        """How every queue does in which something waits or was given up."""
        with self._store.read() as uow:
            return Overview(tuple(uow.outbox.backlogs()), uow.outbox.paused())

    def rows(
        self, *, after: int = 0, limit: int = 50, consumer: str | None = None, state: Delivery | None = None
    ) -> list[OutboxRow]:
        """Notifications by ascending id."""
        with self._store.read() as uow:
            return uow.outbox.page(after=after, limit=limit, consumer=consumer, state=state)

    def row(self, row_id: int) -> OutboxRow:
        """
        One notification.

        Raises:
            UnknownIdentifier: no such notification.
        """
        with self._store.read() as uow:
            return _row(uow, row_id)

    def resend(self, row_id: int, *, actor: str) -> list[OutboxRow]:
        """
        Send a notification again, and at once: under its control id, if it still says what is true.

        Otherwise what is true now is queued instead, behind everything else: an addressee that was told
        something newer must not be told something older.

        Returns:
            The notifications that wait now, in the place of this one.

        Raises:
            UnknownIdentifier: no such notification.
            LinkConflict: nobody of that name is configured any more.
        """
        now = self._clock()
        with self._store.write() as uow:
            row = _row(uow, row_id)
            sets = self._true_now(uow, row)
            if sets is None or [_identifiers(one) for one in sets] == [_identifiers(members_of(row.payload))]:
                again = replace(
                    row,
                    state=Delivery.PENDING,
                    attempts=0,
                    next_attempt_at=None,
                    delivered_at=None,
                    error="",
                )
                uow.outbox.change(again)
                waiting = [again]
            else:
                if row.state is Delivery.PENDING or row.state is Delivery.DEAD:
                    withdrawn = replace(row, state=Delivery.WITHDRAWN, next_attempt_at=None, error=NEWER)
                    uow.outbox.change(withdrawn)
                ids = [queue_update(uow, row.queue, members, at=now) for members in sets]
                waiting = [_row(uow, one) for one in ids]
            details = {"addressee": row.consumer, "queued": [one.id for one in waiting]}
            uow.audit.append(AuditEvent(actor, "U", "notification.resent", f"outbox/{row.id}", now, details))
            uow.commit()
        return waiting

    def _true_now(self, uow: UnitOfWork, row: OutboxRow) -> list[tuple[RecordKey, ...]] | None:
        """The sets that the addressee was last told of, of those a row names; None when that says nothing about it."""
        if row.kind != PIX_UPDATE:
            return None
        consumer = next((one for one in self._directory.consumers if one.name == row.consumer), None)
        if consumer is None:
            raise LinkConflict("nobody of that name is configured")
        sets = sets_told(uow, consumer.domains, members_of(row.payload))
        return [tuple(named_today(uow, key) for key in members) for members in sets]

    def pause(self, addressee: str, *, actor: str) -> bool:
        """
        Send nothing to an addressee until it is resumed; what it has to be told waits.

        Returns:
            Whether it was not paused already.

        Raises:
            UnknownIdentifier: nobody of that name is, or was, to be told anything.
        """
        now = self._clock()
        with self._store.write() as uow:
            self._check_known(uow, addressee)
            changed = uow.outbox.pause(addressee, at=now, by=actor)
            if changed:
                details = {"addressee": addressee}
                uow.audit.append(AuditEvent(actor, "U", "notification.paused", "outbox", now, details))
            uow.commit()
        return changed

    def resume(self, addressee: str, *, actor: str) -> bool:
        """
        Send to an addressee again, at once.

        Returns:
            Whether it was paused.

        Raises:
            UnknownIdentifier: nobody of that name is, or was, to be told anything.
        """
        now = self._clock()
        with self._store.write() as uow:
            self._check_known(uow, addressee)
            changed = uow.outbox.resume(addressee)
            for backlog in uow.outbox.backlogs():
                if backlog.queue.consumer == addressee:
                    for first in uow.outbox.head(backlog.queue, limit=1):
                        uow.outbox.change(replace(first, next_attempt_at=None))
            if changed:
                details = {"addressee": addressee}
                uow.audit.append(AuditEvent(actor, "U", "notification.resumed", "outbox", now, details))
            uow.commit()
        return changed

    def _check_known(self, uow: UnitOfWork, addressee: str) -> None:
        named = {one.name for one in self._directory.consumers} | {
            one.name for one in self._directory.sources
        }
        if addressee in named or uow.outbox.page(limit=1, consumer=addressee):
            return
        raise UnknownIdentifier("addressee", "nobody of that name is told anything")


def _identifiers(members: Iterable[RecordKey]) -> set[Identifier]:
    return {key[:2] for key in members}


def _row(uow: UnitOfWork, row_id: int) -> OutboxRow:
    row = uow.outbox.get(row_id)
    if row is None:
        raise UnknownIdentifier("notification", "no such notification")
    return row
