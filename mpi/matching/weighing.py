"""What `online.score` says of many pairs: weights, guards and decisions by pattern, then pair by pair."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mpi.identity.columns import TraitColumns
from mpi.identity.traits import Traits
from mpi.matching.candidates import Indices
from mpi.matching.comparisons import POSITION, level_numbers
from mpi.matching.decision import Decision
from mpi.matching.guards import FORBIDDING, GUARDS, PARENT_AGE_YEARS, SPEAKING_AGAINST, guards_that_apply
from mpi.matching.isotonic import IsotonicCalibration
from mpi.matching.model import MatchModel
from mpi.matching.online import _DISAGREEMENT_BITS
from mpi.matching.patterns import Patterns, patterns_of
from mpi.matching.rarity import AGREED, MOST_BITS, Frequencies
from mpi.matching.vectors import Derived, Levels, Pairs

Bits = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
GuardSets = npt.NDArray[np.uint32]
"""One bit for each of `GUARDS`, the first the lowest."""
_GUARD_READS = (
    "attributes", "status", "ins", "ins_temporary", "birth_order", "birth_date", "newborn", "multiple_birth",
)  # fmt: skip
_GUARD_BIT = {guard.name: np.uint32(1 << at) for at, guard in enumerate(GUARDS)}
DECISIONS = tuple(Decision)


class Weighed(NamedTuple):
    """
    Pairs and what the model says of each.

    Args:
        bits: the match weight.
        disagreement: all that traits say against one person, in bits, never positive.

    Shape: bits, disagreement (pairs,).
    """

    bits: Bits
    disagreement: Bits
    patterns: Patterns


def weigh(
    model: MatchModel,
    columns: TraitColumns,
    left: Indices,
    right: Indices,
    levels: Levels,
    patterns: Patterns | None = None,
) -> Weighed:
    """The match weight of each pair: that of its pattern, and the rarity of the names it agrees on."""
    patterns = patterns_of(levels) if patterns is None else patterns
    tables = [np.array([said.bits for said in says]) for says in model.evidence]
    strangers = (model.prior_bits + _sum_of(tables, patterns.vectors))[patterns.of_pair]
    disagreement = _sum_of([np.minimum(table, 0.0) for table in tables], patterns.vectors)[patterns.of_pair]
    relatives = _against_relatives(model, patterns.vectors)[patterns.of_pair]
    for trait in model.frequencies:
        said = np.array([said.bits for said in model.evidence[POSITION[trait]]])[levels[:, POSITION[trait]]]
        rare = _rarity_bits(model, trait, columns, left, right, levels)
        strangers += rare
        disagreement += np.minimum(said + rare, 0.0) - np.minimum(said, 0.0)
    return Weighed(_against_all(strangers, relatives), disagreement, patterns)


def _sum_of(tables: Sequence[npt.ArrayLike], vectors: npt.NDArray[np.int64]) -> Bits:
    """By pattern, the sum over comparisons of what their levels are worth."""
    total = np.zeros(len(vectors))
    for at, table in enumerate(tables):
        total += np.asarray(table, dtype=np.float64)[vectors[:, at]]
    return total


def _against_relatives(model: MatchModel, vectors: npt.NDArray[np.int64]) -> Bits:
    """`MatchModel.against_relatives`, pattern by pattern."""
    odds = np.full(len(vectors), -np.inf)
    for _, prior, tables in model._against:
        odds = np.logaddexp2(odds, -(prior + _sum_of(tables, vectors)))
    against: Bits = -odds
    return against


def probabilities(model: MatchModel, bits: Bits) -> Bits:
    """`MatchModel.probability` of many weights."""
    calibration = model.calibration
    if isinstance(calibration, IsotonicCalibration):
        x, y = np.array(calibration.knots).T
        bits = np.interp(bits, x, y)
    elif calibration is not None:
        bits = calibration.slope * bits + calibration.offset_bits
    found: Bits = 1 / (1 + np.exp2(np.clip(-bits, -1000, 1000)))
    return found


def _against_all(strangers: Bits, relatives: Bits) -> Bits:
    """`weights.weight_against_all`, pair by pair."""
    all_of_them: Bits = -np.logaddexp2(-strangers, -relatives)
    return all_of_them


_BIRTH_NAME = level_numbers("family_name", "birth_exact")


def _rarity_bits(
    model: MatchModel, trait: str, columns: TraitColumns, left: Indices, right: Indices, levels: Levels
) -> Bits:
    """What the values agreed on add: `rarity.rarity`, on codes."""
    table = model.frequencies[trait]
    agreed = np.flatnonzero(np.isin(levels[:, POSITION[trait]], list(AGREED[trait][0])))
    derived = Derived.of(columns)
    pairs = Pairs(derived, left[agreed], right[agreed])
    bits = np.zeros(len(left))
    if trait == "given_name":
        by_name = _rarity_of(table, derived.givens)
        first = pairs.of(derived.first_given)
        bits[agreed] = np.minimum(by_name[first[0]], by_name[first[1]])
        return bits
    by_name = _rarity_of(table, columns["birth_name"].values)
    births, useds = pairs.codes("birth_name"), pairs.codes("used_name")
    least = np.full(len(agreed), np.inf)
    for a in (births[0], useds[0]):
        for b in (births[1], useds[1]):
            least = np.where((a == b) & (a > 0), np.minimum(least, by_name[a]), least)
    by_birth = np.isin(levels[agreed, POSITION["family_name"]], list(_BIRTH_NAME))
    bits[agreed] = np.where(by_birth, by_name[births[0]], least)
    return bits


def _rarity_of(table: Frequencies, names: Sequence[str]) -> Bits:
    """`Frequencies.rarity` of each name; most of them are too rare to be in the table."""
    bits = np.full(len(names), MOST_BITS)
    known = [at for at, name in enumerate(names) if name in table.shares]
    bits[known] = [table.rarity(names[at]).bits for at in known]
    return bits


# --- guards -------------------------------------------------------------------------------


def guards_of(
    columns: TraitColumns,
    left: Indices,
    right: Indices,
    levels: Levels,
    patterns: Patterns,
    *,
    asked: Mask | None = None,
) -> GuardSets:
    """
    Which guards apply to each pair.

    Nearly every guard looks at the vector alone unless a record says something unusual, so ordinary
    pairs are asked once for each vector.

    Args:
        asked: the pairs to ask about; all by default. The others have none.
    """
    ordinary = _are_ordinary(Pairs(Derived.of(columns), left, right))
    guards = np.zeros(len(left), dtype=np.uint32)
    nobody = Traits()
    by_pattern = np.zeros(len(patterns.vectors), dtype=np.uint32)
    for at in np.unique(patterns.of_pair[ordinary]).tolist():
        by_pattern[at] = _guard_set(nobody, nobody, tuple(patterns.vectors[at].tolist()))
    guards[ordinary] = by_pattern[patterns.of_pair[ordinary]]
    others = np.flatnonzero(~ordinary if asked is None else ~ordinary & asked)
    rows, at = np.unique(np.concatenate((left[others], right[others])), return_inverse=True)
    traits = [_told_to_guards(columns, row) for row in rows.tolist()]
    lefts, rights = at[: len(others)].tolist(), at[len(others) :].tolist()
    vectors = map(tuple, levels[others].tolist())
    guards[others] = [
        _guard_set(traits[a], traits[b], vector) for a, b, vector in zip(lefts, rights, vectors, strict=True)
    ]
    return guards if asked is None else np.where(asked, guards, np.uint32(0))


def _told_to_guards(columns: TraitColumns, row: int) -> Traits:
    return Traits(**{field: columns[field].values[columns[field].codes[row]] for field in _GUARD_READS})


def _guard_set(left: Traits, right: Traits, vector: tuple[int, ...]) -> int:
    return sum(int(_GUARD_BIT[name]) for name in guards_that_apply(left, right, vector))


def _are_ordinary(pairs: Pairs) -> Mask:
    """No attribute, newborn or multiple birth, no two INS, and no generation between them."""
    said = [pairs.either(field) for field in ("attributes", "newborn", "birth_order", "multiple_birth")]
    left, right, _ = pairs.dates
    a_generation = np.abs(left[0] - right[0]) >= PARENT_AGE_YEARS
    ins = pairs.codes("ins")
    two_ins = (ins[0] != ins[1]) & (ins[0] > 0) & (ins[1] > 0)
    ordinary: Mask = ~np.logical_or.reduce([*said, two_ins, a_generation & (left[0] > 0) & (right[0] > 0)])
    return ordinary


def has_any(guards: GuardSets, names: frozenset[str]) -> Mask:
    """Whether one of the named guards applies."""
    wanted = np.bitwise_or.reduce([_GUARD_BIT[name] for name in names])
    found: Mask = (guards & wanted) != 0
    return found


def decide(
    model: MatchModel, weighed: Weighed, guards: GuardSets, same_domain: Mask
) -> npt.NDArray[np.uint8]:
    """Positions in `DECISIONS`, after the guards."""
    thresholds = model.thresholds
    upper = np.where(same_domain, thresholds.same_domain_bits, thresholds.upper_bits)
    decisions = (weighed.bits >= thresholds.lower_bits).astype(np.uint8)
    decisions[weighed.bits >= upper] = DECISIONS.index(Decision.LINK)
    decisions[(guards != 0) & (decisions == DECISIONS.index(Decision.LINK))] = DECISIONS.index(
        Decision.REVIEW
    )
    decisions[has_any(guards, FORBIDDING)] = DECISIONS.index(Decision.NON_LINK)
    return decisions


def contradictions(model: MatchModel, weighed: Weighed, guards: GuardSets) -> Mask:
    """Whether each pair is evidence of two people, as in `online.ScoredPair`."""
    doubtful = (weighed.bits <= model.thresholds.contradiction_bits) | has_any(
        guards, frozenset({"uncorroborated"})
    )
    against: Mask = has_any(guards, SPEAKING_AGAINST) | (
        doubtful & (weighed.disagreement <= -_DISAGREEMENT_BITS)
    )
    return against
