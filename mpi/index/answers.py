"""
Answers: who is this person elsewhere, read from one consistent view and restricted to what may be seen.

Pure reads over a unit of work; the registry opens it and audits the question.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mpi.identity.ins import NEVER_ANSWERED, IdentityAttribute
from mpi.identity.model import PatientIdentifier, RecordKey, Witness
from mpi.identity.rniv import InsPeriod, InsStatement
from mpi.identity.rniv import ins_history as ins_history_of
from mpi.identity.traits import Traits, normalise
from mpi.index import golden
from mpi.index.epochs import ChangesPerson, present
from mpi.index.euid import native_euid, surrogate
from mpi.index.events import IN_DOUBT, Fact
from mpi.index.graph import LinkPolicy, erased_keys, retired_keys, seniority
from mpi.index.intake import BLOCK_CAP, record_today
from mpi.index.parties import Directory
from mpi.index.past import epoch_of, facts_then, instants_of, record_then
from mpi.index.persons import Persons, PersonSet
from mpi.index.ports import Membership, StoredRecord, UnitOfWork
from mpi.index.resolution import Guest, GuestGroup, Host, Identity, Resolution, ResolutionStatus, group_guests
from mpi.index.timeline import Happening, read_timeline
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
        doubtful: somebody reported it, a person doubts it, or its site says that the identity is doubtful.
    """

    record: StoredRecord
    identifier: PatientIdentifier
    retired: bool
    doubtful: bool = False


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


@dataclass(frozen=True, slots=True)
class CrossReference:
    """
    Who an identifier names.

    Args:
        asked_id: the record it names.
        person: the enterprise identifier, or `Person.id` for a caller from whom some domains are hidden.
        members: the other identifiers to name.
        retired: the identifier was merged away, renamed, or given to another person: it answers for what it became.
        doubtful: a record of the person is, as far as the caller sees them.
    """

    asked_id: int
    person: str
    members: tuple[MemberView, ...]
    retired: bool
    doubtful: bool

    @property
    def identifiers(self) -> tuple[PatientIdentifier, ...]:
        """The other identifiers, in the order of their records."""
        return tuple(member.identifier for member in self.members)


@dataclass(frozen=True, slots=True)
class _Alike:
    """Records of the index that guests resemble, and every pair with a guest in it that may be one person."""

    hosts: dict[int, StoredRecord]
    scores: dict[tuple[int, int], ScoredPair]


def person_id(members: Iterable[MemberView]) -> str:
    """
    What identifies a person to who may see these members: the native identifier of the oldest one.

    It does not move when a record that is not among them joins or leaves. Empty when there is none.
    """
    oldest = min((member.record for member in members), key=seniority, default=None)
    return oldest.native_euid if oldest is not None else ""


class Answers:
    """
    Reads the index for a caller.

    Args:
        euid_secret: surrogate identifiers are derived with it.
        persons: who is one person, as far as a caller sees.
        changes_person: the overlay firewall's judgement, to know records as they were.
    """

    def __init__(
        self,
        directory: Directory,
        model: MatchModel,
        policy: LinkPolicy,
        euid_secret: bytes,
        persons: Persons,
        changes_person: ChangesPerson,
    ) -> None:
        self._changes_person = changes_person
        self._directory = directory
        self._persons = persons
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
    ) -> CrossReference | None:
        """
        Who an identifier names, and the members to name for it; None when it is not to be answered.

        Args:
            protected_now: of the past, leave out who is protected today as well as who was then.
        """
        record = self.named(uow, key, as_of=as_of)
        if record is None or self._protects(uow, record, as_of, protected_now):
            return None
        sight = visible | {key.domain}  # who may ask about a domain sees what it holds
        person = self._persons.of(uow, (record.id,), visible=sight, as_of=as_of).get(record.id)
        if person is None:
            return None
        members = self._views(uow, person.record_ids, as_of=as_of)
        asked = next((member for member in members if member.record.id == record.id), None)
        stated = any(member.record.first_event_time is not None for member in members)
        if asked is None or not stated or (asked.retired and record.first_event_time is None):
            return None
        wanted = visible if targets is None else visible & targets
        shown = [m for m in members if not self._protects(uow, m.record, as_of, protected_now)]
        return CrossReference(
            record.id,
            self._name_of(person, shown, sight),
            tuple(
                member
                for member in shown
                if member.record.key[:2] != key[:2]
                and not member.retired
                and member.record.key.domain in wanted
            ),
            asked.retired,
            any(member.doubtful for member in shown),
        )

    def _name_of(self, person: PersonSet, shown: Sequence[MemberView], visible: frozenset[str]) -> str:
        """The identifier of a person for a caller: `Person.id`; the enterprise identifier for who sees all."""
        return person.euid if self._persons.sees_all(visible) else person_id(shown)

    def named(self, uow: UnitOfWork, key: RecordKey, *, as_of: datetime | None = None) -> StoredRecord | None:
        """The record an identifier names now, or named at an instant; None when it was not heard of."""
        if as_of is None:
            return record_today(uow, key)
        epochs = uow.records.epochs(key.domain, key.value)
        named = present(key, facts_then(uow, [record.key for record in epochs], as_of))
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

    def _views(
        self, uow: UnitOfWork, record_ids: Collection[int], *, as_of: datetime | None = None
    ) -> tuple[MemberView, ...]:
        """Records as answers show them; none of a domain that is not configured, none that was erased."""
        records = uow.records.by_ids(record_ids)
        keys = [record.key for record in records.values()]
        standing = facts_then(uow, keys, as_of)
        in_doubt = {fact.left for fact in standing if fact.kind in IN_DOUBT}
        gone = erased_keys(standing if as_of is None else uow.facts.standing(keys))
        shown = [
            record if as_of is None else record_then(uow, record, as_of, self._changes_person) or record
            for record in sorted(records.values(), key=lambda r: r.key)
            if self._directory.domains.get(record.key.domain) is not None and record.key not in gone
        ]
        retired = retired_keys(standing, shown)
        views = []
        for record in shown:
            authority = self._directory.domains.by_key(record.key.domain).authority
            doubtful = record.key in in_doubt or IdentityAttribute.DOUBTFUL in record.traits.attributes
            identifier = PatientIdentifier(record.key.value, authority, "PI")
            views.append(MemberView(record, identifier, record.key in retired, doubtful))
        return tuple(views)

    def enterprise_record(
        self, uow: UnitOfWork, asked: str, *, visible: frozenset[str], as_of: datetime | None
    ) -> EnterpriseRecord | None:
        native = uow.records.by_native_euid(asked)
        if native is None:
            return None
        person = self._persons.of(uow, (native.id,), visible=visible, as_of=as_of).get(native.id)
        if person is None:
            return None
        members = tuple(
            member
            for member in self._views(uow, person.record_ids, as_of=as_of)
            if member.record.key.domain in visible and not self._protects(uow, member.record, as_of, True)
        )
        if not any(member.record.first_event_time is not None for member in members):
            return None
        euid = self._name_of(person, members, visible)
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
            for fact in facts_then(uow, keys, as_of)
            if fact.is_positive and fact.left in keys and fact.right in keys
        ]
        stated, ins_history = [], {}
        for record in by_id.values():
            accepted = epoch_of(uow, record.key, self._changes_person, as_of).accepted
            if accepted:
                current = golden.current([(item.id, item.statement) for item in accepted])
                stated.append(golden.Member(record.key, current, normalise(current.demographics).status))
            feeds = [item.statement for item in accepted if item.statement.witness is Witness.FEED]
            feeds.sort(key=lambda statement: statement.source)
            ins_history[record.key] = ins_history_of(map(InsStatement.of, feeds))
        history = sorted(
            self._memberships(uow, [member.record for member in members], visible, as_of),
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

    def timeline(
        self, uow: UnitOfWork, asked: str, *, visible: frozenset[str], sight: int
    ) -> tuple[Happening, ...]:
        """What happened to the records that an identifier of a person holds or ever held; nothing when unknown."""
        native = uow.records.by_native_euid(asked)
        person = (
            self._persons.of(uow, (native.id,), visible=visible).get(native.id)
            if native is not None
            else None
        )
        if person is None:
            return ()
        ids = {*person.record_ids}
        if self._persons.sees_all(visible):
            ids |= {*uow.memberships.ever_members(asked)}
        records = {
            record.id: record
            for record in uow.records.by_ids(ids).values()
            if record.key.domain in visible and not record.traits.attributes & NEVER_ANSWERED
        }
        memberships = sorted(
            self._memberships(uow, list(records.values()), visible, None),
            key=lambda entry: (entry[0], entry[1].valid_from),
        )
        return read_timeline(
            uow,
            records,
            memberships,
            visible=visible,
            changes_person=self._changes_person,
            sight=sight,
        )

    def _memberships(
        self,
        uow: UnitOfWork,
        records: Sequence[StoredRecord],
        visible: frozenset[str],
        as_of: datetime | None,
    ) -> Iterator[tuple[RecordKey, Membership]]:
        """
        The memberships that records had.

        Those of a caller from whom something is hidden are what the visible part of the index makes of them
        after each visible statement and assertion: what moved a record may not be the caller's to know.
        """
        if self._persons.sees_all(visible):
            for record in records:
                yield from ((record.key, item) for item in uow.memberships.history(record.id))
            return
        instants = sorted(
            at for at in instants_of(uow, records, visible=visible) if as_of is None or at <= as_of
        )
        now: dict[int, Membership] = {}
        ended: list[tuple[RecordKey, Membership]] = []
        keys = {record.id: record.key for record in records}
        for instant in instants:
            for record_id, person in self._persons.of(uow, keys, visible=visible, as_of=instant).items():
                before = now.get(record_id)
                euid = self._name_of(person, self._views(uow, person.record_ids, as_of=instant), visible)
                if before is None or before.euid != euid:
                    if before is not None:
                        ended.append((keys[record_id], replace(before, valid_to=instant)))
                    now[record_id] = Membership(record_id, euid, instant, None)
        yield from ended
        yield from ((keys[record_id], item) for record_id, item in now.items())

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
        euid_of = self._names(uow, [record.id for record, _ in scored], visible, as_of)
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
        alike = self._alike(uow, list(guests.values()), visible)
        persons = self._persons.of(uow, {*held.values(), *alike.hosts}, visible=visible)
        placed = self._place(list(guests.values()), alike, {i: one.euid for i, one in persons.items()})
        set_at: dict[int, PersonSet] = {p: persons[record_id] for p, record_id in held.items()}
        by_euid = {person.euid: person for person in persons.values()}
        set_at.update({p: by_euid[euid] for p, g in guests.items() if (euid := placed[g.node_id].euid)})
        views = self._views_of(uow, set(set_at.values()))
        same_set: dict[PersonSet, list[int]] = {}
        for position, person in set_at.items():
            same_set.setdefault(person, []).append(position)
        answers = []
        for position in range(len(identities)):
            own = set_at.get(position)
            members = views[own] if own is not None else ()
            group = placed[guests[position].node_id] if position in guests else None
            if own is not None:
                companions = same_set[own]
                anchor = _visible_anchor(members, visible)
            else:
                assert group is not None
                companions = [-1 - node_id for node_id in group.guests]
                anchor = min(guests[p].anchor for p in companions)
            answers.append(
                Resolution(
                    suid=surrogate(self._euid_secret, consumer, anchor),
                    euid=self._name_of(own, _shown(members, visible), visible) if own is not None else None,
                    status=withheld.get(position) or (group.status if group else ResolutionStatus.LINKED),
                    probability=group.probability if group else 1.0,
                    members=_visible_identifiers(members, visible),
                    companions=tuple(sorted(p for p in companions if p != position)),
                    doubtful=any(member.doubtful for member in _shown(members, visible)),
                )
            )
        return tuple(answers)

    def _views_of(
        self, uow: UnitOfWork, persons: Collection[PersonSet]
    ) -> dict[PersonSet, tuple[MemberView, ...]]:
        """The members of some persons, read at once."""
        views = self._views(uow, {record_id for person in persons for record_id in person.record_ids})
        by_id = {view.record.id: view for view in views}
        return {
            person: tuple(by_id[record_id] for record_id in person.record_ids if record_id in by_id)
            for person in persons
        }

    def _names(
        self, uow: UnitOfWork, record_ids: Collection[int], visible: frozenset[str], as_of: datetime | None
    ) -> dict[int, str]:
        """What identifies the person of each record, for a caller."""
        persons = self._persons.of(uow, record_ids, visible=visible, as_of=as_of)
        if self._persons.sees_all(visible):
            return {record_id: person.euid for record_id, person in persons.items()}
        views = self._views_of(uow, set(persons.values()))
        names = {person: person_id(_shown(members, visible)) for person, members in views.items()}
        return {record_id: names[person] for record_id, person in persons.items()}

    def _held(
        self, uow: UnitOfWork, identities: Sequence[Identity], visible: frozenset[str]
    ) -> tuple[dict[int, int], dict[int, ResolutionStatus]]:
        """
        Positions of identities the index holds, with their record; and of those it must not answer,
        with what to say: protected ones, and numbers that come with somebody else's traits.
        """
        keys = {i.key for i in identities if i.key is not None and i.key.domain in visible}
        found = uow.records.by_keys(keys | {key._replace(epoch=1) for key in keys})
        for key in [key for key in found if key.epoch]:  # the identifier was given to somebody else
            first = key._replace(epoch=0)
            named = self.named(uow, first)
            found |= {first: named} if named is not None else {}
        records = {key: r for key, r in found.items() if r.first_event_time is not None}
        held: dict[int, int] = {}
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
                held[position] = record.id
        return held, withheld

    def _alike(self, uow: UnitOfWork, guests: Sequence[Guest], visible: frozenset[str]) -> _Alike:
        """What guests resemble at or above the lower threshold: visible records, and one another."""
        keys_of = {guest.node_id: blocking_keys(guest.traits) for guest in guests}
        blocks = uow.records.sharing({key for keys in keys_of.values() for key in keys}, block_cap=BLOCK_CAP)
        found = _Alike({}, {})
        by_block: dict[int, list[Guest]] = {}
        for guest in guests:
            pool = {record.id: record for key in keys_of[guest.node_id] for record in blocks.get(key, ())}
            for record in pool.values():
                if record.key.domain in visible and not record.traits.attributes & NEVER_ANSWERED:
                    scored = score(self._model, guest.traits, record.traits)
                    if scored.decision is not Decision.NON_LINK:
                        found.hosts[record.id] = record
                        found.scores[guest.node_id, record.id] = scored
            for key in keys_of[guest.node_id]:
                by_block.setdefault(key, []).append(guest)
        traits_of = {guest.node_id: guest.traits for guest in guests}
        pairs = {
            (min(a.node_id, b.node_id), max(a.node_id, b.node_id))
            for block in by_block.values()
            for i, a in enumerate(block)
            for b in block[i + 1 :]
        }
        for left, right in sorted(pairs):
            scored = score(self._model, traits_of[left], traits_of[right])
            if scored.decision is not Decision.NON_LINK:
                found.scores[left, right] = scored
        return found

    def _place(
        self, guests: Sequence[Guest], alike: _Alike, euid_of: Mapping[int, str]
    ) -> dict[int, GuestGroup]:
        hosts = alike.hosts.values()
        traits_of = {guest.node_id: guest.traits for guest in guests}
        traits_of.update({record.id: record.traits for record in hosts})
        return group_guests(
            guests,
            [Host(r.id, r.key, euid_of[r.id], r.traits) for r in hosts],
            alike.scores,
            policy=replace(self._policy, max_set_size=len(guests) + len(hosts) + 1),
            contradicts=lambda a, b: score(self._model, traits_of[a], traits_of[b]).contradicts,
        )

    def _anchor(self, position: int, identity: Identity) -> str:
        """What names an identity before anything is linked to it: its identifier, else its content."""
        if identity.key is not None:
            return native_euid(self._euid_secret, identity.key)
        content = json.dumps(identity.demographics.to_json(), sort_keys=True)
        return f"{hashlib.sha256(content.encode()).hexdigest()}-{position:04d}"


def _visible_anchor(members: Sequence[MemberView], visible: frozenset[str]) -> str:
    """What names a set to somebody who sees only a part of it: its oldest visible member."""
    return person_id(member for member in members if member.record.key.domain in visible)


def _shown(members: Sequence[MemberView], visible: frozenset[str]) -> list[MemberView]:
    """The members that are visible and not protected."""
    return [
        member
        for member in members
        if member.record.key.domain in visible and not member.record.traits.attributes & NEVER_ANSWERED
    ]


def _visible_identifiers(
    members: Sequence[MemberView], visible: frozenset[str]
) -> tuple[PatientIdentifier, ...]:
    return tuple(member.identifier for member in _shown(members, visible) if not member.retired)
