"""Any database: the same effects, row by row, for SQLite."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

from django.db.models import F

from wallets.domain.statements.rows import (
    BalanceRow,
    CallRow,
    ChangeRow,
    DepositedRow,
    DepositRow,
    EntryRow,
    StateRow,
)
from wallets.models import BankCall, LedgerEntry, StatusChange, Transaction, Wallet


def deposit(row: DepositRow) -> DepositedRow | None:
    """No whole deposit in one statement here: always ``None``."""
    return None


def post(balances: Sequence[BalanceRow], entries: Sequence[EntryRow], now: datetime) -> int:
    """Move the balances and write the entries; return how many balances moved as expected."""
    moved = sum(
        Wallet.objects.filter(pk=row.wallet_id, balance=row.before, balance__gte=-row.delta).update(
            balance=F("balance") + row.delta, updated_at=now
        )
        for row in balances
    )
    LedgerEntry.objects.bulk_create(
        LedgerEntry(**asdict(entry), created_at=now) for entry in entries
    )
    return moved


def set_states(states: Sequence[StateRow], history: Sequence[ChangeRow], now: datetime) -> int:
    """Change the rows and write their history; return how many were in their expected state."""
    changed = 0
    for row in states:
        values = asdict(row)
        expected = Transaction.objects.filter(
            pk=values.pop("id"),
            status=values.pop("expected_status"),
            epoch=values.pop("expected_epoch"),
        )
        changed += expected.update(**values, updated_at=now)
    StatusChange.objects.bulk_create(
        StatusChange(**asdict(change), created_at=now) for change in history
    )
    return changed


def record_calls(calls: Sequence[CallRow]) -> None:
    BankCall.objects.bulk_create(BankCall(**asdict(call)) for call in calls)
