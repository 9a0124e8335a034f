"""
CX lists (PID-3, MRG-1): which identifiers are the sender's own, which are the nation's, which are others'.

Repetitions are an unordered set: nothing here reads the first one as "the" identifier.

Source: IHE ITI TF-2 appendix N (CX, HD); ITI-8 (completion by the manager's configuration);
PAM-FR 2.11 PID-3; Annex N 1.8.1 (OIDs).
"""

from dataclasses import dataclass
from typing import Final

from mpi.errors import InvalidIdentity, UnknownAuthority
from mpi.feeds.hl7v2 import problems
from mpi.feeds.hl7v2.er7 import Repetition, Segment
from mpi.identity.domains import Domain, is_national, national_type
from mpi.identity.model import AssigningAuthority, PatientIdentifier
from mpi.index.parties import Directory, PatientIdentitySource

PATIENT_TYPES: Final = frozenset({"", "PI", "MR"})
"""CX-5 codes whose authority, when missing, is the sender's own."""
_NOT_OF_A_PATIENT: Final = frozenset({"AN", "VN"})
"""Account and visit numbers, sometimes found in PID-3."""


@dataclass(frozen=True, slots=True)
class OwnIdentifier:
    """An identifier of a domain the source feeds, its authority completed."""

    identifier: PatientIdentifier
    domain: str


@dataclass(frozen=True, slots=True)
class StatedIdentifiers:
    """
    One CX list, sorted out.

    Args:
        own: without duplicates, in order.
        national: INS, as sent.
        others: insurance numbers and identifiers of other domains, as sent.
        withdrawn_ins: an INS repetition carries `""`.
        warnings: places and problems of what was left aside.
    """

    own: tuple[OwnIdentifier, ...]
    national: tuple[tuple[int, PatientIdentifier], ...]
    others: tuple[PatientIdentifier, ...]
    withdrawn_ins: bool
    warnings: tuple[str, ...]


def read_authority(cx: Repetition) -> AssigningAuthority:
    """Read CX-4 as it stands; dangling empty subcomponents are tolerated."""
    return AssigningAuthority(cx.value(4, 1).strip(), cx.value(4, 2).strip(), cx.value(4, 3).strip())


def read_identifiers(
    segment: Segment, field: int, *, source: PatientIdentitySource, directory: Directory
) -> StatedIdentifiers:
    """
    Sort a CX list into own, national and other identifiers; at least one is the source's own.

    An unknown authority beside an own identifier is a warning: receivers do not fail on what
    they have no use for. Alone, it is the error. A national number that is neither INS nor NH
    (the insured parent's, `SS`) is of an authority as good as unknown.

    Raises:
        InvalidIdentity: no identifier at all, or none that names the patient to this source.
        UnknownAuthority: an authority is unknown or incomplete, and no own identifier is there.
        SenderNotPermitted: the domain is known, the source does not feed it, and no own identifier
            is there.
    """
    own: dict[tuple[str, str], OwnIdentifier] = {}
    national: list[tuple[int, PatientIdentifier]] = []
    others: list[PatientIdentifier] = []
    withdrawn_ins = False
    unknown: list[UnknownAuthority] = []
    foreign_place = ""
    warnings: list[str] = []
    for number, cx in enumerate(segment.repetitions(field), start=1):
        place = f"{segment.name}^1^{field}^{number}"
        identifier = PatientIdentifier(cx.value(1).strip(), read_authority(cx), cx.value(5).strip())
        kind = national_type(identifier, bare_oid="")
        if not identifier.value:
            if cx.is_null(1) and kind == "INS":
                withdrawn_ins = True
            elif cx.raw.strip(segment.separators.component):
                warnings.append(f"{place}^1: no identifier")
        elif kind == "INS":
            national.append((number, identifier))
        elif kind:
            others.append(identifier)
        elif identifier.type_code in _NOT_OF_A_PATIENT:
            warnings.append(f"{place}^5: an account or visit number names no patient")
        else:
            try:
                domain = _domain_of(identifier, source=source, directory=directory, place=f"{place}^4")
            except UnknownAuthority as error:
                unknown.append(error)
                if not is_national(identifier.authority):  # somebody else's NIR is not kept
                    others.append(identifier)
                continue
            if directory.fed_by(source, domain):
                complete = PatientIdentifier(identifier.value, domain.authority, identifier.type_code)
                own.setdefault((domain.key, identifier.value), OwnIdentifier(complete, domain.key))
            else:
                foreign_place = foreign_place or f"{place}^4"
                others.append(identifier)
    if not own:
        if unknown:
            raise unknown[0]
        if foreign_place:
            raise problems.SenderNotPermitted(
                foreign_place, "this source may not state identities for that domain"
            )
        problem = problems.NO_OWN_IDENTIFIER if national or others else problems.REQUIRED
        raise InvalidIdentity(f"{segment.name}^1^{field}", problem)
    warnings += [f"{error.place}: {error.problem}" for error in unknown]
    return StatedIdentifiers(
        tuple(own.values()), tuple(national), tuple(others), withdrawn_ins, tuple(warnings)
    )


def _domain_of(
    identifier: PatientIdentifier, *, source: PatientIdentitySource, directory: Directory, place: str
) -> Domain:
    if identifier.authority == AssigningAuthority() and identifier.type_code in PATIENT_TYPES:
        return directory.domains.by_key(source.feeds[0])
    if is_national(identifier.authority):
        raise UnknownAuthority(place, problems.NEITHER_INS_NOR_NH)
    return directory.domains.resolve(identifier.authority, place=place)
