"""
Errors over HTTP: the table from error class to status, and the two forms an error body takes.

REST answers problem+json, FHIR an OperationOutcome. A body names the place and the problem;
nothing a caller sent is ever repeated in one.

Source: RFC 9457; FHIR R4 OperationOutcome, issue-type value set.
"""

import logging
import secrets
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mpi import errors
from mpi.identity.tabular import place_of

FHIR_PREFIX = "/fhir"
FHIR_JSON = "application/fhir+json"
PROBLEM_JSON = "application/problem+json"

_log = logging.getLogger("mpi.api")


@dataclass(frozen=True, slots=True)
class Answer:
    """
    How one class of errors is answered.

    Args:
        slug: the last part of the problem's type, `urn:mpi:problem:…`.
        issue: OperationOutcome.issue.code.
        says_why: whether the error's own message goes into the body.
    """

    status: int
    slug: str
    title: str
    issue: str
    says_why: bool = True


ANSWERS: Mapping[type[errors.MpiError], Answer] = {
    errors.UnreadableMessage: Answer(400, "unreadable-message", "Unreadable message", "structure"),
    errors.UnsupportedMessage: Answer(400, "unsupported-message", "Unsupported message", "not-supported"),
    errors.InvalidIdentity: Answer(422, "invalid-identity", "Invalid identity", "invalid"),
    errors.ControlIdReused: Answer(409, "control-id-reused", "Control id already used", "duplicate"),
    errors.OutOfSequence: Answer(409, "out-of-sequence", "Out of sequence", "conflict"),
    errors.PoisonMessage: Answer(
        500, "poison-message", "The message cannot be handled", "exception", says_why=False
    ),
    errors.EarlierMessageWaits: Answer(
        409, "earlier-message-waits", "Kept; it waits for an earlier message of the patient", "conflict"
    ),
    errors.UnknownAuthority: Answer(400, "unknown-authority", "Unknown assigning authority", "code-invalid"),
    errors.UnknownIdentifier: Answer(404, "unknown-identifier", "Unknown identifier", "not-found"),
    errors.UnknownReview: Answer(404, "unknown-review", "Unknown review or fact", "not-found"),
    errors.LinkConflict: Answer(409, "link-conflict", "Contradicts a standing assertion", "conflict"),
    errors.StaleReview: Answer(409, "stale-review", "Changed since it was read", "conflict"),
    errors.QueueBeingMade: Answer(
        503,
        "queue-being-made",
        "The questions of these domains are being gathered",
        "transient",
        says_why=False,
    ),
    errors.KeyReused: Answer(
        422, "key-reused", "The idempotency key belongs to another request", "duplicate"
    ),
    errors.AlreadyDone: Answer(409, "already-done", "Carried out already", "duplicate"),
    errors.PreconditionFailed: Answer(412, "precondition-failed", "Not as it was read", "conflict"),
    errors.RequestError: Answer(400, "bad-request", "The request cannot be read", "structure"),
    errors.NotPermitted: Answer(403, "not-permitted", "Not permitted", "forbidden"),
    errors.ModelError: Answer(500, "model", "The match model cannot be used", "exception", says_why=False),
    errors.StoreError: Answer(503, "store", "The store is not available", "transient", says_why=False),
    errors.SourceStopped: Answer(
        503,
        "source-stopped",
        "The quarantine of this source is full: nothing was kept",
        "transient",
        says_why=False,
    ),
    errors.SettingsError: Answer(500, "settings", "Wrong configuration", "exception", says_why=False),
    errors.MpiError: Answer(500, "internal", "Internal error", "exception", says_why=False),
}

UNAUTHENTICATED = Answer(401, "unauthenticated", "A valid key is needed", "login")
TOO_LARGE = Answer(413, "too-large", "The request is too large", "too-long")
NOT_READY = Answer(503, "not-ready", "Not ready", "transient")
_INTERNAL = ANSWERS[errors.MpiError]
_INVALID_REQUEST = Answer(422, "invalid-request", "The request is not valid", "invalid")
_BY_STATUS = {
    400: Answer(400, "bad-request", "The request cannot be read", "structure"),
    404: Answer(404, "not-found", "No such address", "not-found"),
    405: Answer(405, "method-not-allowed", "The address does not take this method", "not-supported"),
}

IMPOSSIBLE_INSTANT = "impossible_instant"
"""The kind of validation error of an instant no record can be of."""
INCOMPATIBLE = "incompatible"
"""The kind of validation error of two parts of a request that do not go together."""

_STATIC_MESSAGES = frozenset(
    [
        "missing", "extra_forbidden", "int_parsing", "int_type", "int_parsing_size", "int_from_float",
        "bool_parsing", "bool_type", "string_type", "list_type", "dict_type", "enum", "literal_error",
        "model_attributes_type", "model_type", "greater_than_equal", "less_than_equal", "greater_than",
        "too_short", "too_long", "string_too_short", "string_too_long", "datetime_type",
        "timezone_aware", IMPOSSIBLE_INSTANT, INCOMPATIBLE,
    ]
)  # fmt: skip
"""Kinds of validation error whose text pydantic makes of the declaration alone, never of the value."""

_WORDS = {
    "extra_forbidden": "unknown field",
    "missing": "required",
    "model_attributes_type": "expected a JSON object (with Content-Type: application/json)",
    "dict_type": "expected a JSON object (with a JSON Content-Type)",
}

_NO_OBJECT = frozenset({"model_attributes_type", "model_type", "dict_type"})
"""Inside a body, where the Content-Type is not what is wrong."""


def answer_for(error: errors.MpiError) -> Answer:
    """The row of the nearest class of the error."""
    return next(ANSWERS[cls] for cls in type(error).__mro__ if cls in ANSWERS)


@dataclass(frozen=True, slots=True)
class Place:
    """One thing that is wrong, and where, in the request's own terms."""

    place: str
    problem: str


def respond(
    path: str,
    answer: Answer,
    *,
    detail: str = "",
    places: Sequence[Place] = (),
    headers: Mapping[str, str] | None = None,
    correlation_id: str = "",
    facts: Sequence[int] = (),
) -> Response:
    """
    An error body in the form the address calls for.

    Args:
        facts: the assertions that stand in the way.
    """
    if is_fhir(path):
        texts = [f"{item.place}: {item.problem}" for item in places] or [detail or answer.title]
        if correlation_id:
            texts = [f"{text} ({correlation_id})" for text in texts]
        return outcome(answer.status, [(answer.issue, text) for text in texts], headers=headers)
    body: dict[str, Any] = {
        "type": f"urn:mpi:problem:{answer.slug}",
        "title": answer.title,
        "status": answer.status,
    }
    if detail:
        body["detail"] = detail
    if places:
        body["errors"] = [{"place": item.place, "problem": item.problem} for item in places]
    if facts:
        body["facts"] = list(facts)
    if correlation_id:
        body["correlation_id"] = correlation_id
    return JSONResponse(body, answer.status, headers=dict(headers or {}), media_type=PROBLEM_JSON)


def outcome(
    status: int,
    issues: Iterable[tuple[str, str]],
    *,
    headers: Mapping[str, str] | None = None,
    severity: str = "error",
) -> Response:
    """An OperationOutcome; examples of the profile disagree on where the sentence sits, so it is in both."""
    body = {
        "resourceType": "OperationOutcome",
        "issue": [
            {"severity": severity, "code": code, "details": {"text": text}, "diagnostics": text}
            for code, text in issues
        ],
    }
    return JSONResponse(body, status, headers=dict(headers or {}), media_type=FHIR_JSON)


def is_fhir(path: str) -> bool:
    """Whether an address belongs to the FHIR interface."""
    return path == FHIR_PREFIX or path.startswith(FHIR_PREFIX + "/")


def respond_to_defect(path: str, error: Exception) -> Response:
    """
    500 with a correlation id and nothing else; the log gets the same id and where it happened.

    The error's text is not logged: it may hold what was sent.
    """
    correlation_id = secrets.token_hex(8)
    frames = reversed(traceback.extract_tb(error.__traceback__)[-4:])
    place = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames)
    _log.error(
        "request.failed",
        extra={"correlation_id": correlation_id, "error": type(error).__name__, "place": place},
    )
    return respond(path, _INTERNAL, correlation_id=correlation_id)


def install(app: FastAPI) -> None:
    """Make the application answer every error in these forms."""
    app.add_exception_handler(errors.MpiError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)


def incompatible(place: str, problem: str) -> RequestValidationError:
    """What to raise when a parameter cannot be had with another one; the problem names no value."""
    return RequestValidationError([{"type": INCOMPATIBLE, "loc": ("query", place), "msg": problem}])


def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.MpiError)
    answer = answer_for(error)
    path = request.url.path
    if answer.status >= 500:
        _log.error("request.failed", extra={"error": type(error).__name__})
    if not answer.says_why:
        return respond(path, answer)
    place, problem = getattr(error, "place", ""), getattr(error, "problem", "")
    return respond(
        path,
        answer,
        detail=str(error),
        places=[Place(place, problem)] if place else (),
        facts=getattr(error, "facts", ()),
    )


def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = [place_of_validation(item) for item in error.errors()]
    path = request.url.path
    answer = replace(_INVALID_REQUEST, status=400) if is_fhir(path) else _INVALID_REQUEST
    return respond(path, answer, places=list(dict.fromkeys(places)))


def place_of_validation(item: Mapping[str, Any], *, prefix: tuple[str | int, ...] = ()) -> Place:
    """
    `identities[3].birth_date` and the problem, of one validation error.

    The error also holds the input, and its location holds whatever key the caller invented.

    Args:
        prefix: where the value that was validated is, when that was not the whole request.
    """
    kind = item["type"]
    if kind == "json_invalid":
        return Place("body", "not JSON")
    place = ""
    parts = item["loc"]
    if parts and not prefix and parts[0] in ("body", "query", "path"):
        parts = parts[1:]
    for part in (*prefix, *parts):
        if isinstance(part, int):
            place += f"[{part}]"
        else:
            place += ("." if place else "") + place_of(part)
    problem = _WORDS.get(kind)
    if place and kind in _NO_OBJECT:
        problem = "expected a JSON object"
    if problem is None:
        problem = item["msg"] if kind in _STATIC_MESSAGES else "not valid"
    return Place(place or "body", problem)


def _on_http_exception(request: Request, error: Exception) -> Response:
    """What Starlette raises by itself: no such route, wrong method, unreadable body."""
    assert isinstance(error, HTTPException)
    answer = _BY_STATUS.get(error.status_code) or replace(
        _BY_STATUS[400], status=error.status_code, slug="http", title="The request was refused"
    )
    return respond(request.url.path, answer, headers=error.headers)
