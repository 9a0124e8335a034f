"""Messages that could not be handled: who waits for them, and how often they were tried."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import and_, bindparam, delete, exists, func, insert, select, update

from mpi.index.events import MessageState
from mpi.store.session import Session
from mpi.store.tables import ATTEMPT, INBOX, WAITING

_W = WAITING.c
_ADD = insert(WAITING)
_REMOVE = delete(WAITING).where(_W.message_id == bindparam("of_message"))
_OF_SOURCE = select(_W.patient, _W.message_id).where(_W.source == bindparam("of_source"))
_ALL = select(_W.message_id, _W.source, _W.patient).order_by(_W.message_id)
_EARLIER = WAITING.alias("earlier")
_MINE = WAITING.alias("mine")
_NEXT_FREE = select(func.min(INBOX.c.id)).where(
    INBOX.c.id.in_(select(_W.message_id)),
    INBOX.c.state == MessageState.PARKED.value,
    ~exists().where(
        and_(
            _MINE.c.message_id == INBOX.c.id,
            _EARLIER.c.source == _MINE.c.source,
            _EARLIER.c.patient == _MINE.c.patient,
            _EARLIER.c.message_id < _MINE.c.message_id,
        )
    ),
)

_A = ATTEMPT.c
_TRIES = select(_A.tries).where(_A.digest == bindparam("of_digest"))
_TRIED = select(_A.digest, _A.tries)
_BEGIN = insert(ATTEMPT)
_AGAIN = update(ATTEMPT).where(_A.digest == bindparam("of_digest"))
_CLEAR = delete(ATTEMPT).where(_A.digest == bindparam("of_digest"))


class SqlWaiting:
    """`ports.Waiting` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, message_id: int, source: str, patients: Collection[str]) -> None:
        rows = [
            {"source": source, "patient": patient, "message_id": message_id}
            for patient in sorted(set(patients))
        ]
        if rows:
            self._session.change(_ADD, rows)

    def remove(self, message_id: int) -> None:
        self._session.change(_REMOVE, {"of_message": message_id})

    def ahead(self, source: str, patients: Collection[str]) -> int | None:
        """Hardly anybody ever waits: the few rows of a source are read, and compared here."""
        rows = self._session.rows(_OF_SOURCE, {"of_source": source})
        wanted = set(patients)
        return max((row.message_id for row in rows if row.patient in wanted), default=None)

    def next_free(self) -> int | None:
        row = self._session.first(_NEXT_FREE)
        return row[0] if row else None

    def all(self) -> list[tuple[int, str, str]]:
        return sorted((row.message_id, row.source, row.patient) for row in self._session.rows(_ALL))


class SqlAttempts:
    """`ports.Attempts` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def tries(self, digest: str) -> int:
        row = self._session.first(_TRIES, {"of_digest": digest})
        return row.tries if row else 0

    def count(self, digests: Collection[str], *, at: datetime) -> None:
        for digest in sorted(set(digests)):
            self.give_up(digest, tries=self.tries(digest) + 1, at=at)

    def give_up(self, digest: str, *, tries: int, at: datetime) -> None:
        if not self._session.change(_AGAIN, {"of_digest": digest, "tries": tries, "last_at": at}):
            self._session.change(_BEGIN, {"digest": digest, "tries": tries, "last_at": at})

    def clear(self, digest: str) -> None:
        self._session.change(_CLEAR, {"of_digest": digest})

    def all(self) -> dict[str, int]:
        return {row.digest: row.tries for row in self._session.rows(_TRIED)}
