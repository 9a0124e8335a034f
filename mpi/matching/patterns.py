"""Comparison vectors of many pairs: packed, counted, and back. A million pairs show a few thousand."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mpi.matching.comparisons import COMPARISONS

Levels = npt.NDArray[np.uint8]
"""One comparison vector a row. Shape: (pairs, comparisons)."""
_SIZES = tuple(len(comparison.level_names) for comparison in COMPARISONS)


class Patterns(NamedTuple):
    """
    The distinct vectors of some pairs.

    Args:
        vectors: one a row, in a fixed order. Shape: (patterns, comparisons).
        of_pair: which of them each pair shows. Shape: (pairs,).
        counts: pairs that show each. Shape: (patterns,).
    """

    vectors: npt.NDArray[np.int64]
    of_pair: npt.NDArray[np.int64]
    counts: npt.NDArray[np.float64]


def patterns_of(levels: Levels) -> Patterns:
    """Distinct vectors, where each pair's is, and how many pairs show it; whatever the order of the pairs."""
    packed = np.zeros(len(levels), dtype=np.int64)
    for at, size in enumerate(_SIZES):
        packed = packed * size + levels[:, at]
    distinct, of_pair, counts = np.unique(packed, return_inverse=True, return_counts=True)
    vectors = np.empty((len(distinct), len(_SIZES)), dtype=np.int64)
    for at in range(len(_SIZES) - 1, -1, -1):
        distinct, vectors[:, at] = np.divmod(distinct, _SIZES[at])
    return Patterns(vectors, of_pair.astype(np.int64), counts.astype(np.float64))
