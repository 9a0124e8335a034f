"""Snapshots, turns between processes, and a process that dies: on both databases."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mpi.index.audit import first_break
from mpi.store import SqlStore, open_store
from tests.integration.store.examples import add_record

ROOT = Path(__file__).parents[3]
DATABASES = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]

TAKE_TURNS = """
import sys
from mpi.store import open_store
from tests.integration.store.examples import key

with open_store(sys.argv[1], allow_unsafe=True) as store:
    for _ in range(25):
        with store.write() as uow:
            count = len(uow.records.all_ids())
            uow.records.add(key(f"R{count}"), f"E{count}")
            uow.commit()
"""

ACKNOWLEDGE = """
import sys
from mpi.store import open_store
from tests.integration.store.examples import add_message, event

store = open_store(sys.argv[1], allow_unsafe=True)
while True:
    with store.write() as uow:
        message_id = add_message(uow)
        uow.audit.append(event(message_id))
        uow.commit()
    print(message_id, flush=True)
"""


def child(program: str, url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, url],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("database", DATABASES)
def test_a_reader_sees_one_instant(request: pytest.FixtureRequest, database: str) -> None:
    store: SqlStore = request.getfixturevalue(f"{database}_store")

    def write() -> None:
        with store.write() as uow:
            add_record(uow, "A", keys=(1,))
            uow.commit()

    with store.read() as uow:
        before = uow.records.all_ids()
        writer = threading.Thread(target=write)
        writer.start()
        writer.join(30)
        during = uow.records.all_ids()
        candidates = uow.records.candidates([1], excluding=None, block_cap=9)
    with store.read() as uow:
        after = uow.records.all_ids()

    assert (len(before), len(during), len(candidates.records), len(after)) == (0, 0, 0, 1)


@pytest.mark.parametrize("database", DATABASES)
def test_writers_of_two_processes_take_turns(request: pytest.FixtureRequest, database: str) -> None:
    """Each reads the last number and writes the next: without turns, two would read the same."""
    url: str = request.getfixturevalue(f"{database}_url")
    children = [child(TAKE_TURNS, url) for _ in range(2)]
    codes = [process.wait(120) for process in children]
    for process in children:
        assert process.stdout is not None
        process.stdout.close()
    with open_store(url, allow_unsafe=True) as store, store.read() as uow:
        assert codes == [0, 0]
        assert len(uow.records.all_ids()) == 50


@pytest.mark.parametrize("database", DATABASES)
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(
    request: pytest.FixtureRequest, database: str
) -> None:
    url: str = request.getfixturevalue(f"{database}_url")
    acknowledged: set[int] = set()
    for _ in range(2):
        process = child(ACKNOWLEDGE, url)
        assert process.stdout is not None
        acknowledged.add(int(process.stdout.readline()))
        time.sleep(random.uniform(0.0, 0.2))
        process.send_signal(signal.SIGKILL)
        heard = process.stdout.read().split("\n")
        acknowledged.update(int(line) for line in heard[:-1])  # the last may be cut short
        process.wait(30)
        process.stdout.close()
        with open_store(url, allow_unsafe=True) as store, store.read() as uow:
            kept = {message.id for message in uow.inbox.page(limit=1_000_000)}
            audited = {item.event.subject for item in uow.audit.chain()}

            assert acknowledged <= kept
            assert audited == {f"record/{message_id}" for message_id in kept}
            assert first_break(uow.audit.chain()) is None
