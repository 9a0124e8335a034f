"""How common a name is: what it adds, what it takes away, and its bounds."""

import pytest

from mpi.errors import ModelError
from mpi.matching.comparisons import compare
from mpi.matching.rarity import LEAST_BITS, MOST_BITS, Frequencies, counted, rarity
from tests.unit.matching.people import person

NAMES = Frequencies(expected=0.001, shares={"MARTIN": 0.004, "BERNARD": 0.002, "PETIT": 0.9})
TABLES = {"family_name": NAMES}


def rare(left, right, tables=TABLES):
    return rarity(tables, left, right, compare(left, right))


def test_a_common_name_takes_weight_away_and_a_rare_one_adds_a_little():
    assert NAMES.rarity("MARTIN") == (-2.0, 0.004)
    assert NAMES.rarity("PETIT").bits == LEAST_BITS
    assert NAMES.rarity("UNHEARD OF") == (MOST_BITS, 0.0)


def test_only_a_name_that_agrees_to_the_letter_is_weighed():
    assert rare(person("MARTIN"), person("MARTIN"))["family_name"].bits == -2.0
    assert rare(person("MARTIN"), person("MARTINS")) == {}
    assert rare(person("MARTIN"), person("")) == {}


def test_the_used_name_that_both_bear_is_the_one_weighed():
    left, right = person("DURAND", used="MARTIN"), person("MARTIN")

    assert rare(left, right)["family_name"] == rare(right, left)["family_name"] == NAMES.rarity("MARTIN")


def test_of_two_names_in_common_the_commoner_counts():
    left, right = person("BERNARD", used="MARTIN"), person("MARTIN", used="BERNARD")

    assert rare(left, right)["family_name"] == NAMES.rarity("MARTIN")


def test_a_compound_given_name_is_weighed_as_the_commoner_of_its_spellings():
    tables = {"given_name": Frequencies(0.01, {"JEAN PIERRE": 0.02})}
    left, right = person(given="JEAN-PIERRE"), person(given="JEANPIERRE")

    assert rare(left, right, tables) == rare(right, left, tables)
    assert rare(left, right, tables)["given_name"].bits == -1.0


def test_counting_keeps_what_matters():
    table = counted({"MARTIN": 300, "BERNARD": 100, "RARE": 1}, people=1000)

    assert table.expected == pytest.approx(0.1, rel=1e-3)
    assert dict(table.shares) == {"BERNARD": 0.1, "MARTIN": 0.3}


@pytest.mark.parametrize(
    "wrong", [lambda: Frequencies(0.0, {}), lambda: Frequencies(0.5, {"A": 1.5}), lambda: counted({}, 0)]
)
def test_impossible_shares_are_refused(wrong):
    with pytest.raises(ModelError, match="frequencies"):
        wrong()
