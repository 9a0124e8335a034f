"""The planted fault of the kill test: a service that answers AA, and stores the message a moment later."""

import threading
import time

from mpi.cli import main
from mpi.feeds.hl7v2 import handler
from mpi.feeds.hl7v2.ack import acknowledge
from mpi.feeds.hl7v2.er7 import read_header

stores = handler.Hl7Handler.handle


def answers_first(self, frame):
    def later():
        time.sleep(0.01)
        stores(self, frame)

    threading.Thread(target=later, daemon=True).start()
    return acknowledge(read_header(frame), None, at=self._clock(), own_application="MPI").encode()


handler.Hl7Handler.handle = answers_first

if __name__ == "__main__":
    import sys

    sys.argv.insert(1, "serve")
    main()
