"""Connections that cannot outlive their try.

A socket timeout starts anew with every byte, so a server that trickles its headers or its body
holds a caller as long as it likes. Here every wait for the network gets what is left of one
deadline, and the socket keeps count of what it let out: whether a request may have arrived is then
a fact about our own socket, not a guess from the name of an exception.
"""

import socket
import ssl
import time
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util import create_urllib3_context

from wallets.integrations.lookup import LookupTimeoutError, addresses_of

# A connection that a server closes while our request is on its way leaves us in doubt. The shortest
# idle limit among the common servers is gunicorn's, 2 s: an idle connection is dropped before that.
MAX_IDLE_SECONDS = 1.5


class AnswerTooLargeError(OSError):
    """More came in than any answer we would read."""


class Attempt:
    """The try in hand, shared by everything one thread sends through.

    ``sent``: the kernel took at least one byte of the request. ``received``: bytes that came back.
    """

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._deadline = 0.0
        self._reusable_until = 0.0
        self.sent = False
        self.received = 0

    def begin(self, timeout: float) -> None:
        self._deadline = time.monotonic() + timeout
        self.sent = False
        self.received = 0

    def finish(self, *, reusable: bool) -> None:
        """Only a connection whose last answer was read to its end may carry the next request."""
        self._reusable_until = time.monotonic() + MAX_IDLE_SECONDS if reusable else 0.0

    @property
    def may_reuse_connection(self) -> bool:
        return time.monotonic() < self._reusable_until

    def remaining(self) -> float:
        """Seconds left, always above 0. Raises ``TimeoutError`` when there are none."""
        seconds = self._deadline - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("the deadline of this try has passed")
        return seconds

    def count(self, received: int) -> None:
        self.received += received
        if self.received > self._max_bytes:
            raise AnswerTooLargeError(f"more than {self._max_bytes} bytes")


class DeadlineSocket(socket.socket):
    attempt: Attempt

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        # Send by send: when the first fails, the kernel has taken nothing and nothing was sent.
        left = memoryview(data)
        while left:
            self.settimeout(self.attempt.remaining())
            count = self.send(left, flags)
            self.attempt.sent = True
            left = left[count:]

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self.settimeout(self.attempt.remaining())
        count = super().recv_into(buffer, nbytes, flags)
        self.attempt.count(count)
        return count


class DeadlineTLSSocket(ssl.SSLSocket):
    attempt: Attempt

    def send(self, data: Any, flags: int = 0) -> int:
        self.settimeout(self.attempt.remaining())
        # A failing TLS write does not tell how much of it left.
        self.attempt.sent = True
        return super().send(data, flags)

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        self.settimeout(self.attempt.remaining())
        count = super().recv_into(buffer, nbytes, flags)
        self.attempt.count(count)
        return count


def _connect(host: str, port: int, attempt: Attempt) -> DeadlineSocket:
    """A connected socket. Each address gets its share of the time, so that one that swallows our
    packets does not hide the next.

    Raises ``OSError``, of which ``socket.gaierror`` and ``LookupTimeoutError`` are about the name.
    """
    addresses = addresses_of(host, port, timeout=attempt.remaining())
    failure = OSError(f"{host} has no address")
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        connection = DeadlineSocket(family, kind, protocol)
        connection.attempt = attempt
        try:
            connection.settimeout(attempt.remaining() / (len(addresses) - index))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            # A TLS handshake follows on this timeout.
            connection.settimeout(attempt.remaining())
            return connection
    raise failure


class _DeadlineConnection(HTTPConnection):
    def __init__(self, *args: Any, attempt: Attempt, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._attempt = attempt
        self._held: bytearray | None = None

    def request(self, *args: Any, **kwargs: Any) -> None:
        # Headers and body leave in one piece: one system call instead of two, and the first send,
        # which decides whether anything was sent, is about the whole request.
        self._held = bytearray()
        super().request(*args, **kwargs)
        whole, self._held = bytes(self._held), None
        super().send(whole)

    def send(self, data: Any) -> None:
        if self._held is None:
            super().send(data)
        else:
            self._held += data

    def _new_conn(self) -> socket.socket:
        port = self.port or self.default_port
        try:
            return _connect(self._dns_host.strip("[]"), port, self._attempt)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except LookupTimeoutError as error:
            raise ConnectTimeoutError(self, str(error)) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"no connection to {self.host} in time") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection to {self.host}: {error}") from error

    @property
    def is_connected(self) -> bool:
        return self._attempt.may_reuse_connection and super().is_connected


class _DeadlineTLSConnection(_DeadlineConnection, HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        if isinstance(self.sock, DeadlineTLSSocket):
            self.sock.attempt = self._attempt


class _Pool(HTTPConnectionPool):
    ConnectionCls = _DeadlineConnection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _DeadlineTLSConnection


def connection_pool(scheme: str, host: str, port: int | None, attempt: Attempt) -> _Pool | _TLSPool:
    """A pool of the one connection that a thread needs."""
    if scheme != "https":
        return _Pool(host, port, maxsize=1, attempt=attempt)
    context = create_urllib3_context()
    context.sslsocket_class = DeadlineTLSSocket
    return _TLSPool(
        host,
        port,
        maxsize=1,
        attempt=attempt,
        ssl_context=context,
        cert_reqs="CERT_REQUIRED",
    )
