"""The feed monitor over HTTP: who may look, how far, and that no patient is in it."""

from dataclasses import replace

from mpi.index.events import IdentityStated
from tests.federation import person, statement
from tests.integration.api.served import Served


def test_the_monitor_tells_what_became_of_messages_and_not_what_they_said(served: Served) -> None:
    served.world.state("A", "A1", person("ZQXFAM"))
    served.world.merge("A", "A1", "A1")  # into itself: quarantined
    tolerated = replace(statement("B", "B1", person("ZQXFAM")), warnings=("PID^1^3: left out",))
    served.world.send(IdentityStated((tolerated,)), source="ris-b")

    answer = served.get("/api/v1/feeds", by="operator")

    feeds = {feed["source"]: feed for feed in answer.json()["feeds"]}
    assert feeds.keys() == {source.name for source in served.world.registry.directory.sources}
    assert feeds["ris-a"]["counts"]["quarantined"] == 1
    assert feeds["ris-a"]["alarms"] == ["quarantine"]
    assert "itself" in feeds["ris-a"]["quarantined"][0]["problem"]
    assert feeds["ris-b"]["warnings"] == [{"warning": "PID^1^3: left out", "count": 1}]
    assert feeds["ris-c"]["last_received_at"] is None
    assert "ZQX" not in answer.text
    assert ("key:operator", "feeds.read") in served.audited()


def test_a_limited_lead_sees_the_feeds_of_its_sources(served: Served) -> None:
    served.world.state("A", "A1", person())
    served.world.state("B", "B7", person())

    seen = {feed["source"] for feed in served.get("/api/v1/feeds", by="lead-a").json()["feeds"]}

    assert seen == {"ris-a", "pacs-a"}
    assert "ris-b" not in served.get("/metrics", by="lead-a").text


def test_metrics_are_in_the_format_of_prometheus(served: Served) -> None:
    served.world.state("A", "A1", person("ZQXFAM"))

    answer = served.get("/metrics", by="operator")

    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert 'mpi_messages_total{source="ris-a",state="applied"} 1' in answer.text
    assert "ZQX" not in answer.text
