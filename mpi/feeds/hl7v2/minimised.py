"""
What of a message is never kept, not even in the journal: what nobody needs to tell who a person is.

Race, religion and ethnic group, in PID and NK1, and the social security number; in France the consents
of the national record (ZFA), the profession (ZFP) and psychiatric care without consent (ZFS).

Source: PAM-FR 2.11 (PID-10, 17, 19, 22; NK1-25, 28, 35; Z segments); GDPR article 5.1.c.
"""

import re
from collections.abc import Mapping
from typing import Final

FIELDS: Final[Mapping[str, tuple[int, ...]]] = {"PID": (10, 17, 19, 22), "NK1": (25, 28, 35)}
SEGMENTS: Final = ("ZFA", "ZFP", "ZFS")
_HELD = re.compile(rb"(?<![^\r\n])(PID|NK1|ZF[APS])([^\r\n]*)([\r\n]*)")


def minimised(frame: bytes, field_separator: str = "|") -> bytes:
    """A frame without those fields and segments; every other byte stays."""
    mark = field_separator.encode("ascii")

    def kept(found: re.Match[bytes]) -> bytes:
        forbidden = FIELDS.get(found[1].decode("ascii"))
        if forbidden is None:
            return b""
        fields = found[2].split(mark)
        for number in forbidden:
            if number < len(fields):
                fields[number] = b""
        return found[1] + mark.join(fields) + found[3]

    return _HELD.sub(kept, frame)
