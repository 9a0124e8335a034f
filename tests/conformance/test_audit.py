"""A01: each transaction leaves its audit record, coded as ITI-20 codes it."""

import ast
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.index.audit import AuditEvent
from mpi.index.audit_events import (
    APPLICATION,
    DESTINATION,
    PATIENT,
    SOURCE,
    CodedEvent,
    Outcome,
    Participant,
    coded,
    families,
)
from tests.fakes import MemoryStore
from tests.federation import World
from tests.unit.feeds.hl7v2.fakes import adt, change, federation, link, merge, query

A1, A2, A3 = (f"{value}^^^SITE-A&2.999.1.1&ISO^PI" for value in ("A1001", "A1377", "A1500"))
B1 = "B77^^^SITE-B&2.999.1.2&ISO^PI"
WHO = "CHANTEREAU^LOUISE^^^^^L||19840229|F"
PATIENT_RECORD, QUERY, SECURITY_ALERT = "110110", "110112", "110113"
ROOT = Path(__file__).parents[2]


def left_by(message: str) -> list[AuditEvent]:
    """The events that a message leaves in an index which knows two identifiers of site A."""
    world = World(MemoryStore(), parties=federation())
    handler = Hl7Handler(world.registry, world.parties, world.clock)
    for number, identifier in enumerate((A1, A2)):
        known = adt("A28", f"PID|||{identifier}||{WHO}").replace("|F-0001|", f"|K-{number}|")
        handler.handle(known.encode())
    with world.store.read() as uow:
        before = len(list(uow.audit.chain()))
    handler.handle(message.encode())
    with world.store.read() as uow:
        return [item.event for item in uow.audit.chain()][before:]


def transaction(found: CodedEvent) -> str:
    return found.transaction.code if found.transaction else ""


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(adt("A01", f"PID|||{A1}||{WHO}", version="2.3.1"), [("C", "ITI-8")], id="A01 admits"),
        pytest.param(adt("A04", f"PID|||{A1}||{WHO}", version="2.3.1"), [("C", "ITI-8")], id="A04 registers"),
        pytest.param(
            adt("A05", f"PID|||{A1}||{WHO}", version="2.3.1"), [("C", "ITI-8")], id="A05 pre-admits"
        ),
        pytest.param(adt("A08", f"PID|||{A1}||{WHO}", version="2.3.1"), [("U", "ITI-8")], id="A08 updates"),
        pytest.param(merge(A1, A2), [("D", "ITI-8"), ("U", "ITI-8")], id="A40 merges: two events"),
        pytest.param(adt("A28", f"PID|||{A3}||{WHO}"), [("C", "ITI-30")], id="A28 adds"),
        pytest.param(adt("A31", f"PID|||{A1}||{WHO}"), [("U", "ITI-30")], id="A31 updates"),
        pytest.param(change(A3, A1), [("D", "ITI-30"), ("U", "ITI-30")], id="A47 renames: two events"),
        pytest.param(link(A1, A2), [("U", "ITI-30")], id="A24 links"),
        pytest.param(link(A1, A2, event="A37"), [("U", "ITI-30")], id="A37 unlinks"),
        pytest.param(adt("A03", f"PID|||{A1}||{WHO}"), [("U", "ITI-31")], id="A03 discharges"),
    ],
)
def test_a_feed_leaves_a_patient_record_event(message: str, expected: list[tuple[str, str]]) -> None:
    """[A01] ITI-8, 30 and 31: EventID 110110, C, U or D, from source 110153 to destination 110152, patients named."""
    found = [coded(one) for one in left_by(message)]

    assert [(one.action, transaction(one)) for one in found] == expected
    for one in found:
        assert (one.event_id.code, one.outcome, one.event_id.system) == (
            PATIENT_RECORD,
            Outcome.SUCCESS,
            "DCM",
        )
        assert one.participants == (
            Participant("source:ris-a", SOURCE, True),
            Participant("", DESTINATION, False),
        )
        assert one.patients
        assert all(patient.startswith("record/") for patient in one.patients)
    assert (SOURCE.code, DESTINATION.code) == ("110153", "110152")


def test_a_message_that_is_refused_or_quarantined_leaves_a_failure() -> None:
    """[A01] A feed that is not taken: EventID 110110, E, outcome 8."""
    for message in (adt("A28", f"PID|||{B1}||{WHO}"), adt("A99", f"PID|||{A1}||{WHO}")):
        (found,) = [coded(one) for one in left_by(message)]

        assert (found.event_id.code, found.action, found.outcome) == (
            PATIENT_RECORD,
            "E",
            Outcome.SERIOUS_FAILURE,
        )
        assert found.participants[0] == Participant("source:ris-a", SOURCE, True)


def test_a_query_leaves_a_query_event() -> None:
    """[A01] ITI-9: EventID 110112, E, object type 2 role 24 or the patient asked about, from consumer to index."""
    (event,) = left_by(query(A1))
    found = coded(event)

    assert (found.event_id.code, found.action, transaction(found)) == (QUERY, "E", "ITI-9")
    assert found.participants == (
        Participant("consumer:viewer-b", SOURCE, True),
        Participant("", DESTINATION, False),
    )


def event(kind: str, actor: str, action: str = "E", subject: str = "query", **details: object) -> AuditEvent:
    return AuditEvent(actor, action, kind, subject, datetime(2026, 3, 2, tzinfo=UTC), dict(details))


@pytest.mark.parametrize(
    ("left", "event_id", "name"),
    [
        (event("query.cross_reference", "consumer:portal"), QUERY, "ITI-9"),
        (event("query.cross_reference.refused", "consumer:portal"), QUERY, "ITI-9"),
        (event("query.search", "consumer:portal"), QUERY, "ITI-21"),
        (event("query.cross_reference", "key:portal"), QUERY, "ITI-83"),
        (event("query.search", "key:portal"), QUERY, "ITI-78"),
        (event("query.match", "key:portal"), QUERY, "ITI-119"),
        (event("identity.stated", "source:ris-a", event="PUT Patient"), PATIENT_RECORD, "ITI-104"),
        (event("identity.stated", "source:ris-a", event="patient-feed"), PATIENT_RECORD, "ITI-93"),
        (event("identity.stated", "source:pacs-a", event="DICOM header"), PATIENT_RECORD, ""),
        (event("patient.read", "key:portal", "R", "euid/1"), PATIENT_RECORD, ""),
        (event("fact.same", "user:ana", "U", "fact/1"), PATIENT_RECORD, ""),
        (event("access.denied", "key:portal", "E", "action/merge"), SECURITY_ALERT, ""),
        (event("audit.read", "user:ana", "R", "list"), "110101", ""),
        (event("model.pairs_exported", "user:ana", "R"), "110106", ""),
        (event("model.activated", "user:ana", "U", "model/1"), "110100", ""),
        (event("nobody.named.this", "system", "E"), "110100", ""),
    ],
)
def test_each_transaction_has_its_codes(left: AuditEvent, event_id: str, name: str) -> None:
    """[A01] Every transaction of the index, by its EventID and EventTypeCode."""
    assert (coded(left).event_id.code, transaction(coded(left))) == (event_id, name)


def test_a_notification_is_sent_by_the_index_to_whom_it_tells() -> None:
    """[A01] ITI-10: EventID 110110, U, this index is the source and the consumer the destination."""
    found = coded(
        event("notification.delivered", "system:relay", "U", "outbox/4", addressee="portal", channel="mllp")
    )

    assert (found.event_id.code, found.action, transaction(found)) == (PATIENT_RECORD, "U", "ITI-10")
    assert found.participants == (
        Participant("", SOURCE, True),
        Participant("consumer:portal", DESTINATION, False),
    )


def test_a_person_has_no_role_of_a_node() -> None:
    assert coded(event("fact.same", "user:ana", "U", "record/3")).participants == (
        Participant("user:ana", None, True),
        Participant("", APPLICATION, False),
    )


def test_what_is_touched_is_a_patient() -> None:
    found = coded(event("query.match", "key:portal", named=["2BC", 7]))

    assert found.patients == ("euid/2BC", "record/7")
    assert coded(event("patient.read", "key:portal", "R", "euid/2BC")).object == PATIENT


def kinds_in_the_code() -> Iterator[str]:
    """Every text of the code that is the kind of an audit event, as far as it is written out."""
    for path in sorted((ROOT / "mpi").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "AuditEvent(" not in text and "_audit_read(" not in text and "record_read(" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("AuditEvent", "_audit_read", "record_read"):
                for argument in ast.walk(node):
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        yield argument.value


def test_every_kind_of_event_is_in_the_table() -> None:
    firsts = (text.partition(".")[0] for text in kinds_in_the_code() if "." in text)
    written = {first for first in firsts if first.isidentifier()}

    assert {"identity", "query", "review", "key"} <= written
    assert written <= families()
