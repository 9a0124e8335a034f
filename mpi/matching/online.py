"""One identity against another: levels, weight, guards, decision, and the evidence for it."""

from dataclasses import dataclass

from mpi.identity.traits import Traits
from mpi.matching.comparisons import compare
from mpi.matching.decision import Decision
from mpi.matching.guards import FORBIDDING, SPEAKING_AGAINST, guards_that_apply
from mpi.matching.model import RELATIVES, Evidence, MatchModel
from mpi.matching.rarity import rarity
from mpi.matching.weights import match_weight_bits, weight_against_all


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """
    What the model says of a pair.

    Args:
        weight_bits: prior and evidence; guards do not change it.
        decision: after the guards, at the thresholds for two domains.
        evidence: in ladder order; a missing trait is left out. The last is what relatives take away,
            when they do. Prior and evidence add up to the weight, but for less than `RELATIVES_SEEN`.
        guards: names of those that applied.
        contradicts: the pair is evidence of two people, whatever a third record says: a guard
            speaks against it, or traits disagree in a pair that is at or below the model's
            contradiction bound, or that nothing corroborates. Missing traits leave a weight low
            too, and contradict nothing.
    """

    weight_bits: float
    probability: float
    decision: Decision
    evidence: tuple[Evidence, ...]
    guards: tuple[str, ...]
    contradicts: bool


RELATIVES_SEEN = 0.05
"""Bits below which what relatives take away is not worth a line."""
_DISAGREEMENT_BITS = 4.5
"""Less negative evidence than this, all traits together, is no disagreement: people move, or change their telephone."""


def score(model: MatchModel, left: Traits, right: Traits, *, same_domain: bool = False) -> ScoredPair:
    """
    Weigh a pair and decide. The same for (left, right) and (right, left), to the last bit.

    Args:
        same_domain: the two records are of one domain, so the stricter threshold links them.
    """
    vector = compare(left, right)
    evidence = model.evidence_of(vector, rarity(model.frequencies, left, right, vector))
    contradicted = _disagreement(evidence)
    against_strangers = match_weight_bits(model.prior_bits, [item.bits for item in evidence])
    against_relatives = model.against_relatives(vector)
    weight = weight_against_all(against_strangers, against_relatives.bits)
    if weight <= against_strangers - RELATIVES_SEEN:
        evidence += (Evidence(RELATIVES, against_relatives.kind, weight - against_strangers),)
    guards = guards_that_apply(left, right, vector)
    thresholds = model.thresholds
    decision = thresholds.decide_in_one_domain(weight) if same_domain else thresholds.decide(weight)
    forbidden = not FORBIDDING.isdisjoint(guards)
    if forbidden:
        decision = Decision.NON_LINK
    elif guards and decision is Decision.LINK:
        decision = Decision.REVIEW
    return ScoredPair(
        weight_bits=weight,
        probability=model.probability(weight),
        decision=decision,
        evidence=evidence,
        guards=guards,
        contradicts=_contradicts(guards, contradicted, weight <= thresholds.contradiction_bits),
    )


def _disagreement(evidence: tuple[Evidence, ...]) -> float:
    """All that traits say against one person. Units: bits, never positive."""
    return sum(min(item.bits, 0.0) for item in evidence)


def _contradicts(guards: tuple[str, ...], disagreement: float, below_bound: bool) -> bool:
    if not SPEAKING_AGAINST.isdisjoint(guards):
        return True
    return (below_bound or "uncorroborated" in guards) and disagreement <= -_DISAGREEMENT_BITS
