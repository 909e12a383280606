"""Real answers for the documents, made by the code that answers."""

import json
from datetime import UTC, datetime
from typing import Any

from wallets.api.catalogue import CATALOGUE
from wallets.api.errors import error, exception_handler
from wallets.api.refusals import InvalidFields, Problem
from wallets.domain import errors as domain

_MOMENT = datetime(2026, 11, 27, 15, 45, 56, 123456, tzinfo=UTC)
_EARLIER = datetime(2026, 11, 1, tzinfo=UTC)
_FIRST = {
    "wallet_not_found": domain.WalletNotFound(),
    "withdrawal_not_found": domain.WithdrawalNotFound(),
    "withdrawal_not_cancellable": domain.WithdrawalNotCancellable(status="PROCESSING"),
    "withdrawal_not_reschedulable": domain.WithdrawalNotReschedulable(status="PROCESSING"),
    "currency_mismatch": domain.CurrencyMismatch(wallet_currency="IRR"),
    "execute_at_not_in_future": domain.ExecuteAtNotInFuture(database_time=_MOMENT),
    "moment_in_future": domain.MomentInFuture(database_time=_MOMENT),
    "period_reversed": domain.PeriodReversed(**{"from": _MOMENT, "to": _EARLIER}),
    "balance_overflow": domain.BalanceOverflow(balance=9_223_372_036_854_775_807),
    "balance_limit_exceeded": domain.BalanceLimitExceeded(limit=1_000_000, balance=900_000),
    "withdrawal_limit_exceeded": domain.WithdrawalLimitExceeded(limit=500_000),
    "daily_limit_exceeded": domain.DailyLimitExceeded(limit=2_000_000, planned=1_800_000),
    "request_in_progress": domain.RequestInProgress(),
    "idempotency_key_reused": domain.IdempotencyKeyReused(first_used_at=_MOMENT, fields=["amount"]),
}
_FIELDS = {
    "required": ("body", "amount", "is required"),
    "unknown_field": ("body", "ammount", "is not known here"),
    "repeated_parameter": ("query", "limit", "is given more than once"),
    "time_invalid": ("body", "execute_at", "must be an ISO 8601 date and time with an offset"),
    "time_without_offset": (
        "body",
        "execute_at",
        "must end with an offset from UTC, such as Z or +03:30",
    ),
    "time_out_of_range": ("body", "execute_at", "is outside the years 1 to 9999 in UTC"),
    "currency_invalid": (
        "body",
        "currency",
        "must be the three capital letters of an ISO 4217 code",
    ),
    "idempotency_key_invalid": (
        "header",
        "Idempotency-Key",
        "must have 1 to 128 printable ASCII characters",
    ),
    "limit_invalid": ("query", "limit", "must be a whole number from 1 to 100"),
    "items_invalid": ("body", "items", "must be an array of 1 to 1000 JSON objects"),
    "wallet_invalid": ("body", "wallet", "must be a wallet's id or its uuid"),
    "balance_invalid": (
        "query",
        "min_balance",
        "must be a whole number from 0 to 9223372036854775807",
    ),
    "choice_invalid": ("query", "type", "must be one of DEPOSIT, WITHDRAWAL"),
    "cursor_invalid": ("query", "cursor", "was not issued for this list"),
    "amount_not_integer": ("body", "amount", "must be a JSON integer, not a boolean"),
    "amount_has_fraction": (
        "body",
        "amount",
        "must have neither a decimal point nor an exponent",
    ),
    "amount_is_text": ("body", "amount", "must be a JSON integer, not a string"),
    "amount_has_foreign_digits": (
        "body",
        "amount",
        "must be a JSON integer with the digits 0-9, not text",
    ),
    "amount_has_separators": (
        "body",
        "amount",
        "must be a JSON integer without separators, not text",
    ),
    "amount_out_of_range": ("body", "amount", "must be between 1 and 9223372036854775807"),
}

WALLET = {
    "id": 1,
    "uuid": "0b4ff1d6-0f5e-4c39-9d1c-6a9a1a3f1c55",
    "currency": "IRR",
    "balance": 150000,
    "created_at": "2026-11-27T15:40:02.018431Z",
    "updated_at": "2026-11-27T15:45:56.123456Z",
}
DEPOSIT = {
    "id": 7,
    "wallet_id": 1,
    "type": "DEPOSIT",
    "status": "SUCCEEDED",
    "amount": 150000,
    "execute_at": None,
    "idempotency_key": None,
    "bank_reference": None,
    "failure_reason": None,
    "in_doubt_since": None,
    "created_at": "2026-11-27T15:45:56.123456Z",
    "updated_at": "2026-11-27T15:45:56.123456Z",
}
WITHDRAWAL = DEPOSIT | {
    "id": 8,
    "type": "WITHDRAWAL",
    "status": "SCHEDULED",
    "amount": 50000,
    "execute_at": "2030-01-31T09:00:00.000000Z",
    "idempotency_key": "b1f3a2c4-8f0e-4a52-9e0b-2f5d8f5b7c10",
}
SCHEDULED = {
    "from_status": None,
    "to_status": "SCHEDULED",
    "reason": "scheduled",
    "about": None,
    "at": "2026-11-27T15:45:56.123456Z",
}


def of_code(code: str) -> dict[str, Any]:
    """What an answer with this code looks like, whether it is the answer's own or a field's."""
    if code in _FIRST:
        answer = exception_handler(_FIRST[code], {})
    elif CATALOGUE[code].of_field:
        place, field, detail = _FIELDS[code]
        answer = exception_handler(InvalidFields([Problem(place, field, code, detail)]), {})
    else:
        answer = error(code)
    decoded: dict[str, Any] = json.loads(answer.content)
    return decoded
