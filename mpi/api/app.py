"""The HTTP application: health for everyone, the rest for callers with a key."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.middleware import Middleware
from starlette.responses import Response

from mpi.api import docs, fhir, idempotency, openapi, problems, rest
from mpi.api.dependencies import Language, MayReadInterface
from mpi.api.fhir.encoding import Decoding, Encoding
from mpi.api.guard import Authentication, BodyLimit, Shell
from mpi.api.idempotency import Idempotency
from mpi.errors import StoreError
from mpi.feeds.tls import expires_at
from mpi.index.ports import Store
from mpi.index.registry import Registry
from mpi.settings import Settings
from mpi.wiring import open_registry

_log = logging.getLogger("mpi.api")


def create_app(
    settings: Settings, *, store: Store | None = None, registry: Registry | None = None
) -> FastAPI:
    """
    Build the application over a store and the registry on it.

    Args:
        settings: used to open the store when none is given.
        store, registry: given together, by who opened them and will close them. Otherwise both are
            opened when the application starts, and closed when it stops.

    Raises:
        SettingsError: a certificate of a listener cannot be read.
    """
    if (store is None) != (registry is None):
        raise ValueError("store and registry go together")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if store is not None:
            yield
            return
        opened, app.state.registry = await run_in_threadpool(open_registry, settings)
        app.state.store = opened
        try:
            yield
        finally:
            await run_in_threadpool(opened.close)

    app = FastAPI(
        title="mpi",
        summary="Master patient index of an imaging federation",
        version=version("mpi"),
        lifespan=lifespan,
        openapi_url=None,  # served below, to callers with a key
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect repeats the address, and what is in it
        middleware=[
            *(Middleware(part) for part in (Shell, Encoding, Authentication, BodyLimit, Decoding)),
            Middleware(Idempotency, prefix=rest.PREFIX),
        ],
        # Spans and exported logs would carry addresses, and with them identifiers.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    if store is not None:
        app.state.store, app.state.registry = store, registry
    problems.install(app)
    fhir.install(app, subscription_hosts=settings.notify.subscription_hosts)
    idempotency.install(app)
    app.state.answers_kept_for = timedelta(hours=settings.http.idempotency_hours)
    app.state.certificates = {key: expires_at(path) for key, path in settings.certificates().items()}
    app.include_router(rest.router)
    app.include_router(rest.metrics_router)
    app.include_router(fhir.router)
    _add_health(app)
    _add_documentation(app)
    openapi.install(app)
    return app


def _add_health(app: FastAPI) -> None:
    @app.get("/healthz", tags=["health"])
    def healthz() -> dict[str, str]:
        """Say that the process answers."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], response_model=None)
    def readyz(request: Request) -> Response:
        """Say whether the store can be read, at the version of the schema this code knows."""
        try:
            _check_ready(request.app.state.store)
        except (StoreError, AttributeError) as error:
            _log.error("service.not_ready", extra={"error": type(error).__name__})
            return problems.respond(request.url.path, problems.NOT_READY)
        return JSONResponse({"status": "ready"})


def _check_ready(store: Any) -> None:
    """
    Read from the store.

    Raises:
        StoreError: it is down, or its schema is of another version.
    """
    check_schema = getattr(store, "load", None)  # the in-memory store of tests has no schema
    if check_schema is not None:
        check_schema()
    with store.read() as uow:
        uow.inbox.get(0)


def _add_documentation(app: FastAPI) -> None:
    @app.get("/openapi.json", include_in_schema=False)
    def machine_readable(session: MayReadInterface) -> JSONResponse:
        return JSONResponse(app.openapi())

    @app.get("/docs", include_in_schema=False)
    def documentation(session: MayReadInterface, lang: Annotated[Language, Query()] = "fr") -> HTMLResponse:
        return HTMLResponse(
            docs.page(app.openapi(), lang),
            headers={"Content-Security-Policy": docs.CSP, "Content-Language": lang},
        )
