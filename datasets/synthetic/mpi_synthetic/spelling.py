"""
Letters without their accents, and words in title case.
"""

import unicodedata
from functools import lru_cache


@lru_cache(100_000)
def title(text: str) -> str:
    """JEAN-PIERRE D'ARC as Jean-Pierre D'Arc."""
    return "".join(
        letter if at == 0 or not text[at - 1].isalnum() else letter.lower() for at, letter in enumerate(text)
    )


@lru_cache(100_000)
def without_accents(text: str) -> str:
    """Upper case, ASCII letters only."""
    text = text.upper().replace("Œ", "OE").replace("Æ", "AE").replace("’", "'")
    decomposed = unicodedata.normalize("NFD", text)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))
