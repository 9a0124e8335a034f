"""What sources assert of identifiers, one story at a time: merge, rename, link, unlink, move, INS withdrawal."""

from dataclasses import replace
from itertools import permutations

import pytest

from mpi.errors import LinkConflict, UnknownIdentifier
from mpi.identity.ins import INS_TEST_OID
from mpi.index.events import FactKind, IdentityStated, MessageState
from mpi.index.review import TaskKind, Verdict
from tests.fakes import MemoryStore
from tests.federation import World, key, person, statement

LOUISE = person()
SOPHIE = person("BERGER", "SOPHIE", "1955-06-03")
HUGO = person("MARTIN", "HUGO", "1990-05-02", "M")
NIR = ("284028708512309", "284022999977779")


@pytest.fixture
def world():
    return World(MemoryStore())


def kinds(world):
    return sorted(kind for kind, _, _ in world.open_questions())


def reasons(world):
    return sorted(reason for _, _, reason in world.open_questions())


def qualified(number=NIR[0], **more):
    return person(ins=number, ins_oid=INS_TEST_OID, identity_codes=("VALI",), **more)


class TestMerge:
    """A40: two identifiers of one site become one."""

    def test_the_retired_identifier_answers_for_the_survivor(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", LOUISE)
        world.state("B", "3", LOUISE)

        world.merge("A", "1", "2")

        assert world.elsewhere("A", "2") == {("A", "1"), ("B", "3")}

    def test_the_retired_identifier_is_never_given_in_an_answer(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", LOUISE)
        world.state("B", "3", LOUISE)

        world.merge("A", "1", "2")

        assert world.elsewhere("B", "3") == {("A", "1")}

    def test_an_identifier_merged_into_itself_is_quarantined_and_changes_nothing(self, world):
        world.state("A", "1", LOUISE)
        before = world.snapshot()

        receipt = world.merge("A", "1", "1")

        assert receipt.state is MessageState.QUARANTINED
        assert isinstance(receipt.error, LinkConflict)
        assert world.snapshot() == before

    def test_repeating_it_changes_nothing(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", SOPHIE)
        world.merge("A", "1", "2")
        before = world.snapshot()

        again = world.merge("A", "1", "2", minute=9)

        assert again.state is MessageState.APPLIED
        assert len(world.facts_of(FactKind.MERGED)) == 1
        assert world.snapshot() == before

    def test_a_chain_is_followed_to_its_end(self, world):
        for value in "123":
            world.state("A", value, LOUISE)
        world.state("B", "9", LOUISE)

        world.merge("A", "2", "1")
        world.merge("A", "3", "2", minute=1)

        assert world.together(("A", "1"), ("A", "2"), ("A", "3"))
        assert world.elsewhere("B", "9") == {("A", "3")}
        assert world.elsewhere("A", "1") == {("A", "3"), ("B", "9")}

    def test_a_chain_ends_alike_in_either_order(self):
        ends = []
        for merges in permutations((("2", "1"), ("3", "2"))):
            world = World(MemoryStore())
            for value in "123":
                world.state("A", value, LOUISE)
            for survivor, subsumed in merges:
                world.merge("A", survivor, subsumed)
            ends.append(world.snapshot())

        assert ends[0] == ends[1]

    def test_the_inverse_of_a_merge_is_quarantined(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", LOUISE)
        world.merge("A", "1", "2")

        assert world.merge("A", "2", "1", minute=1).state is MessageState.QUARANTINED

    def test_a_circle_is_quarantined(self, world):
        for value in "123":
            world.state("A", value, LOUISE)
        world.merge("A", "2", "1")
        world.merge("A", "3", "2")

        closing = world.merge("A", "1", "3")

        assert closing.state is MessageState.QUARANTINED
        unseen = world.registry.cross_reference(key("A", "1"), targets=None, visible=frozenset(), actor="t")
        assert unseen.identifiers == ()

    def test_an_unknown_identifier_to_retire_is_no_error(self, world):
        world.state("A", "1", LOUISE)

        assert world.merge("A", "1", "2").state is MessageState.APPLIED
        assert world.elsewhere("A", "1") == set()

    def test_an_unknown_identifier_to_retire_is_not_answered(self, world):
        world.state("A", "1", LOUISE)
        world.merge("A", "1", "2")

        with pytest.raises(UnknownIdentifier):
            world.elsewhere("A", "2")

    def test_an_unknown_survivor_takes_over_what_is_known(self, world):
        world.state("A", "2", LOUISE)
        world.state("B", "3", LOUISE)

        world.merge("A", "1", "2")

        assert world.elsewhere("A", "1") == {("B", "3")}
        assert world.elsewhere("B", "3") == {("A", "1")}

    def test_before_or_after_the_creations_it_ends_alike(self):
        ends = []
        for order in permutations(range(3)):
            world = World(MemoryStore())
            steps = (
                lambda w=world: w.merge("A", "1", "2", minute=5),
                lambda w=world: w.state("A", "1", LOUISE),
                lambda w=world: w.state("A", "2", SOPHIE),
            )
            for step in order:
                steps[step]()
            ends.append(world.snapshot())

        assert all(end == ends[0] for end in ends)

    def test_what_is_stated_later_under_the_retired_identifier_stays_with_the_survivor(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", LOUISE)
        world.merge("A", "1", "2")

        world.state("A", "2", replace(LOUISE, phones=("0612131415",)), minute=9)

        assert world.together(("A", "1"), ("A", "2"))
        assert kinds(world) == []

    def test_two_records_that_contradict_each_other_are_merged_with_a_question(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", HUGO)

        world.merge("A", "1", "2")

        assert world.together(("A", "1"), ("A", "2"))
        assert reasons(world) == ["records_contradict:merged"]

    def test_two_records_with_two_qualified_ins_are_not_merged(self, world):
        world.state("A", "1", qualified(NIR[0]))
        world.state("A", "2", qualified(NIR[1]))

        world.merge("A", "1", "2")

        assert not world.together(("A", "1"), ("A", "2"))
        assert "ins_conflict:merged" in reasons(world)

    def test_it_settles_the_duplicate_it_was_asked_for(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", LOUISE)
        assert kinds(world) == [TaskKind.DUPLICATE_IN_DOMAIN]

        world.merge("A", "1", "2")

        assert kinds(world) == []


class TestRename:
    """A47: one record gets another identifier."""

    def test_the_new_identifier_answers_and_is_answered(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "3", LOUISE)

        world.rename("A", "9", "1")

        assert world.elsewhere("A", "9") == {("B", "3")}
        assert world.elsewhere("B", "3") == {("A", "9")}

    def test_the_old_identifier_resolves_to_the_new_one(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "3", LOUISE)
        euid = world.euid("A", "1")

        world.rename("A", "9", "1")

        assert world.elsewhere("A", "1") == {("A", "9"), ("B", "3")}
        assert world.euid("A", "9") == world.euid("A", "1") == euid

    def test_updates_continue_on_the_new_identifier(self, world):
        world.state("A", "1", LOUISE)
        world.rename("A", "9", "1")

        world.state("A", "9", person(used="BOUVET"), minute=5)

        assert world.together(("A", "1"), ("A", "9"))
        golden = world.golden_records()[world.euid("A", "9")]
        assert golden["used_name"][0].family == "BOUVET"
        assert kinds(world) == []

    def test_an_update_on_the_new_identifier_first_ends_alike_unless_it_belongs_to_another(self, world):
        world.rename("A", "9", "1")
        world.state("A", "1", LOUISE)
        world.state("A", "9", LOUISE, minute=5)

        assert world.together(("A", "1"), ("A", "9"))
        assert kinds(world) == []

    def test_the_identifier_of_another_patient_is_refused(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", SOPHIE)

        receipt = world.rename("A", "2", "1")

        assert isinstance(receipt.error, LinkConflict)
        assert not world.together(("A", "1"), ("A", "2"))

    def test_another_source_may_be_the_first_to_use_the_new_identifier(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "9", LOUISE, source="pacs-a")

        assert world.rename("A", "9", "1").state is MessageState.APPLIED
        assert world.together(("A", "1"), ("A", "9"))
        assert kinds(world) == []

    def test_what_another_source_says_of_somebody_else_keeps_the_two_apart(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "9", HUGO, source="pacs-a")

        assert world.rename("A", "9", "1").state is MessageState.APPLIED
        assert not world.together(("A", "1"), ("A", "9"))
        assert kinds(world) == [TaskKind.CONFLICT]

    def test_an_identifier_that_was_merged_away_is_not_free(self, world):
        world.state("A", "1", SOPHIE)
        world.merge("A", "1", "2")
        world.state("A", "3", LOUISE)

        receipt = world.rename("A", "2", "3")

        assert receipt.state is MessageState.QUARANTINED
        assert not world.together(("A", "1"), ("A", "3"))

    def test_repeating_it_changes_nothing(self, world):
        world.state("A", "1", LOUISE)
        world.rename("A", "9", "1")
        world.state("A", "9", LOUISE, minute=1)
        before = world.snapshot()

        assert world.rename("A", "9", "1", minute=2).state is MessageState.APPLIED
        assert world.snapshot() == before

    def test_an_unknown_old_identifier_is_no_error(self, world):
        assert world.rename("A", "9", "1").state is MessageState.APPLIED

        with pytest.raises(UnknownIdentifier):
            world.elsewhere("A", "9")

    def test_it_may_be_renamed_again(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "3", LOUISE)
        world.rename("A", "9", "1")

        world.rename("A", "10", "9", minute=1)

        assert world.elsewhere("B", "3") == {("A", "10")}

    def test_undoing_it_gives_the_old_identifier_back(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "3", LOUISE)
        world.rename("A", "9", "1")
        (fact,) = world.facts_of(FactKind.RENAMED)

        world.registry.withdraw(fact.id, actor="user:anne")

        assert world.elsewhere("B", "3") == {("A", "1")}
        with pytest.raises(UnknownIdentifier):
            world.elsewhere("A", "9")

    def test_somebody_else_stated_under_the_new_identifier_raises_a_question(self, world):
        world.state("A", "1", LOUISE)
        world.rename("A", "9", "1")

        world.state("A", "9", HUGO, minute=5)

        assert kinds(world)


class TestInsWithdrawal:
    """A statement that deletes the INS."""

    def both(self, world):
        self.first = qualified()
        self.second = qualified(family="BOUVET")
        world.state("A", "1", self.first)
        world.state("B", "2", self.second)

    def test_a_link_that_rests_on_the_ins_alone_returns_to_review(self, world):
        self.both(world)
        assert world.together(("A", "1"), ("B", "2"))

        gone = replace(self.first, ins="", ins_oid="", deleted=frozenset({"ins"}))
        world.state("A", "1", gone, minute=5)

        assert not world.together(("A", "1"), ("B", "2"))
        assert kinds(world) == [TaskKind.POTENTIAL_LINK]

    def test_a_link_that_other_traits_hold_stays(self, world):
        world.state("A", "1", qualified())
        world.state("B", "2", qualified())

        world.state("A", "1", person(identity_codes=("PROV",), deleted=frozenset({"ins"})), minute=5)

        assert world.together(("A", "1"), ("B", "2"))
        assert kinds(world) == []

    def test_the_ins_stays_known_as_of_before(self, world):
        world.state("A", "1", qualified())
        before = world.clock.at
        world.state("A", "1", person(identity_codes=("PROV",), deleted=frozenset({"ins"})), minute=5)
        visible = frozenset({key("A", "1").domain})
        euid = world.euid("A", "1")

        then = world.registry.enterprise_record(euid, visible=visible, actor="t", as_of=before)
        now = world.registry.enterprise_record(euid, visible=visible, actor="t")

        assert then.golden["ins"].value == NIR[0]
        assert "ins" not in now.golden


class TestLinkAndUnlink:
    """A24 and A37: one person in two domains, or not."""

    def test_a_link_joins_what_no_weight_would(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", person("BOUVET", "LOUISE", "1984-02-29"))

        world.link(("A", "1"), ("B", "2"))

        assert world.elsewhere("A", "1") == {("B", "2")}

    def test_the_identifiers_of_both_stay_in_use(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        world.state("C", "3", LOUISE)

        world.link(("A", "1"), ("B", "2"))

        assert world.elsewhere("C", "3") == {("A", "1"), ("B", "2")}

    @pytest.mark.parametrize("linked", [True, False])
    def test_before_or_after_the_records_exist_it_ends_alike(self, linked):
        ends = []
        for order in permutations(range(3)):
            world = World(MemoryStore())
            steps = (
                lambda w=world: w.link(("A", "1"), ("B", "2"), linked=linked, minute=5),
                lambda w=world: w.state("A", "1", LOUISE),
                lambda w=world: w.state("B", "2", LOUISE),
            )
            for step in order:
                steps[step]()
            ends.append(world.snapshot())

        assert all(end == ends[0] for end in ends)
        assert len(ends[0]["sets"]) == (1 if linked else 2)

    def test_weights_do_not_rejoin_what_a_source_unlinked(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)

        world.link(("A", "1"), ("B", "2"), linked=False, minute=1)
        world.state("B", "2", replace(LOUISE, phones=("0612131415",)), minute=2)

        assert not world.together(("A", "1"), ("B", "2"))
        assert reasons(world) == ["source_unlinked"]

    def test_nor_does_a_third_record(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        world.link(("A", "1"), ("B", "2"), linked=False, minute=1)

        world.state("C", "3", LOUISE, minute=2)

        assert not world.together(("A", "1"), ("B", "2"))

    def test_a_later_link_of_the_same_source_joins_again(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        world.link(("A", "1"), ("B", "2"), linked=False, minute=1)

        world.link(("A", "1"), ("B", "2"), minute=2)

        assert world.together(("A", "1"), ("B", "2"))
        assert kinds(world) == []

    def test_a_late_older_link_does_not_relink(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        world.link(("A", "1"), ("B", "2"), linked=False, minute=5)

        world.link(("A", "1"), ("B", "2"), minute=3)

        assert not world.together(("A", "1"), ("B", "2"))

    def test_a_late_older_unlink_does_not_unlink(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE)
        world.link(("A", "1"), ("B", "2"), minute=1)
        world.link(("A", "1"), ("B", "2"), minute=5)

        world.link(("A", "1"), ("B", "2"), linked=False, minute=3)

        assert world.together(("A", "1"), ("B", "2"))

    def test_the_order_in_which_its_messages_arrive_does_not_matter(self):
        ends = set()
        for order in permutations(((True, 1), (False, 3), (True, 5))):
            world = World(MemoryStore())
            world.state("A", "1", LOUISE)
            world.state("B", "2", SOPHIE)
            for linked, minute in order:
                world.link(("A", "1"), ("B", "2"), linked=linked, minute=minute)
            ends.add(world.together(("A", "1"), ("B", "2")))

        assert ends == {True}

    def test_repeating_a_link_adds_nothing(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE)
        for minute in range(3):
            world.link(("A", "1"), ("B", "2"), minute=minute)
        before = world.snapshot()

        world.link(("B", "2"), ("A", "1"), source="ris-a", minute=9)

        assert world.snapshot() == before

    def test_a_person_who_says_same_outranks_an_unlink(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        world.link(("A", "1"), ("B", "2"), linked=False, minute=1)
        (task,) = world.tasks()

        world.decide(task.id, Verdict.SAME)
        world.link(("A", "1"), ("B", "2"), linked=False, minute=7)

        assert world.together(("A", "1"), ("B", "2"))

    def test_a_person_who_says_different_outranks_a_link(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE)
        world.registry.relate(Verdict.DIFFERENT, key("A", "1"), key("B", "2"), reviewer="anne")

        world.link(("A", "1"), ("B", "2"))

        assert not world.together(("A", "1"), ("B", "2"))
        assert reasons(world) == ["cannot_link:source_linked"]

    def test_another_source_linking_what_one_unlinked_is_a_conflict(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        world.link(("A", "1"), ("B", "2"), linked=False, minute=1)

        world.link(("B", "2"), ("A", "1"), minute=2)

        assert not world.together(("A", "1"), ("B", "2"))
        assert TaskKind.CONFLICT in kinds(world)

    def test_a_link_a_person_withdrew_is_not_made_again_by_its_source(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE)
        world.link(("A", "1"), ("B", "2"))
        (fact,) = world.facts_of(FactKind.SOURCE_LINKED)
        world.registry.withdraw(fact.id, actor="user:anne")

        world.link(("A", "1"), ("B", "2"), minute=9)

        assert not world.together(("A", "1"), ("B", "2"))

    def test_a_site_that_merges_what_it_had_unlinked_has_changed_its_mind(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", LOUISE)
        world.link(("A", "1"), ("A", "2"), linked=False, minute=1)

        world.merge("A", "1", "2", minute=2)

        assert world.together(("A", "1"), ("A", "2"))

    def test_an_identifier_is_not_linked_to_itself(self, world):
        world.state("A", "1", LOUISE)

        assert world.link(("A", "1"), ("A", "1")).state is MessageState.QUARANTINED


class TestSeveralIdentifiersInOneStatement:
    """PID-3 with identifiers of several domains is a link the sender asserts."""

    def both(self, world, *, minute=0, who=LOUISE):
        records = (
            statement("A", "1", who, minute=minute, source="his"),
            statement("B", "2", who, minute=minute, source="his"),
        )
        return world.send(IdentityStated(records), source="his")

    def test_they_are_one_person(self, world):
        self.both(world, who=person(birth_place_code="", born=""))

        assert world.elsewhere("A", "1") == {("B", "2")}

    def test_repeating_it_asserts_it_once(self, world):
        for minute in range(3):
            self.both(world, minute=minute)

        assert len(world.facts_of(FactKind.SOURCE_LINKED)) == 1

    def test_an_unlink_between_them_holds_against_late_statements(self, world):
        self.both(world, minute=1)
        world.link(("A", "1"), ("B", "2"), linked=False, minute=9, source="his")

        self.both(world, minute=3)

        assert not world.together(("A", "1"), ("B", "2"))

    def test_an_identifier_of_a_domain_it_does_not_feed_is_linked_and_not_stated(self, world):
        world.state("B", "2", SOPHIE)

        one = statement("A", "1", LOUISE)
        world.send(IdentityStated((one,), elsewhere=(key("B", "2"),)), source="ris-a")

        assert world.together(("A", "1"), ("B", "2"))
        assert world.record("B", "2").demographics == SOPHIE

    def test_an_identifier_elsewhere_may_be_stated_afterwards(self, world):
        one = statement("A", "1", LOUISE)
        world.send(IdentityStated((one,), elsewhere=(key("B", "2"),)), source="ris-a")

        world.state("B", "2", SOPHIE)

        assert world.together(("A", "1"), ("B", "2"))
        assert kinds(world) == [TaskKind.CONFLICT]


class TestMovedVisits:
    """A43 and A44: a wrong patient was chosen."""

    def two(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", HUGO)

    def test_a_move_asks_for_a_look_and_joins_nothing(self, world):
        self.two(world)

        world.move("A", "1", "2")

        assert not world.together(("A", "1"), ("A", "2"))
        assert kinds(world) == [TaskKind.QUALITY_ANOMALY]

    def test_statements_afterwards_ask_nothing_more(self, world):
        self.two(world)
        world.move("A", "1", "2")

        world.state("A", "1", replace(LOUISE, city="LIMOGES"), minute=2)
        world.state("A", "2", replace(HUGO, city="LIMOGES"), minute=3)

        assert len(world.tasks()) == 1

    def test_dismissed_it_stays_closed(self, world):
        self.two(world)
        world.move("A", "1", "2")
        (task,) = world.tasks()

        world.decide(task.id, Verdict.DISMISSED)
        world.state("A", "1", replace(LOUISE, city="LIMOGES"), minute=2)

        assert world.tasks() == []

    def test_another_move_reopens_it(self, world):
        self.two(world)
        world.move("A", "1", "2")
        (task,) = world.tasks()
        world.decide(task.id, Verdict.DISMISSED)

        world.move("A", "2", "1", minute=5)

        assert [again.id for again in world.tasks()] == [task.id]

    def test_before_or_after_the_records_exist_it_ends_alike(self):
        ends = []
        for order in permutations(range(3)):
            world = World(MemoryStore())
            steps = (
                lambda w=world: w.move("A", "1", "2", minute=5),
                lambda w=world: w.state("A", "1", LOUISE),
                lambda w=world: w.state("A", "2", HUGO),
            )
            for step in order:
                steps[step]()
            ends.append(world.snapshot())

        assert all(end == ends[0] for end in ends)
