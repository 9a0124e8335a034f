"""
One frame in, one reply out: journalled feeds through the registry, queries through its cross-references.

Source: IHE ITI-8, ITI-9, ITI-30; IHE ITI TF-2 appendix C.
"""

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

import structlog

from mpi.errors import InvalidIdentity, SettingsError, SourceStopped, StoreError, UnreadableMessage
from mpi.feeds.hl7v2 import adt, er7, problems, skeletons
from mpi.feeds.hl7v2.ack import (
    Fault,
    acknowledge,
    acknowledge_enhanced,
    asks_for_enhanced,
    write_acknowledgement,
)
from mpi.feeds.hl7v2.batch import answer_batch, is_batch
from mpi.feeds.hl7v2.minimised import minimised
from mpi.feeds.hl7v2.query import EVENTS as QUERIES
from mpi.feeds.hl7v2.query import Queries, QueryIndex
from mpi.feeds.hl7v2.query_answer import QueryPolicy
from mpi.feeds.mllp import BOUNDARY
from mpi.index import sequence
from mpi.index.events import Envelope, Instruction, Nothing, Receipt
from mpi.index.events import Protocol as Transport
from mpi.index.parties import (
    UNKNOWN_SOURCE,
    Acknowledgement,
    ClientCertificate,
    Directory,
    OnTransient,
    sender_name,
)
from mpi.index.ports import Clock

UNPROVED_SOURCE: Final = "unproved"
"""Of a message whose sender showed a certificate of nobody's, or none, and claimed a source that has one."""
MAX_CONTROL_ID_LENGTH: Final = 199
"""MSH-10 of HL7 v2.7, the longest of any version. A longer one is kept by its digest."""
_ASSUMED_CHARSET: Final = "8859/1"
"""What a sender that declares no character set is taken to read."""
_NUMBER = re.compile(r"-1|[+]?\d{1,10}", re.ASCII)
_LINES = re.compile(rb"[\r\n]+")
_IDENTIFIERS: Final = {b"PID": 3, b"MRG": 1}
_WORD = re.compile(r"[A-Z][A-Z0-9]{2}", re.ASCII)

_log = structlog.get_logger()


class Index(QueryIndex, Protocol):
    """What a handler needs of the registry."""

    def receive(
        self, envelope: Envelope, read: Callable[[], Instruction], reply: Callable[[Receipt], bytes]
    ) -> Receipt:
        """Journal, read, apply and answer in one transaction; StoreError when it did not commit."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """
    A frame ready for the registry.

    Args:
        read: parses it; raises the error that says why it cannot be used.
        reply: writes the acknowledgement of what became of it.
    """

    envelope: Envelope
    read: Callable[[], Instruction]
    reply: Callable[[Receipt], bytes]


class Hl7Handler:
    """
    HL7 v2 over anything that carries frames: MLLP, files, a replay of the journal.

    Safe to call from several threads when the registry is.

    Args:
        queries: what the standards leave to this index when it is asked.

    Raises:
        SettingsError: a source's default character set is not one we read, or its name is not for sources.
    """

    def __init__(
        self, registry: Index, directory: Directory, clock: Clock, queries: QueryPolicy | None = None
    ) -> None:
        self._registry = registry
        self._queries = Queries(registry, directory, queries or QueryPolicy(), clock)
        self._directory = directory
        self._clock = clock
        for source in directory.sources:
            if source.name in (UNKNOWN_SOURCE, UNPROVED_SOURCE):
                raise SettingsError(f"sources.{source.name}: a name kept for senders that are none")
            if er7.codec_of(source.default_charset) is None:
                raise SettingsError(f"sources.{source.name}.default_charset: no character set we read")
        for error in (False, True):  # built now, so that no sender waits for it
            skeletons.acknowledgement(skeletons.OLD, error=error)
            skeletons.acknowledgement(skeletons.NEW, error=error)
            skeletons.cross_reference(error=error, found=not error)
            skeletons.demographics(error=error)
        skeletons.cross_reference(error=False, found=False)

    def handler_of(self, certificate: ClientCertificate | None) -> Callable[[bytes], bytes] | None:
        """What serves a peer that showed this certificate; None when nobody could speak with it."""
        if certificate is None:
            return self.handle
        if not self._directory.has_a_place_for(certificate):
            return None
        return partial(self.handle, certificate=certificate)

    def handle(self, frame: bytes, certificate: ClientCertificate | None = None) -> bytes:
        """
        Answer one message, or a batch of them with a batch (no MLLP framing), in its own character set.

        An acknowledgement is not journalled and gets no answer, which is an empty one: two systems
        that acknowledged each other's acknowledgements would never stop.

        Args:
            certificate: what its sender showed; None where no certificate is asked for.

        Raises:
            StoreError: nothing may be answered; close the connection. A source may be answered AR instead.
        """
        if is_batch(frame):
            with suppress(UnreadableMessage):  # then it is kept, and answered, as the message it is not
                return answer_batch(
                    frame,
                    partial(self._answer, certificate=certificate),
                    at=self._clock(),
                    own_application=self._directory.own.namespace,
                )
        return self._answer(frame, certificate)

    def _answer(self, frame: bytes, certificate: ClientCertificate | None) -> bytes:
        try:
            header = er7.read_header(frame)
        except UnreadableMessage:
            header = None
        if header is not None and header.value(9, 1).strip().upper() == "ACK":
            source = self._directory.source_of(header.value(3), header.value(4))
            _log.warning("hl7v2.acknowledgement_ignored", source=sender_name(source))
            return b""
        if header is not None and header.value(9, 1) in QUERIES:
            return self._answer_query(frame, header, certificate)
        incoming = self.prepare(frame, certificate)
        try:
            receipt = self._registry.receive(incoming.envelope, incoming.read, incoming.reply)
        except StoreError as error:
            is_full = isinstance(error, SourceStopped)
            event = "hl7v2.source_stopped" if is_full else "hl7v2.refused_for_now"
            _log.error(event, source=incoming.envelope.source)
            reply = self.refuse(frame, problems.QUARANTINE_FULL if is_full else problems.TRY_AGAIN)
            if not reply:
                raise
            return reply
        _log.info(
            "hl7v2.received",
            message_id=receipt.message_id,
            state=str(receipt.state),
            source=incoming.envelope.source,
            trigger=incoming.envelope.event,
            error=type(receipt.error).__name__ if receipt.error else "",
            place=getattr(receipt.error, "place", ""),
        )
        return receipt.reply

    def refuse(self, frame: bytes, problem: str = problems.TRY_AGAIN) -> bytes:
        """
        What a message that cannot be taken now is answered; empty to close the connection.

        Nobody knows then whether it was kept. If it was, the same message sent again is a duplicate.

        Args:
            problem: why, one of `problems`.
        """
        try:
            header = er7.read_header(frame)
        except UnreadableMessage:
            return b""
        source = self._directory.source_of(header.value(3), header.value(4))
        if source is None or source.on_transient is OnTransient.CLOSE:
            return b""
        is_enhanced = source.acknowledgement is Acknowledgement.ENHANCED and asks_for_enhanced(header)
        text = write_acknowledgement(
            header,
            "CR" if is_enhanced else "AR",
            Fault("", problems.CODES[problem], problem),
            at=self._clock(),
            own_application=self._directory.own.namespace,
        )
        return text.encode(header.codec, errors="replace")

    def read_again(self, envelope: Envelope) -> Instruction:
        """
        Read a kept message with today's configuration.

        Raises:
            SenderNotPermitted: its sender did not prove to be the source it claimed; and whatever
                reading it the first time may raise.
        """
        claimed = self._directory.source_of(envelope.application, envelope.facility)
        known = {source.name for source in self._directory.sources} | {UNPROVED_SOURCE}
        if envelope.source in known and (claimed is None or claimed.name != envelope.source):
            raise _not_proved()
        return self.prepare(envelope.raw).read()

    def prepare(self, frame: bytes, certificate: ClientCertificate | None = None) -> Incoming:
        """
        Make a frame ready for the registry, whatever is in it. Queries are not for the registry.

        What is never kept is not in the envelope's bytes; it counts when a message is recognised again.
        The envelope names the source that sent it. Who claims to be another is not taken at their word.
        """
        try:
            header = er7.read_header(frame)
        except UnreadableMessage as error:
            return self._unreadable(frame, error)
        application, facility = header.value(3), header.value(4)
        source = self._directory.source_of(application, facility)
        charset = source.default_charset if source is not None else "8859/1"
        name = sender_name(source)
        proved = certificate is None or self._directory.proves(certificate, source)
        if certificate is not None and not proved:
            sender = self._directory.source_proved_by(certificate)
            name = sender.name if sender is not None else UNPROVED_SOURCE

        is_numbered = source is not None and proved and source.sequence_numbers
        number = _sequence_number(header) if is_numbered else None

        def read() -> Instruction:
            if not proved:
                raise _not_proved()
            if is_numbered and number is None:
                problem = problems.NOT_A_SEQUENCE_NUMBER if header.value(13) else problems.REQUIRED
                raise InvalidIdentity("MSH^1^13", problem)
            message = er7.read(frame, default_charset=charset, header=header)
            is_about_the_link = number in (sequence.OPENS, sequence.RESYNCHRONISES)
            if is_about_the_link and message.segment("EVN") is None and message.segment("PID") is None:
                return Nothing()
            return adt.read_instruction(message, source=source, directory=self._directory)

        def reply(receipt: Receipt) -> bytes:
            at, own, expected = self._clock(), self._directory.own.namespace, receipt.expected_sequence
            if source is not None and source.acknowledgement is Acknowledgement.ENHANCED:
                texts = acknowledge_enhanced(
                    header, receipt.error, at=at, own_application=own, expected_sequence=expected
                )
            else:
                text = acknowledge(
                    header, receipt.error, at=at, own_application=own, expected_sequence=expected
                )
                texts = [text]
            return BOUNDARY.join(text.encode(header.codec, errors="replace") for text in texts)

        envelope = Envelope(
            protocol=Transport.HL7V2,
            source=name,
            application=application,
            facility=facility,
            control_id=_control_id(header),
            content_hash=_content_hash(frame, header),
            raw=minimised(frame, header.separators.field),
            event="^".join(
                code for code in (header.value(9, 1), header.value(9, 2)) if _WORD.fullmatch(code)
            ),
            sequence=number,
            patients=_patients(frame, header),
        )
        return Incoming(envelope, read, reply)

    def _unreadable(self, frame: bytes, error: UnreadableMessage) -> Incoming:
        def read() -> Instruction:
            raise error

        def reply(receipt: Receipt) -> bytes:
            text = acknowledge(None, error, at=self._clock(), own_application=self._directory.own.namespace)
            return text.encode("ascii")

        envelope = Envelope(
            protocol=Transport.HL7V2,
            source=UNKNOWN_SOURCE,
            application="",
            facility="",
            control_id="",
            content_hash=hashlib.sha256(frame).hexdigest(),
            raw=minimised(frame),
        )
        return Incoming(envelope, read, reply)

    def _answer_query(
        self, frame: bytes, header: er7.Segment, certificate: ClientCertificate | None
    ) -> bytes:
        try:
            message = er7.read(frame, header=header)
        except UnreadableMessage as error:
            own = self._directory.own.namespace
            text = acknowledge(header, error, at=self._clock(), own_application=own)
            return text.encode(header.codec, errors="replace")
        return _encoded(self._queries.answer(message, certificate=certificate), message)


def _not_proved() -> problems.SenderNotPermitted:
    return problems.SenderNotPermitted(
        "MSH^1^3", "this certificate may not send as this application and facility"
    )


def _control_id(header: er7.Segment) -> str:
    """The whole of MSH-10, whatever delimiters a sender put into it; empty when there is none."""
    text = "" if header.is_null(10) else header.field(10)
    if len(text) <= MAX_CONTROL_ID_LENGTH:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[: MAX_CONTROL_ID_LENGTH - len(digest) - 1]}#{digest}"


def _sequence_number(header: er7.Segment) -> int | None:
    text = header.value(13).strip()
    number = int(text) if _NUMBER.fullmatch(text) else None
    return number if number is not None and number <= sequence.LAST else None


def _patients(frame: bytes, header: er7.Segment) -> frozenset[str]:
    """
    The values (CX-1) of PID-3 and MRG-1, by their place alone.

    Of a message that cannot even be read without harm, nothing else may be looked at.
    """
    field, component, repetition = (
        mark.encode("ascii")
        for mark in (header.separators.field, header.separators.component, header.separators.repetition)
    )
    found: set[bytes] = set()
    for line in _LINES.split(frame):
        number = _IDENTIFIERS.get(line[:3])
        fields = line.split(field, number + 1) if number else []
        if number and len(fields) > number:
            found.update(cx.partition(component)[0].strip() for cx in fields[number].split(repetition))
    return frozenset(value.decode(header.codec, errors="replace") for value in found - {b"", b'""'})


def _content_hash(frame: bytes, header: er7.Segment) -> str:
    """SHA-256 of a message with its time blanked: a sender stamps the same message anew when it repeats it."""
    line = header.raw.encode(header.codec)
    mark = header.separators.field.encode("ascii")
    fields = line.split(mark)
    if len(fields) > 6:
        fields[6] = b""
    return hashlib.sha256(frame.replace(line, mark.join(fields), 1)).hexdigest()


def _encoded(text: str, message: er7.Message) -> bytes:
    """
    An answer in the character set of its query, and declared: blank means ASCII.

    What the query's own cannot write, and what it did not declare, is written in UTF-8; but a query that
    says nothing is answered in 8859/1 where that is enough, as its sender most likely reads.
    """
    declared = message.msh.value(18).strip()
    if text.isascii():
        return text.encode("ascii")
    if message.codec == "utf-8" != er7.codec_of(declared):
        return _declaring("UNICODE UTF-8", text).encode()
    try:
        encoded = text.encode(message.codec)
    except UnicodeEncodeError:
        return _declaring("UNICODE UTF-8", text).encode()
    return encoded if declared else _declaring(_ASSUMED_CHARSET, text).encode(message.codec)


def _declaring(charset: str, text: str) -> str:
    """A message with that MSH-18."""
    header, rest = text.split("\r", 1)
    fields = (header.split("|") + [""] * 18)[:18]
    fields[17] = charset
    return "\r".join(("|".join(fields), rest))
