"""
recordlinkage 0.16, unsupervised (ECM): the same normalised table and blocking keys as the product.

    python -m tests.benchmarks.peers.recordlinkage_peer NORMALISED.parquet TRUTH.csv

Its classifier knows agreement and disagreement only: a ladder becomes one or two features with a
threshold, and a missing value disagrees. Its own blocking takes one value a record, so the pairs
are joined here, on every key at once, which is also faster.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
import recordlinkage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from tests.benchmarks.peers.measuring import (
    Phases,
    accuracy,
    peak_mb,
    person_codes,
    say,
    set_accuracy,
    true_pairs,
)

LINKED_FROM_BITS = 4.25
"""Probability .95."""
COLUMNS = [
    "record_id", "birth_name", "used_name", "given", "given_joined", "birth_date", "birth_year", "birth_month",
    "birth_day", "sex", "place_code", "postal_code", "city", "phone", "email", "ins", "mother", "all_keys",
]  # fmt: skip


def candidates(keys):
    """Every pair of records that shares a key, once, the lower index first."""
    exploded = keys.explode().dropna().rename_axis("at").reset_index(name="key")
    joined = exploded.merge(exploded, on="key", suffixes=("_l", "_r"))
    joined = joined[joined["at_l"] < joined["at_r"]]
    return pd.MultiIndex.from_frame(joined[["at_l", "at_r"]].drop_duplicates())


def comparisons():
    """The ladders as features of 0 and 1."""
    compare = recordlinkage.Compare()
    for left, right in (
        ("birth_name", "birth_name"),
        ("birth_name", "used_name"),
        ("used_name", "birth_name"),
    ):
        compare.string(left, right, method="jarowinkler", threshold=0.92, label=f"{left}-{right}")
    for left, right in (("birth_name", "given"), ("given", "birth_name")):
        compare.exact(left, right, label=f"{left}-{right}")
    compare.exact("given_joined", "given_joined", label="given")
    compare.string("given", "given", method="jarowinkler", threshold=0.9, label="given near")
    for column in ("birth_date", "birth_year", "birth_month", "birth_day", "sex", "place_code"):
        compare.exact(column, column, label=column)
    for column in ("postal_code", "city", "phone", "email", "ins"):
        compare.exact(column, column, label=column)
    compare.string("mother", "mother", method="jarowinkler", threshold=0.92, label="mother")
    return compare


def random_pairs(records, count):
    """
    Pairs of strangers, to train on beside the candidates.

    Blocking leaves few of them, and an EM without them splits the matches in two.
    """
    rng = np.random.default_rng(1)
    left = rng.integers(0, records, count)
    right = (left + rng.integers(1, records, count)) % records
    return pd.MultiIndex.from_arrays([left, right])


def log_odds_bits(classifier, features):
    """Log odds of a match in bits, from the logarithms: the probability itself soon rounds to 0 or 1."""
    m, u = classifier.log_m_probs, classifier.log_u_probs
    odds = np.full(len(features), np.log(classifier.p) - np.log1p(-classifier.p))
    for column in features:
        agrees = features[column].to_numpy() == 1
        bits = [m[column].get(level, 0.0) - u[column].get(level, 0.0) for level in (0, 1)]
        odds += np.where(agrees, bits[1], bits[0])
    return odds / np.log(2)


def main():
    """Link a table and say what it cost and what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("normalised")
    parser.add_argument("truth")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    phases = Phases()
    with phases("load"):
        frame = pd.read_parquet(options.normalised, columns=COLUMNS)
    with phases("block"):
        pairs = candidates(frame["all_keys"])
    with phases("compare"):
        features = comparisons().compute(pairs, frame)
        strangers = comparisons().compute(random_pairs(len(frame), len(pairs)), frame)
    with phases("classify"):
        classifier = recordlinkage.ECMClassifier()
        classifier.fit(pd.concat([features, strangers]).astype(int))
        weights = log_odds_bits(classifier, features.astype(int))
    left, right = pairs.get_level_values(0).to_numpy(), pairs.get_level_values(1).to_numpy()
    with phases("cluster"):
        linked = weights >= LINKED_FROM_BITS
        edges = coo_matrix(
            (np.ones(linked.sum()), (left[linked], right[linked])), shape=(len(frame), len(frame))
        )
        _, labels = connected_components(edges, directed=False)
    memory = peak_mb()
    persons = person_codes(options.truth, frame["record_id"])
    total = true_pairs(persons)
    say(
        {
            "engine": "recordlinkage",
            "records": len(frame),
            "seconds": phases.seconds,
            "peak_mb": memory,
            "pairs": len(pairs),
            "true_pairs": total,
            **accuracy(weights, persons[left] == persons[right], total),
            "sets": set_accuracy(labels, persons),
        }
    )


if __name__ == "__main__":
    main()
