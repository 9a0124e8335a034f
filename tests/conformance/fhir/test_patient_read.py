"""Reading people: as they are, as they were, who they became; in both encodings of FR Core."""

import pytest

from mpi.feeds.fhir.patient import BIRTH_PLACE, GIVEN_LIST, INSEE_CODE, MOTHERS_NAME, RELIABILITY
from tests.conformance.fhir.federation import (
    INS_TEST_OID,
    LOUISE_INS,
    PATIENT,
    A,
    B,
    fed,
    found,
    louise,
    served_people,
)
from tests.federation import person

FR_CORE = "https://hl7.fr/ig/fhir/core/StructureDefinition"
TABLE_0445 = "https://hl7.fr/ig/fhir/core/CodeSystem/fr-core-cs-v2-0445"


@pytest.fixture
def served(memory_store):
    return served_people(memory_store)


def read(served, euid, *, by="portal", **params):
    return served.get(f"{PATIENT}/{euid}", params=params, by=by)


def louises(served, **params):
    return fed(read(served, served.world.euid("A", "A1001"), **params))


def statuses(resource):
    """(part, code) of every identity reliability extension."""
    return [
        (part["url"], part["valueCoding"]["code"])
        for extension in resource["extension"]
        if extension["url"] == RELIABILITY
        for part in extension["extension"]
        if part["valueCoding"]["system"] == TABLE_0445
    ]


def extension(resource, url):
    return next(each for each in resource["extension"] if each["url"] == url)


def test_a_person_is_a_patient_of_fr_core(served):
    """fr-core-patient-ins: identifiers by slice, names, birth place, everything that survives."""
    resource = louises(served)

    assert resource["meta"]["profile"] == [f"{FR_CORE}/fr-core-patient-ins"]
    assert [
        (i["use"], i["type"]["coding"][0]["code"], i["system"], i["value"]) for i in resource["identifier"]
    ] == [
        ("usual", "PI", A, "A1001"),
        ("usual", "PI", B, "B77"),
        ("old", "PI", A, "A0900"),
        ("official", "INS-NIR-TEST", f"urn:oid:{INS_TEST_OID}", LOUISE_INS),
    ]
    assert resource["name"] == [
        {
            "extension": [{"url": GIVEN_LIST, "valueString": "LOUISE"}],
            "use": "official",
            "family": "CHANTEREAU",
            "given": ["LOUISE"],
        },
        {"use": "usual", "family": "MARTIN", "given": ["LOUISE"]},
    ]
    insee = extension(resource, BIRTH_PLACE)["valueAddress"]["extension"][0]
    assert (insee["url"], insee["valueCoding"]["code"]) == (INSEE_CODE, "87085")
    assert extension(resource, MOTHERS_NAME)["valueString"] == "ROUXEL"
    assert (resource["active"], resource["gender"], resource["birthDate"]) == (True, "female", "1984-02-29")
    assert resource["address"] == [
        {
            "use": "home",
            "line": ["12 RUE DES LILAS"],
            "city": "LIMOGES",
            "postalCode": "87000",
            "country": "FRA",
        }
    ]
    assert resource["telecom"] == [
        {"system": "phone", "value": "0555010203"},
        {"system": "email", "value": "l@example.org"},
    ]
    assert resource["multipleBirthBoolean"] is False


@pytest.mark.parametrize(
    ("codes", "ins", "in_2_1", "in_2_2"),
    [
        (("VALI",), True, [("identityStatus", "VALI")], [("identityStatus", "QUAL")]),
        (("VALI",), False, [("identityStatus", "VALI")], [("identityStatus", "VALI")]),
        (("PROV",), False, [("identityStatus", "PROV")], [("identityStatus", "PROV")]),
        ((), False, [("identityStatus", "PROV")], [("identityStatus", "PROV")]),
        (
            ("VALI", "HOMA"),
            True,
            [("identityStatus", "VALI"), ("identityStatus", "HOMA")],
            [("identityStatus", "QUAL"), ("comment", "HOMA")],
        ),
        (
            ("PROV", "DOUT"),
            False,
            [("identityStatus", "PROV"), ("identityStatus", "DOUT")],
            [("identityStatus", "PROV"), ("comment", "DOUT")],
        ),
        (
            ("PROV", "FICT"),
            False,
            [("identityStatus", "PROV"), ("identityStatus", "FICT")],
            [("identityStatus", "PROV"), ("comment", "FICT")],
        ),
    ],
)
def test_the_identity_status_is_written_in_both_encodings(served, codes, ins, in_2_1, in_2_2):
    """Up to 2.1 every code is an identityStatus and qualified is VALI; from 2.2 QUAL, and comments."""
    held = {"ins": "184067912345664", "ins_oid": INS_TEST_OID} if ins else {}
    nora = person("VASSEUR", "NORA", "1971-06-15", identity_codes=codes, **held)
    served.world.state("C", "C40", nora, minute=9)
    euid = served.world.euid("C", "C40")

    assert statuses(fed(read(served, euid))) == in_2_1
    assert statuses(fed(read(served, euid, **{"fr-core": "2.1"}))) == in_2_1
    assert statuses(fed(read(served, euid, **{"fr-core": "2.2"}))) == in_2_2


def test_a_reported_identity_is_doubtful_at_once_and_bears_no_ins(served):
    """Doubt: PROV and DOUT from the very next answer on, and the INS does not leave."""
    assert statuses(louises(served)) == [("identityStatus", "VALI")]

    served.world.registry.doubt(served.world.record("A", "A1001").key, reviewer="anne")

    resource = louises(served)
    assert statuses(resource) == [("identityStatus", "PROV"), ("identityStatus", "DOUT")]
    assert LOUISE_INS not in str(resource)
    assert resource["meta"]["profile"] == [f"{FR_CORE}/fr-core-patient"]


def test_a_retired_identifier_answers_who_it_became_and_nothing_else(served):
    """[X06] A retired id: active=false and replaced-by; the survivor says which it replaces."""
    euid, retired = served.world.euid("A", "A1001"), served.world.record("B", "B77").native_euid
    old, new = fed(read(served, retired)), louises(served)

    assert old.keys() == {"resourceType", "id", "meta", "active", "link"}
    assert (old["id"], old["active"]) == (retired, False)
    assert old["link"] == [{"other": {"reference": f"Patient/{euid}"}, "type": "replaced-by"}]
    assert {"other": {"reference": f"Patient/{retired}"}, "type": "replaces"} in new["link"]


@pytest.mark.parametrize("euid", ["NOBODY", "A1001", "%00", "x" * 65])
def test_an_unknown_patient_is_not_found(served, euid):
    answer = read(served, euid)

    assert answer.status_code in (400, 404)
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_a_version_has_a_name_an_instant_and_an_etag(served):
    answer = read(served, served.world.euid("A", "A1001"))
    meta = answer.json()["meta"]

    assert answer.headers["etag"] == f'W/"{meta["versionId"]}"'
    assert meta["lastUpdated"].startswith("2026-03-02T")
    assert answer.headers["last-modified"].endswith("GMT")
    assert read(served, served.world.euid("A", "A1001")).content == answer.content


def test_every_change_makes_a_version_and_versions_stay(served):
    euid = served.world.euid("A", "A1001")
    first = fed(served.get(f"{PATIENT}/{euid}/_history"))
    served.world.state("A", "A1001", louise(phones=("0555990000",)), minute=20)
    served.world.state("A", "A1001", louise(phones=("0555990000",)), minute=21)  # nothing new is said
    served.world.registry.doubt(served.world.record("B", "B77").key, reviewer="anne")
    history = fed(served.get(f"{PATIENT}/{euid}/_history"))

    assert history["type"] == "history"
    versions = [entry["resource"] for entry in history["entry"]]
    assert versions[0] == louises(served)
    assert [v["meta"]["versionId"] for v in versions[2:]] == [
        entry["resource"]["meta"]["versionId"] for entry in first["entry"]
    ]
    assert [entry["resource"] for entry in history["entry"][2:]] == [
        entry["resource"] for entry in first["entry"]
    ]
    assert [len([i for i in v["identifier"] if i["value"] == "B77"]) for v in versions[:3]] == [0, 1, 1]
    assert [v["telecom"][0]["value"] for v in versions[:3]] == ["0555990000", "0555990000", "0555010203"]
    dates = [entry["response"]["lastModified"] for entry in history["entry"]]
    assert dates == sorted(dates, reverse=True)


def test_a_version_is_read_by_its_name(served):
    euid = served.world.euid("A", "A1001")
    served.world.state("A", "A1001", louise(phones=("0555990000",)), minute=20)
    history = fed(served.get(f"{PATIENT}/{euid}/_history"))

    for entry in history["entry"]:
        version = entry["resource"]["meta"]["versionId"]
        assert fed(served.get(f"{PATIENT}/{euid}/_history/{version}")) == entry["resource"]
    for unknown in ("1", "9" * 30, "x", "-1"):
        assert served.get(f"{PATIENT}/{euid}/_history/{unknown}").status_code == 404


def test_an_identifier_has_the_versions_of_when_it_stood_and_of_its_end(served):
    served.world.state("C", "C60", person("VASSEUR", "NORA", "1971-06-15", phones=("0102030405",)), minute=9)
    c60 = served.world.euid("C", "C60")
    served.world.state("B", "B60", person("VASSEUR", "NORA", "1971-06-15", phones=("0102030405",)), minute=8)
    euid = served.world.euid("C", "C60")
    assert euid != c60, "the older record gives its identifier to the person"

    versions = [entry["resource"] for entry in fed(served.get(f"{PATIENT}/{c60}/_history"))["entry"]]

    assert [version["active"] for version in versions] == [False, True]
    assert versions[0]["link"][0] == {"other": {"reference": f"Patient/{euid}"}, "type": "replaced-by"}
    assert versions[1]["identifier"][0]["value"] == "C60"


def test_what_another_site_does_changes_no_byte_for_who_may_not_see_it(served):
    """Two worlds: read, history and search of a portal of A, whatever B and C state."""
    [one] = found(fed(served.get(PATIENT, params={"family": "chant", "gender": "female"}, by="portal-a")))
    paths = [f"{PATIENT}/{one['id']}", f"{PATIENT}/{one['id']}/_history"]
    before = [served.get(path, by="portal-a").content for path in paths]

    served.world.state("B", "B78", louise(phones=("0555990000",)), minute=0)
    served.world.state("B", "B77", louise(city="PARIS"), minute=30)
    served.world.registry.doubt(served.world.record("B", "B77").key, reviewer="anne")
    served.world.state("C", "C5", louise(), minute=31)

    assert [served.get(path, by="portal-a").content for path in paths] == before
    assert b"B7" not in b"".join(before)


def test_protected_people_are_unknown(served):
    euid = served.world.euid("C", "C5")
    served.world.state(
        "C", "C5", person("MAHÉ", "YANN", "1999-01-05", "M", identity_codes=("PROV", "CACH")), minute=9
    )

    assert read(served, euid).status_code == 404
    assert served.get(f"{PATIENT}/{euid}/_history").status_code == 404


def test_reading_is_audited_and_not_for_everybody(served):
    euid = served.world.euid("A", "A1001")
    before = len(served.audited())
    read(served, euid)
    read(served, "NOBODY")

    assert served.audited()[before:] == [("key:portal", "patient.read")] * 2
    assert read(served, served.world.euid("C", "C5"), by="site").status_code == 404
    assert read(served, euid, by="operator").status_code == 403


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", f"{PATIENT}/$merge", 501),
        ("DELETE", f"{PATIENT}?identifier=urn:oid:2.999.1.1|A1001", 405),
        ("DELETE", f"{PATIENT}/X", 405),
        ("PUT", f"{PATIENT}/X", 405),
        ("POST", PATIENT, 405),
    ],
)
def test_what_is_not_done_is_refused_with_the_reason(served, method, path, status):
    """[X06] $merge, DELETE, and updates by this index's own id: refused, with what to do instead."""
    answer = served.client.request(method, path, json={}, headers=served.signed("ris-a"))

    issue = answer.json()["issue"][0]
    assert (answer.status_code, issue["code"]) == (status, "not-supported")
    assert "ITI-104" in issue["diagnostics"]
    allowed = {PATIENT: "GET, PUT", f"{PATIENT}/X": "GET"}
    assert answer.headers.get("allow") == (allowed[path.partition("?")[0]] if status == 405 else None)
