"""
The registry: every change to who is whom passes through here, and every answer comes from here.

Each use-case is one transaction. It commits before it returns, so what a caller acknowledges is
durable; it appends its audit events in the same transaction, so nothing is written unaudited.
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mpi.errors import (
    ControlIdReused,
    FeedError,
    LinkConflict,
    MpiError,
    NotPermitted,
    RegistryError,
    StaleReview,
    UnknownIdentifier,
    UnknownReview,
    UnsupportedMessage,
)
from mpi.identity.ins import NEVER_ANSWERED
from mpi.identity.model import Demographics, PatientIdentifier, RecordKey, SourceRecord
from mpi.identity.traits import Traits, normalise
from mpi.index import golden, graph
from mpi.index.audit import AuditEvent
from mpi.index.events import (
    Envelope,
    Fact,
    FactKind,
    IdentifiersMerged,
    IdentityStated,
    Instruction,
    MessageState,
    Nothing,
    Receipt,
)
from mpi.index.graph import Edge, LinkPolicy, Node
from mpi.index.parties import Directory
from mpi.index.ports import Clock, Membership, Store, StoredMessage, StoredRecord, UnitOfWork
from mpi.index.resolution import Guest, GuestGroup, Host, Identity, Resolution, ResolutionStatus, group_guests
from mpi.index.review import (
    LIVE_STATES,
    Task,
    TaskKind,
    TaskState,
    Verdict,
    check_transition,
    state_after,
)
from mpi.matching.blocking import blocking_keys
from mpi.matching.decision import Decision
from mpi.matching.model import MatchModel
from mpi.matching.online import ScoredPair, score

BLOCK_CAP = 2000
"""A blocking key shared by more records than this is not opened: the record's finer keys are."""

_POISON = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a defect of ours raises on a message. It is quarantined, so that it cannot block its feed."""


@dataclass(frozen=True, slots=True)
class Effect:
    """What applying one instruction changed."""

    records: tuple[int, ...]
    moved: tuple[str, ...]
    """Enterprise identifiers that gained or lost a record."""
    linked: bool
    tasks_opened: int
    oversized_blocks: int = 0


@dataclass(frozen=True, slots=True)
class MemberView:
    """One source record of an enterprise record, as an answer shows it."""

    record: StoredRecord
    identifier: PatientIdentifier
    subsumed: bool


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
    """

    euid: str
    asked: str
    members: tuple[MemberView, ...]
    golden: Mapping[str, golden.GoldenField]
    links: tuple[LinkView, ...]
    history: tuple[tuple[RecordKey, Membership], ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An enterprise record that an identity resembles, by its best member."""

    euid: str
    record: StoredRecord
    score: ScoredPair


@dataclass(frozen=True, slots=True)
class ReviewView:
    """A task with what a reviewer needs to decide it."""

    task: Task
    left: StoredRecord
    right: StoredRecord
    score: ScoredPair


class Registry:
    """
    The use-cases of the index.

    Args:
        store: where everything is kept.
        directory: who may feed and who may ask.
        model: the active match model.
        clock: returns the present instant, aware, UTC.
        policy: rules about sets; `same_domain_bits` always comes from the model.
    """

    def __init__(
        self,
        store: Store,
        directory: Directory,
        model: MatchModel,
        clock: Clock,
        policy: LinkPolicy | None = None,
    ) -> None:
        self._store = store
        self.directory = directory
        self.model = model
        self._clock = clock
        self._policy = replace(policy or LinkPolicy(), same_domain_bits=model.thresholds.same_domain_bits)

    # ---------------------------------------------------------------- messages in

    def receive(
        self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes]
    ) -> Receipt:
        """
        Take one message: keep it, understand it, apply it, and prepare its reply, all or nothing.

        A message received before (same sender, same control id, same content) changes nothing and
        gets the reply it got the first time. The same control id with other content is
        quarantined. A message that cannot be applied is quarantined, or refused when it is of a
        kind this index does not take; either way it is kept.

        Args:
            read: turns the bytes into an instruction; may raise FeedError, RegistryError or NotPermitted.
            reply: makes the bytes to answer; stored with the message.

        Raises:
            StoreError: nothing is durable, or nobody knows. Do not acknowledge.
        """
        return self._receive(envelope, read, reply, replay_of=None)

    def replay(
        self,
        message_id: int,
        read: Callable[[Envelope], Instruction],
        reply: Callable[[Receipt], bytes],
        *,
        actor: str,
    ) -> Receipt:
        """
        Process a quarantined or refused message again, as a new message of the journal.

        Raises:
            UnknownIdentifier: no such message.
            LinkConflict: the message was applied, or already replayed with success.
        """
        with self._store.read() as uow:
            message = uow.inbox.get(message_id)
        if message is None:
            raise UnknownIdentifier("message")
        if message.state in (MessageState.APPLIED, MessageState.DUPLICATE):
            raise LinkConflict("only a quarantined or refused message can be replayed")
        envelope = message.envelope
        receipt = self._receive(envelope, lambda: read(envelope), reply, replay_of=message_id, actor=actor)
        return receipt

    def _receive(
        self,
        envelope: Envelope,
        read: Callable[[], Instruction],
        reply: Callable[[Receipt], bytes],
        *,
        replay_of: int | None,
        actor: str = "",
    ) -> Receipt:
        instruction, problem = _attempt(read)
        now = self._clock()
        with self._store.write() as uow:
            prior = (
                uow.inbox.original(envelope.dedupe_key) if envelope.dedupe_key and replay_of is None else None
            )
            if prior is not None and prior.envelope.content_hash == envelope.content_hash:
                message_id = uow.inbox.add(
                    envelope, received_at=now, state=MessageState.DUPLICATE, original=False
                )
                uow.inbox.settle(message_id, state=MessageState.DUPLICATE, reply=prior.reply)
                uow.commit()
                return Receipt(MessageState.DUPLICATE, message_id, reply=prior.reply)
            if prior is not None:
                instruction, problem = None, ControlIdReused("control id", "already used for another message")
            original = prior is None and replay_of is None
            message_id = uow.inbox.add(
                envelope, received_at=now, state=MessageState.APPLIED, replay_of=replay_of, original=original
            )
            effect = Effect((), (), linked=False, tasks_opened=0)
            if instruction is not None:
                try:
                    with uow.savepoint():
                        effect = self._apply(uow, instruction, message_id=message_id, at=now)
                except (FeedError, RegistryError, NotPermitted) as error:
                    problem = error
                except _POISON as error:
                    problem = _defect(error)
            receipt = _receipt(message_id, problem, effect, _warnings(instruction))
            receipt = replace(receipt, reply=reply(receipt))
            uow.inbox.settle(
                message_id,
                state=receipt.state,
                place=getattr(problem, "place", ""),
                problem=getattr(problem, "problem", str(problem or "")),
                error=type(problem).__name__ if problem else "",
                warnings=receipt.warnings,
                reply=receipt.reply,
            )
            for event in _message_audit(envelope, receipt, instruction, effect, actor=actor, at=now):
                uow.audit.append(event)
            uow.commit()
        return receipt

    def _apply(self, uow: UnitOfWork, instruction: Instruction, *, message_id: int, at: datetime) -> Effect:
        match instruction:
            case IdentityStated(records=records):
                return self._state_identities(uow, records, message_id=message_id, at=at)
            case IdentifiersMerged():
                return self._merge(uow, instruction, message_id=message_id, at=at)
            case Nothing():
                return Effect((), (), linked=False, tasks_opened=0)

    def _state_identities(
        self, uow: UnitOfWork, statements: Sequence[SourceRecord], *, message_id: int, at: datetime
    ) -> Effect:
        seeds: set[int] = set()
        record_ids: list[int] = []
        oversized: set[int] = set()
        for statement in statements:
            record_id, touched, truncated = self._state_one(uow, statement, message_id=message_id, at=at)
            record_ids.append(record_id)
            seeds |= touched
            if truncated:
                oversized.add(record_id)
        for left, right in zip(statements, statements[1:], strict=False):
            self._assert_once(
                uow,
                FactKind.SOURCE_LINKED,
                *sorted((left.key, right.key)),
                actor=f"source:{left.source}",
                event_time=left.event_time,
                message_id=message_id,
                at=at,
            )
        effect = self._recompute(uow, seeds, at=at, oversized=oversized)
        linked = any(
            len(uow.memberships.members(euid)) > 1 for euid in uow.memberships.current(record_ids).values()
        )
        return replace(effect, records=tuple(record_ids), linked=linked, oversized_blocks=len(oversized))

    def _state_one(
        self, uow: UnitOfWork, statement: SourceRecord, *, message_id: int, at: datetime
    ) -> tuple[int, set[int], bool]:
        """Add one statement; return its record, the records whose sets it may change, and whether a block overflowed."""
        known = uow.records.by_key(statement.key)
        record_id = known.id if known else uow.records.add(statement.key, self._native_euid(statement.key))
        uow.records.add_statement(record_id, statement, message_id=message_id, recorded_at=at)
        if known is None or known.first_event_time is None:
            folded = golden.current([(0, statement)])
        else:
            folded = golden.current([(s.id, s.statement) for s in uow.records.statements(record_id)])
        traits = normalise(folded.demographics)
        same_traits = known is not None and known.first_event_time is not None and known.traits == traits
        keys = blocking_keys(traits)
        uow.records.save_current(
            record_id,
            first_event_time=folded.first_event_time,
            demographics=folded.demographics,
            traits=traits,
            blocking_keys=keys,
        )
        if same_traits and known is not None:
            return (
                record_id,
                ({record_id} if known.first_event_time != folded.first_event_time else set()),
                False,
            )
        before = {
            end
            for edge in uow.edges.touching([record_id])
            if edge.score.decision is Decision.LINK
            for end in (edge.left_id, edge.right_id)
        }
        found = uow.records.candidates(keys, excluding=record_id, block_cap=BLOCK_CAP)
        edges = [
            Edge(min(record_id, other.id), max(record_id, other.id), scored, self.model.version)
            for other in found.records
            if (scored := score(self.model, traits, other.traits)).decision is not Decision.NON_LINK
        ]
        uow.edges.replace(record_id, edges)
        return record_id, before | {record_id}, found.oversized_blocks > 0

    def _merge(self, uow: UnitOfWork, merged: IdentifiersMerged, *, message_id: int, at: datetime) -> Effect:
        survivor = RecordKey(merged.domain, merged.survivor.value)
        subsumed = RecordKey(merged.domain, merged.subsumed.value)
        if survivor == subsumed:
            raise LinkConflict("an identifier cannot be merged into itself")
        if survivor in self._subsumed_into(uow, subsumed):
            raise LinkConflict("the survivor was itself merged into the identifier to retire")
        records = uow.records.by_keys((survivor, subsumed))
        for key in (survivor, subsumed):
            if key not in records:
                uow.records.add(key, self._native_euid(key))
        records = uow.records.by_keys((survivor, subsumed))
        self._assert_once(
            uow,
            FactKind.MERGED,
            survivor,
            subsumed,
            actor=f"source:{merged.source}",
            event_time=merged.event_time,
            message_id=message_id,
            at=at,
        )
        ids = [records[survivor].id, records[subsumed].id]
        return replace(self._recompute(uow, ids, at=at), records=tuple(ids), linked=True)

    def _subsumed_into(self, uow: UnitOfWork, survivor: RecordKey) -> set[RecordKey]:
        """Every identifier merged, directly or through others, into this one."""
        found: set[RecordKey] = set()
        frontier = {survivor}
        while frontier:
            facts = [
                f for f in uow.facts.standing(frontier) if f.kind is FactKind.MERGED and f.left in frontier
            ]
            frontier = {fact.right for fact in facts} - found
            found |= frontier
        return found

    def _assert_once(
        self,
        uow: UnitOfWork,
        kind: FactKind,
        left: RecordKey,
        right: RecordKey,
        *,
        actor: str,
        event_time: datetime,
        message_id: int,
        at: datetime,
    ) -> None:
        standing = uow.facts.standing((left,))
        if not any(fact.kind is kind and (fact.left, fact.right) == (left, right) for fact in standing):
            uow.facts.add(Fact(0, kind, left, right, actor, event_time, at, message_id=message_id))

    # ---------------------------------------------------------------- derivation

    def _recompute(
        self, uow: UnitOfWork, seeds: Iterable[int], *, at: datetime, oversized: Collection[int] = ()
    ) -> Effect:
        """Derive again the sets and the tasks of the component the seeds touch, and store what changed."""
        view = self._component(uow, seeds)
        if not view.inside:
            return Effect((), (), linked=False, tasks_opened=0)
        nodes = view.nodes
        derived = graph.partition(
            [nodes[record_id] for record_id in sorted(view.inside)],
            view.edges,
            view.facts,
            policy=self._policy,
            contradicts=self._contradicts(view.records),
        )
        before = uow.memberships.current(nodes.keys())
        moved: set[str] = set()
        for record_id in sorted(view.inside):
            euid = derived.euid_of[record_id]
            if before.get(record_id) != euid:
                uow.memberships.move(record_id, euid, at=at)
                moved |= {euid, before.get(record_id, euid)}
        euid_of = {**before, **derived.euid_of}
        wanted = graph.wanted_tasks(nodes, derived, view.edges, view.facts, euid_of)
        for record_id in oversized:
            task = graph.oversized_block_task(record_id)
            wanted[task.key] = task
        opened = self._sync_tasks(uow, view.inside, wanted, at=at)
        self._notify(uow, view, moved, at=at)
        return Effect(tuple(sorted(view.inside)), tuple(sorted(moved)), linked=False, tasks_opened=opened)

    def _component(self, uow: UnitOfWork, seeds: Iterable[int]) -> "_Component":
        """
        The records reachable from the seeds by links and positive assertions, and what borders them.

        Edges that only ask for a review do not extend the component, but their far ends are
        loaded, because tasks name pairs of sets.
        """
        inside: set[int] = set()
        edges: dict[tuple[int, int], Edge] = {}
        facts: dict[int, Fact] = {}
        records: dict[int, StoredRecord] = {}
        frontier = set(seeds)
        while frontier:
            records.update(uow.records.by_ids(frontier - records.keys()))
            inside |= frontier
            reached: set[int] = set()
            for edge in uow.edges.touching(frontier):
                edges[edge.left_id, edge.right_id] = edge
                if edge.score.decision is Decision.LINK:
                    reached |= {edge.left_id, edge.right_id}
            ends: set[RecordKey] = set()
            for fact in uow.facts.standing([records[i].key for i in frontier]):
                facts[fact.id] = fact
                ends |= {fact.left, fact.right} if fact.is_positive else set()
            known = {record.key for record in records.values()}
            found = uow.records.by_keys(ends - known)
            records.update({record.id: record for record in found.values()})
            reached |= {record.id for record in records.values() if record.key in ends}
            frontier = reached - inside
        outside = {i for pair in edges for i in pair} - records.keys()
        records.update(uow.records.by_ids(outside))
        far = {key for fact in facts.values() for key in (fact.left, fact.right)} - {
            r.key for r in records.values()
        }
        records.update({record.id: record for record in uow.records.by_keys(far).values()})
        return _Component(inside, records, tuple(edges.values()), tuple(facts.values()))

    def _contradicts(self, records: Mapping[int, StoredRecord]) -> Callable[[int, int], bool]:
        def ask(left: int, right: int) -> bool:
            return score(self.model, records[left].traits, records[right].traits).contradicts

        return ask

    def _sync_tasks(
        self,
        uow: UnitOfWork,
        inside: Collection[int],
        wanted: Mapping[graph.TaskKey, graph.WantedTask],
        *,
        at: datetime,
    ) -> int:
        """Open what is newly asked, close what is no longer, touch nothing else. Returns how many opened."""
        opened = 0
        existing = {task.key: task for task in uow.reviews.touching(inside)}
        for key, question in sorted(wanted.items()):
            task = existing.get(key)
            if task is None:
                uow.reviews.open(question, at=at)
                opened += 1
            elif task.state not in LIVE_STATES:
                uow.reviews.change(
                    task.id,
                    state=TaskState.OPEN,
                    at=at,
                    reason=question.reason,
                    weight_bits=question.weight_bits,
                )
                opened += 1
            elif (task.reason, task.weight_bits) != (question.reason, question.weight_bits):
                uow.reviews.change(
                    task.id,
                    state=task.state,
                    at=at,
                    reason=question.reason,
                    weight_bits=question.weight_bits,
                    verdict=task.verdict,
                    reviewer=task.reviewer,
                    fact_id=task.fact_id,
                )
        for key, task in existing.items():
            keep = key.kind is TaskKind.OVERSIZED_BLOCK
            if task.state in LIVE_STATES and key not in wanted and not keep:
                uow.reviews.change(task.id, state=TaskState.OBSOLETE, at=at)
        return opened

    def _notify(self, uow: UnitOfWork, view: "_Component", moved: Collection[str], *, at: datetime) -> None:
        """One outbox row for each consumer that may see a domain whose sets changed."""
        if not moved:
            return
        domains = {view.records[record_id].key.domain for record_id in view.inside}
        for consumer in self.directory.consumers:
            if consumer.mllp and consumer.domains & domains:
                uow.outbox.add(
                    consumer=consumer.name, kind="pix_update", payload={"euids": sorted(moved)}, created_at=at
                )

    def _native_euid(self, key: RecordKey) -> str:
        """
        The enterprise identifier a source record has by itself, for ever.

        Keyed with the installation's secret, so that it is the same whatever the order of messages
        and says nothing of the identifier to who lacks the secret. 80 bits, 16 letters and digits.
        """
        digest = hmac.new(
            self._store.euid_secret, f"{key.domain}\x1f{key.value}".encode(), hashlib.sha256
        ).digest()
        return base64.b32encode(digest[:10]).decode()

    # ---------------------------------------------------------------- answers

    def cross_reference(
        self,
        key: RecordKey,
        *,
        targets: frozenset[str] | None,
        visible: frozenset[str],
        actor: str,
        as_of: datetime | None = None,
    ) -> tuple[PatientIdentifier, ...]:
        """
        The other identifiers of the person a record is about.

        Candidates that wait for a review are never in the answer, nor retired identifiers, nor
        anonymous or hidden identities. A retired identifier may be asked for: it answers for
        the record it was merged into.

        Args:
            targets: domain keys wanted; None for every one the caller may see.
            visible: domain keys the caller may see; nothing else leaves.

        Raises:
            UnknownIdentifier: never stated to this index, or not to be answered.
        """
        with self._store.read() as uow:
            answer = self._cross_reference(uow, key, targets=targets, visible=visible, as_of=as_of)
        self._audit_read(actor, "E", "query.cross_reference", "query", {"answers": len(answer or ())})
        if answer is None:
            raise UnknownIdentifier("identifier")
        return answer

    def _audit_read(
        self, actor: str, action: str, kind: str, subject: str, details: Mapping[str, Any] | None = None
    ) -> None:
        """A read leaves its trace, durable, before it is answered; and never in the reader's own snapshot."""
        with self._store.write() as uow:
            uow.audit.append(AuditEvent(actor, action, kind, subject, self._clock(), dict(details or {})))
            uow.commit()

    def _cross_reference(
        self,
        uow: UnitOfWork,
        key: RecordKey,
        *,
        targets: frozenset[str] | None,
        visible: frozenset[str],
        as_of: datetime | None,
    ) -> tuple[PatientIdentifier, ...] | None:
        members = self._answerable_set(uow, key, as_of=as_of)
        if members is None:
            return None
        wanted = visible if targets is None else visible & targets
        return tuple(
            member.identifier
            for member in members
            if member.record.key != key and not member.subsumed and member.record.key.domain in wanted
        )

    def _answerable_set(
        self, uow: UnitOfWork, key: RecordKey, *, as_of: datetime | None = None
    ) -> tuple[MemberView, ...] | None:
        """The members of a record's set, protected ones left out; None when the record is not to be answered."""
        record = uow.records.by_key(key)
        if record is None or record.traits.attributes & NEVER_ANSWERED:
            return None
        euid = uow.memberships.euid_of(record.id, as_of=as_of)
        if euid is None:
            return None
        members = self._members(uow, euid, as_of=as_of)
        asked = next((member for member in members if member.record.id == record.id), None)
        stated = any(member.record.first_event_time is not None for member in members)
        if asked is None or not stated or (asked.subsumed and record.first_event_time is None):
            return None
        return tuple(member for member in members if not member.record.traits.attributes & NEVER_ANSWERED)

    def _members(
        self, uow: UnitOfWork, euid: str, *, as_of: datetime | None = None
    ) -> tuple[MemberView, ...]:
        records = uow.records.by_ids(uow.memberships.members(euid, as_of=as_of))
        facts = uow.facts.standing([record.key for record in records.values()])
        retired = {fact.right for fact in facts if fact.kind is FactKind.MERGED}
        views = []
        for record in sorted(records.values(), key=lambda r: r.key):
            domain = self.directory.domains.get(record.key.domain)
            if domain is not None:
                identifier = PatientIdentifier(record.key.value, domain.authority, "PI")
                views.append(MemberView(record, identifier, record.key in retired))
        return tuple(views)

    def euid_of(self, key: RecordKey, *, as_of: datetime | None = None) -> str:
        """
        The enterprise identifier of the set a source record is in.

        Raises:
            UnknownIdentifier: never stated, or not to be answered.
        """
        with self._store.read() as uow:
            members = self._answerable_set(uow, key, as_of=as_of)
            if members is None:
                raise UnknownIdentifier("identifier")
            record = uow.records.by_key(key)
            euid = uow.memberships.euid_of(record.id, as_of=as_of) if record else None
        if euid is None:
            raise UnknownIdentifier("identifier")
        return euid

    def enterprise_record(
        self, euid: str, *, visible: frozenset[str], actor: str, as_of: datetime | None = None
    ) -> EnterpriseRecord:
        """
        The person behind an enterprise identifier, current or retired, and why the members are together.

        Args:
            visible: domain keys the caller may see; members of others are absent, and so is
                everything that comes from them.

        Raises:
            UnknownIdentifier: never issued, or nothing in it is visible to the caller.
        """
        with self._store.read() as uow:
            answer = self._enterprise_record(uow, euid, visible=visible, as_of=as_of)
        self._audit_read(actor, "R", "patient.read", f"euid/{answer.euid if answer else 'unknown'}")
        if answer is None:
            raise UnknownIdentifier("euid", "unknown enterprise identifier")
        return answer

    def _enterprise_record(
        self, uow: UnitOfWork, asked: str, *, visible: frozenset[str], as_of: datetime | None
    ) -> EnterpriseRecord | None:
        native = uow.records.by_native_euid(asked)
        euid = uow.memberships.euid_of(native.id, as_of=as_of) if native else None
        if native is None or euid is None:
            return None
        members = tuple(
            member
            for member in self._members(uow, euid, as_of=as_of)
            if member.record.key.domain in visible and not member.record.traits.attributes & NEVER_ANSWERED
        )
        if not members:
            return None
        by_id = {member.record.id: member.record for member in members}
        links = [
            LinkView(by_id[e.left_id].key, by_id[e.right_id].key, e.score, None)
            for e in uow.edges.touching(by_id)
            if e.left_id in by_id and e.right_id in by_id
        ]
        keys = {record.key for record in by_id.values()}
        links += [
            LinkView(fact.left, fact.right, None, fact)
            for fact in uow.facts.standing(keys)
            if fact.is_positive and fact.left in keys and fact.right in keys
        ]
        stated = [
            golden.Member(
                record.key,
                golden.current([(s.id, s.statement) for s in statements]),
                record.traits.status,
            )
            for record in by_id.values()
            if (statements := uow.records.statements(record.id))
        ]
        history = sorted(
            ((record.key, item) for record in by_id.values() for item in uow.memberships.history(record.id)),
            key=lambda entry: (entry[1].valid_from, entry[0]),
        )
        links.sort(key=lambda link: (link.left, link.right, link.fact is not None))
        return EnterpriseRecord(
            euid, asked, members, golden.golden_record(stated), tuple(links), tuple(history)
        )

    def find_candidates(
        self, identity: Demographics, *, actor: str, limit: int = 20
    ) -> tuple[Candidate, ...]:
        """
        Enterprise records that resemble an identity, best first. Nothing of the identity is stored.

        Only records at or above the lower threshold; protected identities never.
        """
        traits = normalise(identity)
        with self._store.read() as uow:
            found = self._find_candidates(uow, traits)[:limit]
        self._audit_read(actor, "E", "query.match", "query", {"answers": len(found)})
        return found

    def _find_candidates(self, uow: UnitOfWork, traits: Traits) -> tuple[Candidate, ...]:
        pool = uow.records.candidates(blocking_keys(traits), excluding=None, block_cap=BLOCK_CAP)
        scored = [
            (record, result)
            for record in pool.records
            if not record.traits.attributes & NEVER_ANSWERED
            and (result := score(self.model, traits, record.traits)).decision is not Decision.NON_LINK
        ]
        euid_of = uow.memberships.current([record.id for record, _ in scored])
        best: dict[str, Candidate] = {}
        for record, result in sorted(scored, key=lambda item: (-item[1].weight_bits, item[0].key)):
            if record.id in euid_of:
                best.setdefault(euid_of[record.id], Candidate(euid_of[record.id], record, result))
        return tuple(best.values())

    def resolve(
        self, identities: Sequence[Identity], *, visible: frozenset[str], consumer: str
    ) -> tuple[Resolution, ...]:
        """
        Group identities with one another and with the index; nothing of them is stored.

        An identity the index holds answers for its enterprise record. The others are compared
        with the visible part of the index and with one another.

        Args:
            visible: domain keys the caller may see; records of others neither answer nor influence.
            consumer: who asks; surrogate identifiers are its own.
        """
        with self._store.read() as uow:
            answers = self._resolve(uow, identities, visible=visible, consumer=consumer)
        self._audit_read(f"key:{consumer}", "E", "query.resolve", "query", {"identities": len(identities)})
        return answers

    def _resolve(
        self, uow: UnitOfWork, identities: Sequence[Identity], *, visible: frozenset[str], consumer: str
    ) -> tuple[Resolution, ...]:
        held = self._held(uow, identities, visible)
        guests = {
            position: Guest(-1 - position, self._anchor(position, identity), normalise(identity.demographics))
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
                anchor = own_euid
            else:
                assert group is not None
                companions = [-1 - node_id for node_id in group.guests]
                anchor = min(guests[p].anchor for p in companions)
            answers.append(
                Resolution(
                    suid=self._surrogate(consumer, anchor),
                    euid=own_euid,
                    status=group.status if group else ResolutionStatus.LINKED,
                    probability=group.probability if group else 1.0,
                    members=_visible_identifiers(sets.get(own_euid, ()) if own_euid else (), visible),
                    companions=tuple(sorted(p for p in companions if p != position)),
                )
            )
        return tuple(answers)

    def _held(
        self, uow: UnitOfWork, identities: Sequence[Identity], visible: frozenset[str]
    ) -> dict[int, str]:
        """Positions of the identities the index already holds, with their enterprise record."""
        keys = {i.key for i in identities if i.key is not None and i.key.domain in visible}
        records = {
            key: record
            for key, record in uow.records.by_keys(keys).items()
            if record.first_event_time is not None and not record.traits.attributes & NEVER_ANSWERED
        }
        euids = uow.memberships.current([record.id for record in records.values()])
        return {
            position: euids[records[identity.key].id]
            for position, identity in enumerate(identities)
            if identity.key in records
        }

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
                    scored = score(self.model, guest.traits, record.traits)
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
            scored = score(self.model, traits_of[left], traits_of[right])
            if scored.decision is not Decision.NON_LINK:
                scores[left, right] = scored
        euid_of = uow.memberships.current(hosts)
        traits_of.update({record_id: record.traits for record_id, record in hosts.items()})
        return group_guests(
            guests,
            [Host(r.id, r.key, euid_of[r.id], r.traits) for r in hosts.values()],
            scores,
            policy=replace(self._policy, max_set_size=len(guests) + len(hosts) + 1),
            contradicts=lambda a, b: score(self.model, traits_of[a], traits_of[b]).contradicts,
        )

    def _anchor(self, position: int, identity: Identity) -> str:
        """What names an identity before anything is linked to it: its identifier, else its content."""
        if identity.key is not None:
            return self._native_euid(identity.key)
        content = json.dumps(identity.demographics.to_json(), sort_keys=True)
        return f"{hashlib.sha256(content.encode()).hexdigest()}-{position:04d}"

    def _surrogate(self, consumer: str, anchor: str) -> str:
        digest = hmac.new(
            self._store.euid_secret, f"suid\x1f{consumer}\x1f{anchor}".encode(), hashlib.sha256
        ).digest()
        return base64.b32encode(digest[:15]).decode()

    # ---------------------------------------------------------------- review

    def tasks(
        self,
        *,
        states: Collection[TaskState] = LIVE_STATES,
        kind: str | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[Task]:
        """Review tasks by ascending id."""
        with self._store.read() as uow:
            return uow.reviews.page(states=states, kind=kind, after=after, limit=limit)

    def review(self, task_id: int, *, actor: str) -> ReviewView:
        """
        One task, its two records, and how they compare today.

        Raises:
            UnknownReview: no such task.
        """
        with self._store.read() as uow:
            task = uow.reviews.get(task_id)
            if task is None:
                raise UnknownReview(f"review {task_id}: no such task")
            records = uow.records.by_ids({task.key.left_id, task.key.right_id})
        self._audit_read(actor, "R", "review.read", f"task/{task_id}")
        left, right = records[task.key.left_id], records[task.key.right_id]
        return ReviewView(task, left, right, score(self.model, left.traits, right.traits))

    def decide(
        self, task_id: int, verdict: Verdict, *, reviewer: str, version: int, reason: str = ""
    ) -> Task:
        """
        Record a person's verdict on a task. Same and different become facts that outlive every re-scoring.

        Args:
            version: the version of the task the reviewer saw.

        Raises:
            UnknownReview: no such task.
            StaleReview: the task changed since it was read, or is no longer live.
            LinkConflict: the verdict contradicts a standing decision; it names the facts.
        """
        now = self._clock()
        actor = f"user:{reviewer}"
        with self._store.write() as uow:
            task = uow.reviews.get(task_id)
            if task is None:
                raise UnknownReview(f"review {task_id}: no such task")
            if task.version != version or task.state not in LIVE_STATES:
                raise StaleReview(
                    f"review {task_id} is {task.state} at version {task.version}, not {version}"
                )
            target = state_after(task.key.kind, verdict)
            check_transition(task.state, target)
            records = uow.records.by_ids({task.key.left_id, task.key.right_id})
            fact_id = None
            if verdict is not Verdict.UNDECIDED:
                left, right = sorted(record.key for record in records.values())
                kind = FactKind.SAME if verdict is Verdict.SAME else FactKind.DIFFERENT
                fact_id = self._decide_pair(uow, kind, left, right, actor=actor, reason=reason, at=now)
            uow.reviews.change(
                task_id,
                state=target,
                at=now,
                reason=task.reason,
                weight_bits=task.weight_bits,
                verdict=verdict,
                reviewer=reviewer,
                fact_id=fact_id,
            )
            if fact_id is not None:
                self._recompute(uow, records, at=now)
            uow.audit.append(
                AuditEvent(actor, "U", f"review.{verdict}", f"task/{task_id}", now, {"fact": fact_id})
            )
            uow.commit()
            decided = uow.reviews.get(task_id)
        assert decided is not None
        return decided

    def _decide_pair(
        self,
        uow: UnitOfWork,
        kind: FactKind,
        left: RecordKey,
        right: RecordKey,
        *,
        actor: str,
        reason: str,
        at: datetime,
    ) -> int:
        standing = [f for f in uow.facts.standing((left,)) if {f.left, f.right} == {left, right}]
        opposite = FactKind.DIFFERENT if kind is FactKind.SAME else FactKind.SAME
        for fact in standing:
            if fact.kind is opposite:
                raise LinkConflict(f"fact {fact.id} says the opposite; withdraw it first")
            if fact.kind is kind:
                return fact.id
        self._refuse_contradiction(uow, kind, left, right)
        return uow.facts.add(Fact(0, kind, left, right, actor, at, at, reason=reason))

    def _refuse_contradiction(
        self, uow: UnitOfWork, kind: FactKind, left: RecordKey, right: RecordKey
    ) -> None:
        """
        Refuse a decision that what stands makes impossible, rather than let one silently win.

        Same: across the two sets as people and sources hold them together, somebody said they
        differ, or two qualified INS meet. Different: people already hold the two together.
        """
        records = uow.records.by_keys((left, right))
        view = self._component(uow, [record.id for record in records.values()])
        human = [fact for fact in view.facts if fact.kind in (FactKind.SAME, FactKind.DIFFERENT)]
        held = graph.partition(
            [view.nodes[i] for i in sorted(view.inside)],
            (),
            human,
            policy=self._policy,
            contradicts=lambda _a, _b: False,
        )
        left_set, right_set = (
            next(members for members in held.sets if records[key].id in members) for key in (left, right)
        )
        if kind is FactKind.DIFFERENT:
            if left_set == right_set:
                between = sorted(f.id for f in human if f.is_positive and self._within(view, f, left_set))
                raise LinkConflict(f"facts {between} hold these records together; withdraw one first")
            return
        apart = graph.cannot_links(human, {node.key: node.record_id for node in view.nodes.values()})
        objection = graph.hard_objection(left_set, right_set, view.nodes, apart)
        if objection is not None:
            across = sorted(
                f.id for f in human if not f.is_positive and self._within(view, f, left_set | right_set)
            )
            raise LinkConflict(f"{objection}: these records cannot be one person; standing facts {across}")

    @staticmethod
    def _within(view: "_Component", fact: Fact, members: frozenset[int]) -> bool:
        keys = {view.records[i].key for i in members}
        return fact.left in keys and fact.right in keys

    def withdraw(self, fact_id: int, *, actor: str) -> Fact:
        """
        Undo an assertion: withdraw the fact and derive again, as if it had never stood.

        Raises:
            UnknownReview: no such fact.
            StaleReview: it was withdrawn already.
        """
        now = self._clock()
        with self._store.write() as uow:
            fact = uow.facts.get(fact_id)
            if fact is None:
                raise UnknownReview(f"fact {fact_id}: no such fact")
            if fact.withdrawn_at is not None:
                raise StaleReview(f"fact {fact_id} is already withdrawn")
            uow.facts.withdraw(fact_id, at=now, by=actor)
            for task in uow.reviews.by_fact(fact_id):
                uow.reviews.change(
                    task.id, state=TaskState.OPEN, at=now, reason=task.reason, weight_bits=task.weight_bits
                )
            records = uow.records.by_keys((fact.left, fact.right))
            self._recompute(uow, [record.id for record in records.values()], at=now)
            uow.audit.append(AuditEvent(actor, "U", "fact.withdrawn", f"fact/{fact_id}", now))
            uow.commit()
        return replace(fact, withdrawn_at=now, withdrawn_by=actor)

    def facts(self, *, after: int = 0, limit: int = 50) -> list[Fact]:
        """Assertions by ascending id, withdrawn ones included."""
        with self._store.read() as uow:
            return uow.facts.page(after=after, limit=limit)

    # ---------------------------------------------------------------- journal

    def messages(
        self, *, state: MessageState | None = None, source: str | None = None, after: int = 0, limit: int = 50
    ) -> list[StoredMessage]:
        """The journal of received messages by ascending id."""
        with self._store.read() as uow:
            return uow.inbox.page(state=state, source=source, after=after, limit=limit)

    def message(self, message_id: int) -> StoredMessage:
        """
        One received message.

        Raises:
            UnknownIdentifier: no such message.
        """
        with self._store.read() as uow:
            message = uow.inbox.get(message_id)
        if message is None:
            raise UnknownIdentifier("message", "no such message")
        return message

    def message_counts(self) -> dict[str, dict[MessageState, int]]:
        """How many messages of each source are in each state; their sum is what was received."""
        with self._store.read() as uow:
            return uow.inbox.counts()


@dataclass(frozen=True, slots=True)
class _Component:
    """A connected part of the graph: the records inside, and every record its edges and facts name."""

    inside: set[int]
    records: dict[int, StoredRecord]
    edges: tuple[Edge, ...]
    facts: tuple[Fact, ...]

    @property
    def nodes(self) -> dict[int, Node]:
        retired = {fact.right for fact in self.facts if fact.kind is FactKind.MERGED}
        return {
            record.id: Node(
                record.id,
                record.key,
                record.native_euid,
                record.first_event_time,
                record.traits.qualified_ins,
                record.key in retired,
            )
            for record in self.records.values()
        }


def _attempt(read: Callable[[], Instruction]) -> tuple[Instruction | None, Exception | None]:
    try:
        return read(), None
    except (FeedError, RegistryError, NotPermitted) as error:
        return None, error
    except _POISON as error:
        return None, _defect(error)


class _Defect(MpiError):
    """A defect of this index met on a message. Only the kind of error is kept: its text may hold data."""

    place = "message"


def _defect(error: Exception) -> _Defect:
    return _Defect(f"internal error ({type(error).__name__})")


def _receipt(
    message_id: int, problem: Exception | None, effect: Effect, warnings: tuple[str, ...]
) -> Receipt:
    if problem is None:
        state = MessageState.APPLIED
    elif isinstance(problem, UnsupportedMessage):
        state = MessageState.REFUSED
    else:
        state = MessageState.QUARANTINED
    return Receipt(
        state,
        message_id,
        error=problem,
        linked=effect.linked,
        tasks_opened=effect.tasks_opened,
        warnings=warnings,
    )


def _visible_identifiers(
    members: Sequence[MemberView], visible: frozenset[str]
) -> tuple[PatientIdentifier, ...]:
    return tuple(
        member.identifier
        for member in members
        if not member.subsumed
        and member.record.key.domain in visible
        and not member.record.traits.attributes & NEVER_ANSWERED
    )


def _warnings(instruction: Instruction | None) -> tuple[str, ...]:
    if isinstance(instruction, IdentityStated):
        return tuple(dict.fromkeys(text for record in instruction.records for text in record.warnings))
    return ()


def _message_audit(
    envelope: Envelope,
    receipt: Receipt,
    instruction: Instruction | None,
    effect: Effect,
    *,
    actor: str,
    at: datetime,
) -> list[AuditEvent]:
    """The audit events of one message: a merge is two, one for each identifier (ITI-8 3.8.5.2)."""
    who = actor or f"source:{envelope.source}"
    subject = f"message/{receipt.message_id}"
    details = {"event": envelope.event, "control_id": envelope.control_id, "records": list(effect.records)}
    if receipt.state is not MessageState.APPLIED:
        return [AuditEvent(who, "E", f"message.{receipt.state}", subject, at, {"event": envelope.event})]
    match instruction:
        case IdentifiersMerged():
            survivor, subsumed = effect.records
            return [
                AuditEvent(who, "D", "identity.subsumed", f"record/{subsumed}", at, details),
                AuditEvent(who, "U", "identity.merged", f"record/{survivor}", at, details),
            ]
        case IdentityStated():
            return [
                AuditEvent(who, "U", "identity.stated", subject, at, {**details, "moved": list(effect.moved)})
            ]
        case _:
            return [AuditEvent(who, "E", "message.applied", subject, at, details)]
