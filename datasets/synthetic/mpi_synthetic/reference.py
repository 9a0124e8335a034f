"""
The reference tables: what names, places and streets exist, and how often.

Read once. The folder `tables` says where they come from.
"""

import csv
import gzip
import random
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Generic, TypeVar

TABLES = Path(__file__).parent / "tables"
OPEN_VOCABULARY = "*"
MATERNITY_TOWN = 20_000
"""Since the 1970s nearly every birth is declared in a town of this many inhabitants or more."""
BOROUGHS_INSTEAD = frozenset({"75056", "69123", "13055"})

OVERSEAS = ("97", "98")
OVERSEAS_NAMES = {"971": "creole", "972": "creole", "973": "creole", "974": "creole", "976": "comoros"}
BORN_IN_WHAT_WAS_ABSORBED = 0.3
"""Share of a commune's births before it absorbed another that were declared in the other one."""

T = TypeVar("T")


class Weighted(Generic[T]):
    """Values drawn in proportion to their weights."""

    def __init__(self, items: Sequence[tuple[T, float]]) -> None:
        self.values = [value for value, _ in items]
        self._reached = list(accumulate(weight for _, weight in items))
        self._total = self._reached[-1]
        self._last = len(self.values) - 1

    def draw(self, rng: random.Random) -> T:
        """Draw one value."""
        return self.values[bisect(self._reached, rng.random() * self._total, 0, self._last)]


class Trigrams:
    """Names invented letter by letter, each after the two before it."""

    def __init__(self, table: str) -> None:
        counts: dict[str, list[tuple[str, float]]] = defaultdict(list)
        for row in rows(table):
            counts[row["before"]].append((row["letter"], float(row["count"])))
        self._next = {before: Weighted(letters) for before, letters in counts.items()}

    def draw(self, rng: random.Random) -> str:
        """Invent a name of 4 to 12 letters."""
        while True:
            text = "^^"
            while text[-1] != "$" and len(text) < 15:
                text += self._next[text[-2:]].draw(rng) if text[-2:] in self._next else "$"
            if text[-1] == "$" and 4 <= len(text) - 3 <= 12:
                return text[2:-1]


@dataclass(frozen=True, slots=True)
class Place:
    """
    A commune or, for births abroad, a country: its INSEE code and its name.

    Args:
        region: which names its people carry, where they are not those of the mainland.
        code_now: the code in force today, where it is not the one of that day; else empty.
    """

    code: str
    name: str
    department: str
    region: str = ""
    code_now: str = ""

    @property
    def abroad(self) -> bool:
        """Whether this is a country."""
        return self.department == "99"

    @property
    def department_now(self) -> str:
        """The department of today: 93 for Montreuil, which was in 75."""
        return department_of(self.code_now) if self.code_now else self.department


def department_of(code: str) -> str:
    """The department of an INSEE code."""
    return code[:3] if code.startswith(OVERSEAS) else code[:2]


def rows(table: str) -> Iterator[dict[str, str]]:
    """Read a table, compressed or not."""
    path = TABLES / table
    if table.endswith(".gz"):
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
    else:
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)


@cache
def given_names() -> dict[tuple[str, int], Weighted[str]]:
    """Given names by sex and decade; `*` stands for a name to invent."""
    found: dict[tuple[str, int], list[tuple[str, float]]] = defaultdict(list)
    for row in rows("given_names.csv.gz"):
        for column, weight in row.items():
            if column.isdigit() and weight:
                found[row["sex"], int(column)].append((row["given_name"], float(weight)))
    return {key: Weighted(names) for key, names in found.items()}


@cache
def surnames() -> tuple[Weighted[str], Weighted[str], Weighted[str]]:
    """Surnames of the people born to 1930, to 1970, and since; `*` stands for a name to invent."""
    table = [tuple(row.values()) for row in rows("surnames.csv.gz")]
    first, second, third = (
        Weighted([(row[0], float(row[era])) for row in table if row[era]]) for era in (1, 2, 3)
    )
    return first, second, third


@cache
def known_surnames() -> frozenset[str]:
    """Every surname that is not invented, with and without its accents."""
    names = {name for era in surnames() for name in era.values}
    return frozenset(names | set(surname_accents().values()))


@cache
def surname_trigrams() -> Trigrams:
    """The letters of rare surnames."""
    return Trigrams("surname_trigrams.csv.gz")


@cache
def given_trigrams(sex: str) -> Trigrams:
    """The letters of given names."""
    return Trigrams(f"given_trigrams_{sex.lower()}.csv.gz")


@cache
def surname_accents() -> dict[str, str]:
    """Surnames that Insee writes without the accents some families keep."""
    return {row["surname"]: row["accented"] for row in rows("surname_accents.csv")}


@cache
def given_name_variants() -> dict[str, list[tuple[str, str]]]:
    """Variants of a given name and their kind, by unaccented name."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for row in rows("given_name_variants.csv.gz"):
        found[row["full"]].append((row["short"], row["kind"]))
    return dict(found)


@cache
def names_abroad() -> dict[tuple[str, str], list[str]]:
    """Names by region and kind: `family`, `M` or `F`."""
    return {(row["region"], row["kind"]): row["names"].split(";") for row in rows("names_abroad.csv")}


@cache
def streets() -> list[str]:
    """Kinds and names of streets."""
    return [f"{row['kind']} {row['name']}" for row in rows("streets.csv")]


@cache
def countries() -> Weighted[Place]:
    """Countries of birth."""
    return Weighted(
        [
            (Place(row["insee_code"], row["name"], "99", row["region"]), float(row["weight"]))
            for row in rows("countries.csv.gz")
        ]
    )


@cache
def _communes() -> list[tuple[Place, int]]:
    return [
        (
            Place(
                row["insee_code"], row["name"], row["department"], OVERSEAS_NAMES.get(row["department"], "")
            ),
            int(row["population"]),
        )
        for row in rows("communes.csv.gz")
        if row["insee_code"] not in BOROUGHS_INSTEAD
    ]


@cache
def departments() -> Weighted[str]:
    """Departments, by the population of their towns."""
    total: dict[str, int] = defaultdict(int)
    for place, population in _communes():
        total[place.department] += population
    return Weighted(sorted(total.items()))


@cache
def towns(department: str = "", *, births_since_1970: bool = False) -> Weighted[Place]:
    """
    Communes to live or be born in, of one department or of all.

    Args:
        births_since_1970: only maternity towns, or the largest town where there is none.
    """
    found = [item for item in _communes() if not department or item[0].department == department]
    if births_since_1970:
        maternities = [item for item in found if item[1] >= MATERNITY_TOWN]
        found = maternities or [max(found, key=lambda item: item[1])]
    return Weighted(found)


@cache
def _former_codes() -> dict[str, list[tuple[date, bool, Place]]]:
    """What a commune of today was, by its code: until when, whether it is the same commune, and the place then."""
    found: dict[str, list[tuple[date, bool, Place]]] = defaultdict(list)
    for row in rows("former_codes.csv.gz"):
        code, now = row["former_code"], row["insee_code"]
        department = department_of(code)
        place = Place(code, row["former_name"], department, OVERSEAS_NAMES.get(department, ""), now)
        found[now].append((date.fromisoformat(row["until"]), row["renumbered"] == "1", place))
    return {now: sorted(former, key=lambda item: item[0]) for now, former in found.items()}


def place_then(place: Place, day: date, rng: random.Random) -> Place:
    """The place a birth was declared in on a day: under its code of then, or a commune absorbed since."""
    valid = [(same, former) for until, same, former in _former_codes().get(place.code, ()) if day < until]
    if renumbered := [former for same, former in valid if same]:
        return renumbered[0]
    absorbed = [former for _, former in valid]
    return rng.choice(absorbed) if absorbed and rng.random() < BORN_IN_WHAT_WAS_ABSORBED else place


@cache
def existing_commune_codes() -> frozenset[str]:
    """Every INSEE commune code in force, or that once was."""
    codes = set()
    for row in rows("commune_codes.csv.gz"):
        for run in row["existing"].split():
            first, last = run.split("-")
            codes |= {f"{row['department']}{number:03d}" for number in range(int(first), int(last) + 1)}
    return frozenset(codes)
