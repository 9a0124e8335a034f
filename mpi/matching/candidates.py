"""
The pairs of many records that share a blocking key: those of `blocking.passes`, in whole columns.

A key is a number equal for two records exactly when their parts are equal: no hash, so nothing
collides. A block that is too large is opened again by the birth date, first given name and sex of
its records; what is still too large is left out, counted and reported.

False pairs grow with the square of a population, whatever the keys. Two passes make most of them, given
name with date and both names with year: where one gives more pairs than there are records, and than a
million, it keeps those that agree on more than its key (see `_MORE`). The others are counted and reported.

Two passes more are for batch only. They are loose: a table of some thousands of records can afford
them, and finds there the pairs whose names, or a name and the date, were spoilt; a large table cannot,
nor can the online index, which would meet everyone born on a day. Each is used whole where it gives few
pairs a record, and left out, counted and reported otherwise. Both names alone are no such pass: what it
adds is namesakes of whom nothing else is known, and it lost more than it found.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from mpi.identity.columns import Codes, TraitColumns
from mpi.identity.phonetics import soundex2
from mpi.matching.blocking import _codes, _given_codes_of

MAX_BLOCK = 500
"""Records that are all compared with one another: at most 124,750 pairs."""

LOOSE_PAIRS_PER_RECORD = 5
"""A loose pass that gives more is left out."""
PAIRS_PER_RECORD = 1
"""A pass that gives more, and more than `PAIRS_ANYWAY`, keeps those that agree on more than its key."""
PAIRS_ANYWAY = 1_000_000
LARGEST_LOOSE = 400_000
"""Records above which they all are, without counting: everyone born on a day is more than that."""

Numbers = npt.NDArray[np.int64]
Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
_Rows = npt.NDArray[np.integer[Any]]
"""Positions of records, of whichever width: half as wide is half the memory."""


class CappedBlocks(NamedTuple):
    """
    What one pass could not compare as it was.

    Args:
        refined: blocks too large, opened by a second key.
        skipped: blocks still too large after that: none of their pairs were made by this pass.
        skipped_records: records in these, each block counted.
    """

    name: str
    refined: int
    skipped: int
    skipped_records: int


class LeftOut(NamedTuple):
    """
    A loose pass that gave too many pairs, or the part of a pass whose pairs agree on nothing more.

    Args:
        pairs: how many those are; 0 where they were not counted.
    """

    name: str
    pairs: int


_Note = CappedBlocks | LeftOut


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """
    Pairs of records by position, each once, in order.

    Args:
        left_out: loose passes that were not used, and parts of others.

    Shape: left, right (pairs,) int64; left < right.
    """

    left: Indices
    right: Indices
    capped: tuple[CappedBlocks, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    def __len__(self) -> int:
        return len(self.left)


class Part(NamedTuple):
    """One part of keys: numbers from 0 to below `size`, equal when the part is."""

    codes: npt.NDArray[Any]
    size: int


class Keys(NamedTuple):
    """The keys of one pass. Shape: rows, keys (entries,); a record may have none or several."""

    rows: _Rows
    keys: Numbers


def candidates(
    columns: TraitColumns,
    *,
    max_block: int = MAX_BLOCK,
    loose: bool = False,
    progress: Callable[[str, int, int], None] = lambda phase, done, total: None,
) -> Candidates:
    """
    Every pair of records that shares a blocking key, but for what is left out and said to be.

    Args:
        loose: and every pair of the loose passes:

            - `date`: the whole birth date;
            - `home`: the postal code or the town, with one name by sound.
    """
    parts = _Parts(columns)
    size = len(columns)
    found: list[Numbers] = []
    notes: list[_Note] = []

    def search(name: str, make: Callable[[_Parts], Keys]) -> tuple[Numbers, list[_Note]]:
        if name in _LOOSE_PASSES:
            return _loose_pairs(name, make(parts), size)
        pairs, capped = _pairs(name, make(parts), size, parts.second_key, max_block)
        if name not in _MORE or len(pairs) <= max(PAIRS_PER_RECORD * size, PAIRS_ANYWAY):
            return pairs, capped
        more = _agreeing_on_more(pairs, size, parts, _MORE[name])
        return more, [*capped, LeftOut(f"{name} where nothing else agrees", len(pairs) - len(more))]

    passes = {**_PASSES, **_LOOSE_PASSES} if loose and size <= LARGEST_LOOSE else _PASSES
    if loose and size > LARGEST_LOOSE:
        notes.extend(LeftOut(name, 0) for name in _LOOSE_PASSES)
    parts.prepare()
    with ThreadPoolExecutor(
        max_workers=2
    ) as threads:  # sorting, most of the work, lets go of the interpreter
        for done, (pairs, said) in enumerate(threads.map(search, passes, passes.values())):
            found.append(pairs)
            notes.extend(said)
            progress("candidates", done + 1, len(passes))
    each = np.concatenate(found)
    found.clear()
    each = _distinct(each)
    return Candidates(
        each // size,
        each % size,
        tuple(note for note in notes if isinstance(note, CappedBlocks)),
        tuple(note for note in notes if isinstance(note, LeftOut)),
    )


def _distinct(numbers: Numbers) -> Numbers:
    numbers.sort()
    first = np.ones(len(numbers), dtype=np.bool_)
    np.not_equal(numbers[1:], numbers[:-1], out=first[1:])
    distinct: Numbers = numbers[first]
    return distinct


# --- pairs from keys ----------------------------------------------------------------------


def _pairs(
    name: str, keys: Keys, size: int, second_key: Numbers, max_block: int
) -> tuple[Numbers, list[_Note]]:
    """Pairs as left * size + right, perhaps more than once, and what was too large if something was."""
    rows, starts, sizes = _blocks(keys)
    large = sizes > max_block
    pairs = [_within(rows, starts[~large], sizes[~large], size)]
    if not large.any():
        return pairs[0], []
    inside = _members(starts[large], sizes[large])
    block = np.repeat(np.arange(large.sum()), sizes[large])
    again = rows[inside]
    rows, starts, sizes = _blocks(Keys(again, join(Part(block, len(block)), _part(second_key[again]))))
    still = sizes > max_block
    pairs.append(_within(rows, starts[~still], sizes[~still], size))
    capped = CappedBlocks(name, int(large.sum()), int(still.sum()), int(sizes[still].sum()))
    return np.concatenate(pairs), [capped]


def _loose_pairs(name: str, keys: Keys, size: int) -> tuple[Numbers, list[_Note]]:
    """All pairs of one key as left * size + right, or none of them and how many there are."""
    rows, starts, sizes = _blocks(keys)
    pairs = int((sizes * (sizes - 1) // 2).sum())
    if pairs > LOOSE_PAIRS_PER_RECORD * size:
        return np.zeros(0, dtype=np.int64), [LeftOut(name, pairs)]
    return _within(rows, starts, sizes, size), []


def pairs_of_blocks(keys: Keys, size: int, max_block: int) -> Numbers:
    """Every pair of records of one key as left * size + right; blocks above the cap give none."""
    rows, starts, sizes = _blocks(keys)
    return _within(rows, starts[sizes <= max_block], sizes[sizes <= max_block], size)


def _blocks(keys: Keys) -> tuple[Indices, Indices, Indices]:
    """Records by block, and where each block of two records or more starts and how many it has."""
    if not len(keys.rows):
        nothing = np.zeros(0, dtype=np.int64)
        return nothing, nothing, nothing
    rows, sorted_keys = _sorted(keys)
    starts = np.flatnonzero(np.concatenate(([True], sorted_keys[1:] != sorted_keys[:-1])))
    sizes = np.diff(np.append(starts, len(rows)))
    several = sizes > 1
    return rows, starts[several], sizes[several]


def _sorted(keys: Keys) -> tuple[Indices, Numbers]:
    """By key, then record, each once. One number holds both, for numbers sort several times faster than positions."""
    bits = int(keys.rows.max()).bit_length()
    packed = keys.keys
    if int(packed.max()) >> (62 - bits):
        packed = _part(packed).codes.astype(np.int64)
    packed = (packed << bits) | keys.rows
    packed.sort()
    packed = packed[np.concatenate(([True], packed[1:] != packed[:-1]))]  # two names of one sound are one key
    return packed & ((1 << bits) - 1), packed >> bits


def _members(starts: Indices, sizes: Indices) -> Indices:
    """The positions of every block's members, block after block."""
    before = np.cumsum(sizes) - sizes
    members: Indices = np.repeat(starts - before, sizes) + np.arange(sizes.sum())
    return members


def _within(rows: Indices, starts: Indices, sizes: Indices, size: int) -> Numbers:
    """Every pair of each block: each member with those after it."""
    members = _members(starts, sizes)
    after = np.repeat(starts + sizes, sizes) - members - 1
    left = rows[np.repeat(members, after)]
    right = rows[_members(members + 1, after)]
    pairs = np.minimum(left, right) * size + np.maximum(left, right)
    distinct: Numbers = pairs[left != right]  # a record may have one key twice
    return distinct


# --- keys from parts ----------------------------------------------------------------------


def _part(numbers: npt.NDArray[Any]) -> Part:
    """Any numbers as a part: dense, in the order they come."""
    codes, distinct = pd.factorize(numbers)
    return Part(codes, len(distinct))


def join(*parts: Part) -> Numbers:
    """One number for several parts, equal exactly when all of them are."""
    joined = Part(parts[0].codes.astype(np.int64), parts[0].size)
    for part in parts[1:]:
        if joined.size * max(part.size, 1) >= 2**62:
            joined = _part(joined.codes)
        joined = Part(joined.codes * part.size + part.codes, joined.size * max(part.size, 1))
    return joined.codes


class _Listed(NamedTuple):
    """
    Several numbers for one record: its names by sound, its phones.

    Shape: rows, codes (entries,), by record; `size` numbers in all.
    """

    rows: _Rows
    codes: npt.NDArray[Any]
    size: int

    def times(self, other: "_Listed") -> tuple[_Rows, npt.NDArray[Any], npt.NDArray[Any]]:
        """Each entry of a record with each of the other's entries for it: rows, codes here, codes there."""
        records = int(max(self.rows.max(initial=-1), other.rows.max(initial=-1))) + 1
        count = np.bincount(other.rows, minlength=records)
        start = np.cumsum(count) - count
        times = count[self.rows]
        return (
            np.repeat(self.rows, times),
            np.repeat(self.codes, times),
            other.codes[_members(start[self.rows], times)],
        )

    def where(self, rows: npt.NDArray[np.bool_]) -> "_Listed":
        kept = rows[self.rows]
        return _Listed(self.rows[kept], self.codes[kept], self.size)


class _Parts:
    """Parts that several passes use, each made once."""

    def __init__(self, columns: TraitColumns) -> None:
        self.columns = columns
        self._sounds: dict[str, int] = {}

    def prepare(self) -> None:
        """Make what several passes need, before they ask for it at once."""
        for part in (self.families, self.givens, self.dates, self.pairs_of_names, self.first_words):
            assert part is not None
        assert self.second_key is not None

    @cached_property
    def first_given(self) -> tuple[Codes, tuple[str, ...]]:
        """The first birth given name, or the used one for want of it; 0 is none."""
        lists, used = self.columns["given_names"], self.columns["used_given_name"]
        ids = {name: at for at, name in enumerate(used.values)}
        first = [ids.setdefault(names[0], len(ids)) if names else 0 for names in lists.values]
        codes = np.array(first, dtype=np.int32)[lists.codes]
        return np.where(codes == 0, used.codes, codes), tuple(ids)

    @cached_property
    def family_letters(self) -> Codes:
        """By family name, one bit for each letter it has."""
        masks = [
            sum({1 << ord(letter) - ord("A") for letter in name if "A" <= letter <= "Z"})
            for name in self.columns["birth_name"].values
        ]
        return np.array(masks, dtype=np.int32)

    @cached_property
    def families(self) -> _Listed:
        """Family names by sound."""
        values = self.columns["birth_name"].values
        return self._by_sound(
            [_sounds_of(name, _codes) for name in values],
            self.columns["birth_name"].codes,
            self.columns["used_name"].codes,
        )

    @cached_property
    def givens(self) -> _Listed:
        """First and used given names by sound, numbered as the families are."""
        codes, values = self.first_given
        sounds = [_sounds_of(name, _given_codes_of) for name in values]
        return self._by_sound(sounds, codes, self.columns["used_given_name"].codes)

    def _by_sound(self, sounds: Sequence[tuple[str, ...]], first: Codes, second: Codes) -> _Listed:
        ids = self._sounds
        listed = [[ids.setdefault(sound, len(ids)) for sound in each] for each in sounds]
        return _listed(listed, 26**4 * 2, first, np.where(first == second, np.int32(0), second))

    @cached_property
    def dates(self) -> Mapping[str, npt.NDArray[Any]]:
        """By record: year, month and day of birth, 0 where it is not known."""
        column = self.columns["birth_date"]
        dates = [(0, 0, 0) if d is None else (d.year, d.month or 0, d.day or 0) for d in column.values]
        parts = np.array(dates, dtype=np.int16)[column.codes]
        return {"year": parts[:, 0], "month": parts[:, 1], "day": parts[:, 2]}

    @cached_property
    def pairs_of_names(self) -> tuple[_Rows, Numbers]:
        """Both names by sound, in either order."""
        rows, family, given = self.families.where(self.dates["year"] > 0).times(self.givens)
        names = join(
            Part(np.minimum(family, given), self.families.size),
            Part(np.maximum(family, given), self.families.size),
        )
        return rows, names

    @cached_property
    def first_words(self) -> Part:
        """The first word of the first given name; 0 is none."""
        codes, values = self.first_given
        ids = {"": 0}
        words = [ids.setdefault(name.split(" ", 1)[0], len(ids)) for name in values]
        return Part(np.array(words, dtype=np.int32)[codes], len(ids))

    @cached_property
    def second_key(self) -> Numbers:
        """What a large block is opened by."""
        codes, values = self.first_given
        date, sex = self.columns["birth_date"], self.columns["sex"]
        return join(
            Part(date.codes, len(date.values)), Part(codes, len(values)), Part(sex.codes, len(sex.values))
        )


def _sounds_of(name: str, codes: Callable[[str], tuple[str, ...]]) -> tuple[str, ...]:
    """What a name is found by; of a single word there is one sound, whichever way it is asked for."""
    if " " in name:
        return codes(name)
    sound = soundex2(name)
    return (sound,) if sound else ()


def _listed(listed: Sequence[Sequence[int]], size: int, *columns: Codes) -> _Listed:
    """The numbers of every value a record has, in one or two columns."""
    counts = np.fromiter(map(len, listed), np.int64, len(listed))
    flat = np.array([number for each in listed for number in each], dtype=np.int32)
    return _entries(counts, flat, size, *columns)


def _entries(counts: Indices, flat: npt.NDArray[Any], size: int, *columns: Codes) -> _Listed:
    """
    Args:
        counts: by value, how many numbers it has.
        flat: the numbers, value after value.
    """
    starts = np.cumsum(counts) - counts
    rows, codes = [], []
    for column in columns:
        times = counts[column]
        rows.append(np.repeat(np.arange(len(column), dtype=np.int32), times))
        codes.append(flat[_members(starts[column], times)])
    order = np.argsort(np.concatenate(rows), kind="stable") if len(columns) > 1 else slice(None)
    return _Listed(np.concatenate(rows)[order], np.concatenate(codes)[order], size)


# --- the passes, as in `blocking.passes` --------------------------------------------------


def _with_date(names: Callable[[_Parts], _Listed]) -> Callable[[_Parts], Keys]:
    def keys(parts: _Parts) -> Keys:
        date = parts.columns["birth_date"]
        listed = names(parts).where(parts.dates["day"] > 0)
        return Keys(
            listed.rows,
            join(Part(date.codes[listed.rows], len(date.values)), Part(listed.codes, listed.size)),
        )

    return keys


def _names_day(parts: _Parts) -> Keys:
    rows, names = parts.pairs_of_names
    known = parts.dates["day"][rows] > 0
    rows, names = rows[known], names[known]
    day = parts.dates["month"] * 32 + parts.dates["day"]
    return Keys(rows, join(_part(names), Part(day[rows], 13 * 32)))


def _names_year(parts: _Parts) -> Keys:
    rows, names = parts.pairs_of_names
    return Keys(rows, join(_part(names), Part(parts.dates["year"][rows], 10_000)))


def _as_written(field: str) -> Callable[[_Parts], Keys]:
    def keys(parts: _Parts) -> Keys:
        given, place = parts.first_words, parts.columns[field]
        birth, used = parts.columns["birth_name"], parts.columns["used_name"]
        families = np.concatenate((birth.codes, used.codes))
        rows = np.concatenate((np.arange(len(parts.columns)),) * 2)
        known = (families > 0) & (given.codes[rows] > 0) & (place.codes[rows] > 0)
        rows = rows[known]
        return Keys(
            rows,
            join(
                Part(families[known], len(birth.values)),
                Part(given.codes[rows], given.size),
                Part(place.codes[rows], len(place.values)),
            ),
        )

    return keys


def _alone(field: str) -> Callable[[_Parts], Keys]:
    def keys(parts: _Parts) -> Keys:
        codes = parts.columns[field].codes
        rows = np.flatnonzero(codes)
        return Keys(rows, codes[rows].astype(np.int64))

    return keys


def _emails(parts: _Parts) -> Keys:
    mailboxes = several(parts.columns, "emails")
    return Keys(mailboxes.rows, mailboxes.codes.astype(np.int64))


def _phones(parts: _Parts) -> Keys:
    phones = several(parts.columns, "phones")
    rows, phone, given = phones.times(parts.givens)
    return Keys(rows, join(Part(phone, phones.size), Part(given, parts.givens.size)))


def several(columns: TraitColumns, field: str) -> _Listed:
    """Each item of a field that holds several, numbered."""
    column = columns[field]
    counts = np.fromiter(map(len, column.values), np.int64, len(column.values))
    flat, distinct = pd.factorize(np.array([item for items in column.values for item in items], dtype=object))
    return _entries(counts, flat, len(distinct), column.codes)


_PASSES: Mapping[str, Callable[[_Parts], Keys]] = {
    "date_family": _with_date(lambda parts: parts.families),
    "date_given": _with_date(lambda parts: parts.givens),
    "names_day": _names_day,
    "names_year": _names_year,
    "names_place": _as_written("birth_place_code"),
    "names_home": _as_written("postal_code"),
    "ins": _alone("ins"),
    "national_id": _alone("national_id"),
    "email": _emails,
    "phone": _phones,
}


# --- what a pass that gives too many pairs keeps ------------------------------------------

_Agree = Callable[[_Parts, Indices, Indices], Mask]
_PAIRS_AT_ONCE = 1 << 18


def _agreeing_on_more(pairs: Numbers, size: int, parts: _Parts, more: Sequence[_Agree]) -> Numbers:
    """The pairs on which one of these agrees."""
    kept = []
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = pairs[start : start + _PAIRS_AT_ONCE]
        left, right = some // size, some % size
        kept.append(some[np.logical_or.reduce([agree(parts, left, right) for agree in more])])
    return np.concatenate(kept)


def _same(*fields: str) -> _Agree:
    def agree(parts: _Parts, left: Indices, right: Indices) -> Mask:
        found = np.zeros(len(left), dtype=np.bool_)
        for field in fields:
            codes = parts.columns[field].codes
            one = codes[left]
            found |= (one == codes[right]) & (one > 0)
        return found

    return agree


def _near_date(parts: _Parts, left: Indices, right: Indices) -> Mask:
    """Year and month or day, these two exchanged, or a date that stands for the year."""
    months, days = ([parts.dates[part][rows] for rows in (left, right)] for part in ("month", "day"))
    default = parts.columns["birth_date_default"].codes
    near: Mask = (default[left] | default[right]) > 0
    for one, other in ((months[0], months[1]), (days[0], days[1])):
        near |= (one == other) | (one == 0) | (other == 0)
    near |= (months[0] == days[1]) & (days[0] == months[1])
    return near


def _near_family(parts: _Parts, left: Indices, right: Indices) -> Mask:
    """Two family names alike in their letters."""
    found = np.zeros(len(left), dtype=np.bool_)
    for field in ("birth_name", "used_name"):
        one = parts.family_letters[parts.columns[field].codes[left]]
        for other_field in ("birth_name", "used_name"):
            found |= _alike(one, parts.family_letters[parts.columns[other_field].codes[right]])
    return found


def _alike(one: Codes, other: Codes) -> Mask:
    """Two letters differ at most, as after one slip, or one name has all the letters of the other."""
    near = (np.bitwise_count(one ^ other) <= 2) | (one & ~other == 0) | (other & ~one == 0)
    alike: Mask = near & (one > 0) & (other > 0)
    return alike


_PLACE_OR_HOME = _same("birth_place_code", "birth_place", "postal_code", "city")
_MORE: Mapping[str, tuple[_Agree, ...]] = {
    "date_given": (_near_family, _PLACE_OR_HOME),
    "names_year": (_near_date, _PLACE_OR_HOME),
}
"""By pass: what its pairs must agree on besides, some of it, when they are too many."""


# --- the loose passes ---------------------------------------------------------------------


def _whole_date(parts: _Parts) -> Keys:
    rows = np.flatnonzero(parts.dates["day"] > 0)
    return Keys(rows, parts.columns["birth_date"].codes[rows].astype(np.int64))


def _home_and_a_name(parts: _Parts) -> Keys:
    columns = parts.columns
    places = [(columns[field].codes, len(columns[field].values)) for field in ("postal_code", "city")]
    entries, before = [], 0
    for codes, values in places:
        for names in (parts.families, parts.givens):
            there = names.where(codes > 0)
            entries.append((there.rows, codes[there.rows].astype(np.int64) + before, there.codes))
        before += values
    rows, place, name = map(np.concatenate, zip(*entries, strict=True))
    return Keys(rows, join(Part(place, before), Part(name, parts.families.size)))


_LOOSE_PASSES: Mapping[str, Callable[[_Parts], Keys]] = {
    "date": _whole_date,
    "home": _home_and_a_name,
}
