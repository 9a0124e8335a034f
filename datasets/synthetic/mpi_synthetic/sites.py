"""
The sites: how each one writes an identity down, and what its clerks typed for one person.

Two steps, kept apart so that a later update can correct one without touching the other: `enter`
draws what was typed, errors included; `write_down` puts an entry in the site's own style.
"""

import random
import unicodedata
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from string import ascii_uppercase
from typing import Literal

from mpi.identity.ins import INS_TEST_OID
from mpi.identity.model import AssigningAuthority, Demographics, NameUse, PartialDate, PersonName

from . import reference
from .population import Address, Person
from .profiles import Profile, variants_of
from .reference import Place, Weighted

OID_ROOT = "2.999.1"
DUMMY_PHONE = "0600000000"
BIRTH_NAME_BESIDE = 0.1
"""Share of headers in the name in use that also fill Patient's Birth Name (0010,1005)."""

HeaderName = Literal["", "birth", "used", "both"]


class Feed(StrEnum):
    """What a site sends."""

    PAM_FR = "pam-fr"
    ITI_8 = "iti-8"
    DICOM = "dicom"


@dataclass(frozen=True, slots=True)
class Site:
    """
    One site and its habits. Shares are probabilities per record.

    Args:
        charset: HL7 table 0211 name, or DICOM defined term.
        family_length: characters its database keeps; 0 for all.
        used_first: sends the name in use before the birth name.
        used_name: share of known names in use that it states at all.
        used_as_birth_factor: scales the profile's rate of names in use typed as birth names.
        given_list: share of records with every birth given name.
        place_code, place_text: birth place as an INSEE code, as free text.
        validated: share of identities without INS that are validated.
        typo_factor: scales every error rate of the profile.
        number: format of its patient numbers; two sites use bare numbers, which collide.
        in_use_in_header: share of its DICOM headers that show the name in use.
        issuer_in_header: share of its DICOM headers that name the issuer.
    """

    letter: str
    index: int
    feed: Feed
    charset: str
    header_charset: str = "ISO_IR 100"
    title_case: bool = False
    accents: bool = False
    hyphen: str = "-"
    abbreviates: bool = False
    family_length: int = 0
    given_length: int = 0
    used_first: bool = False
    used_name: float = 0.9
    used_as_birth_factor: float = 1.0
    given_list: float = 0.0
    place_code: float = 0.9
    place_text: float = 0.0
    ins: float = 0.0
    validated: float = 0.5
    address: float = 0.9
    phone: float = 0.8
    dummy_phone: float = 0.0
    email: float = 0.3
    mother: float = 0.05
    birth_order: float = 0.7
    partial_dates: bool = True
    typo_factor: float = 1.0
    number: str = "{}"
    in_use_in_header: float = 0.6
    issuer_in_header: float = 0.5

    @property
    def namespace(self) -> str:
        """CX-4.1."""
        return f"SITE-{self.letter}"

    @property
    def authority(self) -> AssigningAuthority:
        """Who issues its patient numbers."""
        return AssigningAuthority(self.namespace, f"{OID_ROOT}.{self.index}", "ISO")

    @property
    def application(self) -> str:
        """MSH-3."""
        return f"RIS_{self.letter}"

    @property
    def facility(self) -> str:
        """MSH-4."""
        return f"SITE_{self.letter}"


_HABITS = (
    Site(
        "A", 1, Feed.PAM_FR, "8859/15",
        accents=True, used_first=True, used_name=0.95, used_as_birth_factor=0.4, given_list=0.8, place_code=0.95,
        ins=0.65, validated=0.6, address=0.95, phone=0.9, email=0.4, mother=0.1, typo_factor=0.8, number="A{}",
    ),
    Site(
        "B", 2, Feed.PAM_FR, "8859/1",
        hyphen=" ", abbreviates=True, family_length=20, given_length=15, used_name=0.8, given_list=0.3,
        place_code=0.75, ins=0.4, validated=0.35, address=0.85, phone=0.75, dummy_phone=0.03, email=0.15,
    ),
    Site(
        "C", 3, Feed.ITI_8, "UNICODE UTF-8", header_charset="ISO_IR 192",
        title_case=True, accents=True, used_first=True, used_name=0.85, used_as_birth_factor=1.3, place_code=0.4,
        place_text=0.5, ins=0.15, address=0.9, phone=0.8, email=0.5, birth_order=0.3, partial_dates=False,
        typo_factor=1.2, number="C-{:06d}",
    ),
    Site(
        "D", 4, Feed.DICOM, "ISO_IR 100",
        hyphen=" ", abbreviates=True, family_length=24, used_as_birth_factor=0.0, place_code=0.0, ins=0.12,
        address=0.0, phone=0.05, email=0.0, birth_order=0.0, partial_dates=False, typo_factor=1.4,
    ),
)  # fmt: skip


def default_sites(count: int) -> tuple[Site, ...]:
    """
    Four sites with habits of their own, then more of the first three kinds.

    Raises:
        ValueError: no site at all.
    """
    if count < 1:
        raise ValueError("a federation needs one site or more")
    more = (
        replace(
            _HABITS[index % 3],
            letter=_letter(index),
            index=index + 1,
            number=_letter(index) + "{}",
            typo_factor=round(_HABITS[index % 3].typo_factor * (0.8 + 0.2 * (index % 4)), 2),
        )
        for index in range(4, count)
    )
    return _HABITS[:count] + tuple(more)


def _letter(index: int) -> str:
    return ascii_uppercase[index] if index < 26 else _letter(index // 26 - 1) + ascii_uppercase[index % 26]


@dataclass(frozen=True, slots=True)
class StatedRecord:
    """
    What one site states of one person.

    Args:
        record_id: unique in the federation.
        person_id: the truth; `NOBODY-…` for test patients.
        site: namespace of the site.
        channel: `hl7` or `dicom`.
        issuer_stated: False for a header that leaves its issuer out.
    """

    record_id: str
    person_id: str
    site: str
    local_id: str
    demographics: Demographics
    event_time: datetime
    channel: str
    issuer_stated: bool = True


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
    codes: tuple[str, ...] = ()
    header_name: HeaderName = ""
    """For a header, the name it shows."""
    unnamed: bool = False
    """A newborn without a given name yet."""
    wrong: frozenset[str] = frozenset()
    """Names of the strict traits that differ from the truth, for whoever corrects them later."""


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
            wrong=entry.wrong | {"given"},
        )
    if entry.interpreted or (entry.birth_date and entry.birth_date.day is None):
        ins = ""
    minor = on_day.year - person.birth_date.year < 18
    if ins and minor and mother and mother.ins and rng.random() < profile.parent_ins:
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
        mother_birth_name=person.mother_birth_name if newborn or rng.random() < site.mother else "",
        birth_order=person.birth_order if rng.random() < site.birth_order else None,
        codes=(status,) if site.feed is Feed.PAM_FR or ins else (),
    )


def _strict_traits(person: Person, site: Site, profile: Profile, rng: random.Random, factor: float) -> Entry:
    wrong = set()
    family, given = person.birth_family, person.given_names[0]
    used_family = person.used_family if rng.random() < site.used_name else ""
    confused = profile.used_name_as_birth * site.used_as_birth_factor * min(factor, 2.0)
    if used_family and rng.random() < confused:
        family, used_family = used_family, ""
        wrong.add("family")
    if rng.random() < profile.family_typo * factor:
        family = _slip(family, profile, rng)
        wrong.add("family")
    typed_given = _given_as_typed(person, profile, rng, factor)
    if typed_given != given:
        given = typed_given
        wrong.add("given")
    if rng.random() < profile.names_swapped * factor * (2 if person.born_abroad else 1):
        family, given = given, family
        wrong |= {"family", "given"}
    birth_date, interpreted = _birth_date(person, site, profile, rng, factor)
    if birth_date != _whole(person.birth_date):
        wrong.add("birth_date")
    sex = person.sex
    if rng.random() < profile.sex_wrong * factor:
        sex = rng.choice(("U", "FM".replace(sex, "")))
        wrong.add("sex")
    place = person.birth_place
    if rng.random() < profile.birth_place_wrong * factor and not place.abroad:
        place = reference.towns(place.department).draw(rng)
        wrong.add("place")
    keeps_list = rng.random() < site.given_list and "given" not in wrong
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


def _given_as_typed(person: Person, profile: Profile, rng: random.Random, factor: float) -> str:
    given = person.given_names[0]
    if "-" in given and rng.random() < profile.given_name_cut * factor:
        return given.split("-")[0]
    if len(person.given_names) > 1 and rng.random() < profile.second_given_first * factor:
        return person.given_names[1]
    if rng.random() < profile.given_variant * factor and (
        variants := variants_of(without_accents(given), profile.variant_kinds)
    ):
        return rng.choice(variants)
    if rng.random() < profile.given_typo * factor:
        return _slip(given, profile, rng)
    return given


def _slip(name: str, profile: Profile, rng: random.Random) -> str:
    """Apply one operator of the profile, one that changes the name."""
    operators, weights = zip(*profile.name_slips, strict=True)
    for _ in range(5):
        changed: str = rng.choices(operators, weights)[0](name, rng)
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
        return PartialDate(day.year, 1, 1), None
    if rng.random() < profile.date_wrong * factor:
        operators, weights = zip(*profile.date_slips, strict=True)
        return _whole(rng.choices(operators, weights)[0](day, rng)), None
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


def write_down(entry: Entry, site: Site) -> Demographics:
    """Put an entry in the style of a site."""
    style = _Style(site)
    place = entry.place
    names = _header_names if entry.header_name or site.feed is Feed.DICOM else _names
    return Demographics(
        names=names(entry, style),
        birth_date=entry.birth_date,
        birth_date_interpreted=entry.interpreted,
        sex=entry.sex,
        birth_place_code=place.code if place and entry.place_as_code else "",
        birth_place=style.text(place.name) if place and entry.place_as_text else "",
        address=style.address(entry.home.street) if entry.home else "",
        postal_code=entry.home.postal_code if entry.home else "",
        city=style.text(entry.home.city) if entry.home else "",
        country="FRA" if entry.home else "",
        phones=entry.phones,
        emails=entry.emails,
        ins=entry.ins,
        ins_oid=INS_TEST_OID if entry.ins else "",
        mother_birth_name=style.family(entry.mother_birth_name),
        birth_order=entry.birth_order,
        multiple_birth=True if entry.birth_order else None,
        identity_codes=entry.codes,
    )


def _names(entry: Entry, style: "_Style") -> tuple[PersonName, ...]:
    birth = PersonName(
        style.family(entry.family),
        style.given(entry.given),
        " ".join(style.given(name) for name in entry.given_list),
        use=NameUse.BIRTH,
    )
    if not (entry.used_family or entry.used_given):
        return (birth,)
    used = PersonName(
        style.family(entry.used_family or entry.family),
        style.given(entry.used_given or entry.given),
        use=NameUse.USED,
    )
    return (used, birth) if style.site.used_first else (birth, used)


def header_name(site: Site, rng: random.Random) -> HeaderName:
    """Draw which name a header shows: that in use or that of birth, nobody says which."""
    if rng.random() >= site.in_use_in_header:
        return "birth"
    return "both" if rng.random() < BIRTH_NAME_BESIDE else "used"


def _header_names(entry: Entry, style: "_Style") -> tuple[PersonName, ...]:
    in_use = entry.header_name in ("used", "both")
    family = (in_use and entry.used_family) or entry.family
    given = (in_use and entry.used_given) or entry.given
    shown = PersonName(style.family(family), style.given(given), use=NameUse.UNSPECIFIED)
    if entry.header_name != "both" or not entry.used_family:
        return (shown,)
    return (shown, PersonName(style.family(entry.family), style.given(entry.given), use=NameUse.BIRTH))


@dataclass(frozen=True, slots=True)
class _Style:
    site: Site

    def text(self, text: str) -> str:
        """Case and accents of the site."""
        text = text.upper() if self.site.accents else without_accents(text)
        if self.site.abbreviates:
            text = text.replace("SAINT-", "ST ").replace("SAINTE-", "STE ")
        return _title(text) if self.site.title_case else text

    def address(self, street: str) -> str:
        text = self.text(street)
        if self.site.abbreviates:
            for long, short in (("AVENUE", "AV"), ("BOULEVARD", "BD"), ("IMPASSE", "IMP"), ("CHEMIN", "CHE")):
                text = text.replace(long, short)
        return text

    def family(self, name: str) -> str:
        return self._cut(self.text(name).replace("-", self.site.hyphen), self.site.family_length)

    def given(self, name: str) -> str:
        return self._cut(self.text(name).replace("-", self.site.hyphen), self.site.given_length)

    @staticmethod
    def _cut(text: str, length: int) -> str:
        return text[:length].rstrip() if length else text


def _title(text: str) -> str:
    """JEAN-PIERRE D'ARC as Jean-Pierre D'Arc."""
    return "".join(
        letter if at == 0 or not text[at - 1].isalnum() else letter.lower() for at, letter in enumerate(text)
    )


def without_accents(text: str) -> str:
    """Upper case, ASCII letters only."""
    text = text.upper().replace("Œ", "OE").replace("Æ", "AE").replace("’", "'")
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))
