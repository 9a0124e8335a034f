"""
INS matricules with a right key that nobody can own: their communes, and countries, do not exist.
"""

import random
from dataclasses import dataclass
from datetime import date

from mpi.identity.ins import matricule_key

from .reference import Place, department_of

FICTITIOUS_COMMUNES = 10
"""990-999 (90-99 overseas): neither communes nor countries have these numbers."""
RANKS = 999
PSEUDO_MONTH = 0.3
"""Share of matricules without a month, of people whose birth month nobody knows."""


@dataclass(frozen=True, slots=True)
class Birth:
    """When and where somebody was born, as registered."""

    day: date
    day_known: bool
    place: Place


class Matricules:
    """
    Hand out matricules in order of registration: twins follow each other, as at the town hall.

    Args:
        part, parts: which share of the numbers to use, so that people drawn apart never meet.
    """

    def __init__(self, rng: random.Random, part: int = 0, parts: int = 1) -> None:
        self._rng = rng
        self._size = FICTITIOUS_COMMUNES * RANKS // parts
        self._first = part * self._size
        self._next: dict[tuple[int, int, str], int] = {}
        self._given: dict[tuple[int, int, str], int] = {}

    def draw(self, sex: str, birth: Birth) -> str:
        """Draw the next matricule of a month and department; empty when the share is used up."""
        month = birth.day.month
        if not birth.day_known and self._rng.random() < PSEUDO_MONTH:
            month = self._rng.randint(50, 99)
        department = department_of(birth.place.code)
        key = (birth.day.year % 100, month, department)
        if key not in self._next:
            self._next[key] = self._rng.randrange(self._size)
        order, given = self._next[key], self._given.get(key, 0)
        if given == self._size:
            return ""
        self._next[key], self._given[key] = (order + 1) % self._size, given + 1
        commune, rank = divmod(self._first + order, RANKS)
        place = f"{department}{'99'[: 4 - len(department)]}{commune}"
        body = f"{'1' if sex == 'M' else '2'}{birth.day.year % 100:02d}{month:02d}{place}{rank + 1:03d}"
        return body + matricule_key(body)
