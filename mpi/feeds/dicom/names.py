"""
DICOM person names (PN), and the ways French sites fill them in.

Everything guessed here is said in a warning: `EP` and `NE` are also names, and a text without
carets does not say where the family name ends.

Source: DICOM PS3.5, PN: `family^given^middle^prefix^suffix`, groups separated by `=`. HL7 v2 XPN
has the suffix before the prefix.
"""

import re
from dataclasses import dataclass, replace

from mpi.identity.model import NameUse, PersonName
from mpi.identity.traits import normal_text, without_particles

_BIRTH_THEN_USED = frozenset({"EP", "EPOUSE", "EPSE", "VVE", "VEUVE"})
_USED_THEN_BIRTH = frozenset({"NE", "NEE"})
_TITLES = frozenset({"MME", "MLLE", "MR", "MRS", "MONSIEUR", "MADAME", "MADEMOISELLE", "DR"})
_NEWBORN = re.compile(r"(?:BEBE|BB|NNE?)\d?")

NO_CARET = "no caret in the name, family and given names are guessed"
BIRTH_AND_USED = "birth and used names are guessed from a marker in the name"
TITLE = "a title in the place of a name"
NEWBORN = "a newborn named after a parent"


@dataclass(frozen=True, slots=True)
class ParsedName:
    """
    One PN: the name as it is used, the birth name it betrays, and what was guessed.

    Args:
        name: without a use, unless `birth` is there.
        birth: the birth name, when a marker such as `NEE` gives both.
    """

    name: PersonName
    birth: PersonName | None = None
    guesses: tuple[str, ...] = ()


def parse_person_name(text: str) -> ParsedName | None:
    """
    Read the alphabetic group of a PN; the other groups are transcriptions of it.

    Returns:
        None when the group names nobody.
    """
    parts = [" ".join(part.split()) for part in text.split("=")[0].split("^")]
    guesses: list[str] = []
    if len([part for part in parts if part]) == 1 and parts[0]:
        guessed = _without_carets(parts[0])
        if guessed != parts:
            guesses.append(NO_CARET)
        parts = guessed
    prefix, parts = _take_title(parts)
    if prefix:
        guesses.append(TITLE)
    family, given, middle, stated_prefix, suffix = (*parts, "", "", "", "", "")[:5]
    if not (family or given or middle):
        return None
    if newborn := _newborn(family, given):
        family, given = newborn
        guesses.append(NEWBORN)
    before, marker, after = _split_at_marker(family)
    if not marker:
        given, marker, after = _split_at_marker(given)
        before = family
    name = PersonName(before, given, _given_list(given, middle), prefix or stated_prefix, suffix)
    if not marker or not before:
        return ParsedName(name, guesses=tuple(guesses))
    birth, used = (before, after) if marker in _BIRTH_THEN_USED else (after, before)
    return ParsedName(
        replace(name, family=used, use=NameUse.USED),
        replace(name, family=birth, use=NameUse.BIRTH),
        (*guesses, BIRTH_AND_USED),
    )


def _token(word: str) -> str:
    """A word as markers and titles are written: `Née`, `NE(E)` and `EP.` are NEE, NEE and EP."""
    return normal_text(word).replace(" ", "")


def _without_carets(text: str) -> list[str]:
    """
    Guess the components of a name written as one text.

    A comma separates. Else capitals are the family name when the rest is not in capitals; else
    the first word, with its particles, is. A marker keeps the words around it in the family name.
    """
    family, comma, given = text.partition(",")
    if comma:
        return [family.strip(), given.strip()]
    words = text.split(" ")
    start = 1 if _is_title(words) else 0
    end = start + 1
    while end < len(words) and not without_particles(words[end - 1].upper()).strip() == "" and _is_particle(words[end - 1]):
        end += 1
    while end < len(words) - 1 and _is_marker(words[end]):
        end += 2
        while end < len(words) and _is_particle(words[end - 1]):
            end += 1
    if not text.isupper():
        capitals = start
        while capitals < len(words) and (words[capitals].isupper() or _is_marker(words[capitals])):
            capitals += 1
        end = max(end, capitals) if capitals > start else end
    return [" ".join(words[:end]), " ".join(words[end:])] if end < len(words) else [text]
