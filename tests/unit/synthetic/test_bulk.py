"""Large federations: parts that never collide, the same whoever draws them, the same as the small way."""

import csv
import random
from collections import defaultdict
from datetime import date
from itertools import chain, combinations

import pytest
from mpi_synthetic import STRESS, Relation, about, generate, relation, tables, write, write_tables
from mpi_synthetic import population as drawing
from mpi_synthetic.matricules import Birth, Matricules
from mpi_synthetic.reference import Place


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(drawing, "PERSONS_PER_PART", 150)


def test_parts_share_no_number(small_parts):
    federation = generate(900, seed=3)
    ins = [number for person in federation.people for number in (person.ins, person.nia) if number]

    assert len({person.person_id for person in federation.people}) == 900
    assert len(set(ins)) == len(ins)
    assert len({record.record_id for record in federation.records}) == len(federation.records)
    assert len({(record.site, record.local_id) for record in federation.records}) == len(federation.records)


def test_parts_share_the_numbers_of_a_town_hall():
    birth = Birth(date(1970, 5, 1), True, Place("93048", "Montreuil", "93"))
    shares = [Matricules(random.Random(part), part, 3) for part in range(3)]
    drawn = [share.draw("F", birth) for share in shares for _ in range(3330)]

    assert len(set(drawn)) == 9990
    assert "" not in drawn
    assert shares[0].draw("F", birth) == "", "no number is given twice"


def test_households_stay_in_their_part(small_parts):
    houses = {}
    for number, person in enumerate(generate(900, 1, 3).people):
        assert houses.setdefault(person.household, number // 150) == number // 150


def test_tables_are_the_files_of_the_federation(tmp_path, small_parts):
    write(generate(400, 3, 9, STRESS), tmp_path / "all")
    write_tables(tmp_path / "tables", 400, 3, 9, STRESS)
    records, truth = tables(400, 3, 9, STRESS)

    for name in ("records.csv", "truth.csv"):
        assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "tables" / name).read_bytes()
    for name, table in (("records", records), ("truth", truth)):
        with (tmp_path / "tables" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            assert list(csv.DictReader(file)) == table.to_pylist()


def test_the_number_of_processes_changes_nothing():
    told = []
    alone = tables(10_050, 1, 4)
    together = tables(10_050, 1, 4, processes=2, progress=lambda done, total: told.append((done, total)))

    assert alone[0].equals(together[0])
    assert alone[1].equals(together[1])
    assert told == [(10_000, 10_050), (10_050, 10_050)]


def test_the_truth_says_what_two_people_are_to_each_other():
    people = [about(person) for person in generate(4000, 1, 6, STRESS).people]
    close = defaultdict(list)
    for person in people:
        close[person["birth_name"]].append(person)
        close[person["household"]].append(person)
    found = {}
    for left, right in chain.from_iterable(combinations(group, 2) for group in close.values()):
        between = relation(left, right)
        if between is not Relation.STRANGER:
            found.setdefault(between, (left, right))

    assert set(found) == set(Relation) - {Relation.SAME, Relation.STRANGER}
    twins, namesakes = found[Relation.TWIN], found[Relation.SAME_DAY_NAMESAKE]
    assert twins[0]["mother_id"] == twins[1]["mother_id"]
    assert namesakes[0]["household"] != namesakes[1]["household"]
    assert relation(people[0], people[0]) is Relation.SAME


def test_same_day_namesakes_are_rare_unless_asked_for():
    usual = generate(10_000, 1, 2).people
    stressed = generate(10_000, 1, 2, STRESS).people

    def pairs(people):
        names = [(p.sex, p.birth_family, p.given_names[0], p.birth_date) for p in people]
        return len(names) - len(set(names))

    assert pairs(usual) <= 4  # 0.5 planted, and hardly one by chance
    assert 2 <= pairs(stressed) <= 16  # 6.7 planted
