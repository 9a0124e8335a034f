"""
TLS of HL7 v2 and DICOM connections: contexts for both ends, what a peer's certificate says, and when one expires.

A certificate is trusted through its authority, or because it is in the trust store itself. Names in
it are not compared with host names unless asked: a node may not demand them.

Source: IHE ITI-19 (STX: TLS 1.2 floor using BCP195); RFC 9325; RFC 5280 section 4.1 (Certificate).
"""

import hashlib
import re
import ssl
from datetime import UTC, datetime
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

from mpi.errors import SettingsError
from mpi.index.parties import ClientCertificate

_CIPHERS: Final = "ECDHE+AESGCM:DHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2; those of 1.3 are all good."""
_FFDHE2048: Final = """-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""
"""The group of RFC 7919, for the two DHE suites a listener has to speak."""
_PEM: Final = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17


def server_context(
    certificate: Path,
    key: Path,
    ca: Path | None,
    *,
    require_client_certificate: bool = True,
    place: str = "mllp.tls",
) -> ssl.SSLContext:
    """
    What a listener shows, and whom it takes.

    Args:
        certificate: its own, in PEM, with intermediate ones after it.
        ca: certificates trusted to be, or to issue, those of clients; None asks for none.
        place: the section of the settings that names the files.

    Raises:
        SettingsError: naming the key of that section whose file cannot be used.
    """
    context = _hardened(ssl.PROTOCOL_TLS_SERVER)
    with NamedTemporaryFile("w", suffix=".pem") as parameters:
        parameters.write(_FFDHE2048)
        parameters.flush()
        context.load_dh_params(parameters.name)
    _show(context, certificate, key, place=place)
    if ca is not None:
        _trust(context, ca, place=place)
        context.verify_mode = ssl.CERT_REQUIRED if require_client_certificate else ssl.CERT_OPTIONAL
    elif require_client_certificate:
        raise SettingsError(f"{place}.ca: required to tell which client certificates are trusted")
    return context


def client_context(
    ca: Path, certificate: Path | None = None, key: Path | None = None, *, check_hostname: bool = False
) -> ssl.SSLContext:
    """
    What a sender trusts, and what it shows when the listener asks.

    Raises:
        SettingsError: naming the file that cannot be used.
    """
    context = _hardened(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = check_hostname
    _trust(context, ca, place="tls")
    if certificate is not None:
        _show(context, certificate, key or certificate, place="tls")
    return context


def certificate_of(connection: ssl.SSLObject | ssl.SSLSocket | None) -> ClientCertificate | None:
    """The certificate the other end has shown, and proved to own; a nameless one when it showed none."""
    if connection is None:
        return None
    encoded = connection.getpeercert(binary_form=True)
    if encoded is None:
        return ClientCertificate()
    subject: Any = (connection.getpeercert() or {}).get("subject", ())
    names = [value for part in subject for kind, value in part if kind == "commonName"]
    return ClientCertificate(names[-1] if names else "", hashlib.sha256(encoded).hexdigest())


def expires_at(certificate: Path) -> datetime:
    """
    When the first certificate of a PEM file ends to be valid; aware, UTC.

    Raises:
        SettingsError: there is none that can be read.
    """
    try:
        text = certificate.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise SettingsError(f"{certificate}: {(error.strerror or 'cannot be read').lower()}") from None
    found = _PEM.search(text)
    try:
        if found is None:
            raise ValueError("no certificate")
        return _not_after(ssl.PEM_cert_to_DER_cert(found[0]))
    except (ValueError, IndexError):
        raise SettingsError(f"{certificate}: not a certificate in PEM") from None


def _hardened(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _show(context: ssl.SSLContext, certificate: Path, key: Path, *, place: str) -> None:
    for name, path in (("certificate", certificate), ("key", key)):
        if not path.is_file():
            raise SettingsError(f"{place}.{name}: no such file")
    try:
        # A key behind a pass phrase would stop the start at a prompt.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or "cannot be read"
        raise SettingsError(f"{place}.certificate, {place}.key: {reason.replace('_', ' ').lower()}") from None


def _trust(context: ssl.SSLContext, ca: Path, *, place: str) -> None:
    if not ca.is_file():
        raise SettingsError(f"{place}.ca: no such file")
    try:
        context.load_verify_locations(ca)
    except OSError:
        raise SettingsError(f"{place}.ca: not certificates in PEM") from None


def _not_after(der: bytes) -> datetime:
    """Certificate > tbsCertificate > validity > notAfter; the standard library reads no other certificate's."""
    tbs, _ = _inside(der, 0)
    at, _ = _inside(der, tbs)
    if der[at] == _VERSION:
        at = _after(der, at)
    for _ in ("serialNumber", "signature", "issuer"):
        at = _after(der, at)
    not_before, _ = _inside(der, at)
    not_after = _after(der, not_before)
    start, end = _content(der, not_after)
    text = der[start:end].decode("ascii")
    if der[not_after] == _UTC_TIME:  # two digits of the year, 1950 to 2049
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _inside(der: bytes, at: int) -> tuple[int, int]:
    if der[at] != _SEQUENCE:
        raise ValueError("not a certificate")
    return _content(der, at)


def _content(der: bytes, at: int) -> tuple[int, int]:
    """Where the content of the DER element at an offset starts and ends."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length, start = int.from_bytes(der[start : start + count], "big"), start + count
    return start, start + length


def _after(der: bytes, at: int) -> int:
    return _content(der, at)[1]
