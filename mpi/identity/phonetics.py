"""
Soundex2, the French phonetic code of four letters: a key to find candidates by, never an identity.

MATHIEU, MATTHIEU and MATHIS may share a code; that is what it is for.
"""

import re
from functools import lru_cache

_SOUNDS = (
    ("GUI", "KI"), ("GUE", "KE"), ("GA", "KA"), ("GO", "KO"), ("GU", "K"),
    ("CA", "KA"), ("CO", "KO"), ("CU", "KU"), ("Q", "K"), ("CC", "K"), ("CK", "K"),
)  # fmt: skip
_PREFIXES = (("MAC", "MCC"), ("SCH", "SSS"), ("ASA", "AZA"), ("KN", "NN"), ("PH", "FF"), ("PF", "FF"))
_INNER_H_NOT_AFTER_C_OR_S = re.compile(r"(?<!^)(?<![CS])H")
_INNER_Y_NOT_AFTER_A = re.compile(r"(?<!^)(?<!A)Y")
_DOUBLES = re.compile(r"(.)\1+")


@lru_cache(maxsize=200_000)
def soundex2(word: str) -> str:
    """
    Encode one normalised word (upper case, no accents).

    Args:
        word: as `traits.normal_name` returns it; anything but A-Z is dropped.

    Returns:
        Up to four letters; empty when there is nothing to encode.

    Source: Soundex2 (F. Brouard); order of the rules as published, vectors in the tests.
    """
    code = "".join(letter for letter in word if "A" <= letter <= "Z")
    if not code:
        return ""
    for sound, letter in _SOUNDS:
        code = code.replace(sound, letter)
    code = code[0] + re.sub("[AEIOU]", "A", code[1:])
    for prefix, sound in _PREFIXES:
        if code.startswith(prefix):
            code = sound + code[len(prefix) :]
            break
    code = _INNER_H_NOT_AFTER_C_OR_S.sub("", code)
    code = _INNER_Y_NOT_AFTER_A.sub("", code)
    if code and code[-1] in "ADTS":
        code = code[:-1]
    code = code[:1] + code[1:].replace("A", "")
    return _DOUBLES.sub(r"\1", code)[:4]
