"""The engine inside recordlinkage: the same levels, pairs and decisions, on DataFrames."""

import contextlib
import io
import json
import math
import pickle
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import recordlinkage
from hypothesis import given, settings
from hypothesis import strategies as st
from mpi_synthetic import generate
from pandas.testing import assert_frame_equal, assert_series_equal
from recordlinkage.index import Random

from mpi.errors import InvalidIdentity
from mpi.identity.tabular import TRAIT_NAMES, demographics_from_mapping, traits_to_mapping
from mpi.identity.traits import Traits, normalise
from mpi.matching import Decision, MatchModel, blocking_keys, score
from mpi.matching.comparisons import COMPARISONS, MISSING, compare, level_numbers
from mpi.matching.evaluation import measure_pairs
from mpi.matching.interop import (
    COLUMNS,
    FrenchBlocks,
    FrenchComparison,
    FrenchDate,
    FrenchGivenNames,
    FrenchName,
    FrenchPlace,
    french_comparisons,
    read_labels,
    score_pairs,
    traits_of,
    write_labels,
)
from tests.strategies import demographics

MODEL = MatchModel.default()
DOCUMENT = Path(__file__).parents[3] / "docs" / "interop.md"
STATUSES = st.sampled_from((None, "PROV", "VALI", "VALI HOMA"))


@pytest.fixture(scope="module")
def federation():
    """Records by their id, with the person each one is in a column that is no trait."""
    records = generate(300, seed=20260101).records
    rows = [traits_to_mapping(record.demographics) | {"person_id": record.person_id} for record in records]
    return pd.DataFrame(rows, index=pd.Index([record.record_id for record in records], name="record_id"))


@pytest.fixture(scope="module")
def pairs(federation):
    """Candidates, and pairs of strangers."""
    return recordlinkage.Index([FrenchBlocks(), Random(5000, random_state=1)]).index(federation)


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    """What the examples of the document define, and what they print."""
    examples = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)
    names, out = {}, io.StringIO()
    with contextlib.chdir(tmp_path_factory.mktemp("document")), contextlib.redirect_stdout(out):
        for example in examples:
            exec(compile(example, str(DOCUMENT), "exec"), names)
    return names, out.getvalue()


def row_by_row(frame):
    """The traits, one row after another, through the tabular contract alone."""
    names = [name for name in frame.columns if name in TRAIT_NAMES]
    return [
        normalise(demographics_from_mapping(dict(zip(names, row, strict=True))))
        for row in frame[names].itertuples(index=False)
    ]


def every_pair(left, right):
    return pd.MultiIndex.from_product([left.index, right.index])


# --- traits -------------------------------------------------------------------------------


def test_traits_of_is_the_tabular_contract_row_by_row(federation):
    assert row_by_row(federation) == traits_of(federation)


@pytest.mark.parametrize("missing", [None, math.nan, pd.NaT, pd.NA, "", "  "])
def test_every_way_of_missing_is_missing(missing):
    frame = pd.DataFrame({"birth_name": ["MARTIN", missing], "birth_date": [missing, missing]})

    assert [Traits(birth_name="MARTIN"), Traits()] == traits_of(frame)


@pytest.mark.parametrize(
    "column",
    [
        pytest.param(pd.Series([35000, 35000]), id="numpy integers"),
        pytest.param(pd.Series([35000.0, 35000.0]), id="floats, as a table with gaps is read"),
        pytest.param(pd.Series([np.int64(35000), "35000"], dtype=object), id="mixed"),
        pytest.param(pd.Series(["35000", "35000"], dtype="category"), id="categories"),
        pytest.param(pd.Series(["35000", "35000"], dtype="string"), id="strings"),
    ],
)
def test_the_type_of_a_column_does_not_matter(column):
    assert [Traits(postal_code="35000")] * 2 == traits_of(pd.DataFrame({"postal_code": column}))


def test_dates_may_be_dates():
    days = pd.to_datetime(pd.Series(["1963-04-05", None]))
    stated = pd.DataFrame({"birth_date": ["19630405", None]})

    assert traits_of(stated) == traits_of(pd.DataFrame({"birth_date": days}))


@pytest.mark.parametrize(
    ("column", "value", "place"),
    [
        ("birth_date", "ZQXDATE", "birth_date, row 2"),
        ("sex", "ZQXSEX", "sex, row 2"),
        ("phone", ["ZQXPHONE"], "phone, row 2"),
        ("birth_name", True, "birth_name, row 2"),
    ],
)
def test_a_wrong_value_is_named_by_its_column_and_row_and_not_told(column, value, place):
    frame = pd.DataFrame({"city": ["BREST"] * 3, column: [None, None, value]}, index=["ZQXA", "ZQXB", "ZQXC"])

    with pytest.raises(InvalidIdentity) as caught:
        traits_of(frame)

    assert place == caught.value.place
    assert "ZQX" not in str(caught.value)


def test_a_frame_without_a_trait_or_with_one_twice_is_refused():
    with pytest.raises(InvalidIdentity, match="none is a trait"):
        traits_of(pd.DataFrame({"surname": ["MARTIN"]}))
    with pytest.raises(InvalidIdentity, match="sex: two columns"):
        traits_of(pd.DataFrame([["F", "F"]], columns=["sex", "sex"]))


# --- comparing ----------------------------------------------------------------------------


def test_every_ladder_has_its_columns_and_every_column_exists():
    assert [comparison.trait for comparison in COMPARISONS] == list(COLUMNS)
    assert {name for columns in COLUMNS.values() for name in (*columns.own, *columns.beside)} <= set(
        TRAIT_NAMES
    )


@st.composite
def tables(draw):
    """A few people as a frame; some columns may not be there."""
    stated = draw(st.lists(demographics, min_size=1, max_size=5))
    rows = [traits_to_mapping(person) | {"identity_status": draw(STATUSES)} for person in stated]
    absent = draw(st.sets(st.sampled_from(TRAIT_NAMES), max_size=4))
    return pd.DataFrame(rows, columns=[name for name in TRAIT_NAMES if name not in absent], dtype=object)


@settings(max_examples=60, deadline=None)  # the first example pays for pandas
@given(tables(), tables())
def test_levels_are_those_of_the_engine(left, right):
    pairs = every_pair(left, right)

    levels = recordlinkage.Compare(french_comparisons(left, right, missing_value=MISSING)).compute(
        pairs, left, right
    )

    rights = row_by_row(right)
    expected = pd.DataFrame(
        [compare(a, b) for a in row_by_row(left) for b in rights],
        columns=[comparison.trait for comparison in COMPARISONS],
        index=pairs,
    )
    left_out = expected.drop(columns=levels.columns)
    assert (left_out == MISSING).all(axis=None)
    assert_frame_equal(expected[levels.columns], levels, check_dtype=False)


def test_levels_of_a_federation_within_one_frame(federation, pairs):
    records = dict(zip(federation.index, row_by_row(federation), strict=True))

    levels = recordlinkage.Compare(french_comparisons(federation)).compute(pairs, federation)

    vectors = [compare(records[a], records[b]) for a, b in pairs]
    expected = pd.DataFrame(vectors, columns=list(COLUMNS), index=pairs)[levels.columns]
    assert_frame_equal(expected.replace(MISSING, math.nan), levels, check_dtype=False)
    assert {"birth_place", "phone", "ins"} < set(levels.columns[levels.isna().any()])


def test_weights_and_the_prior_add_up_to_the_weight_against_strangers(federation, pairs):
    records = dict(zip(federation.index, row_by_row(federation), strict=True))
    features = french_comparisons(federation, model=MODEL, missing_value=0.0)

    bits = recordlinkage.Compare(features).compute(pairs, federation)

    expected = [MODEL.against_strangers(compare(records[a], records[b])) for a, b in pairs]
    assert np.allclose(MODEL.prior_bits + bits.sum(axis=1), expected, rtol=0, atol=1e-9)


def test_without_relatives_and_rarity_the_weight_against_strangers_is_the_match_weight(federation, pairs):
    plain = replace(MODEL, relatives={}, frequencies={})
    features = french_comparisons(federation, model=plain, missing_value=0.0)

    bits = recordlinkage.Compare(features).compute(pairs, federation)

    strangers = plain.prior_bits + bits.sum(axis=1)
    weights = score_pairs(federation, None, pairs, plain)["weight_bits"]
    assert np.allclose(strangers, weights, rtol=0, atol=1e-9)
    assert not np.allclose(strangers, score_pairs(federation, None, pairs, MODEL)["weight_bits"], atol=0.1)


def test_the_named_comparisons_stand_beside_those_of_recordlinkage():
    left = pd.DataFrame({"birth_name": ["LEFÈVRE"], "given_names": ["Zoé"], "birth_date": ["1963-04-05"]})
    right = left.assign(birth_name="Lefevre", birth_date="1963-05-04", birth_place="35238")
    features = [
        FrenchName(["birth_name", "given_names"], label="name"),
        FrenchGivenNames("given_names", model=MODEL),
        FrenchDate(),
        FrenchPlace("birth_place", label="place", missing_value=-1.0),
        recordlinkage.compare.Exact("given_names", "given_names", label="theirs"),
    ]

    told = recordlinkage.Compare(features).compute(
        every_pair(left, right), left.assign(birth_place=None), right
    )

    exact = next(evidence for evidence in MODEL.evidence[1] if evidence.level == "exact")
    (swap,) = level_numbers("birth_date", "day_month_swap")
    expected = {"name": 1, "given_name": exact.bits, "birth_date": swap, "place": -1, "theirs": 1}
    assert expected == told.iloc[0].to_dict()


def test_no_pair_gives_no_row(federation):
    none = pd.MultiIndex.from_arrays([[], []])

    assert recordlinkage.Compare([FrenchDate()]).compute(none, federation).shape == (0, 1)
    assert score_pairs(federation, None, none, MODEL).empty


def test_a_feature_travels_to_a_worker_process():
    feature = pickle.loads(pickle.dumps(FrenchName(model=MODEL)))

    assert FrenchName(model=MODEL).value_of_level[1:] == feature.value_of_level[1:]


def test_an_unknown_ladder_or_column_is_refused():
    with pytest.raises(ValueError, match="unknown comparison"):
        FrenchComparison("surname")
    with pytest.raises(ValueError, match="birth_date: expected columns among birth_date"):
        FrenchDate("dob")
    with pytest.raises(ValueError, match="sex: expected columns"):
        FrenchComparison("sex", [])


def test_a_wrong_value_in_a_pair_is_not_told():
    frame = pd.DataFrame({"sex": ["F", "ZQX"]})

    with pytest.raises(InvalidIdentity, match=r"^sex, right record of pair 1: expected M, F or U$"):
        recordlinkage.Compare([FrenchComparison("sex")]).compute(
            pd.MultiIndex.from_tuples([(0, 0), (0, 1)]), frame
        )


# --- candidate pairs ----------------------------------------------------------------------


def test_blocks_within_a_frame_are_brute_force_over_the_keys(federation):
    frame = federation.sample(frac=1, random_state=3)
    keys = [set(blocking_keys(traits)) for traits in row_by_row(frame)]

    found = recordlinkage.Index(FrenchBlocks()).index(frame)

    expected = [
        (frame.index[a], frame.index[b]) for a in range(len(keys)) for b in range(a) if keys[a] & keys[b]
    ]
    assert len(expected) > 300
    assert expected == list(found)
    assert found.names == ["record_id_1", "record_id_2"]


def test_blocks_between_two_frames_are_brute_force_over_the_keys(federation):
    left, right = federation.iloc[:250], federation.iloc[200:].rename_axis("other_id")
    rights = [set(blocking_keys(traits)) for traits in row_by_row(right)]

    found = recordlinkage.Index(FrenchBlocks()).index(left, right)

    expected = [
        (left.index[a], right.index[b])
        for a, traits in enumerate(row_by_row(left))
        for b in range(len(right))
        if not rights[b].isdisjoint(blocking_keys(traits))
    ]
    assert len(expected) > 50  # the 50 records of both, and more
    assert expected == list(found)
    assert found.names == ["record_id", "other_id"]


def test_nothing_to_block_on_gives_no_pair():
    assert len(FrenchBlocks().index(pd.DataFrame({"sex": ["F", "F"]}))) == 0


# --- scoring ------------------------------------------------------------------------------


@pytest.mark.parametrize("same_domain", [False, True])
def test_scores_are_those_of_the_engine(federation, pairs, same_domain):
    records = dict(zip(federation.index, row_by_row(federation), strict=True))

    scored = score_pairs(federation, None, pairs, MODEL, same_domain=same_domain)

    assert pairs.equals(scored.index)
    for (a, b), told in zip(pairs, scored.itertuples(index=False), strict=True):
        pair = score(MODEL, records[a], records[b], same_domain=same_domain)
        assert (pair.weight_bits, pair.probability, pair.decision) == tuple(told)
    assert {"link", "review", "non_link"} == set(scored["decision"])


def test_scores_between_two_frames_do_not_depend_on_the_order_of_rows(federation):
    left, right = federation.iloc[:100], federation.iloc[100:]
    found = recordlinkage.Index(FrenchBlocks()).index(left, right)

    scored = score_pairs(left.iloc[::-1], right.sample(frac=1, random_state=1), found, MODEL)

    assert_frame_equal(score_pairs(federation, None, found, MODEL), scored)


def test_a_pair_of_an_unknown_record_is_refused_without_its_label(federation):
    with pytest.raises(KeyError) as caught:
        score_pairs(federation, None, pd.MultiIndex.from_tuples([("ZQX1", "ZQX2")]), MODEL)

    assert "ZQX" not in str(caught.value)


# --- labelling ----------------------------------------------------------------------------


def test_pairs_under_review_go_to_the_annotator_and_come_back_judged(federation, pairs, tmp_path):
    scored = score_pairs(federation, None, pairs, MODEL)
    review = scored.index[scored["decision"] == Decision.REVIEW]
    path = tmp_path / "à juger.json"

    write_labels(path, review, federation)
    stated = json.loads(path.read_text(encoding="utf-8"))
    for pair, label in zip(stated["pairs"], (1, 0), strict=False):  # the others stay as they are
        pair["label"] = label
    path.write_text(json.dumps(stated, ensure_ascii=False), encoding="utf-8")  # as the application saves
    labels = read_labels(path)

    assert len(review) > 3
    assert list(review) == list(labels.index)
    expected = pd.Series([1.0, 0.0, *[math.nan] * (len(review) - 2)], index=labels.index, name="label")
    assert_series_equal(expected, labels)
    assert "NOBODY" not in path.read_text(encoding="utf-8")
    assert "person_id" not in path.read_text(encoding="utf-8")


def test_frames_with_different_columns_and_dates_are_written(tmp_path):
    left = pd.DataFrame({"birth_date": pd.to_datetime(["1963-04-05"]), "truth": ["P1"]}, index=[7])
    right = pd.DataFrame({"sex": ["F"], "postal_code": [35000]}, index=[9])

    write_labels(tmp_path / "labels.json", every_pair(left, right), left, right)

    (pair,) = json.loads((tmp_path / "labels.json").read_text(encoding="utf-8"))["pairs"]
    shown = {field["a"]["name"]: (field["a"]["value"], field["b"]["value"]) for field in pair["fields"]}
    expected = {"birth_date": ("1963-04-05", None), "sex": (None, "F"), "postal_code": (None, "35000")}
    assert expected == shown


def test_no_pair_to_judge_is_a_file_too(federation, tmp_path):
    write_labels(tmp_path / "labels.json", pd.MultiIndex.from_arrays([[], []]), federation)

    assert read_labels(tmp_path / "labels.json").empty


# --- recordlinkage's own classifiers ------------------------------------------------------


def test_ecm_on_our_levels_finds_the_people(federation, document):
    people = federation[~federation["person_id"].str.startswith("NOBODY")].groupby("person_id").groups
    true = [(a, b) for ids in people.values() for at, a in enumerate(ids) for b in ids[:at]]
    names, _ = document

    measures = measure_pairs(names["ecm"](federation), true)

    # Six seeds gave precision .90 to .995 (twins and siblings: no guard here) and recall .995 to 1.
    assert measures.precision.value > 0.87
    assert measures.recall.value > 0.95


# --- the document, and who must not pay for this module -----------------------------------


def test_the_document_prints_what_its_examples_print(document):
    printed = re.findall(r"```text\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)

    names, out = document
    assert "".join(printed) == out
    assert len(names["labels"]) == 1
    assert names["same"].empty


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.trait)
def test_every_level_is_numbered_in_the_document(comparison):
    told = " · ".join(f"{number} {level.name}" for number, level in enumerate(comparison.levels, start=1))
    columns = ", ".join(f"`{name}`" for name in COLUMNS[comparison.trait].own)

    assert f"| `{comparison.trait}` | {columns} | {told} |" in DOCUMENT.read_text(encoding="utf-8")


def test_the_service_and_the_command_line_do_not_import_recordlinkage():
    code = (
        "import mpi.service, mpi.cli, sys; print({'recordlinkage', 'sklearn', 'pandas'} & set(sys.modules))"
    )

    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "set()\n"
    )
