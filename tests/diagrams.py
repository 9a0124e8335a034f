"""
State tables -> the Mermaid diagrams of docs/identity-semantics.md.

    python -m tests.diagrams

Each diagram stands between two markers that name it; what is between them is replaced. `tests/test_docs.py`
says when the document has fallen behind the code.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from mpi.identity import rniv
from mpi.index import corrections, reports, review

DOCUMENT = Path(__file__).parents[1] / "docs" / "identity-semantics.md"
DIAGRAMS: Mapping[str, Callable[[], str]] = {
    "correction-life-cycle": corrections.life_cycle_diagram,
    "report-life-cycle": reports.life_cycle_diagram,
    "review-life-cycle": review.life_cycle_diagram,
    "rniv-states": rniv.state_diagram,
}


def with_diagrams(text: str) -> str:
    """
    The document with its diagrams as the code draws them today.

    Raises:
        ValueError: the document has no place for a diagram, or several.
    """
    for name, draw in DIAGRAMS.items():
        begin, end = f"<!-- diagram: {name} -->\n", f"<!-- end: {name} -->\n"
        block = f"{begin}```mermaid\n{draw()}```\n{end}"
        text, places = re.subn(
            f"{re.escape(begin)}.*?{re.escape(end)}", lambda _, b=block: b, text, flags=re.S
        )
        if places != 1:
            raise ValueError(f"{DOCUMENT.name}: {places} places for {name}")
    return text


def main() -> None:
    DOCUMENT.write_text(with_diagrams(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
