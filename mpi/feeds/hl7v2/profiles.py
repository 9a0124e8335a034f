"""
Which transaction a message belongs to, by its event (MSH-9) and its version (MSH-12), and what that makes it.

The same A04 registers a patient in ITI-8, whose source has no other way to state an identity, and
reports a movement in ITI-31, beside A28 and A31 that do. A movement tells of the person as the
desk saw them: it fills gaps and refreshes an address, and is no authority on strict traits.

Source: IHE ITI-8 (HL7 v2.3.1), ITI-30 and ITI-31 (HL7 v2.5); PAM-FR 2.11; HL7 v2.5 table 0354.
"""

from collections.abc import Mapping
from enum import StrEnum, auto
from typing import Final

from mpi.feeds.hl7v2.er7 import Segment

VERSIONS: Final = frozenset({"", "2.3", "2.3.1", "2.4", "2.5", "2.5.1"})
"""MSH-12, first component; some senders leave it blank."""
_WITH_MOVEMENTS: Final = frozenset({"2.5", "2.5.1"})
FRANCE: Final = "FRA"


class Effect(StrEnum):
    """What an event is to an index of identities."""

    STATEMENT = auto()
    """Says who a person is: A28, A31, A08, and the registrations of ITI-8."""
    MOVEMENT = auto()
    """Says where a person is, and what the desk knows of them."""
    CHANGE = auto()
    """Is about identifiers, or moves what is filed under them."""
    NOTHING = auto()
    """Takes back, or renumbers, a visit: nobody's identity changes with it."""


_REGISTRATIONS: Final = frozenset({"A01", "A04", "A05"})
_EFFECTS: Final[Mapping[str, Effect]] = {
    **dict.fromkeys(("A08", "A28", "A31"), Effect.STATEMENT),
    **dict.fromkeys(("A02", "A03", "A06", "A07", "A09", "A10"), Effect.MOVEMENT),
    **dict.fromkeys(("A14", "A15", "A16", "A21", "A22", "A54", "Z99"), Effect.MOVEMENT),
    **dict.fromkeys(("A24", "A37", "A40", "A43", "A44", "A45", "A47"), Effect.CHANGE),
    **dict.fromkeys(("A11", "A12", "A13", "A25", "A26", "A27", "A32", "A33"), Effect.NOTHING),
    **dict.fromkeys(("A38", "A49", "A50", "A52", "A53", "A55"), Effect.NOTHING),
}
EVENTS: Final = frozenset(_EFFECTS) | _REGISTRATIONS
"""Every trigger event that is taken."""

_STRUCTURES: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(("A01", "A04", "A08", "A13", "Z99"), frozenset({"ADT_A01"})),
    **dict.fromkeys(("A28", "A31", "A14"), frozenset({"ADT_A05"})),
    "A05": frozenset({"ADT_A01", "ADT_A05"}),  # ITI-8, ITI-31
    **{event: frozenset({f"ADT_{event}"}) for event in ("A02", "A03", "A15", "A16", "A24", "A37", "A38")},
    **dict.fromkeys(("A06", "A07"), frozenset({"ADT_A06"})),
    **dict.fromkeys(("A09", "A10", "A11"), frozenset({"ADT_A09"})),
    "A12": frozenset({"ADT_A09", "ADT_A12"}),
    **dict.fromkeys(("A21", "A22", "A25", "A26", "A27", "A32", "A33"), frozenset({"ADT_A21"})),
    "A40": frozenset({"ADT_A39"}),
    **dict.fromkeys(("A43", "A44"), frozenset({"ADT_A43"})),
    "A45": frozenset({"ADT_A43", "ADT_A45"}),
    **dict.fromkeys(("A47", "A49"), frozenset({"ADT_A30"})),
    "A50": frozenset({"ADT_A50"}),
    **dict.fromkeys(("A52", "A53", "A55"), frozenset({"ADT_A52"})),
    "A54": frozenset({"ADT_A54"}),
}
"""MSH-9.3 of each event."""


def effect_of(msh: Segment) -> Effect:
    """
    What a message of a known event is, by its event and version.

    Source: ITI-8 3.8.4.1.2 (A01, A04, A05 feed identities); ITI-31 3.31.1 (they report encounters).
    """
    event = msh.value(9, 2)
    if event in _REGISTRATIONS:
        return Effect.MOVEMENT if msh.value(12) in _WITH_MOVEMENTS else Effect.STATEMENT
    return _EFFECTS[event]


def deviations(msh: Segment) -> list[str]:
    """Places and problems in which a header leaves the profile it belongs to; its message is taken all the same."""
    event, structure = msh.value(9, 2), msh.value(9, 3)
    found = []
    if event == "A08" and msh.value(12, 2) == FRANCE:
        found.append("MSH^1^9^1^2: A08 is not of this profile, which updates with A31")
    if structure and structure not in _STRUCTURES.get(event, {structure}):
        found.append("MSH^1^9^1^3: not the structure of this event")
    return found
