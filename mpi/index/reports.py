"""
Reports (*signalements*): somebody says that an identity is wrong. What they say, and the life of it.

A report makes the identities it is about doubtful at once; only a person lifts the doubt, by answering it. Pure:
`reporting` stores what these functions return.

Source: RNIV (signalement d'un événement indésirable d'identification, identité douteuse).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mpi.errors import LinkConflict
from mpi.identity.model import RecordKey


class ReportKind(StrEnum):
    """What is said to be wrong."""

    NOT_MY_PATIENT = "not_my_patient"
    """What is shown under this identifier, an exam for instance, is of somebody else (*ce n'est pas mon patient*)."""
    DUPLICATE = "duplicate"
    """Two identifiers of one domain are one person's (*doublon*)."""
    WRONG_TRAIT = "wrong_trait"
    """A trait is not that of the person."""
    WRONG_INS = "wrong_ins"
    """The INS is somebody else's."""
    OVERLAY_SUSPECTED = "overlay_suspected"
    """The record seems to hold two people (*collision*)."""
    WRONG_LINK = "wrong_link"
    """Identifiers are shown together that are two people's."""
    OTHER = "other"


REPORTED_TRAITS = ("birth_name", "used_name", "given_names", "birth_date", "sex", "birth_place")
"""Traits a report may be about: the strict ones of the RNIV, and the name in use."""


class ReportState(StrEnum):
    """Where a report stands. The doubt it raised stands with it, but for the states that `LIFTS` names."""

    RECEIVED = "received"
    ACCEPTED = "accepted"
    """A person agrees, and nothing is asked of a site: it is this index's own to mend, or under way."""
    CORRECTING = "correcting"
    """Sites were asked to correct, and have not all done so."""
    CORRECTED = "corrected"
    """The sites' own messages show that all of it is done."""
    CONTESTED = "contested"
    """A site answered otherwise than it was asked."""
    REJECTED = "rejected"
    """A person looked, and nothing is wrong."""
    ANSWERED = "answered"
    """Somebody gave the reporter an answer, and nothing more is to be done."""
    CLOSED = "closed"
    """A person looked at what became of it, and lifted the doubt."""


LIFTS = frozenset({ReportState.REJECTED, ReportState.ANSWERED, ReportState.CLOSED})
"""A person's last word: the identity is no longer doubtful for this report."""
FOLLOWED = frozenset({ReportState.CORRECTING, ReportState.CORRECTED, ReportState.CONTESTED})
"""Which of them it is follows from what the sites did."""
OPEN_REPORTS = frozenset(ReportState) - LIFTS

_AFTER_ACCEPTED = frozenset({ReportState.ACCEPTED, ReportState.CLOSED, ReportState.RECEIVED}) | FOLLOWED
TRANSITIONS: Mapping[ReportState, frozenset[ReportState]] = {
    ReportState.RECEIVED: frozenset({ReportState.ACCEPTED, ReportState.REJECTED, ReportState.ANSWERED}),
    ReportState.ACCEPTED: frozenset({ReportState.CORRECTING, ReportState.CLOSED, ReportState.RECEIVED}),
    ReportState.CORRECTING: _AFTER_ACCEPTED - {ReportState.CORRECTING, ReportState.CLOSED},
    ReportState.CORRECTED: _AFTER_ACCEPTED - {ReportState.CORRECTED},
    ReportState.CONTESTED: _AFTER_ACCEPTED - {ReportState.CONTESTED},
    ReportState.REJECTED: frozenset({ReportState.RECEIVED}),
    ReportState.ANSWERED: frozenset({ReportState.RECEIVED}),
    ReportState.CLOSED: frozenset({ReportState.RECEIVED}),
}


class Decision(StrEnum):
    """What a person may do with a report."""

    ACCEPT = "accept"
    REJECT = "reject"
    ANSWER = "answer"
    CLOSE = "close"
    """Lift the doubt of an accepted report; while a site is still asked, its request is withdrawn first."""
    REOPEN = "reopen"
    """Look at it again: the doubt is back, and what was asked of sites is withdrawn."""


_DECIDED_FROM: Mapping[Decision, frozenset[ReportState]] = {
    Decision.ACCEPT: frozenset({ReportState.RECEIVED}),
    Decision.REJECT: frozenset({ReportState.RECEIVED}),
    Decision.ANSWER: frozenset({ReportState.RECEIVED}),
    Decision.CLOSE: frozenset({ReportState.ACCEPTED, ReportState.CORRECTED, ReportState.CONTESTED}),
    Decision.REOPEN: frozenset(ReportState) - {ReportState.RECEIVED},
}
_LEADS_TO: Mapping[Decision, ReportState] = {
    Decision.ACCEPT: ReportState.ACCEPTED,
    Decision.REJECT: ReportState.REJECTED,
    Decision.ANSWER: ReportState.ANSWERED,
    Decision.CLOSE: ReportState.CLOSED,
    Decision.REOPEN: ReportState.RECEIVED,
}


@dataclass(frozen=True, slots=True)
class Report:
    """
    What somebody reported, and what became of it.

    Args:
        id: 0 until stored.
        about: the records it is about, sorted.
        actor: who reported: `key:…` or `user:…`; and the role they had.
        comment: in the reporter's words: protected data, never logged, destroyed with the record.
        trait: which one, when a trait is said to be wrong.
        study_uid: Study Instance UID of the exam that showed it.
        version: grows with every change; a decision names the version it read.
        fact_id: the first fact of the doubt it raised.
        answer: what the person who decided wrote; protected like the comment.
    """

    id: int
    kind: ReportKind
    about: tuple[RecordKey, ...]
    actor: str
    role: str
    received_at: datetime
    changed_at: datetime
    comment: str = ""
    trait: str = ""
    study_uid: str = ""
    state: ReportState = ReportState.RECEIVED
    version: int = 1
    fact_id: int | None = None
    decided_by: str = ""
    answer: str = ""


class Followed(StrEnum):
    """How one request to a site stands, as far as a report goes."""

    OPEN = "open"
    DONE = "done"
    OTHERWISE = "otherwise"


def check_report(kind: ReportKind, about: Collection[RecordKey], *, trait: str) -> None:
    """
    Refuse a report that cannot be acted upon.

    Raises:
        LinkConflict: it names nobody, too few or too many for its kind, or no trait there is.
    """
    domains = {key.domain for key in about}
    if not about:
        raise LinkConflict("a report is about at least one identifier")
    if kind is ReportKind.DUPLICATE and (len(about) != 2 or len(domains) != 1):
        raise LinkConflict("a duplicate is reported of two identifiers of one domain")
    if kind is ReportKind.WRONG_LINK and len(about) < 2:
        raise LinkConflict("a wrong link is reported of two identifiers or more")
    if (trait != "") != (kind is ReportKind.WRONG_TRAIT):
        raise LinkConflict("a trait is named when a trait is wrong, and only then")
    if trait and trait not in REPORTED_TRAITS:
        raise LinkConflict(f"the trait is one of: {', '.join(REPORTED_TRAITS)}")


def state_after(current: ReportState, decision: Decision) -> ReportState:
    """
    The state a decision leads to.

    Raises:
        LinkConflict: the report is in no state for it.
    """
    if current not in _DECIDED_FROM[decision]:
        raise LinkConflict(f"a report that is {current} cannot be decided so: {decision}")
    return _LEADS_TO[decision]


def state_with(requests: Iterable[Followed]) -> ReportState:
    """The state of an accepted report, by what became of the requests that were not withdrawn."""
    requests = tuple(requests)
    if not requests:
        return ReportState.ACCEPTED
    if Followed.OPEN in requests:
        return ReportState.CORRECTING
    return ReportState.CONTESTED if Followed.OTHERWISE in requests else ReportState.CORRECTED


def life_cycle_diagram() -> str:
    """The transition table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {ReportState.RECEIVED}"]
    lines += [
        f"    {state} --> {target}"
        for state in ReportState
        for target in ReportState
        if target in TRANSITIONS[state]
    ]
    return "\n".join(lines) + "\n"
