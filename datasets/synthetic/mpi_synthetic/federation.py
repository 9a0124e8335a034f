"""
The federation: people who visit sites, what the sites state of them, and when they say so.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from mpi.identity.model import AssigningAuthority

from .population import Person, draw_people
from .profiles import JUDGING, Profile
from .reference import Weighted
from .sites import (
    Entry,
    Feed,
    Site,
    StatedRecord,
    corrected,
    default_sites,
    enter,
    test_patient,
    unknown_patient,
    write_down,
)

OPENING = datetime(2025, 11, 3, 7, tzinfo=UTC)
CLOSING = datetime(2026, 2, 25, 19, tzinfo=UTC)
"""First contacts fall between these; updates and merges follow, at most 20 days later."""
SITES_PER_PERSON = Weighted([(1, 48.0), (2, 29), (3, 15), (4, 8)])
NEARBY_SITE_FACTOR = 3.0
HEADERS_BESIDE_A_FEED = 0.06


class EventKind(StrEnum):
    """What a site says."""

    CREATE = "create"
    UPDATE = "update"
    MERGE = "merge"
    HEADER = "header"
    """A DICOM header: the only voice of a PACS without a feed, a copy everywhere else."""


@dataclass(frozen=True, slots=True)
class Event:
    """
    One message or one header.

    Args:
        record: what is stated now; for a merge, the survivor.
        subsumed: for a merge, the local id that disappears.
        number: order of the event in its site, from 1.
    """

    kind: EventKind
    record: StatedRecord
    event_time: datetime
    subsumed: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Federation:
    """
    A synthetic federation with its ground truth.

    Args:
        records: one per site and local id, as last stated; merged duplicates are still there.
        events: every message and header, in order of time.
    """

    people: tuple[Person, ...]
    sites: tuple[Site, ...]
    records: tuple[StatedRecord, ...]
    events: tuple[Event, ...]
    seed: int
    profile: Profile

    @property
    def authorities(self) -> tuple[AssigningAuthority, ...]:
        """Who issues the patient numbers."""
        return tuple(site.authority for site in self.sites)

    def site(self, namespace: str) -> Site:
        """The site of a namespace."""
        return next(site for site in self.sites if site.namespace == namespace)


def generate(
    persons: int,
    sites: int = 4,
    seed: int = 20260101,
    profile: Profile = JUDGING,
    progress: Callable[[int, int], None] | None = None,
) -> Federation:
    """
    Draw a federation; the same arguments give the same federation, on any machine.

    Args:
        progress: told (done, total) now and then, in people; drawing one and sending them on visits count apart.

    Raises:
        ValueError: no person or no site.
    """
    if persons < 1:
        raise ValueError("a federation needs one person or more")
    tell = progress or (lambda done, total: None)
    people = draw_people(persons, seed, lambda done: tell(done, 2 * persons))
    places = default_sites(sites)
    history = _History(places, profile, random.Random(f"visits/{persons}/{sites}/{seed}/{profile.name}"), people)
    for done, person in enumerate(people, start=1):
        history.visits_of(person)
        if done % 500 == 0:
            tell(persons + done, 2 * persons)
    tell(2 * persons, 2 * persons)
    return Federation(people, places, history.records(), history.events(), seed, profile)


class _History:
    """What happens, person after person; put in order of time at the end."""

    def __init__(
        self, sites: tuple[Site, ...], profile: Profile, rng: random.Random, people: tuple[Person, ...]
    ) -> None:
        self._sites = sites
        self._profile = profile
        self._rng = rng
        self._people = {person.person_id: person for person in people}
        self._last_number = dict.fromkeys((site.namespace for site in sites), 1000)
        self._last_said: dict[str, StatedRecord] = {}
        self._events: list[Event] = []

    def records(self) -> tuple[StatedRecord, ...]:
        """Every record as last stated."""
        return tuple(self._last_said.values())

    def events(self) -> tuple[Event, ...]:
        """Every event in order of time, numbered within its site."""
        self._events.sort(key=lambda event: (event.event_time, event.record.record_id))
        numbers = dict.fromkeys(self._last_number, 0)
        ordered = []
        for event in self._events:
            numbers[event.record.site] += 1
            ordered.append(replace(event, number=numbers[event.record.site]))
        return tuple(ordered)

    def visits_of(self, person: Person) -> None:
        """Send a person to some sites; now and then somebody tries the machines there out."""
        rng = self._rng
        for site in self._sites_of(person):
            entry, first = self._visit(person, site)
            if rng.random() < self._profile.duplicates:
                self._second_record(person, site, entry, first)
            if rng.random() < self._profile.placeholder / 2:
                self._open(f"NOBODY-{len(self._last_said) + 1:07d}", site, test_patient(site, rng), self._moment())

    def _sites_of(self, person: Person) -> list[Site]:
        left = list(self._sites)
        nearby = int(person.home.postal_code[:2]) % len(left)
        weights = [
            (NEARBY_SITE_FACTOR if at == nearby else 1.0) / (1 + at) ** 0.3 for at in range(len(self._sites))
        ]
        chosen = []
        for _ in range(min(SITES_PER_PERSON.draw(self._rng), len(left))):
            at = self._rng.choices(range(len(left)), weights)[0]
            chosen.append(left.pop(at))
            weights.pop(at)
        return chosen

    def _visit(self, person: Person, site: Site) -> tuple[Entry, StatedRecord]:
        rng, profile = self._rng, self._profile
        when = self._moment(person.birth_date)
        if rng.random() < profile.placeholder:
            entry = unknown_patient(site, person, rng)
            return entry, self._open(person.person_id, site, entry, when)
        mother = self._people.get(person.mother_id)
        entry = enter(person, site, profile, rng, when.date(), mother=mother)
        if site.feed is Feed.DICOM:
            entry = replace(entry, in_use_only=rng.random() < site.in_use_in_header)
            return entry, self._open(person.person_id, site, entry, when)
        later = self._later_change(person, entry, site)
        if later and later.used_family and not entry.used_family and "family" not in entry.wrong:
            entry = replace(entry, used_given="")
        record = self._open(person.person_id, site, entry, when)
        if later:
            record = self._say(EventKind.UPDATE, record, later, site, self._after(when))
        if rng.random() < HEADERS_BESIDE_A_FEED:
            self._copy_to_header(record, later or entry, site)
        return entry, record

    def _later_change(self, person: Person, entry: Entry, site: Site) -> Entry | None:
        """Draw what an update will say, if there is one: named at last, corrected, married, moved."""
        rng = self._rng
        unnamed = "given" in entry.wrong and entry.given.rstrip("12") in ("BEBE", "BB", "NOUVEAU-NE", "ENFANT")
        if rng.random() >= (0.8 if unnamed else self._profile.updates):
            return None
        if unnamed or (entry.wrong and rng.random() < 0.8):
            return corrected(entry, person)
        if person.used_family and not entry.used_family and person.age_on(CLOSING.date()) < 50:
            return replace(entry, used_family=person.used_family)
        if entry.home and person.former_home and entry.home != person.home:
            return replace(entry, home=person.home)
        if person.ins and not entry.ins and entry.interpreted is None and rng.random() < 2 * site.ins:
            return replace(corrected(entry, person), ins=person.ins, codes=("VALI",), place_as_code=True)
        if person.mobile and person.mobile not in entry.phones:
            return replace(entry, phones=(person.mobile, *entry.phones[:1]))
        return replace(entry, home=person.former_home or person.home, codes=entry.codes)

    def _second_record(self, person: Person, site: Site, entry: Entry, first: StatedRecord) -> None:
        rng = self._rng
        when = self._after(first.event_time)
        again = enter(person, site, self._profile, rng, when.date(), duplicate=True)
        if site.feed is Feed.DICOM:
            again = replace(again, in_use_only=rng.random() < site.in_use_in_header)
        second = self._open(person.person_id, site, again, when)
        if site.feed is not Feed.DICOM and rng.random() < self._profile.duplicates_merged:
            self._events.append(
                Event(EventKind.MERGE, self._last_said[first.record_id], self._after(when), subsumed=second.local_id)
            )

    def _open(self, person_id: str, site: Site, entry: Entry, when: datetime) -> StatedRecord:
        """Create a record under a new local number."""
        self._last_number[site.namespace] += self._rng.randint(1, 5)
        record = StatedRecord(
            record_id=f"R{len(self._last_said) + 1:07d}",
            person_id=person_id,
            site=site.namespace,
            local_id=site.number.format(self._last_number[site.namespace]),
            demographics=write_down(entry, site),
            event_time=when,
            channel="dicom" if site.feed is Feed.DICOM else "hl7",
            issuer_stated=site.feed is not Feed.DICOM or self._rng.random() < site.issuer_in_header,
        )
        self._last_said[record.record_id] = record
        kind = EventKind.HEADER if site.feed is Feed.DICOM else EventKind.CREATE
        self._events.append(Event(kind, record, when))
        return record

    def _say(self, kind: EventKind, record: StatedRecord, entry: Entry, site: Site, when: datetime) -> StatedRecord:
        said = replace(record, demographics=write_down(entry, site), event_time=when)
        self._last_said[record.record_id] = said
        self._events.append(Event(kind, said, when))
        return said

    def _copy_to_header(self, record: StatedRecord, entry: Entry, site: Site) -> None:
        """Copy a fed identity to a header, as a modality would: one name, few traits."""
        rng = self._rng
        copied = replace(
            entry, in_use_only=rng.random() < site.in_use_in_header, home=None, phones=(), emails=(),
            place_as_code=False, place_as_text=False, interpreted=None, mother_birth_name="", birth_order=None,
            codes=(), ins=entry.ins if rng.random() < 0.3 else "",
        )  # fmt: skip
        header = replace(
            record,
            demographics=write_down(replace(copied, in_use_only=True), site) if copied.in_use_only else _birth_header(copied, site),
            event_time=self._after(record.event_time),
            channel="dicom",
            issuer_stated=rng.random() < site.issuer_in_header,
        )
        self._events.append(Event(EventKind.HEADER, header, header.event_time))

    def _moment(self, born: date | None = None) -> datetime:
        """Draw a moment between opening and closing; in the first week of life for a newborn."""
        rng = self._rng
        when = OPENING + (CLOSING - OPENING) * rng.random()
        if born and born >= OPENING.date():
            birth = datetime(born.year, born.month, born.day, 12, tzinfo=UTC)
            when = birth + timedelta(days=5) * rng.random() if rng.random() < 0.6 else max(when, birth)
        return when.replace(microsecond=0)

    def _after(self, when: datetime) -> datetime:
        return (when + timedelta(minutes=5) + timedelta(days=20) * self._rng.random()).replace(microsecond=0)


def _birth_header(entry: Entry, site: Site) -> "Demographics":
    return write_down(replace(entry, used_family="", used_given="", in_use_only=True), site)
