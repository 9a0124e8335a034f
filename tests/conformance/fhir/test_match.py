"""
X07: ITI-119 `Patient/$match`, case by case.

Source: IHE PDQm 3.2, ITI-119, cases 1 to 10; FHIR R4 OperationDefinition/Patient-match.
"""

import pytest

from mpi.index.review import Verdict
from mpi.security.keys import Role
from tests.conformance.fhir.federation import (
    INS_TEST_OID,
    LOUISE_INS,
    PATIENT,
    A,
    B,
    C,
    fed,
    found,
    louise,
    served_people,
)
from tests.federation import person
from tests.unit.feeds.fhir.resources import birth_place, patient, reliability

GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"
INS = {
    "use": "official",
    "system": f"urn:oid:{INS_TEST_OID}",
    "value": LOUISE_INS,
    "type": {"coding": [{"code": "INS-NIR-TEST"}]},
}


@pytest.fixture
def served(memory_store):
    return served_people(memory_store)


def asked(*identifiers, **more):
    """Louise as a portal would ask about her; without an identifier unless one is given."""
    return patient(**{"identifier": list(identifiers) or None, **more})


def match(served, resource, *, by="portal", **parameters):
    values = {"onlyCertainMatches": "valueBoolean", "count": "valueInteger"}
    parts = [{"name": "resource", "resource": resource}]
    parts += [{"name": name, values[name]: value} for name, value in parameters.items()]
    return served.post(f"{PATIENT}/$match", {"resourceType": "Parameters", "parameter": parts}, by=by)


def graded(answer):
    """(identifier of the enterprise record, grade, score) in the order of the answer."""
    bundle = fed(answer)
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
    told = []
    for entry in bundle.get("entry", []):
        assert entry["search"]["mode"] == "match"
        [grade] = entry["search"]["extension"]
        assert grade["url"] == GRADE
        assert 0 <= entry["search"]["score"] <= 1
        told.append((entry["resource"]["id"], grade["valueCode"], entry["search"]["score"]))
    return told


def grades(answer):
    return [grade for _, grade, _ in graded(answer)]


def test_one_hit(served):
    """[X07] Case 1, one hit: its entry, graded and scored."""
    [(euid, grade, score)] = graded(match(served, asked()))

    assert (euid, grade) == (served.world.euid("A", "A1001"), "probable")
    assert score > 0.9


def test_several_hits_best_first(served):
    """[X07] Case 2, several hits: best first, each with its grade."""
    served.world.state(
        "C", "C7", person("CHANTEREAU", "LOUISE", "1984-02-28", address="9 RUE NEUVE"), minute=9
    )
    told = graded(match(served, asked()))

    assert len(told) >= 1
    assert told == sorted(
        told, key=lambda each: (["certain", "probable", "possible"].index(each[1]), -each[2])
    )
    assert told[0][0] == served.world.euid("A", "A1001")


def test_only_certain_matches_of_a_certain_one(served):
    """[X07] Case 3, onlyCertainMatches and one certain: that entry."""
    told = graded(match(served, asked({"system": A, "value": "A1001"}), onlyCertainMatches=True))

    assert [(euid, grade) for euid, grade, _ in told] == [(served.world.euid("A", "A1001"), "certain")]


def test_only_certain_matches_of_one_that_is_not(served):
    """[X07] Case 4, onlyCertainMatches and one hit that is not certain: an empty searchset."""
    answer = match(served, asked(), onlyCertainMatches=True)

    assert graded(answer) == []
    assert fed(answer)["total"] == 0


def test_only_certain_matches_of_several_people(served):
    """[X07] Case 5, onlyCertainMatches and several who cannot be confirmed as one: an empty searchset."""
    served.world.state("C", "C7", louise(ins="", ins_oid="", identity_codes=("VALI",)), minute=9)
    served.world.registry.relate(
        Verdict.DIFFERENT,
        served.world.record("A", "A1001").key,
        served.world.record("C", "C7").key,
        reviewer="anne",
    )
    answer = match(served, asked({"system": A, "value": "A1001"}), onlyCertainMatches=True)

    assert not served.world.together(("A", "A1001"), ("C", "C7"))
    assert len(graded(match(served, asked({"system": A, "value": "A1001"})))) == 2
    assert graded(answer) == []


def test_count(served):
    """[X07] Case 6, count: no more than that."""
    served.world.state("C", "C7", louise(ins="", ins_oid="", identity_codes=("VALI",)), minute=9)
    served.world.registry.relate(
        Verdict.DIFFERENT,
        served.world.record("A", "A1001").key,
        served.world.record("C", "C7").key,
        reviewer="anne",
    )

    assert len(graded(match(served, asked(), count=5))) == 2
    assert len(graded(match(served, asked(), count=1))) == 1


def test_no_hit(served):
    """[X07] Case 7, no hit: 200, an empty searchset, no error."""
    nobody = {"name": [{"family": "ZZTOP", "given": ["ZOE"]}], "birthDate": "1901-01-01"}
    answer = match(served, asked(**nobody, telecom=None, address=None, extension=None))

    assert fed(answer) == {"resourceType": "Bundle", "type": "searchset", "total": 0}


def test_a_deprecated_record(served):
    """[X07] Case 8, a merged identifier: the person answers, the identifier is old."""
    [resource] = found(fed(match(served, asked({"system": A, "value": "A0900"}))))

    assert {(i["value"], i["use"]) for i in resource["identifier"]} >= {("A1001", "usual"), ("A0900", "old")}
    assert resource["active"] is True


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"resourceType": "Person"},
        {"resourceType": "Parameters"},
        {"resourceType": "Parameters", "parameter": []},
        {
            "resourceType": "Parameters",
            "parameter": [{"name": "resource", "resource": {"resourceType": "Person"}}],
        },
        {
            "resourceType": "Parameters",
            "parameter": [{"name": "resource", "resource": patient()}, {"name": "more", "valueString": "x"}],
        },
        {
            "resourceType": "Parameters",
            "parameter": [{"name": "resource", "resource": patient()}] * 2,
        },
        {
            "resourceType": "Parameters",
            "parameter": [{"name": "resource", "resource": patient()}, {"name": "count", "valueInteger": 0}],
        },
        {
            "resourceType": "Parameters",
            "parameter": [{"name": "resource", "resource": patient()}, {"name": "count", "valueString": "1"}],
        },
        {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "resource", "resource": patient()},
                {"name": "onlyCertainMatches", "valueBoolean": "ZQX"},
            ],
        },
        patient(gender="ZQX"),
        patient(birthDate="ZQX"),
        patient(name=[{"use": "ZQX"}]),
        patient(identifier={"ZQX": 1}),
    ],
)
def test_a_bad_request(served, body):
    """[X07] Case 9, a bad request: 400 and an OperationOutcome that repeats nothing."""
    answer = served.post(f"{PATIENT}/$match", body)

    assert answer.status_code == 400
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert "ZQX" not in answer.text


def test_a_hit_with_a_warning_is_a_hit(served):
    """[X07] Case 10, what is tolerated does not stop the answer: an INS that is not validated is left out."""
    unusable = asked(INS, extension=[reliability("PROV"), birth_place()])

    assert grades(match(served, unusable)) == ["probable"]


def test_a_bare_patient(served):
    """[X07] A bare Patient is taken when nothing else is sent."""
    answer = served.post(f"{PATIENT}/$match", asked())

    assert graded(answer) == graded(match(served, asked()))


def test_an_unknown_extension_is_passed_over(served):
    """[X07] An unknown extension is ignored."""
    extension = [*asked()["extension"], {"url": "https://example.org/x", "valueString": "y"}]

    assert graded(match(served, asked(extension=extension))) == graded(match(served, asked()))


@pytest.mark.parametrize(
    "where",
    [
        lambda extension: patient(modifierExtension=extension),
        lambda extension: patient(contact=[{"modifierExtension": extension}]),
    ],
)
def test_an_unknown_modifier_extension_is_refused(served, where):
    """[X07] An unknown modifierExtension, anywhere: 400."""
    answer = match(served, where([{"url": "https://example.org/x", "valueBoolean": True}]))

    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (400, "extension")


def test_the_same_ins_of_two_qualified_identities_is_certain(served):
    """[X07] Grade certain: the same INS, both qualified, the same strict traits."""
    qualified = asked(INS, extension=[reliability("VALI"), birth_place()])
    another_name = asked(
        INS,
        extension=[reliability("VALI"), birth_place()],
        name=[{"use": "official", "family": "DUVIVIER", "given": ["LOUISE"]}],
    )

    assert grades(match(served, qualified)) == ["certain"]
    assert "certain" not in grades(match(served, another_name))


@pytest.mark.parametrize("code", ["PROV", "DOUT", "FICT", "HOMA"])
def test_what_is_not_verified_is_never_certain(served, code):
    """[X07] Grade certain: never for provisional, doubtful, fictitious or homonymous, on either side."""
    codes = ("VALI", code) if code == "HOMA" else ("PROV", code) if code != "PROV" else ("PROV",)
    served.world.state("C", "C40", person("VASSEUR", "NORA", "1971-06-15", identity_codes=codes), minute=9)
    nora = patient(
        {"system": C, "value": "C40"},
        name=[{"use": "official", "family": "VASSEUR", "given": ["NORA"]}],
        birthDate="1971-06-15",
        address=None,
        telecom=None,
    )
    told = asked(
        {"system": A, "value": "A1001"}, extension=[reliability("VALI", comments=(code,)), birth_place()]
    )

    assert "certain" not in grades(match(served, nora))
    if code != "PROV":
        assert "certain" not in grades(match(served, told))


def test_a_reported_identity_is_no_longer_certain(served):
    """[X07] Grade certain: not once somebody reported the identity to be wrong."""
    sure = asked({"system": A, "value": "A1001"})
    assert grades(match(served, sure)) == ["certain"]

    served.world.registry.doubt(served.world.record("A", "A1001").key, reviewer="anne")

    assert "certain" not in grades(match(served, sure))


def test_an_identifier_with_somebody_elses_traits_is_not_certain(served):
    """[X07] Grade certain: an identifier that comes with other traits says nothing."""
    swapped = asked({"system": A, "value": "A5"})

    assert grades(match(served, swapped)) == ["probable"]


def test_nothing_of_the_question_is_stored(served):
    """[X07] Nothing of a question is kept: records, messages and facts are what they were."""

    def state():
        with served.store.read() as uow:
            return uow.records.all_ids(), uow.inbox.counts(), uow.facts.page()

    before = state()
    match(served, asked({"system": A, "value": "A999"}))

    assert state() == before
    assert served.audited()[-1] == ("key:portal", "query.match")


def test_a_caller_limited_to_a_domain_is_answered_from_it(served):
    """[X07] A caller sees its own domains: the others neither answer nor change a byte of the answer."""
    served.add_key("portal-b", Role.PORTAL, "B")
    before = match(served, asked(), by="portal-b").content
    served.world.state("A", "A77", louise(), minute=20)
    served.world.state("C", "C77", louise(), minute=21)

    assert match(served, asked(), by="portal-b").content == before
    assert {
        i["system"] for each in found(fed(match(served, asked(), by="portal-b"))) for i in each["identifier"]
    } <= {
        B,
        f"urn:oid:{INS_TEST_OID}",
    }


def test_who_may_not_match_is_refused(served):
    assert match(served, asked(), by="site").status_code == 403
    assert match(served, asked(), by="operator").status_code == 403
