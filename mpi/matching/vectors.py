"""
The levels of many pairs at once: what `comparisons.compare` says of each, to the letter.

A ladder is asked once for each distinct pair of what it reads, on traits that hold nothing else.
Most pairs never get there: an accelerator answers one level for all pairs by their codes, or says
that it does not know. Accelerators only save time. A level without one simply works; a test asks
every accelerator what the level itself says.
"""

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Lock
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from rapidfuzz.distance import DamerauLevenshtein, JaroWinkler
from rapidfuzz.process import cpdist

from mpi.identity.columns import Codes, TraitColumns
from mpi.identity.phonetics import soundex2
from mpi.identity.traits import Traits
from mpi.matching.candidates import Indices, Numbers, Part, join
from mpi.matching.comparisons import (
    COMPARISONS,
    MISSING_NAME,
    POSITION,
    Comparison,
    _names_in_use,
    _part_of,
    _variants,
    name_code,
)

Levels = npt.NDArray[np.uint8]
"""Shape: (pairs, comparisons); 0 is missing."""
Answers = npt.NDArray[np.int8]
Mask = npt.NDArray[np.bool_]

HOLDS, FAILS, UNKNOWN = np.int8(1), np.int8(0), np.int8(-1)

PAIRS_AT_ONCE = 1 << 16
"""Few enough that what is made on the way stays in the processor's cache."""
_TO_ASK = np.uint8(255)


def levels_of(
    columns: TraitColumns,
    left: Indices,
    right: Indices,
    *,
    progress: Callable[[str, int, int], None] = lambda phase, done, total: None,
) -> Levels:
    """
    The comparison vector of each pair of records.

    Shape: left, right (pairs,); the result (pairs, comparisons), in the order of `COMPARISONS`.
    """
    levels = np.empty((len(left), len(COMPARISONS)), dtype=np.uint8)
    derived = Derived.of(columns)

    def accelerated(start: int) -> None:
        some = slice(start, start + PAIRS_AT_ONCE)
        for at, comparison in enumerate(COMPARISONS):
            levels[some, at] = _levels(comparison, derived, left[some], right[some])

    starts = range(0, len(left), PAIRS_AT_ONCE)
    with ThreadPoolExecutor(max_workers=pa.cpu_count()) as threads:  # NumPy lets go of the interpreter
        for done, _ in enumerate(threads.map(accelerated, starts), start=1):
            progress("comparisons", done, len(starts))
    for at, comparison in enumerate(COMPARISONS):
        asked = np.flatnonzero(levels[:, at] == _TO_ASK)
        levels[asked, at] = _ask(comparison.level, comparison.reads, columns, left[asked], right[asked])
    return levels


def _levels(
    comparison: Comparison, derived: "Derived", left: Indices, right: Indices
) -> npt.NDArray[np.uint8]:
    """One level of each pair, as far as accelerators know; `_TO_ASK` where the ladder must be asked."""
    levels = np.full(len(left), _TO_ASK)
    pending = np.arange(len(left))
    for number, name in enumerate(comparison.level_names[:-1]):
        accelerate = ACCELERATORS.get((comparison.trait, name))
        if accelerate is None:
            return levels
        answers = accelerate(Pairs(derived, left[pending], right[pending]))
        levels[pending[answers == HOLDS]] = number
        pending = pending[answers == FAILS]
    levels[pending] = len(comparison.levels)
    return levels


def _ask(
    level: Callable[[Traits, Traits], int],
    reads: Sequence[str],
    columns: TraitColumns,
    left: Indices,
    right: Indices,
) -> npt.NDArray[np.uint8]:
    """The ladder itself, once for each distinct pair of what it reads, in either order."""
    pairs = len(left)
    if not pairs:
        return np.zeros(0, dtype=np.uint8)
    rows = np.concatenate((left, right))
    stated = join(*(Part(columns[field].codes[rows], len(columns[field].values)) for field in reads))
    sides, distinct = pd.factorize(stated)
    first = np.empty(len(distinct), dtype=np.int64)
    first[sides[::-1]] = rows[::-1]
    traits = _some_traits(columns, reads, first)
    a, b = np.minimum(sides[:pairs], sides[pairs:]), np.maximum(sides[:pairs], sides[pairs:])
    which, together = pd.factorize(a.astype(np.int64) * len(distinct) + b)
    lefts, rights = (together // len(distinct)).tolist(), (together % len(distinct)).tolist()
    found = np.array([level(traits[a], traits[b]) for a, b in zip(lefts, rights, strict=True)], np.uint8)
    answers: npt.NDArray[np.uint8] = found[which]
    return answers


def _some_traits(columns: TraitColumns, fields: Sequence[str], rows: Indices) -> list[Traits]:
    """
    Some records with some of their fields, and nothing else.

    Not `Traits`, which take ten times longer to make; a ladder that reads what it does not say it
    reads fails here.
    """
    make: Callable[[Iterable[Any]], Any] = getattr(namedtuple("Some", fields), "_make")  # noqa: B009
    told = [[columns[field].values[code] for code in columns[field].codes[rows].tolist()] for field in fields]
    return cast(list[Traits], list(map(make, zip(*told, strict=True))))


# --- what accelerators look at ------------------------------------------------------------


class Derived:
    """Numbers of each record that several accelerators use, each made once."""

    def __init__(self, columns: TraitColumns) -> None:
        self.columns = columns

    @classmethod
    def of(cls, columns: TraitColumns) -> "Derived":
        """Those of these columns, made once however many pairs are looked at."""
        derived: Derived = columns.made.setdefault("derived", cls(columns))
        return derived

    @cached_property
    def givens(self) -> tuple[str, ...]:
        """Every given name that is somebody's first or used one, the missing one first."""
        names = dict.fromkeys(self.columns["used_given_name"].values)
        names.update(dict.fromkeys(each[0] for each in self.columns["given_names"].values if each))
        return tuple(names)

    @cached_property
    def first_given(self) -> Codes:
        """By record, the position in `givens` of the first given name, or the used one."""
        ids = {name: at for at, name in enumerate(self.givens)}
        lists, used = self.columns["given_names"], self.columns["used_given_name"]
        first = np.array([ids[names[0]] if names else 0 for names in lists.values], dtype=np.int32)[
            lists.codes
        ]
        return np.where(first == 0, used.codes, first)

    @cached_property
    def _joined(self) -> dict[str, int]:
        """Given names without spaces, numbered: JEAN PIERRE and JEANPIERRE are one."""
        return {name: at for at, name in enumerate(dict.fromkeys(map(_without_spaces, self.givens)))}

    @cached_property
    def first_given_joined(self) -> Codes:
        """By record, the first given name without spaces."""
        joined = [self._joined[_without_spaces(name)] for name in self.givens]
        return np.array(joined, dtype=np.int32)[self.first_given]

    @cached_property
    def first_two_joined(self) -> Codes:
        """By record, the first two listed given names as one; -1 where it is nobody's first."""
        lists = self.columns["given_names"]
        joined = [
            self._joined.get(_without_spaces("".join(names[:2])), -1) if len(names) > 1 else -1
            for names in lists.values
        ]
        return np.array(joined, dtype=np.int32)[lists.codes]

    @cached_property
    def short_or_compound(self) -> Mask:
        """By record, whether the first given name may be initials, or is of several words."""
        odd = [len(_without_spaces(name)) <= 3 or " " in name for name in self.givens]
        return np.array(odd, dtype=np.bool_)[self.first_given]

    @cached_property
    def family_as_given(self) -> Codes:
        """By family name, the position in `givens` of the same word; -1 where it is nobody's given name."""
        ids = {name: at for at, name in enumerate(self.givens) if name}
        return np.array([ids.get(name, -1) for name in self.columns["birth_name"].values], dtype=np.int32)

    @cached_property
    def has_words(self) -> Mask:
        """By family name, whether it is of several words."""
        return np.array([" " in name for name in self.columns["birth_name"].values], dtype=np.bool_)

    @cached_property
    def given_in_use(self) -> Mask:
        """By given name, whether it is a name in its own right."""
        in_use = _names_in_use()
        return np.array([name in in_use for name in self.givens], dtype=np.bool_)

    @cached_property
    def given_spellings(self) -> Codes:
        """By given name, the spelling that represents its family, numbered."""
        _, spelling = _variants()
        ids: dict[str, int] = {}
        numbers = [ids.setdefault(spelling.get(name, name), len(ids)) for name in self.givens]
        return np.array(numbers, dtype=np.int32)

    @cached_property
    def _standing(self) -> Numbers:
        """Given names of which one stands for the other, two in one number."""
        ids = {name: at for at, name in enumerate(self.givens)}
        stands_for, _ = _variants()
        two = [
            (ids[name], ids[other])
            for name, others in stands_for.items()
            for other in others
            if name in ids and other in ids
        ]
        found = [min(each) * len(ids) + max(each) for each in two]
        return np.unique(np.array([-1, *found], dtype=np.int64))

    def stands_for(self, left: Codes, right: Codes) -> Mask:
        """Whether one given name stands for the other."""
        two = np.minimum(left, right).astype(np.int64) * len(self.givens) + np.maximum(left, right)
        place = np.searchsorted(self._standing, two)
        stand: Mask = self._standing[np.minimum(place, len(self._standing) - 1)] == two
        return stand

    @cached_property
    def given_sounds(self) -> "_Sounds":
        """Of given names; too short to tell is none."""
        return _Sounds(self.givens, _given_sound)

    @cached_property
    def listed_as_first(self) -> Codes:
        """By list of given names, the position of its first five in `givens`; -1 where it is nobody's first."""
        ids = {name: at for at, name in enumerate(self.givens)}
        lists = self.columns["given_names"].values
        counts = np.minimum(np.fromiter(map(len, lists), np.int64, len(lists)), 5)
        found = np.full((len(lists), 5), -1, dtype=np.int32)
        found[np.arange(5) < counts[:, None]] = [ids.get(name, -1) for names in lists for name in names[:5]]
        return found

    @cached_property
    def sounds(self) -> "_Sounds":
        """Of family names."""
        return _Sounds(self.columns["birth_name"].values, name_code)

    @cached_property
    def listed_given(self) -> Codes:
        """By record, how many birth given names."""
        lists = self.columns["given_names"]
        return np.array([len(names) for names in lists.values], dtype=np.int32)[lists.codes]

    @cached_property
    def all_given(self) -> Codes:
        """By record, how many given names, the used one too."""
        return self.listed_given + (self.columns["used_given_name"].codes > 0)

    @cached_property
    def date(self) -> npt.NDArray[np.int16]:
        """By record: year, month, day, 0 where not known. Shape: (3, records)."""
        column = self.columns["birth_date"]
        dates = [(0, 0, 0) if d is None else (d.year, d.month or 0, d.day or 0) for d in column.values]
        return np.array(dates, dtype=np.int16).T[:, column.codes]

    @cached_property
    def postal_prefix(self) -> Codes:
        """By record, the first two characters of the postal code, numbered; 0 when there are not two."""
        column = self.columns["postal_code"]
        ids = {"": 0}
        prefixes = [ids.setdefault(code[:2] if len(code) >= 2 else "", len(ids)) for code in column.values]
        return np.array(prefixes, dtype=np.int32)[column.codes]

    @cached_property
    def phones(self) -> Numbers:
        """By distinct value, its phones numbered from 1; 0 after the last."""
        return _items(self.columns["phones"].values)

    @cached_property
    def emails(self) -> Numbers:
        """By distinct value, its mailboxes numbered from 1; 0 after the last."""
        return _items(self.columns["emails"].values)

    @cached_property
    def bears_ins_out(self) -> Mask:
        """By record, whether sex, year, month and department of birth are plainly those its INS embeds."""
        ins, place, sex = (self.columns[field] for field in ("ins", "birth_place_code", "sex"))
        digits = _characters(ins.values, 7)
        year, month, _ = self.date
        number = digits.astype(np.int64) - ord("0")
        wanted = np.array([ord({"M": "1", "F": "2"}.get(value, "?")) for value in sex.values])[sex.codes]
        same_sex = (sex.codes == 0) | (digits[ins.codes, 0] == wanted)
        same_year = year % 100 == (number[:, 1] * 10 + number[:, 2])[ins.codes]
        same_month = month == (number[:, 3] * 10 + number[:, 4])[ins.codes]
        departments = _characters(place.values, 2)
        same_place = (departments[place.codes] == digits[ins.codes, 5:7]).all(axis=1) | (place.codes == 0)
        borne_out: Mask = same_sex & (year > 0) & same_year & same_month & same_place
        return borne_out


class _Sounds:
    """Names by sound, numbered as they are asked for; 0 is none. Several threads may ask."""

    def __init__(self, names: Sequence[str], sound: Callable[[str], str]) -> None:
        self._names, self._sound = names, sound
        self._ids = {"": 0}
        self._numbers = np.full(len(names), -1, dtype=np.int32)
        self._lock = Lock()

    def of(self, names: Codes) -> Codes:
        """The number of the sound of each name."""
        with self._lock:
            new = np.unique(names[self._numbers[names] < 0])
            sounds = [self._sound(self._names[name]) for name in new.tolist()]
            self._numbers[new] = [self._ids.setdefault(sound, len(self._ids)) for sound in sounds]
        found: Codes = self._numbers[names]
        return found


def _given_sound(name: str) -> str:
    sound = soundex2(_without_spaces(name))
    return sound if len(sound) > 1 else ""


def _items(values: Sequence[Sequence[str]]) -> Numbers:
    counts = np.fromiter(map(len, values), np.int64, len(values))
    items = np.zeros((len(values), int(counts.max())), dtype=np.int64)
    there = np.arange(items.shape[1]) < counts[:, None]
    flat = np.array([item for each in values for item in each], dtype=object)
    items[there] = pd.factorize(flat)[0] + 1
    return items


def _without_spaces(name: str) -> str:
    return name.replace(" ", "")


def _characters(texts: Sequence[str], count: int) -> npt.NDArray[np.uint32]:
    """The first characters of each text, 0 after its end. Shape: (texts, count)."""
    return np.array([text[:count] for text in texts], dtype=f"U{count}").view(np.uint32).reshape(-1, count)


class Pairs:
    """Some pairs, as accelerators see them."""

    def __init__(self, derived: Derived, left: Indices, right: Indices) -> None:
        self.derived, self.left, self.right = derived, left, right

    def codes(self, field: str) -> tuple[Codes, Codes]:
        """The codes of one field, of both sides."""
        codes = self.derived.columns[field].codes
        return codes[self.left], codes[self.right]

    def of(self, numbers: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """A number of each record, of both sides."""
        return numbers[..., self.left], numbers[..., self.right]

    def either(self, field: str) -> Mask:
        """A flag, on either side."""
        left, right = self.codes(field)
        found: Mask = (left | right) > 0
        return found

    def same(self, field: str) -> Mask:
        """One value on both sides, and not the missing one."""
        left, right = self.codes(field)
        same: Mask = (left == right) & (left > 0)
        return same

    def missing(self, *fields: str) -> Mask:
        """Whether on some side none of the fields is there."""
        gone = [np.logical_and.reduce([self.codes(field)[side] == 0 for field in fields]) for side in (0, 1)]
        missing: Mask = gone[0] | gone[1]
        return missing

    @cached_property
    def family_in_common(self) -> Mask:
        births, useds = self.codes("birth_name"), self.codes("used_name")
        found = np.zeros(len(self.left), dtype=np.bool_)
        for a in (births[0], useds[0]):
            for b in (births[1], useds[1]):
                found |= (a == b) & (a > 0)
        return found

    def families(self) -> tuple[Indices, Codes, Codes]:
        """Every family name of one side with every one of the other: which pair, and both names."""
        births, useds = self.codes("birth_name"), self.codes("used_name")
        which, lefts, rights = [], [], []
        for a in (births[0], useds[0]):
            for b in (births[1], useds[1]):
                there = np.flatnonzero((a > 0) & (b > 0))
                which.append(there)
                lefts.append(a[there])
                rights.append(b[there])
        return np.concatenate(which), np.concatenate(lefts), np.concatenate(rights)

    @cached_property
    def may_be_swapped(self) -> Mask:
        """Whether the first given name of one is a family name of the other."""
        given = self.of(self.derived.first_given)
        found = np.zeros(len(self.left), dtype=np.bool_)
        for field in ("birth_name", "used_name"):
            names = self.codes(field)
            for mine, theirs in ((given[0], names[1]), (given[1], names[0])):
                found |= (self.derived.family_as_given[theirs] == mine) & (mine > 0)
        return found

    @cached_property
    def first_given_in_common(self) -> Mask:
        left, right = self.of(self.derived.first_given_joined)
        same: Mask = left == right
        return same

    @cached_property
    def dates(self) -> tuple[Numbers, Numbers, Mask]:
        """Both dates by part, and where both are whole."""
        left, right = self.of(self.derived.date)
        return left, right, (left[2] > 0) & (right[2] > 0)


Accelerator = Callable[[Pairs], Answers]


def _exactly(holds: Mask) -> Answers:
    return holds.astype(np.int8)


def _perhaps(may_hold: Mask) -> Answers:
    return np.where(may_hold, UNKNOWN, FAILS)


def _missing(*fields: str) -> Accelerator:
    return lambda pairs: _exactly(pairs.missing(*fields))


def _same(field: str) -> Accelerator:
    return lambda pairs: _exactly(pairs.same(field))


def _any_family(test: Callable[[Sequence[str], Sequence[str]], Mask]) -> Accelerator:
    """Whether some two of the family names pass a test of texts, asked once for each two."""

    def holds(pairs: Pairs) -> Answers:
        which, left, right = pairs.families()
        passed = _of_texts(test, pairs.derived.columns["birth_name"].values, left, right)
        return _exactly(np.bincount(which[passed], minlength=len(pairs.left)) > 0)

    return holds


def _of_texts(
    test: Callable[[Sequence[str], Sequence[str]], Mask], values: Sequence[str], left: Codes, right: Codes
) -> Mask:
    """Which pairs of texts pass a symmetric test, asked once for each two."""
    if not len(left):
        return np.zeros(0, dtype=np.bool_)
    small, great = np.minimum(left, right).astype(np.int64), np.maximum(left, right)
    at, distinct = pd.factorize(small * len(values) + great)
    lefts = [values[code] for code in (distinct // len(values)).tolist()]
    rights = [values[code] for code in (distinct % len(values)).tolist()]
    return test(lefts, rights)[at]


def _at_most_edits(most: int, *, of_letters: int) -> Callable[[Sequence[str], Sequence[str]], Mask]:
    """Texts of so many letters or more, so few edits apart."""

    def near(left: Sequence[str], right: Sequence[str]) -> Mask:
        edits = cpdist(
            left,
            right,
            scorer=DamerauLevenshtein.distance,
            score_cutoff=most,
            dtype=np.int32,
        )
        long_enough = np.minimum(_lengths(left), _lengths(right)) >= of_letters
        found: Mask = long_enough & (edits <= most)
        return found

    return near


_one_edit = _at_most_edits(1, of_letters=3)
_two_edits = _at_most_edits(2, of_letters=5)


def _jaro_winkler(left: Sequence[str], right: Sequence[str], bound: float = 0.92) -> Mask:
    first, second = map(min, left, right), map(max, left, right)  # greedy matching may depend on the order
    near = cpdist(
        list(first),
        list(second),
        scorer=JaroWinkler.similarity,
        score_cutoff=bound,
        dtype=np.float64,
    )
    found: Mask = near >= bound
    return found


def _family_part_of(pairs: Pairs) -> Answers:
    """Nothing is a part of a name, or holds one, without a space in either."""
    which, left, right = pairs.families()
    words = pairs.derived.has_words[left] | pairs.derived.has_words[right]
    values = pairs.derived.columns["birth_name"].values
    passed = _of_texts(_each(_part_of), values, left[words], right[words])
    return _exactly(np.bincount(which[words][passed], minlength=len(pairs.left)) > 0)


def _each(test: Callable[[str, str], bool]) -> Callable[[Sequence[str], Sequence[str]], Mask]:
    return lambda lefts, rights: np.fromiter(map(test, lefts, rights), np.bool_, len(lefts))


def _phonetic(pairs: Pairs) -> Answers:
    which, left, right = pairs.families()
    sounds = pairs.derived.sounds.of(left), pairs.derived.sounds.of(right)
    alike = (sounds[0] == sounds[1]) & (sounds[0] > 0)
    return _exactly(np.bincount(which[alike], minlength=len(pairs.left)) > 0)


def _two_women(pairs: Pairs) -> Answers:
    woman = np.array([sex == "F" for sex in pairs.derived.columns["sex"].values], dtype=np.bool_)
    left, right = pairs.codes("sex")
    return _exactly(woman[left] & woman[right])


def _given_variant(pairs: Pairs) -> Answers:
    left, right = pairs.of(pairs.derived.first_given)
    spellings, in_use = pairs.derived.given_spellings, pairs.derived.given_in_use
    stands_for = pairs.derived.stands_for(left, right)
    return _exactly((spellings[left] == spellings[right]) | (stands_for & ~(in_use[left] & in_use[right])))


def _given_near_other_name(pairs: Pairs) -> Answers:
    left, right = pairs.of(pairs.derived.first_given)
    in_use = np.flatnonzero(pairs.derived.given_in_use[left] & pairs.derived.given_in_use[right])
    found = np.zeros(len(left), dtype=np.bool_)
    left, right = left[in_use], right[in_use]
    near = _of_texts(_near, pairs.derived.givens, left, right)
    found[in_use] = near | pairs.derived.stands_for(left, right)
    return _exactly(found)


def _given_near(pairs: Pairs) -> Answers:
    return _exactly(_of_texts(_near, pairs.derived.givens, *pairs.of(pairs.derived.first_given)))


def _near(left: Sequence[str], right: Sequence[str]) -> Mask:
    near: Mask = _one_edit(left, right) | _jaro_winkler(left, right, 0.9)
    return near


def _given_alike(pairs: Pairs) -> Answers:
    left, right = pairs.of(pairs.derived.first_given)
    sounds = pairs.derived.given_sounds.of(left), pairs.derived.given_sounds.of(right)
    one_sound = (sounds[0] == sounds[1]) & (sounds[0] > 0)
    return _exactly(one_sound | _of_texts(_two_edits, pairs.derived.givens, left, right))


def _lengths(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.fromiter(map(len, texts), np.int64, len(texts))


def _in_common(field: str) -> Accelerator:
    def in_common(pairs: Pairs) -> Answers:
        items = getattr(pairs.derived, field)
        left, right = (items[codes] for codes in pairs.codes(field))
        found = np.zeros(len(left), dtype=np.bool_)
        for mine in left.T:
            for theirs in right.T:
                found |= (mine == theirs) & (mine > 0)
        return _exactly(found)

    return in_common


def _given_missing(pairs: Pairs) -> Answers:
    given = pairs.of(pairs.derived.first_given)
    gone = (given[0] == 0) | (given[1] == 0)
    return np.where(gone, HOLDS, _perhaps(~pairs.family_in_common & pairs.may_be_swapped))


def _list_exact(pairs: Pairs) -> Answers:
    left, _ = pairs.of(pairs.derived.listed_given)
    return _exactly(pairs.same("given_names") & (left > 1) & ~pairs.either("given_damaged"))


def _others_differ(pairs: Pairs) -> Answers:
    left, right = pairs.of(pairs.derived.listed_given)
    first = pairs.of(pairs.derived.first_given)
    perhaps = (left > 1) & (right > 1) & (first[0] == first[1]) & ~pairs.same("given_names")
    return _asked_of_givens("exact_others_differ", pairs, perhaps)


def _given_joined(pairs: Pairs) -> Answers:
    name, two = pairs.of(pairs.derived.first_given_joined), pairs.of(pairs.derived.first_two_joined)
    return _exactly(((name[0] == two[1]) | (name[1] == two[0])) & ~pairs.either("given_damaged"))


def _in_list(pairs: Pairs) -> Answers:
    counts, first = pairs.of(pairs.derived.all_given), pairs.of(pairs.derived.first_given)
    lists, useds = pairs.codes("given_names"), pairs.codes("used_given_name")
    found = (useds[0] == useds[1]) & (useds[0] > 0)
    for name, listed, used in ((first[0], lists[1], useds[1]), (first[1], lists[0], useds[0])):
        found |= used == name
        for column in pairs.derived.listed_as_first.T:
            found |= column[listed] == name
    found &= (counts[0] > 1) | (counts[1] > 1)
    beyond = np.maximum(counts[0], counts[1]) > pairs.derived.listed_as_first.shape[1]
    return np.where(beyond & ~found, UNKNOWN, _exactly(found))


def _partial(pairs: Pairs) -> Answers:
    left, right = pairs.of(pairs.derived.short_or_compound)
    return _asked_of_givens("partial", pairs, left | right)


def _asked_of_givens(level_name: str, pairs: Pairs, perhaps: Mask) -> Answers:
    """A level that looks at the given names alone, asked where it may hold."""
    comparison = COMPARISONS[POSITION["given_name"]]
    level = comparison.levels[comparison.level_names.index(level_name) - 1]
    answers = np.full(len(pairs.left), FAILS)
    answers[perhaps] = _ask(
        lambda left, right: int(level.holds(left, right)),
        ("given_names", "used_given_name"),
        pairs.derived.columns,
        pairs.left[perhaps],
        pairs.right[perhaps],
    )
    return answers


def _date_exact(pairs: Pairs) -> Mask:
    left, _, _ = pairs.dates
    exact: Mask = pairs.same("birth_date") & (left[2] > 0)
    return exact


def _date_partial(pairs: Pairs) -> Answers:
    left, right, whole = pairs.dates
    agree = (left[1] == 0) | (right[1] == 0) | (left[1] == right[1])
    return _exactly(~whole & (left[0] == right[0]) & agree)


def _day_month_swap(pairs: Pairs) -> Answers:
    left, right, _ = pairs.dates
    swapped = (left[2] > 0) & (left[2] == right[1]) & (left[1] == right[2])
    return _exactly((left[0] == right[0]) & swapped)


def _default_same_year(pairs: Pairs) -> Answers:
    left, right, _ = pairs.dates
    return _exactly(pairs.either("birth_date_default") & (left[0] == right[0]))


def _year_off(pairs: Pairs) -> Answers:
    left, right, _ = pairs.dates
    same_day = (left[2] > 0) & (left[2] == right[2]) & (left[1] == right[1])
    years = np.abs(left[0] - right[0])
    return _exactly(same_day & ((years == 1) | (years == 100)))


def _date_transposed(pairs: Pairs) -> Answers:
    some, left, right = _dates_but_for_one_part(pairs)
    differ = left != right
    swapped = (left[:-1] == right[1:]) & (left[1:] == right[:-1]) & differ[:-1] & differ[1:]
    return _exactly(_scattered(some, swapped.any(axis=0) & (differ.sum(axis=0) == 2), len(pairs.left)))


def _date_one_digit(pairs: Pairs) -> Answers:
    some, left, right = _dates_but_for_one_part(pairs)
    return _exactly(_scattered(some, (left != right).sum(axis=0) == 1, len(pairs.left)))


def _dates_but_for_one_part(pairs: Pairs) -> tuple[Indices, Numbers, Numbers]:
    """Which pairs of whole dates differ in one part only, and the digits of both. Shape: (8, some)."""
    left, right, whole = pairs.dates
    some = np.flatnonzero(whole & ((left != right).sum(axis=0) == 1))
    return some, _digits(left[:, some]), _digits(right[:, some])


def _digits(dates: Numbers) -> Numbers:
    year, month, day = dates
    return (
        np.array(
            [year // 1000, year // 100, year // 10, year, month // 10, month, day // 10, day], dtype=np.int64
        )
        % 10
    )


def _scattered(some: Indices, holds: Mask, size: int) -> Mask:
    out = np.zeros(size, dtype=np.bool_)
    out[some] = holds
    return out


def _two_of_three(pairs: Pairs) -> Answers:
    left, right, whole = pairs.dates
    return _exactly(whole & ((left == right).sum(axis=0) == 2))


def _place_missing(pairs: Pairs) -> Answers:
    some = (pairs.missing("birth_place_code"), pairs.missing("birth_place"))
    nowhere = pairs.missing("birth_place_code", "birth_place")
    return np.where(nowhere, HOLDS, _perhaps(some[0] & some[1]))


def _home_missing(pairs: Pairs) -> Answers:
    return _exactly(pairs.missing("postal_code") & pairs.missing("city") & pairs.missing("address"))


def _in_one_town(pairs: Pairs) -> Mask:
    left, right = pairs.codes("city")
    same: Mask = pairs.same("postal_code") & ((left == right) | (left == 0) | (right == 0))
    return same


def _near_home(pairs: Pairs) -> Answers:
    in_town = ~pairs.missing("address") & (pairs.same("postal_code") | pairs.same("city"))
    return np.where(pairs.same("address"), HOLDS, _perhaps(in_town))


def _same_home(pairs: Pairs) -> Answers:
    return _exactly(_in_one_town(pairs))


def _same_home_department(pairs: Pairs) -> Answers:
    left, right = pairs.of(pairs.derived.postal_prefix)
    return _exactly((left == right) & (left > 0))


def _ins_missing(pairs: Pairs) -> Answers:
    left, right = pairs.codes("ins_temporary")
    return _exactly(pairs.missing("ins") | (left != right))


def _ins_borne_out(pairs: Pairs) -> Answers:
    left, right = pairs.of(pairs.derived.bears_ins_out)
    same = pairs.same("ins")
    return np.where(same & left & right & pairs.same("birth_date"), HOLDS, _perhaps(same))


ACCELERATORS: Mapping[tuple[str, str], Accelerator] = {
    ("family_name", MISSING_NAME): _missing("birth_name", "used_name"),
    ("family_name", "birth_exact"): lambda pairs: _exactly(
        pairs.same("birth_name") & ~pairs.either("family_damaged")
    ),
    ("family_name", "cross_exact"): lambda pairs: _exactly(
        pairs.family_in_common & ~pairs.either("family_damaged")
    ),
    ("family_name", "repaired"): lambda pairs: _exactly(
        pairs.family_in_common & pairs.either("family_damaged")
    ),
    ("family_name", "order_swapped"): lambda pairs: _perhaps(pairs.may_be_swapped),
    ("family_name", "part_of"): _family_part_of,
    ("family_name", "one_edit"): _any_family(_one_edit),
    ("family_name", "jaro_winkler"): _any_family(_jaro_winkler),
    ("family_name", "phonetic"): _phonetic,
    ("family_name", "different_women"): _two_women,
    ("given_name", MISSING_NAME): _given_missing,
    ("given_name", "list_exact"): _list_exact,
    ("given_name", "exact_others_differ"): _others_differ,
    ("given_name", "exact"): lambda pairs: _exactly(
        pairs.first_given_in_common & ~pairs.either("given_damaged")
    ),
    ("given_name", "joined"): _given_joined,
    ("given_name", "repaired"): lambda pairs: _exactly(
        pairs.first_given_in_common & pairs.either("given_damaged")
    ),
    ("given_name", "in_list"): _in_list,
    ("given_name", "partial"): _partial,
    ("given_name", "variant"): _given_variant,
    ("given_name", "near_other_name"): _given_near_other_name,
    ("given_name", "near"): _given_near,
    ("given_name", "alike"): _given_alike,
    ("birth_date", MISSING_NAME): _missing("birth_date"),
    ("birth_date", "exact_default"): lambda pairs: _exactly(
        _date_exact(pairs) & pairs.either("birth_date_default")
    ),
    ("birth_date", "exact_first_of_month"): lambda pairs: _exactly(
        pairs.same("birth_date") & (pairs.dates[0][2] == 1)
    ),
    ("birth_date", "exact"): lambda pairs: _exactly(_date_exact(pairs)),
    ("birth_date", "partial"): _date_partial,
    ("birth_date", "day_month_swap"): _day_month_swap,
    ("birth_date", "default_same_year"): _default_same_year,
    ("birth_date", "year_off"): _year_off,
    ("birth_date", "transposed"): _date_transposed,
    ("birth_date", "one_digit"): _date_one_digit,
    ("birth_date", "two_of_three"): _two_of_three,
    ("sex", MISSING_NAME): _missing("sex"),
    ("sex", "same"): _same("sex"),
    ("birth_place", MISSING_NAME): _place_missing,
    ("birth_place", "same_code"): _same("birth_place_code"),
    ("residence", MISSING_NAME): _home_missing,
    ("residence", "same_address"): lambda pairs: _exactly(pairs.same("address") & _in_one_town(pairs)),
    ("residence", "near_address"): _near_home,
    ("residence", "another_street"): lambda pairs: _exactly(~pairs.missing("address") & _in_one_town(pairs)),
    ("residence", "same_postal_code"): _same_home,
    ("residence", "same_city"): lambda pairs: _exactly(pairs.same("city") & pairs.missing("postal_code")),
    ("residence", "postal_code_or_city"): lambda pairs: _exactly(
        pairs.same("postal_code") | pairs.same("city")
    ),
    ("residence", "same_department"): _same_home_department,
    ("phone", MISSING_NAME): _missing("phones"),
    ("phone", "in_common"): _in_common("phones"),
    ("email", MISSING_NAME): _missing("emails"),
    ("email", "in_common"): _in_common("emails"),
    ("national_id", MISSING_NAME): _missing("national_id"),
    ("national_id", "same"): _same("national_id"),
    ("ins", MISSING_NAME): _ins_missing,
    ("ins", "same"): _ins_borne_out,
    ("ins", "same_embedded_differs"): lambda pairs: _perhaps(pairs.same("ins")),
    ("ins", "same_other_birth_date"): _same("ins"),
    ("mother_birth_name", MISSING_NAME): _missing("mother_birth_name"),
    ("mother_birth_name", "exact"): _same("mother_birth_name"),
    ("birth_order", MISSING_NAME): lambda pairs: np.where(pairs.missing("birth_order"), HOLDS, UNKNOWN),
}
"""By (trait, level): what it says of each pair, asked only where every level above it fails."""
