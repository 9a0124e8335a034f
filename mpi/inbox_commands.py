"""`mpi inbox ...`: the journal of received messages, and what to do about those that could not be applied."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from mpi.api.rest.bodies import FeedsOut
from mpi.api.rest.feeds import document as feed_document
from mpi.console import Config, Json, answer, progress, refuse, say, settings_of, show_table
from mpi.feeds.monitor import look
from mpi.feeds.tls import expires_at
from mpi.index.conservation import Conservation, Violation, audit
from mpi.index.events import MessageState, Receipt
from mpi.index.ports import StoredMessage
from mpi.index.reasons import reason_of
from mpi.replay import Settled, discard, repair, replay, replay_all, stopped
from mpi.wiring import now, opened_registry

inbox_app = typer.Typer(help="The journal of received messages.", no_args_is_help=True)

Language = Annotated[Literal["fr", "en"], typer.Option("--lang", help="Language of reasons.")]
MessageId = Annotated[int, typer.Argument(help="The message.")]
Who = Annotated[str, typer.Option("--by", help="Who does; kept in the audit trail.")]
_VIOLATIONS_SHOWN = 1_000


@inbox_app.command("list")
def inbox_list(
    state: Annotated[MessageState | None, typer.Option(help="Only messages in this state.")] = None,
    source: Annotated[str | None, typer.Option(help="Only messages of this source.")] = None,
    problem: Annotated[str | None, typer.Option(help="Only messages that this problem stopped.")] = None,
    after: Annotated[int, typer.Option(help="Start after this message.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    lang: Language = "fr",
    config: Config = None,
    json: Json = False,
) -> None:
    """List received messages and what became of them."""
    with opened_registry(settings_of(config)) as (_store, registry):
        messages = registry.messages(state=state, source=source, problem=problem, after=after, limit=limit)
    document = [_row(message, lang) for message in messages]
    counted = [
        {**{name: row[name] for name in _COLUMNS}, "warnings": len(message.warnings)}
        for row, message in zip(document, messages, strict=True)
    ]
    answer(json, document, lambda: show_table(counted) if counted else say("no messages"))


_COLUMNS = ("id", "source", "event", "state", "place", "problem", "received")


def _row(message: StoredMessage, lang: Literal["fr", "en"]) -> dict[str, Any]:
    return {
        "id": message.id,
        "source": message.envelope.source,
        "event": message.envelope.event,
        "state": message.state,
        "place": message.place,
        "problem": message.problem,
        "reason": reason_of(message.error, lang),
        "warnings": list(message.warnings),
        "received": message.received_at,
        "replay_of": message.replay_of,
        "repeats": message.repeats,
        "settled": message.settled_at,
        "settled_by": message.settled_by,
        "settled_reason": message.settled_reason,
    }


@inbox_app.command("counts")
def inbox_counts(config: Config = None, json: Json = False) -> None:
    """How many messages of each source are in each state."""
    with opened_registry(settings_of(config)) as (_store, registry):
        counts = registry.message_counts()
    document = [
        {"source": source, **{state.value: states.get(state, 0) for state in MessageState}}
        for source, states in sorted(counts.items())
    ]
    answer(json, document, lambda: show_table(document) if document else say("no messages"))


@inbox_app.command("show")
def inbox_show(message_id: MessageId, lang: Language = "fr", config: Config = None) -> None:
    """Print one message as it was received. It holds a patient's data: mind where you print it."""
    with opened_registry(settings_of(config)) as (_store, registry):
        message = registry.message(message_id, actor="user:terminal")
    say(
        f"message {message.id}  {message.envelope.event}  {message.state}  {message.place}  {message.problem}"
    )
    if reason := reason_of(message.error, lang):
        say(reason)
    if message.replay_of is not None:
        say(f"in the place of message {message.replay_of}")
    if message.repeats is not None:
        say(f"the same as message {message.repeats}")
    if message.settled_at is not None:
        say(f"{message.state} by {message.settled_by} at {message.settled_at}: {message.settled_reason}")
    for warning in message.warnings:
        say(f"warning: {warning}")
    say(message.envelope.raw.decode("latin-1").replace("\r", "\n"))


@inbox_app.command("replay")
def inbox_replay(
    by: Who,
    message_id: Annotated[
        int | None, typer.Argument(help="A quarantined or refused message; else --source or --problem.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Every quarantined message of this source.")] = None,
    problem: Annotated[str | None, typer.Option(help="Every one that this problem stopped.")] = None,
    reason: Annotated[str, typer.Option(help="Why; kept with the message.")] = "",
    config: Config = None,
    json: Json = False,
) -> None:
    """
    Process messages again, for instance after the configuration was mended.

    Fails when a message could not be applied this time either.
    """
    if (message_id is None) == (source is None and problem is None):
        raise refuse("a message, or --source or --problem")
    with opened_registry(settings_of(config)) as (_store, registry):
        if message_id is not None:
            _show(replay(registry, message_id, actor=f"user:{by}", reason=reason), json)
            return
        ids = stopped(registry, source=source, problem=problem)
        with progress() as bar:
            line = bar.add_task("replay", total=len(ids))
            counts = replay_all(
                registry, ids, actor=f"user:{by}", reason=reason, on_message=lambda: bar.advance(line)
            )
    document = {"messages": len(ids), **{str(state): count for state, count in counts.items()}}
    answer(json, document, lambda: say(", ".join(f"{count:,} {name}" for name, count in document.items())))
    if counts.get(MessageState.APPLIED, 0) < len(ids):
        raise typer.Exit(1)


@inbox_app.command("repair")
def inbox_repair(
    message_id: MessageId,
    by: Who,
    file: Annotated[
        Path, typer.Option("--file", exists=True, dir_okay=False, help="The corrected message, HL7 v2.")
    ],
    reason: Annotated[str, typer.Option(help="Why it was corrected; kept with the message.")],
    config: Config = None,
    json: Json = False,
) -> None:
    """
    Process a corrected message in the place of a quarantined or refused one, which stays as it came.

    Of the same sender. Fails when the correction cannot be applied either.
    """
    with opened_registry(settings_of(config)) as (_store, registry):
        corrected = file.read_bytes()
        _show(repair(registry, message_id, corrected, actor=f"user:{by}", reason=reason), json)


@inbox_app.command("discard")
def inbox_discard(
    message_id: MessageId,
    by: Who,
    reason: Annotated[str, typer.Option(help="Why; kept with the message.")],
    config: Config = None,
    json: Json = False,
) -> None:
    """Decide that a quarantined, refused or parked message shall have no effect. It stays in the journal."""
    with opened_registry(settings_of(config)) as (_store, registry):
        _show(discard(registry, message_id, actor=f"user:{by}", reason=reason), json)


def _show(settled: Settled, json: bool) -> None:
    """What became of a message and of those that waited for it. Exit status 1 when it could not be applied."""
    receipt = settled.receipt
    document = {
        "message": None if receipt is None else _receipt(receipt),
        "released": [_receipt(one) for one in settled.released],
    }

    def show() -> None:
        say("discarded" if receipt is None else f"message {receipt.message_id} is {receipt.state}")
        for one in settled.released:
            say(f"message {one.message_id}, which waited for it, is {one.state}")

    answer(json, document, show)
    if receipt is not None and receipt.state is not MessageState.APPLIED:
        raise typer.Exit(1)


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "id": receipt.message_id,
        "state": receipt.state,
        "place": getattr(receipt.error, "place", ""),
        "problem": getattr(receipt.error, "problem", str(receipt.error or "")),
    }


@inbox_app.command("feeds")
def inbox_feeds(config: Config = None, json: Json = False) -> None:
    """How each source does: what it sent lately, what became of it, and what somebody should look into."""
    with opened_registry(settings_of(config)) as (store, registry):
        expiries = {key: expires_at(path) for key, path in settings_of(config).certificates().items()}
        full = registry.full_quarantines()
        seen = feed_document(look(store, registry.directory, at=now(), certificates=expiries, full=full))
    answer(json, seen.model_dump(mode="json"), lambda: _show_feeds(seen))


def _show_feeds(seen: FeedsOut) -> None:
    rows = [
        {
            "source": feed.source,
            "last": feed.last_received_at,
            "per minute": f"{feed.per_minute.hour:.1f}",
            "a day": f"{feed.per_minute.day:.1f}",
            "waiting": feed.backlog,
            "applied": feed.counts.get(MessageState.APPLIED, 0),
            "duplicate": feed.counts.get(MessageState.DUPLICATE, 0),
            "quarantined": feed.counts.get(MessageState.QUARANTINED, 0),
            "alarms": ", ".join(feed.alarms),
        }
        for feed in seen.feeds
    ]
    if rows:
        show_table(rows, right=("per minute", "a day"))
    else:
        say("no sources")
    for feed in seen.feeds:
        for one in feed.quarantined:
            say(f"{feed.source}: {one.count} quarantined: {one.place}: {one.problem}")
        if feed.harvest is not None:
            behind = "never" if feed.harvest.through is None else f"through {feed.harvest.through}"
            problem = f": {feed.harvest.problem}" if feed.harvest.problem else ""
            say(f"{feed.source}: harvest {feed.harvest.state}, {behind}{problem}")
    for shown in seen.certificates:
        say(f"{shown.key}: expires {shown.expires_at}{' (soon)' if shown.alarms else ''}")


@inbox_app.command("audit")
def inbox_audit(config: Config = None, json: Json = False) -> None:
    """
    Check, while the service runs, that every message received is in one state and had its effect, and no other.

    Nothing is written. Exit status 1 when a message is not accounted for.
    """
    shown: list[Violation] = []

    def keep(violation: Violation) -> None:
        if len(shown) < _VIOLATIONS_SHOWN:
            shown.append(violation)

    with opened_registry(settings_of(config)) as (store, _), progress() as bar:
        line = bar.add_task("messages")
        found = audit(
            store,
            on_violation=keep,
            on_progress=lambda done, total: bar.update(line, completed=done, total=total),
        )
    document = {
        "clean": found.is_clean,
        "messages": found.messages,
        "statements": found.statements,
        "facts": found.facts,
        "sources": {
            source: {str(state): count for state, count in states.items()}
            for source, states in sorted(found.counts.items())
        },
        "violations": [{"subject": one.subject, "problem": one.problem} for one in shown],
        "found": found.violations,
    }
    answer(json, document, lambda: _show_audit(found, shown))
    if not found.is_clean:
        raise typer.Exit(1)


def _show_audit(found: Conservation, shown: list[Violation]) -> None:
    for one in shown:
        say(f"{one.subject}: {one.problem}")
    if found.violations > len(shown):
        say(f"… and {found.violations - len(shown):,} more")
    rows = [
        {"source": source, **{state.value: states.get(state, 0) for state in MessageState}}
        for source, states in sorted(found.counts.items())
    ]
    if rows:
        show_table(rows)
    verdict = "each accounted for" if found.is_clean else f"{found.violations:,} not accounted for"
    say(f"{found.messages:,} messages, {found.statements:,} statements, {found.facts:,} facts: {verdict}")
