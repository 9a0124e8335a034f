"""The overlay firewall's judgement: named cases, then a small run of the benchmark."""

from typing import Any

import pytest
from mpi_synthetic import JUDGING

from mpi.identity.ins import INS_NIA_OID, INS_TEST_OID
from mpi.identity.traits import Traits
from mpi.matching.continuity import changes_person
from mpi.matching.model import MatchModel
from tests.benchmarks import overlays
from tests.unit.matching.people import HOME, person

MODEL = MatchModel.default()
INS, OTHER_INS, NIA = "263045999012374", "263045999012471", "763045999012374"
VALIDATED = ("VALI",)


def qualified(ins: str = INS, **rest: Any) -> dict[str, Any]:
    return {"ins": ins, "ins_oid": INS_TEST_OID, "identity_codes": VALIDATED, **rest}


BEFORE = person(**HOME)

ONE_PERSON_BOTH_WAYS = [
    pytest.param(BEFORE, BEFORE, id="nothing changes"),
    pytest.param(BEFORE, person(used="DUMAS", **HOME), id="used name at marriage"),
    pytest.param(person(used="ROUX", **HOME), person(used="DUMAS", **HOME), id="another used name"),
    pytest.param(BEFORE, person("DUMAS", **HOME), id="used name where there is one field"),
    pytest.param(
        person(given="PAUL", sex="M"), person("DUMAS", "PAUL", sex="M"), id="a man takes another name"
    ),
    pytest.param(person("DUMAS", **HOME), person(used="DUMAS", **HOME), id="used name typed as birth name"),
    pytest.param(person("DUMAS", used="LEFEBVRE"), person(used="DUMAS"), id="names in each other's field"),
    pytest.param(BEFORE, person("LEFEVRE", **HOME), id="spelling of the family name"),
    pytest.param(BEFORE, person(given="KAMILLE", **HOME), id="spelling of the given name"),
    pytest.param(BEFORE, person(born="19630406", **HOME), id="one digit of the date"),
    pytest.param(BEFORE, person(born="19630504", **HOME), id="day and month"),
    pytest.param(BEFORE, person(born="19610817", **HOME), id="the whole date"),
    pytest.param(BEFORE, person(born="19360405", **HOME), id="digits of the year, a generation apart"),
    pytest.param(BEFORE, person(sex="M", **HOME), id="sex"),
    pytest.param(BEFORE, person(**{**HOME, "birth_place_code": "33063"}), id="birth place"),
    pytest.param(BEFORE, person("CAMILLE", "LEFEBVRE", **HOME), id="family and given name exchanged"),
    pytest.param(
        person("CAMILLE", "LEFEBVRE", used="DUMAS"), person(used="DUMAS"), id="exchanged beside a used name"
    ),
    pytest.param(BEFORE, person(given_list="CAMILLE JEANNE MARIE", **HOME), id="the list of given names"),
    pytest.param(person(given="JEAN"), person(given="JEAN-PIERRE"), id="a given name completed"),
    pytest.param(
        person(given="JEAN-PIERRE"), person(given="JEAN", given_list="JEAN PIERRE"), id="a compound split"
    ),
    pytest.param(
        person(born="19630101", birth_date_interpreted=True), person(), id="an interpreted date replaced"
    ),
    pytest.param(person(born="1963"), person(), id="a date completed"),
    pytest.param(
        person(), person(**qualified(birth_place_code="59350", given_list="CAMILLE JEANNE")), id="qualified"
    ),
    pytest.param(
        person(**qualified(NIA, ins_oid=INS_NIA_OID)), person(**qualified()), id="NIA replaced by NIR"
    ),
    pytest.param(
        person(**qualified()), person(given="ADELE", **qualified()), id="given name changed, INS the same"
    ),
    pytest.param(
        person(**HOME),
        person(address="3 RUE NEUVE", postal_code="33000", city="BORDEAUX", phones=("0698765432",)),
        id="moved",
    ),
    pytest.param(person("INCONNU", "X", "19800101", "U"), BEFORE, id="an unknown patient named"),
    pytest.param(person("", "", "", ""), BEFORE, id="nothing known before"),
    pytest.param(person(given="BEBE", born="20260105"), person(born="20260105"), id="a newborn named"),
]


@pytest.mark.parametrize(("before", "after"), ONE_PERSON_BOTH_WAYS)
def test_changes_of_one_person_pass_both_ways(before: Traits, after: Traits):
    assert changes_person(MODEL, before, after) is None
    assert changes_person(MODEL, after, before) is None


def test_a_newborn_named_may_take_another_family_name():
    before = person("ROUX", "BEBE", "20260105", "M", mother_birth_name="ROUX")
    after = person("LEFEBVRE", "PAUL", "20260105", "M", mother_birth_name="ROUX")

    assert changes_person(MODEL, before, after) is None


OTHERS_BOTH_WAYS = [
    pytest.param(BEFORE, person("DUMAS", "PAUL", "19921130", "M"), "another_person", id="a stranger"),
    pytest.param(BEFORE, person("DUMAS", "ADELE", "19921130", **HOME), "another_person", id="all else kept"),
    pytest.param(BEFORE, person("DUMAS", "ADELE", **HOME), "another_person", id="born the same day"),
    pytest.param(BEFORE, person("DUMAS", "CAMILLE", "19921130"), "another_person", id="same given name"),
    pytest.param(
        person(used="DUMAS", **HOME),
        person("DUMAS", "PAUL", "19601130", "M", **HOME),
        "another_person",
        id="husband",
    ),
    pytest.param(BEFORE, person(given="ADELE", born="19921130", **HOME), "another_person", id="daughter"),
    pytest.param(
        person(mother_birth_name="ROUX", **HOME),
        person(given="ADELE", born="19651130", mother_birth_name="ROUX", **HOME),
        "another_person",
        id="sister",
    ),
    pytest.param(
        BEFORE, person(given="CAMILLE", born="19921130", **HOME), "parent_and_child", id="child of one name"
    ),
    pytest.param(BEFORE, person(given="ADELE", **HOME), "twin", id="twin sister"),
    pytest.param(BEFORE, person(given="PAUL", sex="M", **HOME), "twin", id="twin brother"),
    pytest.param(
        person(used="DUMAS"),
        person(given="ADELE", emails=("a@example.org",)),
        "twin",
        id="twin with one name",
    ),
    pytest.param(
        person(given="BEBE1", born="20260105", birth_order=1),
        person(born="20260105", birth_order=2),
        "twin",
        id="the other newborn",
    ),
    pytest.param(
        person(**qualified()), person(**qualified(OTHER_INS)), "ins_conflict", id="two qualified INS"
    ),
    pytest.param(
        person(**qualified()),
        person(given="ADELE", born="19921130", **qualified()),
        "another_person",
        id="INS copied onto a child",
    ),
]


@pytest.mark.parametrize(("before", "after", "reason"), OTHERS_BOTH_WAYS)
def test_somebody_else_is_held_both_ways(before: Traits, after: Traits, reason: str):
    assert changes_person(MODEL, before, after) == reason
    assert changes_person(MODEL, after, before) == reason


def test_a_newborn_of_another_mother_is_somebody_else():
    before = person("ROUX", "BEBE", "20260105", "M", mother_birth_name="ROUX")
    after = person("LEFEBVRE", "PAUL", "20260105", "M", mother_birth_name="DUMAS")

    assert changes_person(MODEL, before, after) == "another_person"


def test_a_used_name_that_stayed_vouches_for_nobody():
    before = person(used="DUMAS", **HOME)
    after = person("ROUX", "ADELE", used="DUMAS", **HOME)

    assert changes_person(MODEL, before, after) == "another_person"


def test_one_twin_s_mailbox_on_the_other_is_no_excuse():
    box = {"emails": ("camille@example.org",)}

    assert changes_person(MODEL, person(**box), person(given="ADELE", **box)) == "twin"


def test_most_overlays_are_held_and_few_other_changes():
    """The bounds and the seed of the benchmark, on a fifth of its people."""
    drawn = overlays.scene(4_000, overlays.JUDGING_SEED, JUDGING)
    others = overlays.held(MODEL, overlays.overlays(drawn, 300))
    same = overlays.held(MODEL, overlays.changes(drawn, 1_000))

    assert sum(reason is not None for reason in others) / len(others) >= overlays.HELD_AT_LEAST
    assert sum(reason is not None for reason in same) / len(same) <= overlays.HELD_AT_MOST
