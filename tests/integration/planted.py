"""Faults planted in a service of the tests, to see that what should find them does, and poison."""

import os
import threading
import time

from mpi.errors import FeedError
from mpi.feeds import tabular
from mpi.feeds.hl7v2 import handler
from mpi.feeds.hl7v2.ack import acknowledge
from mpi.feeds.hl7v2.er7 import read_header
from mpi.index import events, intake, reception
from mpi.index.events import IdentityStated, MessageState, Receipt

POISON = "POISON"
"""An identifier whose message ends the service that handles it."""


def acknowledges_too_early() -> None:
    """AA at once; the message is stored a moment later."""
    stores = handler.Hl7Handler.handle

    def answers_first(self, frame, certificate=None):
        def later():
            time.sleep(0.02)
            stores(self, frame, certificate)

        threading.Thread(target=later, daemon=True).start()
        return acknowledge(read_header(frame), None, at=self._clock(), own_application="MPI").encode()

    handler.Hl7Handler.handle = answers_first


def forgets_names() -> None:
    """No message is ever recognised as one that came before."""
    events.Envelope.dedupe_key = property(lambda _envelope: "")


def drops_quarantine() -> None:
    """What cannot be applied is answered as it should, and not kept."""
    takes = reception.Reception._take

    def take(self, turn, instruction, problem):
        if isinstance(problem, FeedError):
            receipt = Receipt(MessageState.QUARANTINED, 0, error=problem)
            return Receipt(MessageState.QUARANTINED, 0, error=problem, reply=turn.reply(receipt))
        return takes(self, turn, instruction, problem)

    reception.Reception._take = take


def dies_of_reading_poison() -> None:
    """One row of a table ends the process as it is read."""
    reads = tabular.read_row

    def read_row(raw, source, directory):
        if f'"{POISON}"'.encode() in raw and b'"LOUISE"' in raw:
            os._exit(9)
        return reads(raw, source, directory)

    tabular.read_row = read_row


def dies_of_poison() -> None:
    """One message ends the process, in the middle of its transaction."""
    applies = intake.Intake.apply

    def apply(self, uow, instruction, **more):
        effect = applies(self, uow, instruction, **more)
        if isinstance(instruction, IdentityStated) and instruction.records[0].key.value == POISON:
            os._exit(9)
        return effect

    intake.Intake.apply = apply
