"""
`mpi queue`, `mpi fact`, `mpi person`: what people are asked, what they say of who is whom, what became of it.

Whoever runs these can read the store itself: a terminal sees every domain and may do what a lead may.
Who decides is named by `--reviewer`; where two people have to agree, one name is one person.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mpi.api.dependencies import Session
from mpi.api.rest import patients, views
from mpi.api.rest.bodies import ActOut, FactOut, IdentifierOut, ReviewOut, SideOut
from mpi.api.rest.facts import act
from mpi.console import Config, Json, answer, refuse, say, settings_of, show_table
from mpi.errors import LinkConflict, UnknownAuthority, UnknownReview
from mpi.identity.model import RecordKey
from mpi.index.answers import EnterpriseRecord
from mpi.index.events import Fact
from mpi.index.review import LIVE_STATES, Task, TaskState, Verdict
from mpi.security.keys import Caller, Role
from mpi.wiring import now, opened_registry

queue_app = typer.Typer(help="The review queue.", no_args_is_help=True)
fact_app = typer.Typer(help="What people and sources said of who is whom.", no_args_is_help=True)
person_app = typer.Typer(help="Enterprise records: who, since when, and why.", no_args_is_help=True)

Language = Annotated[Literal["fr", "en"], typer.Option("--lang", help="Language of explanations.")]
Reviewer = Annotated[str, typer.Option(help="Who decides; kept in the audit trail.")]
Reason = Annotated[str, typer.Option(help="Why, in a few words; no traits.")]
After = Annotated[int, typer.Option(min=0, help="Start after this number.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="At most this many.")]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", help="Answer for this instant: ISO 8601 with its offset; now by default."),
]
Domain = Annotated[str, typer.Argument(help="Namespace or OID of the identifier's domain.")]
Value = Annotated[str, typer.Argument(metavar="ID", help="The identifier.")]
Euid = Annotated[str, typer.Argument(help="Enterprise identifier, current or retired.")]
FactId = Annotated[int, typer.Argument(metavar="FACT", help="The fact; `queue decide` prints it.")]
TaskId = Annotated[int, typer.Argument(metavar="ID", help="The task.")]
Knowing = Annotated[
    list[int] | None,
    typer.Option("--knowing", help="A later fact that rests on it, known to the reviewer; repeatable."),
]

_READER = "user:terminal"
_TERMINAL = Caller("terminal", Role.LEAD)
_PROTECTED = "identité protégée / protected identity"


@contextmanager
def opened(config: Path | None) -> Iterator[Session]:
    """The index as a terminal sees it: whole."""
    with opened_registry(settings_of(config)) as (store, registry):
        every_domain = frozenset(domain.key for domain in registry.directory.domains)
        yield Session(_TERMINAL, store, registry, every_domain)


def key_of(session: Session, domain: str, value: str) -> RecordKey:
    """The record an identifier names today. Exit status 2 when its domain is not configured."""
    try:
        return session.record_key(domain, value)
    except UnknownAuthority:
        raise refuse("domain: not a configured domain") from None


def _instant(stated: str | None, option: str) -> datetime | None:
    """An instant as it was typed. Exit status 2 when it is none."""
    if stated is None:
        return None
    try:
        instant = datetime.fromisoformat(stated)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise refuse(f"{option}: expected an instant with its offset, such as 2026-03-02T08:00:00+01:00")
    return instant


# ------------------------------------------------------------------------------- queue


@queue_app.command("list")
def queue_list(
    state: Annotated[
        str, typer.Option(help="live, or one of open, waiting, proposed, decided, obsolete.")
    ] = "live",
    kind: Annotated[str | None, typer.Option(help="Kind of task, such as potential_link.")] = None,
    order: Annotated[
        Literal["id", "priority"], typer.Option(help="priority: what matters most first.")
    ] = "id",
    after: After = 0,
    limit: Limit = 50,
    as_of: AsOf = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """List review tasks."""
    if state != "live" and state not in set(TaskState):
        raise refuse(f"--state: not one of live, {', '.join(TaskState)}")
    states = LIVE_STATES if state == "live" else frozenset({TaskState(state)})
    instant = _instant(as_of, "--as-of")
    if order == "priority" and instant is not None:
        raise refuse("--order: by priority, the queue is read as it is now: without --as-of")
    with opened(config) as session:
        if order == "priority":
            last = _task(session, after) if after else None
            tasks = session.registry.urgent_tasks(states=states, kind=kind, after=last, limit=limit)
        else:
            tasks = session.registry.tasks(states=states, kind=kind, after=after, limit=limit, as_of=instant)
        late = session.registry.reporting.corrections(is_open=True, overdue=True, limit=1)
    document = [_task_row(task) for task in tasks]

    def show() -> None:
        if document:
            show_table(document)
        else:
            say("nothing to review")
        if late:
            say("some sites are late with what they were asked: mpi correction list --which overdue")

    answer(json, document, show)


def _task(session: Session, task_id: int) -> Task:
    with session.store.read() as uow:
        task = uow.reviews.get(task_id)
    if task is None:
        raise UnknownReview(f"review {task_id}: no such task")
    return task


def _task_row(task: Task) -> dict[str, Any]:
    return {
        "id": task.id,
        "kind": task.kind,
        "state": task.state,
        "reason": task.reason,
        "bits": None if task.weight_bits is None else round(task.weight_bits, 1),
        "priority": task.priority,
        "claimed_by": task.held_by(now()),
        "opened": task.opened_at,
    }


@queue_app.command("show")
def queue_show(task_id: TaskId, lang: Language = "fr", config: Config = None, json: Json = False) -> None:
    """Show the two records of a task side by side, what speaks for and against, and what was answered before."""
    with opened(config) as session:
        view = session.registry.review(task_id, actor=_READER)
        with session.store.read() as uow:
            versions = uow.reviews.history((task_id,))
        shown = views.review(session, view, versions, lang)
    left, right = _side(shown.left), _side(shown.right)
    document = {
        **shown.model_dump(mode="json", exclude=_SAID_OTHERWISE),
        "claimed_by": view.task.held_by(now()),
        "left": left,
        "right": right,
        "evidence": shown.score.sentences,
        "probability": shown.score.probability,
    }
    answer(json, document, lambda: _show_review(shown, left, right, view.task.held_by(now())))


_SAID_OTHERWISE: Any = {
    **dict.fromkeys(("left", "right", "score", "claim", "weight_bits"), True),
    "history": {"__all__": {"weight_bits"}},
}
"""What the command names in its own way, or leaves to the evidence, which a protected identity does not show."""


def _side(side: SideOut) -> dict[str, Any]:
    """One record of a task in a line; a protected identity shows nothing but that it is one."""
    document = side.model_dump(mode="json")
    return {**{name: value for name, value in document.items() if name != "traits"}, **side.traits}


def _show_review(shown: ReviewOut, left: dict[str, Any], right: dict[str, Any], claimed_by: str) -> None:
    say(f"task {shown.id}  version {shown.version}  {shown.kind}  {shown.state}  {shown.reason}")
    say(f"priority {shown.priority}  answers: {', '.join(shown.answers) or 'none'}")
    if claimed_by:
        say(f"claimed by {claimed_by}")
    names = [name for name in dict.fromkeys((*left, *right)) if name != "protected"]
    show_table([{"": name, "left": left.get(name), "right": right.get(name)} for name in names])
    for name, side in (("left", left), ("right", right)):
        if side["protected"]:
            say(f"  {name}: {_PROTECTED}")
    for sentence in (*shown.score.sentences, *shown.would_change):
        say(f"  {sentence}")
    for held in shown.held:
        say(f"held: statement {held.statement_id} of {held.source} at {held.event_time}: {held.reason}")
    if shown.changed:
        say(f"changed since the last answer: {', '.join(shown.changed)}")
    for version in shown.history:
        words = (version.kind, version.state, version.reason, version.verdict or "", version.reviewer)
        say(f"version {version.version} at {version.changed_at}: {'  '.join(filter(None, words))}")


@queue_app.command("claim")
def queue_claim(task_id: TaskId, reviewer: Reviewer, config: Config = None, json: Json = False) -> None:
    """Take a task, so that nobody else works on it for half an hour."""
    with opened(config) as session:
        task = session.registry.claim(task_id, reviewer=reviewer)
    answer(json, _task_row(task), lambda: say(f"task {task.id} is claimed by {reviewer}"))


@queue_app.command("release")
def queue_release(task_id: TaskId, reviewer: Reviewer, config: Config = None, json: Json = False) -> None:
    """Give a task back."""
    with opened(config) as session:
        task = session.registry.release(task_id, reviewer=reviewer)
    answer(json, _task_row(task), lambda: say(f"task {task.id} is free"))


@queue_app.command("decide")
def queue_decide(
    task_id: TaskId,
    verdict: Annotated[Verdict, typer.Argument(help="One of the answers that `queue show` prints.")],
    reviewer: Reviewer,
    reason: Reason = "",
    version: Annotated[
        int | None,
        typer.Option(help="Version that was read, as `queue show` prints it; refused when it has passed."),
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Decide a task. The verdict is a fact: it outlives every re-scoring, and `queue undo` withdraws it."""
    with opened(config) as session:
        if version is None:
            version = session.registry.review(task_id, actor=f"user:{reviewer}").task.version
        task = session.registry.decide(task_id, verdict, reviewer=reviewer, version=version, reason=reason)
    document = {"id": task.id, "state": task.state, "fact": task.fact_id}

    def show() -> None:
        say(f"task {task.id} is {task.state}, " + (f"fact {task.fact_id}" if task.fact_id else "no fact"))
        if task.state is TaskState.PROPOSED:
            say(f"another person confirms it: mpi fact confirm {task.fact_id} --reviewer WHO")

    answer(json, document, show)


@queue_app.command("undo")
def queue_undo(
    fact_id: FactId,
    reviewer: Annotated[str, typer.Option(help="Who undoes; kept in the audit trail.")],
    knowing: Knowing = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Withdraw a decision: everything is derived again as if it had never been made."""
    _withdraw(fact_id, reviewer, knowing, config, json)


# ------------------------------------------------------------------------------- facts


@fact_app.command("list")
def fact_list(after: After = 0, limit: Limit = 50, config: Config = None, json: Json = False) -> None:
    """List facts, proposed and withdrawn ones included."""
    with opened(config) as session:
        facts = [views.fact(session, fact) for fact in session.registry.facts(after=after, limit=limit)]
    document = [fact.model_dump(mode="json") for fact in facts]
    rows = [_fact_row(fact) for fact in facts]
    answer(json, document, lambda: show_table(rows) if rows else say("no facts"))


@fact_app.command("show")
def fact_show(fact_id: FactId, config: Config = None, json: Json = False) -> None:
    """Show one fact: who said it, when, and whether it stands."""
    with opened(config) as session:
        with session.store.read() as uow:
            stored = uow.facts.get(fact_id)
        if stored is None:
            raise UnknownReview(f"fact {fact_id}: no such fact")
        fact = views.fact(session, stored)
    document = fact.model_dump(mode="json")
    rows = [
        {"": name, "value": _name(value) if isinstance(value, IdentifierOut) else value}
        for name, value in ((name, getattr(fact, name)) for name in type(fact).model_fields)
    ]
    answer(json, document, lambda: show_table(rows))


def _fact_row(fact: FactOut) -> dict[str, Any]:
    return {
        "id": fact.id,
        "act": fact.act_id,
        "kind": fact.kind,
        "left": _name(fact.left),
        "right": _name(fact.right) if fact.right != fact.left else "",
        "actor": fact.actor,
        "recorded": fact.recorded_at,
        "stands": "yes" if fact.stands else "no",
        "waits_for": fact.waits_for,
        "withdrawn_by": fact.withdrawn_by,
    }


def _name(identifier: IdentifierOut) -> str:
    """`SITE-A A1`, and which person it named when it named several."""
    epoch = f" ({identifier.epoch})" if identifier.epoch else ""
    return f"{identifier.domain} {identifier.id}{epoch}"


@fact_app.command("relate")
def fact_relate(
    verdict: Annotated[Literal["same", "different", "homonyms"], typer.Argument(help="What they are.")],
    left_domain: Domain,
    left_id: Value,
    right_domain: Domain,
    right_id: Value,
    reviewer: Reviewer,
    reason: Reason = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Say of two identifiers, whether or not anybody asked, that they are one person's, or two people's."""
    with opened(config) as session:
        left, right = key_of(session, left_domain, left_id), key_of(session, right_domain, right_id)
        facts = session.registry.relate(Verdict(verdict), left, right, reviewer=reviewer, reason=reason)
        _answer_act(session, facts, json)


@fact_app.command("doubt")
def fact_doubt(
    domain: Domain,
    value: Value,
    reviewer: Reviewer,
    reason: Reason = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Say that a record is wrong: no weight joins it to another until that is withdrawn."""
    with opened(config) as session:
        key = key_of(session, domain, value)
        _answer_act(session, session.registry.doubt(key, reviewer=reviewer, reason=reason), json)


@fact_app.command("set-aside")
def fact_set_aside(
    statement_id: Annotated[
        int, typer.Argument(metavar="STATEMENT", help="As `person timeline` and `queue show` print it.")
    ],
    reviewer: Reviewer,
    reason: Reason = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Take the effect of one statement back, as if its message had never been sent."""
    with opened(config) as session:
        facts = session.registry.set_aside(statement_id, reviewer=reviewer, reason=reason)
        _answer_act(session, facts, json)


@fact_app.command("confirm")
def fact_confirm(fact_id: FactId, reviewer: Reviewer, config: Config = None, json: Json = False) -> None:
    """Agree, as the second person, to what another one proposed."""
    with opened(config) as session:
        _answer_act(session, session.registry.confirm(fact_id, reviewer=reviewer), json)


@fact_app.command("withdraw")
def fact_withdraw(
    fact_id: FactId, reviewer: Reviewer, knowing: Knowing = None, config: Config = None, json: Json = False
) -> None:
    """Undo an act: everything is derived again as if it had never been. What two people made takes two to undo."""
    _withdraw(fact_id, reviewer, knowing, config, json)


def _withdraw(
    fact_id: int, reviewer: str, knowing: list[int] | None, config: Path | None, json: bool
) -> None:
    with opened(config) as session:
        found = session.registry.withdraw(fact_id, actor=f"user:{reviewer}", knowing=knowing or ())
        fact = views.fact(session, found)
    waits = "; another person has to withdraw it too" if fact.waits_for else ""
    words = f"fact {fact_id} still stands{waits}" if fact.stands else f"fact {fact_id} is withdrawn"
    answer(json, fact.model_dump(mode="json"), lambda: say(words))


def _answer_act(session: Session, facts: Sequence[Fact], json: bool) -> None:
    document: ActOut = act(session, facts)

    def show() -> None:
        show_table([_fact_row(fact) for fact in document.facts])
        if document.proposed:
            first = document.facts[0].act_id
            say(f"proposed; another person confirms it: mpi fact confirm {first} --reviewer WHO")

    answer(json, document.model_dump(mode="json"), show)


# ------------------------------------------------------------------------------- people


@person_app.command("find")
def person_find(
    domain: Domain, value: Value, as_of: AsOf = None, config: Config = None, json: Json = False
) -> None:
    """Print the enterprise identifier behind an identifier, and the person's other identifiers."""
    instant = _instant(as_of, "--as-of")
    with opened(config) as session:
        key = key_of(session, domain, value)
        found = session.registry.cross_reference(
            key, targets=None, visible=session.visible, actor=_READER, as_of=instant
        )
    others = [views.identifier(item) for item in found.identifiers]
    document = {"euid": found.person, "identifiers": [one.model_dump(mode="json") for one in others]}

    def show() -> None:
        say(found.person)
        for one in others:
            say(f"  {_name(one)}")

    answer(json, document, show)


@person_app.command("show")
def person_show(euid: Euid, as_of: AsOf = None, config: Config = None, json: Json = False) -> None:
    """Show a person across domains: members, and the golden record. It is a patient's data: mind where you print it."""
    instant = _instant(as_of, "--as-of")
    with opened(config) as session:
        shown = patients.shown(session, _record(session, euid, instant), instant)

    def show() -> None:
        since = f", retired since {shown.retired_since}" if shown.retired else ""
        say(f"{shown.euid}" + (f"  (asked: {shown.asked}{since})" if shown.retired else ""))
        show_table([_member_row(member.model_dump(mode="json")) for member in shown.members])
        rows = [
            {"": name, "value": _text(field.value), "from": _name(field.source), "since": field.since}
            for name, field in shown.golden.items()
        ]
        if rows:
            show_table(rows)

    answer(json, shown.model_dump(mode="json"), show)


def _member_row(member: dict[str, Any]) -> dict[str, Any]:
    flags = [name for name in ("retired", "held", "doubted", "doubtful") if member.get(name)]
    return {
        "domain": member["domain"],
        "id": member["id"],
        "epoch": member.get("epoch"),
        "status": member["status"],
        "attributes": " ".join(member["attributes"]),
        "flags": " ".join(flags),
    }


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _record(session: Session, euid: str, as_of: datetime | None) -> EnterpriseRecord:
    return session.registry.enterprise_record(euid, visible=session.visible, actor=_READER, as_of=as_of)


@person_app.command("history")
def person_history(euid: Euid, as_of: AsOf = None, config: Config = None, json: Json = False) -> None:
    """List every membership the person's records ever had, oldest first."""
    instant = _instant(as_of, "--as-of")
    with opened(config) as session:
        found = patients.history(session, _record(session, euid, instant), instant)
    document = found.model_dump(mode="json")
    rows = [
        {
            "record": _name(IdentifierOut(domain=one.domain, id=one.id, epoch=one.epoch)),
            "euid": one.euid,
            "from": one.valid_from,
            "to": one.valid_to,
            "cause": one.cause,
        }
        for one in found.memberships
    ]
    answer(json, document, lambda: show_table(rows) if rows else say("nothing yet"))


@person_app.command("timeline")
def person_timeline(euid: Euid, as_of: AsOf = None, config: Config = None, json: Json = False) -> None:
    """List what happened to a person and why, oldest first: statements, decisions, links, questions. No traits."""
    instant = _instant(as_of, "--as-of")
    with opened(config) as session:
        found = session.registry.timeline(euid, visible=session.visible, actor=_READER)
        happenings = [
            views.happening(session, item) for item in found if instant is None or item.at <= instant
        ]
    document = {"asked": euid, "happenings": [one.model_dump(mode="json") for one in happenings]}
    rows = [
        {
            "at": one.at,
            "what": one.what,
            "records": ", ".join(map(_name, one.subjects)),
            "actor": one.actor,
            "cause": one.cause,
            "details": "  ".join(f"{name} {value}" for name, value in one.details.items() if value != ""),
        }
        for one in happenings
    ]
    answer(json, document, lambda: show_table(rows) if rows else say("nothing yet"))


@person_app.command("split")
def person_split(
    euid: Euid,
    members: Annotated[
        list[str], typer.Argument(metavar="DOMAIN ID...", help="The members to take out: domain, identifier.")
    ],
    reviewer: Reviewer,
    to: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="DOMAIN ID", help="Move them to the enterprise record of this identifier."),
    ] = None,
    reason: Reason = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """Take members out of an enterprise record, on their own or to another one."""
    if len(members) % 2:
        raise refuse("members: expected a domain and an identifier for each")
    with opened(config) as session:
        pairs = zip(members[::2], members[1::2], strict=True)
        leaving = [key_of(session, domain, value) for domain, value in pairs]
        destination = key_of(session, *to) if to is not None else None
        here = {member.record.key for member in _record(session, euid, None).members}
        if not set(leaving) <= here:
            raise LinkConflict("one of these identifiers is not of this enterprise record")
        facts = session.registry.split(leaving, reviewer=reviewer, to=destination, reason=reason)
        _answer_act(session, facts, json)


@person_app.command("erase")
def person_erase(
    domain: Domain,
    value: Value,
    reviewer: Reviewer,
    reason: Annotated[str, typer.Option(help="The request it answers; no traits.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether it is meant.")] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """Destroy what is known under an identifier, and the messages that said it. It cannot be undone."""
    if not yes:
        typer.confirm(
            "What is known under this identifier is destroyed, for ever. Go on?", abort=True, err=True
        )
    with opened(config) as session:
        key = key_of(session, domain, value)
        euid = session.registry.erase(key, reviewer=reviewer, reason=reason)
    answer(json, {"euid": euid}, lambda: say(f"erased; {euid} is retired"))


@person_app.command("told")
def person_told(
    consumer: Annotated[str, typer.Argument(help="Name of the consumer, as configured.")],
    domain: Domain,
    value: Value,
    on: Annotated[str, typer.Option(help="Instant of the question: ISO 8601 with its offset.")],
    config: Config = None,
    json: Json = False,
) -> None:
    """Print what a consumer would have been answered about an identifier, and had been notified of by then."""
    instant = _instant(on, "--on")
    assert instant is not None
    with opened(config) as session:
        key = key_of(session, domain, value)
        told = patients.told_of(session, consumer, key, instant, actor=_READER)

    def show() -> None:
        for one in told.identifiers:
            say(_name(one))
        for row in told.notified:
            say(f"notification {row.id}: {row.kind}, queued at {row.queued_at}")
        if not (told.identifiers or told.notified):
            say("no other identifier, no notification")

    answer(json, told.model_dump(mode="json"), show)
