"""
How a name answers to a text: the same, begun by it, sounding like it, or one letter away.

Names are compared as `identity.traits` folds them, with their words joined: case, accents, hyphens, apostrophes
and ligatures say nothing, and particles may be there or not. LE GOFF is LEGOFF and GOFF; D'ARTAGNAN begins with
DART and with ART; MARTIN-DUPONT begins with MARTI and with DUP.

Source: RNIV (search by at most three letters of a name).
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from rapidfuzz.distance import OSA

from mpi.identity.phonetics import fonem
from mpi.identity.traits import normal_name, without_particles
from mpi.index.search import Spelling, Text, Why

MAX_FORM_LENGTH = 80
"""Forms are kept, and looked for, no longer than this."""
_MAX_WORDS = 6
_MIN_SOUND = 3
"""Fewer letters sound like half the town."""
_MIN_TYPO = 4
"""With fewer letters, one letter more or less is another name."""
_ONE_LETTER = 1

LIKENESS = {Why.SAME: 1.0, Why.PREFIX: 0.9, Why.COMPATIBLE: 0.8, Why.SOUNDS_ALIKE: 0.7, Why.ONE_LETTER: 0.6}
"""What each way to answer is worth, the nearest first."""
OTHER_NAME_FACTOR = 0.95
"""What the person's other name is worth of what their first one is."""


@lru_cache(maxsize=50_000)
def whole_forms(name: str) -> tuple[str, ...]:
    """A name in one word: with its particles and without; none when nothing is left of it."""
    folded = normal_name(name)
    joined = (folded.replace(" ", ""), without_particles(folded).replace(" ", ""))
    return tuple(dict.fromkeys(form[:MAX_FORM_LENGTH] for form in joined if form))


@lru_cache(maxsize=50_000)
def forms(name: str) -> tuple[str, ...]:
    """
    Everything a family name may be looked for by, the whole name first.

    The whole, with particles and without; what follows from each of its words on; and each word but particles.
    """
    found = dict.fromkeys(whole_forms(name))
    core = without_particles(normal_name(name)).split(" ")[:_MAX_WORDS]
    found |= dict.fromkeys("".join(core[start:])[:MAX_FORM_LENGTH] for start in range(len(core)))
    found |= dict.fromkeys(word[:MAX_FORM_LENGTH] for word in core)
    found |= dict.fromkeys(_after_particles(normal_name(name)))
    return tuple(form for form in found if form)


def _after_particles(folded: str) -> Iterable[str]:
    """DE LA TOUR is looked for as LATOUR too."""
    words = folded.split(" ")
    for start in range(1, min(len(words), _MAX_WORDS)):
        if words[start:] != without_particles(" ".join(words[start:])).split(" "):
            yield "".join(words[start:])[:MAX_FORM_LENGTH]


@lru_cache(maxsize=50_000)
def given_forms(names: str, *, first: bool = False) -> tuple[str, ...]:
    """
    Every run of consecutive words of given names.

    Args:
        first: only those that begin with the first name.
    """
    words = normal_name(names).split(" ")[:_MAX_WORDS]
    runs = (
        "".join(words[start:end])[:MAX_FORM_LENGTH]
        for start in range(1 if first else len(words))
        for end in range(start + 1, len(words) + 1)
    )
    return tuple(run for run in dict.fromkeys(runs) if run)


def heads(text: str) -> tuple[str, ...]:
    """What a name begins with to answer to a text: the text without its particles too, if two letters are left."""
    first, *bare = whole_forms(text) or ("",)
    return tuple(head for head in (first, *(one for one in bare if len(one) > 1)) if head)


def way(asked: Text, known: Iterable[str], *, whole: Iterable[str] | None = None) -> Why | None:
    """
    The best way in which forms of a name answer to what was asked; None when they do not.

    Args:
        known: forms of the name, in one word each.
        whole: those of them that are all of the name; by default each is. Only `SAME` looks at it. A text that was
            asked letter for letter has to be the same here, and what it is spelled like is for the caller to see.
    """
    known, sought = tuple(known), _sought(asked.value)
    if not sought.whole.isdisjoint(known if whole is None else whole):
        return Why.SAME
    if asked.spelling in (Spelling.EXACT, Spelling.SAME):
        return None
    for form in known:
        if form.startswith(sought.heads):
            return Why.PREFIX
    return _loosely(sought, known) if asked.spelling is Spelling.LOOSE else None


def _loosely(sought: "_Sought", known: tuple[str, ...]) -> Why | None:
    if sought.sounds:
        for form in known:
            if len(form) >= _MIN_SOUND and fonem(form) in sought.sounds:
                return Why.SOUNDS_ALIKE
    for text in sought.long:
        for form in known:
            if (
                -_ONE_LETTER <= len(text) - len(form) <= _ONE_LETTER
                and OSA.distance(text, form, score_cutoff=_ONE_LETTER) <= _ONE_LETTER
            ):
                return Why.ONE_LETTER
    return None


class _Sought(NamedTuple):
    """
    What a text is looked for by: it is compared with thousands of names.

    Args:
        long: those of the heads that a letter may be missing from.
    """

    whole: frozenset[str]
    heads: tuple[str, ...]
    sounds: frozenset[str]
    long: tuple[str, ...]


@lru_cache(maxsize=10_000)
def _sought(text: str) -> _Sought:
    begun = heads(text)
    return _Sought(
        frozenset(whole_forms(text)),
        begun,
        frozenset(fonem(head) for head in begun if len(head) >= _MIN_SOUND) - {""},
        tuple(head for head in begun if len(head) >= _MIN_TYPO),
    )


def likeness(why: Why, *, other: bool = False) -> float:
    """What a way to answer is worth, 0 to 1."""
    return LIKENESS[why] * (OTHER_NAME_FACTOR if other else 1.0)


def told(why: Why, *, other: bool = False) -> Why:
    """How the answer is told: that it is the person's other name says more than that it is spelled alike."""
    return Why.OTHER_NAME if other and why in (Why.SAME, Why.PREFIX) else why
