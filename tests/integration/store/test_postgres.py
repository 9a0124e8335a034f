"""What holds for PostgreSQL alone."""

from collections.abc import Iterator

import pytest
from sqlalchemy.exc import DBAPIError

from mpi.errors import StoreError
from mpi.store import SqlStore, open_store, postgres
from tests.conftest import PostgresServer
from tests.integration.store.examples import add_message, add_record

pytestmark = pytest.mark.postgres


@pytest.fixture
def flushing_url(postgres_server: PostgresServer, postgres_url: str) -> Iterator[str]:
    """A database on a server that flushes, as a real one does."""
    postgres_server.set_fsync("on")
    yield postgres_url
    postgres_server.set_fsync("off")


def test_a_server_that_does_not_flush_is_refused(postgres_url: str) -> None:
    with pytest.raises(StoreError, match="fsync"):
        open_store(postgres_url)


def test_a_server_that_flushes_is_taken(flushing_url: str) -> None:
    open_store(flushing_url).close()


@pytest.mark.parametrize("setting", ["off", "local"])
def test_a_server_that_answers_before_it_flushed_is_refused(flushing_url: str, setting: str) -> None:
    with pytest.raises(StoreError, match="synchronous_commit"):
        open_store(f"{flushing_url}&options=-csynchronous_commit%3D{setting}")


def test_a_database_of_another_encoding_is_refused(postgres_server: PostgresServer) -> None:
    url = postgres_server.create_database(template="template0", options="ENCODING 'LATIN1' LOCALE 'C'")
    with pytest.raises(StoreError, match="UTF8"):
        open_store(url, allow_unsafe=True)
    postgres_server.drop_database(url)


def test_a_server_that_is_away_is_a_store_error(postgres_url: str) -> None:
    with pytest.raises(StoreError):
        open_store(postgres_url.replace("host=", "host=/nowhere"))


def test_a_reader_cannot_write_even_by_hand(postgres_store: SqlStore) -> None:
    with postgres_store._reader_engine.connect() as connection, pytest.raises(DBAPIError, match="read-only"):
        connection.exec_driver_sql("DELETE FROM inbox")


def test_a_writer_whose_turn_does_not_come_gives_up(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two stores on one database stand for two processes: they share no lock but the database's."""
    with open_store(postgres_url, allow_unsafe=True) as one:
        monkeypatch.setattr(postgres, "WAIT_FOR_WRITER_SECONDS", 0.05)
        with open_store(postgres_url, allow_unsafe=True) as other, one.write() as uow:
            add_message(uow)
            monkeypatch.undo()
            with pytest.raises(StoreError), other.write():
                pass
            uow.commit()


def test_connections_lost_between_units_of_work_are_replaced(
    postgres_server: PostgresServer, postgres_store: SqlStore
) -> None:
    with postgres_store.write() as uow:
        a = add_record(uow, "A")
        uow.commit()
    postgres_server.disconnect_everybody()
    with postgres_store.read() as uow:
        assert uow.records.all_ids() == [a]
    postgres_server.disconnect_everybody()
    with postgres_store.write() as uow:
        add_record(uow, "B")
        uow.commit()


def test_a_connection_lost_in_a_unit_of_work_is_a_store_error(
    postgres_server: PostgresServer, postgres_store: SqlStore
) -> None:
    with postgres_store.write() as uow:
        add_record(uow, "A")
        postgres_server.disconnect_everybody()
        with pytest.raises(StoreError):
            uow.commit()
    with postgres_store.write() as uow, pytest.raises(StoreError):  # noqa: PT012  lost in between
        add_record(uow, "A")
        postgres_server.disconnect_everybody()
        add_record(uow, "B")
    with postgres_store.read() as uow:
        assert uow.records.all_ids() == []
