"""How many messages of each source came in each hour and what became of them, counted as they are journalled."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import TextClause, bindparam, func, select, text

from mpi.index.events import MessageState
from mpi.store.columns import AnyText
from mpi.store.session import Session
from mpi.store.tables import FEED_COUNT

EVER = 0
"""The hour of the counts of all time, which also say where and why messages were stopped."""
_HOUR_SECONDS = 3600

_C = FEED_COUNT.c
_OF_ALL_TIME = select(_C.source, _C.state, _C.place, _C.problem, _C.count).where(
    _C.hour == EVER, _C.count > 0
)
_SINCE = select(_C.source, _C.hour, _C.state, func.sum(_C.count)).where(
    _C.hour >= bindparam("since"), _C.count > 0
).group_by(_C.source, _C.hour, _C.state)  # fmt: skip


def _adding() -> TextClause:
    """Add to the count of all time and to that of the hour, which need not be there yet; on both databases."""
    statement = text(
        "INSERT INTO feed_count (source, hour, state, place, problem, count) VALUES"
        " (:source, 0, :state, :place, :problem, :count), (:source, :hour, :state, '', '', :count)"
        " ON CONFLICT (source, hour, state, place, problem)"
        " DO UPDATE SET count = feed_count.count + excluded.count"
    )
    anything = [bindparam(name, type_=AnyText()) for name in ("source", "place", "problem")]
    return statement.bindparams(*anything)


_ADD = _adding()


class FeedTallies:
    """The counts of one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(
        self, source: str, state: str, place: str, problem: str, received_at: datetime, count: int = 1
    ) -> None:
        """Count messages of a source that came at an instant; or count them off again."""
        self._session.change(
            _ADD,
            {
                "source": source,
                "hour": int(received_at.timestamp()) // _HOUR_SECONDS,
                "state": state,
                "place": place,
                "problem": problem,
                "count": count,
            },
        )

    def of_all_time(self) -> Iterable[tuple[str, MessageState, tuple[str, str], int]]:
        """(source, state, place and problem, count)."""
        for source, state, place, problem, count in self._session.rows(_OF_ALL_TIME):
            yield source, MessageState(state), (place, problem), count

    def by_hour(self, since: datetime) -> dict[str, dict[datetime, dict[MessageState, int]]]:
        """See `ports.Inbox.by_hour`."""
        found: dict[str, dict[datetime, dict[MessageState, int]]] = {}
        first: dict[str, Any] = {"since": max(1, int(since.timestamp()) // _HOUR_SECONDS)}
        for source, hour, state, count in self._session.rows(_SINCE, first):
            begun = datetime.fromtimestamp(hour * _HOUR_SECONDS, UTC)
            found.setdefault(source, {}).setdefault(begun, {})[MessageState(state)] = int(count)
        return found
