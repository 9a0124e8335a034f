"""Harvesting several sites: every study once, nothing lost by interruptions, and each site on its own."""

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import date, timedelta

import pytest

from mpi.errors import SettingsError, StoreError
from mpi.feeds.dicom.archive import Answer, CutOff, Pause, Person, SiteProblem, name_forms, studies_of
from mpi.feeds.dicom.harvest import MAX_BACKOFF_SECONDS, Cursor, Harvester, Site
from mpi.feeds.dicom.header import STUDY_DATE, STUDY_TIME, header_from_json
from mpi.feeds.dicom.tally import REPEATED
from mpi.index.events import Envelope, Instruction, Receipt
from tests.unit.feeds.dicom.files import FakeRegistry, build_directory

TODAY = date(2026, 3, 5)
SINCE = date(2026, 3, 1)


def study(number: int, day: date, *, name: str = "DUVIVIER^LOU", patient: str = "") -> Answer:
    elements = {
        "00080020": [f"{day:%Y%m%d}"],
        "00100010": [{"Alphabetic": name}],
        "00100020": [patient or f"A{number}"],
        "0020000D": [f"2.999.{number}"],
    }
    return Answer(header_from_json({tag: {"vr": "LO", "Value": value} for tag, value in elements.items()}))


class FakeArchive:
    """Answers by day; may fail, may be cut off."""

    matches_any_text = True

    def __init__(self, *studies: Answer, page_size: int = 2) -> None:
        self.kept = list(studies)
        self.asked: list[Mapping[int, str]] = []
        self.failing = False
        self.cut_off = False
        self._page_size = page_size

    def studies(
        self, keys: Mapping[int, str], *, skip: int = 0, pause: Pause = lambda: None
    ) -> Iterator[tuple[Answer, ...]]:
        pause()
        self.asked.append(keys)
        if self.failing:
            raise SiteProblem("cannot be reached")
        day = keys.get(STUDY_DATE, "")[:8]
        found = [one for one in self.kept if not day or one.text(STUDY_DATE) == day][skip:]
        cut = self.cut_off and STUDY_TIME not in keys
        for start in range(0, 1 if cut else len(found), self._page_size):
            pause()
            yield tuple(found[start : start + self._page_size])
        if cut:
            raise CutOff("more")


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        self.day = TODAY

    def today(self) -> date:
        return self.day

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class FakeProgress:
    def __init__(self) -> None:
        self.cursors: dict[str, Cursor] = {}
        self.told: list[tuple[str, str | None]] = []

    def begun(self, source: str) -> None:
        self.told.append((source, None))

    def ended(self, source: str, problem: str, *, next_in_seconds: float) -> None:
        self.told.append((source, problem))

    def load(self, source: str) -> Cursor | None:
        return self.cursors.get(source)

    def save(self, source: str, cursor: Cursor) -> None:
        self.cursors[source] = cursor


class Federation:
    """One harvester, and what it touched."""

    def __init__(self, registry: FakeRegistry | None = None, **archives: FakeArchive) -> None:
        self.registry = registry or FakeRegistry()
        self.clock = FakeClock()
        self.progress = FakeProgress()
        self.sites = [
            Site(f"pacs-{letter}", archive, SINCE, lookback_days=2) for letter, archive in archives.items()
        ]
        self.restart()

    def restart(self) -> None:
        self.harvester = Harvester(
            self.sites, self.registry, build_directory(), self.progress, clock=self.clock
        )

    @property
    def patients(self) -> list[str]:
        return [one.records[0].key.value for one in self.registry.instructions]  # type: ignore[union-attr]


def some_studies(count: int = 5) -> list[Answer]:
    return [study(number, SINCE + timedelta(days=number % 5)) for number in range(count)]


def test_every_study_is_handed_over_once_and_the_cursor_is_today() -> None:
    federation = Federation(a=FakeArchive(*some_studies(12)))

    wait = federation.harvester.attempt(federation.sites[0])

    assert sorted(federation.patients) == sorted(f"A{number}" for number in range(12))
    assert federation.progress.cursors == {"pacs-a": Cursor(TODAY)}
    assert wait == federation.sites[0].every_seconds


def test_the_next_harvest_asks_the_last_days_only_and_finds_what_came_late() -> None:
    archive = FakeArchive(*some_studies())
    federation = Federation(a=archive)
    federation.harvester.attempt(federation.sites[0])
    archive.asked.clear()
    archive.kept.append(study(99, TODAY - timedelta(days=1)))
    federation.clock.day = TODAY + timedelta(days=1)

    federation.harvester.attempt(federation.sites[0])

    assert [keys[STUDY_DATE][:8] for keys in archive.asked] == ["20260304", "20260305", "20260306"]
    assert federation.patients.count("A99") == 1
    assert len(federation.registry.envelopes) == 6
    assert federation.harvester.tally.counts().states[("pacs-a", REPEATED)] == 2


def test_a_corrected_patient_is_another_message() -> None:
    archive = FakeArchive(study(1, TODAY, patient="A1"))
    federation = Federation(a=archive)
    federation.harvester.attempt(federation.sites[0])
    archive.kept = [study(1, TODAY, patient="A2")]

    federation.harvester.attempt(federation.sites[0])

    assert federation.patients == ["A1", "A2"]


def test_an_interrupted_day_goes_on_where_it_stopped_and_loses_nothing() -> None:
    class Failing(FakeRegistry):
        left = 3

        def receive(
            self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes]
        ) -> Receipt:
            if self.left == 0:
                raise StoreError("disk full")
            self.left -= 1
            return super().receive(envelope, read, reply)

    registry = Failing()
    federation = Federation(registry, a=FakeArchive(*(study(number, SINCE) for number in range(7))))
    assert federation.harvester.attempt(federation.sites[0]) == 5.0
    assert federation.progress.cursors == {"pacs-a": Cursor(None, 2)}

    registry.left = -1
    federation.restart()
    federation.harvester.attempt(federation.sites[0])

    assert sorted(set(federation.patients)) == [f"A{number}" for number in range(7)]
    assert federation.progress.cursors == {"pacs-a": Cursor(TODAY)}


def test_a_site_that_is_down_waits_longer_and_longer_and_recovers() -> None:
    archive = FakeArchive(*some_studies())
    archive.failing = True
    federation = Federation(a=archive)
    (site,) = federation.sites

    waits = [federation.harvester.attempt(site) for _ in range(12)]

    assert waits[:4] == [5.0, 10.0, 20.0, 40.0]
    assert waits[-1] == MAX_BACKOFF_SECONDS
    assert federation.harvester.states["pacs-a"].problem == "cannot be reached"
    archive.failing = False
    assert federation.harvester.attempt(site) == site.every_seconds
    assert federation.harvester.states["pacs-a"].failures == 0
    assert len(federation.patients) == 5


def test_a_site_may_say_how_long_to_wait() -> None:
    archive = FakeArchive()

    def busy(*_: object, **__: object) -> Iterator[tuple[Answer, ...]]:
        raise SiteProblem("asked to wait", 120.0)

    archive.studies = busy  # type: ignore[method-assign,assignment]
    federation = Federation(a=archive)

    assert federation.harvester.attempt(federation.sites[0]) == 120.0


def test_requests_keep_their_distance() -> None:
    federation = Federation(a=FakeArchive(*some_studies(20)))

    federation.harvester.attempt(federation.sites[0])

    requests = len(federation.sites[0].archive.asked) + 10  # type: ignore[attr-defined]
    assert federation.clock.now == pytest.approx((requests - 1) * 0.5)


def test_a_cut_off_day_is_asked_hour_by_hour() -> None:
    archive = FakeArchive(*(study(number, SINCE) for number in range(6)))
    archive.cut_off = True
    federation = Federation(a=archive)

    federation.harvester.attempt(federation.sites[0])

    assert sorted(set(federation.patients)) == [f"A{number}" for number in range(6)]
    assert federation.progress.cursors == {"pacs-a": Cursor(TODAY)}


def test_one_site_that_hangs_delays_no_other() -> None:
    hanging, reached = threading.Event(), threading.Event()

    class Hangs(FakeArchive):
        def studies(
            self, keys: Mapping[int, str], *, skip: int = 0, pause: Pause = lambda: None
        ) -> Iterator[tuple[Answer, ...]]:
            reached.set()
            hanging.wait(20)
            yield from ()

    federation = Federation(a=Hangs(), b=FakeArchive(*some_studies()))
    harvester = Harvester(federation.sites, federation.registry, build_directory(), federation.progress)
    harvester.start()
    try:
        assert reached.wait(10)
        for _ in range(200):
            if federation.progress.cursors.get("pacs-b", Cursor()).through:
                break
            threading.Event().wait(0.02)
        assert "pacs-b" in federation.progress.cursors
        assert "pacs-a" not in federation.progress.cursors
    finally:
        hanging.set()
        harvester.stop()


def test_a_defect_does_not_end_a_harvest() -> None:
    archive = FakeArchive(*some_studies())
    archive.kept = [None]  # type: ignore[list-item]
    federation = Federation(a=archive)

    assert federation.harvester.attempt(federation.sites[0]) == MAX_BACKOFF_SECONDS
    assert federation.harvester.states["pacs-a"].problem == "defect: AttributeError"


def test_a_site_without_a_source_is_a_mistake_of_the_configuration() -> None:
    with pytest.raises(SettingsError):
        Harvester([Site("pacs-z", FakeArchive(), SINCE)], FakeRegistry(), build_directory(), FakeProgress())


def test_a_name_is_looked_for_in_every_form() -> None:
    assert name_forms("Noël") == ("Noël", "NOËL", "NOEL")
    assert {"LE GOFF", "LE-GOFF", "LEGOFF"} <= set(name_forms("LE GOFF"))
    assert "COEUR" in name_forms("CŒUR")


@pytest.mark.parametrize("birth_date", [None, date(1984, 2, 29)])
def test_a_person_is_found_whatever_the_site_makes_of_accents(birth_date: date | None) -> None:
    archive = FakeArchive(
        study(1, TODAY, name="NOËL^HÉLÈNE"),
        study(2, TODAY, name="NOEL^HELENE"),
        study(3, TODAY, name="NOELLE^HELENE"),
    )

    found = studies_of(archive, Person("Noël", "Hélène", birth_date))

    assert [one.text(0x0020000D) for one in found] == ["2.999.1", "2.999.2"]
    assert len(archive.asked) == (1 if birth_date else 3)
