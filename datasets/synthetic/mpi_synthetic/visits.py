"""
Visits: who goes where, what each site says of it, when, and what becomes of a record later.
"""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from mpi.identity.model import PartialDate

from .entries import Entry, corrected, enter, header_name, test_patient, unknown_patient
from .events import Event, EventKind, StatedRecord
from .population import Part, Person
from .profiles import Profile
from .reference import Weighted
from .sites import Feed, Site
from .style import write_down

OPENING = datetime(2025, 11, 3, 7, tzinfo=UTC)
CLOSING = datetime(2026, 2, 10, 19, tzinfo=UTC)
"""First contacts fall between these; updates and merges follow, each at most 20 days after the last."""
SITES_PER_PERSON = Weighted([(1, 48.0), (2, 29), (3, 15), (4, 8)])
NEARBY_SITE_FACTOR = 3.0
HEADERS_BESIDE_A_FEED = 0.06
DEATHS_STATED = 0.5
LOCAL_NUMBERS_PER_PART = 200_000
RECORDS_PER_PART = 50_000
"""Parts number their records apart; these leave room for a part where all goes wrong."""


def draw_visits(
    people: tuple[Person, ...], part: Part, sites: tuple[Site, ...], seed: int, profile: Profile
) -> tuple[tuple[StatedRecord, ...], tuple[Event, ...]]:
    """Draw what sites say of a part of the population: records as last stated, and events in order of time."""
    chance = f"visits/{seed}/{part.index}/{part.parts}/{part.persons}/{len(sites)}/{profile.name}"
    visits = _Visits(sites, profile, random.Random(chance), people)
    for person in people:
        visits.visits_of(person)
    return visits.finish(part)


class _Visits:
    """What happens, person after person; put in order of time at the end."""

    def __init__(
        self, sites: tuple[Site, ...], profile: Profile, rng: random.Random, people: tuple[Person, ...]
    ) -> None:
        self._sites = sites
        self._profile = profile
        self._rng = rng
        self._everyone = people
        self._people = {person.person_id: person for person in people}
        self._last_said: dict[str, StatedRecord] = {}
        self._events: list[Event] = []

    def finish(self, part: Part) -> tuple[tuple[StatedRecord, ...], tuple[Event, ...]]:
        """
        Return every record as last stated, and every event in order of time.

        Numbers are given in that order too: neither a record id nor a local one tells who is who.
        """
        rng = self._rng
        first_number = 1000 + part.index * LOCAL_NUMBERS_PER_PART
        last_number = {site.namespace: first_number for site in self._sites}
        formats = {site.namespace: site.number for site in self._sites}
        ids: dict[str, tuple[str, str]] = {}
        records: dict[str, StatedRecord] = {}
        events = []
        for event in sorted(self._events, key=lambda event: event.event_time):
            draft, site = event.record.record_id, event.record.site
            if draft not in ids:
                last_number[site] += rng.randint(1, 5)
                number = part.index * RECORDS_PER_PART + len(ids) + 1
                ids[draft] = (f"R{number:07d}", formats[site].format(last_number[site]))
            record_id, local_id = ids[draft]
            record = replace(event.record, record_id=record_id, local_id=local_id)
            subsumed = ids[event.subsumed][1] if event.subsumed else ""
            events.append(replace(event, record=record, subsumed=subsumed))
            if event.kind in (EventKind.CREATE, EventKind.UPDATE) or record_id not in records:
                records[record_id] = record
        return tuple(records.values()), tuple(events)

    def visits_of(self, person: Person) -> None:
        """Send a person to some sites; now and then somebody tries the machines there out."""
        rng, profile = self._rng, self._profile
        for site in self._sites_of(person):
            last = self._visit(person, site)
            if rng.random() < profile.duplicates:
                self._second_record(person, site, last)
            elif site.feed is not Feed.DICOM and rng.random() < profile.overlays:
                self._overlay(last, site)
            if rng.random() < profile.placeholder / 2:
                nobody = f"NOBODY-{self._everyone[0].person_id[1:]}-{len(self._last_said) + 1:05d}"
                self._open(nobody, site, test_patient(site, rng), self._moment())

    def _sites_of(self, person: Person) -> list[Site]:
        count = len(self._sites)
        nearby = int(person.home.postal_code[:2]) % count
        left = [
            (site, (NEARBY_SITE_FACTOR if at == nearby else 1.0) / (1 + at) ** 0.3)
            for at, site in enumerate(self._sites)
        ]
        chosen = []
        for _ in range(min(SITES_PER_PERSON.draw(self._rng), count)):
            chosen.append(Weighted(left).draw(self._rng))
            left = [item for item in left if item[0] is not chosen[-1]]
        return chosen

    def _visit(self, person: Person, site: Site) -> StatedRecord:
        """Open a record, with what follows; return it as last stated."""
        rng, profile = self._rng, self._profile
        when = self._moment(person)
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
            record = replace(record, event_time=self._copy_to_header(record, entry, site))
        if person.death_date and rng.random() < DEATHS_STATED:
            record = self._death(person.death_date, record)
        return record

    def _later_change(self, person: Person, entry: Entry, site: Site) -> Entry | None:
        """Draw what an update will say, if there is one: named at last, corrected, married, moved."""
        rng = self._rng
        if rng.random() >= (0.8 if entry.unnamed else 0.5 if entry.nia else self._profile.updates):
            return None
        if entry.nia:
            return replace(entry, ins=person.ins, nia=False)
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
            merged = self._after(when)
            self._events.append(Event(EventKind.MERGE, first, merged, subsumed=second.record_id))

    def _overlay(self, record: StatedRecord, site: Site) -> None:
        """Give the number of a record to somebody else: the site's next word on it is another person."""
        rng = self._rng
        other = rng.choice(self._everyone)
        if other.person_id == record.person_id:
            return
        when = self._after(record.event_time)
        entry = enter(other, site, self._profile, rng, when.date())
        self._say(
            EventKind.UPDATE,
            replace(
                record,
                person_id=other.person_id,
                overlaid_person_id=record.person_id,
                demographics=write_down(entry, site),
                event_time=when,
                death_date=None,
                wrong=tuple(sorted(entry.wrong)),
            ),
        )

    def _death(self, day: date, record: StatedRecord) -> StatedRecord:
        when = self._after(max(record.event_time, _noon(day)))
        return self._say(EventKind.UPDATE, replace(record, event_time=when, death_date=day))

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
            wrong=tuple(sorted(entry.wrong)),
        )
        return self._say(EventKind.HEADER if header else EventKind.CREATE, record)

    def _update(self, record: StatedRecord, entry: Entry, site: Site) -> StatedRecord:
        said = replace(
            record,
            demographics=write_down(entry, site),
            event_time=self._after(record.event_time),
            wrong=tuple(sorted(entry.wrong)),
        )
        return self._say(EventKind.UPDATE, said)

    def _say(self, kind: EventKind, record: StatedRecord) -> StatedRecord:
        self._last_said[record.record_id] = record
        self._events.append(Event(kind, record, record.event_time))
        return record

    def _copy_to_header(self, record: StatedRecord, entry: Entry, site: Site) -> datetime:
        """Copy a fed identity to a header, as a modality does: one name, a whole date, few traits. Return when."""
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
            nia=entry.nia,
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
        return header.event_time

    def _moment(self, person: Person | None = None) -> datetime:
        """Draw a moment between opening and closing, in life; in its first week for most newborns."""
        rng = self._rng
        closing = min(CLOSING, _noon(person.death_date)) if person and person.death_date else CLOSING
        when = OPENING + (closing - OPENING) * rng.random()
        if person and person.birth_date >= OPENING.date():
            birth = _noon(person.birth_date)
            when = birth + timedelta(days=5) * rng.random() if rng.random() < 0.6 else max(when, birth)
        return when.replace(microsecond=0)

    def _after(self, when: datetime) -> datetime:
        return (when + timedelta(minutes=5) + timedelta(days=20) * self._rng.random()).replace(microsecond=0)


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
