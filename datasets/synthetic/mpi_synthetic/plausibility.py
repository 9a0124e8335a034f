"""
How believable a federation is: figures to hold against what Insee and hospitals publish.

Figures are quotients of counts, and counts add up: parts of a large federation are counted apart.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt

from mpi.identity.model import NameUse

from . import reference
from .events import Event, StatedRecord
from .federation import Federation
from .population import Person
from .spelling import without_accents

LABEL_ERRORS = ("family", "used_name", "birth_date", "given", "names_swapped", "sex")
OF = "/"
"""Ends the name of the count that a count is a share of."""
NOT_SHARES = frozenset({"records_per_person"})
WITHOUT_A_DAY = frozenset({"maghreb", "sahel", "comoros"})


@dataclass(frozen=True, slots=True)
class Fact:
    """
    A published figure.

    Args:
        figure: its name in `plausibility`.
        low, high: what is believed, sampling error aside; it is widened by three standard errors.
        source: who says so, I for Insee, H for hospitals and their registers..
    """

    figure: str
    low: float
    high: float
    source: str


FACTS = (
    Fact("one_given_name", 0.21, 0.25, "I"),
    Fact("two_given_names", 0.39, 0.43, "I"),
    Fact("three_given_names", 0.29, 0.33, "I"),
    Fact("four_given_names", 0.03, 0.07, "I"),
    Fact("hyphenated_men_1950s", 0.09, 0.12, "I"),
    Fact("hyphenated_women_1950s", 0.065, 0.09, "I"),
    Fact("hyphenated_men_1980s", 0.018, 0.032, "I"),
    Fact("hyphenated_women_1980s", 0.014, 0.026, "I"),
    Fact("hyphenated_since_2015", 0.0, 0.006, "I"),
    Fact("accented_given_names", 0.12, 0.16, "I"),
    Fact("surnames_beyond_the_40000_commonest", 0.13, 0.21, "I"),
    Fact("wives_born_before_1950_with_the_husbands_name", 0.87, 0.93, "I"),
    Fact("wives_born_later_with_the_husbands_name", 0.55, 0.65, "I"),
    Fact("double_names_among_used_names", 0.07, 0.14, "I"),
    Fact("children_with_the_fathers_name", 0.80, 0.86, "I"),
    Fact("children_with_a_double_name", 0.08, 0.12, "I"),
    Fact("children_with_the_mothers_name", 0.05, 0.09, "I"),
    Fact("twins", 0.030, 0.038, "I"),
    Fact("born_abroad", 0.12, 0.145, "I"),
    Fact("without_a_day_of_birth", 0.05, 0.15, "H"),
    Fact("exact_strict_traits", 0.81, 0.85, "H"),
    Fact("duplicates_within_a_site", 0.025, 0.038, "H"),
    Fact("overlays", 0.001, 0.01, "H"),
    Fact("label_errors_family", 0.21, 0.29, "H"),
    Fact("label_errors_used_name", 0.17, 0.25, "H"),
    Fact("label_errors_birth_date", 0.12, 0.18, "H"),
)
"""`without_a_day_of_birth`: of people born in the Maghreb, the Sahel or the Comoros before 1975."""


def plausibility(federation: Federation) -> dict[str, float]:
    """
    Measure a federation.

    `exact_…` is the share of true pairs that agree exactly on every strict trait: birth name (or the only
    name stated) and first given name, accents, case and punctuation apart, birth date, sex and, where both
    state it, the INSEE code of the birth place.
    """
    return figures_of(tally(federation.people, federation.records, federation.events))


def tally(people: Sequence[Person], records: Sequence[StatedRecord], events: Sequence[Event]) -> Counter[str]:
    """Count what the figures are made of, in a federation or in a part of it."""
    counts = Counter[str](people=len(people), records=len(records), events=len(events))
    for kind, number in Counter(event.kind for event in events).items():
        counts[f"events_{kind}"] += number
    by_id = {person.person_id: person for person in people}
    for person in people:
        _count_person(person, by_id, counts)
    _count_records([record for record in records if record.person_id in by_id], by_id, counts)
    namesakes = Counter((p.sex, p.birth_family, p.given_names[0], p.birth_date) for p in people)
    counts["pairs_of_same_day_namesakes"] += sum(n * (n - 1) // 2 for n in namesakes.values())
    return counts


def figures_of(counts: Counter[str]) -> dict[str, float]:
    """Turn counts into figures: shares of what they are counted among, and plain numbers."""
    shares = {name.removesuffix(OF) for name in counts if name.endswith(OF)}
    figures: dict[str, float] = {name: counts[name] for name in counts if not name.endswith(OF)}
    return figures | {name: counts[name] / max(1, counts[name + OF]) for name in sorted(shares)}


def report(counts: Counter[str]) -> str:
    """Hold the figures against the facts: one line each, with a verdict."""
    figures = figures_of(counts)
    lines = [f"{'figure':<48}{'believed':>16}{'found':>9}{'of':>9}  verdict"]
    for fact in FACTS:
        found, of = figures.get(fact.figure, 0.0), counts[fact.figure + OF]
        slack = 3 * sqrt(found * (1 - found) / of) if of and 0 <= found <= 1 else 1.0
        verdict = "as believed" if fact.low - slack <= found <= fact.high + slack else "OFF"
        if of < 30:
            verdict = "too few"
        believed = f"{fact.low:.1%}-{fact.high:.1%} {fact.source}"
        lines.append(f"{fact.figure:<48}{believed:>16}{found:>9.1%}{of:>9}  {verdict}")
    known = {fact.figure for fact in FACTS}
    for name in sorted(figures.keys() - known):
        found, of = figures[name], counts[name + OF]
        plain = (
            f"{found:>9.0f}"
            if not of
            else f"{found:>9.2f}"
            if name in NOT_SHARES
            else f"{found:>9.1%}{of:>9}"
        )
        lines.append(f"{name:<48}{'':>16}{plain}")
    lines.append("I: Insee. H: hospitals and identity registers. Three standard errors are allowed.")
    return "\n".join(lines) + "\n"


def _count(counts: Counter[str], name: str, hit: bool, among: bool = True) -> None:
    """Count somebody among those of whom a share is taken, and whether they belong to it."""
    if among:
        counts[name + OF] += 1
        counts[name] += hit


def _count_person(person: Person, by_id: dict[str, Person], counts: Counter[str]) -> None:
    french = person.naming == ""
    single = french and person.birth_family.isalpha()
    year, hyphen = person.birth_date.year, "-" in person.given_names[0]
    sex = "men" if person.sex == "M" else "women"
    for number, name in enumerate(
        ("one_given_name", "two_given_names", "three_given_names", "four_given_names")
    ):
        _count(counts, name, len(person.given_names) == number + 1)
    for decade in (1950, 1980):
        _count(counts, f"hyphenated_{sex}_{decade}s", hyphen, french and year // 10 * 10 == decade)
    _count(counts, "hyphenated_since_2015", hyphen, french and year >= 2015)
    _count(counts, "accented_given_names", not person.given_names[0].isascii())
    _count(
        counts,
        "surnames_beyond_the_40000_commonest",
        person.birth_family not in reference.known_surnames(),
        single,
    )
    _count(counts, "twins", person.twin)
    _count(counts, "born_abroad", person.born_abroad)
    _count(counts, "women_with_a_used_name", bool(person.used_family), person.sex == "F")
    before = "wives_born_before_1950" if year < 1950 else "wives_born_later"
    changed = bool(person.husband) and person.husband != person.birth_family
    _count(counts, f"{before}_with_the_husbands_name", bool(person.used_family), changed)
    double = len(person.used_family) > max(len(person.birth_family), len(person.husband))
    _count(counts, "double_names_among_used_names", double, bool(person.used_family))
    _count(counts, "dead", person.death_date is not None)
    without = person.birth_place.region in WITHOUT_A_DAY and person.born_abroad and year < 1975
    _count(counts, "without_a_day_of_birth", not person.birth_day_known, without)
    father, mother = by_id.get(person.father_id), by_id.get(person.mother_id)
    if father and mother and father.birth_family != mother.birth_family:
        _count(counts, "children_with_the_fathers_name", person.birth_family == father.birth_family)
        _count(counts, "children_with_the_mothers_name", person.birth_family == mother.birth_family)
        of_both = person.birth_family not in (father.birth_family, mother.birth_family)
        _count(counts, "children_with_a_double_name", of_both)


def _count_records(records: list[StatedRecord], by_id: dict[str, Person], counts: Counter[str]) -> None:
    by_person: dict[str, list[StatedRecord]] = defaultdict(list)
    seen: set[tuple[str, str]] = set()
    for record in records:
        by_person[record.person_id].append(record)
        _count(counts, "duplicates_within_a_site", (record.site, record.person_id) in seen)
        seen.add((record.site, record.person_id))
        _count(counts, "records_with_ins", bool(record.demographics.ins))
        _count(counts, "overlays", bool(record.overlaid_person_id), record.channel == "hl7")
        errors = set(LABEL_ERRORS) & set(record.wrong)
        _count(counts, "records_with_an_error", bool(errors))
        for error in errors:
            for kind in LABEL_ERRORS:
                _count(counts, f"label_errors_{kind}", error == kind)
    counts["records_per_person"] += len(records)
    counts["records_per_person" + OF] += len(by_person)
    for person_id, stated in by_person.items():
        if len(stated) > 1:
            _count_pairs(by_id[person_id], stated, counts)


def _count_pairs(person: Person, stated: list[StatedRecord], counts: Counter[str]) -> None:
    traits = [(record.channel == "hl7", _strict_traits(record)) for record in stated]
    for (left_fed, left), (right_fed, right) in combinations(traits, 2):
        same_place = left[-1] == right[-1] or not (left[-1] and right[-1])
        exact = left[:-1] == right[:-1] and same_place
        _count(counts, "exact_strict_traits", exact)
        _count(counts, "exact_women" if person.sex == "F" else "exact_men", exact)
        _count(counts, "exact_women_with_a_used_name", exact, bool(person.used_family))
        _count(counts, "exact_born_abroad", exact, person.born_abroad)
        _count(counts, "exact_twins", exact, person.twin)
        _count(counts, "exact_within_feeds", exact, left_fed and right_fed)


def _strict_traits(record: StatedRecord) -> tuple[str, ...]:
    stated = record.demographics
    name = next((name for name in stated.names if name.use is not NameUse.USED), stated.names[0])
    return (
        _plain(name.family),
        _plain(name.given),
        str(stated.birth_date),
        stated.sex,
        stated.birth_place_code,
    )


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, without_accents(text)))
