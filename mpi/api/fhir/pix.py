"""
ITI-83: `Patient/$ihe-pix`, the other identifiers of the person one identifier is about.

Source: IHE PIXm 3.1, ITI-83; OperationDefinition IHE.PIXm.pix.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request

from mpi.api.dependencies import MayCrossReference, Session
from mpi.api.fhir.formats import FhirResponse, also_in_xml, described
from mpi.api.fhir.references import person_in
from mpi.api.fhir.refusals import Refused
from mpi.api.fhir.systems import clean, own_system, token_of, visible_systems
from mpi.errors import UnknownIdentifier
from mpi.feeds.fhir.patient import system_of
from mpi.identity.model import PatientIdentifier, RecordKey

router = APIRouter()

MAX_TARGETS = 100
_ANSWER = described("The identifiers found; none at all is a success.", "Parameters")
_BODY = also_in_xml("Parameters")


@dataclass(frozen=True, slots=True)
class _Question:
    """One query, before anything in it is looked up."""

    source_system: str
    source_value: str
    target_systems: tuple[str, ...]


@router.get("/Patient/$ihe-pix", response_class=FhirResponse, response_model=None, responses=_ANSWER)
def query(
    request: Request,
    session: MayCrossReference,
    source_identifier: Annotated[
        list[str] | None,
        Query(
            alias="sourceIdentifier",
            description="`system|value`, such as `urn:oid:2.999.1.2|B77`, or `<base of this server>|Patient/<id>`.",
        ),
    ] = None,
    target_system: Annotated[
        list[str] | None,
        Query(alias="targetSystem", description="Systems wanted; all by default. Repeatable."),
    ] = None,
) -> FhirResponse:
    """Cross-reference one identifier (ITI-83)."""
    return _answer(request, session, _from_query(source_identifier or [], target_system or []))


@router.post(
    "/Patient/$ihe-pix",
    response_class=FhirResponse,
    response_model=None,
    responses=_ANSWER,
    openapi_extra=_BODY,
)
def query_by_body(
    request: Request,
    session: MayCrossReference,
    body: Annotated[
        dict[str, Any],
        Body(media_type="application/fhir+json", description="Parameters: sourceIdentifier, targetSystem."),
    ],
) -> FhirResponse:
    """Cross-reference one identifier (ITI-83), kept out of the address."""
    return _answer(request, session, _from_parameters(body))


def _answer(request: Request, session: Session, question: _Question) -> FhirResponse:
    """Look the question up, in the order the profile numbers its refusals: source, targets, identifier."""
    systems = visible_systems(session)
    own = own_system(session)
    person_id = person_in(request, session, question.source_system, question.source_value)
    source = systems.get(question.source_system)
    if source is None and person_id is None:
        raise Refused(400, "code-invalid", "sourceIdentifier Assigning Authority not found")
    unknown = [system for system in question.target_systems if system not in systems and system != own]
    if unknown:
        raise Refused(403, "code-invalid", "targetSystem not found")
    wanted = [systems[system] for system in question.target_systems if system in systems]
    targets = frozenset(wanted) if question.target_systems else None
    try:
        if person_id is not None:
            person, found = _by_person(session, person_id, targets)
        else:
            assert source is not None
            named = session.registry.cross_reference(
                RecordKey(source, question.source_value),
                targets=targets,
                visible=session.visible,
                actor=session.caller.actor,
            )
            person, found = named.person, named.identifiers
    except UnknownIdentifier:
        raise Refused(404, "not-found", "sourceIdentifier Patient Identifier not found") from None
    parameters = [_target_identifier(item) for item in found]
    if person_id is None and own is not None and own in question.target_systems:
        parameters.append(_target_identifier(PatientIdentifier(person, session.directory.own)))
    if parameters and session.sees_euids:
        parameters.append({"name": "targetId", "valueReference": {"reference": f"Patient/{person}"}})
    resource: dict[str, Any] = {"resourceType": "Parameters"}
    if parameters:  # FHIR has no empty arrays
        resource["parameter"] = parameters
    return FhirResponse(resource)


def _by_person(
    session: Session, asked: str, targets: frozenset[str] | None
) -> tuple[str, Sequence[PatientIdentifier]]:
    record = session.registry.enterprise_record(asked, visible=session.visible, actor=session.caller.actor)
    found = [
        member.identifier
        for member in record.members
        if not member.retired and (targets is None or member.record.key.domain in targets)
    ]
    return record.euid, found


def _target_identifier(identifier: PatientIdentifier) -> dict[str, Any]:
    authority = identifier.authority
    value: dict[str, Any] = {"system": system_of(authority), "value": identifier.value}
    if authority.namespace:
        value["assigner"] = {"display": authority.namespace}
    return {"name": "targetIdentifier", "valueIdentifier": value}


# ---------------------------------------------------------------- reading a question


def _from_query(sources: Sequence[str], targets: Sequence[str]) -> _Question:
    sources = [text for text in sources if text]
    if not sources:
        raise Refused(400, "required", "sourceIdentifier is required")
    if len(sources) > 1:
        raise Refused(400, "invalid", "sourceIdentifier may be given once")
    system, value = token_of(sources[0], place="sourceIdentifier")
    return _question(system, value, [text for text in targets if text])


def _from_parameters(body: dict[str, Any]) -> _Question:
    """
    Read a Parameters resource. Only the names of the operation count; others are ignored.

    Source: StructureDefinition IHE.PIXm.Query.Parameters.In (valueIdentifier, valueUri); the
    OperationDefinition types both as string, so that is taken as well.
    """
    parameters = body.get("parameter", [])
    if body.get("resourceType") != "Parameters" or not isinstance(parameters, list):
        raise Refused(400, "structure", "a Parameters resource is expected")
    sources: list[tuple[str, str]] = []
    targets: list[str] = []
    for item in parameters:
        if not isinstance(item, dict):
            raise Refused(400, "structure", "parameter is malformed")
        match item.get("name"):
            case "sourceIdentifier":
                sources.append(_source_of(item))
            case "targetSystem":
                targets.append(_first_text(item, "valueUri", "valueString", what="targetSystem"))
    if not sources:
        raise Refused(400, "required", "sourceIdentifier is required")
    if len(sources) > 1:
        raise Refused(400, "invalid", "sourceIdentifier may be given once")
    return _question(*sources[0], targets)


def _source_of(item: dict[str, Any]) -> tuple[str, str]:
    identifier = item.get("valueIdentifier")
    if isinstance(identifier, dict):
        system = _first_text(identifier, "system", what="sourceIdentifier")
        return system, _first_text(identifier, "value", what="sourceIdentifier")
    text = _first_text(item, "valueString", "valueUri", what="sourceIdentifier")
    return token_of(text, place="sourceIdentifier")


def _first_text(item: dict[str, Any], *names: str, what: str) -> str:
    value = next((item[name] for name in names if name in item), None)
    if not isinstance(value, str) or not value:
        raise Refused(400, "invalid", f"{what} is malformed")
    return value


def _question(system: str, value: str, targets: Sequence[str]) -> _Question:
    if len(targets) > MAX_TARGETS:
        raise Refused(400, "too-costly", "too many targetSystem")
    system, value = clean("sourceIdentifier", system), clean("sourceIdentifier", value)
    if not (system and value):
        raise Refused(400, "invalid", "sourceIdentifier is malformed (expected system|value)")
    return _Question(system, value, tuple(clean("targetSystem", text) for text in targets))
