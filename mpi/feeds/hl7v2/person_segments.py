"""
A person as PID and QRI: what a demographics query answers of them, written in canonical delimiters.

Names are written in the French order: the birth name (L), the used one (D), one of no type (U). A pseudonym
(S) is written only when it is the one name there is: beside the others it would say whose it is. What a
person has none of is left empty.

Source: HL7 v2.5 chapter 3 (PID), chapter 5 (QRI), tables 0190, 0200, 0392, 0445; IHE ITI-21 3.21.4.2;
PAM-FR 2.11 (PID-5, PID-11, PID-32).
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mpi.feeds.hl7v2.er7 import escape
from mpi.feeds.hl7v2.query_answer import write_cx
from mpi.identity.model import PatientIdentifier, PersonName
from mpi.index.golden import GoldenField
from mpi.index.search import Found, Person, Why

NAMES: Final = ("birth_name", "used_name", "name")
"""PID-5, in this order."""
PSEUDONYM: Final = "pseudonym"
FIELDS: Final = (3, 5, 6, 7, 8, 11, 13, 24, 25, 32)
"""The fields of PID that are answered."""
DOUBTFUL: Final = "DOUT"
"""PID-32 of an identity somebody reported, or whose own site calls it doubtful."""
REASONS: Final[Mapping[tuple[str, Why], str]] = {
    **{(part, why): "NA" for part in ("family", "given") for why in Why},
    **{(part, Why.SOUNDS_ALIKE): "NP" for part in ("family", "given")},
    **{("birth", why): "DB" for why in Why},
}
"""QRI-2 by part of the search and how it holds (table 0392, which has codes for these alone)."""
_AS_ASKED: Final = frozenset({Why.SAME, Why.PREFIX})


def write_person(person: Person, identifiers: Sequence[PatientIdentifier]) -> str:
    """
    PID of one person.

    Args:
        identifiers: PID-3, those of one domain next to one another.
    """
    golden = person.golden
    known = [part for part in NAMES if part in golden] or [part for part in (PSEUDONYM,) if part in golden]
    names = [_xpn(golden[part].value) for part in known]
    fields = {
        3: "~".join(map(write_cx, identifiers)),
        5: "~".join(names) or "^^^^^^U",
        6: _of(golden, "mother_birth_name", "^^^^^^M"),
        7: str(golden["birth_date"].value).replace("-", "") if "birth_date" in golden else "",
        8: _of(golden, "sex"),
        11: _addresses(golden),
        13: _telecoms(golden),
        24: {True: "Y", False: "N"}.get(_value(golden, "multiple_birth"), ""),
        25: str(_value(golden, "birth_order") or ""),
        32: DOUBTFUL if person.doubtful else "",
    }
    return "|".join(["PID", *(fields.get(number, "") for number in range(1, 33))]).rstrip("|")


def write_likeness(found: Found) -> str:
    """QRI of one who was not found exactly as asked: likeness, and what agrees; empty for the others."""
    if all(why in _AS_ASKED for why in found.why.values()):
        return ""
    reasons = {REASONS[part, why] for part, why in found.why.items() if (part, why) in REASONS}
    return f"QRI|{found.likeness:.2f}|{'~'.join(sorted(reasons))}".rstrip("|")


def _value(golden: Mapping[str, GoldenField], name: str) -> Any:
    return golden[name].value if name in golden else None


def _of(golden: Mapping[str, GoldenField], name: str, rest: str = "") -> str:
    text = _value(golden, name)
    return f"{escape(str(text))}{rest}" if text else ""


def _xpn(name: PersonName) -> str:
    texts = (name.family, name.given, name.given_list, name.suffix, name.prefix)
    return "^".join((*map(escape, texts), "", name.use.value))


def _addresses(golden: Mapping[str, GoldenField]) -> str:
    """The home (H), and the place of birth (BDL) with its code in XAD-9."""
    street, city, postal_code, country = (
        _of(golden, name) for name in ("address", "city", "postal_code", "country")
    )
    written = []
    if street or city or postal_code or country:
        written.append(f"{street}^^{city}^^{postal_code}^{country}^H")
    place, code = _of(golden, "birth_place"), _of(golden, "birth_place_code")
    if place or code:
        written.append(f"^^{place}^^^^BDL^^{code}".rstrip("^"))
    return "~".join(written)


def _telecoms(golden: Mapping[str, GoldenField]) -> str:
    """Telephone numbers in XTN-1 and XTN-12, where old and new readers look, and mail addresses in XTN-4."""
    numbers = map(escape, _value(golden, "phones") or ())
    boxes = map(escape, _value(golden, "emails") or ())
    return "~".join(
        (
            *(f"{number}^PRN^PH^^^^^^^^^{number}" for number in numbers),
            *(f"^NET^Internet^{box}" for box in boxes),
        )
    )
