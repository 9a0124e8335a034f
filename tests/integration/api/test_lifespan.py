"""An application that opens its own store closes it; one that is given a store does not."""

import pytest
from fastapi.testclient import TestClient

from mpi.api.app import create_app
from mpi.security.keys import Role, create_key
from mpi.settings import Settings
from mpi.store import open_store
from mpi.wiring import now
from tests.federation import person
from tests.integration.api.served import Served


def test_it_opens_the_configured_store_and_closes_it(sqlite_url, monkeypatch):
    with open_store(sqlite_url) as store:
        secret = create_key(store, name="lead", role=Role.LEAD, domains=[], clock=now)
    app = create_app(Settings(database={"url": sqlite_url}))

    with TestClient(app) as client:
        closed = []
        close = app.state.store.close
        monkeypatch.setattr(app.state.store, "close", lambda: closed.append(close()))
        signed = {"Authorization": f"Bearer {secret}"}
        assert client.get("/readyz").json() == {"status": "ready"}
        assert client.get("/api/v1/messages/counts", headers=signed).json() == {"counts": {}, "total": 0}
        assert not closed
    assert len(closed) == 1


def test_it_leaves_a_store_it_was_given_open(sqlite_store):
    served = Served(sqlite_store)
    served.world.state("A", "A1", person())

    with served.client:
        assert served.client.get("/readyz").status_code == 200
        assert served.resolve({"domain": "SITE-A", "id": "A1"})[0]["status"] == "linked"
    assert served.world.euid("A", "A1")


def test_store_and_registry_go_together(memory_store):
    with pytest.raises(ValueError, match="together"):
        create_app(Settings(), store=memory_store)
