"""A synthetic French federation with its ground truth. No real person is in it."""

from .federation import Event, EventKind, Federation, generate
from .headers import write_header
from .messages import render
from .plausibility import plausibility
from .population import Person
from .profiles import JUDGING, PROFILES, TUNING, Profile
from .sites import Site, StatedRecord
from .writing import write

__all__ = [
    "JUDGING",
    "PROFILES",
    "TUNING",
    "Event",
    "EventKind",
    "Federation",
    "Person",
    "Profile",
    "Site",
    "StatedRecord",
    "generate",
    "plausibility",
    "render",
    "write",
    "write_header",
]
