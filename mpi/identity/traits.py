"""
Demographics as sent -> traits for comparison.

The reference form is never altered; what is here is derived and may be derived again. A
placeholder is a missing value: agreeing on INCONNU is agreeing on nothing.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from unidecode import unidecode

from mpi.identity.ins import (
    INS_NIA_OID,
    NEVER_LINKED_AUTOMATICALLY,
    IdentityAttribute,
    IdentityStatus,
    status_from_pid_32,
)
from mpi.identity.model import Demographics, NameUse, PartialDate, PersonName, plain_fields

MAX_TRAIT_LENGTH = 256
"""Longer text is cut before it is compared: nobody's name is that long, and distances are quadratic."""
_MAX_RAW_LENGTH = 4 * MAX_TRAIT_LENGTH
"""What is read of a text at all: folding may only shorten it by what it strips."""

_PLACEHOLDER_FAMILY = frozenset(
    [
        "INCONNU",
        "INCONNUE",
        "ANONYME",
        "ANONYMUS",
        "ANONYMOUS",
        "TEST",
        "TESTE",
        "ESSAI",
        "PATIENT",
        "NOM",
        "NONE",
        "NULL",
        "NA",
        "UNKNOWN",
        "NON",
        "RENSEIGNE",
        "SNP",
        "SDF",
        "FICTIF",
        "FICTIVE",
        "DOE",
        "PHANTOM",
        "FANTOME",
        "QC",
        "NC",
        "NR",
    ]
) | {
    "SANS NOM",
    "NON RENSEIGNE",
    "NON CONNU",
    "NON COMMUNIQUE",
    "SANS IDENTITE",
    "NOM INCONNU",
    "ANONYME X",
    "JOHN DOE",
}
_PLACEHOLDER_GIVEN = _PLACEHOLDER_FAMILY | {"PRENOM", "SANS PRENOM", "SP", "MONSIEUR", "MADAME", "MR", "MME"}
_NEWBORN_GIVEN = re.compile(
    r"(?:(?:BEBE|BB|NNE?|NOUVEAU NE|NOUVEAUNE|ENFANT|FILLE|GARCON|FILS|JUMEAU|JUMELLE)"
    r"(?: (?:FILLE|GARCON|FILS|JUMEAU|JUMELLE|MASCULIN|FEMININ|[MF]))?(?: ?\d| [AB])?)"
    r"(?: (?:DE|DU|D|A|B|N)\b.*)?"
)
_NEWBORN_FAMILY = re.compile(
    r"(?:BEBE|BB|NNE?|NOUVEAU NE|NOUVEAUNE)(?: .*)?|(?:ENFANT|FILLE|FILS|GARCON) (?:DE|DU|D)\b.*"
)
_NO_PLACES = frozenset({"FRANCE", "ETRANGER"})
_NO_PLACE_CODES = frozenset({"99", "99999", "00000", "99100"})
"""Unknown, or France, which says nothing of where."""
_NO_MAILBOXES = frozenset(
    [
        "inconnu",
        "anonyme",
        "test",
        "noreply",
        "nomail",
        "no-mail",
        "sansmail",
        "pasdemail",
        "xxx",
        "x",
        "aucun",
        "mail",
    ]
)
_FILLER = re.compile(r"([XZ])\1*|(.)\2{2,}|\?+|\d+")
_SEPARATORS = re.compile(r"[^A-Z0-9]+")
_MOJIBAKE = re.compile("[ÃÂ][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u0192\u2013-\u2122]")
_PARTICLES = frozenset(
    [
        "DE",
        "DU",
        "DES",
        "D",
        "LE",
        "LA",
        "LES",
        "L",
        "VAN",
        "VON",
        "DER",
        "DEN",
        "BEN",
        "BENT",
        "EL",
        "AL",
        "ABD",
        "ABDEL",
        "ABOU",
        "AIT",
        "OULD",
        "MC",
        "MAC",
        "SAN",
        "DA",
        "DOS",
    ]
)
_PHONE_FILLERS = frozenset({"0102030405", "0123456789", "0605040302", "0601020304"})
_NUMBER_FILLERS = frozenset({"1234567890", "123456789", "12345678"})
_STRIPPED = frozenset({"Cf", "Cc", "Cs"})
"""Bidi and zero-width characters, controls, halves of a pair."""


def normal_text(text: str) -> str:
    """
    Fold a text for comparison: no accents, ligatures opened, upper case, one space between words.

    Hyphens, apostrophes and dots become spaces; bidi and zero-width characters disappear;
    UTF-8 read as Latin-1 (`Ã©`) is repaired. At most `MAX_TRAIT_LENGTH` characters, whole words.
    """
    return _folded(text[:_MAX_RAW_LENGTH])  # cut first: what is cached must not be a megabyte


@lru_cache(maxsize=500_000)
def _folded(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", _repaired(text))
        text = unidecode("".join(char for char in text if unicodedata.category(char) not in _STRIPPED))
    return _cut(_SEPARATORS.sub(" ", text.upper()).strip())


def _cut(text: str) -> str:
    """At a space where there is one, so that no word becomes another and a second cut changes nothing."""
    if len(text) <= MAX_TRAIT_LENGTH:
        return text
    return text[: MAX_TRAIT_LENGTH + 1].rpartition(" ")[0] or text[:MAX_TRAIT_LENGTH]


def _repaired(text: str) -> str:
    """UTF-8 that was read as Windows-1252 or Latin-1, as it was written; anything else as it is."""
    if _MOJIBAKE.search(text):
        for codec in ("cp1252", "latin-1"):
            try:
                return text.encode(codec).decode("utf-8")
            except UnicodeError:
                continue
    return text


def is_damaged(text: str) -> bool:
    """
    Whether the folded spelling of a name is a guess: some letter was not what the person is called by.

    Mojibake, repaired or not; a character that was lost (`?` inside a word, U+FFFD); a letter of
    another script, transliterated. A Latin letter that France does not write (Ñ, Š, Ø) is no
    damage: the INS carries A to Z only, and folds it as we do.

    Source: INS guide, letters of the strict traits.
    """
    text = text[:_MAX_RAW_LENGTH]
    if text.isascii():
        return "?" in text.strip("? ")
    return _MOJIBAKE.search(text) is not None or any(_is_foreign(char) for char in text)


@lru_cache(maxsize=5_000)
def _is_foreign(char: str) -> bool:
    if char == "\ufffd":
        return True
    return char.isalpha() and not char.isascii() and not unicodedata.name(char, "").startswith("LATIN ")


@lru_cache(maxsize=500_000)
def _with_saint(text: str) -> str:
    words = text.split(" ")
    return _cut(" ".join({"ST": "SAINT", "STE": "SAINTE"}.get(word, word) for word in words))


def normal_name(text: str) -> str:
    """`normal_text`, with SAINT and SAINTE spelled out."""
    return _with_saint(normal_text(text))


def without_particles(name: str) -> str:
    """The name without its particles, or the name itself if nothing else is in it."""
    kept = [word for word in name.split(" ") if word not in _PARTICLES]
    return " ".join(kept) or name


def _unless_placeholder(name: str) -> str:
    return "" if name in _PLACEHOLDER_FAMILY or _FILLER.fullmatch(name) else name


def _family(text: str) -> str:
    name = _unless_placeholder(normal_name(text))
    return "" if _NEWBORN_FAMILY.fullmatch(name) else name


def _place(text: str) -> str:
    name = _unless_placeholder(normal_name(text))
    return "" if name in _NO_PLACES else name


def _is_newborn_naming(given: str) -> bool:
    return bool(_NEWBORN_GIVEN.fullmatch(given))


def _says_newborn(name: PersonName) -> bool:
    """GARCON and FILLE are family names too: in that slot it takes more than the word."""
    return _is_newborn_naming(normal_name(name.given)) or bool(
        _NEWBORN_FAMILY.fullmatch(normal_name(name.family))
    )


def _given(text: str) -> str:
    name = normal_name(text)
    if name in _PLACEHOLDER_GIVEN or _FILLER.fullmatch(name) or _is_newborn_naming(name):
        return ""
    return name


def _given_names(given: str, given_list: str) -> tuple[str, ...]:
    """First birth given name, then the others; a hyphenated name stays one, its words apart."""
    listed = tuple(name for part in re.split(r"[\s,]+", given_list) if (name := _given(part)))
    first = _given(given)
    if not first:
        return listed
    words = " ".join(listed).split(" ")
    first_words = first.split(" ")
    if (
        words[: len(first_words)] == first_words
    ):  # the list repeats the first name, as it must (INS guide ID 10)
        rest, to_skip = [], len(first_words)
        for name in listed:
            count = len(name.split(" "))
            if to_skip > 0:
                to_skip -= count
            else:
                rest.append(name)
        return (first, *rest)
    return (first, *(name for name in listed if name != first))


def normal_phone(text: str) -> str:
    """Ten national digits where possible, else the digits; empty for fillers."""
    return _phone(text[:MAX_TRAIT_LENGTH])


@lru_cache(maxsize=200_000)
def _phone(text: str) -> str:
    digits = re.sub(r"[^0-9]", "", text)
    if digits.startswith("0033"):
        digits = "0" + digits[4:].removeprefix("0")
    elif digits.startswith("33") and len(digits) in (11, 12):
        digits = "0" + digits[2:].removeprefix("0")
    if len(digits) < 6 or len(set(digits[2:])) == 1 or digits in _PHONE_FILLERS:
        return ""
    return digits


def normal_city(text: str) -> str:
    """Town name without CEDEX, ST spelled out; postal codes in it dropped."""
    return _town(normal_name(text))


def normal_address(text: str) -> str:
    """Number and street, the usual abbreviations of streets spelled out; empty for a placeholder."""
    address = _street(normal_name(text))
    return "" if address in _PLACEHOLDER_FAMILY or _FILLER.fullmatch(address) else address


_STREETS = {
    "R": "RUE", "AV": "AVENUE", "AVE": "AVENUE", "BD": "BOULEVARD", "BLD": "BOULEVARD", "BVD": "BOULEVARD",
    "CH": "CHEMIN", "CHE": "CHEMIN", "PL": "PLACE", "IMP": "IMPASSE", "ALL": "ALLEE", "RTE": "ROUTE",
    "RES": "RESIDENCE",
}  # fmt: skip


def _street(name: str) -> str:
    return " ".join([_STREETS.get(word, word) for word in name.split(" ")])


@lru_cache(maxsize=100_000)
def _town(name: str) -> str:
    name = re.sub(r"\bCEDEX\b.*", "", name)
    return " ".join(re.sub(r"\d+", "", name).split())


def _is_filled(code: str) -> bool:
    """INCONNU, XXXXX, 00000, 123456789: what is typed where a number is asked for."""
    return len(set(code)) == 1 or code in _NUMBER_FILLERS or code in _PLACEHOLDER_FAMILY


def _number(text: str) -> str:
    code = normal_text(text).replace(" ", "")
    return "" if _is_filled(code) else code


def _place_code(text: str) -> str:
    code = _number(text)
    return "" if code in _NO_PLACE_CODES else code


def _mailbox(text: str) -> str:
    box = text[: MAX_TRAIT_LENGTH + 1].strip().lower()
    who, at, where = box.partition("@")
    return "" if not (who and at and where) or who in _NO_MAILBOXES or len(box) > MAX_TRAIT_LENGTH else box


def _is_default_date(date: PartialDate) -> bool:
    """
    Whether a date is one that is written when the true one is unknown.

    Source: RNIV, interpreted birth dates. The first of another month is common too, but so are
    true ones: the comparison has a level for it.
    """
    return (date.month, date.day) in {(1, 1), (12, 31)} or date.year <= 1900


@dataclass(frozen=True, slots=True)
class Traits:
    """
    One identity, normalised for comparison. Empty, None and () mean missing.

    Args:
        family_damaged, given_damaged: some letter was repaired or transliterated (see `is_damaged`):
            the name may still agree, never letter for letter.
        given_names: the first birth given name first; a compound keeps its words apart by spaces.
        birth_date_default: the date is one written for want of the true one, or interpreted.
        ins_temporary: it is a NIA, which a NIR replaces one day: differing from a NIR says nothing.
        newborn: the given name was a stand-in such as BEBE.
        status, attributes: RNIV confidence, from PID-32 and the presence of an INS.
    """

    birth_name: str = ""
    used_name: str = ""
    given_names: tuple[str, ...] = ()
    used_given_name: str = ""
    family_damaged: bool = False
    given_damaged: bool = False
    birth_date: PartialDate | None = None
    birth_date_default: bool = False
    sex: str = ""
    birth_place_code: str = ""
    birth_place: str = ""
    address: str = ""
    postal_code: str = ""
    city: str = ""
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    national_id: str = ""
    ins: str = ""
    ins_temporary: bool = False
    mother_birth_name: str = ""
    birth_order: int | None = None
    multiple_birth: bool = False
    newborn: bool = False
    status: IdentityStatus = IdentityStatus.PROVISIONAL
    attributes: frozenset[IdentityAttribute] = frozenset()

    @property
    def family_names(self) -> tuple[str, ...]:
        """Birth name then used name, those that are there, without repetition."""
        return tuple(dict.fromkeys(name for name in (self.birth_name, self.used_name) if name))

    @property
    def qualified_ins(self) -> str:
        """The permanent INS when the identity is qualified; empty otherwise. Two of them are two people."""
        return self.ins if self.status is IdentityStatus.QUALIFIED and not self.ins_temporary else ""

    @property
    def may_be_linked_automatically(self) -> bool:
        """False for doubtful, fictitious, anonymous, hidden, colliding or usurped identities."""
        return not (self.attributes & NEVER_LINKED_AUTOMATICALLY)

    def to_json(self) -> dict[str, Any]:
        """Only what is present, in JSON types."""
        return plain_fields(self, absent=(None, "", (), frozenset(), False))

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Read back what `to_json` wrote."""
        values = dict(stored)
        if "birth_date" in values:
            values["birth_date"] = PartialDate.parse(values["birth_date"])
        for name in ("given_names", "phones", "emails"):
            if name in values:
                values[name] = tuple(values[name])
        if "status" in values:
            values["status"] = IdentityStatus(values["status"])
        if "attributes" in values:
            values["attributes"] = frozenset(IdentityAttribute(code) for code in values["attributes"])
        return cls(**values)


def normalise(stated: Demographics) -> Traits:
    """
    Derive the traits of one identity.

    Names typed L are birth names, D used names; an untyped name takes the birth slot when no
    birth name is there, else the used one: the comparison looks across slots anyway.
    Pseudonyms are not compared.
    """
    birth = next((name for name in stated.names if name.use is NameUse.BIRTH), None)
    used = next((name for name in stated.names if name.use is NameUse.USED), None)
    untyped = next((name for name in stated.names if name.use is NameUse.UNSPECIFIED), None)
    if birth is None:
        birth, untyped = untyped, None
    elif used is None:
        used, untyped = untyped, None
    birth_name = _family(birth.family) if birth else ""
    used_name = _family(used.family) if used else ""
    given_names = _given_names(birth.given, birth.given_list) if birth else ()
    used_given = _given(used.given) if used else ""
    if not given_names and used is not None:
        given_names = _given_names(used.given, used.given_list)
    date = stated.birth_date
    if date is not None and (date.year < 1850 or (date.year, date.month, date.day) == (1900, 1, 1)):
        date = None
    status, attributes = status_from_pid_32(stated.identity_codes, has_ins=bool(stated.ins))
    compared = [name for name in (birth, used) if name is not None]
    return Traits(
        birth_name=birth_name,
        used_name="" if used_name == birth_name else used_name,
        given_names=given_names,
        used_given_name="" if given_names and used_given == given_names[0] else used_given,
        family_damaged=any(is_damaged(name.family) for name in compared),
        given_damaged=any(is_damaged(name.given) or is_damaged(name.given_list) for name in compared),
        birth_date=date,
        birth_date_default=date is not None
        and (bool(stated.birth_date_interpreted) or _is_default_date(date)),
        sex=stated.sex if stated.sex in ("M", "F") else "",
        birth_place_code=_place_code(stated.birth_place_code),
        birth_place=_place(stated.birth_place),
        address=normal_address(stated.address),
        postal_code=_number(stated.postal_code),
        city=_unless_placeholder(normal_city(stated.city)),
        phones=tuple(sorted({phone for text in stated.phones if (phone := normal_phone(text))})),
        emails=tuple(sorted({box for text in stated.emails if (box := _mailbox(text))})),
        national_id=_number(stated.national_id),
        ins=stated.ins,
        ins_temporary=bool(stated.ins) and stated.ins_oid == INS_NIA_OID,
        mother_birth_name=_family(stated.mother_birth_name),
        birth_order=stated.birth_order,
        multiple_birth=bool(stated.multiple_birth) or (stated.birth_order or 0) > 1,
        newborn=any(_says_newborn(name) for name in stated.names),
        status=status,
        attributes=attributes,
    )
