"""
ITI-19: who may connect to the MLLP listener, and as whom it may then send.

Threat 1: anyone on the network speaks MLLP. A peer without a trusted certificate is read no byte of,
and a trusted one speaks only as the application and facility that are its own.
"""

import contextlib
import shutil
import socket
import ssl
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import structlog
from structlog.testing import capture_logs

from mpi.errors import SettingsError
from mpi.feeds.mllp import MllpClient, wrap
from mpi.feeds.tls import client_context, expires_at
from mpi.identity.model import RecordKey
from mpi.index.events import MessageState
from mpi.service import Service, in_background
from mpi.settings import load
from tests.integration.certificates import Authority
from tests.integration.running import a28, configuration, field, q23

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")

TLS = """
[mllp.tls]
certificate = "{server}"
key = "{server}"
ca = "{ca}"
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Certificates of two sites and a portal, and every kind that is not to be trusted."""
    folder = tmp_path_factory.mktemp("lab")
    ours, other = Authority(folder, "ours"), Authority(folder, "other")
    return SimpleNamespace(
        ours=ours,
        server=ours.issue("mpi"),
        rsa_server=ours.issue("mpi-rsa", key=("rsa:2048",)),
        site_a=ours.issue("site-a"),
        site_b=ours.issue("site-b"),
        portal=ours.issue("portal"),
        of_nobody=ours.issue("nobody"),
        expired=ours.issue("site-a-then", start="20200101000000Z", end="20210101000000Z"),
        not_yet=ours.issue("site-a-later", start="20980101000000Z", end="20991231235959Z"),
        wrong_ca=other.issue("site-a"),
    )


@pytest.fixture(autouse=True)
def fresh_logger(monkeypatch):
    """One no earlier test has bound to another configuration: `capture_logs` would not see it."""
    monkeypatch.setattr("mpi.feeds.mllp._log", structlog.get_logger())


def configured(lab, tmp_path, **certificates):
    """Settings of eight sites over TLS; `certificates` binds sources and consumers by name."""
    text = configuration(f"sqlite:///{tmp_path}/mpi.db")
    text += TLS.format(server=lab.server, ca=lab.ours.trust)
    for name, certificate in certificates.items():
        named = f'name = "{name.replace("_", "-")}"'
        text = text.replace(named, f'{named}\ncertificate = "{certificate}"')
    path = tmp_path / "mpi.toml"
    path.write_text(text, encoding="utf-8")
    return load(path)


@contextlib.contextmanager
def serving(lab, tmp_path, **certificates):
    with in_background(configured(lab, tmp_path, **certificates)) as service:
        yield service


def client(service, lab, certificate=None):
    return MllpClient("127.0.0.1", service.mllp_port, tls=client_context(lab.ours.trust, certificate))


def journal(service):
    with service.store.read() as uow:
        found = []
        number = 1
        while (message := uow.inbox.get(number)) is not None:
            found.append((message.state, message.envelope.source))
            number += 1
        return found


def test_a_trusted_certificate_sends_and_asks(lab, tmp_path):
    with serving(lab, tmp_path) as service, client(service, lab, lab.site_a) as peer:
        assert field(peer.send(a28("A", "A1", "1")), "MSA", 1) == "AA"
        assert field(peer.send(q23("A", "A1")), "QAK", 2) == "NF"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("expired", "certificate has expired"),
        ("not_yet", "certificate is not yet valid"),
        ("wrong_ca", "unable to get"),
        (None, "did not return a certificate"),
    ],
)
def test_without_a_trusted_certificate_nothing_is_read(lab, tmp_path, kind, reason):
    certificate = getattr(lab, kind) if kind else None
    with capture_logs() as logs, serving(lab, tmp_path) as service:
        with client(service, lab, certificate) as peer, pytest.raises((ssl.SSLError, ConnectionError)):
            peer.send(a28("A", "A1", "1"))
        assert journal(service) == []

    assert reason in next(log["reason"] for log in logs if log["event"] == "mllp.closed")


def test_plain_mllp_is_not_read_by_a_listener_with_tls(lab, tmp_path):
    with serving(lab, tmp_path) as service:
        with socket.create_connection(("127.0.0.1", service.mllp_port), 10) as peer:
            peer.sendall(wrap(a28("A", "A1", "1")))
            assert wrap(b"MSH") not in peer.recv(100)
        assert journal(service) == []


def test_a_client_does_not_talk_to_a_listener_it_does_not_trust(lab, tmp_path):
    with serving(lab, tmp_path) as service:
        distrustful = client_context(lab.wrong_ca.parent / "ca.pem", lab.site_a)
        with (
            MllpClient("127.0.0.1", service.mllp_port, tls=distrustful) as peer,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            peer.send(a28("A", "A1", "1"))
        assert journal(service) == []


@pytest.mark.parametrize("by", ["name", "fingerprint"])
def test_a_source_sends_with_its_own_certificate(lab, tmp_path, by):
    named = "site-a" if by == "name" else lab.ours.fingerprint(lab.site_a)
    with serving(lab, tmp_path, ris_a=named) as service, client(service, lab, lab.site_a) as peer:
        assert field(peer.send(a28("A", "A1", "1")), "MSA", 1) == "AA"
        assert journal(service) == [(MessageState.APPLIED, "ris-a")]


@pytest.mark.parametrize(
    ("certificate", "sender"),
    [("site_b", "ris-b"), ("of_nobody", "unproved")],
    ids=["another source's", "nobody's"],
)
def test_another_certificate_does_not_send_as_a_source(lab, tmp_path, certificate, sender):
    with serving(lab, tmp_path, ris_a="site-a", ris_b="site-b") as service:
        with client(service, lab, getattr(lab, certificate)) as peer:
            answer = peer.send(a28("A", "A1", "1"))
            assert (field(answer, "MSA", 1), field(answer, "ERR", 2)) == ("AE", "MSH^1^3")
            assert "certificate" in field(answer, "ERR", 8)
        with client(service, lab, lab.site_a) as peer:  # the control id is still the real source's to use
            assert field(peer.send(a28("A", "A2", "1")), "MSA", 1) == "AA"

        assert journal(service) == [(MessageState.QUARANTINED, sender), (MessageState.APPLIED, "ris-a")]
        with service.store.read() as uow:
            assert uow.records.by_key(RecordKey("2.999.1.1", "A1")) is None


def test_the_certificate_of_a_source_does_not_send_as_one_that_names_none(lab, tmp_path):
    with serving(lab, tmp_path, ris_b="site-b") as service, client(service, lab, lab.site_b) as peer:
        assert field(peer.send(a28("A", "A1", "1")), "MSA", 1) == "AE"
        assert field(peer.send(a28("B", "B1", "2")), "MSA", 1) == "AA"


def test_a_query_takes_the_certificate_of_its_consumer(lab, tmp_path):
    with serving(lab, tmp_path, portal="portal", ris_a="site-a") as service:
        with client(service, lab, lab.site_a) as source:
            assert field(source.send(a28("A", "A1", "1")), "MSA", 1) == "AA"
            assert field(source.send(q23("A", "A1")), "QAK", 2) == "AE"
        with client(service, lab, lab.portal) as consumer:
            assert field(consumer.send(q23("A", "A1")), "QAK", 2) == "NF"


def test_a_message_of_an_impostor_is_not_applied_when_it_is_replayed(lab, tmp_path):
    with serving(lab, tmp_path, ris_a="site-a", ris_b="site-b") as service:
        for certificate in (lab.site_b, lab.of_nobody):
            with client(service, lab, certificate) as peer:
                peer.send(a28("A", "A1", "1"))
        for number in (1, 2):
            with service.store.read() as uow:
                kept = uow.inbox.get(number)
            with pytest.raises(Exception, match="certificate"):
                service.hl7.read_again(kept.envelope)


def test_a_handshake_that_does_not_end_is_closed_and_harms_nobody(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("MPI_MLLP__HANDSHAKE_TIMEOUT_SECONDS", "0.3")
    with serving(lab, tmp_path) as service:
        half_open = [socket.create_connection(("127.0.0.1", service.mllp_port), 10) for _ in range(20)]
        with client(service, lab, lab.site_a) as peer:
            assert field(peer.send(a28("A", "A1", "1")), "MSA", 1) == "AA"
        for one in half_open:
            assert one.recv(1) == b""
            one.close()


def test_old_tls_is_refused(lab, tmp_path):
    with serving(lab, tmp_path) as service:
        old = client_context(lab.ours.trust, lab.site_a)
        with pytest.warns(DeprecationWarning, match="TLSVersion"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with MllpClient("127.0.0.1", service.mllp_port, tls=old) as peer, pytest.raises(ssl.SSLError):
            peer.send(a28("A", "A1", "1"))


@pytest.mark.parametrize("key_exchange", ["ECDHE", "DHE"])
@pytest.mark.parametrize("cipher", ["AES128-GCM-SHA256", "AES256-GCM-SHA384"])
def test_the_four_suites_of_tls_1_2_are_spoken(lab, tmp_path, monkeypatch, key_exchange, cipher):
    for name in ("CERTIFICATE", "KEY"):
        monkeypatch.setenv(f"MPI_MLLP__TLS__{name}", str(lab.rsa_server))
    with serving(lab, tmp_path) as service:
        context = client_context(lab.ours.trust, lab.site_a)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{key_exchange}-RSA-{cipher}")
        with MllpClient("127.0.0.1", service.mllp_port, tls=context) as peer:
            assert field(peer.send(a28("A", "A1", "1")), "MSA", 1) == "AA"


def test_a_host_name_is_compared_when_asked(lab, tmp_path):
    with serving(lab, tmp_path) as service:
        context = client_context(lab.ours.trust, lab.site_a, check_hostname=True)
        with MllpClient("127.0.0.1", service.mllp_port, tls=context) as peer:
            assert field(peer.send(a28("A", "A1", "1")), "MSA", 1) == "AA"


def test_an_expiry_can_be_read(lab):
    assert expires_at(lab.expired) == datetime(2021, 1, 1, tzinfo=UTC)
    assert expires_at(lab.server) == datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert expires_at(lab.ours.trust) > datetime.now(UTC) + timedelta(days=3000)


@pytest.mark.parametrize(
    "content", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_what_is_no_certificate_has_no_expiry(tmp_path, content):
    path = tmp_path / "x.pem"
    path.write_text(content, encoding="ascii")

    with pytest.raises(SettingsError, match="not a certificate"):
        expires_at(path)


@pytest.mark.parametrize(
    ("key", "content", "named"),
    [
        ("certificate", None, r"mllp\.tls\.certificate: no such file"),
        ("key", None, r"mllp\.tls\.key: no such file"),
        ("ca", None, r"mllp\.tls\.ca: no such file"),
        ("certificate", "nonsense", r"mllp\.tls\.certificate"),
        ("ca", "nonsense", r"mllp\.tls\.ca: not certificates"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start(lab, tmp_path, monkeypatch, key, content, named):
    path = tmp_path / "file.pem"
    if content:
        path.write_text(content, encoding="ascii")
    monkeypatch.setenv(f"MPI_MLLP__TLS__{key.upper()}", str(path))

    with pytest.raises(SettingsError, match=named):
        Service(configured(lab, tmp_path))


def test_the_key_of_another_certificate_stops_the_start(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("MPI_MLLP__TLS__KEY", str(lab.site_a))

    with pytest.raises(SettingsError, match="key values mismatch"):
        Service(configured(lab, tmp_path))


def test_a_certificate_in_the_trust_store_is_trusted_without_its_authority(lab, tmp_path, monkeypatch):
    monkeypatch.setenv("MPI_MLLP__TLS__CA", str(lab.site_a))
    with serving(lab, tmp_path) as service:
        with client(service, lab, lab.site_a) as peer:
            assert field(peer.send(a28("A", "A1", "1")), "MSA", 1) == "AA"
        with client(service, lab, lab.site_b) as peer, pytest.raises((ssl.SSLError, ConnectionError)):
            peer.send(a28("A", "A2", "2"))


def test_who_shows_no_certificate_where_none_is_required_speaks_for_no_source_that_has_one(
    lab, tmp_path, monkeypatch
):
    monkeypatch.setenv("MPI_MLLP__TLS__REQUIRE_CLIENT_CERTIFICATE", "false")
    with serving(lab, tmp_path, ris_a="site-a") as service, client(service, lab) as peer:
        assert field(peer.send(a28("A", "A1", "1")), "MSA", 1) == "AE"
        assert field(peer.send(a28("B", "B1", "2")), "MSA", 1) == "AA"


def test_a_certificate_nobody_names_is_read_no_byte_of_when_everybody_names_one(lab, tmp_path):
    bound = {f"ris_{site}": f"site-{site}" for site in "abcdefgh"}
    with serving(lab, tmp_path, portal="portal", **bound) as service:
        with client(service, lab, lab.of_nobody) as peer, pytest.raises((ssl.SSLError, ConnectionError)):
            peer.send(a28("A", "A1", "1"))
        assert journal(service) == []
