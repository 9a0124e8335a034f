"""Laws of the matching, whatever the two identities."""

import json
import math
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpi.identity.model import Demographics, PartialDate, PersonName
from mpi.identity.traits import Traits, normal_city, normal_name, normal_phone, normal_text, normalise
from mpi.matching import Decision, MatchModel, Thresholds, blocking_keys, explain, score
from mpi.matching.comparisons import COMPARISONS, compare
from mpi.matching.guards import FORBIDDING
from mpi.matching.model import RELATIVES
from tests.strategies import PLACEHOLDERS, demographics, family_names, given_names, traits

MODEL = MatchModel.default()
bits = st.floats(-60, 60)
rank = list(Decision).index


@given(traits, traits)
def test_left_and_right_do_not_matter_to_the_bit(left, right):
    assert compare(left, right) == compare(right, left)
    assert score(MODEL, left, right) == score(MODEL, right, left)


@given(traits)
def test_what_agrees_with_itself_is_never_evidence_against(one):
    said = score(MODEL, one, one).evidence
    assert all(item.bits > 0 for item in said if item.trait != RELATIVES)


@given(traits, traits)
def test_the_weight_is_finite_and_the_decision_follows_the_guards(left, right):
    pair = score(MODEL, left, right)

    assert math.isfinite(pair.weight_bits)
    assert 0 <= pair.probability <= 1
    if pair.guards:
        assert pair.decision is not Decision.LINK
    if not FORBIDDING.isdisjoint(pair.guards):
        assert (pair.decision, pair.contradicts) == (Decision.NON_LINK, True)
    if not pair.guards:
        assert pair.decision is MODEL.thresholds.decide(pair.weight_bits)


@pytest.mark.parametrize("comparison", COMPARISONS, ids=lambda comparison: comparison.trait)
@given(left=traits, right=traits, others=st.tuples(traits, traits))
def test_a_level_depends_on_nothing_but_what_its_ladder_reads(comparison, left, right, others):
    """The batch engine looks a level up by these fields alone."""
    unread = [field.name for field in fields(Traits) if field.name not in comparison.reads]
    changed = (
        replace(one, **{name: getattr(other, name) for name in unread})
        for one, other in zip((left, right), others, strict=True)
    )

    assert comparison.level(left, right) == comparison.level(*changed)


@given(traits, st.sampled_from([comparison.trait for comparison in COMPARISONS]))
def test_a_trait_withdrawn_weighs_nothing(one, trait):
    fields = {
        "family_name": {"birth_name": "", "used_name": ""},
        "given_name": {"given_names": (), "used_given_name": ""},
        "birth_date": {"birth_date": None, "birth_date_default": False},
        "birth_place": {"birth_place": "", "birth_place_code": ""},
        "residence": {"postal_code": "", "city": ""},
        "phone": {"phones": ()},
        "email": {"emails": ()},
        "birth_order": {"birth_order": None},
    }.get(trait, {trait: ""})
    pair = score(MODEL, one, replace(one, **fields))

    assert trait not in {item.trait for item in pair.evidence}


@given(demographics, traits, st.sampled_from(PLACEHOLDERS), st.sampled_from(PLACEHOLDERS))
def test_a_placeholder_is_a_missing_value(stated, other, family, given_name):
    """On either side of the pair, and for blocking."""
    blank = normalise(replace(stated, names=()))
    filled = normalise(replace(stated, names=(PersonName(family, given_name),)))

    assert score(MODEL, blank, other) == score(MODEL, filled, other)
    assert score(MODEL, other, blank) == score(MODEL, other, filled)
    assert blocking_keys(blank) == blocking_keys(filled)


@pytest.mark.parametrize(
    ("field", "placeholder"),
    [
        ("birth_date", PartialDate(1900, 1, 1)),
        ("sex", "U"),
        ("birth_place_code", "99999"),
        ("birth_place", "Inconnu"),
        ("postal_code", "00000"),
        ("city", "XXX"),
        ("phones", ("0600000000",)),
        ("emails", ("inconnu@example.org",)),
        ("national_id", "0000000"),
        ("mother_birth_name", "SANS NOM"),
    ],
)
@given(stated=demographics, other=demographics)
def test_any_placeholder_is_a_missing_value(field, placeholder, stated, other):
    """On either side, and on both: agreeing on INCONNU is agreeing on nothing."""
    absent = getattr(Demographics(), field)
    for right in (other, replace(other, **{field: placeholder})):
        blank, filled = (normalise(replace(stated, **{field: value})) for value in (absent, placeholder))

        assert blank == filled
        assert score(MODEL, blank, normalise(right)) == score(MODEL, filled, normalise(right))


@given(demographics)
def test_normalising_leaves_what_was_stated_as_it_was(stated):
    before = json.dumps(stated.to_json())
    normalise(stated)

    assert json.dumps(stated.to_json()) == before
    assert normalise(Demographics.from_json(json.loads(before))) == normalise(stated)


any_text = st.text(st.characters(), max_size=400) | st.text("ST E", min_size=240, max_size=300)


@given(any_text)
def test_folding_twice_changes_nothing(text):
    for fold in (normal_text, normal_name, normal_city, normal_phone):
        assert fold(fold(text)) == fold(text)


@given(st.text(st.characters(), max_size=40))
def test_normalising_takes_any_text(text):
    name = PersonName(text, text, text)
    found = normalise(
        Demographics(
            names=(name,),
            sex=text,
            birth_place_code=text,
            birth_place=text,
            postal_code=text,
            city=text,
            phones=(text,),
            emails=(text,),
            national_id=text,
            mother_birth_name=text,
            identity_codes=(text,),
        )
    )

    assert Traits.from_json(found.to_json()) == found
    assert found.birth_name.isascii()


@pytest.mark.parametrize("letters", ["A", "É", "Ã©", "ST ", "\u200b", "漢", "\ud800", "\u0301", "- '"])
def test_a_megabyte_of_name_is_cut(letters):
    text = letters * (1_000_000 // len(letters))
    found = normalise(Demographics(names=(PersonName(text, text, text),), city=text, phones=(text,)))

    assert max(map(len, (found.birth_name, *found.given_names, found.city))) <= 256


@given(bits, bits, bits, bits)
def test_more_evidence_never_lowers_the_decision(a, b, weight, extra):
    thresholds = Thresholds(lower_bits=min(a, b), upper_bits=max(a, b))

    assert rank(thresholds.decide(weight + abs(extra))) >= rank(thresholds.decide(weight))


@given(bits, bits)
def test_more_evidence_never_lowers_the_probability(weight, extra):
    assert MODEL.probability(weight + abs(extra)) >= MODEL.probability(weight)


@given(family_names, given_names, given_names, st.dates())
def test_twins_are_never_linked(family, one, other, day):
    """Whatever their names: if the engine links two who share family and day, it holds the given names for one."""
    left, right = (
        normalise(
            Demographics.from_json(
                {
                    "names": [{"family": family, "given": given_name, "use": "L"}],
                    "birth_date": f"{max(day.year, 1900):04d}-{day.month:02d}-{min(day.day, 28):02d}",
                    "sex": "F",
                    "birth_place_code": "35238",
                    "phones": ["0612345678"],
                    "birth_order": order,
                }
            )
        )
        for given_name, order in ((one, 1), (other, 2))
    )

    assert score(MODEL, left, right).decision is not Decision.LINK


@given(traits, traits)
def test_an_explanation_has_a_line_for_each_reason(left, right):
    pair = score(MODEL, left, right)

    for language in ("fr", "en"):
        assert len(explain(pair, language)) == len(pair.evidence) + len(pair.guards) + 1


@given(traits)
def test_keys_are_stable_sorted_and_unique(one):
    keys = blocking_keys(one)

    assert list(keys) == sorted(set(keys))
    assert keys == blocking_keys(Traits.from_json(one.to_json()))


@given(traits)
def test_traits_round_trip(one):
    assert Traits.from_json(one.to_json()) == one


@given(demographics)
def test_demographics_round_trip(stated):
    assert Demographics.from_json(stated.to_json()) == stated
