"""
Notifications over HTTP: signed webhooks, and the rest-hooks of FHIR subscriptions.

Nothing is asked of a host that was not configured: addresses are fixed, redirects are not followed, and no
proxy of the environment is used. What an addressee answers is not read beyond its status.

Source: CloudEvents 1.0 (JSON format); RFC 2104 (HMAC); HL7 FHIR R4 Subscription (rest-hook).
"""

import hashlib
import hmac
import json
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from xml.sax.saxutils import quoteattr

import httpx2

from mpi.identity.domains import Domains
from mpi.identity.model import AssigningAuthority
from mpi.index.audit import AuditEvent
from mpi.index.notices import PIX_UPDATE, members_of, standing, subscriber
from mpi.index.ports import Clock, OutboxRow, Store, Subscription, SubscriptionStatus
from mpi.notify.sender import DELIVERED, Outcome, Verdict

SIGNATURE_HEADER = "MPI-Signature"
EVENT_TYPES = {PIX_UPDATE: "mpi.person.identifiers"}
FHIR_JSON, FHIR_XML = "application/fhir+json", "application/fhir+xml"
_TRANSIENT = frozenset({408, 421, 425, 429})


def web_client(*, timeout_seconds: float, tls: ssl.SSLContext | None = None) -> httpx2.Client:
    """A client that goes where it is sent, and nowhere else."""
    return httpx2.Client(
        timeout=timeout_seconds,
        follow_redirects=False,
        trust_env=False,
        verify=tls if tls is not None else True,
    )


def signature(secret: str, body: bytes, *, at: datetime) -> str:
    """
    What proves that this index sent a body, and when: `t=SECONDS,v1=HEX`.

    HMAC-SHA-256, under the secret, of the seconds, a full stop and the body.
    """
    seconds = str(int(at.timestamp()))
    digest = hmac.new(secret.encode(), seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


class Webhook:
    """
    Posts events to one configured address.

    Args:
        secret: signs each event; only the consumer has it too.
        own: this index's authority, the `source` of events.
    """

    def __init__(
        self,
        address: str,
        secret: str,
        *,
        own: AssigningAuthority,
        domains: Domains,
        clock: Clock,
        client: Callable[[], httpx2.Client],
    ) -> None:
        self._address = address
        self._secret = secret
        self._own = own
        self._domains = domains
        self._clock = clock
        self._client_of = client
        self._client: httpx2.Client | None = None

    def send(self, row: OutboxRow) -> Outcome:
        """Post one event."""
        body = json.dumps(self.event(row), separators=(",", ":"), ensure_ascii=False).encode()
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            SIGNATURE_HEADER: signature(self._secret, body, at=self._clock()),
        }
        if self._client is None:
            self._client = self._client_of()
        return _post(self._client, self._address, body, headers)

    def event(self, row: OutboxRow) -> dict[str, Any]:
        """A row as an event: whose identifiers are one person's, those that the consumer may see."""
        return {
            "specversion": "1.0",
            "id": row.control_id,
            "source": f"urn:oid:{self._own.universal_id}",
            "type": EVENT_TYPES[row.kind],
            "time": row.created_at.astimezone(UTC).isoformat(),
            "datacontenttype": "application/json",
            "data": {
                "identifiers": [
                    {
                        "domain": authority.namespace,
                        "universal_id": authority.universal_id,
                        "universal_id_type": authority.universal_id_type,
                        "id": key.value,
                    }
                    for key in members_of(row.payload)
                    for authority in (self._domains.by_key(key.domain).authority,)
                ]
            },
        }

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None


class RestHook:
    """
    Tells one FHIR subscriber that a person changed: without content, or with the id of the Patient.

    Args:
        hosts: `host` or `host:port` that subscriptions may name; all others are refused.
    """

    def __init__(
        self,
        store: Store,
        *,
        hosts: frozenset[str],
        clock: Clock,
        client: Callable[[], httpx2.Client],
    ) -> None:
        self._store = store
        self._clock = clock
        self._hosts = hosts
        self._client_of = client
        self._client: httpx2.Client | None = None

    def send(self, row: OutboxRow) -> Outcome:
        """Post one notification, if it is still asked for."""
        with self._store.read() as uow:
            asked = next((one for one in standing(uow) if subscriber(one) == row.consumer), None)
        if asked is None:
            return Outcome(Verdict.UNWANTED, "the subscription ended")
        if not may_be_told(asked.endpoint, self._hosts):
            return Outcome(Verdict.REFUSED, "the host is not allowed any more")
        if self._client is None:
            self._client = self._client_of()
        outcome = _post(self._client, asked.endpoint, *_hook(asked, row))
        if outcome.verdict is Verdict.REFUSED:
            self._end(asked, outcome.problem)
        return outcome

    def _end(self, subscription: Subscription, problem: str) -> None:
        with self._store.write() as uow:
            uow.subscriptions.change(subscription.id, status=SubscriptionStatus.ERROR, error=problem)
            subject = f"subscription/{subscription.id}"
            uow.audit.append(AuditEvent("system:relay", "U", "subscription.failed", subject, self._clock()))
            uow.commit()

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None


def may_be_told(endpoint: str, hosts: frozenset[str]) -> bool:
    """
    Whether a subscription may name an address: https to a host that is listed; http to this machine only, if listed.

    Args:
        hosts: `host`, for its usual port, or `host:port`.
    """
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return False
    host = parts.hostname or ""
    if parts.username is not None or parts.fragment or parts.scheme not in ("https", "http"):
        return False
    if parts.scheme == "http" and host not in ("127.0.0.1", "::1", "localhost"):
        return False
    named = f"[{host}]" if ":" in host else host
    return (named if port is None else f"{named}:{port}") in hosts


def _hook(subscription: Subscription, row: OutboxRow) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a rest-hook notification."""
    headers = {}
    name, _, value = subscription.header.partition(":")
    if name.strip():
        headers[name.strip()] = value.strip()
    person = str(row.payload["person"])
    if subscription.payload == FHIR_JSON:
        body = json.dumps({"resourceType": "Patient", "id": person}, separators=(",", ":")).encode()
    elif subscription.payload == FHIR_XML:
        body = f'<Patient xmlns="http://hl7.org/fhir"><id value={quoteattr(person)}/></Patient>'.encode()
    else:
        return b"", headers
    return body, {**headers, "Content-Type": f"{subscription.payload}; charset=utf-8"}


def _post(client: httpx2.Client, address: str, body: bytes, headers: Mapping[str, str]) -> Outcome:
    try:
        with client.stream("POST", address, content=body, headers=dict(headers)) as answer:
            status = answer.status_code
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
        return Outcome(Verdict.UNREACHABLE, "no connection")
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        return Outcome(Verdict.LATER, f"no answer ({type(error).__name__})")
    if 200 <= status < 300:
        return DELIVERED
    if status >= 500 or status in _TRANSIENT:
        return Outcome(Verdict.LATER, f"HTTP {status}")
    return Outcome(Verdict.REFUSED, f"HTTP {status}")
