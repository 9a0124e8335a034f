"""
A client of the REST interface, for portals, notebooks and scripts.

    with Client("https://mpi.example", key) as index:
        for answer in index.resolve([{"domain": "SITE-A", "id": "A1001"}]):
            print(answer.status, [(member.domain, member.id) for member in answer.members])

Refusals are raised as the errors of `mpi.errors`. Every write carries an idempotency key, so that a call that got
no answer is sent again without being done twice. Fields that a later version adds are left out.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx2
from pydantic import BaseModel, ConfigDict

from mpi import errors

_PREFIX = "/api/v1"
_PAUSES_SECONDS = (0.2, 1.0, 3.0)
"""Before each further try."""
_PAGE = 200
_TRY_AGAIN = frozenset({502, 503, 504})


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Identifier(_Read):
    """An identifier, in the domain that issued it; `epoch` from 1 when the site gave it to another person."""

    domain: str
    id: str
    epoch: int = 0


class Resolved(_Read):
    """What is known of one identity; `companions` are the positions of the others that are the same person."""

    suid: str | None
    euid: str | None
    status: str
    probability: float | None
    members: tuple[Identifier, ...]
    companions: tuple[int, ...]


class CrossReference(_Read):
    """The other identifiers of the person an identifier is about."""

    asked: Identifier
    euid: str | None
    identifiers: tuple[Identifier, ...]


class Member(Identifier):
    """One source record of a person."""

    retired: bool
    held: bool
    doubted: bool
    status: str
    attributes: tuple[str, ...]


class Golden(_Read):
    """A surviving value, the record it comes from, and since when."""

    value: str | int | bool | tuple[str, ...]
    source: Identifier
    since: datetime


class Patient(_Read):
    """A person across domains, as far as the key may see."""

    asked: str
    euid: str
    retired: bool
    members: tuple[Member, ...]
    golden: Mapping[str, Golden]


class Candidate(_Read):
    """A person an identity resembles: certain, probable or possible."""

    euid: str
    record: Identifier
    grade: str


class Found(_Read):
    """A person who answers a search."""

    id: str
    likeness: float
    doubtful: bool
    golden: Mapping[str, Golden]
    identifiers: tuple[Identifier, ...]


class Search(_Read):
    """Who answers a search, most alike first; nobody when it is too broad."""

    people: tuple[Found, ...]
    too_broad: bool


class Review(_Read):
    """A review task. `version` goes back with what is done about it."""

    id: int
    topic: str
    kind: str
    state: str
    version: int
    answers: tuple[str, ...]
    verdict: str | None
    fact_id: int | None


class Fact(_Read):
    """An assertion by a person or a source."""

    id: int
    kind: str
    left: Identifier
    right: Identifier
    actor: str
    stands: bool
    waits_for: str | None


class Report(_Read):
    """Something that somebody said is wrong, and what became of it."""

    id: int
    kind: str
    about: tuple[Identifier, ...]
    state: str
    doubtful: bool
    version: int


_Kind = TypeVar("_Kind", bound=_Read)


class Client:
    """
    One key's view of an index.

    Args:
        url: of the service, without a path.
        key: the API key.
        transport: other than the network, for tests.
        pause: waits so many seconds before a call is tried again.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_seconds: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = httpx2.Client(
            base_url=url.rstrip("/") + _PREFIX,
            headers={"Authorization": f"Bearer {key}"},
            timeout=timeout_seconds,
            transport=transport,
            follow_redirects=False,
        )
        self._pause = pause

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------- questions

    def resolve(self, identities: Sequence[Mapping[str, Any]]) -> list[Resolved]:
        """
        Group identities with one another and with the index; one answer each, in their order. At most 1,000.

        Args:
            identities: of each, `domain` and `id`, or traits by their tabular names, or both.
        """
        body = self._ask("POST", "/resolve", json={"identities": [dict(one) for one in identities]})
        return [Resolved.model_validate(one) for one in body["identities"]]

    def identifiers(
        self, domain: str, id: str, *, targets: Sequence[str] = (), as_of: datetime | None = None
    ) -> CrossReference:
        """
        The other identifiers of the person an identifier is about.

        Raises:
            UnknownAuthority: no such domain, or not one the key may see.
            UnknownIdentifier: never stated to the index.
        """
        asked = {"domain": domain, "id": id, "target": list(targets), "as_of": as_of}
        return CrossReference.model_validate(self._ask("GET", "/identifiers", params=asked))

    def patient(self, euid: str, *, as_of: datetime | None = None) -> Patient:
        """
        A person: members, and the golden record with where each field comes from.

        Raises:
            UnknownIdentifier: never issued, or nothing in it may be seen.
        """
        return Patient.model_validate(
            self._ask("GET", f"/patients/{_segment(euid)}", params={"as_of": as_of})
        )

    def match(
        self, identity: Mapping[str, Any], *, limit: int = 20, as_of: datetime | None = None
    ) -> list[Candidate]:
        """Whom an identity resembles, best first. Nothing of it is stored."""
        asked = {"identity": dict(identity), "limit": limit}
        body = self._ask("POST", "/match", json=asked, params={"as_of": as_of})
        return [Candidate.model_validate(one) for one in body["candidates"]]

    def search(self, **asked: Any) -> Search:
        """
        Look somebody up: `birth_date` first, then some letters of `name`, `given_name`; see `POST /search`.

        Raises:
            InvalidIdentity: it is not enough to look somebody up, or cannot be read.
        """
        return Search.model_validate(self._ask("POST", "/search", json=asked))

    # ------------------------------------------------------------------------------- vigilance

    def reviews(self, *, states: Sequence[str] = (), kind: str | None = None) -> Iterator[Review]:
        """Every review task by ascending number; the live ones unless states are given."""
        return self._pages("/reviews", "reviews", Review, {"state": list(states), "kind": kind})

    def review(self, number: int) -> Review:
        """
        One task, with the version to decide it at.

        Raises:
            UnknownReview: no such task.
        """
        return Review.model_validate(self._ask("GET", f"/reviews/{number}"))

    def claim(self, review: Review) -> Review:
        """
        Take a task, so that nobody else works on it.

        Raises:
            StaleReview: somebody else has it.
            PreconditionFailed: it changed since it was read.
        """
        return self._change_review(review, "claim", None)

    def release(self, review: Review) -> Review:
        """Give a task back. Raises as `claim`."""
        return self._change_review(review, "release", None)

    def decide(self, review: Review, verdict: str, *, reason: str = "") -> Review:
        """
        Answer a task, as it was read.

        Raises:
            PreconditionFailed: it changed since it was read.
            StaleReview: it is decided, or somebody else has it.
            LinkConflict: it contradicts assertions that stand.
        """
        said = {"verdict": verdict, "version": review.version, "reason": reason}
        return self._change_review(review, "verdict", said)

    def facts(self) -> Iterator[Fact]:
        """Every assertion by ascending number, proposed and withdrawn ones too."""
        return self._pages("/facts", "facts", Fact, {})

    def relate(
        self, kind: str, left: tuple[str, str], right: tuple[str, str], *, reason: str = ""
    ) -> list[Fact]:
        """
        Say of two identifiers, each a domain and a value, that they are `same`, `different` or `homonyms`.

        Raises:
            LinkConflict: it contradicts assertions that stand.
        """
        said = {"kind": kind, "left": _named(left), "right": _named(right), "reason": reason}
        return [Fact.model_validate(one) for one in self._write("/facts", said)["facts"]]

    def report(
        self, kind: str, about: Sequence[tuple[str, str]], *, comment: str = "", trait: str | None = None
    ) -> Report:
        """Say that something is wrong with some identifiers: they are doubtful from now on."""
        said = {"kind": kind, "about": [_named(one) for one in about], "comment": comment, "trait": trait}
        return Report.model_validate(self._write("/reports", said))

    def reports(self, *, states: Sequence[str] = ()) -> Iterator[Report]:
        """Every report that the key may see, by ascending number."""
        return self._pages("/reports", "reports", Report, {"state": list(states)})

    # ---------------------------------------------------------------------------------- calls

    def _change_review(self, review: Review, verb: str, said: Mapping[str, Any] | None) -> Review:
        as_read = {"If-Match": f'"{review.version}"'}
        return Review.model_validate(self._write(f"/reviews/{review.id}/{verb}", said, headers=as_read))

    def _pages(self, path: str, name: str, kind: type[_Kind], asked: Mapping[str, Any]) -> Iterator[_Kind]:
        after: int | None = 0
        while after is not None:
            body = self._ask("GET", path, params={**asked, "after": after, "limit": _PAGE})
            yield from (kind.model_validate(one) for one in body[name])
            after = body["next"]

    def _write(self, path: str, said: Any, *, headers: Mapping[str, str] | None = None) -> Any:
        named = {"Idempotency-Key": uuid.uuid4().hex, **(headers or {})}
        return self._ask("POST", path, json=said, headers=named)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """
        Send a request that may be sent again: a question, or a write with its idempotency key.

        Raises:
            StoreError: no answer came, or the index cannot answer now.
        """
        options: dict[str, Any] = {"params": _stated(params or {}), "headers": dict(headers or {})}
        if json is not None:
            options["json"] = json
        for pause in (*_PAUSES_SECONDS, None):
            try:
                answer = self._http.request(method, path, **options)
            except httpx2.TransportError:
                answer = None
            if answer is not None and answer.status_code not in _TRY_AGAIN:
                return _body(answer)
            if pause is not None:
                self._pause(pause)
        raise errors.StoreError("the index does not answer") from None


def _stated(params: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in params.items()
        if value is not None and value != []
    }


def _named(identifier: tuple[str, str]) -> dict[str, str]:
    return {"domain": identifier[0], "id": identifier[1]}


def _segment(text: str) -> str:
    """
    A name that goes into an address, where nothing but letters and digits has a place.

    Raises:
        UnknownIdentifier: it holds something else.
    """
    if not text.isalnum() or not text.isascii():
        raise errors.UnknownIdentifier("euid", "unknown enterprise identifier")
    return text


_PROBLEM = "urn:mpi:problem:"
ERRORS: Mapping[str, type[errors.MpiError]] = {
    "unreadable-message": errors.UnreadableMessage,
    "unsupported-message": errors.UnsupportedMessage,
    "invalid-identity": errors.InvalidIdentity,
    "invalid-request": errors.InvalidIdentity,
    "control-id-reused": errors.ControlIdReused,
    "unknown-authority": errors.UnknownAuthority,
    "unknown-identifier": errors.UnknownIdentifier,
    "unknown-review": errors.UnknownReview,
    "link-conflict": errors.LinkConflict,
    "stale-review": errors.StaleReview,
    "queue-being-made": errors.QueueBeingMade,
    "key-reused": errors.KeyReused,
    "already-done": errors.AlreadyDone,
    "precondition-failed": errors.PreconditionFailed,
    "not-permitted": errors.NotPermitted,
    "unauthenticated": errors.NotPermitted,
    "model": errors.ModelError,
    "settings": errors.SettingsError,
}
"""The error that each type of problem was, or stands for."""


def _body(answer: httpx2.Response) -> Any:
    if answer.is_success:
        return answer.json()
    raise _error(answer)


def _error(answer: httpx2.Response) -> errors.MpiError:
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    kind = ERRORS.get(str(problem.get("type", "")).removeprefix(_PROBLEM), errors.MpiError)
    words = str(problem.get("detail") or problem.get("title") or f"answered {answer.status_code}")
    places = problem.get("errors") or [{"place": "request", "problem": words}]
    if issubclass(kind, errors.LinkConflict):
        return kind(words, problem.get("facts", ()))
    if issubclass(kind, errors.FeedError | errors.UnknownAuthority | errors.UnknownIdentifier):
        return kind(places[0]["place"], places[0]["problem"])
    return kind(words)
