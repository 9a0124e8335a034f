"""
The feed monitor for Prometheus: numbers by source, state and alarm, and never a patient.

Source: Prometheus exposition formats, text-based format 0.0.4.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from mpi.feeds.monitor import Alarm, FeedReport
from mpi.index.ports import Backlog, Queue

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_Sample = tuple[Mapping[str, str], float]


def exposition(report: FeedReport) -> str:
    """A report as Prometheus reads it. What is not known has no sample."""
    feeds = report.feeds
    families = (
        _family(
            "mpi_messages_total",
            "counter",
            "Messages received, by the state they reached.",
            [
                ({"source": feed.source, "state": str(state)}, count)
                for feed in feeds
                for state, count in feed.counts.items()
            ],
        ),
        _family(
            "mpi_feed_last_message_timestamp_seconds",
            "gauge",
            "When a source was last heard of.",
            [
                ({"source": feed.source}, feed.last_received_at.timestamp())
                for feed in feeds
                if feed.last_received_at is not None
            ],
        ),
        _family(
            "mpi_feed_clock_ahead_seconds",
            "gauge",
            "The furthest a recent event was dated after its reception.",
            [
                ({"source": feed.source}, feed.clock_ahead_seconds)
                for feed in feeds
                if feed.clock_ahead_seconds is not None
            ],
        ),
        _family(
            "mpi_feed_delay_seconds",
            "gauge",
            "From a recent event to its reception, the median.",
            [
                ({"source": feed.source}, feed.delay_seconds)
                for feed in feeds
                if feed.delay_seconds is not None
            ],
        ),
        _family(
            "mpi_feed_messages_per_minute",
            "gauge",
            "Messages received, over the last hour and the last day.",
            [
                ({"source": feed.source, "over": over}, rate)
                for feed in feeds
                for over, rate in (("hour", feed.rates.hour), ("day", feed.rates.day))
            ],
        ),
        _family(
            "mpi_feed_backlog",
            "gauge",
            "Messages that wait for an earlier one of the same patient.",
            [({"source": feed.source}, feed.backlog) for feed in feeds],
        ),
        _family(
            "mpi_feed_deviations",
            "gauge",
            "Recent messages that left their character set or profile.",
            [
                ({"source": feed.source, "of": of}, count)
                for feed in feeds
                for of, count in (("charset", feed.charset_deviations), ("profile", feed.profile_deviations))
            ],
        ),
        _family(
            "mpi_feed_excluded_total",
            "counter",
            "Headers of nobody: de-identified, phantoms, tests.",
            [
                ({"source": feed.source, "why": str(why)}, count)
                for feed in feeds
                for why, count in feed.excluded.items()
            ],
        ),
        _family(
            "mpi_feed_unreadable",
            "gauge",
            "Quarantined objects and files of which nothing could be read.",
            [({"source": feed.source}, feed.unreadable) for feed in feeds],
        ),
        _family(
            "mpi_harvest_days_behind",
            "gauge",
            "Whole days from the last one an archive was asked for to today.",
            [
                ({"source": feed.source}, feed.harvest.days_behind)
                for feed in feeds
                if feed.harvest is not None and feed.harvest.days_behind is not None
            ],
        ),
        _family(
            "mpi_feed_alarm",
            "gauge",
            "1 while something is wrong with a feed.",
            [
                ({"source": feed.source, "alarm": str(alarm)}, float(alarm in feed.alarms))
                for feed in feeds
                for alarm in Alarm
                if alarm is not Alarm.CERTIFICATE
            ],
        ),
        _family(
            "mpi_certificate_expiry_timestamp_seconds",
            "gauge",
            "When a certificate of this index expires.",
            [({"key": one.key}, one.expires_at.timestamp()) for one in report.certificates],
        ),
    )
    return "".join(families)


def outbox_exposition(backlogs: Iterable[Backlog], paused: Iterable[str], *, at: datetime) -> str:
    """What waits to be told, by addressee and channel. Who has nothing waiting has no sample."""
    backlogs = tuple(backlogs)

    def labels(queue: Queue) -> Mapping[str, str]:
        return {"addressee": queue.consumer, "channel": str(queue.channel)}

    families = (
        _family(
            "mpi_notifications_pending",
            "gauge",
            "Notifications that wait to be delivered.",
            [(labels(one.queue), one.pending) for one in backlogs],
        ),
        _family(
            "mpi_notifications_oldest_seconds",
            "gauge",
            "For how long the oldest of them has waited.",
            [
                (labels(one.queue), max(0.0, (at - one.oldest).total_seconds()))
                for one in backlogs
                if one.oldest is not None
            ],
        ),
        _family(
            "mpi_notifications_dead",
            "gauge",
            "Notifications that were given up.",
            [(labels(one.queue), one.dead) for one in backlogs],
        ),
        _family(
            "mpi_notifications_paused",
            "gauge",
            "1 for an addressee that is sent nothing for now.",
            [({"addressee": name}, 1.0) for name in paused],
        ),
    )
    return "".join(families)


def _family(name: str, kind: str, help_text: str, samples: Iterable[_Sample]) -> str:
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        written = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{written}}} {value!r}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
