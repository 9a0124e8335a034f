"""Every row of the conformance matrix is shown by a test, and the document says by which."""

import ast

import pytest

from tests.conformance.matrix import MATRIX, SECTIONS
from tests.conformance.rendering import DOCUMENT, ROOT, collect, render, rows_of, shown_by_row


@pytest.mark.parametrize("row", MATRIX)
def test_every_row_is_shown_by_a_test_that_runs(row: str) -> None:
    assert shown_by_row()[row], f"no test is named by {row}"


def test_the_document_is_that_of_the_tests() -> None:
    is_current = DOCUMENT.read_text(encoding="utf-8") == render()

    assert is_current, "run: make conformance"  # without the difference, which takes minutes to print


def test_no_test_is_named_by_a_row_that_does_not_exist() -> None:
    unknown = {
        (test.name, row)
        for test in collect(ROOT / "tests" / "conformance")
        for row in test.rows
        if row not in MATRIX
    }

    assert not unknown


def test_every_row_is_in_a_section_of_the_document() -> None:
    assert {row[0] for row in MATRIX} == SECTIONS.keys()


@pytest.mark.parametrize(
    ("source", "rows"),
    [
        ('def test_a():\n    """[Q03] Unknown."""', ("Q03",)),
        ('def test_a():\n    """[F05, F06] Merged."""', ("F05", "F06")),
        ('def test_a():\n    """[F05][A01] Merged."""', ("F05", "A01")),
        ("def test_q03_unknown(): pass", ("Q03",)),
        ('def test_q03_unknown():\n    """[Q04] The docstring wins."""', ("Q04",)),
        ('def test_a():\n    """Not at its beginning: [Q03]."""', ()),
        ("@pytest.mark.skip\ndef test_q03_unknown(): pass", ()),
        ('@pytest.mark.skipif(True, reason="")\ndef test_q03_unknown(): pass', ()),
        ("@pytest.mark.xfail\ndef test_q03_unknown(): pass", ()),
    ],
)
def test_a_test_shows_the_rows_it_is_named_by_when_it_runs(source: str, rows: tuple[str, ...]) -> None:
    (function,) = ast.parse(source).body

    assert isinstance(function, ast.FunctionDef)
    assert rows_of(function) == rows
