"""What is remembered of studies, and for how long."""

import pytest

from mpi.feeds.dicom.seen import MAX_STUDIES_REMEMBERED, QUARANTINED_SECONDS, StudiesSeen
from mpi.index.events import MessageState, Receipt


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def receipt(state: MessageState, message_id: int = 7) -> Receipt:
    return Receipt(state, message_id)


@pytest.mark.parametrize("state", [state for state in MessageState if state is not MessageState.QUARANTINED])
def test_what_needs_no_repair_is_remembered_for_good(state: MessageState) -> None:
    clock = Clock()
    seen = StudiesSeen(clock)
    seen.remember(b"study", receipt(state))
    clock.now += 1000 * QUARANTINED_SECONDS

    assert seen.get(b"study") == receipt(state)


def test_a_quarantined_study_is_taken_anew_after_a_while() -> None:
    clock = Clock()
    seen = StudiesSeen(clock)
    seen.remember(b"study", receipt(MessageState.QUARANTINED))
    clock.now += QUARANTINED_SECONDS - 1
    assert seen.get(b"study") == receipt(MessageState.QUARANTINED)
    clock.now += 1
    assert seen.get(b"study") is None

    seen.remember(b"study", receipt(MessageState.DUPLICATE, 8))
    assert seen.get(b"study") == receipt(MessageState.DUPLICATE, 8)


def test_repetitions_do_not_keep_a_quarantined_study_remembered() -> None:
    clock = Clock()
    seen = StudiesSeen(clock)
    seen.remember(b"study", receipt(MessageState.QUARANTINED))
    for _ in range(3):
        clock.now += QUARANTINED_SECONDS / 3
        known = seen.get(b"study")
        if known is not None:
            seen.remember(b"study", known)

    assert seen.get(b"study") is None


def test_the_oldest_are_forgotten_and_a_message_without_a_study_never_known() -> None:
    seen = StudiesSeen()
    seen.remember(b"", receipt(MessageState.APPLIED))
    for number in range(MAX_STUDIES_REMEMBERED + 1):
        seen.remember(str(number).encode(), receipt(MessageState.APPLIED, number))

    assert seen.get(b"") is None
    assert seen.get(b"0") is None
    assert seen.get(b"1") is not None
