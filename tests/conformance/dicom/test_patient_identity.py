"""Headers as identity witnesses: rows P01, P02 and P03 of the conformance matrix."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mpi.errors import UnknownIdentifier
from mpi.feeds.dicom.ingest import ingest_dicom
from mpi.feeds.dicom.patient import KEY_OBJECT_SELECTION
from mpi.identity.domains import ins_domain_key
from mpi.identity.ins import INS_TEST_OID
from mpi.identity.model import RecordKey
from mpi.identity.traits import normalise
from mpi.index.events import IdentityStated
from mpi.index.ports import Store
from mpi.index.registry import Registry
from mpi.matching.model import MatchModel
from mpi.replay import replay
from tests.unit.feeds.dicom.files import FakeRegistry, build_directory, build_header, qualifiers, write_file


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
        pytest.param({"PatientName": "TEST^TEST"}, "(0010,0010)", id="TEST^TEST"),
        pytest.param({"PatientName": "PATIENT^TEST"}, "(0010,0010)", id="PATIENT^TEST"),
        pytest.param({"PatientName": "PHANTOM^QC 3"}, "(0010,0010)", id="PHANTOM^QC 3"),
        pytest.param({"PatientName": "ZZZ^ZZZ"}, "(0010,0010)", id="ZZZ^ZZZ"),
    ],
)
def test_p03_nobody_is_refused(tmp_path: Path, elements: dict[str, str], place: str) -> None:
    registry = FakeRegistry()
    path = write_file(tmp_path / "a.dcm", build_header(**elements))

    summary = ingest_dicom(registry, build_directory(), [path], "pacs-a", lambda *_: None)

    assert (summary.refused, [where for where, _ in summary.reasons]) == (1, [place])
    assert sum(summary.excluded.values()) == 1
    assert registry.instructions == []


@pytest.mark.parametrize("name", ["INCONNU^X", "INCONNUE^INCONNUE"])
def test_p03_an_unknown_patient_is_somebody_whose_name_is_evidence_of_nothing(
    tmp_path: Path, name: str
) -> None:
    registry = FakeRegistry()
    path = write_file(tmp_path / "a.dcm", build_header(PatientName=name))

    ingest_dicom(registry, build_directory(), [path], "pacs-a", lambda *_: None)

    (stated,) = registry.instructions
    assert isinstance(stated, IdentityStated)
    traits = normalise(stated.records[0].demographics)
    assert (traits.family_names, traits.given_names) == ((), ())


INS = "284022999912354"


def now() -> datetime:
    return datetime(2026, 3, 3, tzinfo=UTC)


LOCAL, NATIONAL = RecordKey("2.999.1.1", "A1001"), RecordKey(ins_domain_key(INS_TEST_OID), INS)


@pytest.fixture
def registry(memory_store: Store) -> Registry:
    return Registry(memory_store, build_directory(), MatchModel.default(), now)


def euids(store: Store, *keys: RecordKey) -> list[str | None]:
    """The enterprise identifiers behind some record keys, hidden ones too."""
    with store.read() as uow:
        records = uow.records.by_keys(keys)
        return [uow.memberships.euid_of(records[key].id) for key in keys]


def write_images_and_manifest(folder: Path) -> tuple[Path, Path]:
    """One study: a slice under the hospital's identifier, its manifest under the INS."""
    images = write_file(folder / "images.dcm", build_header(AccessionNumber="ORD1", Modality="CT"))
    manifest = build_header(
        SOPClassUID=KEY_OBJECT_SELECTION,
        SOPInstanceUID="2.999.9.1.2",
        Modality="KO",
        PatientID=INS,
        IssuerOfPatientID="ASIP-SANTE-INS-NIR",
        IssuerOfPatientIDQualifiersSequence=qualifiers(INS_TEST_OID),
        StudyDescription="never read",
    )
    return images, write_file(folder / "manifest.dcm", manifest)


@pytest.mark.parametrize("images_first", [True, False])
def test_p02_a_manifest_and_its_images_are_one_persons(
    tmp_path: Path, memory_store: Store, registry: Registry, images_first: bool
) -> None:
    images, manifest = write_images_and_manifest(tmp_path)

    for path in (images, manifest) if images_first else (manifest, images):
        ingest_dicom(registry, registry.directory, [path], "pacs-a", lambda *_: None)

    local, national = euids(memory_store, LOCAL, NATIONAL)
    with memory_store.read() as uow:
        kept = uow.studies.of([LOCAL, NATIONAL])
    assert local == national
    assert {study.record: study.is_manifest for study in kept} == {LOCAL: False, NATIONAL: True}
    assert {study.accession for study in kept if not study.is_manifest} == {"ORD1"}
    assert {study.message_id for study in kept} == {1, 2}


def test_p02_another_sites_study_is_not_linked_by_its_uid(
    tmp_path: Path, memory_store: Store, registry: Registry
) -> None:
    images, manifest = write_images_and_manifest(tmp_path)

    ingest_dicom(registry, registry.directory, [images], "pacs-a", lambda *_: None)
    ingest_dicom(registry, registry.directory, [manifest], "pacs-b", lambda *_: None)

    with memory_store.read() as uow:
        assert [fact.kind for fact in uow.facts.page()] == []


def test_p02_a_manifest_that_is_replayed_is_linked_too(
    tmp_path: Path, memory_store: Store, registry: Registry
) -> None:
    images, manifest = write_images_and_manifest(tmp_path)
    ingest_dicom(registry, registry.directory, [images], "pacs-a", lambda *_: None)
    closed = Registry(memory_store, build_directory(accept_test_ins=False), registry.model, now)
    summary = ingest_dicom(closed, closed.directory, [manifest], "pacs-a", lambda *_: None)

    replay(registry, 2, actor="user:anne")

    local, national = euids(memory_store, LOCAL, NATIONAL)
    assert (summary.applied, local) == (0, national)


def test_p02_the_registry_answers_no_ins_of_a_manifest(tmp_path: Path, registry: Registry) -> None:
    ingest_dicom(registry, registry.directory, write_images_and_manifest(tmp_path), "pacs-a", lambda *_: None)

    with pytest.raises(UnknownIdentifier):
        registry.euid_of(NATIONAL)
    visible = frozenset({"2.999.1.1", "2.999.1.2"})
    assert registry.cross_reference(LOCAL, targets=None, visible=visible, actor="user:anne") == ()


def test_studies_are_erased_with_the_identifier_they_were_found_under(
    tmp_path: Path, memory_store: Store, registry: Registry
) -> None:
    ingest_dicom(registry, registry.directory, write_images_and_manifest(tmp_path), "pacs-a", lambda *_: None)

    registry.erase(LOCAL, reviewer="dpo", reason="asked by the person")

    with memory_store.read() as uow:
        assert [study.record for study in uow.studies.of([LOCAL, NATIONAL])] == [NATIONAL]
