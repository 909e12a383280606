"""How to reach the bank and how long to try, checked once."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from wallets.domain.outcomes import Idempotency

KEY_PLACEHOLDER = "{idempotency_key}"


@dataclass(frozen=True, slots=True)
class BankConfig:
    """Times in seconds. An empty ``inquiry_path`` means the bank cannot be asked about a key.

    Raises ``ImproperlyConfigured`` for what could not be used.
    """

    base_url: str
    inquiry_path: str = f"/transfers/{KEY_PLACEHOLDER}"
    # One whole try: connecting, sending, waiting, reading.
    timeout: float = 3.0
    # Further tries after the first.
    retry_count: int = 2
    idempotency: Idempotency = Idempotency.FULL
    not_found_grace: float = 60.0
    max_answer_bytes: int = 65_536
    backoff_base: float = 0.1
    # Longest pause between two tries of one call, also when the bank asks for more.
    backoff_cap: float = 2.0
    # Longest pause that is passed on to the caller.
    retry_after_cap: float = 60.0

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            # A port that is no number, brackets without an address in them.
            usable = False
        if not usable:
            raise ImproperlyConfigured("BANK_BASE_URL must be an http:// or https:// address.")
        if parts.query or parts.fragment:
            raise ImproperlyConfigured("BANK_BASE_URL must not have a query or a fragment.")
        if self.inquiry_path and not (
            self.inquiry_path.startswith("/") and KEY_PLACEHOLDER in self.inquiry_path
        ):
            raise ImproperlyConfigured(
                f"BANK_INQUIRY_PATH must be empty or a path that contains {KEY_PLACEHOLDER}."
            )
        if not self.timeout > 0:
            raise ImproperlyConfigured("BANK_TIMEOUT must be above 0.")
        if self.retry_count < 0:
            raise ImproperlyConfigured("BANK_RETRY_COUNT must be 0 or more.")

    @property
    def inquiry_configured(self) -> bool:
        return bool(self.inquiry_path)


def bank_config() -> BankConfig:
    """The bank as the settings describe it."""
    return BankConfig(
        base_url=settings.BANK_BASE_URL,
        inquiry_path=settings.BANK_INQUIRY_PATH,
        timeout=settings.BANK_TIMEOUT,
        retry_count=settings.BANK_RETRY_COUNT,
        idempotency=Idempotency(settings.BANK_IDEMPOTENCY),
        not_found_grace=settings.BANK_NOT_FOUND_GRACE_SECONDS,
        backoff_base=settings.BANK_BACKOFF_BASE_SECONDS,
        backoff_cap=settings.BANK_BACKOFF_CAP_SECONDS,
        retry_after_cap=settings.BANK_RETRY_AFTER_CAP_SECONDS,
    )


def worst_case_call_seconds(config: BankConfig) -> float:
    """The longest an ordinary ``BankGateway.transfer`` takes: every try to its deadline.

    A longer pause that the bank asks for is not counted: after it ``may_send`` is asked, which says
    no once the lease would not cover another try. Time the machine does not give the thread comes
    on top; the lease needs its own margin for it.
    """
    pauses = (
        min(config.backoff_cap, config.backoff_base * 2.0**failed)
        for failed in range(config.retry_count)
    )
    return (config.retry_count + 1) * config.timeout + sum(pauses)
