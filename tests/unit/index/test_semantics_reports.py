"""Reports and requests to sites, one scene each: what is said, what is asked, and what shows that it is done."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mpi.errors import LinkConflict, StaleReview, UnknownIdentifier, UnknownReview
from mpi.identity.ins import INS_TEST_OID, matricule_key
from mpi.index.corrections import CorrectionKind, CorrectionState
from mpi.index.events import FactKind, IdentityStated, Study
from mpi.index.parties import PatientIdentitySource
from mpi.index.ports import Delivery
from mpi.index.reports import Decision, ReportKind, ReportState
from mpi.index.review import LIVE_STATES, TaskKind, Verdict
from mpi.index.verification import verify
from tests.fakes import MemoryStore
from tests.federation import SITES, Clock, World, authority, directory, key, person, statement

EVERY = frozenset(authority(site).universal_id for site in SITES)
BODY = "2840299912354"
INS = BODY + matricule_key(BODY)
QUALIFIED = {"ins": INS, "ins_oid": INS_TEST_OID, "identity_codes": ("VALI",)}
OTHER = {"family": "MOREL", "given": "ODILE", "born": "1961-07-12"}


def ris(site="A", *takes):
    key_ = authority(site).universal_id
    return PatientIdentitySource(
        f"ris-{site.lower()}",
        (key_,),
        application=f"RIS_{site}",
        facility=f"SITE_{site}",
        may_link=tuple(EVERY - {key_}),
        corrections="127.0.0.1:1",
        corrections_as=frozenset(takes),
    )


@pytest.fixture
def world():
    """Three sites; A takes suggested messages and sheets, B and C are asked on paper."""
    sources = [
        ris("A", "A31", "A40", "A47", "A24", "A37", "T02"),
        *(replace(ris(s), corrections="") for s in "BC"),
    ]
    return World(MemoryStore(), directory(sources=sources))


def reported(world, kind=ReportKind.OTHER, about=(("A", "A1"),), **more):
    more = {"actor": "key:portal", "role": "portal", **more}
    return world.registry.reporting.report(kind, [key(*one) for one in about], **more)


def decided(world, report, decision=Decision.ACCEPT, **more):
    version = world.registry.reporting.find_report(report.id).version
    return world.registry.reporting.decide(report.id, decision, reviewer="anne", version=version, **more)


def asked(world):
    """Every request as (kind, left, right, state)."""
    views = world.registry.reporting.corrections()
    return [
        (v.correction.kind, v.correction.wanted.left.value, v.correction.wanted.right.value, v.state)
        for v in views
    ]


def states(world):
    return [view.state for view in world.registry.reporting.corrections()]


def doubtful(world, site, value, visible=EVERY):
    euid = world.euid(site, value)
    return world.registry.person(euid, visible=visible, actor="test").doubtful


def outbox(world):
    with world.store.read() as uow:
        rows = uow.outbox.page(limit=1000)
        return [(row.kind, row.consumer, row.state) for row in rows if row.kind.startswith("correction")]


def acknowledge(world, state=Delivery.DELIVERED):
    """The site's system has answered the last message of every request."""
    with world.store.write() as uow:
        for row in uow.outbox.page(limit=1000):
            if row.kind.startswith("correction") and row.state is Delivery.PENDING:
                uow.outbox.change(replace(row, state=state, attempts=1))
        uow.commit()


def clean(world):
    return verify(world.store, world.registry).is_clean


# ------------------------------------------------------------------------------------- the doubt


def test_a_report_makes_the_identity_doubtful_at_once_and_leaves_it_where_it_is(world):
    world.state("A", "A1", person())
    world.state("B", "B1", person())
    before = world.partition()

    report = reported(world, ReportKind.NOT_MY_PATIENT, comment="not the woman on the table")

    assert report.state is ReportState.RECEIVED
    assert doubtful(world, "A", "A1")
    assert world.partition() == before
    assert world.elsewhere("A", "A1") == {("B", "B1")}
    [task] = [t for t in world.tasks() if t.kind is TaskKind.REPORTED_IDENTITY]
    assert (task.state in LIVE_STATES, task.reason) == (True, "reported")
    assert task.priority >= 90, "above every question that no person raised"
    assert clean(world)


def test_who_may_not_see_the_record_does_not_see_its_doubt(world):
    world.state("A", "A1", person())
    world.state("B", "B1", person())
    reported(world)

    only_b = frozenset({authority("B").universal_id})

    assert doubtful(world, "A", "A1", frozenset({authority("A").universal_id}))
    found = world.registry.person(world.record("B", "B1").native_euid, visible=only_b, actor="test")
    assert not found.doubtful


@pytest.mark.parametrize("decision", [Decision.REJECT, Decision.ANSWER])
def test_a_person_lifts_the_doubt(world, decision):
    world.state("A", "A1", person())
    before = world.snapshot()
    report = reported(world)

    answered = decided(world, report, decision, answer="it is her, under her used name")

    assert answered.answer == "it is her, under her used name"
    assert not doubtful(world, "A", "A1")
    assert world.snapshot() == before
    assert clean(world)


def test_the_doubt_of_another_report_stays(world):
    world.state("A", "A1", person())
    first, second = reported(world), reported(world, actor="key:ris")

    decided(world, first, Decision.REJECT)

    assert doubtful(world, "A", "A1")
    decided(world, second, Decision.REJECT)
    assert not doubtful(world, "A", "A1")


def test_a_report_looked_at_again_is_doubtful_again(world):
    world.state("A", "A1", person())
    report = reported(world)
    decided(world, report, Decision.REJECT)

    again = decided(world, report, Decision.REOPEN)

    assert again.state is ReportState.RECEIVED
    assert doubtful(world, "A", "A1")


def test_a_doubt_is_not_withdrawn_behind_its_report(world):
    world.state("A", "A1", person())
    report = reported(world)

    with pytest.raises(LinkConflict):
        world.registry.withdraw(report.fact_id, actor="user:zoe")

    assert doubtful(world, "A", "A1")


def test_what_was_read_before_it_changed_is_refused(world):
    world.state("A", "A1", person())
    report = reported(world)
    decided(world, report, Decision.REJECT)

    with pytest.raises(StaleReview):
        world.registry.reporting.decide(report.id, Decision.ANSWER, reviewer="luc", version=report.version)
    with pytest.raises(LinkConflict):
        decided(world, report, Decision.ACCEPT)
    with pytest.raises(UnknownReview):
        world.registry.reporting.find_report(99)


@pytest.mark.parametrize("code", ["ANOM", "CACH"])
def test_protected_and_unknown_identities_are_reported_alike(world, code):
    world.state("A", "A1", person(identity_codes=("PROV", code)))

    for value in ("A1", "A9"):
        with pytest.raises(UnknownIdentifier) as refused:
            reported(world, about=(("A", value),))
        assert str(refused.value) == "about: unknown identifier"


def test_what_was_doubtful_then_is_doubtful_as_of_then(world):
    world.state("A", "A1", person())
    report = reported(world)
    then = world.clock.at
    decided(world, report, Decision.REJECT)
    euid = world.euid("A", "A1")

    assert not world.registry.person(euid, visible=EVERY, actor="test").doubtful
    assert world.registry.person(euid, visible=EVERY, actor="test", as_of=then).doubtful


# -------------------------------------------------------------------------------------- merging


def two_of_one(world):
    world.state("A", "A1", person())
    world.state("A", "A2", person(), minute=1)


def test_a_reported_duplicate_is_done_when_the_site_merges(world):
    two_of_one(world)
    report = reported(world, ReportKind.DUPLICATE, (("A", "A2"), ("A", "A1")))

    accepted = decided(world, report)

    assert accepted.state is ReportState.CORRECTING
    assert asked(world) == [(CorrectionKind.MERGE, "A1", "A2", CorrectionState.REQUESTED)]
    assert outbox(world) == [("correction", "ris-a", Delivery.PENDING)]
    acknowledge(world)
    assert states(world) == [CorrectionState.ACKNOWLEDGED]

    receipt = world.merge("A", "A1", "A2", minute=9)

    assert states(world) == [CorrectionState.DONE]
    [view] = world.registry.reporting.corrections()
    assert view.correction.settled_by == f"message/{receipt.message_id}"
    assert world.registry.reporting.find_report(report.id).state is ReportState.CORRECTED
    assert doubtful(world, "A", "A1"), "a person lifts it"
    assert decided(world, report, Decision.CLOSE).state is ReportState.CLOSED
    assert not doubtful(world, "A", "A1")
    assert clean(world)


def test_the_site_may_keep_the_other_identifier_or_a_third(world):
    two_of_one(world)
    decided(world, reported(world, ReportKind.DUPLICATE, (("A", "A1"), ("A", "A2"))))

    world.merge("A", "A3", "A1", minute=9)
    assert states(world) == [CorrectionState.REQUESTED]
    world.merge("A", "A4", "A2", minute=10)
    world.merge("A", "A4", "A3", minute=11)

    assert states(world) == [CorrectionState.DONE]


def test_a_verdict_on_a_duplicate_asks_the_site_to_merge(world):
    two_of_one(world)
    [task] = world.tasks()

    world.decide(task.id, Verdict.SAME)

    assert asked(world) == [(CorrectionKind.MERGE, "A1", "A2", CorrectionState.REQUESTED)]
    world.merge("A", "A2", "A1", minute=9)
    assert states(world) == [CorrectionState.DONE]
    assert clean(world)


def test_what_the_site_has_done_before_is_not_asked(world):
    two_of_one(world)
    world.merge("A", "A1", "A2", minute=9)

    world.registry.relate(Verdict.SAME, key("A", "A1"), key("A", "A2"), reviewer="anne")

    assert asked(world) == []


def test_two_domains_are_linked_here_and_nobody_is_asked(world):
    world.state("A", "A1", person())
    world.state("B", "B1", person("CHANTEREAUX", "LISE", birth_place_code=""))

    world.registry.relate(Verdict.SAME, key("A", "A1"), key("B", "B1"), reviewer="anne")

    assert asked(world) == []


def test_a_decision_taken_back_takes_its_request_back(world):
    two_of_one(world)
    [fact] = world.registry.relate(Verdict.SAME, key("A", "A1"), key("A", "A2"), reviewer="anne")

    world.registry.withdraw(fact.id, actor="user:zoe")

    assert states(world) == [CorrectionState.WITHDRAWN]
    assert outbox(world) == [("correction", "ris-a", Delivery.WITHDRAWN)], "it had not been sent"


def test_a_site_that_was_told_is_told_that_it_no_longer_holds(world):
    two_of_one(world)
    [fact] = world.registry.relate(Verdict.SAME, key("A", "A1"), key("A", "A2"), reviewer="anne")
    acknowledge(world)

    world.registry.withdraw(fact.id, actor="user:zoe")

    assert outbox(world) == [
        ("correction", "ris-a", Delivery.DELIVERED),
        ("correction_withdrawn", "ris-a", Delivery.PENDING),
    ]


def test_a_decision_made_again_asks_again(world):
    two_of_one(world)
    for _ in range(2):
        [fact] = world.registry.relate(Verdict.SAME, key("A", "A1"), key("A", "A2"), reviewer="anne")
        world.registry.withdraw(fact.id, actor="user:zoe")
    world.registry.relate(Verdict.SAME, key("A", "A1"), key("A", "A2"), reviewer="anne")

    assert states(world) == [*[CorrectionState.WITHDRAWN] * 2, CorrectionState.REQUESTED]


def test_a_proposal_asks_nothing_until_a_second_person_agrees():
    from mpi.index.decisions import TwoPersonRule

    world = World(MemoryStore(), rule=TwoPersonRule(above_size=1))
    two_of_one(world)
    [fact] = world.registry.relate(Verdict.SAME, key("A", "A1"), key("A", "A2"), reviewer="anne")
    assert asked(world) == []

    world.registry.confirm(fact.id, reviewer="zoe")

    assert len(asked(world)) == 1


def test_a_merge_that_a_person_takes_back_opens_the_request_again(world):
    two_of_one(world)
    report = reported(world, ReportKind.DUPLICATE, (("A", "A1"), ("A", "A2")))
    decided(world, report)
    world.merge("A", "A1", "A2", minute=9)
    [merged] = world.facts_of(FactKind.MERGED)

    world.registry.withdraw(merged.id, actor="user:zoe")

    assert states(world) == [CorrectionState.REQUESTED]
    assert world.registry.reporting.find_report(report.id).state is ReportState.CORRECTING


# ----------------------------------------------------------------------------- unmerging, links


def test_a_merge_of_two_people_is_done_when_the_site_states_the_other_again(world):
    two_of_one(world)
    world.merge("A", "A1", "A2", minute=5)
    [different] = world.registry.relate(Verdict.DIFFERENT, key("A", "A1"), key("A", "A2"), reviewer="anne")

    assert asked(world) == [(CorrectionKind.SEPARATE, "A1", "A2", CorrectionState.REQUESTED)]
    assert outbox(world) == [("correction", "ris-a", Delivery.PENDING)], (
        "as a sheet: no message undoes a merge"
    )
    world.state("A", "A1", person(), minute=20)
    assert states(world) == [CorrectionState.REQUESTED]
    world.state("A", "A2", person(**OTHER), minute=21)

    # The firewall holds a statement of somebody else until a person has looked.
    [overlay] = [t for t in world.tasks() if t.kind is TaskKind.OVERLAY]
    world.decide(overlay.id, Verdict.SAME)
    assert states(world) == [CorrectionState.DONE]
    assert different.stands


@pytest.mark.parametrize("late", [False, True])
def test_a_link_is_unlinked_by_whoever_made_it(world, late):
    world.state("A", "A1", person())
    world.state("B", "B1", person(**OTHER))
    world.link(("A", "A1"), ("B", "B1"), minute=5)

    world.registry.relate(Verdict.DIFFERENT, key("A", "A1"), key("B", "B1"), reviewer="anne")

    assert asked(world) == [(CorrectionKind.UNLINK, "A1", "B1", CorrectionState.REQUESTED)]
    world.link(("A", "A1"), ("B", "B1"), linked=False, minute=6, source="ris-b")
    assert states(world) == [CorrectionState.REQUESTED], "another source's word is not the one asked for"
    world.link(("A", "A1"), ("B", "B1"), linked=False, minute=2 if late else 9)
    assert states(world) == [CorrectionState.REQUESTED if late else CorrectionState.DONE]


def test_an_unlink_is_linked_again_by_whoever_made_it(world):
    world.state("A", "A1", person())
    world.state("B", "B1", person())
    world.link(("A", "A1"), ("B", "B1"), linked=False, minute=5)

    world.registry.relate(Verdict.SAME, key("A", "A1"), key("B", "B1"), reviewer="anne")

    assert asked(world) == [(CorrectionKind.LINK, "A1", "B1", CorrectionState.REQUESTED)]
    world.link(("A", "A1"), ("B", "B1"), minute=9)
    assert states(world) == [CorrectionState.DONE]


# --------------------------------------------------------------------------------------- traits


def wrong_birth_date(world, **expected):
    world.state("A", "A1", person(born="1984-02-28"))
    report = reported(world, ReportKind.WRONG_TRAIT, trait="birth_date")
    decided(world, report, expected=expected or {"birth_date": "1984-02-29"})
    return report


def test_a_trait_is_done_when_the_site_states_what_was_expected(world):
    report = wrong_birth_date(world)

    world.state("A", "A1", person(born="1984-02-28"), minute=5)
    assert states(world) == [CorrectionState.REQUESTED], "it says what it always said"
    world.state("A", "A1", person(born="1984-02-29"), minute=6)

    assert states(world) == [CorrectionState.DONE]
    assert world.registry.reporting.find_report(report.id).state is ReportState.CORRECTED
    assert clean(world)


def test_another_value_is_another_answer_and_says_so(world):
    report = wrong_birth_date(world)

    world.state("A", "A1", person(born="1984-02-27"), minute=6)

    assert states(world) == [CorrectionState.OTHERWISE]
    assert world.registry.reporting.find_report(report.id).state is ReportState.CONTESTED
    world.state("A", "A1", person(born="1984-02-29"), minute=7)
    assert states(world) == [CorrectionState.DONE]


def test_a_late_message_about_before_shows_nothing(world):
    world.state("A", "A1", person(born="1984-02-28"), minute=30)
    decided(world, reported(world, ReportKind.WRONG_TRAIT, trait="birth_date"))

    world.state("A", "A1", person(born="1984-02-29"), minute=10)

    assert states(world) == [CorrectionState.REQUESTED]


def test_a_header_of_the_site_corrects_nothing(world):
    from mpi.identity.model import Witness

    wrong_birth_date(world)

    world.state("A", "A1", person(), minute=9, source="ris-a", witness=Witness.HEADER)

    assert states(world) == [CorrectionState.REQUESTED]


def test_an_accent_is_corrected_letter_for_letter(world):
    world.state("A", "A1", person("LEFEVRE"))
    report = reported(world, ReportKind.WRONG_TRAIT, trait="birth_name")
    decided(world, report, expected={"birth_name": "LEFÈVRE"})

    world.state("A", "A1", person("LEFEVRE"), minute=5)
    assert states(world) == [CorrectionState.REQUESTED]
    world.state("A", "A1", person("LEFÈVRE"), minute=6)
    assert states(world) == [CorrectionState.DONE]


def test_a_corrected_statement_that_a_person_sets_aside_corrects_nothing_any_more(world):
    wrong_birth_date(world)
    receipt = world.state("A", "A1", person(born="1984-02-29"), minute=6)
    with world.store.read() as uow:
        [told] = uow.records.stated_by(receipt.message_id)

    world.registry.set_aside(told.id, reviewer="anne")

    traits, *_ = (v for v in world.registry.reporting.corrections() if v.correction.report_id is not None)
    assert traits.state is CorrectionState.REQUESTED


def test_a_record_that_a_person_doubts_is_stated_again_as_the_site_finds_it(world):
    world.state("A", "A1", person())
    world.state("A", "A2", person("CHANTERAU", "LISE", birth_place_code=""))
    [task] = world.tasks()

    world.decide(task.id, Verdict.LEFT_WRONG)

    [(kind, about, _, _)] = asked(world)
    assert kind is CorrectionKind.RESTATE
    world.state("A", about, person("CHANTERO", "LOUISE"), minute=9)
    assert states(world) == [CorrectionState.DONE]


def test_a_wrong_pick_is_done_when_the_site_states_the_right_person_again(world):
    world.state("A", "A1", person())
    world.state("A", "A1", person(**OTHER), minute=5)
    [overlay] = [t for t in world.tasks() if t.kind is TaskKind.OVERLAY]

    world.decide(overlay.id, Verdict.DIFFERENT)

    [view] = world.registry.reporting.corrections()
    assert view.correction.kind is CorrectionKind.RESTATE
    assert view.correction.wanted.expected["birth_name"] == "CHANTEREAU"
    world.state("A", "A1", person(), minute=3)
    assert states(world) == [CorrectionState.REQUESTED], "it is of before the wrong pick"
    world.state("A", "A1", person(), minute=9)
    assert states(world) == [CorrectionState.DONE]
    assert clean(world)


def test_an_ins_of_somebody_else_is_done_when_the_site_takes_it_back(world):
    world.state("A", "A1", person(**QUALIFIED))
    report = reported(world, ReportKind.WRONG_INS)
    decided(world, report)

    world.state("A", "A1", person(**QUALIFIED), minute=4)
    assert states(world) == [CorrectionState.REQUESTED]
    withdrawal = replace(
        statement(
            "A", "A1", person(identity_codes=("PROV",), deleted=frozenset({"ins", "ins_oid"})), minute=5
        ),
        replaces_ins=(INS,),
    )
    world.send(IdentityStated((withdrawal,)), source="ris-a")

    assert states(world) == [CorrectionState.DONE]


def test_an_exam_is_done_when_it_is_found_under_another_identifier(world):
    def stated(value, who, minute):
        found = Study("1.2.3", key("A", value), "pacs-a", modalities=("CT",))
        world.send(
            IdentityStated((statement("A", value, who, minute=minute),), studies=(found,)), source="ris-a"
        )

    stated("A1", person(), 0)
    world.state("A", "A2", person(**OTHER))
    report = reported(world, ReportKind.NOT_MY_PATIENT, study_uid="1.2.3")
    decided(world, report)

    assert asked(world) == [(CorrectionKind.REATTRIBUTE, "A1", "A1", CorrectionState.REQUESTED)]
    stated("A1", person(), 5)
    assert states(world) == [CorrectionState.REQUESTED]
    stated("A2", person(**OTHER), 6)
    world.state("A", "A1", person(), minute=7)
    assert states(world) == [CorrectionState.DONE]


def test_an_exam_is_done_when_its_visit_is_moved(world):
    world.state("A", "A1", person())
    world.state("A", "A2", person(**OTHER))
    world.move("A", "A2", "A1", minute=1)
    decided(world, reported(world, ReportKind.NOT_MY_PATIENT, study_uid="1.2.3"))
    assert states(world) == [CorrectionState.REQUESTED], "the move of before was another one"

    world.move("A", "A2", "A1", minute=9)

    assert states(world) == [CorrectionState.DONE]


# -------------------------------------------------------------------------- following and asking


def test_what_is_asked_may_be_chosen(world):
    two_of_one(world)
    report = reported(world, ReportKind.OTHER, (("A", "A1"), ("A", "A2")))

    accepted = decided(world, report, asks=[CorrectionKind.RESTATE], of=[key("A", "A2")])

    assert accepted.state is ReportState.CORRECTING
    assert asked(world) == [(CorrectionKind.RESTATE, "A2", "A2", CorrectionState.REQUESTED)]


def test_what_does_not_apply_is_not_asked(world):
    world.state("A", "A1", person())
    report = reported(world)

    with pytest.raises(LinkConflict):
        decided(world, report, asks=[CorrectionKind.WITHDRAW_INS])
    with pytest.raises(LinkConflict):
        decided(world, report, Decision.REJECT, asks=[CorrectionKind.RESTATE])
    with pytest.raises(LinkConflict):
        decided(world, report, of=[key("A", "A2")])
    assert world.registry.reporting.find_report(report.id).state is ReportState.RECEIVED


def test_an_accepted_report_that_asks_nothing_of_a_site_is_closed_by_a_person(world):
    world.state("A", "A1", person())
    report = reported(world)

    assert decided(world, report).state is ReportState.ACCEPTED
    assert doubtful(world, "A", "A1")
    assert decided(world, report, Decision.CLOSE).state is ReportState.CLOSED


def test_an_acceptance_taken_back_is_as_before(world):
    two_of_one(world)
    report = reported(world, ReportKind.DUPLICATE, (("A", "A1"), ("A", "A2")))
    before = world.snapshot(), doubtful(world, "A", "A1")
    decided(world, report)

    again = decided(world, report, Decision.REOPEN)

    assert again.state is ReportState.RECEIVED
    assert states(world) == [CorrectionState.WITHDRAWN]
    assert (world.snapshot(), doubtful(world, "A", "A1")) == before
    assert decided(world, report).state is ReportState.CORRECTING
    assert states(world) == [CorrectionState.WITHDRAWN, CorrectionState.REQUESTED]


def test_a_site_that_takes_no_message_is_asked_on_paper(world):
    world.state("B", "B1", person())
    world.state("B", "B2", person(), minute=1)
    decided(world, reported(world, ReportKind.DUPLICATE, (("B", "B1"), ("B", "B2"))))

    [view] = world.registry.reporting.corrections()

    assert (view.correction.source, view.row, view.state) == ("ris-b", None, CorrectionState.REQUESTED)
    world.merge("B", "B1", "B2", minute=9)
    assert states(world) == [CorrectionState.DONE]


def test_a_site_that_is_late_is_overdue_until_it_acts(world):
    two_of_one(world)
    decided(world, reported(world, ReportKind.DUPLICATE, (("A", "A1"), ("A", "A2"))))
    acknowledge(world)

    world.clock.at += timedelta(days=16)

    assert states(world) == [CorrectionState.OVERDUE]
    assert len(world.registry.reporting.corrections(overdue=True)) == 1
    world.registry.reporting.resend(1, reviewer="anne")
    assert states(world) == [CorrectionState.REQUESTED]
    assert outbox(world)[-1] == ("correction", "ris-a", Delivery.PENDING)
    with pytest.raises(LinkConflict):
        world.registry.reporting.resend(1, reviewer="anne")


def test_a_refused_message_says_so_and_may_be_sent_again(world):
    two_of_one(world)
    decided(world, reported(world, ReportKind.DUPLICATE, (("A", "A1"), ("A", "A2"))))
    acknowledge(world, Delivery.DEAD)

    assert states(world) == [CorrectionState.REFUSED]
    world.registry.reporting.resend(1, reviewer="anne")
    assert states(world) == [CorrectionState.REQUESTED]


def test_a_request_that_a_person_takes_back_is_not_made_again(world):
    two_of_one(world)
    world.registry.relate(Verdict.SAME, key("A", "A1"), key("A", "A2"), reviewer="anne")
    world.registry.reporting.withdraw_correction(1, reviewer="anne")

    world.state("A", "A1", person(used="DUVIVIER"), minute=9)

    assert states(world) == [CorrectionState.WITHDRAWN]
    with pytest.raises(LinkConflict):
        world.registry.reporting.withdraw_correction(1, reviewer="anne")


def test_a_request_done_before_it_was_sent_is_not_sent(world):
    two_of_one(world)
    decided(world, reported(world, ReportKind.DUPLICATE, (("A", "A1"), ("A", "A2"))))

    world.merge("A", "A1", "A2", minute=9)

    assert outbox(world) == [("correction", "ris-a", Delivery.WITHDRAWN)]


def test_what_is_urgent_is_given_less_time(world):
    two_of_one(world)
    world.merge("A", "A1", "A2", minute=5)
    world.registry.relate(Verdict.DIFFERENT, key("A", "A1"), key("A", "A2"), reviewer="anne")
    [view] = world.registry.reporting.corrections()

    assert view.correction.due_at - view.correction.requested_at == timedelta(days=3)


# --------------------------------------------------------------------------- erasure and the trail


def test_erasing_destroys_what_was_written_and_asked(world):
    world.state("A", "A1", person(born="1984-02-28"))
    report = reported(world, ReportKind.WRONG_TRAIT, trait="birth_date", comment="ZQX was born on the 29th")
    decided(world, report, expected={"birth_date": "1984-02-29"}, answer="ZQX asked")

    world.registry.erase(key("A", "A1"), reviewer="zoe", reason="asked")

    [view] = world.registry.reporting.corrections()
    assert (view.state, dict(view.correction.wanted.before), dict(view.correction.wanted.expected)) == (
        CorrectionState.WITHDRAWN,
        {},
        {},
    )
    kept = world.registry.reporting.find_report(report.id)
    assert (kept.comment, kept.answer) == ("", "")
    assert clean(world)


def test_everything_leaves_its_trace_and_no_trace_holds_a_trait(world):
    world.state("A", "A1", person("ZQXFAM", born="1984-02-28"))
    report = reported(world, ReportKind.WRONG_TRAIT, trait="birth_date", comment="ZQX")
    decided(world, report, expected={"birth_date": "1984-02-29"}, answer="ZQX")
    world.state("A", "A1", person("ZQXFAM", born="1984-02-29"), minute=5)
    decided(world, report, Decision.CLOSE)

    with world.store.read() as uow:
        events = [item.event for item in uow.audit.chain()]

    kinds = [event.kind for event in events]
    for kind in (
        "report.received",
        "report.accept",
        "correction.requested",
        "correction.done",
        "report.close",
    ):
        assert kinds.count(kind) == 1, kind
    assert "ZQX" not in repr(events)
    assert "1984" not in repr(events)


def test_a_clock_is_not_needed_to_know_what_is_done():
    """The state is kept where it follows from what was said, so a store read years later answers alike."""
    world = World(MemoryStore(), clock=Clock())
    two_of_one(world)
    decided(world, reported(world, ReportKind.DUPLICATE, (("A", "A1"), ("A", "A2"))))
    world.merge("A", "A1", "A2", minute=9)

    world.clock.at += timedelta(days=4000)

    assert states(world) == [CorrectionState.DONE]
