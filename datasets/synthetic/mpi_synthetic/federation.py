"""
The federation: people who visit sites, what the sites state of them, and when they say so.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter

from mpi.identity.model import AssigningAuthority

from .events import Event, StatedRecord
from .population import Part, Person, draw_people, parts_of
from .profiles import JUDGING, Profile
from .sites import Site, default_sites
from .visits import draw_visits


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

    All of it stays in memory, about 5 kB a person: see `tables` for a large one.

    Args:
        progress: told (done, total), in people, after each part.

    Raises:
        ValueError: no person or no site.
    """
    places = default_sites(sites)
    people: list[Person] = []
    records: list[StatedRecord] = []
    events: list[Event] = []
    for part in parts_of(persons):
        found = draw_part(part, places, seed, profile)
        people += found[0]
        records += found[1]
        events += found[2]
        if progress:
            progress(len(people), persons)
    numbered = _numbered(sorted(events, key=attrgetter("event_time")), places)
    return Federation(tuple(people), places, tuple(records), numbered, seed, profile)


def draw_part(
    part: Part, sites: tuple[Site, ...], seed: int, profile: Profile
) -> tuple[tuple[Person, ...], tuple[StatedRecord, ...], tuple[Event, ...]]:
    """Draw people, records as last stated, and events in order of time, not numbered yet."""
    people = draw_people(part, seed, profile.same_day_namesakes)
    return (people, *draw_visits(people, part, sites, seed, profile))


def _numbered(events: list[Event], sites: tuple[Site, ...]) -> tuple[Event, ...]:
    """Number the events of each site, from 1."""
    last = {site.namespace: 0 for site in sites}
    numbered = []
    for event in events:
        last[event.record.site] += 1
        numbered.append(replace(event, number=last[event.record.site]))
    return tuple(numbered)
