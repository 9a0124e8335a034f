import csv
from pathlib import Path

import pytest

from mpi.identity.phonetics import soundex2
from mpi.identity.traits import normal_name

with (Path(__file__).parent / "soundex2_vectors.csv").open(encoding="utf-8") as file:
    VECTORS = [(row["word"], row["code"]) for row in csv.DictReader(file)]


def test_all_vectors_are_there():
    assert len(VECTORS) == 26


@pytest.mark.parametrize(("word", "code"), VECTORS)
def test_soundex2_reference_vectors(word, code):
    assert code == soundex2(normal_name(word))


@pytest.mark.parametrize("word", ["", "123", "- '"])
def test_nothing_to_encode(word):
    assert soundex2(word) == ""


def test_sounds_that_share_a_code():
    assert soundex2("MATHIEU") == soundex2("MATTHIEU")
