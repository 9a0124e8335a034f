"""
The people: households of a French region, with everything a site could ever state of them, and the truth.

What makes linkage hard is drawn on purpose: couples and siblings under one roof, twins, sons named
after their father, cousins and strangers of one name, married names, births abroad without a known day.
A large population is drawn in parts that know nothing of each other, so that processes can share the work.
Nobody can own what is written here: the INS embed communes that do not exist, mobile numbers are of a
range without subscribers, land lines of the ranges kept for fiction.
"""

import random
from dataclasses import dataclass
from datetime import date, timedelta

from . import reference
from .matricules import Birth, Matricules
from .names import draw_given_names, draw_surname
from .reference import Place, Weighted

TODAY = date(2026, 2, 5)
"""Nobody is born after this day."""
HOME_DEPARTMENTS = 4
HEADS_BY_DECADE = Weighted(
    [(1920, 1.0), (1930, 7), (1940, 16), (1950, 19), (1960, 18), (1970, 15), (1980, 12), (1990, 9), (2000, 3)]
)
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
WAITED_FOR_A_NIR = {"abroad": 0.08, "newborn": 0.4}
"""Share of the people with a NIR whom some sites know by the NIA they had before."""
UNKNOWN_DAY = {"maghreb": 0.12, "sahel": 0.15, "comoros": 0.15}
UNKNOWN_DAY_BEFORE = 1975
DEATHS = ((90, 0.06), (80, 0.02), (65, 0.004), (0, 0.0002))
"""Share of the people of an age, or older, who die between the opening and the last contact."""
PERSONS_PER_PART = 10_000


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
        household: people who live, or grew up, together; `kin` names whose cousin somebody is.
        naming: where the birth name comes from, as in `names_abroad`; empty for French names.
        husband: family name of a married woman's husband, whether she uses it or not.
        birth_date: as on the person's papers.
        birth_day_known: False when papers say 1 January or 31 December for want of a day.
        used_family: name in use when it is not the birth name, else empty.
        used_given: given name in use when it is not the first one, else empty.
        former_home: an address some sites still have.
        birth_order: among twins, 1 or 2.
        ins: a matricule with its key, whose commune does not exist; empty for who has none.
        nia: the number they waited with, for who got the other one late; else empty.
    """

    person_id: str
    household: str
    sex: str
    birth_date: date
    birth_day_known: bool
    birth_family: str
    given_names: tuple[str, ...]
    naming: str
    husband: str
    used_family: str
    used_given: str
    birth_place: Place
    home: Address
    former_home: Address | None
    mobile: str
    landline: str
    email: str
    mother_id: str
    father_id: str
    mother_birth_name: str
    kin: str
    birth_order: int | None
    death_date: date | None
    ins: str
    nia: str

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
    naming: str = ""
    father: Person | None = None
    mother_id: str = ""
    mother_birth_name: str = ""
    kin: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """People drawn together: the how manieth part, of how many, and the number of its people."""

    index: int
    parts: int
    persons: int


def parts_of(persons: int) -> tuple[Part, ...]:
    """
    Cut a population in parts of `PERSONS_PER_PART` people; the last one may have fewer.

    Raises:
        ValueError: nobody.
    """
    if persons < 1:
        raise ValueError("a federation needs one person or more")
    parts = -(-persons // PERSONS_PER_PART)
    sizes = [PERSONS_PER_PART] * (parts - 1) + [persons - PERSONS_PER_PART * (parts - 1)]
    return tuple(Part(index, parts, size) for index, size in enumerate(sizes))


def home_departments(seed: int) -> tuple[str, ...]:
    """Where the people of a federation live, and most of them were born."""
    rng = random.Random(f"departments/{seed}")
    return tuple(reference.departments().draw(rng) for _ in range(HOME_DEPARTMENTS))


def draw_people(part: Part, seed: int, same_day_namesakes: float = 0.0) -> tuple[Person, ...]:
    """
    Draw a part of a population, always the same for the same arguments.

    Args:
        same_day_namesakes: pairs per person who share names, sex and birth date, and are nothing to each other.
    """
    rng = random.Random(f"people/{seed}/{part.index}/{part.parts}/{part.persons}")
    registry = _Registry(rng, part, home_departments(seed))
    while len(registry.people) < part.persons:
        registry.add_household(same_day_namesakes)
    return tuple(registry.people[: part.persons])


class _Registry:
    """Households drawn one after the other from one stream of chance."""

    def __init__(self, rng: random.Random, part: Part, departments: tuple[str, ...]) -> None:
        self._rng = rng
        self._matricules = Matricules(rng, part.index, part.parts)
        self._first_number = part.index * PERSONS_PER_PART + 1
        self._departments = departments
        self._bearers: dict[str, list[Person]] = {}
        self._households = 0
        self._household = ""
        self.people: list[Person] = []

    def add_household(self, same_day_namesakes: float) -> None:
        """Draw a household and the people in it."""
        rng = self._rng
        self._open_household()
        kind = HOUSEHOLDS.draw(rng)
        decade = HEADS_BY_DECADE.draw(rng)
        year = min(decade + rng.randrange(10), TODAY.year - 19)
        home = self._home()
        landline = self._landline()
        before = len(self.people)
        if kind == "cousin" and self.people:
            self._cousin(rng.choice(self.people), home, landline)
        elif kind == "homonym" and self.people:
            self._namesake(self._somebody_by_surname(), home, landline, same_day=False)
        elif kind == "couple":
            self._couple(year, home, landline)
        elif kind == "lone parent":
            mother = self._adult("F", year, home, landline)
            self._children(mother, None, home, landline)
        else:
            self._adult(rng.choice("FM"), year, home, landline)
        if rng.random() < same_day_namesakes * (len(self.people) - before):
            self._open_household()
            self._namesake(self._somebody_by_surname(), self._home(), self._landline(), same_day=True)

    def _open_household(self) -> None:
        self._households += 1
        self._household = f"H{self._first_number + self._households - 1:07d}"

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
                (father or mother).naming,
                father,
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

    def _deliver(self, family: _Family, birth: Birth, home: Address, landline: str) -> None:
        """Bring one child to the world, or two; grown ones mostly left home since."""
        rng = self._rng
        sex = rng.choice("FM")
        order = 1 if rng.random() < TWIN_DELIVERIES else None
        first = self._grow(family, birth, sex, self._child_home(birth, home), landline, order=order)
        if order:
            self._co_twin(first, family, birth, self._child_home(birth, home), landline)

    def _co_twin(self, first: Person, family: _Family, birth: Birth, home: Address, landline: str) -> None:
        sex = first.sex if self._rng.random() < SAME_SEX_TWINS else "FM".replace(first.sex, "")
        self._grow(family, birth, sex, home, landline, order=2, not_named=first.given_names[0])

    def _child_home(self, birth: Birth, home: Address) -> Address:
        return self._home() if birth.day.year < 2004 and self._rng.random() < 0.85 else home

    def _adult(self, sex: str, year: int, home: Address, landline: str, husband: str | None = None) -> Person:
        """Draw somebody whose parents are not in the population, with a co-twin now and then."""
        rng = self._rng
        if rng.random() < ADULTS_BORN_ABROAD:
            birth = self._birth_abroad(year)
        else:
            birth = self._birth(year, rng.choice(self._departments) if rng.random() < 0.65 else "")
        region = birth.place.region
        surname = draw_surname(year, region, rng)
        family = _Family(surname, region, region, mother_birth_name=draw_surname(year, region, rng))
        order = 1 if rng.random() < TWIN_DELIVERIES else None
        adult = self._grow(family, birth, sex, home, landline, order=order, husband=husband)
        if order:
            self._co_twin(adult, family, birth, self._home(), "")
        return adult

    def _cousin(self, model: Person, home: Address, landline: str) -> None:
        """Draw somebody of the same family name and age; half of them bear the same given name too."""
        rng = self._rng
        year = min(model.birth_date.year + rng.randint(-6, 6), TODAY.year - 1)
        birth = self._birth(year, "" if model.born_abroad else model.birth_place.department_now)
        mother = draw_surname(year, "", rng)
        family = _Family(
            model.birth_family, naming=model.naming, mother_birth_name=mother, kin=model.person_id
        )
        named = model.given_names[0] if rng.random() < 0.5 else ""
        self._grow(family, birth, model.sex, home, landline, named=named)

    def _namesake(self, model: Person, home: Address, landline: str, *, same_day: bool) -> None:
        """Draw a stranger who bears the names of somebody else."""
        rng = self._rng
        year = min(model.birth_date.year + rng.randint(-12, 12), TODAY.year - 1)
        birth = self._birth(year, "")
        if same_day:
            birth = Birth(model.birth_date, True, reference.towns().draw(rng))
        mother = draw_surname(year, "", rng)
        family = _Family(model.birth_family, naming=model.naming, mother_birth_name=mother)
        self._grow(family, birth, model.sex, home, landline, named=model.given_names[0])

    def _somebody_by_surname(self) -> Person:
        """Choose by the frequency of names in the country: the more bear a name, the more namesakes each has."""
        rng = self._rng
        for _ in range(50):
            if found := self._bearers.get(draw_surname(1960, "", rng)):
                return rng.choice(found)
        return rng.choice(self.people)

    def _grow(
        self,
        family: _Family,
        birth: Birth,
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
        if not named and sex == "M" and family.father and rng.random() < SON_NAMED_AFTER_FATHER:
            named = family.father.given_names[0]
        given = draw_given_names(sex, year, family.region, rng, named=named, not_named=not_named)
        age = TODAY.year - year
        if husband is None and sex == "F" and age >= 18 and rng.random() < 0.75 * _married_share(year):
            husband = draw_surname(year, "", rng)
        has_ins = rng.random() < (0.88 if birth.place.abroad else 0.97)
        waited = has_ins and rng.random() < (WAITED_FOR_A_NIR["abroad"] if birth.place.abroad else 0.0)
        waited |= has_ins and age == 0 and rng.random() < WAITED_FOR_A_NIR["newborn"]
        person = Person(
            person_id=f"P{self._first_number + len(self.people):07d}",
            household=self._household,
            sex=sex,
            birth_date=birth.day,
            birth_day_known=birth.day_known,
            birth_family=family.surname,
            given_names=given,
            naming=family.naming,
            husband=husband or "",
            used_family=self._used_family(family.surname, husband, sex, year),
            used_given=given[1] if len(given) > 1 and rng.random() < 0.03 else "",
            birth_place=birth.place,
            home=home,
            former_home=self._home() if rng.random() < 0.2 else None,
            mobile=f"0700{rng.randrange(1_000_000):06d}" if age >= 13 and rng.random() < 0.92 else "",
            landline=landline,
            email=self._email(given[0], family.surname) if age >= 18 and rng.random() < 0.45 else "",
            mother_id=family.mother_id,
            father_id=family.father.person_id if family.father else "",
            mother_birth_name=family.mother_birth_name,
            kin=family.kin,
            birth_order=order,
            death_date=self._death(age),
            nia=self._matricules.draw(sex, birth) if waited else "",
            ins=self._matricules.draw(sex, birth) if has_ins else "",
        )
        self.people.append(person)
        self._bearers.setdefault(person.birth_family, []).append(person)
        return person

    def _death(self, age: int) -> date | None:
        rng = self._rng
        chance = next(chance for least, chance in DEATHS if age >= least)
        if rng.random() >= chance or age == 0:
            return None
        return TODAY - timedelta(days=rng.randrange(60))

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

    def _birth(self, year: int, department: str) -> Birth:
        day = date(year, 1, 1) + timedelta(days=self._rng.randrange(365))
        towns = reference.towns(department, births_since_1970=year >= 1970)
        return Birth(day, True, reference.place_then(towns.draw(self._rng), day, self._rng))

    def _birth_abroad(self, year: int) -> Birth:
        rng = self._rng
        country = reference.countries().draw(rng)
        if year < UNKNOWN_DAY_BEFORE and rng.random() < UNKNOWN_DAY.get(country.region, 0.0):
            return Birth(date(year, 1, 1) if rng.random() < 0.75 else date(year, 12, 31), False, country)
        return Birth(date(year, 1, 1) + timedelta(days=rng.randrange(365)), True, country)

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


def _married_share(birth_year: int) -> float:
    return 0.88 if birth_year < 1950 else 0.75 if birth_year < 1970 else 0.5 if birth_year < 1990 else 0.15


def _postal_code(commune: str) -> str:
    """Invent a postal code: right department, made-up office."""
    department = {"2A": "20", "2B": "20"}.get(commune[:2], commune[:2])
    return f"{department}{commune[2:4]}0"
