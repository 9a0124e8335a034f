"""`mpi verify`, `mpi relink`: the whole store derived again, to check it or to follow another match model."""

from typing import Annotated, Any

import typer
from rich.progress import Progress

from mpi.console import Config, Json, answer, err, progress, say, settings_of, show_table
from mpi.errors import ModelError
from mpi.index.relinking import Preview, preview, unfinished
from mpi.index.relinking import relink as run_relink
from mpi.index.verification import Check, Difference, Verification
from mpi.index.verification import Progress as OnProgress
from mpi.index.verification import verify as run_verification
from mpi.wiring import now, opened_registry

_DIFFERENCES_SHOWN = 1_000


def verify(config: Config = None, json: Json = False) -> None:
    """
    Derive everything again from the facts, and name every difference. Nothing is written.

    Exit status 1 when there is one.
    """
    shown: list[Difference] = []

    def keep(difference: Difference) -> None:
        if len(shown) < _DIFFERENCES_SHOWN:
            shown.append(difference)

    result: Verification | None = None
    try:
        with opened_registry(settings_of(config)) as (store, registry), progress() as bar:
            result = run_verification(store, registry, on_difference=keep, on_progress=_on(bar))
    except ModelError as error:  # without the model that decides, nothing else can be derived
        keep(Difference(Check.MODEL, "model/active", str(error)))
    clean = result is not None and result.is_clean
    answer(json, _verified(result, shown), lambda: _show_verification(result, shown))
    if not clean:
        raise typer.Exit(1)


def _verified(result: Verification | None, shown: list[Difference]) -> dict[str, Any]:
    counts = {} if result is None else {name: getattr(result, name) for name in _COUNTED}
    found = {str(Check.MODEL): 1} if result is None else {str(c): n for c, n in result.found.items()}
    return {
        "clean": not found,
        **counts,
        "found": found,
        "differences": [
            {"check": str(one.check), "subject": one.subject, "problem": one.problem} for one in shown
        ],
    }


_COUNTED = ("records", "edges", "messages", "tasks", "facts", "tolerated")


def _show_verification(result: Verification | None, shown: list[Difference]) -> None:
    for one in shown:
        say(f"{one.check}: {one.subject}: {one.problem}")
    if result is None:
        say("the active model cannot be read: nothing else was verified")
        return
    total = sum(result.found.values())
    if total > len(shown):
        say(f"… and {total - len(shown):,} more")
    counted = ", ".join(f"{getattr(result, name):,} {name}" for name in _COUNTED[:-1])
    say(f"{counted}: {'as the facts make them' if result.is_clean else f'{total:,} differences'}")
    if result.tolerated:
        say(
            f"{result.tolerated:,} pairs share only blocking keys too common to open; they may be stored or not"
        )


def relink(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Run, however much changes.")] = False,
    max_changed: Annotated[
        float,
        typer.Option(min=0, max=1, metavar="SHARE", help="Changed links above which --yes is needed."),
    ] = 0.02,
    by: Annotated[str, typer.Option("--by", help="Who does; kept in the audit trail.")] = "terminal",
    config: Config = None,
    json: Json = False,
) -> None:
    """
    Score the whole store with the active model, and derive every set again.

    What people and sources asserted stands. Restart the services first, so that they decide with the
    active model too. A run that was stopped goes on where it was.
    """
    with opened_registry(settings_of(config)) as (store, registry), progress() as bar:
        stopped = None if dry_run else unfinished(store, registry)
        before = preview(store, registry, on_progress=_on(bar)) if stopped is None else None
        refused = before is not None and not dry_run and before.changed_share > max_changed and not yes
        run = None
        if not dry_run and not refused:
            run = run_relink(store, registry, now, actor=f"user:{by}", on_progress=_on(bar))
        version = registry.model.version
    document = {
        "model": version,
        "resumed": stopped is not None,
        "preview": None if before is None else _previewed(before),
        "relink": None if run is None else run.id,
    }

    def show() -> None:
        if before is not None:
            _show_preview(before)
        if stopped is not None:
            say(f"relink {stopped.id} went on after record {stopped.position}")
        if run is not None:
            say(f"relink {run.id} is done: the store is as {version} makes it")

    answer(json, document, show)
    if refused and before is not None:
        err.print(
            f"mpi: {before.changed_share:.1%} of the links change, more than {max_changed:.1%}:"
            " nothing was written; --yes runs it",
            markup=False,
            highlight=False,
        )
        raise typer.Exit(1)


def _previewed(found: Preview) -> dict[str, Any]:
    return {
        **{name: getattr(found, name) for name in _PREVIEWED},
        "changed_share": found.changed_share,
        "surprising": {str(kind): count for kind, count in found.surprising.items()},
        "surprises": [
            {"kind": str(one.kind), "subjects": one.subjects, "probability": one.probability}
            for one in found.surprises
        ],
    }


_PREVIEWED = (
    "records",
    "links",
    "gained",
    "lost",
    "people_joined",
    "people_parted",
    "moved",
    "refolded",
    "rescored",
    "partly_compared",
    "tasks_opened",
    "tasks_closed",
)


def _show_preview(found: Preview) -> None:
    say(
        f"{found.gained:,} links gained by {found.people_joined:,} people, {found.lost:,} lost by"
        f" {found.people_parted:,}, of {found.links:,}: {found.changed_share:.2%} change"
    )
    say(
        f"of {found.records:,} records {found.rescored:,} have pairs scored otherwise, {found.refolded:,} have"
        f" statements judged otherwise, {found.moved:,} change enterprise identifier"
    )
    say(f"about {found.tasks_opened:,} tasks opened, {found.tasks_closed:,} closed")
    if found.partly_compared:
        say(f"{found.partly_compared:,} records have a blocking key too common to open, as online")
    if found.surprises:
        rows = [
            {
                "worth a look": one.kind,
                "records": " ".join(one.subjects),
                "former probability": "" if one.probability is None else f"{one.probability:.4f}",
            }
            for one in found.surprises
        ]
        show_table(rows)
        total = sum(found.surprising.values())
        if total > len(rows):
            say(f"… of {total:,} worth a look")


def _on(bar: Progress) -> OnProgress:
    """A line of the progress bar for each thing that is read."""
    lines: dict[str, Any] = {}

    def tell(what: str, done: int, total: int) -> None:
        if what not in lines:
            lines[what] = bar.add_task(what, total=total)
        bar.update(lines[what], completed=done, total=total)

    return tell
