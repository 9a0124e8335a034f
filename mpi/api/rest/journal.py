"""The journal of received messages: what became of each, and what to do about those that were stopped."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from mpi.api.dependencies import (
    After,
    Language,
    LanguageQuery,
    Limit,
    MayReadContent,
    MayReadMessages,
    MaySettleMessages,
    RowId,
    Session,
)
from mpi.api.rest.bodies import (
    CountsOut,
    DiscardIn,
    MessageOut,
    MessagesOut,
    OutcomeOut,
    RepairIn,
    ReplayedOut,
    ReplayManyIn,
    SettledOut,
    SettleIn,
)
from mpi.errors import UnknownIdentifier
from mpi.index.events import MessageState, Receipt
from mpi.index.ports import StoredMessage
from mpi.index.reasons import reason_of
from mpi.replay import Settled, discard, repair, replay, replay_all, stopped
from mpi.security.policy import visible_sources

router = APIRouter(tags=["messages"])

_PAGE = 200


@router.get("/messages")
def messages(
    session: MayReadMessages,
    state: Annotated[MessageState | None, Query(description="Only this state.")] = None,
    source: Annotated[str | None, Query(max_length=256, description="Only this source.")] = None,
    problem: Annotated[str | None, Query(max_length=1000, description="Only this problem.")] = None,
    lang: LanguageQuery = "fr",
    after: After = 0,
    limit: Limit = 50,
) -> MessagesOut:
    """Received messages by ascending id, without their content."""
    seen = visible_sources(session.caller, session.directory)
    rows: list[StoredMessage] = []
    while len(rows) < limit:
        size = limit - len(rows) if seen is None else _PAGE
        page = session.registry.messages(state=state, source=source, problem=problem, after=after, limit=size)
        rows += [row for row in page if seen is None or row.envelope.source in seen]
        if len(page) < size:
            break
        after = page[-1].id
    rows = rows[:limit]
    session.record_read("message.list")
    return MessagesOut(
        messages=[_shown(row, lang) for row in rows],
        next=rows[-1].id if len(rows) == limit else None,
    )


@router.get("/messages/counts")
def message_counts(session: MayReadMessages) -> CountsOut:
    """How many messages of each source are in each state; the total is what was received."""
    seen = visible_sources(session.caller, session.directory)
    counts = {
        source: {str(state): count for state, count in states.items()}
        for source, states in session.registry.message_counts().items()
        if seen is None or source in seen
    }
    return CountsOut(counts=counts, total=sum(sum(states.values()) for states in counts.values()))


@router.post("/messages/replay")
def replay_many(body: ReplayManyIn, session: MaySettleMessages) -> ReplayedOut:
    """Process the quarantined messages of a source again, oldest first, for instance after a repair."""
    _check_seen(session, body.source)
    ids = stopped(session.registry, source=body.source, problem=body.problem, most=body.limit)
    counts = replay_all(session.registry, ids, actor=session.caller.actor, reason=body.reason)
    return ReplayedOut(messages=len(ids), states={str(state): count for state, count in counts.items()})


@router.get("/messages/{message_id}")
def message(message_id: RowId, session: MayReadMessages, lang: LanguageQuery = "fr") -> MessageOut:
    """One received message, without its content."""
    found = _message(session, message_id)
    session.record_read("message.list")
    return _shown(found, lang)


@router.get("/messages/{message_id}/content", response_class=Response)
def content(message_id: RowId, session: MayReadContent) -> Response:
    """One received message as it was received, less what is never kept. It holds a patient's data."""
    _message(session, message_id)
    found = session.registry.message(message_id, actor=session.caller.actor)
    return Response(found.envelope.raw, media_type="application/octet-stream")


@router.post("/messages/{message_id}/replay")
def replay_one(message_id: RowId, body: SettleIn, session: MaySettleMessages) -> SettledOut:
    """
    Process a quarantined or refused message again, with today's configuration.

    409 when it was applied, repaired or discarded meanwhile.
    """
    _message(session, message_id)
    return _settled(replay(session.registry, message_id, actor=session.caller.actor, reason=body.reason))


@router.post("/messages/{message_id}/repair")
def repair_one(message_id: RowId, body: RepairIn, session: MaySettleMessages) -> SettledOut:
    """
    Process a corrected message in the place of a quarantined or refused one, which stays as it came.

    409 when it was applied, repaired or discarded meanwhile, is not HL7 v2, or has another sender.
    """
    _message(session, message_id)
    return _settled(
        repair(session.registry, message_id, body.message, actor=session.caller.actor, reason=body.reason)
    )


@router.post("/messages/{message_id}/discard")
def discard_one(message_id: RowId, body: DiscardIn, session: MaySettleMessages) -> SettledOut:
    """
    Decide that a quarantined, refused or parked message shall have no effect. It stays in the journal.

    409 when it was applied, repaired or discarded meanwhile.
    """
    _message(session, message_id)
    return _settled(discard(session.registry, message_id, actor=session.caller.actor, reason=body.reason))


def _message(session: Session, message_id: int) -> StoredMessage:
    """
    A message of a source the caller may see.

    Raises:
        UnknownIdentifier: it may not, or there is none: the same answer for both.
    """
    with session.store.read() as uow:
        found = uow.inbox.get(message_id)
    if found is None:
        raise UnknownIdentifier("message", "no such message")
    _check_seen(session, found.envelope.source)
    return found


def _check_seen(session: Session, source: str) -> None:
    seen = visible_sources(session.caller, session.directory)
    if seen is not None and source not in seen:
        raise UnknownIdentifier("message", "no such message")


def _shown(row: StoredMessage, lang: Language) -> MessageOut:
    return MessageOut(
        id=row.id,
        source=row.envelope.source,
        event=row.envelope.event,
        state=row.state,
        place=row.place,
        problem=row.problem,
        reason=reason_of(row.error, lang),
        warnings=list(row.warnings),
        received_at=row.received_at,
        replay_of=row.replay_of,
        repeats=row.repeats,
        settled_at=row.settled_at,
        settled_by=row.settled_by,
        settled_reason=row.settled_reason,
    )


def _settled(settled: Settled) -> SettledOut:
    return SettledOut(
        message=None if settled.receipt is None else _outcome(settled.receipt),
        released=[_outcome(one) for one in settled.released],
    )


def _outcome(receipt: Receipt) -> OutcomeOut:
    return OutcomeOut(
        id=receipt.message_id,
        state=receipt.state,
        place=getattr(receipt.error, "place", ""),
        problem=getattr(receipt.error, "problem", str(receipt.error or "")),
    )
