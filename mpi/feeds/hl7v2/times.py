"""
HL7 time stamps. A time without an offset is the hospital's clock: Europe/Paris.

Source: HL7 v2.5 chapter 2A, TS and DTM.
"""

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

PARIS: Final = ZoneInfo("Europe/Paris")
_INSTANT = re.compile(
    r"(\d{4})(\d{2})(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(\d{1,6}))?)?)?)?(?:([+-])(\d{2})(\d{2}))?",
    re.ASCII,
)


def parse_instant(text: str) -> datetime:
    """
    Read an instant, at least to the day; aware, UTC.

    Raises:
        ValueError: not a time stamp, or no such instant.
    """
    match = _INSTANT.fullmatch(text)
    if match is None:
        raise ValueError("expected YYYYMMDD[HH[MM[SS[.S]]]][+/-ZZZZ]")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    microsecond = int((match[7] or "").ljust(6, "0"))
    zone = PARIS if match[8] is None else _offset(match[8], int(match[9]), int(match[10]))
    try:
        return datetime(year, month, day, hour, minute, second, microsecond, zone).astimezone(UTC)
    except OverflowError:
        raise ValueError("no such instant") from None


def _offset(sign: str, hours: int, minutes: int) -> timezone:
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if sign == "-" else offset)


def format_instant(instant: datetime) -> str:
    """Write an instant to the second, on the hospitals' clock and with its offset."""
    return instant.astimezone(PARIS).strftime("%Y%m%d%H%M%S%z")
