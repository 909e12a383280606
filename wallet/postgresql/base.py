import select
import time
from typing import Any

from django.db.backends.postgresql import base

# Seconds. A connection dropped by a firewall in between, of which neither end is told, has been
# idle for minutes.
_TRUSTED = 30.0


class DatabaseWrapper(base.DatabaseWrapper):
    """Does not ask the server at every request whether the connection is still there.

    A server that ends a session says so or closes the connection, and either can be read at once.
    The question, which Django asks before the first query of each request, would be one of two
    round trips of a deposit. It is still asked after a pause, and after an error.
    """

    _used_at = 0.0

    def is_usable(self) -> bool:
        now = time.monotonic()
        trusted = now - self._used_at < _TRUSTED and not self.errors_occurred
        self._used_at = now
        if self.connection is not None and trusted and _is_quiet(self.connection):
            return True
        usable: bool = super().is_usable()
        return usable


def _is_quiet(connection: Any) -> bool:
    """Nothing has arrived that nobody asked for."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)
