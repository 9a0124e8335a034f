"""Nobody without a key, nobody beyond a role, and nothing of what was sent comes back in an error."""

import base64
import logging
import re

import pytest

from mpi.api.guard import MAX_BODY_BYTES
from mpi.errors import StoreError
from mpi.security.keys import Role, revoke_key
from tests.federation import person

CANARY = "ZQX"
NAMED = {"domain": "SITE-A", "id": "A1"}
VERDICT = {"verdict": "same", "version": 1}
PIX = "/fhir/Patient/$ihe-pix"
FEED = "/fhir/Patient"
SOURCE = "urn:oid:2.999.1.1|A1"
MESSAGE = "/fhir/$process-message"
SUBSCRIPTION = {
    "resourceType": "Subscription",
    "status": "requested",
    "reason": "shown",
    "criteria": "Patient",
    "channel": {"type": "rest-hook", "endpoint": "https://portal.example/hook"},
}
PIX_BODY = {
    "resourceType": "Parameters",
    "parameter": [
        {"name": "sourceIdentifier", "valueIdentifier": {"system": "urn:oid:2.999.1.1", "value": "A1"}}
    ],
}
WHO = {"birth_name": "CHANTEREAU", "given_names": "LOUISE", "birth_date": "1984-02-29"}
ONE_MESSAGE = "/api/v1/messages/{message_id}"
SEARCHERS = "portal site reviewer lead auditor"
EVERYONE = "portal site reviewer lead auditor operator"
ROUTES = [
    # method, path of the route, path asked, body, roles that may
    ("POST", "/api/v1/resolve", None, {"identities": [WHO]}, "portal site reviewer lead"),
    ("POST", "/api/v1/match", None, {"identity": WHO}, "portal reviewer lead"),
    (
        "GET",
        "/api/v1/identifiers",
        "/api/v1/identifiers?domain=SITE-A&id=A1",
        None,
        "portal site reviewer lead auditor",
    ),
    ("GET", "/api/v1/patients/{euid}", "/api/v1/patients/EUID", None, "portal reviewer lead auditor"),
    (
        "GET",
        "/api/v1/patients/{euid}/explain",
        "/api/v1/patients/EUID/explain",
        None,
        "portal reviewer lead auditor",
    ),
    (
        "GET",
        "/api/v1/patients/{euid}/history",
        "/api/v1/patients/EUID/history",
        None,
        "portal reviewer lead auditor",
    ),
    ("GET", "/api/v1/reviews", None, None, "reviewer lead auditor"),
    ("GET", "/api/v1/reviews/{task_id}", "/api/v1/reviews/1", None, "reviewer lead auditor"),
    ("POST", "/api/v1/reviews/{task_id}/verdict", "/api/v1/reviews/1/verdict", VERDICT, "reviewer lead"),
    ("POST", "/api/v1/reviews/{task_id}/claim", "/api/v1/reviews/1/claim", None, "reviewer lead"),
    ("POST", "/api/v1/reviews/{task_id}/release", "/api/v1/reviews/1/release", None, "reviewer lead"),
    (
        "GET",
        "/api/v1/patients/{euid}/timeline",
        "/api/v1/patients/EUID/timeline",
        None,
        "reviewer lead auditor",
    ),
    ("POST", "/api/v1/patients/{euid}/split", "/api/v1/patients/EUID/split", {"members": [NAMED]}, "lead"),
    ("POST", "/api/v1/patients/erase", None, {**NAMED, "reason": "asked for"}, "lead"),
    (
        "GET",
        "/api/v1/told",
        "/api/v1/told?consumer=portal&domain=SITE-A&id=A1&on=2026-03-02T09:00:00Z",
        None,
        "auditor",
    ),
    (
        "POST",
        "/api/v1/statements/{statement_id}/set-aside",
        "/api/v1/statements/1/set-aside",
        None,
        "reviewer lead",
    ),
    ("POST", "/api/v1/facts", None, {"kind": "doubted", "left": NAMED}, "reviewer lead"),
    ("GET", "/api/v1/facts/{fact_id}", "/api/v1/facts/1", None, "reviewer lead auditor"),
    ("POST", "/api/v1/facts/{fact_id}/confirm", "/api/v1/facts/1/confirm", None, "lead"),
    ("GET", "/api/v1/facts", None, None, "reviewer lead auditor"),
    ("POST", "/api/v1/facts/{fact_id}/withdraw", "/api/v1/facts/1/withdraw", None, "lead"),
    ("GET", "/api/v1/messages", None, None, "lead auditor operator"),
    ("GET", "/api/v1/messages/counts", None, None, "lead auditor operator"),
    ("GET", "/api/v1/feeds", None, None, "lead auditor operator"),
    ("GET", "/metrics", None, None, "lead auditor operator"),
    ("GET", "/fhir/metadata", None, None, EVERYONE),
    ("GET", PIX, f"{PIX}?sourceIdentifier={SOURCE}", None, "portal site reviewer lead auditor"),
    ("POST", PIX, None, PIX_BODY, "portal site reviewer lead auditor"),
    ("PUT", FEED, f"{FEED}?identifier={SOURCE}", {"resourceType": "Patient"}, "site"),
    ("GET", FEED, f"{FEED}?family=chantereau", None, SEARCHERS),
    ("POST", f"{FEED}/_search", f"{FEED}/_search?family=chantereau", None, SEARCHERS),
    ("POST", f"{FEED}/$match", None, {"resourceType": "Patient"}, "portal reviewer lead"),
    ("GET", f"{FEED}/{{id}}", f"{FEED}/EUID", None, SEARCHERS),
    ("GET", f"{FEED}/{{id}}/_history", f"{FEED}/EUID/_history", None, SEARCHERS),
    ("GET", f"{FEED}/{{id}}/_history/{{version}}", f"{FEED}/EUID/_history/1", None, SEARCHERS),
    ("POST", MESSAGE, None, {"resourceType": "Bundle"}, "site"),
    ("GET", "/fhir/AuditEvent", None, None, "auditor"),
    ("GET", "/fhir/AuditEvent/{id}", "/fhir/AuditEvent/1", None, "auditor"),
    ("GET", "/fhir/Subscription", None, None, "portal"),
    ("POST", "/fhir/Subscription", None, SUBSCRIPTION, "portal"),
    ("GET", "/fhir/Subscription/{id}", "/fhir/Subscription/1", None, "portal"),
    ("DELETE", "/fhir/Subscription/{id}", "/fhir/Subscription/1", None, "portal"),
    (
        "POST",
        "/api/v1/reports",
        None,
        {"kind": "not_my_patient", "about": [NAMED]},
        "portal site reviewer lead",
    ),
    ("GET", "/api/v1/reports", None, None, "portal site reviewer lead auditor"),
    ("GET", "/api/v1/reports/{report_id}", "/api/v1/reports/1", None, "portal site reviewer lead auditor"),
    (
        "POST",
        "/api/v1/reports/{report_id}/decision",
        "/api/v1/reports/1/decision",
        {"decision": "reject", "version": 1},
        "reviewer lead",
    ),
    ("GET", "/api/v1/corrections", None, None, "site reviewer lead auditor"),
    (
        "GET",
        "/api/v1/corrections/{correction_id}",
        "/api/v1/corrections/1",
        None,
        "site reviewer lead auditor",
    ),
    (
        "GET",
        "/api/v1/corrections/{correction_id}/sheet",
        "/api/v1/corrections/1/sheet",
        None,
        "site reviewer lead auditor",
    ),
    (
        "POST",
        "/api/v1/corrections/{correction_id}/resend",
        "/api/v1/corrections/1/resend",
        None,
        "reviewer lead",
    ),
    (
        "POST",
        "/api/v1/corrections/{correction_id}/withdraw",
        "/api/v1/corrections/1/withdraw",
        None,
        "reviewer lead",
    ),
    ("GET", "/api/v1/indicators", None, None, "reviewer lead auditor"),
    (
        "POST",
        "/api/v1/search",
        None,
        {"name": "CHA", "birth_date": "1984-02-29"},
        "portal site reviewer lead auditor",
    ),
    ("GET", f"{ONE_MESSAGE}", "/api/v1/messages/1", None, "lead auditor operator"),
    ("GET", f"{ONE_MESSAGE}/content", "/api/v1/messages/9999/content", None, "lead auditor"),
    ("POST", f"{ONE_MESSAGE}/replay", "/api/v1/messages/9999/replay", {}, "lead operator"),
    (
        "POST",
        f"{ONE_MESSAGE}/repair",
        "/api/v1/messages/9999/repair",
        {"message": "TVNI", "reason": "seen"},
        "lead operator",
    ),
    ("POST", f"{ONE_MESSAGE}/discard", "/api/v1/messages/9999/discard", {"reason": "seen"}, "lead operator"),
    ("POST", "/api/v1/messages/replay", None, {"source": "ris-a"}, "lead operator"),
    ("GET", "/api/v1/notifications", None, None, "lead auditor operator"),
    ("POST", "/api/v1/notifications/{id}/resend", "/api/v1/notifications/9999/resend", None, "lead operator"),
    ("POST", "/api/v1/consumers/{name}/pause", "/api/v1/consumers/nobody/pause", None, "lead operator"),
    ("POST", "/api/v1/consumers/{name}/resume", "/api/v1/consumers/nobody/resume", None, "lead operator"),
    ("GET", "/docs", None, None, EVERYONE),
    ("GET", "/openapi.json", None, None, EVERYONE),
]
OPEN = {("GET", "/healthz"), ("GET", "/readyz")}


def ask(served, method, path, body, headers):
    return served.client.request(method, path, json=body, headers=headers)


def test_the_matrix_names_every_route(served):
    document = served.app.openapi()["paths"]
    declared = {(method.upper(), path) for path, operations in document.items() for method in operations}

    assert {(method, path) for method, path, *_ in ROUTES} - declared == {
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
    }
    assert declared - {(method, path) for method, path, *_ in ROUTES} == OPEN


@pytest.mark.parametrize(("method", "route", "path", "body", "may"), ROUTES)
def test_each_role_reaches_the_routes_it_may_and_no_other(served, method, route, path, body, may):
    for role in Role:
        answer = ask(served, method, path or route, body, served.signed(role))

        if role in may.split():
            # A site's key feeds as the source of its name, and here is none.
            feeds = (method, route) in (("PUT", FEED), ("POST", MESSAGE))
            assert answer.status_code in ((403,) if feeds else (200, 201, 404)), (role, answer.text)
            assert served.audited()[-1] != (f"key:{role}", "access.denied")
        else:
            assert answer.status_code == 403, (role, answer.text)
            assert served.audited()[-1] == (f"key:{role}", "access.denied")


@pytest.mark.parametrize(("method", "route", "path", "body", "may"), ROUTES)
def test_no_route_answers_without_a_key(served, method, route, path, body, may):
    revoked = served.add_key("gone", Role.LEAD)
    revoke_key(served.store, name="gone", clock=served.world.clock)
    good = served.secrets["lead"]
    refused = [
        "",
        "Bearer",
        "Bearer mpi_ZQX",
        f"bearer{good}",
        f"Token {good}",
        f"Bearer {good}x",
        f"Bearer {revoked}",
    ]
    for header in refused:
        answer = ask(served, method, path or route, body, {"Authorization": header} if header else {})

        assert answer.status_code == 401
        is_page = route in ("/docs", "/openapi.json")
        assert answer.headers["www-authenticate"].startswith("Basic" if is_page else "Bearer")
        form = "fhir+json" if route.startswith("/fhir") else "problem+json"
        assert answer.headers["content-type"].startswith(f"application/{form}")
        assert CANARY not in answer.text


def test_an_address_that_does_not_exist_is_not_told_from_one_that_does(served):
    for path in ("/", "/metrics/", "/api/v1/nothing", "/redoc", "/docs/", "/healthz/x", "/fhir"):
        assert served.client.get(path).status_code == 401
        assert served.get(path, follow_redirects=False).status_code == 404


def test_only_the_documentation_takes_a_key_as_a_password(served):
    basic = "Basic " + base64.b64encode(f"anyone:{served.secrets['site']}".encode()).decode()

    for path, status in (
        ("/docs", 200),
        ("/openapi.json", 200),
        ("/fhir/metadata", 401),
        ("/api/v1/messages", 401),
    ):
        assert served.client.get(path, headers={"Authorization": basic}).status_code == status
    for broken in ("Basic !", "Basic ", "Basic " + base64.b64encode(b"\xff\xfe").decode()):
        assert served.client.get("/docs", headers={"Authorization": broken}).status_code == 401


def test_two_authorization_headers_are_none(served):
    key = f"Bearer {served.secrets['lead']}"

    headers = [("Authorization", key), ("Authorization", key)]
    assert served.client.get("/fhir/metadata", headers=headers).status_code == 401


def test_health_answers_everyone(served):
    assert served.client.get("/healthz").json() == {"status": "ok"}
    assert served.client.get("/readyz").status_code == 200


def test_not_ready_without_a_store(served, monkeypatch):
    def down():
        raise StoreError("ZQX")

    monkeypatch.setattr(served.store, "read", down)

    answer = served.client.get("/readyz")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert CANARY not in answer.text
    assert served.get("/api/v1/messages", by="lead").status_code == 503
    assert served.get("/fhir/metadata").json()["issue"][0]["code"] == "transient"


@pytest.mark.parametrize("path", ["/healthz", "/docs", "/nothing", "/fhir/metadata"])
def test_every_answer_carries_the_security_headers(served, path):
    for answer in (served.client.get(path), served.get(path)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_a_body_beyond_the_limit_is_not_read(served):
    def chunks():
        for _ in range(MAX_BODY_BYTES // 65_536 + 2):
            yield b" " * 65_536

    declared = served.post("/api/v1/resolve", content=b" " * (MAX_BODY_BYTES + 1))
    streamed = served.post("/api/v1/resolve", content=chunks())
    fits = served.post("/api/v1/resolve", content=b" " * MAX_BODY_BYTES)
    unsigned = served.client.post("/api/v1/resolve", content=b" " * (MAX_BODY_BYTES + 1))

    assert [a.status_code for a in (declared, streamed, fits, unsigned)] == [413, 413, 422, 401]
    assert declared.headers["content-type"] == "application/problem+json"
    assert served.post(PIX, content=b" " * (MAX_BODY_BYTES + 1)).json()["issue"][0]["code"] == "too-long"


ABUSES = [
    ("POST", "/api/v1/resolve", {"identities": [{"ins": "ZQX"}], "ZQX": 1}),
    ("POST", "/api/v1/resolve", {"identities": "ZQX"}),
    ("POST", "/api/v1/resolve", {"identities": []}),
    ("POST", "/api/v1/resolve", {"identities": [{"birth_name": "ZQX"}] * 1001}),
    ("POST", "/api/v1/resolve", ["ZQX"]),
    ("POST", "/api/v1/match", {"identity": {"sex": "ZQX", "city": "ZQX"}}),
    ("POST", "/api/v1/match", {"identity": {"city": "ZQX"}}),
    ("POST", "/api/v1/match", {"identity": WHO, "limit": "ZQX"}),
    ("GET", "/api/v1/identifiers?domain=ZQX&id=ZQX", None),
    ("GET", "/api/v1/identifiers?domain=SITE-A&id=ZQX", None),
    ("GET", "/api/v1/identifiers?domain=SITE-A&id=ZQX&target=ZQX", None),
    ("GET", "/api/v1/identifiers?domain=SITE-A&id=ZQX&as_of=ZQX", None),
    ("GET", "/api/v1/identifiers?domain=SITE-A&id=ZQX&as_of=2026-01-01T00:00:00", None),
    ("GET", "/api/v1/patients/ZQX", None),
    ("GET", "/api/v1/patients/ZQX/explain", None),
    ("GET", "/api/v1/patients/" + "ZQX" * 50, None),
    ("GET", "/api/v1/reviews?state=ZQX", None),
    ("GET", "/api/v1/reviews?kind=ZQX&limit=ZQX&after=ZQX", None),
    ("GET", "/api/v1/reviews/ZQX", None),
    ("GET", "/api/v1/reviews/99", None),
    ("POST", "/api/v1/reviews/99/verdict", {"verdict": "ZQX", "version": "ZQX", "reason": "ZQX"}),
    ("POST", "/api/v1/reviews/99/verdict", {"verdict": "same", "version": 1, "reason": "ZQX"}),
    ("POST", "/api/v1/facts/99999999999999999999/withdraw", None),
    ("POST", "/api/v1/facts/99/withdraw", {"knowing": ["ZQX"]}),
    ("POST", "/api/v1/facts", {"kind": "ZQX", "left": NAMED}),
    ("POST", "/api/v1/facts", {"kind": "same", "left": NAMED, "reason": "ZQX"}),
    ("POST", "/api/v1/facts", {"kind": "doubted", "left": NAMED, "right": {"domain": "ZQX", "id": "ZQX"}}),
    ("POST", "/api/v1/facts", {"kind": "same", "left": NAMED, "right": {"domain": "ZQX", "id": "ZQX"}}),
    ("POST", "/api/v1/facts", {"kind": "same", "left": NAMED, "right": {"domain": "SITE-B", "id": "ZQX"}}),
    ("POST", "/api/v1/facts", {"kind": "same", "left": NAMED, "right": NAMED, "reason": "ZQX"}),
    ("POST", "/api/v1/patients/ZQX/split", {"members": [NAMED], "reason": "ZQX"}),
    ("POST", "/api/v1/patients/ZQX/split", {"members": [{"domain": "ZQX", "id": "ZQX"}]}),
    ("POST", "/api/v1/patients/erase", {"domain": "SITE-A", "id": "ZQX", "reason": "ZQX"}),
    ("POST", "/api/v1/patients/erase", {"domain": "ZQX", "id": "ZQX", "reason": "ZQX"}),
    ("GET", "/api/v1/patients/ZQX/timeline", None),
    ("GET", "/api/v1/told?consumer=ZQX&domain=SITE-A&id=ZQX&on=ZQX", None),
    ("GET", "/api/v1/told?consumer=ZQX&domain=SITE-A&id=ZQX&on=2026-03-02T09:00:00Z", None),
    ("POST", "/api/v1/statements/99/set-aside", {"reason": "ZQX"}),
    ("GET", "/api/v1/reviews?order=ZQX", None),
    ("GET", "/api/v1/reviews?order=priority&as_of=2026-03-02T09:00:00Z", None),
    ("GET", "/api/v1/reviews?order=priority&after=99", None),
    ("GET", "/api/v1/messages?state=ZQX", None),
    ("GET", "/ZQX", None),
    ("DELETE", "/api/v1/patients/ZQX", None),
    ("GET", f"{PIX}?sourceIdentifier=ZQX", None),
    ("GET", f"{PIX}?sourceIdentifier=urn:oid:9.9|ZQX&_format=ZQX", None),
    ("GET", f"{PIX}?sourceIdentifier=urn:oid:ZQX|ZQX", None),
    ("GET", f"{PIX}?sourceIdentifier=urn:oid:2.999.1.1|ZQX", None),
    ("GET", f"{PIX}?sourceIdentifier=urn:oid:2.999.1.1|ZQX&targetSystem=ZQX", None),
    ("POST", PIX, {"resourceType": "ZQX"}),
    ("POST", PIX, ["ZQX"]),
    (
        "POST",
        PIX,
        {"resourceType": "Parameters", "parameter": [{"name": "sourceIdentifier", "valueString": "ZQX"}]},
    ),
    ("GET", "/fhir/ZQX", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ABUSES)
def test_an_error_repeats_nothing_that_was_sent(served, caplog, method, path, body):
    caplog.set_level(logging.INFO, "mpi")
    served.world.state("A", "A1", person())

    answer = ask(served, method, path, body, served.signed("lead"))

    assert 400 <= answer.status_code < 500
    seen = (
        answer.text
        + str(answer.headers)
        + caplog.text
        + repr([vars(r) for r in caplog.records if "mpi" in r.name])
    )
    assert CANARY not in seen
    form = "application/fhir+json" if path.startswith("/fhir") else "application/problem+json"
    assert answer.headers["content-type"] == form
    if form == "application/problem+json":
        assert {"type", "title", "status"} <= answer.json().keys()
        assert answer.json()["status"] == answer.status_code


@pytest.mark.parametrize(
    "item",
    [
        {"birth_date": "ZQXDATE", "birth_name": "ZQXFAM"},
        {"ZQXKEY": "ZQXVALUE"},
        {"zqxkey ZQX": "ZQXVALUE"},
        {"birth_name": {"ZQX": ["ZQX"]}},
        {"id": "ZQXID"},
        "ZQX",
        ["ZQX"],
    ],
)
def test_an_identity_that_cannot_be_read_is_not_repeated(served, caplog, item):
    caplog.set_level(logging.INFO, "mpi")

    answer = served.post("/api/v1/resolve", {"identities": [item]})

    assert [a["status"] for a in answer.json()["identities"]] == ["invalid"]
    assert CANARY not in answer.text + caplog.text


@pytest.mark.parametrize("body", [b'{"ZQX', b"\xffZQX", b'{"identities": ' + b"[" * 100_000 + b"ZQX"])
def test_a_body_that_is_not_json_is_refused_without_being_shown(served, body):
    for path in ("/api/v1/resolve", PIX):
        answer = served.post(path, content=body, headers={"Content-Type": "application/json"})

        assert answer.status_code in (400, 422)
        assert CANARY not in answer.text


@pytest.mark.parametrize("path", ["/api/v1/messages", "/fhir/Patient/$ihe-pix?sourceIdentifier=" + SOURCE])
def test_a_defect_is_answered_with_a_correlation_id_and_logged_without_its_text(
    served, caplog, monkeypatch, path
):
    def broken(*_args, **_named):
        raise RuntimeError("ZQX")

    monkeypatch.setattr(served.world.registry, "messages", broken)
    monkeypatch.setattr(served.world.registry, "cross_reference", broken)

    answer = served.get(path, by="lead")

    assert answer.status_code == 500
    [record] = [r for r in caplog.records if r.message == "request.failed"]
    assert re.search(r"[0-9a-f]{16}", answer.text)[0] == record.correlation_id
    assert record.error == "RuntimeError"
    assert record.place.startswith("test_access.py")
    assert CANARY not in answer.text + caplog.text + repr(vars(record))


def test_the_documentation_loads_nothing_from_elsewhere(served):
    for language, word in (("fr", "Réponse"), ("en", "Answer")):
        page = served.get(f"/docs?lang={language}")

        assert f'<html lang="{language}">' in page.text
        assert word in page.text
        assert all(route in page.text for _, route, *_ in ROUTES[:-2])
        assert not re.search(r"https?://|<script|src=|@import|url\(", page.text)
        assert "default-src 'none'" in page.headers["content-security-policy"]
