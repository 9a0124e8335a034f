"""ITI-83 `Patient/$ihe-pix`, row by row, and what surrounds it. The row's name is the test's."""

from urllib.parse import quote

import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.parameters import Parameters

from tests.federation import person
from tests.integration.api.served import Served

PIX = "/fhir/Patient/$ihe-pix"
BASE = "http://testserver/fhir"
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


def asked(served, method, source, *targets):
    """One query, by GET or by POST; `EUID` stands for the enterprise identifier of the first person."""
    source = source.replace("EUID", served.world.euid("A", "A1001"))
    if method == "GET":
        return query(served, source, *targets)
    content = {"Content-Type": "application/fhir+json"}
    return served.post(PIX, body_of(source, *targets), headers=content)


BY_EITHER = pytest.mark.parametrize("method", ["GET", "POST"])


@BY_EITHER
@pytest.mark.parametrize(
    ("source", "targets", "expected"),
    [
        pytest.param(f"{A}|A1001", [B], {(B, "B77")}, id="found in the target"),
        pytest.param(f"{B}|B77", [], {(A, "A1001")}, id="no target: every domain, without the source itself"),
        pytest.param(f"{A}|A1001", [B, C], {(B, "B77")}, id="several targets"),
        pytest.param(f"{A}|A0900", [], {(A, "A1001"), (B, "B77")}, id="merged: answers for its survivor"),
        pytest.param(f"{B}|B77", [OWN], {(OWN, "EUID")}, id="the index's own domain as target"),
        pytest.param(f"{OWN}|EUID", [B], {(B, "B77")}, id="the index's own domain as source"),
        pytest.param(f"{BASE}|Patient/EUID", [B], {(B, "B77")}, id="the logical id of a Patient as source"),
    ],
)
def test_identifiers_are_found(served, method, source, targets, expected):
    """[X01] Found: 200, every other identifier, and the Patient; the source identifier is not repeated."""
    euid = served.world.euid("A", "A1001")
    answer = asked(served, method, source, *targets)

    assert identifiers(answer) == {(system, value.replace("EUID", euid)) for system, value in expected}
    assert answer.headers["content-type"] == "application/fhir+json"
    references = [p["valueReference"] for p in answer.json()["parameter"] if p["name"] == "targetId"]
    assert references == [{"reference": f"Patient/{euid}"}]


@BY_EITHER
@pytest.mark.parametrize(
    ("source", "targets"),
    [
        pytest.param(f"{A}|A1001", [C], id="nothing in the target"),
        pytest.param(f"{C}|C5", [], id="nothing anywhere"),
    ],
)
def test_nothing_found_is_a_success(served, method, source, targets):
    """[X02] Known, and nothing in the domains asked for: 200 and Parameters without a parameter."""
    answer = asked(served, method, source, *targets)

    assert (answer.status_code, answer.json()) == (200, {"resourceType": "Parameters"})


@BY_EITHER
@pytest.mark.parametrize("source", [f"{A}|NOBODY", f"{OWN}|NOBODY", f"{BASE}|Patient/NOBODY"])
def test_an_unknown_identifier_is_not_found(served, method, source):
    """[X03] An identifier nobody stated: 404, not-found, and the text of the profile."""
    assert issue(asked(served, method, source)) == (404, "not-found", ID_UNKNOWN)


@BY_EITHER
@pytest.mark.parametrize(
    ("source", "targets"),
    [
        pytest.param("urn:oid:9.9.9|B77", [], id="unknown"),
        pytest.param("SITE-A|A1001", [], id="a namespace is no system"),
        pytest.param("urn:oid:9.9.9|B77", ["urn:oid:9.9.8"], id="before an unknown target"),
        pytest.param("http://elsewhere/fhir|Patient/EUID", [], id="a Patient of another server"),
    ],
)
def test_an_unknown_source_domain_is_refused(served, method, source, targets):
    """[X04] A source domain that is not configured: 400, code-invalid, and the text of the profile."""
    assert issue(asked(served, method, source, *targets)) == (400, "code-invalid", SOURCE_UNKNOWN)


@BY_EITHER
@pytest.mark.parametrize(
    ("source", "targets"),
    [
        pytest.param(f"{A}|A1001", ["urn:oid:9.9.9"], id="unknown"),
        pytest.param(f"{A}|A1001", [B, "urn:oid:9.9.9"], id="one of two: no partial answer"),
        pytest.param(f"{A}|NOBODY", ["urn:oid:9.9.9"], id="before an unknown identifier"),
    ],
)
def test_an_unknown_target_domain_is_refused(served, method, source, targets):
    """[X05] A target domain that is not configured: 403, code-invalid, and the text of the profile."""
    assert issue(asked(served, method, source, *targets)) == (403, "code-invalid", TARGET_UNKNOWN)


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


def test_an_unencoded_plus_in_format_is_understood(served):
    assert served.get(f"{PIX}?sourceIdentifier={A}|A1001&_format=application/fhir+json").status_code == 200


def test_the_openapi_document_declares_the_media_types(served):
    operations = served.app.openapi()["paths"][PIX]

    both = {"application/fhir+json", "application/fhir+xml"}
    assert set(operations["get"]["responses"]["200"]["content"]) == both
    assert set(operations["post"]["requestBody"]["content"]) == both


def test_every_query_is_audited(served):
    before = len(served.audited())

    query(served, f"{A}|A1001")
    query(served, f"{A}|NOBODY")

    assert served.audited()[before:] == [("key:portal", "query.cross_reference")] * 2
