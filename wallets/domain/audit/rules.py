"""The rules that prove the books, in SQL that PostgreSQL and SQLite both read.

``rows`` yields one row for each thing a rule checks, with ``broken``; a null there counts as
broken, for what cannot be shown to hold does not. A rule is one pass over its tables; only if that
counts violations does a second one fetch them.

Nothing here may fail on rows that no constraint would let in, so no sum or difference can overflow:
``exact_sum`` is exact at any size, and amounts that are not positive are left to the first rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wallets.domain.outcomes import Meaning

# How the history tells that the bank's statement, not a call, ended a withdrawal: its worker.
STATEMENT_WORKER = "statement"


@dataclass(frozen=True, slots=True)
class SqlRule:
    name: str
    sentence: str
    counted: str
    rows: str
    # Ids and values that tell of a violation; the first ones name it and order the list.
    facts: tuple[str, ...]
    sums: tuple[str, ...] = ()
    # The column that keeps currencies apart in the sums.
    currency: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)


AMOUNTS = SqlRule(
    name="amounts_are_sane",
    sentence="No balance is negative, every amount is positive, and all are whole numbers.",
    counted="amounts",
    facts=("row_kind", "id", "amount", "balance"),
    rows="""
        SELECT 'wallet' AS row_kind, id, NULL AS amount, balance,
               NOT (balance >= 0 AND balance = CAST(balance AS bigint)) AS broken
        FROM wallets_wallet
        UNION ALL
        SELECT 'transaction', id, amount, NULL,
               NOT (amount > 0 AND amount = CAST(amount AS bigint))
        FROM wallets_transaction
        UNION ALL
        SELECT 'entry', id, amount, balance_after,
               NOT (amount > 0 AND amount = CAST(amount AS bigint)
                    AND balance_after >= 0 AND balance_after = CAST(balance_after AS bigint))
        FROM wallets_ledgerentry
    """,
)

BELONGING = SqlRule(
    name="rows_belong_together",
    sentence="Every transaction has its wallet, and every entry, step, call and decision "
    "its transaction.",
    counted="rows",
    facts=("row_kind", "id", "transaction_id", "wallet_id"),
    rows="""
        SELECT 'transaction' AS row_kind, t.id, t.id AS transaction_id, t.wallet_id,
               w.id IS NULL AS broken
        FROM wallets_transaction t LEFT JOIN wallets_wallet w ON w.id = t.wallet_id
        UNION ALL
        SELECT 'entry', e.id, e.transaction_id, e.wallet_id, t.id IS NULL OR w.id IS NULL
        FROM wallets_ledgerentry e
        LEFT JOIN wallets_transaction t ON t.id = e.transaction_id
        LEFT JOIN wallets_wallet w ON w.id = e.wallet_id
        UNION ALL
        SELECT 'status_change', s.id, s.transaction_id, NULL, t.id IS NULL
        FROM wallets_statuschange s LEFT JOIN wallets_transaction t ON t.id = s.transaction_id
        UNION ALL
        SELECT 'bank_call', c.id, c.transaction_id, NULL, t.id IS NULL
        FROM wallets_bankcall c LEFT JOIN wallets_transaction t ON t.id = c.transaction_id
        UNION ALL
        SELECT 'resolution', r.id, r.transaction_id, NULL, t.id IS NULL
        FROM wallets_resolution r LEFT JOIN wallets_transaction t ON t.id = r.transaction_id
    """,
)

BALANCES = SqlRule(
    name="wallet_balance_equals_entries",
    sentence="Every wallet's balance is what its entries put in less what they took out.",
    counted="wallets",
    sums=("balance", "entries_total"),
    currency="currency",
    facts=("wallet_id", "currency", "balance", "entries_total"),
    rows="""
        SELECT w.id AS wallet_id, w.currency, w.balance, COALESCE(e.total, 0) AS entries_total,
               w.balance <> COALESCE(e.total, 0) AS broken
        FROM wallets_wallet w
        LEFT JOIN (
            SELECT wallet_id,
                   exact_sum(CASE WHEN credit_account = 'WALLET' THEN amount
                                  WHEN debit_account = 'WALLET' AND amount > 0 THEN -amount
                                  ELSE 0 END) AS total
            FROM wallets_ledgerentry GROUP BY wallet_id
        ) e ON e.wallet_id = w.id
    """,
)

CHAIN = SqlRule(
    name="balance_after_chain",
    sentence="Within a wallet, every entry's balance_after is the one before it plus its movement.",
    counted="entries",
    sums=("amount",),
    facts=(
        "entry_id",
        "wallet_id",
        "transaction_id",
        "balance_before",
        "movement",
        "amount",
        "balance_after",
    ),
    rows="""
        SELECT id AS entry_id, wallet_id, transaction_id, balance_before,
               debit_account || ' -> ' || credit_account AS movement, amount, balance_after,
               CASE WHEN amount > 0 AND balance_before >= 0 AND balance_after >= 0
                    THEN balance_after - balance_before
                         <> CASE WHEN credit_account = 'WALLET' THEN amount
                                 WHEN debit_account = 'WALLET' THEN -amount
                                 ELSE 0 END
                    ELSE TRUE END AS broken
        FROM (
            SELECT id, wallet_id, transaction_id, debit_account, credit_account, amount,
                   balance_after,
                   lag(balance_after, 1, 0) OVER (PARTITION BY wallet_id ORDER BY id)
                       AS balance_before
            FROM wallets_ledgerentry
        ) chained
    """,
)

IN_TRANSIT = SqlRule(
    name="in_transit_equals_processing",
    sentence="Money is in transit for exactly the withdrawals that are being processed.",
    counted="withdrawals",
    sums=("in_transit", "processing"),
    facts=("transaction_id", "in_transit", "processing"),
    rows="""
        SELECT transaction_id, exact_sum(held) AS in_transit, exact_sum(due) AS processing,
               exact_sum(held) <> exact_sum(due) AS broken
        FROM (
            SELECT transaction_id,
                   CASE WHEN credit_account = 'IN_TRANSIT' THEN amount
                        WHEN amount > 0 THEN -amount ELSE 0 END AS held,
                   0 AS due
            FROM wallets_ledgerentry
            WHERE credit_account = 'IN_TRANSIT' OR debit_account = 'IN_TRANSIT'
            UNION ALL
            SELECT id, 0, amount FROM wallets_transaction
            WHERE type = 'WITHDRAWAL' AND status = 'PROCESSING'
        ) moved
        GROUP BY transaction_id
    """,
)

ENTRIES = SqlRule(
    name="entries_fit_status",
    sentence="Every transaction has exactly the entries that its status implies, for its amount "
    "and its wallet.",
    counted="transactions",
    sums=("amount",),
    facts=(
        "transaction_id",
        "wallet_id",
        "type",
        "status",
        "amount",
        "deposited",
        "held",
        "paid_out",
        "refunded",
        "entries",
        "smallest",
        "largest",
        "entries_wallet_id",
    ),
    rows="""
        WITH implied(type, status, claimed, deposited, held, paid_out, refunded) AS (
            VALUES ('DEPOSIT', 'SUCCEEDED', 0, 1, 0, 0, 0),
                   ('RETURN', 'SUCCEEDED', 0, 1, 0, 0, 0),
                   ('WITHDRAWAL', 'SCHEDULED', 0, 0, 0, 0, 0),
                   ('WITHDRAWAL', 'CANCELLED', 0, 0, 0, 0, 0),
                   ('WITHDRAWAL', 'PROCESSING', 1, 0, 1, 0, 0),
                   ('WITHDRAWAL', 'SUCCEEDED', 1, 0, 1, 1, 0),
                   ('WITHDRAWAL', 'FAILED', 0, 0, 0, 0, 0),
                   ('WITHDRAWAL', 'FAILED', 1, 0, 1, 0, 1)
        ), written AS (
            SELECT transaction_id, count(*) AS entries,
                   count(*) FILTER (
                       WHERE debit_account = 'BANK' AND credit_account = 'WALLET') AS deposited,
                   count(*) FILTER (
                       WHERE debit_account = 'WALLET' AND credit_account = 'IN_TRANSIT') AS held,
                   count(*) FILTER (
                       WHERE debit_account = 'IN_TRANSIT' AND credit_account = 'BANK') AS paid_out,
                   count(*) FILTER (
                       WHERE debit_account = 'IN_TRANSIT' AND credit_account = 'WALLET'
                   ) AS refunded,
                   min(amount) AS smallest, max(amount) AS largest,
                   min(wallet_id) AS first_wallet_id, max(wallet_id) AS last_wallet_id
            FROM wallets_ledgerentry GROUP BY transaction_id
        )
        SELECT t.id AS transaction_id, t.wallet_id, t.type, t.status, t.amount,
               COALESCE(e.deposited, 0) AS deposited, COALESCE(e.held, 0) AS held,
               COALESCE(e.paid_out, 0) AS paid_out, COALESCE(e.refunded, 0) AS refunded,
               COALESCE(e.entries, 0) AS entries, e.smallest, e.largest,
               CASE WHEN e.first_wallet_id <> t.wallet_id THEN e.first_wallet_id
                    ELSE e.last_wallet_id END AS entries_wallet_id,
               NOT (COALESCE(e.deposited, 0) = i.deposited
                    AND COALESCE(e.held, 0) = i.held
                    AND COALESCE(e.paid_out, 0) = i.paid_out
                    AND COALESCE(e.refunded, 0) = i.refunded
                    AND COALESCE(e.entries, 0)
                        = i.deposited + i.held + i.paid_out + i.refunded
                    AND (e.entries IS NULL
                         OR (e.smallest = t.amount AND e.largest = t.amount
                             AND e.first_wallet_id = t.wallet_id
                             AND e.last_wallet_id = t.wallet_id))
                    AND (t.status <> 'FAILED' OR i.claimed = 1
                         OR t.failure_reason = 'insufficient_funds')) AS broken
        FROM wallets_transaction t
        LEFT JOIN implied i ON i.type = t.type AND i.status = t.status
            AND i.claimed = CASE WHEN t.epoch > 0 THEN 1 ELSE 0 END
        LEFT JOIN written e ON e.transaction_id = t.id
    """,
)

KEYS = SqlRule(
    name="key_used_once",
    sentence="No bank key, bank reference or request key belongs to two rows.",
    counted="keys",
    facts=("key_kind", "key", "first_id", "last_id", "uses"),
    rows="""
        SELECT 'idempotency_key' AS key_kind, CAST(idempotency_key AS text) AS key,
               min(id) AS first_id, max(id) AS last_id, count(*) AS uses, count(*) > 1 AS broken
        FROM wallets_transaction WHERE idempotency_key IS NOT NULL GROUP BY idempotency_key
        UNION ALL
        SELECT 'bank_reference', bank_reference, min(id), max(id), count(*), count(*) > 1
        FROM wallets_transaction
        WHERE bank_reference IS NOT NULL AND type = 'WITHDRAWAL' AND status = 'SUCCEEDED'
        GROUP BY bank_reference
        UNION ALL
        SELECT 'request_key', request_key, min(id), max(id), count(*), count(*) > 1
        FROM wallets_transaction WHERE request_key IS NOT NULL
        GROUP BY wallet_id, type, request_key
        UNION ALL
        SELECT 'wallet_request_key', request_key, min(id), max(id), count(*), count(*) > 1
        FROM wallets_wallet WHERE request_key IS NOT NULL GROUP BY tenant_id, request_key
        UNION ALL
        SELECT 'plan_request_key', request_key, min(id), max(id), count(*), count(*) > 1
        FROM wallets_planrequest GROUP BY wallet_id, operation, request_key
        UNION ALL
        SELECT 'bulk_request_key', request_key, min(id), max(id), count(*), count(*) > 1
        FROM wallets_bulkrequest GROUP BY tenant_id, request_key
        UNION ALL
        SELECT 'wallet_uuid', CAST(uuid AS text), min(id), max(id), count(*), count(*) > 1
        FROM wallets_wallet GROUP BY uuid
    """,
)

HISTORY = SqlRule(
    name="history_fits_status",
    sentence="Every history is a chain of legal steps that ends in its transaction's status: of "
    "every withdrawal, and of every return, which is made at once.",
    counted="transactions",
    facts=(
        "transaction_id",
        "type",
        "status",
        "first_step",
        "last_step",
        "steps",
        "first_wrong_status_change_id",
    ),
    rows="""
        SELECT t.id AS transaction_id, t.type, t.status, h.first_step, h.last_step,
               COALESCE(h.steps, 0) AS steps,
               h.first_wrong AS first_wrong_status_change_id,
               CASE WHEN h.steps IS NULL THEN t.type <> 'DEPOSIT'
                    ELSE h.first_wrong IS NOT NULL OR h.last_step <> t.status
                         OR h.first_step <> CASE t.type WHEN 'WITHDRAWAL' THEN 'SCHEDULED'
                                                        WHEN 'RETURN' THEN 'SUCCEEDED'
                                                        ELSE '' END
                    END AS broken
        FROM wallets_transaction t
        LEFT JOIN (
            SELECT transaction_id, count(*) AS steps,
                   max(CASE WHEN previous = '' THEN to_status END) AS first_step,
                   max(CASE WHEN is_last THEN to_status END) AS last_step,
                   min(CASE WHEN from_status <> previous
                              OR from_status || ' -> ' || to_status NOT IN (
                                  ' -> SCHEDULED', ' -> SUCCEEDED',
                                  'SCHEDULED -> SCHEDULED', 'SCHEDULED -> CANCELLED',
                                  'SCHEDULED -> PROCESSING', 'SCHEDULED -> FAILED',
                                  'PROCESSING -> PROCESSING',
                                  'PROCESSING -> SUCCEEDED', 'PROCESSING -> FAILED')
                            THEN id END) AS first_wrong
            FROM (
                SELECT id, transaction_id, from_status, to_status,
                       lag(to_status, 1, '') OVER story AS previous,
                       lead(id) OVER story IS NULL AS is_last
                FROM wallets_statuschange
                WINDOW story AS (PARTITION BY transaction_id ORDER BY id)
            ) stepped
            GROUP BY transaction_id
        ) h ON h.transaction_id = t.id
    """,
)

RETURNS = SqlRule(
    name="returns_fit",
    sentence="Every return credits one withdrawal of its wallet that succeeded, in full and once.",
    counted="returns",
    sums=("amount",),
    facts=(
        "transaction_id",
        "wallet_id",
        "amount",
        "returned_withdrawal_id",
        "withdrawal_status",
        "withdrawal_amount",
        "returns",
    ),
    rows="""
        SELECT r.id AS transaction_id, r.wallet_id, r.amount, r.returned_withdrawal_id,
               w.status AS withdrawal_status, w.amount AS withdrawal_amount,
               count(*) OVER (PARTITION BY r.returned_withdrawal_id) AS returns,
               NOT (r.type = 'RETURN' AND w.type = 'WITHDRAWAL' AND w.status = 'SUCCEEDED'
                    AND w.amount = r.amount AND w.wallet_id = r.wallet_id
                    AND count(*) OVER (PARTITION BY r.returned_withdrawal_id) = 1) AS broken
        FROM wallets_transaction r
        LEFT JOIN wallets_transaction w ON w.id = r.returned_withdrawal_id
        WHERE r.type = 'RETURN' OR r.returned_withdrawal_id IS NOT NULL
    """,
)

CONSERVATION = SqlRule(
    name="conservation",
    sentence="In each currency, wallets + in transit + paid out = deposits + returns, by the "
    "transactions alone.",
    counted="currencies",
    sums=("wallets", "in_transit", "paid_out", "deposits", "returns"),
    currency="currency",
    facts=("currency", "wallets", "in_transit", "paid_out", "deposits", "returns"),
    rows="""
        SELECT currency,
               COALESCE(exact_sum(amount) FILTER (WHERE place = 'wallets'), 0) AS wallets,
               COALESCE(exact_sum(amount) FILTER (WHERE place = 'in_transit'), 0) AS in_transit,
               COALESCE(exact_sum(amount) FILTER (WHERE place = 'paid_out'), 0) AS paid_out,
               COALESCE(exact_sum(amount) FILTER (WHERE place = 'deposits'), 0) AS deposits,
               COALESCE(exact_sum(amount) FILTER (WHERE place = 'returns'), 0) AS returns,
               COALESCE(exact_sum(amount)
                        FILTER (WHERE place NOT IN ('deposits', 'returns')), 0)
               <> COALESCE(exact_sum(amount) FILTER (WHERE place IN ('deposits', 'returns')), 0)
                   AS broken
        FROM (
            SELECT currency, 'wallets' AS place, balance AS amount FROM wallets_wallet
            UNION ALL
            SELECT w.currency,
                   CASE WHEN t.type = 'DEPOSIT' THEN 'deposits'
                        WHEN t.type = 'RETURN' THEN 'returns'
                        WHEN t.status = 'PROCESSING' THEN 'in_transit'
                        ELSE 'paid_out' END,
                   t.amount
            FROM (
                SELECT wallet_id, type, status, exact_sum(amount) AS amount
                FROM wallets_transaction WHERE status IN ('PROCESSING', 'SUCCEEDED')
                GROUP BY wallet_id, type, status
            ) t
            JOIN wallets_wallet w ON w.id = t.wallet_id
        ) placed
        GROUP BY currency
    """,
)

BANK_CALLS = SqlRule(
    name="bank_calls_fit",
    sentence="Every withdrawal that succeeded was called paid by the bank, a person or a "
    "statement, and the bank called no other one paid.",
    counted="withdrawals",
    facts=(
        "transaction_id",
        "status",
        "paid_calls",
        "last_paid_bank_call_id",
        "decided_paid",
        "decided_not_paid",
        "settled_by_statement",
    ),
    params={"paid": Meaning.PAID.value, "statement": STATEMENT_WORKER + "%"},
    rows="""
        SELECT t.id AS transaction_id, t.status, COALESCE(c.calls, 0) AS paid_calls,
               c.last_id AS last_paid_bank_call_id,
               COALESCE(d.paid, 0) AS decided_paid, COALESCE(d.not_paid, 0) AS decided_not_paid,
               COALESCE(s.steps, 0) AS settled_by_statement,
               CASE WHEN t.status = 'SUCCEEDED'
                    THEN COALESCE(d.not_paid, 0) > 0
                         OR COALESCE(c.calls, 0) + COALESCE(d.paid, 0)
                            + COALESCE(s.steps, 0) = 0
                    ELSE c.calls IS NOT NULL OR COALESCE(d.paid, 0) > 0
                         OR (t.status <> 'FAILED' AND COALESCE(d.not_paid, 0) > 0) END AS broken
        FROM wallets_transaction t
        LEFT JOIN (
            SELECT transaction_id, count(*) AS calls, max(id) AS last_id
            FROM wallets_bankcall WHERE verdict = %(paid)s GROUP BY transaction_id
        ) c ON c.transaction_id = t.id
        LEFT JOIN (
            SELECT transaction_id,
                   count(*) FILTER (WHERE verdict = 'paid') AS paid,
                   count(*) FILTER (WHERE verdict = 'not_paid') AS not_paid
            FROM wallets_resolution WHERE step = 'decided' GROUP BY transaction_id
        ) d ON d.transaction_id = t.id
        LEFT JOIN (
            SELECT transaction_id, count(*) AS steps FROM wallets_statuschange
            WHERE to_status = 'SUCCEEDED' AND worker LIKE %(statement)s
            GROUP BY transaction_id
        ) s ON s.transaction_id = t.id
        WHERE t.type = 'WITHDRAWAL'
    """,
)

SQL_RULES = (
    AMOUNTS,
    BELONGING,
    BALANCES,
    CHAIN,
    IN_TRANSIT,
    ENTRIES,
    KEYS,
    HISTORY,
    RETURNS,
    CONSERVATION,
    BANK_CALLS,
)
