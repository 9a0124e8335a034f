"""What addressees have to be told, what became of it, and who asked over FHIR to be told."""

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from mpi.identity.model import RecordKey
from mpi.index.ports import (
    Backlog,
    Channel,
    Delivery,
    Identifier,
    OutboxRow,
    Queue,
    Subscription,
    SubscriptionStatus,
)
from mpi.store.columns import AmongKeys
from mpi.store.session import AnyRow, Session
from mpi.store.tables import OUTBOX, PAUSED, SUBSCRIPTION, TOLD

_CONTROL_ID_LENGTH = 20
"""MSH-10 of HL7 v2.5."""
_SET_ID_BITS = 62

_O = OUTBOX.c
_PENDING = _O.state == literal_column(f"'{Delivery.PENDING}'")  # written out: a partial index is found by it
_DEAD = _O.state == literal_column(f"'{Delivery.DEAD}'")
_ADD = insert(OUTBOX)
_GET = select(OUTBOX).where(_O.id == bindparam("row_id"))
_TO = (
    select(OUTBOX)
    .where(_O.consumer == bindparam("consumer"), _O.created_at <= bindparam("until"))
    .order_by(_O.id)
)
_HEAD = (
    select(OUTBOX)
    .where(_O.consumer == bindparam("consumer"), _O.channel == bindparam("channel"), _PENDING)
    .order_by(_O.id)
    .limit(bindparam("limit"))
)
_FIRST = (
    select(func.min(_O.id).label("id"))
    .where(_PENDING)
    .group_by(_O.consumer, _O.channel)
    .subquery("first_rows")
)
_DUE = (
    select(_O.consumer, _O.channel)
    .join(_FIRST, _O.id == _FIRST.c.id)
    .where(
        or_(_O.next_attempt_at.is_(None), _O.next_attempt_at <= bindparam("at")),
        _O.consumer.not_in(select(PAUSED.c.consumer)),
    )
    .order_by(_O.id)
)
_CHANGE = update(OUTBOX).where(_O.id == bindparam("row_id"))
_WAITING = (
    select(_O.consumer, _O.channel, func.count(), func.min(_O.created_at))
    .where(_PENDING)
    .group_by(_O.consumer, _O.channel)
)
_GIVEN_UP = select(_O.consumer, _O.channel, func.count()).where(_DEAD).group_by(_O.consumer, _O.channel)

_T = TOLD.c
_OF_THESE = select(_T.set_id).where(
    _T.audience == bindparam("audience"), AmongKeys(_T.domain, _T.value, literal(0), "keys")
)
_LAST_TOLD = (
    select(_T.domain, _T.value, _T.set_id)
    .where(_T.audience == bindparam("audience"), _T.set_id.in_(_OF_THESE))
    .order_by(_T.set_id)
)
_FORGET = delete(TOLD).where(
    _T.audience == bindparam("audience"), AmongKeys(_T.domain, _T.value, literal(0), "keys")
)

_P = PAUSED.c
_PAUSED = select(_P.consumer, _P.at).order_by(_P.consumer)
_IS_PAUSED = _PAUSED.where(_P.consumer == bindparam("of_consumer"))
_PAUSE = insert(PAUSED)
_RESUME = delete(PAUSED).where(_P.consumer == bindparam("of_consumer"))

_S = SUBSCRIPTION.c
_SUBSCRIBE = insert(SUBSCRIPTION)
_SUBSCRIPTIONS = select(SUBSCRIPTION).order_by(_S.id)
_SUBSCRIPTION = select(SUBSCRIPTION).where(_S.id == bindparam("subscription_id"))
_SUBSCRIPTIONS_OF = _SUBSCRIPTIONS.where(_S.owner == bindparam("of_owner"))
_ACTIVE = _SUBSCRIPTIONS.where(_S.status == SubscriptionStatus.ACTIVE.value)
_CHANGE_SUBSCRIPTION = update(SUBSCRIPTION).where(_S.id == bindparam("subscription_id"))


@lru_cache
def _page(*, by_consumer: bool, by_state: bool) -> Select[Any]:
    conditions = [_O.id > bindparam("after")]
    if by_consumer:
        conditions.append(_O.consumer == bindparam("consumer"))
    if by_state:
        conditions.append(_O.state == bindparam("state"))
    return select(OUTBOX).where(and_(*conditions)).order_by(_O.id).limit(bindparam("limit"))


class SqlOutbox:
    """`ports.Outbox` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(
        self,
        *,
        consumer: str,
        kind: str,
        payload: Mapping[str, Any],
        created_at: datetime,
        channel: Channel = Channel.MLLP,
    ) -> int:
        return self._session.insert(
            _ADD,
            {
                "consumer": consumer,
                "kind": kind,
                "payload": dict(payload),
                "created_at": created_at,
                "channel": channel.value,
                "control_id": new_control_id(),
                "state": Delivery.PENDING.value,
                "attempts": 0,
                "next_attempt_at": None,
                "delivered_at": None,
                "error": "",
            },
        )

    def get(self, row_id: int) -> OutboxRow | None:
        row = self._session.first(_GET, {"row_id": row_id})
        return _row(row) if row else None

    def page(
        self,
        *,
        after: int = 0,
        limit: int = 50,
        consumer: str | None = None,
        state: Delivery | None = None,
    ) -> list[OutboxRow]:
        parameters: dict[str, Any] = {"after": after, "limit": limit}
        if consumer is not None:
            parameters["consumer"] = consumer
        if state is not None:
            parameters["state"] = state.value
        statement = _page(by_consumer=consumer is not None, by_state=state is not None)
        return [_row(row) for row in self._session.rows(statement, parameters)]

    def to(self, consumer: str, *, until: datetime) -> list[OutboxRow]:
        return [_row(row) for row in self._session.rows(_TO, {"consumer": consumer, "until": until})]

    def due(self, *, at: datetime) -> list[Queue]:
        return [
            Queue(consumer, Channel(channel)) for consumer, channel in self._session.rows(_DUE, {"at": at})
        ]

    def head(self, queue: Queue, *, limit: int = 50) -> list[OutboxRow]:
        parameters = {"consumer": queue.consumer, "channel": queue.channel.value, "limit": limit}
        return [_row(row) for row in self._session.rows(_HEAD, parameters)]

    def change(self, row: OutboxRow) -> None:
        changed = {
            "state": row.state.value,
            "attempts": row.attempts,
            "next_attempt_at": row.next_attempt_at,
            "delivered_at": row.delivered_at,
            "error": row.error,
        }
        if not self._session.change(_CHANGE, {"row_id": row.id, **changed}):
            raise LookupError("no such row")

    def last_told(self, audience: str, identifiers: Collection[Identifier]) -> list[frozenset[Identifier]]:
        if not identifiers:
            return []
        sets: dict[int, set[Identifier]] = {}
        keys = [RecordKey(*one) for one in identifiers]
        for domain, value, set_id in self._session.rows(_LAST_TOLD, {"audience": audience, "keys": keys}):
            sets.setdefault(set_id, set()).add((domain, value))
        return sorted(map(frozenset, sets.values()), key=min)

    def note_told(
        self,
        audience: str,
        *,
        instead: Collection[frozenset[Identifier]],
        sets: Collection[frozenset[Identifier]],
    ) -> None:
        gone = [RecordKey(*one) for members in instead for one in members]
        if gone:
            self._session.change(_FORGET, {"audience": audience, "keys": gone})
        rows = [
            {"audience": audience, "domain": domain, "value": value, "set_id": set_id}
            for members in sets
            for set_id in (secrets.randbits(_SET_ID_BITS),)
            for domain, value in sorted(members)
        ]
        if rows:
            self._session.insert_all(TOLD, rows)

    def backlogs(self) -> list[Backlog]:
        waiting = {
            Queue(consumer, Channel(channel)): (count, oldest)
            for consumer, channel, count, oldest in self._session.rows(_WAITING)
        }
        dead = {
            Queue(consumer, Channel(channel)): count
            for consumer, channel, count in self._session.rows(_GIVEN_UP)
        }
        queues = sorted(waiting.keys() | dead.keys(), key=lambda queue: (queue.consumer, queue.channel))
        return [
            Backlog(queue, count, dead.get(queue, 0), oldest)
            for queue in queues
            for count, oldest in (waiting.get(queue, (0, None)),)
        ]

    def pause(self, consumer: str, *, at: datetime, by: str) -> bool:
        if self._session.first(_IS_PAUSED, {"of_consumer": consumer}) is not None:
            return False
        self._session.change(_PAUSE, {"consumer": consumer, "at": at, "by": by})
        return True

    def resume(self, consumer: str) -> bool:
        return self._session.change(_RESUME, {"of_consumer": consumer}) > 0

    def paused(self) -> dict[str, datetime]:
        return {row.consumer: row.at for row in self._session.rows(_PAUSED)}


def new_control_id() -> str:
    """Drawn at random: a row of a restored copy must not be taken for another that was sent."""
    return uuid4().hex[:_CONTROL_ID_LENGTH]


def _row(row: AnyRow) -> OutboxRow:
    return OutboxRow(
        id=row.id,
        consumer=row.consumer,
        kind=row.kind,
        payload=row.payload,
        created_at=row.created_at,
        channel=Channel(row.channel),
        control_id=row.control_id,
        state=Delivery(row.state),
        attempts=row.attempts,
        next_attempt_at=row.next_attempt_at,
        delivered_at=row.delivered_at,
        error=row.error,
    )


class SqlSubscriptions:
    """`ports.Subscriptions` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, subscription: Subscription) -> int:
        return self._session.insert(
            _SUBSCRIBE,
            {
                "owner": subscription.owner,
                "domains": sorted(subscription.domains),
                "criteria": subscription.criteria,
                "endpoint": subscription.endpoint,
                "header": subscription.header,
                "payload": subscription.payload,
                "status": subscription.status.value,
                "created_at": subscription.created_at,
                "error": subscription.error,
            },
        )

    def get(self, subscription_id: int) -> Subscription | None:
        row = self._session.first(_SUBSCRIPTION, {"subscription_id": subscription_id})
        return _subscription(row) if row else None

    def all(self, *, owner: str | None = None) -> list[Subscription]:
        if owner is None:
            return [_subscription(row) for row in self._session.rows(_SUBSCRIPTIONS)]
        return [_subscription(row) for row in self._session.rows(_SUBSCRIPTIONS_OF, {"of_owner": owner})]

    def active(self) -> list[Subscription]:
        return [_subscription(row) for row in self._session.rows(_ACTIVE)]

    def change(self, subscription_id: int, *, status: SubscriptionStatus, error: str = "") -> None:
        changed = {"subscription_id": subscription_id, "status": status.value, "error": error}
        if not self._session.change(_CHANGE_SUBSCRIPTION, changed):
            raise LookupError("no such subscription")


def _subscription(row: AnyRow) -> Subscription:
    return Subscription(
        id=row.id,
        owner=row.owner,
        domains=frozenset(row.domains),
        criteria=row.criteria,
        endpoint=row.endpoint,
        header=row.header,
        payload=row.payload,
        status=SubscriptionStatus(row.status),
        created_at=row.created_at,
        error=row.error,
    )
