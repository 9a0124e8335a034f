"""What the two databases share: how a unit of work begins, and how it ends."""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Self

from sqlalchemy import Connection, Engine, Executable
from sqlalchemy.exc import DBAPIError

from mpi.index.audit import AuditEvent
from mpi.index.ports import (
    Attempts,
    AuditTrail,
    Corrections,
    Edges,
    Facts,
    Harvests,
    Inbox,
    Indicators,
    KeptAnswers,
    Keys,
    Memberships,
    Models,
    Outbox,
    Records,
    Relinks,
    Reports,
    Reviews,
    Searches,
    Sequences,
    Sights,
    Studies,
    Subscriptions,
    UnitOfWork,
    Waiting,
)
from mpi.store.answered import SqlKeptAnswers
from mpi.store.commit import GroupCommit
from mpi.store.feeds import SqlHarvests, SqlSequences, SqlStudies
from mpi.store.journal import SqlInbox
from mpi.store.links import SqlEdges, SqlFacts, SqlMemberships
from mpi.store.models import SqlModels
from mpi.store.outbox import SqlOutbox, SqlSubscriptions
from mpi.store.prepared import PreparedStatements
from mpi.store.records import Folds, SqlRecords
from mpi.store.relinks import SqlRelinks
from mpi.store.reports import SqlCorrections, SqlIndicators, SqlReports
from mpi.store.reviews import SqlReviews, SqlSights
from mpi.store.schema import check_schema, euid_secret, migrate
from mpi.store.searches import SqlSearches
from mpi.store.session import Session, guarded
from mpi.store.trail import SqlAuditTrail, SqlKeys
from mpi.store.waiting import SqlAttempts, SqlWaiting

WAIT_FOR_WRITER_SECONDS = 30.0
"""How long a writer waits for its turn before it gives up with StoreError."""

log = logging.getLogger("mpi.store")


class SqlUnitOfWork:
    """`ports.UnitOfWork` on a database."""

    def __init__(self, session: Session, folds: Folds) -> None:
        self._session = session
        self.inbox: Inbox = SqlInbox(session)
        self.records: Records = SqlRecords(session, folds)
        self.edges: Edges = SqlEdges(session)
        self.facts: Facts = SqlFacts(session)
        self.memberships: Memberships = SqlMemberships(session)
        self.reviews: Reviews = SqlReviews(session)
        self.sights: Sights = SqlSights(session)
        self.audit: AuditTrail = SqlAuditTrail(session)
        self.outbox: Outbox = SqlOutbox(session)
        self.keys: Keys = SqlKeys(session)
        self.kept_answers: KeptAnswers = SqlKeptAnswers(session)
        self.models: Models = SqlModels(session)
        self.relinks: Relinks = SqlRelinks(session)
        self.studies: Studies = SqlStudies(session)
        self.harvests: Harvests = SqlHarvests(session)
        self.sequences: Sequences = SqlSequences(session)
        self.reports: Reports = SqlReports(session)
        self.corrections: Corrections = SqlCorrections(session)
        self.indicators: Indicators = SqlIndicators(session)
        self.searches: Searches = SqlSearches(session)
        self.waiting: Waiting = SqlWaiting(session)
        self.attempts: Attempts = SqlAttempts(session)
        self.subscriptions: Subscriptions = SqlSubscriptions(session)

    def commit(self) -> None:
        self._session.commit()


class SqlStore(ABC):
    """
    `ports.Store` on a database. Safe to share between threads; one unit of work per thread at a time.

    Construction asserts the settings durability rests on.
    """

    euid_secret: bytes

    def __init__(self, *, writer: Engine, reader: Engine) -> None:
        self._writer_engine = writer
        self._reader_engine = reader
        self._in_this_thread = threading.local()
        self._prepared_writes = PreparedStatements(writer.dialect)
        self._prepared_reads = PreparedStatements(reader.dialect)
        self._folds = Folds()
        self._traces = GroupCommit(self._append)
        self._beside = ExitStack()

    def migrate(self) -> None:
        """
        Bring the schema to this version's; create it, and the installation's secret, when empty.

        Raises:
            StoreError: the schema is of a newer version, or the migration failed.
        """
        with self._one_at_a_time(), self._writers_turn():
            connection = self._begin_write()
            try:
                migrate(connection)
                guarded(connection.commit)
            finally:
                connection.close()

    def load(self) -> None:
        """
        Check the schema and read what the store keeps about itself.

        Raises:
            StoreError: the schema is older or newer than this version's.
        """
        with self._one_at_a_time(), self._readers_turn():
            connection = self._begin_read()
            try:
                check_schema(connection)
                self.euid_secret = euid_secret(connection)
            finally:
                connection.close()

    @contextmanager
    def write(self) -> Iterator[UnitOfWork]:
        """
        The one writer, waiting its turn.

        Raises:
            StoreError: the store is down, or the turn did not come.
            RuntimeError: this thread already has a unit of work open.
        """
        with self._one_at_a_time(), self._writers_turn():
            session = Session(self._begin_write(), self._prepared_writes, writes=True)
            try:
                yield SqlUnitOfWork(session, self._folds)
            finally:
                session.close()

    @contextmanager
    def read(self) -> Iterator[UnitOfWork]:
        """
        A consistent reader. Nothing can be written in it.

        Raises:
            StoreError: the store is down.
            RuntimeError: this thread already has a unit of work open.
        """
        with self._one_at_a_time(), self._readers_turn():
            session = Session(self._begin_read(), self._prepared_reads, writes=False)
            try:
                yield SqlUnitOfWork(session, self._folds)
            finally:
                session.close()

    def trace(self, event: AuditEvent) -> None:
        """
        Append one audit event, durable when this returns; those of threads that wait together share a commit.

        Raises:
            StoreError: it is not durable, or nobody knows.
            RuntimeError: this thread has a unit of work open.
        """
        if getattr(self._in_this_thread, "busy", False):
            raise RuntimeError("this thread already has a unit of work open")
        self._traces.write(event)

    def _append(self, events: Sequence[AuditEvent]) -> None:
        with self.write() as uow:
            uow.audit.append_all(events)
            uow.commit()

    @abstractmethod
    def claim(self, name: str) -> AbstractContextManager[bool]:
        """
        Whether this holder, and no other of any process, works on something meanwhile.

        The database, or the system, lets go of it when its holder dies.

        Raises:
            StoreError: the store is down.
        """

    def also_close(self, action: Callable[[], object]) -> None:
        """What else ends with the store."""
        self._beside.callback(action)

    def close(self) -> None:
        """Close every connection. The store cannot be used afterwards."""
        self._beside.close()
        self._reader_engine.dispose()
        self._writer_engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def _writers_turn(self) -> AbstractContextManager[None]:
        """Wait until no other writer is at work, as far as it can be known without the database."""

    @abstractmethod
    def _readers_turn(self) -> AbstractContextManager[None]:
        """Wait until a reader may begin; most stores let it begin at once."""

    @abstractmethod
    def _begin_write(self) -> Connection:
        """A connection whose write transaction has begun."""

    @abstractmethod
    def _begin_read(self) -> Connection:
        """A connection whose read transaction has begun."""

    @contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        """Refuse a unit of work inside another: the second would wait for the first for ever."""
        if getattr(self._in_this_thread, "busy", False):
            raise RuntimeError("this thread already has a unit of work open")
        self._in_this_thread.busy = True
        try:
            yield
        finally:
            self._in_this_thread.busy = False


def connect(engine: Engine, *, first: Executable | None = None) -> Connection:
    """
    A connection from the pool with its transaction begun, replacing one that died in the pool.

    Args:
        first: a statement to begin the transaction with, such as one that takes a lock.

    Raises:
        StoreError: the database is away.
    """

    def begun() -> Connection:
        connection = engine.connect()
        try:
            connection.begin()
            if first is not None:
                connection.execute(first)
        except BaseException:
            connection.close()
            raise
        return connection

    def begun_or_again() -> Connection:
        try:
            return begun()
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            return begun()  # nothing was done yet, so trying again is safe; the pool is fresh now

    return guarded(begun_or_again)
