"""
What each event of our audit trail is called by ITI-20: its EventID, EventTypeCode, action, roles and object.

One table for everybody who renders the trail: FHIR AuditEvent, audit messages, and the tests of row A01. An
event of a kind that no row names is still an event: it is application activity.

Source: DICOM PS3.15 A.5 (audit trail message format), PS3.16 CID 400 (EventID) and CID 402 (RoleIDCode);
IHE ITI TF-2 3.8.5, 3.9.5, 3.10.5, 3.20, 3.21.5, 3.30.5, 3.31.5; PIXm 3.83.5 and 3.104.5; PDQm 3.78.5 and
3.119.5; PMIR 3.93.5.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mpi.index.audit import AuditEvent

DCM: Final = "DCM"
IHE: Final = "IHE Transactions"


@dataclass(frozen=True, slots=True)
class Code:
    """A code, the system it is of (`DCM`, `IHE Transactions`), and its words."""

    code: str
    system: str
    display: str


APPLICATION_ACTIVITY: Final = Code("110100", DCM, "Application Activity")
AUDIT_LOG_USED: Final = Code("110101", DCM, "Audit Log Used")
EXPORT: Final = Code("110106", DCM, "Export")
PATIENT_RECORD: Final = Code("110110", DCM, "Patient Record")
QUERY: Final = Code("110112", DCM, "Query")
SECURITY_ALERT: Final = Code("110113", DCM, "Security Alert")

APPLICATION: Final = Code("110150", DCM, "Application")
DESTINATION: Final = Code("110152", DCM, "Destination Role ID")
SOURCE: Final = Code("110153", DCM, "Source Role ID")

TRANSACTIONS: Final = {
    name: Code(name, IHE, display)
    for name, display in (
        ("ITI-8", "Patient Identity Feed"),
        ("ITI-9", "PIX Query"),
        ("ITI-10", "PIX Update Notification"),
        ("ITI-21", "Patient Demographics Query"),
        ("ITI-30", "Patient Identity Management"),
        ("ITI-31", "Patient Encounter Management"),
        ("ITI-78", "Mobile Patient Demographics Query"),
        ("ITI-83", "Mobile Patient Identifier Cross-reference Query"),
        ("ITI-93", "Mobile Patient Identity Feed"),
        ("ITI-104", "Patient Identity Feed FHIR"),
        ("ITI-119", "Patient Demographics Match"),
    )
}

_FEEDS: Final = {
    **dict.fromkeys(("ADT^A01", "ADT^A04", "ADT^A05", "ADT^A08", "ADT^A40"), "ITI-8"),
    **dict.fromkeys(("ADT^A24", "ADT^A28", "ADT^A31", "ADT^A37", "ADT^A47"), "ITI-30"),
    "PUT Patient": "ITI-104",
    "DELETE Patient": "ITI-104",
    "patient-feed": "ITI-93",
}
"""What is fed by which transaction. Any other ADT is a movement: ITI-31. A header and a row are of no transaction."""

_CREATING: Final = frozenset({"ADT^A01", "ADT^A04", "ADT^A05", "ADT^A28"})


class Outcome(StrEnum):
    """EventOutcomeIndicator."""

    SUCCESS = "0"
    SERIOUS_FAILURE = "8"
    """The action was ended: a message refused or quarantined, a question not answered."""


@dataclass(frozen=True, slots=True)
class ObjectCode:
    """What an event is about: ParticipantObjectTypeCode and ParticipantObjectTypeCodeRole."""

    type_code: str
    role: str


PATIENT: Final = ObjectCode("1", "1")
REPORT: Final = ObjectCode("2", "3")
DOMAIN_RESOURCE: Final = ObjectCode("2", "4")
SECURITY_RESOURCE: Final = ObjectCode("2", "13")
JOB: Final = ObjectCode("2", "20")
ASKED: Final = ObjectCode("2", "24")

_OBJECTS: Final = {
    "record": PATIENT,
    "euid": PATIENT,
    "person": PATIENT,
    "query": ASKED,
    "list": ASKED,
    "key": SECURITY_RESOURCE,
    "action": SECURITY_RESOURCE,
    "relink": JOB,
    "sight": JOB,
    "report": REPORT,
}
"""By what the subject begins with, before its slash; anything else is a resource of this index."""

_KINDS: Final = {
    "identity": PATIENT_RECORD,
    "message.applied": PATIENT_RECORD,
    "message.quarantined": PATIENT_RECORD,
    "message.refused": PATIENT_RECORD,
    "message": APPLICATION_ACTIVITY,
    "patient": PATIENT_RECORD,
    "fact": PATIENT_RECORD,
    "review": PATIENT_RECORD,
    "notification.delivered": PATIENT_RECORD,
    "notification.dead": PATIENT_RECORD,
    "notification": APPLICATION_ACTIVITY,
    "correction": PATIENT_RECORD,
    "indicators": APPLICATION_ACTIVITY,
    "query": QUERY,
    "search": QUERY,
    "person": PATIENT_RECORD,
    "model.pairs_exported": EXPORT,
    "subscription": APPLICATION_ACTIVITY,
    "model": APPLICATION_ACTIVITY,
    "feeds": APPLICATION_ACTIVITY,
    "report": APPLICATION_ACTIVITY,
    "audit": AUDIT_LOG_USED,
    "key": SECURITY_ALERT,
    "access": SECURITY_ALERT,
}
"""By kind, else by what a kind begins with, before its dot."""


@dataclass(frozen=True, slots=True)
class Participant:
    """
    An active participant.

    Args:
        user_id: `source:…`, `consumer:…`, `key:…`, `user:…` or `system` as the trail names it; empty for
            this index itself.
        role: None for a person.
    """

    user_id: str
    role: Code | None
    is_requestor: bool


@dataclass(frozen=True, slots=True)
class CodedEvent:
    """
    One event of the trail as ITI-20 codes it.

    Args:
        transaction: the EventTypeCode; None for what no transaction of IHE asks.
        object: what it was done to.
        patients: the records and enterprise records it touched or answered with, by this index's own names;
            each is a patient object (type 1, role 1).
    """

    event_id: Code
    action: str
    transaction: Code | None
    outcome: Outcome
    participants: tuple[Participant, ...]
    object: ObjectCode
    patients: tuple[str, ...] = ()


def coded(event: AuditEvent) -> CodedEvent:
    """An event of the trail in the codes of ITI-20."""
    family, _, _ = event.kind.partition(".")
    name = _transaction(event)
    return CodedEvent(
        event_id=_KINDS.get(event.kind) or _KINDS.get(family, APPLICATION_ACTIVITY),
        action=event.action,
        transaction=TRANSACTIONS[name] if name else None,
        outcome=_outcome(event.kind),
        participants=_participants(event),
        object=_OBJECTS.get(event.subject.partition("/")[0], DOMAIN_RESOURCE),
        patients=_patients(event),
    )


def action_of_statement(event: str) -> str:
    """C for the triggers that register a patient, U for every other statement (ITI TF-2 3.8.5.1.1)."""
    return "C" if event in _CREATING else "U"


def families() -> frozenset[str]:
    """What the kinds of the table begin with."""
    return frozenset(kind.partition(".")[0] for kind in _KINDS)


def _transaction(event: AuditEvent) -> str:
    is_hl7 = event.actor.startswith("consumer:")
    match event.kind.removesuffix(".refused"):
        case "query.cross_reference":
            return "ITI-9" if is_hl7 else "ITI-83"
        case "query.search" | "query.demographics":
            return "ITI-21" if is_hl7 else "ITI-78"
        case "query.match":
            return "ITI-119"
        case "notification.delivered" | "notification.dead" if event.details.get("channel") == "mllp":
            return "ITI-10"
        case kind if kind.startswith(("identity.", "message.")):
            trigger = str(event.details.get("event", ""))
            return _FEEDS.get(trigger) or ("ITI-31" if trigger.startswith("ADT^") else "")
        case _:
            return ""


def _outcome(kind: str) -> Outcome:
    failed = kind.endswith((".refused", ".quarantined", ".denied", ".failed", ".dead"))
    return Outcome.SERIOUS_FAILURE if failed else Outcome.SUCCESS


def _participants(event: AuditEvent) -> tuple[Participant, ...]:
    """Who did it, and this index: what asks or sends is the source, what is asked or told the destination."""
    actor, told = event.actor, event.details.get("addressee")
    if actor.partition(":")[0] == "system":
        if told:
            return Participant("", SOURCE, True), Participant(f"consumer:{told}", DESTINATION, False)
        return (Participant("", APPLICATION, True),)
    if actor.startswith("user:"):
        return Participant(actor, None, True), Participant("", APPLICATION, False)
    return Participant(actor, SOURCE, True), Participant("", DESTINATION, False)


def _patients(event: AuditEvent) -> tuple[str, ...]:
    subject = event.subject.partition("/")[0]
    if _OBJECTS.get(subject) is PATIENT:
        return (event.subject,)
    touched = event.details.get("records") or event.details.get("named") or ()
    if not isinstance(touched, list | tuple):
        return ()
    return tuple(f"record/{one}" if isinstance(one, int) else f"euid/{one}" for one in touched)
