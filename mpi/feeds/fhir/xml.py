"""
The one reader of XML: no document type, no entities, nothing fetched, and a bound on everything.

Nothing else in this project parses XML.

Source: FHIR R4 security.html#narrative and xml.html; OWASP, XML External Entity prevention.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from mpi.errors import UnreadableMessage

FHIR_NAMESPACE: Final = "http://hl7.org/fhir"
XHTML_NAMESPACE: Final = "http://www.w3.org/1999/xhtml"
MAX_BYTES: Final = 2 * 1024 * 1024
MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 50_000
MAX_ATTRIBUTES: Final = 8
_PLACE: Final = "body"


@dataclass(slots=True)
class XmlElement:
    """An element of the FHIR namespace; its text is always in attributes."""

    name: str
    attributes: Mapping[str, str]
    children: list["XmlElement"] = field(default_factory=list)


def parse(raw: bytes) -> XmlElement:
    """
    Read a document. Narratives are passed over, comments and processing instructions too.

    Raises:
        UnreadableMessage: not well-formed UTF-8 XML of the FHIR namespace, a document type, or beyond a bound.
    """
    if len(raw) > MAX_BYTES:
        raise _refused("too large")
    if b"\0" in raw:  # UTF-16 and UTF-32, which a byte order mark would let in
        raise _refused("not UTF-8")
    reader = _Reader()
    try:
        reader.parser.Parse(raw, True)
    except expat.ExpatError:
        raise _refused("not well-formed XML") from None
    assert reader.root is not None  # a document without an element is not well-formed
    return reader.root


class _Reader:
    """Builds the elements while expat reads."""

    def __init__(self) -> None:
        self.root: XmlElement | None = None
        self._open: list[XmlElement] = []
        self._seen = 0
        self._narrative_depth = 0
        self.parser = parser = expat.ParserCreate(
            "UTF-8", " "
        )  # FHIR is UTF-8, whatever the declaration says
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype
        parser.ExternalEntityRefHandler = self._external
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def _doctype(self, *_: object) -> None:
        raise _refused("a document type is not taken")

    def _external(self, *_: object) -> int:
        raise _refused("an external entity is not taken")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._seen += 1
        depth = len(self._open) + self._narrative_depth
        if depth >= MAX_DEPTH or self._seen > MAX_ELEMENTS or len(attributes) > MAX_ATTRIBUTES:
            raise _refused("too many elements, too deep, or too many attributes")
        namespace, _, local = name.rpartition(" ")
        if self._narrative_depth or (namespace == XHTML_NAMESPACE and self._open):
            self._narrative_depth += 1
            return
        if namespace != FHIR_NAMESPACE:
            raise _refused("expected elements of http://hl7.org/fhir")
        known = {key: value for key, value in attributes.items() if " " not in key}
        element = XmlElement(local, known)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def _end(self, _name: str) -> None:
        if self._narrative_depth:
            self._narrative_depth -= 1
        else:
            self._open.pop()

    def _text(self, text: str) -> None:
        if not self._narrative_depth and text.strip():
            raise _refused("text outside an attribute")


def _refused(problem: str) -> UnreadableMessage:
    return UnreadableMessage(_PLACE, problem)
