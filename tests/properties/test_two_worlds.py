"""
Isolation between sites: what a caller may not see never alters a byte of its answers.

Two worlds differ only in what site B did; site A's part, and every instant of it, are the same. A program of
requests by callers who see A alone is answered in both: status, headers and body have to be identical, over
REST, FHIR and HL7 v2, and so has what A's consumer and subscriber are sent.

Source: invariant I34 (non-interference).
"""

import json
import os
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings

from mpi.api.app import create_app
from mpi.api.dependencies import Session
from mpi.api.fhir import audit, feed
from mpi.api.rest import feeds, journal, notifications, reports, reviews, views
from mpi.feeds.hl7v2 import pdq_query
from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.index import answers, finding, persons, reporting, sights, timeline, versions
from mpi.index.derivation import Component
from mpi.index.euid import native_euid
from mpi.index.review import LIVE_STATES, WHOLE
from mpi.security.keys import Role, create_key
from mpi.settings import Settings
from tests.fakes import MemoryReviews, MemoryStore, MemorySubscriptions
from tests.federation import SITES, START, World, authority, key
from tests.properties.limited_requests import SECRET
from tests.properties.two_worlds import (
    DOORS,
    LIMITED,
    PEOPLE,
    PORTAL,
    VALUES,
    Federation,
    at_evening,
    by_a,
    by_b,
    programs,
)

PAIRS = int(os.environ.get("MPI_TWO_WORLDS", "60"))
LONG_PAIRS = int(os.environ.get("MPI_TWO_WORLDS_LONG", "3000"))


@pytest.fixture(scope="module")
def client():
    empty = World(MemoryStore())
    settings_of_a = Settings(notify={"subscription_hosts": ["portal-a.example"]})
    with at_evening():
        yield TestClient(create_app(settings_of_a, store=empty.store, registry=empty.registry))


def answers_in(client, of_a, of_b, program):
    world = Federation(client)
    world.live(of_a, of_b)
    return [world.ask(caller, *asked) for caller, asked in program]


def law(client, of_a, one, other, program):
    """Both worlds answer A alike, to the byte."""
    for asked, here, there in zip(
        program, answers_in(client, of_a, one, program), answers_in(client, of_a, other, program), strict=True
    ):
        assert here == there, asked


_SETTINGS = settings(
    deadline=None, suppress_health_check=list(HealthCheck), print_blob=False, report_multiple_bugs=False
)


@settings(_SETTINGS, max_examples=PAIRS)
@given(of_a=by_a, one=by_b, other=by_b, program=programs())
def test_what_b_does_never_alters_a_byte_of_what_a_is_answered(client, of_a, one, other, program):
    """[I34]"""
    law(client, of_a, one, other, program)


@pytest.mark.parametrize("door", DOORS)
def test_what_b_does_never_alters_a_byte_at_any_door(client, door):
    @settings(_SETTINGS, max_examples=max(PAIRS // 10, 1))
    @given(of_a=by_a, one=by_b, other=by_b, program=programs(door, least=3, most=5))
    def every_caller(of_a, one, other, program):
        law(client, of_a, one, other, program)

    every_caller()


@pytest.mark.long
@settings(_SETTINGS, max_examples=LONG_PAIRS)
@given(of_a=by_a, one=by_b, other=by_b, program=programs())
def test_what_b_does_never_alters_a_byte_in_thousands_of_worlds(client, of_a, one, other, program):
    law(client, of_a, one, other, program)


def a_person_that_b_keeps_apart():
    """Two records of A are one person for a while; B's record of that person, who contradicts one, keeps them apart."""
    louise, louis = PEOPLE[0], PEOPLE[4]
    of_a = [("state", "1", louise), ("state", "2", louise), ("doubt", "2")]
    of_b = [[], [("state", "1", louis), ("say same", "1", ("A", "1"))], *([[]] * 5)]
    return of_a, of_b


def test_versions_follow_who_a_person_was_through_what_is_seen_alone(client):
    of_a, of_b = a_person_that_b_keeps_apart()
    program = [(PORTAL, ("read", ("A", "1"), "/_history"))]

    law(client, of_a, [[]] * 7, of_b, program)
    ((answer, _),) = answers_in(client, of_a, of_b, program)
    assert json.loads(answer[2])["total"] == 3


# ------------------------------------------------------------------------------------ planted faults


def test_versions_of_everybody_are_seen(client, monkeypatch):
    of_a, of_b = a_person_that_b_keeps_apart()
    monkeypatch.setattr(versions, "_instants_seen", lambda *known: versions._instants(*known[:4]))

    with pytest.raises(AssertionError):
        law(client, of_a, [[]] * 7, of_b, [(PORTAL, ("read", ("A", "1"), "/_history"))])


EVERYBODY = frozenset(authority(site).universal_id for site in SITES)


def breaks(client, *doors, pairs=400):
    """Whether the law fails now, without shrinking what it finds."""

    @settings(_SETTINGS, max_examples=pairs, phases=[Phase.generate], derandomize=True, database=None)
    @given(of_a=by_a, one=by_b, other=by_b, program=programs(*doors))
    def try_all(of_a, one, other, program):
        law(client, of_a, one, other, program)

    try:
        try_all()
    except AssertionError:
        return True
    return False


def the_identifier_of_the_whole_set(monkeypatch, _):
    def of_the_whole(self, uow, person, shown, visible):
        return uow.memberships.euid_of(person.record_ids[0]) or ""

    monkeypatch.setattr(answers.Answers, "_name_of", of_the_whole)


def sets_of_everybody(monkeypatch, _):
    monkeypatch.setattr(persons.Persons, "sees_all", lambda self, visible: True)


def policy_after_the_limit(monkeypatch, _):
    true_find = answers.Answers.find_candidates

    def find(self, uow, traits, *, visible, as_of=None):
        everybody = frozenset(authority(site).universal_id for site in "ABC")
        found = true_find(self, uow, traits, visible=everybody, as_of=as_of)[:1]
        return tuple(one for one in found if one.record.key.domain in visible)

    monkeypatch.setattr(answers.Answers, "find_candidates", find)


def everybody_s_number(monkeypatch, _):
    true_link = views._assertion

    def numbered(session, stated, language):
        return true_link(session, stated, language).model_copy(update={"fact_id": stated.id})

    monkeypatch.setattr(views, "_assertion", numbered)


def history_as_it_was(monkeypatch, _):
    def kept(self, uow, records, visible, as_of):
        for record in records:
            yield from ((record.key, item) for item in uow.memberships.history(record.id))

    monkeypatch.setattr(answers.Answers, "_memberships", kept)


def people_of_everybody(monkeypatch, _):
    true_search = finding.Finding.search

    def search(self, uow, wanted, *, visible, most, as_of=None):
        return true_search(self, uow, wanted, visible=EVERYBODY, most=most, as_of=as_of)

    monkeypatch.setattr(finding.Finding, "search", search)


def people_of_everybody_in_the_past(monkeypatch, _):
    true_search = finding.Finding.search

    def search(self, uow, wanted, *, visible, most, as_of=None):
        seen = visible if as_of is None else EVERYBODY
        return true_search(self, uow, wanted, visible=seen, most=most, as_of=as_of)

    monkeypatch.setattr(finding.Finding, "search", search)


def who_would_be_found_is_counted(monkeypatch, held):
    """A page tells how many there are in all, whoever may see them."""
    true_page = pdq_query._page

    def page(found, people, domains, **more):
        answer = true_page(found, people, domains, **more)
        total, shown, left = answer.counts
        return replace(answer, counts=(total + held(), shown, left))

    monkeypatch.setattr(pdq_query, "_page", page)


def anybody_reads_the_trail(monkeypatch, _):
    monkeypatch.setattr(audit, "_check_sees_all", lambda session: None)


def reports_of_everybody(monkeypatch, _):
    monkeypatch.setattr(reports, "_sees_report", lambda session, found: True)


def requests_to_everybody(monkeypatch, _):
    monkeypatch.setattr(reports, "sees_correction", lambda session, view: True)


def figures_of_everybody(monkeypatch, _):
    true_figures = reporting.Reporting.figures
    monkeypatch.setattr(
        reporting.Reporting,
        "figures",
        lambda self, domains, sight: true_figures(self, EVERYBODY, sight=sight),
    )


def questions_of_the_whole_index(monkeypatch, _):
    monkeypatch.setattr(sights.Sights, "of", lambda self, visible: WHOLE)


def questions_of_every_sight(monkeypatch, _):
    true_tasks = timeline._tasks

    def told(uow, records, visible, sight):
        for each in (WHOLE, sight):
            yield from true_tasks(uow, records, visible, each)

    monkeypatch.setattr(timeline, "_tasks", told)


def a_question_of_any_queue(monkeypatch, _):
    """A number is enough to read it."""
    monkeypatch.setattr(reviews, "_task", lambda session, task_id: None)
    true_page = MemoryReviews.page
    monkeypatch.setattr(
        MemoryReviews, "page", lambda self, *, sight, **which: true_page(self, sight=None, **which)
    )


def told_of_everybody(monkeypatch, _):
    monkeypatch.setattr(Component, "seen", lambda self, domains: self)


def everybody_s_notifications(monkeypatch, _):
    monkeypatch.setattr(Session, "may_know_what_is_told", lambda self, domains: True)


def everybody_s_queues(monkeypatch, _):
    for module in (feeds, notifications):
        monkeypatch.setattr(module, "sees_every_queue", lambda caller, directory: True)


def everybody_s_messages(monkeypatch, _):
    for module in (feeds, journal):
        monkeypatch.setattr(module, "visible_sources", lambda caller, directory: None)


def everybody_s_subscriptions(monkeypatch, _):
    true_all = MemorySubscriptions.all
    monkeypatch.setattr(MemorySubscriptions, "all", lambda self, owner=None: true_all(self))


def assertions_about_anybody(monkeypatch, _):
    monkeypatch.setattr(Session, "sees_fact", lambda self, fact: True)


def happenings_of_everybody(monkeypatch, _):
    true_facts = timeline._facts
    monkeypatch.setattr(timeline, "_facts", lambda uow, records, visible: true_facts(uow, records, EVERYBODY))


def an_acknowledgement_counts_records(monkeypatch, held):
    true_handle = Hl7Handler.handle
    monkeypatch.setattr(
        Hl7Handler, "handle", lambda self, frame: true_handle(self, frame) + f"NTE|{held()}\r".encode()
    )


def an_outcome_counts_records(monkeypatch, held):
    monkeypatch.setattr(feed, "_taken", lambda warnings: {"resourceType": "OperationOutcome", "id": held()})


FAULTS = (
    (the_identifier_of_the_whole_set, ()),
    (sets_of_everybody, ()),
    (policy_after_the_limit, ()),
    (everybody_s_number, ("explain",)),
    (history_as_it_was, ()),
    (people_of_everybody, ("q22",)),
    (people_of_everybody, ("search",)),
    (people_of_everybody, ("look",)),
    (people_of_everybody_in_the_past, ("look",)),
    (people_of_everybody_in_the_past, ("q22",)),
    (who_would_be_found_is_counted, ("q22",)),
    (anybody_reads_the_trail, ("audit",)),
    (reports_of_everybody, ("reports",)),
    (reports_of_everybody, ("answer",)),
    (requests_to_everybody, ("corrections",)),
    (figures_of_everybody, ("indicators",)),
    (told_of_everybody, ("sent",)),
    (told_of_everybody, ("queue",)),
    (questions_of_the_whole_index, ("queue",)),
    (questions_of_the_whole_index, ("indicators",)),
    (questions_of_the_whole_index, ("timeline",)),
    (questions_of_every_sight, ("timeline",)),
    (a_question_of_any_queue, ("question",)),
    (everybody_s_notifications, ("told",)),
    (everybody_s_notifications, ("notifications",)),
    (everybody_s_queues, ("notifications",)),
    (everybody_s_queues, ("feeds",)),
    (everybody_s_messages, ("journal",)),
    (everybody_s_messages, ("feeds",)),
    (everybody_s_subscriptions, ("subscriptions",)),
    (assertions_about_anybody, ("facts",)),
    (happenings_of_everybody, ("timeline",)),
    (an_acknowledgement_counts_records, ("a31",)),
    (an_outcome_counts_records, ("feed",)),
)


@pytest.mark.parametrize(
    ("fault", "doors"), FAULTS, ids=[f"{fault.__name__}-{'-'.join(doors)}" for fault, doors in FAULTS]
)
def test_a_planted_leak_is_seen(client, monkeypatch, fault, doors):
    def held():
        """How many records the index that is asked holds."""
        with client.app.state.store.read() as uow:
            return len(uow.records.all_ids())

    fault(monkeypatch, held)

    assert breaks(client, *doors)


# ---------------------------------------------------------------------- those who work on the questions


def questions_of(world, sight):
    """What a queue asks today, by what and about whom."""
    with world.store.read() as uow:
        tasks = uow.reviews.page(states=LIVE_STATES, limit=10_000, sight=sight)
        ends = uow.records.by_ids({i for task in tasks for i in (task.key.left_id, task.key.right_id)})
        return {
            (task.key.topic, ends[task.key.left_id].key, ends[task.key.right_id].key): (
                *(task.kind, task.reason, task.state, task.weight_bits, task.priority),
                dict(task.fingerprint),
            )
            for task in tasks
        }


@settings(_SETTINGS, max_examples=PAIRS)
@given(of_a=by_a, of_b=by_b)
def test_the_queue_of_a_sight_is_that_of_an_index_that_holds_nothing_else(client, of_a, of_b):
    alone, among = Federation(client), Federation(client)
    alone.live(of_a, [[]] * 7)
    among.live(of_a, of_b)
    sight = among.world.registry.sights.of(LIMITED)
    kept = questions_of(among, sight)

    assert kept == questions_of(alone, WHOLE)

    with among.store.write() as uow:  # made late, as for a key of today over the records of years
        late = uow.sights.keep(LIMITED | {authority("C").universal_id})
        uow.commit()
    assert among.world.registry.sights.of(late.domains) == late.id
    assert questions_of(among, late.id) == kept


def test_who_sees_one_site_is_shown_nothing_of_another_by_any_role(client):
    """Numbers of tasks, facts and messages count everybody's work; what they are about stays apart."""
    world = Federation(client)
    for hour, (site, value) in enumerate(product("AB", VALUES)):
        world.clock.at = START + timedelta(hours=hour)
        world.world.state(site, f"{site}ZQX{value}", replace(PEOPLE[0], city=f"TOWN-{site}"), minute=hour)
    world.world.registry.doubt(key("B", "BZQX1"), reviewer="zoe")
    hidden = ["BZQX", "SITE-B", authority("B").universal_id + '"', "TOWN-B"]
    hidden += [native_euid(SECRET, key("B", f"BZQX{value}")) for value in VALUES]
    paths = ["/api/v1/reviews", "/api/v1/reviews?order=priority", "/api/v1/facts", "/api/v1/messages"]
    paths += [f"/api/v1/reviews/{task}" for task in range(1, 20)]
    paths += [
        f"/api/v1/patients/{native_euid(SECRET, key('A', f'AZQX{value}'))}{part}"
        for value in VALUES
        for part in ("", "/history", "/explain", "/timeline")
    ]
    state = client.app.state
    state.store, state.registry = world.store, world.world.registry

    for role in (Role.REVIEWER, Role.LEAD, Role.AUDITOR, Role.OPERATOR, Role.PORTAL):
        domains = [authority("A").universal_id]
        secret = create_key(world.store, name=f"{role}-of-a", role=role, domains=domains, clock=world.clock)
        for path in paths:
            answer = client.get(path, headers={"Authorization": f"Bearer {secret}"})
            assert not any(word in answer.text for word in hidden), (role, path)
