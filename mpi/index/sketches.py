"""
What a store keeps of a record to find it by: names and birth date in order, phones and postal code by key.

Pure. A sketch may answer where the record does not; never the other way round, so that nobody is missed.
"""

from mpi.identity.ins import NEVER_ANSWERED
from mpi.identity.model import Demographics, PartialDate
from mpi.identity.traits import Traits, normal_name
from mpi.index.ports import Sketch, StoredRecord
from mpi.index.search import Period
from mpi.index.spelling import forms, given_forms
from mpi.matching.blocking import key_of

MAX_SKETCHES = 16
"""Of one record: a person has two or three names, a mistake in a feed has no end."""
POSTAL_LENGTH = 5
_MAX_GIVEN = 200
_CUT = "…"
_APART = "|"


def day_number(date: PartialDate | None) -> int:
    """19800512; 19800500 when only the month is known, 19800000 when only the year is; 0 for None."""
    return date.year * 10_000 + (date.month or 0) * 100 + (date.day or 0) if date is not None else 0


def day_numbers(period: Period) -> tuple[tuple[int, int], ...]:
    """The numbers of the dates that a period is compatible with: spans, both ends included."""
    first, last = period.first, period.last
    year, month = first.year * 10_000, first.year * 10_000 + first.month * 100
    days = month + first.day, last.year * 10_000 + last.month * 100 + last.day
    return (year, year), (month, month), days


def is_findable(record: StoredRecord) -> bool:
    """Whether anything of a record may be found: somebody stated it, and it is not protected."""
    return record.first_event_time is not None and not record.traits.attributes & NEVER_ANSWERED


def sketches_of(record: StoredRecord) -> frozenset[Sketch]:
    """What a record is found by among names and birth dates; nothing when it may not be found."""
    if not is_findable(record):
        return frozenset()
    stated = record.demographics
    birth, given = day_number(stated.birth_date), _given(stated)
    names = dict.fromkeys(form for name in stated.names for form in forms(name.family))
    return frozenset(Sketch(name, birth, given) for name in list(names)[:MAX_SKETCHES] or [""])


def keys_of(record: StoredRecord) -> frozenset[int]:
    """The keys a record is found by: its phones, e-mail addresses and postal code."""
    if not is_findable(record):
        return frozenset()
    code = record.traits.postal_code
    return frozenset(telecom_keys(record.traits) | ({postal_key(code)} if code else set()))


def telecom_keys(traits: Traits) -> set[int]:
    """The keys of the phones and e-mail addresses of an identity."""
    return {key_of((kind, text)) for kind in ("phones", "emails") for text in getattr(traits, kind)}


def postal_key(code: str) -> int:
    """The key of how a postal code begins: of all of it where codes are no longer than in France."""
    return key_of(("postal_code", code[:POSTAL_LENGTH]))


def given_texts(given: str) -> tuple[str, ...] | None:
    """The given names of a sketch; None when they were cut: anything may be in them."""
    return None if given.endswith(_CUT) else tuple(given.split(_APART))


def given_of(stated: Demographics) -> tuple[str, ...]:
    """The given names of each name, in order, the first one said once."""
    texts = []
    for name in stated.names:
        first, listed = name.given.strip(), name.given_list.strip()
        if given_forms(listed)[:1] and given_forms(first) and not _begins(listed, first):
            listed = f"{first} {listed}"
        texts.append(listed or first)
    return tuple(dict.fromkeys(text for text in texts if text))


def _begins(listed: str, first: str) -> bool:
    whole = max(given_forms(first), key=len)
    return whole in given_forms(listed)


def _given(stated: Demographics) -> str:
    texts = dict.fromkeys(normal for text in given_of(stated) if (normal := normal_name(text)))
    joined = _APART.join(texts)
    return joined if len(joined) <= _MAX_GIVEN else joined[: _MAX_GIVEN - 1] + _CUT
