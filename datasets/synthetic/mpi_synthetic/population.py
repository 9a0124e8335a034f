"""
The people: households of a French region, with everything a site could ever state of them, and the truth.

What makes linkage hard is drawn on purpose: couples and siblings under one roof, twins, sons named
after their father, cousins and strangers of one name, married names, births abroad without a known day.
Nobody can own what is written here: the INS embed communes that do not exist, mobile numbers are of a
range without subscribers, land lines of the ranges kept for fiction.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

from mpi.identity.ins import matricule_key

from . import reference
from .reference import Place, Weighted

TODAY = date(2026, 2, 5)
"""Nobody is born after this day."""
HOME_DEPARTMENTS = 4
HEADS_BY_DECADE = Weighted(
    [(1920, 1.0), (1930, 7), (1940, 16), (1950, 19), (1960, 18), (1970, 15), (1980, 12), (1990, 9), (2000, 3)]
)
GIVEN_NAMES_PER_PERSON = Weighted([(1, 23.0), (2, 41), (3, 31), (4, 5)])
CHILDREN = Weighted([(0, 25.0), (1, 22), (2, 33), (3, 15), (4, 5)])
HOUSEHOLDS = Weighted(
    [("couple", 52.0), ("single", 37), ("lone parent", 8), ("cousin", 2.5), ("homonym", 0.5)]
)
FICTION_LAND_LINES = ("019900", "026191", "035301", "046571", "053649")
ADULTS_BORN_ABROAD = 0.215
"""Of who is drawn without parents; their children are born in France, and 13 % of all remain."""
TWIN_DELIVERIES = 0.017
SAME_SEX_TWINS = 0.63
SON_NAMED_AFTER_FATHER = 0.03
NAME_OF_A_FATHER = ("BEN ", "AIT ", "OULD ", "BOU", "ABD EL ")
UNKNOWN_DAY = {"maghreb": 0.12, "sahel": 0.15, "comoros": 0.15}
UNKNOWN_DAY_BEFORE = 1975
OVERSEAS = ("97", "98")


@dataclass(frozen=True, slots=True)
class Address:
    """A home."""

    street: str
    postal_code: str
    city: str
    department: str


@dataclass(frozen=True, slots=True)
class Person:
    """
    One person and the truth about them.

    Args:
        household: people who live, or grew up, together.
        birth_date: as on the person's papers.
        birth_day_known: False when papers say 1 January or 31 December for want of a day.
        used_family: name in use when it is not the birth name, else empty.
        used_given: given name in use when it is not the first one, else empty.
        former_home: an address some sites still have.
        birth_order: among twins, 1 or 2.
        ins: a matricule with its key, whose commune does not exist; empty for who has none.
    """

    person_id: str
    household: int
    sex: str
    birth_date: date
    birth_day_known: bool
    birth_family: str
    given_names: tuple[str, ...]
    used_family: str
    used_given: str
    birth_place: Place
    home: Address
    former_home: Address | None
    mobile: str
    landline: str
    email: str
    mother_id: str
    mother_birth_name: str
    birth_order: int | None
    ins: str

    @property
    def twin(self) -> bool:
        """Whether the person was born of a multiple birth."""
        return self.birth_order is not None

    @property
    def born_abroad(self) -> bool:
        """Whether the birth place is a country."""
        return self.birth_place.abroad

    def age_on(self, day: date) -> int:
        """Age in whole years."""
        born = self.birth_date
        return day.year - born.year - ((day.month, day.day) < (born.month, born.day))


@dataclass(frozen=True, slots=True)
class _Family:
    """What a child receives from its parents, or an adult from parents who are not in the population."""

    surname: str
    region: str = ""
    father_given: str = ""
    mother_id: str = ""
    mother_birth_name: str = ""


@dataclass(frozen=True, slots=True)
class _Birth:
    day: date
    day_known: bool
    place: Place


class _Matricules:
    """Hand out INS, in order of registration: twins follow each other, as at the town hall."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._next: dict[tuple[int, int, str], int] = {}

    def draw(self, sex: str, birth: _Birth) -> str:
        month = birth.day.month
        if not birth.day_known and self._rng.random() < 0.3:
            month = self._rng.randint(50, 99)
        department = birth.place.code[:3] if birth.place.code.startswith(OVERSEAS) else birth.place.department
        key = (birth.day.year % 100, month, department)
        order = self._next.get(key)
        if order is None:
            order = self._rng.randint(0, 998)
        self._next[key] = order + 1
        commune, rank = divmod(order, 999)
        # Communes 990-999 (90-99 overseas) do not exist, nor the countries of those numbers.
        place = f"{department}{'99'[: 4 - len(department)]}{9 - commune % 10}"
        body = f"{'1' if sex == 'M' else '2'}{birth.day.year % 100:02d}{month:02d}{place}{rank + 1:03d}"
        return body + matricule_key(body)


class _Registry:
    """Households drawn one after the other from one stream of chance."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._matricules = _Matricules(rng)
        self.people: list[Person] = []
        self._household = 0
        self._departments = [reference.departments().draw(rng) for _ in range(HOME_DEPARTMENTS)]

    def add_household(self) -> None:
        """Draw a household and the people in it."""
        rng = self._rng
        self._household += 1
        kind = HOUSEHOLDS.draw(rng)
        decade = HEADS_BY_DECADE.draw(rng)
        year = min(decade + rng.randrange(10), TODAY.year - 19)
        home = self._home()
        landline = self._landline()
        if kind in ("cousin", "homonym") and self.people:
            self._namesake(rng.choice(self.people), home, landline, kin=kind == "cousin")
        elif kind == "couple":
            self._couple(year, home, landline)
        elif kind == "lone parent":
            mother = self._adult("F", year, home, landline)
            self._children(mother, None, home, landline)
        else:
            self._adult(rng.choice("FM"), year, home, landline)

    def _couple(self, year: int, home: Address, landline: str) -> None:
        rng = self._rng
        man = self._adult("M", year, home, landline)
        wed = rng.random() < _married_share(year)
        her_year = min(year + round(rng.gauss(2, 3)), TODAY.year - 19)
        woman = self._adult("F", her_year, home, landline, husband=man.birth_family if wed else None)
        self._children(woman, man, home, landline)

    def _children(self, mother: Person, father: Person | None, home: Address, landline: str) -> None:
        rng = self._rng
        surname = self._child_surname(mother, father)
        region = (father or mother).birth_place.region
        year = mother.birth_date.year + rng.randint(20, 35)
        for _ in range(CHILDREN.draw(rng)):
            family = _Family(
                surname,
                region if rng.random() < 0.6 else "",
                father.given_names[0] if father else "",
                mother.person_id,
                mother.birth_family,
            )
            birth = self._birth(year, home.department)
            if birth.day < TODAY:
                self._deliver(family, birth, home, landline)
            year += rng.randint(1, 5)

    def _child_surname(self, mother: Person, father: Person | None) -> str:
        chance = self._rng.random()
        if father is None or chance < 0.07:
            return mother.birth_family
        if chance < 0.17:
            both = [father.birth_family.split("-")[0], mother.birth_family.split("-")[0]]
            self._rng.shuffle(both)
            return self._rng.choice("- ").join(both) if both[0] != both[1] else both[0]
        return father.birth_family

    def _deliver(self, family: _Family, birth: _Birth, home: Address, landline: str) -> None:
        """Bring one child to the world, or two; grown ones mostly left home since."""
        rng = self._rng
        sex = rng.choice("FM")
        order = 1 if rng.random() < TWIN_DELIVERIES else None
        first = self._grow(family, birth, sex, self._child_home(birth, home), landline, order=order)
        if order:
            self._co_twin(first, family, birth, self._child_home(birth, home), landline)

    def _co_twin(self, first: Person, family: _Family, birth: _Birth, home: Address, landline: str) -> None:
        sex = first.sex if self._rng.random() < SAME_SEX_TWINS else "FM".replace(first.sex, "")
        self._grow(family, birth, sex, home, landline, order=2, not_named=first.given_names[0])

    def _child_home(self, birth: _Birth, home: Address) -> Address:
        return self._home() if birth.day.year < 2004 and self._rng.random() < 0.85 else home

    def _adult(self, sex: str, year: int, home: Address, landline: str, husband: str | None = None) -> Person:
        """Draw somebody whose parents are not in the population, with a co-twin now and then."""
        rng = self._rng
        if rng.random() < ADULTS_BORN_ABROAD:
            birth = self._birth_abroad(year)
        else:
            birth = self._birth(year, rng.choice(self._departments) if rng.random() < 0.65 else "")
        region = birth.place.region
        family = _Family(self._surname(year, region), region, mother_birth_name=self._surname(year, region))
        order = 1 if rng.random() < TWIN_DELIVERIES else None
        adult = self._grow(family, birth, sex, home, landline, order=order, husband=husband)
        if order:
            self._co_twin(adult, family, birth, self._home(), "")
        return adult

    def _namesake(self, model: Person, home: Address, landline: str, *, kin: bool) -> None:
        """Draw a cousin or a stranger who bears the name of somebody else."""
        rng = self._rng
        year = min(model.birth_date.year + rng.randint(-6, 6), TODAY.year - 1)
        birth = self._birth(year, model.birth_place.department if kin and not model.born_abroad else "")
        if not kin and rng.random() < 0.3:
            birth = _Birth(model.birth_date, True, birth.place)
        family = _Family(model.birth_family, mother_birth_name=self._surname(year, ""))
        first = model.given_names[0] if not kin or rng.random() < 0.5 else ""
        self._grow(family, birth, model.sex, home, landline, named=first)

    def _grow(
        self,
        family: _Family,
        birth: _Birth,
        sex: str,
        home: Address,
        landline: str,
        *,
        order: int | None = None,
        not_named: str = "",
        named: str = "",
        husband: str | None = None,
    ) -> Person:
        rng = self._rng
        year = birth.day.year
        if not named and sex == "M" and family.father_given and rng.random() < SON_NAMED_AFTER_FATHER:
            named = family.father_given
        given = self._given_names(sex, year, family.region, named, not_named)
        adult = TODAY.year - year >= 18
        if husband is None and sex == "F" and adult and rng.random() < 0.75 * _married_share(year):
            husband = self._surname(year, "")
        has_ins = rng.random() < (0.88 if birth.place.abroad else 0.97)
        person = Person(
            person_id=f"P{len(self.people) + 1:07d}",
            household=self._household,
            sex=sex,
            birth_date=birth.day,
            birth_day_known=birth.day_known,
            birth_family=family.surname,
            given_names=given,
            used_family=self._used_family(family.surname, husband, sex, year),
            used_given=given[1] if len(given) > 1 and rng.random() < 0.03 else "",
            birth_place=birth.place,
            home=home,
            former_home=self._home() if rng.random() < 0.2 else None,
            mobile=f"0700{rng.randrange(1_000_000):06d}"
            if TODAY.year - year >= 13 and rng.random() < 0.92
            else "",
            landline=landline,
            email=self._email(given[0], family.surname) if adult and rng.random() < 0.45 else "",
            mother_id=family.mother_id,
            mother_birth_name=family.mother_birth_name,
            birth_order=order,
            ins=self._matricules.draw(sex, birth) if has_ins else "",
        )
        self.people.append(person)
        return person

    def _used_family(self, birth_family: str, husband: str | None, sex: str, year: int) -> str:
        rng = self._rng
        if not husband or husband == birth_family or sex == "M":
            return ""
        if rng.random() >= (0.90 if year < 1950 else 0.62):
            return ""
        if rng.random() < (0.07 if year < 1950 else 0.14):
            first, second = rng.choice(((birth_family, husband), (husband, birth_family)))
            return f"{first}{rng.choice('- ')}{second}"
        return husband

    def _birth(self, year: int, department: str) -> _Birth:
        day = date(year, 1, 1) + timedelta(days=self._rng.randrange(365))
        towns = reference.towns(department, births_since_1970=year >= 1970)
        return _Birth(day, True, towns.draw(self._rng))

    def _birth_abroad(self, year: int) -> _Birth:
        rng = self._rng
        country = reference.countries().draw(rng)
        if year < UNKNOWN_DAY_BEFORE and rng.random() < UNKNOWN_DAY.get(country.region, 0.0):
            return _Birth(date(year, 1, 1) if rng.random() < 0.75 else date(year, 12, 31), False, country)
        return _Birth(date(year, 1, 1) + timedelta(days=rng.randrange(365)), True, country)

    def _surname(self, year: int, region: str) -> str:
        rng = self._rng
        if region == "maghreb" and rng.random() < 0.35:
            return rng.choice(NAME_OF_A_FATHER) + rng.choice(reference.names_abroad()[region, "M"])
        if (region, "family") in reference.names_abroad():
            name = rng.choice(reference.names_abroad()[region, "family"])
            second = rng.choice(reference.names_abroad()[region, "family"]) if region == "iberia" else ""
            return f"{name} {second}" if second and rng.random() < 0.3 and second not in name else name
        era = 0 if year <= 1930 else 1 if year <= 1970 else 2
        name = reference.surnames()[era].draw(rng)
        if name == reference.OPEN_VOCABULARY:
            return reference.surname_trigrams().draw(rng)
        accented = reference.surname_accents().get(name)
        return accented if accented and rng.random() < 0.5 else name

    def _given_names(self, sex: str, year: int, region: str, named: str, not_named: str) -> tuple[str, ...]:
        """Draw the list of birth given names: the later ones are those of grandparents."""
        names = [named] if named else []
        wanted = GIVEN_NAMES_PER_PERSON.draw(self._rng)
        while len(names) < wanted:
            name = self._given_name(sex, year if not names else year - 50, region)
            if name not in names and name != not_named:
                names.append(name)
        return tuple(names)

    def _given_name(self, sex: str, year: int, region: str) -> str:
        if (region, sex) in reference.names_abroad():
            return self._rng.choice(reference.names_abroad()[region, sex])
        decade = min(max(year // 10 * 10, 1900), 2020)
        name = reference.given_names()[sex, decade].draw(self._rng)
        return reference.given_trigrams(sex).draw(self._rng) if name == reference.OPEN_VOCABULARY else name

    def _home(self) -> Address:
        rng = self._rng
        town = reference.towns(rng.choice(self._departments)).draw(rng)
        number = f"{rng.randint(1, 160)}{' BIS' if rng.random() < 0.04 else ''}"
        street = rng.choice(reference.streets())
        return Address(f"{number} {street}", _postal_code(town.code), town.name, town.department)

    def _landline(self) -> str:
        rng = self._rng
        return f"{rng.choice(FICTION_LAND_LINES)}{rng.randrange(10_000):04d}" if rng.random() < 0.45 else ""

    def _email(self, given: str, family: str) -> str:
        rng = self._rng
        local = f"{given}.{family}".casefold().replace(" ", "").replace("'", "")
        ascii_only = local.translate(_UNACCENTED).encode("ascii", "ignore").decode()
        number = str(rng.randrange(100)) if rng.random() < 0.5 else ""
        return f"{ascii_only}{number}@example.{rng.choice(('org', 'com', 'net'))}"


_UNACCENTED = str.maketrans("àâäçéèêëîïôöùûüÿ", "aaaceeeeiioouuuy", "œæ")


def draw_people(count: int, seed: int, progress: Callable[[int], None] | None = None) -> tuple[Person, ...]:
    """
    Draw a population, always the same for a count and a seed.

    Args:
        progress: told how many people exist, now and then.
    """
    registry = _Registry(random.Random(f"people/{count}/{seed}"))
    told = 0
    while len(registry.people) < count:
        registry.add_household()
        if progress and len(registry.people) - told >= 500:
            told = min(len(registry.people), count)
            progress(told)
    return tuple(registry.people[:count])


def _married_share(birth_year: int) -> float:
    return 0.88 if birth_year < 1950 else 0.75 if birth_year < 1970 else 0.5 if birth_year < 1990 else 0.15


def _postal_code(commune: str) -> str:
    """Invent a postal code: right department, made-up office."""
    department = {"2A": "20", "2B": "20"}.get(commune[:2], commune[:2])
    return f"{department}{commune[2:4]}0"
