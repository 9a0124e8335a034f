import csv
from pathlib import Path

import pytest

from mpi.identity.phonetics import fonem, soundex2
from mpi.identity.traits import normal_name


def vectors(table):
    with (Path(__file__).parent / table).open(encoding="utf-8") as file:
        return [(row["word"], row["code"]) for row in csv.DictReader(file)]


SOUNDEX2, FONEM = vectors("soundex2_vectors.csv"), vectors("fonem_vectors.csv")


def test_all_vectors_are_there():
    assert (len(SOUNDEX2), len(FONEM)) == (26, 128)


@pytest.mark.parametrize(("word", "code"), SOUNDEX2)
def test_soundex2_reference_vectors(word, code):
    assert code == soundex2(normal_name(word))


@pytest.mark.parametrize(("word", "code"), FONEM)
def test_fonem_reference_vectors(word, code):
    assert code == fonem(word)


@pytest.mark.parametrize("word", ["", "123", "- '"])
def test_nothing_to_encode(word):
    assert (soundex2(word), fonem(word)) == ("", "")


def test_sounds_that_share_a_code():
    assert soundex2("MATHIEU") == soundex2("MATTHIEU")


@pytest.mark.parametrize(("left", "right"), [("MARTIN", "MERTENS"), ("ROUX", "RAY"), ("DURAND", "DORANGE")])
def test_fonem_tells_apart_what_only_shares_consonants(left, right):
    assert fonem(left) != fonem(right)
