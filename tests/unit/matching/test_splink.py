"""A model in Splink's hands: the same levels, the same weight against strangers, and back."""

import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mpi_synthetic import generate

from mpi.errors import ModelError
from mpi.identity.ins import matricule_key
from mpi.identity.tabular import traits_to_mapping
from mpi.identity.traits import Traits
from mpi.matching import MatchModel
from mpi.matching.blocking import blocking_keys
from mpi.matching.comparisons import COMPARISONS, MISSING_NAME, compare
from mpi.matching.interop import traits_of
from mpi.matching.splink import _CONDITIONS, from_splink, splink_table, to_splink

MODEL = MatchModel.default()

_BODY = "1630499999001"  # a commune that does not exist
INS = _BODY + matricule_key(_BODY)
RARE = [
    {"birth_name": "Le Goff", "given_names": "Jean Pierre", "birth_date": "1963-01-01", "birth_place": "75056"},
    {"birth_name": "LEGOFF", "given_names": "JEANPIERRE", "birth_date": "1963-05-01", "birth_place": "75112"},
    {"birth_name": "GOFF", "given_names": "JEAN", "birth_date": "1963", "birth_place": "99352"},
    {"birth_name": "LE GOF", "used_name": "JEAN", "given_names": "J", "birth_date": "1963-05"},
    {"birth_name": "Lefï¿½vre", "given_names": "JP", "birth_place": "ALGER", "mother_birth_name": "LE ROY"},
    {"birth_name": "LEFEVRE", "given_names": "MÃ©lanie", "birth_place": "99352", "mother_birth_name": "LEROY"},
    {"birth_name": "JEAN", "given_names": "LEGOFF", "birth_place": "PARIS", "mother_birth_name": "ROY"},
    {"birth_name": "MARTIN", "given_names": "JEANNE", "birth_date": "1963-12-04", "sex": "F", "national_id": "AB12345"},
    {"birth_name": "DUPOND", "given_names": "JEANNE MARIE", "sex": "F", "national_id": "AB12354"},
    {"birth_name": "DUPONT", "given_names": "JEANNE LOUISE", "birth_date": "1963-12-04", "national_id": "CD98765"},
    {"birth_name": "DUPONT", "sex": "M", "birth_date": "1963-04-05", "ins": INS, "national_id": "AB12345"},
    {"birth_name": "DUPONT", "sex": "F", "birth_date": "1963-04-05", "ins": INS},
    {"birth_name": "DUPONT", "sex": "M", "birth_date": "1971-11-20", "ins": INS},
    {"birth_name": "DUPONT", "given_names": "MELANIE", "birth_date": "1936-12-04", "sex": "M"},
    {"birth_name": "DUPONS", "given_names": "Nicolas", "birth_date": "1962-12-04", "mother_birth_name": "LE ROI"},
    {"birth_name": "DÃ©lorme", "given_names": "NICO", "birth_date": "1963-12-05", "mother_birth_name": "ROI"},
    {"birth_name": "DELORME", "used_name": "DUPONT", "given_names": "MOHAMMED ALI", "birth_date": "1963-12-14"},
    {"birth_name": "DELORME", "given_names": "MOHAMED", "used_given_name": "ALI", "birth_date": "1863-12-04"},
    {"birth_name": "ELORMED", "given_names": "HOURIA", "birth_date": "1963-01-01", "birth_place": "78646"},
    {"birth_name": "DELORMEZ", "given_names": "HWRIA", "birth_date": "1963-05-01", "birth_place": "VERSAILLE"},
    {"birth_name": "ORMELED", "given_names": "AMINA", "birth_place": "VERSAILLES", "birth_date": "1963-01-21"},
    {"birth_name": "SANTOS", "given_names": "YAMINA", "birth_place": "78646", "birth_date": "1963-01-12"},
    {"birth_name": "SANTOS PEREIRA", "given_names": "NICOLAS JEAN", "postal_code": "35000", "city": "RENNES"},
    {"birth_name": "PEREIRA", "given_names": "JEAN NICOLAS", "postal_code": "35000", "city": "RENNES CEDEX"},
    {"birth_name": "PEREIRA", "given_names": "NICOLAS JEAN", "postal_code": "35200", "city": "RENNES"},
    {"birth_name": "PERREIRA", "given_names": "ANNE", "postal_code": "35000", "city": "SAINT GREGOIRE"},
    {"birth_name": "BERRERA", "given_names": "ANNIE", "city": "RENNES", "address": "12 RUE DE PARIS"},
    {"birth_name": "MATHIEU", "given_names": "X", "postal_code": "35000", "address": "12 R DE PARIS"},
    {"birth_name": "MATTHIEUX", "given_names": "JO", "postal_code": "35000", "address": "21 RUE DE PARIS"},
    {"birth_name": "MATIEU", "given_names": "JOSEPH ODILON", "postal_code": "35000", "address": "3 PLACE DU ROI"},
    {"birth_name": "X", "given_names": "Лев", "birth_date": "1963-04-12", "phone": "0612345678~0712345678"},
    {"birth_name": "Ким", "given_names": "LEV", "birth_date": "1963-04-13", "phone": "0712345678", "email": "a@b.fr"},
    {"birth_name": "KIM", "given_names": "JEAN", "multiple_birth": "Y", "birth_order": "1", "email": "c@d.fr"},
    {"birth_name": "KIM", "given_names": "JEAN", "multiple_birth": "Y", "birth_order": "2", "email": "a@b.fr"},
    {"birth_name": "KIM", "given_names": "PAUL", "multiple_birth": "Y", "birth_order": "1"},
    {"birth_name": "NG", "given_names": "LE", "birth_date": "1963-02-11", "mother_birth_name": "LI"},
    {"birth_name": "NGO", "given_names": "LEO", "birth_date": "1963-01-21", "mother_birth_name": "LIU"},
    {"birth_name": "LEO", "given_names": "NGA", "address": "9B", "city": "RENNES", "national_id": "7B"},
    {"birth_name": "LE", "given_names": "NG", "address": "9BC", "city": "RENNES", "national_id": "7BC"},
    {"birth_name": "PAUL", "given_names": "KI", "address": "12 RUE DE PARIS BIS", "city": "RENNES"},
    {"birth_name": "ROUSSEL", "used_name": "DELORMAND", "given_names": "ANNICK", "address": "112 RUE DE PARME"},
    {"birth_name": "ROUSSEAUX", "used_name": "DELORMAIS", "given_names": "ANNABELLE", "city": "RENNES"},
]  # fmt: skip
"""Who shows the levels that a small federation does not, beside one another."""


@pytest.fixture(scope="module")
def frame():
    records = generate(200, seed=7).records
    rows = [{"record_id": each.record_id} | traits_to_mapping(each.demographics) for each in records]
    rare = [{"record_id": f"RARE-{at:02d}"} | row for at, row in enumerate(RARE)]
    return pd.DataFrame(rows + rare, dtype=object)


@pytest.fixture(scope="module")
def records(frame):
    return dict(zip(frame["record_id"], traits_of(frame), strict=True))


def predicted(frame, settings):
    """What a Splink linker on DuckDB says of every pair its rules give."""
    pytest.importorskip("splink", reason="Splink is in the dependency group bench")
    pytest.importorskip("duckdb", reason="DuckDB is in the dependency group bench")
    from splink import DuckDBAPI, Linker

    logging.getLogger("splink").setLevel(logging.ERROR)
    linker = Linker(DuckDBAPI().register(splink_table(frame)), settings, log_level=None)
    return linker.inference.predict(threshold_match_weight=-1000, warning_mode="never").as_pandas_dataframe()


@pytest.fixture(scope="module")
def every_pair(frame):
    settings = to_splink(MODEL)
    settings |= {"blocking_rules_to_generate_predictions": ["1=1"], "retain_matching_columns": True}
    return predicted(frame, settings | {"retain_intermediate_calculation_columns": True})


@pytest.fixture(scope="module")
def vectors(every_pair, records):
    pairs = zip(every_pair["unique_id_l"], every_pair["unique_id_r"], strict=True)
    return np.array([compare(records[left], records[right]) for left, right in pairs])


# --- levels and weights, in Splink --------------------------------------------------------


@pytest.mark.parametrize("at", range(len(COMPARISONS)), ids=lambda at: COMPARISONS[at].trait)
def test_every_level_in_sql_is_that_of_the_ladder(every_pair, vectors, at):
    comparison = COMPARISONS[at]
    gamma = every_pair[f"gamma_{comparison.trait}"].to_numpy()

    levels = np.where(gamma < 0, 0, len(comparison.levels) - gamma)

    wrong = np.flatnonzero(levels != vectors[:, at])
    told = [
        (comparison.level_names[levels[each]], comparison.level_names[vectors[each, at]]) for each in wrong
    ]
    assert told == []
    unseen = set(range(len(comparison.level_names))) - set(vectors[:, at].tolist())
    assert {comparison.level_names[level] for level in unseen} == set()


def test_the_match_weight_of_splink_is_the_weight_against_strangers(every_pair, vectors):
    expected = [MODEL.against_strangers(tuple(vector)) for vector in vectors.tolist()]

    assert len(every_pair) > 80_000
    assert np.allclose(expected, every_pair["match_weight"], rtol=0, atol=1e-6)


def test_the_blocking_rule_gives_the_pairs_that_share_a_key(frame, records):
    found = predicted(frame, to_splink(MODEL))

    keys = [(name, set(blocking_keys(traits))) for name, traits in records.items()]
    expected = {
        frozenset((one, other))
        for at, (one, mine) in enumerate(keys)
        for other, theirs in keys[:at]
        if mine & theirs
    }
    pairs = list(zip(found["unique_id_l"], found["unique_id_r"], strict=True))
    assert len(pairs) == len(expected) > 200
    assert {frozenset(pair) for pair in pairs} == expected


def test_what_splink_saves_comes_back(frame, tmp_path):
    pytest.importorskip("splink", reason="Splink is in the dependency group bench")
    from splink import DuckDBAPI, Linker

    linker = Linker(DuckDBAPI().register(splink_table(frame)), to_splink(MODEL), log_level=None)

    stated = linker.misc.save_model_to_json(str(tmp_path / "model.json"))

    assert parameters_of(from_splink(stated, shuffled())) == parameters_of(MODEL)


def test_the_example_of_the_document_runs(frame, tmp_path, monkeypatch):
    pytest.importorskip("splink", reason="Splink is in the dependency group bench")
    document = Path(__file__).parents[3] / "docs" / "interop.md"
    (example,) = re.findall(r"```py\n(.*?)```", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    names = {"frame": frame, "MatchModel": MatchModel}
    monkeypatch.chdir(tmp_path)

    exec(compile(example, str(document), "exec"), names)

    assert len(names["found"].as_record_list()) > 200
    assert parameters_of(names["ours"]) == parameters_of(MODEL)


# --- there and back -----------------------------------------------------------------------


def parameters_of(model):
    return {trait: dict(levels) for trait, levels in model.parameters.items()}


def shuffled():
    """A model of other parameters."""
    other = {
        trait: dict(zip(levels, list(levels.values())[::-1], strict=True))
        for trait, levels in MODEL.parameters.items()
    }
    return replace(MODEL, parameters=other, prior_bits=-3.0)


def test_there_and_back_is_the_same_model():
    base = shuffled()

    model = from_splink(to_splink(MODEL), base, version="trained-1")

    assert parameters_of(model) == parameters_of(MODEL)
    assert model.prior_bits == pytest.approx(MODEL.prior_bits, abs=1e-9)
    assert (model.version, model.calibration) == ("trained-1", None)
    assert (model.relatives, model.frequencies, model.thresholds) == (
        base.relatives,
        base.frequencies,
        base.thresholds,
    )


def test_levels_without_our_labels_are_known_by_their_position():
    settings = to_splink(MODEL)
    for comparison in settings["comparisons"]:
        for level in comparison["comparison_levels"]:
            level["label_for_charts"] = level["sql_condition"][:40]

    assert parameters_of(from_splink(settings, shuffled())) == parameters_of(MODEL)


def test_a_comparison_left_out_keeps_the_parameters_of_the_base():
    base, settings = shuffled(), to_splink(MODEL)
    settings["comparisons"] = [c for c in settings["comparisons"] if c["output_column_name"] != "sex"]

    model = from_splink(settings, base)

    assert model.parameters["sex"] == base.parameters["sex"]
    assert model.parameters["ins"] == MODEL.parameters["ins"]


def change(settings, trait, label, **changes):
    comparison = next(c for c in settings["comparisons"] if c["output_column_name"] == trait)
    level = next(each for each in comparison["comparison_levels"] if each["label_for_charts"] == label)
    level |= changes


@pytest.mark.parametrize(
    ("spoil", "place"),
    [
        (lambda s: s["comparisons"][0].update(output_column_name="surname"), "surname: no such comparison"),
        (lambda s: change(s, "sex", "same", label_for_charts="equal"), "sex: equal: no such level"),
        (lambda s: s["comparisons"][3]["comparison_levels"].pop(1), "sex: same: the level is missing"),
        (lambda s: change(s, "sex", "same", label_for_charts="different"), "sex: a level is stated twice"),
        (lambda s: change(s, "ins", "same", m_probability=None), "ins: same: no m or u"),
        (lambda s: change(s, "ins", "same", m_probability=0.0), "ins: same"),
        (lambda s: change(s, "ins", "same", m_probability=0.1), "ins: the m of its levels"),
        (lambda s: s.pop("probability_two_random_records_match"), "expected the prior"),
        (lambda s: s.update(probability_two_random_records_match=1.0), "expected .0, 1."),
    ],
)
def test_what_does_not_fit_is_named(spoil, place):
    settings = to_splink(MODEL)
    spoil(settings)

    with pytest.raises(ModelError, match=place):
        from_splink(settings, MODEL)


# --- settings and columns -----------------------------------------------------------------


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.trait)
def test_every_level_but_the_last_is_said_in_sql(comparison):
    assert list(_CONDITIONS[comparison.trait]) == list(comparison.level_names[:-1])


def test_settings_are_json_in_the_order_of_the_ladders():
    settings = to_splink(MODEL)

    assert [each["output_column_name"] for each in settings["comparisons"]] == [c.trait for c in COMPARISONS]
    first, *_, last = settings["comparisons"][0]["comparison_levels"]
    assert (first["label_for_charts"], first["is_null_level"]) == (MISSING_NAME, True)
    assert (last["label_for_charts"], last["sql_condition"]) == ("different", "ELSE")


def test_another_dialect_is_refused():
    with pytest.raises(ValueError, match="expected one of duckdb"):
        to_splink(MODEL, "sqlite")


def test_missing_is_null_and_every_column_has_its_type_when_it_is_empty():
    table = splink_table(pd.DataFrame({"sex": ["F", None]}))

    assert table["unique_id"].tolist() == [0, 1]
    assert table.loc[1, ["birth_name", "given_list", "birth_year", "sex"]].isna().all()
    assert table.dtypes["phones"] == table.dtypes["emails"] == "list<item: string>[pyarrow]"
    assert not table["family_damaged"].any()
    assert traits_of(pd.DataFrame({"sex": ["F"]})) == [Traits(sex="F")]
