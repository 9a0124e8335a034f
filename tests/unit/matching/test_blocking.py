import subprocess
import sys

import pytest

from mpi.matching.blocking import blocking_keys, key_of, passes
from tests.unit.matching.people import HOME, person

PINNED = 6942903139528748497
"""The key of ("date_family", "1963-04-05", "LFBV")."""


def shared(left, right):
    return set(blocking_keys(left)) & set(blocking_keys(right))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        pytest.param({}, {"family": "LEFEVRE"}, id="spelling of the family name"),
        pytest.param({}, {"family": "ROUX"}, id="married name only"),
        pytest.param(
            {"used": "ROUX", "given": "PAULE"}, {"family": "ROUX", "given": "X"}, id="used name, no given"
        ),
        pytest.param({}, {"given": "PAULE"}, id="other given name"),
        pytest.param({}, {"born": "19630504"}, id="day and month exchanged"),
        pytest.param({}, {"born": "19730405"}, id="wrong decade"),
        pytest.param({}, {"born": "1963"}, id="year only"),
        pytest.param({}, {"family": "CAMILLE", "given": "LEFEBVRE"}, id="names exchanged"),
        pytest.param(
            {"family": "BOUZIO", "given": "ABD EL BACHIR"},
            {"family": "ABD EL BACHIR", "given": "BOUZIO", "born": "19630406"},
            id="names with particles exchanged, date wrong",
        ),
        pytest.param(
            {"given": "JEAN-PIERRE"}, {"family": "X", "given": "JEAN"}, id="half a compound, no family"
        ),
        pytest.param(
            {"given": "JEAN-PIERRE"}, {"family": "X", "given": "JEANPIERRE"}, id="joined, no family"
        ),
        pytest.param(
            {"family": "MARTIN-DUPONT"}, {"family": "DUPONT", "given": "X"}, id="second half of a double name"
        ),
        pytest.param({"given": "BEBE"}, {"given": "ANNE"}, id="newborn"),
        pytest.param({**HOME, "born": ""}, HOME, id="no birth date, same home"),
        pytest.param(
            {"ins": "263045999900101"},
            {"family": "A", "given": "B", "born": "1990", "ins": "263045999900101"},
            id="INS",
        ),
        pytest.param(
            {"phones": ("0612345678",)},
            {"family": "ROUX", "born": "19900101", "phones": ("06 12 34 56 78",)},
            id="phone and given name",
        ),
        pytest.param(
            {"emails": ("c@example.org",)},
            {"family": "A", "given": "B", "born": "", "emails": ("C@example.org",)},
            id="e-mail",
        ),
    ],
)
def test_what_goes_wrong_still_shares_a_key(left, right):
    assert shared(person(**left), person(**right))


def test_strangers_share_none():
    assert not shared(person(**HOME), person("DUMAS", "PAUL", "19921130", "M"))


def test_keys_are_sorted_unique_and_fit_a_signed_column():
    keys = blocking_keys(person(**HOME, used="ROUX", emails=("c@example.org",)))

    assert list(keys) == sorted(set(keys))
    assert all(0 <= key < 2**63 for key in keys)


def test_an_identity_that_says_nothing_has_no_key():
    assert blocking_keys(person("INCONNU", "X", "19000101", phones=("0600000000",))) == ()


def test_a_pass_with_a_missing_part_gives_no_key():
    for parts in passes(person("X", "CAMILLE", "1963", **HOME)):
        assert all(parts)


def test_keys_are_the_same_for_ever():
    """Stored keys outlive the process: if this changes, KEYS_VERSION must change and keys be derived again."""
    assert key_of(("date_family", "1963-04-05", "LFBV")) == PINNED
    assert PINNED in blocking_keys(person())


def test_keys_do_not_depend_on_the_process():
    code = "from mpi.matching.blocking import key_of; print(key_of(('date_family', '1963-04-05', 'LFBV')))"
    said = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, text=True, check=True
    )

    assert int(said.stdout) == PINNED
