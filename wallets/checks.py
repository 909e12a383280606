"""Combinations of settings that no single reader can refuse."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured

from wallets.api.currencies import CURRENCIES
from wallets.integrations.config import bank_config, worst_case_call_seconds

# Seconds for claiming, settling and the clock's grain on top of the longest call.
_LEASE_MARGIN = 0.2


@register()
def check_bank(**_: Any) -> list[CheckMessage]:
    """A lease that ends during an ordinary slow call would have every such call taken over."""
    try:
        config = bank_config()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="wallets.E001")]
    lease = settings.WITHDRAWAL_PROCESSING_STALE_SECONDS
    longest = worst_case_call_seconds(config) + _LEASE_MARGIN
    if lease > longest:
        return []
    return [
        Error(
            f"WITHDRAWAL_PROCESSING_STALE_SECONDS={lease:g} is shorter than the longest bank call, "
            f"{longest:g} seconds with BANK_TIMEOUT={settings.BANK_TIMEOUT:g} and "
            f"BANK_RETRY_COUNT={settings.BANK_RETRY_COUNT}.",
            hint="Raise WITHDRAWAL_PROCESSING_STALE_SECONDS or lower the others.",
            id="wallets.E002",
        )
    ]


@register()
def check_keys_outlive_leases(**_: Any) -> list[CheckMessage]:
    """Where not even a first send fits, withdrawals would be held and handed back for ever."""
    kept, lease = settings.BANK_KEY_RETENTION_SECONDS, settings.WITHDRAWAL_PROCESSING_STALE_SECONDS
    if kept > lease:
        return []
    return [
        Error(
            f"BANK_KEY_RETENTION_SECONDS={kept:g} is not longer than "
            f"WITHDRAWAL_PROCESSING_STALE_SECONDS={lease:g}: nothing could be sent again.",
            hint="If the bank remembers no keys, set BANK_IDEMPOTENCY=none and leave the time.",
            id="wallets.E006",
        )
    ]


@register(deploy=True)
def check_not_found_grace(**_: Any) -> list[CheckMessage]:
    """The shorter it is, the likelier the bank pays what we have given back."""
    grace, timeout = settings.BANK_NOT_FOUND_GRACE_SECONDS, settings.BANK_TIMEOUT
    if not settings.BANK_INQUIRY_PATH or grace >= timeout:
        return []
    return [
        Warning(
            f"BANK_NOT_FOUND_GRACE_SECONDS={grace:g} is shorter than BANK_TIMEOUT={timeout:g}: "
            "a request that is still under way would be refunded, and then paid.",
            id="wallets.W002",
        )
    ]


@register()
def check_inquiry_pauses(**_: Any) -> list[CheckMessage]:
    least, most = settings.BANK_INQUIRY_MIN_SECONDS, settings.BANK_INQUIRY_MAX_SECONDS
    if least <= most:
        return []
    return [
        Error(
            f"BANK_INQUIRY_MIN_SECONDS={least:g} is more than BANK_INQUIRY_MAX_SECONDS={most:g}.",
            id="wallets.E004",
        )
    ]


@register()
def check_unkeyed_bank_can_be_asked(**_: Any) -> list[CheckMessage]:
    if settings.BANK_IDEMPOTENCY != "none" or settings.BANK_INQUIRY_PATH:
        return []
    return [
        Warning(
            "With BANK_IDEMPOTENCY=none and an empty BANK_INQUIRY_PATH a withdrawal in doubt can "
            "only be settled by a person.",
            id="wallets.W001",
        )
    ]


@register()
def check_currency(**_: Any) -> list[CheckMessage]:
    currency = settings.WALLET_DEFAULT_CURRENCY
    if currency in CURRENCIES:
        return []
    return [
        Error(
            f"WALLET_DEFAULT_CURRENCY={currency!r} is not usable: it accepts a code of ISO 4217, "
            "three capital letters. Toman has none: amounts are in rials, IRR.",
            id="wallets.E005",
        )
    ]


@register()
def check_no_crash_is_ordered(**_: Any) -> list[CheckMessage]:
    if settings.DEBUG or not settings.EXECUTOR_CRASH_AT:
        return []
    return [
        Error(
            "EXECUTOR_CRASH_AT is for proofs and must be empty with DEBUG=False.", id="wallets.E020"
        )
    ]
