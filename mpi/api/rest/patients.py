"""Who is who across domains: identifiers, enterprise records, why and since when; what people change of it."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query

from mpi.api.dependencies import (
    LanguageQuery,
    MayCrossReference,
    MayErase,
    MayReadPatient,
    MayReadTimeline,
    MayReadTold,
    MaySplit,
    Session,
)
from mpi.api.instants import AsOf, On
from mpi.api.rest import views
from mpi.api.rest.bodies import (
    ActOut,
    ErasedOut,
    EraseIn,
    ExplanationOut,
    HistoryOut,
    IdentifierOut,
    IdentifiersOut,
    MemberOut,
    MembershipOut,
    NotificationOut,
    PatientOut,
    SplitIn,
    TimelineOut,
    ToldOut,
)
from mpi.api.rest.conflicts import only_seen
from mpi.api.rest.facts import act, named
from mpi.errors import LinkConflict, UnknownIdentifier
from mpi.identity.model import RecordKey
from mpi.identity.traits import Traits
from mpi.index.answers import EnterpriseRecord
from mpi.index.events import FactKind
from mpi.index.past import record_then
from mpi.index.ports import Membership, UnitOfWork

router = APIRouter(tags=["patients"])

Euid = Annotated[str, Path(max_length=64, description="Enterprise identifier, current or retired.")]
DomainName = Annotated[str, Query(max_length=256, description="Namespace or OID of the identifier's domain.")]
Identifier = Annotated[str, Query(min_length=1, max_length=256, description="The identifier.")]


@router.get("/identifiers")
def identifiers(
    session: MayCrossReference,
    domain: DomainName,
    id: Identifier,
    target: Annotated[
        list[str] | None, Query(max_length=100, description="Domains wanted; all by default.")
    ] = None,
    as_of: AsOf = None,
) -> IdentifiersOut:
    """
    The other identifiers of the person an identifier is about (as PIX answers).

    An identifier that its site gave to another person answers for the present one.
    """
    source = session.domain(domain, place="domain")
    targets = frozenset(session.domain(name, place="target").key for name in target) if target else None
    key = RecordKey(source.key, id)
    found = session.registry.cross_reference(
        key, targets=targets, visible=session.visible, actor=session.caller.actor, as_of=as_of
    )
    return IdentifiersOut(
        asked=IdentifierOut(domain=source.authority.namespace, id=id),
        euid=found.person if session.sees_euids else None,
        identifiers=[views.identifier(item) for item in found.identifiers],
        doubtful=found.doubtful,
    )


@router.post("/patients/erase")
def erase_patient(body: EraseIn, session: MayErase) -> ErasedOut:
    """
    Destroy what is known under an identifier, and the messages that said it. It cannot be undone.

    Should the site use the identifier again, it names another person: a new epoch of it begins.
    """
    domain = session.domain(body.domain, place="domain")
    key = RecordKey(domain.key, body.id)
    return ErasedOut(euid=session.registry.erase(key, reviewer=session.caller.name, reason=body.reason))


@router.get("/patients/{euid}")
def patient(euid: Euid, session: MayReadPatient, as_of: AsOf = None) -> PatientOut:
    """A person across domains: members, and the golden record with where each field comes from."""
    return shown(session, _record(session, euid, as_of), as_of)


@router.get("/patients/{euid}/explain")
def explain_patient(
    euid: Euid, session: MayReadPatient, lang: LanguageQuery = "fr", as_of: AsOf = None
) -> ExplanationOut:
    """
    Why the members are together: the evidence of each link in words and bits, or who asserted it.

    Of the past, the members and the assertions are those of the instant; scores are kept only as they are today.
    """
    found = _record(session, euid, as_of)
    return ExplanationOut(
        asked=found.asked, euid=found.euid, links=[views.link(session, item, lang) for item in found.links]
    )


@router.get("/patients/{euid}/history")
def patient_history(euid: Euid, session: MayReadPatient, as_of: AsOf = None) -> HistoryOut:
    """Every membership the person's records ever had, oldest first."""
    return history(session, _record(session, euid, as_of), as_of)


@router.get("/patients/{euid}/timeline")
def patient_timeline(euid: Euid, session: MayReadTimeline, as_of: AsOf = None) -> TimelineOut:
    """
    What happened to the person's records and why, oldest first: statements, assertions, links, questions.

    What is also about records that are not the caller's to see is left out.
    """
    found = session.registry.timeline(
        euid, visible=session.visible, actor=session.caller.actor, sight=session.sight
    )
    return TimelineOut(
        asked=euid,
        happenings=[views.happening(session, item) for item in found if as_of is None or item.at <= as_of],
    )


@router.post("/patients/{euid}/split")
def split_patient(euid: Euid, body: SplitIn, session: MaySplit) -> ActOut:
    """
    Take members out of an enterprise record, or move them to the one of another identifier: one act.

    The members are told apart from those that stay, so that no weight brings them back. 409 when nothing
    would stay, or when it contradicts standing facts, which the problem lists.
    """
    leaving = {
        named(session, identifier, f"members[{i}]"): f"members[{i}]"
        for i, identifier in enumerate(body.members)
    }
    to = named(session, body.to, "to") if body.to is not None else None
    seen = {member.record.key for member in _record(session, euid, None).members}
    for key, place in leaving.items():
        if key not in seen:
            raise UnknownIdentifier(place, "not a member of this enterprise record")
    if seen <= set(leaving):  # whether others stay, whom the caller may not see, is not for it to know
        raise LinkConflict("nothing would stay in the enterprise record")
    with only_seen(session):
        return act(
            session,
            session.registry.split(list(leaving), reviewer=session.caller.name, to=to, reason=body.reason),
        )


@router.get("/told")
def told(
    session: MayReadTold,
    consumer: Annotated[str, Query(min_length=1, max_length=256, description="Name of the consumer.")],
    domain: DomainName,
    id: Identifier,
    on: On,
) -> ToldOut:
    """
    What a consumer would have been answered about an identifier, and the notifications queued for it by then.

    Identities that are protected today answer as they did then.
    """
    source = session.domain(domain, place="domain")
    return told_of(session, consumer, RecordKey(source.key, id), on, actor=session.caller.actor)


def shown(session: Session, found: EnterpriseRecord, as_of: datetime | None) -> PatientOut:
    """An enterprise record as answers show it."""
    return PatientOut(
        asked=found.asked,
        euid=found.euid,
        retired=found.asked != found.euid,
        retired_since=_retired_since(found),
        members=_members(session, found, as_of),
        golden=views.golden(session, found.golden),
    )


def history(session: Session, found: EnterpriseRecord, as_of: datetime | None) -> HistoryOut:
    """The memberships of an enterprise record's records, up to an instant."""
    return HistoryOut(
        asked=found.asked,
        euid=found.euid,
        memberships=[
            _membership(session, key, item, as_of)
            for key, item in found.history
            if as_of is None or item.valid_from <= as_of
        ],
    )


def told_of(session: Session, consumer: str, key: RecordKey, on: datetime, *, actor: str) -> ToldOut:
    """What a consumer was told of an identifier; one who sees more than the caller does not exist for it."""
    parties = session.directory.consumers
    known = {one.name for one in parties if session.may_know_what_is_told(one.domains)}
    found = session.registry.told(consumer if consumer in known else "", key, on=on, actor=actor)
    return ToldOut(
        consumer=consumer,
        asked=IdentifierOut(domain=session.namespace(key.domain), id=key.value),
        on=on,
        identifiers=[
            views.identifier(item)
            for item in found.identifiers
            if session.find_domain(item.authority.namespace) is not None
        ],
        notified=[
            NotificationOut(id=row.id, kind=row.kind, queued_at=row.created_at) for row in found.notified
        ],
    )


def _record(session: Session, euid: str, as_of: datetime | None) -> EnterpriseRecord:
    return session.registry.enterprise_record(
        euid, visible=session.visible, actor=session.caller.actor, as_of=as_of
    )


def _members(session: Session, found: EnterpriseRecord, as_of: datetime | None) -> list[MemberOut]:
    """The members as they are, or as they were."""
    changes_person = session.registry.intake.changes_person
    out = []
    with session.store.read() as uow:
        doubted = _doubted(uow, {member.record.key for member in found.members}, as_of)
        for member in found.members:
            known = member.record
            if as_of is not None:
                nothing = replace(known, traits=Traits(), held_since=None)
                known = record_then(uow, known, as_of, changes_person) or nothing
            out.append(views.member(member, known, doubted=known.key in doubted))
    return out


def _doubted(uow: UnitOfWork, keys: set[RecordKey], as_of: datetime | None) -> set[RecordKey]:
    """The records of which a person says, or said at that instant, that they are wrong."""
    facts = uow.facts.standing(keys) if as_of is None else uow.facts.ever(keys)
    return {
        fact.left
        for fact in facts
        if fact.kind is FactKind.DOUBTED and (fact.stands if as_of is None else fact.stood(as_of))
    }


def _retired_since(found: EnterpriseRecord) -> datetime | None:
    """When the enterprise identifier that was asked for ceased: its own record left it then."""
    own = {member.record.key for member in found.members if member.record.native_euid == found.asked}
    ends = [item.valid_to for key, item in found.history if key in own and item.euid == found.asked]
    if found.asked == found.euid or not ends:
        return None
    return ends[-1]


def _membership(session: Session, key: RecordKey, item: Membership, as_of: datetime | None) -> MembershipOut:
    ended = item.valid_to is not None and (as_of is None or item.valid_to <= as_of)
    return MembershipOut(
        domain=session.namespace(key.domain),
        id=key.value,
        epoch=key.epoch,
        euid=item.euid,
        valid_from=item.valid_from,
        valid_to=item.valid_to if ended else None,
        cause=item.cause,
    )
