"""
What must never happen, one scene at a time. Each was a way to a wrong answer before it was a test.

The scenes run the real registry on the in-memory store.
"""

from dataclasses import replace
from datetime import timedelta

import pytest

from mpi.errors import LinkConflict, UnknownIdentifier
from mpi.identity.ins import INS_NIA_OID, INS_NIR_OID, INS_TEST_OID
from mpi.identity.model import NameUse, PersonName
from mpi.index.events import MessageState
from mpi.index.resolution import Identity
from mpi.index.review import TaskKind, Verdict
from tests.fakes import MemoryStore
from tests.federation import START, World, authority, key, person

EVERY_SITE = frozenset(authority(site).universal_id for site in "ABC")
HOME = {"address": "12 RUE DES LILAS", "city": "LIMOGES", "postal_code": "87000"}
NIR = ("284022999912354", "284022999977779")


@pytest.fixture
def world():
    return World(MemoryStore())


def qualified(number, oid=INS_TEST_OID, **more):
    return person(ins=number, ins_oid=oid, identity_codes=("VALI",), **more)


def kinds(world):
    return sorted(kind for kind, _, _ in world.open_questions())


def resolve(world, *identities):
    return world.registry.resolve(identities, visible=EVERY_SITE, consumer="portal")


class TestAThirdRecordDoesNotSettleWhatAPersonWasAsked:
    """A record that says little bridges two that were told apart."""

    TWINS = (
        person("KELLER", "LEA", "2018-03-07", multiple_birth=True, birth_order=1, **HOME),
        person("KELLER", "LEA", "2018-03-07", multiple_birth=True, birth_order=2, **HOME),
        person("KELLER", "LEA", "2018-03-07", **HOME),
    )
    NEAR_TWINS = (
        person("KELLER", "EMMA", "2018-03-07", **HOME),
        person("KELLER", "EMMY", "2018-03-07", **HOME),
        person("KELLER", "EMMA EMMY", "2018-03-07", **HOME),
    )
    NAMESAKES = (
        person("DUBOIS", "PIERRE", "1947-04-11", "M", birth_place_code="", city="LILLE", postal_code="59000",
               phones=("0320000011",)),
        person("DUBOIS", "PIERRE", "1947-04-11", "M", birth_place_code="", city="NICE", postal_code="06000",
               phones=("0493000022",)),
        person("DUBOIS", "PIERRE", "1947-04-11", "M", birth_place_code=""),
    )  # fmt: skip
    BORN_ELSEWHERE = (
        person("LEBLANC", "JEAN", "1947-04-11", "M", birth_place_code="75056"),
        person("LEBLANC", "JEAN", "1947-04-11", "M", birth_place_code="13055"),
        person("LEBLANC", "JEAN", "1947-04-11", "M", birth_place_code=""),
    )

    @pytest.mark.parametrize("trio", [TWINS, NEAR_TWINS, NAMESAKES, BORN_ELSEWHERE])
    def test_it_joins_neither_side_and_the_question_stays(self, world, trio):
        world.state("A", "1", trio[0])
        world.state("B", "2", trio[1])
        world.state("C", "3", trio[2])

        assert not world.together(("A", "1"), ("B", "2"))
        assert kinds(world)

    @pytest.mark.parametrize("trio", [TWINS, NEAR_TWINS, NAMESAKES, BORN_ELSEWHERE])
    def test_nor_in_a_virtual_resolution(self, world, trio):
        answers = resolve(world, *(Identity(None, who) for who in trio))

        assert answers[0].suid != answers[1].suid
        assert all(answer.probability <= 0.5 for answer in answers if answer.status != "linked")

    def test_a_person_may_still_join_them(self, world):
        world.state("A", "1", self.TWINS[0])
        world.state("B", "2", self.TWINS[1])
        (task,) = world.tasks()

        world.decide(task.id, Verdict.SAME)

        assert world.together(("A", "1"), ("B", "2"))


class TestMerges:
    def test_an_identifier_is_not_merged_into_a_second_survivor(self, world):
        for value, who in (
            ("1", person("MARTIN", "HUGO", "1990-05-02", "M")),
            ("2", person("BERGER", "SOPHIE", "1955-06-03")),
        ):
            world.state("A", value, who)
        world.state("A", "3", person("MARTIN", "HUGO", "1990-05-02", "M"))
        world.merge("A", "1", "3")

        second = world.merge("A", "2", "3", minute=1)

        assert second.state is MessageState.QUARANTINED
        assert not world.together(("A", "1"), ("A", "2"))

    def test_a_merge_a_person_withdrew_is_not_made_again_by_a_resend(self, world):
        world.state("A", "1", person())
        world.state("A", "2", person("BERGER", "SOPHIE", "1955-06-03"))
        world.merge("A", "1", "2")
        (fact,) = world.registry.facts()
        world.registry.withdraw(fact.id, actor="user:anne")

        again = world.merge("A", "1", "2", minute=5)

        assert again.state is MessageState.QUARANTINED
        assert not world.together(("A", "1"), ("A", "2"))

    def test_another_person_stated_under_a_retired_identifier_is_held(self, world):
        world.state("A", "1", person())
        world.state("A", "2", person())
        world.merge("A", "1", "2")

        world.state("A", "2", person("FAURE", "CHLOE", "2011-08-09"), minute=9)

        assert kinds(world) == [TaskKind.OVERLAY]

    def test_merging_after_the_other_way_round_is_refused(self, world):
        world.merge("A", "1", "2")

        assert isinstance(world.merge("A", "2", "1").error, LinkConflict)


class TestNationalIdentity:
    def test_two_ins_on_what_looks_like_one_person_raise_a_collision(self, world):
        world.state("A", "1", qualified(NIR[0]))
        world.state("B", "2", qualified(NIR[1]))

        assert not world.together(("A", "1"), ("B", "2"))
        assert kinds(world) == [TaskKind.INS_COLLISION]

    def test_one_ins_on_two_people_raises_a_collision(self, world):
        world.state("A", "1", qualified(NIR[0], family="VASSEUR", given="ANNE", born="1988-05-12"))
        world.state("B", "2", qualified(NIR[0], family="KOWALSKI", given="PIOTR", born="1951-01-20", sex="M"))

        assert not world.together(("A", "1"), ("B", "2"))
        assert kinds(world) == [TaskKind.INS_COLLISION]

    def test_a_temporary_number_and_the_permanent_one_are_no_conflict(self, world):
        world.state("A", "1", qualified(NIR[0], INS_NIA_OID))
        world.state("B", "2", qualified(NIR[1], INS_NIR_OID))

        assert world.together(("A", "1"), ("B", "2"))

    @pytest.mark.parametrize("later", [("VALI",), ("PROV",), ("VALI", "DOUT")])
    def test_a_status_stated_again_without_the_ins_withdraws_it(self, world, later):
        world.state("A", "1", qualified(NIR[0]))
        world.state("A", "1", person(identity_codes=later), minute=1)
        world.state("A", "1", person(identity_codes=("VALI",)), minute=2)

        with world.store.read() as uow:
            record = uow.records.by_key(key("A", "1"))
        assert record.traits.status == "VALI"
        assert record.demographics.ins == record.traits.ins == ""

    def test_a_hidden_identity_shows_nothing_to_a_reviewer(self, world):
        world.state("A", "1", person(given="BEBE", born="2026-03-01"))
        world.state("B", "2", person(born="2026-03-01"))
        (task,) = world.tasks()
        world.state("A", "1", person(born="2026-03-01", identity_codes=("VALI", "CACH")), minute=1)

        view = world.registry.review(task.id, actor="user:anne")

        assert view.left.demographics.to_json() == {}
        assert view.score.evidence == ()

    def test_a_hidden_identity_is_not_found_by_its_own_number(self, world):
        world.state("A", "1", person(identity_codes=("VALI", "ANOM")))
        world.state("B", "2", person())

        (answer,) = resolve(world, Identity(key("A", "1"), person()))

        assert (answer.status, answer.euid, answer.members) == ("unknown", None, ())


class TestTime:
    def test_a_message_from_the_future_does_not_freeze_the_record(self, world):
        world.state("A", "1", person("GARDE", "NOE", "2000-01-15", "M"), minute=60 * 24 * 365 * 70)
        world.state("A", "1", person("GARDES", "LEO", "2001-01-15", "M"), minute=1)

        with world.store.read() as uow:
            record = uow.records.by_key(key("A", "1"))
        assert record.demographics.names[0].family == "GARDES"

    def test_an_answer_as_of_an_instant_is_the_answer_of_that_instant(self, world):
        world.state("A", "1", person("MORVAN", "PAUL", "1970-03-04", "M"))
        world.state("A", "2", person("MORVAN", "PAUL", "1970-03-04", "M"))
        world.state("B", "3", person("MORVAN", "PAUL", "1970-03-04", "M"))
        before = world.clock.at
        then = world.registry.cross_reference(key("B", "3"), targets=None, visible=EVERY_SITE, actor="t")
        golden = world.registry.enterprise_record(world.euid("B", "3"), visible=EVERY_SITE, actor="t").golden
        world.merge("A", "1", "2", minute=1)
        world.state("B", "3", person("BOUVET", "PAULINE", "1970-03-04"), minute=2)

        again = world.registry.cross_reference(
            key("B", "3"), targets=None, visible=EVERY_SITE, actor="t", as_of=before
        )
        euid = world.registry.euid_of(key("A", "1"), as_of=before)
        shown = world.registry.enterprise_record(euid, visible=EVERY_SITE, actor="t", as_of=before)

        assert len(then.identifiers) == 2
        assert again == then
        assert shown.golden == golden

    def test_nothing_is_known_before_the_first_message(self, world):
        world.state("A", "1", person())

        with pytest.raises(UnknownIdentifier):
            world.registry.cross_reference(
                key("A", "1"), targets=None, visible=EVERY_SITE, actor="t", as_of=START - timedelta(days=1)
            )


class TestStatements:
    def test_an_empty_part_of_a_name_says_nothing(self, world):
        whole = PersonName("DUMAS", "MARIE", "MARIE ANNE LOUISE", use=NameUse.BIRTH)
        partial = PersonName("DUMASSE", use=NameUse.BIRTH)
        for minute, name in enumerate((whole, partial)):
            world.state("A", "1", replace(person(), names=(name,)), minute=minute)

        with world.store.read() as uow:
            name = uow.records.by_key(key("A", "1")).demographics.names[0]
        assert (name.family, name.given, name.given_list) == ("DUMASSE", "MARIE", "MARIE ANNE LOUISE")

    def test_an_address_moves_as_a_whole(self, world):
        world.state("A", "1", person(**HOME))
        world.state("A", "1", person(city="PARIS"), minute=1)

        with world.store.read() as uow:
            now = uow.records.by_key(key("A", "1")).demographics
        assert (now.address, now.postal_code, now.city) == ("", "", "PARIS")

    def test_a_number_that_comes_with_somebody_else_s_traits_is_not_believed(self, world):
        world.state("A", "1", person("GARCIA", "MICHELLE", "1952-04-05"))

        (answer,) = resolve(world, Identity(key("A", "1"), person("DUPOND", "ZOE", "2011-01-15")))

        assert (answer.status, answer.members, answer.probability) == ("ambiguous", (), 0.0)

    def test_a_message_that_was_not_applied_may_be_sent_again(self, world):
        refused = world.merge("A", "1", "1", control_id="X", content="first")
        corrected = world.state("A", "1", person(), source="ris-a", control_id="X", content="second")
        repeated = world.state("A", "1", person(), source="ris-a", control_id="X", content="second")

        assert refused.state is MessageState.QUARANTINED
        assert corrected.state is MessageState.APPLIED
        assert repeated.state is MessageState.DUPLICATE

    def test_a_control_id_of_an_applied_message_is_not_used_again(self, world):
        world.state("A", "1", person(), control_id="X", content="first")

        assert (
            world.state("A", "2", person(), control_id="X", content="second").state
            is MessageState.QUARANTINED
        )
