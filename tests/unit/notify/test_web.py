"""Webhooks and rest-hooks, to a real server on this machine."""

import hashlib
import hmac
import json
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mpi.identity.domains import Domains
from mpi.index.notices import PIX_UPDATE
from mpi.index.ports import Channel, OutboxRow, Subscription, SubscriptionStatus
from mpi.notify.sender import DELIVERED, Verdict
from mpi.notify.web import FHIR_JSON, FHIR_XML, RestHook, Webhook, may_be_told, signature, web_client
from tests.fakes import MemoryStore
from tests.federation import OWN, START, authority, key

SECRET = "a secret of the two of us"
ROW = OutboxRow(
    7,
    "portal",
    PIX_UPDATE,
    {"members": [list(key("A", "é1")), list(key("B", "B7"))], "euids": ["X"], "person": "P1"},
    START,
    Channel.WEBHOOK,
    "c0ffee",
)


class Server(ThreadingHTTPServer):
    daemon_threads = True


@contextmanager
def serving(*statuses):
    """A server that answers with these statuses, then with 204, and keeps what it was sent."""
    answers, received = list(statuses), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            received.append((self.path, dict(self.headers), body))
            self.send_response(answers.pop(0) if answers else 204)
            self.send_header("Location", "http://169.254.169.254/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


client = partial(web_client, timeout_seconds=5.0)


@contextmanager
def hook(address):
    webhook = Webhook(
        f"{address}/told",
        SECRET,
        own=OWN,
        domains=Domains(authority(site) for site in "ABC"),
        clock=lambda: START,
        client=client,
    )
    try:
        yield webhook
    finally:
        webhook.close()


class TestWebhook:
    def test_an_event_names_identifiers_and_nothing_else_of_a_patient(self):
        with serving() as (address, received), hook(address) as webhook:
            assert webhook.send(ROW) == DELIVERED

        ((path, headers, body),) = received
        assert path == "/told"
        assert headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
        assert json.loads(body) == {
            "specversion": "1.0",
            "id": "c0ffee",
            "source": "urn:oid:2.999.1",
            "type": "mpi.person.identifiers",
            "time": "2026-03-02T08:00:00+00:00",
            "datacontenttype": "application/json",
            "data": {
                "identifiers": [
                    {
                        "domain": "SITE-A",
                        "universal_id": "2.999.1.1",
                        "universal_id_type": "ISO",
                        "id": "é1",
                    },
                    {
                        "domain": "SITE-B",
                        "universal_id": "2.999.1.2",
                        "universal_id_type": "ISO",
                        "id": "B7",
                    },
                ]
            },
        }

    def test_who_has_the_secret_can_verify_it(self):
        with serving() as (address, received), hook(address) as webhook:
            webhook.send(ROW)

        ((_, headers, body),) = received
        seconds, digest = (part.split("=")[1] for part in headers["MPI-Signature"].split(","))
        expected = hmac.new(SECRET.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
        assert (int(seconds), digest) == (int(START.timestamp()), expected)
        assert signature("other", body, at=START) != headers["MPI-Signature"]

    def test_it_is_the_same_event_however_often_it_is_sent(self):
        with serving(503) as (address, received), hook(address) as webhook:
            outcomes = [webhook.send(ROW).verdict, webhook.send(ROW).verdict]

        assert outcomes == [Verdict.LATER, Verdict.DELIVERED]
        assert received[0][2] == received[1][2]

    @pytest.mark.parametrize(
        ("status", "verdict"),
        [
            (200, Verdict.DELIVERED),
            (202, Verdict.DELIVERED),
            (302, Verdict.REFUSED),
            (400, Verdict.REFUSED),
            (404, Verdict.REFUSED),
            (410, Verdict.REFUSED),
            (408, Verdict.LATER),
            (429, Verdict.LATER),
            (500, Verdict.LATER),
            (503, Verdict.LATER),
        ],
    )
    def test_what_an_answer_means(self, status, verdict):
        with serving(status) as (address, received), hook(address) as webhook:
            outcome = webhook.send(ROW)

        assert outcome.verdict is verdict
        assert len(received) == 1  # a redirect is not followed
        if verdict is not Verdict.DELIVERED:
            assert outcome.problem == f"HTTP {status}"

    def test_nobody_is_there(self):
        with serving() as (address, _received):
            pass
        with hook(address) as webhook:
            assert webhook.send(ROW).verdict is Verdict.UNREACHABLE

    def test_it_is_never_answered(self):
        silent = threading.Event()
        with serving() as (address, _):
            slow = Webhook(
                address,
                SECRET,
                own=OWN,
                domains=Domains(authority(site) for site in "ABC"),
                clock=lambda: START,
                client=partial(web_client, timeout_seconds=0.05),
            )
            original = BaseHTTPRequestHandler.send_response
            BaseHTTPRequestHandler.send_response = lambda *a: (silent.wait(2), original(*a))
            try:
                outcome = slow.send(ROW)
            finally:
                BaseHTTPRequestHandler.send_response = original
                silent.set()
                slow.close()

        assert outcome.verdict is Verdict.LATER
        assert outcome.problem == "no answer (ReadTimeout)"


class TestRestHook:
    def store(self, endpoint, **more):
        store = MemoryStore()
        with store.write() as uow:
            uow.keys.add(name="app", secret_hash="h", role="portal", domains=[], at=START)
            uow.subscriptions.add(
                replace(
                    Subscription(
                        0,
                        "app",
                        frozenset({"2.999.1.1"}),
                        "Patient",
                        endpoint,
                        "Authorization: Bearer abc",
                        "",
                        SubscriptionStatus.ACTIVE,
                        START,
                    ),
                    **more,
                )
            )
            uow.commit()
        return store

    def send(self, store, hosts):
        sender = RestHook(store, hosts=frozenset(hosts), clock=lambda: START, client=client)
        try:
            return sender.send(replace(ROW, consumer="subscription/1", channel=Channel.REST_HOOK))
        finally:
            sender.close()

    def sent(self, *statuses, **more):
        with serving(*statuses) as (address, received):
            store = self.store(f"{address}/hook", **more)
            return self.send(store, {address.removeprefix("http://")}), received, store

    def test_it_is_empty_when_no_payload_was_asked_for(self):
        outcome, ((path, headers, body),), _ = self.sent()

        assert (outcome, path, body) == (DELIVERED, "/hook", b"")
        assert headers["Authorization"] == "Bearer abc"

    def test_it_holds_the_id_of_the_patient_and_nothing_else(self):
        _, ((_, headers, body),), _ = self.sent(payload=FHIR_JSON)
        assert headers["Content-Type"] == "application/fhir+json; charset=utf-8"
        assert json.loads(body) == {"resourceType": "Patient", "id": "P1"}

        _, ((_, _, body),), _ = self.sent(payload=FHIR_XML)
        assert body == b'<Patient xmlns="http://hl7.org/fhir"><id value="P1"/></Patient>'

    def test_one_that_ended_is_not_wanted(self):
        outcome, received, _ = self.sent(status=SubscriptionStatus.OFF)

        assert (outcome.verdict, received) == (Verdict.UNWANTED, [])

    def test_one_whose_key_was_revoked_is_not_wanted(self):
        outcome, received, _ = self.sent(owner="other")

        assert (outcome.verdict, received) == (Verdict.UNWANTED, [])

    def test_one_that_is_refused_is_in_error_and_says_why(self):
        outcome, _, store = self.sent(410)

        with store.read() as uow:
            found = uow.subscriptions.get(1)
            assert [item.event.kind for item in uow.audit.chain()] == ["subscription.failed"]
        assert outcome.verdict is Verdict.REFUSED
        assert found is not None
        assert (found.status, found.error) == (SubscriptionStatus.ERROR, "HTTP 410")

    def test_a_host_that_is_not_allowed_any_more_is_not_asked(self):
        with serving() as (address, received):
            outcome = self.send(self.store(address), {"portal.test"})

        assert (outcome.verdict, received) == (Verdict.REFUSED, [])


HOSTS = frozenset({"portal.test", "portal.test:8443", "127.0.0.1:9", "[::1]:9"})


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://portal.test/hook",
        "https://portal.test:8443/",
        "http://127.0.0.1:9/x",
        "https://127.0.0.1:9",
        "http://[::1]:9/",
    ],
)
def test_addresses_a_subscription_may_name(endpoint):
    assert may_be_told(endpoint, HOSTS)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://portal.test/hook",
        "https://portal.test:444/",
        "https://169.254.169.254/latest/meta-data",
        "https://portal.test@evil.test/",
        "https://user@portal.test/",
        "https://evil.test/portal.test",
        "https://portal.test.evil.test/",
        "https://[::ffff:169.254.169.254]/",
        "https://2130706433/",
        "https://0x7f.1/",
        "file:///etc/passwd",
        "gopher://portal.test/",
        "//portal.test/",
        "portal.test",
        "",
        "https://",
        "https://portal.test:99999/",
        "https://portal.test/#x",
        "https://[::1/",
        "https://portal.test\\@evil.test/",
        "http://127.0.0.1:10/",
    ],
)
def test_addresses_a_subscription_may_not_name(endpoint):
    assert not may_be_told(endpoint, HOSTS)
