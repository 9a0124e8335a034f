"""
A wrong identity, from the report to the site's own message: over REST, and over MLLP both ways.

The site is a listener of its own: it takes what it is asked, and answers when the test says so.
"""

import socket
import threading
import time
from collections.abc import Iterator

import httpx2
import pytest

from mpi.feeds.mllp import MllpClient
from mpi.security.keys import Role, create_key
from mpi.service import in_background
from mpi.settings import Settings
from tests.integration.running import a28, field

SOME_SECONDS = 30.0


class Site:
    """A listener of a site: keeps what it is asked, and answers with one code."""

    def __init__(self) -> None:
        self.code = "AA"
        self.asked: list[str] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        waiting = b""
        with connection:
            while data := connection.recv(65536):
                waiting += data
                while b"\x1c\r" in waiting:
                    frame, _, waiting = waiting.partition(b"\x1c\r")
                    connection.sendall(self._reply(frame.lstrip(b"\x0b")))

    def _reply(self, message: bytes) -> bytes:
        self.asked.append(message.decode())
        control_id = field(message, "MSH", 10)
        header = "MSH|^~\\&|RIS_A|SITE_A|MPI|FED|20260302114001||ACK|S1|P|2.5"
        return f"\x0b{header}\rMSA|{self.code}|{control_id}\r\x1c\r".encode()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def site() -> Iterator[Site]:
    listening = Site()
    yield listening
    listening.close()


def settings(url: str, site: Site) -> Settings:
    return Settings.model_validate(
        {
            "accept_test_ins": True,
            "database": {"url": url},
            "http": {"port": 0},
            "mllp": {"port": 0},
            "notify": {"poll_seconds": 0.05, "first_retry_seconds": 0.05},
            "domains": [
                {"namespace": "SITE-A", "oid": "2.999.1.1"},
                {"namespace": "SITE-B", "oid": "2.999.1.2"},
            ],
            "sources": [
                {
                    "name": "ris-a",
                    "application": "RIS_A",
                    "facility": "SITE_A",
                    "feeds": ["SITE-A"],
                    "corrections": f"127.0.0.1:{site.port}",
                    "corrections_as": ["A40", "A31", "A47", "T02"],
                },
                {"name": "ris-b", "application": "RIS_B", "facility": "SITE_B", "feeds": ["SITE-B"]},
            ],
        }
    )


class Running:
    """A service, and those who talk to it."""

    def __init__(self, service, site) -> None:
        self.site = site
        self._service = service
        self._keys = {
            role: create_key(
                service.store, name=role.value, role=role, domains=(), clock=lambda: service.registry._clock()
            )
            for role in (Role.PORTAL, Role.REVIEWER)
        }
        self._http = httpx2.Client(base_url=f"http://127.0.0.1:{service.http_port}", timeout=30.0)
        self._ris = MllpClient("127.0.0.1", service.mllp_port)

    def ask(self, method, path, body=None, *, by=Role.PORTAL):
        answer = self._http.request(
            method, path, json=body, headers={"Authorization": f"Bearer {self._keys[by]}"}
        )
        assert answer.status_code < 300, answer.text
        return answer.json()

    def send(self, message: bytes) -> str:
        return field(self._ris.send(message), "MSA", 1)

    def report(self, **body):
        return self.ask("POST", "/api/v1/reports", body)

    def decide(self, made, decision="accept", **body):
        version = self.ask("GET", f"/api/v1/reports/{made['id']}")["version"]
        body = {"decision": decision, "version": version, **body}
        return self.ask("POST", f"/api/v1/reports/{made['id']}/decision", body, by=Role.REVIEWER)

    def state(self, made):
        shown = self.ask("GET", f"/api/v1/reports/{made['id']}")
        return shown["state"], [one["state"] for one in shown["corrections"]]

    def until(self, condition):
        deadline = time.monotonic() + SOME_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "it never came"
            time.sleep(0.05)

    def close(self) -> None:
        self._http.close()
        self._ris.close()


@pytest.fixture
def running(url, site) -> Iterator[Running]:
    with in_background(settings(url, site)) as service:
        talking = Running(service, site)
        yield talking
        talking.close()


def change(event: str, segments: str, control_id: str, at: str = "20270302114000") -> bytes:
    structure = {"A40": "ADT_A39", "A47": "ADT_A30"}[event]
    return (
        f"MSH|^~\\&|RIS_A|SITE_A|MPI|FED|{at}||ADT^{event}^{structure}|{control_id}|P|2.5^FRA^2.11|||||FRA"
        f"|UNICODE UTF-8|FR||2.11^IHE_FRANCE-2.11-PAM\rEVN||{at}\r{segments}\r"
    ).encode()


A = "^^^SITE-A&2.999.1.1&ISO^PI"


def test_a_duplicate_is_reported_asked_acknowledged_and_done_by_the_sites_own_a40(running):
    assert running.send(a28("A", "A1", "1")) == "AA"
    assert running.send(a28("A", "A2", "2", at="20260302111500")) == "AA"
    about = [{"domain": "SITE-A", "id": "A1"}, {"domain": "SITE-A", "id": "A2"}]

    made = running.report(kind="duplicate", about=about, comment="deux dossiers")

    assert running.ask("GET", "/api/v1/identifiers?domain=SITE-A&id=A1")["doubtful"], (
        "in the very next answer"
    )
    running.decide(made)
    running.until(lambda: running.state(made) == ("correcting", ["acknowledged"]))
    [message] = running.site.asked
    header, evn, pid, mrg, _ = message.split("\r")
    assert header.split("|")[2:6] == ["MPI", "FED", "RIS_A", "SITE_A"]
    assert header.split("|")[8] == "ADT^A40^ADT_A39"
    assert evn.startswith("EVN||20")
    assert pid.startswith(
        f"PID|1||A1{A}||CHANTEREAU^LOUISE^LOUISE ANNE-MARIE^^^^L||19840229|F|||^^^^^^BDL^^87085"
    )
    assert mrg == f"MRG|A2{A}"

    assert running.send(change("A40", f"PID|1||A1{A}||CHANTEREAU^LOUISE^^^^^L\rMRG|A2{A}", "3")) == "AA"

    assert running.state(made) == ("corrected", ["done"])
    assert running.decide(made, "close")["state"] == "closed"
    assert "doubtful" not in running.ask("GET", "/api/v1/identifiers?domain=SITE-A&id=A1")


def test_a_wrong_date_is_asked_and_done_by_the_sites_own_a31(running):
    running.send(a28("A", "A1", "1", born="19840228"))
    made = running.report(
        kind="wrong_trait", trait="birth_date", about=[{"domain": "SITE-A", "id": "A1"}], comment="née un 29"
    )
    running.decide(made, expected={"birth_date": "1984-02-29"})
    running.until(lambda: running.state(made) == ("correcting", ["acknowledged"]))
    [message] = running.site.asked
    assert message.split("\r")[2].split("|")[7] == "19840229"

    later = a28("A", "A1", "2", event="A31", at="20270302114000")
    assert running.send(later) == "AA"

    assert running.state(made) == ("corrected", ["done"])


def test_a_site_that_refuses_is_seen_to_refuse_and_asked_again(running):
    running.site.code = "AE"
    running.send(a28("A", "A1", "1", born="19840228"))
    made = running.report(kind="wrong_trait", trait="birth_date", about=[{"domain": "SITE-A", "id": "A1"}])
    running.decide(made)
    running.until(lambda: running.state(made) == ("correcting", ["refused"]))

    running.site.code = "AA"
    running.ask("POST", "/api/v1/corrections/1/resend", by=Role.REVIEWER)

    running.until(lambda: running.state(made) == ("correcting", ["acknowledged"]))
    assert len({field(message.encode(), "MSH", 10) for message in running.site.asked}) == 2


def test_a_request_taken_back_after_it_was_sent_is_told_in_words(running):
    running.send(a28("A", "A1", "1"))
    running.send(a28("A", "A2", "2", at="20260302111500"))
    made = running.report(
        kind="duplicate", about=[{"domain": "SITE-A", "id": "A1"}, {"domain": "SITE-A", "id": "A2"}]
    )
    running.decide(made)
    running.until(lambda: running.state(made) == ("correcting", ["acknowledged"]))

    running.decide(made, "reopen")

    running.until(lambda: len(running.site.asked) == 2)
    taken_back = running.site.asked[1]
    assert field(taken_back.encode(), "MSH", 9) == "MDM^T02^MDM_T02"
    assert "CETTE DEMANDE EST RETIRÉE" in taken_back
    assert running.state(made) == ("received", ["withdrawn"])
