"""The same write sent twice, and a change of what somebody else changed meanwhile."""

import threading
from datetime import timedelta

import pytest

from mpi.errors import StoreError
from mpi.security.keys import Role, revoke_key
from tests.fakes import MemoryKeptAnswers
from tests.federation import key, person
from tests.integration.api.test_reviews import a_doubtful_pair

SAY = {
    "kind": "different",
    "left": {"domain": "SITE-A", "id": "A1"},
    "right": {"domain": "SITE-B", "id": "B7"},
}


def say(served, body=SAY, *, name="ask-1", by="reviewer", path="/api/v1/facts"):
    return served.post(path, body, by=by, headers={"Idempotency-Key": name})


def writes(served):
    return [kind for _, kind in served.audited()].count("fact.different")


@pytest.fixture
def known(served):
    served.world.state("A", "A1", person())
    served.world.state("B", "B7", person("MARTIN", "JEAN"))
    return served


def test_a_write_sent_twice_is_done_once_and_answered_alike(known):
    first, again = say(known), say(known)

    assert first.status_code == again.status_code == 200
    assert first.content == again.content
    assert first.headers["content-type"] == again.headers["content-type"]
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert writes(known) == 1


def test_without_a_key_it_is_another_write(known):
    known.post("/api/v1/facts", SAY, by="reviewer")
    known.post("/api/v1/facts", SAY, by="reviewer")

    assert writes(known) == 2


def test_a_key_that_belongs_to_another_request_is_refused(known):
    say(known)
    other = {**SAY, "kind": "homonyms"}

    answer = say(known, other)

    assert (answer.status_code, answer.json()["type"]) == (422, "urn:mpi:problem:key-reused")
    assert say(known, path="/api/v1/facts?x=1").status_code == 422
    assert writes(known) == 1


def test_two_callers_may_use_the_same_words(known):
    say(known)
    say(known, by="luc")

    assert writes(known) == 2


def test_what_was_refused_took_no_key(known):
    unknown = {**SAY, "right": {"domain": "SITE-B", "id": "B8"}}
    assert say(known, unknown).status_code == 404

    known.world.state("B", "B8", person("MARTIN", "JEANNE"))

    assert say(known, unknown).status_code == 200


def test_a_stop_between_the_write_and_its_answer_makes_no_second_write(known, monkeypatch):
    def stop(*_args, **_named):
        raise StoreError("the store failed")

    monkeypatch.setattr(MemoryKeptAnswers, "keep", stop)
    assert say(known).status_code == 200
    monkeypatch.undo()

    again = say(known)

    assert (again.status_code, again.json()["type"]) == (409, "urn:mpi:problem:already-done")
    assert writes(known) == 1


def test_a_write_that_failed_can_be_sent_again_with_its_key(known, monkeypatch):
    write = known.store.write

    def down():
        raise StoreError("the store failed")

    monkeypatch.setattr(known.store, "write", down)
    assert say(known).status_code == 503
    monkeypatch.setattr(known.store, "write", write)

    assert say(known).status_code == 200
    assert writes(known) == 1


def test_the_same_write_from_eight_threads_at_once_is_one(known):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(say(known))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert writes(known) == 1


def test_an_answer_is_forgotten_after_its_time(known):
    say(known)
    data = known.store.kept_answers
    [name] = data
    at, kept = data[name]
    data[name] = at - timedelta(hours=25), kept
    say(known, {**SAY, "kind": "homonyms"}, name="another")

    assert name not in data


def test_an_erasure_destroys_the_answers_that_are_kept(known):
    say(known)
    known.world.registry.erase(key("A", "A1"), reviewer="zoe", reason="asked")

    assert say(known).status_code == 409
    assert all(not kept.body for _, kept in known.store.kept_answers.values())


@pytest.mark.parametrize("name", ["", "a b", "x" * 256, "é"])
def test_what_is_no_key_is_refused(known, name):
    answer = known.post("/api/v1/facts", SAY, by="reviewer", headers={"Idempotency-Key": name.encode()})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["place"] == "Idempotency-Key"


def test_a_question_takes_no_key(known):
    identities = {"identities": [{"domain": "SITE-A", "id": "A1"}]}

    assert say(known, identities, path="/api/v1/resolve").status_code == 200
    assert known.store.kept_answers == {}


def test_an_answer_is_not_for_who_may_see_less(known):
    say(known, by="lead")
    revoke_key(known.store, name="lead", clock=known.world.clock)
    known.add_key("lead", Role.LEAD, "A")

    assert say(known, by="lead").status_code == 422


# ------------------------------------------------------------------------------------ If-Match


def test_a_task_is_changed_as_it_was_read_or_not_at_all(served):
    task = a_doubtful_pair(served)
    read = served.get(f"/api/v1/reviews/{task.id}", by="reviewer")
    verdict = {"verdict": "undecided", "version": task.version}
    path = f"/api/v1/reviews/{task.id}"

    assert read.headers["etag"] == f'"{task.version}"'
    stale = served.post(f"{path}/verdict", verdict, by="reviewer", headers={"If-Match": '"99"'})
    weak = served.post(f"{path}/claim", by="reviewer", headers={"If-Match": f'W/"{task.version}"'})
    assert (stale.status_code, stale.json()["type"]) == (412, "urn:mpi:problem:precondition-failed")
    assert weak.status_code == 412

    claimed = served.post(f"{path}/claim", by="reviewer", headers={"If-Match": f'"1", "{task.version}"'})
    decided = served.post(
        f"{path}/verdict", verdict, by="reviewer", headers={"If-Match": read.headers["etag"]}
    )
    assert (claimed.status_code, decided.status_code) == (200, 200)
    assert decided.headers["etag"] == f'"{decided.json()["version"]}"' != read.headers["etag"]
    assert served.post(f"{path}/release", by="reviewer", headers={"If-Match": "*"}).status_code == 200
