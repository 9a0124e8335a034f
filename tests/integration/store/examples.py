"""Values for the store's tests: short to write, complete enough to come back different if anything is lost."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mpi.identity.model import (
    AssigningAuthority,
    Demographics,
    NameUse,
    PartialDate,
    PatientIdentifier,
    PersonName,
    RecordKey,
    SourceRecord,
    Urgency,
    Witness,
)
from mpi.identity.traits import Traits, normalise
from mpi.index.audit import AuditEvent
from mpi.index.events import Envelope, Fact, FactKind, MessageState, Protocol
from mpi.index.graph import Edge
from mpi.index.ports import StoredRecord, UnitOfWork
from mpi.matching.decision import Decision
from mpi.matching.model import Evidence
from mpi.matching.online import ScoredPair

NOON = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
CHU = AssigningAuthority("CHU", "1.2.250.1.999.1", "ISO")
EVERY_TEXT = "Ça «\x00» œ \ud83d \x1a0000 😀"
"""NUL, a lone surrogate, and the store's own escape: all may arrive in a message."""

DEMOGRAPHICS = Demographics(
    names=(
        PersonName("Lefèvre", "Anne", "Anne Marie", use=NameUse.BIRTH),
        PersonName("D'Œuvre", "Anne", use=NameUse.USED),
    ),
    birth_date=PartialDate(1979, 3),
    birth_date_interpreted=True,
    sex="F",
    birth_place_code="75112",
    phones=("0612345678",),
    ins="279036912345678",
    multiple_birth=False,
    identity_codes=("VALI",),
    deleted=frozenset({"email"}),
)


def later(minutes: float) -> datetime:
    """NOON, and some minutes."""
    return NOON + timedelta(minutes=minutes)


def key(value: str, epoch: int = 0) -> RecordKey:
    """A record key of the one domain."""
    return RecordKey("1.2.250.1.999.1", value, epoch)


def envelope(control_id: str = "M1", *, source: str = "SIH", content: str = "content") -> Envelope:
    """A received message."""
    return Envelope(
        Protocol.HL7V2, source, "APP", "CHU", control_id, content, b"MSH|^~\\&|\r\xff\x00", "ADT^A28"
    )


def statement(value: str, *, minutes: float = 0, demographics: Demographics = DEMOGRAPHICS) -> SourceRecord:
    """A statement with everything a statement may have."""
    return SourceRecord(
        identifier=PatientIdentifier(value, CHU, "PI"),
        domain=key(value).domain,
        demographics=demographics,
        event_time=later(minutes),
        source="SIH",
        others=(
            PatientIdentifier("279036912345678", AssigningAuthority("", "1.2.250.1.213.1.4.8", "ISO"), "INS"),
        ),
        witness=Witness.HEADER,
        urgency=Urgency.EMERGENCY,
        warnings=("PID-5: tolerated",),
    )


def add_message(uow: UnitOfWork, control_id: str = "") -> int:
    """A message in the journal, without a name unless one is given."""
    return uow.inbox.add(envelope(control_id), received_at=NOON, state=MessageState.APPLIED)


def add_record(
    uow: UnitOfWork, value: str, *, epoch: int = 0, keys: tuple[int, ...] = (), family: str = ""
) -> int:
    """A record with its current fold, and a native identifier derived from its key."""
    euid = f"EUID-{ascii(value)[1:-1]}" + (f"/{epoch}" if epoch else "")
    record_id = uow.records.add(key(value, epoch), euid)
    demographics = (
        DEMOGRAPHICS if not family else Demographics(names=(PersonName(family, "ANNE", use=NameUse.BIRTH),))
    )
    save(uow, record_id, keys=keys, demographics=demographics)
    return record_id


def save(
    uow: UnitOfWork,
    record_id: int,
    *,
    keys: tuple[int, ...] = (),
    demographics: Demographics = DEMOGRAPHICS,
    first_event_time: datetime = NOON,
) -> StoredRecord:
    """Give a record another fold, with everything a fold may have."""
    folded = replace(
        uow.records.get(record_id),
        first_event_time=first_event_time,
        demographics=demographics,
        traits=normalise(demographics),
        urgency=Urgency.PRESENT,
        held_since=later(90),
    )
    uow.records.save_current(folded, blocking_keys=keys)
    return folded


def blank_record(record_id: int, value: str) -> StoredRecord:
    """A record of which nothing is known."""
    return StoredRecord(record_id, key(value), f"EUID-{value}", None, Demographics(), Traits())


def move(uow: UnitOfWork, record_id: int, euid: str, *, at: datetime = NOON) -> None:
    """Put a record into an enterprise record."""
    uow.memberships.move(record_id, euid, at=at, cause="message/1", model_version="test-1")


def edge(left_id: int, right_id: int, *, bits: float = 12.5) -> Edge:
    """A scored pair."""
    return Edge(
        left_id=left_id,
        right_id=right_id,
        score=ScoredPair(
            weight_bits=bits,
            probability=0.1 + 0.2,  # not 0.3: every bit of a weight must come back
            decision=Decision.REVIEW,
            evidence=(Evidence("family_name", "exact", 9.1), Evidence("sex", "exact", -0.1)),
            guards=("twins",),
            contradicts=True,
        ),
        model_version="test-1",
    )


def fact(left: str, right: str, *, kind: FactKind = FactKind.SAME, message_id: int | None = None) -> Fact:
    """An assertion about two keys."""
    return Fact(
        id=0,
        kind=kind,
        left=key(left),
        right=key(right),
        actor="user:é",
        event_time=NOON,
        recorded_at=later(1),
        reason="même personne",
        message_id=message_id,
    )


def event(number: int, *, kind: str = "identity.stated") -> AuditEvent:
    """An audit event."""
    return AuditEvent("source:SIH", "C", kind, f"record/{number}", later(number), {"b": 1.5, "a": ["é"]})
