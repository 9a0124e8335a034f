"""
X06: ITI-104 by conditional update: add, revise, subsume, and what is refused.

Source: IHE PIXm 3.1, ITI-104.
"""

import pytest
from fastapi.testclient import TestClient

from mpi.identity.traits import normalise
from mpi.index.events import FactKind, MessageState
from mpi.security.keys import Role
from tests.fakes import MemoryStore
from tests.integration.api.served import Served
from tests.unit.feeds.fhir.resources import SYSTEM_A, SYSTEM_B, identifier, patient, subsumed
from tests.unit.feeds.hl7v2.fakes import adt


@pytest.fixture
def served(memory_store: MemoryStore) -> Served:
    served = Served(memory_store)
    served.add_key("ris-a", Role.SITE, "A")
    served.add_key("ris-b", Role.SITE, "A")
    served.add_key("pacs-a", Role.PORTAL, "A")
    return served


def put(served, resource, token=f"{SYSTEM_A}|A1001", *, by="ris-a", **more):
    client: TestClient = served.client
    params = {} if token is None else {"identifier": token}
    return client.put("/fhir/Patient", params=params, json=resource, headers=served.signed(by), **more)


def states(served):
    return [message.state for message in served.world.registry.messages()]


def test_x06_add_then_revise(served):
    added = put(served, patient())
    revised = put(served, patient(birthDate="1984-02-28"))

    assert (added.status_code, revised.status_code) == (201, 200)
    assert added.headers["content-type"].startswith("application/fhir+json")
    assert added.json()["resourceType"] == "OperationOutcome"
    assert str(served.world.record("A", "A1001").traits.birth_date) == "1984-02-28"


def test_x06_the_same_update_again_changes_nothing_and_an_older_one_that_comes_back_does(served):
    first, other = patient(), patient(birthDate="1984-02-28")
    for resource in (first, first, other, first, first):
        assert put(served, resource).status_code in (200, 201)

    assert states(served) == ["applied", "duplicate", "applied", "applied", "duplicate"]
    assert str(served.world.record("A", "A1001").traits.birth_date) == "1984-02-29"


def test_x06_subsume(served):
    put(served, patient())
    put(served, patient(identifier("A1377")), f"{SYSTEM_A}|A1377")

    done = put(served, subsumed(), f"{SYSTEM_A}|A1377")
    again = put(served, subsumed(), f"{SYSTEM_A}|A1377")

    assert (done.status_code, again.status_code) == (200, 200)
    assert states(served)[-1] is MessageState.DUPLICATE
    (fact,) = served.world.facts_of(FactKind.MERGED)
    assert (fact.left.value, fact.right.value) == ("A1001", "A1377")
    assert served.world.together(("A", "A1001"), ("A", "A1377"))


def test_x06_v2_and_fhir_views_are_identical(served):
    from mpi.feeds.hl7v2.handler import Hl7Handler

    handler = Hl7Handler(served.world.registry, served.world.parties, served.world.clock)
    handler.handle(
        adt(
            "A28",
            "PID|||A2^^^SITE-A&2.999.1.1&ISO^PI||CHANTEREAU^LOUISE^LOUISE ANNE-MARIE^^^^L~MARTIN^LOUISE^^^^^D||"
            "19840229|F|||12 RUE DES LILAS^^LIMOGES^^87000^FRA^H~^^LIMOGES^^^FRA^BDL^^87085||"
            "^PRN^PH^^^^^^^^^0555010203~^NET^Internet^l@example.org|||||||||||||||||||PROV",
        ).encode()
    )
    put(served, patient())

    by_v2, by_fhir = served.world.record("A", "A2"), served.world.record("A", "A1001")
    assert by_fhir.demographics == by_v2.demographics
    assert by_fhir.traits == by_v2.traits == normalise(by_v2.demographics)


@pytest.mark.parametrize(
    ("resource", "token", "by", "status", "code"),
    [
        (patient(), None, "ris-a", 400, "required"),
        (patient(), "A1001", "ris-a", 400, "invalid"),
        (patient(), "urn:oid:2.999.7|A1001", "ris-a", 400, "code-invalid"),
        ({"resourceType": "Person"}, f"{SYSTEM_A}|A1001", "ris-a", 400, "not-supported"),
        (patient(active=False), f"{SYSTEM_A}|A1001", "ris-a", 400, "not-supported"),
        (patient(), f"{SYSTEM_B}|A1001", "ris-a", 403, "forbidden"),
        (patient(), f"{SYSTEM_A}|A1001", "ris-b", 403, "forbidden"),  # its domain is not the key's
        (patient(), f"{SYSTEM_A}|A1001", "pacs-a", 403, "forbidden"),  # its role may not
        (patient(), f"{SYSTEM_A}|A1001", "site", 403, "forbidden"),  # no source of its name
        (patient(identifier("A2")), f"{SYSTEM_A}|A1001", "ris-a", 422, "invalid"),
        (patient(gender="ZQX"), f"{SYSTEM_A}|A1001", "ris-a", 422, "invalid"),
    ],
)
def test_x06_what_is_refused_says_why_and_no_value(served, resource, token, by, status, code):
    answer = put(served, resource, token, by=by)

    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (status, code)
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert "ZQX" not in answer.text


def test_x06_a_merge_against_a_standing_one_is_a_conflict(served):
    put(served, subsumed("A1377", "A1001"), f"{SYSTEM_A}|A1377")

    answer = put(served, subsumed("A1001", "A1377"), f"{SYSTEM_A}|A1001")

    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (409, "conflict")


def test_x06_delete_is_not_taken(served):
    answer = served.client.delete(
        "/fhir/Patient", params={"identifier": f"{SYSTEM_A}|A1001"}, headers=served.signed("ris-a")
    )

    assert answer.status_code == 405


def test_x06_an_update_that_cannot_be_used_is_kept(served):
    put(served, patient(gender="ZQX"))
    (kept,) = served.world.registry.messages(state=MessageState.QUARANTINED)

    assert (kept.envelope.protocol, kept.envelope.source, kept.place) == ("fhir", "ris-a", "Patient.gender")


def test_x06_what_is_tolerated_is_told(served):
    answer = put(served, patient(identifier(), identifier("X", "urn:oid:2.999.7")))

    assert answer.status_code == 201
    assert [issue["severity"] for issue in answer.json()["issue"]] == ["warning"]
