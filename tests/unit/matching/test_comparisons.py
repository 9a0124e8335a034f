"""Each rung of the ladders, on the pair it is for."""

from dataclasses import replace

import pytest

from mpi.identity.model import PartialDate
from mpi.matching.comparisons import COMPARISONS, POSITION, compare
from tests.unit.matching.people import HOME, person

INS = "263045999900139"
"""Embeds a woman, April 1963, and department 59."""


def level(trait, left, right):
    at = POSITION[trait]
    forth, back = compare(left, right)[at], compare(right, left)[at]
    assert forth == back
    return COMPARISONS[at].level_names[forth]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        pytest.param({"family": "Lefèvre"}, {"family": "LEFEVRE"}, "birth_exact", id="accents and case"),
        pytest.param({"family": "St-Pierre"}, {"family": "SAINT PIERRE"}, "birth_exact", id="ST is SAINT"),
        pytest.param(
            {"family": "MARTIN", "used": "ROUX"},
            {"family": "ROUX"},
            "cross_exact",
            id="used name in the birth slot",
        ),
        pytest.param(
            {"family": "MARTIN", "given": "PAUL"},
            {"family": "PAUL", "given": "MARTIN"},
            "order_swapped",
            id="family and given exchanged",
        ),
        pytest.param(
            {"family": "GALLINA", "given": "FRANCOISE"},
            {"family": "FRANCOISE", "given": "GLLINA"},
            "order_swapped",
            id="exchanged, with a slip",
        ),
        pytest.param(
            {"family": "MARTIN-DUPONT"}, {"family": "MARTIN"}, "part_of", id="double name and half of it"
        ),
        pytest.param({"family": "DELATOUR"}, {"family": "DE LA TOUR"}, "part_of", id="spaces lost"),
        pytest.param({"family": "D'ORMESSON"}, {"family": "ORMESSON"}, "part_of", id="particle lost"),
        pytest.param({"family": "DUPONT"}, {"family": "DUPOND"}, "one_edit", id="one letter"),
        pytest.param({"family": "ROUSSEAU"}, {"family": "ROUSSAEU"}, "one_edit", id="two letters exchanged"),
        pytest.param(
            {"family": "RODRIGUEZ"}, {"family": "RODRIGUESSE"}, "jaro_winkler", id="close in writing"
        ),
        pytest.param({"family": "THIBAUDEAU"}, {"family": "TIBODO"}, "phonetic", id="close in sound"),
        pytest.param({"family": "MARTIN", "sex": "M"}, {"family": "MERTENS"}, "different", id="not in sound"),
        pytest.param({"family": "LefÃ¨vre"}, {"family": "LEFEVRE"}, "repaired", id="mojibake"),
        pytest.param(
            {"family": "MARTIN", "used": "LefÃ¨vre"}, {"family": "LEFEVRE"}, "repaired", id="in another slot"
        ),
        pytest.param({"family": "Иванов"}, {"family": "IVANOV"}, "repaired", id="another script"),
        pytest.param({"family": "MUÑOZ"}, {"family": "MUNOZ"}, "birth_exact", id="a foreign Latin letter"),
        pytest.param({"family": "MARTIN"}, {"family": "ROUX"}, "different_women", id="two women"),
        pytest.param({"family": "MARTIN", "sex": "M"}, {"family": "ROUX"}, "different", id="not two women"),
        pytest.param(
            {"family": "INCONNU"}, {"family": "INCONNU"}, "missing", id="placeholders agree on nothing"
        ),
    ],
)
def test_family_name(left, right, expected):
    assert expected == level("family_name", person(**left), person(**right))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        pytest.param(
            {"given": "ANNE", "given_list": "ANNE LISE EVA"},
            {"given": "ANNE", "given_list": "ANNE LISE EVA"},
            "list_exact",
            id="whole list",
        ),
        pytest.param(
            {"given": "ANNE", "given_list": "ANNE LISE"},
            {"given": "ANNE", "given_list": "ANNE EVA"},
            "exact_others_differ",
            id="only the first",
        ),
        pytest.param({"given": "Jean-Pierre"}, {"given": "JEANPIERRE"}, "exact", id="hyphen lost"),
        pytest.param({"given": "AndrÃ©"}, {"given": "ANDRE"}, "repaired", id="mojibake"),
        pytest.param(
            {"given": "AndrÃ©", "given_list": "AndrÃ© Paul"},
            {"given": "ANDRE", "given_list": "ANDRE PAUL"},
            "repaired",
            id="mojibake in the list",
        ),
        pytest.param(
            {"given": "EVA"},
            {"given": "ANNE", "given_list": "ANNE LISE EVA"},
            "in_list",
            id="third name in use",
        ),
        pytest.param({"given": "MOHAMMED"}, {"given": "MUHAMMAD"}, "variant", id="two spellings of a third"),
        pytest.param({"given": "NICO"}, {"given": "NICOLAS"}, "variant", id="short form"),
        pytest.param({"given": "JEAN"}, {"given": "JEAN-PIERRE"}, "partial", id="half of a compound"),
        pytest.param(
            {"given": "ANNIE"}, {"given": "ANNE"}, "near_other_name", id="short form in use as a name"
        ),
        pytest.param({"given": "JP"}, {"given": "JEAN-PIERRE"}, "partial", id="initials"),
        pytest.param({"given": "C"}, {"given": "CAMILLE"}, "partial", id="initial"),
        pytest.param({"given": "AMINA"}, {"given": "YAMINA"}, "near_other_name", id="two names in use"),
        pytest.param({"given": "CAMILLE"}, {"given": "CAMIXLE"}, "near", id="slip of the pen"),
        pytest.param({"given": "HOURIA"}, {"given": "HWRIA"}, "alike", id="two slips"),
        pytest.param({"given": "PAUL"}, {"given": "ANNE"}, "different", id="different"),
        pytest.param({"given": "BEBE"}, {"given": "ANNE"}, "missing", id="newborn stand-in"),
        pytest.param(
            {"family": "MARTIN", "given": "PAUL"},
            {"family": "PAUL", "given": "MARTIN"},
            "missing",
            id="the swap has spoken on the family name",
        ),
    ],
)
def test_given_name(left, right, expected):
    assert expected == level("given_name", person(**left), person(**right))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("19630405", "19630405", "exact"),
        ("19630101", "19630101", "exact_default"),
        ("19631231", "19631231", "exact_default"),
        ("1963", "19630405", "partial"),
        ("196304", "196304", "partial"),
        ("19630405", "19630504", "day_month_swap"),
        ("19630101", "19630405", "default_same_year"),
        ("19630405", "19630406", "one_digit"),
        ("19630415", "19630414", "one_digit"),
        ("19630401", "19630401", "exact_first_of_month"),
        ("19630412", "19630421", "transposed"),
        ("19630412", "19360412", "transposed"),
        ("19630405", "19640405", "year_off"),
        ("19120405", "20120405", "year_off"),
        ("19630405", "19730405", "one_digit"),
        ("19790405", "19800405", "year_off"),
        ("19630405", "19720405", "two_of_three"),
        ("19630405", "19630427", "two_of_three"),
        ("19630405", "19810927", "different"),
        ("1963", "1964", "different"),
        ("", "19630405", "missing"),
        ("19000101", "19000101", "missing"),
    ],
)
def test_birth_date(left, right, expected):
    assert expected == level("birth_date", person(born=left), person(born=right))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ({"birth_place_code": "35238"}, {"birth_place_code": "35238"}, "same_code"),
        ({"birth_place_code": "75112"}, {"birth_place_code": "75056"}, "same_place"),
        ({"birth_place_code": "13203"}, {"birth_place_code": "13055"}, "same_place"),
        ({"birth_place_code": "69383"}, {"birth_place_code": "69123"}, "same_place"),
        ({"birth_place_code": "75012"}, {"birth_place_code": "92012"}, "same_place"),
        ({"birth_place_code": "75112"}, {"birth_place_code": "75113"}, "same_department"),
        ({"birth_place": "Saint-Malo"}, {"birth_place": "ST MALO"}, "same_text"),
        ({"birth_place": "SAINT MALO"}, {"birth_place": "SAINT MALLO"}, "near_text"),
        ({"birth_place_code": "35238"}, {"birth_place_code": "35288"}, "same_department"),
        ({"birth_place_code": "97411"}, {"birth_place_code": "97105"}, "different"),
        ({"birth_place_code": "99352"}, {"birth_place_code": "99350"}, "different"),
        ({"birth_place_code": "99999"}, {"birth_place_code": "99999"}, "missing"),
        ({"birth_place_code": "20004"}, {"birth_place_code": "2A004"}, "same_place"),
        ({"birth_place_code": "75012"}, {"birth_place_code": "93012"}, "different"),
        ({"birth_place_code": "35238"}, {"birth_place": "RENNES"}, "same_text"),
        ({"birth_place_code": "75112"}, {"birth_place": "Paris 12"}, "near_text"),
        ({"birth_place_code": "35238"}, {"birth_place": "LILLE"}, "different"),
        ({"birth_place_code": "99352"}, {"birth_place": "Algérie"}, "same_text"),
        ({"birth_place_code": "99352"}, {"birth_place": "ORAN"}, "missing"),
        ({"birth_place_code": "35999"}, {"birth_place": "RENNES"}, "missing"),
        (
            {"birth_place_code": "35238", "birth_place": "RENNES"},
            {"birth_place_code": "35288"},
            "same_department",
        ),
    ],
)
def test_birth_place(left, right, expected):
    assert expected == level("birth_place", person(**left), person(**right))


@pytest.mark.parametrize(
    ("trait", "left", "right", "expected"),
    [
        ("sex", {"sex": "M"}, {"sex": "F"}, "different"),
        ("sex", {"sex": "U"}, {"sex": "F"}, "missing"),
        ("residence", {"postal_code": "35000", "city": "Rennes"}, {"city": "RENNES CEDEX 7"}, "same_city"),
        (
            "residence",
            {"postal_code": "35000", "city": "Rennes"},
            {"postal_code": "35000"},
            "same_postal_code",
        ),
        (
            "residence",
            {"postal_code": "35260", "city": "Cancale"},
            {"postal_code": "35260", "city": "Saint-Coulomb"},
            "postal_code_or_city",
        ),
        ("residence", {"postal_code": "35000"}, {"postal_code": "35200"}, "same_department"),
        ("residence", {"postal_code": "35000"}, {"city": "RENNES"}, "missing"),
        ("phone", {"phones": ("+33612345678",)}, {"phones": ("0298000001", "06 12 34 56 78")}, "in_common"),
        ("phone", {"phones": ("0600000000",)}, {"phones": ("0600000000",)}, "missing"),
        ("email", {"emails": ("A@example.org",)}, {"emails": ("a@example.org",)}, "in_common"),
        ("national_id", {"national_id": "12 345"}, {"national_id": "12345"}, "same"),
        ("national_id", {"national_id": "12345"}, {"national_id": "12354"}, "one_edit"),
        ("ins", {"ins": "263045999900101"}, {"ins": "263045999900101"}, "same"),
        ("ins", {"ins": INS}, {"ins": INS}, "same"),
        ("ins", {"ins": INS, "sex": "M"}, {"ins": INS}, "same_embedded_differs"),
        ("ins", {"ins": INS, "born": "19921130"}, {"ins": INS, "born": "19921130"}, "same_embedded_differs"),
        ("ins", {"ins": INS, "born": "19630506"}, {"ins": INS, "born": "19630506"}, "same_embedded_differs"),
        ("ins", {"ins": INS, "born": "19630101"}, {"ins": INS, "born": "19630101"}, "same"),
        ("ins", {"ins": INS, "birth_place_code": "59350"}, {"ins": INS}, "same"),
        ("ins", {"ins": INS, "birth_place_code": "35238"}, {"ins": INS}, "same_embedded_differs"),
        ("birth_order", {"birth_order": 1}, {"birth_order": 2}, "different"),
        ("birth_order", {"birth_order": 2}, {"birth_order": 2}, "same"),
        ("birth_order", {"birth_order": 1}, {"birth_order": 1}, "missing"),
        ("birth_order", {"birth_order": 2}, {}, "missing"),
        (
            "ins",
            {"ins": "263045999900101"},
            {"ins": "263045999900101", "born": "19921130"},
            "same_other_birth_date",
        ),
        ("ins", {"ins": "263045999900101"}, {"ins": "263045999900202"}, "different"),
        ("mother_birth_name", {"mother_birth_name": "ROUX"}, {"mother_birth_name": "ROUXE"}, "near"),
    ],
)
def test_the_others(trait, left, right, expected):
    assert expected == level(trait, person(**left), person(**right))


def test_a_ladder_has_no_two_levels_of_one_name():
    for comparison in COMPARISONS:
        assert len(set(comparison.level_names)) == len(comparison.levels) + 1


class _Watched:
    """Traits that remember which fields were looked at."""

    def __init__(self, traits, seen):
        self._traits, self._seen = traits, seen

    def __getattr__(self, name):
        self._seen.add(name)
        return getattr(self._traits, name)


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.trait)
def test_a_ladder_reads_what_it_says_and_no_less(comparison):
    """That it reads no more is a law: see tests/properties."""
    seen, some = set(), person(given_list="CAMILLE EVA", used="ROUX", ins=INS, birth_order=2, **HOME)
    others = [
        replace(some, birth_name="X", used_name="", given_names=("PAUL",), ins_temporary=False),
        replace(some, birth_name="CAMILLE", used_name="", given_names=("LEFEBVRE",), birth_place="LILLE"),
        replace(some, birth_place_code="", city="X", postal_code="1", birth_date=PartialDate(1963, 4)),
        replace(some, birth_name="X", used_name="", given_names=(), used_given_name="EVA"),
        replace(some, emails=("a@example.org",), national_id="1", mother_birth_name="ROUX"),
    ]
    for other in (some, *others):
        comparison.level(_Watched(some, seen), _Watched(other, seen))

    assert set(comparison.reads) == seen
