"""
The audit trail as AuditEvents, for auditors.

Source: IHE BALP; FHIR R4 AuditEvent.
"""

import pytest

from mpi.index.audit import AuditEvent
from tests.conformance.fhir.federation import PATIENT, A, fed, found, served_people
from tests.federation import START

EVENTS = "/fhir/AuditEvent"


@pytest.fixture
def served(memory_store):
    return served_people(memory_store)


def search(served, **params):
    return served.get(EVENTS, params=params, by="auditor")


def kinds(answer):
    return [
        next(each["code"] for each in event["subtype"] if each["system"] == "urn:mpi:audit-event")
        for event in found(fed(answer))
    ]


def transactions(event):
    return [each["code"] for each in event["subtype"] if each["system"] == "urn:ihe:event-type-code"]


def test_a_query_is_an_event_with_its_transaction_action_and_agents(served):
    """[A01] ITI-83: rest, operation, E, who asked and this index, what was asked about, success."""
    served.get(f"{PATIENT}/$ihe-pix", params={"sourceIdentifier": f"{A}|A1001"})
    event = found(fed(search(served, subtype="ITI-83")))[0]

    assert event["type"]["code"] == "rest"
    assert [each["code"] for each in event["subtype"]] == ["operation", "ITI-83", "query.cross_reference"]
    assert (event["action"], event["outcome"]) == ("E", "0")
    assert [(agent["who"], agent["requestor"]) for agent in event["agent"]] == [
        ({"identifier": {"value": "key:portal"}}, True),
        ({"display": "mpi"}, False),
    ]
    record = served.world.record("A", "A1001").id
    assert event["entity"][0]["what"]["identifier"]["value"] == f"record/{record}"
    assert event["entity"][0]["role"]["code"] == "1"


@pytest.mark.parametrize(
    ("do", "transaction", "action", "outcome"),
    [
        (lambda s: s.get(PATIENT, params={"family": "chant"}), "ITI-78", "E", "0"),
        (lambda s: s.post(f"{PATIENT}/$match", {"resourceType": "Patient"}), "ITI-119", "E", "0"),
        (
            lambda s: s.client.put(
                f"{PATIENT}?identifier={A}|A9",
                json={
                    "resourceType": "Patient",
                    "identifier": [{"system": A, "value": "A9", "type": {"coding": [{"code": "PI"}]}}],
                    "name": [{"family": "ROUX"}],
                },
                headers=s.signed("ris-a"),
            ),
            "ITI-104",
            "U",
            "0",
        ),
        (
            lambda s: s.client.put(
                f"{PATIENT}?identifier={A}|A9",
                json={"resourceType": "Patient", "identifier": [{"system": A, "value": "A9"}]},
                headers=s.signed("ris-a"),
            ),
            "ITI-104",
            "E",
            "8",
        ),
    ],
)
def test_each_transaction_of_fhir_is_named(served, do, transaction, action, outcome):
    """[A01] Each FHIR transaction by its EventTypeCode, action and outcome."""
    do(served)
    event = found(fed(search(served, subtype=transaction)))[0]

    assert transactions(event) == [transaction]
    assert (event["type"]["code"], event["action"], event["outcome"]) == ("rest", action, outcome)


def test_no_trait_is_in_any_event(served):
    """[A01] Events name identifiers of this index, never a trait."""
    served.get(PATIENT, params={"family": "chantereau", "birthdate": "1984-02-29"})
    text = search(served, _count=500).text.lower()

    for trait in ("chantereau", "louise", "1984", "lilas", "0555"):
        assert trait not in text


def test_events_are_found_by_who_they_are_about(served):
    """Who looked at one person, and who else was named with it."""
    louise, yann = served.world.euid("A", "A1001"), served.world.euid("C", "C5")
    served.get(f"{PATIENT}/{louise}")
    served.get(PATIENT, params={"family": "mahe"}, by="reviewer")
    about_louise = kinds(search(served, entity=f"Patient/{louise}"))
    about_yann = kinds(search(served, entity=f"Patient/{yann}"))

    assert "patient.read" in about_louise
    assert "query.search" not in about_louise
    assert about_yann[0] == "query.search"
    assert kinds(search(served, entity="Patient/NOBODY")) == []
    with served.store.read() as uow:
        message = next(
            item.event.subject for item in uow.audit.chain() if item.event.subject.startswith("message/")
        )
    assert kinds(search(served, entity=message))


def test_events_are_found_by_date_action_outcome_and_kind(served):
    with served.store.write() as uow:
        for day in (1, 2, 3):
            at = START.replace(month=1, day=day)
            uow.audit.append(AuditEvent("system", "R", f"kind.of.{day}", f"list/{day}", at))
        uow.audit.append(AuditEvent("system", "E", "kind.refused", "list/4", START.replace(month=1, day=4)))
        uow.commit()

    def days(**params):
        return [kind.rpartition(".")[2] for kind in kinds(search(served, **params))]

    assert days(date="2026-01-02") == ["2"]
    assert days(date="eq2026-01") == ["refused", "3", "2", "1"]
    assert days(date=["ge2026-01-02", "lt2026-01-04"]) == ["3", "2"]
    assert days(date=["gt2026-01-01", "le2026-01-03"]) == ["3", "2"]
    assert days(date="2026-01-02T08:00:00Z") == ["2"]
    assert days(date="2026-01-02T09:00:00+01:00") == ["2"]
    assert days(date="2025") == []
    assert days(date="2026-01", action="E") == ["refused"]
    assert days(date="2026-01", outcome="8") == ["refused"]
    assert days(subtype="urn:mpi:audit-event|kind.of.3") == ["3"]


@pytest.mark.parametrize(
    "date", ["yesterday", "2026-13", "xx2026", "2026-01-02T08:00:00", "2026-01-02-03-04"]
)
def test_a_date_that_is_none_is_refused(served, date):
    answer = search(served, date=date)

    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, "value")


def test_the_trail_is_walked_by_pages_newest_first(served):
    seen, url = [], f"{EVENTS}?_count=7&date=ge2026"
    while url:
        page = fed(served.get(url, by="auditor"))
        seen += [int(event["id"]) for event in found(page)]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)

    assert seen == sorted(set(seen), reverse=True)
    assert seen[-1] == 1


def test_one_event_is_read_by_its_place_in_the_chain(served):
    one = fed(served.get(f"{EVENTS}/1", by="auditor"))

    assert one["id"] == "1"
    assert one in found(fed(search(served, _count=500)))
    for unknown in ("0", "99999", "x", "9" * 30):
        assert served.get(f"{EVENTS}/{unknown}", by="auditor").status_code == 404


def test_the_trail_is_for_auditors_who_see_everything_and_reading_it_leaves_its_trace(served):
    for by in ("portal", "site", "lead", "operator", "auditor-a"):
        assert served.get(EVENTS, by=by).status_code == 403
        assert served.get(f"{EVENTS}/1", by=by).status_code == 403
    search(served)

    assert served.audited()[-1] == ("key:auditor", "audit.read")
