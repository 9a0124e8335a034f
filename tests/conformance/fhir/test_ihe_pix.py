"""ITI-83 `Patient/$ihe-pix`, row by row, and what surrounds it. The row's name is the test's."""

from urllib.parse import quote

import pytest
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.parameters import Parameters

from tests.federation import person
from tests.integration.api.served import Served

PIX = "/fhir/Patient/$ihe-pix"
A, B, C, OWN = ("urn:oid:2.999.1.1", "urn:oid:2.999.1.2", "urn:oid:2.999.1.3", "urn:oid:2.999.1")
SOURCE_UNKNOWN = "sourceIdentifier Assigning Authority not found"
TARGET_UNKNOWN = "targetSystem not found"
ID_UNKNOWN = "sourceIdentifier Patient Identifier not found"


@pytest.fixture
def served(memory_store):
    """A1001 and B77 are one person; C5 is another; A0900 was merged into A1001."""
    served = Served(memory_store)
    served.world.state("A", "A1001", person(), minute=1)
    served.world.state("A", "A0900", person(), minute=2)
    served.world.state("B", "B77", person(), minute=3)
    served.world.state("C", "C5", person("MAHÉ", "YANN", "1999-01-05", "M"), minute=4)
    served.world.merge("A", "A1001", "A0900", minute=5)
    return served


def query(served, source, *targets, by="portal", **more):
    params = [("sourceIdentifier", source)] if source is not None else []
    params += [("targetSystem", target) for target in targets]
    return served.get(PIX, by=by, params=params, **more)


def body_of(source, *targets):
    system, _, value = source.partition("|")
    parameters = [{"name": "sourceIdentifier", "valueIdentifier": {"system": system, "value": value}}]
    parameters += [{"name": "targetSystem", "valueUri": target} for target in targets]
    return {"resourceType": "Parameters", "parameter": parameters}


def identifiers(answer):
    assert answer.status_code == 200, answer.text
    parameters = Parameters.model_validate_json(answer.text)
    return {
        (p.valueIdentifier.system, p.valueIdentifier.value)
        for p in parameters.parameter or ()
        if p.name == "targetIdentifier"
    }


def issue(answer):
    outcome = OperationOutcome.model_validate_json(answer.text)
    [only] = outcome.issue
    assert answer.headers["content-type"] == "application/fhir+json"
    assert only.severity == "error"
    assert only.diagnostics == only.details.text
    return answer.status_code, only.code, only.diagnostics


ROWS = [
    pytest.param(f"{A}|A1001", [B], {(B, "B77")}, id="X01 found in the target"),
    pytest.param(f"{B}|B77", [], {(A, "A1001")}, id="X01 no target: every domain, without the source itself"),
    pytest.param(f"{A}|A1001", [B, C], {(B, "B77")}, id="X01 several targets"),
    pytest.param(
        f"{A}|A0900", [], {(A, "A1001"), (B, "B77")}, id="X01 a merged identifier answers for its survivor"
    ),
    pytest.param(f"{B}|B77", [OWN], {(OWN, "EUID")}, id="X01 the index's own domain as target"),
    pytest.param(f"{OWN}|EUID", [B], {(B, "B77")}, id="X01 the index's own domain as source"),
    pytest.param(f"{A}|A1001", [C], set(), id="X02 nothing in the target: 200 and empty"),
    pytest.param(f"{C}|C5", [], set(), id="X02 nothing anywhere: 200 and empty"),
    pytest.param(f"{A}|NOBODY", [], (404, "not-found", ID_UNKNOWN), id="X03 identifier unknown"),
    pytest.param(f"{OWN}|NOBODY", [], (404, "not-found", ID_UNKNOWN), id="X03 enterprise identifier unknown"),
    pytest.param(
        "urn:oid:9.9.9|B77", [], (400, "code-invalid", SOURCE_UNKNOWN), id="X04 source domain unknown"
    ),
    pytest.param(
        "SITE-A|A1001", [], (400, "code-invalid", SOURCE_UNKNOWN), id="X04 a namespace is no system"
    ),
    pytest.param(
        "urn:oid:9.9.9|B77", ["urn:oid:9.9.8"], (400, "code-invalid", SOURCE_UNKNOWN), id="X04 before X05"
    ),
    pytest.param(
        f"{A}|A1001", ["urn:oid:9.9.9"], (403, "code-invalid", TARGET_UNKNOWN), id="X05 target unknown"
    ),
    pytest.param(
        f"{A}|A1001", [B, "urn:oid:9.9.9"], (403, "code-invalid", TARGET_UNKNOWN), id="X05 one of two"
    ),
    pytest.param(
        f"{A}|NOBODY", ["urn:oid:9.9.9"], (403, "code-invalid", TARGET_UNKNOWN), id="X05 before X03"
    ),
]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("source", "targets", "expected"), ROWS)
def test_patient_identifier_cross_reference_query(served, method, source, targets, expected):
    euid = served.world.euid("A", "A1001")
    source = source.replace("EUID", euid)
    if method == "GET":
        answer = query(served, source, *targets)
    else:
        answer = served.post(
            PIX, body_of(source, *targets), headers={"Content-Type": "application/fhir+json"}
        )

    if isinstance(expected, tuple):
        assert issue(answer) == expected
        return
    assert identifiers(answer) == {(system, value.replace("EUID", euid)) for system, value in expected}
    assert answer.headers["content-type"] == "application/fhir+json"
    references = [p["valueReference"] for p in answer.json().get("parameter", []) if p["name"] == "targetId"]
    assert references == ([{"reference": f"Patient/{euid}"}] if expected else [])
    if not expected:
        assert answer.json() == {"resourceType": "Parameters"}


def test_the_assigner_of_an_identifier_is_displayed(served):
    found = query(served, f"{A}|A1001", B).json()["parameter"][0]

    assert found == {
        "name": "targetIdentifier",
        "valueIdentifier": {"system": B, "value": "B77", "assigner": {"display": "SITE-B"}},
    }


@pytest.mark.parametrize("encoded", ["urn:oid:2.999.1.1%7CA1001", quote("urn:oid:2.999.1.1|A1001", safe="")])
def test_the_bar_may_be_percent_encoded(served, encoded):
    assert identifiers(served.get(f"{PIX}?sourceIdentifier={encoded}&targetSystem={quote(B)}")) == {
        (B, "B77")
    }


@pytest.mark.parametrize(
    ("source", "code"),
    [
        (None, "required"),
        ("", "required"),
        ("A1001", "invalid"),
        ("|A1001", "invalid"),
        (f"{A}|", "invalid"),
        (f"{A}|A\x00", "invalid"),
        (f"{A}|" + "9" * 300, "invalid"),
    ],
)
def test_a_source_identifier_is_required_and_well_formed(served, source, code):
    status, found, text = issue(query(served, source))

    assert (status, found) == (400, code)
    assert text.startswith("sourceIdentifier")


def test_a_source_identifier_is_given_once(served):
    answer = served.get(f"{PIX}?sourceIdentifier={A}|A1001&sourceIdentifier={B}|B77")

    assert issue(answer)[:2] == (400, "invalid")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "structure"),
        ({"resourceType": "Patient"}, "structure"),
        ({"resourceType": "Parameters"}, "required"),
        ({"resourceType": "Parameters", "parameter": 1}, "structure"),
        ({"resourceType": "Parameters", "parameter": [1]}, "structure"),
        ({"resourceType": "Parameters", "parameter": [{"name": "sourceIdentifier"}]}, "invalid"),
        (
            {
                "resourceType": "Parameters",
                "parameter": [{"name": "sourceIdentifier", "valueIdentifier": {}}],
            },
            "invalid",
        ),
        ([], "invalid"),
    ],
)
def test_a_body_that_is_no_question_is_refused(served, body, code):
    assert issue(served.post(PIX, body))[:2] == (400, code)


def test_a_source_identifier_may_be_a_string_in_the_body(served):
    body = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "sourceIdentifier", "valueString": f"{A}|A1001"},
            {"name": "targetSystem", "valueString": B},
            {"name": "_format", "valueString": "json"},
        ],
    }

    assert identifiers(served.post(PIX, body)) == {(B, "B77")}


def test_a_domain_the_caller_may_not_see_is_answered_as_unknown(served):
    assert issue(query(served, f"{B}|B77", by="site")) == (400, "code-invalid", SOURCE_UNKNOWN)
    assert issue(query(served, f"{A}|A1001", B, by="site")) == (403, "code-invalid", TARGET_UNKNOWN)
    assert issue(query(served, f"{OWN}|x", by="site")) == (400, "code-invalid", SOURCE_UNKNOWN)
    assert query(served, f"{A}|A1001", by="site").json() == {"resourceType": "Parameters"}


def test_a_site_gets_no_reference_to_the_enterprise_record(served):
    answer = query(served, f"{A}|A0900", by="site")

    assert [p["name"] for p in answer.json()["parameter"]] == ["targetIdentifier"]


@pytest.mark.parametrize("code", ["ANOM", "CACH"])
def test_an_anonymous_or_hidden_identity_is_not_found(served, code):
    served.world.state("A", "A2", person("ROUXEL", "ODETTE", "1931-11-04", identity_codes=("PROV", code)))

    assert issue(query(served, f"{A}|A2")) == (404, "not-found", ID_UNKNOWN)


@pytest.mark.parametrize(
    ("accept", "format_asked", "status"),
    [
        ("application/fhir+json", None, 200),
        ("application/json", None, 200),
        ("application/fhir+xml, application/fhir+json;q=0.5", None, 200),
        ("*/*", None, 200),
        ("application/fhir+xml", None, 406),
        ("application/fhir+xml, application/fhir+json;q=0", None, 406),
        ("text/html", None, 406),
        ("application/fhir+xml", "json", 200),
        ("application/fhir+json", "xml", 406),
        ("*/*", "application/fhir+xml", 406),
        ("*/*", "application/fhir+json", 200),
        ("*/*", "application/fhir json", 200),
    ],
)
@pytest.mark.parametrize("path", [f"{PIX}?sourceIdentifier={A}|A1001", "/fhir/metadata?x=y"])
def test_json_is_the_only_format_for_now(served, path, accept, format_asked, status):
    format_query = f"&_format={quote(format_asked, safe='')}" if format_asked else ""
    answer = served.get(path + format_query, headers={"Accept": accept})

    assert answer.status_code == status
    if status == 406:
        assert issue(answer)[1] == "not-supported"


def test_an_unencoded_plus_in_format_is_understood(served):
    assert served.get(f"{PIX}?sourceIdentifier={A}|A1001&_format=application/fhir+json").status_code == 200


def test_the_capability_statement_is_valid_and_names_the_operation(served):
    stated = CapabilityStatement.model_validate_json(served.get("/fhir/metadata").text)

    assert (stated.fhirVersion, stated.kind, stated.status) == ("4.0.1", "instance", "active")
    [resource] = stated.rest[0].resource
    [operation] = resource.operation
    assert (resource.type, operation.name) == ("Patient", "ihe-pix")
    assert operation.definition == "https://profiles.ihe.net/ITI/PIXm/OperationDefinition/IHE.PIXm.pix"


def test_the_openapi_document_declares_the_media_type(served):
    operations = served.app.openapi()["paths"][PIX]

    assert list(operations["get"]["responses"]["200"]["content"]) == ["application/fhir+json"]
    assert list(operations["post"]["requestBody"]["content"]) == ["application/fhir+json"]


def test_every_query_is_audited(served):
    before = len(served.audited())

    query(served, f"{A}|A1001")
    query(served, f"{A}|NOBODY")

    assert served.audited()[before:] == [("key:portal", "query.cross_reference")] * 2
