"""
What became of a message, as its sender must be told: MSA, ERR, and the code of each error class.

An acknowledgement repeats what the sender wrote about itself and the message, and nothing of the
patient. It is written in canonical delimiters, in the request's character set, and in the shape
of its version: ERR-1 before 2.5, ERR-2 to ERR-4 since.

Source: IHE ITI TF-2 appendix C (acknowledgements); HL7 v2.5 chapter 2 (MSA, ERR, ERL); v2.3.1 (ELD).
"""

import re
import uuid
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

from mpi.errors import (
    AlreadyDone,
    ControlIdReused,
    EarlierMessageWaits,
    InvalidIdentity,
    KeyReused,
    LinkConflict,
    ModelError,
    MpiError,
    NotPermitted,
    OutOfSequence,
    PoisonMessage,
    PreconditionFailed,
    QueueBeingMade,
    SettingsError,
    SourceStopped,
    StaleReview,
    StoreError,
    UnknownAuthority,
    UnknownIdentifier,
    UnknownReview,
    UnreadableMessage,
    UnsupportedMessage,
)
from mpi.feeds.hl7v2 import problems, skeletons
from mpi.feeds.hl7v2.er7 import CANONICAL, Segment, escape, recode
from mpi.feeds.hl7v2.skeletons import Fields
from mpi.feeds.hl7v2.times import format_instant


class Answer(NamedTuple):
    """MSA-1, and the code of table 0357."""

    msa_1: str
    code: int


ANSWERS: Final[dict[type[MpiError], Answer | None]] = {
    UnreadableMessage: Answer("AE", 102),  # AR when it is not HL7 at all: see problems.REJECTED
    UnsupportedMessage: Answer("AR", 200),  # 201, 202, 203 by place
    InvalidIdentity: Answer("AE", 102),  # 100, 101, 103, 204, 205 by problem
    ControlIdReused: Answer("AE", 205),
    OutOfSequence: Answer("AE", 207),  # no code says "not yet"; MSA-4 says what is
    PoisonMessage: Answer("AE", 207),
    EarlierMessageWaits: Answer("AE", 206),  # kept, and not applied: never AA
    UnknownAuthority: Answer("AE", 204),
    UnknownIdentifier: Answer("AE", 204),
    UnknownReview: Answer("AE", 204),
    LinkConflict: Answer("AE", 205),
    StaleReview: Answer("AE", 206),
    QueueBeingMade: Answer("AE", 206),  # these four are of HTTP requests; no message ends in them
    AlreadyDone: Answer("AE", 206),
    KeyReused: Answer("AE", 206),
    PreconditionFailed: Answer("AE", 206),
    NotPermitted: Answer("AE", 204),  # no code says "not you"; what may not be fed is unknown to the sender
    ModelError: Answer("AE", 207),
    SettingsError: Answer("AE", 207),
    SourceStopped: None,
    StoreError: None,  # never acknowledged: the connection is closed and the sender sends again
}
"""Every error a message may end in. `None` has no acknowledgement."""

_UNSUPPORTED: Final = {
    "MSH^1^9^1^1": 200,
    "MSH^1^9^1^2": 201,
    "MSH^1^11": 202,
    "MSH^1^12": 203,
}
_PLACES: Final[dict[type[Exception], str]] = {ControlIdReused: "MSH^1^10", OutOfSequence: "MSH^1^13"}
_LOCATION = re.compile(r"[A-Z][A-Z0-9]{2}\^\d+(\^\d+){0,4}", re.ASCII)
_TRIGGER = re.compile(r"[A-Z][A-Z0-9]{2}", re.ASCII)


class Fault(NamedTuple):
    """One ERR segment: where (an ERL, or empty), which code, the problem in words, and whether it is only a warning."""

    place: str
    code: int
    problem: str = ""
    is_warning: bool = False


def answer_of(error: Exception) -> Answer:
    """
    MSA-1 and the table 0357 code of an error.

    Raises:
        StoreError: the error itself, when it is one: it has no answer.
    """
    kind = next((kind for kind in type(error).__mro__ if kind in ANSWERS), None)
    if kind is None:
        return Answer("AE", 207)
    answer = ANSWERS[kind]
    if answer is None:
        raise error
    if isinstance(error, UnsupportedMessage):
        return answer._replace(code=_UNSUPPORTED.get(error.place, answer.code))
    problem = getattr(error, "problem", "")
    if kind in (InvalidIdentity, UnreadableMessage):
        answer = answer._replace(code=problems.CODES.get(problem, answer.code))
    return answer._replace(msa_1="AR") if problem in problems.REJECTED else answer


def fault_of(error: Exception) -> Fault:
    """Where and why, for ERR. A place that is not an HL7 location is left out."""
    place: str = _PLACES.get(type(error), getattr(error, "place", ""))
    if not _LOCATION.fullmatch(place):
        place = ""
    problem = getattr(error, "problem", "")
    if isinstance(error, NotPermitted | LinkConflict):
        problem = problem or str(error)
    return Fault(place, answer_of(error).code, problem)


def new_control_id() -> str:
    """A message control id of ours: unique, 20 characters at most."""
    return uuid.uuid4().hex[:20]


def acknowledge(
    header: Segment | None,
    error: Exception | None,
    *,
    at: datetime,
    own_application: str,
    expected_sequence: int | None = None,
) -> str:
    """
    Write the acknowledgement of one message.

    Args:
        header: its MSH; None when it has none that can be read.
        error: what stopped it; None for an accepted one.
        own_application: our MSH-3 where the message does not say whom it was sent to.
        expected_sequence: MSA-4, for a source that numbers its messages.

    Raises:
        StoreError: the error is one.
    """
    msa_1 = answer_of(error).msa_1 if error is not None else "AA"
    fault = fault_of(error) if error is not None else None
    return write_acknowledgement(
        header, msa_1, fault, at=at, own_application=own_application, expected_sequence=expected_sequence
    )


def acknowledge_enhanced(
    header: Segment,
    error: Exception | None,
    *,
    at: datetime,
    own_application: str,
    expected_sequence: int | None = None,
) -> list[str]:
    """
    Write the acknowledgements that MSH-15 and MSH-16 ask for: of the commit, of the application, both or none.

    What is committed is kept, and need not be sent again, even if it could not be applied. What was
    not committed gets no application acknowledgement.

    Raises:
        StoreError: the error is one.

    Source: HL7 v2.5 section 2.9.3 (enhanced mode), tables 0008 and 0155.
    """
    write = partial(
        write_acknowledgement,
        header,
        at=at,
        own_application=own_application,
        expected_sequence=expected_sequence,
    )
    applied = answer_of(error).msa_1 if error is not None else "AA"
    fault = fault_of(error) if error is not None else None
    if not asks_for_enhanced(header):
        return [write(applied, fault)]
    commit = _committed(error)
    written = []
    if _is_wanted(header.value(15), success=commit == "CA"):
        written.append(write(commit, None if commit == "CA" else fault))
    if commit == "CA" and _is_wanted(header.value(16), success=error is None):
        written.append(write(applied, fault))
    return written


def asks_for_enhanced(header: Segment) -> bool:
    """Whether MSH-15 or MSH-16 is valued."""
    return bool(header.value(15) or header.value(16))


def _committed(error: Exception | None) -> str:
    if error is None:
        return "CA"
    if answer_of(error).msa_1 == "AR":
        return "CR"
    again = UnreadableMessage | ControlIdReused | OutOfSequence | NotPermitted
    return "CE" if isinstance(error, again) else "CA"


def _is_wanted(condition: str, *, success: bool) -> bool:
    """By table 0155; a blank one asks for nothing, and one that is not of the table for everything."""
    match condition.strip().upper():
        case "" | "NE":
            return False
        case "ER":
            return not success
        case "SU":
            return success
        case _:
            return True


def write_acknowledgement(
    header: Segment | None,
    msa_1: str,
    fault: Fault | None,
    *,
    at: datetime,
    own_application: str,
    expected_sequence: int | None = None,
) -> str:
    """Write an acknowledgement with the given MSA-1, and an ERR if there is a fault."""
    request = header.value(12) if header is not None else ""
    old = request in ("2.3", "2.3.1", "2.4")
    shape = skeletons.acknowledgement(skeletons.OLD if old else skeletons.NEW, error=fault is not None)
    trigger = header.value(9, 2) if header is not None else ""
    message_type = f"ACK^{trigger}^ACK" if _TRIGGER.fullmatch(trigger) else "ACK"
    msh = fill_header(shape["MSH"], header, at=at, message_type=message_type, own_application=own_application)
    msh[11] = request if old else skeletons.NEW
    msa = f"MSA|{msa_1}|{echo(header, 10)}"
    if expected_sequence is not None:
        msa += f"||{expected_sequence}"
    lines = ["|".join(msh).rstrip("|"), msa]
    if fault is not None:
        lines.append(error_segment(shape["ERR"], fault, old=old))
    return "\r".join((*lines, ""))


def fill_header(
    skeleton: Fields,
    header: Segment | None,
    *,
    at: datetime,
    message_type: str,
    own_application: str,
) -> Fields:
    """Fill MSH: sender and receiver swapped, processing id, country and character set repeated."""
    msh = list(skeleton)
    msh[2:6] = echo(header, 5) or own_application, echo(header, 6), echo(header, 3), echo(header, 4)
    msh[6] = format_instant(at)
    msh[8] = message_type
    msh[9] = new_control_id()
    processing_id = header.value(11) if header is not None else ""
    msh[10] = processing_id if processing_id in ("P", "T", "D") else "P"
    msh[16] = echo(header, 17)
    msh[17] = echo(header, 18).split("~", 1)[0]  # the one it is written in
    return msh


def error_segment(skeleton: Fields, fault: Fault, *, old: bool = False) -> str:
    """Fill ERR; ERR-8 tells the sender's staff what is wrong in words."""
    err = list(skeleton)
    text = problems.TABLE_0357[fault.code]
    if old:
        segment, sequence, field = (*fault.place.split("^"), "", "", "")[:3]
        err[1] = f"{segment}^{sequence}^{field}^{fault.code}&{text}"
    err[2] = fault.place
    err[3] = f"{fault.code}^{text}^HL70357"
    err[4] = "W" if fault.is_warning else "E"
    if fault.problem:
        err += ["", "", "", escape(fault.problem)]
    return "|".join(err)


def echo(header: Segment | None, number: int) -> str:
    """A field of the request, in canonical delimiters."""
    if header is None:
        return ""
    raw = header.field(number)
    return raw if header.separators == CANONICAL else recode(raw, header.separators, header.codec)
