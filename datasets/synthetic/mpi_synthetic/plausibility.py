"""
How believable a federation is: figures to hold against what French registers publish.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations

from mpi.identity.model import NameUse

from .federation import EventKind, Federation
from .population import Person
from .sites import StatedRecord, without_accents


def plausibility(federation: Federation) -> dict[str, float]:
    """
    Measure a federation.

    `exact_…` is the share of true pairs that agree exactly on every strict trait: birth name (or the only
    name stated) and first given name, accents, case and punctuation apart, birth date, sex and, where both
    state it, the INSEE code of the birth place.
    """
    people = {person.person_id: person for person in federation.people}
    records = [record for record in federation.records if record.person_id in people]
    pairs = list(_true_pairs(records))

    def exact(of: Callable[[Person], bool] = lambda person: True) -> float:
        return _share(agree for person_id, agree in pairs if of(people[person_id]))

    hl7 = [record for record in records if record.channel == "hl7"]
    kinds = [event.kind for event in federation.events]
    return {
        "people": len(people),
        "records": len(federation.records),
        "events": len(kinds),
        "records_per_person": len(records) / len({record.person_id for record in records}),
        "true_pairs": len(pairs),
        "exact_strict_traits": exact(),
        "exact_women": exact(lambda person: person.sex == "F"),
        "exact_men": exact(lambda person: person.sex == "M"),
        "exact_women_with_a_used_name": exact(lambda person: bool(person.used_family)),
        "exact_born_abroad": exact(lambda person: person.born_abroad),
        "exact_twins": exact(lambda person: person.twin),
        "exact_within_feeds": _share(agree for _, agree in _true_pairs(hl7)),
        "duplicates_within_a_site": len(records) / len({(r.site, r.person_id) for r in records}) - 1,
        "twins": _share(person.twin for person in federation.people),
        "born_abroad": _share(person.born_abroad for person in federation.people),
        "women_with_a_used_name": _share(bool(p.used_family) for p in federation.people if p.sex == "F"),
        "hyphenated_given_names": _share("-" in person.given_names[0] for person in federation.people),
        "accented_given_names": _share(not person.given_names[0].isascii() for person in federation.people),
        "records_with_ins": _share(bool(record.demographics.ins) for record in records),
        "updates_per_hl7_record": kinds.count(EventKind.UPDATE) / max(1, len(hl7)),
        "merges": kinds.count(EventKind.MERGE),
    }


def _true_pairs(records: Iterable[StatedRecord]) -> Iterable[tuple[str, bool]]:
    by_person = defaultdict(list)
    for record in records:
        by_person[record.person_id].append(_strict_traits(record))
    for person_id, stated in by_person.items():
        for left, right in combinations(stated, 2):
            same_place = left[-1] == right[-1] or not (left[-1] and right[-1])
            yield person_id, left[:-1] == right[:-1] and same_place


def _strict_traits(record: StatedRecord) -> tuple[str, ...]:
    stated = record.demographics
    name = next((name for name in stated.names if name.use is not NameUse.USED), stated.names[0])
    names = _plain(name.family), _plain(name.given)
    return (*names, str(stated.birth_date), stated.sex, stated.birth_place_code)


def _plain(text: str) -> str:
    return "".join(letter for letter in without_accents(text) if letter.isalnum())


def _share(answers: Iterable[bool]) -> float:
    found = list(answers)
    return sum(found) / len(found) if found else 0.0
