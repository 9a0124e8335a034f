"""
Looking people up: one indexed part of a search is opened, the rest is judged on what it leaves.

The parts are tried from the most telling one to the least. One that leaves more records than can be looked at is
passed over; when every one is, nobody is found and the answer is that the search is too broad. Only what the
caller may see is opened, counted and judged: nothing else has a part in any answer.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields
from datetime import datetime

from mpi.identity.model import RecordKey
from mpi.identity.traits import Traits
from mpi.index.criteria import BesideSieve, Sieve, how_alike, judge, postal_code, telecom
from mpi.index.people import People
from mpi.index.ports import Range, UnitOfWork
from mpi.index.search import Found, Period, Person, Search, SearchAnswer, Spelling, Text
from mpi.index.sketches import POSTAL_LENGTH, day_numbers, postal_key, telecom_keys
from mpi.index.spelling import heads, whole_forms
from mpi.matching.blocking import blocking_keys

MOST_SKETCHES = 20_000
"""
How many sketches of names and birth dates are read for one search, where some of them are then passed over: a
year of births in a million people.
"""
MOST_RECORDS = 5_000
"""How many records any other part may leave, and how many are judged; a store no larger answers any search."""
_FEW_DAYS = 366
"""Births of so many days cost less to read, side by side as they are, than the names that begin with three letters."""
_JUDGED_AT_A_TIME = 50
_AFTER_EVERY_FORM = "~"
"""After every letter and digit that a form may go on with."""


class Finding:
    """
    Finds people.

    Args:
        people: reads them as the caller may see them.
    """

    def __init__(self, people: People) -> None:
        self._people = people

    def person(
        self, uow: UnitOfWork, asked: str, *, visible: frozenset[str], as_of: datetime | None = None
    ) -> Person | None:
        """Whom an identifier of a person names, or named; a retired one names who they became. None for nobody."""
        record_ids = self._named((asked,), uow, visible)
        seen = self._people.of(uow, record_ids, visible=visible, as_of=as_of)
        named = [one for one in seen if any(member.record.native_euid == asked for member in one.members)]
        return self._people.shown(uow, named, as_of=as_of)[0] if named else None

    def search(
        self,
        uow: UnitOfWork,
        wanted: Search,
        *,
        visible: frozenset[str],
        most: int,
        as_of: datetime | None = None,
    ) -> SearchAnswer:
        """Who answers a search, most alike first; nobody when they are more than `most`, or cannot be counted."""
        openings = _Openings(uow, wanted, self._people, visible, as_of)
        record_ids = openings.best()
        if record_ids is None:
            return SearchAnswer((), too_broad=True)
        judged, found = set[int](), []
        for some in openings.a_few_at_a_time(record_ids):
            left = [record_id for record_id in some if record_id not in judged]
            for seen in self._people.of(uow, left, visible=visible, as_of=as_of):
                ids = {member.record.id for member in seen.members}
                if ids & judged:
                    continue
                judged |= ids
                if (held := judge(wanted, seen.members)) is not None:
                    found.append((seen, held))
            if len(found) > most:
                return SearchAnswer((), too_broad=True)
        shown = self._people.shown(uow, [seen for seen, _ in found], as_of=as_of)
        answers = [
            Found(person, {part: why for part, (why, _) in held.items()}, how_alike(held))
            for person, (_, held) in zip(shown, found, strict=True)
        ]
        return SearchAnswer(tuple(sorted(answers, key=lambda one: (-one.likeness, one.person.id))))

    def _named(self, asked: Collection[str], uow: UnitOfWork, visible: frozenset[str]) -> list[int]:
        return named_by(uow, asked, self._people, visible)


def named_by(uow: UnitOfWork, euids: Collection[str], people: People, visible: frozenset[str]) -> list[int]:
    """The records that bear native enterprise identifiers, those that may be shown."""
    records = [record for euid in euids if (record := uow.records.by_native_euid(euid)) is not None]
    return [record.id for record in records if people.may_show(record, visible=visible)]


class _Openings:
    """The records that each part of a search leaves: none of those that answer it is missing."""

    def __init__(
        self,
        uow: UnitOfWork,
        wanted: Search,
        people: People,
        visible: frozenset[str],
        as_of: datetime | None,
    ) -> None:
        self._uow = uow
        self._wanted = wanted
        self._people = people
        self._visible = visible
        self._as_of = as_of
        self._past = as_of is not None

    def best(self) -> list[int] | None:
        """The records to judge, by the most telling part that leaves few enough; None when none does."""
        for record_ids in self._each():
            if record_ids is not None and len(record_ids) <= MOST_RECORDS:
                return record_ids
        return None

    def a_few_at_a_time(self, record_ids: Sequence[int]) -> Iterator[Sequence[int]]:
        """Records to judge; of many, those whose person may hold what else is asked."""
        sieve = BesideSieve(self._wanted)
        if self._past or not sieve.asks or len(record_ids) <= _JUDGED_AT_A_TIME:
            yield from _chunks(record_ids, _JUDGED_AT_A_TIME)
            return
        start, size = 0, 2 * _JUDGED_AT_A_TIME
        while some := record_ids[start : start + size]:
            yield from _chunks(self._sifted_by(sieve, some), _JUDGED_AT_A_TIME)
            start, size = start + size, 2 * size

    def _sifted_by(self, sieve: BesideSieve, record_ids: Sequence[int]) -> list[int]:
        sets = {one.record_ids for one in self._people.sets(self._uow, record_ids, visible=self._visible)}
        place_of = {record_id: place for place, one in enumerate(sets) for record_id in one}
        if keys := self._postal_keys():
            ids, searches = place_of.keys(), self._uow.searches
            held = searches.keyed(keys, domains=self._visible, most=len(ids), among=ids)
            near = {place_of[record_id] for record_id in held or ()}
            place_of = {record_id: place for record_id, place in place_of.items() if place in near}
        parts: dict[int, set[str]] = defaultdict(set)
        for record_id, stated in self._uow.searches.beside(place_of.keys()):
            parts[place_of[record_id]] |= sieve.parts(stated)
        return [i for i in record_ids if i in place_of and sieve.passes(parts[place_of[i]])]

    def _each(self) -> Iterator[list[int] | None]:
        wanted = self._wanted
        if wanted.persons:
            yield named_by(self._uow, wanted.persons, self._people, self._visible)
        if wanted.identifiers and all(key.value for key in wanted.identifiers):
            yield self._identified(wanted.identifiers)
        if wanted.ins:
            yield self._of_ins({matricule for _, matricule in wanted.ins})
        if wanted.telecom:
            yield self._keyed({key for text in wanted.telecom for key in telecom_keys(telecom(text))})
        if wanted.family or wanted.birth:
            yield self._sketched()
        if wanted.identifier_prefixes and all(key.value for key in wanted.identifier_prefixes):
            yield self._numbered(wanted.identifier_prefixes)
        if keys := self._postal_keys():
            yield self._keyed(keys)
        yield self._narrowed(self._uow.searches.within(self._visible, most=MOST_RECORDS))

    def _identified(self, keys: Collection[RecordKey]) -> list[int]:
        visible = (key for key in keys if key.domain in self._visible)
        return [record.id for key in visible for record in self._uow.records.epochs(key.domain, key.value)]

    def _of_ins(self, matricules: Collection[str]) -> list[int] | None:
        keys = sorted(key for one in matricules for key in blocking_keys(Traits(ins=one)))
        found = self._uow.records.candidates(keys, excluding=None, block_cap=MOST_RECORDS, past=self._past)
        return self._narrowed([one.id for one in found.records if one.key.domain in self._visible])

    def _numbered(self, prefixes: Collection[RecordKey]) -> list[int] | None:
        visible = [prefix for prefix in prefixes if prefix.domain in self._visible]
        return self._narrowed(self._uow.searches.numbered(visible, most=MOST_RECORDS))

    def _keyed(self, keys: Collection[int]) -> list[int] | None:
        searches = self._uow.searches
        return self._narrowed(searches.keyed(keys, domains=self._visible, most=MOST_RECORDS, past=self._past))

    def _postal_keys(self) -> set[int]:
        """The keys of the postal codes, one of which whoever answers holds; none when they are too short."""
        asked = self._wanted.postal_code
        return (
            {postal_key(postal_code(text.value)) for text in asked} if all(map(_is_keyed, asked)) else set()
        )

    def _sketched(self) -> list[int] | None:
        """The records that hold the names and the birth date, as far as their sketches tell."""
        wanted = self._wanted
        loose = any(text.spelling is Spelling.LOOSE for text in wanted.family)
        names = [] if loose else [one for text in wanted.family for one in _ranges(text)]
        births = [Range(*span) for period in wanted.birth for span in day_numbers(period)]
        if wanted.family and not loose and not names:
            return []  # nothing is left of what was asked, so nobody is called that
        if not names and not births:
            return None
        sieve = Sieve(wanted, past=self._past)
        return self._uow.searches.sketched(
            names,
            births,
            by_birth=not names or (bool(births) and _days(wanted.birth) <= _FEW_DAYS),
            domains=self._visible,
            most=MOST_SKETCHES if loose or wanted.given else MOST_RECORDS,
            past=self._past,
            named=sieve.named if loose else None,  # else the ranges say as much
            given=sieve.given,
        )

    def _narrowed(self, record_ids: Sequence[int] | None) -> list[int] | None:
        """Of the people that some records are of, the records that may hold the names and the birth date."""
        wanted = self._wanted
        if not record_ids or not (wanted.family or wanted.given or wanted.birth):
            return None if record_ids is None else list(record_ids)
        sets = self._people.sets(self._uow, record_ids, visible=self._visible, as_of=self._as_of)
        beside = {record_id for one in sets for record_id in one.record_ids}
        sieve = Sieve(wanted, past=self._past)
        sketches = self._uow.searches.sketches(beside, domains=self._visible, past=self._past)
        return sorted({record_id for record_id, sketch in sketches if sieve.passes(sketch)})


def asked_parts(wanted: Search) -> list[str]:
    """The names of the parts that are asked: what the audit keeps of a search."""
    return [part.name for part in fields(wanted) if getattr(wanted, part.name) not in ((), None)]


def _ranges(asked: Text) -> Iterator[Range]:
    if asked.spelling is Spelling.PREFIX:
        return (Range(head, head + _AFTER_EVERY_FORM) for head in heads(asked.value))
    return (Range(form, form) for form in whole_forms(asked.value))


def _chunks(record_ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (record_ids[start : start + size] for start in range(0, len(record_ids), size))


def _days(periods: Collection[Period]) -> int:
    return sum((period.last - period.first).days + 1 for period in periods)


def _is_keyed(asked: Text) -> bool:
    """Whether whoever lives there holds the key: the beginning of a code, if it is shorter, is in many."""
    return asked.spelling in (Spelling.EXACT, Spelling.SAME) or len(postal_code(asked.value)) >= POSTAL_LENGTH
