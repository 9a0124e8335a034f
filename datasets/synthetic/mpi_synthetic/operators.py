"""
Slips of hands, eyes and ears: each an operator on a name or on a birth date.

The profiles share none of them, yet each profile has operators for every kind of slip that a comparison may
be asked about: a letter more or less, another letter, two exchanged, one sound for another; day and month
exchanged, one digit, one year, one part of three, another date, a default date.
"""

import random
from collections.abc import Callable
from datetime import date

from mpi.identity.model import PartialDate

AZERTY = ("AZERTYUIOP", "QSDFGHJKLM", "WXCVBN")
SOUNDS = (
    ("PH", "F"), ("AU", "O"), ("EAU", "O"), ("QU", "K"), ("TH", "T"), ("Y", "I"), ("AI", "E"), ("AN", "EN"),
    ("C", "K"), ("S", "Z"), ("G", "J"), ("OU", "W"), ("X", "S"), ("EN", "AN"),
)  # fmt: skip
ENDINGS = (
    ("EAU", "EAUX"), ("EAU", "OT"), ("AUD", "AULT"), ("AULT", "AUD"), ("OT", "EAU"), ("ET", "EZ"), ("ER", "ET"),
    ("IER", "IEZ"), ("ARD", "ART"), ("LLE", "L"), ("NNE", "N"), ("TTE", "T"), ("IE", "Y"), ("E", ""), ("S", ""),
    ("T", ""), ("D", "T"), ("I", "Y"), ("Y", "IE"), ("L", "LLE"), ("N", "NNE"),
)  # fmt: skip
LOOK_ALIKE = dict(zip("MNBPDTVFIU", "NMPBTDFVLV", strict=True))

NameSlip = Callable[[str, random.Random], str]
DateSlip = Callable[[date, random.Random], date]
DefaultDate = Callable[[date, random.Random], PartialDate]


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


def two_keys(text: str, rng: random.Random) -> str:
    return insert_letter(neighbouring_key(text, rng), rng)


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


def same_ending(text: str, rng: random.Random) -> str:
    """Write the end of a name as another that sounds like it: RENAUD as RENAULT."""
    found = [(a, b) for a, b in ENDINGS if text.endswith(a) and len(text) - len(a) + len(b) > 2]
    if not found:
        return double_letter(text, rng)
    a, b = rng.choice(found)
    return text[: -len(a)] + b


def two_letters(text: str, rng: random.Random) -> str:
    return transpose_letters(any_letter(text, rng), rng)


# --- birth dates: what a hand typed on a key pad ------------------------------------------


def day_as_month(day: date, rng: random.Random) -> date:
    """Exchange day and month, or mistype the day when it is no month."""
    if day.day > 12 or day.day == day.month:
        return digit_of_day(day, rng)
    return day.replace(month=day.day, day=day.month)


def digit_of_day(day: date, rng: random.Random) -> date:
    return _in_calendar(day.year, day.month, day.day + rng.choice((-1, 1, 3, -3, 10, -10)), day)


def year_before_or_after(day: date, rng: random.Random) -> date:
    return _in_calendar(day.year + rng.choice((-1, 1, -10, 10)), day.month, day.day, day)


def another_month(day: date, rng: random.Random) -> date:
    return _in_calendar(day.year, rng.randint(1, 12), day.day, day)


def another_date(day: date, rng: random.Random) -> date:
    """Write the birth date of somebody else, born within some years."""
    return _in_calendar(day.year + rng.randint(-4, 4), rng.randint(1, 12), rng.randint(1, 28), day)


def first_of_january(day: date, rng: random.Random) -> PartialDate:
    return PartialDate(day.year, 1, 1)


# --- birth dates: what an eye read on a paper or a screen ---------------------------------


def american_date(day: date, rng: random.Random) -> date:
    """Read the month first; a day after the twelfth is read rightly, in the month beside it."""
    if day.day <= 12 and day.day != day.month:
        return day.replace(month=day.day, day=day.month)
    return _in_calendar(day.year, (day.month + rng.choice((-2, 0))) % 12 + 1, day.day, day)


def transpose_digits(day: date, rng: random.Random) -> date:
    swapped = int(f"{day.day:02d}"[::-1])
    if rng.random() < 0.5 or swapped == day.day:
        century, year = divmod(day.year, 100)
        return _in_calendar(100 * century + int(f"{year:02d}"[::-1]), day.month, day.day, day)
    return _in_calendar(day.year, day.month, swapped, day)


def line_of_another_year(day: date, rng: random.Random) -> date:
    return _in_calendar(day.year + rng.choice((-2, -1, -1, 1, 1, 2)), day.month, day.day, day)


def another_day(day: date, rng: random.Random) -> date:
    return _in_calendar(day.year, day.month, rng.randint(1, 31), day)


def two_parts_misread(day: date, rng: random.Random) -> date:
    return _in_calendar(day.year + rng.choice((-10, -7, 6, 10)), rng.randint(1, 12), day.day, day)


def turn_of_the_year(day: date, rng: random.Random) -> PartialDate:
    """Write 1 January or, at some desks, 31 December."""
    return PartialDate(day.year, 12, 31) if rng.random() < 0.3 else PartialDate(day.year, 1, 1)


def _in_calendar(year: int, month: int, day: int, otherwise: date) -> date:
    """The date, or the day before the true one; a clerk cannot type a day that does not exist."""
    try:
        found = date(year, month, day)
    except ValueError:
        found = otherwise
    believable = found != otherwise and date(1905, 1, 1) <= found <= date(2026, 3, 1)
    return found if believable else date.fromordinal(otherwise.toordinal() - 1)
