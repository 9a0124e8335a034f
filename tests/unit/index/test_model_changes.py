"""What another model would change: found among the pairs the index compares, each once."""

import math
from collections import Counter
from dataclasses import replace
from itertools import combinations

import pytest

from mpi.index import model_changes
from mpi.index.model_changes import Difference, differences, pair_changes
from mpi.matching.blocking import blocking_keys
from mpi.matching.decision import Decision, Thresholds
from mpi.matching.model import LevelParameters, MatchModel, Relatives
from mpi.matching.online import score
from tests.fakes import MemoryStore
from tests.federation import World, person

MODEL = MatchModel.default()
PLAIN = replace(MODEL, relatives={})
STRICT = replace(MODEL, version="strict-1", thresholds=Thresholds(500.0, 600.0))


@pytest.fixture
def world():
    made = World(MemoryStore())
    for number, (site, family, born) in enumerate(
        [
            ("A", "CHANTEREAU", "1984-02-29"),
            ("B", "CHANTEREAU", "1984-02-29"),
            ("C", "CHANTREAU", "1984-02-28"),
            ("A", "CHANTEREAU", "1984-02-29"),
            ("B", "BARBEROUSSE", "1931-05-07"),
            ("C", "BARBEROUSSE", "1931"),
        ]
    ):
        made.state(site, str(number), person(family, born=born, phones=(f"061234567{number // 4}",)))
    return made


@pytest.mark.parametrize("records_per_snapshot", [1, 2, 200])
def test_each_pair_that_shares_a_key_is_compared_once(world, monkeypatch, records_per_snapshot):
    monkeypatch.setattr(model_changes, "_RECORDS_PER_SNAPSHOT", records_per_snapshot)
    expected = Counter()
    for left, right in combinations(world.store.records.values(), 2):
        if set(blocking_keys(left.traits)) & set(blocking_keys(right.traits)):
            same = left.key.domain == right.key.domain
            pair = (score(m, left.traits, right.traits, same_domain=same).decision for m in (MODEL, STRICT))
            expected[tuple(pair)] += 1
    changed, progress = [], []

    found = pair_changes(
        world.store,
        MODEL,
        STRICT,
        on_change=changed.append,
        on_progress=lambda *counts: progress.append(counts),
    )

    assert found.pairs == expected
    assert found.compared == expected.total() > 5
    assert found.changed == len(changed) == len({(pair.left, pair.right) for pair in changed}) > 0
    assert all(pair.before is not Decision.NON_LINK for pair in changed)
    assert progress[-1] == (6, 6)
    assert found.records == 6
    assert found.partly_compared == 0


def test_two_records_of_one_domain_are_held_to_their_own_bound(world):
    generous = replace(MODEL, thresholds=Thresholds(-100.0, -90.0))
    reserved = replace(MODEL, thresholds=Thresholds(-100.0, -90.0, same_domain_bits=600.0))
    changed = []
    pair_changes(world.store, generous, reserved, on_change=changed.append)

    assert [(pair.left.value, pair.right.value, pair.after) for pair in changed] == [
        ("0", "3", Decision.REVIEW)
    ]


def test_a_key_too_common_to_open_is_said(world, monkeypatch):
    monkeypatch.setattr(model_changes, "BLOCK_CAP", 1)
    found = pair_changes(world.store, MODEL, STRICT)

    assert found.partly_compared == 6
    assert found.compared == 0


def test_comparing_writes_nothing(world):
    before = list(world.store.audit)
    pair_changes(world.store, MODEL, STRICT)

    assert world.store.audit == before


def test_a_model_does_not_differ_from_itself():
    assert differences(MODEL, MODEL) == []


def test_parameters_are_listed_furthest_apart_first():
    sexes = {"same": LevelParameters(0.75, 0.5), "different": LevelParameters(0.25, 0.5)}
    other = replace(PLAIN, prior_bits=MODEL.prior_bits + 20, parameters={**MODEL.parameters, "sex": sexes})
    found = differences(PLAIN, other)

    assert [one.name for one in found] == ["prior", "sex: different", "sex: same"]
    assert found[0].size == pytest.approx(20)
    assert found[1].right_bits == -1


def test_relatives_that_one_model_knows_are_differences_without_a_size():
    twins = Relatives(
        -20.0, {trait: {n: p.u for n, p in levels.items()} for trait, levels in MODEL.parameters.items()}
    )
    found = differences(PLAIN, replace(MODEL, relatives={"twins": twins}))

    assert Difference("twins: prior", None, -20.0) in found
    assert {one.size for one in found} == {math.inf}
