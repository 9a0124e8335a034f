"""What travels in the bodies of reports, requests to sites, and indicators."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from mpi.api.problems import INCOMPATIBLE
from mpi.api.rest.bodies import IdentifierOut, NamedIn
from mpi.index.corrections import CorrectionKind
from mpi.index.reports import Decision, ReportKind

Words = Annotated[str, Field(max_length=4000, description="Protected like the patient's data; never logged.")]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True)


class ReportIn(_In):
    """Something that is wrong: with which identifiers, or with which person."""

    kind: ReportKind = Field(
        description="not_my_patient, duplicate (two identifiers of one domain), wrong_trait, wrong_ins, "
        "overlay_suspected, wrong_link (two identifiers or more), other."
    )
    about: list[NamedIn] = Field([], max_length=20, description="The identifiers it is about.")
    person: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="Or the person: every identifier of it that you may see.",
    )
    trait: str | None = Field(
        None,
        max_length=40,
        description="Of a wrong trait: birth_name, used_name, given_names, birth_date, sex or birth_place.",
    )
    study_uid: str | None = Field(
        None,
        max_length=64,
        pattern=r"^[0-9.]+$",
        description="Study Instance UID of the exam that showed it.",
    )
    comment: Words = ""

    @model_validator(mode="after")
    def _of_identifiers_or_of_a_person(self) -> Self:
        if bool(self.about) == (self.person is not None):
            raise PydanticCustomError(INCOMPATIBLE, "name identifiers in about, or a person: one of the two")
        return self


class ExpectedIn(_In):
    """What should be true of the person, as far as it is known."""

    birth_name: str | None = Field(None, max_length=256)
    used_name: str | None = Field(None, max_length=256)
    given_names: str | None = Field(None, max_length=256)
    birth_date: str | None = Field(None, max_length=10)
    sex: str | None = Field(None, max_length=1)
    birth_place: str | None = Field(None, max_length=256)

    def stated(self) -> dict[str, str]:
        """The traits that were sent, by name."""
        return {name: value for name, value in self.model_dump().items() if value}


class DecisionIn(_In):
    """What a person decides about a report."""

    decision: Decision = Field(
        description="accept; reject and answer lift the doubt; close lifts that of an accepted one; reopen."
    )
    version: int = Field(ge=0, description="Version of the report that was read.")
    answer: Words = ""
    asks: list[CorrectionKind] | None = Field(
        None,
        max_length=10,
        description="When accepted, what sites are asked; by the kind of the report otherwise.",
    )
    of: list[NamedIn] | None = Field(
        None, min_length=1, max_length=20, description="Of which identifiers; of all otherwise."
    )
    expected: ExpectedIn | None = Field(
        None, description="What should be true, for a record to be stated again."
    )


class FollowedOut(_Out):
    """A request that rests on a report, as its reporter may know of it."""

    id: int
    kind: str
    state: str
    domain: str


class ReportOut(_Out):
    """A report, and what became of it."""

    id: int
    kind: str
    about: list[IdentifierOut]
    reported_by: str
    role: str
    received_at: datetime
    comment: str
    trait: str
    study_uid: str
    state: str = Field(
        description="received, accepted, correcting, corrected, contested, rejected, answered or closed."
    )
    doubtful: bool = Field(description="Whether the identities are doubtful because of it.")
    version: int
    changed_at: datetime
    decided_by: str
    answer: str
    corrections: list[FollowedOut] = Field(description="What sites were asked because of it.")


class ReportsOut(_Out):
    """A page of reports; `next` goes into `after`, null when this is the last."""

    reports: list[ReportOut]
    next: int | None


class CorrectionOut(_Out):
    """What a site is asked to change in its own records."""

    id: int
    kind: str = Field(
        description="merge, restate, withdraw_ins, link, unlink, separate or reattribute: what the site has to do."
    )
    state: str = Field(
        description="requested, sent, acknowledged, refused, overdue, done, otherwise or withdrawn."
    )
    domain: str
    source: str = Field(description="Who is asked; empty when no source feeds the domain.")
    left: IdentifierOut = Field(description="The identifier it is about, or the one that stays.")
    right: IdentifierOut = Field(description="The other one; the same when it is about one.")
    cause: str = Field(description="What it rests on: `fact/3`, or `report/2.4` (a version of it).")
    report_id: int | None
    fact_id: int | None
    traits: list[str] = Field(description="Those in question.")
    before: dict[str, str] = Field(description="What the site said when it was asked.")
    expected: dict[str, str] = Field(description="What should be true; empty where only the site can know.")
    study_uid: str
    sent_as: str = Field(
        description="The event of the message it is sent as; `paper` when a sheet is handed over."
    )
    message_state: str | None = Field(description="What became of its last message; null on paper.")
    message_error: str
    requested_by: str
    requested_at: datetime
    due_at: datetime
    settled_at: datetime | None = Field(description="When the site's own messages showed it.")
    settled_by: str = Field(description="The message that showed it: `message/9`.")
    withdrawn_at: datetime | None
    withdrawn_by: str


class CorrectionsOut(_Out):
    """A page of requests; `next` goes into `after`, null when this is the last."""

    corrections: list[CorrectionOut]
    next: int | None


class DomainFiguresOut(_Out):
    """How the identities of one domain do."""

    domain: str
    identities: int = Field(description="Active records.")
    by_status: dict[str, int]
    by_attribute: dict[str, int]
    qualified_share: float
    duplicates: int = Field(description="Records beyond the first of a person.")
    duplicate_rate: float = Field(description="Of the active records.")
    overlays_held: int
    ins_withdrawn: int = Field(description="INS withdrawn or replaced (A47).")


class OpenTasksOut(_Out):
    """The live tasks of one kind."""

    kind: str
    count: int
    oldest_days: float


class SourceFiguresOut(_Out):
    """What one source is asked."""

    source: str
    open: int
    overdue: int


class IndicatorsOut(_Out):
    """How the federation's identities do, in the domains the caller sees. No patient is in it."""

    at: datetime
    domains: list[DomainFiguresOut]
    tasks: list[OpenTasksOut]
    collisions: int = Field(
        description="Live questions about one INS on two people, or two people in one record."
    )
    reports: dict[str, int] = Field(description="By state.")
    corrected_reports: int
    mean_days_to_correction: float | None
    corrections: list[SourceFiguresOut]
