"""The limits of wallets, from the settings."""

from django.conf import settings

from wallets.domain.limits import Limits


def wallet_limits() -> Limits:
    return Limits(
        balance=settings.WALLET_MAX_BALANCE or None,
        withdrawal=settings.WITHDRAWAL_MAX_AMOUNT or None,
        withdrawals_a_day=settings.WITHDRAWAL_MAX_PER_DAY or None,
    )
