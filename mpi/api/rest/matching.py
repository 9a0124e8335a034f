"""Resolve a list of identities, and look for one: nothing of either is stored."""

from typing import Any

from fastapi import APIRouter

from mpi.api.dependencies import Language, LanguageQuery, MayMatch, MayResolve, Session
from mpi.api.instants import AsOf
from mpi.api.problems import place_of_validation
from mpi.api.rest import views
from mpi.api.rest.bodies import (
    CandidateOut,
    IdentityIn,
    MatchIn,
    MatchOut,
    NotAnIdentity,
    PlaceOut,
    ResolvedOut,
    ResolveIn,
    ResolveOut,
    TraitsIn,
)
from mpi.errors import InvalidIdentity
from mpi.identity.model import Demographics, RecordKey
from mpi.identity.tabular import demographics_from_mapping, text_of
from mpi.index.answers import Candidate
from mpi.index.resolution import Identity, Resolution
from mpi.matching.decision import Decision

router = APIRouter(tags=["identities"])

_NOBODY = Identity(None, Demographics())
"""Stands where an identity could not be read, so that the others keep their positions."""


@router.post("/resolve")
def resolve(body: ResolveIn, session: MayResolve) -> ResolveOut:
    """
    Group identities with one another and with the index; nothing of them is stored.

    This is what a portal calls to group the exams of several sites under one person.

    An identity that cannot be read is answered `invalid`, with the reason, in its position; the
    others are answered as if it said nothing.
    """
    read = [_identity_or_invalid(session, item, i) for i, item in enumerate(body.identities)]
    answers = session.registry.resolve(
        [_NOBODY if isinstance(item, ResolvedOut) else item[0] for item in read],
        visible=session.visible,
        consumer=session.caller.name,
    )
    return ResolveOut(
        identities=[
            item if isinstance(item, ResolvedOut) else _resolved(session, answer, item[1])
            for answer, item in zip(answers, read, strict=True)
        ]
    )


@router.post("/match")
def match(body: MatchIn, session: MayMatch, lang: LanguageQuery = "fr", as_of: AsOf = None) -> MatchOut:
    """Say whom an identity resembles, how much, and why. A dry run: nothing of it is stored."""
    identity = _demographics(body.identity, "identity")
    if len(body.identity.stated()) < 2:
        raise InvalidIdentity("identity", "at least two traits are needed")
    found = session.registry.find_candidates(
        identity, visible=session.visible, actor=session.caller.actor, limit=body.limit, as_of=as_of
    )
    return MatchOut(candidates=[_candidate(session, candidate, lang) for candidate in found])


def _identity_or_invalid(
    session: Session, item: IdentityIn | NotAnIdentity, position: int
) -> tuple[Identity, bool | None] | ResolvedOut:
    """What `_identity` reads, or the answer for an item that cannot be read."""
    if isinstance(item, NotAnIdentity):
        wrong = place_of_validation(item.errors[0], prefix=("identities", position))
        return _invalid(wrong.place, wrong.problem)
    try:
        return _identity(session, item, f"identities[{position}]")
    except InvalidIdentity as error:
        return _invalid(error.place, error.problem)


def _invalid(place: str, problem: str) -> ResolvedOut:
    return ResolvedOut(
        suid=None,
        euid=None,
        status="invalid",
        probability=None,
        members=[],
        companions=[],
        domain_known=None,
        error=PlaceOut(place=place, problem=problem),
    )


def _identity(session: Session, item: IdentityIn, place: str) -> tuple[Identity, bool | None]:
    """Read one identity, and say whether its domain is known."""
    domain_name = _text(item.domain, f"{place}.domain")
    value = _text(item.id, f"{place}.id") or _text(item.record_id, f"{place}.record_id")
    if value and not domain_name:
        raise InvalidIdentity(f"{place}.domain", "an identifier needs its domain")
    demographics = _demographics(item, place)
    domain = session.find_domain(domain_name) if domain_name else None
    known = domain is not None if domain_name else None
    if not value:
        return Identity(None, demographics), known
    # An identifier of a domain that is not the caller's to see still names its record from one
    # request to the next; it cannot meet one of ours, whose keys are never of this form.
    key = RecordKey(domain.key if domain is not None else f"elsewhere:{domain_name}", value)
    return Identity(key, demographics), known


def _demographics(item: TraitsIn, place: str) -> Demographics:
    try:
        return demographics_from_mapping(item.stated())
    except InvalidIdentity as error:
        raise InvalidIdentity(f"{place}.{error.place}", error.problem) from None


def _text(value: Any, place: str) -> str:
    return text_of(place, value)


def _resolved(session: Session, answer: Resolution, domain_known: bool | None) -> ResolvedOut:
    return ResolvedOut(
        suid=answer.suid,
        euid=answer.euid if session.sees_euids else None,
        status=answer.status,
        probability=answer.probability,
        members=[views.identifier(item) for item in answer.members],
        companions=list(answer.companions),
        doubtful=answer.doubtful,
        domain_known=domain_known,
    )


def _candidate(session: Session, found: Candidate, language: Language) -> CandidateOut:
    return CandidateOut(
        euid=found.euid,
        record=views.record(session, found.record.key),
        grade=_grade(found),
        score=views.score(found.score, language),
    )


def _grade(found: Candidate) -> str:
    """
    How sure a candidate is: `certain` takes one INS on both sides, `probable` is what the index would link.

    Source: FHIR R4 match-grade, as graded for France in the design of this index.
    """
    if found.score.decision is not Decision.LINK:
        return "possible"
    same_ins = any(item.trait == "ins" and item.level.startswith("same") for item in found.score.evidence)
    return "certain" if same_ins else "probable"
