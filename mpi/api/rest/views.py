"""Domain values -> REST bodies."""

from collections.abc import Mapping, Sequence
from typing import Any

from mpi.api.dependencies import Language, Session
from mpi.api.rest.bodies import (
    AssertionOut,
    ClaimOut,
    EvidenceOut,
    FactOut,
    GoldenOut,
    HappeningOut,
    HeldOut,
    IdentifierOut,
    LinkOut,
    MemberOut,
    ReviewOut,
    ScoreOut,
    SideOut,
    TaskOut,
    TaskVersionOut,
)
from mpi.identity.ins import NEVER_ANSWERED
from mpi.identity.model import PatientIdentifier, PersonName, RecordKey
from mpi.identity.tabular import traits_to_mapping
from mpi.identity.traits import normalise
from mpi.index.answers import LinkView, MemberView
from mpi.index.epochs import Held
from mpi.index.events import Fact, FactKind
from mpi.index.golden import GoldenField
from mpi.index.ports import StoredRecord
from mpi.index.registry import ReviewView
from mpi.index.review import ANSWERS, CLAIM_LASTS, LIVE_STATES, Task
from mpi.index.timeline import Happening
from mpi.matching.explain import explain, sentence_of_counterfactual
from mpi.matching.online import ScoredPair
from mpi.security.policy import Action

_ASSERTIONS: Mapping[FactKind, tuple[str, str]] = {
    FactKind.SAME: ("une personne a décidé : même patient", "a person decided: same patient"),
    FactKind.DIFFERENT: (
        "une personne a décidé : patients différents",
        "a person decided: different patients",
    ),
    FactKind.MERGED: (
        "la source a fusionné ses deux identifiants",
        "the source merged its two identifiers",
    ),
    FactKind.RENAMED: (
        "la source a donné un autre identifiant à ce dossier",
        "the source gave this record another identifier",
    ),
    FactKind.SOURCE_LINKED: (
        "la source a donné ces identifiants pour une seule personne",
        "the source stated these identifiers for one person",
    ),
}
_NAME_PARTS = {"birth_name": ("birth_name", "given_names"), "used_name": ("used_name", "used_given_name")}


def identifier(stated: PatientIdentifier) -> IdentifierOut:
    """An identifier whose authority is complete."""
    return IdentifierOut(domain=stated.authority.namespace, id=stated.value)


def record(session: Session, key: RecordKey) -> IdentifierOut:
    """A record by its key."""
    return IdentifierOut(domain=session.namespace(key.domain), id=key.value, epoch=key.epoch)


def member(view: MemberView, known: StoredRecord, *, doubted: bool) -> MemberOut:
    """
    One member of an enterprise record.

    Args:
        known: its record, as it was at the instant that was asked for.
    """
    traits = known.traits
    return MemberOut(
        domain=view.identifier.authority.namespace,
        id=view.identifier.value,
        epoch=view.record.key.epoch,
        subsumed=view.retired,
        retired=view.retired,
        held=known.held_since is not None,
        doubted=doubted,
        doubtful=view.doubtful,
        status=traits.status,
        attributes=sorted(traits.attributes),
    )


def golden(session: Session, fields: Mapping[str, GoldenField]) -> dict[str, GoldenOut]:
    """The golden record under the tabular names where there are such."""
    out: dict[str, GoldenOut] = {}
    for name, survivor in fields.items():
        for part, value in _parts(name, survivor.value).items():
            out[part] = GoldenOut(value=value, source=record(session, survivor.source), since=survivor.since)
    return out


def _parts(name: str, value: Any) -> dict[str, Any]:
    if isinstance(value, PersonName):
        family, given = _NAME_PARTS.get(name, (name, f"{name}_given"))
        listed = value.given_list or value.given
        parts = {family: value.family, given: value.given if name == "used_name" else listed}
        return {part: text for part, text in parts.items() if text}
    if isinstance(value, tuple):
        return {name: list(value)}
    return {name: value if isinstance(value, bool | int) else str(value)}


def score(pair: ScoredPair, language: Language, *, with_evidence: bool = True) -> ScoreOut:
    """A scored pair, in figures and in words; without evidence, only what all of it comes to."""
    evidence = pair.evidence if with_evidence else ()
    return ScoreOut(
        weight_bits=pair.weight_bits,
        probability=pair.probability,
        decision=str(pair.decision),
        guards=list(pair.guards),
        evidence=[EvidenceOut(trait=e.trait, level=e.level, bits=e.bits) for e in evidence],
        sentences=explain(pair, language) if with_evidence else [],
    )


def link(session: Session, view: LinkView, language: Language) -> LinkOut:
    """Why two members are together."""
    return LinkOut(
        left=record(session, view.left),
        right=record(session, view.right),
        score=score(view.score, language) if view.score is not None else None,
        assertion=_assertion(session, view.fact, language) if view.fact is not None else None,
    )


def _assertion(session: Session, stated: Fact, language: Language) -> AssertionOut:
    return AssertionOut(
        fact_id=stated.id if session.may(Action.READ_FACTS) else None,
        kind=stated.kind,
        actor=stated.actor,
        at=stated.event_time,
        reason=stated.reason,
        sentence=_ASSERTIONS[stated.kind][1 if language == "en" else 0],
    )


def fact(session: Session, stated: Fact) -> FactOut:
    """An assertion."""
    return FactOut(
        id=stated.id,
        kind=stated.kind,
        left=record(session, stated.left),
        right=record(session, stated.right),
        actor=stated.actor,
        event_time=stated.event_time,
        recorded_at=stated.recorded_at,
        reason=stated.reason,
        message_id=stated.message_id,
        statement_id=stated.statement_id,
        act_id=stated.act_id or stated.id,
        stands=stated.stands,
        waits_for=_waits_for(stated),
        confirmed_at=stated.confirmed_at,
        confirmed_by=stated.confirmed_by,
        withdrawal_asked_by=stated.withdrawal_asked_by,
        withdrawn_at=stated.withdrawn_at,
        withdrawn_by=stated.withdrawn_by,
    )


def _waits_for(stated: Fact) -> str | None:
    if stated.withdrawn_at is not None:
        return None
    if not stated.stands:
        return "confirmation"
    return "withdrawal" if stated.withdrawal_asked_by else None


def task(stored: Task) -> TaskOut:
    """A review task."""
    return TaskOut(**task_fields(stored))


def task_fields(stored: Task) -> dict[str, Any]:
    """What every view of a task holds."""
    claim = None
    if stored.claimed_by and stored.claimed_at is not None:
        claim = ClaimOut(by=stored.claimed_by, until=stored.claimed_at + CLAIM_LASTS)
    return {
        "id": stored.id,
        "topic": stored.key.topic,
        "kind": stored.kind,
        "state": stored.state,
        "reason": stored.reason,
        "weight_bits": stored.weight_bits,
        "priority": stored.priority,
        "version": stored.version,
        "opened_at": stored.opened_at,
        "changed_at": stored.changed_at,
        "verdict": stored.verdict,
        "reviewer": stored.reviewer,
        "fact_id": stored.fact_id,
        "answers": sorted(ANSWERS[stored.key.topic]) if stored.state in LIVE_STATES else [],
        "claim": claim,
    }


def task_version(stored: Task) -> TaskVersionOut:
    """A task as it once was."""
    return TaskVersionOut(
        version=stored.version,
        kind=stored.kind,
        state=stored.state,
        reason=stored.reason,
        weight_bits=stored.weight_bits,
        changed_at=stored.changed_at,
        verdict=stored.verdict,
        reviewer=stored.reviewer,
    )


def review(session: Session, view: ReviewView, versions: Sequence[Task], language: Language) -> ReviewOut:
    """A task with its two records; a protected identity shows no traits, and then there is no evidence."""
    one_record = view.left.id == view.right.id
    hides = is_protected(view.left) or is_protected(view.right)
    return ReviewOut(
        **task_fields(view.task),
        left=side(session, view.left, hidden=hides and one_record),
        right=side(session, view.right, hidden=hides and one_record),
        score=score(view.score, language, with_evidence=not hides),
        would_change=[]
        if hides
        else [sentence_of_counterfactual(found, language) for found in view.would_change],
        fingerprint={} if hides else dict(view.task.fingerprint),
        changed=[] if hides else list(view.changed),
        held=[held(item, hidden=hides) for item in view.held],
        history=[task_version(version) for version in versions],
    )


def side(session: Session, stored: StoredRecord, *, hidden: bool = False) -> SideOut:
    """
    One record of a task; anonymous and hidden identities show no traits.

    Args:
        hidden: it is protected by what another statement of it says.
    """
    protected = hidden or is_protected(stored)
    return SideOut(
        domain=session.namespace(stored.key.domain),
        id=stored.key.value,
        epoch=stored.key.epoch,
        protected=protected,
        traits={} if protected else traits_to_mapping(stored.demographics),
    )


def is_protected(stored: StoredRecord) -> bool:
    """Whether it is an anonymous or a hidden identity."""
    return bool(stored.traits.attributes & NEVER_ANSWERED)


def held(item: Held, *, hidden: bool) -> HeldOut:
    """A statement that waits for a decision."""
    stored, stated = item.statement, item.statement.statement
    hidden = hidden or bool(normalise(stated.demographics).attributes & NEVER_ANSWERED)
    return HeldOut(
        statement_id=stored.id,
        reason=item.reason,
        source=stated.source,
        message_id=stored.message_id,
        event_time=stated.event_time,
        recorded_at=stored.recorded_at,
        traits={} if hidden else traits_to_mapping(stated.demographics),
    )


def happening(session: Session, item: Happening) -> HappeningOut:
    """One thing that happened to a person."""
    return HappeningOut(
        at=item.at,
        what=item.what,
        subjects=[record(session, key) for key in item.subjects],
        actor=item.actor,
        cause=item.cause,
        details=dict(item.details),
    )
