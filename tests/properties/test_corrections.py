"""
Requests to sites, whatever arrives and in whichever order: done by the site's own word, and by nothing else.

The laws are able to fail: each planted fault breaks the one it is named with.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi.identity.ins import INS_TEST_OID, matricule_key
from mpi.identity.model import Witness
from mpi.index import following, reporting, requests
from mpi.index.corrections import SETTLED, TRANSITIONS, CorrectionState
from mpi.index.events import RETIRING, IdentityStated, Study
from mpi.index.following import Following
from mpi.index.parties import PatientIdentitySource
from mpi.index.ports import Delivery
from mpi.index.reporting import Reporting
from mpi.index.reports import Decision, Followed, ReportKind
from mpi.index.verification import verify
from tests.fakes import MemoryStore
from tests.federation import SITES, World, authority, directory, key, person, statement

BODY = "2840299912354"
QUALIFIED = {"ins": BODY + matricule_key(BODY), "ins_oid": INS_TEST_OID, "identity_codes": ("VALI",)}
EVERY = frozenset(authority(site).universal_id for site in SITES)
MINE = person(born="1984-02-28", **QUALIFIED)
FOREIGN = person("MOREL", "ODILE", "1961-07-12")


def world() -> World:
    """A world whose site A is asked by messages, with two records of one person there and one elsewhere."""
    takes = frozenset({"A31", "A40", "A47", "T02"})
    sources = [
        PatientIdentitySource(
            f"ris-{site.lower()}",
            (authority(site).universal_id,),
            f"RIS_{site}",
            f"SITE_{site}",
            corrections="127.0.0.1:1",
            corrections_as=takes,
        )
        for site in SITES
    ]
    made = World(MemoryStore(), directory(sources=sources))
    made.state("A", "A1", MINE)
    made.state("A", "A2", MINE, minute=1)
    made.state("B", "B1", MINE)
    return made


def answered(made: World, state: Delivery) -> None:
    """The site's system answers whatever waits for it."""
    with made.store.write() as uow:
        for row in uow.outbox.page(limit=1000):
            if row.kind.startswith("correction") and row.state is Delivery.PENDING:
                uow.outbox.change(replace(row, state=state, attempts=1))
        uow.commit()


NOISE: dict[str, Callable[[World, int], object]] = {
    "acknowledged": lambda w, _: answered(w, Delivery.DELIVERED),
    "refused": lambda w, _: answered(w, Delivery.DEAD),
    "said again": lambda w, at: w.state("A", "A1", MINE, minute=at),
    "said again of the other": lambda w, at: w.state("A", "A2", MINE, minute=at),
    "moved house": lambda w, at: w.state("A", "A1", replace(MINE, city=f"LIMOGES {at}"), minute=at),
    "another site corrects itself": lambda w, at: w.state("B", "B1", person(), minute=at),
    "another site merges": lambda w, at: w.merge("B", f"B{at}", "B1", minute=at),
    "a header": lambda w, at: w.state("A", "A1", person(), minute=at, source="ris-a", witness=Witness.HEADER),
    "late": lambda w, _: w.state("A", "A1", person(), minute=-30),
    "somebody else, held": lambda w, at: w.state("A", "A1", FOREIGN, minute=at),
    "a third identifier": lambda w, at: w.merge("A", f"A{100 + at}", f"A{200 + at}", minute=at),
    "half a merge": lambda w, at: w.merge("A", f"A{400 + at}", "A1", minute=at),
    "a stranger": lambda w, at: w.state("A", f"A{300 + at}", FOREIGN, minute=at),
}
"""Nothing of it is the correction, whichever was asked."""


def withdrawn_ins(made: World, at: int) -> object:
    said = person(born="1984-02-28", identity_codes=("VALI",), deleted=frozenset({"ins", "ins_oid"}))
    told = replace(statement("A", "A1", said, minute=at), replaces_ins=(QUALIFIED["ins"],))
    return made.send(IdentityStated((told,)), source="ris-a")


def refiled(made: World, at: int) -> object:
    study = Study("1.2.3", key("A", "A9"), "ris-a", modalities=("CT",))
    stated = IdentityStated((statement("A", "A9", FOREIGN, minute=at),), studies=(study,))
    made.send(stated, source="ris-a")
    return made.state("A", "A1", replace(MINE, city=f"TULLE {at}"), minute=at)


@dataclass(frozen=True)
class Case:
    """A report, and the message of the site that corrects it."""

    kind: ReportKind
    correct: Callable[[World, int], object]
    about: tuple[str, ...] = ("A1",)
    trait: str = ""
    study_uid: str = ""
    expected: tuple[tuple[str, str], ...] = ()


CASES = [
    Case(ReportKind.DUPLICATE, lambda w, at: w.merge("A", "A1", "A2", minute=at), ("A1", "A2")),
    Case(
        ReportKind.WRONG_TRAIT,
        lambda w, at: w.state("A", "A1", person(**QUALIFIED), minute=at),
        trait="birth_date",
        expected=(("birth_date", "1984-02-29"),),
    ),
    Case(ReportKind.WRONG_INS, withdrawn_ins),
    Case(ReportKind.NOT_MY_PATIENT, refiled, study_uid="1.2.3"),
]


def accept(made: World, case: Case) -> int:
    """Report it, and accept the report."""
    about = [key("A", value) for value in case.about]
    told = made.registry.reporting.report(
        case.kind, about, actor="key:portal", role="portal", trait=case.trait, study_uid=case.study_uid
    )
    decide(made, told.id, Decision.ACCEPT, expected=dict(case.expected))
    return told.id


def decide(made: World, report_id: int, decision: Decision, **more: object) -> None:
    version = made.registry.reporting.find_report(report_id).version
    made.registry.reporting.decide(report_id, decision, reviewer="anne", version=version, **more)


def state(made: World) -> CorrectionState:
    return made.registry.reporting.corrections()[-1].state


def is_doubtful(made: World) -> bool:
    return made.registry.cross_reference(key("A", "A1"), targets=None, visible=EVERY, actor="test").doubtful


noise = st.lists(st.sampled_from(sorted(NOISE)), max_size=8)
cases = st.sampled_from(CASES)


def done_by_the_sites_own_word_alone(case: Case, before: list[str], after: list[str]) -> None:
    made = world()
    accept(made, case)
    assert is_doubtful(made)
    moves = [state(made)]
    for minute, name in enumerate(before, start=10):
        NOISE[name](made, minute)
        moves.append(state(made))
        assert moves[-1] not in SETTLED, name
    case.correct(made, 40)
    moves.append(state(made))
    assert moves[-1] is CorrectionState.DONE
    for minute, name in enumerate((one for one in after if one not in SAYS_OTHERWISE), start=50):
        NOISE[name](made, minute)
        assert state(made) is CorrectionState.DONE, name
    assert all(b in TRANSITIONS[a] | {a} for a, b in pairwise(moves))
    assert is_doubtful(made), "a person lifts it"
    assert verify(made.store, made.registry).is_clean


SAYS_OTHERWISE = frozenset({"said again", "said again of the other", "moved house"})
"""Statements of what was wrong: after the correction, the site says that it was right before."""


def taken_back_is_as_before(case: Case, between: list[str]) -> None:
    made, other = world(), world()
    report_id = accept(made, case)
    for minute, name in enumerate(between, start=10):
        NOISE[name](made, minute)
        NOISE[name](other, minute)
    decide(made, report_id, Decision.REOPEN)
    assert state(made) is CorrectionState.WITHDRAWN
    decide(made, report_id, Decision.REJECT)
    assert not is_doubtful(made)
    assert made.snapshot() == other.snapshot()


def order_decides_nothing(case: Case, names: list[str], seed: list[int]) -> None:
    """What another site says, and when, leaves the request as it is."""
    ours = [name for name in names if "site" not in name and name not in SAYS_OTHERWISE]
    theirs = [name for name in names if "site" in name]
    ends = []
    for first in (True, False):
        made = world()
        accept(made, case)
        events = [(name, 10 + i) for i, name in enumerate(ours)] + [("", 40)]
        others = [(name, 10 + i) for i, name in enumerate(theirs)]
        for name, minute in [*others, *events] if first else [*events, *others]:
            NOISE[name](made, minute) if name else case.correct(made, minute)
        ends.append((state(made), made.partition()))
    assert ends[0] == ends[1]


@given(cases, noise, noise)
@settings(max_examples=60, deadline=None)
def test_a_request_is_done_by_the_sites_own_word_alone(case, before, after):
    done_by_the_sites_own_word_alone(case, before, after)


@given(cases, noise)
@settings(max_examples=40, deadline=None)
def test_what_is_taken_back_is_as_before(case, between):
    taken_back_is_as_before(case, between)


@given(cases, noise, st.lists(st.integers(0, 9), max_size=4))
@settings(max_examples=30, deadline=None)
def test_the_order_of_the_sites_decides_nothing(case, names, seed):
    order_decides_nothing(case, names, seed)


# ------------------------------------------------------------------------------ planted faults


def done_on_acknowledgement(monkeypatch):
    def state_of(correction, row, *, at):
        if row is not None and row.state is Delivery.DELIVERED and correction.withdrawn_at is None:
            return CorrectionState.DONE
        return requests.state_of(correction, row, at=at)

    monkeypatch.setattr(reporting, "state_of", state_of)


def doubt_not_raised(monkeypatch):
    raised = Reporting._raise_doubt

    def lifted(self, uow, report, *, actor, at):
        facts = raised(self, uow, report, actor=actor, at=at)
        self._lift_doubt(uow, replace(report, fact_id=facts[0].id), actor=actor, at=at)
        return facts

    monkeypatch.setattr(Reporting, "_raise_doubt", lifted)


def doubt_lifted_by_the_site(monkeypatch):
    followed = Following.follow_report

    def lifting(self, uow, report_id, *, at):
        followed(self, uow, report_id, at=at)
        report = uow.reports.get(report_id)
        if report.state == "corrected":
            for fact in uow.facts.of_act(report.fact_id):
                if fact.withdrawn_at is None:
                    uow.facts.withdraw(fact.id, at=at, by="system")

    monkeypatch.setattr(Following, "follow_report", lifting)


def taken_back_stays_open(monkeypatch):
    monkeypatch.setattr(Reporting, "_take_back", lambda *_args, **_more: None)


def late_messages_show_it(monkeypatch):
    def stated(self, uow, key_, since):
        first, *_ = uow.records.epochs(key_.domain, key_.value)
        return [item for item in uow.records.statements(first.id) if item.recorded_at > since]

    monkeypatch.setattr(Following, "_stated", stated)
    monkeypatch.setattr(
        following,
        "settle",
        lambda wanted, evidence: (
            (Followed.DONE, "message/1") if evidence.stated else requests.settle(wanted, evidence)
        ),
    )


def nobody_follows(monkeypatch):
    monkeypatch.setattr(Following, "follow", lambda *_args, **_more: None)


def any_merge_is_the_merge(monkeypatch):
    def settled(_wanted, facts):
        return (Followed.DONE, "message/1") if any(fact.kind in RETIRING for fact in facts) else None

    monkeypatch.setattr(requests, "_if_retired_alike", settled)


FAULTS = [
    (done_on_acknowledgement, lambda: done_by_the_sites_own_word_alone(CASES[0], ["acknowledged"], [])),
    (doubt_not_raised, lambda: done_by_the_sites_own_word_alone(CASES[0], [], [])),
    (doubt_lifted_by_the_site, lambda: done_by_the_sites_own_word_alone(CASES[0], [], [])),
    (taken_back_stays_open, lambda: taken_back_is_as_before(CASES[0], [])),
    (late_messages_show_it, lambda: done_by_the_sites_own_word_alone(CASES[1], ["late"], [])),
    (nobody_follows, lambda: done_by_the_sites_own_word_alone(CASES[0], [], [])),
    (any_merge_is_the_merge, lambda: done_by_the_sites_own_word_alone(CASES[0], ["half a merge"], [])),
]


@pytest.mark.parametrize(("plant", "law"), FAULTS, ids=lambda item: getattr(item, "__name__", ""))
def test_a_planted_fault_is_caught(monkeypatch, plant, law):
    law()
    plant(monkeypatch)

    with pytest.raises(AssertionError):
        law()


def test_a_withdrawn_decision_leaves_no_request_open(monkeypatch):
    """And would, if nobody looked whether the decision stands."""
    from mpi.index.review import Verdict

    def left() -> CorrectionState:
        made = world()
        [fact] = made.registry.relate(Verdict.SAME, key("A", "A1"), key("A", "A2"), reviewer="anne")
        made.registry.withdraw(fact.id, actor="user:zoe")
        return state(made)

    assert left() is CorrectionState.WITHDRAWN
    monkeypatch.setattr(Following, "_rests_on_something", lambda *_args: True)
    assert left() is not CorrectionState.WITHDRAWN
