"""A FHIR client of somebody else's, over HTTP, with the Authorization header and nothing special."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from fhirpy import AsyncFHIRClient, SyncFHIRClient
from fhirpy.base.exceptions import AuthorizationError, OperationOutcome, ResourceNotFound

from tests.federation import person
from tests.integration.api.served import Served

A, B = "urn:oid:2.999.1.1", "urn:oid:2.999.1.2"


@contextlib.contextmanager
def listening(app) -> Iterator[str]:
    """Serve on a free port of the loopback, in a thread."""
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            while not server.started:
                thread.join(0.01)
                assert thread.is_alive()
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


@pytest.fixture
def served(memory_store):
    served = Served(memory_store)
    served.world.state("A", "A1001", person())
    served.world.state("B", "B77", person())
    return served


def targets(parameters):
    found = [p["valueIdentifier"] for p in parameters["parameter"] if p["name"] == "targetIdentifier"]
    return {(item["system"], item["value"]) for item in found}


def test_a_synchronous_client_cross_references(served):
    with listening(served.app) as base:
        client = SyncFHIRClient(f"{base}/fhir", authorization=f"Bearer {served.secrets['portal']}")
        asked = {"sourceIdentifier": f"{A}|A1001", "targetSystem": B, "_format": "json"}
        by_address = client.execute("Patient/$ihe-pix", method="get", params=asked)
        body = {
            "resourceType": "Parameters",
            "parameter": [{"name": "sourceIdentifier", "valueIdentifier": {"system": B, "value": "B77"}}],
        }
        by_body = client.execute("Patient/$ihe-pix", method="post", data=body)
        metadata = client.execute("metadata", method="get")
        with pytest.raises(ResourceNotFound):
            client.execute("Patient/$ihe-pix", method="get", params={"sourceIdentifier": f"{A}|NOBODY"})
        with pytest.raises(OperationOutcome):
            client.execute("Patient/$ihe-pix", method="get", params={"sourceIdentifier": "urn:oid:9.9|1"})

    assert targets(by_address) == {(B, "B77")}
    assert targets(by_body) == {(A, "A1001")}
    assert metadata["fhirVersion"] == "4.0.1"


def test_an_asynchronous_client_cross_references(served):
    async def ask(base):
        client = AsyncFHIRClient(f"{base}/fhir", authorization=f"Bearer {served.secrets['portal']}")
        return await client.execute(
            "Patient/$ihe-pix", method="get", params={"sourceIdentifier": f"{A}|A1001"}
        )

    with listening(served.app) as base:
        assert targets(asyncio.run(ask(base))) == {(B, "B77")}


def test_a_client_without_a_key_gets_an_operation_outcome(served):
    with listening(served.app) as base:
        client = SyncFHIRClient(f"{base}/fhir")
        with pytest.raises(AuthorizationError) as caught:
            client.execute("Patient/$ihe-pix", method="get", params={"sourceIdentifier": f"{A}|A1001"})

    assert json.loads(str(caught.value))["issue"][0]["code"] == "login"
