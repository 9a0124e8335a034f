"""The storage provider over real sockets: who may send, what is answered, what is kept."""

import logging
import socket
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association

from mpi.errors import SettingsError, StoreError
from mpi.feeds.dicom.header import read_header
from mpi.feeds.dicom.listener import (
    OUT_OF_RESOURCES,
    SUCCESS,
    UNREADABLE,
    UNUSABLE,
    DicomListener,
    DicomListening,
)
from mpi.feeds.dicom.tally import REPEATED, Exclusion
from mpi.identity.domains import Domains
from mpi.identity.model import AssigningAuthority
from mpi.index.events import Envelope, IdentityStated, Instruction, Receipt
from mpi.index.parties import Directory
from tests.unit.feeds.dicom.files import FakeRegistry, build_directory, build_header

CT = "1.2.840.10008.5.1.4.1.1.2"
ECHO = "1.2.840.10008.1.1"


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


@pytest.fixture
def listener(registry: FakeRegistry) -> Iterator[DicomListener]:
    with listening(registry) as running:
        yield running


@contextmanager
def listening(registry: FakeRegistry, **settings: float) -> Iterator[DicomListener]:
    chosen = DicomListening(port=0, **settings)  # type: ignore[arg-type]
    running = DicomListener(chosen, registry, build_directory(), read_header=read_header)
    running.start()
    try:
        yield running
    finally:
        running.stop(patience_seconds=5)


@contextmanager
def associated(
    listener: DicomListener, *, aet: str = "PACS_A", called: str = "MPI", syntax: str = ExplicitVRLittleEndian
) -> Iterator[Association]:
    entity = ApplicationEntity(aet)
    entity.add_requested_context(CT, syntax)
    entity.add_requested_context(ECHO)
    association = entity.associate("127.0.0.1", listener.port, ae_title=called)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def image(**elements: object) -> Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some are wrong on purpose
        dataset = build_header(**elements)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def store(listener: DicomListener, *images: Dataset, aet: str = "PACS_A") -> list[int]:
    with associated(listener, aet=aet) as association:
        return [association.send_c_store(one).Status for one in images]


def test_an_echo_is_answered(listener: DicomListener) -> None:
    with associated(listener) as association:
        assert association.send_c_echo().Status == SUCCESS


def test_an_image_becomes_the_message_a_file_would(listener: DicomListener, registry: FakeRegistry) -> None:
    assert store(listener, image()) == [SUCCESS]

    (envelope,), (instruction,) = registry.envelopes, registry.instructions
    assert (envelope.source, envelope.application, envelope.event) == ("pacs-a", "PACS_A", "DICOM header")
    assert isinstance(instruction, IdentityStated)
    assert [record.key.value for record in instruction.records] == ["A1001"]


def test_the_calling_title_is_the_source(listener: DicomListener, registry: FakeRegistry) -> None:
    store(listener, image(IssuerOfPatientID=None), aet="PACS_B")

    (instruction,) = registry.instructions
    assert isinstance(instruction, IdentityStated)
    assert instruction.records[0].domain == "2.999.1.2"


@pytest.mark.parametrize(("aet", "called"), [("STRANGER", "MPI"), ("PACS_A", "OTHER"), ("pacs_a", "MPI")])
def test_nobody_else_gets_an_association(listener: DicomListener, aet: str, called: str) -> None:
    with associated(listener, aet=aet, called=called) as association:
        assert association.is_rejected

    assert listener.tally.counts().rejections == 1


def test_a_listener_nobody_may_call_does_not_start() -> None:
    directory = Directory(own=AssigningAuthority("MPI", "2.999.1.0", "ISO"), domains=Domains([]))

    with pytest.raises(SettingsError):
        DicomListener(DicomListening(), FakeRegistry(), directory)


def test_deflated_objects_are_not_negotiated(listener: DicomListener) -> None:
    with associated(listener, syntax=DeflatedExplicitVRLittleEndian) as association:
        assert [str(one.abstract_syntax) for one in association.accepted_contexts] == [ECHO]


def test_a_study_is_received_once(listener: DicomListener, registry: FakeRegistry) -> None:
    slices = [image(SOPInstanceUID=f"2.999.9.1.{number}") for number in range(10)]

    assert store(listener, *slices) == [SUCCESS] * 10
    assert store(listener, image(PatientID="A2", SOPInstanceUID="2.999.9.1.1")) == [SUCCESS]

    assert len(registry.envelopes) == 2
    assert listener.tally.counts().states == {("pacs-a", "applied"): 2, ("pacs-a", REPEATED): 9}


@pytest.mark.parametrize(
    ("elements", "status", "state"),
    [
        pytest.param(
            {"PatientIdentityRemoved": "YES"}, SUCCESS, "refused", id="nobody's: taken and not used"
        ),
        pytest.param({"PatientID": None}, UNUSABLE, "quarantined", id="no identifier"),
        pytest.param({"IssuerOfPatientID": "ELSEWHERE"}, UNUSABLE, "quarantined", id="unknown issuer"),
        pytest.param({"PatientName": "X" * 20_000}, UNREADABLE, "quarantined", id="a name of 20,000 letters"),
    ],
)
def test_the_status_says_what_became_of_it(
    elements: dict[str, object], status: int, state: str, listener: DicomListener
) -> None:
    with associated(listener) as association:
        answers = [association.send_c_store(image(**elements)) for _ in range(2)]

    assert [answer.Status for answer in answers] == [status] * 2  # a repetition is no better than the first
    assert ("pacs-a", state) in listener.tally.counts().states
    if status != SUCCESS:
        assert "(0010," in answers[0].ErrorComment


def test_exclusions_are_counted_by_reason(listener: DicomListener) -> None:
    store(
        listener,
        image(PatientIdentityRemoved="YES", StudyInstanceUID="2.999.9.7"),
        image(QualityControlSubject="YES", StudyInstanceUID="2.999.9.8"),
    )

    assert listener.tally.counts().excluded == {Exclusion.IDENTITY_REMOVED: 1, Exclusion.QUALITY_CONTROL: 1}


def test_nothing_is_acknowledged_before_it_is_durable(registry: FakeRegistry) -> None:
    answered: list[int] = []
    durable = threading.Event()

    class Slow(FakeRegistry):
        def receive(
            self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes]
        ) -> Receipt:
            durable.wait(10)
            assert answered == []
            return super().receive(envelope, read, reply)

    with listening(Slow()) as listener:
        sender = threading.Thread(target=lambda: answered.extend(store(listener, image())))
        sender.start()
        time.sleep(0.5)
        assert answered == []
        durable.set()
        sender.join(timeout=10)

    assert answered == [SUCCESS]


def test_a_store_that_fails_is_out_of_resources_and_the_same_image_may_come_again() -> None:
    class Failing(FakeRegistry):
        broken = True

        def receive(
            self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes]
        ) -> Receipt:
            if self.broken:
                raise StoreError("disk full")
            return super().receive(envelope, read, reply)

    registry = Failing()
    with listening(registry) as listener:
        first = store(listener, image())
        registry.broken = False
        assert (first, store(listener, image())) == ([OUT_OF_RESOURCES], [SUCCESS])
        assert listener.tally.counts().failures == 1


def test_pixels_are_never_held(listener: DicomListener, registry: FakeRegistry) -> None:
    large = image(Rows=4096, Columns=4096, BitsAllocated=16)
    large.add_new(0x7FE00010, "OW", b"PIXELS!!" * 4_000_000)
    with associated(listener) as association:
        association.send_c_echo()
        tracemalloc.start()
        assert association.send_c_store(large).Status == SUCCESS
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert b"PIXELS!!" not in registry.envelopes[0].raw
    assert peak < 2.6 * 32_000_000  # the sender, in this process too, encodes the object twice


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_every_offered_syntax_is_read(syntax: str, listener: DicomListener, registry: FakeRegistry) -> None:
    dataset = image(PatientName="NOËL^HÉLÈNE")
    dataset.file_meta.TransferSyntaxUID = syntax
    with associated(listener, syntax=syntax) as association:
        assert association.send_c_store(dataset).Status == SUCCESS

    assert "NOËL^HÉLÈNE".encode() in registry.envelopes[0].raw


def test_too_many_associations_are_refused(registry: FakeRegistry) -> None:
    with (
        listening(registry, max_associations=2) as listener,
        associated(listener) as one,
        associated(listener, aet="PACS_B") as two,
        associated(listener) as three,
    ):
        assert (one.is_established, two.is_established, three.is_rejected) == (True, True, True)


def test_garbage_and_silence_do_not_stop_others(listener: DicomListener) -> None:
    open_sockets = []
    for noise in (
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x01\x00\xff\xff\xff\xff",
        b"\x04\x00\x00\x00\x00\x06" + b"\xff" * 6,
    ):
        peer = socket.create_connection(("127.0.0.1", listener.port), timeout=5)
        peer.sendall(noise)
        open_sockets.append(peer)

    assert store(listener, image()) == [SUCCESS]
    for peer in open_sockets:
        peer.close()


def test_a_peer_that_stops_within_a_message_is_dropped(registry: FakeRegistry) -> None:
    with listening(registry, message_timeout_seconds=1.0) as listener:
        with socket.create_connection(("127.0.0.1", listener.port), timeout=20) as peer:
            peer.sendall(b"\x01\x00\x00\x00\x02\x00" + b"\x00\x01")
            peer.settimeout(20)

            assert peer.recv(1_000) == b""
        assert store(listener, image()) == [SUCCESS]


def test_a_stopped_listener_answered_what_it_took(registry: FakeRegistry) -> None:
    running = DicomListener(DicomListening(port=0), registry, build_directory(), read_header=read_header)
    running.start()
    statuses: list[int] = []
    with associated(running) as association:
        statuses.append(association.send_c_store(image()).Status)
        stopping = threading.Thread(target=running.stop, kwargs={"patience_seconds": 3})
        stopping.start()
        time.sleep(0.5)
        answer = association.send_c_store(image(StudyInstanceUID="2.999.9.2", SOPInstanceUID="2.999.9.2.1"))
        statuses.append(answer.Status)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", association.acceptor.port or 0), timeout=1)
    stopping.join(timeout=10)

    assert statuses == [SUCCESS, OUT_OF_RESOURCES]
    assert len(registry.envelopes) == 1


def test_a_stopped_listener_can_start_again_and_reads_in_children(registry: FakeRegistry) -> None:
    running = DicomListener(DicomListening(port=0, readers=1), registry, build_directory())
    for _ in range(2):
        running.start()
        assert store(running, image()) == [SUCCESS]
        running.stop()


def test_no_demographics_leave_by_the_log(
    listener: DicomListener, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with caplog.at_level(logging.DEBUG):
        store(
            listener,
            image(
                PatientID="ZQXID", PatientName="ZQXFAM^ZQXGIV", PatientBirthDate="19", IssuerOfPatientID="ZQX"
            ),
        )

    seen = caplog.text + repr([vars(record) for record in caplog.records])
    assert caplog.records
    assert "ZQX" not in seen
