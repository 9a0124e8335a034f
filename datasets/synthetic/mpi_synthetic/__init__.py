"""A synthetic French federation with its ground truth. No real person is in it."""

from .bulk import tables, write_tables
from .events import Event, EventKind, StatedRecord
from .federation import Federation, generate
from .headers import write_header
from .messages import render
from .plausibility import figures_of, plausibility, report, tally
from .population import Person
from .profiles import JUDGING, PROFILES, STRESS, TUNING, Profile
from .sites import Site
from .truth import Relation, about, relation
from .writing import write

__all__ = [
    "JUDGING",
    "PROFILES",
    "STRESS",
    "TUNING",
    "Event",
    "EventKind",
    "Federation",
    "Person",
    "Profile",
    "Relation",
    "Site",
    "StatedRecord",
    "about",
    "figures_of",
    "generate",
    "plausibility",
    "relation",
    "render",
    "report",
    "tables",
    "tally",
    "write",
    "write_header",
    "write_tables",
]
