"""INSEE codes of places, past and present."""

import pytest

from mpi.identity.communes import is_same_place, place_name


@pytest.mark.parametrize(
    ("code", "name"),
    [
        pytest.param("35238", "RENNES", id="commune"),
        pytest.param("35288", "SAINT MALO", id="folded as names are"),
        pytest.param("75112", "PARIS", id="borough"),
        pytest.param("75012", "BOULOGNE BILLANCOURT", id="code of the past"),
        pytest.param("99352", "ALGERIE", id="country"),
        pytest.param("35999", "", id="no such commune"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_place_name(code, name):
    assert name == place_name(code)


@pytest.mark.parametrize(
    ("before", "since"),
    [
        pytest.param("75012", "92012", id="Seine"),
        pytest.param("78174", "91174", id="Seine-et-Oise"),
        pytest.param("20004", "2A004", id="Corsica"),
        pytest.param("69232", "69123", id="merged"),
        pytest.param("75112", "75056", id="borough of Paris"),
        pytest.param("13203", "13055", id="borough of Marseille"),
        pytest.param("69383", "69123", id="borough of Lyon"),
        pytest.param("99115", "99116", id="Czechoslovakia"),
        pytest.param("35238", "35238", id="itself"),
    ],
)
def test_one_place_at_two_times(before, since):
    assert is_same_place(before, since)
    assert is_same_place(since, before)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param("75112", "75113", id="two boroughs"),
        pytest.param("75012", "93012", id="no rule of thumb"),
        pytest.param("99352", "99350", id="two countries"),
        pytest.param("99116", "99117", id="two halves of one country"),
        pytest.param("35238", "", id="nothing"),
    ],
)
def test_two_places(left, right):
    assert not is_same_place(left, right)
