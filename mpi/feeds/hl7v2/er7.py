"""
ER7: bytes to segments, fields, repetitions and components, read only where somebody looks.

Our own reader, because the general ones read tens or hundreds of messages a second and this is
the hot path; a property test holds it to hl7apy. Everything is bounded before it is built.

Empty and `""` are two things: empty says nothing, `""` withdraws. `value` answers neither as a
value (both read as an empty text) and `is_null` tells them apart.

Source: HL7 v2.5 chapter 2, sections 2.5 to 2.8 (delimiters, encoding, escapes); IHE ITI TF-2 appendix C.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from mpi.errors import UnreadableMessage
from mpi.feeds.hl7v2 import problems

NULL: Final = '""'
MAX_SEGMENTS: Final = 2_000
MAX_REPETITIONS: Final = 200

_CODECS: Final = {
    "ASCII": "ascii",
    "8859/1": "latin-1",
    "8859/15": "iso8859-15",  # not in table 0211; the French standard
    "UNICODE UTF-8": "utf-8",
    "UNICODE": "utf-8",
    "UTF-8": "utf-8",  # the spellings below are not HL7's, and are sent
    "UTF8": "utf-8",
    "ISO-8859-1": "latin-1",
    "8859-1": "latin-1",
    "ISO-8859-15": "iso8859-15",
    "8859-15": "iso8859-15",
}
_SINGLE_BYTE: Final = frozenset({"latin-1", "iso8859-15"})
_C1 = re.compile(rb"[\x80-\x9f]")
_LINE_FEED = re.compile(r"\r\n|\n")
_MEANING: Final = {"F": 0, "S": 1, "T": 4, "R": 2, "E": 3}
"""Escape letter to the place of its delimiter in `Separators`."""


class Separators(NamedTuple):
    """The delimiters of one message; `escape` and `subcomponent` may be empty."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"


CANONICAL: Final = Separators()


def separators_of(line: str) -> Separators:
    """
    Read the delimiters an MSH segment declares.

    Raises:
        UnreadableMessage: one is a letter, a digit, a space, a quotation mark or not printable
            ASCII, or two are the same.

    Source: HL7 v2.5 section 2.5.4; escape and subcomponent may be left out.
    """
    if line.startswith("MSH|^~\\&|"):
        return CANONICAL
    field = line[3:4]
    if not _is_delimiter(field):
        raise UnreadableMessage("MSH^1^1", problems.BAD_FIELD_SEPARATOR)
    encoding = line[4:].split(field, 1)[0]
    if not 2 <= len(encoding) <= 5 or len({field, *encoding}) != len(encoding) + 1:
        raise UnreadableMessage("MSH^1^2", problems.BAD_ENCODING_CHARACTERS)
    if not all(_is_delimiter(character) for character in encoding):
        raise UnreadableMessage("MSH^1^2", problems.BAD_ENCODING_CHARACTERS)
    return Separators(field, encoding[0], encoding[1], encoding[2:3], encoding[3:4])


def _is_delimiter(character: str) -> bool:
    return "!" <= character <= "~" and not character.isalnum() and character != '"'


@lru_cache(maxsize=64)
def _escape_pattern(escape: str) -> re.Pattern[str]:
    mark = re.escape(escape)
    return re.compile(f"{mark}(?:([FSTRE])|X((?:[0-9A-Fa-f]{{2}})+)){mark}")


def unescape(text: str, separators: Separators = CANONICAL, codec: str = "utf-8") -> str:
    r"""
    Decode `\F\ \S\ \T\ \R\ \E\` and `\Xhh..\`, once. Any other escape is kept as it is.

    A hexadecimal escape that hides a control character, or bytes the message's character set
    does not have, is kept too: nothing decoded may look like the structure of another message.
    """
    if not separators.escape or separators.escape not in text:
        return text
    meaning = {letter: separators[index] for letter, index in _MEANING.items()}

    def decoded(match: re.Match[str]) -> str:
        if match[1]:
            return meaning[match[1]] or match[0]  # a delimiter this message does without
        try:
            characters = bytes.fromhex(match[2]).decode(codec)
        except UnicodeDecodeError:
            return match[0]
        return match[0] if any(c < " " or "\x7f" <= c <= "\x9f" for c in characters) else characters

    return _escape_pattern(separators.escape).sub(decoded, text)


def escape(text: str, separators: Separators = CANONICAL) -> str:
    """Write a value so that no character of it can be taken for a delimiter or a segment end."""
    mark = separators.escape
    out = text.replace(mark, f"{mark}E{mark}")
    for letter, delimiter in (("F", 0), ("S", 1), ("T", 4), ("R", 2)):
        if separators[delimiter] in out:
            out = out.replace(separators[delimiter], f"{mark}{letter}{mark}")
    return out.replace("\r", f"{mark}X0D{mark}").replace("\n", f"{mark}X0A{mark}")


def recode(raw: str, separators: Separators, codec: str = "utf-8") -> str:
    """Write a raw field in the canonical delimiters; unchanged when it already is."""
    if separators == CANONICAL:
        return raw
    out = []
    for repetition in raw.split(separators.repetition):
        components = []
        for component in repetition.split(separators.component):
            pieces = component.split(separators.subcomponent) if separators.subcomponent else [component]
            components.append("&".join(escape(unescape(piece, separators, codec)) for piece in pieces))
        out.append("^".join(components))
    return "~".join(out)


class Repetition:
    """One repetition of a field: components and subcomponents, numbered from 1."""

    __slots__ = ("_codec", "_components", "_separators", "raw")

    def __init__(self, raw: str, separators: Separators, codec: str) -> None:
        self.raw = raw
        self._separators = separators
        self._codec = codec
        self._components = raw.split(separators.component)

    def _piece(self, component: int, subcomponent: int) -> str:
        if component > len(self._components):
            return ""
        text = self._components[component - 1]
        mark = self._separators.subcomponent
        if mark and mark in text:
            pieces = text.split(mark)
            return pieces[subcomponent - 1] if subcomponent <= len(pieces) else ""
        return text if subcomponent == 1 else ""

    def value(self, component: int = 1, subcomponent: int = 1) -> str:
        """The unescaped text there; empty when absent, empty or `""`."""
        piece = self._piece(component, subcomponent)
        if not piece or piece == NULL:
            return ""
        return unescape(piece, self._separators, self._codec)

    def is_null(self, component: int = 1, subcomponent: int = 1) -> bool:
        """Whether `""` stands there: the sender withdraws what it said before."""
        return self._piece(component, subcomponent) == NULL


class Segment:
    """One segment; fields are numbered as in the standard, MSH-1 being the field separator."""

    __slots__ = ("_fields", "codec", "name", "raw", "separators")

    def __init__(self, name: str, raw: str, separators: Separators, codec: str) -> None:
        self.name = name
        self.raw = raw
        self.separators = separators
        self.codec = codec
        self._fields: list[str] | None = None

    def field(self, number: int) -> str:
        """The raw text of a field, all repetitions, escapes undecoded; empty when absent."""
        fields = self._fields
        if fields is None:
            fields = self.raw.split(self.separators.field)
            if self.name == "MSH":
                fields.insert(1, self.separators.field)
            self._fields = fields
        return fields[number] if number < len(fields) else ""

    def repetitions(self, number: int) -> list[Repetition]:
        """Every repetition of a field, the empty ones too, so that positions stay true; none when empty."""
        raw = self.field(number)
        if not raw:
            return []
        return [
            Repetition(part, self.separators, self.codec) for part in raw.split(self.separators.repetition)
        ]

    def value(self, number: int, component: int = 1, subcomponent: int = 1) -> str:
        """The unescaped text there in the first repetition; empty when absent, empty or `""`."""
        raw = self.field(number)
        if not raw:
            return ""
        first = raw.split(self.separators.repetition, 1)[0]
        return Repetition(first, self.separators, self.codec).value(component, subcomponent)

    def is_null(self, number: int) -> bool:
        """Whether the whole field is `""`."""
        return self.field(number) == NULL


def read_header(frame: bytes) -> Segment:
    """
    Read MSH alone, to learn the delimiters, the sender and the character set.

    The segment's `codec` decodes what it holds and encodes it back to the same bytes, whether or
    not the rest of the message is in that character set. UTF-8 is recognised as in `read`.

    Raises:
        UnreadableMessage: no MSH segment, or unusable delimiters.
    """
    start = frame.lstrip(b"\r\n")
    line = start.split(b"\r", 1)[0].split(b"\n", 1)[0]
    if not line.startswith(b"MSH"):
        raise UnreadableMessage("MSH^1", problems.NO_MSH)
    text = line.decode("latin-1")
    header = Segment("MSH", text, separators_of(text), "latin-1")
    if not line.isascii():
        codec = codec_of(header.value(18)) or "latin-1"
        if codec in _SINGLE_BYTE and _is_utf_8(frame):
            codec = "utf-8"
        try:
            return Segment("MSH", line.decode(codec), header.separators, codec)
        except UnicodeDecodeError:
            pass
    return header


def codec_of(charset: str) -> str | None:
    """The Python codec of a table 0211 name, or of a spelling of one that is sent; None when unknown."""
    return _CODECS.get(charset.strip().upper())


def _is_utf_8(frame: bytes) -> bool:
    """Whether bytes that are not ASCII are UTF-8: a text in a single-byte set practically never is by chance."""
    try:
        return not frame.isascii() and bool(frame.decode("utf-8"))
    except UnicodeDecodeError:
        return False


class Message:
    """
    A decoded message: segments by name.

    Args:
        codec: what decoded it, and encodes the answer.
        warnings: places and problems tolerated while reading, without values.
    """

    __slots__ = ("_lines", "codec", "separators", "warnings")

    def __init__(
        self, lines: dict[str, list[str]], separators: Separators, codec: str, warnings: tuple[str, ...]
    ) -> None:
        self._lines = lines
        self.separators = separators
        self.codec = codec
        self.warnings = warnings

    def with_warnings(self, warnings: Sequence[str]) -> "Message":
        """The same message, more of it tolerated."""
        return Message(self._lines, self.separators, self.codec, (*self.warnings, *warnings))

    def segment(self, name: str) -> Segment | None:
        """The first segment of that name."""
        lines = self._lines.get(name)
        return Segment(name, lines[0], self.separators, self.codec) if lines else None

    def segments(self, name: str) -> list[Segment]:
        """Every segment of that name, in order."""
        return [Segment(name, line, self.separators, self.codec) for line in self._lines.get(name, ())]

    @property
    def msh(self) -> Segment:
        """The header, always there."""
        return Segment("MSH", self._lines["MSH"][0], self.separators, self.codec)


def read(frame: bytes, *, default_charset: str = "8859/1", header: Segment | None = None) -> Message:
    """
    Read one message.

    A message in UTF-8 that declares a single-byte character set, or none, is read as UTF-8 with a
    warning: a surname must not be stored mangled because an interface engine left MSH-18 as it was.

    Args:
        default_charset: what a blank MSH-18 means from this sender (HL7 table 0211 name).
        header: what `read_header` already made of the same frame.

    Raises:
        UnreadableMessage: no MSH, unusable delimiters, unknown or wrong character set, a line that
            is no segment, two messages in one frame, or more segments or repetitions than anyone sends.
    """
    if header is None:
        header = read_header(frame)
    text, codec, warnings = _decode(frame, header.value(18), default_charset)
    separators = header.separators
    if separators.repetition in header.field(18) and not warnings:
        warnings = (*warnings, "MSH^1^18: several character sets; read in the first")
    if "\n" in text:
        text = _LINE_FEED.sub("\r", text)
    lines: dict[str, list[str]] = {}
    count = 0
    for line in text.split("\r"):
        if not line:
            continue
        count += 1
        name = line[:3]
        if line[3:4] not in ("", separators.field) or not _is_segment_name(name):
            if line.isspace():
                continue
            raise UnreadableMessage("MSH^1", problems.NOT_A_SEGMENT)
        if name in lines:
            lines[name].append(line)
        else:
            lines[name] = [line]
    if count > MAX_SEGMENTS:
        raise UnreadableMessage("MSH^1", problems.TOO_MANY_SEGMENTS)
    if len(lines["MSH"]) > 1:
        raise UnreadableMessage("MSH^2", problems.SEVERAL_MESSAGES)
    if text.count(separators.repetition) > MAX_REPETITIONS:
        _bound_repetitions(lines, separators)
    return Message(lines, separators, codec, warnings)


def _is_segment_name(name: str) -> bool:
    return len(name) == 3 and name.isascii() and name.isalnum() and name.isupper()


def _decode(frame: bytes, declared: str, default_charset: str) -> tuple[str, str, tuple[str, ...]]:
    charset = declared.strip()
    codec = codec_of(charset or default_charset)
    if codec is None:
        raise UnreadableMessage("MSH^1^18", problems.UNKNOWN_CHARSET)
    if frame.isascii():
        return frame.decode("ascii"), codec, ()
    if (codec in _SINGLE_BYTE or (codec == "ascii" and not charset)) and _is_utf_8(frame):
        what = "declares another character set" if charset else "blank"
        return frame.decode("utf-8"), "utf-8", (f"MSH^1^18: {what}; the message is UTF-8",)
    warnings = (
        [] if charset else ["MSH^1^18: blank beside bytes that are not ASCII; read as the source's default"]
    )
    if codec == "latin-1" and _C1.search(frame):
        codec = "cp1252"
        warnings.append("MSH^1^18: bytes that 8859/1 does not use; read as Windows-1252")
    try:
        return frame.decode(codec), codec, tuple(warnings)
    except UnicodeDecodeError:
        raise UnreadableMessage("MSH^1^18", problems.UNDECODABLE) from None


def _bound_repetitions(lines: dict[str, list[str]], separators: Separators) -> None:
    for name, group in lines.items():
        for sequence, line in enumerate(group, start=1):
            if line.count(separators.repetition) < MAX_REPETITIONS:
                continue
            for number, field in enumerate(line.split(separators.field)):
                if field.count(separators.repetition) >= MAX_REPETITIONS:
                    raise UnreadableMessage(f"{name}^{sequence}^{number}", problems.TOO_MANY_REPETITIONS)
