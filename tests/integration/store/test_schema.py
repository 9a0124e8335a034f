"""Migrations, and what is checked when a store is opened."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import (
    Connection,
    Engine,
    MetaData,
    create_engine,
    delete,
    insert,
    inspect,
    make_url,
    select,
    update,
)

from mpi.errors import FeedError, StoreError, UnreadableMessage, UnsupportedMessage
from mpi.identity.model import Demographics, Urgency
from mpi.index.conservation import Violation, audit
from mpi.index.events import Envelope, Fact, FactKind, IdentityStated, Instruction, MessageState, Receipt
from mpi.index.events import Protocol as Transport
from mpi.index.ports import HarvestCondition, HarvestCursor, Membership
from mpi.index.reception import Reader
from mpi.index.review import LIVE_STATES, TOPIC, TaskKind, TaskState, Topic
from mpi.store import open_store
from mpi.store.schema import (
    _VERSION,
    REVISION,
    alembic_config,
    current_revision,
    euid_secret,
    migrate,
)
from mpi.store.tables import META, metadata
from tests.conftest import PostgresServer
from tests.federation import ReadAs, World, person, statement
from tests.integration.store.examples import NOON, key, later

DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]


def engine_of(url: str) -> Engine:
    address = make_url(url)
    return create_engine(
        address.set(drivername={"postgresql": "postgresql+psycopg"}.get(address.drivername, "sqlite"))
    )


@pytest.fixture(params=DATABASES)
def url(request: pytest.FixtureRequest) -> str:
    """A migrated database."""
    address: str = request.getfixturevalue(f"{request.param}_url")
    open_store(address, allow_unsafe=True).close()
    return address


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    engine = engine_of(url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def test_the_migrations_make_the_tables_of_the_code(connection: Connection) -> None:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "target_metadata": metadata})

    assert compare_metadata(context, metadata) == []


@pytest.mark.parametrize("database", DATABASES)
def test_the_migrations_make_the_same_indexes_and_constraints(
    request: pytest.FixtureRequest, database: str
) -> None:
    """compare_metadata does not look at the conditions of partial indexes, nor at SQLite's own options."""
    url: str = request.getfixturevalue(f"{database}_url")
    open_store(url, allow_unsafe=True).close()
    if database == "sqlite":
        other = "sqlite://"
    else:
        server: PostgresServer = request.getfixturevalue("postgres_server")
        other = server.create_database(template="template1")
    migrated, created = engine_of(url), engine_of(other)
    with migrated.connect() as left, created.connect() as right:
        metadata.create_all(right)

        assert _described(left) == _described(right)
    migrated.dispose()
    created.dispose()


def _described(connection: Connection) -> dict[str, Any]:
    """What matters of each table: not the order of its columns, and not what SQLite calls a foreign key."""
    inspector = inspect(connection)
    unnamed = {"name": None} if connection.dialect.name == "sqlite" else {}
    return {
        table.name: (
            sorted(
                ({**column, "type": str(column["type"])} for column in inspector.get_columns(table.name)),
                key=lambda column: str(column["name"]),
            ),
            sorted(_index_described(index) for index in inspector.get_indexes(table.name)),
            inspector.get_pk_constraint(table.name),
            sorted(
                ({**constraint, **unnamed} for constraint in inspector.get_foreign_keys(table.name)),
                key=lambda constraint: constraint["constrained_columns"],
            ),
            inspector.get_unique_constraints(table.name),
            inspector.get_table_options(table.name),
        )
        for table in metadata.sorted_tables
    }


def _index_described(index: Mapping[str, Any]) -> list[str]:
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return [str(item) for item in sorted({**index, "dialect_options": options}.items())]


def test_the_code_is_at_the_newest_revision() -> None:
    assert ScriptDirectory.from_config(alembic_config()).get_heads() == [REVISION]


def test_the_first_version_of_the_schema_is_brought_up_to_date_with_what_is_in_it() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(insert(META), {"key": "euid_secret", "value": "00" * 32})
        migrate(connection)

        assert current_revision(connection) == REVISION
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        assert euid_secret(connection) == bytes(32)
    engine.dispose()


EARLIER = NOON.isoformat(timespec="microseconds")
LATER = later(5).isoformat(timespec="microseconds")
DECIDED = {"state": "decided", "verdict": "different", "reviewer": "é", "changed_at": LATER}


def task(task_id: int, kind: str, left_id: int, right_id: int, **values: Any) -> dict[str, Any]:
    return {
        "id": task_id,
        "kind": kind,
        "left_id": left_id,
        "right_id": right_id,
        "state": "open",
        "reason": "twins",
        "weight_bits": 3.25,
        "version": task_id,
        "opened_at": EARLIER,
        "changed_at": EARLIER,
        "verdict": None,
        "reviewer": "",
        "fact_id": None,
        **values,
    }


OLD_ROWS: dict[str, list[dict[str, Any]]] = {
    "meta": [{"key": "euid_secret", "value": "00" * 32}],
    "inbox": [
        {
            "id": 1,
            "protocol": "hl7v2",
            **dict.fromkeys(("source", "application", "facility", "control_id", "content_hash"), "x"),
            **dict.fromkeys(("event", "place", "problem", "error"), ""),
            "original": True,
            "state": "applied",
            "received_at": EARLIER,
            "warnings": "[]",
            "raw": b"MSH",
            "reply": b"MSA",
        }
    ],
    "source_record": [
        {
            "id": number,
            "domain": key("A").domain,
            "value": value,
            "native_euid": f"EUID-{value}",
            "fold_token": number,
            "first_event_time": EARLIER,
            "traits": "{}",
            "demographics": '{"sex":"F"}',
        }
        for number, value in enumerate("ABC", start=1)
    ],
    "statement": [
        {
            "id": 1,
            "record_id": 1,
            "message_id": 1,
            "event_time": EARLIER,
            "recorded_at": LATER,
            "stated": '{"identifier":{},"source":"SIH","witness":"feed","demographics":{"sex":"F"}}',
        }
    ],
    "blocking_key": [{"key": 7, "record_id": 1}],
    "fact": [
        {
            "id": 1,
            "kind": "different",
            "left_domain": key("A").domain,
            "left_value": "A",
            "right_domain": key("B").domain,
            "right_value": "B",
            "actor": "user:é",
            "reason": "",
            "event_time": EARLIER,
            "recorded_at": EARLIER,
            "withdrawn_by": "",
        }
    ],
    "membership": [{"id": 1, "record_id": 1, "euid": "EUID-A", "valid_from": EARLIER}],
    "task": [
        task(1, "potential_link", 1, 2, **DECIDED, fact_id=1),
        task(2, "refused_link", 1, 2),
        task(3, "conflict", 1, 2),
        task(4, "ins_collision", 1, 3, **DECIDED),
        task(5, "potential_link", 1, 3, state="obsolete"),
        task(6, "duplicate_in_domain", 2, 3, state="waiting"),
        task(7, "oversized_block", 3, 3),
    ],
}


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database nobody migrated."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    address = server.create_database(template="template1")
    yield address
    server.drop_database(address)


@pytest.fixture
def fresh_url(empty_url: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Another database, beside the empty one and of the same kind."""
    if empty_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path}/fresh.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    address = server.create_database(template="template1")
    yield address
    server.drop_database(address)


@pytest.fixture(params=["0001", "0002"])
def old_url(request: pytest.FixtureRequest, empty_url: str) -> str:
    """A database of an older version, with rows in it."""
    engine = engine_of(empty_url)
    config = alembic_config()
    with engine.connect() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, request.param)
        tables = MetaData()
        tables.reflect(connection)
        for name, rows in OLD_ROWS.items():
            for row in rows:
                connection.execute(insert(tables.tables[name]), row)
        connection.commit()
    engine.dispose()
    return empty_url


def test_what_an_older_version_stored_is_read_after_the_migration(old_url: str) -> None:
    with open_store(old_url, allow_unsafe=True) as store, store.read() as uow:
        a = uow.records.by_key(key("A"))
        [stated] = uow.records.statements(1)
        candidates = uow.records.candidates([7], excluding=None, block_cap=9, past=True)
        [fact] = uow.facts.standing([key("B")])

        assert a is not None
        assert uow.records.epochs(*key("A")[:2]) == [a]
        assert (a.key, a.first_event_time, a.urgency, a.held_since) == (key("A"), NOON, Urgency.NONE, None)
        assert a.demographics == Demographics(sex="F")
        assert (stated.statement.key, stated.statement.urgency) == (key("A"), Urgency.NONE)
        assert candidates.records == (a,)
        assert fact == Fact(
            1, FactKind.DIFFERENT, key("A"), key("B"), "user:é", event_time=NOON, recorded_at=NOON
        )
        assert uow.memberships.history(1) == [Membership(1, "EUID-A", NOON, None)]
        assert uow.inbox.get(1) is not None
        assert uow.relinks.all() == []


def test_tasks_of_an_older_version_become_one_for_each_topic(old_url: str) -> None:
    with open_store(old_url, allow_unsafe=True) as store, store.write() as uow:
        tasks = uow.reviews.page(states=tuple(TaskState))
        kept = {task.id: (task.key.topic, task.kind, task.state, task.version) for task in tasks}

        assert kept == {
            2: (Topic.LINK, TaskKind.REFUSED_LINK, TaskState.OPEN, 2),
            3: (Topic.CONFLICT, TaskKind.CONFLICT, TaskState.OPEN, 3),
            4: (Topic.LINK, TaskKind.INS_COLLISION, TaskState.DECIDED, 4),
            6: (Topic.DUPLICATE, TaskKind.DUPLICATE_IN_DOMAIN, TaskState.WAITING, 6),
            7: (Topic.BLOCK, TaskKind.OVERSIZED_BLOCK, TaskState.OPEN, 7),
        }
        assert uow.reviews.history(kept) == tasks
        assert uow.reviews.urgent(states=LIVE_STATES) == [t for t in tasks if t.state in LIVE_STATES]
        changed = uow.reviews.change(tasks[0], at=later(9))
        assert uow.reviews.history([2]) == [tasks[0], changed]


def test_every_kind_of_task_of_an_older_version_has_the_topic_it_has_today() -> None:
    revision = ScriptDirectory.from_config(alembic_config()).get_revision("0003")
    assert revision is not None
    topics: Mapping[str, str] = revision.module.TOPICS

    assert {kind: TOPIC[TaskKind(kind)] for kind in topics} == topics


def fresh_journal(world: World) -> None:
    """Messages of every state that version 0007 knew, replayed with and without success."""
    taken = ReadAs(IdentityStated((statement("A", "2", person()),)))

    def receive(control_id: str, error: type[FeedError], source: str = "ris-a") -> int:
        envelope = Envelope(Transport.HL7V2, source, "RIS", "F", control_id, control_id, b"raw", "ADT^A28")
        reader = Failing(error)
        return world.registry.receive(envelope, lambda: reader.read(envelope), lambda _: b"AE").message_id

    def replay(message_id: int, reader: Reader) -> int:
        world.clock.at += timedelta(hours=2)
        return world.registry.replay(message_id, reader, actor="replay").message_id

    world.state("A", "1", person(), control_id="applied")
    world.state("A", "1", person(), control_id="applied")
    receive("left alone", UnreadableMessage)
    receive("left alone, too", UnsupportedMessage, "ris-b")
    replay(receive("once", UnreadableMessage), taken)
    refused = receive("three times", UnsupportedMessage, "ris-b")
    replay(refused, Failing(UnreadableMessage))
    again = replay(refused, Failing(UnreadableMessage))
    replay(again, taken)


class Failing:
    """`reception.Reader` of what cannot be read."""

    def __init__(self, error: type[FeedError]) -> None:
        self._error = error

    def read(self, _envelope: Envelope) -> Instruction:
        raise self._error("PID^1^3", "é")

    def reply(self, _envelope: Envelope, _receipt: Receipt) -> bytes:
        return b"AE"


ADDED_BY_0008 = frozenset({"repeats", "settled_at", "settled_by", "settled_reason"})


def rows_of(connection: Connection, tables: MetaData, name: str) -> list[dict[str, Any]]:
    """In the order of their keys: what a row refers to in its own table comes before it."""
    table = tables.tables[name]
    return [dict(row) for row in connection.execute(select(table).order_by(*table.primary_key)).mappings()]


def put_back(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the journal as version 0007 left it: a message replayed with success was as stopped as before."""
    stopped = "refused" if row["error"] == UnsupportedMessage.__name__ else "quarantined"
    state = stopped if row["state"] == MessageState.REPAIRED else row["state"]
    return {**{name: row[name] for name in row.keys() - ADDED_BY_0008}, "state": state}


def test_the_journal_of_version_0007_becomes_what_today_would_have_kept(
    empty_url: str, fresh_url: str
) -> None:
    with open_store(fresh_url, allow_unsafe=True) as store:
        fresh_journal(World(store))
    new, old = engine_of(fresh_url), engine_of(empty_url)
    today, before = MetaData(), MetaData()
    with new.connect() as fresh, old.connect() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "0007")
        today.reflect(fresh)
        before.reflect(connection)
        for table in before.sorted_tables:
            if table.name == "alembic_version":
                continue
            for row in rows_of(fresh, today, table.name):
                connection.execute(insert(table), put_back(row) if table.name == "inbox" else row)
        connection.execute(
            insert(before.tables["harvest_progress"]),
            {"source": "pacs-a", "skip": 3, "updated_at": NOON.isoformat(timespec="microseconds")},
        )
        connection.commit()
        kept = {name: rows_of(fresh, today, name) for name in ("inbox", "feed_count")}
    with open_store(empty_url, allow_unsafe=True) as store:
        violations: list[Violation] = []
        audited = audit(store, on_violation=violations.append)
        with store.read() as uow:
            cursor, condition = uow.harvests.get("pacs-a"), uow.harvests.condition("pacs-a")
            waiting, tried = uow.waiting.all(), uow.attempts.all()
    with old.connect() as connection:
        upgraded = {name: rows_of(connection, today, name) for name in kept}
    new.dispose()
    old.dispose()

    assert len({row["state"] for row in kept["inbox"]}) == 5
    for row in kept["inbox"]:
        row["repeats"] = None  # what a duplicate repeats is found by its name
    assert upgraded["inbox"] == kept["inbox"]
    assert counted(upgraded["feed_count"]) == counted(kept["feed_count"])
    assert (violations, audited.messages, waiting, tried) == ([], len(kept["inbox"]), [], {})
    assert (cursor, condition) == (HarvestCursor(None, 3), HarvestCondition())


def counted(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The counts that say something: a state that messages left is counted down to nothing."""
    return sorted(
        tuple(row[name] for name in ("source", "hour", "state", "place", "problem", "count"))
        for row in rows
        if row["count"]
    )


def test_a_schema_newer_than_the_code_is_refused(url: str, connection: Connection) -> None:
    connection.execute(update(_VERSION).values(version_num="9999"))
    connection.commit()
    for may_migrate in (True, False):
        with pytest.raises(StoreError, match="newer"):
            open_store(url, migrate=may_migrate, allow_unsafe=True)


def test_an_empty_database_is_refused_unless_it_may_be_migrated() -> None:
    with pytest.raises(StoreError, match="migration"):
        open_store("sqlite://", migrate=False)


def test_the_secret_is_drawn_once(url: str) -> None:
    with (
        open_store(url, allow_unsafe=True) as one,
        open_store(url, migrate=False, allow_unsafe=True) as other,
    ):
        assert one.euid_secret == other.euid_secret
        assert len(one.euid_secret) == 32
    with open_store("sqlite://") as one, open_store("sqlite://") as other:
        assert one.euid_secret != other.euid_secret


def test_a_lost_secret_is_not_replaced(url: str, connection: Connection) -> None:
    connection.execute(delete(META))
    connection.commit()
    with pytest.raises(StoreError, match="secret"):
        open_store(url, allow_unsafe=True)
