"""Batches of deposits in one process: by the domain function, or by bare set-based SQL.

The bare client locks the wallets in id order, computes the balances in the database and writes the
same rows in one statement; it looks for no key, judges no item and answers nothing.
"""

import argparse
import json
import os
import random
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import psycopg2

Batch = Sequence[tuple[int, int, str]]  # wallet, amount, key

_FINGERPRINT = "0" * 64
_BARE = """
    PREPARE bulk (bigint[], bigint[], text[]) AS
    WITH asked AS (
        SELECT * FROM unnest($1, $2, $3) WITH ORDINALITY AS x (wallet_id, amount, key, nth)
    ), locked AS (
        SELECT id, balance FROM wallets_wallet WHERE id = ANY($1)
        ORDER BY id FOR NO KEY UPDATE
    ), moved AS (
        UPDATE wallets_wallet w SET balance = w.balance + s.total, updated_at = now()
        FROM (SELECT wallet_id, sum(amount) AS total FROM asked GROUP BY wallet_id) s
        JOIN locked ON locked.id = s.wallet_id
        WHERE w.id = locked.id
    ), made AS (
        INSERT INTO wallets_transaction
            (wallet_id, type, status, amount, request_key, request_fingerprint, epoch, maybe_sent,
             created_at, updated_at)
        SELECT wallet_id, 'DEPOSIT', 'SUCCEEDED', amount, key, repeat('0', 64), 0, false, now(),
               now()
        FROM asked ORDER BY nth
        RETURNING id, wallet_id, amount
    )
    INSERT INTO wallets_ledgerentry
        (transaction_id, wallet_id, debit_account, credit_account, amount, balance_after,
         created_at)
    SELECT made.id, made.wallet_id, 'BANK', 'WALLET', made.amount,
           locked.balance + sum(made.amount) OVER (PARTITION BY made.wallet_id ORDER BY made.id),
           now()
    FROM made JOIN locked ON locked.id = made.wallet_id ORDER BY made.id
"""


def _bare(url: str) -> Callable[[Batch], None]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(_BARE)

    def write(batch: Batch) -> None:
        wallets, amounts, keys = zip(*batch, strict=True)
        arrays = ["{" + ",".join(map(str, column)) + "}" for column in (wallets, amounts, keys)]
        cursor.execute("EXECUTE bulk (%s, %s, %s)", arrays)

    return write


def _service() -> Callable[[Batch], None]:
    import django

    django.setup()
    from wallets.domain.bulk_deposits import BulkItem, deposit_many
    from wallets.domain.receipts import ClientRequest, Receipt

    def write(batch: Batch) -> None:
        items = [
            BulkItem(wallet, amount, "IRR", ClientRequest(key, _FINGERPRINT))
            for wallet, amount, key in batch
        ]
        results = deposit_many(items=items, all_or_nothing=True)
        if not all(isinstance(result, Receipt) and not result.replayed for result in results):
            raise SystemExit("a deposit was not made")

    return write


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bare", action="store_true")
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--wallets", type=int, required=True)
    parser.add_argument("--batches", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    given = parser.parse_args()
    write: Callable[[Batch], Any] = _bare(os.environ["DATABASE_URL"]) if given.bare else _service()
    chance = random.Random(uuid.uuid4().int)

    def batch() -> Batch:
        return [
            (
                given.first + chance.randrange(given.wallets),
                chance.randint(1, 1_000),
                uuid.uuid4().hex,
            )
            for _ in range(given.batch)
        ]

    for _ in range(2):
        write(batch())  # connects and prepares
    batches = [batch() for _ in range(given.batches)]
    begun = time.perf_counter()
    for each in batches:
        write(each)
    took = time.perf_counter() - begun
    rows = given.batches * given.batch
    print(json.dumps({"rate": rows / took, "ms": took / given.batches * 1_000}))


if __name__ == "__main__":
    main()
