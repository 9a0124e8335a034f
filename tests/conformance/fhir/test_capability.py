"""The CapabilityStatement: complete, and true of every route there is."""

import pytest

from mpi.api.fhir.audit import AUDIT_PARAMETERS
from mpi.api.fhir.criteria import PARAMETERS
from tests.conformance.fhir.federation import fed, served_people


@pytest.fixture
def served(memory_store):
    return served_people(memory_store)


@pytest.fixture
def rest(served):
    [rest] = fed(served.get("/fhir/metadata"))["rest"]
    return rest


def resource(rest, kind):
    return next(each for each in rest["resource"] if each["type"] == kind)


def interactions(rest, kind):
    return {each["code"] for each in resource(rest, kind)["interaction"]}


def test_what_is_stated_is_what_the_profiles_ask_for(rest):
    """[X06] [X07] PIXm manager and PDQm supplier: interactions, search parameters, operations."""
    assert interactions(rest, "Patient") == {"read", "vread", "history-instance", "search-type", "update"}
    assert resource(rest, "Patient")["conditionalUpdate"] is True
    assert resource(rest, "Patient")["conditionalDelete"] == "not-supported"
    assert {(each["name"], each["type"]) for each in resource(rest, "Patient")["searchParam"]} == {
        ("_id", "token"),
        ("active", "token"),
        ("family", "string"),
        ("given", "string"),
        ("identifier", "token"),
        ("telecom", "token"),
        ("birthdate", "date"),
        ("address", "string"),
        ("address-city", "string"),
        ("address-country", "string"),
        ("address-postalcode", "string"),
        ("address-state", "string"),
        ("gender", "token"),
        ("mothersMaidenName", "string"),
    }
    operations = {each["name"]: each["definition"] for each in resource(rest, "Patient")["operation"]}
    assert operations == {
        "ihe-pix": "https://profiles.ihe.net/ITI/PIXm/OperationDefinition/IHE.PIXm.pix",
        "match": "http://hl7.org/fhir/OperationDefinition/Patient-match",
    }
    assert [each["name"] for each in rest["operation"]] == ["process-message"]
    assert interactions(rest, "AuditEvent") == {"read", "search-type"}
    assert interactions(rest, "Subscription") == {"create", "read", "delete", "search-type"}


def test_the_formats_and_the_version_are_stated(served):
    statement = fed(served.get("/fhir/metadata"))

    assert statement["fhirVersion"] == "4.0.1"
    assert {"application/fhir+json", "application/fhir+xml"} <= set(statement["format"])


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_search_parameter_that_is_stated_is_taken(served, name):
    values = {"birthdate": "1984", "gender": "female", "active": "true"}
    answer = served.get(
        "/fhir/Patient",
        params={name: values.get(name, "x"), "family": "chant"},
        headers={"Prefer": "handling=strict"},
    )

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("name", AUDIT_PARAMETERS)
def test_every_parameter_of_the_audit_that_is_stated_selects(served, name):
    values = {"date": "lt2000", "entity": "Patient/NOBODY"}
    answer = served.get("/fhir/AuditEvent", params={name: values.get(name, "ZZ")}, by="auditor")

    assert "entry" not in fed(answer)


def test_every_interaction_that_is_not_stated_is_refused(served, rest):
    """Nothing is done that is not told."""
    for kind in ("Patient", "AuditEvent", "Subscription"):
        for method, path, code in (
            ("POST", f"/fhir/{kind}", "create"),
            ("DELETE", f"/fhir/{kind}/1", "delete"),
            ("PUT", f"/fhir/{kind}/1", "update"),
            ("PATCH", f"/fhir/{kind}/1", "patch"),
        ):
            if code in interactions(rest, kind) and not (kind == "Patient" and code == "update"):
                continue
            answer = served.client.request(method, path, json={}, headers=served.signed("lead"))
            assert answer.status_code == 405, (method, path)
            assert answer.json()["issue"][0]["code"] == "not-supported"
