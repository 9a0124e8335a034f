"""
INSEE codes of places of birth: the name of one, and whether two are one place at two times.

The code of a birth place is the one valid at birth (RNIV), yet sources also write today's. Born in
Boulogne in 1950 is 75012, or 92012; in Ajaccio 20004, or 2A004; a commune merged since has two codes.

Source: Insee, code officiel géographique; the tables and their licence are in `tables`.
"""

import csv
import gzip
from functools import lru_cache
from importlib import resources


def place_name(code: str) -> str:
    """The name of a commune or a country, normalised as `traits.normal_name` does; empty for an unknown code."""
    return _names().get(code, "")


def is_same_place(left: str, right: str) -> bool:
    """Whether one code is the other, or what became of it. Two communes merged into a third are two places."""
    since = _codes_since()
    return left == right or right in since.get(left, ()) or left in since.get(right, ())


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    return dict(_rows("place_names.csv.gz"))


@lru_cache(maxsize=1)
def _codes_since() -> dict[str, tuple[str, ...]]:
    return {code: tuple(later.split(" ")) for code, later in _rows("place_codes_since.csv.gz")}


def _rows(table: str) -> list[tuple[str, str]]:
    packed = resources.files("mpi.identity").joinpath("tables", table).read_bytes()
    return [(code, value) for code, value in csv.reader(gzip.decompress(packed).decode().splitlines())]
