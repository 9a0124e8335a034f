"""The files pydicom ships for its own tests: every one is accounted for, and names decode right."""

import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.multival import MultiValue

from mpi.errors import FeedError
from mpi.feeds.dicom.header import PATIENT_ID, PATIENT_NAME, HeaderText, read_header
from mpi.feeds.dicom.ingest import ingest_dicom, read_message
from mpi.feeds.dicom.patient import identity_from_header
from mpi.index.events import IdentityStated, Receipt
from tests.unit.feeds.dicom.files import PACS_A, FakeRegistry, build_directory

ROOT = Path(pydicom.data.__file__).parent
FOLDERS = [ROOT / "charset_files", ROOT / "test_files"]


def test_every_file_is_accounted_for() -> None:
    accounted: list[Path] = []

    def note(path: Path, _receipt: Receipt | None, _error: Exception | None) -> None:
        accounted.append(path)

    summary = ingest_dicom(FakeRegistry(), build_directory(), FOLDERS, "pacs-a", note)

    on_disk = [path for folder in FOLDERS for path in folder.rglob("*") if path.is_file()]
    assert sorted(accounted) == sorted(on_disk)
    states = (summary.applied, summary.duplicate, summary.quarantined, summary.refused, summary.repeated)
    assert summary.files == sum(states)
    assert summary.applied > 20
    directories = sum("DICOMDIR" in path.name for path in on_disk)
    assert (
        summary.reasons[("file", "a DICOMDIR is an index of files, not an object of one patient")]
        == directories
    )
    assert summary.reasons[("(0002,0010)", "deflated transfer syntax")] == 1


def test_identifiers_and_names_are_those_pydicom_reads() -> None:
    compared = 0
    for path in (path for folder in FOLDERS for path in sorted(folder.rglob("*")) if path.is_file()):
        with suppress(FeedError):
            text = HeaderText(read_header(path))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = dcmread(path, stop_before_pixels=True, force=True)
                identifier, name = str(expected.get("PatientID") or ""), expected.get("PatientName")
            assert text.first(PATIENT_ID) == identifier.strip(), path.name
            if name and not isinstance(name, MultiValue):
                assert text.first(PATIENT_NAME).rstrip("=") == str(name).strip(), path.name
            compared += 1
    assert compared > 150


@pytest.mark.parametrize(
    ("name", "family", "given"),
    [
        ("chrFren.dcm", "Buc", "Jérôme"),
        ("chrFrenMulti.dcm", "Buc", "Jérôme"),
        ("chrGerm.dcm", "Äneas", "Rüdiger"),
        ("chrGreek.dcm", "Διονυσιος", ""),
        ("chrRuss.dcm", "Люкceмбypг", ""),
        ("chrArab.dcm", "قباني", "لنزار"),
        ("chrHbrw.dcm", "שרון", "דבורה"),
        ("chrH31.dcm", "Yamada", "Tarou"),
        ("chrH32.dcm", "ﾔﾏﾀﾞ", "ﾀﾛｳ"),
        ("chrI2.dcm", "Hong", "Gildong"),
        ("chrX1.dcm", "Wang", "XiaoDong"),
        ("chrX2.dcm", "Wang", "XiaoDong"),
    ],
)
def test_names_in_every_character_set(name: str, family: str, given: str) -> None:
    dataset = read_header(ROOT / "charset_files" / name)
    dataset.PatientID = "A1"  # these files identify nobody

    (found,) = identity_from_header(dataset, PACS_A, build_directory()).demographics.names

    assert (found.family, found.given) == (family, given)


def test_what_is_kept_of_a_file_reads_back_as_the_same_identity() -> None:
    registry = FakeRegistry()
    ingest_dicom(registry, build_directory(), FOLDERS, "pacs-a", lambda *_: None)
    stated = [one.records[0] for one in registry.instructions if isinstance(one, IdentityStated)]

    again = []
    for envelope in registry.envelopes:
        with suppress(FeedError):
            instruction = read_message(envelope, build_directory())
            assert isinstance(instruction, IdentityStated)
            again.append(replace(instruction.records[0], warnings=()))

    assert {replace(record, warnings=()) for record in stated} <= set(again)
