"""
Judge a model on a synthetic federation whose truth is known: pairs, sets, strata, calibration.

    python tests/benchmarks/judge.py [--model FILE] [--persons N] [--seed S] [--without-ins] [--show N]
"""

import argparse
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from mpi_synthetic import PROFILES, Relation, relation, tables

from mpi.identity.columns import TraitColumns
from mpi.matching import MatchModel
from mpi.matching.batch import link
from mpi.matching.calibration import measure_reliability
from mpi.matching.candidates import candidates
from mpi.matching.decision import Decision
from mpi.matching.evaluation import measure_clusters, pairs_among, threshold_curve, wilson
from mpi.matching.guards import GUARDS
from mpi.matching.vectors import levels_of
from mpi.matching.weighing import DECISIONS, decide, guards_of, has_any, weigh

HARD = frozenset(Relation) - {Relation.SAME, Relation.STRANGER, Relation.HOUSEHOLD}
"""Twins, siblings, homonyms: people whom no machine may join."""


@dataclass
class Judged:
    """Figures of one model on one federation. Pairs are those of records that state a name."""

    records: int
    true_pairs: int
    candidates: int
    found: int
    """True pairs among the candidates."""
    weights: np.ndarray
    same: np.ndarray
    decisions: np.ndarray
    probability: np.ndarray
    guards: dict = field(default_factory=dict)
    relations: Counter = field(default_factory=Counter)
    hard_pairs: int = 0
    """Pairs of records of twins, siblings or homonyms in the whole federation, candidates or not."""
    strata: dict = field(default_factory=dict)
    sets: object = None
    set_links: tuple = (0, 0)

    def decided(self, *wanted):
        return np.isin(self.decisions, [DECISIONS.index(each) for each in wanted])

    @property
    def curve(self):
        return threshold_curve(self.weights, self.same, self.true_pairs)

    @property
    def best_f1(self):
        curve = self.curve
        return curve.at(curve.best_threshold_bits)

    @property
    def reliability(self):
        return measure_reliability(self.probability, self.same)


def people_of(columns, truth):
    """By record, the number of its person; a record that states no name is nobody's."""
    person = pd.factorize(np.array(truth["person_id"]))[0].astype(np.int64)
    named = (columns["birth_name"].codes > 0) | (columns["used_name"].codes > 0)
    return np.where(named, person, person.max() + 1 + np.arange(len(person)))


def hard_pairs(truth, person):
    """How many pairs of records belong to two people who share a mother, or a name."""
    rows = pd.DataFrame(truth).assign(person=person)
    total = 0
    for keys in (["mother_id"], ["birth_name", "given_name", "sex"]):
        known = rows[(rows[keys] != "").all(axis=1)]
        total += pairs_among(known.groupby(keys).size().to_numpy()).sum()
        total -= pairs_among(known.groupby([*keys, "person"]).size().to_numpy()).sum()
    return int(total)


def judge(model, records, truth, *, sets=True, show=0):
    """Decide every candidate pair of a federation and compare with the truth."""
    columns = TraitColumns.of_table(records, on_bad="missing")
    truth = truth.to_pydict()
    person = people_of(columns, truth)
    domains = pd.factorize(np.array(truth["domain"]))[0]
    found = candidates(columns)
    left, right = found.left, found.right
    levels = levels_of(columns, left, right)
    weighed = weigh(model, columns, left, right, levels)
    guards = guards_of(columns, left, right, levels, weighed.patterns)
    same = person[left] == person[right]
    bits, at = np.unique(weighed.bits, return_inverse=True)
    out = Judged(
        records=len(columns),
        true_pairs=int(pairs_among(np.bincount(person)).sum()),
        candidates=len(left),
        found=int(same.sum()),
        weights=weighed.bits,
        same=same,
        decisions=decide(model, weighed, guards, domains[left] == domains[right]),
        probability=np.array([model.probability(weight) for weight in bits])[at],
        hard_pairs=hard_pairs(truth, person),
    )
    for guard in GUARDS:
        applies = has_any(guards, frozenset({guard.name}))
        out.guards[guard.name] = (int((applies & same).sum()), int((applies & ~same).sum()))
    rows = {name: np.array(values, dtype=object) for name, values in truth.items()}
    for a, b, decision in zip(left[~same], right[~same], out.decisions[~same].tolist(), strict=True):
        pair = [{name: values[at] for name, values in rows.items()} for at in (a, b)]
        kind = relation(*pair) if pair[0]["household"] and pair[1]["household"] else Relation.STRANGER
        out.relations[kind, DECISIONS[decision]] += 1
    out.strata = strata(rows, columns, left, right, same, out)
    if show:
        show_wrong(out, columns, left, right, levels, show)
    if sets:
        linked = link(records, model=model, train=False, on_bad="missing")
        order = {key: at for at, key in enumerate(zip(truth["record_id"], truth["domain"], strict=True))}
        entities = linked.entities.to_pydict()
        keys = zip(entities["record_id"], entities["domain"], strict=True)
        label = np.empty(len(columns), dtype=object)
        for key, euid in zip(keys, entities["euid"], strict=True):
            label[order[key]] = euid
        out.sets = measure_clusters(pd.factorize(label)[0], person)
    return out


def strata(rows, columns, left, right, same, judged):
    """By stratum: true pairs, those linked, those linked or reviewed."""
    of = np.flatnonzero(same)
    a, b = left[of], right[of]
    ins = columns["ins"].codes > 0
    first = columns["given_names"]
    compound = np.array([bool(names) and " " in names[0] for names in first.values])[first.codes]
    used_only = (columns["used_name"].codes > 0) & (columns["birth_name"].codes == 0)
    year = np.array([int(date[:4]) if date else 0 for date in rows["birth_date"]])
    groups = {
        "women": rows["sex"][a] == "F",
        "men": rows["sex"][a] == "M",
        "born abroad": rows["born_abroad"][a] == "Y",
        "another name in use": rows["used_name"][a] != "",
        "compound first name": compound[a] | compound[b],
        "used name only on a side": used_only[a] | used_only[b],
        "minors": year[a] >= 2008,
        "twins": rows["birth_order"][a] != "",
        "INS on both sides": ins[a] & ins[b],
        "no INS on a side": ~(ins[a] & ins[b]),
    }
    for naming in sorted(set(rows["naming"]) - {""}):
        groups[f"naming: {naming}"] = rows["naming"][a] == naming
    linked = judged.decided(Decision.LINK)[of]
    kept = judged.decided(Decision.LINK, Decision.REVIEW)[of]
    return {
        name: (int(group.sum()), int(linked[group].sum()), int(kept[group].sum()))
        for name, group in groups.items()
        if group.any()
    }


def show_wrong(judged, columns, left, right, levels, count):
    """Print some wrong decisions: synthetic people."""
    from mpi.matching.comparisons import COMPARISONS

    wrong = np.flatnonzero(
        (judged.decided(Decision.LINK) & ~judged.same) | (judged.decided(Decision.NON_LINK) & judged.same)
    )
    for at in wrong[np.argsort(-judged.weights[wrong])][:count]:
        said = [f"{c.trait}:{c.level_names[n]}" for c, n in zip(COMPARISONS, levels[at], strict=True) if n]
        print(judged.same[at], f"{judged.weights[at]:.1f}", " ".join(said))
        print("   ", columns.row(left[at]).to_json())
        print("   ", columns.row(right[at]).to_json())


def share(interval):
    return f"{interval.value:.5f} [{interval.low:.5f}, {interval.high:.5f}]"


def figures(judged):
    """What the model card and the documentation print, by name."""
    links = judged.decided(Decision.LINK)
    kept = judged.decided(Decision.LINK, Decision.REVIEW)
    true_links, wrong = int((links & judged.same).sum()), int((links & ~judged.same).sum())
    true_kept = int((kept & judged.same).sum())
    reviews = int(judged.decided(Decision.REVIEW).sum())
    hard = sum(judged.relations[kind, Decision.LINK] for kind in HARD)
    best = judged.best_f1
    reliability = judged.reliability
    out = {
        "records": judged.records,
        "true pairs": judged.true_pairs,
        "candidate pairs": judged.candidates,
        "recall of blocking": share(wilson(judged.found, judged.true_pairs)),
        "best F1 (weight alone)": f"{best.f1:.4f} (P {best.precision.value:.4f}, R {best.recall.value:.4f})",
        "precision of links": f"{share(wilson(true_links, true_links + wrong))}: {wrong} wrong of {true_links + wrong}",
        "recall of links": share(wilson(true_links, judged.true_pairs)),
        "recall of links and reviews": share(wilson(true_kept, judged.true_pairs)),
        "reviews": f"{reviews}: {100 * reviews / judged.records:.2f} per 100 records",
        "twins, siblings, homonyms linked": f"{hard} of {judged.hard_pairs} pairs",
        "calibration error (ECE)": share(reliability.error),
    }
    if judged.sets is not None:
        pairs, bcubed = judged.sets.pairs.pairs, judged.sets
        out["sets: precision of pairs"] = f"{share(pairs.precision)}: {pairs.false_positives} wrong"
        out["sets: recall of pairs"] = share(pairs.recall)
        out["sets: exactly found"] = share(bcubed.exact)
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--persons", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=860021)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="judging")
    parser.add_argument("--without-ins", action="store_true")
    parser.add_argument("--as-is", action="store_true", help="keep the model's own population")
    parser.add_argument("--show", type=int, default=0)
    asked = parser.parse_args()
    model = MatchModel.default()
    if asked.model:
        model = MatchModel.from_json(json.loads(asked.model.read_text()))
    records, truth = tables(asked.persons, seed=asked.seed, profile=PROFILES[asked.profile], processes=2)
    if asked.without_ins:
        records = without_ins(records)
    if not asked.as_is:
        model = model.for_population(len(records))
    judged = judge(model, records, truth, show=asked.show)
    for name, value in figures(judged).items():
        print(f"{name:32} {value}")
    for kind in Relation:
        row = {decision: judged.relations[kind, decision] for decision in Decision}
        if sum(row.values()):
            print(f"  {kind:24} " + "  ".join(f"{decision} {count}" for decision, count in row.items()))
    for name, (total, linked, kept) in judged.strata.items():
        print(f"  {name:24} {total:8} linked {linked / total:.4f} kept {kept / total:.4f}")
    for name, (one, two) in judged.guards.items():
        print(f"  guard {name:24} one person {one:7}  two {two:7}")


def without_ins(records):
    """The same records, as if no site knew the INS."""
    empty = pa.array([""] * len(records), pa.string())
    return records.set_column(records.column_names.index("ins"), "ins", empty)


if __name__ == "__main__":
    main()
