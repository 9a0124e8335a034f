"""
A match model as Splink settings, and back: Splink 5 on DuckDB counts as this engine does against strangers.

    settings = to_splink(model)
    linker = Linker(DuckDBAPI().register(splink_table(frame)), settings)

Every ladder is said in SQL over columns that `splink_table` prepares; what SQL cannot say (a name by its
sound, the variants of a given name, what a commune became) is worked out there, record by record. The
sum of Splink's weights is `MatchModel.against_strangers`. Relatives, the rarity of names, guards and
calibration have no place in Splink's settings and stay behind: Splink links twins that this engine does not.

Nothing here imports Splink.

Source: Splink 5, settings dictionary.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa

from mpi.errors import ModelError
from mpi.identity.columns import TraitColumns
from mpi.identity.communes import _codes_since, place_name
from mpi.identity.phonetics import soundex2
from mpi.identity.traits import Traits
from mpi.matching.blocking import blocking_keys
from mpi.matching.comparisons import (
    COMPARISONS,
    MISSING_NAME,
    Comparison,
    _all_given,
    _core_words,
    _department,
    _digits,
    _embedded_contradict,
    _joined,
    _names_in_use,
    _variants,
    first_given,
    name_code,
)
from mpi.matching.model import LevelParameters, MatchModel
from mpi.matching.weights import probability_from_bits

DIALECTS = ("duckdb",)

# --- conditions ---------------------------------------------------------------------------


def _both(column: str) -> tuple[str, str]:
    return f"{column}_l", f"{column}_r"


def _equal(column: str) -> str:
    return "{} = {}".format(*_both(column))


def _absent(*columns: str) -> str:
    """Whether some side says nothing in any of the columns."""
    left, right = (" and ".join(f"{column}_{side} is null" for column in columns) for side in "lr")
    return f"(({left}) or ({right}))"


def _there(column: str) -> str:
    return f"({column}_l is not null and {column}_r is not null)"


def _either(flag: str) -> str:
    return f"({flag}_l or {flag}_r)"


def _surely(condition: str) -> str:
    """False where SQL does not know."""
    return f"coalesce({condition}, false)"


def _meet(column: str) -> str:
    """Two lists with an item in common."""
    return _surely("list_has_any({}, {})".format(*_both(column)))


def _one_edit(left: str, right: str) -> str:
    """Lengths first, which are cheap."""
    return (
        f"(abs(length({left}) - length({right})) <= 1 and length({left}) >= 3 and length({right}) >= 3"
        f" and damerau_levenshtein({left}, {right}) <= 1)"
    )


def _jaro_winkler(left: str, right: str, bound: float) -> str:
    """In one order, since greedy matching may depend on it."""
    return (
        f"(case when {left} <= {right} then jaro_winkler_similarity({left}, {right})"
        f" else jaro_winkler_similarity({right}, {left}) end >= {bound})"
    )


def _part_of(one: str, other: str) -> str:
    """Columns NAME_name, NAME_joined and NAME_words of both sides."""
    name, joined, words = ((f"{one}_{what}_l", f"{other}_{what}_r") for what in ("name", "joined", "words"))
    return (
        f"({name[0]} = {name[1]} or ((contains({name[0]}, ' ') or contains({name[1]}, ' '))"
        f" and ({joined[0]} = {joined[1]}"
        f" or list_has_all({words[0]}, {words[1]}) or list_has_all({words[1]}, {words[0]}))))"
    )


def _any_family(condition: Callable[[str, str], str]) -> str:
    """A condition of the birth or used name of one side and of the other."""
    slots = ("birth", "used")
    return _surely("(" + " or ".join(condition(a, b) for a in slots for b in slots) + ")")


def _of_names(condition: Callable[[str, str], str]) -> str:
    return _any_family(lambda a, b: condition(f"{a}_name_l", f"{b}_name_r"))


def _swapped(given: str, families: str) -> str:
    """A given name that is, nearly, a family name of the side it is not of."""
    names = [f"{slot}_name_{families}" for slot in ("birth", "used")]
    tests = [f"{_one_edit(given, name)} or {_jaro_winkler(given, name, 0.9)}" for name in names]
    return _surely(f"({' or '.join(tests)})")


_FAMILY_IN_COMMON = _of_names(lambda a, b: f"{a} = {b}")
_FAMILY_DAMAGED, _GIVEN_DAMAGED = _either("family_damaged"), _either("given_damaged")
_ORDER_SWAPPED = _surely(
    "(given_l <> given_r and case"
    f" when {_surely('(given_r = birth_name_l or given_r = used_name_l)')} then {_swapped('given_l', 'r')}"
    f" when {_surely('(given_l = birth_name_r or given_l = used_name_r)')} then {_swapped('given_r', 'l')}"
    " else false end)"
)

_FAMILY = {
    MISSING_NAME: _absent("birth_name", "used_name"),
    "birth_exact": f"{_equal('birth_name')} and not {_FAMILY_DAMAGED}",
    "cross_exact": f"{_FAMILY_IN_COMMON} and not {_FAMILY_DAMAGED}",
    "repaired": f"{_FAMILY_IN_COMMON} and {_FAMILY_DAMAGED}",
    "order_swapped": _ORDER_SWAPPED,
    "part_of": _any_family(_part_of),
    "one_edit": _of_names(_one_edit),
    "jaro_winkler": _of_names(lambda a, b: _jaro_winkler(a, b, 0.92)),
    "phonetic": _any_family(lambda a, b: f"{a}_code_l = {b}_code_r"),
    "different_women": "sex_l = 'F' and sex_r = 'F'",
}

_GIVEN_STANDS = (
    _surely("list_contains(given_stands_for_l, given_r)")
    + " or "
    + _surely("list_contains(given_stands_for_r, given_l)")
)
_GIVEN_IN_USE = "(given_in_use_l and given_in_use_r)"
_GIVEN_NEAR = f"({_one_edit(*_both('given'))} or {_jaro_winkler(*_both('given'), 0.9)})"
_GIVEN = {
    MISSING_NAME: f"{_absent('given')} or (not {_FAMILY_IN_COMMON} and {_ORDER_SWAPPED})",
    "list_exact": f"len(given_list_l) >= 2 and {_equal('given_list')} and not {_GIVEN_DAMAGED}",
    "exact_others_differ": (
        "len(given_list_l) >= 2 and len(given_list_r) >= 2 and given_list_l[1] = given_list_r[1]"
        " and not list_has_any(given_list_l[2:], given_list_r[2:])"
    ),
    "exact": f"{_equal('given_joined')} and not {_GIVEN_DAMAGED}",
    "joined": f"(given_joined_l = given_two_r or given_joined_r = given_two_l) and not {_GIVEN_DAMAGED}",
    "repaired": f"{_equal('given_joined')} and {_GIVEN_DAMAGED}",
    "in_list": (
        "(len(given_all_l) > 1 or len(given_all_r) > 1) and (list_contains(given_all_r, given_l)"
        f" or list_contains(given_all_l, given_r) or {_surely(_equal('used_given'))})"
    ),
    "variant": f"{_equal('given_spelling')} or (({_GIVEN_STANDS}) and not {_GIVEN_IN_USE})",
    "partial": (
        "given_short_l = given_two_initials_r or given_short_r = given_two_initials_l"
        " or ((contains(given_l, ' ') or contains(given_r, ' ')) and (list_has_all(given_words_l, given_words_r)"
        " or list_has_all(given_words_r, given_words_l)))"
        " or given_short_l = given_initials_r or given_short_r = given_initials_l"
    ),
    "near_other_name": f"{_GIVEN_IN_USE} and ({_GIVEN_STANDS} or {_surely(_GIVEN_NEAR)})",
    "near": _GIVEN_NEAR,
    "alike": (
        "(length(given_l) >= 5 and length(given_r) >= 5 and damerau_levenshtein(given_l, given_r) <= 2)"
        f" or {_equal('given_code')}"
    ),
}

_PARTS = ("birth_year", "birth_month", "birth_day")
_DATE_EXACT = " and ".join(map(_equal, _PARTS))
_DATE_DEFAULT = _either("birth_date_default")
_DIFFERENT_PARTS = "(" + " + ".join("({} <> {})::int".format(*_both(part)) for part in _PARTS) + ")"
_ONE_SLIP = f"{_DIFFERENT_PARTS} = 1 and damerau_levenshtein(birth_digits_l, birth_digits_r) = 1"
_DATE = {
    MISSING_NAME: _absent("birth_year"),
    "exact_default": f"{_DATE_DEFAULT} and {_DATE_EXACT}",
    "exact_first_of_month": f"{_DATE_EXACT} and birth_day_l = 1",
    "exact": _DATE_EXACT,
    "partial": (
        f"{_absent('birth_day')} and {_equal('birth_year')}"
        f" and (birth_month_l is null or birth_month_r is null or {_equal('birth_month')})"
    ),
    "day_month_swap": "birth_year_l = birth_year_r and birth_day_l = birth_month_r and birth_month_l = birth_day_r",
    "default_same_year": f"{_DATE_DEFAULT} and {_equal('birth_year')}",
    "year_off": (
        f"{_equal('birth_month')} and {_equal('birth_day')} and abs(birth_year_l - birth_year_r) in (1, 100)"
    ),
    "transposed": f"{_ONE_SLIP} and {_equal('birth_sorted_digits')}",
    "one_digit": _ONE_SLIP,
    "two_of_three": f"{_DIFFERENT_PARTS} = 1",
}
_DATE_AGREES = f"({' or '.join(_surely(f'({condition})') for condition in _DATE.values())})"

_PLACE_NEAR = _surely(f"({_part_of('place', 'place')} or {_jaro_winkler(*_both('place_name'), 0.92)})")
_PLACE_TEXTS = f"({_there('place_text')} or not {_there('place_code')})"
_PLACE = {
    MISSING_NAME: (
        f"not {_there('place_code')} and not {_there('place_text')} and ({_absent('place_name')}"
        " or (starts_with(case when place_text_l is not null then place_code_r else place_code_l end, '99')"
        f" and not {_PLACE_NEAR}))"
    ),
    "same_code": _equal("place_code"),
    "same_place": "list_contains(place_since_l, place_code_r) or list_contains(place_since_r, place_code_l)",
    "same_text": f"{_PLACE_TEXTS} and {_equal('place_name')}",
    "near_text": f"{_PLACE_TEXTS} and {_PLACE_NEAR}",
    "same_department": _equal("place_department"),
}

_HOME_TOWN = f"{_equal('postal_code')} and (city_l = city_r or city_l is null or city_r is null)"
_HOME = {
    MISSING_NAME: f"{_absent('postal_code')} and {_absent('city')} and {_absent('address')}",
    "same_address": f"{_equal('address')} and {_HOME_TOWN}",
    "near_address": (
        f"{_equal('address')} or (({_equal('postal_code')} or {_equal('city')})"
        f" and ({_one_edit(*_both('address'))} or {_jaro_winkler(*_both('address'), 0.92)}))"
    ),
    "another_street": f"{_there('address')} and {_HOME_TOWN}",
    "same_postal_code": _HOME_TOWN,
    "same_city": f"{_equal('city')} and {_absent('postal_code')}",
    "postal_code_or_city": f"{_equal('postal_code')} or {_equal('city')}",
    "same_department": _equal("postal_department"),
}

_MOTHER_NEAR = (
    f"{_part_of('mother', 'mother')} or {_jaro_winkler(*_both('mother_name'), 0.92)}"
    f" or {_one_edit(*_both('mother_name'))}"
)
_CONDITIONS: Mapping[str, Mapping[str, str]] = {
    "family_name": _FAMILY,
    "given_name": _GIVEN,
    "birth_date": _DATE,
    "sex": {MISSING_NAME: _absent("sex"), "same": _equal("sex")},
    "birth_place": _PLACE,
    "residence": _HOME,
    "phone": {MISSING_NAME: _absent("phones"), "in_common": _meet("phones")},
    "email": {MISSING_NAME: _absent("emails"), "in_common": _meet("emails")},
    "national_id": {
        MISSING_NAME: _absent("national_id"),
        "same": _equal("national_id"),
        "one_edit": _one_edit(*_both("national_id")),
    },
    "ins": {
        MISSING_NAME: f"{_absent('ins')} or ins_temporary_l <> ins_temporary_r",
        "same": f"{_equal('ins')} and {_DATE_AGREES} and not {_either('ins_contradicts')}",
        "same_embedded_differs": f"{_equal('ins')} and {_DATE_AGREES}",
        "same_other_birth_date": _equal("ins"),
    },
    "mother_birth_name": {
        MISSING_NAME: _absent("mother_name"),
        "exact": _equal("mother_name"),
        "near": _MOTHER_NEAR,
    },
    "birth_order": {
        MISSING_NAME: f"{_absent('birth_order')} or not {_either('multiple_birth')}",
        "same": _equal("birth_order"),
    },
}
"""By comparison, then by level: when it holds, asked only where every level above it fails. The last is the rest."""

# --- columns ------------------------------------------------------------------------------


def _words(name: str) -> list[str]:
    return sorted(_core_words(name))


def _given_short(traits: Traits) -> str:
    letters = _joined(first_given(traits))
    return letters if len(letters) <= 3 else ""


def _initials(words: list[str]) -> str:
    return "".join(word[0] for word in words if word)


def _given_code(traits: Traits) -> str:
    code = soundex2(_joined(first_given(traits)))
    return code if len(code) > 1 else ""


def _whole_date(traits: Traits) -> str:
    date = traits.birth_date
    return "" if date is None or date.day is None else _digits(date)


def _place(traits: Traits) -> str:
    return traits.birth_place or place_name(traits.birth_place_code)


def _postal_department(traits: Traits) -> str:
    return traits.postal_code[:2] if len(traits.postal_code) >= 2 else ""


_TEXT, _FLAG, _NUMBER, _TEXTS = pa.string(), pa.bool_(), pa.int32(), pa.list_(pa.string())
_COLUMNS: Mapping[str, tuple[pa.DataType, Callable[[Traits], Any]]] = {
    "birth_name": (_TEXT, lambda t: t.birth_name),
    "birth_joined": (_TEXT, lambda t: _joined(t.birth_name)),
    "birth_words": (_TEXTS, lambda t: _words(t.birth_name)),
    "birth_code": (_TEXT, lambda t: name_code(t.birth_name)),
    "used_name": (_TEXT, lambda t: t.used_name),
    "used_joined": (_TEXT, lambda t: _joined(t.used_name)),
    "used_words": (_TEXTS, lambda t: _words(t.used_name)),
    "used_code": (_TEXT, lambda t: name_code(t.used_name)),
    "family_damaged": (_FLAG, lambda t: t.family_damaged),
    "given": (_TEXT, first_given),
    "used_given": (_TEXT, lambda t: t.used_given_name),
    "given_list": (_TEXTS, lambda t: list(t.given_names)),
    "given_all": (_TEXTS, lambda t: list(_all_given(t))),
    "given_joined": (_TEXT, lambda t: _joined(first_given(t))),
    "given_two": (_TEXT, lambda t: _joined("".join(t.given_names[:2])) if len(t.given_names) > 1 else ""),
    "given_words": (_TEXTS, lambda t: first_given(t).split(" ") if first_given(t) else []),
    "given_initials": (_TEXT, lambda t: _initials(first_given(t).split(" "))),
    "given_two_initials": (_TEXT, lambda t: _initials(list(t.given_names[:2]))),
    "given_short": (_TEXT, _given_short),
    "given_code": (_TEXT, _given_code),
    "given_spelling": (_TEXT, lambda t: _variants()[1].get(first_given(t), first_given(t))),
    "given_stands_for": (_TEXTS, lambda t: sorted(_variants()[0].get(first_given(t), ()))),
    "given_in_use": (_FLAG, lambda t: first_given(t) in _names_in_use()),
    "given_damaged": (_FLAG, lambda t: t.given_damaged),
    "birth_year": (_NUMBER, lambda t: t.birth_date and t.birth_date.year),
    "birth_month": (_NUMBER, lambda t: t.birth_date and t.birth_date.month),
    "birth_day": (_NUMBER, lambda t: t.birth_date and t.birth_date.day),
    "birth_digits": (_TEXT, _whole_date),
    "birth_sorted_digits": (_TEXT, lambda t: "".join(sorted(_whole_date(t)))),
    "birth_date_default": (_FLAG, lambda t: t.birth_date_default),
    "sex": (_TEXT, lambda t: t.sex),
    "place_code": (_TEXT, lambda t: t.birth_place_code),
    "place_text": (_TEXT, lambda t: t.birth_place),
    "place_name": (_TEXT, _place),
    "place_joined": (_TEXT, lambda t: _joined(_place(t))),
    "place_words": (_TEXTS, lambda t: _words(_place(t))),
    "place_since": (_TEXTS, lambda t: list(_codes_since().get(t.birth_place_code, ()))),
    "place_department": (_TEXT, lambda t: _department(t.birth_place_code)),
    "address": (_TEXT, lambda t: t.address),
    "postal_code": (_TEXT, lambda t: t.postal_code),
    "postal_department": (_TEXT, _postal_department),
    "city": (_TEXT, lambda t: t.city),
    "phones": (_TEXTS, lambda t: list(t.phones)),
    "emails": (_TEXTS, lambda t: list(t.emails)),
    "national_id": (_TEXT, lambda t: t.national_id),
    "ins": (_TEXT, lambda t: t.ins),
    "ins_temporary": (_FLAG, lambda t: t.ins_temporary),
    "ins_contradicts": (_FLAG, _embedded_contradict),
    "mother_name": (_TEXT, lambda t: t.mother_birth_name),
    "mother_joined": (_TEXT, lambda t: _joined(t.mother_birth_name)),
    "mother_words": (_TEXTS, lambda t: _words(t.mother_birth_name)),
    "birth_order": (_NUMBER, lambda t: t.birth_order),
    "multiple_birth": (_FLAG, lambda t: t.multiple_birth),
    "blocking_keys": (pa.list_(pa.int64()), lambda t: list(blocking_keys(t))),
}
"""Every column that a condition or the blocking rule names, and how it is worked out."""


def splink_table(
    table: "pa.Table | pd.DataFrame", *, id_column: str = "record_id", on_bad: str = "refuse"
) -> pd.DataFrame:
    """
    The columns that the settings of `to_splink` name, normalised and worked out, one row per record.

    Args:
        table: columns named as the tabular traits.
        id_column: becomes `unique_id`; without it rows are numbered from 0.
        on_bad: as in `TraitColumns.of_table`.

    Raises:
        InvalidIdentity: a wrong value, named by its column and row.

    Shape: Arrow types, so that a column of lists stays one when it is empty. Missing is null.
    """
    columns = TraitColumns.of_table(table, on_bad=on_bad)
    records = [columns.row(at) for at in range(len(columns))]
    names = table.column_names if isinstance(table, pa.Table) else list(table.columns)
    if id_column in names:
        ids = table[id_column].to_pylist() if isinstance(table, pa.Table) else list(table[id_column])
    else:
        ids = list(range(len(records)))
    built = {"unique_id": pa.array(ids)}
    for name, (kind, of) in _COLUMNS.items():
        values = [of(traits) for traits in records]
        built[name] = pa.array(values if kind == _FLAG else [value or None for value in values], kind)
    frame: pd.DataFrame = pa.table(built).to_pandas(types_mapper=pd.ArrowDtype)
    return frame


# --- settings -----------------------------------------------------------------------------


def to_splink(model: MatchModel, dialect: str = "duckdb") -> dict[str, Any]:
    """
    Settings of Splink 5 that weigh a pair as `model.against_strangers` does.

    Levels are labelled as in the ladders, and every comparison is named by its trait.

    Raises:
        ValueError: another dialect than `DIALECTS`.
    """
    if dialect not in DIALECTS:
        raise ValueError(f"dialect: expected one of {', '.join(DIALECTS)}")
    return {
        "link_type": "dedupe_only",
        "unique_id_column_name": "unique_id",
        "probability_two_random_records_match": probability_from_bits(model.prior_bits),
        "comparisons": [_settings_of(model, comparison) for comparison in COMPARISONS],
        "blocking_rules_to_generate_predictions": [
            {
                "blocking_rule": "l.blocking_keys = r.blocking_keys",
                "arrays_to_explode": ["blocking_keys"],
                "sql_dialect": dialect,
            }
        ],
        "retain_matching_columns": False,
        "retain_intermediate_calculation_columns": False,
    }


def _settings_of(model: MatchModel, comparison: Comparison) -> dict[str, Any]:
    conditions = _CONDITIONS[comparison.trait]
    levels: list[dict[str, Any]] = [
        {
            "sql_condition": conditions[MISSING_NAME],
            "label_for_charts": MISSING_NAME,
            "is_null_level": True,
        }
    ]
    for level in comparison.levels:
        rest = level is comparison.levels[-1]
        m, u = model.parameters[comparison.trait][level.name]
        levels.append(
            {
                "sql_condition": "ELSE" if rest else conditions[level.name],
                "label_for_charts": level.name,
                "m_probability": m,
                "u_probability": u,
            }
        )
    return {"output_column_name": comparison.trait, "comparison_levels": levels}


def from_splink(settings: Mapping[str, Any], base: MatchModel, *, version: str | None = None) -> MatchModel:
    """
    A model with the m, u and prior of Splink settings, as written by `to_splink` or saved after training.

    Comparisons are known by `output_column_name`, levels by `label_for_charts`, or by position where no
    label is one of the ladder and there are as many. A comparison that the settings leave out keeps the
    parameters of `base`, as do relatives, frequencies and thresholds, which Splink does not know; the
    calibration was of other weights and goes.

    Args:
        version: the name of the new model; that of the base and `+splink` by default.

    Raises:
        ModelError: names the comparison and the level that do not fit.
    """
    try:
        prior = float(settings["probability_two_random_records_match"])
        stated = {
            str(each["output_column_name"]): each["comparison_levels"] for each in settings["comparisons"]
        }
    except (KeyError, TypeError, ValueError):
        raise ModelError("splink: expected the prior and comparisons with their output columns") from None
    if not 0 < prior < 1:
        raise ModelError("splink: probability_two_random_records_match: expected (0, 1)")
    ladders = {comparison.trait: comparison for comparison in COMPARISONS}
    if unknown := [name for name in stated if name not in ladders]:
        raise ModelError(f"splink: {unknown[0]}: no such comparison")
    parameters = {name: _parameters_of(ladders[name], levels) for name, levels in stated.items()}
    return replace(
        base,
        version=version or f"{base.version}+splink",
        prior_bits=math.log2(prior) - math.log2(1 - prior),
        parameters={**base.parameters, **parameters},
        calibration=None,
    )


def _parameters_of(comparison: Comparison, levels: Any) -> dict[str, LevelParameters]:
    trait, wanted = comparison.trait, comparison.level_names[1:]
    stated = [level for level in levels if not level.get("is_null_level")]
    labels = [level.get("label_for_charts") for level in stated]
    if set(wanted).isdisjoint(labels) and len(stated) == len(wanted):
        labels = list(wanted)
    if unknown := [label for label in labels if label not in wanted]:
        raise ModelError(f"splink: {trait}: {unknown[0]}: no such level")
    if len(set(labels)) < len(labels):
        raise ModelError(f"splink: {trait}: a level is stated twice")
    by_label = dict(zip(labels, stated, strict=True))
    if missing := [name for name in wanted if name not in by_label]:
        raise ModelError(f"splink: {trait}: {missing[0]}: the level is missing")
    out = {}
    for name in wanted:
        try:
            m, u = (float(by_label[name][f"{side}_probability"]) for side in "mu")
        except (KeyError, TypeError, ValueError):
            raise ModelError(
                f"splink: {trait}: {name}: no m or u; train it, or take it from a model"
            ) from None
        out[name] = LevelParameters(m, u)
    return out
