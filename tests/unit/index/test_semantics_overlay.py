"""The overlay firewall, one story at a time: an identifier that suddenly names somebody else."""

from dataclasses import replace
from itertools import permutations

import pytest

from mpi.errors import LinkConflict, StaleReview, UnknownIdentifier
from mpi.identity.ins import INS_TEST_OID
from mpi.identity.model import NameUse, PersonName, Witness
from mpi.index.events import FactKind
from mpi.index.review import TaskKind, Verdict
from tests.fakes import MemoryStore
from tests.federation import World, authority, key, person

EVERY_SITE = frozenset(authority(site).universal_id for site in "ABC")
LOUISE = person()
HUGO = person("MARTIN", "HUGO", "1990-05-02", "M", birth_place_code="75056")
A1 = key("A", "1")


@pytest.fixture
def world():
    return World(MemoryStore())


@pytest.fixture
def overlaid(world):
    """LOUISE at three sites; then site A sends HUGO under her number."""
    world.state("A", "1", LOUISE)
    world.state("B", "2", LOUISE, minute=1)
    world.state("C", "3", LOUISE, minute=2)
    world.state("A", "1", HUGO, minute=10)
    return world


def kinds(world):
    return sorted(kind for kind, _, _ in world.open_questions())


def overlay(world):
    (task,) = (task for task in world.tasks() if task.kind is TaskKind.OVERLAY)
    return task


def header(family, given, born, sex="", use=NameUse.UNSPECIFIED):
    who = person(family, given, born, sex, birth_place_code="")
    return replace(who, names=(PersonName(family, given, use=use),))


def see(world, who, *, minute=0, value="1"):
    return world.state("A", value, who, minute=minute, source="pacs-a", witness=Witness.HEADER)


class TestHeld:
    def test_the_record_stays_who_it_was(self, overlaid):
        assert overlaid.record("A", "1").demographics == LOUISE

    def test_it_is_asked_about(self, overlaid):
        assert kinds(overlaid) == [TaskKind.OVERLAY]

    def test_both_versions_are_shown(self, overlaid):
        view = overlaid.registry.review(overlay(overlaid).id, actor="t")

        assert view.left.demographics == LOUISE
        assert view.right.demographics == HUGO
        assert [item.statement.statement.demographics for item in view.held] == [HUGO]

    def test_its_links_stay(self, overlaid):
        assert overlaid.elsewhere("A", "1") == {("B", "2"), ("C", "3")}

    def test_a_new_record_does_not_join_it_meanwhile(self, overlaid):
        world = World(MemoryStore())
        world.state("A", "1", LOUISE)
        world.state("A", "1", HUGO, minute=10)

        world.state("B", "9", LOUISE, minute=20)

        assert not world.together(("A", "1"), ("B", "9"))
        assert kinds(world) == [TaskKind.OVERLAY, TaskKind.REFUSED_LINK]
        assert "overlay_suspected" in {reason for _, _, reason in world.open_questions()}

    def test_it_joins_the_others_of_the_set(self, overlaid):
        overlaid.state("B", "9", LOUISE, minute=20)

        assert overlaid.together(("B", "2"), ("B", "9"))

    def test_who_is_stated_is_not_linked_either(self, overlaid):
        overlaid.state("B", "9", HUGO, minute=20)

        assert overlaid.elsewhere("B", "9") == set()

    def test_further_statements_of_the_other_person_ask_nothing_more(self, overlaid):
        for minute in range(11, 15):
            overlaid.state("A", "1", replace(HUGO, phones=(f"06121314{minute}",)), minute=minute)

        assert kinds(overlaid) == [TaskKind.OVERLAY]
        assert len(overlaid.registry.review(overlay(overlaid).id, actor="t").held) == 5

    def test_a_merge_of_the_identifier_does_not_lose_the_question(self, overlaid):
        overlaid.state("A", "5", LOUISE, minute=3)

        overlaid.merge("A", "5", "1", minute=12)

        assert TaskKind.OVERLAY in kinds(overlaid)

    def test_it_is_the_first_thing_to_look_at(self, overlaid):
        overlaid.state("C", "8", person("BOUVET"), minute=30)

        assert overlaid.registry.urgent_tasks()[0].kind is TaskKind.OVERLAY


class TestSamePersonAfterAll:
    def test_the_statement_takes_effect(self, overlaid):
        overlaid.decide(overlay(overlaid).id, Verdict.SAME)

        assert overlaid.record("A", "1").demographics.names[0].family == "MARTIN"
        assert TaskKind.OVERLAY not in kinds(overlaid)

    def test_the_same_said_again_is_no_question(self, overlaid):
        overlaid.decide(overlay(overlaid).id, Verdict.SAME)

        overlaid.state("A", "1", replace(HUGO, phones=("0612131415",)), minute=20)

        assert TaskKind.OVERLAY not in kinds(overlaid)


class TestAnotherPersonByMistake:
    def test_the_statement_never_takes_effect(self, overlaid):
        overlaid.decide(overlay(overlaid).id, Verdict.DIFFERENT)

        assert overlaid.record("A", "1").demographics == LOUISE
        assert kinds(overlaid) == []

    def test_every_held_statement_goes(self, overlaid):
        overlaid.state("A", "1", replace(HUGO, city="PARIS"), minute=11)

        overlaid.decide(overlay(overlaid).id, Verdict.DIFFERENT)

        assert kinds(overlaid) == []
        assert len(overlaid.facts_of(FactKind.SET_ASIDE)) == 2

    def test_a_new_record_joins_again(self, overlaid):
        overlaid.decide(overlay(overlaid).id, Verdict.DIFFERENT)

        overlaid.state("B", "9", LOUISE, minute=30)

        assert overlaid.together(("A", "1"), ("B", "9"))

    def test_the_next_statement_of_the_other_person_asks_again(self, overlaid):
        task = overlay(overlaid)
        overlaid.decide(task.id, Verdict.DIFFERENT)

        overlaid.state("A", "1", HUGO, minute=20)

        assert overlay(overlaid).id == task.id


class TestTheNumberWasGivenToSomebodyElse:
    @pytest.fixture
    def recycled(self, overlaid):
        self.before = overlaid.euid("A", "1")
        self.task = overlaid.decide(overlay(overlaid).id, Verdict.RECYCLED)
        return overlaid

    def test_the_identifier_names_the_new_person(self, recycled):
        recycled.state("B", "9", HUGO, minute=20)

        assert recycled.elsewhere("A", "1") == {("B", "9")}

    def test_the_new_person_has_an_enterprise_identifier_of_his_own(self, recycled):
        assert recycled.euid("A", "1") != self.before

    def test_the_old_person_keeps_hers_and_her_other_identifiers(self, recycled):
        assert recycled.euid("B", "2") == self.before
        assert recycled.elsewhere("B", "2") == {("C", "3")}

    def test_what_was_known_of_the_old_person_is_still_known(self, recycled):
        found = recycled.registry.enterprise_record(self.before, visible=EVERY_SITE, actor="t")

        assert found.golden["birth_name"].value.family == "CHANTEREAU"
        assert (A1, True) in {(member.record.key, member.retired) for member in found.members}

    def test_nothing_is_asked_any_more(self, recycled):
        assert kinds(recycled) == []

    def test_later_statements_are_the_new_person_s(self, recycled):
        recycled.state("A", "1", replace(HUGO, city="PARIS"), minute=20)

        assert recycled.record("A", "1", epoch=1).demographics.city == "PARIS"
        assert recycled.record("A", "1").demographics == LOUISE
        assert kinds(recycled) == []

    def test_a_late_statement_of_before_is_the_old_person_s_history(self, recycled):
        recycled.state("A", "1", replace(LOUISE, city="LIMOGES"), minute=5, source="his-a")

        assert recycled.record("A", "1").demographics.city == "LIMOGES"
        assert recycled.record("A", "1", epoch=1).demographics == HUGO
        assert kinds(recycled) == []

    def test_the_old_person_again_is_held_against_the_new_one(self, recycled):
        recycled.state("A", "1", LOUISE, minute=20)

        assert kinds(recycled) == [TaskKind.OVERLAY]
        assert recycled.record("A", "1", epoch=1).demographics == HUGO

    def test_undone_the_old_person_has_the_identifier_back(self, recycled):
        recycled.registry.withdraw(self.task.fact_id, actor="user:anne")

        assert recycled.euid("A", "1") == self.before
        assert recycled.elsewhere("B", "2") == {("A", "1"), ("C", "3")}
        assert kinds(recycled) == [TaskKind.OVERLAY]

    def test_an_epoch_that_was_taken_back_names_nobody(self, recycled):
        recycled.state("B", "9", person("FAURE", "CHLOE", "2011-08-09"), minute=20)
        (said,) = recycled.registry.relate(Verdict.SAME, A1._replace(epoch=1), key("B", "9"), reviewer="anne")
        assert recycled.elsewhere("B", "9") == {("A", "1")}

        recycled.registry.withdraw(self.task.fact_id, actor="user:anne", knowing=[said.id])

        assert recycled.elsewhere("B", "9") == set()

    def test_given_away_twice_there_are_three_people(self, recycled):
        recycled.state("A", "1", person("FAURE", "CHLOE", "2011-08-09"), minute=20)

        recycled.decide(overlay(recycled).id, Verdict.RECYCLED)

        assert recycled.record("A", "1", epoch=2).demographics.names[0].family == "FAURE"
        assert recycled.record("A", "1", epoch=1).demographics == HUGO
        assert recycled.record("A", "1").demographics == LOUISE

    def test_nobody_is_given_the_place_of_an_erased_person(self, recycled):
        chloe = person("FAURE", "CHLOE", "2011-08-09")
        recycled.state("A", "1", chloe, minute=5, source="his-a")
        recycled.registry.erase(A1, reviewer="dpo", reason="asked by the person")

        recycled.decide(overlay(recycled).id, Verdict.RECYCLED)

        assert recycled.record("A", "1", epoch=2).demographics == chloe
        assert recycled.record("A", "1", epoch=1).first_event_time is None

    def test_the_image_headers_of_the_old_person_stay_hers(self, world):
        world.state("A", "1", LOUISE)
        see(world, header("CHANTEREAU", "LOUISE", "1984-02-29", "F"), minute=1)
        world.state("A", "1", HUGO, minute=10)

        world.decide(overlay(world).id, Verdict.RECYCLED)

        assert kinds(world) == []

    def test_what_a_person_said_of_the_old_one_is_not_said_of_the_new_one(self, overlaid):
        overlaid.registry.relate(Verdict.SAME, A1, key("B", "2"), reviewer="anne")

        overlaid.decide(overlay(overlaid).id, Verdict.RECYCLED)

        assert not overlaid.together(("A", "1"), ("B", "2"))


class TestTheSiteCorrectsItself:
    def test_the_right_person_again_closes_the_question(self, overlaid):
        overlaid.state("A", "1", replace(LOUISE, city="LIMOGES"), minute=11)

        assert kinds(overlaid) == []
        assert overlaid.record("A", "1").demographics.city == "LIMOGES"

    def test_a_new_record_joins_again(self, overlaid):
        overlaid.state("A", "1", LOUISE, minute=11)

        overlaid.state("B", "9", LOUISE, minute=12)

        assert overlaid.together(("A", "1"), ("B", "9"))

    def test_an_answer_comes_too_late(self, overlaid):
        task = overlay(overlaid)
        overlaid.state("A", "1", LOUISE, minute=11)

        with pytest.raises(StaleReview):
            overlaid.decide(task.id, Verdict.RECYCLED)

    def test_a_late_message_of_before_corrects_nothing(self, overlaid):
        overlaid.state("A", "1", replace(LOUISE, city="LIMOGES"), minute=5)

        assert kinds(overlaid) == [TaskKind.OVERLAY]

    def test_another_source_corrects_nothing(self, overlaid):
        overlaid.state("A", "1", LOUISE, minute=11, source="his-a")

        assert kinds(overlaid) == [TaskKind.OVERLAY]

    def test_its_return_to_the_other_person_asks_again(self, overlaid):
        task = overlay(overlaid)
        overlaid.state("A", "1", LOUISE, minute=11)

        overlaid.state("A", "1", HUGO, minute=12)

        assert overlay(overlaid).id == task.id


BABY = replace(person("BERNARD", "BEBE", "2026-03-01", "F"), mother_birth_name="BERNARD")


class TestWhatIsNoOverlay:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            pytest.param(LOUISE, person(used="BOUVET"), id="a marriage"),
            pytest.param(LOUISE, person("BOUVET"), id="a marriage written over the birth name"),
            pytest.param(person("CHANTERAU"), LOUISE, id="a family name corrected"),
            pytest.param(person(given="LOUIS"), LOUISE, id="a given name corrected"),
            pytest.param(person(born="1984-02-28"), LOUISE, id="a birth date corrected"),
            pytest.param(person(born="1984-02-05"), person(born="1984-05-02"), id="a date turned round"),
            pytest.param(person(sex="M"), LOUISE, id="a sex corrected"),
            pytest.param(
                BABY,
                replace(BABY, names=person("PETIT", "EMMA").names),
                id="a newborn named, by the father's name",
            ),
            pytest.param(
                person(born="1984", birth_place_code=""),
                person(ins="284028708512309", ins_oid=INS_TEST_OID, identity_codes=("VALI",)),
                id="an identity qualified late",
            ),
            pytest.param(person("INCONNU", "X", ""), LOUISE, id="an unknown patient identified"),
        ],
    )
    def test_it_takes_effect_at_once(self, world, before, after):
        world.state("A", "1", before)

        world.state("A", "1", after, minute=5)

        assert kinds(world) == []
        assert world.record("A", "1").demographics.names[0] == after.names[0]

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param(HUGO, id="everything differs"),
            pytest.param(person("MARTIN", "ANNE", "1990-05-02"), id="all but the sex differs"),
            pytest.param(person(given="CLARA", birth_order=2), id="a twin"),
            pytest.param(person(born="2009-06-11"), id="a daughter of the same name"),
            pytest.param(
                replace(HUGO, names=(PersonName("MARTIN", "HUGO", use=NameUse.USED),)),
                id="by his used name only",
            ),
            pytest.param(replace(HUGO, names=(PersonName("MARTIN", "HUGO"),)), id="by a name without a type"),
        ],
    )
    def test_another_person_is_held(self, world, other):
        world.state("A", "1", LOUISE)

        world.state("A", "1", other, minute=5)

        assert kinds(world) == [TaskKind.OVERLAY]


class TestImageHeaders:
    @pytest.mark.parametrize(
        "seen",
        [
            pytest.param(header("CHANTEREAU", "LOUISE", "1984-02-29", "F"), id="as she is"),
            pytest.param(header("BOUVET", "LOUISE", "1984-02-29", "F"), id="in her used name"),
            pytest.param(header("BOUVET", "LOUISE", "1984-02-29"), id="in her used name, without a sex"),
            pytest.param(header("BOUVET", "LOUISE", ""), id="in her used name, without a birth date"),
            pytest.param(header("CHANTEREAU", "", "1984-02-29", "F"), id="without a given name"),
        ],
    )
    def test_an_ordinary_header_is_not_held(self, world, seen):
        world.state("A", "1", person(used="BOUVET"))

        see(world, seen, minute=5)

        assert kinds(world) == []
        assert world.record("A", "1").demographics.names[:2] == person(used="BOUVET").names

    @pytest.mark.parametrize("use", [NameUse.UNSPECIFIED, NameUse.USED, NameUse.BIRTH])
    def test_the_header_of_another_person_is_held(self, world, use):
        world.state("A", "1", LOUISE)

        see(world, header("MARTIN", "HUGO", "1990-05-02", "M", use), minute=5)

        assert kinds(world) == [TaskKind.OVERLAY]

    @pytest.mark.parametrize("use", [NameUse.UNSPECIFIED, NameUse.USED, NameUse.BIRTH])
    def test_so_is_that_of_another_woman_where_a_used_name_is_known(self, world, use):
        world.state("A", "1", person(used="BOUVET"))

        see(world, header("BERGER", "SOPHIE", "1955-06-03", "F", use), minute=5)

        assert kinds(world) == [TaskKind.OVERLAY]

    @pytest.mark.parametrize(
        "seen", [header("MARTIN", "HUGO", "1990-05-02", "M"), header("BOUVET", "LOUISE", "1984-02-29", "F")]
    )
    def test_before_or_after_the_feed_it_ends_alike(self, seen):
        ends = []
        for order in permutations(range(2)):
            world = World(MemoryStore())
            steps = (
                lambda w=world: w.state("A", "1", LOUISE, minute=3),
                lambda w=world: see(w, seen, minute=1),
            )
            for step in order:
                steps[step]()
            ends.append(
                (world.snapshot(), world.record("A", "1").demographics, world.record("A", "1").held_since)
            )

        assert ends[0] == ends[1]

    def test_a_held_header_corrected_by_its_archive_is_closed(self, world):
        world.state("A", "1", LOUISE)
        see(world, header("MARTIN", "HUGO", "1990-05-02", "M"), minute=5)

        see(world, header("CHANTEREAU", "LOUISE", "1984-02-29", "F"), minute=6)

        assert kinds(world) == []


class TestTwoSourcesOfOneDomain:
    def test_the_second_is_judged_by_what_the_first_said(self, world):
        world.state("A", "1", LOUISE, source="ris-a")

        world.state("A", "1", HUGO, minute=5, source="his-a")

        assert kinds(world) == [TaskKind.OVERLAY]

    def test_the_order_in_which_their_messages_arrive_does_not_matter(self):
        ends = []
        for order in permutations(range(3)):
            world = World(MemoryStore())
            steps = (
                lambda w=world: w.state("A", "1", LOUISE, minute=1, source="ris-a"),
                lambda w=world: w.state("A", "1", HUGO, minute=2, source="his-a"),
                lambda w=world: w.state("A", "1", replace(LOUISE, city="LIMOGES"), minute=3, source="ehr-a"),
            )
            for step in order:
                steps[step]()
            ends.append(world.snapshot())

        assert all(end == ends[0] for end in ends)

    def test_the_same_instant_is_settled_by_name(self):
        ends = []
        for order in (("his-a", "ris-a"), ("ris-a", "his-a")):
            world = World(MemoryStore())
            for source in order:
                world.state("A", "1", LOUISE if source == "ris-a" else HUGO, source=source)
            ends.append(world.snapshot())

        assert ends[0] == ends[1]


class TestErrors:
    def test_a_question_of_an_overlay_has_its_own_answers(self, overlaid):
        with pytest.raises(LinkConflict):
            overlaid.decide(overlay(overlaid).id, Verdict.HOMONYMS)

    def test_an_identifier_whose_statements_are_all_set_aside_is_unknown(self, world):
        world.state("A", "1", LOUISE)
        with world.store.read() as uow:
            (stated,) = uow.records.statements(1)
        world.registry.set_aside(stated.id, reviewer="anne")

        with pytest.raises(UnknownIdentifier):
            world.elsewhere("A", "1")


def test_a_held_statement_that_hides_an_identity_hides_it_at_once(world):
    world.state("A", "1", LOUISE)
    world.state("B", "2", LOUISE)

    world.state("A", "1", replace(HUGO, identity_codes=("VALI", "CACH")), minute=10)

    with pytest.raises(UnknownIdentifier):
        world.elsewhere("A", "1")
    assert world.elsewhere("B", "2") == set()
