"""
The registry: every change to who is whom passes through here, and every answer comes from here.

Each use-case is one transaction. It commits before it returns, so what a caller acknowledges is
durable; it appends its audit events in the same transaction, so nothing is written unaudited.
What the use-cases do is in `intake` (messages), `derivation` (sets and tasks), `answers` (reads).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
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
from mpi.identity.model import Demographics, PatientIdentifier, RecordKey
from mpi.identity.traits import Traits, normalise
from mpi.index import graph
from mpi.index.answers import Answers, Candidate, EnterpriseRecord
from mpi.index.audit import AuditEvent
from mpi.index.derivation import NO_EFFECT, Component, Derivation, Effect
from mpi.index.events import (
    Envelope,
    Fact,
    FactKind,
    IdentifiersMerged,
    IdentityStated,
    Instruction,
    MessageState,
    Receipt,
)
from mpi.index.graph import LinkPolicy
from mpi.index.intake import Intake
from mpi.index.parties import Directory
from mpi.index.ports import Clock, Store, StoredMessage, StoredRecord, UnitOfWork
from mpi.index.resolution import Identity, Resolution
from mpi.index.review import LIVE_STATES, Task, TaskKind, TaskState, Verdict, check_transition, state_after
from mpi.matching.counterfactual import Counterfactual, counterfactuals
from mpi.matching.model import MatchModel
from mpi.matching.online import ScoredPair, score

_POISON = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a defect of ours raises on a message. It is quarantined, so that it cannot block its feed."""


@dataclass(frozen=True, slots=True)
class ReviewView:
    """A task with what a reviewer needs to decide it."""

    task: Task
    left: StoredRecord
    right: StoredRecord
    score: ScoredPair
    would_change: tuple[Counterfactual, ...]


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
        self._derivation = Derivation(model, self._policy, directory.consumers)
        self._intake = Intake(model, self._derivation, store.euid_secret)
        self._answers = Answers(directory, model, self._policy, store.euid_secret)

    def receive(
        self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes]
    ) -> Receipt:
        """
        Take one message: keep it, understand it, apply it, and prepare its reply, all or nothing.

        A message applied before (same sender, same control id, same content) changes nothing and
        gets the reply it got the first time. The same control id with other content is
        quarantined. A message that was not applied may be sent again, corrected or not. A message that
        cannot be applied is quarantined, or refused when it is of a kind this index does not
        take; either way it is kept.

        Args:
            read: turns the bytes into an instruction; may raise FeedError, RegistryError or NotPermitted.
            reply: makes the bytes to answer from the state, the error and the warnings; stored with
                the message.

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
            replays = uow.inbox.replays_of(message_id)
        if message is None:
            raise UnknownIdentifier("message")
        if message.state in (MessageState.APPLIED, MessageState.DUPLICATE):
            raise LinkConflict("only a quarantined or refused message can be replayed")
        if any(again.state is MessageState.APPLIED for again in replays):
            raise LinkConflict("this message was already replayed with success")
        envelope = message.envelope
        return self._receive(envelope, lambda: read(envelope), reply, replay_of=message_id, actor=actor)

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
        if instruction is not None:
            try:
                return self._take(envelope, instruction, None, reply, replay_of=replay_of, actor=actor)
            except (FeedError, RegistryError, NotPermitted) as error:
                problem = error
            except _POISON as error:
                problem = _defect(error)
        return self._take(envelope, None, problem, reply, replay_of=replay_of, actor=actor)

    def _take(
        self,
        envelope: Envelope,
        instruction: Instruction | None,
        problem: Exception | None,
        reply: Callable[[Receipt], bytes],
        *,
        replay_of: int | None,
        actor: str,
    ) -> Receipt:
        """
        Journal one message in its terminal state, with its effect and its reply, in one transaction.

        Raises whatever applying the instruction raises; then nothing is kept.
        """
        now = self._clock()
        with self._store.write() as uow:
            prior = uow.inbox.original(envelope.dedupe_key) if envelope.dedupe_key else None
            if prior is not None and prior.state is not MessageState.APPLIED:
                uow.inbox.give_up_name(prior.id)  # it changed nothing: sent again, it is a new message
                prior = None
            if prior is not None and replay_of is None:
                if prior.envelope.content_hash == envelope.content_hash:
                    return self._repeated(uow, envelope, prior, at=now)
                instruction, problem = None, ControlIdReused("control id", "already used for another message")
            receipt = _receipt(problem, _warnings(instruction))
            receipt = replace(receipt, reply=reply(receipt))
            message_id = uow.inbox.add(
                envelope,
                received_at=now,
                state=receipt.state,
                place=getattr(problem, "place", ""),
                problem=getattr(problem, "problem", str(problem or "")),
                error=type(problem).__name__ if problem else "",
                warnings=receipt.warnings,
                reply=receipt.reply,
                replay_of=replay_of,
                original=prior is None,
            )
            effect = NO_EFFECT
            if instruction is not None:
                effect = self._intake.apply(uow, instruction, message_id=message_id, at=now)
            receipt = replace(
                receipt,
                message_id=message_id,
                linked=bool(effect.linked & set(effect.records)),
                tasks_opened=effect.tasks_opened,
            )
            for event in _message_audit(envelope, receipt, instruction, effect, actor=actor, at=now):
                uow.audit.append(event)
            uow.commit()
        return receipt

    @staticmethod
    def _repeated(uow: UnitOfWork, envelope: Envelope, first: StoredMessage, *, at: datetime) -> Receipt:
        """Count a message that was applied before, and answer it as it was answered then."""
        message_id = uow.inbox.add(
            envelope, received_at=at, state=MessageState.DUPLICATE, reply=first.reply, original=False
        )
        uow.commit()
        return Receipt(MessageState.DUPLICATE, message_id, reply=first.reply)

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
            answer = self._answers.cross_reference(uow, key, targets=targets, visible=visible, as_of=as_of)
            asked = uow.records.by_key(key)
        subject = f"record/{asked.id}" if asked is not None else "record/unknown"
        named = [member.record.id for member in answer or ()]
        self._audit_read(
            actor, "E", "query.cross_reference", subject, {"found": answer is not None, "named": named}
        )
        if answer is None:
            raise UnknownIdentifier("identifier")
        return tuple(member.identifier for member in answer)

    def record_refusal(self, *, actor: str, kind: str, place: str) -> None:
        """Leave the trace of a question that was not answered: who may not ask, or asked for what it may not see."""
        self._audit_read(actor, "E", f"{kind}.refused", "query", {"place": place})

    def euid_of(self, key: RecordKey, *, as_of: datetime | None = None) -> str:
        """
        The enterprise identifier of the set a source record is in.

        Raises:
            UnknownIdentifier: never stated, or not to be answered.
        """
        with self._store.read() as uow:
            members = self._answers.answerable_set(uow, key, as_of=as_of)
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
            answer = self._answers.enterprise_record(uow, euid, visible=visible, as_of=as_of)
        self._audit_read(actor, "R", "patient.read", f"euid/{answer.euid if answer else 'unknown'}")
        if answer is None:
            raise UnknownIdentifier("euid", "unknown enterprise identifier")
        return answer

    def find_candidates(
        self, identity: Demographics, *, visible: frozenset[str], actor: str, limit: int = 20
    ) -> tuple[Candidate, ...]:
        """
        Enterprise records that resemble an identity, best first. Nothing of the identity is stored.

        Only records at or above the lower threshold; protected identities never.

        Args:
            visible: domain keys the caller may see; records of others do not answer.
        """
        traits = normalise(identity)
        with self._store.read() as uow:
            found = self._answers.find_candidates(uow, traits, visible=visible)[:limit]
        self._audit_read(
            actor, "E", "query.match", "query", {"named": [candidate.euid for candidate in found]}
        )
        return found

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
            answers = self._answers.resolve(uow, identities, visible=visible, consumer=consumer)
        named = sorted({answer.euid for answer in answers if answer.euid})
        details = {"identities": len(identities), "named": named}
        self._audit_read(f"key:{consumer}", "E", "query.resolve", "query", details)
        return answers

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
        left, right = (_unless_protected(records[i]) for i in (task.key.left_id, task.key.right_id))
        pair = left.traits, right.traits
        one_domain = left.key.domain == right.key.domain
        return ReviewView(
            task,
            left,
            right,
            score(self.model, *pair, same_domain=one_domain),
            counterfactuals(self.model, *pair, same_domain=one_domain),
        )

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
            if verdict is not Verdict.UNDECIDED and task.key.kind is not TaskKind.OVERSIZED_BLOCK:
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
                self._derivation.recompute(uow, records, at=now)
            uow.audit.append(
                AuditEvent(actor, "U", f"review.{verdict}", f"task/{task_id}", now, {"fact": fact_id})
            )
            decided = uow.reviews.get(task_id)
            uow.commit()
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
        view = self._derivation.component(uow, [record.id for record in records.values()])
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
                between = sorted(f.id for f in human if f.is_positive and _within(view, f, left_set))
                raise LinkConflict(f"facts {between} hold these records together; withdraw one first")
            return
        apart = graph.cannot_links(human, {node.key: node.record_id for node in view.nodes.values()})
        objection = graph.hard_objection(left_set, right_set, view.nodes, apart)
        if objection is not None:
            across = sorted(
                f.id for f in human if not f.is_positive and _within(view, f, left_set | right_set)
            )
            raise LinkConflict(f"{objection}: these records cannot be one person; standing facts {across}")

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
            self._derivation.recompute(uow, [record.id for record in records.values()], at=now)
            uow.audit.append(AuditEvent(actor, "U", "fact.withdrawn", f"fact/{fact_id}", now))
            uow.commit()
        return replace(fact, withdrawn_at=now, withdrawn_by=actor)

    def facts(self, *, after: int = 0, limit: int = 50) -> list[Fact]:
        """Assertions by ascending id, withdrawn ones included."""
        with self._store.read() as uow:
            return uow.facts.page(after=after, limit=limit)

    def messages(
        self, *, state: MessageState | None = None, source: str | None = None, after: int = 0, limit: int = 50
    ) -> list[StoredMessage]:
        """The journal of received messages by ascending id."""
        with self._store.read() as uow:
            return uow.inbox.page(state=state, source=source, after=after, limit=limit)

    def message(self, message_id: int, *, actor: str) -> StoredMessage:
        """
        One received message, with its bytes.

        Raises:
            UnknownIdentifier: no such message.
        """
        with self._store.read() as uow:
            message = uow.inbox.get(message_id)
        if message is None:
            raise UnknownIdentifier("message", "no such message")
        self._audit_read(actor, "R", "message.read", f"message/{message_id}")
        return message

    def message_counts(self) -> dict[str, dict[MessageState, int]]:
        """How many messages of each source are in each state; their sum is what was received."""
        with self._store.read() as uow:
            return uow.inbox.counts()

    def _audit_read(
        self, actor: str, action: str, kind: str, subject: str, details: Mapping[str, Any] | None = None
    ) -> None:
        """A read leaves its trace, durable, before it is answered; and never in the reader's own snapshot."""
        with self._store.write() as uow:
            uow.audit.append(AuditEvent(actor, action, kind, subject, self._clock(), dict(details or {})))
            uow.commit()


def _within(view: Component, fact: Fact, members: frozenset[int]) -> bool:
    keys = {view.records[i].key for i in members}
    return fact.left in keys and fact.right in keys


def _unless_protected(record: StoredRecord) -> StoredRecord:
    """The record as a reviewer may see it: a protected identity shows its status and nothing else."""
    if not record.traits.attributes & NEVER_ANSWERED:
        return record
    return replace(record, demographics=Demographics(), traits=Traits(attributes=record.traits.attributes))


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


def _receipt(problem: Exception | None, warnings: tuple[str, ...]) -> Receipt:
    """The outcome of a message before it is journalled: its number and effect are not known yet."""
    if problem is None:
        state = MessageState.APPLIED
    elif isinstance(problem, UnsupportedMessage):
        state = MessageState.REFUSED
    else:
        state = MessageState.QUARANTINED
    return Receipt(state, 0, error=problem, warnings=warnings)


def _warnings(instruction: Instruction | None) -> tuple[str, ...]:
    if isinstance(instruction, IdentityStated):
        return tuple(dict.fromkeys(text for record in instruction.records for text in record.warnings))
    if isinstance(instruction, IdentifiersMerged):
        return instruction.warnings
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
