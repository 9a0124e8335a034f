import pytest

from mpi.matching import MatchModel, explain, score
from mpi.matching.comparisons import COMPARISONS
from mpi.matching.explain import _GUARDS, _LEVELS, sentence_of_guard, sentence_of_level
from mpi.matching.guards import GUARDS
from tests.unit.matching.people import person

MODEL = MatchModel.default()


@pytest.mark.parametrize("language", ["fr", "en"])
def test_every_level_and_every_guard_has_its_sentence(language):
    said = [
        sentence_of_level(comparison.trait, level.name, language)
        for comparison in COMPARISONS
        for level in comparison.levels
    ]
    said += [sentence_of_guard(guard.name, language) for guard in GUARDS]

    assert all(said)
    assert len(set(said)) == len(said)


def test_no_sentence_is_left_over():
    assert {trait: set(levels) for trait, levels in _LEVELS.items()} == {
        comparison.trait: {level.name for level in comparison.levels} for comparison in COMPARISONS
    }
    assert set(_GUARDS) == {guard.name for guard in GUARDS}


def test_french_and_english_say_the_same_in_their_own_typography():
    pair = score(MODEL, person(), person(given="LEA"))

    french, english = explain(pair), explain(pair, "en")

    assert len(french) == len(english) == len(pair.evidence) + len(pair.guards) + 1
    assert french[0].startswith("nom de naissance identique, porté par 1 personne sur ")
    assert ("," in french[0], "bits" in french[0]) == (True, True)
    assert english[0].startswith("same birth name, borne by 1 person in ")
    assert "." in english[0]


def test_the_total_adds_up():
    pair = score(MODEL, person(), person())
    total = explain(pair, "en")[-1]

    assert f"so {pair.weight_bits:+.1f} bits" in total
    assert f"total: {MODEL.prior_bits:+.1f} at the outset" in total
    assert "100" not in total  # nothing is certain


def test_an_explanation_holds_no_demographics():
    said = " ".join(explain(score(MODEL, person("ZQXFAM", "ZQXGIV"), person("ZQXFAM", "ZQXGIV", "19631104"))))

    assert "ZQX" not in said
    assert "1963" not in said
