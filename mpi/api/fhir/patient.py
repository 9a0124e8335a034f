"""
Reading people: a Patient as it is, as it was, and every version of it.

`Patient.id` is `Person.id`: who may search may read what was found. An identifier that another one replaced
answers as inactive, with a link to it.

Source: FHIR R4 http.html#read, #vread, #history; IHE PDQm 3.2 (Retrieve Patient).
"""

from email.utils import format_datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request

from mpi.api.dependencies import MaySearch, Session
from mpi.api.fhir.criteria import encoding_of
from mpi.api.fhir.formats import FhirResponse, described
from mpi.api.fhir.references import base_of
from mpi.api.fhir.refusals import Refused
from mpi.errors import UnknownIdentifier
from mpi.feeds.fhir.fr_core import FrCore, patient_of, retired_patient
from mpi.index.versions import Version, instant_of

router = APIRouter()

MOST_VERSIONS: Final = 100
"""The newest versions that a history shows."""
_ANSWER = described("The person.", "Patient")

PatientId = Annotated[str, Path(alias="id", max_length=64, description="`Patient.id`, current or retired.")]
Encoding = Annotated[
    str | None,
    Query(
        alias="fr-core", max_length=9, description="Encoding of the identity status: 2.1 (default) or 2.2."
    ),
]


@router.get("/Patient/{id}", response_class=FhirResponse, response_model=None, responses=_ANSWER)
def read(patient_id: PatientId, session: MaySearch, fr_core: Encoding = None) -> FhirResponse:
    """Read a person as they are."""
    encoding = encoding_of(fr_core)
    newest = _versions(session, patient_id, 1)[0]
    return _answer(patient_id, newest, encoding)


@router.get(
    "/Patient/{id}/_history/{version}",
    response_class=FhirResponse,
    response_model=None,
    responses=_ANSWER,
)
def vread(
    patient_id: PatientId,
    version: Annotated[str, Path(max_length=64, description="`meta.versionId`.")],
    session: MaySearch,
    fr_core: Encoding = None,
) -> FhirResponse:
    """Read a person as they were in one version."""
    encoding = encoding_of(fr_core)
    if instant_of(version) is not None:
        for each in _versions(session, patient_id, MOST_VERSIONS):
            if each.name == version:
                return _answer(patient_id, each, encoding)
    raise Refused(404, "not-found", "no such version")


@router.get(
    "/Patient/{id}/_history",
    response_class=FhirResponse,
    response_model=None,
    responses=described("The versions of the person, newest first.", "Bundle"),
)
def history(
    request: Request, patient_id: PatientId, session: MaySearch, fr_core: Encoding = None
) -> FhirResponse:
    """List the versions of a person, newest first; at most a hundred."""
    encoding = encoding_of(fr_core)
    versions = _versions(session, patient_id, MOST_VERSIONS)
    url = f"{base_of(request)}/Patient/{patient_id}"
    entries = [
        {
            "fullUrl": url,
            "resource": _resource(patient_id, each, encoding),
            "request": {"method": "PUT", "url": f"Patient/{patient_id}"},
            "response": {
                "status": "200",
                "etag": _etag(each),
                "lastModified": each.since.isoformat(timespec="milliseconds"),
            },
        }
        for each in versions
    ]
    bundle = {
        "resourceType": "Bundle",
        "type": "history",
        "total": len(entries),
        "link": [{"relation": "self", "url": f"{url}/_history"}],
        "entry": entries,
    }
    return FhirResponse(bundle)


def _versions(session: Session, patient_id: str, most: int) -> tuple[Version, ...]:
    try:
        return session.registry.person_versions(
            patient_id, visible=session.visible, actor=session.caller.actor, most=most
        )
    except UnknownIdentifier:
        raise Refused(404, "not-found", "no such Patient") from None


def _answer(patient_id: str, version: Version, encoding: FrCore) -> FhirResponse:
    headers = {
        "ETag": _etag(version),
        "Last-Modified": format_datetime(version.since, usegmt=True),
    }
    return FhirResponse(_resource(patient_id, version, encoding), headers=headers)


def _resource(patient_id: str, version: Version, encoding: FrCore) -> dict[str, Any]:
    meta = {"versionId": version.name, "lastUpdated": version.since.isoformat(timespec="milliseconds")}
    if version.person.id != patient_id:
        return retired_patient(patient_id, version.person.id, meta=meta)
    return patient_of(version.person, encoding, meta=meta)


def _etag(version: Version) -> str:
    return f'W/"{version.name}"'
