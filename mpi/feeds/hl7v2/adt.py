"""
ADT messages to instructions: who a person is, and which identifier a source retires.

Source: IHE ITI-8 (HL7 v2.3.1), ITI-30 (HL7 v2.5); PAM-FR 2.11; IHE ITI TF-2 appendix C (MSH).
"""

from typing import Final

from mpi.errors import InvalidIdentity, UnsupportedMessage
from mpi.feeds.hl7v2 import problems
from mpi.feeds.hl7v2.er7 import Message, Segment
from mpi.feeds.hl7v2.identifiers import read_identifiers
from mpi.feeds.hl7v2.pid import one_segment, read_event_time, read_source_records, refuse_unusable_text
from mpi.index.events import IdentifiersMerged, IdentityStated, Instruction
from mpi.index.parties import Directory, PatientIdentitySource

STATEMENTS: Final = frozenset({"A01", "A04", "A05", "A08", "A28", "A31"})
MERGE: Final = "A40"
VERSIONS: Final = frozenset({"", "2.3", "2.3.1", "2.4", "2.5", "2.5.1"})
"""MSH-12, first component; some senders leave it blank."""


def check_header(msh: Segment, *, events: frozenset[str]) -> None:
    """
    Refuse a version, processing id or event nobody here reads, and a message without a control id.

    Args:
        events: the trigger events taken for this message type, which the caller has checked.

    Raises:
        UnsupportedMessage: at MSH-9.2, MSH-11 or MSH-12.
        InvalidIdentity: MSH-10 is missing.
    """
    if msh.value(9, 2) not in events:
        raise UnsupportedMessage("MSH^1^9^1^2", "unsupported event")
    if msh.value(11) not in ("P", "T", "D"):
        raise UnsupportedMessage("MSH^1^11", "unsupported processing id")
    if msh.value(12) not in VERSIONS:
        raise UnsupportedMessage("MSH^1^12", "unsupported version")
    if not msh.field(10) or msh.is_null(10):
        raise InvalidIdentity("MSH^1^10", problems.REQUIRED)


def read_instruction(
    message: Message, *, source: PatientIdentitySource | None, directory: Directory
) -> Instruction:
    """
    Read what a message asks of the index.

    Args:
        source: who sent it, or None when the configuration does not know the sender.

    Raises:
        UnsupportedMessage: a type, event, processing id or version this index does not take.
        InvalidIdentity, UnknownAuthority: the identity, or the merge, cannot be used.
        SenderNotPermitted: the sender is not configured, or does not feed the domain.
    """
    msh = message.msh
    if msh.value(9, 1) != "ADT":
        raise UnsupportedMessage("MSH^1^9^1^1", "unsupported message type")
    check_header(msh, events=STATEMENTS | {MERGE})
    if source is None:
        raise problems.SenderNotPermitted("MSH^1^3", "this application and facility may not state identities")
    if msh.value(9, 2) == MERGE:
        return _merge(message, source=source, directory=directory)
    warnings = []
    if msh.value(9, 2) == "A08" and msh.value(12, 2) == "FRA":
        warnings.append("MSH^1^9^1^2: A08 is not of this profile, which updates with A31")
    return IdentityStated(read_source_records(message, source=source, directory=directory, warnings=warnings))


def _merge(message: Message, *, source: PatientIdentitySource, directory: Directory) -> IdentifiersMerged:
    """
    Read an A40: MRG-1 is retired in favour of PID-3. Its demographics are not read.

    Source: HL7 v2.5 section 3.3.40; ITI-8 3.8.4.2; one pair per message.
    """
    pid = one_segment(message, "PID", several=problems.ONE_MERGE)
    mrg = one_segment(message, "MRG", several=problems.ONE_MERGE)
    refuse_unusable_text(pid)
    refuse_unusable_text(mrg)
    kept = read_identifiers(pid, 3, source=source, directory=directory)
    retiring = read_identifiers(mrg, 1, source=source, directory=directory)
    survivors, subsumed = kept.own, retiring.own
    if len(subsumed) > 1:
        raise InvalidIdentity("MRG^1^1", problems.SEVERAL_SUBSUMED)
    retired = subsumed[0]
    same_domain = [own for own in survivors if own.domain == retired.domain]
    if not same_domain:
        raise InvalidIdentity("MRG^1^1^1^4", problems.CROSS_DOMAIN)
    if len(same_domain) > 1:
        raise InvalidIdentity("PID^1^3", problems.SEVERAL_SURVIVORS)
    survivor = same_domain[0]
    if survivor.identifier.value == retired.identifier.value:
        raise InvalidIdentity("MRG^1^1", problems.SELF_MERGE)
    return IdentifiersMerged(
        survivor=survivor.identifier,
        subsumed=retired.identifier,
        domain=retired.domain,
        event_time=read_event_time(message),
        source=source.name,
        warnings=kept.warnings + retiring.warnings,
    )
