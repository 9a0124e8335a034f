"""The synthetic federation: the same for everyone, true to its truth, nobody's data."""

import os
import random
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, date

import pytest
from mpi_synthetic import JUDGING, STRESS, TUNING, EventKind, Federation, generate, plausibility
from mpi_synthetic.reference import Place, existing_commune_codes, place_then, rows
from mpi_synthetic.sites import default_sites

from mpi.identity.ins import INS_NIA_OID, INS_TEST_OID, parse_matricule
from mpi.identity.model import NameUse


@pytest.fixture(scope="module")
def federation() -> Federation:
    return generate(2000, seed=7)


def test_the_same_arguments_give_the_same_federation():
    assert generate(120, 5, 42) == generate(120, 5, 42)
    assert generate(120, 5, 43) != generate(120, 5, 42)


def test_the_hash_seed_changes_nothing():
    script = "import mpi_synthetic, hashlib; f = mpi_synthetic.generate(60, 4, 9);"
    script += "print(hashlib.sha256(repr((f.people, f.records, f.events)).encode()).hexdigest())"

    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1")
    }

    assert len(digests) == 1
    assert digests != {""}


@pytest.mark.parametrize("seed", range(6))
def test_every_ins_is_well_formed_and_of_a_commune_that_does_not_exist(seed):
    countries = {row["insee_code"] for row in rows("countries.csv.gz")}
    people = generate(400, 1, seed).people
    matricules = [
        parse_matricule(number) for person in people for number in (person.ins, person.nia) if number
    ]

    assert len(matricules) > 300
    assert not {m.birth_place for m in matricules} & (existing_commune_codes() | countries)
    assert all(m.birth_place[2:4] == "99" or m.birth_place[:2] == "97" for m in matricules)
    assert len({m.body for m in matricules}) == len(matricules)


def test_ins_agree_with_the_sex_and_the_year_of_birth(federation):
    for person in federation.people:
        if person.ins:
            matricule = parse_matricule(person.ins)

            assert matricule.sex == person.sex
            assert matricule.birth_year_in_century == person.birth_date.year % 100


def test_ins_travel_under_the_test_oid_and_nia_under_theirs(federation):
    nia = {person.nia for person in federation.people if person.nia}
    stated = [event.record.demographics for event in federation.events]

    assert nia
    assert {d.ins_oid for d in stated if d.ins and d.ins not in nia} == {INS_TEST_OID}
    assert {d.ins_oid for d in stated if d.ins in nia} == {INS_NIA_OID}
    assert not any(d.ins_oid for d in stated if not d.ins)


def test_every_record_has_its_truth(federation):
    people = {person.person_id for person in federation.people}

    assert len(people) == len(federation.people) == 2000
    assert all(r.person_id in people or r.person_id.startswith("NOBODY-") for r in federation.records)
    assert {id for r in federation.records for id in (r.person_id, r.overlaid_person_id)} >= people


def test_a_record_is_named_by_its_site_and_its_local_id(federation):
    keys = {(record.site, record.local_id) for record in federation.records}

    assert len(keys) == len(federation.records) == len({r.record_id for r in federation.records})


def test_events_are_in_order_and_start_with_the_opening_of_a_record(federation):
    opened: set[tuple[str, str]] = set()
    numbers: dict[str, int] = defaultdict(int)
    times = [event.event_time for event in federation.events]

    assert times == sorted(times)
    for event in federation.events:
        key = (event.record.site, event.record.local_id)
        numbers[event.record.site] += 1
        assert event.number == numbers[event.record.site]
        assert event.event_time.tzinfo is UTC
        if event.kind is EventKind.CREATE:
            assert key not in opened
        elif event.kind is not EventKind.HEADER:
            assert key in opened
        if event.kind is EventKind.MERGE:
            assert (event.record.site, event.subsumed) in opened - {key}
        opened.add(key)


def test_a_merge_joins_two_records_of_one_person(federation):
    truth = {(record.site, record.local_id): record.person_id for record in federation.records}
    merges = [event for event in federation.events if event.kind is EventKind.MERGE]

    assert len(merges) > 10
    assert all(truth[m.record.site, m.subsumed] == m.record.person_id for m in merges)


def test_an_overlaid_record_becomes_somebody_else_under_the_same_number():
    federation = generate(3000, seed=8, profile=STRESS)
    truth = {record.record_id: record for record in federation.records}
    first = {}
    for event in federation.events:
        first.setdefault(event.record.record_id, event.record)
    overlaid = [record for record in truth.values() if record.overlaid_person_id]

    assert len(overlaid) > 10
    for record in overlaid:
        opened = first[record.record_id]

        assert record.overlaid_person_id == opened.person_id != record.person_id
        assert record.local_id == opened.local_id
        assert record.event_time > opened.event_time


def test_births_carry_the_code_of_their_day_or_of_today(federation):
    people = {person.person_id: person for person in federation.people}
    changed = [
        (people[r.person_id].birth_place, r.demographics.birth_place_code)
        for r in federation.records
        if r.demographics.birth_place_code
        and r.person_id in people
        and people[r.person_id].birth_place.code_now
    ]

    assert any(stated == place.code for place, stated in changed)
    assert any(stated == place.code_now for place, stated in changed)


def test_montreuil_was_in_the_seine_until_1968():
    montreuil = Place("93048", "Montreuil", "93")
    before, since = (place_then(montreuil, date(year, 6, 1), random.Random(1)) for year in (1950, 1970))

    assert (before.code, before.code_now, before.department, before.department_now) == (
        "75048",
        "93048",
        "75",
        "93",
    )
    assert since == montreuil


def test_records_are_as_last_stated(federation):
    last = {
        event.record.record_id: event.record
        for event in federation.events
        if event.kind in (EventKind.CREATE, EventKind.UPDATE)
    }

    assert all(record == last[record.record_id] for record in federation.records if record.channel == "hl7")


def test_twins_share_everything_but_their_given_name_and_number(federation):
    families = defaultdict(list)
    for person in federation.people:
        if person.twin:
            families[person.household, person.birth_date, person.birth_family].append(person)
    pairs = [twins for twins in families.values() if len(twins) == 2]

    assert len(pairs) > 15
    for first, second in pairs:
        assert first.birth_place == second.birth_place
        assert first.given_names[0] != second.given_names[0]
        assert first.ins != second.ins or not first.ins


def test_a_header_shows_one_name_of_unknown_use_and_no_birth_place(federation):
    for event in federation.events:
        if event.kind is EventKind.HEADER:
            stated = event.record.demographics
            uses = [name.use for name in stated.names]

            assert uses in ([NameUse.UNSPECIFIED], [NameUse.UNSPECIFIED, NameUse.BIRTH])
            assert not stated.birth_place_code
            assert stated.birth_date is None or stated.birth_date.day


def test_the_figures_are_believable(federation):
    """Bounds are four standard errors or more around what twenty thousand people gave."""
    figures = plausibility(federation)

    assert 0.79 < figures["exact_strict_traits"] < 0.88
    assert figures["exact_women"] < figures["exact_men"]
    assert 1.8 < figures["records_per_person"] < 2.0
    assert 0.02 < figures["duplicates_within_a_site"] < 0.045
    assert 0.015 < figures["twins"] < 0.055
    assert 0.09 < figures["born_abroad"] < 0.18


def test_the_profile_changes_what_is_stated_and_not_who_exists():
    judging, tuning = generate(100, profile=JUDGING), generate(100, profile=TUNING)

    assert judging.people == tuning.people
    assert judging.records != tuning.records


def test_stress_doubles_records_and_trebles_errors(federation):
    stress, judging = plausibility(generate(2000, seed=7, profile=STRESS)), plausibility(federation)

    assert 0.10 < stress["duplicates_within_a_site"] < 0.20
    assert stress["records_with_an_error"] > 2 * judging["records_with_an_error"]


@pytest.mark.parametrize("count", [1, 3, 7, 30])
def test_any_number_of_sites(count):
    sites = default_sites(count)

    assert len({site.namespace for site in sites}) == len({site.authority for site in sites}) == count
    assert sites[-1].authority.universal_id == f"2.999.1.{count}"
    assert generate(20, count).sites == sites


def test_nobody_and_nowhere_are_refused():
    with pytest.raises(ValueError, match="person"):
        generate(0)
    with pytest.raises(ValueError, match="site"):
        generate(1, 0)


def test_progress_ends_at_the_total():
    told: list[tuple[int, int]] = []
    generate(1000, progress=lambda done, total: told.append((done, total)))

    assert told == sorted(told)
    assert told[-1] == (1000, 1000)
