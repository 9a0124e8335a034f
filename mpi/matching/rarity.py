"""
How rare is the name two records agree on: bits added to, or taken from, an agreement.

Sharing MARTIN says less than sharing a name of one person in 30,000. The correction weighs against
*strangers* only: relatives share a rare name as surely as a common one, and the classes of relatives
(see `model`) hold that possibility apart. Without them the correction loses more than it gains.

Counted over people, not records: who goes to hospital often must not make a name common.

Source: Newcombe et al. (1959), Science 130:954-959; Winkler (1989), frequency-based matching.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from mpi.errors import ModelError
from mpi.identity.traits import Traits
from mpi.matching.comparisons import POSITION, ComparisonVector, first_given, level_numbers

LEAST_BITS = -6.0
"""The most a common name takes away."""
MOST_BITS = 1.0
"""The most a rare name adds: what is rare in a table may be common in a village."""


class Rarity(NamedTuple):
    """What agreeing on one value adds, in bits, and the share of people who bear it (0: too rare to be counted)."""

    bits: float
    share: float


@dataclass(frozen=True, slots=True)
class Frequencies:
    """
    How many people bear each value of one trait.

    Args:
        expected: chance that two people drawn at random agree on the trait, in (0, 1].
        shares: value -> share of people, in (0, 1]. Values that are left out are rarer than
            `expected / 2**MOST_BITS`.

    Raises:
        ModelError: a number is outside (0, 1].
    """

    expected: float
    shares: Mapping[str, float]

    def __post_init__(self) -> None:
        if not 0 < self.expected <= 1 or not all(0 < share <= 1 for share in self.shares.values()):
            raise ModelError("frequencies: shares are in (0, 1]")
        object.__setattr__(self, "shares", MappingProxyType(dict(self.shares)))

    def rarity(self, value: str) -> Rarity:
        """log2(expected / share), held between `LEAST_BITS` and `MOST_BITS`."""
        share = self.shares.get(value)
        if share is None:
            return Rarity(MOST_BITS, 0.0)
        return Rarity(min(max(math.log2(self.expected / share), LEAST_BITS), MOST_BITS), share)


def counted(people_by_value: Mapping[str, float], people: float) -> Frequencies:
    """
    Frequencies from counts of people; values too rare to matter are dropped.

    Args:
        people: all of them, those whose value is not in the table too.

    Raises:
        ModelError: nobody was counted.
    """
    expected = sum((count / people) ** 2 for count in people_by_value.values()) if people else 0.0
    if not expected:
        raise ModelError("frequencies: nobody was counted")
    least = expected / 2**MOST_BITS
    shares = {value: share for value, count in people_by_value.items() if (share := count / people) > least}
    return Frequencies(float(f"{expected:.4g}"), {v: float(f"{s:.4g}") for v, s in sorted(shares.items())})


def _family_agreed(left: Traits, right: Traits, level: int) -> tuple[str, ...]:
    if level in _BIRTH_NAME:
        return (left.birth_name,)
    return tuple(name for name in left.family_names if name in right.family_names)


def _given_agreed(left: Traits, right: Traits, _level: int) -> tuple[str, ...]:
    return tuple({first_given(left), first_given(right)})  # JEAN PIERRE and JEANPIERRE are one level


_BIRTH_NAME = level_numbers("family_name", "birth_exact")

AGREED: Mapping[str, tuple[frozenset[int], Callable[[Traits, Traits, int], tuple[str, ...]]]] = {
    "family_name": (level_numbers("family_name", "birth_exact", "cross_exact"), _family_agreed),
    "given_name": (
        level_numbers("given_name", "list_exact", "exact_others_differ", "exact"),
        _given_agreed,
    ),
}
"""By trait: the levels at which two records bear one value, and which value it is."""


def agreed_values(trait: str, left: Traits, right: Traits, vector: ComparisonVector) -> tuple[str, ...]:
    """The values of a trait that two records share letter for letter; none at a weaker level."""
    levels, values = AGREED[trait]
    level = vector[POSITION[trait]]
    return values(left, right, level) if level in levels else ()


def rarity(
    frequencies: Mapping[str, Frequencies], left: Traits, right: Traits, vector: ComparisonVector
) -> dict[str, Rarity]:
    """
    By trait, what the agreed value adds; several agreed values count as the most common of them.

    Symmetric. Traits without a table, or without an agreement, are left out.
    """
    out = {}
    for trait, table in frequencies.items():
        if values := agreed_values(trait, left, right, vector):
            out[trait] = min(map(table.rarity, values))
    return out
