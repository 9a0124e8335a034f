"""
What every DICOM association of this index has in common, as acceptor and as requestor.

pynetdicom logs requests, answers and exceptions with patients' data in them: its log ends here. It
also collects a whole message before anyone sees it, however large: `BoundedDimse` keeps as much as
is wanted, and ends the association of a peer that sends more commands than anybody answers.
"""

import logging
import socket
from contextlib import suppress
from functools import partial
from typing import Any

from pynetdicom import _config
from pynetdicom.ae import ApplicationEntity
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.transport import AssociationSocket

_config.LOG_HANDLER_LEVEL = "none"
_config.LOG_REQUEST_IDENTIFIERS = False
_config.LOG_RESPONSE_IDENTIFIERS = False
_library_log = logging.getLogger("pynetdicom")
_library_log.addHandler(logging.NullHandler())
_library_log.propagate = False

MAX_COMMAND_BYTES = 64 * 1024
MAX_WAITING_MESSAGES = 16
_IS_COMMAND, _IS_LAST = 1, 2
_ABORT = "Evt19"  # PS3.8 9.2: an unrecognised or invalid PDU was received


class Requestor(ApplicationEntity):
    """An entity whose associations leave no socket open when nobody answers: the library's do."""

    def _create_socket(self, *arguments: Any) -> AssociationSocket:
        transport = super()._create_socket(*arguments)
        transport._shutdown_socket = partial(_close, transport)  # type: ignore[method-assign]
        return transport


def _close(transport: AssociationSocket) -> None:
    connection = transport.socket
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        with suppress(OSError):
            connection.close()


class BoundedDimse(DIMSEServiceProvider):
    """
    A message provider that drops what nobody reads, fragment by fragment.

    `keep` decides; the control byte of a dropped fragment is kept, because it says which one is last.
    """

    max_waiting_messages = MAX_WAITING_MESSAGES

    def __init__(self, assoc: Any) -> None:
        super().__init__(assoc)
        self._command_bytes = 0

    def begins(self, context_id: int) -> None:
        """The data set of a message is about to come, in a presentation context."""

    def keep(self, fragment: bytes, *, is_last: bool) -> bytes:
        """What has to be kept of the data set, now that this fragment of it came."""
        raise NotImplementedError

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take one P-DATA primitive, or end the association when no such thing should come."""
        try:
            bounded: list[Any] = [
                [context_id, self._bounded(context_id, value)]
                for context_id, value in primitive.presentation_data_value_list
            ]
            primitive.presentation_data_value_list = bounded
            super().receive_primitive(primitive)
        except Exception:  # noqa: BLE001 - whatever a peer's bytes made of the library, the thread must live
            self.dul.event_queue.put(_ABORT)

    def _bounded(self, context_id: int, value: bytes) -> bytes:
        control = value[0]
        if not control & _IS_COMMAND:
            return value[:1] + self.keep(value[1:], is_last=bool(control & _IS_LAST))
        self._command_bytes += len(value)
        if self._command_bytes > MAX_COMMAND_BYTES or self.msg_queue.qsize() > self.max_waiting_messages:
            raise ConnectionAbortedError("more than a peer may send")
        if control & _IS_LAST:
            self._command_bytes = 0
            self.begins(context_id)
        return value
