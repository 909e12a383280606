"""What the domain refuses, one class a reason; the API maps ``code`` to a status and texts."""

from typing import Any, ClassVar


class DomainError(Exception):
    """A refusal that changed nothing."""

    code: ClassVar[str]

    def __init__(self, **details: Any) -> None:
        super().__init__((self.__doc__ or "").strip())
        self.details = details


class WalletNotFound(DomainError):
    """There is no such wallet."""

    code = "wallet_not_found"


class WithdrawalNotFound(DomainError):
    """The wallet has no such withdrawal."""

    code = "withdrawal_not_found"


class WithdrawalNotCancellable(DomainError):
    """The withdrawal is not SCHEDULED any more."""

    code = "withdrawal_not_cancellable"


class WithdrawalNotReschedulable(DomainError):
    """The withdrawal is not SCHEDULED any more."""

    code = "withdrawal_not_reschedulable"


class CurrencyMismatch(DomainError):
    """The currency sent with the amount is not the wallet's."""

    code = "currency_mismatch"


class BalanceOverflow(DomainError):
    """The deposit would take the balance past what can be stored."""

    code = "balance_overflow"


class BalanceLimitExceeded(DomainError):
    """The deposit would take the balance past the wallet's limit."""

    code = "balance_limit_exceeded"


class WithdrawalLimitExceeded(DomainError):
    """The withdrawal is larger than one may be."""

    code = "withdrawal_limit_exceeded"


class DailyLimitExceeded(DomainError):
    """The wallet's withdrawals of that day would be more than they may be together."""

    code = "daily_limit_exceeded"


class ExecuteAtNotInFuture(DomainError):
    """A withdrawal is scheduled for a time that has not come yet."""

    code = "execute_at_not_in_future"


class MomentInFuture(DomainError):
    """What will be at a moment that has not come yet cannot be told."""

    code = "moment_in_future"


class PeriodReversed(DomainError):
    """The period ends before it begins."""

    code = "period_reversed"


class IdempotencyKeyReused(DomainError):
    """The Idempotency-Key was used before with a different request."""

    code = "idempotency_key_reused"


class RequestInProgress(DomainError):
    """A request with this Idempotency-Key is still running."""

    code = "request_in_progress"


class LedgerIntegrityError(Exception):
    """The books contradict what the code is about to do; nothing may be written."""
