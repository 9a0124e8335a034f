"""
Sets of records from links, under constraints: strongest links first, and no set holds two records apart.

The rules are those the index applies to its own (`mpi.index.graph`), without people's decisions: a
union is refused when two members contradict each other, when it grows too large, or when a record
fits two sets about equally.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

MAX_SET_SIZE = 25
AMBIGUITY_MARGIN_BITS = 3.0


class Link(NamedTuple):
    """Two records that a weight joins. left < right."""

    left: int
    right: int
    weight_bits: float


class Clusters(NamedTuple):
    """
    The sets of some records.

    Args:
        label_of: by record, the smallest record of its set; a record without one is alone.
        refused: links that were not made.
    """

    label_of: dict[int, int]
    refused: tuple[Link, ...]


def components(size: int, left: Indices, right: Indices) -> Indices:
    """
    By record, the smallest record that links reach from it.

    Shape: left, right (links,); the result (size,).
    """
    label = np.arange(size)
    while True:
        least = np.minimum(label[left], label[right])
        before = label.copy()
        # Hooking the labels, and not only the records, lets a long chain collapse in few rounds.
        np.minimum.at(label, label[left], least)
        np.minimum.at(label, label[right], least)
        label = label[label]
        if np.array_equal(label, before):
            return label


def cluster(
    links: Iterable[Link],
    are_apart: Callable[[int, int], bool],
    *,
    max_set_size: int = MAX_SET_SIZE,
    ambiguity_margin_bits: float = AMBIGUITY_MARGIN_BITS,
) -> Clusters:
    """
    Join records, strongest link first; ties go by record.

    Args:
        are_apart: whether two records may not be in one set, asked with the smaller one first.
    """
    ordered = sorted(links, key=lambda link: (-link.weight_bits, link.left, link.right))
    ambiguous: set[int] = set()
    while True:
        sets: dict[int, tuple[int, ...]] = {}
        refused: list[tuple[Link, bool]] = []
        for link in ordered:
            one, other = sets.get(link.left, (link.left,)), sets.get(link.right, (link.right,))
            if one[0] == other[0]:
                continue
            doubtful = not ambiguous.isdisjoint((link.left, link.right))
            large = len(one) + len(other) > max_set_size
            if doubtful or large or _any_apart(one, other, are_apart):
                refused.append((link, not (doubtful or large)))
                continue
            joined = tuple(sorted(one + other))
            sets.update(dict.fromkeys(joined, joined))
        found = _fit_two_sets(
            ordered, [link for link, apart in refused if apart], sets, ambiguity_margin_bits
        )
        if found <= ambiguous:
            return Clusters(
                {record: members[0] for record, members in sets.items()},
                tuple(link for link, _ in refused),
            )
        ambiguous |= found


def _any_apart(one: Sequence[int], other: Sequence[int], are_apart: Callable[[int, int], bool]) -> bool:
    return any(are_apart(min(a, b), max(a, b)) for a in one for b in other)


def _fit_two_sets(
    links: Sequence[Link],
    refused: Sequence[Link],
    sets: dict[int, tuple[int, ...]],
    margin_bits: float,
) -> set[int]:
    """Records that joined one set and were refused another one about as strong."""
    attached: dict[int, float] = {}
    for link in links:
        if sets.get(link.left, (link.left,)) is sets.get(link.right):
            for record in (link.left, link.right):
                attached[record] = max(attached.get(record, link.weight_bits), link.weight_bits)
    return {
        record
        for link in refused
        for record in (link.left, link.right)
        if attached.get(record, np.inf) - link.weight_bits < margin_bits
    }
