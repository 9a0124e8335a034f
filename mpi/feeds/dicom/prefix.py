"""
Where the header of a data set ends, found while it arrives: what follows is pixels, and is dropped.

Only tags and lengths are looked at. A value of known length is stepped over; sequences of unknown
length are walked item by item, without recursion. Behind the identity only one element is of interest,
what the identity was before an archive corrected it (IHE PIR): it is kept when it comes soon enough.

Source: DICOM PS3.5 7.1 (data element structure), 7.5 (sequences); PS3.3 C.12.1 (Original Attributes Sequence).
"""

import hashlib
import struct

from pydicom.uid import UID

STUDY_INSTANCE_UID = 0x0020000D
"""The last element of the identity."""
ORIGINAL_ATTRIBUTES_SEQUENCE = 0x04000561

MAX_DEPTH = 64
MAX_ELEMENTS = 10_000
MAX_HEADER_BYTES = 4 * 1024 * 1024
"""An object whose identity has not come by then is cut there, and refused as truncated."""
MAX_TAIL_BYTES = 4 * 1024 * 1024
"""How far behind the identity the original attributes are looked for."""
MAX_SEQUENCE_BYTES = 1024 * 1024

_UNDEFINED_LENGTH = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DELIMITERS = frozenset({_ITEM, _ITEM_END, _SEQUENCE_END})
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})


class HeaderPrefix:
    """
    One data set that is fed as it arrives; what has to be kept of it is given back.

    What is kept is itself a data set: everything up to the end of the identity, and the original attributes.

    Args:
        implicit, little: how it is encoded.
        digest_of: the elements that `digest` is of.
        identified: begin behind the identity.
    """

    def __init__(
        self,
        *,
        implicit: bool = False,
        little: bool = True,
        digest_of: frozenset[int] = frozenset(),
        identified: bool = False,
    ) -> None:
        self._explicit = not implicit
        self._order = "<" if little else ">"
        self._digest_of = digest_of
        self._hash = hashlib.sha256()
        self._buffer = bytearray()
        self._base = 0  # the position of the first byte of the buffer
        self._next = 0  # the position of the next element
        self._depth = 0
        self._implicit_above = MAX_DEPTH  # an unknown (UN) sequence of undefined length is implicit inside
        self._elements = 0
        self._identified = identified
        self._tail: bytearray | None = None
        self._hashing = False
        self._out = bytearray()
        self._cut = False
        self._study = False
        self.is_complete = False

    @property
    def digest(self) -> bytes:
        """
        SHA-256 of the elements of `digest_of`, as they are encoded.

        Two data sets of one digest and one encoding state the same of these elements. Empty when the data set
        did not end well, or names no study.
        """
        return self._hash.digest() if self.is_complete and self._study and not self._cut else b""

    def feed(self, fragment: bytes, *, is_last: bool = False) -> bytes:
        """Take the next bytes of the data set; return those that have to be kept, of these and earlier ones."""
        if self.is_complete:
            return b""
        self._buffer += fragment
        while not self.is_complete and self._step():
            pass
        end = self._base + len(self._buffer)
        if not self.is_complete:
            self._pass(min(end, self._next))
            if end > (MAX_TAIL_BYTES + MAX_HEADER_BYTES if self._identified else MAX_HEADER_BYTES):
                self._cut_off()
            elif is_last:
                self._end_at(end)
        kept, self._out = bytes(self._out), bytearray()
        if self.is_complete:
            self._buffer.clear()
        return kept

    def _step(self) -> bool:
        """Past the element at the next position, if its tag and length have arrived."""
        at = self._next - self._base
        head = self._buffer[at : at + 12]
        if len(head) < 8:
            return False
        group, element, length = struct.unpack_from(f"{self._order}HHL", head)
        tag = group << 16 | element
        start = 8
        vr = b""
        if self._explicit and self._depth <= self._implicit_above and tag not in _DELIMITERS:
            vr = bytes(head[4:6])
            if vr in _LONG:
                if len(head) < 12:
                    return False
                (length,) = struct.unpack_from(f"{self._order}L", head, 8)
                start = 12
            else:
                (length,) = struct.unpack_from(f"{self._order}H", head, 6)
        self._elements += 1
        if self._elements > MAX_ELEMENTS:
            self._cut_off()
            return False
        if self._depth == 0 and not self._begin(tag):
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
            if self._depth > MAX_DEPTH:
                self._cut_off()
        else:
            self._next += length
        return not self.is_complete

    def _begin(self, tag: int) -> bool:
        """An element of the data set itself begins. Returns whether to go on."""
        self._pass(self._next)
        if tag > STUDY_INSTANCE_UID and tag not in _DELIMITERS:
            self._identified = True
        if self._identified and tag > ORIGINAL_ATTRIBUTES_SEQUENCE:
            self._finish()
            return False
        if tag == ORIGINAL_ATTRIBUTES_SEQUENCE:
            self._tail = bytearray()
        self._hashing = tag in self._digest_of
        self._study |= tag == STUDY_INSTANCE_UID
        return True

    def _pass(self, position: int) -> None:
        """Everything before a position is known: keep it, or drop it."""
        count = position - self._base
        if count <= 0:
            return
        passed = self._buffer[:count]
        if self._hashing:
            self._hash.update(passed)
        if self._tail is not None:
            self._tail += passed
            if len(self._tail) > MAX_SEQUENCE_BYTES:
                self._tail = None
                self._cut_off()
        elif not self._identified:
            self._out += passed
        del self._buffer[:count]
        self._base += count

    def _end_at(self, end: int) -> None:
        """No more will come."""
        if self._depth == 0 and end == self._next:
            self._finish()
            return
        if not self._identified:
            self._out += self._buffer  # whoever reads it shall see that it is cut
        self._cut_off()

    def _finish(self) -> None:
        self._out += self._tail or b""
        self.is_complete = True

    def _cut_off(self) -> None:
        """Its identity may be whole; what comes after is not."""
        self._cut = True
        self.is_complete = True


def encoding_of(syntax: str) -> tuple[bool, bool]:
    """Whether a transfer syntax has implicit VRs, and whether it is little endian; compressed ones are explicit."""
    known = UID(syntax)
    return (known.is_implicit_VR, known.is_little_endian) if known.is_transfer_syntax else (False, True)
