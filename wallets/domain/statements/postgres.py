"""PostgreSQL: one round trip for a whole batch. The order of rows is the order of their ids."""

import uuid
from datetime import datetime

from wallets.domain.statements.arrays import RowArrays
from wallets.domain.statements.prepared import Prepared
from wallets.domain.statements.rows import (
    BalanceRow,
    Batch,
    CallRow,
    ChangeRow,
    DepositedRow,
    DepositRow,
    EntryRow,
    StateRow,
)

# Writes all or nothing. ``NOT EXISTS`` sees what had committed when the statement began; a deposit
# with the same key that commits later is met by the unique index.
#
# ``clock_timestamp()``, unlike the time of the statement, is read again when the update had to wait
# for another one of the wallet, so the times of a wallet's entries are in the entries' order.
_DEPOSIT = """
    WITH moved AS (
        UPDATE wallets_wallet w SET balance = w.balance + $2, updated_at = clock_timestamp()
        WHERE w.{ref} = $1
          AND ($3 IS NULL OR w.currency = $3)
          AND ($6 IS NULL OR w.tenant_id = $6)
          AND w.balance <= 9223372036854775807 - $2
          AND NOT EXISTS (
              SELECT FROM wallets_transaction t
              WHERE t.wallet_id = w.id AND t.type = 'DEPOSIT' AND t.request_key = $4)
        RETURNING w.id, w.uuid, w.currency, w.balance, w.created_at, w.updated_at
    ), made AS (
        INSERT INTO wallets_transaction
            (wallet_id, type, status, amount, request_key, request_fingerprint, epoch, maybe_sent,
             created_at, updated_at)
        SELECT id, 'DEPOSIT', 'SUCCEEDED', $2, $4, $5, 0, false, updated_at, updated_at
        FROM moved
        RETURNING id
    ), posted AS (
        INSERT INTO wallets_ledgerentry
            (transaction_id, wallet_id, debit_account, credit_account, amount, balance_after,
             created_at)
        SELECT made.id, moved.id, 'BANK', 'WALLET', $2, moved.balance, moved.updated_at
        FROM moved, made
        RETURNING id
    )
    SELECT made.id, moved.id, moved.uuid, moved.currency, moved.balance, moved.created_at,
           moved.updated_at
    FROM moved, made, posted
"""
_DEPOSIT_BY_ID = Prepared(
    types=("bigint", "bigint", "text", "text", "text", "bigint"), sql=_DEPOSIT.format(ref="id")
)
_DEPOSIT_BY_UUID = Prepared(
    types=("uuid", "bigint", "text", "text", "text", "bigint"), sql=_DEPOSIT.format(ref="uuid")
)

# Concatenating an empty string keeps the planner from reading the partial index on status, which
# under stale statistics turned this update into a nested loop over all PROCESSING rows.
_WRITE = """
    WITH moved AS (
        UPDATE wallets_wallet w SET balance = w.balance + x.delta, updated_at = $1
        FROM {balances}
        WHERE w.id = x.wallet_id AND w.balance = x.before AND w.balance >= -x.delta
        RETURNING w.id
    ), posted AS (
        INSERT INTO wallets_ledgerentry
            (transaction_id, wallet_id, debit_account, credit_account, amount, balance_after,
             created_at)
        SELECT transaction_id, wallet_id, debit_account, credit_account, amount, balance_after, $1
        FROM {entries} ORDER BY nth
    ), changed AS (
        UPDATE wallets_transaction t
        SET status = x.status, epoch = x.epoch, lease_owner = x.lease_owner,
            lease_expires_at = x.lease_expires_at, maybe_sent = x.maybe_sent,
            first_sent_at = x.first_sent_at, last_sent_at = x.last_sent_at,
            in_doubt_since = x.in_doubt_since, bank_reference = x.bank_reference,
            failure_reason = x.failure_reason, updated_at = $1
        FROM {states}
        WHERE t.id = x.id AND t.status || '' = x.expected_status AND t.epoch = x.expected_epoch
        RETURNING t.id
    ), recorded AS (
        INSERT INTO wallets_statuschange
            (transaction_id, from_status, to_status, reason, worker, created_at)
        SELECT transaction_id, from_status, to_status, reason, worker, $1
        FROM {history} ORDER BY nth
    ), called AS (
        INSERT INTO wallets_bankcall
            (transaction_id, epoch, kind, started_at, duration_ms, http_status, verdict, reference,
             answer_digest)
        SELECT transaction_id, epoch, kind, started_at, duration_ms, http_status, verdict,
               reference, answer_digest
        FROM {calls} ORDER BY nth
    )
    SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM changed)
"""


_BATCH = {
    "balances": RowArrays(BalanceRow),
    "entries": RowArrays(EntryRow),
    "states": RowArrays(StateRow),
    "history": RowArrays(ChangeRow),
    "calls": RowArrays(CallRow),
}


def _prepared_write() -> Prepared:
    types = ["timestamptz"]
    tables = {}
    for name, arrays in _BATCH.items():
        tables[name] = arrays.table(len(types) + 1)
        types += arrays.types
    return Prepared(types=types, sql=_WRITE.format(**tables))


_WRITE_BATCH = _prepared_write()


def deposit(row: DepositRow) -> DepositedRow | None:
    """Make the whole deposit in one statement; ``None``: something is in its way.

    Raises ``IntegrityError`` when a deposit with the same key came first while this one waited,
    and ``Forgotten``. Whenever it does not answer with a row, nothing has changed.
    """
    statement = _DEPOSIT_BY_UUID if isinstance(row.wallet, uuid.UUID) else _DEPOSIT_BY_ID
    made = statement.fetchone(
        row.wallet,
        row.amount,
        row.currency,
        row.request_key,
        row.request_fingerprint,
        row.tenant_id,
    )
    return None if made is None else DepositedRow(*made)


def write(batch: Batch, now: datetime) -> tuple[int, int]:
    """Write all of it; return how many balances moved, and how many states changed, as expected."""
    values = [
        column for name, arrays in _BATCH.items() for column in arrays.values(getattr(batch, name))
    ]
    moved, changed = _WRITE_BATCH.fetchone(now, *values) or (0, 0)
    return int(moved), int(changed)
