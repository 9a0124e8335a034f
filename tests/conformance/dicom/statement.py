"""
The tables of the DICOM conformance statement, as the code has them -> docs/dicom-conformance.md.

    python -m tests.conformance.dicom.statement

Each table stands between two markers that name it; what is between them is replaced.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from pydicom.datadict import dictionary_description, dictionary_VR, keyword_for_tag
from pydicom.uid import UID
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.presentation import AllStoragePresentationContexts

from mpi.feeds.dicom import header
from mpi.feeds.dicom.archive import WANTED_TAGS
from mpi.feeds.dicom.charset import CharacterSets
from mpi.feeds.dicom.header import HEADER_TAGS, ITEM_TAGS, place_of
from mpi.feeds.dicom.listener import DEFLATED

DOCUMENT = Path(__file__).parents[3] / "docs" / "dicom-conformance.md"

USES = {
    header.SPECIFIC_CHARACTER_SET: "decodes everything else; absent is ASCII, and undeclared UTF-8 is recognised",
    header.INSTANCE_CREATION_DATE: "when the identity was copied, if nothing nearer says so",
    header.INSTANCE_CREATION_TIME: "with its date",
    header.SOP_CLASS_UID: "tells a manifest (key object selection) from images",
    header.SOP_INSTANCE_UID: "names the message, with the digest of what was read",
    header.STUDY_DATE: "when the identity was copied; date of the study",
    header.SERIES_DATE: "if the study has none",
    header.ACQUISITION_DATE: "if the series has none",
    header.CONTENT_DATE: "if the acquisition has none",
    header.STUDY_TIME: "with its date",
    header.SERIES_TIME: "with its date",
    header.ACQUISITION_TIME: "with its date",
    header.CONTENT_TIME: "with its date",
    header.ACCESSION_NUMBER: "context of the study",
    header.MODALITY: "context of the study; KO tells a manifest",
    header.MODALITIES_IN_STUDY: "the same, of an archive's answer",
    header.INSTITUTION_NAME: "context of the study",
    header.STATION_NAME: "kept with the message",
    header.TIMEZONE_OFFSET_FROM_UTC: "of dates and times; Paris without",
    header.PATIENT_NAME: "the name in use, unless a birth name is stated beside it",
    header.PATIENT_ID: "the identifier; an INS in a manifest",
    header.ISSUER_OF_PATIENT_ID: "its domain (HL7 CX-4.1); the source's without",
    header.TYPE_OF_PATIENT_ID: "an HL7 identifier type, where an archive writes one",
    header.ISSUER_QUALIFIERS_SEQUENCE: "its domain (CX-4.2 and CX-4.3)",
    header.PATIENT_BIRTH_DATE: "a trait",
    header.PATIENT_SEX: "a trait; O is read as unknown",
    header.QUALITY_CONTROL_SUBJECT: "YES: excluded",
    header.OTHER_PATIENT_IDS: "only noticed: it has no issuer",
    header.OTHER_PATIENT_IDS_SEQUENCE: "further identifiers, of stated issuers; an INS is compared, never believed",
    header.PATIENT_BIRTH_NAME: "the birth name",
    header.PATIENT_ADDRESS: "a trait",
    header.PATIENT_MOTHER_BIRTH_NAME: "a trait",
    header.PATIENT_TELEPHONE_NUMBERS: "a trait",
    header.PATIENT_IDENTITY_REMOVED: "YES: excluded",
    header.STUDY_INSTANCE_UID: "the study",
    header.ORIGINAL_ATTRIBUTES_SEQUENCE: "what the identity was before an archive corrected it (IHE PIR)",
    header.UNIVERSAL_ENTITY_ID: "CX-4.2",
    header.UNIVERSAL_ENTITY_ID_TYPE: "CX-4.3",
    header.MODIFIED_ATTRIBUTES_SEQUENCE: "the identifier a study was under, and the identity it had there",
    header.ATTRIBUTE_MODIFICATION_DATETIME: "kept with the message",
}


def storage_classes() -> str:
    """SOP classes of C-STORE."""
    return _table(
        ("SOP class", "UID"),
        (
            (UID(str(one.abstract_syntax)).name, f"`{one.abstract_syntax}`")
            for one in AllStoragePresentationContexts
        ),
    )


def transfer_syntaxes() -> str:
    """Transfer syntaxes of C-STORE."""
    accepted = (syntax for syntax in ALL_TRANSFER_SYNTAXES if syntax not in DEFLATED)
    return _table(("transfer syntax", "UID"), ((UID(one).name, f"`{one}`") for one in accepted))


def attributes() -> str:
    """What is read of an object, and what for."""
    return _table(("tag", "attribute", "VR", "use"), map(_attribute, sorted(HEADER_TAGS)))


def items() -> str:
    """What is read of the items of each sequence."""
    rows = [
        (f"{place_of(sequence)} {keyword_for_tag(sequence)}", *_attribute(tag))
        for sequence in sorted(ITEM_TAGS)
        for tag in sorted(ITEM_TAGS[sequence])
    ]
    return _table(("in the items of", "tag", "attribute", "VR", "use"), rows)


def find_keys() -> str:
    """What an archive is asked to tell of each study."""
    return _table(
        ("tag", "attribute", "C-FIND", "QIDO-RS"),
        (
            (place_of(tag), keyword_for_tag(tag), "return key", f"`includefield={tag:08X}`")
            for tag in sorted(WANTED_TAGS)
        ),
    )


def character_sets() -> str:
    """Specific character sets that are read."""
    terms = (
        "", "ISO_IR 6", "ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 144", "ISO_IR 127",
        "ISO_IR 126", "ISO_IR 138", "ISO_IR 148", "ISO_IR 203", "ISO_IR 13", "ISO_IR 166", "ISO_IR 192", "GB18030",
        "GBK",
    )  # fmt: skip
    known = ((f"`{term}`" if term else "absent") for term in terms if not CharacterSets.parse(term).problem)
    return _table(("specific character set",), ((term,) for term in known))


TABLES: Mapping[str, Callable[[], str]] = {
    "storage-classes": storage_classes,
    "transfer-syntaxes": transfer_syntaxes,
    "attributes": attributes,
    "items": items,
    "find-keys": find_keys,
    "character-sets": character_sets,
}


def with_tables(text: str) -> str:
    """
    The statement with its tables as the code has them today.

    Raises:
        ValueError: it has no place for a table, or several.
    """
    for name, draw in TABLES.items():
        begin, end = f"<!-- table: {name} -->\n", f"<!-- end: {name} -->"
        block = f"{begin}{draw()}{end}"
        text, places = re.subn(
            f"{re.escape(begin)}.*?{re.escape(end)}", lambda _, b=block: b, text, flags=re.S
        )
        if places != 1:
            raise ValueError(f"{DOCUMENT.name}: {places} places for {name}")
    return text


def _attribute(tag: int) -> tuple[str, str, str, str]:
    return place_of(tag), dictionary_description(tag), dictionary_VR(tag), USES[tag]


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> None:
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
