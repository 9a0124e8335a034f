"""
The live service on a full store: how many messages and questions a second, and how long each takes, with one client
and with eight; and how long ADT messages take that eight sites send at the rate the service must bear.

ADT and PIX (ITI-9) over MLLP; `$ihe-pix`, `$match`, `resolve` of 1,000 identities and search over HTTP. The clients run
in a process of their own, each on its own connection. `MPI_BENCH_API_SECONDS` sets how long each measure lasts, and
`MPI_BENCH_API_PROFILE=1` prints where the time of the service goes. Nothing here can fail on time.
"""

import cProfile
import multiprocessing
import os
import pstats
import random
import statistics
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import httpx2
import pytest

from mpi import logs
from mpi.feeds.mllp import MllpClient
from mpi.identity.tabular import traits_to_mapping
from mpi.security.keys import Role, create_key
from mpi.service import in_background, settle_memory
from mpi.settings import Settings
from mpi.wiring import now
from tests.benchmarks.filled_store import AUTHORITIES, authority_of
from tests.benchmarks.history import record

SECONDS = float(os.environ.get("MPI_BENCH_API_SECONDS", "20"))
PROFILE = os.environ.get("MPI_BENCH_API_PROFILE") == "1"
ASKED = 3_000
FED = 5_000
"""People of whom one measure of ADT messages may bring a record: others than the measures before it."""
WARMING_SECONDS = 1.0
CLIENTS = (1, 8)
RATES = {"sqlite": 150.0, "postgresql": 100.0}
"""ADT messages a second that each store must bear."""
BULK = 1_000


@pytest.mark.benchmark
def test_load_on_sqlite(filled):
    measure("sqlite", f"sqlite:///{filled}")


@pytest.mark.benchmark
@pytest.mark.postgres
def test_load_on_postgresql(filled_on_postgresql):
    measure("postgresql", filled_on_postgresql)


def measure(kind, url):
    logs.configure("ERROR")
    with in_background(_settings(url)) as service:
        settle_memory()  # as `mpi serve` does
        secret = create_key(service.store, name=f"portal-{kind}", role=Role.PORTAL, domains=[], clock=now)
        http = f"http://127.0.0.1:{service.http_port}"
        with service.store.read() as uow:
            held = len(uow.records.all_ids())
        measures = [*((clients, None) for clients in CLIENTS), (CLIENTS[-1], RATES[kind])]
        messages = _messages(service.store, kind, len(measures))
        for (clients, rate), fed in zip(measures, messages, strict=True):
            figures = _measure(service, "adt", service.mllp_port, secret, fed, clients, rate)
            paced = {"offered_per_second": rate} if rate else {}
            about = {"store": kind, "records": held, "what": "adt", "clients": clients, **paced}
            record("api_load", {**about, **figures})
        for what, questions in _questions(service.store).items():
            address = service.mllp_port if what == "pix" else http
            for clients in CLIENTS:
                figures = _measure(service, what, address, secret, questions, clients)
                about = {"store": kind, "records": held, "what": what, "clients": clients}
                record("api_load", {**about, **figures})


def _settings(url):
    namespaces = list(AUTHORITIES)
    return Settings.model_validate(
        {
            "database": {"url": url},
            "http": {"port": 0},
            "mllp": {"port": 0},
            "domains": [{"namespace": name, "oid": one.universal_id} for name, one in AUTHORITIES.items()],
            "sources": [
                {"name": f"ris-{name.lower()}", "application": "RIS", "facility": name, "feeds": [name]}
                for name in namespaces
            ],
            "consumers": [
                {"name": "portal", "application": "PORTAL", "facility": "FED", "domains": namespaces}
            ],
            "accept_test_ins": True,
        }
    )


def _messages(store, kind, measures):
    """For each measure, A28 of people whom it alone brings: a store and its copy are not sent the same either."""
    with store.read() as uow:
        ids = uow.records.all_ids()
        random.Random(f"adt {kind}").shuffle(ids)
        size = min(FED, len(ids) // measures)
        people = list(uow.records.by_ids(ids[: measures * size]).values())
    rows = [traits_to_mapping(one.demographics) for one in people]
    messages = [_a28(row, f"{kind[0]}{number}", number) for number, row in enumerate(rows)]
    return [messages[start : start + size] for start in range(0, len(messages), size)]


def _questions(store):
    """By kind, what clients send: bytes over MLLP, or (method, path, options) over HTTP."""
    draw = random.Random(5)
    with store.read() as uow:
        ids = draw.sample(ids_known := uow.records.all_ids(), min(ASKED, len(ids_known)))
        known = list(uow.records.by_ids(ids).values())
    rows = [{**traits_to_mapping(one.demographics)} for one in known]
    resolved = [rows[start : start + BULK] for start in range(0, len(rows), BULK)]
    oid = "urn:oid:"
    return {
        "pix": [_q23(one.key) for one in known],
        "ihe_pix": [
            ("GET", "/fhir/Patient/$ihe-pix", {"params": {"sourceIdentifier": f"{oid}{k.domain}|{k.value}"}})
            for k in (one.key for one in known)
        ],
        "fhir_match": [("POST", "/fhir/Patient/$match", {"json": _parameters(row)}) for row in rows],
        "search": [
            (
                "POST",
                "/api/v1/search",
                {"json": {"birth_date": row["birth_date"], "name": row["birth_name"][:3]}},
            )
            for row in rows
            if row.get("birth_date") and row.get("birth_name")
        ],
        "resolve_1000": [("POST", "/api/v1/resolve", {"json": {"identities": some}}) for some in resolved],
    }


def _a28(row, number, place):
    """A new record, at a site, of a person who is known already."""
    site, oid = list(AUTHORITIES.items())[place % len(AUTHORITIES)]
    name = f"{row.get('birth_name', '')}^{row.get('given_names', '').split(' ')[0]}^^^^^L"
    born = str(row.get("birth_date", "")).replace("-", "")
    head = (
        f"MSH|^~\\&|RIS|{site}|MPI|FED|20260302102000||ADT^A28^ADT_A05|N{number}|P|2.5|||||FRA|UNICODE UTF-8"
    )
    pid = f"PID|||N{number}^^^{site}&{oid.universal_id}&ISO^PI||{name}||{born}|{row.get('sex', '')}"
    return f"{head}\rEVN||20260302102000\r{pid}\rPV1||N\r".encode()


def _q23(key):
    authority = authority_of(key)
    head = "MSH|^~\\&|PORTAL|FED|MPI|FED|20260302102000||QBP^Q23^QBP_Q21|Q|P|2.5|||||FRA|UNICODE UTF-8"
    asked = f"{key.value}^^^{authority.namespace}&{authority.universal_id}&ISO"
    return f"{head}\rQPD|IHE PIX Query|T|{asked}\rRCP|I\r".encode()


def _parameters(row):
    """ITI-119: a Patient to match, in a Parameters resource."""
    name = {"family": row.get("birth_name", ""), "given": str(row.get("given_names", "")).split()}
    patient = {"resourceType": "Patient", "name": [{k: v for k, v in name.items() if v}]}
    if len(str(row.get("birth_date", ""))) == 10:
        patient["birthDate"] = row["birth_date"]
    if row.get("sex") in ("M", "F"):
        patient["gender"] = {"M": "male", "F": "female"}[row["sex"]]
    return {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": patient}]}


def _measure(service, what, address, secret, questions, clients, rate=None):
    """Questions a second, and p50 and p99 of one, from another process; with the profile of the service if asked."""
    profiler = cProfile.Profile() if PROFILE else None
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as elsewhere:
        elsewhere.submit(os.getpid).result()  # started before the clock is
        asking = elsewhere.submit(ask_all, address, secret, questions, clients, SECONDS, rate)
        if profiler is not None and what == "pix":
            _profile(service, profiler, questions)
        seconds, taken, refused = asking.result()
    cuts = statistics.quantiles(taken, n=100) if len(taken) > 1 else [taken[0]] * 99
    return {
        "per_second": round(len(taken) / seconds, 1),
        "p50_ms": round(1000 * cuts[49], 2),
        "p99_ms": round(1000 * cuts[98], 2),
        "asked": len(taken),
        "refused": refused,
    }


def _profile(service, profiler, questions):
    """Where the time of one question goes, besides the network."""
    profiler.enable()
    for question in questions[:300]:
        service.hl7.handle(question)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(20)


def ask_all(address, secret, questions, clients, seconds, rate=None):
    """
    Ask from some connections at once, for so long: seconds it took, those of each question, refusals.

    What is asked in the first second, while connections open and threads start, is not measured.

    Args:
        rate: questions a second, of all clients. Each is timed from when it was due, also where the one
            before it came back too late; None to ask again as soon as there is an answer.
    """
    lock, begins = threading.Lock(), time.perf_counter() + WARMING_SECONDS
    ends = begins + seconds
    refusals = [0]

    def lane(number):
        taken = []
        with _Mllp(address) if isinstance(address, int) else _Http(address, secret) as client:
            at = number * len(questions) // clients
            due = time.perf_counter() + number / rate if rate else None
            while not taken or time.perf_counter() < ends:
                question = questions[at % len(questions)]
                at += 1
                if due is not None:
                    time.sleep(max(0.0, due - time.perf_counter()))
                began = due or time.perf_counter()
                due = due + clients / rate if rate else None
                answered = client.ask(question)
                if began >= begins:
                    taken.append(time.perf_counter() - began)
                if not answered:
                    with lock:
                        refusals[0] += 1
        return taken

    with ThreadPoolExecutor(clients) as pool:
        taken = [one for lane_s in pool.map(lane, range(clients)) for one in lane_s]
    return time.perf_counter() - begins, taken, refusals[0]


class _Mllp:
    """One MLLP connection."""

    def __init__(self, port):
        self._client = MllpClient("127.0.0.1", port)

    def __enter__(self):
        self._client.__enter__()
        return self

    def __exit__(self, *error):
        self._client.__exit__(*error)

    def ask(self, question):
        return b"\rMSA|AA|" in self._client.send(question)


class _Http:
    """One HTTP connection, kept alive."""

    def __init__(self, url, secret):
        self._client = httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=120)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._client.close()

    def ask(self, question):
        method, path, options = question
        return self._client.request(method, path, **options).is_success
