"""Laws of looking people up: who exists is found, and what may not be seen has no part in any answer."""

from dataclasses import replace
from datetime import date
from unittest.mock import patch

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from mpi.identity.ins import NEVER_ANSWERED
from mpi.index import finding
from mpi.index.criteria import Sieve, days_of, judge
from mpi.index.search import Period, Search, Spelling, Text
from mpi.index.sketches import day_number, day_numbers, is_findable, sketches_of
from mpi.index.spelling import forms, heads, way, whole_forms
from tests.fakes import MemoryStore
from tests.federation import SITES, World, authority, person
from tests.strategies import demographics, family_names, partial_dates

ALL = frozenset(authority(site).universal_id for site in SITES)
ONLY_A = frozenset({authority("A").universal_id})
PROTECTED = {attribute.value for attribute in NEVER_ANSWERED}
several = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))

days = st.dates(date(1949, 1, 1), date(1953, 12, 31))
periods = st.tuples(days, days).map(lambda two: Period(min(two), max(two)))
spellings = st.sampled_from(Spelling)
texts = st.builds(Text, family_names | st.sampled_from(("MAR", "d'o", "LE", "DUPOND", "-")), spellings)
searches = st.builds(
    Search,
    family=st.lists(texts, max_size=2).map(tuple),
    given=st.lists(texts, max_size=1).map(tuple),
    birth=st.lists(periods, max_size=2).map(tuple),
    sex=st.sampled_from(((), ("F",), ("M", "U"))),
    telecom=st.sampled_from(((), ("0612345678",), ("a@example.org",))),
    postal_code=st.sampled_from(((), (Text("35000"),), (Text("35"),))),
    city=st.sampled_from(((), (Text("RENNES"),), (Text("Brest", Spelling.EXACT), Text("rennes cedex")))),
)


def find(world, wanted, *, visible=ALL, most=50):
    return world.registry.search(wanted, visible=visible, actor="test", most=most)


@given(demographics, st.data())
@several
def test_who_exists_is_found_by_their_birth_date_and_three_letters_of_any_of_their_names(stated, data):
    assume(not PROTECTED.intersection(stated.identity_codes) and stated.birth_date is not None)
    last_of_use = {name.use: name.family for name in stated.names}  # a feed says one name of each
    named = [family for family in last_of_use.values() if whole_forms(family)]
    assume(named)
    world = World(MemoryStore())
    world.state("A", "1", stated)
    first, last = days_of(stated.birth_date)
    born = Period(*[data.draw(st.dates(first, last))] * 2)
    letters = data.draw(st.sampled_from(forms(data.draw(st.sampled_from(named)))))[:3]

    for spelling in (Spelling.PREFIX, Spelling.LOOSE):
        wanted = Search(birth=(born,), family=(Text(letters, spelling),))
        assert len(find(world, wanted).found) == 1, (letters, spelling)


@given(family_names, st.sampled_from(Spelling))
def test_a_name_answers_to_itself_however_near_it_has_to_be(name, spelling):
    assume(whole_forms(name))

    assert way(Text(name, spelling), forms(name), whole=whole_forms(name)) is not None


@given(family_names, family_names)
def test_what_is_looser_finds_no_fewer(asked, name):
    found = [
        way(Text(asked, spelling), forms(name), whole=whole_forms(name)) is not None
        for spelling in (Spelling.SAME, Spelling.PREFIX, Spelling.LOOSE)
    ]

    assert found == sorted(found)


@given(family_names)
def test_what_a_name_begins_with_is_one_of_its_forms(name):
    assert set(heads(name)) <= set(forms(name))
    assert all(form.isascii() and form.isalnum() and form == form.upper() for form in forms(name))


@given(partial_dates, periods)
def test_the_numbers_of_a_period_are_those_of_the_dates_it_may_be(stated, period):
    first, last = days_of(stated)
    overlaps = first <= period.last and period.first <= last

    number = day_number(stated)
    assert any(low <= number <= high for low, high in day_numbers(period)) is overlaps


@given(st.lists(demographics, min_size=1, max_size=3), searches)
@several
def test_a_sketch_never_hides_who_answers(stated, wanted):
    """What the store leaves out by sketches would not have answered."""
    world = World(MemoryStore())
    for number, who in enumerate(stated):
        world.state("A", str(number), who)
    with world.store.read() as uow:
        records = uow.records.by_ids(uow.records.all_ids()).values()
    for record in filter(is_findable, records):
        seen = world.registry.person(record.native_euid, visible=ALL, actor="test").members
        [alone] = [one for one in seen if one.record.id == record.id]
        if judge(wanted, (alone,)) is not None and (wanted.family or wanted.given or wanted.birth):
            assert any(map(Sieve(wanted).passes, sketches_of(record)))


@given(st.lists(demographics, min_size=1, max_size=4), searches)
@several
def test_an_index_finds_whom_reading_everybody_finds(stated, wanted):
    world = World(MemoryStore())
    for number, who in enumerate(stated):
        world.state(SITES[number % 3], str(number), who)
    everybody = find(world, Search()).found
    expected = {one.person.id for one in everybody if judge(wanted, one.person.members) is not None}

    assert {one.person.id for one in find(world, wanted).found} == expected
    with patch.object(finding, "_JUDGED_AT_A_TIME", 1):
        assert {one.person.id for one in find(world, wanted).found} == expected


@given(
    st.lists(demographics, min_size=1, max_size=3),
    st.lists(st.tuples(st.sampled_from("BC"), demographics), max_size=4),
    searches,
)
@several
def test_hidden_records_never_change_an_answer(seen, hidden, wanted):
    alone, crowded = World(MemoryStore()), World(MemoryStore())
    for number, (site, who) in enumerate(hidden):
        crowded.state(site, str(number), who, minute=-9)
    for world in (alone, crowded):
        for number, who in enumerate(seen):
            world.state("A", str(number), who)
    for number, (site, who) in enumerate(hidden):
        crowded.state(site, f"later-{number}", who, minute=9)
    by_a = {"visible": ONLY_A}

    for most in (50, 1):
        ours, theirs = find(alone, wanted, **by_a, most=most), find(crowded, wanted, **by_a, most=most)
        assert _shape(ours) == _shape(theirs)


def _shape(answer):
    """An answer without this index's own row numbers, which no caller is told."""
    return (
        answer.too_broad,
        [
            (
                one.person.id,
                one.person.doubtful,
                one.likeness,
                dict(one.why),
                [(m.identifier, m.retired, m.record.demographics) for m in one.person.members],
                {name: (item.value, item.source, item.since) for name, item in one.person.golden.items()},
            )
            for one in answer.found
        ],
    )


@given(demographics, st.sampled_from(sorted(PROTECTED)), searches)
@several
def test_nothing_finds_who_is_protected(stated, code, wanted):
    world = World(MemoryStore())
    world.state("A", "1", stated)
    world.state("A", "1", replace(stated, identity_codes=(code,)), minute=5)

    assert find(world, wanted).found == ()
    assert find(world, Search()).found == ()


def test_the_strategies_reach_people_who_answer():
    """The laws above say nothing if nobody is ever found."""
    world = World(MemoryStore())
    world.state("A", "1", person("D'ORMESSON", born="1950-06-07"))

    assert find(
        world, Search(family=(Text("d'o"),), birth=(Period(date(1949, 1, 1), date(1953, 1, 1)),))
    ).found
