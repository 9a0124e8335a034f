"""
Wait for what happens on an association, instead of looking every millisecond whether something did.

The library's two threads of an association, transport and service, poll each other and the socket, and sleep
between the looks: a sender of one object after the other waits for most of that sleep. Here the transport
thread waits for its peer while the peer has the word, and for our answer while we have it; the service thread
waits for a message. Both still look around every few milliseconds, so nothing depends on being woken.
"""

import queue
import select
import ssl
from typing import Any

from mpi.feeds.dicom.network import BoundedDimse

QUIET_SECONDS = 0.01
"""The longest that either thread waits before it looks around."""

_OPEN = "Sta6"  # PS3.8 9.2.1: association established and ready for data transfer
_OURS = frozenset(
    {"Sta3", "Sta8"}
)  # awaiting our response to an association request, or to a release request


class PromptDimse(BoundedDimse):
    """A message provider whose service thread waits for the next message."""

    def __init__(self, assoc: Any) -> None:
        super().__init__(assoc)
        self.owes_answer = False
        _PromptTransport(assoc, self)

    def receive_primitive(self, primitive: Any) -> None:
        """Take one P-DATA primitive, and note when it completes a message that has to be answered."""
        waiting = self.msg_queue.qsize()
        super().receive_primitive(primitive)
        if self.msg_queue.qsize() > waiting:
            self.owes_answer = True

    def send_msg(self, primitive: Any, context_id: int) -> None:
        """Answer; from now on the peer has the word."""
        super().send_msg(primitive, context_id)
        self.owes_answer = False

    def get_msg(self, block: bool = False) -> Any:
        """The next message; without `block`, none after a moment."""
        if block:
            return super().get_msg(block=True)
        try:
            return self.msg_queue.get(timeout=QUIET_SECONDS)
        except queue.Empty:
            return None, None


class _PromptTransport:
    """Stands before the look at the socket that the transport thread takes in every round."""

    def __init__(self, assoc: Any, dimse: PromptDimse) -> None:
        self._dul = assoc.dul
        self._dimse = dimse
        self._look = assoc.dul._is_transport_event
        self._nudged = False
        assoc.dul._is_transport_event = self._wait_and_look
        assoc.dul._run_loop_delay = 0.0

    def _wait_and_look(self) -> bool:
        dul = self._dul
        if dul.event_queue.empty():
            state = dul.state_machine.current_state
            if dul.to_user_queue.qsize() and not self._nudged:
                self._nudged = True
                self._dimse.msg_queue.put((None, None))  # a release or an abort: the service thread looks now
            if state in _OURS or (state == _OPEN and self._dimse.owes_answer):
                self._wait_for_answer()
            elif state == _OPEN:
                self._wait_for_peer()
        return bool(self._look())

    def _wait_for_answer(self) -> None:
        answers = self._dul.to_provider_queue
        with answers.not_empty:
            if not answers.queue:
                answers.not_empty.wait(QUIET_SECONDS)

    def _wait_for_peer(self) -> None:
        connection = self._dul.socket.socket if self._dul.socket is not None else None
        if connection is None or (isinstance(connection, ssl.SSLSocket) and connection.pending()):
            return
        try:
            select.select([connection], [], [], QUIET_SECONDS)
        except (OSError, ValueError):
            return  # the look that follows finds out, and says so
