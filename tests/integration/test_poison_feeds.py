"""
Whatever feed it comes by, a message that ends the process is isolated by one rule.

It is recognised after a restart, shown in the quarantine, answered the same when it comes again, and
replayed once the defect is mended; what its source says of the patient meanwhile waits, and all else
goes on. Over MLLP: `test_poison_service.py`. Each process here is a real one, and it does die.
"""

import json
import time
import warnings
from datetime import date

import httpx2
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom.ae import ApplicationEntity

from mpi.index.conservation import audit
from mpi.index.events import MessageState
from mpi.replay import replay
from mpi.security.keys import Role, create_key
from mpi.settings import load
from mpi.store import open_store
from mpi.wiring import now, opened_registry
from tests.conformance.fhir.test_formats import feed_message
from tests.integration.nursery import Nursery
from tests.integration.planted import POISON
from tests.integration.running import Index
from tests.integration.test_dicom_qido import serving
from tests.unit.feeds.dicom.files import build_header
from tests.unit.feeds.fhir.resources import identifier, patient

APPLIED, PARKED = MessageState.APPLIED, MessageState.PARKED
QUARANTINED, REPAIRED = MessageState.QUARANTINED, MessageState.REPAIRED
LIVES = 2
"""How often it is tried."""
ENDED = f"the service ended {LIVES} times while it was handled"
OTHER = "A9"
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def index(tmp_path):
    index = Index.at(tmp_path, f"sqlite:///{tmp_path}/mpi.db")
    configured = index.config.read_text(encoding="utf-8")
    index.config.write_text(configured + f"[inbox]\nmax_attempts = {LIVES}\n[dicom]\nport = 0\n", "utf-8")
    return index


# ----------------------------------------------------------------------- what is sent


def header(value, *, name="CHANTEREAU^LOUISE"):
    """One study of its own for each patient and name; its archive corrects nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        uid = f"2.999.9.{int.from_bytes(f'{value}{name}'.encode()) % 10**20}"
        made = build_header(
            PatientID=value, PatientName=name, SOPInstanceUID=f"{uid}.1", StudyInstanceUID=uid
        )
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.MediaStorageSOPClassUID = CT
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return made


def resource(value, *, name="CHANTEREAU^LOUISE"):
    family, _, given = name.partition("^")
    return patient(identifier(value), name=[{"use": "official", "family": family, "given": [given]}])


class Caller:
    """A site's key, and the FHIR feed as it answers."""

    def __init__(self, index):
        with open_store(load(index.config).database.url) as store:
            secret = create_key(store, name="ris-a", role=Role.SITE, domains=["2.999.1.1"], clock=now)
        self.headers = {"Authorization": f"Bearer {secret}"}

    def ask(self, method, service, path, **more):
        with httpx2.Client(headers=self.headers, timeout=30, verify=False) as client:
            try:
                return client.request(method, f"http://127.0.0.1:{service.http_port}/fhir/{path}", **more)
            except httpx2.TransportError:
                raise ConnectionError from None


class Put(Caller):
    """ITI-104."""

    source = "ris-a"

    def say(self, service, value, **more):
        system = "urn:oid:2.999.1.1|"
        answer = self.ask("PUT", service, f"Patient?identifier={system}{value}", json=resource(value, **more))
        return {200: "taken", 201: "taken", 409: "waits", 500: "isolated"}[answer.status_code]


class Processed(Caller):
    """ITI-93, by a site that calls its messages otherwise each time it starts anew."""

    source = "ris-a"

    def say(self, service, value, **more):
        message = {**feed_message(resource(value, **more)), "id": f"process-{service.pid}"}
        answer = self.ask("POST", service, "$process-message", json=message)
        (entry,) = answer.json()["entry"][1]["resource"]["entry"]
        return {"200": "taken", "409": "waits", "500": "isolated"}[entry["response"]["status"]]


class Stored:
    """C-STORE: what waits is kept, and its sender has nothing left to do."""

    source = "pacs-a"

    def __init__(self, _index):
        pass

    def say(self, service, value, **more):
        entity = ApplicationEntity("PACS_A")
        entity.add_requested_context(CT, ExplicitVRLittleEndian)
        association = entity.associate("127.0.0.1", service.dicom_port, ae_title="MPI")
        answer = association.send_c_store(header(value, **more))
        if "Status" not in answer:
            raise ConnectionError
        association.release()
        return {0x0000: "taken", 0xC100: "isolated"}[answer.Status]


# --------------------------------------------------------------------- what is checked


def journal(index, source):
    """What came from a source, repetitions left out."""
    with opened_registry(load(index.config)) as (_store, registry):
        found = registry.messages(source=source, limit=1000)
    return [one for one in found if one.state is not MessageState.DUPLICATE]


def mended(index, source):
    """Replay what is isolated; the states of all the source's messages then, and whether all is accounted for."""
    with opened_registry(load(index.config)) as (store, registry):
        (isolated,) = registry.messages(state=QUARANTINED, source=source)
        settled = replay(registry, isolated.id, actor="user:anne", reason="mended")
        violations = []
        audit(store, on_violation=violations.append)
        assert violations == []
    return [settled.receipt.state, *(one.state for one in settled.released)]


def assert_isolated(index, source):
    """The one that kills is in the quarantine, its follower waits, and the other patient's is applied."""
    found = journal(index, source)
    by_state = {one.state: one for one in found}

    assert [one.state for one in found if one.state is not APPLIED] == [QUARANTINED, PARKED]
    assert APPLIED in by_state
    assert (by_state[QUARANTINED].place, by_state[QUARANTINED].problem) == ("message", ENDED)
    assert (by_state[QUARANTINED].error, by_state[PARKED].error) == ("PoisonMessage", "EarlierMessageWaits")
    assert mended(index, source) == [APPLIED, APPLIED]
    assert {one.state for one in journal(index, source)} == {APPLIED, REPAIRED}


# --------------------------------------------------------------------------- the tests


@pytest.mark.parametrize(
    ("feed", "waits"),
    [(Put, "waits"), (Processed, "waits"), (Stored, "taken")],
    ids=["ITI-104", "ITI-93", "C-STORE"],
)
def test_over_a_live_feed(index, nursery, feed, waits):
    site = feed(index)
    for _ in range(LIVES):
        service = nursery.start(index.config, planted="dies_of_poison")
        assert site.say(service, OTHER) == "taken"
        with pytest.raises(ConnectionError):
            site.say(service, POISON)
        service.wait()

    service = nursery.start(index.config, planted="dies_of_poison")
    said = [
        site.say(service, POISON),
        site.say(service, POISON),
        site.say(service, POISON, name="CHANTEREAU^LOU"),
        site.say(service, POISON, name="CHANTEREAU^LOU"),
        site.say(service, OTHER),
    ]
    service.kill()

    assert said == ["isolated", "isolated", waits, waits, "taken"]
    assert_isolated(index, site.source)
    service = nursery.start(index.config)
    assert [site.say(service, POISON), site.say(service, POISON, name="CHANTEREAU^LOU")] == ["taken", "taken"]
    service.kill()


def test_over_an_archive_that_is_harvested(index, nursery):
    found = [header(POISON), header(POISON, name="CHANTEREAU^LOU"), header(OTHER)]
    studies = json.dumps([one.to_json_dict() for one in found]).encode()

    def answer(path):
        return 200, studies if "offset=0&" in f"{path}&" else b"[]", {}

    with serving(answer) as (address, _):
        text = index.config.read_text(encoding="utf-8")
        harvested = f'qido = "{address}"\nharvest = {{ since = {date.today()}, requests_per_second = 1000 }}'
        index.config.write_text(text.replace('name = "pacs-a"', f'name = "pacs-a"\n{harvested}'), "utf-8")
        for _ in range(LIVES):
            nursery.run(index.config, "serve", planted="dies_of_poison").wait()
            assert journal(index, "pacs-a") == []
        service = nursery.start(index.config, planted="dies_of_poison")
        wait_for(lambda: len(journal(index, "pacs-a")) == len(found))
        service.kill()

    assert_isolated(index, "pacs-a")


def wait_for(holds):
    deadline = time.monotonic() + 60
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert holds()


TABLE = f"""record_id,birth_name,given_names,birth_date,sex
A1,ROUX,ANNE,1970-05-06,F
{POISON},CHANTEREAU,LOUISE,1984-02-29,F
{POISON},CHANTEREAU,LOU,1984-02-29,F
{OTHER},ROUX,JEAN,1971-05-06,M
"""


def files_of(folder):
    """One file of a patient for each thing that `mpi ingest` reads, and how the source is named."""
    made = {name: folder / name for name in ("table.csv", "patients.ndjson", "images")}
    made["table.csv"].write_text(TABLE, encoding="utf-8")
    lines = [resource("A1"), resource(POISON), resource(POISON, name="CHANTEREAU^LOU"), resource(OTHER)]
    made["patients.ndjson"].write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    made["images"].mkdir()
    images = header("A1"), header(POISON), header(POISON, name="CHANTEREAU^LOU"), header(OTHER)
    for number, one in enumerate(images):
        dcmwrite(made["images"] / f"{number}.dcm", one, enforce_file_format=True)
    return made


@pytest.mark.parametrize(
    ("command", "file", "source", "planted"),
    [
        ("load", "table.csv", "ris-a", "dies_of_poison"),
        ("load", "table.csv", "ris-a", "dies_of_reading_poison"),
        ("ingest", "patients.ndjson", "ris-a", "dies_of_poison"),
        ("ingest", "images", "pacs-a", "dies_of_poison"),
    ],
)
def test_over_files(index, nursery, tmp_path, command, file, source, planted):
    path = str(files_of(tmp_path)[file])
    asked = (command, path, "--source", source)
    for _ in range(LIVES):
        nursery.run(index.config, *asked, planted=planted).wait()
        assert [one.state for one in journal(index, source)] == [APPLIED]
    nursery.run(index.config, *asked, planted=planted).wait()

    assert [one.state for one in journal(index, source)] == [APPLIED, QUARANTINED, PARKED, APPLIED]
    if command == "load":
        printed = index.config.with_suffix(".log").read_text(encoding="utf-8")
        assert "row: cannot be handled, and is isolated (1, first at line 3)" in printed
    assert_isolated(index, source)
