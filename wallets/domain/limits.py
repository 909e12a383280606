"""What a wallet may hold and pay out. Nothing is limited unless somebody says so."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Sum

from wallets.domain.errors import (
    BalanceLimitExceeded,
    DailyLimitExceeded,
    WithdrawalLimitExceeded,
)
from wallets.models import MAX_BALANCE, Status, Transaction, Type, Wallet


@dataclass(frozen=True, slots=True)
class Limits:
    """In minor units; ``None``: no limit."""

    balance: int | None = None
    withdrawal: int | None = None
    # All withdrawals of a wallet that are due on one day, in UTC, but those that failed.
    withdrawals_a_day: int | None = None

    @property
    def highest_balance(self) -> int:
        return MAX_BALANCE if self.balance is None else min(self.balance, MAX_BALANCE)


NO_LIMITS = Limits()
_COUNTED = (Status.SCHEDULED, Status.PROCESSING, Status.SUCCEEDED)


def check_deposit(*, wallet: Wallet, amount: int, limits: Limits) -> None:
    """Raises ``BalanceLimitExceeded``."""
    if limits.balance is not None and wallet.balance + amount > limits.balance:
        raise BalanceLimitExceeded(limit=limits.balance, balance=wallet.balance)


def check_withdrawal(
    *,
    wallet: Wallet,
    amount: int,
    execute_at: datetime,
    limits: Limits,
    moved: int | None = None,
) -> None:
    """The caller holds the wallet's lock if there is a limit a day.

    ``moved``: the withdrawal, if it is there already and is to be at another time.

    Raises ``WithdrawalLimitExceeded``, ``DailyLimitExceeded``.
    """
    if limits.withdrawal is not None and amount > limits.withdrawal:
        raise WithdrawalLimitExceeded(limit=limits.withdrawal)
    if limits.withdrawals_a_day is None:
        return
    day = execute_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    others = Transaction.objects.filter(
        wallet=wallet,
        type=Type.WITHDRAWAL,
        status__in=_COUNTED,
        execute_at__gte=day,
        execute_at__lt=day + timedelta(days=1),
    )
    if moved is not None:
        others = others.exclude(pk=moved)
    planned = others.aggregate(sum=Sum("amount"))["sum"] or 0
    if planned + amount > limits.withdrawals_a_day:
        raise DailyLimitExceeded(limit=limits.withdrawals_a_day, planned=int(planned))
