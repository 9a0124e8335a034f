"""
What this index sends by itself: ITI-10 to consumers, corrections to sources; and what they answer.

A message is made of what was fixed with the change, its control id and instant included: it is the same
bytes however often it is sent.

Source: IHE ITI-10 (TF-2 3.10.4.1), HL7 v2.5 chapter 3 (ADT_A05); IHE ITI TF-2 appendix C (acknowledgements).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from mpi.errors import UnreadableMessage
from mpi.feeds.hl7v2.er7 import escape, read
from mpi.feeds.hl7v2.times import PARIS
from mpi.identity.model import PatientIdentifier

UPDATE: Final = "ADT^A31^ADT_A05"
PROFILE: Final = "ITI-10^IHE"
BLANK_NAME: Final = " "
"""PID-5 of a notification: required, and one space. It is no name, and must not be taken for one."""
ACCEPTED: Final = frozenset({"AA", "CA"})
_CODES: Final = ACCEPTED | {"AE", "CE", "AR", "CR"}
_NEVER: Final = frozenset({"200", "201", "202", "203"})
"""ERR-3: the kind of message, its event, processing id or version. They will be the same the next time."""
_CODEC: Final = "utf-8"


@dataclass(frozen=True, slots=True)
class Parties:
    """MSH-3 to MSH-6."""

    sending_application: str
    sending_facility: str
    receiving_application: str
    receiving_facility: str


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What a peer answered to one message.

    Args:
        code: MSA-1.
        error: the code of table 0357 in ERR-3, when there is one.
    """

    code: str
    error: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the same message would be answered the same."""
        return self.code in ("AE", "CE") or self.error in _NEVER


def update_notification(
    identifiers: Iterable[PatientIdentifier], *, parties: Parties, control_id: str, at: datetime
) -> bytes:
    """
    The identifiers that are one person's, as ITI-10 writes them.

    Args:
        identifiers: those of the domains the consumer may see, with complete authorities.
    """
    pid = "~".join(map(_cx, identifiers))
    segments = (f"PID|||{pid}||{BLANK_NAME}", "PV1||N")
    return message(UPDATE, segments, parties=parties, control_id=control_id, at=at, profile=PROFILE)


def message(
    message_type: str,
    segments: Sequence[str],
    *,
    parties: Parties,
    control_id: str,
    at: datetime,
    profile: str = "",
) -> bytes:
    """
    A message in version 2.5 and UTF-8, its header and EVN written.

    Args:
        message_type: MSH-9, three components.
        segments: those that follow EVN, in canonical delimiters.
        profile: MSH-21; empty for none.
    """
    instant = at.astimezone(PARIS).strftime("%Y%m%d%H%M%S")
    named = (
        parties.sending_application,
        parties.sending_facility,
        parties.receiving_application,
        parties.receiving_facility,
    )
    header = f"MSH|^~\\&|{'|'.join(map(escape, named))}|{instant}||{message_type}|{escape(control_id)}|P|2.5"
    header += f"|||||FRA|UNICODE UTF-8{f'|||{profile}' if profile else ''}"
    return "\r".join((header, f"EVN||{instant}", *segments, "")).encode(_CODEC)


def read_answer(reply: bytes, control_id: str) -> Answer:
    """
    What a peer answered to the message with this control id.

    Raises:
        UnreadableMessage: it is no acknowledgement of that very message. The message was not confirmed.
    """
    answer = read(reply, default_charset="UNICODE UTF-8")
    acknowledgements = answer.segments("MSA")
    if answer.msh.value(9).strip() != "ACK" or len(acknowledgements) != 1:
        raise UnreadableMessage("MSA", "no acknowledgement")
    (msa,) = acknowledgements
    if msa.value(2) != control_id:
        raise UnreadableMessage("MSA^1^2", "it acknowledges another message")
    code = msa.value(1).strip()
    if code not in _CODES:
        raise UnreadableMessage("MSA^1^1", "unknown acknowledgement code")
    err = answer.segment("ERR")
    error = err.value(3) if err is not None else ""
    return Answer(code, error if error.isascii() and error.isdigit() and len(error) == 3 else "")


def _cx(identifier: PatientIdentifier) -> str:
    authority = identifier.authority
    hd = "&".join(map(escape, (authority.namespace, authority.universal_id, authority.universal_id_type)))
    return f"{escape(identifier.value)}^^^{hd}^{escape(identifier.type_code)}"
