"""
What another match model would change: in its parameters, and in the decisions on the stored pairs.

Pairs are those the index itself compares: records that share a blocking key. What is counted is the
decision on a pair; which sets follow also depends on facts and on the rules about sets.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from mpi.identity.model import RecordKey
from mpi.index.audit import AuditEvent
from mpi.index.intake import BLOCK_CAP
from mpi.index.ports import Clock, Store, StoredRecord
from mpi.matching.blocking import blocking_keys
from mpi.matching.decision import Decision
from mpi.matching.model import MatchModel
from mpi.matching.online import score
from mpi.matching.weights import agreement_weight_bits

_RECORDS_PER_SNAPSHOT = 200
"""A reader that stays open for hours keeps the database from tidying up behind its writers."""


class Difference(NamedTuple):
    """A parameter of two models. Units: bits; None where a model has no such parameter."""

    name: str
    left_bits: float | None
    right_bits: float | None

    @property
    def size(self) -> float:
        """How far apart, in bits; infinite when one model has none."""
        if self.left_bits is None or self.right_bits is None:
            return math.inf
        return abs(self.left_bits - self.right_bits)


@dataclass(frozen=True, slots=True)
class ChangedPair:
    """A pair the two models decide otherwise."""

    left: RecordKey
    right: RecordKey
    before: Decision
    after: Decision


@dataclass(frozen=True, slots=True)
class PairChanges:
    """
    Decisions of two models on the candidate pairs of a store.

    Args:
        pairs: by (decision of the one, decision of the other); they add up to the pairs compared.
        partly_compared: records with a blocking key too common to open, as online.
    """

    records: int
    pairs: Mapping[tuple[Decision, Decision], int]
    partly_compared: int

    @property
    def compared(self) -> int:
        """How many pairs were compared."""
        return sum(self.pairs.values())

    @property
    def changed(self) -> int:
        """How many of them change."""
        return sum(count for (before, after), count in self.pairs.items() if before is not after)


def differences(left: MatchModel, right: MatchModel) -> list[Difference]:
    """Every parameter on which two models differ, furthest apart first."""
    ours, theirs = _in_bits(left), _in_bits(right)
    found = [Difference(name, ours.get(name), theirs.get(name)) for name in {**ours, **theirs}]
    return sorted((one for one in found if one.size), key=lambda one: (-one.size, one.name))


def _in_bits(model: MatchModel) -> dict[str, float]:
    """Everything of a model that is measured in bits, by name."""
    bounds = model.to_json()["thresholds"]
    out = {"prior": model.prior_bits, **{f"threshold: {name}": bound for name, bound in bounds.items()}}
    for says in model.evidence:
        out.update((f"{item.trait}: {item.level}", item.bits) for item in says[1:])
    for kind, relatives in model.relatives.items():
        out[f"{kind}: prior"] = relatives.prior_bits
        for trait, levels in relatives.probabilities.items():
            for level, probability in levels.items():
                m = model.parameters[trait][level].m
                out[f"{kind}: {trait}: {level}"] = agreement_weight_bits(m, probability)
    return out


def pair_changes(
    store: Store,
    before: MatchModel,
    after: MatchModel,
    *,
    on_change: Callable[[ChangedPair], object] = lambda _pair: None,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> PairChanges:
    """
    Score every candidate pair of the store with both models. Nothing is written.

    One record after another, against those with a greater number: each pair once, and never all
    pairs in memory.

    Args:
        on_change: called for each pair the models decide otherwise.
        on_progress: called with how many records are done, and of how many.
    """
    with store.read() as uow:
        ids = uow.records.all_ids()
    pairs: Counter[tuple[Decision, Decision]] = Counter()
    partly = 0
    for start in range(0, len(ids), _RECORDS_PER_SNAPSHOT):
        with store.read() as uow:
            for record in uow.records.by_ids(ids[start : start + _RECORDS_PER_SNAPSHOT]).values():
                keys = blocking_keys(record.traits)
                found = uow.records.candidates(keys, excluding=record.id, block_cap=BLOCK_CAP)
                partly += found.oversized_blocks > 0
                for other in found.records:
                    if other.id > record.id:
                        old, new = (_decision(model, record, other) for model in (before, after))
                        pairs[old, new] += 1
                        if old is not new:
                            on_change(ChangedPair(record.key, other.key, old, new))
        on_progress(min(start + _RECORDS_PER_SNAPSHOT, len(ids)), len(ids))
    return PairChanges(len(ids), pairs, partly)


def _decision(model: MatchModel, left: StoredRecord, right: StoredRecord) -> Decision:
    same_domain = left.key.domain == right.key.domain
    return score(model, left.traits, right.traits, same_domain=same_domain).decision


def record_export(store: Store, before: MatchModel, after: MatchModel, *, actor: str, clock: Clock) -> None:
    """
    Leave the trace that pairs of patient identifiers are about to be handed out.

    Raises:
        StoreError: the trace is not durable; hand out nothing.
    """
    with store.write() as uow:
        details = {"before": before.digest, "after": after.digest}
        uow.audit.append(AuditEvent(actor, "R", "model.pairs_exported", "query", clock(), details))
        uow.commit()
