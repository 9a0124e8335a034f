"""
Rows of the conformance matrix and the tests that show them -> docs/conformance.md.

    python -m tests.conformance.rendering

A test shows a row when its docstring begins with the row in brackets (`[Q03]`, `[F05, F06]`) or its name with
`test_q03_`. One that is skipped, or expected to fail, shows nothing.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.conformance.matrix import MATRIX, SECTIONS

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "conformance.md"

_HEAD = """# Conformance

What the index does where a standard or a national rule says what it has to do: a row for each stimulus, and the
tests that show it. This page is written from the tests (`make conformance`), and a test says when it has fallen
behind. Every test named here runs in `make test` or `make test-all`; the peers some of them talk to are listed in
[interop.md](interop.md). What DICOM peers need to know is in [dicom-conformance.md](dicom-conformance.md).

Standards: IHE ITI TF (ITI-8, 9, 10, 20, 21, 30, 31), PIXm, PDQm, PMIR; the IHE PAM national extension for France
2.11; DICOM PS3. The rows are this project's own, and no certificate of anybody.
"""

_DOCSTRING_ROWS = re.compile(r"((?:\[[A-Z]\d\d(?:,\s*[A-Z]\d\d)*\]\s*)+)")
_NAMED_ROW = re.compile(r"test_([a-z]\d\d)_")
_NOT_RUN = re.compile(r"\b(skip|skipif|xfail)\b")


@dataclass(frozen=True, slots=True, order=True)
class Shown:
    """One test, by where it is, and the rows it says it shows."""

    path: str
    name: str
    rows: tuple[str, ...]


def rows_of(function: ast.FunctionDef) -> tuple[str, ...]:
    """The rows a test is named by; none for one that does not run."""
    if any(_NOT_RUN.search(ast.unparse(decorator)) for decorator in function.decorator_list):
        return ()
    said = _DOCSTRING_ROWS.match(ast.get_docstring(function) or "")
    named = _NAMED_ROW.match(function.name)
    rows = re.findall(r"[A-Z]\d\d", said[0]) if said else [named[1].upper()] if named else []
    return tuple(dict.fromkeys(rows))


def collect(folder: Path) -> Iterator[Shown]:
    """The tests below a folder that are named by rows, of the matrix or not."""
    for path in sorted(folder.rglob("test_*.py")):
        if "node_modules" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.FunctionDef)
                and node.name.startswith("test_")
                and (rows := rows_of(node))
            ):
                yield Shown(path.relative_to(ROOT).as_posix(), node.name, rows)


def shown_by_row() -> dict[str, list[Shown]]:
    """Every row of the matrix, with the tests of the whole suite that show it."""
    found: dict[str, list[Shown]] = {row: [] for row in MATRIX}
    for shown in sorted(collect(ROOT / "tests")):
        for row in shown.rows:
            if row in found:
                found[row].append(shown)
    return found


def render() -> str:
    """The document as the tests stand."""
    by_row = shown_by_row()
    parts = [_HEAD]
    for letter, title in SECTIONS.items():
        parts.append(f"\n## {title}\n\n| row | stimulus | expected | shown by |\n|---|---|---|---|\n")
        for row, (stimulus, expected) in MATRIX.items():
            if row.startswith(letter):
                parts.append(f"| {row} | {stimulus} | {expected} | {_links(by_row[row])} |\n")
    return "".join(parts)


def _links(tests: list[Shown]) -> str:
    by_path: dict[str, list[str]] = {}
    for test in tests:
        by_path.setdefault(test.path, []).append(f"`{test.name}`")
    linked = (f"[{Path(path).name}](../{path}): {', '.join(names)}" for path, names in by_path.items())
    return "<br>".join(linked) or "**nothing yet**"


def main() -> None:
    DOCUMENT.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
