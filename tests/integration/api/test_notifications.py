"""Notifications over HTTP: who may look, how far, and what an operator does about them."""

from dataclasses import replace

import pytest

from mpi.index.parties import Consumer
from mpi.index.ports import Delivery, Store
from mpi.security.keys import Role
from tests.federation import authority, directory, person
from tests.integration.api.served import Served


def linked(served: Served, number: int = 1) -> None:
    for site in "AB":
        served.world.state(site, f"{site}{number}", person("ZQXFAM"))


def give_up(served: Served, row_id: int) -> None:
    with served.store.write() as uow:
        row = uow.outbox.get(row_id)
        assert row is not None
        uow.outbox.change(replace(row, state=Delivery.DEAD, attempts=3, error="AE 204"))
        uow.commit()


def test_an_operator_sees_states_and_no_patient(served: Served) -> None:
    linked(served)
    give_up(served, 1)

    answer = served.get("/api/v1/notifications", by="operator")

    body = answer.json()
    assert answer.status_code == 200
    (row,) = body["notifications"]
    assert (row["addressee"], row["channel"], row["state"], row["attempts"], row["error"]) == (
        "portal",
        "mllp",
        "dead",
        3,
        "AE 204",
    )
    assert row["identifiers"] == []
    assert body["queues"] == [
        {"addressee": "portal", "channel": "mllp", "pending": 0, "dead": 1, "oldest": None}
    ]
    assert "ZQX" not in answer.text
    assert "A1" not in answer.text
    assert served.audited()[-1] == ("key:operator", "notification.list")


def test_a_lead_and_an_auditor_see_what_is_told(served: Served) -> None:
    linked(served)

    for name in ("lead", "auditor"):
        (row,) = served.get("/api/v1/notifications", by=name).json()["notifications"]
        assert row["identifiers"] == [{"domain": "SITE-A", "id": "A1"}, {"domain": "SITE-B", "id": "B1"}]


@pytest.mark.parametrize("who", ["lead-a", "operator-a"])
def test_who_is_limited_knows_what_is_told_to_who_sees_no_more(memory_store: Store, who: str) -> None:
    """The portal, who sees every domain, is told of A1 because B1 came: that is not for who sees A alone."""
    own = frozenset({authority("A").universal_id})
    viewer = Consumer("viewer-a", "VIEWER_A", "A", own, "127.0.0.1:1")
    served = Served(memory_store, parties=directory(consumers=[*directory().consumers, viewer]))
    served.add_key("operator-a", Role.OPERATOR, "A")
    linked(served)

    assert served.get("/api/v1/notifications", by=who).json()["notifications"] == []
    assert served.post("/api/v1/notifications/1/resend", by=who).status_code == 404

    served.world.state("A", "A8", person("ZQXFAM"))

    body = served.get("/api/v1/notifications", by=who).json()
    (row,) = body["notifications"]
    assert (row["addressee"], body["queues"], body["paused"]) == ("viewer-a", [], {})
    assert [each["id"] for each in row["identifiers"]] == (["A1", "A8"] if who == "lead-a" else [])
    assert "notifications_pending" not in served.get("/metrics", by=who).text
    assert served.post("/api/v1/consumers/viewer-a/pause", by=who).status_code == 403


def test_pages_follow_each_other(served: Served) -> None:
    linked(served)
    served.world.state("C", "C1", person("ZQXFAM"))

    first = served.get("/api/v1/notifications?limit=1", by="operator").json()
    second = served.get(f"/api/v1/notifications?limit=1&after={first['next']}", by="operator").json()
    pending = served.get("/api/v1/notifications?state=pending&addressee=portal", by="operator").json()

    assert [first["notifications"][0]["id"], second["notifications"][0]["id"]] == [1, 2]
    assert len(pending["notifications"]) == 2
    assert served.get("/api/v1/notifications?addressee=x", by="operator").json()["notifications"] == []


def test_what_was_given_up_is_sent_again(served: Served) -> None:
    linked(served)
    give_up(served, 1)

    answer = served.post("/api/v1/notifications/1/resend", by="operator")

    assert (answer.status_code, answer.json()) == (200, {"id": 1, "waiting": [1]})
    (row,) = served.get("/api/v1/notifications", by="operator").json()["notifications"]
    assert (row["state"], row["attempts"]) == ("pending", 0)
    assert ("key:operator", "notification.resent") in served.audited()
    assert served.post("/api/v1/notifications/99/resend", by="operator").status_code == 404


def test_an_addressee_is_paused_and_resumed(served: Served) -> None:
    paused = served.post("/api/v1/consumers/portal/pause", by="operator")
    listed = served.get("/api/v1/notifications", by="operator").json()["paused"]
    resumed = served.post("/api/v1/consumers/portal/resume", by="operator")

    assert (paused.status_code, paused.json()) == (200, {"addressee": "portal", "paused": True})
    assert set(listed) == {"portal"}
    assert resumed.json() == {"addressee": "portal", "paused": False}
    assert [kind for _, kind in served.audited() if "notification." in kind][-1] == "notification.resumed"
    assert served.post("/api/v1/consumers/nobody/pause", by="operator").status_code == 404


def test_who_may_not_is_refused(served: Served) -> None:
    for name in ("portal", "site", "reviewer"):
        assert served.get("/api/v1/notifications", by=name).status_code == 403
    for name in ("auditor", "reviewer", "portal", "site"):
        assert served.post("/api/v1/consumers/portal/pause", by=name).status_code == 403
        assert served.post("/api/v1/notifications/1/resend", by=name).status_code == 403


def test_metrics_tell_what_waits(served: Served) -> None:
    linked(served)
    served.world.state("C", "C1", person("ZQXFAM"))
    give_up(served, 1)
    served.post("/api/v1/consumers/portal/pause", by="operator")

    text = served.get("/metrics", by="operator").text

    assert 'mpi_notifications_pending{addressee="portal",channel="mllp"} 1' in text
    assert 'mpi_notifications_dead{addressee="portal",channel="mllp"} 1' in text
    assert 'mpi_notifications_oldest_seconds{addressee="portal",channel="mllp"} ' in text
    assert 'mpi_notifications_paused{addressee="portal"} 1.0' in text
    assert "ZQX" not in text
