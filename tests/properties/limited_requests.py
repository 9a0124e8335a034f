"""What somebody who sees site A alone sends: one request of HTTP, one message of HL7 v2."""

from datetime import timedelta
from typing import Any

from mpi.index.euid import native_euid
from tests.federation import START, authority, key

SECRET = b"\x01" * 32
EVENING = START + timedelta(hours=12)


def instant(moment: int | None) -> dict[str, Any]:
    if moment is None:
        return {}
    return {"params": {"as_of": (START + timedelta(hours=moment, minutes=45)).isoformat()}}


def token(site: str, value: str) -> str:
    return f"urn:oid:{authority(site).universal_id}|{value}"


def euid(record: tuple[str, str]) -> str:
    return native_euid(SECRET, key(*record))


def patient_named(family: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "name": [{"use": "official", "family": family, "given": ["LOUISE"]}],
        "gender": "female",
        "birthDate": "1984-02-29",
    }


def parameters(*given: tuple[str, str, Any]) -> dict[str, Any]:
    listed = [{"name": name, what: value} for name, what, value in given]
    return {"json": {"resourceType": "Parameters", "parameter": listed}}


def request(door: str, *more: Any) -> tuple[str, str, dict[str, Any]]:
    """(method, path, options) of one request at a door."""
    match door, *more:
        case "identifiers", (site, value), moment:
            params = {"domain": f"SITE-{site}", "id": value, **instant(moment).get("params", {})}
            return "GET", "/api/v1/identifiers", {"params": params}
        case "patient", record, part, moment:
            return "GET", f"/api/v1/patients/{euid(record)}{part}", instant(moment)
        case "explain" | "timeline", record, moment:
            return "GET", f"/api/v1/patients/{euid(record)}/{door}", instant(moment)
        case "resolve", listed:
            identities = [
                {**traits, **({"domain": f"SITE-{site}", "id": value} if value != "9" else {})}
                for (site, value), traits in listed
            ]
            return "POST", "/api/v1/resolve", {"json": {"identities": identities}}
        case "match", traits, moment:
            return "POST", "/api/v1/match", {"json": {"identity": traits}, **instant(moment)}
        case "look", name, born, moment:
            return "POST", "/api/v1/search", {"json": {"name": name, "birth_date": born}, **instant(moment)}
        case "file", (site, value), by_person:
            about = {"about": [{"domain": f"SITE-{site}", "id": value}]}
            person_of = {"person": euid((site, value))}
            body = {"kind": "other", **(person_of if by_person else about)}
            return "POST", "/api/v1/reports", {"json": body}
        case "corrections", which:
            return "GET", f"/api/v1/corrections?which={which}", {}
        case "queue", which, limit, moment:
            params = {"limit": limit, **instant(moment).get("params", {})}
            if which == "all":
                params["state"] = ["open", "waiting", "proposed", "decided", "obsolete"]
            if which == "urgent":
                params = {"limit": limit, "order": "priority"}
            return "GET", "/api/v1/reviews", {"params": params}
        case "indicators" | "facts", *_:
            return "GET", f"/api/v1/{door}", {}
        case "told", consumer, (site, value), moment:
            on = instant(moment)["params"]["as_of"]
            params = {"consumer": consumer, "domain": f"SITE-{site}", "id": value, "on": on}
            return "GET", "/api/v1/told", {"params": params}
        case "notifications", wanted:
            return "GET", f"/api/v1/notifications{wanted}", {}
        case "pause", name:
            return "POST", f"/api/v1/consumers/{name}/pause", {}
        case "journal", part:
            return "GET", f"/api/v1/messages{part}", {}
        case "feeds", path:
            return "GET", path, {}
        case "pix", record, by_body:
            if by_body:
                return (
                    "POST",
                    "/fhir/Patient/$ihe-pix",
                    parameters(("sourceIdentifier", "valueString", token(*record))),
                )
            return "GET", "/fhir/Patient/$ihe-pix", {"params": {"sourceIdentifier": token(*record)}}
        case "grade", family, certain, record:
            who = patient_named(family)
            if record is not None:
                system, value = token(*record).split("|")
                who["identifier"] = [{"system": system, "value": value}]
            return (
                "POST",
                "/fhir/Patient/$match",
                parameters(("resource", "resource", who), ("onlyCertainMatches", "valueBoolean", certain)),
            )
        case "audit", wanted:
            return "GET", f"/fhir/AuditEvent{wanted}", {}
        case "feed", value, who, by_message:
            system, value = token("A", value).split("|")
            stated = patient_named(who.names[0].family) | {"identifier": [{"system": system, "value": value}]}
            if not by_message:
                return "PUT", "/fhir/Patient", {"params": {"identifier": token("A", value)}, "json": stated}
            return "POST", "/fhir/$process-message", {"json": bundle_of(stated)}
    raise AssertionError(door)


def bundle_of(patient: dict[str, Any]) -> dict[str, Any]:
    system, value = (patient["identifier"][0][name] for name in ("system", "value"))
    header = {
        "resourceType": "MessageHeader",
        "id": f"m{value}",
        "eventUri": "urn:ihe:iti:pmir:2019:patient-feed",
        "source": {"endpoint": "https://ris-a.example"},
        "focus": [{"reference": "urn:uuid:2"}],
    }
    entry = {
        "fullUrl": "Patient/x",
        "resource": patient,
        "request": {"method": "PUT", "url": f"Patient?identifier={system}|{value}"},
        "response": {"status": "200"},
    }
    history = {"resourceType": "Bundle", "type": "history", "entry": [entry]}
    return {
        "resourceType": "Bundle",
        "id": f"b{value}",
        "type": "message",
        "timestamp": EVENING.isoformat(),
        "entry": [
            {"fullUrl": "urn:uuid:1", "resource": header},
            {"fullUrl": "urn:uuid:2", "resource": history},
        ],
    }


def q23(site: str, value: str) -> bytes:
    wanted = f"{value}^^^SITE-{site}&{authority(site).universal_id}&ISO"
    return (
        "MSH|^~\\&|PIX_A|SITE_A|MPI|FED|20260302102000||QBP^Q23^QBP_Q21|Q1|P|2.5\r"
        f"QPD|IHE PIX Query|T1|{wanted}\rRCP|I\r"
    ).encode()


def q22(criteria: tuple[str, ...], size: str, domain: str, pointer: str = "") -> bytes:
    wanted = f"^^^SITE-{domain}&{authority(domain).universal_id}&ISO" if domain else ""
    lines = [
        "MSH|^~\\&|PIX_A|SITE_A|MPI|FED|20260302102000||QBP^Q22^QBP_Q21|Q2|P|2.5",
        f"QPD|IHE PDQ Query|T2|{'~'.join(criteria)}|||||{wanted}",
        f"RCP|I|{size}^RD" if size else "RCP|I",
        *([f"DSC|{pointer}|I"] if pointer else []),
    ]
    return "\r".join([*lines, ""]).encode()


def a31(value: str) -> bytes:
    at = f"{EVENING:%Y%m%d%H%M%S}"
    return (
        f"MSH|^~\\&|RIS_A|SITE_A|MPI|FED|{at}||ADT^A31^ADT_A05|E{value}|P|2.5\rEVN||{at}\r"
        f"PID|||{value}^^^SITE-A&2.999.1.1&ISO^PI||CHANTEREAU^LOUISE^^^^^L||19840229|F\rPV1||N\r"
    ).encode()
