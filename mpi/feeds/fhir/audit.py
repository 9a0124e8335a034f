"""
An event of the audit trail as an AuditEvent: who did what, to what, and whether it could. Never a trait.

Source: FHIR R4 AuditEvent; IHE BALP; DICOM PS3.15 A.5 (codes, see `mpi.index.audit_events`).
"""

from typing import Any, Final

from mpi.index.audit import ChainedEvent
from mpi.index.audit_events import DCM, Code, Participant, coded

EVENT_KINDS: Final = "urn:mpi:audit-event"
SUBJECTS: Final = "urn:mpi:audit-subject"
IHE_TRANSACTIONS: Final = "urn:ihe:event-type-code"
_DICOM: Final = "http://dicom.nema.org/resources/ontology/DCM"
_EVENT_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_INTERACTIONS: Final = "http://hl7.org/fhir/restful-interaction"
_ENTITY_TYPE: Final = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE: Final = "http://terminology.hl7.org/CodeSystem/object-role"
_REST: Final = {"ITI-78": "search", "ITI-83": "operation", "ITI-104": "update", "ITI-119": "operation"}
"""Transactions that are an interaction of FHIR, and which one."""
_PERSONS: Final = frozenset({"euid", "person"})
_SYSTEMS: Final = {DCM: _DICOM, "IHE Transactions": IHE_TRANSACTIONS}
OWN_NAME: Final = "mpi"


def audit_event_of(item: ChainedEvent) -> dict[str, Any]:
    """Write one event; its id is its place in the chain."""
    event = item.event
    codes = coded(event)
    interaction = _REST.get(codes.transaction.code) if codes.transaction is not None else None
    subtypes = [{"system": EVENT_KINDS, "code": event.kind}]
    if codes.transaction is not None:
        subtypes.insert(0, _coding(codes.transaction))
    if interaction is not None:
        subtypes.insert(0, {"system": _INTERACTIONS, "code": interaction})
    return {
        "resourceType": "AuditEvent",
        "id": str(item.sequence),
        "type": _coding(codes.event_id)
        if interaction is None
        else {"system": _EVENT_TYPE, "code": "rest", "display": "RESTful Operation"},
        "subtype": subtypes,
        "action": event.action,
        "recorded": event.at.isoformat(timespec="milliseconds"),
        "outcome": codes.outcome.value,
        "agent": [_agent(participant) for participant in codes.participants],
        "source": {"observer": {"display": OWN_NAME}},
        "entity": [
            {
                "what": _what(event.subject),
                "type": {"system": _ENTITY_TYPE, "code": codes.object.type_code},
                "role": {"system": _ROLE, "code": codes.object.role},
            }
        ],
    }


def _agent(participant: Participant) -> dict[str, Any]:
    agent: dict[str, Any] = {
        "who": {"identifier": {"value": participant.user_id}}
        if participant.user_id
        else {"display": OWN_NAME},
        "requestor": participant.is_requestor,
    }
    if participant.role is not None:
        agent = {"type": {"coding": [_coding(participant.role)]}, **agent}
    return agent


def _what(subject: str) -> dict[str, Any]:
    kind, _, name = subject.partition("/")
    if kind in _PERSONS and name not in ("", "unknown"):
        return {"reference": f"Patient/{name}"}
    return {"identifier": {"system": SUBJECTS, "value": subject}}


def _coding(code: Code) -> dict[str, Any]:
    return {"system": _SYSTEMS[code.system], "code": code.code, "display": code.display}
