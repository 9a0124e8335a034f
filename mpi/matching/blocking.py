"""
Blocking passes -> keys. Two records that share a key are compared; the same keys online and in batch.

A key is a stable hash of the pass and its parts: the same in every process, on every machine,
so it may be stored. A pass with a missing part gives no key; a placeholder is missing already.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b

from mpi.identity.phonetics import soundex2
from mpi.identity.traits import Traits, without_particles
from mpi.matching.comparisons import first_given

KEYS_VERSION = 3
"""Grows when a pass changes, or how traits are normalised: stored keys of another version must be derived again."""

_MAX_WORDS = 3


@lru_cache(maxsize=200_000)
def _codes(name: str) -> tuple[str, ...]:
    """Phonetic codes of a name: of its words joined, with and without particles, then of each word but those."""
    core = without_particles(name)
    words = [word for word in core.split(" ") if len(word) > 1]
    joined = [soundex2(text.replace(" ", "")) for text in (core, name)]  # LE GOFF meets GOFF, and LEGOFF
    return tuple(dict.fromkeys(code for code in (*joined, *map(soundex2, words[:_MAX_WORDS])) if code))


def _family_codes(traits: Traits) -> tuple[str, ...]:
    names = (traits.birth_name, traits.used_name)
    return tuple(dict.fromkeys(code for name in names if name for code in _codes(name)))


@lru_cache(maxsize=200_000)
def _given_codes_of(name: str) -> tuple[str, ...]:
    """
    First word, the words joined, the words without particles.

    JEAN PIERRE meets JEAN and JEANPIERRE; ABD EL KADER meets itself as a family name.
    """
    core = without_particles(name)
    codes = (
        soundex2(name.split(" ", 1)[0]),
        soundex2(name.replace(" ", "")),
        soundex2(core.replace(" ", "")),
    )
    return tuple(dict.fromkeys(code for code in codes if code))


def _given_codes(traits: Traits) -> tuple[str, ...]:
    names = (first_given(traits), traits.used_given_name)
    return tuple(dict.fromkeys(code for name in names if name for code in _given_codes_of(name)))


def passes(traits: Traits) -> Iterator[tuple[str, ...]]:
    """
    Every blocking key in clear: the pass, then its parts. For training and for explanations.

    - `date_family`, `date_given`: the whole birth date and one name by sound;
    - `names_day`, `names_year`: both names by sound, in either order, with the day and month or
      with the year: a birth date wrong in one part;
    - `names_place`, `names_home`: both names as written with the birth place or the postal code:
      a birth date wrong or absent;
    - `ins`, `national_id`, `email`, `phone` (with the given name: a phone is a household's).
    """
    date = traits.birth_date
    families, givens = _family_codes(traits), _given_codes(traits)
    if date is not None and date.day is not None:
        day = str(date)
        for family in families:
            yield "date_family", day, family
        for given in givens:
            yield "date_given", day, given
    if date is not None:
        for family in families:
            for given in givens:
                names = "+".join(sorted((family, given)))
                if date.day is not None:
                    yield "names_day", names, f"{date.month:02d}-{date.day:02d}"
                yield "names_year", names, str(date.year)
    yield from _names_as_written(traits)
    if traits.ins:
        yield "ins", traits.ins
    if traits.national_id:
        yield "national_id", traits.national_id
    for email in traits.emails:
        yield "email", email
    for phone in traits.phones:
        for given in givens:
            yield "phone", phone, given


def _names_as_written(traits: Traits) -> Iterator[tuple[str, ...]]:
    given = first_given(traits).split(" ", 1)[0]
    if not given:
        return
    for family in dict.fromkeys((traits.birth_name, traits.used_name)):
        if not family:
            continue
        if traits.birth_place_code:
            yield "names_place", family, given, traits.birth_place_code
        if traits.postal_code:
            yield "names_home", family, given, traits.postal_code


def key_of(parts: Iterable[str]) -> int:
    """A pass and its parts -> 63 bits, so that it fits a signed column of any database."""
    digest = blake2b("|".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def blocking_keys(traits: Traits) -> tuple[int, ...]:
    """The keys of one identity: sorted, each once, in [0, 2**63)."""
    return tuple(sorted({key_of(parts) for parts in passes(traits)}))
