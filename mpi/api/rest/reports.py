"""Reports, what they and decisions ask of sites, and how the federation's identities do."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse

from mpi.api.dependencies import (
    After,
    LanguageQuery,
    Limit,
    MayAnswerReport,
    MayAskSites,
    MayReadCorrections,
    MayReadIndicators,
    MayReadReports,
    MayReport,
    RowId,
    Session,
)
from mpi.api.rest import views
from mpi.api.rest.facts import named
from mpi.api.rest.paging import next_of, visible_rows
from mpi.api.rest.report_bodies import (
    CorrectionOut,
    CorrectionsOut,
    DecisionIn,
    DomainFiguresOut,
    FollowedOut,
    IndicatorsOut,
    OpenTasksOut,
    ReportIn,
    ReportOut,
    ReportsOut,
    SourceFiguresOut,
)
from mpi.errors import UnknownIdentifier, UnknownReview
from mpi.identity.ins import IdentityStatus
from mpi.identity.model import RecordKey
from mpi.index.corrections import TRIGGER, CorrectionKind
from mpi.index.ports import Figures
from mpi.index.reporting import CorrectionView
from mpi.index.reports import LIFTS, Report, ReportState
from mpi.index.review import TaskKind
from mpi.index.sheets import write_sheet
from mpi.security.keys import Role

router = APIRouter(tags=["reports"])

PAPER = "paper"
_SECONDS_A_DAY = 86_400.0
_OWN_ONLY = frozenset({Role.PORTAL, Role.SITE})
_COLLISIONS = (TaskKind.INS_COLLISION, TaskKind.OVERLAY)


# ------------------------------------------------------------------------------------- reports


@router.post("/reports", status_code=201)
def report(body: ReportIn, session: MayReport) -> ReportOut:
    """
    Report that something is wrong with an identity: it is doubtful from the moment this is answered.

    A person of the identity-vigilance unit looks at it; follow it with `GET /reports/{id}`.
    """
    if body.person is not None:
        about = _members(session, body.person)
    else:
        about = [named(session, one, f"about[{place}]") for place, one in enumerate(body.about)]
    made = session.registry.reporting.report(
        body.kind,
        about,
        actor=session.caller.actor,
        role=session.caller.role,
        comment=body.comment,
        trait=body.trait or "",
        study_uid=body.study_uid or "",
    )
    return shown_report(session, made)


@router.get("/reports")
def reports(
    session: MayReadReports,
    state: Annotated[list[ReportState] | None, Query(description="States; all by default.")] = None,
    after: After = 0,
    limit: Limit = 50,
) -> ReportsOut:
    """Reports by ascending id: its own for a portal or a site, those it may see for who answers or audits them."""
    states = frozenset(state) if state else frozenset(ReportState)
    actor = session.caller.actor if session.caller.role in _OWN_ONLY else None

    def page(start: int, size: int) -> list[Report]:
        return session.registry.reporting.reports(states=states, actor=actor, after=start, limit=size)

    def keep(found: list[Report]) -> list[Report]:
        return [one for one in found if _sees_report(session, one)]

    rows = visible_rows(page, keep, lambda one: one.id, session=session, after=after, limit=limit)
    session.record_read("report.list")
    return ReportsOut(reports=[shown_report(session, row) for row in rows], next=next_of(rows, limit))


@router.get("/reports/{report_id}")
def read_report(report_id: RowId, session: MayReadReports) -> ReportOut:
    """One report, and what became of it."""
    found = _report(session, report_id)
    session.record_read("report.read")
    return shown_report(session, found)


@router.post("/reports/{report_id}/decision")
def decide_report(report_id: RowId, body: DecisionIn, session: MayAnswerReport) -> ReportOut:
    """
    Accept a report, and ask the sites what it calls for; or reject it, answer it, close it, look at it again.

    The doubt is lifted by reject, answer and close, and by nothing else. 409 when the report changed since it
    was read, or is in no state for the decision.
    """
    _report(session, report_id)
    decided = session.registry.reporting.decide(
        report_id,
        body.decision,
        reviewer=session.caller.name,
        version=body.version,
        answer=body.answer,
        asks=body.asks,
        of=[named(session, one, f"of[{place}]") for place, one in enumerate(body.of)] if body.of else None,
        expected=body.expected.stated() if body.expected is not None else None,
    )
    return shown_report(session, decided)


# --------------------------------------------------------------------------------- corrections


@router.get("/corrections")
def corrections(
    session: MayReadCorrections,
    which: Annotated[
        Literal["all", "open", "overdue", "over"], Query(description="`over`: done, answered or withdrawn.")
    ] = "open",
    kind: Annotated[CorrectionKind | None, Query(description="Only this kind.")] = None,
    after: After = 0,
    limit: Limit = 50,
) -> CorrectionsOut:
    """Requests to sites by ascending id; to a site, those addressed to it."""
    is_open = {"all": None, "open": True, "overdue": True, "over": False}[which]

    def page(start: int, size: int) -> list[CorrectionView]:
        return session.registry.reporting.corrections(
            is_open=is_open, kind=kind, overdue=which == "overdue", after=start, limit=size
        )

    def keep(found: list[CorrectionView]) -> list[CorrectionView]:
        return [one for one in found if sees_correction(session, one)]

    rows = visible_rows(page, keep, lambda one: one.id, session=session, after=after, limit=limit)
    session.record_read("correction.list")
    return CorrectionsOut(
        corrections=[shown_correction(session, row) for row in rows], next=next_of(rows, limit)
    )


@router.get("/corrections/{correction_id}")
def read_correction(correction_id: RowId, session: MayReadCorrections) -> CorrectionOut:
    """One request, and how it stands."""
    return shown_correction(session, _correction(session, correction_id))


@router.get("/corrections/{correction_id}/sheet", response_class=PlainTextResponse)
def correction_sheet(
    correction_id: RowId, session: MayReadCorrections, lang: LanguageQuery = "fr"
) -> PlainTextResponse:
    """The request in words, to hand over to the site."""
    view = _correction(session, correction_id)
    return PlainTextResponse(write_sheet(view.correction, view.state, session.directory.domains, lang))


@router.post("/corrections/{correction_id}/resend")
def resend_correction(correction_id: RowId, session: MayAskSites) -> CorrectionOut:
    """Ask again; the time the site is given begins anew. 409 when nothing is left to ask, or it waits to be sent."""
    _correction(session, correction_id)
    view = session.registry.reporting.resend(correction_id, reviewer=session.caller.name)
    return shown_correction(session, view)


@router.post("/corrections/{correction_id}/withdraw")
def withdraw_correction(correction_id: RowId, session: MayAskSites) -> CorrectionOut:
    """Take a request back; the decision it rests on stands. 409 when nothing is left to take back."""
    _correction(session, correction_id)
    view = session.registry.reporting.withdraw_correction(correction_id, reviewer=session.caller.name)
    return shown_correction(session, view)


# ---------------------------------------------------------------------------------- indicators


@router.get("/indicators")
def indicators(session: MayReadIndicators) -> IndicatorsOut:
    """How identities do in the domains you see: statuses, duplicates, questions, reports, corrections."""
    now = datetime.now(UTC)
    figures = session.registry.reporting.figures(session.visible, sight=session.sight)
    session.record_read("indicators.read")
    return shown_figures(session, figures, at=now)


def shown_figures(session: Session, figures: Figures, *, at: datetime) -> IndicatorsOut:
    """The figures, with the rates that follow from them."""
    count, mean_seconds = figures.corrected
    return IndicatorsOut(
        at=at,
        domains=[_of_domain(session, key, figures) for key in sorted(session.visible)],
        tasks=[
            OpenTasksOut(kind=kind, count=many, oldest_days=(at - oldest).total_seconds() / _SECONDS_A_DAY)
            for kind, (many, oldest) in sorted(figures.tasks.items())
        ],
        collisions=sum(figures.tasks[kind][0] for kind in _COLLISIONS if kind in figures.tasks),
        reports={str(state): figures.reports.get(state, 0) for state in ReportState},
        corrected_reports=count,
        mean_days_to_correction=mean_seconds / _SECONDS_A_DAY if count else None,
        corrections=[
            SourceFiguresOut(source=source, open=asked, overdue=late)
            for source, (late, asked) in sorted(figures.overdue.items())
        ],
    )


def _of_domain(session: Session, key: str, figures: Figures) -> DomainFiguresOut:
    codes: Mapping[str, int] = figures.identities.get(key, {})
    by_status = {status.value: codes.get(status.value, 0) for status in IdentityStatus}
    total = sum(by_status.values())
    duplicates = figures.duplicates.get(key, 0)
    return DomainFiguresOut(
        domain=session.namespace(key),
        identities=total,
        by_status=by_status,
        by_attribute={code: many for code, many in sorted(codes.items()) if code not in by_status},
        qualified_share=by_status[IdentityStatus.QUALIFIED.value] / total if total else 0.0,
        duplicates=duplicates,
        duplicate_rate=duplicates / total if total else 0.0,
        overlays_held=figures.held.get(key, 0),
        ins_withdrawn=figures.ins_withdrawn.get(key, 0),
    )


# -------------------------------------------------------------------------------------- inside


def shown_report(session: Session, found: Report) -> ReportOut:
    """A report, with the state of what was asked because of it."""
    asked = session.registry.reporting.asked_for(found.id)
    return ReportOut(
        id=found.id,
        kind=found.kind,
        about=[views.record(session, key) for key in found.about],
        reported_by=found.actor,
        role=found.role,
        received_at=found.received_at,
        comment=found.comment,
        trait=found.trait,
        study_uid=found.study_uid,
        state=found.state,
        doubtful=found.state not in LIFTS,
        version=found.version,
        changed_at=found.changed_at,
        decided_by=found.decided_by,
        answer=found.answer,
        corrections=[
            FollowedOut(
                id=view.id,
                kind=view.correction.kind,
                state=view.state,
                domain=session.namespace(view.correction.domain),
            )
            for view in asked
        ],
    )


def shown_correction(session: Session, view: CorrectionView) -> CorrectionOut:
    """A request, with what became of its message."""
    found, wanted = view.correction, view.correction.wanted
    party = session.directory.asked_about(found.domain, found.source)
    sent_as = party.takes(TRIGGER.get(found.kind, "")) if party is not None and view.row is not None else ""
    return CorrectionOut(
        id=found.id,
        kind=found.kind,
        state=view.state,
        domain=session.namespace(found.domain),
        source=found.source,
        left=views.record(session, wanted.left),
        right=views.record(session, wanted.right),
        cause=wanted.cause,
        report_id=found.report_id,
        fact_id=found.fact_id,
        traits=list(wanted.traits),
        before=dict(wanted.before),
        expected=dict(wanted.expected),
        study_uid=wanted.study_uid,
        sent_as=sent_as or PAPER,
        message_state=view.row.state if view.row is not None else None,
        message_error=view.row.error if view.row is not None else "",
        requested_by=found.requested_by,
        requested_at=found.requested_at,
        due_at=found.due_at,
        settled_at=found.settled_at,
        settled_by=found.settled_by,
        withdrawn_at=found.withdrawn_at,
        withdrawn_by=found.withdrawn_by,
    )


def _members(session: Session, person_id: str) -> Sequence[RecordKey]:
    """The identifiers of a person that the caller may see and that are in use."""
    if not session.sees_euids:
        raise UnknownIdentifier("person", "unknown enterprise identifier")
    person = session.registry.person(person_id, visible=session.visible, actor=session.caller.actor)
    return [member.record.key for member in person.members if not member.retired]


def _sees_report(session: Session, found: Report) -> bool:
    """Whether every record it is about is in a domain the caller sees; of a portal or a site, whether it is its own."""
    seen = {key.domain for key in found.about} <= session.visible
    return seen and (session.caller.role not in _OWN_ONLY or found.actor == session.caller.actor)


def sees_correction(session: Session, view: CorrectionView) -> bool:
    """
    Whether both records are in domains the caller sees; a site sees what it is asked about its own domain.

    What it is asked about another domain's identifier is to take back what it said of it itself.
    """
    wanted = view.correction.wanted
    if session.caller.role is Role.SITE:
        return wanted.left.domain in session.visible
    return {wanted.left.domain, wanted.right.domain} <= session.visible


def _report(session: Session, report_id: int) -> Report:
    """
    A report the caller may see.

    Raises:
        UnknownReview: it may not, or there is none: the same answer for both.
    """
    with session.store.read() as uow:
        found = uow.reports.get(report_id)
    if found is None or not _sees_report(session, found):
        raise UnknownReview(f"report {report_id}: no such report")
    return found


def _correction(session: Session, correction_id: int) -> CorrectionView:
    """
    A request the caller may see.

    Raises:
        UnknownReview: it may not, or there is none: the same answer for both.
    """
    view = session.registry.reporting.correction(correction_id, actor=session.caller.actor)
    if not sees_correction(session, view):
        raise UnknownReview(f"correction {correction_id}: no such request")
    return view
