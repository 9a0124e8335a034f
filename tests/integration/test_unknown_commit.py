"""
A COMMIT whose outcome nobody knows is never acknowledged, and what is sent again takes effect exactly once.

With PostgreSQL through a proxy that cuts the connection before or after the COMMIT passes, and with an
SQLite whose disk refuses to write, or to flush.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mpi.errors import StoreError
from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.index.conservation import audit
from mpi.index.events import MessageState
from mpi.index.registry import Registry
from mpi.matching.model import MatchModel
from mpi.settings import load
from mpi.store import open_store
from mpi.wiring import now
from tests.integration.proxy import CommitCutter, Cut
from tests.integration.running import Index, a28, configuration, field, strangers_name


@pytest.fixture
def cutter(postgres_url):
    proxy = CommitCutter(Path(re.search(r"host=([^&]+)", postgres_url)[1]) / ".s.PGSQL.5432")
    yield proxy
    proxy.close()


def through(proxy, url):
    database = re.search(r"@/(\w+)", url)[1]
    return f"postgresql://mpi@127.0.0.1:{proxy.port}/{database}?sslmode=disable&gssencmode=disable"


def sent_until_acknowledged(handler, message, attempts=5):
    """How often a message was left without an answer before it was acknowledged."""
    for unanswered in range(attempts):
        try:
            assert field(handler.handle(message), "MSA", 1) == "AA"
            return unanswered
        except StoreError:
            continue
    raise AssertionError("never acknowledged")


def cut_commits(proxy, url, tmp_path, count):
    """Feed messages whose COMMITs are cut, sending each again until it is acknowledged; checks what is left of them."""
    config = tmp_path / "mpi.toml"
    config.write_text(configuration(url), encoding="utf-8")
    directory = load(config).directory()
    rng = random.Random(5)
    unanswered = 0
    with open_store(through(proxy, url), allow_unsafe=True) as store:
        registry = Registry(store, directory, MatchModel.default(), now)
        handler = Hl7Handler(registry, directory, now)
        for number in range(count):
            proxy.next_cut = rng.choice(list(Cut))
            message = a28("A", f"U{number}", f"U{number}", name=strangers_name(1, number), born=born(number))
            unanswered += sent_until_acknowledged(handler, message)
    with open_store(url, allow_unsafe=True) as store:
        found = []
        result = audit(store, on_violation=found.append)
        with store.read() as uow:
            counts = uow.inbox.counts()["ris-a"]
    assert found == []
    assert result.statements == count
    assert counts[MessageState.APPLIED] == count
    assert proxy.cuts == unanswered == count  # each was left unanswered, and each took effect once
    return counts[MessageState.DUPLICATE]


def born(number):
    return f"19{10 + number % 89}{1 + number % 12:02}{1 + number % 28:02}"


@pytest.mark.postgres
def test_an_unknown_outcome_is_not_acknowledged_and_takes_effect_once(cutter, postgres_url, tmp_path):
    """[I22, I24] The answer of the second time tells which: a COMMIT that had passed makes a duplicate."""
    duplicates = cut_commits(cutter, postgres_url, tmp_path, 40)

    assert 0 < duplicates < 40


@pytest.mark.postgres
@pytest.mark.long
def test_a_thousand_unknown_outcomes(cutter, postgres_url, tmp_path):
    """[I22, I24] The same, a thousand times."""
    assert 300 < cut_commits(cutter, postgres_url, tmp_path, 1_000) < 700


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from tests.integration.test_unknown_commit import feed_a_full_disk
feed_a_full_disk(sys.argv[1])
"""


def feed_a_full_disk(folder):
    """Messages while files may not grow any more, then while they may again: prints what was answered."""
    import resource

    config = Path(folder) / "mpi.toml"
    directory = load(config).directory()
    with open_store(f"sqlite:///{folder}/mpi.db") as store:
        handler = Hl7Handler(Registry(store, directory, MatchModel.default(), now), directory, now)
        answers = []
        for number in range(60):
            if number == 20:
                size = max(file.stat().st_size for file in Path(folder).glob("mpi.db*"))
                resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, resource.RLIM_INFINITY))
            if number == 50:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            try:
                answers.append(field(handler.handle(a28("A", f"F{number}", f"F{number}")), "MSA", 1))
            except StoreError:
                answers.append("none")
    sys.stdout.write("\n" + " ".join(answers))


def test_a_full_disk_is_not_acknowledged_and_the_store_goes_on_once_there_is_room(tmp_path):
    url = f"sqlite:///{tmp_path}/mpi.db"
    Index.at(tmp_path, url)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    answers = done.stdout.splitlines()[-1].split()

    assert answers[:20] == ["AA"] * 20
    assert answers[45:50] == ["none"] * 5
    assert answers[50:] == ["AA"] * 10
    assert {f"F{n}" for n, answer in enumerate(answers) if answer == "AA"} == kept(url)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace, which makes calls fail, is not installed")
@pytest.mark.parametrize("nth", [4, 7])
def test_a_flush_that_fails_is_not_acknowledged(tmp_path, nth):
    url = f"sqlite:///{tmp_path}/mpi.db"
    Index.at(tmp_path, url)
    with open_store(url):
        pass
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    program = (
        "import sys; from tests.integration.test_unknown_commit import feed_a_full_disk as f; f(sys.argv[1])"
    )
    strace = ["strace", "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", "trace=fsync,fdatasync"]
    inject = ["-e", f"inject=fsync,fdatasync:error=EIO:when={nth}+"]
    done = subprocess.run(
        [*strace, *inject, sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )
    answers = done.stdout.splitlines()[-1].split()

    assert "none" in answers, done.stderr[-2000:]
    assert {f"F{n}" for n, answer in enumerate(answers) if answer == "AA"} <= kept(url)
    assert answers.count("AA") < nth


def kept(url):
    with open_store(url) as store:
        found = []
        audit(store, on_violation=found.append)
        assert found == []
        with store.read() as uow:
            return {message.envelope.control_id for message in uow.inbox.page(limit=1000)}
