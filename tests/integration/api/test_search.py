"""Looking somebody up over REST: what may be asked, and what is answered to whom."""

import pytest

from mpi.identity.ins import INS_TEST_OID
from mpi.index.search import Spelling, Why
from tests.federation import person

BORN = "1984-02-29"


def search(served, body, *, by="portal", **params):
    return served.post("/api/v1/search", body, by=by, params=params)


def people(served, body, **more):
    answer = search(served, body, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()["people"]


def test_birth_date_then_three_letters(served):
    served.world.state("A", "A1", person("D'ARTAGNAN", used="LE GOFF", city="LIMOGES"))
    served.world.state("B", "B1", person("D'ARTAGNAN"), minute=1)
    served.world.state("C", "C1", person("DURAND", "ANNE", birth_place_code="75056"))

    [found] = people(served, {"birth_date": BORN, "name": "art"})

    assert found["id"] == served.world.euid("A", "A1")
    assert found["identifiers"] == [{"domain": "SITE-A", "id": "A1"}, {"domain": "SITE-B", "id": "B1"}]
    assert found["golden"]["birth_name"]["value"] == "D'ARTAGNAN"
    assert found["golden"]["city"]["source"] == {"domain": "SITE-A", "id": "A1"}
    assert found["why"] == {
        "family": {"way": "prefix", "sentence": "nom : commence ainsi"},
        "birth": {"way": "same", "sentence": "date de naissance : identique"},
    }
    assert (found["doubtful"], 0 < found["likeness"] < 1) == (False, True)


@pytest.mark.parametrize(
    ("asked", "part", "way", "sentence"),
    [
        ({"name": "LEGOFF"}, "family", "other_name", "family name: another name of the person"),
        ({"name": "DARTHAGNAN"}, "family", "sounds_alike", "family name: sounds alike"),
        ({"name": "DARTAGNAX"}, "family", "one_letter", "family name: one letter away"),
        ({"given_name": "mar"}, "given", "other_name", "given name: another name of the person"),
        ({"sex": "F"}, "sex", "same", "sex: the same"),
        ({"postal_code": "87 000"}, "postal_code", "same", "postal code: the same"),
        ({"domain": "SITE-A", "id": "A1"}, "identifiers", "same", "identifier: the same"),
    ],
)
def test_each_way_to_answer_is_told_in_words(served, asked, part, way, sentence):
    stated = person("D'ARTAGNAN", "LOUISE MARIE", used="LE GOFF", postal_code="87000")
    served.world.state("A", "A1", stated)

    [found] = people(served, {"birth_date": "1984", **asked}, lang="en")

    assert found["why"][part] == {"way": way, "sentence": sentence}


@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_way_and_every_part_has_words(language):
    from mpi.api.rest.searching import _PARTS, _WAYS, _sentence

    assert set(_WAYS) == set(Why)
    assert len({_sentence(part, way, language) for part in _PARTS for way in Why}) == len(_PARTS) * len(Why)


def test_a_misspelt_name_is_found_only_where_that_is_asked(served):
    served.world.state("A", "A1", person("DUPONT"))

    for spelling in Spelling:
        asked = {"birth_date": BORN, "name": "DUPOND", "spelling": spelling}
        assert len(people(served, asked)) == (spelling is Spelling.LOOSE)
        assert len(people(served, {**asked, "name": "DUPONT"})) == 1


@pytest.mark.parametrize(
    ("asked", "answers"),
    [
        ({"birth_date": "1984"}, True),
        ({"birth_date": "1984-02"}, True),
        ({"birth_date": "19840229"}, True),
        ({"birth_date": "1984-03"}, False),
        ({"birth_date": "1984-01", "birth_date_until": "1984-02"}, True),
        ({"birth_date": "1983", "birth_date_until": "1984-02-28"}, False),
        ({"name": "CHA", "given_name": "LOU", "spelling": "prefix"}, True),
        ({"name": "CHANTEREAU", "postal_code": "87000"}, True),
        ({"domain": "SITE-A", "id": "A1"}, True),
        ({"domain": "2.999.1.1", "id": "A2"}, False),
    ],
)
def test_what_is_enough_to_ask(served, asked, answers):
    served.world.state("A", "A1", person(postal_code="87000"))

    assert [one["identifiers"][0]["id"] for one in people(served, asked)] == (["A1"] if answers else [])


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        ({}, "birth_date"),
        ({"name": "CHANTEREAU"}, "birth_date"),
        ({"name": "CH", "given_name": "LOUISE"}, "birth_date"),
        ({"given_name": "LOUISE", "postal_code": "87000"}, "birth_date"),
        ({"sex": "F", "postal_code": "87000"}, "birth_date"),
        ({"birth_date": "29/02/1984"}, "birth_date"),
        ({"birth_date": "1985-02-29"}, "birth_date"),
        ({"birth_date_until": "1984"}, "birth_date"),
        ({"birth_date": "1984", "birth_date_until": "1983"}, "birth_date_until"),
        ({"birth_date": "1984", "birth_date_until": "83"}, "birth_date_until"),
        ({"birth_date": BORN, "sex": "ZQX"}, "sex"),
        ({"birth_date": BORN, "name": ["ZQX"]}, "name"),
        ({"birth_date": BORN, "id": "ZQX"}, "domain"),
        ({"birth_date": BORN, "spelling": "ZQX"}, "spelling"),
        ({"birth_date": BORN, "limit": 21}, "limit"),
        ({"birth_date": BORN, "ZQX": "1"}, None),
    ],
)
def test_what_is_not_enough_or_cannot_be_read_is_refused_and_not_repeated(served, asked, place):
    answer = search(served, asked)

    assert answer.status_code == 422
    assert answer.headers["content-type"].startswith("application/problem+json")
    if place is not None:
        assert [error["place"] for error in answer.json()["errors"]] == [place]
    assert "ZQX" not in answer.text


def test_too_many_are_nobody_and_advice(served):
    for site in "ABC":
        served.world.state(site, site, person(f"NAME{site * 5}", site * 4, birth_place_code=""))
    asked = {"birth_date": BORN, "limit": 2}

    french, english = search(served, asked).json(), search(served, asked, lang="en").json()

    assert (french["people"], french["too_broad"]) == ([], True)
    assert "précisez" in french["advice"]
    assert "be more specific" in english["advice"]
    few = search(served, {**asked, "limit": 3}).json()
    assert (len(few["people"]), few["too_broad"], few["advice"]) == (3, False, None)


def test_nobody_sees_further_than_their_domains(served):
    served.world.state("B", "B1", person("CHANTEREAU-BOUVET", city="BRIVE"))
    served.world.state("A", "A1", person(), minute=1)
    asked = {"birth_date": BORN}

    for caller in ("portal-a", "auditor-a", "reviewer-a", "lead-a", "site"):
        [found] = people(served, asked, by=caller)
        assert found["identifiers"] == [{"domain": "SITE-A", "id": "A1"}]
        assert found["id"] == served.world.record("A", "A1").native_euid
        assert "city" not in found["golden"]
        assert people(served, {**asked, "name": "BOUVET"}, by=caller) == []
        unseen = search(served, {"domain": "SITE-B", "id": "B1"}, by=caller)
        unknown = search(served, {"domain": "SITE-Z", "id": "B1"}, by=caller)
        assert (unseen.status_code, unseen.json()) == (unknown.status_code, unknown.json())
        assert unseen.status_code == 400
    assert search(served, asked, by="operator").status_code == 403


def test_what_another_site_does_changes_no_byte_of_an_answer(served):
    served.world.state("A", "A1", person(city="LIMOGES"))
    served.world.state("A", "A2", person("CHANTEREAU", "LUCIE", birth_place_code="75056"))
    asked = ({"birth_date": BORN}, {"birth_date": BORN, "name": "CHA"}, {"domain": "SITE-A", "id": "A1"})
    before = [search(served, one, by="site").content for one in asked]

    for number in range(30):
        served.world.state("B", f"B{number}", person(city="BRIVE"), minute=-5)
    served.world.registry.relate("same", *_keys(("B", "B0"), ("A", "A2")), reviewer="anne")

    assert [search(served, one, by="site").content for one in asked] == before


def _keys(*named):
    from tests.federation import key

    return [key(*one) for one in named]


def test_protected_identities_are_not_found_and_doubtful_ones_say_so(served):
    served.world.state("A", "A1", person(identity_codes=("CACH",)))
    served.world.state("B", "B1", person("BERGER", "SOPHIE", identity_codes=("DOUT",)))

    [found] = people(served, {"birth_date": BORN})

    assert (found["identifiers"][0]["id"], found["doubtful"]) == ("B1", True)
    assert people(served, {"domain": "SITE-A", "id": "A1"}) == []


def test_a_search_of_the_past(served):
    served.world.state("A", "A1", person("DURAND"))
    between = served.world.clock().isoformat()
    served.world.state("A", "A1", person("DURANT"), minute=5)
    asked = {"birth_date": BORN, "name": "DURAND", "spelling": "same"}

    assert people(served, asked) == []
    [then] = people(served, asked, as_of=between)
    assert then["golden"]["birth_name"]["value"] == "DURAND"


def test_a_search_leaves_its_trace_and_none_of_what_was_asked(served):
    served.world.state("A", "A1", person())
    search(served, {"birth_date": BORN, "name": "CHANTEREAU", "postal_code": "87000"})

    with served.store.read() as uow:
        *_, last = uow.audit.chain()
    assert (last.event.actor, last.event.kind) == ("key:portal", "query.search")
    assert last.event.details == {
        "asked": ["family", "birth", "postal_code"],
        "found": 0,
        "named": [],
        "too_broad": False,
    }


# ---------------------------------------------------------------------------------------------- by INS

INS = "284022999912354"
QUALIFIED = {"ins": INS, "ins_oid": INS_TEST_OID, "identity_codes": ("VALI",)}


@pytest.mark.parametrize("written", [INS, "2 84 02 29 999 123 54"])
def test_a_qualified_identity_is_found_by_its_ins_alone(served, written):
    served.world.state("A", "A1", person(**QUALIFIED))
    served.world.state("B", "B7", person("MARTIN", "HUGO", "1990-05-02", "M"))

    [found] = people(served, {"ins": written})

    assert [one["id"] for one in found["identifiers"]] == ["A1"]
    assert found["why"]["ins"] == {"way": "same", "sentence": "INS : identique"}
    with served.store.read() as uow:
        traced = [item.event for item in uow.audit.chain() if item.event.kind == "query.search"]
    assert [event.details["asked"] for event in traced] == [["ins"]]
    assert INS not in str(traced)


def test_an_ins_is_asked_together_with_what_else_is_known(served):
    served.world.state("A", "A1", person(**QUALIFIED))

    assert people(served, {"ins": INS, "birth_date": BORN})
    assert not people(served, {"ins": INS, "birth_date": "1950-01-01"})


@pytest.mark.parametrize("codes", [("PROV",), ("VALI", "DOUT"), ("VALI", "ANOM")])
def test_the_ins_of_who_is_not_qualified_finds_nobody(served, codes):
    served.world.state("A", "A1", person(**{**QUALIFIED, "identity_codes": codes}))

    assert people(served, {"ins": INS}) == []


def test_the_ins_of_a_record_one_may_not_see_finds_nobody(served):
    served.world.state("B", "B7", person(**QUALIFIED))
    served.world.state("A", "A1", person())

    assert people(served, {"ins": INS})
    assert people(served, {"ins": INS}, by="portal-a") == []


@pytest.mark.parametrize("text", ["284022999912355", "2840229999123", "ZQX"])
def test_what_is_no_ins_is_refused_and_not_repeated(served, text):
    answer = search(served, {"ins": text})

    assert answer.status_code == 422
    assert [error["place"] for error in answer.json()["errors"]] == ["ins"]
    assert text not in answer.text
