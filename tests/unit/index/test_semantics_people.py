"""What people assert of records, one story at a time: it binds whole sets, and outlives every message and model."""

from dataclasses import replace

import pytest

from mpi.errors import LinkConflict, StaleReview, UnknownIdentifier
from mpi.identity.ins import INS_TEST_OID
from mpi.index.decisions import TwoPersonRule
from mpi.index.events import FactKind
from mpi.index.review import TaskKind, TaskState, Verdict
from mpi.matching.decision import Thresholds
from mpi.matching.model import MatchModel
from tests.fakes import MemoryStore
from tests.federation import World, key, person

LOUISE = person()
MARRIED = person("BOUVET")
SOPHIE = person("BERGER", "SOPHIE", "1955-06-03")
PARIS = person("LEBLANC", "JEAN", "1947-04-11", "M", birth_place_code="75056")
MARSEILLE = person("LEBLANC", "JEAN", "1947-04-11", "M", birth_place_code="13055")
ANYWHERE = person("LEBLANC", "JEAN", "1947-04-11", "M", birth_place_code="")
A1, B2, C3 = key("A", "1"), key("B", "2"), key("C", "3")


@pytest.fixture
def world():
    return World(MemoryStore())


def kinds(world):
    return sorted(kind for kind, _, _ in world.open_questions())


def say(world, verdict, left, right, reviewer="anne"):
    return world.registry.relate(verdict, key(*left), key(*right), reviewer=reviewer)


def same(world, left, right, reviewer="anne"):
    return say(world, Verdict.SAME, left, right, reviewer)


def different(world, left, right, reviewer="anne"):
    return say(world, Verdict.DIFFERENT, left, right, reviewer)


def storm(world, site, value, who, *, start=10, times=5):
    for minute in range(start, start + times):
        world.state(site, value, replace(who, phones=(f"06121314{minute:02d}",)), minute=minute)


class TestSame:
    def test_two_records_with_nothing_in_common_become_one_person(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE)

        same(world, ("A", "1"), ("B", "2"))

        assert world.elsewhere("A", "1") == {("B", "2")}

    def test_it_outlives_every_later_statement(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", MARRIED)
        same(world, ("A", "1"), ("B", "2"))

        storm(world, "A", "1", LOUISE)
        storm(world, "B", "2", MARRIED)

        assert world.together(("A", "1"), ("B", "2"))
        assert kinds(world) == []

    def test_saying_it_again_says_nothing_more(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE)
        same(world, ("A", "1"), ("B", "2"))

        same(world, ("B", "2"), ("A", "1"), "paul")

        assert len(world.facts_of(FactKind.SAME)) == 1

    def test_two_qualified_ins_are_not_one_person_even_for_a_person(self, world):
        for site, value, number in (("A", "1", "284028708512309"), ("B", "2", "284022999977779")):
            world.state(site, value, person(ins=number, ins_oid=INS_TEST_OID, identity_codes=("VALI",)))

        with pytest.raises(LinkConflict, match="ins_conflict"):
            same(world, ("A", "1"), ("B", "2"))

    def test_a_record_nobody_heard_of_is_refused(self, world):
        world.state("A", "1", LOUISE)

        with pytest.raises(UnknownIdentifier):
            same(world, ("A", "1"), ("B", "2"))

    def test_a_record_is_not_related_to_itself(self, world):
        world.state("A", "1", LOUISE)

        with pytest.raises(LinkConflict):
            same(world, ("A", "1"), ("A", "1"))


class TestDifferent:
    def test_no_later_statement_rejoins_them(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        different(world, ("A", "1"), ("B", "2"))

        storm(world, "A", "1", LOUISE)
        storm(world, "B", "2", LOUISE)

        assert not world.together(("A", "1"), ("B", "2"))
        assert kinds(world) == []

    @pytest.mark.parametrize("verdict", [Verdict.DIFFERENT, Verdict.HOMONYMS])
    def test_no_third_record_rejoins_them(self, world, verdict):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        say(world, verdict, ("A", "1"), ("B", "2"))

        world.state("C", "3", LOUISE)

        assert not world.together(("A", "1"), ("B", "2"))
        assert kinds(world)

    def test_a_merge_of_their_site_does_not_rejoin_them_but_asks(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", LOUISE)
        different(world, ("A", "1"), ("A", "2"))

        world.merge("A", "1", "2")

        assert not world.together(("A", "1"), ("A", "2"))
        assert kinds(world) == [TaskKind.CONFLICT]

    def test_it_binds_the_whole_sets(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", MARRIED)
        world.state("C", "3", SOPHIE)
        same(world, ("A", "1"), ("B", "2"))
        different(world, ("B", "2"), ("C", "3"))

        with pytest.raises(LinkConflict, match="cannot_link"):
            same(world, ("A", "1"), ("C", "3"))

    def test_it_outlives_another_model(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        different(world, ("A", "1"), ("B", "2"))

        generous = replace(MatchModel.default(), version="generous", thresholds=Thresholds(-9.0, -8.0))
        again = World(world.store, model=generous, clock=world.clock, _sent=1000)
        storm(again, "A", "1", LOUISE)

        assert not again.together(("A", "1"), ("B", "2"))

    def test_another_model_still_scores_the_rest(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", MARRIED)
        assert not world.together(("A", "1"), ("B", "2"))
        world.state("C", "3", SOPHIE)
        same(world, ("A", "1"), ("C", "3"))

        severe = replace(MatchModel.default(), version="severe", thresholds=Thresholds(50.0, 60.0))
        again = World(world.store, model=severe, clock=world.clock, _sent=1000)
        storm(again, "A", "1", LOUISE)

        assert again.together(("A", "1"), ("C", "3"))
        assert again.tasks() == []


class TestVerdictsOnATask:
    def ask(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", MARRIED)
        (task,) = world.tasks()
        return task

    def test_undecided_keeps_the_question_and_joins_nothing(self, world):
        task = self.ask(world)

        decided = world.decide(task.id, Verdict.UNDECIDED)

        assert decided.state is TaskState.WAITING
        assert [one.id for one in world.tasks()] == [task.id]
        assert not world.together(("A", "1"), ("B", "2"))

    def test_undecided_may_be_decided_later(self, world):
        task = self.ask(world)
        world.decide(task.id, Verdict.UNDECIDED)
        storm(world, "A", "1", LOUISE)

        world.decide(task.id, Verdict.SAME, "paul")

        assert world.together(("A", "1"), ("B", "2"))
        assert world.tasks() == []

    def test_homonyms_are_apart_and_known_as_such(self, world):
        task = self.ask(world)

        world.decide(task.id, Verdict.HOMONYMS)

        assert len(world.facts_of(FactKind.HOMONYMS)) == 1
        assert world.tasks() == []

    def test_an_answer_to_another_question_is_refused(self, world):
        task = self.ask(world)

        with pytest.raises(LinkConflict):
            world.decide(task.id, Verdict.RECYCLED)

    def test_an_answer_to_what_has_changed_since_it_was_read_is_refused(self, world):
        task = self.ask(world)
        world.decide(task.id, Verdict.UNDECIDED)

        with pytest.raises(StaleReview):
            world.registry.decide(task.id, Verdict.SAME, reviewer="paul", version=task.version)

    def test_a_question_is_answered_once(self, world):
        task = self.ask(world)
        world.decide(task.id, Verdict.DIFFERENT)

        with pytest.raises(StaleReview):
            world.decide(task.id, Verdict.SAME, "paul")


class TestTheWrongRecord:
    """LEFT_WRONG, RIGHT_WRONG and doubt: the record stands alone until somebody says otherwise."""

    def two(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", MARRIED)
        (task,) = world.tasks()
        return task

    def test_the_wrong_one_is_joined_by_nothing_that_arrives(self, world):
        task = self.two(world)

        world.decide(task.id, Verdict.RIGHT_WRONG)
        world.state("C", "3", MARRIED)
        storm(world, "B", "2", MARRIED)

        assert world.elsewhere("B", "2") == set()

    def test_the_other_one_is_joined_as_before(self, world):
        task = self.two(world)

        world.decide(task.id, Verdict.RIGHT_WRONG)
        world.state("C", "3", LOUISE)

        assert world.elsewhere("A", "1") == {("C", "3")}

    def test_left_is_left(self, world):
        task = self.two(world)

        world.decide(task.id, Verdict.LEFT_WRONG)

        (fact,) = world.facts_of(FactKind.DOUBTED)
        assert fact.left == world.registry.review(task.id, actor="t").left.key

    def test_nobody_is_asked_about_it_again(self, world):
        task = self.two(world)

        world.decide(task.id, Verdict.RIGHT_WRONG)
        world.state("C", "3", MARRIED)

        assert all(key("B", "2") not in about for _, about, _ in world.open_questions())

    def test_withdrawn_it_is_compared_as_any_other(self, world):
        task = self.two(world)
        world.decide(task.id, Verdict.RIGHT_WRONG)
        world.state("C", "3", MARRIED)
        (doubt,) = world.facts_of(FactKind.DOUBTED)

        world.registry.withdraw(doubt.id, actor="user:anne")

        assert world.together(("B", "2"), ("C", "3"))
        assert world.facts_of(FactKind.DIFFERENT) == []

    def test_a_doubted_record_leaves_its_set(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        world.state("C", "3", LOUISE)

        world.registry.doubt(B2, reviewer="anne")

        assert world.elsewhere("A", "1") == {("C", "3")}
        assert world.elsewhere("B", "2") == set()

    def test_nor_when_the_other_record_is_stated_again(self, world):
        self.two(world)
        world.registry.doubt(B2, reviewer="anne")
        assert world.tasks() == []

        storm(world, "A", "1", LOUISE)

        assert world.tasks() == []

    def test_a_person_may_still_join_a_doubted_record(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        world.registry.doubt(B2, reviewer="anne")

        same(world, ("A", "1"), ("B", "2"))

        assert world.together(("A", "1"), ("B", "2"))


class TestSplitAndMove:
    def three(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE, minute=1)
        world.state("C", "3", LOUISE, minute=2)

    def test_who_is_split_out_stays_out(self, world):
        self.three(world)

        world.registry.split([C3], reviewer="anne")
        storm(world, "C", "3", LOUISE)
        storm(world, "A", "1", LOUISE, start=30)

        assert world.together(("A", "1"), ("B", "2"))
        assert not world.together(("A", "1"), ("C", "3"))
        assert world.tasks() == []

    def test_several_may_leave_together(self, world):
        self.three(world)

        world.registry.split([B2, C3], reviewer="anne")

        assert world.together(("B", "2"), ("C", "3"))
        assert not world.together(("A", "1"), ("B", "2"))

    def test_it_is_one_act_and_is_undone_as_one(self, world):
        self.three(world)
        before = world.snapshot()
        facts = world.registry.split([C3], reviewer="anne")

        world.registry.withdraw(facts[-1].id, actor="user:anne")

        assert world.snapshot() == before
        assert world.facts_of(FactKind.DIFFERENT) == []

    def test_moved_to_another_person_it_is_that_person_s(self, world):
        self.three(world)
        world.state("A", "9", SOPHIE)

        world.registry.split([C3], to=key("A", "9"), reviewer="anne")

        assert world.together(("C", "3"), ("A", "9"))
        assert not world.together(("A", "1"), ("C", "3"))

    def test_a_set_is_not_emptied(self, world):
        self.three(world)

        with pytest.raises(LinkConflict):
            world.registry.split([A1, B2, C3], reviewer="anne")

    def test_who_is_not_of_one_set_is_not_split(self, world):
        self.three(world)
        world.state("A", "9", SOPHIE)

        with pytest.raises(LinkConflict):
            world.registry.split([C3, key("A", "9")], reviewer="anne")

    def test_against_what_a_person_confirmed_it_names_the_fact(self, world):
        self.three(world)
        (fact,) = same(world, ("B", "2"), ("C", "3"))

        with pytest.raises(LinkConflict) as refused:
            world.registry.split([C3], reviewer="paul")

        assert refused.value.facts == (fact.id,)

    def test_a_refused_split_leaves_nothing_behind(self, world):
        self.three(world)
        same(world, ("B", "2"), ("C", "3"))
        before = world.snapshot()

        with pytest.raises(LinkConflict):
            world.registry.split([C3], reviewer="paul")

        assert world.snapshot() == before
        assert world.facts_of(FactKind.DIFFERENT) == []


class TestWhatUsersOfOtherIndexesAskFor:
    def test_a_record_that_matches_two_sets_joins_neither_and_asks(self, world):
        world.state("A", "1", PARIS)
        world.state("B", "2", PARIS)
        world.state("A", "3", MARSEILLE)
        world.state("B", "4", MARSEILLE)

        world.state("C", "5", ANYWHERE)

        assert world.elsewhere("C", "5") == set()
        assert world.together(("A", "1"), ("B", "2"))
        assert world.together(("A", "3"), ("B", "4"))
        assert TaskKind.AMBIGUITY in kinds(world)

    def test_a_person_says_which_of_the_two_sets(self, world):
        world.state("A", "1", PARIS)
        world.state("A", "3", MARSEILLE)
        world.state("C", "5", ANYWHERE)

        same(world, ("C", "5"), ("A", "3"))

        assert world.elsewhere("C", "5") == {("A", "3")}
        assert TaskKind.AMBIGUITY not in kinds(world)

    def test_a_record_that_matches_one_member_and_contradicts_another_does_not_join(self, world):
        world.state("A", "1", PARIS)
        world.state("B", "2", ANYWHERE)
        same(world, ("A", "1"), ("B", "2"))

        world.state("C", "3", MARSEILLE)

        assert world.elsewhere("C", "3") == set()
        assert TaskKind.REFUSED_LINK in kinds(world)

    def test_a_record_that_matches_one_member_and_contradicts_none_joins(self, world):
        world.state("A", "1", person("DURAND"))
        world.state("B", "2", LOUISE)
        same(world, ("A", "1"), ("B", "2"))

        world.state("C", "3", LOUISE)

        assert world.together(("A", "1"), ("B", "2"), ("C", "3"))

    def test_a_record_that_matches_a_set_and_the_one_split_from_it_joins_neither(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        world.state("C", "3", LOUISE)
        world.registry.split([C3], reviewer="anne")

        world.state("C", "4", LOUISE, minute=9)

        assert not world.together(("A", "1"), ("C", "3"))
        assert not world.together(("C", "4"), ("C", "3"))
        assert TaskKind.AMBIGUITY in kinds(world)

    def test_the_identifier_of_an_emptied_set_still_resolves(self, world):
        world.state("A", "1", LOUISE)
        emptied = world.euid("A", "1")
        world.state("B", "2", LOUISE, minute=-60)

        seen = frozenset(key(site, "").domain for site in "ABC")
        found = world.registry.enterprise_record(emptied, visible=seen, actor="t")
        to_who_sees_one_site = world.registry.enterprise_record(
            emptied, visible=frozenset({A1.domain}), actor="t"
        )

        assert found.euid == world.euid("A", "1") != emptied
        assert to_who_sees_one_site.euid == emptied

    def test_answering_one_of_two_questions_settles_the_other(self, world):
        world.state("A", "1", PARIS)
        world.state("A", "3", MARSEILLE)
        world.state("C", "5", ANYWHERE)
        about = [t for t in world.tasks() if t.kind is TaskKind.AMBIGUITY]
        assert len(about) == 2

        world.decide(about[0].id, Verdict.SAME)

        assert TaskKind.AMBIGUITY not in kinds(world)


class TestContradictionsNameTheFewestFacts:
    def test_a_chain_of_three_same(self, world):
        for site, value in (("A", "1"), ("B", "2"), ("C", "3"), ("A", "4")):
            world.state(site, value, SOPHIE)
        chain = [
            *same(world, ("A", "1"), ("B", "2")),
            *same(world, ("B", "2"), ("C", "3")),
            *same(world, ("C", "3"), ("A", "4")),
        ]

        with pytest.raises(LinkConflict) as refused:
            different(world, ("A", "1"), ("A", "4"))

        assert refused.value.facts == tuple(fact.id for fact in chain)

    def test_the_shortest_of_two_chains(self, world):
        for site, value in (("A", "1"), ("B", "2"), ("C", "3")):
            world.state(site, value, LOUISE)
        same(world, ("A", "1"), ("B", "2"))
        same(world, ("B", "2"), ("C", "3"))
        (direct,) = same(world, ("A", "1"), ("C", "3"))

        with pytest.raises(LinkConflict) as refused:
            different(world, ("A", "1"), ("C", "3"))

        assert refused.value.facts == (direct.id,)

    def test_the_difference_and_what_ties_its_ends(self, world):
        for site, value in (("A", "1"), ("B", "2"), ("C", "3"), ("A", "4")):
            world.state(site, value, SOPHIE)
        facts = [
            *same(world, ("A", "1"), ("B", "2")),
            *same(world, ("C", "3"), ("A", "4")),
            *different(world, ("B", "2"), ("C", "3")),
        ]

        with pytest.raises(LinkConflict) as refused:
            same(world, ("A", "1"), ("A", "4"))

        assert set(refused.value.facts) == {fact.id for fact in facts}

    def test_withdrawing_any_of_them_makes_it_possible(self, world):
        for site, value in (("A", "1"), ("B", "2"), ("C", "3")):
            world.state(site, value, SOPHIE)
        same(world, ("A", "1"), ("B", "2"))
        same(world, ("B", "2"), ("C", "3"))
        with pytest.raises(LinkConflict) as refused:
            different(world, ("A", "1"), ("C", "3"))

        world.registry.withdraw(refused.value.facts[0], actor="user:anne", knowing=refused.value.facts)

        assert different(world, ("A", "1"), ("C", "3"))[0].stands

    def test_a_source_s_assertion_does_not_stand_in_a_person_s_way(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        world.link(("A", "1"), ("B", "2"))

        different(world, ("A", "1"), ("B", "2"))

        assert not world.together(("A", "1"), ("B", "2"))
        assert kinds(world) == [TaskKind.CONFLICT]


class TestTwoPeople:
    """The rule of two, in its three conditions."""

    def of(self, **rule):
        return World(MemoryStore(), rule=TwoPersonRule(**rule))

    def ask(self, world, ins=""):
        more = {"ins": ins, "ins_oid": INS_TEST_OID, "identity_codes": ("VALI",)} if ins else {}
        world.state("A", "1", person(**more))
        world.state("B", "2", MARRIED)
        (task,) = world.tasks()
        return task

    def test_a_qualified_identity_takes_two(self):
        world = self.of(qualified=True)
        task = self.ask(world, "284028708512309")

        proposed = world.decide(task.id, Verdict.SAME, "anne")

        assert proposed.state is TaskState.PROPOSED
        assert not world.together(("A", "1"), ("B", "2"))

    def test_the_second_person_makes_it_stand(self):
        world = self.of(qualified=True)
        task = self.ask(world, "284028708512309")
        world.decide(task.id, Verdict.SAME, "anne")

        decided = world.decide(task.id, Verdict.SAME, "paul")

        assert decided.state is TaskState.DECIDED
        assert world.together(("A", "1"), ("B", "2"))
        assert world.facts_of(FactKind.SAME)[0].confirmed_by == "user:paul"

    def test_the_same_person_twice_is_one_person(self):
        world = self.of(qualified=True)
        task = self.ask(world, "284028708512309")
        world.decide(task.id, Verdict.SAME, "anne")

        with pytest.raises(StaleReview):
            world.decide(task.id, Verdict.SAME, "anne")

    def test_a_different_second_answer_is_the_new_proposal(self):
        world = self.of(qualified=True)
        task = self.ask(world, "284028708512309")
        world.decide(task.id, Verdict.SAME, "anne")

        answered = world.decide(task.id, Verdict.DIFFERENT, "paul")
        agreed = world.decide(task.id, Verdict.DIFFERENT, "anne")

        assert (answered.state, answered.verdict) == (TaskState.PROPOSED, Verdict.DIFFERENT)
        assert agreed.state is TaskState.DECIDED
        assert not world.together(("A", "1"), ("B", "2"))
        assert world.facts_of(FactKind.SAME) == []

    def test_a_rejected_proposal_opens_the_question_again(self):
        world = self.of(qualified=True)
        task = self.ask(world, "284028708512309")
        proposed = world.decide(task.id, Verdict.SAME, "anne")

        world.registry.withdraw(proposed.fact_id, actor="user:paul")

        (again,) = world.tasks()
        assert (again.id, again.state, again.verdict) == (task.id, TaskState.OPEN, None)

    def test_a_rejected_proposal_whose_question_is_gone_closes_it(self):
        world = self.of(qualified=True)
        task = self.ask(world, "284028708512309")
        proposed = world.decide(task.id, Verdict.SAME, "anne")
        world.state("B", "2", person("BOUVET", identity_codes=("VALI", "ANOM")), minute=5)

        world.registry.withdraw(proposed.fact_id, actor="user:paul")

        assert world.tasks() == []

    def test_a_proposal_may_be_confirmed_by_its_fact(self):
        world = self.of(qualified=True)
        task = self.ask(world, "284028708512309")
        proposed = world.decide(task.id, Verdict.SAME, "anne")

        world.registry.confirm(proposed.fact_id, reviewer="paul")

        assert world.together(("A", "1"), ("B", "2"))
        assert world.tasks() == []

    def test_not_by_who_proposed_it(self):
        world = self.of(qualified=True)
        task = self.ask(world, "284028708512309")
        proposed = world.decide(task.id, Verdict.SAME, "anne")

        with pytest.raises(StaleReview):
            world.registry.confirm(proposed.fact_id, reviewer="anne")

    def test_a_proposal_that_contradicts_what_was_decided_meanwhile_is_not_confirmed(self):
        world = self.of(above_size=2)
        for site, value in (("A", "1"), ("B", "2")):
            world.state(site, value, LOUISE)
        world.state("C", "3", SOPHIE)
        (proposed,) = same(world, ("A", "1"), ("C", "3"), "anne")
        relaxed = World(world.store, clock=world.clock, _sent=100)
        different(relaxed, ("A", "1"), ("C", "3"), "zoe")

        with pytest.raises(LinkConflict):
            world.registry.confirm(proposed.id, reviewer="paul")

    def test_a_large_set_takes_two(self):
        world = self.of(above_size=2)
        for site, value in (("A", "1"), ("B", "2")):
            world.state(site, value, LOUISE)
        world.state("C", "3", SOPHIE)

        (fact,) = same(world, ("A", "1"), ("C", "3"))

        assert fact.second_needed
        assert not world.together(("A", "1"), ("C", "3"))

    def test_a_small_set_takes_one(self):
        world = self.of(above_size=2)
        world.state("A", "1", LOUISE)
        world.state("C", "3", SOPHIE)

        same(world, ("A", "1"), ("C", "3"))

        assert world.together(("A", "1"), ("C", "3"))

    def test_a_split_of_a_large_set_waits_as_a_whole(self):
        world = self.of(above_size=2)
        for site, value in (("A", "1"), ("B", "2"), ("C", "3")):
            world.state(site, value, LOUISE)

        facts = world.registry.split([C3], reviewer="anne")
        still = world.together(("A", "1"), ("C", "3"))
        world.registry.confirm(facts[-1].id, reviewer="paul")

        assert still
        assert not world.together(("A", "1"), ("C", "3"))
        assert world.together(("A", "1"), ("B", "2"))

    def test_breaking_a_confirmed_link_takes_two(self):
        world = self.of(verified_link=True)
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE)
        (fact,) = same(world, ("A", "1"), ("B", "2"))

        asked = world.registry.withdraw(fact.id, actor="user:paul")
        still = world.together(("A", "1"), ("B", "2"))
        world.registry.withdraw(fact.id, actor="user:anne")

        assert asked.withdrawal_asked_by == "user:paul"
        assert still
        assert not world.together(("A", "1"), ("B", "2"))

    def test_asking_twice_to_break_it_is_asking_once(self):
        world = self.of(verified_link=True)
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE)
        (fact,) = same(world, ("A", "1"), ("B", "2"))
        world.registry.withdraw(fact.id, actor="user:paul")

        with pytest.raises(StaleReview):
            world.registry.withdraw(fact.id, actor="user:paul")

    def test_what_two_made_takes_two_to_undo(self):
        world = self.of(qualified=True)
        task = self.ask(world, "284028708512309")
        world.decide(task.id, Verdict.SAME, "anne")
        decided = world.decide(task.id, Verdict.SAME, "paul")

        world.registry.withdraw(decided.fact_id, actor="user:anne")

        assert world.together(("A", "1"), ("B", "2"))

    def test_two_people_agree_to_undo_a_split_whichever_of_its_facts_they_name(self):
        world = self.of(above_size=2)
        for site, value in (("A", "1"), ("B", "2"), ("C", "3")):
            world.state(site, value, LOUISE)
        facts = world.registry.split([C3], reviewer="anne")
        world.registry.confirm(facts[0].id, reviewer="paul")

        world.registry.withdraw(facts[0].id, actor="user:anne")
        world.registry.withdraw(facts[1].id, actor="user:paul")

        assert world.together(("A", "1"), ("B", "2"), ("C", "3"))

    def test_one_person_repeating_what_two_decided_does_not_undo_it(self):
        world = self.of(qualified=True)
        task = self.ask(world, "284028708512309")
        world.decide(task.id, Verdict.DIFFERENT, "anne")
        world.decide(task.id, Verdict.DIFFERENT, "paul")
        world.state("B", "2", LOUISE, minute=5)  # they compare otherwise now

        different(world, ("A", "1"), ("B", "2"), "zoe")
        storm(world, "B", "2", LOUISE)

        assert not world.together(("A", "1"), ("B", "2"))
