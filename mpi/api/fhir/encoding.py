"""
XML at the door: what comes in becomes JSON before a route sees it, what goes out becomes XML after it.

Every answer under /fhir is in the format that was asked for, errors included, and no route knows of formats.
"""

import json

from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mpi.api.fhir.formats import Format, is_form, sent, wanted
from mpi.api.problems import FHIR_JSON, Place, answer_for, is_fhir, outcome, respond
from mpi.api.receiving import read_already
from mpi.errors import UnreadableMessage
from mpi.feeds.fhir.codec import from_xml, to_xml

_NOT_ACCEPTABLE = "only application/fhir+json and application/fhir+xml are written"
_UNSUPPORTED = "only application/fhir+json and application/fhir+xml are read"


class Encoding:
    """Writes the answers of /fhir in XML, for who asks for it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_fhir(scope["path"]) or wanted(scope) is not Format.XML:
            await self._app(scope, receive, send)
            return
        begun: Message | None = None
        chunks: list[bytes] = []

        async def send_in_xml(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                if MutableHeaders(scope=message).get("content-type", "").startswith(FHIR_JSON):
                    begun = message
                    return
            elif begun is not None:
                chunks.append(message.get("body", b""))
                if message.get("more_body", False):
                    return
                body = await run_in_threadpool(_written, b"".join(chunks))
                headers = MutableHeaders(scope=begun)
                headers["content-type"] = f"{Format.XML}; charset=utf-8"
                headers["content-length"] = str(len(body))
                await send(begun)
                message = {"type": "http.response.body", "body": body}
            await send(message)

        await self._app(scope, receive, send_in_xml)


class Decoding:
    """
    Reads the bodies sent to /fhir: XML becomes JSON; 415 for what is neither, 406 for who wants neither.

    After `BodyLimit`, so that a body is whole, and after `Authentication`, so that only callers are read.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_fhir(scope["path"]):
            await self._app(scope, receive, send)
            return
        if wanted(scope) is None:
            await outcome(406, [("not-supported", _NOT_ACCEPTABLE)])(scope, receive, send)
            return
        if scope["method"] not in ("POST", "PUT", "PATCH") or sent(scope) is Format.JSON or is_form(scope):
            await self._app(scope, receive, send)
            return
        message = await receive()
        body = message.get("body", b"")
        if sent(scope) is Format.XML:
            try:
                body = await run_in_threadpool(_read, body)
            except UnreadableMessage as error:
                places = [Place(error.place, error.problem)]
                await respond(scope["path"], answer_for(error), places=places)(scope, receive, send)
                return
            headers = MutableHeaders(scope=scope)
            headers["content-type"] = FHIR_JSON
            headers["content-length"] = str(len(body))
        elif body:
            await outcome(415, [("not-supported", _UNSUPPORTED)])(scope, receive, send)
            return
        await self._app(scope, read_already(body, receive), send)


def _written(body: bytes) -> bytes:
    return to_xml(json.loads(body)) if body else b""


def _read(body: bytes) -> bytes:
    return json.dumps(from_xml(body)).encode()
