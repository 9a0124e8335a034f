"""
What each piece of the engine is worth: the same training data, fitted with and without it.

    python tests/benchmarks/variants.py [--persons N] [--judging-persons N]

Prints a table in Markdown, for docs/matching.md. Everything is unsupervised; the judging federation has
other people, rates and operators of error.
"""

import argparse
import math
from dataclasses import replace

import numpy as np
from judge import judge, without_ins
from mpi_synthetic import JUDGING, TUNING, tables
from train_default_model import FORGOTTEN, TRAINING_SEED, forgetting, names_in_france, with_national_id

from mpi.identity.columns import TraitColumns
from mpi.matching import training
from mpi.matching.candidates import candidates
from mpi.matching.decision import Thresholds
from mpi.matching.estimation import SESSIONS, random_vectors, u_probabilities
from mpi.matching.mixture import KINDS
from mpi.matching.model import MatchModel
from mpi.matching.vectors import levels_of
from mpi.matching.weights import prior_bits

DEVELOPMENT_SEED = 860021


def free_birthday(kind):
    """Namesakes whose share of common birthdays EM finds."""
    return replace(kind, free={**kind.free, "birth_date": lambda m, u: 0.001 * m + 0.999 * u})


def variants(base, levels, records, names):
    """By name, a model; `base` holds u, and m from the sessions."""

    def fit(kinds=KINDS, held=training.M_HELD_BY):
        return training.refit(base, levels, records=records, kinds=kinds, m_held_by=held).model

    with_names = {"frequencies": names}
    whole = fit()
    return {
        "Fellegi–Sunter: two classes, m from the sessions": fit((), math.inf),
        "… with the frequency of names": replace(fit((), math.inf), **with_names),
        "… two classes, m refined on the candidates": fit(()),
        "twins only": fit(KINDS[:1]),
        "twins and siblings": fit(KINDS[:2]),
        "twins, siblings, namesakes; m from the sessions": fit(held=math.inf),
        "… namesakes' common birthdays left to EM": fit((*KINDS[:2], free_birthday(KINDS[2]))),
        "twins, siblings, namesakes; m refined": whole,
        "**the same with the frequency of names (kept)**": replace(whole, **with_names),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--persons", type=int, default=25_000)
    parser.add_argument("--judging-persons", type=int, default=60_000)
    asked = parser.parse_args()
    records, _ = tables(asked.persons, seed=TRAINING_SEED, profile=TUNING, processes=2)
    columns = TraitColumns.of_table(forgetting(records, FORGOTTEN), on_bad="missing")
    rows = [columns.row(at) for at in range(len(columns))]
    u = u_probabilities(random_vectors(rows, 1_000_000, seed=1))
    m, _ = training._first_m(rows, u, SESSIONS, None)
    parameters = training._parameters(m, u)
    base = MatchModel("variant", prior_bits(1 / len(rows)), parameters, Thresholds(0.0, 0.0))
    found = candidates(columns)
    levels = levels_of(columns, found.left, found.right)
    judging, truth = tables(asked.judging_persons, seed=DEVELOPMENT_SEED, profile=JUDGING, processes=2)
    bare = without_ins(judging)
    print(
        "| variant | best F1, with INS | without | P, R with INS | ECE | true pairs kept at precision .9995 |"
    )
    print("|---|---|---|---|---|---|")
    for name, model in variants(base, levels, len(rows), names_in_france()).items():
        model = with_national_id(model).for_population(len(judging))
        one, other = (judge(model, each, truth, sets=False) for each in (judging, bare))
        best = one.best_f1
        print(
            f"| {name} | {best.f1:.4f} | {other.best_f1.f1:.4f} | "
            f"{best.precision.value:.4f}, {best.recall.value:.4f} | {one.reliability.error.value:.4f} | "
            f"{recall_at(one, 0.9995):.3f} |",
            flush=True,
        )


def recall_at(judged, precision):
    """The largest share of true pairs above a threshold of that precision."""
    order = np.argsort(-judged.weights, kind="stable")
    right = np.cumsum(judged.same[order])
    kept = np.flatnonzero(right >= precision * np.arange(1, len(order) + 1))
    return float(right[kept[-1]] / judged.true_pairs) if len(kept) else 0.0


if __name__ == "__main__":
    main()
