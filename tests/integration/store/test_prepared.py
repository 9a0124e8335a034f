"""A statement that was met before is prepared, and nobody can tell but by the clock."""

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Dialect, Executable, bindparam, case, func, insert, select, union, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

import mpi.store
from mpi.errors import StoreError
from mpi.store import SqlStore
from mpi.store.prepared import Prepared
from mpi.store.session import Session
from mpi.store.tables import AUDIT, HARVEST_PROGRESS, META, RELINK
from tests.conftest import PostgresServer
from tests.integration.store.examples import NOON

FAR = timedelta(days=400)


@pytest.fixture(
    params=[pytest.param("sqlite_store"), pytest.param("postgres_store", marks=pytest.mark.postgres)]
)
def sql_store(request: pytest.FixtureRequest) -> SqlStore:
    store: SqlStore = request.getfixturevalue(request.param)
    return store


@pytest.fixture
def session(sql_store: SqlStore) -> Iterator[Session]:
    """What a unit of work runs its statements through."""
    with sql_store.write() as uow:
        yield uow._session  # type: ignore[attr-defined]


def audit_row(sequence: int, *, at: datetime = NOON, actor: str = "x\x00\ud800é") -> dict[str, object]:
    said = {"list": [1, None], "text": "\x00"}
    row = {"sequence": sequence, "previous_hash": "", "hash": "h", "at": at, "actor": actor, "details": said}
    return {**row, "action": "U", "kind": "k", "subject": "s"}


def test_values_go_in_and_come_out_as_their_types_say_however_often(session: Session) -> None:
    adding, reading = insert(AUDIT), select(AUDIT).order_by(AUDIT.c.sequence)

    for sequence in (1, 2, 3):
        session.change(adding, audit_row(sequence))
        assert [row._asdict() for row in session.rows(reading)] == [audit_row(n + 1) for n in range(sequence)]

    assert [row.sequence for row in session.each(reading)] == [1, 2, 3]


def test_a_query_of_expressions_is_read_as_one_of_columns(session: Session) -> None:
    session.change(insert(AUDIT), audit_row(1))
    both = union(
        select(AUDIT.c.at, AUDIT.c.details).where(AUDIT.c.sequence == bindparam("first")),
        select(AUDIT.c.at, AUDIT.c.details).where(AUDIT.c.sequence > bindparam("first")),
    )
    most = select(func.max(AUDIT.c.at), func.count().label("many")).where(AUDIT.c.sequence <= 1)

    for _ in range(3):
        assert [tuple(row) for row in session.rows(both, {"first": 1})] == [(NOON, audit_row(1)["details"])]
        (newest, many), row = session.rows(most)[0], session.first(most)
        assert (newest, many) == (NOON, 1)
        assert row is not None
        assert row.many == 1


def test_the_first_of_many_rows_and_of_none(session: Session) -> None:
    newest = (
        select(AUDIT.c.sequence)
        .where(AUDIT.c.sequence < bindparam("below"))
        .order_by(AUDIT.c.sequence.desc())
    )
    session.insert_all(AUDIT, [audit_row(n) for n in range(1, 6)])

    for _ in range(3):
        assert session.first(newest, {"below": 5}) == (4,)
        assert session.first(newest, {"below": 1}) is None


def test_an_inserted_row_gives_its_number(session: Session) -> None:
    adding = insert(RELINK)
    row = {"model_version": "m", "started_at": NOON, "started_by": "b", "position": 0, "finished_at": None}

    numbers = [session.insert(adding, row) for _ in range(4)]

    assert numbers == sorted(set(numbers))
    assert [row.id for row in session.rows(select(RELINK).order_by(RELINK.c.id))] == numbers


@pytest.mark.parametrize("count", [1, 2, 5, 6, 40])
def test_rows_inserted_together_are_as_if_one_after_another(session: Session, count: int) -> None:
    rows = [audit_row(n, at=NOON + n * FAR, actor=f"{n}\x00") for n in range(1, count + 1)]

    session.insert_all(AUDIT, rows)

    assert [row._asdict() for row in session.rows(select(AUDIT).order_by(AUDIT.c.sequence))] == rows


def test_a_write_tells_how_many_rows_it_met_with_one_set_of_parameters_or_many(session: Session) -> None:
    session.insert_all(AUDIT, [audit_row(n) for n in (1, 2, 3)])
    upto = update(AUDIT).where(AUDIT.c.sequence <= bindparam("last")).values(kind="met")

    for _ in range(3):
        assert session.change(upto, {"last": 2}) == 2
        assert session.change(upto, {"last": 0}) == 0
        assert session.change(upto, [{"last": 1}, {"last": 3}]) == 4


def test_one_statement_changes_the_columns_it_is_given(session: Session) -> None:
    session.change(insert(AUDIT), audit_row(1))
    change = update(AUDIT).where(AUDIT.c.sequence == bindparam("number"))
    reading = select(AUDIT.c.kind, AUDIT.c.subject)

    for round_ in range(3):
        session.change(change, {"number": 1, "kind": f"k{round_}"})
        session.change(change, {"number": 1, "subject": f"s{round_}"})
        assert session.rows(reading) == [(f"k{round_}", f"s{round_}")]


def test_a_statement_whose_text_depends_on_its_values_stays_right(session: Session) -> None:
    session.insert_all(AUDIT, [audit_row(n) for n in (1, 2, 3)])
    among = select(AUDIT.c.sequence).where(AUDIT.c.sequence.in_(bindparam("wanted", expanding=True)))

    for wanted in ([1], [1, 3], [], [2, 3, 1]):
        assert sorted(row[0] for row in session.rows(among, {"wanted": wanted})) == sorted(wanted)


def test_a_value_that_its_type_refuses_is_the_callers_mistake(session: Session) -> None:
    reading = select(AUDIT.c.sequence).where(AUDIT.c.at == bindparam("at"))

    for _ in range(3):
        with pytest.raises(ValueError, match="time zone"):
            session.rows(reading, {"at": datetime(2026, 1, 1)})
    session.change(insert(META), {"key": "k", "value": "v"})
    session.commit()


@pytest.mark.parametrize("met_before", [0, 1, 2])
def test_what_the_database_refuses_is_a_store_error_and_ends_the_unit_of_work(
    sql_store: SqlStore, met_before: int
) -> None:
    adding = insert(META)
    with sql_store.write() as uow:
        session = uow._session  # type: ignore[attr-defined]
        for count in range(met_before):
            session.change(adding, {"key": f"other-{count}", "value": "v"})
        session.change(insert(META), {"key": "ZQXID", "value": "v"})
        with pytest.raises(StoreError) as failure:
            session.change(adding, {"key": "ZQXID", "value": "v"})
        with pytest.raises(StoreError):
            session.commit()

    assert "ZQXID" not in repr(failure.value)
    assert failure.value.__cause__ is failure.value.__context__ is None


def test_a_connection_that_dies_under_a_prepared_statement_is_given_up(
    postgres_server: PostgresServer, postgres_store: SqlStore
) -> None:
    reading = select(HARVEST_PROGRESS.c.source)
    for unit_of_work in (postgres_store.write, postgres_store.read):
        with unit_of_work() as uow:
            session = uow._session  # type: ignore[attr-defined]
            for _ in range(3):
                session.rows(reading)
            postgres_server.disconnect_everybody()
            with pytest.raises(StoreError):
                session.rows(reading)
            assert session._connection.invalidated
            with pytest.raises(StoreError):
                session.rows(reading)
        with unit_of_work() as uow:
            assert uow._session.rows(reading) == []  # type: ignore[attr-defined]


def test_a_connection_on_which_somebody_was_interrupted_is_given_up(
    postgres_store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = select(HARVEST_PROGRESS.c.source)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with postgres_store.write() as uow:
        session = uow._session  # type: ignore[attr-defined]
        for _ in range(3):
            session.rows(reading)
        monkeypatch.setattr(Prepared, "_read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.rows(reading)
        assert session._connection.invalidated
    monkeypatch.undo()
    with postgres_store.write() as uow:
        uow._session.change(insert(META), {"key": "k", "value": "v"})  # type: ignore[attr-defined]
        uow.commit()


def test_a_name_that_is_bound_twice_is_converted_where_either_says_how(session: Session) -> None:
    session.change(insert(AUDIT), audit_row(1))
    later = NOON + FAR
    moved = (
        update(AUDIT)
        .where(AUDIT.c.sequence == bindparam("of_sequence"))
        .values(
            at=case(
                (AUDIT.c.at > bindparam("when", type_=AUDIT.c.at.type), AUDIT.c.at), else_=bindparam("when")
            )
        )
        .returning(AUDIT.c.at)
    )

    for hours in range(3):
        row = session.first(moved, {"of_sequence": 1, "when": later + timedelta(hours=hours)})
        assert row is not None
        assert row[0] == later + timedelta(hours=hours)


def statements() -> Iterator[tuple[str, Executable]]:
    """Every statement that a module of the store keeps."""
    for module in pkgutil.iter_modules(mpi.store.__path__, "mpi.store."):
        if not module.ispkg:
            for name, kept in vars(importlib.import_module(module.name)).items():
                if isinstance(kept, Executable) and isinstance(kept, ClauseElement):
                    yield f"{module.name}.{name}", kept


@pytest.mark.parametrize("dialect", [sqlite.dialect(), psycopg.dialect()], ids=["sqlite", "postgresql"])
def test_values_are_converted_by_whatever_would_convert_them_in_sqlalchemy(dialect: Dialect) -> None:
    found = 0
    for name, statement in statements():
        compiled = statement.compile(dialect=dialect)
        assert isinstance(compiled, SQLCompiler)
        if compiled.post_compile_params or compiled.literal_execute_params:
            continue
        found += 1
        names = list(compiled.binds)
        prepared = Prepared(compiled, dialect, names)

        assert {key for key, _ in prepared._converted} == set(compiled._bind_processors), name
        if compiled._result_columns:
            told = [column.type.dialect_impl(dialect) for column in compiled._result_columns]
            assert [*map(type, prepared._types)] == [*map(type, told)], name
    assert found > 150
