"""Studies whose patient the registry received lately: bounded, and forgotten with the process."""

import threading
from collections import OrderedDict

from mpi.index.events import Receipt

MAX_STUDIES_REMEMBERED = 100_000


class StudiesSeen:
    """
    What became of the latest studies, so that their repetitions need not reach the registry.

    A study may be remembered under several names: what it states, and the bytes it was stated with.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._receipts: OrderedDict[bytes, Receipt] = OrderedDict()

    def get(self, study: bytes) -> Receipt | None:
        """What the registry answered the same patient and study, if it is remembered."""
        with self._lock:
            receipt = self._receipts.get(study)
            if receipt is not None:
                self._receipts.move_to_end(study)
            return receipt

    def remember(self, study: bytes, receipt: Receipt) -> None:
        """Remember a durable receipt; nothing of a message without a study."""
        if not study:
            return
        with self._lock:
            self._receipts[study] = Receipt(receipt.state, receipt.message_id, receipt.error)
            if len(self._receipts) > MAX_STUDIES_REMEMBERED:
                self._receipts.popitem(last=False)
