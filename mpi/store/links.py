"""What relates records: scored edges, facts, and memberships of enterprise records."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Update,
    and_,
    bindparam,
    case,
    delete,
    false,
    insert,
    or_,
    select,
    true,
    union,
    update,
)
from sqlalchemy.sql.util import ClauseAdapter

from mpi.identity.model import RecordKey
from mpi.index.events import Fact, FactKind
from mpi.index.graph import Edge
from mpi.index.ports import Membership
from mpi.matching.decision import Decision
from mpi.matching.model import Evidence
from mpi.matching.online import ScoredPair
from mpi.store.columns import Among, AmongKeys
from mpi.store.session import AnyRow, Session
from mpi.store.tables import EDGE, FACT, MEMBERSHIP

_E, _F, _M = EDGE.c, FACT.c, MEMBERSHIP.c

_DELETE_EDGES = delete(EDGE).where(
    or_(_E.left_id == bindparam("record_id"), _E.right_id == bindparam("record_id"))
)
_EDGES_TOUCHING = (
    select(EDGE)
    .where(or_(Among(_E.left_id, "ids"), Among(_E.right_id, "ids")))
    .order_by(_E.left_id, _E.right_id)
)

_INSERT_FACT = insert(FACT)
_FACT = select(FACT).where(_F.id == bindparam("fact_id"))
_NOT_WITHDRAWN = _F.withdrawn_at.is_(None)
_CHANGE_FACT = update(FACT).where(_F.id == bindparam("fact_id"), _NOT_WITHDRAWN)
_CONFIRM = _CHANGE_FACT.where(_F.second_needed.is_(true()), _F.confirmed_at.is_(None))
_OF_ACT = (
    select(FACT).where(or_(_F.id == bindparam("fact_id"), _F.act_id == bindparam("fact_id"))).order_by(_F.id)
)
_LEFT_AMONG = AmongKeys(_F.left_domain, _F.left_value, _F.left_epoch, "keys")
_RIGHT_AMONG = AmongKeys(_F.right_domain, _F.right_value, _F.right_epoch, "keys")
_STANDS = and_(_NOT_WITHDRAWN, or_(_F.second_needed.is_(false()), _F.confirmed_at.is_not(None)))
_STANDING = union(
    select(FACT).where(_STANDS, _LEFT_AMONG), select(FACT).where(_STANDS, _RIGHT_AMONG)
).order_by(_F.id.name)
_EVER = union(select(FACT).where(_LEFT_AMONG), select(FACT).where(_RIGHT_AMONG)).order_by(_F.id.name)
_FACT_PAGE = select(FACT).where(_F.id > bindparam("after")).order_by(_F.id).limit(bindparam("limit"))

_SETS_PER_STATEMENT = 500
"""Asked for some thousands at once, PostgreSQL reads every membership there is."""
_INSERT_MEMBERSHIP = insert(MEMBERSHIP)
_CURRENT = (
    select(_M.record_id, _M.euid)
    .where(Among(_M.record_id, "ids"), _M.valid_to.is_(None))
    .order_by(_M.record_id)
)
_END_CURRENT = (
    update(MEMBERSHIP)
    .where(_M.record_id == bindparam("of_record"), _M.valid_to.is_(None))
    .values(
        valid_to=case(
            (_M.valid_from > bindparam("at", type_=_M.valid_to.type), _M.valid_from), else_=bindparam("at")
        )
    )
    .returning(_M.valid_to)
)
_STILL = _M.valid_to.is_(None)
_THEN = (
    _M.valid_from <= bindparam("as_of", type_=_M.valid_from.type),
    or_(_STILL, _M.valid_to > bindparam("as_of", type_=_M.valid_from.type)),
)
_MEMBERS = select(_M.record_id).where(_M.euid == bindparam("euid")).order_by(_M.record_id)
_EVER_MEMBERS = _MEMBERS.distinct()
_MEMBERS_NOW, _MEMBERS_THEN = _MEMBERS.where(_STILL), _MEMBERS.where(*_THEN)
_EUID = select(_M.euid).where(_M.record_id == bindparam("record_id"))
_EUID_NOW, _EUID_THEN = _EUID.where(_STILL), _EUID.where(*_THEN)
_ALL_OF = MEMBERSHIP.alias("all_of")


def _together(*conditions: ColumnElement[bool]) -> Select[Any]:
    """The rows of every enterprise record that holds one of the records, under conditions on both sides."""
    holding = select(_M.euid).where(Among(_M.record_id, "ids"), *conditions)
    return (
        select(_ALL_OF.c.euid, _ALL_OF.c.record_id)
        .where(_ALL_OF.c.euid.in_(holding), *(_on_all(one) for one in conditions))
        .order_by(_ALL_OF.c.record_id)
    )


def _on_all(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return ClauseAdapter(_ALL_OF).traverse(condition)


_TOGETHER_NOW, _TOGETHER_THEN = _together(_STILL), _together(*_THEN)
_HISTORY = (
    select(_M.record_id, _M.euid, _M.valid_from, _M.valid_to, _M.cause, _M.model_version)
    .where(_M.record_id == bindparam("record_id"))
    .order_by(_M.id)
)


class SqlEdges:
    """`ports.Edges` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def replace(self, record_id: int, edges: Sequence[Edge]) -> None:
        if self._session.unnamed.others("edge", (record_id,)):
            self._session.change(_DELETE_EDGES, {"record_id": record_id})
        if edges:
            self._session.unnamed.named(
                "edge", (end for edge in edges for end in (edge.left_id, edge.right_id))
            )
            self._session.insert_all(EDGE, [_edge_row(edge) for edge in edges])

    def touching(self, record_ids: Collection[int]) -> list[Edge]:
        asked = self._session.unnamed.others("edge", record_ids)
        if not asked:
            return []
        return [_edge(row) for row in self._session.rows(_EDGES_TOUCHING, {"ids": asked})]


def _edge_row(edge: Edge) -> dict[str, Any]:
    score = edge.score
    return {
        "left_id": edge.left_id,
        "right_id": edge.right_id,
        "weight_bits": score.weight_bits,
        "probability": score.probability,
        "decision": score.decision.value,
        "evidence": score.evidence,
        "guards": score.guards,
        "contradicts": score.contradicts,
        "model_version": edge.model_version,
    }


def _edge(row: AnyRow) -> Edge:
    return Edge(
        left_id=row.left_id,
        right_id=row.right_id,
        score=ScoredPair(
            weight_bits=row.weight_bits,
            probability=row.probability,
            decision=Decision(row.decision),
            evidence=tuple(Evidence(*item) for item in row.evidence),
            guards=tuple(row.guards),
            contradicts=row.contradicts,
        ),
        model_version=row.model_version,
    )


class SqlFacts:
    """`ports.Facts` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, fact: Fact) -> int:
        return self._session.insert(
            _INSERT_FACT,
            {
                "kind": fact.kind.value,
                "left_domain": fact.left.domain,
                "left_value": fact.left.value,
                "left_epoch": fact.left.epoch,
                "right_domain": fact.right.domain,
                "right_value": fact.right.value,
                "right_epoch": fact.right.epoch,
                "actor": fact.actor,
                "reason": fact.reason,
                "event_time": fact.event_time,
                "recorded_at": fact.recorded_at,
                "message_id": fact.message_id,
                "statement_id": fact.statement_id,
                "act_id": fact.act_id,
                "seen": dict(fact.seen),
                "second_needed": fact.second_needed,
                "confirmed_at": fact.confirmed_at,
                "confirmed_by": fact.confirmed_by,
                "withdrawal_asked_by": fact.withdrawal_asked_by,
                "withdrawn_at": fact.withdrawn_at,
                "withdrawn_by": fact.withdrawn_by,
            },
        )

    def get(self, fact_id: int) -> Fact | None:
        row = self._session.first(_FACT, {"fact_id": fact_id})
        return _fact(row) if row else None

    def withdraw(self, fact_id: int, *, at: datetime, by: str) -> None:
        self._change(_CHANGE_FACT, {"fact_id": fact_id, "withdrawn_at": at, "withdrawn_by": by})

    def ask_withdrawal(self, fact_id: int, *, by: str) -> None:
        self._change(_CHANGE_FACT, {"fact_id": fact_id, "withdrawal_asked_by": by})

    def confirm(self, fact_id: int, *, at: datetime, by: str) -> None:
        self._change(_CONFIRM, {"fact_id": fact_id, "confirmed_at": at, "confirmed_by": by})

    def _change(self, statement: Update, changed: dict[str, Any]) -> None:
        if not self._session.change(statement, changed):
            raise LookupError("no such fact, or it is beyond that")

    def standing(self, keys: Collection[RecordKey]) -> list[Fact]:
        if not keys:
            return []
        return [_fact(row) for row in self._session.rows(_STANDING, {"keys": keys})]

    def ever(self, keys: Collection[RecordKey]) -> list[Fact]:
        if not keys:
            return []
        return [_fact(row) for row in self._session.rows(_EVER, {"keys": keys})]

    def of_act(self, fact_id: int) -> list[Fact]:
        return [_fact(row) for row in self._session.rows(_OF_ACT, {"fact_id": fact_id})]

    def page(self, *, after: int = 0, limit: int = 50) -> list[Fact]:
        return [_fact(row) for row in self._session.rows(_FACT_PAGE, {"after": after, "limit": limit})]


def _fact(row: AnyRow) -> Fact:
    return Fact(
        id=row.id,
        kind=FactKind(row.kind),
        left=RecordKey(row.left_domain, row.left_value, row.left_epoch),
        right=RecordKey(row.right_domain, row.right_value, row.right_epoch),
        actor=row.actor,
        event_time=row.event_time,
        recorded_at=row.recorded_at,
        reason=row.reason,
        message_id=row.message_id,
        statement_id=row.statement_id,
        act_id=row.act_id,
        seen=row.seen,
        second_needed=row.second_needed,
        confirmed_at=row.confirmed_at,
        confirmed_by=row.confirmed_by,
        withdrawal_asked_by=row.withdrawal_asked_by,
        withdrawn_at=row.withdrawn_at,
        withdrawn_by=row.withdrawn_by,
    )


class SqlMemberships:
    """
    `ports.Memberships` on a database.

    Intervals are closed at the start and open at the end, and those of one record never overlap.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def current(self, record_ids: Collection[int]) -> dict[int, str]:
        asked = self._session.unnamed.others("membership", record_ids)
        if not asked:
            return {}
        return {row[0]: row[1] for row in self._session.rows(_CURRENT, {"ids": asked})}

    def members(self, euid: str, *, as_of: datetime | None = None) -> list[int]:
        if as_of is None:
            return [row[0] for row in self._session.rows(_MEMBERS_NOW, {"euid": euid})]
        return [row[0] for row in self._session.rows(_MEMBERS_THEN, {"euid": euid, "as_of": as_of})]

    def sets_of(self, record_ids: Collection[int], *, as_of: datetime | None = None) -> dict[str, list[int]]:
        query, asked = _TOGETHER_NOW, dict[str, Any]()
        if as_of is not None:
            query, asked = _TOGETHER_THEN, {"as_of": as_of}
        ids = list(record_ids)
        sets: dict[str, list[int]] = {}
        for start in range(0, len(ids), _SETS_PER_STATEMENT):
            some = ids[start : start + _SETS_PER_STATEMENT]
            whole: dict[str, list[int]] = {}  # whichever of its records was asked for
            for euid, record_id in self._session.rows(query, {**asked, "ids": some}):
                whole.setdefault(euid, []).append(record_id)
            sets |= whole
        return sets

    def ever_members(self, euid: str) -> list[int]:
        return [row[0] for row in self._session.rows(_EVER_MEMBERS, {"euid": euid})]

    def euid_of(self, record_id: int, *, as_of: datetime | None = None) -> str | None:
        if as_of is None:
            row = self._session.first(_EUID_NOW, {"record_id": record_id})
        else:
            row = self._session.first(_EUID_THEN, {"record_id": record_id, "as_of": as_of})
        return row[0] if row else None

    def move(self, record_id: int, euid: str, *, at: datetime, cause: str, model_version: str) -> None:
        """A clock that went back would make two memberships at once: the later instant holds."""
        begins = at
        if self._session.unnamed.others("membership", (record_id,)):
            ended = self._session.first(_END_CURRENT, {"of_record": record_id, "at": at})
            begins = ended[0] if ended else at
        self._session.unnamed.named("membership", (record_id,))
        self._session.insert(
            _INSERT_MEMBERSHIP,
            {
                "record_id": record_id,
                "euid": euid,
                "valid_from": begins,
                "valid_to": None,
                "cause": cause,
                "model_version": model_version,
            },
        )

    def history(self, record_id: int) -> list[Membership]:
        return [Membership(*row) for row in self._session.rows(_HISTORY, {"record_id": record_id})]
