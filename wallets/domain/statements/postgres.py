"""PostgreSQL: one round trip for a whole batch.

A batch travels as one JSON array, which costs the client far less than adapting a dozen SQL arrays.
Row order in the array is the order in which ids are taken.
"""

import json
import uuid
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from django.db import connection

from wallets.domain.statements.prepared import Prepared
from wallets.domain.statements.rows import (
    BalanceRow,
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
    types=("bigint", "bigint", "text", "text", "text"), sql=_DEPOSIT.format(ref="id")
)
_DEPOSIT_BY_UUID = Prepared(
    types=("uuid", "bigint", "text", "text", "text"), sql=_DEPOSIT.format(ref="uuid")
)

_POST = """
    WITH moved AS (
        UPDATE wallets_wallet w SET balance = w.balance + x.delta, updated_at = %(now)s
        FROM json_to_recordset(%(balances)s) AS x(wallet_id bigint, before bigint, delta bigint)
        WHERE w.id = x.wallet_id AND w.balance = x.before AND w.balance >= -x.delta
        RETURNING w.id
    ), posted AS (
        INSERT INTO wallets_ledgerentry
            (transaction_id, wallet_id, debit_account, credit_account, amount, balance_after,
             created_at)
        SELECT transaction_id, wallet_id, debit_account, credit_account, amount, balance_after,
               %(now)s
        FROM ROWS FROM (json_to_recordset(%(entries)s) AS (
            transaction_id bigint, wallet_id bigint, debit_account text, credit_account text,
            amount bigint, balance_after bigint)) WITH ORDINALITY AS x
        ORDER BY ordinality
        RETURNING id
    )
    SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM posted)
"""

# Concatenating an empty string keeps the planner from reading the partial index on status, which
# under stale statistics turned this update into a nested loop over all PROCESSING rows.
_SET_STATES = """
    WITH changed AS (
        UPDATE wallets_transaction t
        SET status = x.status, epoch = x.epoch, lease_owner = x.lease_owner,
            lease_expires_at = x.lease_expires_at, maybe_sent = x.maybe_sent,
            first_sent_at = x.first_sent_at, last_sent_at = x.last_sent_at,
            in_doubt_since = x.in_doubt_since, bank_reference = x.bank_reference,
            failure_reason = x.failure_reason, updated_at = %(now)s
        FROM json_to_recordset(%(states)s) AS x(
            id bigint, expected_status text, expected_epoch int, status text, epoch int,
            lease_owner uuid, lease_expires_at timestamptz, maybe_sent boolean,
            first_sent_at timestamptz, last_sent_at timestamptz, in_doubt_since timestamptz,
            bank_reference text, failure_reason text)
        WHERE t.id = ANY(%(ids)s) AND t.id = x.id
          AND t.status || '' = x.expected_status AND t.epoch = x.expected_epoch
        RETURNING t.id
    ), recorded AS (
        INSERT INTO wallets_statuschange
            (transaction_id, from_status, to_status, reason, worker, created_at)
        SELECT transaction_id, from_status, to_status, reason, worker, %(now)s
        FROM ROWS FROM (json_to_recordset(%(history)s) AS (
            transaction_id bigint, from_status text, to_status text, reason text, worker text
        )) WITH ORDINALITY AS x
        ORDER BY ordinality
    )
    SELECT count(*) FROM changed
"""

_RECORD_CALLS = """
    INSERT INTO wallets_bankcall
        (transaction_id, epoch, kind, started_at, duration_ms, http_status, verdict, reference,
         answer_digest)
    SELECT transaction_id, epoch, kind, started_at, duration_ms, http_status, verdict, reference,
           answer_digest
    FROM ROWS FROM (json_to_recordset(%(calls)s) AS (
        transaction_id bigint, epoch int, kind text, started_at timestamptz, duration_ms int,
        http_status int, verdict text, reference text, answer_digest text
    )) WITH ORDINALITY AS x
    ORDER BY ordinality
"""


def _json(rows: Sequence[Any]) -> str:
    if not rows:
        return "[]"
    names = [field.name for field in fields(rows[0])]
    return json.dumps([{name: getattr(row, name) for name in names} for row in rows], default=str)


def deposit(row: DepositRow) -> DepositedRow | None:
    """Make the whole deposit in one statement; ``None``: something is in its way.

    Raises ``IntegrityError`` when a deposit with the same key came first while this one waited,
    and ``Forgotten``. Whenever it does not answer with a row, nothing has changed.
    """
    statement = _DEPOSIT_BY_UUID if isinstance(row.wallet, uuid.UUID) else _DEPOSIT_BY_ID
    made = statement.fetchone(
        row.wallet, row.amount, row.currency, row.request_key, row.request_fingerprint
    )
    return None if made is None else DepositedRow(*made)


def post(balances: Sequence[BalanceRow], entries: Sequence[EntryRow], now: datetime) -> int:
    """Move the balances and write the entries; return how many balances moved as expected."""
    with connection.cursor() as cursor:
        cursor.execute(_POST, {"now": now, "balances": _json(balances), "entries": _json(entries)})
        moved, _posted = cursor.fetchone()
    return int(moved)


def set_states(states: Sequence[StateRow], history: Sequence[ChangeRow], now: datetime) -> int:
    """Change the rows and write their history; return how many were in their expected state."""
    with connection.cursor() as cursor:
        cursor.execute(
            _SET_STATES,
            {
                "now": now,
                "states": _json(states),
                "ids": [state.id for state in states],
                "history": _json(history),
            },
        )
        return int(cursor.fetchone()[0])


def record_calls(calls: Sequence[CallRow]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_RECORD_CALLS, {"calls": _json(calls)})
