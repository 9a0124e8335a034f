"""Spark on this machine says of a table what the local engine says of it, to the last bit."""

import random
import shutil
from dataclasses import replace

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from mpi_synthetic import generate

from mpi.errors import InvalidIdentity
from mpi.identity.tabular import traits_to_mapping
from mpi.matching.batch import link
from mpi.matching.candidates import _PASSES
from mpi.matching.model import MatchModel
from mpi.matching.spark import _PASS_NAMES, link_table

pytest.importorskip("pyspark", reason="PySpark is the extra spark")
pytestmark = [
    pytest.mark.long,  # a minute, most of it Java's and the workers' start
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java 17"),
]


@pytest.fixture(scope="module", autouse=True)
def session():
    """One session, which `link_table` finds by itself: workers must get this Python without being told."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    options = {
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "OFF",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "100",  # several batches, so nothing rests on one
        "spark.sql.shuffle.partitions": "3",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in options.items():
        builder = builder.config(name, value)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PYSPARK_PYTHON", raising=False)
        session = builder.getOrCreate()
        gateway = session.sparkContext._gateway
        yield session
        session.stop()
        gateway.shutdown()
        gateway.proc.stdin.close()  # Java ends with it
        gateway.proc.wait(timeout=60)
        SparkContext._gateway = SparkContext._jvm = None


@pytest.fixture(autouse=True)
def _without_loose_passes(monkeypatch):
    """As a large table is linked."""
    monkeypatch.setattr("mpi.matching.candidates.LOOSE_PAIRS_PER_RECORD", -1)


def table_of(rows):
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in names})


ROWS = [
    {"record_id": f"{each.site}-{each.local_id}", "domain": each.site, "note": "no trait"}
    | {name: str(value) for name, value in traits_to_mapping(each.demographics).items()}
    for each in generate(300, seed=5).records
]
TABLE = table_of(random.Random(1).sample(ROWS, len(ROWS)))


def the_same(expected, told):
    """Sets, pairs, weights, decisions, model and counts, all of them equal."""
    assert told.entities.equals(expected.entities)
    assert told.pairs.equals(expected.pairs)
    assert told.model == expected.model
    reports = [replace(each.report, seconds={}, left_out=()) for each in (expected, told)]
    assert reports[0] == reports[1]


def test_the_best_estimate_is_that_of_the_local_engine():
    expected = link(TABLE, train=False)

    told = link_table(TABLE)

    assert {each.name for each in expected.report.left_out} >= {"date", "home"}
    assert expected.pairs.num_rows > 300
    assert expected.report.entities < len(ROWS) - 200
    the_same(expected, told)


def test_the_sets_of_an_index_are_those_of_the_local_engine(session):
    """The driver asks for the traits of sets that a contradiction, or their size, makes doubtful."""
    options = {"at": None, "max_set_size": 3, "model": replace(MatchModel.default(), version="other")}
    expected = link(TABLE, train=False, **options)

    told = link_table(session.createDataFrame(TABLE), spark=session, **options)

    assert expected.report.refused > 2
    assert told.model.version == "other"
    the_same(expected, told)


def test_large_blocks_are_opened_skipped_and_counted_alike():
    plain = ("record_id", "domain", "birth_name", "birth_date", "sex", "postal_code")
    rows = [{name: row[name] for name in plain if name in row} | {"given_names": "ANNE"} for row in ROWS]
    nobody_else = {
        "domain": "",
        "given_names": "ANNE",
        "birth_date": "1951-05-09",
    }  # one block, opened by sex
    rows += [nobody_else | {"record_id": f"{sex}{at}", "sex": sex} for sex in "FM" for at in range(4)]
    expected = link(table_of(rows), train=False, max_block=4)

    told = link_table(table_of(rows).to_pandas(), max_block=4)

    assert any(each.skipped for each in expected.report.capped)
    assert any(each.refined > each.skipped for each in expected.report.capped)
    the_same(expected, told)


def test_files_of_text_and_of_parquet_are_tables(tmp_path):
    some = TABLE.slice(0, 120)
    pyarrow.csv.write_csv(some, tmp_path / "records.csv")
    pyarrow.parquet.write_table(some, tmp_path / "records.parquet")
    expected = link(some, train=False)

    for name in ("records.csv", "records.parquet"):
        the_same(expected, link_table(tmp_path / name))


def test_a_wrong_value_is_named_by_its_place_and_not_told():
    rows = [*ROWS[:3], {"record_id": "0", "domain": "", "sex": "ZQX"}]

    with pytest.raises(InvalidIdentity, match=r"^sex, row 0: ") as caught:
        link_table(table_of(rows))
    told = link_table(table_of(rows), on_bad="missing")

    assert "ZQX" not in str(caught.value)
    assert [(bad.trait, bad.first_row, bad.rows) for bad in told.report.bad] == [("sex", 0, 1)]
    assert told.entities.equals(link(table_of(rows), train=False, on_bad="missing").entities)


@pytest.mark.parametrize(
    ("ids", "problem"),
    [
        (["A", " ", "B"], "record_id: missing in 1 rows"),
        (["A", "B", "A "], "record_id, row 1: stated twice in one domain"),
    ],
)
def test_identifiers_missing_or_stated_twice_are_refused(ids, problem):
    with pytest.raises(InvalidIdentity, match=problem):
        link_table(pa.table({"record_id": ids, "sex": ["F"] * 3}))


def test_what_cannot_be_linked_is_refused_before_anything_is_read():
    with pytest.raises(InvalidIdentity, match="record_id: no such column"):
        link_table(pa.table({"sex": ["F"]}))
    with pytest.raises(InvalidIdentity, match="none is a trait"):
        link_table(pa.table({"record_id": ["A"]}))
    with pytest.raises(ValueError, match="at: expected"):
        link_table(TABLE, at=0.0)
    with pytest.raises(ValueError, match="on_bad: expected"):
        link_table(TABLE, on_bad="ignore")


def test_the_passes_are_reported_in_the_order_of_the_local_engine():
    assert list(_PASSES) == list(_PASS_NAMES)
