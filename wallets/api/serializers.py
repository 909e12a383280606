"""Requests into what the domain takes, and what the domain answers into JSON.

Written out by hand: DRF's serializers copy their fields for every request, and their integer
field takes "100", true and 1e2 for amounts.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from rest_framework.request import Request

from wallets.api import fields
from wallets.api.cursors import Cursor, Cursors
from wallets.api.idempotency import fingerprint, read_key
from wallets.api.parsers import check_framing
from wallets.api.refusals import InvalidFields, Problem
from wallets.api.times import moment, moment_in_query, written
from wallets.domain.errors import WalletNotFound
from wallets.domain.receipts import ClientRequest, TransactionState, WalletState
from wallets.domain.wallets import WalletRef
from wallets.models import MAX_BALANCE, Status, Type

DEFAULT_LIMIT = 50

_ID = re.compile(r"0|[1-9][0-9]{0,18}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class OpeningRequest:
    currency: str
    client: ClientRequest | None


@dataclass(frozen=True, slots=True)
class DepositRequest:
    amount: int
    currency: str | None
    client: ClientRequest | None


@dataclass(frozen=True, slots=True)
class WithdrawalRequest:
    amount: int
    currency: str | None
    execute_at: datetime
    client: ClientRequest | None


@dataclass(frozen=True, slots=True)
class PageRequest:
    filters: dict[str, Any]
    cursor: Cursor | None
    limit: int


def wallet_ref(text: str, tenant_id: int | None) -> WalletRef:
    """The id or uuid in a path. Raises ``WalletNotFound`` for what can be neither."""
    if _ID.fullmatch(text) and (number := int(text)) <= MAX_BALANCE:
        return WalletRef(number, tenant_id)
    if _UUID.fullmatch(text):
        return WalletRef(uuid.UUID(text), tenant_id)
    raise WalletNotFound


def opening_request(request: Request) -> OpeningRequest:
    """Raises ``Refusal``, ``InvalidFields``."""
    values, client = _read_post(request, optional={"currency": fields.currency})
    return OpeningRequest(
        currency=values.get("currency", settings.WALLET_DEFAULT_CURRENCY), client=client
    )


def deposit_request(request: Request) -> DepositRequest:
    """Raises ``Refusal``, ``InvalidFields``."""
    values, client = _read_post(
        request, required={"amount": fields.amount}, optional={"currency": fields.currency}
    )
    return DepositRequest(amount=values["amount"], currency=values.get("currency"), client=client)


def withdrawal_request(request: Request) -> WithdrawalRequest:
    """Raises ``Refusal``, ``InvalidFields``."""
    values, client = _read_post(
        request,
        required={"amount": fields.amount, "execute_at": moment},
        optional={"currency": fields.currency},
    )
    return WithdrawalRequest(
        amount=values["amount"],
        currency=values.get("currency"),
        execute_at=values["execute_at"],
        client=client,
    )


def page_request(request: Request, cursors: Cursors) -> PageRequest:
    """Raises ``InvalidFields``."""
    values = read_query(
        request,
        {
            "limit": fields.limit,
            "cursor": cursors.read,
            "type": fields.one_of(Type.values),
            "status": fields.one_of(Status.values),
            "created_after": moment_in_query,
            "created_before": moment_in_query,
        },
    )
    lookups = {
        "type": "type",
        "status": "status",
        "created_after": "created_at__gte",
        "created_before": "created_at__lt",
    }
    return PageRequest(
        filters={lookup: values[name] for name, lookup in lookups.items() if name in values},
        cursor=values.get("cursor"),
        limit=values.get("limit", DEFAULT_LIMIT),
    )


def wallet_json(wallet: WalletState) -> dict[str, Any]:
    return {
        "id": wallet.id,
        "uuid": str(wallet.uuid),
        "currency": wallet.currency,
        "balance": wallet.balance,
        "created_at": written(wallet.created_at),
        "updated_at": written(wallet.updated_at),
    }


def transaction_json(row: TransactionState) -> dict[str, Any]:
    return {
        "id": row.id,
        "wallet_id": row.wallet_id,
        "type": row.type,
        "status": row.status,
        "amount": row.amount,
        "execute_at": _written_or_none(row.execute_at),
        "idempotency_key": str(row.idempotency_key) if row.idempotency_key else None,
        "bank_reference": row.bank_reference,
        "failure_reason": row.failure_reason,
        "in_doubt_since": _written_or_none(row.in_doubt_since),
        "created_at": written(row.created_at),
        "updated_at": written(row.updated_at),
    }


def read_query(
    request: Request, parameters: Mapping[str, fields.Parse] | None = None
) -> dict[str, Any]:
    """The values of these parameters, none of them required. Raises ``InvalidFields``."""
    if not request.META.get("QUERY_STRING"):
        return {}
    problems = [
        Problem("query", name, "repeated_parameter", "is given more than once")
        for name, values in request.query_params.lists()
        if len(values) > 1
    ]
    given = {name: request.query_params[name] for name in request.query_params}
    values = fields.read_fields(given, place="query", problems=problems, optional=parameters)
    if problems:
        raise InvalidFields(problems)
    return values


def _read_post(
    request: Request,
    *,
    required: Mapping[str, fields.Parse] | None = None,
    optional: Mapping[str, fields.Parse] | None = None,
) -> tuple[dict[str, Any], ClientRequest | None]:
    check_framing(request.META)
    read_query(request)
    problems: list[Problem] = []
    body: Any = request.data
    values = fields.read_fields(
        body, place="body", problems=problems, required=required, optional=optional
    )
    key = read_key(request.META, problems)
    if problems:
        raise InvalidFields(problems)
    return values, None if key is None else ClientRequest(key, fingerprint(values))


def _written_or_none(value: datetime | None) -> str | None:
    return None if value is None else written(value)
