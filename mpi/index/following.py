"""
Following what sites were asked to correct: requests made, withdrawn and settled as facts and statements say.

What is stored is brought to what the pure functions of `requests` make of the facts and statements around some
records, in the transaction that changed them. Nothing else makes or settles a request.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mpi.errors import LinkConflict
from mpi.identity.model import RecordKey, Witness
from mpi.index.audit import AuditEvent
from mpi.index.corrections import TRIGGER, Correction, CorrectionKind, WantedCorrection
from mpi.index.epochs import ChangesPerson, read_epochs
from mpi.index.events import NEGATIVE, RETIRING, Fact, FactKind
from mpi.index.graph import erased_keys
from mpi.index.notices import CORRECTION
from mpi.index.parties import SHEET, Directory
from mpi.index.ports import Channel, Delivery, StoredStatement, UnitOfWork
from mpi.index.reports import FOLLOWED, ReportState, state_with
from mpi.index.requests import Evidence, settle, wanted_by_facts

TAKEN_BACK = "correction_withdrawn"
"""Kind of the outbox row that says that a request no longer holds."""

_DECIDED = frozenset({FactKind.SAME, FactKind.DOUBTED, FactKind.SET_ASIDE}) | NEGATIVE
"""What people decide that a site may have to put into effect."""


_URGENT = frozenset(
    {
        CorrectionKind.SEPARATE,
        CorrectionKind.UNLINK,
        CorrectionKind.REATTRIBUTE,
        CorrectionKind.WITHDRAW_INS,
    }
)
"""Until they are done, somebody's exams may be shown as another's."""


@dataclass(frozen=True, slots=True)
class Delays:
    """How many days a site is given; fewer for what is urgent."""

    days: int = 15
    urgent_days: int = 3

    def due(self, kind: CorrectionKind, since: datetime) -> datetime:
        """When a request of an instant is overdue."""
        return since + timedelta(days=self.urgent_days if kind in _URGENT else self.days)


class Following:
    """
    Brings requests and reports to what the facts and statements say, inside a unit of work.

    Args:
        directory: who is asked, and how.
        changes_person: the overlay firewall's judgement: a statement that is held shows nothing.
    """

    def __init__(self, directory: Directory, delays: Delays, changes_person: ChangesPerson) -> None:
        self._directory = directory
        self._delays = delays
        self._changes_person = changes_person

    def follow(
        self,
        uow: UnitOfWork,
        record_ids: Collection[int],
        facts: Iterable[Fact],
        *,
        by: str,
        at: datetime,
    ) -> None:
        """
        Make the requests that standing decisions call for, withdraw those that rest on nothing, settle the others.

        Args:
            record_ids: the records something was said of, and those it may have moved.
            facts: those that stand around them.
            by: who or what made it necessary, for the audit trail.
        """
        if not record_ids:
            return
        for wanted in self._decided(uow, facts):
            self.ask(uow, wanted, by=by, at=at)
        touched = uow.corrections.touching(record_ids)
        for correction in touched:
            if not self._rests_on_something(uow, correction):
                self.withdraw(uow, correction, by=by, at=at)
            else:
                self._settle(uow, correction, at=at)
        for report_id in sorted({one.report_id for one in touched if one.report_id is not None}):
            self.follow_report(uow, report_id, at=at)

    def ask(self, uow: UnitOfWork, wanted: WantedCorrection, *, by: str, at: datetime) -> None:
        """Make a request, unless it was made before or there is nothing left to ask."""
        root = wanted.cause.partition(".")[0]
        if any(_alike(one.wanted, wanted) for one in uow.corrections.of_cause(root)):
            return
        records = uow.records.by_keys((wanted.left, wanted.right))
        if settle(wanted, self._evidence(uow, wanted, since=at)) is not None:
            return
        source = self._directory.asked_about(wanted.left.domain, wanted.source)
        correction = Correction(
            id=0,
            wanted=wanted,
            left_id=records[wanted.left].id,
            right_id=records[wanted.right].id,
            source=source.name if source is not None else "",
            requested_by=by,
            requested_at=at,
            due_at=self._delays.due(wanted.kind, at),
        )
        correction = replace(correction, id=uow.corrections.add(correction))
        self._audit(uow, correction, "requested", by=by, at=at)
        self.send(uow, correction, at=at)

    def send(self, uow: UnitOfWork, correction: Correction, *, at: datetime) -> Correction:
        """Queue the message of a request, where its site takes one. The time it is given begins again."""
        outbox_id = None
        if self._sent_as(correction, TRIGGER.get(correction.kind, SHEET)):
            outbox_id = uow.outbox.add(
                consumer=correction.source,
                kind=CORRECTION,
                payload={"correction": correction.id},
                created_at=at,
                channel=Channel.CORRECTION,
            )
        due_at = self._delays.due(correction.kind, at)
        if (outbox_id, due_at) == (correction.outbox_id, correction.due_at):
            return correction
        return uow.corrections.change(replace(correction, outbox_id=outbox_id, due_at=due_at))

    def withdraw(self, uow: UnitOfWork, correction: Correction, *, by: str, at: datetime) -> Correction:
        """
        Take a request back, and tell its site if it may have been told and takes words.

        Raises:
            LinkConflict: it was taken back already.
        """
        if correction.withdrawn_at is not None:
            raise LinkConflict(f"correction {correction.id} is withdrawn")
        told = self._silence(uow, correction)
        if told and correction.settled is None and self._sent_as(correction, SHEET):
            uow.outbox.add(
                consumer=correction.source,
                kind=TAKEN_BACK,
                payload={"correction": correction.id},
                created_at=at,
                channel=Channel.CORRECTION,
            )
        self._audit(uow, correction, "withdrawn", by=by, at=at)
        return uow.corrections.change(replace(correction, withdrawn_at=at, withdrawn_by=by))

    def follow_report(self, uow: UnitOfWork, report_id: int, *, at: datetime) -> None:
        """Bring an accepted report to what became of its requests."""
        report = uow.reports.get(report_id)
        if report is None or report.state not in FOLLOWED | {ReportState.ACCEPTED}:
            return
        asked = uow.corrections.of_cause(f"report/{report_id}")
        state = state_with(one.followed for one in asked if one.withdrawn_at is None)
        if state is not report.state:
            uow.reports.change(replace(report, state=state, changed_at=at))

    # ------------------------------------------------------------------------ inside

    def _decided(self, uow: UnitOfWork, facts: Iterable[Fact]) -> list[WantedCorrection]:
        facts = tuple(facts)
        decided = [fact for fact in facts if fact.kind in _DECIDED and fact.stands]
        if not decided:
            return []
        stated = {
            key: record
            for key, record in uow.records.by_keys(
                {key for fact in decided for key in (fact.left, fact.right)}
            ).items()
            if record.first_event_time is not None
        }
        return wanted_by_facts(facts, stated)

    @staticmethod
    def _rests_on_something(uow: UnitOfWork, correction: Correction) -> bool:
        """Whether the decision a request rests on stands (that of a report withdraws its own), and its records too."""
        ends = {correction.wanted.left, correction.wanted.right}
        if erased_keys(uow.facts.standing(ends)) & ends:
            return False
        fact = uow.facts.get(correction.fact_id) if correction.fact_id is not None else None
        return fact is None or fact.stands

    def _settle(self, uow: UnitOfWork, correction: Correction, *, at: datetime) -> None:
        """Done, answered otherwise, or open again: whatever the site's messages show now."""
        found = settle(correction.wanted, self._evidence(uow, correction.wanted, correction.requested_at))
        how, shown_by = found if found is not None else (None, "")
        if how is correction.settled:
            return
        self._audit(uow, correction, str(how or "reopened"), by=shown_by or "system", at=at)
        settled = replace(
            correction, settled=how, settled_by=shown_by, settled_at=at if how is not None else None
        )
        uow.corrections.change(settled)
        if how is not None:
            self._silence(uow, correction)

    def _evidence(self, uow: UnitOfWork, wanted: WantedCorrection, since: datetime) -> Evidence:
        ends = (wanted.left, wanted.right)
        facts = [f for f in self._around(uow, ends) if f.kind is not FactKind.MOVED or f.recorded_at > since]
        match wanted.kind:
            case CorrectionKind.MERGE | CorrectionKind.LINK | CorrectionKind.UNLINK:
                return Evidence(facts)
            case CorrectionKind.REATTRIBUTE:
                return Evidence(facts, refiled_by=_refiled_by(uow, wanted, since))
        stated = [item for key in dict.fromkeys(ends) for item in self._stated(uow, key, since)]
        return Evidence(facts, uow.records.by_keys(ends), stated)

    @staticmethod
    def _around(uow: UnitOfWork, keys: Iterable[RecordKey]) -> list[Fact]:
        """The facts that stand about some records, and about those that they were merged into."""
        found: dict[int, Fact] = {}
        seen: set[RecordKey] = set()
        frontier = set(keys)
        while frontier:
            seen |= frontier
            facts = uow.facts.standing(sorted(frontier))
            found.update((fact.id, fact) for fact in facts)
            frontier = {fact.left for fact in facts if fact.kind in RETIRING} - seen
        return [found[fact_id] for fact_id in sorted(found)]

    def _stated(self, uow: UnitOfWork, key: RecordKey, since: datetime) -> list[StoredStatement]:
        """
        What feeds stated of a record since an instant, and what took effect.

        A message that was late and tells of before shows nothing: it has to be newer than all that was known.
        """
        epochs = uow.records.epochs(key.domain, key.value)
        said = uow.records.statements(epochs[0].id)
        fed = [item for item in said if item.statement.witness is Witness.FEED]
        known = max((one.statement.event_time for one in fed if one.recorded_at <= since), default=None)
        facts = uow.facts.standing([record.key for record in epochs])
        judged = read_epochs(said, facts, self._changes_person)
        accepted = next((epoch.accepted for epoch in judged if epoch.number == key.epoch), [])
        return [
            item
            for item in accepted
            if item.recorded_at > since
            and item.statement.witness is Witness.FEED
            and (known is None or item.statement.event_time > known)
        ]

    def _sent_as(self, correction: Correction, trigger: str) -> str:
        """The message its site takes it as; empty when it is on paper."""
        party = self._directory.asked_about(correction.domain, correction.source)
        return party.takes(trigger) if party is not None else ""

    @staticmethod
    def _silence(uow: UnitOfWork, correction: Correction) -> bool:
        """Send nothing more of a request. Returns whether its site may have been told."""
        row = uow.outbox.get(correction.outbox_id) if correction.outbox_id is not None else None
        if row is None:
            return False
        if row.state is Delivery.PENDING:
            uow.outbox.change(replace(row, state=Delivery.WITHDRAWN))
        return row.attempts > 0 or row.state is Delivery.DELIVERED

    @staticmethod
    def _audit(uow: UnitOfWork, correction: Correction, what: str, *, by: str, at: datetime) -> None:
        wanted = correction.wanted
        details = {
            "asked": str(wanted.kind),
            "cause": wanted.cause,
            "source": correction.source,
            "records": sorted({correction.left_id, correction.right_id}),
        }
        subject = f"correction/{correction.id}"
        uow.audit.append(AuditEvent(by, "U", f"correction.{what}", subject, at, details))


def _alike(asked: WantedCorrection, wanted: WantedCorrection) -> bool:
    """Whether one was asked for the same reason; which of two identifiers stays may be seen otherwise since."""
    ends = {asked.left, asked.right} == {wanted.left, wanted.right}
    return ends and (asked.kind, asked.cause) == (wanted.kind, wanted.cause)


def _refiled_by(uow: UnitOfWork, wanted: WantedCorrection, since: datetime) -> int:
    """The message that told of an exam under another identifier of the domain since an instant; 0 when none did."""
    if not wanted.study_uid:
        return 0
    domain, value, _ = wanted.left
    elsewhere = [
        study.message_id
        for study in uow.studies.of_uid(wanted.study_uid)
        if study.record.domain == domain and study.record.value != value
    ]
    told = [message for i in elsewhere if (message := uow.inbox.get(i)) is not None]
    return max((message.id for message in told if message.received_at > since), default=0)
