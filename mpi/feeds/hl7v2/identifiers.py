"""
CX lists (PID-3, MRG-1): which identifiers are the sender's own, which are the nation's, which are others'.

Repetitions are an unordered set: nothing here reads the first one as "the" identifier.

Source: IHE ITI TF-2 appendix N (CX, HD); ITI-8 (completion by the manager's configuration);
PAM-FR 2.11 PID-3; Annex N 1.8.1 (OIDs).
"""

from dataclasses import dataclass
from typing import Final

from mpi.errors import InvalidIdentity, MpiError, UnknownAuthority
from mpi.feeds.hl7v2 import problems
from mpi.feeds.hl7v2.er7 import Repetition, Segment
from mpi.identity.domains import Domain, is_national, national_type
from mpi.identity.model import AssigningAuthority, PatientIdentifier, RecordKey
from mpi.index.parties import Directory, PatientIdentitySource, Quirk

PATIENT_TYPES: Final = frozenset({"", "PI", "MR"})
"""CX-5 codes whose authority, when missing, is the sender's own."""
_NEVER_OWN: Final = frozenset({"INS", "INS-C", "NH", "SS", "NDP", "PPN", "NNFRA", "RRI", "PN"})
"""CX-5 codes of numbers that are not a site's to give, whatever quirk it has."""
_NOT_OF_A_PATIENT: Final = frozenset({"AN", "VN"})
"""Account and visit numbers, sometimes found in PID-3."""


@dataclass(frozen=True, slots=True)
class LocalIdentifier:
    """
    An identifier of a configured domain, its authority completed.

    Args:
        repetition: where in its list it stands, from 1.
    """

    identifier: PatientIdentifier
    domain: str
    repetition: int

    @property
    def key(self) -> RecordKey:
        """The record it names."""
        return RecordKey(self.domain, self.identifier.value)


@dataclass(frozen=True, slots=True)
class StatedIdentifiers:
    """
    One CX list, sorted out.

    Args:
        place: the field it stands in.
        own: of the domains the source feeds, without duplicates, in order.
        foreign: of the other domains, without duplicates, in order.
        national: INS, as sent, each with its repetition.
        others: insurance numbers and identifiers of other domains, as sent.
        withdrawn_ins: an INS repetition carries `""`.
        unknown: authorities nobody configured, or incomplete ones.
        warnings: places and problems of what was left aside.
    """

    place: str
    own: tuple[LocalIdentifier, ...]
    foreign: tuple[LocalIdentifier, ...]
    national: tuple[tuple[int, PatientIdentifier], ...]
    others: tuple[PatientIdentifier, ...]
    withdrawn_ins: bool
    unknown: tuple[UnknownAuthority, ...]
    warnings: tuple[str, ...]

    @property
    def why_none_is_own(self) -> MpiError:
        """What to tell a sender whose list has no own identifier and needs one."""
        if self.unknown:
            return self.unknown[0]
        if self.foreign:
            return problems.SenderNotPermitted(
                f"{self.place}^{self.foreign[0].repetition}^4",
                "this source may not state identities for that domain",
            )
        stated = self.national or self.others
        return InvalidIdentity(self.place, problems.NO_OWN_IDENTIFIER if stated else problems.REQUIRED)


def read_authority(cx: Repetition) -> AssigningAuthority:
    """Read CX-4 as it stands; dangling empty subcomponents are tolerated."""
    return AssigningAuthority(cx.value(4, 1).strip(), cx.value(4, 2).strip(), cx.value(4, 3).strip())


def read_identifiers(
    segment: Segment,
    field: int,
    *,
    source: PatientIdentitySource,
    directory: Directory,
    ins_is_enough: bool = False,
) -> StatedIdentifiers:
    """
    Sort a CX list of which at least one identifier is the source's own.

    An unknown authority beside an own identifier is a warning: receivers do not fail on what
    they have no use for. Alone, it is the error.

    Args:
        ins_is_enough: an INS may stand alone.

    Raises:
        InvalidIdentity: no identifier at all, or none that names the patient to this source.
        UnknownAuthority: an authority is unknown or incomplete, and no own identifier is there.
        SenderNotPermitted: the domain is known, the source does not feed it, and no own identifier
            is there.
    """
    found = sort_identifiers(segment, field, source=source, directory=directory)
    if not found.own and not (ins_is_enough and found.national):
        raise found.why_none_is_own
    return found


def sort_identifiers(
    segment: Segment, field: int, *, source: PatientIdentitySource, directory: Directory, sequence: int = 1
) -> StatedIdentifiers:
    """
    Sort a CX list into own, foreign, national and other identifiers, whichever are there.

    A national number that is neither INS nor NH (the insured parent's, `SS`) is of an authority as
    good as unknown.

    Args:
        sequence: which segment of that name it is, from 1.
    """
    own: dict[RecordKey, LocalIdentifier] = {}
    foreign: dict[RecordKey, LocalIdentifier] = {}
    national: list[tuple[int, PatientIdentifier]] = []
    others: list[PatientIdentifier] = []
    withdrawn_ins = False
    unknown: list[UnknownAuthority] = []
    warnings: list[str] = []
    for number, cx in enumerate(segment.repetitions(field), start=1):
        place = f"{segment.name}^{sequence}^{field}^{number}"
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
            complete = PatientIdentifier(identifier.value, domain.authority, identifier.type_code)
            local = LocalIdentifier(complete, domain.key, number)
            if directory.fed_by(source, domain):
                own.setdefault(local.key, local)
            else:
                foreign.setdefault(local.key, local)
                others.append(identifier)
    return StatedIdentifiers(
        f"{segment.name}^{sequence}^{field}",
        tuple(own.values()),
        tuple(foreign.values()),
        tuple(national),
        tuple(others),
        withdrawn_ins,
        tuple(unknown),
        (*warnings, *(f"{error.place}: {error.problem}" for error in unknown)),
    )


def _domain_of(
    identifier: PatientIdentifier, *, source: PatientIdentitySource, directory: Directory, place: str
) -> Domain:
    is_of_a_patient = identifier.type_code in PATIENT_TYPES or (
        Quirk.MISSING_CX_4 in source.quirks and identifier.type_code not in _NEVER_OWN
    )
    if identifier.authority == AssigningAuthority() and is_of_a_patient:
        return directory.domains.by_key(source.feeds[0])
    if is_national(identifier.authority):
        raise UnknownAuthority(place, problems.NEITHER_INS_NOR_NH)
    return directory.domains.resolve(identifier.authority, place=place)
