import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.errors import ModelError
from mpi.matching.budget import ErrorBudget, WeighedPairs, solve
from mpi.matching.weights import probability_from_bits


def weighed(bits, pairs, capped=False):
    return WeighedPairs(bits, pairs, capped, probability_from_bits(bits))


PAIRS = [
    weighed(20.0, 1000),
    weighed(8.0, 100),
    weighed(30.0, 50, capped=True),
    weighed(-5.0, 200),
    weighed(-30.0, 1e6),
]
"""1,150 records' worth: at or above 20 bits one pair in a million is wrong, at 8 bits one in 257."""

histograms = st.lists(
    st.builds(
        WeighedPairs,
        st.floats(-40, 40),
        st.floats(0.5, 1e6),
        st.booleans(),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=25,
)
shares = st.floats(1e-7, 1)


def reviewed(pairs, thresholds):
    return sum(
        p.pairs
        for p in pairs
        if p.weight_bits >= thresholds.lower_bits and (p.capped or p.weight_bits < thresholds.upper_bits)
    )


@given(histograms, shares, shares)
def test_a_tighter_budget_never_lowers_the_upper_bound(pairs, one, other):
    bounds = [solve(pairs, ErrorBudget(wrong_links=w), records=10).thresholds for w in sorted((one, other))]

    assert bounds[0].upper_bits >= bounds[1].upper_bits
    assert bounds[0].same_domain_bits >= bounds[1].same_domain_bits


@given(histograms, shares, shares, st.floats(0, 1e6))
def test_the_thresholds_keep_the_budget_on_the_histogram(pairs, wrong_links, lost_matches, tasks):
    budget = ErrorBudget(wrong_links, lost_matches, tasks_a_day=tasks, records_a_day=100)

    plan = solve(pairs, budget, records=50)

    unmet = {item.part for item in plan.unmet}
    linked = [p for p in pairs if not p.capped and p.weight_bits >= plan.thresholds.upper_bits]
    wrong = math.fsum(p.pairs * (1 - p.probability) for p in linked)
    lost = math.fsum(p.pairs * p.probability for p in pairs if p.weight_bits < plan.thresholds.lower_bits)
    matches = math.fsum(p.pairs * p.probability for p in pairs)
    assert wrong <= wrong_links * math.fsum(p.pairs for p in linked) * (1 + 1e-9)
    assert ("wrong_links" in unmet) == (not linked)
    assert "tasks_a_day" in unmet or 2 * reviewed(pairs, plan.thresholds) / 50 * 100 <= tasks * (1 + 1e-9)
    assert "lost_matches" in unmet or lost <= lost_matches * matches * (1 + 1e-9) + 1e-9


@given(histograms, shares, shares, st.floats(0, 1e6))
def test_the_nearest_that_can_be_kept_can(pairs, wrong_links, lost_matches, tasks):
    budget = ErrorBudget(wrong_links, lost_matches, tasks_a_day=tasks, records_a_day=100)
    for _ in range(5):
        plan = solve(pairs, budget, records=50)
        near = {u.part: u.nearest * (1 + 1e-9) for u in plan.unmet}
        if not near or any(math.isnan(value) for value in near.values()):
            return
        part, nearest = next(iter(near.items()))
        if part in ("wrong_links", "same_domain_factor", "lost_matches") and not 0 < nearest <= 1:
            return  # certainty, or no stricter bound for one domain: no budget states it
        budget = replace(budget, **{part: nearest})

    assert not plan.unmet


def test_a_bound_holds_for_all_that_rounds_to_it():
    """Both weights are 8.000 in the file: the doubtful one would be linked with the other."""
    pairs = [WeighedPairs(8.0004, 10, False, 1.0), WeighedPairs(8.0001, 10, False, 0.5)]

    assert solve(pairs, ErrorBudget(wrong_links=0.01), records=10).thresholds.upper_bits > 8.0004


def test_tasks_raise_the_lower_bound_and_say_what_is_lost():
    """By hand: with 2,000 records, links from 20 bits, 50 capped and the 100 at 8 bits make 0.15 tasks each."""
    free = ErrorBudget(wrong_links=1e-5, lost_matches=0.01)

    roomy = solve(PAIRS, replace(free, tasks_a_day=15, records_a_day=100), records=2000)
    tight = solve(PAIRS, replace(free, tasks_a_day=14, records_a_day=100), records=2000)
    tighter = solve(PAIRS, replace(free, tasks_a_day=4, records_a_day=100), records=2000)

    assert (roomy.thresholds.lower_bits, roomy.unmet) == (8.0, ())
    assert tight.thresholds.lower_bits == 20.0
    assert [item.part for item in tight.unmet] == ["lost_matches"]
    assert tight.unmet[0].nearest == pytest.approx((100 * 256 / 257 + 200 / 33) / 1155.7, rel=1e-3)
    assert tighter.unmet[0][::2] == ("tasks_a_day", pytest.approx(5))


def test_a_budget_for_wrong_links_that_cannot_be_kept_links_nothing():
    plan = solve([weighed(1.0, 10)], ErrorBudget(wrong_links=1e-6), records=10)

    assert plan.thresholds.upper_bits > 1.0
    assert str(plan.unmet[0]) == "wrong_links: 1e-06 cannot be kept; the nearest that can is 0.333333"
    assert "no pair may be linked" in str(
        solve([weighed(9.0, 1, capped=True)], ErrorBudget(), records=2).unmet[0]
    )


def test_the_trade_off_by_hand():
    plan = solve(PAIRS, ErrorBudget(wrong_links=1e-5, lost_matches=0.01), records=2000)
    rows = {row.threshold_bits: row for row in plan.trade_off}

    assert rows[8.0].wrong_links_per_100_000.value == pytest.approx(
        1e5 * (100 / 257 + 1000 / 2**20) / 1100, rel=1e-3
    )
    assert rows[8.0].tasks_per_1_000_records.value == 150
    assert rows[21.0].matches_found.value == pytest.approx(50 / 1155.7, rel=1e-3)
    for row in plan.trade_off:
        for value, low, high in row[1:]:
            assert math.isnan(value) or low <= value <= high
    json.dumps(plan.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    "wrong",
    [
        {"wrong_links": 0},
        {"lost_matches": float("nan")},
        {"same_domain_factor": 2},
        {"tasks_a_day": -1, "records_a_day": 10},
        {"tasks_a_day": 40},
        {"records_a_day": math.inf},
    ],
)
def test_a_budget_that_says_nothing_is_refused(wrong):
    with pytest.raises(ModelError, match=f"budget: {next(iter(wrong))}|records_a_day"):
        ErrorBudget(**wrong)


@pytest.mark.parametrize(
    "odd",
    [WeighedPairs(math.inf, 1, False, 0.5), WeighedPairs(1, 0, False, 0.5), WeighedPairs(1, 1, False, 1.5)],
)
def test_an_odd_histogram_is_refused(odd):
    with pytest.raises(ModelError, match="budget: expected"):
        solve([odd], ErrorBudget(), records=1)
