"""
The demonstration: a synthetic federation fed over real sockets and files, one question asked and answered.

Nothing here is a short cut: messages go through the MLLP listener, headers through `ingest`,
questions through MLLP and HTTP, and the figures are measured against the generator's truth.
"""

import locale
import shutil
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import httpx2
from mpi_synthetic import Event, EventKind, Federation, generate, render, write_header
from rich.console import Console
from rich.progress import Progress

from mpi.client import Client
from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.feeds.mllp import MllpClient
from mpi.identity.model import RecordKey
from mpi.index.review import LIVE_STATES
from mpi.ingestion import ingest
from mpi.matching.evaluation import wilson
from mpi.security.keys import Role, create_key
from mpi.service import Service, in_background
from mpi.settings import Settings
from mpi.wiring import now

PORTAL = "PORTAL_DEMO"

TEXTS = {
    "fr": {
        "inventing": "invention de {persons} personnes et de {sites} sites",
        "feeding": "messages HL7 par MLLP",
        "headers": "en-têtes DICOM",
        "title": "Fédération de démonstration (personnes synthétiques)",
        "sites": "sites",
        "records": "identités connues de l'index",
        "people": "personnes inventées",
        "enterprise": "personnes reconstituées par l'index",
        "messages": "messages reçus",
        "rate": "dont {applied} appliqués, {duplicate} en double, {quarantined} en quarantaine, {refused} refusés",
        "time": "durée d'alimentation",
        "per_second": "{rate:.0f} messages par seconde",
        "links": "liens automatiques entre identités",
        "precision": "précision des liens (vérité connue)",
        "recall": "rappel des liens automatiques",
        "recall_review": "rappel avec les paires proposées à la revue",
        "tasks": "tâches de revue ouvertes",
        "interval": "{value:.2%} (intervalle à 95 % : {low:.2%} à {high:.2%}, {n} paires)",
        "question": "Question : qui est {id} du site {site} dans les autres sites ?",
        "mllp": "réponse PIX (ITI-9, HL7 v2 par MLLP)",
        "fhir": "réponse FHIR (ITI-83, $ihe-pix)",
        "rest": "réponse REST (mpi.client)",
        "truth": "vérité du générateur",
        "agree": "les trois réponses concordent avec la vérité",
        "disagree": "ATTENTION : les réponses diffèrent de la vérité",
        "nobody": "aucune autre identité",
        "serving": "L'index est en service. Ctrl-C pour arrêter.",
        "open": "À ouvrir : {url}/docs (identifiant : demo, mot de passe : la clé ci-dessous)",
        "key": "clé d'API de cette démonstration :",
        "try": "À essayer :",
        "mllp_at": "Écoute MLLP sur {host}:{port}.",
    },
    "en": {
        "inventing": "inventing {persons} people and {sites} sites",
        "feeding": "HL7 messages over MLLP",
        "headers": "DICOM headers",
        "title": "Demonstration federation (synthetic people)",
        "sites": "sites",
        "records": "identities the index knows",
        "people": "people invented",
        "enterprise": "people the index made of them",
        "messages": "messages received",
        "rate": "of which {applied} applied, {duplicate} duplicate, {quarantined} quarantined, {refused} refused",
        "time": "time to feed",
        "per_second": "{rate:.0f} messages a second",
        "links": "automatic links between identities",
        "precision": "precision of links (truth known)",
        "recall": "recall of automatic links",
        "recall_review": "recall with the pairs sent to review",
        "tasks": "review tasks opened",
        "interval": "{value:.2%} (95% interval: {low:.2%} to {high:.2%}, {n} pairs)",
        "question": "Question: who is {id} of site {site} elsewhere?",
        "mllp": "PIX answer (ITI-9, HL7 v2 over MLLP)",
        "fhir": "FHIR answer (ITI-83, $ihe-pix)",
        "rest": "REST answer (mpi.client)",
        "truth": "the generator's truth",
        "agree": "all three answers agree with the truth",
        "disagree": "WARNING: the answers differ from the truth",
        "nobody": "no other identity",
        "serving": "The index is serving. Ctrl-C stops it.",
        "open": "Open {url}/docs (user: demo, password: the key below)",
        "key": "API key of this demonstration:",
        "try": "Try:",
        "mllp_at": "MLLP listener on {host}:{port}.",
    },
}


def run_demo(
    *,
    persons: int,
    seed: int,
    folder: Path,
    http_port: int,
    mllp_port: int,
    serve: bool,
    language: str,
    out: Console,
    progress: Progress,
) -> None:
    """
    Invent a federation, feed it, measure, ask, and serve on if asked to.

    Raises:
        StoreError: the store cannot be opened.
    """
    text = TEXTS.get(language or (locale.getlocale()[0] or "en")[:2], TEXTS["en"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with progress:
        inventing = progress.add_task(text["inventing"].format(persons=persons, sites=4), total=persons)
        federation = generate(
            persons,
            4,
            seed,
            progress=lambda done, total: progress.update(inventing, completed=done, total=total),
        )
        settings = demo_settings(federation, folder, http_port=http_port, mllp_port=mllp_port)
        with in_background(settings) as service:
            started = time.perf_counter()
            feed(service, federation, folder, progress, text)
            seconds = time.perf_counter() - started
            progress.stop()
            secret = create_key(service.store, name="demo", role=Role.LEAD, domains=[], clock=now)
            euid_of, measured = measure(service, federation)
            _summary(service, federation, euid_of, measured, seconds, text, out)
            _question(service, federation, euid_of, secret, text, out)
            if serve:
                _serve(service, secret, text, out)


def demo_settings(federation: Federation, folder: Path, *, http_port: int, mllp_port: int) -> Settings:
    """The configuration of an index for a synthetic federation: its domains, its sources, and one portal."""
    namespaces = [authority.namespace for authority in federation.authorities]
    sources = []
    for authority in federation.authorities:
        letter = authority.namespace.removeprefix("SITE-")
        sources.append(
            {
                "name": f"ris-{letter.lower()}",
                "application": f"RIS_{letter}",
                "facility": f"SITE_{letter}",
                "feeds": [authority.namespace],
            }
        )
        sources.append(
            {"name": f"pacs-{letter.lower()}", "aet": f"PACS_{letter}", "feeds": [authority.namespace]}
        )
    return Settings.model_validate(
        {
            "database": {"url": f"sqlite:///{folder}/mpi.db"},
            "http": {"port": http_port},
            "mllp": {"port": mllp_port},
            "domains": [{"namespace": a.namespace, "oid": a.universal_id} for a in federation.authorities],
            "sources": sources,
            "consumers": [
                {"name": "portal", "application": PORTAL, "facility": "FEDERATION", "domains": namespaces}
            ],
            "accept_test_ins": True,
        }
    )


def feed(
    service: Service, federation: Federation, folder: Path, progress: Progress, text: dict[str, str]
) -> None:
    """Send each site's messages over its own MLLP connection, in its own order, then its DICOM headers from files."""
    by_site: dict[str, list[Event]] = defaultdict(list)
    headers: dict[str, list[Event]] = defaultdict(list)
    for event in federation.events:
        (headers if event.kind is EventKind.HEADER else by_site)[event.record.site].append(event)
    sending = progress.add_task(text["feeding"], total=sum(len(events) for events in by_site.values()))
    failures: list[BaseException] = []

    def send(site: str) -> None:
        try:
            with MllpClient(service.settings.mllp.host, service.mllp_port) as client:
                for event in by_site[site]:
                    client.send(render(event, federation.site(site)))
                    progress.advance(sending)
        except Exception as error:  # noqa: BLE001 - raised again in the main thread
            failures.append(error)

    threads = [threading.Thread(target=send, args=(site,)) for site in sorted(by_site)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    reading = progress.add_task(text["headers"], total=sum(len(events) for events in headers.values()))
    handler = Hl7Handler(service.registry, service.registry.directory, now)
    for site in sorted(headers):
        site_folder = folder / "dicom" / site
        site_folder.mkdir(parents=True)
        for event in headers[site]:
            write_header(event, federation.site(site), site_folder)
        source = f"pacs-{site.removeprefix('SITE-').lower()}"
        ingest(
            service.registry,
            handler,
            [site_folder],
            source_name=source,
            on_file=lambda _path: progress.advance(reading),
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """Pairs against the truth: of records of one person, and of records linked or asked about."""

    true_pairs: int
    linked: int
    linked_right: int
    reviewed_right: int


def measure(service: Service, federation: Federation) -> tuple[dict[RecordKey, str], Measured]:
    """
    Where each record is, and the links against the truth. Merged duplicates count as links.

    A task asks about two enterprise records: every true pair across them counts as sent to review.
    """
    domain_of = {a.namespace: a.universal_id for a in federation.authorities}
    # A number given to a second person is held, and names the first one until somebody decides.
    person_of = {
        RecordKey(domain_of[r.site], r.local_id): r.overlaid_person_id or r.person_id
        for r in federation.records
    }
    with service.store.read() as uow:
        records = uow.records.by_keys(person_of)
        euids = uow.memberships.current([record.id for record in records.values()])
        tasks = uow.reviews.page(states=LIVE_STATES, limit=1_000_000)
        asked = {frozenset((euids.get(t.key.left_id, ""), euids.get(t.key.right_id, ""))) for t in tasks}
    euid_of = {key: euids[record.id] for key, record in records.items()}
    known = {key: person for key, person in person_of.items() if key in euid_of}
    true_pairs = set(_pairs(known))
    linked = set(_pairs(euid_of))
    right = linked & true_pairs
    reviewed = [pair for pair in true_pairs - linked if frozenset(euid_of[key] for key in pair) in asked]
    return euid_of, Measured(len(true_pairs), len(linked), len(right), len(reviewed))


def _pairs(group_of: dict[RecordKey, str]) -> Iterable[frozenset[RecordKey]]:
    groups = defaultdict(list)
    for key, group in group_of.items():
        groups[group].append(key)
    for members in groups.values():
        yield from (frozenset(pair) for pair in combinations(members, 2))


def _summary(
    service: Service,
    federation: Federation,
    euid_of: dict[RecordKey, str],
    measured: Measured,
    seconds: float,
    text: dict[str, str],
    out: Console,
) -> None:
    states: Counter[str] = Counter()
    for by_state in service.registry.message_counts().values():
        states.update({state.value: count for state, count in by_state.items()})
    with service.store.read() as uow:
        tasks = Counter(str(task.kind) for task in uow.reviews.page(states=LIVE_STATES, limit=1_000_000))

    def line(label: str, value: str) -> None:
        out.print(f"  {label:<46} {value}", markup=False, highlight=False)

    def share(label: str, successes: int, n: int) -> None:
        value, low, high = wilson(successes, n)
        line(label, text["interval"].format(value=value, low=low, high=high, n=n))

    out.print()
    out.print(text["title"], style="bold")
    line(text["sites"], ", ".join(a.namespace for a in federation.authorities))
    line(text["people"], f"{len(federation.people):,}".replace(",", " "))
    line(text["records"], f"{len(euid_of):,}".replace(",", " "))
    line(text["enterprise"], f"{len(set(euid_of.values())):,}".replace(",", " "))
    total = sum(states.values())
    counts = {name: states.get(name, 0) for name in ("applied", "duplicate", "quarantined", "refused")}
    line(text["messages"], f"{total:,} ".replace(",", " ") + text["rate"].format(**counts))
    line(text["time"], f"{seconds:.1f} s, " + text["per_second"].format(rate=total / seconds))
    line(text["links"], f"{measured.linked:,}".replace(",", " "))
    share(text["precision"], measured.linked_right, measured.linked)
    share(text["recall"], measured.linked_right, measured.true_pairs)
    share(text["recall_review"], measured.linked_right + measured.reviewed_right, measured.true_pairs)
    detail = ", ".join(f"{kind} {count}" for kind, count in sorted(tasks.items()))
    line(text["tasks"], f"{tasks.total()} ({detail})" if tasks else "0")


def _question(
    service: Service,
    federation: Federation,
    euid_of: dict[RecordKey, str],
    secret: str,
    text: dict[str, str],
    out: Console,
) -> None:
    """Ask about one person known to several sites, over MLLP, FHIR and REST."""
    namespace_of = {a.universal_id: a.namespace for a in federation.authorities}
    person_of = {(r.site, r.local_id): r.person_id for r in federation.records}
    expected = defaultdict(set)
    merged = {(e.record.site, e.subsumed) for e in federation.events if e.kind is EventKind.MERGE}
    for key in euid_of:
        name = (namespace_of[key.domain], key.value)
        if name not in merged:
            expected[person_of[name]].add(name)
    person = max(expected, key=lambda p: (len({site for site, _ in expected[p]}), -len(expected[p]), p))
    asked = min(expected[person])
    others = expected[person] - {asked}
    by_mllp = _ask_mllp(service, federation, asked)
    by_fhir = _ask_fhir(service, federation, asked, secret)
    by_rest = _ask_rest(service, asked, secret)

    def show(label: str, names: Iterable[tuple[str, str]]) -> None:
        shown = "  ".join(f"{site} {value}" for site, value in sorted(names)) or text["nobody"]
        out.print(f"  {label:<46} {shown}", markup=False, highlight=False)

    out.print()
    out.print(
        text["question"].format(id=asked[1], site=asked[0]), style="bold", markup=False, highlight=False
    )
    show(text["mllp"], by_mllp)
    show(text["fhir"], by_fhir)
    show(text["rest"], by_rest)
    show(text["truth"], others)
    agree = set(by_mllp) == set(by_fhir) == set(by_rest) == others
    out.print(f"  {text['agree' if agree else 'disagree']}", style="green" if agree else "yellow")


def _ask_mllp(service: Service, federation: Federation, asked: tuple[str, str]) -> list[tuple[str, str]]:
    oid = {a.namespace: a.universal_id for a in federation.authorities}[asked[0]]
    query = (
        f"MSH|^~\\&|{PORTAL}|FEDERATION|MPI|FED|{now():%Y%m%d%H%M%S}||QBP^Q23^QBP_Q21|DEMO-1|P|2.5"
        "|||||FRA|UNICODE UTF-8\r"
        f"QPD|IHE PIX Query|DEMO|{asked[1]}^^^{asked[0]}&{oid}&ISO\rRCP|I\r"
    )
    with MllpClient(service.settings.mllp.host, service.mllp_port) as client:
        answer = client.send(query.encode()).decode()
    pid = next((line for line in answer.split("\r") if line.startswith("PID|")), "PID||||")
    identifiers = [cx.split("^") for cx in pid.split("|")[3].split("~") if cx]
    return [(cx[3].split("&")[0], cx[0]) for cx in identifiers]


def _ask_fhir(
    service: Service, federation: Federation, asked: tuple[str, str], secret: str
) -> list[tuple[str, str]]:
    oid = {a.namespace: a.universal_id for a in federation.authorities}
    namespace = {f"urn:oid:{value}": name for name, value in oid.items()}
    response = httpx2.get(
        f"http://{service.settings.http.host}:{service.http_port}/fhir/Patient/$ihe-pix",
        params={"sourceIdentifier": f"urn:oid:{oid[asked[0]]}|{asked[1]}"},
        headers={"Authorization": f"Bearer {secret}"},
    )
    found = [
        p["valueIdentifier"] for p in response.json().get("parameter", []) if p["name"] == "targetIdentifier"
    ]
    return [(namespace[item["system"]], item["value"]) for item in found]


def _ask_rest(service: Service, asked: tuple[str, str], secret: str) -> list[tuple[str, str]]:
    with Client(f"http://{service.settings.http.host}:{service.http_port}", secret) as index:
        return [(found.domain, found.id) for found in index.identifiers(*asked).identifiers]


def _serve(service: Service, secret: str, text: dict[str, str], out: Console) -> None:
    url = f"http://{service.settings.http.host}:{service.http_port}"
    out.print()
    out.print(text["serving"], style="bold")
    out.print(f"  {text['open'].format(url=url)}", markup=False, highlight=False)
    out.print(f"  {text['key']} {secret}", markup=False, highlight=False)
    out.print(
        f"  {text['mllp_at'].format(host=service.settings.mllp.host, port=service.mllp_port)}",
        highlight=False,
    )
    out.print(
        f"  {text['try']} curl -H 'Authorization: Bearer {secret}' {url}/api/v1/reviews",
        markup=False,
        highlight=False,
    )
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    out.print()
