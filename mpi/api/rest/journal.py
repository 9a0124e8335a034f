"""The journal of received messages: what became of each, never what it said."""

from typing import Annotated

from fastapi import APIRouter, Query

from mpi.api.dependencies import After, Limit, MayReadMessages
from mpi.api.rest.bodies import CountsOut, MessageOut, MessagesOut
from mpi.index.events import MessageState
from mpi.index.ports import StoredMessage
from mpi.security.policy import visible_sources

router = APIRouter(tags=["messages"])

_PAGE = 200


@router.get("/messages")
def messages(
    session: MayReadMessages,
    state: Annotated[MessageState | None, Query(description="Only this state.")] = None,
    source: Annotated[str | None, Query(max_length=256, description="Only this source.")] = None,
    after: After = 0,
    limit: Limit = 50,
) -> MessagesOut:
    """Received messages by ascending id, without their content."""
    seen = visible_sources(session.caller, session.directory)
    rows: list[StoredMessage] = []
    while len(rows) < limit:
        size = limit - len(rows) if seen is None else _PAGE
        page = session.registry.messages(state=state, source=source, after=after, limit=size)
        rows += [row for row in page if seen is None or row.envelope.source in seen]
        if len(page) < size:
            break
        after = page[-1].id
    rows = rows[:limit]
    session.record_read("message.list")
    return MessagesOut(
        messages=[
            MessageOut(
                id=row.id,
                source=row.envelope.source,
                event=row.envelope.event,
                state=row.state,
                place=row.place,
                problem=row.problem,
                warnings=list(row.warnings),
                received_at=row.received_at,
                replay_of=row.replay_of,
            )
            for row in rows
        ],
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
