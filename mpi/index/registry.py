"""
The registry: every change to who is whom passes through here, and every answer comes from here.

Each use-case is one transaction. It commits before it returns, so what a caller acknowledges is
durable; it appends its audit events in the same transaction, so nothing is written unaudited.
What the use-cases do is in `intake` (messages), `derivation` (sets and tasks), `answers` (reads).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from itertools import dropwhile, islice, takewhile
from typing import Any

from mpi.errors import (
    StaleReview,
    UnknownIdentifier,
    UnknownReview,
)
from mpi.identity.ins import NEVER_ANSWERED
from mpi.identity.model import Demographics, PatientIdentifier, RecordKey
from mpi.identity.traits import Traits, normalise
from mpi.index.answers import Answers, Candidate, CrossReference, EnterpriseRecord
from mpi.index.attempts import InFlight, NotNoted
from mpi.index.audit import AuditEvent
from mpi.index.decisions import Decisions, TwoPersonRule
from mpi.index.derivation import Derivation
from mpi.index.epochs import Held
from mpi.index.erasure import erase
from mpi.index.events import (
    Envelope,
    Fact,
    Instruction,
    MessageState,
    Receipt,
)
from mpi.index.finding import Finding, asked_parts
from mpi.index.following import Delays, Following
from mpi.index.grades import Match, graded, rank
from mpi.index.graph import BRIDGE_MARGIN_BITS, LinkPolicy
from mpi.index.intake import Intake
from mpi.index.notices import Notices
from mpi.index.parties import Directory
from mpi.index.people import People
from mpi.index.persons import Persons
from mpi.index.ports import Clock, OutboxRow, Store, StoredMessage, StoredRecord, UnitOfWork
from mpi.index.reception import InboxLimits, Reader, Reception
from mpi.index.reporting import Reporting
from mpi.index.resolution import Identity, Resolution
from mpi.index.review import LIVE_STATES, WHOLE, Task, TaskState, Topic, Verdict, changes
from mpi.index.search import Person, Search, SearchAnswer
from mpi.index.sights import Sights
from mpi.index.timeline import Happening
from mpi.index.versions import Version, versions_of
from mpi.matching.counterfactual import Counterfactual, counterfactuals
from mpi.matching.model import MatchModel
from mpi.matching.online import ScoredPair, score


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
        inbox: how often a message is tried, and how much may be quarantined.
        in_flight: where it is noted what is in work.
        delays: how long sites are given to correct what they are asked.
    """

    def __init__(
        self,
        store: Store,
        directory: Directory,
        model: MatchModel,
        clock: Clock,
        policy: LinkPolicy | None = None,
        rule: TwoPersonRule | None = None,
        inbox: InboxLimits | None = None,
        in_flight: InFlight | None = None,
        delays: Delays | None = None,
    ) -> None:
        self._over = partial(
            Registry,
            directory=directory,
            model=model,
            clock=clock,
            policy=policy,
            rule=rule,
            inbox=inbox,
            in_flight=in_flight,
            delays=delays,
        )
        self._store = store
        self.directory = directory
        self.model = model
        self._clock = clock
        self.policy = policy_in_bits(policy or LinkPolicy(), model)
        self.derivation = Derivation(model, self.policy, Notices(directory), directory.priority_of)
        self.intake = Intake(model, self.derivation, store.euid_secret)
        following = Following(directory, delays or Delays(), self.intake.changes_person)
        self.reporting = Reporting(store, self.derivation, following, clock)
        self._reception = Reception(
            store, self.intake, following, clock, inbox or InboxLimits(), in_flight or NotNoted()
        )
        self._decisions = Decisions(model, self.derivation, self.intake, self.policy, rule or TwoPersonRule())
        self._domains = frozenset(domain.key for domain in directory.domains)
        self.sights = Sights(store, self.derivation, self._domains, clock)
        persons = Persons(self._domains, self.derivation, self.intake)
        self._answers = Answers(
            directory, model, self.policy, store.euid_secret, persons, self.intake.changes_person
        )
        self._finding = Finding(People(directory.domains, persons, self.intake.changes_person))

    def over(self, store: Store) -> "Registry":
        """The same use-cases over another view of the store; the queues are made in the store itself."""
        registry = self._over(store)
        registry.sights = self.sights
        return registry

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

        A message whose handling fails unexpectedly, or ends the service, is tried a few times and then
        quarantined; what the same source says of the same patient afterwards is parked behind it.

        Args:
            read: turns the bytes into an instruction; may raise FeedError, RegistryError or NotPermitted.
            reply: makes the bytes to answer from the state, the error and the warnings; stored with
                the message.

        Raises:
            SourceStopped: the quarantine of its source is full. Nothing was kept.
            StoreError: nothing is durable, or nobody knows. Do not acknowledge.
        """
        return self._reception.receive(envelope, read, reply)

    def replay(
        self,
        message_id: int,
        reader: Reader,
        *,
        actor: str,
        corrected: Envelope | None = None,
        reason: str = "",
    ) -> Receipt:
        """
        Process a quarantined or refused message again, as a new message of the journal.

        Args:
            corrected: what to process in its place; the message itself stays as it came.
            reason: why, in the words of who does.

        Raises:
            UnknownIdentifier: no such message.
            LinkConflict: it was applied, repaired or discarded, or is of another source than its correction.
        """
        return self._reception.replay(message_id, reader, actor=actor, corrected=corrected, reason=reason)

    def discard(self, message_id: int, *, actor: str, reason: str) -> None:
        """
        Decide that a quarantined, refused or parked message shall have no effect. It stays in the journal.

        Raises:
            UnknownIdentifier: no such message.
            LinkConflict: it was applied, repaired or discarded.
        """
        self._reception.discard(message_id, actor=actor, reason=reason)

    def full_quarantines(self) -> frozenset[str]:
        """Names of the sources of which nothing more is taken: their quarantine is full."""
        return self._reception.full_quarantines([source.name for source in self.directory.sources])

    def release_parked(self, reader: Reader) -> list[Receipt]:
        """
        Process, in their order, the parked messages that wait for no other any more.

        Raises:
            StoreError: nothing more is durable, or nobody knows.
        """
        return self._reception.release(reader)

    def cross_reference(
        self,
        key: RecordKey,
        *,
        targets: frozenset[str] | None,
        visible: frozenset[str],
        actor: str,
        as_of: datetime | None = None,
        follow_retired: bool = True,
        trace: Mapping[str, Any] | None = None,
    ) -> CrossReference:
        """
        The other identifiers of the person a record is about, and whether the identity is doubtful.

        Candidates that wait for a review are never in the answer, nor retired identifiers, nor
        anonymous or hidden identities. A retired identifier may be asked for: it answers for
        the record it was merged into.

        Args:
            targets: domain keys wanted; None for every one the caller may see.
            visible: domain keys the caller may see; nothing else leaves.
            follow_retired: False for a caller to whom a retired identifier is unknown.
            trace: what tells this question from others in the audit trail: never what is asked.

        Raises:
            UnknownIdentifier: never stated to this index, or not to be answered.
        """
        with self._store.read() as uow:
            found = self._answers.cross_reference(uow, key, targets=targets, visible=visible, as_of=as_of)
            asked = None if found is not None else self._answers.named(uow, key, as_of=as_of)
        asked_id = found.asked_id if found is not None else asked.id if asked is not None else "unknown"
        retired = found is not None and found.retired
        if retired and not follow_retired:
            found = None
        named = [member.record.id for member in found.members] if found is not None else []
        details = {"found": found is not None, "named": named, **(trace or {})}
        if retired:
            details["retired"] = True
        self._audit_read(actor, "E", "query.cross_reference", f"record/{asked_id}", details)
        if found is None:
            raise UnknownIdentifier("identifier")
        return found

    def record_refusal(
        self, *, actor: str, kind: str, place: str, trace: Mapping[str, Any] | None = None
    ) -> None:
        """Leave the trace of a question that was not answered: who may not ask, or asked for what it may not see."""
        self._audit_read(actor, "E", f"{kind}.refused", "query", {"place": place, **(trace or {})})

    def euid_of(
        self, key: RecordKey, *, as_of: datetime | None = None, visible: frozenset[str] | None = None
    ) -> str:
        """
        What identifies the person of a source record: the enterprise identifier, or `Person.id`.

        Args:
            visible: domain keys the caller may see; None for every one.

        Raises:
            UnknownIdentifier: never stated, or not to be answered.
        """
        seen = self._domains if visible is None else visible
        with self._store.read() as uow:
            found = self._answers.cross_reference(uow, key, targets=None, visible=seen, as_of=as_of)
        if found is None:
            raise UnknownIdentifier("identifier")
        return found.person

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

    def person(
        self, person_id: str, *, visible: frozenset[str], actor: str, as_of: datetime | None = None
    ) -> Person:
        """
        A person as the caller may see them, by the identifier that `Person.id` had at any time.

        Raises:
            UnknownIdentifier: never issued, or nothing of the person is visible to the caller.
        """
        with self._store.read() as uow:
            found = self._finding.person(uow, person_id, visible=visible, as_of=as_of)
        self._audit_read(actor, "R", "patient.read", f"euid/{found.id if found else 'unknown'}")
        if found is None:
            raise UnknownIdentifier("euid", "unknown enterprise identifier")
        return found

    def search(
        self,
        wanted: Search,
        *,
        visible: frozenset[str],
        actor: str,
        most: int,
        as_of: datetime | None = None,
        trace: Mapping[str, Any] | None = None,
    ) -> SearchAnswer:
        """
        The people that answer a search, most alike first (see `mpi.index.search`).

        What was asked is audited by the names of its parts, never by their values.

        Args:
            visible: domain keys the caller may see; nothing else is found, counted or answered.
            most: how many people may be answered; when there are more, nobody is.
            trace: what tells this question from others in the audit trail: never what is asked.
        """
        with self._store.read() as uow:
            answer = self._finding.search(uow, wanted, visible=visible, most=most, as_of=as_of)
        named = [found.person.id for found in answer.found]
        details = {"asked": asked_parts(wanted), "found": len(named), "too_broad": answer.too_broad}
        self._audit_read(actor, "E", "query.search", "query", {**details, "named": named, **(trace or {})})
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

    def match(
        self,
        identity: Demographics,
        *,
        keys: Collection[RecordKey],
        visible: frozenset[str],
        actor: str,
        limit: int = 20,
    ) -> tuple[Match, ...]:
        """
        The people that an identity may be, graded, best first. Nothing of the identity is stored.

        Args:
            keys: identifiers that came with it.
            visible: domain keys the caller may see; records of others do not answer.
        """
        traits = normalise(identity)
        with self._store.read() as uow:
            candidates = self._answers.find_candidates(uow, traits, visible=visible)[:limit]
            wanted = Search(persons=tuple(candidate.record.native_euid for candidate in candidates))
            found = self._finding.search(uow, wanted, visible=visible, most=limit).found if candidates else ()
        person_of = {member.record.id: one.person for one in found for member in one.person.members}
        matches = [
            graded(traits, keys, person_of[candidate.record.id], candidate.score)
            for candidate in candidates
            if candidate.record.id in person_of
        ]
        details = {"named": [match.person.id for match in matches]}
        self._audit_read(actor, "E", "query.match", "query", details)
        return tuple(sorted(matches, key=rank))

    def person_versions(
        self, person_id: str, *, visible: frozenset[str], actor: str, most: int
    ) -> tuple[Version, ...]:
        """
        The newest versions of a person as the caller may see them, the present one first.

        Raises:
            UnknownIdentifier: never issued, or nothing of the person is visible to the caller.
        """

        def person_at(uow: UnitOfWork, asked: str, as_of: datetime | None) -> Person | None:
            return self._finding.person(uow, asked, visible=visible, as_of=as_of)

        with self._store.read() as uow:
            sees_all = self._domains <= visible
            every = versions_of(uow, person_id, visible=visible, sees_all=sees_all, person_at=person_at)
            found = tuple(islice(every, most))
        self._audit_read(actor, "R", "patient.read", f"euid/{found[0].person.id if found else 'unknown'}")
        if not found:
            raise UnknownIdentifier("euid", "unknown enterprise identifier")
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
        sight: int = WHOLE,
    ) -> list[Task]:
        """Review tasks by ascending id, as they are or as they were at an instant; `sight` says whose (`Sights`)."""
        with self._store.read() as uow:
            return uow.reviews.page(
                states=states, kind=kind, after=after, limit=limit, as_of=as_of, sight=sight
            )

    def urgent_tasks(
        self,
        *,
        states: Collection[TaskState] = LIVE_STATES,
        kind: str | None = None,
        after: Task | None = None,
        limit: int = 50,
        sight: int = WHOLE,
    ) -> list[Task]:
        """Review tasks, what matters most first (`review.priority`); `sight` says whose (`Sights`)."""
        with self._store.read() as uow:
            return uow.reviews.urgent(states=states, kind=kind, after=after, limit=limit, sight=sight)

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
            ends = uow.records.by_ids({task.key.left_id, task.key.right_id}).values()
            self.reporting.follow(uow, [record.key for record in ends], by=actor, at=now)
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
            self.reporting.follow(uow, _ends(facts), by=actor, at=now)
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
            self.reporting.follow(uow, _ends(uow.facts.of_act(fact.act_id or fact.id)), by=actor, at=now)
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
            self.reporting.follow(uow, _ends([_fact(uow, fact)]), by=actor, at=now)
            uow.audit.append(AuditEvent(actor, "D", "identity.erased", f"euid/{euid}", now, {"fact": fact}))
            uow.commit()
        return euid

    def timeline(
        self, euid: str, *, visible: frozenset[str], actor: str, sight: int = WHOLE
    ) -> tuple[Happening, ...]:
        """
        What happened to a person and why, oldest first: statements, assertions, links, questions.

        Raises:
            UnknownIdentifier: never issued, or nothing of it is visible to the caller.
        """
        with self._store.read() as uow:
            found = self._answers.timeline(uow, euid, visible=visible, sight=sight)
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
        return Told(found.identifiers, notified)

    def facts(self, *, after: int = 0, limit: int = 50) -> list[Fact]:
        """Assertions by ascending id, withdrawn ones included."""
        with self._store.read() as uow:
            return uow.facts.page(after=after, limit=limit)

    def messages(
        self,
        *,
        state: MessageState | None = None,
        source: str | None = None,
        problem: str | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[StoredMessage]:
        """The journal of received messages by ascending id."""
        with self._store.read() as uow:
            return uow.inbox.page(state=state, source=source, problem=problem, after=after, limit=limit)

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
        self._store.trace(AuditEvent(actor, action, kind, subject, self._clock(), dict(details or {})))


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


def _ends(facts: Iterable[Fact]) -> set[RecordKey]:
    """The records that facts are about."""
    return {key for fact in facts for key in (fact.left, fact.right)}


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
