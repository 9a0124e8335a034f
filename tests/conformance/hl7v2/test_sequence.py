"""
The sequence number protocol (MSH-13, MSA-4), on every store: gap, repetition, reset and rollover.

Source: HL7 v2.5 section 2.10.1.
"""

from dataclasses import dataclass

import pytest

from mpi.feeds.hl7v2.handler import Hl7Handler
from mpi.feeds.mllp import BOUNDARY
from mpi.index.events import MessageState
from mpi.index.parties import Acknowledgement
from mpi.index.ports import Store
from mpi.index.registry import Registry
from mpi.index.sequence import LAST
from mpi.matching.model import MatchModel
from mpi.replay import replay
from tests.unit.feeds.hl7v2.fakes import NOW, PID, Reply, adt, federation

BAD_DATE = PID.replace("19840229", "ZQX")


@dataclass
class Link:
    """RIS_A, which numbers its messages, over a real registry."""

    store: Store
    registry: Registry
    handler: Hl7Handler

    def send(self, number: int | str, control_id: str = "", *segments: str, msh: str = "||||FRA|") -> Reply:
        """Send a message numbered so; its control id says which message it is."""
        text = adt("A28", *segments, control_id=control_id or f"M{number}")
        return Reply(self.handler.handle(text.replace("|||||FRA|", f"|{number}{msh}", 1).encode("ascii")))

    def answers(self, *numbers: int | str) -> list[tuple[str | None, str | None]]:
        """MSA-1 and MSA-4 for each of the messages."""
        return [answer(self.send(number)) for number in numbers]

    @property
    def states(self) -> list[MessageState]:
        with self.store.read() as uow:
            return [message.state for message in uow.inbox.page(limit=1000)]


def answer(reply: Reply) -> tuple[str | None, str | None]:
    return reply.first("MSA", 1), reply.first("MSA", 4)


def linked(store: Store, **ris_a: object) -> Link:
    directory = federation(**{"sequence_numbers": True, **ris_a})
    registry = Registry(store, directory, MatchModel.default(), lambda: NOW)
    return Link(store, registry, Hl7Handler(registry, directory, lambda: NOW))


@pytest.fixture
def link(store: Store) -> Link:
    return linked(store)


@pytest.fixture
def quick(memory_store: Store) -> Link:
    return linked(memory_store)


def test_the_first_number_may_be_any_and_each_is_followed_by_the_next(link: Link) -> None:
    assert link.answers(7, 8, 9) == [("AA", "8"), ("AA", "9"), ("AA", "10")]


def test_a_gap_is_answered_with_the_number_expected_and_closed_by_sending_again(link: Link) -> None:
    link.send(1)
    gap = link.send(4)

    assert (answer(gap), gap.err_2, gap.err_3) == (("AE", "2"), "MSH^1^13", "207")
    assert gap.first("ERR", 8) == "missing 2 to 3"
    assert link.answers(3, 2, 3, 4) == [("AE", "2"), ("AA", "3"), ("AA", "4"), ("AA", "5")]
    assert link.states.count(MessageState.REPAIRED) == 2
    assert link.states.count(MessageState.APPLIED) == 4


def test_a_repeated_message_is_a_duplicate_and_moves_nothing(link: Link) -> None:
    first = link.send(5)

    assert link.send(5).raw == first.raw
    assert link.answers(6) == [("AA", "7")]


def test_a_lower_number_on_another_message_is_quarantined(quick: Link) -> None:
    quick.answers(5, 6)
    late = quick.send(5, "OTHER")

    assert (answer(late), late.first("ERR", 8)) == (("AE", "7"), "lower than 7, which is expected")
    assert answer(quick.send(5, "OTHER")) == ("AE", "7")  # sending it again does not make it its turn


def test_zero_opens_the_link_and_is_told_the_number_expected(link: Link) -> None:
    opening = "MSH|^~\\&|RIS_A|SITE_A|MPI|FED|20260302101500||^|{}|P|2.5|0\r"

    def opened(control_id: str) -> tuple[str | None, str | None]:
        return answer(Reply(link.handler.handle(opening.format(control_id).encode())))

    never = opened("O1")
    link.answers(7)

    assert (never, opened("O2"), answer(link.send(0, "O3"))) == (("AA", "-1"), ("AA", "8"), ("AA", "8"))
    assert link.answers(8) == [("AA", "9")]
    assert MessageState.QUARANTINED not in link.states


def test_minus_one_resynchronises_and_the_next_number_may_be_any(link: Link) -> None:
    assert link.answers(50, -1, 3, 4) == [("AA", "51"), ("AA", "-1"), ("AA", "4"), ("AA", "5")]


def test_one_follows_two_thousand_million(link: Link) -> None:
    assert link.answers(LAST, 1) == [("AA", "1"), ("AA", "2")]


@pytest.mark.parametrize(
    ("number", "err_3"),
    [("", "101"), ("x", "102"), (LAST + 1, "102"), (-2, "102"), ("1.0", "102"), ("١", "102")],
)
def test_a_message_without_a_usable_number_is_not_counted(quick: Link, number: object, err_3: str) -> None:
    quick.send(1)
    text = adt("A28", control_id="M2").replace("|||||FRA|", f"|{number}||||FRA|", 1)
    reply = Reply(quick.handler.handle(text.encode()))

    assert (reply.msa_1, reply.err_2, reply.err_3) == ("AE", "MSH^1^13", err_3)
    assert quick.answers(2) == [("AA", "3")]


def test_what_is_kept_counts_though_it_cannot_be_applied_and_may_be_corrected(link: Link) -> None:
    link.send(1)
    bad = link.send(2, "M2", BAD_DATE)

    assert answer(bad) == ("AE", "3")
    assert link.answers(3) == [("AA", "4")]
    assert answer(link.send(2, "M2")) == ("AA", "4")
    assert link.answers(4) == [("AA", "5")]


def test_a_person_may_apply_what_came_too_early(quick: Link) -> None:
    quick.answers(1, 3)

    receipt = replay(quick.registry, 2, actor="user:anne").receipt

    assert receipt is not None
    assert receipt.state is MessageState.APPLIED
    assert quick.answers(2) == [("AA", "3")]


def test_what_is_not_its_turn_is_not_committed_in_enhanced_mode(memory_store: Store) -> None:
    link = linked(memory_store, acknowledgement=Acknowledgement.ENHANCED)
    both = [answer(Reply(one)) for one in link.send(1, msh="||AL|AL|FRA|").raw.split(BOUNDARY)]

    assert both == [("CA", "2"), ("AA", "2")]
    assert answer(link.send(3, msh="||AL|AL|FRA|")) == ("CE", "2")


def test_a_source_that_is_not_asked_for_numbers_may_send_any(memory_store: Store) -> None:
    link = linked(memory_store, sequence_numbers=False)

    assert link.answers(5, 1, "x") == [("AA", "")] * 3


def test_the_number_expected_is_not_kept_when_the_message_is_not(link: Link) -> None:
    link.send(1)
    with link.store.write() as uow:
        uow.sequences.expect("ris-a", 99)  # and no commit

    assert link.answers(2) == [("AA", "3")]
