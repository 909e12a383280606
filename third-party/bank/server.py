"""Starting, running and stopping: one process, one thread, one event loop, one book."""

import asyncio
import contextlib
import os
import random
import resource
import signal
import sqlite3
import sys
from dataclasses import dataclass

from bank.book import Book
from bank.connection import Connection
from bank.rules import Rule, Rules
from bank.service import Service

# Clients come in bursts: a hundred executor threads connect at once.
BACKLOG = 1024
WANTED_DESCRIPTORS = 16_384
SWEEP_SECONDS = 5.0
LAST_WORDS_SECONDS = 1.0


class CannotStartError(Exception):
    """Why the bank cannot be opened, in one line."""


@dataclass(frozen=True, slots=True)
class Settings:
    """``latency`` in seconds. ``port`` 0 takes a free one."""

    host: str
    port: int
    db: str
    rules: tuple[Rule, ...]
    seed: int | None
    latency: float
    verbose: bool


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT. Raises ``CannotStartError``."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    _make_room_for_clients()
    book = _open_book(settings.db, loop)
    # Chance and not secrecy: a seed must give the same run again.
    rules = Rules(list(settings.rules), rng=random.Random(settings.seed))  # noqa: S311
    service = Service(book, rules, latency=settings.latency)
    connections: set[Connection] = set()
    log = _log if settings.verbose else None
    try:
        server = await loop.create_server(
            lambda: Connection(service.handle, connections, log),
            settings.host,
            settings.port,
            backlog=BACKLOG,
        )
    except (OSError, UnicodeError) as error:
        book.close()
        raise CannotStartError(_why_not(settings, error)) from error
    port = server.sockets[0].getsockname()[1]
    _log(f"mock bank on http://{settings.host}:{port}, book {settings.db}")
    sweeper = loop.create_task(_sweep(connections))
    await stop.wait()
    server.close()
    sweeper.cancel()
    await service.stop()
    book.close()
    await _hang_up(connections)


def _make_room_for_clients() -> None:
    """Without a descriptor left, asyncio cannot accept and does little else than complain."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    if 0 <= soft < wanted:
        # Some systems have a lower limit than the one they tell.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _open_book(path: str, loop: asyncio.AbstractEventLoop) -> Book:
    try:
        return Book(path, soon=loop.call_soon)
    except sqlite3.Error as error:
        hint = " (by another bank?)" if "locked" in str(error) else ""
        raise CannotStartError(f"cannot use the book {path}: {error}{hint}") from error


def _why_not(settings: Settings, error: OSError | UnicodeError) -> str:
    number = error.errno if isinstance(error, OSError) else None
    # asyncio wraps the system's words in its own; a failed lookup has only its own.
    reason = os.strerror(number) if number is not None and number > 0 else str(error)
    return f"cannot listen on {settings.host}:{settings.port}: {reason}"


async def _sweep(connections: set[Connection]) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        now = asyncio.get_running_loop().time()
        for connection in list(connections):
            connection.drop_if_unfinished(now)


async def _hang_up(connections: set[Connection]) -> None:
    """Close all, giving a moment to what is written and not yet read."""
    for connection in list(connections):
        connection.transport.close()
    loop = asyncio.get_running_loop()
    end = loop.time() + LAST_WORDS_SECONDS
    while connections and loop.time() < end:
        await asyncio.sleep(0.01)
    for connection in list(connections):
        connection.transport.abort()


def _log(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:
        # Nobody reads the log any more. The bank goes on, and Python must not flush it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
