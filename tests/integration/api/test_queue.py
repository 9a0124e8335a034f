"""The queue as work: what comes first, who has it, what changed, two people, an overlay."""

import pytest

from mpi.index.decisions import TwoPersonRule
from tests.fakes import MemoryStore
from tests.federation import person
from tests.integration.api.served import Served

LOOKALIKE = person("CHANTERAU", "LISE", birth_place_code="")
SOMEBODY_ELSE = person("FAURE", "CHLOE", "2011-08-09", birth_place_code="75056")


@pytest.fixture
def by_two(memory_store: MemoryStore) -> Served:
    """An index where any set of records takes two people."""
    return Served(memory_store, TwoPersonRule(above_size=0))


def a_doubtful_pair(served, left="A", right="B"):
    served.world.state(left, f"{left}1", person())
    served.world.state(right, f"{right}7", LOOKALIKE)
    [task] = served.world.tasks()
    return task


def an_overlay(served):
    served.world.state("A", "A1", person(city="LIMOGES"))
    served.world.state("A", "A1", SOMEBODY_ELSE, minute=10)
    [task] = served.world.tasks()
    return task


def decide(served, task_id, verdict, by="reviewer"):
    version = served.get(f"/api/v1/reviews/{task_id}", by="auditor").json()["version"]
    return served.post(f"/api/v1/reviews/{task_id}/verdict", {"verdict": verdict, "version": version}, by=by)


# ------------------------------------------------------------------------------ what it shows


def test_a_task_says_what_it_asks_and_how_it_may_be_answered(served):
    task = a_doubtful_pair(served)

    shown = served.get(f"/api/v1/reviews/{task.id}", by="reviewer").json()
    decided = decide(served, task.id, "different").json()

    assert (shown["topic"], shown["kind"]) == ("link", "potential_link")
    assert "homonyms" in shown["answers"]
    assert "recycled" not in shown["answers"]
    assert shown["priority"] == task.priority > 0
    assert shown["fingerprint"]["birth_date"]
    assert [version["state"] for version in shown["history"]] == ["open"]
    assert (shown["claim"], shown["changed"], shown["held"]) == (None, [], [])
    assert decided["answers"] == []


def test_what_changed_since_the_last_answer_is_named(served):
    task = a_doubtful_pair(served)
    decide(served, task.id, "different")

    served.world.state("B", "B7", person("CHANTERAU", "LISE", birth_place_code="87085"), minute=5)

    shown = served.get(f"/api/v1/reviews/{task.id}", by="reviewer").json()
    assert (shown["state"], shown["changed"]) == ("open", ["birth_place"])
    assert [version["verdict"] for version in shown["history"]] == [None, "different", None]


def test_an_answer_to_another_question_is_refused_with_the_ones_it_takes(served):
    task = a_doubtful_pair(served)

    answer = decide(served, task.id, "recycled")

    assert (answer.status_code, answer.json()["type"]) == (409, "urn:mpi:problem:link-conflict")
    assert "different, homonyms, left_wrong" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("verdict", "kinds"),
    [
        ("same", ["same"]),
        ("different", ["different"]),
        ("homonyms", ["homonyms"]),
        ("left_wrong", ["different", "doubted"]),
        ("right_wrong", ["different", "doubted"]),
        ("undecided", []),
    ],
)
def test_every_answer_to_a_pair_becomes_its_facts(served, verdict, kinds):
    task = a_doubtful_pair(served)

    assert decide(served, task.id, verdict).status_code == 200

    facts = served.get("/api/v1/facts", by="auditor").json()["facts"]
    assert [fact["kind"] for fact in facts] == kinds
    assert len({fact["act_id"] for fact in facts}) == min(1, len(kinds))


# ------------------------------------------------------------------------------ its order


def test_what_matters_most_comes_first_a_page_at_a_time(served):
    a_doubtful_pair(served)
    served.world.state("C", "C3", person("CHANTEREAUX", "LISA", birth_place_code=""))
    served.world.state("A", "A1", SOMEBODY_ELSE, minute=10)
    path = "/api/v1/reviews?order=priority"
    every = served.get(path, by="lead").json()["reviews"]

    seen, more = [], ""
    while more is not None:
        page = served.get(f"{path}&limit=1{more}", by="lead").json()
        seen += page["reviews"]
        more = None
        if page["next"] is not None:
            more = f"&after={page['next']}&after_priority={page['next_priority']}"

    assert every[0]["kind"] == "overlay"
    assert [task["priority"] for task in every] == sorted((t["priority"] for t in every), reverse=True)
    assert seen == every


def test_a_page_goes_on_where_the_task_was_listed_and_not_where_it_is_now(served):
    a_doubtful_pair(served)
    served.world.state("A", "A1", SOMEBODY_ELSE, minute=10)
    first, second = served.get("/api/v1/reviews?order=priority", by="lead").json()["reviews"]

    path = f"/api/v1/reviews?order=priority&after={second['id']}&after_priority={first['priority'] + 1}"
    page = served.get(path, by="lead").json()

    assert [task["id"] for task in page["reviews"]] == [first["id"], second["id"]]


def test_the_queue_by_priority_is_not_that_of_the_past(served):
    answer = served.get("/api/v1/reviews?order=priority&as_of=2026-03-02T09:00:00Z", by="lead")

    assert answer.status_code == 422
    assert [e["place"] for e in answer.json()["errors"]] == ["order"]


def test_the_queue_as_it_was(served):
    task = a_doubtful_pair(served)
    between = served.world.clock().isoformat()
    decide(served, task.id, "different")

    live = served.get("/api/v1/reviews", by="auditor").json()["reviews"]
    then = served.get("/api/v1/reviews", by="auditor", params={"as_of": between}).json()["reviews"]

    assert live == []
    assert [(t["id"], t["state"], t["verdict"]) for t in then] == [(task.id, "open", None)]


def test_a_limited_reviewer_pages_through_its_own_tasks_by_priority(served):
    a_doubtful_pair(served)
    served.world.state("A", "A9", SOMEBODY_ELSE)
    served.world.state("A", "A9", person("MARTIN", "HUGO", "1990-05-02", "M"), minute=5)
    hidden = [t.id for t in served.world.tasks() if t.kind == "potential_link"]

    page = served.get("/api/v1/reviews?order=priority&limit=1", by="reviewer-a").json()
    after_hidden = served.get(f"/api/v1/reviews?order=priority&after={hidden[0]}", by="reviewer-a")

    assert [task["kind"] for task in page["reviews"]] == ["overlay"]
    assert after_hidden.status_code == 404


# ------------------------------------------------------------------------------ claims


def test_a_claim_keeps_others_off_until_it_is_given_back(served):
    task = a_doubtful_pair(served)
    path = f"/api/v1/reviews/{task.id}"

    claimed = served.post(f"{path}/claim", by="reviewer").json()
    again = served.post(f"{path}/claim", by="reviewer")
    others = [served.post(f"{path}/{verb}", by="luc").status_code for verb in ("claim", "release")]
    refused = decide(served, task.id, "same", by="luc")
    released = served.post(f"{path}/release", by="reviewer").json()

    assert claimed["claim"]["by"] == "reviewer"
    assert (again.status_code, others, refused.status_code) == (200, [409, 409], 409)
    assert refused.json()["type"] == "urn:mpi:problem:stale-review"
    assert released["claim"] is None
    assert released["version"] == task.version
    assert decide(served, task.id, "same", by="luc").status_code == 200


def test_a_verdict_ends_a_claim_and_a_decided_task_cannot_be_claimed(served):
    task = a_doubtful_pair(served)
    served.post(f"/api/v1/reviews/{task.id}/claim", by="reviewer")

    assert decide(served, task.id, "different").json()["claim"] is None
    assert served.post(f"/api/v1/reviews/{task.id}/claim", by="luc").status_code == 409


def test_a_task_one_may_not_see_cannot_be_claimed(served):
    task = a_doubtful_pair(served)

    for verb in ("claim", "release"):
        assert served.post(f"/api/v1/reviews/{task.id}/{verb}", by="reviewer-a").status_code == 404


# ------------------------------------------------------------------------------ two people


def test_a_verdict_that_takes_two_counts_once_a_lead_confirms_it(by_two):
    task = a_doubtful_pair(by_two)

    proposed = decide(by_two, task.id, "same", by="reviewer").json()
    fact = by_two.get(f"/api/v1/facts/{proposed['fact_id']}", by="auditor").json()
    assert (proposed["state"], proposed["reviewer"]) == ("proposed", "reviewer")
    assert (fact["stands"], fact["waits_for"]) == (False, "confirmation")
    assert not by_two.world.together(("A", "A1"), ("B", "B7"))

    assert decide(by_two, task.id, "same", by="reviewer").status_code == 403
    assert by_two.post(f"/api/v1/facts/{fact['id']}/confirm", by="reviewer").status_code == 403
    confirmed = by_two.post(f"/api/v1/facts/{fact['id']}/confirm", by="lead").json()

    assert confirmed["proposed"] is False
    assert [(f["stands"], f["confirmed_by"]) for f in confirmed["facts"]] == [(True, "user:lead")]
    assert by_two.world.together(("A", "A1"), ("B", "B7"))
    assert by_two.get(f"/api/v1/reviews/{task.id}", by="auditor").json()["state"] == "decided"
    assert by_two.post(f"/api/v1/facts/{fact['id']}/confirm", by="zoe").status_code == 409


def test_the_same_verdict_by_a_second_lead_confirms_and_by_the_same_one_does_not(by_two):
    task = a_doubtful_pair(by_two)
    decide(by_two, task.id, "same", by="lead")

    alone = decide(by_two, task.id, "same", by="lead")
    reviewer = decide(by_two, task.id, "same", by="luc")
    second = decide(by_two, task.id, "same", by="zoe")

    assert (alone.status_code, alone.json()["type"]) == (409, "urn:mpi:problem:stale-review")
    assert reviewer.status_code == 403
    assert second.json()["state"] == "decided"
    assert by_two.world.together(("A", "A1"), ("B", "B7"))


def test_another_verdict_takes_the_place_of_the_first(by_two):
    task = a_doubtful_pair(by_two)
    first = decide(by_two, task.id, "same", by="reviewer").json()

    second = decide(by_two, task.id, "different", by="luc").json()

    assert (second["state"], second["reviewer"]) == ("proposed", "luc")
    fallen = by_two.get(f"/api/v1/facts/{first['fact_id']}", by="auditor").json()
    assert fallen["withdrawn_by"] == "user:luc"


def test_what_two_decided_takes_two_to_undo(by_two):
    task = a_doubtful_pair(by_two)
    fact_id = decide(by_two, task.id, "same", by="reviewer").json()["fact_id"]
    by_two.post(f"/api/v1/facts/{fact_id}/confirm", by="lead")
    path = f"/api/v1/facts/{fact_id}/withdraw"

    asked = by_two.post(path, by="lead").json()
    alone = by_two.post(path, by="lead")
    still_together = by_two.world.together(("A", "A1"), ("B", "B7"))
    done = by_two.post(path, by="zoe").json()

    assert (asked["waits_for"], asked["withdrawal_asked_by"], asked["stands"]) == (
        "withdrawal",
        "user:lead",
        True,
    )
    assert alone.status_code == 409
    assert still_together
    assert (done["stands"], done["withdrawn_by"], done["waits_for"]) == (False, "user:zoe", None)
    assert not by_two.world.together(("A", "A1"), ("B", "B7"))


# ------------------------------------------------------------------------------ overlays


def test_an_overlay_shows_what_was_and_what_is_said_now(served):
    task = an_overlay(served)

    shown = served.get(f"/api/v1/reviews/{task.id}", by="reviewer").json()

    assert (shown["topic"], shown["kind"]) == ("overlay", "overlay")
    assert shown["answers"] == ["different", "recycled", "same", "undecided"]
    assert shown["left"]["traits"]["birth_name"] == "CHANTEREAU"
    assert shown["right"]["traits"]["birth_name"] == "FAURE"
    [held] = shown["held"]
    assert held["source"] == "ris-a"
    assert held["traits"]["given_names"] == "CHLOE"
    assert held["reason"]


def test_a_held_statement_of_a_protected_identity_shows_nothing(served):
    served.world.state("A", "A1", person("ZQXFAM", "ZQXGIVEN", identity_codes=("PROV", "CACH")))
    served.world.state("A", "A1", person("ZQXELSE", "CHLOE", "2011-08-09"), minute=10)
    [task] = served.world.tasks()

    answer = served.get(f"/api/v1/reviews/{task.id}", by="lead")

    assert "ZQX" not in answer.text
    assert [h["traits"] for h in answer.json()["held"]] == [{}]


def family_of(served, site, value):
    euid = served.world.euid(site, value)
    return served.get(f"/api/v1/patients/{euid}").json()["golden"]["birth_name"]["value"]


def test_an_overlay_is_flagged_until_it_is_decided(served):
    task = an_overlay(served)
    path = f"/api/v1/patients/{served.world.euid('A', 'A1')}"
    before = served.get(path).json()["members"]

    decide(served, task.id, "different")

    assert [m["held"] for m in before] == [True]
    assert [m["held"] for m in served.get(path).json()["members"]] == [False]


@pytest.mark.parametrize(
    ("verdict", "kind", "family"),
    [("same", "continued", "FAURE"), ("different", "set_aside", "CHANTEREAU")],
)
def test_an_overlay_decided_the_same_or_set_aside(served, verdict, kind, family):
    task = an_overlay(served)

    decide(served, task.id, verdict)

    [fact] = served.get("/api/v1/facts", by="auditor").json()["facts"]
    assert (fact["kind"], fact["statement_id"] is not None) == (kind, True)
    assert family_of(served, "A", "A1") == family


def test_an_identifier_given_to_another_person_begins_an_epoch(served):
    task = an_overlay(served)
    first = served.world.euid("A", "A1")
    served.world.state("B", "B7", SOMEBODY_ELSE)

    decide(served, task.id, "recycled")

    second = served.world.euid("A", "A1")
    params = {"domain": "SITE-A", "id": "A1"}
    found = served.get("/api/v1/identifiers", params=params).json()
    members = served.get(f"/api/v1/patients/{second}").json()["members"]
    before = served.get(f"/api/v1/patients/{first}").json()["members"]
    assert first != second
    assert found["asked"] == params
    assert found["identifiers"] == [{"domain": "SITE-B", "id": "B7"}]
    assert [(m["id"], m.get("epoch")) for m in members] == [("A1", 1), ("B7", None)]
    assert [("epoch" in m, m["retired"]) for m in before] == [(False, True)]
