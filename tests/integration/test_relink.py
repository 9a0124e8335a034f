"""`mpi relink`: what it says it will do, what it does, and that it can be stopped anywhere."""

import json
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mpi.cli import app
from mpi.errors import LinkConflict
from mpi.index.audit import first_break
from mpi.index.models import activate
from mpi.index.relinking import (
    LARGE_SET,
    RECORDS_PER_TRANSACTION,
    SURE,
    SURPRISES_SHOWN,
    SurpriseKind,
    preview,
    relink,
    unfinished,
)
from mpi.index.review import LIVE_STATES, Verdict
from mpi.index.verification import Check, verify
from mpi.matching.decision import Thresholds
from mpi.matching.files import write_model
from mpi.matching.model import MatchModel
from mpi.store import open_store
from tests.fakes import MemoryStore
from tests.federation import START, World, key, person
from tests.integration.running import a28, configuration
from tests.integration.test_verify import OTHERS, QUALIFIED, RULE, fill

DEFAULT = MatchModel.default()
STRICT = replace(DEFAULT, version="strict-1", thresholds=Thresholds(12.0, 16.75, contradiction_bits=-2.95))
"""Links that only names and a birth place hold become questions."""
NOTHING = replace(DEFAULT, version="nothing-1", thresholds=Thresholds(500.0, 600.0, contradiction_bits=-2.95))
TIMID = replace(
    DEFAULT,
    version="timid-1",
    parameters={
        **DEFAULT.parameters,
        "family_name": {
            level: odds._replace(m=odds.u) for level, odds in DEFAULT.parameters["family_name"].items()
        },
    },
)
"""Family names say nothing: other weights everywhere, and other judgements on held statements."""
MODELS = {model.version: model for model in (STRICT, TIMID)}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A database file, closed: a little of everything, and some people of three sites."""
    path = tmp_path_factory.mktemp("filled") / "mpi.db"
    with open_store(f"sqlite:///{path}") as store:
        world = fill(World(store, rule=RULE))
        for number in range(RECORDS_PER_TRANSACTION):
            born = f"19{50 + number % 40}-0{1 + number % 9}-1{number % 7}"
            who = person(f"{OTHERS[number % 6].names[0].family}{'LEA'[number % 3]}", "ALIX", born)
            world.state("A", f"7{number}", who)
            world.state("B", f"7{number}", replace(who, birth_place_code=""))
    return path


@pytest.fixture
def copy(filled, tmp_path):
    return Path(shutil.copy(filled, tmp_path / "mpi.db"))


@pytest.fixture
def world(copy):
    """A live store."""
    with open_store(f"sqlite:///{copy}") as store:
        yield World(store, rule=RULE)


def under(world, model):
    """The same store under another model, which is activated; None is the default one."""
    activate(world.store, model, actor="user:anne", clock=world.clock)
    return World(world.store, model=model or DEFAULT, rule=RULE, clock=world.clock)


def links(world):
    """Every two records of one set."""
    with world.store.read() as uow:
        euids = uow.memberships.current(uow.records.all_ids())
    return {pair for pair in combinations(sorted(euids), 2) if euids[pair[0]] == euids[pair[1]]}


def predicted(world):
    found = []
    result = preview(world.store, world.registry, on_link=found.append)
    gained, lost = (
        {(one.left_id, one.right_id) for one in found if one.gained is is_gain} for is_gain in (True, False)
    )
    assert (len(gained), len(lost)) == (result.gained, result.lost)
    return result, gained, lost


def everything(world):
    """The state that two runs are compared by: all but when and in which order it came about."""
    with world.store.read() as uow:
        ids = uow.records.all_ids()
        edges, records = uow.edges.touching(ids), uow.records.by_ids(ids)
        keys, tasks = uow.records.blocking_keys(ids), uow.reviews.touching(ids)
    live = [task for task in tasks if task.state in LIVE_STATES]
    asked = {(task.key, task.kind, task.reason, task.weight_bits, task.priority) for task in live}
    return {"edges": edges, "records": records, "keys": keys, "tasks": asked, "euids": world.euids()}


def differences(world):
    found = []
    verify(world.store, world.registry, on_difference=found.append)
    return found


def run(world, **options):
    return relink(world.store, world.registry, world.clock, actor="user:anne", **options)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_run_does_what_its_preview_says_and_verifies(world, model):
    before = links(world)
    now = under(world, model)
    result, gained, lost = predicted(now)
    euids = now.euids()
    done = run(now)
    after = links(now)

    assert gained == after - before
    assert lost == before - after
    assert gained | lost
    assert result.links == len(before)
    assert result.changed_share == pytest.approx(len(gained | lost) / len(before | after))
    assert result.moved == sum(euids[name] != euid for name, euid in now.euids().items())
    assert done.finished_at is not None
    assert unfinished(now.store, now.registry) is None
    assert differences(now) == []
    assert predicted(now)[1:] == (set(), set())


def test_without_a_run_the_store_is_of_another_model(world):
    now = under(world, TIMID)

    assert Check.OTHER_MODEL in {one.check for one in differences(now)}


def test_a_preview_writes_nothing(copy):
    with open_store(f"sqlite:///{copy}") as store:
        now = under(World(store, rule=RULE), STRICT)
    before = copy.read_bytes()
    with open_store(f"sqlite:///{copy}") as store:
        preview(store, World(store, model=STRICT, rule=RULE).registry)
        assert now.store is not store
    assert copy.read_bytes() == before


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_what_people_and_sources_said_stands(world, model):
    facts = world.registry.facts(limit=1000)
    now = under(world, model)
    run(now)

    assert now.registry.facts(limit=1000) == facts
    assert now.together(("A", "12"), ("C", "12"))  # same
    assert not now.together(("A", "13"), ("C", "13"))  # homonyms
    assert not now.together(("A", "1"), ("B", "1"))  # split


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_there_and_back_again_is_where_it_began(world, model):
    before = everything(world)
    lost = predicted(under(world, model))[2]
    run(under(world, model))
    back = under(world, None)
    _, gained, _ = predicted(back)
    run(back)

    assert gained == lost
    assert everything(back) == before
    assert differences(back) == []


class Stopped(Exception):
    """As when a process is killed between two transactions."""


@pytest.mark.parametrize("at", range(1, 5))
def test_a_run_that_is_stopped_goes_on_where_it_was(filled, tmp_path, at):
    steps = []

    def stop(*step):
        steps.append(step)
        if len(steps) == at:
            raise Stopped

    whole, stopped = (shutil.copy(filled, tmp_path / f"{name}.db") for name in ("whole", "stopped"))
    with open_store(f"sqlite:///{whole}") as store:
        now = under(World(store, rule=RULE), TIMID)
        run(now)
        expected = everything(now)
    with open_store(f"sqlite:///{stopped}") as store:
        now = under(World(store, rule=RULE), TIMID)
        with pytest.raises(Stopped):
            run(now, on_progress=stop)
        begun = unfinished(store, now.registry)
        done = run(now)

        assert begun is not None
        assert done.id == begun.id
        assert everything(now) == expected
        assert differences(now) == []


def test_it_leaves_its_trace(world):
    now = under(world, STRICT)
    done = run(now)
    with now.store.read() as uow:
        chain = list(uow.audit.chain())
        causes = {item.cause for i in uow.records.all_ids() for item in uow.memberships.history(i)}
    told = [item.event for item in chain if item.event.kind == "model.relinked"]

    assert first_break(chain) is None
    assert [(event.subject, event.details["phase"]) for event in told] == [
        (f"relink/{done.id}", "begun"),
        (f"relink/{done.id}", "ended"),
    ]
    assert {event.actor for event in told} == {"user:anne"}
    assert f"relink/{done.id}" in causes


def test_a_stopped_run_to_another_model_is_ended(world):
    now = under(world, STRICT)

    def stop(*_):
        raise Stopped

    with pytest.raises(Stopped):
        run(now, on_progress=stop)
    then = under(world, TIMID)
    assert unfinished(then.store, then.registry) is None
    done = run(then)
    with then.store.read() as uow:
        runs = uow.relinks.all()

    assert [one.model_version for one in runs] == ["strict-1", "timid-1"]
    assert all(one.finished_at is not None for one in runs)
    assert runs[-1].id == done.id
    assert differences(then) == []


def test_messages_arrive_meanwhile(world):
    now = under(world, TIMID)
    sent = []

    def send(*_):
        number = str(900 + len(sent))
        sent.append(now.state("C", number, OTHERS[len(sent) % len(OTHERS)]))
        now.state("A", f"7{len(sent)}", person("AILLEURS", "ZOE", "2011-11-11"), minute=99)

    run(now, on_progress=send)

    assert len(sent) > 3
    assert differences(now) == []


def test_two_at_once_are_refused(world):
    now = under(world, STRICT)
    steps = []

    def another(*step):
        steps.append(step)
        if len(steps) == 2:
            run(now)

    with pytest.raises(LinkConflict, match="another process"):
        run(now, on_progress=another)

    assert differences(now) == []


def test_what_is_surprising_comes_first():
    world = World(MemoryStore())
    for number in range(LARGE_SET + 1):
        world.state("ABC"[number % 3], str(number), person(**(QUALIFIED if number == 0 else {})))
    world.registry.relate(Verdict.SAME, key("A", "0"), key("B", "1"), reviewer="anne")
    nothing = under(world, NOTHING)
    apart = preview(world.store, nothing.registry)
    run(nothing)
    together = preview(world.store, under(world, None).registry)

    assert apart.surprising == {SurpriseKind.DECIDED_SET: 1, SurpriseKind.SURE_LINK_LOST: 20}
    assert apart.surprises[0].kind is SurpriseKind.DECIDED_SET
    assert apart.surprises[0].subjects == ("record/1", "record/2")
    assert all(one.probability >= SURE for one in apart.surprises[1:])
    assert together.surprising[SurpriseKind.LARGE_SET] == 1
    assert together.surprising[SurpriseKind.QUALIFIED_LINK_GAINED] == 5
    assert len(together.surprises) <= SURPRISES_SHOWN


@pytest.fixture
def mpi(sqlite_url, tmp_path):
    """Runs a command on an index of one person known to three sites; a model that links nothing became active."""
    config = tmp_path / "mpi.toml"
    config.write_text(configuration(sqlite_url), encoding="utf-8")
    feed = tmp_path / "feed.hl7"
    feed.write_bytes(b"".join(a28(site, "1", f"C{site}") for site in "ABC"))
    write_model(NOTHING, tmp_path / "nothing.json")

    def run_command(*arguments):
        return CliRunner().invoke(app, [*arguments, "--config", str(config)])

    assert run_command("ingest", str(feed)).exit_code == 0
    assert run_command("model", "activate", str(tmp_path / "nothing.json")).exit_code == 0
    return run_command


def test_the_command_refuses_above_the_share_and_then_runs(mpi):
    tried = mpi("relink", "--dry-run", "--json")
    refused = mpi("relink")
    verified = mpi("verify", "--json")
    done = mpi("relink", "--yes", "--by", "anne")
    clean = mpi("verify")
    again = mpi("relink")

    document = json.loads(tried.stdout)
    assert (document["preview"]["gained"], document["preview"]["lost"]) == (0, 3)
    assert document["preview"]["changed_share"] == 1
    assert document["relink"] is None
    assert refused.exit_code == 1
    assert "100.0% of the links change, more than 2.0%" in refused.stderr
    assert verified.exit_code == 1
    assert json.loads(verified.stdout)["found"]["other_model"] == 3
    assert "0 links gained by 0 people, 3 lost by 1, of 3" in done.stdout
    assert "relink 1 is done" in done.stdout
    assert (clean.exit_code, again.exit_code) == (0, 0)
    assert "as the facts make them" in clean.stdout
    assert not any("CHANTEREAU" in one.output for one in (tried, refused, verified, done, clean))


def test_the_share_that_may_change_is_chosen(mpi):
    assert mpi("relink", "--max-changed", "1").exit_code == 0


def test_verify_says_so_when_the_model_cannot_be_read(mpi, sqlite_url):
    with open_store(sqlite_url) as store, store.write() as uow:
        document = {**NOTHING.to_json(), "format": 0}
        uow.models.add(version="old-1", digest="d", document=document, at=START)
        uow.models.activate("old-1", at=START, by="user:anne")
        uow.commit()
    done = mpi("verify", "--json")

    assert done.exit_code == 1
    assert json.loads(done.stdout)["differences"][0]["check"] == "model"
