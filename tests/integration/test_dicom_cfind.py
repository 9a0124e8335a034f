"""C-FIND against scripted archives: bounded, in several character sets, and honest about failures."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind  # type: ignore[attr-defined]

from mpi.errors import UnreadableMessage
from mpi.feeds.dicom import cfind
from mpi.feeds.dicom.archive import CutOff, SiteProblem, day_key
from mpi.feeds.dicom.cfind import FindArchive, FindNode, question
from mpi.feeds.dicom.header import PATIENT_ID, PATIENT_NAME, STUDY_INSTANCE_UID, read_header
from mpi.feeds.dicom.listener import Server
from mpi.feeds.tls import client_context, server_context
from tests.integration.certificates import Authority

Answers = Callable[[Dataset], Iterator[tuple[int, Dataset | None]]]
DAY = day_key(date(2026, 3, 2))


@contextmanager
def answering(
    answers: Answers,
    *,
    calling: str = "MPI",
    tls: ssl.SSLContext | None = None,
    trusting: ssl.SSLContext | None = None,
) -> Iterator[tuple[FindArchive, list[Dataset]]]:
    asked: list[Dataset] = []

    def on_find(event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        asked.append(event.identifier)
        yield from answers(event.identifier)

    entity = ApplicationEntity("PACS")
    entity.require_calling_aet = ["MPI"]
    entity.add_supported_context(StudyRootQueryRetrieveInformationModelFind)
    handlers = [(evt.EVT_C_FIND, on_find)]
    server = entity.make_server(("127.0.0.1", 0), evt_handlers=handlers, ssl_context=tls, server_class=Server)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        address = ("127.0.0.1", server.server_address[1])
        node = FindNode(*address, "PACS", calling=calling, timeout_seconds=10, tls=trusting)
        yield FindArchive(node, read_header=read_header), asked
    finally:
        server.shutdown()


def study(number: int, **elements: Any) -> Dataset:
    answer = Dataset()
    stated = {"PatientID": f"A{number}", "StudyInstanceUID": f"2.999.{number}", **elements}
    for keyword, value in stated.items():
        setattr(answer, keyword, value)
    return answer


def test_every_study_comes_once_in_the_character_set_it_declares() -> None:
    def answers(_: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        yield 0xFF00, study(1, SpecificCharacterSet="ISO_IR 100", PatientName="NOËL^HÉLÈNE")
        yield 0xFF01, study(2, SpecificCharacterSet="ISO_IR 192", PatientName="CŒUR^ZOÉ")
        yield 0xFF00, study(1, PatientName="NOEL^HELENE")

    with answering(answers) as (archive, asked):
        (page,) = archive.studies(DAY)

    assert [one.text(PATIENT_NAME) for one in page] == ["NOËL^HÉLÈNE", "CŒUR^ZOÉ"]
    assert (asked[0].QueryRetrieveLevel, asked[0].StudyDate) == ("STUDY", "20260302-20260302")
    assert "OtherPatientIDsSequence" in asked[0]
    assert "StudyDescription" not in asked[0]


def test_many_answers_come_page_by_page() -> None:
    with answering(lambda _: ((0xFF00, study(number)) for number in range(450))) as (archive, _):
        pages = list(archive.studies(DAY))

    assert [len(page) for page in pages] == [200, 200, 50]
    assert len({one.text(STUDY_INSTANCE_UID) for page in pages for one in page}) == 450


def test_a_huge_answer_is_one_unreadable_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cfind, "MAX_ANSWER_BYTES", 20_000)

    def answers(_: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        huge = study(1)
        huge.add_new(0x00091010, "OB", b"x" * 100_000)
        yield 0xFF00, huge
        yield 0xFF00, study(2)

    with answering(answers) as (archive, _):
        (page,) = archive.studies(DAY)

    assert isinstance(page[0].error, UnreadableMessage)
    assert page[1].text(PATIENT_ID) == "A2"


@pytest.mark.parametrize(
    ("status", "error"),
    [(0xA700, CutOff), (0xA900, SiteProblem), (0xC001, SiteProblem), (0xFE00, SiteProblem)],
)
def test_a_failure_is_told_after_what_came_before(status: int, error: type[SiteProblem]) -> None:
    def answers(_: Dataset) -> Iterator[tuple[int, Dataset | None]]:
        yield from ((0xFF00, study(number)) for number in range(200))
        yield status, None

    found = []
    with answering(answers) as (archive, _), pytest.raises(error):
        found.extend(archive.studies(DAY))

    assert [len(page) for page in found] == [200] or found == []


def test_a_site_that_refuses_or_is_not_there_has_a_problem() -> None:
    with answering(lambda _: iter(()), calling="STRANGER") as (archive, _), pytest.raises(SiteProblem):
        list(archive.studies(DAY))
    with pytest.raises(SiteProblem):
        list(FindArchive(FindNode("127.0.0.1", 1, "PACS")).studies(DAY))


@pytest.mark.parametrize(
    ("charset", "expected"), [("ISO_IR 192", "CŒUR*"), ("ISO_IR 100", "COEUR*"), ("", "COEUR*")]
)
def test_a_question_is_asked_in_letters_the_site_knows(charset: str, expected: str) -> None:
    assert question({PATIENT_NAME: "CŒUR*"}, charset).PatientName == expected


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("find"), "lab")


def archive_tls(lab: Authority) -> ssl.SSLContext:
    """An archive that asks for a certificate of the lab, and shows one."""
    shown = lab.issue("archive")
    return server_context(shown, shown, lab.trust, require_client_certificate=True, place="archive")


def test_an_archive_is_asked_over_tls_with_both_ends_proved(lab: Authority) -> None:
    trusting = client_context(lab.trust, lab.issue("mpi"), check_hostname=True)

    with answering(lambda _: iter([(0xFF00, study(1))]), tls=archive_tls(lab), trusting=trusting) as (
        archive,
        asked,
    ):
        (page,) = archive.studies(DAY)

    assert ([one.text(PATIENT_ID) for one in page], len(asked)) == (["A1"], 1)


@pytest.mark.parametrize("what", ["another authority's archive", "no certificate of ours", "in clear"])
def test_an_archive_that_cannot_be_trusted_is_asked_nothing(
    lab: Authority, tmp_path: Path, what: str
) -> None:
    other = Authority(tmp_path, "other")
    trusting = {
        "another authority's archive": lambda: client_context(other.trust, lab.issue("mpi")),
        "no certificate of ours": lambda: client_context(lab.trust),
        "in clear": lambda: None,
    }[what]()

    with (
        answering(lambda _: iter(()), tls=archive_tls(lab), trusting=trusting) as (archive, asked),
        pytest.raises(SiteProblem),
    ):
        list(archive.studies(DAY))

    assert asked == []
