"""
The overlay firewall's judgement: is a source record, as a new statement leaves it, still the same person?

A site that gives the patient number of one person to another sends an ordinary update. So does one that
marries, names, corrects or qualifies somebody; but one person seldom changes in two ways at once.

Only strict traits speak: families share address and telephone. Agreement counts less here than between two
records. Whoever opened the wrong record found it by a name or a birth date, and a field that the new
statement leaves out keeps its former value, so that agreeing on it is agreeing on nothing.

Source: RNIV (collision, strict traits of an identity).
"""

from dataclasses import replace

from mpi.identity.traits import Traits
from mpi.matching.comparisons import (
    COMPARISONS,
    MISSING,
    POSITION,
    ComparisonVector,
    first_given,
    level_numbers,
)
from mpi.matching.guards import guards_that_apply
from mpi.matching.model import MatchModel

SAME_PERSON_BOUND_BITS = -5.0
"""
Less evidence than this, and it is somebody else.

Five bits: as if one update in 33 gave the number to another person, as in the synthetic federations and
more than a site should. Between -12 and -2 the shares that `tests/benchmarks/overlays.py` measures hardly move.
"""

_SEARCHED_BY = tuple(POSITION[trait] for trait in ("family_name", "given_name", "birth_date"))
"""By which a clerk finds a record, or takes the wrong one."""
_OFTEN_LEFT_OUT = tuple(
    POSITION[trait] for trait in ("sex", "birth_place", "national_id", "ins", "mother_birth_name")
)
_FAMILY, _DATE = POSITION["family_name"], POSITION["birth_date"]
_STRICT = frozenset((*_SEARCHED_BY, *_OFTEN_LEFT_OUT))
_LADDERS = tuple(ladder.level if at in _STRICT else None for at, ladder in enumerate(COMPARISONS))
_DATE_DIFFERS = level_numbers("birth_date", "different")


def changes_person(model: MatchModel, before: Traits, after: Traits) -> str | None:
    """
    Say whether a new statement makes a source record another person's.

    Two qualified INS, twins, and a parent and child of one name are other people whatever the evidence. One
    INS on both sides speaks for one person whose given name changed, and for nothing else: it may have been
    copied, or kept because the new statement has none. A given name that changes alone, without an INS, is
    taken for a twin's.

    Args:
        before: the record as its accepted statements leave it.
        after: the same with the new statement folded in, fields that it leaves out kept.

    Returns:
        None for one person, and where either side names nobody; else the reason: `ins_conflict`, `twin`,
        `parent_and_child` or `another_person`.
    """
    if not _names_somebody(before) or not _names_somebody(after):
        return None
    after = _without_kept_used_name(before, after)
    vector = tuple([MISSING if level is None else level(before, after) for level in _LADDERS])
    guards = guards_that_apply(before, after, vector)
    if "ins_conflict" in guards:
        return "ins_conflict"
    if "twins" in guards:
        return "twin"
    # A slip in the year is no child: generations seldom share the rest of their birth date.
    if "parent_and_child" in guards and vector[_DATE] in _DATE_DIFFERS:
        return "parent_and_child"
    if _same_person_bits(model, vector, newborn=before.newborn) < SAME_PERSON_BOUND_BITS:
        return "another_person"
    return None


def _names_somebody(traits: Traits) -> bool:
    return bool(traits.birth_name or traits.used_name or first_given(traits))


def _without_kept_used_name(before: Traits, after: Traits) -> Traits:
    """
    The traits without a used name that stayed while the birth name or the given names changed.

    Somebody else without a used name leaves the former one in place, and would agree on it.
    """
    if (after.birth_name, after.given_names) == (before.birth_name, before.given_names):
        return after
    kept_given = after.used_given_name in ("", before.used_given_name, first_given(before))
    kept = after.used_name == before.used_name and kept_given
    if not kept or not (before.used_name or before.used_given_name):
        return after
    if not before.birth_name or not after.birth_name:
        return after  # no other name to judge by
    return replace(after, used_name="", used_given_name="")


def _same_person_bits(model: MatchModel, vector: ComparisonVector, *, newborn: bool) -> float:
    """
    The model's evidence, less what was searched by: the best agreement of names and birth date.

    The other traits only count where they disagree.

    Args:
        newborn: the record waited for its names, so that another family name is no disagreement.

    Units: bits.
    """
    bits = [says[level].bits for says, level in zip(model.evidence, vector, strict=True)]
    if newborn:
        bits[_FAMILY] = max(0.0, bits[_FAMILY])
    searched = [bits[at] for at in _SEARCHED_BY]
    return sum(searched) - max(0.0, *searched) + sum(min(0.0, bits[at]) for at in _OFTEN_LEFT_OUT)
