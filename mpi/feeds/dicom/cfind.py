"""
Ask an archive for studies by C-FIND, in the study root.

Answers are read as files are: their bytes are kept as they came, bounded, and read by a child.

Source: DICOM PS3.4 annex C (query/retrieve service class), C.4.1 (C-FIND), C.6.2 (study root).
"""

import ssl
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import VR
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]
from unidecode import unidecode

from mpi.errors import FeedError
from mpi.feeds.dicom.archive import (
    MAX_ANSWERS,
    PAGE_SIZE,
    WANTED_TAGS,
    Answer,
    CutOff,
    Pause,
    SiteProblem,
    keyword,
)
from mpi.feeds.dicom.header import STUDY_INSTANCE_UID, as_file
from mpi.feeds.dicom.network import BoundedDimse, Requestor
from mpi.feeds.dicom.reading import ReadHeader, read_header_apart

MAX_ANSWER_BYTES = 256 * 1024
_PENDING = (0xFF00, 0xFF01)
_SUCCESS = 0x0000
_OUT_OF_RESOURCES = 0xA700


@dataclass(frozen=True, slots=True)
class FindNode:
    """
    An archive's query provider.

    Args:
        aet: its title; `calling` is ours, which it has to know.
        charset: the character set of our questions (0008,0005): ISO_IR 100 for a site that knows no UTF-8.
        tls: a client context; plain DICOM without.
    """

    host: str
    port: int
    aet: str
    calling: str = "MPI"
    charset: str = "ISO_IR 192"
    timeout_seconds: float = 30.0
    tls: ssl.SSLContext | None = None


class FindArchive:
    """An archive that answers C-FIND. One association for each question."""

    matches_any_text = True

    def __init__(self, node: FindNode, *, read_header: ReadHeader = read_header_apart) -> None:
        self._node = node
        self._read_header = read_header

    def studies(
        self, keys: Mapping[int, str], *, skip: int = 0, pause: Pause = lambda: None
    ) -> Iterator[tuple[Answer, ...]]:
        """The studies that match; see `Archive.studies`. Nothing can be skipped: C-FIND has no pages."""
        pause()
        page: list[Answer] = []
        seen: set[str] = set()
        for raw in self._answers(question(keys, self._node.charset)):
            answer = self._read(raw)
            uid = answer.text(STUDY_INSTANCE_UID)
            if uid and uid in seen:
                continue
            seen.add(uid)
            page.append(answer)
            if len(page) == PAGE_SIZE:
                yield tuple(page)
                page = []
        if page:
            yield tuple(page)

    def _read(self, raw: bytes) -> Answer:
        try:
            return Answer(self._read_header(raw))
        except FeedError as error:
            return Answer(None, error, raw)

    def _answers(self, asked: Dataset) -> Iterator[bytes]:
        answers: deque[bytes] = deque()
        association = self._associate(answers)
        finished = False
        try:
            for count, (status, _) in enumerate(
                association.send_c_find(asked, StudyRootQueryRetrieveInformationModelFind)
            ):
                code = status.get("Status")
                if code is None:
                    raise SiteProblem("no answer in time, or the association was aborted")
                while answers:
                    yield answers.popleft()
                if code not in _PENDING:
                    finished = True
                    if code == _OUT_OF_RESOURCES:
                        raise CutOff("out of resources, which often means too many answers")
                    if code != _SUCCESS:
                        raise SiteProblem(f"C-FIND status {code:04X}")
                elif count > MAX_ANSWERS:
                    raise SiteProblem("more studies than one question can have")
            if not finished:
                raise SiteProblem("the association ended before the answer")
        except (OSError, RuntimeError, ValueError):
            raise SiteProblem("the association broke") from None
        finally:
            if association.is_established:
                association.release() if finished else association.abort()

    def _associate(self, answers: deque[bytes]) -> Association:
        entity = Requestor(self._node.calling)
        entity.acse_timeout = entity.dimse_timeout = self._node.timeout_seconds
        entity.network_timeout = entity.connection_timeout = self._node.timeout_seconds
        entity.add_requested_context(
            StudyRootQueryRetrieveInformationModelFind, [ExplicitVRLittleEndian, ImplicitVRLittleEndian]
        )
        association = entity.associate(
            self._node.host,
            self._node.port,
            ae_title=self._node.aet,
            tls_args=(self._node.tls, self._node.host) if self._node.tls is not None else None,
            evt_handlers=[
                (evt.EVT_REQUESTED, _bound_answers),
                (evt.EVT_DIMSE_RECV, lambda event: _collect(event, answers)),
            ],
        )
        if not association.is_established:
            raise SiteProblem("refused the association" if association.is_rejected else "cannot be reached")
        if not association.accepted_contexts:
            association.abort()
            raise SiteProblem("does not answer study root C-FIND")
        return association


def question(keys: Mapping[int, str], charset: str) -> Dataset:
    """
    The identifier of a study-level question: the keys, and an empty element for everything wanted.

    Text the site's character set cannot hold loses its accents: `Œ` does not exist in ISO_IR 100.
    """
    asked = Dataset()
    asked.SpecificCharacterSet = charset
    asked.QueryRetrieveLevel = "STUDY"
    for tag in (*WANTED_TAGS, *keys):
        value: Any = [] if dictionary_VR(tag) == VR.SQ else _transmissible(keys.get(tag, ""), charset)
        setattr(asked, keyword(tag), value)
    return asked


def _transmissible(value: str, charset: str) -> str:
    codec = "utf-8" if charset == "ISO_IR 192" else "latin_1" if charset == "ISO_IR 100" else "ascii"
    try:
        value.encode(codec)
    except UnicodeEncodeError:
        return unidecode(value)
    return value


def _bound_answers(event: evt.Event) -> None:
    event.assoc.dimse = _Answers(event.assoc)


def _collect(event: evt.Event, answers: deque[bytes]) -> None:
    message = event.message
    data = message.data_set.getvalue() if message.data_set is not None else b""
    if data:
        syntax = event.assoc.accepted_contexts[0].transfer_syntax[0]
        answers.append(as_file(data, str(syntax)))


class _Answers(BoundedDimse):
    """Keeps the beginning of each answer; one that is longer is cut, and refused as truncated."""

    max_waiting_messages = MAX_ANSWERS

    def begins(self, context_id: int) -> None:
        self._left = MAX_ANSWER_BYTES

    def keep(self, fragment: bytes, *, is_last: bool) -> bytes:
        self._left -= len(fragment)
        return fragment if self._left >= 0 else b""
