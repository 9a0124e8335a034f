"""
`mpi load`: the patients of one site from a table, through the same registry as live feeds.

A message names the file, the line and the field, never a value.
"""

from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mpi.console import Config, Json, answer, progress, say, settings_of, show_table
from mpi.errors import PoisonMessage
from mpi.feeds.table_quality import Quality, assess
from mpi.feeds.tabular import RowReader, TableFile, field_of, open_table, parse_event_time
from mpi.index.events import RECEIVED_AS, MessageState
from mpi.index.registry import Registry

_SAID = {MessageState.APPLIED: "accepted"}
"""What a state is called where its reader's word is another than the journal's."""


def load(
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV (comma, semicolon or tab; also gzipped) or Parquet.")
    ],
    source: Annotated[str, typer.Option(metavar="NAME", help="Configured source whose patients they are.")],
    maps: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="TRAIT=COLUMN", help="The column a trait is in; repeatable."),
    ] = None,
    id_column: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="Identifiers; record_id by default.")
    ] = None,
    domain_column: Annotated[
        str | None,
        typer.Option(
            "--domain", metavar="COLUMN", help="Namespace or OID of each; by default the source's first."
        ),
    ] = None,
    event_time: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|INSTANT", help="Since when rows are true; by default, when the file was written."
        ),
    ] = None,
    encoding: Annotated[str, typer.Option(help="Character set of a CSV file, such as cp1252.")] = "utf-8",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what is in the table, and write nothing.")
    ] = False,
    config: Config = None,
    json: Json = False,
) -> None:
    """
    Load the patients of a site from a table, each row as one message, and say what is in it.

    The same file again changes nothing, and a load that was stopped goes on. Fails when no row was taken.
    """
    from mpi.wiring import opened_registry

    settings = settings_of(config)
    directory = settings.directory()
    party = directory.source(source)
    instant, column = _event_time(event_time)
    table = open_table(
        path,
        maps=maps or (),
        id_column=id_column,
        domain_column=domain_column,
        event_time_column=column,
        encoding=encoding,
    )
    written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    reader = RowReader(table, party, directory, event_time=instant or written, is_named=instant is not None)
    loaded: dict[str, Any] | None = None
    isolated: set[int] = set()
    with ExitStack() as stack:
        bar = stack.enter_context(progress())
        rows: int | None = None
        if not dry_run:
            rows = sum(1 for _ in table.rows())
            _store, registry = stack.enter_context(opened_registry(settings))
            loading = bar.add_task("load", total=rows)
            loaded, isolated = _load(registry, reader, lambda: bar.advance(loading))
        reading = bar.add_task("read", total=rows)
        # Only the index recognises a row that ends this program, so the rows are its before they are anybody's.
        quality = assess(
            table, reader, without=isolated, on_row=lambda read: bar.update(reading, completed=read)
        )
    document = {
        "file": path.name,
        "source": party.name,
        "quality": _quality(quality, table),
        "load": loaded,
    }
    answer(json, document, lambda: _show(quality, table, loaded))
    if loaded is not None and quality.rows and not loaded["accepted"] + loaded["duplicate"]:
        raise typer.Exit(1)


def _event_time(text: str | None) -> tuple[datetime | None, str | None]:
    """The instant, or the column it names."""
    if text is None:
        return None, None
    try:
        return parse_event_time(text), None
    except ValueError:
        return None, text


def _load(registry: Registry, reader: RowReader, on_row: Any) -> tuple[dict[str, Any], set[int]]:
    """What became of the rows, and which of them cannot be handled."""
    isolated: set[int] = set()
    states: Counter[MessageState] = Counter()
    reasons: dict[tuple[str, str], list[int]] = {}
    warnings: Counter[str] = Counter()
    linked = tasks = 0
    for message in reader.messages():
        receipt = message.hand_to(registry)
        states[receipt.state] += 1
        linked += receipt.linked
        tasks += receipt.tasks_opened
        warnings.update(set(receipt.warnings))
        if receipt.error is not None:
            counted = reasons.setdefault(field_of(receipt.error, message.number), [0, message.number])
            counted[0] += 1
            if isinstance(receipt.error, PoisonMessage):
                isolated.add(message.number)
        on_row()
    document = {
        "messages": sum(states.values()),
        **{_SAID.get(state, state.value): states.get(state, 0) for state in RECEIVED_AS},
        "linked": linked,
        "sent_to_review": tasks,
        "reasons": [
            {"field": place, "problem": problem, "rows": rows, "first": first}
            for (place, problem), (rows, first) in sorted(reasons.items())
        ],
        "warnings": [{"warning": text, "rows": rows} for text, rows in sorted(warnings.items())],
    }
    return document, isolated


def _quality(found: Quality, table: TableFile) -> dict[str, Any]:
    return {**asdict(found), "refused": found.refused, "unit": table.unit, "columns": dict(table.columns)}


def _show(found: Quality, table: TableFile, loaded: Mapping[str, Any] | None) -> None:
    say(f"{found.rows:,} rows, {found.refused:,} of them cannot be taken")
    rows = [
        {
            "trait": name,
            "column": table.columns[name],
            "missing": found.missing.get(name, 0),
            "placeholders": found.placeholders.get(name, 0),
        }
        for name in table.traits
    ]
    show_table(rows)
    say(f"default birth dates: {found.default_dates:,}")
    for problem, count in found.doubtful_ins.items():
        say(f"doubtful INS: {problem} ({count:,})")
    for wrong in found.wrong:
        say(f"{wrong.place or 'row'}: {wrong.problem} ({wrong.rows:,}, first at {table.unit} {wrong.first})")
    say(
        f"identifiers stated more than once: {found.repeated_ids:,}, in {found.repeated_rows:,} rows, "
        f"of which {found.identical_rows:,} repeat another one whole"
    )
    if found.pairs is None:
        say("probable duplicates: not looked for in a table of this size")
    else:
        say(f"probable duplicates, pairs of rows: {found.pairs:,}")
        for pair in found.shown:
            say(f"  {table.unit}s {pair.left} and {pair.right}: {pair.probability:.4f}")
    if loaded is None:
        say("dry run: nothing was written")
        return
    say(
        ", ".join(
            f"{name.replace('_', ' ')} {count:,}" for name, count in loaded.items() if isinstance(count, int)
        )
    )
    for warning in loaded["warnings"]:
        say(f"warning: {warning['warning']} ({warning['rows']:,})")
