"""
Idempotency keys: the same write sent twice is done once, and answered as it was the first time.

A client names a write with `Idempotency-Key`. The key is taken in the transaction of the write itself, so that
there is no second one whatever happens in between; the answer is kept just after. Should the service stop
between the two, a repetition is told that it was done (409), and does nothing. What was refused took no key.

Source: draft-ietf-httpapi-idempotency-key-header.
"""

import hashlib
import logging
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mpi.api.problems import Answer, Place, respond
from mpi.api.receiving import read_already
from mpi.errors import AlreadyDone, KeyReused, StoreError
from mpi.index.audit import AuditEvent
from mpi.index.ports import Store, UnitOfWork
from mpi.security.keys import Caller

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
"""Says, on an answer, that it is the one that was given before."""
_KEY = re.compile(r"[!-~]{1,255}")
_NOT_A_KEY = Answer(422, "invalid-request", "The request is not valid", "invalid")

_log = logging.getLogger("mpi.api")


class _Replayed(Exception):
    """The request was answered before."""

    def __init__(self, response: Response) -> None:
        super().__init__("answered before")
        self.response = response


@dataclass(frozen=True, slots=True)
class Claim:
    """
    A write that its sender has named.

    Args:
        caller: the name of its key: two callers may use the same words.
        key: SHA-256 of what was sent, which may be anything.
        fingerprint: of the request, and of what the caller may do and see: an answer is not for who may see less.
    """

    caller: str
    key: str
    fingerprint: str

    def check(self, store: Store) -> None:
        """
        Go on only when this is not a repetition.

        Raises:
            KeyReused: the key belongs to another request.
            AlreadyDone: it was carried out, and its answer is not at hand.
        """
        with store.read() as uow:
            kept = uow.kept_answers.find(self.caller, self.key)
        if kept is None:
            return
        if kept.fingerprint != self.fingerprint:
            raise KeyReused("this idempotency key belongs to another request")
        if not kept.status:
            raise AlreadyDone("this request was carried out; its answer was not kept: read what became of it")
        raise _Replayed(Response(kept.body, kept.status, {REPLAYED: "true"}, media_type=kept.media_type))

    def over(self, store: Store, *, at: datetime, kept_for: timedelta) -> Store:
        """The store, where each write takes the key as well."""
        return _ClaimingStore(store, self, at, at - kept_for)

    def keep(self, store: Store, *, status: int, media_type: str, body: bytes) -> None:
        """Keep the answer, if there was a write."""
        with store.read() as uow:
            if uow.kept_answers.find(self.caller, self.key) is None:
                return
        with store.write() as uow:
            uow.kept_answers.keep(self.caller, self.key, status=status, media_type=media_type, body=body)
            uow.commit()


class _ClaimingStore:
    """`ports.Store` whose writes take an idempotency key: all of them together, or none."""

    def __init__(self, store: Store, claim: Claim, at: datetime, oldest: datetime) -> None:
        self._store = store
        self._claim = claim
        self._at = at
        self._oldest = oldest
        self._is_claimed = False
        self.euid_secret = store.euid_secret

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        """
        The one writer.

        Raises:
            AlreadyDone: meanwhile the same request was carried out.
            StoreError: the store is down.
        """
        with self._store.write() as uow:
            if not self._is_claimed:
                uow.kept_answers.forget(before=self._oldest)
                claim = self._claim
                if not uow.kept_answers.claim(claim.caller, claim.key, claim.fingerprint, at=self._at):
                    raise AlreadyDone("this request is being carried out; send it again for its answer")
            yield uow
        self._is_claimed = True

    def read(self) -> AbstractContextManager[UnitOfWork]:
        """A consistent reader."""
        return self._store.read()

    def claim(self, name: str) -> AbstractContextManager[bool]:
        """As of the store it stands for."""
        return self._store.claim(name)

    def trace(self, event: AuditEvent) -> None:
        """Append one audit event; not a write of the caller's."""
        self._store.trace(event)


class Idempotency:
    """
    Names the writes that carry a key, and keeps their answers.

    Args:
        prefix: of the addresses whose POSTs may carry one.
    """

    def __init__(self, app: ASGIApp, *, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        caller = scope.get("state", {}).get("caller")
        sent = Headers(scope=scope).getlist(HEADER) if scope["type"] == "http" else []
        if not sent or scope["method"] != "POST" or not path.startswith(self._prefix) or caller is None:
            await self._app(scope, receive, send)
            return
        if len(sent) > 1 or not _KEY.fullmatch(sent[0]):
            wrong = Place(HEADER, "expected once, 1 to 255 printable ASCII characters without spaces")
            await respond(path, _NOT_A_KEY, places=[wrong])(scope, receive, send)
            return
        body = (await receive()).get("body", b"")  # whole: the limit on bodies has read it
        claim = _claim(scope, caller, sent[0], body)
        scope["state"]["claim"] = claim
        answer: list[Message] = []

        async def gather(message: Message) -> None:
            answer.append(message)

        await self._app(scope, read_already(body, receive), gather)
        start = next((one for one in answer if one["type"] == "http.response.start"), None)
        if start is not None and 200 <= start["status"] < 300:
            await run_in_threadpool(_keep, claim, scope["app"].state.store, start, answer)
        for message in answer:
            await send(message)


def _claim(scope: Scope, caller: Caller, key: str, body: bytes) -> Claim:
    asked = hashlib.sha256()
    sight = f"{caller.role} {sorted(caller.domains)}".encode()
    for part in (sight, scope["path"].encode(), scope["query_string"], body):
        asked.update(str(len(part)).encode() + b"\n" + part)
    return Claim(caller.name, hashlib.sha256(key.encode()).hexdigest(), asked.hexdigest())


def _keep(claim: Claim, store: Store, start: Message, answer: list[Message]) -> None:
    body = b"".join(one.get("body", b"") for one in answer if one["type"] == "http.response.body")
    media_type = Headers(raw=start["headers"]).get("content-type", "")
    try:
        claim.keep(store, status=start["status"], media_type=media_type, body=body)
    except StoreError:  # it is done and durable all the same
        _log.error("request.answer_not_kept")


def install(app: FastAPI) -> None:
    """Answer a repetition as the first time."""

    def replayed(_request: Request, error: Exception) -> Response:
        assert isinstance(error, _Replayed)
        return error.response

    app.add_exception_handler(_Replayed, replayed)
