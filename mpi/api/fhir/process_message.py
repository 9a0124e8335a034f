"""
ITI-93: `$process-message`, a patient identity feed by FHIR messaging. Each entry of its history is one message.

Source: IHE PMIR, ITI-93; FHIR R4 messaging.html, OperationDefinition MessageHeader-process-message.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import uuid4

from fastapi import APIRouter, Body, Request

from mpi.api.dependencies import MayFeed
from mpi.api.fhir.bundles import issue
from mpi.api.fhir.feed import source_of
from mpi.api.fhir.formats import FhirResponse, also_in_xml, described
from mpi.api.fhir.references import base_of
from mpi.api.fhir.refusals import Refused
from mpi.api.problems import answer_for
from mpi.errors import MpiError, UnsupportedMessage
from mpi.feeds.fhir.messages import PATIENT_FEED, messages_of_bundle

router = APIRouter()

RESPONSE_EVENT: Final = f"{PATIENT_FEED}-response"
MOST_ENTRIES: Final = 1_000
_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}", re.ASCII)


@router.post(
    "/$process-message",
    response_class=FhirResponse,
    response_model=None,
    responses=described("What became of each entry: a Bundle of type message.", "Bundle"),
    openapi_extra=also_in_xml("Bundle"),
)
def process_message(
    request: Request,
    session: MayFeed,
    body: Annotated[
        dict[str, Any],
        Body(
            media_type="application/fhir+json",
            description="A Bundle of type message: MessageHeader, then a Bundle of type history (ITI-93).",
        ),
    ],
) -> FhirResponse:
    """Take a patient identity feed message (ITI-93)."""
    source = source_of(session)
    header, entries = _read(body)
    name = "|".join(str(text or "") for text in (header.get("id"), body.get("id"), body.get("timestamp")))
    answered: list[dict[str, Any]] = []
    failed = False
    feed = messages_of_bundle(body, name, source, session.directory, received=datetime.now(UTC))
    for entry, message in zip(entries, feed, strict=True):
        receipt = message.hand_to(session.registry)
        failed |= receipt.error is not None
        answered.append(_answer(entry, receipt.error, receipt.warnings))
    return FhirResponse(_message(base_of(request), answered, _id_of(header), failed))


def _read(body: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """
    The header, and the entries of the history.

    Raises:
        Refused: 400, it is not exactly a MessageHeader and a history.
    """
    parts = body.get("entry")
    if body.get("resourceType") != "Bundle" or body.get("type") != "message" or not isinstance(parts, list):
        raise Refused(400, "structure", "a Bundle of type message is expected")
    resources: list[dict[str, Any]] = [
        part["resource"]
        for part in parts
        if isinstance(part, dict) and isinstance(part.get("resource"), dict)
    ]
    if len(parts) != 2 or len(resources) != 2:
        raise Refused(400, "structure", "exactly two entries are expected: MessageHeader and Bundle")
    header, history = resources
    if header.get("resourceType") != "MessageHeader" or header.get("eventUri") != PATIENT_FEED:
        raise Refused(400, "not-supported", f"a MessageHeader of the event {PATIENT_FEED} is expected")
    entries = history.get("entry", [])
    if history.get("resourceType") != "Bundle" or history.get("type") != "history":
        raise Refused(400, "structure", "a Bundle of type history is expected in the message")
    if not isinstance(entries, list) or len(entries) > MOST_ENTRIES:
        raise Refused(400, "too-costly", f"at most {MOST_ENTRIES} entries are expected in the history")
    if any(_is_nested(entry) for entry in entries):
        raise Refused(400, "structure", "an entry of the history may not be a Bundle")
    return header, entries


def _id_of(header: dict[str, Any]) -> str:
    """The id of the message, to be answered with; `unknown` when it has none that could be."""
    found = header.get("id")
    return found if isinstance(found, str) and _ID.fullmatch(found) else "unknown"


def _is_nested(entry: Any) -> bool:
    """Whether an entry would not be one message."""
    resource = entry.get("resource") if isinstance(entry, dict) else None
    return isinstance(resource, dict) and resource.get("resourceType") in ("Bundle", "MessageHeader")


def _answer(entry: Any, error: Exception | None, warnings: tuple[str, ...]) -> dict[str, Any]:
    issues = [issue("warning", "informational", warning) for warning in warnings]
    status = "200"
    if isinstance(error, MpiError):
        answer = answer_for(error)
        status = "405" if isinstance(error, UnsupportedMessage) else str(answer.status)
        issues = [issue("error", answer.issue, str(error) if answer.says_why else answer.title)]
    request = entry.get("request") if isinstance(entry, dict) else None
    method = request.get("method") if isinstance(request, dict) else None
    response: dict[str, Any] = {"status": status}
    if issues:
        response["outcome"] = {"resourceType": "OperationOutcome", "issue": issues}
    return {
        "request": {"method": method if method in ("POST", "PUT", "DELETE") else "PUT", "url": "Patient"},
        "response": response,
    }


def _message(base: str, answered: list[dict[str, Any]], asked: str, failed: bool) -> dict[str, Any]:
    history_url = f"urn:uuid:{uuid4()}"
    header = {
        "resourceType": "MessageHeader",
        "eventUri": RESPONSE_EVENT,
        "source": {"name": "mpi", "endpoint": base},
        "response": {"identifier": asked, "code": "fatal-error" if failed else "ok"},
        "focus": [{"reference": history_url}],
    }
    history: dict[str, Any] = {"resourceType": "Bundle", "type": "history"}
    if answered:
        history["entry"] = answered
    return {
        "resourceType": "Bundle",
        "type": "message",
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "entry": [
            {"fullUrl": f"urn:uuid:{uuid4()}", "resource": header},
            {"fullUrl": history_url, "resource": history},
        ],
    }
