"""
Answers: who is this person elsewhere, read from one consistent view and restricted to what may be seen.

Pure reads over a unit of work; the registry opens it and audits the question.
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mpi.identity.ins import NEVER_ANSWERED
from mpi.identity.model import PatientIdentifier, RecordKey, Witness
from mpi.identity.rniv import InsPeriod, InsStatement
from mpi.identity.rniv import ins_history as ins_history_of
from mpi.identity.traits import Traits, normalise
from mpi.index import golden
from mpi.index.epochs import ChangesPerson, present, read_epochs
from mpi.index.euid import native_euid, surrogate
from mpi.index.events import Fact
from mpi.index.graph import LinkPolicy, erased_keys, retired_keys
from mpi.index.intake import BLOCK_CAP, named_today
from mpi.index.parties import Directory
from mpi.index.past import record_then
from mpi.index.ports import Membership, StoredRecord, StoredStatement, UnitOfWork
from mpi.index.resolution import Guest, GuestGroup, Host, Identity, Resolution, ResolutionStatus, group_guests
from mpi.matching.blocking import blocking_keys
from mpi.matching.decision import Decision
from mpi.matching.model import MatchModel
from mpi.matching.online import ScoredPair, score


@dataclass(frozen=True, slots=True)
class MemberView:
    """
    One source record of an enterprise record, as an answer shows it.

    Args:
        retired: the identifier names it no longer: merged away, renamed, or given to another person.
    """

    record: StoredRecord
    identifier: PatientIdentifier
    retired: bool


@dataclass(frozen=True, slots=True)
class LinkView:
    """Why two members are together: an edge, or an assertion."""

    left: RecordKey
    right: RecordKey
    score: ScoredPair | None
    fact: Fact | None


@dataclass(frozen=True, slots=True)
class EnterpriseRecord:
    """
    The person across domains.

    Args:
        euid: the current enterprise identifier.
        asked: the one asked for, which may be retired into `euid`.
        golden: survivorship view, each field with its provenance.
        links: what holds the members together.
        history: every membership its records ever had, oldest first.
        ins_history: the INS that each member's source ever stated, oldest first.
    """

    euid: str
    asked: str
    members: tuple[MemberView, ...]
    golden: Mapping[str, golden.GoldenField]
    links: tuple[LinkView, ...]
    history: tuple[tuple[RecordKey, Membership], ...]
    ins_history: Mapping[RecordKey, tuple[InsPeriod, ...]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An enterprise record that an identity resembles, by its best member."""

    euid: str
    record: StoredRecord
    score: ScoredPair


class Answers:
    """
    Reads the index for a caller.

    Args:
        euid_secret: surrogate identifiers are derived with it.
        changes_person: the overlay firewall's judgement, to know records as they were.
    """

    def __init__(
        self,
        directory: Directory,
        model: MatchModel,
        policy: LinkPolicy,
        euid_secret: bytes,
        changes_person: ChangesPerson,
    ) -> None:
        self._changes_person = changes_person
        self._directory = directory
        self._model = model
        self._policy = policy
        self._euid_secret = euid_secret

    def cross_reference(
        self,
        uow: UnitOfWork,
        key: RecordKey,
        *,
        targets: frozenset[str] | None,
        visible: frozenset[str],
        as_of: datetime | None,
        protected_now: bool = True,
    ) -> tuple[MemberView, ...] | None:
        """
        The members to name for an identifier; None when it is not to be answered.

        Args:
            protected_now: of the past, leave out who is protected today as well as who was then.
        """
        members = self.answerable_set(uow, key, as_of=as_of, protected_now=protected_now)
        if members is None:
            return None
        wanted = visible if targets is None else visible & targets
        return tuple(
            member
            for member in members
            if member.record.key[:2] != key[:2] and not member.retired and member.record.key.domain in wanted
        )

    def answerable_set(
        self,
        uow: UnitOfWork,
        key: RecordKey,
        *,
        as_of: datetime | None = None,
        protected_now: bool = True,
    ) -> tuple[MemberView, ...] | None:
        """The set of whom an identifier names, protected ones left out; None when it is not to be answered."""
        record = self.named(uow, key, as_of=as_of)
        if record is None or self._protects(uow, record, as_of, protected_now):
            return None
        euid = uow.memberships.euid_of(record.id, as_of=as_of)
        if euid is None:
            return None
        members = self._members(uow, euid, as_of=as_of)
        asked = next((member for member in members if member.record.id == record.id), None)
        stated = any(member.record.first_event_time is not None for member in members)
        if asked is None or not stated or (asked.retired and record.first_event_time is None):
            return None
        return tuple(
            member for member in members if not self._protects(uow, member.record, as_of, protected_now)
        )

    def named(self, uow: UnitOfWork, key: RecordKey, *, as_of: datetime | None = None) -> StoredRecord | None:
        """The record an identifier names now, or named at an instant; None when it was not heard of."""
        if as_of is None:
            return uow.records.by_key(named_today(uow, key))
        epochs = uow.records.epochs(key.domain, key.value)
        named = present(key, _standing(uow, [record.key for record in epochs], as_of))
        record = next((record for record in epochs if record.key == named), None)
        if record is None:
            return None
        return record_then(uow, record, as_of, self._changes_person) or record

    def _protects(
        self, uow: UnitOfWork, record: StoredRecord, as_of: datetime | None, protected_now: bool
    ) -> bool:
        """Whether a record is, or at that instant was, anonymous or hidden."""
        if as_of is None:
            return bool(record.traits.attributes & NEVER_ANSWERED)
        then = record_then(uow, record, as_of, self._changes_person)
        if then is not None and then.traits.attributes & NEVER_ANSWERED:
            return True
        today = uow.records.get(record.id)
        return protected_now and bool(today.traits.attributes & NEVER_ANSWERED)

    def euids_of(self, uow: UnitOfWork, key: RecordKey, *, until: datetime) -> set[str]:
        """Every enterprise identifier the records of an identifier had borne by an instant."""
        return {
            item.euid
            for record in uow.records.epochs(key.domain, key.value)
            for item in uow.memberships.history(record.id)
            if item.valid_from <= until
        }

    def _members(
        self, uow: UnitOfWork, euid: str, *, as_of: datetime | None = None
    ) -> tuple[MemberView, ...]:
        records = uow.records.by_ids(uow.memberships.members(euid, as_of=as_of))
        keys = [record.key for record in records.values()]
        retired = retired_keys(_standing(uow, keys, as_of))
        gone = erased_keys(uow.facts.standing(keys))
        views = []
        for record in sorted(records.values(), key=lambda r: r.key):
            domain = self._directory.domains.get(record.key.domain)
            if domain is None or record.key in gone:
                continue
            then = record_then(uow, record, as_of, self._changes_person) if as_of is not None else None
            identifier = PatientIdentifier(record.key.value, domain.authority, "PI")
            views.append(MemberView(then or record, identifier, record.key in retired))
        return tuple(views)

    def enterprise_record(
        self, uow: UnitOfWork, asked: str, *, visible: frozenset[str], as_of: datetime | None
    ) -> EnterpriseRecord | None:
        native = uow.records.by_native_euid(asked)
        euid = uow.memberships.euid_of(native.id, as_of=as_of) if native else None
        if native is None or euid is None:
            return None
        members = tuple(
            member
            for member in self._members(uow, euid, as_of=as_of)
            if member.record.key.domain in visible and not self._protects(uow, member.record, as_of, True)
        )
        if not any(member.record.first_event_time is not None for member in members):
            return None
        by_id = {member.record.id: member.record for member in members}
        links = []
        for edge in uow.edges.touching(by_id):
            if edge.left_id in by_id and edge.right_id in by_id:
                left, right = by_id[edge.left_id], by_id[edge.right_id]
                scored = edge.score if as_of is None else score(self._model, left.traits, right.traits)
                links.append(LinkView(left.key, right.key, scored, None))
        keys = {record.key for record in by_id.values()}
        links += [
            LinkView(fact.left, fact.right, None, fact)
            for fact in _standing(uow, keys, as_of)
            if fact.is_positive and fact.left in keys and fact.right in keys
        ]
        stated, ins_history = [], {}
        for record in by_id.values():
            accepted = self._accepted(uow, record, as_of)
            if accepted:
                current = golden.current([(item.id, item.statement) for item in accepted])
                stated.append(golden.Member(record.key, current, normalise(current.demographics).status))
            feeds = [item.statement for item in accepted if item.statement.witness is Witness.FEED]
            feeds.sort(key=lambda statement: statement.source)
            ins_history[record.key] = ins_history_of(map(InsStatement.of, feeds))
        history = sorted(
            ((record.key, item) for record in by_id.values() for item in uow.memberships.history(record.id)),
            key=lambda entry: (entry[1].valid_from, entry[0]),
        )
        links.sort(key=lambda link: (link.left, link.right, link.fact is not None))
        return EnterpriseRecord(
            euid,
            asked,
            members,
            golden.golden_record(stated),
            tuple(links),
            tuple(history),
            {key: periods for key, periods in ins_history.items() if periods},
        )

    def _accepted(
        self, uow: UnitOfWork, record: StoredRecord, as_of: datetime | None
    ) -> list[StoredStatement]:
        """The statements a record is made of, now or at an instant."""
        first, *_ = epochs = uow.records.epochs(record.key.domain, record.key.value)
        facts = _standing(uow, [epoch.key for epoch in epochs], as_of)
        said = [s for s in uow.records.statements(first.id) if as_of is None or s.recorded_at <= as_of]
        judged = read_epochs(said, facts, self._changes_person)
        return next((epoch.accepted for epoch in judged if epoch.number == record.key.epoch), [])

    def find_candidates(
        self,
        uow: UnitOfWork,
        traits: Traits,
        *,
        visible: frozenset[str],
        as_of: datetime | None = None,
    ) -> tuple[Candidate, ...]:
        """Visible enterprise records that resemble an identity, best member first; protected ones never."""
        keys = blocking_keys(traits)
        past = as_of is not None
        pool = uow.records.candidates(keys, excluding=None, block_cap=BLOCK_CAP, past=past).records
        if as_of is not None:
            then = (record_then(uow, record, as_of, self._changes_person) for record in pool)
            pool = tuple(r for r in then if r is not None and set(blocking_keys(r.traits)) & set(keys))
        scored = [
            (record, result)
            for record in pool
            if record.key.domain in visible
            and not self._protects(uow, record, as_of, True)
            and (result := score(self._model, traits, record.traits)).decision is not Decision.NON_LINK
        ]
        if as_of is None:
            euid_of = uow.memberships.current([record.id for record, _ in scored])
        else:
            held = {record.id: uow.memberships.euid_of(record.id, as_of=as_of) for record, _ in scored}
            euid_of = {record_id: euid for record_id, euid in held.items() if euid is not None}
        best: dict[str, Candidate] = {}
        for record, result in sorted(scored, key=lambda item: (-item[1].weight_bits, item[0].key)):
            if record.id in euid_of:
                best.setdefault(euid_of[record.id], Candidate(euid_of[record.id], record, result))
        return tuple(best.values())

    def resolve(
        self, uow: UnitOfWork, identities: Sequence[Identity], *, visible: frozenset[str], consumer: str
    ) -> tuple[Resolution, ...]:
        """Group identities with one another and with the visible part of the index."""
        held, withheld = self._held(uow, identities, visible)
        guests = {
            position: Guest(
                -1 - position,
                self._anchor(position, identity),
                Traits() if position in withheld else normalise(identity.demographics),
            )
            for position, identity in enumerate(identities)
            if position not in held
        }
        placed = self._place(uow, list(guests.values()), visible)
        euid_at: dict[int, str] = dict(held)
        euid_at.update({p: euid for p, g in guests.items() if (euid := placed[g.node_id].euid)})
        sets = {euid: self._members(uow, euid) for euid in set(euid_at.values())}
        same_euid: dict[str, list[int]] = {}
        for position, euid in euid_at.items():
            same_euid.setdefault(euid, []).append(position)
        answers = []
        for position in range(len(identities)):
            own_euid = euid_at.get(position)
            group = placed[guests[position].node_id] if position in guests else None
            if own_euid is not None:
                companions = same_euid[own_euid]
                anchor = _visible_anchor(sets[own_euid], visible)
            else:
                assert group is not None
                companions = [-1 - node_id for node_id in group.guests]
                anchor = min(guests[p].anchor for p in companions)
            answers.append(
                Resolution(
                    suid=surrogate(self._euid_secret, consumer, anchor),
                    euid=own_euid,
                    status=withheld.get(position) or (group.status if group else ResolutionStatus.LINKED),
                    probability=group.probability if group else 1.0,
                    members=_visible_identifiers(sets.get(own_euid, ()) if own_euid else (), visible),
                    companions=tuple(sorted(p for p in companions if p != position)),
                )
            )
        return tuple(answers)

    def _held(
        self, uow: UnitOfWork, identities: Sequence[Identity], visible: frozenset[str]
    ) -> tuple[dict[int, str], dict[int, ResolutionStatus]]:
        """
        Positions of identities the index holds, with their enterprise record; and of those it must
        not answer, with what to say: protected ones, and numbers that come with somebody else's traits.
        """
        keys = {i.key for i in identities if i.key is not None and i.key.domain in visible}
        found = uow.records.by_keys(keys | {key._replace(epoch=1) for key in keys})
        for key in [key for key in found if key.epoch]:  # the identifier was given to somebody else
            first = key._replace(epoch=0)
            named = self.named(uow, first)
            found |= {first: named} if named is not None else {}
        records = {key: r for key, r in found.items() if r.first_event_time is not None}
        euids = uow.memberships.current([record.id for record in records.values()])
        held: dict[int, str] = {}
        withheld: dict[int, ResolutionStatus] = {}
        for position, identity in enumerate(identities):
            record = records.get(identity.key) if identity.key is not None else None
            if record is None:
                continue
            if record.traits.attributes & NEVER_ANSWERED:
                withheld[position] = ResolutionStatus.UNKNOWN
            elif score(self._model, normalise(identity.demographics), record.traits).contradicts:
                withheld[position] = ResolutionStatus.AMBIGUOUS
            else:
                held[position] = euids[record.id]
        return held, withheld

    def _place(
        self, uow: UnitOfWork, guests: Sequence[Guest], visible: frozenset[str]
    ) -> dict[int, GuestGroup]:
        hosts: dict[int, StoredRecord] = {}
        scores: dict[tuple[int, int], ScoredPair] = {}
        by_block: dict[int, list[Guest]] = {}
        traits_of: dict[int, Traits] = {}
        for guest in guests:
            traits_of[guest.node_id] = guest.traits
            keys = blocking_keys(guest.traits)
            pool = uow.records.candidates(keys, excluding=None, block_cap=BLOCK_CAP)
            for record in pool.records:
                if record.key.domain in visible and not record.traits.attributes & NEVER_ANSWERED:
                    scored = score(self._model, guest.traits, record.traits)
                    if scored.decision is not Decision.NON_LINK:
                        hosts[record.id] = record
                        scores[guest.node_id, record.id] = scored
            for key in keys:
                by_block.setdefault(key, []).append(guest)
        pairs = {
            (min(a.node_id, b.node_id), max(a.node_id, b.node_id))
            for block in by_block.values()
            for i, a in enumerate(block)
            for b in block[i + 1 :]
        }
        for left, right in sorted(pairs):
            scored = score(self._model, traits_of[left], traits_of[right])
            if scored.decision is not Decision.NON_LINK:
                scores[left, right] = scored
        euid_of = uow.memberships.current(hosts)
        traits_of.update({record_id: record.traits for record_id, record in hosts.items()})
        return group_guests(
            guests,
            [Host(r.id, r.key, euid_of[r.id], r.traits) for r in hosts.values()],
            scores,
            policy=replace(self._policy, max_set_size=len(guests) + len(hosts) + 1),
            contradicts=lambda a, b: score(self._model, traits_of[a], traits_of[b]).contradicts,
        )

    def _anchor(self, position: int, identity: Identity) -> str:
        """What names an identity before anything is linked to it: its identifier, else its content."""
        if identity.key is not None:
            return native_euid(self._euid_secret, identity.key)
        content = json.dumps(identity.demographics.to_json(), sort_keys=True)
        return f"{hashlib.sha256(content.encode()).hexdigest()}-{position:04d}"


def _standing(uow: UnitOfWork, keys: Collection[RecordKey], as_of: datetime | None) -> list[Fact]:
    """The facts that stand, or stood at an instant."""
    if as_of is None:
        return uow.facts.standing(keys)
    return [fact for fact in uow.facts.ever(keys) if fact.stood(as_of)]


def _visible_anchor(members: Sequence[MemberView], visible: frozenset[str]) -> str:
    """What names a set to somebody who sees only a part of it: its oldest visible member."""
    seen = [member.record for member in members if member.record.key.domain in visible]
    return min(
        seen, key=lambda record: (record.first_event_time is None, record.first_event_time, record.key)
    ).native_euid


def _visible_identifiers(
    members: Sequence[MemberView], visible: frozenset[str]
) -> tuple[PatientIdentifier, ...]:
    return tuple(
        member.identifier
        for member in members
        if not member.retired
        and member.record.key.domain in visible
        and not member.record.traits.attributes & NEVER_ANSWERED
    )
