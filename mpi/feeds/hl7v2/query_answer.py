"""
What the queries of HL7 v2 have in common: who asks, what may be up to this index, and the shape of an answer.

A domain the consumer may not see is answered like one that does not exist, so that a query cannot
be used to learn which sites know a patient.

Source: HL7 v2.5 chapter 5 (QPD, RCP, QAK, malformed queries); IHE ITI-9, ITI-21.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from mpi.errors import UnknownAuthority
from mpi.feeds.hl7v2.ack import Fault, error_segment, fill_header
from mpi.feeds.hl7v2.er7 import Message, Repetition, Segment, escape, recode
from mpi.feeds.hl7v2.identifiers import read_authority
from mpi.feeds.hl7v2.skeletons import Skeleton
from mpi.feeds.national import accepted_ins_oids
from mpi.identity.domains import INS_TYPE, Domain, ins_oid, national_type
from mpi.identity.model import AssigningAuthority, PatientIdentifier
from mpi.index.parties import Consumer, Directory
from mpi.index.ports import Clock

MAX_TRACE_LENGTH: Final = 199
"""Of MSH-10 and of a query tag in the audit trail: what no version of HL7 exceeds."""


@dataclass(frozen=True, slots=True)
class QueryPolicy:
    """
    What the standards leave to this index when it is asked.

    Args:
        follow_retired: an identifier that was merged away answers for what it became; else it is unknown.
        max_found: when more people would be found, none is named.
        continuation_seconds: how long further pages can be asked for.
        max_continuations: queries with further pages that are remembered for one consumer; the oldest goes first.
    """

    follow_retired: bool = True
    max_found: int = 50
    continuation_seconds: float = 600.0
    max_continuations: int = 100


class Client(NamedTuple):
    """Who asks: a consumer, and the certificate it showed (its fingerprint; empty without)."""

    consumer: str
    certificate: str


@dataclass(frozen=True, slots=True)
class Asked:
    """One query that may be answered, and what answering it takes."""

    message: Message
    qpd: Segment
    consumer: Consumer
    client: Client
    directory: Directory
    clock: Clock

    @property
    def actor(self) -> str:
        """Who asks, in the words of the audit trail."""
        return f"consumer:{self.consumer.name}"

    @property
    def trace(self) -> dict[str, str]:
        """What tells this query from others in the audit trail: MSH-10 and the query tag."""
        return trace_of(self.message.msh, self.qpd.value(2))

    def domain(self, authority: AssigningAuthority, place: str) -> Domain | None:
        """The domain of an authority; None when it is unknown, incomplete, or not for this consumer to see."""
        try:
            domain = self.directory.domains.resolve(authority, place=place)
        except UnknownAuthority:
            return None
        return domain if domain.key in self.consumer.domains else None

    def ins_oid(self, authority: AssigningAuthority) -> str:
        """The OID of the INS that an authority issues and people are looked for by here; empty of any other."""
        number = PatientIdentifier("", authority)
        is_complete = bool(authority.universal_id) == (authority.universal_id_type == "ISO")
        if not is_complete or national_type(number) != INS_TYPE:
            return ""
        accepted = accepted_ins_oids(accept_test_ins=self.directory.accept_test_ins)
        return oid if (oid := ins_oid(number)) in accepted else ""

    def domains(self, number: int) -> frozenset[str] | None:
        """
        The keys of the domains that a repeating CX field of QPD names; None when it names none.

        Raises:
            Refused: one or several are unknown; the query fails as a whole.
        """
        keys = set()
        faults = []
        for repetition, cx in enumerate(self.qpd.repetitions(number), start=1):
            if not _is_valued(cx, self.qpd):
                continue
            place = f"QPD^1^{number}^{repetition}"
            domain = self.domain(read_authority(cx), place)
            if domain is None:
                faults.append(Fault(place, 204))
            else:
                keys.add(domain.key)
        if faults:
            raise Refused(*faults)
        return frozenset(keys) or None


def trace_of(msh: Segment, tag: str) -> dict[str, str]:
    """MSH-10 and the query tag, as the audit trail keeps them: not too long, and without control characters."""
    return {"control_id": _printable(msh.field(10)), "tag": _printable(tag)}


def _printable(text: str) -> str:
    return "".join(filter(str.isprintable, text[:MAX_TRACE_LENGTH]))


def _is_valued(cx: Repetition, qpd: Segment) -> bool:
    return bool(cx.raw.strip(qpd.separators.component + qpd.separators.subcomponent))


class Refused(Exception):
    """
    A query that gets AE, with one or several ERR segments.

    Args:
        audited: the index was asked, and kept the trace.
    """

    def __init__(self, *faults: Fault, audited: bool = False) -> None:
        super().__init__(*faults)
        self.faults = faults
        self.audited = audited


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What a query found.

    Args:
        payload: the segments between QPD and DSC.
        counts: QAK-4 to QAK-6: found, in this answer, still to come; None where the transaction has none.
        continues: DSC-1, when there is more.
        warnings: ERR segments of a query that was answered all the same.
    """

    payload: Sequence[str] = ()
    counts: tuple[int, int, int] | None = None
    continues: str = ""
    warnings: tuple[Fault, ...] = field(default=())

    @property
    def status(self) -> str:
        """QAK-2: OK, or NF when nobody was found by the query at all."""
        is_found = self.counts[0] > 0 if self.counts is not None else bool(self.payload)
        return "OK" if is_found else "NF"


def write_answer(
    asked: tuple[Segment, Segment],
    answer: Answer | tuple[Fault, ...],
    shape: Skeleton,
    *,
    names_query: bool,
    at: datetime,
    own_application: str,
) -> str:
    """
    Write a response: MSH MSA [ERR] QAK QPD, what was found, and DSC.

    Args:
        asked: MSH and QPD of the query.
        answer: what was found, or why it was refused.
        shape: the skeleton of the message.
        names_query: QAK-3 repeats QPD-1.
    """
    msh, qpd = asked
    found = answer if isinstance(answer, Answer) else None
    faults = answer.warnings if isinstance(answer, Answer) else answer
    header = fill_header(
        shape["MSH"], msh, at=at, message_type=shape["MSH"][8], own_application=own_application
    )
    qak = ["QAK", _canonical(qpd, 2), found.status if found else "AE"]
    if names_query:
        qak.append(_canonical(qpd, 1))
    if found and found.counts is not None:
        qak += map(str, found.counts)
    return "\r".join(
        (
            "|".join(header).rstrip("|"),
            f"MSA|{'AA' if found else 'AE'}|{recode(msh.field(10), msh.separators, msh.codec)}",
            *(error_segment(shape["ERR"], fault) for fault in faults),
            "|".join(qak),
            _echo(qpd),
            *(found.payload if found else ()),
            *((f"DSC|{found.continues}|I",) if found and found.continues else ()),
            "",
        )
    )


def _canonical(segment: Segment, number: int) -> str:
    return recode(segment.field(number), segment.separators, segment.codec)


def _echo(qpd: Segment) -> str:
    """QPD as it came, byte for byte; only foreign delimiters are rewritten."""
    return "|".join(recode(text, qpd.separators, qpd.codec) for text in qpd.raw.split(qpd.separators.field))


def write_cx(identifier: PatientIdentifier) -> str:
    """An identifier of this index: its authority is always complete."""
    authority = identifier.authority
    hd = "&".join(map(escape, (authority.namespace, authority.universal_id, authority.universal_id_type)))
    return f"{escape(identifier.value)}^^^{hd}^PI"
