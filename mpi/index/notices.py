"""
Notices: what each addressee is told when sets change, in the transaction that changes them.

An addressee is told of a set when the identifiers of it that it may see are others than those it was last
told of: never of what changes in domains it may not see, never twice the same. What it may see is derived as
its own queries are answered (`persons`): a record it may not see joins nothing for it. Nobody is named who is
protected, retired or erased. An identifier that an addressee was told nothing of stands alone.

Whoever replaces, for each notice, the sets that share an identifier with it by the set it gives, ends up with
what a query would answer.

Source: IHE ITI-10 (TF-2 3.10.4.1).
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mpi.errors import InvalidIdentity
from mpi.identity.ins import NEVER_ANSWERED
from mpi.identity.model import RecordKey
from mpi.index.graph import Partition, seniority
from mpi.index.parties import Consumer, Directory
from mpi.index.ports import Channel, Identifier, Queue, StoredRecord, Subscription, UnitOfWork
from mpi.index.subscriptions import Criteria

PIX_UPDATE = "pix_update"
"""The identifiers of one person, for a consumer."""
SUBSCRIPTION_UPDATE = "subscription"
"""That a person changed, for a FHIR subscriber."""
CORRECTION = "correction"
"""A message to a source about its own records."""

SetsOf = Callable[[frozenset[str]], Partition]
"""The sets around a change that the records of some domains make by themselves."""


@dataclass(frozen=True, slots=True)
class Change:
    """
    What was just derived again.

    Args:
        records: of the component, as they stand.
        retired: those whose identifiers are in use no more.
        before: the enterprise record each was in; none for a new one.
        after: the enterprise record each is in.
        sets_of: the sets, as who sees some domains sees them.
    """

    records: Mapping[int, StoredRecord]
    retired: frozenset[int]
    before: Mapping[int, str]
    after: Mapping[int, str]
    sets_of: SetsOf

    def heard_of(self) -> set[Identifier]:
        """The identifiers that somebody may have been told of."""
        return {
            record.key[:2]
            for record_id, record in self.records.items()
            if record_id in self.before or record.key.epoch
        }

    def named(self, identifiers: Collection[Identifier]) -> frozenset[int]:
        """The records that some identifiers name, as far as they are among these."""
        return frozenset(
            record_id for record_id, record in self.records.items() if record.key[:2] in identifiers
        )


@dataclass(frozen=True, slots=True)
class _Notice:
    """
    One set as an addressee may see it.

    Args:
        people: ids of the person, now first, then as it was told of before.
        euids: enterprise identifiers, now and before, of who is or was in the set.
        is_new: nobody was told of it, and it holds one identifier, which is new.
    """

    members: tuple[RecordKey, ...]
    people: tuple[str, ...]
    euids: tuple[str, ...]
    is_new: bool


def queues_of(consumer: Consumer) -> list[Queue]:
    """Where what a consumer has to be told waits: one queue for each way it is told."""
    ways = ((consumer.mllp, Channel.MLLP), (consumer.webhook, Channel.WEBHOOK))
    return [Queue(consumer.name, channel) for address, channel in ways if address]


def subscriber(subscription: Subscription) -> str:
    """The name of the addressee that a subscription is."""
    return f"subscription/{subscription.id}"


def members_of(payload: Mapping[str, Any]) -> tuple[RecordKey, ...]:
    """The identifiers that a row of the outbox tells of."""
    return tuple(RecordKey(*member) for member in payload.get("members", ()))


class Notices:
    """Queues what addressees have to be told."""

    def __init__(self, directory: Directory) -> None:
        self._domains = directory.domains
        self._all = frozenset(domain.key for domain in directory.domains)
        self._consumers = [consumer for consumer in directory.consumers if queues_of(consumer)]

    def queue(self, uow: UnitOfWork, change: Change, *, at: datetime) -> None:
        """Queue a row for each addressee and each set that it sees otherwise than it was told."""
        subscriptions = standing(uow)
        touched = {record.key.domain for record in change.records.values()}
        for domains in {c.domains for c in self._consumers} | {s.domains for s in subscriptions}:
            if not domains & touched:
                continue
            notices = self._told(uow, change, domains)
            if not notices:
                continue
            for consumer in self._consumers:
                if consumer.domains == domains:
                    self._tell(uow, consumer, notices, at=at)
            for subscription in subscriptions:
                if subscription.domains == domains:
                    self._tell_subscriber(uow, subscription, notices, at=at)

    def _told(self, uow: UnitOfWork, change: Change, domains: frozenset[str]) -> list[_Notice]:
        """What those who see some domains are told, in the order of the identifiers; remembered as told."""
        found = change.sets_of(domains)
        audience = _audience(domains)
        told = uow.outbox.last_told(audience, change.heard_of())
        told_with = {identifier: members for members in told for identifier in members}
        notices: list[_Notice] = []
        now: list[frozenset[Identifier]] = []
        instead: set[frozenset[Identifier]] = set()
        for members in found.sets:
            shown = self._shown(change, members)
            named = frozenset(change.records[record_id].key[:2] for record_id in shown)
            former = {told_with[identifier] for identifier in named & told_with.keys()}
            is_alone = len(named) == 1 and not former
            if not shown or former == {named} or (is_alone and shown <= change.before.keys()):
                continue
            notices.append(self._notice(change, members, shown, former, domains, is_new=is_alone))
            instead |= former
            if len(named) > 1:
                now.append(named)
        if now or instead:
            uow.outbox.note_told(audience, instead=instead, sets=now)
        return sorted(notices, key=lambda notice: notice.members)

    def _notice(
        self,
        change: Change,
        members: frozenset[int],
        shown: frozenset[int],
        former: Collection[frozenset[Identifier]],
        domains: frozenset[str],
        *,
        is_new: bool,
    ) -> _Notice:
        before = [change.named(identifiers) for identifiers in former]
        person = self._person(change, members, domains)
        people = {self._person(change, gone, domains) for gone in before} - {person, ""}
        euids = {
            euid_of[record_id]
            for euid_of in (change.before, change.after)
            for record_id in shown.union(*before) & euid_of.keys()
        }
        keys = sorted(change.records[record_id].key for record_id in shown)
        return _Notice(tuple(keys), (person, *sorted(people)), tuple(sorted(euids)), is_new)

    @staticmethod
    def _shown(change: Change, members: Collection[int]) -> frozenset[int]:
        """Those of a set whom an answer names; nobody when no statement was made about any of them."""
        if all(change.records[record_id].first_event_time is None for record_id in members):
            return frozenset()
        return frozenset(
            record_id
            for record_id in members
            if record_id not in change.retired
            and not change.records[record_id].traits.attributes & NEVER_ANSWERED
        )

    def _person(self, change: Change, members: frozenset[int], domains: frozenset[str]) -> str:
        """The id of a person for who sees some domains (`search.Person.id`); empty when none of it is left."""
        records = [change.records[record_id] for record_id in members]
        if not self._all <= domains:
            records = [r for r in records if not r.traits.attributes & NEVER_ANSWERED]
        oldest = min(records, key=seniority, default=None)
        return oldest.native_euid if oldest is not None else ""

    @staticmethod
    def _tell(uow: UnitOfWork, consumer: Consumer, notices: Sequence[_Notice], *, at: datetime) -> None:
        for queue in queues_of(consumer):
            for notice in notices:
                if not notice.is_new:  # until it is told otherwise, an identifier stands alone
                    queue_update(uow, queue, notice.members, euids=notice.euids, at=at)

    def _tell_subscriber(
        self, uow: UnitOfWork, subscription: Subscription, notices: Sequence[_Notice], *, at: datetime
    ) -> None:
        try:
            criteria = Criteria.parse(subscription.criteria, self._domains)
        except InvalidIdentity:  # its domain is configured no more
            return
        for notice in notices:
            if criteria.takes(notice.members, notice.people):
                uow.outbox.add(
                    consumer=subscriber(subscription),
                    kind=SUBSCRIPTION_UPDATE,
                    payload={
                        "members": [list(key) for key in notice.members],
                        "person": notice.people[0],
                    },
                    created_at=at,
                    channel=Channel.REST_HOOK,
                )


def queue_update(
    uow: UnitOfWork, queue: Queue, members: Iterable[RecordKey], *, at: datetime, euids: Iterable[str] = ()
) -> int:
    """
    Queue what a consumer has to be told: these identifiers are one person's, and no others.

    Args:
        euids: enterprise identifiers of who is, or was, in the set; to find what was told of somebody.
    """
    return uow.outbox.add(
        consumer=queue.consumer,
        kind=PIX_UPDATE,
        payload={"members": [list(key) for key in members], "euids": list(euids)},
        created_at=at,
        channel=queue.channel,
    )


def sets_told(
    uow: UnitOfWork, domains: frozenset[str], members: Collection[RecordKey]
) -> list[tuple[RecordKey, ...]]:
    """The sets that those who see some domains were last told of, of each of these identifiers; those alone too."""
    told = uow.outbox.last_told(_audience(domains), {key[:2] for key in members})
    alone = {key[:2] for key in members}.difference(*told)
    sets = [tuple(RecordKey(*one) for one in sorted(identifiers)) for identifiers in told]
    return sorted([*sets, *((RecordKey(*one),) for one in alone)])


def standing(uow: UnitOfWork) -> list[Subscription]:
    """The active subscriptions whose owner's key was not revoked since they were made."""
    active = uow.subscriptions.active()
    if not active:
        return []
    keys = {key.name: key for key in uow.keys.all() if key.revoked_at is None}
    return [one for one in active if one.owner in keys and keys[one.owner].created_at <= one.created_at]


def _audience(domains: frozenset[str]) -> str:
    """What names everybody who sees the same domains."""
    return hashlib.sha256("\n".join(sorted(domains)).encode()).hexdigest()[:32]
