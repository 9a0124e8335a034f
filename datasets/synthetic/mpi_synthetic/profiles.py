"""
How clerks and machines get identities wrong: operators as a table, and how often each strikes.

Two profiles, with different rates and hardly an operator in common, so that a model tuned on one
is not judged on its own mirror.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from . import reference

AZERTY = ("AZERTYUIOP", "QSDFGHJKLM", "WXCVBN")
SOUNDS = (
    ("PH", "F"), ("AU", "O"), ("EAU", "O"), ("QU", "K"), ("TH", "T"), ("Y", "I"), ("AI", "E"), ("AN", "EN"),
    ("C", "K"), ("S", "Z"), ("G", "J"), ("OU", "W"), ("X", "S"), ("EN", "AN"),
)  # fmt: skip
LOOK_ALIKE = {
    "M": "N",
    "N": "M",
    "B": "P",
    "P": "B",
    "D": "T",
    "T": "D",
    "V": "F",
    "F": "V",
    "I": "L",
    "U": "V",
}

NameSlip = Callable[[str, random.Random], str]
DateSlip = Callable[[date, random.Random], date]


def _at(text: str, rng: random.Random) -> int:
    """Choose a letter; the first one is seldom got wrong."""
    return rng.randrange(1, len(text)) if len(text) > 1 else 0


def insert_letter(text: str, rng: random.Random) -> str:
    at = _at(text, rng)
    return text[:at] + rng.choice("AEILNRST") + text[at:]


def delete_letter(text: str, rng: random.Random) -> str:
    at = _at(text, rng)
    return text[:at] + text[at + 1 :]


def neighbouring_key(text: str, rng: random.Random) -> str:
    at = _at(text, rng)
    for row in AZERTY:
        if (column := row.find(text[at])) >= 0:
            other = row[column - 1] if column and rng.random() < 0.5 else row[(column + 1) % len(row)]
            return text[:at] + other + text[at + 1 :]
    return text


def same_sound(text: str, rng: random.Random) -> str:
    found = [(a, b) for a, b in SOUNDS if a in text[1:]]
    if not found:
        return delete_letter(text, rng) if text.endswith(("E", "S", "T", "D")) else text + rng.choice("ETS")
    a, b = rng.choice(found)
    return text[0] + text[1:].replace(a, b, 1)


def any_letter(text: str, rng: random.Random) -> str:
    at = _at(text, rng)
    return text[:at] + rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ".replace(text[at], "")) + text[at + 1 :]


def transpose_letters(text: str, rng: random.Random) -> str:
    swappable = [at for at in range(len(text) - 1) if text[at] != text[at + 1]]
    if not swappable:
        return text
    at = rng.choice(swappable)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def double_letter(text: str, rng: random.Random) -> str:
    doubled = [at for at in range(1, len(text)) if text[at] == text[at - 1]]
    if doubled:
        at = rng.choice(doubled)
        return text[:at] + text[at + 1 :]
    at = _at(text, rng)
    return text[:at] + text[at] + text[at:]


def misheard_letter(text: str, rng: random.Random) -> str:
    found = [at for at in range(len(text)) if text[at] in LOOK_ALIKE]
    if not found:
        return any_letter(text, rng)
    at = rng.choice(found)
    return text[:at] + LOOK_ALIKE[text[at]] + text[at + 1 :]


def swap_day_and_month(day: date, rng: random.Random) -> date:
    if day.day > 12 or day.day == day.month:
        return one_digit_off(day, rng)
    return day.replace(month=day.day, day=day.month)


def one_digit_off(day: date, rng: random.Random) -> date:
    step = rng.choice((-1, 1, 3, -3, 10, -10))
    return _in_calendar(day.year, day.month, day.day + step, day)


def year_off(day: date, rng: random.Random) -> date:
    return _in_calendar(day.year + rng.choice((-1, 1, -10, 10)), day.month, day.day, day)


def month_off(day: date, rng: random.Random) -> date:
    return _in_calendar(day.year, (day.month + rng.choice((-2, 0, 1))) % 12 + 1, day.day, day)


def transpose_digits(day: date, rng: random.Random) -> date:
    swapped = int(f"{day.day:02d}"[::-1])
    if rng.random() < 0.5 or swapped == day.day:
        century, year = divmod(day.year, 100)
        return _in_calendar(100 * century + int(f"{year:02d}"[::-1]), day.month, day.day, day)
    return _in_calendar(day.year, day.month, swapped, day)


def next_day(day: date, rng: random.Random) -> date:
    return day + timedelta(days=rng.choice((-1, 1)))


def _in_calendar(year: int, month: int, day: int, otherwise: date) -> date:
    """The date, or the nearest believable one; a clerk cannot type a day that does not exist."""
    try:
        found = date(year, month, day)
    except ValueError:
        found = otherwise - timedelta(days=1)
    return found if date(1905, 1, 1) <= found <= date(2026, 3, 1) else otherwise - timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Profile:
    """
    How often things go wrong. Every rate is per record unless it says otherwise; a site scales them.

    Args:
        name_slips: operators on a name and their weights.
        date_slips: operators on a birth date and their weights.
        variant_kinds: kinds of given-name variants that clerks type.
        born_abroad_factor: how much more often a name or date of someone born abroad goes wrong.
        duplicate_factor: the same for a second record of one site: errors are why it exists.
        used_name_as_birth: per record of who uses another name.
        given_name_cut: per compound given name, JEAN-PIERRE stated as JEAN.
        default_date: 1 January in place of a date nobody asked for.
        newborn_unnamed: per record opened in the first days of life.
        parent_ins: per minor's record with an INS.
        placeholder: an unknown patient received, or a test patient: INCONNU, TEST TEST.
        duplicates: second records within a site.
        updates: later A31 or A08 per HL7 record.
        duplicates_merged: A40 per HL7 duplicate.
    """

    name: str
    name_slips: tuple[tuple[NameSlip, float], ...]
    date_slips: tuple[tuple[DateSlip, float], ...]
    variant_kinds: frozenset[str]
    family_typo: float
    given_typo: float
    given_variant: float
    given_name_cut: float
    second_given_first: float
    names_swapped: float
    used_name_as_birth: float
    date_wrong: float
    default_date: float
    sex_wrong: float
    birth_place_wrong: float
    phone_wrong: float
    old_address: float
    newborn_unnamed: float
    parent_ins: float
    placeholder: float
    born_abroad_factor: float
    duplicate_factor: float
    duplicates: float
    updates: float
    duplicates_merged: float


JUDGING = Profile(
    name="judging",
    name_slips=((insert_letter, 1.0), (delete_letter, 1.6), (neighbouring_key, 1.4), (same_sound, 2.0)),
    date_slips=((swap_day_and_month, 1.0), (one_digit_off, 2.0), (year_off, 0.8)),
    variant_kinds=frozenset({"nick", "initials", "translit", "split", "contraction", "gender-typo"}),
    family_typo=0.019,
    given_typo=0.013,
    given_variant=0.012,
    given_name_cut=0.05,
    second_given_first=0.006,
    names_swapped=0.002,
    used_name_as_birth=0.05,
    date_wrong=0.011,
    default_date=0.001,
    sex_wrong=0.002,
    birth_place_wrong=0.01,
    phone_wrong=0.01,
    old_address=0.5,
    newborn_unnamed=0.7,
    parent_ins=0.003,
    placeholder=0.002,
    born_abroad_factor=1.8,
    duplicate_factor=4.0,
    duplicates=0.03,
    updates=0.08,
    duplicates_merged=0.5,
)
TUNING = Profile(
    name="tuning",
    name_slips=((any_letter, 1.0), (transpose_letters, 1.5), (double_letter, 1.5), (misheard_letter, 1.0)),
    date_slips=((month_off, 1.0), (transpose_digits, 1.0), (next_day, 1.0)),
    variant_kinds=frozenset({"spell", "variant", "breton", "foreign", "abbrev", "gender"}),
    family_typo=0.022,
    given_typo=0.014,
    given_variant=0.008,
    given_name_cut=0.08,
    second_given_first=0.004,
    names_swapped=0.004,
    used_name_as_birth=0.08,
    date_wrong=0.013,
    default_date=0.002,
    sex_wrong=0.003,
    birth_place_wrong=0.015,
    phone_wrong=0.02,
    old_address=0.4,
    newborn_unnamed=0.5,
    parent_ins=0.0,
    placeholder=0.003,
    born_abroad_factor=1.5,
    duplicate_factor=3.0,
    duplicates=0.04,
    updates=0.08,
    duplicates_merged=0.5,
)
PROFILES = {profile.name: profile for profile in (JUDGING, TUNING)}


def variants_of(given: str, kinds: frozenset[str]) -> list[str]:
    """Other forms of a given name, of some kinds."""
    return [short for short, kind in reference.given_name_variants().get(given, ()) if kind in kinds]
