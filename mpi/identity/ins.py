"""
The French national health identity: matricule INS (NIR or NIA), its key, its OIDs, and the RNIV statuses.

Source: standards read for this project: PAM-FR 2.11 (PID-3, PID-32), Annex N 1.8.1 (OIDs), CNAM's public
NIR validator (structure), RNIV (statuses and attributes).
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from mpi.identity.model import PartialDate

INS_NIR_OID = "1.2.250.1.213.1.4.8"
INS_NIA_OID = "1.2.250.1.213.1.4.9"
INS_TEST_OID = "1.2.250.1.213.1.4.10"
INS_DEMO_OID = "1.2.250.1.213.1.4.11"
INS_OIDS = frozenset({INS_NIR_OID, INS_NIA_OID, INS_TEST_OID, INS_DEMO_OID})
"""The same OID .8 also issues the insurance number (CX-5 `NH`), which is not an INS."""

_MATRICULE = re.compile(
    r"(?P<sex>[12])"
    r"(?P<year>\d{2})"
    r"(?P<month>0[1-9]|1[0-2]|[2-9]\d)"  # 20-99: month unknown
    r"(?P<place>(?:\d{2}|2[AB])\d{3})"
    r"(?P<rank>\d{3})"
    r"(?P<key>\d{2})?",
)


class InvalidMatricule(ValueError):
    """The text is not a NIR or NIA. The message says what is wrong, never the number."""


@dataclass(frozen=True, slots=True)
class Matricule:
    """
    A NIR or NIA: 13 characters and their key, with the traits it embeds.

    The embedded traits may legitimately differ from the civil ones (pseudo-months, a later
    rectified birth date): a difference is a warning, never a reason to refuse.
    """

    body: str
    key: str

    @property
    def value(self) -> str:
        """The 15 characters as they travel in CX-1."""
        return self.body + self.key

    @property
    def sex(self) -> str:
        """`M` or `F`."""
        return "M" if self.body[0] == "1" else "F"

    @property
    def birth_year_in_century(self) -> int:
        """00-99; the century is not in the number."""
        return int(self.body[1:3])

    @property
    def birth_month(self) -> int | None:
        """1-12, or None for the pseudo-months 20-99."""
        month = int(self.body[3:5])
        return month if month <= 12 else None

    @property
    def birth_place(self) -> str:
        """INSEE code of the commune (or 99 and the country) at birth; 97 and 98 carry three digits of department."""
        return self.body[5:10]

    @property
    def rank(self) -> int:
        """Order of registration in that place and month; consecutive for twins."""
        return int(self.body[10:13])


def matricule_key(body: str) -> str:
    """
    Compute the two-digit key of a 13-character NIR or NIA.

    97 - (n mod 97), with 2A read as 19 and 2B as 18.

    Raises:
        InvalidMatricule: the body is not 13 characters of a NIR.
    """
    department = body[5:7].upper()
    text = body[:5] + {"2A": "19", "2B": "18"}.get(department, department) + body[7:]
    if len(text) != 13 or not (text.isascii() and text.isdigit()):
        raise InvalidMatricule("expected 13 characters: digits, 2A or 2B")
    return f"{97 - int(text) % 97:02d}"


def matricule_text(text: str) -> str:
    """A matricule as it is compared: no spaces, capital letters. What is no matricule is not refused."""
    return "".join(text.split()).upper()


def parse_matricule(text: str) -> Matricule:
    """
    Read an INS matricule: 13 characters and a key, spaces allowed.

    Raises:
        InvalidMatricule: not the structure of a NIR or NIA, no key, or a wrong key.

    Source: CNAM nir-validation; months 01-12 and 20-99; departments 2A, 2B, 97x, 98x, 99.
    """
    compact = matricule_text(text)
    match = _MATRICULE.fullmatch(compact)
    if match is None:
        raise InvalidMatricule("not the structure of a NIR or NIA")
    if match["key"] is None:
        raise InvalidMatricule("the two-digit key is missing")
    if match["place"].startswith("00") or match["rank"] == "000":
        raise InvalidMatricule("impossible place or rank")
    body = compact[:13]
    if matricule_key(body) != match["key"]:
        raise InvalidMatricule("the key does not match")
    return Matricule(body, match["key"])


def embedded_differences(
    matricule: Matricule, *, sex: str, birth_date: PartialDate | None
) -> tuple[str, ...]:
    """
    Name the traits that a matricule embeds and an identity states otherwise: never a reason to refuse.

    What is not stated, the century, and a pseudo-month are unknown, and unknown is no difference.
    """
    differences = []
    if sex in ("M", "F") and sex != matricule.sex:
        differences.append("sex")
    if birth_date is not None:
        if birth_date.year % 100 != matricule.birth_year_in_century:
            differences.append("birth year")
        if (
            None not in (birth_date.month, matricule.birth_month)
            and birth_date.month != matricule.birth_month
        ):
            differences.append("birth month")
    return tuple(differences)


class IdentityStatus(StrEnum):
    """
    RNIV confidence status of an identity.

    `récupérée` has no code in PAM-FR: it travels as PROV and its INS must not travel, so a
    receiver only ever derives the other three from a message.
    """

    PROVISIONAL = "PROV"
    RETRIEVED = "RECUP"
    VALIDATED = "VALI"
    QUALIFIED = "QUAL"


class IdentityAttribute(StrEnum):
    """RNIV attributes and the confidentiality and anomaly codes of PID-32 (table 0445, France)."""

    HOMONYM = "HOMA"
    HOMONYM_SUSPECTED = "HOMD"
    DOUBTFUL = "DOUT"
    FICTITIOUS = "FICT"
    ANONYMOUS = "ANOM"
    HIDDEN = "CACH"
    COLLISION_SUSPECTED = "COLP"
    COLLISION = "COLV"
    USURPED = "USUR"
    DUPLICATE = "DOUB"
    DUPLICATE_SUSPECTED = "DPOT"
    DUPLICATE_PROVEN = "DOUA"
    DEACTIVATED = "DESA"
    INVALIDATED = "INVA"


NEVER_ANSWERED = frozenset({IdentityAttribute.ANONYMOUS, IdentityAttribute.HIDDEN})
"""Legal anonymity and hidden identities: never linked across domains, never in an answer."""

NEVER_LINKED_AUTOMATICALLY = NEVER_ANSWERED | {
    IdentityAttribute.DOUBTFUL,
    IdentityAttribute.FICTITIOUS,
    IdentityAttribute.COLLISION_SUSPECTED,
    IdentityAttribute.COLLISION,
    IdentityAttribute.USURPED,
}


def status_from_pid_32(
    codes: tuple[str, ...], *, has_ins: bool
) -> tuple[IdentityStatus, frozenset[IdentityAttribute]]:
    """
    Read PID-32: the status, and the attributes beside it.

    Qualified has no code of its own: it is VALI together with an INS in PID-3. No code at
    all, `VIDE` and `PROV` are provisional; a doubtful or fictitious identity is always
    provisional, whatever else was sent (EXI SI 09). Codes are read in any case, so that nobody
    is shown because a sender wrote `cach`; unknown ones are ignored.

    Source: PAM-FR 2.11, table 0445 as specialised by IHE France.
    """
    known = {attribute.value for attribute in IdentityAttribute}
    stated = {code.strip().upper() for code in codes}
    attributes = frozenset(IdentityAttribute(code) for code in stated & known)
    if {IdentityAttribute.DOUBTFUL, IdentityAttribute.FICTITIOUS} & attributes or "VALI" not in stated:
        return IdentityStatus.PROVISIONAL, attributes
    return (IdentityStatus.QUALIFIED if has_ins else IdentityStatus.VALIDATED), attributes
