"""One moment of the database to audit, while everybody else goes on working."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

# A long audit must not be killed by limits that were made for web requests. 64 MB lets most sorts
# and groups stay in memory, and what does not fit goes to disk. Parallel workers were measured to
# make it slower with two cores, and would take them from those who serve.
_POSTGRES = """
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;
    SET LOCAL work_mem = '64MB';
    SET LOCAL max_parallel_workers_per_gather = 0;
"""


@contextmanager
def snapshot() -> Iterator[None]:
    """A read-only transaction that sees one moment: no executor can make a true book look wrong.

    Inside a transaction of the caller's, as in tests, what that transaction sees is taken.
    """
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "postgresql":
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(_POSTGRES)
            yield
    else:
        yield from _sqlite()


def _sqlite() -> Iterator[None]:
    """A deferred transaction reads one moment of the write-ahead log and locks nobody out.

    ``atomic`` would take the write lock, which is what the settings ask of every other transaction.
    """
    with connection.cursor() as cursor:
        cursor.execute("BEGIN DEFERRED")
        cursor.execute("PRAGMA query_only = ON")
        try:
            yield
        finally:
            cursor.execute("PRAGMA query_only = OFF")
            cursor.execute("ROLLBACK")
