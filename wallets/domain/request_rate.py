"""Count the requests of each key, for all server processes together."""

from dataclasses import dataclass

from django.db import connection

_SECONDS = {
    "postgresql": "extract(epoch FROM statement_timestamp())::bigint",
    "sqlite": "CAST(strftime('%%s', 'now') AS INTEGER)",
}
# One statement and one row a key. A window that starts anew each minute lets up to twice the
# limit through around the change of the minute, which is why it is not sold as more than it is.
_COUNT = """
    INSERT INTO wallets_requestcount AS c (key_id, minute, count)
    VALUES (%s, {seconds} / 60, 1)
    ON CONFLICT (key_id) DO UPDATE SET
        count = CASE WHEN c.minute = excluded.minute THEN c.count + 1 ELSE 1 END,
        minute = excluded.minute
    RETURNING count, 60 - {seconds} %% 60
"""


@dataclass(frozen=True, slots=True)
class Counted:
    requests: int
    seconds_left: int  # until the count starts anew


def count_request(*, key_id: int) -> Counted:
    with connection.cursor() as cursor:
        cursor.execute(_COUNT.format(seconds=_SECONDS[connection.vendor]), [key_id])
        requests, seconds_left = cursor.fetchone()
    return Counted(requests=int(requests), seconds_left=int(seconds_left))
