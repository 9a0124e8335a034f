"""What commands print with, and the options they share."""

import json as jsonlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mpi.settings import Settings, load

Config = Annotated[
    Path | None, typer.Option("--config", help="Configuration file; mpi.toml here by default.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)
_wide = Console(width=1_000)
"""For tables: a terminal folds a long line, where fitting its width would cut the cells."""


def settings_of(config: Path | None) -> Settings:
    """The settings in a configuration file: the one that is named, else `mpi.toml` where there is one."""
    default = Path("mpi.toml")
    return load(config or (default if default.is_file() else None))


def refuse(problem: str) -> typer.Exit:
    """Say what is wrong with what was asked; raise what is returned."""
    err.print(f"mpi: {problem}", markup=False, highlight=False)
    return typer.Exit(2)


def say(line: str) -> None:
    """Print a line as it is."""
    out.print(line, markup=False, highlight=False)


def answer(json: bool, document: Any, show: Callable[[], None]) -> None:
    """Print the document as JSON, or show it."""
    if json:
        out.print_json(jsonlib.dumps(document, default=str, ensure_ascii=False))
    else:
        show()


def progress() -> Progress:
    """A progress bar with a count and the time left, on standard error."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=err,
        transient=False,
        disable=not err.is_terminal,
    )


def show_table(rows: Sequence[Mapping[str, Any]], *, right: Collection[str] = ()) -> None:
    """
    Print rows with the same columns, at least one. Text is printed letter by letter: it is no markup.

    Args:
        right: columns to align at the right, as those of whole numbers are.
    """
    made = Table(box=None)
    for name, value in rows[0].items():
        made.add_column(name, justify="right" if name in right or isinstance(value, int) else "left")
    for row in rows:
        made.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    _wide.print(made)
