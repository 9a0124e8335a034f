"""Facts: what decisions and sources leave, what people add unasked, the second person, and undo."""

from collections.abc import Sequence

from fastapi import APIRouter

from mpi.api.dependencies import (
    After,
    Limit,
    MayConfirm,
    MayDecide,
    MayReadFacts,
    MayWithdrawFact,
    RowId,
    Session,
)
from mpi.api.rest import views
from mpi.api.rest.bodies import ActOut, AssertIn, FactOut, FactsOut, NamedIn, ReasonIn, WithdrawIn
from mpi.api.rest.conflicts import only_seen
from mpi.api.rest.paging import next_of, visible_rows
from mpi.errors import UnknownReview
from mpi.identity.model import RecordKey
from mpi.index.events import Fact
from mpi.index.review import Verdict

router = APIRouter(tags=["facts"])


@router.get("/facts")
def facts(session: MayReadFacts, after: After = 0, limit: Limit = 50) -> FactsOut:
    """Assertions by ascending id, proposed and withdrawn ones included."""

    def page(start: int, size: int) -> list[Fact]:
        return session.registry.facts(after=start, limit=size)

    def keep(rows: list[Fact]) -> list[Fact]:
        return [row for row in rows if session.sees_fact(row)]

    rows = visible_rows(page, keep, lambda fact: fact.id, session=session, after=after, limit=limit)
    session.record_read("fact.list")
    return FactsOut(facts=[views.fact(session, row) for row in rows], next=next_of(rows, limit))


@router.get("/facts/{fact_id}")
def fact(fact_id: RowId, session: MayReadFacts) -> FactOut:
    """One assertion."""
    found = _fact(session, fact_id)
    session.record_read("fact.read")
    return views.fact(session, found)


@router.post("/facts")
def assert_fact(body: AssertIn, session: MayDecide) -> ActOut:
    """
    Say of two identifiers that they are one person's, two people's, or two homonyms'; or that one is wrong.

    A doubted record is joined to another by no weight until that is withdrawn. 409 when it contradicts
    standing facts, which the problem lists.
    """
    left = named(session, body.left, "left")
    with only_seen(session):
        if body.right is None:
            said = session.registry.doubt(left, reviewer=session.caller.name, reason=body.reason)
        else:
            said = session.registry.relate(
                Verdict(body.kind),
                left,
                named(session, body.right, "right"),
                reviewer=session.caller.name,
                reason=body.reason,
            )
    return act(session, said)


@router.post("/facts/{fact_id}/confirm")
def confirm(fact_id: RowId, session: MayConfirm) -> ActOut:
    """
    Agree, as the second person, to what another one proposed: the whole act of which this fact is a part.

    409 when it does not wait for this person, or meanwhile contradicts standing facts.
    """
    _fact(session, fact_id)
    with only_seen(session):
        return act(session, session.registry.confirm(fact_id, reviewer=session.caller.name))


@router.post("/facts/{fact_id}/withdraw")
def withdraw(fact_id: RowId, session: MayWithdrawFact, body: WithdrawIn | None = None) -> FactOut:
    """
    Undo an act: everything is derived again as if it had never been.

    What two people decided takes two to undo: after the first call the fact `waits_for` a withdrawal,
    and the same call by another person makes it.

    409 when later facts rest on it: the problem lists them in `facts`; withdraw them first, or send them
    in `knowing`.
    """
    _fact(session, fact_id)
    knowing = body.knowing if body is not None else []
    with only_seen(session):
        found = session.registry.withdraw(fact_id, actor=f"user:{session.caller.name}", knowing=knowing)
    return views.fact(session, found)


@router.post("/statements/{statement_id}/set-aside")
def set_aside(statement_id: RowId, session: MayDecide, body: ReasonIn | None = None) -> ActOut:
    """
    Take the effect of one statement back, as if its message had never been sent.

    The timeline of a person and the held statements of an overlay name statements.
    """
    with session.store.read() as uow:
        statement = uow.records.statement(statement_id)
    if statement is None or statement.statement.domain not in session.visible:
        raise UnknownReview(f"statement {statement_id}: no such statement")
    reason = body.reason if body is not None else ""
    with only_seen(session):
        said = session.registry.set_aside(statement_id, reviewer=session.caller.name, reason=reason)
    return act(session, said)


def named(session: Session, identifier: NamedIn, place: str) -> RecordKey:
    """The record an identifier of a body names."""
    return session.record_key(identifier.domain, identifier.id, place=place, epoch=identifier.epoch)


def act(session: Session, facts: Sequence[Fact]) -> ActOut:
    """What an act became, as far as the caller may see it."""
    return ActOut(
        facts=[views.fact(session, one) for one in facts if session.sees_fact(one)],
        proposed=not all(one.stands for one in facts),
    )


def _fact(session: Session, fact_id: int) -> Fact:
    """
    A fact the caller may see.

    Raises:
        UnknownReview: it may not, or there is none: the same answer for both.
    """
    with session.store.read() as uow:
        stored = uow.facts.get(fact_id)
    if stored is None or not session.sees_fact(stored):
        raise UnknownReview(f"fact {fact_id}: no such fact")
    return stored
