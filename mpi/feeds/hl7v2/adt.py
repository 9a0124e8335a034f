"""
ADT messages to instructions: who a person is, and what becomes of the identifiers a source uses.

Source: IHE ITI-8 (HL7 v2.3.1), ITI-30 and ITI-31 (HL7 v2.5); PAM-FR 2.11; IHE ITI TF-2 appendix C (MSH).
"""

from collections.abc import Callable, Mapping
from typing import Final

from mpi.errors import InvalidIdentity, UnsupportedMessage
from mpi.feeds.hl7v2 import changes, minimised, problems
from mpi.feeds.hl7v2.er7 import Message, Segment
from mpi.feeds.hl7v2.pid import read_identity
from mpi.feeds.hl7v2.profiles import EVENTS, VERSIONS, Effect, deviations, effect_of
from mpi.index.events import IdentityStated, Instruction, Nothing
from mpi.index.parties import Directory, PatientIdentitySource, Quirk

CHANGES: Final[Mapping[str, Callable[..., Instruction]]] = {
    changes.MERGE: changes.read_merge,
    changes.CHANGE: changes.read_change,
    changes.LINK: changes.read_link,
    changes.UNLINK: changes.read_link,
    **dict.fromkeys(changes.MOVES, changes.read_move),
}
"""What reads each event about identifiers."""
_CANCELLED: Final = "CANCEL"


def check_header(msh: Segment, *, events: frozenset[str]) -> None:
    """
    Refuse a version, processing id or event nobody here reads, and a message without a control id.

    Args:
        events: the trigger events taken for this message type, which the caller has checked.

    Raises:
        UnsupportedMessage: at MSH-9.2, MSH-11 or MSH-12.
        InvalidIdentity: MSH-10 is missing.
    """
    if msh.value(9, 2) not in events:
        raise UnsupportedMessage("MSH^1^9^1^2", "unsupported event")
    if msh.value(11) not in ("P", "T", "D"):
        raise UnsupportedMessage("MSH^1^11", "unsupported processing id")
    if msh.value(12) not in VERSIONS:
        raise UnsupportedMessage("MSH^1^12", "unsupported version")
    if not msh.field(10) or msh.is_null(10):
        raise InvalidIdentity("MSH^1^10", problems.REQUIRED)


def read_instruction(
    message: Message, *, source: PatientIdentitySource | None, directory: Directory
) -> Instruction:
    """
    Read what a message asks of the index.

    Args:
        source: who sent it, or None when the configuration does not know the sender.

    Raises:
        UnsupportedMessage: a type, event, processing id or version this index does not take.
        InvalidIdentity, UnknownAuthority: the identity, or the change of identifiers, cannot be used.
        SenderNotPermitted: the sender is not configured, does not feed the domain, or may not link it.
    """
    msh = message.msh
    if msh.value(9, 1) != "ADT":
        raise UnsupportedMessage("MSH^1^9^1^1", "unsupported message type")
    expected = EVENTS
    if source is not None and Quirk.UNKNOWN_EVENTS in source.quirks:
        expected |= {msh.value(9, 2)}
    check_header(msh, events=expected)
    if source is None:
        raise problems.SenderNotPermitted("MSH^1^3", "this application and facility may not state identities")
    dropped = [f"{name}^1: not kept" for name in minimised.SEGMENTS if message.segment(name) is not None]
    if msh.value(9, 2) not in EVENTS:
        return Nothing()
    message = message.with_warnings([*deviations(msh), *dropped])
    match effect_of(msh):
        case Effect.CHANGE:
            return CHANGES[msh.value(9, 2)](message, source=source, directory=directory)
        case Effect.STATEMENT:
            return read_identity(message, source=source, directory=directory)
        case Effect.MOVEMENT:
            return _read_movement(message, source=source, directory=directory)
        case Effect.NOTHING:
            return Nothing()


def _read_movement(
    message: Message, *, source: PatientIdentitySource, directory: Directory
) -> IdentityStated | Nothing:
    """
    Read a movement: what it says of the person, unless it takes back one it announced before.

    Source: PAM-FR 2.11 ZBE-4 (INSERT, UPDATE, CANCEL).
    """
    zbe = message.segment("ZBE")
    if zbe is not None and zbe.value(4).strip().upper() == _CANCELLED:
        return Nothing()
    return read_identity(message, source=source, directory=directory, is_movement=True)
