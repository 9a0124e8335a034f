"""
The CapabilityStatement: what the FHIR interface can do, told from the routes there are.

Source: FHIR R4 CapabilityStatement; IHE PIXm 3.1 and PDQm 3.2 (capability statements of the actors).
"""

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, Request

from mpi.api.dependencies import MayReadInterface
from mpi.api.fhir.audit import AUDIT_PARAMETERS
from mpi.api.fhir.criteria import PARAMETERS
from mpi.api.fhir.formats import FHIR_XML, FhirResponse, described
from mpi.api.problems import FHIR_JSON, FHIR_PREFIX

router = APIRouter()

_REVISED: Final = "2026-11-22"
"""When this statement last changed."""
_INTERACTIONS: Final = {
    ("GET", ""): "search-type",
    ("POST", "/_search"): "search-type",
    ("GET", "/{id}"): "read",
    ("GET", "/{id}/_history/{version}"): "vread",
    ("GET", "/{id}/_history"): "history-instance",
    ("PUT", ""): "update",
    ("POST", ""): "create",
    ("DELETE", "/{id}"): "delete",
}
"""Method and the rest of the path, after the type -> the interaction that a route is."""
_OPERATIONS: Final = {
    "ihe-pix": (
        "https://profiles.ihe.net/ITI/PIXm/OperationDefinition/IHE.PIXm.pix",
        "Patient Identifier Cross-reference Query (ITI-83), GET and POST.",
    ),
    "match": (
        "http://hl7.org/fhir/OperationDefinition/Patient-match",
        "Patient Demographics Match (ITI-119).",
    ),
    "process-message": (
        "http://hl7.org/fhir/OperationDefinition/MessageHeader-process-message",
        "Patient Identity Feed by messaging (ITI-93).",
    ),
}
_SEARCHES: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "Patient": PARAMETERS,
    "AuditEvent": AUDIT_PARAMETERS,
}
_NOTES: Final = {
    "Patient": (
        "Search: ITI-78; POST _search keeps traits out of addresses. Update: conditional only, by an identifier of the "
        "caller's own domain (ITI-104). The encoding of the identity status of FR Core is chosen with fr-core=2.1|2.2."
    ),
    "AuditEvent": "For auditors that see every domain.",
    "Subscription": "rest-hook, on criteria Patient, Patient?_id= and Patient?identifier= (ITI-94).",
}
_PATH: Final = re.compile(re.escape(FHIR_PREFIX) + r"(?:/(?P<type>[A-Z][A-Za-z]+))?(?P<rest>(?:/.*)?)")


@router.get(
    "/metadata",
    response_class=FhirResponse,
    response_model=None,
    responses=described("What this server can do.", "CapabilityStatement"),
)
def metadata(request: Request, _session: MayReadInterface) -> FhirResponse:
    """State the capabilities of this FHIR server."""
    return FhirResponse(statement_of(request.app.openapi()["paths"]))


def statement_of(paths: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """
    The statement of a server.

    Args:
        paths: of its OpenAPI document: path -> method -> operation. What is always refused is not in it.
    """
    resources: dict[str, dict[str, Any]] = {}
    system: list[dict[str, Any]] = []
    for method, kind, rest in _addresses(paths):
        operation = rest.removeprefix("/$")
        if rest.startswith("/$"):
            into = resources.setdefault(kind, _resource(kind))["operation"] if kind else system
            if not any(known["name"] == operation for known in into):
                into.append(_operation(operation))
        elif kind:
            resource = resources.setdefault(kind, _resource(kind))
            interaction = {"code": _INTERACTIONS[method, rest]}
            if interaction not in resource["interaction"]:
                resource["interaction"].append(interaction)
            if interaction["code"] == "update":
                resource["conditionalUpdate"] = True
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _REVISED,
        "kind": "instance",
        "instantiates": ["https://profiles.ihe.net/ITI/PIXm/CapabilityStatement/IHE.PIXm.Manager"],
        "software": {"name": "mpi", "version": version("mpi")},
        "implementation": {"description": "Master patient index of an imaging federation"},
        "fhirVersion": "4.0.1",
        "format": [FHIR_JSON, FHIR_XML, "json", "xml"],
        "rest": [
            {
                "mode": "server",
                "security": {
                    "cors": False,
                    "description": "Authorization: Bearer, with a key of this index.",
                },
                "resource": [
                    {name: value for name, value in each.items() if value != []}
                    for _, each in sorted(resources.items())
                ],
                **({"operation": system} if system else {}),
            }
        ],
    }


def _addresses(paths: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Method, type of resource (empty for the whole server) and the rest, of every FHIR route."""
    for path, methods in paths.items():
        found = _PATH.fullmatch(path)
        if found is not None and found["rest"] != "/metadata":
            for method in sorted(methods):
                yield method.upper(), found["type"] or "", found["rest"]


def _resource(kind: str) -> dict[str, Any]:
    return {
        "type": kind,
        **({"documentation": _NOTES[kind]} if kind in _NOTES else {}),
        "interaction": [],
        "versioning": "versioned" if kind == "Patient" else "no-version",
        "conditionalCreate": False,
        "conditionalUpdate": False,
        "conditionalDelete": "not-supported",
        "searchParam": [
            {"name": name, "type": type_, "documentation": text}
            for name, (type_, text) in _SEARCHES.get(kind, {}).items()
        ],
        "operation": [],
    }


def _operation(name: str) -> dict[str, Any]:
    definition, text = _OPERATIONS[name]
    return {"name": name, "definition": definition, "documentation": text}
