"""
The registry as a machine: any sequence of messages, decisions, undoings and erasures keeps every law.

After each step the whole state is read and held against the laws; what a step may change is held
against what it did; when a machine ends, its messages are delivered again in other orders. Names in
brackets are the invariants of the reliability design (I1 …). The oracle is a second implementation.
"""

import itertools
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from mpi.errors import InvalidIdentity, LinkConflict, StaleReview, UnknownIdentifier
from mpi.identity.ins import NEVER_ANSWERED
from mpi.identity.model import Demographics, NameUse, PartialDate, PersonName, RecordKey, Witness
from mpi.index.audit import first_break
from mpi.index.decisions import TwoPersonRule
from mpi.index.derivation import Component
from mpi.index.events import (
    Envelope,
    Fact,
    FactKind,
    IdentifiersLinked,
    IdentifiersMerged,
    IdentityStated,
    Instruction,
    MessageState,
    PatientMoved,
    Protocol,
    Receipt,
)
from mpi.index.graph import LinkPolicy
from mpi.index.notices import members_of
from mpi.index.parties import Consumer
from mpi.index.ports import Membership, OutboxRow, StoredRecord, StoredStatement
from mpi.index.questions import wanted_tasks
from mpi.index.review import ANSWERS, LIVE_STATES, WHOLE, Task, TaskKind, TaskState, Topic, Verdict
from mpi.store import open_store
from tests.fakes import MemoryStore
from tests.federation import SITES, START, World, authority, directory, key, merge, person, statement
from tests.properties import oracle

INS = ("284022999912354", "199112A99905644")
TEST_INS = {"ins_oid": "1.2.250.1.213.1.4.10"}

LOUISE, PIERRE, BABY = (
    person(),
    person("OEUVRARD", "PIERRE", "1959-07-14", "M"),
    person("BOSQUET", "BEBE", "2026-03-01"),
)
PEOPLE: dict[str, Demographics] = {
    "louise": LOUISE,
    "again": LOUISE,
    "married": person(used="DUVIVIER"),
    "divorced": Demographics(
        names=(PersonName("CHANTEREAU", "LOUISE", use=NameUse.BIRTH),), deleted=frozenset({"used_name"})
    ),
    "moved": person(postal_code="87000", city="LIMOGES", phones=("0555010203",)),
    "date corrected": person(born="1984-02-28"),
    "misspelt": person("CHANTREAU"),
    "twin": person(given="LEA"),
    "only the year": person(born="1984", birth_place_code=""),
    "unnamed": person("INCONNU", "X", born="", birth_place_code=""),
    "qualified": person(ins=INS[0], identity_codes=("VALI",), **TEST_INS),
    "otherwise qualified": person(ins=INS[1], identity_codes=("VALI",), **TEST_INS),
    "unqualified": person(ins=INS[0], identity_codes=("PROV",), **TEST_INS),
    "ins withdrawn": person(identity_codes=("VALI",)),
    "doubtful": person(identity_codes=("PROV", "DOUT")),
    "fictitious": person(identity_codes=("PROV", "FICT")),
    "hidden": person(identity_codes=("VALI", "CACH")),
    "shown again": person(identity_codes=("PROV",)),
    "pierre": PIERRE,
    "pierre at home": replace(PIERRE, postal_code="87000", phones=("0555010203",)),
    "pierre with her number": replace(PIERRE, ins=INS[0], identity_codes=("VALI",), **TEST_INS),
    "baby": BABY,
    "baby named": person("BOSQUET", "MANON", "2026-03-01"),
    "baby renamed": person("LEROY", "MANON", "2026-03-01"),
}
# Four statements of which two and two agree, and one of each weakly: nothing else joins the pairs.
_DUVIVIER = Demographics(
    names=(PersonName("DUVIVIER", "LOUISE ANNE", use=NameUse.USED),),
    birth_date=PartialDate(1984, 2, 28),
    sex="F",
)
PEOPLE |= {
    "left": replace(_DUVIVIER, phones=("0612345678",)),
    "left abutment": replace(_DUVIVIER, birth_place_code="87085"),
    "right": person(
        given="LOUISE", born="1984-02-28", used="DUVIVIER", birth_place_code="", phones=("0612345678",)
    ),
    "right abutment": person(given="LOUISE ANNE", born="1984-02-28", phones=("0612345678",)),
}
VALUES = ("1", "2", "3")
REVIEWERS = ("anne", "boris")
WITNESSES = {"pac": Witness.HEADER, "adt": Witness.MOVEMENT}
EVERYWHERE = frozenset(authority(site).universal_id for site in SITES)
CONSUMERS = [
    Consumer("portal", "PORTAL", "FED", EVERYWHERE, "127.0.0.1:1"),
    Consumer("ris-ab", "RIS", "SITE_AB", frozenset(authority(s).universal_id for s in "AB"), "127.0.0.1:2"),
]
"""One sees the whole federation, the other a part of it."""
SIGHT = CONSUMERS[1].domains
"""Staff who see a part of it have a queue of their own."""
SOURCES = ("ris-a", "his-a", "pacs-a", "ris-b", "adt-b", "pacs-b", "ris-c")
BINDING = (FactKind.SAME, FactKind.DIFFERENT, FactKind.HOMONYMS)
ALL = 100_000

who = st.sampled_from(sorted(PEOPLE))
value = st.sampled_from(VALUES)
site = st.sampled_from(SITES)
minutes = st.integers(0, 40)
some = st.integers(0, 40)
"""Which of what there is, by its place."""
reviewer = st.sampled_from(REVIEWERS)
often = st.integers(0, 3).map(bool)

Law = Callable[["View"], None]
LAWS: list[Law] = []


def law(check: Law) -> Law:
    """What must hold after every step."""
    LAWS.append(check)
    return check


@contextmanager
def named(check: object) -> Iterator[None]:
    """Say which law a failure breaks."""
    try:
        yield
    except AssertionError as error:
        name = getattr(check, "__name__", str(check))
        raise AssertionError(f"law {name}: {error}") from error


@dataclass
class View:
    """The whole state of a registry, read at once, and what the oracle expects of it."""

    world: World
    expected: oracle.Expected
    received: int

    def __post_init__(self) -> None:
        with self.world.store.read() as uow:
            self.records: dict[int, StoredRecord] = uow.records.by_ids(uow.records.all_ids())
            self.facts: list[Fact] = uow.facts.page(limit=ALL)
            self.edges = uow.edges.touching(list(self.records))
            self.history: dict[int, list[Membership]] = {i: uow.memberships.history(i) for i in self.records}
            self.euids = uow.memberships.current(list(self.records))
            every: list[Task] = uow.reviews.page(states=frozenset(TaskState), limit=ALL, sight=None)
            self.statements: list[StoredStatement] = [
                said for told in uow.records.statements_of(list(self.records)).values() for said in told
            ]
            self.counts = uow.inbox.counts()
        self.key_of = {i: record.key for i, record in self.records.items()}
        self.id_of = {record.key: i for i, record in self.records.items()}
        self.native = {record.key: record.native_euid for record in self.records.values()}
        self.standing = [fact for fact in self.facts if fact.stands]
        self.sets: dict[str, set[RecordKey]] = {}
        for record_id, euid in self.euids.items():
            self.sets.setdefault(euid, set()).add(self.key_of[record_id])
        self.erased = {fact.left for fact in self.standing if fact.kind is FactKind.ERASED}
        self.tasks = [task for task in every if task.sight == WHOLE]
        self.live = [task for task in self.tasks if task.state in LIVE_STATES]
        self.asked_of_some = [task for task in every if task.sight != WHOLE]

    def pair(self, task: Task) -> frozenset[RecordKey]:
        return frozenset((self.key_of[task.key.left_id], self.key_of[task.key.right_id]))


def refused(do: Callable[[], object]) -> None:
    """Somebody else decided, or works on it: it is not to be done."""
    try:
        do()
    except StaleReview:
        return
    raise AssertionError("was not refused")


def fell(fact: Fact, known: dict[int, Fact]) -> bool:
    """Whether it was waiting for a second person, and is given up now."""
    before = known.get(fact.id)
    was_pending = before is not None and not before.stands and before.withdrawn_at is None
    return was_pending and fact.withdrawn_at is not None


def but_for(pairs: set[frozenset[RecordKey]], snapshot: dict[str, Any]) -> dict[str, Any]:
    """A snapshot without the questions about some pairs; whether those are open is for the law of questions."""
    return {**snapshot, "tasks": frozenset(task for task in snapshot["tasks"] if task[1] not in pairs)}


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Compare two snapshots, and say where they differ."""
    for part, value in wanted.items():
        assert found[part] == value, f"{part}: {_difference(found[part], value)}"


def _difference(found: Any, wanted: Any) -> str:
    if isinstance(wanted, frozenset):
        return f"more {sorted(map(str, found - wanted))}, less {sorted(map(str, wanted - found))}"
    return str(
        {
            name: (found.get(name), wanted.get(name))
            for name in {**found, **wanted}
            if found.get(name) != wanted.get(name)
        }
    )


@law
def each_record_is_in_one_set(view: View) -> None:
    """[I1, I2, I3, I7]"""
    assert set(view.euids) == set(view.records)


@law
def the_sets_are_those_of_a_fold_from_nothing(view: View) -> None:
    """[I16, I26, I32] The oracle's partition."""
    assert frozenset(map(frozenset, view.sets.values())) == view.expected.sets


@law
def a_set_bears_the_identifier_of_its_oldest_record(view: View) -> None:
    """[I21]"""
    assert {view.key_of[i]: e for i, e in view.euids.items()} == {
        k: view.native[head] for k, head in view.expected.head.items()
    }
    assert len(set(view.native.values())) == len(view.native)


@law
def golden_values_are_those_of_members(view: View) -> None:
    """[I20, I49] The oracle's golden records."""
    same(
        {"golden": view.world.golden_records()},
        {"golden": {view.native[k]: v for k, v in view.expected.golden.items()}},
    )


@law
def the_erased_are_shown_to_nobody(view: View) -> None:
    registry = view.world.registry
    for euid, golden in view.world.golden_records().items():
        if golden is not None:
            found = registry.enterprise_record(euid, visible=EVERYWHERE, actor="test")
            assert not {member.record.key for member in found.members} & view.erased


@law
def everybody_is_answered_for_as_expected(view: View) -> None:
    """[I4] Cross-references; a retired identifier answers for the record it went into."""
    for (domain, text), wanted in view.expected.answers.items():
        asked = RecordKey(domain, text)
        try:
            found = view.world.registry.cross_reference(asked, targets=None, visible=EVERYWHERE, actor="test")
        except UnknownIdentifier:
            assert wanted is None, f"{asked} is not answered"
        else:
            told = {(one.authority.universal_id, one.value) for one in found.identifiers}
            assert told == wanted, f"{asked}"


@law
def suspicions_are_those_of_a_fold_from_nothing(view: View) -> None:
    """The overlay firewall holds what the oracle holds, and a person is asked."""
    held = {record.key for record in view.records.values() if record.held_since is not None}
    tasks = [task for task in view.live if task.kind is TaskKind.OVERLAY]
    asked = {key for task in tasks for key in view.pair(task)}
    proposed = {key for task in tasks if task.state is TaskState.PROPOSED for key in view.pair(task)}
    assert held == view.expected.held, f"held {sorted(held)}, expected {sorted(view.expected.held)}"
    assert held <= asked <= held | proposed, f"held {sorted(held)}, asked about {sorted(asked)}"


@law
def survivors_form_a_forest(view: View) -> None:
    """[I4, I5] No identifier goes into itself, directly or through others; each into one."""
    into: dict[RecordKey, set[RecordKey]] = {}
    for fact in view.standing:
        if fact.kind in (FactKind.MERGED, FactKind.RENAMED):
            into.setdefault(fact.right, set()).add(fact.left)
    for start, survivors in into.items():
        assert len(survivors) == 1
        at, seen = start, set()
        while at in into:
            assert at not in seen
            seen.add(at)
            (at,) = into[at]


@law
def those_told_apart_are_apart(view: View) -> None:
    """[I8, I18]"""
    for fact in view.standing:
        if fact.kind in (FactKind.DIFFERENT, FactKind.HOMONYMS):
            assert view.euids[view.id_of[fact.left]] != view.euids[view.id_of[fact.right]]


@law
def people_do_not_contradict_each_other(view: View) -> None:
    """[I8] No two records are told apart and held together, directly or through others."""
    held = [(fact.left, fact.right) for fact in view.standing if fact.kind is FactKind.SAME]
    for fact in view.standing:
        if fact.kind in (FactKind.DIFFERENT, FactKind.HOMONYMS):
            assert fact.right not in _reached(fact.left, set(view.id_of), held)


@law
def contradicted_assertions_are_asked_about(view: View) -> None:
    """[I8] A source's link that a person contradicts is a conflict, never a silent winner."""
    asked = {view.pair(task) for task in view.live if task.key.topic is Topic.CONFLICT}
    for fact in view.standing:
        if fact.kind in (FactKind.MERGED, FactKind.RENAMED, FactKind.SAME) and not (
            {fact.left, fact.right} & view.erased
        ):
            left, right = view.id_of[fact.left], view.id_of[fact.right]
            if view.euids[left] != view.euids[right]:
                assert frozenset((fact.left, fact.right)) in asked


@law
def duplicates_of_a_domain_are_asked_about(view: View) -> None:
    """[I9] Unless somebody looked at them and dismissed them."""
    asked = {
        frozenset(view.pair(task))
        for task in view.tasks
        if task.key.topic is Topic.DUPLICATE
        and (task.state in LIVE_STATES or (task.verdict is not None and task.state is TaskState.DECIDED))
    }
    for members in view.sets.values():
        for domain in {k.domain for k in members}:
            active = {
                k
                for k in members - view.expected.retired
                if k.domain == domain and view.records[view.id_of[k]].first_event_time is not None
            }
            for one in active if len(active) > 1 else ():
                assert any(one in pair and pair <= active for pair in asked)


@law
def no_set_holds_two_qualified_ins(view: View) -> None:
    """[I10] By any path."""
    for members in view.sets.values():
        assert len({view.records[view.id_of[k]].traits.qualified_ins for k in members} - {""}) <= 1


@law
def every_membership_is_explained(view: View) -> None:
    """[I11, I12] Links and assertions connect each set; weights join no more than the bound."""
    positive = [
        (fact.left, fact.right)
        for fact in view.standing
        if fact.is_positive and fact.left in view.id_of and fact.right in view.id_of
    ]
    links = [
        (view.key_of[e.left_id], view.key_of[e.right_id]) for e in view.edges if e.score.decision == "link"
    ]
    for members in view.sets.values():
        assert _connected(members, positive + links)
        assert len(_parts(members, positive)) <= view.world.policy.max_set_size


def _parts(members: set[RecordKey], pairs: list[tuple[RecordKey, RecordKey]]) -> set[frozenset[RecordKey]]:
    return {frozenset(_reached(start, members, pairs)) for start in members}


def _connected(members: set[RecordKey], pairs: list[tuple[RecordKey, RecordKey]]) -> bool:
    return _reached(min(members), members, pairs) == members


def _reached(
    start: RecordKey, members: set[RecordKey], pairs: list[tuple[RecordKey, RecordKey]]
) -> set[RecordKey]:
    reached = {start}
    while True:
        more = {k for pair in pairs if reached & set(pair) for k in pair if k in members}
        if more <= reached:
            return reached
        reached |= more


@law
def questions_are_those_of_a_derivation_from_everything(view: View) -> None:
    """[I32] What a component asks is what the whole would ask."""
    whole = Component(set(view.records), view.records, tuple(view.edges), tuple(view.standing))
    _asked_rightly(view, whole, view.tasks)


@law
def questions_of_a_sight_are_those_of_its_records_alone(view: View) -> None:
    """[I32, I34] Whatever people decide, of whichever queue."""
    whole = Component(set(view.records), view.records, tuple(view.edges), tuple(view.standing))
    _asked_rightly(view, whole.seen(SIGHT), view.asked_of_some)


def _asked_rightly(view: View, records: Component, tasks: list[Task]) -> None:
    wanted = wanted_tasks(view.world.registry.derivation.derive(records, {}))
    stored = {task.key: task for task in tasks}
    for task in (task for task in tasks if task.state in LIVE_STATES):
        assert task.key in wanted or task.state is TaskState.PROPOSED, f"{task.kind} is asked, and moot"
    for name, question in wanted.items():
        assert name in stored, f"{question.kind} is not asked"
        task = stored[name]
        asked = question.kind, question.reason, question.fingerprint
        assert (task.kind, task.reason, task.fingerprint) == asked, f"{task.kind} is out of date"
        assert task.state in LIVE_STATES or task.state is TaskState.DECIDED, f"{task.kind} is not asked"


@law
def hidden_identities_are_joined_by_no_weight(view: View) -> None:
    """Anonymous and hidden identities: never linked across domains, never asked about as a link."""
    hidden = {i for i, record in view.records.items() if record.traits.attributes & NEVER_ANSWERED}
    assert not any(
        edge.score.decision == "link" and {edge.left_id, edge.right_id} & hidden for edge in view.edges
    )


@law
def what_takes_two_people_was_made_by_two(view: View) -> None:
    for fact in view.standing:
        assert not fact.second_needed or fact.confirmed_by not in ("", fact.actor)


@law
def what_was_decided_stands(view: View) -> None:
    """[I47] A closed question keeps the one answer that closed it, and the fact of it stands."""
    facts = {fact.id: fact for fact in view.facts}
    for task in view.tasks:
        if task.state is TaskState.DECIDED:
            assert task.verdict is not None
            stands = task.fact_id is None or facts[task.fact_id].stands
            assert stands, f"{task.kind}: what closed it is withdrawn"
        if task.state is TaskState.PROPOSED:
            assert task.fact_id is not None
            assert not facts[task.fact_id].stands, f"{task.kind}: what it proposes stands"


@law
def memberships_have_a_cause_and_no_gap(view: View) -> None:
    """[I11, I48] Each began because of a message or a decision there is; one follows the other."""
    facts = {f"fact/{fact.id}" for fact in view.facts}
    for spans in view.history.values():
        for span in spans:
            kind, _, number = span.cause.partition("/")
            assert span.cause in facts or (kind == "message" and 1 <= int(number) <= view.received)
            assert span.model_version == view.world.model.version
        for before, after in itertools.pairwise(spans):
            assert before.valid_to == after.valid_from
            assert before.euid != after.euid
        assert spans[-1].valid_to is None


@law
def every_message_is_accounted_for(view: View) -> None:
    """[I24]"""
    assert sum(sum(by_state.values()) for by_state in view.counts.values()) == view.received


Identifier = tuple[str, str]


def told_sets(rows: list[OutboxRow]) -> dict[Identifier, frozenset[Identifier]]:
    """
    What a consumer makes of its notifications: each set takes the place of those it shares an identifier with.

    An identifier in none of them stands alone.
    """
    set_of: dict[Identifier, frozenset[Identifier]] = {}
    for row in rows:
        members = frozenset(key[:2] for key in members_of(row.payload))
        for gone in {gone for one in members for gone in set_of.get(one, ())}:
            del set_of[gone]
        set_of |= dict.fromkeys(members, members)
    return set_of


def elsewhere(world: World, consumer: Consumer, asked: RecordKey) -> frozenset[Identifier] | None:
    """The other identifiers that a consumer is answered; None when it is not answered."""
    try:
        found = world.registry.cross_reference(asked, targets=None, visible=consumer.domains, actor="test")
    except UnknownIdentifier:
        return None
    return frozenset((one.authority.universal_id, one.value) for one in found.identifiers)


@law
def consumers_know_what_they_would_be_answered(view: View) -> None:
    """[I31] The notifications of a consumer, one after the other, make the sets that it may see."""
    for consumer in CONSUMERS:
        with view.world.store.read() as uow:
            told = told_sets(uow.outbox.page(limit=ALL, consumer=consumer.name))
        for identifier in view.expected.answers:
            asked = RecordKey(*identifier)
            named = {one for one in view.expected.retired if one[:2] == identifier}
            if asked.domain not in consumer.domains or named == {
                one for one in view.id_of if one[:2] == identifier
            }:
                continue
            answer = elsewhere(view.world, consumer, asked)
            if answer is not None:
                heard = told.get(identifier, frozenset((identifier,))) - {identifier}
                assert heard == answer, f"{consumer.name}, {asked}: heard {heard}, would be answered {answer}"


class Machine(RuleBasedStateMachine):
    """One federation of three sites, its reviewers, and everything that may happen to it."""

    rule_of_two = TwoPersonRule()
    policy = LinkPolicy(max_set_size=4, ambiguity_margin_bits=10.0)

    def __init__(self) -> None:
        super().__init__()
        self.world = self.new_world()
        self.history: list[oracle.Happened] = []
        self.sent: list[tuple[str, str, Instruction, Receipt]] = []
        self.received = 0
        self.erased: set[str] = set()
        self.closed: dict[int, Task] = {}
        self.said: dict[int, Any] = {}
        self.borne: set[str] = set()
        self.seed = 0

    def new_store(self) -> Any:
        return MemoryStore()

    def new_world(self) -> World:
        world = World(
            self.new_store(),
            parties=directory(consumers=CONSUMERS),
            policy=self.policy,
            rule=self.rule_of_two,
        )
        world.registry.sights.of(SIGHT)
        return world

    @initialize(seed=st.integers(0, 2**16))
    def begin(self, seed: int) -> None:
        self.seed = seed

    # ---------------------------------------------------------------------------- messages

    def deliver(self, instruction: Instruction, source: str) -> None:
        control_id = f"C{len(self.sent)}"
        before, facts = self.counted(), self.facts()
        receipt = self.world.send(instruction, source=source, control_id=control_id)
        self.received += 1
        with self.world.store.read() as uow:
            numbers = tuple(sorted(said.id for said in uow.records.stated_by(receipt.message_id)))
        self.sent.append((source, control_id, instruction, receipt))
        self.history.append(oracle.Delivered(instruction, numbers))
        refused = len(self.history) - 1 in oracle.expected(self.history, self.world.registry.policy).refused
        with named("a_message_is_applied_or_kept"):
            wanted = MessageState.QUARANTINED if refused else MessageState.APPLIED
            assert receipt.state is wanted, f"{receipt.state} ({receipt.error!r}), expected {wanted}"
        if refused:
            self.history.pop()
        self.accounted(before)
        known_already = (
            isinstance(instruction, IdentifiersMerged) and instruction.renamed and self.facts() == facts
        )
        if isinstance(instruction, IdentifiersMerged) and not refused and not known_already:
            with named("a_merge_is_two_audit_events"), self.world.store.read() as uow:
                assert [item.event.action for item in uow.audit.chain()][-2:] == ["D", "U"]
        self.told_rightly(before)
        self.check()

    def facts(self) -> list[Fact]:
        return self.world.registry.facts(limit=ALL)

    def counted(self) -> tuple[int, int]:
        """How many things consumers and auditors were told."""
        with self.world.store.read() as uow:
            return len(uow.outbox.page(limit=ALL)), sum(1 for _ in uow.audit.chain())

    def accounted(self, before: tuple[int, int]) -> None:
        """[I39] Nothing is written unaudited."""
        with named("nothing_is_written_unaudited"):
            assert self.counted()[1] > before[1]

    def told_rightly(self, before: tuple[int, int]) -> None:
        """[I31] What is told is told once, and to who may see it."""
        with self.world.store.read() as uow:
            rows = uow.outbox.page(limit=ALL)
        for consumer in CONSUMERS:
            told = [row for row in rows if row.consumer == consumer.name]
            for at, row in enumerate(told):
                if row.id > before[0]:
                    members = members_of(row.payload)
                    with named("only_what_changed_is_told"):
                        assert told_sets(told[:at]) != told_sets(told[: at + 1]), f"{row.id} says nothing new"
                    with named("only_what_is_answered_is_told"):
                        assert {one.domain for one in members} <= consumer.domains
                        for one in members:
                            assert elsewhere(self.world, consumer, one) is not None, f"{one} is told of"

    @rule(source=st.sampled_from(SOURCES), text=value, name=who, minute=minutes, elsewhere=often, to=value)
    def state(self, source: str, text: str, name: str, minute: int, elsewhere: bool, to: str) -> None:
        at = source[-1].upper()
        witness = WITNESSES.get(source[:3], Witness.FEED)
        record = statement(at, text, PEOPLE[name], minute=minute, source=source, witness=witness)
        linked = (key("B", to),) if source == "his-a" and not elsewhere else ()
        self.deliver(IdentityStated((record,), linked), source)

    @precondition(lambda self: self.sent)
    @rule(at=some, name=who, minute=minutes)
    def state_again(self, at: int, name: str, minute: int) -> None:
        """A correction, a marriage, or somebody else: of an identifier that was stated before."""
        stated = [(source, i.records[0]) for source, _, i, _ in self.sent if isinstance(i, IdentityStated)]
        if stated:
            source, before = stated[at % len(stated)]
            now = replace(before, demographics=PEOPLE[name], event_time=START + timedelta(minutes=minute))
            self.deliver(IdentityStated((now,)), source)

    @rule(
        site=site,
        text=value,
        name=st.sampled_from(["louise", "married", "date corrected", "pierre"]),
        minute=minutes,
    )
    def admit(self, site: str, text: str, name: str, minute: int) -> None:
        source = f"ris-{site.lower()}"
        self.deliver(IdentityStated((statement(site, text, PEOPLE[name], minute=minute),)), source)

    @rule(left=value, right=value, name=who, minute=minutes)
    def state_in_two_domains(self, left: str, right: str, name: str, minute: int) -> None:
        records = tuple(
            statement(at, text, PEOPLE[name], minute=minute, source="his-a")
            for at, text in (("A", left), ("B", right))
        )
        self.deliver(IdentityStated(records), "his-a")

    def near(self) -> list[tuple[RecordKey, RecordKey]]:
        """Pairs of records that something joins, or might."""
        with self.world.store.read() as uow:
            records = uow.records.by_ids(uow.records.all_ids())
            edges = uow.edges.touching(list(records))
        pairs = {(records[e.left_id].key, records[e.right_id].key) for e in edges}
        pairs |= {(a, b) for members in self.world.partition() for a in members for b in members if a < b}
        return sorted(pairs)

    @precondition(lambda self: self.near())
    @rule(at=some, linked=st.booleans(), minute=minutes, source=st.sampled_from(("ris-a", "ris-b")))
    def link_what_is_near(self, at: int, linked: bool, minute: int, source: str) -> None:
        near = self.near()
        left, right = (one._replace(epoch=0) for one in near[at % len(near)])
        when = START + timedelta(minutes=minute)
        if left != right:
            self.deliver(IdentifiersLinked(left, right, linked, when, source), source)

    @rule(site=site, pair=st.permutations(VALUES), minute=minutes, renamed=often)
    def merge(self, site: str, pair: list[str], minute: int, renamed: bool) -> None:
        renamed = not renamed
        instruction = replace(merge(site, pair[0], pair[1], minute=minute), renamed=renamed)
        self.deliver(instruction, f"ris-{site.lower()}")

    @rule(sites=st.permutations(SITES), left=value, right=value, linked=st.booleans(), minute=minutes)
    def link(self, sites: list[str], left: str, right: str, linked: bool, minute: int) -> None:
        source, at = f"ris-{sites[0].lower()}", START + timedelta(minutes=minute)
        self.deliver(IdentifiersLinked(key(sites[0], left), key(sites[1], right), linked, at, source), source)

    @rule(site=site, pair=st.permutations(VALUES))
    def move(self, site: str, pair: list[str]) -> None:
        source = f"ris-{site.lower()}"
        self.deliver(PatientMoved(key(site, pair[0]), key(site, pair[1]), START, source), source)

    @precondition(lambda self: self.sent)
    @rule(at=some, other_content=often)
    def send_again(self, at: int, other_content: bool) -> None:
        """[I22] What was applied is applied once; what was not is judged anew."""
        source, control_id, instruction, receipt = self.sent[at % len(self.sent)]
        erased = not self.world.registry.message(receipt.message_id, actor="test").envelope.raw
        if receipt.state is not MessageState.APPLIED or erased:  # it is a new message
            return
        before, counted = self.snapshot(), self.counted()
        content = "" if other_content else "other"
        receipt = self.world.send(instruction, source=source, control_id=control_id, content=content)
        self.received += 1
        with named("a_message_is_applied_once"):
            assert receipt.state is (MessageState.QUARANTINED if content else MessageState.DUPLICATE)
            assert self.snapshot() == before
            assert self.counted()[0] == counted[0]
        self.check()

    @rule(error=st.sampled_from([InvalidIdentity("PID-3", "no"), ValueError("no")]))
    def fail(self, error: Exception) -> None:
        """[I24] A message nobody can read is kept, and changes nothing."""

        def read() -> Instruction:
            raise error

        before = self.snapshot()
        envelope = Envelope(Protocol.HL7V2, "ris-a", "RIS_A", "F", "", "x", b"raw", "ADT^A28")
        receipt = self.world.registry.receive(envelope, read, lambda receipt: receipt.state.encode())
        self.received += 1
        with named("a_fault_changes_nothing"):
            assert receipt.state is MessageState.QUARANTINED
            assert self.snapshot() == before
        self.check()

    # ---------------------------------------------------------------------------- decisions

    def snapshot(self) -> dict[str, Any]:
        """What must be the same when the same facts stand."""
        found = self.world.snapshot()
        # A record that was once named stays known: alone and never stated, it is nobody.
        nobody = {euid for euid, golden in found["golden"].items() if golden is None}
        them = {k for k, euid in found["euids"].items() if euid in nobody}
        found["sets"] = frozenset(
            members for members in found["sets"] if len(members) > 1 or not members <= them
        )
        found["euids"] = {k: v for k, v in found["euids"].items() if v not in nobody}
        found["golden"] = {k: v for k, v in found["golden"].items() if v is not None}
        return found

    def act(self, do: Callable[[], object], undo: bool) -> None:
        """
        [I13, I14, I17] Decide, and perhaps take it back: then it is as if it had not been.

        But a proposal that it contradicted stays fallen, and no longer keeps its question open.
        """
        before = self.snapshot()
        known = {fact.id: fact for fact in self.facts()}
        counted = self.counted()
        try:
            do()
        except (LinkConflict, StaleReview, UnknownIdentifier):
            with named("what_is_refused_changes_nothing"):
                assert self.snapshot() == before
            return
        self.accounted(counted)
        self.told_rightly(counted)
        fallen = {frozenset((fact.left, fact.right)) for fact in self.changed(known) if fell(fact, known)}
        new = self.note(known)
        self.two_are_needed(new, before["sets"])
        self.check()
        if undo and new:
            now = {fact.id: fact for fact in self.facts()}
            with named("a_decision_taken_back_leaves_no_trace"):
                for name in REVIEWERS:  # what two people made takes two
                    if self.world.registry.withdraw(new[0], actor=f"user:{name}", knowing=now).withdrawn_at:
                        break
                same(but_for(fallen, self.snapshot()), but_for(fallen, before))
            self.note(now)
            self.check()

    def two_are_needed(self, new: list[int], sets: frozenset[frozenset[RecordKey]]) -> None:
        """What touches more records than the rule says stands only once a second person agreed."""
        bound = self.rule_of_two.above_size
        facts = {fact.id: fact for fact in self.facts()}
        for fact in (facts[number] for number in new) if bound is not None else ():
            touched = [members for members in sets if members & {fact.left, fact.right}]
            with named("what_touches_many_takes_two"):
                assert fact.second_needed or sum(map(len, touched)) <= bound

    def changed(self, known: dict[int, Fact]) -> list[Fact]:
        facts = self.facts()
        return [fact for fact in facts if known.get(fact.id) != fact]

    def note(self, known: dict[int, Fact]) -> list[int]:
        """Tell the oracle what people decided or took back. Returns the new facts."""
        changed = self.changed(known)
        for fact in changed:
            claim = oracle.Claim(
                fact.kind, fact.left, fact.right, fact.actor, fact.event_time, fact.statement_id, fact.id
            )
            before = known.get(fact.id)
            stood = before is not None and before.stands
            if stood and not fact.stands:
                if fact.is_by_source:
                    claim = replace(claim, about=None)
                self.history.append(oracle.Withdrawn(claim))
            elif fact.stands and not stood:
                self.history.append(oracle.Decided(claim))
        return [fact.id for fact in changed if fact.id not in known]

    def tasks(self) -> list[Task]:
        """What is asked of those who see every site, and of those who see two."""
        return self.world.tasks() + self.world.registry.tasks(sight=1, limit=ALL)

    @precondition(lambda self: self.tasks())
    @rule(at=some, answer=some, name=reviewer, undo=st.booleans())
    def decide(self, at: int, answer: int, name: str, undo: bool) -> None:
        tasks = self.tasks()
        if not tasks:  # in a story
            return
        task = tasks[at % len(tasks)]
        answers = sorted(ANSWERS[task.key.topic])
        verdict = answers[answer % len(answers)]
        decide = self.world.registry.decide
        self.act(lambda: decide(task.id, verdict, reviewer=name, version=task.version), undo)
        now = self.world.registry.review(task.id, actor="test").task
        if now.version != task.version:
            with named("a_question_is_answered_as_it_was_read"):  # [I47]
                refused(lambda: decide(task.id, verdict, reviewer=name, version=task.version))

    def keys(self) -> list[RecordKey]:
        return sorted(self.world.euids())

    @precondition(lambda self: any(fact.kind in BINDING for fact in self.facts()))
    @rule(at=some, name=reviewer, undo=st.booleans())
    def say_again(self, at: int, name: str, undo: bool) -> None:
        """What somebody once said of two records, whatever has become of it."""
        said = [fact for fact in self.facts() if fact.kind in BINDING]
        fact = said[at % len(said)]
        relate = self.world.registry.relate
        self.act(lambda: relate(Verdict(fact.kind.value), fact.left, fact.right, reviewer=name), undo)

    @precondition(lambda self: len(self.keys()) > 1)
    @rule(
        left=some,
        right=some,
        verdict=st.sampled_from([Verdict.SAME, Verdict.DIFFERENT, Verdict.HOMONYMS]),
        name=reviewer,
        undo=st.booleans(),
    )
    def relate(self, left: int, right: int, verdict: Verdict, name: str, undo: bool) -> None:
        keys = self.keys()
        pair = keys[left % len(keys)], keys[right % len(keys)]
        self.act(lambda: self.world.registry.relate(verdict, *pair, reviewer=name), undo)

    @precondition(lambda self: self.tasks())
    @rule(at=some, answer=some, name=reviewer)
    def answer_the_gravest(self, at: int, answer: int, name: str) -> None:
        sight = at % 2
        gravest = self.world.registry.urgent_tasks(limit=1, sight=sight)
        task = (gravest or self.world.registry.urgent_tasks(limit=1, sight=1 - sight))[0]
        answers = sorted(ANSWERS[task.key.topic])
        verdict = answers[answer % len(answers)]
        decide = self.world.registry.decide
        self.act(lambda: decide(task.id, verdict, reviewer=name, version=task.version), undo=False)

    @precondition(lambda self: self.near())
    @rule(at=some, verdict=st.sampled_from(["same", "different"]), name=reviewer, undo=st.booleans())
    def relate_what_is_near(self, at: int, verdict: str, name: str, undo: bool) -> None:
        near = self.near()
        pair = near[at % len(near)]
        self.act(lambda: self.world.registry.relate(Verdict(verdict), *pair, reviewer=name), undo)

    @precondition(lambda self: self.keys())
    @rule(at=some, name=reviewer, undo=st.booleans())
    def doubt(self, at: int, name: str, undo: bool) -> None:
        keys = self.keys()
        self.act(lambda: self.world.registry.doubt(keys[at % len(keys)], reviewer=name), undo)

    @precondition(lambda self: any(len(members) > 1 for members in self.world.partition()))
    @rule(at=some, member=some, to=some, moves=st.booleans(), name=reviewer, undo=st.booleans())
    def split(self, at: int, member: int, to: int, moves: bool, name: str, undo: bool) -> None:
        """[I19] Out of its set, and into another one perhaps."""
        sets = sorted(sorted(members) for members in self.world.partition() if len(members) > 1)
        if not sets:  # in a story
            return
        members, keys = sets[at % len(sets)], self.keys()
        leaving = [members[member % len(members)]]
        target = keys[to % len(keys)] if moves else None
        self.act(lambda: self.world.registry.split(leaving, reviewer=name, to=target), undo)

    @precondition(lambda self: self.received)
    @rule(at=some, name=reviewer, undo=st.booleans())
    def set_aside(self, at: int, name: str, undo: bool) -> None:
        with self.world.store.read() as uow:
            told = uow.records.statements_of(uow.records.all_ids())
        numbers = [said.id for statements in told.values() for said in statements]
        if numbers:
            number = numbers[at % len(numbers)]
            self.act(lambda: self.world.registry.set_aside(number, reviewer=name), undo)

    @precondition(lambda self: self.received)
    @rule(at=some, name=reviewer)
    def withdraw(self, at: int, name: str) -> None:
        """[I17] Any act, knowing everything that came after."""
        facts = {fact.id: fact for fact in self.facts()}
        open_ones = [f for f in facts.values() if f.withdrawn_at is None and f.kind is not FactKind.ERASED]
        if open_ones:
            chosen = open_ones[at % len(open_ones)]
            self.act(
                lambda: self.world.registry.withdraw(chosen.id, actor=f"user:{name}", knowing=facts),
                undo=False,
            )

    @precondition(lambda self: self.tasks())
    @rule(at=some, name=reviewer, back=st.booleans())
    def claim(self, at: int, name: str, back: bool) -> None:
        """Who works on a task keeps others out, and changes nothing else."""
        tasks = self.tasks()
        task, other = tasks[at % len(tasks)], next(n for n in REVIEWERS if n != name)
        before = self.snapshot()
        try:
            self.world.registry.claim(task.id, reviewer=name)
        except StaleReview:
            return
        with named("a_claim_keeps_others_out"):
            registry = self.world.registry
            refused(lambda: registry.claim(task.id, reviewer=other))
            refused(lambda: registry.decide(task.id, Verdict.UNDECIDED, reviewer=other, version=task.version))
            assert self.snapshot() == before
        if back:
            self.world.registry.release(task.id, reviewer=name)

    @precondition(lambda self: self.keys())
    @rule(at=some, really=often)
    def erase(self, at: int, really: bool) -> None:
        """[I21] What is known of a record is destroyed, and nobody bears its identifier again."""
        if really:
            return
        keys = self.keys()
        chosen = keys[at % len(keys)]
        known = {fact.id: fact for fact in self.facts()}
        try:
            euid = self.world.registry.erase(chosen, reviewer="anne", reason="law")
        except UnknownIdentifier:
            return
        self.erased.add(euid)
        self.note(known)
        self.check()

    # ---------------------------------------------------------------------------- the laws

    def check(self) -> None:
        view = View(self.world, oracle.expected(self.history, self.world.registry.policy), self.received)
        for one in LAWS:
            with named(one):
                one(view)
        self.a_closed_question_stays_closed(view)
        self.no_identifier_is_borne_twice(view)
        self.what_was_said_is_kept(view)

    def a_closed_question_stays_closed(self, view: View) -> None:
        """[I18, I47] Until what was looked at changes, or the decision is taken back."""
        facts = {fact.id: fact for fact in view.facts}
        with named("a_closed_question_stays_closed"):
            every = (*view.tasks, *view.asked_of_some)
            for task in (task for task in every if task.state in LIVE_STATES):
                before = self.closed.get(task.id)
                if before is not None and before.key.topic is not Topic.OVERLAY:
                    changed = (task.kind, task.reason, task.fingerprint) != (
                        before.kind,
                        before.reason,
                        before.fingerprint,
                    )
                    assert changed or (before.fact_id is not None and not facts[before.fact_id].stands)
        self.closed = {task.id: task for task in every if task.state is TaskState.DECIDED}

    def no_identifier_is_borne_twice(self, view: View) -> None:
        """[I21] Whoever bore an identifier, it resolves or is not to be answered; the erased never come back."""
        self.borne |= set(view.sets)
        with named("no_identifier_is_borne_twice"):
            assert self.borne <= set(view.native.values())
            for euid in self.erased:
                (record,) = (r for r in view.records.values() if r.native_euid == euid)
                assert record.first_event_time is None
                assert record.demographics == Demographics()
                assert not view.sets.get(euid) or all(
                    view.records[view.id_of[k]].first_event_time is None for k in view.sets[euid]
                )

    def what_was_said_is_kept(self, view: View) -> None:
        """[I19] No statement is ever altered."""
        with named("what_was_said_is_kept"):
            for said in view.statements:
                assert self.said.setdefault(said.id, said) == said

    def teardown(self) -> None:
        if not self.received:
            return
        with named("the_audit_chain_holds"), self.world.store.read() as uow:
            assert first_break(uow.audit.chain()) is None
        self.any_interleaving_ends_the_same()

    def any_interleaving_ends_the_same(self) -> None:
        """[I26, I27] The messages alone, each source's order kept; and assertions before what they are about."""
        applied = [(source, instruction) for source, _, instruction, _ in self.sent]
        queues: dict[str, list[Instruction]] = {}
        for source, instruction in applied:
            queues.setdefault(source, []).append(instruction)
        draw = random.Random(self.seed)
        mixed = []
        waiting = {source: list(queue) for source, queue in queues.items()}
        while waiting:
            source = draw.choice(sorted(waiting))
            mixed.append((source, waiting[source].pop(0)))
            if not waiting[source]:
                del waiting[source]
        renames = any(isinstance(i, IdentifiersMerged) and i.renamed for _, i in applied)
        first = [item for item in applied if not isinstance(item[1], IdentityStated)]
        then = [item for item in applied if isinstance(item[1], IdentityStated)]
        straight = self.replayed(applied)
        with named("any_interleaving_ends_the_same"):
            same(self.replayed(mixed), straight)
        if not renames:  # a rename needs its target to be free
            with named("assertions_may_come_first"):
                same(self.replayed(first + then), straight)

    def replayed(self, messages: list[tuple[str, Instruction]]) -> dict[str, Any]:
        world = self.new_world()
        for source, instruction in messages:
            world.send(instruction, source=source)
        return world.snapshot()


class TwoPeople(Machine):
    """The same, where what touches a qualified identity or a large set takes two people."""

    rule_of_two = TwoPersonRule(qualified=True, verified_link=True, above_size=2)

    @precondition(lambda self: self.received)
    @rule(at=some, name=reviewer)
    def confirm(self, at: int, name: str) -> None:
        facts = self.facts()
        waiting = [f for f in facts if f.second_needed and not f.stands and f.withdrawn_at is None]
        if not waiting:
            return
        chosen = waiting[at % len(waiting)]
        if chosen.actor == f"user:{name}":
            with named("nobody_is_the_second_person_of_themselves"):
                refused(lambda: self.world.registry.confirm(chosen.id, reviewer=name))
            return
        self.act(lambda: self.world.registry.confirm(chosen.id, reviewer=name), undo=False)


class OnSqlite(Machine):
    """The same on SQL."""

    def new_store(self) -> Any:
        store = open_store("sqlite://")
        store.euid_secret = MemoryStore().euid_secret  # two worlds of one installation
        return store


# ------------------------------------------------------------------------------------ stories


def tell(machine: Machine, *told: tuple[str, str, str, int]) -> None:
    """Source, identifier, who, and when."""
    for source, text, name, minute in told:
        machine.state(source=source, text=text, name=name, minute=minute, elsewhere=True, to="1")


def say(machine: Machine, linked: bool, minute: int, left: str = "A1", right: str = "B1") -> None:
    sites = [left[0], right[0], ""]
    machine.link(sites=sites, left=left[1], right=right[1], linked=linked, minute=minute)


def stated_alike(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "louise", 1), ("ris-b", "1", "louise", 2), ("ris-c", "1", "louise", 3))


def an_unlink_binds_whole_sets(machine: Machine) -> None:
    say(machine, False, 5)
    stated_alike(machine)
    say(machine, True, 4)
    say(machine, True, 5)


def the_last_word_of_a_source_holds(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "louise", 1), ("ris-b", "1", "pierre", 2))
    for linked, minute in (
        (True, 5),
        (False, 9),
        (True, 7),
        (True, 12),
        (False, 10),
        (False, 12),
        (True, 20),
    ):
        say(machine, linked, minute)
    say(machine, True, 30)
    say(machine, False, 25)


def doubt_binds(machine: Machine) -> None:
    stated_alike(machine)
    machine.doubt(at=0, name="anne", undo=True)
    machine.doubt(at=0, name="anne", undo=False)
    tell(machine, ("ris-b", "1", "married", 9))


def a_set_grows_to_its_bound(machine: Machine) -> None:
    stated_alike(machine)
    tell(machine, ("ris-a", "2", "louise", 4), ("ris-b", "2", "louise", 5), ("ris-c", "2", "louise", 6))


def two_numbers_are_two_people(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "qualified", 1), ("ris-b", "1", "otherwise qualified", 2))
    tell(machine, ("ris-c", "1", "louise", 3), ("ris-c", "2", "married", 4))
    say(machine, True, 5)
    machine.relate(left=0, right=1, verdict=Verdict.SAME, name="anne", undo=False)


def a_suspicion_stops_new_links(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "louise", 1), ("ris-b", "1", "louise", 2), ("ris-a", "1", "pierre", 5))
    tell(machine, ("ris-c", "1", "louise", 6), ("ris-b", "2", "pierre", 7))


def a_domain_is_stricter(machine: Machine) -> None:
    tell(
        machine, ("ris-a", "1", "only the year", 1), ("ris-a", "2", "louise", 2), ("ris-b", "1", "louise", 3)
    )
    tell(machine, ("ris-a", "3", "date corrected", 4), ("ris-c", "1", "misspelt", 5))


def twins_are_two(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "louise", 1), ("ris-b", "1", "twin", 2), ("ris-c", "1", "only the year", 3))
    say(machine, True, 4)
    say(machine, True, 5, "B1", "C1")


def a_rename_needs_a_free_identifier(machine: Machine) -> None:
    tell(machine, ("ris-c", "1", "louise", 1), ("ris-c", "2", "pierre", 2))
    machine.merge(site="C", pair=["1", "2", "3"], minute=5, renamed=False)


def a_person_has_the_last_word_on_a_link(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "louise", 1), ("ris-b", "1", "pierre", 2))
    say(machine, True, 5)
    machine.withdraw(at=0, name="anne")
    say(machine, True, 9)


def the_erased_do_not_come_back(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "louise", 1), ("ris-b", "1", "louise", 2))
    machine.erase(at=0, really=False)
    tell(machine, ("ris-a", "1", "louise", 3), ("ris-c", "1", "married", 4))
    machine.merge(site="A", pair=["2", "1", "3"], minute=5, renamed=True)


def a_deleted_name_is_gone(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "married", 1), ("ris-a", "1", "divorced", 4), ("ris-a", "1", "married", 2))
    tell(machine, ("ris-a", "2", "qualified", 1), ("ris-a", "2", "ins withdrawn", 4))


def an_act_is_taken_back_whole(machine: Machine) -> None:
    stated_alike(machine)
    for undo in (True, False):
        machine.split(at=0, member=0, to=0, moves=False, name="anne", undo=undo)
    machine.withdraw(at=0, name="anne")


def a_question_taken_back_is_open(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "louise", 1), ("ris-b", "1", "doubtful", 2), ("ris-a", "2", "louise", 3))
    for at in range(3):
        for answer in range(8):
            machine.decide(at=at, answer=answer, name="anne", undo=True)


def a_question_outlived_by_its_proposal(machine: Machine) -> None:
    tell(machine, ("ris-c", "1", "qualified", 0), ("ris-c", "3", "moved", 0))
    machine.answer_the_gravest(at=0, answer=23, name="anne")
    machine.decide(at=1, answer=0, name="boris", undo=False)
    machine.merge(site="C", pair=["3", "1", "2"], minute=0, renamed=True)
    machine.decide(at=21, answer=3, name="anne", undo=True)


def a_duplicate_is_dismissed(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "louise", 1), ("ris-a", "2", "louise", 3))
    machine.decide(
        at=0, answer=sorted(ANSWERS[Topic.DUPLICATE]).index(Verdict.DISMISSED), name="anne", undo=True
    )
    tell(machine, ("ris-a", "1", "moved", 5), ("ris-a", "1", "misspelt", 6))


def hidden_people_are_nobodys_answer(machine: Machine) -> None:
    stated_alike(machine)
    tell(machine, ("ris-b", "1", "hidden", 5), ("ris-a", "2", "hidden", 6))
    machine.merge(site="A", pair=["1", "3", "2"], minute=7, renamed=True)


def two_numbers_contradict(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "otherwise qualified", 1), ("ris-b", "1", "louise", 2))
    tell(machine, ("ris-c", "1", "unqualified", 3))


def a_suspicion_freezes_a_record(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "louise", 1), ("ris-a", "1", "pierre", 5), ("ris-c", "1", "louise", 6))


def a_header_is_judged_last(machine: Machine) -> None:
    tell(machine, ("pacs-a", "1", "pierre", 1), ("ris-a", "1", "louise", 2), ("pacs-a", "1", "married", 3))


def an_identifier_goes_into_one(machine: Machine) -> None:
    for pair in (["1", "2", "3"], ["3", "2", "1"], ["2", "1", "3"], ["2", "2", "2"]):
        machine.merge(site="A", pair=pair, minute=5, renamed=True)


def an_identifier_is_recycled(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "louise", 1), ("ris-b", "1", "louise", 2), ("ris-a", "1", "pierre", 5))
    recycled = sorted(ANSWERS[Topic.OVERLAY]).index(Verdict.RECYCLED)
    for undo in (True, False):
        machine.decide(at=0, answer=recycled, name="anne", undo=undo)
    tell(machine, ("ris-c", "1", "pierre", 6), ("pacs-a", "1", "louise", 3), ("ris-a", "1", "married", 2))


def nobody_says_yes_and_no(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "louise", 1), ("ris-b", "1", "pierre", 2), ("ris-c", "1", "baby", 2))
    for left, right, verdict in ((0, 1, Verdict.SAME), (1, 2, Verdict.SAME), (0, 2, Verdict.DIFFERENT)):
        machine.relate(left=left, right=right, verdict=verdict, name="anne", undo=False)


def people_outrank_sources(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "qualified", 1), ("ris-b", "1", "louise", 2))
    tell(machine, ("ris-c", "1", "otherwise qualified", 3))
    say(machine, True, 5)
    machine.relate(left=1, right=2, verdict=Verdict.SAME, name="anne", undo=False)


def a_movement_tells_where_not_who(machine: Machine) -> None:
    tell(
        machine, ("ris-b", "1", "louise", 1), ("adt-b", "1", "date corrected", 5), ("adt-b", "1", "moved", 6)
    )
    tell(machine, ("ris-b", "1", "married", 3))


def a_weak_bridge_holds_nothing(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "left", 1), ("ris-b", "1", "left abutment", 2))
    tell(machine, ("ris-c", "1", "right", 3), ("ris-a", "2", "right abutment", 4))


def a_number_needs_its_status(machine: Machine) -> None:
    tell(
        machine,
        ("ris-a", "1", "unqualified", 1),
        ("ris-a", "1", "qualified", 4),
        ("ris-a", "1", "unqualified", 6),
    )


def another_source_is_the_first_to_use_it(machine: Machine) -> None:
    tell(machine, ("ris-a", "1", "louise", 0))
    machine.state_in_two_domains(left="1", right="2", name="again", minute=0)
    machine.merge(site="B", pair=["2", "1", "3"], minute=0, renamed=False)
    machine.link(sites=["C", "B", "A"], left="1", right="1", linked=False, minute=0)


STORIES = (
    two_numbers_contradict, a_suspicion_freezes_a_record, a_header_is_judged_last,
    an_identifier_goes_into_one, an_identifier_is_recycled, nobody_says_yes_and_no,
    people_outrank_sources, a_movement_tells_where_not_who, a_weak_bridge_holds_nothing, a_number_needs_its_status,
    an_unlink_binds_whole_sets, the_last_word_of_a_source_holds, doubt_binds, a_set_grows_to_its_bound,
    two_numbers_are_two_people, a_suspicion_stops_new_links, a_domain_is_stricter, twins_are_two,
    a_rename_needs_a_free_identifier, a_person_has_the_last_word_on_a_link, the_erased_do_not_come_back,
    a_deleted_name_is_gone, an_act_is_taken_back_whole, a_question_taken_back_is_open,
    a_duplicate_is_dismissed, a_question_outlived_by_its_proposal, another_source_is_the_first_to_use_it,
    hidden_people_are_nobodys_answer,
)  # fmt: skip


def live(machine: Machine, story: Callable[[Machine], None]) -> None:
    """One story, from beginning to end."""
    machine.begin(seed=1)
    story(machine)
    machine.teardown()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
@pytest.mark.parametrize("machine", [Machine, TwoPeople])
def test_every_law_holds_in_every_story(machine: type[Machine], story: Callable[[Machine], None]) -> None:
    live(machine(), story)


QUICK = settings(
    max_examples=150,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
LONG = settings(QUICK, max_examples=2_000, stateful_step_count=50)


@pytest.mark.parametrize("machine", [Machine, TwoPeople])
def test_every_law_holds_after_every_step(machine: type[Machine]) -> None:
    """[I1-I22, I24-I27, I31, I32, I39, I47-I49]"""
    run_state_machine_as_test(machine, settings=QUICK)


def test_every_law_holds_on_sqlite() -> None:
    """The same laws, on the store that ships."""
    run_state_machine_as_test(OnSqlite, settings=settings(QUICK, max_examples=6, stateful_step_count=20))


@pytest.mark.long
@pytest.mark.parametrize("machine", [Machine, TwoPeople])
def test_every_law_holds_for_long(machine: type[Machine]) -> None:
    """The same laws, on ten times as many machines, each of them older."""
    run_state_machine_as_test(machine, settings=LONG)
