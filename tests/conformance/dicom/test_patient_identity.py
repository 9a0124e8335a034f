"""Headers as identity witnesses: rows P01 and P03 of the conformance matrix."""

from pathlib import Path

import pytest

from mpi.feeds.dicom.ingest import ingest_dicom
from mpi.identity.model import RecordKey
from mpi.identity.traits import normalise
from mpi.index.events import IdentityStated
from tests.unit.feeds.dicom.files import FakeRegistry, build_directory, build_header, write_file


def test_p01_headers_without_issuer_take_it_from_their_source(tmp_path: Path) -> None:
    registry = FakeRegistry()
    for site in ("a", "b"):
        dataset = build_header(IssuerOfPatientID=None, SOPInstanceUID=f"2.999.9.{ord(site)}.1")
        path = write_file(tmp_path / f"{site}.dcm", dataset)
        ingest_dicom(registry, build_directory(), [path], f"pacs-{site}", lambda *_: None)

    stated = [one for one in registry.instructions if isinstance(one, IdentityStated)]
    keys = [record.key for one in stated for record in one.records]

    assert keys == [RecordKey("2.999.1.1", "A1001"), RecordKey("2.999.1.2", "A1001")]
    assert all(
        len(one.records) == 1 and not one.records[0].others for one in stated
    )  # nothing links by the value


def test_p01_a_naked_patient_id_is_quarantined(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.dcm", build_header(IssuerOfPatientID=None))

    summary = ingest_dicom(FakeRegistry(), build_directory(), [path], None, lambda *_: None)

    assert (summary.quarantined, [place for place, _ in summary.reasons]) == (1, ["(0010,0021)"])


@pytest.mark.parametrize(
    ("elements", "place"),
    [
        pytest.param({"PatientIdentityRemoved": "YES"}, "(0012,0062)", id="PatientIdentityRemoved = YES"),
        pytest.param({"QualityControlSubject": "YES"}, "(0010,0200)", id="QualityControlSubject = YES"),
    ],
)
def test_p03_nobody_is_refused(tmp_path: Path, elements: dict[str, str], place: str) -> None:
    registry = FakeRegistry()
    path = write_file(tmp_path / "a.dcm", build_header(**elements))

    summary = ingest_dicom(registry, build_directory(), [path], "pacs-a", lambda *_: None)

    assert (summary.refused, [where for where, _ in summary.reasons]) == (1, [place])
    assert registry.instructions == []


@pytest.mark.parametrize("name", ["TEST^TEST", "PATIENT^TEST", "INCONNU^X", "ZZZ^ZZZ"])
def test_p03_a_test_name_is_evidence_of_nothing(tmp_path: Path, name: str) -> None:
    registry = FakeRegistry()
    path = write_file(tmp_path / "a.dcm", build_header(PatientName=name))

    ingest_dicom(registry, build_directory(), [path], "pacs-a", lambda *_: None)

    (stated,) = registry.instructions
    assert isinstance(stated, IdentityStated)
    traits = normalise(stated.records[0].demographics)
    assert (traits.family_names, traits.given_names) == ((), ())
