"""Identifiers, enterprise records, why they hold, and what they were."""

from datetime import datetime
from urllib.parse import quote

import pytest

from mpi.index.review import Verdict
from tests.federation import SITES, START, authority, person

EVERY_SITE = frozenset(authority(site).universal_id for site in SITES)


def a_person_of_two_sites(served):
    served.world.state("A", "A1", person(city="LIMOGES"), minute=1)
    served.world.state("B", "B7", person(used="ROUX", city="BRIVE"), minute=2)
    return served.world.euid("A", "A1")


def test_identifiers_answers_as_pix_does(served):
    euid = a_person_of_two_sites(served)
    expected = {
        "asked": {"domain": "SITE-A", "id": "A1"},
        "euid": euid,
        "identifiers": [{"domain": "SITE-B", "id": "B7"}],
    }

    by_name = served.get("/api/v1/identifiers", params={"domain": "SITE-A", "id": "A1"})
    by_oid = served.get(
        "/api/v1/identifiers", params={"domain": "2.999.1.1", "id": "A1", "target": ["SITE-B", "SITE-C"]}
    )
    elsewhere = served.get("/api/v1/identifiers", params={"domain": "SITE-A", "id": "A1", "target": "SITE-C"})

    assert by_name.json() == by_oid.json() == expected
    assert elsewhere.json()["identifiers"] == []


def test_identifiers_of_an_unknown_or_unseen_domain_are_answered_alike(served):
    a_person_of_two_sites(served)

    def ask(by, **params):
        answer = served.get("/api/v1/identifiers", by=by, params={"id": "A1", **params})
        return answer.status_code, answer.json()

    assert ask("site-b", domain="SITE-A") == ask("site-b", domain="SITE-Z") == ask("portal", domain="SITE-Z")
    assert ask("site", domain="SITE-A", target="SITE-B") == ask("site", domain="SITE-A", target="SITE-Z")
    assert ask("portal", domain="SITE-Z")[0] == 400
    assert ask("portal", domain="SITE-B")[0] == 404


def test_identifiers_as_they_were(served):
    served.world.state("A", "A1", person())
    between = served.world.clock()
    served.world.state("B", "B7", person())
    as_of = {"domain": "SITE-A", "id": "A1", "as_of": between.isoformat()}

    assert served.get("/api/v1/identifiers", params=as_of).json()["identifiers"] == []
    assert served.get(
        f"/api/v1/patients/{served.world.euid('A', 'A1')}?as_of={quote(between.isoformat())}"
    ).json()["members"] == [
        {
            "domain": "SITE-A",
            "id": "A1",
            "subsumed": False,
            "retired": False,
            "held": False,
            "doubted": False,
            "status": "PROV",
            "attributes": [],
        }
    ]


IMPOSSIBLE = [
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "1899-12-31T23:59:59Z",
    "1900-01-01T00:00:00+00:01",
    "2201-01-01T00:00:00Z",
    "2200-12-31T23:59:59-00:01",
]


@pytest.mark.parametrize("instant", IMPOSSIBLE)
@pytest.mark.parametrize("path", ["/api/v1/identifiers?domain=SITE-A&id=A1", "/api/v1/patients/EUID?"])
def test_an_instant_no_record_can_be_of_is_refused(served, path, instant):
    served.world.state("A", "A1", person())

    answer = served.get(
        f"{path.replace('EUID', served.world.euid('A', 'A1'))}&as_of={quote(instant)}", by="lead"
    )

    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"place": "as_of", "problem": "the year must be from 1900 to 2200, in UTC"}
    ]


@pytest.mark.parametrize("number", ["0", "1700000000", "-5", "1e9"])
def test_a_number_is_no_instant(served, number):
    answer = served.get(f"/api/v1/reviews?as_of={number}", by="lead")

    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"place": "as_of", "problem": "an instant is ISO 8601 with its offset"}
    ]


@pytest.mark.parametrize(
    ("instant", "status"), [("1900-01-01T00:00:00Z", 404), ("2200-12-31T23:59:59Z", 200)]
)
def test_the_first_and_the_last_instant_are_answered(served, instant, status):
    served.world.state("A", "A1", person())

    answer = served.get(f"/api/v1/patients/{served.world.euid('A', 'A1')}?as_of={quote(instant)}", by="lead")

    assert answer.status_code == status


def test_a_patient_has_a_golden_record_with_its_sources(served):
    euid = a_person_of_two_sites(served)

    found = served.get(f"/api/v1/patients/{euid}").json()

    assert (found["asked"], found["euid"], found["retired"]) == (euid, euid, False)
    assert [(m["domain"], m["id"]) for m in found["members"]] == [("SITE-A", "A1"), ("SITE-B", "B7")]
    golden = {name: (field["value"], field["source"]["domain"]) for name, field in found["golden"].items()}
    assert golden["birth_name"] == ("CHANTEREAU", "SITE-B")
    assert golden["used_name"] == ("ROUX", "SITE-B")
    assert golden["given_names"] == ("LOUISE", "SITE-B")
    assert golden["birth_date"] == ("1984-02-29", "SITE-B")
    assert golden["city"] == ("BRIVE", "SITE-B")
    assert found["golden"]["city"]["since"].startswith(START.isoformat()[:13])


def test_a_retired_identifier_still_answers(served):
    served.world.state("A", "A1", person(), minute=2)
    alone = served.world.euid("A", "A1")
    served.world.state("B", "B7", person(), minute=1)
    joined = served.world.euid("B", "B7")
    assert alone != joined

    found = served.get(f"/api/v1/patients/{alone}").json()

    assert (found["asked"], found["euid"], found["retired"]) == (alone, joined, True)
    [ceased] = [
        item.valid_to
        for _, item in served.world.registry.enterprise_record(
            alone, visible=EVERY_SITE, actor="test"
        ).history
        if item.euid == alone
    ]
    assert datetime.fromisoformat(found["retired_since"]) == ceased
    assert served.get(f"/api/v1/patients/{joined}").json()["retired_since"] is None
    history = served.get(f"/api/v1/patients/{alone}/history").json()["memberships"]
    assert [(h["id"], h["euid"], h["valid_to"] is None) for h in history] == [
        ("A1", alone, False),
        ("A1", joined, True),
        ("B7", joined, True),
    ]


def test_what_a_caller_may_not_see_is_absent_and_not_masked(served):
    euid = a_person_of_two_sites(served)

    found = served.get(f"/api/v1/patients/{euid}", by="portal-a")

    assert [m["id"] for m in found.json()["members"]] == ["A1"]
    assert "BRIVE" not in found.text
    assert "SITE-B" not in found.text
    assert served.get(f"/api/v1/patients/{euid}/explain", by="portal-a").json()["links"] == []


def test_an_explanation_holds_sentences_in_two_languages_and_assertions(served):
    euid = a_person_of_two_sites(served)
    served.world.merge("A", "A1", "A0", minute=5)

    fr = served.get(f"/api/v1/patients/{euid}/explain").json()["links"]
    en = served.get(f"/api/v1/patients/{euid}/explain?lang=en").json()["links"]

    [merged] = [link["assertion"] for link in fr if link["assertion"]]
    assert (merged["kind"], merged["actor"]) == ("merged", "source:ris-a")
    assert merged["sentence"] == "la source a fusionné ses deux identifiants"
    [scored] = [link["score"] for link in en if link["score"]]
    assert "same birth date" in " ".join(scored["sentences"])
    assert scored["decision"] == "link"
    assert scored["weight_bits"] > 10


def test_a_human_decision_explains_itself(served):
    served.world.state("A", "A1", person())
    served.world.state("B", "B7", person("CHANTERAU", "LISE", birth_place_code=""))
    [task] = served.world.tasks()
    served.world.decide(task.id, Verdict.SAME)

    links = served.get(f"/api/v1/patients/{served.world.euid('A', 'A1')}/explain").json()["links"]

    [decided] = [link["assertion"] for link in links if link["assertion"]]
    assert (decided["kind"], decided["actor"]) == ("same", "user:anne")
    assert decided["sentence"] == "une personne a décidé : même patient"


def test_an_unknown_person_and_one_nobody_may_see_are_answered_alike(served):
    served.world.state("B", "B7", person())
    euid = served.world.euid("B", "B7")

    unseen = served.get(f"/api/v1/patients/{euid}", by="portal-a")
    unknown = served.get("/api/v1/patients/AAAAAAAAAAAAAAAA", by="portal-a")

    assert (unseen.status_code, unseen.json()) == (unknown.status_code, unknown.json())
    assert unknown.status_code == 404


def test_every_look_at_a_patient_is_audited(served):
    euid = a_person_of_two_sites(served)
    before = len(served.audited())

    for path in ("", "/explain", "/history"):
        served.get(f"/api/v1/patients/{euid}{path}")

    assert served.audited()[before:] == [("key:portal", "patient.read")] * 3
