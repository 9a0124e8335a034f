"""
What a clerk typed for one person, errors included, before the style of the site.

Kept apart from the style (`style.write_down`), so that a later update corrects one without touching the other.
"""

import random
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from mpi.identity.model import PartialDate

from . import reference
from .forms import TRANSLITERATED, another_form, respell
from .population import Address, Person
from .profiles import Profile, variants_of
from .reference import Place, Weighted
from .sites import Feed, Site
from .spelling import without_accents

DUMMY_PHONE = "0600000000"
BIRTH_NAME_BESIDE = 0.1
"""Share of headers in the name in use that also fill Patient's Birth Name (0010,1005)."""
SWAPPED_MORE = {"asia": 12.0, "creole": 6.0, "comoros": 6.0, "sahel": 3.0, "maghreb": 2.0, "iberia": 1.5}
"""How much oftener family and given name change places when a clerk cannot tell which is which."""
STILL_UNDER_NIA = 0.5

HeaderName = Literal["", "birth", "used", "both"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a clerk typed, before the style of the site."""

    family: str
    given: str
    given_list: tuple[str, ...] = ()
    used_family: str = ""
    used_given: str = ""
    birth_date: PartialDate | None = None
    interpreted: bool | None = None
    sex: str = ""
    place: Place | None = None
    place_as_code: bool = False
    place_as_text: bool = False
    home: Address | None = None
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    ins: str = ""
    mother_birth_name: str = ""
    birth_order: int | None = None
    nia: bool = False
    """The INS is a NIA."""
    codes: tuple[str, ...] = ()
    header_name: HeaderName = ""
    """For a header, the name it shows."""
    unnamed: bool = False
    """A newborn without a given name yet."""
    wrong: frozenset[str] = frozenset()
    """Names of the traits that differ from the truth, for whoever corrects them later."""


_NEWBORN = Weighted([("BEBE", 4.0), ("BB", 3), ("NOUVEAU-NE", 1), ("ENFANT", 1)])


def enter(
    person: Person,
    site: Site,
    profile: Profile,
    rng: random.Random,
    on_day: date,
    *,
    mother: Person | None = None,
    duplicate: bool = False,
) -> Entry:
    """Draw what a clerk of a site types for a person."""
    factor = site.typo_factor
    if duplicate:
        factor *= profile.duplicate_factor
    if person.born_abroad:
        factor *= profile.born_abroad_factor
    newborn = (on_day - person.birth_date).days <= 7 and rng.random() < profile.newborn_unnamed
    ins = "" if newborn or duplicate or rng.random() >= site.ins else person.ins
    if ins:
        factor *= 0.1  # The traits of a qualified identity come from the national service.
    entry = _strict_traits(person, site, profile, rng, factor)
    if newborn:
        number = str(person.birth_order) if person.twin else ""
        entry = replace(
            entry,
            given=_NEWBORN.draw(rng) + number,
            given_list=(),
            used_given="",
            unnamed=True,
            wrong=entry.wrong | {"unnamed"},
        )
    if entry.interpreted or (entry.birth_date and entry.birth_date.day is None):
        ins = ""
    minor = on_day.year - person.birth_date.year < 18
    nia = bool(ins and person.nia) and rng.random() < STILL_UNDER_NIA
    if nia:
        ins = person.nia
    elif ins and minor and mother and mother.ins and rng.random() < profile.parent_ins:
        ins = mother.ins
    status = "VALI" if ins or (not newborn and rng.random() < site.validated) else "PROV"
    former = person.former_home if rng.random() < profile.old_address else None
    return replace(
        entry,
        place_as_code=site.feed is not Feed.DICOM and (bool(ins) or rng.random() < site.place_code),
        place_as_text=rng.random() < site.place_text,
        home=(former or person.home) if rng.random() < site.address else None,
        phones=_phones(person, site, profile, rng),
        emails=(person.email,) if person.email and rng.random() < site.email else (),
        ins=ins,
        nia=nia,
        mother_birth_name=person.mother_birth_name if newborn or rng.random() < site.mother else "",
        birth_order=person.birth_order if rng.random() < site.birth_order else None,
        codes=(status,) if site.feed is Feed.PAM_FR or ins else (),
    )


def _strict_traits(person: Person, site: Site, profile: Profile, rng: random.Random, factor: float) -> Entry:
    wrong = set()
    used_family = person.used_family if rng.random() < site.used_name else ""
    birth_family = person.birth_family
    confused = profile.used_name_as_birth * site.used_as_birth_factor * min(factor, 2.0)
    if used_family and rng.random() < confused:
        birth_family, used_family = used_family, ""
        wrong.add("used_name")
    family = _family_as_typed(birth_family, person, profile, rng, factor)
    if family != birth_family:
        wrong.add("family")
    given = _given_as_typed(person, profile, rng, factor)
    if given != person.given_names[0]:
        wrong.add("given")
    swapped = profile.names_swapped * factor * SWAPPED_MORE.get(person.naming, 1.0)
    if rng.random() < swapped:
        family, given = given, family
        wrong.add("names_swapped")
    birth_date, interpreted = _birth_date(person, site, profile, rng, factor)
    if birth_date != _whole(person.birth_date):
        wrong.add("birth_date")
    sex = person.sex
    if rng.random() < profile.sex_wrong * factor:
        sex = rng.choice(("U", "FM".replace(sex, "")))
        wrong.add("sex")
    place = person.birth_place
    if place.code_now and rng.random() < profile.present_code * site.present_code:
        place = replace(place, code=place.code_now)
    if rng.random() < profile.birth_place_wrong * factor and not place.abroad:
        place = reference.towns(place.department_now).draw(rng)
        wrong.add("place")
    keeps_list = rng.random() < site.given_list and not wrong & {"given", "names_swapped"}
    return Entry(
        family,
        given,
        given_list=person.given_names if keeps_list else (),
        used_family=used_family,
        used_given=person.used_given if rng.random() < site.used_name else "",
        birth_date=birth_date,
        interpreted=interpreted,
        sex=sex,
        place=place,
        wrong=frozenset(wrong),
    )


def _family_as_typed(family: str, person: Person, profile: Profile, rng: random.Random, factor: float) -> str:
    if rng.random() < profile.other_form * factor:
        known = profile.family_forms + (profile.arabic_forms if person.naming == "maghreb" else ())
        if person.naming in TRANSLITERATED and rng.random() < 0.5:
            return respell(family, profile.spelling, rng) or family
        return another_form(family, known, rng)
    return _slip(family, profile, rng) if rng.random() < profile.family_typo * factor else family


def _given_as_typed(person: Person, profile: Profile, rng: random.Random, factor: float) -> str:
    given = person.given_names[0]
    if "-" in given and rng.random() < profile.given_name_cut * factor:
        return given.split("-")[0]
    if len(person.given_names) > 1 and rng.random() < profile.second_given_first * factor:
        return person.given_names[1]
    if rng.random() < profile.other_form * factor:
        if person.naming in TRANSLITERATED:
            return respell(given, profile.spelling, rng) or given
        return another_form(given, profile.given_forms, rng)
    if rng.random() < profile.given_variant * factor and (
        variants := variants_of(without_accents(given), profile.variant_kinds)
    ):
        return rng.choice(variants)
    return _slip(given, profile, rng) if rng.random() < profile.given_typo * factor else given


def _slip(name: str, profile: Profile, rng: random.Random) -> str:
    """Apply one operator of the profile, one that changes the name."""
    operators = Weighted(profile.name_slips)
    for _ in range(5):
        changed = operators.draw(rng)(name, rng)
        if changed != name and len(changed) > 1:
            return changed
    return name + "E"


def _birth_date(
    person: Person, site: Site, profile: Profile, rng: random.Random, factor: float
) -> tuple[PartialDate, bool | None]:
    day = person.birth_date
    if not person.birth_day_known:
        chance = rng.random()
        if chance < 0.12 and site.partial_dates:
            return PartialDate(day.year), None
        if chance < 0.24:
            day = day.replace(month=1, day=1) if day.month == 12 else day.replace(month=12, day=31)
        return _whole(day), (True if site.feed is Feed.PAM_FR and rng.random() < 0.4 else None)
    if rng.random() < profile.default_date * factor:
        return profile.default_date_as(day, rng), None
    if site.partial_dates and rng.random() < profile.year_only * factor:
        return PartialDate(day.year), None
    if rng.random() < profile.date_wrong * factor:
        return _whole(Weighted(profile.date_slips).draw(rng)(day, rng)), None
    return _whole(day), None


def _whole(day: date) -> PartialDate:
    return PartialDate(day.year, day.month, day.day)


def _phones(person: Person, site: Site, profile: Profile, rng: random.Random) -> tuple[str, ...]:
    if rng.random() < site.dummy_phone:
        return (DUMMY_PHONE,)
    known = [number for number in (person.mobile, person.landline) if number and rng.random() < site.phone]
    if known and rng.random() < profile.phone_wrong * site.typo_factor:
        at = rng.randrange(4, 10)
        known[0] = known[0][:at] + str((int(known[0][at]) + 1) % 10) + known[0][at + 1 :]
    return tuple(known)


def unknown_patient(site: Site, person: Person, rng: random.Random) -> Entry:
    """Draw the entry of somebody who could not say who they were."""
    family, given = rng.choice((("INCONNU", "X"), ("X", "INCONNU"), ("XX", "XX"), ("SANS NOM", "ANONYME")))
    guess = PartialDate(person.birth_date.year // 10 * 10, 1, 1)
    birth_date = rng.choice((None, PartialDate(1900, 1, 1), guess))
    return Entry(family, given, birth_date=birth_date, sex=person.sex, codes=_fictitious(site))


def test_patient(site: Site, rng: random.Random) -> Entry:
    """Draw the entry of the patient who tries the machines out."""
    day = PartialDate(1900, 1, 1)
    family, given = rng.choice((("TEST", "TEST"), ("TEST", "PATIENT"), ("ZZTEST", "NE PAS UTILISER")))
    return Entry(family, given, birth_date=day, sex=rng.choice("MFU"), codes=_fictitious(site))


test_patient.__test__ = False  # type: ignore[attr-defined]  # its name is not that of a test


def _fictitious(site: Site) -> tuple[str, ...]:
    return ("PROV", "FICT") if site.feed is Feed.PAM_FR else ()


def header_name(site: Site, rng: random.Random) -> HeaderName:
    """Draw which name a header shows: that in use or that of birth, nobody says which."""
    if rng.random() >= site.in_use_in_header:
        return "birth"
    return "both" if rng.random() < BIRTH_NAME_BESIDE else "used"


def corrected(entry: Entry, person: Person) -> Entry:
    """The entry with its strict traits as on the person's papers."""
    return replace(
        entry,
        family=person.birth_family,
        given=person.given_names[0],
        used_family=entry.used_family or person.used_family,
        birth_date=_whole(person.birth_date),
        sex=person.sex,
        place=person.birth_place,
        unnamed=False,
        wrong=frozenset(),
    )
