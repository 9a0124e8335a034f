"""Reports, requests to sites and indicators, on every store."""

from dataclasses import replace

import pytest

from mpi.errors import StoreError
from mpi.identity.ins import IdentityAttribute, IdentityStatus
from mpi.identity.model import Demographics, NameUse, PersonName
from mpi.index.corrections import Correction, CorrectionKind, WantedCorrection
from mpi.index.events import FactKind, MessageState
from mpi.index.ports import Store, UnitOfWork
from mpi.index.reports import Followed, Report, ReportKind, ReportState
from mpi.index.review import TOPIC, TaskKey, TaskKind, WantedTask
from tests.integration.store.examples import (
    EVERY_TEXT,
    NOON,
    add_message,
    add_record,
    envelope,
    fact,
    key,
    later,
    move,
    save,
    statement,
)

DOMAIN = key("A").domain


def report(*about: str, **more: object) -> Report:
    """A report with everything a report may have."""
    made = Report(
        0,
        ReportKind.WRONG_TRAIT,
        tuple(sorted(map(key, about))),
        "key:é",
        "portal",
        NOON,
        later(1),
        EVERY_TEXT,
        "birth_date",
        "1.2.3",
        answer=EVERY_TEXT,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def correction(left: int, right: int, cause: str = "fact/1", **more: object) -> Correction:
    """A request with everything a request may have."""
    wanted = WantedCorrection(
        CorrectionKind.MERGE,
        cause,
        key("A"),
        key("B"),
        source=EVERY_TEXT,
        expected={"birth_name": "Œ", "sex": "F"},
        before={"birth_name": EVERY_TEXT.replace("\ud83d", "")},
        traits=("birth_name",),
        study_uid="1.2.3",
    )
    return replace(
        Correction(0, wanted, left, right, EVERY_TEXT, "user:é", NOON, later(60)),
        **more,  # type: ignore[arg-type]
    )


def test_a_report_comes_back_whole(store: Store) -> None:
    with store.write() as uow:
        add_record(uow, "A")
        add_record(uow, "B")
        fact_id = uow.facts.add(fact("A", "A", kind=FactKind.REPORTED))
        told = report("B", "A", fact_id=fact_id)
        report_id = uow.reports.add(told)
        uow.commit()
    with store.read() as uow:
        assert uow.reports.get(report_id) == replace(told, id=report_id)
        assert uow.reports.get(report_id + 1) is None


def test_a_change_raises_the_version_and_leaves_what_was_reported(store: Store) -> None:
    with store.write() as uow:
        add_record(uow, "A")
        fact_id = uow.facts.add(fact("A", "A", kind=FactKind.REPORTED))
        told = report("A", fact_id=fact_id)
        report_id = uow.reports.add(told)
        changed = uow.reports.change(
            report(
                id=report_id,
                kind=ReportKind.OTHER,
                comment="other",
                state=ReportState.ACCEPTED,
                decided_by="é",
                answer="seen",
                changed_at=later(9),
                version=40,
                fact_id=fact_id,
            )
        )

        assert changed == replace(
            told,
            id=report_id,
            state=ReportState.ACCEPTED,
            decided_by="é",
            answer="seen",
            changed_at=later(9),
            version=2,
        )
        assert uow.reports.get(report_id) == changed
        with pytest.raises(LookupError):
            uow.reports.change(replace(told, id=99))


def test_reports_are_found_by_state_by_reporter_and_by_record(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        first = uow.reports.add(report("A"))
        second = uow.reports.add(report("A", "B", actor="user:x", state=ReportState.CLOSED))
        third = uow.reports.add(report("B"))

        def ids(found: list[Report]) -> list[int]:
            return [one.id for one in found]

        everything = frozenset(ReportState)
        assert ids(uow.reports.page(states=everything)) == [first, second, third]
        assert ids(uow.reports.page(states=everything, after=first, limit=1)) == [second]
        assert ids(uow.reports.page(states=everything, actor="key:é")) == [first, third]
        assert ids(uow.reports.page(states=[ReportState.CLOSED])) == [second]
        assert ids(uow.reports.about([a])) == [first, second]
        assert ids(uow.reports.about([a, b])) == [first, second, third]
        assert uow.reports.about([]) == uow.reports.about([b + 9]) == []


def test_blanking_destroys_words_and_traits(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        told, kept = uow.reports.add(report("A", "B")), uow.reports.add(report("B"))
        asked, left = uow.corrections.add(correction(a, b)), uow.corrections.add(correction(b, b, "fact/2"))
        uow.reports.blank([a])
        uow.corrections.blank([a])
        uow.commit()
    with store.read() as uow:
        blanked, other = uow.reports.get(told), uow.reports.get(kept)
        assert blanked is not None
        assert other is not None
        assert (blanked.comment, blanked.answer) == ("", "")
        assert other.comment == EVERY_TEXT
        gone, there = uow.corrections.get(asked), uow.corrections.get(left)
        assert gone is not None
        assert there is not None
        assert (dict(gone.wanted.expected), dict(gone.wanted.before)) == ({}, {})
        assert there.wanted.expected


def test_a_request_comes_back_whole(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        row = uow.outbox.add(consumer="ris", kind="correction", payload={}, created_at=NOON)
        told = correction(
            a,
            b,
            outbox_id=row,
            settled=Followed.OTHERWISE,
            settled_at=later(2),
            settled_by="message/9",
            withdrawn_at=later(3),
            withdrawn_by="user:é",
        )
        correction_id = uow.corrections.add(told)
        uow.commit()
    with store.read() as uow:
        assert uow.corrections.get(correction_id) == replace(told, id=correction_id)
        assert uow.corrections.get(correction_id + 1) is None


def test_what_became_of_a_request_changes_and_what_is_asked_does_not(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        told = correction(a, b)
        told = replace(told, id=uow.corrections.add(told))
        other = replace(told.wanted, kind=CorrectionKind.LINK, expected={}, cause="fact/9")
        settled = replace(
            told,
            wanted=other,
            source="other",
            settled=Followed.DONE,
            settled_at=later(5),
            settled_by="message/2",
        )
        changed = uow.corrections.change(replace(settled, due_at=later(90)))

        assert changed == replace(
            told,
            settled=Followed.DONE,
            settled_at=later(5),
            settled_by="message/2",
            due_at=later(90),
            version=2,
        )
        with pytest.raises(LookupError):
            uow.corrections.change(replace(told, id=99))


def test_the_same_thing_is_asked_once(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        uow.corrections.add(correction(a, b))
        with pytest.raises(StoreError):
            uow.corrections.add(correction(a, b))


def test_requests_are_found_by_record_by_cause_and_by_how_they_stand(store: Store) -> None:
    with store.write() as uow:
        a, b = add_record(uow, "A"), add_record(uow, "B")
        opened = uow.corrections.add(correction(a, b))
        done = uow.corrections.add(correction(b, b, "report/2.1", settled=Followed.DONE, settled_at=later(1)))
        gone = uow.corrections.add(
            correction(a, a, "report/2.4", withdrawn_at=later(1), withdrawn_by="user:é")
        )
        late = uow.corrections.add(correction(b, b, "report/21.1", due_at=later(-1)))
        uow.commit()

    def ids(found: list[Correction]) -> list[int]:
        return [one.id for one in found]

    with store.read() as uow:
        assert ids(uow.corrections.touching([a])) == [opened]
        assert ids(uow.corrections.touching([a, b])) == [opened, done, late]
        assert uow.corrections.touching([]) == []
        assert ids(uow.corrections.of_cause("report/2")) == [done, gone]
        assert ids(uow.corrections.of_cause("fact/1")) == [opened]
        assert ids(uow.corrections.page()) == [opened, done, gone, late]
        assert ids(uow.corrections.page(after=opened, limit=2)) == [done, gone]
        assert ids(uow.corrections.page(is_open=True)) == [opened, late]
        assert ids(uow.corrections.page(is_open=False)) == [done, gone]
        assert ids(uow.corrections.page(overdue_at=NOON)) == [late]
        assert ids(uow.corrections.page(overdue_at=later(60))) == [opened, late]
        assert ids(uow.corrections.page(kind=CorrectionKind.LINK)) == []


# --------------------------------------------------------------------------------- indicators


def named(family: str, *codes: str, ins: str = "") -> Demographics:
    return Demographics(names=(PersonName(family, "ANNE", use=NameUse.BIRTH),), identity_codes=codes, ins=ins)


def filled(uow: UnitOfWork) -> dict[str, int]:
    """Records of one domain: three qualified, one doubtful homonym, one merged away, one never stated."""
    ids = {value: add_record(uow, value) for value in "ABCDE"}
    save(uow, ids["A"], demographics=named("DOUT QUAL", "VALI", ins="x"))
    save(uow, ids["B"], demographics=named('"attributes":["FICT"]', "PROV", "DOUT", "HOMA"))
    save(uow, ids["C"], demographics=named("MOREL", "VALI"))
    uow.records.add(key("F"), "EUID-F")
    uow.facts.add(fact("A", "C", kind=FactKind.MERGED))
    uow.facts.add(fact("A", "D", kind=FactKind.SAME))
    for value, euid in zip("ABCDE", ("ONE", "ONE", "ONE", "TWO", "THREE"), strict=True):
        move(uow, ids[value], euid)
    return ids


def test_identities_are_counted_by_status_and_attribute(store: Store) -> None:
    with store.write() as uow:
        filled(uow)
        uow.commit()
    with store.read() as uow:
        figures = uow.indicators.figures([DOMAIN], at=NOON)

    assert figures.identities == {
        DOMAIN: {
            IdentityStatus.QUALIFIED: 3,
            IdentityStatus.PROVISIONAL: 1,
            IdentityAttribute.DOUBTFUL: 1,
            IdentityAttribute.HOMONYM: 1,
        }
    }
    assert figures.duplicates == {DOMAIN: 1}
    assert figures.held == {DOMAIN: 5}, "every example is held"


def test_nothing_of_another_domain_is_counted(store: Store) -> None:
    with store.write() as uow:
        ids = filled(uow)
        task = TaskKey(TOPIC[TaskKind.POTENTIAL_LINK], ids["A"], ids["B"])
        uow.reviews.open(WantedTask(task, TaskKind.POTENTIAL_LINK, "twins"), at=NOON)
        uow.reports.add(report("A"))
        uow.corrections.add(correction(ids["A"], ids["B"]))
        uow.commit()
    with store.read() as uow:
        figures = uow.indicators.figures(["1.2.3"], at=NOON)
        none = uow.indicators.figures([], at=NOON)

    assert figures == none
    assert not any((figures.identities, figures.tasks, figures.reports, figures.overdue, figures.held))


def test_tasks_reports_and_requests_are_counted(store: Store) -> None:
    with store.write() as uow:
        ids = filled(uow)
        for minutes, pair in enumerate((("A", "B"), ("A", "C"))):
            task = TaskKey(TOPIC[TaskKind.POTENTIAL_LINK], ids[pair[0]], ids[pair[1]])
            uow.reviews.open(WantedTask(task, TaskKind.POTENTIAL_LINK, "twins"), at=later(minutes))
        for state in (ReportState.RECEIVED, ReportState.RECEIVED, ReportState.CORRECTED):
            uow.reports.add(report("A", "B", state=state))
        done = {"settled": Followed.DONE, "settled_by": "message/1"}
        uow.corrections.add(correction(ids["A"], ids["B"], "report/3.1", settled_at=later(10), **done))
        uow.corrections.add(correction(ids["B"], ids["B"], "report/3.1", settled_at=later(30), **done))
        uow.corrections.add(correction(ids["A"], ids["B"], "fact/1", source="ris"))
        uow.corrections.add(correction(ids["A"], ids["B"], "fact/2", source="ris", due_at=NOON))
        uow.commit()
    with store.read() as uow:
        figures = uow.indicators.figures([DOMAIN], at=later(1))

    assert figures.tasks == {TaskKind.POTENTIAL_LINK: (2, NOON)}
    assert figures.reports == {ReportState.RECEIVED: 2, ReportState.CORRECTED: 1}
    assert figures.corrected == (1, 1800.0)
    assert figures.overdue == {"ris": (1, 2)}


def test_withdrawals_of_an_ins_are_counted_as_they_were_told(store: Store) -> None:
    with store.write() as uow:
        record_id = add_record(uow, "A")
        told = uow.inbox.add(
            replace(envelope(), event="ADT^A47"), received_at=NOON, state=MessageState.APPLIED
        )
        uow.records.add_statement(record_id, statement("A"), message_id=told, recorded_at=NOON)
        uow.records.add_statement(record_id, statement("A"), message_id=add_message(uow), recorded_at=NOON)
        uow.commit()
    with store.read() as uow:
        assert uow.indicators.figures([DOMAIN], at=NOON).ins_withdrawn == {DOMAIN: 1}
