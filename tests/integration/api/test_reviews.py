"""Clerical review over REST: the queue, the verdict, the facts, the journal."""

from dataclasses import replace

import pytest

from mpi.index.events import IdentityStated
from tests.federation import person, statement


def a_doubtful_pair(served, left="A", right="B"):
    served.world.state(left, f"{left}1", person())
    served.world.state(right, f"{right}7", person("CHANTERAU", "LISE", birth_place_code=""))
    [task] = served.world.tasks()
    return task


def test_a_task_shows_both_records_side_by_side_and_why(served):
    task = a_doubtful_pair(served)

    [listed] = served.get("/api/v1/reviews", by="reviewer").json()["reviews"]
    shown = served.get(f"/api/v1/reviews/{task.id}", by="reviewer").json()

    assert (listed["id"], listed["state"], listed["version"]) == (task.id, "open", task.version)
    assert {shown["left"]["id"], shown["right"]["id"]} == {"A1", "B7"}
    traits = {side["id"]: side["traits"] for side in (shown["left"], shown["right"])}
    assert traits["B7"] == {
        "birth_name": "CHANTERAU",
        "given_names": "LISE",
        "birth_date": "1984-02-29",
        "sex": "F",
    }
    assert traits["A1"]["birth_place"] == "87085"
    assert shown["score"]["sentences"][-1].startswith("total")
    assert ("key:reviewer", "review.list") in served.audited()
    assert ("key:reviewer", "review.read") in served.audited()


@pytest.mark.parametrize("code", ["ANOM", "CACH"])
def test_a_protected_identity_shows_nothing_and_nothing_it_was_compared_by(served, code):
    task = a_doubtful_pair(served)
    hidden = person("CHANTERAU", "LISE", birth_place_code="", address="ZQX", identity_codes=("PROV", code))
    served.world.state("B", "B7", hidden, minute=30)

    answer = served.get(f"/api/v1/reviews/{task.id}", by="lead")

    sides = {side["id"]: side for side in (answer.json()["left"], answer.json()["right"])}
    assert (sides["B7"]["protected"], sides["B7"]["traits"]) == (True, {})
    assert sides["A1"]["protected"] is False
    assert sides["A1"]["traits"]["birth_name"] == "CHANTEREAU"
    assert (answer.json()["score"]["evidence"], answer.json()["score"]["sentences"]) == ([], [])
    assert "ZQX" not in answer.text


def test_a_verdict_joins_and_its_withdrawal_separates(served):
    task = a_doubtful_pair(served)
    verdict = {"verdict": "same", "version": task.version, "reason": "même pièce d'identité"}

    decided = served.post(f"/api/v1/reviews/{task.id}/verdict", verdict, by="reviewer").json()

    assert (decided["state"], decided["verdict"], decided["reviewer"]) == ("decided", "same", "reviewer")
    assert served.world.together(("A", "A1"), ("B", "B7"))
    [fact] = served.get("/api/v1/facts", by="reviewer").json()["facts"]
    assert (fact["id"], fact["kind"], fact["reason"]) == (decided["fact_id"], "same", verdict["reason"])

    withdrawn = served.post(f"/api/v1/facts/{fact['id']}/withdraw", by="lead")

    assert withdrawn.json()["withdrawn_by"] == "user:lead"
    assert not served.world.together(("A", "A1"), ("B", "B7"))
    assert served.post(f"/api/v1/facts/{fact['id']}/withdraw", by="lead").status_code == 409


def test_a_verdict_on_what_has_changed_is_refused(served):
    task = a_doubtful_pair(served)
    verdict = {"verdict": "different", "version": task.version}
    served.post(f"/api/v1/reviews/{task.id}/verdict", verdict, by="reviewer")

    again = served.post(f"/api/v1/reviews/{task.id}/verdict", verdict, by="lead")

    assert (again.status_code, again.json()["type"]) == (409, "urn:mpi:problem:stale-review")
    unknown_field = served.post(f"/api/v1/reviews/{task.id}/verdict", {**verdict, "force": True}, by="lead")
    assert unknown_field.json()["errors"] == [{"place": "force", "problem": "unknown field"}]


def test_a_queue_is_read_in_pages(served):
    a_doubtful_pair(served)
    served.world.state("C", "C3", person("CHANTEREAUX", "LISA", birth_place_code=""))
    every = served.get("/api/v1/reviews", by="lead").json()
    assert len(every["reviews"]) > 1

    seen, after = [], 0
    while after is not None:
        page = served.get(f"/api/v1/reviews?limit=1&after={after}", by="lead").json()
        seen += page["reviews"]
        after = page["next"]

    assert seen == every["reviews"]
    assert every["next"] is None


def test_states_and_kinds_select(served):
    task = a_doubtful_pair(served)
    served.post(
        f"/api/v1/reviews/{task.id}/verdict", {"verdict": "different", "version": task.version}, by="reviewer"
    )

    def ids(query):
        return [t["id"] for t in served.get(f"/api/v1/reviews?{query}", by="auditor").json()["reviews"]]

    assert ids("") == []
    assert ids("state=decided&state=open") == [task.id]
    assert ids("state=decided&kind=duplicate_in_domain") == []


def test_a_limited_reviewer_sees_the_tasks_of_its_domains_only(served):
    task = a_doubtful_pair(served)
    unseen = served.get(f"/api/v1/reviews/{task.id}", by="reviewer-a")
    unknown = served.get("/api/v1/reviews/999", by="reviewer-a")

    assert served.get("/api/v1/reviews", by="reviewer-a").json() == {"reviews": [], "next": None}
    assert (unseen.status_code, unknown.status_code) == (404, 404)
    assert unseen.text.replace(str(task.id), "N") == unknown.text.replace("999", "N")
    body = {"verdict": "same", "version": task.version}
    assert served.post(f"/api/v1/reviews/{task.id}/verdict", body, by="reviewer-a").status_code == 404
    assert not served.world.together(("A", "A1"), ("B", "B7"))


def test_a_limited_reviewer_decides_within_its_domain(served):
    served.world.state("A", "A1", person())
    served.world.state("A", "A2", person("CHANTERAU", "LISE", birth_place_code=""))
    [task] = served.world.tasks()

    [listed] = served.get("/api/v1/reviews", by="reviewer-a").json()["reviews"]

    assert (listed["kind"], listed["weight_bits"]) == (task.kind, task.weight_bits)
    body = {"verdict": "different", "version": listed["version"]}
    assert served.post(f"/api/v1/reviews/{listed['id']}/verdict", body, by="reviewer-a").status_code == 200
    assert len(served.get("/api/v1/facts", by="reviewer-a").json()["facts"]) == 1
    assert served.world.tasks() == []


def test_the_journal_shows_what_became_of_messages_and_not_what_they_said(served):
    served.world.state("A", "A1", person("ZQXFAM"))
    served.world.merge("A", "A1", "A1")  # into itself: quarantined

    page = served.get("/api/v1/messages", by="operator")
    counts = served.get("/api/v1/messages/counts", by="operator").json()

    assert [(m["source"], m["state"]) for m in page.json()["messages"]] == [
        ("ris-a", "applied"),
        ("ris-a", "quarantined"),
    ]
    assert "ZQX" not in page.text
    assert counts["counts"]["ris-a"]["quarantined"] == 1
    assert counts["total"] == 2
    [stopped] = served.get("/api/v1/messages?state=quarantined&source=ris-a", by="lead").json()["messages"]
    assert "itself" in stopped["problem"]


def test_the_journal_shows_what_was_tolerated(served):
    tolerated = replace(statement("A", "A1", person()), warnings=("PID^1^3: left out",))
    served.world.send(IdentityStated((tolerated,)), source="ris-a")
    served.world.state("A", "A2", person("MAHÉ"))

    messages = served.get("/api/v1/messages", by="operator").json()["messages"]

    assert [m["warnings"] for m in messages] == [["PID^1^3: left out"], []]


def test_a_limited_lead_sees_the_journal_of_its_sources(served):
    served.world.state("A", "A1", person())
    served.world.state("B", "B7", person())
    served.world.state("A", "A2", person("MAHÉ"))

    page = served.get("/api/v1/messages?limit=2", by="lead-a").json()

    assert [m["source"] for m in page["messages"]] == ["ris-a", "ris-a"]
    assert served.get("/api/v1/messages/counts", by="lead-a").json()["counts"].keys() == {"ris-a"}
