"""FHIR clients of other people, over HTTP: what they ask for is what a portal does all day."""

import asyncio

import pytest
from fhirclient.client import FHIRClient
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRNotFoundException
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import ResourceNotFound

from tests.conformance.fhir.federation import A, served_people
from tests.conformance.fhir.test_fhirpy_client import listening, targets
from tests.peers.fhir import run_client
from tests.unit.feeds.fhir.resources import patient

B = "urn:oid:2.999.1.2"


@pytest.fixture
def served(memory_store):
    return served_people(memory_store)


def louises_id(served):
    return served.world.euid("A", "A1001")


def test_fhirpy_searches_counts_pages_reads_and_matches(served):
    """[X07] fhirpy: search, count, paging, read, $match."""
    with listening(served.app) as base:
        client = SyncFHIRClient(f"{base}/fhir", authorization=f"Bearer {served.secrets['portal']}")
        people = client.resources("Patient")
        every = people.search(family="chant").limit(1).fetch_all()
        assert {each["id"] for each in every} == {louises_id(served), served.world.euid("A", "A5")}
        assert people.search(family="chant").count() == 2
        assert people.search(identifier=f"{A}|A1001").first()["id"] == louises_id(served)
        assert people.search(family="nobody").fetch() == []
        one = client.reference("Patient", louises_id(served)).to_resource()
        assert one["birthDate"] == "1984-02-29"
        matched = client.execute("Patient/$match", method="post", data=patient())
        with pytest.raises(ResourceNotFound):
            client.reference("Patient", "NOBODY").to_resource()

    assert matched["entry"][0]["resource"]["id"] == louises_id(served)


def test_fhirpy_asynchronously(served):
    """fhirpy, asynchronous: pages one after the other."""

    async def ask(base):
        client = AsyncFHIRClient(f"{base}/fhir", authorization=f"Bearer {served.secrets['portal']}")
        return [each["id"] async for each in client.resources("Patient").search(family="chant").limit(1)]

    with listening(served.app) as base:
        assert len(asyncio.run(ask(base))) == 2


def test_fhirclient_searches_pages_and_reads(served):
    """fhirclient (SMART): search, paging, read."""
    with listening(served.app) as base:
        client = FHIRClient(settings={"app_id": "portal", "api_base": f"{base}/fhir"})
        client.server.session.headers["Authorization"] = f"Bearer {served.secrets['portal']}"
        found = list(Patient.where({"family": "chant", "_count": "1"}).perform_resources_iter(client.server))
        one = Patient.read(louises_id(served), client.server)
        with pytest.raises(FHIRNotFoundException):
            Patient.read("NOBODY", client.server)

    assert {each.id for each in found} == {louises_id(served), served.world.euid("A", "A5")}
    assert one.name[0].family == "CHANTEREAU"


@pytest.mark.node
@pytest.mark.parametrize("which", ["fhir-kit", "medplum"])
def test_javascript_clients_do_what_a_portal_does(served, which):
    """[X01] [X07] fhir-kit-client and MedplumClient: metadata, $ihe-pix, search with pages, read, $match."""
    with listening(served.app) as base:
        told = run_client("fhir-clients.mjs", which, base, served.secrets["portal"])

    louise = louises_id(served)
    assert told["statement"]["fhirVersion"] == "4.0.1"
    assert targets(told["pix"]) == {(B, "B77")}
    assert [len(page["entry"]) for page in told["pages"]] == [1, 1]
    assert {page["entry"][0]["resource"]["id"] for page in told["pages"]} >= {louise}
    assert told["posted"]["total"] == 2
    assert told["read"]["id"] == told["pages"][0]["entry"][0]["resource"]["id"]
    assert told["match"]["entry"][0]["resource"]["id"] == louise
    assert told["unknown"] == [404, "not-found"]
