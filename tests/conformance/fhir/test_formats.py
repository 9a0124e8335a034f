"""JSON and XML, both ways, on every route; and every kind of answer as somebody else's validator sees it."""

import json
from urllib.parse import quote

import pytest

from mpi.feeds.fhir.codec import from_xml, to_xml
from mpi.feeds.fhir.definitions import RESOURCES, elements
from tests.conformance.fhir.federation import PATIENT, A, B, fed, louise, served_people
from tests.federation import person
from tests.unit.feeds.fhir.resources import patient, subsumed

JSON, XML = "application/fhir+json", "application/fhir+xml"
PIX = f"{PATIENT}/$ihe-pix"


@pytest.fixture
def served(memory_store):
    served = served_people(memory_store)
    served.app.state.subscription_hosts = frozenset({"portal.example"})
    fed(served.post("/fhir/Subscription", SUBSCRIPTION))
    return served


def sent_in(format_, resource):
    body = to_xml(resource) if format_ == XML else json.dumps(resource).encode()
    return {"content": body, "headers": {"Content-Type": format_}}


def parameters(*parts):
    return {"resourceType": "Parameters", "parameter": list(parts)}


def feed_message(*entries):
    return {
        "resourceType": "Bundle",
        "type": "message",
        "timestamp": "2026-03-02T10:00:00+01:00",
        "entry": [
            {
                "fullUrl": "urn:uuid:0b0a6b9e-0f0c-4c63-9f7e-0123456789ab",
                "resource": {
                    "resourceType": "MessageHeader",
                    "id": "feed-1",
                    "eventUri": "urn:ihe:iti:pmir:2019:patient-feed",
                    "source": {"endpoint": "urn:oid:2.999.7"},
                },
            },
            {
                "fullUrl": "urn:uuid:0b0a6b9e-0f0c-4c63-9f7e-0123456789ac",
                "resource": {
                    "resourceType": "Bundle",
                    "type": "history",
                    "entry": [
                        {
                            "resource": entry,
                            "request": {"method": "PUT", "url": "Patient"},
                            "response": {"status": "200"},
                        }
                        for entry in entries
                    ],
                },
            },
        ],
    }


SUBSCRIPTION = {
    "resourceType": "Subscription",
    "status": "requested",
    "reason": "portal",
    "criteria": f"Patient?identifier={A}|A1001",
    "channel": {"type": "rest-hook", "endpoint": "https://portal.example/hook", "payload": JSON},
}
PIX_QUESTION = parameters(
    {"name": "sourceIdentifier", "valueIdentifier": {"system": A, "value": "A1001"}},
    {"name": "targetSystem", "valueUri": B},
)
MATCH_QUESTION = parameters(
    {"name": "resource", "resource": patient()},
    {"name": "onlyCertainMatches", "valueBoolean": False},
    {"name": "count", "valueInteger": 3},
)


def louises_id(served):
    return served.world.euid("A", "A1001")


def retired_id(served):
    """The enterprise identifier that B77 would have alone."""
    return served.world.record("B", "B77").native_euid


ANSWERS = {
    "metadata": lambda s, **m: s.get("/fhir/metadata", **m),
    "ihe-pix": lambda s, **m: s.get(PIX, params={"sourceIdentifier": f"{A}|A1001"}, **m),
    "ihe-pix, nothing": lambda s, **m: s.get(
        PIX, params={"sourceIdentifier": f"{A}|A5", "targetSystem": B}, **m
    ),
    "ihe-pix, unknown": lambda s, **m: s.get(PIX, params={"sourceIdentifier": f"{A}|NOBODY"}, **m),
    "search": lambda s, **m: s.get(PATIENT, params={"family": "chant"}, **m),
    "search in 2.2": lambda s, **m: s.get(PATIENT, params={"family": "chant", "fr-core": "2.2"}, **m),
    "search, first page": lambda s, **m: s.get(PATIENT, params={"family": "chant", "_count": "1"}, **m),
    "search, nobody": lambda s, **m: s.get(PATIENT, params={"family": "nobody"}, **m),
    "search, something ignored": lambda s, **m: s.get(PATIENT, params={"family": "chant", "x": "y"}, **m),
    "search, unknown domain": lambda s, **m: s.get(PATIENT, params={"identifier": "urn:oid:9.9|"}, **m),
    "search by form": lambda s, **m: s.client.post(
        f"{PATIENT}/_search", data={"given": "louise"}, headers={**s.signed("portal"), **m["headers"]}
    ),
    "read": lambda s, **m: s.get(f"{PATIENT}/{louises_id(s)}", **m),
    "read in 2.2": lambda s, **m: s.get(f"{PATIENT}/{louises_id(s)}?fr-core=2.2", **m),
    "read, retired": lambda s, **m: s.get(f"{PATIENT}/{retired_id(s)}", **m),
    "read, unknown": lambda s, **m: s.get(f"{PATIENT}/NOBODY", **m),
    "history": lambda s, **m: s.get(f"{PATIENT}/{louises_id(s)}/_history", **m),
    "match": lambda s, **m: s.post(f"{PATIENT}/$match", MATCH_QUESTION, **m),
    "match, nobody": lambda s, **m: s.post(
        f"{PATIENT}/$match", patient(name=[{"family": "ZZ"}], birthDate="1901-01-01"), **m
    ),
    "match, bad request": lambda s, **m: s.post(f"{PATIENT}/$match", patient(gender="ZQX"), **m),
    "merge": lambda s, **m: s.post(f"{PATIENT}/$merge", parameters(), **m),
    "message": lambda s, **m: s.post(
        "/fhir/$process-message", feed_message(patient(), patient(gender="ZQX")), by="ris-a", **m
    ),
    "audit": lambda s, **m: s.get("/fhir/AuditEvent?_before=10", by="auditor", **m),
    "audit, one": lambda s, **m: s.get("/fhir/AuditEvent/1", by="auditor", **m),
    "subscription": lambda s, **m: s.post("/fhir/Subscription", SUBSCRIPTION, **m),
    "subscriptions": lambda s, **m: s.get("/fhir/Subscription", **m),
    "no such subscription": lambda s, **m: s.get("/fhir/Subscription/9", **m),
    "no such address": lambda s, **m: s.get("/fhir/Practitioner", **m),
    "no such method": lambda s, **m: s.client.patch(
        PATIENT, content=b"", headers={**s.signed("portal"), **m["headers"]}
    ),
    "not a key": lambda s, **m: s.client.get("/fhir/metadata", headers=m["headers"]),
    "not permitted": lambda s, **m: s.get("/fhir/AuditEvent", by="portal", **m),
}


@pytest.mark.node
@pytest.mark.parametrize("kind", ANSWERS)
def test_every_kind_of_answer_is_valid_r4_in_both_formats(served, validator, kind):
    """[X01] [X02] [X03] [X04] [X05] [X06] [X07] Valid against R4; JSON and XML say the same."""
    served.world.registry.doubt(served.world.record("A", "A5").key, reviewer="anne")
    told = {format_: ANSWERS[kind](served, headers={"Accept": format_}) for format_ in (JSON, XML)}
    resource = told[JSON].json()

    assert validator.issues(resource) == []
    assert told[JSON].headers["content-type"].startswith(JSON)
    assert told[XML].headers["content-type"] == f"{XML}; charset=utf-8"
    assert told[XML].status_code == told[JSON].status_code
    in_xml = from_xml(told[XML].content)
    assert validator.issues(in_xml) == []
    assert shape(in_xml) == shape(resource)


def shape(value, *, name=""):
    """A resource without what differs between two requests of the same: tokens, instants, event numbers."""
    if isinstance(value, dict):
        return {key: shape(item, name=key) for key, item in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [shape(item, name=name) for item in value][: 5 if name == "entry" else None]
    return value


VOLATILE = frozenset({"total", "url", "fullUrl", "timestamp", "recorded", "reference", "id", "kind"})


@pytest.mark.parametrize(
    ("accept", "format_asked", "expected"),
    [
        ("application/fhir+json", None, JSON),
        ("application/json", None, JSON),
        ("application/fhir+xml", None, XML),
        ("application/xml", None, XML),
        ("text/xml;charset=utf-8", None, XML),
        ("application/fhir+xml, application/fhir+json;q=0.5", None, XML),
        ("application/fhir+xml;q=0.4, application/fhir+json;q=0.5", None, JSON),
        ("application/fhir+xml, application/fhir+json", None, JSON),
        ("application/fhir+json;q=0, */*", None, XML),
        ("*/*", None, JSON),
        ("", None, JSON),
        ("text/html", None, None),
        ("application/fhir+xml;q=0", None, None),
        ("application/fhir+xml", "json", JSON),
        ("application/fhir+json", "xml", XML),
        ("*/*", "application/fhir+xml", XML),
        ("*/*", "application/fhir xml", XML),
        ("*/*", "text/html", None),
        ("*/*", "ttl", None),
    ],
)
@pytest.mark.parametrize("path", [f"{PIX}?sourceIdentifier={A}|A1001", "/fhir/metadata?x=y"])
def test_the_format_is_negotiated(served, path, accept, format_asked, expected):
    query = f"&_format={quote(format_asked, safe='')}" if format_asked else ""
    answer = served.get(path + query, headers={"Accept": accept})

    assert answer.status_code == (200 if expected else 406)
    assert answer.headers["content-type"].startswith(expected or JSON)
    if not expected:
        assert answer.json()["issue"][0]["code"] == "not-supported"


@pytest.mark.parametrize("format_", [JSON, XML, "application/xml", "text/xml; charset=UTF-8"])
def test_a_question_is_read_in_both_formats(served, format_):
    """[X01] POST of Parameters in JSON and in XML: the same answer."""
    sent = sent_in(XML if "xml" in format_ else JSON, PIX_QUESTION)
    headers = {**served.signed("portal"), "Content-Type": format_}
    answer = served.client.post(PIX, content=sent["content"], headers=headers)

    assert [p["name"] for p in fed(answer)["parameter"]] == ["targetIdentifier", "targetId"]


def test_a_patient_is_fed_in_xml_as_in_json(served):
    """[X06] PUT in XML: what is kept is what JSON would have said; the same again is a duplicate."""
    for value, format_ in (("A2001", JSON), ("A2002", XML)):
        resource = patient({"system": A, "value": value}, address=None)
        sent = sent_in(format_, resource)
        answer = served.client.put(
            PATIENT,
            params={"identifier": f"{A}|{value}"},
            content=sent["content"],
            headers={**served.signed("ris-a"), **sent["headers"]},
        )
        assert answer.status_code == 201, answer.text

    in_json, in_xml = (served.world.record("A", value) for value in ("A2001", "A2002"))
    assert in_json.demographics == in_xml.demographics
    again = served.client.put(
        PATIENT,
        params={"identifier": f"{A}|A2002"},
        content=to_xml(patient({"system": A, "value": "A2002"}, address=None)),
        headers={**served.signed("ris-a"), "Content-Type": XML},
    )
    assert again.status_code == 200
    assert served.world.registry.messages()[-1].state == "duplicate"


def test_a_merge_is_fed_in_xml(served):
    """[X06] Resolve duplicate in XML: active=false and replaced-by, on the subsumed identifier."""
    served.world.state("A", "A1377", person())
    answer = served.client.put(
        PATIENT,
        params={"identifier": f"{A}|A1377"},
        content=to_xml(subsumed()),
        headers={**served.signed("ris-a"), "Content-Type": XML},
    )

    assert answer.status_code == 200, answer.text
    assert served.world.together(("A", "A1377"), ("A", "A1001"))


@pytest.mark.parametrize(
    ("content_type", "body", "status", "code"),
    [
        (XML, b"<Patient", 400, "structure"),
        (XML, b"", 400, "structure"),
        (XML, b"<Patient/>", 400, "structure"),
        (XML, b'<Patient xmlns="http://hl7.org/fhir"><nonsense value="1"/></Patient>', 400, "structure"),
        (XML, b'<Patient xmlns="http://hl7.org/fhir"><active value="yes"/></Patient>', 400, "structure"),
        (XML, b'<!DOCTYPE x [<!ENTITY e "v">]><Patient xmlns="http://hl7.org/fhir"/>', 400, "structure"),
        ("text/plain", b"{}", 415, "not-supported"),
        ("text/turtle", b"{}", 415, "not-supported"),
    ],
)
@pytest.mark.parametrize(
    ("method", "path", "by"),
    [
        ("PUT", f"{PATIENT}?identifier={A}|A1", "ris-a"),
        ("POST", PIX, "portal"),
        ("POST", f"{PATIENT}/$match", "portal"),
        ("POST", "/fhir/$process-message", "ris-a"),
        ("POST", "/fhir/Subscription", "portal"),
    ],
)
def test_what_is_neither_is_refused(served, content_type, body, status, code, method, path, by):
    headers = {**served.signed(by), "Content-Type": content_type}
    answer = served.client.request(method, path, content=body, headers=headers)

    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (status, code)


@pytest.mark.node
@pytest.mark.parametrize("kind", sorted({*RESOURCES, "Extension", "HumanName", "Identifier", "Address"}))
def test_elements_are_in_the_order_of_the_definitions(validator, kind):
    """XML has no other order of elements than that of the definitions."""
    ours, defined = list(elements(kind)), validator.elements(kind)

    assert [name for name in ours if name in defined] == [name for name in defined if name in ours]
    assert set(ours) - set(defined) <= {"valueCodeableReference", "valueRatioRange"}  # types of R4B


def test_a_person_is_the_same_in_both_formats_whatever_the_letters(served):
    served.world.state("B", "B99", louise(ins="", ins_oid="", identity_codes=("PROV",)))
    served.world.state("C", "C9", person("D'Œ<&\"N", "LOÏC"))
    told = [fed(served.get(f"{PATIENT}/{served.world.euid('C', 'C9')}"))]
    in_xml = served.get(f"{PATIENT}/{served.world.euid('C', 'C9')}", headers={"Accept": XML})

    assert from_xml(in_xml.content) == told[0]
    assert told[0]["name"][0]["family"] == "D'Œ<&\"N"
