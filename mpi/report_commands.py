"""
`mpi report`, `mpi correction`, `mpi indicators`: what is reported to be wrong, what sites are asked, how it all does.

As `mpi queue`, these see every domain and may do what a lead may.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mpi.api.rest.report_bodies import CorrectionOut, IndicatorsOut, ReportOut
from mpi.api.rest.reports import shown_correction, shown_figures, shown_report
from mpi.console import Config, Json, answer, refuse, say, show_table
from mpi.errors import InvalidIdentity
from mpi.index.corrections import CorrectionKind
from mpi.index.reports import REPORTED_TRAITS, Decision, ReportKind, ReportState
from mpi.index.sheets import write_sheet
from mpi.review_commands import After, Language, Limit, Reviewer, key_of, opened

report_app = typer.Typer(help="What people report to be wrong with an identity.", no_args_is_help=True)
correction_app = typer.Typer(
    help="What sites are asked to correct in their own records.", no_args_is_help=True
)

ReportId = Annotated[int, typer.Argument(metavar="ID", help="The report.")]
CorrectionId = Annotated[int, typer.Argument(metavar="ID", help="The request.")]
Version = Annotated[
    int | None,
    typer.Option(help="Version that was read, as `report show` prints it; refused when it has passed."),
]
Words = Annotated[str, typer.Option("--answer", help="What the reporter is told.")]
_READER = "user:terminal"
_ASKS_NOTHING: Mapping[Decision, str] = {
    Decision.REJECT: "Say that nothing is wrong: the doubt is lifted.",
    Decision.ANSWER: "Give the reporter an answer, with nothing more to do: the doubt is lifted.",
    Decision.CLOSE: "Lift the doubt of an accepted report, once what became of it has been looked at.",
    Decision.REOPEN: "Look at it again: the doubt is back, and what sites were asked is withdrawn.",
}
"""The decisions on a report that ask nothing of a site, and what each does."""


# ------------------------------------------------------------------------------------- reports


@report_app.command("add")
def report_add(
    kind: Annotated[ReportKind, typer.Argument(help="What is wrong.")],
    about: Annotated[list[str], typer.Argument(metavar="DOMAIN ID…", help="The identifiers it is about.")],
    by: Annotated[str, typer.Option(help="Who reports; kept in the audit trail.")],
    trait: Annotated[str, typer.Option(help="Of a wrong trait: which one.")] = "",
    study_uid: Annotated[str, typer.Option(help="Study Instance UID of the exam that showed it.")] = "",
    comment: Annotated[str, typer.Option(help="In the reporter's words.")] = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Report that an identity is wrong: it is doubtful from then on."""
    if len(about) % 2:
        raise refuse("DOMAIN ID…: a domain and an identifier, for each")
    with opened(config) as session:
        keys = [key_of(session, *about[place : place + 2]) for place in range(0, len(about), 2)]
        made = session.registry.reporting.report(
            kind,
            keys,
            actor=f"user:{by}",
            role=session.caller.role,
            comment=comment,
            trait=trait,
            study_uid=study_uid,
        )
        shown = shown_report(session, made)
    answer(json, shown.model_dump(mode="json"), lambda: _show_report(shown))


@report_app.command("list")
def report_list(
    state: Annotated[str, typer.Option(help="all, or one state, such as received or contested.")] = "all",
    after: After = 0,
    limit: Limit = 50,
    config: Config = None,
    json: Json = False,
) -> None:
    """List reports, without what was written in them."""
    if state != "all" and state not in set(ReportState):
        raise refuse(f"--state: not one of all, {', '.join(ReportState)}")
    states = frozenset(ReportState) if state == "all" else frozenset({ReportState(state)})
    with opened(config) as session:
        found = session.registry.reporting.reports(states=states, after=after, limit=limit)
        document = [_report_row(shown_report(session, one)) for one in found]
    answer(json, document, lambda: show_table(document) if document else say("no reports"))


@report_app.command("show")
def report_show(report_id: ReportId, config: Config = None, json: Json = False) -> None:
    """Show one report, and what sites were asked because of it. It may hold a patient's data: mind where."""
    with opened(config) as session:
        shown = shown_report(session, session.registry.reporting.find_report(report_id))
        session.record_read("report.read")
    answer(json, shown.model_dump(mode="json"), lambda: _show_report(shown))


@report_app.command("accept")
def report_accept(
    report_id: ReportId,
    reviewer: Reviewer,
    ask: Annotated[
        list[CorrectionKind] | None,
        typer.Option(help="What sites are asked, repeatable; by the kind of the report otherwise."),
    ] = None,
    expect: Annotated[
        list[str] | None, typer.Option(help="TRAIT=VALUE that should be true, repeatable.")
    ] = None,
    words: Words = "",
    version: Version = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Accept a report, and ask the sites what it calls for."""
    expected = dict(_expected(one) for one in expect or ())
    _decide(report_id, Decision.ACCEPT, reviewer, words, version, config, json, asks=ask, expected=expected)


def _expected(stated: str) -> tuple[str, str]:
    name, mark, value = stated.partition("=")
    if not mark or name not in REPORTED_TRAITS:
        raise refuse(f"--expect: TRAIT=VALUE, the trait one of {', '.join(REPORTED_TRAITS)}")
    return name, value


def _deciding(decision: Decision) -> Callable[..., None]:
    """The verb that makes a decision which asks nothing of a site."""

    def decide(
        report_id: ReportId,
        reviewer: Reviewer,
        words: Words = "",
        version: Version = None,
        config: Config = None,
        json: Json = False,
    ) -> None:
        _decide(report_id, decision, reviewer, words, version, config, json)

    return decide


for _decision, _help in _ASKS_NOTHING.items():
    report_app.command(str(_decision), help=_help)(_deciding(_decision))


def _decide(
    report_id: int,
    decision: Decision,
    reviewer: str,
    words: str,
    version: int | None,
    config: Path | None,
    json: bool,
    **asked: Any,
) -> None:
    with opened(config) as session:
        reporting = session.registry.reporting
        if version is None:
            version = reporting.find_report(report_id).version
        try:
            decided = reporting.decide(
                report_id, decision, reviewer=reviewer, version=version, answer=words, **asked
            )
        except InvalidIdentity as error:
            raise refuse(f"--expect {error}") from None
        shown = shown_report(session, decided)
    answer(json, shown.model_dump(mode="json"), lambda: _show_report(shown))


def _report_row(shown: ReportOut) -> dict[str, Any]:
    return {
        "id": shown.id,
        "kind": shown.kind,
        "state": shown.state,
        "doubtful": "yes" if shown.doubtful else "no",
        "about": ", ".join(f"{one.domain} {one.id}" for one in shown.about),
        "reported_by": shown.reported_by,
        "received": shown.received_at,
        "corrections": ", ".join(f"{one.id} {one.state}" for one in shown.corrections),
    }


def _show_report(shown: ReportOut) -> None:
    say(f"report {shown.id}  version {shown.version}  {shown.kind}  {shown.state}")
    say(f"about {', '.join(f'{one.domain} {one.id}' for one in shown.about)}")
    say(f"by {shown.reported_by} ({shown.role}) at {shown.received_at}")
    said = {"trait": shown.trait, "exam": shown.study_uid, "comment": shown.comment, "answer": shown.answer}
    for name, text in said.items():
        if text:
            say(f"{name}: {text}")
    for one in shown.corrections:
        say(f"correction {one.id}  {one.kind}  {one.domain}  {one.state}")


# --------------------------------------------------------------------------------- corrections


@correction_app.command("list")
def correction_list(
    which: Annotated[
        Literal["open", "overdue", "over", "all"],
        typer.Option(help="Whether the site still has to act, and is late."),
    ] = "open",
    kind: Annotated[CorrectionKind | None, typer.Option(help="Only this kind.")] = None,
    after: After = 0,
    limit: Limit = 50,
    config: Config = None,
    json: Json = False,
) -> None:
    """List what sites are asked to correct."""
    is_open = {"all": None, "open": True, "overdue": True, "over": False}[which]
    with opened(config) as session:
        found = session.registry.reporting.corrections(
            is_open=is_open, kind=kind, overdue=which == "overdue", after=after, limit=limit
        )
        document = [_correction_row(shown_correction(session, view)) for view in found]
    answer(json, document, lambda: show_table(document) if document else say("nothing is asked"))


@correction_app.command("show")
def correction_show(correction_id: CorrectionId, config: Config = None, json: Json = False) -> None:
    """Show one request: what is asked, of whom, and how it stands. It may hold a patient's data."""
    with opened(config) as session:
        shown = shown_correction(session, session.registry.reporting.correction(correction_id, actor=_READER))
    document = shown.model_dump(mode="json")
    answer(json, document, lambda: _show_correction(shown))


@correction_app.command("sheet")
def correction_sheet(correction_id: CorrectionId, lang: Language = "fr", config: Config = None) -> None:
    """Print a request in words, to hand over to the site. It holds a patient's data."""
    with opened(config) as session:
        view = session.registry.reporting.correction(correction_id, actor=_READER)
        say(write_sheet(view.correction, view.state, session.directory.domains, lang).rstrip())


@correction_app.command("resend")
def correction_resend(
    correction_id: CorrectionId, reviewer: Reviewer, config: Config = None, json: Json = False
) -> None:
    """Ask again; the time the site is given begins anew."""
    with opened(config) as session:
        view = session.registry.reporting.resend(correction_id, reviewer=reviewer)
        shown = shown_correction(session, view)
    answer(json, shown.model_dump(mode="json"), lambda: _show_correction(shown))


@correction_app.command("withdraw")
def correction_withdraw(
    correction_id: CorrectionId, reviewer: Reviewer, config: Config = None, json: Json = False
) -> None:
    """Take a request back; the decision it rests on stands."""
    with opened(config) as session:
        view = session.registry.reporting.withdraw_correction(correction_id, reviewer=reviewer)
        shown = shown_correction(session, view)
    answer(json, shown.model_dump(mode="json"), lambda: _show_correction(shown))


def _correction_row(shown: CorrectionOut) -> dict[str, Any]:
    return {
        "id": shown.id,
        "kind": shown.kind,
        "state": shown.state,
        "source": shown.source,
        "left": f"{shown.left.domain} {shown.left.id}",
        "right": f"{shown.right.domain} {shown.right.id}" if shown.right != shown.left else "",
        "sent_as": shown.sent_as,
        "cause": shown.cause,
        "due": shown.due_at,
    }


def _show_correction(shown: CorrectionOut) -> None:
    show_table([{"": name, "value": value} for name, value in _correction_row(shown).items()])
    for name in shown.traits:
        say(f"{name}: {shown.before.get(name, '-')} -> {shown.expected.get(name, '?')}")
    if shown.settled_by:
        say(f"shown by {shown.settled_by} at {shown.settled_at}")


# ---------------------------------------------------------------------------------- indicators


def indicators(config: Config = None, json: Json = False) -> None:
    """How identities do, by domain: statuses, duplicates, questions, reports, corrections. No patient is in it."""
    now = datetime.now(UTC)
    with opened(config) as session:
        shown = shown_figures(session, session.registry.reporting.figures(session.visible), at=now)
        session.record_read("indicators.read")
    answer(json, shown.model_dump(mode="json"), lambda: _show_figures(shown))


def _show_figures(shown: IndicatorsOut) -> None:
    if shown.domains:
        show_table(
            [
                {
                    "domain": one.domain,
                    "identities": one.identities,
                    **one.by_status,
                    "qualified": f"{one.qualified_share:.1%}",
                    "duplicates": f"{one.duplicate_rate:.2%}",
                    "overlays": one.overlays_held,
                    "ins_withdrawn": one.ins_withdrawn,
                }
                for one in shown.domains
            ]
        )
    if shown.tasks:
        show_table(
            [
                {"tasks": one.kind, "live": one.count, "oldest_days": f"{one.oldest_days:.0f}"}
                for one in shown.tasks
            ]
        )
    say(f"collisions: {shown.collisions}")
    say("reports: " + ", ".join(f"{state} {count}" for state, count in shown.reports.items() if count))
    if shown.mean_days_to_correction is not None:
        say(f"corrected: {shown.corrected_reports}, in {shown.mean_days_to_correction:.1f} days on average")
    if shown.corrections:
        show_table(
            [{"site": one.source, "open": one.open, "overdue": one.overdue} for one in shown.corrections]
        )
