"""
Isolation between sites: what a caller may not see never alters a byte of its answers.

Two worlds differ only in what site B did; site A's part, and every instant of it, are the same. A program of
requests by callers who see A alone is answered in both: status, headers and body have to be identical, over
REST, FHIR and HL7 v2.

Source: invariant I34 (non-interference).
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import product

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mpi.api.app import create_app
from mpi.api.rest import views
from mpi.errors import LinkConflict, UnknownIdentifier
from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.index import answers, persons
from mpi.index.euid import native_euid
from mpi.index.parties import Consumer
from mpi.index.review import Verdict
from mpi.security.keys import Role, create_key
from mpi.settings import Settings
from tests.fakes import MemoryStore
from tests.federation import START, World, authority, directory, key, person

PAIRS = int(os.environ.get("MPI_TWO_WORLDS", "60"))
LONG_PAIRS = int(os.environ.get("MPI_TWO_WORLDS_LONG", "3000"))
_OWN_NUMBER = re.compile(rb"(\^RSP_K23)\|[^|]*\|")
"""MSH-10 of a reply, drawn at random."""
_PAGE = re.compile(rb"_page=[\w-]+")
"""What names the pages of one search, drawn at random."""
SECRET = b"\x01" * 32
EVENING = START + timedelta(hours=12)
VALUES = "123"
PEOPLE = (
    person("CHANTEREAU", "LOUISE"),
    person("CHANTEREAU", "LOUISE", used="ROUX", city="BRIVE", postal_code="19100"),
    person("CHANTREAU", "LOUISE", phones=("0612345678",)),
    person("CHANTEREAU", "LOUISE", "1984-02-28"),
    person("CHANTEREAU", "LOUIS", sex="M", phones=("0612345678",)),
    person("CHANTEREAU", "", "", phones=("0612345678",)),
    person("MARTIN", "JEAN", "1950-01-01", sex="M"),
    person("CHANTEREAU", "LOUISE", identity_codes=("PROV", "ANOM")),
    person("CHANTEREAU", "LOUISE", identity_codes=("PROV", "DOUT")),
)
ASKED = (
    {"birth_name": "CHANTEREAU", "given_names": "LOUISE", "birth_date": "1984-02-29", "sex": "F"},
    {"birth_name": "CHANTREAU", "given_names": "LOUISE", "birth_date": "1984-02-29", "phone": "0612345678"},
    {"birth_name": "MARTIN", "given_names": "JEAN", "birth_date": "1950-01-01", "sex": "M"},
)

values = st.sampled_from(VALUES)
people = st.sampled_from(PEOPLE)
one_site = st.one_of(
    *[st.tuples(st.just("state"), values, people)] * 4,
    st.tuples(st.just("merge"), values, values),
    st.tuples(st.just("rename"), values, values),
    st.tuples(st.just("doubt"), values),
)
others = one_site | st.tuples(
    st.sampled_from([Verdict.SAME, Verdict.DIFFERENT]).map(lambda verdict: f"say {verdict}"),
    values,
    st.tuples(st.sampled_from("AB"), values),
)
by_a = st.builds(
    lambda known, more: [("state", value, who) for value, who in zip(VALUES, known, strict=True)] + more,
    st.tuples(people, people, people),
    st.lists(one_site, max_size=3),
)
by_b = st.lists(st.lists(others, max_size=3), min_size=7, max_size=7)

records = st.tuples(st.sampled_from("AB"), st.sampled_from((*VALUES, "9")))
moments = st.none() | st.integers(0, 7)
requests = st.one_of(
    st.tuples(st.just("identifiers"), records, moments),
    st.tuples(st.just("patient"), records, st.sampled_from(["", "/history", "/explain"]), moments),
    st.tuples(
        st.just("resolve"), st.lists(st.tuples(records, st.sampled_from(ASKED)), min_size=1, max_size=4)
    ),
    st.tuples(st.just("match"), st.sampled_from(ASKED), moments),
    st.tuples(st.just("pix"), records),
    st.tuples(st.just("search"), st.sampled_from(["family=chanter", "birthdate=1984-02-29", "given=louise"])),
    st.tuples(
        st.just("look"), st.sampled_from(["chan", "mart"]), st.sampled_from(["1984-02-29", "1950"]), moments
    ),
    st.tuples(st.just("read"), records, st.sampled_from(["", "/_history"])),
    st.tuples(st.just("grade"), st.sampled_from(["CHANTEREAU", "MARTIN"]), st.booleans()),
    st.tuples(st.just("q23"), records),
)
FOR_A_SITE = ("identifiers", "resolve", "pix")
programs = st.lists(
    requests.flatmap(
        lambda asked: st.tuples(
            st.sampled_from(["site-a", "portal-a"] if asked[0] in FOR_A_SITE else ["portal-a"]),
            st.just(asked),
        )
    ),
    min_size=4,
    max_size=8,
)


@dataclass
class Still:
    """A clock that stands still until it is set."""

    at: datetime = START

    def __call__(self):
        return self.at


@dataclass
class Federation:
    """Sites A and B over one store, and callers who see A alone."""

    client: TestClient
    store: MemoryStore = field(default_factory=lambda: MemoryStore(euid_secret=SECRET))
    clock: Still = field(default_factory=Still)

    def __post_init__(self):
        seen = frozenset({authority("A").universal_id})
        parties = directory(consumers=[Consumer("pix-a", "PIX_A", "SITE_A", seen)])
        self.world = World(self.store, parties, clock=self.clock)
        self.hl7 = Hl7Handler(self.world.registry, parties, self.clock)
        self.secrets = {
            name: create_key(self.store, name=name, role=role, domains=list(seen), clock=self.clock)
            for name, role in (("site-a", Role.SITE), ("portal-a", Role.PORTAL))
        }

    def live(self, of_a, of_b):
        """Let A's part happen at its hours, and what B does between."""
        for hour, between in enumerate(of_b):
            self.clock.at = START + timedelta(hours=hour, minutes=1)
            for each in between:
                self.do("B", hour, *each)
            if hour < len(of_a):
                self.clock.at = START + timedelta(hours=hour, minutes=30)
                self.do("A", hour, *of_a[hour])
        self.clock.at = EVENING

    def do(self, site, hour, what, value, *more):
        minute = 60 * hour
        match what.partition(" "):
            case ("state", _, _):
                self.world.state(site, value, more[0], minute=minute)
            case ("merge", _, _):
                self.world.merge(site, value, more[0], minute=minute)
            case ("rename", _, _):
                self.world.rename(site, value, more[0], minute=minute)
            case _:
                with suppress(LinkConflict, UnknownIdentifier):
                    self.say(site, what.removeprefix("say "), value, *more)

    def say(self, site, what, value, other=None):
        if other is None:
            self.world.registry.doubt(key(site, value), reviewer="zoe")
        else:
            self.world.registry.relate(Verdict(what), key(site, value), key(*other), reviewer="zoe")

    def ask(self, caller, what, *more):
        """One answer, whole: status, headers and body."""
        if what == "q23":
            header, rest = self.hl7.handle(q23(*more[0])).split(b"\r", 1)
            return _OWN_NUMBER.sub(b"\\1|#|", header), rest
        state = self.client.app.state
        state.store, state.registry = self.store, self.world.registry
        method, path, options = request(what, *more)
        options["headers"] = {"Authorization": f"Bearer {self.secrets[caller]}", **options.get("headers", {})}
        found = self.client.request(method, path, **options)
        kept = sorted((k, v) for k, v in found.headers.items() if k not in ("date", "x-request-id"))
        return found.status_code, kept, _PAGE.sub(b"_page=#", found.content)


def instant(moment):
    at = START + timedelta(hours=moment, minutes=45)
    return {"as_of": at.isoformat()}


def request(what, *more):
    """(method, path, options) of a request of a program."""
    match what, *more:
        case "identifiers", (site, value), moment:
            asked = {"domain": f"SITE-{site}", "id": value}
            return "GET", "/api/v1/identifiers", {"params": {**asked, **(instant(moment) if moment else {})}}
        case "patient", (site, value), part, moment:
            euid = native_euid(SECRET, key(site, value))
            return "GET", f"/api/v1/patients/{euid}{part}", {"params": instant(moment) if moment else {}}
        case "resolve", asked:
            identities = [
                {**traits, **({"domain": f"SITE-{site}", "id": value} if value != "9" else {})}
                for (site, value), traits in asked
            ]
            return "POST", "/api/v1/resolve", {"json": {"identities": identities}}
        case "match", traits, moment:
            asked = {"params": instant(moment) if moment else {}}
            return "POST", "/api/v1/match", {"json": {"identity": traits}, **asked}
        case "pix", (site, value):
            asked = f"urn:oid:{authority(site).universal_id}|{value}"
            return "GET", "/fhir/Patient/$ihe-pix", {"params": {"sourceIdentifier": asked}}
        case "search", asked:
            return "GET", f"/fhir/Patient?{asked}", {}
        case "look", name, born, moment:
            asked = {"params": instant(moment) if moment else {}}
            return "POST", "/api/v1/search", {"json": {"name": name, "birth_date": born}, **asked}
        case "read", (site, value), part:
            return "GET", f"/fhir/Patient/{native_euid(SECRET, key(site, value))}{part}", {}
        case "grade", family, certain:
            who = {
                "resourceType": "Patient",
                "name": [{"family": family, "given": ["LOUISE"]}],
                "gender": "female",
            }
            parameters = [
                {"name": "resource", "resource": {**who, "birthDate": "1984-02-29"}},
                {"name": "onlyCertainMatches", "valueBoolean": certain},
            ]
            return (
                "POST",
                "/fhir/Patient/$match",
                {"json": {"resourceType": "Parameters", "parameter": parameters}},
            )
    raise AssertionError(what)


def q23(site, value):
    asked = f"{value}^^^SITE-{site}&{authority(site).universal_id}&ISO"
    return (
        "MSH|^~\\&|PIX_A|SITE_A|MPI|FED|20260302102000||QBP^Q23^QBP_Q21|Q1|P|2.5\r"
        f"QPD|IHE PIX Query|T1|{asked}\rRCP|I\r"
    ).encode()


@pytest.fixture(scope="module")
def client():
    empty = World(MemoryStore())
    return TestClient(create_app(Settings(), store=empty.store, registry=empty.registry))


def answers_in(client, of_a, of_b, program):
    world = Federation(client)
    world.live(of_a, of_b)
    return [world.ask(*each) for each in ((caller, *asked) for caller, asked in program)]


def law(client, of_a, one, other, program):
    """Both worlds answer A alike, to the byte."""
    assert answers_in(client, of_a, one, program) == answers_in(client, of_a, other, program)


_SETTINGS = settings(
    deadline=None, suppress_health_check=list(HealthCheck), print_blob=False, report_multiple_bugs=False
)


@settings(_SETTINGS, max_examples=PAIRS)
@given(of_a=by_a, one=by_b, other=by_b, program=programs)
def test_what_b_does_never_alters_a_byte_of_what_a_is_answered(client, of_a, one, other, program):
    """[I34]"""
    law(client, of_a, one, other, program)


@pytest.mark.long
@settings(_SETTINGS, max_examples=LONG_PAIRS)
@given(of_a=by_a, one=by_b, other=by_b, program=programs)
def test_what_b_does_never_alters_a_byte_in_thousands_of_worlds(client, of_a, one, other, program):
    law(client, of_a, one, other, program)


# ------------------------------------------------------------------------------------ planted faults


def breaks(client, *, pairs=400):
    """Whether the law fails now, without shrinking what it finds."""

    @settings(_SETTINGS, max_examples=pairs, phases=[Phase.generate], derandomize=True, database=None)
    @given(of_a=by_a, one=by_b, other=by_b, program=programs)
    def try_all(of_a, one, other, program):
        law(client, of_a, one, other, program)

    try:
        try_all()
    except AssertionError:
        return True
    return False


def the_identifier_of_the_whole_set(monkeypatch):
    def of_the_whole(self, uow, person, shown, visible):
        return uow.memberships.euid_of(person.record_ids[0]) or ""

    monkeypatch.setattr(answers.Answers, "_name_of", of_the_whole)


def sets_of_everybody(monkeypatch):
    monkeypatch.setattr(persons.Persons, "sees_all", lambda self, visible: True)


def policy_after_the_limit(monkeypatch):
    true_find = answers.Answers.find_candidates

    def find(self, uow, traits, *, visible, as_of=None):
        everybody = frozenset(authority(site).universal_id for site in "ABC")
        found = true_find(self, uow, traits, visible=everybody, as_of=as_of)[:1]
        return tuple(one for one in found if one.record.key.domain in visible)

    monkeypatch.setattr(answers.Answers, "find_candidates", find)


def everybody_s_number(monkeypatch):
    true_link = views._assertion

    def numbered(session, stated, language):
        return true_link(session, stated, language).model_copy(update={"fact_id": stated.id})

    monkeypatch.setattr(views, "_assertion", numbered)


def history_as_it_was(monkeypatch):
    def kept(self, uow, records, visible, as_of):
        for record in records:
            yield from ((record.key, item) for item in uow.memberships.history(record.id))

    monkeypatch.setattr(answers.Answers, "_memberships", kept)


FAULTS = (
    the_identifier_of_the_whole_set,
    sets_of_everybody,
    policy_after_the_limit,
    everybody_s_number,
    history_as_it_was,
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_leak_is_seen(client, monkeypatch, fault):
    fault(monkeypatch)

    assert breaks(client)


# ---------------------------------------------------------------------- those who work on the questions


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
        secret = create_key(world.store, name=role, role=role, domains=domains, clock=world.clock)
        for path in paths:
            answer = client.get(path, headers={"Authorization": f"Bearer {secret}"})
            assert not any(word in answer.text for word in hidden), (role, path)
