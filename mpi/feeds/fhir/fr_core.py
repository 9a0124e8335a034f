"""
A person of the index as a Patient of FR Core: the inverse of `patient`, in either encoding of the identity status.

Source: FHIR R4 Patient; FR Core 2.1 and 2.2 (fr-core-patient, fr-core-patient-ins, fr-core-identity-reliability);
RNIV (a doubtful or fictitious identity is provisional, and bears no INS).
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from typing import Any, Final

from mpi.feeds.fhir.patient import (
    BIRTH_PLACE,
    FR_CORE,
    GIVEN_LIST,
    INSEE_CODE,
    MOTHERS_NAME,
    RELIABILITY,
    REPLACED_BY,
    system_of,
)
from mpi.identity.ins import (
    INS_DEMO_OID,
    INS_NIA_OID,
    INS_NIR_OID,
    INS_TEST_OID,
    IdentityAttribute,
    IdentityStatus,
)
from mpi.identity.model import PersonName
from mpi.identity.rniv import ATTRIBUTES, fr_core_status
from mpi.index.answers import MemberView
from mpi.index.search import Person

_CODES: Final = "https://hl7.fr/ig/fhir/core/CodeSystem/"
_TABLE_0445: Final = f"{_CODES}fr-core-cs-v2-0445"
_TABLE_0203_FRANCE: Final = f"{_CODES}fr-core-cs-v2-0203"
_TABLE_0203: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
_COMMUNES: Final = "https://mos.esante.gouv.fr/NOS/TRE_R13-CommuneOM/FHIR/TRE-R13-CommuneOM"
_PROFILE: Final = f"{FR_CORE}fr-core-patient"
_PROFILE_INS: Final = f"{FR_CORE}fr-core-patient-ins"
_INS: Final = {
    INS_NIR_OID: ("INS-NIR", "official"),
    INS_NIA_OID: ("INS-NIA", "temp"),
    INS_TEST_OID: ("INS-NIR-TEST", "official"),
    INS_DEMO_OID: ("INS-NIR-DEMO", "official"),
}
"""OID -> code and use of the slice."""
_GENDERS: Final = {"M": "male", "F": "female", "U": "unknown"}
_NAMES: Final = {"birth_name": "official", "used_name": "usual", "pseudonym": "nickname", "name": ""}
_RANK: Final = tuple(IdentityStatus)
"""From the least trusted to the most."""


class FrCore(StrEnum):
    """How the identity status is written."""

    V2_1 = "2.1"
    """Up to 2.1: every code of table 0445 is an `identityStatus`; qualified is VALI with an INS."""
    V2_2 = "2.2"
    """From 2.2: one of PROV, RECUP, VALI, QUAL; the other codes are `comment`."""


def patient_of(
    person: Person,
    encoding: FrCore,
    *,
    only: Collection[str] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """
    Write a person.

    Args:
        only: keys of the domains whose identifiers are wanted; None for all.
        meta: what is known of the resource itself (`versionId`, `lastUpdated`).
    """
    golden = {name: field.value for name, field in person.golden.items()}
    status, attributes = _reliability(person)
    ins = golden.get("ins", "") if status is IdentityStatus.QUALIFIED else ""
    resource: dict[str, Any] = {
        "resourceType": "Patient",
        "id": person.id,
        "extension": [
            *_status_extensions(status, attributes, encoding),
            *_birth_place(golden),
            *_mothers_name(golden),
        ],
        "identifier": [
            *_local_identifiers(person.members, only),
            *_ins_identifier(ins, golden.get("ins_oid", "")),
        ],
        "active": any(not member.retired for member in person.members),
        "name": [_name(golden[field], use) for field, use in _NAMES.items() if field in golden],
        "telecom": [
            *({"system": "phone", "value": text} for text in golden.get("phones", ())),
            *({"system": "email", "value": text} for text in golden.get("emails", ())),
        ],
        "gender": _GENDERS.get(golden.get("sex", "")),
        "birthDate": str(golden["birth_date"]) if "birth_date" in golden else None,
        "address": _address(golden),
        **_multiple_birth(golden),
        "link": [
            _link("replaces", euid)
            for euid in sorted({member.record.native_euid for member in person.members} - {person.id})
        ],
    }
    profiles = [_PROFILE_INS if ins and _is_complete(resource, golden) else _PROFILE]
    return _present({**resource, "meta": {**(meta or {}), "profile": profiles}})


def retired_patient(asked: str, became: str, *, meta: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of an identifier that another one replaced: nothing but which."""
    return {
        "resourceType": "Patient",
        "id": asked,
        "meta": dict(meta),
        "active": False,
        "link": [_link(REPLACED_BY, became)],
    }


def _present(resource: Mapping[str, Any]) -> dict[str, Any]:
    """The elements that say something, `meta` after `id`: FHIR has no empty ones."""
    first = {name: resource[name] for name in ("resourceType", "id", "meta") if name in resource}
    return {name: value for name, value in {**first, **resource}.items() if value not in (None, "", [], {})}


def _link(kind: str, euid: str) -> dict[str, Any]:
    return {"other": {"reference": f"Patient/{euid}"}, "type": kind}


# -------------------------------------------------------------------------- identity status


def _reliability(person: Person) -> tuple[IdentityStatus, tuple[IdentityAttribute, ...]]:
    """
    What the identity is worth: the best status of its members, and the RNIV attributes of any of them.

    Somebody's report that it is wrong makes it doubtful, and doubtful or fictitious makes it provisional.
    """
    stated = {attribute for member in person.members for attribute in member.record.traits.attributes}
    if person.doubtful:
        stated.add(IdentityAttribute.DOUBTFUL)
    if IdentityAttribute.FICTITIOUS in stated:
        stated = {IdentityAttribute.FICTITIOUS}
    attributes = tuple(each for each in ATTRIBUTES if each in stated)
    if {IdentityAttribute.DOUBTFUL, IdentityAttribute.FICTITIOUS} & set(attributes):
        return IdentityStatus.PROVISIONAL, attributes
    statuses = [member.record.traits.status for member in person.members if not member.retired]
    best = max(statuses, key=_RANK.index, default=IdentityStatus.PROVISIONAL)
    has_ins = "ins" in person.golden
    return IdentityStatus.VALIDATED if best is IdentityStatus.QUALIFIED and not has_ins else best, attributes


def _status_extensions(
    status: IdentityStatus, attributes: Collection[IdentityAttribute], encoding: FrCore
) -> list[dict[str, Any]]:
    code = fr_core_status(status, four_codes=encoding is FrCore.V2_2)
    first = _coded("identityStatus", code)
    if encoding is FrCore.V2_2:
        comments = [_coded("comment", attribute.value) for attribute in attributes]
        return [{"url": RELIABILITY, "extension": [first, *comments]}]
    parts = [first, *(_coded("identityStatus", attribute.value) for attribute in attributes)]
    return [{"url": RELIABILITY, "extension": [part]} for part in parts]


def _coded(name: str, code: str) -> dict[str, Any]:
    return {"url": name, "valueCoding": {"system": _TABLE_0445, "code": code}}


# ------------------------------------------------------------------------------ identifiers


def _local_identifiers(members: Collection[MemberView], only: Collection[str] | None) -> list[dict[str, Any]]:
    """Identifiers of the sites, each once; what names the person no longer is old."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for member in sorted(members, key=lambda each: (each.retired, each.record.key)):
        if only is not None and member.record.key.domain not in only:
            continue
        authority = member.identifier.authority
        system = system_of(authority)
        identifier: dict[str, Any] = {
            "use": "old" if member.retired else "usual",
            "type": {"coding": [{"system": _TABLE_0203, "code": "PI"}]},
            "system": system,
            "value": member.identifier.value,
        }
        if authority.namespace:
            identifier["assigner"] = {"display": authority.namespace}
        found.setdefault((system, member.identifier.value), identifier)
    return list(found.values())


def _ins_identifier(ins: str, oid: str) -> list[dict[str, Any]]:
    if not ins or oid not in _INS:
        return []
    code, use = _INS[oid]
    return [
        {
            "use": use,
            "type": {"coding": [{"system": _TABLE_0203_FRANCE, "code": code}]},
            "system": f"urn:oid:{oid}",
            "value": ins,
        }
    ]


def _is_complete(resource: Mapping[str, Any], golden: Mapping[str, Any]) -> bool:
    """Whether fr-core-patient-ins may be claimed: birth name and given names, birth date, sex, INSEE code."""
    official = [name for name in resource["name"] if name.get("use") == "official"]
    return bool(
        official
        and official[0].get("family")
        and official[0].get("given")
        and official[0].get("extension")
        and resource["birthDate"]
        and resource["gender"]
        and golden.get("birth_place_code")
    )


# ------------------------------------------------------------------------------- the person


def _name(name: PersonName, use: str) -> dict[str, Any]:
    """A name; the birth one with every birth given name."""
    given = name.given or name.given_list.partition(" ")[0]
    listed = name.given_list or name.given
    written: dict[str, Any] = {
        "extension": [{"url": GIVEN_LIST, "valueString": listed}] if use == "official" and listed else [],
        "use": use,
        "family": name.family,
        "given": [given] if given else [],
        "prefix": [name.prefix] if name.prefix else [],
        "suffix": [name.suffix] if name.suffix else [],
    }
    return {key: value for key, value in written.items() if value}


def _birth_place(golden: Mapping[str, Any]) -> list[dict[str, Any]]:
    code, city = golden.get("birth_place_code", ""), golden.get("birth_place", "")
    address: dict[str, Any] = {}
    if code:
        address["extension"] = [{"url": INSEE_CODE, "valueCoding": {"system": _COMMUNES, "code": code}}]
    if city:
        address["city"] = city
    return [{"url": BIRTH_PLACE, "valueAddress": address}] if address else []


def _mothers_name(golden: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = golden.get("mother_birth_name", "")
    return [{"url": MOTHERS_NAME, "valueString": name}] if name else []


def _address(golden: Mapping[str, Any]) -> list[dict[str, Any]]:
    address = {
        "line": [golden["address"]] if golden.get("address") else [],
        "city": golden.get("city", ""),
        "postalCode": golden.get("postal_code", ""),
        "country": golden.get("country", ""),
    }
    stated = {name: value for name, value in address.items() if value}
    return [{"use": "home", **stated}] if stated else []


def _multiple_birth(golden: Mapping[str, Any]) -> dict[str, Any]:
    if "birth_order" in golden:
        return {"multipleBirthInteger": golden["birth_order"]}
    return {"multipleBirthBoolean": golden["multiple_birth"]} if "multiple_birth" in golden else {}
