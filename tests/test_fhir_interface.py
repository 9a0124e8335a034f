"""What docs/fhir-interface.md says is what the code does."""

import json
import re
from pathlib import Path

import pytest

from mpi.api.fhir import search
from mpi.api.fhir.audit import AUDIT_PARAMETERS
from mpi.api.fhir.criteria import DEFAULT_COUNT, MAX_CHOICES, MAX_COUNT, MAX_REPEATED, PARAMETERS
from mpi.api.fhir.pages import LASTS_SECONDS
from mpi.api.fhir.process_message import MOST_ENTRIES
from mpi.api.problems import ANSWERS, TOO_LARGE, UNAUTHENTICATED
from mpi.feeds.fhir.fr_core import FrCore
from mpi.index.grades import Grade
from tests.conformance.fhir.federation import served_people

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "fhir-interface.md").read_text(encoding="utf-8")
REST_ONLY = {(412, "conflict"), (422, "duplicate")}  # If-Match, Idempotency-Key
ROUTES = ROOT / "mpi" / "api" / "fhir"


@pytest.fixture
def served(memory_store):
    return served_people(memory_store)


def section(name):
    return TEXT.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]


def rows(name):
    cells = [
        re.split(r"(?<!\\)\|", line)[1:-1] for line in section(name).splitlines() if line.startswith("|")
    ]
    return [[cell.strip() for cell in row] for row in cells[2:]]


def test_every_address_is_documented_and_none_other(served):
    told = set(re.findall(r"`(GET|POST|PUT|DELETE) (/fhir[^ `?]*)`", TEXT))
    there = {
        (method.upper(), path)
        for path, methods in served.app.openapi()["paths"].items()
        if path.startswith("/fhir")
        for method in methods
    }

    assert told == there


@pytest.mark.parametrize(
    ("name", "parameters"), [("search parameters", PARAMETERS), ("audit parameters", AUDIT_PARAMETERS)]
)
def test_every_search_parameter_is_documented_with_its_type(name, parameters):
    assert [(row[0].strip("`"), row[1]) for row in rows(name)] == [
        (parameter, kind) for parameter, (kind, _) in parameters.items()
    ]


def test_every_refusal_is_in_the_table_of_errors():
    told = {
        (int(status), code)
        for status, codes, _ in rows("errors")
        for code in re.findall(r"`([\w-]+)`", codes)
    }
    source = "".join(path.read_text(encoding="utf-8") for path in sorted(ROUTES.glob("*.py")))
    raised = {
        (int(status), code) for status, code in re.findall(r"Refused\(\s*(\d{3}),\s*\"([\w-]+)\"", source)
    }
    raised |= {
        (int(status), code) for status, code in re.findall(r"outcome\((\d{3}), \[\(\"([\w-]+)\"", source)
    }
    common = {(answer.status, answer.issue) for answer in (*ANSWERS.values(), UNAUTHENTICATED, TOO_LARGE)}

    assert len(raised) > 15
    assert raised <= told
    assert common - REST_ONLY <= told


def test_numbers_are_those_of_the_code():
    said = " ".join(TEXT.split())

    assert f"`_count` ({DEFAULT_COUNT} by default, {MAX_COUNT} at most" in said
    assert f"`count` ({DEFAULT_COUNT} by default, {MAX_COUNT} at most)" in said
    assert (MAX_CHOICES, MAX_REPEATED) == (20, 5)
    assert "twenty values, five times" in said
    assert search.MOST_FOUND == 100
    assert "More than a hundred people" in said
    assert LASTS_SECONDS == 600
    assert "expires after ten minutes" in said
    assert f"at most {MOST_ENTRIES:,} entries" in said


def test_grades_and_encodings_are_those_of_the_code():
    assert re.findall(r"^\| `(certain|probable|possible)` \|", TEXT, re.M) == [grade.value for grade in Grade]
    assert all(f"`fr-core={encoding}`" in TEXT for encoding in FrCore)


def test_the_examples_are_answered_as_they_say(served):
    examples = re.findall(r"```http\n(GET|POST) (\S+)\n```(?:\n```json\n(.*?)\n```)?", TEXT, re.S)

    assert len(examples) == 3
    for method, address, answer in examples:
        told = served.client.request(method, address, headers=served.signed("portal"))
        if answer:
            assert told.json() == json.loads(answer)
        else:
            assert told.status_code == 200
            assert told.json()["total"] == 1
