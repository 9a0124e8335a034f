"""What a route is given: the registry, the caller, and what the caller may see."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal, cast

from fastapi import Depends, Path, Query, Request

from mpi.api.idempotency import Claim
from mpi.errors import NotPermitted, UnknownAuthority
from mpi.identity.domains import Domain
from mpi.identity.model import RecordKey
from mpi.index.audit import AuditEvent
from mpi.index.events import Fact
from mpi.index.intake import named_today
from mpi.index.parties import Directory
from mpi.index.ports import Store
from mpi.index.registry import Registry
from mpi.security.keys import Caller
from mpi.security.policy import (
    Action,
    check_may,
    may,
    may_know_what_is_told,
    sees_enterprise_identifiers,
    sees_every_domain,
    visible_domains,
)

Language = Literal["fr", "en"]
LanguageQuery = Annotated[Language, Query(alias="lang", description="Language of the sentences.")]
RowId = Annotated[int, Path(ge=1, le=2**62, description="This index's own number.")]
After = Annotated[int, Query(ge=0, le=2**62, description="Only rows after this id; `next` of the last page.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="At most this many rows.")]


@dataclass(frozen=True, slots=True)
class Session:
    """One authenticated, permitted request: who asks, of what, and how far they see."""

    caller: Caller
    store: Store
    registry: Registry
    visible: frozenset[str]

    @property
    def directory(self) -> Directory:
        """The parties and domains of the federation."""
        return self.registry.directory

    @property
    def sees_euids(self) -> bool:
        """Whether answers may hold enterprise identifiers."""
        return sees_enterprise_identifiers(self.caller)

    @property
    def sees_everything(self) -> bool:
        """Whether no domain is hidden from the caller."""
        return sees_every_domain(self.caller, self.directory)

    @property
    def sight(self) -> int:
        """
        Whose questions the caller is asked (`Sights.of`).

        Raises:
            QueueBeingMade: they are being gathered.
        """
        return self.registry.sights.of(self.visible)

    def may(self, action: Action) -> bool:
        """Whether the caller's role allows another action than the one it was let in for."""
        return may(self.caller, action)

    def domain(self, name: str, *, place: str) -> Domain:
        """
        The domain of a namespace or an OID.

        Raises:
            UnknownAuthority: not configured, or not the caller's to see; the same answer for both.
        """
        found = self.find_domain(name)
        if found is None:
            raise UnknownAuthority(place)
        return found

    def find_domain(self, name: str) -> Domain | None:
        """The visible domain of a namespace, an OID or an `urn:oid:`; None otherwise."""
        domains = self.directory.domains
        found = domains.by_namespace(name) or domains.get(name.removeprefix("urn:oid:"))
        return found if found is not None and found.key in self.visible else None

    def record_key(self, domain: str, value: str, *, place: str = "", epoch: int | None = None) -> RecordKey:
        """
        The record an identifier names: today's, unless an epoch is given.

        Args:
            place: where in the request the identifier stands; empty at its top.

        Raises:
            UnknownAuthority: see `domain`.
        """
        found = self.domain(domain, place=f"{place}.domain" if place else "domain")
        key = RecordKey(found.key, value, epoch or 0)
        if epoch is not None:
            return key
        with self.store.read() as uow:
            return named_today(uow, key)

    def sees_fact(self, fact: Fact) -> bool:
        """Whether both records of a fact are in domains the caller sees."""
        return {fact.left.domain, fact.right.domain} <= self.visible

    def may_know_what_is_told(self, domains: Collection[str]) -> bool:
        """Whether the caller may know what they are told who see some domains."""
        return may_know_what_is_told(self.caller, self.directory, domains)

    def namespace(self, key: str) -> str:
        """How answers name a domain."""
        domain = self.directory.domains.get(key)
        return domain.authority.namespace if domain is not None else key

    def record_read(self, kind: str) -> None:
        """Leave the trace of a list that was read, before it is answered."""
        self.store.trace(AuditEvent(self.caller.actor, "R", kind, "list", _now()))


def allowed(action: Action) -> Callable[[Request], Session]:
    """A dependency that refuses callers whose role does not allow the action, and says so to the audit."""

    def session(request: Request) -> Session:
        caller = cast(Caller, request.state.caller)
        state = request.app.state
        try:
            check_may(caller, action)
        except NotPermitted:
            event = AuditEvent(caller.actor, "E", "access.denied", f"action/{action}", _now())
            state.store.trace(event)
            raise
        store, registry = cast(Store, state.store), cast(Registry, state.registry)
        claim: Claim | None = getattr(request.state, "claim", None)
        if claim is not None:
            claim.check(store)
            store = claim.over(store, at=_now(), kept_for=state.answers_kept_for)
            registry = registry.over(store)
        return Session(caller, store, registry, visible_domains(caller, registry.directory))

    return session


def _now() -> datetime:
    return datetime.now(UTC)


MayResolve = Annotated[Session, Depends(allowed(Action.RESOLVE))]
MayCrossReference = Annotated[Session, Depends(allowed(Action.CROSS_REFERENCE))]
MayReadPatient = Annotated[Session, Depends(allowed(Action.READ_PATIENT))]
MayMatch = Annotated[Session, Depends(allowed(Action.MATCH))]
MaySearch = Annotated[Session, Depends(allowed(Action.SEARCH))]
MayReadReviews = Annotated[Session, Depends(allowed(Action.READ_REVIEWS))]
MayDecide = Annotated[Session, Depends(allowed(Action.DECIDE))]
MayFeed = Annotated[Session, Depends(allowed(Action.FEED))]
MayConfirm = Annotated[Session, Depends(allowed(Action.CONFIRM))]
MaySplit = Annotated[Session, Depends(allowed(Action.SPLIT))]
MayErase = Annotated[Session, Depends(allowed(Action.ERASE))]
MayReadTimeline = Annotated[Session, Depends(allowed(Action.READ_TIMELINE))]
MayReadTold = Annotated[Session, Depends(allowed(Action.READ_TOLD))]
MayReadFacts = Annotated[Session, Depends(allowed(Action.READ_FACTS))]
MayWithdrawFact = Annotated[Session, Depends(allowed(Action.WITHDRAW_FACT))]
MayReadMessages = Annotated[Session, Depends(allowed(Action.READ_MESSAGES))]
MayReadContent = Annotated[Session, Depends(allowed(Action.READ_CONTENT))]
MaySettleMessages = Annotated[Session, Depends(allowed(Action.SETTLE_MESSAGES))]
MayReadAudit = Annotated[Session, Depends(allowed(Action.READ_AUDIT))]
MaySubscribe = Annotated[Session, Depends(allowed(Action.SUBSCRIBE))]
MayReport = Annotated[Session, Depends(allowed(Action.REPORT))]
MayReadReports = Annotated[Session, Depends(allowed(Action.READ_REPORTS))]
MayAnswerReport = Annotated[Session, Depends(allowed(Action.ANSWER_REPORT))]
MayReadCorrections = Annotated[Session, Depends(allowed(Action.READ_CORRECTIONS))]
MayAskSites = Annotated[Session, Depends(allowed(Action.ASK_SITES))]
MayReadIndicators = Annotated[Session, Depends(allowed(Action.READ_INDICATORS))]
MayReadNotifications = Annotated[Session, Depends(allowed(Action.READ_NOTIFICATIONS))]
MayManageNotifications = Annotated[Session, Depends(allowed(Action.MANAGE_NOTIFICATIONS))]
MayReadInterface = Annotated[Session, Depends(allowed(Action.READ_INTERFACE))]
