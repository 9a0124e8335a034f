"""
The RNIV state table, explored from the start until nothing new is found.

The rules are written here a second time, event by event and without the table; `broken_rules` compares
the two in every reachable state. Longer than most: one model check, and the proof that it can fail.
"""

from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise, permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.identity import rniv
from mpi.identity.ins import (
    INS_NIA_OID,
    INS_NIR_OID,
    INS_TEST_OID,
    IdentityAttribute,
    IdentityStatus,
    status_from_pid_32,
)
from mpi.identity.model import AssigningAuthority, Demographics, PatientIdentifier, SourceRecord
from mpi.identity.rniv import (
    START,
    TRANSITIONS,
    Event,
    EventKind,
    EventRefused,
    IdentityState,
    InsStatement,
    Refusal,
    Situation,
    active_ins,
    codes_of,
    fr_core_status,
    ins_history,
    state_diagram,
    state_from_pid_32,
    stated,
    status_from_fr_core,
)
from mpi.index.golden import current

K = EventKind
HOMONYM, DOUBTFUL, FICTITIOUS = rniv.ATTRIBUTES
NIR = ("284022999912354", INS_NIR_OID)
OTHER_NIR = ("175017599900188", INS_NIR_OID)
NIA = ("271069999904213", INS_NIA_OID)
INS = (NIR, OTHER_NIR, NIA)
BRINGS_INS = (K.STATED_QUALIFIED, K.INS_OBTAINED, K.NIR_REPLACES_NIA, K.INS_CHANGED)
EVENTS = (
    *(Event(kind) for kind in EventKind if kind not in BRINGS_INS),
    *(Event(kind, homonym=True) for kind in (K.STATED_PROVISIONAL, K.STATED_DOUBTFUL, K.STATED_VALIDATED)),
    *(Event(K.STATED_QUALIFIED, *ins, homonym) for ins in INS for homonym in (False, True)),
    *(Event(K.INS_OBTAINED, *ins) for ins in INS),
    *(Event(kind, *ins) for kind in (K.NIR_REPLACES_NIA, K.INS_CHANGED) for ins in (NIR, OTHER_NIR)),
)


def outcome(state, event):
    try:
        return rniv.apply(state, event)
    except EventRefused as refused:
        return refused.refusal


def explore():
    """(state, event, state after or refusal), for all that can be reached from the start."""
    known, waiting = {START}, [START]
    while waiting:
        state = waiting.pop(0)
        for event in EVENTS:
            after = outcome(state, event)
            yield state, event, after
            if isinstance(after, IdentityState) and after not in known:
                known.add(after)
                waiting.append(after)


def constructible():
    attributes = [frozenset(some) for size in range(4) for some in combinations(rniv.ATTRIBUTES, size)]
    for status, some, ins in product(IdentityStatus, attributes, (("", ""), *INS)):
        try:
            yield IdentityState(status, some, *ins)
        except ValueError:
            continue


POSSIBLE_STATES = frozenset(constructible())
"""Every state that can be built, with the INS the events bring."""


def invariants(state):
    overruled = {DOUBTFUL, FICTITIOUS} & state.attributes
    yield not overruled or state.status is IdentityStatus.PROVISIONAL
    yield not overruled or not state.usable_ins
    yield not {DOUBTFUL, FICTITIOUS} <= state.attributes
    yield not {HOMONYM, FICTITIOUS} <= state.attributes
    yield bool(state.usable_ins) == (state.status is IdentityStatus.QUALIFIED)
    yield bool(state.ins) == (state.status in (IdentityStatus.QUALIFIED, IdentityStatus.RETRIEVED))
    yield ("VALI" in codes_of(state)) == proven(state)


def proven(state):
    return state.status in (IdentityStatus.VALIDATED, IdentityStatus.QUALIFIED)


def forbidding(state, event):
    """Refusal -> whether its rule forbids the event, said without the table."""
    overruled = bool({DOUBTFUL, FICTITIOUS} & state.attributes)
    held, brought = (state.ins, state.ins_oid), (event.ins, event.ins_oid)
    return {
        Refusal.NOT_ASKED: event.kind is K.INS_OBTAINED and overruled,
        Refusal.ANOTHER_INS: event.kind is K.INS_OBTAINED and state.ins and held != brought,
        Refusal.STAYS_PROVISIONAL: event.kind is K.PROOF_CHECKED and overruled,
        Refusal.NO_PROOF: event.kind is K.PROOF_INVALIDATED and not proven(state),
        Refusal.NOT_QUALIFIED: event.kind is K.QUALIFICATION_WITHDRAWN and not state.ins,
        Refusal.EXCLUDE_EACH_OTHER: (event.kind is K.DOUBT_RAISED and FICTITIOUS in state.attributes)
        or (event.kind is K.FICTION_DECLARED and DOUBTFUL in state.attributes),
        Refusal.NO_NAMESAKE: (event.kind is K.HOMONYM_DECLARED and FICTITIOUS in state.attributes)
        or (event.kind is K.FICTION_DECLARED and HOMONYM in state.attributes),
        Refusal.NOT_DOUBTFUL: event.kind is K.DOUBT_LIFTED and DOUBTFUL not in state.attributes,
        Refusal.NOT_FICTITIOUS: event.kind is K.FICTION_LIFTED and FICTITIOUS not in state.attributes,
        Refusal.NOT_HOMONYM: event.kind is K.HOMONYM_LIFTED and HOMONYM not in state.attributes,
        Refusal.NO_INS: event.kind in (K.NIR_REPLACES_NIA, K.INS_CHANGED) and not state.ins,
        Refusal.NOT_A_NIA: event.kind is K.NIR_REPLACES_NIA and state.ins and held not in (NIA, brought),
        Refusal.STILL_A_NIA: event.kind is K.INS_CHANGED and held == NIA,
    }


def expected(state, event):
    """(proof, INS, attributes) after an event that is not refused, said without the table."""
    proof, ins = proven(state), (state.ins, state.ins_oid)
    attributes, nothing, brought = state.attributes, ("", ""), (event.ins, event.ins_oid)
    said = frozenset({HOMONYM} if event.homonym else ())
    return {
        K.STATED_PROVISIONAL: (False, nothing, said),
        K.STATED_DOUBTFUL: (False, nothing, said | {DOUBTFUL}),
        K.STATED_FICTITIOUS: (False, nothing, frozenset({FICTITIOUS})),
        K.STATED_VALIDATED: (True, nothing, said),
        K.STATED_QUALIFIED: (True, brought, said),
        K.INS_OBTAINED: (proof, brought, attributes),
        K.PROOF_CHECKED: (True, ins, attributes),
        K.PROOF_INVALIDATED: (False, ins, attributes),
        K.INS_WITHDRAWN: (proof, nothing, attributes),
        K.QUALIFICATION_WITHDRAWN: (False, ins, attributes),
        K.DOUBT_RAISED: (False, nothing, attributes | {DOUBTFUL}),
        K.DOUBT_LIFTED: (False, nothing, attributes - {DOUBTFUL}),
        K.FICTION_DECLARED: (False, nothing, frozenset({FICTITIOUS})),
        K.FICTION_LIFTED: (False, nothing, frozenset()),
        K.HOMONYM_DECLARED: (proof, ins, attributes | {HOMONYM}),
        K.HOMONYM_LIFTED: (proof, ins, attributes - {HOMONYM}),
        K.NIR_REPLACES_NIA: (proof, brought, attributes),
        K.INS_CHANGED: (proof, brought, attributes),
    }[event.kind]


def broken_rules():
    """What is wrong with the table as it stands, one finding at a time."""
    reached, effective, heard = set(), set(), set()
    try:
        for state, event, after in explore():
            step = f"{event.kind} on {state.situation}"
            forbidden = {refusal for refusal, applies in forbidding(state, event).items() if applies}
            reached.add(state)
            if isinstance(after, Refusal):
                heard.add(after)
                if after not in forbidden:
                    yield f"{step}: refused, {after}"
                continue
            effective |= {event.kind} if after != state else set()
            facts = (proven(after), (after.ins, after.ins_oid), after.attributes)
            if forbidden or facts != expected(state, event) or not all(invariants(after)):
                yield f"{step}: {after.situation}"
    except ValueError as impossible:
        yield f"a step to an impossible state: {impossible}"
    yield from (f"never reached: {state.situation}" for state in POSSIBLE_STATES - reached)
    yield from (f"never an effect: {kind}" for kind in set(EventKind) - effective)
    yield from (f"never refused so: {refusal}" for refusal in set(Refusal) - heard)


def test_every_event_in_every_reachable_state_follows_the_rules():
    assert list(broken_rules()) == []


def test_the_table_names_every_event_in_every_situation():
    assert {(kind, before) for kind, row in TRANSITIONS.items() for before in row} == set(
        product(EventKind, Situation)
    )


def test_the_check_explores_what_it_claims():
    states = {state for state, _, _ in explore()}

    assert set(Refusal) == forbidding(START, EVENTS[0]).keys()
    assert states == POSSIBLE_STATES
    assert len(states) == 2 + 2 + 1 + 2 * len(INS) + 2 + 2 * len(INS)  # in the order of `Situation`


def test_a_doubt_that_leaves_an_identity_qualified_is_seen(monkeypatch):
    monkeypatch.setitem(TRANSITIONS[K.DOUBT_RAISED], Situation.QUALIFIED, Situation.QUALIFIED)

    assert f"{K.DOUBT_RAISED} on {Situation.QUALIFIED}: {Situation.QUALIFIED}" in broken_rules()


@pytest.mark.parametrize("kind", EventKind)
def test_any_other_entry_in_the_table_is_seen(kind, monkeypatch):
    unseen = []
    for before, after in TRANSITIONS[kind].items():
        for planted in {*Situation, Refusal.NO_PROOF, Refusal.NO_INS} - {after}:
            with monkeypatch.context() as patch:
                patch.setitem(TRANSITIONS[kind], before, planted)
                if next(broken_rules(), None) is None:
                    unseen.append((before, planted))

    # A fictitious identity is no homonym, so what would follow from lifting that is never asked.
    harmless = (
        {(Situation.FICTITIOUS, planted) for planted in Situation} if kind is K.HOMONYM_LIFTED else set()
    )
    assert harmless == set(unseen)


def test_a_refused_event_says_why_and_not_whom():
    with pytest.raises(EventRefused, match="doubtful or fictitious") as refused:
        rniv.apply(state_from_pid_32(("PROV", "DOUT")), Event(K.INS_OBTAINED, *NIR))

    assert refused.value.refusal is Refusal.NOT_ASKED
    assert NIR[0] not in str(refused.value)


def test_what_is_said_twice_changes_nothing():
    """But what was lifted or invalidated is not there to be lifted again."""
    once = {K.DOUBT_LIFTED, K.FICTION_LIFTED, K.HOMONYM_LIFTED, K.PROOF_INVALIDATED}

    for _, event, after in explore():
        if isinstance(after, IdentityState):
            assert outcome(after, event) == after or event.kind in once


@pytest.mark.parametrize(
    ("status", "attributes", "ins", "rule"),
    [
        ("PROV", ("DOUT", "FICT"), ("", ""), "no other attribute"),
        ("PROV", ("HOMA", "FICT"), ("", ""), "no other attribute"),
        ("VALI", ("DOUT",), ("", ""), "is provisional"),
        ("QUAL", ("FICT",), NIR, "is provisional"),
        ("PROV", ("CACH",), ("", ""), "RNIV attributes"),
        ("PROV", (), NIR, "hold an INS"),
        ("VALI", (), NIR, "hold an INS"),
        ("QUAL", (), ("", ""), "hold an INS"),
        ("RECUP", (), ("", ""), "hold an INS"),
        ("QUAL", (), (NIR[0], ""), "with its OID"),
        ("PROV", (), ("", INS_NIR_OID), "with its OID"),
        ("QUAL", (), (NIR[0], "2.999.1.1"), "one of the INS OIDs"),
        ("QUAL", (), ("284022999912355", INS_NIR_OID), "with its key"),
        ("QUAL", (), ("2840229999123 54", INS_NIR_OID), "with its key"),
    ],
)
def test_an_impossible_state_names_its_rule(status, attributes, ins, rule):
    with pytest.raises(ValueError, match=rule) as refused:
        IdentityState(IdentityStatus(status), frozenset(map(IdentityAttribute, attributes)), *ins)

    assert "284022" not in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "ins", "homonym"),
    [
        (K.INS_OBTAINED, ("", ""), False),
        (K.PROOF_CHECKED, NIR, False),
        (K.STATED_PROVISIONAL, NIR, False),
        (K.NIR_REPLACES_NIA, NIA, False),
        (K.INS_CHANGED, NIA, False),
        (K.PROOF_CHECKED, ("", ""), True),
        (K.STATED_FICTITIOUS, ("", ""), True),
    ],
)
def test_an_impossible_event_is_refused(kind, ins, homonym):
    with pytest.raises(ValueError, match=r"INS|NIR|homonym"):
        Event(kind, *ins, homonym)


def test_on_a_test_platform_an_ins_changes_though_nobody_sees_whether_it_is_a_nir():
    held = IdentityState(IdentityStatus.QUALIFIED, ins=NIR[0], ins_oid=INS_TEST_OID)

    assert rniv.apply(held, Event(K.INS_CHANGED, OTHER_NIR[0], INS_TEST_OID)).ins == OTHER_NIR[0]


STATUS_CODES = ("", "VIDE", "PROV", "VALI", "vali", "RECUP")
ATTRIBUTE_CODES = (*(attribute.value for attribute in IdentityAttribute), "IDVER", "ODD")
PID_32 = [
    (*filter(None, [status]), *some)
    for status in STATUS_CODES
    for size in range(4)
    for some in combinations(ATTRIBUTE_CODES, size)
]


@pytest.mark.parametrize("ins", [("", ""), NIR], ids=["no INS", "INS"])
def test_pid_32_is_read_by_the_table_as_by_the_index(ins):
    told = set()
    for codes in PID_32:
        status, attributes = status_from_pid_32(codes, has_ins=bool(ins[0]))
        read = state_from_pid_32(codes, ins=ins[0], ins_oid=ins[1])

        assert read.status is status
        assert bool(read.ins) == (status is IdentityStatus.QUALIFIED)
        assert read.attributes == (
            {FICTITIOUS} if FICTITIOUS in attributes else attributes & {HOMONYM, DOUBTFUL}
        )
        if codes:
            told.add((stated(codes, ins=ins[0], ins_oid=ins[1]), read))

    assert all(read == rniv.apply(before, event) for before in POSSIBLE_STATES for event, read in told)


def test_the_order_of_the_codes_says_nothing():
    for codes in PID_32:
        assert len({state_from_pid_32(each) for each in permutations(codes[:3])}) == 1


def test_an_empty_pid_32_is_no_event():
    with pytest.raises(ValueError, match="states nothing"):
        stated(("", " "))


def test_what_is_sent_is_read_as_it_was_but_for_what_may_not_travel():
    for state in POSSIBLE_STATES:
        read = state_from_pid_32(
            codes_of(state), ins=state.usable_ins, ins_oid=state.ins_oid if state.usable_ins else ""
        )

        retrieved = state.status is IdentityStatus.RETRIEVED
        assert read == (IdentityState(attributes=state.attributes) if retrieved else state)


def test_what_is_read_is_sent_as_it_came_when_the_rniv_permits_it():
    permitted = [
        *(("PROV", *rest) for rest in ((), ("HOMA",), ("DOUT",), ("FICT",), ("HOMA", "DOUT"))),
        *(("VALI", *rest) for rest in ((), ("HOMA",))),
    ]

    assert permitted == [codes_of(state_from_pid_32(codes)) for codes in permitted]
    assert set(permitted) == {codes_of(state) for state in POSSIBLE_STATES}


def test_a_retrieved_identity_is_sent_provisional_and_without_its_ins():
    held = rniv.apply(
        rniv.apply(START, stated(("VALI",), ins=NIR[0], ins_oid=NIR[1])), Event(K.PROOF_INVALIDATED)
    )

    assert (held.status, held.ins) == (IdentityStatus.RETRIEVED, NIR[0])
    assert (codes_of(held), held.usable_ins) == (("PROV",), "")


@pytest.mark.parametrize("four_codes", [False, True])
def test_fr_core_brings_a_status_back_as_far_as_its_codes_go(four_codes):
    for status in IdentityStatus:
        code = fr_core_status(status, four_codes=four_codes)
        read = status_from_fr_core(code, has_ins=status is IdentityStatus.QUALIFIED, four_codes=four_codes)

        lost = status is IdentityStatus.RETRIEVED and not four_codes
        assert read is (IdentityStatus.PROVISIONAL if lost else status)


@pytest.mark.parametrize(
    ("code", "has_ins", "four_codes", "status"),
    [
        ("VALI", True, False, "QUAL"),
        ("VALI", True, True, "VALI"),
        ("QUAL", False, True, "VALI"),
        ("QUAL", True, False, "PROV"),
        ("DOUB", True, True, "PROV"),
        ("", True, True, "PROV"),
    ],
)
def test_an_fr_core_code_means_what_its_version_says(code, has_ins, four_codes, status):
    assert status == status_from_fr_core(code, has_ins=has_ins, four_codes=four_codes).value


DAY = timedelta(days=1)
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def says(day, *ins, withdrawn=False):
    return InsStatement(MONDAY + day * DAY, ins, withdrawn)


def drawn(statements):
    """`A 0-2` an INS active from day 0 to day 2; `!` withdrawn; `A 3-` still active."""
    letters = {NIR: "NIR", OTHER_NIR: "NIR2", NIA: "NIA"}
    return [
        f"{letters[each.ins, each.ins_oid]} {(each.since - MONDAY).days}-"
        f"{'' if each.until is None else (each.until - MONDAY).days}{'!' * each.withdrawn}"
        for each in ins_history(statements)
    ]


@pytest.mark.parametrize(
    ("statements", "history"),
    [
        pytest.param([], [], id="nothing was said"),
        pytest.param([says(0, NIR), says(1), says(2, NIR)], ["NIR 0-"], id="said again, one period"),
        pytest.param([says(0, NIA, NIR)], ["NIR 0-"], id="both: the NIR"),
        pytest.param([says(0, NIA), says(2, NIA, NIR)], ["NIA 0-2", "NIR 2-"], id="NIA becomes NIR"),
        pytest.param([says(0, NIR), says(2, NIA)], ["NIR 0-2", "NIA 2-"], id="only the latest is sent"),
        pytest.param([says(0, NIR), says(2, OTHER_NIR)], ["NIR 0-2", "NIR2 2-"], id="a new NIR"),
        pytest.param(
            [says(0, NIA), says(1, NIR), says(3, withdrawn=True)],
            ["NIA 0-1!", "NIR 1-3!"],
            id="all withdrawn",
        ),
        pytest.param(
            [says(0, NIR), says(1, withdrawn=True), says(4, NIR)],
            ["NIR 0-1!", "NIR 4-"],
            id="and stated anew",
        ),
        pytest.param([says(0, NIR), says(2, NIR, withdrawn=True)], ["NIR 0-2!", "NIR 2-"], id="both at once"),
        pytest.param([says(2, OTHER_NIR), says(0, NIR)], ["NIR 0-2", "NIR2 2-"], id="late"),
        pytest.param([says(0, NIR), says(0, OTHER_NIR)], ["NIR2 0-"], id="at one time, the later in order"),
        pytest.param([says(0, withdrawn=True)], [], id="nothing to withdraw"),
    ],
)
def test_the_history_of_an_ins(statements, history):
    assert history == drawn(statements)
    active = active_ins(statements)
    assert [active] == [each for each in ins_history(statements) if each.until is None] or active is None


demographics = st.builds(
    lambda ins, codes, deleted: Demographics(
        ins=ins[0], ins_oid=ins[1], identity_codes=codes, deleted=frozenset(() if ins[0] else deleted)
    ),
    ins=st.sampled_from((("", ""), *INS)),
    codes=st.sampled_from(((), ("PROV",), ("VALI",), ("VALI", "HOMA"))),
    deleted=st.sampled_from(((), ("ins", "ins_oid"), ("sex",))),
)
records = st.builds(
    lambda said, day: SourceRecord(
        identifier=PatientIdentifier("1", AssigningAuthority("SITE-A", "2.999.1.1", "ISO")),
        domain="2.999.1.1",
        demographics=said,
        event_time=MONDAY + day * DAY,
        source="A",
    ),
    said=demographics,
    day=st.integers(0, 5),
)


@given(st.lists(records, min_size=1, max_size=8))
def test_the_active_ins_is_that_of_the_record_as_it_stands(told):
    folded = current(list(enumerate(told))).demographics
    active = active_ins(InsStatement.of(each) for each in told)

    assert (folded.ins, folded.ins_oid) == (("", "") if active is None else (active.ins, active.ins_oid))


@given(st.lists(records, max_size=6, unique_by=lambda each: each.event_time).flatmap(
    lambda told: st.tuples(st.just(told), st.permutations(told))
))  # fmt: skip
def test_messages_that_come_late_leave_the_same_history(told):
    first, second = ([InsStatement.of(each) for each in some] for some in told)

    assert ins_history(first) == ins_history(second)


@given(st.lists(records, max_size=8))
def test_one_ins_is_active_at_a_time(told):
    history = ins_history(InsStatement.of(each) for each in told)

    assert all(each.until is None or each.since < each.until for each in history)
    assert all(before.until <= after.since for before, after in pairwise(history))


def test_the_state_of_a_record_told_event_by_event_holds_its_active_ins():
    """The table and the fold of statements are two readings of one story."""
    codes = {(): ("PROV",), (NIR,): ("VALI",), (NIA,): ("VALI", "HOMA")}
    for story in product(codes, repeat=3):
        state, told = START, []
        for day, ins in enumerate(story):
            number, oid = ins[0] if ins else ("", "")
            state = rniv.apply(state, stated(codes[ins], ins=number, ins_oid=oid))
            told.append(says(day, *ins, withdrawn=not ins))

        active = active_ins(told)
        assert state.usable_ins == ("" if active is None else active.ins)


def test_the_diagram_is_drawn_from_the_table(monkeypatch):
    monkeypatch.setitem(TRANSITIONS[K.DOUBT_LIFTED], Situation.DOUBTFUL, Situation.VALIDATED)

    assert "    DOUT --> VALI : doute levé\n" in state_diagram()


def test_the_diagram_shows_every_state_and_every_event():
    diagram = state_diagram()

    assert diagram.startswith('stateDiagram-v2\n    state "provisoire" as PROV\n')
    assert "    RECUP --> QUAL : pièce d’identité contrôlée\n" in diagram
    assert "    note right of QUAL\n        depuis tout état, message VALI avec INS\n" in diagram
    assert all(label in diagram for label in (*rniv.EVENT_LABELS.values(), *rniv.SITUATION_LABELS.values()))
    assert set(EventKind) == rniv.EVENT_LABELS.keys()
