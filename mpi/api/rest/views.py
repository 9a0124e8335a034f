"""Domain values -> REST bodies."""

from collections.abc import Mapping
from typing import Any

from mpi.api.dependencies import Language, Session
from mpi.api.rest.bodies import (
    AssertionOut,
    EvidenceOut,
    FactOut,
    GoldenOut,
    IdentifierOut,
    LinkOut,
    MemberOut,
    ScoreOut,
    SideOut,
    TaskOut,
)
from mpi.identity.ins import NEVER_ANSWERED
from mpi.identity.model import PatientIdentifier, PersonName, RecordKey
from mpi.identity.tabular import traits_to_mapping
from mpi.index.answers import LinkView, MemberView
from mpi.index.events import Fact, FactKind
from mpi.index.golden import GoldenField
from mpi.index.ports import StoredRecord
from mpi.index.review import Task
from mpi.matching.explain import explain
from mpi.matching.online import ScoredPair

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
    return IdentifierOut(domain=session.namespace(key.domain), id=key.value)


def member(view: MemberView) -> MemberOut:
    """One member of an enterprise record."""
    traits = view.record.traits
    return MemberOut(
        domain=view.identifier.authority.namespace,
        id=view.identifier.value,
        subsumed=view.subsumed,
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
        assertion=_assertion(view.fact, language) if view.fact is not None else None,
    )


def _assertion(stated: Fact, language: Language) -> AssertionOut:
    return AssertionOut(
        fact_id=stated.id,
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
        withdrawn_at=stated.withdrawn_at,
        withdrawn_by=stated.withdrawn_by,
    )


def task(stored: Task) -> TaskOut:
    """A review task."""
    return TaskOut(**task_fields(stored))


def task_fields(stored: Task) -> dict[str, Any]:
    """What every view of a task holds."""
    return {
        "id": stored.id,
        "kind": stored.key.kind,
        "state": stored.state,
        "reason": stored.reason,
        "weight_bits": stored.weight_bits,
        "version": stored.version,
        "opened_at": stored.opened_at,
        "changed_at": stored.changed_at,
        "verdict": stored.verdict,
        "reviewer": stored.reviewer,
        "fact_id": stored.fact_id,
    }


def side(session: Session, stored: StoredRecord) -> SideOut:
    """One record of a task; anonymous and hidden identities show no traits."""
    protected = bool(stored.traits.attributes & NEVER_ANSWERED)
    return SideOut(
        domain=session.namespace(stored.key.domain),
        id=stored.key.value,
        protected=protected,
        traits={} if protected else traits_to_mapping(stored.demographics),
    )
