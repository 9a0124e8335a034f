"""The journal over REST: shown, processed again, corrected, discarded; by whom it may be, and of whose sources."""

import base64

import pytest

from mpi.feeds.hl7v2.handler import Hl7Handler
from tests.unit.feeds.hl7v2.fakes import adt

HEADER = {"application": "RIS_A", "facility": "SITE_A"}


def message(control_id="J1", born="19840229", **header):
    return adt(
        "A28", f"PID|||A1^^^SITE-A||ROUX^ANNE^^^^^L||{born}|F", control_id=control_id, **(HEADER | header)
    ).encode()


@pytest.fixture
def stopped(served):
    """A message of site A with a birth date that is none, quarantined; returns its number."""
    registry = served.world.registry
    Hl7Handler(registry, registry.directory, served.world.clock).handle(message(born="19841399"))
    (kept,) = registry.messages()
    assert (kept.state, kept.envelope.source) == ("quarantined", "ris-a"), kept
    return kept.id


def corrected(born="19840229", **header):
    return {"message": base64.b64encode(message(born=born, **header)).decode(), "reason": "a slip of the pen"}


def test_a_message_is_shown_with_its_reason_in_words_and_without_its_content(served, stopped):
    shown = served.get(f"/api/v1/messages/{stopped}?lang=en", by="operator").json()

    assert (shown["state"], shown["place"]) == ("quarantined", "PID^1^7")
    assert shown["reason"].startswith("The identity cannot be used.")
    assert "ROUX" not in str(shown)
    listed = served.get("/api/v1/messages?problem=nothing", by="operator").json()
    assert listed["messages"] == []


@pytest.mark.parametrize(
    ("by", "status"), [("lead", 200), ("auditor", 200), ("operator", 403), ("lead-a", 200)]
)
def test_its_content_is_for_those_who_see_patients_and_audited(served, stopped, by, status):
    answer = served.get(f"/api/v1/messages/{stopped}/content", by=by)

    assert answer.status_code == status
    assert (answer.content == message(born="19841399")) is (status == 200)
    assert (f"key:{by}", "message.read") in served.audited() or status == 403


def test_a_corrected_message_takes_the_place_of_the_one_that_was_stopped(served, stopped):
    answer = served.post(f"/api/v1/messages/{stopped}/repair", corrected(), by="operator")
    before = served.get(f"/api/v1/messages/{stopped}", by="lead").json()

    assert answer.status_code == 200, answer.text
    assert answer.json()["message"]["state"] == "applied"
    assert (before["state"], before["settled_by"], before["settled_reason"]) == (
        "repaired",
        "key:operator",
        "a slip of the pen",
    )
    assert (
        served.get(f"/api/v1/messages/{answer.json()['message']['id']}", by="lead").json()["replay_of"]
        == stopped
    )
    assert ("key:operator", "identity.stated") in served.audited()
    again = served.post(f"/api/v1/messages/{stopped}/repair", corrected(), by="operator")
    assert again.status_code == 409


def test_a_correction_that_cannot_be_applied_changes_nothing(served, stopped):
    answer = served.post(f"/api/v1/messages/{stopped}/repair", corrected(born="19849999"), by="lead")

    assert answer.json()["message"]["state"] == "quarantined"
    assert served.get(f"/api/v1/messages/{stopped}", by="lead").json()["state"] == "quarantined"


def test_a_correction_is_of_the_same_sender(served, stopped):
    answer = served.post(
        f"/api/v1/messages/{stopped}/repair", corrected(application="RIS_B", facility="SITE_B"), by="lead"
    )

    assert answer.status_code == 409


def test_a_message_processed_again_or_discarded(served, stopped):
    again = served.post(f"/api/v1/messages/{stopped}/replay", {}, by="lead").json()
    without = served.post(f"/api/v1/messages/{stopped}/discard", {"reason": ""}, by="lead")
    gone = served.post(f"/api/v1/messages/{stopped}/discard", {"reason": "a test"}, by="lead").json()

    assert again["message"]["state"] == "quarantined"
    assert without.status_code == 422
    assert gone == {"message": None, "released": []}
    assert served.get(f"/api/v1/messages/{stopped}", by="lead").json()["state"] == "discarded"
    assert ("key:lead", "message.discarded") in served.audited()


def test_the_messages_of_one_source_are_processed_again_at_once(served, stopped):
    answer = served.post("/api/v1/messages/replay", {"source": "ris-a"}, by="lead")

    assert answer.json() == {"messages": 1, "states": {"quarantined": 1}}


@pytest.mark.parametrize("by", ["portal", "site", "reviewer", "auditor"])
def test_who_may_not_settle_is_refused(served, stopped, by):
    for verb, body in (("replay", {}), ("repair", corrected()), ("discard", {"reason": "x"})):
        assert served.post(f"/api/v1/messages/{stopped}/{verb}", body, by=by).status_code == 403


def test_a_message_of_a_source_one_may_not_see_is_as_one_there_is_not(served, stopped):
    served.add_key("lead-b", "lead", "B")
    for verb, body in (("replay", {}), ("repair", corrected()), ("discard", {"reason": "x"})):
        hidden = served.post(f"/api/v1/messages/{stopped}/{verb}", body, by="lead-b")
        absent = served.post(f"/api/v1/messages/{stopped + 99}/{verb}", body, by="lead-b")
        assert (hidden.status_code, hidden.content) == (404, absent.content)
    assert served.get(f"/api/v1/messages/{stopped}", by="lead-b").status_code == 404
    assert served.get(f"/api/v1/messages/{stopped}/content", by="lead-b").status_code == 404
    assert served.post("/api/v1/messages/replay", {"source": "ris-a"}, by="lead-b").status_code == 404
