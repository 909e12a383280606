"""Real executor processes, and what they did by the books."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from bench.books import schedule
from bench.lab import BenchError, Database, Lab, wait_until

_IDLE_SLEEP = 0.05
_ENOUGH_SECONDS = 600.0

# By the two partial indexes: a look at all rows, many times a second, would be measured too.
_OPEN = """
    SELECT EXISTS (SELECT FROM wallets_transaction WHERE status = 'SCHEDULED')
        OR EXISTS (SELECT FROM wallets_transaction WHERE status = 'PROCESSING')
"""
_SPAN = """
    SELECT count(*), min(claimed.created_at), max(t.updated_at)
    FROM wallets_transaction t
    JOIN wallets_statuschange claimed
        ON claimed.transaction_id = t.id AND claimed.reason = 'claimed'
    WHERE t.id = ANY(%s) AND t.status = 'SUCCEEDED'
"""
# Debits of one wallet, in the order they were made, whose withdrawals were not due in that order.
_OUT_OF_ORDER = """
    SELECT count(*) FROM (
        SELECT (t.execute_at, t.id)
               < lag((t.execute_at, t.id)) OVER (PARTITION BY e.wallet_id ORDER BY e.id) AS wrong
        FROM wallets_ledgerentry e JOIN wallets_transaction t ON t.id = e.transaction_id
        WHERE e.debit_account = 'WALLET' AND t.id = ANY(%s)
    ) AS debits WHERE wrong
"""


@contextmanager
def executors(
    lab: Lab,
    database: Database,
    *,
    count: int,
    bank: str,
    url: str | None = None,
    sleep_seconds: float = _IDLE_SLEEP,
) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """``count`` looping executors that have started and found nothing to do.

    ``url``: reach the database there instead.
    """
    command = [
        "manage.py",
        "run_withdrawal_executor",
        "--loop",
        f"--sleep-seconds={sleep_seconds}",
        "--limit=1000000",
        f"--concurrency={lab.size.concurrency}",
    ]
    with ExitStack() as running, database.cursor() as cursor:
        started = [
            running.enter_context(
                lab.process(
                    f"executor-{number}", command, url or database.url, {"BANK_BASE_URL": bank}
                )
            )
            for number in range(count)
        ]

        def all_are_there() -> bool:
            ended = [one.returncode for one in started if one.poll() is not None]
            if ended:
                raise BenchError(f"an executor ended with {ended[0]}: {lab.tail('executor')}")
            return _sessions(cursor) >= count

        wait_until(all_are_there, f"the executors did not start: {lab.tail('executor')}")
        time.sleep(0.2)
        yield started


def _sessions(cursor: Any) -> int:
    cursor.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = 'wallet'"
    )
    return int(cursor.fetchone()[0])


def pay_all(database: Database, wallets: Sequence[int], count: int) -> float:
    """Make ``count`` withdrawals due at one moment; payouts a second until the last is settled.

    Counted from the first claim to the last settlement, by the database's clock. Raises
    ``BenchError`` when one was not paid, or was debited out of its wallet's order.
    """
    with database.cursor() as cursor:
        ids = schedule(cursor, list(wallets), count)
        wait_until(
            lambda: not _is_open(cursor),
            "not everything was paid",
            seconds=_ENOUGH_SECONDS,
        )
        cursor.execute(_SPAN, (ids,))
        paid, first, last = cursor.fetchone()
        cursor.execute(_OUT_OF_ORDER, (ids,))
        [out_of_order] = cursor.fetchone()
    if paid != count or out_of_order:
        raise BenchError(f"{paid} of {count} were paid, {out_of_order} out of order")
    return float(count / (last - first).total_seconds())


def _is_open(cursor: Any) -> bool:
    # Often enough to notice the end; what is measured does not depend on when that is.
    time.sleep(0.1)
    cursor.execute(_OPEN)
    return bool(cursor.fetchone()[0])
