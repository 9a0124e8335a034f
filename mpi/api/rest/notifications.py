"""Notifications: what became of them, and what an operator does about it; whom they are about, for who may see."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query

from mpi.api.dependencies import After, Limit, MayManageNotifications, MayReadNotifications, RowId, Session
from mpi.api.rest.bodies import (
    AddresseeOut,
    IdentifierOut,
    NotificationRowOut,
    NotificationsOut,
    QueueOut,
    ResentOut,
)
from mpi.errors import NotPermitted, UnknownIdentifier
from mpi.index.notices import PIX_UPDATE, SUBSCRIPTION_UPDATE, members_of, subscriber
from mpi.index.ports import Delivery, OutboxRow
from mpi.notify.desk import Desk
from mpi.security.policy import sees_every_queue

router = APIRouter(tags=["notifications"])

_TOLD = frozenset({PIX_UPDATE, SUBSCRIPTION_UPDATE})
"""What is told of persons; the other kinds ask a site something."""
_PAGE = 200
AddresseeName = Annotated[
    str,
    Path(
        min_length=1,
        max_length=256,
        description="A consumer, a source (its corrections), or subscription/NUMBER.",
    ),
]


@router.get("/notifications")
def notifications(
    session: MayReadNotifications,
    addressee: Annotated[
        str | None, Query(min_length=1, max_length=256, description="Only to this addressee.")
    ] = None,
    state: Annotated[Delivery | None, Query(description="Only in this state.")] = None,
    after: After = 0,
    limit: Limit = 50,
) -> NotificationsOut:
    """
    Notifications by ascending id, and how every queue does.

    `identifiers` are those the caller may see; an operator sees none. A caller limited to some domains
    sees what those are told who see no other, and no queues.
    """
    desk = _desk(session)
    is_seen = _seen_by(session)
    rows: list[OutboxRow] = []
    while len(rows) < limit:
        size = limit - len(rows) if _sees_all(session) else _PAGE
        page = desk.rows(after=after, limit=size, consumer=addressee, state=state)
        rows += [row for row in page if is_seen(row)]
        if len(page) < size:
            break
        after = page[-1].id
    rows = rows[:limit]
    overview = desk.overview() if _sees_all(session) else None
    session.record_read("notification.list")
    return NotificationsOut(
        notifications=[_out(session, row) for row in rows],
        queues=[
            QueueOut(
                addressee=one.queue.consumer,
                channel=one.queue.channel,
                pending=one.pending,
                dead=one.dead,
                oldest=one.oldest,
            )
            for one in (overview.backlogs if overview else ())
        ],
        paused=dict(overview.paused) if overview else {},
        next=rows[-1].id if len(rows) == limit else None,
    )


@router.post("/notifications/{id}/resend")
def resend(session: MayManageNotifications, id: RowId) -> ResentOut:
    """
    Send a notification again, at once; if something newer is true, that is queued instead.

    `waiting` are the notifications that wait now in its place.
    """
    desk = _desk(session)
    if not _seen_by(session)(desk.row(id)):
        raise UnknownIdentifier("notification", "no such notification")
    waiting = desk.resend(id, actor=session.caller.actor)
    return ResentOut(id=id, waiting=[row.id for row in waiting])


@router.post("/consumers/{name:path}/pause")
def pause(session: MayManageNotifications, name: AddresseeName) -> AddresseeOut:
    """Send nothing to an addressee until it is resumed; what it has to be told waits."""
    _check_sees_all(session)
    _desk(session).pause(name, actor=session.caller.actor)
    return AddresseeOut(addressee=name, paused=True)


@router.post("/consumers/{name:path}/resume")
def resume(session: MayManageNotifications, name: AddresseeName) -> AddresseeOut:
    """Send to an addressee again, at once."""
    _check_sees_all(session)
    _desk(session).resume(name, actor=session.caller.actor)
    return AddresseeOut(addressee=name, paused=False)


def _desk(session: Session) -> Desk:
    return Desk(session.store, session.directory, lambda: datetime.now(UTC))


def _sees_all(session: Session) -> bool:
    return sees_every_queue(session.caller, session.directory)


def _check_sees_all(session: Session) -> None:
    """
    A queue holds what concerns every site.

    Raises:
        NotPermitted: some domains are hidden from the caller.
    """
    if not _sees_all(session):
        raise NotPermitted("a key limited to some domains may not pause or resume an addressee")


def _seen_by(session: Session) -> Callable[[OutboxRow], bool]:
    """Which notifications the caller may know of; what sites are asked is read as corrections by limited callers."""
    if _sees_all(session):
        return lambda row: True
    with session.store.read() as uow:
        subscribers = {subscriber(one): one.domains for one in uow.subscriptions.all()}
    told = {one.name: one.domains for one in session.directory.consumers} | subscribers
    seen = {name for name, domains in told.items() if session.may_know_what_is_told(domains)}
    return lambda row: row.kind in _TOLD and row.consumer in seen


def _out(session: Session, row: OutboxRow) -> NotificationRowOut:
    return NotificationRowOut(
        id=row.id,
        addressee=row.consumer,
        channel=row.channel,
        kind=row.kind,
        state=row.state,
        attempts=row.attempts,
        queued_at=row.created_at,
        next_attempt_at=row.next_attempt_at,
        delivered_at=row.delivered_at,
        error=row.error,
        identifiers=[
            IdentifierOut(domain=session.namespace(key.domain), id=key.value)
            for key in members_of(row.payload)
            if key.domain in session.visible
        ],
    )
