"""
Messages about identifiers: merged, renamed, linked or unlinked, and visits moved from one to another.

The demographics beside them are not read. The exception is French: an INS that is withdrawn or
replaced travels as an A47, and is a statement about a person, never a renamed record.

Source: HL7 v2.5 chapter 3 (A24, A37, A40, A43 to A45, A47); IHE ITI-8, ITI-30, ITI-31; PAM-FR 2.11
section 4 (A47 and INS).
"""

from collections.abc import Set
from dataclasses import replace
from typing import Final

from mpi.errors import InvalidIdentity
from mpi.feeds.hl7v2 import problems
from mpi.feeds.hl7v2.er7 import Message, Segment
from mpi.feeds.hl7v2.identifiers import (
    LocalIdentifier,
    StatedIdentifiers,
    read_identifiers,
    sort_identifiers,
)
from mpi.feeds.hl7v2.pid import one_segment, read_event_time, read_identity, refuse_unusable_text
from mpi.identity.domains import ins_oid
from mpi.identity.model import RecordKey
from mpi.index.events import IdentifiersLinked, IdentifiersMerged, IdentityStated, PatientMoved
from mpi.index.parties import Directory, PatientIdentitySource

MERGE: Final = "A40"
CHANGE: Final = "A47"
LINK: Final = "A24"
UNLINK: Final = "A37"
MOVES: Final = frozenset({"A43", "A44", "A45"})
_MOVED_VISITS: Final = "A45"


def read_merge(message: Message, *, source: PatientIdentitySource, directory: Directory) -> IdentifiersMerged:
    """
    Read an A40: MRG-1 is retired in favour of PID-3.

    Raises:
        InvalidIdentity: not one identifier and another of its domain, or several pairs.
        UnknownAuthority, SenderNotPermitted: see `read_identifiers`.

    Source: HL7 v2.5 section 3.3.40; ITI-8 3.8.4.2; one pair per message.
    """
    pid, mrg = _pid_and_mrg(message)
    kept = read_identifiers(pid, 3, source=source, directory=directory)
    retiring = read_identifiers(mrg, 1, source=source, directory=directory)
    return _merged(message, kept, retiring, source=source, renamed=False)


def read_change(
    message: Message, *, source: PatientIdentitySource, directory: Directory
) -> IdentifiersMerged | IdentityStated:
    """
    Read an A47: one identifier of a record becomes another, or an INS is withdrawn or replaced.

    PID-3 may also list identifiers that do not change.

    Raises:
        InvalidIdentity: not one identifier and its successor, both kinds of change in one message,
            or neither a new INS nor its withdrawal; and whatever `read_identity` refuses.
        UnknownAuthority, SenderNotPermitted: see `read_identifiers`.

    Source: ITI-30 (A47); PAM-FR 2.11 section 4.
    """
    pid, mrg = _pid_and_mrg(message)
    kept = read_identifiers(pid, 3, source=source, directory=directory)
    changing = read_identifiers(mrg, 1, source=source, directory=directory, ins_is_enough=True)
    local = changing.own + changing.foreign
    if local and (changing.national or kept.withdrawn_ins):
        raise InvalidIdentity("MRG^1^1", problems.ONE_CHANGE)
    if len(local) > 1:
        raise InvalidIdentity("MRG^1^1", problems.SEVERAL_SUBSUMED)
    if local:
        return _merged(message, kept, changing, source=source, renamed=True)
    _check_ins_change(kept, changing)
    stated = read_identity(
        message, source=source, directory=directory, warnings=changing.warnings, withdraws_ins=True
    )
    replaced = tuple("".join(ins.value.split()).upper() for _, ins in changing.national)
    return replace(stated, records=tuple(replace(one, replaces_ins=replaced) for one in stated.records))


def read_link(message: Message, *, source: PatientIdentitySource, directory: Directory) -> IdentifiersLinked:
    """
    Read an A24 or A37: the identifiers of two PID are one person's, or no longer are.

    Raises:
        InvalidIdentity: not two PID, or a PID without one identifier that can be linked.
        UnknownAuthority: an authority is unknown or incomplete, and nothing else can be linked.
        SenderNotPermitted: the source neither feeds nor may link a domain, or feeds neither of the two.

    Source: HL7 v2.5 sections 3.3.24 and 3.3.37; ITI-30 (Link/Unlink option).
    """
    segments = message.segments("PID")
    if len(segments) < 2:
        raise InvalidIdentity(f"PID^{len(segments) + 1}", problems.SEGMENT_MISSING)
    if len(segments) > 2:
        raise InvalidIdentity("PID^3", problems.ONE_LINK)
    warnings = list(message.warnings)
    left, right = (
        _linkable(pid, sequence, source=source, directory=directory, warnings=warnings)
        for sequence, pid in enumerate(segments, start=1)
    )
    if left.domain not in source.feeds and right.domain not in source.feeds:
        raise problems.SenderNotPermitted("PID^1^3", "this source feeds the domain of neither identifier")
    if left.key == right.key:
        raise InvalidIdentity("PID^2^3", problems.SELF_LINK)
    return IdentifiersLinked(
        left=left.key,
        right=right.key,
        linked=message.msh.value(9, 2) == LINK,
        event_time=read_event_time(message),
        source=source.name,
        warnings=tuple(warnings),
    )


def read_move(message: Message, *, source: PatientIdentitySource, directory: Directory) -> PatientMoved:
    """
    Read an A43, A44 or A45: what was filed under MRG-1 is of the patient of PID-3.

    An identifier that an A43 moves stands in both fields; the others there tell the two patients.
    An A45 repeats MRG for each visit; all of them leave the same patient.

    Raises:
        InvalidIdentity: not one identifier and another of its domain, or several pairs.
        UnknownAuthority, SenderNotPermitted: see `read_identifiers`.

    Source: HL7 v2.5 sections 3.3.43 to 3.3.45; ITI-31 (A44).
    """
    pid, mrg = _pid_and_mrg(message, mrg_repeats=message.msh.value(9, 2) == _MOVED_VISITS)
    kept = read_identifiers(pid, 3, source=source, directory=directory)
    leaving = read_identifiers(mrg, 1, source=source, directory=directory)
    moved = {own.key for own in kept.own} & {own.key for own in leaving.own}
    to, origin = _pair(_without(moved, kept), _without(moved, leaving))
    return PatientMoved(
        to=to.key,
        origin=origin.key,
        event_time=read_event_time(message),
        source=source.name,
        warnings=message.warnings + kept.warnings + leaving.warnings,
    )


def _pid_and_mrg(message: Message, *, mrg_repeats: bool = False) -> tuple[Segment, Segment]:
    pid = one_segment(message, "PID", several=problems.ONE_PAIR)
    repeated = message.segments("MRG")
    if mrg_repeats and len(repeated) > 1:
        if len({mrg.field(1) for mrg in repeated}) > 1:
            raise InvalidIdentity("MRG^2^1", problems.SEVERAL_ORIGINS)
        mrg = repeated[0]
    else:
        mrg = one_segment(message, "MRG", several=problems.ONE_PAIR)
    refuse_unusable_text(pid)
    refuse_unusable_text(mrg)
    return pid, mrg


def _pair(kept: StatedIdentifiers, leaving: StatedIdentifiers) -> tuple[LocalIdentifier, LocalIdentifier]:
    """The one identifier of PID-3 in the domain of the one in MRG-1, and that one."""
    if len(leaving.own) > 1:
        raise InvalidIdentity("MRG^1^1", problems.SEVERAL_SUBSUMED)
    old = leaving.own[0]
    same_domain = [own for own in kept.own if own.domain == old.domain]
    if not same_domain:
        raise InvalidIdentity(f"MRG^1^1^{old.repetition}^4", problems.CROSS_DOMAIN)
    if old.key in [own.key for own in same_domain]:
        raise InvalidIdentity("MRG^1^1", problems.SAME_IDENTIFIER)
    if len(same_domain) > 1:
        raise InvalidIdentity("PID^1^3", problems.SEVERAL_SURVIVORS)
    return same_domain[0], old


def _without(keys: Set[RecordKey], stated: StatedIdentifiers) -> StatedIdentifiers:
    """A list without some of its own identifiers, unless it has no other."""
    return replace(stated, own=tuple(own for own in stated.own if own.key not in keys) or stated.own)


def _merged(
    message: Message,
    kept: StatedIdentifiers,
    retiring: StatedIdentifiers,
    *,
    source: PatientIdentitySource,
    renamed: bool,
) -> IdentifiersMerged:
    survivor, subsumed = _pair(kept, retiring)
    return IdentifiersMerged(
        survivor=survivor.identifier,
        subsumed=subsumed.identifier,
        domain=subsumed.domain,
        event_time=read_event_time(message),
        source=source.name,
        warnings=message.warnings + kept.warnings + retiring.warnings,
        renamed=renamed,
    )


def _check_ins_change(kept: StatedIdentifiers, changing: StatedIdentifiers) -> None:
    """
    Refuse an A47 whose PID-3 does not say what becomes of the INS in MRG-1.

    To take it for a withdrawal would be a guess, and to keep the INS would be another.
    """
    if not (kept.national or kept.withdrawn_ins):
        raise InvalidIdentity("PID^1^3", problems.NO_NEW_INS)
    old, new = (
        {(ins_oid(ins), "".join(ins.value.split()).upper()) for _, ins in stated.national}
        for stated in (changing, kept)
    )
    if old & new:
        raise InvalidIdentity("MRG^1^1", problems.SAME_IDENTIFIER)


def _linkable(
    pid: Segment,
    sequence: int,
    *,
    source: PatientIdentitySource,
    directory: Directory,
    warnings: list[str],
) -> LocalIdentifier:
    """The one identifier of a PID whose domain the source feeds or may link; what is left aside is warned of."""
    refuse_unusable_text(pid, sequence=sequence)
    found = sort_identifiers(pid, 3, source=source, directory=directory, sequence=sequence)
    linkable = [*found.own, *(one for one in found.foreign if one.domain in source.may_link)]
    if len(linkable) > 1:
        raise InvalidIdentity(found.place, problems.SEVERAL_LINKABLE)
    if not linkable:
        if found.unknown:
            raise found.unknown[0]
        if found.foreign:
            raise problems.SenderNotPermitted(
                found.place, "this source may not link identifiers of that domain"
            )
        stated = found.national or found.others
        raise InvalidIdentity(found.place, problems.NOT_LINKABLE if stated else problems.REQUIRED)
    warnings += found.warnings
    return linkable[0]
