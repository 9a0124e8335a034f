"""The batch engine says of every record and every pair what the engine of one record says."""

from collections import Counter, defaultdict
from dataclasses import replace
from datetime import date
from itertools import combinations

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from mpi.errors import InvalidIdentity
from mpi.identity import phonetics
from mpi.identity.columns import FIELDS, TraitColumns
from mpi.identity.ins import matricule_key
from mpi.identity.model import PartialDate
from mpi.identity.tabular import TRAIT_NAMES, demographics_from_mapping
from mpi.identity.traits import normalise
from mpi.matching.blocking import passes
from mpi.matching.candidates import LOOSE_PAIRS_PER_RECORD, candidates
from mpi.matching.comparisons import COMPARISONS, MISSING, POSITION, compare
from mpi.matching.estimation import candidate_pairs
from mpi.matching.guards import GUARDS
from mpi.matching.isotonic import IsotonicCalibration
from mpi.matching.model import Calibration, MatchModel
from mpi.matching.online import score
from mpi.matching.vectors import ACCELERATORS, HOLDS, UNKNOWN, Derived, Pairs, levels_of
from mpi.matching.weighing import DECISIONS, contradictions, decide, guards_of, probabilities, weigh
from tests.strategies import FAMILY_NAMES, GIVEN_NAMES, PLACEHOLDERS, traits

# --- columns: the traits of many records --------------------------------------------------

letters = st.text(alphabet="AEXZÉèñŁ 'd-.,~1?Ã©\u200b\u0301", max_size=12)
messy_names = st.sampled_from(
    (*FAMILY_NAMES, *GIVEN_NAMES, *PLACEHOLDERS, "St Denis", "STE-ANNE", "Lefèvre", "LefÃ¨vre", "BEBE FILLE",
     "ENFANT DE MARTIN", "XX", "AAA", "Jean, Pierre", "MARIE-LOUISE ANNE", "Ｍartin", "МАРТИН", "GAR?ON", "Garçon")
) | letters  # fmt: skip
dashed = st.dates(date(1840, 1, 1), date(2030, 12, 31)).map(str)
dates = st.one_of(
    dashed,
    dashed.map(lambda day: day.replace("-", "")),
    st.sampled_from(
        ("1980", "1980-02", "198002", "1900-01-01", "1975-12-31", "19800101", "1980-0203", "198002-03")
    ),
    dashed.map(lambda day: f"{day}T10:00:00Z"),
)
bodies = ["1800275112001", "2991235238999", "150022A004001", "262122B033045"]
sound_matricules = st.sampled_from([body + matricule_key(body) for body in bodies])
MESSY = {
    "birth_name": messy_names,
    "used_name": messy_names,
    "given_names": st.lists(messy_names, max_size=3).map(" ".join),
    "used_given_name": messy_names,
    "birth_date": dates,
    "sex": st.sampled_from("MFUfm"),
    "birth_place": st.sampled_from(("35238", "2a004", "99999", "00000", "99352", "11111", "Rennes", "FRANCE", "x")),
    "address": st.sampled_from(("1 rue de l'Église", "x")),
    "postal_code": st.sampled_from(("35000", "00000", "11111", "2A000", "F-35000", "12345")),
    "city": st.sampled_from(("RENNES CEDEX 7", "St Malo", "L'Haÿ-les-Roses", "INCONNU", "PARIS 12")) | letters,
    "country": st.just("FR"),
    "phone": st.lists(
        st.sampled_from(("0612345678", "+33 6 12 34 56 78", "0600000000", "0123456789", "0511111111", "06")), max_size=3
    ).map("~".join),
    "email": st.sampled_from(("a@b.fr", "B@b.fr", "a@b.fr~c@d.fr", "test@b.fr", "a@", "@b", "a@b@c", "a b@c.fr")),
    "national_id": st.sampled_from(("12345", "12-345", "1111", "X", "123456789", "ABC12")),
    "ins": sound_matricules,
    "mother_birth_name": messy_names,
    "birth_order": st.integers(1, 3).map(str),
    "multiple_birth": st.sampled_from(("true", "0", "oui")),
    "identity_status": st.sampled_from(("VALI", "PROV", "QUAL HOMA", "FICT", "RECUP~DOUT", "vali cach")),
}  # fmt: skip
blank = st.sampled_from((None, "", "  "))
rows = st.fixed_dictionaries(
    {name: blank | values | values.map(lambda text: f" {text} ") for name, values in MESSY.items()}
)
tables = st.lists(rows, min_size=1, max_size=6)


@settings(deadline=None)  # a busy machine is no failure
@given(tables, st.booleans())
def test_a_column_reads_each_value_as_one_record_would(records, as_frame):
    columns = {name: [record[name] for record in records] for name in TRAIT_NAMES}
    table = pd.DataFrame(columns) if as_frame else pa.table(columns)

    read = TraitColumns.of_table(table, on_bad="missing")

    for at, record in enumerate(records):
        assert read.row(at) == normalise(demographics_from_mapping(_without_wrong_values(record)))
    for field in FIELDS:
        assert len(set(read[field].values)) == len(read[field].values), field


def _without_wrong_values(record):
    return {name: value for name, value in record.items() if _is_right(name, value)}


def _is_right(name, value):
    try:
        demographics_from_mapping({name: value})
    except InvalidIdentity:
        return False
    return True


# --- candidates ---------------------------------------------------------------------------


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(traits, max_size=8))
def test_candidates_are_the_pairs_that_share_a_key(records):
    found = candidates(TraitColumns.of_traits(records))

    pairs = list(zip(found.left.tolist(), found.right.tolist(), strict=True))
    assert pairs == sorted(candidate_pairs(records))


def loose_keys(record):
    """The loose passes of one record, in clear."""
    date = record.birth_date
    if date is not None and date.day is not None:
        yield "date", str(date)
    sounds = {
        parts[2]
        for parts in passes(replace(record, birth_date=PartialDate(1980, 5, 17)))
        if parts[0].startswith("date_")
    }
    for field in ("postal_code", "city"):
        if place := getattr(record, field):
            yield from (("home", field, place, sound) for sound in sounds)


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(traits, max_size=8))
def test_loose_passes_add_the_pairs_that_share_a_loose_key_or_are_left_out(records):
    found = candidates(TraitColumns.of_traits(records), loose=True)

    blocks = defaultdict(list)
    for at, record in enumerate(records):
        for key in set(loose_keys(record)):
            blocks[key].append(at)
    shared = Counter({"date": 0, "home": 0})
    for key, block in blocks.items():
        shared[key[0]] += len(block) * (len(block) - 1) // 2
    left_out = {name for name, pairs in shared.items() if pairs > LOOSE_PAIRS_PER_RECORD * len(records)}
    loose = {
        pair for key, block in blocks.items() if key[0] not in left_out for pair in combinations(block, 2)
    }
    assert {each.name for each in found.left_out} >= left_out
    if {each.name for each in found.left_out} == left_out:
        pairs = list(zip(found.left.tolist(), found.right.tolist(), strict=True))
        assert pairs == sorted(candidate_pairs(records) | loose)


# --- levels -------------------------------------------------------------------------------


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(traits, min_size=2, max_size=6))
def test_the_levels_of_many_pairs_are_those_of_each(records):
    left, right = np.triu_indices(len(records), 1)

    found = levels_of(TraitColumns.of_traits(records), left, right)

    for row, a, b in zip(found.tolist(), left, right, strict=True):
        assert tuple(row) == compare(records[a], records[b])


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(traits, min_size=2, max_size=6))
def test_an_accelerator_says_what_its_level_says(records):
    """For the pairs that reach it: those on which every level above it fails."""
    left, right = np.triu_indices(len(records), 1)
    derived = Derived(TraitColumns.of_traits(records))

    for (trait, name), accelerate in ACCELERATORS.items():
        comparison = COMPARISONS[POSITION[trait]]
        number = comparison.level_names.index(name)
        levels = np.array(
            [comparison.level(records[a], records[b]) for a, b in zip(left, right, strict=True)]
        )
        reached = (number == MISSING) | ((levels != MISSING) & (levels >= number))
        answers = accelerate(Pairs(derived, left[reached], right[reached]))
        known = answers != UNKNOWN
        assert ((answers == HOLDS) == (levels[reached] == number))[known].all(), (trait, name)


words = st.text(alphabet="AEIOUYCHGLSTZMNX", max_size=9) | st.lists(
    st.sampled_from(
        (
            "MAC",
            "SAINT",
            "SC",
            "GE",
            "AU",
            "ILL",
            "OU",
            "GNI",
            "BOURN",
            "IM",
            "EIN",
            "CC",
            "TIA",
            "ILE",
            "SS",
            "EUX",
            "X",
        )
    ),
    max_size=3,
).map("".join)


@settings(deadline=None)  # a busy machine is no failure
@given(words)
def test_a_phonetic_rule_applies_only_to_names_that_hold_its_letters(word):
    assert all(needed in word for needed, sound, _ in phonetics._RULES if sound.search(word))
    assert phonetics._DOUBLE.search(word) or not any(sound.search(word) for sound, _ in phonetics._DOUBLED)


# --- weights and decisions ----------------------------------------------------------------


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(traits, min_size=2, max_size=6), st.booleans())
def test_a_batch_weighs_and_decides_as_one_pair_would_be(records, same_domain):
    model = MatchModel.default()
    columns = TraitColumns.of_traits(records)
    left, right = np.triu_indices(len(records), 1)
    levels = levels_of(columns, left, right)

    weighed = weigh(model, columns, left, right, levels)
    guards = guards_of(columns, left, right, levels, weighed.patterns)
    decisions = decide(model, weighed, guards, np.full(len(left), same_domain))
    contradicts = contradictions(model, weighed, guards)

    for at, (a, b) in enumerate(zip(left, right, strict=True)):
        online = score(model, records[a], records[b], same_domain=same_domain)
        assert abs(weighed.bits[at] - online.weight_bits) < 1e-9
        assert {guard.name for n, guard in enumerate(GUARDS) if guards[at] >> n & 1} == set(online.guards)
        assert DECISIONS[decisions[at]] is online.decision
        assert contradicts[at] == online.contradicts


@settings(deadline=None)  # a busy machine is no failure
@given(
    st.lists(st.floats(-80, 80), max_size=9),
    st.sampled_from(
        (None, Calibration(0.8, -1.0), IsotonicCalibration(((-4.0, -6.0), (1.0, 0.5), (9.0, 8.0))))
    ),
)
def test_many_weights_have_the_probability_of_each(bits, calibration):
    model = replace(MatchModel.default(), calibration=calibration)

    found = probabilities(model, np.array(bits, dtype=np.float64))

    assert np.allclose(found, [model.probability(each) for each in bits], rtol=1e-9, atol=0)
