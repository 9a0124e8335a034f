"""
Cross-reference queries: QBP^Q23 in, RSP^K23 out, with the six cases of ITI-9.

A domain the consumer may not see is answered like one that does not exist, so that a query
cannot be used to learn which sites know a patient. Only decided links are ever answered.

Source: IHE ITI-9 (TF-2 3.9.4), HL7 v2.5 chapter 5 (QAK, malformed queries).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Protocol

from mpi.errors import (
    InvalidIdentity,
    MpiError,
    NotPermitted,
    UnknownAuthority,
    UnknownIdentifier,
    UnsupportedMessage,
)
from mpi.feeds.hl7v2 import problems, skeletons
from mpi.feeds.hl7v2.ack import (
    Fault,
    acknowledge,
    answer_of,
    error_segment,
    fault_of,
    fill_header,
    write_acknowledgement,
)
from mpi.feeds.hl7v2.adt import check_header
from mpi.feeds.hl7v2.er7 import Message, Repetition, Segment, escape, recode
from mpi.feeds.hl7v2.identifiers import read_authority
from mpi.identity.domains import Domain
from mpi.identity.model import PatientIdentifier, RecordKey
from mpi.index.parties import ClientCertificate, Consumer, Directory

QUERY_NAME: Final = "IHE PIX Query"
NEUTRAL_NAME: Final = "~^^^^^^S"
"""PID-5 of an answer: required, and saying nothing."""
ID: Final = "QPD^1^3^1^1"
AUTHORITY: Final = "QPD^1^3^1^4"


class CrossReferences(Protocol):
    """The part of the registry that answers queries."""

    def cross_reference(
        self, key: RecordKey, *, targets: frozenset[str] | None, visible: frozenset[str], actor: str
    ) -> tuple[PatientIdentifier, ...]:
        """Every other identifier of the same person, by domain; UnknownIdentifier when never stated."""

    def record_refusal(self, *, actor: str, kind: str, place: str) -> None:
        """Audit a question that was refused before it reached the index."""


class _Refused(Exception):
    """A query that gets AE, with one or several ERR segments."""

    def __init__(self, *faults: Fault, audited: bool = False) -> None:
        super().__init__(*faults)
        self.faults = faults
        self.audited = audited  # the index was asked, and kept the trace


def answer_query(
    message: Message,
    *,
    index: CrossReferences,
    directory: Directory,
    at: datetime,
    certificate: ClientCertificate | None = None,
) -> str:
    """
    Answer one query. A malformed one, or one of another kind, gets a plain acknowledgement.

    Args:
        certificate: what the consumer showed; None where no certificate is asked for. A certificate
            that is another party's is of an unknown consumer.

    Raises:
        StoreError: the index could not be asked, or the audit of the question not be written.
    """
    msh = message.msh
    own = directory.own.namespace
    try:
        check_header(msh, events=frozenset({"Q23"}))
    except (UnsupportedMessage, InvalidIdentity) as error:
        return acknowledge(msh, error, at=at, own_application=own)
    qpd = message.segment("QPD")
    if qpd is None:
        fault = Fault("QPD^1", 100, problems.SEGMENT_MISSING)
        return write_acknowledgement(msh, "AR", fault, at=at, own_application=own)
    try:
        consumer = directory.consumer_of(msh.value(3), msh.value(4))
        if certificate is not None and not directory.proves(certificate, consumer):
            raise NotPermitted("this certificate may not query as this application and facility")
        found = _answer(qpd, consumer, index=index, directory=directory)
    except _Refused as refused:
        if not refused.audited:
            _audit(index, f"consumer:{consumer.name}", refused.faults[0].place)
        return _response(msh, qpd, faults=refused.faults, found=(), at=at, own_application=own)
    except NotPermitted as error:
        _audit(index, "consumer:unknown", "MSH^1^3")
        fault = Fault("MSH^1^3", answer_of(error).code)
        return _response(msh, qpd, faults=(fault,), found=(), at=at, own_application=own)
    except MpiError as error:
        fault = Fault(fault_of(error).place, answer_of(error).code)
        return _response(msh, qpd, faults=(fault,), found=(), at=at, own_application=own)
    return _response(msh, qpd, faults=(), found=found, at=at, own_application=own)


def _audit(index: CrossReferences, actor: str, place: str) -> None:
    index.record_refusal(actor=actor, kind="query.cross_reference", place=place)


def _answer(
    qpd: Segment, consumer: Consumer, *, index: CrossReferences, directory: Directory
) -> tuple[PatientIdentifier, ...]:
    if qpd.value(1) != QUERY_NAME:
        raise _Refused(Fault("QPD^1^1", problems.CODES[problems.NOT_A_PIX_QUERY]))
    asked = qpd.repetitions(3)[:1]
    if not asked:
        raise _Refused(Fault("QPD^1^3", 101))
    value = asked[0].value(1).strip()
    if not value:
        raise _Refused(Fault(ID, 101))
    domain = _visible_domain(asked[0], AUTHORITY, consumer=consumer, directory=directory)
    if domain is None:
        raise _Refused(Fault(AUTHORITY, 204))
    targets = _targets(qpd, consumer=consumer, directory=directory)
    try:
        return index.cross_reference(
            RecordKey(domain.key, value),
            targets=targets,
            visible=consumer.domains,
            actor=f"consumer:{consumer.name}",
        )
    except UnknownIdentifier:
        raise _Refused(Fault(ID, 204), audited=True) from None


def _targets(qpd: Segment, *, consumer: Consumer, directory: Directory) -> frozenset[str] | None:
    """The domains QPD-4 asks for; None when it asks for all. One that is unknown fails the query."""
    keys = set()
    faults = []
    for number, cx in enumerate(qpd.repetitions(4), start=1):
        if not cx.raw.strip(qpd.separators.component + qpd.separators.subcomponent):
            continue
        place = f"QPD^1^4^{number}"
        domain = _visible_domain(cx, place, consumer=consumer, directory=directory)
        if domain is None:
            faults.append(Fault(place, 204))
        else:
            keys.add(domain.key)
    if faults:
        raise _Refused(*faults)
    return frozenset(keys) or None


def _visible_domain(cx: Repetition, place: str, *, consumer: Consumer, directory: Directory) -> Domain | None:
    try:
        domain = directory.domains.resolve(read_authority(cx), place=place)
    except UnknownAuthority:
        return None
    return domain if domain.key in consumer.domains else None


def _response(
    msh: Segment,
    qpd: Segment,
    *,
    faults: Sequence[Fault],
    found: Sequence[PatientIdentifier],
    at: datetime,
    own_application: str,
) -> str:
    shape = skeletons.cross_reference(error=bool(faults), found=bool(found))
    header = fill_header(
        shape["MSH"],
        msh,
        at=at,
        message_type=shape["MSH"][8],
        own_application=own_application,
    )
    status = "AE" if faults else "OK" if found else "NF"
    tag = recode(qpd.field(2), qpd.separators, qpd.codec)
    lines = [
        "|".join(header).rstrip("|"),
        f"MSA|{'AE' if faults else 'AA'}|{recode(msh.field(10), msh.separators, msh.codec)}",
        *(error_segment(shape["ERR"], fault) for fault in faults),
        f"QAK|{tag}|{status}",
        _echo(qpd),
    ]
    if found:
        pid = list(shape["PID"])
        pid[3] = "~".join(map(_cx, found))
        pid[5] = NEUTRAL_NAME
        lines.append("|".join(pid))
    return "\r".join((*lines, ""))


def _echo(qpd: Segment) -> str:
    """QPD as it came, byte for byte; only foreign delimiters are rewritten."""
    fields = qpd.raw.split(qpd.separators.field)
    return "|".join(recode(field, qpd.separators, qpd.codec) for field in fields)


def _cx(identifier: PatientIdentifier) -> str:
    authority = identifier.authority
    hd = "&".join(map(escape, (authority.namespace, authority.universal_id, authority.universal_id_type)))
    return f"{escape(identifier.value)}^^^{hd}^PI"
