"""
A child process that reads headers for its parent, and can do little else.

Bytes of strangers are parsed here: a bomb, a crash of the interpreter or an endless loop costs one
child and one object. It may not grow, write files, or think for long; what it answers is checked
again by its parent. Started by `mpi.feeds.dicom.reading`, on a socket it inherits.
"""

import json
import os
import resource
import socket
import sys
import time
from pathlib import Path
from typing import Any

from mpi.errors import FeedError
from mpi.feeds.dicom.frames import BYTES, PATH, receive_frame, send_frame
from mpi.feeds.dicom.header import HeaderText, read_header

CPU_SECONDS = 1
"""The processor time one object may cost, to the next whole second."""

EXTRA_MEMORY_BYTES = 96 * 1024 * 1024
"""How far the child may grow beyond the size it has before it reads anything."""

RECURSION_LIMIT = 400
"""Some ninety nested sequences; no header of a patient has ten."""

_NO_LIMIT = resource.RLIM_INFINITY


def serve(connection: socket.socket) -> None:
    """Answer one object after the other until the parent hangs up."""
    while True:
        try:
            request = receive_frame(connection, patience_seconds=None)
        except ConnectionError:
            return
        limit_processor_time()
        send_frame(connection, json.dumps(answer(request)).encode("ascii"))


def answer(request: bytes) -> dict[str, Any]:
    """The elements of the object in the DICOM JSON model, or the error that refuses it."""
    kind, payload = request[:1], request[1:]
    try:
        if kind == PATH:
            header = read_header(Path(os.fsdecode(payload)))
        else:
            assert kind == BYTES, "the parent's protocol"
            header = read_header(payload)
        text = HeaderText(header)
        elements = text.to_json()
        return {"elements": elements, "warnings": text.warnings}
    except FeedError as error:
        return {"error": type(error).__name__, "place": error.place, "problem": error.problem}


def limit_this_process() -> None:
    """Memory, files and core dumps: nothing of a patient is left on a disk, whatever happens here."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    allowed = size + EXTRA_MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
    sys.setrecursionlimit(RECURSION_LIMIT)


def limit_processor_time() -> None:
    """From now on, `CPU_SECONDS` more; the limit counts from the start of the process, in whole seconds."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + 1 + CPU_SECONDS, _NO_LIMIT))


def main() -> None:
    """Serve on the socket whose number is the only argument."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    read_header_once()
    limit_this_process()
    send_frame(connection, b"ready")
    serve(connection)


def read_header_once() -> None:
    """Load what pydicom loads late, before memory is counted."""
    element = b"\x08\x00\x16\x00UI\x02\x001\0"
    HeaderText(read_header(element + b"\x28\x00\x10\x00US\x02\x00\0\0")).to_json()


if __name__ == "__main__":
    main()
