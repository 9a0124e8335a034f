"""
Laws of the registry, over generated messages: order, repetition, undo, conservation, and what sets may hold.

Names in brackets are the invariants of the reliability design (I1 …).
"""

from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from mpi.errors import LinkConflict
from mpi.identity.model import Demographics, NameUse, PersonName, Witness
from mpi.index.audit import canonical, first_break
from mpi.index.events import FactKind, IdentityStated, MessageState
from mpi.index.review import TaskKind, Verdict
from tests.fakes import MemoryStore
from tests.federation import (
    SITES,
    World,
    conserved,
    key,
    merge,
    person,
    shuffled_keeping_each_order,
    statement,
)

INS = ("284022999912354", "199112A99905644")

PEOPLE = (
    person(),
    person(given="LOUISE ANNE"),
    person(used="DUVIVIER"),
    person(born="1984-02-28"),  # one digit off
    person(family="CHANTREAU"),  # a typing error
    person(given="LEA"),  # a twin
    person(given="MARTIN", sex="M", born="1959-07-14"),  # a parent
    person(born="1984", birth_place_code=""),  # only the year
    person(family="INCONNU", given="X", born="", birth_place_code=""),
    person(ins=INS[0], ins_oid="1.2.250.1.213.1.4.10", identity_codes=("VALI",)),
    person(ins=INS[1], ins_oid="1.2.250.1.213.1.4.10", identity_codes=("VALI",)),
    person(family="OEUVRARD", ins=INS[0], ins_oid="1.2.250.1.213.1.4.10", identity_codes=("VALI",)),
    person(family="OEUVRARD", ins=INS[1], ins_oid="1.2.250.1.213.1.4.10", identity_codes=("VALI",)),
    person(identity_codes=("PROV", "DOUT")),
    person(identity_codes=("VALI", "CACH")),
    Demographics(names=(PersonName("DUVIVIER", "LOUISE", use=NameUse.UNSPECIFIED),), sex="F"),
    Demographics(names=(PersonName("DUVIVIER", "LOUISE"),), sex="F", deleted=frozenset({"used_name"})),
)

ids = st.sampled_from(("1", "2", "3"))
minutes = st.integers(0, 20)


@st.composite
def site_messages(draw, site):
    """What one site sends, in its own order."""
    stated = st.builds(
        lambda value, number, minute, header: IdentityStated(
            (
                statement(
                    site,
                    value,
                    PEOPLE[number],
                    minute=minute,
                    source=f"{'pacs' if header else 'ris'}-{site.lower()}",
                    witness=Witness.HEADER if header else Witness.FEED,
                ),
            )
        ),
        ids,
        st.sampled_from(range(len(PEOPLE))),
        minutes,
        st.booleans(),
    )
    merged = st.builds(
        lambda pair, minute: merge(site, pair[0], pair[1], minute=minute),
        st.permutations(("1", "2", "3")),
        minutes,
    )
    return draw(st.lists(st.one_of(stated, stated, stated, merged), max_size=5))


messages = st.tuples(*(site_messages(site) for site in SITES)).map(list)
choices = st.lists(st.integers(0, 2), min_size=15, max_size=15)
laws = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def deliver(world, sequence):
    for instruction in sequence:
        receipt = world.send(instruction, source="ris")
        assert receipt.state is MessageState.APPLIED or receipt.error is not None
    return world


@laws
@given(messages, choices, choices)
def test_any_interleaving_ends_in_the_same_state(sequences, first, second):
    """[I26, I27, I49] Same partition, enterprise identifiers, golden records and open questions."""
    one = deliver(World(MemoryStore()), shuffled_keeping_each_order(first, sequences)).snapshot()
    two = deliver(World(MemoryStore()), shuffled_keeping_each_order(second, sequences)).snapshot()

    assert one == two


@laws
@given(messages, choices)
def test_what_is_kept_equals_what_is_derived_from_everything(sequences, order):
    """[I1, I2, I32] Each record is in one set, and the sets are those of a derivation from nothing."""
    world = deliver(World(MemoryStore()), shuffled_keeping_each_order(order, sequences))
    sets = world.partition()

    assert sum(map(len, sets)) == len(frozenset().union(*sets) if sets else ())
    assert set().union(*sets) == set(world.euids())
    assert sets == world.from_scratch()


@laws
@given(messages, choices, st.data())
def test_a_verdict_withdrawn_leaves_no_trace(sequences, order, data):
    """[I13, I17] Undo restores sets, identifiers, golden records and open questions."""
    world = deliver(World(MemoryStore()), shuffled_keeping_each_order(order, sequences))
    before = world.snapshot()
    tasks = world.tasks()
    if not tasks:
        return
    task = data.draw(st.sampled_from(tasks), label="task")
    verdict = data.draw(st.sampled_from([Verdict.SAME, Verdict.DIFFERENT]), label="verdict")
    try:
        decided = world.decide(task.id, verdict)
    except LinkConflict as conflict:
        note(str(conflict))
        assert world.snapshot() == before
        return
    # When other statements are held besides the one decided about, the question is open again at once.
    fact_id = decided.fact_id or world.registry.facts(limit=10_000)[-1].id
    world.registry.withdraw(fact_id, actor="user:anne")

    assert world.snapshot() == before


@laws
@given(messages, choices)
def test_a_merge_withdrawn_leaves_no_trace(sequences, order):
    """[I13] A source's merge of two stated records, withdrawn, is as if it had not been sent."""
    world = deliver(World(MemoryStore()), shuffled_keeping_each_order(order, sequences))
    known = sorted(world.euids())
    standing = {fact.id for fact in world.registry.facts(limit=1000)}
    pair = next(((a, b) for a in known for b in known if a != b and a.domain == b.domain), None)
    if pair is None:
        return
    site = next(s for s in SITES if key(s, "").domain == pair[0].domain)
    before = world.snapshot()
    world.merge(site, pair[0].value, pair[1].value, minute=30)
    new = [fact for fact in world.registry.facts(limit=1000) if fact.id not in standing]
    for fact in new:
        world.registry.withdraw(fact.id, actor="user:anne")

    assert world.snapshot() == before


@laws
@given(messages, choices, st.integers(1, 3))
def test_a_message_sent_again_changes_nothing(sequences, order, times):
    """
    [I22, I24] Same sender, control id and content: the reply of the first time, and no effect.

    What was not applied is tried again, and answered the same while nothing else changed.
    """
    once, again = World(MemoryStore()), World(MemoryStore())
    received = 0
    for number, instruction in enumerate(shuffled_keeping_each_order(order, sequences)):
        first = once.send(instruction, source="ris", control_id=str(number))
        for repeat in range(1 + times):
            receipt = again.send(instruction, source="ris", control_id=str(number))
            received += 1
            assert receipt.reply == first.reply
            applied = first.state is MessageState.APPLIED
            assert (receipt.state is MessageState.DUPLICATE) == (applied and repeat > 0)

    assert once.snapshot() == again.snapshot()
    assert conserved(again.registry.message_counts(), received)


@laws
@given(messages, choices)
def test_sets_hold_nothing_they_must_not(sequences, order):
    """[I9, I10] Never two qualified INS; two active records of a domain always with a question; hidden ones alone."""
    world = deliver(World(MemoryStore()), shuffled_keeping_each_order(order, sequences))
    questions, sets = world.open_questions(), world.partition()
    with world.store.read() as uow:
        for members in sets:
            records = uow.records.by_keys(members)
            retired = {f.right for f in uow.facts.standing(list(members)) if f.kind is FactKind.MERGED}
            asserted = bool(uow.facts.standing(list(members)))
            assert len({r.traits.qualified_ins for r in records.values()} - {""}) <= 1
            for domain in {k.domain for k in members}:
                active = [
                    k
                    for k in members - retired
                    if k.domain == domain and records[k].first_event_time is not None
                ]
                if len(active) > 1:
                    assert any(
                        kind == TaskKind.DUPLICATE_IN_DOMAIN and pair & set(active)
                        for kind, pair, _ in questions
                    )
            if len(members) > 1 and not asserted:
                assert not any(
                    r.traits.attributes and not r.traits.may_be_linked_automatically for r in records.values()
                )


@laws
@given(messages, choices, messages, choices, st.data())
def test_records_a_person_told_apart_stay_apart(sequences, order, later, later_order, data):
    """[I8, I18] Whatever arrives afterwards; the question is asked again only when what was compared changes."""
    world = deliver(World(MemoryStore()), shuffled_keeping_each_order(order, sequences))
    tasks = [t for t in world.tasks() if t.key.left_id != t.key.right_id]
    if not tasks:
        return
    task = data.draw(st.sampled_from(tasks), label="task")
    try:
        world.decide(task.id, Verdict.DIFFERENT)
    except LinkConflict:
        return
    with world.store.read() as uow:
        pair = {r.key for r in uow.records.by_ids({task.key.left_id, task.key.right_id}).values()}
    deliver(world, shuffled_keeping_each_order(later_order, later))

    assert not any(pair <= members for members in world.partition())
    assert not any(
        pair == asked and kind != TaskKind.CONFLICT and not reason.startswith("changed_since")
        for kind, asked, reason in world.open_questions()
    )


@laws
@given(messages, choices)
def test_the_audit_chain_holds_and_names_no_trait(sequences, order):
    """[I39, I41, I45] Every message left its events, in an unbroken chain, without demographics."""
    world = deliver(World(MemoryStore()), shuffled_keeping_each_order(order, sequences))
    with world.store.read() as uow:
        chain = list(uow.audit.chain())

    assert first_break(chain) is None
    assert not any(b"CHAN" in canonical(item.event) or b"LOUISE" in canonical(item.event) for item in chain)
