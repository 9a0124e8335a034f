import json
import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi.errors import UnreadableMessage
from mpi.matching.clusters import components
from mpi.matching.evaluation import (
    Contingency,
    PairMeasures,
    bootstrap,
    measure_blocking,
    measure_clusters,
    measure_found,
    measure_pairs,
    threshold_curve,
    wilson,
)
from mpi.matching.judging import data_digest, evaluate_files


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_wilson_against_published_values(successes, trials, low, high):
    """The last row is Newcombe's (1998) worked example, Statistics in Medicine 17:857-872."""
    interval = wilson(successes, trials)

    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)
    assert interval.value == successes / trials


def test_no_trial_says_nothing():
    interval = wilson(0, 0)

    assert math.isnan(interval.value)
    assert (interval.low, interval.high) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "trials"), [(-1, 3), (4, 3)])
def test_impossible_counts_are_refused(successes, trials):
    with pytest.raises(ValueError, match="successes"):
        wilson(successes, trials)


def test_pairs_are_unordered_and_counted_once():
    measures = measure_pairs(found=[(1, 2), (2, 1), (3, 4)], true=[(2, 1), (5, 6)])

    assert PairMeasures(1, 1, 1) == measures
    assert (measures.precision.value, measures.recall.value, measures.f1) == (0.5, 0.5, 0.5)


def test_nothing_right_is_an_f1_of_zero():
    assert PairMeasures(0, 0, 0).f1 == 0.0


FOUND = np.array([0, 0, 0, 1, 1, 2, 3, 3])
PEOPLE = np.array([0, 0, 1, 1, 1, 2, 3, 3])
"""By hand: one record of person 1 is in person 0's cluster; persons 2 and 3 are found exactly."""


def test_clusters_by_hand():
    found = measure_clusters(FOUND, PEOPLE)

    assert found.pairs.pairs == PairMeasures(3, 2, 2)
    # B-cubed precision: 2/3, 2/3, 1/3, then five times 1; recall: 1, 1, 1/3, 2/3, 2/3, 1, 1, 1.
    assert found.precision.value == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 5) / 8)
    assert found.recall.value == pytest.approx((2 + 1 / 3 + 4 / 3 + 3) / 8)
    assert found.f1.value == pytest.approx(5 / 6)
    assert found.exact[:1] == wilson(2, 4)[:1]


labels = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.booleans()), min_size=1, max_size=30)


def enumerated(found, people, inside):
    """The same measures the slow way: every pair of records with an end in the stratum."""
    pairs = [(i, j) for i, j in combinations(range(len(found)), 2) if inside[i] or inside[j]]
    return measure_pairs(
        [(i, j) for i, j in pairs if found[i] == found[j]],
        [(i, j) for i, j in pairs if people[i] == people[j]],
    )


@settings(deadline=None, max_examples=60)
@given(labels)
def test_contingency_counts_what_enumeration_counts(records):
    found, people, inside = (np.array(column) for column in zip(*records, strict=True))
    table = Contingency.of(found, people)

    assert table.measures().pairs.pairs == enumerated(found, people, np.ones(len(found), dtype=bool))
    assert table.measures(inside).pairs.pairs == enumerated(found, people, inside)
    for figure in table.measures()[1:]:
        assert 0 <= figure.low <= figure.value <= figure.high <= 1


@settings(deadline=None, max_examples=60)
@given(labels)
def test_found_pairs_count_as_the_clusters_they_make(records):
    found, people, inside = (np.array(column) for column in zip(*records, strict=True))
    pairs = [(i, j) for i, j in combinations(range(len(found)), 2) if found[i] == found[j]]
    left, right = np.array(pairs, dtype=np.int64).reshape(-1, 2).T

    assert measure_found(left, right, people).pairs == measure_clusters(found, people).pairs.pairs
    assert measure_found(left, right, people, inside).pairs == enumerated(found, people, inside)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_components_join_what_edges_join(edges):
    left, right = np.array(edges, dtype=np.int64).reshape(-1, 2).T
    expected = list(range(20))
    for one, other in edges:
        low, high = sorted((expected[one], expected[other]))
        expected = [low if label == high else label for label in expected]

    assert components(20, left, right).tolist() == expected


def test_a_long_chain_is_one_component():
    chain = np.random.default_rng(1).permutation(100_000)

    assert not components(len(chain), chain[:-1], chain[1:]).any()


def test_the_bootstrap_draws_units_and_not_records():
    """
    A hundred units of which half are right: a standard error of 0.05, whatever their size.

    Ten times as many records in each unit change nothing; 200 draws place a 95 % half-width within
    about 15 %.
    """
    small = np.column_stack([np.repeat([1.0, 0.0], 50), np.ones(100)])

    (narrow,) = bootstrap(small, (lambda totals: totals[..., 0] / totals[..., 1],))
    (wide,) = bootstrap(small * 10, (lambda totals: totals[..., 0] / totals[..., 1],))

    assert narrow == pytest.approx(wide)
    assert (narrow.high - narrow.low) / 2 == pytest.approx(1.96 * 0.05, rel=0.15)


def test_people_whom_a_mistake_joins_are_drawn_together():
    units = Contingency.of(FOUND, PEOPLE)

    assert len(set(units.unit[units.person < 2])) == 1
    assert len(set(units.unit)) == 3


def test_the_curve_by_hand():
    weights, is_match = np.array([5.0, 9.0, 5.0, 1.0]), np.array([True, True, False, True])

    curve = threshold_curve(weights, is_match, true_pairs=4)

    assert curve.threshold_bits.tolist() == [9.0, 5.0, 1.0]
    assert [curve.at(bits) for bits in (9.5, 9.0, 5.0, -3.0)] == [
        PairMeasures(0, 0, 4), PairMeasures(1, 0, 3), PairMeasures(2, 1, 2), PairMeasures(3, 1, 1),
    ]  # fmt: skip
    assert curve.best_threshold_bits == 1.0
    assert curve.average_precision.value == pytest.approx((1 + 2 / 3 + 3 / 4) / 4)
    assert curve.average_precision.low < curve.average_precision.value < curve.average_precision.high


def test_a_curve_needs_pairs_and_a_truth_that_holds_them():
    for weights, is_match, true_pairs in (([], [], 1), ([1.0], [True], 0), ([1.0, 2.0], [True, True], 1)):
        with pytest.raises(ValueError, match="weighted pairs"):
            threshold_curve(np.array(weights), np.array(is_match, dtype=bool), true_pairs)


def test_blocking_loss_by_hand():
    loss = measure_blocking(np.array([0, 0]), np.array([1, 2]), np.array([0, 0, 1, 1]))

    assert (loss.pairs_completeness.value, loss.reduction_ratio.value) == (1 / 2, 4 / 6)


def files(tmp_path, **tables):
    """Each table as NAME.csv, from text."""
    for name, text in tables.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    return [tmp_path / f"{name}.csv" for name in tables]


TRUTH = "record_id,domain,person_id,sex,birth_name\nR1,A,P1,F,ROUX\nR2,A,P1,F,ROUX\nR1,B,P2,M,BLANC\nR2,B,P2,M,BLANC\n"
SIMPLE = "record_id,person_id\nR1,P1\nR2,P1\nR3,P2\nR4,P2\n"
PAIRS = (
    "left_id,right_id,weight_bits,probability,decision\n"
    "R1,R2,20,0.99,link\nR3,R4,4,0.9,review\nR1,R3,3,0.8,review\nR2,R4,-9,0.01,non_link\nR4,R2,-9,0.01,non_link\nR1,R9,1,0.5,link\n"
)


def test_links_are_judged_by_domain_and_identifier(tmp_path):
    found, truth = files(tmp_path, links="record_id,domain,euid\nR1,A,E1\nR2,A,E1\nR7,B,E2\n", truth=TRUTH)

    report = evaluate_files(found, truth)

    assert report.figures[0].pairs.pairs == PairMeasures(1, 0, 1)
    assert list(report.set_aside.values()) == [0, 1, 2]
    assert [(row.stratum, row.value, row.pairs.pairs.recall.value) for row in report.strata] == [
        ("sex", "F", 1.0), ("sex", "M", 0.0),
    ]  # fmt: skip
    assert "ROUX" not in report.to_text() + json.dumps(report.to_json())


def test_pairs_are_judged_at_each_decision(tmp_path):
    report = evaluate_files(*files(tmp_path, pairs=PAIRS, truth=SIMPLE))

    assert [(row.found, row.pairs.pairs) for row in report.figures] == [
        ("links", PairMeasures(1, 0, 1)),
        ("links and reviews", PairMeasures(2, 1, 0)),
    ]
    assert report.curve.best_threshold_bits == 4.0
    assert report.at_best.pairs == PairMeasures(2, 0, 0)
    assert report.blocking.pairs_completeness.value == 1.0
    assert report.blocking.reduction_ratio.value == 2 / 6
    assert report.reliability.error.value == pytest.approx((0.01 + 0.1 + 0.8 + 0.01) / 4, abs=0.2)
    assert [count for count in report.set_aside.values() if count] == [1, 1]
    json.dumps(report.to_json(), allow_nan=False)


def test_true_pairs_are_closed_and_say_nothing_of_the_reduction(tmp_path):
    truth = "left_id,right_id\nR1,R2\nR2,R3\n"

    report = evaluate_files(*files(tmp_path, pairs="left_id,right_id\nR1,R3\nR1,R4\n", truth=truth))

    assert report.figures[0].pairs.pairs == PairMeasures(1, 1, 2)
    assert report.set_aside["true pairs implied by others"] == 1
    assert math.isnan(report.blocking.reduction_ratio.value)


def test_parquet_says_what_csv_says(tmp_path):
    found, truth = files(tmp_path, pairs=PAIRS, truth=SIMPLE)
    pd.read_csv(found).to_parquet(tmp_path / "pairs.parquet")
    pd.read_csv(truth).to_parquet(tmp_path / "truth.parquet")

    csv = evaluate_files(found, truth)
    parquet = evaluate_files(tmp_path / "pairs.parquet", tmp_path / "truth.parquet")

    assert csv.figures == parquet.figures
    assert csv.digests["records"] == parquet.digests["records"]


def test_a_model_judged_on_its_own_data_is_told_so(tmp_path):
    found, truth = files(tmp_path, pairs=PAIRS, truth=SIMPLE)
    traits = pd.DataFrame({"record_id": ["R4", "R2", "R3", "R1"], "birth_name": "ROUX"})

    own = evaluate_files(found, truth, training_digest=data_digest(traits))
    other = evaluate_files(found, truth, training_digest=data_digest(traits[:3]))

    assert own.tuned_on_these_records is True
    assert "optimistic" in own.to_text()
    assert other.tuned_on_these_records is False
    assert "optimistic" not in other.to_text()
    assert evaluate_files(found, truth).tuned_on_these_records is None


@pytest.mark.parametrize(
    ("found", "truth", "place"),
    [
        ("left_id,right\nR1,R2\n", SIMPLE, "found.csv: expected columns"),
        ("", SIMPLE, "found.csv: empty"),
        ("left_id,right_id\n", SIMPLE, "found.csv: no row"),
        ("left_id,right_id\nR1,R2\nR1,R1\n", SIMPLE, "found.csv: line 3: right_id: a record paired with itself"),
        ("left_id,right_id\nR1,\n", SIMPLE, "found.csv: line 2: right_id: missing"),
        ("left_id,right_id,weight_bits\nR1,R2,ZQX\n", SIMPLE, "found.csv: line 2: weight_bits: not a number"),
        ("left_id,right_id,probability\nR1,R2,1.5\n", SIMPLE, "found.csv: line 2: probability: outside"),
        ("left_id,right_id,decision\nR1,R2,ZQX\n", SIMPLE, "found.csv: line 2: decision: expected"),
        ("left_id,right_id\nR1,R2,ZQX\nR1,R2,R3,R4\n", SIMPLE, "found.csv: line 3: not a CSV row"),
        ("record_id,domain,euid\nR1,A,E1\nR1,A,E2\n", SIMPLE, "found.csv: line 3: record_id: stated twice"),
        ("left_id,right_id\nR1,R2\n", "record_id\nR1\n", "truth.csv: expected columns"),
        ("left_id,right_id\nR1,R2\n", TRUTH, "truth.csv: line 4: record_id: stated twice, domains"),
    ],
)  # fmt: skip
def test_errors_name_the_place_and_never_the_value(tmp_path, found, truth, place):
    with pytest.raises(UnreadableMessage) as raised:
        evaluate_files(*files(tmp_path, found=found, truth=truth))

    assert str(raised.value).startswith(place)
    assert "ZQX" not in str(raised.value)


def test_other_files_are_refused_by_name(tmp_path):
    with pytest.raises(UnreadableMessage, match=r"pairs\.xlsx: unknown format"):
        evaluate_files(tmp_path / "pairs.xlsx", tmp_path / "truth.csv")
    with pytest.raises(UnreadableMessage, match=r"pairs\.csv: no such file"):
        evaluate_files(tmp_path / "pairs.csv", tmp_path / "truth.csv")
