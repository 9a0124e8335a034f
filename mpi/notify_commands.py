"""`mpi notify`: what addressees have to be told, what became of it, and what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from mpi.console import Config, Json, answer, say, settings_of, show_table
from mpi.index.audit import AuditEvent
from mpi.index.notices import members_of
from mpi.index.ports import Backlog, Delivery, OutboxRow
from mpi.index.registry import Registry
from mpi.notify.desk import Desk
from mpi.store import SqlStore
from mpi.wiring import now, opened_registry

notify_app = typer.Typer(help="Notifications.", no_args_is_help=True)
Number = Annotated[int, typer.Argument(help="A notification.")]
Addressee = Annotated[
    str, typer.Argument(help="A consumer, a source (its corrections), or subscription/NUMBER.")
]
By = Annotated[str, typer.Option("--by", help="Who does; kept in the audit trail.")]


@notify_app.command("status")
def status(config: Config = None, json: Json = False) -> None:
    """What waits for each addressee, since when, what was given up, and who is paused."""
    with _desk(config) as (desk, _store, _registry):
        found = desk.overview()
    document = {
        "queues": [_backlog(one) for one in found.backlogs],
        "paused": [{"addressee": name, "since": at} for name, at in found.paused.items()],
    }

    def show() -> None:
        if document["queues"]:
            show_table(document["queues"])
        else:
            say("nothing waits, and nothing was given up")
        for one in document["paused"]:
            say(f"{one['addressee']} is paused since {one['since']}")

    answer(json, document, show)


@notify_app.command("list")
def list_rows(
    addressee: Annotated[str | None, typer.Option("--to", help="Only to this addressee.")] = None,
    state: Annotated[Delivery | None, typer.Option(help="Only in this state.")] = None,
    after: Annotated[int, typer.Option(min=0, help="Only after this number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    config: Config = None,
    json: Json = False,
) -> None:
    """Notifications by number: to whom, what became of them. Whom they are about is not shown."""
    with _desk(config) as (desk, _store, _registry):
        rows = desk.rows(after=after, limit=limit, consumer=addressee, state=state)
    document = [_row(row) for row in rows]
    answer(json, document, lambda: show_table(document) if document else say("no notifications"))


@notify_app.command("show")
def show_row(number: Number, config: Config = None, json: Json = False) -> None:
    """Print one notification, with the identifiers it tells of: a patient's, and audited."""
    with _desk(config) as (desk, store, registry):
        row = desk.row(number)
        store.trace(AuditEvent("user:terminal", "R", "notification.read", f"outbox/{number}", now()))
        domains = registry.directory.domains
        told = [
            {"domain": domain.authority.namespace if domain else key.domain, "id": key.value}
            for key in members_of(row.payload)
            for domain in (domains.get(key.domain),)
        ]
    document = {**_row(row), "control_id": row.control_id, "identifiers": told}

    def show() -> None:
        for name, value in document.items():
            if name != "identifiers" and value not in (None, ""):
                say(f"{name}: {value}")
        for one in told:
            say(f"{one['domain']} {one['id']}")

    answer(json, document, show)


@notify_app.command("resend")
def resend(number: Number, by: By, config: Config = None) -> None:
    """Send a notification again; if something newer is true, that is queued instead."""
    with _desk(config) as (desk, _store, _registry):
        waiting = desk.resend(number, actor=f"user:{by}")
    for row in waiting:
        what = "is sent again" if row.id == number else f"says what is true now, instead of {number}"
        say(f"notification {row.id} {what}")


@notify_app.command("pause")
def pause(addressee: Addressee, by: By, config: Config = None) -> None:
    """Send nothing to an addressee; what it has to be told waits."""
    with _desk(config) as (desk, _store, _registry):
        changed = desk.pause(addressee, actor=f"user:{by}")
    say(f"{addressee} is paused" if changed else f"{addressee} was paused already")


@notify_app.command("resume")
def resume(addressee: Addressee, by: By, config: Config = None) -> None:
    """Send to an addressee again, at once."""
    with _desk(config) as (desk, _store, _registry):
        changed = desk.resume(addressee, actor=f"user:{by}")
    say(f"{addressee} is told again" if changed else f"{addressee} was not paused; its first row is due now")


@contextmanager
def _desk(config: Path | None) -> Iterator[tuple[Desk, SqlStore, Registry]]:
    with opened_registry(settings_of(config)) as (store, registry):
        yield Desk(store, registry.directory, now), store, registry


def _row(row: OutboxRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "addressee": row.consumer,
        "channel": row.channel,
        "kind": row.kind,
        "state": row.state,
        "attempts": row.attempts,
        "queued": row.created_at,
        "next": row.next_attempt_at,
        "delivered": row.delivered_at,
        "error": row.error,
    }


def _backlog(one: Backlog) -> dict[str, Any]:
    return {
        "addressee": one.queue.consumer,
        "channel": one.queue.channel,
        "waiting": one.pending,
        "oldest": one.oldest,
        "given up": one.dead,
    }
