"""
What became of the objects of a feed, counted per source: for the feed monitor, and for nobody's name.

Objects of nobody (de-identified images, phantoms, tests) are counted by why they are excluded.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from mpi.feeds.dicom.messages import reason_of
from mpi.index.events import Receipt

REPEATED = "repeated"
"""A further instance of a study whose patient the registry already received."""


class Exclusion(StrEnum):
    """Why an object is of nobody, and states no identity."""

    IDENTITY_REMOVED = "identity_removed"
    QUALITY_CONTROL = "quality_control"
    TEST_NAME = "test_name"


EXCLUDED_AT: Mapping[tuple[str, str], Exclusion] = {
    ("(0012,0062)", "the patient's identity was removed"): Exclusion.IDENTITY_REMOVED,
    ("(0010,0200)", "a quality control subject, not a patient"): Exclusion.QUALITY_CONTROL,
    ("(0010,0010)", "the name of a test, not of a patient"): Exclusion.TEST_NAME,
}
"""The refusals of `patient.identity_from_header` that exclude, by place and problem."""


def exclusions(reasons: Iterable[tuple[tuple[str, str], int]]) -> dict[Exclusion, int]:
    """How many of the stopped objects are excluded, by why."""
    found: Counter[Exclusion] = Counter()
    for reason, count in reasons:
        if reason in EXCLUDED_AT:
            found[EXCLUDED_AT[reason]] += count
    return dict(found)


@dataclass(frozen=True, slots=True)
class Counts:
    """
    The counts at one instant.

    Args:
        states: objects of each source by the state they reached, or `repeated`.
        reasons: objects stopped, by place and problem.
        failures: objects the store did not take; they were not acknowledged.
        rejections: associations refused.
    """

    states: Mapping[tuple[str, str], int] = field(default_factory=dict)
    reasons: Mapping[tuple[str, str], int] = field(default_factory=dict)
    failures: int = 0
    rejections: int = 0

    @property
    def excluded(self) -> Mapping[Exclusion, int]:
        """Objects of nobody, by why."""
        return exclusions(self.reasons.items())


class Tally:
    """Counts for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: Counter[tuple[str, str]] = Counter()
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._failures = 0
        self._rejections = 0

    def add(self, source: str, state: str) -> None:
        """Count one object of a source."""
        with self._lock:
            self._states[source, state] += 1

    def add_receipt(self, source: str, receipt: Receipt) -> None:
        """Count one object of a source, and what stopped it."""
        with self._lock:
            self._states[source, receipt.state.value] += 1
            if receipt.error is not None:
                self._reasons[reason_of(receipt.error)] += 1

    def add_failure(self) -> None:
        """Count one object that is not durable."""
        with self._lock:
            self._failures += 1

    def add_rejection(self) -> None:
        """Count one association that was refused."""
        with self._lock:
            self._rejections += 1

    def counts(self) -> Counts:
        """The counts now."""
        with self._lock:
            return Counts(dict(self._states), dict(self._reasons), self._failures, self._rejections)
