"""Name resolution that gives up in time.

``getaddrinfo`` cannot be interrupted and takes no timeout; with a dead name server it blocks far
beyond a try's deadline. It runs on a thread of its own, one per name however many callers wait.
"""

import ipaddress
import socket
import threading
from typing import Any


class LookupTimeoutError(TimeoutError):
    """The name was not resolved in time."""


class _Lookup:
    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.done = threading.Event()
        self.addresses: list[Any] = []
        self.failure: tuple[Any, ...] | None = None

    def run(self) -> None:
        try:
            self.addresses = _getaddrinfo(self.host, self.port)
        except OSError as error:
            self.failure = error.args
        finally:
            with _lock:
                del _pending[self.host, self.port]
            self.done.set()


_lock = threading.Lock()
_pending: dict[tuple[str, int], _Lookup] = {}


def addresses_of(host: str, port: int, *, timeout: float) -> list[Any]:
    """What ``getaddrinfo`` says about ``host``.

    Raises ``socket.gaierror`` when there is no such name, ``LookupTimeoutError`` after ``timeout``
    seconds.
    """
    if _is_address(host):
        return _getaddrinfo(host, port)
    with _lock:
        lookup = _pending.get((host, port))
        if lookup is None:
            lookup = _Lookup(host, port)
            threading.Thread(target=lookup.run, name="bank-lookup", daemon=True).start()
            _pending[host, port] = lookup
    if not lookup.done.wait(timeout):
        raise LookupTimeoutError(f"{host} was not resolved in {timeout:.1f} s")
    if lookup.failure is not None:
        raise socket.gaierror(*lookup.failure)
    return lookup.addresses


def _getaddrinfo(host: str, port: int) -> list[Any]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        # A label that is empty or too long fails in the codec, before anybody was asked.
        raise socket.gaierror(socket.EAI_NONAME, str(error)) from error


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
