"""
Studies as the context of an identity: what there is to look at, and under which identifier it was found.

A study's description is never read: it often tells a diagnosis, and no identity needs it.
"""

from dataclasses import dataclass
from datetime import date
from typing import Protocol

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

_MAX_UID_LENGTH = 64
_MAX_TEXT_LENGTH = 64
_MAX_MODALITIES = 16


@dataclass(frozen=True, slots=True)
class Study:
    """
    One study, as one source knows it.

    Args:
        uid: its Study Instance UID: the same study in every archive it was sent to.
        record: whom it was found under. A national key (see `patient.ins_domain_key`) for a manifest.
        source: name of the patient identity source.
        accession: number of the order, of the site's own; empty when unknown.
        modalities: such as CT and MR, sorted.
        institution: as the header spells it.
        is_manifest: a list of what the sharing project holds, rather than images.
    """

    uid: str
    record: RecordKey
    source: str
    accession: str = ""
    modalities: tuple[str, ...] = ()
    date: "date | None" = None
    institution: str = ""
    is_manifest: bool = False


class Studies(Protocol):
    """Where studies are kept. The key of a study is its UID, source and record."""

    def of_uid(self, uid: str) -> tuple[Study, ...]:
        """What is known of one study: several when it was found under several identifiers."""

    def keep(self, study: Study) -> None:
        """
        Keep a study, or what is new of it: modalities are added up, the rest is replaced.

        Raises:
            StoreError: it is not kept.
        """


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
