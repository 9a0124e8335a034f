"""Reports, requests to sites, and the counts over the whole store."""

from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    Text,
    and_,
    bindparam,
    case,
    cast,
    exists,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
    type_coerce,
    update,
)

from mpi.identity.ins import IdentityAttribute, IdentityStatus
from mpi.identity.model import RecordKey
from mpi.index.corrections import Correction, CorrectionKind, WantedCorrection
from mpi.index.events import CLOSING, RETIRING, MessageState
from mpi.index.ports import Figures
from mpi.index.reports import Followed, Report, ReportKind, ReportState
from mpi.index.review import LIVE_STATES, WHOLE, Topic
from mpi.store.columns import Among
from mpi.store.session import AnyRow, Session
from mpi.store.tables import (
    CORRECTION,
    FACT,
    INBOX,
    MEMBERSHIP,
    REPORT,
    REPORT_ABOUT,
    SOURCE_RECORD,
    STATEMENT,
    TASK,
)

_R, _A, _C, _S = REPORT.c, REPORT_ABOUT.c, CORRECTION.c, SOURCE_RECORD.c
_REPORTS = select(REPORT).order_by(_R.id)
_REPORT = _REPORTS.where(_R.id == bindparam("report_id"))
_ABOUT = (
    select(_A.report_id, _S.domain, _S.value, _S.epoch)
    .join(SOURCE_RECORD, _S.id == _A.record_id)
    .where(Among(_A.report_id, "report_ids"))
)
_OF_RECORDS = _REPORTS.where(_R.id.in_(select(_A.report_id).where(Among(_A.record_id, "record_ids"))))
_ADD_REPORT = insert(REPORT)
_ADD_ABOUT = insert(REPORT_ABOUT).from_select(
    ["report_id", "record_id"],
    select(bindparam("of_report"), _S.id).where(
        _S.domain == bindparam("domain"), _S.value == bindparam("value"), _S.epoch == bindparam("epoch")
    ),
)
_CHANGE_REPORT = update(REPORT).where(_R.id == bindparam("report_id")).values(version=_R.version + 1)
_BLANK_REPORTS = (
    update(REPORT)
    .where(_R.id.in_(select(_A.report_id).where(Among(_A.record_id, "record_ids"))))
    .values(comment="", answer="")
)

_LEFT, _RIGHT = SOURCE_RECORD.alias("left_record"), SOURCE_RECORD.alias("right_record")
_CORRECTIONS = (
    select(
        CORRECTION,
        _LEFT.c.domain.label("left_domain"),
        _LEFT.c.value.label("left_value"),
        _LEFT.c.epoch.label("left_epoch"),
        _RIGHT.c.domain.label("right_domain"),
        _RIGHT.c.value.label("right_value"),
        _RIGHT.c.epoch.label("right_epoch"),
    )
    .join(_LEFT, _LEFT.c.id == _C.left_id)
    .join(_RIGHT, _RIGHT.c.id == _C.right_id)
    .order_by(_C.id)
)
_IS_ABOUT = or_(Among(_C.left_id, "record_ids"), Among(_C.right_id, "record_ids"))
_IS_OPEN = and_(_C.settled == "", _C.withdrawn_at.is_(None))
_GET = _CORRECTIONS.where(_C.id == bindparam("correction_id"))
_TOUCHING = _CORRECTIONS.where(_C.withdrawn_at.is_(None), _IS_ABOUT)
_OF_CAUSE = _CORRECTIONS.where(_C.root == bindparam("root"))
_ADD = insert(CORRECTION)
_CHANGE = update(CORRECTION).where(_C.id == bindparam("correction_id")).values(version=_C.version + 1)
_BLANK = update(CORRECTION).where(_IS_ABOUT).values(expected={}, before={})


@lru_cache
def _page(*, is_open: bool | None, by_kind: bool, overdue: bool) -> Select[Any]:
    statement = _CORRECTIONS.where(_C.id > bindparam("after")).limit(bindparam("limit"))
    if is_open is not None:
        statement = statement.where(_IS_OPEN if is_open else not_(_IS_OPEN))
    if by_kind:
        statement = statement.where(_C.kind == bindparam("kind"))
    if overdue:
        statement = statement.where(_IS_OPEN, _C.due_at <= bindparam("due"))
    return statement


@lru_cache
def _report_page(*, by_actor: bool) -> Select[Any]:
    statement = _REPORTS.where(
        _R.id > bindparam("after"), _R.state.in_(bindparam("states", expanding=True))
    ).limit(bindparam("limit"))
    return statement.where(_R.actor == bindparam("by_actor")) if by_actor else statement


class SqlReports:
    """`ports.Reports` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, report: Report) -> int:
        report_id = self._session.insert(
            _ADD_REPORT,
            {
                "kind": report.kind.value,
                "actor": report.actor,
                "role": report.role,
                "received_at": report.received_at,
                "comment": report.comment,
                "trait": report.trait,
                "study_uid": report.study_uid,
                "version": report.version,
                **_changing(report),
            },
        )
        for key in report.about:
            self._session.change(_ADD_ABOUT, {"of_report": report_id, **key._asdict()})
        return report_id

    def get(self, report_id: int) -> Report | None:
        return next(iter(self._read(self._session.rows(_REPORT, {"report_id": report_id}))), None)

    def change(self, report: Report) -> Report:
        if not self._session.change(_CHANGE_REPORT, {"report_id": report.id, **_changing(report)}):
            raise LookupError("no such report")
        changed = self.get(report.id)
        assert changed is not None
        return changed

    def page(
        self,
        *,
        states: Collection[ReportState],
        actor: str | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[Report]:
        asked = {"states": sorted(state.value for state in states), "after": after, "limit": limit}
        if actor is not None:
            asked["by_actor"] = actor
        return self._read(self._session.rows(_report_page(by_actor=actor is not None), asked))

    def about(self, record_ids: Collection[int]) -> list[Report]:
        if not record_ids:
            return []
        return self._read(self._session.rows(_OF_RECORDS, {"record_ids": record_ids}))

    def blank(self, record_ids: Collection[int]) -> None:
        self._session.change(_BLANK_REPORTS, {"record_ids": record_ids})

    def _read(self, rows: Collection[AnyRow]) -> list[Report]:
        if not rows:
            return []
        about: dict[int, list[RecordKey]] = {row.id: [] for row in rows}
        for row in self._session.rows(_ABOUT, {"report_ids": list(about)}):
            about[row.report_id].append(RecordKey(row.domain, row.value, row.epoch))
        return [_report(row, about[row.id]) for row in rows]


def _changing(report: Report) -> dict[str, Any]:
    return {
        "changed_at": report.changed_at,
        "state": report.state.value,
        "fact_id": report.fact_id,
        "decided_by": report.decided_by,
        "answer": report.answer,
    }


def _report(row: AnyRow, about: Collection[RecordKey]) -> Report:
    return Report(
        id=row.id,
        kind=ReportKind(row.kind),
        about=tuple(sorted(about)),
        actor=row.actor,
        role=row.role,
        received_at=row.received_at,
        changed_at=row.changed_at,
        comment=row.comment,
        trait=row.trait,
        study_uid=row.study_uid,
        state=ReportState(row.state),
        version=row.version,
        fact_id=row.fact_id,
        decided_by=row.decided_by,
        answer=row.answer,
    )


class SqlCorrections:
    """`ports.Corrections` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, correction: Correction) -> int:
        wanted = correction.wanted
        self._session.unnamed.named("correction", (correction.left_id, correction.right_id))
        return self._session.insert(
            _ADD,
            {
                "kind": wanted.kind.value,
                "cause": wanted.cause,
                "root": _root(wanted.cause),
                "left_id": correction.left_id,
                "right_id": correction.right_id,
                "asserted_by": wanted.source,
                "source": correction.source,
                "expected": dict(wanted.expected),
                "before": dict(wanted.before),
                "traits": list(wanted.traits),
                "study_uid": wanted.study_uid,
                "requested_by": correction.requested_by,
                "requested_at": correction.requested_at,
                "version": correction.version,
                **_outcome(correction),
            },
        )

    def get(self, correction_id: int) -> Correction | None:
        row = self._session.first(_GET, {"correction_id": correction_id})
        return _correction(row) if row else None

    def change(self, correction: Correction) -> Correction:
        if not self._session.change(_CHANGE, {"correction_id": correction.id, **_outcome(correction)}):
            raise LookupError("no such request")
        changed = self.get(correction.id)
        assert changed is not None
        return changed

    def touching(self, record_ids: Collection[int]) -> list[Correction]:
        asked = self._session.unnamed.others("correction", record_ids)
        if not asked:
            return []
        return [_correction(row) for row in self._session.rows(_TOUCHING, {"record_ids": asked})]

    def of_cause(self, cause: str) -> list[Correction]:
        return [_correction(row) for row in self._session.rows(_OF_CAUSE, {"root": cause})]

    def page(
        self,
        *,
        is_open: bool | None = None,
        kind: CorrectionKind | None = None,
        overdue_at: datetime | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[Correction]:
        asked: dict[str, Any] = {"after": after, "limit": limit}
        if kind is not None:
            asked["kind"] = kind.value
        if overdue_at is not None:
            asked["due"] = overdue_at
        statement = _page(is_open=is_open, by_kind=kind is not None, overdue=overdue_at is not None)
        return [_correction(row) for row in self._session.rows(statement, asked)]

    def blank(self, record_ids: Collection[int]) -> None:
        self._session.change(_BLANK, {"record_ids": record_ids})


def _root(cause: str) -> str:
    """`report/2` of `report/2.4`."""
    return cause.partition(".")[0]


def _outcome(correction: Correction) -> dict[str, Any]:
    return {
        "due_at": correction.due_at,
        "outbox_id": correction.outbox_id,
        "settled": correction.settled.value if correction.settled else "",
        "settled_at": correction.settled_at,
        "settled_by": correction.settled_by,
        "withdrawn_at": correction.withdrawn_at,
        "withdrawn_by": correction.withdrawn_by,
    }


def _correction(row: AnyRow) -> Correction:
    return Correction(
        id=row.id,
        wanted=WantedCorrection(
            kind=CorrectionKind(row.kind),
            cause=row.cause,
            left=RecordKey(row.left_domain, row.left_value, row.left_epoch),
            right=RecordKey(row.right_domain, row.right_value, row.right_epoch),
            source=row.asserted_by,
            expected=row.expected,
            before=row.before,
            traits=tuple(row.traits),
            study_uid=row.study_uid,
        ),
        left_id=row.left_id,
        right_id=row.right_id,
        source=row.source,
        requested_by=row.requested_by,
        requested_at=row.requested_at,
        due_at=row.due_at,
        outbox_id=row.outbox_id,
        settled=Followed(row.settled) if row.settled else None,
        settled_at=row.settled_at,
        settled_by=row.settled_by,
        withdrawn_at=row.withdrawn_at,
        withdrawn_by=row.withdrawn_by,
        version=row.version,
    )


# --------------------------------------------------------------------------------- indicators

_F, _M, _T, _I, _ST = FACT.c, MEMBERSHIP.c, TASK.c, INBOX.c, STATEMENT.c
_SEEN = _S.domain.in_(bindparam("domains", expanding=True))
_RETIRED = exists().where(
    _F.right_domain == _S.domain,
    _F.right_value == _S.value,
    _F.right_epoch == _S.epoch,
    _F.kind.in_(sorted(kind.value for kind in RETIRING | CLOSING)),
    _F.withdrawn_at.is_(None),
    or_(_F.second_needed.is_(False), _F.confirmed_at.is_not(None)),
)
_ACTIVE = and_(_S.first_event_time.is_not(None), ~_RETIRED, _SEEN)
_CODES = (*(status.value for status in IdentityStatus), *(one.value for one in IdentityAttribute))


def _is(code: str) -> ColumnElement[bool]:
    """
    Whether a record has a status or an attribute, by the text of its traits.

    The attributes come last in it (see `Traits`), and a quotation mark inside a value is escaped: a name that
    spells a code does not match.
    """
    pattern = f'%"status":"{code}"%' if code in set(IdentityStatus) else f'%"attributes":[%"{code}"%'
    return type_coerce(_S.traits, Text).like(pattern)


_IDENTITIES = (
    select(_S.domain, *(func.sum(case((_is(code), 1), else_=0)).label(code) for code in _CODES))
    .where(_ACTIVE)
    .group_by(_S.domain)
)
_SHARED = (
    select(_S.domain, (func.count() - 1).label("more"))
    .join(MEMBERSHIP, and_(_M.record_id == _S.id, _M.valid_to.is_(None)))
    .where(_ACTIVE)
    .group_by(_S.domain, _M.euid)
    .having(func.count() > 1)
    .subquery()
)
_DUPLICATES = select(_SHARED.c.domain, func.sum(_SHARED.c.more)).group_by(_SHARED.c.domain)
_HELD = select(_S.domain, func.count()).where(_S.held_since.is_not(None), _SEEN).group_by(_S.domain)


def _both_seen(left: ColumnElement[int], right: ColumnElement[int]) -> ColumnElement[bool]:
    seen = select(_S.id).where(_SEEN)
    return and_(left.in_(seen), right.in_(seen))


_LIVE = and_(
    _T.sight == bindparam("sight"),
    _T.state.in_(sorted(state.value for state in LIVE_STATES)),
    _both_seen(_T.left_id, _T.right_id),
)
_TASKS = select(_T.kind, func.count(), func.min(_T.opened_at)).where(_LIVE).group_by(_T.kind)
_DUPLICATES_ASKED = (
    select(_S.domain, func.count())
    .join(TASK, _T.left_id == _S.id)
    .where(_LIVE, _T.topic == Topic.DUPLICATE.value)
    .group_by(_S.domain)
)
_UNSEEN_ABOUT = exists().where(_A.report_id == _R.id, _A.record_id.not_in(select(_S.id).where(_SEEN)))
_REPORT_STATES = select(_R.state, func.count()).where(~_UNSEEN_ABOUT).group_by(_R.state)
_CORRECTED = (
    select(_R.received_at, func.max(_C.settled_at))
    .where(
        _R.state.in_([ReportState.CORRECTED.value, ReportState.CLOSED.value]),
        _C.root == literal("report/").concat(cast(_R.id, String)),
        _C.settled == Followed.DONE.value,
        _C.withdrawn_at.is_(None),
        ~_UNSEEN_ABOUT,
    )
    .group_by(_R.id, _R.received_at)
)
_OVERDUE = (
    select(
        _C.source,
        func.sum(case((_C.due_at <= bindparam("at", type_=_C.due_at.type), 1), else_=0)),
        func.count(),
    )
    .where(_IS_OPEN, _both_seen(_C.left_id, _C.right_id))
    .group_by(_C.source)
)
_INS_WITHDRAWN = (
    select(_S.domain, func.count())
    .join(STATEMENT, _ST.record_id == _S.id)
    .join(INBOX, _I.id == _ST.message_id)
    .where(_I.event == "ADT^A47", _I.state == MessageState.APPLIED.value, _SEEN)
    .group_by(_S.domain)
)


class SqlIndicators:
    """`ports.Indicators` on a database."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def figures(self, domains: Collection[str], *, at: datetime, sight: int = WHOLE) -> Figures:
        seen = {"domains": sorted(domains)}
        asked = {**seen, "sight": sight}
        took = [(until - since).total_seconds() for since, until in self._session.rows(_CORRECTED, seen)]
        return Figures(
            identities={
                row.domain: {code: int(count) for code, count in zip(_CODES, row[1:], strict=True) if count}
                for row in self._session.rows(_IDENTITIES, seen)
            },
            duplicates=(
                self._counted(_DUPLICATES, seen)
                if sight == WHOLE
                else self._counted(_DUPLICATES_ASKED, asked)  # sets are kept for the whole alone
            ),
            held=self._counted(_HELD, seen),
            tasks={row[0]: (int(row[1]), row[2]) for row in self._session.rows(_TASKS, asked)},
            reports={ReportState(row[0]): int(row[1]) for row in self._session.rows(_REPORT_STATES, seen)},
            corrected=(len(took), sum(took) / len(took) if took else 0.0),
            overdue={
                row[0]: (int(row[1]), int(row[2])) for row in self._session.rows(_OVERDUE, {**seen, "at": at})
            },
            ins_withdrawn=self._counted(_INS_WITHDRAWN, seen),
        )

    def _counted(self, statement: Select[Any], seen: Mapping[str, Any]) -> dict[str, int]:
        return {row[0]: int(row[1]) for row in self._session.rows(statement, seen)}
