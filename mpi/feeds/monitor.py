"""
How the feeds do: what each source sent lately, what became of it, and what somebody should look into.

It is made of the journal, the cursors of the harvests and the sequence numbers, so that every process
of the service gives the same answer, from counts that are kept as messages come: it reads few rows however
long the journal is. It names places and problems, and never a patient.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import TypeVar

from mpi.feeds.dicom.tally import Exclusion, exclusions
from mpi.index.events import MessageState
from mpi.index.parties import Directory, PatientIdentitySource
from mpi.index.ports import Arrival, HarvestCondition, HarvestCursor, Store

LATELY = 2_000
"""How many of the last messages tell of warnings and clocks."""
MOST_FREQUENT = 20
"""How many problems and warnings of a source are told one by one."""
CLOCK_TOLERANCE_SECONDS = 120.0
"""How far a sender's clock may run ahead of ours: its messages are stamped before they are received."""
CERTIFICATE_WARNING = timedelta(days=30)

USUAL_DAYS = 7
"""How far back the usual rate of a source is looked for."""
USUAL_HOURS = 24
"""Hours with messages it takes to tell what is usual."""
FLOOD_MESSAGES = 600
"""Fewer in an hour are no flood, however unusual."""
GROWING_MESSAGES = 10
"""Fewer quarantined in a day are no growth."""

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)
_CHARSET_PLACES = ("MSH^1^18", "(0008,0005)")
_PROFILE_PLACES = ("MSH^1^9", "MSH^1^12")
_UNREADABLE_PLACE = "file"

_Kind = TypeVar("_Kind", str, tuple[str, str])


class Alarm(StrEnum):
    """What is wrong with a feed."""

    SILENT = "silent"
    """No message for longer than its configuration takes for normal, or never any."""
    CLOCK = "clock"
    """Its clock runs ahead of ours: what it says may outweigh what is newer."""
    QUARANTINE = "quarantine"
    """Its last message was quarantined."""
    FLOOD = "flood"
    """In the last hour it sent far more than it usually does."""
    QUARANTINE_GROWS = "quarantine_grows"
    """More messages were quarantined in the last day, and still are, than in the day before."""
    STOPPED = "stopped"
    """Its quarantine is full: nothing more of it is taken."""
    HARVEST = "harvest"
    """Its archive cannot be asked, or gives no answer."""
    CERTIFICATE = "certificate"
    """A certificate of this index is about to expire, or has."""


@dataclass(frozen=True, slots=True)
class Journal:
    """
    What the store knows of the feeds.

    Args:
        counts: messages of each source by state.
        last: when each source was last heard of, and what became of that message.
        stopped: quarantined and refused messages of each source, by state, place and problem.
        hours: messages of each source by the hour they came in and their state, of the last days.
        recent: the last messages, newest first.
        harvests: how far the archives have been asked.
        conditions: how their harvests do.
        expected: the sequence number each source has to send next.
    """

    counts: Mapping[str, Mapping[MessageState, int]] = field(default_factory=dict)
    last: Mapping[str, tuple[datetime, MessageState]] = field(default_factory=dict)
    stopped: Mapping[str, Mapping[tuple[MessageState, str, str], int]] = field(default_factory=dict)
    hours: Mapping[str, Mapping[datetime, Mapping[MessageState, int]]] = field(default_factory=dict)
    recent: tuple[Arrival, ...] = ()
    harvests: Mapping[str, HarvestCursor] = field(default_factory=dict)
    conditions: Mapping[str, HarvestCondition] = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)


class HarvestState(StrEnum):
    """What a harvest is doing."""

    RUNNING = "running"
    WAITING = "waiting"
    FAILING = "failing"


@dataclass(frozen=True, slots=True)
class HarvestStatus:
    """
    How the harvest of one archive does.

    Args:
        days_behind: whole days from the last one that was handed over to today; None before the first.
    """

    state: HarvestState
    cursor: HarvestCursor
    condition: HarvestCondition
    days_behind: int | None


@dataclass(frozen=True, slots=True)
class Rates:
    """
    Messages per minute.

    The last hour is estimated from the hour that runs and its share of the hour before.

    Args:
        usual: the mean over the hours with messages of the last days, but the last two; None when they are too few.
    """

    hour: float = 0.0
    day: float = 0.0
    usual: float | None = None


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """
    How the feed of one source does.

    Args:
        is_configured: False for the names given to senders that are no source.
        last_received_at: None when it never sent anything.
        quarantined: the most frequent places and problems, most frequent first.
        warnings: what was tolerated in its recent messages, most frequent first.
        clock_ahead_seconds: the furthest a recent event was dated after its reception; negative when
            none was. None when no recent message states an event.
        delay_seconds: from a recent event to its reception, the median.
        charset_deviations: how many of its recent messages were in another character set than they said.
        profile_deviations: how many left the profile of their event.
        backlog: messages that wait for an earlier one of the same patient.
        excluded: headers that are of nobody, by why.
        unreadable: objects and files of which nothing could be read.
        expected_sequence: None for a source that does not number its messages, or may begin anywhere.
    """

    source: str
    is_configured: bool
    last_received_at: datetime | None
    counts: Mapping[MessageState, int]
    quarantined: tuple[tuple[tuple[str, str], int], ...] = ()
    warnings: tuple[tuple[str, int], ...] = ()
    clock_ahead_seconds: float | None = None
    delay_seconds: float | None = None
    harvest: HarvestStatus | None = None
    expected_sequence: int | None = None
    rates: Rates = Rates()
    backlog: int = 0
    charset_deviations: int = 0
    profile_deviations: int = 0
    excluded: Mapping[Exclusion, int] = field(default_factory=dict)
    unreadable: int = 0
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate this index shows, by the key of the settings that names it."""

    key: str
    expires_at: datetime
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True, slots=True)
class FeedReport:
    """Every feed at one instant; sources by name."""

    at: datetime
    feeds: tuple[FeedStatus, ...]
    certificates: tuple[Certificate, ...] = ()


def look(
    store: Store,
    directory: Directory,
    *,
    at: datetime,
    certificates: Mapping[str, datetime],
    full: Collection[str] = (),
) -> FeedReport:
    """
    How every feed does now.

    Args:
        certificates: key of the settings -> when the certificate it names expires.
        full: names of the sources whose quarantine is.

    Raises:
        StoreError: the store is down.
    """
    names = [source.name for source in directory.sources]
    with store.read() as uow:
        harvests = {name: uow.harvests.get(name) for name in names}
        conditions = {name: uow.harvests.condition(name) for name in names}
        expected = {name: uow.sequences.expected(name) for name in names}
        journal = Journal(
            counts=uow.inbox.counts(),
            last=uow.inbox.last_received(),
            stopped=uow.inbox.stopped(),
            hours=uow.inbox.by_hour(at - timedelta(days=USUAL_DAYS)),
            recent=tuple(uow.inbox.recent(LATELY)),
            harvests={name: cursor for name, cursor in harvests.items() if cursor is not None},
            conditions={name: one for name, one in conditions.items() if one is not None},
            expected={name: number for name, number in expected.items() if number is not None},
        )
    return report(journal, directory.sources, at=at, certificates=certificates, full=full)


def report(
    journal: Journal,
    sources: Iterable[PatientIdentitySource],
    *,
    at: datetime,
    certificates: Mapping[str, datetime],
    full: Collection[str] = (),
) -> FeedReport:
    """What the journal says of each source, configured or not."""
    configured = {source.name: source for source in sources}
    recent: dict[str, list[Arrival]] = {}
    for arrival in journal.recent:
        recent.setdefault(arrival.source, []).append(arrival)
    names = sorted(configured.keys() | journal.counts.keys())
    statuses = [_status(name, configured.get(name), journal, recent.get(name, ()), at) for name in names]
    feeds = tuple(
        replace(one, alarms=(*one.alarms, Alarm.STOPPED)) if one.source in full else one for one in statuses
    )
    shown = tuple(
        Certificate(key, expires, (Alarm.CERTIFICATE,) if expires - at < CERTIFICATE_WARNING else ())
        for key, expires in sorted(certificates.items())
    )
    return FeedReport(at, feeds, shown)


def _status(
    name: str,
    source: PatientIdentitySource | None,
    journal: Journal,
    recent: Collection[Arrival],
    at: datetime,
) -> FeedStatus:
    last_received_at, last_state = journal.last.get(name, (None, None))
    warnings = Counter(text for arrival in recent for text in arrival.warnings)
    ahead = [(one.event_time - one.received_at).total_seconds() for one in recent if one.event_time]
    counts = journal.counts.get(name) or dict.fromkeys(MessageState, 0)
    stopped = journal.stopped.get(name, {})
    quarantined = Counter(
        {(place, why): n for (state, place, why), n in stopped.items() if state is MessageState.QUARANTINED}
    )
    refused = [
        ((place, why), n) for (state, place, why), n in stopped.items() if state is MessageState.REFUSED
    ]
    found = FeedStatus(
        source=name,
        is_configured=source is not None,
        last_received_at=last_received_at,
        counts=counts,
        quarantined=_most_frequent(quarantined),
        warnings=_most_frequent(warnings),
        clock_ahead_seconds=max(ahead, default=None),
        delay_seconds=-median(ahead) if ahead else None,
        harvest=_harvest(journal, name, at),
        expected_sequence=journal.expected.get(name),
        rates=_rates(journal.hours.get(name, {}), at),
        backlog=counts.get(MessageState.PARKED, 0),
        charset_deviations=_at_places(recent, _CHARSET_PLACES),
        profile_deviations=_at_places(recent, _PROFILE_PLACES),
        excluded=exclusions(refused),
        unreadable=sum(count for (place, _), count in quarantined.items() if place == _UNREADABLE_PLACE),
    )
    alarms = _alarms(found, source, last_state, journal.hours.get(name, {}), at)
    return replace(found, alarms=tuple(alarms))


def _alarms(
    found: FeedStatus,
    source: PatientIdentitySource | None,
    last_state: MessageState | None,
    hours: Mapping[datetime, Mapping[MessageState, int]],
    at: datetime,
) -> Iterator[Alarm]:
    if source is not None and _is_silent(source, found.last_received_at, at):
        yield Alarm.SILENT
    if source is not None and _is_flood(source, found.rates):
        yield Alarm.FLOOD
    if found.clock_ahead_seconds is not None and found.clock_ahead_seconds > CLOCK_TOLERANCE_SECONDS:
        yield Alarm.CLOCK
    if last_state is MessageState.QUARANTINED:
        yield Alarm.QUARANTINE
    if _quarantine_grows(hours, at):
        yield Alarm.QUARANTINE_GROWS
    if found.harvest is not None and found.harvest.state is HarvestState.FAILING:
        yield Alarm.HARVEST


def _harvest(journal: Journal, name: str, at: datetime) -> HarvestStatus | None:
    cursor, condition = journal.harvests.get(name), journal.conditions.get(name)
    if cursor is None and condition is None:
        return None
    cursor, condition = cursor or HarvestCursor(), condition or HarvestCondition()
    state = HarvestState.WAITING
    if condition.failing_since is not None:
        state = HarvestState.FAILING
    elif condition.running_since is not None:
        state = HarvestState.RUNNING
    behind = max(0, (at.date() - cursor.through).days) if cursor.through is not None else None
    return HarvestStatus(state, cursor, condition, behind)


def _rates(hours: Mapping[datetime, Mapping[MessageState, int]], at: datetime) -> Rates:
    running = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    share = 1.0 - (at - running) / _HOUR
    counts = {begun: sum(states.values()) for begun, states in hours.items()}

    def between(first: datetime, last: datetime) -> int:
        return sum(count for begun, count in counts.items() if first <= begun <= last)

    hour = counts.get(running, 0) + share * counts.get(running - _HOUR, 0)
    day = between(running - 23 * _HOUR, running) + share * counts.get(running - _DAY, 0)
    before = [count for begun, count in counts.items() if count and begun < running - _HOUR]
    usual = sum(before) / len(before) / 60 if len(before) >= USUAL_HOURS else None
    return Rates(hour / 60, day / (24 * 60), usual)


def _is_flood(source: PatientIdentitySource, rates: Rates) -> bool:
    if not source.flood_factor or rates.usual is None:
        return False
    return rates.hour * 60 >= FLOOD_MESSAGES and rates.hour > source.flood_factor * rates.usual


def _quarantine_grows(hours: Mapping[datetime, Mapping[MessageState, int]], at: datetime) -> bool:
    days = [0, 0]
    for begun, states in hours.items():
        age = (at - begun) // _DAY
        if 0 <= age <= 1:
            days[age] += states.get(MessageState.QUARANTINED, 0)
    return days[0] >= GROWING_MESSAGES and days[0] > days[1]


def _at_places(recent: Iterable[Arrival], places: tuple[str, ...]) -> int:
    return sum(any(text.startswith(places) for text in arrival.warnings) for arrival in recent)


def _is_silent(source: PatientIdentitySource, last_received_at: datetime | None, at: datetime) -> bool:
    if not source.silent_after_seconds:
        return False
    return last_received_at is None or (at - last_received_at).total_seconds() > source.silent_after_seconds


def _most_frequent(counts: Mapping[_Kind, int]) -> tuple[tuple[_Kind, int], ...]:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_FREQUENT])
