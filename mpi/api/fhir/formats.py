"""Which format a caller wants, and the one this index writes."""

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import JSONResponse

from mpi.api.problems import FHIR_JSON

_JSON_FORMATS = frozenset({"json", "application/json", FHIR_JSON, "text/json"})
_ACCEPTABLE = _JSON_FORMATS | {"*/*", "application/*", "text/*"}

FormatQuery = Annotated[
    str | None, Query(alias="_format", max_length=100, description="json; XML is not supported yet.")
]


class FhirResponse(JSONResponse):
    """A resource in JSON."""

    media_type = FHIR_JSON


def wants_json(request: Request, format_asked: str | None) -> bool:
    """
    Whether JSON will do. `_format` overrides the Accept header, and its `+` may arrive as a space.

    Source: FHIR R4 http.html#mime-type; ITI TF-2 appendix Z.6.
    """
    if format_asked:
        return _bare(format_asked).replace(" ", "+") in _JSON_FORMATS
    accept = ",".join(request.headers.getlist("accept"))
    if not accept.strip():
        return True
    return any(_bare(item) in _ACCEPTABLE for item in accept.split(",") if not _is_refused(item))


def described(description: str, resource: str) -> dict[int | str, dict[str, Any]]:
    """How a route's answers appear in the OpenAPI document."""

    def content(name: str) -> dict[str, Any]:
        return {FHIR_JSON: {"schema": {"type": "object", "title": name}}}

    return {
        200: {"description": description, "content": content(resource)},
        "default": {"description": "Refused: an OperationOutcome.", "content": content("OperationOutcome")},
    }


def _bare(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _is_refused(item: str) -> bool:
    """`;q=0` means: not this one."""
    parameters = [part.strip().lower() for part in item.split(";")[1:]]
    return any(part.startswith("q=") and not part[2:].strip("0.") for part in parameters)
