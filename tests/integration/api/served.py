"""The application over a small federation, with one key for each kind of caller."""

from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from mpi.api.app import create_app
from mpi.index.decisions import TwoPersonRule
from mpi.index.parties import Directory
from mpi.index.ports import Store
from mpi.security.keys import Role, create_key
from mpi.settings import Settings
from tests.federation import World, authority, directory

LOUISE = {
    "birth_name": "CHANTEREAU",
    "given_names": "LOUISE",
    "birth_date": "1984-02-29",
    "sex": "F",
    "birth_place": "87085",
}
"""What `federation.person()` states, as named traits."""


@dataclass
class Served:
    """An application, its world, and a client that signs requests with the key of a caller."""

    store: Store
    rule: TwoPersonRule = field(default_factory=TwoPersonRule)
    parties: Directory = field(default_factory=directory)
    world: World = field(init=False)
    app: FastAPI = field(init=False)
    client: TestClient = field(init=False)
    secrets: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.world = World(self.store, self.parties, rule=self.rule)
        self.app = create_app(Settings(), store=self.store, registry=self.world.registry)
        self.client = TestClient(self.app)
        for role in Role:
            self.add_key(role, role, *(["A"] if role is Role.SITE else []))
        self.add_key("site-b", Role.SITE, "B")
        self.add_key("portal-a", Role.PORTAL, "A")
        self.add_key("reviewer-a", Role.REVIEWER, "A")
        self.add_key("lead-a", Role.LEAD, "A")
        self.add_key("auditor-a", Role.AUDITOR, "A")
        self.add_key("luc", Role.REVIEWER)
        self.add_key("zoe", Role.LEAD)

    def add_key(self, name: str, role: Role, *sites: str) -> str:
        self.secrets[name] = create_key(
            self.store,
            name=name,
            role=role,
            domains=[authority(site).universal_id for site in sites],
            clock=self.world.clock,
        )
        return self.secrets[name]

    def signed(self, name: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.secrets[name]}"}

    def get(self, path: str, *, by: str = "portal", **more: Any) -> Any:
        return self.client.get(path, headers={**self.signed(by), **more.pop("headers", {})}, **more)

    def post(self, path: str, json: Any = None, *, by: str = "portal", **more: Any) -> Any:
        headers = {**self.signed(by), **more.pop("headers", {})}
        return self.client.post(path, json=json, headers=headers, **more)

    def resolve(self, *identities: dict[str, Any], by: str = "portal") -> list[dict[str, Any]]:
        answer = self.post("/api/v1/resolve", {"identities": list(identities)}, by=by)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["identities"]
        return found

    def audited(self) -> list[tuple[str, str]]:
        with self.store.read() as uow:
            return [(item.event.actor, item.event.kind) for item in uow.audit.chain()]
