"""
A Patient resource to a stated identity, or to the merge it announces.

What FR Core says of a person is read as PID says it: one identity gives one record, whichever way it
came. An element that is missing says nothing; the rest of the resource is not read.

Source: FHIR R4 Patient; FR Core 2.1 and 2.2 (fr-core-patient, fr-core-patient-ins); IHE PIXm 3.1, ITI-104.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mpi.errors import InvalidIdentity, MpiError, UnknownAuthority, UnsupportedMessage
from mpi.feeds.fhir.elements import Element
from mpi.feeds.hl7v2.problems import (
    AFTER_THE_EVENT,
    NO_OWN_IDENTIFIER,
    NOT_IN_TABLE,
    REQUIRED,
    SEVERAL_SUBSUMED,
    SenderNotPermitted,
)
from mpi.feeds.hl7v2.times import PARIS
from mpi.feeds.national import AdmittedIns, StatedIns, admit_ins
from mpi.identity.domains import Domain, authority_key, is_national, national_type
from mpi.identity.ins import INS_NIR_OID, INS_OIDS, IdentityAttribute, IdentityStatus
from mpi.identity.model import (
    AssigningAuthority,
    Demographics,
    NameUse,
    PartialDate,
    PatientIdentifier,
    PersonName,
    RecordKey,
    SourceRecord,
)
from mpi.identity.rniv import status_from_fr_core
from mpi.index.events import IdentifiersMerged, IdentityStated
from mpi.index.parties import Directory, PatientIdentitySource

FR_CORE: Final = "https://hl7.fr/ig/fhir/core/StructureDefinition/"
_BASE: Final = "http://hl7.org/fhir/StructureDefinition/"
GIVEN_LIST: Final = f"{FR_CORE}fr-core-patient-birth-list-given-name"
RELIABILITY: Final = f"{FR_CORE}fr-core-identity-reliability"
INSEE_CODE: Final = f"{FR_CORE}fr-core-address-insee-code"
INTERPRETED: Final = f"{FR_CORE}fr-core-patient-birthdate-update-indicator"
BIRTH_PLACE: Final = f"{_BASE}patient-birthPlace"
MOTHERS_NAME: Final = f"{_BASE}patient-mothersMaidenName"
EXTENSIONS: Final = frozenset({GIVEN_LIST, RELIABILITY, INSEE_CODE, INTERPRETED, BIRTH_PLACE, MOTHERS_NAME})
"""Extensions that are read. Others are not kept."""

REPLACED_BY: Final = "replaced-by"
_IDENTIFIER_USES: Final = frozenset({"usual", "official", "temp", "secondary", "old"})
_LINK_TYPES: Final = frozenset({REPLACED_BY, "replaces", "refer", "seealso"})
_GENDERS: Final = {"male": "M", "female": "F", "other": "U", "unknown": "U"}
_NAME_USES: Final = {
    "official": NameUse.BIRTH,
    "maiden": NameUse.BIRTH,
    "usual": NameUse.USED,
    "nickname": NameUse.PSEUDONYM,
    "anonymous": NameUse.PSEUDONYM,
    "temp": NameUse.UNSPECIFIED,
    "": NameUse.UNSPECIFIED,
}
_OLD: Final = "old"
_TELECOMS: Final = frozenset({"phone", "fax", "email", "pager", "url", "sms", "other"})
_CONTACT_USES: Final = frozenset({"home", "work", "temp", "old", "mobile"})
_ADDRESS_USES: Final = frozenset({"home", "work", "temp", "old", "billing"})
_NOT_OF_A_PATIENT: Final = frozenset({"AN", "VN"})
_SYSTEMS: Final = {"urn:oid:": "ISO", "urn:uuid:": "UUID"}
_DATE: Final = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2})?)?", re.ASCII)
_STATUSES: Final = frozenset(status.value for status in IdentityStatus)
_FOUR_CODES_ONLY: Final = frozenset({IdentityStatus.RETRIEVED.value, IdentityStatus.QUALIFIED.value})
_ATTRIBUTES: Final = frozenset(attribute.value for attribute in IdentityAttribute)
_CLOCK_TOLERANCE: Final = timedelta(days=1)
_REFERENCE: Final = re.compile(r"Patient\?identifier=(?P<system>[^|&]+)\|(?P<value>[^&]+)")


@dataclass(frozen=True, slots=True)
class Asked:
    """The identifier a conditional update names: `Patient?identifier=system|value`."""

    system: str
    value: str


@dataclass(frozen=True, slots=True)
class AskedPerson:
    """
    Somebody a question is about.

    Args:
        keys: identifiers in configured domains.
    """

    demographics: Demographics
    keys: tuple[RecordKey, ...]


@dataclass(slots=True)
class _Stated:
    """What a resource states, while it is being read."""

    values: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def warn(self, place: str, problem: str) -> None:
        self.warnings.append(f"{place}: {problem}")


@dataclass(frozen=True, slots=True)
class _Local:
    """An identifier of a domain the source feeds, its authority completed, and where it stands."""

    identifier: PatientIdentifier
    domain: str
    place: str

    @property
    def key(self) -> RecordKey:
        return RecordKey(self.domain, self.identifier.value)


@dataclass(frozen=True, slots=True)
class _Identifiers:
    """Own ones, INS with their places, others as sent, and the keys the source may link."""

    own: tuple[_Local, ...]
    national: tuple[tuple[str, PatientIdentifier], ...]
    others: tuple[PatientIdentifier, ...]
    elsewhere: tuple[RecordKey, ...]


def authority_of(system: str) -> AssigningAuthority:
    """
    The authority an identifier system names.

    Source: IHE ITI TF-2 appendix E.3 (`urn:oid:`).
    """
    for prefix, kind in _SYSTEMS.items():
        if system.startswith(prefix):
            return AssigningAuthority("", system.removeprefix(prefix), kind)
    return AssigningAuthority("", system, "URI")


def system_of(authority: AssigningAuthority) -> str:
    """The identifier system of an authority: what `authority_of` reads."""
    prefixes = {kind: prefix for prefix, kind in _SYSTEMS.items()}
    prefix = prefixes.get(authority.universal_id_type)
    return f"{prefix}{authority.universal_id}" if prefix else authority_key(authority)


def domain_of(system: str, *, place: str, source: PatientIdentitySource, directory: Directory) -> Domain:
    """
    The domain of a system, which the source must feed.

    Raises:
        UnknownAuthority: it is not configured.
        SenderNotPermitted: the source does not feed it.
    """
    domain = directory.domains.resolve(authority_of(system), place=place)
    if not directory.fed_by(source, domain):
        raise SenderNotPermitted(place, "this source may not state identities for that domain")
    return domain


def read_patient(
    resource: Mapping[str, Any],
    *,
    source: PatientIdentitySource,
    directory: Directory,
    received: datetime,
    asked: Asked | None = None,
) -> IdentityStated | IdentifiersMerged:
    """
    Read what a Patient states: who a person is, or that its identifier is retired.

    Args:
        received: since when it is true, unless `meta.lastUpdated` says.
        asked: the identifier it was put under. It must be one of the resource's own.

    Raises:
        InvalidIdentity: an element cannot be used; the place is its FHIRPath.
        UnsupportedMessage: it is no Patient, or one that is inactive and replaced by nobody.
        UnknownAuthority, SenderNotPermitted: no identifier of a domain the source feeds.
    """
    patient = Element(dict(resource), "Patient")
    if patient.text("resourceType") != "Patient":
        raise UnsupportedMessage("resourceType", "not a Patient")
    stated = _Stated()
    event_time = _event_time(patient, received, stated)
    identifiers = _identifiers(patient, stated, source=source, directory=directory, asked=asked)
    survivors = [link for link in patient.items("link") if _link_type(link) == REPLACED_BY]
    active = patient.flag("active")
    if survivors:
        if active is not False:
            raise InvalidIdentity("Patient.active", "expected false beside a link replaced-by")
        return _merged(survivors, identifiers, stated, source, directory, event_time=event_time, asked=asked)
    if active is False:
        raise UnsupportedMessage("Patient.active", "false without a link replaced-by")
    return _identity(patient, identifiers, stated, source, directory, event_time=event_time)


def read_asked(resource: Mapping[str, Any], *, directory: Directory, received: datetime) -> AskedPerson:
    """
    Read the Patient of a question: nothing is stated by it, and any part may be missing.

    Raises:
        UnsupportedMessage: it is no Patient.
        InvalidIdentity: an element is not what R4 or FR Core says it is.
    """
    patient = Element(dict(resource), "Patient")
    if patient.text("resourceType") != "Patient":
        raise UnsupportedMessage("resourceType", "not a Patient")
    stated = _Stated()
    if patient.has("name"):
        _names(patient, stated)
    keys: dict[RecordKey, None] = {}
    national: list[tuple[str, PatientIdentifier]] = []
    for item in patient.items("identifier"):
        use = item.code("use", _IDENTIFIER_USES)
        system, value = item.text("system"), item.text("value")
        if not (system and value) or use == _OLD:
            continue
        identifier = PatientIdentifier(value, authority_of(system), _type(item, system))
        if national_type(identifier, bare_oid="") == "INS":
            national.append((item.path, identifier))
            continue
        try:
            keys[RecordKey(directory.domains.resolve(identifier.authority, place=item.path).key, value)] = (
                None
            )
        except UnknownAuthority:
            continue
    demographics, _ = _demographics(patient, stated, national, directory, received)
    return AskedPerson(demographics, tuple(keys))


def _identity(
    patient: Element,
    identifiers: _Identifiers,
    stated: _Stated,
    source: PatientIdentitySource,
    directory: Directory,
    *,
    event_time: datetime,
) -> IdentityStated:
    _names(patient, stated)
    demographics, admitted = _demographics(patient, stated, identifiers.national, directory, event_time)
    first = SourceRecord(
        identifier=identifiers.own[0].identifier,
        domain=identifiers.own[0].domain,
        demographics=demographics,
        event_time=event_time,
        source=source.name,
        others=(*identifiers.others, *admitted.kept),
        warnings=tuple(stated.warnings),
    )
    more = (replace(first, identifier=own.identifier, domain=own.domain) for own in identifiers.own[1:])
    return IdentityStated((first, *more), identifiers.elsewhere)


def _demographics(
    patient: Element,
    stated: _Stated,
    national: Sequence[tuple[str, PatientIdentifier]],
    directory: Directory,
    event_time: datetime,
) -> tuple[Demographics, AdmittedIns]:
    """Everything a resource says of a person, beside the names; and its INS, when it may be used."""
    for extension in patient.extensions(MOTHERS_NAME):
        stated.values["mother_birth_name"] = extension.text("valueString")
    _birth_date(patient, stated, event_time)
    _gender(patient, stated)
    _birth_place(patient, stated)
    _address(patient, stated)
    _telecoms(patient, stated)
    _multiple_birth(patient, stated)
    _status(patient, stated, has_ins=bool(national))
    admitted = admit_ins(
        (StatedIns(identifier, place) for place, identifier in national),
        {"names": (), "birth_date": None, "sex": "", **stated.values},
        accept_test_ins=directory.accept_test_ins,
        birth_place="Patient.extension",
        warn=stated.warn,
    )
    values = {**stated.values, "ins": admitted.ins, "ins_oid": admitted.oid}
    told = {name: value for name, value in values.items() if value not in (None, "", ())}
    return Demographics(**told), admitted


def _event_time(patient: Element, received: datetime, stated: _Stated) -> datetime:
    meta = patient.child("meta")
    text = meta.text("lastUpdated") if meta is not None else ""
    if not text:
        return received
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError
        return found.astimezone(UTC)
    except (ValueError, OverflowError):
        stated.warn("Patient.meta.lastUpdated", "not an instant")
        return received


# ---------------------------------------------------------------------------- identifiers


def _identifiers(
    patient: Element,
    stated: _Stated,
    *,
    source: PatientIdentitySource,
    directory: Directory,
    asked: Asked | None,
) -> _Identifiers:
    """Sort the identifiers as PID-3 is sorted; one at least is the source's own."""
    own: dict[RecordKey, _Local] = {}
    foreign: dict[RecordKey, str] = {}
    national: list[tuple[str, PatientIdentifier]] = []
    others: list[PatientIdentifier] = []
    unknown: list[MpiError] = []
    for item in patient.items("identifier"):
        use = item.code("use", _IDENTIFIER_USES)
        system, value = item.text("system"), item.text("value")
        if not value:
            stated.warn(item.path, "no identifier")
            continue
        if use == _OLD:
            stated.warn(f"{item.path}.use", "no longer in use; not read")
            continue
        identifier = PatientIdentifier(value, authority_of(system), _type(item, system))
        kind = national_type(identifier, bare_oid="")
        if kind == "INS":
            national.append((item.path, identifier))
        elif kind:
            others.append(identifier)
        elif identifier.type_code in _NOT_OF_A_PATIENT:
            stated.warn(f"{item.path}.type", "an account or visit number names no patient")
        elif is_national(identifier.authority):
            error = UnknownAuthority(
                f"{item.path}.system", "a national authority, and a type that is neither"
            )
            unknown.append(error)
            stated.warn(error.place, error.problem)
        else:
            try:
                domain = directory.domains.resolve(identifier.authority, place=f"{item.path}.system")
            except UnknownAuthority as error:
                unknown.append(error)
                others.append(identifier)
                stated.warn(error.place, error.problem)
                continue
            complete = PatientIdentifier(value, domain.authority, identifier.type_code)
            local = _Local(complete, domain.key, item.path)
            if directory.fed_by(source, domain):
                own.setdefault(local.key, local)
            else:
                foreign.setdefault(local.key, item.path)
                others.append(identifier)
    if asked is not None:
        domain = domain_of(asked.system, place="identifier", source=source, directory=directory)
        named = own.pop(RecordKey(domain.key, asked.value), None)
        if named is None:
            raise InvalidIdentity("Patient.identifier", "the identifier it is put under is not among them")
        own = {named.key: named, **own}
    if not own:
        raise _why_none_is_own(unknown, foreign, has_others=bool(national or others))
    linked = tuple(key for key in foreign if key.domain in source.may_link)
    return _Identifiers(tuple(own.values()), tuple(national), tuple(others), linked)


def _why_none_is_own(
    unknown: list[MpiError], foreign: Mapping[RecordKey, str], *, has_others: bool
) -> MpiError:
    if unknown:
        return unknown[0]
    for place in foreign.values():
        return SenderNotPermitted(f"{place}.system", "this source may not state identities for that domain")
    return InvalidIdentity("Patient.identifier", NO_OWN_IDENTIFIER if has_others else REQUIRED)


def _type(item: Element, system: str) -> str:
    """
    CX-5 of an identifier: FR Core gives each slice of INS a code of its own.

    A slice that its OID alone tells (NIA, test, demonstration) needs no code. The NIR's does: it is
    also the insurance number's.

    Source: FR Core, fr-core-cs-v2-0203 (INS-NIR, INS-NIA, INS-NIR-TEST, INS-NIR-DEMO, NH).
    """
    kind = item.child("type")
    codes = [coding.text("code").upper() for coding in kind.items("coding")] if kind is not None else []
    code = next(filter(None, codes), "")
    if code.startswith(("INS-NIR", "INS-NIA")):
        return "INS"
    oid = system.removeprefix("urn:oid:")
    return "INS" if not code and oid in INS_OIDS - {INS_NIR_OID} else code


def _link_type(link: Element) -> str:
    kind = link.code("type", _LINK_TYPES)
    if not kind:
        raise InvalidIdentity(f"{link.path}.type", REQUIRED)
    return kind


def _merged(
    survivors: list[Element],
    identifiers: _Identifiers,
    stated: _Stated,
    source: PatientIdentitySource,
    directory: Directory,
    *,
    event_time: datetime,
    asked: Asked | None,
) -> IdentifiersMerged:
    """
    Read the merge of a subsumed Patient. What it says of the person is not read, as beside an A40.

    Source: IHE PIXm 3.1, ITI-104 (Resolve Duplicate Patient).
    """
    if len(survivors) > 1:
        raise InvalidIdentity(survivors[1].path, "more than one link replaced-by")
    other = survivors[0].child("other")
    path = f"{survivors[0].path}.other"
    if other is None:
        raise InvalidIdentity(path, REQUIRED)
    named = other.child("identifier")
    system, value = (named.text("system"), named.text("value")) if named is not None else ("", "")
    if not value and (found := _REFERENCE.fullmatch(other.text("reference"))):
        system, value = found["system"], found["value"]
    if not (system and value):
        raise InvalidIdentity(path, "expected an identifier, or a reference Patient?identifier=system|value")
    domain = domain_of(system, place=path, source=source, directory=directory)
    local = [own for own in identifiers.own if own.domain == domain.key]
    if asked is not None:
        local = [own for own in identifiers.own[:1] if own.domain == domain.key]
    if not local:
        raise InvalidIdentity(path, "not of the domain of the identifier it replaces")
    if len(local) > 1:
        raise InvalidIdentity("Patient.identifier", SEVERAL_SUBSUMED)
    if local[0].identifier.value == value:
        raise InvalidIdentity(path, "the same identifier")
    return IdentifiersMerged(
        survivor=PatientIdentifier(value, domain.authority, local[0].identifier.type_code),
        subsumed=local[0].identifier,
        domain=domain.key,
        event_time=event_time,
        source=source.name,
        warnings=tuple(stated.warnings),
    )


# ---------------------------------------------------------------------------- the person


def _names(patient: Element, stated: _Stated) -> None:
    names = []
    for item in patient.items("name"):
        use = item.code("use", {*_NAME_USES, _OLD} - {""})
        if use == _OLD:
            stated.warn(f"{item.path}.use", "no longer in use; not read")
            continue
        given = item.texts("given")
        listed = next((each.text("valueString") for each in item.extensions(GIVEN_LIST)), "")
        name = PersonName(
            family=item.text("family"),
            given=given[0] if given else "",
            given_list=listed or (" ".join(given) if len(given) > 1 else ""),
            prefix=" ".join(item.texts("prefix")),
            suffix=" ".join(item.texts("suffix")),
            use=_NAME_USES[use],
        )
        if name.family or name.given or name.given_list:
            names.append(name)
        elif item.text("text"):
            stated.warn(f"{item.path}.text", "not read; expected family and given")
    if not names:
        raise InvalidIdentity("Patient.name", REQUIRED)
    stated.values["names"] = tuple(names)


def _birth_date(patient: Element, stated: _Stated, event_time: datetime) -> None:
    text = patient.text("birthDate")
    for extension in patient.extensions(INTERPRETED):
        stated.values["birth_date_interpreted"] = extension.flag("valueBoolean")
    if not text:
        return
    try:
        if _DATE.fullmatch(text) is None:
            raise ValueError
        date = PartialDate.parse(text)
    except ValueError:
        raise InvalidIdentity("Patient.birthDate", "not a date (expected YYYY[-MM[-DD]])") from None
    earliest = datetime(date.year, date.month or 1, date.day or 1, tzinfo=PARIS)
    if earliest - event_time > _CLOCK_TOLERANCE:
        raise InvalidIdentity("Patient.birthDate", AFTER_THE_EVENT)
    stated.values["birth_date"] = date


def _gender(patient: Element, stated: _Stated) -> None:
    code = patient.code("gender", _GENDERS)
    if code:
        stated.values["sex"] = _GENDERS[code]
        if code == "other":
            stated.warn("Patient.gender", "taken as unknown")


def _birth_place(patient: Element, stated: _Stated) -> None:
    for extension in patient.extensions(BIRTH_PLACE):
        place = extension.child("valueAddress")
        if place is None:
            continue
        stated.values["birth_place"] = place.text("city") or place.text("text")
        city = place.child("_city")
        for code in (*place.extensions(INSEE_CODE), *(city.extensions(INSEE_CODE) if city else ())):
            coding = code.child("valueCoding")
            if coding is not None:
                stated.values["birth_place_code"] = coding.text("code")


def _address(patient: Element, stated: _Stated) -> None:
    """The home, or else an address of no use that is said."""
    home = untyped = None
    for item in patient.items("address"):
        use = item.code("use", _ADDRESS_USES)
        if use == "home":
            home = home or item
        elif not use:
            untyped = untyped or item
    found = home or untyped
    if found is not None:
        stated.values["address"] = " ".join(found.texts("line"))
        stated.values["city"] = found.text("city")
        stated.values["postal_code"] = found.text("postalCode")
        stated.values["country"] = found.text("country")


def _telecoms(patient: Element, stated: _Stated) -> None:
    found: dict[str, dict[str, None]] = {"phones": {}, "emails": {}}
    for item in patient.items("telecom"):
        system, value = item.code("system", _TELECOMS), item.text("value")
        if item.code("use", _CONTACT_USES) == _OLD or not value:
            continue
        if system in ("phone", "sms"):
            found["phones"][value] = None
        elif system == "email":
            found["emails"][value] = None
    for name, values in found.items():
        stated.values[name] = tuple(values)


def _multiple_birth(patient: Element, stated: _Stated) -> None:
    order = patient.whole("multipleBirthInteger")
    if order is not None:
        if 0 < order < 100:
            stated.values["birth_order"] = order
            stated.values["multiple_birth"] = True
        else:
            stated.warn("Patient.multipleBirthInteger", "not a birth order")
    elif patient.has("multipleBirthBoolean"):
        stated.values["multiple_birth"] = patient.flag("multipleBirthBoolean")


def _status(patient: Element, stated: _Stated, *, has_ins: bool) -> None:
    """
    PID-32 of an identity: its status, then its attributes, of either version of FR Core.

    Up to 2.1 every code of table 0445 is an `identityStatus`; from 2.2 it is one of four, and the
    others are `comment`. A retrieved identity is provisional to a receiver: its INS does not travel.

    Source: FR Core 2.1 and 2.2, fr-core-identity-reliability.
    """
    statuses: list[str] = []
    attributes: list[str] = []
    for extension in patient.extensions(RELIABILITY):
        for part in extension.items("extension"):
            name = part.text("url")
            coding = part.child("valueCoding")
            if name not in ("identityStatus", "comment") or coding is None:
                continue
            code = coding.text("code").upper()
            if code in _STATUSES:
                statuses.append(code)
            elif code in _ATTRIBUTES:
                attributes.append(code)
            elif code and code != "VIDE":
                stated.warn(f"{part.path}.valueCoding.code", NOT_IN_TABLE)
    if len(set(statuses)) > 1:
        raise InvalidIdentity("Patient.extension", "two identity statuses")
    codes = []
    for code in statuses[:1]:
        status = status_from_fr_core(code, has_ins=has_ins, four_codes=code in _FOUR_CODES_ONLY)
        is_validated = status in (IdentityStatus.VALIDATED, IdentityStatus.QUALIFIED)
        codes.append(IdentityStatus.VALIDATED.value if is_validated else IdentityStatus.PROVISIONAL.value)
    stated.values["identity_codes"] = (*codes, *dict.fromkeys(attributes))
