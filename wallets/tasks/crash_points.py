"""Moments at which a proof lets this executor die, stand still or be asked to stop.

``EXECUTOR_CRASH_AT`` is ``POINT[:COUNT][=ACTION]``: when POINT is reached for the COUNT-th time (by
default the first) the process exits with 137, as after ``kill -9`` (``exit``), or sends itself
SIGSTOP (``stop``) or SIGTERM (``term``). A system check refuses it where DEBUG is off. When it is
empty, ``reach`` is one comparison and nothing else here is in anybody's way.
"""

import os
import signal
import threading
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from django.db import connection

from wallets.integrations.deadline import DeadlineSocket

KILLED = 137


class CrashPoint(StrEnum):
    BEFORE_CLAIM_COMMIT = "before_claim_commit"
    CLAIM_COMMITTED = "claim_committed"  # and the acknowledgement lost
    BEFORE_SEND = "before_send"
    AFTER_SEND = "after_send"  # sent, no answer
    ANSWER_IN_MEMORY = "answer_in_memory"
    BEFORE_SETTLE_COMMIT = "before_settle_commit"
    SETTLE_COMMITTED = "settle_committed"  # and the acknowledgement lost
    IN_RENEWAL = "in_renewal"
    IN_RECLAIM = "in_reclaim"
    IN_INQUIRY = "in_inquiry"


class UnknownCrashPoint(ValueError):
    """EXECUTOR_CRASH_AT is POINT[:COUNT][=ACTION], with a point that exists."""


def _exit() -> None:
    os._exit(KILLED)


_ACTIONS: dict[str, Callable[[], None]] = {
    "exit": _exit,
    # To this very thread, which another may otherwise let go on for a moment.
    "stop": lambda: signal.pthread_kill(threading.get_ident(), signal.SIGSTOP),
    "term": lambda: os.kill(os.getpid(), signal.SIGTERM),
}


class _Armed:
    def __init__(self, order: str) -> None:
        name, _, action = order.partition("=")
        point, _, count = name.partition(":")
        try:
            self.point = CrashPoint(point)
            self._left = int(count or 1)
            self._act = _ACTIONS[action or "exit"]
        except (ValueError, KeyError):
            raise UnknownCrashPoint(order) from None
        self._lock = threading.Lock()

    def reached(self, point: CrashPoint) -> None:
        if point is not self.point:
            return
        with self._lock:
            self._left -= 1
            due = self._left == 0
        if due:
            self._act()


class _Commits:
    """Reaches a point right before the next commit of a transaction that wrote something."""

    def __init__(self) -> None:
        self.point: CrashPoint | None = None
        self._wrote = False
        self._commit = connection.commit
        connection.commit = self.commit  # type: ignore[method-assign]
        connection.execute_wrappers.append(self.watch)

    def watch(self, execute: Callable[..., Any], sql: str, params: Any, *rest: Any) -> Any:
        if sql.lstrip().startswith(("WITH", "INSERT", "UPDATE", "EXECUTE")):
            self._wrote = True
        return execute(sql, params, *rest)

    def commit(self) -> None:
        if self.point is not None and self._wrote:
            reach(self.point)
        self.point, self._wrote = None, False
        self._commit()


_armed: _Armed | None = None
_commits: _Commits | None = None


def arm(order: str) -> None:
    """Obey ``order``, the value of EXECUTOR_CRASH_AT, from here on.

    Raises ``UnknownCrashPoint``. Called by the thread that owns the database connection.
    """
    global _armed, _commits
    if not order:
        return
    _armed, _commits = _Armed(order), _Commits()
    if _armed.point is CrashPoint.AFTER_SEND:
        _watch_sends()


def reach(point: CrashPoint) -> None:
    if _armed is not None:
        _armed.reached(point)


def before_commit(point: CrashPoint) -> None:
    """The transaction that follows has ``point`` right before its commit."""
    if _commits is not None:
        _commits.point = point


def _watch_sends() -> None:
    send_all = DeadlineSocket.sendall

    def send_and_reach(self: DeadlineSocket, data: Any, flags: int = 0, /) -> None:
        send_all(self, data, flags)
        if bytes(data[:4]) == b"POST":
            reach(CrashPoint.AFTER_SEND)

    DeadlineSocket.sendall = send_and_reach  # type: ignore[method-assign]
