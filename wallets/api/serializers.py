"""Requests into what the domain takes, and what the domain answers into JSON.

Written out by hand: DRF's serializers copy their fields for every request, and their integer
field takes "100", true and 1e2 for amounts.
"""

import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from rest_framework.request import Request

from wallets.api import fields
from wallets.api.cursors import Cursor, Cursors
from wallets.api.idempotency import fingerprint, read_key
from wallets.api.parsers import check_framing
from wallets.api.reads import BankCalls
from wallets.api.refusals import InvalidFields, Problem, Unfit
from wallets.api.times import moment, moment_in_query, written
from wallets.domain.errors import WalletNotFound, WithdrawalNotFound
from wallets.domain.past import Line
from wallets.domain.receipts import ClientRequest, TransactionState, WalletState
from wallets.domain.wallets import WalletRef
from wallets.domain.withdrawals.projection import Foreseen, Projection
from wallets.models import MAX_BALANCE, Status, StatusChange, Type

DEFAULT_LIMIT = 50
# What follows these is a word of the service too, and not what a person wrote.
_REASONS_TOLD_WHOLE = ("in_doubt", "handed_back", "rescheduled")

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
class CancelRequest:
    client: ClientRequest | None


@dataclass(frozen=True, slots=True)
class RescheduleRequest:
    execute_at: datetime
    client: ClientRequest | None


@dataclass(frozen=True, slots=True)
class StatementRequest:
    since: datetime | None
    until: datetime | None
    as_csv: bool
    # Only what follows the entry with this id.
    after: int | None
    limit: int


@dataclass(frozen=True, slots=True)
class Filter:
    """A parameter that narrows a list: how it is read, and as what it is looked up."""

    parse: fields.Parse
    lookup: str


@dataclass(frozen=True, slots=True)
class PageRequest:
    filters: dict[str, Any]
    cursor: Cursor | None
    limit: int


TRANSACTION_FILTERS = {
    "type": Filter(fields.one_of(Type.values), "type"),
    "status": Filter(fields.one_of(Status.values), "status"),
    "created_after": Filter(moment_in_query, "created_at__gte"),
    "created_before": Filter(moment_in_query, "created_at__lt"),
}
WALLET_FILTERS = {
    "created_after": Filter(moment_in_query, "created_at__gte"),
    "created_before": Filter(moment_in_query, "created_at__lt"),
    "min_balance": Filter(fields.balance, "balance__gte"),
    "currency": Filter(fields.currency, "currency"),
}
WITHDRAWAL_FILTERS = {
    "status": Filter(fields.one_of(Status.values), "status"),
    "execute_after": Filter(moment_in_query, "execute_at__gte"),
    "execute_before": Filter(moment_in_query, "execute_at__lt"),
    "in_doubt": Filter(lambda text: not fields.flag(text), "in_doubt_since__isnull"),
}


def wallet_ref(text: str, tenant_id: int | None) -> WalletRef:
    """The id or uuid in a path. Raises ``WalletNotFound`` for what can be neither."""
    if _ID.fullmatch(text) and (number := int(text)) <= MAX_BALANCE:
        return WalletRef(number, tenant_id)
    if _UUID.fullmatch(text):
        return WalletRef(uuid.UUID(text), tenant_id)
    raise WalletNotFound


def wallet_reference(value: object, tenant_id: int | None) -> WalletRef:
    """The id or uuid in a body. Raises ``Unfit``."""
    if type(value) in (int, str):
        with suppress(WalletNotFound):
            return wallet_ref(str(value), tenant_id)
    raise Unfit("wallet_invalid", "must be a wallet's id or its uuid")


def withdrawal_number(text: str) -> int:
    """The id in a path. Raises ``WithdrawalNotFound`` for what cannot be one."""
    if _ID.fullmatch(text) and (number := int(text)) <= MAX_BALANCE:
        return number
    raise WithdrawalNotFound


def opening_request(request: Request) -> OpeningRequest:
    """Raises ``Refusal``, ``InvalidFields``."""
    values, client = read_post(request, optional={"currency": fields.currency})
    return OpeningRequest(
        currency=values.get("currency", settings.WALLET_DEFAULT_CURRENCY), client=client
    )


def deposit_request(request: Request) -> DepositRequest:
    """Raises ``Refusal``, ``InvalidFields``."""
    values, client = read_post(
        request, required={"amount": fields.amount}, optional={"currency": fields.currency}
    )
    return DepositRequest(amount=values["amount"], currency=values.get("currency"), client=client)


def withdrawal_request(request: Request) -> WithdrawalRequest:
    """Raises ``Refusal``, ``InvalidFields``."""
    values, client = read_post(
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


def cancel_request(request: Request) -> CancelRequest:
    """Nothing to say: an empty object, or no body. Raises ``Refusal``, ``InvalidFields``."""
    _, client = read_post(request)
    return CancelRequest(client=client)


def reschedule_request(request: Request) -> RescheduleRequest:
    """Raises ``Refusal``, ``InvalidFields``."""
    values, client = read_post(request, required={"execute_at": moment})
    return RescheduleRequest(execute_at=values["execute_at"], client=client)


def page_request(request: Request, cursors: Cursors, filters: Mapping[str, Filter]) -> PageRequest:
    """Raises ``InvalidFields``."""
    parsers = {name: filter.parse for name, filter in filters.items()}
    values = read_query(request, {"limit": fields.limit, "cursor": cursors.read, **parsers})
    return PageRequest(
        filters={filter.lookup: values[name] for name, filter in filters.items() if name in values},
        cursor=values.get("cursor"),
        limit=values.get("limit", DEFAULT_LIMIT),
    )


def balance_request(request: Request) -> datetime:
    """Raises ``InvalidFields``."""
    at: datetime = read_query(request, required={"at": moment_in_query})["at"]
    return at


def statement_request(request: Request, cursors: Cursors) -> StatementRequest:
    """Raises ``InvalidFields``."""
    parsers: dict[str, fields.Parse] = {
        "from": moment_in_query,
        "to": moment_in_query,
        "format": fields.one_of(["json", "csv"]),
    }
    as_csv = request.query_params.get("format") == "csv"
    if not as_csv:
        parsers |= {"limit": fields.limit, "cursor": cursors.read}
    values = read_query(request, parsers)
    cursor: Cursor | None = values.get("cursor")
    return StatementRequest(
        since=values.get("from"),
        until=values.get("to"),
        as_csv=as_csv,
        after=cursor.id if cursor else None,
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


def change_json(change: StatusChange) -> dict[str, Any]:
    """The reason's first part is a word of the service; a person's own words stay inside."""
    kind, _, detail = change.reason.partition(": ")
    return {
        "from_status": change.from_status or None,
        "to_status": change.to_status,
        "reason": kind,
        "about": detail if detail and kind in _REASONS_TOLD_WHOLE else None,
        "at": written(change.created_at),
    }


def bank_calls_json(calls: BankCalls) -> dict[str, Any]:
    last = calls.last
    return {
        "transfers": calls.transfers,
        "inquiries": calls.inquiries,
        "last": last
        and {
            "kind": last.kind,
            "verdict": last.verdict,
            "http_status": last.http_status,
            "started_at": written(last.started_at),
            "duration_ms": last.duration_ms,
        },
    }


def projection_json(projection: Projection) -> dict[str, Any]:
    covered = [each.planned.amount for each in projection.foreseen if each.covered]
    every = [each.planned.amount for each in projection.foreseen]
    shortfall = projection.first_shortfall
    return {
        "balance": projection.balance,
        "withdrawals": [_foreseen_json(each) for each in projection.foreseen],
        "totals": {
            "scheduled": _total(every),
            "covered": _total(covered),
            "not_covered": {
                "count": len(every) - len(covered),
                "amount": sum(every) - sum(covered),
            },
        },
        "balance_after": projection.balance - sum(covered),
        "first_shortfall": shortfall and _foreseen_json(shortfall),
        "truncated": projection.truncated,
    }


def _foreseen_json(foreseen: Foreseen) -> dict[str, Any]:
    return {
        "id": foreseen.planned.id,
        "execute_at": written(foreseen.planned.execute_at),
        "amount": foreseen.planned.amount,
        "covered": foreseen.covered,
        "missing": foreseen.missing,
        "balance_after": foreseen.balance_after,
    }


def _total(amounts: list[int]) -> dict[str, int]:
    return {"count": len(amounts), "amount": sum(amounts)}


def line_json(line: Line) -> dict[str, Any]:
    return {
        "id": line.id,
        "at": written(line.at),
        "kind": line.kind,
        "transaction_id": line.transaction_id,
        "amount": line.amount,
        "balance_after": line.balance_after,
    }


def read_query(
    request: Request,
    parameters: Mapping[str, fields.Parse] | None = None,
    *,
    required: Mapping[str, fields.Parse] | None = None,
) -> dict[str, Any]:
    """The values of these parameters. Raises ``InvalidFields``."""
    if not request.META.get("QUERY_STRING") and not required:
        return {}
    problems = [
        Problem("query", name, "repeated_parameter", "is given more than once")
        for name, values in request.query_params.lists()
        if len(values) > 1
    ]
    given = {name: request.query_params[name] for name in request.query_params}
    values = fields.read_fields(
        given, place="query", problems=problems, required=required, optional=parameters
    )
    if problems:
        raise InvalidFields(problems)
    return values


def read_post(
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
