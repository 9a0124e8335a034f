"""
Files of HL7 v2 messages: one, many one after another, or a batch (FHS, BHS … BTS, FTS).
"""

import re
from collections.abc import Iterator

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
