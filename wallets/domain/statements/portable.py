"""Any database: the same effects, row by row, for SQLite."""

from dataclasses import asdict
from datetime import datetime

from django.db.models import F

from wallets.domain.statements.rows import (
    BalanceRow,
    Batch,
    DepositedRow,
    DepositRow,
    StateRow,
)
from wallets.models import BankCall, LedgerEntry, StatusChange, Transaction, Wallet


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
