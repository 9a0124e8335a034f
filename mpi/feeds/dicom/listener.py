"""
The DICOM storage provider (C-STORE, C-ECHO): images come in, the identity is kept, pixels are dropped unread.

A calling AE title is a configured source; nobody else gets an association. Success is answered once
the registry's receipt is durable, never before. The instances of a study repeat one patient: the
registry receives each study's patient once, as from a folder.

Status answered, by what became of the object:

- 0000: applied, a duplicate, a repeated instance, refused as nobody's (phantom, de-identified, test), or
  kept until an earlier message of its patient is repaired: there is nothing its sender could do about it.
- 0124 not authorised: over TLS, the certificate is not that of the title's source, or is another one's.
- A700 out of resources: the store did not take it, no reader was free, or the service is stopping.
- C000 cannot understand: its header cannot be read; its start is quarantined.
- C100 cannot understand: its identity cannot be used, or handling it failed again and again; the header is
  quarantined.

Source: DICOM PS3.4 annex B (storage service class); PS3.7 9.1.1 (C-STORE), annex C (status).
"""

import hashlib
import logging
import socket
import socketserver
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.ae import ApplicationEntity
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.presentation import AllStoragePresentationContexts
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]
from pynetdicom.transport import AssociationSocket, ThreadedAssociationServer

from mpi.errors import (
    EarlierMessageWaits,
    FeedError,
    MpiError,
    SettingsError,
    StoreError,
    UnreadableMessage,
)
from mpi.feeds.dicom.header import as_file
from mpi.feeds.dicom.messages import (
    REPEATED_TAGS,
    HeaderMessage,
    Receiver,
    message_of,
    message_of_unreadable,
    reason_of,
)
from mpi.feeds.dicom.prefix import HeaderPrefix, encoding_of
from mpi.feeds.dicom.prompt import PromptDimse
from mpi.feeds.dicom.reading import HeaderReaders, ReadHeader
from mpi.feeds.dicom.seen import StudiesSeen
from mpi.feeds.dicom.tally import REPEATED, Tally
from mpi.feeds.tls import certificate_of
from mpi.index.events import MessageState, Receipt
from mpi.index.parties import Directory, PatientIdentitySource

SUCCESS = 0x0000
NOT_AUTHORISED = 0x0124
OUT_OF_RESOURCES = 0xA700
UNREADABLE = 0xC000
UNUSABLE = 0xC100

DEFLATED = frozenset({DeflatedExplicitVRLittleEndian, "1.2.840.10008.1.2.8.1"})
"""Syntaxes never accepted: a few bytes of them can become gigabytes."""

TLS_HANDSHAKE_SECONDS = 10.0
_POLL_SECONDS = 0.1

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DicomListening:
    """
    Where and how to listen.

    Args:
        port: 0 takes a free one.
        ae_title: the title peers must call.
        max_associations: open at once; further ones are rejected as a transient condition.
        readers: child processes that read headers.
        idle_timeout_seconds: a silent association is aborted after this long.
        message_timeout_seconds: to negotiate an association, and between the parts of a message.
    """

    host: str = "127.0.0.1"
    port: int = 11112
    ae_title: str = "MPI"
    max_associations: int = 10
    readers: int = 2
    idle_timeout_seconds: float = 60.0
    message_timeout_seconds: float = 30.0
    max_pdu_bytes: int = 65_536


class DicomListener:
    """
    A storage provider that can be started and stopped.

    Args:
        tls: a server context; without one the port speaks plain DICOM.
        read_header: how headers are read; in child processes of its own unless given.

    Raises:
        SettingsError: no source has an AE title: nobody could ever associate.
    """

    def __init__(
        self,
        listening: DicomListening,
        registry: Receiver,
        directory: Directory,
        *,
        tls: ssl.SSLContext | None = None,
        read_header: ReadHeader | None = None,
    ) -> None:
        self._listening = listening
        self._registry = registry
        self._directory = directory
        self._tls = tls
        self._sources = {source.aet: source for source in directory.sources if source.aet}
        if not self._sources:
            raise SettingsError("dicom: no source has an application entity title (aet)")
        self._readers = HeaderReaders(listening.readers)
        self._read_header = read_header or self._readers.read
        self._seen = StudiesSeen()
        self._stopping = threading.Event()
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self.tally = Tally()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None, "not started"
        return int(self._server.server_address[1])

    def start(self) -> None:
        """
        Listen, in a thread of its own.

        Raises:
            OSError: the port is taken.
        """
        self._stopping.clear()
        entity = ApplicationEntity(self._listening.ae_title)
        entity.require_called_aet = True
        entity.require_calling_aet = sorted(self._sources)
        entity.maximum_associations = self._listening.max_associations
        entity.maximum_pdu_size = self._listening.max_pdu_bytes
        entity.network_timeout = self._listening.idle_timeout_seconds
        entity.acse_timeout = self._listening.message_timeout_seconds
        entity.dimse_timeout = self._listening.message_timeout_seconds
        syntaxes = [syntax for syntax in ALL_TRANSFER_SYNTAXES if syntax not in DEFLATED]
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(str(context.abstract_syntax), syntaxes)
        entity.add_supported_context(Verification)
        server = entity.make_server(
            (self._listening.host, self._listening.port),
            ssl_context=self._tls,
            evt_handlers=[
                (evt.EVT_REQUESTED, _keep_headers_only),
                (evt.EVT_C_STORE, self._on_store),
                (evt.EVT_C_ECHO, lambda _event: SUCCESS),
                (evt.EVT_REJECTED, self._on_rejected),
                (evt.EVT_PDU_SENT, lambda event: _acknowledge_at_once(event.assoc.dul.socket)),
            ],
            server_class=Server,
        )
        self._server = cast(Server, server)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="dicom", daemon=True
        )
        self._thread.start()
        log.info("dicom.listening", extra={"open": self.port})

    def stop(self, *, patience_seconds: float = 10.0) -> None:
        """
        Stop gracefully: no new associations, objects at work are answered, further ones are refused as A700.

        What is still open after `patience_seconds` is aborted; its objects were not acknowledged.
        """
        server, self._server = self._server, None
        if server is None:
            return
        self._stopping.set()
        server.shutdown()
        deadline = time.monotonic() + patience_seconds
        while server.active_associations and time.monotonic() < deadline:
            time.sleep(0.02)
        for association in server.active_associations:
            association.abort()
        if self._thread is not None:
            self._thread.join(timeout=patience_seconds)
        self._readers.close()

    def _on_rejected(self, event: evt.Event) -> None:
        self.tally.add_rejection()
        log.warning("dicom.rejected", extra={"peer": event.assoc.requestor.address})

    def _on_store(self, event: evt.Event) -> Dataset | int:
        if self._stopping.is_set():
            return OUT_OF_RESOURCES
        source = self._sources[event.assoc.requestor.ae_title.strip()]
        if not self._is_proved(event, source):
            self.tally.add_rejection()
            log.warning("dicom.not_proved", extra={"source": source.name})
            return NOT_AUTHORISED
        data_set = cast(C_STORE, event.request).DataSet
        prefix = data_set.getvalue() if data_set is not None else b""
        try:
            return self._store(prefix, str(event.context.transfer_syntax), source)
        except StoreError:
            self.tally.add_failure()
            log.error("dicom.not_stored", extra={"source": source.name})
            return OUT_OF_RESOURCES

    def _is_proved(self, event: evt.Event, source: PatientIdentitySource) -> bool:
        """Whether the peer may speak as the source it calls itself; over plain DICOM everybody may."""
        transport = event.assoc.dul.socket
        connection = transport.socket if transport is not None else None
        if not isinstance(connection, ssl.SSLSocket):
            return True
        certificate = certificate_of(connection)
        return certificate is not None and self._directory.proves(certificate, source)

    def _store(self, prefix: bytes, syntax: str, source: PatientIdentitySource) -> Dataset | int:
        """Take one object. A repetition is told by its bytes, unread; else by what it states."""
        encoded = _repetition(prefix, syntax, source)
        known = self._seen.get(encoded) if encoded else None
        if known is None:
            message = self._message(as_file(prefix, syntax), source)
            known = self._seen.get(message.study)
        if known is not None:
            self.tally.add(source.name, REPEATED)
            self._seen.remember(encoded, known)
            return _status(known)
        receipt = message.hand_to(self._registry)
        self.tally.add_receipt(source.name, receipt)
        if receipt.error is not None:
            place, _ = reason_of(receipt.error)
            log.warning(
                "dicom.stopped",
                extra={"source": source.name, "message_id": receipt.message_id, "place": place},
            )
        if message.study:
            self._seen.remember(message.study, receipt)
            self._seen.remember(encoded, receipt)
        return _status(receipt)

    def _message(self, whole: bytes, source: PatientIdentitySource) -> HeaderMessage:
        try:
            return message_of(self._read_header(whole), source, self._directory)
        except FeedError as error:
            return message_of_unreadable(whole, error, source)


def _repetition(prefix: bytes, syntax: str, source: PatientIdentitySource) -> bytes:
    """What the instances of one study share, as they are encoded; empty when it cannot be told without reading."""
    implicit, little = encoding_of(syntax)
    walked = HeaderPrefix(implicit=implicit, little=little, digest_of=REPEATED_TAGS)
    walked.feed(prefix, is_last=True)
    if not walked.digest:
        return b""
    named = f"{source.name}\0{implicit}{little}".encode()
    return hashlib.sha256(named + b"\0" + walked.digest).digest()


def _status(receipt: Receipt) -> Dataset | int:
    error = receipt.error
    if error is None or receipt.state is MessageState.REFUSED or isinstance(error, EarlierMessageWaits):
        return SUCCESS
    answer = Dataset()
    answer.Status = UNREADABLE if isinstance(error, UnreadableMessage) else UNUSABLE
    if isinstance(error, MpiError):
        answer.ErrorComment = str(error)[:64]  # place and problem, never a value
    return answer


def _keep_headers_only(event: evt.Event) -> None:
    event.assoc.dimse = _HeadersOnly(event.assoc)


def _acknowledge_at_once(transport: AssociationSocket | None) -> None:
    """
    Do not let TCP wait for something to send along with its acknowledgement.

    A sender that waits for it between two parts of a message loses 40 ms each time. Linux forgets the
    wish whenever it sends, so it is said again after each answer and each command.
    """
    if transport is not None and transport.socket is not None and hasattr(socket, "TCP_QUICKACK"):
        with suppress(OSError):
            transport.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class _HeadersOnly(PromptDimse):
    """Keeps of each data set what tells an identity."""

    def begins(self, context_id: int) -> None:
        _acknowledge_at_once(self.dul.socket)
        syntaxes = {context.context_id: context.transfer_syntax for context in self.assoc.accepted_contexts}
        implicit, little = encoding_of(str(syntaxes[context_id][0]))
        self._prefix = HeaderPrefix(implicit=implicit, little=little)

    def keep(self, fragment: bytes, *, is_last: bool) -> bytes:
        return self._prefix.feed(fragment, is_last=is_last)


class Server(ThreadedAssociationServer):
    """The library's server, with a limit on connections that never become associations."""

    daemon_threads = True

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether to take a connection at all; negotiation refuses, politely, before it comes to that."""
        return len(self.active_associations) < 2 * self.ae.maximum_associations + 4

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept, and leave the TLS handshake to the connection's own thread: a slow one delays nobody."""
        assert self.socket is not None
        accepted, address = self.socket.accept()
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accepted.settimeout(
            self.ae.dimse_timeout
        )  # a peer that stops within a PDU holds its thread no longer
        if self.ssl_context is not None:
            accepted = self.ssl_context.wrap_socket(accepted, server_side=True, do_handshake_on_connect=False)
        return accepted, address

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Shake hands, then associate."""
        try:
            if isinstance(request, ssl.SSLSocket):
                request.settimeout(TLS_HANDSHAKE_SECONDS)
                request.do_handshake()
                request.settimeout(self.ae.dimse_timeout)
        except OSError:
            self.shutdown_request(request)
            return
        super().process_request_thread(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say that a connection failed, without the library's traceback."""
        log.warning("dicom.connection_failed")

    def service_actions(self) -> None:
        """The library collects garbage here, of the whole process, every so often; Python does without being told."""

    def shutdown(self) -> None:
        """Stop accepting; open associations go on."""
        socketserver.BaseServer.shutdown(self)
        self.server_close()
