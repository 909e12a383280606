"""A wire between an executor and PostgreSQL that breaks at a COMMIT.

The server's own means of ending a session cannot aim at the moment between a COMMIT and its
acknowledgement. This can: it forwards bytes and looks for the one message it was told to spoil.
"""

import socket
import threading
from contextlib import suppress
from enum import Enum
from urllib.parse import urlsplit

_COMMIT = b"COMMIT\x00"


class Break(Enum):
    """What happens to the COMMIT: it never arrives, or it does and its answer never comes back."""

    LOSE_COMMIT = "lose_commit"
    LOSE_ACKNOWLEDGEMENT = "lose_acknowledgement"


class BreakingWire:
    """``marker``: a text in the statements of the transaction whose COMMIT is spoilt."""

    def __init__(self, database_url: str) -> None:
        parts = urlsplit(database_url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = parts._replace(
            netloc=f"{parts.username}@127.0.0.1:{self._listener.getsockname()[1]}"
        ).geturl()
        self._lock = threading.Lock()
        self._orders: list[tuple[bytes, Break]] = []
        self.broken = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def break_at(self, marker: str, how: Break, *, times: int = 1) -> None:
        with self._lock:
            self._orders += [(marker.encode(), how)] * times

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._server)
            except OSError:
                client.close()
                continue
            dead = threading.Event()
            for work in (self._forward, self._return):
                threading.Thread(target=work, args=(client, server, dead), daemon=True).start()

    def _forward(self, client: socket.socket, server: socket.socket, dead: threading.Event) -> None:
        """Statements, from the executor to the server."""
        said = b""
        while data := _receive(client):
            said += data
            if said.endswith(_COMMIT):
                how = self._order_for(said)
                said = b""
                if how is Break.LOSE_COMMIT:
                    break
                if how is Break.LOSE_ACKNOWLEDGEMENT:
                    dead.set()
            if not _send(server, data):
                break
        if not dead.is_set():
            _hang_up(client, server)

    def _return(self, client: socket.socket, server: socket.socket, dead: threading.Event) -> None:
        """Answers, from the server to the executor."""
        while data := _receive(server):
            # The server has answered, so it has committed; nobody is told.
            if dead.is_set() or not _send(client, data):
                break
        _hang_up(client, server)

    def _order_for(self, said: bytes) -> Break | None:
        with self._lock:
            for order in self._orders:
                if order[0] in said:
                    self._orders.remove(order)
                    self.broken += 1
                    return order[1]
        return None


def _receive(source: socket.socket) -> bytes:
    try:
        return source.recv(65_536)
    except OSError:
        return b""


def _send(target: socket.socket, data: bytes) -> bool:
    try:
        target.sendall(data)
    except OSError:
        return False
    return True


def _hang_up(*sockets: socket.socket) -> None:
    for one in sockets:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
