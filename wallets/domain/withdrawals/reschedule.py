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
from wallets.domain.receipts import ClientRequest, PlanReceipt
from wallets.domain.wallets import WalletRef, find_wallet
from wallets.domain.withdrawals.finding import Planned, find_withdrawal, lock_planned
from wallets.domain.withdrawals.plan_requests import Operation, answered, earlier_answer
from wallets.models import Status, StatusChange, Transaction


def reschedule(
    *,
    wallet: int | uuid.UUID | WalletRef,
    withdrawal_id: int,
    execute_at: datetime,
    by: str,
    request: ClientRequest | None = None,
    limits: Limits = NO_LIMITS,
) -> PlanReceipt:
    """Let a SCHEDULED withdrawal be executed at ``execute_at`` (aware) instead.

    One that is scheduled for that time already stays as it is. ``by``: as the history will say it.

    Raises ``WalletNotFound``, ``WithdrawalNotFound``, ``IdempotencyKeyReused``,
    ``WithdrawalNotReschedulable``, ``ExecuteAtNotInFuture``, ``DailyLimitExceeded``.
    """
    with transaction.atomic():
        found = find_wallet(wallet)
        planned = lock_planned(found, withdrawal_id)
        earlier = earlier_answer(planned.withdrawal, Operation.RESCHEDULE, request)
        if earlier is not None:
            return earlier
        if planned.row.status != Status.SCHEDULED:
            raise WithdrawalNotReschedulable(status=planned.row.status)
        if planned.withdrawal.execute_at != execute_at:
            _check(planned, execute_at, wallet=wallet, limits=limits)
            _move(planned.withdrawal, execute_at, by=by, now=planned.now)
        now_is = find_withdrawal(found, withdrawal_id)
        return answered(now_is, Operation.RESCHEDULE, request, planned)


def _check(
    planned: Planned, execute_at: datetime, *, wallet: int | uuid.UUID | WalletRef, limits: Limits
) -> None:
    if execute_at <= planned.now:
        raise ExecuteAtNotInFuture(database_time=planned.now)
    if limits.withdrawals_a_day is not None:
        row = planned.withdrawal
        check_withdrawal(
            # What is planned already must not change until this is planned too.
            wallet=find_wallet(wallet, lock=True),
            amount=row.amount,
            execute_at=execute_at,
            # Its amount was checked when it was scheduled.
            limits=replace(limits, withdrawal=None),
            moved=row.pk,
        )


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
