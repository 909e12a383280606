"""Build the payout policy from the settings."""

from datetime import timedelta

from django.conf import settings

from wallets.domain.outcomes import Idempotency
from wallets.domain.policy import PayoutPolicy


def payout_policy() -> PayoutPolicy:
    return PayoutPolicy(
        lease=timedelta(seconds=settings.WITHDRAWAL_PROCESSING_STALE_SECONDS),
        idempotency=Idempotency(settings.BANK_IDEMPOTENCY),
        inquiry_configured=bool(settings.BANK_INQUIRY_PATH),
        key_retention=timedelta(seconds=settings.BANK_KEY_RETENTION_SECONDS),
        ask_min=timedelta(seconds=settings.BANK_INQUIRY_MIN_SECONDS),
        ask_max=timedelta(seconds=settings.BANK_INQUIRY_MAX_SECONDS),
        max_rps=settings.BANK_MAX_RPS,
        breaker_failures=settings.BANK_BREAKER_FAILURES,
        breaker_cooldown=timedelta(seconds=settings.BANK_BREAKER_COOLDOWN_SECONDS),
        throttle_cap=timedelta(seconds=settings.BANK_RETRY_AFTER_CAP_SECONDS),
    )
