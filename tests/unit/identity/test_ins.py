import pytest

from mpi.identity.domains import INS_TYPE, national_type
from mpi.identity.ins import (
    INS_NIR_OID,
    IdentityAttribute,
    IdentityStatus,
    InvalidMatricule,
    embedded_differences,
    matricule_key,
    parse_matricule,
    status_from_pid_32,
)
from mpi.identity.model import AssigningAuthority, PartialDate, PatientIdentifier

KEYS = [
    pytest.param("2840229999123", "54", id="plain"),
    pytest.param("199112A999056", "44", id="Corsica 2A"),
    pytest.param("199112B999056", "71", id="Corsica 2B"),
    pytest.param("2710699999042", "13", id="born abroad"),
    pytest.param("1750175999001", "88", id="Paris"),
    pytest.param("1062075999010", "78", id="pseudo-month 20"),
    pytest.param("1500199999777", "83", id="country 999"),
    pytest.param("2791297199030", "18", id="overseas 971"),
    pytest.param("2550814168025", "38", id="CNAM unit test 1"),
    pytest.param("2940375120005", "91", id="CNAM unit test 2"),
    pytest.param("1531245007231", "60", id="CNAM unit test 3"),
    pytest.param("284052A321025", "52", id="CNAM unit test 4"),
    pytest.param("2790351215189", "89", id="public test patient"),
]


@pytest.mark.parametrize(("body", "key"), KEYS)
def test_matricule_key(body, key):
    assert key == matricule_key(body)
    assert parse_matricule(body + key).value == body + key


def test_lower_case_and_spaces_are_read():
    assert parse_matricule("2 84 05 2a 321 025 52").value == "284052A32102552"


def test_what_a_matricule_embeds():
    found = parse_matricule("106207599901078")

    assert (
        found.sex,
        found.birth_year_in_century,
        found.birth_month,
        found.birth_place,
        found.rank,
    ) == ("M", 6, None, "75999", 10)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2840229999123", "key is missing"),
        ("284022999912355", "key does not match"),
        ("384022999912354", "structure"),
        ("284132999912354", "structure"),
        ("28402", "structure"),
        ("", "structure"),
        ("284022999900010", "impossible"),
    ],
)
def test_what_is_not_a_matricule(text, problem):
    with pytest.raises(InvalidMatricule, match=problem) as refused:
        parse_matricule(text)

    assert not text or text not in str(refused.value)


@pytest.mark.parametrize("body", ["", "12", "28402299991234", "2840229999X23"])
def test_no_key_for_what_is_not_a_body(body):
    with pytest.raises(InvalidMatricule):
        matricule_key(body)


@pytest.mark.parametrize(
    ("codes", "has_ins", "status"),
    [
        ((), True, IdentityStatus.PROVISIONAL),
        (("VIDE",), True, IdentityStatus.PROVISIONAL),
        (("PROV",), True, IdentityStatus.PROVISIONAL),
        (("VALI",), False, IdentityStatus.VALIDATED),
        (("VALI",), True, IdentityStatus.QUALIFIED),
        (("VALI", "DOUT"), True, IdentityStatus.PROVISIONAL),
        (("FICT", "VALI"), True, IdentityStatus.PROVISIONAL),
        ((" vali ",), True, IdentityStatus.QUALIFIED),
        (("vali", "dout"), True, IdentityStatus.PROVISIONAL),
    ],
)
def test_status(codes, has_ins, status):
    assert status == status_from_pid_32(codes, has_ins=has_ins)[0]


def test_unknown_codes_are_ignored():
    assert {IdentityAttribute.HOMONYM} == status_from_pid_32(("VALI", "HOMA", "ODD"), has_ins=False)[1]


@pytest.mark.parametrize("code", ["CACH", "cach", " Cach\t"])
def test_a_hidden_identity_is_hidden_however_its_code_is_written(code):
    assert {IdentityAttribute.HIDDEN} == status_from_pid_32(("PROV", code), has_ins=False)[1]


@pytest.mark.parametrize(
    ("matricule", "sex", "birth_date", "differences"),
    [
        ("284022999912354", "F", PartialDate(1984, 2, 29), ()),
        ("284022999912354", "M", PartialDate(1984, 2, 29), ("sex",)),
        ("284022999912354", "F", PartialDate(1985, 2, 28), ("birth year",)),
        ("284022999912354", "F", PartialDate(1984, 3, 1), ("birth month",)),
        ("284022999912354", "M", PartialDate(1985, 3, 1), ("sex", "birth year", "birth month")),
        ("284022999912354", "U", PartialDate(1984), ()),
        ("284022999912354", "", None, ()),
        ("106207599901078", "M", PartialDate(2006, 7, 1), ()),  # a pseudo-month is no month
        ("106207599901078", "M", PartialDate(1906, 1, 1), ()),  # the century is not in the number
    ],
)
def test_what_a_matricule_embeds_and_the_traits_deny(matricule, sex, birth_date, differences):
    assert differences == embedded_differences(parse_matricule(matricule), sex=sex, birth_date=birth_date)


@pytest.mark.parametrize(
    ("namespace", "oid", "type_code", "kind"),
    [
        ("", INS_NIR_OID, "INS", "INS"),
        ("ASIP-SANTE-INS-NIR", INS_NIR_OID, "INS", "INS"),
        ("ASIP-SANTE-INS-NIR", INS_NIR_OID, "", "INS"),
        ("ASIP-SANTE-INS-NIA", "", "", "INS"),
        ("ASIP-SANTE-NIR", INS_NIR_OID, "", "NH"),
        ("ASIP-SANTE-NIR", "", "", "NH"),
        ("ASIP-SANTE-INS-NIR", INS_NIR_OID, "NH", "NH"),
        ("ASIP-SANTE-INS-NIR", INS_NIR_OID, "PI", ""),
        ("ASIP-SANTE-NIR", INS_NIR_OID, "SS", ""),
        ("", INS_NIR_OID, "SS", ""),
        ("", INS_NIR_OID, "PI", ""),
        ("", INS_NIR_OID, "", ""),
        ("SITE-A", "2.999.1.1", "INS", ""),
        ("SITE-A", "2.999.1.1", "", ""),
    ],
)
def test_a_national_identifier_is_named_by_its_oid_and_its_type(namespace, oid, type_code, kind):
    identifier = PatientIdentifier("1", AssigningAuthority(namespace, oid, "ISO" if oid else ""), type_code)

    assert kind == national_type(identifier, bare_oid="")


def test_a_feed_without_types_may_read_a_bare_national_oid_as_an_ins():
    bare = PatientIdentifier("1", AssigningAuthority("", INS_NIR_OID, "ISO"))

    assert national_type(bare, bare_oid=INS_TYPE) == INS_TYPE
