"""Any database: the same effects, row by row, for SQLite."""

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from wallets.domain.statements.rows import (
    ApiKeyRow,
    BalanceRow,
    Batch,
    DepositedRow,
    DepositKey,
    DepositRow,
    EarlierDeposit,
    Horizon,
    LockedResults,
    LockedWallet,
    LockedWork,
    NewDeposit,
    OpenWallet,
    StateRow,
)
from wallets.domain.withdrawals.rows import Row, read
from wallets.models import (
    Account,
    ApiKey,
    BankCall,
    LedgerEntry,
    Status,
    StatusChange,
    Transaction,
    Type,
    Wallet,
)
from wallets.models.clock import database_now


def deposit(row: DepositRow) -> DepositedRow | None:
    """No whole deposit in one statement here: always ``None``."""
    return None


def write(batch: Batch, now: datetime) -> tuple[int, int]:
    """Write all of it; return how many balances moved, and how many states changed, as expected."""
    moved = sum(_move(row, now) for row in batch.balances)
    changed = sum(_change(row, now) for row in batch.states)
    LedgerEntry.objects.bulk_create(
        LedgerEntry(**asdict(entry), created_at=now) for entry in batch.entries
    )
    StatusChange.objects.bulk_create(
        StatusChange(**asdict(change), created_at=now) for change in batch.history
    )
    BankCall.objects.bulk_create(BankCall(**asdict(call)) for call in batch.calls)
    return moved, changed


def _move(row: BalanceRow, now: datetime) -> int:
    expected = Wallet.objects.filter(pk=row.wallet_id, balance=row.before, balance__gte=-row.delta)
    return expected.update(balance=F("balance") + row.delta, updated_at=now)


def _change(row: StateRow, now: datetime) -> int:
    values = asdict(row)
    expected = Transaction.objects.filter(
        pk=values.pop("id"),
        status=values.pop("expected_status"),
        epoch=values.pop("expected_epoch"),
    )
    return expected.update(**values, updated_at=now)


def lock_results(ids: Collection[int], moving: Collection[int]) -> LockedResults:
    """Lock these withdrawals, and the wallets of those in ``moving`` that are being processed."""
    withdrawals = Transaction.objects.filter(pk__in=ids).order_by("pk")
    rows = read(withdrawals.select_for_update(no_key=True))
    wallets = lock_wallets(
        row.wallet_id for row in rows if row.id in moving and row.status == Status.PROCESSING
    )
    return LockedResults(rows=rows, wallets=wallets, now=database_now())


def lock_work(
    *, now: datetime, most: int, most_lapsed: int, share: int, since: Horizon
) -> LockedWork:
    """Lock lapsed and due withdrawals that nobody else has locked, and the wallets of the due.

    Of ``most`` rows, as many as there are lapsed, but not more than ``share``, are kept from the
    due ones; up to ``most_lapsed`` lapsed ones are locked, for what the due ones leave.
    """
    # Always from the beginning: SQLite keeps no finished rows in its indexes.
    lapsed = lock_lapsed(most_lapsed, now)
    due = lock_due(most - min(len(lapsed), share), now)
    wallets = lock_wallets(row.wallet_id for row in due)
    return LockedWork(lapsed, due, wallets, database_now())


def lock_lapsed(most: int, now: datetime, only: Q | None = None) -> list[Row]:
    if not most:
        return []
    rows = Transaction.objects.filter(
        only or Q(), status=Status.PROCESSING, lease_expires_at__lte=now
    )
    return read(_unlocked(rows).order_by("lease_expires_at", "id")[:most])


def lock_due(most: int, now: datetime) -> list[Row]:
    rows = Transaction.objects.filter(status=Status.SCHEDULED, execute_at__lte=now)
    return read(_unlocked(rows).order_by("execute_at", "id")[:most]) if most else []


def _unlocked(rows: QuerySet[Transaction]) -> QuerySet[Transaction]:
    # ``of``: were a wallet ever joined here, a deposit in flight would hide the queue's head.
    return rows.select_for_update(skip_locked=True, of=("self",), no_key=True)


def lock_wallets(ids: Iterable[int]) -> dict[int, LockedWallet]:
    """``no_key``: a plain FOR UPDATE would also block every insert that refers to the wallet."""
    wanted = set(ids)
    if not wanted:
        return {}
    wallets = Wallet.objects.select_for_update(no_key=True).filter(pk__in=wanted).order_by("pk")
    rows = wallets.values_list("pk", "uuid", "currency", "balance")
    return {row[0]: LockedWallet(*row) for row in rows}


def lock_open_wallets(
    *, ids: Sequence[int], uuids: Sequence[uuid.UUID], tenant_id: int | None = None
) -> tuple[list[OpenWallet], datetime]:
    """Lock the wallets, only those of this account if it is given, in id order; return them and
    the time after it."""
    wallets = Wallet.objects.filter(Q(pk__in=ids) | Q(uuid__in=uuids)).order_by("pk")
    if tenant_id is not None:
        wallets = wallets.filter(tenant_id=tenant_id)
    rows = wallets.select_for_update(no_key=True).values_list(
        "pk", "uuid", "currency", "balance", "created_at", "tenant_id"
    )
    return [OpenWallet(*row) for row in rows], database_now()


def earlier_deposits(keys: Sequence[DepositKey]) -> list[EarlierDeposit]:
    candidates = LedgerEntry.objects.filter(
        transaction__wallet_id__in={key.wallet_id for key in keys},
        transaction__type=Type.DEPOSIT,
        transaction__request_key__in={key.request_key for key in keys},
    ).select_related("transaction")
    wanted = set(keys)
    found = []
    for entry in candidates:
        row = entry.transaction
        key = DepositKey(row.wallet_id, row.request_key or "")
        if key in wanted:
            found.append(
                EarlierDeposit(
                    key,
                    transaction_id=row.pk,
                    amount=row.amount,
                    fingerprint=row.request_fingerprint or "",
                    created_at=row.created_at,
                    balance_after=entry.balance_after,
                )
            )
    return found


def insert_deposits(rows: Sequence[NewDeposit], now: datetime) -> list[int]:
    """Insert the deposits and return their ids, both in the order of the rows."""
    made = Transaction.objects.bulk_create(
        Transaction(
            **asdict(row),
            type=Type.DEPOSIT,
            status=Status.SUCCEEDED,
            created_at=now,
            updated_at=now,
        )
        for row in rows
    )
    return [row.pk for row in made]


def find_api_key(prefix: str) -> ApiKeyRow | None:
    found = ApiKey.objects.filter(prefix=prefix).values_list(
        "pk", "tenant_id", "scopes", "digest", "expires_at", "revoked_at", "last_used_at", Now()
    )
    return next((ApiKeyRow(*values) for values in found), None)


def last_entry_in_time(
    *, wallet_id: int, too_late: int, moment: datetime, inclusive: bool
) -> int | None:
    """The id of the wallet's last change of balance that was made by ``moment``, or before it if
    not ``inclusive``. ``too_late``: the id of one that was not."""
    moving = Q(debit_account=Account.WALLET) | Q(credit_account=Account.WALLET)
    changes = LedgerEntry.objects.filter(moving, wallet_id=wallet_id).order_by("-id")
    found: int | None = None
    # The ids up to ``low`` are in time, those from ``high`` on are not.
    low, high = 0, too_late
    while high - low > 1:
        middle = (low + high) // 2
        entry = changes.filter(id__gt=low, id__lte=middle).first()
        if entry is None:
            low = middle
        elif entry.created_at < moment or (inclusive and entry.created_at == moment):
            found, low = entry.pk, middle
        else:
            high = entry.pk
    return found
