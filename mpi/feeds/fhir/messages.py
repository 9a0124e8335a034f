"""
Patients as messages for the registry: a conditional update, a bundle, or a line of NDJSON each.

What is kept of a resource is what is read of it. A message keeps when it was received beside it, so
that it reads the same when it is replayed.

Source: IHE PIXm 3.1, ITI-104; IHE PMIR, ITI-93; FHIR Bulk Data (NDJSON).
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol
from urllib.parse import parse_qs, urlsplit

from mpi.errors import (
    FeedError,
    InvalidIdentity,
    MpiError,
    UnknownAuthority,
    UnreadableMessage,
    UnsupportedMessage,
)
from mpi.feeds.fhir.codec import from_xml
from mpi.feeds.fhir.patient import EXTENSIONS, REPLACED_BY, Asked, domain_of, read_patient
from mpi.feeds.fhir.xml import MAX_BYTES
from mpi.feeds.hl7v2.problems import SenderNotPermitted
from mpi.index.events import Envelope, Instruction, Receipt
from mpi.index.events import Protocol as Arrival
from mpi.index.parties import Directory, PatientIdentitySource, sender_name
from mpi.index.ports import Store

PUT_EVENT: Final = "PUT Patient"
FILE_EVENT: Final = "Patient"
FEED_EVENT: Final = "patient-feed"
PATIENT_FEED: Final = "urn:ihe:iti:pmir:2019:patient-feed"
KEPT: Final = frozenset(
    {
        *("resourceType", "meta", "extension", "identifier", "active", "name", "telecom", "gender"),
        *("birthDate", "address", "multipleBirthBoolean", "multipleBirthInteger", "link"),
    }
)
"""Elements of a Patient that are read, and kept. Narratives, photographs and contacts are not."""
_NO_SOURCE: Final = "a FHIR file needs the source it comes from (--source)"
_MAX_DEPTH: Final = 3


class Receiver(Protocol):
    """The part of the registry this feed needs."""

    def receive(
        self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes], /
    ) -> Receipt:
        """Take one message in one transaction; whatever `read` raises is in the receipt."""


@dataclass(frozen=True, slots=True)
class FhirMessage:
    """
    One resource, ready for the registry.

    Args:
        read: what it states; raises what stops it.
    """

    envelope: Envelope
    read: Callable[[], Instruction]

    def hand_to(self, registry: Receiver) -> Receipt:
        """Let the registry take it, durably."""
        return registry.receive(self.envelope, self.read, _no_reply)


@dataclass(frozen=True, slots=True)
class Known:
    """
    What the index knows of the identifier of a conditional update.

    Args:
        is_stated: somebody stated it before.
        control_id, content_hash: of the message that last did.
        since: what tells one state of it from another.
    """

    is_stated: bool = False
    control_id: str = ""
    content_hash: str = ""
    since: str = ""


def message_of_update(
    resource: Mapping[str, Any],
    asked: Asked,
    *,
    source: PatientIdentitySource,
    directory: Directory,
    store: Store,
    received: datetime,
) -> tuple[FhirMessage, bool]:
    """
    The message of a conditional update, and whether its identifier was stated before.

    FHIR gives an update no name of its own. It is called after its content and the message it follows:
    the same resource again, with nothing in between, is the same message; an older content that comes
    back is a new one.
    """
    known = _known(store, asked, source, directory, received)
    document = _document(minimised(resource), received, asked=asked)
    content = _content_hash(document)
    same = known.content_hash == content and known.control_id
    control_id = known.control_id if same else _digest(asked.system, asked.value, content, known.since)
    message = _message(document, content, control_id, PUT_EVENT, source, directory)
    return message, known.is_stated


def messages_of_bundle(
    bundle: Mapping[str, Any],
    name: str,
    source: PatientIdentitySource,
    directory: Directory,
    *,
    received: datetime,
) -> Iterator[FhirMessage]:
    """
    Every entry of the history that a patient feed message (ITI-93) carries, in order.

    Args:
        name: what its sender calls the message; sent again, it changes nothing.

    Source: IHE PMIR, ITI-93.
    """
    yield from _messages(_of_resource(bundle, ""), name, FEED_EVENT, source, directory, received)


def messages_of_file(
    path: Path, source: PatientIdentitySource | None, directory: Directory, *, received: datetime
) -> Iterator[FhirMessage]:
    """
    Every Patient of a file: one resource, a Bundle (of messaging, history, or a collection), either also in XML,
    or NDJSON.

    What is no Patient is refused, each as a message of its own. Within a file a message is called after
    its place and content, so that the same file again changes nothing.
    """
    yield from _messages(_resources(path), path.name, FILE_EVENT, source, directory, received)


def _messages(
    found: Iterable["_Found"],
    name: str,
    event: str,
    source: PatientIdentitySource | None,
    directory: Directory,
    received: datetime,
) -> Iterator[FhirMessage]:
    for place, resource, asked, error in found:
        kept = minimised(resource) if resource.get("resourceType") == "Patient" else _type_only(resource)
        document = _document(kept, received, asked=asked, place=place)
        content = _content_hash(document)
        control_id = _digest(name, place, content)
        message = _message(document, content, control_id, event, source, directory)
        yield message if error is None else FhirMessage(message.envelope, partial(_raise, error))


def read_message(envelope: Envelope, directory: Directory) -> Instruction:
    """
    Read a kept resource again: what the registry's replay asks for.

    Raises:
        FeedError, RegistryError, NotPermitted: as the first time.
    """
    return read_kept(envelope.raw, directory.sender(envelope.source), directory)


def read_kept(raw: bytes, source: PatientIdentitySource | None, directory: Directory) -> Instruction:
    """
    Read what a resource states, from what is kept of it.

    Raises:
        InvalidIdentity, UnsupportedMessage, UnknownAuthority, SenderNotPermitted: see `read_patient`.
    """
    document = json.loads(raw)
    if source is None:
        raise SenderNotPermitted("source", _NO_SOURCE)
    place, asked = document.get("place"), document.get("asked")
    try:
        return read_patient(
            document["resource"],
            source=source,
            directory=directory,
            received=datetime.fromisoformat(document["received"]),
            asked=None if asked is None else Asked(*asked),
        )
    except (InvalidIdentity, UnsupportedMessage, UnknownAuthority, SenderNotPermitted) as error:
        if not place:
            raise
        raise type(error)(f"{place}: {error.place}", error.problem) from None


def minimised(resource: Mapping[str, Any]) -> dict[str, Any]:
    """A Patient without what is not read: neither kept nor compared."""
    kept = {name: value for name, value in resource.items() if name in KEPT}
    meta = kept.pop("meta", None)
    if isinstance(meta, dict) and "lastUpdated" in meta:
        kept["meta"] = {"lastUpdated": meta["lastUpdated"]}
    elif meta is not None and not isinstance(meta, dict):
        kept["meta"] = meta  # reading it says what is wrong
    if isinstance(kept.get("extension"), list):
        kept["extension"] = [
            each
            for each in kept["extension"]
            if not isinstance(each, dict) or str(each.get("url", "")).partition("|")[0] in EXTENSIONS
        ]
    return kept


def looks_like_fhir(head: bytes) -> bool:
    """Whether a file begins as JSON or XML does."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"<")


# --------------------------------------------------------------------------- files

_Found = tuple[str, Mapping[str, Any], Asked | None, FeedError | None]


def _resources(path: Path) -> Iterator[_Found]:
    """Place, resource, the identifier it was put under, and what is wrong with the entry itself."""
    with path.open("rb") as file:
        line = file.readline().removeprefix(b"\xef\xbb\xbf")
        if line.lstrip().startswith(b"<"):
            yield from _of_xml(path)
            return
        first = _parsed(line)
        if first is None:
            whole = _parsed(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
            if whole is None:
                yield "file", {}, None, UnreadableMessage("file", "not a JSON object, nor one a line")
            else:
                yield from _of_resource(whole, "")
            return
        rest = ((number, line) for number, line in enumerate(file, 2) if line.strip())
        second = next(rest, None)
        if second is None:
            yield from _of_resource(first, "")
            return
        yield from _of_resource(first, "line 1")
        for number, line in chain((second,), rest):
            yield from _of_line(number, line)


def _of_xml(path: Path) -> Iterator[_Found]:
    try:
        with path.open("rb") as file:
            resource = from_xml(file.read(MAX_BYTES + 1).removeprefix(b"\xef\xbb\xbf"))
    except UnreadableMessage as error:
        yield "file", {}, None, error
    else:
        yield from _of_resource(resource, "")


def _of_line(number: int, line: bytes) -> Iterator[_Found]:
    place = f"line {number}"
    parsed = _parsed(line)
    if parsed is None:
        yield place, {}, None, UnreadableMessage(place, "not a JSON object")
    else:
        yield from _of_resource(parsed, place)


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _of_resource(resource: Mapping[str, Any], place: str, depth: int = 0) -> Iterator[_Found]:
    kind = resource.get("resourceType")
    if kind == "Patient":
        yield place, resource, None, None
    elif kind == "Bundle" and depth < _MAX_DEPTH:
        yield from _of_bundle(resource, place, depth)
    else:
        yield place, resource, None, UnsupportedMessage(_joined(place, "resourceType"), "not a Patient")


def _of_bundle(bundle: Mapping[str, Any], place: str, depth: int) -> Iterator[_Found]:
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        where = _joined(place, "Bundle.entry")
        yield where, {}, None, UnreadableMessage(where, "expected a list")
        return
    by_url = _by_url(entries)
    for at, entry in enumerate(entries):
        where = _joined(place, f"Bundle.entry[{at}]")
        resource = entry.get("resource") if isinstance(entry, dict) else None
        request = entry.get("request") if isinstance(entry, dict) else None
        method = str(request.get("method", "")).upper() if isinstance(request, dict) else ""
        if method == "DELETE":
            yield where, {}, None, UnsupportedMessage(f"{where}.request.method", "DELETE is not taken")
        elif not isinstance(resource, dict):
            yield where, {}, None, UnreadableMessage(f"{where}.resource", "expected an object")
        elif resource.get("resourceType") == "MessageHeader":
            if resource.get("eventUri") != PATIENT_FEED:
                error = UnsupportedMessage(f"{where}.resource.eventUri", "not a patient feed")
                yield where, resource, None, error
        elif resource.get("resourceType") == "Patient":
            asked = _asked(request) if method == "PUT" and isinstance(request, dict) else None
            yield where, _with_survivor(resource, by_url), asked, None
        else:
            yield from _of_resource(resource, where, depth + 1)


def _asked(request: Mapping[str, Any]) -> Asked | None:
    """The identifier a PUT in a bundle names; None when it goes by the id of its sender's own server."""
    tokens = parse_qs(urlsplit(str(request.get("url", ""))).query).get("identifier", [])
    system, bar, value = tokens[0].partition("|") if len(tokens) == 1 else ("", "", "")
    return Asked(system, value) if bar and system and value else None


def _by_url(entries: list[Any]) -> dict[str, Mapping[str, Any]]:
    """By the references that name them, the Patients of a bundle."""
    found: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        resource = entry.get("resource") if isinstance(entry, dict) else None
        if isinstance(resource, dict) and resource.get("resourceType") == "Patient":
            if isinstance(entry.get("fullUrl"), str):
                found[entry["fullUrl"]] = resource
            if isinstance(resource.get("id"), str):
                found[f"Patient/{resource['id']}"] = resource
    return found


def _with_survivor(resource: Mapping[str, Any], by_url: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """A Patient whose link to another of its bundle says the other's identifier of the same system."""
    links = resource.get("link")
    if not isinstance(links, list):
        return resource
    return {**resource, "link": [_named(link, resource, by_url) for link in links]}


def _named(link: Any, resource: Mapping[str, Any], by_url: Mapping[str, Mapping[str, Any]]) -> Any:
    other = link.get("other") if isinstance(link, dict) else None
    if not isinstance(other, dict) or link.get("type") != REPLACED_BY or "identifier" in other:
        return link
    survivor = by_url.get(str(other.get("reference", "")))
    if survivor is None:
        return link
    systems = {item.get("system") for item in _objects(resource.get("identifier"))}
    found = [item for item in _objects(survivor.get("identifier")) if item.get("system") in systems]
    return {**link, "other": {"identifier": found[0]}} if len(found) == 1 else link


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _type_only(resource: Mapping[str, Any]) -> dict[str, Any]:
    kind = resource.get("resourceType")
    return {"resourceType": kind} if isinstance(kind, str) else {}


def _joined(place: str, part: str) -> str:
    return f"{place}: {part}" if place else part


# --------------------------------------------------------------------------- envelopes


def _document(
    resource: Mapping[str, Any], received: datetime, *, asked: Asked | None = None, place: str = ""
) -> dict[str, Any]:
    document: dict[str, Any] = {"received": received.astimezone(UTC).isoformat(), "resource": resource}
    if asked is not None:
        document["asked"] = [asked.system, asked.value]
    if place:
        document["place"] = place
    return document


def _message(
    document: Mapping[str, Any],
    content: str,
    control_id: str,
    event: str,
    source: PatientIdentitySource | None,
    directory: Directory,
) -> FhirMessage:
    raw = json.dumps(document).encode()
    envelope = Envelope(
        protocol=Arrival.FHIR,
        source=sender_name(source),
        application="",
        facility="",
        control_id=control_id,
        content_hash=content,
        raw=raw,
        event=event,
        patients=_patients(document["resource"], document.get("asked", ())),
    )
    return FhirMessage(envelope, partial(read_kept, raw, source, directory))


def _patients(resource: Mapping[str, Any], asked: Sequence[str]) -> frozenset[str]:
    """The identifier values of a Patient, of who replaces it, and of what was asked, by their place alone."""
    others = [link.get("other") for link in _objects(resource.get("link"))]
    named = [*_objects(resource.get("identifier")), *(other.get("identifier") for other in _objects(others))]
    values = [each.get("value") for each in _objects(named)]
    references = [other.get("reference") for other in _objects(others)]
    values += [text.partition("|")[2] for text in references if isinstance(text, str)]
    values += asked[1:]
    return frozenset(text for value in values if isinstance(value, str) and (text := value.strip()))


def _content_hash(document: Mapping[str, Any]) -> str:
    said = {name: document[name] for name in ("resource", "asked") if name in document}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()


def _known(
    store: Store, asked: Asked, source: PatientIdentitySource, directory: Directory, received: datetime
) -> Known:
    """What is known of an identifier; nothing of one that the source may not state, which is refused later."""
    try:
        domain = domain_of(asked.system, place="identifier", source=source, directory=directory)
    except MpiError:
        return Known(since=received.isoformat())
    with store.read() as uow:
        records = uow.records.epochs(domain.key, asked.value)
        if not records:
            return Known()
        statements = uow.records.statements(records[0].id)
        if not statements:
            return Known(since=received.isoformat())  # named by a merge, or erased
        message = uow.inbox.get(statements[-1].message_id)
    if message is None or message.envelope.source != source.name:
        return Known(is_stated=True, since=str(statements[-1].message_id))
    envelope = message.envelope
    return Known(True, envelope.control_id, envelope.content_hash, str(message.id))


def _no_reply(_receipt: Receipt) -> bytes:
    return b""


def _raise(error: MpiError) -> NoReturn:
    raise error
