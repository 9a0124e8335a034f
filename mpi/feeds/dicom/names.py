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
from mpi.identity.traits import normal_text

_BIRTH_THEN_USED = frozenset({"EP", "EPOUSE", "EPSE", "VVE", "VEUVE"})
_USED_THEN_BIRTH = frozenset({"NE", "NEE"})
_TITLES = frozenset({"MME", "MLLE", "MR", "MRS", "MONSIEUR", "MADAME", "MADEMOISELLE", "DR"})
_PARTICLES = frozenset(
    {"DE", "DU", "DES", "D", "LE", "LA", "LES", "VAN", "VON", "DER", "DEN", "EL", "AL", "BEN", "ABD", "AIT"}
    | {"SAINT", "SAINTE", "ST", "STE"}
)
_TESTS = frozenset(
    {
        "TEST",
        "TESTS",
        "ESSAI",
        "ESSAIS",
        "PHANTOM",
        "FANTOME",
        "MIRE",
        "QC",
        "CQ",
        "QA",
        "CALIBRATION",
        "DEMO",
    }
)
_BESIDE_TESTS = frozenset(
    {
        "PATIENT",
        "PATIENTE",
        "DAILY",
        "WEEKLY",
        "QUOTIDIEN",
        "HEBDO",
        "CONTROLE",
        "QUALITE",
        "QUALITY",
        "CONTROL",
    }
    | {"IRM", "CT", "MR", "TDM", "SCANNER", "SCAN", "EAU", "WATER", "ACR", "TETE", "HEAD", "CORPS", "BODY"}
)
_ONLY_Z = re.compile(r"Z{3,}")
_OF_PARENT = frozenset({"DE", "DU"})
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


def parse_person_name(text: str, *, family_only: bool = False) -> ParsedName | None:
    """
    Read the alphabetic group of a PN; the other groups are transcriptions of it.

    Args:
        family_only: a text without carets is a family name, as birth names usually are.

    Returns:
        None when the group names nobody.
    """
    parts = [" ".join(part.split()) for part in text.split("=")[0].split("^")]
    guesses: list[str] = []
    if parts[0] and not any(parts[1:]) and not family_only:
        parts = _without_carets(parts[0])
        if len(parts) > 1:
            guesses.append(NO_CARET)
    prefix, parts = _take_title(parts)
    if prefix:
        guesses.append(TITLE)
    family, given, middle, stated_prefix, suffix = (*parts, "", "", "", "", "")[:5]
    if not (family or given or middle):
        return None
    if newborn := _newborn(family, given):
        family, given = newborn
        guesses.append(NEWBORN)
    family, marker, other = _split_at_marker(family)
    if family and not marker:
        given, marker, other = _split_at_marker(given)
    name = PersonName(family, given, _given_list(given, middle), prefix or stated_prefix, suffix)
    if not marker:
        return ParsedName(name, guesses=tuple(guesses))
    birth, used = (family, other) if marker in _BIRTH_THEN_USED else (other, family)
    return ParsedName(
        replace(name, family=used, use=NameUse.USED),
        replace(name, family=birth, use=NameUse.BIRTH),
        (*guesses, BIRTH_AND_USED),
    )


def is_test_name(text: str) -> bool:
    """
    Whether a PN is of a test or a phantom: `TEST^PATIENT`, `QC^DAILY 2`, `ZZZ^ZZZ`.

    Every word has to say so. `TEST^MARIE` may be somebody, and `INCONNU^X` is: an unconscious patient.
    """
    said = normal_text(text.split("=")[0].replace("^", " ").replace("_", " "))
    words = [word for word in re.sub(r"\d+", " ", said).split(" ") if word]
    return any(word in _TESTS or _ONLY_Z.fullmatch(word) for word in words) and all(
        word in _TESTS | _BESIDE_TESTS or _ONLY_Z.fullmatch(word) for word in words
    )


def _token(word: str) -> str:
    """A word as markers and titles are written: `Née`, `NE(E)` and `EP.` are NEE, NEE and EP."""
    return normal_text(word).replace(" ", "")


def _without_carets(text: str) -> list[str]:
    """
    Guess the family and given names of a name written as one text.

    A comma separates them. Else, in a text of mixed case, the leading words in capitals are the
    family name; else the first word is, with its particles and what a marker ties to it.
    """
    family, comma, given = text.partition(",")
    if comma:
        return [family.strip(), given.strip()]
    words = text.split(" ")
    if _token(words[0]) in _USED_THEN_BIRTH or _NEWBORN.fullmatch(_token(words[0])):
        return [text]
    end = 1 if _token(words[0]) in _TITLES else 0
    if text.isupper() or not words[end : end + 1] or not words[end].isupper():
        end = _past_one_name(words, end)
        while end < len(words) - 1 and _is_marker(words[end]):
            end = _past_one_name(words, end + 1)
    else:
        while end < len(words) and (words[end].isupper() or _is_marker(words[end])):
            end += 1
    return [" ".join(words[:end]), " ".join(words[end:])] if end < len(words) else [text]


def _past_one_name(words: list[str], start: int) -> int:
    end = start
    while end < len(words) - 1 and _token(words[end]) in _PARTICLES:
        end += 1
    return end + 1


def _is_marker(word: str) -> bool:
    return _token(word) in _BIRTH_THEN_USED | _USED_THEN_BIRTH


def _take_title(parts: list[str]) -> tuple[str, list[str]]:
    """`MME^DUPONT^JEANNE` and `MME DUPONT^JEANNE`: the title, and the components without it."""
    title, _, rest = parts[0].partition(" ")
    if _token(title) not in _TITLES:
        return "", parts
    if rest:
        return title, [rest, *parts[1:]]
    if len(parts) > 1 and parts[1]:
        names = (*parts[1:3], "", "")[:3]  # one to the left, and nothing after them moves
        return title, [*names, *parts[3:]]
    return "", parts


def _newborn(family: str, given: str) -> tuple[str, str] | None:
    """`NE DE DUPONT` and `BB1 DUPONT`: the parent's name, and a stand-in for the missing given name."""
    words = family.split(" ")
    first = _token(words[0])
    of_parent = len(words) > 2 and _token(words[1]) in _OF_PARENT
    if len(words) < 2 or not (_NEWBORN.fullmatch(first) or (first in _USED_THEN_BIRTH and of_parent)):
        return None
    stand_in = words[0] if _NEWBORN.fullmatch(first) else "NOUVEAU NE"
    return " ".join(words[2:] if of_parent else words[1:]), given or stand_in


def _split_at_marker(text: str) -> tuple[str, str, str]:
    """Text before a marker, the marker, text after it; the whole text and nothing when there is none."""
    words = text.split(" ")
    for index in range(1, len(words) - 1):
        if _is_marker(words[index]):
            before, after = " ".join(words[:index]), " ".join(words[index + 1 :])
            return before.strip("() "), _token(words[index]), after.strip("() ")
    return text, "", ""


def _given_list(given: str, middle: str) -> str:
    """Every given name, the first included: French senders repeat it in the middle name, the standard does not."""
    if not middle or not given:
        return middle
    first, listed = normal_text(given).split(" "), normal_text(middle).split(" ")
    return middle if listed[: len(first)] == first else f"{given} {middle}"
