"""
A DICOM header as one statement of a patient's identity.

A header is a witness, not a patient identity source: it copies what a modality was told, often in
the used name and often old. It never validates anything: no header carries an RNIV status, so an
INS found in one is compared as a national number and nothing more. A PatientID without an issuer
means nothing by itself; only the configured source can say whose it is.

The manifests of the national image-sharing project (DRIM-M) bear the INS as PatientID. They state a
record of the INS's own domain, which is no site's, so that a manifest is never taken for a local
identifier, nor a local one for an INS.

Source: DICOM PS3.3, patient modules; PS3.6 for the tags.
"""

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from pydicom.dataset import Dataset

from mpi.errors import InvalidIdentity, NotPermitted, UnknownAuthority, UnsupportedMessage
from mpi.feeds.dicom.header import (
    ACQUISITION_DATE,
    ACQUISITION_TIME,
    CONTENT_DATE,
    CONTENT_TIME,
    INSTANCE_CREATION_DATE,
    INSTANCE_CREATION_TIME,
    ISSUER_OF_PATIENT_ID,
    ISSUER_QUALIFIERS_SEQUENCE,
    MODALITIES_IN_STUDY,
    MODALITY,
    MODIFIED_ATTRIBUTES_SEQUENCE,
    ORIGINAL_ATTRIBUTES_SEQUENCE,
    OTHER_PATIENT_IDS,
    OTHER_PATIENT_IDS_SEQUENCE,
    PATIENT_ADDRESS,
    PATIENT_BIRTH_DATE,
    PATIENT_BIRTH_NAME,
    PATIENT_ID,
    PATIENT_IDENTITY_REMOVED,
    PATIENT_MOTHER_BIRTH_NAME,
    PATIENT_NAME,
    PATIENT_SEX,
    PATIENT_TELEPHONE_NUMBERS,
    QUALITY_CONTROL_SUBJECT,
    SERIES_DATE,
    SERIES_TIME,
    SOP_CLASS_UID,
    STUDY_DATE,
    STUDY_TIME,
    TIMEZONE_OFFSET_FROM_UTC,
    TYPE_OF_PATIENT_ID,
    UNIVERSAL_ENTITY_ID,
    UNIVERSAL_ENTITY_ID_TYPE,
    HeaderText,
    place_of,
)
from mpi.feeds.dicom.names import ParsedName, is_test_name, parse_person_name
from mpi.identity.domains import (
    INS_TYPE,
    INSURANCE_TYPE,
    TEST_INS_OIDS,
    Domain,
    ins_domain_key,
    ins_oid,
    is_national,
    national_type,
)
from mpi.identity.ins import INS_NIR_OID, INS_TEST_OID, InvalidMatricule, parse_matricule
from mpi.identity.model import (
    AssigningAuthority,
    Demographics,
    NameUse,
    PartialDate,
    PatientIdentifier,
    PersonName,
    RecordKey,
    SourceRecord,
    Witness,
)
from mpi.index.parties import Directory, PatientIdentitySource

UNDATED = datetime(1900, 1, 1, tzinfo=UTC)
"""Event time of a header without any date: older than everything, so it overrides nothing."""

MAX_IDENTIFIER_LENGTH = 64
"""The longest LO value."""

KEY_OBJECT_SELECTION = "1.2.840.10008.5.1.4.1.1.88.59"
_UNSTATED_INS = {False: INS_NIR_OID, True: INS_TEST_OID}
_PARIS = ZoneInfo("Europe/Paris")
_DICOM_ID_TYPES = frozenset({"TEXT", "RFID", "BARCODE"})
_HL7_ID_TYPE = re.compile(r"[A-Z]{2,5}(?:-[A-Z])?")
_STAND_IN_ID = re.compile(
    r"[0X?\-. ]+|UNKNOWN|INCONNUE?|ANONYM\w*|ANON|NONE|NULL|TEST|N/?A|NO ?ID", re.IGNORECASE
)
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})|(\d{4})\.(\d{2})\.(\d{2})")
_TIME = re.compile(r"(\d{2}):?(?:(\d{2}):?(?:(\d{2})(?:\.\d{1,6})?)?)?")
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})")
_ADDRESS_TOWN = re.compile(r"(?:^|[\s,^])(?P<code>\d{5})[\s,^]+(?P<city>[^\d,^]+)$")
_MOMENTS = (
    (STUDY_DATE, STUDY_TIME),
    (SERIES_DATE, SERIES_TIME),
    (ACQUISITION_DATE, ACQUISITION_TIME),
    (CONTENT_DATE, CONTENT_TIME),
    (INSTANCE_CREATION_DATE, INSTANCE_CREATION_TIME),
)


def identity_from_header(
    dataset: Dataset, source: PatientIdentitySource | None, directory: Directory
) -> SourceRecord:
    """
    Read the patient identity one DICOM header carries.

    Args:
        dataset: a header from `read_header`, or any data set with a patient module.
        source: who the file comes from; its first domain is the issuer of an identifier without one.
            Without a source the header must name its issuer.

    Raises:
        UnsupportedMessage: nobody (de-identified, a quality control subject, a test), or an INS of the
            other environment.
        InvalidIdentity: no usable PatientID, or nothing says who issued it.
        UnknownAuthority: the issuer is not a domain of this index.
        NotPermitted: no such source feeds the issuer's domain.
    """
    text = HeaderText(dataset)
    _refuse_nobody(text)
    identifier = _identifier(text)
    if identifier is None:
        raise InvalidIdentity(place_of(PATIENT_ID), "no patient identifier")
    _refuse_unusable(text, identifier.value)
    ins = _ins_of_manifest(text, identifier, directory)
    if ins is not None:
        identifier, domain, feeder = ins.identifier, ins.domain, _feeder_of_manifest(source)
    else:
        domain, feeder = _issuer(identifier.authority, source, directory)
    others = _others(text, identifier, domain, directory)
    return SourceRecord(
        identifier=PatientIdentifier(identifier.value, domain.authority, identifier.type_code),
        domain=domain.key,
        demographics=_demographics(text, others, identifier.value if ins is not None else ""),
        event_time=_event_time(text),
        source=feeder.name,
        others=others,
        witness=Witness.HEADER,
        warnings=text.warnings,
    )


def formerly_under(
    text: HeaderText, record: SourceRecord, source: PatientIdentitySource | None, directory: Directory
) -> tuple[RecordKey, ...]:
    """
    The identifiers that a header had before its archive corrected it (IHE PIR), oldest first.

    Only those the same source may state: an archive says whose its own studies were, and no more. One without
    an issuer is of the domain the header is of now, unless that is no site's.

    Source: DICOM PS3.3 C.12.1 (Original Attributes Sequence); IHE RAD TF-1, Patient Information Reconciliation.
    """
    found: dict[RecordKey, None] = {}
    for change in text.items(ORIGINAL_ATTRIBUTES_SEQUENCE):
        for item in change.items(MODIFIED_ATTRIBUTES_SEQUENCE):
            identifier = _identifier(item)
            if (
                identifier is None
                or "\\" in identifier.value
                or len(identifier.value) > MAX_IDENTIFIER_LENGTH
            ):
                continue
            if _STAND_IN_ID.fullmatch(identifier.value):
                continue
            key = _former_key(identifier, record, source, directory)
            if key is None:
                text.warn(ORIGINAL_ATTRIBUTES_SEQUENCE, "an identifier of another issuer is ignored")
            elif key != record.key:
                found.setdefault(key)
    return tuple(found)


def _former_key(
    identifier: PatientIdentifier,
    record: SourceRecord,
    source: PatientIdentitySource | None,
    directory: Directory,
) -> RecordKey | None:
    if identifier.authority == AssigningAuthority():
        return RecordKey(record.domain, identifier.value) if directory.domains.get(record.domain) else None
    try:
        domain, _ = _issuer(identifier.authority, source, directory)
    except (UnknownAuthority, NotPermitted, InvalidIdentity):
        return None
    return RecordKey(domain.key, identifier.value)


def _refuse_nobody(text: HeaderText) -> None:
    """A de-identified image and a phantom are nobody: they must never be linked to somebody."""
    if text.first(PATIENT_IDENTITY_REMOVED).upper() == "YES":
        raise UnsupportedMessage(place_of(PATIENT_IDENTITY_REMOVED), "the patient's identity was removed")
    if text.first(QUALITY_CONTROL_SUBJECT).upper() == "YES":
        raise UnsupportedMessage(
            place_of(QUALITY_CONTROL_SUBJECT), "a quality control subject, not a patient"
        )
    if is_test_name(text.first(PATIENT_NAME)):
        raise UnsupportedMessage(place_of(PATIENT_NAME), "the name of a test, not of a patient")


def _identifier(text: HeaderText) -> PatientIdentifier | None:
    """The identifier of a data set or of an item, as sent: value, issuer (perhaps empty), CX-5 type."""
    values = text.all(PATIENT_ID)
    if not values:
        return None
    qualifiers = next(text.items(ISSUER_QUALIFIERS_SEQUENCE), None)
    authority = AssigningAuthority(
        text.first(ISSUER_OF_PATIENT_ID),
        qualifiers.first(UNIVERSAL_ENTITY_ID) if qualifiers else "",
        qualifiers.first(UNIVERSAL_ENTITY_ID_TYPE) if qualifiers else "",
    )
    type_code = text.first(TYPE_OF_PATIENT_ID)
    if type_code in _DICOM_ID_TYPES or not _HL7_ID_TYPE.fullmatch(type_code):
        type_code = ""
    return PatientIdentifier("\\".join(values), authority, type_code)


@dataclass(frozen=True, slots=True)
class _Ins:
    identifier: PatientIdentifier
    domain: Domain


def _ins_of_manifest(text: HeaderText, identifier: PatientIdentifier, directory: Directory) -> _Ins | None:
    """
    The INS in the place of the PatientID, where the manifests of the national sharing project bear it.

    None when the identifier is a local one. Without an issuer, only in a key object selection is a
    number that could be an INS taken for one.
    """
    is_key_object = text.first(SOP_CLASS_UID) == KEY_OBJECT_SELECTION or {
        *text.all(MODALITY),
        *text.all(MODALITIES_IN_STUDY),
    } == {"KO"}
    place = place_of(PATIENT_ID)
    national = national_type(identifier)
    if not national and is_national(identifier.authority):
        raise InvalidIdentity(place_of(ISSUER_OF_PATIENT_ID), "a national number that is no INS")
    if not national and not (is_key_object and identifier.authority == AssigningAuthority()):
        if identifier.type_code == INS_TYPE:
            raise InvalidIdentity(place_of(ISSUER_OF_PATIENT_ID), "an INS of an issuer that issues none")
        return None
    if national == INSURANCE_TYPE:
        raise InvalidIdentity(place, "an insurance number in the place of an identifier")
    try:
        matricule = parse_matricule(identifier.value).value
    except InvalidMatricule:
        if not national:
            return None  # a local identifier in a key object that states no issuer
        raise InvalidIdentity(place, "not a matricule INS, or a wrong key") from None
    oid = ins_oid(identifier) if national else _UNSTATED_INS[directory.accept_test_ins]
    if (oid in TEST_INS_OIDS) != directory.accept_test_ins:
        raise UnsupportedMessage(place, "an INS of the other environment (test or real)")
    authority = AssigningAuthority(identifier.authority.namespace, oid, "ISO")
    return _Ins(PatientIdentifier(matricule, authority, INS_TYPE), Domain(ins_domain_key(oid), authority))


def _feeder_of_manifest(source: PatientIdentitySource | None) -> PatientIdentitySource:
    if source is None:
        raise NotPermitted(f"{place_of(PATIENT_ID)}: a manifest states no site, and no source would be one")
    return source


def _refuse_unusable(text: HeaderText, value: str) -> None:
    place = place_of(PATIENT_ID)
    if "\\" in value:
        raise InvalidIdentity(place, "several values in a single identifier")
    if len(value) > MAX_IDENTIFIER_LENGTH:
        raise InvalidIdentity(place, f"longer than {MAX_IDENTIFIER_LENGTH} characters")
    if any(warning.startswith(place) for warning in text.warnings):
        raise InvalidIdentity(place, "characters that cannot be read with certainty")
    if _STAND_IN_ID.fullmatch(value):
        raise InvalidIdentity(place, "a stand-in that many patients share, not an identifier")


def _issuer(
    authority: AssigningAuthority, source: PatientIdentitySource | None, directory: Directory
) -> tuple[Domain, PatientIdentitySource]:
    """The domain the identifier belongs to, and the source that may state it."""
    place = place_of(ISSUER_OF_PATIENT_ID)
    if authority == AssigningAuthority():
        domain = directory.domains.get(source.feeds[0]) if source is not None and source.feeds else None
        if domain is None or source is None:
            raise InvalidIdentity(place, "no issuer, and no source that would be one")
        return domain, source
    domain = directory.domains.resolve(authority, place=place)
    if source is None:
        source = next((one for one in directory.sources if directory.fed_by(one, domain)), None)
        if source is None:
            raise NotPermitted(f"{place}: no source may state identities for this issuer")
    if not directory.fed_by(source, domain):
        raise NotPermitted(f"{place}: this source may not state identities for this issuer")
    return domain, source


def _others(
    text: HeaderText, main: PatientIdentifier, domain: Domain, directory: Directory
) -> tuple[PatientIdentifier, ...]:
    """The other identifiers whose issuer is stated, the main one and the wrong environment's INS left out."""
    found: dict[PatientIdentifier, None] = {}
    for item in text.items(OTHER_PATIENT_IDS_SEQUENCE):
        identifier = _identifier(item)
        if identifier is None:
            continue
        if identifier.authority == AssigningAuthority():
            text.warn(OTHER_PATIENT_IDS_SEQUENCE, "an identifier without issuer is ignored")
        elif _is_ins(identifier) and (ins_oid(identifier) in TEST_INS_OIDS) != directory.accept_test_ins:
            text.warn(OTHER_PATIENT_IDS_SEQUENCE, "an INS of the other environment (test or real) is ignored")
        elif not _is_main(identifier, main, domain, directory):
            found.setdefault(identifier)
    if text.all(OTHER_PATIENT_IDS):
        text.warn(OTHER_PATIENT_IDS, "identifiers without issuer are ignored")
    return tuple(found)


def _is_ins(identifier: PatientIdentifier) -> bool:
    return national_type(identifier) == INS_TYPE


def _is_main(other: PatientIdentifier, main: PatientIdentifier, domain: Domain, directory: Directory) -> bool:
    if "".join(other.value.split()) != main.value:
        return False
    if _is_ins(other):
        return ins_oid(other) == domain.authority.universal_id
    try:
        place = place_of(OTHER_PATIENT_IDS_SEQUENCE)
        return directory.domains.resolve(other.authority, place=place) == domain
    except UnknownAuthority:
        return False


def _demographics(text: HeaderText, others: tuple[PatientIdentifier, ...], ins: str) -> Demographics:
    mother = _name(text, PATIENT_MOTHER_BIRTH_NAME, family_only=True)
    address = text.first(PATIENT_ADDRESS)
    town = _ADDRESS_TOWN.search(address)
    return Demographics(
        names=_names(text),
        birth_date=_birth_date(text),
        sex=_sex(text),
        address=address,
        postal_code=town["code"] if town else "",
        city=town["city"].strip() if town else "",
        phones=text.all(PATIENT_TELEPHONE_NUMBERS),
        national_id=ins or _national_id(text, others),
        mother_birth_name=(mother.birth or mother.name).family if mother else "",
    )


def _name(text: HeaderText, tag: int, *, family_only: bool = False) -> ParsedName | None:
    parsed = parse_person_name(text.first(tag), family_only=family_only)
    for guess in parsed.guesses if parsed else ():
        text.warn(tag, guess)
    return parsed


def _names(text: HeaderText) -> tuple[PersonName, ...]:
    """A stated birth name makes PatientName the used one; otherwise nothing says which one it is."""
    stated = _name(text, PATIENT_NAME)
    birth = _name(text, PATIENT_BIRTH_NAME, family_only=True)
    names: list[PersonName] = []
    if birth is not None:
        names.append(_with_use(birth.birth or birth.name, NameUse.BIRTH))
        if stated is not None:
            names.append(_with_use(stated.name, NameUse.USED))
    elif stated is not None:
        names.extend((stated.birth, stated.name) if stated.birth else (stated.name,))
    return tuple(names)


def _with_use(name: PersonName, use: NameUse) -> PersonName:
    return replace(name, use=use)


def _birth_date(text: HeaderText) -> PartialDate | None:
    stated = text.first(PATIENT_BIRTH_DATE)
    found = calendar_date(stated)
    if stated and found is None:
        text.warn(PATIENT_BIRTH_DATE, "not a date (expected YYYYMMDD), ignored")
    return PartialDate(found.year, found.month, found.day) if found else None


def calendar_date(stated: str) -> date | None:
    """Read a DA, or its retired form with dots; anything else, the partial forms included, is no date."""
    if not (stated.isascii() and (match := _DATE.fullmatch(stated))):
        return None
    year, month, day = (int(part) for part in match.groups() if part)
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _sex(text: HeaderText) -> str:
    """M, F or U: DICOM's O (other) has no counterpart, and HL7's U arrives empty."""
    stated = text.first(PATIENT_SEX).upper()
    if stated not in ("M", "F", "O", "U", ""):
        text.warn(PATIENT_SEX, "neither M, F nor O, read as unknown")
    return stated if stated in ("M", "F", "") else "U"


def _national_id(text: HeaderText, others: tuple[PatientIdentifier, ...]) -> str:
    """The first INS: a header says nothing of its status, so it is only ever compared."""
    matricules = [identifier.value for identifier in others if _is_ins(identifier)]
    if not matricules:
        return ""
    text.warn(OTHER_PATIENT_IDS_SEQUENCE, "an INS without identity status is compared, never used as an INS")
    if len(set(matricules)) > 1:
        text.warn(OTHER_PATIENT_IDS_SEQUENCE, "several INS, the first is compared")
    return matricules[0]


def _event_time(text: HeaderText) -> datetime:
    """When the identity was copied: the study's own date, else the nearest thing to it."""
    zone = _zone(text)
    for date_tag, time_tag in _MOMENTS:
        stated = text.first(date_tag)
        if not stated:
            continue
        day = calendar_date(stated)
        if day is None:
            text.warn(date_tag, "not a date (expected YYYYMMDD), ignored")
            continue
        try:
            return datetime.combine(day, _time_of_day(text, time_tag), zone).astimezone(UTC)
        except OverflowError:
            text.warn(date_tag, "outside the calendar, ignored")
    text.warn(STUDY_DATE, "no date at all: taken as older than anything else")
    return UNDATED


def _time_of_day(text: HeaderText, tag: int) -> time:
    stated = text.first(tag)
    if not stated:
        return time()
    match = _TIME.fullmatch(stated) if stated.isascii() else None
    hour, minute, second = (int(part) for part in match.groups("0")) if match else (99, 99, 99)
    if hour > 23 or minute > 59 or second > 60:
        text.warn(tag, "not a time, midnight is taken")
        return time()
    return time(hour, minute, min(second, 59))  # 60 is a leap second


def _zone(text: HeaderText) -> tzinfo:
    stated = text.first(TIMEZONE_OFFSET_FROM_UTC)
    if not stated:
        return _PARIS
    match = _OFFSET.fullmatch(stated) if stated.isascii() else None
    if match is None or int(match[2]) > 14 or int(match[3]) > 59:
        text.warn(TIMEZONE_OFFSET_FROM_UTC, "not an offset from UTC, Paris time is taken")
        return _PARIS
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)
