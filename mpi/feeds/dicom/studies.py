"""
The study of a header: what there is to look at, and under which identifier it was found.

A study's description is never read: it often tells a diagnosis, and no identity needs it.
"""

from mpi.feeds.dicom.header import (
    ACCESSION_NUMBER,
    INSTITUTION_NAME,
    MODALITIES_IN_STUDY,
    MODALITY,
    SOP_CLASS_UID,
    STUDY_DATE,
    STUDY_INSTANCE_UID,
    HeaderText,
)
from mpi.feeds.dicom.patient import KEY_OBJECT_SELECTION, calendar_date
from mpi.identity.model import RecordKey
from mpi.index.events import Study

_MAX_UID_LENGTH = 64
_MAX_TEXT_LENGTH = 64
_MAX_MODALITIES = 16


def study_of(text: HeaderText, record: RecordKey, source: str) -> Study | None:
    """The study of a header; None when it names none."""
    uid = text.first(STUDY_INSTANCE_UID)
    if not uid or len(uid) > _MAX_UID_LENGTH:
        return None
    modalities = {*text.all(MODALITY), *text.all(MODALITIES_IN_STUDY)}
    return Study(
        uid=uid,
        record=record,
        source=source,
        accession=text.first(ACCESSION_NUMBER)[:_MAX_TEXT_LENGTH],
        modalities=tuple(sorted(one for one in modalities if len(one) <= 16))[:_MAX_MODALITIES],
        date=calendar_date(text.first(STUDY_DATE)),
        institution=text.first(INSTITUTION_NAME)[:_MAX_TEXT_LENGTH],
        is_manifest=text.first(SOP_CLASS_UID) == KEY_OBJECT_SELECTION or modalities == {"KO"},
    )
