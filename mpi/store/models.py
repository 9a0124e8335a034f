"""The match models this index knows, and the one that is active."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, false, insert, select, true, update

from mpi.index.ports import StoredModel
from mpi.store.session import AnyRow, Session
from mpi.store.tables import MATCH_MODEL

_M = MATCH_MODEL.c
_ALL = select(MATCH_MODEL).order_by(_M.id)
_BY_VERSION = _ALL.where(_M.version == bindparam("version"))
_ACTIVE = _ALL.where(_M.active.is_(true()))
_INSERT = insert(MATCH_MODEL)
_DEACTIVATE = update(MATCH_MODEL).where(_M.active.is_(true())).values(active=false())
_ACTIVATE = update(MATCH_MODEL).where(_M.version == bindparam("of_version")).values(active=true())


class SqlModels:
    """`ports.Models` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, *, version: str, digest: str, document: Mapping[str, Any], at: datetime) -> None:
        row = {
            "version": version,
            "digest": digest,
            "document": dict(document),
            "added_at": at,
            "active": False,
            "activated_at": None,
            "activated_by": "",
        }
        self._session.insert(_INSERT, row)

    def get(self, version: str) -> StoredModel | None:
        row = self._session.first(_BY_VERSION, {"version": version})
        return _model(row) if row else None

    def active(self) -> StoredModel | None:
        row = self._session.first(_ACTIVE)
        return _model(row) if row else None

    def all(self) -> list[StoredModel]:
        return [_model(row) for row in self._session.rows(_ALL)]

    def activate(self, version: str | None, *, at: datetime, by: str) -> None:
        self._session.change(_DEACTIVATE, {})
        if version is None:
            return
        if not self._session.change(
            _ACTIVATE, {"of_version": version, "activated_at": at, "activated_by": by}
        ):
            raise LookupError("no such model")


def _model(row: AnyRow) -> StoredModel:
    return StoredModel(
        version=row.version,
        digest=row.digest,
        document=row.document,
        added_at=row.added_at,
        active=row.active,
        activated_at=row.activated_at,
        activated_by=row.activated_by,
    )
