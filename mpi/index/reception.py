"""
Reception: one message becomes one row of the journal, in one state, with its effect and its reply, all or nothing.

What cannot be applied is kept and answered so; what fails unexpectedly is tried a few times, then
isolated, and what the same source says of the same patient afterwards waits behind it, in order. The
others go on. A person repairs an isolated message, processes it again, or discards it; then those that
waited have their turn.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from mpi.errors import (
    ControlIdReused,
    EarlierMessageWaits,
    FeedError,
    LinkConflict,
    MpiError,
    NotPermitted,
    OutOfSequence,
    PoisonMessage,
    RegistryError,
    StoreError,
    UnknownIdentifier,
    UnsupportedMessage,
)
from mpi.index import sequence
from mpi.index.attempts import MOST_ATTEMPTS, Attempting, InFlight, digest_of
from mpi.index.audit import AuditEvent
from mpi.index.audit_events import action_of_statement
from mpi.index.derivation import NO_EFFECT, Effect
from mpi.index.events import (
    STOPPED,
    Envelope,
    IdentifiersLinked,
    IdentifiersMerged,
    IdentityStated,
    Instruction,
    MessageState,
    Nothing,
    PatientMoved,
    Receipt,
)
from mpi.index.following import Following
from mpi.index.intake import Intake
from mpi.index.parties import UNKNOWN_SOURCE
from mpi.index.ports import Clock, Store, StoredMessage, UnitOfWork
from mpi.index.quarantine import Quarantine, QuarantineQuota

_EXPECTED = (FeedError, RegistryError, NotPermitted)
"""What a message may be stopped by. Anything else is a defect of ours, met on it."""
_HOLDS_ITS_NAME = frozenset({MessageState.APPLIED, MessageState.PARKED})
"""States of a message whose control id is not free for another one."""


@dataclass(frozen=True, slots=True)
class InboxLimits:
    """
    What the journal bears.

    Args:
        max_attempts: how often a message that fails unexpectedly is tried.
    """

    max_attempts: int = MOST_ATTEMPTS
    quota: QuarantineQuota = field(default_factory=QuarantineQuota)


class Reader(Protocol):
    """The feed that a kept message came from, whichever it was."""

    def read(self, envelope: Envelope) -> Instruction:
        """What it asks, by today's configuration; raises the error that says why it cannot be used."""

    def reply(self, envelope: Envelope, receipt: Receipt) -> bytes:
        """How its sender is answered when it sends it again."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """
    A message that is being taken.

    Args:
        replay_of: the message of the journal it takes the place of.
        parked: the message of the journal it is, when it waited for its turn.
        actor: who has it processed, when that is not its source.
        patients: identifier values it was found to be about, in the numbering of its source.
    """

    envelope: Envelope
    read: Callable[[], Instruction]
    reply: Callable[[Receipt], bytes]
    replay_of: int | None = None
    parked: int | None = None
    actor: str = ""
    reason: str = ""
    patients: set[str] = field(default_factory=set)

    @property
    def is_fresh(self) -> bool:
        """Whether its source has just sent it."""
        return self.replay_of is None and self.parked is None


class Reception:
    """
    Takes messages, and settles those that could not be applied.

    Args:
        in_flight: where it is noted what is in work.
    """

    def __init__(
        self,
        store: Store,
        intake: Intake,
        following: Following,
        clock: Clock,
        limits: InboxLimits,
        in_flight: InFlight,
    ) -> None:
        self._store = store
        self._intake = intake
        self._following = following
        self._clock = clock
        self._attempts = Attempting(store, in_flight, limits.max_attempts)
        self._quarantine = Quarantine(store, limits.quota, clock)

    def receive(
        self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes]
    ) -> Receipt:
        """See `Registry.receive`."""
        self._quarantine.check(envelope.source)
        return self._try(_Turn(envelope, read, reply))

    def replay(
        self,
        message_id: int,
        reader: Reader,
        *,
        actor: str,
        corrected: Envelope | None = None,
        reason: str = "",
    ) -> Receipt:
        """See `Registry.replay`."""
        with self._store.read() as uow:
            message = _known(uow, message_id)
        _refuse_unless(message, STOPPED)
        envelope = message.envelope
        if corrected is not None:
            if envelope.source not in (corrected.source, UNKNOWN_SOURCE):
                raise LinkConflict("the correction is not of the source of the message it corrects")
            envelope = corrected
        return self._try(
            _Turn(
                envelope,
                lambda: reader.read(envelope),
                lambda receipt: reader.reply(envelope, receipt),
                replay_of=message_id,
                actor=actor,
                reason=reason,
            )
        )

    def discard(self, message_id: int, *, actor: str, reason: str) -> None:
        """See `Registry.discard`."""
        now = self._clock()
        with self._store.write() as uow:
            message = _known(uow, message_id)
            _refuse_unless(message, STOPPED | {MessageState.PARKED})
            self._settle(uow, message, MessageState.DISCARDED, at=now, by=actor, reason=reason)
            details = {"event": message.envelope.event, "was": message.state.value}
            subject = f"message/{message_id}"
            uow.audit.append(AuditEvent(actor, "U", "message.discarded", subject, now, details))
            uow.commit()

    def full_quarantines(self, sources: Iterable[str]) -> frozenset[str]:
        """See `Registry.full_quarantines`; senders that are no source are among them."""
        return self._quarantine.full([*sources, UNKNOWN_SOURCE])

    def release(self, reader: Reader) -> list[Receipt]:
        """See `Registry.release_parked`."""
        released = []
        while (message := self._next_free()) is not None:
            released.append(self._try(_turn_of_parked(message, reader)))
        return released

    def _next_free(self) -> StoredMessage | None:
        with self._store.read() as uow:
            message_id = uow.waiting.next_free()
            return None if message_id is None else uow.inbox.get(message_id)

    # -------------------------------------------------------------------------- attempts

    def _try(self, turn: _Turn) -> Receipt:
        """Take a message, as often as it fails for no reason of its own; then isolate it."""
        turn.patients.update(turn.envelope.patients)
        with self._attempts.attempt(digest_of(turn.envelope)) as ended:
            tries = 0 if turn.replay_of is not None else ended  # a person who has it tried again means it
            why = f"the service ended {ended} times while it was handled"
            while tries < self._attempts.most:
                try:
                    return self._once(turn)
                except StoreError:
                    raise
                except OSError as error:  # the machine's, not the message's
                    raise StoreError(f"not taken: {error.strerror}") from None
                except Exception as error:  # noqa: BLE001 - whatever it is, it must not block its feed
                    tries += 1
                    # Only the kind of error is kept: its text may hold what was sent.
                    why = f"handling it failed {tries} times ({type(error).__name__})"
            return self._take(turn, None, PoisonMessage("message", why))

    def _once(self, turn: _Turn) -> Receipt:
        try:
            instruction = turn.read()
            turn.patients.update(_values(instruction))
            return self._take(turn, instruction, None)
        except _EXPECTED as error:
            return self._take(turn, None, error)

    # ----------------------------------------------------------------------- transaction

    def _take(self, turn: _Turn, instruction: Instruction | None, problem: Exception | None) -> Receipt:
        """
        Journal one message with its effect and its reply, in one transaction.

        Raises whatever applying the instruction raises; then nothing is kept.
        """
        now = self._clock()
        envelope = turn.envelope
        with self._store.write() as uow:
            if turn.parked is not None and _known(uow, turn.parked).state is not MessageState.PARKED:
                return Receipt(_known(uow, turn.parked).state, turn.parked)  # somebody else gave it its turn
            expected, prior = None, None
            if turn.parked is None:
                prior = uow.inbox.original(envelope.dedupe_key) if envelope.dedupe_key else None
                if prior is not None and turn.is_fresh and (first := _repeated_by(uow, envelope, prior)):
                    return self._repeat(uow, turn, first, at=now)
            corrects = _had_its_turn(prior)
            if prior is not None and prior.state not in _HOLDS_ITS_NAME:
                uow.inbox.give_up_name(prior.id)  # it changed nothing: sent again, it is a new message
            elif prior is not None and turn.is_fresh:
                instruction, problem = None, ControlIdReused("control id", "already used for another message")
            if envelope.sequence is not None and turn.is_fresh:
                expected, gap = _take_turn(uow, envelope.source, envelope.sequence, corrects=corrects)
                if gap is not None:
                    instruction, problem = None, gap
            if (
                instruction is not None
                and turn.is_fresh
                and uow.waiting.ahead(envelope.source, turn.patients)
            ):
                instruction = None
                problem = EarlierMessageWaits(
                    "message", "an earlier message of this patient waits for repair"
                )
            receipt = replace(_receipt(problem, _warnings(instruction)), expected_sequence=expected)
            receipt = replace(receipt, reply=_reply(turn, receipt))
            message_id = self._journal(uow, turn, receipt, prior, at=now)
            effect = NO_EFFECT
            if instruction is not None:
                effect = self._intake.apply(uow, instruction, message_id=message_id, at=now)
                touched = {*effect.records, *effect.inside}
                self._following.follow(uow, touched, effect.facts, by=f"message/{message_id}", at=now)
            receipt = replace(
                receipt,
                message_id=message_id,
                linked=bool(effect.linked & set(effect.records)),
                tasks_opened=effect.tasks_opened,
            )
            self._follow(uow, turn, receipt, prior, at=now)
            for event in _message_audit(turn, receipt, instruction, effect, at=now):
                uow.audit.append(event)
            uow.commit()
        self._committed(envelope, receipt)
        return receipt

    @staticmethod
    def _repeat(uow: UnitOfWork, turn: _Turn, first: StoredMessage, *, at: datetime) -> Receipt:
        """
        Count a message that came before, and answer it as it was answered then.

        One that was repaired meanwhile is answered as applied: it need not be sent again. The receipt says
        what still keeps it from being, for feeds that write their answers anew.
        """
        reply = first.reply
        if first.state is MessageState.REPAIRED:
            reply = turn.reply(Receipt(MessageState.DUPLICATE, first.id))
        message_id = uow.inbox.add(
            turn.envelope,
            received_at=at,
            state=MessageState.DUPLICATE,
            reply=reply,
            original=False,
            repeats=first.id,
        )
        uow.commit()
        return Receipt(MessageState.DUPLICATE, message_id, error=_why_not_applied(first), reply=reply)

    @staticmethod
    def _journal(
        uow: UnitOfWork, turn: _Turn, receipt: Receipt, prior: StoredMessage | None, *, at: datetime
    ) -> int:
        problem = receipt.error
        place = getattr(problem, "place", "")
        text = getattr(problem, "problem", str(problem or ""))
        error = type(problem).__name__ if problem else ""
        if turn.parked is not None:
            uow.inbox.release(
                turn.parked,
                receipt.state,
                at=at,
                by=turn.actor,
                place=place,
                problem=text,
                error=error,
                warnings=receipt.warnings,
                reply=receipt.reply,
            )
            return turn.parked
        return uow.inbox.add(
            turn.envelope,
            received_at=at,
            state=receipt.state,
            place=place,
            problem=text,
            error=error,
            warnings=receipt.warnings,
            reply=receipt.reply,
            replay_of=turn.replay_of,
            original=prior is None or prior.state not in _HOLDS_ITS_NAME,
        )

    def _follow(
        self,
        uow: UnitOfWork,
        turn: _Turn,
        receipt: Receipt,
        prior: StoredMessage | None,
        *,
        at: datetime,
    ) -> None:
        """Who waits for a message from now on, or no longer, and which messages it settles."""
        digest = digest_of(turn.envelope)
        if isinstance(receipt.error, PoisonMessage) and turn.replay_of is None:
            uow.attempts.give_up(digest, tries=self._attempts.most, at=at)
            if turn.parked is None:
                uow.waiting.add(receipt.message_id, turn.envelope.source, turn.patients)
            return
        if receipt.state is MessageState.PARKED:
            uow.waiting.add(receipt.message_id, turn.envelope.source, turn.patients)
            return
        if turn.parked is not None:
            uow.waiting.remove(turn.parked)
        if self._attempts.suspected(digest) and turn.replay_of is None:
            uow.attempts.clear(digest)
        if receipt.state is not MessageState.APPLIED:
            return
        if turn.replay_of is not None:
            for message in _family(uow, turn.replay_of, besides=receipt.message_id):
                self._settle(uow, message, MessageState.REPAIRED, at=at, by=turn.actor, reason=turn.reason)
        elif prior is not None and prior.state in STOPPED and _is_same(prior.envelope, turn.envelope):
            self._settle(uow, prior, MessageState.REPAIRED, at=at, by=f"message/{receipt.message_id}")

    @staticmethod
    def _settle(
        uow: UnitOfWork,
        message: StoredMessage,
        state: MessageState,
        *,
        at: datetime,
        by: str,
        reason: str = "",
    ) -> None:
        uow.inbox.settle(message.id, state, at=at, by=by, reason=reason)
        uow.waiting.remove(message.id)
        uow.attempts.clear(digest_of(message.envelope))

    def _committed(self, envelope: Envelope, receipt: Receipt) -> None:
        """Keep in mind what was committed."""
        digest = digest_of(envelope)
        if isinstance(receipt.error, PoisonMessage):
            self._attempts.learn(digest, self._attempts.most)
        elif self._attempts.suspected(digest):
            self._attempts.learn(digest, 0)
        if receipt.state is MessageState.QUARANTINED:
            self._quarantine.took(envelope.source, len(envelope.raw))


def _known(uow: UnitOfWork, message_id: int) -> StoredMessage:
    message = uow.inbox.get(message_id)
    if message is None:
        raise UnknownIdentifier("message", "no such message")
    return message


def _refuse_unless(message: StoredMessage, states: frozenset[MessageState]) -> None:
    if message.state not in states:
        raise LinkConflict(f"this message is {message.state}: nothing is left to do about it")


def _turn_of_parked(message: StoredMessage, reader: Reader) -> _Turn:
    envelope = message.envelope
    return _Turn(
        envelope,
        lambda: reader.read(envelope),
        lambda receipt: reader.reply(envelope, receipt),
        parked=message.id,
        actor=f"source:{envelope.source}",
    )


def _repeated_by(uow: UnitOfWork, envelope: Envelope, prior: StoredMessage) -> StoredMessage | None:
    """
    The message that this one repeats without any effect of its own, if it does.

    One that was stopped for a reason of its own may be sent again, and is tried again. One that was
    isolated may not: it waits for a person.
    """
    if not _is_same(prior.envelope, envelope):
        root = uow.inbox.get(prior.replay_of) if prior.replay_of is not None else None
        return root if root is not None and _is_same(root.envelope, envelope) else None
    is_tried_again = prior.state in STOPPED and prior.error != PoisonMessage.__name__
    return None if is_tried_again else prior


def _why_not_applied(message: StoredMessage) -> MpiError | None:
    """What still keeps a message from having had its effect; None of one that had it."""
    match message.state:
        case MessageState.PARKED:
            return EarlierMessageWaits(message.place, message.problem)
        case MessageState.QUARANTINED | MessageState.REFUSED:
            is_poison = message.error == PoisonMessage.__name__
            return (PoisonMessage if is_poison else FeedError)(message.place, message.problem)
        case MessageState.DISCARDED:
            return LinkConflict("a person decided that this message has no effect")
        case _:
            return None


def _is_same(left: Envelope, right: Envelope) -> bool:
    return left.content_hash == right.content_hash


def _family(uow: UnitOfWork, message_id: int, *, besides: int) -> list[StoredMessage]:
    """A message, what it replays, and what else replays them, so far as they are still to be settled."""
    root = _known(uow, message_id)
    while root.replay_of is not None:
        root = _known(uow, root.replay_of)
    found, frontier = {root.id: root}, [root.id]
    while frontier:
        for replay in uow.inbox.replays_of(frontier.pop()):
            if replay.id not in found and replay.id != besides:
                found[replay.id] = replay
                frontier.append(replay.id)
    return [message for message in found.values() if message.state in STOPPED]


def _values(instruction: Instruction) -> list[str]:
    match instruction:
        case IdentityStated(records=records):
            return [record.key.value for record in records]
        case IdentifiersMerged(survivor=survivor, subsumed=subsumed):
            return [survivor.value, subsumed.value]
        case IdentifiersLinked(left=left, right=right):
            return [left.value, right.value]
        case PatientMoved(to=to, origin=origin):
            return [to.value, origin.value]
        case Nothing():
            return []


def _reply(turn: _Turn, receipt: Receipt) -> bytes:
    """The bytes to answer; none when writing them is what fails, so that even then the message is kept."""
    try:
        return turn.reply(receipt)
    except Exception:
        if isinstance(receipt.error, PoisonMessage):
            return b""
        raise


def _receipt(problem: Exception | None, warnings: tuple[str, ...]) -> Receipt:
    """The outcome of a message before it is journalled: its number and effect are not known yet."""
    if problem is None:
        state = MessageState.APPLIED
    elif isinstance(problem, UnsupportedMessage):
        state = MessageState.REFUSED
    elif isinstance(problem, EarlierMessageWaits):
        state = MessageState.PARKED
    else:
        state = MessageState.QUARANTINED
    return Receipt(state, 0, error=problem, warnings=warnings)


def _had_its_turn(prior: StoredMessage | None) -> bool:
    """Whether a message was kept when its number was expected, and could not be applied: it may be corrected."""
    return prior is not None and prior.state not in _HOLDS_ITS_NAME and prior.error != OutOfSequence.__name__


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
    turn: _Turn, receipt: Receipt, instruction: Instruction | None, effect: Effect, *, at: datetime
) -> list[AuditEvent]:
    """The audit events of one message: a merge is two, one for each identifier (ITI-8 3.8.5.2)."""
    envelope = turn.envelope
    who = turn.actor or f"source:{envelope.source}"
    subject = f"message/{receipt.message_id}"
    of = {} if turn.replay_of is None else {"replay_of": turn.replay_of}
    if receipt.state is not MessageState.APPLIED:
        return [
            AuditEvent(who, "E", f"message.{receipt.state}", subject, at, {"event": envelope.event, **of})
        ]
    details: dict[str, object] = {
        "event": envelope.event,
        "control_id": envelope.control_id,
        "records": list(effect.records),
        **of,
    }
    match instruction:
        case IdentifiersMerged() if effect.records:
            survivor, subsumed = effect.records
            details["message"] = receipt.message_id
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
                AuditEvent(
                    who,
                    action_of_statement(envelope.event),
                    "identity.stated",
                    subject,
                    at,
                    {**details, "moved": list(effect.moved)},
                )
            ]
        case _:
            return [AuditEvent(who, "E", "message.applied", subject, at, details)]
