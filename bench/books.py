"""Fill a database with books that are in order, set-based."""

from typing import Any

from bench.lab import Database

_WALLETS = """
    INSERT INTO wallets_wallet (uuid, currency, balance, created_at, updated_at)
    SELECT gen_random_uuid(), 'IRR', %(balance)s, now(), now() FROM generate_series(1, %(count)s)
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
