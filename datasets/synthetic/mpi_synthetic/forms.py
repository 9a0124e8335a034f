"""
Names that are written in more than one way, none of them a typing error.

BEN ALI and BENALI, MOHAMED and MOHAMMED, FERREIRA GOMES and FERREIRA, VAN HUNG and VAN-HUNG: clerks choose
among such forms as they slip, and each profile knows forms that the other does not.
"""

import random
from collections.abc import Callable

FamilyForm = Callable[[str], str]
GivenForm = Callable[[str], str]
Spelling = tuple[tuple[str, str], ...]

PARTICLES = (
    "ABD EL", "DE LA", "BEN", "BOU", "AIT", "OULD", "EL", "AL", "DOS", "DAS", "DA", "DO", "DE", "DU", "DES", "LE",
    "LA",
)  # fmt: skip
TRANSLITERATED = frozenset({"maghreb", "sahel", "comoros"})
"""Naming patterns that come from another alphabet, or from no written one."""
ARABIC_AS_HEARD: Spelling = (
    ("OU", "U"), ("DJ", "J"), ("KH", "K"), ("SS", "S"), ("MM", "M"), ("MED", "MMED"), ("AH", "A"), ("IA", "IYA"),
    ("IR", "YR"),
)  # fmt: skip
ARABIC_AS_READ: Spelling = (
    ("CH", "SH"), ("OU", "O"), ("MOHA", "MUHA"), ("ED", "AD"), ("DD", "D"), ("RR", "R"), ("Y", "I"), ("AI", "AY"),
    ("EE", "I"), ("H", ""),
)  # fmt: skip


def particle_of(family: str) -> str:
    """The particle that a name starts with, apart from the rest; empty when there is none."""
    return next((particle for particle in PARTICLES if family.startswith(particle + " ")), "")


def two_families(family: str) -> tuple[str, str]:
    """Split a name of two: DA SILVA FERREIRA as DA SILVA and FERREIRA; two empty texts for one name only."""
    particle = particle_of(family)
    rest = family[len(particle) :].lstrip()
    first, apart, second = rest.replace("-", " ").partition(" ")
    return (f"{particle} {first}".strip(), second) if apart and len(first) > 1 < len(second) else ("", "")


def particle_joined(family: str) -> str:
    particle = particle_of(family)
    return particle.replace(" ", "") + family[len(particle) + 1 :] if particle else ""


def ben_apart(family: str) -> str:
    """Part what papers join: BENALI as BEN ALI."""
    joined = " " not in family and len(family) > 5 and family.startswith(("BEN", "BOU", "AIT"))
    return f"{family[:3]} {family[3:]}" if joined else ""


def first_family(family: str) -> str:
    return two_families(family)[0]


def particle_dropped(family: str) -> str:
    particle = particle_of(family)
    return family[len(particle) + 1 :] if particle else ""


def particle_hyphenated(family: str) -> str:
    particle = particle_of(family)
    return f"{particle}-{family[len(particle) + 1 :]}" if particle else ""


def last_family(family: str) -> str:
    return two_families(family)[1]


def families_reversed(family: str) -> str:
    first, second = two_families(family)
    return f"{second} {first}" if first else ""


def given_joined(given: str) -> str:
    words = given.replace("-", " ").split(" ")
    return "".join(words) if len(words) == 2 else ""


def given_hyphenated(given: str) -> str:
    """Put a hyphen where papers have a space, and a space where they have a hyphen."""
    return given.replace(" ", "-") if " " in given else given.replace("-", " ") if "-" in given else ""


def given_last_word(given: str) -> str:
    return given.split(" ")[-1] if " " in given else ""


def respell(name: str, spelling: Spelling, rng: random.Random) -> str:
    """Write one sound of a transliterated name in another way; empty when it has none of them."""
    found = [(a, b) for a, b in spelling if a in name[1:]]
    if not found:
        return ""
    a, b = rng.choice(found)
    return name[0] + name[1:].replace(a, b, 1)


def another_form(name: str, forms: tuple[Callable[[str], str], ...], rng: random.Random) -> str:
    """Choose among the forms that a name has; the name itself when it has none."""
    found = [form for make in forms if (form := make(name)) and form != name]
    return rng.choice(found) if found else name
