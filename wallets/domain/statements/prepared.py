"""Statements that PostgreSQL parses and plans once for each connection.

Worth it only for what runs once a request: there, planning costs as much as the work. A pooler that
changes the server connection between transactions forgets them. Django's own switch for such
poolers, ``DISABLE_SERVER_SIDE_CURSORS``, sends the text each time; without the switch a statement
is forgotten once, and from then on sent as text by this process.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any
from weakref import WeakSet

import psycopg2.errors
from django.db import DatabaseError, OperationalError, connection

_FORGOTTEN = (
    psycopg2.errors.InvalidSqlStatementName,
    psycopg2.errors.DuplicatePreparedStatement,
)


class Forgotten(OperationalError):
    """The server did not know the statement it had prepared, so nothing was executed.

    Operational, because whoever tries again after trouble with the database will succeed.
    """


class Prepared:
    def __init__(self, *, types: Sequence[str], sql: str) -> None:
        """``sql`` calls its parameters, which are of these ``types``, ``$1``, ``$2`` and so on."""
        # Named by its text: what another version of the program prepared is never taken for ours.
        name = "wallets_" + hashlib.sha256(sql.encode()).hexdigest()[:16]
        self._prepare = f"PREPARE {name} ({', '.join(types)}) AS {sql}"
        self._execute = f"EXECUTE {name} ({', '.join(f'%({n + 1})s' for n in range(len(types)))})"
        self._text = re.sub(r"\$(\d+)", lambda m: f"%({m[1]})s::{types[int(m[1]) - 1]}", sql)
        # By the driver's connection: a reconnect makes a new one, which knows nothing yet.
        self._knowing: WeakSet[Any] = WeakSet()
        self._forgotten = False

    def fetchall(self, *values: Any) -> list[tuple[Any, ...]]:
        """Raises ``Forgotten``, at most once in a process, and only inside a transaction."""
        numbered = {str(n): value for n, value in enumerate(values, 1)}
        with connection.cursor() as cursor:
            if not (self._lasts() and self._executed_prepared(cursor, numbered)):
                cursor.execute(self._text, numbered)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def _lasts(self) -> bool:
        pooled = connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
        return not (pooled or self._forgotten)

    def _executed_prepared(self, cursor: Any, values: dict[str, Any]) -> bool:
        """False: it was forgotten, and may be sent as text. In a transaction it may not: that one
        has failed."""
        driver = connection.connection
        try:
            if driver not in self._knowing:
                cursor.execute(self._prepare)
                self._knowing.add(driver)
            cursor.execute(self._execute, values)
        except DatabaseError as error:
            if not isinstance(error.__cause__, _FORGOTTEN):
                raise
            self._forgotten = True
            if connection.get_autocommit():
                return False
            raise Forgotten from error
        return True
