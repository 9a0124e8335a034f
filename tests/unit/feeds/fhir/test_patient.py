"""A Patient as an identity or a merge, beside the PID of the same person."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mpi.errors import InvalidIdentity, MpiError, UnknownAuthority, UnsupportedMessage
from mpi.feeds.fhir.messages import minimised
from mpi.feeds.fhir.patient import GIVEN_LIST, Asked, read_patient
from mpi.feeds.hl7v2.problems import SenderNotPermitted
from mpi.identity.ins import IdentityStatus, matricule_key
from mpi.identity.traits import normalise
from tests.unit.feeds.fhir.resources import (
    SYSTEM_A,
    SYSTEM_B,
    TEST_NIR,
    birth_place,
    identifier,
    patient,
    reliability,
    subsumed,
)
from tests.unit.feeds.hl7v2.fakes import KEY_A, Feed, adt, federation

RECEIVED = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
NIR = "2840287085001" + matricule_key("2840287085001")


def read(resource, asked=None, source="ris-a"):
    parties = federation()
    return read_patient(
        resource, source=parties.source(source), directory=parties, received=RECEIVED, asked=asked
    )


def record(resource):
    return read(resource).records[0]


def ins(value=NIR, system=TEST_NIR, code="INS-NIR-TEST", **more):
    return identifier(value, system, code, use="official", **more)


PID_START = "PID|||A1001^^^&2.999.1.1&ISO^PI"
PID_END = (
    "||CHANTEREAU^LOUISE^LOUISE ANNE-MARIE^^^^L~MARTIN^LOUISE^^^^^D||19840229|F|||"
    "12 RUE DES LILAS^^LIMOGES^^87000^FRA^H~^^LIMOGES^^^FRA^BDL^^87085||"
    "^PRN^PH^^^^^^^^^0555010203~^NET^Internet^l@example.org|||||||||||||||||||"
)


@pytest.mark.parametrize(
    ("pid_3", "pid_32", "identifiers", "extension"),
    [
        ("", "PROV", [], reliability("PROV")),
        ("", "PROV", [], reliability("RECUP")),
        ("", "VALI", [], reliability("VALI")),
        ("", "PROV~DOUT", [], reliability("PROV", "DOUT")),
        ("", "PROV~DOUT", [], reliability("PROV", comments=("DOUT",))),
        (f"~{NIR}^^^&1.2.250.1.213.1.4.10&ISO^INS", "VALI", [ins()], reliability("VALI")),
        (f"~{NIR}^^^&1.2.250.1.213.1.4.10&ISO^INS", "VALI", [ins()], reliability("QUAL")),
        (f"~{NIR}^^^&1.2.250.1.213.1.4.10&ISO^INS", "PROV", [ins()], reliability("RECUP")),
        ("~B77^^^&2.999.1.2&ISO^PI", "PROV", [identifier("B77", SYSTEM_B)], reliability("PROV")),
    ],
)
def test_one_identity_gives_one_record_by_v2_and_by_fhir(pid_3, pid_32, identifiers, extension):
    feed = Feed()
    feed.send(adt("A28", PID_START + pid_3 + PID_END + pid_32).encode())
    by_v2 = feed.latest(KEY_A, "A1001")

    resource = patient(identifier(), *identifiers, extension=[extension, birth_place()])
    by_fhir = record(resource)

    assert by_fhir.demographics == by_v2.demographics
    assert normalise(by_fhir.demographics) == normalise(by_v2.demographics)
    same = {"event_time": by_v2.event_time, "warnings": by_v2.warnings}
    assert replace(by_fhir, **same) == by_v2


@pytest.mark.parametrize(
    ("extension", "has_ins", "status"),
    [
        (reliability("VALI"), True, IdentityStatus.QUALIFIED),
        (reliability("QUAL"), True, IdentityStatus.QUALIFIED),
        (reliability("VALI"), False, IdentityStatus.VALIDATED),
        (reliability("QUAL"), False, IdentityStatus.VALIDATED),
        (reliability("RECUP"), True, IdentityStatus.PROVISIONAL),
        (reliability("PROV"), True, IdentityStatus.PROVISIONAL),
        (reliability("VALI", comments=("FICT",)), True, IdentityStatus.PROVISIONAL),
    ],
)
def test_both_encodings_of_the_status_are_read(extension, has_ins, status):
    identifiers = [identifier(), *([ins()] if has_ins else [])]
    traits = normalise(record(patient(*identifiers, extension=[extension, birth_place()])).demographics)

    assert traits.status is status
    assert bool(traits.ins) is (status is IdentityStatus.QUALIFIED)


@pytest.mark.parametrize(
    ("system", "code", "is_ins"),
    [
        ("urn:oid:1.2.250.1.213.1.4.10", "INS-NIR-TEST", True),
        ("urn:oid:1.2.250.1.213.1.4.10", "", True),
        ("urn:oid:1.2.250.1.213.1.4.11", "INS-NIR-DEMO", True),
        ("urn:oid:1.2.250.1.213.1.4.8", "INS-NIR", False),  # a real one, on a test platform
        ("urn:oid:1.2.250.1.213.1.4.8", "NH", False),
        ("urn:oid:1.2.250.1.213.1.4.8", "", False),
    ],
)
def test_an_ins_is_known_by_its_slice(system, code, is_ins):
    resource = patient(
        identifier(), identifier(NIR, system, code), extension=[reliability("VALI"), birth_place()]
    )

    assert bool(record(resource).demographics.ins) is is_ins


@pytest.mark.parametrize(
    ("overrides", "place"),
    [
        ({"gender": "ZQX"}, "Patient.gender"),
        ({"birthDate": "29/02/1984"}, "Patient.birthDate"),
        ({"birthDate": "1983-02-29"}, "Patient.birthDate"),
        ({"birthDate": "2084-02-29"}, "Patient.birthDate"),
        ({"birthDate": 1984}, "Patient.birthDate"),
        ({"name": None}, "Patient.name"),
        ({"name": {"family": "ZQX"}}, "Patient.name"),
        ({"name": [{"use": "ZQX", "family": "ZQX"}]}, "Patient.name[0].use"),
        ({"name": [{"family": "ZQX\u0007"}]}, "Patient.name[0].family"),
        ({"name": [{"family": "ZQX" * 200}]}, "Patient.name[0].family"),
        ({"identifier": []}, "Patient.identifier"),
        ({"identifier": [identifier(use="ZQX")]}, "Patient.identifier[0].use"),
        ({"identifier": ["ZQX"]}, "Patient.identifier[0]"),
        ({"telecom": [{"system": "ZQX"}]}, "Patient.telecom[0].system"),
        ({"active": "ZQX"}, "Patient.active"),
        ({"link": [{"type": "ZQX"}]}, "Patient.link[0].type"),
        ({"link": [{}]}, "Patient.link[0].type"),
        ({"multipleBirthInteger": "ZQX"}, "Patient.multipleBirthInteger"),
        ({"extension": [reliability("PROV", "VALI")]}, "Patient.extension"),
    ],
)
def test_what_is_wrong_is_named_by_its_path_and_never_by_its_value(overrides, place):
    with pytest.raises(InvalidIdentity) as refused:
        read(patient(**overrides))

    assert refused.value.place == place
    assert "ZQX" not in str(refused.value)


@pytest.mark.parametrize(
    ("resource", "asked", "error"),
    [
        (patient(identifier(system=SYSTEM_B)), None, SenderNotPermitted),
        (patient(identifier(system="urn:oid:2.999.7")), None, UnknownAuthority),
        (patient(), Asked(SYSTEM_B, "A1001"), SenderNotPermitted),
        (patient(), Asked("urn:oid:2.999.7", "A1001"), UnknownAuthority),
        (patient(), Asked(SYSTEM_A, "A9"), InvalidIdentity),
        (patient(active=False), None, UnsupportedMessage),
        ({"resourceType": "Person"}, None, UnsupportedMessage),
    ],
)
def test_a_source_states_its_own_patients_only(resource, asked, error):
    with pytest.raises(error):
        read(resource, asked)


def test_the_identifier_that_is_asked_for_comes_first():
    stated = read(patient(identifier("A1"), identifier("A2")), Asked(SYSTEM_A, "A2"))

    assert [one.identifier.value for one in stated.records] == ["A2", "A1"]


def test_an_identifier_no_longer_in_use_is_not_read():
    found = read(patient(identifier("A1"), identifier("A2", use="old")))

    assert [one.identifier.value for one in found.records] == ["A1"]
    assert "Patient.identifier[1].use: no longer in use; not read" in found.records[0].warnings


def test_a_subsumed_patient_is_a_merge():
    merged = read(subsumed(), Asked(SYSTEM_A, "A1377"))

    assert (merged.survivor.value, merged.subsumed.value, merged.domain) == ("A1001", "A1377", KEY_A)
    assert (merged.source, merged.event_time, merged.renamed) == ("ris-a", RECEIVED, False)


def test_a_link_may_be_a_conditional_reference():
    link = {"type": "replaced-by", "other": {"reference": f"Patient?identifier={SYSTEM_A}|A1001"}}

    assert read(subsumed(link=[link])).survivor.value == "A1001"


REPLACED = {"type": "replaced-by", "other": {"identifier": {"system": SYSTEM_A, "value": "A1001"}}}


@pytest.mark.parametrize(
    ("overrides", "place"),
    [
        ({"active": True}, "Patient.active"),
        ({"active": None}, "Patient.active"),
        ({"link": [REPLACED, REPLACED]}, "Patient.link[1]"),
        ({"link": [{"type": "replaced-by"}]}, "Patient.link[0].other"),
        ({"link": [{"type": "replaced-by", "other": {"reference": "Patient/7"}}]}, "Patient.link[0].other"),
        ({"survivor": "A1377"}, "Patient.link[0].other"),
    ],
)
def test_half_a_merge_is_refused(overrides, place):
    with pytest.raises(InvalidIdentity) as refused:
        read(subsumed(**overrides))

    assert refused.value.place == place


def test_a_merge_into_another_domain_is_refused():
    link = {"type": "replaced-by", "other": {"identifier": {"system": SYSTEM_B, "value": "B1"}}}

    with pytest.raises(MpiError):
        read(subsumed(link=[link]))


def test_what_is_not_read_is_not_kept():
    kept = minimised(
        patient(
            text={"div": "ZQX"},
            photo=[{"data": "ZQX"}],
            contact=[{"name": {"text": "ZQX"}}],
            maritalStatus={"text": "ZQX"},
            extension=[birth_place(), {"url": "http://example.org/race", "valueString": "ZQX"}],
            meta={"source": "ZQX", "lastUpdated": "2026-03-02T09:00:00Z"},
        )
    )

    assert "ZQX" not in repr(kept)
    assert record(kept).event_time == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert record(kept).demographics.birth_place_code == "87085"


def test_given_names_may_be_a_list_of_their_own():
    stated = record(patient(name=[{"use": "official", "family": "ROUX", "given": ["ANNE", "LEA"]}]))

    assert normalise(stated.demographics).given_names == ("ANNE", "LEA")
    assert GIVEN_LIST.startswith("https://hl7.fr/")
