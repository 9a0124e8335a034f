"""What the feed monitor says of a journal, for people and for Prometheus."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from mpi.feeds.dicom.tally import EXCLUDED_AT
from mpi.feeds.exposition import exposition
from mpi.feeds.monitor import (
    MOST_FREQUENT,
    Alarm,
    FeedStatus,
    HarvestState,
    HarvestStatus,
    Journal,
    report,
)
from mpi.index.events import MessageState
from mpi.index.parties import PatientIdentitySource
from mpi.index.ports import Arrival, HarvestCondition, HarvestCursor

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
RIS = PatientIdentitySource("ris-a", ("2.999.1.1",), silent_after_seconds=600)


def ago(seconds: float) -> datetime:
    return NOON - timedelta(seconds=seconds)


def status(journal: Journal, source: PatientIdentitySource = RIS) -> FeedStatus:
    (found,) = report(journal, [source], at=NOON, certificates={}).feeds
    return found


def heard(seconds_ago: float, state: MessageState = MessageState.APPLIED) -> Journal:
    return Journal(counts={"ris-a": {state: 1}}, last={"ris-a": (ago(seconds_ago), state)})


def arrivals(*ahead_seconds: float | None, warnings: tuple[str, ...] = ()) -> tuple[Arrival, ...]:
    """Recent messages whose event was dated so long after their reception."""
    return tuple(
        Arrival("ris-a", ago(60), warnings, None if ahead is None else ago(60 - ahead))
        for ahead in ahead_seconds
    )


@pytest.mark.parametrize(
    ("journal", "alarms"),
    [
        pytest.param(heard(600), (), id="heard of lately"),
        pytest.param(heard(601), (Alarm.SILENT,), id="too long ago"),
        pytest.param(Journal(), (Alarm.SILENT,), id="never"),
        pytest.param(
            heard(1, MessageState.QUARANTINED), (Alarm.QUARANTINE,), id="its last one is quarantined"
        ),
    ],
)
def test_a_source_is_watched_as_it_is_configured(journal: Journal, alarms: tuple[Alarm, ...]) -> None:
    assert status(journal).alarms == alarms


def test_a_source_that_may_be_silent_never_alarms() -> None:
    assert status(Journal(), PatientIdentitySource("ris-a", ("2.999.1.1",))).alarms == ()


@pytest.mark.parametrize(
    ("ahead", "clock", "delay", "alarms"),
    [
        ((-30.0, -10.0, -20.0), -10.0, 20.0, ()),
        ((-30.0, 120.0, None), 120.0, -45.0, ()),
        ((121.0,), 121.0, -121.0, (Alarm.CLOCK,)),
        ((None,), None, None, ()),
    ],
)
def test_a_clock_that_runs_ahead_is_told_from_a_slow_line(
    ahead: tuple[float | None, ...], clock: float | None, delay: float | None, alarms: tuple[Alarm, ...]
) -> None:
    last = {"ris-a": (ago(1), MessageState.APPLIED)}
    found = status(Journal(last=last, recent=arrivals(*ahead)))

    assert (found.clock_ahead_seconds, found.delay_seconds, found.alarms) == (clock, delay, alarms)


def test_the_most_frequent_problems_and_warnings_come_first_and_are_bounded() -> None:
    problems = {
        (MessageState.QUARANTINED, f"PID-{number:03}", "odd"): 1 + (number == 7) for number in range(100)
    }
    recent = (*arrivals(0, warnings=("b",)), *arrivals(0, 0, warnings=("a", "b")))

    found = status(Journal(stopped={"ris-a": problems}, recent=recent))

    assert found.warnings == (("b", 3), ("a", 2))
    assert len(found.quarantined) == MOST_FREQUENT
    assert found.quarantined[:2] == ((("PID-007", "odd"), 2), (("PID-000", "odd"), 1))


def test_senders_that_are_no_source_are_told_apart() -> None:
    journal = Journal(counts={"unknown": {MessageState.QUARANTINED: 3}})

    found = report(journal, [RIS], at=NOON, certificates={}).feeds

    assert [(one.source, one.is_configured) for one in found] == [("ris-a", True), ("unknown", False)]


def test_cursors_and_numbers_are_those_of_the_source() -> None:
    cursor = HarvestCursor(date(2026, 3, 1), 7)

    found = status(Journal(harvests={"ris-a": cursor}, expected={"ris-a": 12}))

    assert found.harvest == HarvestStatus(HarvestState.WAITING, cursor, HarvestCondition(), 1)
    assert found.expected_sequence == 12


def hours(**messages: int) -> Journal:
    """Messages of the hours so many hours ago (`h0` runs), and of every hour of the days before `usual` times."""
    usual = messages.pop("usual", 0)
    found = {ago(3600 * number): {MessageState.APPLIED: usual} for number in range(3, 100) if usual}
    for name, count in messages.items():
        found[ago(3600 * int(name[1:]))] = {MessageState.APPLIED: count}
    return Journal(hours={"ris-a": found}, last={"ris-a": (ago(1), MessageState.APPLIED)})


def test_rates_are_of_the_last_hour_and_the_last_day() -> None:
    at = NOON + timedelta(minutes=15)
    journal = Journal(hours=hours(h0=60, h1=120, h23=1200, h24=400, h25=9999).hours)

    (found,) = report(journal, [RIS], at=at, certificates={}).feeds

    assert found.rates.hour == (60 + 0.75 * 120) / 60
    assert found.rates.day == (60 + 120 + 1200 + 0.75 * 400) / 1440
    assert found.rates.usual is None


@pytest.mark.parametrize(
    ("journal", "factor", "is_flood"),
    [
        pytest.param(hours(usual=100, h0=1001), 10.0, True, id="far above its usual"),
        pytest.param(hours(usual=100, h0=1000), 10.0, False, id="ten times, and no more"),
        pytest.param(hours(usual=10, h0=599), 10.0, False, id="too few to be a flood"),
        pytest.param(hours(h5=100, h0=5000), 10.0, False, id="nobody knows what is usual yet"),
        pytest.param(hours(usual=100, h0=99_999), 0.0, False, id="never, by its configuration"),
    ],
)
def test_a_flood_is_told_by_what_is_usual(journal: Journal, factor: float, is_flood: bool) -> None:
    source = replace(RIS, flood_factor=factor)

    assert (Alarm.FLOOD in status(journal, source).alarms) is is_flood


@pytest.mark.parametrize(
    ("today", "yesterday", "grows"), [(10, 9, True), (10, 10, False), (9, 0, False), (11, 10, True)]
)
def test_a_quarantine_that_grows_is_told(today: int, yesterday: int, grows: bool) -> None:
    counted = {
        ago(3600): {MessageState.QUARANTINED: today},
        ago(3600 * 25): {MessageState.QUARANTINED: yesterday},
        ago(3600 * 49): {MessageState.QUARANTINED: 50},
    }

    assert (Alarm.QUARANTINE_GROWS in status(Journal(hours={"ris-a": counted})).alarms) is grows


@pytest.mark.parametrize(
    ("condition", "state", "alarms"),
    [
        (HarvestCondition(running_since=NOON), HarvestState.RUNNING, False),
        (HarvestCondition(succeeded_at=NOON), HarvestState.WAITING, False),
        (HarvestCondition("cannot be reached", NOON, NOON), HarvestState.FAILING, True),
    ],
)
def test_a_harvest_is_told_by_how_it_goes(
    condition: HarvestCondition, state: HarvestState, alarms: bool
) -> None:
    found = status(Journal(conditions={"ris-a": condition}))

    assert found.harvest is not None
    assert (found.harvest.state, found.harvest.days_behind) == (state, None)
    assert (Alarm.HARVEST in found.alarms) is alarms


def test_headers_of_nobody_are_told_by_why_and_what_cannot_be_read_apart() -> None:
    (reason, exclusion), *_ = EXCLUDED_AT.items()
    stopped = {
        (MessageState.REFUSED, *reason): 3,
        (MessageState.REFUSED, "MSH^1^9", "odd"): 5,
        (MessageState.QUARANTINED, "file", "truncated"): 2,
    }

    found = status(Journal(stopped={"ris-a": stopped}))

    assert (found.excluded, found.unreadable) == ({exclusion: 3}, 2)
    assert found.quarantined == ((("file", "truncated"), 2),)


def test_messages_that_leave_their_character_set_or_profile_are_counted() -> None:
    recent = (
        *arrivals(0, 0, warnings=("MSH^1^18: blank beside bytes that are not ASCII",)),
        *arrivals(0, warnings=("MSH^1^9^1^3: not the structure of this event", "PID^1^5: odd")),
    )

    found = status(Journal(recent=recent))

    assert (found.charset_deviations, found.profile_deviations) == (2, 1)


def test_a_certificate_is_announced_thirty_days_before_it_expires() -> None:
    expiries = {
        "mllp.tls.certificate": NOON + timedelta(days=29),
        "dicom.tls.certificate": NOON + timedelta(days=31),
    }

    shown = report(Journal(), [], at=NOON, certificates=expiries).certificates

    assert [(one.key, one.alarms) for one in shown] == [
        ("dicom.tls.certificate", ()),
        ("mllp.tls.certificate", (Alarm.CERTIFICATE,)),
    ]


def test_prometheus_reads_numbers_and_neither_problems_nor_warnings() -> None:
    journal = Journal(
        counts={'ris "a"\n\\': {MessageState.APPLIED: 3}},
        last={'ris "a"\n\\': (NOON, MessageState.APPLIED)},
        stopped={'ris "a"\n\\': {(MessageState.QUARANTINED, "ZQXPLACE", "ZQXPROBLEM"): 1}},
        recent=(Arrival('ris "a"\n\\', NOON, ("ZQXWARNING",), ago(1)),),
    )

    lines = exposition(report(journal, [], at=NOON, certificates={"k": NOON})).splitlines()

    assert r'mpi_messages_total{source="ris \"a\"\n\\",state="applied"} 3' in lines
    assert f'mpi_certificate_expiry_timestamp_seconds{{key="k"}} {NOON.timestamp()!r}' in lines
    assert r'mpi_feed_alarm{source="ris \"a\"\n\\",alarm="silent"} 0.0' in lines
    assert "ZQX" not in "".join(lines)
