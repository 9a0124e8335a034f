"""
Two worlds that differ only in what site B did, and every question that somebody who sees site A alone may ask.

A door is a way in: REST, FHIR, HL7 v2, or what this index sends by itself. Each is asked with the key of every role
that may be limited to some domains and is let in there.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from hypothesis import strategies as st

from mpi import delivery
from mpi.api import dependencies
from mpi.api.fhir import feed, match, process_message, subscription
from mpi.api.rest import feeds, notifications, reports
from mpi.errors import LinkConflict, UnknownIdentifier
from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.index.corrections import CorrectionKind
from mpi.index.parties import Consumer
from mpi.index.ports import Channel, Subscription, SubscriptionStatus
from mpi.index.reports import ReportKind
from mpi.index.review import Verdict
from mpi.notify.web import RestHook, Webhook
from mpi.security.keys import Role, create_key
from tests.fakes import MemoryStore
from tests.federation import OWN, SITES, START, World, authority, directory, key, person
from tests.properties.limited_requests import EVENING, SECRET, a31, euid, q22, q23, request, token

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
LIMITED = frozenset({authority("A").universal_id})
HOOK = "https://portal-a.example/hook"

_RANDOM = (
    (re.compile(rb"(\^RSP_K2[123]|\^ACK|ACK\^[^|]*)\|[^|]*\|"), rb"\1|#|"),  # MSH-10
    (re.compile(rb"DSC\|\w+-"), b"DSC|#-"),
    (re.compile(rb"_page=[\w-]+"), b"_page=#"),
    (re.compile(rb"urn:uuid:[\w-]+"), b"urn:uuid:#"),
)
"""What is drawn at random in answers."""
_NUMBERS = re.compile(
    rb'"((?:\w+_)?id|next|statement|fact|task|repeats|replay_of)":\d+|(report|fact|message|statement|correction|task)/\d+'
)
"""Rows are numbered for the whole federation, for those who work on them (see the manual)."""

# ----------------------------------------------------------------------------------- what happens

values = st.sampled_from(VALUES)
people = st.sampled_from(PEOPLE)
one_site = st.one_of(
    *[st.tuples(st.just("state"), values, people)] * 4,
    st.tuples(st.just("merge"), values, values),
    st.tuples(st.just("rename"), values, values),
    st.tuples(st.just("doubt"), values),
    st.tuples(st.just("report"), values),
)
others = (
    one_site
    | st.tuples(st.just("subscribe"), values)
    | st.tuples(
        st.sampled_from([Verdict.SAME, Verdict.DIFFERENT]).map(lambda verdict: f"say {verdict}"),
        values,
        st.tuples(st.sampled_from("AB"), values),
    )
)
by_a = st.builds(
    lambda known, more: [("state", value, who) for value, who in zip(VALUES, known, strict=True)] + more,
    st.tuples(people, people, people),
    st.lists(one_site, max_size=3),
)
by_b = st.lists(st.lists(others, max_size=3), min_size=7, max_size=7)

# ------------------------------------------------------------------------------------- the doors

SITE, PORTAL, REVIEWER = "ris-a", "portal-a", "reviewer-a"
LEAD, AUDITOR, OPERATOR, CONSUMER = "lead-a", "auditor-a", "operator-a", "pix-a"
SEE_PATIENTS = (SITE, PORTAL, REVIEWER, LEAD, AUDITOR)
READ_PATIENTS = (PORTAL, REVIEWER, LEAD, AUDITOR)
VIGILANCE = (REVIEWER, LEAD)

records = st.tuples(st.sampled_from("AB"), st.sampled_from((*VALUES, "9")))
own_records = st.tuples(st.just("A"), values)
moments = st.none() | st.integers(0, 7)
numbers = st.integers(0, 3)
asked = st.sampled_from(ASKED)
searches = st.sampled_from(["family=chanter", "birthdate=1984-02-29", "given=louise", "identifier=1"])
quantities = st.sampled_from(
    [
        ("@PID.5.1.1^CHAN*", "@PID.7.1^19840229"),
        ("@PID.5.1.1^CHAN*",),
        ("@PID.3.1^1",),
        ("@PID.7.1^19500101",),
    ]
)

DOORS: Mapping[str, tuple[tuple[str, ...], st.SearchStrategy[Any]]] = {
    "identifiers": (SEE_PATIENTS, st.tuples(records, moments)),
    "patient": (READ_PATIENTS, st.tuples(records, st.sampled_from(["", "/history"]), moments)),
    "explain": (READ_PATIENTS, st.tuples(records, moments)),
    "timeline": ((REVIEWER, LEAD, AUDITOR), st.tuples(records, moments)),
    "resolve": (
        (SITE, PORTAL, REVIEWER, LEAD),
        st.tuples(st.lists(st.tuples(records, asked), min_size=1, max_size=4)),
    ),
    "match": ((PORTAL, REVIEWER, LEAD), st.tuples(asked, moments)),
    "look": (
        SEE_PATIENTS,
        st.tuples(st.sampled_from(["chan", "mart"]), st.sampled_from(["1984-02-29", "1950"]), moments),
    ),
    "reports": (SEE_PATIENTS, st.tuples(numbers)),
    "file": ((SITE, PORTAL, *VIGILANCE), st.tuples(own_records, st.booleans())),
    "answer": (VIGILANCE, st.tuples(numbers, st.sampled_from(["accept", "reject", "answer"]))),
    "corrections": ((SITE, REVIEWER, LEAD, AUDITOR), st.tuples(st.sampled_from(["all", "open", "overdue"]))),
    "indicators": ((REVIEWER, LEAD, AUDITOR), st.tuples()),
    "queue": (
        (REVIEWER, LEAD, AUDITOR),
        st.tuples(st.sampled_from(["live", "all", "urgent"]), st.sampled_from(["1", "50"]), moments),
    ),
    "question": ((REVIEWER, LEAD, AUDITOR), st.tuples(numbers)),
    "work": (VIGILANCE, st.tuples(numbers, st.sampled_from(["claim", "release", "undecided", "dismissed"]))),
    "facts": ((REVIEWER, LEAD, AUDITOR), st.tuples()),
    "told": ((AUDITOR,), st.tuples(st.sampled_from(["pix-a", "portal"]), own_records, st.integers(0, 7))),
    "notifications": (
        (LEAD, AUDITOR, OPERATOR),
        st.tuples(st.sampled_from(["", "?addressee=portal", "?state=pending"])),
    ),
    "pause": ((LEAD, OPERATOR), st.tuples(st.sampled_from(["portal", "nobody", "pix-a"]))),
    "journal": ((LEAD, AUDITOR, OPERATOR), st.tuples(st.sampled_from(["", "/counts"]))),
    "feeds": ((LEAD, AUDITOR, OPERATOR), st.tuples(st.sampled_from(["/api/v1/feeds", "/metrics"]))),
    "pix": (SEE_PATIENTS, st.tuples(records, st.booleans())),
    "search": (SEE_PATIENTS, st.tuples(searches)),
    "read": (READ_PATIENTS, st.tuples(records, st.sampled_from(["", "/_history"]))),
    "grade": (
        (PORTAL, REVIEWER, LEAD),
        st.tuples(st.sampled_from(["CHANTEREAU", "MARTIN"]), st.booleans(), st.none() | records),
    ),
    "audit": (
        (AUDITOR,),
        st.tuples(st.sampled_from(["", "/1", "?entity=record/1", "?subtype=ITI-83"])),
    ),
    "subscriptions": ((PORTAL,), st.tuples(st.none() | records)),
    "feed": ((SITE,), st.tuples(st.sampled_from("139"), people, st.booleans())),
    "q23": ((CONSUMER,), st.tuples(records)),
    "q22": (
        (CONSUMER,),
        st.tuples(quantities, st.sampled_from(["", "1", "2"]), st.sampled_from(["", "A", "B"])),
    ),
    "a31": ((SITE,), st.tuples(st.sampled_from("139"))),
    "sent": ((CONSUMER,), st.tuples()),
}
"""Door -> who may be limited and is let in there, and what they may ask."""
_NUMBERED = frozenset(
    {
        *(
            "timeline",
            "reports",
            "file",
            "answer",
            "corrections",
            "facts",
            "told",
            "notifications",
            "journal",
        ),
        *("queue", "question", "work"),
    }
)
_SUBSCRIPTION = re.compile(rb'(?<=/fhir/Subscription/)\d+|(?<="id":")\d+(?=")')
_OTHER_HEADERS = frozenset({"date", "content-length", "location"})
"""What follows from the body, or is in it."""
_SHOWN_NUMBERS = frozenset({REVIEWER, LEAD, AUDITOR})
"""Who is shown the numbers of facts with a patient."""


def programs(*doors: str, least: int = 4, most: int = 8) -> st.SearchStrategy[Any]:
    """What some callers ask, one after the other: at every door, or at some."""
    each = [
        st.tuples(st.sampled_from(callers), what.map(lambda given, door=door: (door, *given)))
        for door, (callers, what) in DOORS.items()
        if not doors or door in doors
    ]
    return st.lists(st.one_of(each), min_size=least, max_size=most)


# ------------------------------------------------------------------------------------- the worlds


@dataclass
class Still:
    """A clock that stands still until it is set."""

    at: datetime = START

    def __call__(self) -> datetime:
        return self.at


class Evening(datetime):
    """An evening that does not end."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return EVENING


@contextmanager
def at_evening():
    """The interfaces answer at one instant, in whichever world."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (
            dependencies, feed, match, process_message, subscription, feeds, notifications, reports,
        ):  # fmt: skip
            patch.setattr(module, "datetime", Evening)
        yield


@dataclass
class Federation:
    """Sites A and B over one store, and callers who see A alone."""

    client: TestClient
    store: MemoryStore = field(default_factory=lambda: MemoryStore(euid_secret=SECRET))
    clock: Still = field(default_factory=Still)

    def __post_init__(self) -> None:
        everything = self.everything = frozenset(authority(site).universal_id for site in SITES)
        own = Consumer(CONSUMER, "PIX_A", "SITE_A", LIMITED, "127.0.0.1:1", webhook="https://pix-a.example")
        self.parties = directory(
            consumers=[own, Consumer("portal", "PORTAL", "FED", everything, "127.0.0.1:2")]
        )
        self.world = World(self.store, self.parties, clock=self.clock)
        self.hl7 = Hl7Handler(self.world.registry, self.parties, self.clock)
        names = {role: f"{role}-a" for role in Role} | {Role.SITE: SITE}
        self.secrets = {name: self._key(name, role, LIMITED) for role, name in names.items()}
        self._key("portal", Role.PORTAL, ())
        self.world.registry.sights.of(LIMITED)
        for owner, domains in ((PORTAL, LIMITED), ("portal", everything)):
            self._subscribe(owner, domains)

    def _key(self, name: str, role: Role, domains: Iterable[str]) -> str:
        return create_key(self.store, name=name, role=role, domains=list(domains), clock=self.clock)

    def _subscribe(self, owner: str, domains: frozenset[str]) -> None:
        with self.store.write() as uow:
            active = SubscriptionStatus.ACTIVE
            uow.subscriptions.add(
                Subscription(
                    0, owner, domains, "Patient", HOOK, "", "application/fhir+json", active, self.clock()
                )
            )
            uow.commit()

    def live(self, of_a: Any, of_b: Any) -> None:
        """Let A's part happen at its hours, and what B does between."""
        for hour, between in enumerate(of_b):
            self.clock.at = START + timedelta(hours=hour, minutes=1)
            for each in between:
                self.do("B", hour, *each)
            if hour < len(of_a):
                self.clock.at = START + timedelta(hours=hour, minutes=30)
                self.do("A", hour, *of_a[hour])
        self.clock.at = EVENING

    def do(self, site: str, hour: int, what: str, value: str, *more: Any) -> None:
        minute = 60 * hour
        match what.partition(" "):
            case ("state", _, _):
                self.world.state(site, value, more[0], minute=minute)
            case ("merge", _, _):
                self.world.merge(site, value, more[0], minute=minute)
            case ("rename", _, _):
                self.world.rename(site, value, more[0], minute=minute)
            case ("subscribe", _, _):
                self._subscribe("portal", self.everything)
            case ("report", _, _):
                with suppress(LinkConflict, UnknownIdentifier):
                    about, actor = [key(site, value)], f"key:portal-{site.lower()}"
                    self.world.registry.reporting.report(ReportKind.OTHER, about, actor=actor, role="portal")
            case _:
                with suppress(LinkConflict, UnknownIdentifier):
                    self.say(site, what.removeprefix("say "), value, *more)

    def say(self, site: str, what: str, value: str, other: tuple[str, str] | None = None) -> None:
        if other is None:
            self.world.registry.doubt(key(site, value), reviewer="zoe")
        else:
            self.world.registry.relate(Verdict(what), key(site, value), key(*other), reviewer="zoe")

    # ------------------------------------------------------------------------------- questions

    def ask(self, caller: str, door: str, *more: Any) -> Any:
        """What a door answers, whole; but for what is drawn at random, and how rows are numbered."""
        self._serve()
        found = _Doors(self, caller).answers(door, *more)
        numbered = door in _NUMBERED or (door == "explain" and caller in _SHOWN_NUMBERS)
        if door == "subscriptions":
            found = [(status, headers, _SUBSCRIPTION.sub(b"#", body)) for status, headers, body in found]
        return [tuple(_steady(part, numbered) for part in answer) for answer in found]

    def _serve(self) -> None:
        state = self.client.app.state
        state.store, state.registry = self.store, self.world.registry


def _steady(part: Any, numbered: bool) -> Any:
    if not isinstance(part, bytes):
        return part
    for pattern, instead in _RANDOM:
        part = pattern.sub(instead, part)
    return _NUMBERS.sub(rb"\1\2#", part) if numbered else part


@dataclass
class _Doors:
    """The doors, for one caller."""

    federation: Federation
    caller: str

    def answers(self, door: str, *more: Any) -> list[tuple[Any, ...]]:
        special: dict[str, Callable[..., list[tuple[Any, ...]]]] = {
            "reports": self._reports,
            "answer": self._answer_report,
            "question": self._question,
            "work": self._work,
            "search": self._search,
            "read": self._read,
            "subscriptions": self._subscriptions,
            "q23": lambda record: [self._hl7(q23(*record))],
            "q22": self._q22,
            "a31": lambda value: [self._hl7(a31(value))],
            "sent": self._sent,
        }
        return special[door](*more) if door in special else [self.http(*request(door, *more))]

    def http(self, method: str, path: str, options: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        options = dict(options or {})
        secret = self.federation.secrets[self.caller]
        options["headers"] = {"Authorization": f"Bearer {secret}", **options.get("headers", {})}
        found = self.federation.client.request(method, path, **options)
        kept = sorted((k, v) for k, v in found.headers.items() if k not in _OTHER_HEADERS)
        return found.status_code, kept, found.content

    def _hl7(self, message: bytes) -> tuple[bytes]:
        return (self.federation.hl7.handle(message),)

    def _reports(self, number: int) -> list[tuple[Any, ...]]:
        listed = self.http("GET", "/api/v1/reports")
        found = json.loads(listed[2]).get("reports", [])
        one = [self.http("GET", f"/api/v1/reports/{found[number % len(found)]['id']}")] if found else []
        return [listed, *one]

    def _answer_report(self, number: int, decision: str) -> list[tuple[Any, ...]]:
        listed = self.http("GET", "/api/v1/reports?state=received")
        found = json.loads(listed[2]).get("reports", [])
        if not found:
            return [listed]
        one = found[number % len(found)]
        asks = {"asks": [CorrectionKind.RESTATE]} if decision == "accept" else {}
        body = {"decision": decision, "version": one["version"], **asks}
        return [listed, self.http("POST", f"/api/v1/reports/{one['id']}/decision", {"json": body})]

    def _question(self, number: int) -> list[tuple[Any, ...]]:
        """One question, of whatever state."""
        listed = self.http(*request("queue", "all", "50", None))
        found = json.loads(listed[2]).get("reviews", [])
        one = [self.http("GET", f"/api/v1/reviews/{found[number % len(found)]['id']}")] if found else []
        return [listed, *one]

    def _work(self, number: int, what: str) -> list[tuple[Any, ...]]:
        """
        What somebody does with a question of theirs.

        A verdict that becomes a fact may be refused for what its reviewer does not see: it binds everybody.
        """
        listed = self.http(*request("queue", "live", "50", None))
        found = json.loads(listed[2]).get("reviews", [])
        if not found:
            return [listed]
        one = found[number % len(found)]
        path = f"/api/v1/reviews/{one['id']}"
        if what in ("claim", "release"):
            return [listed, self.http("POST", f"{path}/{what}"), self.http("GET", path)]
        body = {"verdict": what, "version": one["version"]}
        return [listed, self.http("POST", f"{path}/verdict", {"json": body}), self.http("GET", path)]

    def _search(self, wanted: str) -> list[tuple[Any, ...]]:
        """Page after page."""
        answers = [self.http("GET", f"/fhir/Patient?{wanted}&_count=1")]
        while len(answers) < 5 and (following := _next_of(answers[-1][2])):
            answers.append(self.http("GET", following))
        return [*answers, self.http("POST", "/fhir/Patient/_search", {"data": dict([wanted.split("=")])})]

    def _read(self, record: tuple[str, str], part: str) -> list[tuple[Any, ...]]:
        """A person, or its versions and the oldest of them."""
        path = f"/fhir/Patient/{euid(record)}"
        first = self.http("GET", f"{path}{part}")
        entries = json.loads(first[2]).get("entry", [])
        if not part or not entries:
            return [first]
        version = entries[-1]["resource"]["meta"]["versionId"]
        return [first, self.http("GET", f"{path}/_history/{version}")]

    def _subscriptions(self, record: tuple[str, str] | None) -> list[tuple[Any, ...]]:
        criteria = "Patient"
        if record is not None:
            criteria += f"?identifier={token(*record)}"
        body = {
            "resourceType": "Subscription",
            "status": "requested",
            "reason": "x",
            "criteria": criteria,
            "channel": {"type": "rest-hook", "endpoint": HOOK},
        }
        made = self.http("POST", "/fhir/Subscription", {"json": body})
        path = "/fhir/Subscription"
        if made[0] == 201:
            path += f"/{json.loads(made[2])['id']}"
        return [
            made,
            self.http("GET", "/fhir/Subscription"),
            *(self.http(m, path) for m in ("GET", "DELETE", "GET")),
        ]

    def _q22(self, criteria: tuple[str, ...], size: str, domain: str) -> list[tuple[Any, ...]]:
        """Page after page."""
        answers, pointer = [self._hl7(q22(criteria, size, domain))], b""
        while len(answers) < 6 and (found := re.search(rb"\rDSC\|([^|\r]+)", answers[-1][0])):
            pointer = found[1]
            answers.append(self._hl7(q22(criteria, size, domain, pointer.decode())))
        return answers

    def _sent(self) -> list[tuple[Any, ...]]:
        """What A's consumer and A's subscriber are sent, to the byte, in their order."""
        federation, seen = self.federation, []

        def taken(sent: httpx2.Request) -> httpx2.Response:
            headers = sorted((k, v) for k, v in sent.headers.items() if k.lower() != "mpi-signature")
            seen.append((str(sent.url), headers, sent.content))
            return httpx2.Response(200)

        client = partial(httpx2.Client, transport=httpx2.MockTransport(taken))
        (consumer,) = (one for one in federation.parties.consumers if one.name == CONSUMER)
        webhook = Webhook(
            consumer.webhook,
            "s",
            own=OWN,
            domains=federation.parties.domains,
            clock=federation.clock,
            client=client,
        )
        hook = RestHook(
            federation.store, hosts=frozenset({"portal-a.example"}), clock=federation.clock, client=client
        )
        with federation.store.read() as uow:
            rows = [
                row for row in uow.outbox.page(limit=10_000) if row.consumer in (CONSUMER, "subscription/1")
            ]
        for number, row in enumerate(sorted(rows, key=lambda one: (one.consumer, one.channel, one.id))):
            row = replace(row, control_id=f"N{number}")
            if row.channel is Channel.MLLP:
                seen.append((delivery._pix_update(consumer, federation.parties, "FED", row),))
            else:
                (webhook if row.channel is Channel.WEBHOOK else hook).send(row)
        return seen


def _next_of(body: bytes) -> str:
    links = json.loads(body).get("link", [])
    return next((one["url"] for one in links if one["relation"] == "next"), "")
