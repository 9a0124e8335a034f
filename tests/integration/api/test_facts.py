"""What people assert unasked, what stands in the way, undo with what rests on it, one statement set aside."""

import pytest

from tests.federation import person

LOOKALIKE = person("CHANTERAU", "LISE", birth_place_code="")
OTHER = person("BERGER", "SOPHIE", "1955-06-03", birth_place_code="33063")


def named(site, value):
    return {"domain": f"SITE-{site}", "id": value}


def say(served, kind, left, right=None, by="reviewer"):
    body = {"kind": kind, "left": left, "reason": "vu au guichet"}
    return served.post("/api/v1/facts", body | ({"right": right} if right else {}), by=by)


def test_two_identifiers_are_related_without_a_question(served):
    served.world.state("A", "A1", person())
    served.world.state("B", "B7", OTHER)

    joined = say(served, "same", named("A", "A1"), named("B", "B7")).json()

    [fact] = joined["facts"]
    assert (fact["kind"], fact["actor"], fact["reason"]) == ("same", "user:reviewer", "vu au guichet")
    assert (fact["left"], fact["right"]) == (named("A", "A1"), named("B", "B7"))
    assert joined["proposed"] is False
    assert served.world.together(("A", "A1"), ("B", "B7"))


@pytest.mark.parametrize("kind", ["different", "homonyms"])
def test_two_people_are_told_apart(served, kind):
    served.world.state("A", "A1", person())
    served.world.state("B", "B7", person())
    assert served.world.together(("A", "A1"), ("B", "B7"))

    assert say(served, kind, named("A", "A1"), named("B", "B7")).status_code == 200

    assert not served.world.together(("A", "A1"), ("B", "B7"))


def test_a_doubted_record_is_joined_by_no_weight_and_says_so(served):
    served.world.state("A", "A1", person())
    served.world.state("B", "B7", person())

    [fact] = say(served, "doubted", named("B", "B7")).json()["facts"]

    assert (fact["kind"], fact["left"] == fact["right"]) == ("doubted", True)
    assert not served.world.together(("A", "A1"), ("B", "B7"))
    path = f"/api/v1/patients/{served.world.euid('B', 'B7')}"
    assert [m["doubted"] for m in served.get(path).json()["members"]] == [True]
    served.post(f"/api/v1/facts/{fact['id']}/withdraw", by="lead")
    flags = {m["id"]: m["doubted"] for m in served.get(path).json()["members"]}
    assert flags == {"A1": False, "B7": False}


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"kind": "same", "left": named("A", "A1")}, "right is required"),
        ({"kind": "doubted", "left": named("A", "A1"), "right": named("B", "B7")}, "left alone"),
    ],
)
def test_an_assertion_has_as_many_ends_as_its_kind(served, body, problem):
    answer = served.post("/api/v1/facts", body, by="lead")

    assert answer.status_code == 422
    assert problem in answer.json()["errors"][0]["problem"]


def test_an_identifier_nobody_stated_is_unknown(served):
    served.world.state("A", "A1", person())

    assert say(served, "same", named("A", "A1"), named("B", "B7")).status_code == 404


def test_a_contradiction_names_the_facts_it_meets(served):
    served.world.state("A", "A1", person())
    served.world.state("B", "B7", OTHER)
    first = say(served, "different", named("A", "A1"), named("B", "B7")).json()["facts"][0]

    refused = say(served, "same", named("A", "A1"), named("B", "B7"))

    assert refused.status_code == 409
    assert refused.json()["facts"] == [first["id"]]


def test_a_contradiction_does_not_name_what_is_not_the_callers_to_see(served):
    for site, value, who in (("A", "A1", person()), ("A", "A2", OTHER), ("B", "B7", LOOKALIKE)):
        served.world.state(site, value, who)
    hidden = [
        say(served, "same", named("A", "A1"), named("B", "B7")),
        say(served, "different", named("A", "A2"), named("B", "B7")),
    ]
    assert all(answer.status_code == 200 for answer in hidden)

    seen = say(served, "same", named("A", "A1"), named("A", "A2"), by="lead")
    limited = say(served, "same", named("A", "A1"), named("A", "A2"), by="lead-a")

    assert seen.json()["facts"]
    assert limited.status_code == 409
    assert "facts" not in limited.json()
    assert limited.json()["detail"] == "assertions that stand are in the way"


def test_facts_about_other_domains_are_not_there(served):
    served.world.state("A", "A1", person())
    served.world.state("B", "B7", OTHER)
    fact = say(served, "same", named("A", "A1"), named("B", "B7")).json()["facts"][0]
    unseen = [
        served.get(f"/api/v1/facts/{fact['id']}", by="reviewer-a"),
        served.post(f"/api/v1/facts/{fact['id']}/withdraw", by="lead-a"),
        served.post(f"/api/v1/facts/{fact['id']}/confirm", by="lead-a"),
        say(served, "doubted", named("B", "B7"), by="lead-a"),
    ]

    assert [answer.status_code for answer in unseen] == [404, 404, 404, 400]
    assert served.get("/api/v1/facts", by="reviewer-a").json() == {"facts": [], "next": None}
    assert served.get("/api/v1/facts/999", by="reviewer-a").status_code == 404


def test_withdrawing_what_others_rest_on_lists_them_and_goes_on_knowing_them(served):
    for site, value, who in (("A", "A1", person()), ("B", "B7", OTHER), ("C", "C3", LOOKALIKE)):
        served.world.state(site, value, who)
    first = say(served, "same", named("A", "A1"), named("B", "B7")).json()["facts"][0]["id"]
    later = say(served, "same", named("B", "B7"), named("C", "C3")).json()["facts"][0]["id"]
    path = f"/api/v1/facts/{first}/withdraw"

    refused = served.post(path, by="lead")
    assert (refused.status_code, refused.json()["facts"]) == (409, [later])
    assert served.world.together(("A", "A1"), ("C", "C3"))

    done = served.post(path, {"knowing": [later]}, by="lead")
    assert (done.status_code, done.json()["stands"]) == (200, False)
    assert not served.world.together(("A", "A1"), ("B", "B7"))
    assert served.world.together(("B", "B7"), ("C", "C3"))


def test_a_statement_is_set_aside_and_comes_back(served):
    served.world.state("A", "A1", person(city="LIMOGES"))
    served.world.state("A", "A1", person(city="BRIVE"), minute=5)
    path = f"/api/v1/patients/{served.world.euid('A', 'A1')}"

    def city():
        return served.get(path).json()["golden"]["city"]["value"]

    timeline = served.get(f"{path}/timeline", by="reviewer").json()["happenings"]
    latest = [h["details"]["statement"] for h in timeline if h["what"] == "stated"][-1]
    assert city() == "BRIVE"

    unseen = served.post(f"/api/v1/statements/{latest}/set-aside", by="reviewer")
    assert [f["kind"] for f in unseen.json()["facts"]] == ["set_aside"]
    assert city() == "LIMOGES"
    served.post(f"/api/v1/facts/{unseen.json()['facts'][0]['id']}/withdraw", by="lead")
    assert city() == "BRIVE"


def test_a_statement_one_may_not_see_does_not_exist(served):
    served.world.state("B", "B7", person())

    unseen = served.post("/api/v1/statements/1/set-aside", by="reviewer-a")
    unknown = served.post("/api/v1/statements/9/set-aside", by="reviewer-a")

    assert (unseen.status_code, unknown.status_code) == (404, 404)
    assert unseen.text.replace("1", "N") == unknown.text.replace("9", "N")
