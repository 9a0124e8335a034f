"""
One person as flat named traits, as CSV columns and JSON carry them: to `Demographics` and back.

The trait names are a contract with the scripts of others. A wrong value is refused with the
trait's name and the problem, never with the value.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

from mpi.errors import InvalidIdentity
from mpi.identity.ins import INS_NIR_OID, IdentityAttribute, IdentityStatus, InvalidMatricule, parse_matricule
from mpi.identity.model import Demographics, NameUse, PartialDate, PersonName

MAX_VALUE_LENGTH = 256
_REPEATS = "~"
_PLAIN_TEXT = ("address", "postal_code", "city", "country", "national_id", "mother_birth_name")
_NAMES = ("birth_name", "used_name", "given_names", "used_given_name")
TRAIT_NAMES = (
    "birth_name", "used_name", "given_names", "used_given_name", "birth_date", "sex", "birth_place",
    "address", "postal_code", "city", "country", "phone", "email", "national_id", "ins",
    "mother_birth_name", "birth_order", "multiple_birth", "identity_status",
)  # fmt: skip
"""Every trait a table or a JSON object may carry, beside the record's own identifier and domain."""

_FIELD_NAME = re.compile(r"[a-z][A-Za-z_]{0,39}")
_DATE = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2})?)?|\d{6}|\d{8}", re.ASCII)
_DATE_AND_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}|\d{8})[T ][0-9:.+Z-]*", re.ASCII)
_INSEE_CODE = re.compile(r"(?:\d{2}|2[AB])\d{3}", re.ASCII)
_YES = frozenset({"true", "1", "y", "yes", "o", "oui"})
_NO = frozenset({"false", "0", "n", "no", "non"})
_UNPRINTABLE = frozenset({"Cc", "Cs"})
_STATUS_CODES = {
    "PROV": "PROV",
    "RECUP": "RECUP",
    "VALI": "VALI",
    "QUAL": "VALI",
}
_KNOWN_CODES = frozenset(_STATUS_CODES) | {attribute.value for attribute in IdentityAttribute}


def demographics_from_mapping(mapping: Mapping[str, object]) -> Demographics:
    """
    Read the traits of one person.

    A value that is empty, blank, None or NaN is missing. `given_names` are separated by spaces,
    the first birth given name first. `birth_place` is a code when it has the form of an INSEE
    code, else a text. `phone` and `email` may repeat, separated by `~`.

    `identity_status` holds a status and attributes, separated by spaces or `~`; QUAL means VALI,
    because qualified is VALI together with an INS. An INS without a status counts as VALI: only
    a qualified identity may carry one. An INS beside any other status is left out, as it would
    be from a message.

    Args:
        mapping: trait name -> text, or a number, boolean or date where the trait is one.

    Raises:
        InvalidIdentity: an unknown trait, or a wrong value. The place is the trait's name.

    Source: RNIV, EXI SI 08 (an INS travels with a qualified identity only); PAM-FR 2.11, PID-32.
    """
    for name in mapping:
        if name not in TRAIT_NAMES:
            raise InvalidIdentity(place_of(name), "unknown trait")
    texts = {name: text for name, value in mapping.items() if (text := text_of(name, value))}
    values: dict[str, Any] = {name: texts[name] for name in _PLAIN_TEXT if name in texts}
    for name, read in _READERS.items():
        if name in texts:
            values.update(read(texts[name]))
    if "ins" in values:
        codes = values.get("identity_codes", ())
        if not any(code in _STATUS_CODES for code in codes):
            values["identity_codes"] = (IdentityStatus.VALIDATED.value, *codes)
        elif IdentityStatus.VALIDATED.value not in codes:
            del values["ins"], values["ins_oid"]
    return Demographics(names=_names(texts), **values)


def traits_to_mapping(demographics: Demographics) -> dict[str, str | int | bool]:
    """
    Write the traits of one person under the names `demographics_from_mapping` reads.

    Only what is stated. An untyped name takes the slot the comparison gives it: birth name when
    there is none, else used name. Pseudonyms have no trait; a place with a code loses its text.
    """
    by_use = {name.use: name for name in reversed(demographics.names)}
    untyped = by_use.get(NameUse.UNSPECIFIED)
    birth = by_use.get(NameUse.BIRTH) or untyped
    used = by_use.get(NameUse.USED) or (untyped if birth is not untyped else None)
    out: dict[str, str | int | bool | None] = {
        "birth_name": birth.family if birth else None,
        "used_name": used.family if used else None,
        "given_names": (birth.given_list or birth.given) if birth else None,
        "used_given_name": used.given if used else None,
        "birth_date": str(demographics.birth_date) if demographics.birth_date else None,
        "sex": demographics.sex,
        "birth_place": demographics.birth_place_code or demographics.birth_place,
        "phone": _REPEATS.join(demographics.phones),
        "email": _REPEATS.join(demographics.emails),
        "ins": demographics.ins,
        "birth_order": demographics.birth_order,
        "multiple_birth": demographics.multiple_birth,
        "identity_status": " ".join(demographics.identity_codes),
        **{name: getattr(demographics, name) for name in _PLAIN_TEXT},
    }
    return {name: value for name in TRAIT_NAMES if (value := out[name]) not in (None, "")}


def place_of(name: object) -> str:
    """
    A field's name as an error may show it.

    What does not look like a field name may be a value: the first row of a table without
    headings, or a JSON object with a patient's name as a key.
    """
    return name if isinstance(name, str) and _FIELD_NAME.fullmatch(name) else "(unnamed)"


def text_of(place: str, value: object) -> str:
    """
    One value as trimmed text; empty when it is missing.

    Raises:
        InvalidIdentity: too long, unprintable, or of a type that is no text.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, date):
        return value.isoformat()[:10]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) and place != "multiple_birth":
        raise InvalidIdentity(place, "expected a text")
    if not isinstance(value, str | int):
        raise InvalidIdentity(place, "expected a text")
    if (
        isinstance(value, int) and abs(value) >= 10**18
    ):  # no trait is such a number, and str() of one may fail
        raise InvalidIdentity(place, "expected a text")
    text = str(value).strip()
    if len(text) > MAX_VALUE_LENGTH:
        raise InvalidIdentity(place, f"longer than {MAX_VALUE_LENGTH} characters")
    if not text.isprintable() and any(unicodedata.category(char) in _UNPRINTABLE for char in text):
        raise InvalidIdentity(place, "holds a control character")
    return text


def _names(texts: Mapping[str, str]) -> tuple[PersonName, ...]:
    birth_name, used_name, given_names, used_given_name = (texts.get(name, "") for name in _NAMES)
    names = []
    if birth_name or given_names:
        listed = given_names.split()
        names.append(
            PersonName(
                family=birth_name,
                given=listed[0] if listed else "",
                given_list=" ".join(listed),
                use=NameUse.BIRTH,
            )
        )
    if used_name or used_given_name:
        names.append(PersonName(family=used_name, given=used_given_name, use=NameUse.USED))
    return tuple(names)


def _birth_date(text: str) -> dict[str, Any]:
    timed = _DATE_AND_TIME.fullmatch(text)
    day = timed[1] if timed else text
    try:
        if not _DATE.fullmatch(day):
            raise ValueError
        return {"birth_date": PartialDate.parse(day)}
    except ValueError:
        raise InvalidIdentity("birth_date", "not a date (expected YYYY[-MM[-DD]] or YYYYMMDD)") from None


def _sex(text: str) -> dict[str, Any]:
    if text.upper() not in ("M", "F", "U"):
        raise InvalidIdentity("sex", "expected M, F or U")
    return {"sex": text.upper()}


def _birth_place(text: str) -> dict[str, Any]:
    is_code = _INSEE_CODE.fullmatch(text.upper()) is not None
    return {"birth_place_code": text.upper()} if is_code else {"birth_place": text}


def _repeated(field: str) -> Callable[[str], dict[str, Any]]:
    return lambda text: {field: tuple(part.strip() for part in text.split(_REPEATS) if part.strip())}


def _ins(text: str) -> dict[str, Any]:
    try:
        return {"ins": parse_matricule(text).value, "ins_oid": INS_NIR_OID}
    except InvalidMatricule as error:
        raise InvalidIdentity("ins", str(error)) from None


def _birth_order(text: str) -> dict[str, Any]:
    if not re.fullmatch(r"[1-9]\d?", text, re.ASCII):
        raise InvalidIdentity("birth_order", "expected a whole number from 1 to 99")
    return {"birth_order": int(text)}


def _multiple_birth(text: str) -> dict[str, Any]:
    if text.lower() not in _YES | _NO:
        raise InvalidIdentity("multiple_birth", "expected true or false")
    return {"multiple_birth": text.lower() in _YES}


def _identity_status(text: str) -> dict[str, Any]:
    codes = re.split(rf"[\s{_REPEATS}]+", text.upper().strip(_REPEATS + " "))
    if not set(codes) <= _KNOWN_CODES:
        raise InvalidIdentity("identity_status", "unknown code")
    statuses = {_STATUS_CODES[code] for code in codes if code in _STATUS_CODES}
    if len(statuses) > 1:
        raise InvalidIdentity("identity_status", "two statuses")
    attributes = dict.fromkeys(code for code in codes if code not in _STATUS_CODES)
    return {"identity_codes": (*statuses, *attributes)}


_READERS: Mapping[str, Callable[[str], dict[str, Any]]] = {
    "birth_date": _birth_date,
    "sex": _sex,
    "birth_place": _birth_place,
    "phone": _repeated("phones"),
    "email": _repeated("emails"),
    "ins": _ins,
    "birth_order": _birth_order,
    "multiple_birth": _multiple_birth,
    "identity_status": _identity_status,
}
