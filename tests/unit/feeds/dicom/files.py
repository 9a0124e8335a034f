"""What the DICOM tests share: a federation of two sites, and files written by pydicom."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

from mpi.errors import ControlIdReused, FeedError, NotPermitted, RegistryError, UnsupportedMessage
from mpi.identity.domains import Domains
from mpi.identity.model import AssigningAuthority
from mpi.index.events import Envelope, Instruction, MessageState, Receipt
from mpi.index.parties import Directory, PatientIdentitySource

SITE_A = AssigningAuthority("SITE-A", "2.999.1.1", "ISO")
SITE_B = AssigningAuthority("SITE-B", "2.999.1.2", "ISO")
ORPHAN = AssigningAuthority("ORPHAN", "2.999.1.3", "ISO")
PACS_A = PatientIdentitySource("pacs-a", ("2.999.1.1",), aet="PACS_A")
PACS_B = PatientIdentitySource("pacs-b", ("2.999.1.2",), aet="PACS_B")


def path_of_dcmtk() -> str:
    """PATH without the programs of virtual environments: pynetdicom installs namesakes of dcmtk's."""
    parts = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(part for part in parts if not (Path(part).parent / "pyvenv.cfg").exists())


def build_directory(*, accept_test_ins: bool = True) -> Directory:
    return Directory(
        own=AssigningAuthority("MPI", "2.999.1.0", "ISO"),
        domains=Domains([SITE_A, SITE_B, ORPHAN]),
        sources=[PACS_A, PACS_B],
        accept_test_ins=accept_test_ins,
    )


def build_header(**elements: Any) -> Dataset:
    """A whole identity, to be changed element by element; None removes one."""
    stated: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "SOPInstanceUID": "2.999.9.1.1",
        "StudyDate": "20260302",
        "StudyTime": "101500",
        "PatientName": "DUVIVIER^LOU",
        "PatientID": "A1001",
        "IssuerOfPatientID": "SITE-A",
        "PatientBirthDate": "19840229",
        "PatientSex": "F",
        "StudyInstanceUID": "2.999.9.1",
    }
    dataset = Dataset()
    for keyword, value in (stated | elements).items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def qualifiers(universal_id: str, universal_id_type: str = "ISO") -> list[Dataset]:
    item = Dataset()
    item.UniversalEntityID = universal_id
    item.UniversalEntityIDType = universal_id_type
    return [item]


def other_id(value: str, issuer: str = "", universal_id: str = "", type_code: str = "TEXT") -> Dataset:
    item = Dataset()
    item.PatientID = value
    item.TypeOfPatientID = type_code
    if issuer:
        item.IssuerOfPatientID = issuer
    if universal_id:
        item.IssuerOfPatientIDQualifiersSequence = qualifiers(universal_id)
    return item


def write_file(path: Path, dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "1.2.840.10008.5.1.4.1.1.2")
    meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "2.999.9.9")
    meta.TransferSyntaxUID = syntax
    whole = FileDataset(path, Dataset(dataset), preamble=b"\0" * 128, file_meta=meta)
    dcmwrite(path, whole, enforce_file_format=True)
    return path


def raw_element(group: int, element: int, vr: bytes, value: bytes) -> bytes:
    """One explicit little endian element, with bytes no writer would produce."""
    value += b" " * (len(value) % 2)
    head = group.to_bytes(2, "little") + element.to_bytes(2, "little") + vr
    if vr in (b"SQ", b"OB", b"UN", b"UT"):
        return head + b"\0\0" + len(value).to_bytes(4, "little") + value
    return head + len(value).to_bytes(2, "little") + value


def raw_file(*elements: bytes) -> bytes:
    """A DICOM file around elements given as bytes."""
    syntax = raw_element(0x0002, 0x0010, b"UI", b"1.2.840.10008.1.2.1\0")
    return b"\0" * 128 + b"DICM" + syntax + b"".join(elements)


class FakeRegistry:
    """The registry's contract towards feeds, in memory: one state per message, nothing raised."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []
        self.instructions: list[Instruction] = []
        self._seen: dict[str, str] = {}

    def receive(
        self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes]
    ) -> Receipt:
        receipt = self._receipt(envelope, read)
        reply(receipt)
        return receipt

    def _receipt(self, envelope: Envelope, read: Callable[[], Instruction]) -> Receipt:
        self.envelopes.append(envelope)
        number = len(self.envelopes)
        earlier = self._seen.get(envelope.dedupe_key)
        if earlier == envelope.content_hash:
            return Receipt(MessageState.DUPLICATE, number)
        if earlier is not None:
            return Receipt(MessageState.QUARANTINED, number, ControlIdReused("message", "another content"))
        if envelope.dedupe_key:
            self._seen[envelope.dedupe_key] = envelope.content_hash
        try:
            self.instructions.append(read())
        except UnsupportedMessage as error:
            return Receipt(MessageState.REFUSED, number, error)
        except (FeedError, RegistryError, NotPermitted) as error:
            return Receipt(MessageState.QUARANTINED, number, error)
        return Receipt(MessageState.APPLIED, number)
