"""Against DICOM software that shares no code with this one: Orthanc with its DICOMweb plugin, and dcmtk."""

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import httpx2
import pytest

from mpi.feeds.dicom.archive import Archive, Person, studies_of
from mpi.feeds.dicom.cfind import FindArchive, FindNode
from mpi.feeds.dicom.harvest import Cursor, Harvester, Site
from mpi.feeds.dicom.header import OTHER_PATIENT_IDS_SEQUENCE, PATIENT_NAME, STUDY_INSTANCE_UID, read_header
from mpi.feeds.dicom.listener import DicomListener, DicomListening
from mpi.feeds.dicom.qido import QidoArchive
from mpi.index.events import IdentityStated
from tests.unit.feeds.dicom.files import (
    FakeRegistry,
    build_directory,
    build_header,
    other_id,
    path_of_dcmtk,
    write_file,
)

pytestmark = pytest.mark.dicom_peer

DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PATIENCE_SECONDS = 30.0
PEOPLE = ["NOËL^HÉLÈNE", "NOEL^HELENE", "LE GOFF^YANN", "CŒUR^ZOÉ", "ROUX^ANNE"]


@pytest.fixture(autouse=True, scope="module")
def only_dcmtk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", path_of_dcmtk())
        yield


def installed(*names: str) -> None:
    missing = [name for name in names if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def write_people(folder: Path) -> list[Path]:
    """One image each, of five days of March 2026; the second day has no INS beside it."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number, name in enumerate(PEOPLE, start=1):
        header = build_header(
            PatientName=name,
            PatientID=f"A{number}",
            StudyDate=f"202603{number:02}",
            StudyInstanceUID=f"2.999.9.{number}",
            SOPInstanceUID=f"2.999.9.{number}.1",
            PatientBirthDate=f"19840{number}01",
            AccessionNumber=f"ORD{number}",
            Modality="CT",
            StudyID="1",
            SeriesInstanceUID=f"2.999.9.{number}.9",
            OtherPatientIDsSequence=[other_id(f"B{number}", "SITE-B", "2.999.1.2")],
        )
        header.add_new(0x7FE00010, "OB", b"PIXELS!!" * 1_000)
        header.Rows = header.Columns = 8
        paths.append(write_file(folder / f"{number}.dcm", header))
    return paths


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def listener(registry: FakeRegistry) -> Iterator[DicomListener]:
    running = DicomListener(DicomListening(port=0, readers=1), registry, build_directory())
    running.start()
    yield running
    running.stop()


def patients(registry: FakeRegistry) -> list[str]:
    return sorted(
        record.key.value
        for one in registry.instructions
        if isinstance(one, IdentityStated)
        for record in one.records
    )


# ---------------------------------------------------------------------------------- dcmtk, sending


def storescu(listener: DicomListener, *paths: Path, aet: str = "PACS_A") -> subprocess.CompletedProcess[str]:
    installed("storescu")
    command = [
        "storescu",
        "-v",
        "-aet",
        aet,
        "-aec",
        "MPI",
        "127.0.0.1",
        str(listener.port),
        *map(str, paths),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_dcmtk_echoes(listener: DicomListener) -> None:
    installed("echoscu")
    command = ["echoscu", "-aet", "PACS_A", "-aec", "MPI", "127.0.0.1", str(listener.port)]

    assert subprocess.run(command, timeout=60, check=False).returncode == 0


def test_dcmtk_stores(listener: DicomListener, registry: FakeRegistry, tmp_path: Path) -> None:
    done = storescu(listener, *write_people(tmp_path / "in"))

    assert done.returncode == 0, done.stderr
    assert patients(registry) == ["A1", "A2", "A3", "A4", "A5"]
    assert all(b"PIXELS!!" not in envelope.raw for envelope in registry.envelopes)
    assert "NOËL^HÉLÈNE".encode() in registry.envelopes[0].raw


def test_dcmtk_is_refused_under_a_title_nobody_configured(
    listener: DicomListener, registry: FakeRegistry, tmp_path: Path
) -> None:
    done = storescu(listener, write_people(tmp_path / "in")[0], aet="STRANGER")

    assert done.returncode != 0
    assert registry.envelopes == []


def test_dcmtk_is_told_that_an_identity_cannot_be_used(listener: DicomListener, tmp_path: Path) -> None:
    nameless = write_file(tmp_path / "a.dcm", build_header(PatientID="UNKNOWN"))

    done = storescu(listener, nameless)

    assert done.returncode != 0
    assert "0xc100" in (done.stdout + done.stderr).lower() or "CannotUnderstand" in done.stdout + done.stderr


# ------------------------------------------------------------------------------------ archives


@dataclass(frozen=True)
class Pacs:
    """A running archive with the five people in it."""

    port: int
    aet: str
    http_port: int = 0

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def find(self, charset: str = "ISO_IR 192") -> FindArchive:
        node = FindNode("127.0.0.1", self.port, self.aet, charset=charset)
        return FindArchive(node, read_header=read_header)


def fill(pacs: Pacs, folder: Path) -> None:
    installed("storescu")
    paths = [str(path) for path in write_people(folder)]
    command = ["storescu", "-aet", "MPI", "-aec", pacs.aet, "127.0.0.1", str(pacs.port), *paths]
    subprocess.run(command, check=True, timeout=60, capture_output=True)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pacs, int]]:
    """Orthanc, and the port it pushes to."""
    installed("Orthanc")
    if not DICOMWEB.exists():
        pytest.skip("not installed: orthanc-dicomweb")
    folder = tmp_path_factory.mktemp("orthanc")
    pacs, push_port = Pacs(free_port(), "ORTHANC", free_port()), free_port()
    settings = {
        "Name": "TEST", "StorageDirectory": str(folder / "db"), "IndexDirectory": str(folder / "db"),
        "RemoteAccessAllowed": False, "AuthenticationEnabled": False,
        "HttpPort": pacs.http_port, "DicomPort": pacs.port, "DicomAet": pacs.aet,
        "DicomAlwaysAllowFind": True, "DicomAlwaysAllowStore": True, "DicomAlwaysAllowEcho": True,
        "DicomModalities": {"mpi": {"AET": "MPI", "Host": "127.0.0.1", "Port": push_port, "LocalAet": "PACS_A"}},
        "DefaultEncoding": "Utf8", "StableAge": 1,
        "Plugins": [str(DICOMWEB)], "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(settings))
    with (folder / "log").open("wb") as said:
        process = subprocess.Popen(["Orthanc", folder / "orthanc.json"], stdout=said, stderr=said)
    try:
        wait_for(pacs.http_port)
        wait_for(pacs.port)
        fill(pacs, folder / "in")
        yield pacs, push_port
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def dcmqrscp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    installed("dcmqrscp")
    folder = tmp_path_factory.mktemp("dcmqrscp")
    pacs = Pacs(free_port(), "PACS2")
    (folder / "db").mkdir()
    (folder / "cfg").write_text(
        f"NetworkTCPPort  = {pacs.port}\nMaxPDUSize      = 16384\nMaxAssociations = 16\n"
        "HostTable BEGIN\nHostTable END\nVendorTable BEGIN\nVendorTable END\n"
        f"AETable BEGIN\n{pacs.aet} {folder}/db RW (100, 1024mb) ANY\nAETable END\n"
    )
    process = subprocess.Popen(
        ["dcmqrscp", "-c", folder / "cfg"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(pacs.port)
        fill(pacs, folder / "in")
        yield pacs
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE_SECONDS)


def test_orthanc_pushes_to_us(orthanc: tuple[Pacs, int], registry: FakeRegistry) -> None:
    pacs, push_port = orthanc
    running = DicomListener(DicomListening(port=push_port, readers=1), registry, build_directory())
    running.start()
    try:
        studies = httpx2.get(f"{pacs.base}/studies", timeout=30).json()
        done = httpx2.post(f"{pacs.base}/modalities/mpi/store", json=studies, timeout=60)
    finally:
        running.stop()

    assert done.status_code == 200, done.text
    assert patients(registry) == ["A1", "A2", "A3", "A4", "A5"]


class Progress:
    def __init__(self) -> None:
        self.cursors: dict[str, Cursor] = {}

    def load(self, source: str) -> Cursor | None:
        return self.cursors.get(source)

    def save(self, source: str, cursor: Cursor) -> None:
        self.cursors[source] = cursor


class March:
    """The sixth of March 2026, without waiting."""

    def today(self) -> date:
        return date(2026, 3, 6)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """No need to."""


def harvest(archive: Archive, registry: FakeRegistry) -> Progress:
    progress = Progress()
    site = Site("pacs-a", archive, date(2026, 3, 1), requests_per_second=1_000)
    harvester = Harvester([site], registry, build_directory(), progress, clock=March())
    for _ in range(2):
        harvester.catch_up(site)
    return progress


def test_orthanc_is_harvested_by_qido(orthanc: tuple[Pacs, int], registry: FakeRegistry) -> None:
    pacs, _ = orthanc
    with httpx2.Client(timeout=30) as client:
        progress = harvest(QidoArchive(f"{pacs.base}/dicom-web", client), registry)

    assert patients(registry) == ["A1", "A2", "A3", "A4", "A5"]
    assert len(registry.envelopes) == 5
    assert progress.cursors == {"pacs-a": Cursor(date(2026, 3, 6))}


def test_orthanc_is_harvested_by_qido_page_by_page(orthanc: tuple[Pacs, int]) -> None:
    pacs, _ = orthanc
    with httpx2.Client(timeout=30) as client:
        archive = QidoArchive(f"{pacs.base}/dicom-web", client, page_size=2)
        pages = list(archive.studies({PATIENT_NAME: "*O*"}))

    assert {one.text(STUDY_INSTANCE_UID) for page in pages for one in page} >= {
        "2.999.9.1", "2.999.9.2", "2.999.9.3", "2.999.9.5",
    }  # fmt: skip


@pytest.mark.parametrize("which", ["orthanc", "dcmqrscp"])
def test_an_archive_is_harvested_by_c_find(
    which: str, registry: FakeRegistry, request: pytest.FixtureRequest
) -> None:
    pacs = request.getfixturevalue(which)
    pacs = pacs[0] if isinstance(pacs, tuple) else pacs

    harvest(pacs.find(), registry)

    assert patients(registry) == ["A1", "A2", "A3", "A4", "A5"]
    assert "NOËL^HÉLÈNE".encode() in registry.envelopes[0].raw


def test_orthanc_tells_other_identifiers_by_c_find_only(orthanc: tuple[Pacs, int]) -> None:
    pacs, _ = orthanc
    with httpx2.Client(timeout=30) as client:
        (by_web,) = QidoArchive(f"{pacs.base}/dicom-web", client).studies({STUDY_INSTANCE_UID: "2.999.9.1"})
    (by_find,) = pacs.find().studies({STUDY_INSTANCE_UID: "2.999.9.1"})

    assert by_find[0].header is not None
    assert by_web[0].header is not None
    assert OTHER_PATIENT_IDS_SEQUENCE in by_find[0].header
    assert OTHER_PATIENT_IDS_SEQUENCE not in by_web[0].header


@pytest.mark.parametrize("which", ["orthanc", "dcmqrscp"])
def test_a_person_is_found_by_every_form_of_the_name(which: str, request: pytest.FixtureRequest) -> None:
    pacs = request.getfixturevalue(which)
    pacs = pacs[0] if isinstance(pacs, tuple) else pacs

    found = studies_of(pacs.find(), Person("Noël", "Hélène"))

    assert {one.text(STUDY_INSTANCE_UID) for one in found} == {"2.999.9.1", "2.999.9.2"}


def test_a_person_is_found_by_birth_date_where_text_cannot_be_asked(orthanc: tuple[Pacs, int]) -> None:
    pacs, _ = orthanc
    with httpx2.Client(timeout=30) as client:
        archive = QidoArchive(f"{pacs.base}/dicom-web", client)
        found = studies_of(archive, Person("Cœur", "Zoé", date(1984, 4, 1)))

    assert [one.text(STUDY_INSTANCE_UID) for one in found] == ["2.999.9.4"]


def test_findscu_and_we_find_the_same(dcmqrscp: Pacs) -> None:
    installed("findscu")
    command = [
        "findscu", "-S", "-aet", "MPI", "-aec", dcmqrscp.aet, "127.0.0.1", str(dcmqrscp.port),
        "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyDate=20260301-20260331", "-k", "StudyInstanceUID",
    ]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=True)

    ours = {
        one.text(STUDY_INSTANCE_UID)
        for page in dcmqrscp.find().studies({0x00080020: "20260301-20260331"})
        for one in page
    }
    assert len(ours) == 5
    assert all(f"[{uid}" in said.stdout + said.stderr for uid in ours)
