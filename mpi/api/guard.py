"""
What every request passes before a route sees it: last-resort errors, headers, the key, the size.

Plain ASGI, so that nothing is buffered twice and no exception escapes to the server's own log.
"""

import base64
import binascii
import logging
from collections.abc import Collection

from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mpi.api.problems import NOT_READY, TOO_LARGE, UNAUTHENTICATED, respond, respond_to_defect
from mpi.api.receiving import read_already
from mpi.errors import NotPermitted, StoreError
from mpi.security.keys import Caller, authenticate

MAX_BODY_BYTES = 2 * 1024 * 1024
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
BROWSER_PATHS = frozenset({"/docs", "/openapi.json"})
"""Also take HTTP Basic, with the key as the password, because a browser can send no other header."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_log = logging.getLogger("mpi.api")


class Shell:
    """The outermost layer: security headers on every answer, and no exception past this point."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception as error:  # noqa: BLE001 - the server would log its text, which may hold a patient
            response = respond_to_defect(scope["path"], error)
            if not started:
                await response(scope, receive, send_with_headers)


class Authentication:
    """
    Lets in callers with a valid key, and everyone to the open paths.

    Closed by default: an address nobody thought of answers 401, and so does one that does not exist.

    Args:
        open_paths: exact paths anyone may read.
        open_prefixes: parts of the site that authenticate by other means.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        open_paths: Collection[str] = OPEN_PATHS,
        open_prefixes: tuple[str, ...] = (),
    ) -> None:
        self._app = app
        self._open_paths = frozenset(open_paths)
        self._open_prefixes = open_prefixes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http" or self._is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        try:
            scope.setdefault("state", {})["caller"] = await self._caller(scope)
        except NotPermitted:
            _log.warning("request.unauthenticated")
            scheme = 'Basic realm="mpi", charset="UTF-8"' if path in BROWSER_PATHS else 'Bearer realm="mpi"'
            await respond(path, UNAUTHENTICATED, headers={"WWW-Authenticate": scheme})(scope, receive, send)
            return
        except StoreError:
            _log.error("request.failed", extra={"error": "StoreError"})
            await respond(path, NOT_READY)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_open(self, path: str) -> bool:
        return path in self._open_paths or (
            bool(self._open_prefixes) and path.startswith(self._open_prefixes)
        )

    async def _caller(self, scope: Scope) -> Caller:
        sent = Headers(scope=scope).getlist("authorization")
        if len(sent) != 1:
            raise NotPermitted("one Authorization header is needed")
        scheme, _, credentials = sent[0].strip().partition(" ")
        secret = credentials.strip()
        if scheme.lower() == "basic" and scope["path"] in BROWSER_PATHS:
            secret = _basic_password(secret)
        elif scheme.lower() != "bearer":
            raise NotPermitted("a bearer key is needed")
        return await run_in_threadpool(authenticate, scope["app"].state.store, secret)


class BodyLimit:
    """Reads the whole body, up to the limit, before anything else does; 413 beyond it."""

    def __init__(self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        try:
            if declared.isdigit() and int(declared[:12]) > self._max_bytes:
                raise _TooLarge
            body = await self._read(receive)
        except _TooLarge:
            await respond(scope["path"], TOO_LARGE, headers={"Connection": "close"})(scope, receive, send)
            return
        except ClientDisconnect:
            return  # half a request asks for nothing
        await self._app(scope, read_already(body, receive), send)

    async def _read(self, receive: Receive) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self._max_bytes:
                raise _TooLarge
            if not message.get("more_body", False):
                return b"".join(chunks)


class _TooLarge(Exception):
    """More than the limit was announced, or came."""


def _basic_password(credentials: str) -> str:
    try:
        user_and_password = base64.b64decode(credentials, validate=True).decode()
    except (binascii.Error, ValueError):
        raise NotPermitted("unknown key") from None
    return user_and_password.partition(":")[2]
