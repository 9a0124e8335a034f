"""Named traits to demographics and back: every form of the contract, and refusals without values."""

import math
from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.errors import InvalidIdentity
from mpi.identity.ins import INS_NIR_OID, IdentityStatus
from mpi.identity.model import NameUse, PartialDate
from mpi.identity.tabular import (
    MAX_VALUE_LENGTH,
    TRAIT_NAMES,
    demographics_from_mapping,
    traits_to_mapping,
)
from mpi.identity.traits import normalise

INS = "2550814168025 38"  # published test vector of the CNAM


def test_names_go_to_the_birth_and_the_used_slots():
    names = demographics_from_mapping(
        {
            "birth_name": "LE GOFF",
            "given_names": "ANNE-LAURE  MARIE",
            "used_name": "ROUX",
            "used_given_name": "ANNA",
        }
    ).names

    assert [(n.use, n.family, n.given, n.given_list) for n in names] == [
        (NameUse.BIRTH, "LE GOFF", "ANNE-LAURE", "ANNE-LAURE MARIE"),
        (NameUse.USED, "ROUX", "ANNA", ""),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1979-03-12", PartialDate(1979, 3, 12)),
        ("19790312", PartialDate(1979, 3, 12)),
        ("1979-03", PartialDate(1979, 3)),
        ("197903", PartialDate(1979, 3)),
        ("1979", PartialDate(1979)),
        (1979, PartialDate(1979)),
        (19790312.0, PartialDate(1979, 3, 12)),
        ("1979-03-12T00:00:00Z", PartialDate(1979, 3, 12)),
        (date(1979, 3, 12), PartialDate(1979, 3, 12)),
        (datetime(1979, 3, 12, 14, 30), PartialDate(1979, 3, 12)),
    ],
)
def test_a_birth_date_keeps_its_precision(text, expected):
    assert demographics_from_mapping({"birth_date": text}).birth_date == expected


@pytest.mark.parametrize("missing", [None, "", "   ", math.nan])
def test_what_is_missing_says_nothing(missing):
    empty = demographics_from_mapping({})

    assert demographics_from_mapping(dict.fromkeys(TRAIT_NAMES, missing)) == empty


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [("35238", "35238", ""), ("2a004", "2A004", ""), ("99109", "99109", ""), ("RENNES 35", "", "RENNES 35")],
)
def test_a_birth_place_is_a_code_when_it_looks_like_one(text, code, place):
    read = demographics_from_mapping({"birth_place": text})

    assert (read.birth_place_code, read.birth_place) == (code, place)


@pytest.mark.parametrize(
    ("stated", "codes", "ins", "status"),
    [
        ({"ins": INS}, ("VALI",), True, IdentityStatus.QUALIFIED),
        ({"ins": INS, "identity_status": "QUAL"}, ("VALI",), True, IdentityStatus.QUALIFIED),
        ({"ins": INS, "identity_status": "HOMA"}, ("VALI", "HOMA"), True, IdentityStatus.QUALIFIED),
        ({"ins": INS, "identity_status": "PROV"}, ("PROV",), False, IdentityStatus.PROVISIONAL),
        ({"ins": INS, "identity_status": "RECUP"}, ("RECUP",), False, IdentityStatus.PROVISIONAL),
        ({"identity_status": "qual~homd"}, ("VALI", "HOMD"), False, IdentityStatus.VALIDATED),
        ({"identity_status": "DOUT"}, ("DOUT",), False, IdentityStatus.PROVISIONAL),
    ],
)
def test_an_ins_travels_with_a_qualified_identity_only(stated, codes, ins, status):
    read = demographics_from_mapping(stated)

    assert (read.identity_codes, bool(read.ins), bool(read.ins_oid == INS_NIR_OID)) == (codes, ins, ins)
    assert normalise(read).status is status


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("birth_date", "12/03/1979"),
        ("birth_date", "1979-02-30"),
        ("birth_date", "1979-03-12ZQX"),
        ("birth_date", "٢٠٢٠"),
        ("sex", "ZQX"),
        ("ins", "255081416802539"),
        ("ins", "ZQX"),
        ("birth_order", "ZQX"),
        ("birth_order", "0"),
        ("multiple_birth", "ZQX"),
        ("identity_status", "VALI ZQX"),
        ("identity_status", "PROV VALI"),
        ("birth_name", "ZQX\x00"),
        ("birth_name", "ZQX\nZQX"),
        pytest.param("birth_name", "ZQX\ud800", id="birth_name, half a surrogate pair"),
        ("city", "ZQX" * MAX_VALUE_LENGTH),
        ("city", ["ZQX"]),
        ("city", 1.5),
        ("city", True),
        pytest.param("phone", 10**5000, id="phone, a number of 5,000 digits"),
    ],
)
def test_a_wrong_value_names_its_trait_and_not_itself(place, value):
    with pytest.raises(InvalidIdentity) as caught:
        demographics_from_mapping({place: value})

    assert caught.value.place == place
    assert "ZQX" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("name", "place"), [("birthDate", "birthDate"), ("ZQXFAM", "(unnamed)"), ("279036912345678", "(unnamed)")]
)
def test_an_unknown_trait_is_refused_and_shown_only_if_it_looks_like_a_name(name, place):
    with pytest.raises(InvalidIdentity, match="unknown trait") as caught:
        demographics_from_mapping({name: "x"})

    assert caught.value.place == place


def test_phones_and_addresses_may_repeat():
    read = demographics_from_mapping({"phone": "06 11~02 22", "email": "a@b.fr"})

    assert (read.phones, read.emails) == (("06 11", "02 22"), ("a@b.fr",))


words = st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZÉÈÏ'-", min_size=1, max_size=12)
stated_traits = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ("birth_name", "used_name", "used_given_name", "address", "city", "country", "mother_birth_name"),
            words,
        ),
        "given_names": st.lists(words, min_size=1, max_size=4).map(" ".join),
        "birth_date": st.one_of(st.dates().map(str), st.integers(1850, 2026).map(str)),
        "sex": st.sampled_from("MFU"),
        "birth_place": st.one_of(st.just("35238"), words),
        "postal_code": st.from_regex(r"\d{5}", fullmatch=True),
        "phone": st.lists(st.from_regex(r"0\d{9}", fullmatch=True), min_size=1, max_size=3).map("~".join),
        "email": st.just("a@b.fr"),
        "national_id": st.from_regex(r"[0-9A-Z]{5,15}", fullmatch=True),
        "ins": st.just("255081416802538"),
        "birth_order": st.integers(1, 6),
        "multiple_birth": st.booleans(),
        "identity_status": st.sampled_from(["PROV", "VALI", "VALI HOMA", "PROV DOUT"]),
    },
)


@given(stated_traits)
def test_what_was_read_can_be_written_and_read_again(stated):
    read = demographics_from_mapping(stated)
    written = traits_to_mapping(read)

    assert demographics_from_mapping(written) == read
    assert set(written) - {"identity_status"} <= set(stated)
