"""
How the feeds do: what each source sent lately, what became of it, and what somebody should look into.

It is made of the journal, the cursors of the harvests and the sequence numbers, so that every process
of the service gives the same answer. It names places and problems, and never a patient.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from statistics import median
from typing import TypeVar

from mpi.index.events import MessageState
from mpi.index.parties import Directory, PatientIdentitySource
from mpi.index.ports import Arrival, HarvestCursor, Store

LATELY = 2_000
"""How many of the last messages tell of warnings and clocks."""
MOST_FREQUENT = 20
"""How many problems and warnings of a source are told one by one."""
CLOCK_TOLERANCE_SECONDS = 120.0
"""How far a sender's clock may run ahead of ours: its messages are stamped before they are received."""
CERTIFICATE_WARNING = timedelta(days=30)

_Kind = TypeVar("_Kind", str, tuple[str, str])


class Alarm(StrEnum):
    """What is wrong with a feed."""

    SILENT = "silent"
    """No message for longer than its configuration takes for normal, or never any."""
    CLOCK = "clock"
    """Its clock runs ahead of ours: what it says may outweigh what is newer."""
    QUARANTINE = "quarantine"
    """Its last message was quarantined."""
    CERTIFICATE = "certificate"
    """A certificate of this index is about to expire, or has."""


@dataclass(frozen=True, slots=True)
class Journal:
    """
    What the store knows of the feeds.

    Args:
        counts: messages of each source by state.
        last: when each source was last heard of, and what became of that message.
        quarantined: quarantined messages of each source, by place and problem.
        recent: the last messages, newest first.
        harvests: how far the archives have been asked.
        expected: the sequence number each source has to send next.
    """

    counts: Mapping[str, Mapping[MessageState, int]] = field(default_factory=dict)
    last: Mapping[str, tuple[datetime, MessageState]] = field(default_factory=dict)
    quarantined: Mapping[str, Mapping[tuple[str, str], int]] = field(default_factory=dict)
    recent: tuple[Arrival, ...] = ()
    harvests: Mapping[str, HarvestCursor] = field(default_factory=dict)
    expected: Mapping[str, int] = field(default_factory=dict)


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
    harvest: HarvestCursor | None = None
    expected_sequence: int | None = None
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
    store: Store, directory: Directory, *, at: datetime, certificates: Mapping[str, datetime]
) -> FeedReport:
    """
    How every feed does now.

    Args:
        certificates: key of the settings -> when the certificate it names expires.

    Raises:
        StoreError: the store is down.
    """
    names = [source.name for source in directory.sources]
    with store.read() as uow:
        harvests = {name: uow.harvests.get(name) for name in names}
        expected = {name: uow.sequences.expected(name) for name in names}
        journal = Journal(
            counts=uow.inbox.counts(),
            last=uow.inbox.last_received(),
            quarantined=uow.inbox.quarantined(),
            recent=tuple(uow.inbox.recent(LATELY)),
            harvests={name: cursor for name, cursor in harvests.items() if cursor is not None},
            expected={name: number for name, number in expected.items() if number is not None},
        )
    return report(journal, directory.sources, at=at, certificates=certificates)


def report(
    journal: Journal,
    sources: Iterable[PatientIdentitySource],
    *,
    at: datetime,
    certificates: Mapping[str, datetime],
) -> FeedReport:
    """What the journal says of each source, configured or not."""
    configured = {source.name: source for source in sources}
    recent: dict[str, list[Arrival]] = {}
    for arrival in journal.recent:
        recent.setdefault(arrival.source, []).append(arrival)
    names = sorted(configured.keys() | journal.counts.keys())
    feeds = tuple(_status(name, configured.get(name), journal, recent.get(name, ()), at) for name in names)
    shown = tuple(
        Certificate(key, expires, (Alarm.CERTIFICATE,) if expires - at < CERTIFICATE_WARNING else ())
        for key, expires in sorted(certificates.items())
    )
    return FeedReport(at, feeds, shown)


def _status(
    name: str,
    source: PatientIdentitySource | None,
    journal: Journal,
    recent: Iterable[Arrival],
    at: datetime,
) -> FeedStatus:
    last_received_at, last_state = journal.last.get(name, (None, None))
    warnings = Counter(text for arrival in recent for text in arrival.warnings)
    ahead = [(one.event_time - one.received_at).total_seconds() for one in recent if one.event_time]
    clock_ahead = max(ahead, default=None)
    alarms = []
    if source is not None and _is_silent(source, last_received_at, at):
        alarms.append(Alarm.SILENT)
    if clock_ahead is not None and clock_ahead > CLOCK_TOLERANCE_SECONDS:
        alarms.append(Alarm.CLOCK)
    if last_state is MessageState.QUARANTINED:
        alarms.append(Alarm.QUARANTINE)
    return FeedStatus(
        source=name,
        is_configured=source is not None,
        last_received_at=last_received_at,
        counts=journal.counts.get(name) or dict.fromkeys(MessageState, 0),
        quarantined=_most_frequent(journal.quarantined.get(name, {})),
        warnings=_most_frequent(warnings),
        clock_ahead_seconds=clock_ahead,
        delay_seconds=-median(ahead) if ahead else None,
        harvest=journal.harvests.get(name),
        expected_sequence=journal.expected.get(name),
        alarms=tuple(alarms),
    )


def _is_silent(source: PatientIdentitySource, last_received_at: datetime | None, at: datetime) -> bool:
    if not source.silent_after_seconds:
        return False
    return last_received_at is None or (at - last_received_at).total_seconds() > source.silent_after_seconds


def _most_frequent(counts: Mapping[_Kind, int]) -> tuple[tuple[_Kind, int], ...]:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_FREQUENT])
