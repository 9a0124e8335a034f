"""Rows of a table as messages: what they state, what stops them, and by what they are recognised."""

import gzip
import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pyarrow import parquet

from mpi.errors import InvalidIdentity, SettingsError, UnknownAuthority, UnreadableMessage
from mpi.feeds.hl7v2.problems import SenderNotPermitted
from mpi.feeds.table_quality import assess
from mpi.feeds.tabular import RowReader, field_of, open_table, parse_event_time, read_message
from mpi.identity.traits import normalise
from mpi.index.events import MessageState
from tests.fakes import MemoryStore
from tests.federation import World, authority, directory

SINCE = datetime(2026, 3, 1, 9, tzinfo=UTC)
HEADINGS = "record_id,birth_name,given_names,birth_date,sex,birth_place,ins,identity_status"
LOUISE = "A1,CHANTEREAU,LOUISE ANNE,1984-02-29,F,87085,,PROV"
INS = "284028708500123"


def with_key(body="2840287085001"):
    from mpi.identity.ins import matricule_key

    return body + matricule_key(body)


def table(tmp_path, *rows, headings=HEADINGS, name="site-a.csv", **options):
    path = tmp_path / name
    path.write_text("\n".join((headings, *rows)) + "\n", encoding="utf-8")
    return open_table(path, **options)


def reader(of, source="ris-a", **options):
    parties = directory()
    return RowReader(of, parties.source(source), parties, event_time=SINCE, **options)


def records(of, **options):
    return [message.read().records[0] for message in reader(of, **options).messages()]


def problems(of, **options):
    found = []
    for message in reader(of, **options).messages():
        try:
            message.read()
        except (InvalidIdentity, UnreadableMessage, UnknownAuthority, SenderNotPermitted) as error:
            found.append((error.place, error.problem))
    return found


def load(world, of, source="ris-a"):
    party = world.parties.source(source)
    rows = RowReader(of, party, world.parties, event_time=SINCE)
    return [message.hand_to(world.registry).state for message in rows.messages()]


def test_a_row_is_a_statement_of_its_source(tmp_path):
    (record,) = records(table(tmp_path, LOUISE))

    assert (record.key, record.source) == ((authority("A").universal_id, "A1", 0), "ris-a")
    assert record.identifier.authority == authority("A")
    assert record.event_time == SINCE
    assert normalise(record.demographics).given_names == ("LOUISE", "ANNE")


def test_columns_are_named_as_the_file_names_them(tmp_path):
    found = table(
        tmp_path,
        "X;A1;DURAND;17/03/1980;2026-01-05T08:00",
        headings="birth_name;IPP;NOM;DDN;MAJ",
        maps=["birth_name=NOM"],
        id_column="IPP",
        event_time_column="MAJ",
    )

    (record,) = records(found)
    assert record.demographics.names[0].family == "DURAND"
    assert record.event_time == datetime(2026, 1, 5, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("row", "place", "problem"),
    [
        ("A1,DURAND,LEA,29/02/1984,F,,,", "line 2: birth_date", "not a date"),
        ("A1,DURAND,LEA,1984-02-29,X,,,", "line 2: sex", "expected M, F or U"),
        (",DURAND,LEA,1984-02-29,F,,,", "line 2: record_id", "required and missing"),
        ("A1,,,,,,,", "line 2: row", "states nothing"),
        ("A1,DURAND,LEA,2084-02-29,F,,,", "line 2: birth_date", "later than the event"),
        ("A1,DURAND", "line 2", "expected 8 columns"),
        ('A1,"DURAND,LEA,,,,,\nA2,DURAND,LEA,,,,,', "line 2", "quotation mark"),
    ],
)
def test_a_bad_row_says_its_line_and_field_and_no_value(tmp_path, row, place, problem):
    ((found, said),) = problems(table(tmp_path, row))

    assert found == place
    assert problem in said
    assert "DURAND" not in found + said


def test_a_bad_row_costs_one_row(tmp_path):
    found = table(tmp_path, "", "A1,DURAND", LOUISE, "A2,DURAND,LEA,nodate,F,,,", "A3,DURAND,LEA,1980,F,,,")

    assert [place for place, _ in problems(found)] == ["line 3", "line 5: birth_date"]


def test_bytes_that_are_not_in_the_character_set_cost_one_row(tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b"record_id,birth_name\n1,LEMA\xeeTRE\n2,DURAND\n")

    assert problems(open_table(path)) == [("line 2: birth_name", "not in the character set")]
    assert records(open_table(path, encoding="cp1252"))[0].demographics.names[0].family == "LEMAîTRE"


@pytest.mark.parametrize(
    ("status", "date", "sex", "kept"),
    [
        ("VALI", "1984-02-29", "F", True),
        ("QUAL", "1984-02-29", "F", True),
        ("", "1984-02-29", "F", False),
        ("PROV", "1984-02-29", "F", False),
        ("VALI DOUT", "1984-02-29", "F", False),
        ("VALI", "1984-02", "F", False),
        ("VALI", "1984-02-29", "U", False),
    ],
)
def test_an_ins_is_taken_only_where_a_pid_could_bear_it(tmp_path, status, date, sex, kept):
    row = f"A1,CHANTEREAU,LOUISE,{date},{sex},87085,{with_key()},{status}"

    (record,) = records(table(tmp_path, row))

    assert bool(record.demographics.ins) is kept
    assert any(warning.startswith("ins: INS ") for warning in record.warnings) is not kept
    assert len(record.others) == kept


def test_a_wrong_key_leaves_the_ins_out_and_the_row_in(tmp_path):
    wrong = with_key()[:-2] + f"{(int(with_key()[-2:]) + 1) % 97:02d}"

    (record,) = records(table(tmp_path, f"A1,CHANTEREAU,LOUISE,1984-02-29,F,87085,{wrong},VALI"))

    assert record.demographics.ins == ""
    assert record.warnings == ("ins: not a matricule INS, or a wrong key; dropped",)


def test_a_domain_that_is_not_the_sources_is_refused(tmp_path):
    found = table(tmp_path, "1,X,SITE-B", "2,X,SITE-Z", "3,X,SITE-A", headings="record_id,birth_name,domain")

    assert [place for place, _ in problems(found)] == ["line 2: domain", "line 3: domain"]


def test_a_second_run_and_a_moved_row_change_nothing(tmp_path):
    world = World(MemoryStore())
    first = load(world, table(tmp_path, LOUISE, "A2,DURAND,LEA,1980-03-17,F,,,"))
    again = load(world, table(tmp_path, "A2,DURAND,LEA,1980-03-17,F,,,", LOUISE, "A3,ROUX,ANNE,1970,F,,,"))

    assert first == [MessageState.APPLIED] * 2
    assert again == [MessageState.DUPLICATE] * 2 + [MessageState.APPLIED]


def test_a_row_that_changed_is_a_new_statement(tmp_path):
    world = World(MemoryStore())
    load(world, table(tmp_path, LOUISE))

    assert load(world, table(tmp_path, LOUISE.replace("87085", "87086"))) == [MessageState.APPLIED]


def test_a_stopped_load_goes_on(tmp_path):
    world = World(MemoryStore())
    found = table(tmp_path, *(f"A{n},DURAND,LEA,19{n:02d}-03-17,F,,," for n in range(10, 20)))
    party = world.parties.source("ris-a")
    messages = list(RowReader(found, party, world.parties, event_time=SINCE).messages())
    for message in messages[:4]:
        message.hand_to(world.registry)

    states = load(world, found)

    assert states == [MessageState.DUPLICATE] * 4 + [MessageState.APPLIED] * 6


def test_a_quarantined_row_is_read_again_with_what_was_kept(tmp_path):
    world = World(MemoryStore())
    load(world, table(tmp_path, "A2,DURAND,LEA,nodate,F,,,"))
    (kept,) = world.registry.messages(state=MessageState.QUARANTINED)

    assert (kept.place, kept.envelope.source) == ("line 2: birth_date", "ris-a")
    assert json.loads(kept.envelope.raw)["row"]["birth_name"] == "DURAND"
    with pytest.raises(InvalidIdentity, match="line 2: birth_date"):
        read_message(kept.envelope, world.parties)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.parquet"])
def test_other_forms_of_a_table_state_the_same(tmp_path, name):
    path = tmp_path / name
    if name.endswith("gz"):
        path.write_bytes(gzip.compress(f"{HEADINGS}\n{LOUISE}\n".encode()))
    else:
        cells = dict(zip(HEADINGS.split(","), ([each or None] for each in LOUISE.split(",")), strict=True))
        parquet.write_table(
            pa.table({key: pa.array(value, pa.string()) for key, value in cells.items()}), path
        )

    expected = records(table(tmp_path, LOUISE))
    assert records(open_table(path)) == expected


@pytest.mark.parametrize(
    ("headings", "options", "place"),
    [
        ("birth_name", {}, "site-a.csv"),
        ("record_id,remarks", {}, "site-a.csv"),
        ("record_id,birth_name,birth_name", {}, "site-a.csv"),
        (HEADINGS, {"maps": ["surname=NOM"]}, "--map"),
        (HEADINGS, {"maps": ["birth_name=NOM"]}, "site-a.csv"),
        (HEADINGS, {"event_time_column": "2026-13-45"}, "site-a.csv"),
        (HEADINGS, {"encoding": "klingon"}, "--encoding"),
    ],
)
def test_what_is_no_table_of_patients_is_refused_whole(tmp_path, headings, options, place):
    with pytest.raises(UnreadableMessage) as refused:
        table(tmp_path, headings=headings, **options)

    assert refused.value.place == place


def test_a_source_nobody_configured_is_named():
    with pytest.raises(SettingsError, match="ris-z"):
        directory().source("ris-z")


@pytest.mark.parametrize(
    "text", ["2026-03-01T09:00Z", "20260301100000", "2026-03-01 10:00", "20260301100000+0100"]
)
def test_an_instant_is_written_in_several_ways(text):
    assert parse_event_time(text) == SINCE


def test_the_report_counts_what_is_in_the_table_and_shows_no_value(tmp_path):
    rows = [
        LOUISE,
        LOUISE,
        LOUISE.replace("A1,", "A9,"),
        "A2,INCONNU,BEBE,1980-01-01,U,,,",
        "A3,ROUX,ANNE,nodate,F,,,",
        f"A4,PETIT,MARIE,1971-05-06,F,33063,{with_key()},PROV",
        "A1,CHANTEREAU,LEA,1984-02-29,F,87085,,",
    ]
    found = table(tmp_path, *rows)
    quality = assess(found, reader(found))

    assert (quality.rows, quality.refused, quality.default_dates) == (7, 1, 1)
    assert quality.missing["birth_place"] == 2
    assert quality.placeholders == {"birth_name": 1, "given_names": 1, "sex": 1}
    assert [(each.place, each.first) for each in quality.wrong] == [("birth_date", 6)]
    assert quality.doubtful_ins == {"INS of an identity that is not validated; dropped": 1}
    assert (quality.repeated_ids, quality.repeated_rows, quality.identical_rows) == (1, 3, 1)
    assert (quality.pairs, quality.shown[0].left, quality.shown[0].right) == (1, 2, 4)
    assert "CHANTEREAU" not in repr(quality)


def test_a_large_table_is_not_searched_for_duplicates(tmp_path):
    found = table(tmp_path, LOUISE, LOUISE)

    assert assess(found, reader(found), compare_up_to=2).pairs is None


def test_an_error_is_named_without_its_line():
    assert field_of(InvalidIdentity("line 12: sex", "wrong"), 12) == ("sex", "wrong")
    assert field_of(UnreadableMessage("line 12", "wrong"), 12) == ("", "wrong")
