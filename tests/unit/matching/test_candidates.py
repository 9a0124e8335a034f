"""Blocks too large to compare as they are."""

from dataclasses import replace

import pytest

from mpi.identity.columns import TraitColumns
from mpi.identity.model import PartialDate
from mpi.identity.traits import Traits
from mpi.matching import candidates as module
from mpi.matching.blocking import passes
from mpi.matching.candidates import LeftOut, candidates


def people(count, **stated):
    return [Traits(birth_name="MARTIN", given_names=("JEAN",), postal_code="35000", **stated)] * count


def test_a_large_block_is_opened_by_a_second_key_and_counted():
    born = [people(2, birth_date=PartialDate(1980, 1, day)) for day in range(2, 6)]

    found = candidates(TraitColumns.of_traits([each for two in born for each in two]), max_block=4)

    assert list(zip(found.left, found.right, strict=True)) == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert {(cap.name, cap.refined, cap.skipped) for cap in found.capped} == {
        ("names_year", 1, 0),
        ("names_home", 1, 0),
    }


def test_a_block_still_too_large_is_left_out_and_counted():
    found = candidates(TraitColumns.of_traits(people(5)), max_block=4)

    assert len(found) == 0
    assert [tuple(cap) for cap in found.capped] == [("names_home", 1, 1, 5)]


def test_no_record_gives_no_pair():
    assert len(candidates(TraitColumns.of_traits([]))) == 0


DAY = PartialDate(1980, 5, 17)
SHARED_KEY = {
    "date_family": (Traits(birth_name="MARTIN", birth_date=DAY),) * 2,
    "date_given": (Traits(given_names=("JEAN",), birth_date=DAY),) * 2,
    "names_day": tuple(
        Traits(birth_name="MARTIN", given_names=("JEAN",), birth_date=PartialDate(y, 5, 17)) for y in (80, 90)
    ),
    "names_year": tuple(
        Traits(birth_name="MARTIN", given_names=("JEAN",), birth_date=PartialDate(1980, m)) for m in (5, 6)
    ),
    "names_place": (Traits(birth_name="MARTIN", given_names=("JEAN",), birth_place_code="35238"),) * 2,
    "names_home": (Traits(birth_name="MARTIN", given_names=("JEAN",), postal_code="35000"),) * 2,
    "ins": (Traits(ins="180027511200155"),) * 2,
    "national_id": (Traits(national_id="12345"),) * 2,
    "email": (Traits(emails=("a@example.org",)), Traits(emails=("a@example.org", "b@example.org"))),
    "phone": (Traits(given_names=("JEAN",), phones=("0612345678",)),) * 2,
}


@pytest.mark.parametrize("name", SHARED_KEY)
def test_each_pass_finds_what_it_is_for(name):
    one, other = SHARED_KEY[name]

    assert {parts[0] for parts in set(passes(one)) & set(passes(other))} == {name}
    assert len(candidates(TraitColumns.of_traits([one, other]))) == 1


# --- a pass that gives too many pairs -----------------------------------------------------

ROSE = Traits(birth_name="DUPONT", given_names=("ROSE",), birth_date=DAY)
SLIP, OTHER = replace(ROSE, birth_name="DUPOMT"), replace(ROSE, birth_name="KHELIFI")
YEAR_AFTER = replace(ROSE, birth_date=PartialDate(1980, 11, 2))


@pytest.mark.parametrize(
    ("one", "other", "kept"),
    [
        pytest.param(ROSE, SLIP, True, id="another sound, a slip away"),
        pytest.param(ROSE, OTHER, False, id="another name"),
        pytest.param(replace(ROSE, city="RENNES"), replace(OTHER, city="RENNES"), True, id="a town"),
        pytest.param(ROSE, replace(ROSE, birth_name="LEDUPONT"), True, id="a name in another"),
        pytest.param(ROSE, YEAR_AFTER, False, id="another day"),
        pytest.param(ROSE, replace(ROSE, birth_date=PartialDate(1980, 5, 7)), True, id="month and year"),
        pytest.param(ROSE, replace(ROSE, birth_date=PartialDate(1980)), True, id="the year is all that is known"),
        pytest.param(ROSE, replace(YEAR_AFTER, birth_date_default=True), True, id="a day for the year"),
        pytest.param(*(replace(each, birth_place_code="35238") for each in (ROSE, YEAR_AFTER)), True, id="a place"),
    ],
)  # fmt: skip
def test_a_pass_that_gives_too_many_pairs_keeps_those_that_agree_on_more(one, other, kept, monkeypatch):
    columns = TraitColumns.of_traits([one, other])
    assert len(candidates(columns)) == 1
    monkeypatch.setattr(module, "PAIRS_ANYWAY", 0)
    monkeypatch.setattr(module, "PAIRS_PER_RECORD", 0)

    found = candidates(columns)

    assert len(found) == kept
    assert any(each == LeftOut(each.name, 1 - kept) for each in found.left_out)
