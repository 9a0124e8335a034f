"""
ITI-78: people by what is known of them.

`GET /Patient` as the profile asks, and `POST /Patient/_search`, which keeps traits out of addresses. No address
that this server writes holds a trait: pages are asked for by token.

Source: IHE PDQm 3.2, ITI-78; FHIR R4 search.html, http.html#search.
"""

from collections.abc import Sequence
from typing import Annotated, Final, cast
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, Header, Query, Request

from mpi.api.dependencies import MaySearch, Session
from mpi.api.fhir.bundles import issue, match, searchset
from mpi.api.fhir.criteria import (
    DEFAULT_COUNT,
    MAX_COUNT,
    PARAMETERS,
    Criteria,
    encoding_of,
    read_criteria,
)
from mpi.api.fhir.formats import FORM, FhirResponse, described, is_form
from mpi.api.fhir.pages import Kept, Pages
from mpi.api.fhir.references import base_of
from mpi.api.fhir.refusals import Refused
from mpi.api.fhir.systems import ins_systems, own_system, visible_systems
from mpi.feeds.fhir.fr_core import patient_of
from mpi.index.search import Found, Person, Search

router = APIRouter()

MOST_FOUND: Final = 100
"""More people than this are too many: be more specific."""
_MAX_FIELDS: Final = 100
_ANSWER = described("Who was found: a searchset, of nobody at all too.", "Bundle")
_NAMES: Final = [*PARAMETERS, "_count", "fr-core", "_page", "_offset", "_total"]
_FORM_BODY = {
    "requestBody": {
        "content": {
            FORM: {
                "schema": {
                    "type": "object",
                    "properties": {name: {"type": "string"} for name in _NAMES if name != "_page"},
                }
            }
        }
    }
}
_QUERY = {
    "parameters": [
        {"name": name, "in": "query", "schema": {"type": "string"}, "description": PARAMETERS[name][1]}
        for name in PARAMETERS
    ]
}


async def _form(request: Request) -> list[tuple[str, str]]:
    """
    The fields of a form.

    Raises:
        Refused: 415 or 400, the body is none.
    """
    body = await request.body()
    if body and not is_form(request.scope):
        raise Refused(415, "not-supported", f"expected a form ({FORM})")
    try:
        return parse_qsl(body.decode(), max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError:
        raise Refused(400, "structure", "the form cannot be read") from None


FormBody = Annotated[list[tuple[str, str]], Depends(_form)]
Prefer = Annotated[
    str | None, Header(max_length=200, description="`handling=strict` refuses unknown parameters.")
]


@router.get(
    "/Patient",
    response_class=FhirResponse,
    response_model=None,
    responses=_ANSWER,
    openapi_extra=_QUERY,
)
def search(
    request: Request,
    session: MaySearch,
    count: Annotated[
        str | None,
        Query(alias="_count", max_length=9, description="Persons of a page; 0 for the total alone."),
    ] = None,
    fr_core: Annotated[
        str | None,
        Query(alias="fr-core", max_length=9, description="Encoding of the identity status: 2.1, 2.2."),
    ] = None,
    page: Annotated[
        str | None, Query(alias="_page", max_length=64, description="Token of a search; of `next` links.")
    ] = None,
    offset: Annotated[
        int, Query(alias="_offset", ge=0, le=MOST_FOUND, description="Where a page begins; of `next` links.")
    ] = 0,
    prefer: Prefer = None,
) -> FhirResponse:
    """Search people (ITI-78). Traits in an address end up in logs on the way: `POST _search` keeps them out."""
    if page is not None:
        return _page(request, session, page, offset)
    return _answer(request, session, request.query_params.multi_items(), prefer)


@router.post(
    "/Patient/_search",
    response_class=FhirResponse,
    response_model=None,
    responses=_ANSWER,
    openapi_extra=_FORM_BODY,
)
def search_by_form(
    request: Request, session: MaySearch, form: FormBody, prefer: Prefer = None
) -> FhirResponse:
    """Search people (ITI-78), parameters in a form, in the address, or in both."""
    return _answer(request, session, [*request.query_params.multi_items(), *form], prefer)


def _answer(
    request: Request, session: Session, pairs: Sequence[tuple[str, str]], prefer: str | None
) -> FhirResponse:
    strict = "handling=strict" in (prefer or "").replace(" ", "").lower()
    criteria = read_criteria(
        pairs,
        systems=visible_systems(session),
        own=own_system(session),
        ins=ins_systems(session),
        strict=strict,
    )
    given = dict(pairs)
    count = _count(given.get("_count"))
    encoding = encoding_of(given.get("fr-core"))
    found, too_broad = _find(session, criteria)
    if too_broad:
        text = "too many people would be found: be more specific"
        return FhirResponse(searchset([], total=0, issues=[issue("warning", "too-costly", text)]))
    kept = Kept(
        owner=_owner(session),
        found=tuple((one.person.id, one.likeness) for one in found),
        only=criteria.only,
        count=count,
        encoding=encoding,
        ignored=criteria.ignored,
    )
    token = _pages(request).keep(kept)
    return _shown(request, kept, token, 0, [one.person for one in found[:count]])


def _page(request: Request, session: Session, token: str, offset: int) -> FhirResponse:
    """A page of a search that was answered before, of the people as they are now."""
    kept = _pages(request).get(token, _owner(session))
    if kept is None:
        raise Refused(410, "not-found", "this search has expired: ask again")
    wanted = tuple(person for person, _ in kept.found[offset : offset + kept.count])
    by_id: dict[str, Person] = {}
    if wanted:
        answer = session.registry.search(
            Search(persons=wanted),
            visible=session.visible,
            actor=session.caller.actor,
            most=MOST_FOUND,
        )
        by_id = {one.person.id: one.person for one in answer.found}
    return _shown(request, kept, token, offset, [by_id[each] for each in wanted if each in by_id])


def _find(session: Session, criteria: Criteria) -> tuple[list[Found], bool]:
    """Who is found by every search, as the first one ranks them; and whether one would find too many."""
    if criteria.contradictory:
        return [], False
    first, *others = [
        session.registry.search(each, visible=session.visible, actor=session.caller.actor, most=MOST_FOUND)
        for each in criteria.searches
    ]
    if any(answer.too_broad for answer in (first, *others)):
        return [], True
    ids = [{one.person.id for one in answer.found} for answer in others]
    found = [one for one in first.found if all(one.person.id in each for each in ids)]
    if criteria.only is not None:
        found = [one for one in found if _is_known_in(one.person, criteria.only)]
    return found, False


def _is_known_in(person: Person, domains: frozenset[str]) -> bool:
    return any(member.record.key.domain in domains for member in person.members)


def _shown(request: Request, kept: Kept, token: str, offset: int, people: Sequence[Person]) -> FhirResponse:
    base = base_of(request)
    likeness = dict(kept.found)
    entries = [
        match(patient_of(each, kept.encoding, only=kept.only), base=base, score=likeness.get(each.id, 0.0))
        for each in people
    ]
    links = [("self", _link(base, token, offset))]
    if kept.count and offset + kept.count < len(kept.found):
        links.append(("next", _link(base, token, offset + kept.count)))
    if kept.count and offset:
        links.append(("previous", _link(base, token, max(offset - kept.count, 0))))
    issues = [issue("warning", "not-supported", _ignored(kept.ignored))] if kept.ignored else []
    return FhirResponse(searchset(entries, total=len(kept.found), links=links, issues=issues))


def _ignored(number: int) -> str:
    return f"{number} search parameter{'s are' if number > 1 else ' is'} not supported, and ignored"


def _link(base: str, token: str, offset: int) -> str:
    return f"{base}/Patient?_page={token}&_offset={offset}"


def _count(text: str | None) -> int:
    if not text:
        return DEFAULT_COUNT
    if not (text.isascii() and text.isdigit()):
        raise Refused(400, "value", "_count: expected a whole number")
    return min(int(text), MAX_COUNT)


def _owner(session: Session) -> tuple[str, frozenset[str]]:
    return session.caller.actor, session.visible


def _pages(request: Request) -> Pages:
    return cast(Pages, request.app.state.fhir_pages)
