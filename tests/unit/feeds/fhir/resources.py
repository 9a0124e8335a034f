"""Patients as FR Core writes them."""

from typing import Any

from mpi.feeds.fhir.patient import BIRTH_PLACE, GIVEN_LIST, INSEE_CODE, RELIABILITY

SYSTEM_A = "urn:oid:2.999.1.1"
SYSTEM_B = "urn:oid:2.999.1.2"
TEST_NIR = "urn:oid:1.2.250.1.213.1.4.10"


def identifier(value: str = "A1001", system: str = SYSTEM_A, code: str = "PI", **more: Any) -> dict[str, Any]:
    kind = {"type": {"coding": [{"code": code}]}} if code else {}
    return {"system": system, "value": value, **kind, **more}


def reliability(*statuses: str, comments: tuple[str, ...] = ()) -> dict[str, Any]:
    parts = [("identityStatus", code) for code in statuses] + [("comment", code) for code in comments]
    return {
        "url": RELIABILITY,
        "extension": [{"url": url, "valueCoding": {"code": code}} for url, code in parts],
    }


def birth_place(code: str = "87085", city: str = "LIMOGES") -> dict[str, Any]:
    insee = {"url": INSEE_CODE, "valueCoding": {"code": code}}
    return {"url": BIRTH_PLACE, "valueAddress": {"extension": [insee], "city": city}}


def patient(*identifiers: dict[str, Any], **overrides: Any) -> dict[str, Any]:
    """Louise; an element overridden by None is left out."""
    resource = {
        "resourceType": "Patient",
        "extension": [reliability("PROV"), birth_place()],
        "identifier": list(identifiers) or [identifier()],
        "name": [
            {
                "use": "official",
                "family": "CHANTEREAU",
                "given": ["LOUISE"],
                "extension": [{"url": GIVEN_LIST, "valueString": "LOUISE ANNE-MARIE"}],
            },
            {"use": "usual", "family": "MARTIN", "given": ["LOUISE"]},
        ],
        "gender": "female",
        "birthDate": "1984-02-29",
        "address": [
            {
                "use": "home",
                "line": ["12 RUE DES LILAS"],
                "city": "LIMOGES",
                "postalCode": "87000",
                "country": "FRA",
            }
        ],
        "telecom": [
            {"system": "phone", "value": "0555010203"},
            {"system": "email", "value": "l@example.org"},
        ],
        **overrides,
    }
    return {name: value for name, value in resource.items() if value is not None}


def subsumed(value: str = "A1377", survivor: str = "A1001", **overrides: Any) -> dict[str, Any]:
    link = {"type": "replaced-by", "other": {"identifier": {"system": SYSTEM_A, "value": survivor}}}
    return patient(identifier(value), **{"active": False, "link": [link], **overrides})
