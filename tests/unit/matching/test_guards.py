"""What no weight outvotes. Every guard once on the pair it is for, and not on its neighbour."""

import pytest

from mpi.matching import Decision, MatchModel, score
from mpi.matching.guards import FORBIDDING, GUARDS
from tests.unit.matching.people import HOME, person

MODEL = MatchModel.default()
INS_1, INS_2, INS_9 = "263045999900101", "263045999900202", "263045999900999"
A_MOTHER_S = "263045999900139"
"""Its key is right, so what it embeds is read."""
QUALIFIED = {"identity_codes": ("VALI",)}


def decide(left, right):
    pair = score(MODEL, person(**left), person(**right))
    assert pair == score(MODEL, person(**right), person(**left))
    return pair


CASES = [
    pytest.param({**HOME, "identity_codes": ("ANOM",)}, HOME, "protected_identity", id="legal anonymity"),
    pytest.param({**HOME, "identity_codes": ("CACH",)}, HOME, "protected_identity", id="hidden identity"),
    pytest.param(
        {**HOME, **QUALIFIED, "ins": INS_1},
        {**HOME, **QUALIFIED, "ins": INS_9},
        "ins_conflict",
        id="two qualified INS",
    ),
    pytest.param(
        {**HOME, "given": "LEA"}, {**HOME, "given": "MANON"}, "twins", id="sisters born the same day"
    ),
    pytest.param(
        {**HOME, "given": "PAUL", "sex": "M"},
        {**HOME, "given": "ANNE"},
        "twins",
        id="brother and sister, same day",
    ),
    pytest.param(
        {**HOME, "given": "BEBE", "birth_order": 1},
        {**HOME, "given": "BEBE", "birth_order": 2},
        "twins",
        id="unnamed twins",
    ),
    pytest.param(
        {**HOME, "given": "LEA", "ins": INS_1},
        {**HOME, "given": "LENA", "ins": INS_2},
        "twins",
        id="consecutive ranks",
    ),
    pytest.param(
        {**HOME, "given": "LEA", "birth_order": 1},
        {**HOME, "given": "LENA", "birth_order": 2},
        "twins",
        id="birth orders",
    ),
    pytest.param(
        {**HOME, "given": "LEA"}, {**HOME, "given": "LENA"}, "multiple_birth", id="two names in use"
    ),
    pytest.param(
        {**HOME, "family": "LEFEBVRE", "given": "LEA"},
        {**HOME, "family": "LEFEVRE", "given": "MANON"},
        "twins",
        id="sisters, a slip in the surname",
    ),
    pytest.param(
        {**HOME, "family": "LefÃ¨vre", "given": "LEA"},
        {**HOME, "family": "LEFEVRE", "given": "MANON"},
        "twins",
        id="sisters, a surname repaired",
    ),
    pytest.param(
        {**HOME, "family": "MARTIN-LEFEBVRE", "given": "LEA"},
        {**HOME, "given": "LENA"},
        "multiple_birth",
        id="two names in use, one double surname",
    ),
    pytest.param(
        {**HOME, "given": "LEA", "ins": A_MOTHER_S, "born": "20200405"},
        {**HOME, "given": "MANON", "ins": A_MOTHER_S, "born": "20200405"},
        "twins",
        id="mother's INS on both twins",
    ),
    pytest.param(
        {**HOME, "birth_order": 1},
        {**HOME, "birth_order": 2},
        "multiple_birth",
        id="one name, two birth orders",
    ),
    pytest.param({**HOME, "born": "19330405"}, HOME, "parent_and_child", id="thirty years apart"),
    pytest.param({**HOME, "given": "BB FILLE"}, HOME, "newborn", id="not named yet"),
    pytest.param(
        {"born": "19630101"}, {"born": "19630101"}, "default_date", id="1 January, only names agree"
    ),
    pytest.param(
        {**HOME, "ins": INS_1},
        {**HOME, "ins": INS_1, "given": "PAUL", "sex": "M", "born": "19921130"},
        "shared_ins",
        id="mother's INS on a child",
    ),
    pytest.param(
        {**HOME, "ins": INS_1, "sex": "M", "given": "PAUL"},
        {**HOME, "ins": INS_1},
        "shared_ins",
        id="one INS, another sex and given name",
    ),
    pytest.param(
        {**HOME, "ins": INS_1}, {**HOME, "ins": INS_9}, "ins_differs", id="two INS, not both qualified"
    ),
    pytest.param({**HOME, "identity_codes": ("DOUT",)}, HOME, "unreliable_identity", id="doubtful"),
    pytest.param({**HOME, "identity_codes": ("FICT",)}, HOME, "unreliable_identity", id="fictitious"),
    pytest.param({**HOME, "identity_codes": ("COLV",)}, HOME, "unreliable_identity", id="collision"),
    pytest.param({**HOME, "identity_codes": ("USUR",)}, HOME, "unreliable_identity", id="usurped"),
    pytest.param({**HOME, "identity_codes": ("HOMA",)}, HOME, "homonym", id="proven homonym"),
    pytest.param(
        {**HOME, "given": "DANIEL", "sex": "M"},
        {**HOME, "given": "DANIELE"},
        "sex_and_given_name",
        id="DANIEL, DANIELE",
    ),
    pytest.param(
        {"birth_place_code": "59350"},
        {"birth_place_code": "33063"},
        "uncorroborated",
        id="namesakes born elsewhere",
    ),
    pytest.param(
        {"born": "19630405"}, {"born": "19630406"}, "uncorroborated", id="one digit and nothing else"
    ),
    pytest.param(
        {**HOME, "family": "ROUX"},
        {**HOME, "family": "BLANCHARD"},
        "insufficient_evidence",
        id="no family name",
    ),
    pytest.param({**HOME, "born": "1963"}, HOME, "insufficient_evidence", id="half a birth date"),
]


@pytest.mark.parametrize(("left", "right", "guard"), CASES)
def test_a_guard_applies_and_no_link_follows(left, right, guard):
    pair = decide(left, right)

    assert guard in pair.guards
    assert pair.decision is not Decision.LINK
    if guard in FORBIDDING:
        assert pair.decision is Decision.NON_LINK
        assert pair.contradicts


def test_every_guard_has_a_case():
    assert {case.values[2] for case in CASES} == {guard.name for guard in GUARDS}


NEIGHBOURS = [
    pytest.param(
        {**HOME, "identity_codes": ("DOUT",)}, HOME, "protected_identity", id="doubtful, not hidden"
    ),
    pytest.param(
        {**HOME, **QUALIFIED, "ins": INS_1}, {**HOME, "ins": INS_9}, "ins_conflict", id="one of two qualified"
    ),
    pytest.param(
        {**HOME, **QUALIFIED, "ins": INS_1},
        {**HOME, **QUALIFIED, "ins": INS_1},
        "ins_conflict",
        id="one qualified INS",
    ),
    pytest.param(HOME, {**HOME, "given": "CAMIXLE"}, "twins", id="a slip in the given name"),
    pytest.param(
        {**HOME, "given": "LEA"},
        {**HOME, "given": "MANON", "birth_place_code": "33063"},
        "twins",
        id="born elsewhere",
    ),
    pytest.param(
        {**HOME, "given": "LEA", "born": "19630405"},
        {**HOME, "given": "MANON", "born": "19650811"},
        "twins",
        id="sisters of two ages",
    ),
    pytest.param(
        {**HOME, "birth_order": 2}, {**HOME, "birth_order": 2}, "multiple_birth", id="one twin, seen twice"
    ),
    pytest.param(
        {**HOME, "born": "19630405"}, {**HOME, "born": "19730405"}, "parent_and_child", id="ten years"
    ),
    pytest.param(
        {**HOME, "born": "19330405", "given": "PAUL"}, HOME, "parent_and_child", id="two given names"
    ),
    pytest.param({**HOME, "family": "GARCON"}, {**HOME, "family": "GARCON"}, "newborn", id="Madame Garçon"),
    pytest.param({"born": "19630201"}, {"born": "19630201"}, "default_date", id="the first of another month"),
    pytest.param({**HOME, "ins": INS_1}, {**HOME, "ins": INS_1}, "shared_ins", id="one person, one INS"),
    pytest.param({**HOME, "ins": INS_1}, HOME, "ins_differs", id="one INS missing"),
    pytest.param({**HOME, "identity_codes": ("DOUB",)}, HOME, "unreliable_identity", id="known duplicate"),
    pytest.param({**HOME, "identity_codes": ("VALI",)}, HOME, "homonym", id="validated"),
    pytest.param({**HOME, "sex": "M"}, HOME, "sex_and_given_name", id="CAMILLE is of both sexes"),
    pytest.param({}, {}, "uncorroborated", id="nothing against"),
    pytest.param(
        {**HOME, "born": "19630412"},
        {**HOME, "born": "19630421"},
        "insufficient_evidence",
        id="digits exchanged",
    ),
]


@pytest.mark.parametrize(("left", "right", "guard"), NEIGHBOURS)
def test_a_guard_leaves_its_neighbours_alone(left, right, guard):
    assert guard not in decide(left, right).guards


def test_every_guard_has_a_neighbour():
    assert {case.values[2] for case in NEIGHBOURS} == {guard.name for guard in GUARDS}


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param(HOME, HOME, id="everything agrees"),
        pytest.param({}, {}, id="names, date and sex to the letter, nothing against"),
        pytest.param(HOME, {**HOME, "given": "CAMIXLE"}, id="slip in the given name"),
        pytest.param(HOME, {**HOME, "born": "19630504"}, id="day and month exchanged, home agrees"),
        pytest.param(
            {**HOME, "born": "19630101"}, {**HOME, "born": "19630101"}, id="default date, home agrees"
        ),
        pytest.param(
            {**HOME, **QUALIFIED, "ins": INS_1, "identity_codes": ("VALI", "HOMA")},
            {**HOME, **QUALIFIED, "ins": INS_1},
            id="a homonym with the same qualified INS",
        ),
        pytest.param(
            {**HOME, "used": "ROUX"}, {**HOME, "family": "ROUX"}, id="married name in the birth slot"
        ),
    ],
)
def test_no_guard_in_the_way_of_one_person(left, right):
    pair = decide(left, right)

    assert (pair.decision, pair.guards) == (Decision.LINK, ())


@pytest.mark.parametrize("shared", [{"ins": INS_1}, {"emails": ("camille@example.org",)}])
def test_two_given_names_with_one_number_or_mailbox_are_for_a_person_to_see(shared):
    pair = decide({**HOME, **shared, "given": "LEA"}, {**HOME, **shared, "given": "MANON"})

    assert "twins" not in pair.guards
    assert pair.decision is Decision.REVIEW
