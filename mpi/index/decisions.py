"""
Decisions: what people assert about who is whom, how it is undone, and when it takes two of them.

A decision is one act of one or more facts. The facts stand until they are withdrawn, whatever
messages, models or thresholds come after; the sets are derived again from what stands.

Source: RNIV (double validation, reversibility); invariants I8, I13, I17, I18, I47.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mpi.errors import LinkConflict, StaleReview, UnknownIdentifier
from mpi.identity.model import RecordKey
from mpi.index import graph
from mpi.index.derivation import Component, Derivation, Effect
from mpi.index.epochs import Held
from mpi.index.events import ABOUT_A_STATEMENT, NEGATIVE, Fact, FactKind
from mpi.index.graph import LinkPolicy
from mpi.index.intake import Intake
from mpi.index.past import epoch_of
from mpi.index.ports import StoredRecord, StoredStatement, UnitOfWork
from mpi.index.questions import fingerprint
from mpi.index.review import Task, TaskState, Topic, Verdict, check_answer, check_transition, state_after
from mpi.matching.model import MatchModel
from mpi.matching.online import score

_BINDING = frozenset({FactKind.SAME, FactKind.DIFFERENT, FactKind.HOMONYMS})
"""What people say of a pair; one of them contradicts the other two."""


@dataclass(frozen=True, slots=True)
class TwoPersonRule:
    """
    When a decision needs a second person.

    Args:
        qualified: an identity with a qualified INS is among those it touches.
        verified_link: it breaks a link that a person confirmed.
        above_size: it touches a set of more records than this; None for any size.
    """

    qualified: bool = False
    verified_link: bool = False
    above_size: int | None = None


class Decisions:
    """
    Applies people's decisions inside a unit of work.

    Args:
        rule: what takes two people.
    """

    def __init__(
        self,
        model: MatchModel,
        derivation: Derivation,
        intake: Intake,
        policy: LinkPolicy,
        rule: TwoPersonRule,
    ) -> None:
        self._model = model
        self._derivation = derivation
        self._intake = intake
        self._policy = policy
        self._rule = rule

    # ------------------------------------------------------------------------ on a task

    def decide(
        self, uow: UnitOfWork, task: Task, verdict: Verdict, *, actor: str, reason: str, at: datetime
    ) -> Task:
        """
        Answer a task: the facts it becomes, and what follows from them.

        A proposed task answered alike by another person is confirmed; answered otherwise, the first
        answer falls and the second is the proposal.

        Raises:
            LinkConflict: not an answer to this question, or it contradicts what stands.
            StaleReview: the same person cannot be the second one.
        """
        check_answer(task.key.topic, verdict)
        if task.state is TaskState.PROPOSED and task.fact_id is not None:
            proposed = uow.facts.get(task.fact_id)
            assert proposed is not None
            if proposed.actor == actor:
                raise StaleReview(f"review {task.id} waits for another person to confirm it")
            if verdict is task.verdict:
                self.confirm(uow, proposed, actor=actor, at=at)
                return _reread(uow, task)
            for fact in uow.facts.of_act(proposed.id):
                uow.facts.withdraw(fact.id, at=at, by=actor)
        records = uow.records.by_ids({task.key.left_id, task.key.right_id})
        drafts = self._drafts(uow, task, verdict, records[task.key.left_id], records[task.key.right_id])
        facts = self._add(uow, drafts, actor=actor, reason=reason, at=at)
        proposed_now = any(not fact.stands for fact in facts)
        target = TaskState.PROPOSED if proposed_now else state_after(task.key.topic, verdict)
        check_transition(task.state, target)
        uow.reviews.change(
            replace(
                task,
                state=target,
                verdict=verdict,
                reviewer=actor.removeprefix("user:"),
                fact_id=next((f.id for f in facts if f.recorded_at == at), facts[0].id) if facts else None,
            ),
            at=at,
        )
        if facts and not proposed_now:
            self._apply(uow, facts, at=at)
        elif task.state is TaskState.PROPOSED:  # what was proposed no longer keeps the question open
            self._derivation.recompute(uow, records, at=at, cause=f"task/{task.id}")
        return _reread(uow, task)

    def _drafts(
        self, uow: UnitOfWork, task: Task, verdict: Verdict, left: StoredRecord, right: StoredRecord
    ) -> list[Fact]:
        """The facts an answer becomes, before they are added."""
        if verdict in (Verdict.UNDECIDED, Verdict.DISMISSED):
            return []
        if task.key.topic is Topic.OVERLAY:
            held = self.held(uow, left.key)
            if not held:
                raise StaleReview(f"review {task.id}: no statement is held any more")
            kind = _ON_OVERLAY[verdict]
            chosen = held if kind is FactKind.SET_ASIDE else held[:1]
            return [_about_statement(kind, left.key, item.statement.id) for item in chosen]
        first, second = sorted((left.key, right.key))
        if verdict is Verdict.SAME:
            return [_draft(FactKind.SAME, first, second)]
        if verdict is Verdict.HOMONYMS:
            return [_draft(FactKind.HOMONYMS, first, second)]
        drafts = [_draft(FactKind.DIFFERENT, first, second)]
        if verdict is not Verdict.DIFFERENT:
            wrong = left.key if verdict is Verdict.LEFT_WRONG else right.key
            drafts.append(_draft(FactKind.DOUBTED, wrong, wrong))
        return drafts

    def held(self, uow: UnitOfWork, key: RecordKey) -> list[Held]:
        """The statements of a record that the overlay firewall holds, as they were judged."""
        return list(epoch_of(uow, key, self._intake.changes_person).held)

    # --------------------------------------------------------------------- on the records

    def relate(
        self,
        uow: UnitOfWork,
        verdict: Verdict,
        left: RecordKey,
        right: RecordKey,
        *,
        actor: str,
        reason: str,
        at: datetime,
    ) -> list[Fact]:
        """
        Say of two records, whether or not anybody asked, that they are one person, or two.

        Raises:
            UnknownIdentifier: one of them was never heard of.
            LinkConflict: they are one record, or it contradicts what stands.
        """
        kind = {
            Verdict.SAME: FactKind.SAME,
            Verdict.DIFFERENT: FactKind.DIFFERENT,
            Verdict.HOMONYMS: FactKind.HOMONYMS,
        }.get(verdict)
        if kind is None:
            raise LinkConflict("two records are the same, different, or homonyms")
        if left == right:
            raise LinkConflict("a record is related to another one")
        _known(uow, (left, right))
        return self._act(uow, [_draft(kind, *sorted((left, right)))], actor=actor, reason=reason, at=at)

    def doubt(self, uow: UnitOfWork, key: RecordKey, *, actor: str, reason: str, at: datetime) -> list[Fact]:
        """Say that a record is wrong: it links to nothing by weight until that is withdrawn."""
        _known(uow, (key,))
        return self._act(uow, [_draft(FactKind.DOUBTED, key, key)], actor=actor, reason=reason, at=at)

    def split(
        self,
        uow: UnitOfWork,
        members: Collection[RecordKey],
        *,
        to: RecordKey | None,
        actor: str,
        reason: str,
        at: datetime,
    ) -> list[Fact]:
        """
        Take members out of their set, and move them to another one when `to` names a record of it.

        One act: every pair across is told apart, so that no weight brings them back.

        Raises:
            UnknownIdentifier: a record was never heard of.
            LinkConflict: they are not of one set, nothing would be left of it, or it contradicts
                what stands.
        """
        leaving = _known(uow, members)
        euids = set(uow.memberships.current([record.id for record in leaving]).values())
        if len(euids) != 1:
            raise LinkConflict("the records to split out are not of one enterprise record")
        whole = uow.records.by_ids(uow.memberships.members(euids.pop()))
        staying = [record.key for record in whole.values() if record.key not in members]
        if not staying:
            raise LinkConflict("nothing would stay in the enterprise record")
        if to is not None:
            _known(uow, (to,))
            if to in {record.key for record in whole.values()}:
                raise LinkConflict("the records are already in that enterprise record")
        drafts = [
            _draft(FactKind.DIFFERENT, *sorted((out, stays))) for out in sorted(members) for stays in staying
        ]
        if to is not None:
            drafts += [_draft(FactKind.SAME, *sorted((out, to))) for out in sorted(members)]
        return self._act(uow, drafts, actor=actor, reason=reason, at=at)

    def set_aside(
        self, uow: UnitOfWork, statement: StoredStatement, *, actor: str, reason: str, at: datetime
    ) -> list[Fact]:
        """
        Take the effect of one statement back, as if it had never been sent.

        Raises:
            LinkConflict: somebody has decided otherwise about it.
        """
        first = uow.records.get(statement.record_id)
        epochs = uow.records.epochs(first.key.domain, first.key.value)
        for fact in uow.facts.standing([epoch.key for epoch in epochs]):
            if fact.statement_id == statement.id and fact.kind in (FactKind.CONTINUED, FactKind.RECYCLED):
                raise LinkConflict(f"fact {fact.id} is about that statement; withdraw it first", [fact.id])
        draft = _about_statement(FactKind.SET_ASIDE, first.key, statement.id)
        return self._act(uow, [draft], actor=actor, reason=reason, at=at)

    # ---------------------------------------------------------------- the second person

    def confirm(self, uow: UnitOfWork, fact: Fact, *, actor: str, at: datetime) -> list[Fact]:
        """
        Agree, as the second person, to what another one proposed.

        Raises:
            StaleReview: it stands, it was withdrawn, or the same person proposed it.
            LinkConflict: meanwhile it contradicts what stands.
        """
        act = uow.facts.of_act(fact.act_id or fact.id)
        if fact.withdrawn_at is not None or fact.stands:
            raise StaleReview(f"fact {fact.id} does not wait for a second person")
        if fact.actor == actor:
            raise StaleReview(f"fact {fact.id} waits for another person than the one who proposed it")
        for one in act:
            self._refuse_contradiction(uow, one)
            uow.facts.confirm(one.id, at=at, by=actor)
        confirmed = uow.facts.of_act(act[0].id)
        for task in uow.reviews.by_fact(act[0].id):
            assert task.verdict is not None
            state = state_after(task.key.topic, task.verdict)
            check_transition(task.state, state)
            uow.reviews.change(replace(task, state=state), at=at)
        self._apply(uow, confirmed, at=at)
        return confirmed

    # -------------------------------------------------------------------------- undo

    def withdraw(
        self, uow: UnitOfWork, fact: Fact, *, actor: str, at: datetime, knowing: Collection[int]
    ) -> Fact:
        """
        Undo an act: withdraw its facts and derive again, as if it had never been.

        What two people made takes two people to undo: the first call asks, the second withdraws.

        Args:
            knowing: later facts about the records that would move, which the caller has seen.

        Raises:
            StaleReview: it is withdrawn already, or waits for another person.
            LinkConflict: an erasure cannot be undone, the doubt of a report is lifted where it is answered; or
                later facts rest on this one, which it lists.
        """
        if fact.withdrawn_at is not None:
            raise StaleReview(f"fact {fact.id} is already withdrawn")
        if fact.kind is FactKind.ERASED:
            raise LinkConflict("what was erased cannot come back")
        if fact.kind is FactKind.REPORTED:
            raise LinkConflict("the doubt that a report raised is lifted by answering the report")
        act = [one for one in uow.facts.of_act(fact.act_id or fact.id) if one.withdrawn_at is None]
        verified = self._rule.verified_link and any(one.kind is FactKind.SAME for one in act)
        if fact.stands and (fact.second_needed or verified):
            asked_by = {one.withdrawal_asked_by for one in act} - {""}
            if not asked_by:
                uow.facts.ask_withdrawal(fact.id, by=actor)
                return replace(fact, withdrawal_asked_by=actor)
            if actor in asked_by:
                raise StaleReview(f"the withdrawal of fact {fact.id} waits for another person")
        for one in act:
            uow.facts.withdraw(one.id, at=at, by=actor)
            for task in uow.reviews.by_fact(one.id):
                again = replace(task, state=TaskState.OPEN, verdict=None, reviewer="", fact_id=None)
                uow.reviews.change(again, at=at)
        moved = self._apply(uow, act, at=at)
        resting = self._resting_on(uow, act, moved)
        if set(resting) - set(knowing):
            raise LinkConflict(
                f"facts {resting} were asserted later about records that would move; "
                "withdraw them first, or say that you know them",
                resting,
            )
        return replace(fact, withdrawn_at=at, withdrawn_by=actor)

    @staticmethod
    def _resting_on(uow: UnitOfWork, act: Sequence[Fact], moved: Iterable[int]) -> list[int]:
        """Standing facts asserted after an act about records that its withdrawal moves."""
        last = max(fact.id for fact in act)
        keys = [record.key for record in uow.records.by_ids(list(moved)).values()]
        return sorted(fact.id for fact in uow.facts.standing(keys) if fact.id > last)

    # ------------------------------------------------------------------------ inside

    def _act(
        self, uow: UnitOfWork, drafts: Sequence[Fact], *, actor: str, reason: str, at: datetime
    ) -> list[Fact]:
        proposed = [_proposed_alike(uow, draft, actor) for draft in drafts]
        if proposed[0] is not None and None not in proposed:
            return self.confirm(uow, proposed[0], actor=actor, at=at)
        facts = self._add(uow, drafts, actor=actor, reason=reason, at=at)
        if all(fact.stands for fact in facts):
            self._apply(uow, facts, at=at)
        return facts

    def _add(
        self, uow: UnitOfWork, drafts: Sequence[Fact], *, actor: str, reason: str, at: datetime
    ) -> list[Fact]:
        """
        Add the facts of one act; those that stand already are not said twice.

        An answer repeated on records that compare otherwise is another one, beside the one that stands.
        """
        second = bool(drafts) and self._needs_second(uow, drafts)
        facts: list[Fact] = []
        for draft in drafts:
            seen = self._seen(uow, draft)
            standing = _standing_alike(uow, draft)
            if standing is not None and dict(standing.seen) == seen:
                facts.append(standing)
                continue
            self._refuse_contradiction(uow, draft)
            act_id = next((fact.act_id or fact.id for fact in facts if fact.recorded_at == at), None)
            fact = replace(
                draft,
                actor=actor,
                reason=reason,
                event_time=at,
                recorded_at=at,
                seen=seen,
                second_needed=second,
                act_id=act_id,
            )
            facts.append(replace(fact, id=uow.facts.add(fact)))
        return facts

    def _seen(self, uow: UnitOfWork, draft: Fact) -> dict[str, str]:
        """How the two records compare, for facts that a change of it should question."""
        if draft.kind not in NEGATIVE:
            return {}
        records = uow.records.by_keys((draft.left, draft.right))
        if len(records) < 2:
            return {}
        left, right = records.values()
        return fingerprint(score(self._model, left.traits, right.traits).evidence)

    def _apply(self, uow: UnitOfWork, facts: Sequence[Fact], *, at: datetime) -> list[int]:
        """Derive again what facts touch. Returns the records that moved."""
        seeds: set[int] = set()
        about_statements = {
            RecordKey(f.left.domain, f.left.value) for f in facts if f.kind in ABOUT_A_STATEMENT
        }
        ends = {key for fact in facts for key in (fact.left, fact.right)}
        seeds |= {record.id for record in uow.records.by_keys(ends).values()}
        before = uow.memberships.current(self._derivation.component(uow, seeds).inside)
        for key in sorted(about_statements):
            seeds |= self._intake.refold(uow, key).seeds
        effect: Effect = self._derivation.recompute(uow, seeds, at=at, cause=f"fact/{facts[0].id}")
        after = uow.memberships.current({*effect.records, *before})
        return sorted(i for i, euid in after.items() if before.get(i) != euid)

    def _needs_second(self, uow: UnitOfWork, drafts: Sequence[Fact]) -> bool:
        rule = self._rule
        if not (rule.qualified or rule.above_size is not None):
            return False
        keys = {key for draft in drafts for key in (draft.left, draft.right)}
        ids = [record.id for record in uow.records.by_keys(keys).values()]
        euids = set(uow.memberships.current(ids).values())
        sets = [uow.memberships.members(euid) for euid in euids]
        if rule.above_size is not None and sum(map(len, sets)) > rule.above_size:
            return True
        members = uow.records.by_ids([record_id for one in sets for record_id in one])
        return rule.qualified and any(record.traits.qualified_ins for record in members.values())

    def _refuse_contradiction(self, uow: UnitOfWork, draft: Fact) -> None:
        """
        Refuse a decision that what stands makes impossible, rather than let one silently win.

        Same: across the two sets as people hold them together, somebody said they differ, or two
        qualified INS meet. Different: people already hold the two together. The error names the
        fewest facts that explain it.
        """
        if draft.kind not in _BINDING:
            return
        records = uow.records.by_keys((draft.left, draft.right))
        view = self._derivation.component(uow, [record.id for record in records.values()])
        human = [fact for fact in view.facts if fact.kind in _BINDING]
        if draft.kind in NEGATIVE:
            between = graph.chain(human, draft.left, draft.right)
            if between is not None:
                ids = [fact.id for fact in between]
                raise LinkConflict(f"facts {ids} hold these records together; withdraw one first", ids)
            return
        held = graph.partition(
            [view.nodes[i] for i in sorted(view.inside)],
            (),
            human,
            policy=self._policy,
            contradicts=lambda _a, _b: False,
        )
        left, right = (
            next(members for members in held.sets if records[key].id in members)
            for key in (draft.left, draft.right)
        )
        if left == right:
            return
        apart = graph.cannot_links(human, {node.key: node.record_id for node in view.nodes.values()})
        objection = graph.hard_objection(left, right, view.nodes, apart)
        if objection is not None:
            ids = _why_apart(view, human, draft, left, right)
            raise LinkConflict(f"{objection}: these records cannot be one person; facts {ids}", ids)


_ON_OVERLAY = {
    Verdict.SAME: FactKind.CONTINUED,
    Verdict.DIFFERENT: FactKind.SET_ASIDE,
    Verdict.RECYCLED: FactKind.RECYCLED,
}


def _why_apart(
    view: Component, human: Sequence[Fact], draft: Fact, left: frozenset[int], right: frozenset[int]
) -> list[int]:
    """A fact that keeps two sets apart, and the fewest that tie its ends to the two records; none for an INS."""
    sides = ({view.records[i].key for i in left}, {view.records[i].key for i in right})
    found: list[list[int]] = []
    for fact in human:
        if fact.kind not in NEGATIVE:
            continue
        for near, far in ((fact.left, fact.right), (fact.right, fact.left)):
            if near in sides[0] and far in sides[1]:
                ties = [graph.chain(human, draft.left, near), graph.chain(human, far, draft.right)]
                found.append(sorted({fact.id, *(one.id for tie in ties for one in tie or ())}))
    return min(found, key=lambda ids: (len(ids), ids), default=[])


def _draft(kind: FactKind, left: RecordKey, right: RecordKey) -> Fact:
    return Fact(0, kind, left, right, "", _UNSET, _UNSET)


_UNSET = datetime.min


def _about_statement(kind: FactKind, key: RecordKey, statement_id: int) -> Fact:
    return replace(_draft(kind, key, key), statement_id=statement_id)


def _standing_alike(uow: UnitOfWork, draft: Fact) -> Fact | None:
    """The latest standing fact that already says it."""
    alike = [fact for fact in uow.facts.standing((draft.left,)) if _says(fact) == _says(draft)]
    return max(alike, key=lambda fact: fact.id, default=None)


def _proposed_alike(uow: UnitOfWork, draft: Fact, actor: str) -> Fact | None:
    """A fact that says it, proposed by somebody else and waiting for a second person."""
    for fact in uow.facts.ever((draft.left,)):
        waits = fact.second_needed and fact.confirmed_at is None and fact.withdrawn_at is None
        if waits and fact.actor != actor and _says(fact) == _says(draft):
            return fact
    return None


def _says(fact: Fact) -> tuple[FactKind, RecordKey, RecordKey, int | None]:
    return fact.kind, fact.left, fact.right, fact.statement_id


def _known(uow: UnitOfWork, keys: Collection[RecordKey]) -> list[StoredRecord]:
    """
    The records of some keys.

    Raises:
        UnknownIdentifier: one of them was never heard of, or is erased.
    """
    records = uow.records.by_keys(keys)
    if len(records) < len(set(keys)) or graph.erased_keys(uow.facts.standing(keys)) & set(keys):
        raise UnknownIdentifier("record", "unknown identifier")
    return list(records.values())


def _reread(uow: UnitOfWork, task: Task) -> Task:
    found = uow.reviews.get(task.id)
    assert found is not None
    return found


__all__ = ["Decisions", "TwoPersonRule"]
