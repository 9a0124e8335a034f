"""What people are asked, one story at a time: refusals with a reason, in place, in order, and never a flood."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest

from mpi.errors import StaleReview
from mpi.identity.domains import Domains
from mpi.identity.ins import INS_TEST_OID
from mpi.identity.model import Urgency
from mpi.index import intake
from mpi.index.events import FactKind, IdentityStated
from mpi.index.graph import LinkPolicy
from mpi.index.review import CLAIM_LASTS, TaskKind, TaskState, Verdict
from tests.fakes import MemoryStore
from tests.federation import SITES, World, authority, directory, key, person, statement

LOUISE = person()
MARRIED = person("BOUVET")
SOPHIE = person("BERGER", "SOPHIE", "1955-06-03")
PARIS = person("LEBLANC", "JEAN", "1947-04-11", "M", birth_place_code="75056")
MARSEILLE = person("LEBLANC", "JEAN", "1947-04-11", "M", birth_place_code="13055")
ANYWHERE = person("LEBLANC", "JEAN", "1947-04-11", "M", birth_place_code="")
TEST = person("TEST", "TEST", "1900-01-01", birth_place_code="", phones=("0600000000",), address="TEST")
A1, B2 = key("A", "1"), key("B", "2")
NIR = "284028708512309"


@pytest.fixture
def world():
    return World(MemoryStore())


def qualified(who, number=NIR):
    return replace(who, ins=number, ins_oid=INS_TEST_OID, identity_codes=("VALI",))


def asked(world):
    return sorted((kind, reason) for kind, _, reason in world.open_questions())


def mannequins(world, count):
    for number in range(count):
        world.state(SITES[number % 3], f"T{number}", TEST, minute=number)


class TestMegaClusters:
    def real(self, world):
        for site in SITES:
            world.state(site, "1", LOUISE)
        world.state("A", "2", SOPHIE)

    def test_two_thousand_test_patients_join_nobody_and_ask_nothing(self, world):
        self.real(world)
        before = world.snapshot()["golden"][world.euid("A", "1")]

        mannequins(world, 2000)

        assert max(map(len, world.partition())) == 3
        assert world.golden_records()[world.euid("A", "1")] == before
        assert world.tasks() == []

    @pytest.mark.long
    def test_nor_do_ten_thousand(self, world):
        self.real(world)

        mannequins(world, 10_000)

        assert max(map(len, world.partition())) == 3
        assert world.tasks() == []

    def test_a_real_person_is_still_linked_afterwards(self, world):
        mannequins(world, 200)
        self.real(world)

        assert world.elsewhere("A", "1") == {("B", "1"), ("C", "1")}

    def test_a_set_grows_to_its_cap_and_no_further(self):
        world = World(MemoryStore(), policy=LinkPolicy(max_set_size=3))
        for number in range(5):
            world.state(SITES[number % 3], str(number), LOUISE, minute=number)

        assert sorted(map(len, world.partition())) == [2, 3]
        assert (TaskKind.REFUSED_LINK, "set_too_large") in asked(world)

    def test_a_person_may_let_it_grow(self):
        world = World(MemoryStore(), policy=LinkPolicy(max_set_size=2))
        for site in SITES:
            world.state(site, "1", LOUISE)
        (task,) = (task for task in world.tasks() if task.reason == "set_too_large")

        world.decide(task.id, Verdict.SAME)

        assert world.together(("A", "1"), ("B", "1"), ("C", "1"))

    def test_two_large_sets_leave_one_question_between_them(self):
        world = World(MemoryStore(), policy=LinkPolicy(max_set_size=4))
        for number in range(8):
            world.state(SITES[number % 3], str(number), LOUISE, minute=number)

        assert Counter(reason for _, reason in asked(world))["set_too_large"] == 1


class TestOversizedBlocks:
    def crowd(self, world, monkeypatch):
        monkeypatch.setattr(intake, "BLOCK_CAP", 3)
        for number in range(6):
            world.state("ABC"[number % 3], str(number), LOUISE, minute=number)

    def test_a_record_that_could_not_be_compared_says_so(self, world, monkeypatch):
        self.crowd(world, monkeypatch)

        assert TaskKind.OVERSIZED_BLOCK in {kind for kind, _ in asked(world)}

    def test_dismissed_it_is_not_asked_again(self, world, monkeypatch):
        self.crowd(world, monkeypatch)
        task = next(task for task in world.tasks() if task.kind is TaskKind.OVERSIZED_BLOCK)
        about = world.registry.review(task.id, actor="t").left.key

        world.decide(task.id, Verdict.DISMISSED)
        world.state(
            "ABC"["123".index(about.domain[-1])], about.value, replace(LOUISE, city="LIMOGES"), minute=60
        )

        assert task.id not in {one.id for one in world.tasks()}

    def test_it_closes_once_the_record_can_be_compared(self, world, monkeypatch):
        self.crowd(world, monkeypatch)
        task = next(task for task in world.tasks() if task.kind is TaskKind.OVERSIZED_BLOCK)
        about = world.registry.review(task.id, actor="t").left.key

        monkeypatch.setattr(intake, "BLOCK_CAP", 2000)
        world.state(
            "ABC"["123".index(about.domain[-1])], about.value, replace(LOUISE, city="NIORT"), minute=60
        )

        assert task.id not in {one.id for one in world.tasks()}


class TestRefusals:
    def test_twins_are_nobody_s_question(self, world):
        world.state("A", "1", person(given="EMMA"))
        world.state("B", "2", person(given="CHLOE"))

        assert not world.together(("A", "1"), ("B", "2"))
        assert world.tasks() == []

    def test_a_weak_link_between_two_sets(self):
        parties = directory(domains=Domains(authority(site) for site in "ABCD"))
        world = World(MemoryStore(), parties)
        common = person("MARTIN", "MARIE", "1990-05-02", birth_place_code="")
        little = person("MARTIN", "", "", "", birth_place_code="")
        for site, value, who in (
            ("A", "1", common),
            ("B", "2", little),
            ("C", "3", common),
            ("D", "4", little),
        ):
            world.state(site, value, who)
        # Each of the two has a companion, so that one link joins two sets of several records.
        world.registry.relate(Verdict.DIFFERENT, A1, key("C", "3"), reviewer="anne")
        world.registry.relate(Verdict.SAME, A1, B2, reviewer="anne")
        world.registry.relate(Verdict.SAME, key("C", "3"), key("D", "4"), reviewer="anne")
        (apart,) = world.facts_of(FactKind.DIFFERENT)
        later = [fact.id for fact in world.facts_of(FactKind.SAME)]

        world.registry.withdraw(apart.id, actor="user:anne", knowing=later)

        assert not world.together(("A", "1"), ("C", "3"))
        assert asked(world) == [(TaskKind.REFUSED_LINK, "weak_bridge")]

    def test_a_strong_link_between_two_sets(self, world):
        for site, who in (("A", PARIS), ("B", PARIS)):
            world.state(site, "1", who)
        world.registry.relate(Verdict.SAME, key("A", "1"), key("B", "1"), reviewer="anne")

        world.state("C", "1", PARIS)

        assert world.together(("A", "1"), ("B", "1"), ("C", "1"))

    def test_a_record_that_fits_two_sets(self, world):
        world.state("A", "1", PARIS)
        world.state("A", "2", MARSEILLE)
        world.state("C", "3", ANYWHERE)

        assert Counter(kind for kind, _ in asked(world))[TaskKind.AMBIGUITY] == 2

    def test_a_record_that_contradicts_a_member(self, world):
        world.state("A", "1", PARIS)
        world.state("B", "2", ANYWHERE)
        world.registry.relate(Verdict.SAME, A1, B2, reviewer="anne")

        world.state("C", "3", MARSEILLE)

        assert (TaskKind.REFUSED_LINK, "contradiction") in asked(world)

    @pytest.mark.parametrize(
        ("same_domain", "together", "questions"),
        [
            ("link", True, [(TaskKind.DUPLICATE_IN_DOMAIN, "two_active_records")]),
            ("review", False, [(TaskKind.POTENTIAL_LINK, "same_domain_review")]),
            ("forbid", False, []),
        ],
    )
    def test_two_records_of_one_site_by_the_federation_s_rule(self, same_domain, together, questions):
        world = World(MemoryStore(), policy=LinkPolicy(same_domain=same_domain))

        world.state("A", "1", LOUISE)
        world.state("A", "2", LOUISE)

        assert world.together(("A", "1"), ("A", "2")) is together
        assert asked(world) == questions


class TestInPlace:
    def test_a_question_that_becomes_graver_stays_the_same_task(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", MARRIED)
        (task,) = world.tasks()

        world.state("A", "1", qualified(LOUISE), minute=5)
        world.state("B", "2", qualified(MARRIED, "284022999977779"), minute=6)

        (now,) = world.tasks()
        assert (task.kind, now.kind) == (TaskKind.POTENTIAL_LINK, TaskKind.INS_COLLISION)
        assert now.id == task.id
        assert now.priority > task.priority

    def test_it_closes_when_the_data_settle_it(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", MARRIED)
        (task,) = world.tasks()

        world.state("B", "2", person(used="BOUVET"), minute=5)

        assert world.tasks() == []
        assert world.registry.review(task.id, actor="t").task.state is TaskState.OBSOLETE

    def test_it_opens_again_when_the_data_ask_it_again(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", MARRIED)
        (task,) = world.tasks()
        world.state("B", "2", person(used="BOUVET"), minute=5)

        world.state("B", "2", replace(MARRIED, deleted=frozenset({"used_name"})), minute=6)

        assert [one.id for one in world.tasks()] == [task.id]

    def test_a_statement_that_changes_nothing_leaves_its_version(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", MARRIED)
        (task,) = world.tasks()

        world.state("B", "2", MARRIED, minute=5)

        assert world.tasks() == [task]


class TestDismissal:
    def dismissed(self, world, verdict=Verdict.DIFFERENT):
        world.state("A", "1", LOUISE)
        world.state("B", "2", MARRIED)
        (task,) = world.tasks()
        world.decide(task.id, verdict)
        return task

    @pytest.mark.parametrize("verdict", [Verdict.DIFFERENT, Verdict.HOMONYMS])
    def test_a_new_telephone_does_not_ask_again(self, world, verdict):
        self.dismissed(world, verdict)

        for site, value, who in (("A", "1", LOUISE), ("B", "2", MARRIED)):
            world.state(site, value, replace(who, phones=("0612131415",)), minute=5)

        assert world.tasks() == []

    def test_the_same_ins_on_both_asks_again_and_says_why(self, world):
        task = self.dismissed(world)

        world.state("A", "1", qualified(LOUISE), minute=5)
        assert world.tasks() == []
        world.state("B", "2", qualified(MARRIED), minute=6)

        (again,) = world.tasks()
        assert (again.id, again.kind, again.reason) == (task.id, TaskKind.REFUSED_LINK, "changed_since:ins")
        assert not world.together(("A", "1"), ("B", "2"))

    def test_what_has_changed_is_shown(self, world):
        task = self.dismissed(world)
        world.state("A", "1", qualified(LOUISE), minute=5)
        world.state("B", "2", qualified(MARRIED), minute=6)

        assert world.registry.review(task.id, actor="t").changed == ("ins",)

    def test_answered_again_it_is_not_asked_again(self, world):
        task = self.dismissed(world)
        world.state("A", "1", qualified(LOUISE), minute=5)
        world.state("B", "2", qualified(MARRIED), minute=6)

        world.decide(task.id, Verdict.DIFFERENT, "paul")
        world.state("B", "2", replace(qualified(MARRIED), city="LIMOGES"), minute=7)

        assert world.tasks() == []
        assert not world.together(("A", "1"), ("B", "2"))

    def test_answered_otherwise_than_before_it_names_what_stands(self, world):
        task = self.dismissed(world)
        world.state("A", "1", qualified(LOUISE), minute=5)
        world.state("B", "2", qualified(MARRIED), minute=6)
        (fact,) = world.facts_of(FactKind.DIFFERENT)

        with pytest.raises(Exception, match="cannot_link") as refused:
            world.decide(task.id, Verdict.SAME, "paul")

        assert refused.value.facts == (fact.id,)

    def test_what_speaks_against_them_does_not_ask_again(self, world):
        self.dismissed(world)

        world.state("B", "2", replace(MARRIED, birth_place_code="75056"), minute=5)

        assert world.tasks() == []

    def test_another_record_of_one_of_them_does_not_ask_again(self, world):
        self.dismissed(world)

        world.state("C", "3", MARRIED, minute=5)

        assert world.together(("B", "2"), ("C", "3"))
        assert world.tasks() == []

    def test_a_confirmed_duplicate_waits_for_its_site(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", LOUISE)
        (task,) = world.tasks()

        decided = world.decide(task.id, Verdict.SAME)
        world.state("A", "2", replace(LOUISE, city="LIMOGES"), minute=5)

        assert decided.state is TaskState.WAITING
        assert [one.state for one in world.tasks()] == [TaskState.WAITING]

    def test_a_dismissed_duplicate_stays_dismissed(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", LOUISE)
        (task,) = world.tasks()

        world.decide(task.id, Verdict.DISMISSED)
        world.state("A", "2", replace(LOUISE, city="LIMOGES"), minute=5)

        assert world.tasks() == []


class TestOrder:
    def pair(self, world, site, value, who, other, urgency=Urgency.NONE, minute=0):
        one = replace(statement(site, value, who, minute=minute), urgency=urgency)
        world.send(IdentityStated((one,)), source=one.source)
        world.state("C", value, other)

    def test_the_patient_who_is_here_comes_first(self, world):
        self.pair(world, "A", "1", LOUISE, MARRIED)
        self.pair(world, "A", "2", ANYWHERE, replace(PARIS, sex="F"))
        self.pair(world, "A", "3", SOPHIE, person("NOEL", "SOPHIE", "1955-06-03"), Urgency.EMERGENCY)

        urgent = world.registry.urgent_tasks()

        assert key("A", "3") in {world.registry.review(urgent[0].id, actor="t").left.key}

    def test_then_the_graver_question(self, world):
        self.pair(world, "A", "1", LOUISE, MARRIED)
        world.state("A", "9", SOPHIE)
        world.state("A", "9", PARIS, minute=5)

        assert [task.kind for task in world.registry.urgent_tasks()] == [
            TaskKind.OVERLAY,
            TaskKind.POTENTIAL_LINK,
        ]

    def test_then_the_site(self):
        parties = directory(priorities={authority("B").universal_id: 5})
        world = World(MemoryStore(), parties)
        self.pair(world, "A", "1", LOUISE, MARRIED)
        self.pair(world, "B", "2", SOPHIE, person("NOEL", "SOPHIE", "1955-06-03"))

        first, second = world.registry.urgent_tasks()

        assert first.id > second.id

    def test_it_follows_the_patient_in_and_out(self, world):
        self.pair(world, "A", "1", LOUISE, MARRIED, Urgency.PRESENT)
        (present,) = world.tasks()
        left = replace(statement("A", "1", LOUISE, minute=9), urgency=Urgency.NONE)

        world.send(IdentityStated((left,)), source="ris-a")

        (gone,) = world.tasks()
        assert gone.priority < present.priority

    def test_pages_follow_one_another(self, world):
        for number, (who, other) in enumerate(
            ((LOUISE, MARRIED), (SOPHIE, person("NOEL", "SOPHIE", "1955-06-03")))
        ):
            self.pair(world, "A", str(number), who, other)
        first, second = world.registry.urgent_tasks()

        assert world.registry.urgent_tasks(after=first, limit=1) == [second]


class TestClaims:
    @pytest.fixture
    def task(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", MARRIED)
        return world.tasks()[0]

    def test_who_has_claimed_it_alone_may_answer(self, world, task):
        world.registry.claim(task.id, reviewer="anne")

        with pytest.raises(StaleReview):
            world.decide(task.id, Verdict.SAME, "paul")
        assert world.decide(task.id, Verdict.SAME, "anne").state is TaskState.DECIDED

    def test_nobody_else_may_claim_it(self, world, task):
        world.registry.claim(task.id, reviewer="anne")

        with pytest.raises(StaleReview):
            world.registry.claim(task.id, reviewer="paul")

    def test_claiming_does_not_change_what_was_read(self, world, task):
        world.registry.claim(task.id, reviewer="anne")

        decided = world.registry.decide(task.id, Verdict.SAME, reviewer="anne", version=task.version)

        assert decided.claimed_by == ""

    def test_released_it_is_anybody_s(self, world, task):
        world.registry.claim(task.id, reviewer="anne")
        world.registry.release(task.id, reviewer="anne")

        assert world.registry.claim(task.id, reviewer="paul").claimed_by == "paul"

    def test_it_is_not_released_for_another(self, world, task):
        world.registry.claim(task.id, reviewer="anne")

        with pytest.raises(StaleReview):
            world.registry.release(task.id, reviewer="paul")

    def test_left_lying_it_is_anybody_s(self, world, task):
        world.registry.claim(task.id, reviewer="anne")
        world.clock.at += CLAIM_LASTS

        assert world.decide(task.id, Verdict.SAME, "paul").reviewer == "paul"

    def test_claimed_again_it_lasts_again(self, world, task):
        world.registry.claim(task.id, reviewer="anne")
        world.clock.at += CLAIM_LASTS - timedelta(minutes=1)
        world.registry.claim(task.id, reviewer="anne")
        world.clock.at += timedelta(minutes=5)

        with pytest.raises(StaleReview):
            world.registry.claim(task.id, reviewer="paul")

    def test_a_message_meanwhile_does_not_take_it_away(self, world, task):
        world.registry.claim(task.id, reviewer="anne")

        world.state("A", "1", replace(LOUISE, phones=("0612131415",)), minute=5)

        (still,) = world.tasks()
        assert still.held_by(world.clock.at) == "anne"

    def test_a_closed_question_is_not_claimed(self, world, task):
        world.decide(task.id, Verdict.DIFFERENT)

        with pytest.raises(StaleReview):
            world.registry.claim(task.id, reviewer="anne")
