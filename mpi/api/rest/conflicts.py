"""What a conflict may tell: the facts that stand in the way, as far as the caller may see them."""

from collections.abc import Iterator
from contextlib import contextmanager

from mpi.api.dependencies import Session
from mpi.errors import LinkConflict


@contextmanager
def only_seen(session: Session) -> Iterator[None]:
    """
    Take out of a conflict the facts about records the caller may not see.

    Raises:
        LinkConflict: again, and in general words when a fact was taken out.
    """
    try:
        yield
    except LinkConflict as error:
        if session.sees_everything or not error.facts:
            raise
        with session.store.read() as uow:
            facts = [fact for fact_id in error.facts if (fact := uow.facts.get(fact_id)) is not None]
        seen = [fact.id for fact in facts if session.sees_fact(fact)]
        if len(seen) == len(error.facts):
            raise
        raise LinkConflict("assertions that stand are in the way", seen) from None
