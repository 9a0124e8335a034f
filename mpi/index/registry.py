"""
The registry: every change to who is whom passes through here, and every answer comes from here.

Each use-case is one transaction. It commits before it returns, so what a caller acknowledges is
durable; it appends its audit events in the same transaction, so nothing is written unaudited.
What the use-cases do is in `intake` (messages), `derivation` (sets and tasks), `answers` (reads).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import dropwhile, takewhile
from typing import Any

from mpi.errors import (
    ControlIdReused,
    FeedError,
    LinkConflict,
    MpiError,
    NotPermitted,
    OutOfSequence,
    RegistryError,
    StaleReview,
    UnknownIdentifier,
    UnknownReview,
    UnsupportedMessage,
)
from mpi.identity.ins import NEVER_ANSWERED
from mpi.identity.model import Demographics, PatientIdentifier, RecordKey
from mpi.identity.traits import Traits, normalise
from mpi.index import sequence
from mpi.index.answers import Answers, Candidate, EnterpriseRecord
from mpi.index.audit import AuditEvent
from mpi.index.decisions import Decisions, TwoPersonRule
from mpi.index.derivation import NO_EFFECT, Derivation, Effect
from mpi.index.epochs import Held
from mpi.index.erasure import erase
from mpi.index.events import (
    Envelope,
    Fact,
    IdentifiersLinked,
    IdentifiersMerged,
    IdentityStated,
    Instruction,
    MessageState,
    PatientMoved,
    Receipt,
)
from mpi.index.graph import BRIDGE_MARGIN_BITS, LinkPolicy
from mpi.index.intake import Intake
from mpi.index.parties import Directory
from mpi.index.ports import Clock, OutboxRow, Store, StoredMessage, StoredRecord, UnitOfWork
from mpi.index.resolution import Identity, Resolution
from mpi.index.review import LIVE_STATES, Task, TaskState, Topic, Verdict, changes
from mpi.index.timeline import Happening, read_timeline
from mpi.matching.counterfactual import Counterfactual, counterfactuals
from mpi.matching.model import MatchModel
from mpi.matching.online import ScoredPair, score

_POISON = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What a defect of ours raises on a message. It is quarantined, so that it cannot block its feed."""


@dataclass(frozen=True, slots=True)
class ReviewView:
    """
    A task with what a reviewer needs to decide it.

    Args:
        held: on an overlay, the statements that wait.
        changed: traits that compare otherwise than when somebody last answered.
    """

    task: Task
    left: StoredRecord
    right: StoredRecord
    score: ScoredPair
    would_change: tuple[Counterfactual, ...]
    held: tuple[Held, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """
    What a consumer was, or would have been, told by an instant.

    Args:
        identifiers: the answer to a cross-reference query at that instant.
        notified: the notifications about that person that had been queued for it.
    """

    identifiers: tuple[PatientIdentifier, ...]
    notified: tuple[OutboxRow, ...]


class Registry:
    """
    The use-cases of the index.

    Args:
        store: where everything is kept.
        directory: who may feed and who may ask.
        model: the active match model.
        clock: returns the present instant, aware, UTC.
        policy: rules about sets; what they measure in bits always comes from the model.
        rule: which decisions take two people.
    """

    def __init__(
        self,
        store: Store,
        directory: Directory,
        model: MatchModel,
        clock: Clock,
        policy: LinkPolicy | None = None,
        rule: TwoPersonRule | None = None,
    ) -> None:
        self._store = store
        self.directory = directory
        self.model = model
        self._clock = clock
        self.policy = policy_in_bits(policy or LinkPolicy(), model)
        self.derivation = Derivation(model, self.policy, directory.consumers, directory.priority_of)
        self.intake = Intake(model, self.derivation, store.euid_secret)
        self._decisions = Decisions(model, self.derivation, self.intake, self.policy, rule or TwoPersonRule())
        self._answers = Answers(directory, model, self.policy, store.euid_secret, self.intake.changes_person)

    def receive(
        self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes]
    ) -> Receipt:
        """
        Take one message: keep it, understand it, apply it, and prepare its reply, all or nothing.

        A message applied before (same sender, same control id, same content) changes nothing and
        gets the reply it got the first time. The same control id with other content is
        quarantined. A message that was not applied may be sent again, corrected or not. A message that
        cannot be applied is quarantined, or refused when it is of a kind this index does not
        take; either way it is kept. Of a source that numbers its messages, one that is not in its turn
        is quarantined too, unless it corrects one that was.

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
            corrects = _had_its_turn(prior)
            if prior is not None and prior.state is not MessageState.APPLIED:
                uow.inbox.give_up_name(prior.id)  # it changed nothing: sent again, it is a new message
                prior = None
            if prior is not None and replay_of is None:
                if prior.envelope.content_hash == envelope.content_hash:
                    return self._repeated(uow, envelope, prior, at=now)
                instruction, problem = None, ControlIdReused("control id", "already used for another message")
            expected = None
            if envelope.sequence is not None and replay_of is None:
                expected, gap = _take_turn(uow, envelope.source, envelope.sequence, corrects=corrects)
                if gap is not None:
                    instruction, problem = None, gap
            receipt = replace(_receipt(problem, _warnings(instruction)), expected_sequence=expected)
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
                effect = self.intake.apply(uow, instruction, message_id=message_id, at=now)
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
            asked = self._answers.named(uow, key, as_of=as_of)
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
            record = self._answers.named(uow, key, as_of=as_of)
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
        self,
        identity: Demographics,
        *,
        visible: frozenset[str],
        actor: str,
        limit: int = 20,
        as_of: datetime | None = None,
    ) -> tuple[Candidate, ...]:
        """
        Enterprise records that resemble an identity, best first. Nothing of the identity is stored.

        Only records at or above the lower threshold; protected identities never.

        Args:
            visible: domain keys the caller may see; records of others do not answer.
        """
        traits = normalise(identity)
        with self._store.read() as uow:
            found = self._answers.find_candidates(uow, traits, visible=visible, as_of=as_of)[:limit]
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
        as_of: datetime | None = None,
    ) -> list[Task]:
        """Review tasks by ascending id, as they are or as they were at an instant."""
        with self._store.read() as uow:
            return uow.reviews.page(states=states, kind=kind, after=after, limit=limit, as_of=as_of)

    def urgent_tasks(
        self,
        *,
        states: Collection[TaskState] = LIVE_STATES,
        kind: str | None = None,
        after: Task | None = None,
        limit: int = 50,
    ) -> list[Task]:
        """Review tasks, what matters most first (`review.priority`)."""
        with self._store.read() as uow:
            return uow.reviews.urgent(states=states, kind=kind, after=after, limit=limit)

    def review(self, task_id: int, *, actor: str) -> ReviewView:
        """
        One task, its two records, and how they compare today.

        On an overlay the left side is the record as it was before the held statement, the right
        side what the statement would make of it.

        Raises:
            UnknownReview: no such task.
        """
        with self._store.read() as uow:
            task = uow.reviews.get(task_id)
            if task is None:
                raise UnknownReview(f"review {task_id}: no such task")
            records = uow.records.by_ids({task.key.left_id, task.key.right_id})
            left, right = records[task.key.left_id], records[task.key.right_id]
            held = self._decisions.held(uow, left.key) if task.key.topic is Topic.OVERLAY else []
            history = uow.reviews.history((task_id,))
        self._audit_read(actor, "R", "review.read", f"task/{task_id}")
        if held:
            stated = held[0].statement.statement.demographics
            right = replace(right, demographics=stated, traits=normalise(stated))
        left, right = _unless_protected(left), _unless_protected(right)
        pair = left.traits, right.traits
        one_domain = left.key.domain == right.key.domain
        return ReviewView(
            task,
            left,
            right,
            score(self.model, *pair, same_domain=one_domain),
            counterfactuals(self.model, *pair, same_domain=one_domain),
            tuple(held),
            _changed_since_answer(history),
        )

    def claim(self, task_id: int, *, reviewer: str) -> Task:
        """
        Take a task, so that nobody else works on it for a while (`review.CLAIM_LASTS`).

        Raises:
            UnknownReview: no such task.
            StaleReview: it is no longer live, or somebody else has it.
        """
        now = self._clock()
        with self._store.write() as uow:
            task = _live_task(uow, task_id)
            _refuse_claimed(task, reviewer, now)
            uow.reviews.claim(task_id, by=reviewer, at=now)
            uow.audit.append(AuditEvent(f"user:{reviewer}", "U", "review.claimed", f"task/{task_id}", now))
            uow.commit()
        return replace(task, claimed_by=reviewer, claimed_at=now)

    def release(self, task_id: int, *, reviewer: str) -> Task:
        """
        Give a task back.

        Raises:
            UnknownReview: no such task.
            StaleReview: it is no longer live, or somebody else has it.
        """
        now = self._clock()
        with self._store.write() as uow:
            task = _live_task(uow, task_id)
            _refuse_claimed(task, reviewer, now)
            uow.reviews.claim(task_id, by="", at=None)
            uow.audit.append(AuditEvent(f"user:{reviewer}", "U", "review.released", f"task/{task_id}", now))
            uow.commit()
        return replace(task, claimed_by="", claimed_at=None)

    def decide(
        self, task_id: int, verdict: Verdict, *, reviewer: str, version: int, reason: str = ""
    ) -> Task:
        """
        Record a person's verdict on a task. What it says becomes facts that outlive every re-scoring.

        Where the rule of two people applies, the first verdict is a proposal; the same verdict by
        another person confirms it.

        Args:
            version: the version of the task the reviewer saw.

        Raises:
            UnknownReview: no such task.
            StaleReview: the task changed since it was read, is no longer live, or somebody else has it.
            LinkConflict: the verdict contradicts a standing decision; it names the facts.
        """
        now = self._clock()
        actor = f"user:{reviewer}"
        with self._store.write() as uow:
            task = _live_task(uow, task_id)
            if task.version != version:
                raise StaleReview(f"review {task_id} is at version {task.version}, not {version}")
            _refuse_claimed(task, reviewer, now)
            decided = self._decisions.decide(uow, task, verdict, actor=actor, reason=reason, at=now)
            uow.reviews.claim(task_id, by="", at=None)
            details = {"fact": decided.fact_id, "state": decided.state}
            uow.audit.append(AuditEvent(actor, "U", f"review.{verdict}", f"task/{task_id}", now, details))
            uow.commit()
        return replace(decided, claimed_by="", claimed_at=None)

    def relate(
        self, verdict: Verdict, left: RecordKey, right: RecordKey, *, reviewer: str, reason: str = ""
    ) -> tuple[Fact, ...]:
        """
        Say of two records, whether or not anybody asked, that they are the same person, different, or homonyms.

        Raises:
            UnknownIdentifier: one of them was never heard of.
            LinkConflict: it contradicts a standing decision; it names the facts.
        """
        return self._act(
            reviewer,
            f"fact.{verdict}",
            lambda uow, actor, at: self._decisions.relate(
                uow, verdict, left, right, actor=actor, reason=reason, at=at
            ),
        )

    def doubt(self, key: RecordKey, *, reviewer: str, reason: str = "") -> tuple[Fact, ...]:
        """
        Say that a record is wrong: no weight joins it to another until that is withdrawn.

        Raises:
            UnknownIdentifier: it was never heard of.
        """
        return self._act(
            reviewer,
            "fact.doubted",
            lambda uow, actor, at: self._decisions.doubt(uow, key, actor=actor, reason=reason, at=at),
        )

    def split(
        self,
        members: Collection[RecordKey],
        *,
        reviewer: str,
        to: RecordKey | None = None,
        reason: str = "",
    ) -> tuple[Fact, ...]:
        """
        Take members out of their enterprise record, or move them to the one of another record.

        Raises:
            UnknownIdentifier: a record was never heard of.
            LinkConflict: they are not of one enterprise record, nothing would stay in it, or it
                contradicts a standing decision.
        """
        return self._act(
            reviewer,
            "fact.split" if to is None else "fact.moved",
            lambda uow, actor, at: self._decisions.split(
                uow, members, to=to, actor=actor, reason=reason, at=at
            ),
        )

    def set_aside(self, statement_id: int, *, reviewer: str, reason: str = "") -> tuple[Fact, ...]:
        """
        Take the effect of one statement back, as if its message had never been sent.

        Raises:
            UnknownReview: no such statement.
        """

        def act(uow: UnitOfWork, actor: str, at: datetime) -> list[Fact]:
            statement = uow.records.statement(statement_id)
            if statement is None:
                raise UnknownReview(f"statement {statement_id}: no such statement")
            return self._decisions.set_aside(uow, statement, actor=actor, reason=reason, at=at)

        return self._act(reviewer, "fact.set_aside", act)

    def confirm(self, fact_id: int, *, reviewer: str) -> tuple[Fact, ...]:
        """
        Agree, as the second person, to what another one proposed.

        Raises:
            UnknownReview: no such fact.
            StaleReview: it does not wait for this person.
            LinkConflict: meanwhile it contradicts a standing decision.
        """
        return self._act(
            reviewer,
            "fact.confirmed",
            lambda uow, actor, at: self._decisions.confirm(uow, _fact(uow, fact_id), actor=actor, at=at),
        )

    def _act(
        self, reviewer: str, kind: str, act: Callable[[UnitOfWork, str, datetime], list[Fact]]
    ) -> tuple[Fact, ...]:
        """One decision of a person: its facts, what follows, and its trace, in one transaction."""
        now = self._clock()
        actor = f"user:{reviewer}"
        with self._store.write() as uow:
            facts = act(uow, actor, now)
            details = {"facts": [fact.id for fact in facts], "proposed": not all(f.stands for f in facts)}
            uow.audit.append(AuditEvent(actor, "U", kind, f"fact/{facts[0].id}", now, details))
            uow.commit()
        return tuple(facts)

    def withdraw(self, fact_id: int, *, actor: str, knowing: Collection[int] = ()) -> Fact:
        """
        Undo an act: withdraw its facts and derive again, as if they had never stood.

        What two people decided takes two to undo: the first call only asks.

        Args:
            knowing: facts asserted later about the records that would move, which the caller has seen.

        Raises:
            UnknownReview: no such fact.
            StaleReview: it was withdrawn already, or waits for another person to agree.
            LinkConflict: later facts rest on it (`LinkConflict.facts`), or it cannot be undone.
        """
        now = self._clock()
        with self._store.write() as uow:
            fact = self._decisions.withdraw(uow, _fact(uow, fact_id), actor=actor, at=now, knowing=knowing)
            kind = "fact.withdrawn" if fact.withdrawn_at is not None else "fact.withdrawal_asked"
            uow.audit.append(AuditEvent(actor, "U", kind, f"fact/{fact_id}", now))
            uow.commit()
        return fact

    def erase(self, key: RecordKey, *, reviewer: str, reason: str) -> str:
        """
        Destroy what is known under an identifier, and the messages that said it. It cannot be undone.

        The enterprise identifier it bore is retired for ever; should the site use the identifier
        again, a new epoch of it begins.

        Returns:
            The native enterprise identifier that is retired.

        Raises:
            UnknownIdentifier: it was never heard of, or is erased already.
        """
        now = self._clock()
        actor = f"user:{reviewer}"
        with self._store.write() as uow:
            fact, euid, seeds = erase(uow, self.intake, key, actor=actor, reason=reason, at=now)
            self.derivation.recompute(uow, seeds, at=now, cause=f"fact/{fact}")
            uow.audit.append(AuditEvent(actor, "D", "identity.erased", f"euid/{euid}", now, {"fact": fact}))
            uow.commit()
        return euid

    def timeline(self, euid: str, *, visible: frozenset[str], actor: str) -> tuple[Happening, ...]:
        """
        What happened to a person and why, oldest first: statements, assertions, links, questions.

        Raises:
            UnknownIdentifier: never issued, or nothing of it is visible to the caller.
        """
        with self._store.read() as uow:
            found = read_timeline(uow, euid, visible=visible, changes_person=self.intake.changes_person)
        self._audit_read(actor, "R", "patient.timeline", f"euid/{euid if found else 'unknown'}")
        if not found:
            raise UnknownIdentifier("euid", "unknown enterprise identifier")
        return found

    def told(self, consumer: str, key: RecordKey, *, on: datetime, actor: str) -> Told:
        """
        What a consumer would have been answered about an identifier on a day, and had been told by then.

        For those who audit: it answers for identities as they were protected then, not as they are now.

        Raises:
            UnknownIdentifier: no such consumer, or it would have been told that the identifier is unknown.
        """
        party = next((one for one in self.directory.consumers if one.name == consumer), None)
        if party is None:
            raise UnknownIdentifier("consumer", "no consumer has this name")
        if key.domain not in party.domains:
            raise UnknownIdentifier("domain", "this consumer may not see that domain")
        with self._store.read() as uow:
            found = self._answers.cross_reference(
                uow, key, targets=None, visible=party.domains, as_of=on, protected_now=False
            )
            rows = uow.outbox.to(consumer, until=on)
            euids = set() if found is None else self._answers.euids_of(uow, key, until=on)
        self._audit_read(actor, "R", "audit.told", "query", {"consumer": consumer})
        if found is None:
            raise UnknownIdentifier("identifier")
        notified = tuple(row for row in rows if euids & set(row.payload.get("euids", ())))
        return Told(tuple(member.identifier for member in found), notified)

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


def policy_in_bits(policy: LinkPolicy, model: MatchModel) -> LinkPolicy:
    """A policy with the bounds that a model sets."""
    bounds = model.thresholds
    return replace(
        policy,
        same_domain_bits=bounds.same_domain_bits,
        bridge_bits=bounds.upper_bits + BRIDGE_MARGIN_BITS,
    )


def _fact(uow: UnitOfWork, fact_id: int) -> Fact:
    fact = uow.facts.get(fact_id)
    if fact is None:
        raise UnknownReview(f"fact {fact_id}: no such fact")
    return fact


def _live_task(uow: UnitOfWork, task_id: int) -> Task:
    task = uow.reviews.get(task_id)
    if task is None:
        raise UnknownReview(f"review {task_id}: no such task")
    if task.state not in LIVE_STATES:
        raise StaleReview(f"review {task_id} is {task.state} at version {task.version}")
    return task


def _refuse_claimed(task: Task, reviewer: str, at: datetime) -> None:
    if task.held_by(at) not in ("", reviewer):
        raise StaleReview(f"review {task.id} is being worked on by somebody else")


def _changed_since_answer(history: Sequence[Task]) -> tuple[str, ...]:
    """The traits that compare otherwise than when somebody last answered; none when nobody did."""
    since_answered = dropwhile(lambda version: version.verdict is None, reversed(history))
    answered = list(takewhile(lambda version: version.verdict is not None, since_answered))
    return changes(answered[-1].fingerprint, history[-1].fingerprint) if answered else ()


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


def _had_its_turn(prior: StoredMessage | None) -> bool:
    """Whether a message was kept when its number was expected, and could not be applied: it may be corrected."""
    return (
        prior is not None
        and prior.state is not MessageState.APPLIED
        and prior.error != OutOfSequence.__name__
    )


def _take_turn(
    uow: UnitOfWork, source: str, number: int, *, corrects: bool
) -> tuple[int, OutOfSequence | None]:
    """The number a source has to send after this message, and why it is not this one's turn."""
    expected = uow.sequences.expected(source)
    try:
        following = sequence.following(number, expected)
    except OutOfSequence as gap:
        return gap.expected, None if corrects and number < gap.expected else gap
    if following != expected:
        uow.sequences.expect(source, following)
    return sequence.ANY if following is None else following, None


def _warnings(instruction: Instruction | None) -> tuple[str, ...]:
    if isinstance(instruction, IdentityStated):
        return tuple(dict.fromkeys(text for record in instruction.records for text in record.warnings))
    if isinstance(instruction, IdentifiersMerged | IdentifiersLinked | PatientMoved):
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
        case IdentifiersMerged() if effect.records:
            survivor, subsumed = effect.records
            return [
                AuditEvent(who, "D", "identity.subsumed", f"record/{subsumed}", at, details),
                AuditEvent(who, "U", "identity.merged", f"record/{survivor}", at, details),
            ]
        case IdentifiersLinked(linked=linked):
            return [
                AuditEvent(
                    who, "U", "identity.linked" if linked else "identity.unlinked", subject, at, details
                )
            ]
        case PatientMoved():
            return [AuditEvent(who, "U", "identity.visits_moved", subject, at, details)]
        case IdentityStated():
            return [
                AuditEvent(who, "U", "identity.stated", subject, at, {**details, "moved": list(effect.moved)})
            ]
        case _:
            return [AuditEvent(who, "E", "message.applied", subject, at, details)]
