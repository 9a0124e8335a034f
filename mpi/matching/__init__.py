"""
Matching: two identities -> evidence in bits -> a decision.

Fellegi-Sunter over comparison ladders, with guards that no weight outvotes. Pure: no clock, no
log, no I/O but reading the model that ships with the package.
"""

from mpi.matching.blocking import blocking_keys
from mpi.matching.decision import Decision, Thresholds
from mpi.matching.explain import explain
from mpi.matching.model import Evidence, MatchModel
from mpi.matching.online import ScoredPair, score

__all__ = [
    "Decision",
    "Evidence",
    "MatchModel",
    "ScoredPair",
    "Thresholds",
    "blocking_keys",
    "explain",
    "score",
]
