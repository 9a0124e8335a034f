"""
Cross-reference queries: QBP^Q23 in, RSP^K23 out, with the six cases of ITI-9.

Only decided links are ever answered. An answer holds identifiers and nothing else: that an identity
is doubtful has no place in it.

Source: IHE ITI-9 (TF-2 3.9.4).
"""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from mpi.errors import UnknownIdentifier
from mpi.feeds.hl7v2 import problems
from mpi.feeds.hl7v2.ack import Fault
from mpi.feeds.hl7v2.identifiers import read_authority
from mpi.feeds.hl7v2.query_answer import Answer, Asked, Refused, write_cx
from mpi.feeds.hl7v2.skeletons import cross_reference
from mpi.identity.model import PatientIdentifier, RecordKey

QUERY_NAME: Final = "IHE PIX Query"
NEUTRAL_NAME: Final = "~^^^^^^S"
"""PID-5 of an answer: required, and saying nothing."""
ID: Final = "QPD^1^3^1^1"
AUTHORITY: Final = "QPD^1^3^1^4"


class Elsewhere(Protocol):
    """Who somebody is in other domains."""

    @property
    def identifiers(self) -> tuple[PatientIdentifier, ...]:
        """Every other identifier of the same person, by domain."""


class CrossReferences(Protocol):
    """The part of the registry that answers for identifiers."""

    def cross_reference(
        self,
        key: RecordKey,
        *,
        targets: frozenset[str] | None,
        visible: frozenset[str],
        actor: str,
        follow_retired: bool = True,
        trace: Mapping[str, Any] | None = None,
    ) -> Elsewhere:
        """Who this is elsewhere; UnknownIdentifier when never stated."""


def answer_pix(asked: Asked, index: CrossReferences, *, follow_retired: bool) -> Answer:
    """
    Answer who somebody is elsewhere.

    Args:
        follow_retired: an identifier that was merged away answers for what it became; else it is unknown.

    Raises:
        Refused: the query is incomplete, or names a domain or an identifier that is not known.
        StoreError: the index could not be asked, or the audit of the question not be written.
    """
    qpd = asked.qpd
    if qpd.value(1) != QUERY_NAME:
        raise Refused(Fault("QPD^1^1", problems.CODES[problems.NOT_A_PIX_QUERY]))
    who = qpd.repetitions(3)[:1]
    if not who:
        raise Refused(Fault("QPD^1^3", 101))
    value = who[0].value(1).strip()
    if not value:
        raise Refused(Fault(ID, 101))
    domain = asked.domain(read_authority(who[0]), AUTHORITY)
    if domain is None:
        raise Refused(Fault(AUTHORITY, 204))
    targets = asked.domains(4)
    try:
        found = index.cross_reference(
            RecordKey(domain.key, value),
            targets=targets,
            visible=asked.consumer.domains,
            actor=asked.actor,
            follow_retired=follow_retired,
            trace=asked.trace,
        ).identifiers
    except UnknownIdentifier:
        raise Refused(Fault(ID, 204), audited=True) from None
    if not found:
        return Answer()
    pid = list(cross_reference(error=False, found=True)["PID"])
    pid[3] = "~".join(map(write_cx, found))
    pid[5] = NEUTRAL_NAME
    return Answer(("|".join(pid),))
