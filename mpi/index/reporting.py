"""
Reports and requests to sites: what people do with them, each in one transaction with its trace.

A report makes the identities it is about doubtful in the transaction that keeps it, so that no answer given after
it is without the flag; the sets stay as they are, for a report is not yet a decision. A person answers it. What a
site has to do about it is asked and followed by `following`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mpi.errors import LinkConflict, StaleReview, UnknownIdentifier, UnknownReview
from mpi.identity.ins import NEVER_ANSWERED
from mpi.identity.model import RecordKey
from mpi.identity.tabular import demographics_from_mapping
from mpi.index.audit import AuditEvent
from mpi.index.corrections import Correction, CorrectionKind, CorrectionState
from mpi.index.derivation import Derivation
from mpi.index.events import Fact, FactKind
from mpi.index.following import Following
from mpi.index.ports import Clock, Delivery, Figures, OutboxRow, Store, StoredRecord, UnitOfWork
from mpi.index.reports import (
    LIFTS,
    REPORTED_TRAITS,
    Decision,
    Report,
    ReportKind,
    ReportState,
    check_report,
    state_after,
)
from mpi.index.requests import state_of, wanted_by_report
from mpi.index.review import WHOLE


@dataclass(frozen=True, slots=True)
class CorrectionView:
    """
    A request, and how it stands now.

    Args:
        row: its last message; None when it is on paper.
    """

    correction: Correction
    state: CorrectionState
    row: OutboxRow | None

    @property
    def id(self) -> int:
        """The number of the request."""
        return self.correction.id


class Reporting:
    """The use-cases of reports and requests. Each commits before it returns."""

    def __init__(self, store: Store, derivation: Derivation, following: Following, clock: Clock) -> None:
        self._store = store
        self._derivation = derivation
        self._following = following
        self._clock = clock

    # ------------------------------------------------------------------------------ reports

    def report(
        self,
        kind: ReportKind,
        about: Collection[RecordKey],
        *,
        actor: str,
        role: str,
        comment: str = "",
        trait: str = "",
        study_uid: str = "",
    ) -> Report:
        """
        Keep what somebody reports, and make what it is about doubtful.

        Raises:
            LinkConflict: see `check_report`.
            UnknownIdentifier: a record was never stated, or is not to be answered.
        """
        about = tuple(sorted(set(about)))
        check_report(kind, about, trait=trait)
        now = self._clock()
        with self._store.write() as uow:
            records = uow.records.by_keys(about)
            if any(key not in records or not _is_answered(records[key]) for key in about):
                raise UnknownIdentifier("about")
            new = Report(0, kind, about, actor, role, now, now, comment, trait, study_uid, version=0)
            report = replace(new, id=uow.reports.add(new))
            facts = self._raise_doubt(uow, report, actor=actor, at=now)
            report = uow.reports.change(replace(report, fact_id=facts[0].id))
            self._audit(uow, report, "received", actor=actor, at=now, facts=facts)
            uow.commit()
        return report

    def decide(
        self,
        report_id: int,
        decision: Decision,
        *,
        reviewer: str,
        version: int,
        answer: str = "",
        asks: Collection[CorrectionKind] | None = None,
        of: Collection[RecordKey] | None = None,
        expected: Mapping[str, str] | None = None,
    ) -> Report:
        """
        A person's decision on a report.

        Args:
            version: the version of the report that was read.
            answer: what the reporter is told.
            asks: when it is accepted, what sites are asked to do; None for what such a report asks by itself.
            of: which of the records; None for all.
            expected: what should be true of them, as named traits.

        Raises:
            UnknownReview: no such report.
            StaleReview: it changed since it was read.
            LinkConflict: it is in no state for that, or what is asked is not about it.
            InvalidIdentity: a trait that is expected cannot be read.
        """
        now = self._clock()
        actor = f"user:{reviewer}"
        with self._store.write() as uow:
            report = _known_report(uow, report_id)
            if report.version != version:
                raise StaleReview(f"report {report_id} is at version {report.version}, not {version}")
            state = state_after(report.state, decision)
            if decision is not Decision.ACCEPT and (asks or of or expected):
                raise LinkConflict("only a report that is accepted asks anything of a site")
            facts: Sequence[Fact] = ()
            if decision is Decision.ACCEPT:
                self._ask(uow, report, asks=asks, of=of, expected=expected or {}, actor=actor, at=now)
            elif decision is Decision.REOPEN:
                self._take_back(uow, report, actor=actor, at=now)
            if state in LIFTS:
                facts = self._lift_doubt(uow, report, actor=actor, at=now)
            elif report.state in LIFTS:
                facts = self._raise_doubt(uow, report, actor=actor, at=now)
            fact_id = facts[0].id if facts else report.fact_id
            decided = replace(
                report, state=state, changed_at=now, decided_by=reviewer, answer=answer, fact_id=fact_id
            )
            uow.reports.change(decided)
            self._audit(uow, report, str(decision), actor=actor, at=now, facts=facts)
            if decision is Decision.ACCEPT:
                self._following.follow_report(uow, report_id, at=now)
            found = _known_report(uow, report_id)
            uow.commit()
        return found

    def reports(
        self,
        *,
        states: Collection[ReportState] = frozenset(ReportState),
        actor: str | None = None,
        after: int = 0,
        limit: int = 50,
    ) -> list[Report]:
        """Reports by ascending id; of one reporter when an actor is given."""
        with self._store.read() as uow:
            return uow.reports.page(states=states, actor=actor, after=after, limit=limit)

    def find_report(self, report_id: int) -> Report:
        """
        One report.

        Raises:
            UnknownReview: no such report.
        """
        with self._store.read() as uow:
            return _known_report(uow, report_id)

    def asked_for(self, report_id: int) -> list[CorrectionView]:
        """The requests that rest on a report, withdrawn ones too."""
        now = self._clock()
        with self._store.read() as uow:
            return [_view(uow, one, now) for one in uow.corrections.of_cause(f"report/{report_id}")]

    # -------------------------------------------------------------------------- corrections

    def corrections(
        self,
        *,
        is_open: bool | None = None,
        kind: CorrectionKind | None = None,
        overdue: bool = False,
        after: int = 0,
        limit: int = 50,
    ) -> list[CorrectionView]:
        """Requests to sites by ascending id."""
        now = self._clock()
        with self._store.read() as uow:
            found = uow.corrections.page(
                is_open=is_open, kind=kind, overdue_at=now if overdue else None, after=after, limit=limit
            )
            return [_view(uow, one, now) for one in found]

    def correction(self, correction_id: int, *, actor: str) -> CorrectionView:
        """
        One request, which may hold a patient's traits: the reader leaves a trace.

        Raises:
            UnknownReview: no such request.
        """
        now = self._clock()
        with self._store.read() as uow:
            view = _view(uow, _known_correction(uow, correction_id), now)
        self._store.trace(AuditEvent(actor, "R", "correction.read", f"correction/{correction_id}", now))
        return view

    def resend(self, correction_id: int, *, reviewer: str) -> CorrectionView:
        """
        Ask again: by a new message where the site takes one, and with the time it is given beginning anew.

        Raises:
            UnknownReview: no such request.
            LinkConflict: nothing is left to ask, or its message has not been sent yet.
        """
        now = self._clock()
        with self._store.write() as uow:
            correction = _open_correction(uow, correction_id)
            row = uow.outbox.get(correction.outbox_id) if correction.outbox_id is not None else None
            if row is not None and row.state is Delivery.PENDING:
                raise LinkConflict(f"the message of correction {correction_id} waits to be sent")
            sent = self._following.send(uow, correction, at=now)
            self._trace(uow, correction_id, "resent", actor=f"user:{reviewer}", at=now)
            view = _view(uow, sent, now)
            uow.commit()
        return view

    def withdraw_correction(self, correction_id: int, *, reviewer: str) -> CorrectionView:
        """
        Take a request back; the decision it rests on stands.

        Raises:
            UnknownReview: no such request.
            LinkConflict: nothing is left to take back.
        """
        now = self._clock()
        with self._store.write() as uow:
            correction = _open_correction(uow, correction_id)
            withdrawn = self._following.withdraw(uow, correction, by=f"user:{reviewer}", at=now)
            if correction.report_id is not None:
                self._following.follow_report(uow, correction.report_id, at=now)
            view = _view(uow, withdrawn, now)
            uow.commit()
        return view

    def figures(self, domains: Collection[str], *, sight: int = WHOLE) -> Figures:
        """How the identities of some domains do, in numbers; `sight` says whose questions are counted."""
        with self._store.read() as uow:
            return uow.indicators.figures(domains, at=self._clock(), sight=sight)

    # ------------------------------------------------------- in the transactions of others

    def follow(self, uow: UnitOfWork, keys: Collection[RecordKey], *, by: str, at: datetime) -> None:
        """What a decision about some records means for what sites were asked."""
        ids = [record.id for record in uow.records.by_keys(keys).values()]
        view = self._derivation.component(uow, ids)
        self._following.follow(uow, view.inside, view.facts, by=by, at=at)

    # ------------------------------------------------------------------------ inside

    def _raise_doubt(self, uow: UnitOfWork, report: Report, *, actor: str, at: datetime) -> list[Fact]:
        """One act: a fact for each record the report is about."""
        facts: list[Fact] = []
        for key in report.about:
            act_id = facts[0].id if facts else None
            reason = f"report/{report.id}"
            fact = Fact(0, FactKind.REPORTED, key, key, actor, at, at, reason, act_id=act_id)
            facts.append(replace(fact, id=uow.facts.add(fact)))
        self._derive(uow, report, facts, at=at)
        return facts

    def _lift_doubt(self, uow: UnitOfWork, report: Report, *, actor: str, at: datetime) -> list[Fact]:
        assert report.fact_id is not None
        facts = [fact for fact in uow.facts.of_act(report.fact_id) if fact.withdrawn_at is None]
        for fact in facts:
            uow.facts.withdraw(fact.id, at=at, by=actor)
        self._derive(uow, report, facts, at=at)
        return facts

    def _derive(self, uow: UnitOfWork, report: Report, facts: Sequence[Fact], *, at: datetime) -> None:
        """The sets stay as they are; what is asked of people does not."""
        ids = [record.id for record in uow.records.by_keys(report.about).values()]
        cause = f"fact/{facts[0].id}" if facts else f"report/{report.id}"
        self._derivation.recompute(uow, ids, at=at, cause=cause)

    def _ask(
        self,
        uow: UnitOfWork,
        report: Report,
        *,
        asks: Collection[CorrectionKind] | None,
        of: Collection[RecordKey] | None,
        expected: Mapping[str, str],
        actor: str,
        at: datetime,
    ) -> None:
        """What an accepted report asks of sites."""
        if not set(expected) <= set(REPORTED_TRAITS):
            raise LinkConflict(f"what is expected is one of: {', '.join(REPORTED_TRAITS)}")
        if of is not None and not set(of) <= set(report.about):
            raise LinkConflict("what is asked is about records that the report is about")
        demographics_from_mapping(expected)
        named = replace(report, about=tuple(sorted(set(of))) if of else report.about)
        records = uow.records.by_keys(named.about)
        facts = uow.facts.standing(named.about)
        wanted = wanted_by_report(named, facts, records, asks=asks, expected=expected)
        if asks and not wanted:
            raise LinkConflict("nothing of what is asked applies to the records of the report")
        for one in wanted:
            self._following.ask(uow, one, by=actor, at=at)

    def _take_back(self, uow: UnitOfWork, report: Report, *, actor: str, at: datetime) -> None:
        """Withdraw all that was asked for a report."""
        for correction in uow.corrections.of_cause(f"report/{report.id}"):
            if correction.withdrawn_at is None:
                self._following.withdraw(uow, correction, by=actor, at=at)

    @staticmethod
    def _audit(
        uow: UnitOfWork, report: Report, what: str, *, actor: str, at: datetime, facts: Sequence[Fact]
    ) -> None:
        details = {"kind": str(report.kind), "facts": [fact.id for fact in facts]}
        action = "C" if what == "received" else "U"
        uow.audit.append(AuditEvent(actor, action, f"report.{what}", f"report/{report.id}", at, details))

    @staticmethod
    def _trace(uow: UnitOfWork, correction_id: int, what: str, *, actor: str, at: datetime) -> None:
        uow.audit.append(AuditEvent(actor, "U", f"correction.{what}", f"correction/{correction_id}", at))


def _is_answered(record: StoredRecord) -> bool:
    return record.first_event_time is not None and not record.traits.attributes & NEVER_ANSWERED


def _known_report(uow: UnitOfWork, report_id: int) -> Report:
    report = uow.reports.get(report_id)
    if report is None:
        raise UnknownReview(f"report {report_id}: no such report")
    return report


def _known_correction(uow: UnitOfWork, correction_id: int) -> Correction:
    correction = uow.corrections.get(correction_id)
    if correction is None:
        raise UnknownReview(f"correction {correction_id}: no such request")
    return correction


def _open_correction(uow: UnitOfWork, correction_id: int) -> Correction:
    correction = _known_correction(uow, correction_id)
    if not correction.is_open:
        raise LinkConflict(f"nothing is left to ask in correction {correction_id}")
    return correction


def _view(uow: UnitOfWork, correction: Correction, at: datetime) -> CorrectionView:
    row = uow.outbox.get(correction.outbox_id) if correction.outbox_id is not None else None
    return CorrectionView(correction, state_of(correction, row, at=at), row)
