"""
The federation: people who visit sites, what the sites state of them, and when they say so.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from mpi.identity.model import AssigningAuthority, PartialDate

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
    header_name,
    test_patient,
    unknown_patient,
    write_down,
)

OPENING = datetime(2025, 11, 3, 7, tzinfo=UTC)
CLOSING = datetime(2026, 2, 10, 19, tzinfo=UTC)
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
        progress: told (done, total) now and then; each person counts twice, once drawn and once sent on visits.

    Raises:
        ValueError: no person or no site.
    """
    if persons < 1:
        raise ValueError("a federation needs one person or more")
    tell = progress or (lambda done, total: None)
    people = draw_people(persons, seed, lambda done: tell(done, 2 * persons))
    places = default_sites(sites)
    rng = random.Random(f"visits/{persons}/{sites}/{seed}/{profile.name}")
    history = _History(places, profile, rng, people)
    for done, person in enumerate(people, start=1):
        history.visits_of(person)
        if done % 500 == 0:
            tell(persons + done, 2 * persons)
    tell(2 * persons, 2 * persons)
    records, events = history.finish()
    return Federation(people, places, records, events, seed, profile)


class _History:
    """
    What happens, person after person; put in order of time at the end.

    Numbers are given in that order too: neither a record id nor a local one tells who is who.
    """

    def __init__(
        self, sites: tuple[Site, ...], profile: Profile, rng: random.Random, people: tuple[Person, ...]
    ) -> None:
        self._sites = sites
        self._profile = profile
        self._rng = rng
        self._people = {person.person_id: person for person in people}
        self._last_said: dict[str, StatedRecord] = {}
        self._events: list[Event] = []

    def finish(self) -> tuple[tuple[StatedRecord, ...], tuple[Event, ...]]:
        """Return every record as last stated, and every event in order of time."""
        rng = self._rng
        last_number = {site.namespace: 1000 for site in self._sites}
        formats = {site.namespace: site.number for site in self._sites}
        order = dict.fromkeys(last_number, 0)
        ids: dict[str, tuple[str, str]] = {}
        records: dict[str, StatedRecord] = {}
        events = []
        for event in sorted(self._events, key=lambda event: event.event_time):
            draft, site = event.record.record_id, event.record.site
            if draft not in ids:
                last_number[site] += rng.randint(1, 5)
                ids[draft] = (f"R{len(ids) + 1:07d}", formats[site].format(last_number[site]))
            record_id, local_id = ids[draft]
            order[site] += 1
            record = replace(event.record, record_id=record_id, local_id=local_id)
            subsumed = ids[event.subsumed][1] if event.subsumed else ""
            events.append(replace(event, record=record, subsumed=subsumed, number=order[site]))
            if event.kind in (EventKind.CREATE, EventKind.UPDATE) or record_id not in records:
                records[record_id] = record
        return tuple(records.values()), tuple(events)

    def visits_of(self, person: Person) -> None:
        """Send a person to some sites; now and then somebody tries the machines there out."""
        rng = self._rng
        for site in self._sites_of(person):
            first = self._visit(person, site)
            if rng.random() < self._profile.duplicates:
                self._second_record(person, site, first)
            if rng.random() < self._profile.placeholder / 2:
                nobody = f"NOBODY-{len(self._last_said) + 1:07d}"
                self._open(nobody, site, test_patient(site, rng), self._moment())

    def _sites_of(self, person: Person) -> list[Site]:
        left = list(self._sites)
        nearby = int(person.home.postal_code[:2]) % len(left)
        weights = [(NEARBY_SITE_FACTOR if at == nearby else 1.0) / (1 + at) ** 0.3 for at in range(len(left))]
        chosen = []
        for _ in range(min(SITES_PER_PERSON.draw(self._rng), len(left))):
            at = self._rng.choices(range(len(left)), weights)[0]
            chosen.append(left.pop(at))
            weights.pop(at)
        return chosen

    def _visit(self, person: Person, site: Site) -> StatedRecord:
        rng, profile = self._rng, self._profile
        when = self._moment(person.birth_date)
        if rng.random() < profile.placeholder:
            return self._open(person.person_id, site, unknown_patient(site, person, rng), when)
        mother = self._people.get(person.mother_id)
        entry = enter(person, site, profile, rng, when.date(), mother=mother)
        record = self._open(person.person_id, site, entry, when)
        if site.feed is Feed.DICOM:
            return record
        if later := self._later_change(person, entry, site):
            entry = later
            record = self._update(record, entry, site)
        if rng.random() < HEADERS_BESIDE_A_FEED:
            self._copy_to_header(record, entry, site)
        return record

    def _later_change(self, person: Person, entry: Entry, site: Site) -> Entry | None:
        """Draw what an update will say, if there is one: named at last, corrected, married, moved."""
        rng = self._rng
        if rng.random() >= (0.8 if entry.unnamed else self._profile.updates):
            return None
        if entry.unnamed or (entry.wrong and rng.random() < 0.8):
            return corrected(entry, person)
        if person.used_family and not entry.used_family and person.age_on(CLOSING.date()) < 50:
            return replace(entry, used_family=person.used_family)
        if entry.home and person.former_home and entry.home != person.home:
            return replace(entry, home=person.home)
        if person.ins and not entry.ins and person.birth_day_known and rng.random() < 2 * site.ins:
            return replace(corrected(entry, person), ins=person.ins, codes=("VALI",), place_as_code=True)
        if person.mobile and person.mobile not in entry.phones:
            return replace(entry, phones=(person.mobile, *entry.phones[:1]))
        return replace(entry, home=person.former_home or person.home)

    def _second_record(self, person: Person, site: Site, first: StatedRecord) -> None:
        rng = self._rng
        when = self._after(first.event_time)
        again = enter(person, site, self._profile, rng, when.date(), duplicate=True)
        second = self._open(person.person_id, site, again, when)
        if site.feed is not Feed.DICOM and rng.random() < self._profile.duplicates_merged:
            merged = self._after(max(first.event_time, when))
            self._events.append(Event(EventKind.MERGE, first, merged, subsumed=second.record_id))

    def _open(self, person_id: str, site: Site, entry: Entry, when: datetime) -> StatedRecord:
        """Create a record; its ids are drafts until the end."""
        rng = self._rng
        header = site.feed is Feed.DICOM
        if header:
            entry = replace(entry, header_name=header_name(site, rng))
        record = StatedRecord(
            record_id=f"{len(self._last_said) + 1}",
            person_id=person_id,
            site=site.namespace,
            local_id="",
            demographics=write_down(entry, site),
            event_time=when,
            channel="dicom" if header else "hl7",
            issuer_stated=not header or rng.random() < site.issuer_in_header,
        )
        return self._say(EventKind.HEADER if header else EventKind.CREATE, record)

    def _update(self, record: StatedRecord, entry: Entry, site: Site) -> StatedRecord:
        said = replace(
            record, demographics=write_down(entry, site), event_time=self._after(record.event_time)
        )
        return self._say(EventKind.UPDATE, said)

    def _say(self, kind: EventKind, record: StatedRecord) -> StatedRecord:
        self._last_said[record.record_id] = record
        self._events.append(Event(kind, record, record.event_time))
        return record

    def _copy_to_header(self, record: StatedRecord, entry: Entry, site: Site) -> None:
        """Copy a fed identity to a header, as a modality does: one name, a whole date, few traits."""
        rng = self._rng
        birth_date = entry.birth_date
        if birth_date and birth_date.day is None:
            birth_date = PartialDate(birth_date.year, 1, 1)
        shown = Entry(
            entry.family,
            entry.given,
            used_family=entry.used_family,
            used_given=entry.used_given,
            birth_date=birth_date,
            sex=entry.sex,
            ins=entry.ins if rng.random() < 0.3 else "",
            header_name=header_name(site, rng),
        )
        header = replace(
            record,
            demographics=write_down(shown, site),
            event_time=self._after(record.event_time),
            channel="dicom",
            issuer_stated=rng.random() < site.issuer_in_header,
        )
        self._events.append(Event(EventKind.HEADER, header, header.event_time))

    def _moment(self, born: date | None = None) -> datetime:
        """Draw a moment between opening and closing; in the first week of life for most newborns."""
        rng = self._rng
        when = OPENING + (CLOSING - OPENING) * rng.random()
        if born and born >= OPENING.date():
            birth = datetime(born.year, born.month, born.day, 12, tzinfo=UTC)
            when = birth + timedelta(days=5) * rng.random() if rng.random() < 0.6 else max(when, birth)
        return when.replace(microsecond=0)

    def _after(self, when: datetime) -> datetime:
        return (when + timedelta(minutes=5) + timedelta(days=20) * self._rng.random()).replace(microsecond=0)
