"""
What would change a decision: one trait, or two, that would have to agree, or to differ.

A counterfactual is found by trying: the trait is replaced in one identity and the pair is scored
again, guards and all. So applying it always gives the decision it names, and a trait that could not
change anything is never named. What a person reads is the trait, never its value.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations
from typing import Any

from mpi.identity.model import PartialDate
from mpi.identity.traits import Traits
from mpi.matching.comparisons import COMPARISONS, POSITION, compare
from mpi.matching.decision import Decision
from mpi.matching.model import MatchModel
from mpi.matching.online import score

AT_MOST = 5
"""More than so many ways to change one decision say nothing."""


class Change(StrEnum):
    """What would have to be true of a trait."""

    AGREE = "agree"
    DIFFER = "differ"


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """
    If these traits agreed, or differed, the decision would be another.

    Args:
        changes: one trait, or two.
        decision: what the pair would then be.
    """

    changes: tuple[tuple[str, Change], ...]
    decision: Decision


_Fields = Mapping[str, Any]


def _other_date(traits: Traits) -> PartialDate:
    """Another year, month and day, so that no rung of the ladder holds."""
    date = traits.birth_date
    year = date.year if date else 1975
    return PartialDate(year - 33 if year > 1960 else year + 44, 7 if not date or date.month != 7 else 4, 23)


@dataclass(frozen=True, slots=True)
class _Trait:
    """
    How a trait is replaced.

    Args:
        fields: the fields of an identity that are this trait's own.
        some: values to agree on when neither identity has any.
        other: values that differ from what an identity has.
    """

    fields: tuple[str, ...]
    some: _Fields
    other: Callable[[Traits], _Fields]


_NOBODY, _ELSEWHERE = "QZWXKVB", "ZZQKWXV"
_TRAITS: Mapping[str, _Trait] = {
    "family_name": _Trait(
        ("birth_name", "used_name"), {"birth_name": _NOBODY}, lambda _: {"birth_name": _NOBODY}
    ),
    "given_name": _Trait(
        ("given_names", "used_given_name"),
        {"given_names": (_NOBODY,)},
        lambda _: {"given_names": (_ELSEWHERE,)},
    ),
    "birth_date": _Trait(
        ("birth_date", "birth_date_default"),
        {"birth_date": PartialDate(1975, 7, 23)},
        lambda traits: {"birth_date": _other_date(traits)},
    ),
    "sex": _Trait(("sex",), {"sex": "F"}, lambda traits: {"sex": "M" if traits.sex == "F" else "F"}),
    "birth_place": _Trait(
        ("birth_place_code", "birth_place"),
        {"birth_place_code": "59350"},
        lambda traits: {"birth_place_code": "66136" if traits.birth_place_code[:2] == "59" else "59350"},
    ),
    "residence": _Trait(
        ("address", "postal_code", "city"),
        {"postal_code": "59000", "city": _NOBODY},
        lambda traits: {
            "postal_code": "66000" if traits.postal_code[:2] == "59" else "59000",
            "city": _ELSEWHERE,
        },
    ),
    "phone": _Trait(("phones",), {"phones": ("0199001234",)}, lambda _: {"phones": ("0199005678",)}),
    "email": _Trait(("emails",), {"emails": ("a@example.org",)}, lambda _: {"emails": ("b@example.org",)}),
    "national_id": _Trait(("national_id",), {"national_id": _NOBODY}, lambda _: {"national_id": _ELSEWHERE}),
    "mother_birth_name": _Trait(
        ("mother_birth_name",),
        {"mother_birth_name": _NOBODY},
        lambda _: {"mother_birth_name": _ELSEWHERE},
    ),
}
"""A French INS is left out: it is a national register's to give, and it embeds other traits."""


def applied(left: Traits, right: Traits, changes: tuple[tuple[str, Change], ...]) -> tuple[Traits, Traits]:
    """The two identities as they would be."""
    for name, change in changes:
        trait = _TRAITS[name]
        empty = {field: getattr(_BLANK, field) for field in trait.fields}
        if change is Change.DIFFER:
            right = replace(right, **empty | dict(trait.other(left)))
            if not _states(left, trait):
                left = replace(left, **dict(trait.some))
        elif _states(left, trait):
            right = replace(right, **{field: getattr(left, field) for field in trait.fields})
        elif _states(right, trait):
            left = replace(left, **{field: getattr(right, field) for field in trait.fields})
        else:
            left, right = replace(left, **dict(trait.some)), replace(right, **dict(trait.some))
    return left, right


_BLANK = Traits()


def _states(traits: Traits, trait: _Trait) -> bool:
    return any(getattr(traits, field) for field in trait.fields)


def counterfactuals(
    model: MatchModel, left: Traits, right: Traits, *, same_domain: bool = False
) -> tuple[Counterfactual, ...]:
    """
    The single traits that would change the decision; pairs of traits when none does; none is possible.

    A link would fall if a trait that agrees, or is not known, differed. A pair that is not linked would
    be, or would at least be reviewed, if a trait that differs, or is not known, agreed. In ladder order,
    at most `AT_MOST`.
    """
    decided = score(model, left, right, same_domain=same_domain).decision
    change = Change.DIFFER if decided is Decision.LINK else Change.AGREE
    vector = compare(left, right)
    open_traits = [name for name in _TRAITS if change is Change.DIFFER or vector[POSITION[name]] != 1]
    for size in (1, 2):
        found = list(_flips(model, (left, right), open_traits, change, size, decided, same_domain))
        if found:
            return tuple(found[:AT_MOST])
    return ()


def _flips(
    model: MatchModel,
    pair: tuple[Traits, Traits],
    names: list[str],
    change: Change,
    size: int,
    decided: Decision,
    same_domain: bool,
) -> Iterator[Counterfactual]:
    rank = list(Decision).index
    for chosen in combinations(names, size):
        changes = tuple((name, change) for name in chosen)
        then = score(model, *applied(*pair, changes), same_domain=same_domain).decision
        falls, rises = rank(then) < rank(decided), rank(then) > rank(decided)
        if falls if change is Change.DIFFER else rises:
            yield Counterfactual(changes, then)


assert set(_TRAITS) <= {comparison.trait for comparison in COMPARISONS}
