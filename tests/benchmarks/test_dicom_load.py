"""
How many images a second the live service takes from dcmtk's storescu, on the full store.

Studies of 20 images of 16 kB, as archives push them; and single images, each of another patient. Nothing here can
fail on time.
"""

import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydicom.uid import generate_uid

from mpi import logs
from mpi.index.events import MessageState
from mpi.service import in_background, settle_memory
from mpi.settings import Settings
from tests.benchmarks.filled_store import AUTHORITIES
from tests.benchmarks.history import record
from tests.unit.feeds.dicom.files import build_header, path_of_dcmtk, write_file

IMAGES_PER_STUDY = 20
IMAGES = 2_000
ASSOCIATIONS = (1, 4)


@pytest.mark.benchmark
@pytest.mark.dicom_peer
def test_images_a_second(filled, tmp_path):
    logs.configure("ERROR")
    with in_background(_settings(f"sqlite:///{filled}")) as service:
        settle_memory()
        for associations in ASSOCIATIONS:
            for per_study in (IMAGES_PER_STUDY, 1):
                folders = _folders(tmp_path / f"{associations}-{per_study}", associations, per_study)
                before = _messages(service)
                began = time.perf_counter()
                with ThreadPoolExecutor(associations) as pool:
                    list(pool.map(lambda folder: _push(service.dicom_port, folder), folders))
                seconds = time.perf_counter() - began
                figures = {
                    "associations": associations,
                    "images_per_study": per_study,
                    "images": IMAGES,
                    "messages": _messages(service) - before,
                    "per_second": round(IMAGES / seconds, 1),
                }
                record("dicom_load", {"store": "sqlite", **figures})


def _settings(url):
    name, authority = next(iter(AUTHORITIES.items()))
    return Settings.model_validate(
        {
            "database": {"url": url},
            "http": {"port": 0},
            "mllp": {"port": 0},
            "dicom": {"port": 0},
            "domains": [{"namespace": name, "oid": authority.universal_id}],
            "sources": [{"name": "pacs", "aet": "PACS", "feeds": [name]}],
        }
    )


def _folders(root, associations, per_study):
    """The images of each association: other patients each time the benchmark runs."""
    folders = [root / str(number) for number in range(associations)]
    pixels = bytes(16_384)
    for number, folder in enumerate(folders):
        folder.mkdir(parents=True)
        for study in range(IMAGES // associations // per_study):
            uid = generate_uid()
            for image in range(per_study):
                header = build_header(
                    PatientName=f"{uid[-6:].translate(_LETTERS)}^{uid[-12:-6].translate(_LETTERS)}",
                    PatientID=f"D{uid[-16:]}",
                    PatientBirthDate=f"19{study % 90 + 10}{1 + study % 12:02}{1 + study % 28:02}",
                    StudyInstanceUID=uid,
                    SOPInstanceUID=f"{uid[:50]}.{number}.{study}.{image}",
                    SeriesInstanceUID=f"{uid[:50]}.{number}.{study}",
                    Modality="CT",
                )
                header.Rows = header.Columns = 128
                header.add_new(0x7FE00010, "OB", pixels)
                write_file(folder / f"{study}-{image}.dcm", header)
    return folders


_LETTERS = str.maketrans("0123456789.", "BCDFGAEIOUL")


def _push(port, folder):
    storescu = shutil.which("storescu", path=path_of_dcmtk())
    assert storescu, "dcmtk is not installed: make peers"
    command = [storescu, "-aet", "PACS", "-aec", "MPI", "+sd", "127.0.0.1", str(port), str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def _messages(service):
    with service.store.read() as uow:
        return uow.inbox.counts().get("pacs", {}).get(MessageState.APPLIED, 0)
