"""
Facts and messages: what reaches the registry, and what is kept of it.

A message becomes an envelope (its bytes and how to recognise it again) and an instruction
(what it asks). What stays true afterwards is a fact; everything else is derived from facts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum

from mpi.identity.model import PatientIdentifier, RecordKey, SourceRecord


class Protocol(StrEnum):
    """How a message arrived."""

    HL7V2 = "hl7v2"
    DICOM = "dicom"
    FHIR = "fhir"
    TABLE = "table"


@dataclass(frozen=True, slots=True)
class Envelope:
    """
    A received message before anyone reads it.

    Args:
        source: the configured patient identity source, or the name claimed when none matches.
        application: MSH-3, or the calling AE title; with facility and control_id, the key by
            which a resent message is recognised. Empty control_id: never a duplicate.
        content_hash: SHA-256 (hex) of what must be equal for two messages to be the same one.
        event: message type and trigger, such as `ADT^A28`, for the journal.
        sequence: MSH-13 (see `sequence`); None when its source does not number its messages.
        patients: identifier values it names, as far as they can be told before it is read: whose
            messages wait when this one cannot be handled. Not kept.
    """

    protocol: Protocol
    source: str
    application: str
    facility: str
    control_id: str
    content_hash: str
    raw: bytes
    event: str = ""
    sequence: int | None = None
    patients: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def dedupe_key(self) -> str:
        """The sender's own name for the message; empty when it gave none."""
        if not self.control_id:
            return ""
        return "\x1f".join((self.protocol, self.source, self.application, self.facility, self.control_id))


@dataclass(frozen=True, slots=True)
class Study:
    """
    One study, as one source knows it: what there is to look at, and under which identifier it was found.

    The key of a study is its UID, source and record.

    Args:
        uid: its Study Instance UID: the same study in every archive it was sent to.
        record: whom it was found under. Of an INS's own domain (see `domains.INS_DOMAINS`) for a manifest.
            Always of epoch 0: `message_id` says whom the identifier named when the study was told of.
        source: name of the patient identity source.
        accession: number of the order, of the site's own; empty when unknown.
        modalities: such as CT and MR, sorted.
        institution: as the header spells it.
        is_manifest: a list of what the sharing project holds, rather than images.
        message_id: the message that last told of it; 0 until stored.
    """

    uid: str
    record: RecordKey
    source: str
    accession: str = ""
    modalities: tuple[str, ...] = ()
    date: "date | None" = None
    institution: str = ""
    is_manifest: bool = False
    message_id: int = 0

    @property
    def key(self) -> tuple[str, str, RecordKey]:
        """What makes it one study of this index."""
        return self.uid, self.source, self.record

    def with_more(self, told: "Study") -> "Study":
        """This study and what a later message says of it: modalities add up, what is stated replaces the rest."""
        return replace(
            told,
            accession=told.accession or self.accession,
            modalities=tuple(sorted({*self.modalities, *told.modalities})),
            date=told.date or self.date,
            institution=told.institution or self.institution,
            is_manifest=self.is_manifest and told.is_manifest,
        )


@dataclass(frozen=True, slots=True)
class IdentityStated:
    """
    A source says who a person is. Several records: one person, several domains the source feeds.

    Args:
        elsewhere: the same person's identifiers in domains the source does not feed but may link to.
        studies: what was found under the records' identifiers.
        formerly: what the studies were found under before their archive corrected them.
    """

    records: tuple[SourceRecord, ...]
    elsewhere: tuple[RecordKey, ...] = ()
    studies: tuple[Study, ...] = ()
    formerly: tuple[RecordKey, ...] = ()


@dataclass(frozen=True, slots=True)
class IdentifiersMerged:
    """
    A source retires one of its own identifiers in favour of another.

    Args:
        renamed: one record gets another identifier (A47), which must be free; otherwise two
            records become one (A40).
    """

    survivor: PatientIdentifier
    subsumed: PatientIdentifier
    domain: str
    event_time: datetime
    source: str
    warnings: tuple[str, ...] = ()
    renamed: bool = False


@dataclass(frozen=True, slots=True)
class IdentifiersLinked:
    """
    A source says that two identifiers are one person's (A24), or no longer are (A37).

    Args:
        left, right: in any order; the records need not exist yet.
    """

    left: RecordKey
    right: RecordKey
    linked: bool
    event_time: datetime
    source: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PatientMoved:
    """
    A source moves visits or documents from one patient to another (A43, A44, A45): a wrong patient was chosen.

    The identifiers keep their meaning; it is a hint that their exams may be mixed up.
    """

    to: RecordKey
    origin: RecordKey
    event_time: datetime
    source: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Nothing:
    """A message that is read and asks for nothing: it is kept, and changes no identity."""


Instruction = IdentityStated | IdentifiersMerged | IdentifiersLinked | PatientMoved | Nothing


class MessageState(StrEnum):
    """The one state each received message is in (conservation law I24). All but `parked` are terminal."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"
    """It could not be applied, and somebody should look into it."""
    REFUSED = "refused"
    """Of a kind this index does not take."""
    PARKED = "parked"
    """It waits for an earlier message of the same patient, which could not be handled."""
    REPAIRED = "repaired"
    """It could not be applied, and a later message of the journal was in its place."""
    DISCARDED = "discarded"
    """A person decided that it shall have no effect."""


RECEIVED_AS = (
    MessageState.APPLIED,
    MessageState.DUPLICATE,
    MessageState.QUARANTINED,
    MessageState.REFUSED,
    MessageState.PARKED,
)
"""States a message may be in when it has just been received."""
STOPPED = frozenset({MessageState.QUARANTINED, MessageState.REFUSED})
"""States of messages that may be processed again."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    What became of a received message.

    Args:
        error: the MpiError that stopped it, or makes it wait; of a duplicate, what still keeps the first one
            from having its effect. None when applied, or the duplicate of what was.
        reply: the bytes to send back; for a duplicate, exactly those of the first time.
        linked: the message's records now share an enterprise record with another record.
        tasks_opened: review tasks this message opened.
        expected_sequence: the number its source has to send next, -1 when it may begin anywhere; None when
            the source does not number its messages.
    """

    state: MessageState
    message_id: int
    error: Exception | None = None
    reply: bytes = b""
    linked: bool = False
    tasks_opened: int = 0
    warnings: tuple[str, ...] = ()
    expected_sequence: int | None = None


class FactKind(StrEnum):
    """Assertions that stand until withdrawn. People outrank sources, sources outrank weights."""

    SAME = "same"
    """A person decided: must-link."""
    DIFFERENT = "different"
    """A person decided: cannot-link."""
    HOMONYMS = "homonyms"
    """A person decided: two people of the same traits; cannot-link, and known as such (RNIV)."""
    DOUBTED = "doubted"
    """A person decided: this record is the wrong one. It links to nothing by weight."""
    REPORTED = "reported"
    """Somebody reported that this record is wrong: its identity is doubtful until a person says otherwise. It stays
    where it is."""
    CONTINUED = "continued"
    """A person decided: a held statement is of the person its identifier always named."""
    SET_ASIDE = "set_aside"
    """A person decided: a statement is of somebody else, by mistake; it never takes effect."""
    RECYCLED = "recycled"
    """A person decided: from a statement on, the identifier names somebody else: a new epoch."""
    ERASED = "erased"
    """A person decided: what is known under this identifier is destroyed, and its EUID retired."""
    MERGED = "merged"
    """A source retired the right identifier in favour of the left one (A40)."""
    RENAMED = "renamed"
    """A source gave the record of the right identifier the left one (A47)."""
    SOURCE_LINKED = "source_linked"
    """A source stated several identifiers of one person (PID-3), or linked them (A24)."""
    SOURCE_UNLINKED = "source_unlinked"
    """A source says that two identifiers are not one person's (A37): no weight joins them."""
    MOVED = "moved"
    """A source moved visits from the right record to the left one (A43, A44, A45)."""


POSITIVE = frozenset({FactKind.SAME, FactKind.MERGED, FactKind.RENAMED, FactKind.SOURCE_LINKED})
"""They hold two records together."""
NEGATIVE = frozenset({FactKind.DIFFERENT, FactKind.HOMONYMS})
"""They keep two records apart, whatever else is asserted."""
RETIRING = frozenset({FactKind.MERGED, FactKind.RENAMED})
"""The right identifier is no longer in use."""
CLOSING = frozenset({FactKind.RECYCLED, FactKind.ERASED})
"""They end an epoch: the identifier no longer names that record."""
ABOUT_A_STATEMENT = frozenset({FactKind.CONTINUED, FactKind.SET_ASIDE, FactKind.RECYCLED})
IN_DOUBT = frozenset({FactKind.DOUBTED, FactKind.REPORTED})
"""They make an identity doubtful, for whoever is answered about it."""
OF_ONE_RECORD = CLOSING | IN_DOUBT
"""They say what a record is, whoever looks at it."""
BY_SOURCES = frozenset(
    {FactKind.MERGED, FactKind.RENAMED, FactKind.SOURCE_LINKED, FactKind.SOURCE_UNLINKED, FactKind.MOVED}
)


@dataclass(frozen=True, slots=True)
class Fact:
    """
    One assertion about one or two source records, which need not exist yet.

    Args:
        id: 0 until stored.
        left: the survivor, the new identifier, or where visits moved to, when the kind has a
            direction. Otherwise the smaller key, so that a pair has one name. Equal to `right`
            when the assertion is about one record.
        actor: `user:…` or `source:…`; of a report also `key:…`.
        event_time: when it became true, by the one who asserted it; ties break on fixed keys.
        statement_id: the statement it is about, for the kinds that are about one.
        act_id: the first fact of the act it belongs to: what was asserted together is withdrawn together.
        seen: how the two records compared when a person decided (trait -> level).
        second_needed: it stands only once another person confirmed it.
        withdrawal_asked_by: who asked to withdraw a fact that two people made; another one has to agree.
    """

    id: int
    kind: FactKind
    left: RecordKey
    right: RecordKey
    actor: str
    event_time: datetime
    recorded_at: datetime
    reason: str = ""
    message_id: int | None = None
    statement_id: int | None = None
    act_id: int | None = None
    seen: Mapping[str, str] = field(default_factory=dict)
    second_needed: bool = False
    confirmed_at: datetime | None = None
    confirmed_by: str = ""
    withdrawal_asked_by: str = ""
    withdrawn_at: datetime | None = None
    withdrawn_by: str = ""

    @property
    def stands(self) -> bool:
        """Whether it counts today."""
        return self.withdrawn_at is None and (not self.second_needed or self.confirmed_at is not None)

    def stood(self, instant: datetime) -> bool:
        """Whether it counted at an instant."""
        since = self.confirmed_at if self.second_needed else self.recorded_at
        return (
            since is not None
            and since <= instant
            and (self.withdrawn_at is None or self.withdrawn_at > instant)
        )

    @property
    def is_positive(self) -> bool:
        """Whether it holds two records together."""
        return self.kind in POSITIVE

    @property
    def is_by_source(self) -> bool:
        """Whether a source asserted it, rather than a person."""
        return self.kind in BY_SOURCES
