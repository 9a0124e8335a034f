"""
The messages this index sends, as hl7apy builds and validates them, once; then only filled.

Building one with hl7apy takes milliseconds; filling a validated skeleton takes microseconds.
Filling changes values, never the structure: the tests validate filled messages with hl7apy again.

Source: HL7 v2.3.1 and v2.5 message structures ACK, RSP_K21, RSP_K23; IHE ITI-9 3.9.4.2, ITI-21 3.21.4.2.
"""

from functools import cache
from typing import Final

from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.core import Message as Hl7apyMessage

Fields = list[str]
Skeleton = dict[str, Fields]
"""Segment name to its fields; field n is at index n, but for MSH, where it is at n - 1."""

OLD: Final = "2.3.1"
NEW: Final = "2.5"
_SAMPLE_TIME: Final = "20260302101500+0100"


@cache
def acknowledgement(version: str, *, error: bool) -> Skeleton:
    """
    The skeleton of an ACK, in the 2.3.1 shape (ERR-1) or the 2.5 shape (ERR-2 to ERR-4).

    A 2.3.1 ERR also gets the 2.5 fields: 2.3.1 readers ignore them, and they say where and why.
    """
    message = _started("ACK", version, "ACK^A28^ACK")
    if error and version == NEW:
        _value_error(message)
    elif error:
        message.err.err_1 = "PID^1^3^204&Unknown key identifier"
    skeleton = _validated(message)
    if error and version == OLD:
        skeleton["ERR"] += acknowledgement(NEW, error=True)["ERR"][2:]
    return skeleton


@cache
def cross_reference(*, error: bool, found: bool) -> Skeleton:
    """
    The skeleton of RSP^K23. QPD is replaced by the echo of the query's own.

    hl7apy knows no QPD-4, which belongs to the query, so the echo is not part of what it validates.
    """
    message = _started("RSP_K23", NEW, "RSP^K23^RSP_K23")
    if error:
        _value_error(message)
    message.qak.qak_1 = "T"
    message.qak.qak_2 = "OK"
    message.qpd.qpd_1 = "IHE PIX Query"
    message.qpd.qpd_2 = "T"
    message.qpd.qpd_3 = "1^^^A&2.999.1.1&ISO"
    if found:
        pid = message.rsp_k23_query_response.pid
        pid.pid_3 = "1^^^A&2.999.1.1&ISO^PI"
        pid.add_field("PID_5")
        pid.add_field("PID_5").value = "^^^^^^S"
    return _validated(message)


@cache
def demographics(*, error: bool) -> Skeleton:
    """The skeleton of RSP^K22, whose structure is RSP_K21. QPD is replaced by the echo of the query's own."""
    message = _started("RSP_K21", NEW, "RSP^K22^RSP_K21")
    if error:
        _value_error(message)
    message.qak.qak_1 = "T"
    message.qak.qak_2 = "OK"
    message.qak.qak_3 = "IHE PDQ Query"
    message.qpd.qpd_1 = "IHE PDQ Query"
    message.qpd.qpd_2 = "T"
    message.qpd.qpd_3 = "@PID.5.1^A"
    return _validated(message)


def _started(structure: str, version: str, message_type: str) -> Hl7apyMessage:
    message = Hl7apyMessage(structure, version=version, validation_level=VALIDATION_LEVEL.STRICT)
    msh = message.msh
    msh.msh_3, msh.msh_4, msh.msh_5, msh.msh_6 = "A", "B", "C", "D"
    msh.msh_7 = _SAMPLE_TIME
    msh.msh_9 = message_type
    msh.msh_10 = "1"
    msh.msh_11 = "P"
    msh.msh_12 = version
    msh.msh_17 = "FRA"
    msh.msh_18 = "8859/1"
    message.msa.msa_1 = "AA"
    message.msa.msa_2 = "1"
    return message


def _value_error(message: Hl7apyMessage) -> None:
    message.err.err_2 = "PID^1^3"
    message.err.err_3 = "204^Unknown key identifier^HL70357"
    message.err.err_4 = "E"


def _validated(message: Hl7apyMessage) -> Skeleton:
    message.validate()
    return {line[:3]: line.split("|") for line in message.to_er7().split("\r") if line}
