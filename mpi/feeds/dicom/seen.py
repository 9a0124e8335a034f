"""Studies whose patient the registry received lately: bounded, and forgotten with the process."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from mpi.index.events import MessageState, Receipt

MAX_STUDIES_REMEMBERED = 100_000
QUARANTINED_SECONDS = 300.0
"""How long a study that could not be used is answered so again: then a person may have repaired its message."""


class StudiesSeen:
    """
    What became of the latest studies, so that their repetitions need not reach the registry.

    A study may be remembered under several names: what it states, and the bytes it was stated with.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._receipts: OrderedDict[bytes, tuple[Receipt, float]] = OrderedDict()

    def get(self, study: bytes) -> Receipt | None:
        """What the registry answered the same patient and study, if it is remembered."""
        with self._lock:
            receipt, since = self._receipts.get(study, (None, 0.0))
            if receipt is None:
                return None
            if receipt.state is MessageState.QUARANTINED and self._clock() - since >= QUARANTINED_SECONDS:
                del self._receipts[study]
                return None
            self._receipts.move_to_end(study)
            return receipt

    def remember(self, study: bytes, receipt: Receipt) -> None:
        """Remember a durable receipt; nothing of a message without a study."""
        if not study:
            return
        with self._lock:
            known, _ = self._receipts.get(study, (None, 0.0))
            if known is not None and known.message_id == receipt.message_id:
                return
            kept = Receipt(receipt.state, receipt.message_id, receipt.error)
            self._receipts[study] = kept, self._clock()
            if len(self._receipts) > MAX_STUDIES_REMEMBERED:
                self._receipts.popitem(last=False)
