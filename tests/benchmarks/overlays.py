"""
The overlay firewall on synthetic updates: how many overlays it holds, and how many of the other changes.

    python -m tests.benchmarks.overlays [--people N] [--show N] [--tuning]

An update is two statements of one identifier, folded as the index folds them. Sites, habits and errors
are those of the generator. The bound is tuned on one federation and judged on another: other people,
rates and operators of error.

Overlays, 1,000: the second statement is about

    50 %     a stranger: anybody else of the federation
    20 %     spouse, parent, child or sibling: somebody of the household
    10 %     somebody of the same family name
    7.5 %    somebody born on the same day
    7.5 %    somebody of the same sex and first given name
    5 %      the twin

Other changes, 10,000: see `CHANGES`. An overlay of a record that says nothing is none.
"""

import argparse
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

from mpi_synthetic import JUDGING, TUNING, Person, Profile, Site
from mpi_synthetic.entries import Entry, corrected, enter, header_name
from mpi_synthetic.names import draw_given_names, draw_surname
from mpi_synthetic.population import TODAY, draw_people, parts_of
from mpi_synthetic.reference import Weighted
from mpi_synthetic.sites import Feed, default_sites
from mpi_synthetic.style import write_down

from mpi.identity.model import AssigningAuthority, Demographics, PartialDate, PatientIdentifier, SourceRecord
from mpi.identity.traits import Traits, normalise
from mpi.index.golden import current
from mpi.matching.continuity import changes_person
from mpi.matching.evaluation import wilson
from mpi.matching.model import MatchModel
from tests.benchmarks.history import record

PEOPLE = 20_000
OVERLAYS, LEGITIMATE = 1_000, 10_000
TUNING_SEED, JUDGING_SEED = 41, 42
HELD_AT_LEAST, HELD_AT_MOST = 0.98, 0.02
"""Of the overlays, and of the other changes."""
_NUMBER = PatientIdentifier("1", AssigningAuthority("SITE"))
_FIRST = datetime(2026, 1, 5, 9, tzinfo=UTC)


class Update(NamedTuple):
    """A source record before and after a statement, and what the statement was."""

    kind: str
    before: Traits
    after: Traits


@dataclass(frozen=True, slots=True)
class Scene:
    """A federation to draw updates from."""

    people: tuple[Person, ...]
    sites: tuple[Site, ...]
    profile: Profile
    rng: random.Random

    def somebody(self, wanted: Callable[[Person], bool] = lambda person: True) -> Person:
        """Anybody of whom something holds."""
        while True:
            person = self.rng.choice(self.people)
            if wanted(person):
                return person

    def spouse(self) -> Person:
        """Somebody of age to marry; nine in ten are women, whose name it mostly changes."""
        sex = "F" if self.rng.random() < 0.9 else "M"
        return self.somebody(lambda person: person.sex == sex and person.birth_date.year < 2006)

    def surname(self, person: Person) -> str:
        """The family name of a husband or wife."""
        return draw_surname(person.birth_date.year, "", self.rng)

    def site(self) -> Site:
        """Any site."""
        return self.rng.choice(self.sites)

    def feed(self) -> Site:
        """A site with a feed: birth and used name have fields of their own."""
        return self.rng.choice([site for site in self.sites if site.feed is not Feed.DICOM])

    def enter(self, person: Person, site: Site, day: date = TODAY) -> Entry:
        """What a clerk types for a person on a day."""
        return enter(person, site, self.profile, self.rng, day)

    def stated(self, entry: Entry, site: Site) -> Demographics:
        """What the site says: a header shows one of the names, which changes from one to the next."""
        if site.feed is Feed.DICOM:
            entry = replace(entry, header_name=header_name(site, self.rng))
        return write_down(entry, site)


def scene(people: int, seed: int, profile: Profile) -> Scene:
    """Draw the federation of a seed."""
    drawn = tuple(person for part in parts_of(people) for person in draw_people(part, seed))
    return Scene(drawn, default_sites(4), profile, random.Random(f"overlays/{seed}/{profile.name}"))


def update(kind: str, before: Demographics, after: Demographics) -> Update:
    """Fold the two statements of one identifier as the index does."""
    first = SourceRecord(_NUMBER, "site", before, _FIRST, "ris")
    second = SourceRecord(_NUMBER, "site", after, _FIRST + timedelta(days=9), "ris")
    return Update(
        kind,
        normalise(current([(1, first)]).demographics),
        normalise(current([(1, first), (2, second)]).demographics),
    )


# --- overlays -----------------------------------------------------------------------------

OVERLAID_BY = Weighted(
    [
        ("stranger", 50.0),
        ("household", 20),
        ("same family name", 10),
        ("same birth date", 7.5),
        ("same given name", 7.5),
        ("twin", 5),
    ]
)


def _shared(kind: str, person: Person) -> object:
    """What the person has in common with whoever overlays them; None for who cannot be drawn."""
    match kind:
        case "stranger":
            return "anybody"
        case "household":
            return person.household
        case "same family name":
            return person.birth_family
        case "same birth date":
            return person.birth_date
        case "same given name":
            return person.sex, person.given_names[0]
        case "twin":
            return (person.household, person.birth_date) if person.twin else None
    raise AssertionError(kind)


def overlays(scene: Scene, count: int) -> list[Update]:
    """Draw updates that give a number to somebody else."""
    rng = scene.rng
    alike: dict[str, dict[object, list[Person]]] = {}
    for kind in OVERLAID_BY.values:
        groups = defaultdict(list)
        for person in scene.people:
            groups[_shared(kind, person)].append(person)
        alike[kind] = {key: group for key, group in groups.items() if key is not None and len(group) > 1}
    found = []
    for _ in range(count):
        kind = OVERLAID_BY.draw(rng)
        owner = scene.somebody(lambda person, of=alike[kind], kind=kind: _shared(kind, person) in of)
        other = owner
        while other is owner:
            other = rng.choice(alike[kind][_shared(kind, owner)])
        site = rng.choice(scene.sites)
        before, after = (scene.stated(scene.enter(person, site), site) for person in (owner, other))
        found.append(update(kind, before, after))
    return found


# --- other changes ------------------------------------------------------------------------

Change = tuple[Demographics, Demographics]


def moved(scene: Scene) -> Change:
    """Another home, another mobile."""
    person, site = scene.somebody(), scene.site()
    entry = scene.enter(person, site)
    number = f"0700{scene.rng.randrange(1_000_000):06d}"
    after = replace(entry, home=scene.somebody().home, phones=(number, *entry.phones[1:]))
    return scene.stated(entry, site), scene.stated(after, site)


def error_corrected(scene: Scene) -> Change:
    """Every slip of an entry put right at once, the used name added when it is known."""
    while True:
        person, site = scene.somebody(), scene.site()
        entry = scene.enter(person, site)
        if entry.wrong - {"used_name"}:
            return scene.stated(entry, site), scene.stated(corrected(entry, person), site)


def error_made(scene: Scene) -> Change:
    """A slip where all was right."""
    wrong, right = error_corrected(scene)
    return right, wrong


def used_name_in_its_field(scene: Scene) -> Change:
    """Marriage 65 %, another marriage 15 %, divorce that withdraws the name 20 %; nine in ten are women."""
    person, site = scene.spouse(), scene.feed()
    entry = scene.enter(person, site)
    husband = person.husband or scene.surname(person)
    former = scene.rng.choices(("", scene.surname(person), husband), (65, 15, 20))[0]
    before = scene.stated(replace(entry, used_family=former, used_given=""), site)
    if former == husband:
        after = scene.stated(replace(entry, used_family="", used_given=""), site)
        return before, replace(after, deleted=frozenset({"used_name"}))
    return before, scene.stated(replace(entry, used_family=husband, used_given=""), site)


def used_name_in_the_only_field(scene: Scene) -> Change:
    """The same, at a site with one name field: marriage 65 %, another 10 %, birth name again 25 %."""
    person, site = scene.spouse(), scene.site()
    entry = replace(scene.enter(person, site), used_family="", used_given="")
    husband = person.husband or scene.surname(person)
    names = (entry.family, husband), (scene.surname(person), husband), (husband, entry.family)
    before, after = scene.rng.choices(names, (65, 10, 25))[0]
    return (
        scene.stated(replace(entry, family=before), site),
        scene.stated(replace(entry, family=after), site),
    )


def newborn_named(scene: Scene) -> Change:
    """BEBE and the like -> the given name; one in four waited under the mother's name."""
    while True:
        person, site = scene.somebody(lambda person: person.birth_date.year >= 2015), scene.site()
        day = person.birth_date + timedelta(days=scene.rng.randrange(4))
        entry = scene.enter(person, site, day)
        if entry.unnamed:
            break
    named = replace(corrected(entry, person), given_list=person.given_names * (scene.rng.random() < 0.3))
    if scene.rng.random() < 0.25:
        entry = replace(entry, family=person.mother_birth_name)
    return scene.stated(entry, site), scene.stated(named, site)


def qualified(scene: Scene) -> Change:
    """The traits of the national service: INS, given list, birth place; a NIA becomes a NIR."""
    while True:
        person, site = scene.somebody(lambda person: bool(person.ins)), scene.feed()
        entry = scene.enter(person, site)
        if entry.nia or not entry.ins:
            break
    after = replace(
        corrected(entry, person),
        given_list=person.given_names,
        ins=person.ins,
        nia=False,
        codes=("VALI",),
        place_as_code=True,
    )
    return scene.stated(entry, site), scene.stated(after, site)


def given_names_completed(scene: Scene) -> Change:
    """JEAN -> JEAN-PIERRE; the first given name -> the whole list."""
    person, site = scene.somebody(lambda person: len(person.given_names) > 1), scene.feed()
    entry = scene.enter(person, site)
    before = replace(entry, given=person.given_names[0].split("-")[0], given_list=())
    after = replace(entry, given=person.given_names[0], given_list=person.given_names)
    return scene.stated(before, site), scene.stated(after, site)


def compound_split(scene: Scene) -> Change:
    """A compound given name from one of its forms to another: JEAN-PIERRE, JEANPIERRE, and JEAN, PIERRE."""
    person, site = scene.somebody(lambda person: person.given_names[0].count("-") == 1), scene.feed()
    entry = scene.enter(person, site)
    compound, *others = person.given_names
    words = compound.split("-")
    forms = (
        (compound, ()),
        (" ".join(words), ()),
        ("".join(words), ()),
        (words[0], (*words, *others)),
    )
    before, after = scene.rng.sample(forms, 2)
    return (
        scene.stated(replace(entry, given=before[0], given_list=before[1]), site),
        scene.stated(replace(entry, given=after[0], given_list=after[1]), site),
    )


def names_in_their_fields(scene: Scene) -> Change:
    """A used name typed as birth name put in its field (50 %), the reverse (30 %), the two exchanged (20 %)."""
    person, site = scene.somebody(lambda person: bool(person.used_family)), scene.feed()
    entry = scene.enter(person, site)
    birth, used = person.birth_family, person.used_family
    right, only, exchanged = (
        scene.stated(replace(entry, family=family, used_family=in_use), site)
        for family, in_use in ((birth, used), (used, ""), (used, birth))
    )
    return scene.rng.choices(((only, right), (right, only), (exchanged, right)), (50, 30, 20))[0]


def given_name_changed_by_law(scene: Scene) -> Change:
    """Another first given name; for one in five another sex too."""
    person, site = scene.somebody(), scene.site()
    entry = scene.enter(person, site)
    sex = "FM".replace(person.sex, "") if scene.rng.random() < 0.2 else person.sex
    given = draw_given_names(sex, person.birth_date.year, "", scene.rng, not_named=person.given_names[0])[0]
    listed = (given, *person.given_names[1:]) if entry.given_list else ()
    return (
        scene.stated(entry, site),
        scene.stated(replace(entry, given=given, given_list=listed, sex=sex), site),
    )


def date_found(scene: Scene) -> Change:
    """1 January, flagged or not, or the year alone -> the true date; the year was guessed for three in ten."""
    person, site = scene.somebody(lambda person: person.birth_day_known), scene.site()
    rng = scene.rng
    entry = replace(scene.enter(person, site), ins="", nia=False, interpreted=None)
    day = person.birth_date
    year = day.year + (rng.choice((-3, -2, -1, 1, 2, 3)) if rng.random() < 0.3 else 0)
    unknown, flag = rng.choice(
        ((PartialDate(year, 1, 1), True), (PartialDate(year, 1, 1), None), (PartialDate(year), None))
    )
    before = replace(entry, birth_date=unknown, interpreted=flag)
    after = replace(entry, birth_date=PartialDate(day.year, day.month, day.day))
    return scene.stated(before, site), scene.stated(after, site)


CHANGES: tuple[tuple[str, float, Callable[[Scene], Change]], ...] = (
    ("move, another telephone", 30.0, moved),
    ("error corrected", 15.0, error_corrected),
    ("error made", 3.0, error_made),
    ("marriage, divorce: used name", 10.0, used_name_in_its_field),
    ("marriage, divorce: the only name", 5.0, used_name_in_the_only_field),
    ("newborn named", 5.0, newborn_named),
    ("late qualification", 16.8, qualified),
    ("given names completed", 5.0, given_names_completed),
    ("compound given name split", 2.5, compound_split),
    ("birth and used name in their fields", 5.0, names_in_their_fields),
    ("given name changed by law", 0.2, given_name_changed_by_law),
    ("interpreted date replaced", 2.5, date_found),
)
"""
Every kind of change, its share in percent, and how it is drawn.

Harder than the generator's own updates, of which 60 % are contacts, 27 % late qualifications and less than
4 % corrections.
"""


def changes(scene: Scene, count: int) -> list[Update]:
    """Draw updates about one person."""
    kinds = Weighted([((name, draw), share) for name, share, draw in CHANGES])
    found = []
    for _ in range(count):
        name, draw = kinds.draw(scene.rng)
        found.append(update(name, *draw(scene)))
    return found


# --- judging ------------------------------------------------------------------------------


def held(model: MatchModel, updates: list[Update]) -> list[str | None]:
    """The reason each update is held for, None for those that pass."""
    return [changes_person(model, each.before, each.after) for each in updates]


def table(updates: list[Update], reasons: list[str | None]) -> dict[str, tuple[int, int]]:
    """By kind, and over all: how many are held, of how many."""
    out: dict[str, tuple[int, int]] = {}
    for each, reason in zip(updates, reasons, strict=True):
        for kind in (each.kind, "all"):
            hits, total = out.get(kind, (0, 0))
            out[kind] = hits + (reason is not None), total + 1
    return out


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=int, default=PEOPLE)
    parser.add_argument("--show", type=int, default=0, help="print so many wrong answers of each sort")
    parser.add_argument(
        "--tuning", action="store_true", help="the federation the bound is tuned on; no history"
    )
    asked = parser.parse_args()
    seed, profile = (TUNING_SEED, TUNING) if asked.tuning else (JUDGING_SEED, JUDGING)
    drawn = scene(asked.people, seed, profile)
    model = MatchModel.default()
    figures = {}
    for name, updates in (("overlays", overlays(drawn, OVERLAYS)), ("changes", changes(drawn, LEGITIMATE))):
        before = time.perf_counter()
        reasons = held(model, updates)
        microseconds = 1e6 * (time.perf_counter() - before) / len(updates)
        print(f"{name}, held; {microseconds:.0f} microseconds each; {dict(Counter(reasons))}")
        rows = {}
        for kind, (hits, total) in sorted(table(updates, reasons).items(), key=lambda row: -row[1][1]):
            share = wilson(hits, total)
            rows[kind] = [hits, total, round(share.low, 5), round(share.high, 5)]
            print(f"  {kind:36} {hits:5} of {total:5}  {share.value:.4f} [{share.low:.4f}, {share.high:.4f}]")
        figures |= {name: rows, f"{name}_us": round(microseconds, 1)}
        show(updates, reasons, name == "changes", asked.show)
    if not asked.tuning:
        record("overlays", {"people": asked.people, "seed": seed, **figures})


def show(updates: list[Update], reasons: list[str | None], hits: bool, count: int) -> None:
    """Print some wrong answers: synthetic people."""
    wrong = [(e, r) for e, r in zip(updates, reasons, strict=True) if (r is not None) == hits]
    for each, reason in wrong[:count]:
        print(f"    {each.kind}: {reason}\n      {each.before.to_json()}\n      {each.after.to_json()}")


if __name__ == "__main__":
    main()
