"""
Splink 5 on DuckDB 2, tuned: the same normalised table, blocking keys and levels as the product.

    python -m tests.benchmarks.peers.splink_peer NORMALISED.parquet TRUTH.csv

Tuned: nothing retained but ids and weights, no term frequencies (they cost accuracy here), insertion
order given up, phonetic codes and keys precomputed as columns. What SQL cannot say is said as nearly
as it can: part of a name is a run of words, a given name's variants are those of the phonetic code.
"""

import argparse
import logging
import os
import warnings

import duckdb
import numpy as np
from splink import DuckDBAPI, Linker, SettingsCreator
from splink.internals.comparison_level import ComparisonLevel

from tests.benchmarks.peers.measuring import (
    Phases,
    accuracy,
    peak_mb,
    person_codes,
    say,
    set_accuracy,
    true_pairs,
)

KEPT_FROM_BITS = -6.7
"""Probability .01: pairs below it are scored and dropped."""
LINKED_FROM = 0.95
U_PAIRS = 1e6

FAMILIES = (("birth", "birth"), ("birth", "used"), ("used", "birth"), ("used", "used"))


def any_family(condition):
    """A condition over {l} and {r}, of the birth or the used name of either side; {0} and {1} are the slots."""
    return "(" + " or ".join(condition.format(left, right) for left, right in FAMILIES) + ")"


def one_edit(left, right):
    """One slip of the pen, in words of three letters or more; lengths first, which are cheap."""
    return (
        f"(abs(length({left}) - length({right})) <= 1 and least(length({left}), length({right})) >= 3"
        f" and damerau_levenshtein({left}, {right}) <= 1)"
    )


def both(column):
    """The two sides of a column."""
    return f"{column}_l", f"{column}_r"


def equal(column):
    """Equality of one column, in SQL."""
    return "{} = {}".format(*both(column))


def near(column, bound):
    """Jaro-Winkler of one column."""
    return "jaro_winkler_similarity({}, {}) >= {}".format(*both(column), bound)


def comparison(name, missing, *levels):
    """A ladder as Splink reads it: missing, the levels, and all the rest."""
    return {
        "output_column_name": name,
        "comparison_levels": [
            {"sql_condition": missing, "label_for_charts": "missing", "is_null_level": True},
            *({"sql_condition": sql, "label_for_charts": label} for label, sql in levels),
            {"sql_condition": "ELSE", "label_for_charts": "different"},
        ],
    }


def absent(*columns):
    """Either side says nothing in any of some columns."""
    sides = (" and ".join(f"{column}_{side} is null" for column in columns) for side in "lr")
    return "(" + ") or (".join(sides) + ")"


_SWAP = (
    "(given_l <> given_r and ("
    "((birth_name_l = given_r or used_name_l = given_r) and (coalesce({near_r}, false) or coalesce({near_ru}, false)))"
    " or ((birth_name_r = given_l or used_name_r = given_l)"
    " and (coalesce({near_l}, false) or coalesce({near_lu}, false)))))"
).format(
    near_r="jaro_winkler_similarity(given_l, birth_name_r) >= 0.9",
    near_ru="jaro_winkler_similarity(given_l, used_name_r) >= 0.9",
    near_l="jaro_winkler_similarity(given_r, birth_name_l) >= 0.9",
    near_lu="jaro_winkler_similarity(given_r, used_name_l) >= 0.9",
)
_CROSS = any_family("{0}_name_l = {1}_name_r")
_PARTS = (
    "(" + " + ".join(f"(birth_{part}_l <> birth_{part}_r)::int" for part in ("year", "month", "day")) + ")"
)
_WHOLE = "birth_day_l is not null and birth_day_r is not null"
_ONE_SLIP = f"{_WHOLE} and {_PARTS} = 1 and damerau_levenshtein(birth_date_l, birth_date_r) = 1"
_DATE_DISAGREES = f"(birth_year_l <> birth_year_r and {_PARTS} > 1)"

COMPARISONS = [
    comparison(
        "family_name",
        absent("birth_name", "used_name"),
        ("birth_exact", equal("birth_name")),
        ("cross_exact", _CROSS),
        ("order_swapped", _SWAP),
        ("part_of", any_family("contains({0}_core_l, {1}_core_r) or contains({1}_core_r, {0}_core_l)")),
        ("one_edit", any_family(one_edit("{0}_name_l", "{1}_name_r"))),
        ("jaro_winkler", any_family("jaro_winkler_similarity({0}_name_l, {1}_name_r) >= 0.92")),
        ("phonetic", any_family("{0}_code_l = {1}_code_r")),
        ("different_women", "sex_l = 'F' and sex_r = 'F'"),
    ),
    comparison(
        "given_name",
        f"given_l is null or given_r is null or (not coalesce({_CROSS}, false) and {_SWAP})",
        ("list_exact", equal("given_list")),
        (
            "exact_others_differ",
            "given_l = given_r and given_list_l is not null and given_list_r is not null"
            " and not list_has_any(all_given_l[2:], all_given_r[2:])",
        ),
        ("exact", equal("given_joined")),
        ("in_list", "list_contains(all_given_l, given_r) or list_contains(all_given_r, given_l)"),
        (
            "partial",
            "starts_with(given_l, given_r || ' ') or starts_with(given_r, given_l || ' ')"
            " or given_initials_l = given_joined_r or given_initials_r = given_joined_l",
        ),
        ("near", f"{one_edit(*both('given'))} or {near('given', 0.9)}"),
        (
            "alike",
            "given_code_l = given_code_r or (least(length(given_l), length(given_r)) >= 5"
            " and damerau_levenshtein(given_l, given_r) <= 2)",
        ),
    ),
    comparison(
        "birth_date",
        absent("birth_date"),
        (
            "exact_default",
            "(birth_date_default_l or birth_date_default_r) and whole_date_l = whole_date_r",
        ),
        ("exact_first_of_month", f"{equal('whole_date')} and birth_day_l = 1"),
        ("exact", equal("whole_date")),
        (
            "partial",
            "(birth_day_l is null or birth_day_r is null) and birth_year_l = birth_year_r"
            " and coalesce(birth_month_l = birth_month_r, true)",
        ),
        (
            "day_month_swap",
            "birth_year_l = birth_year_r and birth_day_l = birth_month_r and birth_month_l = birth_day_r",
        ),
        (
            "default_same_year",
            "(birth_date_default_l or birth_date_default_r) and birth_year_l = birth_year_r",
        ),
        (
            "year_off",
            "birth_month_l = birth_month_r and birth_day_l = birth_day_r"
            " and abs(birth_year_l - birth_year_r) in (1, 100)",
        ),
        ("transposed", f"{_ONE_SLIP} and levenshtein(birth_date_l, birth_date_r) = 2"),
        ("one_digit", _ONE_SLIP),
        ("two_of_three", f"{_WHOLE} and {_PARTS} = 1"),
    ),
    comparison("sex", absent("sex"), ("same", equal("sex"))),
    comparison(
        "birth_place",
        "(place_code_l is null or place_code_r is null) and (place_l is null or place_r is null)",
        ("same_code", equal("place_code")),
        (
            "same_place",
            "(place_code_l[:3] = '751' and place_code_r = '75056')"
            " or (place_code_r[:3] = '751' and place_code_l = '75056')"
            " or (place_code_l[3:] = place_code_r[3:] and (place_code_l[:2] = '75' or place_code_r[:2] = '75'))",
        ),
        ("same_text", equal("place")),
        ("near_text", near("place", 0.92)),
        ("same_department", "place_code_l[:2] = place_code_r[:2] and place_code_l[:2] <> '99'"),
    ),
    comparison(
        "residence",
        "(postal_code_l is null or postal_code_r is null) and (city_l is null or city_r is null)",
        ("same_postal_code", f"{equal('postal_code')} and coalesce({equal('city')}, true)"),
        ("postal_code_or_city", f"({equal('city')}) OR ({equal('postal_code')})"),
        ("same_department", "postal_code_l[:2] = postal_code_r[:2]"),
    ),
    comparison("phone", absent("phone"), ("in_common", equal("phone"))),
    comparison("email", absent("email"), ("in_common", equal("email"))),
    comparison(
        "national_id",
        absent("national_id"),
        ("same", equal("national_id")),
        ("one_edit", one_edit(*both("national_id"))),
    ),
    comparison(
        "ins",
        absent("ins"),
        ("same", f"{equal('ins')} and not coalesce({_DATE_DISAGREES}, false)"),
        ("same_other_birth_date", equal("ins")),
    ),
    comparison(
        "mother_birth_name",
        absent("mother"),
        ("exact", equal("mother")),
        ("near", f"{near('mother', 0.92)} or {one_edit(*both('mother'))}"),
    ),
]


def equality(*conditions):
    """A blocking rule in SQL."""
    return {"blocking_rule": " and ".join(conditions), "sql_dialect": "duckdb"}


def same(column):
    """Equality in a blocking rule."""
    return f"l.{column} = r.{column}"


def shared(column):
    """Lists with an element in common, in a blocking rule."""
    return f"list_has_any(l.{column}, r.{column})"


RULES = {
    # Birth date by hash join, the names as a filter on it; the passes on both names exploded.
    "joined": [
        equality(same("ins")),
        equality(same("national_id")),
        equality(same("email")),
        equality(same("whole_date"), f"({shared('family_keys')} or {shared('given_keys')})"),
        equality(same("phone"), shared("given_keys")),
        {**equality(same("name_keys")), "arrays_to_explode": ["name_keys"]},
    ],
    # Every key of every pass in one list, exploded once: the faster of the two here.
    "exploded": [{**equality(same("all_keys")), "arrays_to_explode": ["all_keys"]}],
}

TRAINING = (
    equality(same("whole_date"), same("given")),
    equality(same("whole_date"), same("birth_name")),
    equality(same("birth_name"), same("given")),
    equality(same("ins")),
)
"""The sessions of the product's own estimation."""
CERTAIN = (
    "l.ins = r.ins",
    "l.birth_name = r.birth_name and l.given = r.given and l.whole_date = r.whole_date",
)


LEAST_M = 1e-5
"""Splink 5 stops with an error when no match shows a level and its m underflows; the product smooths it."""


def keep_m_above_zero():
    """Make every m at least `LEAST_M`, as EM sets it and as a session leaves it."""
    m, add_trained = ComparisonLevel.m_probability, ComparisonLevel._add_trained_m_probability

    def floored(value):
        return max(value, LEAST_M) if isinstance(value, float) else value

    def set_m(self, value):
        m.fset(self, floored(value))

    def add(self, value, *args, **kwargs):
        add_trained(self, floored(value), *args, **kwargs)

    ComparisonLevel.m_probability = m.setter(set_m)
    ComparisonLevel._add_trained_m_probability = add


class CountingAPI(DuckDBAPI):
    """Notes how many pairs blocking found, which Splink scores and forgets."""

    pairs = 0

    def sql_pipeline_to_splink_dataframe(self, pipeline, *args, **kwargs):
        """As the base does, then count."""
        table = super().sql_pipeline_to_splink_dataframe(pipeline, *args, **kwargs)
        if table.templated_name == "__splink__blocked_id_pairs":
            count = self._con.sql(f"select count(*) from {table.physical_name}").fetchall()
            type(self).pairs = count[0][0]
        return table


def main():
    """Link a table and say what it cost and what it found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("normalised")
    parser.add_argument("truth")
    parser.add_argument("--rules", choices=sorted(RULES), default="exploded")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    keep_m_above_zero()
    phases = Phases()
    with phases("load"):
        connection = duckdb.connect()
        connection.execute(f"set threads = {options.threads}; set preserve_insertion_order = false")
        connection.execute(
            "create table normalised as select row_number() over () - 1 as unique_id, * from read_parquet(?)",
            [options.normalised],
        )
        connection.execute("set enable_progress_bar = false")
        api = CountingAPI(connection)
        settings = SettingsCreator(
            link_type="dedupe_only",
            comparisons=COMPARISONS,
            blocking_rules_to_generate_predictions=RULES[options.rules],
            retain_matching_columns=False,
            retain_intermediate_calculation_columns=False,
        )
        linker = Linker(api.register("normalised"), settings, log_level=None, validate_settings=False)
    with phases("train"):
        linker.training.estimate_probability_two_random_records_match(list(CERTAIN), recall=0.7)
        linker.training.estimate_u_using_random_sampling(
            max_pairs=U_PAIRS, seed=1, min_count_per_level=None, num_chunks=1
        )
        for rule in TRAINING:
            linker.training.estimate_parameters_using_expectation_maximisation(
                rule["blocking_rule"], fix_probability_two_random_records_match=False
            )
    with phases("predict"):
        found = linker.inference.predict(threshold_match_weight=KEPT_FROM_BITS, warning_mode="never")
    with phases("cluster"):
        sets = linker.clustering.cluster_pairwise_predictions_at_threshold(
            found, threshold_match_probability=LINKED_FROM
        )
    memory = peak_mb()
    ids = connection.sql("select record_id from normalised order by unique_id").fetchall()
    persons = person_codes(options.truth, (row[0] for row in ids))
    pairs = connection.sql(
        f"select unique_id_l, unique_id_r, match_weight from {found.physical_name}"
    ).fetchnumpy()
    labels = connection.sql(f"select cluster_id from {sets.physical_name} order by unique_id").fetchnumpy()[
        "cluster_id"
    ]
    total = true_pairs(persons)
    same_person = persons[pairs["unique_id_l"]] == persons[pairs["unique_id_r"]]
    say(
        {
            "engine": "splink",
            "records": len(persons),
            "seconds": phases.seconds,
            "peak_mb": memory,
            "pairs": api.pairs,
            "kept": len(same_person),
            "true_pairs": total,
            **accuracy(np.asarray(pairs["match_weight"], dtype=np.float64), same_person, total),
            "sets": set_accuracy(np.asarray(labels), persons),
        }
    )


if __name__ == "__main__":
    main()
