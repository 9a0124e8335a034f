"""
What sites say: records as stated, and the events that state them.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from mpi.identity.model import Demographics


@dataclass(frozen=True, slots=True)
class StatedRecord:
    """
    What one site states of one person, and the truth about it.

    Args:
        record_id: unique in the federation.
        person_id: the truth; `NOBODY-…` for test patients.
        overlaid_person_id: whose record it was before its number was given to `person_id`; else empty.
        site: namespace of the site.
        channel: `hl7` or `dicom`.
        issuer_stated: False for a header that leaves its issuer out.
        death_date: stated beside the demographics by the sites that know.
        wrong: what a clerk got wrong, by trait; `used_name` is a name in use typed as a birth name.
    """

    record_id: str
    person_id: str
    site: str
    local_id: str
    demographics: Demographics
    event_time: datetime
    channel: str
    issuer_stated: bool = True
    overlaid_person_id: str = ""
    death_date: date | None = None
    wrong: tuple[str, ...] = ()


class EventKind(StrEnum):
    """What a site says."""

    CREATE = "create"
    UPDATE = "update"
    MERGE = "merge"
    HEADER = "header"
    """A DICOM header: the only voice of a PACS without a feed, a copy everywhere else."""


@dataclass(frozen=True, slots=True)
class Event:
    """
    One message or one header.

    Args:
        record: what is stated now; for a merge, the survivor.
        subsumed: for a merge, the local id that disappears.
        number: order of the event in its site, from 1.
    """

    kind: EventKind
    record: StatedRecord
    event_time: datetime
    subsumed: str = ""
    number: int = 0
