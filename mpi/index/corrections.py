"""
Requests to sites: what a site is asked to change in its own records, and the life of such a request.

The index changes nothing in a domain it does not own. A decision of a person that only a site can put into effect
becomes a request, and the request is open until the site itself says what makes it so: nobody here declares it
done, and an acknowledgement does not either. What is asked, and what shows it done, is in `requests`.

Source: RNIV (the MPI proposes, the site merges); PAM-FR 2.11 (A31, A40, A47, A24, A37); IHE PIR.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mpi.identity.model import RecordKey
from mpi.index.reports import Followed


class CorrectionKind(StrEnum):
    """What a site is asked to do."""

    MERGE = "merge"
    """Merge two of its identifiers: the left one stays, the right one is retired."""
    RESTATE = "restate"
    """State who the identifier names, as the request expects it or as the site finds it to be."""
    WITHDRAW_INS = "withdraw_ins"
    """Take back an INS that is somebody else's."""
    LINK = "link"
    """Link again two identifiers that it unlinked."""
    UNLINK = "unlink"
    """Unlink two identifiers that it linked."""
    SEPARATE = "separate"
    """Undo a merge: the right identifier is of somebody else than the left one."""
    REATTRIBUTE = "reattribute"
    """File an exam, found under the identifier, under the one of the patient it is of."""


TRIGGER: Mapping[CorrectionKind, str] = {
    CorrectionKind.MERGE: "A40",
    CorrectionKind.RESTATE: "A31",
    CorrectionKind.WITHDRAW_INS: "A47",
    CorrectionKind.LINK: "A24",
    CorrectionKind.UNLINK: "A37",
}
"""The message that does it, which may be suggested. No message undoes a merge: that takes people."""


class CorrectionState(StrEnum):
    """Where a request stands."""

    REQUESTED = "requested"
    """It waits to be sent, or its sheet to be handed over."""
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    """The site has the request. That is all it says."""
    REFUSED = "refused"
    """The site's system would not take the message, or it could not be brought there."""
    OVERDUE = "overdue"
    """The site was given long enough, and nothing of it shows that it did."""
    DONE = "done"
    """The site's own messages show it."""
    OTHERWISE = "otherwise"
    """The site answered, and not as it was asked: a person should look."""
    WITHDRAWN = "withdrawn"
    """What it rests on was taken back, or a person took it back."""


SETTLED = frozenset({CorrectionState.DONE, CorrectionState.OTHERWISE})
_ON_THE_WAY = frozenset(
    {
        CorrectionState.REQUESTED,
        CorrectionState.SENT,
        CorrectionState.ACKNOWLEDGED,
        CorrectionState.REFUSED,
        CorrectionState.OVERDUE,
    }
)
_ENDS = SETTLED | {CorrectionState.WITHDRAWN}
TRANSITIONS: Mapping[CorrectionState, frozenset[CorrectionState]] = {
    CorrectionState.REQUESTED: (_ON_THE_WAY - {CorrectionState.REQUESTED}) | _ENDS,
    CorrectionState.SENT: frozenset(
        {CorrectionState.ACKNOWLEDGED, CorrectionState.REFUSED, CorrectionState.OVERDUE}
    )
    | _ENDS,
    CorrectionState.ACKNOWLEDGED: frozenset({CorrectionState.REQUESTED, CorrectionState.OVERDUE}) | _ENDS,
    CorrectionState.REFUSED: frozenset({CorrectionState.REQUESTED, CorrectionState.OVERDUE}) | _ENDS,
    CorrectionState.OVERDUE: frozenset({CorrectionState.REQUESTED}) | _ENDS,
    CorrectionState.DONE: _ON_THE_WAY | {CorrectionState.OTHERWISE, CorrectionState.WITHDRAWN},
    CorrectionState.OTHERWISE: _ON_THE_WAY | {CorrectionState.DONE, CorrectionState.WITHDRAWN},
    CorrectionState.WITHDRAWN: frozenset(),
}
"""A site may act before it was asked, and what showed it done may be taken back; a withdrawn request is over."""


@dataclass(frozen=True, slots=True)
class WantedCorrection:
    """
    Something a site should change.

    Args:
        cause: what it rests on, by this index's own names: `fact/3`, `report/2.4` (the fourth version of report 2).
        left: the identifier it is about, or the one that stays, or that visits leave.
        right: the other one; equal to `left` when it is about one.
        source: who said what has to be taken back; empty for whoever feeds the domain of `left`.
        expected: what should be true, as named traits; empty when only the site can know.
        before: what is said now, as named traits.
        traits: which of them are in question.
        study_uid: the exam to file elsewhere.
    """

    kind: CorrectionKind
    cause: str
    left: RecordKey
    right: RecordKey
    source: str = ""
    expected: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, str] = field(default_factory=dict)
    traits: tuple[str, ...] = ()
    study_uid: str = ""


@dataclass(frozen=True, slots=True)
class Correction:
    """
    A request to a site, as it is kept.

    Args:
        id: 0 until stored.
        left_id, right_id: the records of its two keys.
        source: the patient identity source that is asked; empty when nobody feeds the domain.
        due_at: when it is overdue.
        outbox_id: its last message; None for one that is handed over on paper.
        settled: DONE or OTHERWISE, by the site's own messages; None while they do not show it.
        settled_by: `message/9`.
    """

    id: int
    wanted: WantedCorrection
    left_id: int
    right_id: int
    source: str
    requested_by: str
    requested_at: datetime
    due_at: datetime
    outbox_id: int | None = None
    settled: Followed | None = None
    settled_at: datetime | None = None
    settled_by: str = ""
    withdrawn_at: datetime | None = None
    withdrawn_by: str = ""
    version: int = 1

    @property
    def kind(self) -> CorrectionKind:
        """What is asked."""
        return self.wanted.kind

    @property
    def domain(self) -> str:
        """Key of the domain whose site is asked."""
        return self.wanted.left.domain

    @property
    def report_id(self) -> int | None:
        """The report it answers."""
        what, _, number = self.wanted.cause.partition("/")
        return int(number.partition(".")[0]) if what == "report" else None

    @property
    def fact_id(self) -> int | None:
        """The decision it rests on."""
        what, _, number = self.wanted.cause.partition("/")
        return int(number) if what == "fact" else None

    @property
    def followed(self) -> Followed:
        """How it stands, as far as what it rests on goes."""
        return self.settled or Followed.OPEN

    @property
    def is_open(self) -> bool:
        """Whether the site still has to act."""
        return self.settled is None and self.withdrawn_at is None


def life_cycle_diagram() -> str:
    """The transition table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {CorrectionState.REQUESTED}"]
    lines += [
        f"    {state} --> {target}"
        for state in CorrectionState
        for target in CorrectionState
        if target in TRANSITIONS[state]
    ]
    return "\n".join(lines) + "\n"
