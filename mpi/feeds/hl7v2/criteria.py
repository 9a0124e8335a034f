"""
QPD-3 of a demographics query to what is looked for: `@PID.field[.component[.subcomponent]]^value`.

Repetitions must all hold; the subcomponents of one value are a choice. What people are not looked
for by is refused rather than ignored: an answer must not be wider than its question.

Source: HL7 v2.5 chapter 5 (QIP); IHE ITI-21 3.21.4.1.2 (QPD-3).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from mpi.feeds.hl7v2 import problems
from mpi.feeds.hl7v2.ack import Fault
from mpi.feeds.hl7v2.er7 import Repetition, Segment
from mpi.feeds.hl7v2.query_answer import Asked, Refused
from mpi.identity.ins import matricule_text
from mpi.identity.model import AssigningAuthority, PartialDate, RecordKey
from mpi.index.criteria import days_of
from mpi.index.search import Period, Search, Spelling, Text

WILDCARD: Final = "*"
MIN_LETTERS: Final = 2
"""Letters or digits before a wildcard."""
MAX_CHOICES: Final = 20
_PATH = re.compile(r"@([A-Z][A-Z0-9]{2})\.(\d{1,5})(?:\.(\d{1,3})(?:\.(\d{1,3}))?)?", re.ASCII)
_BIRTH_DATE = re.compile(r"\d{4}(?:\d{2}(?:\d{2}(?:\d{2}(?:\d{2}(?:\d{2})?)?)?)?)?", re.ASCII)

Path = tuple[int, ...]
"""A field of PID, and as much of component and subcomponent as is said."""

TEXTS: Final[Mapping[Path, str]] = {
    **dict.fromkeys(((5,), (5, 1), (5, 1, 1)), "family"),
    **dict.fromkeys(((5, 2), (5, 3)), "given"),
    **dict.fromkeys(((6,), (6, 1), (6, 1, 1)), "mother_birth_name"),
    **dict.fromkeys(((11,), (11, 1), (11, 1, 1)), "address"),
    (11, 3): "city",
    (11, 4): "state",
    (11, 5): "postal_code",
    (11, 6): "country",
}
"""What is looked for as a text, which may end in a wildcard."""
BIRTH: Final = frozenset({(7,), (7, 1)})
SEX: Final[Path] = (8,)
TELECOM: Final = frozenset((number, *rest) for number in (13, 14) for rest in ((), (1,), (4,), (12,)))
ACCOUNT: Final = frozenset({(18,), (18, 1)})
IDENTIFIER: Final[Path] = (3,)
ID_NUMBER: Final[Path] = (3, 1)
AUTHORITY: Final = frozenset({(3, 4), (3, 4, 1), (3, 4, 2), (3, 4, 3)})
_SEXES: Final = {"M": "M", "F": "F", **dict.fromkeys("UOAN", "U")}


@dataclass(frozen=True, slots=True)
class Criteria:
    """
    What QPD-3 asks for.

    Args:
        accounts: repetitions that ask for an account number, by which this index knows nobody.
    """

    wanted: Search
    accounts: tuple[int, ...] = ()


class _Value(NamedTuple):
    """One repetition with something in it: where it stands, and its choices."""

    repetition: int
    choices: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"QPD^1^3^{self.repetition}"

    def refused(self, problem: str) -> Refused:
        return Refused(Fault(self.place, problems.CODES[problem], problem))


@dataclass
class _Said:
    """QPD-3 while it is being read."""

    parts: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)
    numbers: _Value | None = None
    authority: dict[int, str] = field(default_factory=dict)
    authority_place: str = ""
    accounts: list[int] = field(default_factory=list)

    def add(self, part: str, value: _Value, read: Callable[[_Value, str], Any]) -> None:
        wanted = tuple(read(value, text) for text in value.choices)
        if self.parts.setdefault(part, wanted) != wanted:
            raise value.refused(problems.ASKED_TWICE)


def read_criteria(asked: Asked, *, active: bool | None) -> Criteria:
    """
    Read whom QPD-3 asks for.

    Args:
        active: whether identifiers that were merged away find anybody: None if they do, True if not.

    Raises:
        Refused: nothing is asked for, or something that cannot be looked for; it says which repetition.
    """
    said = _Said()
    for number, repetition in enumerate(asked.qpd.repetitions(3), start=1):
        _read(repetition, number, asked.qpd, said)
    _identifiers(said, asked)
    if not said.parts and not said.accounts:
        raise Refused(Fault("QPD^1^3", 101, problems.REQUIRED))
    return Criteria(Search(**said.parts, active=active), tuple(said.accounts))


def _read(repetition: Repetition, number: int, qpd: Segment, said: _Said) -> None:
    if not repetition.raw.strip(qpd.separators.component):
        return
    path = _PATH.fullmatch(repetition.raw.split(qpd.separators.component, 1)[0].strip().upper())
    value = _Value(number, _choices(repetition, qpd))
    if path is None:
        raise value.refused(problems.NOT_A_CRITERION)
    if path[1] != "PID":
        raise value.refused(problems.NOT_SEARCHED)
    what = tuple(int(part) for part in path.groups()[1:] if part)
    if what == IDENTIFIER:
        _whole_identifier(repetition, value, said)
        return
    if len(repetition.raw.split(qpd.separators.component)) > 2:
        raise value.refused(problems.NOT_A_CRITERION)
    if what in AUTHORITY:
        _authority(repetition, what, value, said)
    elif not value.choices:
        return  # nothing is asked
    elif len(value.choices) > MAX_CHOICES:
        raise value.refused(problems.TOO_MANY_REPETITIONS)
    elif what == ID_NUMBER:
        _numbers(value, said)
    elif what in TEXTS:
        said.add(TEXTS[what], value, _text)
    elif what in BIRTH:
        said.add("birth", value, _period)
    elif what == SEX:
        said.add("sex", value, _sex)
    elif what in TELECOM:
        said.add("telecom", value, _exactly)
    elif what in ACCOUNT:
        said.accounts.append(number)
    else:
        raise value.refused(problems.NOT_SEARCHED)


def _choices(repetition: Repetition, qpd: Segment) -> tuple[str, ...]:
    components = repetition.raw.split(qpd.separators.component)
    raw = components[1] if len(components) > 1 else ""
    mark = qpd.separators.subcomponent
    count = raw.count(mark) + 1 if mark else 1
    texts = (repetition.value(2, position).strip() for position in range(1, count + 1))
    return tuple(dict.fromkeys(text for text in texts if text))


# ------------------------------------------------------------------------------------- identifiers


def _whole_identifier(cx: Repetition, value: _Value, said: _Said) -> None:
    """`@PID.3^` and a whole CX: its components stand one place further than in PID-3."""
    for position in (1, 2, 3):
        _set_authority(position, cx.value(5, position), value, said)
    _numbers(_Value(value.repetition, value.choices[:1]), said)


def _numbers(value: _Value, said: _Said) -> None:
    if said.numbers is not None and said.numbers.choices != value.choices:
        raise value.refused(problems.ASKED_TWICE)
    said.numbers = said.numbers or value


def _authority(repetition: Repetition, what: Path, value: _Value, said: _Said) -> None:
    """A part of the authority; `@PID.3.4` takes it whole, its parts separated as in CX-4."""
    if len(what) == 3:
        _set_authority(what[2], repetition.value(2), value, said)
    else:
        for position in (1, 2, 3):
            _set_authority(position, repetition.value(2, position), value, said)


def _set_authority(position: int, text: str, value: _Value, said: _Said) -> None:
    if not (text := text.strip()):
        return
    if said.authority.setdefault(position, text) != text:
        raise value.refused(problems.ASKED_TWICE)
    said.authority_place = said.authority_place or value.place


def _identifiers(said: _Said, asked: Asked) -> None:
    """
    Complete the authority of the identifier that is looked for; without a number, any of its domain will do.

    Source: ITI-21 3.21.4.1.2.2 (PID.3.1 is not asked for without PID.3.4).
    """
    if not said.authority:
        if said.numbers is not None:
            raise said.numbers.refused(problems.NO_DOMAIN)
        return
    authority = AssigningAuthority(*(said.authority.get(position, "") for position in (1, 2, 3)))
    if said.numbers is not None and (oid := asked.ins_oid(authority)):
        numbers = (_exactly(said.numbers, text) for text in said.numbers.choices)
        said.parts["ins"] = tuple((oid, matricule_text(number)) for number in numbers)
        return
    domain = asked.domain(authority, said.authority_place)
    if domain is None:
        raise Refused(Fault(said.authority_place, 204))
    exact: list[RecordKey] = []
    prefixes: list[RecordKey] = []
    for text in said.numbers.choices if said.numbers is not None else ("",):
        if WILDCARD in text and said.numbers is not None:
            prefixes.append(RecordKey(domain.key, _before_wildcard(said.numbers, text)))
        else:
            exact.append(RecordKey(domain.key, text))
    if exact and prefixes and said.numbers is not None:
        raise said.numbers.refused(problems.BAD_WILDCARD)
    said.parts.update({"identifiers": tuple(exact), "identifier_prefixes": tuple(prefixes)})


# ------------------------------------------------------------------------------------------ values


def _text(value: _Value, text: str) -> Text:
    if WILDCARD in text:
        return Text(_before_wildcard(value, text), Spelling.PREFIX)
    return Text(text, Spelling.SAME)


def _before_wildcard(value: _Value, text: str) -> str:
    before, _, after = text.partition(WILDCARD)
    if after or sum(map(str.isalnum, before)) < MIN_LETTERS:
        raise value.refused(problems.BAD_WILDCARD)
    return before


def _exactly(value: _Value, text: str) -> str:
    if WILDCARD in text:
        raise value.refused(problems.BAD_WILDCARD)
    return text


def _sex(value: _Value, text: str) -> str:
    try:
        return _SEXES[text.upper()]
    except KeyError:
        raise value.refused(problems.NOT_IN_TABLE) from None


def _period(value: _Value, text: str) -> Period:
    """The days a birth date may mean: one, or those of its month or year. A time of birth is not looked at."""
    try:
        if not _BIRTH_DATE.fullmatch(text):
            raise ValueError
        asked = PartialDate.parse(text)
    except ValueError:
        raise value.refused(problems.NOT_A_DATE) from None
    return Period(*days_of(asked))
