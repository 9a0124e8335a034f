"""Studies, cursors of harvests and sequence numbers, on every store."""

from dataclasses import replace
from datetime import date

import pytest

from mpi.errors import StoreError
from mpi.feeds.dicom.harvest import StoreProgress
from mpi.index.events import Study
from mpi.index.ports import HarvestCondition, HarvestCursor, Store
from tests.integration.store.examples import EVERY_TEXT, NOON, add_message, key, later


def study(uid: str = "2.999.1", value: str = "A", source: str = "PACS") -> Study:
    """A study with everything a study may have."""
    return Study(
        uid=uid,
        record=key(value),
        source=source,
        accession=EVERY_TEXT,
        modalities=("CT", "SR"),
        date=date(2026, 3, 1),
        institution=EVERY_TEXT,
        is_manifest=True,
    )


def test_a_study_comes_back_whole(store: Store) -> None:
    strange = study(EVERY_TEXT, EVERY_TEXT, EVERY_TEXT)
    bare = Study("2.999.2", key("B"), "PACS")
    with store.write() as uow:
        told_by = add_message(uow)
        for one in (strange, bare):
            uow.studies.keep(replace(one, message_id=told_by))
        uow.commit()
    with store.read() as uow:
        assert uow.studies.of_uid(EVERY_TEXT) == [replace(strange, message_id=told_by)]
        assert uow.studies.of([key("B")]) == [replace(bare, message_id=told_by)]


def test_studies_are_found_by_identifier_whichever_its_epoch_and_by_uid(store: Store) -> None:
    with store.write() as uow:
        told_by = add_message(uow)
        found = [
            replace(study(uid, value, source), message_id=told_by)
            for uid, value, source in [
                ("2.999.1", "A", "PACS"),
                ("2.999.1", "B", "PACS"),
                ("2.999.1", "A", "SHARING"),
                ("2.999.2", "A", "PACS"),
            ]
        ]
        for one in reversed(found):
            uow.studies.keep(one)

        assert uow.studies.of_uid("2.999.1") == found[:3]
        assert uow.studies.of([key("A"), key("A", 3)]) == [found[0], *found[2:]]
        assert uow.studies.of([key("A"), key("B")]) == found
        assert uow.studies.of([key("C")]) == uow.studies.of([]) == uow.studies.of_uid("2.999.3") == []


def test_a_study_told_of_again_keeps_what_it_had_and_adds_modalities_up(store: Store) -> None:
    with store.write() as uow:
        first, second = add_message(uow), add_message(uow)
        whole = replace(study(), message_id=first)
        uow.studies.keep(whole)
        uow.studies.keep(Study("2.999.1", key("A"), "PACS", modalities=("MR",), message_id=second))
        added = uow.studies.of_uid("2.999.1")
        corrected = replace(whole, accession="B2", message_id=second, modalities=("MR",))
        uow.studies.keep(corrected)

        wanted = replace(whole, modalities=("CT", "MR", "SR"), is_manifest=False, message_id=second)
        assert added == [wanted]
        assert uow.studies.of_uid("2.999.1") == [replace(wanted, accession="B2")]


def test_erasing_takes_the_studies_that_messages_were_the_last_to_tell_of(store: Store) -> None:
    with store.write() as uow:
        first, second = add_message(uow), add_message(uow)
        uow.studies.keep(replace(study("2.999.1"), message_id=first))
        uow.studies.keep(replace(study("2.999.2"), message_id=first))
        uow.studies.keep(replace(study("2.999.2"), message_id=second))
        uow.studies.erase([])
        uow.studies.erase({first})

        assert [one.uid for one in uow.studies.of([key("A")])] == ["2.999.2"]


def test_a_study_needs_the_message_that_told_of_it(store: Store) -> None:
    with store.write() as uow, pytest.raises(StoreError):
        uow.studies.keep(study())


def test_a_cursor_of_a_harvest_moves_on(store: Store) -> None:
    with store.write() as uow:
        before = uow.harvests.get(EVERY_TEXT)
        uow.harvests.put(EVERY_TEXT, HarvestCursor(None, 2**40), at=NOON)
        begun = uow.harvests.get(EVERY_TEXT)
        uow.harvests.put(EVERY_TEXT, HarvestCursor(date(2026, 3, 1)), at=later(1))
        uow.harvests.put("PACS", HarvestCursor(date(2020, 2, 29), 7), at=later(1))
        uow.commit()
    with store.read() as uow:
        assert (before, begun) == (None, HarvestCursor(None, 2**40))
        assert uow.harvests.get(EVERY_TEXT) == HarvestCursor(date(2026, 3, 1))
        assert uow.harvests.get("PACS") == HarvestCursor(date(2020, 2, 29), 7)


def test_a_sequence_is_of_one_source_and_may_begin_anywhere_again(store: Store) -> None:
    with store.write() as uow:
        never = uow.sequences.expected("RIS")
        uow.sequences.expect("RIS", 2_000_000_000)
        uow.sequences.expect(EVERY_TEXT, 1)
        uow.sequences.expect(EVERY_TEXT, None)
        uow.commit()
    with store.read() as uow:
        assert never is None
        assert uow.sequences.expected("RIS") == 2_000_000_000
        assert uow.sequences.expected(EVERY_TEXT) is None


def test_what_feeds_leave_is_undone_with_its_transaction(store: Store) -> None:
    with store.write() as uow:
        uow.studies.keep(replace(study(), message_id=add_message(uow)))
        uow.harvests.put("PACS", HarvestCursor(date(2026, 3, 1)), at=NOON)
        uow.sequences.expect("RIS", 5)
    with store.read() as uow:
        assert uow.studies.of_uid("2.999.1") == []
        assert (uow.harvests.get("PACS"), uow.sequences.expected("RIS")) == (None, None)


def test_a_harvest_goes_on_where_it_left_off_when_the_process_is_another(store: Store) -> None:
    before = StoreProgress(store, lambda: NOON)
    never = before.load("PACS")
    before.save("PACS", HarvestCursor(date(2026, 3, 1), 200))

    assert (never, StoreProgress(store, lambda: NOON).load("PACS")) == (
        None,
        HarvestCursor(date(2026, 3, 1), 200),
    )


def test_how_a_harvest_does_is_kept_beside_its_cursor(store: Store) -> None:
    cursor, condition = (
        HarvestCursor(date(2026, 3, 1), 7),
        HarvestCondition(EVERY_TEXT, NOON, NOON, NOON, NOON),
    )
    with store.write() as uow:
        assert uow.harvests.condition("pacs-a") is None
        uow.harvests.note("pacs-a", condition, at=NOON)
        assert uow.harvests.get("pacs-a") == HarvestCursor()
        uow.harvests.put("pacs-a", cursor, at=NOON)
        uow.harvests.note("pacs-a", HarvestCondition(succeeded_at=later(1)), at=NOON)
        uow.commit()
    with store.read() as uow:
        assert uow.harvests.get("pacs-a") == cursor
        assert uow.harvests.condition("pacs-a") == HarvestCondition(succeeded_at=later(1))


def test_a_harvest_that_fails_is_told_since_when_and_when_it_tries_again(store: Store) -> None:
    instants = iter([NOON, later(1), later(2), later(3), later(4), later(5)])
    progress = StoreProgress(store, lambda: next(instants))

    def attempt(problem: str) -> HarvestCondition | None:
        progress.begun("pacs-a")
        progress.ended("pacs-a", problem, next_in_seconds=60)
        with store.read() as uow:
            return uow.harvests.condition("pacs-a")

    assert attempt("cannot be reached") == HarvestCondition(
        "cannot be reached", failing_since=later(1), next_at=later(2)
    )
    assert attempt("asked to wait") == HarvestCondition(
        "asked to wait", failing_since=later(1), next_at=later(4)
    )
    assert attempt("") == HarvestCondition(succeeded_at=later(5), next_at=later(6))


def test_a_study_that_moved_is_forgotten_under_the_identifier_it_had(store: Store) -> None:
    with store.write() as uow:
        told_by = add_message(uow)
        for value in ("A", "B"):
            uow.studies.keep(replace(study(value=value), message_id=told_by))
        uow.studies.forget("2.999.1", "PACS", key("A"))
        uow.studies.forget("2.999.1", "SHARING", key("B"))
        uow.studies.forget("2.999.9", "PACS", key("B"))
        uow.commit()
    with store.read() as uow:
        assert [one.record for one in uow.studies.of_uid("2.999.1")] == [key("B")]
