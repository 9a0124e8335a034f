"""`mpi link`, `mpi train`, `mpi evaluate` as their user types them: files, words, exit status."""

import csv
import gzip
import json
import math
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer.main
from mpi_synthetic import TUNING, generate

import mpi
from mpi import cli, linkage_commands
from mpi.identity.tabular import TRAIT_NAMES, traits_to_mapping
from mpi.linkage_commands import PAIR_COLUMNS, read_table
from mpi.matching import batch, training
from mpi.matching.files import read_model, write_model
from mpi.matching.interop import write_labels
from mpi.matching.judging import data_digest
from mpi.matching.model import MatchModel

DOCUMENT = Path(__file__).parents[2] / "docs" / "batch.md"
HEADINGS = ["record_id", "domain", "birth_name", "given_names", "birth_date", "sex"]
ROWS = [
    ["1", "A", "CHANTEREAU", "LOUISE", "1984-02-29", "F"],
    ["2", "B", "CHANTEREAU", "LOUISE", "1984-02-29", "F"],
    ["3", "A", "MORVAN", "YANN", "1951-07-14", "M"],
]
FEDERATION = generate(300, seed=7, profile=TUNING).records
TRUTH = [(record.record_id, record.person_id) for record in FEDERATION]


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Types a command in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.logs, "configure", lambda level: None)

    def typed(*words, status=0):
        monkeypatch.setattr(sys, "argv", ["mpi", *map(str, words)])
        with pytest.raises(SystemExit) as exited:
            cli.main()
        captured = capsys.readouterr()
        assert (exited.value.code or 0) == status, captured.err
        return SimpleNamespace(out=captured.out, err=captured.err)

    return typed


@pytest.fixture
def refused(run, tmp_path):
    """Types a command that ends with status 2, says one line, writes nothing and shows no value."""

    def typed(*words):
        before = sorted(tmp_path.iterdir())
        said = run(*words, status=2)
        assert sorted(tmp_path.iterdir()) == before
        assert not said.out
        assert "Traceback" not in said.err
        assert not any(cell in said.err for row in ROWS for cell in row[2:5])
        assert "ZQX" not in said.err
        return said.err

    return typed


@pytest.fixture
def federation(tmp_path):
    """records.csv and truth.csv of 300 people."""
    rows = [
        {"record_id": record.record_id, "domain": record.site}
        | {name: str(value) for name, value in traits_to_mapping(record.demographics).items()}
        for record in FEDERATION
    ]
    pd.DataFrame(rows, columns=["record_id", "domain", *TRAIT_NAMES]).to_csv(
        tmp_path / "records.csv", index=False
    )
    write(tmp_path / "truth.csv", TRUTH, headings=["record_id", "person_id"])
    return tmp_path


@pytest.fixture
def quick(monkeypatch):
    """Training with fewer random pairs: these tests ask what the command does, not how good the model is."""
    monkeypatch.setattr(training, "estimate", partial(training.estimate, random_pairs=20_000))


def write(path, rows, headings=HEADINGS, delimiter=",", encoding="utf-8"):
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([headings, *rows])
    return path


def read(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def changed(row, **values):
    return [values.get(name, cell) for name, cell in zip(HEADINGS, row, strict=True)]


def together(rows):
    """Sets of identifiers, from what `link` wrote."""
    sets = {}
    for row in rows:
        sets.setdefault(row["euid"], set()).add(row["record_id"])
    return sorted(map(sorted, sets.values()))


# --- link ---------------------------------------------------------------------------------


def test_a_table_becomes_sets_and_pairs(run, tmp_path):
    write(tmp_path / "in.csv", ROWS)

    said = run("link", "in.csv", "--out", "links.csv", "--pairs", "pairs.csv")

    assert (tmp_path / "links.csv").read_text().splitlines()[0] == "record_id,domain,euid"
    assert together(read(tmp_path / "links.csv")) == [["1", "2"], ["3"]]
    (pair,) = read(tmp_path / "pairs.csv")
    assert tuple(pair) == PAIR_COLUMNS
    assert [pair[name] for name in ("left_id", "right_id", "decision", "left_domain", "right_domain")] == [
        "1", "2", pair["decision"], "A", "B",
    ]  # fmt: skip
    assert 0.5 < float(pair["probability"]) <= 1
    assert "3 records are 2 people" in said.out
    assert f"fewer than {batch.FEWEST_TO_TRAIN} records: the model is used as it is" in said.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "links.csv", "pairs.csv"]


def test_the_summary_is_the_same_in_json(run, federation):
    said = json.loads(run("link", "records.csv", "--out", "links.csv", "--json").out)

    assert said["rows"] == len(FEDERATION)
    assert said["entities"] == len({row["euid"] for row in read(federation / "links.csv")})
    assert sum(said["decisions"].values()) == said["candidate_pairs"]
    assert len(FEDERATION) >= batch.FEWEST_TO_TRAIN
    assert said["training"].startswith("the model was fitted to these records")
    assert said["bad_values"] == []
    assert {"refused_links", "capped_blocks", "passes_left_out", "model"} <= said.keys()
    assert next(iter(said["seconds"])) == "read"
    assert list(said["seconds"])[-1] == "write"
    assert {"normalise", "candidates", "sets"} <= said["seconds"].keys()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_byte_order_mark_and_the_delimiter_change_nothing(run, tmp_path, delimiter, encoding):
    write(tmp_path / "in.csv", ROWS, delimiter=delimiter, encoding=encoding)

    run("link", "in.csv", "--out", "links.csv")

    assert together(read(tmp_path / "links.csv")) == [["1", "2"], ["3"]]


def test_csv_is_text_whatever_it_looks_like(tmp_path):
    write(tmp_path / "in.csv", [["007", "01000"], ["1e3", ""]], headings=["record_id", "postal_code"])

    table = read_table(tmp_path / "in.csv").table

    assert table.to_pydict() == {"record_id": ["007", "1e3"], "postal_code": ["01000", None]}


def test_parquet_and_compressed_files_are_read_and_written(run, tmp_path):
    frame = pd.DataFrame(ROWS, columns=HEADINGS)
    frame["birth_date"] = pd.to_datetime(frame["birth_date"]).dt.date
    frame.to_parquet(tmp_path / "in.parquet")
    with gzip.open(tmp_path / "in.csv.gz", "wt", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADINGS, *ROWS])

    run("link", "in.parquet", "--out", "links.parquet", "--pairs", "pairs.csv.gz")
    run("link", "in.csv.gz", "--out", "links.csv")

    links = pq.read_table(tmp_path / "links.parquet")
    assert links.column_names == ["record_id", "domain", "euid"]
    assert together(links.to_pylist()) == together(read(tmp_path / "links.csv")) == [["1", "2"], ["3"]]
    assert len(gzip.decompress((tmp_path / "pairs.csv.gz").read_bytes()).splitlines()) == 2


def test_columns_are_mapped_and_win_over_columns_of_the_name(run, tmp_path):
    headings = ["nip", "site", "nom=1", "given_names", "birth_date", "birth_name"]
    rows = [[*row[:5], f"ZQX{at}"] for at, row in enumerate(ROWS)]
    write(tmp_path / "in.csv", rows, headings)

    said = run(
        "link", "in.csv", "--out", "links.csv", "--id", "nip", "--domain", "site", "--map", "birth_name=nom=1"
    )
    by_map = run(
        "link", "in.csv", "--out", "other.csv", "--map", "record_id=nip", "--map", "birth_name=nom=1"
    )

    assert together(read(tmp_path / "links.csv")) == [["1", "2"], ["3"]]
    assert [row["domain"] for row in read(tmp_path / "links.csv")] == ["A", "B", "A"]
    assert together(read(tmp_path / "other.csv")) == [["1", "2"], ["3"]]
    assert [row["domain"] for row in read(tmp_path / "other.csv")] == ["", "", ""]
    assert said.out
    assert by_map.out


def test_a_renamed_column_is_its_new_trait_only(tmp_path):
    write(tmp_path / "in.csv", ROWS)

    read_back = read_table(tmp_path / "in.csv", ["used_name=birth_name"])

    assert read_back.columns["used_name"] == "birth_name"
    assert "birth_name" not in read_back.table.column_names


def test_identifiers_come_back_as_they_were(run, tmp_path):
    ids = ['a"b', "c,d", "e f", "=1", "\u202eleft"]
    write(tmp_path / "in.csv", [[value, *ROWS[0][1:]] for value in ids])

    run("link", "in.csv", "--out", "links.csv", "--pairs", "pairs.csv")

    assert {row["record_id"] for row in read(tmp_path / "links.csv")} == set(ids)
    assert {row["left_id"] for row in read(tmp_path / "pairs.csv")} <= set(ids)


def test_numbers_that_pandas_made_floating_are_identifiers_still(run, tmp_path):
    frame = pd.DataFrame(ROWS, columns=HEADINGS).assign(record_id=[1.0, 2.0, 3.0])
    frame.to_parquet(tmp_path / "in.parquet")
    frame.assign(record_id=[1.0, math.nan, 3.0]).to_parquet(tmp_path / "gap.parquet")

    run("link", "in.parquet", "--out", "links.csv")
    said = run("link", "gap.parquet", "--out", "links.csv", status=2)

    assert [row["record_id"] for row in read(tmp_path / "links.csv")] == ["1", "2", "3"]
    assert "gap.parquet: row 2: record_id: missing" in said.err


def test_values_that_cannot_be_read_are_counted_or_refused_by_line(run, tmp_path):
    rows = [
        ROWS[0],
        changed(ROWS[1], birth_date="ZQX", sex="X"),
        changed(ROWS[2], birth_date="ZQY", birth_name="two\nlines"),
    ]
    write(tmp_path / "in.csv", [["", "", "", "", "", ""], *rows], [*HEADINGS[:4], "né le", "sex"])
    arguments = ("link", "in.csv", "--out", "links.csv", "--map", "birth_date=né le")
    write(tmp_path / "in.csv", rows, [*HEADINGS[:4], "né le", "sex"])

    counted = run(*arguments)
    document = json.loads(run(*arguments, "--json").out)
    strict = run(*arguments, "--strict", status=2)

    assert "2 values taken for missing in né le, from line 3: not a date" in counted.out
    assert {(each["column"], each["values"], each["first_line"]) for each in document["bad_values"]} == {
        ("né le", 2, 3), ("sex", 1, 3), ("birth_name", 1, 4),
    }  # fmt: skip
    assert strict.err.startswith("mpi: in.csv: line 4: birth_name: holds a control character")
    assert "ZQ" not in counted.out + strict.err


def test_a_line_is_counted_as_an_editor_counts_it(run, tmp_path):
    lines = [",".join(HEADINGS), "", '1,A,"a\nb",x,1984-02-29,F', "", "2,A,b,x,ZQX,F"]
    (tmp_path / "in.csv").write_text("\n".join(lines), encoding="utf-8")
    write(tmp_path / "plain.csv", [ROWS[0], changed(ROWS[1], birth_date="ZQX")])

    broken = json.loads(run("link", "in.csv", "--out", "links.csv", "--json").out)["bad_values"]
    plain = json.loads(run("link", "plain.csv", "--out", "links.csv", "--json").out)["bad_values"]

    assert {each["column"]: each["first_line"] for each in broken} == {"birth_name": 3, "birth_date": 6}
    assert [each["first_line"] for each in plain] == [3]


def test_sets_are_best_guesses_or_certain(run, federation):
    linked = {
        name: len({row["euid"] for row in read(federation / "links.csv")})
        for name, options in {
            "default": (), "half": ("--at", "0.5"), "surely": ("--at", "1"), "certain": ("--certain",),
        }.items()
        if run("link", "records.csv", "--out", "links.csv", *options)
    }  # fmt: skip

    assert linked["default"] == linked["half"] < linked["certain"]
    assert linked["half"] < linked["surely"]


def test_a_model_is_used_as_it_is(run, federation):
    write_model(MatchModel.default(), federation / "model.json")
    run("link", "records.csv", "--out", "given.csv", "--model", "model.json")
    said = run("link", "records.csv", "--out", "untrained.csv", "--no-train")

    assert read(federation / "given.csv") == read(federation / "untrained.csv")
    assert "the model is used as it is" in said.out


def test_half_a_file_is_never_left(run, tmp_path, monkeypatch):
    write(tmp_path / "in.csv", ROWS)
    (tmp_path / "links.csv").write_text("kept")

    def full(table, path, *, compressed):
        path.write_text("half")
        if "pairs" in path.name:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(linkage_commands, "_write_csv", full)
    said = run("link", "in.csv", "--out", "links.csv", "--pairs", "pairs.csv", status=1)

    assert "no space left on device" in said.err
    assert (tmp_path / "links.csv").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "links.csv"]


def test_phases_are_told_to_the_progress_bar(run, tmp_path, monkeypatch):
    write(tmp_path / "in.csv", ROWS)
    told = []
    monkeypatch.setattr(
        "rich.progress.Progress.add_task", lambda bar, phase, total: told.append(phase) or len(told) - 1
    )
    monkeypatch.setattr("rich.progress.Progress.update", lambda bar, task, completed, total: None)

    run("link", "in.csv", "--out", "links.csv")

    assert [told[0], told[-1]] == ["read", "write"]
    assert {"normalise", "candidates", "comparisons", "decisions", "sets"} <= set(told)


def test_the_spark_engine_is_asked_the_same(run, tmp_path, monkeypatch):
    rows = [["9", *ROWS[0][1:]], changed(ROWS[1], birth_date="ZQX")]
    write(tmp_path / "in.csv", rows)
    asked = {}

    def link_table(table, **options):
        asked.update(options, ids=table["record_id"].to_pylist())
        del options["at"]
        return batch.link(table, at=0.9, train=False, **options)

    monkeypatch.setitem(sys.modules, "pyspark", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "mpi.matching.spark", SimpleNamespace(link_table=link_table))
    said = json.loads(run("link", "in.csv", "--out", "l.csv", "--engine", "spark", "--certain", "--json").out)

    assert asked["ids"] == ["2", "9"]  # rows are counted in order of identifiers there
    assert asked["at"] is None
    assert asked["on_bad"] == "missing"
    assert said["bad_values"][0]["first_line"] == 3


def test_without_pyspark_the_extra_is_named(refused, tmp_path, monkeypatch):
    write(tmp_path / "in.csv", ROWS)
    monkeypatch.setitem(sys.modules, "pyspark", None)

    said = refused("link", "in.csv", "--out", "links.csv", "--engine", "spark")

    assert said == "mpi: --engine spark: pyspark is not installed: install mpi[spark]\n"


def test_the_process_ends_with_two_and_no_traceback(tmp_path):
    write(tmp_path / "in.csv", [changed(ROWS[0], birth_date="ZQX")])
    words = [sys.executable, "-m", "mpi", "link", "in.csv", "--out", "links.csv", "--strict"]

    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert (
        done.stderr == "mpi: in.csv: line 2: birth_date: not a date (expected YYYY[-MM[-DD]] or YYYYMMDD)\n"
    )


# --- what cannot be read ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("in.csv", None, "in.csv: no such file or directory"),
        ("in.csv", b"", "in.csv: empty"),
        ("in.csv", b"\n\n", "in.csv: empty"),
        ("in.csv", b"record_id,birth_name\n", "in.csv: no record under the headings"),
        ("in.csv", "record_id,birth_name\n1,ZQXÉ\n2,é\n".encode("latin-1"), "in.csv: line 2: not UTF-8"),
        ("in.csv", "record_id,prénom\n1,x\n".encode("latin-1"), "in.csv: line 1: not UTF-8"),
        ("in.csv", "record_id,birth_name\n1,ZQX\n".encode("utf-16"), "in.csv: line 1: not UTF-8"),
        ("in.csv", b"PK\x03\x04\0\0\0ZQX", "in.csv: neither CSV nor Parquet"),
        ("in.parquet", b"record_id,birth_name\n1,ZQX\n", "in.parquet: not a Parquet file"),
        ("in.parquet", b"PAR1ZQX", "in.parquet: cannot be read as Parquet"),
        ("in.csv.gz", b"ZQX", "in.csv.gz: cannot be read"),
        ("in.csv", b"ZQX;ZQXYVES\n1;2\n", "in.csv: no column record_id: name the column of identifiers with --id"),
        ("in.csv", b"record_id,nom\n1,ZQX\n", "in.csv: no column is a trait: name them with --map trait=column"),
        ("in.csv", b"record_id,birth_name,birth_name\n1,ZQX,b\n", "in.csv: two columns named birth_name"),
        ("in.csv", b"record_id,birth_name,sex\n1,b,F\n\n2,ZQX\n", "in.csv: line 4: expected 3 columns"),
        ("in.csv", b'record_id,birth_name,sex\n1,b,"F\n2,ZQX,M\n', "in.csv: line 2: a quotation mark is not closed"),
        ("in.csv", b'record_id,birth_name,sex\n1,"b,F\n2,ZQX,M\n', "in.csv: line 2: expected 3 columns"),
        ("in.csv", b"record_id,birth_name\n1,a\n2,a\n1,ZQX\n", "in.csv: line 4: record_id: stated twice in one domain"),
        ("in.csv", b"record_id,birth_name\n1,a\n,ZQX\n", "in.csv: line 3: record_id: missing"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["link", "train"])
def test_a_file_that_cannot_be_used_is_named_with_the_line(refused, tmp_path, command, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    out = "out.json" if command == "train" else "out.csv"

    assert refused(command, name, "--out", out) == f"mpi: {said}\n"


def test_a_folder_is_no_table(refused, tmp_path):
    (tmp_path / "in.csv").mkdir()

    assert "in.csv: is a folder" in refused("link", "in.csv", "--out", "links.csv")


def test_an_unused_heading_may_repeat(run, tmp_path):
    (tmp_path / "in.csv").write_text("record_id,birth_name,,\n1,a,,\n2,b,,\n", encoding="utf-8")

    run("link", "in.csv", "--out", "links.csv")

    assert len(read(tmp_path / "links.csv")) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--map", "birth_name"], "--map: expected trait=column"),
        (["--map", "=sex"], "--map: expected trait=column"),
        (["--map", "surname=sex"], "--map: surname: unknown trait"),
        (["--map", "city=town"], "in.csv: no column town, where city was said to be"),
        (["--map", "city=sex", "--map", "city=domain"], "--map: city: two columns for one trait"),
        (["--map", "record_id=sex", "--id", "domain"], "--id: record_id: two columns for one trait"),
        (["--id", "nip"], "in.csv: no column nip, where record_id was said to be"),
        (["--domain", "site"], "in.csv: no column site, where domain was said to be"),
        (["--at", "0"], "--at: expected a probability above 0"),
        (["--at", "1.5"], "--at: expected a probability above 0"),
        (["--at", "nan"], "--at: expected a probability above 0"),
        (["--at", "0.9", "--certain"], "--at: not together with --certain"),
        (["--out", "in.csv"], "--out: in.csv: is another file of this command"),
        (["--out", "../{folder}/in.csv"], "in.csv: is another file of this command"),
        (["--out", "nowhere/links.csv"], "--out: nowhere: no such folder"),
        (["--out", "links.txt"], "--out: links.txt: expected a name that ends in .csv, .csv.gz, .parquet"),
        (["--pairs", "links.csv"], "--pairs: links.csv: is another file of this command"),
        (["--pairs", "in.csv"], "--pairs: in.csv: is another file of this command"),
        (["--model", "nowhere.json"], "nowhere.json: no such file or directory"),
        (["--model", "old.json"], "old.json: format: expected"),
        (["--model", "in.csv"], "in.csv: line 1: not JSON"),
    ],
)
def test_bad_usage_is_named(refused, tmp_path, options, said):
    write(tmp_path / "in.csv", ROWS)
    old = MatchModel.default().to_json() | {"format": 1}
    (tmp_path / "old.json").write_text(json.dumps(old), encoding="utf-8")
    options = [option.format(folder=tmp_path.name) for option in options]
    out = [] if "--out" in options else ["--out", "links.csv"]

    assert said in refused("link", "in.csv", *out, *options)


def test_odd_values_are_missing_and_never_shown(run, tmp_path):
    """A name of a megabyte, text that is set from right to left, not a number, control characters."""
    rows = [
        changed(ROWS[0], birth_name="ZQX" * 350_000),
        changed(ROWS[1], birth_name="\u202eZQXEVIL\u202c", sex="NaN"),
        changed(ROWS[2], birth_date="NaN", given_names="ZQX\x07"),
    ]
    write(tmp_path / "in.csv", rows)
    table = pa.table(
        {
            "record_id": ["1", "2"],
            "birth_name": [["ZQX"], ["ZQX"]],
            "birth_date": [math.nan, 19840229.0],
            "sex": [1, None],
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")

    texts = run("link", "in.csv", "--out", "links.csv")
    strict = run("link", "in.csv", "--out", "links.csv", "--strict", status=2)
    typed = run("link", "in.parquet", "--out", "links.csv", "--json")

    assert "birth_name, from line 2: longer than 256 characters" in texts.out
    assert "ZQX" not in texts.out + texts.err + strict.err + typed.out
    assert "\u202e" not in texts.out + texts.err + strict.err
    assert "in.csv: line 2: birth_name: longer than 256 characters" in strict.err
    bad = {(each["column"], each["values"], each["problem"]) for each in json.loads(typed.out)["bad_values"]}
    assert bad == {("birth_name", 2, "expected a text"), ("sex", 1, "expected M, F or U")}


def test_a_heading_that_may_be_a_value_is_not_shown(refused, tmp_path):
    (tmp_path / "in.csv").write_text("\u202eZQX,ZQXYVES,ZQX,ZQX\n1,2,3,4\n", encoding="utf-8")

    assert "\u202e" not in refused("link", "in.csv", "--out", "links.csv")


# --- train --------------------------------------------------------------------------------


def test_a_model_is_estimated_written_and_used(run, federation, quick):
    said = run("train", "records.csv", "--out", "local.json", "--seed", "3")
    model = read_model(federation / "local.json")
    linked = run("link", "records.csv", "--out", "links.csv", "--pairs", "pairs.csv", "--model", "local.json")
    report = json.loads(run("evaluate", "pairs.csv", "truth.csv", "--model", "local.json", "--json").out)

    assert model.version == "local"
    assert model.metadata["seed"] == 3
    assert model.metadata["training_digest"] == data_digest(pd.DataFrame(TRUTH, columns=["record_id", "p"]))
    assert f"trained on {len(FEDERATION)} of {len(FEDERATION)} records" in said.out
    for words in (
        "converged: yes",
        "another beginning ends within",
        "hardly seen",
        "expected: matches",
        "twins",
    ):
        assert words in said.out
    for words in ("upper", "same domain", "lower", "contradiction", "wrong links of 100,000"):
        assert words in said.out
    assert "model local" in linked.out
    assert report["tuned_on_these_records"] is True
    assert "these figures are optimistic" in report["notes"][0]


def test_the_same_table_and_seed_give_the_same_file(run, federation, quick):
    run("train", "records.csv", "--out", "local.json")
    first = (federation / "local.json").read_bytes()
    run("train", "records.csv", "--out", "local.json")
    said = run("train", "records.csv", "--out", "local.json", "--seed", "2", status=2)

    assert (federation / "local.json").read_bytes() == first
    assert "never overwritten" in said.err


def test_another_file_is_not_overwritten_and_is_told_at_once(refused, federation, monkeypatch):
    monkeypatch.setattr(training, "estimate", lambda *_, **__: pytest.fail("trained for nothing"))
    (federation / "other.json").write_text("{}")

    said = refused("train", "records.csv", "--out", "other.json")

    assert said == "mpi: --out: other.json: another file is there; a model file is never overwritten\n"


def test_what_the_budget_cannot_keep_is_told(run, federation, quick):
    words = ("train", "records.csv", "--version", "strict-1", "--wrong-links", "1e-12")
    tasks = ("--tasks-a-day", "1", "--records-a-day", "1000", "--json")
    said = run(*words, "--out", "strict.json")
    document = json.loads(run("train", "records.csv", "--out", "tasks.json", *tasks).out)

    assert "NOT MET: wrong_links: 1e-12 cannot be kept" in said.out
    assert read_model(federation / "strict.json").version == "strict-1"
    assert {each["part"] for each in document["unmet"]} & {"tasks_a_day", "lost_matches"}
    assert document["lower_bits"] == read_model(federation / "tasks.json").thresholds.lower_bits
    assert document["trade_off"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--wrong-links", "0"], "wrong_links: expected a share"),
        (["--wrong-links", "nan"], "wrong_links: expected a share"),
        (["--tasks-a-day", "10"], "records_a_day: needed to keep tasks_a_day"),
        (["--out", "model.csv"], "--out: model.csv: expected a name that ends in .json"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(refused, federation, options, said):
    out = [] if "--out" in options else ["--out", "local.json"]

    assert said in refused("train", "records.csv", *out, *options)


def pairs_to_judge():
    """Pairs of record positions: (left, right, 1 one person or 0 two)."""
    by_person = {}
    for at, record in enumerate(FEDERATION):
        by_person.setdefault(record.person_id, []).append(at)
    same = [(rows[0], rows[1], 1) for rows in by_person.values() if len(rows) > 1]
    firsts = [rows[0] for rows in by_person.values()]
    return same + [(a, b, 0) for a, b in zip(firsts[::2], firsts[1::2], strict=False)]


def test_judged_pairs_are_learnt_from(run, federation, quick):
    judged = pairs_to_judge()
    ids = [record.record_id for record in FEDERATION]
    rows = [[ids[a], ids[b], label] for a, b, label in judged]
    write(federation / "labels.csv", rows, headings=["left_id", "right_id", "label"])
    frame = pd.read_csv(federation / "records.csv", dtype=str).set_index("record_id")
    pairs = pd.MultiIndex.from_tuples([(left, right) for left, right, _ in rows])
    write_labels(federation / "judged.json", pairs, frame)
    annotated = json.loads((federation / "judged.json").read_text(encoding="utf-8"))
    for pair, (_, _, label) in zip(annotated["pairs"], judged, strict=True):
        pair["label"] = label
    annotated["pairs"][0]["label"] = None
    (federation / "judged.json").write_text(json.dumps(annotated), encoding="utf-8")

    said = run("train", "records.csv", "--out", "csv.json", "--labels", "labels.csv", "--version", "x")
    run("train", "records.csv", "--out", "json.json", "--labels", "judged.json", "--version", "x")
    run("train", "records.csv", "--out", "none.json", "--version", "x")

    models = {name: read_model(federation / f"{name}.json") for name in ("csv", "json", "none")}
    assert f"labels: {len(judged)}" in said.out
    assert models["csv"].metadata["labels"] == len(judged)
    assert models["json"].metadata["labels"] == len(judged) - 1
    assert models["csv"].parameters != models["none"].parameters


LABELS = ["left_id", "right_id", "label"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("labels.csv", "left_id,right_id\n1,2\n", "labels.csv: expected one column label"),
        ("labels.csv", "left_id,right_id,label\n1,2,yes\n", "labels.csv: line 2: label: expected 1"),
        ("labels.csv", "left_id,right_id,label\n1,2\n", "labels.csv: line 2: expected 3 columns"),
        ("labels.csv", "left_id,right_id,label\n1,ZQX,1\n", "labels.csv: line 2: right_id: no such record in in.csv"),
        ("labels.csv", "left_id,right_id,label\n1,1,1\n", "labels.csv: line 2: right_id: a record paired with itself"),
        ("labels.csv", "left_id,right_id,label\n1,2,1\n2,1,0\n", "labels.csv: line 3: a pair judged both ways"),
        ("labels.csv", "left_id,right_id,label\n1,2,0\n", "labels.csv: no pair is judged to be one person"),
        ("labels.csv", "left_id,right_id,label\n", "labels.csv: no pair is judged to be one person"),
        ("labels.csv", "", "labels.csv: empty"),
        ("labels.csv", None, "labels.csv: no such file or directory"),
        ("labels.json", None, "labels.json: no such file or directory"),
        ("labels.json", "[]", "labels.json: not a file of the ANNOTATOR"),
        ("labels.json", "ZQX", "labels.json: not a file of the ANNOTATOR"),
    ],
)  # fmt: skip
def test_labels_that_cannot_be_used_are_named(refused, tmp_path, name, content, said):
    write(tmp_path / "in.csv", ROWS)
    if content is not None:
        (tmp_path / name).write_text(content, encoding="utf-8")

    assert said in refused("train", "in.csv", "--out", "model.json", "--labels", name)


def test_an_identifier_of_two_domains_wants_the_domain(refused, tmp_path):
    write(tmp_path / "in.csv", [["1", "A", *ROWS[0][2:]], ["1", "B", *ROWS[1][2:]], ROWS[2]])
    write(tmp_path / "labels.csv", [["1", "3", "1"]], headings=LABELS)
    names = linkage_commands._Names(read_table(tmp_path / "in.csv"))
    with_domains = [*LABELS, "left_domain", "right_domain"]
    write(tmp_path / "named.csv", [["1", "1", "1", "B", "A"]], headings=with_domains)

    said = refused("train", "in.csv", "--out", "model.json", "--labels", "labels.csv")

    assert "labels.csv: line 2: left_id: stated in several domains of in.csv" in said
    assert linkage_commands._read_labels(tmp_path / "named.csv", names) == {(0, 1): True}


def test_a_large_table_is_sampled_by_whole_people(run, federation, quick, monkeypatch):
    monkeypatch.setattr(linkage_commands, "TRAINED_ON_AT_MOST", 250)
    seen = []
    estimate = training.estimate
    monkeypatch.setattr(training, "estimate", lambda rows, **how: seen.append(rows) or estimate(rows, **how))

    said = run("train", "records.csv", "--out", "some.json")
    model = read_model(federation / "some.json")

    (rows,) = seen
    assert 240 <= len(rows) <= 250
    assert f"trained on {len(rows)} of {len(FEDERATION)} records" in said.out
    # Rows drawn one by one would keep some 40 % of the pairs of each record, not all of them.
    pairs_of_a_record = model.metadata["expected_matches"] / len(rows)
    assert pairs_of_a_record > 0.8 * _true_pairs() / len(FEDERATION)


def _true_pairs():
    people = pd.Series([person for _, person in TRUTH]).value_counts()
    return int((people * (people - 1) / 2).sum())


# --- evaluate -----------------------------------------------------------------------------


def test_links_and_pairs_are_judged(run, federation):
    run("link", "records.csv", "--out", "links.csv", "--pairs", "pairs.csv")
    write(federation / "strata.csv", [(r.record_id, r.site) for r in FEDERATION], ["record_id", "site"])

    links = json.loads(run("evaluate", "links.csv", "truth.csv", "--json").out)
    text = run("evaluate", "pairs.csv", "truth.csv", "--strata", "strata.csv", "--diagram", "rely.svg").out

    assert links["figures"][0]["pairs"]["f1"][0] > 0.9
    assert links["tuned_on_these_records"] is None
    assert "b_cubed" in links["figures"][0]
    assert "links and reviews" in text
    assert "site = SITE-A" in text
    svg = (federation / "rely.svg").read_text(encoding="utf-8")
    assert svg.startswith("<svg")
    assert svg.count("<circle") >= 1


def test_a_model_fitted_elsewhere_is_no_warning(run, federation):
    run("link", "records.csv", "--out", "links.csv")
    write_model(
        MatchModel.from_json(MatchModel.default().to_json() | {"metadata": {"training_digest": "0" * 64}}),
        federation / "other.json",
    )

    said = json.loads(run("evaluate", "links.csv", "truth.csv", "--model", "other.json", "--json").out)

    assert said["tuned_on_these_records"] is False
    assert said["notes"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.csv", "truth.csv"), "nowhere.csv: no such file"),
        (("links.csv", "nowhere.csv"), "nowhere.csv: no such file"),
        (("links.csv", "links.csv"), "links.csv: expected columns record_id, person_id, or left_id, right_id"),
        (("links.csv", "truth.csv", "--diagram", "d.svg"), "--diagram: links.csv: no pair with a probability"),
        (("links.csv", "truth.csv", "--diagram", "d.png"), "--diagram: d.png: expected a name that ends in .svg"),
        (("links.csv", "truth.csv", "--model", "truth.csv"), "truth.csv: line 1: not JSON"),
        (("links.csv", "truth.csv", "--strata", "nowhere.csv"), "nowhere.csv: no such file"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_named(refused, tmp_path, words, said):
    write(tmp_path / "links.csv", [["1", "A", "x"], ["2", "A", "x"]], ["record_id", "domain", "euid"])
    write(tmp_path / "truth.csv", [["1", "p"], ["2", "p"]], ["record_id", "person_id"])

    assert said in refused("evaluate", *words)


# --- documentation ------------------------------------------------------------------------


def fenced(language):
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), flags=re.DOTALL)


def commands_of_the_document():
    for block in fenced("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("mpi "):
                yield line


@pytest.mark.parametrize("name", ["link", "train", "evaluate"])
def test_every_option_is_documented(name):
    text = DOCUMENT.read_text(encoding="utf-8")
    (command,) = [each for each in cli.app.registered_commands if each.callback.__name__ == name]
    parameters = typer.main.get_command_from_info(
        command, pretty_exceptions_short=True, rich_markup_mode=None
    ).params

    options = [option for each in parameters for option in each.opts if option.startswith("--")]
    assert len(options) >= 4
    for option in options:
        assert option == "--help" or re.search(rf"`{option}[ `]", text), option


@pytest.mark.parametrize("line", list(commands_of_the_document()))
def test_the_commands_of_the_document_are_well_formed(line):
    _, name, *words = shlex.split(line)
    command = typer.main.get_command(cli.app).commands[name]

    assert command.make_context(name, words).params


def test_the_notebook_example_runs(federation, monkeypatch, capsys):
    monkeypatch.chdir(federation)
    (example,) = fenced("python")[:1]

    names = {}
    exec(example, names)

    assert len(example.strip().splitlines()) <= 10
    assert names["found"].report.rows == len(FEDERATION)
    assert "euid" in names["frame"].columns
    assert capsys.readouterr().out


def test_link_is_at_the_top_of_the_library():
    code = (
        "import sys, mpi, mpi.matching; print('pandas' in sys.modules); mpi.matching.link is mpi.link or 1/0"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert mpi.link is batch.link
    assert done.stdout in ("False\n", "True\n")
