"""Count the round trips to the database on the wire, where nothing can be left out."""

import socket
import threading
from urllib.parse import urlsplit

from bench.lab import Database

# In PostgreSQL's protocol: simple query, and the end of an extended one.
_ROUND_TRIPS = (b"Q", b"S")


class CountingProxy:
    """Stands between one client program and the server. ``count`` grows with every round trip.

    A message with several statements is one round trip; BEGIN and COMMIT, sent alone, are one each.
    """

    def __init__(self, database: Database) -> None:
        parts = urlsplit(database.url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}").geturl()
        self.count = 0

    def __enter__(self) -> "CountingProxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            for one, other, counts in ((client, server, True), (server, client, False)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._pump, args=(one, other, counts), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        messages = _Messages()
        while True:
            try:
                data = source.recv(65_536)
            except OSError:
                data = b""
            if not data:
                target.close()
                return
            if counts:
                self.count += messages.round_trips(data)
            target.sendall(data)


class _Messages:
    """Cuts what a client sends into messages: type, length, content; the first has no type."""

    def __init__(self) -> None:
        self._left = b""
        self._started = False

    def round_trips(self, data: bytes) -> int:
        self._left += data
        found = 0
        while True:
            head = 1 if self._started else 0
            if len(self._left) < head + 4:
                return found
            length = int.from_bytes(self._left[head : head + 4])
            if len(self._left) < head + length:
                return found
            if self._started and self._left[:1] in _ROUND_TRIPS:
                found += 1
            # A request for encryption comes before the start-up message and looks like it.
            content = self._left[head + 4 : head + length]
            self._started = self._started or content[:4] != (80_877_103).to_bytes(4)
            self._left = self._left[head + length :]
