"""A person over time: the timeline, a split and a move, an erasure, what a consumer was told, what was known."""

from datetime import timedelta

import pytest

from mpi.index.parties import Consumer
from tests.federation import START, authority, directory, person
from tests.integration.api.served import Served

OTHER = person("BERGER", "SOPHIE", "1955-06-03", birth_place_code="33063")


def named(site, value):
    return {"domain": f"SITE-{site}", "id": value}


def a_person_of_three_sites(served):
    for site in "ABC":
        served.world.state(site, f"{site}1", person())
    return served.world.euid("A", "A1")


# ------------------------------------------------------------------------------ timeline


def test_a_timeline_tells_what_happened_and_by_whom(served):
    euid = a_person_of_three_sites(served)
    body = {"kind": "different", "left": named("A", "A1"), "right": named("B", "B1")}
    fact = served.post("/api/v1/facts", body, by="reviewer").json()["facts"][0]["id"]
    served.post(f"/api/v1/facts/{fact}/withdraw", by="lead")

    answer = served.get(f"/api/v1/patients/{euid}/timeline", by="auditor")

    happenings = answer.json()["happenings"]
    assert [h["at"] for h in happenings] == sorted(h["at"] for h in happenings)
    assert {"stated", "joined", "asserted", "withdrawn"} <= {h["what"] for h in happenings}
    [asserted] = [h for h in happenings if h["what"] == "asserted"]
    assert (asserted["actor"], asserted["details"]["fact"]) == ("user:reviewer", fact)
    assert asserted["subjects"] == [named("A", "A1"), named("B", "B1")]
    assert "CHANTEREAU" not in answer.text
    assert served.audited()[-1] == ("key:auditor", "patient.timeline")


def test_a_timeline_leaves_out_what_is_about_other_domains(served):
    euid = a_person_of_three_sites(served)
    body = {"kind": "different", "left": named("A", "A1"), "right": named("B", "B1")}
    served.post("/api/v1/facts", body, by="reviewer")

    answer = served.get(f"/api/v1/patients/{euid}/timeline", by="auditor-a")

    assert {s["domain"] for h in answer.json()["happenings"] for s in h["subjects"]} == {"SITE-A"}
    assert "asserted" not in {h["what"] for h in answer.json()["happenings"]}
    assert "SITE-B" not in answer.text
    unseen = served.get(f"/api/v1/patients/{served.world.euid('B', 'B1')}/timeline", by="auditor-a")
    unknown = served.get("/api/v1/patients/AAAAAAAAAAAAAAAA/timeline", by="auditor-a")
    assert unknown.status_code == 404
    assert unseen.status_code in (200, 404)


def test_a_timeline_ends_where_it_is_asked_to(served):
    served.world.state("A", "A1", person())
    between = served.world.clock().isoformat()
    served.world.state("A", "A1", person(city="BRIVE"), minute=5)
    path = f"/api/v1/patients/{served.world.euid('A', 'A1')}/timeline"

    whole = served.get(path, by="lead").json()["happenings"]
    then = served.get(path, by="lead", params={"as_of": between}).json()["happenings"]

    assert then == whole[: len(then)]
    assert len([h for h in whole if h["what"] == "stated"]) == 2
    assert len([h for h in then if h["what"] == "stated"]) == 1


# ------------------------------------------------------------------------------ as it was


def test_a_person_as_it_was(served):
    served.world.state("A", "A1", person(identity_codes=("PROV",)))
    between = served.world.clock().isoformat()
    served.world.state("A", "A1", person("FAURE", "CHLOE", "2011-08-09"), minute=5)
    served.world.state("A", "A1", person(identity_codes=("VALI",), city="BRIVE"), minute=6)
    served.world.state("B", "B7", person())
    path = f"/api/v1/patients/{served.world.euid('A', 'A1')}"

    then = {"as_of": between}
    was = served.get(path, params=then).json()
    history = served.get(f"{path}/history", params=then).json()["memberships"]
    links = served.get(f"{path}/explain", params=then).json()["links"]

    assert [(m["id"], m["status"], m["held"]) for m in was["members"]] == [("A1", "PROV", False)]
    assert "city" not in was["golden"]
    assert [(h["id"], h["valid_to"]) for h in history] == [("A1", None)]
    assert history[0]["cause"].startswith("message/")
    assert links == []


def test_whom_an_identity_resembled_then(served):
    served.world.state("A", "A1", person())
    between = served.world.clock().isoformat()
    served.world.state("B", "B7", OTHER)
    body = {"identity": {"birth_name": "BERGER", "given_names": "SOPHIE", "birth_date": "1955-06-03"}}

    now = served.post("/api/v1/match", body, by="lead").json()["candidates"]
    then = served.post("/api/v1/match", body, by="lead", params={"as_of": between}).json()["candidates"]

    assert [c["record"]["id"] for c in now] == ["B7"]
    assert then == []


# ------------------------------------------------------------------------------ split


def test_members_are_split_out_and_stay_out(served):
    euid = a_person_of_three_sites(served)

    done = served.post(f"/api/v1/patients/{euid}/split", {"members": [named("C", "C1")]}, by="lead").json()

    assert {(f["kind"], f["act_id"]) for f in done["facts"]} == {("different", done["facts"][0]["id"])}
    assert len(done["facts"]) == 2
    assert served.world.together(("A", "A1"), ("B", "B1"))
    assert not served.world.together(("A", "A1"), ("C", "C1"))
    served.world.state("C", "C1", person(city="BRIVE"), minute=9)
    assert not served.world.together(("A", "A1"), ("C", "C1"))
    served.post(f"/api/v1/facts/{done['facts'][1]['id']}/withdraw", by="lead")
    assert served.world.together(("A", "A1"), ("C", "C1"))


def test_a_member_is_moved_to_the_record_of_another_identifier(served):
    euid = a_person_of_three_sites(served)
    served.world.state("A", "A9", OTHER)

    body = {"members": [named("C", "C1")], "to": named("A", "A9"), "reason": "erreur de guichet"}
    done = served.post(f"/api/v1/patients/{euid}/split", body, by="lead").json()

    assert sorted(f["kind"] for f in done["facts"]) == ["different", "different", "same"]
    assert served.world.together(("A", "A9"), ("C", "C1"))


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ([named("A", "A1"), named("B", "B1"), named("C", "C1")], 409),
        ([named("A", "A9")], 404),
        ([named("A", "A0")], 404),
        ([], 422),
    ],
)
def test_a_split_that_cannot_be(served, members, status):
    euid = a_person_of_three_sites(served)
    served.world.state("A", "A9", OTHER)

    answer = served.post(f"/api/v1/patients/{euid}/split", {"members": members}, by="lead")

    assert answer.status_code == status


def test_a_split_does_not_tell_a_limited_lead_of_members_elsewhere(served):
    euid = a_person_of_three_sites(served)
    served.world.state("A", "A2", person())
    assert served.world.together(("A", "A1"), ("A", "A2"))
    euid = served.world.euid("A", "A1")
    both = {"members": [named("A", "A1"), named("A", "A2")]}
    one = {"members": [named("A", "A2")]}

    all_of_it = served.post(f"/api/v1/patients/{euid}/split", both, by="lead-a")
    part = served.post(f"/api/v1/patients/{euid}/split", one, by="lead-a")

    assert (all_of_it.status_code, all_of_it.json()["detail"]) == (
        409,
        "nothing would stay in the enterprise record",
    )
    assert [(f["left"]["id"], f["right"]["id"]) for f in part.json()["facts"]] == [("A1", "A2")]


# ------------------------------------------------------------------------------ erasure


def test_an_erased_record_is_gone_and_its_identifier_names_somebody_new(served):
    served.world.state("A", "A1", person("ZQXFAM"))
    served.world.state("B", "B7", OTHER)
    euid = served.world.euid("A", "A1")

    answer = served.post("/api/v1/patients/erase", {**named("A", "A1"), "reason": "demande 12"}, by="lead")

    assert (answer.status_code, answer.json()) == (200, {"euid": euid})
    assert served.get("/api/v1/identifiers?domain=SITE-A&id=A1").status_code == 404
    assert "ZQX" not in served.get(f"/api/v1/patients/{euid}", by="lead").text
    assert (
        served.post("/api/v1/patients/erase", {**named("A", "A1"), "reason": "x"}, by="lead").status_code
        == 404
    )
    served.world.state("A", "A1", OTHER, minute=9)
    assert served.world.euid("A", "A1") != euid
    assert served.world.together(("A", "A1"), ("B", "B7"))


def test_an_erasure_needs_a_reason_and_a_domain_that_is_seen(served):
    served.world.state("B", "B7", person())

    without = served.post("/api/v1/patients/erase", {**named("B", "B7"), "reason": ""}, by="lead")
    unseen = served.post("/api/v1/patients/erase", {**named("B", "B7"), "reason": "x"}, by="lead-a")

    assert (without.status_code, unseen.status_code) == (422, 400)
    assert served.world.elsewhere("B", "B7") == set()


# ------------------------------------------------------------------------------ told


def test_what_a_consumer_was_told_is_what_it_would_have_been_answered(served):
    served.world.state("A", "A1", person())
    between = served.world.clock()
    served.world.state("B", "B7", person())
    ask = {"consumer": "portal", **named("A", "A1")}

    before = served.get("/api/v1/told", by="auditor", params={**ask, "on": between.isoformat()}).json()
    after = served.get(
        "/api/v1/told", by="auditor", params={**ask, "on": (START + timedelta(days=1)).isoformat()}
    ).json()

    assert before["identifiers"] == []
    assert (after["consumer"], after["asked"]) == ("portal", named("A", "A1"))
    assert after["identifiers"] == [named("B", "B7")]
    assert len(after["notified"]) > len(before["notified"])
    assert {row["kind"] for row in after["notified"]} == {"pix_update"}
    assert served.audited()[-1] == ("key:auditor", "audit.told")


def test_told_shows_a_limited_auditor_its_own_domains_and_consumers_who_see_no_more(memory_store):
    """What the portal, who sees every domain, is told of A1 follows from what other sites say of the person."""
    own = frozenset({authority("A").universal_id})
    viewer = Consumer("viewer-a", "VIEWER_A", "A", own, "127.0.0.1:1")
    served = Served(memory_store, parties=directory(consumers=[*directory().consumers, viewer]))
    served.world.state("A", "A1", person())
    served.world.state("A", "A2", person())
    served.world.state("B", "B7", person())
    ask = {"consumer": "viewer-a", "on": (START + timedelta(days=1)).isoformat()}

    def told(key, **more):
        return served.get("/api/v1/told", by="auditor-a", params={**ask, **key, **more})

    seen = told(named("A", "A1"))
    hidden = told(named("A", "A1"), consumer="portal")
    nobody = told(named("A", "A1"), consumer="x")

    assert seen.json()["identifiers"] == [named("A", "A2")]
    assert len(seen.json()["notified"]) == 1
    assert told(named("B", "B7")).status_code == 400
    assert (hidden.status_code, hidden.content) == (nobody.status_code, nobody.content)
    assert nobody.status_code == 404
