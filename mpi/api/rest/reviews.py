"""Clerical review: the queue, one question and what it takes to answer it, the answer."""

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from mpi.api.dependencies import After, LanguageQuery, Limit, MayDecide, MayReadReviews, RowId, Session
from mpi.api.instants import AsOf
from mpi.api.problems import incompatible
from mpi.api.rest import views
from mpi.api.rest.bodies import ReviewOut, TaskOut, TasksOut, VerdictIn
from mpi.api.rest.conflicts import only_seen
from mpi.api.rest.paging import next_of
from mpi.api.rest.preconditions import IfMatch, check_unchanged, etag
from mpi.errors import StaleReview, UnknownReview
from mpi.index.review import LIVE_STATES, Task, TaskKind, TaskState
from mpi.security.policy import Action, check_may

router = APIRouter(tags=["reviews"])

Order = Annotated[
    Literal["id", "priority"], Query(description="`priority`: what matters most first; by id otherwise.")
]
AfterPriority = Annotated[
    int | None,
    Query(ge=0, le=2**31, description="With `order=priority` and `after`: `next_priority` of the last page."),
]


@router.get("/reviews")
def reviews(
    session: MayReadReviews,
    state: Annotated[list[TaskState] | None, Query(description="States; the live ones by default.")] = None,
    kind: Annotated[TaskKind | None, Query(description="Only this kind.")] = None,
    order: Order = "id",
    after: After = 0,
    after_priority: AfterPriority = None,
    limit: Limit = 50,
    as_of: AsOf = None,
) -> TasksOut:
    """
    Review tasks by ascending id, as they are or as they were, or what matters most first.

    Who sees some domains has a queue of their own: what an index that holds nothing else would ask. 503 while
    it is being made, once.
    """
    states = frozenset(state) if state else LIVE_STATES
    if order == "priority" and as_of is not None:
        raise incompatible("order", "by priority, the queue is read as it is now: without as_of")

    sight = session.sight
    if order == "priority":
        start = _place(session, after, after_priority)
        rows = session.registry.urgent_tasks(states=states, kind=kind, after=start, limit=limit, sight=sight)
    else:
        rows = session.registry.tasks(
            states=states, kind=kind, after=after, limit=limit, as_of=as_of, sight=sight
        )
    session.record_read("review.list")
    following = next_of(rows, limit)
    return TasksOut(
        reviews=[views.task(row) for row in rows],
        next=following,
        next_priority=rows[-1].priority if order == "priority" and following is not None else None,
    )


@router.get("/reviews/{task_id}")
def review(
    task_id: RowId, session: MayReadReviews, response: Response, lang: LanguageQuery = "fr"
) -> ReviewOut:
    """
    A task with its two records side by side, the evidence, and the version a verdict must name (also its ETag).

    A protected identity shows no traits, and then there is no evidence either.
    """
    _task(session, task_id)
    view = session.registry.review(task_id, actor=session.caller.actor)
    with session.store.read() as uow:
        versions = uow.reviews.history((task_id,))
    response.headers["ETag"] = etag(view.task.version)
    return views.review(session, view, versions, lang)


@router.post("/reviews/{task_id}/claim")
def claim(task_id: RowId, session: MayDecide, response: Response, if_match: IfMatch = None) -> TaskOut:
    """
    Take a task, so that nobody else works on it: for half an hour, or until it is decided or given back.

    409 when somebody else has it, or when it is no longer live.
    """
    check_unchanged(if_match, _task(session, task_id).version)
    return _changed(response, session.registry.claim(task_id, reviewer=session.caller.name))


@router.post("/reviews/{task_id}/release")
def release(task_id: RowId, session: MayDecide, response: Response, if_match: IfMatch = None) -> TaskOut:
    """Give a task back. 409 when somebody else has it, or when it is no longer live."""
    check_unchanged(if_match, _task(session, task_id).version)
    return _changed(response, session.registry.release(task_id, reviewer=session.caller.name))


@router.post("/reviews/{task_id}/verdict")
def verdict(
    task_id: RowId, body: VerdictIn, session: MayDecide, response: Response, if_match: IfMatch = None
) -> TaskOut:
    """
    Record a verdict. What it says becomes facts that outlive every re-scoring.

    Where two people have to agree, the task becomes `proposed`; the same verdict by another person, a
    lead, confirms it, and another verdict takes its place.

    409 when the task changed since it was read, when somebody else has claimed it, when the verdict is
    no answer to its question (the problem names those that are), or when it contradicts standing facts.
    """
    task = _task(session, task_id)
    check_unchanged(if_match, task.version)
    if task.version != body.version:
        raise StaleReview(f"review {task_id} is at version {task.version}, not {body.version}")
    if task.state is TaskState.PROPOSED and task.verdict is body.verdict:
        check_may(session.caller, Action.CONFIRM)
    with only_seen(session):
        decided = session.registry.decide(
            task_id,
            body.verdict,
            reviewer=session.caller.name,
            version=body.version,
            reason=body.reason,
        )
    return _changed(response, decided)


def _changed(response: Response, task: Task) -> TaskOut:
    """A task after a change, with its new tag."""
    response.headers["ETag"] = etag(task.version)
    return views.task(task)


def _task(session: Session, task_id: int) -> Task:
    """
    A task of the caller's own queue.

    Raises:
        UnknownReview: it is of another, or there is none: the same answer for both.
    """
    sight = session.sight
    with session.store.read() as uow:
        task = uow.reviews.get(task_id)
    if task is None or task.sight != sight:
        raise UnknownReview(f"review {task_id}: no such task")
    return task


def _place(session: Session, after: int, priority: int | None) -> Task | None:
    """Where a page of the queue begins: after this task, at the priority it had when it was listed."""
    if not after:
        return None
    last = _task(session, after)
    return last if priority is None else replace(last, priority=priority)
