"""What would change a decision: applying it changes it, always."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi.identity.model import PartialDate
from mpi.matching import Decision, MatchModel, score
from mpi.matching.counterfactual import Change, applied, counterfactuals
from mpi.matching.explain import sentence_of_counterfactual
from tests.unit.matching.people import HOME, person

MODEL = MatchModel.default()
PEOPLE = [
    person(**HOME),
    person(),
    person(born="19630504"),
    person("LEFEVRE", "CAMILLE", **HOME),
    person("DUMAS", "CAMILLE", **HOME),
    person("LEFEBVRE", "LOUISE", **HOME),
    person("LEFEBVRE", "CAMILLE", "19910321"),
    person("DUMAS", "PAUL", "19921130", "M"),
    person("LEFEBVRE", "CAMILLE", "", postal_code="59000"),
    person("", "CAMILLE"),
    replace(person(), sex="M"),
    replace(person(), birth_date=PartialDate(1963)),
]


@settings(deadline=None)
@given(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE), st.booleans())
def test_applying_it_gives_the_decision_it_names(left, right, same_domain):
    decided = score(MODEL, left, right, same_domain=same_domain).decision
    for found in counterfactuals(MODEL, left, right, same_domain=same_domain):
        then = score(MODEL, *applied(left, right, found.changes), same_domain=same_domain).decision
        assert then is found.decision
        assert then is not decided


def test_a_link_would_fall():
    found = counterfactuals(MODEL, person(**HOME), person(**HOME))

    assert all(change is Change.DIFFER for each in found for _, change in each.changes)
    assert all(each.decision is not Decision.LINK for each in found)
    assert found


def test_a_review_names_what_would_settle_it():
    left, right = person(**HOME), person(born="19630504")
    assert score(MODEL, left, right).decision is Decision.REVIEW

    found = counterfactuals(MODEL, left, right)

    assert {each.decision for each in found} == {Decision.LINK}


def test_a_protected_identity_cannot_be_linked_whatever_agrees():
    hidden = person(identity_codes=("CACH",))
    assert score(MODEL, hidden, hidden).decision is Decision.NON_LINK

    assert counterfactuals(MODEL, hidden, hidden) == ()


@pytest.mark.parametrize("language", ["fr", "en"])
def test_it_reads_as_a_sentence_without_values(language):
    for left in PEOPLE:
        for found in counterfactuals(MODEL, PEOPLE[0], left):
            said = sentence_of_counterfactual(found, language)
            assert said.startswith("si " if language == "fr" else "if ")
            assert "CAMILLE" not in said
