"""Model files: what is written is read, and what is no model is named by file and field."""

import copy
import json

import pytest

from mpi.errors import ModelError
from mpi.matching.files import read_model, write_model
from mpi.matching.model import MatchModel

MODEL = MatchModel.default()
ABSENT = object()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.json"


def with_changed(*places, value):
    """The default model's JSON with one field changed, or taken out."""
    stored = copy.deepcopy(MODEL.to_json())
    inside = stored
    for name in places[:-1]:
        inside = inside.setdefault(name, {})
    if value is ABSENT:
        del inside[places[-1]]
    else:
        inside[places[-1]] = value
    return stored


def test_a_written_model_is_read_back(path):
    write_model(MODEL, path)

    assert read_model(path) == MODEL
    assert read_model(path).digest == MODEL.digest
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_one_model_is_one_text_whatever_the_order_of_its_fields(path, tmp_path):
    shuffled = MODEL.to_json()
    shuffled["parameters"] = dict(reversed(shuffled["parameters"].items()))
    write_model(MODEL, path)
    write_model(MatchModel.from_json(shuffled), tmp_path / "other.json")

    assert (tmp_path / "other.json").read_bytes() == path.read_bytes()


def test_another_file_is_never_overwritten(path):
    write_model(MODEL, path)
    before = path.read_bytes()
    write_model(MODEL, path)

    with pytest.raises(ModelError, match=r"model\.json: another file is there"):
        write_model(MODEL.for_population(10 * MODEL.population), path)
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        write_model(MODEL, tmp_path / "nowhere" / "model.json")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "no such file"),
        (b"\xff\xfe", "UTF-8"),
        (b"{\n oops", "line 2: not JSON"),
        (b'{"prior_bits": NaN}', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "expected a JSON object"),
        (b"{}", "format: expected"),
        (b'{"format": 1}', "format: expected"),
    ],
)
def test_a_file_that_is_no_model_is_named(path, content, problem):
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ModelError, match=problem) as caught:
        read_model(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("places", "value", "named"),
    [
        (("version",), ABSENT, "version: is missing"),
        (("version",), 7, "version: expected a text"),
        (("population",), 30504.5, "population: expected a whole number"),
        (("population",), True, "population: expected a whole number"),
        (("prior_bits",), "-14", "prior_bits: expected a number"),
        (("thresholds",), [1, 2], "thresholds: expected an object"),
        (("thresholds", "lower_bits"), ABSENT, "thresholds.lower_bits: is missing"),
        (("thresholds", "uper_bits"), 3.0, "thresholds.uper_bits: unknown field"),
        (("parameters", "sex", "same", "m"), None, "parameters.sex.same.m: expected a number"),
        (("parameters", "sex", "same"), 0.5, "parameters.sex.same: expected an object"),
        (("parameters", "sex"), ABSENT, "parameters: no comparison sex"),
        (("metadata",), 3, "metadata: expected an object"),
        (("calibrations",), {}, "calibrations: unknown field"),
    ],
)
def test_a_field_that_is_wrong_is_named(path, places, value, named):
    path.write_text(json.dumps(with_changed(*places, value=value)), encoding="utf-8")

    with pytest.raises(ModelError) as caught:
        read_model(path)
    assert named in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_name_in_a_table_of_frequencies_is_not_repeated(path):
    stored = with_changed(
        "frequencies", "family_name", value={"expected": 0.01, "shares": {"ZQXNAME": "often"}}
    )
    path.write_text(json.dumps(stored), encoding="utf-8")

    with pytest.raises(ModelError, match=r"frequencies\.family_name\.shares: expected a number") as caught:
        read_model(path)
    assert "ZQXNAME" not in str(caught.value)


def test_null_stands_for_no_calibration(path):
    path.write_text(json.dumps(with_changed("calibration", value=None)), encoding="utf-8")

    assert read_model(path) == MODEL
