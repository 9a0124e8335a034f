import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpi.errors import SettingsError, StoreError, UnreadableMessage, UnsupportedMessage
from mpi.feeds.dicom.header import read_header
from mpi.feeds.dicom.ingest import MAX_UNREADABLE_BYTES, IngestSummary, ingest_dicom, read_message
from mpi.identity.domains import Domains
from mpi.identity.model import AssigningAuthority, RecordKey
from mpi.index.events import IdentityStated, MessageState, Receipt
from mpi.index.parties import Directory, PatientIdentitySource
from tests.unit.feeds.dicom.files import (
    SITE_A,
    FakeRegistry,
    build_directory,
    build_header,
    other_id,
    write_file,
)

Results = list[tuple[Path, Receipt | None, Exception | None]]


def run(
    *paths: Path, registry: FakeRegistry | None = None, source: str | None = "pacs-a"
) -> tuple[IngestSummary, Results, FakeRegistry]:
    registry = registry or FakeRegistry()
    results: Results = []
    summary = ingest_dicom(
        registry,
        build_directory(),
        paths,
        source,
        lambda *result: results.append(result),
        read_header=read_header,
    )
    accounted = summary.applied + summary.duplicate + summary.quarantined + summary.refused + summary.repeated
    assert summary.files == accounted == len(results)
    return summary, results, registry


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    for name in ("c", "a", "b/2", "b/1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("not dicom")

    _, results, _ = run(tmp_path)

    assert [path.relative_to(tmp_path).as_posix() for path, _, _ in results] == ["a", "c", "b/1", "b/2"]


def test_one_message_per_file(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.dcm", build_header())

    summary, [(_, receipt, error)], registry = run(path)

    assert summary == IngestSummary(files=1, applied=1)
    assert receipt is not None
    assert (receipt.state, error) == (MessageState.APPLIED, None)
    (envelope,) = registry.envelopes
    assert (envelope.protocol, envelope.source, envelope.application) == ("dicom", "pacs-a", "PACS_A")
    assert envelope.content_hash == hashlib.sha256(envelope.raw).hexdigest()
    assert (envelope.facility, envelope.control_id) == ("", f"2.999.9.1.1#{envelope.content_hash[:16]}")
    assert json.loads(envelope.raw)["00100020"] == {"vr": "LO", "Value": ["A1001"]}
    (instruction,) = registry.instructions
    assert isinstance(instruction, IdentityStated)
    assert [record.key.value for record in instruction.records] == ["A1001"]


def test_pixels_never_reach_the_journal(tmp_path: Path) -> None:
    dataset = build_header(Rows=64, Columns=64, BitsAllocated=8)
    dataset.add_new(0x7FE00010, "OB", b"PIXELS" * 1000)

    _, _, registry = run(write_file(tmp_path / "a.dcm", dataset))

    assert b"PIXELS" not in registry.envelopes[0].raw
    assert len(registry.envelopes[0].raw) < 2000


def test_a_study_is_received_once_and_every_instance_is_accounted(tmp_path: Path) -> None:
    for number in range(20):
        write_file(tmp_path / f"{number:02}.dcm", build_header(SOPInstanceUID=f"2.999.9.1.{number}"))
    write_file(
        tmp_path / "other-study.dcm", build_header(StudyInstanceUID="2.999.9.2", SOPInstanceUID="2.999.9.2.1")
    )
    write_file(tmp_path / "other-patient.dcm", build_header(PatientID="A2", SOPInstanceUID="2.999.9.1.99"))

    summary, results, registry = run(tmp_path)

    assert summary == IngestSummary(files=22, applied=3, repeated=19)
    assert len(registry.envelopes) == 3
    assert sum(receipt is None for _, receipt, _ in results) == 19


def test_instances_without_a_study_are_never_taken_for_repetitions(tmp_path: Path) -> None:
    for number in range(2):
        dataset = build_header(StudyInstanceUID=None, SOPInstanceUID=f"2.999.9.1.{number}")
        write_file(tmp_path / f"{number}.dcm", dataset)

    summary, _, _ = run(tmp_path)

    assert summary == IngestSummary(files=2, applied=2)


def test_a_second_run_finds_duplicates(tmp_path: Path) -> None:
    write_file(tmp_path / "a.dcm", build_header())
    _, _, registry = run(tmp_path)

    summary, _, _ = run(tmp_path, registry=registry)

    assert summary == IngestSummary(files=1, duplicate=1)
    assert registry.envelopes[0] == registry.envelopes[1]


def test_what_is_broken_is_accounted_and_the_rest_goes_on(tmp_path: Path) -> None:
    whole = write_file(tmp_path / "a.dcm", build_header()).read_bytes()
    (tmp_path / "README").write_bytes(b"this is no image" * 10_000)
    (tmp_path / "cut.dcm").write_bytes(whole[: whole.index(b"A1001") + 2])
    write_file(
        tmp_path / "phantom.dcm", build_header(QualityControlSubject="YES", SOPInstanceUID="2.999.9.3")
    )

    summary, results, registry = run(tmp_path, tmp_path / "missing.dcm")

    assert (summary.files, summary.applied, summary.quarantined, summary.refused) == (5, 1, 3, 1)
    assert summary.reasons == {
        ("file", "not a DICOM file"): 1,
        ("(0010,0020)", "truncated"): 1,
        ("(0010,0200)", "a quality control subject, not a patient"): 1,
        ("file", "cannot be opened"): 1,
    }
    errors = {path.name: type(error) for path, _, error in results if error}
    assert errors == {
        "README": UnreadableMessage,
        "cut.dcm": UnreadableMessage,
        "phantom.dcm": UnsupportedMessage,
        "missing.dcm": UnreadableMessage,
    }
    assert len(registry.envelopes[0].raw) == MAX_UNREADABLE_BYTES
    assert registry.envelopes[0].control_id == ""


def test_headers_name_their_issuer_when_no_source_is_given(tmp_path: Path) -> None:
    write_file(tmp_path / "a.dcm", build_header())
    write_file(tmp_path / "b.dcm", build_header(IssuerOfPatientID=None, SOPInstanceUID="2.999.9.1.2"))

    summary, _, registry = run(tmp_path, source=None)

    assert (summary.applied, summary.quarantined) == (1, 1)
    assert {(envelope.source, envelope.application) for envelope in registry.envelopes} == {("unknown", "")}


def test_a_source_nobody_configured_stops_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        run(tmp_path, source="nobody")


def test_a_store_that_fails_stops_the_run(tmp_path: Path) -> None:
    class Broken(FakeRegistry):
        def receive(self, *_: object) -> Receipt:
            raise StoreError("disk full")

    write_file(tmp_path / "a.dcm", build_header())

    with pytest.raises(StoreError):
        run(tmp_path, registry=Broken())


def test_folders_are_walked_lazily(tmp_path: Path) -> None:
    write_file(tmp_path / "a.dcm", build_header())

    def paths() -> Iterator[Path]:
        yield tmp_path / "a.dcm"
        raise RuntimeError("asked for more")

    registry = FakeRegistry()
    with pytest.raises(RuntimeError):
        ingest_dicom(registry, build_directory(), paths(), None, lambda *_: None)

    assert len(registry.envelopes) == 1


def test_a_quarantined_header_can_be_read_again_once_its_issuer_is_configured(tmp_path: Path) -> None:
    dataset = build_header(
        SpecificCharacterSet="ISO_IR 100",
        PatientName="ROUX^ZOÉ",
        IssuerOfPatientID="SITE-C",
        OtherPatientIDsSequence=[other_id("B7", "SITE-B", "2.999.1.2")],
    )
    _, [(_, receipt, _)], registry = run(write_file(tmp_path / "a.dcm", dataset))
    assert receipt is not None
    assert receipt.state == MessageState.QUARANTINED
    site_c = AssigningAuthority("SITE-C", "2.999.1.9", "ISO")
    source = PatientIdentitySource("pacs-a", ("2.999.1.9",))
    later = Directory(own=SITE_A, domains=Domains([site_c]), sources=[source])

    instruction = read_message(registry.envelopes[0], later)

    assert isinstance(instruction, IdentityStated)
    (record,) = instruction.records
    assert record.key == RecordKey("2.999.1.9", "A1001")
    assert record.demographics.names[0].given == "ZOÉ"
    assert [other.value for other in record.others] == ["B7"]


def test_what_was_unreadable_stays_so(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("{not json")
    _, _, registry = run(tmp_path)

    with pytest.raises(UnreadableMessage):
        read_message(registry.envelopes[0], build_directory())
