"""The service with DICOM: its storage provider and its harvests start, work and stop with everything else."""

import shutil
import socket
import time
import warnings
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.ae import ApplicationEntity

from mpi.errors import SettingsError
from mpi.feeds.dicom.listener import NOT_AUTHORISED, SUCCESS
from mpi.feeds.tls import client_context
from mpi.index.events import MessageState
from mpi.service import Service, in_background
from mpi.settings import Settings, load
from tests.integration.certificates import Authority
from tests.integration.running import configuration
from tests.integration.test_dicom_qido import page, serving
from tests.unit.feeds.dicom.files import build_header

CT = "1.2.840.10008.5.1.4.1.1.2"
PATIENCE_SECONDS = 60.0


def configured(folder: Path, *, dicom: str = "port = 0", pacs_a: str = "") -> Settings:
    """Settings of eight sites, with a storage provider, and something more about one PACS."""
    text = configuration(f"sqlite:///{folder}/mpi.db") + f"[dicom]\n{dicom}\n"
    path = folder / "mpi.toml"
    path.write_text(text.replace('name = "pacs-a"', f'name = "pacs-a"\n{pacs_a}'), encoding="utf-8")
    return load(path)


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds()


def applied(service: Service, source: str) -> int:
    return service.registry.message_counts().get(source, {}).get(MessageState.APPLIED, 0)


def send(service: Service, **tls: object) -> int:
    entity = ApplicationEntity("PACS_A")
    entity.add_requested_context(CT, ExplicitVRLittleEndian)
    association = entity.associate("127.0.0.1", service.dicom_port, ae_title="MPI", **tls)  # type: ignore[arg-type]
    try:
        return int(association.send_c_store(image()).Status)
    finally:
        association.release()


def image() -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = build_header()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def test_an_image_is_received_and_its_study_kept(tmp_path: Path) -> None:
    with in_background(configured(tmp_path)) as service:
        status = send(service)
        with service.store.read() as uow:
            (study,) = uow.studies.of_uid("2.999.9.1")
        port = service.dicom_port

    assert (status, study.record.value, study.source) == (SUCCESS, "A1001", "pacs-a")
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_an_archive_is_harvested_and_its_cursor_survives(tmp_path: Path) -> None:
    with serving(page) as (address, asked):
        settings = configured(
            tmp_path,
            pacs_a=f'qido = "{address}"\nharvest = {{ since = {date.today()}, requests_per_second = 1000 }}',
        )
        with in_background(settings) as service:
            assert eventually(lambda: applied(service, "pacs-a") == 25)
            assert eventually(lambda: service.harvester.states["pacs-a"].last_success is not None)
            with service.store.read() as uow:
                cursor = uow.harvests.get("pacs-a")

    assert asked
    assert cursor is not None
    assert cursor.through is not None


def test_an_address_that_is_taken_stops_the_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = configured(tmp_path, dicom=f"port = {taken.getsockname()[1]}")

        with pytest.raises(SettingsError, match="cannot listen on"), in_background(settings):
            pass


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_over_tls_a_title_needs_its_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    server = authority.issue("mpi")
    settings = configured(
        tmp_path,
        dicom=f'port = 0\n[dicom.tls]\ncertificate = "{server}"\nkey = "{server}"\nca = "{authority.trust}"',
        pacs_a='certificate = "pacs-a"',
    )
    with in_background(settings) as service:
        for name, status in (("pacs-b", NOT_AUTHORISED), ("pacs-a", SUCCESS)):
            context = client_context(authority.trust, authority.issue(name))
            assert send(service, tls_args=(context, None)) == status
        counts = service.registry.message_counts()

    assert sum(counts["pacs-a"].values()) == 1
