"""
Several HL7 v2 messages at once: one after another in a file, or a batch (FHS, BHS … BTS, FTS) anywhere.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime

from mpi.feeds.hl7v2 import er7
from mpi.feeds.hl7v2.ack import echo, new_control_id
from mpi.feeds.hl7v2.er7 import Segment
from mpi.feeds.hl7v2.times import format_instant
from mpi.feeds.mllp import BOUNDARY

_LINE_ENDS = re.compile(rb"\r\n|\n")
_MESSAGE_START = re.compile(rb"(?m)(?:^|(?<=\r))(?=MSH)")
_BATCH_SEGMENT = re.compile(rb"(?:^|(?<=\r))(?:FHS|BHS|BTS|FTS)[^\r]*\r?")


def looks_like_hl7(start: bytes) -> bool:
    """Whether a file begins like HL7 v2, MLLP framing bytes and a byte order mark apart."""
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip(b"\x0b\r\n ")
    return text[:3] in (b"MSH", b"FHS", b"BHS")


def split_messages(content: bytes) -> Iterator[bytes]:
    """
    Yield each message of a file, its segments ended by carriage returns.

    Batch headers and trailers, MLLP framing bytes and line feeds are left out.

    Source: HL7 v2.5 chapter 2, 2.10.3 (batch protocol).
    """
    text = _LINE_ENDS.sub(b"\r", content.removeprefix(b"\xef\xbb\xbf"))
    text = text.replace(b"\x0b", b"").replace(b"\x1c", b"")
    text = _BATCH_SEGMENT.sub(b"", text)
    for part in _MESSAGE_START.split(text):
        message = part.strip(b"\r\n ")
        if message:
            yield message + b"\r"


def is_batch(frame: bytes) -> bool:
    """Whether a frame holds a batch rather than a message."""
    return frame.lstrip(b"\r\n")[:3] in (b"FHS", b"BHS")


def answer_batch(
    frame: bytes, answer: Callable[[bytes], bytes], *, at: datetime, own_application: str
) -> bytes:
    """
    Answer each message of a batch, and put the answers into a batch that tells which one it answers.

    Raises:
        UnreadableMessage: the batch declares unusable delimiters; no message of it was answered.

    Source: HL7 v2.5 section 2.10.3.3 (acknowledging batches), BHS-11 and 12, BTS-1.
    """
    lines = _LINE_ENDS.sub(b"\r", frame.lstrip(b"\r\n")).split(b"\r")
    headers = [line for line in lines[:2] if line[:3] in (b"FHS", b"BHS")]
    in_a_file = headers[0][:3] == b"FHS"
    opening = [_header(line, at=at, own_application=own_application) for line in headers]
    if len(opening) == 1 and in_a_file:
        opening.append("BHS" + opening[0][3:])
    answers = [answer(message).replace(BOUNDARY, b"") for message in split_messages(frame)]
    closing = [f"BTS|{len(answers)}", *(["FTS|1"] if in_a_file else [])]
    start, end = ("".join(f"{line}\r" for line in part).encode("latin-1") for part in (opening, closing))
    return start + b"".join(answers) + end


def _header(line: bytes, *, at: datetime, own_application: str) -> str:
    """FHS or BHS of the answer; their first fields are those of MSH."""
    text = line.decode("latin-1")
    of = Segment("MSH", text, er7.separators_of("MSH" + text[3:]), "latin-1")
    sender = echo(of, 5) or own_application, echo(of, 6), echo(of, 3), echo(of, 4)
    fields = [text[:3], "^~\\&", *sender, format_instant(at), "", "", "", new_control_id(), echo(of, 11)]
    return "|".join(fields).rstrip("|")
