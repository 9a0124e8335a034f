"""Staff who see some domains: a queue of their own, as if there was nothing else."""

from dataclasses import replace

import pytest

from mpi.index import sights
from mpi.index.ports import Store
from mpi.index.review import LIVE_STATES, WHOLE, TaskState, Verdict
from mpi.index.verification import verify
from mpi.security.keys import Role, create_key, live_callers, revoke_key
from mpi.security.policy import sights_of
from tests.federation import World, authority, key, person

LOOKALIKE = person("CHANTERAU", "LISE", birth_place_code="")
A = frozenset({authority("A").universal_id})


@pytest.fixture
def any_world(store: Store) -> World:
    """On every store."""
    return World(store)


def queue(served, by="reviewer-a"):
    answer = served.get("/api/v1/reviews", by=by)
    assert answer.status_code == 200, answer.text
    return answer.json()["reviews"]


def ends_of(served, task, by="reviewer-a"):
    shown = served.get(f"/api/v1/reviews/{task['id']}", by=by).json()
    return {shown[side]["id"] for side in ("left", "right")}


@pytest.fixture
def spared(served):
    """Two records of A that the whole index holds together by one of B, which A does not see."""
    served.world.state("A", "A1", person())
    served.world.state("A", "A2", LOOKALIKE)
    served.world.state("B", "B7", person())
    for value in ("A1", "A2"):
        served.world.registry.relate(Verdict.SAME, key("B", "B7"), key("A", value), reviewer="zoe")
    return served


@pytest.mark.parametrize("made", ["before", "after"])
def test_a_question_that_a_hidden_record_spares_is_asked(served, request, made):
    if made == "before":
        assert queue(served) == []
    request.getfixturevalue("spared")
    of_all = queue(served, by="reviewer")

    [asked] = queue(served)

    assert (asked["kind"], ends_of(served, asked)) == ("potential_link", {"A1", "A2"})
    assert {task["kind"] for task in of_all} == {"duplicate_in_domain"}
    assert not {task["id"] for task in of_all} & {asked["id"]}


def test_a_question_of_another_queue_is_unknown(spared):
    [of_a] = queue(spared)
    [of_all] = queue(spared, by="reviewer")

    for task, by in ((of_a, "reviewer"), (of_all, "reviewer-a")):
        for method, path in (("get", ""), ("post", "/claim"), ("post", "/release")):
            answer = getattr(spared, method)(f"/api/v1/reviews/{task['id']}{path}", by=by)
            assert answer.status_code == 404
        body = {"verdict": "undecided", "version": task["version"]}
        assert spared.post(f"/api/v1/reviews/{task['id']}/verdict", body, by=by).status_code == 404


def test_a_verdict_in_one_queue_binds_every_queue(served):
    served.world.state("A", "A1", person())
    served.world.state("A", "A2", LOOKALIKE)
    [asked] = queue(served)

    body = {"verdict": "same", "version": asked["version"]}
    assert served.post(f"/api/v1/reviews/{asked['id']}/verdict", body, by="reviewer-a").status_code == 200

    assert served.world.together(("A", "A1"), ("A", "A2"))
    assert [task["kind"] for task in queue(served, by="reviewer")] == ["duplicate_in_domain"]
    assert [task["kind"] for task in queue(served)] == ["duplicate_in_domain"]


def test_a_verdict_taken_back_asks_every_queue_again(served):
    served.world.state("A", "A1", person())
    served.world.state("A", "A2", LOOKALIKE)
    [asked] = queue(served)
    body = {"verdict": "different", "version": asked["version"]}
    decided = served.post(f"/api/v1/reviews/{asked['id']}/verdict", body, by="reviewer-a").json()
    assert queue(served) == queue(served, by="reviewer") == []

    assert served.post(f"/api/v1/facts/{decided['fact_id']}/withdraw", by="lead").status_code == 200

    assert [task["id"] for task in queue(served)] == [asked["id"]]
    assert [task["kind"] for task in queue(served, by="reviewer")] == ["potential_link"]


def test_who_claims_in_one_queue_keeps_nobody_off_in_another(served):
    served.world.state("A", "A1", person())
    served.world.state("A", "A2", LOOKALIKE)
    [of_a], [of_all] = queue(served), queue(served, by="reviewer")

    assert served.post(f"/api/v1/reviews/{of_a['id']}/claim", by="reviewer-a").status_code == 200

    body = {"verdict": "undecided", "version": of_all["version"]}
    assert served.post(f"/api/v1/reviews/{of_all['id']}/verdict", body, by="reviewer").status_code == 200


def test_the_indicators_of_a_sight_count_its_own_questions(spared):
    figures = spared.get("/api/v1/indicators", by="lead-a").json()
    of_all = spared.get("/api/v1/indicators", by="lead").json()

    assert [(one["kind"], one["count"]) for one in figures["tasks"]] == [("potential_link", 1)]
    assert [one["duplicates"] for one in figures["domains"]] == [0]
    assert [(one["kind"], one["count"]) for one in of_all["tasks"]] == [("duplicate_in_domain", 1)]
    assert {one["domain"]: one["duplicates"] for one in of_all["domains"]}["SITE-A"] == 1


def test_duplicates_of_a_sight_are_counted_by_its_questions(served):
    for value in ("A1", "A2", "A3"):
        served.world.state("A", value, person())

    figures = served.get("/api/v1/indicators", by="lead-a").json()

    assert [one["duplicates"] for one in figures["domains"]] == [2]


def test_a_queue_that_somebody_makes_is_not_at_hand(served):
    served.world.state("A", "A1", person())
    with served.store.claim("sights") as mine:
        assert mine
        answers = [
            served.get(path, by="lead-a")
            for path in ("/api/v1/reviews", "/api/v1/reviews/1", "/api/v1/indicators")
        ]
        assert served.get("/api/v1/reviews", by="lead").status_code == 200

    assert {(answer.status_code, answer.json()["type"]) for answer in answers} == {
        (503, "urn:mpi:problem:queue-being-made")
    }
    assert served.get("/api/v1/reviews", by="lead-a").status_code == 200


def test_of_who_sees_no_domain_nothing_is_asked(served):
    served.secrets["lost"] = create_key(
        served.store, name="lost", role=Role.LEAD, domains=["2.999.77"], clock=served.world.clock
    )
    served.world.state("A", "A1", person())
    served.world.state("A", "A2", LOOKALIKE)

    assert queue(served, by="lost") == []
    assert sights_of(live_callers(served.store), served.parties) == {A}
    with served.store.read() as uow:
        assert uow.sights.kept() == []


class Cut(Exception):
    pass


def test_the_making_of_a_queue_goes_on_where_it_was_cut(any_world, monkeypatch):
    monkeypatch.setattr(sights, "RECORDS_PER_STEP", 2)
    any_world.state("A", "A1", person())
    any_world.state("A", "A2", person("MARTIN", "HUGO", "1990-05-02", "M"))
    any_world.state("A", "A3", LOOKALIKE)
    steps: list[tuple[int, int]] = []

    def cut(done: int, total: int) -> None:
        steps.append((done, total))
        raise Cut

    with pytest.raises(Cut):
        any_world.registry.sights.of(A, on_progress=cut)
    sight = any_world.registry.sights.of(A, on_progress=lambda done, total: steps.append((done, total)))

    assert steps == [(2, 3), (3, 3)]
    of_all, of_a = (any_world.registry.tasks(limit=10_000, sight=one) for one in (WHOLE, sight))
    assert {task.key for task in of_a} == {task.key for task in of_all}
    assert of_all
    assert verify(any_world.store, any_world.registry).is_clean


def test_verification_finds_a_question_of_a_sight_that_is_missing_or_moot(any_world):
    any_world.state("A", "A1", person())
    any_world.state("A", "A2", LOOKALIKE)
    any_world.state("A", "A3", person("MARTIN", "HUGO", "1990-05-02", "M"))
    sight = any_world.registry.sights.of(A)
    assert verify(any_world.store, any_world.registry).is_clean
    found: list[str] = []

    with any_world.store.write() as uow:
        [task] = uow.reviews.page(states=LIVE_STATES, sight=sight)
        uow.reviews.change(replace(task, state=TaskState.OBSOLETE), at=any_world.clock())
        uow.commit()
    verify(any_world.store, any_world.registry, on_difference=lambda one: found.append(one.subject))

    assert set(found) == {f"task/{task.id}"}


def test_sights_without_a_key_are_let_go_and_made_again_for_the_next(any_world):
    store: Store = any_world.store
    for name, role in (("luc", Role.REVIEWER), ("portal-a", Role.PORTAL), ("zoe", Role.LEAD)):
        domains = [] if role is Role.LEAD else sorted(A)
        create_key(store, name=name, role=role, domains=domains, clock=any_world.clock)
    wanted = sights_of(live_callers(store), any_world.parties)
    sight = any_world.registry.sights.of(A)
    any_world.registry.sights.keep_only(wanted)
    assert wanted == {A}
    with store.read() as uow:
        assert [one.id for one in uow.sights.kept()] == [sight]

    revoke_key(store, name="luc", clock=any_world.clock)
    any_world.registry.sights.keep_only(sights_of(live_callers(store), any_world.parties))
    any_world.state("A", "A1", person())
    any_world.state("A", "A2", LOOKALIKE)

    with store.read() as uow:
        assert uow.sights.kept() == []
        assert uow.reviews.page(states=LIVE_STATES, sight=sight) == []
        kinds = [item.event.kind for item in uow.audit.chain() if item.event.subject == f"sight/{sight}"]
        assert kinds == ["sight.kept", "sight.made", "sight.dropped"]
    assert any_world.registry.sights.of(A) == sight
    assert len(any_world.registry.tasks(sight=sight)) == 1
