"""Let ``TransactionTestCase`` empty the tables that the append-only triggers protect.

Django flushes after each such test. On a real database the triggers refuse that, as they should.
"""

from collections.abc import Iterable
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


def allow_flush() -> None:
    for connection in connections.all():
        _wrap(connection)


def _wrap(connection: BaseDatabaseWrapper) -> None:
    ops: Any = connection.ops
    if getattr(ops, "flushes_append_only", False):
        return
    flush = ops.execute_sql_flush

    def on_postgres(sql_list: Iterable[str]) -> None:
        flush(["SET LOCAL session_replication_role = replica", *sql_list])

    def on_sqlite(sql_list: Iterable[str]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            triggers = cursor.fetchall()
        flush(
            [
                *(f"DROP TRIGGER {name}" for name, _ in triggers),
                *sql_list,
                *(sql for _, sql in triggers),
            ]
        )

    ops.execute_sql_flush = on_postgres if connection.vendor == "postgresql" else on_sqlite
    ops.flushes_append_only = True
