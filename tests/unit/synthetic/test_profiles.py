"""Slips and forms: disjoint in the two profiles, and of every kind in both."""

import random
from datetime import date

import pytest
from mpi_synthetic import JUDGING, TUNING, Profile, generate
from mpi_synthetic.forms import (
    ben_apart,
    families_reversed,
    first_family,
    last_family,
    particle_dropped,
    particle_joined,
    respell,
)
from mpi_synthetic.population import Person

BORN = date(1957, 3, 8)
LATE_IN_THE_MONTH = date(1957, 7, 23)


def operators(profile: Profile) -> set[object]:
    slips = {slip for slip, _ in (*profile.name_slips, *profile.date_slips)}
    forms = {*profile.family_forms, *profile.given_forms, *profile.arabic_forms}
    return slips | forms | profile.variant_kinds | set(profile.spelling) | {profile.default_date_as}


def test_tuning_and_judging_share_no_operator():
    shared = operators(JUDGING) & operators(TUNING)

    assert {pair for pair in shared if not isinstance(pair, tuple)} == set()
    assert JUDGING.family_typo != TUNING.family_typo


def wrong_dates(profile: Profile, born: date) -> set[date]:
    rng = random.Random(1)
    return {slip(born, rng) for slip, _ in profile.date_slips for _ in range(300)}


def right_parts(profile: Profile, born: date) -> set[tuple[bool, bool, bool]]:
    """Which of year, month and day a wrong date may leave right."""
    found = wrong_dates(profile, born)
    return {(d.year == born.year, d.month == born.month, d.day == born.day) for d in found}


@pytest.mark.parametrize("profile", [JUDGING, TUNING], ids=lambda profile: profile.name)
def test_both_profiles_make_every_kind_of_wrong_date(profile):
    found = wrong_dates(profile, BORN)
    parts = right_parts(profile, BORN) | right_parts(profile, LATE_IN_THE_MONTH)

    assert date(1957, 8, 3) in found, "day and month exchanged"
    assert found & {date(1956, 3, 8), date(1958, 3, 8)}, "a year off"
    assert (True, True, False) in parts, "another day"
    assert (True, False, True) in parts, "another month"
    assert any(sum(same) < 2 for same in parts), "another date"
    assert BORN not in found
    assert profile.default_date_as(BORN, random.Random(1)).month in (1, 12)
    assert profile.year_only > 0


@pytest.mark.parametrize("profile", [JUDGING, TUNING], ids=lambda profile: profile.name)
def test_a_slip_changes_a_name(profile):
    rng = random.Random(2)

    for slip, _ in profile.name_slips:
        changed = {slip("RENAUDIN", rng) for _ in range(50)}

        assert changed - {"RENAUDIN"}, slip


@pytest.mark.parametrize(
    ("form", "name", "expected"),
    [
        (particle_joined, "BEN ALI", "BENALI"),
        (particle_joined, "DE LA TOUR", "DELATOUR"),
        (particle_joined, "MARTIN", ""),
        (particle_dropped, "EL AMRANI", "AMRANI"),
        (ben_apart, "BENALI", "BEN ALI"),
        (first_family, "DA SILVA FERREIRA", "DA SILVA"),
        (last_family, "DA SILVA FERREIRA", "FERREIRA"),
        (families_reversed, "GARCIA LOPEZ", "LOPEZ GARCIA"),
        (families_reversed, "DOS SANTOS", ""),
    ],
)
def test_forms_of_a_family_name(form, name, expected):
    assert form(name) == expected


def test_a_transliterated_name_is_spelt_in_more_ways_than_one():
    assert respell("MOHAMED", JUDGING.spelling, random.Random(1)) == "MOHAMMED"
    assert respell("OMO", (("CH", "SH"),), random.Random(1)) == ""


@pytest.fixture(scope="module")
def people() -> tuple[Person, ...]:
    return generate(3000, 1, 5).people


@pytest.mark.parametrize("naming", ["maghreb", "sahel", "iberia", "asia", "creole"])
def test_names_come_from_everywhere(people, naming):
    assert sum(person.naming == naming for person in people) > 3


def test_creole_families_bear_given_names(people):
    given = {person.given_names[0] for person in people}

    assert {person.birth_family for person in people if person.naming == "creole"} & given
