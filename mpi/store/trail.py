"""What is only ever appended or looked up: the audit chain, the API keys."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import bindparam, insert, select, update

from mpi.index.audit import GENESIS, AuditEvent, ChainedEvent, chain_hash
from mpi.index.ports import StoredKey
from mpi.store.session import AnyRow, Session
from mpi.store.tables import API_KEY, AUDIT

_CHAIN_PAGE = 1_000

_A, _K = AUDIT.c, API_KEY.c
_HEAD = select(_A.sequence, _A.hash).order_by(_A.sequence.desc()).limit(1)
_CHAIN = select(AUDIT).where(_A.sequence > bindparam("after")).order_by(_A.sequence).limit(_CHAIN_PAGE)
_EVENT = select(AUDIT).where(_A.sequence == bindparam("sequence"))
_INSERT_KEY = insert(API_KEY)
_KEYS = select(_K.id, _K.name, _K.role, _K.domains, _K.created_at, _K.revoked_at).order_by(_K.id)
_FIND = _KEYS.where(_K.secret_hash == bindparam("secret_hash"))
_REVOKE = update(API_KEY).where(_K.name == bindparam("of_name"), _K.revoked_at.is_(None))


class SqlAuditTrail:
    """`ports.AuditTrail` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._head: tuple[int, str] | None = None

    def append(self, event: AuditEvent) -> None:
        self.append_all((event,))

    def append_all(self, events: Sequence[AuditEvent]) -> None:
        rows = []
        for event in events:
            event = replace(event, at=event.at.astimezone(UTC))  # as it will be read back
            last, previous_hash = self._chain_head()
            hash_ = chain_hash(last + 1, previous_hash, event)
            rows.append(
                {
                    "sequence": last + 1,
                    "previous_hash": previous_hash,
                    "hash": hash_,
                    "at": event.at,
                    "actor": event.actor,
                    "action": event.action,
                    "kind": event.kind,
                    "subject": event.subject,
                    "details": event.details,
                }
            )
            self._head = (last + 1, hash_)
        if rows:
            self._session.insert_all(AUDIT, rows)

    def chain(self) -> Iterator[ChainedEvent]:
        after = 0
        while rows := self._session.rows(_CHAIN, {"after": after}):
            for row in rows:
                yield _chained(row)
            after = rows[-1].sequence

    def get(self, sequence: int) -> ChainedEvent | None:
        row = self._session.first(_EVENT, {"sequence": sequence})
        return _chained(row) if row else None

    def newest(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[ChainedEvent]:
        wanted = select(AUDIT).order_by(_A.sequence.desc()).limit(limit)
        if since is not None:
            wanted = wanted.where(_A.at >= since)
        if until is not None:
            wanted = wanted.where(_A.at < until)
        if before is not None:
            wanted = wanted.where(_A.sequence < before)
        return [_chained(row) for row in self._session.rows(wanted)]

    def _chain_head(self) -> tuple[int, str]:
        """Read once in a unit of work."""
        if self._head is None:
            row = self._session.first(_HEAD)
            self._head = (row[0], row[1]) if row else (0, GENESIS)
        return self._head


def _chained(row: AnyRow) -> ChainedEvent:
    return ChainedEvent(
        sequence=row.sequence,
        previous_hash=row.previous_hash,
        hash=row.hash,
        event=AuditEvent(
            actor=row.actor,
            action=row.action,
            kind=row.kind,
            subject=row.subject,
            at=row.at,
            details=row.details,
        ),
    )


class SqlKeys:
    """`ports.Keys` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, *, name: str, secret_hash: str, role: str, domains: Sequence[str], at: datetime) -> int:
        return self._session.insert(
            _INSERT_KEY,
            {
                "name": name,
                "secret_hash": secret_hash,
                "role": role,
                "domains": list(domains),
                "created_at": at,
                "revoked_at": None,
            },
        )

    def find(self, secret_hash: str) -> StoredKey | None:
        row = self._session.first(_FIND, {"secret_hash": secret_hash})
        return _key(row) if row else None

    def all(self) -> list[StoredKey]:
        return [_key(row) for row in self._session.rows(_KEYS)]

    def revoke(self, name: str, *, at: datetime) -> bool:
        return self._session.change(_REVOKE, {"of_name": name, "revoked_at": at}) > 0


def _key(row: AnyRow) -> StoredKey:
    return StoredKey(row.id, row.name, row.role, tuple(row.domains), row.created_at, row.revoked_at)
