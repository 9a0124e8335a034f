"""
The names people are given: by year, sex and where their families come from.
"""

import random

from . import reference
from .reference import Weighted

GIVEN_NAMES_PER_PERSON = Weighted([(1, 23.0), (2, 41), (3, 31), (4, 5)])
NAME_OF_A_FATHER = ("BEN ", "AIT ", "OULD ", "BOU", "ABD EL ")
NAMED_AFTER_A_FATHER = 0.35
TWO_FAMILY_NAMES = 0.55
"""Share of people from Portugal and Spain with a name from each parent."""
CREOLE_NAMES = 0.6
"""Share of overseas families with a name of the islands, often a given name; the others have a French one."""
FAMILY_KEEPS_ACCENTS = 0.5


def draw_surname(year: int, region: str, rng: random.Random) -> str:
    """Draw the birth name of a family, as known by the year of birth of its child."""
    families = reference.names_abroad().get((region, "family"))
    if families and (region != "creole" or rng.random() < CREOLE_NAMES):
        if region == "maghreb" and rng.random() < NAMED_AFTER_A_FATHER:
            return rng.choice(NAME_OF_A_FATHER) + rng.choice(reference.names_abroad()[region, "M"])
        name, second = rng.choice(families), rng.choice(families)
        two = region == "iberia" and rng.random() < TWO_FAMILY_NAMES
        return f"{name} {second}" if two and second not in name else name
    era = 0 if year <= 1930 else 1 if year <= 1970 else 2
    name = reference.surnames()[era].draw(rng)
    if name == reference.OPEN_VOCABULARY:
        return reference.surname_trigrams().draw(rng)
    accented = reference.surname_accents().get(name)
    return accented if accented and rng.random() < FAMILY_KEEPS_ACCENTS else name


def draw_given_names(
    sex: str, year: int, region: str, rng: random.Random, *, named: str = "", not_named: str = ""
) -> tuple[str, ...]:
    """
    Draw the list of birth given names: the later ones are those of grandparents.

    Args:
        named: the first one, when it is known.
        not_named: a name that is taken, by a twin.
    """
    names = [named] if named else []
    wanted = GIVEN_NAMES_PER_PERSON.draw(rng)
    while len(names) < wanted:
        name = _given_name(sex, year if not names else year - 50, region, rng)
        if name not in names and name != not_named:
            names.append(name)
    return tuple(names)


def _given_name(sex: str, year: int, region: str, rng: random.Random) -> str:
    if found := reference.names_abroad().get((region, sex)):
        return rng.choice(found)
    decade = min(max(year // 10 * 10, 1900), 2020)
    name = reference.given_names()[sex, decade].draw(rng)
    return reference.given_trigrams(sex).draw(rng) if name == reference.OPEN_VOCABULARY else name
