"""
Whether a person answers a search, and how. Pure.

Family names, given names and birth date have to hold on one and the same record, and its sex must not say
otherwise: a person put together from two records, whom no site ever stated, is found by neither half. Every
other part may hold on any record of the person: one site knows the address, another the phone.
"""

from calendar import monthrange
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from math import prod
from typing import Any

from mpi.identity.ins import IdentityStatus
from mpi.identity.model import Demographics, NameUse, PartialDate, RecordKey
from mpi.identity.traits import Traits, normal_address, normal_city, normal_text, normalise
from mpi.index.answers import MemberView
from mpi.index.ports import Beside, Sketch, StoredRecord
from mpi.index.search import Period, Search, Spelling, Text, Why
from mpi.index.sketches import day_numbers, given_of, given_texts
from mpi.index.spelling import forms, given_forms, likeness, told, way, whole_forms

Held = tuple[Why, float]
"""How a part of a search holds, and how much that is worth."""
Stated = Demographics | Beside
"""What a record says of where somebody lives and of whom they were born."""


def judge(wanted: Search, members: Sequence[MemberView]) -> dict[str, Held] | None:
    """
    How a person answers each part of a search; None when they do not answer all of them.

    Args:
        members: what may be seen of the person.
    """
    pool = [m for m in members if wanted.active is None or m.retired is not wanted.active]
    held = _as_one_record(wanted, pool)
    if held is None:
        return None
    for part, holds in _ANYWHERE.items():
        if asked := getattr(wanted, part):
            best = _best(holds(choice, member) for member in pool for choice in asked)
            if best is None:
                return None
            held[part] = best
    return held if pool else None


def how_alike(held: Mapping[str, Held]) -> float:
    """What all parts together are worth, 0 to 1."""
    return prod(worth for _, worth in held.values())


class Sieve:
    """
    Tells the records that may hold the names and the birth date of a search by their sketches.

    Args:
        past: records as they were: their given names may have been others.

    Attributes:
        named: whether a form of a family name will do; None when any does.
        given: whether the given names of a sketch will do; None when any do.
    """

    def __init__(self, wanted: Search, *, past: bool = False) -> None:
        self._births = tuple(span for period in wanted.birth for span in day_numbers(period))
        # Thousands are asked about: each text is looked at once.
        self.named = cache(_may_be_named(wanted.family)) if wanted.family else None
        asks_given = bool(wanted.given) and not past
        self.given = cache(_may_be_given(wanted.given)) if asks_given else None

    def passes(self, sketch: Sketch) -> bool:
        """Whether the record of a sketch may answer."""
        name, birth, given = sketch
        return (
            (not self._births or any(first <= birth <= last for first, last in self._births))
            and (self.named is None or self.named(name))
            and (self.given is None or self.given(given))
        )


def _may_be_named(asked: Sequence[Text]) -> Callable[[str], bool]:
    """Tells the forms of a family name that one of some texts finds."""
    return lambda name: any(way(text, (name,)) for text in asked)


def _may_be_given(asked: Sequence[Text]) -> Callable[[str], bool]:
    """Tells the given names of sketches that one of some texts may find."""
    by_sound = any(text.spelling is Spelling.LOOSE for text in asked)
    letters = tuple(form for text in asked for form in whole_forms(text.value))

    def may_be(given: str) -> bool:
        texts = given_texts(given)
        if texts is None:
            return True
        said = given.replace(" ", "")
        if not by_sound and not any(each in said for each in letters):
            return False  # as in most, which need not be taken apart
        known = tuple(form for text in texts for form in given_forms(text))
        return any(way(text, known) for text in asked)

    return may_be


class BesideSieve:
    """Tells the people who may hold what a search asks beside names and birth date."""

    def __init__(self, wanted: Search) -> None:
        self._asked = {part: asked for part in _BESIDE if (asked := getattr(wanted, part))}
        self._known: dict[tuple[str, object], bool] = {}

    @property
    def asks(self) -> bool:
        """Whether the search asks any of it."""
        return bool(self._asked)

    def parts(self, stated: Beside) -> set[str]:
        """The parts that what is stated of a record holds."""
        return {part for part in self._asked if self._holds(part, stated)}

    def passes(self, parts: Collection[str]) -> bool:
        """Whether somebody whose records hold these parts may answer."""
        return self._asked.keys() <= set(parts)

    def _holds(self, part: str, stated: Beside) -> bool:
        told = stated if part in _OF_SEVERAL else getattr(stated, part)
        key = (part, told)
        if (known := self._known.get(key)) is None:
            known = any(_BESIDE[part](choice, stated) for choice in self._asked[part])
            self._known[key] = known
        return known


# ------------------------------------------------------------------------- on one and the same record


def _as_one_record(wanted: Search, pool: Sequence[MemberView]) -> dict[str, Held] | None:
    """How the record that answers best holds name, birth date and sex together; None when none does."""
    named = bool(wanted.family or wanted.given or wanted.birth)
    answers = []
    for member in pool:
        held: dict[str, Held] = {}
        for part, holds in _TOGETHER.items():
            if asked := getattr(wanted, part):
                best = _best(holds(choice, member.record) for choice in asked)
                if best is None:
                    break
                held[part] = best
        else:
            answers.append((member, held))
    if wanted.sex:
        answers = [
            (member, {**held, "sex": (Why.SAME, 1.0)})
            for member, held in answers
            if _has_sex(wanted.sex, member, pool if named else (member,))
        ]
    return max((held for _, held in answers), key=how_alike, default=None)


def _has_sex(asked: Sequence[str], member: MemberView, pool: Sequence[MemberView]) -> bool:
    """Whether a record says that sex, or says none and another one of the person does."""
    stated = member.record.demographics.sex or "U"
    if stated != "U" or stated in asked:
        return stated in asked
    return any(other.record.demographics.sex in asked for other in pool)


def _family(asked: Text, record: StoredRecord) -> Held | None:
    names = record.demographics.names
    has_birth_name = any(name.use is NameUse.BIRTH and name.family for name in names)
    return _best(
        _name(
            asked,
            forms(name.family),
            whole=whole_forms(name.family),
            raw=(name.family,),
            other=has_birth_name and name.use is not NameUse.BIRTH,
        )
        for name in names
    )


def _given(asked: Text, record: StoredRecord) -> Held | None:
    names = record.demographics.names
    raw = [text for name in names for text in (name.given, name.given_list, *name.given_list.split())]
    has_birth_name = any(name.use is NameUse.BIRTH and (name.given or name.given_list) for name in names)
    first_known = [n for n in names if not has_birth_name or n.use is NameUse.BIRTH]
    first = given_of(Demographics(names=tuple(first_known)))
    return _best(
        _name(asked, known, raw=raw, other=other)
        for known, other in (
            *((given_forms(text, first=True), False) for text in first),
            *((given_forms(text), True) for text in given_of(record.demographics)),
        )
    )


def _name(
    asked: Text,
    known: Sequence[str],
    *,
    raw: Iterable[str],
    other: bool,
    whole: Sequence[str] | None = None,
) -> Held | None:
    if asked.spelling is Spelling.EXACT and asked.value not in raw:
        return None
    found = way(asked, known, whole=whole)
    return (told(found, other=other), likeness(found, other=other)) if found is not None else None


def _birth(asked: Period, record: StoredRecord) -> Held | None:
    stated = record.demographics.birth_date
    if stated is None:
        return None
    first, last = days_of(stated)
    if asked.first <= first and last <= asked.last:
        return Why.SAME, likeness(Why.SAME)
    if first <= asked.last and asked.first <= last:
        return Why.COMPATIBLE, likeness(Why.COMPATIBLE)
    return None


def days_of(stated: PartialDate) -> tuple[date, date]:
    """The first and the last day that a date may be."""
    first = date(stated.year, stated.month or 1, stated.day or 1)
    if stated.day is not None:
        return first, first
    month = stated.month or 12
    return first, date(stated.year, month, monthrange(stated.year, month)[1])


_TOGETHER: Mapping[str, Callable[[Any, StoredRecord], Held | None]] = {
    "family": _family,
    "given": _given,
    "birth": _birth,
}
"""The parts that one record has to hold, its sex aside."""


# ------------------------------------------------------------------------------------ on any record


def _person(asked: str, member: MemberView) -> Held | None:
    return _SAME if member.record.native_euid == asked else None


def _identifier(asked: RecordKey, member: MemberView) -> Held | None:
    key = member.record.key
    return _SAME if key.domain == asked.domain and asked.value in ("", key.value) else None


def _identifier_prefix(asked: RecordKey, member: MemberView) -> Held | None:
    key = member.record.key
    if key.domain != asked.domain or not key.value.startswith(asked.value):
        return None
    return _SAME if key.value == asked.value else _PREFIX


def _telecom(asked: str, member: MemberView) -> Held | None:
    known, sought = member.record.traits, telecom(asked)
    alike = set(sought.phones).intersection(known.phones) or set(sought.emails).intersection(known.emails)
    return _SAME if alike else None


def _ins(asked: tuple[str, str], member: MemberView) -> Held | None:
    stated, (oid, matricule) = member.record.demographics, asked
    is_qualified = member.record.traits.status is IdentityStatus.QUALIFIED
    return _SAME if is_qualified and (stated.ins_oid, stated.ins) == (oid, matricule) else None


def telecom(asked: str) -> Traits:
    """A phone or a mail address that is looked for, as the traits of an identity hold it."""
    return normalise(Demographics(phones=(asked,), emails=(asked,)))


def postal_code(text: str) -> str:
    """A postal code as it is compared."""
    return normal_text(text).replace(" ", "")


def _postal_code(asked: Text, stated: Stated) -> Held | None:
    known, sought = postal_code(stated.postal_code), postal_code(asked.value)
    if not sought or not known.startswith(sought):
        return None
    if known == sought:
        return _SAME
    return _PREFIX if asked.spelling in (Spelling.PREFIX, Spelling.LOOSE) else None


def _text(field: str, fold: Callable[[str], str]) -> Callable[[Text, Stated], Held | None]:
    """How a text of the record holds one that is asked."""

    def holds(asked: Text, stated: Stated) -> Held | None:
        known: str = getattr(stated, field)
        folded = fold(known)
        sought = Text(fold(asked.value) or asked.value, asked.spelling)
        if asked.spelling is Spelling.EXACT:
            sought = asked
        return _name(sought, forms(folded), whole=whole_forms(folded), raw=(known,), other=False)

    return holds


def _address(asked: Text, stated: Stated) -> Held | None:
    return _best((*(holds(asked, stated) for holds in _PLACES), _postal_code(asked, stated)))


def _unknown(asked: Text, stated: Stated) -> Held | None:
    """Nobody says it: whoever asks for it finds nobody, rather than everybody."""
    return None


_SAME, _PREFIX = ((why, likeness(why)) for why in (Why.SAME, Why.PREFIX))
_CITY, _COUNTRY = _text("city", normal_city), _text("country", normal_text)
_PLACES = (_text("address", normal_address), _CITY, _COUNTRY)
_BESIDE: Mapping[str, Callable[[Text, Stated], Held | None]] = {
    "address": _address,
    "city": _CITY,
    "postal_code": _postal_code,
    "state": _unknown,
    "country": _COUNTRY,
    "mother_birth_name": _text("mother_birth_name", normal_text),
}
"""The parts of a search that only look at what was stated of where and of whom."""
_OF_SEVERAL = ("address", "state")
"""Those of them that are not about one field."""


def _of_record(holds: Callable[[Text, Stated], Held | None]) -> Callable[[Text, MemberView], Held | None]:
    return lambda asked, member: holds(asked, member.record.demographics)


_ANYWHERE: Mapping[str, Callable[[Any, MemberView], Held | None]] = {
    "persons": _person,
    "identifiers": _identifier,
    "ins": _ins,
    "identifier_prefixes": _identifier_prefix,
    "telecom": _telecom,
    **{part: _of_record(holds) for part, holds in _BESIDE.items()},
}
"""The parts that any record of the person may hold."""


def _best(found: Iterable[Held | None]) -> Held | None:
    return max((held for held in found if held is not None), key=lambda held: held[1], default=None)
