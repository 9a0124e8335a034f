import copy
import json
import math
from dataclasses import FrozenInstanceError
from importlib import resources

import pytest

from mpi.errors import ModelError
from mpi.matching import MatchModel
from mpi.matching.comparisons import COMPARISONS
from mpi.matching.model import Calibration


@pytest.fixture
def stored():
    return copy.deepcopy(MatchModel.default().to_json())


def test_the_default_model_is_read_once():
    assert MatchModel.default() is MatchModel.default()


def test_json_round_trip_through_text(stored):
    again = MatchModel.from_json(json.loads(json.dumps(stored)))

    assert again == MatchModel.default()
    assert again.digest == MatchModel.default().digest


def test_a_calibration_travels(stored):
    stored["calibration"] = {"slope": 0.9, "offset_bits": -0.5}
    model = MatchModel.from_json(stored)

    assert model.calibration == Calibration(0.9, -0.5)
    assert MatchModel.from_json(model.to_json()) == model
    assert model.probability(0.5 / 0.9) == pytest.approx(0.5)


def test_the_digest_tells_models_apart(stored):
    stored["prior_bits"] -= 0.001

    assert MatchModel.from_json(stored).digest != MatchModel.default().digest


def test_a_model_cannot_be_altered():
    model = MatchModel.default()
    with pytest.raises(FrozenInstanceError):
        model.prior_bits = 0.0
    with pytest.raises(TypeError):
        model.parameters["sex"]["same"] = (0.5, 0.5)


def test_missing_weighs_exactly_nothing():
    for says in MatchModel.default().evidence:
        assert (says[0].level, says[0].bits) == ("missing", 0.0)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        pytest.param(lambda m: m.update(format=1), "format", id="another format"),
        pytest.param(lambda m: m.pop("format"), "format", id="no format"),
        pytest.param(lambda m: m.pop("version"), "version", id="no version"),
        pytest.param(lambda m: m.update(version=""), "version", id="empty version"),
        pytest.param(lambda m: m.pop("thresholds"), "thresholds", id="no thresholds"),
        pytest.param(lambda m: m.update(prior_bits=math.nan), "prior_bits", id="prior is no number"),
        pytest.param(lambda m: m.update(prior_bits=None), "wrong type", id="prior is nothing"),
        pytest.param(lambda m: m["thresholds"].update(odd=1), "wrong type", id="odd threshold"),
        pytest.param(lambda m: m["parameters"].pop("sex"), "no comparison sex", id="comparison missing"),
        pytest.param(
            lambda m: m["parameters"].update(odd={}), "unknown comparison odd", id="comparison unknown"
        ),
        pytest.param(lambda m: m["parameters"]["sex"].pop("same"), "sex: level same", id="level missing"),
        pytest.param(
            lambda m: m["parameters"]["sex"].update(odd={"m": 1, "u": 1}), "level odd", id="level unknown"
        ),
        pytest.param(lambda m: m["parameters"]["sex"]["same"].update(m=0), "sex: same", id="m is zero"),
        pytest.param(lambda m: m["parameters"]["sex"]["same"].update(u=1.5), "sex: same", id="u above one"),
        pytest.param(
            lambda m: m["parameters"]["sex"]["same"].update(m=math.nan), "sex: same", id="m no number"
        ),
        pytest.param(
            lambda m: m["parameters"]["sex"]["same"].update(m=0.5), "do not sum to 1", id="m does not sum"
        ),
        pytest.param(lambda m: m["parameters"]["sex"]["same"].pop("u"), "u is missing", id="no u"),
        pytest.param(lambda m: m.update(calibration={"slope": -1}), "calibration", id="falling calibration"),
        pytest.param(lambda m: m.update(metadata=3), "wrong type", id="metadata is a number"),
    ],
)
def test_an_inconsistent_model_is_refused(stored, change, problem):
    change(stored)

    with pytest.raises(ModelError, match=problem):
        MatchModel.from_json(stored)


@pytest.mark.parametrize("stored", [None, [], "model", 3])
def test_what_is_not_a_model_is_refused(stored):
    with pytest.raises(ModelError, match="format"):
        MatchModel.from_json(stored)


def test_weights_are_finite_and_agreement_outweighs_disagreement():
    for comparison, says in zip(COMPARISONS, MatchModel.default().evidence, strict=True):
        assert all(math.isfinite(level.bits) for level in says)
        assert says[1].bits > says[-1].bits, comparison.trait


def test_the_card_is_that_of_the_model():
    card = (resources.files("mpi.matching") / "models" / "default.md").read_text(encoding="utf-8")
    model = MatchModel.default()

    assert f"Model card: {model.version}\n" in card
    assert model.digest[:12] in card
    assert all(f"| {level.trait} | {level.level} |" in card for says in model.evidence for level in says[1:])
