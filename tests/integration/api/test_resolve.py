"""POST resolve: what a portal calls to group the exams of several sites under one person."""

import pytest

from tests.federation import person
from tests.integration.api.served import LOUISE

ODETTE = {
    "birth_name": "ROUXEL",
    "given_names": "ODETTE",
    "birth_date": "1931-11-04",
    "sex": "F",
    "birth_place": "35238",
}


def test_an_identity_the_index_holds_answers_for_its_person(served):
    served.world.state("A", "A1", person())
    served.world.state("B", "B7", person())

    [answer] = served.resolve({"domain": "SITE-A", "id": "A1"})

    assert answer["status"] == "linked"
    assert answer["probability"] == 1
    assert answer["euid"] == served.world.euid("A", "A1")
    assert answer["members"] == [{"domain": "SITE-A", "id": "A1"}, {"domain": "SITE-B", "id": "B7"}]
    assert (answer["companions"], answer["domain_known"]) == ([], True)


@pytest.mark.parametrize("name", ["SITE-A", "2.999.1.1", "urn:oid:2.999.1.1"])
def test_a_domain_is_named_by_namespace_or_oid(served, name):
    served.world.state("A", "A1", person())

    assert served.resolve({"domain": name, "record_id": "A1"})[0]["status"] == "linked"


def test_two_identities_no_feed_stated_are_grouped_together(served):
    served.world.state("C", "C1", person("MAHÉ", "YANN", "1999-01-05", "M"))

    first, other, second = served.resolve(LOUISE, ODETTE, {**LOUISE, "domain": "SITE-B", "id": "new"})

    assert first["suid"] == second["suid"] != other["suid"]
    assert (first["companions"], other["companions"], second["companions"]) == ([2], [], [0])
    assert [item["status"] for item in (first, other, second)] == ["linked", "unknown", "linked"]
    assert [item["euid"] for item in (first, other, second)] == [None] * 3


def test_nothing_of_what_is_resolved_is_stored(served):
    served.resolve(LOUISE, {**LOUISE, "domain": "SITE-B", "id": "new"})

    with served.store.read() as uow:
        assert uow.records.all_ids() == []
    assert served.resolve({"domain": "SITE-B", "id": "new"})[0]["status"] == "unknown"


def test_a_traits_only_identity_joins_the_person_it_resembles(served):
    served.world.state("A", "A1", person())

    [answer] = served.resolve(LOUISE)

    assert answer["status"] == "linked"
    assert 0.99 < answer["probability"] < 1
    assert answer["members"] == [{"domain": "SITE-A", "id": "A1"}]
    assert answer["domain_known"] is None


def test_an_identity_that_fits_two_persons_joins_neither(served):
    served.world.state(
        "A", "A1", person(birth_place_code="", ins="284028708512354", identity_codes=("VALI",))
    )
    served.world.state(
        "B", "B1", person(birth_place_code="", ins="284028708512451", identity_codes=("VALI",))
    )
    assert not served.world.together(("A", "A1"), ("B", "B1"))

    [answer] = served.resolve(
        {name: LOUISE[name] for name in ("birth_name", "given_names", "birth_date", "sex")}
    )

    assert (answer["status"], answer["euid"], answer["members"]) == ("ambiguous", None, [])


@pytest.mark.parametrize("code", ["ANOM", "CACH"])
def test_a_protected_identity_is_never_answered(served, code):
    served.world.state("A", "A1", person(identity_codes=("PROV", code)))

    for identity in ({"domain": "SITE-A", "id": "A1"}, LOUISE, {**LOUISE, "identity_status": f"PROV {code}"}):
        [answer] = served.resolve(identity)

        assert (answer["status"], answer["euid"], answer["members"]) == ("unknown", None, [])


def test_surrogates_of_two_consumers_are_unrelated_and_of_one_are_stable(served):
    served.world.state("A", "A1", person())
    asked = [{"domain": "SITE-A", "id": "A1"}, LOUISE, {"domain": "SITE-Z", "id": "1"}]

    portal, reviewer = (
        {i["suid"] for i in served.resolve(*asked, by=name)} for name in ("portal", "reviewer")
    )

    assert portal.isdisjoint(reviewer)
    assert portal == {item["suid"] for item in served.resolve(*asked)}
    assert served.world.euid("A", "A1") not in portal


def test_a_site_sees_its_own_identifiers_and_no_enterprise_identifier(served):
    served.world.state("A", "A1", person())
    served.world.state("B", "B7", person())

    [answer] = served.resolve({"domain": "SITE-A", "id": "A1"}, by="site")

    assert (answer["members"], answer["euid"]) == ([{"domain": "SITE-A", "id": "A1"}], None)


def test_another_sites_patient_is_told_from_nobody_by_nothing(served):
    asked = [{"domain": "SITE-B", "id": "B7"}, {"domain": "SITE-Z", "id": "B7"}, LOUISE]
    before = served.resolve(*asked, by="site")

    served.world.state("B", "B7", person())

    assert served.resolve(*asked, by="site") == before
    assert [item["domain_known"] for item in before] == [False, False, None]


@pytest.mark.parametrize(
    ("item", "place", "problem"),
    [
        ({"birth_date": "29/02/1984"}, ".birth_date", "not a date (expected YYYY[-MM[-DD]] or YYYYMMDD)"),
        ({"id": "A1"}, ".domain", "an identifier needs its domain"),
        ({"domain": ["SITE-A"], "id": "A1"}, ".domain", "expected a text"),
        ({"birthdate": "1984-02-29"}, ".birthdate", "unknown field"),
        ({"ROUXEL ODETTE": 1}, ".(unnamed)", "unknown field"),
        ("A1", "", "expected a JSON object"),
        (None, "", "expected a JSON object"),
        ([LOUISE], "", "expected a JSON object"),
    ],
)
def test_an_identity_that_cannot_be_read_is_named_and_the_others_are_answered(served, item, place, problem):
    served.world.state("A", "A1", person())

    first, wrong, held, third = served.resolve(ODETTE, item, {"domain": "SITE-A", "id": "A1"}, ODETTE)

    assert wrong == {
        "suid": None,
        "euid": None,
        "status": "invalid",
        "probability": None,
        "members": [],
        "companions": [],
        "domain_known": None,
        "error": {"place": f"identities[1]{place}", "problem": problem},
    }
    assert (first["status"], first["companions"], third["companions"]) == ("linked", [3], [0])
    assert (held["status"], held["euid"]) == ("linked", served.world.euid("A", "A1"))
    assert [answer["error"] for answer in (first, held, third)] == [None] * 3


def test_an_identity_that_cannot_be_read_changes_nothing_for_the_others(served):
    empty, before = served.resolve({}, LOUISE)
    wrong, after = served.resolve({"sex": "?"}, LOUISE)

    assert before == after
    assert (empty["status"], wrong["status"]) == ("unknown", "invalid")
    assert served.resolve({"sex": "?"}, {"sex": "?"})[1]["error"]["place"] == "identities[1].sex"


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "x",
        {},
        {"identities": None},
        {"identities": {}},
        {"identities": []},
        {"identities": [{}], "x": 1},
    ],
)
def test_a_body_of_another_shape_is_refused(served, body):
    assert served.post("/api/v1/resolve", body).status_code == 422


def test_the_documented_answer_tells_an_invalid_identity(served):
    schemas = served.app.openapi()["components"]["schemas"]

    item = schemas["ResolveIn"]["properties"]["identities"]["items"]
    assert item == {"$ref": "#/components/schemas/IdentityIn"}
    assert "invalid" in schemas["ResolvedOut"]["properties"]["status"]["description"]
    assert {"$ref": "#/components/schemas/PlaceOut"} in schemas["ResolvedOut"]["properties"]["error"]["anyOf"]


def test_a_thousand_identities_are_answered_in_order(served):
    served.world.state("A", "A1", person())
    strangers = [{"domain": "SITE-C", "id": f"C{i}"} for i in range(999)]

    answers = served.resolve(*strangers, {"domain": "SITE-A", "id": "A1"})

    assert len(answers) == 1000
    assert [a["status"] for a in answers] == ["unknown"] * 999 + ["linked"]
    assert len({a["suid"] for a in answers}) == 1000


def test_match_grades_and_explains_without_storing(served):
    served.world.state("A", "A1", person())

    fr = served.post("/api/v1/match", {"identity": LOUISE}).json()["candidates"]
    en = served.post("/api/v1/match?lang=en", {"identity": LOUISE}).json()["candidates"]

    assert [(c["euid"], c["grade"], c["record"]) for c in fr] == [
        (served.world.euid("A", "A1"), "probable", {"domain": "SITE-A", "id": "A1"})
    ]
    assert any("nom de naissance identique" in s for s in fr[0]["score"]["sentences"])
    assert any("same birth name" in s for s in en[0]["score"]["sentences"])
    assert ("key:portal", "query.match") in served.audited()
    assert served.post("/api/v1/match", {"identity": ODETTE}).json() == {"candidates": []}


def test_match_leaves_out_what_the_caller_may_not_see(served):
    served.world.state("B", "B7", person())

    assert served.post("/api/v1/match", {"identity": LOUISE}, by="portal-a").json() == {"candidates": []}
