"""
Where the header of a data set ends, found while it arrives: what follows is pixels, and is dropped.

Only tags and lengths are looked at. A value of known length is stepped over; sequences of unknown
length are walked item by item, without recursion.

Source: DICOM PS3.5 7.1 (data element structure), 7.5 (sequences).
"""

import struct

from pydicom.uid import UID

from mpi.feeds.dicom.header import HEADER_TAGS, MAX_ELEMENTS

MAX_DEPTH = 64
MAX_HEADER_BYTES = 4 * 1024 * 1024
"""An object whose identity has not come by then is cut there, and refused as truncated."""

_LAST_TAG = max(HEADER_TAGS)
_UNDEFINED_LENGTH = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DELIMITERS = frozenset({_ITEM, _ITEM_END, _SEQUENCE_END})
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})


class HeaderPrefix:
    """
    The beginning of one data set, kept up to the element after the last one that is wanted.

    Args:
        syntax: the transfer syntax it is encoded in; every compressed one is explicit little endian.
    """

    def __init__(self, syntax: str) -> None:
        known = UID(syntax)
        implicit, little = (
            (known.is_implicit_VR, known.is_little_endian) if known.is_transfer_syntax else (False, True)
        )
        self._explicit = not implicit
        self._order = "<" if little else ">"
        self._kept = bytearray()
        self._next = 0
        self._depth = 0
        self._implicit_above = MAX_DEPTH  # an unknown (UN) sequence of undefined length is implicit inside
        self._elements = 0
        self.is_complete = False

    @property
    def kept(self) -> bytes:
        """What was kept so far."""
        return bytes(self._kept)

    def feed(self, fragment: bytes) -> bool:
        """Take the next bytes of the data set; return whether they had to be kept."""
        if self.is_complete:
            return False
        self._kept += fragment
        while not self.is_complete and self._step():
            pass
        self.is_complete |= len(self._kept) > MAX_HEADER_BYTES
        return True

    def _step(self) -> bool:
        """Past the element at the current position, if its tag and length have arrived."""
        head = self._kept[self._next : self._next + 12]
        if len(head) < 8:
            return False
        group, element, length = struct.unpack(f"{self._order}HHL", head[:8])
        tag = group << 16 | element
        start = 8
        vr = b""
        if self._explicit and self._depth <= self._implicit_above and tag not in _DELIMITERS:
            vr = bytes(head[4:6])
            if vr in _LONG:
                if len(head) < 12:
                    return False
                (length,) = struct.unpack(f"{self._order}L", head[8:12])
                start = 12
            else:
                (length,) = struct.unpack(f"{self._order}H", head[6:8])
        self._elements += 1
        if (self._depth == 0 and tag > _LAST_TAG) or self._elements > MAX_ELEMENTS:
            self.is_complete = True
            return False
        self._next += start
        if tag in (_ITEM_END, _SEQUENCE_END):
            self._depth = max(0, self._depth - 1)
            if self._depth <= self._implicit_above:
                self._implicit_above = MAX_DEPTH
        elif length == _UNDEFINED_LENGTH:
            if vr == b"UN":
                self._implicit_above = min(self._implicit_above, self._depth)
            self._depth += 1
            self.is_complete = self._depth > MAX_DEPTH
        else:
            self._next += length
        return True
