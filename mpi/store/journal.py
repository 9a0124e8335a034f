"""The journal of received messages."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, literal, or_, select, true, tuple_, update

from mpi.index.events import Envelope, MessageState, Protocol
from mpi.index.ports import Arrival, StoredMessage
from mpi.store.columns import Among, JsonText
from mpi.store.session import AnyRow, Session
from mpi.store.tables import INBOX, STATEMENT

MAX_SOURCE_LENGTH = 200
"""A source nobody configured is whatever the sender claimed; longer claims are cut, `raw` has it all."""

_INSERT = insert(INBOX)
_ALL = select(INBOX)
_GET = _ALL.where(INBOX.c.id == bindparam("message_id"))
_GIVE_UP = update(INBOX).where(INBOX.c.id == bindparam("message_id")).values(original=False)
_GONE = INBOX.alias("gone")
_BLANK = (
    update(INBOX)
    .where(
        or_(
            Among(INBOX.c.id, "message_ids"),
            Among(INBOX.c.replay_of, "message_ids"),
            tuple_(INBOX.c.dedupe_digest, INBOX.c.content_hash).in_(
                select(_GONE.c.dedupe_digest, _GONE.c.content_hash).where(Among(_GONE.c.id, "message_ids"))
            ),
        )
    )
    .values(raw=b"", reply=b"", original=False)
)
_REPLAYS = _ALL.where(INBOX.c.replay_of == bindparam("message_id")).order_by(INBOX.c.id)
_ORIGINAL = _ALL.where(INBOX.c.dedupe_digest == bindparam("digest"), INBOX.c.original.is_(true()))
_COUNTS = select(INBOX.c.source, INBOX.c.state, func.count()).group_by(INBOX.c.source, INBOX.c.state)
_LAST = select(INBOX.c.source, INBOX.c.received_at, INBOX.c.state).where(
    INBOX.c.id.in_(select(func.max(INBOX.c.id)).group_by(INBOX.c.source))
)
_QUARANTINED = (
    select(INBOX.c.source, INBOX.c.place, INBOX.c.problem, func.count())
    .where(INBOX.c.state == MessageState.QUARANTINED.value)
    .group_by(INBOX.c.source, INBOX.c.place, INBOX.c.problem)
)
_STATED_AT = (
    select(func.max(STATEMENT.c.event_time))
    .where(STATEMENT.c.message_id == INBOX.c.id, STATEMENT.c.stated != literal({}, JsonText))
    .scalar_subquery()
)
_RECENT = (
    select(INBOX.c.source, INBOX.c.received_at, INBOX.c.warnings, _STATED_AT)
    .order_by(INBOX.c.id.desc())
    .limit(bindparam("limit"))
)


@lru_cache
def _page(*, by_state: bool, by_source: bool) -> Select[Any]:
    statement = _ALL.where(INBOX.c.id > bindparam("after")).order_by(INBOX.c.id).limit(bindparam("limit"))
    if by_state:
        statement = statement.where(INBOX.c.state == bindparam("state"))
    if by_source:
        statement = statement.where(INBOX.c.source == bindparam("source"))
    return statement


class SqlInbox:
    """`ports.Inbox` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(
        self,
        envelope: Envelope,
        *,
        received_at: datetime,
        state: MessageState,
        place: str = "",
        problem: str = "",
        error: str = "",
        warnings: Sequence[str] = (),
        reply: bytes = b"",
        replay_of: int | None = None,
        original: bool = True,
    ) -> int:
        return self._session.insert(
            _INSERT,
            {
                "protocol": envelope.protocol.value,
                "source": envelope.source[:MAX_SOURCE_LENGTH],
                "application": envelope.application,
                "facility": envelope.facility,
                "control_id": envelope.control_id,
                "content_hash": envelope.content_hash,
                "event": envelope.event,
                "dedupe_digest": _digest(envelope.dedupe_key) if envelope.dedupe_key else None,
                "original": original,
                "state": state.value,
                "received_at": received_at,
                "sequence": envelope.sequence,
                "replay_of": replay_of,
                "place": place,
                "problem": problem,
                "error": error,
                "warnings": list(warnings),
                "raw": envelope.raw,
                "reply": reply,
            },
        )

    def original(self, dedupe_key: str) -> StoredMessage | None:
        if not dedupe_key:
            return None
        row = self._session.first(_ORIGINAL, {"digest": _digest(dedupe_key)})
        return _message(row) if row else None

    def give_up_name(self, message_id: int) -> None:
        if not self._session.change(_GIVE_UP, {"message_id": message_id}):
            raise LookupError("no such message")

    def replays_of(self, message_id: int) -> list[StoredMessage]:
        return [_message(row) for row in self._session.rows(_REPLAYS, {"message_id": message_id})]

    def get(self, message_id: int) -> StoredMessage | None:
        row = self._session.first(_GET, {"message_id": message_id})
        return _message(row) if row else None

    def page(
        self, *, state: MessageState | None = None, source: str | None = None, after: int = 0, limit: int = 50
    ) -> list[StoredMessage]:
        parameters: dict[str, Any] = {"after": after, "limit": limit}
        if state is not None:
            parameters["state"] = state.value
        if source is not None:
            parameters["source"] = source[:MAX_SOURCE_LENGTH]
        statement = _page(by_state=state is not None, by_source=source is not None)
        return [_message(row) for row in self._session.rows(statement, parameters)]

    def counts(self) -> dict[str, dict[MessageState, int]]:
        counts: dict[str, dict[MessageState, int]] = {}
        for source, state, count in self._session.rows(_COUNTS):
            counts.setdefault(source, dict.fromkeys(MessageState, 0))[MessageState(state)] = count
        return counts

    def last_received(self) -> dict[str, tuple[datetime, MessageState]]:
        return {
            source: (received_at, MessageState(state))
            for source, received_at, state in self._session.rows(_LAST)
        }

    def quarantined(self) -> dict[str, dict[tuple[str, str], int]]:
        found: dict[str, dict[tuple[str, str], int]] = {}
        for source, place, problem, count in self._session.rows(_QUARANTINED):
            found.setdefault(source, {})[place, problem] = count
        return found

    def recent(self, limit: int) -> list[Arrival]:
        return [
            Arrival(source, received_at, tuple(warnings), event_time)
            for source, received_at, warnings, event_time in self._session.rows(_RECENT, {"limit": limit})
        ]

    def blank(self, message_ids: Collection[int]) -> None:
        self._session.change(_BLANK, {"message_ids": message_ids})


def _digest(dedupe_key: str) -> str:
    return hashlib.sha256(dedupe_key.encode("utf-8", "surrogatepass")).hexdigest()


def _message(row: AnyRow) -> StoredMessage:
    return StoredMessage(
        id=row.id,
        envelope=Envelope(
            protocol=Protocol(row.protocol),
            source=row.source,
            application=row.application,
            facility=row.facility,
            control_id=row.control_id,
            content_hash=row.content_hash,
            raw=row.raw,
            event=row.event,
            sequence=row.sequence,
        ),
        received_at=row.received_at,
        state=MessageState(row.state),
        place=row.place,
        problem=row.problem,
        error=row.error,
        reply=row.reply,
        warnings=tuple(row.warnings),
        replay_of=row.replay_of,
    )
