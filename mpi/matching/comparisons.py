"""
The comparison ladders, as data.

A comparison looks at one trait of two identities and climbs down its ladder: the first level
that holds is the answer, the last one is disagreement. Missing on either side is level 0, and
weighs nothing. Every predicate is symmetric.

Where two traits depend on each other, the dependence is in the ladder rather than counted twice:

- family and given name written in each other's place are one level of the family name; the
  given name then says nothing more;
- a different family name is a level of its own between two women, for whom it is ordinary;
- the whole list of given names is judged with the first one, not beside it;
- an INS that both carry is one level when the birth dates bear it out, others when they do not
  or when the sex, year, month and place of birth it embeds are not those of the records. They
  confirm little beside it: no automatic link rests on the INS alone (see `guards`);
- postal code and town are one comparison; so are the code and the text of a birth place;
- the order in a multiple birth is weighed here; that two of one birth may be twins is for `guards`.

A name whose letters were repaired or transliterated agrees on a level of its own.

Source: Fellegi & Sunter (1969), JASA 64(328):1183-1210, for the comparison vector; Winkler (1990)
for Jaro-Winkler.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources

from jellyfish import damerau_levenshtein_distance
from rapidfuzz.distance import DamerauLevenshtein, JaroWinkler

from mpi.identity.communes import is_same_place, place_name
from mpi.identity.ins import InvalidMatricule, Matricule, embedded_differences, parse_matricule
from mpi.identity.model import PartialDate
from mpi.identity.phonetics import fonem, soundex2
from mpi.identity.traits import Traits, without_particles

Predicate = Callable[[Traits, Traits], bool]
ComparisonVector = tuple[int, ...]
"""One level per comparison, in the order of `COMPARISONS`; 0 is missing."""

MISSING = 0
MISSING_NAME = "missing"


@dataclass(frozen=True, slots=True)
class Level:
    """One rung: its name, and when it holds."""

    name: str
    holds: Predicate


@dataclass(frozen=True, slots=True)
class Comparison:
    """
    A ladder over one trait.

    Args:
        trait: the name the model and the explanations use.
        reads: the fields of `Traits` that the ladder looks at, and no other: two pairs alike in
            these are on one level.
        is_missing: whether either side says nothing.
        levels: the rungs, best first; the last holds whenever it is reached.
    """

    trait: str
    reads: tuple[str, ...]
    is_missing: Predicate
    levels: tuple[Level, ...]
    _rungs: tuple[tuple[int, Predicate], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "_rungs", tuple((i, level.holds) for i, level in enumerate(self.levels[:-1], start=1))
        )

    @property
    def level_names(self) -> tuple[str, ...]:
        """Names by level number, `missing` first."""
        return (MISSING_NAME, *(level.name for level in self.levels))

    def level(self, left: Traits, right: Traits) -> int:
        """The number of the first rung that holds; 0 when the trait is missing on either side."""
        if self.is_missing(left, right):
            return MISSING
        for index, holds in self._rungs:
            if holds(left, right):
                return index
        return len(self.levels)


def _otherwise(_left: Traits, _right: Traits) -> bool:
    return True


# --- text ---------------------------------------------------------------------------------


def _jaro_winkler_at_least(left: str, right: str, bound: float) -> bool:
    if left > right:  # greedy matching may depend on the order: fix it
        left, right = right, left
    return JaroWinkler.similarity(left, right, score_cutoff=bound) >= bound


def _one_edit(left: str, right: str) -> bool:
    """One letter added, lost or changed, or two neighbours exchanged; of words of three letters or more."""
    if len(left) < 3 or len(right) < 3 or not -1 <= len(left) - len(right) <= 1:
        return False
    return DamerauLevenshtein.distance(left, right, score_cutoff=1) <= 1


@lru_cache(maxsize=200_000)
def _core_words(name: str) -> frozenset[str]:
    return frozenset(word for word in without_particles(name).split(" ") if len(word) > 1)


def _joined(name: str) -> str:
    return name.replace(" ", "")


def _part_of(left: str, right: str) -> bool:
    """MARTIN and MARTIN DUPONT; DE LA TOUR and DELATOUR; D ORMESSON and ORMESSON."""
    if " " not in left and " " not in right:
        return left == right
    if _joined(left) == _joined(right):
        return True
    left_words, right_words = _core_words(left), _core_words(right)
    if not left_words or not right_words:
        return False
    return left_words <= right_words or right_words <= left_words


@lru_cache(maxsize=200_000)
def name_code(name: str) -> str:
    """FONEM of a name without its particles, its words joined."""
    return fonem(_joined(without_particles(name)))


def _sounds_alike(left: str, right: str) -> bool:
    return name_code(left) == name_code(right) != ""


# --- family name --------------------------------------------------------------------------


def _families(traits: Traits) -> tuple[str, ...]:
    birth, used = traits.birth_name, traits.used_name
    if not used:
        return (birth,) if birth else ()
    return (birth, used) if birth else (used,)


def first_given(traits: Traits) -> str:
    """The first birth given name, or the used one for want of it."""
    return traits.given_names[0] if traits.given_names else traits.used_given_name


def _any_family(test: Callable[[str, str], bool]) -> Predicate:
    def holds(left: Traits, right: Traits) -> bool:
        rights = _families(right)
        for a in _families(left):
            for b in rights:
                if test(a, b):
                    return True
        return False

    return holds


def _family_missing(left: Traits, right: Traits) -> bool:
    return not (left.birth_name or left.used_name) or not (right.birth_name or right.used_name)


def _birth_name_exact(left: Traits, right: Traits) -> bool:
    return left.birth_name == right.birth_name != "" and not _family_damaged(left, right)


def _family_cross_exact(left: Traits, right: Traits) -> bool:
    return _family_in_common(left, right) and not _family_damaged(left, right)


def _family_in_common(left: Traits, right: Traits) -> bool:
    if left.birth_name == right.birth_name != "":
        return True
    rights = _families(right)
    return any(name in rights for name in _families(left))


def _family_repaired(left: Traits, right: Traits) -> bool:
    return _family_damaged(left, right) and _family_in_common(left, right)


def _family_damaged(left: Traits, right: Traits) -> bool:
    return left.family_damaged or right.family_damaged


def _order_swapped(left: Traits, right: Traits) -> bool:
    """Each one's family name is the other's given name: one of the two to the letter, the other nearly."""
    left_given, right_given = first_given(left), first_given(right)
    if not left_given or not right_given or left_given == right_given:
        return False
    lefts, rights = _families(left), _families(right)
    if right_given in lefts:
        return any(_swapped_name(left_given, name) for name in rights)
    if left_given in rights:
        return any(_swapped_name(right_given, name) for name in lefts)
    return False


def _swapped_name(given: str, family: str) -> bool:
    return given == family or _one_edit(given, family) or _jaro_winkler_at_least(given, family, 0.9)


def _two_women(left: Traits, right: Traits) -> bool:
    return left.sex == "F" and right.sex == "F"


FAMILY_NAME = Comparison(
    "family_name",
    ("birth_name", "used_name", "family_damaged", "given_names", "used_given_name", "sex"),
    _family_missing,
    (
        Level("birth_exact", _birth_name_exact),
        Level("cross_exact", _family_cross_exact),
        Level("repaired", _family_repaired),
        Level("order_swapped", _order_swapped),
        Level("part_of", _any_family(_part_of)),
        Level("one_edit", _any_family(_one_edit)),
        Level("jaro_winkler", _any_family(lambda a, b: _jaro_winkler_at_least(a, b, 0.92))),
        Level("phonetic", _any_family(_sounds_alike)),
        Level("different_women", _two_women),
        Level("different", _otherwise),
    ),
)


# --- given names --------------------------------------------------------------------------


def _table(name: str) -> str:
    return resources.files("mpi.matching").joinpath("tables", name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _names_in_use() -> frozenset[str]:
    """Given names that are names in their own right, not slips of others."""
    return frozenset(_table("given_names_in_use.txt").split("\n")) - {""}


@lru_cache(maxsize=1)
def _variants() -> tuple[dict[str, frozenset[str]], dict[str, str]]:
    """Name -> the names it stands for; spelling -> the spelling that represents its family."""
    text = _table("given_name_variants.csv")
    stands_for: dict[str, set[str]] = {}
    spelling: dict[str, str] = {}
    for row in csv.DictReader(text.splitlines()):
        stands_for.setdefault(row["name"], set()).add(row["of"])
        if row["kind"] == "spelling":
            spelling.setdefault(row["name"], row["of"])
    return {name: frozenset(of) for name, of in stands_for.items()}, spelling


@lru_cache(maxsize=100_000)
def _same_spelling_family(left: str, right: str) -> bool:
    _, spelling = _variants()
    return spelling.get(left, left) == spelling.get(right, right)


@lru_cache(maxsize=100_000)
def _stands_for(left: str, right: str) -> bool:
    stands_for, _ = _variants()
    return right in stands_for.get(left, ()) or left in stands_for.get(right, ())


def _all_given(traits: Traits) -> tuple[str, ...]:
    if traits.used_given_name:
        return (*traits.given_names, traits.used_given_name)
    return traits.given_names


def _given_missing(left: Traits, right: Traits) -> bool:
    if not first_given(left) or not first_given(right):
        return True
    return _swap_spoke(left, right)


def _swap_spoke(left: Traits, right: Traits) -> bool:
    """Whether the swap already spoke for the given name, on the family name's ladder."""
    return not _family_in_common(left, right) and _order_swapped(left, right)


def _given_list_exact(left: Traits, right: Traits) -> bool:
    if len(left.given_names) < 2 or left.given_names != right.given_names:
        return False
    return not _given_damaged(left, right)


def _given_exact_others_differ(left: Traits, right: Traits) -> bool:
    if len(left.given_names) < 2 or len(right.given_names) < 2 or left.given_names[0] != right.given_names[0]:
        return False
    return not set(left.given_names[1:]) & set(right.given_names[1:])


def _given_exact(left: Traits, right: Traits) -> bool:
    return not _given_damaged(left, right) and _first_given_in_common(left, right)


def _given_joined(left: Traits, right: Traits) -> bool:
    """JEANPIERRE or JEAN PIERRE, and the list JEAN, PIERRE of a source that knows no compound names."""
    if _given_damaged(left, right):
        return False
    return _is_first_two(first_given(left), right) or _is_first_two(first_given(right), left)


def _is_first_two(name: str, listed: Traits) -> bool:
    return len(listed.given_names) > 1 and _joined(name) == _joined("".join(listed.given_names[:2]))


def _given_repaired(left: Traits, right: Traits) -> bool:
    return _given_damaged(left, right) and _first_given_in_common(left, right)


def _given_damaged(left: Traits, right: Traits) -> bool:
    return left.given_damaged or right.given_damaged


def _first_given_in_common(left: Traits, right: Traits) -> bool:
    return _joined(first_given(left)) == _joined(first_given(right))


def _given_in_list(left: Traits, right: Traits) -> bool:
    lefts, rights = _all_given(left), _all_given(right)
    if len(lefts) == 1 and len(rights) == 1:
        return False
    if first_given(left) in rights or first_given(right) in lefts:
        return True
    return left.used_given_name == right.used_given_name != ""


def _both_in_use(left: str, right: str) -> bool:
    in_use = _names_in_use()
    return left in in_use and right in in_use


def _given_variant(left: Traits, right: Traits) -> bool:
    """MOHAMMED and MUHAMMAD; NICO and NICOLAS, since nobody is registered as NICO."""
    a, b = first_given(left), first_given(right)
    if _same_spelling_family(a, b):
        return True
    return _stands_for(a, b) and not _both_in_use(a, b)


def _given_partial(left: Traits, right: Traits) -> bool:
    """JEAN and JEAN PIERRE; J and JEAN; JP and JEAN PIERRE, or the list JEAN, PIERRE."""
    a, b = first_given(left), first_given(right)
    if _initials(a, list(right.given_names[:2])) or _initials(b, list(left.given_names[:2])):
        return True
    compound = " " in a or " " in b
    if not compound and len(a) > 3 and len(b) > 3:
        return False
    a_words, b_words = a.split(" "), b.split(" ")
    if compound and (set(a_words) <= set(b_words) or set(b_words) <= set(a_words)):
        return True
    return _initials(a, b_words) or _initials(b, a_words)


def _initials(short: str, words: list[str]) -> bool:
    letters = _joined(short)
    return len(letters) <= 3 and letters == "".join(word[0] for word in words)


def _given_near(left: Traits, right: Traits) -> bool:
    a, b = first_given(left), first_given(right)
    return _one_edit(a, b) or _jaro_winkler_at_least(a, b, 0.9)


def _given_near_other_name(left: Traits, right: Traits) -> bool:
    """AMINA and YAMINA, ANNE and ANNIE: close, and both names that twins are given."""
    a, b = first_given(left), first_given(right)
    return _both_in_use(a, b) and (_stands_for(a, b) or _given_near(left, right))


def _given_alike(left: Traits, right: Traits) -> bool:
    """Two slips, or one sound: HOURIA and HWRIA. Too little to link on, too much to call different."""
    a, b = first_given(left), first_given(right)
    if min(len(a), len(b)) >= 5 and DamerauLevenshtein.distance(a, b, score_cutoff=2) <= 2:
        return True
    code = soundex2(_joined(a))
    return len(code) > 1 and code == soundex2(_joined(b))


GIVEN_NAME = Comparison(
    "given_name",
    ("given_names", "used_given_name", "given_damaged", "birth_name", "used_name"),
    _given_missing,
    (
        Level("list_exact", _given_list_exact),
        Level("exact_others_differ", _given_exact_others_differ),
        Level("exact", _given_exact),
        Level("joined", _given_joined),
        Level("repaired", _given_repaired),
        Level("in_list", _given_in_list),
        Level("variant", _given_variant),
        Level("partial", _given_partial),
        Level("near_other_name", _given_near_other_name),
        Level("near", _given_near),
        Level("alike", _given_alike),
        Level("different", _otherwise),
    ),
)


# --- birth date ---------------------------------------------------------------------------


def _dates(left: Traits, right: Traits) -> tuple[PartialDate, PartialDate]:
    assert left.birth_date is not None
    assert right.birth_date is not None
    return left.birth_date, right.birth_date


def _digits(date: PartialDate) -> str:
    return f"{date.year:04d}{date.month or 0:02d}{date.day or 0:02d}"


def _date_missing(left: Traits, right: Traits) -> bool:
    return left.birth_date is None or right.birth_date is None


def _date_exact(left: Traits, right: Traits) -> bool:
    date = left.birth_date
    return date == right.birth_date and date is not None and date.day is not None


def _date_exact_default(left: Traits, right: Traits) -> bool:
    return (left.birth_date_default or right.birth_date_default) and _date_exact(left, right)


def _date_exact_first_of_month(left: Traits, right: Traits) -> bool:
    """01/MM: where the day is not known, some write the first."""
    date = left.birth_date
    return date is not None and date.day == 1 and date == right.birth_date


def _date_partial(left: Traits, right: Traits) -> bool:
    a, b = _dates(left, right)
    if (a.day is not None and b.day is not None) or a.year != b.year:
        return False
    return a.month is None or b.month is None or a.month == b.month


def _day_month_swap(left: Traits, right: Traits) -> bool:
    a, b = _dates(left, right)
    return a.year == b.year and a.day is not None and a.day == b.month and a.month == b.day


def _date_default_same_year(left: Traits, right: Traits) -> bool:
    if not (left.birth_date_default or right.birth_date_default):
        return False
    a, b = _dates(left, right)
    return a.year == b.year


def _one_slip(a: PartialDate, b: PartialDate) -> bool:
    """Of two whole dates: one part differs, by one digit or by two neighbours exchanged."""
    if a.day is None or b.day is None:
        return False
    if (a.year != b.year) + (a.month != b.month) + (a.day != b.day) != 1:
        return False  # one slip touches one part; spares the distance for almost every pair
    return damerau_levenshtein_distance(_digits(a), _digits(b)) == 1


def _date_transposed(left: Traits, right: Traits) -> bool:
    a, b = _dates(left, right)
    return _one_slip(a, b) and sorted(_digits(a)) == sorted(_digits(b))


def _date_one_digit(left: Traits, right: Traits) -> bool:
    return _one_slip(*_dates(left, right))


def _date_year_off(left: Traits, right: Traits) -> bool:
    a, b = _dates(left, right)
    return a.day is not None and (a.month, a.day) == (b.month, b.day) and abs(a.year - b.year) in (1, 100)


def _date_two_of_three(left: Traits, right: Traits) -> bool:
    a, b = _dates(left, right)
    if a.day is None or b.day is None:
        return False
    return (a.year == b.year) + (a.month == b.month) + (a.day == b.day) == 2


BIRTH_DATE = Comparison(
    "birth_date",
    ("birth_date", "birth_date_default"),
    _date_missing,
    (
        Level("exact_default", _date_exact_default),
        Level("exact_first_of_month", _date_exact_first_of_month),
        Level("exact", _date_exact),
        Level("partial", _date_partial),
        Level("day_month_swap", _day_month_swap),
        Level("default_same_year", _date_default_same_year),
        Level("year_off", _date_year_off),
        Level("transposed", _date_transposed),
        Level("one_digit", _date_one_digit),
        Level("two_of_three", _date_two_of_three),
        Level("different", _otherwise),
    ),
)


# --- the others ---------------------------------------------------------------------------


SEX = Comparison(
    "sex",
    ("sex",),
    lambda left, right: not left.sex or not right.sex,
    (Level("same", lambda left, right: left.sex == right.sex), Level("different", _otherwise)),
)


def _place_texts(left: Traits, right: Traits) -> tuple[str, str]:
    """Both places as text: as written, or named by its code where the other has no code."""
    if left.birth_place and right.birth_place:
        return left.birth_place, right.birth_place
    if left.birth_place_code and right.birth_place_code:
        return "", ""
    return (
        left.birth_place or place_name(left.birth_place_code),
        right.birth_place or place_name(right.birth_place_code),
    )


def _place_missing(left: Traits, right: Traits) -> bool:
    if left.birth_place_code and right.birth_place_code:
        return False
    if left.birth_place and right.birth_place:
        return False
    texts = _place_texts(left, right)
    if "" in texts:
        return True
    # Abroad the code says the country, the text perhaps the town: that is no disagreement.
    named = right.birth_place_code if left.birth_place else left.birth_place_code
    return named.startswith("99") and not _near_place(*texts)


def _same_place_code(left: Traits, right: Traits) -> bool:
    return left.birth_place_code == right.birth_place_code != ""


def _same_place(left: Traits, right: Traits) -> bool:
    """One place at two times: the Seine and what it became, a merged commune, a borough and its town."""
    a, b = left.birth_place_code, right.birth_place_code
    return a != "" != b and is_same_place(a, b)


def _same_place_text(left: Traits, right: Traits) -> bool:
    a, b = _place_texts(left, right)
    return a == b != ""


def _near_place_text(left: Traits, right: Traits) -> bool:
    a, b = _place_texts(left, right)
    return a != "" != b and _near_place(a, b)


def _near_place(left: str, right: str) -> bool:
    return _part_of(left, right) or _jaro_winkler_at_least(left, right, 0.92)


def _department(code: str) -> str:
    """97x and 98x have three digits; abroad (99) is no department."""
    if code.startswith("99") or len(code) != 5:
        return ""
    return code[:3] if code.startswith(("97", "98")) else code[:2]


def _same_department(left: Traits, right: Traits) -> bool:
    return _department(left.birth_place_code) == _department(right.birth_place_code) != ""


BIRTH_PLACE = Comparison(
    "birth_place",
    ("birth_place_code", "birth_place"),
    _place_missing,
    (
        Level("same_code", _same_place_code),
        Level("same_place", _same_place),
        Level("same_text", _same_place_text),
        Level("near_text", _near_place_text),
        Level("same_department", _same_department),
        Level("different", _otherwise),
    ),
)


def _same_postal_code(left: Traits, right: Traits) -> bool:
    return left.postal_code == right.postal_code != ""


def _same_home_town(left: Traits, right: Traits) -> bool:
    """One postal code, and no town that disagrees."""
    return _same_postal_code(left, right) and (left.city == right.city or not left.city or not right.city)


def _same_city_alone(left: Traits, right: Traits) -> bool:
    """One town, and no two postal codes."""
    return left.city == right.city != "" and not (left.postal_code and right.postal_code)


def _postal_code_or_city(left: Traits, right: Traits) -> bool:
    """One of the two agrees, the other does not: a large town, or a postal code of several."""
    return _same_postal_code(left, right) or left.city == right.city != ""


def _same_address(left: Traits, right: Traits) -> bool:
    return left.address == right.address != "" and _same_home_town(left, right)


def _home_near(left: Traits, right: Traits) -> bool:
    """One street, whatever the town; or one town or postal code, and streets that differ by slips."""
    a, b = left.address, right.address
    if a == b != "":
        return True
    if not a or not b or not (_same_postal_code(left, right) or left.city == right.city != ""):
        return False
    return _one_edit(a, b) or _jaro_winkler_at_least(a, b, 0.92)


def _another_street(left: Traits, right: Traits) -> bool:
    return _same_home_town(left, right) and left.address != "" != right.address


RESIDENCE = Comparison(
    "residence",
    ("address", "postal_code", "city"),
    lambda left, right: (
        (not left.postal_code or not right.postal_code)
        and (not left.city or not right.city)
        and (not left.address or not right.address)
    ),
    (
        Level("same_address", _same_address),
        Level("near_address", _home_near),
        Level("another_street", _another_street),
        Level("same_postal_code", _same_home_town),
        Level("same_city", _same_city_alone),
        Level("postal_code_or_city", _postal_code_or_city),
        Level(
            "same_department",
            lambda left, right: len(left.postal_code) >= 2 and left.postal_code[:2] == right.postal_code[:2],
        ),
        Level("different", _otherwise),
    ),
)

PHONE = Comparison(
    "phone",
    ("phones",),
    lambda left, right: not left.phones or not right.phones,
    (
        Level("in_common", lambda left, right: not set(left.phones).isdisjoint(right.phones)),
        Level("different", _otherwise),
    ),
)

EMAIL = Comparison(
    "email",
    ("emails",),
    lambda left, right: not left.emails or not right.emails,
    (
        Level("in_common", lambda left, right: not set(left.emails).isdisjoint(right.emails)),
        Level("different", _otherwise),
    ),
)

NATIONAL_ID = Comparison(
    "national_id",
    ("national_id",),
    lambda left, right: not left.national_id or not right.national_id,
    (
        Level("same", lambda left, right: left.national_id == right.national_id),
        Level("one_edit", lambda left, right: _one_edit(left.national_id, right.national_id)),
        Level("different", _otherwise),
    ),
)


_RENUMBERED_DEPARTMENTS = (
    frozenset({"75", "78", "91", "92", "93", "94", "95"}),  # Seine and Seine-et-Oise, 1968
    frozenset({"20", "2A", "2B"}),  # Corsica, 1976
    frozenset({"91", "92", "93", "94", "95", "96", "99"}),  # Algeria, Morocco and Tunisia until they left
)


@lru_cache(maxsize=200_000)
def _matricule(ins: str) -> Matricule | None:
    try:
        return parse_matricule(ins)
    except InvalidMatricule:
        return None


def _embedded_contradict(traits: Traits) -> bool:
    """
    Whether the INS of a record embeds another sex, year, month or department of birth than it states.

    A rectified birth does that, and a parent's number on a child. A default date vouches for its
    year only.
    """
    matricule = _matricule(traits.ins)
    if matricule is None:
        return False
    date = traits.birth_date
    if date is not None and traits.birth_date_default:
        date = PartialDate(date.year)
    if embedded_differences(matricule, sex=traits.sex, birth_date=date):
        return True
    stated, embedded = traits.birth_place_code, matricule.birth_place
    departments = {stated[:2], embedded[:2]}
    if len(stated) != 5 or len(departments) == 1 or is_same_place(stated, embedded):
        return False
    return not any(departments <= renumbered for renumbered in _RENUMBERED_DEPARTMENTS)


def _same_ins(left: Traits, right: Traits) -> bool:
    return left.ins == right.ins


def _same_ins_and_date_agrees(left: Traits, right: Traits) -> bool:
    return left.ins == right.ins and BIRTH_DATE.level(left, right) != len(BIRTH_DATE.levels)


def _same_ins_borne_out(left: Traits, right: Traits) -> bool:
    if not _same_ins_and_date_agrees(left, right):
        return False
    return not (_embedded_contradict(left) or _embedded_contradict(right))


INS = Comparison(
    "ins",
    ("ins", "ins_temporary", "birth_date", "birth_date_default", "sex", "birth_place_code"),
    lambda left, right: not left.ins or not right.ins or left.ins_temporary != right.ins_temporary,
    (
        Level("same", _same_ins_borne_out),
        Level("same_embedded_differs", _same_ins_and_date_agrees),
        Level("same_other_birth_date", _same_ins),
        Level("different", _otherwise),
    ),
)

MOTHER_BIRTH_NAME = Comparison(
    "mother_birth_name",
    ("mother_birth_name",),
    lambda left, right: not left.mother_birth_name or not right.mother_birth_name,
    (
        Level("exact", lambda left, right: left.mother_birth_name == right.mother_birth_name),
        Level(
            "near",
            lambda left, right: (
                _part_of(left.mother_birth_name, right.mother_birth_name)
                or _jaro_winkler_at_least(left.mother_birth_name, right.mother_birth_name, 0.92)
                or _one_edit(left.mother_birth_name, right.mother_birth_name)
            ),
        ),
        Level("different", _otherwise),
    ),
)

BIRTH_ORDER = Comparison(
    "birth_order",
    ("birth_order", "multiple_birth"),
    lambda left, right: (
        left.birth_order is None
        or right.birth_order is None
        or not (left.multiple_birth or right.multiple_birth)
    ),
    (
        Level("same", lambda left, right: left.birth_order == right.birth_order),
        Level("different", _otherwise),
    ),
)

COMPARISONS: tuple[Comparison, ...] = (
    FAMILY_NAME,
    GIVEN_NAME,
    BIRTH_DATE,
    SEX,
    BIRTH_PLACE,
    RESIDENCE,
    PHONE,
    EMAIL,
    NATIONAL_ID,
    INS,
    MOTHER_BIRTH_NAME,
    BIRTH_ORDER,
)
"""Every comparison, in the order of vectors, weights and explanations."""

POSITION = {comparison.trait: index for index, comparison in enumerate(COMPARISONS)}
_LEVEL_FUNCTIONS = tuple(comparison.level for comparison in COMPARISONS)


def compare(left: Traits, right: Traits) -> ComparisonVector:
    """The level of each comparison, in order. Symmetric."""
    return tuple([level(left, right) for level in _LEVEL_FUNCTIONS])


def level_numbers(trait: str, *names: str) -> frozenset[int]:
    """
    The numbers of some levels of one comparison.

    Raises:
        KeyError, ValueError: the trait or the level is not in the ladders.
    """
    known = COMPARISONS[POSITION[trait]].level_names
    return frozenset(known.index(name) for name in names)
