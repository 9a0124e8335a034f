"""
Looking for a person by what is known of them: what may be asked, and what is answered.

Pure. Every part of a search that is given must hold for one person; within a part, any of its values may. A person
is found by what the caller may see of them, and by nothing else.

Source: RNIV (search by birth date, then at most three letters of a name), IHE ITI-21, ITI-78.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from mpi.identity.model import RecordKey
from mpi.index.answers import MemberView
from mpi.index.golden import GoldenField


class Spelling(StrEnum):
    """How near a text has to be to what was asked."""

    EXACT = "exact"
    """As it was asked, letter for letter, accents and case included."""
    SAME = "same"
    """The same once normalised: case, accents, particles, hyphens and apostrophes say nothing."""
    PREFIX = "prefix"
    """Begins with it once normalised."""
    LOOSE = "loose"
    """Begins with it, sounds like it, or is one letter away."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text to look for, as it was asked."""

    value: str
    spelling: Spelling = Spelling.PREFIX


@dataclass(frozen=True, slots=True)
class Period:
    """A span of days, both included: what a date known only in part, or asked with a comparison, may be."""

    first: date
    last: date


@dataclass(frozen=True, slots=True)
class Search:
    """
    What is asked of a person. Each tuple is a choice; an empty one asks nothing.

    Args:
        persons: identifiers of persons, as `Person.id`; retired ones find who they became.
        identifiers: of records, whichever their epoch; an empty value stands for any of the domain.
        ins: French national identities, each an OID and a matricule with its key; of qualified records alone.
        identifier_prefixes: of records: their values begin with this.
        family: birth, used and other family names alike.
        given: given names, whichever their rank, and the used one.
        sex: M, F or U.
        address: any part of it: street, postal code, city, country.
        active: False asks for identifiers that were merged away; None for both.
    """

    persons: tuple[str, ...] = ()
    identifiers: tuple[RecordKey, ...] = ()
    ins: tuple[tuple[str, str], ...] = ()
    identifier_prefixes: tuple[RecordKey, ...] = ()
    family: tuple[Text, ...] = ()
    given: tuple[Text, ...] = ()
    birth: tuple[Period, ...] = ()
    sex: tuple[str, ...] = ()
    telecom: tuple[str, ...] = ()
    address: tuple[Text, ...] = ()
    city: tuple[Text, ...] = ()
    postal_code: tuple[Text, ...] = ()
    state: tuple[Text, ...] = ()
    country: tuple[Text, ...] = ()
    mother_birth_name: tuple[Text, ...] = ()
    active: bool | None = None


class Why(StrEnum):
    """How a trait of the person answers what was asked of it."""

    SAME = "same"
    PREFIX = "prefix"
    OTHER_NAME = "other_name"
    """It is the person's other name: the used one where the birth one was meant, or a later given name."""
    SOUNDS_ALIKE = "sounds_alike"
    ONE_LETTER = "one_letter"
    COMPATIBLE = "compatible"
    """What is known in part does not contradict it."""


@dataclass(frozen=True, slots=True)
class Person:
    """
    A person as one caller may see them.

    Args:
        id: native enterprise identifier of the oldest visible member. Where nothing is hidden from the caller it is
            the enterprise identifier itself; else it does not move when a hidden record joins or leaves.
        members: visible members only.
        golden: survivorship over the visible members only.
        doubtful: somebody reported that the identity is wrong, or its site says so.
    """

    id: str
    members: tuple[MemberView, ...]
    golden: Mapping[str, GoldenField]
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """
    One person that answers a search.

    Args:
        why: by part of the search (`family`, `given`, `birth`…), the best way in which it holds.
        likeness: 0 to 1; what is spelled as asked comes before what only sounds so.
    """

    person: Person
    why: Mapping[str, Why]
    likeness: float


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """
    Who was found, most alike first, ties on `Person.id`.

    Args:
        too_broad: more people than may be answered would be found, or the search could not be bounded; nobody is.
    """

    found: tuple[Found, ...]
    too_broad: bool = False
