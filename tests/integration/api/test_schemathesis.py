"""
Every operation under requests made from its own description, with the key of every role: no answer is a server
error, and each is one that the description allows.

`MPI_SCHEMATHESIS` sets how many requests each operation gets from each role, and `MPI_SCHEMATHESIS_CALLS` how many
calls the long profile makes in all.
"""

import os
import sys
from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, assume, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mpi.index.review import Verdict
from mpi.security.keys import Role
from tests.fakes import MemoryStore
from tests.federation import key, person
from tests.integration.api.served import Served

EACH = int(os.environ.get("MPI_SCHEMATHESIS", "2"))
CALLS = int(os.environ.get("MPI_SCHEMATHESIS_CALLS", "20000"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
IDENTIFIERS = ("A1", "A2", "B7", "B8", "C3")


@pytest.fixture(scope="module")
def federation():
    """A person of three sites, homonyms, questions, a conflict, a doubt, a protected identity."""
    served = Served(MemoryStore())
    served.world.state("A", "A1", person())
    served.world.state("B", "B7", person(used="ROUX"))
    served.world.state("A", "A2", person("CHANTERAU", "LISE", birth_place_code=""))
    served.world.state("B", "B8", person("MARTIN", "JEAN"))
    served.world.state("C", "C3", person(identity_codes=("PROV", "ANOM")))
    served.world.registry.doubt(key("B", "B8"), reviewer="zoe")
    served.world.registry.relate(Verdict.DIFFERENT, key("A", "A1"), key("B", "B8"), reviewer="zoe")
    return served


def schema_of(served):
    return schemathesis.openapi.from_asgi("/openapi.json", app=served.app, headers=served.signed("lead"))


def operations(served):
    found = [result.ok() for result in schema_of(served).get_all_operations()]
    return [one for one in found if one.path not in ("/healthz", "/readyz")]


def known(served):
    """By the name of a parameter, values that name something here."""
    with served.store.read() as uow:
        euids = [record.native_euid for record in uow.records.by_ids(uow.records.all_ids()).values()]
    numbers = st.integers(1, 6)
    return {
        "euid": st.sampled_from(euids),
        "patient_id": st.sampled_from(euids),
        "domain": st.sampled_from(["SITE-A", "SITE-B", "2.999.1.3"]),
        "id": st.sampled_from(IDENTIFIERS),
        "task_id": numbers,
        "fact_id": numbers,
        "statement_id": numbers,
        "report_id": numbers,
        "sourceIdentifier": st.sampled_from(["urn:oid:2.999.1.1|A1", "urn:oid:2.999.1.2|B7"]),
        "identifier": st.sampled_from(
            ["urn:oid:2.999.1.1|A1", "urn:oid:2.999.1.2|B7", "urn:oid:1.2.250.1.213.1.4.10|284022999912354"]
        ),
        "consumer": st.just("portal"),
    }


def _generating(examples):
    """So many requests, generated and nothing else: what one fails with is not sought a smaller form of."""
    return settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def call(served, operation, role, values, examples, counted):
    """Send some requests of one operation with the key of a role."""

    @seed(1)
    @_generating(examples)
    @given(case=operation.as_strategy(), data=st.data())
    def send(case, data):
        for part in (case.path_parameters, case.query):
            for name in (part or {}).keys() & values.keys():
                if data.draw(st.integers(0, 3)):
                    part[name] = data.draw(values[name])
        headers = served.signed(role)
        response = case.call(headers=headers)
        counted[response.status_code] += 1
        case.validate_response(response, checks=CHECKS, headers=headers)

    send()


@pytest.mark.parametrize("role", list(Role))
def test_every_operation_answers_as_it_is_described(federation, role):
    counted = Counter()
    values = known(federation)
    for operation in operations(federation):
        call(federation, operation, role, values, EACH, counted)

    assert not [status for status in counted if status >= 500]
    assert counted.total() >= EACH


@pytest.mark.long
def test_no_server_error_in_thousands_of_calls(federation, capsys):
    counted = Counter()
    values = known(federation)
    described = operations(federation)
    examples = -(-CALLS // (len(described) * len(Role)))
    for role in Role:
        for operation in described:
            call(federation, operation, role, values, examples, counted)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{counted.total()} calls of {len(described)} operations: {sorted(counted.items())}\n"
        )

    assert counted.total() >= CALLS // 2
    assert not [status for status in counted if status >= 500]


def refuses_wrong_bodies(served, operation, role, examples):
    """Send bodies that the description does not allow."""

    @seed(1)
    @_generating(examples)
    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def send(case):
        part = case.meta.components.get(ParameterLocation.BODY)
        assume(part is not None and part.mode is GenerationMode.NEGATIVE)
        headers = served.signed(role)
        response = case.call(headers=headers)
        assert 400 <= response.status_code < 500, (operation.label, response.status_code)

    send()


def test_a_body_that_is_not_described_is_refused(federation):
    """`resolve` answers each identity in its position, `invalid` for one that cannot be read."""
    bodied = [
        one
        for one in operations(federation)
        if one.body and one.path.startswith("/api/") and one.path != "/api/v1/resolve"
    ]

    for operation in bodied:
        refuses_wrong_bodies(federation, operation, "lead", EACH * 5)

    assert len(bodied) >= 14


# ------------------------------------------------------------------------------- which routes there are

UNDESCRIBED = {
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("POST", "/fhir/Patient/$merge"),
    ("POST", "/fhir/Patient"),
    ("PUT", "/fhir/Patient/{id}"),
    ("DELETE", "/fhir/Patient"),
    ("DELETE", "/fhir/Patient/{id}"),
}
"""The documentation, and what is always refused."""


def test_every_route_there_is_is_described_but_those_named_here(federation):
    described = {
        (method.upper(), path)
        for path, methods in federation.app.openapi()["paths"].items()
        for method in methods
    }
    called = {(one.method.upper(), one.path) for one in operations(federation)}

    assert set(routes(federation.app.routes)) == described | UNDESCRIBED
    assert described - called == {("GET", "/healthz"), ("GET", "/readyz")}
    assert {path.split("/")[1] for _, path in called} == {"api", "fhir", "metrics"}


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(("method", "path"), sorted(UNDESCRIBED))
def test_what_is_not_described_answers_without_a_server_error(federation, method, path, role):
    answer = federation.client.request(method, path.replace("{id}", "X"), headers=federation.signed(role))

    refused = {("POST", "/fhir/Patient/$merge"): 501, ("GET", "/docs"): 200, ("GET", "/openapi.json"): 200}
    assert answer.status_code == refused.get((method, path), 405)


def routes(found, before=""):
    """Every method and path of an application, whatever it is made of."""
    for route in found:
        inside = getattr(route, "original_router", None)
        if inside is not None:
            yield from routes(inside.routes, route.include_context.prefix)
        else:
            yield from ((method, before + route.path_format) for method in route.methods - {"HEAD"})


def test_every_operation_says_what_it_refuses_and_that_it_needs_a_key(federation):
    document = federation.app.openapi()

    assert document["security"] == [{"key": []}]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["responses"], (method, path)
            if path.startswith("/api/"):
                refusals = {"401", "403", "422", "default"}
                assert refusals <= operation["responses"].keys(), (method, path)
                for status in refusals:
                    assert list(operation["responses"][status]["content"]) == ["application/problem+json"]
