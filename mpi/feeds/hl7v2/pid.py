"""
PID (with ZFD, PV1, EVN and MSH) to a stated identity.

Race, religion and ethnic group (PID-10, 17, 22) and the social security number (PID-19) are never
read. Repetitions are sets; empty says nothing, `""` withdraws.

Source: HL7 v2.5 chapter 3 (PID); IHE ITI-8, ITI-30; PAM-FR 2.11 (PID, ZFD); Annex N 1.8.1.
"""

import re
from collections.abc import Callable, Sequence, Set
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from mpi.errors import InvalidIdentity
from mpi.feeds.hl7v2 import problems
from mpi.feeds.hl7v2.er7 import Message, Repetition, Segment, Separators
from mpi.feeds.hl7v2.identifiers import StatedIdentifiers, read_identifiers
from mpi.feeds.hl7v2.minimised import FIELDS
from mpi.feeds.hl7v2.times import PARIS, parse_instant
from mpi.feeds.national import StatedIns, admit_ins
from mpi.identity.ins import IdentityAttribute
from mpi.identity.model import (
    Demographics,
    NameUse,
    PartialDate,
    PatientIdentifier,
    PersonName,
    SourceRecord,
    Urgency,
    Witness,
)
from mpi.index.events import IdentityStated
from mpi.index.parties import Directory, PatientIdentitySource, Quirk

_BIRTH_TIME = re.compile(r"\d{4}(\d{2}(\d{2}(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?)?)?([+-]\d{4})?", re.ASCII)
_PID_32: Final = {attribute.value for attribute in IdentityAttribute} | {
    *("VIDE", "PROV", "VALI", "IDVER", "RECD", "IDRA", "FILI"),  # table 0445, France
    *("US", "UD", "UA", "AL"),  # table 0445, HL7
}
_SEPARATED: Final = re.compile(r"(\d{4})([-/.])(\d{2})\2(\d{2})|(\d{2})[-/.](\d{2})[-/.](\d{4})", re.ASCII)
_GENDER_WORDS: Final = {
    **dict.fromkeys(("1", "H", "HOMME", "MASCULIN", "MASC", "MALE"), "M"),
    **dict.fromkeys(("2", "FEMME", "FEMININ", "FÉMININ", "FEM", "FEMALE"), "F"),
    **dict.fromkeys(("0", "9", "I", "INCONNU", "INDETERMINE", "INDÉTERMINÉ"), "U"),
}
_CLOCK_TOLERANCE: Final = timedelta(days=1)
_HOME: Final = ("address", "city", "postal_code", "country")
_PRESENT: Final = frozenset({"A01", "A02", "A04", "A05", "A06", "A07", "A09", "A10", "A22", "A54"})
_EMERGENCY: Final = "E"
_NAMES: Final = {
    NameUse.BIRTH: "birth_name",
    NameUse.USED: "used_name",
    NameUse.PSEUDONYM: "pseudonym",
    NameUse.UNSPECIFIED: "name",
}
"""What the name of each use is called where it is withdrawn."""
STRICT: Final = frozenset(
    {
        *("names", "birth_name", "birth_date", "birth_date_interpreted", "sex", "birth_place"),
        *("birth_place_code", "ins", "ins_oid", "identity_codes"),
    }
)
"""What a movement never withdraws: the strict traits of the RNIV, and the status they have."""


class _Stated:
    """What a PID states, while it is being read: values, withdrawals, warnings."""

    __slots__ = ("deleted", "values", "warnings")

    def __init__(self, warnings: Sequence[str]) -> None:
        self.values: dict[str, Any] = {}
        self.deleted: set[str] = set()
        self.warnings = list(warnings)

    def warn(self, place: str, problem: str) -> None:
        self.warnings.append(f"{place}: {problem}")

    def demographics(self) -> Demographics:
        """A field both withdrawn and stated anew is stated."""
        stated = {name: value for name, value in self.values.items() if value not in (None, "", ())}
        return Demographics(**stated, deleted=frozenset(self.deleted - stated.keys()))


def read_identity(
    message: Message,
    *,
    source: PatientIdentitySource,
    directory: Directory,
    warnings: Sequence[str] = (),
    withdraws_ins: bool = False,
    is_movement: bool = False,
) -> IdentityStated:
    """
    Read the identity a message states, once for each domain the source feeds and PID-3 names.

    Several identifiers in one PID-3 are linked by their sender, as far as it may link their domains.

    Args:
        warnings: places and problems found before.
        withdraws_ins: no INS stated before holds any longer, whether or not a new one is admitted.
        is_movement: the message is about a visit: what it says of strict traits only fills gaps.

    Raises:
        InvalidIdentity: no PID or several, no usable identifier, no name, an impossible birth
            date or one after the event, an unknown sex, no event time, or text that no identity contains.
        UnknownAuthority, SenderNotPermitted: see `read_identifiers`.
    """
    pid = one_segment(message, "PID", several=problems.ONE_PERSON)
    refuse_unusable_text(pid)
    identifiers = read_identifiers(pid, 3, source=source, directory=directory)
    stated = _Stated([*message.warnings, *warnings, *identifiers.warnings])
    event_time = read_event_time(message, warn=stated.warn)
    _names(pid, stated, quirks=source.quirks)
    _mother(pid, stated)
    _birth_date(pid, stated, event_time=event_time, quirks=source.quirks)
    _sex(pid, stated, quirks=source.quirks)
    _addresses(pid, stated)
    _telecoms(pid, stated)
    _birth_rank(pid, stated)
    _identity_codes(pid, stated)
    _interpreted(message.segment("ZFD"), stated)
    kept_ins = _ins(identifiers, stated, accept_test_ins=directory.accept_test_ins)
    for number in FIELDS["PID"]:
        if pid.field(number):
            stated.warn(f"PID^1^{number}", "not read")
    if Quirk.NULL_IS_EMPTY in source.quirks:
        stated.deleted.clear()
    if withdraws_ins or identifiers.withdrawn_ins:
        stated.deleted.update(("ins", "ins_oid"))
    if is_movement:
        stated.deleted -= STRICT
    demographics = stated.demographics()
    first = SourceRecord(
        identifier=identifiers.own[0].identifier,
        domain=identifiers.own[0].domain,
        demographics=demographics,
        event_time=event_time,
        source=source.name,
        others=(*identifiers.others, *kept_ins),
        witness=Witness.MOVEMENT if is_movement else Witness.FEED,
        urgency=_urgency(message),
        warnings=tuple(stated.warnings),
    )
    return IdentityStated(
        records=(
            first,
            *(replace(first, identifier=own.identifier, domain=own.domain) for own in identifiers.own[1:]),
        ),
        elsewhere=tuple(one.key for one in identifiers.foreign if one.domain in source.may_link),
    )


def one_segment(message: Message, name: str, *, several: str) -> Segment:
    """
    The only segment of that name.

    Raises:
        InvalidIdentity: it is missing, or there are several.
    """
    segments = message.segments(name)
    if not segments:
        raise InvalidIdentity(f"{name}^1", problems.SEGMENT_MISSING)
    if len(segments) > 1:
        raise InvalidIdentity(f"{name}^2", several)
    return segments[0]


def refuse_unusable_text(segment: Segment, *, sequence: int = 1) -> None:
    """
    Refuse control characters and components nobody's name or identifier fills.

    Args:
        sequence: which segment of that name it is, from 1.

    Raises:
        InvalidIdentity: naming the field.
    """
    match = _unusable(segment.separators).search(segment.raw)
    if match is not None:
        number = segment.raw.count(segment.separators.field, 0, match.start())
        problem = problems.TOO_LONG if len(match[0]) > 1 else problems.CONTROL_CHARACTER
        raise InvalidIdentity(f"{segment.name}^{sequence}^{number}", problem)


@lru_cache(maxsize=64)
def _unusable(separators: Separators) -> re.Pattern[str]:
    delimiters = re.escape(
        separators.field + separators.repetition + separators.component + separators.subcomponent
    )
    return re.compile(f"[\x00-\x1f\x7f-\x9f]|[^{delimiters}]{{257,}}")


def read_event_time(message: Message, *, warn: Callable[[str, str], None] | None = None) -> datetime:
    """
    When it became true: EVN-6, else EVN-2, else MSH-7; aware, UTC.

    Raises:
        InvalidIdentity: none of the three is a time.

    Source: HL7 v2.5 chapter 3, EVN-6; ITI-30 3.30.5.2.
    """
    evn = message.segment("EVN")
    places = [("MSH^1^7", message.msh.value(7))]
    if evn is not None:
        places = [("EVN^1^6", evn.value(6)), ("EVN^1^2", evn.value(2)), *places]
    for place, text in places:
        if not text:
            continue
        try:
            return parse_instant(text)
        except ValueError:
            if warn is not None:
                warn(place, "not a time")
    raise InvalidIdentity("EVN^1^2", problems.REQUIRED)


def _urgency(message: Message) -> Urgency:
    """By patient class (PV1-2, table 0004), else by event; that of the movement a Z99 is about (ZBE-6)."""
    pv1 = message.segment("PV1")
    if pv1 is not None and pv1.value(2).strip().upper() == _EMERGENCY:
        return Urgency.EMERGENCY
    event = message.msh.value(9, 2)
    zbe = message.segment("ZBE")
    if event == "Z99" and zbe is not None:
        event = zbe.value(6).strip().upper()
    return Urgency.PRESENT if event in _PRESENT else Urgency.NONE


def _names(pid: Segment, stated: _Stated, *, quirks: Set[Quirk]) -> None:
    names = []
    for number, xpn in enumerate(pid.repetitions(5), start=1):
        place = f"PID^1^5^{number}"
        use = _name_use(xpn, place, stated, quirks=quirks)
        _withdrawn_name(xpn, use, place, stated)
        name = PersonName(
            family=xpn.value(1),
            given=xpn.value(2),
            given_list=xpn.value(3),
            suffix=xpn.value(4),
            prefix=xpn.value(5),
            use=use,
        )
        if (name.family + name.given + name.given_list).strip():  # ITI-10 fills the name with a space
            names.append(name)
    if not names:
        raise InvalidIdentity("PID^1^5", problems.REQUIRED)
    stated.values["names"] = tuple(names)


def _withdrawn_name(xpn: Repetition, use: NameUse, place: str, stated: _Stated) -> None:
    """
    What `""` in a component withdraws: the whole name, which the rest of the repetition states anew.

    A birth name is never withdrawn, and given names not without the family name beside them, which
    the rest would have to state.
    """
    if xpn.is_null(1):
        if use is NameUse.BIRTH:
            stated.warn(f"{place}^1", "a birth name is not withdrawn")
        else:
            stated.deleted.add(_NAMES[use])
    elif xpn.is_null(2) or xpn.is_null(3):
        if xpn.value(1):
            stated.deleted.add(_NAMES[use])
        else:
            stated.warn(place, "given names withdrawn without the family name beside them; kept")


def _name_use(xpn: Repetition, place: str, stated: _Stated, *, quirks: Set[Quirk]) -> NameUse:
    code = xpn.value(7).strip().upper()
    if not code and xpn.value(8).strip().upper() in ("L", "D", "S", "U"):
        if Quirk.NAME_TYPE_IN_XPN_8 not in quirks:
            stated.warn(f"{place}^7", "name type found one component too far")
        code = xpn.value(8).strip().upper()
    if not code:
        is_birth_name = Quirk.UNTYPED_NAME_IS_BIRTH_NAME in quirks
        return NameUse.BIRTH if is_birth_name else NameUse.UNSPECIFIED
    try:
        return NameUse(code)
    except ValueError:
        stated.warn(f"{place}^7", problems.NOT_IN_TABLE)
        return NameUse.UNSPECIFIED


def _mother(pid: Segment, stated: _Stated) -> None:
    stated.values["mother_birth_name"] = pid.value(6)
    if pid.is_null(6) or any(name.is_null(1) for name in pid.repetitions(6)[:1]):
        stated.deleted.add("mother_birth_name")


def _birth_date(pid: Segment, stated: _Stated, *, event_time: datetime, quirks: Set[Quirk]) -> None:
    text = pid.value(7)
    if Quirk.DATES_WITH_SEPARATORS in quirks:
        text = _without_separators(text)
    if pid.is_null(7):
        stated.deleted.add("birth_date")
    elif text:
        try:
            if _BIRTH_TIME.fullmatch(text) is None:
                raise ValueError
            date = PartialDate.parse(re.split("[+-]", text, maxsplit=1)[0])
        except ValueError:
            raise InvalidIdentity("PID^1^7", problems.NOT_A_DATE) from None
        earliest = datetime(date.year, date.month or 1, date.day or 1, tzinfo=PARIS)
        if earliest - event_time > _CLOCK_TOLERANCE:
            raise InvalidIdentity("PID^1^7", problems.AFTER_THE_EVENT)
        stated.values["birth_date"] = date


def _without_separators(date: str) -> str:
    """A date written 1984-02-29, 29/02/1984 or 29.02.1984, in digits; anything else as it is."""
    found = _SEPARATED.fullmatch(date.strip())
    if found is None:
        return date
    year, month, day = found[1] or found[7], found[3] or found[6], found[4] or found[5]
    return f"{year}{month}{day}"


def _sex(pid: Segment, stated: _Stated, *, quirks: Set[Quirk]) -> None:
    code = pid.value(8).strip().upper()
    if Quirk.GENDER_WORDS in quirks:
        code = _GENDER_WORDS.get(code, code)
    if pid.is_null(8):
        stated.deleted.add("sex")
    elif code in ("M", "F", "U"):
        stated.values["sex"] = code
    elif code in ("O", "A", "N"):
        stated.values["sex"] = "U"
        stated.warn("PID^1^8", "taken as U")
    elif code:
        raise InvalidIdentity("PID^1^8", problems.NOT_IN_TABLE)


def _addresses(pid: Segment, stated: _Stated) -> None:
    if pid.is_null(11):
        stated.deleted.update(_HOME, ("birth_place_code",))
    home: Repetition | None = None
    untyped: Repetition | None = None
    for xad in pid.repetitions(11):
        kind = xad.value(7).strip().upper()
        if kind == "BDL":
            _birth_place(xad, stated)
        elif kind == "H" and home is None:
            home = xad
        elif not kind and untyped is None:
            untyped = xad
    home = home or untyped
    if home is not None:
        if home.raw == '""':
            stated.deleted.update(_HOME)
        for name, component in (("address", 1), ("city", 3), ("postal_code", 5), ("country", 6)):
            stated.values[name] = home.value(component)
            if home.is_null(component):
                stated.deleted.add(name)
    free_text = pid.value(23)
    if pid.is_null(23):
        stated.deleted.add("birth_place")
    elif free_text and not stated.values.get("birth_place"):
        stated.values["birth_place"] = free_text


def _birth_place(xad: Repetition, stated: _Stated) -> None:
    for name, component in (("birth_place_code", 9), ("birth_place", 3)):
        if xad.value(component):
            stated.values[name] = xad.value(component)
        elif xad.is_null(component):
            stated.deleted.add(name)


def _telecoms(pid: Segment, stated: _Stated) -> None:
    phones: list[str] = []
    emails: list[str] = []
    for field in (13, 14):
        if pid.is_null(field):
            stated.deleted.update(("phones", "emails"))
        for xtn in pid.repetitions(field):
            number = xtn.value(12) or xtn.value(1)
            email = xtn.value(4)
            if "@" in number:  # an address in the number's place
                number, email = "", email or number
            phones.append(number)
            emails.append(email)
            if xtn.is_null(12) or xtn.is_null(1):
                stated.deleted.add("phones")
            if xtn.is_null(4):
                stated.deleted.add("emails")
    stated.values["phones"] = tuple(dict.fromkeys(filter(None, phones)))
    stated.values["emails"] = tuple(dict.fromkeys(filter(None, emails)))


def _birth_rank(pid: Segment, stated: _Stated) -> None:
    multiple = pid.value(24).strip().upper()
    if pid.is_null(24):
        stated.deleted.add("multiple_birth")
    elif multiple in ("Y", "N"):
        stated.values["multiple_birth"] = multiple == "Y"
    elif multiple:
        stated.warn("PID^1^24", problems.NOT_IN_TABLE)
    order = pid.value(25).strip()
    if pid.is_null(25):
        stated.deleted.add("birth_order")
    elif order.isascii() and order.isdigit() and 0 < int(order[:4]) < 100:
        stated.values["birth_order"] = int(order[:4])
    elif order:
        stated.warn("PID^1^25", "not a birth order")


def _identity_codes(pid: Segment, stated: _Stated) -> None:
    if pid.is_null(32):
        stated.deleted.add("identity_codes")
    codes = []
    for number, repetition in enumerate(pid.repetitions(32), start=1):
        code = repetition.value(1).strip().upper()
        if code:
            codes.append(code)
            if code not in _PID_32:
                stated.warn(f"PID^1^32^{number}", problems.NOT_IN_TABLE)
    stated.values["identity_codes"] = tuple(codes)


def _interpreted(zfd: Segment | None, stated: _Stated) -> None:
    if zfd is None:
        return
    code = zfd.value(4).strip().upper()
    if zfd.is_null(4):
        stated.deleted.add("birth_date_interpreted")
    elif code in ("Y", "N"):
        stated.values["birth_date_interpreted"] = code == "Y"
    elif code:
        stated.warn("ZFD^1^4", problems.NOT_IN_TABLE)


def _ins(
    identifiers: StatedIdentifiers, stated: _Stated, *, accept_test_ins: bool
) -> tuple[PatientIdentifier, ...]:
    """Admit the INS a message may state, and return the INS identifiers that are kept."""
    admitted = admit_ins(
        (
            StatedIns(identifier, place, value_place=f"{place}^1", authority_place=f"{place}^4")
            for number, identifier in identifiers.national
            for place in [f"PID^1^3^{number}"]
        ),
        stated.values,
        accept_test_ins=accept_test_ins,
        birth_place="PID^1^11",
        warn=stated.warn,
    )
    stated.values.update(ins=admitted.ins, ins_oid=admitted.oid)
    return admitted.kept
