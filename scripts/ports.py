"""The ports of ``scripts/run``: ``PORT`` for the API, ``BANK_PORT`` for the mock bank.

Run as a program it says whether both can be had, before anything is made or started.
"""

import errno
import os
import socket
import sys

HOST = "127.0.0.1"
_DEFAULTS = {"PORT": 8000, "BANK_PORT": 8010}


class PortProblem(Exception):
    """A port that cannot be used. The message says what to do."""


def chosen_ports() -> tuple[int, int]:
    """The API's and the bank's port. Raises ``PortProblem``."""
    api, bank = (_number(name) for name in _DEFAULTS)
    if api == bank:
        raise PortProblem(f"PORT and BANK_PORT are both {api}; give them different numbers.")
    return api, bank


def _number(name: str) -> int:
    value = os.environ.get(name, "").strip() or str(_DEFAULTS[name])
    if value.isascii() and value.isdigit() and 1 <= int(value) <= 65_535:
        return int(value)
    raise PortProblem(f"{name}={value!r} is not usable: it accepts a port from 1 to 65535.")


def refuse_taken_ports() -> None:
    """Raises ``PortProblem`` when somebody listens on a chosen port."""
    for name, port in zip(_DEFAULTS, chosen_ports(), strict=True):
        problem = _problem_with(port)
        if problem:
            raise PortProblem(
                f"Port {port} {problem}. Choose another one: {name}={_another(port)} ./scripts/run"
            )


def _problem_with(port: int) -> str:
    # Where a listener on all addresses lets another one bind to this address, asking it tells.
    with socket.socket() as caller:
        caller.settimeout(1)
        if caller.connect_ex((HOST, port)) == 0:
            return "is in use by another program"
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return "is in use by another program"
            return f"cannot be used ({error.strerror})"
    return ""


def _another(port: int) -> int:
    return port + 100 if port <= 65_000 else port - 100


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    try:
        refuse_taken_ports()
    except PortProblem as problem:
        print(problem, file=sys.stderr)
        sys.exit(2)
