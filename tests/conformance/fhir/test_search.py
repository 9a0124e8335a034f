"""
ITI-78: people by what is known of them. Rows are of the search; what is found how is the registry's.

Source: IHE PDQm 3.2, ITI-78.
"""

from urllib.parse import parse_qs, urlsplit

import pytest

from mpi.api.fhir.pages import LASTS_SECONDS, Pages
from mpi.index.ports import Store
from tests.conformance.fhir.federation import (
    INS_TEST_OID,
    LOUISE_INS,
    OWN,
    PATIENT,
    A,
    B,
    C,
    fed,
    found,
    ids,
    louise,
    served_people,
)
from tests.federation import person
from tests.integration.api.served import Served

LOUISE = {"A1001", "A0900", "B77"}


@pytest.fixture
def served(memory_store: Store) -> Served:
    served = served_people(memory_store)
    served.world.state("B", "B8", person("MAHÉ-LE GOFF", "YANNICK", "1999-02", "M", city="BREST"), minute=7)
    return served


def search(served, *pairs, by="portal", **named):
    return served.get(PATIENT, params=[*pairs, *named.items()], by=by)


def named(answer):
    """Identifiers in use of the people found, without the INS."""
    return {
        item["value"]
        for each in found(fed(answer))
        for item in each.get("identifier", [])
        if not item["system"].endswith(INS_TEST_OID)
    }


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("family", "chant")], LOUISE | {"A5"}),
        ([("family", "CHANTEREAU"), ("gender", "female")], LOUISE),
        ([("family", "martin"), ("gender", "female")], LOUISE),
        ([("birthdate", "1984-02-29"), ("family", "chant")], LOUISE),
        ([("family", "mahe")], {"C5", "B8"}),
        ([("family:exact", "MAHÉ")], {"C5"}),
        ([("family:exact", "MAHE")], set()),
        ([("family", "mahe,martin")], {"C5", "B8"} | LOUISE),
        ([("family", "mahe"), ("given", "yann"), ("given", "yannick")], {"B8"}),
        ([("given", "louise"), ("birthdate", "1984")], LOUISE),
        (
            [("birthdate", "ge1984-02-29"), ("birthdate", "le1984-03-31"), ("family", "chant")],
            LOUISE | {"A5"},
        ),
        ([("birthdate", "gt1984-02-29"), ("family", "chant")], {"A5"}),
        ([("birthdate", "lt1984-03"), ("family", "chant")], LOUISE),
        ([("birthdate", "ne1984-03-01"), ("family", "chant")], LOUISE),
        ([("birthdate", "sa1984-02"), ("family", "chant")], {"A5"}),
        ([("birthdate", "eb1984-03"), ("family", "chant")], LOUISE),
        ([("birthdate", "1984-02-29,1984-03-01"), ("family", "chant")], LOUISE | {"A5"}),
        ([("birthdate", "1984-02-29"), ("birthdate", "1984-03-01")], set()),
        ([("telecom", "0555010203")], LOUISE),
        ([("telecom", "phone|0555010203")], LOUISE),
        ([("telecom", "l@example.org")], LOUISE),
        ([("address", "lilas"), ("family", "chant")], LOUISE),
        ([("address-city", "limoges"), ("family", "chant")], LOUISE),
        ([("address-postalcode", "87000"), ("family", "chant")], LOUISE),
        ([("address-country", "FRA"), ("family", "chant")], LOUISE),
        ([("mothersMaidenName", "rouxel"), ("family", "chant")], LOUISE),
        ([("gender", "male"), ("family", "chant")], {"A5"}),
        ([("gender", "http://hl7.org/fhir/administrative-gender|male"), ("family", "chant")], {"A5"}),
        ([("identifier", f"{A}|A1001")], LOUISE),
        ([("identifier", "A1001")], LOUISE),
        ([("identifier", f"{A}|A1001,{C}|C5")], LOUISE | {"C5"}),
        ([("identifier", f"{A}|A1001"), ("identifier", f"{B}|B77")], LOUISE),
        ([("identifier", f"{A}|A1001"), ("identifier", f"{C}|C5")], set()),
        ([("identifier", f"{A}|A0900")], LOUISE),
        ([("identifier", f"{A}|NOBODY")], set()),
        ([("identifier", f"{A}|A1001"), ("identifier", f"{B}|")], {"B77"}),
        ([("family", "chant"), ("identifier", f"{B}|")], {"B77"}),
        ([("family", "chant"), ("identifier", f"{A}|,{B}|")], LOUISE | {"A5"}),
        ([("family", "chant"), ("active", "true")], LOUISE | {"A5"}),
        ([("family", "chant"), ("active", "true"), ("active", "false")], set()),
        ([("family", "")], LOUISE | {"A5", "C5", "B8"}),
    ],
)
def test_people_are_found_by_each_parameter(served, pairs, expected):
    assert named(search(served, *pairs)) == expected


def test_a_person_is_found_by_its_own_identifier(served):
    euid = served.world.euid("A", "A1001")
    retired = served.world.record("B", "B77").native_euid

    assert named(search(served, _id=euid)) == LOUISE
    assert named(search(served, identifier=f"{OWN}|{euid}")) == LOUISE
    assert {each["id"] for each in found(fed(search(served, _id=retired)))} == {euid}
    assert named(search(served, ("_id", euid), ("_id", retired))) == set()
    assert named(search(served, _id="NOBODY")) == set()


@pytest.mark.parametrize(
    ("pairs", "status", "code"),
    [
        ([("identifier", "urn:oid:9.9|")], 404, "not-found"),
        ([("identifier", f"{A}|A1001"), ("identifier", "urn:oid:9.9|")], 404, "not-found"),
        ([("identifier", "|A1001")], 404, "not-found"),
        ([("family:contains", "x")], 400, "not-supported"),
        ([("family:missing", "true")], 400, "not-supported"),
        ([("birthdate:exact", "1984")], 400, "not-supported"),
        ([("birthdate", "1984-13")], 400, "value"),
        ([("birthdate", "29/02/1984")], 400, "value"),
        ([("birthdate", "xx1984")], 400, "value"),
        ([("gender", "feminin")], 400, "value"),
        ([("active", "yes")], 400, "value"),
        ([("_count", "-1")], 400, "value"),
        ([("fr-core", "3")], 400, "value"),
        ([("family", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u")], 400, "too-costly"),
        ([("given", str(number)) for number in range(6)], 400, "too-costly"),
        ([("family", "A\x00")], 400, "invalid"),
        ([("identifier", f"{A}|A1001,{OWN}|X")], 400, "not-supported"),
    ],
)
def test_what_cannot_be_asked_is_refused_and_no_value_repeated(served, pairs, status, code):
    answer = search(served, *pairs)

    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (status, code)
    assert "feminin" not in answer.text
    assert "9.9" not in answer.text


def test_an_unknown_domain_is_told_in_the_words_of_the_profile(served):
    issue = search(served, identifier="urn:oid:9.9|").json()["issue"][0]

    assert (issue["severity"], issue["code"]) == ("warning", "not-found")
    assert issue["details"]["text"] == issue["diagnostics"] == "targetSystem not found"


def test_an_unknown_parameter_is_ignored_unless_strict_handling_is_preferred(served):
    lenient = search(served, ("family", "chant"), ("shoe-size", "42"), ("_sort", "family"))
    strict = served.get(
        PATIENT, params={"family": "chant", "shoe-size": "42"}, headers={"Prefer": "handling=strict"}
    )

    outcome = lenient.json()["entry"][-1]
    assert named(lenient) == LOUISE | {"A5"}
    assert outcome["search"]["mode"] == "outcome"
    assert (
        outcome["resource"]["issue"][0]["diagnostics"] == "2 search parameters are not supported, and ignored"
    )
    assert (strict.status_code, strict.json()["issue"][0]["code"]) == (400, "not-supported")


def test_nobody_is_a_success_and_too_many_is_nobody_with_the_advice_to_be_more_specific(served):
    for number in range(101):
        served.world.state(
            "C", f"C{number:03}", person("LEGRAND", f"P{number}", f"19{number % 80 + 10}-01-05", "M")
        )
    nobody, many = fed(search(served, family="zzz")), fed(search(served, family="legrand"))

    assert (nobody["total"], "entry" in nobody) == (0, False)
    assert many["total"] == 0
    [entry] = many["entry"]
    assert entry["resource"]["issue"][0]["code"] == "too-costly"
    assert entry["resource"]["issue"][0]["diagnostics"].endswith("be more specific")


def test_pages_are_walked_by_links_that_hold_no_trait(served):
    for number in range(5):
        served.world.state(
            "C", f"C{number:03}", person("LEGRAND", f"PAUL{number}", f"195{number}-01-05", "M")
        )
    page, seen = fed(search(served, family="legrand", birthdate="1950,1951,1952,1953,1954", _count="2")), []
    while True:
        seen += [each["id"] for each in found(page)]
        links = {link["relation"]: link["url"] for link in page["link"]}
        assert not any(secret in str(page["link"]).lower() for secret in ("legrand", "195"))
        assert page["total"] == 5
        if "next" not in links:
            break
        page = fed(served.get(links["next"]))

    assert len(seen) == len(set(seen)) == 5
    assert "previous" in links
    assert fed(served.get(links["self"]))["entry"] == page["entry"]


def test_a_page_is_of_one_caller_expires_and_cannot_be_guessed(served):
    pages = served.app.state.fhir_pages = Pages(lambda: at[0])
    at = [1_000.0]
    [link] = fed(search(served, family="chant"))["link"]

    assert served.get(link["url"]).status_code == 200
    assert served.get(link["url"], by="reviewer").status_code == 410
    assert served.get(link["url"].replace("_page=", "_page=x")).status_code == 410
    at[0] += LASTS_SECONDS
    expired = served.get(link["url"])
    assert (expired.status_code, expired.json()["issue"][0]["code"]) == (410, "not-found")
    token = parse_qs(urlsplit(link["url"]).query)["_page"][0]
    assert len(token) == 32
    assert pages is served.app.state.fhir_pages


def test_a_page_shows_people_as_they_are_by_then(served):
    [link] = fed(search(served, family="chant", gender="female"))["link"]
    served.world.state("A", "A1001", person(identity_codes=("PROV", "CACH")), minute=30)

    assert "A1001" not in ids(fed(served.get(link["url"])))


def test_count_is_capped_and_nothing_is_asked_for_the_total_alone(served):
    assert len(found(fed(search(served, family="chant", _count="1000000")))) == 2
    total = fed(search(served, family="chant", _count="0", _totalMethod="count"))
    assert (total["total"], "entry" in total) == (2, False)


def test_a_form_says_the_same_as_an_address_and_both_may_speak(served):
    form = served.client.post(
        f"{PATIENT}/_search?gender=female",
        data={"family": "chant", "_count": "5"},
        headers=served.signed("portal"),
    )
    nothing_sent = served.client.post(f"{PATIENT}/_search?family=zzz", headers=served.signed("portal"))
    in_json = served.post(f"{PATIENT}/_search", {"family": "chant"})

    assert named(form) == LOUISE
    assert fed(nothing_sent)["total"] == 0
    assert in_json.status_code == 415


def test_a_caller_limited_to_a_domain_finds_by_it_and_sees_nothing_else(served):
    answer = search(served, family="chant", gender="female", by="portal-a")
    hidden = search(served, identifier=f"{B}|B77", by="portal-a")

    assert named(answer) == {"A1001", "A0900"}
    assert (hidden.status_code, hidden.json()["issue"][0]["code"]) == (404, "not-found")
    assert "B77" not in answer.text


def test_anonymous_and_hidden_identities_are_never_found(served):
    served.world.state("C", "C9", person("ROUXEL", "ODETTE", "1931-11-04", identity_codes=("PROV", "ANOM")))

    assert named(search(served, family="rouxel")) == set()
    assert named(search(served, identifier=f"{C}|C9")) == set()


def test_every_search_is_audited_by_the_names_of_its_parts(served):
    search(served, family="chantereau", birthdate="1984-02-29")
    with served.store.read() as uow:
        event = [item.event for item in uow.audit.chain()][-1]

    assert (event.actor, event.kind) == ("key:portal", "query.search")
    assert set(event.details["asked"]) == {"family", "birth"}
    assert "chant" not in str(event.details).lower()


def test_an_operator_may_not_search_and_a_site_searches_its_own_domain(served):
    assert search(served, family="chant", by="operator").status_code == 403
    by_site, by_portal = (
        search(served, family="chant", gender="female", by=by) for by in ("site", "portal-a")
    )
    assert found(by_site.json()) == found(by_portal.json())


# ---------------------------------------------------------------------------------------------- by INS

REAL_NIR = "urn:oid:1.2.250.1.213.1.4.8"
TEST_NIR = f"urn:oid:{INS_TEST_OID}"


@pytest.mark.parametrize("written", [LOUISE_INS, "2 84 02 29 999 123 54"])
@pytest.mark.parametrize("by", ["portal", "reviewer", "auditor"])
def test_a_qualified_identity_is_found_by_its_ins(served, written, by):
    """The INS under the OID of this platform (a test one), as `$match` takes it. Source: RNIV (searching)."""
    answer = search(served, ("identifier", f"{TEST_NIR}|{written}"), by=by)

    assert named(answer) == LOUISE
    assert LOUISE_INS not in answer.json()["link"][0]["url"]


def test_an_ins_is_looked_for_with_other_parts(served):
    other_date = search(served, ("identifier", f"{TEST_NIR}|{LOUISE_INS}"), birthdate="1950-01-01")
    narrowed = search(served, ("identifier", f"{TEST_NIR}|{LOUISE_INS}"), ("identifier", f"{B}|"))

    assert named(other_date) == set()
    assert named(narrowed) == {"B77"}


@pytest.mark.parametrize("codes", [("PROV",), ("VALI", "DOUT"), ("VALI", "ANOM")])
def test_the_ins_of_an_identity_that_is_not_qualified_finds_nobody(served, codes):
    served.world.state("C", "C9", louise(ins="154122A999001", identity_codes=codes), minute=9)

    assert named(search(served, ("identifier", f"{TEST_NIR}|154122A999001"))) == set()


@pytest.mark.parametrize("asked", [f"{REAL_NIR}|{LOUISE_INS}", f"{TEST_NIR}|"])
def test_a_real_ins_is_no_system_of_a_test_platform_and_the_ins_is_no_domain(served, asked):
    answer = search(served, ("identifier", asked))

    assert answer.status_code == 404
    assert LOUISE_INS not in answer.text


def test_who_may_not_see_the_record_that_bears_an_ins_finds_nobody_by_it(served):
    served.world.state("C", "C9", louise(ins="154122A999001"), minute=9)
    asked = ("identifier", f"{TEST_NIR}|154122A999001")

    assert named(search(served, asked)) == {"C9"}
    assert named(search(served, asked, by="portal-a")) == set()


def test_an_ins_and_an_identifier_of_a_site_are_not_asked_as_one_choice(served):
    answer = search(served, ("identifier", f"{TEST_NIR}|{LOUISE_INS},{A}|A1001"))

    assert answer.status_code == 400
