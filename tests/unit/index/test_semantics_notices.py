"""What consumers and subscribers are told of, one story at a time."""

from datetime import timedelta

import pytest

from mpi.identity.model import RecordKey
from mpi.index.notices import members_of, subscriber
from mpi.index.parties import Consumer
from mpi.index.ports import Channel, Subscription, SubscriptionStatus
from mpi.index.review import Verdict
from tests.fakes import MemoryStore
from tests.federation import World, authority, directory, key, person

LOUISE = person()
HIDDEN = person(identity_codes=("VALI", "CACH"))
SOPHIE = person("BERGER", "SOPHIE", "1955-06-03")


def domains(sites):
    return frozenset(authority(site).universal_id for site in sites)


CONSUMERS = [
    Consumer("portal", "PORTAL", "FED", domains("ABC"), "127.0.0.1:1"),
    Consumer("site-a", "PACS_A", "SITE_A", domains("AC"), "", webhook="https://a.test/hook"),
    Consumer("quiet", "QUIET", "FED", domains("ABC")),
]


@pytest.fixture
def world():
    return World(MemoryStore(), parties=directory(consumers=CONSUMERS))


def told(world, consumer="portal"):
    """What a consumer is told, in order."""
    with world.store.read() as uow:
        rows = uow.outbox.page(limit=1_000, consumer=consumer)
    site = {authority(s).universal_id: s for s in "ABC"}
    return [{f"{site[one.domain]}{one.value}" for one in members_of(row.payload)} for row in rows]


def together(world, *sites):
    for site in sites:
        world.state(site, "1", LOUISE)


class TestSets:
    def test_an_identifier_nobody_was_told_of_stands_alone(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "2", SOPHIE)

        assert told(world) == []

    def test_a_link_is_one_notification_of_the_whole_set(self, world):
        together(world, "A", "B", "C")

        assert told(world) == [{"A1", "B1"}, {"A1", "B1", "C1"}]

    def test_a_consumer_without_an_address_is_told_nothing(self, world):
        together(world, "A", "B", "C")

        assert told(world, "quiet") == []

    def test_a_split_is_one_notification_for_each_set_that_results(self, world):
        together(world, "A", "B", "C")

        world.registry.split([key("C", "1")], reviewer="anne")

        assert told(world)[2:] == [{"A1", "B1"}, {"C1"}]

    def test_what_is_taken_back_is_told_of_as_it_was(self, world):
        together(world, "A", "B")
        (fact,) = world.registry.relate(Verdict.DIFFERENT, key("A", "1"), key("B", "1"), reviewer="anne")

        world.registry.withdraw(fact.id, actor="user:anne")

        assert told(world) == [{"A1", "B1"}, {"A1"}, {"B1"}, {"A1", "B1"}]

    def test_a_merge_names_the_survivor_only(self, world):
        together(world, "A", "B")
        world.state("A", "2", LOUISE)

        world.merge("A", "2", "1", minute=5)

        assert told(world)[1:] == [{"A1", "A2", "B1"}, {"A2", "B1"}]

    def test_the_same_again_says_nothing(self, world):
        together(world, "A", "B")
        world.state("A", "1", person(phones=("0555010203",)), minute=5)
        world.state("B", "1", LOUISE, minute=6)

        assert told(world) == [{"A1", "B1"}]

    def test_a_question_is_nobodys_business(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "1", person("BOUVET"))

        assert world.tasks()
        assert told(world) == []

    def test_nothing_of_a_person_but_identifiers_is_in_the_outbox(self, world):
        together(world, "A", "B")

        with world.store.read() as uow:
            (row,) = uow.outbox.page(consumer="portal")
        assert row.payload.keys() == {"members", "euids"}
        assert "CHANTEREAU" not in str(row)


class TestProtection:
    def test_who_becomes_protected_leaves_the_set(self, world):
        together(world, "A", "B", "C")

        world.state("B", "1", HIDDEN, minute=5)

        assert told(world)[2:] == [{"A1", "C1"}]

    def test_a_protected_identity_that_is_linked_by_people_is_not_told_of(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "1", HIDDEN)

        world.registry.relate(Verdict.SAME, key("A", "1"), key("B", "1"), reviewer="anne")

        assert told(world) == []

    def test_who_was_left_alone_by_protections_is_told_of_when_it_is_shown_again(self, world):
        together(world, "A", "B")
        world.state("B", "1", HIDDEN, minute=5)
        world.state("A", "1", HIDDEN, minute=6)

        world.state("A", "1", person(identity_codes=("PROV",)), minute=7)
        world.state("B", "1", person(identity_codes=("PROV",)), minute=8)

        assert told(world) == [{"A1", "B1"}, {"A1"}, {"A1", "B1"}]

    def test_who_is_erased_leaves_the_set(self, world):
        together(world, "A", "B", "C")

        world.registry.erase(key("A", "1"), reviewer="anne", reason="request 12")

        assert told(world)[2:] == [{"B1", "C1"}]


class TestHiddenDomains:
    def test_a_record_it_may_not_see_joins_nothing_for_a_consumer(self, world):
        world.state("A", "1", LOUISE)
        world.state("B", "1", LOUISE)

        assert told(world) == [{"A1", "B1"}]
        assert told(world, "site-a") == []

    def test_it_is_told_of_the_rest_of_the_set(self, world):
        together(world, "B", "A", "C")

        assert told(world, "site-a") == [{"A1", "C1"}]

    def test_what_happens_in_a_domain_it_may_not_see_tells_it_nothing(self, world):
        together(world, "A", "C", "B")
        world.state("B", "1", HIDDEN, minute=5)
        world.merge("B", "2", "1", minute=6)
        world.registry.erase(key("B", "1"), reviewer="anne", reason="request 12")

        assert told(world, "site-a") == [{"A1", "C1"}]

    def test_it_is_told_over_its_own_channel(self, world):
        together(world, "A", "C")

        with world.store.read() as uow:
            assert [row.channel for row in uow.outbox.page(consumer="site-a")] == [Channel.WEBHOOK]
            assert [row.channel for row in uow.outbox.page(consumer="portal")] == [Channel.MLLP]

    def test_what_two_who_see_alike_are_told_is_alike(self):
        seeing_alike = [
            Consumer(name, name.upper(), "FED", domains("AC"), "127.0.0.1:1") for name in ("one", "other")
        ]
        world = World(MemoryStore(), parties=directory(consumers=seeing_alike))
        together(world, "A", "B", "C")

        assert told(world, "one") == told(world, "other") == [{"A1", "C1"}]


class TestSubscriptions:
    def subscribe(self, world, criteria="Patient", sites="ABC"):
        with world.store.write() as uow:
            if not uow.keys.all():
                uow.keys.add(name="app", secret_hash="h", role="portal", domains=[], at=world.clock())
            number = uow.subscriptions.add(
                Subscription(
                    0,
                    "app",
                    domains(sites),
                    criteria,
                    "https://app.test/hook",
                    "",
                    "",
                    SubscriptionStatus.ACTIVE,
                    world.clock(),
                )
            )
            uow.commit()
            return f"subscription/{number}"

    def test_it_tells_of_new_people_too(self, world):
        name = self.subscribe(world)
        together(world, "A", "B")

        assert told(world, name) == [{"A1"}, {"A1", "B1"}]

    def test_it_names_the_person_as_answers_do(self, world):
        name = self.subscribe(world)
        together(world, "A", "B")

        with world.store.read() as uow:
            rows = uow.outbox.page(consumer=name)
        assert [row.payload["person"] for row in rows] == [world.euid("A", "1")] * 2
        assert {row.channel for row in rows} == {Channel.REST_HOOK}

    def test_it_tells_of_one_person_when_it_asks_for_one(self, world):
        world.state("A", "1", LOUISE)
        world.state("A", "8", SOPHIE)
        by_id = self.subscribe(world, f"Patient?_id={world.euid('A', '1')}")
        by_identifier = self.subscribe(world, f"Patient?identifier=urn:oid:{authority('B').universal_id}|1")
        of_domain = self.subscribe(world, "Patient?identifier=SITE-B|")

        world.state("B", "8", SOPHIE)
        world.state("B", "1", LOUISE)

        assert told(world, by_id) == [{"A1", "B1"}]
        assert told(world, by_identifier) == [{"A1", "B1"}]
        assert told(world, of_domain) == [{"A8", "B8"}, {"A1", "B1"}]

    def test_it_ends_with_the_key_that_made_it(self, world):
        name = self.subscribe(world)
        world.state("A", "1", LOUISE)
        with world.store.write() as uow:
            uow.keys.revoke("app", at=world.clock())
            uow.commit()
        world.state("B", "1", LOUISE)
        with world.store.write() as uow:
            uow.keys.add(
                name="app",
                secret_hash="h2",
                role="portal",
                domains=[],
                at=world.clock() + timedelta(minutes=1),
            )
            uow.commit()
        world.state("C", "1", LOUISE)

        assert told(world, name) == [{"A1"}]

    def test_it_sees_what_its_owner_saw(self, world):
        name = self.subscribe(world, sites="A")
        together(world, "A", "B")

        assert told(world, name) == [{"A1"}]

    def test_its_addressee_is_named_by_its_number(self, world):
        number = int(self.subscribe(world).split("/")[1])
        with world.store.read() as uow:
            found = uow.subscriptions.get(number)

        assert found is not None
        assert subscriber(found) == f"subscription/{number}"


def test_what_is_told_stands_with_the_change_or_not_at_all(world, monkeypatch):
    """[I31] Nothing is queued for what was rolled back."""
    world.state("A", "1", LOUISE)
    original = type(world.store).write

    def failing(self):
        context = original(self)

        class Failing:
            def __enter__(self):
                uow = context.__enter__()
                uow.commit = lambda: (_ for _ in ()).throw(RuntimeError("disk"))
                return uow

            def __exit__(self, *error):
                return context.__exit__(*error)

        return Failing()

    with monkeypatch.context() as patched:
        patched.setattr(type(world.store), "write", failing)
        with pytest.raises(RuntimeError):
            world.state("B", "1", LOUISE)

    assert told(world) == []
    world.state("B", "1", LOUISE)
    assert told(world) == [{"A1", "B1"}]


def test_a_recycled_identifier_is_alone(world):
    """It may have been told of as the person's who had it before."""
    together(world, "A", "B")
    world.state("A", "1", person("MARTIN", "HUGO", "1990-05-02", "M"), minute=9)
    (task,) = [task for task in world.tasks() if task.kind == "overlay"]

    world.decide(task.id, Verdict.RECYCLED)

    assert world.record("A", "1", epoch=1).key == RecordKey(authority("A").universal_id, "1", 1)
    assert told(world) == [{"A1", "B1"}, {"A1"}, {"B1"}]
