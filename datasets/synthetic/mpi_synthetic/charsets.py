"""
Character sets as HL7 and DICOM name them, and what to do with a letter one lacks.
"""

from .spelling import without_accents

CODECS = {
    "8859/1": "latin-1",
    "8859/15": "iso8859-15",
    "UNICODE UTF-8": "utf-8",
    "ISO_IR 100": "latin-1",
    "ISO_IR 192": "utf-8",
}
"""Source: HL7 v2.5 table 0211 and its French extension; DICOM PS3.3 C.12.1.1.2."""


def representable(text: str, charset: str) -> str:
    """The text, its letters that the character set lacks spelt out: `Œ` as OE in `8859/1`."""
    codec = CODECS[charset]
    try:
        text.encode(codec)
    except UnicodeEncodeError:
        return "".join(letter if _has(codec, letter) else without_accents(letter) for letter in text)
    return text


def _has(codec: str, letter: str) -> bool:
    try:
        letter.encode(codec)
    except UnicodeEncodeError:
        return False
    return True
