"""
Derive the compact tables of the generator from Insee's open files. Needed only to refresh them.

    python datasets/synthetic/derive_tables.py FOLDER

`FOLDER` holds given_names_by_decade.csv, surnames_by_era.csv, communes.csv, commune_changes.csv,
countries.csv and given_name_variants.csv. Running it again on the same inputs writes the same bytes.
"""

import csv
import gzip
import io
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import accumulate, groupby
from pathlib import Path

TABLES = Path(__file__).parent / "mpi_synthetic" / "tables"
OPEN_VOCABULARY = "*"
"""The row whose weight is what the kept names leave out: those are invented from character trigrams."""
GIVEN_NAMES_COVER = 0.95
SURNAMES_KEPT = 40_000
SMALLEST_COMMUNE = 2_000
DECADES = range(1900, 2030, 10)
PER_DECADE = 1_000_000
"""Given-name weights are births per million of that sex and decade."""

BORN_ABROAD = {  # country code: (region of names, share of births abroad in per mille)
    "99352": ("maghreb", 200), "99350": ("maghreb", 165), "99351": ("maghreb", 70),
    "99139": ("iberia", 95), "99134": ("iberia", 40), "99127": ("other", 45), "99208": ("other", 40),
    "99341": ("sahel", 25), "99335": ("sahel", 25), "99336": ("sahel", 6), "99337": ("sahel", 4),
    "99331": ("sahel", 4), "99326": ("sahel", 22), "99397": ("comoros", 30), "99333": ("other", 25),
    "99109": ("other", 35), "99131": ("other", 30), "99132": ("other", 30), "99122": ("other", 20),
    "99114": ("other", 25), "99322": ("other", 18), "99312": ("other", 20), "99216": ("asia", 20),
    "99243": ("asia", 18), "99234": ("asia", 12), "99241": ("asia", 8), "99410": ("creole", 18),
}  # fmt: skip


def main(folder: Path) -> None:
    """Write every derived table."""
    given = list(_rows(folder / "given_names_by_decade.csv"))
    surnames = list(_rows(folder / "surnames_by_era.csv"))
    communes = list(_rows(folder / "communes.csv"))
    _write("given_names.csv.gz", ["sex", "given_name", *map(str, DECADES)], _given_names(given))
    kept, left_out = _surnames(surnames)
    _write("surnames.csv.gz", ["surname", "1891-1930", "1931-1970", "1971-2000"], kept)
    _write("surname_trigrams.csv.gz", ["before", "letter", "count"], _trigrams(left_out))
    for sex in "FM":
        names = {row["given_name"]: 1 for row in given if row["sex"] == sex and row["given_name"].isalpha()}
        _write(
            f"given_trigrams_{sex.lower()}.csv.gz", ["before", "letter", "count"], _trigrams(names.items())
        )
    _write("communes.csv.gz", ["insee_code", "name", "department", "population"], _communes(communes))
    changes = list(_rows(folder / "commune_changes.csv"))
    _write(
        "former_codes.csv.gz",
        ["insee_code", "former_code", "former_name", "until", "renumbered"],
        _former_codes(changes, {str(row[0]) for row in _communes(communes)}),
    )
    codes = {row["insee_code"] for row in communes}
    codes |= {row[column] for row in changes for column in ("code_before", "code_after") if row[column]}
    _write("commune_codes.csv.gz", ["department", "existing"], _code_ranges(codes))
    countries = {row["insee_code"]: row["name"] for row in _rows(folder / "countries.csv")}
    _write(
        "countries.csv.gz",
        ["insee_code", "name", "region", "weight"],
        ([code, countries[code], region, weight] for code, (region, weight) in sorted(BORN_ABROAD.items())),
    )
    variants = _rows(folder / "given_name_variants.csv")
    _write("given_name_variants.csv.gz", ["short", "full", "kind"], (list(row.values()) for row in variants))


def _given_names(rows: list[dict[str, str]]) -> Iterator[list[object]]:
    births: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for row in rows:
        births[row["sex"], row["birth_decade"]][row["given_name"]] += int(row["births"])
    weights: dict[tuple[str, str], dict[int, int]] = defaultdict(dict)
    for (sex, decade), counts in births.items():
        total = counts.total()
        ranked = [item for item in counts.most_common() if not item[0].startswith("_")]
        reach = GIVEN_NAMES_COVER * sum(count for _, count in ranked)
        running = accumulate(count for _, count in ranked)
        kept = [item for item, reached in zip(ranked, running, strict=True) if reached <= reach]
        for name, count in kept:
            weights[sex, name][int(decade)] = round(PER_DECADE * count / total)
        left = total - sum(count for _, count in kept)
        weights[sex, OPEN_VOCABULARY][int(decade)] = round(PER_DECADE * left / total)
    for (sex, name), by_decade in sorted(weights.items()):
        yield [sex, name, *(by_decade.get(decade) or "" for decade in DECADES)]


def _surnames(rows: list[dict[str, str]]) -> tuple[list[list[object]], list[tuple[str, int]]]:
    eras = ["births_1891_1930", "births_1931_1970", "births_1971_2000"]
    counted = [(row["surname"], [int(row[era] or 0) for era in eras]) for row in rows]
    named = sorted(
        (item for item in counted if item[0] != "AUTRES NOMS"), key=lambda item: (-sum(item[1]), item[0])
    )
    kept, tail = named[:SURNAMES_KEPT], named[SURNAMES_KEPT:]
    others = next(counts for name, counts in counted if name == "AUTRES NOMS")
    left = [sum(column) for column in zip(others, *(counts for _, counts in tail), strict=True)]
    table: list[list[object]] = [[OPEN_VOCABULARY, *left]]
    table += [[name, *(count or "" for count in counts)] for name, counts in sorted(kept)]
    return table, [(name, 1) for name, _ in tail if name.isalpha()]


def _trigrams(names: Iterable[tuple[str, int]]) -> Iterator[list[object]]:
    """Count letters after each pair of letters; `^` opens a name and `$` closes it."""
    counts: Counter[tuple[str, str]] = Counter()
    for name, weight in names:
        text = f"^^{name}$"
        for at in range(2, len(text)):
            counts[text[at - 2 : at], text[at]] += weight
    for (before, letter), count in sorted(counts.items()):
        if count > 1:
            yield [before, letter, count]


def _communes(rows: list[dict[str, str]]) -> Iterator[list[object]]:
    for row in rows:
        people = int(row["population"] or 0)
        if people >= SMALLEST_COMMUNE:
            yield [row["insee_code"], row["name"], row["department"], people]


def _former_codes(changes: list[dict[str, str]], kept: set[str]) -> Iterator[list[object]]:
    """
    List the other codes that kept communes, or what they absorbed, once had, and until when.

    A commune is renumbered when its name stays: Montreuil, 75048 in the Seine, 93048 since 1968.
    """
    found: dict[tuple[str, str], list[object]] = {}
    for row in sorted(changes, key=lambda row: row["effective_date"]):
        after, before = row["code_after"], row["code_before"]
        if after in kept and before and before != after and before not in kept:
            renumbered = int(row["name_before"] == row["name_after"])
            found[after, before] = [after, before, row["name_before"], row["effective_date"], renumbered]
    yield from (found[key] for key in sorted(found))


def _code_ranges(codes: set[str]) -> Iterator[list[object]]:
    """Write the codes that exist, or once did, as ranges: `001-004 006`."""
    for department, group in groupby(sorted(codes), key=lambda code: code[:2]):
        numbers = [int(code[2:]) for code in group]
        runs: list[list[int]] = []
        for number in numbers:
            if runs and number == runs[-1][1] + 1:
                runs[-1][1] = number
            else:
                runs.append([number, number])
        yield [department, " ".join(f"{first:03d}-{last:03d}" for first, last in runs)]


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _write(name: str, header: list[str], rows: Iterable[list[object]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    # No name and no time in the gzip header: the same table is the same bytes.
    (TABLES / name).write_bytes(gzip.compress(text.getvalue().encode(), 9, mtime=0))


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
