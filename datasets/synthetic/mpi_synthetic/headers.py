"""
Records as DICOM files: the header a modality writes, and no image.

Source: DICOM PS3.3 C.7.1.1 (patient module), C.7.2.1 (general study), C.12.1 (SOP common).
"""

from pathlib import Path

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from mpi.identity.ins import INS_NIA_OID
from mpi.identity.model import NameUse

from .charsets import representable
from .events import Event
from .messages import INS_NAMESPACE, NIA_NAMESPACE, PARIS_IN_WINTER
from .sites import Site

UID_ROOT = "2.999.7"
_MODALITIES = (
    ("CT", "1.2.840.10008.5.1.4.1.1.2"),
    ("MR", "1.2.840.10008.5.1.4.1.1.4"),
    ("CR", "1.2.840.10008.5.1.4.1.1.1"),
    ("US", "1.2.840.10008.5.1.4.1.1.6.1"),
    ("MG", "1.2.840.10008.5.1.4.1.1.1.2"),
)


def header(event: Event, site: Site) -> FileDataset:
    """Build the file of a header event: a study of one instance, without pixels."""
    record, stated = event.record, event.record.demographics
    charset = site.header_charset
    modality, sop_class = _MODALITIES[event.number % len(_MODALITIES)]
    study_uid = f"{UID_ROOT}.{site.index}.{event.number}"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = UID(f"{study_uid}.1.1")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(f"{UID_ROOT}.0")
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SpecificCharacterSet = charset
    file.SOPClassUID = sop_class
    file.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    moment = event.event_time.astimezone(PARIS_IN_WINTER)
    file.StudyDate = moment.strftime("%Y%m%d")
    file.StudyTime = moment.strftime("%H%M%S")
    file.AccessionNumber = f"{site.letter}{event.number:07d}"
    file.Modality = modality
    file.InstitutionName = f"SITE {site.letter}"
    for name in stated.names:
        text = representable(f"{name.family}^{name.given}".rstrip("^"), charset)
        if name.use is NameUse.BIRTH:
            file.PatientBirthName = text
        else:
            file.PatientName = text
    file.PatientID = record.local_id
    if record.issuer_stated:
        file.IssuerOfPatientID = site.namespace
    file.PatientBirthDate = str(stated.birth_date).replace("-", "") if stated.birth_date else ""
    file.PatientSex = stated.sex if stated.sex in ("M", "F") else ""
    if stated.phones:
        file.PatientTelephoneNumbers = list(stated.phones)
    if stated.ins:
        file.OtherPatientIDsSequence = [_ins(stated.ins, stated.ins_oid)]
    file.StudyInstanceUID = study_uid
    file.SeriesInstanceUID = f"{study_uid}.1"
    return file


def write_header(event: Event, site: Site, folder: Path) -> Path:
    """Write the file of a header event, named by its number."""
    path = folder / f"{event.number:06d}.dcm"
    header(event, site).save_as(path, enforce_file_format=True)
    return path


def _ins(matricule: str, oid: str) -> Dataset:
    item, issuer = Dataset(), Dataset()
    item.PatientID = matricule
    item.IssuerOfPatientID = NIA_NAMESPACE if oid == INS_NIA_OID else INS_NAMESPACE
    item.TypeOfPatientID = "TEXT"
    issuer.UniversalEntityID = oid
    issuer.UniversalEntityIDType = "ISO"
    item.IssuerOfPatientIDQualifiersSequence = [issuer]
    return item
