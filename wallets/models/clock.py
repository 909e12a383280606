"""One clock for everybody: the database's. Hosts disagree; the database agrees with itself."""

from datetime import UTC, datetime

from django.db import connection

# To the microsecond on PostgreSQL, to the millisecond on SQLite. Statement time, so that what
# waited for a lock does not get the time at which it began to wait.
_POSTGRES = "SELECT statement_timestamp()"
_SQLITE = "SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')"


def database_now() -> datetime:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_POSTGRES)
            now: datetime = cursor.fetchone()[0]
            return now
        cursor.execute(_SQLITE)
        return datetime.fromisoformat(cursor.fetchone()[0]).replace(tzinfo=UTC)
