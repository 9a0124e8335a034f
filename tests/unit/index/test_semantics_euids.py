"""Enterprise identifiers and erasure, one story at a time: no identifier ever names two people."""

from dataclasses import replace

import pytest

from mpi.errors import LinkConflict, UnknownIdentifier
from mpi.index.events import FactKind, IdentityStated, MessageState
from mpi.index.resolution import Identity, ResolutionStatus
from mpi.index.review import TaskKind, Verdict
from mpi.index.timeline import What
from tests.fakes import MemoryStore
from tests.federation import World, authority, key, person, statement

EVERY_SITE = frozenset(authority(site).universal_id for site in "ABC")
LOUISE = person()
SOPHIE = person("BERGER", "SOPHIE", "1955-06-03")
HUGO = person("MARTIN", "HUGO", "1990-05-02", "M")
A1, B2, C3 = key("A", "1"), key("B", "2"), key("C", "3")


@pytest.fixture
def world():
    return World(MemoryStore())


def show(world, euid, **more):
    return world.registry.enterprise_record(euid, visible=EVERY_SITE, actor="t", **more)


def erase(world, record=A1):
    return world.registry.erase(record, reviewer="dpo", reason="asked by the person")


def message_of(world, receipt):
    return world.registry.message(receipt.message_id, actor="t")


class TestRedirects:
    def test_a_retired_identifier_leads_to_the_present_one(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE, minute=1)
        retired = world.euid("B", "2")

        world.registry.relate(Verdict.SAME, A1, B2, reviewer="anne")

        found = show(world, retired)
        assert (found.asked, found.euid) == (retired, world.euid("A", "1"))

    def test_a_chain_of_them_leads_to_the_present_one(self, world):
        world.state("A", "1", LOUISE, minute=30)
        seen = {world.euid("A", "1")}
        for step, site in enumerate("BC"):
            world.state(site, "1", LOUISE, minute=20 - step)
            seen.add(world.euid("A", "1"))

        assert len(seen) == 3
        assert {show(world, euid).euid for euid in seen} == {world.euid("A", "1")}

    def test_it_still_does_after_the_sets_parted_again(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE, minute=1)
        retired = world.euid("B", "2")
        (fact,) = world.registry.relate(Verdict.SAME, A1, B2, reviewer="anne")

        world.registry.withdraw(fact.id, actor="user:anne")

        assert show(world, retired).euid == retired == world.euid("B", "2")

    def test_the_oldest_record_gives_its_own(self, world):
        world.state("A", "1", LOUISE, minute=10)
        world.state("B", "2", LOUISE, minute=5)

        assert world.euid("A", "1") == world.record("B", "2").native_euid

    def test_the_order_of_arrival_gives_none(self):
        ends = []
        for order in ("ABC", "CBA"):
            world = World(MemoryStore())
            for site in order:
                world.state(site, "1", LOUISE, minute=ord(site))
            ends.append(world.euids())

        assert ends[0] == ends[1]

    def test_one_never_issued_is_unknown(self, world):
        with pytest.raises(UnknownIdentifier):
            show(world, "NEVERISSUED")

    def test_one_of_a_record_nobody_stated_is_unknown(self, world):
        world.state("A", "1", LOUISE)
        world.merge("A", "1", "2")
        (fact,) = world.facts_of(FactKind.MERGED)
        world.registry.withdraw(fact.id, actor="user:anne")

        with pytest.raises(UnknownIdentifier):
            show(world, world.record("A", "2").native_euid)


class TestErasure:
    def test_the_identifier_is_unknown_afterwards(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)

        erase(world)

        with pytest.raises(UnknownIdentifier):
            world.elsewhere("A", "1")
        assert world.elsewhere("B", "2") == set()

    def test_so_is_its_enterprise_identifier(self, world):
        world.state("A", "1", SOPHIE)

        euid = erase(world)

        with pytest.raises(UnknownIdentifier):
            show(world, euid)

    def test_and_nobody_like_that_is_found(self, world):
        world.state("A", "1", LOUISE)

        erase(world)

        assert world.registry.find_candidates(LOUISE, visible=EVERY_SITE, actor="t") == ()

    def test_nor_as_of_before(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        before = world.clock.at

        erase(world)

        assert {
            candidate.record.key
            for candidate in world.registry.find_candidates(
                LOUISE, visible=EVERY_SITE, actor="t", as_of=before
            )
        } == {B2}
        alone = world.registry.cross_reference(B2, targets=None, visible=EVERY_SITE, actor="t", as_of=before)
        assert alone.identifiers == ()
        with pytest.raises(UnknownIdentifier):
            world.registry.cross_reference(A1, targets=None, visible=EVERY_SITE, actor="t", as_of=before)

    def test_its_traits_are_nowhere_in_the_store(self, world):
        received = world.state("A", "1", LOUISE)

        erase(world)

        assert "CHANTEREAU" not in repr(
            [vars(world.store)[name] for name in ("records", "statements", "messages")]
        )
        assert message_of(world, received).envelope.raw == b""

    def test_that_its_messages_were_received_stays_known(self, world):
        received = world.state("A", "1", LOUISE)

        erase(world)

        assert message_of(world, received).state is MessageState.APPLIED
        assert sum(world.registry.message_counts()["ris-a"].values()) == 1

    def test_messages_of_others_stay(self, world):
        world.state("A", "1", LOUISE)
        other = world.state("B", "2", LOUISE)

        erase(world)

        assert message_of(world, other).envelope.raw == b"raw"

    def test_stated_again_it_is_another_epoch_with_another_identifier(self, world):
        world.state("A", "1", LOUISE)
        retired = erase(world)

        world.state("A", "1", LOUISE, minute=9)

        assert world.euid("A", "1") != retired
        assert world.record("A", "1", epoch=1).demographics == LOUISE
        assert world.record("A", "1").first_event_time is None

    def test_stated_again_it_is_linked_as_any_new_record(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        erase(world)

        world.state("A", "1", LOUISE, minute=9)

        assert world.elsewhere("B", "2") == {("A", "1")}

    def test_an_older_message_afterwards_is_of_the_new_epoch_too(self, world):
        world.state("A", "1", LOUISE, minute=5)
        erase(world)

        world.state("A", "1", LOUISE, minute=1)

        assert world.record("A", "1").first_event_time is None
        assert world.record("A", "1", epoch=1).demographics == LOUISE

    def test_what_was_said_of_it_is_not_said_of_the_new_epoch(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE)
        world.registry.relate(Verdict.SAME, A1, B2, reviewer="anne")
        erase(world)

        world.state("A", "1", LOUISE, minute=9)

        assert not world.together(("A", "1"), ("B", "2"))

    def test_what_was_said_of_it_gives_nobody_its_identifier(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE, minute=1)
        world.registry.relate(Verdict.SAME, A1, B2, reviewer="anne")

        retired = erase(world)

        assert world.euid("B", "2") != retired
        assert world.elsewhere("B", "2") == set()

    def test_what_was_said_of_it_holds_no_others_together(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE)
        world.state("C", "3", HUGO)
        world.registry.relate(Verdict.SAME, A1, B2, reviewer="anne")
        world.registry.relate(Verdict.SAME, A1, C3, reviewer="anne")

        erase(world)

        assert not world.together(("B", "2"), ("C", "3"))

    def test_its_enterprise_identifier_leads_to_nobody_else(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE)
        world.registry.relate(Verdict.SAME, A1, B2, reviewer="anne")

        retired = erase(world)

        with pytest.raises(UnknownIdentifier):
            show(world, retired)

    def test_questions_about_it_are_closed(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", person("BOUVET"))
        assert world.tasks()

        erase(world)

        assert world.tasks() == []

    def test_nor_are_they_asked_again_when_the_other_record_is_stated(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", HUGO)
        world.move("A", "1", "2")
        erase(world)

        world.state("A", "2", replace(HUGO, city="PARIS"), minute=9)

        assert world.tasks() == []

    def test_a_held_statement_goes_with_it(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "1", HUGO, minute=5)

        erase(world)

        assert world.tasks() == []
        assert "MARTIN" not in repr(world.store.statements)

    def test_it_is_not_undone(self, world):
        world.state("A", "1", LOUISE)
        erase(world)
        (fact,) = world.facts_of(FactKind.ERASED)

        with pytest.raises(LinkConflict):
            world.registry.withdraw(fact.id, actor="user:anne")

    def test_it_is_done_once(self, world):
        world.state("A", "1", LOUISE)
        erase(world)

        with pytest.raises(UnknownIdentifier):
            erase(world)

    def test_the_new_epoch_may_be_erased_as_well(self, world):
        world.state("A", "1", LOUISE)
        first = erase(world)
        world.state("A", "1", LOUISE, minute=9)

        second = erase(world)

        assert first != second
        with pytest.raises(UnknownIdentifier):
            world.elsewhere("A", "1")

    def test_the_person_of_another_epoch_is_untouched(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        world.state("A", "1", HUGO, minute=5)
        world.decide(world.tasks()[0].id, Verdict.RECYCLED)
        before = world.euid("B", "2")

        erase(world)  # the one it names today: HUGO

        assert world.record("A", "1").demographics == LOUISE
        assert world.euid("B", "2") == before
        with pytest.raises(UnknownIdentifier):
            world.elsewhere("A", "1")

    def test_after_an_undone_recycling_it_erases_the_person_there_is(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "1", HUGO, minute=5)
        decided = world.decide(world.tasks()[0].id, Verdict.RECYCLED)
        world.registry.withdraw(decided.fact_id, actor="user:anne")

        erase(world)

        with pytest.raises(UnknownIdentifier):
            world.elsewhere("A", "1")
        assert "CHANTEREAU" not in repr(world.store.records)

    def test_a_message_about_two_people_keeps_what_it_said_of_the_other(self, world):
        records = tuple(
            statement(site, value, LOUISE, source="his") for site, value in (("A", "1"), ("B", "2"))
        )
        world.send(IdentityStated(records), source="his")

        erase(world)

        assert world.record("B", "2").demographics == LOUISE

    def test_the_timeline_says_that_it_was_erased(self, world):
        world.state("A", "1", LOUISE)
        euid = erase(world)

        told = world.registry.timeline(euid, visible=EVERY_SITE, actor="t")

        assert [item.actor for item in told if item.what is What.ASSERTED] == ["user:dpo"]
        assert "CHANTEREAU" not in repr(told)

    def test_an_erased_identifier_resolves_to_nobody(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE)
        erase(world)

        (answer,) = world.registry.resolve([Identity(A1, HUGO)], visible=EVERY_SITE, consumer="portal")

        assert (answer.status, answer.euid) == (ResolutionStatus.UNKNOWN, None)

    def test_a_merge_into_the_erased_one_is_of_the_new_epoch(self, world):
        world.state("A", "1", LOUISE)
        erase(world)
        world.state("A", "1", LOUISE, minute=5)
        world.state("A", "2", replace(LOUISE, city="LIMOGES"), minute=6)

        world.merge("A", "1", "2", minute=7)

        assert world.together(("A", "1"), ("A", "2"))
        assert TaskKind.CONFLICT not in {kind for kind, _, _ in world.open_questions()}

    @pytest.mark.parametrize("stated_first", [True, False])
    def test_so_is_one_that_comes_before_the_new_epoch_is_stated(self, world, stated_first):
        world.state("A", "1", LOUISE)
        world.state("A", "2", SOPHIE)
        erase(world)

        if stated_first:
            world.state("A", "1", LOUISE, minute=5)
        world.merge("A", "1", "2", minute=7)
        if not stated_first:
            world.state("A", "1", LOUISE, minute=5)

        assert world.together(("A", "1"), ("A", "2"))

    def test_nothing_is_said_of_an_erased_record_any_more(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        erase(world)

        with pytest.raises(UnknownIdentifier):
            world.registry.relate(Verdict.SAME, A1, B2, reviewer="anne")
