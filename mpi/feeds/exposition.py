"""
The feed monitor for Prometheus: numbers by source, state and alarm, and never a patient.

Source: Prometheus exposition formats, text-based format 0.0.4.
"""

from collections.abc import Iterable, Mapping

from mpi.feeds.monitor import Alarm, FeedReport

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
            "mpi_feed_alarm",
            "gauge",
            "1 while something is wrong with a feed.",
            [
                ({"source": feed.source, "alarm": str(alarm)}, float(alarm in feed.alarms))
                for feed in feeds
                for alarm in (Alarm.SILENT, Alarm.CLOCK, Alarm.QUARANTINE)
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


def _family(name: str, kind: str, help_text: str, samples: Iterable[_Sample]) -> str:
    lines = [f"# HELP {name} {help_text}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        written = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        lines.append(f"{name}{{{written}}} {value!r}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
