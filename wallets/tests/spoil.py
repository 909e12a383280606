"""Do to the database what its triggers and constraints refuse, as a careless person could."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction


@contextmanager
def undone() -> Iterator[None]:
    """What is done inside, to the schema too, is undone at the end."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


@contextmanager
def unguarded(*constraints: tuple[str, str]) -> Iterator[None]:
    """Triggers and foreign keys are off inside, and the ``constraints`` (table, name) are gone.

    Only ``undone`` around it brings those back. SQLite cannot drop a CHECK, so it ignores them
    all inside, and it cannot drop a UNIQUE that is not an index.
    """
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # Deferred checks of rows the test wrote would keep their tables from being altered.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for table, name in constraints:
            drop_constraint(table, name)
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL session_replication_role = replica")
            yield
            cursor.execute("SET LOCAL session_replication_role = origin")
        else:
            yield from _unguarded_sqlite(cursor)


def _unguarded_sqlite(cursor: Any) -> Iterator[None]:
    cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    definitions = cursor.fetchall()
    for name, _ in definitions:
        cursor.execute(f"DROP TRIGGER {name}")
    cursor.execute("PRAGMA ignore_check_constraints = ON")
    try:
        yield
    finally:
        cursor.execute("PRAGMA ignore_check_constraints = OFF")
    for _, definition in definitions:
        cursor.execute(definition)


def triggers() -> list[tuple[str, str]]:
    """Table and name of every trigger of ours."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("""
                SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
                WHERE NOT t.tgisinternal AND c.relname LIKE 'wallets\\_%'
            """)
        else:
            cursor.execute("SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger'")
        rows: list[tuple[str, str]] = cursor.fetchall()
    return rows


def drop_trigger(table: str, name: str) -> None:
    on_table = f" ON {table}" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TRIGGER {name}{on_table}")


def drop_constraint(table: str, name: str) -> None:
    quoted = connection.ops.quote_name(name)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quoted}")
        cursor.execute(f"DROP INDEX IF EXISTS {quoted}")


def sql(statement: str, *params: Any) -> None:
    """Run one statement; it has to touch a row."""
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        if cursor.rowcount == 0:
            raise AssertionError(f"nothing was touched by: {statement}")
