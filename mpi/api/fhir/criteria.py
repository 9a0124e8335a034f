"""
The parameters of a Patient search, read into what the registry is asked.

Repeated parameters must all hold, values between commas may. What one `Search` cannot say of a repeated
parameter becomes a second one, and a person has to be found by both.

Source: IHE PDQm 3.2, ITI-78; FHIR R4 search.html.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import product
from typing import Any, Final

from mpi.api.fhir.refusals import Refused
from mpi.api.fhir.systems import clean, split_escaped, unescaped
from mpi.feeds.fhir.fr_core import FrCore
from mpi.identity.ins import matricule_text
from mpi.identity.model import PartialDate, RecordKey
from mpi.index.criteria import days_of
from mpi.index.search import Period, Search, Spelling, Text

MAX_CHOICES: Final = 20
"""Values between commas of one parameter."""
MAX_REPEATED: Final = 5
"""Times one parameter may be given."""
MAX_COUNT: Final = 100
DEFAULT_COUNT: Final = 20

PARAMETERS: Final[Mapping[str, tuple[str, str]]] = {
    "_id": ("token", "Identifiers of persons; a retired one finds who it became."),
    "active": ("token", "`false` finds whose identifier was merged away."),
    "address": ("string", "Any part of the address."),
    "address-city": ("string", "City."),
    "address-country": ("string", "Country."),
    "address-postalcode": ("string", "Postal code."),
    "address-state": ("string", "State."),
    "birthdate": ("date", "With prefixes; a date known in part answers what it may be."),
    "family": ("string", "Birth, used and other family names alike."),
    "gender": ("token", "male, female, unknown, other."),
    "given": ("string", "Any given name, whichever its rank."),
    "identifier": (
        "token",
        "`system|value`, a value of any domain, an INS under its OID, or `system|` for the domains whose "
        "identifiers are wanted.",
    ),
    "mothersMaidenName": ("string", "Birth name of the mother."),
    "telecom": ("token", "Telephone number or electronic address."),
}
"""Name -> type and documentation, as the CapabilityStatement gives them."""
RESULT_PARAMETERS: Final = frozenset(
    {"_count", "_format", "_pretty", "_total", "_totalMethod", "fr-core", "_page", "_offset"}
)
_TEXTS: Final = {
    "family": "family",
    "given": "given",
    "address": "address",
    "address-city": "city",
    "address-postalcode": "postal_code",
    "address-state": "state",
    "address-country": "country",
    "mothersMaidenName": "mother_birth_name",
}
"""Parameter -> field of `Search`."""
_GENDERS: Final = {"male": "M", "female": "F", "unknown": "U", "other": "U"}
_BIRTH: Final = re.compile(
    r"(?P<prefix>eq|ne|gt|ge|lt|le|sa|eb|ap)?(?P<date>\d{4}(?:-\d\d(?:-\d\d)?)?)", re.ASCII
)
_DAY: Final = timedelta(days=1)
_ABOUT: Final = timedelta(days=365)
"""How far `ap` reaches on either side."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """
    What a search asks.

    Args:
        searches: a person has to be found by every one.
        only: domains whose identifiers are wanted (`identifier=system|`); None for all.
        ignored: how many parameters were not understood.
        contradictory: nobody can answer it.
    """

    searches: tuple[Search, ...]
    only: frozenset[str] | None = None
    ignored: int = 0
    contradictory: bool = False


@dataclass(slots=True)
class _Parts:
    """What was read so far: for each field of `Search`, the choices of each repetition."""

    choices: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    only: frozenset[str] | None = None
    ignored: int = 0

    def add(self, name: str, choice: Iterable[Any]) -> None:
        self.choices.setdefault(name, []).append(tuple(dict.fromkeys(choice)))


def read_criteria(
    pairs: Iterable[tuple[str, str]],
    *,
    systems: Mapping[str, str],
    own: str | None,
    ins: Mapping[str, str],
    strict: bool,
) -> Criteria:
    """
    Read the parameters of a search, but for those about its result.

    Args:
        systems: identifier system -> key, of the domains the caller may see.
        own: system of enterprise identifiers, for a caller who may be told them.
        ins: identifier system -> OID, of the national identities that people are looked for by.
        strict: refuse parameters that are not understood (`Prefer: handling=strict`).

    Raises:
        Refused: 400, or 404 for a domain that is unknown to the caller.
    """
    parts = _Parts()
    for name, text in pairs:
        code, colon, modifier = name.partition(":")
        if code in RESULT_PARAMETERS or not text:
            continue
        if code not in PARAMETERS:
            if strict:
                raise Refused(400, "not-supported", "a search parameter is not supported")
            parts.ignored += 1
            continue
        if colon and not (modifier == "exact" and code in _TEXTS):
            raise Refused(400, "not-supported", f"{code}: this modifier is not supported")
        values = [clean(code, value) for value in split_escaped(text, ",") if value]
        if len(values) > MAX_CHOICES:
            raise Refused(400, "too-costly", f"{code}: more than {MAX_CHOICES} values")
        if values:
            _read(parts, code, values, exact=bool(colon), systems=systems, own=own, ins=ins)
    return _criteria(parts)


def _read(
    parts: _Parts,
    code: str,
    values: Sequence[str],
    *,
    exact: bool,
    systems: Mapping[str, str],
    own: str | None,
    ins: Mapping[str, str],
) -> None:
    if code in _TEXTS:
        spelling = Spelling.EXACT if exact else Spelling.PREFIX
        parts.add(_TEXTS[code], [Text(unescaped(value), spelling) for value in values])
        return
    match code:
        case "_id":
            parts.add("persons", [unescaped(value) for value in values])
        case "birthdate":
            parts.add("birth", [period for value in values for period in _periods(value)])
        case "gender":
            parts.add("sex", [_code(value, _GENDERS, code) for value in values])
        case "active":
            parts.add("active", [_code(value, {"true": True, "false": False}, code) for value in values])
        case "telecom":
            parts.add("telecom", [unescaped(value.rpartition("|")[2]) for value in values])
        case _:
            _read_identifiers(parts, values, systems=systems, own=own, ins=ins)


def _code(value: str, codes: Mapping[str, Any], place: str) -> Any:
    code = value.rpartition("|")[2]
    if code not in codes:
        raise Refused(400, "value", f"{place}: expected one of {', '.join(codes)}")
    return codes[code]


def _read_identifiers(
    parts: _Parts,
    values: Sequence[str],
    *,
    systems: Mapping[str, str],
    own: str | None,
    ins: Mapping[str, str],
) -> None:
    """One repetition of `identifier`: domains alone say which identifiers are wanted, as QPD-8 does."""
    keys: list[RecordKey] = []
    persons: list[str] = []
    matricules: list[tuple[str, str]] = []
    for value in values:
        system, bar, text = value.partition("|")
        text = unescaped(text if bar else system)
        if not bar:
            keys += [RecordKey(domain, text) for domain in systems.values()]
        elif own is not None and system == own and text:
            persons.append(text)
        elif system in ins and text:
            matricules.append((ins[system], matricule_text(text)))
        elif system in systems:
            keys.append(RecordKey(systems[system], text))
        else:
            raise Refused(404, "not-found", "targetSystem not found", severity="warning")
    if bool(keys) + bool(persons) + bool(matricules) > 1:
        raise Refused(
            400, "not-supported", "identifier: of this index's own system, of sites or INS: one of them"
        )
    if persons:
        parts.add("persons", persons)
    elif matricules:
        parts.add("ins", matricules)
    elif all(not key.value for key in keys):
        wanted = frozenset(key.domain for key in keys)
        parts.only = wanted if parts.only is None else parts.only & wanted
        parts.add("domains", keys)
    else:
        parts.add("identifiers", keys)


def _periods(value: str) -> list[Period]:
    """The days a date may be, by its prefix."""
    found = _BIRTH.fullmatch(value)
    try:
        if found is None:
            raise ValueError
        asked = PartialDate.parse(found["date"])
    except ValueError:
        raise Refused(400, "value", "birthdate: expected a prefix and YYYY[-MM[-DD]]") from None
    first, last = days_of(asked)
    before = [Period(date.min, first - _DAY)] if first > date.min else []
    after = [Period(last + _DAY, date.max)] if last < date.max else []
    match found["prefix"] or "eq":
        case "eq":
            return [Period(first, last)]
        case "ne":
            return [*before, *after]
        case "gt" | "sa":
            return after
        case "lt" | "eb":
            return before
        case "ge":
            return [Period(first, date.max)]
        case "le":
            return [Period(date.min, last)]
        case _:
            return [Period(max(first, date.min + _ABOUT) - _ABOUT, min(last, date.max - _ABOUT) + _ABOUT)]


def _criteria(parts: _Parts) -> Criteria:
    """Put repetitions together: by arithmetic where it can be said so, as further searches where it cannot."""
    choices = parts.choices
    domains = choices.pop("domains", [])
    if domains and "identifiers" not in choices:
        choices["identifiers"] = domains[:1]
    if any(len(repeated) > MAX_REPEATED for repeated in choices.values()):
        raise Refused(400, "too-costly", f"a parameter is given more than {MAX_REPEATED} times")
    fixed: dict[str, Any] = {}
    for name in ("persons", "sex", "active"):
        if name in choices:
            fixed[name] = _common(choices.pop(name))
    if "birth" in choices:
        fixed["birth"] = _overlap(choices.pop("birth"))
    contradictory = any(not value for value in fixed.values()) or (bool(domains) and not parts.only)
    if "active" in fixed:
        fixed["active"] = fixed["active"][0] if len(fixed["active"]) == 1 else None
    rounds = max((len(repeated) for repeated in choices.values()), default=1)
    searches = []
    for at in range(rounds):
        asked: dict[str, Any] = {name: given[min(at, len(given) - 1)] for name, given in choices.items()}
        searches.append(Search(**fixed, **asked))
    return Criteria(tuple(searches), parts.only, parts.ignored, contradictory)


def _common(repeated: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The choices that every repetition leaves."""
    first, *others = repeated
    return tuple(value for value in first if all(value in other for other in others))


def _overlap(repeated: Sequence[tuple[Period, ...]]) -> tuple[Period, ...]:
    """The periods that are in every repetition."""
    found, *others = repeated
    for other in others:
        pairs = product(found, other)
        met = [Period(max(a.first, b.first), min(a.last, b.last)) for a, b in pairs]
        found = tuple(dict.fromkeys(period for period in met if period.first <= period.last))
        if len(found) > MAX_CHOICES:
            raise Refused(400, "too-costly", f"birthdate: more than {MAX_CHOICES} periods")
    return found


def encoding_of(asked: str | None) -> FrCore:
    """
    The encoding of FR Core that `fr-core` asks for; 2.1 by default.

    Raises:
        Refused: 400, no such one.
    """
    try:
        return FrCore(asked) if asked else FrCore.V2_1
    except ValueError:
        raise Refused(400, "value", f"fr-core: expected one of {', '.join(FrCore)}") from None
