"""
What travels in REST bodies. Inputs take no field they do not know; outputs are models of their own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import (
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    WrapValidator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from mpi.api.problems import INCOMPATIBLE
from mpi.index.review import Verdict
from mpi.index.search import Spelling

MAX_IDENTITIES = 1000
Trait = Annotated[Any, WithJsonSchema({"type": ["string", "integer", "boolean", "null"]})]
"""Read by `identity.tabular`, which owns the rules of every trait."""


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Out(BaseModel):
    model_config = ConfigDict(frozen=True)


def _epoch() -> Any:
    return Field(
        0,
        exclude_if=lambda number: number == 0,
        description="Present when the site gave the identifier to another person: which of them, from 1.",
    )


def _doubtful() -> Any:
    return Field(
        False,
        exclude_if=lambda doubtful: not doubtful,
        description="Present when somebody reported the identity to be wrong, or its site says that it is doubtful.",
    )


Reason = Annotated[str, Field(max_length=1000, description="In the reviewer's words; no traits, please.")]


def _trait(description: str) -> Any:
    return Field(default=None, description=description)


class TraitsIn(_In):
    """One person's traits; all optional, empty means missing."""

    birth_name: Trait = _trait("Family name at birth.")
    used_name: Trait = _trait("Family name used in life.")
    given_names: Trait = _trait("Birth given names, separated by spaces, the first one first.")
    used_given_name: Trait = _trait("Given name used in life.")
    birth_date: Trait = _trait("YYYY-MM-DD, YYYYMMDD, or partial: YYYY-MM, YYYY.")
    sex: Trait = _trait("M, F or U.")
    birth_place: Trait = _trait("INSEE code, or text.")
    address: Trait = _trait("Street address.")
    postal_code: Trait = _trait("Postal code, as text: its zeros count.")
    city: Trait = _trait("Town of residence.")
    country: Trait = _trait("Country of residence.")
    phone: Trait = _trait("Phone; several separated by `~`.")
    email: Trait = _trait("E-mail address; several separated by `~`.")
    national_id: Trait = _trait("Any national number: compared, never validated.")
    ins: Trait = _trait("French INS matricule with its key: validated. Counts as qualified.")
    mother_birth_name: Trait = _trait("Birth name of the mother.")
    birth_order: Trait = _trait("Rank in a multiple birth.")
    multiple_birth: Trait = _trait("Whether the birth was multiple.")
    identity_status: Trait = _trait("PROV, RECUP, VALI or QUAL, and attribute codes, separated by spaces.")

    def stated(self) -> dict[str, Any]:
        """The traits that were sent, by name."""
        return {name: getattr(self, name) for name in TraitsIn.model_fields if name in self.model_fields_set}


class IdentityIn(TraitsIn):
    """An identity to resolve: its identifier, its traits, or both."""

    domain: Trait = _trait(
        "Namespace or OID of the identifier's domain. One this index does not know is taken."
    )
    id: Trait = _trait("The identifier, in that domain.")
    record_id: Trait = _trait("The same as `id`, under its name in tables.")


@dataclass(frozen=True, slots=True)
class NotAnIdentity:
    """An item that is no identity: where in it, and what is wrong. It is answered alone, as invalid."""

    errors: Sequence[Mapping[str, Any]]


def _identity_or_error(value: Any, read: Callable[[Any], IdentityIn]) -> IdentityIn | NotAnIdentity:
    try:
        return read(value)
    except ValidationError as error:
        return NotAnIdentity(error.errors(include_url=False, include_context=False, include_input=False))


Item = Annotated[IdentityIn, WrapValidator(_identity_or_error)]


class ResolveIn(_In):
    """Identities to group with one another and with the index."""

    identities: list[Item] = Field(min_length=1, max_length=MAX_IDENTITIES)


class PlaceOut(_Out):
    """One thing that is wrong, and where."""

    place: str
    problem: str


class IdentifierOut(_Out):
    """An identifier, and the namespace of the domain that issued it."""

    domain: str
    id: str
    epoch: int = _epoch()


class ResolvedOut(_Out):
    """What is known of one identity."""

    suid: str | None = Field(
        description="Stable for the consumer that asks, meaningless to any other; null when invalid."
    )
    euid: str | None = Field(description="Enterprise identifier, when there is one the caller may see.")
    status: str = Field(
        description="linked, probable, ambiguous or unknown; invalid when the identity cannot be read."
    )
    probability: float | None = Field(
        description="Of the link to its group; 1 for an identity the index holds; null when invalid."
    )
    members: list[IdentifierOut] = Field(description="Visible identifiers of the same person.")
    companions: list[int] = Field(
        description="Positions, from 0, of the other identities of the request that are the same person."
    )
    doubtful: bool = _doubtful()
    domain_known: bool | None = Field(
        description="Whether `domain` names one the caller may see; null when none was given."
    )
    error: PlaceOut | None = Field(
        None, description="Why the identity is invalid: `identities[3].birth_date` and the problem."
    )


class ResolveOut(_Out):
    """One answer for each identity, in the order of the request."""

    identities: list[ResolvedOut]


class IdentifiersOut(_Out):
    """The other identifiers of one person."""

    asked: IdentifierOut
    euid: str | None
    identifiers: list[IdentifierOut]
    doubtful: bool = _doubtful()


class MemberOut(_Out):
    """One source record of an enterprise record."""

    domain: str
    id: str
    epoch: int = _epoch()
    subsumed: bool = Field(description="The same as `retired`, under its first name.")
    retired: bool = Field(
        description="The identifier names it no longer: merged away, renamed, or given to another person."
    )
    held: bool = Field(
        description="A newer statement looks like another person's, and waits for a decision: an overlay."
    )
    doubted: bool = Field(description="A person said that this record is wrong: no weight links it.")
    doubtful: bool = _doubtful()
    status: str = Field(description="RNIV status: PROV, RECUP, VALI or QUAL.")
    attributes: list[str] = Field(description="RNIV attributes.")


class GoldenOut(_Out):
    """A surviving value, the record it comes from, and since when."""

    value: str | int | bool | list[str]
    source: IdentifierOut
    since: datetime


class PatientOut(_Out):
    """A person across domains."""

    asked: str
    euid: str
    retired: bool = Field(description="The identifier asked for now redirects to `euid`.")
    retired_since: datetime | None = Field(
        description="When it ceased; null when it did not, or when its record is not the caller's to see."
    )
    members: list[MemberOut]
    golden: dict[str, GoldenOut]


class EvidenceOut(_Out):
    """What one trait says of a pair."""

    trait: str
    level: str
    bits: float


class ScoreOut(_Out):
    """What the model says of a pair."""

    weight_bits: float
    probability: float
    decision: str
    guards: list[str]
    evidence: list[EvidenceOut]
    sentences: list[str]


class AssertionOut(_Out):
    """What a person or a source said of a pair."""

    fact_id: int | None = Field(description="For callers who may read facts: numbers count everybody's.")
    kind: str
    actor: str
    at: datetime
    reason: str
    sentence: str


class LinkOut(_Out):
    """Why two members are together: a score, or an assertion."""

    left: IdentifierOut
    right: IdentifierOut
    score: ScoreOut | None
    assertion: AssertionOut | None


class ExplanationOut(_Out):
    """Why the members of an enterprise record are together."""

    asked: str
    euid: str
    links: list[LinkOut]


class MembershipOut(_Out):
    """A record belonged to an enterprise record from one instant to another; null: still."""

    domain: str
    id: str
    euid: str
    epoch: int = _epoch()
    valid_from: datetime
    valid_to: datetime | None
    cause: str = Field(description="What made it so: `message/9`, `fact/3`, `relink/1`; empty when not kept.")


class HistoryOut(_Out):
    """Every membership the records of a person ever had, oldest first."""

    asked: str
    euid: str
    memberships: list[MembershipOut]


class MatchIn(_In):
    """An identity to look for; nothing of it is stored."""

    identity: TraitsIn
    limit: int = Field(20, ge=1, le=20, description="At most this many candidates.")


class CandidateOut(_Out):
    """A person the identity resembles, by the record that resembles it most."""

    euid: str
    record: IdentifierOut
    grade: str = Field(description="certain, probable or possible.")
    score: ScoreOut


class MatchOut(_Out):
    """Candidates, best first."""

    candidates: list[CandidateOut]


class SearchIn(_In):
    """What is known of a person to look up; nothing of it is stored."""

    birth_date: Trait = _trait("YYYY-MM-DD, YYYYMMDD, or partial: YYYY-MM, YYYY. The first thing to ask.")
    birth_date_until: Trait = _trait("The last day, month or year it may be, when `birth_date` is the first.")
    name: Trait = _trait("Birth or used family name, or its first letters: three are enough.")
    given_name: Trait = _trait("Any given name, or its first letters.")
    sex: Trait = _trait("M, F or U.")
    postal_code: Trait = _trait("Postal code of residence.")
    domain: Trait = _trait("Namespace or OID of the identifier's domain.")
    id: Trait = _trait("An identifier of the person in that domain.")
    ins: Trait = _trait("The INS of a qualified identity: the matricule with its key.")
    spelling: Spelling = Field(
        Spelling.LOOSE,
        description="How near names have to be: `exact`; `same` but for case, accents, particles and hyphens; "
        "`prefix`, begins so; `loose`, or sounds so, or is one letter away.",
    )
    limit: int = Field(
        20, ge=1, le=20, description="At most this many people; with more, nobody is answered."
    )


class HoldsOut(_Out):
    """How a part of the search holds for a person."""

    way: str = Field(description="same, prefix, other_name, sounds_alike, one_letter or compatible.")
    sentence: str


class FoundOut(_Out):
    """A person who answers, as far as the caller may see them."""

    id: str = Field(description="Names the person to this caller; stays when records of others come and go.")
    likeness: float = Field(description="0 to 1; what is spelled as asked comes before what only sounds so.")
    doubtful: bool = Field(description="Somebody reported that the identity is wrong, or its site says so.")
    why: dict[str, HoldsOut] = Field(description="By part of the search.")
    golden: dict[str, GoldenOut]
    identifiers: list[IdentifierOut]


class SearchOut(_Out):
    """Who answers a search, most alike first."""

    people: list[FoundOut]
    too_broad: bool = Field(description="More people would answer than may be shown: none is.")
    advice: str | None = Field(description="What to do when the search is too broad.")


class HappeningOut(_Out):
    """One thing that happened to a person."""

    at: datetime
    what: str = Field(description="stated, held, asserted, proposed, confirmed, withdrawn, joined, or asked.")
    subjects: list[IdentifierOut] = Field(description="The records it is about.")
    actor: str = Field(description="`source:…` or `user:…`; empty for what the engine derived.")
    cause: str = Field(description="What made it so: `message/9`, `fact/3`, `task/5`, `relink/1`.")
    details: dict[str, Any] = Field(
        description="By kind: the statement, the fact, the enterprise record joined, the task. Never traits."
    )


class TimelineOut(_Out):
    """What happened to a person and why, oldest first."""

    asked: str
    happenings: list[HappeningOut]


class NamedIn(_In):
    """An identifier of a configured domain."""

    domain: str = Field(min_length=1, max_length=256, description="Namespace or OID of its domain.")
    id: str = Field(min_length=1, max_length=256, description="The identifier.")
    epoch: int | None = Field(
        None, ge=0, le=10_000, description="Which person it named; whom it names today by default."
    )


class SplitIn(_In):
    """Members to take out of an enterprise record."""

    members: list[NamedIn] = Field(min_length=1, max_length=1000)
    to: NamedIn | None = Field(
        None, description="Move them to the enterprise record of this identifier; on their own by default."
    )
    reason: Reason = ""


class EraseIn(_In):
    """The identifier whose record is destroyed, and why."""

    domain: str = Field(min_length=1, max_length=256, description="Namespace or OID of its domain.")
    id: str = Field(min_length=1, max_length=256, description="The identifier.")
    reason: str = Field(min_length=1, max_length=1000, description="The request it answers; no traits.")


class ErasedOut(_Out):
    """What is left of an erased record."""

    euid: str = Field(description="The enterprise identifier it bore by itself, retired for ever.")


class NotificationOut(_Out):
    """One notification that was queued for a consumer."""

    id: int
    kind: str
    queued_at: datetime


class NotificationRowOut(_Out):
    """One notification, and what became of it."""

    id: int
    addressee: str = Field(description="A consumer, a source (corrections), or subscription/NUMBER.")
    channel: str = Field(description="mllp, webhook, rest-hook or correction.")
    kind: str
    state: str = Field(description="pending, delivered, dead (given up) or withdrawn.")
    attempts: int
    queued_at: datetime
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    error: str = Field(description="Why the last attempt failed; nothing of a patient.")
    identifiers: list[IdentifierOut] = Field(description="What it tells of, as far as the caller may see.")


class QueueOut(_Out):
    """What waits for one addressee over one channel."""

    addressee: str
    channel: str
    pending: int
    dead: int = Field(description="Given up; they can be sent again.")
    oldest: datetime | None = Field(description="Since when the oldest waits.")


class NotificationsOut(_Out):
    """A page of notifications; `next` goes into `after`, null when this is the last."""

    notifications: list[NotificationRowOut]
    queues: list[QueueOut] = Field(description="Those in which something waits or was given up.")
    paused: dict[str, datetime] = Field(description="Who is paused, and since when.")
    next: int | None


class ResentOut(_Out):
    """What waits now in the place of a notification."""

    id: int
    waiting: list[int] = Field(description="The same one, or newer ones if it said what is true no more.")


class AddresseeOut(_Out):
    """Whether an addressee is sent to."""

    addressee: str
    paused: bool


class ToldOut(_Out):
    """What a consumer was, or would have been, told of an identifier by an instant."""

    consumer: str
    asked: IdentifierOut
    on: datetime
    identifiers: list[IdentifierOut] = Field(description="The answer to a cross-reference query then.")
    notified: list[NotificationOut] = Field(description="About that person, queued by then.")


class ClaimOut(_Out):
    """Who works on a task."""

    by: str
    until: datetime = Field(description="When the claim lapses by itself.")


class TaskOut(_Out):
    """A review task."""

    id: int
    topic: str = Field(description="What is asked: link, duplicate, conflict, overlay, block or quality.")
    kind: str = Field(description="Why it is asked.")
    state: str = Field(description="`proposed`: somebody decided, and another person has to confirm it.")
    reason: str
    weight_bits: float | None
    priority: int = Field(description="The greater, the sooner it should be looked at.")
    version: int
    opened_at: datetime
    changed_at: datetime
    verdict: str | None
    reviewer: str = Field(description="Who decided or proposed; empty when nobody did.")
    fact_id: int | None = Field(description="The first fact the verdict became.")
    answers: list[str] = Field(description="Verdicts it takes; none when it is decided or obsolete.")
    claim: ClaimOut | None = Field(description="The last claim that was not given back.")


class TasksOut(_Out):
    """A page of tasks; `next` goes into `after`, null when this is the last."""

    reviews: list[TaskOut]
    next: int | None
    next_priority: int | None = Field(
        None,
        exclude_if=lambda priority: priority is None,
        description="Goes into `after_priority`; with `order=priority` only.",
    )


class SideOut(_Out):
    """One of the two records of a task. A protected identity shows no traits."""

    domain: str
    id: str
    epoch: int = _epoch()
    protected: bool
    traits: dict[str, str | int | bool]


class HeldOut(_Out):
    """A statement that looks like another person's, and does not take effect."""

    statement_id: int
    reason: str
    source: str
    message_id: int
    event_time: datetime
    recorded_at: datetime
    traits: dict[str, str | int | bool] = Field(description="None of a protected identity.")


class TaskVersionOut(_Out):
    """A task as it once was."""

    version: int
    kind: str
    state: str
    reason: str
    weight_bits: float | None
    changed_at: datetime
    verdict: str | None
    reviewer: str


class ReviewOut(TaskOut):
    """A task with what it takes to decide it."""

    left: SideOut = Field(description="On an overlay, the record as it was before the held statement.")
    right: SideOut = Field(description="On an overlay, what the held statement says.")
    score: ScoreOut
    would_change: list[str] = Field(description="What would change the decision, a sentence each.")
    fingerprint: dict[str, str] = Field(description="How the records compare: the level of each trait.")
    changed: list[str] = Field(description="Traits that compare otherwise than at the last answer.")
    held: list[HeldOut] = Field(description="On an overlay, the statements that wait, as they were judged.")
    history: list[TaskVersionOut] = Field(description="Every version, the present one last.")


class VerdictIn(_In):
    """A person's answer to a task."""

    verdict: Verdict = Field(description="One of the task's `answers`.")
    version: int = Field(ge=0, description="Version of the task that was read.")
    reason: Reason = ""


class Said(StrEnum):
    """What a person may say of records without being asked."""

    SAME = "same"
    DIFFERENT = "different"
    HOMONYMS = "homonyms"
    DOUBTED = "doubted"


class AssertIn(_In):
    """An assertion about two identifiers, or, when it is a doubt, about one."""

    kind: Said = Field(description="`doubted` is about `left` alone; the others about `left` and `right`.")
    left: NamedIn
    right: NamedIn | None = None
    reason: Reason = ""

    @model_validator(mode="after")
    def _one_or_two(self) -> Self:
        if self.kind is Said.DOUBTED and self.right is not None:
            raise PydanticCustomError(INCOMPATIBLE, "a doubt is about one record: left alone")
        if self.kind is not Said.DOUBTED and self.right is None:
            raise PydanticCustomError(INCOMPATIBLE, "it is about two records: right is required")
        return self


class ReasonIn(_In):
    """Why."""

    reason: Reason = ""


class WithdrawIn(_In):
    """What is known by the one who withdraws."""

    knowing: list[int] = Field(
        [], max_length=1000, description="Later assertions about the records that would move (see `facts`)."
    )


class FactOut(_Out):
    """An assertion by a person or a source."""

    id: int
    kind: str
    left: IdentifierOut
    right: IdentifierOut = Field(description="The same as `left` when it is about one record.")
    actor: str
    event_time: datetime
    recorded_at: datetime
    reason: str
    message_id: int | None
    statement_id: int | None = Field(description="The statement it is about, when it is about one.")
    act_id: int = Field(description="The first fact of the act; what was said together is undone together.")
    stands: bool = Field(description="Whether it counts today.")
    waits_for: str | None = Field(
        description="`confirmation` or `withdrawal`, when a second person has to agree to it."
    )
    confirmed_at: datetime | None
    confirmed_by: str
    withdrawal_asked_by: str
    withdrawn_at: datetime | None
    withdrawn_by: str


class ActOut(_Out):
    """The facts of one act of a person."""

    facts: list[FactOut] = Field(description="Those about records the caller may see.")
    proposed: bool = Field(description="Nothing counts until a second person confirms it.")


class FactsOut(_Out):
    """A page of facts; `next` goes into `after`, null when this is the last."""

    facts: list[FactOut]
    next: int | None


class MessageOut(_Out):
    """A received message, without its content."""

    id: int
    source: str
    event: str
    state: str
    place: str
    problem: str
    warnings: list[str] = Field(description="What was tolerated: places and problems, without values.")
    received_at: datetime
    reason: str = Field(description="Why it was stopped, and what helps, in words.")
    replay_of: int | None = Field(description="The message whose place it was to take.")
    repeats: int | None = Field(description="The message it is the same as.")
    settled_at: datetime | None
    settled_by: str = Field(description="Who repaired or discarded it, or the message that took its place.")
    settled_reason: str


class SettleIn(_In):
    """Why a message is processed again, or discarded."""

    reason: Reason = ""


class DiscardIn(_In):
    """Why a message shall have no effect."""

    reason: Annotated[Reason, Field(min_length=1)]


class RepairIn(_In):
    """A corrected message, to be processed in the place of one that was stopped."""

    message: Base64Bytes = Field(description="The whole HL7 v2 message, without framing, in base64.")
    reason: Annotated[Reason, Field(min_length=1)]


class ReplayManyIn(_In):
    """Which quarantined messages are processed again, oldest first."""

    source: str = Field(min_length=1, max_length=256)
    problem: str | None = Field(None, max_length=1000)
    limit: int = Field(100, ge=1, le=1000)
    reason: Reason = ""


class OutcomeOut(_Out):
    """What became of a message."""

    id: int
    state: str
    place: str
    problem: str


class SettledOut(_Out):
    """What became of a message that was worked off, and of those that waited for it."""

    message: OutcomeOut | None = Field(description="Of the message that took its place; null when discarded.")
    released: list[OutcomeOut]


class ReplayedOut(_Out):
    """How many messages were processed again, by the state of the message that was to take their place."""

    messages: int
    states: dict[str, int]


class MessagesOut(_Out):
    """A page of the journal; `next` goes into `after`, null when this is the last."""

    messages: list[MessageOut]
    next: int | None


class CountsOut(_Out):
    """How many messages of each source are in each state."""

    counts: dict[str, dict[str, int]]
    total: int


class ProblemCountOut(_Out):
    """How many quarantined messages one problem stopped."""

    place: str
    problem: str
    count: int


class CountedOut(_Out):
    """In how many recent messages something was tolerated."""

    warning: str
    count: int


class HarvestOut(_Out):
    """How far an archive has been asked, and how it goes."""

    state: str = Field(description="running, waiting for its next turn, or failing.")
    through: date | None = Field(description="Every day up to this one was handed over.")
    skip: int = Field(description="Answers of the next day that were handed over.")
    days_behind: int | None = Field(description="Whole days from there to today.")
    problem: str = Field(description="Why the last attempt failed; empty while it goes well.")
    failing_since: datetime | None
    succeeded_at: datetime | None
    next_at: datetime | None = Field(description="When it is asked again.")


class RatesOut(_Out):
    """How many messages a source sends."""

    hour: float = Field(description="Over the last hour, estimated.")
    day: float = Field(description="Over the last day.")
    usual: float | None = Field(description="Over the hours of the last week in which it sent anything.")


class FeedOut(_Out):
    """How the feed of one source does."""

    source: str
    configured: bool = Field(description="False for the names given to senders that are no source.")
    last_received_at: datetime | None
    counts: dict[str, int] = Field(description="Messages by the state they reached.")
    quarantined: list[ProblemCountOut] = Field(description="The most frequent problems, without values.")
    warnings: list[CountedOut] = Field(description="What was tolerated lately, without values.")
    clock_ahead_seconds: float | None = Field(
        description="The furthest a recent event was dated after its reception; negative when none was."
    )
    delay_seconds: float | None = Field(description="From a recent event to its reception, the median.")
    backlog: int = Field(description="Messages that wait for an earlier one of the same patient.")
    per_minute: RatesOut = Field(description="Messages per minute.")
    charset_deviations: int = Field(
        description="Recent messages in another character set than they declared."
    )
    profile_deviations: int = Field(description="Recent messages that left the profile of their event.")
    excluded: dict[str, int] = Field(description="Headers of nobody: de-identified, phantoms, tests.")
    unreadable: int = Field(description="Objects and files of which nothing could be read.")
    harvest: HarvestOut | None = Field(description="For an archive that is harvested.")
    expected_sequence: int | None = Field(description="MSH-13 of the next message, where they are numbered.")
    alarms: list[str] = Field(
        description="silent, flood, clock, quarantine, quarantine_grows, harvest: what somebody should look into."
    )


class CertificateOut(_Out):
    """A certificate this index shows to those who connect."""

    key: str = Field(description="The setting that names its file.")
    expires_at: datetime
    alarms: list[str] = Field(description="certificate, when it expires within 30 days or has expired.")


class FeedsOut(_Out):
    """Every feed at one instant."""

    at: datetime
    feeds: list[FeedOut]
    certificates: list[CertificateOut]


class ProblemOut(_Out):
    """An error (RFC 9457). Nothing that was sent is repeated in it."""

    type: str
    title: str
    status: int
    detail: str = ""
    errors: list[PlaceOut] = []
    facts: list[int] = Field([], description="The assertions that stand in the way, by their ids.")
    correlation_id: str = ""
