"""A TCP proxy in front of PostgreSQL that can cut a connection while a COMMIT is on its way."""

import contextlib
import socket
import threading
from enum import Enum, auto
from pathlib import Path

_COMMIT = b"COMMIT"


class Cut(Enum):
    """Where a COMMIT is lost."""

    BEFORE = auto()
    """It never reaches the database: nothing is committed."""
    AFTER = auto()
    """Its answer never comes back: everything is committed."""


class CommitCutter:
    """
    Passes bytes both ways between a client and a server on a Unix socket; `next_cut` arms it once.

    Args:
        server: the server's socket.
    """

    def __init__(self, server: Path) -> None:
        self._server = server
        self.next_cut: Cut | None = None
        self.cuts = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()
        self._passing: list[threading.Thread] = []

    def close(self) -> None:
        """Stop, once the clients have closed their connections."""
        _hang_up(self._listening)
        self._accepting.join(timeout=10)
        self._listening.close()
        for passing in self._passing:
            passing.join(timeout=10)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._passing.append(threading.Thread(target=self._up, args=(client, server), daemon=True))
            self._passing[-1].start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        """From the client to the server; a COMMIT comes in one piece, as it is sent."""
        down = threading.Thread(target=_pump, args=(server, client), daemon=True)
        down.start()
        with contextlib.suppress(OSError):
            while received := client.recv(65_536):
                cut = self._cut_of(received)
                if cut is Cut.BEFORE:
                    break
                if cut is Cut.AFTER:
                    _hang_up(client)  # first, so that no answer can pass
                    server.sendall(received)
                    _read_to_the_end_of_the_answer(server)
                    break
                server.sendall(received)
        _hang_up(client)
        _hang_up(server)
        down.join()
        client.close()
        server.close()

    def _cut_of(self, received: bytes) -> Cut | None:
        if self.next_cut is None or _COMMIT not in received:
            return None
        cut, self.next_cut = self.next_cut, None  # before anybody can tell, and send again
        self.cuts += 1
        return cut


def _read_to_the_end_of_the_answer(server: socket.socket) -> None:
    """Until the server is done with the COMMIT; the pump of the other direction may have read its answer."""
    server.settimeout(0.05)
    with contextlib.suppress(OSError):
        server.recv(65_536)


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while received := source.recv(65_536):
            target.sendall(received)
    _hang_up(target)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
