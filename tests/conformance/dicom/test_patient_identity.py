"""Headers as identity witnesses: rows P01, P02 and P03 of the conformance matrix."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from mpi.errors import UnknownIdentifier
from mpi.feeds.dicom.ingest import ingest_dicom
from mpi.feeds.dicom.patient import KEY_OBJECT_SELECTION
from mpi.identity.domains import ins_domain_key
from mpi.identity.ins import INS_TEST_OID
from mpi.identity.model import (
    Demographics,
    NameUse,
    PartialDate,
    PatientIdentifier,
    PersonName,
    RecordKey,
    SourceRecord,
)
from mpi.identity.traits import normalise
from mpi.index.events import Envelope, IdentityStated, Protocol
from mpi.index.ports import Store
from mpi.index.registry import Registry
from mpi.matching.model import MatchModel
from mpi.replay import replay
from tests.unit.feeds.dicom.files import (
    SITE_A,
    FakeRegistry,
    build_directory,
    build_header,
    qualifiers,
    write_file,
)


def test_p01_headers_without_issuer_take_it_from_their_source(tmp_path: Path) -> None:
    """[P01] One PatientID at two sites, without issuer: two records, each of its source's domain, and no link."""
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
    """[P01] Without issuer and without a source that would be one: quarantined."""
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
    """[P03] De-identified images, phantoms and test names are refused, counted, and state nothing."""
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
    """[P02] The manifest is of the INS\'s own domain, and the person is the one of the images."""
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
    assert registry.cross_reference(LOCAL, targets=None, visible=visible, actor="user:anne").identifiers == ()


def test_studies_are_erased_with_the_identifier_they_were_found_under(
    tmp_path: Path, memory_store: Store, registry: Registry
) -> None:
    ingest_dicom(registry, registry.directory, write_images_and_manifest(tmp_path), "pacs-a", lambda *_: None)

    registry.erase(LOCAL, reviewer="dpo", reason="asked by the person")

    with memory_store.read() as uow:
        assert [study.record for study in uow.studies.of([LOCAL, NATIONAL])] == [NATIONAL]


def correction(before: str, **elements: object) -> list[Dataset]:
    """What an archive keeps of the patient it replaced."""
    former = Dataset()
    former.PatientID = before
    for keyword, value in elements.items():
        setattr(former, keyword, value)
    change = Dataset()
    change.ModifiedAttributesSequence = [former]
    change.AttributeModificationDateTime = "20260303090000"
    change.ModifyingSystem = "PACS_A"
    change.SourceOfPreviousValues = ""
    change.ReasonForTheAttributeModification = "CORRECT"
    return [change]


def moved_tasks(registry: Registry) -> list[str]:
    return [task.reason for task in registry.tasks()]


@pytest.mark.parametrize(
    ("name", "born", "asked"),
    [
        pytest.param("BERGER^SOPHIE", "19550603", ["visits_moved"], id="somebody else's: a person looks"),
        pytest.param("DUVIVIER^LOU", "19840229", [], id="the same person's"),
        pytest.param("INCONNU^X", None, [], id="nobody's yet"),
    ],
)
def test_a_corrected_study_moves_to_the_identifier_it_is_under_now(
    tmp_path: Path, memory_store: Store, registry: Registry, name: str, born: str | None, asked: list[str]
) -> None:
    wrong = build_header(PatientID="T9", PatientName=name, PatientBirthDate=born)
    again = build_header(OriginalAttributesSequence=correction("T9"), SOPInstanceUID="2.999.9.1.1")

    for number, dataset in enumerate((wrong, again)):
        path = write_file(tmp_path / f"{number}.dcm", dataset)
        ingest_dicom(registry, registry.directory, [path], "pacs-a", lambda *_: None)

    with memory_store.read() as uow:
        kept = uow.studies.of_uid("2.999.9.1")
        raw = uow.inbox.get(2)
    assert [study.record for study in kept] == [LOCAL]
    assert [reason for reason in moved_tasks(registry) if reason == "visits_moved"] == asked
    assert raw is not None
    assert b"T9" in raw.envelope.raw  # what it was before is kept with what it is now


def test_what_a_study_was_under_elsewhere_is_no_concern_of_this_source(
    tmp_path: Path, memory_store: Store, registry: Registry
) -> None:
    other = write_file(tmp_path / "b.dcm", build_header(PatientID="B7", IssuerOfPatientID="SITE-B"))
    ingest_dicom(registry, registry.directory, [other], "pacs-b", lambda *_: None)
    claimed = build_header(OriginalAttributesSequence=correction("B7", IssuerOfPatientID="SITE-B"))

    path = write_file(tmp_path / "a.dcm", claimed)
    ingest_dicom(registry, registry.directory, [path], "pacs-a", lambda *_: None)

    with memory_store.read() as uow:
        assert {study.record.value for study in uow.studies.of_uid("2.999.9.1")} == {"B7", "A1001"}
        message = uow.inbox.get(2)
    assert message is not None
    assert any("(0400,0561)" in warning for warning in message.warnings)


@pytest.mark.parametrize("depth", [1, 3, 60])
def test_corrections_of_corrections_cost_the_identity_nothing(tmp_path: Path, depth: int) -> None:
    inner = correction("T1")
    for _ in range(depth):
        outer = correction("T2")
        outer[0].ModifiedAttributesSequence[0].OriginalAttributesSequence = inner
        inner = outer
    path = write_file(tmp_path / "a.dcm", build_header(OriginalAttributesSequence=inner))
    fake = FakeRegistry()

    summary = ingest_dicom(fake, build_directory(), [path], "pacs-a", lambda *_: None)

    (stated,) = fake.instructions
    assert summary.applied == 1
    assert isinstance(stated, IdentityStated)
    assert stated.formerly in ((RecordKey("2.999.1.1", "T2"),), ())


def test_a_corrected_instance_is_not_a_repetition_of_the_wrong_one(tmp_path: Path) -> None:
    fake = FakeRegistry()
    paths = [
        write_file(tmp_path / "1.dcm", build_header()),
        write_file(tmp_path / "2.dcm", build_header(OriginalAttributesSequence=correction("T1"))),
        write_file(tmp_path / "3.dcm", build_header(OriginalAttributesSequence=correction("T1"))),
    ]

    summary = ingest_dicom(fake, build_directory(), paths, "pacs-a", lambda *_: None)

    assert (summary.applied, summary.repeated) == (2, 1)


ADT = {
    "names": (PersonName("CHANTEREAU", "LOUISE", use=NameUse.BIRTH),),
    "birth_date": PartialDate(1984, 2, 29),
    "sex": "F",
}


@pytest.mark.parametrize(
    ("header", "reasons"),
    [
        pytest.param(
            {"PatientName": "MARTIN^HUGO", "PatientBirthDate": "19900502", "PatientSex": "M"},
            ["another_person:header"],
            id="somebody else",
        ),
        pytest.param({"PatientName": "CHANTÉREAU^LOUISE"}, [], id="an accent"),
        pytest.param({"PatientName": "MARTIN^LOUISE"}, [], id="the married name"),
        pytest.param({"PatientName": "MARTIN^LOUISE", "PatientBirthName": "CHANTEREAU"}, [], id="both names"),
        pytest.param({"PatientName": "CHANTEREAU LOUISE"}, [], id="no caret"),
    ],
)
def test_a_header_and_a_feed_that_disagree_about_an_identifier_are_asked_about(
    tmp_path: Path, registry: Registry, header: dict[str, str], reasons: list[str]
) -> None:
    fed = SourceRecord(
        identifier=PatientIdentifier("A1001", SITE_A, "PI"),
        domain="2.999.1.1",
        demographics=Demographics(**ADT),  # type: ignore[arg-type]
        event_time=datetime(2026, 3, 1, tzinfo=UTC),
        source="ris-a",
    )
    envelope = Envelope(Protocol.HL7V2, "ris-a", "RIS", "A", "M1", "h", b"raw", "ADT^A28")
    registry.receive(envelope, lambda: IdentityStated((fed,)), lambda _: b"")

    path = write_file(tmp_path / "a.dcm", build_header(**header))
    ingest_dicom(registry, registry.directory, [path], "pacs-a", lambda *_: None)

    assert [task.reason for task in registry.tasks()] == reasons
