"""
The overlay firewall: which statements of an identifier take effect, and whom the identifier names since when.

Every statement is compared with what the identifier stood for before, ahead of its effect. One that
looks like another person is held until somebody decides. Pure: the same statements and decisions
give the same epochs, whatever the order in which the sources' messages came in.

Source: RNIV, collision; the danger list of this project, overlay and recycled identifiers.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from mpi.identity.model import Demographics, RecordKey, SourceRecord, Witness
from mpi.index import golden
from mpi.index.events import ABOUT_A_STATEMENT, CLOSING, Fact, FactKind
from mpi.index.ports import StoredStatement

ChangesPerson = Callable[[Demographics, Demographics], str | None]
"""Given what an identifier stood for, and would with one more statement: why that is somebody else, or None."""

_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Held:
    """A statement kept from taking effect, and why."""

    statement: StoredStatement
    reason: str


@dataclass(slots=True)
class Epoch:
    """
    The statements of one identifier about one person.

    Args:
        accepted: in the order they were judged; the fold of them is the record.
        held: those that look like another person's and that nobody has decided about, nor the
            source itself by stating the right person again.
        corrected: held ones that their source has put right since.
        set_aside: those a person took the effect from.
        begins: what is dated before it is of an earlier epoch, whenever it came in.
        known: what the identifier stands for after the statements judged so far.
    """

    number: int
    accepted: list[StoredStatement] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    corrected: list[Held] = field(default_factory=list)
    set_aside: list[StoredStatement] = field(default_factory=list)
    begins: datetime = _EARLIEST
    known: Demographics = field(default_factory=Demographics)

    def judge(self, item: StoredStatement, changes_person: ChangesPerson | None) -> None:
        """
        Accept the next statement, or hold it.

        Args:
            changes_person: None when a person has decided that the statement is of this epoch.
        """
        statement = item.statement
        believed = _with(self.known, replace(statement, witness=Witness.FEED))
        if changes_person is not None and believed != self.known:
            reason = changes_person(_less_replaced_ins(self.known, statement), believed)
            if reason is not None:
                self.held.append(Held(item, reason))
                return
        self.accepted.append(item)
        self.known = believed if statement.witness is Witness.FEED else _with(self.known, statement)
        # A source that states the right person again has corrected what it said in between.
        right_again = [
            held
            for held in self.held
            if held.statement.statement.source == statement.source
            and statement.witness in (Witness.FEED, held.statement.statement.witness)
            and held.statement.statement.event_time <= statement.event_time
        ]
        self.corrected += right_again
        self.held = [held for held in self.held if held not in right_again]

    @property
    def all(self) -> list[StoredStatement]:
        """Every statement of the epoch, whatever became of it."""
        looked_wrong = (item.statement for item in (*self.held, *self.corrected))
        return [*self.accepted, *looked_wrong, *self.set_aside]

    @property
    def first_held(self) -> Held | None:
        """The held statement of the earliest event."""
        return min(self.held, key=lambda item: item.statement.statement.event_time, default=None)


def read_epochs(
    statements: Sequence[StoredStatement], facts: Iterable[Fact], changes_person: ChangesPerson
) -> tuple[Epoch, ...]:
    """
    Judge the statements of one identifier.

    Args:
        statements: in the order they were recorded.
        facts: what people decided about them, standing.

    Returns:
        At least one epoch, by ascending number. An erased epoch, or one all of whose statements were
        set aside, has none.
    """
    decisions = {f.statement_id: f for f in facts if f.kind in ABOUT_A_STATEMENT}
    erased = [(f.statement_id or 0, f.left.epoch) for f in facts if f.kind is FactKind.ERASED]
    after_erasures = {
        item.id: max((number + 1 for last, number in erased if last < item.id), default=0)
        for item in statements
    }
    epochs = {0: Epoch(0)}
    for item in sorted(in_order(statements), key=lambda item: after_erasures[item.id]):
        decision = decisions.get(item.id)
        floor, time = after_erasures[item.id], item.statement.event_time
        epochs.setdefault(floor, Epoch(floor))
        if decision is not None and decision.kind is FactKind.RECYCLED:
            number = max(floor, decision.left.epoch + 1)
            while any(number == gone for _, gone in erased):  # a tombstone is nobody else's
                number += 1
            epochs.setdefault(number, Epoch(number, begins=time))
        else:
            number = max(n for n, one in epochs.items() if n == floor or (n > floor and one.begins <= time))
        if decision is not None and decision.kind is FactKind.SET_ASIDE:
            epochs[number].set_aside.append(item)
        else:
            epochs[number].judge(item, None if decision else changes_person)
    return tuple(epochs[number] for number in sorted(epochs))


def present(key: RecordKey, facts: Iterable[Fact]) -> RecordKey:
    """
    The record an identifier names: of the first epoch that nothing has closed.

    Args:
        key: of any epoch.
        facts: those that stand, or stood, about the epochs of the identifier.
    """
    closed = {fact.left for fact in facts if fact.kind in CLOSING}
    named = key._replace(epoch=0)
    while named in closed:
        named = named._replace(epoch=named.epoch + 1)
    return named


def in_order(statements: Iterable[StoredStatement]) -> Iterator[StoredStatement]:
    """
    The order in which statements are judged: each source's own, feeds before movements before headers.

    Between sources the earlier event goes first, ties by name, so that the order in which their
    messages happened to come in decides nothing. A late message of a source about an earlier time
    is judged in its place in that source's stream: it cannot make those before it look wrong.
    """
    for witness in (Witness.FEED, Witness.MOVEMENT, Witness.HEADER):
        queues: dict[str, list[StoredStatement]] = {}
        for item in sorted(statements, key=lambda s: s.id):
            if item.statement.witness is witness:
                queues.setdefault(item.statement.source, []).append(item)
        while queues:
            source = min(queues, key=lambda name: (queues[name][0].statement.event_time, name))
            yield queues[source].pop(0)
            if not queues[source]:
                del queues[source]


def _with(known: Demographics, statement: SourceRecord) -> Demographics:
    """What the identifier stands for after one more statement, whatever event time it bears."""
    if known == Demographics():
        return golden.current([(0, statement)]).demographics
    before = replace(statement, demographics=known, witness=Witness.FEED)
    after = replace(statement, event_time=_LATEST)
    return golden.current([(0, before), (1, after)]).demographics


def _less_replaced_ins(known: Demographics, statement: SourceRecord) -> Demographics:
    """A source that says which INS it replaces does not thereby speak of somebody else."""
    return replace(known, ins="", ins_oid="") if known.ins in statement.replaces_ins else known
