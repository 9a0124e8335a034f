"""
Pages of a search: what was found waits on the server, under a token that says nothing.

The links of a page hold the token, never a trait. It cannot be guessed, is good for one caller, and expires.

Source: FHIR R4 http.html#paging; search.html#sensitive.
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mpi.feeds.fhir.fr_core import FrCore

LASTS_SECONDS: Final = 600.0
MOST_KEPT: Final = 10_000
_TOKEN_BYTES: Final = 24


@dataclass(frozen=True, slots=True)
class Kept:
    """
    A search that was answered.

    Args:
        owner: who asked, and what it could see.
        found: identifiers of persons and their likeness, in the order of the answer.
        only: domains whose identifiers were wanted; None for all.
        count: persons of a page.
    """

    owner: tuple[str, frozenset[str]]
    found: tuple[tuple[str, float], ...]
    only: frozenset[str] | None
    count: int
    encoding: FrCore
    ignored: int = 0


class Pages:
    """
    The searches whose pages may still be asked for. The oldest make room.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, Kept]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, kept: Kept) -> str:
        """Keep a search, and return its token."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        now = self._clock()
        with self._lock:
            while self._kept and (
                len(self._kept) >= MOST_KEPT or next(iter(self._kept.values()))[0] <= now - LASTS_SECONDS
            ):
                self._kept.popitem(last=False)
            self._kept[token] = now, kept
        return token

    def get(self, token: str, owner: tuple[str, frozenset[str]]) -> Kept | None:
        """The search of a token; None when it expired, was never given, or was given to somebody else."""
        with self._lock:
            at, kept = self._kept.get(token, (0.0, None))
        if kept is None or kept.owner != owner or at <= self._clock() - LASTS_SECONDS:
            return None
        return kept
