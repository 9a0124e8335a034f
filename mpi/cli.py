"""
`mpi ...`: the command line. Exit status 0 done, 1 failed, 2 bad usage or bad input.

Commands parse, delegate and print; rules live below. A message names the file, the line or the
field and the problem, never a patient's value.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table
from rich.text import Text

from mpi import logs
from mpi.console import Config, Json, answer, err, out, progress, settings_of
from mpi.errors import FeedError, MpiError, SettingsError
from mpi.inbox_commands import inbox_app
from mpi.index.events import RECEIVED_AS, MessageState
from mpi.index.registry import Registry
from mpi.linkage_commands import evaluate, link, train
from mpi.load_commands import load
from mpi.model_commands import model_app
from mpi.notify_commands import notify_app
from mpi.report_commands import correction_app, indicators, report_app
from mpi.review_commands import fact_app, person_app, queue_app
from mpi.store import SqlStore
from mpi.store_commands import relink, verify
from mpi.wiring import now, open_registry

app = typer.Typer(
    name="mpi",
    help="Master patient index for imaging federations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with local variables would print patients
)
key_app = typer.Typer(help="API keys.", no_args_is_help=True)
audit_app = typer.Typer(help="The audit trail.", no_args_is_help=True)
app.add_typer(key_app, name="key")
app.add_typer(model_app, name="model")
app.add_typer(queue_app, name="queue")
app.add_typer(fact_app, name="fact")
app.add_typer(person_app, name="person")
app.add_typer(report_app, name="report")
app.add_typer(correction_app, name="correction")
app.add_typer(inbox_app, name="inbox")
app.add_typer(notify_app, name="notify")
app.add_typer(audit_app, name="audit")
for command in (load, link, train, evaluate, relink, verify, indicators):
    app.command()(command)

_SAID = {MessageState.APPLIED: "accepted"}
"""What `ingest` calls a state, where its reader's word is another than the journal's."""


def main() -> None:
    """Run a command; errors of ours become one line and an exit status."""
    logs.configure("ERROR")
    try:
        app()
    except MpiError as error:
        err.print(f"mpi: {error}", markup=False, highlight=False)
        sys.exit(2 if isinstance(error, SettingsError | FeedError) else 1)


@contextmanager
def _registry(config: Path | None) -> Iterator[tuple[SqlStore, Registry]]:
    store, registry = open_registry(settings_of(config))
    try:
        yield store, registry
    finally:
        store.close()


@app.command()
def demo(
    no_serve: Annotated[bool, typer.Option("--no-serve", help="Stop after the summary.")] = False,
    persons: Annotated[int, typer.Option(min=10, help="How many people to invent.")] = 5000,
    seed: Annotated[int, typer.Option(help="Seed of the synthetic federation.")] = 20260101,
    port: Annotated[int, typer.Option(help="HTTP port; 0 takes a free one.")] = 8080,
    mllp_port: Annotated[int, typer.Option(help="MLLP port; 0 takes a free one.")] = 2575,
    directory: Annotated[Path, typer.Option("--dir", help="Where the store and the files are made.")] = Path(
        "var/demo"
    ),
    language: Annotated[str, typer.Option("--lang", help="fr or en; by default the terminal's.")] = "",
) -> None:
    """The main job, end to end, on a synthetic federation of four sites."""
    from mpi.demo import run_demo

    logs.configure("ERROR")
    run_demo(
        persons=persons,
        seed=seed,
        folder=directory,
        http_port=port,
        mllp_port=mllp_port,
        serve=not no_serve,
        language=language,
        out=out,
        progress=progress(),
    )


@app.command()
def serve(config: Config = None) -> None:
    """HTTP (REST, FHIR) and the MLLP listener, until SIGTERM."""
    from mpi.service import serve as serve_until_stopped

    logs.configure("INFO")
    settings = settings_of(config)
    for key in settings.not_served_yet():
        err.print(f"mpi: {key} is set, and nothing is done about it: see the manual", markup=False)
    serve_until_stopped(settings)


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="HL7 v2, DICOM, FHIR and table files, and folders.")],
    source: Annotated[
        str | None,
        typer.Option(help="Configured source of tables, FHIR files and DICOM headers that do not say."),
    ] = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Feed files to the index, through the same registry as live feeds. Fails when nothing was taken."""
    from mpi.feeds.dicom.ingest import walk_files
    from mpi.feeds.hl7v2.handler import Hl7Handler
    from mpi.ingestion import ingest as ingest_files

    for path in paths:
        if not path.exists():
            err.print(f"mpi: {path}: no such file or folder", markup=False)
            raise typer.Exit(2)
    with _registry(config) as (_store, registry):
        if source is not None:
            registry.directory.source(source)
        handler = Hl7Handler(registry, registry.directory, now)
        with progress() as bar:
            task = bar.add_task("ingest", total=sum(1 for _ in walk_files(paths)))
            result = ingest_files(
                registry, handler, paths, source_name=source, on_file=lambda _path: bar.advance(task)
            )
    reasons = [
        {"file": file, "place": place, "problem": problem, "messages": count}
        for (file, place, problem), count in sorted(result.reasons.items())
    ]
    warnings = [{"warning": text, "messages": count} for text, count in sorted(result.warnings.items())]
    document = {
        "files": result.files,
        "messages": result.messages,
        "repeated": result.repeated,
        **{_SAID.get(state, state.value): result.states.get(state, 0) for state in RECEIVED_AS},
        "linked": result.linked,
        "sent_to_review": result.tasks,
        "with_warnings": result.warned,
        "reasons": reasons,
        "warnings": warnings,
    }

    def show() -> None:
        table = Table(show_header=False, box=None)
        for name, value in document.items():
            if not isinstance(value, list):
                table.add_row(name.replace("_", " "), str(value))
        out.print(table)
        lines = [
            (*(part for part in key if part), count) for key, count in sorted(result.reasons.items())
        ] + [("warning", text, count) for text, count in sorted(result.warnings.items())]
        for *parts, count in lines:
            out.print(f"{': '.join(map(str, parts))} ({count})", markup=False, highlight=False)

    answer(json, document, show)
    if result.is_failure:
        raise typer.Exit(1)


@app.command()
def synth(
    output: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    persons: Annotated[int, typer.Option(min=1, help="How many people.")] = 5000,
    sites: Annotated[int, typer.Option(min=1, max=26, help="How many sites.")] = 4,
    seed: Annotated[int, typer.Option(help="Same seed, same federation.")] = 20260101,
    profile: Annotated[
        Literal["judging", "tuning", "stress"], typer.Option(help="How often things go wrong, and how.")
    ] = "judging",
    tables_only: Annotated[
        bool, typer.Option("--tables-only", help="No messages, no headers; on every processor.")
    ] = False,
) -> None:
    """Write a synthetic federation: tables, HL7 messages, DICOM headers, truth, and how believable it is."""
    from mpi_synthetic import PROFILES, generate, write, write_tables

    with progress() as bar:
        people = bar.add_task("people and records", total=persons)

        def tell(done: int, total: int) -> None:
            bar.update(people, completed=done, total=total)

        if tables_only:
            records, _ = write_tables(
                output,
                persons,
                sites,
                seed,
                PROFILES[profile],
                processes=os.cpu_count() or 1,
                progress=tell,
            )
        else:
            federation = generate(persons, sites, seed, PROFILES[profile], progress=tell)
            records = len(federation.records)
            files = bar.add_task("messages and headers", total=len(federation.events))
            write(
                federation,
                output,
                progress=lambda done, total: bar.update(files, completed=done, total=total),
            )
    out.print(
        (output / "plausibility.txt").read_text(encoding="utf-8"), markup=False, highlight=False, end=""
    )
    out.print(f"{persons} people, {records} records in {output}", markup=False)


# ------------------------------------------------------------------------------- keys


@key_app.command("create")
def key_create(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    role: Annotated[str, typer.Option(help="portal, site, reviewer, lead, auditor or operator.")],
    domain: Annotated[
        list[str] | None, typer.Option("--domain", help="Namespace it may see; repeatable.")
    ] = None,
    config: Config = None,
) -> None:
    """Create an API key and print it once, as the last word."""
    from mpi.security.keys import Caller, Role, create_key
    from mpi.security.policy import sights_of

    if role not in set(Role):
        err.print(f"mpi: --role: not one of {', '.join(Role)}", markup=False)
        raise typer.Exit(2)
    with _registry(config) as (store, registry):
        domains = []
        for namespace in domain or ():
            known = registry.directory.domains.by_namespace(namespace)
            if known is None:
                err.print("mpi: --domain: not a configured domain", markup=False)
                raise typer.Exit(2)
            domains.append(known.key)
        secret = create_key(store, name=name, role=Role(role), domains=domains, clock=now)
        print(f"key of {name}, role {role}: {secret}", flush=True)
        caller = Caller(name, Role(role), frozenset(domains))
        for visible in sights_of([caller], registry.directory):
            _gather_questions(registry, visible)


def _gather_questions(registry: Registry, visible: frozenset[str]) -> None:
    """Make the queue of who sees some domains, so that nobody waits for it."""
    with progress() as bar:
        line = bar.add_task("questions of these domains", total=None)

        def tell(done: int, total: int) -> None:
            bar.update(line, completed=done, total=total)

        registry.sights.of(visible, on_progress=tell)


@key_app.command("list")
def key_list(config: Config = None, json: Json = False) -> None:
    """List keys, without their secrets."""
    with _registry(config) as (store, _), store.read() as uow:
        keys = uow.keys.all()
    document = [
        {
            "name": k.name,
            "role": k.role,
            "domains": list(k.domains),
            "created": k.created_at,
            "revoked": k.revoked_at,
        }
        for k in keys
    ]
    answer(json, document, lambda: out.print(_table(document) if document else "no keys"))


@key_app.command("revoke")
def key_revoke(name: Annotated[str, typer.Argument(help="Its name.")], config: Config = None) -> None:
    """Revoke a key; the next request with it is refused."""
    from mpi.security.keys import revoke_key

    with _registry(config) as (store, _):
        if not revoke_key(store, name=name, clock=now):
            err.print("mpi: no such key, or revoked already", markup=False)
            raise typer.Exit(1)
    out.print("revoked")


@audit_app.command("verify")
def audit_verify(config: Config = None) -> None:
    """Check the hash chain of the audit trail."""
    from mpi.index.audit import first_break

    with _registry(config) as (store, _), store.read() as uow:
        broken = first_break(uow.audit.chain())
    if broken is not None:
        err.print(f"mpi: the audit chain is broken at event {broken}")
        raise typer.Exit(1)
    out.print("the audit chain holds")


def _cell(value: Any) -> Text:
    """A value in a table, letter by letter: what a peer sent is no markup."""
    if isinstance(value, list):
        return Text(" ".join(map(str, value)))
    return Text("" if value is None else str(value))


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(*rows[0].keys())
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    return table
