"""Undo, one story at a time: what is withdrawn has never been."""

from dataclasses import replace

import pytest

from mpi.errors import LinkConflict, StaleReview, UnknownIdentifier, UnknownReview
from mpi.index.events import FactKind, IdentityStated
from mpi.index.review import TaskKind, Verdict
from tests.fakes import MemoryStore
from tests.federation import World, authority, key, person, statement

EVERY_SITE = frozenset(authority(site).universal_id for site in "ABC")
LOUISE = person()
MARRIED = person("BOUVET")
SOPHIE = person("BERGER", "SOPHIE", "1955-06-03")
HUGO = person("MARTIN", "HUGO", "1990-05-02", "M")
A1, A2, B2, C3 = key("A", "1"), key("A", "2"), key("B", "2"), key("C", "3")


@pytest.fixture
def world():
    return World(MemoryStore())


@pytest.fixture
def populated(world):
    """Two of one person, one who may be, one who is not, one overlaid."""
    world.state("A", "1", LOUISE)
    world.state("B", "1", LOUISE, minute=1)
    world.state("B", "2", MARRIED, minute=2)
    world.state("A", "2", SOPHIE, minute=3)
    world.state("A", "3", SOPHIE, minute=4)
    world.state("A", "3", HUGO, minute=5)
    return world


def kinds(world):
    return sorted(kind for kind, _, _ in world.open_questions())


def last_fact(world):
    return world.registry.facts(limit=10_000)[-1]


def task_of(world, kind):
    return next(task for task in world.tasks() if task.kind is kind)


def about_the_stated(world):
    """A snapshot without the records nobody states any more: they are answered to nobody."""
    snapshot = world.snapshot()
    with world.store.read() as uow:
        records = uow.records.by_ids(uow.records.all_ids()).values()
    stated = {record.key for record in records if record.first_event_time is not None}
    euids = {key: euid for key, euid in snapshot["euids"].items() if key in stated}
    return {
        "sets": {members & stated for members in snapshot["sets"]} - {frozenset()},
        "euids": euids,
        "tasks": snapshot["tasks"],
        "golden": {euid: snapshot["golden"][euid] for euid in euids.values()},
    }


ACTS = {
    FactKind.SAME: lambda w: w.registry.relate(Verdict.SAME, A1, A2, reviewer="anne"),
    FactKind.DIFFERENT: lambda w: w.registry.relate(Verdict.DIFFERENT, A1, key("B", "1"), reviewer="anne"),
    FactKind.HOMONYMS: lambda w: w.registry.relate(Verdict.HOMONYMS, A1, B2, reviewer="anne"),
    FactKind.DOUBTED: lambda w: w.registry.doubt(A1, reviewer="anne"),
    FactKind.CONTINUED: lambda w: w.decide(task_of(w, TaskKind.OVERLAY).id, Verdict.SAME),
    FactKind.SET_ASIDE: lambda w: w.decide(task_of(w, TaskKind.OVERLAY).id, Verdict.DIFFERENT),
    FactKind.RECYCLED: lambda w: w.decide(task_of(w, TaskKind.OVERLAY).id, Verdict.RECYCLED),
    FactKind.MERGED: lambda w: w.merge("A", "1", "2", minute=9),
    FactKind.RENAMED: lambda w: w.rename("A", "99", "1", minute=9),
    FactKind.SOURCE_LINKED: lambda w: w.link(("A", "1"), ("B", "2"), minute=9),
    FactKind.SOURCE_UNLINKED: lambda w: w.link(("A", "1"), ("B", "1"), linked=False, minute=9),
    FactKind.MOVED: lambda w: w.move("A", "1", "2", minute=9),
}


class TestEveryKindOfAssertion:
    @pytest.mark.parametrize("kind", ACTS)
    def test_withdrawn_it_has_never_been(self, populated, kind):
        before, whole = about_the_stated(populated), populated.snapshot()
        ACTS[kind](populated)
        (fact,) = populated.facts_of(kind)
        assert populated.snapshot() != whole

        populated.registry.withdraw(fact.id, actor="user:anne")

        assert about_the_stated(populated) == before

    @pytest.mark.parametrize("kind", ACTS)
    def test_withdrawn_after_more_messages_it_is_as_if_it_had_not_been_made(self, kind):
        worlds = World(MemoryStore()), World(MemoryStore())
        for world in worlds:
            world.state("A", "1", LOUISE)
            world.state("B", "1", LOUISE, minute=1)
            world.state("B", "2", MARRIED, minute=2)
            world.state("A", "2", SOPHIE, minute=3)
            world.state("A", "3", SOPHIE, minute=4)
            world.state("A", "3", HUGO, minute=5)
        ACTS[kind](worlds[0])
        (fact,) = worlds[0].facts_of(kind)
        for world in worlds:
            world.state("A", "1", replace(LOUISE, city="LIMOGES"), minute=20)
            world.state("C", "7", LOUISE, minute=21)
            world.state("C", "8", SOPHIE, minute=22)

        worlds[0].registry.withdraw(fact.id, actor="user:anne")

        assert about_the_stated(worlds[0]) == about_the_stated(worlds[1])

    @pytest.mark.parametrize("kind", ACTS)
    def test_it_is_withdrawn_once(self, populated, kind):
        ACTS[kind](populated)
        (fact,) = populated.facts_of(kind)
        populated.registry.withdraw(fact.id, actor="user:anne")

        with pytest.raises(StaleReview):
            populated.registry.withdraw(fact.id, actor="user:paul")

    def test_a_fact_nobody_made_is_unknown(self, world):
        with pytest.raises(UnknownReview):
            world.registry.withdraw(7, actor="user:anne")

    def test_a_verdict_withdrawn_asks_its_question_again(self, populated):
        task = task_of(populated, TaskKind.POTENTIAL_LINK)
        decided = populated.decide(task.id, Verdict.SAME)

        populated.registry.withdraw(decided.fact_id, actor="user:paul")

        again = task_of(populated, TaskKind.POTENTIAL_LINK)
        assert (again.id, again.verdict, again.fact_id) == (task.id, None, None)


class TestInTheMiddleOfAStack:
    def stack(self, world):
        for site, value in (("A", "1"), ("B", "2"), ("C", "3"), ("A", "4")):
            world.state(site, value, SOPHIE if site == "A" else HUGO)
        self.first = world.registry.relate(Verdict.SAME, A1, B2, reviewer="anne")[0].id
        self.second = world.registry.relate(Verdict.SAME, B2, C3, reviewer="anne")[0].id
        self.third = world.registry.relate(Verdict.SAME, C3, key("A", "4"), reviewer="anne")[0].id

    def test_what_rests_on_it_is_named(self, world):
        self.stack(world)

        with pytest.raises(LinkConflict) as refused:
            world.registry.withdraw(self.first, actor="user:anne")

        assert refused.value.facts == (self.second, self.third)

    def test_refused_it_leaves_everything_as_it_was(self, world):
        self.stack(world)
        before = world.snapshot()

        with pytest.raises(LinkConflict):
            world.registry.withdraw(self.first, actor="user:anne")

        assert world.snapshot() == before
        assert len(world.facts_of(FactKind.SAME)) == 3

    def test_knowing_a_part_is_not_enough(self, world):
        self.stack(world)

        with pytest.raises(LinkConflict):
            world.registry.withdraw(self.first, actor="user:anne", knowing=[self.second])

    def test_knowing_them_it_is_withdrawn_alone(self, world):
        self.stack(world)

        world.registry.withdraw(self.first, actor="user:anne", knowing=[self.second, self.third])

        assert not world.together(("A", "1"), ("B", "2"))
        assert world.together(("B", "2"), ("C", "3"), ("A", "4"))

    def test_the_last_one_needs_no_acknowledgement(self, world):
        self.stack(world)

        world.registry.withdraw(self.third, actor="user:anne")

        assert world.together(("A", "1"), ("B", "2"), ("C", "3"))

    def test_in_any_order_the_same_remains(self):
        ends = []
        for gone in ((0, 1), (1, 0)):
            world = World(MemoryStore())
            self.stack(world)
            ids = (self.first, self.second, self.third)
            for index in gone:
                world.registry.withdraw(ids[index], actor="user:anne", knowing=ids)
            ends.append(world.snapshot())

        assert ends[0] == ends[1]

    def test_what_was_said_of_the_new_person_rests_on_the_recycling(self, populated):
        decided = populated.decide(task_of(populated, TaskKind.OVERLAY).id, Verdict.RECYCLED)
        populated.state("B", "9", SOPHIE, minute=30)
        later = populated.registry.relate(
            Verdict.SAME, key("A", "3")._replace(epoch=1), key("B", "9"), reviewer="anne"
        )

        with pytest.raises(LinkConflict) as refused:
            populated.registry.withdraw(decided.fact_id, actor="user:anne")

        assert refused.value.facts == (later[0].id,)


class TestMerges:
    def test_both_identifiers_resolve_again(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", SOPHIE)
        world.state("B", "5", SOPHIE)
        world.merge("A", "1", "2")

        world.registry.withdraw(last_fact(world).id, actor="user:anne")

        assert world.elsewhere("A", "2") == {("B", "5")}
        assert world.elsewhere("B", "5") == {("A", "2")}
        assert world.elsewhere("A", "1") == set()

    def test_in_a_chain_only_that_one_is_undone(self, world):
        for value, who in (("1", LOUISE), ("2", SOPHIE), ("3", HUGO)):
            world.state("A", value, who)
        world.merge("A", "2", "1")
        first = last_fact(world)
        world.merge("A", "3", "2", minute=1)
        second = last_fact(world)

        world.registry.withdraw(first.id, actor="user:anne", knowing=[second.id])

        assert not world.together(("A", "1"), ("A", "3"))
        assert world.together(("A", "2"), ("A", "3"))

    def test_the_golden_record_forgets_the_other_person(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", replace(SOPHIE, phones=("0612131415",)), minute=5)
        world.merge("A", "1", "2", minute=6)
        merged = world.golden_records()[world.euid("A", "1")]

        world.registry.withdraw(last_fact(world).id, actor="user:anne")

        alone = world.golden_records()[world.euid("A", "1")]
        assert "phones" in merged
        assert "phones" not in alone
        assert alone["birth_name"][0].family == "CHANTEREAU"


class TestStatements:
    def statement_of(self, world, site, value, index=-1):
        with world.store.read() as uow:
            return uow.records.statements(uow.records.by_key(key(site, value)).id)[index]

    def test_set_aside_it_has_no_effect(self, world):
        world.state("A", "1", LOUISE)
        before = world.snapshot()
        world.state("A", "1", replace(LOUISE, phones=("0612131415",)), minute=5)

        world.registry.set_aside(self.statement_of(world, "A", "1").id, reviewer="anne")

        assert world.snapshot() == before

    def test_restored_it_has_again(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "1", replace(LOUISE, phones=("0612131415",)), minute=5)
        before = world.snapshot()
        (fact,) = world.registry.set_aside(self.statement_of(world, "A", "1").id, reviewer="anne")

        world.registry.withdraw(fact.id, actor="user:anne")

        assert world.snapshot() == before

    def test_the_only_one_set_aside_leaves_an_unknown_identifier(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)

        world.registry.set_aside(self.statement_of(world, "A", "1").id, reviewer="anne")

        with pytest.raises(UnknownIdentifier):
            world.elsewhere("A", "1")
        assert world.elsewhere("B", "2") == set()

    def test_an_overlay_that_had_taken_effect_is_taken_back(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        world.state("A", "1", MARRIED, minute=5)
        world.state("A", "1", replace(MARRIED, names=person("BOUVET", "LOUISA").names), minute=6)
        with world.store.read() as uow:
            stated = uow.records.statements(uow.records.by_key(A1).id)

        for item in stated[1:]:
            world.registry.set_aside(item.id, reviewer="anne")

        assert world.together(("A", "1"), ("B", "2"))
        assert world.record("A", "1").demographics == LOUISE

    def test_a_statement_nobody_made_is_unknown(self, world):
        with pytest.raises(UnknownReview):
            world.registry.set_aside(7, reviewer="anne")

    def test_one_identifier_of_a_message_with_two_is_set_aside_alone(self, world):
        records = tuple(
            statement(site, value, LOUISE, source="his") for site, value in (("A", "1"), ("B", "2"))
        )
        world.send(IdentityStated(records), source="his")

        world.registry.set_aside(self.statement_of(world, "A", "1").id, reviewer="anne")

        assert world.record("A", "1").first_event_time is None
        assert world.record("B", "2").demographics == LOUISE
