"""
The traits of many records, column by column: each distinct value is read once.

A value is read by the very functions that read one record (`demographics_from_mapping`, then
`normalise`), as a record that states nothing else. Values already in normal form, most of a
large table, are recognised by one regular expression each and kept as they are. Only what
depends on two columns is said again here: `TraitColumns.of_table`. Row by row the result is that of
`normalise(demographics_from_mapping(row))`; a property test holds the two together.
"""

import dataclasses
import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from unidecode import unidecode

from mpi.errors import InvalidIdentity
from mpi.identity.ins import matricule_key
from mpi.identity.model import PartialDate
from mpi.identity.tabular import MAX_VALUE_LENGTH, TRAIT_NAMES, demographics_from_mapping
from mpi.identity.traits import (
    _NO_MAILBOXES,
    _NUMBER_FILLERS,
    _PHONE_FILLERS,
    _PLACEHOLDER_FAMILY,
    _PLACEHOLDER_GIVEN,
    Traits,
    normal_address,
    normalise,
)

Codes = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

NOTHING = Traits()
FIELDS = tuple(each.name for each in fields(Traits))


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """
    One trait of many records, dictionary-encoded.

    Args:
        codes: by record, the position of its value; 0 is missing.
        values: distinct values in their normal form, the missing one first.

    Shape: codes (records,) int32.
    """

    codes: Codes
    values: Sequence[Any]


class BadValues(NamedTuple):
    """
    Wrong values of one column that were taken for missing.

    Args:
        first_row: position of the first of them, from 0.
        rows: how many records state one.
        problem: what is wrong with the first.
    """

    trait: str
    first_row: int
    rows: int
    problem: str


@dataclass(frozen=True, slots=True, eq=False)
class TraitColumns:
    """
    The traits of many records.

    `birth_name` and `used_name` share their values, so that their codes can be compared.

    Args:
        columns: by field of `Traits`.
        bad: wrong values taken for missing, by column.
        made: what whoever compares them derives and keeps with them.
    """

    size: int
    columns: Mapping[str, Column]
    bad: tuple[BadValues, ...] = ()
    made: dict[str, Any] = dataclasses.field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, field: str) -> Column:
        return self.columns[field]

    def take(self, rows: npt.NDArray[np.int64]) -> Self:
        """Some records, or all in another order."""
        columns = {field: Column(each.codes[rows], each.values) for field, each in self.columns.items()}
        return replace(self, size=len(rows), columns=columns)

    def row(self, at: int) -> Traits:
        """The traits of one record."""
        return Traits(**{name: column.values[column.codes[at]] for name, column in self.columns.items()})

    @classmethod
    def of_traits(cls, records: Sequence[Traits]) -> Self:
        """The traits of records that were read one by one."""
        families = _Vocabulary("")
        own = {field: _Vocabulary(getattr(NOTHING, field)) for field in FIELDS}
        of = own | {"birth_name": families, "used_name": families}
        codes = {field: of[field].codes_of([getattr(each, field) for each in records]) for field in FIELDS}
        return cls(len(records), {field: Column(codes[field], of[field].values()) for field in FIELDS})

    @classmethod
    def of_table(cls, table: "pa.Table | pd.DataFrame", *, on_bad: str = "refuse") -> Self:
        """
        Normalise a table of one row per record, its columns named as the tabular traits.

        Other columns are left alone.

        Args:
            on_bad: `refuse` a wrong value, or take it for `missing` and count it.

        Raises:
            InvalidIdentity: a wrong value, named by its column and its first row from 0; no column
                is a trait; two columns are the same one.
        """
        if on_bad not in ("refuse", "missing"):
            raise ValueError("on_bad: expected refuse or missing")
        traits = _trait_columns(table)
        with ThreadPoolExecutor(max_workers=2) as threads:  # encoding lets go of the interpreter
            cells = threads.map(lambda name: _cells(table, name), traits)
            read = {name: _read(name, each) for name, each in zip(traits, cells, strict=True)}
        bad = tuple(stated.bad for stated in read.values() if stated.bad is not None)
        if bad and on_bad == "refuse":
            first = bad[0]
            more = f", and in {first.rows - 1} more rows" if first.rows > 1 else ""
            raise InvalidIdentity(f"{first.trait}, row {first.first_row}{more}", first.problem)
        return cls(len(table), _crossed(len(table), read), bad)


# --- one column ---------------------------------------------------------------------------


class _Cells(NamedTuple):
    """Codes of a column as it came, -1 for null, and its distinct values: texts, or anything else."""

    codes: Codes
    texts: pa.Array | None
    others: Sequence[object]


class _Stated(NamedTuple):
    """
    What one column says.

    Args:
        codes: by record, the position of its value in the lists; 0 is null.
        said: by field, what each distinct value says of it when nothing else is stated.
    """

    codes: Codes
    said: Mapping[str, list[Any]]
    bad: BadValues | None


def _trait_columns(table: "pa.Table | pd.DataFrame") -> list[str]:
    present = list(table.column_names if isinstance(table, pa.Table) else table.columns)
    names = [name for name in TRAIT_NAMES if name in present]
    if not names:
        raise InvalidIdentity("columns", "none is a trait")
    for name in names:
        if present.count(name) > 1:
            raise InvalidIdentity(name, "two columns of this name")
    return names


def _cells(table: "pa.Table | pd.DataFrame", name: str) -> _Cells:
    if isinstance(table, pa.Table):
        column = table.column(name)
    else:
        try:
            column = pa.chunked_array([pa.array(table[name], from_pandas=True)])
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
            return _mixed_cells(table[name])  # a column of several types
    try:
        encoded = _one_dictionary(column)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # lists, structures
        return _mixed_cells(column.to_pylist())
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
    values = encoded.dictionary
    if pa.types.is_large_string(values.type) or pa.types.is_string_view(values.type):
        values = values.cast(pa.string())
    if pa.types.is_string(values.type) and values.null_count == 0:
        return _Cells(codes, values, ())
    return _Cells(codes, None, values.to_pylist())


def _one_dictionary(column: pa.ChunkedArray) -> pa.DictionaryArray:
    if not pa.types.is_dictionary(column.type):
        whole = column.combine_chunks()  # chunks share their dictionary, which unifying does not know
        column = whole if isinstance(whole, pa.ChunkedArray) else pa.chunked_array([whole])
        column = column.dictionary_encode()
    if column.num_chunks == 1:
        return column.chunk(0)
    column = column.unify_dictionaries().combine_chunks()
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _mixed_cells(column: Iterable[object]) -> _Cells:
    ids: dict[object, int] = {}
    values: list[object] = []
    codes = []
    for value in column:
        plain = value.item() if isinstance(value, np.generic) else value
        if plain is pd.NA or plain is pd.NaT:
            plain = None
        key = (type(plain), plain if isinstance(plain, Hashable) else id(plain))
        if key not in ids:
            ids[key] = len(values)
            values.append(plain)
        codes.append(ids[key])
    return _Cells(np.array(codes, dtype=np.int32), None, values)


def _read(trait: str, cells: _Cells) -> _Stated:
    """Read each distinct value; those in normal form only once for all."""
    reading = _READINGS[trait]
    if cells.texts is None:
        clean, raw = np.zeros(len(cells.others), dtype=np.bool_), list[Any](cells.others)
    else:
        short = _numpy(pc.less_equal(pc.binary_length(cells.texts), MAX_VALUE_LENGTH))
        clean, raw = short & reading.is_normal(cells.texts), cells.texts.to_pylist()
    said: dict[str, list[Any]] = {
        field: [missing] * (len(raw) + 1)
        for field, missing in zip(reading.fields, reading.missing, strict=True)
    }
    if reading.keep is not None and cells.texts is not None:
        said[reading.fields[0]][1:] = _kept(reading.keep, cells.texts, raw, clean)
    problems: dict[int, str] = {}
    for at in np.flatnonzero(~clean).tolist():
        try:
            says = reading.read(raw[at])
        except InvalidIdentity as error:
            problems[at], says = error.problem, reading.missing
        for field, value in zip(reading.fields, says, strict=True):
            said[field][at + 1] = value
    return _Stated(cells.codes + np.int32(1), said, _bad(trait, cells.codes, problems))


def _kept(keep: Callable[[str], Any], texts: pa.Array, raw: list[Any], clean: Mask) -> list[Any]:
    """The main field of texts in normal form; what stands for the others is of no account."""
    if keep is _itself:
        return raw
    if keep is _folded:
        return _upper(pc.replace_substring_regex(texts, "[-']", " "))
    if keep is _words:
        keep, raw = _spaced_words, _upper(texts)
    return [keep(text) if ok else None for text, ok in zip(raw, clean.tolist(), strict=True)]


def _bad(trait: str, codes: Codes, problems: Mapping[int, str]) -> BadValues | None:
    rows = np.flatnonzero(np.isin(codes, list(problems)))
    if not len(rows):
        return None
    return BadValues(trait, int(rows[0]), len(rows), problems[int(codes[rows[0]])])


def _numpy(array: "pa.Array | pa.ChunkedArray") -> Mask:
    out: Mask = array.to_numpy(zero_copy_only=False)
    return out


# --- values in normal form ----------------------------------------------------------------


def _matching(pattern: str, unless: str | None = None) -> Callable[[pa.Array], Mask]:
    """Whether a text matches the first expression and does not contain the second."""

    def is_normal(texts: pa.Array) -> Mask:
        found = _numpy(pc.match_substring_regex(texts, f"^(?:{pattern})$"))
        if unless is not None:
            found &= ~_numpy(pc.match_substring_regex(texts, unless))
        return found

    return is_normal


def _never(texts: pa.Array) -> Mask:
    return np.zeros(len(texts), dtype=np.bool_)


def _is_sound_ins(texts: pa.Array) -> Mask:
    """15 digits of a NIR whose key is right; Corsica's 2A and 2B take the long way."""
    month, place, rank = (
        r"(?:0[1-9]|1[0-2]|[2-9]\d)",
        r"(?:0[1-9]|[1-9]\d)\d{3}",
        r"(?:00[1-9]|0[1-9]\d|[1-9]\d\d)",
    )
    found = _matching(rf"[12]\d\d{month}{place}{rank}\d\d")(texts)
    numbers = texts.filter(pa.array(found)).cast(pa.int64()).to_numpy()
    found[found] = 97 - numbers // 100 % 97 == numbers % 100
    return found


_ACCENTED = "ÀÂÄÇÉÈÊËÎÏÔÖÙÛÜŸàâäçéèêëîïôöùûüÿ"
_PLAIN_LETTERS_ALONE = str.maketrans({letter: unidecode(letter).upper() for letter in _ACCENTED})
_PLAIN_LETTERS = _PLAIN_LETTERS_ALONE | str.maketrans("-'", "  ")
_WORD = f"[A-Za-z{_ACCENTED}]+"
_FIRST_WORDS_OF_NEWBORNS = (
    "BEBE", "BB", "NN", "NNE", "NOUVEAU", "NOUVEAUNE", "ENFANT", "FILLE", "GARCON", "FILS", "JUMEAU", "JUMELLE",
)  # fmt: skip
_SPELLINGS = {
    letter: f"[{letter}{''.join(each for each in _ACCENTED if unidecode(each).upper() == letter)}]"
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
} | {" ": "[ '-]"}
"""By folded character, all that it is folded from."""


def _before_folding(name: str) -> str:
    return "".join([_SPELLINGS[character] for character in name])


_PERHAPS_NO_NAME = "|".join(
    [
        *map(_before_folding, ("ST", "STE")),
        *map(_before_folding, _FIRST_WORDS_OF_NEWBORNS),
        "X+|Z+",
        *(f"{spellings}{{3,}}" for spellings in _SPELLINGS.values()),
        *map(_before_folding, sorted(_PLACEHOLDER_FAMILY | _PLACEHOLDER_GIVEN)),
    ]
)


def _names_but(*words: str) -> Callable[[pa.Array], Mask]:
    """Words of French letters, none of which could be a placeholder or an abbreviation, nor one of these."""
    return _matching(
        f"{_WORD}(?:[ '-]{_WORD})*",
        unless=f"(?i)(?:^|[ '-])(?:{'|'.join([*words, _PERHAPS_NO_NAME])})(?:[ '-]|$)",
    )


_is_normal_name = _names_but()
_is_normal_town = _names_but("CEDEX")
_CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FILLED = f"^(?:{'|'.join([*(f'{each}+' for each in _CHARACTERS), *sorted(_NUMBER_FILLERS | _PLACEHOLDER_FAMILY)])})$"
_is_normal_number = _matching("[0-9A-Z]+", unless=_FILLED)
_is_normal_code = _matching(r"(?:0[1-9]|[1-8]\d)\d{3}", unless=_FILLED)
_is_normal_mailbox = _matching(
    r"[!-?\[-}]+@[!-?\[-}]+", unless=f"^(?:{'|'.join(re.escape(box) for box in sorted(_NO_MAILBOXES))})@"
)
_is_normal_phone = _matching(
    r"0[1-9]\d{8}(?:~0[1-9]\d{8})*",
    unless="|".join([*(rf"\d\d{digit}{{8}}" for digit in "0123456789"), *sorted(_PHONE_FILLERS)]),
)


def _usual_dates(dash: str) -> str:
    months_and_days = (
        ("0[1-9]|1[0-2]", r"0[1-9]|1\d|2[0-8]"),
        ("0[13578]|10", "29|3[01]"),
        ("0[469]|1[12]", "29|30"),
    )
    days = "|".join(f"(?:{month}){dash}(?:{day})" for month, day in months_and_days)
    return rf"(?:19(?:0[1-9]|[1-9]\d)|20\d\d){dash}(?:{days})"


_is_usual_date = _matching(f"{_usual_dates('-')}|{_usual_dates('')}", unless="-01-01$|^....0101$")


def _itself(text: str) -> str:
    return text


def _alone(text: str) -> tuple[str, ...]:
    return (text,)


def _folded(text: str) -> str:
    return text.translate(_PLAIN_LETTERS).upper()


def _words(text: str) -> tuple[str, ...]:
    return tuple([_folded(word) for word in text.split(" ")])


def _upper(texts: pa.Array) -> list[str]:
    """Texts of French letters in plain capitals: of most of them, which bear no accent, all at once."""
    plain: list[str] = pc.ascii_upper(texts).to_pylist()
    for at in np.flatnonzero(~_numpy(pc.string_is_ascii(texts))).tolist():
        plain[at] = plain[at].translate(_PLAIN_LETTERS_ALONE).upper()
    return plain


def _spaced_words(capitals: str) -> tuple[str, ...]:
    words = capitals.split(" ")
    if "-" in capitals or "'" in capitals:
        words = [word.replace("-", " ").replace("'", " ") for word in words]
    return tuple(words)


def _phones(text: str) -> tuple[str, ...]:
    return tuple(sorted(set(text.split("~")))) if "~" in text else (text,)


def _date(text: str) -> PartialDate:
    digits = text.replace("-", "")
    return PartialDate(int(digits[:4]), int(digits[4:6]), int(digits[6:]))


class _Reading(NamedTuple):
    """
    How the values of one trait are read.

    Args:
        fields: what it speaks of, the main field first.
        read: a value -> what it says of each field, alone.
        missing: what no value says.
        is_normal: which texts are in normal form already, so need no reading; they say nothing
            of the other fields.
        keep: such a text -> the main field.
    """

    fields: tuple[str, ...]
    read: Callable[[object], tuple[Any, ...]]
    missing: tuple[Any, ...]
    is_normal: Callable[[pa.Array], Mask] = _never
    keep: Callable[[str], Any] | None = _itself


def _plainly(
    trait: str,
    *said: str,
    is_normal: Callable[[pa.Array], Mask] = _never,
    keep: Callable[[str], Any] | None = _itself,
) -> _Reading:
    """A trait that says the same of its fields whatever is stated beside it."""

    def read(value: object) -> tuple[Any, ...]:
        traits = normalise(demographics_from_mapping({trait: value}))
        return tuple(getattr(traits, field) for field in said)

    return _Reading(said, read, tuple(getattr(NOTHING, field) for field in said), is_normal, keep)


def _used_given_name(value: object) -> tuple[str, bool, bool]:
    """Alone, it stands in for the birth given names."""
    traits = normalise(demographics_from_mapping({"used_given_name": value}))
    return (traits.given_names[0] if traits.given_names else ""), traits.given_damaged, traits.newborn


_SOME_BODY = "1800199999999"
_SOME_INS = _SOME_BODY + matricule_key(_SOME_BODY)
_STATUS_FIELDS = ("status", "attributes", "status_with_ins", "attributes_with_ins", "ins_is_kept")


def _identity_status(value: object) -> tuple[Any, ...]:
    """What it says alone, then beside an INS, and whether the INS stays."""
    alone = normalise(demographics_from_mapping({"identity_status": value}))
    beside = normalise(demographics_from_mapping({"identity_status": value, "ins": _SOME_INS}))
    return alone.status, alone.attributes, beside.status, beside.attributes, bool(beside.ins)


_anything_printable = _matching(".*", unless=r"\p{Cc}")
_OF_A_FAMILY, _OF_A_GIVEN = ("family_damaged", "newborn"), ("given_damaged", "newborn")
_READINGS: Mapping[str, _Reading] = {
    "birth_name": _plainly(
        "birth_name", "birth_name", *_OF_A_FAMILY, is_normal=_is_normal_name, keep=_folded
    ),
    "used_name": _plainly("used_name", "used_name", *_OF_A_FAMILY, is_normal=_is_normal_name, keep=_folded),
    "given_names": _plainly(
        "given_names", "given_names", *_OF_A_GIVEN, is_normal=_is_normal_name, keep=_words
    ),
    "used_given_name": _Reading(
        ("used_given_name", *_OF_A_GIVEN), _used_given_name, ("", False, False), _is_normal_name, _folded
    ),
    "birth_date": _plainly(
        "birth_date", "birth_date", "birth_date_default", is_normal=_is_usual_date, keep=_date
    ),
    "sex": _plainly("sex", "sex"),
    "birth_place": _plainly("birth_place", "birth_place_code", "birth_place", is_normal=_is_normal_code),
    "address": _plainly("address", "address", is_normal=_anything_printable, keep=normal_address),
    "postal_code": _plainly("postal_code", "postal_code", is_normal=_is_normal_code),
    "city": _plainly("city", "city", is_normal=_is_normal_town, keep=_folded),
    "country": _plainly("country", is_normal=_anything_printable, keep=None),
    "phone": _plainly("phone", "phones", is_normal=_is_normal_phone, keep=_phones),
    "email": _plainly("email", "emails", is_normal=_is_normal_mailbox, keep=_alone),
    "national_id": _plainly("national_id", "national_id", is_normal=_is_normal_number),
    "ins": _plainly("ins", "ins", "ins_temporary", is_normal=_is_sound_ins),
    "mother_birth_name": _plainly(
        "mother_birth_name", "mother_birth_name", is_normal=_is_normal_name, keep=_folded
    ),
    "birth_order": _plainly("birth_order", "birth_order", "multiple_birth"),
    "multiple_birth": _plainly("multiple_birth", "multiple_birth"),
    "identity_status": _Reading(_STATUS_FIELDS, _identity_status, _identity_status("")),
}


# --- what depends on two columns ----------------------------------------------------------


class _Vocabulary:
    """Distinct values in the order they came, the missing one first; several columns may share one."""

    def __init__(self, missing: Hashable) -> None:
        self._ids: dict[Hashable, int] = {missing: 0}

    def codes_of(self, values: Sequence[Hashable]) -> Codes:
        """The position of each value, a new one at the end."""
        ids = self._ids
        new = [value for value in dict.fromkeys(values) if value not in ids]
        ids.update(zip(new, range(len(ids), len(ids) + len(new)), strict=True))
        return np.fromiter(map(ids.__getitem__, values), np.int32, len(values))

    def values(self) -> tuple[Any, ...]:
        return tuple(self._ids)


def _crossed(size: int, read: Mapping[str, _Stated]) -> dict[str, Column]:
    """What each record states, all its columns seen together."""
    absent = np.zeros(size, dtype=np.int32)

    def stated(trait: str) -> _Stated:
        if trait in read:
            return read[trait]
        reading = _READINGS[trait]
        said = {field: [value] for field, value in zip(reading.fields, reading.missing, strict=True)}
        return _Stated(absent, said, None)

    def coded(trait: str, field: str, vocabulary: _Vocabulary) -> Codes:
        codes, said, _ = stated(trait)
        return vocabulary.codes_of(said[field])[codes]

    def flag(field: str, *traits: str) -> Column:
        """True when any of the columns says so."""
        said = [np.array(stated(trait).said[field], dtype=np.bool_)[stated(trait).codes] for trait in traits]
        return Column(np.logical_or.reduce(said).astype(np.int32), (False, True))

    columns = {}
    for trait, field in _ON_THEIR_OWN:
        vocabulary = _Vocabulary(getattr(NOTHING, field))
        codes = coded(trait, field, vocabulary)
        columns[field] = Column(codes, vocabulary.values())
    columns |= _names(coded)
    columns |= _ins_and_status(stated("ins"), stated("identity_status"))
    columns["birth_date_default"] = flag("birth_date_default", "birth_date")
    columns["family_damaged"] = flag("family_damaged", "birth_name", "used_name")
    columns["given_damaged"] = flag("given_damaged", "given_names", "used_given_name")
    columns["newborn"] = flag("newborn", "birth_name", "used_name", "given_names", "used_given_name")
    columns["multiple_birth"] = flag("multiple_birth", "multiple_birth", "birth_order")
    return {field: columns[field] for field in FIELDS}


_ON_THEIR_OWN = (
    ("birth_date", "birth_date"),
    ("sex", "sex"),
    ("birth_place", "birth_place_code"),
    ("birth_place", "birth_place"),
    ("address", "address"),
    ("postal_code", "postal_code"),
    ("city", "city"),
    ("phone", "phones"),
    ("email", "emails"),
    ("national_id", "national_id"),
    ("mother_birth_name", "mother_birth_name"),
    ("birth_order", "birth_order"),
)
"""(trait, field) that no other column changes."""


def _names(coded: Callable[[str, str, _Vocabulary], Codes]) -> dict[str, Column]:
    """A used name that repeats the birth name, or the first given name, says nothing more."""
    families, lists, givens = _Vocabulary(""), _Vocabulary(()), _Vocabulary("")
    birth = coded("birth_name", "birth_name", families)
    used = coded("used_name", "used_name", families)
    listed = coded("given_names", "given_names", lists)
    used_given = coded("used_given_name", "used_given_name", givens)
    as_a_list = lists.codes_of([(name,) if name else () for name in givens.values()])
    listed = np.where(listed == 0, as_a_list[used_given], listed)
    first = givens.codes_of([names[0] if names else "" for names in lists.values()])[listed]
    return {
        "birth_name": Column(birth, families.values()),
        "used_name": Column(np.where(used == birth, np.int32(0), used), families.values()),
        "given_names": Column(listed, lists.values()),
        "used_given_name": Column(np.where(used_given == first, np.int32(0), used_given), givens.values()),
    }


def _ins_and_status(ins: _Stated, status: _Stated) -> dict[str, Column]:
    """An INS makes a validated identity qualified, and stays beside no other status."""
    numbers, statuses, attributes = (_Vocabulary(getattr(NOTHING, field)) for field in _OF_THE_INS)
    number = numbers.codes_of(ins.said["ins"])[ins.codes]
    with_ins = number > 0

    def either(field: str, vocabulary: _Vocabulary) -> Codes:
        alone = vocabulary.codes_of(status.said[field])[status.codes]
        return np.where(with_ins, vocabulary.codes_of(status.said[f"{field}_with_ins"])[status.codes], alone)

    kept = np.array(status.said["ins_is_kept"], dtype=np.bool_)[status.codes]
    temporary = np.array(ins.said["ins_temporary"], dtype=np.bool_)[ins.codes] & kept
    return {
        "ins": Column(np.where(kept, number, np.int32(0)), numbers.values()),
        "status": Column(either("status", statuses), statuses.values()),
        "attributes": Column(either("attributes", attributes), attributes.values()),
        "ins_temporary": Column(temporary.astype(np.int32), (False, True)),
    }


_OF_THE_INS = ("ins", "status", "attributes")
