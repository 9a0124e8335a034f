"""Tables as they come: types of columns, wrong values, and what is no trait."""

from datetime import date

import pandas as pd
import pyarrow as pa
import pytest

from mpi.errors import InvalidIdentity
from mpi.identity.columns import FIELDS, TraitColumns
from mpi.identity.model import PartialDate
from mpi.identity.traits import Traits


def test_columns_of_other_types_are_read_as_one_value_would_be():
    frame = pd.DataFrame(
        {
            "birth_date": [date(1980, 2, 3), None],
            "birth_order": [2.0, float("nan")],
            "multiple_birth": [True, None],
            "national_id": pd.array([12345678901, None], dtype="Int64"),
        }
    )

    read = TraitColumns.of_table(frame)

    assert read.row(0) == Traits(
        birth_date=PartialDate(1980, 2, 3), birth_order=2, multiple_birth=True, national_id="12345678901"
    )
    assert read.row(1) == Traits()


def test_a_column_of_several_types_is_refused_at_its_first_wrong_row():
    frame = pd.DataFrame({"birth_name": ["MARTIN", ["ZQX"]]})

    with pytest.raises(InvalidIdentity, match="birth_name, row 1: expected a text") as caught:
        TraitColumns.of_table(frame)
    assert "ZQX" not in str(caught.value)


def test_dictionaries_that_differ_between_chunks_are_one():
    chunks = [pa.array([name]).dictionary_encode() for name in ("MARTIN", "DUPONT", "MARTIN")]

    read = TraitColumns.of_table(pa.table({"birth_name": pa.chunked_array(chunks)}))

    assert [read.row(at).birth_name for at in range(3)] == ["MARTIN", "DUPONT", "MARTIN"]


def test_a_table_needs_a_trait_and_each_only_once():
    with pytest.raises(InvalidIdentity, match="columns: none is a trait"):
        TraitColumns.of_table(pa.table({"ZQX": ["a"]}))
    with pytest.raises(InvalidIdentity, match="sex: two columns"):
        TraitColumns.of_table(pa.table([pa.array(["M"]), pa.array(["F"])], names=["sex", "sex"]))


def test_every_trait_of_a_record_has_its_column():
    assert set(TraitColumns.of_table(pa.table({"sex": ["M"]})).columns) == set(FIELDS)
