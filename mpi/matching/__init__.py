"""
Matching: two identities -> evidence in bits -> a decision.

Fellegi-Sunter over comparison ladders, with guards that no weight outvotes. Pure: no clock, no
log, no I/O but reading the model that ships with the package, and in `files` and `judging`, which
read what they are pointed at.
"""

from typing import TYPE_CHECKING, Any

from mpi.matching.blocking import blocking_keys
from mpi.matching.decision import Decision, Thresholds
from mpi.matching.explain import explain
from mpi.matching.model import Evidence, MatchModel
from mpi.matching.online import ScoredPair, score

if TYPE_CHECKING:
    from mpi.matching.batch import link

__all__ = [
    "Decision",
    "Evidence",
    "MatchModel",
    "ScoredPair",
    "Thresholds",
    "blocking_keys",
    "explain",
    "link",
    "score",
]


def __getattr__(name: str) -> Any:
    """`link` loads when first used: it brings pandas and Arrow, which one pair does without."""
    if name != "link":
        raise AttributeError(f"module 'mpi.matching' has no attribute {name!r}")
    from mpi.matching.batch import link

    return link
