"""The CapabilityStatement: what the FHIR interface can do."""

from functools import lru_cache
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from mpi.api.dependencies import MayReadInterface
from mpi.api.fhir.formats import FhirResponse, FormatQuery, described, wants_json
from mpi.api.problems import FHIR_JSON, outcome

router = APIRouter()

_REVISED = "2026-10-01"
"""When this statement last changed."""


@router.get(
    "/metadata",
    response_class=FhirResponse,
    response_model=None,
    responses=described("What this server can do.", "CapabilityStatement"),
)
def metadata(request: Request, session: MayReadInterface, format_asked: FormatQuery = None) -> Response:
    """State the capabilities of this FHIR server."""
    if not wants_json(request, format_asked):
        return outcome(406, [("not-supported", f"only {FHIR_JSON} is supported")])
    return FhirResponse(_statement())


@lru_cache(maxsize=1)
def _statement() -> dict[str, Any]:
    # Slow to import, and for this route alone.
    from fhir.resources.R4B.capabilitystatement import CapabilityStatement

    stated = CapabilityStatement.model_validate(
        {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": _REVISED,
            "kind": "instance",
            "software": {"name": "mpi", "version": version("mpi")},
            "implementation": {"description": "Master patient index of an imaging federation"},
            "fhirVersion": "4.0.1",
            "format": [FHIR_JSON, "json"],
            "instantiates": ["https://profiles.ihe.net/ITI/PIXm/CapabilityStatement/IHE.PIXm.Manager"],
            "rest": [
                {
                    "mode": "server",
                    "security": {
                        "cors": False,
                        "description": "Authorization: Bearer, with a key of this index.",
                    },
                    "resource": [
                        {
                            "type": "Patient",
                            "operation": [
                                {
                                    "name": "ihe-pix",
                                    "definition": "https://profiles.ihe.net/ITI/PIXm/OperationDefinition/IHE.PIXm.pix",
                                    "documentation": "Patient Identifier Cross-reference Query (ITI-83), GET and POST.",
                                }
                            ],
                        }
                    ],
                }
            ],
        }
    )
    return stated.model_dump(mode="json", exclude_none=True)
