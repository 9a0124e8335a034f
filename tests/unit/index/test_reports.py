"""Reports and requests to sites: their life cycles, and what may be said."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mpi.errors import LinkConflict
from mpi.index import corrections, reports
from mpi.index.corrections import Correction, CorrectionKind, CorrectionState, WantedCorrection
from mpi.index.ports import Delivery, OutboxRow
from mpi.index.reports import (
    LIFTS,
    Decision,
    Followed,
    ReportKind,
    ReportState,
    check_report,
    state_after,
    state_with,
)
from mpi.index.requests import state_of
from tests.federation import START, key

A1, A2, B1 = key("A", "A1"), key("A", "A2"), key("B", "B1")


@pytest.mark.parametrize(
    ("kind", "about", "trait"),
    [
        (ReportKind.OTHER, (), ""),
        (ReportKind.DUPLICATE, (A1,), ""),
        (ReportKind.DUPLICATE, (A1, B1), ""),
        (ReportKind.WRONG_LINK, (A1,), ""),
        (ReportKind.WRONG_TRAIT, (A1,), ""),
        (ReportKind.WRONG_TRAIT, (A1,), "address"),
        (ReportKind.WRONG_INS, (A1,), "sex"),
    ],
)
def test_a_report_nobody_could_act_upon_is_refused(kind, about, trait):
    with pytest.raises(LinkConflict):
        check_report(kind, about, trait=trait)


@pytest.mark.parametrize(
    ("kind", "about", "trait"),
    [
        (ReportKind.NOT_MY_PATIENT, (A1,), ""),
        (ReportKind.DUPLICATE, (A1, A2), ""),
        (ReportKind.WRONG_LINK, (A1, B1), ""),
        (ReportKind.WRONG_TRAIT, (A1,), "birth_date"),
    ],
)
def test_a_report_somebody_can_act_upon_is_taken(kind, about, trait):
    check_report(kind, about, trait=trait)


@pytest.mark.parametrize("state", list(ReportState))
@pytest.mark.parametrize("decision", list(Decision))
def test_a_decision_leads_where_the_table_allows(state, decision):
    try:
        target = state_after(state, decision)
    except LinkConflict:
        return
    assert target in reports.TRANSITIONS[state]


def test_a_report_that_follows_sites_moves_as_the_table_allows():
    assert state_with([Followed.OPEN]) in reports.TRANSITIONS[ReportState.ACCEPTED]
    for state in reports.FOLLOWED:
        for how in ((), *((one,) for one in Followed), tuple(Followed)):
            assert state_with(how) in reports.TRANSITIONS[state] | {state}


def test_a_doubt_is_lifted_by_a_person_alone():
    """Nothing that follows from what a site did is among the states that lift a doubt."""
    assert not LIFTS & reports.FOLLOWED
    assert {state_with(how) for how in ((), (Followed.DONE,), (Followed.OTHERWISE,))}.isdisjoint(LIFTS)


def request(**more):
    wanted = WantedCorrection(CorrectionKind.MERGE, "fact/1", A1, A2)
    return Correction(7, wanted, 1, 2, "ris-a", "user:anne", START, START + timedelta(days=15), **more)


def sent(state=Delivery.PENDING, attempts=0):
    return OutboxRow(1, "ris-a", "correction", {"correction": 7}, START, state=state, attempts=attempts)


@pytest.mark.parametrize(
    ("correction", "row", "days", "state"),
    [
        (request(), None, 1, CorrectionState.REQUESTED),
        (request(), sent(), 1, CorrectionState.REQUESTED),
        (request(), sent(attempts=1), 1, CorrectionState.SENT),
        (request(), sent(Delivery.DELIVERED), 1, CorrectionState.ACKNOWLEDGED),
        (request(), sent(Delivery.DEAD, 1), 1, CorrectionState.REFUSED),
        (request(), sent(Delivery.DELIVERED), 15, CorrectionState.OVERDUE),
        (request(settled=Followed.DONE), sent(Delivery.DEAD), 90, CorrectionState.DONE),
        (request(settled=Followed.OTHERWISE), None, 90, CorrectionState.OTHERWISE),
        (request(settled=Followed.DONE, withdrawn_at=START), None, 1, CorrectionState.WITHDRAWN),
    ],
)
def test_where_a_request_stands(correction, row, days, state):
    assert state_of(correction, row, at=START + timedelta(days=days)) is state


def test_an_acknowledgement_is_not_done():
    delivered = replace(sent(Delivery.DELIVERED), delivered_at=START)

    assert state_of(request(), delivered, at=START) not in corrections.SETTLED


def test_a_withdrawn_request_is_over():
    assert corrections.TRANSITIONS[CorrectionState.WITHDRAWN] == frozenset()
    assert set(corrections.TRANSITIONS) == set(CorrectionState)


def test_what_a_request_rests_on():
    of_a_fact, of_a_report = request(), request()
    of_a_report = replace(of_a_report, wanted=replace(of_a_report.wanted, cause="report/2.4"))

    assert (of_a_fact.fact_id, of_a_fact.report_id) == (1, None)
    assert (of_a_report.fact_id, of_a_report.report_id) == (None, 2)
