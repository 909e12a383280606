"""Fill a database with books that are in order, set-based."""

from collections.abc import Iterator
from typing import Any

from bench.lab import Database

_WALLETS = """
    INSERT INTO wallets_wallet (uuid, tenant_id, currency, balance, created_at, updated_at)
    SELECT gen_random_uuid(), (SELECT min(id) FROM wallets_tenant), 'IRR', %(balance)s, now(), now()
    FROM generate_series(1, %(count)s)
    RETURNING id
"""
_OPENING_DEPOSITS = """
    WITH made AS (
        INSERT INTO wallets_transaction
            (wallet_id, type, status, amount, epoch, maybe_sent, created_at, updated_at)
        SELECT id, 'DEPOSIT', 'SUCCEEDED', balance, 0, false, now(), now()
        FROM wallets_wallet WHERE id = ANY(%(wallets)s)
        RETURNING id, wallet_id, amount
    )
    INSERT INTO wallets_ledgerentry
        (transaction_id, wallet_id, debit_account, credit_account, amount, balance_after,
         created_at)
    SELECT id, wallet_id, 'BANK', 'WALLET', amount, amount, now() FROM made
"""
_WITHDRAWALS = """
    WITH made AS (
        INSERT INTO wallets_transaction
            (wallet_id, type, status, amount, execute_at, idempotency_key, epoch, maybe_sent,
             created_at, updated_at)
        SELECT (%(wallets)s::bigint[])[1 + n %% array_length(%(wallets)s::bigint[], 1)],
               'WITHDRAWAL', 'SCHEDULED', 1,
               clock_timestamp() + make_interval(secs => %(after)s + n * %(apart)s),
               gen_random_uuid(), 0, false, now() - interval '1 hour', now() - interval '1 hour'
        FROM generate_series(0, %(count)s - 1) AS n
        RETURNING id
    )
    INSERT INTO wallets_statuschange
        (transaction_id, from_status, to_status, reason, worker, created_at)
    SELECT id, '', 'SCHEDULED', 'scheduled', '', now() - interval '1 hour' FROM made
    RETURNING transaction_id
"""


def open_wallets(database: Database, count: int, *, balance: int = 1_000_000) -> list[int]:
    """They belong to the first account, if there is one."""
    with database.cursor() as cursor:
        cursor.execute(_WALLETS, {"balance": balance, "count": count})
        wallets = [row[0] for row in cursor.fetchall()]
        if balance:
            cursor.execute(_OPENING_DEPOSITS, {"wallets": wallets})
        cursor.execute("ANALYZE")
    return wallets


def schedule(
    cursor: Any, wallets: list[int], count: int, *, after: float = -1.0, apart: float = 0.0
) -> list[int]:
    """Withdrawals of one unit each, in turns for the wallets, the first due ``after`` seconds from
    now and each later one ``apart`` seconds after it. One statement: all appear at one moment."""
    cursor.execute(
        _WITHDRAWALS, {"wallets": wallets, "count": count, "after": after, "apart": apart}
    )
    return [row[0] for row in cursor.fetchall()]


# The n-th deposit, counted from 0, is for the deep wallet when n is divisible by ten, else for the
# others in turns; from that follows which one of its wallet it is, and so what balance it leaves.
_DEPOSITS = """
    INSERT INTO wallets_transaction
        (id, wallet_id, type, status, amount, epoch, maybe_sent, created_at, updated_at)
    SELECT n + 1, {wallet}, 'DEPOSIT', 'SUCCEEDED', 1000, 0, false,
           %(begun)s + n * interval '1 millisecond', %(begun)s + n * interval '1 millisecond'
    FROM generate_series(%(start)s, %(end)s - 1) AS n;
    INSERT INTO wallets_ledgerentry
        (id, transaction_id, wallet_id, debit_account, credit_account, amount, balance_after,
         created_at)
    SELECT n + 1, n + 1, {wallet}, 'BANK', 'WALLET', 1000,
           1000 + 1000 *
               CASE WHEN n %% 10 = 0 THEN n / 10 ELSE (n - n / 10 - 1) / (%(wallets)s - 1) END,
           %(begun)s + n * interval '1 millisecond'
    FROM generate_series(%(start)s, %(end)s - 1) AS n;
""".format(
    wallet="%(first)s + CASE WHEN n %% 10 = 0 THEN 0 "
    "ELSE 1 + (n - n / 10 - 1) %% (%(wallets)s - 1) END"
)
_BALANCES = """
    UPDATE wallets_wallet w SET balance = e.balance, updated_at = e.at
    FROM (SELECT wallet_id, max(balance_after) AS balance, max(created_at) AS at
          FROM wallets_ledgerentry GROUP BY wallet_id) AS e
    WHERE e.wallet_id = w.id;
    SELECT setval(pg_get_serial_sequence('wallets_transaction', 'id'), %(count)s),
           setval(pg_get_serial_sequence('wallets_ledgerentry', 'id'), %(count)s);
"""
_CHUNK = 500_000


def fill(database: Database, wallets: list[int], count: int) -> Iterator[int]:
    """``count`` deposits of 1,000 units, a tenth of them for the first wallet.

    Yields how many have been made so far. Constraints hold, but are not checked row by row.
    """
    with database.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("SELECT now() - make_interval(secs => %s)", (count / 1_000 + 60,))
        [begun] = cursor.fetchone()
        for start in range(0, count, _CHUNK):
            end = min(count, start + _CHUNK)
            values = {"start": start, "end": end, "first": wallets[0], "wallets": len(wallets)}
            cursor.execute(_DEPOSITS, values | {"begun": begun})
            yield end
        cursor.execute(_BALANCES, {"count": count})
        # Scheduled for later, so that there is a queue to search.
        schedule(cursor, wallets, max(1, count // 100), after=86_400.0, apart=1.0)
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute("CHECKPOINT")
