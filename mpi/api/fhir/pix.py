"""
ITI-83: `Patient/$ihe-pix`, the other identifiers of the person one identifier is about.

Source: IHE PIXm 3.1, ITI-83; OperationDefinition IHE.PIXm.pix.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request
from starlette.responses import Response

from mpi.api.dependencies import MayCrossReference, Session
from mpi.api.fhir.formats import FhirResponse, FormatQuery, described, wants_json
from mpi.api.problems import outcome
from mpi.errors import InvalidIdentity, UnknownIdentifier
from mpi.identity.domains import authority_key
from mpi.identity.model import AssigningAuthority, PatientIdentifier, RecordKey
from mpi.identity.tabular import text_of

router = APIRouter()

MAX_TARGETS = 100
_URN_PREFIXES = {"ISO": "urn:oid:", "UUID": "urn:uuid:"}
_ANSWER = described("The identifiers found; none at all is a success.", "Parameters")


@dataclass(frozen=True, slots=True)
class _Question:
    """One query, before anything in it is looked up."""

    source_system: str
    source_value: str
    target_systems: tuple[str, ...]


class _Refused(Exception):
    """The query gets this OperationOutcome."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


@router.get("/Patient/$ihe-pix", response_class=FhirResponse, response_model=None, responses=_ANSWER)
def query(
    request: Request,
    session: MayCrossReference,
    source_identifier: Annotated[
        list[str] | None,
        Query(alias="sourceIdentifier", description="`system|value`, such as `urn:oid:2.999.1.2|B77`."),
    ] = None,
    target_system: Annotated[
        list[str] | None,
        Query(alias="targetSystem", description="Systems wanted; all by default. Repeatable."),
    ] = None,
    format_asked: FormatQuery = None,
) -> Response:
    """Cross-reference one identifier (ITI-83)."""
    return _respond(
        request, session, format_asked, lambda: _from_query(source_identifier or [], target_system or [])
    )


@router.post("/Patient/$ihe-pix", response_class=FhirResponse, response_model=None, responses=_ANSWER)
def query_by_body(
    request: Request,
    session: MayCrossReference,
    body: Annotated[
        dict[str, Any],
        Body(media_type="application/fhir+json", description="Parameters: sourceIdentifier, targetSystem."),
    ],
    format_asked: FormatQuery = None,
) -> Response:
    """Cross-reference one identifier (ITI-83), kept out of the address."""
    return _respond(request, session, format_asked, lambda: _from_parameters(body))


def _respond(
    request: Request, session: Session, format_asked: str | None, read: Callable[[], _Question]
) -> Response:
    if not wants_json(request, format_asked):
        return outcome(406, [("not-supported", "only application/fhir+json is supported")])
    try:
        return FhirResponse(_answer(session, read()))
    except _Refused as refused:
        return outcome(refused.status, [(refused.code, refused.text)])


def _answer(session: Session, question: _Question) -> dict[str, Any]:
    """Look the question up, in the order the profile numbers its refusals: source, targets, identifier."""
    systems = _visible_systems(session)
    own = _system_of(session.directory.own) if session.sees_euids else None
    source = systems.get(question.source_system)
    if source is None and question.source_system != own:
        raise _Refused(400, "code-invalid", "sourceIdentifier Assigning Authority not found")
    unknown = [system for system in question.target_systems if system not in systems and system != own]
    if unknown:
        raise _Refused(403, "code-invalid", "targetSystem not found")
    wanted = [systems[system] for system in question.target_systems if system in systems]
    targets = frozenset(wanted) if question.target_systems else None
    euid: str | None
    try:
        if source is None:
            euid, found = _by_euid(session, question.source_value, targets)
        else:
            euid, found = _by_identifier(session, RecordKey(source, question.source_value), targets)
    except UnknownIdentifier:
        text = "sourceIdentifier Patient Identifier not found"
        raise _Refused(404, "not-found", text) from None
    parameters = [_target_identifier(item) for item in found]
    if euid is not None and source is not None and own in question.target_systems:
        parameters.append(_target_identifier(PatientIdentifier(euid, session.directory.own)))
    if euid is not None and parameters:
        parameters.append({"name": "targetId", "valueReference": {"reference": f"Patient/{euid}"}})
    resource: dict[str, Any] = {"resourceType": "Parameters"}
    if parameters:  # FHIR has no empty arrays
        resource["parameter"] = parameters
    return resource


def _by_identifier(
    session: Session, key: RecordKey, targets: frozenset[str] | None
) -> tuple[str | None, Sequence[PatientIdentifier]]:
    found = session.registry.cross_reference(
        key, targets=targets, visible=session.visible, actor=session.caller.actor
    )
    return (session.registry.euid_of(key) if session.sees_euids else None), found


def _by_euid(
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
    value = {"system": _system_of(authority), "value": identifier.value}
    if authority.namespace:
        return {
            "name": "targetIdentifier",
            "valueIdentifier": {**value, "assigner": {"display": authority.namespace}},
        }
    return {"name": "targetIdentifier", "valueIdentifier": value}


def _visible_systems(session: Session) -> dict[str, str]:
    """System -> domain key, of the domains the caller may see: another is answered as unknown."""
    return {
        _system_of(domain.authority): domain.key
        for domain in session.directory.domains
        if domain.key in session.visible
    }


def _system_of(authority: AssigningAuthority) -> str:
    """The identifier system of an authority; ITI TF-2 appendix E.3 writes OIDs as `urn:oid:`."""
    prefix = _URN_PREFIXES.get(authority.universal_id_type)
    return f"{prefix}{authority.universal_id}" if prefix else authority_key(authority)


# ---------------------------------------------------------------- reading a question


def _from_query(sources: Sequence[str], targets: Sequence[str]) -> _Question:
    sources = [text for text in sources if text]
    if not sources:
        raise _Refused(400, "required", "sourceIdentifier is required")
    if len(sources) > 1:
        raise _Refused(400, "invalid", "sourceIdentifier may be given once")
    return _question(*_token(sources[0]), [text for text in targets if text])


def _from_parameters(body: dict[str, Any]) -> _Question:
    """
    Read a Parameters resource. Only the names of the operation count; others are ignored.

    Source: StructureDefinition IHE.PIXm.Query.Parameters.In (valueIdentifier, valueUri); the
    OperationDefinition types both as string, so that is taken as well.
    """
    parameters = body.get("parameter", [])
    if body.get("resourceType") != "Parameters" or not isinstance(parameters, list):
        raise _Refused(400, "structure", "a Parameters resource is expected")
    sources: list[tuple[str, str]] = []
    targets: list[str] = []
    for item in parameters:
        if not isinstance(item, dict):
            raise _Refused(400, "structure", "parameter is malformed")
        match item.get("name"):
            case "sourceIdentifier":
                sources.append(_source_of(item))
            case "targetSystem":
                targets.append(_first_text(item, "valueUri", "valueString", what="targetSystem"))
    if not sources:
        raise _Refused(400, "required", "sourceIdentifier is required")
    if len(sources) > 1:
        raise _Refused(400, "invalid", "sourceIdentifier may be given once")
    return _question(*sources[0], targets)


def _source_of(item: dict[str, Any]) -> tuple[str, str]:
    identifier = item.get("valueIdentifier")
    if isinstance(identifier, dict):
        system = _first_text(identifier, "system", what="sourceIdentifier")
        return system, _first_text(identifier, "value", what="sourceIdentifier")
    return _token(_first_text(item, "valueString", "valueUri", what="sourceIdentifier"))


def _first_text(item: dict[str, Any], *names: str, what: str) -> str:
    value = next((item[name] for name in names if name in item), None)
    if not isinstance(value, str) or not value:
        raise _Refused(400, "invalid", f"{what} is malformed")
    return value


def _token(text: str) -> tuple[str, str]:
    """`system|value`; FHIR escapes a bar inside with a backslash."""
    system, bar, value = text.partition("|")
    if not (system and bar and value):
        raise _Refused(400, "invalid", "sourceIdentifier is malformed (expected system|value)")
    for escaped in "\\|", "\\,", "\\$", "\\\\":
        value = value.replace(escaped, escaped[1])
    return system, value


def _question(system: str, value: str, targets: Sequence[str]) -> _Question:
    if len(targets) > MAX_TARGETS:
        raise _Refused(400, "too-costly", "too many targetSystem")
    try:
        read = [text_of("sourceIdentifier", text) for text in (system, value)]
        wanted = [text_of("targetSystem", text) for text in targets]
    except InvalidIdentity as error:
        raise _Refused(400, "invalid", str(error)) from None
    if not all(read):
        raise _Refused(400, "invalid", "sourceIdentifier is malformed (expected system|value)")
    return _Question(read[0], read[1], tuple(wanted))
