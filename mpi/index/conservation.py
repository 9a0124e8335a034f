"""
Conservation (I24): every message received is in one state, had its effect, and nothing else had one.

Read-only, page by page, each page in a snapshot of its own, while the service goes on: what came
after the beginning is left to the next audit. What a message must have left is what the audit trail
tells of it. `verify` derives what follows from the effects; this is about the messages themselves.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mpi.errors import OutOfSequence
from mpi.index import sequence
from mpi.index.audit import AuditEvent
from mpi.index.counting import CountById
from mpi.index.events import FactKind, MessageState, Protocol
from mpi.index.ports import JournalLine, Store, UnitOfWork

PAGE = 1_000
_STATED = "identity.stated"
_ABOUT_TWO: Mapping[str, frozenset[FactKind]] = {
    "identity.merged": frozenset({FactKind.MERGED, FactKind.RENAMED}),
    "identity.linked": frozenset({FactKind.SOURCE_LINKED}),
    "identity.unlinked": frozenset({FactKind.SOURCE_UNLINKED}),
    "identity.visits_moved": frozenset({FactKind.MOVED}),
}
"""Kinds of audit events of messages about two records, and the facts they rest on."""
_WENT_WELL = frozenset({MessageState.APPLIED, MessageState.DUPLICATE})


@dataclass(frozen=True, slots=True)
class Violation:
    """A message that is not accounted for, or something that no message accounts for."""

    subject: str
    problem: str


@dataclass(frozen=True, slots=True)
class Conservation:
    """
    The journal, counted.

    Args:
        statements, facts: that messages left.
        counts: messages of each source by state; their sum is `messages`.
    """

    messages: int
    statements: int
    facts: int
    violations: int
    counts: Mapping[str, Mapping[MessageState, int]] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether every message is accounted for."""
        return self.violations == 0


def audit(
    store: Store,
    *,
    on_violation: Callable[[Violation], object] = lambda _violation: None,
    on_progress: Callable[[int, int], object] = lambda _done, _total: None,
) -> Conservation:
    """
    Account for every message that was received before now.

    Args:
        on_violation: told of each message that is not accounted for.
        on_progress: told how many messages were looked at, of how many.

    Raises:
        StoreError: the store is down.
    """
    return _Auditor(store, on_violation, on_progress).run()


class _Auditor:
    """One audit."""

    def __init__(
        self,
        store: Store,
        on_violation: Callable[[Violation], object],
        on_progress: Callable[[int, int], object],
    ) -> None:
        self._store = store
        self._on_violation = on_violation
        self._on_progress = on_progress
        self._violations = self._messages = self._statements = self._facts = 0
        self._counts: dict[str, Counter[MessageState]] = {}
        self._told = CountById()
        """By message: how many statements it made, as the audit trail tells."""
        self._pairs: list[tuple[str, str, int, int]] = []
        """Messages about two records: subject, kind of event, the records."""
        self._expected: dict[str, int | None] = {}

    def run(self) -> Conservation:
        with self._store.read() as uow:
            last = uow.inbox.last_id()
            for item in uow.audit.chain():
                self._note(item.event)
        done = 0
        while done < last:
            with self._store.read() as uow:
                page = [line for line in uow.inbox.lines(after=done, limit=PAGE) if line.id <= last]
                if not page:
                    break
                self._tell(self._page(uow, page))
            done = page[-1].id
            self._messages += len(page)
            self._on_progress(self._messages, last)
        self._tell(self._pairs_without_fact())
        with self._store.read() as uow:
            self._tell(self._at_the_end(uow, last))
        counts = {source: dict(states) for source, states in self._counts.items()}
        return Conservation(self._messages, self._statements, self._facts, self._violations, counts)

    def _tell(self, violations: Iterator[Violation]) -> None:
        for violation in violations:
            self._violations += 1
            self._on_violation(violation)

    def _note(self, event: AuditEvent) -> None:
        if event.kind == _STATED:
            self._told.add(int(event.subject.partition("/")[2]), len(event.details.get("records", ())))
        elif event.kind in _ABOUT_TWO:
            records = event.details.get("records", ())
            if len(records) == 2:
                message = event.details.get("message")
                subject = event.subject if message is None else f"message/{message}"
                self._pairs.append((subject, event.kind, records[0], records[1]))

    # ------------------------------------------------------------------------------ pages

    def _page(self, uow: UnitOfWork, page: Sequence[JournalLine]) -> Iterator[Violation]:
        effects = uow.inbox.effects(page[0].id, page[-1].id)
        named = {other for line in page for other in (line.replay_of, line.repeats) if other is not None}
        known = {line.id: line for line in page} | uow.inbox.lines_of(named - {line.id for line in page})
        for line in page:
            subject = f"message/{line.id}"
            statements, facts = effects.get(line.id, (0, 0))
            self._statements += statements
            self._facts += facts
            if line.state is None:
                yield Violation(subject, "it is in no state there is")
                continue
            self._counts.setdefault(line.source, Counter())[line.state] += 1
            problems = (
                *_of_state(line),
                *self._of_effect(line, statements, facts),
                *_of_relatives(uow, line, known),
                *self._of_sequence(line),
            )
            yield from (Violation(subject, problem) for problem in problems)

    def _of_effect(self, line: JournalLine, statements: int, facts: int) -> Iterator[str]:
        if line.state is not MessageState.APPLIED:
            if statements or facts:
                yield f"it is {line.state}, and {statements} statements and {facts} facts come from it"
            return
        if line.settled_at is not None or line.is_blank:
            return  # it had its turn after the trail was read, or what it said is erased
        told = self._told[line.id]
        if statements != told:
            yield f"it was applied, made {told} statements, and {statements} are there"

    def _of_sequence(self, line: JournalLine) -> Iterator[str]:
        is_turn = line.replay_of is None and line.state is not MessageState.DUPLICATE
        if line.sequence is None or not is_turn or line.error == OutOfSequence.__name__:
            return
        try:
            self._expected[line.source] = sequence.following(line.sequence, self._expected.get(line.source))
        except OutOfSequence as gap:
            if line.sequence > gap.expected:  # a lower one corrects what was kept before
                yield f"it was taken in its turn, and its source's messages before it are {gap.problem}"
                self._expected[line.source] = line.sequence % sequence.LAST + 1

    # -------------------------------------------------------------------------------- ends

    def _pairs_without_fact(self) -> Iterator[Violation]:
        for start in range(0, len(self._pairs), PAGE):
            some = self._pairs[start : start + PAGE]
            with self._store.read() as uow:
                records = uow.records.by_ids(
                    {record for _, _, left, right in some for record in (left, right)}
                )
                for subject, kind, left, right in some:
                    keys = {records[one].key for one in (left, right) if one in records}
                    facts = uow.facts.ever(keys)
                    if not any(f.kind in _ABOUT_TWO[kind] and {f.left, f.right} == keys for f in facts):
                        yield Violation(subject, f"{kind.replace('.', ' ')}, and there is no fact of it")

    def _at_the_end(self, uow: UnitOfWork, last: int) -> Iterator[Violation]:
        for what, number, message_id in uow.inbox.without_message(limit=PAGE):
            yield Violation(f"{what}/{number}", f"it comes from message {message_id}, which is not there")
        rows = uow.waiting.all()
        lines = uow.inbox.lines_of({message_id for message_id, _, _ in rows})
        for message_id in sorted({row[0] for row in rows}):
            line = lines.get(message_id)
            if line is None or line.state not in (MessageState.PARKED, MessageState.QUARANTINED):
                state = "not there" if line is None else line.state
                yield Violation(f"message/{message_id}", f"others wait for it, and it is {state}")
        parked = {line.id for line in uow.inbox.lines_in(MessageState.PARKED)}
        for message_id in sorted(parked - lines.keys()):
            yield Violation(f"message/{message_id}", "it is parked, and waits for nobody")
        free = uow.waiting.next_free()
        if free is not None:
            yield Violation(f"message/{free}", "it is parked, and whom it waited for is settled")
        if uow.inbox.last_id() == last:
            kept = {
                (source, state): n
                for source, states in uow.inbox.counts().items()
                for state, n in states.items()
                if n
            }
            found = {
                (source, state): n for source, states in self._counts.items() for state, n in states.items()
            }
            for source, state in sorted(kept.keys() | found.keys()):
                told, there = kept.get((source, state), 0), found.get((source, state), 0)
                if told != there:
                    yield Violation(
                        f"source/{source}", f"{told} messages are counted as {state}, and {there} are there"
                    )
            for source, expected in sorted(self._expected.items()):
                if uow.sequences.expected(source) != expected:
                    problem = "the sequence number it has to send next does not follow its last"
                    yield Violation(f"source/{source}", problem)


def _of_state(line: JournalLine) -> Iterator[str]:
    """What a state calls for."""
    went_well = line.state in _WENT_WELL
    if went_well == bool(line.error):
        yield f"it is {line.state}, and its error says otherwise"
    if line.protocol == Protocol.HL7V2:
        if not went_well and b"\rMSA|AA|" in line.reply:
            yield f"it was acknowledged as applied, and is {line.state}"
        if line.state is MessageState.APPLIED and any(
            code in line.reply for code in (b"\rMSA|AE|", b"\rMSA|AR|")
        ):
            yield "it was applied, and acknowledged as an error"
    if line.state is MessageState.DISCARDED and not (line.settled_at and line.settled_by):
        yield "it is discarded, and nobody did"


def _of_relatives(uow: UnitOfWork, line: JournalLine, known: Mapping[int, JournalLine]) -> Iterator[str]:
    """What it repeats, replays, and was replaced by."""
    if line.replay_of is not None:
        replayed = known.get(line.replay_of)
        if replayed is None or replayed.id >= line.id:
            yield f"it replays message {line.replay_of}, which is not there"
        elif replayed.state in _WENT_WELL:
            yield f"it replays message {line.replay_of}, which is {replayed.state}"
        elif line.state is MessageState.APPLIED and replayed.state is not MessageState.REPAIRED:
            yield f"it took the place of message {line.replay_of}, which is still {replayed.state}"
    if line.state is MessageState.DUPLICATE and not line.is_blank:
        first = known.get(line.repeats) if line.repeats is not None else uow.inbox.original_line(line)
        if first is None or first.id >= line.id or first.state is MessageState.DUPLICATE:
            yield "it is a duplicate of no message that came before"
        elif (first.content_hash, first.name) != (line.content_hash, line.name):
            yield f"it is a duplicate of message {first.id}, which is another one"
    if line.state is MessageState.REPAIRED and not _is_replaced(uow, line):
        yield "it is repaired, and no message that was applied took its place"


def _is_replaced(uow: UnitOfWork, line: JournalLine) -> bool:
    what, _, number = line.settled_by.partition("/")
    if what == "message" and number.isdigit():
        successor = uow.inbox.get(int(number))
        return successor is not None and successor.state is MessageState.APPLIED
    root = line.id
    while (message := uow.inbox.get(root)) is not None and message.replay_of is not None:
        root = message.replay_of
    seen, frontier = {root}, [root]
    while frontier:
        for replay in uow.inbox.replays_of(frontier.pop()):
            if replay.state is MessageState.APPLIED:
                return True
            if replay.id not in seen:
                seen.add(replay.id)
                frontier.append(replay.id)
    return False
