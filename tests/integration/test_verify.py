"""`mpi verify`: a store filled through the registry is clean, and every planted corruption is named."""

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from mpi.identity.model import PartialDate, Urgency, Witness
from mpi.index.decisions import TwoPersonRule
from mpi.index.events import IdentifiersLinked, IdentityStated, PatientMoved
from mpi.index.models import activate
from mpi.index.review import TaskKind, Topic, Verdict
from mpi.index.verification import Check, verify
from mpi.store import open_store
from tests.federation import START, ReadAs, World, key, merge, person, statement

INS = "284022999912354"
INS_OID = "1.2.250.1.213.1.4.10"
RULE = TwoPersonRule(qualified=True)
QUALIFIED = {"ins": INS, "ins_oid": INS_OID, "identity_codes": ("VALI",)}
OTHERS = (
    person("BARBEROUSSE", "ODILON", "1931-05-07", "M"),
    person("DELAUNAY", "MARGUERITE", "1962-11-23"),
    person("KERGOAT", "YVES", "1975-08-30", "M"),
    person("LEFEBVRE", "SANDRINE", "1990-01-17"),
    person("MOREAU", "ALBERTINE", "1948-12-02"),
    person("NGUYEN", "PAUL", "2001-06-19", "M"),
)


def linked(world, left, right, *, said=True):
    return world.send(IdentifiersLinked(key(*left), key(*right), said, START, "ris-a"), source="ris-a")


def last_question(world, kind):
    """The last live task of a kind."""
    return [task for task in world.tasks() if task.kind is kind][-1]


def fill(world):
    """A little of everything the registry does."""
    kept = replace(world.model, version="kept-1")
    activate(world.store, kept, actor="user:anne", clock=world.clock)
    activate(world.store, None, actor="user:anne", clock=world.clock)
    for site, value in (("A", "1"), ("B", "1"), ("C", "1")):
        world.state(site, value, person())
    world.state("A", "2", person(), minute=1)
    world.merge("A", "1", "2", minute=2)
    world.merge("A", "1", "2", minute=2, control_id="again")
    world.merge("A", "1", "2", minute=2, control_id="again")  # a duplicate
    refused = world.merge("A", "1", "1", minute=3)  # quarantined
    world.registry.replay(refused.message_id, ReadAs(merge("A", "1", "3")), actor="user:anne")
    world.state("B", "2", person(given="LEA"), minute=4)  # a twin
    for number, who in enumerate(OTHERS):
        world.state("A", f"1{number}", who, minute=5)
        world.state("B", f"1{number}", who, minute=6)
    world.state("C", "12", replace(OTHERS[2], birth_place_code=""), minute=7)
    linked(world, ("A", "10"), ("C", "50"))
    linked(world, ("A", "11"), ("B", "11"), said=False)
    world.state("C", "13", person("LEFEVRE", "SANDRINE", "1990-01-17", birth_place_code=""), minute=7)
    world.send(PatientMoved(key("A", "14"), key("A", "15"), START, "ris-a"), source="ris-a")
    world.send(
        IdentityStated((replace(statement("C", "14", OTHERS[4], minute=8), urgency=Urgency.EMERGENCY),)),
        source="ris-c",
    )
    world.state("A", "10", person("ROCHE", "EMMA", "2010-03-03"), minute=9)  # held
    world.state("B", "13", person("VIDAL", "HUGO", "2003-04-04", "M"), minute=9)  # held, then recycled
    world.state("B", "14", person("PETIT", "JADE", "1999-09-09"), minute=9)  # held, then set aside
    for value, verdict in (("13", Verdict.RECYCLED), ("14", Verdict.DIFFERENT)):
        with world.store.read() as uow:
            record = uow.records.by_key(key("B", value))
        task = next(t for t in world.tasks() if t.key.topic is Topic.OVERLAY and t.key.left_id == record.id)
        world.decide(task.id, verdict)
    for number, verdict in enumerate(
        (None, Verdict.UNDECIDED, Verdict.SAME, Verdict.DIFFERENT, Verdict.LEFT_WRONG), start=20
    ):
        who = person(f"GIRARD{'ABCDE'[number - 20] * 3}", "INES", f"198{number % 10}-02-08")
        codes = QUALIFIED if number == 23 else {}
        world.state("A", str(number), replace(who, **codes), minute=10)
        year_only = PartialDate(who.birth_date.year)
        world.state("B", str(number), replace(who, birth_date=year_only, birth_place_code=""), minute=10)
        if verdict is not None:
            world.decide(last_question(world, TaskKind.POTENTIAL_LINK).id, verdict)
    world.registry.relate(Verdict.SAME, key("A", "12"), key("C", "12"), reviewer="anne")
    apart = world.registry.relate(Verdict.DIFFERENT, key("A", "15"), key("B", "15"), reviewer="anne")
    world.registry.relate(Verdict.HOMONYMS, key("A", "13"), key("C", "13"), reviewer="anne")
    world.registry.withdraw(apart[0].id, actor="user:anne")
    world.registry.split([key("C", "1"), key("B", "1")], reviewer="paul")
    world.state("A", "51", person("LECOQ", "ANAIS", "1955-05-05"), minute=11)
    world.state("A", "52", person("LECOQ", "ANAIS", "1955-05-05"), minute=11)
    world.decide(last_question(world, TaskKind.DUPLICATE_IN_DOMAIN).id, Verdict.DISMISSED)
    world.state("C", "30", OTHERS[0], minute=11, control_id="to be erased")
    world.state("C", "30", OTHERS[0], minute=11, control_id="to be erased")
    world.registry.erase(key("C", "30"), reviewer="anne", reason="asked")
    world.state("B", "51", person("LECOQ", "ANAIS", "1955-05-05"), minute=11)
    world.state("B", "51", person("LECOQ", "ANAIS", "1955-05-05"), minute=12)  # nothing new
    header = person("FAURE", "ROSE", "1970-07-07", postal_code="87000")
    world.state("A", "40", header, minute=12, source="pacs-a", witness=Witness.HEADER)
    return world


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A database file, closed."""
    path = tmp_path_factory.mktemp("filled") / "mpi.db"
    with open_store(f"sqlite:///{path}") as store:
        fill(World(store, rule=RULE))
    return path


@pytest.fixture
def copy(filled, tmp_path):
    return Path(shutil.copy(filled, tmp_path / "mpi.db"))


def verified(path, **overrides):
    """What is found in a database file, and the counts."""
    found = []
    with open_store(f"sqlite:///{path}") as store:
        world = World(store, rule=RULE, **overrides)
        result = verify(store, world.registry, on_difference=found.append)
    assert sum(result.found.values()) == len(found)
    return found, result


def test_a_store_filled_through_the_registry_is_clean(copy):
    found, result = verified(copy)

    assert found == []
    assert result.is_clean
    assert min(result.records, result.edges, result.messages, result.tasks, result.facts) > 10


def test_nothing_is_written(copy):
    before = copy.read_bytes()
    with open_store(f"sqlite:///{copy}") as store:
        world = World(store, rule=RULE)
        with closing(sqlite3.connect(copy)) as connection:
            version = connection.execute("PRAGMA data_version").fetchone()
            verify(store, world.registry)

            assert connection.execute("PRAGMA data_version").fetchone() == version

    assert copy.read_bytes() == before


def record(site, value, epoch=0):
    """The id of a record, in SQL."""
    domain = key(site, value).domain
    return f"(SELECT id FROM source_record WHERE (domain, value, epoch) = ('{domain}', '{value}', {epoch}))"


def edge(left, right):
    """The condition that names an edge, in SQL; the records in the order of their ids."""
    return f"left_id = {record(*left)} AND right_id = {record(*right)}"


def named(what, id_):
    return f"SELECT '{what}/' || {id_}"


def named_edge(left, right):
    return f"SELECT 'edge/' || {record(*left)} || '-' || {record(*right)}"


def task(task_id, changed):
    """The same change of a task and of its last version."""
    last = f"SELECT version FROM task WHERE id = {task_id}"
    return (
        f"UPDATE task_version SET {changed} WHERE task_id = {task_id} AND version = ({last});"
        f"UPDATE task SET {changed} WHERE id = {task_id}"
    )


def statement_of(site, value):
    """The last statement of an identifier, in SQL."""
    return f"(SELECT max(id) FROM statement WHERE record_id = {record(site, value)})"


def task_of(kind, state):
    return f"(SELECT min(id) FROM task WHERE (kind, state) = ('{kind}', '{state}'))"


A10, A40, B10, A13, C13, C14 = (
    record(*name) for name in (("A", "10"), ("A", "40"), ("B", "10"), ("A", "13"), ("C", "13"), ("C", "14"))
)
PAIR = ("A", "10"), ("B", "10")
SPLIT = record("B", "1")  # it was with A 1, then told apart: a record with a history
NOW = f"record_id = {B10} AND valid_to IS NULL"
SAME = "(SELECT id FROM fact WHERE kind = 'same' AND withdrawn_at IS NULL ORDER BY id DESC LIMIT 1)"
HOMONYMS = "(SELECT id FROM fact WHERE kind = 'homonyms')"
OF_ACT = "(SELECT min(id) FROM fact WHERE act_id IS NOT NULL)"
WITHDRAWN = "(SELECT id FROM fact WHERE withdrawn_at IS NOT NULL)"
SET_ASIDE = "(SELECT id FROM fact WHERE kind = 'set_aside')"
DOMAIN_OF_B = f"(SELECT domain FROM source_record WHERE id = {B10})"
HIDDEN = "(SELECT min(id) FROM source_record WHERE id NOT IN (SELECT record_id FROM search_name))"
OPEN, DECIDED = task_of("potential_link", "open"), task_of("potential_link", "decided")
DUPLICATE = "(SELECT min(id) FROM inbox WHERE state = 'duplicate')"
REPLAY = "(SELECT id FROM inbox WHERE replay_of IS NOT NULL)"
NOTHING_NEW = f"(SELECT message_id FROM statement WHERE id = {statement_of('B', '51')})"

CORRUPTIONS = {
    # the records
    "a trait is another": (
        f"UPDATE source_record SET traits = json_set(traits, '$.birth_name', 'ZZ') WHERE id = {A10}",
        Check.FOLD, named("record", A10),
    ),
    "what was stated of a record is another": (
        f"UPDATE source_record SET demographics = json_set(demographics, '$.sex', 'U') WHERE id = {A10}",
        Check.FOLD, named("record", A10),
    ),
    "a record is older": (
        f"UPDATE source_record SET first_event_time = '2020-01-01 00:00:00.000000' WHERE id = {A10}",
        Check.FOLD, named("record", A10),
    ),
    "a record is less urgent": (
        f"UPDATE source_record SET urgency = 0 WHERE id = {C14}", Check.FOLD, named("record", C14),
    ),
    "a held statement is forgotten": (
        f"UPDATE source_record SET held_since = NULL WHERE id = {A10}", Check.FOLD, named("record", A10),
    ),
    "traits cannot be read": (
        f"UPDATE source_record SET traits = '[' WHERE id = {A10}", Check.READABLE, named("record", A10),
    ),
    "a native identifier is another": (
        f"UPDATE source_record SET native_euid = 'AAAAAAAAAAAAAAAA' WHERE id = {A10}",
        Check.IDENTIFIER, named("record", A10),
    ),
    "an epoch is another": (
        f"UPDATE source_record SET epoch = 2 WHERE id = {record('B', '13', 1)}",
        Check.IDENTIFIER, named("record", record("B", "13", 1)),
    ),
    "a record is gone": (f"DELETE FROM source_record WHERE id = {A10}", Check.EDGE, named_edge(*PAIR)),
    "a blocking key is gone": (
        f"DELETE FROM blocking_key WHERE record_id = {A10} AND key = (SELECT min(key) FROM blocking_key"
        f" WHERE record_id = {A10})",
        Check.BLOCKING_KEY, named("record", A10),
    ),
    "a blocking key is too many": (
        f"INSERT INTO blocking_key VALUES (1, {A10})", Check.BLOCKING_KEY, named("record", A10),
    ),
    "a name to be found by is gone": (
        f"DELETE FROM search_name WHERE record_id = {A10}", Check.SEARCH, named("record", A10),
    ),
    "a name to be found by is too many": (
        f"INSERT INTO search_name (birth, name, record_id, domain, given, past) SELECT birth, 'ZZ', record_id, domain,"
        f" given, past FROM search_name WHERE record_id = {A10} LIMIT 1",
        Check.SEARCH, named("record", A10),
    ),
    "a record is found by other given names": (
        f"UPDATE search_name SET given = 'ZZ' WHERE record_id = {A10}", Check.SEARCH, named("record", A10),
    ),
    "a record is no longer found by its name": (
        f"UPDATE search_name SET past = 1 WHERE record_id = {A10}", Check.SEARCH, named("record", A10),
    ),
    "a record is found by who sees another domain": (
        f"UPDATE search_name SET domain = {DOMAIN_OF_B} WHERE record_id = {A10}", Check.SEARCH, named("record", A10),
    ),
    "a key to be found by is gone": (
        f"DELETE FROM search_key WHERE record_id = {A40}", Check.SEARCH, named("record", A40),
    ),
    "a key to be found by is too many": (
        f"INSERT INTO search_key (key, record_id, domain, past) SELECT 1, id, domain, 0 FROM source_record"
        f" WHERE id = {A10}",
        Check.SEARCH, named("record", A10),
    ),
    "a hidden record was found by a name": (
        f"INSERT INTO search_name (birth, name, record_id, domain, given, past) SELECT 0, 'ZZ', id, domain, '', 1"
        f" FROM source_record WHERE id = {HIDDEN}",
        Check.SEARCH, named("record", HIDDEN),
    ),
    # the statements
    "a statement is another": (
        "UPDATE statement SET stated = json_set(stated, '$.demographics.sex', 'U')"
        f" WHERE id = {statement_of('B', '10')}",
        Check.FOLD, named("record", B10),
    ),
    "the only statement is gone": (
        f"DELETE FROM statement WHERE id = {statement_of('B', '10')}", Check.FOLD, named("record", B10),
    ),
    "a statement that said nothing new is gone": (
        f"DELETE FROM statement WHERE id = {statement_of('B', '51')}",
        Check.STATEMENT, named("message", NOTHING_NEW),
    ),
    "a statement says nothing any more": (
        f"UPDATE statement SET stated = '{{}}' WHERE id = {statement_of('B', '10')}",
        Check.FOLD, named("record", B10),
    ),
    "a statement is of another record": (
        f"UPDATE statement SET record_id = {C13} WHERE id = {statement_of('B', '10')}",
        Check.FOLD, named("record", B10),
    ),
    "a statement cannot be read": (
        f"UPDATE statement SET stated = '{{\"source\": 1}}' WHERE id = {statement_of('B', '10')}",
        Check.READABLE, named("record", B10),
    ),
    # the edges
    "an edge is gone": (f"DELETE FROM edge WHERE {edge(*PAIR)}", Check.EDGE, named_edge(*PAIR)),
    "an edge weighs more": (
        f"UPDATE edge SET weight_bits = weight_bits + 1e-6 WHERE {edge(*PAIR)}", Check.EDGE, named_edge(*PAIR),
    ),
    "an edge is more probable": (
        f"UPDATE edge SET probability = 0.5 WHERE {edge(*PAIR)}", Check.EDGE, named_edge(*PAIR),
    ),
    "an edge decides otherwise": (
        f"UPDATE edge SET decision = 'review' WHERE {edge(*PAIR)}", Check.EDGE, named_edge(*PAIR),
    ),
    "an edge decides what there is not": (
        f"UPDATE edge SET decision = 'perhaps' WHERE {edge(*PAIR)}", Check.READABLE, named("record", A10),
    ),
    "an edge has a guard": (
        f"UPDATE edge SET guards = '[\"twins\"]' WHERE {edge(*PAIR)}", Check.EDGE, named_edge(*PAIR),
    ),
    "an edge contradicts": (
        f"UPDATE edge SET contradicts = 1 WHERE {edge(*PAIR)}", Check.EDGE, named_edge(*PAIR),
    ),
    "an edge has no evidence": (
        f"UPDATE edge SET evidence = '[]' WHERE {edge(*PAIR)}", Check.EDGE, named_edge(*PAIR),
    ),
    "an edge is of another model": (
        f"UPDATE edge SET model_version = 'other-1' WHERE {edge(*PAIR)}", Check.OTHER_MODEL, named_edge(*PAIR),
    ),
    "an edge joins strangers": (
        "INSERT INTO edge (left_id, right_id, weight_bits, probability, decision, evidence, guards, contradicts,"
        f" model_version) SELECT {A10}, {C13}, weight_bits, probability, decision, evidence, guards, contradicts,"
        f" model_version FROM edge WHERE {edge(*PAIR)}",
        Check.EDGE, named_edge(("A", "10"), ("C", "13")),
    ),
    "an edge ends nowhere": (
        f"UPDATE edge SET right_id = 9999 WHERE {edge(*PAIR)}", Check.EDGE, f"SELECT 'edge/' || {A10} || '-9999'",
    ),
    # the memberships
    "a record is in another set": (
        f"UPDATE membership SET euid = (SELECT native_euid FROM source_record WHERE id = {C13}) WHERE {NOW}",
        Check.SET, named("record", B10),
    ),
    "a record is in no set": (f"DELETE FROM membership WHERE {NOW}", Check.MEMBERSHIP, named("record", B10)),
    "a record is in two sets": (
        "DROP INDEX uq_membership_current; INSERT INTO membership (record_id, euid, valid_from, cause,"
        f" model_version) SELECT record_id, euid, valid_from, cause, model_version FROM membership WHERE {NOW}",
        Check.MEMBERSHIP, named("record", B10),
    ),
    "memberships overlap": (
        f"UPDATE membership SET valid_to = '2099-01-01 00:00:00.000000' WHERE record_id = {SPLIT}"
        " AND valid_to IS NOT NULL",
        Check.MEMBERSHIP, named("record", SPLIT),
    ),
    "memberships leave a gap": (
        f"UPDATE membership SET valid_to = valid_from WHERE record_id = {SPLIT} AND valid_to IS NOT NULL",
        Check.MEMBERSHIP, named("record", SPLIT),
    ),
    "a membership ends before it begins": (
        f"UPDATE membership SET valid_from = '2099-01-01 00:00:00.000000' WHERE record_id = {SPLIT}"
        " AND valid_to IS NOT NULL",
        Check.MEMBERSHIP, named("record", SPLIT),
    ),
    "a set is no record's": (
        f"UPDATE membership SET euid = 'AAAAAAAAAAAAAAAA' WHERE {NOW}", Check.MEMBERSHIP, named("record", B10),
    ),
    # the tasks
    "a task is about no record": (
        f"UPDATE task SET right_id = 9999 WHERE id = {OPEN}", Check.TASK, named("task", OPEN),
    ),
    "a wanted task is closed": (task(OPEN, "state = 'obsolete'"), Check.TASK, named("task", OPEN)),
    "a wanted task is gone": (
        f"DELETE FROM task_version WHERE task_id = {OPEN}; DELETE FROM task WHERE id = {OPEN}",
        Check.TASK, f"SELECT 'task/link-' || {record('A', '20')} || '-' || {record('B', '20')}",
    ),
    "a task that nothing asks is open": (
        task("1", "state = 'open'"), Check.TASK, "SELECT 'task/1'",
    ),
    "a task is of another kind": (task(OPEN, "kind = 'refused_link'"), Check.TASK, named("task", OPEN)),
    "a task is of another topic": (
        f"UPDATE task SET topic = 'conflict' WHERE id = {OPEN}", Check.TASK, named("task", OPEN),
    ),
    "a task has another reason": (task(OPEN, "reason = 'twins'"), Check.TASK, named("task", OPEN)),
    "a task compares otherwise": (task(OPEN, "fingerprint = '{}'"), Check.TASK, named("task", OPEN)),
    "a task weighs more": (task(OPEN, "weight_bits = 99"), Check.TASK, named("task", OPEN)),
    "a task is more urgent": (task(OPEN, "priority = 999"), Check.TASK, named("task", OPEN)),
    "a task is in no state": (
        f"UPDATE task SET state = 'lost' WHERE id = {OPEN}", Check.READABLE, named("task", OPEN),
    ),
    "an answer is gone": (task(DECIDED, "verdict = NULL"), Check.TASK, named("task", DECIDED)),
    "an answer is no fact": (task(DECIDED, "fact_id = NULL"), Check.TASK, named("task", DECIDED)),
    "an answer is a fact that is not there": (
        task(DECIDED, "fact_id = 9999"), Check.TASK, named("task", DECIDED),
    ),
    "a task changed without a version": (
        f"UPDATE task SET version = version + 1 WHERE id = {OPEN}", Check.TASK, named("task", OPEN),
    ),
    "a version is gone": (
        f"DELETE FROM task_version WHERE task_id = {DECIDED} AND version = 1", Check.TASK, named("task", DECIDED),
    ),
    # the facts
    "a withdrawn fact stands again": (
        f"UPDATE fact SET withdrawn_at = NULL, withdrawn_by = '' WHERE id = {WITHDRAWN}",
        Check.FACT, "SELECT 'fact/' || id FROM fact WHERE withdrawn_at IS NOT NULL",
    ),
    "a fact was withdrawn by nobody": (
        f"UPDATE fact SET withdrawn_by = '' WHERE id = {WITHDRAWN}", Check.FACT, named("fact", WITHDRAWN),
    ),
    "a fact was withdrawn before it was recorded": (
        f"UPDATE fact SET withdrawn_at = '2020-01-01 00:00:00.000000' WHERE id = {WITHDRAWN}",
        Check.FACT, named("fact", WITHDRAWN),
    ),
    "a fact was confirmed by nobody": (
        f"UPDATE fact SET confirmed_at = recorded_at WHERE id = {SAME}", Check.FACT, named("fact", SAME),
    ),
    "a fact is withdrawn behind the registry": (
        f"UPDATE fact SET withdrawn_at = recorded_at, withdrawn_by = 'x' WHERE id = {HOMONYMS}",
        Check.SET, named("record", C13),
    ),
    "a fact says the contrary": (
        f"UPDATE fact SET kind = 'different' WHERE id = {SAME}", Check.SET, named("record", record("C", "12")),
    ),
    "a fact is gone": (f"DELETE FROM fact WHERE id = {SAME}", Check.FACT, named("fact", SAME)),
    "a fact is of no act": (f"UPDATE fact SET act_id = 9999 WHERE id = {OF_ACT}", Check.FACT, named("fact", OF_ACT)),
    "a fact has its records in the wrong order": (
        f"UPDATE fact SET left_value = right_value, right_value = left_value, left_domain = right_domain,"
        f" right_domain = left_domain WHERE id = {SAME}",
        Check.FACT, named("fact", SAME),
    ),
    "a fact is about no statement": (
        f"UPDATE fact SET statement_id = 9999 WHERE id = {SET_ASIDE}", Check.FACT, named("fact", SET_ASIDE),
    ),
    "a source's fact is of no message": (
        "UPDATE fact SET message_id = NULL WHERE kind = 'moved'",
        Check.FACT, "SELECT 'fact/' || id FROM fact WHERE kind = 'moved'",
    ),
    "a fact is of no kind": (
        f"UPDATE fact SET kind = 'guessed' WHERE id = {SAME}", Check.READABLE, named("fact", SAME),
    ),
    # the audit trail
    "an audit event is another": (
        "UPDATE audit SET actor = 'user:nobody' WHERE sequence = 5", Check.AUDIT, "SELECT 'audit/5'",
    ),
    "an audit event is gone": ("DELETE FROM audit WHERE sequence = 5", Check.AUDIT, "SELECT 'audit/5'"),
    "the last audit event is gone": (
        "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)", Check.AUDIT, "SELECT 'audit'",
    ),
    # the journal
    "a message is in no state": (
        "UPDATE inbox SET state = 'pending' WHERE id = 2", Check.READABLE, "SELECT 'message/2'",
    ),
    "a message was not applied": (
        "UPDATE inbox SET state = 'quarantined' WHERE id = 2", Check.MESSAGE, "SELECT 'message/2'",
    ),
    "a message is gone": ("DELETE FROM inbox WHERE id = 2", Check.AUDIT, "SELECT 'audit'"),
    "a duplicate is of nothing": (
        f"UPDATE inbox SET control_id = 'other' WHERE id = {DUPLICATE}", Check.MESSAGE, named("message", DUPLICATE),
    ),
    "a duplicate says something else": (
        f"UPDATE inbox SET content_hash = 'other' WHERE id = {DUPLICATE}",
        Check.MESSAGE, named("message", DUPLICATE),
    ),
    "a duplicate was answered otherwise": (
        f"UPDATE inbox SET reply = X'00' WHERE id = {DUPLICATE}", Check.MESSAGE, named("message", DUPLICATE),
    ),
    "what a message replays was applied": (
        f"UPDATE inbox SET replay_of = 1 WHERE id = {REPLAY}", Check.MESSAGE, named("message", REPLAY),
    ),
    "what a message replays is gone": (
        f"UPDATE inbox SET replay_of = 9999 WHERE id = {REPLAY}", Check.MESSAGE, named("message", REPLAY),
    ),
    # the models
    "a model is another": (
        "UPDATE match_model SET digest = 'other'", Check.MODEL, "SELECT 'model/kept-1'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_planted_corruption_is_named(copy, name):
    script, check, subject = CORRUPTIONS[name]
    with closing(sqlite3.connect(copy)) as connection:
        expected = connection.execute(subject).fetchone()[0]
        changed = connection.total_changes
        connection.executescript(f"PRAGMA foreign_keys = OFF; BEGIN; {script}; COMMIT")

        assert connection.total_changes > changed
    before = copy.read_bytes()
    found, result = verified(copy)

    assert (check, expected) in {(one.check, one.subject) for one in found}
    assert not result.is_clean
    assert copy.read_bytes() == before
    assert not any(word in repr(found) for word in ("CHANTEREAU", "BARBEROUSSE", "ODILON", "LOUISE", "1931"))
