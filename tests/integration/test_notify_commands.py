"""`mpi notify` on a store with something to tell."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from mpi.cli import app
from mpi.index.ports import Delivery
from mpi.settings import load
from mpi.wiring import open_registry
from tests.federation import World, person
from tests.integration.consumers import Consumer
from tests.integration.notified import telling


@pytest.fixture
def mpi(sqlite_url, tmp_path):
    """Run a command against a store in which one person is linked, and its notification was given up."""
    config = tmp_path / "mpi.toml"
    config.write_text(telling(sqlite_url, pacs=Consumer(port=9)), encoding="utf-8")
    store, registry = open_registry(load(config))
    world = World(store, parties=registry.directory)
    for site in "AB":
        world.state(site, f"{site}1", person("ZQXFAM"))
    with store.write() as uow:
        (row,) = uow.outbox.page()
        uow.outbox.change(replace(row, state=Delivery.DEAD, error="AE 204"))
        uow.commit()
    store.close()

    def run(*arguments, status=0):
        result = CliRunner().invoke(app, ["notify", *arguments, "--config", str(config)])
        assert result.exit_code == status, result.output
        assert "ZQX" not in result.output
        return result.output

    return run


def test_what_was_given_up_is_seen_sent_again_and_paused(mpi):
    (queue,) = json.loads(mpi("status", "--json"))["queues"]
    (row,) = json.loads(mpi("list", "--state", "dead", "--json"))
    assert (queue["addressee"], queue["given up"], queue["waiting"]) == ("pacs", 1, 0)
    assert (row["addressee"], row["error"]) == ("pacs", "AE 204")
    assert "A1" not in mpi("list")

    assert "sent again" in mpi("resend", "1", "--by", "anne")
    assert json.loads(mpi("list", "--json"))[0]["state"] == "pending"
    assert "pacs is paused" in mpi("pause", "pacs", "--by", "anne")
    assert "already" in mpi("pause", "pacs", "--by", "anne")
    assert "paused since" in mpi("status")
    assert "told again" in mpi("resume", "pacs", "--by", "anne")


def test_one_notification_shows_whom_it_is_about_and_leaves_a_trace(mpi):
    shown = json.loads(mpi("show", "1", "--json"))

    assert shown["identifiers"] == [{"domain": "SITE-A", "id": "A1"}, {"domain": "SITE-B", "id": "B1"}]
    assert "SITE-A A1" in mpi("show", "1")


def test_nobody_and_nothing_are_refused(mpi):
    result = CliRunner()
    assert result
    mpi("show", "99", status=1)
    mpi("pause", "nobody", "--by", "anne", status=1)
