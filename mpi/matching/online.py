"""One identity against another: levels, weight, guards, decision, and the evidence for it."""

from dataclasses import dataclass

from mpi.identity.traits import Traits
from mpi.matching.comparisons import compare
from mpi.matching.decision import Decision
from mpi.matching.guards import FORBIDDING, SPEAKING_AGAINST, guards_that_apply
from mpi.matching.model import Evidence, MatchModel
from mpi.matching.weights import match_weight_bits


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """
    What the model says of a pair.

    Args:
        weight_bits: prior and evidence; guards do not change it.
        decision: after the guards, at the thresholds for two domains.
        evidence: in ladder order; a missing trait is left out.
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


_DISAGREEMENT_BITS = 4.5
"""Less negative evidence than this, all traits together, is no disagreement: people move, or change their telephone."""


def score(model: MatchModel, left: Traits, right: Traits, *, same_domain: bool = False) -> ScoredPair:
    """
    Weigh a pair and decide. The same for (left, right) and (right, left), to the last bit.

    Args:
        same_domain: the two records are of one domain, so the stricter threshold links them.
    """
    vector = compare(left, right)
    evidence = model.evidence_of(vector)
    weight = match_weight_bits(model.prior_bits, [item.bits for item in evidence])
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
        contradicts=_contradicts(guards, evidence, weight <= thresholds.contradiction_bits),
    )


def _contradicts(guards: tuple[str, ...], evidence: tuple[Evidence, ...], below_bound: bool) -> bool:
    if not SPEAKING_AGAINST.isdisjoint(guards):
        return True
    disagreement = sum(min(item.bits, 0.0) for item in evidence)
    return (below_bound or "uncorroborated" in guards) and disagreement <= -_DISAGREEMENT_BITS
