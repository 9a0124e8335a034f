"""Time, one story at a time: what was answered on a day can be answered again, and why it changed is told."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mpi.errors import UnknownIdentifier
from mpi.identity.ins import INS_TEST_OID
from mpi.index.review import TaskState, Verdict
from mpi.index.timeline import What
from tests.fakes import MemoryStore
from tests.federation import START, World, authority, identifier, key, person

EVERY_SITE = frozenset(authority(site).universal_id for site in "ABC")
LOUISE = person()
WED = person(used="BOUVET")
SOPHIE = person("BERGER", "SOPHIE", "1955-06-03")
HUGO = person("MARTIN", "HUGO", "1990-05-02", "M")
A1, B2 = key("A", "1"), key("B", "2")


@pytest.fixture
def world():
    return World(MemoryStore())


def asked(world, site, value, as_of):
    found = world.registry.cross_reference(
        key(site, value), targets=None, visible=EVERY_SITE, actor="t", as_of=as_of
    )
    return {(one.authority.namespace.removeprefix("SITE-"), one.value) for one in found.identifiers}


def shown(world, site, value, as_of):
    euid = world.registry.euid_of(key(site, value), as_of=as_of)
    return world.registry.enterprise_record(euid, visible=EVERY_SITE, actor="t", as_of=as_of)


def matched(world, who, as_of=None):
    found = world.registry.find_candidates(who, visible=EVERY_SITE, actor="t", as_of=as_of)
    return {candidate.record.key for candidate in found}


class TestAcrossAMarriage:
    @pytest.fixture
    def married(self, world):
        world.state("A", "1", LOUISE)
        self.before = world.clock.at
        world.state("A", "1", WED, minute=9)
        return world

    def test_the_patient_of_before_has_no_used_name(self, married):
        assert "used_name" not in shown(married, "A", "1", self.before).golden
        assert shown(married, "A", "1", married.clock.at).golden["used_name"].value.family == "BOUVET"

    def test_the_members_of_before_are_shown_as_they_were(self, married):
        (member,) = shown(married, "A", "1", self.before).members

        assert member.record.demographics == LOUISE

    def test_the_new_name_did_not_match_before(self, married):
        assert matched(married, person("BOUVET", birth_place_code=""), self.before) <= {A1}
        (then,) = married.registry.find_candidates(LOUISE, visible=EVERY_SITE, actor="t", as_of=self.before)
        (now,) = married.registry.find_candidates(LOUISE, visible=EVERY_SITE, actor="t")
        assert (then.record.traits.used_name, now.record.traits.used_name) == ("", "BOUVET")

    def test_a_name_that_was_given_up_still_matches_as_of_then(self, world):
        world.state("A", "1", person("CHANTEREAU", "LOUISE", "1984-02-29"))
        before = world.clock.at
        corrected = person("DELAUNAY", "LOUISE", "1984-02-29")
        world.state("A", "1", corrected, minute=9)

        assert matched(world, LOUISE, before) == {A1}
        assert matched(world, corrected) == {A1}


class TestAcrossAMerge:
    def test_both_identifiers_were_answered_before(self, world):
        for value in "12":
            world.state("A", value, LOUISE)
        world.state("B", "3", LOUISE)
        before = world.clock.at
        world.merge("A", "1", "2")

        assert asked(world, "B", "3", before) == {("A", "1"), ("A", "2")}
        assert asked(world, "B", "3", world.clock.at) == {("A", "1")}

    def test_a_rename_was_not_known_before(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "3", LOUISE)
        before = world.clock.at
        world.rename("A", "9", "1")

        assert asked(world, "B", "3", before) == {("A", "1")}
        with pytest.raises(UnknownIdentifier):
            asked(world, "A", "9", before)

    def test_an_undone_merge_is_still_the_answer_of_its_time(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", SOPHIE)
        world.merge("A", "1", "2")
        merged = world.clock.at
        world.registry.withdraw(world.registry.facts()[0].id, actor="user:anne")

        assert asked(world, "A", "2", merged) == {("A", "1")}
        assert asked(world, "A", "2", world.clock.at) == set()


class TestAcrossAnUnlink:
    def test_the_link_was_answered_before(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        before = world.clock.at
        world.link(("A", "1"), ("B", "2"), linked=False, minute=5)

        assert asked(world, "A", "1", before) == {("B", "2")}
        assert asked(world, "A", "1", world.clock.at) == set()

    def test_the_enterprise_identifier_was_another(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE, minute=1)
        before = world.clock.at
        world.registry.relate(Verdict.DIFFERENT, A1, B2, reviewer="anne")

        assert world.registry.euid_of(B2, as_of=before) == world.euid("A", "1")
        assert world.euid("B", "2") != world.euid("A", "1")


class TestAcrossAnOverlay:
    @pytest.fixture
    def recycled(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE, minute=1)
        self.clean = world.clock.at
        world.state("A", "1", HUGO, minute=10)
        self.held = world.clock.at
        (task,) = world.tasks()
        world.decide(task.id, Verdict.RECYCLED)
        world.state("B", "9", HUGO, minute=20)
        return world

    def test_the_identifier_named_the_old_person_until_the_decision(self, recycled):
        assert asked(recycled, "A", "1", self.clean) == {("B", "2")}
        assert asked(recycled, "A", "1", self.held) == {("B", "2")}
        assert asked(recycled, "A", "1", recycled.clock.at) == {("B", "9")}

    def test_the_patient_of_before_is_the_old_one(self, recycled):
        assert shown(recycled, "A", "1", self.held).golden["birth_name"].value.family == "CHANTEREAU"
        assert shown(recycled, "A", "1", recycled.clock.at).golden["birth_name"].value.family == "MARTIN"

    def test_the_new_person_was_not_there_to_match(self, recycled):
        assert matched(recycled, HUGO, self.held) == set()
        assert A1._replace(epoch=1) in matched(recycled, HUGO)

    def test_the_old_person_is_still_found_as_of_then(self, recycled):
        assert A1 in matched(recycled, LOUISE, self.held)

    def test_a_set_aside_statement_that_had_taken_effect_is_still_the_answer_of_its_time(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "1", WED, minute=5)
        wed = world.clock.at
        with world.store.read() as uow:
            stated = uow.records.statements(1)[-1]
        world.registry.set_aside(stated.id, reviewer="anne")

        assert "used_name" in shown(world, "A", "1", wed).golden
        assert "used_name" not in shown(world, "A", "1", world.clock.at).golden


class TestProtectedIdentities:
    HIDDEN = person(identity_codes=("VALI", "CACH"))

    def test_who_is_hidden_today_is_not_answered_about_yesterday(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        before = world.clock.at
        world.state("A", "1", self.HIDDEN, minute=5)

        with pytest.raises(UnknownIdentifier):
            asked(world, "A", "1", before)
        assert asked(world, "B", "2", before) == set()

    def test_who_was_hidden_then_is_not_answered_about_then(self, world):
        world.state("A", "1", self.HIDDEN)
        world.state("B", "2", LOUISE)
        hidden = world.clock.at
        world.state("A", "1", person(identity_codes=("VALI",)), minute=5)

        with pytest.raises(UnknownIdentifier):
            asked(world, "A", "1", hidden)
        assert asked(world, "B", "2", world.clock.at) == {("A", "1")}

    def test_an_auditor_is_told_what_was_told_then(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        before = world.clock.at
        world.state("A", "1", self.HIDDEN, minute=5)

        told = world.registry.told("portal", B2, on=before, actor="auditor")

        assert told.identifiers == (identifier("A", "1"),)

    def test_who_is_hidden_does_not_match_the_past_either(self, world):
        world.state("A", "1", LOUISE)
        before = world.clock.at
        world.state("A", "1", self.HIDDEN, minute=5)

        assert matched(world, LOUISE, before) == set()


class TestTasks:
    def test_the_open_tasks_of_a_day(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", person("BOUVET"))
        opened = world.clock.at
        (task,) = world.tasks()
        world.decide(task.id, Verdict.DIFFERENT)

        then = world.registry.tasks(as_of=opened)

        assert [(one.id, one.state) for one in then] == [(task.id, TaskState.OPEN)]
        assert world.registry.tasks(as_of=world.clock.at) == []
        assert world.registry.tasks(as_of=START - timedelta(days=1)) == []


class TestTold:
    def test_it_names_the_notifications_about_that_person_only(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)
        world.state("A", "8", SOPHIE)
        euids = {world.euid("A", "1"), world.euid("B", "2")}

        told = world.registry.told("portal", A1, on=world.clock.at, actor="auditor")

        assert told.identifiers == (identifier("B", "2"),)
        assert told.notified
        assert all(euids & set(row.payload["euids"]) for row in told.notified)

    def test_nothing_was_told_before(self, world):
        world.state("A", "1", LOUISE)
        before = world.clock.at
        world.state("B", "2", LOUISE)

        told = world.registry.told("portal", A1, on=before, actor="auditor")

        assert told.identifiers == ()
        assert all(row.created_at <= before for row in told.notified)

    def test_a_consumer_nobody_configured_is_unknown(self, world):
        world.state("A", "1", LOUISE)

        with pytest.raises(UnknownIdentifier):
            world.registry.told("nobody", A1, on=world.clock.at, actor="auditor")

    def test_an_identifier_it_would_not_have_known_is_unknown(self, world):
        world.state("A", "1", LOUISE)

        with pytest.raises(UnknownIdentifier):
            world.registry.told("portal", A1, on=START - timedelta(days=1), actor="auditor")


class TestTimeline:
    def of(self, world, site="A", value="1", visible=EVERY_SITE):
        return world.registry.timeline(world.euid(site, value), visible=visible, actor="t")

    def test_it_is_told_in_order_with_actor_message_and_model(self, world):
        first = world.state("A", "1", LOUISE)
        second = world.state("B", "2", LOUISE)

        told = self.of(world)

        assert [item.at for item in told] == sorted(item.at for item in told)
        stated = [(item.actor, item.cause) for item in told if item.what is What.STATED]
        assert stated == [
            ("source:ris-a", f"message/{first.message_id}"),
            ("source:ris-b", f"message/{second.message_id}"),
        ]
        joined = [item for item in told if item.what is What.JOINED]
        assert {item.details["model"] for item in joined} == {world.model.version}
        assert {item.cause for item in joined} == {
            f"message/{first.message_id}",
            f"message/{second.message_id}",
        }

    def test_it_tells_who_asserted_and_who_withdrew(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", SOPHIE)
        (fact,) = world.registry.relate(Verdict.SAME, A1, B2, reviewer="anne", reason="seen together")
        world.registry.withdraw(fact.id, actor="user:paul")

        told = [item for item in self.of(world) if item.what in (What.ASSERTED, What.WITHDRAWN)]

        assert [(item.what, item.actor) for item in told] == [
            (What.ASSERTED, "user:anne"),
            (What.WITHDRAWN, "user:paul"),
        ]
        assert told[0].details["reason"] == "seen together"

    def test_a_held_statement_is_told_as_held(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "1", HUGO, minute=5)

        told = [item for item in self.of(world) if item.what is What.HELD]

        assert [(item.actor, item.details["reason"]) for item in told] == [("source:ris-a", "another_person")]

    def test_who_left_is_still_told(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE, minute=1)
        world.registry.relate(Verdict.DIFFERENT, A1, B2, reviewer="anne")

        left = [item for item in self.of(world) if item.what is What.JOINED and item.subjects == (B2,)]

        assert left[-1].details["left"] == world.euid("A", "1")
        assert left[-1].cause.startswith("fact/")

    def test_nothing_of_other_sites_is_told(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "2", LOUISE)

        told = self.of(world, visible=frozenset({A1.domain}))

        assert {subject.domain for item in told for subject in item.subjects} == {A1.domain}

    def test_no_trait_is_told(self, world):
        world.state("A", "1", person(ins="284028708512309", ins_oid=INS_TEST_OID, identity_codes=("VALI",)))
        world.state("B", "2", person("BOUVET"))
        world.decide(world.tasks()[0].id, Verdict.SAME)

        assert not any(
            secret in repr(self.of(world)) for secret in ("CHANTEREAU", "LOUISE", "2840287085", "BOUVET")
        )


class TestCauses:
    def test_a_membership_names_what_made_it(self, world):
        world.state("A", "1", LOUISE)
        joining = world.state("B", "2", LOUISE, minute=1)
        (fact,) = world.registry.relate(Verdict.DIFFERENT, A1, B2, reviewer="anne")

        with world.store.read() as uow:
            history = uow.memberships.history(uow.records.by_key(B2).id)

        assert [item.cause for item in history] == [f"message/{joining.message_id}", f"fact/{fact.id}"]

    def test_a_statement_that_changes_no_set_makes_no_membership(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "1", replace(LOUISE, city="LIMOGES"), minute=5)

        with world.store.read() as uow:
            assert len(uow.memberships.history(uow.records.by_key(A1).id)) == 1
