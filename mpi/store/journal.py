"""The journal of received messages."""

import hashlib
from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, literal, or_, select, true, tuple_, update

from mpi.index.events import STOPPED, Envelope, MessageState, Protocol
from mpi.index.ports import Arrival, JournalLine, StoredMessage
from mpi.store.columns import Among, JsonText
from mpi.store.session import AnyRow, Session
from mpi.store.tables import FACT, FEED_COUNT, INBOX, STATEMENT
from mpi.store.tallies import EVER, FeedTallies

MAX_SOURCE_LENGTH = 200
"""A source nobody configured is whatever the sender claimed; longer claims are cut, `raw` has it all."""

_STATES = frozenset(MessageState)
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
_SETTLE = update(INBOX).where(INBOX.c.id == bindparam("message_id"))
_LATEST = (
    select(INBOX.c.received_at, func.length(INBOX.c.raw).label("bytes"))
    .where(INBOX.c.source == bindparam("of_source"), INBOX.c.state == MessageState.QUARANTINED.value)
    .order_by(INBOX.c.id.desc())
    .limit(bindparam("most"))
    .subquery()
)
_SINCE = select(func.count(), func.coalesce(func.sum(_LATEST.c.bytes), 0)).where(
    _LATEST.c.received_at >= bindparam("since")
)
_REPLAYS = _ALL.where(INBOX.c.replay_of == bindparam("message_id")).order_by(INBOX.c.id)
_ORIGINAL = _ALL.where(INBOX.c.dedupe_digest == bindparam("digest"), INBOX.c.original.is_(true()))
_LAST_IN_STATE = (
    select(func.max(INBOX.c.id))
    .where(INBOX.c.source == FEED_COUNT.c.source, INBOX.c.state == FEED_COUNT.c.state)
    .scalar_subquery()
)
_LAST = (
    select(INBOX.c.source, INBOX.c.received_at, INBOX.c.state)
    .where(INBOX.c.id.in_(select(_LAST_IN_STATE).where(FEED_COUNT.c.hour == EVER, FEED_COUNT.c.count > 0)))
    .order_by(INBOX.c.id)
)
_PLACED = select(INBOX.c.source, INBOX.c.state, INBOX.c.place, INBOX.c.problem, INBOX.c.received_at).where(
    INBOX.c.id == bindparam("message_id")
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


_LAST_ID = select(func.max(INBOX.c.id))
_LINE = select(
    INBOX.c.id,
    INBOX.c.protocol,
    INBOX.c.source,
    INBOX.c.dedupe_digest,
    INBOX.c.content_hash,
    INBOX.c.state,
    INBOX.c.error,
    INBOX.c.sequence,
    INBOX.c.replay_of,
    INBOX.c.repeats,
    INBOX.c.settled_at,
    INBOX.c.settled_by,
    INBOX.c.reply,
    (func.length(INBOX.c.raw) == 0).label("is_blank"),
)
_LINES = _LINE.where(INBOX.c.id > bindparam("after")).order_by(INBOX.c.id).limit(bindparam("limit"))
_LINES_OF = _LINE.where(Among(INBOX.c.id, "message_ids"))
_LINES_IN = _LINE.where(INBOX.c.state == bindparam("of_state")).order_by(INBOX.c.id)
_ORIGINAL_LINE = _LINE.where(INBOX.c.dedupe_digest == bindparam("digest"), INBOX.c.original.is_(true()))
_STATEMENTS_OF, _FACTS_OF = (
    select(table.c.message_id, func.count())
    .where(table.c.message_id.between(bindparam("first"), bindparam("last")))
    .group_by(table.c.message_id)
    for table in (STATEMENT, FACT)
)
_STATEMENTS_ALONE, _FACTS_ALONE = (
    select(table.c.id, table.c.message_id)
    .outerjoin_from(table, INBOX, INBOX.c.id == table.c.message_id)
    .where(table.c.message_id.is_not(None), INBOX.c.id.is_(None))
    .limit(bindparam("limit"))
    for table in (STATEMENT, FACT)
)


@lru_cache
def _page(*, by_state: bool, by_source: bool, by_problem: bool) -> Select[Any]:
    statement = _ALL.where(INBOX.c.id > bindparam("after")).order_by(INBOX.c.id).limit(bindparam("limit"))
    if by_state:
        statement = statement.where(INBOX.c.state == bindparam("state"))
    if by_source:
        statement = statement.where(INBOX.c.source == bindparam("source"))
    if by_problem:
        statement = statement.where(INBOX.c.problem == bindparam("problem"))
    return statement


class SqlInbox:
    """`ports.Inbox` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._tallies = FeedTallies(session)

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
        repeats: int | None = None,
        original: bool = True,
    ) -> int:
        source = envelope.source[:MAX_SOURCE_LENGTH]
        self._tallies.add(source, state.value, place, problem, received_at)
        return self._session.insert(
            _INSERT,
            {
                "protocol": envelope.protocol.value,
                "source": source,
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
                "repeats": repeats,
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

    def settle(
        self, message_id: int, state: MessageState, *, at: datetime, by: str, reason: str = ""
    ) -> None:
        values = {"state": state.value, "settled_at": at, "settled_by": by, "settled_reason": reason}
        self._change_state(message_id, values)

    def release(
        self,
        message_id: int,
        state: MessageState,
        *,
        at: datetime,
        by: str,
        place: str = "",
        problem: str = "",
        error: str = "",
        warnings: Sequence[str] = (),
        reply: bytes = b"",
    ) -> None:
        values = {
            "state": state.value,
            "settled_at": at,
            "settled_by": by,
            "place": place,
            "problem": problem,
            "error": error,
            "warnings": list(warnings),
            "reply": reply,
        }
        self._change_state(message_id, values)

    def _change_state(self, message_id: int, values: dict[str, Any]) -> None:
        row = self._session.first(_PLACED, {"message_id": message_id})
        if row is None:
            raise LookupError("no such message")
        self._tallies.add(row.source, row.state, row.place, row.problem, row.received_at, -1)
        place, problem = values.get("place", row.place), values.get("problem", row.problem)
        self._tallies.add(row.source, values["state"], place, problem, row.received_at)
        self._session.change(_SETTLE, {"message_id": message_id, **values})

    def page(
        self,
        *,
        state: MessageState | None = None,
        source: str | None = None,
        problem: str | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[StoredMessage]:
        parameters: dict[str, Any] = {"after": after, "limit": limit}
        if state is not None:
            parameters["state"] = state.value
        if source is not None:
            parameters["source"] = source[:MAX_SOURCE_LENGTH]
        if problem is not None:
            parameters["problem"] = problem
        statement = _page(
            by_state=state is not None, by_source=source is not None, by_problem=problem is not None
        )
        return [_message(row) for row in self._session.rows(statement, parameters)]

    def counts(self) -> dict[str, dict[MessageState, int]]:
        counts: dict[str, dict[MessageState, int]] = {}
        for source, state, _, count in self._tallies.of_all_time():
            counts.setdefault(source, dict.fromkeys(MessageState, 0))[state] += count
        return counts

    def last_received(self) -> dict[str, tuple[datetime, MessageState]]:
        return {
            source: (received_at, MessageState(state))
            for source, received_at, state in self._session.rows(_LAST)
        }

    def stopped(self) -> dict[str, dict[tuple[MessageState, str, str], int]]:
        found: dict[str, dict[tuple[MessageState, str, str], int]] = {}
        for source, state, (place, problem), count in self._tallies.of_all_time():
            if state in STOPPED:
                found.setdefault(source, {})[state, place, problem] = count
        return found

    def by_hour(self, since: datetime) -> dict[str, dict[datetime, dict[MessageState, int]]]:
        return self._tallies.by_hour(since)

    def quarantined_since(self, source: str, since: datetime, *, most: int) -> tuple[int, int]:
        row = self._session.first(
            _SINCE, {"of_source": source[:MAX_SOURCE_LENGTH], "since": since, "most": most}
        )
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def recent(self, limit: int) -> list[Arrival]:
        return [
            Arrival(source, received_at, tuple(warnings), event_time)
            for source, received_at, warnings, event_time in self._session.rows(_RECENT, {"limit": limit})
        ]

    def last_id(self) -> int:
        row = self._session.first(_LAST_ID)
        return (row[0] or 0) if row else 0

    def lines(self, *, after: int, limit: int) -> list[JournalLine]:
        return [_line(row) for row in self._session.rows(_LINES, {"after": after, "limit": limit})]

    def lines_of(self, message_ids: Collection[int]) -> dict[int, JournalLine]:
        rows = self._session.rows(_LINES_OF, {"message_ids": message_ids}) if message_ids else ()
        return {row.id: _line(row) for row in rows}

    def lines_in(self, state: MessageState) -> list[JournalLine]:
        return [_line(row) for row in self._session.rows(_LINES_IN, {"of_state": state.value})]

    def original_line(self, line: JournalLine) -> JournalLine | None:
        row = self._session.first(_ORIGINAL_LINE, {"digest": line.name})
        return _line(row) if row else None

    def effects(self, first: int, last: int) -> dict[int, tuple[int, int]]:
        found: dict[int, tuple[int, int]] = {}
        span = {"first": first, "last": last}
        for message_id, count in self._session.rows(_STATEMENTS_OF, span):
            found[message_id] = (count, 0)
        for message_id, count in self._session.rows(_FACTS_OF, span):
            found[message_id] = (found.get(message_id, (0, 0))[0], count)
        return found

    def without_message(self, *, limit: int) -> list[tuple[str, int, int]]:
        return [
            (kind, number, message_id)
            for kind, query in (("statement", _STATEMENTS_ALONE), ("fact", _FACTS_ALONE))
            for number, message_id in self._session.rows(query, {"limit": limit})
        ]

    def blank(self, message_ids: Collection[int]) -> None:
        self._session.change(_BLANK, {"message_ids": message_ids})


def _digest(dedupe_key: str) -> str:
    return hashlib.sha256(dedupe_key.encode("utf-8", "surrogatepass")).hexdigest()


def _line(row: AnyRow) -> JournalLine:
    return JournalLine(
        id=row.id,
        protocol=row.protocol,
        source=row.source,
        name=row.dedupe_digest,
        content_hash=row.content_hash,
        state=MessageState(row.state) if row.state in _STATES else None,
        error=row.error,
        sequence=row.sequence,
        replay_of=row.replay_of,
        repeats=row.repeats,
        settled_at=row.settled_at,
        settled_by=row.settled_by,
        reply=row.reply,
        is_blank=bool(row.is_blank),
    )


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
        repeats=row.repeats,
        settled_at=row.settled_at,
        settled_by=row.settled_by,
        settled_reason=row.settled_reason,
    )
