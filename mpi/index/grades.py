"""
How sure an answer to "who is this?" is.

Certain is for decisions, not for weights: the identity comes with an identifier the index holds of that person, or
with the same INS, and both sides were verified and tell the same strict traits. A provisional, doubtful, fictitious
or homonymous identity is never certain, however much it resembles.

Source: FHIR R4 value set match-grade; IHE PDQm 3.2, ITI-119; RNIV (strict traits, statuses).
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mpi.identity.ins import NEVER_LINKED_AUTOMATICALLY, IdentityAttribute, IdentityStatus
from mpi.identity.model import RecordKey
from mpi.identity.traits import Traits
from mpi.index.resolution import UNDECIDED
from mpi.index.search import Person
from mpi.matching.decision import Decision
from mpi.matching.online import ScoredPair

_NEVER_CERTAIN: Final = NEVER_LINKED_AUTOMATICALLY | {IdentityAttribute.HOMONYM}
_VERIFIED: Final = frozenset({IdentityStatus.VALIDATED, IdentityStatus.QUALIFIED})


class Grade(StrEnum):
    """In falling order of certainty."""

    CERTAIN = "certain"
    PROBABLE = "probable"
    """At or above the threshold of automatic links, and nobody has said so."""
    POSSIBLE = "possible"
    """A reviewer would be asked."""


@dataclass(frozen=True, slots=True)
class Match:
    """
    A person that an identity resembles.

    Args:
        probability: calibrated; of a pair that a guard holds back, at most one half.
    """

    person: Person
    grade: Grade
    probability: float


def graded(asked: Traits, keys: Collection[RecordKey], person: Person, best: ScoredPair) -> Match:
    """
    Grade a person.

    Args:
        keys: identifiers that came with the identity.
        best: how the identity compares with the member it resembles most.
    """
    linked = best.decision is Decision.LINK
    if linked and _is_certain(asked, keys, person):
        return Match(person, Grade.CERTAIN, best.probability)
    if linked:
        return Match(person, Grade.PROBABLE, best.probability)
    probability = min(best.probability, UNDECIDED) if best.guards else best.probability
    return Match(person, Grade.POSSIBLE, probability)


def rank(match: Match) -> tuple[int, float, str]:
    """The order of answers: best grade first, then most probable."""
    return list(Grade).index(match.grade), -match.probability, match.person.id


def only_certain(matches: Collection[Match]) -> tuple[Match, ...]:
    """
    The one certain match; none when there is not one, or when somebody else would be linked too.

    Source: IHE PDQm 3.2, ITI-119, cases 3 to 5 (ambiguity is an empty answer).
    """
    linked = [match for match in matches if match.grade is not Grade.POSSIBLE]
    return tuple(linked) if len(linked) == 1 and linked[0].grade is Grade.CERTAIN else ()


def _is_certain(asked: Traits, keys: Collection[RecordKey], person: Person) -> bool:
    if person.doubtful or asked.attributes & _NEVER_CERTAIN:
        return False
    known_by = {key[:2] for key in keys}
    for member in person.members:
        held = member.record.traits
        if member.retired or held.attributes & _NEVER_CERTAIN or held.status not in _VERIFIED:
            continue
        same_ins = bool(asked.qualified_ins) and asked.qualified_ins == held.qualified_ins
        if (same_ins or member.record.key[:2] in known_by) and _tells_the_same(asked, held):
            return True
    return False


def _tells_the_same(asked: Traits, held: Traits) -> bool:
    """
    Whether strict traits are the same once normalised: birth name, first birth given name and birth date on both
    sides, sex and birth place where both are known. Near is not the same.
    """
    return (
        bool(asked.birth_name)
        and asked.birth_name == held.birth_name
        and asked.given_names[:1] == held.given_names[:1] != ()
        and asked.birth_date is not None
        and asked.birth_date == held.birth_date
        and _agrees(asked.sex, held.sex, "U")
        and _agrees(asked.birth_place_code, held.birth_place_code, "")
    )


def _agrees(asked: str, held: str, unknown: str) -> bool:
    return asked == held or {asked, held} & {unknown, ""} != set()
