"""
Demographics queries: QBP^Q22 in, RSP^K22 out a page at a time, QCN^J01 to cancel. ITI-21.

Everybody who answers is named, over as many pages as asked for, or nobody is: too broad a question
gets AE rather than NF, which would say that nobody is known. A page shows people as they were
when the question was first asked, but for those who are protected by then.

Source: IHE ITI-21 (TF-2 3.21.4); HL7 v2.5 chapter 5 (RCP, DSC, QCN); RNIV (searching).
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Protocol

from mpi.feeds.hl7v2 import problems
from mpi.feeds.hl7v2.ack import Fault
from mpi.feeds.hl7v2.continuation import Continuations, Found, Hit, digest, pointer
from mpi.feeds.hl7v2.criteria import read_criteria
from mpi.feeds.hl7v2.person_segments import write_likeness, write_person
from mpi.feeds.hl7v2.query_answer import Answer, Asked, QueryPolicy, Refused
from mpi.identity.model import PatientIdentifier
from mpi.index.search import Person, Search, SearchAnswer

QUERY_NAME: Final = "IHE PDQ Query"
POINTER: Final = "DSC^1^1"
_SIZE = re.compile(r"0*[1-9]\d{0,5}", re.ASCII)


class People(Protocol):
    """The part of the registry that looks for people."""

    def search(
        self,
        wanted: Search,
        *,
        visible: frozenset[str],
        actor: str,
        most: int,
        as_of: datetime | None = None,
        trace: Mapping[str, Any] | None = None,
    ) -> SearchAnswer:
        """Who answers a search, as the caller may see them."""

    def record_refusal(
        self, *, actor: str, kind: str, place: str, trace: Mapping[str, Any] | None = None
    ) -> None:
        """Audit a question that was refused before it reached the index."""


def answer_pdq(asked: Asked, index: People, *, policy: QueryPolicy, continuations: Continuations) -> Answer:
    """
    Answer who is described, or the next of them.

    Raises:
        Refused: the query is incomplete, asks what cannot be looked for, names a domain that is not
            known, is too broad, or continues none that is remembered.
        StoreError: the index could not be asked, or the audit of the question not be written.
    """
    if asked.qpd.value(1) != QUERY_NAME:
        raise _refused("QPD^1^1", problems.NOT_A_PDQ_QUERY)
    size = _page_size(asked)
    domains = asked.domains(8)
    if _pointer(asked):
        return _later_page(asked, index, domains, size, continuations)
    criteria = read_criteria(asked, active=None if policy.follow_retired else True)
    if criteria.accounts:
        place = f"QPD^1^3^{criteria.accounts[0]}"
        index.record_refusal(actor=asked.actor, kind="query.search", place=place, trace=asked.trace)
        warning = Fault(place, problems.CODES[problems.NO_ACCOUNTS], problems.NO_ACCOUNTS, is_warning=True)
        return Answer(counts=(0, 0, 0), warnings=(warning,))
    answer = index.search(
        criteria.wanted,
        visible=asked.consumer.domains,
        actor=asked.actor,
        most=policy.max_found,
        trace=asked.trace,
    )
    if answer.too_broad:
        raise Refused(Fault("QPD^1^3", problems.CODES[problems.TOO_BROAD], problems.TOO_BROAD), audited=True)
    shown = [each for each in answer.found if _identifiers(each.person, domains)]
    people = {each.person.id: each.person for each in shown}
    hits = tuple(Hit(each.person.id, write_likeness(each)) for each in shown)
    found = Found(asked.client, asked.qpd.value(2), _question(asked), asked.clock(), hits)
    token = continuations.keep(found) if size is not None and size < len(hits) else ""
    return _page(found, people, domains, shown=0, size=size, token=token)


def _later_page(
    asked: Asked,
    index: People,
    domains: frozenset[str] | None,
    size: int | None,
    continuations: Continuations,
) -> Answer:
    remembered = continuations.find(
        _pointer(asked),
        client=asked.client,
        question=_question(asked),
        at=asked.clock(),
    )
    if remembered is None:
        raise _refused(POINTER, problems.NO_SUCH_PAGE)
    token, found, shown = remembered
    wanted = found.hits[shown:] if size is None else found.hits[shown : shown + size]
    answer = index.search(
        Search(persons=tuple(hit.person for hit in wanted)),
        visible=asked.consumer.domains,
        actor=asked.actor,
        most=len(wanted),
        as_of=found.at,
        trace=asked.trace,
    )
    people = {each.person.id: each.person for each in answer.found}
    return _page(found, people, domains, shown=shown, size=size, token=token)


def _page(
    found: Found,
    people: Mapping[str, Person],
    domains: frozenset[str] | None,
    *,
    shown: int,
    size: int | None,
    token: str,
) -> Answer:
    """The people from there on, those who may be named of them; how many were found is what it was at first."""
    total = len(found.hits)
    end = total if size is None else min(total, shown + size)
    payload: list[str] = []
    named = 0
    for hit in found.hits[shown:end]:
        person = people.get(hit.person)
        identifiers = _identifiers(person, domains) if person is not None else []
        if person is not None and identifiers:
            named += 1
            payload += [write_person(person, identifiers), *([hit.qri] if hit.qri else [])]
    return Answer(
        tuple(payload),
        counts=(total, named, total - end),
        continues=pointer(token, end) if end < total else "",
    )


def _identifiers(person: Person, domains: frozenset[str] | None) -> list[PatientIdentifier]:
    """Those that still name the person, by domain; of the domains asked for, if any were."""
    members = sorted(person.members, key=lambda member: member.record.key)
    return [
        member.identifier
        for member in members
        if not member.retired and (domains is None or member.record.key.domain in domains)
    ]


def _question(asked: Asked) -> bytes:
    """What the query is recognised by: its QPD, but for separators that end it."""
    return digest(asked.qpd.raw.rstrip(asked.qpd.separators.field))


def _page_size(asked: Asked) -> int | None:
    """RCP-2, in records; None for everybody at once. The units are records when it does not say."""
    rcp = asked.message.segment("RCP")
    size = rcp.value(2).strip() if rcp is not None else ""
    unit = rcp.value(2, 2).strip().upper() if rcp is not None else ""
    if not size and not unit:
        return None
    if not _SIZE.fullmatch(size) or unit not in ("", "RD"):
        raise _refused("RCP^1^2", problems.NOT_A_PAGE)
    return int(size)


def _pointer(asked: Asked) -> str:
    """DSC-1; empty for a first page."""
    dsc = asked.message.segment("DSC")
    if dsc is None or not dsc.value(1):
        return ""
    if dsc.value(2).strip().upper() not in ("", "I", "L"):  # table 0398, and what chapter 5 says in prose
        raise _refused("DSC^1^2", problems.NOT_A_CONTINUATION)
    return dsc.value(1)


def _refused(place: str, problem: str) -> Refused:
    return Refused(Fault(place, problems.CODES[problem], problem))
