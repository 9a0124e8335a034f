"""The DICOM conformance statement says what is negotiated, read and asked, and nothing else."""

from datetime import date
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.ae import ApplicationEntity
from pynetdicom.presentation import AllStoragePresentationContexts, build_context

from mpi.feeds.dicom import listener
from mpi.feeds.dicom.archive import WANTED_TAGS, day_key
from mpi.feeds.dicom.cfind import question
from mpi.feeds.dicom.header import HEADER_TAGS, ITEM_TAGS, HeaderText, read_header
from mpi.feeds.dicom.listener import DEFLATED, DicomListener, DicomListening
from mpi.feeds.dicom.qido import QidoArchive
from tests.conformance.dicom.statement import (
    DOCUMENT,
    USES,
    find_keys,
    storage_classes,
    transfer_syntaxes,
    with_tables,
)
from tests.unit.feeds.dicom.files import FakeRegistry, build_directory

ECHO = "1.2.840.10008.1.1"
MAX_CONTEXTS = 100


def test_the_tables_are_those_of_the_code() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    is_current = with_tables(text) == text

    assert is_current, "run: make conformance"


def test_every_storage_class_and_syntax_of_the_statement_is_accepted_and_no_deflated_one() -> None:
    running = DicomListener(
        DicomListening(port=0), FakeRegistry(), build_directory(), read_header=read_header
    )
    running.start()
    accepted: dict[str, set[str]] = {}
    classes = [str(one.abstract_syntax) for one in AllStoragePresentationContexts]
    asked = [(one, ExplicitVRLittleEndian) for one in classes]
    asked += [(classes[0], str(syntax)) for syntax in ALL_TRANSFER_SYNTAXES]
    try:
        for start in range(0, len(asked), MAX_CONTEXTS):
            entity = ApplicationEntity("PACS_A")
            contexts = [build_context(*one) for one in asked[start : start + MAX_CONTEXTS]]
            entity.requested_contexts = contexts
            association = entity.associate("127.0.0.1", running.port, ae_title="MPI")
            for context in association.accepted_contexts:
                accepted.setdefault(str(context.abstract_syntax), set()).update(
                    map(str, context.transfer_syntax)
                )
            association.release()
    finally:
        running.stop(patience_seconds=5)

    assert accepted.keys() == set(classes)
    assert accepted[classes[0]] == {str(one) for one in ALL_TRANSFER_SYNTAXES} - DEFLATED
    assert all(f"`{one}`" in storage_classes() for one in accepted)
    assert all(f"`{one}`" in transfer_syntaxes() for one in accepted[classes[0]])
    assert not any(f"`{one}`" in transfer_syntaxes() for one in DEFLATED)


def test_every_attribute_that_is_read_has_a_use() -> None:
    read = HEADER_TAGS.union(*ITEM_TAGS.values())

    assert read == USES.keys()
    assert HeaderText(Dataset()).to_json() == {}


def test_a_study_is_asked_for_by_cfind_with_the_keys_of_the_statement() -> None:
    asked = question(day_key(date(2026, 3, 2)), "ISO_IR 192")
    extra = {0x00080005, 0x00080052}  # the character set and the level

    assert {int(element.tag) for element in asked} - extra == set(WANTED_TAGS)
    assert all(f"{tag:08X}" in find_keys() for tag in WANTED_TAGS)


def test_a_study_is_asked_for_by_qido_with_the_fields_of_the_statement() -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(204, stream=httpx2.ByteStream(b""))

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as client:
        list(QidoArchive("http://127.0.0.1/dicom-web", client).studies(day_key(date(2026, 3, 2))))

    (request,) = seen
    asked = parse_qsl(urlsplit(str(request.url)).query)
    assert [value for name, value in asked if name == "includefield"] == [f"{tag:08X}" for tag in WANTED_TAGS]
    assert {name for name, _ in asked} == {"StudyDate", "includefield", "limit", "offset"}
    assert request.headers["Accept"] == "application/dicom+json"


@pytest.mark.parametrize("status", ["0000", "0124", "A700", "C000", "C100"])
def test_every_status_of_the_listener_is_in_the_statement(status: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    codes = (
        listener.SUCCESS, listener.NOT_AUTHORISED, listener.OUT_OF_RESOURCES, listener.UNREADABLE, listener.UNUSABLE,
    )  # fmt: skip

    assert {f"{code:04X}" for code in codes} == {"0000", "0124", "A700", "C000", "C100"}
    assert f"| {status} |" in text
