"""The ceiling for deposits over HTTP: no framework, one statement that writes the same rows.

It checks nothing, looks for no earlier request with the key, and answers two numbers.
"""

import json
import os
import threading
from collections.abc import Callable, Iterable
from typing import Any

import psycopg2

_DEPOSIT = """
    PREPARE deposit (bigint, bigint, text, text) AS
    WITH moved AS (
        UPDATE wallets_wallet SET balance = balance + $2, updated_at = now() WHERE id = $1
        RETURNING id, balance
    ), made AS (
        INSERT INTO wallets_transaction
            (wallet_id, type, status, amount, request_key, request_fingerprint, epoch, maybe_sent,
             created_at, updated_at)
        SELECT id, 'DEPOSIT', 'SUCCEEDED', $2, $3, $4, 0, false, now(), now() FROM moved
        RETURNING id
    )
    INSERT INTO wallets_ledgerentry
        (transaction_id, wallet_id, debit_account, credit_account, amount, balance_after,
         created_at)
    SELECT made.id, moved.id, 'BANK', 'WALLET', $2, moved.balance, now() FROM moved, made
    RETURNING transaction_id, balance_after
"""
_FINGERPRINT = "0" * 64

_local = threading.local()


def _cursor() -> Any:
    """Of the thread's own connection, made after the fork."""
    if not hasattr(_local, "connection"):
        _local.connection = psycopg2.connect(os.environ["DATABASE_URL"])
        _local.connection.autocommit = True
        _local.connection.cursor().execute(_DEPOSIT)
    return _local.connection.cursor()


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]
) -> Iterable[bytes]:
    wallet = int(environ["PATH_INFO"].split("/")[3])
    amount = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))["amount"]
    cursor = _cursor()
    cursor.execute(
        "EXECUTE deposit (%s, %s, %s, %s)",
        (wallet, amount, environ["HTTP_IDEMPOTENCY_KEY"], _FINGERPRINT),
    )
    made, balance = cursor.fetchone()
    body = json.dumps({"id": made, "balance": balance}).encode()
    start_response(
        "201 Created",
        [("Content-Type", "application/json"), ("Content-Length", str(len(body)))],
    )
    return [body]
