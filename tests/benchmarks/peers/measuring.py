"""What every peer shares: the clock by phase, the memory at its peak, and pairs against the truth."""

import csv
import json
import resource
import sys
import time
from contextlib import contextmanager

import numpy as np


class Phases:
    """Seconds by phase, in the order the phases ran."""

    def __init__(self):
        self.seconds = {}

    @contextmanager
    def __call__(self, name):
        started = time.perf_counter()
        yield
        self.seconds[name] = round(self.seconds.get(name, 0.0) + time.perf_counter() - started, 2)


def peak_mb(*, children_only=False):
    """The most memory this process, or one child of it, ever held; read it before measuring accuracy."""
    kinds = (resource.RUSAGE_CHILDREN,) if children_only else (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return round(max(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024)


def people_of(truth_path):
    """record_id -> person, as truth.csv says."""
    with open(truth_path, encoding="utf-8", newline="") as file:
        return {row["record_id"]: row["person_id"] for row in csv.DictReader(file)}


def person_codes(truth_path, record_ids):
    """For each record, in order, a number for its person."""
    person_of = people_of(truth_path)
    numbers = {}
    return np.array(
        [numbers.setdefault(person_of[record], len(numbers)) for record in record_ids], dtype=np.int64
    )


def true_pairs(persons):
    """How many pairs of records are of one person."""
    counts = np.bincount(persons)
    return int((counts * (counts - 1) // 2).sum())


def accuracy(weights, same, total):
    """
    F1 of pairs over every threshold, and at weight 0, which is probability one half.

    Args:
        weights: of the pairs found, in bits; nobody knows of the others.
        same: whether each is of one person.
        total: pairs of one person, found or not.
    """
    order = np.argsort(-weights, kind="stable")
    weights, same = weights[order], same[order]
    if not len(weights):
        return {"best_f1": 0.0}
    right = np.cumsum(same)
    found = np.arange(1, len(weights) + 1)
    f1 = np.where(np.r_[weights[1:] != weights[:-1], True], 2 * right / (found + total), 0.0)
    best = int(f1.argmax())
    at_half = int((weights >= 0).sum())
    return {
        "best_f1": round(float(f1[best]), 5),
        "best_precision": round(float(right[best] / found[best]), 5),
        "best_recall": round(float(right[best] / total), 5),
        "best_at_bits": round(float(weights[best]), 2),
        "f1_at_half": round(2 * int(right[at_half - 1]) / (at_half + total), 5) if at_half else 0.0,
    }


def set_accuracy(labels, persons):
    """Precision, recall and F1 of the pairs within sets: what closing the links under transitivity leaves."""
    both = labels.astype(np.int64) * (int(persons.max()) + 1) + persons
    right = true_pairs(np.unique(both, return_inverse=True)[1])
    found = true_pairs(np.unique(labels, return_inverse=True)[1])
    total = true_pairs(persons)
    return {
        "precision": round(right / found, 5) if found else 1.0,
        "recall": round(right / total, 5),
        "f1": round(2 * right / (found + total), 5),
    }


def say(figures):
    """One JSON object on standard output: what the runner reads."""
    json.dump(figures, sys.stdout)
    sys.stdout.write("\n")
