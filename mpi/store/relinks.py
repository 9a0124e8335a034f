"""Runs of the whole store through another match model."""

from datetime import datetime

from sqlalchemy import bindparam, insert, select, update

from mpi.index.ports import StoredRelink
from mpi.store.session import Session
from mpi.store.tables import RELINK

_R = RELINK.c
_ALL = select(_R.id, _R.model_version, _R.started_at, _R.started_by, _R.position, _R.finished_at).order_by(
    _R.id
)
_UNFINISHED = _ALL.where(_R.finished_at.is_(None))
_INSERT = insert(RELINK)
_CHANGE = update(RELINK).where(_R.id == bindparam("relink_id"), _R.finished_at.is_(None))


class SqlRelinks:
    """`ports.Relinks` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def begin(self, *, model_version: str, at: datetime, by: str) -> StoredRelink:
        """Writers take turns, so looking first is enough to keep two runs apart."""
        if self.unfinished() is not None:
            raise RuntimeError("a relink is not finished")
        row = {
            "model_version": model_version,
            "started_at": at,
            "started_by": by,
            "position": 0,
            "finished_at": None,
        }
        return StoredRelink(self._session.insert(_INSERT, row), model_version, at, by, 0, None)

    def unfinished(self) -> StoredRelink | None:
        row = self._session.first(_UNFINISHED)
        return StoredRelink(*row) if row else None

    def advance(self, relink_id: int, *, position: int) -> None:
        if not self._session.change(_CHANGE, {"relink_id": relink_id, "position": position}):
            raise LookupError("no such relink is unfinished")

    def finish(self, relink_id: int, *, at: datetime) -> None:
        if not self._session.change(_CHANGE, {"relink_id": relink_id, "finished_at": at}):
            raise LookupError("no such relink is unfinished")

    def all(self) -> list[StoredRelink]:
        return [StoredRelink(*row) for row in self._session.rows(_ALL)]
