"""
ITI-104: `PUT Patient?identifier=system|value`, a source's own patient created, revised or merged.

A key feeds as the configured source of its name: it states identities for the domains that source
feeds and the key may see. What is answered is durable.

Source: IHE PIXm 3.1, ITI-104; FHIR R4 http.html#cond-update.
"""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from mpi.api.dependencies import MayFeed, Session
from mpi.api.fhir.formats import FhirResponse, also_in_xml, described
from mpi.api.problems import outcome
from mpi.errors import InvalidIdentity
from mpi.feeds.fhir.messages import message_of_update
from mpi.feeds.fhir.patient import Asked
from mpi.feeds.hl7v2.problems import SenderNotPermitted
from mpi.identity.tabular import text_of
from mpi.index.events import MessageState
from mpi.index.parties import PatientIdentitySource

router = APIRouter()

_ANSWER = described("Taken: 201 for a new identifier, 200 otherwise.", "OperationOutcome")


@router.put(
    "/Patient",
    response_class=FhirResponse,
    response_model=None,
    responses=_ANSWER,
    openapi_extra=also_in_xml("Patient"),
)
def feed(
    session: MayFeed,
    body: Annotated[
        dict[str, Any], Body(media_type="application/fhir+json", description="A Patient (FR Core).")
    ],
    identifier: Annotated[
        list[str] | None,
        Query(description="`system|value`, such as `urn:oid:2.999.1.1|A1001`; once, and in the body too."),
    ] = None,
) -> Response:
    """State who a patient is, or by whom it is replaced (ITI-104)."""
    source = source_of(session)
    tokens = [token for token in identifier or () if token]
    if len(tokens) != 1:
        code, text = ("required", "is required") if not tokens else ("invalid", "may be given once")
        return outcome(400, [(code, f"identifier {text}")])
    try:
        asked = _asked(tokens[0])
    except InvalidIdentity as error:
        return outcome(400, [("invalid", str(error))])
    message, is_stated = message_of_update(
        body,
        asked,
        source=source,
        directory=session.directory,
        store=session.store,
        received=datetime.now(UTC),
    )
    receipt = message.hand_to(session.registry)
    if receipt.error is not None:
        raise receipt.error
    is_new = receipt.state is MessageState.APPLIED and not is_stated and not _merges(body)
    return FhirResponse(_taken(receipt.warnings), 201 if is_new else 200)


def source_of(session: Session) -> PatientIdentitySource:
    """
    The source a caller feeds as, limited to the domains its key may see.

    Raises:
        SenderNotPermitted: no source has its name, or none of the source's domains is the key's.
    """
    caller = session.caller
    named = (one for one in session.directory.sources if one.name == caller.name)
    source = next(named, None)
    feeds = tuple(key for key in source.feeds if key in session.visible) if source is not None else ()
    if source is None or not feeds:
        raise SenderNotPermitted("key", "this key may not state identities")
    return replace(source, feeds=feeds)


def _asked(token: str) -> Asked:
    """`system|value`; FHIR escapes a bar inside with a backslash."""
    system, _, value = token.partition("|")
    for escaped in "\\|", "\\,", "\\$", "\\\\":
        value = value.replace(escaped, escaped[1])
    system, value = text_of("identifier", system), text_of("identifier", value)
    if not (system and value):
        raise InvalidIdentity("identifier", "expected system|value")
    return Asked(system, value)


def _merges(body: dict[str, Any]) -> bool:
    return body.get("active") is False


def _taken(warnings: tuple[str, ...]) -> dict[str, Any]:
    """What was tolerated, or that nothing had to be."""
    issues = [
        {"severity": "warning", "code": "informational", "diagnostics": warning} for warning in warnings
    ] or [{"severity": "information", "code": "informational", "diagnostics": "taken"}]
    return {"resourceType": "OperationOutcome", "issue": issues}
