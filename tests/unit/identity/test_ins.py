import pytest

from mpi.identity.ins import (
    IdentityAttribute,
    IdentityStatus,
    InvalidMatricule,
    matricule_key,
    parse_matricule,
    status_from_pid_32,
)

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
    ],
)
def test_status(codes, has_ins, status):
    assert status == status_from_pid_32(codes, has_ins=has_ins)[0]


def test_unknown_codes_are_ignored():
    assert {IdentityAttribute.HOMONYM} == status_from_pid_32(("VALI", "HOMA", "ODD"), has_ins=False)[1]
