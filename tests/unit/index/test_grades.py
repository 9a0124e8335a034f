"""Grades are for decisions, not for weights; ambiguity is nobody."""

from hypothesis import given
from hypothesis import strategies as st

from mpi.identity.model import RecordKey
from mpi.identity.traits import normalise
from mpi.index.answers import MemberView
from mpi.index.grades import Grade, Match, graded, only_certain, rank
from mpi.index.ports import StoredRecord
from mpi.index.search import Person
from mpi.matching.model import MatchModel
from mpi.matching.online import score
from tests.federation import START, identifier, key, person

MODEL = MatchModel.default()
INS = {"ins": "284022999912354", "ins_oid": "1.2.250.1.213.1.4.10", "identity_codes": ("VALI",)}


def somebody(who, *, doubtful=False, retired=False):
    record = StoredRecord(1, key("A", "A1"), "EUID1", START, who, normalise(who))
    return Person("EUID1", (MemberView(record, identifier("A", "A1"), retired),), {}, doubtful)


def match_of(asked, known, *, keys=(), **more):
    traits = normalise(asked)
    return graded(traits, keys, somebody(known, **more), score(MODEL, traits, normalise(known)))


def test_the_same_traits_alone_are_probable():
    assert match_of(person(**INS), person(identity_codes=("VALI",))).grade is Grade.PROBABLE


def test_the_same_ins_of_two_qualified_identities_is_certain():
    assert match_of(person(**INS), person(**INS)).grade is Grade.CERTAIN


def test_an_identifier_of_the_person_is_certain_while_it_stands():
    known = person(identity_codes=("VALI",))

    assert match_of(person(), known, keys=[key("A", "A1")]).grade is Grade.CERTAIN
    assert match_of(person(), known, keys=[key("A", "A1")], retired=True).grade is Grade.PROBABLE
    assert match_of(person(), known, keys=[RecordKey("2.999.1.2", "A1")]).grade is Grade.PROBABLE
    assert match_of(person(), known, keys=[key("A", "A1")], doubtful=True).grade is Grade.PROBABLE
    assert match_of(person(), person(), keys=[key("A", "A1")]).grade is Grade.PROBABLE


def test_strict_traits_that_disagree_are_never_certain():
    others = [
        person(sex="M"),
        person(born="1984-02-28"),
        person(born="1984-02"),
        person(born=""),
        person(given="LOUISETTE"),
        person(given=""),
        person("CHANTEREAUX"),
        person(birth_place_code="75056"),
    ]

    for asked in others:
        known = person(identity_codes=("VALI",), phones=("0555010203",), emails=("l@example.org",))
        assert match_of(asked, known, keys=[key("A", "A1")]).grade is not Grade.CERTAIN


def test_what_a_guard_holds_back_is_possible_and_at_most_one_half():
    asked = person(identity_codes=("PROV", "DOUT"))
    found = match_of(asked, person(**INS))

    assert found.grade is Grade.POSSIBLE
    assert found.probability <= 0.5


MATCHES = st.lists(
    st.builds(
        Match,
        st.uuids().map(lambda each: Person(str(each), (), {})),
        st.sampled_from(Grade),
        st.floats(0, 1),
    ),
    max_size=6,
)


@given(MATCHES)
def test_only_certain_is_one_certain_person_or_nobody(matches):
    left = only_certain(matches)

    assert len(left) <= 1
    assert all(match.grade is Grade.CERTAIN for match in left)
    if left:
        assert [match for match in matches if match.grade is not Grade.POSSIBLE] == list(left)


@given(MATCHES)
def test_the_best_grade_comes_first_whatever_the_probability(matches):
    order = [list(Grade).index(match.grade) for match in sorted(matches, key=rank)]

    assert order == sorted(order)
