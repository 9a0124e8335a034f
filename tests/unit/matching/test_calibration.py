import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi.errors import ModelError
from mpi.matching.calibration import fit_isotonic, fit_logistic, measure_reliability, reliability_diagram
from mpi.matching.isotonic import IsotonicCalibration


def drawn(pairs, seed, slope=0.7, offset_bits=-1.5):
    """Weights, and verdicts whose log odds are a straight line of them."""
    rng = np.random.default_rng(seed)
    weights = np.round(rng.normal(0, 8, pairs), 1)
    return weights, rng.random(pairs) < 1 / (1 + np.exp2(-(slope * weights + offset_bits)))


def test_the_logistic_fit_finds_the_line_that_was_drawn():
    """At 100,000 pairs the standard errors are about 0.004 and 0.02; the tolerances are four of them."""
    calibration = fit_logistic(*drawn(100_000, seed=1))

    assert calibration.slope == pytest.approx(0.7, abs=0.016)
    assert calibration.offset_bits == pytest.approx(-1.5, abs=0.08)


def test_counts_stand_for_repeated_pairs():
    weights, is_match = np.array([-4.0, -1, 1, 1, 6]), np.array([False, False, True, False, True])
    counts = np.array([40, 5, 6, 3, 20])

    for fit in (fit_logistic, fit_isotonic):
        assert fit(weights, is_match, counts) == fit(np.repeat(weights, counts), np.repeat(is_match, counts))


def test_perfect_separation_still_gives_a_finite_line():
    calibration = fit_logistic(np.array([-3.0, -1.0, 2.0, 5.0]), np.array([False, False, True, True]))

    assert 0 < calibration.slope < 10


@pytest.mark.parametrize("fit", [fit_logistic, fit_isotonic])
def test_one_kind_of_verdict_teaches_nothing(fit):
    with pytest.raises(ModelError, match="of one person and of two"):
        fit(np.array([1.0, 2.0]), np.array([True, True]))
    with pytest.raises(ModelError, match="finite weights"):
        fit(np.array([1.0, np.nan]), np.array([True, False]))


def test_isotonic_pools_what_falls_by_hand():
    """9 of 10 then 1 of 10 fall: together 10 of 20. Each step claims (matches + 1/2) / (pairs + 1)."""
    calibration = fit_isotonic(
        np.array([0.0, 1, 1, 2, 2, 3]),
        np.array([False, True, False, True, False, True]),
        np.array([99, 9, 1, 1, 9, 99]),
    )

    assert [calibration.probability(bits) for bits in (-9, 0, 1, 1.5, 2, 3, 9)] == pytest.approx(
        [0.005, 0.005, 0.5, 0.5, 0.5, 0.995, 0.995]
    )


judged = st.lists(
    st.tuples(st.integers(-20, 20), st.booleans(), st.integers(1, 50)), min_size=2, max_size=40
).filter(lambda rows: len({row[1] for row in rows}) == 2)


@settings(deadline=None)
@given(judged, st.floats(-30, 30), st.floats(0, 30))
def test_more_weight_never_lowers_the_isotonic_probability(rows, weight, extra):
    weights, is_match, counts = (np.array(column) for column in zip(*rows, strict=True))
    calibration = fit_isotonic(weights.astype(float), is_match, counts)

    # The straight pieces may lose the last digit at a knot.
    assert calibration.probability(weight) <= calibration.probability(weight + extra) + 1e-12
    assert 0 < calibration.probability(weight) < 1
    assert IsotonicCalibration.from_json(calibration.to_json()) == calibration


@pytest.mark.parametrize("fit", ["logistic", "isotonic"])
def test_a_fit_keeps_its_word_on_pairs_it_has_not_seen(fit):
    """Raw weights are off by 0.1; 20,000 fresh pairs alone show an error of up to about 0.01."""
    fitted = (fit_logistic if fit == "logistic" else fit_isotonic)(*drawn(50_000, seed=2))
    weights, is_match = drawn(20_000, seed=3)
    if fit == "logistic":
        calibrated = fitted.slope * weights + fitted.offset_bits
    else:
        calibrated = np.array([fitted.calibrated_bits(bits) for bits in weights])

    before = measure_reliability(1 / (1 + np.exp2(-weights)), is_match)
    after = measure_reliability(1 / (1 + np.exp2(-calibrated)), is_match)

    assert before.error.low > 0.05
    assert after.error.value < 0.01
    assert after.brier.value < before.brier.value


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"kind": "isotonic", "knots": []},
        {"kind": "isotonic", "knots": [[1.0]]},
        {"kind": "isotonic", "knots": [[1.0, 2.0], [1.0, 3.0]]},
        {"kind": "isotonic", "knots": [[1.0, 2.0], [2.0, 1.0]]},
        {"kind": "isotonic", "knots": [[1.0, float("nan")]]},
        {"kind": "platt", "knots": [[1.0, 2.0]]},
    ],
)
def test_knots_that_are_no_calibration_are_refused(stored):
    with pytest.raises(ModelError, match="calibration"):
        IsotonicCalibration.from_json(stored)


def test_reliability_by_hand():
    """Two bins of ten: 0.05 stated and 0 seen of 10; 0.95 stated and 8 of 10: (0.05 + 0.15) / 2."""
    found = measure_reliability(
        np.array([0.05, 0.95, 0.95]), np.array([False, True, False]), np.array([10, 8, 2])
    )

    assert found.error.value == pytest.approx(0.1)
    assert found.error.low <= 0.1 <= found.error.high
    assert found.brier.value == pytest.approx((10 * 0.05**2 + 8 * 0.05**2 + 2 * 0.95**2) / 20)
    assert [(row.pairs, row.observed.value) for row in found.bins] == [(10, 0.0), (10, 0.8)]


def test_bins_of_equal_counts_see_what_equal_widths_average_away():
    """Half are stated at 0.91 and never so, half at 0.99 and always so: one bin by width, two by count."""
    found = measure_reliability(np.array([0.91, 0.99]), np.array([False, True]), np.array([50, 50]), bins=2)

    assert found.error.value == pytest.approx(0.45)
    assert found.error_equal_counts.value == pytest.approx((0.91 + 0.01) / 2)


def test_a_probability_is_one():
    for wrong in ([], [1.5], [float("nan")]):
        with pytest.raises(ModelError, match=r"\[0, 1\]"):
            measure_reliability(np.array(wrong), np.ones(len(wrong), dtype=bool))


@pytest.mark.parametrize(("language", "axis"), [("fr", "Probabilité annoncée"), ("en", "Stated probability")])
def test_the_diagram_is_svg_in_both_languages_and_both_lights(language, axis):
    found = measure_reliability(np.array([0.05, 0.95]), np.array([False, True]), np.array([10, 10]))

    svg = reliability_diagram(found, language=language)
    tree = ElementTree.fromstring(svg)

    assert tree.tag == "{http://www.w3.org/2000/svg}svg"
    assert axis in "".join(tree.itertext())
    assert "prefers-color-scheme:dark" in svg
    assert len(tree.findall(".//{*}circle")) == len(found.bins) == 2
