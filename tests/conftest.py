"""
The stores under test: SQLite in a file, a PostgreSQL server the tests start themselves, and the fake.

`store` runs a test on all three.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from mpi.index.ports import Store
from mpi.store import SqlStore, open_store
from tests.fakes import MemoryStore

_LIVE_WITH_THE_TESTS = """
directory=$1; shift
"$@" > "$directory/log" 2>&1 &
server=$!
read -r _
kill -QUIT "$server"; wait "$server"
rm -rf -- "$directory"
"""
"""Runs the server until its input is closed, which happens however the tests end, and cleans up."""


class PostgresServer:
    """A PostgreSQL server of the tests' own, reached through a socket in its own directory."""

    def __init__(self, directory: Path, binaries: Path, settings: Mapping[str, object]) -> None:
        self._directory = directory
        self._binaries = binaries
        self._settings = {
            "listen_addresses": "''",
            "max_connections": 60,
            "shared_buffers": "32MB",
            "fsync": "off",
            **settings,
        }
        self._databases = 0
        self._guardian: subprocess.Popen[bytes] | None = None
        # PostgreSQL refuses to run as root: there its own user runs it.
        self._user = {"user": "postgres", "group": "postgres", "extra_groups": ()} if os.getuid() == 0 else {}

    def start(self) -> None:
        """Create the cluster and wait until it answers. It does not flush: its life is one test run."""
        initdb = [
            self._binaries / "initdb",
            "-D",
            self._cluster,
            "-A",
            "trust",
            "-U",
            "mpi",
            "-E",
            "UTF8",
            "-N",
        ]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "cwd": self._directory}
        subprocess.run([*initdb, "--locale=C.UTF-8"], check=True, timeout=120, **quiet, **self._user)
        lines = [f"{name} = {value}" for name, value in self._settings.items()]
        # In its file rather than on the command line, so that `set_fsync` can change it.
        (self._cluster / "postgresql.conf").write_text(
            "\n".join([*lines, f"unix_socket_directories = '{self._directory}'"])
        )
        self._guardian = subprocess.Popen(
            [
                "sh",
                "-c",
                _LIVE_WITH_THE_TESTS,
                "sh",
                self._directory,
                self._binaries / "postgres",
                "-D",
                self._cluster,
            ],
            stdin=subprocess.PIPE,
            cwd=self._directory,
            start_new_session=True,
            **self._user,
        )
        self._wait_until_it_answers()
        open_store(self.create_database(template="template1"), allow_unsafe=True).close()

    def stop(self) -> None:
        """Stop it without ceremony, if it runs: nothing in it is kept."""
        if self._guardian is not None:
            self._guardian.communicate(timeout=60)

    def url(self, database: str) -> str:
        """The address of one database."""
        return f"postgresql://mpi@/{database}?host={self._directory}"

    def create_database(self, *, template: str = "test1", options: str = "") -> str:
        """
        The address of a new database; by default a copy of the first, which was migrated and is unused.
        """
        self._databases += 1
        name = f"test{self._databases}"
        self.administer(f"CREATE DATABASE {name} TEMPLATE {template} {options}")
        return self.url(name)

    def drop_database(self, url: str) -> None:
        """Drop a database, whoever is connected."""
        name = url.partition("@/")[2].partition("?")[0]
        self.administer(f"DROP DATABASE {name} WITH (FORCE)")

    def set_fsync(self, value: str) -> None:
        """Make the server flush its commits, or not."""
        self.administer(f"ALTER SYSTEM SET fsync = {value}")
        self.administer("SELECT pg_reload_conf()")
        for _ in range(500):
            if self.administer("SHOW fsync") == value:
                return
            time.sleep(0.01)
        raise TimeoutError("fsync did not change")

    def disconnect_everybody(self) -> None:
        """Break every connection to the databases under test, as a restart of the server would."""
        self.administer(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname LIKE 'test%'"
        )

    def administer(self, statement: str) -> object:
        """Run one statement outside the databases under test, and return what it answers, if anything."""
        import psycopg

        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            answer = connection.execute(statement)
            return next(iter(answer))[0] if answer.description else None

    def _wait_until_it_answers(self, *, patience_seconds: float = 60.0) -> None:
        import psycopg

        deadline = time.monotonic() + patience_seconds
        while True:
            try:
                self.administer("SELECT 1")
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
            else:
                return

    @property
    def _cluster(self) -> Path:
        return self._directory / "cluster"


def _postgres_binaries() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    packaged = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(packaged, key=lambda found: int(found.parts[-3]), default=None)
    return newest.parent if newest else None


@contextmanager
def running_postgres(**settings: object) -> Iterator[PostgresServer]:
    """A server of its own, with some settings."""
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
    server = PostgresServer(directory, binaries, settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for each test process."""
    with running_postgres() as server:
        yield server


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
    with open_store(postgres_url, allow_unsafe=True) as store:
        yield store


@pytest.fixture
def memory_store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> Store:
    """Each store in turn."""
    chosen: Store = request.getfixturevalue(f"{request.param}_store")
    return chosen
