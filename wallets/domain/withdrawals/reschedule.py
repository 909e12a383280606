"""Move withdrawals that nobody has taken up yet to another time."""

import uuid
from dataclasses import replace
from datetime import datetime

from django.db import transaction

from wallets.domain.errors import (
    ExecuteAtNotInFuture,
    LedgerIntegrityError,
    WithdrawalNotReschedulable,
)
from wallets.domain.limits import NO_LIMITS, Limits, check_withdrawal
from wallets.domain.receipts import TransactionState
from wallets.domain.wallets import WalletRef, find_wallet
from wallets.domain.withdrawals.finding import find_withdrawal, lock_planned
from wallets.models import Status, StatusChange, Transaction


def reschedule(
    *,
    wallet: int | uuid.UUID | WalletRef,
    withdrawal_id: int,
    execute_at: datetime,
    by: str,
    limits: Limits = NO_LIMITS,
) -> TransactionState:
    """Let a SCHEDULED withdrawal be executed at ``execute_at`` (aware) instead.

    One that is scheduled for that time already stays as it is. ``by``: as the history will say it.

    Raises ``WalletNotFound``, ``WithdrawalNotFound``, ``WithdrawalNotReschedulable``,
    ``ExecuteAtNotInFuture``, ``DailyLimitExceeded``.
    """
    with transaction.atomic():
        found = find_wallet(wallet)
        planned = lock_planned(found, withdrawal_id)
        row = planned.withdrawal
        if row.status != Status.SCHEDULED:
            raise WithdrawalNotReschedulable(status=row.status)
        if row.execute_at == execute_at:
            return TransactionState.of(row)
        if execute_at <= planned.now:
            raise ExecuteAtNotInFuture(database_time=planned.now)
        if limits.withdrawals_a_day is not None:
            found = find_wallet(wallet, lock=True)
            daily = replace(limits, withdrawal=None)
            check_withdrawal(
                wallet=found, amount=row.amount, execute_at=execute_at, limits=daily, moved=row.pk
            )
        _move(row, execute_at, by=by, now=planned.now)
        return TransactionState.of(find_withdrawal(found, withdrawal_id))


def _move(row: Transaction, execute_at: datetime, *, by: str, now: datetime) -> None:
    still = Transaction.objects.filter(
        pk=row.pk, status=Status.SCHEDULED, execute_at=row.execute_at
    )
    if still.update(execute_at=execute_at, updated_at=now) != 1:
        raise LedgerIntegrityError(f"withdrawal {row.pk} was to move, and did not")
    before = row.execute_at.isoformat() if row.execute_at else ""
    StatusChange.objects.create(
        transaction=row,
        from_status=Status.SCHEDULED,
        to_status=Status.SCHEDULED,
        reason=f"rescheduled: from {before} to {execute_at.isoformat()}",
        worker=by,
        created_at=now,
    )
