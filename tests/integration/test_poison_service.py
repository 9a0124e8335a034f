"""A message that ends the service that handles it: recognised after a restart, isolated, and no one else's harm."""

import json

import pytest

from mpi.feeds.mllp import MllpClient
from tests.integration.nursery import Nursery
from tests.integration.planted import POISON
from tests.integration.running import Index, a28, field


@pytest.fixture
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


def answer(client, message):
    return field(client.send(message), "MSA", 1)


def test_what_ends_the_service_is_isolated_after_some_times_and_the_others_go_on(url, tmp_path, nursery):
    index = Index.at(tmp_path, url)
    with index.config.open("a", encoding="utf-8") as stream:
        stream.write(f'[inbox]\nmax_attempts = 3\nin_flight = "{tmp_path}/in-flight"\n')
    poison = a28("A", POISON, "P1")
    for life in range(3):
        service = nursery.start(index.config, planted="dies_of_poison")
        with MllpClient("127.0.0.1", service.mllp_port) as client:
            assert answer(client, a28("B", f"{life}", f"B{life}")) == "AA"
            with pytest.raises(ConnectionError):
                client.send(poison)
        service.wait()

    service = nursery.start(index.config, planted="dies_of_poison")
    with MllpClient("127.0.0.1", service.mllp_port) as client:
        isolated = client.send(poison)
        again = client.send(poison)
        follower = client.send(a28("A", POISON, "P2", name="CHANTEREAU^LOUISE^^^^^L"))
        others = [answer(client, a28("A", "9", "A9")), answer(client, a28("B", POISON + "B", "B9"))]
    service.kill()

    assert (field(isolated, "MSA", 1), field(isolated, "ERR", 3)[:3]) == ("AE", "207")
    assert field(isolated, "ERR", 8) == "the service ended 3 times while it was handled"
    assert again == isolated
    assert (field(follower, "MSA", 1), field(follower, "ERR", 3)[:3]) == ("AE", "206")
    assert others == ["AA", "AA"]

    mended = nursery.start(index.config)
    index.mllp_port = mended.mllp_port
    shown = index.mpi("inbox", "list", "--state", "quarantined", "--lang", "en", "--json").stdout
    assert "a defect of this index" in shown
    number = json.loads(shown)[0]["id"]
    replayed = index.mpi("inbox", "replay", str(number), "--by", "anne", "--reason", "mended", "--json")
    with index.client() as client:
        sent_again = [
            answer(client, poison),
            answer(client, a28("A", POISON, "P2", name="CHANTEREAU^LOUISE^^^^^L")),
        ]
    audited = index.mpi("inbox", "audit")
    mended.kill()

    settled = json.loads(replayed.stdout)
    assert [one["state"] for one in (settled["message"], *settled["released"])] == ["applied", "applied"]
    assert sent_again == ["AA", "AA"]
    assert "each accounted for" in audited.stdout
