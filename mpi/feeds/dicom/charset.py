"""
Text out of header bytes: what (0008,0005) declares, and what the bytes really are.

pydicom decodes as well, but it quotes values in its warnings and hides wrong declarations. Here
nothing is quoted, and every departure is named so that a site can be told about it.

Source: DICOM PS3.3 C.12.1.1.2 (Specific Character Set); PS3.5 6.1.2.4 and 6.1.2.5 (code extensions).
"""

import re
import warnings
from dataclasses import dataclass
from typing import Self

from pydicom.charset import decode_bytes, default_encoding, python_encoding
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS

from mpi.errors import UnreadableMessage

CHARSET_PLACE = "(0008,0005)"
_ESC = b"\x1b"
_CODECS = {
    **python_encoding,
    "ISO_IR 203": "iso8859_15",  # Latin-9: in recent editions of the standard, not in pydicom 3.0
    "ISO 2022 IR 203": "iso8859_15",
}
_WESTERN = frozenset({default_encoding, "latin_1", "iso8859_15"})
_UTF_8_NAMES = frozenset({"UTF8", "UTF-8", "UTF_8"})
_DELIMITERS = TEXT_VR_DELIMS | {ord("\\")}
_NAME_DELIMITERS = _DELIMITERS | PN_DELIMS | {ord("=")}
_MISSPELT = re.compile(r"ISO[ _-]?(?P<extended>2022[ _-]?)?IR[ _-]?(?P<number>\d{1,3})")


@dataclass(frozen=True, slots=True)
class CharacterSets:
    """
    The character sets of one data set, as Python codecs, the initial one first.

    Args:
        codecs: never empty.
        declared: whether the header names any set beyond ASCII.
        problem: what was wrong with the declaration; empty when nothing was.
    """

    codecs: tuple[str, ...] = (default_encoding,)
    declared: bool = False
    problem: str = ""

    @classmethod
    def parse(cls, declaration: str) -> Self:
        """
        Read the value of (0008,0005): one defined term, or several separated by backslashes.

        An unknown term is read as Latin-1, the set of nearly every French modality.

        Raises:
            UnreadableMessage: it is not even text of the default repertoire.
        """
        if not declaration.isascii():
            raise UnreadableMessage(CHARSET_PLACE, "not a character set")
        terms = [term.strip(" \0") for term in declaration.split("\\")]
        found = [_codec(term) for term in terms]
        problem = next((problem for _, problem in found if problem), "")
        codecs = tuple(codec for codec, _ in found)
        return cls(codecs, any(codec != default_encoding for codec in codecs), problem)

    def decode(self, raw: bytes, *, person_name: bool = False) -> tuple[str, str]:
        """Return the text, and what had to be tolerated to read it (empty when nothing had)."""
        if _ESC in raw:
            return self._decode_extended(raw, _NAME_DELIMITERS if person_name else _DELIMITERS)
        if raw.isascii():
            return raw.decode("ascii"), ""
        first = self.codecs[0]
        if first in _WESTERN:
            return self._decode_western(raw, first)
        try:
            return raw.decode(first), ""
        except UnicodeDecodeError:
            text, _ = self._decode_western(raw, "latin_1")
            return text, "bytes that are not of the declared character set, read as Latin-1"

    def _decode_western(self, raw: bytes, codec: str) -> tuple[str, str]:
        """Text of 8-bit bytes: a Latin text is never valid UTF-8 by chance, so UTF-8 is tried first."""
        try:
            return raw.decode("utf-8"), "UTF-8 bytes that are not declared so, read as UTF-8"
        except UnicodeDecodeError:
            text = raw.decode(codec)
        if any("\x80" <= char <= "\x9f" for char in text):  # Latin-1 has no letter there: Windows wrote this
            try:
                return raw.decode("cp1252"), "Windows-1252 bytes that are not declared so"
            except UnicodeDecodeError:
                return text, "control characters in a text"
        if not self.declared:
            return text, "8-bit bytes without a declared character set, read as Latin-1"
        return text, ""

    def _decode_extended(self, raw: bytes, delimiters: set[int]) -> tuple[str, str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            text = decode_bytes(raw, self.codecs, delimiters)
        return text, "an escape sequence outside the declared character sets" if caught else ""


def _codec(term: str) -> tuple[str, str]:
    known = _CODECS.get(term)
    if known is not None:
        return known, ""
    if term.upper() in _UTF_8_NAMES:
        return "utf8", "not a DICOM term, read as UTF-8"
    if match := _MISSPELT.fullmatch(term.upper()):
        prefix = "ISO 2022 IR" if match["extended"] else "ISO_IR"
        corrected = _CODECS.get(f"{prefix} {match['number']}")
        if corrected is not None:
            return corrected, "a misspelt character set, corrected"
    return "latin_1", "unknown character set, read as Latin-1"
