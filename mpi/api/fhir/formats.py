"""
JSON or XML: which one a caller sends, and which one it wants.

Source: FHIR R4 http.html#mime-type; ITI TF-2 appendix Z.6.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Query
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import Scope

from mpi.api.problems import FHIR_JSON

FHIR_XML = "application/fhir+xml"
FORM = "application/x-www-form-urlencoded"
MAX_ACCEPTED = 50
"""Media types of one Accept header that are looked at."""


class Format(StrEnum):
    """What a resource is written in."""

    JSON = FHIR_JSON
    XML = FHIR_XML


_NAMES = {
    **dict.fromkeys(("json", "application/json", FHIR_JSON, "text/json"), Format.JSON),
    **dict.fromkeys(("xml", "application/xml", FHIR_XML, "text/xml"), Format.XML),
}
_WILDCARDS = frozenset({"*/*", "application/*", "text/*"})

FormatQuery = Annotated[
    str | None,
    Query(
        alias="_format",
        max_length=100,
        description="`json` or `xml`, or their media types; goes before the Accept header.",
    ),
]


class FhirResponse(JSONResponse):
    """A resource; written in JSON, and put into XML on its way out for who wants that."""

    media_type = FHIR_JSON


def document_format(_format_asked: FormatQuery = None) -> None:
    """A dependency that documents `_format`; what it asks is done outside the routes."""


def wanted(scope: Scope) -> Format | None:
    """
    The format that a request wants its answer in; None when it is no format of ours.

    `_format` overrides the Accept header, and its `+` may arrive as a space. Of several, the best
    quality is taken, and JSON of equals.
    """
    asked = parse_qs(scope.get("query_string", b"").decode("latin-1"), max_num_fields=1000).get("_format")
    if asked:
        return _NAMES.get(_bare(asked[0]).replace(" ", "+"))
    accept = ",".join(Headers(scope=scope).getlist("accept"))
    if not accept.strip():
        return Format.JSON
    return _best(accept.split(",")[:MAX_ACCEPTED])


def _best(items: Iterable[str]) -> Format | None:
    quality: dict[Format, float] = {}
    others = 0.0
    for item in items:
        value = _quality(item)
        name = _bare(item)
        if name in _WILDCARDS:
            others = max(others, value)
        elif name in _NAMES:
            found = _NAMES[name]
            quality[found] = max(quality.get(found, 0.0), value)
    ranked = [(quality.get(each, others), each) for each in Format]
    best, found = max(ranked, key=lambda pair: pair[0])  # JSON comes first, and wins of equals
    return found if best > 0 else None


def sent(scope: Scope) -> Format | None:
    """The format a request says its body is in; None when it is neither."""
    name = _bare(Headers(scope=scope).get("content-type", ""))
    if name.endswith("+json"):
        return Format.JSON
    return Format.XML if name.endswith("+xml") else _NAMES.get(name)


def is_form(scope: Scope) -> bool:
    """Whether the body is a form, as a search may be sent."""
    return _bare(Headers(scope=scope).get("content-type", "")) == FORM


def described(description: str, resource: str) -> dict[int | str, dict[str, Any]]:
    """How a route's answers appear in the OpenAPI document."""
    return {
        200: {"description": description, "content": content(resource)},
        "default": {"description": "Refused: an OperationOutcome.", "content": content("OperationOutcome")},
    }


def content(resource: str) -> dict[str, Any]:
    """A resource in both formats, in the OpenAPI document."""
    return {FHIR_JSON: {"schema": {"type": "object", "title": resource}}, FHIR_XML: _in_xml(resource)}


def also_in_xml(resource: str) -> dict[str, Any]:
    """What says, beside a body in JSON, that a route takes it in XML too (`openapi_extra`)."""
    return {"requestBody": {"content": {FHIR_XML: _in_xml(resource)}}}


def _in_xml(resource: str) -> dict[str, Any]:
    return {"schema": {"type": "string", "title": resource}}


def _bare(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _quality(item: str) -> float:
    """The `q` of an item; 1 without one, and without one that can be read."""
    for part in item.split(";")[1:]:
        name, _, value = part.strip().lower().partition("=")
        if name == "q":
            try:
                return min(max(float(value), 0.0), 1.0)
            except ValueError:
                return 1.0
    return 1.0
