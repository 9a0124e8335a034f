"""
Frozen values: how a person is identified and described, as stated by a peer and never altered.

The reference form stays what was sent. What is compared is derived from it in `traits`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple, Self


@dataclass(frozen=True, slots=True, order=True)
class AssigningAuthority:
    """
    Who issues identifiers: an HD, in HL7 terms (CX-4), or a DICOM issuer with its qualifiers.

    Source: HL7 v2.5 chapter 2A, HD; IHE ITI TF-2 appendix N.
    """

    namespace: str = ""
    universal_id: str = ""
    universal_id_type: str = ""


@dataclass(frozen=True, slots=True, order=True)
class PatientIdentifier:
    """
    An identifier value, the authority that issued it, and its type code (CX-5).

    The authority alone does not name the domain: in France `NH` (insurance number) and `INS`
    share one OID. See `mpi.identity.domains`.
    """

    value: str
    authority: AssigningAuthority
    type_code: str = ""


class RecordKey(NamedTuple):
    """
    A source record's name: the key of its domain, the identifier value there, and its epoch.

    A site that gives an old identifier to another person begins a new epoch of it: another record,
    another person, one identifier.
    """

    domain: str
    value: str
    epoch: int = 0


class NameUse(StrEnum):
    """XPN-7 as France limits it. `UNSPECIFIED` also stands for a name sent without a type."""

    BIRTH = "L"
    USED = "D"
    PSEUDONYM = "S"
    UNSPECIFIED = "U"


@dataclass(frozen=True, slots=True)
class PersonName:
    """
    One name of a person.

    Args:
        family: birth name or used name, by `use`.
        given: first given name (the first birth given name, or the used one).
        given_list: every birth given name in order, the first included, as one text.
        use: which of the person's names this is.
    """

    family: str = ""
    given: str = ""
    given_list: str = ""
    prefix: str = ""
    suffix: str = ""
    use: NameUse = NameUse.UNSPECIFIED


@dataclass(frozen=True, slots=True, order=True)
class PartialDate:
    """A date known to the year, the month or the day. Nothing is ever padded."""

    year: int
    month: int | None = None
    day: int | None = None

    def __post_init__(self) -> None:
        if self.month is None and self.day is not None:
            raise ValueError("a day needs its month")
        month = 1 if self.month is None else self.month
        date(self.year, month, 1 if self.day is None else self.day)  # ValueError when impossible

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read `YYYY`, `YYYYMM`, `YYYYMMDD` (a time after it is ignored) or the dashed forms.

        Raises:
            ValueError: not one of these forms, or no such day in the calendar.
        """
        compact = text.replace("-", "") if text[4:5] == "-" else text
        digits = compact[:8]
        if len(digits) not in (4, 6, 8) or not (digits.isascii() and digits.isdigit()):
            raise ValueError("expected YYYY[MM[DD]]")
        return cls(*(int(part) for part in (digits[:4], digits[4:6], digits[6:8]) if part))

    def __str__(self) -> str:
        """ISO 8601, as precise as it is known."""
        text = f"{self.year:04d}"
        if self.month is not None:
            text += f"-{self.month:02d}"
        if self.day is not None:
            text += f"-{self.day:02d}"
        return text


@dataclass(frozen=True, slots=True)
class Demographics:
    """
    What one statement says of a person, as sent. Every field may be absent, which says nothing.

    `deleted` names the fields the sender emptied on purpose (`""` in HL7): they are not
    unknown, they are withdrawn. A used name is withdrawn as `used_name`.
    """

    names: tuple[PersonName, ...] = ()
    birth_date: PartialDate | None = None
    birth_date_interpreted: bool | None = None
    """True when the source completed the date artificially (ZFD-4, RNIV)."""
    sex: str = ""
    """M, F or U."""
    birth_place_code: str = ""
    """INSEE code of the commune, or of the country for births abroad."""
    birth_place: str = ""
    address: str = ""
    postal_code: str = ""
    city: str = ""
    country: str = ""
    phones: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    national_id: str = ""
    """Any national number: compared, never validated."""
    ins: str = ""
    """French INS matricule with its key; only when it may be used (see `ins.admit`)."""
    ins_oid: str = ""
    mother_birth_name: str = ""
    birth_order: int | None = None
    multiple_birth: bool | None = None
    identity_codes: tuple[str, ...] = ()
    """PID-32 as sent: the status, then attributes."""
    deleted: frozenset[str] = frozenset()

    def to_json(self) -> dict[str, Any]:
        """Return only what is stated, in JSON types."""
        out = plain_fields(self, absent=(None, "", (), frozenset()))
        if self.names:
            out["names"] = [
                {f.name: str(v) for f in fields(name) if (v := getattr(name, f.name))} for name in self.names
            ]
        return out

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """Read back what `to_json` wrote."""
        values = dict(stored)
        if "names" in values:
            values["names"] = tuple(
                PersonName(**{**name, "use": NameUse(name.get("use", "U"))}) for name in values["names"]
            )
        if "birth_date" in values:
            values["birth_date"] = PartialDate.parse(values["birth_date"])
        for name in ("phones", "emails", "identity_codes"):
            if name in values:
                values[name] = tuple(values[name])
        if "deleted" in values:
            values["deleted"] = frozenset(values["deleted"])
        return cls(**values)


def plain_fields(item: Any, *, absent: tuple[object, ...]) -> dict[str, Any]:
    """The fields of a frozen value that are not absent, in JSON types: dates as text, tuples and sets as lists."""
    out: dict[str, Any] = {}
    for each in fields(item):
        value = getattr(item, each.name)
        if value in absent:
            continue
        if isinstance(value, PartialDate):
            value = str(value)
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, frozenset):
            value = sorted(value)
        out[each.name] = value
    return out


class Witness(StrEnum):
    """How much a statement counts when two disagree about one record."""

    FEED = "feed"
    """A patient identity source: ADT, FHIR, an initial load."""
    MOVEMENT = "movement"
    """A movement of an encounter (ITI-31): current on where somebody lives, never on who they are."""
    HEADER = "header"
    """A DICOM header: a copy of an identity, often old or in the used name."""


class Urgency(IntEnum):
    """How soon an identity matters at the bedside, as far as a message tells."""

    NONE = 0
    PRESENT = 1
    """Admitted, registered or expected: A01, A04, A05."""
    EMERGENCY = 2
    """Patient class E (PV1-2)."""


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """
    One statement of one person as one domain knows them: a version of a source record.

    Args:
        identifier: the identifier in the domain that is being fed, authority completed.
        domain: the key of that domain.
        others: every other identifier in the statement (foreign, INS, insurance), as sent.
        event_time: when it became true: EVN-6, else EVN-2, else MSH-7; aware, UTC.
        source: name of the patient identity source, from the configuration.
        urgency: how soon somebody needs the identity to be right.
        replaces_ins: matricules that this statement takes the place of, or withdraws (A47, MRG-1).
        warnings: places and problems tolerated on the way in, without values.
    """

    identifier: PatientIdentifier
    domain: str
    demographics: Demographics
    event_time: datetime
    source: str
    others: tuple[PatientIdentifier, ...] = ()
    witness: Witness = Witness.FEED
    urgency: Urgency = Urgency.NONE
    replaces_ins: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    @property
    def key(self) -> RecordKey:
        """The record this statement is about."""
        return RecordKey(self.domain, self.identifier.value)
