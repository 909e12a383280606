"""Keep a second executor away from an SQLite database."""

import fcntl
from pathlib import Path
from typing import IO

from django.db import connection


class AnotherExecutorRuns(Exception):
    """Another executor works on this SQLite database."""


def claim_sqlite_for_this_process() -> IO[str] | None:
    """Hold the returned file open for as long as the executor runs; ``None``: not needed.

    SQLite has no row locks to keep workers apart, so there one executor at a time is the rule. The
    lock goes with the process, however it ends. Raises ``AnotherExecutorRuns``.
    """
    name = str(connection.settings_dict["NAME"])
    if connection.vendor != "sqlite" or ":memory:" in name or "mode=memory" in name:
        return None
    lock = Path(f"{name}.executor-lock").open("w")  # noqa: SIM115 - held until the process ends
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise AnotherExecutorRuns from None
    return lock
