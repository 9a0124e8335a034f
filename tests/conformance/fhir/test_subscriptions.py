"""
Subscriptions over FHIR: asked for, listed, read and ended by who asked; told by the relay.

Source: IHE PMIR, ITI-94; FHIR R4 Subscription.
"""

import pytest

from mpi.security.keys import Role
from tests.conformance.fhir.federation import A, B, fed, served_people

ADDRESS = "/fhir/Subscription"
HOOK = "https://portal.example/hook"


@pytest.fixture
def served(memory_store):
    served = served_people(memory_store)
    served.app.state.subscription_hosts = frozenset({"portal.example"})
    served.add_key("portal-2", Role.PORTAL)
    return served


def wanted(channel=None, **more):
    told = {"type": "rest-hook", "endpoint": HOOK, **(channel or {})}
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "the portal shows them",
        "criteria": "Patient",
        "channel": {name: value for name, value in told.items() if value is not None},
        **more,
    }


def test_a_subscription_is_created_active_and_read_back(served):
    answer = served.post(ADDRESS, wanted({"payload": "application/fhir+json", "header": ["X-Key: secret"]}))
    created = fed(answer)

    assert answer.status_code == 201
    assert answer.headers["location"].endswith(f"{ADDRESS}/{created['id']}")
    assert (created["status"], created["criteria"]) == ("active", "Patient")
    assert fed(served.get(f"{ADDRESS}/{created['id']}")) == created
    assert "secret" not in answer.text
    with served.store.read() as uow:
        [kept] = uow.subscriptions.active()
    assert (kept.owner, kept.header, kept.endpoint) == ("portal", "X-Key: secret", HOOK)
    assert served.audited()[-1] == ("key:portal", "subscription.created")


def test_a_change_is_told_to_who_subscribed(served):
    """[N01] A change queues one rest-hook notification for each subscription that asks about the person."""
    about_louise = fed(served.post(ADDRESS, wanted(criteria=f"Patient?identifier={A}|A1001")))
    fed(served.post(ADDRESS, wanted(criteria=f"Patient?identifier={B}|NOBODY")))
    served.world.registry.doubt(served.world.record("B", "B77").key, reviewer="anne")

    with served.store.read() as uow:
        told = {row.consumer for row in uow.outbox.page() if row.consumer.startswith("subscription/")}
    assert told == {f"subscription/{about_louise['id']}"}


def test_a_subscription_is_its_owners_alone(served):
    created = fed(served.post(ADDRESS, wanted()))
    address = f"{ADDRESS}/{created['id']}"

    assert fed(served.get(ADDRESS))["total"] == 1
    assert fed(served.get(ADDRESS, by="portal-2"))["total"] == 0
    assert served.get(address, by="portal-2").status_code == 404
    assert served.client.delete(address, headers=served.signed("portal-2")).status_code == 404
    assert served.get(address, by="site").status_code == 403


def test_a_subscription_is_ended_by_its_owner(served):
    created = fed(served.post(ADDRESS, wanted()))
    address = f"{ADDRESS}/{created['id']}"

    assert served.client.delete(address, headers=served.signed("portal")).status_code == 204
    assert served.get(address).status_code == 410
    assert fed(served.get(ADDRESS))["total"] == 0
    with served.store.read() as uow:
        assert uow.subscriptions.active() == []
    assert ("key:portal", "subscription.ended") in served.audited()


@pytest.mark.parametrize(
    ("resource", "status"),
    [
        ({}, 400),
        (wanted(status="off"), 422),
        (wanted(reason=""), 422),
        (wanted(criteria="Observation"), 422),
        (wanted(criteria="Patient?family=x"), 422),
        (wanted(criteria=f"Patient?identifier={A}|A1001&_id=x"), 422),
        (wanted(criteria="Patient?identifier=urn:oid:9.9|x"), 422),
        (wanted(criteria=None), 422),
        (wanted(channel={"type": "email"}), 422),
        (wanted(channel={"type": "message"}), 422),
        (wanted(channel={"payload": "text/plain"}), 422),
        (wanted(channel={"endpoint": None}), 422),
        (wanted(channel={"endpoint": "https://elsewhere.example/hook"}), 422),
        (wanted(channel={"endpoint": "http://portal.example/hook"}), 422),
        (wanted(channel={"endpoint": "https://user:pw@portal.example/hook"}), 422),
        (wanted(channel={"header": ["A: 1", "B: 2"]}), 422),
        (wanted(channel={"header": ["A: 1\r\nB: 2"]}), 422),
        (wanted(end="2030-01-01T00:00:00Z"), 422),
    ],
)
def test_what_cannot_be_told_is_refused(served, resource, status):
    answer = served.post(ADDRESS, resource)

    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"
    with served.store.read() as uow:
        assert uow.subscriptions.all() == []


def test_a_domain_that_is_hidden_cannot_be_asked_about(served):
    hidden = served.post(ADDRESS, wanted(criteria=f"Patient?identifier={B}|B77"), by="portal-a")
    unknown = served.post(ADDRESS, wanted(criteria="Patient?identifier=urn:oid:9.9|x"), by="portal-a")

    assert hidden.json() == unknown.json()
    assert fed(served.post(ADDRESS, wanted(criteria=f"Patient?identifier={A}|A1001"), by="portal-a"))
    with served.store.read() as uow:
        assert uow.subscriptions.active()[0].domains == {"2.999.1.1"}
