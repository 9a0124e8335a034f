"""Reports, requests to sites and indicators over REST: who may say and see what, and when it shows."""

import pytest

from tests.federation import person

A1, A2, B1 = ({"domain": f"SITE-{value[0]}", "id": value} for value in ("A1", "A2", "B1"))
OTHER = {"family": "MOREL", "given": "ODILE", "born": "1961-07-12"}


@pytest.fixture
def served(served):
    served.world.state("A", "A1", person(born="1984-02-28"))
    served.world.state("B", "B1", person(born="1984-02-28"))
    return served


def report(served, by="portal", status=201, **body):
    body = {"kind": "not_my_patient", "about": [A1], **body}
    answer = served.post("/api/v1/reports", body, by=by)
    assert answer.status_code == status, answer.text
    return answer.json()


def decide(served, made, decision="accept", by="reviewer", status=200, **body):
    version = served.get(f"/api/v1/reports/{made['id']}", by="lead").json()["version"]
    body = {"decision": decision, "version": version, **body}
    answer = served.post(f"/api/v1/reports/{made['id']}/decision", body, by=by)
    assert answer.status_code == status, answer.text
    return answer.json()


def patient(served, by="portal"):
    euid = served.get("/api/v1/identifiers?domain=SITE-A&id=A1", by=by).json()["euid"]
    return served.get(f"/api/v1/patients/{euid}", by=by).json()


def corrections(served, by="reviewer", which="all"):
    return served.get(f"/api/v1/corrections?which={which}", by=by).json()["corrections"]


def test_this_is_not_my_patient(served):
    made = report(served, comment="not the woman on the table", study_uid="1.2.3")

    assert (made["state"], made["doubtful"], made["reported_by"], made["role"]) == (
        "received",
        True,
        "key:portal",
        "portal",
    )
    assert made["about"] == [A1]
    [task] = served.get("/api/v1/reviews?kind=reported_identity", by="reviewer").json()["reviews"]
    assert (task["topic"], task["reason"], task["answers"]) == ("report", "reported", ["undecided"])
    assert {m["id"]: (m.get("doubtful"), m["doubted"]) for m in patient(served)["members"]} == {
        "A1": (True, False),
        "B1": (None, False),
    }
    assert served.get("/api/v1/identifiers?domain=SITE-B&id=B1").json()["doubtful"]
    assert "doubtful" not in served.get("/api/v1/identifiers?domain=SITE-B&id=B1", by="site-b").json()
    resolved = served.resolve(A1, B1, {"domain": "SITE-A", "id": "A9"})
    assert [one.get("doubtful") for one in resolved] == [True, True, None]
    accepted = decide(served, made)
    assert (accepted["state"], [one["kind"] for one in accepted["corrections"]]) == (
        "correcting",
        ["reattribute"],
    )
    assert served.get(f"/api/v1/reports/{made['id']}").json()["corrections"][0]["state"] == "requested"


def test_a_person_is_reported_by_all_that_the_reporter_sees_of_it(served):
    euid = served.get("/api/v1/identifiers?domain=SITE-A&id=A1").json()["euid"]

    assert report(served, kind="wrong_link", about=[], person=euid)["about"] == [A1, B1]
    assert report(served, by="portal-a", about=[], person=euid)["about"] == [A1]
    assert report(served, by="site", status=404, about=[], person=euid)["type"].endswith("unknown-identifier")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"about": []}, 422),
        ({"person": "x"}, 422),
        ({"kind": "no_such_kind"}, 422),
        ({"study_uid": "ZQX"}, 422),
        ({"kind": "wrong_trait"}, 409),
        ({"kind": "duplicate"}, 409),
        ({"about": [{"domain": "SITE-A", "id": "ZQX"}]}, 404),
        ({"about": [{"domain": "SITE-Z", "id": "A1"}]}, 400),
    ],
)
def test_a_report_that_cannot_be_used_is_refused_without_a_value(served, body, status):
    answer = served.post("/api/v1/reports", {"kind": "not_my_patient", "about": [A1], **body})

    assert (answer.status_code, "ZQX" in answer.text) == (status, False)


def test_nobody_reports_what_it_may_not_see(served):
    unseen = served.post("/api/v1/reports", {"kind": "other", "about": [B1]}, by="site")
    unknown = served.post(
        "/api/v1/reports", {"kind": "other", "about": [{"domain": "ZZ", "id": "B1"}]}, by="site"
    )

    assert (unseen.status_code, unseen.text) == (unknown.status_code, unknown.text)
    assert served.get("/api/v1/reports", by="lead").json()["reports"] == []


def test_a_reporter_reads_its_own_reports_and_no_other(served):
    mine, other = report(served, comment="ZQX"), report(served, by="site", comment="ZQY")

    def ids(by):
        return [one["id"] for one in served.get("/api/v1/reports", by=by).json()["reports"]]

    assert (ids("portal"), ids("site")) == ([mine["id"]], [other["id"]])
    assert ids("reviewer") == ids("auditor") == ids("reviewer-a") == [mine["id"], other["id"]]
    unseen = served.get(f"/api/v1/reports/{other['id']}")
    unknown = served.get("/api/v1/reports/99")
    assert unseen.text.replace(str(other["id"]), "N") == unknown.text.replace("99", "N")


def test_a_limited_reviewer_sees_the_reports_about_its_domains_only(served):
    made = report(served, kind="wrong_link", about=[A1, B1])

    assert served.get("/api/v1/reports", by="reviewer-a").json()["reports"] == []
    assert served.get(f"/api/v1/reports/{made['id']}", by="reviewer-a").status_code == 404
    body = {"decision": "reject", "version": 1}
    assert served.post(f"/api/v1/reports/{made['id']}/decision", body, by="reviewer-a").status_code == 404


def test_a_decision_names_the_version_it_read(served):
    made = report(served)
    decide(served, made, "reject", answer="it is her")

    late = served.post(
        f"/api/v1/reports/{made['id']}/decision", {"decision": "accept", "version": 1}, by="lead"
    )
    again = served.get(f"/api/v1/reports/{made['id']}").json()

    assert (late.status_code, late.json()["type"]) == (409, "urn:mpi:problem:stale-review")
    assert (again["state"], again["doubtful"], again["answer"]) == ("rejected", False, "it is her")
    assert decide(served, made, "accept", status=409)["type"] == "urn:mpi:problem:link-conflict"


def test_a_wrong_trait_is_asked_of_its_site_and_done_when_the_site_says_so(served):
    made = report(served, kind="wrong_trait", trait="birth_date")
    decide(served, made, expected={"birth_date": "1984-02-29"})

    [asked] = corrections(served, by="site")
    assert (asked["kind"], asked["state"], asked["sent_as"], asked["domain"]) == (
        "restate",
        "requested",
        "paper",
        "SITE-A",
    )
    assert (asked["before"]["birth_date"], asked["expected"]) == ("1984-02-28", {"birth_date": "1984-02-29"})
    sheet = served.get(f"/api/v1/corrections/{asked['id']}/sheet", by="site")
    assert sheet.headers["content-type"] == "text/plain; charset=utf-8"
    assert (
        "date de naissance : Enregistré aujourd'hui « 1984-02-28 » ; Attendu : « 1984-02-29 »" in sheet.text
    )
    assert "birth date" in served.get(f"/api/v1/corrections/{asked['id']}/sheet?lang=en", by="site").text

    served.world.state("A", "A1", person(born="1984-02-29"), minute=9)

    assert corrections(served)[0]["state"] == "done"
    assert served.get(f"/api/v1/reports/{made['id']}").json()["state"] == "corrected"
    closed = decide(served, made, "close")
    assert (closed["state"], closed["doubtful"]) == ("closed", False)


def test_a_site_sees_what_it_is_asked_and_nothing_of_another(served):
    decide(served, report(served, kind="wrong_trait", trait="sex"))
    decide(served, report(served, kind="wrong_trait", trait="sex", about=[B1]))

    assert [one["left"] for one in corrections(served, "site")] == [A1]
    assert [one["left"] for one in corrections(served, "site-b")] == [B1]
    assert [one["left"] for one in corrections(served, "reviewer-a")] == [A1]
    unseen = served.get("/api/v1/corrections/2/sheet", by="site")
    unknown = served.get("/api/v1/corrections/99/sheet", by="site")
    assert unseen.text.replace("2", "N") == unknown.text.replace("99", "N")


def test_asking_again_and_taking_back(served):
    made = report(served, kind="wrong_trait", trait="sex")
    decide(served, made)
    due = corrections(served)[0]["due_at"]

    again = served.post("/api/v1/corrections/1/resend", by="reviewer").json()
    gone = served.post("/api/v1/corrections/1/withdraw", by="reviewer").json()

    assert again["due_at"] > due
    assert (gone["state"], gone["withdrawn_by"]) == ("withdrawn", "user:reviewer")
    assert served.post("/api/v1/corrections/1/resend", by="reviewer").status_code == 409
    assert served.get(f"/api/v1/reports/{made['id']}").json()["state"] == "accepted"
    assert corrections(served, which="open") == []
    assert len(corrections(served, which="over")) == 1


def test_pages_of_reports_and_corrections(served):
    for _ in range(3):
        decide(served, report(served, kind="wrong_trait", trait="sex"))

    for path, name in (("reports", "reports"), ("corrections", "corrections")):
        first = served.get(f"/api/v1/{path}?limit=2", by="lead").json()
        rest = served.get(f"/api/v1/{path}?limit=2&after={first['next']}", by="reviewer-a").json()
        assert [one["id"] for one in first[name] + rest[name]] == [1, 2, 3]
        assert rest["next"] is None


def test_indicators_are_of_what_the_caller_sees(served):
    served.world.state("A", "A2", person(born="1984-02-28"), minute=1)
    decide(served, report(served, kind="duplicate", about=[A1, A2]))
    served.world.merge("A", "A1", "A2", minute=9)

    everything = served.get("/api/v1/indicators", by="lead").json()
    of_a = served.get("/api/v1/indicators", by="reviewer-a").json()

    domains = {one["domain"]: one for one in everything["domains"]}
    assert set(domains) == {"SITE-A", "SITE-B", "SITE-C"}
    assert (domains["SITE-A"]["identities"], domains["SITE-A"]["by_status"]["PROV"]) == (1, 1)
    assert [one["domain"] for one in of_a["domains"]] == ["SITE-A"]
    assert everything["reports"]["corrected"] == of_a["reports"]["corrected"] == 1
    assert everything["corrected_reports"] == 1
    assert everything["mean_days_to_correction"] > 0
    assert "CHANTEREAU" not in str(everything)
    assert ("key:lead", "indicators.read") in served.audited()


def test_reading_and_deciding_leave_their_trace(served):
    made = report(served, kind="wrong_trait", trait="sex")
    decide(served, made)
    served.get("/api/v1/corrections/1", by="auditor")

    audited = served.audited()
    for trace in (
        ("key:portal", "report.received"),
        ("user:reviewer", "report.accept"),
        ("user:reviewer", "correction.requested"),
        ("key:auditor", "correction.read"),
    ):
        assert trace in audited


def test_the_very_next_fhir_answer_says_that_it_is_doubtful(served):
    asked = "/fhir/Patient?identifier=urn:oid:2.999.1.1|A1"
    before = served.get(asked)

    report(served)

    assert (before.status_code, "DOUT" in before.text) == (200, False)
    assert "DOUT" in served.get(asked).text
