"""The Python client against the application, and against answers that do not come."""

import re
from pathlib import Path

import httpx2
import pytest

from mpi import client as module
from mpi import errors
from mpi.api.problems import ANSWERS
from mpi.client import Client
from tests.federation import person
from tests.integration.api.served import LOUISE
from tests.integration.api.test_reviews import a_doubtful_pair

MANUAL = Path(__file__).parents[3] / "docs" / "manual.md"
A1, B7 = ("SITE-A", "A1"), ("SITE-B", "B7")


class Through(httpx2.BaseTransport):
    """Hands requests over to the application; loses the answers that it is told to lose."""

    def __init__(self, served, *, lose=0, down=0):
        self._served, self.lose, self.down, self.sent = served, lose, down, 0

    def handle_request(self, request):
        self.sent += 1
        if self.down:
            self.down -= 1
            return httpx2.Response(503, json={})
        found = self._served.client.request(
            request.method, str(request.url), content=request.read(), headers=dict(request.headers)
        )
        if self.lose:
            self.lose -= 1
            raise httpx2.ReadError("lost")
        return httpx2.Response(
            found.status_code, content=found.content, headers={"content-type": found.headers["content-type"]}
        )


def client_of(served, by="lead", **faults):
    transport = Through(served, **faults)
    pauses = []
    made = Client("http://index", served.secrets[by], transport=transport, pause=pauses.append)
    made.pauses, made.transport = pauses, transport
    return made


@pytest.fixture
def known(served):
    served.world.state("A", "A1", person())
    served.world.before_b = served.world.clock.at
    served.world.state("B", "B7", person(used="ROUX"))
    return served


def test_questions(known):
    with client_of(known) as index:
        found = index.identifiers(*A1)
        person_found = index.patient(found.euid)
        [resolved, guest] = index.resolve([{"domain": "SITE-A", "id": "A1"}, LOUISE])
        [candidate] = index.match(LOUISE)

        assert [(one.domain, one.id) for one in found.identifiers] == [B7]
        assert {(one.domain, one.id) for one in person_found.members} == {A1, B7}
        assert person_found.golden["used_name"].value == "ROUX"
        assert (resolved.status, resolved.euid, resolved.companions) == ("linked", found.euid, (1,))
        assert guest.suid == resolved.suid
        assert (candidate.euid, candidate.grade) == (found.euid, "probable")
        assert index.identifiers(*A1, as_of=known.world.before_b).identifiers == ()
        assert index.identifiers(*A1, targets=["SITE-C"]).identifiers == ()


def test_a_search_finds_who_was_stated(known):
    with client_of(known) as index:
        found = index.search(birth_date="1984-02-29", name="chant")

    assert not found.too_broad
    assert {(one.domain, one.id) for one in found.people[0].identifiers} == {A1, B7}


def test_a_review_is_claimed_decided_and_its_facts_are_listed(served):
    task = a_doubtful_pair(served)
    with client_of(served) as index:
        [listed] = index.reviews()
        read = index.review(listed.id)
        claimed = index.claim(read)
        decided = index.decide(claimed, "same")

        assert (listed.id, read.version, claimed.state) == (task.id, task.version, "open")
        assert (decided.state, decided.verdict) == ("decided", "same")
        assert [fact.kind for fact in index.facts()] == ["same"]
        with pytest.raises(errors.PreconditionFailed):
            index.decide(read, "different")


def test_pages_are_read_to_their_end(known, monkeypatch):
    monkeypatch.setattr(module, "_PAGE", 2)
    for number in range(5):
        known.world.state("C", f"C{number}", person("MARTIN", f"JEAN{number}", f"1950-01-0{number + 1}"))
    with client_of(known) as index:
        for number in range(5):
            index.relate("different", A1, ("SITE-C", f"C{number}"))

        assert [fact.id for fact in index.facts()] == [1, 2, 3, 4, 5]


def test_a_write_whose_answer_is_lost_is_sent_again_and_done_once(known):
    with client_of(known, lose=1) as index:
        [fact] = index.relate("different", A1, B7)

        assert (index.transport.sent, index.pauses) == (2, [0.2])
    assert known.audited().count(("user:lead", "fact.different")) == 1
    assert fact.stands


def test_a_service_that_is_down_is_asked_again_and_then_given_up(known):
    with client_of(known, down=2) as index:
        assert index.identifiers(*A1).identifiers
        assert len(index.pauses) == 2
    with client_of(known, down=99) as index:
        with pytest.raises(errors.StoreError, match="does not answer"):
            index.identifiers(*A1)
        assert index.transport.sent == 4


@pytest.mark.parametrize(
    ("ask", "error", "by"),
    [
        (lambda index: index.identifiers("SITE-Z", "A1"), errors.UnknownAuthority, "lead"),
        (lambda index: index.identifiers("SITE-A", "A9"), errors.UnknownIdentifier, "lead"),
        (lambda index: index.patient("../x"), errors.UnknownIdentifier, "lead"),
        (lambda index: index.patient("AAAAAAAAAAAAAAAA"), errors.UnknownIdentifier, "lead"),
        (lambda index: index.review(99), errors.UnknownReview, "lead"),
        (lambda index: index.match({"sex": "Q"}), errors.InvalidIdentity, "lead"),
        (lambda index: index.resolve([]), errors.InvalidIdentity, "lead"),
        (lambda index: index.match(LOUISE), errors.NotPermitted, "site"),
    ],
)
def test_a_refusal_is_raised_as_what_it_was(known, ask, error, by):
    with client_of(known, by) as index, pytest.raises(error) as caught:
        ask(index)
    assert type(caught.value) is error


def test_a_conflict_names_the_facts_in_the_way(known):
    with client_of(known) as index:
        index.relate("different", A1, B7)
        with pytest.raises(errors.LinkConflict) as caught:
            index.relate("same", A1, B7)

    assert caught.value.facts == (1,)


def test_a_wrong_key_is_not_permitted(known):
    known.secrets["nobody"] = "mpi_" + "A" * 43
    with client_of(known, "nobody") as index, pytest.raises(errors.NotPermitted):
        index.identifiers(*A1)


def test_every_refusal_of_the_interface_has_its_error():
    never_over_rest = {"out-of-sequence", "poison-message", "earlier-message-waits", "source-stopped"}
    for error, answer in ANSWERS.items():
        if answer.status < 500 and answer.slug not in never_over_rest and answer.slug != "bad-request":
            assert module.ERRORS[answer.slug] is error


def test_the_example_of_the_manual_runs(known, capsys):
    text = MANUAL.read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(from mpi\.client import Client\n.*?)```", text, re.S)

    def through(url, key):
        return Client(url, known.secrets["lead"], transport=Through(known))

    code = example.replace("from mpi.client import Client\n", "")
    exec(compile(code, "manual", "exec"), {"Client": through, "key": ""})
    assert "SITE-B B7" in capsys.readouterr().out
