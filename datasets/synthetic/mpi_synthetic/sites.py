"""
The sites: what each one sends, and its habits.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from string import ascii_uppercase

from mpi.identity.model import AssigningAuthority

OID_ROOT = "2.999.1"


class Feed(StrEnum):
    """What a site sends."""

    PAM_FR = "pam-fr"
    ITI_8 = "iti-8"
    DICOM = "dicom"


@dataclass(frozen=True, slots=True)
class Site:
    """
    One site and its habits. Shares are probabilities per record.

    Args:
        charset: HL7 table 0211 name, or DICOM defined term.
        family_length: characters its database keeps; 0 for all.
        used_first: sends the name in use before the birth name.
        used_name: share of known names in use that it states at all.
        used_as_birth_factor: scales the profile's rate of names in use typed as birth names.
        given_list: share of records with every birth given name.
        place_code, place_text: birth place as an INSEE code, as free text.
        present_code: scales the profile's rate of codes of today for a birth under another one.
        validated: share of identities without INS that are validated.
        typo_factor: scales every error rate of the profile.
        number: format of its patient numbers; two sites use bare numbers, which collide.
        in_use_in_header: share of its DICOM headers that show the name in use.
        issuer_in_header: share of its DICOM headers that name the issuer.
    """

    letter: str
    index: int
    feed: Feed
    charset: str
    header_charset: str = "ISO_IR 100"
    title_case: bool = False
    accents: bool = False
    hyphen: str = "-"
    abbreviates: bool = False
    family_length: int = 0
    given_length: int = 0
    used_first: bool = False
    used_name: float = 0.9
    used_as_birth_factor: float = 1.0
    given_list: float = 0.0
    place_code: float = 0.9
    place_text: float = 0.0
    present_code: float = 1.0
    ins: float = 0.0
    validated: float = 0.5
    address: float = 0.9
    phone: float = 0.8
    dummy_phone: float = 0.0
    email: float = 0.3
    mother: float = 0.05
    birth_order: float = 0.7
    partial_dates: bool = True
    typo_factor: float = 1.0
    number: str = "{}"
    in_use_in_header: float = 0.5
    issuer_in_header: float = 0.5

    @property
    def namespace(self) -> str:
        """CX-4.1."""
        return f"SITE-{self.letter}"

    @property
    def authority(self) -> AssigningAuthority:
        """Who issues its patient numbers."""
        return AssigningAuthority(self.namespace, f"{OID_ROOT}.{self.index}", "ISO")

    @property
    def application(self) -> str:
        """MSH-3."""
        return f"RIS_{self.letter}"

    @property
    def facility(self) -> str:
        """MSH-4."""
        return f"SITE_{self.letter}"


_HABITS = (
    Site(
        "A", 1, Feed.PAM_FR, "8859/15",
        accents=True, used_first=True, used_name=0.95, used_as_birth_factor=0.4, given_list=0.8, place_code=0.95,
        present_code=0.2, ins=0.65, validated=0.6, address=0.95, phone=0.9, email=0.4, mother=0.1, typo_factor=0.8,
        number="A{}",
    ),
    Site(
        "B", 2, Feed.PAM_FR, "8859/1",
        hyphen=" ", abbreviates=True, family_length=20, given_length=15, used_name=0.8, given_list=0.3,
        place_code=0.75, present_code=2.0, ins=0.4, validated=0.35, address=0.85, phone=0.75,
        dummy_phone=0.03, email=0.15,
    ),
    Site(
        "C", 3, Feed.ITI_8, "UNICODE UTF-8", header_charset="ISO_IR 192",
        title_case=True, accents=True, used_first=True, used_name=0.85, used_as_birth_factor=1.3, place_code=0.4,
        place_text=0.5, ins=0.15, address=0.9, phone=0.8, email=0.5, birth_order=0.3, partial_dates=False,
        typo_factor=1.2, number="C-{:06d}",
    ),
    Site(
        "D", 4, Feed.DICOM, "ISO_IR 100",
        hyphen=" ", abbreviates=True, family_length=24, used_as_birth_factor=0.0, place_code=0.0, ins=0.12,
        address=0.0, phone=0.05, email=0.0, birth_order=0.0, partial_dates=False, typo_factor=1.4,
    ),
)  # fmt: skip


def default_sites(count: int) -> tuple[Site, ...]:
    """
    Four sites with habits of their own, then more of the first three kinds.

    Raises:
        ValueError: no site at all.
    """
    if count < 1:
        raise ValueError("a federation needs one site or more")
    more = (
        replace(
            _HABITS[index % 3],
            letter=_letter(index),
            index=index + 1,
            number=_letter(index) + "{}",
            typo_factor=round(_HABITS[index % 3].typo_factor * (0.8 + 0.2 * (index % 4)), 2),
        )
        for index in range(4, count)
    )
    return _HABITS[:count] + tuple(more)


def _letter(index: int) -> str:
    return ascii_uppercase[index] if index < 26 else _letter(index // 26 - 1) + ascii_uppercase[index % 26]
