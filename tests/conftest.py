"""
The stores under test: SQLite in a file, a PostgreSQL server the tests start themselves, and the fake.

`store` runs a test on all three.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mpi.index.ports import Store
from mpi.store import SqlStore, open_store
from tests.fakes import MemoryStore


class PostgresServer:
    """A PostgreSQL server of the tests' own, reached through a socket in its own directory."""

    def __init__(self, directory: Path, binaries: Path) -> None:
        self._directory = directory
        self._binaries = binaries
        self._databases = 0

    def start(self) -> None:
        """Create the cluster and wait until it answers. Commits are flushed, as in production."""
        self._run(
            "initdb", "-D", self._cluster, "-A", "trust", "-U", "mpi", "-E", "UTF8", "--locale=C.UTF-8", "-N"
        )
        options = f"-c listen_addresses='' -k {self._directory} -c max_connections=60 -c shared_buffers=32MB"
        self._run("pg_ctl", "-D", self._cluster, "-w", "-l", self._directory / "log", "-o", options, "start")
        store = open_store(self.create_database(template="template1"))
        store.close()

    def stop(self) -> None:
        """Stop it without ceremony, if it runs: nothing in it is kept."""
        if (self._cluster / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", self._cluster, "-m", "immediate", "stop")

    def url(self, database: str) -> str:
        """The address of one database."""
        return f"postgresql://mpi@/{database}?host={self._directory}"

    def create_database(self, *, template: str = "test1") -> str:
        """
        The address of a new database; by default a copy of the first, which was migrated and is unused.
        """
        self._databases += 1
        name = f"test{self._databases}"
        self._administer(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database, whoever is connected."""
        name = url.partition("@/")[2].partition("?")[0]
        self._administer(f"DROP DATABASE {name} WITH (FORCE)")

    def _administer(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    @property
    def _cluster(self) -> Path:
        return self._directory / "cluster"

    def _run(self, program: str, *arguments: object) -> None:
        """PostgreSQL refuses to run as root: there its own user runs it."""
        user = {"user": "postgres", "group": "postgres", "extra_groups": ()} if os.getuid() == 0 else {}
        subprocess.run(
            [self._binaries / program, *map(str, arguments)],
            check=True,
            cwd=self._directory,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            timeout=120,
            **user,
        )


def _postgres_binaries() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    packaged = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(packaged, key=lambda found: int(found.parts[-3]), default=None)
    return newest.parent if newest else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for each test process."""
    pytest.importorskip("psycopg", reason="the postgres extra is not installed")
    binaries = _postgres_binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server is installed (initdb not found)")
    # Not under tmp_path: only its own user may look in there, and a socket's path must be short.
    directory = Path(tempfile.mkdtemp(prefix="mpi-pg-"))
    if os.getuid() == 0:
        try:
            owner = pwd.getpwnam("postgres")
        except KeyError:
            pytest.skip("running as root, and there is no user `postgres` to run PostgreSQL")
        os.chown(directory, owner.pw_uid, owner.pw_gid)
    server = PostgresServer(directory, binaries)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/mpi.db"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The address of a migrated, empty database."""
    url = postgres_server.create_database()
    yield url
    postgres_server.drop_database(url)


@pytest.fixture
def sqlite_store(sqlite_url: str) -> Iterator[SqlStore]:
    with open_store(sqlite_url) as store:
        yield store


@pytest.fixture
def postgres_store(postgres_url: str) -> Iterator[SqlStore]:
    with open_store(postgres_url) as store:
        yield store


@pytest.fixture
def memory_store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> Store:
    """Each store in turn."""
    chosen: Store = request.getfixturevalue(f"{request.param}_store")
    return chosen
