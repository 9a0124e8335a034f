"""
Where notifications meet the protocols: who each queue of the outbox is for, and how it is told.

The relay knows rows and outcomes; messages, MLLP and addresses come together here.
"""

import random
import ssl
from collections.abc import Callable
from datetime import timedelta
from functools import partial

from mpi.errors import SettingsError, UnreadableMessage
from mpi.feeds.hl7v2.correction_requests import write_request
from mpi.feeds.hl7v2.notification import ACCEPTED, Parties, read_answer, update_notification
from mpi.feeds.mllp import MllpClient
from mpi.feeds.tls import client_context
from mpi.identity.model import PatientIdentifier
from mpi.index.corrections import TRIGGER, CorrectionState
from mpi.index.following import TAKEN_BACK
from mpi.index.notices import members_of, queues_of
from mpi.index.parties import SHEET, Consumer, Directory, PatientIdentitySource
from mpi.index.ports import Channel, OutboxRow, Queue, Store
from mpi.notify.relay import Relay
from mpi.notify.retries import RetryPolicy
from mpi.notify.sender import DELIVERED, Addressee, AddresseeOf, Outcome, Sender, Verdict
from mpi.notify.web import RestHook, Webhook, web_client
from mpi.settings import ClientTlsSettings, Settings, is_loopback
from mpi.wiring import now


class MllpSender:
    """
    Sends rows as HL7 v2 messages over one connection.

    Args:
        write: makes the message of a row.
    """

    def __init__(self, client: MllpClient, write: Callable[[OutboxRow], bytes]) -> None:
        self._client = client
        self._write = write

    def send(self, row: OutboxRow) -> Outcome:
        """Send a row and wait for its acknowledgement: one that names it, and no other."""
        try:
            frame = self._write(row)
        except SettingsError as error:
            return Outcome(Verdict.REFUSED, str(error))
        try:
            was_open = self._client.connect()
        except OSError as error:
            return Outcome(Verdict.UNREACHABLE, f"no connection ({type(error).__name__})")
        try:
            reply = self._exchange(frame, again=was_open)
        except OSError as error:
            return Outcome(Verdict.LATER, f"no acknowledgement ({type(error).__name__})")
        try:
            answer = read_answer(reply, row.control_id)
        except UnreadableMessage as error:
            self._client.close()  # the right one may still come, and would be taken for the next one's
            return Outcome(Verdict.LATER, f"no acknowledgement of it: {error}")
        if answer.code == "CA":
            self._client.close()  # another one may follow
        if answer.code in ACCEPTED:
            return DELIVERED
        problem = f"{answer.code} {answer.error}".strip()
        return Outcome(Verdict.REFUSED if answer.is_final else Verdict.LATER, problem)

    def _exchange(self, frame: bytes, *, again: bool) -> bytes:
        """Send, once more on a new connection when the peer had closed the one that was open (TF-2 appendix C)."""
        try:
            return self._client.send(frame)
        except ConnectionError:
            if not again:
                raise
            return self._client.send(frame)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def relay_of(settings: Settings, store: Store, directory: Directory) -> Relay:
    """
    The relay, and whom it tells.

    Raises:
        SettingsError: identities would travel in clear, or a certificate cannot be used.
    """
    notify = settings.notify
    policy = RetryPolicy(
        notify.first_retry_seconds,
        notify.max_retry_seconds,
        notify.max_attempts,
        timedelta(days=notify.max_age_days),
        random.random,
    )
    return Relay(store, addressees(settings, store, directory), now, policy, poll_seconds=notify.poll_seconds)


def addressees(settings: Settings, store: Store, directory: Directory) -> AddresseeOf:
    """
    Whom the rows of each queue are for.

    Raises:
        SettingsError: see `relay_of`.
    """
    fixed = {**_consumers(settings, directory), **_sources(settings, store, directory)}
    timeout = settings.notify.timeout_seconds
    hook = partial(
        RestHook,
        store,
        hosts=frozenset(settings.notify.subscription_hosts),
        clock=now,
        client=partial(web_client, timeout_seconds=timeout),
    )

    def addressee_of(queue: Queue) -> Addressee | None:
        return Addressee(hook()) if queue.channel is Channel.REST_HOOK else fixed.get(queue)

    return addressee_of


def _consumers(settings: Settings, directory: Directory) -> dict[Queue, Addressee]:
    configured = {consumer.name: consumer for consumer in settings.consumers}
    found = {}
    for consumer in directory.consumers:
        chosen = configured[consumer.name]
        place = f"consumers.{consumer.name}"
        for queue in queues_of(consumer):
            sender: Sender
            if queue.channel is Channel.MLLP:
                sender = _mllp(
                    consumer.mllp,
                    f"{place}.mllp",
                    chosen.tls,
                    chosen.allow_plain,
                    settings,
                    partial(_pix_update, consumer, directory, settings.notify.facility),
                )
            else:
                assert chosen.webhook_secret is not None  # else it has no such queue
                tls = _context(chosen.tls, f"{place}.tls")
                sender = Webhook(
                    consumer.webhook,
                    chosen.webhook_secret.get_secret_value(),
                    own=directory.own,
                    domains=directory.domains,
                    clock=now,
                    client=partial(web_client, timeout_seconds=settings.notify.timeout_seconds, tls=tls),
                )
            found[queue] = Addressee(sender, consumer.domains)
    return found


def _sources(settings: Settings, store: Store, directory: Directory) -> dict[Queue, Addressee]:
    found = {}
    for chosen in settings.sources:
        if chosen.corrections:
            source = directory.source(chosen.name)
            write = partial(_correction, source, store, directory, settings.notify.facility)
            place = f"sources.{chosen.name}.corrections"
            sender = _mllp(
                chosen.corrections,
                place,
                chosen.corrections_tls,
                chosen.corrections_allow_plain,
                settings,
                write,
            )
            found[Queue(chosen.name, Channel.CORRECTION)] = Addressee(sender)
    return found


def _mllp(
    address: str,
    place: str,
    tls: ClientTlsSettings | None,
    allow_plain: bool,
    settings: Settings,
    write: Callable[[OutboxRow], bytes],
) -> MllpSender:
    host, _, port = address.rpartition(":")
    context = _context(tls, f"{place}.tls")
    if context is None and not (is_loopback(host) or allow_plain):
        raise SettingsError(
            f"{place}: not loopback, and without TLS identities would travel in clear; "
            "allow_plain = true accepts that"
        )
    client = MllpClient(
        host.strip("[]"), int(port), timeout_seconds=settings.notify.timeout_seconds, tls=context
    )
    return MllpSender(client, write)


def _context(tls: ClientTlsSettings | None, place: str) -> ssl.SSLContext | None:
    if tls is None:
        return None
    try:
        return client_context(tls.ca, tls.certificate, tls.key, check_hostname=tls.check_hostname)
    except SettingsError as error:
        raise SettingsError(str(error).replace("tls.", f"{place}.")) from None


def _pix_update(consumer: Consumer, directory: Directory, facility: str, row: OutboxRow) -> bytes:
    parties = Parties(directory.own.namespace, facility, consumer.application, consumer.facility)
    identifiers = [
        PatientIdentifier(key.value, directory.domains.by_key(key.domain).authority, "PI")
        for key in members_of(row.payload)
    ]
    return update_notification(identifiers, parties=parties, control_id=row.control_id, at=row.created_at)


def _correction(
    source: PatientIdentitySource, store: Store, directory: Directory, facility: str, row: OutboxRow
) -> bytes:
    """
    The message of a request, or of its withdrawal.

    Raises:
        SettingsError: the source does not take it as a message any more.
    """
    with store.read() as uow:
        correction = uow.corrections.get(int(row.payload["correction"]))
    assert correction is not None  # a request is kept for ever
    taken_back = row.kind == TAKEN_BACK
    trigger = source.takes(SHEET if taken_back else TRIGGER.get(correction.kind, SHEET))
    if not trigger:
        raise SettingsError(f"sources.{source.name}.corrections_as: it takes no such request")
    return write_request(
        correction,
        trigger,
        domains=directory.domains,
        parties=Parties(directory.own.namespace, facility, source.application, source.facility),
        control_id=row.control_id,
        at=row.created_at,
        state=CorrectionState.WITHDRAWN if taken_back else CorrectionState.REQUESTED,
    )
