"""Clerical review, and the facts that decisions and sources leave."""

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query

from mpi.api.dependencies import (
    After,
    LanguageQuery,
    Limit,
    MayDecide,
    MayReadFacts,
    MayReadReviews,
    MayWithdrawFact,
    RowId,
    Session,
)
from mpi.api.rest import views
from mpi.api.rest.bodies import FactOut, FactsOut, ReviewOut, TaskOut, TasksOut, VerdictIn
from mpi.errors import UnknownReview
from mpi.index.events import Fact
from mpi.index.review import LIVE_STATES, Task, TaskKind, TaskState
from mpi.matching.explain import sentence_of_counterfactual

router = APIRouter(tags=["reviews"])

_PAGE = 200
_Row = TypeVar("_Row", Task, Fact)


@router.get("/reviews")
def reviews(
    session: MayReadReviews,
    state: Annotated[list[TaskState] | None, Query(description="States; the live ones by default.")] = None,
    kind: Annotated[TaskKind | None, Query(description="Only this kind.")] = None,
    after: After = 0,
    limit: Limit = 50,
) -> TasksOut:
    """Review tasks by ascending id."""
    states = frozenset(state) if state else LIVE_STATES

    def page(start: int, size: int) -> list[Task]:
        return session.registry.tasks(states=states, kind=kind, after=start, limit=size)

    rows = _visible_rows(page, lambda tasks: _visible_tasks(session, tasks), session, after, limit)
    session.record_read("review.list")
    return TasksOut(reviews=[views.task(row) for row in rows], next=_next(rows, limit))


@router.get("/reviews/{task_id}")
def review(task_id: RowId, session: MayReadReviews, lang: LanguageQuery = "fr") -> ReviewOut:
    """
    A task with its two records side by side, the evidence, and the version a verdict must name.

    A protected identity shows no traits, and then there is no evidence either.
    """
    _check_task(session, task_id)
    view = session.registry.review(task_id, actor=session.caller.actor)
    left, right = views.side(session, view.left), views.side(session, view.right)
    hides = left.protected or right.protected
    return ReviewOut(
        **views.task_fields(view.task),
        left=left,
        right=right,
        score=views.score(view.score, lang, with_evidence=not hides),
        would_change=[]
        if hides
        else [sentence_of_counterfactual(found, lang) for found in view.would_change],
    )


@router.post("/reviews/{task_id}/verdict")
def verdict(task_id: RowId, body: VerdictIn, session: MayDecide) -> TaskOut:
    """
    Record a verdict. Same and different become facts that outlive every re-scoring.

    409 when the task changed since it was read, or when the verdict contradicts a standing fact.
    """
    _check_task(session, task_id)
    decided = session.registry.decide(
        task_id,
        body.verdict,
        reviewer=session.caller.name,
        version=body.version,
        reason=body.reason,
    )
    return views.task(decided)


@router.get("/facts")
def facts(session: MayReadFacts, after: After = 0, limit: Limit = 50) -> FactsOut:
    """Assertions by ascending id, withdrawn ones included."""

    def page(start: int, size: int) -> list[Fact]:
        return session.registry.facts(after=start, limit=size)

    def keep(rows: list[Fact]) -> list[Fact]:
        return [row for row in rows if _sees_fact(session, row)]

    rows = _visible_rows(page, keep, session, after, limit)
    session.record_read("fact.list")
    return FactsOut(facts=[views.fact(session, row) for row in rows], next=_next(rows, limit))


@router.post("/facts/{fact_id}/withdraw")
def withdraw(fact_id: RowId, session: MayWithdrawFact) -> FactOut:
    """Undo an assertion: everything is derived again as if it had never stood."""
    with session.store.read() as uow:
        stored = uow.facts.get(fact_id)
    if stored is None or not _sees_fact(session, stored):
        raise UnknownReview(f"fact {fact_id}: no such fact")
    return views.fact(session, session.registry.withdraw(fact_id, actor=session.caller.actor))


def _visible_rows(
    page: Callable[[int, int], list[_Row]],
    keep: Callable[[list[_Row]], list[_Row]],
    session: Session,
    after: int,
    limit: int,
) -> list[_Row]:
    """A full page of what the caller may see: the policy applies before the page is counted."""
    if session.sees_everything:
        return page(after, limit)
    kept: list[_Row] = []
    while len(kept) < limit and (rows := page(after, _PAGE)):
        kept += keep(rows)
        after = rows[-1].id
    return kept[:limit]


def _visible_tasks(session: Session, tasks: list[Task]) -> list[Task]:
    """Tasks of which both records are in domains the caller sees."""
    with session.store.read() as uow:
        records = uow.records.by_ids({i for task in tasks for i in (task.key.left_id, task.key.right_id)})
    seen = {record.id for record in records.values() if record.key.domain in session.visible}
    return [task for task in tasks if {task.key.left_id, task.key.right_id} <= seen]


def _check_task(session: Session, task_id: int) -> None:
    """A task the caller may not see is answered exactly as one that does not exist."""
    if session.sees_everything:
        return
    with session.store.read() as uow:
        task = uow.reviews.get(task_id)
    if task is None or not _visible_tasks(session, [task]):
        raise UnknownReview(f"review {task_id}: no such task")


def _sees_fact(session: Session, fact: Fact) -> bool:
    return {fact.left.domain, fact.right.domain} <= session.visible


def _next(rows: list[_Row], limit: int) -> int | None:
    return rows[-1].id if len(rows) == limit else None
