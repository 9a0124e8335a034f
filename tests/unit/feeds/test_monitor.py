"""What the feed monitor says of a journal, for people and for Prometheus."""

from datetime import UTC, date, datetime, timedelta

import pytest

from mpi.feeds.exposition import exposition
from mpi.feeds.monitor import MOST_FREQUENT, Alarm, FeedStatus, Journal, report
from mpi.index.events import MessageState
from mpi.index.parties import PatientIdentitySource
from mpi.index.ports import Arrival, HarvestCursor

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
    problems = {(f"PID-{number:03}", "odd"): 1 + (number == 7) for number in range(100)}
    recent = (*arrivals(0, warnings=("b",)), *arrivals(0, 0, warnings=("a", "b")))

    found = status(Journal(quarantined={"ris-a": problems}, recent=recent))

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

    assert (found.harvest, found.expected_sequence) == (cursor, 12)


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
        quarantined={'ris "a"\n\\': {("ZQXPLACE", "ZQXPROBLEM"): 1}},
        recent=(Arrival('ris "a"\n\\', NOON, ("ZQXWARNING",), ago(1)),),
    )

    lines = exposition(report(journal, [], at=NOON, certificates={"k": NOON})).splitlines()

    assert r'mpi_messages_total{source="ris \"a\"\n\\",state="applied"} 3' in lines
    assert f'mpi_certificate_expiry_timestamp_seconds{{key="k"}} {NOON.timestamp()!r}' in lines
    assert r'mpi_feed_alarm{source="ris \"a\"\n\\",alarm="silent"} 0.0' in lines
    assert "ZQX" not in "".join(lines)
