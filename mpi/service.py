"""
The service: HTTP, MLLP, DICOM, the harvests and the notifications over one registry, started and stopped together.
"""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import uvicorn

from mpi.api.app import create_app
from mpi.delivery import relay_of
from mpi.errors import SettingsError
from mpi.feeds import mllp
from mpi.feeds.dicom.archive import Archive
from mpi.feeds.dicom.cfind import FindArchive, FindNode
from mpi.feeds.dicom.harvest import Harvester, Site, StoreProgress
from mpi.feeds.dicom.listener import DicomListener, DicomListening
from mpi.feeds.dicom.qido import QidoArchive
from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.feeds.hl7v2.query_answer import QueryPolicy
from mpi.feeds.tls import client_context, server_context
from mpi.index.registry import Registry
from mpi.replay import KeptMessages
from mpi.security.keys import live_callers
from mpi.security.policy import sights_of
from mpi.settings import ClientTlsSettings, DicomSettings, MllpSettings, Settings, SourceSettings
from mpi.store import SqlStore
from mpi.wiring import now, open_registry

_ARCHIVE_TIMEOUT_SECONDS = 30.0

_GC_THRESHOLDS = (10_000, 3, 300)
"""
Little of what is made here is garbage that needs a collector: the oldest is looked through far less often, and
what is in between before it is so much that somebody's message waits for it.
"""
_log = logging.getLogger(__name__)


class _HttpServer(uvicorn.Server):
    """Leaves signals to the service, which stops every listener together."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Service:
    """
    One running index: store, registry, MLLP and DICOM listeners, harvests and HTTP server.

    Args:
        settings: where to listen and what to open.

    Raises:
        StoreError: the store cannot be opened.
        SettingsError: a listener would send identities in clear, its certificate cannot be used, or nobody
            could associate.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._tls = _tls("mllp", settings.mllp)
        dicom_tls = _tls("dicom", settings.dicom) if settings.dicom is not None else None
        self.store: SqlStore
        self.registry: Registry
        self.store, self.registry = open_registry(settings)
        try:
            self.hl7 = Hl7Handler(self.registry, self.registry.directory, now, _query_policy(settings))
            self.relay = relay_of(settings, self.store, self.registry.directory)
            self.dicom = _dicom_listener(settings.dicom, self.registry, dicom_tls)
            # What waited for a message that was settled, when the process that settled it ended too early.
            self.registry.release_parked(KeptMessages(self.registry))
            self.registry.sights.keep_only(sights_of(live_callers(self.store), self.registry.directory))
            self._archives = contextlib.ExitStack()
            sites = _sites(settings, self._archives)
            self.harvester = Harvester(
                sites, self.registry, self.registry.directory, StoreProgress(self.store, now)
            )
        except BaseException:
            self.store.close()
            raise
        self.mllp_port = 0
        self.dicom_port = 0
        self.http_port = 0
        self._stop = asyncio.Event()

    async def run(self, when_started: Callable[[], object]) -> None:
        """
        Serve until `stop`; then finish what is in flight and close the store.

        Args:
            when_started: called once it listens.

        Raises:
            SettingsError: an address cannot be listened on.
        """
        try:
            await self._serve(when_started)
        finally:
            self._archives.close()
            self.store.close()

    async def _serve(self, when_started: Callable[[], object]) -> None:
        limits = mllp.Limits(
            max_message_bytes=self.settings.mllp.max_message_bytes,
            frame_timeout_seconds=self.settings.mllp.frame_timeout_seconds,
            idle_timeout_seconds=self.settings.mllp.idle_timeout_seconds,
            max_connections=self.settings.mllp.max_connections,
            max_messages_in_work=self.settings.mllp.max_messages_in_work,
            wait_timeout_seconds=self.settings.mllp.wait_timeout_seconds,
            handshake_timeout_seconds=self.settings.mllp.handshake_timeout_seconds,
        )
        workers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="mllp")
        app = create_app(self.settings, store=self.store, registry=self.registry)
        config = uvicorn.Config(
            app,
            host=self.settings.http.host,
            port=self.settings.http.port,
            access_log=False,  # request lines hold identifiers
            log_level="warning",
            lifespan="on",
        )
        http = _HttpServer(config)
        http_socket = _listen(self.settings.http.host, self.settings.http.port)
        try:
            listener = await mllp.serve(
                self.hl7.handle,
                self.settings.mllp.host,
                self.settings.mllp.port,
                limits=limits,
                executor=workers,
                tls=self._tls,
                handler_of=self.hl7.handler_of,
                refuse=self.hl7.refuse,
            )
        except OSError as error:
            http_socket.close()
            raise _cannot_listen(self.settings.mllp.host, self.settings.mllp.port, error) from None
        serving = asyncio.create_task(http.serve(sockets=[http_socket]))
        try:
            while not http.started:
                if serving.done():
                    serving.result()
                    raise SettingsError("the HTTP server did not start")
                await asyncio.sleep(0.01)
            await self._start_dicom()
            self.mllp_port = listener.port
            self.http_port = http_socket.getsockname()[1]
            _log.info(
                "service.started",
                extra={
                    "http_port": self.http_port,
                    "mllp_port": self.mllp_port,
                    "dicom_port": self.dicom_port,
                },
            )
            when_started()
            stopping = asyncio.create_task(self._stop.wait())
            await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
        finally:
            await asyncio.gather(
                listener.stop(grace_seconds=self.settings.mllp.drain_timeout_seconds),
                asyncio.to_thread(self._stop_dicom),
                asyncio.to_thread(self.harvester.stop),
                asyncio.to_thread(
                    self.relay.stop, patience_seconds=self.settings.notify.drain_timeout_seconds
                ),
            )
            http.should_exit = True
            await serving
            workers.shutdown()
            _log.info("service.stopped")

    async def _start_dicom(self) -> None:
        """
        Listen for images, if asked to, and begin the harvests.

        Raises:
            SettingsError: the address cannot be listened on.
        """
        if self.dicom is not None and self.settings.dicom is not None:
            try:
                await asyncio.to_thread(self.dicom.start)
            except OSError as error:
                raise _cannot_listen(self.settings.dicom.host, self.settings.dicom.port, error) from None
            self.dicom_port = self.dicom.port
        self.harvester.start()
        self.relay.start()

    def _stop_dicom(self) -> None:
        if self.dicom is not None and self.settings.dicom is not None:
            self.dicom.stop(patience_seconds=self.settings.dicom.drain_timeout_seconds)

    def stop(self) -> None:
        """Ask `run` to end. Call it from the event loop's own thread."""
        self._stop.set()


def _query_policy(settings: Settings) -> QueryPolicy:
    """What the settings say of queries over MLLP."""
    queries = settings.queries
    return QueryPolicy(
        follow_retired=queries.retired_identifiers == "follow",
        max_found=queries.max_found,
        continuation_seconds=queries.continuation_seconds,
        max_continuations=queries.max_continuations,
    )


def _tls(name: str, listener: MllpSettings | DicomSettings) -> ssl.SSLContext | None:
    """
    The TLS of a listener; None for a plain one.

    Raises:
        SettingsError: a plain one is open to others than this machine, or a file cannot be used.
    """
    if listener.tls is not None:
        return server_context(
            listener.tls.certificate,
            listener.tls.key,
            listener.tls.ca,
            require_client_certificate=listener.tls.require_client_certificate,
            place=f"{name}.tls",
        )
    if listener.is_loopback or listener.allow_plain:
        return None
    raise SettingsError(
        f"{name}.host: not loopback, and without {name}.tls identities would travel in clear; "
        f"{name}.allow_plain = true accepts that"
    )


def _dicom_listener(
    settings: DicomSettings | None, registry: Registry, tls: ssl.SSLContext | None
) -> DicomListener | None:
    """
    The C-STORE provider, unless there is to be none.

    Raises:
        SettingsError: no source could associate with it.
    """
    if settings is None:
        return None
    listening = DicomListening(
        host=settings.host,
        port=settings.port,
        ae_title=settings.ae_title,
        max_associations=settings.max_associations,
        readers=settings.readers,
        idle_timeout_seconds=settings.idle_timeout_seconds,
        message_timeout_seconds=settings.message_timeout_seconds,
    )
    return DicomListener(listening, registry, registry.directory, tls=tls)


def _sites(settings: Settings, clients: contextlib.ExitStack) -> list[Site]:
    """The archives to harvest, and their HTTP clients for who closes them."""
    calling = settings.dicom.ae_title if settings.dicom is not None else DicomSettings().ae_title
    return [
        Site(
            source.name,
            _archive(source, calling, clients),
            source.harvest.since,
            lookback_days=source.harvest.lookback_days,
            every_seconds=source.harvest.every_seconds,
            requests_per_second=source.harvest.requests_per_second,
        )
        for source in settings.sources
        if source.harvest is not None
    ]


def _archive(source: SourceSettings, calling: str, clients: contextlib.ExitStack) -> Archive:
    find = source.find
    if find is not None:
        tls = _trusting(find.tls) if find.tls is not None else None
        node = FindNode(find.host, find.port, find.aet, calling=calling, charset=find.charset, tls=tls)
        return FindArchive(node)
    verify = _trusting(source.qido_tls) if source.qido_tls is not None else True
    client = httpx2.Client(timeout=_ARCHIVE_TIMEOUT_SECONDS, follow_redirects=False, verify=verify)
    return QidoArchive(source.qido, clients.enter_context(client))


def _trusting(tls: ClientTlsSettings) -> ssl.SSLContext:
    """
    Whom an archive has to be, and what it is shown.

    Raises:
        SettingsError: a file cannot be used.
    """
    return client_context(tls.ca, tls.certificate, tls.key, check_hostname=tls.check_hostname)


def _listen(host: str, port: int) -> socket.socket:
    """
    A bound socket.

    Raises:
        SettingsError: the address is taken, or is not one of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # The protocol is named: asyncio turns Nagle's algorithm off only on sockets that say they are TCP.
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise _cannot_listen(host, port, error) from None
    return bound


def _cannot_listen(host: str, port: int, error: OSError) -> SettingsError:
    return SettingsError(f"cannot listen on {host}:{port}: {(error.strerror or 'no such address').lower()}")


def serve(settings: Settings) -> None:
    """Run the service in this process until SIGTERM or SIGINT."""

    async def main() -> None:
        service = Service(settings)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, service.stop)
        await service.run(settle_memory)

    asyncio.run(main())


def settle_memory() -> None:
    """
    Spare the garbage collector what stays: modules, routes and the model for good, folded records for long.

    Looking through all of it takes a sixth of a second, while somebody waits for an answer.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


@contextlib.contextmanager
def in_background(settings: Settings) -> Iterator[Service]:
    """Run the service in a thread of its own; for the demonstration and for tests."""
    started = threading.Event()
    box: dict[str, Service | BaseException] = {}
    loop = asyncio.new_event_loop()

    async def main() -> None:
        service = Service(settings)
        box["service"] = service
        await service.run(started.set)

    def target() -> None:
        try:
            loop.run_until_complete(main())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            box["error"] = error
            started.set()
        finally:
            loop.close()

    thread = threading.Thread(target=target, name="mpi-service", daemon=True)
    thread.start()
    started.wait()
    if isinstance(error := box.get("error"), BaseException):
        raise error
    service = box["service"]
    assert isinstance(service, Service)
    try:
        yield service
    finally:
        loop.call_soon_threadsafe(service.stop)
        thread.join()
