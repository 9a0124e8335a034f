"""
The audit trail for auditors: AuditEvent, read and searched. Reading it leaves its trace too.

Source: IHE BALP; FHIR R4 AuditEvent, search.html.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request

from mpi.api.dependencies import MayReadAudit, Session
from mpi.api.fhir.bundles import issue, searchset
from mpi.api.fhir.formats import FhirResponse, described
from mpi.api.fhir.references import base_of
from mpi.api.fhir.refusals import Refused
from mpi.errors import NotPermitted
from mpi.feeds.fhir.audit import audit_event_of
from mpi.index.audit import ChainedEvent

router = APIRouter()

DEFAULT_COUNT: Final = 50
MAX_COUNT: Final = 500
MOST_SCANNED: Final = 20_000
"""Events that one search looks at; the page says where to go on."""
AUDIT_PARAMETERS: Final = {
    "date": ("date", "When it was recorded, with prefixes; repeat it for a span."),
    "entity": ("reference", "`Patient/{id}`, or this index's own name of what it was done to (`record/12`)."),
    "action": ("token", "C, R, U, D or E."),
    "outcome": ("token", "0 or 8."),
    "subtype": ("token", "A transaction (`ITI-83`), an interaction, or a kind of this index."),
}
_PAGE: Final = 1_000
_FORMS: Final = ("%Y", "%Y-%m", "%Y-%m-%d")
_PREFIXES: Final = ("eq", "ge", "gt", "le", "lt")


@dataclass(frozen=True, slots=True)
class _Span:
    since: datetime | None = None
    until: datetime | None = None


@router.get(
    "/AuditEvent",
    response_class=FhirResponse,
    response_model=None,
    responses=described("Events, the newest first.", "Bundle"),
)
def search(
    request: Request,
    session: MayReadAudit,
    dates: Annotated[
        list[str] | None, Query(alias="date", max_length=5, description=AUDIT_PARAMETERS["date"][1])
    ] = None,
    entity: Annotated[str | None, Query(max_length=128, description=AUDIT_PARAMETERS["entity"][1])] = None,
    action: Annotated[str | None, Query(max_length=64, description=AUDIT_PARAMETERS["action"][1])] = None,
    outcome: Annotated[str | None, Query(max_length=64, description=AUDIT_PARAMETERS["outcome"][1])] = None,
    subtype: Annotated[str | None, Query(max_length=128, description=AUDIT_PARAMETERS["subtype"][1])] = None,
    count: Annotated[
        int, Query(alias="_count", ge=0, le=10**9, description="Events of a page; 500 at most.")
    ] = DEFAULT_COUNT,
    before: Annotated[
        int | None,
        Query(alias="_before", ge=0, le=2**62, description="Where a page begins; of `next` links."),
    ] = None,
) -> FhirResponse:
    """Search the audit trail (BALP), the newest first."""
    _check_sees_all(session)
    span = _span(dates or ())
    session.record_read("audit.read")
    wanted = [
        test
        for test in (
            _about(session, entity) if entity else None,
            _is("action", action),
            _is("outcome", outcome),
            _of_type(subtype),
        )
        if test is not None
    ]
    size = min(count, MAX_COUNT)
    found, goes_on = _scan(session, span, before, size, wanted)
    base = base_of(request)
    asked = [("date", text) for text in dates or ()]
    asked += [
        (name, text)
        for name, text in (
            ("entity", entity),
            ("action", action),
            ("outcome", outcome),
            ("subtype", subtype),
            ("_count", str(size)),
        )
        if text
    ]
    links = [("self", _link(base, asked, before))]
    if goes_on is not None:
        links.append(("next", _link(base, asked, goes_on)))
    entries = [
        {
            "fullUrl": f"{base}/AuditEvent/{resource['id']}",
            "resource": resource,
            "search": {"mode": "match"},
        }
        for resource in found
    ]
    issues = (
        [issue("information", "incomplete", "not all of the trail was looked at: follow the next link")]
        if goes_on is not None and len(found) < size
        else []
    )
    return FhirResponse(searchset(entries, total=None, links=links, issues=issues))


@router.get(
    "/AuditEvent/{id}",
    response_class=FhirResponse,
    response_model=None,
    responses=described("One event.", "AuditEvent"),
)
def read(
    sequence: Annotated[str, Path(alias="id", max_length=64, description="Its place in the chain.")],
    session: MayReadAudit,
) -> FhirResponse:
    """Read one event of the audit trail."""
    _check_sees_all(session)
    session.record_read("audit.read")
    if not (sequence.isascii() and sequence.isdigit() and len(sequence) <= 18):
        raise Refused(404, "not-found", "no such AuditEvent")
    with session.store.read() as uow:
        found = uow.audit.get(int(sequence))
    if found is None:
        raise Refused(404, "not-found", "no such AuditEvent")
    return FhirResponse(audit_event_of(found))


def _check_sees_all(session: Session) -> None:
    """
    Raises:
        NotPermitted: some domain is hidden from the caller, and the trail is about all of them.
    """
    if not session.sees_everything:
        raise NotPermitted("the audit trail is for keys that see every domain")


_Test = Callable[[ChainedEvent, dict[str, Any]], bool]


def _scan(
    session: Session, span: _Span, before: int | None, size: int, wanted: list[_Test]
) -> tuple[list[dict[str, Any]], int | None]:
    """The newest events that pass, and where the next page begins; None at the end of the trail."""
    found: list[dict[str, Any]] = []
    scanned = 0
    with session.store.read() as uow:
        while len(found) < size and scanned < MOST_SCANNED:
            page = uow.audit.newest(since=span.since, until=span.until, before=before, limit=_PAGE)
            for item in page:
                scanned += 1
                before = item.sequence
                resource = audit_event_of(item)
                if all(test(item, resource) for test in wanted):
                    found.append(resource)
                    if len(found) == size:
                        break
            else:
                if len(page) < _PAGE:
                    return found, None
    return found, before


def _about(session: Session, entity: str) -> _Test:
    """Whether an event is about a person or one of its records, or named them in an answer."""
    kind, _, person = entity.partition("/")
    if kind != "Patient":
        return lambda item, _: item.event.subject == entity
    names: set[Any] = {person}
    with session.store.read() as uow:
        native = uow.records.by_native_euid(person)
        if native is not None:
            euid = uow.memberships.euid_of(native.id)
            ids = [native.id, *(uow.memberships.members(euid) if euid else ())]
            records = uow.records.by_ids(ids).values()
            names |= {record.id for record in records} | {record.native_euid for record in records}
    subjects = {f"{prefix}/{name}" for name in names for prefix in ("euid", "person", "record")}

    def test(item: ChainedEvent, _: dict[str, Any]) -> bool:
        if item.event.subject in subjects:
            return True
        details = item.event.details
        named = [*details.get("named", ()), *details.get("records", ())]
        return any(name in names for name in named if isinstance(name, str | int))

    return test


def _is(name: str, token: str | None) -> _Test | None:
    code = token.rpartition("|")[2] if token else ""
    return (lambda _, resource: resource[name] == code) if code else None


def _of_type(token: str | None) -> _Test | None:
    code = token.rpartition("|")[2] if token else ""
    if not code:
        return None
    return lambda _, resource: any(each["code"] == code for each in resource["subtype"])


def _span(dates: list[str] | tuple[str, ...]) -> _Span:
    span = _Span()
    for text in dates:
        prefix = text[:2] if text[:2] in _PREFIXES else "eq"
        first, after = _bounds(text.removeprefix(prefix))
        since = {"eq": first, "ge": first, "gt": after}.get(prefix)
        until = {"eq": after, "le": after, "lt": first}.get(prefix)
        span = _Span(
            since if span.since is None or (since and since > span.since) else span.since,
            until if span.until is None or (until and until < span.until) else span.until,
        )
    return span


def _bounds(text: str) -> tuple[datetime, datetime]:
    """The first instant of a date and the first one after it; an instant is a second long, or what it says."""
    try:
        if "T" in text:
            at = datetime.fromisoformat(text.replace(" ", "+"))  # a + of an address arrives as a space
            if at.tzinfo is None:
                raise ValueError
            return at.astimezone(UTC), at.astimezone(UTC) + timedelta(seconds=0 if at.microsecond else 1)
        form = _FORMS[text.count("-")]
        first = datetime.strptime(text, form).replace(tzinfo=UTC)
        if form == "%Y":
            return first, first.replace(year=first.year + 1)
        if form == "%Y-%m":
            return first, first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
        return first, first + timedelta(days=1)
    except (ValueError, IndexError, OverflowError):
        raise Refused(
            400, "value", "date: expected a prefix and a date, or an instant with its zone"
        ) from None


def _link(base: str, asked: list[tuple[str, str]], before: int | None) -> str:
    """Nothing of these parameters is a trait of anybody."""
    page = [("_before", str(before))] if before is not None else []
    return f"{base}/AuditEvent?{urlencode([*asked, *page])}"
