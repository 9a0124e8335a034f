"""
Read the identity out of a DICOM file, and not one byte more.

The reader stops at the last element it wants: pixels, and whatever else follows the Study Instance
UID, are never read, so a file cut inside them reads like any other. Bytes come from strangers:
what may be read is bounded, deflated files are refused, and a broken file is one error with a
place, whatever pydicom made of it.

Elements stay raw in the header; `HeaderText` decodes them, because pydicom's own conversion quotes
values in its warnings and its log.

Source: DICOM PS3.10 (file format); PS3.5 (data set encoding); PS3.6 (data dictionary).
"""

import io
import json
import os
import stat
import struct
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset, read_partial
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import VR

from mpi.errors import FeedError, UnreadableMessage, UnsupportedMessage
from mpi.feeds.dicom import prefix
from mpi.feeds.dicom.charset import CHARSET_PLACE, CharacterSets
from mpi.feeds.dicom.prefix import MAX_ELEMENTS, MAX_SEQUENCE_BYTES, HeaderPrefix

FILE = "file"
"""The place of a problem that concerns the file as a whole."""

SPECIFIC_CHARACTER_SET = 0x00080005
INSTANCE_CREATION_DATE, INSTANCE_CREATION_TIME = 0x00080012, 0x00080013
SOP_CLASS_UID, SOP_INSTANCE_UID = 0x00080016, 0x00080018
STUDY_DATE, SERIES_DATE, ACQUISITION_DATE, CONTENT_DATE = 0x00080020, 0x00080021, 0x00080022, 0x00080023
STUDY_TIME, SERIES_TIME, ACQUISITION_TIME, CONTENT_TIME = 0x00080030, 0x00080031, 0x00080032, 0x00080033
ACCESSION_NUMBER, MODALITY, MODALITIES_IN_STUDY = 0x00080050, 0x00080060, 0x00080061
INSTITUTION_NAME, STATION_NAME = 0x00080080, 0x00081010
TIMEZONE_OFFSET_FROM_UTC = 0x00080201
PATIENT_NAME, PATIENT_ID = 0x00100010, 0x00100020
ISSUER_OF_PATIENT_ID, TYPE_OF_PATIENT_ID = 0x00100021, 0x00100022
ISSUER_QUALIFIERS_SEQUENCE = 0x00100024
PATIENT_BIRTH_DATE, PATIENT_SEX, QUALITY_CONTROL_SUBJECT = 0x00100030, 0x00100040, 0x00100200
OTHER_PATIENT_IDS, OTHER_PATIENT_IDS_SEQUENCE = 0x00101000, 0x00101002
PATIENT_BIRTH_NAME, PATIENT_ADDRESS, PATIENT_MOTHER_BIRTH_NAME = 0x00101005, 0x00101040, 0x00101060
PATIENT_TELEPHONE_NUMBERS = 0x00102154
PATIENT_IDENTITY_REMOVED = 0x00120062
UNIVERSAL_ENTITY_ID, UNIVERSAL_ENTITY_ID_TYPE = 0x00400032, 0x00400033
STUDY_INSTANCE_UID, ORIGINAL_ATTRIBUTES_SEQUENCE = (
    prefix.STUDY_INSTANCE_UID,
    prefix.ORIGINAL_ATTRIBUTES_SEQUENCE,
)
MODIFIED_ATTRIBUTES_SEQUENCE, ATTRIBUTE_MODIFICATION_DATETIME = 0x04000550, 0x04000562

HEADER_TAGS = frozenset(
    {
        SPECIFIC_CHARACTER_SET, INSTANCE_CREATION_DATE, INSTANCE_CREATION_TIME, SOP_CLASS_UID, SOP_INSTANCE_UID,
        STUDY_DATE, SERIES_DATE, ACQUISITION_DATE, CONTENT_DATE,
        STUDY_TIME, SERIES_TIME, ACQUISITION_TIME, CONTENT_TIME,
        ACCESSION_NUMBER, MODALITY, MODALITIES_IN_STUDY, INSTITUTION_NAME, STATION_NAME, TIMEZONE_OFFSET_FROM_UTC,
        PATIENT_NAME, PATIENT_ID, ISSUER_OF_PATIENT_ID, TYPE_OF_PATIENT_ID, ISSUER_QUALIFIERS_SEQUENCE,
        PATIENT_BIRTH_DATE, PATIENT_SEX, QUALITY_CONTROL_SUBJECT, OTHER_PATIENT_IDS, OTHER_PATIENT_IDS_SEQUENCE,
        PATIENT_BIRTH_NAME, PATIENT_ADDRESS, PATIENT_MOTHER_BIRTH_NAME, PATIENT_TELEPHONE_NUMBERS,
        PATIENT_IDENTITY_REMOVED, STUDY_INSTANCE_UID, ORIGINAL_ATTRIBUTES_SEQUENCE,
    }
)  # fmt: skip
"""What is read of a file. Ethnic group (0010,2160) is not, and must not be: it may not be kept in France."""

PATIENT_TAGS = frozenset(tag for tag in HEADER_TAGS if tag >> 16 in (0x0010, 0x0012))
_ISSUER_TAGS = frozenset({UNIVERSAL_ENTITY_ID, UNIVERSAL_ENTITY_ID_TYPE})
_IDENTIFIER_TAGS = frozenset(
    {PATIENT_ID, ISSUER_OF_PATIENT_ID, TYPE_OF_PATIENT_ID, ISSUER_QUALIFIERS_SEQUENCE}
)
ITEM_TAGS: Mapping[int, frozenset[int]] = {
    ISSUER_QUALIFIERS_SEQUENCE: _ISSUER_TAGS,
    OTHER_PATIENT_IDS_SEQUENCE: _IDENTIFIER_TAGS,
    ORIGINAL_ATTRIBUTES_SEQUENCE: frozenset({MODIFIED_ATTRIBUTES_SEQUENCE, ATTRIBUTE_MODIFICATION_DATETIME}),
    MODIFIED_ATTRIBUTES_SEQUENCE: _IDENTIFIER_TAGS | {PATIENT_NAME, PATIENT_BIRTH_DATE, PATIENT_SEX},
}
"""What is read of the items of each sequence: none holds itself, so that nesting ends."""
_LAST_TAG = STUDY_INSTANCE_UID

MAX_ITEMS = 64
MAX_TEXT_BYTES = 16 * 1024
MAX_READ_BYTES = 8 * 1024 * 1024
MAX_READS = 200_000
_TAIL_CHUNK_BYTES = 64 * 1024

_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_PREFIX_END = 132
_SNIFFED_BYTES = 140
_UNDEFINED_LENGTH = 0xFFFFFFFF
_DIRECTORY_GROUP = 0x0004


class Header(Dataset):
    """The elements of `HEADER_TAGS` of one file, raw, and what was tolerated while reading them."""

    reading_warnings: tuple[str, ...] = ()


def place_of(tag: int) -> str:
    """A tag as errors and warnings name it: `(0010,0020)`."""
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


def read_header(source: Path | bytes) -> Header:
    """
    Read the identity elements of a DICOM file, or of the bytes of one.

    A file without preamble is read when it begins like a data set.

    Raises:
        UnreadableMessage: not a DICOM file, cut before the end of the header, nested too deeply, or broken.
        UnsupportedMessage: a DICOMDIR, or a deflated transfer syntax.
    """
    if isinstance(source, bytes):
        return _read(io.BytesIO(source), len(source))
    try:
        if not stat.S_ISREG(os.stat(source).st_mode):  # opening a pipe would wait for ever
            raise UnreadableMessage(FILE, "not a regular file")
        with open(source, "rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size)
    except OSError:
        raise UnreadableMessage(FILE, "cannot be opened") from None


def as_file(data_set: bytes, syntax: str) -> bytes:
    """A data set, or its beginning, as a file would hold it."""
    value = syntax.encode("ascii")
    value += b"\0" * (len(value) % 2)
    return b"\0" * 128 + b"DICM\x02\x00\x10\x00UI" + len(value).to_bytes(2, "little") + value + data_set


def _read(file: BinaryIO, size: int) -> Header:
    bounded = _BoundedFile(file, size)
    start = bounded.read(_SNIFFED_BYTES)
    bounded.rewind()
    has_prefix = start[128:_PREFIX_END] == b"DICM"
    if not has_prefix and not _begins_like_a_data_set(start, size):
        raise UnreadableMessage(FILE, "not a DICOM file")
    watch = _Watch()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            dataset = read_partial(
                cast(BinaryIO, bounded),
                stop_when=watch,
                force=not has_prefix,
                specific_tags=list(HEADER_TAGS),
            )
            tags = sorted(BaseTag(tag) for tag in HEADER_TAGS & dataset.keys())
            header = Header({tag: dataset.get_item(tag) for tag in tags})
            implicit, little_endian = dataset.original_encoding
            header.set_original_encoding(implicit, little_endian, dataset.original_character_set)
            _check(header, HEADER_TAGS)
        except FeedError:
            raise
        except RecursionError:
            raise UnreadableMessage(FILE, "sequences nested too deeply") from None
        except Exception:  # noqa: BLE001 - pydicom's errors share no base, and quote the bytes they choke on
            raise UnreadableMessage(FILE, "truncated" if bounded.truncated else "broken data set") from None
    messages = [str(warning.message) for warning in caught]
    cut = any(message.startswith("End of file reached") for message in messages)
    if cut or bounded.truncated or not watch.elements:
        raise UnreadableMessage(FILE, "truncated")
    header.reading_warnings = _tolerated(messages)
    try:
        _read_original_attributes(bounded, header)
    except Exception:  # noqa: BLE001 - the identity is whole: what it was before must not cost it
        header.pop(ORIGINAL_ATTRIBUTES_SEQUENCE, None)
        header.reading_warnings += (f"{place_of(ORIGINAL_ATTRIBUTES_SEQUENCE)}: cannot be read, ignored",)
    return header


def _read_original_attributes(file: "_BoundedFile", header: Header) -> None:
    """Look behind the identity for what it was before an archive corrected it."""
    implicit, little = header.original_encoding
    walked = HeaderPrefix(implicit=bool(implicit), little=bool(little), identified=True)
    kept = bytearray()
    while not walked.is_complete:
        chunk = file.read(_TAIL_CHUNK_BYTES)
        kept += walked.feed(chunk, is_last=not chunk)
    if not kept:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = read_dataset(io.BytesIO(kept), bool(implicit), bool(little), bytelength=len(kept))
        element = found[ORIGINAL_ATTRIBUTES_SEQUENCE]
        header[ORIGINAL_ATTRIBUTES_SEQUENCE] = element
        _check(header, frozenset({ORIGINAL_ATTRIBUTES_SEQUENCE}))


def _begins_like_a_data_set(start: bytes, size: int) -> bool:
    """Whether a file without preamble begins with an element of group 2 or 8, in any encoding."""
    if len(start) < 8:
        return False
    group, length = struct.unpack("<HxxL", start[:8])
    explicit = start[4:6].isalpha() and start[4:6].decode("latin_1") in VR.__members__
    if group in (0x0002, 0x0008):
        return explicit or length < size
    return group in (0x0200, 0x0800) and explicit  # big endian is always explicit


class _Watch:
    """Asked by pydicom before it reads the value of each top-level element: whether to stop there."""

    def __init__(self) -> None:
        self.elements = 0

    def __call__(self, tag: BaseTag, _vr: str | None, length: int) -> bool:
        self.elements += 1
        if self.elements > MAX_ELEMENTS:
            raise UnreadableMessage(FILE, f"more than {MAX_ELEMENTS} elements")
        if tag >> 16 == _DIRECTORY_GROUP:
            raise UnsupportedMessage(FILE, "a DICOMDIR is an index of files, not an object of one patient")
        if tag in HEADER_TAGS and length != _UNDEFINED_LENGTH:
            allowed = MAX_SEQUENCE_BYTES if tag in ITEM_TAGS else MAX_TEXT_BYTES
            if length > allowed:
                raise UnreadableMessage(place_of(tag), f"longer than {allowed} bytes")
        return int(tag) > _LAST_TAG  # elements are in ascending order


def _check(dataset: Dataset, tags: frozenset[int]) -> None:
    """Parse the sequences now, and refuse cut values, while the file is still the one to blame."""
    HeaderText(dataset)  # an impossible character set is known now
    for tag in tags & dataset.keys():
        element = dataset.get_item(tag)
        stated = element.length if isinstance(element, RawDataElement) else 0
        if stated != _UNDEFINED_LENGTH and len(element.value or b"") < stated:
            raise UnreadableMessage(place_of(tag), "truncated")
        if tag not in ITEM_TAGS:
            continue
        items = dataset[tag].value
        if not isinstance(items, Sequence):
            raise UnreadableMessage(place_of(tag), "not a sequence")
        if len(items) > MAX_ITEMS:
            raise UnreadableMessage(place_of(tag), f"more than {MAX_ITEMS} items")
        for item in items:
            _check(item, ITEM_TAGS[tag])


def _tolerated(messages: list[str]) -> tuple[str, ...]:
    """Our own words for pydicom's warnings, which may quote values."""
    said = {
        "file: encoded otherwise than its transfer syntax says"
        if message.startswith("Expected ")
        else "file: departs from the standard in a way the reader tolerates"
        for message in messages
        if "Specific Character Set" not in message and "encoding" not in message  # HeaderText says it better
    }
    return tuple(sorted(said))


class _BoundedFile:
    """
    A file that gives at most so many bytes, in so many reads, and remembers being cut short.

    Python allocates what `read` asks for before it looks at the file, and a length field may ask
    for 4 GiB; here a read never asks for more than there is.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._position = 0
        self._bytes_left = MAX_READ_BYTES
        self._reads_left = MAX_READS
        self.truncated = False

    def rewind(self) -> None:
        """Start again, as if nothing had been read yet."""
        self._file.seek(0)
        self._position = 0
        self.truncated = False

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = base + offset
        self.truncated |= self._position > self._size
        return self._position

    def read(self, size: int | None = None) -> bytes:
        if size is None or size < 0:  # the only reader of a whole rest is pydicom's inflater
            raise UnsupportedMessage("(0002,0010)", "deflated transfer syntax")
        available = max(0, min(size, self._size - self._position))
        self._reads_left -= 1
        self._bytes_left -= available
        if self._reads_left < 0 or self._bytes_left < 0:
            raise UnreadableMessage(FILE, "too much to read before the identity")
        self._file.seek(self._position)
        found = self._file.read(available)
        self._position += len(found)
        self.truncated |= 0 < len(found) < size <= 8  # inside a tag or a length
        return found


class HeaderText:
    """
    The text of one data set's elements, decoded as the standard and the field's habits require.

    Works on a header read by `read_header`, and on any other pydicom data set (from DICOM JSON,
    for instance), whose values are text already.

    Args:
        dataset: whose elements are wanted.
        warnings_to: where to add what was tolerated; sequence items share their parent's.
    """

    def __init__(
        self,
        dataset: Dataset,
        warnings_to: dict[str, None] | None = None,
        inherited: CharacterSets | None = None,
    ) -> None:
        self._dataset = dataset
        noticed = dataset.reading_warnings if isinstance(dataset, Header) else ()
        self._warnings = dict.fromkeys(noticed) if warnings_to is None else warnings_to
        self._charsets = self._declared_charsets(inherited or CharacterSets())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was tolerated so far, each once, in order."""
        return tuple(self._warnings)

    def warn(self, tag: int, problem: str) -> None:
        """Note what was tolerated at a tag."""
        self._warnings.setdefault(f"{place_of(tag)}: {problem}")

    def all(self, tag: int) -> tuple[str, ...]:
        """Every value of an element, without padding; empty values are left out."""
        return tuple(text for value in self._texts(tag) if (text := self._clean(tag, value)))

    def first(self, tag: int) -> str:
        """The value of an element that should have one, or empty."""
        values = self.all(tag)
        if len(values) > 1:
            self.warn(tag, "several values, the first is read")
        return values[0] if values else ""

    def items(self, tag: int) -> Iterator["HeaderText"]:
        """The items of a sequence."""
        if tag not in self._dataset:
            return
        value = self._dataset[tag].value
        if not isinstance(value, Sequence):
            raise UnreadableMessage(place_of(tag), "not a sequence")
        for item in value:
            yield HeaderText(item, self._warnings, self._charsets)

    def to_json(self, tags: frozenset[int] = HEADER_TAGS) -> dict[str, Any]:
        """
        The elements of `tags` that are there, in the DICOM JSON model; text is decoded.

        Source: DICOM PS3.18, DICOM JSON Model.
        """
        out: dict[str, Any] = {}
        for tag in sorted(tags):
            if tag not in self._dataset:
                continue
            values: list[Any]
            if tag in ITEM_TAGS:
                values = [item.to_json(ITEM_TAGS[tag]) for item in self.items(tag)]
            elif tag == SPECIFIC_CHARACTER_SET:
                values = ["ISO_IR 192"]  # JSON is UTF-8, and must say so
            elif dictionary_VR(tag) == VR.PN:
                values = [_groups(text) for text in self.all(tag)]
            else:
                values = list(self.all(tag))
            out[f"{tag:08X}"] = {"vr": dictionary_VR(tag), **({"Value": values} if values else {})}
        return out

    def _declared_charsets(self, inherited: CharacterSets) -> CharacterSets:
        if SPECIFIC_CHARACTER_SET not in self._dataset:
            return inherited
        element = self._dataset.get_item(SPECIFIC_CHARACTER_SET)
        if isinstance(element, RawDataElement):
            declaration = (element.value or b"").decode("latin_1")
        else:  # pydicom converts this one early, to read the others
            value = element.value
            declaration = "\\".join(value) if isinstance(value, MultiValue | list) else str(value or "")
        charsets = CharacterSets.parse(declaration)
        if charsets.problem:
            self._warnings.setdefault(f"{CHARSET_PLACE}: {charsets.problem}")
        return charsets

    def _texts(self, tag: int) -> list[str]:
        if tag not in self._dataset:
            return []
        element = self._dataset.get_item(tag)
        if isinstance(element, RawDataElement):
            text, problem = self._charsets.decode(
                element.value or b"", person_name=dictionary_VR(tag) == VR.PN
            )
            if problem:
                self.warn(tag, problem)
            return text.split("\\")
        value = element.value
        if value is None:
            return []
        return [str(one) for one in value] if isinstance(value, MultiValue | list) else [str(value)]

    def _clean(self, tag: int, text: str) -> str:
        text = text.strip(" \0")
        if text.isprintable():
            return text
        if any(char < " " or char == "\x7f" for char in text):
            self.warn(tag, "control characters, read as spaces")
            text = "".join(" " if char < " " or char == "\x7f" else char for char in text)
        return text.strip()


def header_from_json(elements: object) -> Header:
    """
    Make a header of a DICOM JSON object: one that `HeaderText.to_json` wrote, or a web answer.

    Raises:
        UnreadableMessage: not the DICOM JSON model.

    Source: DICOM PS3.18, DICOM JSON Model.
    """
    header = _from_json(elements, HEADER_TAGS - {SPECIFIC_CHARACTER_SET})
    header[SPECIFIC_CHARACTER_SET] = _text_element(SPECIFIC_CHARACTER_SET, "ISO_IR 192")
    return header


def _from_json(elements: object, tags: frozenset[int]) -> Header:
    if not isinstance(elements, dict):
        raise UnreadableMessage(FILE, "not a DICOM JSON object")
    header = Header()
    for tag in sorted(tag for tag in tags if f"{tag:08X}" in elements):
        values = _json_values(elements, tag)
        if tag not in ITEM_TAGS:
            header[tag] = _text_element(tag, "\\".join(_json_text(tag, value) for value in values))
            continue
        if len(values) > MAX_ITEMS:
            raise UnreadableMessage(place_of(tag), f"more than {MAX_ITEMS} items")
        items = [_from_json(item, ITEM_TAGS[tag]) for item in values]
        header[tag] = DataElement(BaseTag(tag), VR.SQ, Sequence(items))
    return header


def _text_element(tag: int, text: str) -> RawDataElement:
    """Text as a file in UTF-8 would hold it, so that one way of reading serves both."""
    raw = text.encode("utf-8", "replace")
    if len(raw) > MAX_TEXT_BYTES:
        raise UnreadableMessage(place_of(tag), f"longer than {MAX_TEXT_BYTES} bytes")
    return RawDataElement(BaseTag(tag), dictionary_VR(tag), len(raw), raw, 0, False, True)


def _json_values(elements: dict[str, Any], tag: int) -> list[Any]:
    element = elements[f"{tag:08X}"]
    values = element.get("Value", []) if isinstance(element, dict) else None
    if not isinstance(values, list):
        raise UnreadableMessage(place_of(tag), "not a DICOM JSON element")
    return [value for value in values if value is not None]


def _json_text(tag: int, value: object) -> str:
    if isinstance(value, dict) and dictionary_VR(tag) == VR.PN:
        return "=".join(str(value.get(kind, "")) for kind in _NAME_GROUPS).rstrip("=")
    if not isinstance(value, str | int | float):
        raise UnreadableMessage(place_of(tag), "not a DICOM JSON value")
    return str(value)


def canonical_bytes(elements: dict[str, Any]) -> bytes:
    """The same bytes for the same elements, whatever file they came from."""
    text = json.dumps(elements, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8", "replace")


def _groups(name: str) -> dict[str, str]:
    return {kind: group for kind, group in zip(_NAME_GROUPS, name.split("="), strict=False) if group}
