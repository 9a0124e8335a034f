"""
Subscriptions: who asks to be told of changes of people, over rest-hook.

A subscription tells of what its owner saw when it was made, and of nothing else; it belongs to the key that made it.

Source: FHIR R4 Subscription; IHE PMIR, ITI-94.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Body, Path, Request
from starlette.responses import Response

from mpi.api.dependencies import MaySubscribe, Session
from mpi.api.fhir.bundles import searchset
from mpi.api.fhir.formats import FHIR_XML, FhirResponse, also_in_xml, described
from mpi.api.fhir.references import base_of
from mpi.api.fhir.refusals import Refused
from mpi.api.problems import FHIR_JSON
from mpi.errors import InvalidIdentity
from mpi.index.audit import AuditEvent
from mpi.index.ports import Subscription, SubscriptionStatus
from mpi.index.subscriptions import Criteria
from mpi.notify.web import may_be_told

router = APIRouter()

MOST_PER_OWNER: Final = 100
_REASON: Final = "changes of people"
_REST_HOOK: Final = "rest-hook"
_PAYLOADS: Final = ("", FHIR_JSON, FHIR_XML)
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}: ?[\x21-\x7e][\x20-\x7e]{0,1000}")
_ELEMENTS: Final = frozenset(
    {"resourceType", "id", "meta", "text", "status", "reason", "criteria", "channel", "contact"}
)
_ANSWER: Final = described("The subscription.", "Subscription")
SubscriptionId = Annotated[str, Path(alias="id", max_length=64, description="Its id.")]


@router.post(
    "/Subscription",
    status_code=201,
    response_class=FhirResponse,
    response_model=None,
    responses={**_ANSWER, 201: _ANSWER[200]},
    openapi_extra=also_in_xml("Subscription"),
)
def create(
    request: Request,
    session: MaySubscribe,
    body: Annotated[
        dict[str, Any],
        Body(
            media_type="application/fhir+json",
            description="A Subscription: criteria on Patient, and a rest-hook of a host that is allowed.",
        ),
    ],
) -> FhirResponse:
    """Ask to be told of changes (ITI-94). It is active at once."""
    wanted = _read(request, session, body)
    with session.store.write() as uow:
        own = [one for one in uow.subscriptions.all(owner=session.caller.name) if _is_kept(one)]
        if len(own) >= MOST_PER_OWNER:
            raise Refused(422, "too-costly", f"a key may have {MOST_PER_OWNER} subscriptions")
        number = uow.subscriptions.add(wanted)
        created = uow.subscriptions.get(number)
        uow.audit.append(_event(session, "C", "subscription.created", number))
        uow.commit()
    assert created is not None  # it was added in this transaction
    location = f"{base_of(request)}/Subscription/{number}"
    return FhirResponse(_resource(created), 201, headers={"Location": location})


@router.get(
    "/Subscription",
    response_class=FhirResponse,
    response_model=None,
    responses=described("The caller's own subscriptions.", "Bundle"),
)
def search(request: Request, session: MaySubscribe) -> FhirResponse:
    """List the caller's own subscriptions."""
    base = base_of(request)
    with session.store.read() as uow:
        own = [one for one in uow.subscriptions.all(owner=session.caller.name) if _is_kept(one)]
    entries = [
        {
            "fullUrl": f"{base}/Subscription/{one.id}",
            "resource": _resource(one),
            "search": {"mode": "match"},
        }
        for one in own
    ]
    return FhirResponse(searchset(entries, total=len(own), links=[("self", f"{base}/Subscription")]))


@router.get("/Subscription/{id}", response_class=FhirResponse, response_model=None, responses=_ANSWER)
def read(subscription_id: SubscriptionId, session: MaySubscribe) -> FhirResponse:
    """Read one of the caller's own subscriptions."""
    return FhirResponse(_resource(_own(session, subscription_id)))


@router.delete(
    "/Subscription/{id}",
    status_code=204,
    response_class=Response,
    response_model=None,
    responses={204: {"description": "It is off."}, "default": _ANSWER["default"]},
)
def delete(subscription_id: SubscriptionId, session: MaySubscribe) -> Response:
    """End one of the caller's own subscriptions."""
    own = _own(session, subscription_id)
    with session.store.write() as uow:
        uow.subscriptions.change(own.id, status=SubscriptionStatus.OFF)
        uow.audit.append(_event(session, "D", "subscription.ended", own.id))
        uow.commit()
    return Response(status_code=204)


def _is_kept(subscription: Subscription) -> bool:
    return subscription.status is not SubscriptionStatus.OFF


def _own(session: Session, subscription_id: str) -> Subscription:
    """
    Raises:
        Refused: 404, not the caller's; 410, it was ended.
    """
    found = None
    if subscription_id.isascii() and subscription_id.isdigit() and len(subscription_id) <= 18:
        with session.store.read() as uow:
            found = uow.subscriptions.get(int(subscription_id))
    if found is None or found.owner != session.caller.name:
        raise Refused(404, "not-found", "no such Subscription")
    if not _is_kept(found):
        raise Refused(410, "deleted", "this Subscription was ended")
    return found


def _read(request: Request, session: Session, body: dict[str, Any]) -> Subscription:
    """
    What is asked, checked.

    Raises:
        Refused: 400 or 422, it is not one this index can do as asked.
    """
    if body.get("resourceType") != "Subscription":
        raise Refused(400, "structure", "a Subscription is expected")
    if not set(body) <= _ELEMENTS:
        raise Refused(422, "not-supported", f"expected no other elements than {', '.join(sorted(_ELEMENTS))}")
    if body.get("status") not in (SubscriptionStatus.REQUESTED, SubscriptionStatus.ACTIVE):
        raise Refused(422, "value", "status: expected requested")
    if not isinstance(body.get("reason"), str) or not body["reason"].strip():
        raise Refused(422, "required", "reason: required")
    criteria = body.get("criteria")
    channel = body.get("channel")
    if not isinstance(criteria, str) or not isinstance(channel, dict):
        raise Refused(422, "required", "criteria and channel: required")
    _check_criteria(session, criteria)
    endpoint, payload = channel.get("endpoint"), channel.get("payload", "")
    if channel.get("type") != _REST_HOOK:
        raise Refused(422, "not-supported", f"channel.type: expected {_REST_HOOK}")
    if payload not in _PAYLOADS:
        raise Refused(422, "not-supported", f"channel.payload: expected none, {FHIR_JSON} or {FHIR_XML}")
    hosts = cast("frozenset[str]", request.app.state.subscription_hosts)
    if not isinstance(endpoint, str) or not may_be_told(endpoint, hosts):
        raise Refused(
            422, "business-rule", "channel.endpoint: not an https address of a host that is allowed"
        )
    return Subscription(
        id=0,
        owner=session.caller.name,
        domains=session.visible,
        criteria=criteria.strip(),
        endpoint=endpoint,
        header=_header(channel.get("header", [])),
        payload=payload,
        status=SubscriptionStatus.ACTIVE,
        created_at=datetime.now(UTC),
    )


def _check_criteria(session: Session, text: str) -> None:
    """A domain that the caller may not see is answered as an unknown one."""
    try:
        criteria = Criteria.parse(text, session.directory.domains)
    except InvalidIdentity as error:
        raise Refused(422, "invalid", str(error)) from None
    if criteria.domain and criteria.domain not in session.visible:
        raise Refused(422, "invalid", "Subscription.criteria: unknown identifier system")


def _header(headers: Any) -> str:
    if not isinstance(headers, list) or len(headers) > 1:
        raise Refused(422, "not-supported", "channel.header: expected one at most")
    if not headers:
        return ""
    if not isinstance(headers[0], str) or not _HEADER.fullmatch(headers[0]):
        raise Refused(422, "value", "channel.header: expected Name: value")
    return headers[0]


def _resource(subscription: Subscription) -> dict[str, Any]:
    """A subscription as it is shown; its header is a secret, and is not."""
    channel = {"type": _REST_HOOK, "endpoint": subscription.endpoint}
    if subscription.payload:
        channel["payload"] = subscription.payload
    resource: dict[str, Any] = {
        "resourceType": "Subscription",
        "id": str(subscription.id),
        "status": subscription.status.value,
        "reason": _REASON,
        "criteria": subscription.criteria,
        "channel": channel,
    }
    if subscription.error:
        resource["error"] = subscription.error
    return resource


def _event(session: Session, action: str, kind: str, number: int) -> AuditEvent:
    return AuditEvent(session.caller.actor, action, kind, f"subscription/{number}", datetime.now(UTC))
