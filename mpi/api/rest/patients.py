"""Who is who across domains: identifiers, enterprise records, why and since when."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, AwareDatetime
from pydantic_core import PydanticCustomError

from mpi.api.dependencies import LanguageQuery, MayCrossReference, MayReadPatient, Session
from mpi.api.problems import IMPOSSIBLE_INSTANT
from mpi.api.rest import views
from mpi.api.rest.bodies import (
    ExplanationOut,
    HistoryOut,
    IdentifierOut,
    IdentifiersOut,
    MembershipOut,
    PatientOut,
)
from mpi.identity.model import RecordKey
from mpi.index.answers import EnterpriseRecord

router = APIRouter(tags=["patients"])

Euid = Annotated[str, Path(max_length=64, description="Enterprise identifier, current or retired.")]
_YEARS = range(1900, 2201)


def _instant(stated: datetime) -> datetime:
    """The instant in UTC, where it may fall outside what a date can be."""
    with suppress(OverflowError):
        instant = stated.astimezone(UTC)
        if instant.year in _YEARS:
            return instant
    raise PydanticCustomError(IMPOSSIBLE_INSTANT, "the year must be from 1900 to 2200, in UTC")


AsOf = Annotated[
    Annotated[AwareDatetime, AfterValidator(_instant)] | None,
    Query(description="Instant (ISO 8601 with its offset, 1900 to 2200) to answer for; now by default."),
]


@router.get("/identifiers")
def identifiers(
    session: MayCrossReference,
    domain: Annotated[str, Query(max_length=256, description="Namespace or OID of the identifier's domain.")],
    id: Annotated[str, Query(min_length=1, max_length=256, description="The identifier.")],
    target: Annotated[
        list[str] | None, Query(max_length=100, description="Domains wanted; all by default.")
    ] = None,
    as_of: AsOf = None,
) -> IdentifiersOut:
    """The other identifiers of the person an identifier is about (as PIX answers)."""
    source = session.domain(domain, place="domain")
    targets = frozenset(session.domain(name, place="target").key for name in target) if target else None
    key = RecordKey(source.key, id)
    found = session.registry.cross_reference(
        key, targets=targets, visible=session.visible, actor=session.caller.actor, as_of=as_of
    )
    return IdentifiersOut(
        asked=IdentifierOut(domain=source.authority.namespace, id=id),
        euid=session.registry.euid_of(key, as_of=as_of) if session.sees_euids else None,
        identifiers=[views.identifier(item) for item in found],
    )


@router.get("/patients/{euid}")
def patient(euid: Euid, session: MayReadPatient, as_of: AsOf = None) -> PatientOut:
    """A person across domains: members, and the golden record with where each field comes from."""
    found = session.registry.enterprise_record(
        euid, visible=session.visible, actor=session.caller.actor, as_of=as_of
    )
    return PatientOut(
        asked=found.asked,
        euid=found.euid,
        retired=found.asked != found.euid,
        members=[views.member(item) for item in found.members],
        golden=views.golden(session, found.golden),
    )


@router.get("/patients/{euid}/explain")
def explain_patient(euid: Euid, session: MayReadPatient, lang: LanguageQuery = "fr") -> ExplanationOut:
    """Why the members are together: the evidence of each link in words and bits, or who asserted it."""
    found = _record(session, euid)
    return ExplanationOut(
        asked=found.asked, euid=found.euid, links=[views.link(session, item, lang) for item in found.links]
    )


@router.get("/patients/{euid}/history")
def patient_history(euid: Euid, session: MayReadPatient) -> HistoryOut:
    """Every membership the person's records ever had, oldest first."""
    found = _record(session, euid)
    return HistoryOut(
        asked=found.asked,
        euid=found.euid,
        memberships=[
            MembershipOut(
                domain=session.namespace(key.domain),
                id=key.value,
                euid=item.euid,
                valid_from=item.valid_from,
                valid_to=item.valid_to,
            )
            for key, item in found.history
        ],
    )


def _record(session: Session, euid: str) -> EnterpriseRecord:
    return session.registry.enterprise_record(euid, visible=session.visible, actor=session.caller.actor)
