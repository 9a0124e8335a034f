"""
The OpenAPI document: what the framework writes of the routes, with what every route has in common.

REST refuses with a problem (RFC 9457), in its own media type; a key is needed everywhere but for health.
"""

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI

from mpi.api.guard import OPEN_PATHS
from mpi.api.problems import PROBLEM_JSON, is_fhir
from mpi.api.rest.bodies import ProblemOut

_SCHEMA = "#/components/schemas/ProblemOut"
_REFUSALS: Mapping[str, str] = {
    "401": "No valid key.",
    "403": "The role of the key does not allow it.",
    "422": "Not valid: the places and the problems, never a value.",
    "default": "Refused: the place and the problem, never a value (RFC 9457).",
}


def install(app: FastAPI) -> None:
    """Make the application describe itself so."""
    app.openapi = _of(app, app.openapi)  # type: ignore[method-assign]


def _of(app: FastAPI, written: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(written())
        found: dict[str, Any] = written()  # the framework remembers it
        return found

    return document


def _complete(document: dict[str, Any]) -> None:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["ProblemOut"] = problem
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"key": []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in OPEN_PATHS:
                operation["security"] = []
            if not is_fhir(path):
                responses = operation["responses"]
                refusals = _REFUSALS if path not in OPEN_PATHS else {"default": _REFUSALS["default"]}
                responses.update({status: _problem(words) for status, words in refusals.items()})


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {PROBLEM_JSON: {"schema": {"$ref": _SCHEMA}}}}
