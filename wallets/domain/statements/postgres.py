"""PostgreSQL: one round trip for a whole batch. The order of rows is the order of their ids."""

import json
import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from django.db import connection

from wallets.domain.statements.arrays import RowArrays, array
from wallets.domain.statements.prepared import Prepared
from wallets.domain.statements.rows import (
    ApiKeyRow,
    BalanceRow,
    Batch,
    CallRow,
    ChangeRow,
    DepositedRow,
    DepositKey,
    DepositRow,
    EarlierDeposit,
    EntryRow,
    Horizon,
    LockedResults,
    LockedWallet,
    LockedWork,
    NewDeposit,
    OpenWallet,
    StateRow,
)
from wallets.domain.withdrawals.rows import COLUMNS as _NAMES, Row
from wallets.models import Status
from wallets.models.clock import database_now

_WIDTH = len(_NAMES)
_STATUS = _NAMES.index("status")
COLUMNS = ", ".join(_NAMES)

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
          AND w.balance <= $7 - $2
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
_DEPOSIT_TYPES = ("bigint", "text", "text", "text", "bigint", "bigint")
_DEPOSIT_BY_ID = Prepared(types=("bigint", *_DEPOSIT_TYPES), sql=_DEPOSIT.format(ref="id"))
_DEPOSIT_BY_UUID = Prepared(types=("uuid", *_DEPOSIT_TYPES), sql=_DEPOSIT.format(ref="uuid"))

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
    made = statement.fetchall(
        row.wallet,
        row.amount,
        row.currency,
        row.request_key,
        row.request_fingerprint,
        row.tenant_id,
        row.highest_balance,
    )
    return DepositedRow(*made[0]) if made else None


def write(batch: Batch, now: datetime) -> tuple[int, int]:
    """Write all of it; return how many balances moved, and how many states changed, as expected."""
    values = [
        column for name, arrays in _BATCH.items() for column in arrays.values(getattr(batch, name))
    ]
    [(moved, changed)] = _WRITE_BATCH.fetchall(now, *values)
    return int(moved), int(changed)


# ``ARRAY(...)`` makes the locks come in their order, all withdrawals before any wallet, and keeps
# the planner from joining with the whole table of wallets. A locked row is read as it is once it is
# locked, whatever the statement's snapshot says, and the clock after all of them.
_LOCK_RESULTS = Prepared(
    types=("bigint[]", "bigint[]"),
    sql=f"""
    WITH withdrawals AS (
        SELECT {COLUMNS} FROM wallets_transaction WHERE id = ANY($1)
        ORDER BY id FOR NO KEY UPDATE
    ), wallets AS (
        SELECT id, uuid, currency, balance FROM wallets_wallet
        WHERE id = ANY(ARRAY(
            SELECT wallet_id FROM withdrawals WHERE id = ANY($2) AND status = 'PROCESSING'))
        ORDER BY id FOR NO KEY UPDATE
    )
    SELECT withdrawals.*, clock_timestamp(), wallets.*
    FROM withdrawals LEFT JOIN wallets ON wallets.id = wallet_id
    ORDER BY withdrawals.id
    """,  # noqa: S608 - names of columns
)

# Not prepared: with the limits known the planner never mistakes the queue for the whole table.
_LOCK_WORK = f"""
    WITH lapsed AS (
        SELECT {COLUMNS}, lease_expires_at AS turn FROM wallets_transaction
        WHERE status = 'PROCESSING' AND lease_expires_at <= %(now)s
          AND lease_expires_at >= %(lapsed_since)s::timestamptz
        ORDER BY lease_expires_at, id LIMIT %(most_lapsed)s FOR NO KEY UPDATE SKIP LOCKED
    ), due AS (
        SELECT {COLUMNS}, execute_at AS turn FROM wallets_transaction
        WHERE status = 'SCHEDULED' AND execute_at <= %(now)s
          AND execute_at >= %(due_since)s::timestamptz
        ORDER BY execute_at, id
        LIMIT %(most)s - least((SELECT count(*) FROM lapsed), %(share)s)
        FOR NO KEY UPDATE SKIP LOCKED
    ), wallets AS (
        SELECT id, uuid, currency, balance FROM wallets_wallet
        WHERE id = ANY(ARRAY(SELECT wallet_id FROM due))
        ORDER BY id FOR NO KEY UPDATE
    )
    SELECT work.*, wallets.*, clock_timestamp()
    FROM (SELECT * FROM lapsed UNION ALL SELECT * FROM due) AS work
    LEFT JOIN wallets ON wallets.id = work.wallet_id
    ORDER BY work.turn, work.id
"""  # noqa: S608


def lock_results(ids: Collection[int], moving: Collection[int]) -> LockedResults:
    """Lock these withdrawals, and the wallets of those in ``moving`` that are being processed."""
    found = _LOCK_RESULTS.fetchall(array(list(ids)), array(list(moving)))
    return LockedResults(
        rows=[Row(*values[:_WIDTH]) for values in found],
        wallets=_wallets(found),
        now=found[-1][_WIDTH] if found else database_now(),
    )


def lock_work(
    *, now: datetime, most: int, most_lapsed: int, share: int, since: Horizon
) -> LockedWork:
    """Lock lapsed and due withdrawals that nobody else has locked, and the wallets of the due.

    Of ``most`` rows, as many as there are lapsed, but not more than ``share``, are kept from the
    due ones; up to ``most_lapsed`` lapsed ones are locked, for what the due ones leave.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            _LOCK_WORK,
            {
                "now": now,
                "most": most,
                "most_lapsed": most_lapsed,
                "share": share,
                "lapsed_since": since.lapsed or "-infinity",
                "due_since": since.due or "-infinity",
            },
        )
        found = cursor.fetchall()
    lapsed = [values for values in found if values[_STATUS] == Status.PROCESSING]
    due = [values for values in found if values[_STATUS] == Status.SCHEDULED]
    most_due = most - min(len(lapsed), share)
    return LockedWork(
        lapsed=[Row(*values[:_WIDTH]) for values in lapsed],
        due=[Row(*values[:_WIDTH]) for values in due],
        wallets=_wallets(found),
        now=found[-1][-1] if found else now,
        seen=Horizon(
            lapsed=_seen(lapsed, most_lapsed, now) if most_lapsed else since.lapsed,
            due=_seen(due, most_due, now) if most_due else since.due,
        ),
    )


def _seen(found: Sequence[tuple[Any, ...]], most: int, now: datetime) -> datetime:
    """Up to the last one's turn, or up to now when there were fewer than would have been taken."""
    last: datetime = found[-1][_WIDTH] if len(found) == most else now
    return last


def _wallets(found: Sequence[tuple[Any, ...]]) -> dict[int, LockedWallet]:
    """The wallets, which follow a withdrawal and one more column where it has one."""
    first, end = _WIDTH + 1, _WIDTH + 1 + len(LockedWallet.__slots__)
    wallets = (LockedWallet(*values[first:end]) for values in found if values[first])
    return {wallet.id: wallet for wallet in wallets}


_LOCK_OPEN_WALLETS = Prepared(
    types=("bigint[]", "uuid[]", "bigint"),
    sql="""
    WITH locked AS (
        SELECT id, uuid, currency, balance, created_at, tenant_id FROM wallets_wallet
        WHERE (id = ANY($1) OR uuid = ANY($2)) AND ($3 IS NULL OR tenant_id = $3)
        ORDER BY id FOR NO KEY UPDATE
    )
    SELECT locked.*, clock_timestamp() FROM locked
    """,
)
_KEYS, _NEW_DEPOSITS = RowArrays(DepositKey), RowArrays(NewDeposit)
_EARLIER_DEPOSITS = Prepared(
    types=_KEYS.types,
    sql=f"""
    SELECT x.wallet_id, x.request_key, t.id, t.amount, t.request_fingerprint, t.created_at,
           e.balance_after
    FROM {_KEYS.table(1)}
    JOIN wallets_transaction t ON t.wallet_id = x.wallet_id AND t.type = 'DEPOSIT'
        AND t.request_key = x.request_key
    JOIN wallets_ledgerentry e ON e.transaction_id = t.id
    """,  # noqa: S608 - names of columns
)
_INSERT_DEPOSITS = Prepared(
    types=("timestamptz", *_NEW_DEPOSITS.types),
    sql=f"""
    INSERT INTO wallets_transaction
        (wallet_id, type, status, amount, request_key, request_fingerprint, epoch, maybe_sent,
         created_at, updated_at)
    SELECT wallet_id, 'DEPOSIT', 'SUCCEEDED', amount, request_key, request_fingerprint, 0, false,
           $1, $1
    FROM {_NEW_DEPOSITS.table(2)} ORDER BY nth
    RETURNING id
    """,  # noqa: S608
)


def lock_open_wallets(
    *, ids: Sequence[int], uuids: Sequence[uuid.UUID], tenant_id: int | None = None
) -> tuple[list[OpenWallet], datetime]:
    """Lock the wallets, only those of this account if it is given, in id order; return them and
    the time after it."""
    found = _LOCK_OPEN_WALLETS.fetchall(array(ids), array(uuids), tenant_id)
    wallets = [OpenWallet(*values[:-1]) for values in found]
    return wallets, found[-1][-1] if found else database_now()


def earlier_deposits(keys: Sequence[DepositKey]) -> list[EarlierDeposit]:
    return [
        EarlierDeposit(DepositKey(*values[:2]), *values[2:])
        for values in _EARLIER_DEPOSITS.fetchall(*_KEYS.values(keys))
    ]


def insert_deposits(rows: Sequence[NewDeposit], now: datetime) -> list[int]:
    """Insert the deposits and return their ids, both in the order of the rows."""
    found = _INSERT_DEPOSITS.fetchall(now, *_NEW_DEPOSITS.values(rows))
    return sorted(values[0] for values in found)


_FIND_API_KEY = Prepared(
    types=("text",),
    sql="""
    SELECT id, tenant_id, scopes::text, digest, expires_at, revoked_at, last_used_at,
           statement_timestamp()
    FROM wallets_apikey WHERE prefix = $1
    """,
)


def find_api_key(prefix: str) -> ApiKeyRow | None:
    found = _FIND_API_KEY.fetchall(prefix)
    if not found:
        return None
    [(pk, tenant_id, scopes, *rest)] = found
    return ApiKeyRow(pk, tenant_id, json.loads(scopes), *rest)


# Halves the ids below ``$2``, of an entry that is too late, until the last one in time is found. As
# everywhere, the wallet is named among several so that its index is used.
_LAST_ENTRY_IN_TIME = """
    WITH RECURSIVE halving (low, high, found) AS (
        SELECT 0::bigint, $2, NULL::bigint
        UNION ALL
        SELECT CASE WHEN e.created_at {late} $3 THEN low ELSE middle END,
               CASE WHEN e.created_at {late} $3 THEN e.id ELSE high END,
               CASE WHEN e.created_at {late} $3 THEN found ELSE coalesce(e.id, found) END
        FROM (SELECT low, high, found, (low + high) / 2 AS middle FROM halving
              WHERE high - low > 1) AS h
        LEFT JOIN LATERAL (
            SELECT id, created_at FROM wallets_ledgerentry
            WHERE wallet_id IN (-1, $1) AND id > low AND id <= middle
              AND 'WALLET' IN (debit_account, credit_account)
            ORDER BY wallet_id DESC, id DESC LIMIT 1
        ) AS e ON true
    )
    SELECT max(found) FROM halving
"""
_TYPES = ("bigint", "bigint", "timestamptz")
_LAST_ENTRY_UNTIL = Prepared(types=_TYPES, sql=_LAST_ENTRY_IN_TIME.format(late=">"))
_LAST_ENTRY_BEFORE = Prepared(types=_TYPES, sql=_LAST_ENTRY_IN_TIME.format(late=">="))


def last_entry_in_time(
    *, wallet_id: int, too_late: int, moment: datetime, inclusive: bool
) -> int | None:
    """The id of the wallet's last change of balance that was made by ``moment``, or before it if
    not ``inclusive``. ``too_late``: the id of one that was not."""
    statement = _LAST_ENTRY_UNTIL if inclusive else _LAST_ENTRY_BEFORE
    [(found,)] = statement.fetchall(wallet_id, too_late, moment)
    return None if found is None else int(found)
