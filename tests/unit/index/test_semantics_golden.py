"""The golden record, one story at a time: chosen among the members as they are, never patched."""

from dataclasses import replace
from itertools import permutations

import pytest

from mpi.identity.ins import INS_TEST_OID
from mpi.identity.model import NameUse, PartialDate, PersonName, Witness
from mpi.index.review import TaskKind, Verdict
from tests.fakes import MemoryStore
from tests.federation import World, key, person

LOUISE = person()
HUGO = person("MARTIN", "HUGO", "1990-05-02", "M")
NIR = "284028708512309"


@pytest.fixture
def world():
    return World(MemoryStore())


def golden(world, site="A", value="1"):
    return world.golden_records()[world.euid(site, value)]


def value(world, name):
    return golden(world)[name][0]


def validated(**more):
    return person(identity_codes=("VALI",), **more)


class TestWhichValueSurvives:
    def test_the_better_status_over_the_later_event(self, world):
        world.state("A", "1", validated(city="LIMOGES"))
        world.state("B", "2", person(city="NIORT"), minute=60)

        assert value(world, "city") == "LIMOGES"

    def test_a_qualified_identity_over_a_validated_one(self, world):
        world.state("A", "1", validated(city="NIORT"), minute=60)
        world.state("B", "2", validated(city="LIMOGES", ins=NIR, ins_oid=INS_TEST_OID))

        assert value(world, "city") == "LIMOGES"

    def test_the_later_event_at_equal_status_whatever_arrives_last(self):
        for order in permutations((("A", "NIORT", 5), ("B", "LIMOGES", 9))):
            world = World(MemoryStore())
            for site, city, minute in order:
                world.state(site, "1", person(city=city), minute=minute)

            assert value(world, "city") == "LIMOGES"

    def test_a_fixed_key_at_the_same_instant(self):
        chosen = set()
        for order in permutations("ABC"):
            world = World(MemoryStore())
            for site in order:
                world.state(site, "1", person(city=f"TOWN {site}"))
            chosen.add(value(world, "city"))

        assert len(chosen) == 1

    def test_field_by_field(self, world):
        world.state("A", "1", validated())
        world.state("B", "2", person(phones=("0612131415",)), minute=5)

        assert value(world, "phones") == ("0612131415",)
        assert golden(world)["phones"][1] == key("B", "2")
        assert golden(world)["birth_name"][1] == key("A", "1")

    def test_the_ins_of_a_qualified_identity_only(self, world):
        world.state("A", "1", person(ins=NIR, ins_oid=INS_TEST_OID))

        assert "ins" not in golden(world)

    def test_a_deleted_value_is_gone(self, world):
        world.state("A", "1", person(used="BOUVET"))
        world.state("A", "1", replace(LOUISE, deleted=frozenset({"used_name"})), minute=5)

        assert "used_name" not in golden(world)

    def test_an_older_message_that_arrives_late_is_history(self, world):
        world.state("A", "1", person(city="LIMOGES"), minute=9)
        world.state("A", "1", person(city="NIORT"), minute=3)

        assert value(world, "city") == "LIMOGES"

    def test_an_image_header_never_outweighs_the_feed(self, world):
        world.state("A", "1", LOUISE)
        seen = replace(person(born="1984-02-28"), names=(PersonName("BOUVET", "LOUISE"),))
        world.state("A", "1", seen, minute=60, source="pacs-a", witness=Witness.HEADER)

        assert str(value(world, "birth_date")) == "1984-02-29"


class TestNames:
    def test_birth_and_used_names_survive_apart(self, world):
        world.state("A", "1", LOUISE)
        used = replace(LOUISE, names=(PersonName("BOUVET", "LOUISE", use=NameUse.USED),))
        world.state("A", "1", used, minute=5)

        assert (value(world, "birth_name").family, value(world, "used_name").family) == (
            "CHANTEREAU",
            "BOUVET",
        )

    def test_each_from_the_record_that_knows_it_best(self, world):
        world.state("A", "1", validated())
        world.state("B", "2", person(used="BOUVET"), minute=5)

        assert golden(world)["birth_name"][1] == key("A", "1")
        assert golden(world)["used_name"][1] == key("B", "2")


class TestRecomputed:
    def test_who_leaves_takes_its_values_along(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", person(phones=("0612131415",)), minute=5)
        assert "phones" in golden(world)

        world.registry.split([key("B", "2")], reviewer="anne")

        assert "phones" not in golden(world)
        assert "phones" in golden(world, "B", "2")

    def test_who_comes_back_brings_them_back(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", person(phones=("0612131415",)), minute=5)
        before = golden(world)
        (fact,) = world.registry.relate(Verdict.DIFFERENT, key("A", "1"), key("B", "2"), reviewer="anne")

        world.registry.withdraw(fact.id, actor="user:anne")

        assert golden(world) == before

    def test_a_held_statement_lends_it_nothing(self, world):
        world.state("A", "1", LOUISE)
        before = golden(world)

        world.state("A", "1", replace(HUGO, phones=("0612131415",)), minute=5)

        assert golden(world) == before

    def test_a_protected_member_lends_it_nothing(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", person(phones=("0612131415",)))
        world.registry.relate(Verdict.SAME, key("A", "1"), key("B", "2"), reviewer="anne")

        world.state("B", "2", person(phones=("0612131415",), identity_codes=("VALI", "CACH")), minute=5)

        assert "phones" not in golden(world)

    def test_every_value_is_a_member_s(self, world):
        members = {
            "A": validated(city="LIMOGES"),
            "B": person(used="BOUVET"),
            "C": person(phones=("0612131415",)),
        }
        for site, who in members.items():
            world.state(site, "1", who)

        for name, (kept, source, _) in golden(world).items():
            stated = members["ABC"[int(source.domain[-1]) - 1]]
            assert kept in (*stated.names, getattr(stated, name, None))

    def test_the_order_of_arrival_decides_nothing(self):
        ends = []
        for order in permutations(
            (("A", validated(city="LIMOGES")), ("B", person(used="BOUVET")), ("C", LOUISE))
        ):
            world = World(MemoryStore())
            for site, who in order:
                world.state(site, "1", who, minute=ord(site))
            ends.append(world.golden_records())

        assert all(end == ends[0] for end in ends)


class TestMovements:
    def test_a_movement_says_where_somebody_lives_and_not_who_they_are(self, world):
        world.state("A", "1", replace(LOUISE, city="LIMOGES"))
        moved = replace(LOUISE, birth_date=PartialDate.parse("1984-02-28"), sex="", city="NIORT")
        world.state("A", "1", moved, minute=5, witness=Witness.MOVEMENT)

        assert world.record("A", "1").demographics == replace(LOUISE, city="NIORT")

    def test_it_fills_what_nobody_stated(self, world):
        world.state("A", "1", replace(LOUISE, birth_place_code=""))
        world.state("A", "1", LOUISE, minute=5, witness=Witness.MOVEMENT)

        assert world.record("A", "1").demographics == LOUISE

    def test_an_older_address_of_a_feed_stays_history(self, world):
        world.state("A", "1", LOUISE, minute=5, witness=Witness.MOVEMENT)
        world.state("A", "1", replace(LOUISE, city="LIMOGES"), minute=9, witness=Witness.MOVEMENT)
        world.state("A", "1", replace(LOUISE, city="NIORT"), minute=7)

        assert world.record("A", "1").demographics.city == "LIMOGES"

    def test_one_of_another_person_is_held(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "1", HUGO, minute=5, witness=Witness.MOVEMENT)

        assert [task.kind for task in world.tasks()] == [TaskKind.OVERLAY]
