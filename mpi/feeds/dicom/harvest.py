"""
Ask the archives of the federation for what they have, day by day, and go on where one left off.

Each site has a thread of its own, a pace of its own and a cursor of its own: one that is down, slow
or lying delays no other. Every study becomes the message that its file would have been. What was
handed over is durable before the cursor moves, so that a crash repeats a day and loses nothing.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from mpi.errors import FeedError, StoreError, UnreadableMessage
from mpi.feeds.dicom.archive import Answer, Archive, CutOff, SiteProblem, day_key
from mpi.feeds.dicom.header import FILE
from mpi.feeds.dicom.messages import HeaderMessage, Receiver, message_of, message_of_unreadable
from mpi.feeds.dicom.seen import StudiesSeen
from mpi.feeds.dicom.tally import REPEATED, Tally
from mpi.index.parties import Directory, PatientIdentitySource
from mpi.index.ports import HarvestCondition, HarvestCursor, Store

FIRST_BACKOFF_SECONDS = 5.0
MAX_BACKOFF_SECONDS = 1800.0
_PARIS = ZoneInfo("Europe/Paris")  # study dates are the site's own calendar days
_ONE_DAY = timedelta(days=1)

log = logging.getLogger(__name__)


Cursor = HarvestCursor


class Progress(Protocol):
    """Where cursors survive a restart."""

    def load(self, source: str) -> Cursor | None:
        """The cursor of a source, or None when it was never harvested."""

    def save(self, source: str, cursor: Cursor) -> None:
        """
        Keep a cursor, durably.

        Raises:
            StoreError: it is not kept.
        """

    def begun(self, source: str) -> None:
        """An attempt begins."""

    def ended(self, source: str, problem: str, *, next_in_seconds: float) -> None:
        """It ended: well, without a problem; and there is another one."""


class StoreProgress:
    """
    Cursors in the index's own store.

    Args:
        now: the present instant, aware, UTC.
    """

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    def load(self, source: str) -> Cursor | None:
        with self._store.read() as uow:
            return uow.harvests.get(source)

    def save(self, source: str, cursor: Cursor) -> None:
        with self._store.write() as uow:
            uow.harvests.put(source, cursor, at=self._now())
            uow.commit()

    def begun(self, source: str) -> None:
        at = self._now()
        self._note(source, lambda before: replace(before, running_since=at), at)

    def ended(self, source: str, problem: str, *, next_in_seconds: float) -> None:
        at = self._now()

        def now(before: HarvestCondition) -> HarvestCondition:
            return HarvestCondition(
                problem=problem,
                failing_since=(before.failing_since or at) if problem else None,
                succeeded_at=before.succeeded_at if problem else at,
                next_at=at + timedelta(seconds=next_in_seconds),
            )

        self._note(source, now, at)

    def _note(
        self, source: str, change: Callable[[HarvestCondition], HarvestCondition], at: datetime
    ) -> None:
        """For the monitor: a store that takes nothing is reported by whoever has something to keep."""
        with suppress(StoreError), self._store.write() as uow:
            before = uow.harvests.condition(source) or HarvestCondition()
            uow.harvests.note(source, change(before), at=at)
            uow.commit()


class Clock(Protocol):
    """Time, as the harvest sees it; tests have their own."""

    def today(self) -> date:
        """Today at the sites."""

    def monotonic(self) -> float:
        """Seconds, that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait; may return early when the harvest stops."""


@dataclass(frozen=True, slots=True)
class Site:
    """
    One archive to harvest.

    Args:
        source: name of the configured source its studies come from.
        since: the first day that is asked for.
        lookback_days: how many days, the last one included, are asked for again: images arrive late.
        every_seconds: from the end of one harvest to the next.
        requests_per_second: never faster.
    """

    source: str
    archive: Archive
    since: date
    lookback_days: int = 3
    every_seconds: float = 900.0
    requests_per_second: float = 2.0

    def __post_init__(self) -> None:
        if self.lookback_days < 1 or self.requests_per_second <= 0:
            raise ValueError("today is never over: it has to be asked for again, at some pace")


@dataclass(frozen=True, slots=True)
class SiteState:
    """
    How the harvest of one site goes, for the feed monitor.

    Args:
        through: the last day handed over.
        problem: why it waits; empty while it goes well.
        failures: attempts that failed since the last success.
        incomplete: hours of which the site did not give everything.
    """

    through: date | None = None
    problem: str = ""
    failures: int = 0
    incomplete: int = 0
    last_success: datetime | None = None


class Harvester:
    """
    Harvests any number of sites, each in a thread of its own.

    Args:
        clock: the machine's unless given.

    Raises:
        SettingsError: a site names no configured source.
    """

    def __init__(
        self,
        sites: Iterable[Site],
        registry: Receiver,
        directory: Directory,
        progress: Progress,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._sites = tuple(sites)
        self._registry = registry
        self._directory = directory
        self._progress = progress
        self._stopping = threading.Event()
        self._clock = clock or _MachineClock(self._stopping)
        self._seen = StudiesSeen()
        self._sources = {site.source: directory.source(site.source) for site in self._sites}
        self._states = {site.source: SiteState() for site in self._sites}
        self._threads: list[threading.Thread] = []
        self.tally = Tally()

    def start(self) -> None:
        """Begin, in the background."""
        self._stopping.clear()
        self._threads = [
            threading.Thread(target=self.run, args=(site,), name=f"harvest-{site.source}", daemon=True)
            for site in self._sites
        ]
        for thread in self._threads:
            thread.start()

    def stop(self, *, patience_seconds: float = 10.0) -> None:
        """Let every site finish its answer at hand; the cursor says where to go on."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=patience_seconds)
        self._threads = []

    @property
    def states(self) -> Mapping[str, SiteState]:
        """How each site does."""
        return dict(self._states)

    def run(self, site: Site) -> None:
        """Harvest one site for ever: again after a while when it went well, later and later when it did not."""
        while not self._stopping.is_set():
            self._clock.sleep(self.attempt(site))

    def attempt(self, site: Site) -> float:
        """Harvest one site up to today, whatever happens, and return how long to wait before the next attempt."""
        self._progress.begun(site.source)
        wait_seconds = self._attempt(site)
        problem = self._states[site.source].problem
        self._progress.ended(site.source, problem, next_in_seconds=wait_seconds)
        return wait_seconds

    def _attempt(self, site: Site) -> float:
        try:
            self.catch_up(site)
        except (SiteProblem, StoreError) as problem:
            return self._note_failure(site, str(problem), getattr(problem, "retry_after_seconds", 0.0))
        except Exception as defect:  # noqa: BLE001 - a defect met in one site's answers must not end its harvest
            return self._note_failure(site, f"defect: {type(defect).__name__}", MAX_BACKOFF_SECONDS)
        self._note(site, problem="", failures=0, last_success=datetime.now(_PARIS))
        return site.every_seconds

    def catch_up(self, site: Site) -> None:
        """
        Hand over every study from where the cursor is, and the last days again, up to today.

        Raises:
            SiteProblem: the site cannot be asked now; the cursor is where it was left.
            StoreError: the registry or the cursor's store took nothing.
        """
        cursor = self._progress.load(site.source) or Cursor()
        today = self._clock.today()
        pace = _Pace(self._clock, site.requests_per_second)
        for day in _days(site, cursor, today):
            is_next = cursor.through is None or day > cursor.through
            self._harvest_day(site, day, pace, cursor if is_next else None)
            if self._stopping.is_set():
                return
            if is_next:
                cursor = Cursor(day)
                self._progress.save(site.source, cursor)
                self._note(site, through=day)

    def _harvest_day(self, site: Site, day: date, pace: "_Pace", cursor: Cursor | None) -> None:
        try:
            self._harvest(site, day_key(day), pace, cursor)
        except CutOff:
            for hour in range(24):
                if self._stopping.is_set():
                    return
                try:
                    self._harvest(site, day_key(day, hour), pace, None)
                except CutOff:
                    self._note(site, incomplete=self._states[site.source].incomplete + 1)
                    log.error(
                        "dicom.harvest_incomplete", extra={"source": site.source, "reason": f"{day} {hour} h"}
                    )

    def _harvest(self, site: Site, keys: Mapping[int, str], pace: "_Pace", cursor: Cursor | None) -> None:
        """Hand over what one question finds; a cursor is moved page by page."""
        done = cursor.skip if cursor else 0
        for page in site.archive.studies(keys, skip=done, pause=pace):
            for answer in page:
                if self._stopping.is_set():
                    return
                self._hand_over(answer, self._sources[site.source])
            done += len(page)
            if cursor:
                self._progress.save(site.source, replace(cursor, skip=done))

    def _hand_over(self, answer: Answer, source: PatientIdentitySource) -> None:
        message = self._message(answer, source)
        if self._seen.get(message.study) is not None:
            self.tally.add(source.name, REPEATED)
            return
        receipt = message.hand_to(self._registry)
        self.tally.add_receipt(source.name, receipt)
        self._seen.remember(message.study, receipt)

    def _message(self, answer: Answer, source: PatientIdentitySource) -> HeaderMessage:
        try:
            if answer.header is not None:
                return message_of(answer.header, source, self._directory)
            error = answer.error or UnreadableMessage(FILE, "no answer")
        except FeedError as unreadable:
            error = unreadable
        return message_of_unreadable(answer.raw, error, source)

    def _note_failure(self, site: Site, problem: str, at_least_seconds: float) -> float:
        failures = self._states[site.source].failures + 1
        self._note(site, problem=problem, failures=failures)
        log.warning("dicom.harvest_failed", extra={"source": site.source, "reason": problem})
        doubled = FIRST_BACKOFF_SECONDS * 2.0 ** min(failures - 1, 20)
        return max(at_least_seconds, min(MAX_BACKOFF_SECONDS, doubled))

    def _note(self, site: Site, **changes: object) -> None:
        self._states[site.source] = replace(self._states[site.source], **changes)  # type: ignore[arg-type]


def _days(site: Site, cursor: Cursor, today: date) -> Iterable[date]:
    """The last days again, and those never asked for; a day that is not over is asked for again tomorrow."""
    first = site.since
    if cursor.through is not None:
        first = max(site.since, min(cursor.through, today) - timedelta(days=site.lookback_days) + _ONE_DAY)
    for number in range((today - first).days + 1):
        yield first + timedelta(days=number)


class _Pace:
    """Waits before a request until it is due."""

    def __init__(self, clock: Clock, requests_per_second: float) -> None:
        self._clock = clock
        self._interval_seconds = 1.0 / requests_per_second
        self._due = clock.monotonic()

    def __call__(self) -> None:
        wait = self._due - self._clock.monotonic()
        if wait > 0:
            self._clock.sleep(wait)
        self._due = max(self._due, self._clock.monotonic()) + self._interval_seconds


class _MachineClock:
    def __init__(self, stopping: threading.Event) -> None:
        self._wait: Callable[[float], bool] = stopping.wait

    def today(self) -> date:
        return datetime.now(_PARIS).date()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        self._wait(seconds)
