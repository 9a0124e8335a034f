"""What holds for SQLite alone."""

import contextlib
import logging
import sqlite3
import stat
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlalchemy.dialects import sqlite as dialect

from mpi.errors import SettingsError, StoreError
from mpi.identity.model import Demographics
from mpi.index.events import MessageState
from mpi.store import SqlStore, journal, links, open_store, records, reviews, sqlite, trail
from mpi.store.tables import INBOX
from tests.integration.store.examples import NOON, add_message, add_record, envelope, statement


def pragma(engine: Engine, name: str) -> object:
    with engine.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_the_writer_waits_for_the_disk_and_alone_checkpoints(sqlite_store: SqlStore) -> None:
    writer, reader = sqlite_store._writer_engine, sqlite_store._reader_engine

    assert pragma(writer, "journal_mode") == "wal"
    assert pragma(writer, "synchronous") == 2
    assert pragma(writer, "wal_autocheckpoint") == 1000
    assert pragma(reader, "wal_autocheckpoint") == 0
    assert pragma(reader, "query_only") == 1
    assert {pragma(engine, "foreign_keys") for engine in (writer, reader)} == {1}
    assert {pragma(engine, "mmap_size") for engine in (writer, reader)} <= {0, None}


@pytest.mark.parametrize(("name", "value"), [("synchronous", "NORMAL"), ("journal_mode", "DELETE")])
def test_a_file_that_is_not_written_durably_is_refused(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    engine = sqlite._engine
    monkeypatch.setattr(
        sqlite, "_engine", lambda url, begin, pragmas: engine(url, begin, {**pragmas, name: value})
    )

    with pytest.raises(StoreError, match=name):
        open_store(sqlite_url)


def test_patients_identities_are_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "mpi.db"
    with open_store(f"sqlite:///{path}") as store, store.write() as uow:
        add_message(uow)
        uow.commit()
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}

    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert modes == dict.fromkeys(
        ("mpi.db", "mpi.db-wal", "mpi.db-shm", "mpi.db-writer", "mpi.db-relay"), 0o600
    )


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mpi.db"
    file.write_bytes(b"MSH|^~\\&|" * 1000)
    with pytest.raises(StoreError):
        open_store(f"sqlite:///{file}")
    with pytest.raises(StoreError):
        open_store(f"sqlite:///{file}/below/mpi.db")


@pytest.mark.parametrize("url", ["mysql://host/mpi", "not an address", ""])
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        open_store(url)


@pytest.mark.parametrize(("version", "warnings"), [((3, 51, 2), 1), ((3, 51, 3), 0)])
def test_a_version_with_the_wal_reset_bug_is_told_about(
    sqlite_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    version: tuple[int, int, int],
    warnings: int,
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    with caplog.at_level(logging.WARNING):
        open_store(sqlite_url).close()

    assert [record.message for record in caplog.records] == ["store.sqlite_wal_reset_bug"] * warnings


def test_a_version_too_old_is_refused(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 2))
    with pytest.raises(StoreError, match="too old"):
        open_store(sqlite_url)


def test_a_writer_whose_turn_does_not_come_gives_up(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stores on one file stand for two processes: they share no lock but the file's."""
    with open_store(sqlite_url) as one, open_store(sqlite_url) as other, one.write() as uow:
        add_message(uow)
        monkeypatch.setattr(sqlite, "WAIT_FOR_WRITER_SECONDS", 0.05)
        with pytest.raises(StoreError, match="turn"), other.write():
            pass
        monkeypatch.undo()
        uow.commit()


def test_when_the_disk_is_full_nothing_of_the_message_is_kept(sqlite_store: SqlStore) -> None:
    with sqlite_store.write() as uow:
        add_message(uow, "kept")
        uow.commit()
    with sqlite_store._writer_engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with contextlib.suppress(StoreError), sqlite_store.write() as uow:
        for number in range(1_000):
            uow.inbox.add(envelope(f"M{number}"), received_at=NOON, state=MessageState.APPLIED)
        pytest.fail("the disk was meant to be full")
    with sqlite_store.read() as uow:
        kept = [message.envelope.control_id for message in uow.inbox.page()]

    assert kept == ["kept"]


def test_a_store_in_memory_is_one_database_for_all_threads() -> None:
    with open_store("sqlite://") as store:
        with store.write() as uow:
            a = add_record(uow, "A")
            uow.commit()
        with store.read() as uow:
            assert uow.records.all_ids() == [a]
            with pytest.raises(StoreError):
                add_record(uow, "B")
        with store.write() as uow:
            add_record(uow, "B")
            uow.commit()


def test_no_question_of_the_hot_path_reads_a_whole_table(sqlite_store: SqlStore) -> None:
    hot = {
        "journal": (journal._ORIGINAL, journal._GET),
        "records": (
            records._BY_KEY,
            records._EPOCHS,
            records._BY_KEYS,
            records._BY_IDS,
            records._BY_NATIVE_EUID,
            records._KEYS_OF,
        ),
        "keys": (records._KEYS_OF_MANY, records._REMEMBER_KEYS, *records._ERASE_KEYS),
        "candidates": (records._holders(12), records._holders(12, past=True)),
        "statements": (
            records._STATEMENTS,
            records._STATEMENTS_OF,
            records._STATEMENT,
            records._STATED_BY,
            records._ERASE_STATEMENTS,
        ),
        "links": (links._EDGES_TOUCHING, links._DELETE_EDGES, links._STANDING, links._CURRENT),
        "facts": (links._EVER, links._OF_ACT),
        "memberships": (
            links._MEMBERS_NOW,
            links._MEMBERS_THEN,
            links._EVER_MEMBERS,
            links._EUID_NOW,
            links._EUID_THEN,
        ),
        "reviews": (reviews._TOUCHING, reviews._BY_FACT, reviews._HISTORY, reviews._KEEP_VERSION),
        "trail": (trail._FIND,),
    }
    tables = {table.name for table in INBOX.metadata.sorted_tables}
    with sqlite_store._reader_engine.connect() as connection:
        for statement in (statement for statements in hot.values() for statement in statements):
            sql = str(statement.compile(dialect=dialect.dialect()))
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", (1,) * sql.count("?")).all()
            scanned = [step.detail for step in plan if step.detail.startswith("SCAN")]

            assert not [step for step in scanned if step.split()[1] in tables], sql


@pytest.mark.parametrize("following", [False, True])
def test_the_most_urgent_tasks_are_read_in_the_order_of_their_index(
    sqlite_store: SqlStore, following: bool
) -> None:
    sql = str(reviews._urgent(3, by_kind=True, following=following).compile(dialect=dialect.dialect()))
    with sqlite_store._reader_engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", (1,) * sql.count("?")).all()
    steps = [step.detail for step in plan]

    read = [(step, after) for step, after in pairwise(steps) if step.startswith("SEARCH task")]
    assert ["ix_task_sight_state_priority_id" in step for step, _ in read] == [True] * 3
    assert not any(after.startswith("USE TEMP") for _, after in read)  # only the heads are sorted, together


def test_what_is_erased_is_overwritten(sqlite_store: SqlStore, sqlite_url: str) -> None:
    with sqlite_store.write() as uow:
        message_id, record_id = add_message(uow), add_record(uow, "A", family="ZQXFAMILY")
        told = statement("A", demographics=Demographics(address="ZQXADDRESS" * 2_000))
        statement_id = uow.records.add_statement(record_id, told, message_id=message_id, recorded_at=NOON)
        uow.commit()
    with sqlite_store.write() as uow:
        uow.records.erase(record_id)
        uow.records.erase_statements([statement_id])
        uow.commit()
    sqlite_store.close()

    assert b"ZQX" not in Path(sqlite_url.removeprefix("sqlite:///")).read_bytes()
