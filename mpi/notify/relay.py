"""
The relay: sends what is in the outbox, at least once, in order.

Each queue (one addressee over one channel) is worked off by one thread, so that nobody waits for somebody
else, and by one process (`Store.claim`). A row that fails holds back the rows behind it until it is delivered
or given up: what is told of one person arrives in the order in which it became true. A row is delivered once
its addressee has confirmed that very row, and only then.

Before a row is sent it is read again: one that names an identity which was protected or erased since, or a
domain that its addressee may not see any more, is withdrawn. The row with what is true now is behind it.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import structlog

from mpi.errors import StoreError
from mpi.identity.ins import NEVER_ANSWERED
from mpi.index.audit import AuditEvent
from mpi.index.events import FactKind
from mpi.index.notices import members_of
from mpi.index.ports import Clock, Delivery, OutboxRow, Queue, Store, UnitOfWork
from mpi.notify.retries import RetryPolicy
from mpi.notify.sender import Addressee, AddresseeOf, Outcome, Verdict

PROTECTED = "it names an identity that is protected or erased since"
NOT_TO_BE_SEEN = "it names a domain that the addressee may not see any more"
ACTOR = "system:relay"

_log = structlog.get_logger()


class Relay:
    """
    Works off the outbox in threads of its own.

    Args:
        poll_seconds: how often the outbox is looked at.
    """

    def __init__(
        self,
        store: Store,
        addressee_of: AddresseeOf,
        clock: Clock,
        policy: RetryPolicy,
        *,
        poll_seconds: float = 0.5,
    ) -> None:
        self._store = store
        self._addressee_of = addressee_of
        self._clock = clock
        self._policy = policy
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._looking: threading.Thread | None = None
        self._working: dict[Queue, threading.Thread] = {}
        self._open: dict[Queue, Addressee] = {}
        self._away: dict[Queue, int] = {}
        """How often in a row a queue's addressee could not be reached."""
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin to send."""
        self._looking = threading.Thread(target=self._look, name="relay", daemon=True)
        self._looking.start()

    def stop(self, *, patience_seconds: float = 10.0) -> None:
        """Send nothing more; let what is being sent be answered, then break it off."""
        self._stopping.set()
        deadline = time.monotonic() + patience_seconds
        if self._looking is not None:
            self._looking.join(patience_seconds)
        for thread in self._threads():
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._lock:
            open_ = list(self._open.values())
        for addressee in open_:
            addressee.sender.close()
        for thread in self._threads():
            thread.join(1.0)

    def drain(self, queue: Queue) -> None:
        """
        Send what is due in a queue, unless somebody else does.

        Raises:
            StoreError: the store is down; what was delivered and could not be marked is sent again.
        """
        addressee = self._addressee_of(queue)
        if addressee is None:
            return
        with self._store.claim(f"notify/{queue.channel}/{queue.consumer}") as mine:
            if mine:
                with self._opened(queue, addressee):
                    while not self._stopping.is_set() and self._send_first(queue, addressee):
                        pass

    @contextlib.contextmanager
    def _opened(self, queue: Queue, addressee: Addressee) -> Iterator[None]:
        with self._lock:
            self._open[queue] = addressee
        try:
            yield
        finally:
            with self._lock:
                del self._open[queue]
            addressee.sender.close()

    # ------------------------------------------------------------------------------- threads

    def _look(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._store.read() as uow:
                    due = uow.outbox.due(at=self._clock())
            except StoreError:
                _log.error("notify.store_down")
                due = []
            for queue in due:
                self._work_on(queue)
            self._stopping.wait(self._poll_seconds)

    def _work_on(self, queue: Queue) -> None:
        with self._lock:
            if queue in self._working:
                return
            thread = threading.Thread(target=self._work, args=(queue,), name="relay-queue", daemon=True)
            self._working[queue] = thread
        thread.start()

    def _work(self, queue: Queue) -> None:
        try:
            self.drain(queue)
        except StoreError:
            _log.error("notify.store_down")
        except Exception as error:  # noqa: BLE001 - the last resort: the queue is tried again, the others go on
            _log.error("notify.failed", error=type(error).__name__)
        finally:
            with self._lock:
                del self._working[queue]

    def _threads(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._working.values())

    # ----------------------------------------------------------------------------------- rows

    def _send_first(self, queue: Queue, addressee: Addressee) -> bool:
        """Send the first row of a queue; False when none is due, or the next has to wait."""
        with self._store.read() as uow:
            row = next(iter(uow.outbox.head(queue, limit=1)), None)
            if row is None or queue.consumer in uow.outbox.paused():
                return False
            if row.next_attempt_at is not None and row.next_attempt_at > self._clock():
                return False
            unwanted = why_not(uow, row, addressee.domains)
        outcome = Outcome(Verdict.UNWANTED, unwanted) if unwanted else self._sent(row, addressee)
        return self._conclude(row, outcome)

    @staticmethod
    def _sent(row: OutboxRow, addressee: Addressee) -> Outcome:
        try:
            return addressee.sender.send(row)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - a defect of ours must not stop the queue for ever, nor be told
            return Outcome(Verdict.LATER, f"internal error ({type(error).__name__})")

    def _conclude(self, row: OutboxRow, outcome: Outcome) -> bool:
        """Remember what came of a row; whether the next one may be sent."""
        now = self._clock()
        changed = self._changed(row, outcome)
        with self._store.write() as uow:
            present = uow.outbox.get(row.id)
            if present is None or present.state is not Delivery.PENDING:
                return True  # somebody decided about it meanwhile
            uow.outbox.change(changed)
            if changed.state is not Delivery.PENDING:
                details = {"addressee": row.consumer, "channel": str(row.channel)}
                kind = f"notification.{changed.state}"
                uow.audit.append(AuditEvent(ACTOR, "U", kind, f"outbox/{row.id}", now, details))
            uow.commit()
        if changed.state is not Delivery.DELIVERED:
            _log.warning(f"notify.{outcome.verdict}", message_id=row.id, reason=outcome.problem)
        return changed.state is not Delivery.PENDING

    def _changed(self, row: OutboxRow, outcome: Outcome) -> OutboxRow:
        now = self._clock()
        away = self._away.pop(row.queue, 0)
        match outcome.verdict:
            case Verdict.DELIVERED:
                return replace(
                    row, state=Delivery.DELIVERED, delivered_at=now, next_attempt_at=None, error=""
                )
            case Verdict.UNWANTED:
                return replace(row, state=Delivery.WITHDRAWN, next_attempt_at=None, error=outcome.problem)
            case Verdict.REFUSED:
                return self._given_up(row, row.attempts + 1, outcome)
            case Verdict.UNREACHABLE:
                self._away[row.queue] = away + 1
                attempts, failures = row.attempts, away + 1
            case Verdict.LATER:
                attempts = failures = row.attempts + 1
        if self._policy.gives_up(row, attempts=attempts, at=now):
            return self._given_up(row, attempts, outcome)
        return replace(
            row, attempts=attempts, next_attempt_at=now + self._policy.wait(failures), error=outcome.problem
        )

    @staticmethod
    def _given_up(row: OutboxRow, attempts: int, outcome: Outcome) -> OutboxRow:
        return replace(
            row, state=Delivery.DEAD, attempts=attempts, next_attempt_at=None, error=outcome.problem
        )


def why_not(uow: UnitOfWork, row: OutboxRow, domains: frozenset[str] | None) -> str:
    """Why a row is not to be sent any more, whatever was true when it was queued; empty when it is."""
    members = members_of(row.payload)
    if domains is not None and not {key.domain for key in members} <= domains:
        return NOT_TO_BE_SEEN
    records = uow.records.by_keys(members).values()
    erased = any(fact.kind is FactKind.ERASED for fact in uow.facts.standing(members))
    if erased or any(record.traits.attributes & NEVER_ANSWERED for record in records):
        return PROTECTED
    return ""
