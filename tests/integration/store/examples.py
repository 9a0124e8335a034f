"""Values for the store's tests: short to write, complete enough to come back different if anything is lost."""

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
    Witness,
)
from mpi.identity.traits import normalise
from mpi.index.audit import AuditEvent
from mpi.index.events import Envelope, Fact, FactKind, MessageState, Protocol
from mpi.index.graph import Edge
from mpi.index.ports import UnitOfWork
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


def key(value: str) -> RecordKey:
    """A record key of the one domain."""
    return RecordKey("1.2.250.1.999.1", value)


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
        warnings=("PID-5: tolerated",),
    )


def add_message(uow: UnitOfWork, control_id: str = "") -> int:
    """A message in the journal, without a name unless one is given."""
    return uow.inbox.add(envelope(control_id), received_at=NOON, state=MessageState.APPLIED)


def add_record(uow: UnitOfWork, value: str, *, keys: tuple[int, ...] = (), family: str = "") -> int:
    """A record with its current fold, and a native identifier derived from its value."""
    record_id = uow.records.add(key(value), f"EUID-{ascii(value)[1:-1]}")
    demographics = (
        DEMOGRAPHICS if not family else Demographics(names=(PersonName(family, "ANNE", use=NameUse.BIRTH),))
    )
    uow.records.save_current(
        record_id,
        first_event_time=NOON,
        demographics=demographics,
        traits=normalise(demographics),
        blocking_keys=keys,
    )
    return record_id


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
