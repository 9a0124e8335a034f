"""`link`: a table in, sets and pairs out."""

import random

import numpy as np
import pyarrow as pa
import pytest
from mpi_synthetic import TUNING, generate

from mpi.errors import InvalidIdentity
from mpi.identity.tabular import traits_to_mapping
from mpi.matching.batch import link
from mpi.matching.clusters import Link, cluster, components


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
    assert "fewer than 1000 records" in link(table_of(ROWS[:50])).report.training


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
