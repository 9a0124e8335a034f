"""Pages of what a caller may see: the policy applies before a page is counted."""

from collections.abc import Callable
from typing import TypeVar

from mpi.api.dependencies import Session
from mpi.index.events import Fact
from mpi.index.reporting import CorrectionView
from mpi.index.reports import Report
from mpi.index.review import Task

_PAGE = 200
_Row = TypeVar("_Row", Task, Fact, Report, CorrectionView)
_Place = TypeVar("_Place")


def visible_rows(
    page: Callable[[_Place, int], list[_Row]],
    keep: Callable[[list[_Row]], list[_Row]],
    place_of: Callable[[_Row], _Place],
    *,
    session: Session,
    after: _Place,
    limit: int,
) -> list[_Row]:
    """
    A full page of what the caller may see.

    Args:
        page: the rows after a place, at most so many.
        place_of: the place of a row in the order of the pages.
    """
    if session.sees_everything:
        return page(after, limit)
    kept: list[_Row] = []
    while len(kept) < limit and (rows := page(after, _PAGE)):
        kept += keep(rows)
        after = place_of(rows[-1])
    return kept[:limit]


def next_of(rows: list[_Row], limit: int) -> int | None:
    """Where the next page begins; None when this is the last."""
    return rows[-1].id if len(rows) == limit else None
