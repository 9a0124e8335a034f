"""
Queries: who may ask, which transaction it is, and the answer or the refusal, in the shape of that transaction.

A query leaves its trace in the audit trail whether or not it is answered; it is not journalled, for
it changes nothing.

Source: HL7 v2.5 chapter 5; IHE ITI-9 (QBP^Q23), ITI-21 (QBP^Q22, QCN^J01); IHE ITI TF-2 appendix C.
"""

from collections.abc import Mapping
from typing import Final, Protocol

import structlog

from mpi.errors import InvalidIdentity, MpiError, NotPermitted, UnsupportedMessage
from mpi.feeds.hl7v2 import problems, skeletons
from mpi.feeds.hl7v2.ack import Fault, acknowledge, answer_of, fault_of, write_acknowledgement
from mpi.feeds.hl7v2.adt import check_header
from mpi.feeds.hl7v2.continuation import Continuations
from mpi.feeds.hl7v2.er7 import Message, Segment
from mpi.feeds.hl7v2.pdq_query import QUERY_NAME as PDQ_NAME
from mpi.feeds.hl7v2.pdq_query import People, answer_pdq
from mpi.feeds.hl7v2.pid import refuse_unusable_text
from mpi.feeds.hl7v2.pix_query import CrossReferences, answer_pix
from mpi.feeds.hl7v2.query_answer import Answer, Asked, Client, QueryPolicy, Refused, trace_of, write_answer
from mpi.index.parties import ClientCertificate, Directory
from mpi.index.ports import Clock

PIX: Final = "Q23"
PDQ: Final = "Q22"
CANCEL: Final = "J01"
EVENTS: Final[Mapping[str, frozenset[str]]] = {
    "QBP": frozenset({PIX, PDQ}),
    "QCN": frozenset({CANCEL}),
}
"""The message types and trigger events that are queries."""
_KINDS: Final = {PIX: "query.cross_reference", PDQ: "query.search", CANCEL: "query.search"}
_IMMEDIATE: Final = ("", "I")

_log = structlog.get_logger()


class QueryIndex(CrossReferences, People, Protocol):
    """The parts of the registry that answer queries."""


class Queries:
    """
    Answers the queries of every consumer. Safe to call from several threads when the index is.

    Args:
        policy: what the standards leave to this index.
    """

    def __init__(self, index: QueryIndex, directory: Directory, policy: QueryPolicy, clock: Clock) -> None:
        self._index = index
        self._directory = directory
        self._clock = clock
        self._policy = policy
        self._continuations = Continuations(
            lasts_seconds=policy.continuation_seconds, per_consumer=policy.max_continuations
        )

    def answer(self, message: Message, *, certificate: ClientCertificate | None = None) -> str:
        """
        Answer one query. A malformed one, or one of another kind, gets a plain acknowledgement.

        Args:
            certificate: what the consumer showed; None where no certificate is asked for. A certificate
                that is another party's is of an unknown consumer.

        Raises:
            StoreError: the index could not be asked, or the audit of the question not be written.
        """
        msh = message.msh
        at, own = self._clock(), self._directory.own.namespace
        try:
            check_header(msh, events=EVENTS[msh.value(9, 1)])
        except (UnsupportedMessage, InvalidIdentity) as error:
            return acknowledge(msh, error, at=at, own_application=own)
        event = msh.value(9, 2)
        parameters = "QID" if event == CANCEL else "QPD"
        asked = message.segment(parameters)
        if asked is None:
            fault = Fault(f"{parameters}^1", 100, problems.SEGMENT_MISSING)
            return write_acknowledgement(msh, "AR", fault, at=at, own_application=own)
        answer = self._answer_or_faults(message, asked, certificate=certificate)
        if event == CANCEL:
            is_done = isinstance(answer, Answer)
            fault_of_cancel = None if isinstance(answer, Answer) else answer[0]
            return write_acknowledgement(
                msh, "AA" if is_done else "AE", fault_of_cancel, at=at, own_application=own
            )
        is_error = not isinstance(answer, Answer) or bool(answer.warnings)
        is_found = isinstance(answer, Answer) and bool(answer.payload)
        shape = (
            skeletons.cross_reference(error=is_error, found=is_found)
            if event == PIX
            else skeletons.demographics(error=is_error)
        )
        return write_answer((msh, asked), answer, shape, names_query=event == PDQ, at=at, own_application=own)

    def _answer_or_faults(
        self, message: Message, segment: Segment, *, certificate: ClientCertificate | None
    ) -> Answer | tuple[Fault, ...]:
        """What was found, or why the query is refused; either way it is audited and logged."""
        msh = message.msh
        kind = _KINDS[msh.value(9, 2)]
        name = "unknown"
        try:
            consumer = self._directory.consumer_of(msh.value(3), msh.value(4))
            if certificate is not None and not self._directory.proves(certificate, consumer):
                raise NotPermitted("this certificate may not query as this application and facility")
            name = consumer.name
            client = Client(consumer.name, certificate.fingerprint if certificate is not None else "")
            refuse_unusable_text(segment)
            answer = self._ask(Asked(message, segment, consumer, client, self._directory, self._clock))
        except Refused as refused:
            faults, is_audited = refused.faults, refused.audited
        except NotPermitted as error:
            faults, is_audited = (Fault("MSH^1^3", answer_of(error).code),), False
        except MpiError as error:
            faults, is_audited = (Fault(fault_of(error).place, answer_of(error).code),), False
        else:
            _logged(msh, name, status=answer.status)
            return answer
        if not is_audited:
            trace = trace_of(msh, segment.value(1 if msh.value(9, 2) == CANCEL else 2))
            self._index.record_refusal(
                actor=f"consumer:{name}", kind=kind, place=faults[0].place, trace=trace
            )
        _logged(msh, name, status="AE", place=faults[0].place)
        return faults

    def _ask(self, asked: Asked) -> Answer:
        event = asked.message.msh.value(9, 2)
        if event == CANCEL:
            return self._cancel(asked)
        rcp = asked.message.segment("RCP")
        if rcp is not None and rcp.value(1).strip().upper() not in _IMMEDIATE:
            problem = problems.NOT_AN_IMMEDIATE_QUERY
            raise Refused(Fault("RCP^1^1", problems.CODES[problem], problem))
        if event == PIX:
            return answer_pix(asked, self._index, follow_retired=self._policy.follow_retired)
        return answer_pdq(asked, self._index, policy=self._policy, continuations=self._continuations)

    def _cancel(self, asked: Asked) -> Answer:
        """
        Forget the pages still to come of a query. One that is not remembered is cancelled already.

        Source: HL7 v2.5 section 5.4.6.
        """
        qid = asked.qpd
        if not qid.value(1):
            raise Refused(Fault("QID^1^1", problems.CODES[problems.REQUIRED], problems.REQUIRED))
        if qid.value(2) != PDQ_NAME:
            problem = problems.NOT_A_PDQ_QUERY
            raise Refused(Fault("QID^1^2", problems.CODES[problem], problem))
        self._continuations.cancel(asked.client, qid.value(1))
        return Answer()


def _logged(msh: Segment, consumer: str, *, status: str, place: str = "") -> None:
    """One line for each query, without what was asked for or found."""
    _log.info(
        "hl7v2.queried",
        trigger=f"{msh.value(9, 1)}^{msh.value(9, 2)}",
        consumer=consumer,
        status=status,
        place=place,
    )
