"""When to try again, and when to give up."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mpi.index.ports import OutboxRow


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """
    Exponential backoff with jitter, and a bound to it.

    Args:
        first_seconds: before the second attempt.
        most_seconds: between two attempts.
        max_attempts: a row that was sent this often and not confirmed is given up. Attempts that did not
            reach the addressee do not count: a whole backlog must not be given up because it was away.
        max_age: a row that could not be delivered for this long is given up.
        jitter: returns a number from 0 to 1.
    """

    first_seconds: float
    most_seconds: float
    max_attempts: int
    max_age: timedelta
    jitter: Callable[[], float]

    def wait(self, failures: int) -> timedelta:
        """How long to wait after so many failures in a row, at least one; half of it is left to chance."""
        doubled = self.first_seconds * 2.0 ** min(failures - 1, 32)
        return timedelta(seconds=min(self.most_seconds, doubled) * (0.5 + self.jitter() / 2))

    def gives_up(self, row: OutboxRow, *, attempts: int, at: datetime) -> bool:
        """Whether a row is not to be tried again after so many attempts."""
        return attempts >= self.max_attempts or at - row.created_at >= self.max_age
