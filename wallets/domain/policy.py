"""The rules a payout follows, as one value that the caller builds from the settings."""

from dataclasses import dataclass
from datetime import timedelta

from wallets.domain.outcomes import Idempotency


@dataclass(frozen=True, slots=True)
class PayoutPolicy:
    lease: timedelta
    idempotency: Idempotency
    inquiry_configured: bool
    key_retention: timedelta
    # Shortest and longest pause before an unsettled withdrawal is asked about again.
    ask_min: timedelta
    ask_max: timedelta
    max_rps: float  # 0: no limit
    breaker_failures: int
    breaker_cooldown: timedelta
    throttle_cap: timedelta
