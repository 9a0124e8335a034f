"""
ITI-119: `Patient/$match`, the people somebody may be, graded.

Nothing of the question is stored. An extension that is not known is passed over; a modifier extension that is not
known changes what it modifies, so it is refused.

Source: IHE PDQm 3.2, ITI-119; FHIR R4 OperationDefinition/Patient-match.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Body, Request

from mpi.api.dependencies import MayMatch
from mpi.api.fhir.bundles import match as entry
from mpi.api.fhir.bundles import searchset
from mpi.api.fhir.criteria import DEFAULT_COUNT, MAX_COUNT, encoding_of
from mpi.api.fhir.formats import FhirResponse, also_in_xml, described
from mpi.api.fhir.patient import Encoding
from mpi.api.fhir.references import base_of
from mpi.api.fhir.refusals import Refused
from mpi.errors import InvalidIdentity, UnsupportedMessage
from mpi.feeds.fhir.fr_core import patient_of
from mpi.feeds.fhir.patient import AskedPerson, read_asked
from mpi.index.grades import only_certain
from mpi.index.parties import Directory

router = APIRouter()

_ANSWER: Final = described("Who it may be, best first; nobody at all is a success.", "Bundle")
_VALUES: Final = {"resource": "resource", "onlyCertainMatches": "valueBoolean", "count": "valueInteger"}
"""Parameter -> where its value is. The set is closed."""


@dataclass(frozen=True, slots=True)
class _Question:
    patient: dict[str, Any]
    only_certain: bool = False
    count: int = DEFAULT_COUNT


@router.post(
    "/Patient/$match",
    response_class=FhirResponse,
    response_model=None,
    responses=_ANSWER,
    openapi_extra=also_in_xml("Parameters or Patient"),
)
def match(
    request: Request,
    session: MayMatch,
    body: Annotated[
        dict[str, Any],
        Body(
            media_type="application/fhir+json",
            description="Parameters (resource, onlyCertainMatches, count), or the Patient alone.",
        ),
    ],
    fr_core: Encoding = None,
) -> FhirResponse:
    """Say who a person may be (ITI-119). Ambiguous is nobody when only certain matches are wanted."""
    encoding = encoding_of(fr_core)
    question = _question(body)
    _refuse_modifiers(question.patient, "Patient")
    asked = _asked(question.patient, session.directory)
    found = session.registry.match(
        asked.demographics,
        keys=[key for key in asked.keys if key.domain in session.visible],
        visible=session.visible,
        actor=session.caller.actor,
        limit=MAX_COUNT,
    )
    matches = (only_certain(found) if question.only_certain else found)[: question.count]
    base = base_of(request)
    entries = [
        entry(patient_of(each.person, encoding), base=base, score=each.probability, grade=each.grade)
        for each in matches
    ]
    return FhirResponse(searchset(entries, total=len(entries)))


def _asked(patient: dict[str, Any], directory: Directory) -> AskedPerson:
    try:
        return read_asked(patient, directory=directory, received=datetime.now(UTC))
    except (InvalidIdentity, UnsupportedMessage) as error:
        raise Refused(400, "invalid", str(error)) from None


def _question(body: dict[str, Any]) -> _Question:
    """The parameters, each at most once and no other; or a Patient alone."""
    if body.get("resourceType") == "Patient":
        return _Question(body)
    parameters = body.get("parameter")
    if body.get("resourceType") != "Parameters" or not isinstance(parameters, list):
        raise Refused(400, "structure", "Parameters, or a Patient, is expected")
    given: dict[str, Any] = {}
    for item in parameters:
        name = item.get("name") if isinstance(item, dict) else None
        if name not in _VALUES or name in given:
            raise Refused(400, "invalid", f"parameter: expected {', '.join(_VALUES)}, each at most once")
        if "modifierExtension" in item:
            raise Refused(400, "extension", "parameter: a modifier extension is not known")
        given[name] = item.get(_VALUES[name])
    patient, certain, count = (
        given.get("resource"),
        given.get("onlyCertainMatches", False),
        given.get("count", DEFAULT_COUNT),
    )
    if not isinstance(patient, dict) or patient.get("resourceType") != "Patient":
        raise Refused(400, "required", "resource: a Patient is required")
    if not isinstance(certain, bool):
        raise Refused(400, "value", "onlyCertainMatches: expected valueBoolean")
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise Refused(400, "value", "count: expected valueInteger of 1 at least")
    return _Question(patient, certain, min(count, MAX_COUNT))


def _refuse_modifiers(value: Any, path: str) -> None:
    """
    Raises:
        Refused: 400, a modifier extension somewhere; none is known here.
    """
    if isinstance(value, dict):
        if value.get("modifierExtension"):
            raise Refused(400, "extension", f"{path}: a modifier extension is not known")
        for item in value.values():
            _refuse_modifiers(item, path)
    elif isinstance(value, list):
        for item in value:
            _refuse_modifiers(item, path)
